//! Batch normalization and a step at 0, folded to one number for each channel.

use super::blocks::Norm;

/// A step where `sum + bias` reaches 0, of a sum whose sign may be turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Threshold {
    /// What is added to the sum.
    pub(crate) bias: f32,
    /// Whether all weights of the channel change their sign.
    pub(crate) is_turned: bool,
}

/// A sum that no real one reaches.
const BEYOND: f32 = 1e30;

/// Thresholds of whole sums from `−n` to `n`, which are multiplied by `scales` before the batch normalization.
///
/// `bias = 0.5 − t`, with `t` the least sum at which the channel fires: `sum + bias` is never 0. A channel that always
/// (never) fires has `t = −n` (`n + 1`).
///
/// # Rounding
/// `t` is found with the arithmetic of the training engine, so that no sum is decided otherwise.
pub(crate) fn whole(norm: &Norm, scales: &[f32], n: usize) -> Vec<Threshold> {
    let n = n as i64;
    let factors = norm.factors();
    let channels = factors.iter().zip(scales).zip(norm.mean.iter().zip(&norm.shift));
    channels
        .map(|((&factor, &scale), (&mean, &shift))| {
            let is_turned = factor < 0.0;
            let fires = |sum: i64| {
                let sum = if is_turned { -sum } else { sum };
                (sum as f32 * scale - mean) * factor + shift >= 0.0
            };
            // The least sum that fires lies in `low + 1 ..= high`; beyond the sums everything fires.
            let (mut low, mut high) = (-n - 1, n + 1);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if fires(middle) {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            Threshold { bias: 0.5 - high as f32, is_turned }
        })
        .collect()
}

/// Thresholds of real sums, which are multiplied by `scales` before the batch normalization.
///
/// # Rounding
/// `bias = −(mean − shift / factor) / scale` in f64, rounded once: sums within a few units in the last place of the
/// threshold may be decided otherwise than by the batch normalization.
pub(crate) fn real(norm: &Norm, scales: &[f32]) -> Vec<Threshold> {
    let factors = norm.factors();
    let channels = factors.iter().zip(scales).zip(norm.mean.iter().zip(&norm.shift));
    channels
        .map(|((&factor, &scale), (&mean, &shift))| {
            let is_turned = factor < 0.0;
            let (factor, scale) = (f64::from(factor), f64::from(scale));
            let threshold = (f64::from(mean) - f64::from(shift) / factor) / scale;
            if threshold.is_finite() && threshold.abs() < f64::from(BEYOND) {
                return Threshold { bias: if is_turned { threshold } else { -threshold } as f32, is_turned };
            }
            // The sum decides nothing.
            let fires = f64::from(shift) - f64::from(mean) * factor >= 0.0;
            Threshold { bias: if fires { BEYOND } else { -BEYOND }, is_turned: false }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use skimp_cpu::nhwc::{BatchNorm, Rectifier, Workspace, batch_norm_forward};
    use skimp_numerics::rng::Draws;

    use super::*;

    /// Random channels: factors of both signs, some 0, thresholds within and beyond the sums.
    fn norm(channels: usize, n: f64, seed: u64) -> Norm {
        let mut draws = Draws::new(seed, 7);
        let mut random =
            |deviation: f64| -> Vec<f32> { (0..channels).map(|_| (deviation * draws.normal()) as f32).collect() };
        let (mut scale, shift, mean) = (random(1.0), random(1.0), random(n / 2.0));
        let variance = random(n).iter().map(|v| v.abs()).collect();
        scale.iter_mut().step_by(17).for_each(|scale| *scale = 0.0);
        Norm { name: "n".to_owned(), epsilon: 1e-4, scale, shift, mean, variance }
    }

    /// What the training engine makes of the sums of one pixel.
    fn engine(norm: &Norm, sums: &[f32]) -> Vec<f32> {
        let inverse: Vec<f32> =
            norm.variance.iter().map(|&v| (1.0 / (f64::from(v) + f64::from(norm.epsilon)).sqrt()) as f32).collect();
        let constants =
            BatchNorm { mean: &norm.mean, inverse_deviation: &inverse, scale: &norm.scale, shift: &norm.shift };
        let mut y = vec![0.0; sums.len()];
        batch_norm_forward(&constants, sums, None, Rectifier::Identity, &mut y, &mut Workspace::new());
        y
    }

    #[test]
    fn whole_thresholds_decide_every_sum_as_the_batch_norm() {
        let channels = 256;
        for (seed, n) in [(1, 9), (2, 27), (3, 576), (4, 4608)] {
            let norm = norm(channels, f64::from(n), seed);
            for scale in [1.0_f32, 0.037] {
                let thresholds = whole(&norm, &vec![scale; channels], n as usize);
                assert!(thresholds.iter().any(|t| t.is_turned) && thresholds.iter().any(|t| !t.is_turned));
                for sum in -n..=n {
                    let y = engine(&norm, &vec![sum as f32 * scale; channels]);
                    for (channel, (y, threshold)) in y.iter().zip(&thresholds).enumerate() {
                        let sum = if threshold.is_turned { -sum } else { sum } as f32 + threshold.bias;
                        assert!(sum.abs() >= 0.5, "channel {channel}: {sum}");
                        assert_eq!(sum > 0.0, *y >= 0.0, "channel {channel}, sum {sum}, {y}: {threshold:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_worked_example_has_its_threshold() {
        let norm = Norm {
            name: "n".to_owned(),
            epsilon: 0.0,
            scale: vec![0.8, -0.8, 0.0, 0.0],
            shift: vec![-0.3, -0.3, 0.0, -1.0],
            mean: vec![4.2; 4],
            variance: vec![6.25; 4],
        };
        // theta = 4.2 + 0.3 · 2.5 / 0.8 = 5.1375: fires from 6 on. Turned: theta = 3.2625, fires up to 3.
        let found: Vec<(f32, bool)> = whole(&norm, &[1.0; 4], 20).iter().map(|t| (t.bias, t.is_turned)).collect();
        assert_eq!(found, [(0.5 - 6.0, false), (0.5 + 3.0, true), (20.5, false), (-20.5, false)]);
        let found = real(&norm, &[1.0; 4]);
        assert!((found[0].bias + 5.1375).abs() < 1e-6 && !found[0].is_turned, "{found:?}");
        assert!((found[1].bias - 3.2625).abs() < 1e-6 && found[1].is_turned, "{found:?}");
        assert!(found[2].bias > 1e29 && found[3].bias < -1e29, "{found:?}");
    }

    #[test]
    fn real_thresholds_decide_as_the_batch_norm_but_beside_them() {
        let channels = 512;
        let norm = norm(channels, 20.0, 9);
        let thresholds = real(&norm, &vec![0.5; channels]);
        let mut draws = Draws::new(11, 8);
        for _ in 0..200 {
            let sums: Vec<f32> = (0..channels).map(|_| (40.0 * draws.normal()) as f32).collect();
            let y = engine(&norm, &sums.iter().map(|sum| sum * 0.5).collect::<Vec<_>>());
            for ((sum, y), threshold) in sums.iter().zip(y).zip(&thresholds) {
                let sum = if threshold.is_turned { -sum } else { *sum };
                let beside = (sum + threshold.bias).abs() <= 1e-5 * sum.abs().max(1.0);
                assert!(beside || (sum + threshold.bias > 0.0) == (y >= 0.0), "{sum} {threshold:?} {y}");
            }
        }
    }
}
