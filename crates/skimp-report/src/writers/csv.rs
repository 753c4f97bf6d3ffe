//! The tables of a study as CSV.

use super::{OutputFile, Writer};
use crate::html::SECTIONS;
use crate::{ReportError, StudyRecord};

/// Writes a file for each table that the sections of the report have as CSV.
pub(super) struct Csv;

impl Writer for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn summary(&self) -> &'static str {
        "layers, cycles, energy, events, findings, distributions, precision, casts, curves, results (.csv): one row per observation"
    }

    fn file_names(&self) -> Vec<&'static str> {
        SECTIONS.iter().flat_map(|section| section.csv_names()).copied().collect()
    }

    /// Tables without rows are left out.
    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        let tables = SECTIONS.iter().flat_map(|section| section.csv_names().iter().zip(section.csv(study)));
        let file =
            |(&name, table): (&&'static str, crate::table::Table)| Ok(OutputFile { name, text: table.to_csv()? });
        tables.filter(|(_, table)| !table.rows.is_empty()).map(file).collect()
    }
}
