//! The comparison table of published designs and the models here.

use skimp_sim::{ComparisonRow, SimError};
use toml::Table;

use crate::ACCELERATORS;

/// Rows without technology scaling: each model's own rows, published first, at its default preset.
///
/// # Errors
/// [`SimError`] if a default preset cannot be run.
pub fn comparison_table() -> Result<Vec<ComparisonRow>, SimError> {
    let mut rows = Vec::new();
    for model in ACCELERATORS {
        rows.extend(model.configure(&Table::new())?.comparison_rows()?);
    }
    Ok(rows)
}
