//! The tables of a study as CSV.

use super::{OutputFile, Writer};
use crate::table::Table;
use crate::{ReportError, StudyRecord, views};

/// Writes `layers.csv`, `cycles.csv`, `energy.csv`, `events.csv`, `findings.csv` and `distributions.csv`; of precision policies
/// `precision.csv`, `casts.csv` and `curves.csv`.
pub(super) struct Csv;

impl Writer for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn summary(&self) -> &'static str {
        "layers, cycles, energy, events, findings, distributions, precision, casts, curves (.csv): one row per observation"
    }

    fn file_names(&self) -> &'static [&'static str] {
        &[
            "layers.csv",
            "cycles.csv",
            "energy.csv",
            "events.csv",
            "findings.csv",
            "distributions.csv",
            "precision.csv",
            "casts.csv",
            "curves.csv",
        ]
    }

    /// Tables without rows are left out.
    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError> {
        let mut tables: Vec<(&'static str, Table)> = vec![("layers.csv", views::layers_table(&study.layers))];
        if let Some(simulation) = &study.simulation {
            tables.push(("cycles.csv", views::cycles_table(simulation)));
            tables.push(("energy.csv", views::energy_table(simulation)));
            tables.push(("events.csv", views::events_table(simulation)));
            tables.push(("findings.csv", views::layer_findings_table(simulation)));
            tables.push(("distributions.csv", views::distributions_table(simulation)));
        }
        if let Some(precision) = &study.precision {
            tables.push(("precision.csv", views::precision_table(precision)));
            tables.push(("casts.csv", views::casts_table(precision)));
            tables.push(("curves.csv", views::curves_table(precision)));
        }
        tables.retain(|(_, table)| !table.rows.is_empty());
        tables.into_iter().map(|(name, table)| Ok(OutputFile { name, text: table.to_csv()? })).collect()
    }
}
