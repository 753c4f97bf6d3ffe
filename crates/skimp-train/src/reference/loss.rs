//! Losses with their gradients.
//!
//! Each function gives the loss of a batch, and its gradient with respect to the predictions. Rows are samples.
//! Arithmetic is f64; an element of the gradient is rounded once.

use super::Real;

/// A loss and its gradient with respect to the predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss<T> {
    /// The loss.
    pub value: f64,
    /// Its gradient, in the shape of the predictions.
    pub gradient: Vec<T>,
}

/// What a distillation loss is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DistillationFactor {
    /// The square of the temperature, so that gradients keep their size whatever the temperature.
    #[default]
    TemperatureSquared,
    /// 1.
    One,
}

/// A hinge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hinge {
    /// `max(0, 1 − t · x)`.
    Linear,
    /// `max(0, 1 − t · x)²`.
    Squared,
}

/// `ln Σ exp x` of a row divided by a temperature, and the row's logarithmic probabilities.
fn log_softmax<T: Real>(row: &[T], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = row.iter().map(|x| x.to_f64() / temperature).collect();
    let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scaled.iter().map(|x| (x - most).exp()).sum();
    scaled.iter().map(|x| x - most - sum.ln()).collect()
}

fn rows<T: Real>(elements: &[T], row_len: usize) -> impl Iterator<Item = &[T]> {
    elements.chunks_exact(row_len.max(1))
}

/// Mean over the samples of `−Σ q · ln softmax(x)`, with `q = 1 − s + s / classes` for the label and `s / classes` for
/// the other classes, `s` the smoothing.
///
/// # Shapes
/// `logits`: `[labels.len(), n_classes]`.
///
/// # Panics
/// If `logits` has another number of elements or a label is not below `n_classes`: callers check both.
///
/// # Source
/// Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for Computer Vision",
/// CVPR 2016, section 7 (the smoothing).
pub fn cross_entropy<T: Real>(logits: &[T], labels: &[usize], n_classes: usize, smoothing: f64) -> Loss<T> {
    assert_eq!(logits.len(), labels.len() * n_classes, "one row of logits per label");
    let n = labels.len() as f64;
    let mut loss = Loss { value: 0.0, gradient: Vec::with_capacity(logits.len()) };
    for (row, &label) in rows(logits, n_classes).zip(labels) {
        assert!(label < n_classes, "labels are below the number of classes");
        for (class, log_probability) in log_softmax(row, 1.0).into_iter().enumerate() {
            let hit = if class == label { 1.0 - smoothing } else { 0.0 };
            let target = hit + smoothing / n_classes as f64;
            // 0 · ln 0 is 0: a class without a target costs nothing, however improbable.
            loss.value -= if target > 0.0 { target * log_probability / n } else { 0.0 };
            loss.gradient.push(T::from_f64((log_probability.exp() - target) / n));
        }
    }
    loss
}

/// Mean over the samples of the divergence `Σ p · (ln p − ln q)` of the student's softmax `q` from the teacher's `p`, both
/// at a temperature, times a factor. Teacher logits are constants.
///
/// # Shapes
/// `student`, `teacher`: `[n, n_classes]`.
///
/// # Panics
/// If the lengths differ: callers check.
///
/// # Source
/// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2014, section 2.
/// Differs: the divergence, not the cross-entropy, which is larger by the teacher's entropy and has the same gradient.
pub fn distillation<T: Real>(
    student: &[T],
    teacher: &[T],
    n_classes: usize,
    temperature: f64,
    factor: DistillationFactor,
) -> Loss<T> {
    assert_eq!(student.len(), teacher.len(), "as many student as teacher logits");
    let n = (student.len() / n_classes.max(1)) as f64;
    let factor = match factor {
        DistillationFactor::TemperatureSquared => temperature * temperature,
        DistillationFactor::One => 1.0,
    };
    let mut loss = Loss { value: 0.0, gradient: Vec::with_capacity(student.len()) };
    for (student, teacher) in rows(student, n_classes).zip(rows(teacher, n_classes)) {
        let (log_q, log_p) = (log_softmax(student, temperature), log_softmax(teacher, temperature));
        for (log_q, log_p) in log_q.into_iter().zip(log_p) {
            let p = log_p.exp();
            loss.value += if p > 0.0 { factor * p * (log_p - log_q) / n } else { 0.0 };
            loss.gradient.push(T::from_f64(factor * (log_q.exp() - p) / (temperature * n)));
        }
    }
    loss
}

