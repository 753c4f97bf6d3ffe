//! Cost tables: energy, power and area of components, each with its source.

use crate::SimError;
use crate::settings::nearest;

/// What the keys of a table name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priced {
    /// Components of one design (or family), by the keys that its model uses.
    #[default]
    Components,
    /// Physical operations, of which every design is made: see [`Operation`](crate::Operation). In files
    /// `prices = "operations"`.
    Operations,
}

/// Unit of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostUnit {
    /// Energy per event. In files `_pj`, or `_nj` (converted).
    Picojoule,
    /// Power while on. In files `_mw`.
    Milliwatt,
    /// Area. In files `_mm2`, or `_um2` (converted).
    SquareMillimeter,
}

impl CostUnit {
    /// Symbol.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            CostUnit::Picojoule => "pJ",
            CostUnit::Milliwatt => "mW",
            CostUnit::SquareMillimeter => "mm2",
        }
    }
}

/// One cost.
#[derive(Clone, Debug, PartialEq)]
pub struct CostEntry {
    /// `component.quantity` without the unit, for example `stt.read`.
    pub key: String,
    /// Value in [`unit`](Self::unit).
    pub value: f64,
    /// Unit.
    pub unit: CostUnit,
    /// Where the value comes from.
    pub source: String,
}

/// Costs of one process node and source. There is no scaling between nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTable {
    /// Name, kebab-case.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Process node.
    pub technology_nm: f64,
    /// What it prices.
    pub prices: Priced,
    /// All costs in the order of their keys.
    pub entries: Vec<CostEntry>,
}

const SUFFIXES: [(&str, CostUnit, f64); 5] = [
    ("_pj", CostUnit::Picojoule, 1.0),
    ("_nj", CostUnit::Picojoule, 1e3),
    ("_mw", CostUnit::Milliwatt, 1.0),
    ("_mm2", CostUnit::SquareMillimeter, 1.0),
    ("_um2", CostUnit::SquareMillimeter, 1e-6),
];

impl CostTable {
    /// Reads a table: `schema = 1`, `name`, `summary`, `technology_nm`, `prices` (`"components"`, which is the default, or
    /// `"operations"`), then one TOML table per component with a `source` and costs whose keys end in their unit (`_pj _nj _mw _mm2 _um2`).
    ///
    /// # Errors
    /// [`SimError::Toml`] for broken TOML, [`SimError::CostTable`] for an unknown key, unit or value.
    pub fn from_toml(text: &str) -> Result<CostTable, SimError> {
        let root: toml::Table =
            text.parse().map_err(|source| SimError::Toml { what: "cost table".into(), source: Box::new(source) })?;
        let name = root.get("name").and_then(toml::Value::as_str).unwrap_or("unnamed").to_owned();
        let fault = |key: &str, reason: &str| SimError::CostTable {
            table: name.clone(),
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        let mut table = CostTable {
            name: name.clone(),
            summary: String::new(),
            technology_nm: 0.0,
            prices: Priced::Components,
            entries: Vec::new(),
        };
        for required in ["schema", "name", "summary", "technology_nm"] {
            if !root.contains_key(required) {
                return Err(fault(required, "missing"));
            }
        }
        for (key, value) in &root {
            match key.as_str() {
                "schema" if value.as_integer() == Some(1) => {}
                "schema" => return Err(fault(key, "expected 1")),
                "name" if value.is_str() => {}
                "summary" => table.summary = value.as_str().ok_or_else(|| fault(key, "expected a string"))?.to_owned(),
                "technology_nm" => {
                    table.technology_nm =
                        number(value).filter(|&nm| nm > 0.0).ok_or_else(|| fault(key, "expected a positive number"))?;
                }
                "prices" => {
                    table.prices = match value.as_str() {
                        Some("components") => Priced::Components,
                        Some("operations") => Priced::Operations,
                        _ => return Err(fault(key, "expected \"components\" or \"operations\"")),
                    }
                }
                _ => {
                    let component = value.as_table().ok_or_else(|| fault(key, "expected the table of a component"))?;
                    read_component(key, component, &mut table.entries).map_err(|(key, reason)| fault(&key, &reason))?;
                }
            }
        }
        Ok(table)
    }

    /// Keys and values of all energies, in picojoules.
    pub fn energies(&self) -> impl Iterator<Item = (&str, f64)> {
        let energies = self.entries.iter().filter(|entry| entry.unit == CostUnit::Picojoule);
        energies.map(|entry| (entry.key.as_str(), entry.value))
    }

    /// Energy per event.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if there is no such key in energy.
    pub fn energy_pj(&self, key: &str) -> Result<f64, SimError> {
        self.value(key, CostUnit::Picojoule)
    }

    /// Power while on.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if there is no such key in power.
    pub fn power_mw(&self, key: &str) -> Result<f64, SimError> {
        self.value(key, CostUnit::Milliwatt)
    }

    /// Area.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if there is no such key in area.
    pub fn area_mm2(&self, key: &str) -> Result<f64, SimError> {
        self.value(key, CostUnit::SquareMillimeter)
    }

    fn value(&self, key: &str, unit: CostUnit) -> Result<f64, SimError> {
        match self.entries.iter().find(|entry| entry.unit == unit && entry.key == key) {
            Some(entry) => Ok(entry.value),
            None => Err(SimError::MissingCost {
                table: self.name.clone(),
                key: key.to_owned(),
                unit: unit.symbol(),
                design: "",
                nearest: nearest(key, self.entries.iter().map(|entry| entry.key.as_str())),
            }),
        }
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))
}

