//! Prices of reads, worked out from what cells and sense amplifiers are said to be.

use skimp_analog::{Cell, Node, SenseAmplifier};
use skimp_sim::{CostTable, SimError};

use crate::costs;

/// The word for a table that is worked out from the settings.
const WORKED_OUT: &str = "settings";

/// What has no entry in our sources, and so a price of 0.
pub(in crate::models) const ZEROES: &str = "priced at 0, for want of a source: drivers of rows, joining of partial sums (mirrors, votes, adders), buffers and transfers, \
     multiplexers, leakage";

/// What prices depend on.
#[derive(Clone, Debug)]
pub(in crate::models) struct Prices {
    pub(in crate::models) design: &'static str,
    pub(in crate::models) cell: Cell,
    /// Time of a read; 0 for as long as the sense amplifier takes.
    pub(in crate::models) read_ns: f64,
    pub(in crate::models) technology_nm: u32,
    /// LRS cells of a column that conduct in a typical read: what its resistance is worked out from.
    pub(in crate::models) conducting: f64,
    /// Bounds of the time of a sense amplifier: 0.5 to 50 ns, of one of several levels 1 to 10.
    pub(in crate::models) is_multi_level: bool,
    /// What the table says of itself.
    pub(in crate::models) summary: String,
}

impl Prices {
    fn node(&self) -> Result<Node, SimError> {
        match self.technology_nm {
            65 => Ok(Node::Nm65),
            45 => Ok(Node::Nm45),
            32 => Ok(Node::Nm32),
            22 => Ok(Node::Nm22),
            14 => Ok(Node::Nm14),
            other => Err(SimError::SettingValue {
                key: "technology_nm".into(),
                reason: format!("expected 14, 22, 32, 45 or 65 (nodes with a sense amplifier), found {other}"),
            }),
        }
    }

    /// Time of a read in seconds.
    pub(in crate::models) fn seconds(&self) -> Result<f64, SimError> {
        if self.read_ns > 0.0 {
            return Ok(1e-9 * self.read_ns);
        }
        let sense = SenseAmplifier { node: self.node()?, read_volts: self.cell.read_volts };
        let seconds = sense.seconds(1.0 / (self.conducting * self.cell.lrs_siemens()));
        Ok(if self.is_multi_level { seconds.clamp(1e-9, 1e-8) } else { seconds })
    }

    /// The table that `costs` asks for: `settings` for one that is worked out here, else a name or a table.
    ///
    /// # Errors
    /// [`SimError`] as [`costs::named_or_written`], or naming a setting.
    pub(in crate::models) fn table(&self, costs: &str) -> Result<CostTable, SimError> {
        if costs != WORKED_OUT {
            return costs::named_or_written(costs);
        }
        let (cell, seconds) = (self.cell, self.seconds()?);
        let sense = SenseAmplifier { node: self.node()?, read_volts: cell.read_volts };
        let cell_pj = |siemens: f64| 1e12 * cell.read_volts.powi(2) * siemens * seconds;
        let [low, high] = [cell.lrs_siemens(), cell.hrs_siemens()].map(cell_pj);
        // The fit is a constant and a share that grows with the column's conductance: spread over its LRS cells.
        let open = sense.watts(1e15);
        let of_cell = (sense.watts(1.0 / (self.conducting * cell.lrs_siemens())) - open) / self.conducting;
        let read = format!(
            "voltage squared times conductance times time: {} V, {} ohm, on/off {}, {:.3} ns",
            cell.read_volts,
            cell.lrs_ohm,
            cell.on_off_ratio(),
            1e9 * seconds
        );
        let fit = format!(
            "fit of a current sense amplifier in the code of DNN+NeuroSim V1.3, {} nm; its share that grows with conductance is spread \
             over {} conducting LRS cells of a column",
            self.technology_nm, self.conducting
        );
        let omitted = "omitted: no source at hand";
        let text = format!(
            "schema = 1\nname = \"{}-settings\"\nsummary = \"{}\"\ntechnology_nm = {}\n\
             [cell]\nlrs_read_pj = {low}\nhrs_read_pj = {high}\nbias_read_pj = {}\nsource = \"{read}\"\n\
             [sense]\nread_pj = {}\nlrs_cell_pj = {}\nsource = \"{fit}\"\n\
             [row]\ndrive_pj = 0\nsource = \"{omitted}\"\n[combine]\nsum_pj = 0\nsource = \"{omitted}\"\n\
             [buffer]\nbit_pj = 0\nsource = \"{omitted}\"\n[tile]\nleakage_mw = 0\nsource = \"{omitted}\"\n",
            self.design,
            self.summary,
            self.technology_nm,
            0.5 * (low + high),
            1e12 * open * seconds,
            1e12 * of_cell * seconds,
        );
        CostTable::from_toml(&text)
    }
}