/// Mean over all elements of a function of prediction and target, with its derivative by the prediction.
fn mean_of<T: Real>(x: &[T], target: impl Fn(usize) -> f64, function: impl Fn(f64, f64) -> [f64; 2]) -> Loss<T> {
    let n = x.len() as f64;
    let mut loss = Loss { value: 0.0, gradient: Vec::with_capacity(x.len()) };
    for (idx, x) in x.iter().enumerate() {
        let [value, slope] = function(x.to_f64(), target(idx));
        loss.value += value / n;
        loss.gradient.push(T::from_f64(slope / n));
    }
    loss
}

/// Mean over all elements of `(x − target)²`.
///
/// # Panics
/// If the lengths differ: callers check.
pub fn mean_squared<T: Real>(x: &[T], target: &[T]) -> Loss<T> {
    assert_eq!(x.len(), target.len(), "one target per prediction");
    mean_of(x, |idx| target[idx].to_f64(), |x, target| [(x - target) * (x - target), 2.0 * (x - target)])
}

/// Mean over samples and positions of `(u − v)²`, with `u` and `v` the attention maps of two networks: the sums over channels
/// of the squares at each position, divided by the map's Euclidean norm (by 1e-12, if it is smaller).
///
/// # Shapes
/// `x`: `[n, c, n_positions]`, `target`: `[n, d, n_positions]`.
///
/// # Panics
/// If the lengths do not fit: callers check.
///
/// # Source
/// Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, section 3.1, with p = 2, and the code released
/// with it: means over channels, which the norm takes away again.
/// Differs: a mean over positions, as in the code, where the paper has the sum.
pub fn attention<T: Real>(x: &[T], target: &[T], n: usize, n_positions: usize) -> Loss<T> {
    assert!(x.len().is_multiple_of(n * n_positions), "whole maps");
    assert!(target.len().is_multiple_of(n * n_positions), "whole maps");
    let map = |sample: &[T]| {
        let mut map = vec![0.0; n_positions];
        for (idx, value) in sample.iter().enumerate() {
            map[idx % n_positions] += value.to_f64() * value.to_f64();
        }
        let norm = map.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        (map.into_iter().map(|x| x / norm).collect::<Vec<f64>>(), norm)
    };
    let count = (n * n_positions) as f64;
    let mut loss = Loss { value: 0.0, gradient: Vec::with_capacity(x.len()) };
    for (sample, target) in rows(x, x.len() / n).zip(rows(target, target.len() / n)) {
        let ((u, norm), (v, _)) = (map(sample), map(target));
        let slopes: Vec<f64> = u.iter().zip(&v).map(|(u, v)| 2.0 * (u - v) / count).collect();
        loss.value += u.iter().zip(&v).map(|(u, v)| (u - v) * (u - v) / count).sum::<f64>();
        let along: f64 = slopes.iter().zip(&u).map(|(slope, u)| slope * u).sum();
        for (idx, value) in sample.iter().enumerate() {
            let position = idx % n_positions;
            let by_sum = (slopes[position] - u[position] * along) / norm;
            loss.gradient.push(T::from_f64(by_sum * 2.0 * value.to_f64()));
        }
    }
    loss
}

