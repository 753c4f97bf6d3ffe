//! Records that print as tables.

use skimp_report::records::OptimizeRecord;
use skimp_report::table::Table;
use skimp_report::views;

use crate::error::StudyError;

/// A record with a form for people and for spreadsheets beside its JSON.
pub trait Tabular: serde::Serialize {
    /// The tables; CSV is the first one.
    fn tables(&self) -> Vec<Table>;

    /// All tables as aligned text for a terminal of `width` columns; `None` for as wide as they are.
    fn to_text(&self, width: Option<usize>) -> String {
        self.tables().iter().map(|table| table.to_text(width)).collect::<Vec<_>>().join("\n")
    }

    /// The first table as CSV.
    ///
    /// # Errors
    /// [`StudyError::Report`] if the table cannot be written.
    fn to_csv(&self) -> Result<String, StudyError> {
        match self.tables().first() {
            Some(table) => Ok(table.to_csv()?),
            None => Ok(String::new()),
        }
    }
}

impl Tabular for OptimizeRecord {
    fn tables(&self) -> Vec<Table> {
        views::optimize_tables(self)
    }

    fn to_text(&self, width: Option<usize>) -> String {
        let tables: Vec<String> = self.tables().iter().map(|table| table.to_text(width)).collect();
        format!("{}\n{}", views::optimize_sentences(self), tables.join("\n"))
    }
}
