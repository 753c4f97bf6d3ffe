//! What is registered.

use serde::Serialize;
use serde_json::{Map, Value};
use skimp_analog::{DEVICES, Device};
use skimp_data::{DATASETS, PRESETS};
use skimp_digital::ACCELERATORS;
use skimp_digital::costs::{COST_TABLES, named_or_written};
use skimp_graph::networks::{self, NetworkDefinition};
use skimp_graph::onnx::{KnownOperator, operators};
use skimp_numerics::formats::{FORMATS, FormatEntry};
use skimp_reduce::{METHODS, Method, Needs, Removes};
use skimp_report::table::{Column, Table};
use skimp_train::augment::AUGMENTATIONS;
use skimp_train::log::LOG_FORMATS;
use skimp_train::optimizer::OPTIMIZERS;
use skimp_train::policy::POLICIES;
use skimp_train::quantizer::{QUANTIZERS, QuantizerEntry};
use skimp_train::schedule::SCHEDULES;

use crate::error::StudyError;
use crate::inputs::network::NETWORKS;
use crate::reduce::commands::{OWN_COMMANDS, OwnCommand};
use crate::studies::STUDY_KINDS;
use crate::studies::config::StudyConfig;
use crate::studies::embedded::{STUDIES, embedded_studies};
use crate::tabular::Tabular;

/// What [`list`] lists.
pub static LISTS: &[&str] = &[
    "accelerators",
    "costs",
    "datasets",
    "preprocessings",
    "networks",
    "studies",
    "study-kinds",
    "operators",
    "formats",
    "methods",
    "devices",
    "optimizers",
    "schedules",
    "augmentations",
    "policies",
    "quantizers",
    "logs",
];

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
    /// What else the registry tells, with the same keys for every entry; a missing fact is `null`.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl ListEntry {
    /// A name and a line.
    pub fn new(name: impl Into<String>, summary: impl Into<String>, source: impl Into<String>) -> Self {
        Self { name: name.into(), summary: summary.into(), source: source.into(), facts: Map::new() }
    }

    fn costs(name: &str) -> Result<Self, StudyError> {
        let table = named_or_written(name)?;
        let facts = Map::from_iter([("technology_nm".to_owned(), Value::from(table.technology_nm))]);
        Ok(Self { facts, ..Self::new(name, table.summary, "") })
    }

    fn method(method: &dyn Method) -> Self {
        let facts = method.facts();
        let removes = match facts.removes {
            Removes::Weights => "weights",
            Removes::Channels => "channels",
            Removes::Operations => "operations",
        };
        let needs = match facts.needs {
            Needs::Nothing => "nothing",
            Needs::Images => "images",
            Needs::Training => "training",
        };
        let settings = serde_json::to_value(method.settings()).unwrap_or_default();
        let command = "skimp prune --method".into();
        let told = [("command", command), ("removes", removes.into()), ("needs", needs.into()), ("settings", settings)];
        let told = told.map(|(key, value): (&str, Value)| (key.to_owned(), value));
        Self { facts: Map::from_iter(told), ..Self::new(facts.name, facts.summary, facts.source) }
    }

    fn own_command(entry: &OwnCommand) -> Self {
        let told = [
            ("command", entry.command.into()),
            ("removes", Value::Null),
            ("needs", "training".into()),
            ("settings", Value::Object(Map::new())),
        ];
        let facts = told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { facts, ..Self::new(entry.name, entry.summary, entry.source) }
    }

    fn device(device: &Device) -> Self {
        let cell = device.cell(&toml::Table::new()).ok().and_then(|cell| serde_json::to_value(cell).ok());
        let facts = cell.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        Self { facts, ..Self::new(device.name, device.summary, "") }
    }

    fn quantizer(quantizer: &dyn QuantizerEntry) -> Self {
        let settings: Vec<String> =
            quantizer.switches().iter().map(|switch| format!("{}={}", switch.name, switch.default)).collect();
        let told = [
            ("weights", quantizer.weights().to_owned()),
            ("activations", quantizer.activations().to_owned()),
            ("precision", if quantizer.name() == "float" { "any" } else { "fp32" }.to_owned()),
            ("settings", settings.join(", ")),
        ];
        let facts = told.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        Self { facts, ..Self::new(quantizer.name(), quantizer.summary(), quantizer.source()) }
    }

    fn study(study: StudyConfig) -> Self {
        let facts = Map::from_iter([("kind".to_owned(), Value::from(study.plan.kind()))]);
        Self { facts, ..Self::new(study.header.name, study.header.summary, "") }
    }

    fn format(format: &FormatEntry) -> Self {
        let facts = [
            ("bits", Value::from(format.bits())),
            ("max", Value::from(format.max())),
            ("min_normal", Value::from(format.min_normal())),
            ("min_subnormal", Value::from(format.min_subnormal())),
            ("specials", Value::from(format.specials())),
        ];
        let facts = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { facts, ..Self::new(format.name, format.summary, format.source) }
    }
}

/// A fact in a table: numbers shortly.
fn shown(fact: &Value) -> String {
    match fact {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => match other.as_f64() {
            Some(number) if number.abs() < f64::MIN_POSITIVE || (1e-2..1e5).contains(&number.abs()) => {
                format!("{number}")
            }
            Some(number) => format!("{number:.4e}"),
            None => other.to_string(),
        },
    }
}

