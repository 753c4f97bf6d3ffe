//! The comparison table of published designs and the models here.

use skimp_sim::{AcceleratorModel, ComparisonRow, Configured, SimError};
use toml::Table;

/// Rows without technology scaling: each model's own rows, published first, at its default preset.
///
/// # Errors
/// [`SimError`] if a default preset cannot be run.
pub fn comparison_table(models: &[&'static dyn AcceleratorModel]) -> Result<Vec<ComparisonRow>, SimError> {
    let mut rows = Vec::new();
    for model in models {
        if let Configured::Ready(accelerator) = model.configure(&Table::new())? {
            rows.extend(accelerator.comparison_rows()?);
        }
    }
    Ok(rows)
}
