//! What is registered.

use serde::Serialize;
use skimp_data::{DATASETS, PRESETS};
use skimp_digital::ACCELERATORS;
use skimp_graph::onnx::operators;
use skimp_report::table::{Column, Table};

use crate::{NETWORKS, StudyError, Tabular, embedded_studies};

/// What [`list`] lists.
pub static LISTS: &[&str] = &["accelerators", "datasets", "preprocessings", "networks", "studies", "operators"];

/// Entries of one registry: `skimp.list/1`.
#[derive(Clone, Debug, Serialize)]
pub struct ListRecord {
    /// `skimp.list/1`.
    pub schema: &'static str,
    /// Which registry.
    pub list: String,
    /// Its entries, in order.
    pub entries: Vec<ListEntry>,
}

/// One registered thing.
#[derive(Clone, Debug, Serialize)]
pub struct ListEntry {
    /// Name on the command line.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Authors, venue, year; or where it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl ListEntry {
    fn new(name: impl Into<String>, summary: impl Into<String>, source: impl Into<String>) -> Self {
        Self { name: name.into(), summary: summary.into(), source: source.into() }
    }
}

impl Tabular for ListRecord {
    fn tables(&self) -> Vec<Table> {
        let with_source = self.entries.iter().any(|entry| !entry.source.is_empty());
        let mut columns = vec![Column::text("name", "name"), Column::text("summary", "summary")];
        if with_source {
            let header = if self.list == "preprocessings" { "as keys" } else { "source" };
            columns.push(Column::text("source", header));
        }
        let mut table = Table::new(self.list.clone(), columns);
        for entry in &self.entries {
            table.row(vec![entry.name.as_str().into(), entry.summary.as_str().into(), entry.source.as_str().into()]);
        }
        vec![table]
    }
}

/// The entries of a registry.
///
/// # Errors
/// [`StudyError::Usage`] if there is none called `what`.
pub fn list(what: &str) -> Result<ListRecord, StudyError> {
    let entries = match what {
        "accelerators" => ACCELERATORS.iter().map(|a| ListEntry::new(a.name(), a.summary(), a.source())).collect(),
        "datasets" => DATASETS.iter().map(|d| ListEntry::new(d.example(), d.summary(), d.source())).collect(),
        "preprocessings" => PRESETS.iter().map(|p| ListEntry::new(p.name, p.summary, p.keys)).collect(),
        "networks" => NETWORKS.iter().map(|n| ListEntry::new(n.name, n.summary, n.source)).collect(),
        "studies" => {
            embedded_studies()?.into_iter().map(|study| ListEntry::new(study.name, study.summary, "")).collect()
        }
        "operators" => operators().map(|name| ListEntry::new(name, "ONNX operator, import and export", "")).collect(),
        _ => return Err(StudyError::Usage(format!("no list \"{what}\", expected one of: {}", LISTS.join(", ")))),
    };
    Ok(ListRecord { schema: "skimp.list/1", list: what.to_owned(), entries })
}
