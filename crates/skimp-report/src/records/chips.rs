//! Accuracy of a sample of chips.

use serde::{Deserialize, Serialize};

/// The accuracy of several chips of one design, on the images of [`EffectAccuracy`](super::EffectAccuracy).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChipsRecord {
    /// Share of images that the exact network classifies right.
    pub top1_exact: f64,
    /// Mean of the chips.
    pub mean: f64,
    /// Standard deviation among chips; 0 of one.
    pub deviation: f64,
    /// Bounds of the 95 % confidence interval of the mean, by Student's t; of one chip 0 and 1.
    pub interval: [f64; 2],
    /// Share of right answers of each chip, in the order of their numbers.
    pub top1: Vec<f64>,
    /// What of the loss each non-ideality makes; empty where nobody asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attribution: Vec<AttributionRecord>,
    /// Points of the loss that the non-idealities, each alone, do not add up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction_points: Option<f64>,
}

/// What one non-ideality does to the accuracy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttributionRecord {
    /// What it is called.
    pub name: String,
    /// Points that chips lose which have nothing else, mean of the chips.
    pub alone_points: f64,
    /// Points that chips win back without it, all else being there, mean of the chips.
    pub removed_points: f64,
}

/// Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1 on.
///
/// # Source
/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, table 26.10.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

impl ChipsRecord {
    /// The statistics of chips with these shares of right answers, of which there is at least one.
    pub fn new(top1_exact: f64, top1: Vec<f64>) -> Self {
        let n = top1.len() as f64;
        let mean = top1.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = top1.iter().map(|x| (x - mean).powi(2)).sum();
        let (deviation, interval) = match top1.len() {
            0 | 1 => (0.0, [0.0, 1.0]),
            len => {
                let deviation = (squares / (n - 1.0)).sqrt();
                // Beyond 30 degrees the quantile is within 0.05 of the normal one, and above it.
                let t = STUDENT.get(len - 2).copied().unwrap_or(1.96 + 2.5 / (n - 1.0));
                let half = t * deviation / n.sqrt();
                (deviation, [(mean - half).max(0.0), (mean + half).min(1.0)])
            }
        };
        Self { top1_exact, mean, deviation, interval, top1, attribution: Vec::new(), interaction_points: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let record = ChipsRecord::new(0.9, vec![0.5, 0.6, 0.7]);
        assert!((record.mean - 0.6).abs() < 1e-12 && (record.deviation - 0.1).abs() < 1e-12);
        // 4.303 · 0.1 / sqrt(3).
        assert!((record.interval[1] - 0.6 - 0.248_434).abs() < 1e-5, "{:?}", record.interval);
        assert_eq!(ChipsRecord::new(0.9, vec![0.5]).interval.map(f64::to_bits), [0.0_f64, 1.0].map(f64::to_bits));
        // Of 100 chips 1.984.
        let many = ChipsRecord::new(0.9, (0..100).map(|idx| 0.5 + f64::from(idx % 2) * 0.1).collect());
        let t = (many.interval[1] - many.mean) / many.deviation * 10.0;
        assert!((t - 1.984).abs() < 0.003, "{t}");
    }
}
