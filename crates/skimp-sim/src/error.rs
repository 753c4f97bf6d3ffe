//! What can go wrong in a simulation.

use thiserror::Error;

/// Why an operand trace could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The provider does not offer this trace.
    #[error("the provider does not offer it")]
    NotOffered,
    /// The provider failed.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// An error of a simulation or of its configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// No accelerator of that name.
    #[error("unknown accelerator {name:?}; did you mean {nearest:?}? known: {known}")]
    UnknownAccelerator {
        /// What was asked for.
        name: String,
        /// The nearest known name.
        nearest: String,
        /// All known names.
        known: String,
    },
    /// A setting that the accelerator does not have.
    #[error("unknown setting {key:?}; did you mean {nearest:?}? known: {known}")]
    UnknownSetting {
        /// What was asked for.
        key: String,
        /// The nearest valid key.
        nearest: String,
        /// All valid keys.
        known: String,
    },
    /// A setting of the wrong type.
    #[error("setting {key:?}: expected {expected}, found {found}")]
    SettingType {
        /// The setting.
        key: String,
        /// Type of the preset's value.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A setting outside its range.
    #[error("setting {key:?}: {reason}")]
    SettingValue {
        /// The setting.
        key: String,
        /// What is expected and what was found.
        reason: String,
    },
    /// A setting that says something of a layer which is not simulated.
    #[error("setting {key:?}: no layer {layer:?} is simulated; did you mean {nearest:?}? known: {known}")]
    UnknownLayer {
        /// The setting.
        key: String,
        /// The layer that it names.
        layer: String,
        /// The nearest name of a layer that is simulated.
        nearest: String,
        /// All of them.
        known: String,
    },
    /// What the user gives for one layer, a mapping or other parameters, and the layer or the hardware cannot take.
    #[error("layer {layer:?}: {accelerator} does not take {what}")]
    NotTaken {
        /// The setting that holds it.
        key: &'static str,
        /// Name of the layer.
        layer: String,
        /// Name of the accelerator.
        accelerator: &'static str,
        /// What is given, and why it cannot be.
        what: String,
    },
    /// A file that is not the TOML that was expected.
    #[error("{what}: {source}")]
    Toml {
        /// Which preset or table.
        what: String,
        /// The parser's message.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A malformed cost table.
    #[error("cost table {table:?}: {key:?}: {reason}")]
    CostTable {
        /// Name of the table.
        table: String,
        /// The key at fault.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A cost that the table does not have.
    #[error("cost table {table:?} has no {key:?} in {unit}{}; did you mean {nearest:?}?", needed_by(design))]
    MissingCost {
        /// Name of the table.
        table: String,
        /// The cost asked for.
        key: String,
        /// Its unit.
        unit: &'static str,
        /// The design that needs it; empty where that is not known.
        design: &'static str,
        /// The nearest key of the table.
        nearest: String,
    },
    /// A table of components for a design that has none of its own.
    #[error(
        "layer {layer:?}: cost table {table:?} prices components, but of this design no costs by component are known; \
         take a table with prices = \"operations\""
    )]
    OperationsOnly {
        /// Name of the table.
        table: String,
        /// Name of the layer.
        layer: String,
    },
    /// A generic table for a design of which no operation is one that it prices.
    #[error(
        "{design}: cost table {table:?} prices arithmetic and memories, of which nothing is known in this design; take its own table \
         (--costs paper) or one of its components"
    )]
    ComponentsOnly {
        /// Name of the table.
        table: String,
        /// Label of the design.
        design: String,
    },
    /// A layer whose numbers contradict each other.
    #[error("layer {layer:?}: {reason}")]
    InvalidLayer {
        /// Name of the layer.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer that the accelerator's model cannot map.
    #[error("layer {layer:?}: {accelerator} does not support {what}")]
    Unsupported {
        /// Name of the layer.
        layer: String,
        /// Name of the accelerator.
        accelerator: &'static str,
        /// What is not supported.
        what: String,
    },
    /// The model needs operand values and none were given.
    #[error("layer {layer:?}: {accelerator} needs the operand trace {trace} of an image")]
    TraceRequired {
        /// Name of the layer.
        layer: String,
        /// Name of the accelerator.
        accelerator: &'static str,
        /// Which trace.
        trace: &'static str,
    },
    /// The model needs weight codes and the layer has a shape only.
    #[error("layer {layer:?}: {accelerator} needs weight codes, but the layer has a shape only")]
    WeightsRequired {
        /// Name of the layer.
        layer: String,
        /// Name of the accelerator.
        accelerator: &'static str,
    },
    /// A trace could not be computed.
    #[error("layer {layer:?}: trace {trace}: {source}")]
    Trace {
        /// Name of the layer.
        layer: String,
        /// Which trace.
        trace: &'static str,
        /// Why.
        #[source]
        source: TraceError,
    },
    /// A trace that does not fit the layer.
    #[error("layer {layer:?}: trace {trace}: expected {expected}, found {found}")]
    TraceShape {
        /// Name of the layer.
        layer: String,
        /// Which trace.
        trace: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// What a model works on, or works out, is not what the network computes.
    #[error(
        "layer {layer:?}: {what} give sums that differ from the exact ones ({n_different} of those compared); please report this"
    )]
    NotExact {
        /// Name of the layer.
        layer: String,
        /// What gives the sums.
        what: &'static str,
        /// Sums that differ.
        n_different: u64,
    },
    /// A design whose configuration asks for a search, where none can be made.
    #[error("{accelerator} searches {what} first, on labeled images of a network")]
    NeedsSearch {
        /// Name of the accelerator.
        accelerator: &'static str,
        /// What it searches.
        what: &'static str,
    },
    /// A model of one's own failed in a way of its own.
    #[error("{}{accelerator}: {source}", at_layer(layer))]
    Model {
        /// Name of the layer; empty where it is about none.
        layer: String,
        /// Name of the accelerator.
        accelerator: &'static str,
        /// What the model says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A search for parameters could not measure the network.
    #[error("search for parameters: {0}")]
    Tuning(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SimError {
    /// The error with the design that met it, where it lacks that.
    #[must_use]
    pub fn of_design(self, name: &'static str) -> Self {
        match self {
            SimError::MissingCost { table, key, unit, design: "", nearest } => {
                SimError::MissingCost { table, key, unit, design: name, nearest }
            }
            other => other,
        }
    }
}

impl SimError {
    /// The setting at fault, where it is one.
    #[must_use]
    pub fn setting(&self) -> Option<&str> {
        match self {
            SimError::UnknownSetting { key, .. }
            | SimError::SettingType { key, .. }
            | SimError::SettingValue { key, .. }
            | SimError::UnknownLayer { key, .. } => Some(key),
            SimError::NotTaken { key, .. } => Some(key),
            SimError::UnknownAccelerator { .. }
            | SimError::Toml { .. }
            | SimError::CostTable { .. }
            | SimError::MissingCost { .. }
            | SimError::OperationsOnly { .. }
            | SimError::ComponentsOnly { .. }
            | SimError::InvalidLayer { .. }
            | SimError::Unsupported { .. }
            | SimError::TraceRequired { .. }
            | SimError::WeightsRequired { .. }
            | SimError::Trace { .. }
            | SimError::TraceShape { .. }
            | SimError::NotExact { .. }
            | SimError::NeedsSearch { .. }
            | SimError::Model { .. }
            | SimError::Tuning(_) => None,
        }
    }
}

fn at_layer(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!("layer {layer:?}: ") }
}

fn needed_by(design: &str) -> String {
    if design.is_empty() { String::new() } else { format!(", which {design} needs") }
}
