//! Batch-norm folding.

use super::{Editor, remove_dead};
use crate::ops;
use crate::{Graph, Node, Op, Tensor};

/// What [`fold_batch_norm`] did with every batch normalization of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchNormFolding {
    /// Folded into another node.
    pub folded: Vec<FoldedBatchNorm>,
    /// Left as they were.
    pub kept: Vec<KeptBatchNorm>,
}

/// A batch normalization that another node took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedBatchNorm {
    /// Name of the batch-norm node.
    pub batch_norm: String,
    /// Name of the node whose weights now hold it.
    pub into: String,
}

/// A batch normalization that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBatchNorm {
    /// Name of the batch-norm node.
    pub batch_norm: String,
    /// Why it stays.
    pub reason: KeptReason,
}

/// Why a batch normalization cannot be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeptReason {
    /// Its input does not come from a `Conv` or `Gemm`.
    NoLinearProducer,
    /// Its input is also read elsewhere, or is an output of the network.
    InputUsedElsewhere,
    /// Its parameters, or the weights or bias before it, are not f32 constants of matching extents.
    NotConstant,
    /// Folding would give weights that are not finite (for example because a variance is negative).
    NotFinite,
}

impl std::fmt::Display for KeptReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            KeptReason::NoLinearProducer => "its input does not come from a convolution or dense layer",
            KeptReason::InputUsedElsewhere => "its input is also used elsewhere",
            KeptReason::NotConstant => "its parameters or the weights before it are not f32 constants that fit",
            KeptReason::NotFinite => "folding would give weights that are not finite",
        })
    }
}

/// Folds batch normalizations into the `Conv` or `Gemm` before them:
/// `W' = W · f`, `b' = beta + (b − mean) · f` with `f = gamma / sqrt(variance + epsilon)`, per output channel.
///
/// The layer takes over the output of the batch norm. A bias that was missing is added as `{layer}.bias`; a weight or
/// bias that other nodes share is copied first. What cannot be folded stays and is reported with its reason.
///
/// # Rounding
/// f64 throughout, weight and bias rounded once to f32. Outputs change by a few units in the last place.
///
/// # Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, section 3.2, equation 14.
pub fn fold_batch_norm(graph: &Graph) -> (Graph, BatchNormFolding) {
    let mut parts = Editor::new(graph);
    let mut report = BatchNormFolding::default();
    let mut idx = 0;
    while idx < parts.nodes.len() {
        let Op::BatchNormalization(ops::BatchNormalization { epsilon }) = parts.nodes[idx].op else {
            idx += 1;
            continue;
        };
        let batch_norm = parts.nodes[idx].name.clone();
        match fold(&mut parts, idx, epsilon) {
            Ok(into) => {
                parts.nodes.remove(idx);
                report.folded.push(FoldedBatchNorm { batch_norm, into });
            }
            Err(reason) => {
                report.kept.push(KeptBatchNorm { batch_norm, reason });
                idx += 1;
            }
        }
    }
    (remove_dead(&parts.rebuilt()), report)
}

/// What a batch norm does to each channel: `y = x · factor + (beta − mean · factor)`.
pub(super) struct Affine {
    factor: Vec<f64>,
    mean: Vec<f64>,
    beta: Vec<f64>,
}

impl Affine {
    /// Factors and shifts of the channels.
    pub(super) fn new(channels: impl Iterator<Item = (f64, f64)>) -> Self {
        let (factor, beta): (Vec<f64>, Vec<f64>) = channels.unzip();
        Self { mean: vec![0.0; factor.len()], factor, beta }
    }

