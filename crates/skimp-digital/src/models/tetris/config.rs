//! Settings.

use serde::Deserialize;
use skimp_sim::{CostTable, SimError};
use toml::Table;

use super::super::config::{positive, typed};
use super::super::given::GivenMappings;
use super::blocking::{Accumulation, Goal, PsumRule, Tariff};
use super::partition::{Memory, PartitionRule};
use super::row_stationary::Fill;
use crate::costs;

/// Bytes of a word: energies and capacities are given for 16-bit words.
pub(super) const WORD_BYTES: u64 = 2;
const MAX_MESH: u32 = 16;
const MAX_BATCH: u32 = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    #[serde(rename = "technology_nm")]
    _technology_nm: u32,
    vault_rows: u32,
    vault_columns: u32,
    array_rows: u32,
    array_columns: u32,
    buffer_bytes: u64,
    register_bytes: u64,
    memory: String,
    dram_megabytes_per_s: f64,
    array_bus_words_per_cycle: f64,
    accumulation: String,
    count_first_psum_read: bool,
    batch: u32,
    search: String,
    goal: String,
    partition: String,
    whole_array: bool,
    mappings: Vec<String>,
}

/// How schedules are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// The best of all factors and orders.
    Exhaustive,
    /// The closed-form bypass schedules.
    Bypass,
}

impl Search {
    const ALL: [(&'static str, Search); 2] = [("exhaustive", Search::Exhaustive), ("bypass", Search::Bypass)];
}

/// Checked settings.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) clock_mhz: f64,
    pub(super) mesh: [u64; 2],
    pub(super) array: [u64; 2],
    pub(super) buffer_words: u64,
    pub(super) register_words: u64,
    pub(super) memory: Memory,
    /// Images scheduled together; `None` for as many as a workload has.
    pub(super) batch: Option<u64>,
    pub(super) search: Search,
    pub(super) partition: PartitionRule,
    pub(super) fill: Fill,
    pub(super) tariff: Tariff,
    pub(super) costs: CostTable,
    pub(super) vault_area_mm2: f64,
    /// Mappings in the place of a search.
    pub(super) given: GivenMappings,
}

fn choice<T: Copy>(key: &str, value: &str, known: &[(&'static str, T)]) -> Result<T, SimError> {
    match known.iter().find(|(name, _)| *name == value) {
        Some(&(_, chosen)) => Ok(chosen),
        None => {
            let names: Vec<_> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
            Err(range(key, format!("expected {}, found {value:?}", names.join(" or "))))
        }
    }
}

fn range(key: &str, reason: String) -> SimError {
    SimError::SettingValue { key: key.into(), reason }
}

/// A rate, infinite where the setting is 0.
fn rate(key: &str, value: f64) -> Result<f64, SimError> {
    match value {
        0.0 => Ok(f64::INFINITY),
        _ => positive(key, value).map(|()| value),
    }
}

impl Config {
    pub(super) fn new(resolved: &Table) -> Result<Self, SimError> {
        let settings: Settings = typed(resolved)?;
        positive("clock_mhz", settings.clock_mhz)?;
        for (key, value) in [("vault_rows", settings.vault_rows), ("vault_columns", settings.vault_columns)] {
            if !(1..=MAX_MESH).contains(&value) {
                return Err(range(key, format!("expected 1 to {MAX_MESH}, found {value}")));
            }
        }
        for (key, value) in [("array_rows", settings.array_rows), ("array_columns", settings.array_columns)] {
            if !(1..=1024).contains(&value) {
                return Err(range(key, format!("expected 1 to 1024, found {value}")));
            }
        }
        for (key, value) in [("buffer_bytes", settings.buffer_bytes), ("register_bytes", settings.register_bytes)] {
            if !(WORD_BYTES..=1 << 40).contains(&value) {
                return Err(range(key, format!("expected {WORD_BYTES} to 2^40, found {value}")));
            }
        }
        if settings.batch > MAX_BATCH {
            return Err(range("batch", format!("expected at most {MAX_BATCH}, found {}", settings.batch)));
        }
        let memory = choice("memory", &settings.memory, &Memory::ALL)?;
        let accumulation = choice("accumulation", &settings.accumulation, &Accumulation::ALL)?;
        if memory == Memory::Planar && accumulation != Accumulation::Engine {
            let reason = format!("{:?} needs stacked memory, memory = \"3d\"", settings.accumulation);
            return Err(range("accumulation", reason));
        }
        let costs = costs::named_or_written(&settings.costs)?;
        let words_per_us = rate("dram_megabytes_per_s", settings.dram_megabytes_per_s)? / WORD_BYTES as f64;
        let tariff = Tariff {
            mac_pj: costs.energy_pj("mac.op")?,
            register_pj: costs.energy_pj("rf.access")?,
            array_pj: costs.energy_pj("itcn.access")?,
            buffer_pj: costs.energy_pj("gbuf.access")?,
            dram_cell_pj: costs.energy_pj("dram.cell")?,
            dram_transfer_pj: costs.energy_pj("dram.transfer")?,
            hop_pj: costs.energy_pj("noc.hop")?,
            // mW over MHz is nJ per cycle.
            static_pj_per_cycle: costs.power_mw("static.power")? / settings.clock_mhz * 1e3,
            dram_words_per_cycle: words_per_us / settings.clock_mhz,
            bus_words_per_cycle: rate("array_bus_words_per_cycle", settings.array_bus_words_per_cycle)?,
            psum: PsumRule { accumulation, first_read: settings.count_first_psum_read },
            goal: choice("goal", &settings.goal, &Goal::ALL)?,
        };
        Ok(Config {
            clock_mhz: settings.clock_mhz,
            mesh: [settings.vault_rows, settings.vault_columns].map(u64::from),
            array: [settings.array_rows, settings.array_columns].map(u64::from),
            buffer_words: settings.buffer_bytes / WORD_BYTES,
            register_words: settings.register_bytes / WORD_BYTES,
            memory,
            batch: (settings.batch > 0).then(|| u64::from(settings.batch)),
            search: choice("search", &settings.search, &Search::ALL)?,
            partition: choice("partition", &settings.partition, &PartitionRule::ALL)?,
            tariff,
            fill: if settings.whole_array { Fill::Whole } else { Fill::Any },
            vault_area_mm2: costs.area_mm2("vault.area")?,
            costs,
            given: GivenMappings::read(&settings.mappings)?,
        })
    }

    pub(super) fn vaults(&self) -> u64 {
        self.mesh[0] * self.mesh[1]
    }

    pub(super) fn pes(&self) -> u64 {
        self.vaults() * self.array[0] * self.array[1]
    }
}
