//! Eyeriss's configuration.

use serde::Deserialize;
use skimp_sim::SimError;
use toml::Table;

use crate::models::config::{positive, typed};
use crate::models::given::GivenMappings;

/// What the user may set; the preset documents each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    pub(super) zero_gating: bool,
    pub(super) compression: bool,
    pub(super) price_dram: bool,
    pub(super) costs: String,
    pub(super) clock_mhz: f64,
    pub(super) technology_nm: u32,
    pub(super) published_throughput_gmacs: f64,
    pub(super) published_area_mm2: f64,
    pub(super) published_power_mw: f64,
    pe_rows: u32,
    pe_columns: u32,
    filter_words: u32,
    ifmap_words: u32,
    psum_words: u32,
    pub(super) buffer_bytes: u32,
    channels_in_pass: u32,
    filter_prefetch: bool,
    filter_words_per_cycle: u32,
    ifmap_words_per_cycle: u32,
    psum_words_per_cycle: u32,
    link_mhz: f64,
    link_bytes: u32,
    link_overlaps: bool,
    mappings: Vec<String>,
}

/// The sizes that a mapping must fit, in processing elements and 16-bit words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hardware {
    pub(super) rows: u64,
    pub(super) columns: u64,
    pub(super) filter_words: u64,
    pub(super) ifmap_words: u64,
    pub(super) psum_words: u64,
    pub(super) buffer_words: u64,
    /// Most channels that a pass accumulates.
    pub(super) channels_in_pass: u64,
    /// Whether the free words of the filter register files take the next pass's filters.
    pub(super) filter_prefetch: bool,
    pub(super) filter_rate: u64,
    pub(super) ifmap_rate: u64,
    pub(super) psum_rate: u64,
    /// Bytes that the link moves in one cycle of the core.
    pub(super) link_bytes_per_cycle: f64,
    /// Whether the link runs beside the core.
    pub(super) link_overlaps: bool,
}

impl Hardware {
    pub(super) fn pes(&self) -> u64 {
        self.rows * self.columns
    }

    /// Cycles that the link needs for `words` of 16 bits.
    pub(super) fn link_cycles(&self, words: u64) -> u64 {
        (words as f64 * 2.0 / self.link_bytes_per_cycle).ceil() as u64
    }

    /// Runtime of a layer whose `words` cross the link and that takes `on_chip` cycles on the core.
    pub(super) fn runtime(&self, on_chip: u64, words: u64) -> u64 {
        let link = self.link_cycles(words);
        if self.link_overlaps { on_chip.max(link) } else { on_chip.saturating_add(link) }
    }
}

impl Config {
    pub(super) fn from_table(resolved: &Table) -> Result<Config, SimError> {
        let config: Config = typed(resolved)?;
        for (key, value) in [
            ("pe_rows", config.pe_rows),
            ("pe_columns", config.pe_columns),
            ("filter_words", config.filter_words),
            ("ifmap_words", config.ifmap_words),
            ("psum_words", config.psum_words),
            ("buffer_bytes", config.buffer_bytes),
            ("filter_words_per_cycle", config.filter_words_per_cycle),
            ("ifmap_words_per_cycle", config.ifmap_words_per_cycle),
            ("psum_words_per_cycle", config.psum_words_per_cycle),
            ("link_bytes", config.link_bytes),
        ] {
            positive(key, f64::from(value))?;
        }
        // Beyond this the search for a mapping is no closed form any more.
        for (key, value) in [("pe_rows", config.pe_rows), ("pe_columns", config.pe_columns)] {
            if value > 1024 {
                let reason = format!("expected at most 1024, found {value}");
                return Err(SimError::SettingValue { key: key.into(), reason });
            }
        }
        positive("clock_mhz", config.clock_mhz)?;
        positive("link_mhz", config.link_mhz)?;
        Ok(config)
    }

    /// The mappings that are given in the place of a search.
    pub(super) fn mappings(&self) -> Result<GivenMappings, SimError> {
        GivenMappings::read(&self.mappings)
    }

    pub(super) fn hardware(&self) -> Hardware {
        Hardware {
            rows: u64::from(self.pe_rows),
            columns: u64::from(self.pe_columns),
            filter_words: u64::from(self.filter_words),
            ifmap_words: u64::from(self.ifmap_words),
            psum_words: u64::from(self.psum_words),
            buffer_words: u64::from(self.buffer_bytes / 2),
            channels_in_pass: if self.channels_in_pass == 0 { u64::MAX } else { u64::from(self.channels_in_pass) },
            filter_prefetch: self.filter_prefetch,
            filter_rate: u64::from(self.filter_words_per_cycle),
            ifmap_rate: u64::from(self.ifmap_words_per_cycle),
            psum_rate: u64::from(self.psum_words_per_cycle),
            link_bytes_per_cycle: f64::from(self.link_bytes) * self.link_mhz / self.clock_mhz,
            link_overlaps: self.link_overlaps,
        }
    }
}
