//! ComPEND's configuration.

use serde::Deserialize;
use skimp_numerics::EndTest;
use skimp_sim::SimError;
use toml::Table;

use crate::models::config::{positive, typed};

/// What the user may set; the preset documents each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::models) struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    pub(super) end: bool,
    pub(super) end_test: String,
    pub(super) costs: String,
    pub(super) clock_mhz: f64,
    pub(super) technology_nm: u32,
    pub(super) published_area_mm2: f64,
    pub(super) published_power_mw: f64,
    pu_rows: u32,
    pub(super) pus_per_row: u32,
    inputs_per_pu: u32,
    max_divisions: u32,
    line_bytes: u32,
    pub(super) wb_banks: u32,
    pub(super) wb_bank_bytes: u32,
    pub(super) ab_banks: u32,
    pub(super) ab_bank_bytes: u32,
    pub(super) stt_banks: u32,
    pub(super) stt_bank_bytes: u32,
    stt_read_cycles: u32,
    stt_write_cycles: u32,
    weight_line_cycles: f64,
    pub(super) activation_line_cycles: f64,
    pub(super) faithful_root_count: bool,
    faithful_dense_blocks: bool,
    pub(super) model_writeback: bool,
}

impl Config {
    pub(in crate::models) fn from_table(resolved: &Table) -> Result<Config, SimError> {
        let config: Config = typed(resolved)?;
        for (key, value) in [
            ("pu_rows", config.pu_rows),
            ("pus_per_row", config.pus_per_row),
            ("inputs_per_pu", config.inputs_per_pu),
            ("max_divisions", config.max_divisions),
            ("line_bytes", config.line_bytes),
            ("wb_banks", config.wb_banks),
            ("wb_bank_bytes", config.wb_bank_bytes),
            ("ab_banks", config.ab_banks),
            ("ab_bank_bytes", config.ab_bank_bytes),
            ("stt_banks", config.stt_banks),
            ("stt_bank_bytes", config.stt_bank_bytes),
        ] {
            positive(key, f64::from(value))?;
        }
        for (key, value) in [
            ("clock_mhz", config.clock_mhz),
            ("weight_line_cycles", config.weight_line_cycles),
            ("activation_line_cycles", config.activation_line_cycles),
            ("published_area_mm2", config.published_area_mm2),
            ("published_power_mw", config.published_power_mw),
        ] {
            positive(key, value)?;
        }
        config.test()?;
        Ok(config)
    }

    /// The test of early negative detection.
    pub(super) fn test(&self) -> Result<EndTest, SimError> {
        match self.end_test.as_str() {
            "<0" => Ok(EndTest::Negative),
            "<=0" => Ok(EndTest::NonPositive),
            other => Err(SimError::SettingValue {
                key: "end_test".into(),
                reason: format!("expected \"<0\" or \"<=0\", found {other:?}"),
            }),
        }
    }

    /// Cycles per line of weights: off-chip memory, or the writes of the STT-RAM banks where these are slower.
    pub(super) fn weight_line_cycles(&self) -> f64 {
        self.weight_line_cycles.max(f64::from(self.stt_write_cycles) / f64::from(self.stt_banks))
    }

    /// Off-chip bandwidth in 10^9 bytes per second: the faster of the rates of weight and activation lines.
    pub(super) fn dram_gb_per_s(&self) -> f64 {
        let line_cycles = self.weight_line_cycles().min(self.activation_line_cycles);
        f64::from(self.line_bytes) / line_cycles * self.clock_mhz * 1e-3
    }

    pub(super) fn hardware(&self) -> Hardware {
        let bits = |banks: u32, bytes: u32| u64::from(banks) * u64::from(bytes) * 8;
        Hardware {
            leaf_pus: self.pu_rows as usize * self.pus_per_row as usize,
            inputs_per_pu: self.inputs_per_pu as usize,
            max_divisions: self.max_divisions as usize,
            line_bits: u64::from(self.line_bytes) * 8,
            wb_bits: bits(self.wb_banks, self.wb_bank_bytes),
            ab_bits: bits(self.ab_banks, self.ab_bank_bytes),
            stt_bits: bits(self.stt_banks, self.stt_bank_bytes),
            stt_read_cycles: u64::from(self.stt_read_cycles),
            stt_cycles_per_line: u64::from(self.stt_read_cycles.div_ceil(self.stt_banks).max(1)),
            faithful_dense_blocks: self.faithful_dense_blocks,
        }
    }
}

/// Sizes that the layout needs.
#[derive(Clone, Debug)]
pub(super) struct Hardware {
    pub(super) leaf_pus: usize,
    pub(super) inputs_per_pu: usize,
    pub(super) max_divisions: usize,
    pub(super) line_bits: u64,
    pub(super) wb_bits: u64,
    pub(super) ab_bits: u64,
    pub(super) stt_bits: u64,
    pub(super) stt_read_cycles: u64,
    pub(super) stt_cycles_per_line: u64,
    pub(super) faithful_dense_blocks: bool,
}
