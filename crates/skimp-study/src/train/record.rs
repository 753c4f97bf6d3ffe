//! What a training run leaves behind, as a record.

use serde::Serialize;
use skimp_report::records::{DataRecord, ModelRecord, TrainingEpoch, TrainingRecord};
use skimp_report::table::Table;
use skimp_report::views::training_table;
use skimp_train::trainer::EpochRecord;

use crate::tabular::Tabular;
use crate::train::config::TrainConfig;

/// A training run: `skimp.train/1`. Accuracies are fractions.
#[derive(Clone, Debug, Serialize)]
pub struct TrainRecord {
    /// `skimp.train/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network before training.
    pub model: ModelRecord,
    /// The training images.
    pub data: DataRecord,
    /// The images that the network was measured on, where they are another split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_data: Option<DataRecord>,
    /// The trained network.
    pub output: OutputRecord,
    /// Folder of checkpoints, logs and report.
    pub folder: String,
    /// The resolved configuration.
    pub config: TrainConfig,
    /// Epochs and totals.
    pub training: TrainingRecord,
    /// Share of the validation images that the trained network classifies correctly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Mean loss on the validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Wall-clock time of all training steps, over all parts of a resumed run.
    pub seconds: f64,
}

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
pub struct OutputRecord {
    /// Where.
    pub path: String,
    /// SHA-256 of the content.
    pub sha256: String,
    /// Size.
    pub size_bytes: u64,
}

impl Tabular for TrainRecord {
    fn tables(&self) -> Vec<Table> {
        let mut table = training_table(&self.training);
        table.caption = format!("{} trained on {}, measured here", self.model.name, self.data.name);
        vec![table]
    }
}

pub(crate) fn epoch(record: &EpochRecord) -> TrainingEpoch {
    TrainingEpoch {
        epoch: record.epoch,
        step: record.step,
        learning_rate: record.learning_rate,
        train_loss: record.train_loss,
        train_accuracy: record.train_accuracy,
        validation_loss: record.validation_loss,
        validation_accuracy: record.validation_accuracy,
        skipped_steps: record.skipped_steps,
        seconds: record.seconds,
        images_per_second: record.images_per_second,
    }
}
