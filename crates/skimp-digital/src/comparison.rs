//! The comparison table of published designs and the models here.

use skimp_sim::{ComparisonRow, Provenance, SimError};
use toml::Table;

use crate::ACCELERATORS;

/// Rows without technology scaling: published rows that have no model yet, then each model's own rows, published
/// first, at its default preset.
///
/// # Errors
/// [`SimError`] if a default preset cannot be run.
pub fn comparison_table() -> Result<Vec<ComparisonRow>, SimError> {
    let mut rows = vec![eyeriss_row()];
    for model in ACCELERATORS {
        rows.extend(model.configure(&Table::new())?.comparison_rows()?);
    }
    Ok(rows)
}

/// # Source
/// Y.-H. Chen, T. Krishna, J. Emer, V. Sze, ISSCC 2016, paper 14.5, as tabulated in the 2019 lecture on efficient
/// neural processing: 168 processing elements at 250 MHz, core area. Not the 200 MHz, 278 mW working point.
fn eyeriss_row() -> ComparisonRow {
    ComparisonRow {
        design: "Eyeriss".into(),
        provenance: Provenance::Published,
        precision_bits: 16,
        technology_nm: 65.0,
        clock_mhz: 250.0,
        throughput_gmacs: 42.0,
        area_mm2: 12.25,
        power_mw: 450.0,
        note: "Y.-H. Chen et al., ISSCC 2016, as tabulated in the 2019 lecture on efficient neural processing".into(),
    }
}
