//! The resolved configuration, ready to be run again.

use super::{OutputFile, Writer};
use crate::{ReportError, StudyRecord};

/// Writes `study.toml`.
pub(super) struct Config;

impl Writer for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn summary(&self) -> &'static str {
        "study.toml: the resolved configuration, which repeats the study"
    }

    fn file_names(&self) -> Vec<&'static str> {
        vec!["study.toml"]
    }

    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        if study.config_toml.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![OutputFile { name: "study.toml", text: study.config_toml.clone() }])
    }
}
