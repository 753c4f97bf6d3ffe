//! What was assumed.

use super::Section;
use crate::StudyRecord;
use crate::table::{Column, Table};

/// Assumptions and their sources.
pub(super) struct Assumptions;

impl Section for Assumptions {
    fn id(&self) -> &'static str {
        "assumptions"
    }

    fn title(&self) -> &'static str {
        "Assumptions and sources"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        if study.assumptions.is_empty() {
            return None;
        }
        let columns = vec![Column::text("assumption", "assumption"), Column::text("source", "source or reason")];
        let mut table = Table::new("What the figures rest on", columns);
        for assumption in &study.assumptions {
            table.row(vec![assumption.text.clone().into(), assumption.source.clone().into()]);
        }
        Some(table.to_html())
    }
}
