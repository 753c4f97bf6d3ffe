//! The report for people.

use std::fs::File;
use std::io::Read;
use std::path::Path;

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

    fn file_names(&self) -> Vec<&'static str> {
        vec!["report.html"]
    }

    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        Ok(vec![OutputFile { name: "report.html", text: crate::html::render(study) }])
    }
}

/// Whether a file is a report that skimp wrote.
pub(super) fn is_report(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(2_000).read_to_end(&mut start));
    read.is_ok() && String::from_utf8_lossy(&start).contains("<meta name=\"generator\" content=\"skimp ")
}
