//! Losses on channels-last tensors: the functions of [`crate::reference::loss`], without memory of their own.

use super::tensors::TensorSpec;
use crate::TrainError;
use crate::loss::{LossKind, LossTerm, Target, Targets};

/// A tensor that a loss reads.
#[derive(Clone, Copy)]
pub(super) struct Prediction<'a> {
    pub(super) spec: &'a TensorSpec,
    pub(super) values: &'a [f32],
    pub(super) batch: usize,
}

/// Where a loss adds its gradient, and what that is multiplied by.
pub(super) struct Seed<'a> {
    pub(super) gradient: &'a mut [f32],
    pub(super) factor: f64,
}

impl Prediction<'_> {
    /// Classes of a `[n, classes]` tensor.
    fn classes(&self) -> Result<usize, TrainError> {
        if self.spec.pixels() == 1 && !self.spec.dims.is_empty() {
            return Ok(self.spec.channels());
        }
        Err(TrainError::Data {
            what: format!("loss at \"{}\"", self.spec.name),
            expected: "a tensor [n, classes]".to_owned(),
            found: format!("images of shape {:?}", self.spec.dims),
        })
    }

    fn labels<'t>(&self, targets: &Targets<'t>) -> Result<&'t [usize], TrainError> {
        let classes = self.classes()?;
        let wrong = |expected: String, found: String| TrainError::Data { what: "labels".to_owned(), expected, found };
        if targets.labels.len() != self.batch {
            return Err(wrong(format!("{} of them", self.batch), targets.labels.len().to_string()));
        }
        match targets.labels.iter().find(|&&label| label >= classes) {
            Some(label) => Err(wrong(format!("classes below {classes}"), label.to_string())),
            None => Ok(targets.labels),
        }
    }

    /// A target of as many elements.
    fn tensor<'t>(&self, target: &Target, targets: &Targets<'t>) -> Result<&'t [f32], TrainError> {
        self.tensor_that(target, targets, |n| n == self.values.len(), "")
    }

    /// A target of as many positions, with channels of its own.
    fn map<'t>(&self, target: &Target, targets: &Targets<'t>) -> Result<&'t [f32], TrainError> {
        let n_positions = self.batch * self.spec.pixels();
        let fits = |n: usize| n > 0 && n.is_multiple_of(n_positions.max(1));
        self.tensor_that(target, targets, fits, ", but for the number of channels")
    }

    fn tensor_that<'t>(
        &self,
        target: &Target,
        targets: &Targets<'t>,
        fits: impl Fn(usize) -> bool,
        but: &str,
    ) -> Result<&'t [f32], TrainError> {
        let Target::Tensor(name) = target else {
            return Err(TrainError::Data {
                what: format!("loss at \"{}\"", self.spec.name),
                expected: "a target tensor".to_owned(),
                found: "labels".to_owned(),
            });
        };
        let found = targets.tensors.iter().find(|(other, _)| other == name).map(|(_, tensor)| *tensor);
        found.filter(|tensor| fits(tensor.len())).ok_or_else(|| TrainError::Data {
            what: format!("target \"{name}\""),
            expected: format!("{} images of shape {:?}{but}", self.batch, self.spec.dims),
            found: found.map_or_else(|| "nothing".to_owned(), |tensor| format!("{} elements", tensor.len())),
        })
    }

    /// The value of a term without its factor; adds its gradient to the seed.
    pub(super) fn loss(
        &self,
        term: &LossTerm,
        targets: &Targets<'_>,
        mut seed: Option<Seed<'_>>,
    ) -> Result<f64, TrainError> {
        let mut push = |idx: usize, slope: f64| {
            if let Some(seed) = &mut seed {
                seed.gradient[idx] += (slope * seed.factor) as f32;
            }
        };
        let expects_labels = |wanted: bool| match (&term.target, wanted) {
            (Target::Labels, true) | (Target::Tensor(_), false) => Ok(()),
            (Target::Labels, false) => self.tensor(&term.target, targets).map(|_| ()),
            (Target::Tensor(name), true) => Err(TrainError::Data {
                what: format!("loss at \"{}\"", self.spec.name),
                expected: "labels as the target".to_owned(),
                found: format!("tensor \"{name}\""),
            }),
        };
        match term.kind {
            LossKind::CrossEntropy { label_smoothing } => {
                expects_labels(true)?;
                let labels = self.labels(targets)?;
                Ok(self.cross_entropy(labels, f64::from(label_smoothing), &mut push))
            }
            LossKind::Distillation { temperature } => {
                expects_labels(false)?;
                let (classes, teacher) = (self.classes()?, self.tensor(&term.target, targets)?);
                Ok(self.distillation(teacher, classes, f64::from(temperature), &mut push))
            }
            LossKind::MeanSquared => {
                expects_labels(false)?;
                Ok(self.mean_squared(self.tensor(&term.target, targets)?, &mut push))
            }
            LossKind::Attention => {
                expects_labels(false)?;
                Ok(self.attention(self.map(&term.target, targets)?, &mut push))
            }
            LossKind::SquaredHinge | LossKind::Hinge => {
                expects_labels(true)?;
                let labels = self.labels(targets)?;
                Ok(self.hinge(labels, term.kind == LossKind::SquaredHinge, &mut push))
            }
        }
    }

    fn cross_entropy(&self, labels: &[usize], smoothing: f64, push: &mut impl FnMut(usize, f64)) -> f64 {
        let classes = self.spec.channels();
        let n = self.batch as f64;
        let mut loss = 0.0;
        for (row_idx, (row, &label)) in self.values.chunks_exact(classes).zip(labels).enumerate() {
            let log_sum = log_sum_exp(row, 1.0);
            for (class, &x) in row.iter().enumerate() {
                let hit = if class == label { 1.0 - smoothing } else { 0.0 };
                let target = hit + smoothing / classes as f64;
                let log_probability = f64::from(x) - log_sum;
                if target > 0.0 {
                    loss -= target * log_probability / n;
                }
                push(row_idx * classes + class, (log_probability.exp() - target) / n);
            }
        }
        loss
    }

    fn distillation(
        &self,
        teacher: &[f32],
        classes: usize,
        temperature: f64,
        push: &mut impl FnMut(usize, f64),
    ) -> f64 {
        let n = self.batch as f64;
        let factor = temperature * temperature;
        let mut loss = 0.0;
        let rows = self.values.chunks_exact(classes).zip(teacher.chunks_exact(classes));
        for (row_idx, (student, teacher)) in rows.enumerate() {
            let (student_sum, teacher_sum) = (log_sum_exp(student, temperature), log_sum_exp(teacher, temperature));
            for (class, (&x, &t)) in student.iter().zip(teacher).enumerate() {
                let log_q = f64::from(x) / temperature - student_sum;
                let log_p = f64::from(t) / temperature - teacher_sum;
                let p = log_p.exp();
                if p > 0.0 {
                    loss += factor * p * (log_p - log_q) / n;
                }
                push(row_idx * classes + class, factor * (log_q.exp() - p) / (temperature * n));
            }
        }
        loss
    }

    fn mean_squared(&self, target: &[f32], push: &mut impl FnMut(usize, f64)) -> f64 {
        let (channels, pixels) = (self.spec.channels(), self.spec.pixels());
        let len = channels * pixels;
        let n = self.values.len() as f64;
        let mut loss = 0.0;
        for (idx, &x) in self.values.iter().enumerate() {
            let (image, pixel, channel) = (idx / len, idx % len / channels, idx % channels);
            let difference = f64::from(x) - f64::from(target[image * len + channel * pixels + pixel]);
            loss += difference * difference / n;
            push(idx, 2.0 * difference / n);
        }
        loss
    }

    fn attention(&self, target: &[f32], push: &mut impl FnMut(usize, f64)) -> f64 {
        let (channels, pixels) = (self.spec.channels(), self.spec.pixels());
        let len = channels * pixels;
        let target_len = target.len() / self.batch.max(1);
        let n = (self.batch * pixels) as f64;
        let square = |x: f32| f64::from(x) * f64::from(x);
        let mut loss = 0.0;
        let images = self.values.chunks_exact(len.max(1)).zip(target.chunks_exact(target_len.max(1)));
        for (image, (x, target)) in images.enumerate() {
            let mut map: Vec<f64> =
                x.chunks_exact(channels).map(|pixel| pixel.iter().map(|&x| square(x)).sum()).collect();
            let mut other = vec![0.0; pixels];
            for plane in target.chunks_exact(pixels) {
                other.iter_mut().zip(plane).for_each(|(sum, &x)| *sum += square(x));
            }
            let norm = normalize(&mut map);
            normalize(&mut other);
            let mut along = 0.0;
            for (u, v) in map.iter().zip(&other) {
                loss += (u - v) * (u - v) / n;
                along += u * 2.0 * (u - v) / n;
            }
            for (position, ((u, v), pixel)) in map.iter().zip(&other).zip(x.chunks_exact(channels)).enumerate() {
                let slope = (2.0 * (u - v) / n - u * along) / norm;
                for (channel, &x) in pixel.iter().enumerate() {
                    push(image * len + position * channels + channel, slope * 2.0 * f64::from(x));
                }
            }
        }
        loss
    }

    fn hinge(&self, labels: &[usize], squared: bool, push: &mut impl FnMut(usize, f64)) -> f64 {
        let classes = self.spec.channels();
        let n = self.values.len() as f64;
        let mut loss = 0.0;
        for (idx, &x) in self.values.iter().enumerate() {
            let target = if labels[idx / classes] == idx % classes { 1.0 } else { -1.0 };
            let margin = (1.0 - target * f64::from(x)).max(0.0);
            let (value, slope) = match (squared, margin > 0.0) {
                (true, _) => (margin * margin, -2.0 * target * margin),
                (false, true) => (margin, -target),
                (false, false) => (0.0, 0.0),
            };
            loss += value / n;
            push(idx, slope / n);
        }
        loss
    }

    /// Images whose greatest element (the first of equals) is the label's.
    pub(super) fn n_correct(&self, labels: &[usize]) -> usize {
        if self.spec.pixels() != 1 || labels.len() != self.batch {
            return 0;
        }
        let best = |row: &[f32]| {
            let mut best = 0;
            for (class, x) in row.iter().enumerate() {
                if *x > row[best] {
                    best = class;
                }
            }
            best
        };
        let rows = self.values.chunks_exact(self.spec.channels().max(1));
        rows.zip(labels).filter(|(row, label)| best(row) == **label && row.iter().all(|x| !x.is_nan())).count()
    }
}

