//! What holds of a configured design, whatever it runs.

use toml::Table;

use crate::{CostTable, Energy, LayerResult, Loss, LossEvent, Scope, Scopes, SimError, losses};

/// What a design must see of a layer to count it; each holds those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Its shape.
    #[default]
    Shape,
    /// Its weight codes.
    Weights,
    /// The operand values of each image.
    Values,
}

impl Needs {
    /// What it is called in records and in front of readers.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Needs::Shape => "shapes",
            Needs::Weights => "weights",
            Needs::Values => "operand values",
        }
    }
}

/// The facts of a configured design. Records and reports show all of them; nothing else of a design is known in general.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Name of its model.
    pub name: &'static str,
    /// The resolved configuration; with the model's name it reproduces the design.
    pub config: Table,
    /// Clock.
    pub clock_mhz: f64,
    /// The cost table that prices its results by default.
    pub costs: CostTable,
    /// Area of the modeled components; 0 where neither source nor cost table gives one.
    pub area_mm2: f64,
    /// Dense peak rate in 10^9 multiply-accumulates per second at the configured precision; 0 where there is none.
    pub peak_gmacs: f64,
    /// Off-chip memory bandwidth that the model honors, in 10^9 bytes per second; `None` where memory never limits it.
    pub dram_gb_per_s: Option<f64>,
    /// Scopes in which the design spends energy that its model counts in no event. Networks and static power, where a
    /// model does not say otherwise: a table of its own may price them all the same.
    pub not_counted: Scopes,
    /// What the energies cover, in one sentence.
    pub energy_scope: &'static str,
    /// The events that count slots without useful work, for [`losses`](Self::losses).
    pub loss_events: Vec<LossEvent>,
    /// What it must see of a layer.
    pub needs: Needs,
    /// What it saves time or energy on, for readers: `zero activations`, `zero bits of weights`, ..
    pub exploits: Vec<&'static str>,
    /// What else a reader should know of this configuration, one remark each.
    pub remarks: Vec<String>,
    /// Whether only a table of its own components can price it: its operations are none that a generic table knows.
    pub own_costs_only: bool,
    /// What keeps it from computing what the integer network computes, each with the settings that rule it out; empty where
    /// nothing does, or where the parts cannot be told apart.
    pub non_idealities: Vec<NonIdeality>,
}

/// Something that is not ideal in a design.
#[derive(Clone, Debug, PartialEq)]
pub struct NonIdeality {
    /// What it is called.
    pub name: &'static str,
    /// Settings under which it is not there.
    pub without: Table,
}

impl Facts {
    /// A design that needs shapes only and exploits nothing; change fields for anything else.
    #[must_use]
    pub fn new(name: &'static str, config: Table, clock_mhz: f64, costs: CostTable) -> Self {
        Self {
            name,
            config,
            clock_mhz,
            costs,
            area_mm2: 0.0,
            peak_gmacs: 0.0,
            dram_gb_per_s: None,
            not_counted: Scopes::of(&[Scope::Network, Scope::Static]),
            energy_scope: "",
            loss_events: vec![LossEvent::IDLE],
            needs: Needs::Shape,
            exploits: Vec::new(),
            remarks: Vec::new(),
            own_costs_only: false,
            non_idealities: Vec::new(),
        }
    }

    /// Prices a result of the design, or a sum of them, with its default cost table.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if the table lacks a key.
    pub fn price(&self, result: &LayerResult) -> Result<Energy, SimError> {
        Energy::price(result, &self.costs, self.clock_mhz)
    }

    /// Why a result lies below the peak rate, from its counters: the largest loss first.
    #[must_use]
    pub fn losses(&self, result: &LayerResult) -> Vec<Loss> {
        losses(result, &self.loss_events, self.peak_gmacs * 1e3 / self.clock_mhz)
    }
}