/// Mean over all elements of a hinge with the targets `t = +1` for the label's class and −1 for the others. At the kink
/// the slope of the linear hinge is 0.
///
/// # Shapes
/// `x`: `[labels.len(), n_classes]`.
///
/// # Panics
/// If `x` has another number of elements: callers check.
///
/// # Source
/// Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, "Binarized Neural Networks", NIPS 2016, and its code (the squared
/// hinge, mean over samples and classes).
pub fn hinge<T: Real>(x: &[T], labels: &[usize], n_classes: usize, hinge: Hinge) -> Loss<T> {
    assert_eq!(x.len(), labels.len() * n_classes, "one row of predictions per label");
    let target = |idx: usize| if labels[idx / n_classes] == idx % n_classes { 1.0 } else { -1.0 };
    mean_of(x, target, |x, target| {
        let margin = (1.0 - target * x).max(0.0);
        match hinge {
            Hinge::Linear => [margin, if margin > 0.0 { -target } else { 0.0 }],
            Hinge::Squared => [margin * margin, -2.0 * target * margin],
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    /// Compares the gradient with central differences.
    fn check(x: &[f64], loss: impl Fn(&[f64]) -> Loss<f64>) -> Result<(), TestCaseError> {
        let gradient = loss(x).gradient;
        prop_assert_eq!(gradient.len(), x.len());
        for idx in 0..x.len() {
            let at = |shift: f64| {
                let mut x = x.to_vec();
                x[idx] += shift;
                loss(&x).value
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            prop_assert!((gradient[idx] - expected).abs() < 1e-7, "{idx}: {} and {expected}", gradient[idx]);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn gradients(seed: u64, n in 1..5_usize, n_classes in 1..6_usize, temperature in 0.5..8.0_f64) {
            let mut draws = Draws::new(seed, stream("loss"));
            let mut normal = || (0..n * n_classes).map(|_| draws.normal() * 2.0).collect::<Vec<f64>>();
            let (mut x, other) = (normal(), normal());
            // Away from the kinks of the hinge, at −1 and 1.
            x.iter_mut().filter(|x| (x.abs() - 1.0).abs() < 0.01).for_each(|x| *x += 0.05);
            let labels: Vec<usize> = (0..n).map(|i| (seed as usize % 97 + i * 7) % n_classes).collect();
            check(&x, |x| cross_entropy(x, &labels, n_classes, 0.0))?;
            check(&x, |x| cross_entropy(x, &labels, n_classes, 0.125))?;
            for factor in [DistillationFactor::TemperatureSquared, DistillationFactor::One] {
                check(&x, |x| distillation(x, &other, n_classes, temperature, factor))?;
            }
            check(&x, |x| mean_squared(x, &other))?;
            // As many positions as classes, and the same maps as samples of two channels.
            check(&x, |x| attention(x, &other, n, n_classes))?;
            let twice: Vec<f64> = x.iter().flat_map(|&x| [x, 0.5 - x]).collect();
            check(&twice, |x| attention(x, &other, n, n_classes))?;
            check(&x, |x| hinge(x, &labels, n_classes, Hinge::Linear))?;
            check(&x, |x| hinge(x, &labels, n_classes, Hinge::Squared))?;
        }
    }

    /// Values that follow from the definition, for the teacher `[2, 1, 0.1]` and the student `[1, 1, 1]`.
    #[test]
    fn distillation_vectors() {
        let cases = [
            (1.0, 0.251_874, [-0.32567, 0.09090, 0.23477]),
            (2.0, 0.289_473, [-0.33671, 0.05809, 0.27862]),
            (4.0, 0.299_355, [-0.33286, 0.03570, 0.29715]),
            (20.0, 0.301_442, [-0.32487, 0.01611, 0.30875]),
        ];
        for (temperature, value, gradient) in cases {
            let factor = DistillationFactor::TemperatureSquared;
            let found = distillation(&[1.0_f64; 3], &[2.0, 1.0, 0.1], 3, temperature, factor);
            assert!((found.value - value).abs() < 1e-6, "{temperature}: {found:?}");
            for (found, expected) in found.gradient.iter().zip(gradient) {
                assert!((found - expected).abs() < 1e-5, "{temperature}: {found} and {expected}");
            }
            let plain = distillation(&[1.0_f64; 3], &[2.0, 1.0, 0.1], 3, temperature, DistillationFactor::One);
            assert!((plain.value * temperature * temperature - value).abs() < 1e-6, "{temperature}: {plain:?}");
        }
        let same = distillation(&[2.0_f64, 1.0, 0.1], &[2.0, 1.0, 0.1], 3, 4.0, DistillationFactor::One);
        assert!(same.value.abs() < 1e-15);
    }

    /// What attention does not see: the size of a map, the order of its channels, and what both networks share.
    #[test]
    fn attention_is_invariant() {
        let mut draws = Draws::new(3, stream("attention"));
        let mut normal = |n: usize| (0..n).map(|_| draws.normal()).collect::<Vec<f64>>();
        // Two samples, three and five channels, four positions.
        let (x, t) = (normal(2 * 3 * 4), normal(2 * 5 * 4));
        let value = |x: &[f64], t: &[f64]| attention(x, t, 2, 4).value;
        let expected = value(&x, &t);
        assert!(expected > 1e-3, "{expected}");
        let scaled: Vec<f64> = x.iter().map(|x| 7.5 * x).collect();
        let signed: Vec<f64> = x.iter().map(|x| -x).collect();
        let turned: Vec<f64> =
            x.chunks(12).flat_map(|sample| [8, 0, 4].iter().flat_map(|&at| sample[at..at + 4].to_vec())).collect();
        for other in [&scaled, &signed, &turned] {
            assert!((value(other, &t) - expected).abs() < 1e-12);
            assert!(value(&x, other).abs() < 1e-12 && value(other, &x).abs() < 1e-12);
        }
        let same = attention(&x, &x, 2, 4);
        assert!(same.value.abs() < 1e-15 && same.gradient.iter().all(|slope| slope.abs() < 1e-15));
        // A batch twice is the same mean.
        let twice = |values: &[f64]| [values, values].concat();
        assert!((attention(&twice(&x), &twice(&t), 4, 4).value - expected).abs() < 1e-12);
        // By hand: one sample, maps (9, 16) / sqrt(337) and (1, 0).
        let found = attention(&[3.0_f64, 4.0], &[1.0, 0.0], 1, 2).value;
        let norm = 337.0_f64.sqrt();
        let expected = ((9.0 / norm - 1.0).powi(2) + (16.0 / norm).powi(2)) / 2.0;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        // A map of zeros has no direction, and no gradient.
        assert!(attention(&[0.0_f64; 4], &[1.0; 4], 1, 4).gradient.iter().all(|slope| slope.abs() < 1e-15));
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let found = cross_entropy(&[1e4_f32, -1e4, 0.0], &[0], 3, 0.0);
        assert!(found.value.abs() < 1e-12, "{found:?}");
        assert_eq!(found.gradient, [0.0, 0.0, 0.0]);
        let found = cross_entropy(&[1e4_f32, -1e4, 0.0], &[1], 3, 0.0);
        assert!((found.value - 2e4).abs() < 1e-9, "{found:?}");
        let found = distillation(&[0.0_f64, 0.0], &[1e6, -1e6], 2, 1.0, DistillationFactor::One);
        assert!((found.value - 2.0_f64.ln()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn hinge_values() {
        // t · x = −0.5 (class 0 is not the label), 2: margins 1.5 and 0.
        let found = hinge(&[0.5_f64, 2.0], &[1], 2, Hinge::Squared);
        assert!((found.value - 1.125).abs() < 1e-15);
        assert_eq!(found.gradient, [1.5, 0.0]);
        let found = hinge(&[0.5_f64, 2.0], &[1], 2, Hinge::Linear);
        assert!((found.value - 0.75).abs() < 1e-15);
        assert_eq!(found.gradient, [0.5, 0.0]);
    }
}
