//! Text and tables of kinds of study that have no section of their own here.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::records::{TableRecord, TablesRecord};
use crate::table::Table;
use crate::views::fitted;

/// What a study found, as it says it itself.
pub(super) struct Tables;

impl Section for Tables {
    fn id(&self) -> &'static str {
        "results"
    }

    fn title(&self) -> &'static str {
        "Results"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let record = study.section::<TablesRecord>()?;
        let text = match record.text.as_str() {
            "" => String::new(),
            text => format!("<p class=\"lead\">{}</p>\n", escape(text)),
        };
        Some(text + &record.tables.iter().map(|table| table.table().to_html()).collect::<String>())
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let Some(record) = study.section::<TablesRecord>() else { return Vec::new() };
        let text = (!record.text.is_empty()).then(|| fitted(format!("{}\n", record.text), width));
        text.into_iter().chain(record.tables.iter().map(|table| table.table().to_text(width))).collect()
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["results.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        let record = study.section::<TablesRecord>();
        record.and_then(|record| record.tables.first()).map(TableRecord::table).into_iter().collect()
    }
}
