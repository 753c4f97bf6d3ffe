//! Losses: at any tensor, in any sum.

use crate::TrainError;

/// A loss function, averaged over the batch (and, for [`LossKind::MeanSquared`], over elements).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossKind {
    /// `−Σ_j t_j · ln softmax(x)_j` with `t = (1 − s) · onehot(label) + s / classes`; `x` is `[n, classes]`.
    ///
    /// # Source
    /// Smoothing: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for Computer
    /// Vision", CVPR 2016, section 7.
    CrossEntropy {
        /// `s`, in `[0, 1]`.
        label_smoothing: f32,
    },
    /// `T² · KL(softmax(target / T) ‖ softmax(x / T))`; the target holds the teacher's logits.
    ///
    /// # Source
    /// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, section 2.
    Distillation {
        /// `T`, above 0.
        temperature: f32,
    },
    /// Mean of `(x − target)²` over all elements of a tensor of any shape.
    MeanSquared,
    /// Mean over images and positions of `(u − v)²`, with `u` and `v` the attention maps of `x` and the target: sums over
    /// channels of the squares at each position, divided by the map's Euclidean norm. `x` is `[n, c, ...]`; the target has as
    /// many positions, and channels of its own.
    ///
    /// # Source
    /// Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, section 3.1, and the code released with it.
    Attention,
    /// `Σ_j max(0, 1 − t_j · x_j)²` with `t_j` +1 for the label and −1 for the other classes, over the classes' number.
    ///
    /// # Source
    /// Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, "Binarized Neural Networks", NIPS 2016, section 2 (L2-SVM).
    SquaredHinge,
    /// `Σ_j max(0, 1 − t_j · x_j)`, with `t` and the mean as in [`LossKind::SquaredHinge`].
    Hinge,
}

/// What a loss compares its tensor with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// [`Targets::labels`].
    Labels,
    /// The entry of [`Targets::tensors`] with this name.
    Tensor(String),
}

/// One summand: `factor · kind(tensor, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LossTerm {
    /// The function.
    pub kind: LossKind,
    /// Name of the value it reads; `None` for the network's logits ([`ModelOptions::output`](crate::ModelOptions), without a final softmax).
    pub tensor: Option<String>,
    /// Its factor in the sum.
    pub factor: f32,
    /// What it compares with.
    pub target: Target,
}

/// A sum of losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossSum {
    /// The summands.
    pub terms: Vec<LossTerm>,
}

impl LossSum {
    /// Cross-entropy of the logits with the labels.
    pub fn cross_entropy(label_smoothing: f32) -> Self {
        Self::one(LossKind::CrossEntropy { label_smoothing }, Target::Labels)
    }

    /// Knowledge distillation: `share` of [`LossKind::Distillation`] of the logits against the target `teacher`, the rest
    /// cross-entropy with the labels. See [`Teacher`](crate::Teacher).
    ///
    /// # Source
    /// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, section 2.
    pub fn distillation(temperature: f32, share: f32, teacher: impl Into<String>) -> Self {
        let term = |kind, factor, target| LossTerm { kind, tensor: None, factor, target };
        Self {
            terms: vec![
                term(LossKind::Distillation { temperature }, share, Target::Tensor(teacher.into())),
                term(LossKind::CrossEntropy { label_smoothing: 0.0 }, 1.0 - share, Target::Labels),
            ],
        }
    }

    /// One loss of the logits.
    pub fn one(kind: LossKind, target: Target) -> Self {
        Self { terms: vec![LossTerm { kind, tensor: None, factor: 1.0, target }] }
    }
}

/// What the network should have answered for a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets<'a> {
    /// Class of each image; may be empty where no loss needs it.
    pub labels: &'a [usize],
    /// Named tensors (a teacher's answers), NCHW, `batch` images each.
    pub tensors: &'a [(&'a str, &'a [f32])],
}

/// What a batch's losses were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossReport {
    /// The sum, with the factors.
    pub total: f64,
    /// Each term without its factor, in the order of [`LossSum::terms`].
    pub terms: Vec<f64>,
    /// Images whose greatest logit (the first one of equals) is the label's; 0 without labels.
    pub n_correct: usize,
    /// Images.
    pub n_images: usize,
}

impl LossSum {
    /// Checks factors, smoothing and temperatures.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let bad = |name: &str, expected: &str, found: f32| TrainError::Option {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: found.to_string(),
        };
        for term in &self.terms {
            if !term.factor.is_finite() {
                return Err(bad("loss factor", "a finite number", term.factor));
            }
            match term.kind {
                LossKind::CrossEntropy { label_smoothing } if !(0.0..=1.0).contains(&label_smoothing) => {
                    return Err(bad("label smoothing", "a number in [0, 1]", label_smoothing));
                }
                LossKind::Distillation { temperature } if !(temperature > 0.0 && temperature.is_finite()) => {
                    return Err(bad("temperature", "a number above 0", temperature));
                }
                LossKind::CrossEntropy { .. }
                | LossKind::Distillation { .. }
                | LossKind::MeanSquared
                | LossKind::Attention
                | LossKind::SquaredHinge
                | LossKind::Hinge => {}
            }
        }
        Ok(())
    }
}