fn read_component(name: &str, fields: &toml::Table, entries: &mut Vec<CostEntry>) -> Result<(), (String, String)> {
    let path = |key: &str| format!("{name}.{key}");
    let source = fields.get("source").and_then(toml::Value::as_str).filter(|source| !source.is_empty());
    let source = source.ok_or_else(|| (path("source"), "missing: every cost needs a source".to_owned()))?;
    for (key, value) in fields.iter().filter(|(key, _)| *key != "source") {
        let suffix =
            SUFFIXES.iter().find_map(|&(suffix, unit, factor)| Some((key.strip_suffix(suffix)?, unit, factor)));
        let (quantity, unit, factor) =
            suffix.ok_or_else(|| (path(key), "the key must end in _pj, _nj, _mw, _mm2 or _um2".to_owned()))?;
        let value = number(value)
            .filter(|value| value.is_finite() && *value >= 0.0)
            .ok_or_else(|| (path(key), format!("expected a number of at least 0, found {value}")))?;
        entries.push(CostEntry { key: path(quantity), value: value * factor, unit, source: source.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schema = 1\nname = \"t\"\nsummary = \"s\"\ntechnology_nm = 45\n";

    #[test]
    fn units_are_read_from_keys() {
        let text = format!("{GOOD}[x]\nread_nj = 0.5\nstatic_mw = 2\narea_um2 = 250\nsource = \"here\"\n");
        let table = CostTable::from_toml(&text).unwrap();
        assert_eq!(table.energy_pj("x.read").unwrap().to_bits(), 500f64.to_bits());
        assert_eq!(table.power_mw("x.static").unwrap().to_bits(), 2f64.to_bits());
        assert!((table.area_mm2("x.area").unwrap() - 250e-6).abs() < 1e-12);
        let message = table.power_mw("x.statik").unwrap_err().to_string();
        assert_eq!(message, "cost table \"t\" has no \"x.statik\" in mW; did you mean \"x.static\"?");
    }

    #[test]
    fn malformed_tables_are_refused() {
        for (text, needle) in [
            (format!("{GOOD}[x]\nread_pj = 1\n"), "x.source"),
            (format!("{GOOD}[x]\nread = 1\nsource = \"s\"\n"), "must end in"),
            (format!("{GOOD}[x]\nread_pj = -1\nsource = \"s\"\n"), "at least 0"),
            (format!("{GOOD}typo = 1\n"), "typo"),
            (GOOD.replace("schema = 1", "schema = 2"), "expected 1"),
            (GOOD.replace("summary", "summery"), "summary"),
            ("schema = ".to_owned(), "cost table"),
        ] {
            let message = CostTable::from_toml(&text).unwrap_err().to_string();
            assert!(message.contains(needle), "{message:?} lacks {needle:?}");
        }
    }
}
