//! The embedded cost tables: one line each, a file of `configs/costs/`.

use std::sync::{Mutex, PoisonError};

use skimp_sim::{CostTable, SimError, nearest};

/// The tables, in the order of `skimp list costs`: name and text.
pub static COST_TABLES: &[(&str, &str)] = &[
    ("bitwave-16nm", include_str!("../../../configs/costs/bitwave-16nm.toml")),
    ("compend-45nm", include_str!("../../../configs/costs/compend-45nm.toml")),
    ("compend-45nm-low-pu", include_str!("../../../configs/costs/compend-45nm-low-pu.toml")),
    ("dadiannao-28nm", include_str!("../../../configs/costs/dadiannao-28nm.toml")),
    ("eyeriss-65nm", include_str!("../../../configs/costs/eyeriss-65nm.toml")),
    ("eyeriss-relative", include_str!("../../../configs/costs/eyeriss-relative.toml")),
    ("selective-gradients-45nm", include_str!("../../../configs/costs/selective-gradients-45nm.toml")),
    ("horowitz-45nm", include_str!("../../../configs/costs/horowitz-45nm.toml")),
    ("systolic-45nm", include_str!("../../../configs/costs/systolic-45nm.toml")),
    ("tpu-v1-28nm", include_str!("../../../configs/costs/tpu-v1-28nm.toml")),
    ("tetris-45nm-2d", include_str!("../../../configs/costs/tetris-45nm-2d.toml")),
    ("tetris-45nm-3d", include_str!("../../../configs/costs/tetris-45nm-3d.toml")),
];

/// The table that prices designs where they stand side by side: generic, one node, off-chip memory included.
pub const COMMON_COSTS: &str = "horowitz-45nm";

/// The table that a setting asks for: the name of an embedded one, or the text of a table, which has several lines.
///
/// # Errors
/// [`SimError::CostTable`] naming the nearest table if there is none of that name, and those of [`CostTable::from_toml`].
pub fn named_or_written(setting: &str) -> Result<CostTable, SimError> {
    if setting.contains('\n') {
        return CostTable::from_toml(setting);
    }
    match COST_TABLES.iter().find(|(known, _)| *known == setting) {
        Some((name, text)) => embedded(name, text),
        None => Err(SimError::CostTable {
            table: setting.to_owned(),
            key: "costs".into(),
            reason: format!(
                "no such table, and no such file; did you mean {:?}? (`auto`, `common` and `paper` are words for --costs)",
                nearest(setting, COST_TABLES.iter().map(|table| table.0))
            ),
        }),
    }
}

/// An embedded table, read once: every configured design has one.
fn embedded(name: &'static str, text: &str) -> Result<CostTable, SimError> {
    static READ: Mutex<Vec<(&str, CostTable)>> = Mutex::new(Vec::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, table)) = read.iter().find(|(known, _)| *known == name) {
        return Ok(table.clone());
    }
    let table = CostTable::from_toml(text)?;
    read.push((name, table.clone()));
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_tables_parse_under_their_names() {
        for (name, _) in COST_TABLES {
            let table = named_or_written(name).unwrap();
            assert_eq!(&table.name, name);
            assert!(!table.summary.is_empty() && table.technology_nm > 0.0);
        }
        let message = named_or_written("compend-45mn").unwrap_err().to_string();
        assert!(message.contains("\"compend-45nm\""), "{message}");
    }

    #[test]
    fn settings_name_a_table_or_hold_one() {
        let text = COST_TABLES[0].1;
        assert_eq!(named_or_written(text).unwrap(), named_or_written(COST_TABLES[0].0).unwrap());
        assert!(named_or_written("none").is_err());
    }
}
