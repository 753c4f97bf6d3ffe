//! The whole record as JSON.

use super::{OutputFile, Writer};
use crate::{ReportError, StudyRecord};

/// The record's file.
pub(super) const FILE: &str = "results.json";

/// Writes `results.json`.
pub(super) struct Json;

impl Writer for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn summary(&self) -> &'static str {
        "results.json: the whole record, schema skimp.study/4"
    }

    fn file_names(&self) -> Vec<&'static str> {
        vec![FILE]
    }

    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        Ok(vec![OutputFile { name: FILE, text: study.to_json()? }])
    }
}
