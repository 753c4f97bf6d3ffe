//! A simulation under cost tables, and its forms as text.

use skimp_report::SimulationRecord;
use skimp_report::records::{Coverage, LayerStatistics};
use skimp_report::table::Table;

use crate::error::StudyError;
use crate::tabular::Tabular;

/// What a simulation found, with energies by a cost table.
#[derive(Clone, Debug)]
pub struct Priced {
    /// Cycles, events and energy.
    pub record: SimulationRecord,
    /// Shapes and densities by layer.
    pub layers: Vec<LayerStatistics>,
    /// The part of the network's work that the integer network does in integers; `None` without a network.
    pub in_integers: Option<Coverage>,
    /// Operators that ran on real numbers between integer layers.
    pub float_nodes: Vec<String>,
}

impl serde::Serialize for Priced {
    /// As its record: `skimp.simulate/3`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(serializer)
    }
}

impl Tabular for Priced {
    fn tables(&self) -> Vec<Table> {
        self.record.tables()
    }

    fn to_text(&self, width: Option<usize>) -> String {
        self.record.to_text(width)
    }

    fn to_csv(&self) -> Result<String, StudyError> {
        self.record.to_csv()
    }
}

impl Tabular for SimulationRecord {
    fn tables(&self) -> Vec<Table> {
        vec![skimp_report::views::totals_table(self)]
    }

    fn to_text(&self, width: Option<usize>) -> String {
        skimp_report::views::simulation_text(self, width)
    }

    fn to_csv(&self) -> Result<String, StudyError> {
        Ok(skimp_report::views::simulation_csv(self)?)
    }
}