/// Divides a map by its Euclidean norm, and gives what it was divided by; a map of zeros stays one.
fn normalize(map: &mut [f64]) -> f64 {
    let norm = map.iter().map(|x| x * x).sum::<f64>().sqrt().max(NORM_FLOOR);
    map.iter_mut().for_each(|x| *x /= norm);
    norm
}

/// Maps of a smaller norm count as ones of this norm, as in the released code.
const NORM_FLOOR: f64 = 1e-12;

/// `ln Σ exp(x / temperature)`.
fn log_sum_exp(row: &[f32], temperature: f64) -> f64 {
    let most = row.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(f64::from(x) / temperature));
    let sum: f64 = row.iter().map(|&x| (f64::from(x) / temperature - most).exp()).sum();
    most + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::loss;

    /// Every loss equals the reference's: the value to f64 rounding, the gradient to one f32 rounding of the factor.
    #[test]
    fn losses_equal_the_reference() {
        let (batch, classes) = (5, 7);
        let x: Vec<f32> = (0..batch * classes).map(|i| ((i * 37 % 23) as f32 - 11.0) / 4.0).collect();
        let t: Vec<f32> = (0..batch * classes).map(|i| ((i * 17 % 19) as f32 - 9.0) / 3.0).collect();
        let labels = [3, 0, 6, 2, 2];
        let spec = TensorSpec { name: "y".into(), dims: vec![classes], n_steps: 1, needs_grad: true, kept: true };
        let targets = Targets { labels: &labels, tensors: &[("teacher", &t)] };
        let teacher = || Target::Tensor("teacher".into());
        let factor = loss::DistillationFactor::TemperatureSquared;
        let cases = [
            (LossKind::CrossEntropy { label_smoothing: 0.1 }, Target::Labels, loss::cross_entropy(&x, &labels, 7, 0.1)),
            (LossKind::Distillation { temperature: 3.0 }, teacher(), loss::distillation(&x, &t, 7, 3.0, factor)),
            (LossKind::MeanSquared, teacher(), loss::mean_squared(&x, &t)),
            (LossKind::SquaredHinge, Target::Labels, loss::hinge(&x, &labels, 7, loss::Hinge::Squared)),
            (LossKind::Hinge, Target::Labels, loss::hinge(&x, &labels, 7, loss::Hinge::Linear)),
        ];
        for (kind, target, expected) in cases {
            let term = LossTerm { kind, tensor: None, factor: 1.0, target };
            let mut gradient = vec![0.0; x.len()];
            let seed = Seed { gradient: &mut gradient, factor: 1.0 };
            let prediction = Prediction { spec: &spec, values: &x, batch };
            let value = prediction.loss(&term, &targets, Some(seed)).expect("fits");
            // 0.1 is f32 in a term, f64 in the reference's argument.
            assert!((value - expected.value).abs() < 1e-7 * expected.value.abs(), "{kind:?}: {value}");
            for (found, expected) in gradient.iter().zip(&expected.gradient) {
                assert!((found - expected).abs() <= 1e-7 * expected.abs().max(0.01), "{kind:?}: {found} {expected}");
            }
        }
    }

    /// Attention maps of other channels, channels last beside channels first; and of zeros.
    #[test]
    fn attention_equals_the_reference() {
        let (batch, channels, others, pixels) = (3, 4, 7, 6);
        let spec =
            TensorSpec { name: "y".into(), dims: vec![channels, 2, 3], n_steps: 1, needs_grad: true, kept: true };
        let mut x: Vec<f32> = (0..batch * channels * pixels).map(|i| ((i * 37 % 23) as f32 - 11.0) / 4.0).collect();
        x[..channels * pixels].fill(0.0);
        let t: Vec<f32> = (0..batch * others * pixels).map(|i| ((i * 17 % 19) as f32 - 9.0) / 3.0).collect();
        let first: Vec<f32> = (0..x.len())
            .map(|i| {
                let (image, channel, pixel) = (i / (channels * pixels), i / pixels % channels, i % pixels);
                x[(image * pixels + pixel) * channels + channel]
            })
            .collect();
        let expected = loss::attention(&first, &t, batch, pixels);
        let term =
            LossTerm { kind: LossKind::Attention, tensor: None, factor: 1.0, target: Target::Tensor("t".into()) };
        let mut gradient = vec![0.0; x.len()];
        let seed = Seed { gradient: &mut gradient, factor: 1.0 };
        let targets = Targets { labels: &[], tensors: &[("t", &t)] };
        let value = Prediction { spec: &spec, values: &x, batch }.loss(&term, &targets, Some(seed)).expect("fits");
        assert!((value - expected.value).abs() < 1e-12 && value > 0.0, "{value} {}", expected.value);
        for (i, expected) in expected.gradient.iter().enumerate() {
            let (image, channel, pixel) = (i / (channels * pixels), i / pixels % channels, i % pixels);
            let found = gradient[(image * pixels + pixel) * channels + channel];
            assert!((found - expected).abs() < 1e-9, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn targets_that_do_not_fit_are_told() {
        let spec = TensorSpec { name: "y".into(), dims: vec![3], n_steps: 1, needs_grad: true, kept: true };
        let prediction = Prediction { spec: &spec, values: &[0.0; 6], batch: 2 };
        let check = |kind, target, targets: &Targets<'_>| {
            let term = LossTerm { kind, tensor: None, factor: 1.0, target };
            prediction.loss(&term, targets, None).expect_err("does not fit").to_string()
        };
        let entropy = LossKind::CrossEntropy { label_smoothing: 0.0 };
        let labels = |labels| Targets { labels, tensors: &[] };
        let teacher = || Target::Tensor("t".into());
        let of_two = Targets { labels: &[], tensors: &[("t", &[0.0; 2])] };
        assert_eq!(check(entropy, Target::Labels, &labels(&[1])), "labels: expected 2 of them, found 1");
        assert_eq!(check(entropy, Target::Labels, &labels(&[1, 3])), "labels: expected classes below 3, found 3");
        assert_eq!(
            check(LossKind::MeanSquared, teacher(), &of_two),
            "target \"t\": expected 2 images of shape [3], found 2 elements"
        );
        assert_eq!(
            check(LossKind::MeanSquared, Target::Labels, &of_two),
            "loss at \"y\": expected a target tensor, found labels"
        );
        assert_eq!(
            check(entropy, teacher(), &of_two),
            "loss at \"y\": expected labels as the target, found tensor \"t\""
        );
    }
}
