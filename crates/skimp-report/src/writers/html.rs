//! The report for people.

use super::{OutputFile, Writer};
use crate::{ReportError, StudyRecord};

/// Writes `report.html`.
pub(super) struct Html;

impl Writer for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn summary(&self) -> &'static str {
        "report.html: one self-contained page with charts, opens offline"
    }

    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        Ok(vec![OutputFile { name: "report.html", text: crate::html::render(study) }])
    }
}
