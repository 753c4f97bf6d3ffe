//! One network trained under several precision policies.

use serde::{Deserialize, Serialize};

use super::SectionRecord;

/// The same network, images and seeds under several policies. Accuracies are fractions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecord {
    /// Label of the policy that the others are compared with.
    pub baseline: String,
    /// Seeds of the runs of each policy.
    pub seeds: Vec<u64>,
    /// Epochs of a run.
    pub epochs: u64,
    /// Images of a batch.
    pub batch_size: u64,
    /// Training images of an epoch.
    pub n_train_images: u64,
    /// Images that accuracy is measured on.
    pub n_validation_images: u64,
    /// Trained parameters.
    pub n_parameters: u64,
    /// The policies, in the order of the study.
    pub policies: Vec<PolicyRecord>,
}

impl SectionRecord for PrecisionRecord {
    const NAME: &'static str = "precision";
    const SCHEMA: &'static str = "skimp.precision/1";
}

impl PrecisionRecord {
    /// The policy of that label.
    pub fn policy(&self, label: &str) -> Option<&PolicyRecord> {
        self.policies.iter().find(|policy| policy.label == label)
    }
}

/// All runs of one policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Name in the report.
    pub label: String,
    /// The policy with its switches.
    pub precision: String,
    /// Label of the policy that this one takes something away from; `None` for a policy of its own right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ablates: Option<String>,
    /// Final accuracy on the validation images, over the runs that did not diverge; `None` if all did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<Spread>,
    /// Final accuracy minus that of the baseline with the same seed, over the seeds with which neither diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Spread>,
    /// Runs that diverged.
    pub n_diverged: u64,
    /// Steps whose update the policy skipped, over all runs.
    pub skipped_steps: u64,
    /// What rounding lost in training, over all runs. Empty for a policy that counts nothing.
    #[serde(default)]
    pub casts: Vec<CastRecord>,
    /// The runs, in the order of the seeds.
    pub runs: Vec<PolicyRun>,
}

/// Mean and deviation over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (of `n − 1` degrees of freedom); `None` for one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Runs.
    pub n: u64,
}

impl Spread {
    /// Mean and deviation of `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let std = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        (n > 0).then_some(Self { mean, std, n: n as u64 })
    }
}

/// How often rounding lost something in one class of tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CastRecord {
    /// The class: `weight`, `activation`, `error`, `weight-gradient`, `update`, ...
    pub class: String,
    /// Elements rounded.
    pub elements: u64,
    /// Elements beyond the greatest number.
    pub overflows: u64,
    /// Non-zero elements that became zero.
    pub underflows: u64,
    /// Elements that would have become subnormal and were flushed to zero.
    pub flushed: u64,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyRun {
    /// Its seed.
    pub seed: u64,
    /// Final accuracy on the validation images; `None` if the run diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Where and how the run diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// The finished epochs.
    pub curve: Vec<CurvePoint>,
}

/// One epoch of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss over its training images, each at the time of its step.
    pub train_loss: f64,
    /// Mean loss over the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of the validation images classified correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, std: None, n: 1 }));
        // Squares of −1, 0 and 1 over two degrees of freedom.
        assert_eq!(Spread::of(&[1.0, 2.0, 3.0]), Some(Spread { mean: 2.0, std: Some(1.0), n: 3 }));
    }
}
