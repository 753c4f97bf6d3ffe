//! What a training run found, epoch by epoch.

use serde::{Deserialize, Serialize};

use super::SectionRecord;

/// A training run. Accuracies are fractions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// The precision policy, with its switches.
    pub precision: String,
    /// The update rule, with its settings.
    pub optimizer: String,
    /// The learning rate over the run, as it was written.
    pub schedule: String,
    /// What is minimized.
    pub loss: String,
    /// Images of a batch.
    pub batch_size: u64,
    /// Training images of an epoch.
    pub n_train_images: u64,
    /// Images that the network is measured on after each epoch; 0 for none.
    pub n_validation_images: u64,
    /// Trained parameters.
    pub n_parameters: u64,
    /// What the network could do before the first step, where it was trained already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TrainingStart>,
    /// The finished epochs.
    pub epochs: Vec<TrainingEpoch>,
}

impl SectionRecord for TrainingRecord {
    const NAME: &'static str = "training";
    const SCHEMA: &'static str = "skimp.training/1";
}

/// A trained network on the validation images, before it is trained further: epoch 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingStart {
    /// Mean loss over the validation images, where it is finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of validation images classified correctly.
    pub validation_accuracy: f64,
}

/// One epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingEpoch {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Steps of the run at its end.
    pub step: u64,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss over its training images, each at the time of its step.
    pub train_loss: f64,
    /// Share of training images classified correctly, each at the time of its step.
    pub train_accuracy: f64,
    /// Mean loss over the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of validation images classified correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Steps whose update the precision policy skipped.
    pub skipped_steps: u64,
    /// Wall-clock time of the training steps.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}
