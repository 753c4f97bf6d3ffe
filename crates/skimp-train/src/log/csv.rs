//! Comma-separated values.

use std::path::{Path, PathBuf};

use super::{Log, LogFormat};
use crate::TrainError;
use crate::trainer::EpochRecord;

/// One line per epoch.
#[derive(Debug)]
pub(super) struct Csv;

impl LogFormat for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn summary(&self) -> &'static str {
        "log.csv: one line per epoch, accuracies as fractions"
    }

    fn source(&self) -> &'static str {
        "RFC 4180"
    }

    fn open(&self, folder: &Path, _step: u64) -> Result<Box<dyn Log>, TrainError> {
        Ok(Box::new(Table { path: folder.join("log.csv") }))
    }
}

#[derive(Debug)]
struct Table {
    path: PathBuf,
}

const HEADER: &str = "epoch,step,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,\
                      skipped_steps,seconds,images_per_second\n";

impl Log for Table {
    /// The whole file is written anew, so that lines of epochs that a resumed run repeats do not stay.
    fn epoch(&mut self, history: &[EpochRecord]) -> Result<(), TrainError> {
        let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let mut text = HEADER.to_owned();
        for record in history {
            let fields = [
                record.epoch.to_string(),
                record.step.to_string(),
                record.learning_rate.to_string(),
                record.train_loss.to_string(),
                record.train_accuracy.to_string(),
                optional(record.validation_loss),
                optional(record.validation_accuracy),
                record.skipped_steps.to_string(),
                format!("{:.3}", record.seconds),
                format!("{:.1}", record.images_per_second),
            ];
            text.push_str(&fields.join(","));
            text.push('\n');
        }
        let written = skimp_files::write(&self.path, |out| out.write_all(text.as_bytes()));
        written.map_err(|source| TrainError::Io { path: self.path.clone(), source })
    }
}
