//! The whole record as JSON.

use super::{OutputFile, Writer};
use crate::{ReportError, StudyRecord};

/// Writes `results.json`.
pub(super) struct Json;

impl Writer for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn summary(&self) -> &'static str {
        "results.json: the whole record, schema skimp.study/1"
    }

    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        Ok(vec![OutputFile { name: "results.json", text: study.to_json()? }])
    }
}