impl Tabular for ListRecord {
    fn tables(&self) -> Vec<Table> {
        let with_source = self.entries.iter().any(|entry| !entry.source.is_empty());
        let mut columns = vec![Column::text("name", "name"), Column::text("summary", "summary")];
        let facts =
            self.entries.first().map(|entry| entry.facts.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        columns.extend(facts.iter().map(|key| Column::text(key.as_str(), key.replace('_', " "))));
        if with_source {
            let header = if self.list == "preprocessings" { "as keys" } else { "source" };
            columns.push(Column::text("source", header));
        }
        let mut table = Table::new(self.list.clone(), columns);
        for entry in &self.entries {
            let mut cells = vec![entry.name.as_str().into(), entry.summary.as_str().into()];
            cells.extend(facts.iter().map(|key| shown(&entry.facts[key]).into()));
            cells.push(entry.source.as_str().into());
            table.row(cells);
        }
        vec![table]
    }
}

/// Whether an embedded network has this name, which then comes first where a network is opened.
fn is_embedded(name: &str) -> bool {
    NETWORKS.iter().any(|network| network.name == name)
}

/// A built-in network with its own settings.
fn built_in_network(network: &NetworkDefinition) -> ListEntry {
    let own: Vec<String> = network.settings.iter().map(|own| format!("{}={}", own.name, own.default)).collect();
    let settings = if own.is_empty() { String::new() } else { format!("; settings: {}", own.join(", ")) };
    ListEntry::new(network.name, format!("untrained: {}{settings}", network.summary), network.source)
}

/// The names of a registry's entries, for those who type them; none for one that [`list`] does not know.
#[must_use]
pub fn names(what: &str) -> Vec<&'static str> {
    match what {
        "accelerators" => ACCELERATORS.iter().map(|entry| entry.name()).collect(),
        "costs" => COST_TABLES.iter().map(|(name, _)| *name).collect(),
        "datasets" => DATASETS.iter().map(|entry| entry.example()).collect(),
        "preprocessings" => PRESETS.iter().map(|entry| entry.name).collect(),
        "networks" => NETWORKS.iter().map(|n| n.name).chain(networks::networks().map(|n| n.name)).collect(),
        "studies" => STUDIES.iter().map(|(name, _)| *name).collect(),
        "study-kinds" => STUDY_KINDS.iter().map(|kind| kind.name()).collect(),
        "methods" => METHODS.iter().map(|method| method.facts().name).collect(),
        "devices" => DEVICES.iter().map(|device| device.name).collect(),
        "optimizers" => OPTIMIZERS.iter().map(|entry| entry.name()).collect(),
        "schedules" => SCHEDULES.iter().map(|entry| entry.name()).collect(),
        "augmentations" => AUGMENTATIONS.iter().map(|entry| entry.name()).collect(),
        "policies" => POLICIES.iter().map(|entry| entry.name()).collect(),
        "quantizers" => QUANTIZERS.iter().map(|entry| entry.name()).collect(),
        "logs" => LOG_FORMATS.iter().map(|entry| entry.name()).collect(),
        "formats" => FORMATS.iter().map(|entry| entry.name).collect(),
        _ => Vec::new(),
    }
}

/// The entries of a registry.
///
/// # Errors
/// [`StudyError::Setting`] if there is none called `what`.
pub fn list(what: &str) -> Result<ListRecord, StudyError> {
    let entries = match what {
        "accelerators" => ACCELERATORS.iter().map(|a| ListEntry::new(a.name(), a.summary(), a.source())).collect(),
        "costs" => COST_TABLES.iter().map(|&(name, _)| ListEntry::costs(name)).collect::<Result<_, _>>()?,
        "datasets" => DATASETS.iter().map(|d| ListEntry::new(d.example(), d.summary(), d.source())).collect(),
        "preprocessings" => PRESETS.iter().map(|p| ListEntry::new(p.name, p.summary, p.keys)).collect(),
        "networks" => NETWORKS
            .iter()
            .map(|n| ListEntry::new(n.name, n.summary, n.source))
            .chain(networks::networks().filter(|n| !is_embedded(n.name)).map(built_in_network))
            .collect(),
        "studies" => embedded_studies()?.into_iter().map(ListEntry::study).collect(),
        "study-kinds" => STUDY_KINDS.iter().map(|kind| ListEntry::new(kind.name(), kind.summary(), "")).collect(),
        "methods" => {
            let own = OWN_COMMANDS.iter().map(ListEntry::own_command);
            METHODS.iter().map(|method| ListEntry::method(*method)).chain(own).collect()
        }
        "devices" => DEVICES.iter().map(ListEntry::device).collect(),
        "optimizers" => OPTIMIZERS.iter().map(|o| ListEntry::new(o.name(), o.summary(), o.source())).collect(),
        "schedules" => SCHEDULES.iter().map(|s| ListEntry::new(s.name(), s.summary(), s.source())).collect(),
        "augmentations" => AUGMENTATIONS.iter().map(|a| ListEntry::new(a.name(), a.summary(), a.source())).collect(),
        "policies" => POLICIES.iter().map(|p| ListEntry::new(p.name(), p.summary(), p.source())).collect(),
        "quantizers" => QUANTIZERS.iter().map(|q| ListEntry::quantizer(*q)).collect(),
        "logs" => LOG_FORMATS.iter().map(|l| ListEntry::new(l.name(), l.summary(), l.source())).collect(),
        "operators" => operators().map(listed_operator).collect(),
        "formats" => FORMATS.iter().map(|format| ListEntry::format(format)).collect(),
        _ => {
            let (found, expected) = (what.to_owned(), format!("one of: {}", LISTS.join(", ")));
            return Err(StudyError::Setting { setting: "list", found, expected });
        }
    };
    Ok(ListRecord { schema: "skimp.list/1", list: what.to_owned(), entries })
}

fn listed_operator(operator: KnownOperator) -> ListEntry {
    let KnownOperator { domain, name, treatment } = operator;
    let name = if domain.is_empty() { name.to_owned() } else { format!("{domain}.{name}") };
    ListEntry::new(name, treatment, "")
}
