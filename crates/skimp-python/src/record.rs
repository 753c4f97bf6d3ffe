//! Records, as the command line prints them.

use std::fmt;

use pyo3::prelude::*;
use skimp::{StudyError, StudyRecord, Tabular};

use crate::errors::{raised, usage};

/// What a record can be written as.
trait Written: Send + Sync {
    fn json(&self) -> serde_json::Result<String>;
    fn text(&self, width: Option<usize>) -> String;
    fn csv(&self) -> Result<String, StudyError>;
    fn html(&self) -> String;
}

impl<R: Tabular + Send + Sync> Written for R {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    fn text(&self, width: Option<usize>) -> String {
        self.to_text(width)
    }

    fn csv(&self) -> Result<String, StudyError> {
        self.to_csv()
    }

    fn html(&self) -> String {
        self.tables().iter().map(skimp::reporting::table::Table::to_html).collect()
    }
}

/// A study, which is no single table.
struct Study(StudyRecord);

impl Written for Study {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn text(&self, width: Option<usize>) -> String {
        skimp::study_text(&self.0, width)
    }

    fn csv(&self) -> Result<String, StudyError> {
        skimp::study_csv(&self.0)
    }

    fn html(&self) -> String {
        let text = self.text(None).replace('&', "&amp;").replace('<', "&lt;");
        format!("<pre>{text}</pre>")
    }
}

/// A record: JSON, text, CSV, HTML.
#[pyclass(frozen, module = "skimp._native")]
pub(crate) struct Record(Box<dyn Written>);

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    pub(crate) fn new(record: impl Tabular + Send + Sync + 'static) -> Self {
        Self(Box::new(record))
    }

    pub(crate) fn study(record: StudyRecord) -> Self {
        Self(Box::new(Study(record)))
    }
}

#[pymethods]
impl Record {
    /// The record as JSON.
    fn json(&self) -> PyResult<String> {
        self.0.json().map_err(|error| usage(format!("a record that is no JSON: {error}")))
    }

    /// Tables for a terminal of `width` columns.
    #[pyo3(signature = (width=None))]
    fn text(&self, width: Option<usize>) -> String {
        self.0.text(width)
    }

    /// One table.
    fn csv(&self, py: Python<'_>) -> PyResult<String> {
        self.0.csv().map_err(|error| raised(py, &error))
    }

    /// All tables.
    fn html(&self) -> String {
        self.0.html()
    }
}
