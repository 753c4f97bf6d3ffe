//! A cell as settings.

use serde::Deserialize;
use skimp_analog::Cell;
use skimp_sim::{NonIdeality, SimError};
use toml::Table;

/// The settings that [`CellSettings`] takes.
pub(in crate::models) const CELL_KEYS: [&str; 8] =
    ["lrs_ohm", "on_off_ratio", "read_volts", "lrs_spread", "hrs_spread", "read_noise", "stuck_at_lrs", "stuck_at_hrs"];

/// A cell's settings.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::models) struct CellSettings {
    lrs_ohm: f64,
    on_off_ratio: f64,
    read_volts: f64,
    lrs_spread: f64,
    hrs_spread: f64,
    read_noise: f64,
    stuck_at_lrs: f64,
    stuck_at_hrs: f64,
}

impl CellSettings {
    /// The cell.
    ///
    /// # Errors
    /// [`SimError::SettingValue`] naming a setting and its range.
    pub(in crate::models) fn cell(self) -> Result<Cell, SimError> {
        let refused = |key: &str, reason: String| Err(SimError::SettingValue { key: key.into(), reason });
        if !(self.on_off_ratio.is_finite() && self.on_off_ratio > 1.0) {
            let reason = format!("expected a number above 1, found {}", self.on_off_ratio);
            return refused("on_off_ratio", reason);
        }
        let cell = Cell {
            lrs_ohm: self.lrs_ohm,
            hrs_ohm: self.lrs_ohm * self.on_off_ratio,
            read_volts: self.read_volts,
            lrs_spread: self.lrs_spread,
            hrs_spread: self.hrs_spread,
            read_noise: self.read_noise,
            stuck_at_lrs: self.stuck_at_lrs,
            stuck_at_hrs: self.stuck_at_hrs,
        };
        match cell.check("cell") {
            Ok(()) => Ok(cell),
            Err(skimp_analog::AnalogError::Setting { key, found, expected, .. }) => {
                refused(&key, format!("expected {expected}, found {found}"))
            }
            Err(error) => refused("lrs_ohm", error.to_string()),
        }
    }
}

/// What is not ideal in the cells, with the settings without it.
pub(in crate::models) fn non_idealities(cell: &Cell) -> Vec<NonIdeality> {
    let none = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), toml::Value::Float(0.0))).collect::<Table>();
    let all = [
        ("spread of LRS", cell.lrs_spread, none(&["lrs_spread"])),
        ("spread of HRS", cell.hrs_spread, none(&["hrs_spread"])),
        ("noise of reads", cell.read_noise, none(&["read_noise"])),
        ("stuck cells", cell.stuck_at_lrs + cell.stuck_at_hrs, none(&["stuck_at_lrs", "stuck_at_hrs"])),
    ];
    let there = all.into_iter().filter(|(_, size, _)| *size > 0.0);
    there.map(|(name, _, without)| NonIdeality { name, without }).collect()
}