    fn of(parts: &Editor<'_>, node: &Node, epsilon: f32) -> Option<Self> {
        let parameter = |idx: usize| {
            let elements = parts.constant(node.inputs.get(idx).copied().flatten()?)?.as_f32()?;
            Some(elements.iter().copied().map(f64::from).collect::<Vec<f64>>())
        };
        let (gamma, beta, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let factor = gamma.iter().zip(&variance).map(|(gamma, v)| gamma / (v + f64::from(epsilon)).sqrt()).collect();
        let n = gamma.len();
        (beta.len() == n && mean.len() == n && variance.len() == n).then_some(Self { factor, mean, beta })
    }

    fn n_channels(&self) -> usize {
        self.factor.len()
    }

    fn bias(&self, channel: usize, old: f64) -> f32 {
        (self.beta[channel] + (old - self.mean[channel]) * self.factor[channel]) as f32
    }
}

/// Folds the batch norm at `idx` and gives the name of the node that took it over. The node itself stays for the
/// caller to remove.
fn fold(parts: &mut Editor<'_>, idx: usize, epsilon: f32) -> Result<String, KeptReason> {
    let node = &parts.nodes[idx];
    let (Some(&Some(input)), &[output]) = (node.inputs.first(), node.outputs.as_slice()) else {
        return Err(KeptReason::NotConstant);
    };
    let producer = parts.nodes.iter().position(|node| node.outputs == [input]);
    let producer = producer.ok_or(KeptReason::NoLinearProducer)?;
    let op = parts.nodes[producer].op.clone();
    if !matches!(op, Op::Conv(_) | Op::Gemm(_)) {
        return Err(KeptReason::NoLinearProducer);
    }
    if parts.n_uses(input) != 1 {
        return Err(KeptReason::InputUsedElsewhere);
    }
    let affine = Affine::of(parts, node, epsilon).ok_or(KeptReason::NotConstant)?;
    let linear = Linear::of(parts, &parts.nodes[producer]).ok_or(KeptReason::NotConstant)?;
    let (weight, bias) = linear.folded(&affine).ok_or(KeptReason::NotConstant)?;
    if !weight.iter().chain(&bias).all(|x| x.is_finite()) {
        return Err(KeptReason::NotFinite);
    }
    let weight = Tensor::from_f32(linear.weight_shape.clone(), weight);
    let bias = Tensor::from_f32(vec![bias.len()], bias);

    let name = parts.nodes[producer].name.clone();
    parts.put_constant(producer, 1, weight, &format!("{name}.weight"));
    parts.put_constant(producer, 2, bias, &format!("{name}.bias"));
    let layer = &mut parts.nodes[producer];
    layer.outputs = vec![output];
    if let Op::Gemm(gemm) = &mut layer.op {
        gemm.beta = 1.0;
    }
    // The layer's old output keeps no source, and nothing reads it any more.
    Ok(name)
}

/// The weights of a layer and where its output channels lie.
pub(super) struct Linear {
    pub(super) weight_shape: Vec<usize>,
    weight: Vec<f32>,
    /// Weights of one channel that follow each other; the channels repeat behind them.
    channel_stride: usize,
    pub(super) n_channels: usize,
    /// Per channel; in f64, since `Gemm` scales it.
    bias: Vec<f64>,
}

impl Linear {
    pub(super) fn of(parts: &Editor<'_>, node: &Node) -> Option<Self> {
        let weight = parts.constant(node.inputs.get(1).copied().flatten()?)?;
        let elements = weight.as_f32()?;
        let shape = weight.shape();
        let (channel_stride, n_channels, bias_factor) = match &node.op {
            Op::Conv(_) => (elements.len().checked_div(*shape.first()?)?, shape[0], 1.0),
            Op::Gemm(gemm) => {
                let &[rows, columns] = shape else { return None };
                let (stride, n) = if gemm.trans_b { (columns, rows) } else { (1, columns) };
                (stride, n, f64::from(gemm.beta))
            }
            _ => return None,
        };
        let bias = match node.inputs.get(2).copied().flatten() {
            None => vec![0.0; n_channels],
            Some(id) => {
                let bias = parts.constant(id)?;
                let elements = bias.as_f32()?;
                let is_row = matches!(bias.shape(), [] | [_] | [1, _]);
                match elements {
                    [one] if is_row => vec![bias_factor * f64::from(*one); n_channels],
                    all if is_row && all.len() == n_channels => {
                        all.iter().map(|&b| bias_factor * f64::from(b)).collect()
                    }
                    _ => return None,
                }
            }
        };
        Some(Self { weight_shape: shape.to_vec(), weight: elements.to_vec(), channel_stride, n_channels, bias })
    }

    pub(super) fn folded(&self, affine: &Affine) -> Option<(Vec<f32>, Vec<f32>)> {
        if affine.n_channels() != self.n_channels {
            return None;
        }
        let channel = |idx: usize| idx / self.channel_stride.max(1) % self.n_channels;
        let weight =
            self.weight.iter().enumerate().map(|(idx, &w)| (f64::from(w) * affine.factor[channel(idx)]) as f32);
        let bias = self.bias.iter().enumerate().map(|(channel, &old)| affine.bias(channel, old));
        Some((weight.collect(), bias.collect()))
    }
}
