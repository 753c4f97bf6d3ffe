//! TETRIS: a row-stationary engine under each vault of a 3D memory, and its 2D baseline.
//!
//! # Cycles
//! A layer is split over the vaults, mapped row-stationary on each array, and its loops are blocked for buffer and
//! registers; the best schedule for the goal is taken. `time = max(compute, array bus, memory)`: perfect overlap, so
//! the phases are the compute time and what bus or memory add to it. Fidelity: analytical, whole layers; no contention
//! in the network between vaults, no row misses, no fill and drain.
//!
//! # Counts
//! Words per level of the hierarchy (16 bits each), words times hops between vaults, multiply-accumulates, idle slots.
//!
//! # Mapping
//! The numbers of a result name one plan, and `mappings` takes them, all or some. Parts of batch, output map and output
//! channels, with those of batch and channels that lie along the rows of the mesh (`batch_rows`, `output_rows`) and
//! whether parts of channels lie further apart than tiles (`output_outside`); what a pass computes side by side and in
//! folds; factors of the loops over ifmaps (`ti`), ofmaps (`to`) and images (`tb`) around the buffer (`_memory`), between
//! it and the registers (`_buffer`) and inside them (`_registers`), the passes in all; which loop is innermost
//! (`inner_memory`, `inner_buffer`): 0 ifmaps, 1 ofmaps, 2 images. What lies in the buffer follows from that.
//!
//! # Assumptions
//! - Partial sums move `2 · rounds − 1` times, or `2 · rounds` with `count_first_psum_read`; with an adder in memory
//!   one update per round crosses the TSVs (from `dram-die` on) while the cells still read and write. Only `bank` and
//!   `subarray` relieve the bus that a die shares, which bounds the bandwidth; the network carries updates with any
//!   adder outside the engine. The area of the adders is not modeled.
//! - The energy of the stack is split into cells and transfer; the split is assumed, the sum is published.
//! - Padding is moved and stored like data, as in the open model. Zeros are multiplied.
//! - In a network each layer finds its ifmaps where the layer before it in the list left its ofmaps, in branches, too. The
//!   first layer, and a layer alone, finds them laid out as it would lay out its own ofmaps.
//! - Rows and columns of an array may stay idle, which the open model does not consider (`whole_array`): what fits a
//!   smaller array fits a larger one. So more rows, columns, buffer, registers or bandwidth never make the goal worse.
//!   Vaults all work, as in the open model, and more of them may cost more.
//! - Images are scheduled `batch` at a time; the result is the share of the workload's images, rounded up.
//!
//! # Gains
//! On VGG-16's convolutions, batch 16, T-16 is 15.5 times as fast as L-1: 12.25 times the elements, each 1.27 times as
//! busy (14 rows suit maps of 14, 28, 56, ... better than 16), no waiting for memory on either. It takes 1.78 times less
//! energy: 1.44 times by the costs of an access, 1.24 times by fewer accesses and less static energy in a shorter time.
//! The published gains, 4.1 times and 1.5 times, are over a 2D baseline that no source at hand describes. Four engines of
//! L-1 (`vault_rows = 2`, `vault_columns = 2`) on the same memory give 3.6 and 1.47 times there, 3.3 and 1.55 times on
//! AlexNet, 4.1 and 1.6 times on all of VGG-16 with batch 1; static energy is then counted for one engine only.
//!
//! | T-16, VGG-16's convolutions, batch 16 | speed | energy |
//! |---|---|---|
//! | published, over 2D memory | 4.1 | 1.5 |
//! | over L-1 | 15.5 | 1.78 |
//! | of that, elements | 12.25 | |
//! | of that, elements that are busy | 1.27 | |
//! | over four engines of L-1 | 3.6 | 1.47 |
//!
//! # Source
//! M. Gao, J. Pu, X. Yang, M. Horowitz, C. Kozyrakis, "TETRIS: Scalable and Efficient Neural Network Acceleration with
//! 3D Memory", ASPLOS 2017; structure of time and energy as in the authors' open model stanford-mast/nn_dataflow 2.1.
//! Differs: hops count in the search for loop blockings; ifmap halos are cut at the border of the map; every partition
//! that keeps all vaults busy is tried; orders of images, tiles and channels in the mesh are fewer.

pub mod blocking;
pub mod bypass;
mod config;
mod given;
pub mod partition;
mod plan;
pub mod row_stationary;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use skimp_sim::{
    Accelerator, AcceleratorModel, Activity, Configured, Dram, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult,
    LayerTrace, LayerWorkload, Operation, OperationCount, Scope, SimError, Statistic, resolve_config,
};
use toml::Table;

use self::blocking::{FILTERS, IFMAPS, OFMAPS};
use self::config::{Config, Search};
use self::partition::{Memory, Partition};
use self::plan::{Plan, PlanKey};
use super::given::not_taken;

const NAME: &str = "tetris";
const SOURCE: &str =
    "M. Gao et al., TETRIS: Scalable and Efficient Neural Network Acceleration with 3D Memory, ASPLOS 2017";

/// A registered model: an engine and its default preset.
#[derive(Clone, Copy, Debug)]
pub struct Tetris {
    name: &'static str,
    summary: &'static str,
    preset: &'static str,
}

/// Sixteen engines of 14 x 14 under the vaults of a 3D memory.
pub static TETRIS: Tetris = Tetris {
    name: NAME,
    summary: "16 row-stationary engines of 14 x 14 under the vaults of a 3D memory, schedules searched per layer",
    preset: include_str!("../../../../../configs/accelerators/tetris.toml"),
};

/// The baseline of the TETRIS figures: one engine of 16 x 16 with a large buffer and low-power 2D memory.
pub static TETRIS_L1: Tetris = Tetris {
    name: "tetris-l1",
    summary: "2D baseline of TETRIS: one row-stationary engine of 16 x 16, 576 kB buffer, LPDDR3",
    preset: include_str!("../../../../../configs/accelerators/tetris-l1.toml"),
};

impl Tetris {
    /// The system with `overrides` on top of the preset.
    ///
    /// # Errors
    /// As [`AcceleratorModel::configure`].
    pub fn engine(&self, overrides: &Table) -> Result<Vaults, SimError> {
        let resolved = resolve_config(self.preset, overrides)?;
        let config = Config::new(&resolved)?;
        // Words per cycle times bytes per word times MHz is 10^6 bytes per second.
        let rate = config.tariff.dram_words_per_cycle * config::WORD_BYTES as f64 * config.clock_mhz * 1e-3;
        let facts = Facts {
            area_mm2: config.vault_area_mm2 * config.vaults() as f64,
            peak_gmacs: config.pes() as f64 * config.clock_mhz * 1e-3,
            dram_gb_per_s: rate.is_finite().then_some(rate),
            energy_scope: "whole system with its memory: multiply-accumulates, register files, array networks, buffers, DRAM, \
                           hops between vaults, static power",
            ..Facts::new(self.name, resolved, config.clock_mhz, config.costs.clone())
        };
        Ok(Vaults { facts, config, plans: Mutex::default() })
    }
}

impl AcceleratorModel for Tetris {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn preset(&self) -> &'static str {
        self.preset
    }

    fn configure(&self, overrides: &Table) -> Result<Configured, SimError> {
        self.engine(overrides).map(Configured::from)
    }
}

/// A configured system: one engine in each vault of the memory.
#[derive(Debug)]
pub struct Vaults {
    facts: Facts,
    config: Config,
    /// Networks repeat layers, and a layer meets many images: each shape is searched once.
    plans: Mutex<HashMap<PlanKey, Plan>>,
}

static COMPUTE: Statistic = Statistic::new("compute", "cycles", "Passes of the largest part over its array.").working();
static BUS_BOUND: Statistic =
    Statistic::new("bus_bound", "cycles", "Cycles that the array bus adds to the compute time.");
static MEMORY_BOUND: Statistic =
    Statistic::new("memory_bound", "cycles", "Cycles that memory adds to the compute time.");
static DRAM: [Statistic; 3] = [
    Statistic::new("dram_filter_words", "words", "Filter words read from memory cells."),
    Statistic::new("dram_ifmap_words", "words", "Ifmap words read from memory cells."),
    Statistic::new("dram_ofmap_words", "words", "Ofmap words and partial sums read from and written to memory cells."),
];
static TSV: Statistic =
    Statistic::new("dram_transfer_words", "words", "Words between memory and logic die (over the TSVs of a stack).");
static BUFFER: Statistic = Statistic::new("gbuf_words", "words", "Words between global buffers and arrays.");
static ARRAY: Statistic = Statistic::new("itcn_words", "words", "Words over the networks of the arrays.");
static REGISTERS: Statistic = Statistic::new("rf_words", "words", "Words read from and written to register files.");
static HOPS: Statistic = Statistic::new("noc_hops", "words", "Words times hops between vaults.");

/// Exact events of the scheduled batch.
struct Events {
    compute: u128,
    bus: u128,
    memory: u128,
    cells: [u128; 3],
    transfer: u128,
    buffer: u128,
    array: u128,
    hops: u128,
}

impl Vaults {
    fn run(&self, layer: &LayerWorkload, layout: Option<&Partition>) -> Result<(LayerResult, Partition), SimError> {
        layer.check()?;
        let bits = layer.weight_bits.max(layer.activation_bits);
        if bits > 16 {
            return Err(self.unsupported(layer, format!("codes of {bits} bits, more than the 16 of a word")));
        }
        let images = self.config.batch.unwrap_or(layer.shape.n() as u64);
        let given = &self.config.given;
        let plan = match given.of(layer) {
            None => self.plan(layer, images, layout)?,
            Some(mapping) => given::plan(&self.config, layer, images, layout, mapping)
                .map_err(|what| not_taken(layer, self.facts.name, what))?,
        };
        let mut result = self
            .result(layer, &plan)
            .ok_or_else(|| self.unsupported(layer, format!("a batch of {images} images: its counts exceed 64 bits")))?;
        given.note(layer, &mut result);
        Ok((result, plan.partition))
    }

    fn plan(&self, layer: &LayerWorkload, images: u64, layout: Option<&Partition>) -> Result<Plan, SimError> {
        let plans = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = PlanKey::new(layer, images, layout);
        let known = plans().get(&key).copied();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let plan = plan::plan(&self.config, layer, images, layout)?;
        plans().insert(key, plan);
        Ok(plan)
    }

    fn unsupported(&self, layer: &LayerWorkload, what: String) -> SimError {
        SimError::Unsupported { layer: layer.name.clone(), accelerator: self.facts.name, what }
    }

    fn events(&self, plan: &Plan) -> Events {
        let Plan { blocking, words, mapping, partition, .. } = plan;
        let tariff = &self.config.tariff;
        let psum = tariff.psum;
        let mut events = Events {
            compute: mapping.cycles(),
            bus: 0,
            memory: 0,
            cells: [0; 3],
            transfer: 0,
            buffer: 0,
            array: 0,
            hops: 0,
        };
        let mut bound_words = 0;
        for datum in [FILTERS, IFMAPS, OFMAPS] {
            let [outer, inner] = [blocking.rounds[0][datum], blocking.rounds[1][datum]];
            let stored = blocking.stored[datum];
            let (cells, transfer, die_bus, hops, array) = if datum == OFMAPS {
                let array = if stored { psum.read_write(inner) } else { psum.engine(inner) };
                (psum.read_write(outer), psum.tsv(outer), psum.die_bus(outer), psum.engine(outer), array)
            } else {
                (outer, outer, outer, outer, inner)
            };
            let once = if stored { words.dram[datum] } else { words.array_input[datum] };
            events.cells[datum] = once * u128::from(cells);
            events.transfer += once * u128::from(transfer);
            bound_words += once * u128::from(die_bus);
            events.array += words.array[datum] * u128::from(array);
            events.hops += words.hops[datum] * u128::from(hops);
            if stored {
                let buffer = words.array_input[datum] * u128::from(array);
                events.buffer += buffer;
                let cycles = buffer as f64 / partition.vaults() as f64 / tariff.bus_words_per_cycle;
                events.bus = events.bus.max(cycles.ceil() as u128);
            }
        }
        events.memory = (bound_words as f64 / tariff.dram_words_per_cycle).ceil() as u128;
        events
    }

    /// `None` if a count does not fit.
    fn result(&self, layer: &LayerWorkload, plan: &Plan) -> Option<LayerResult> {
        let events = self.events(plan);
        let share = |count: u128| -> Option<u64> {
            u64::try_from(count.checked_mul(layer.shape.n() as u128)?.div_ceil(u128::from(plan.images))).ok()
        };
        let mut result = LayerResult::new(layer);
        let compute = share(events.compute)?;
        let time = share(events.compute.max(events.bus).max(events.memory))?;
        let memory_bound = events.memory > events.bus;
        result.cycles.add(&COMPUTE, compute);
        result.cycles.add(&BUS_BOUND, if memory_bound { 0 } else { time - compute });
        result.cycles.add(&MEMORY_BOUND, if memory_bound { time - compute } else { 0 });
        result.events.add(&EXECUTED_MACS, result.macs);
        result.events.add(&IDLE_SLOTS, compute.checked_mul(self.config.pes())?.checked_sub(result.macs)?);
        let mut cells = 0u64;
        for datum in [FILTERS, IFMAPS, OFMAPS] {
            let count = share(events.cells[datum])?;
            cells = cells.checked_add(count)?;
            result.events.add(&DRAM[datum], count);
        }
        let registers = result.macs.checked_mul(4)?;
        let [transfer, buffer, array, hops] =
            [share(events.transfer)?, share(events.buffer)?, share(events.array)?, share(events.hops)?];
        for (statistic, count) in
            [(&TSV, transfer), (&BUFFER, buffer), (&ARRAY, array), (&REGISTERS, registers), (&HOPS, hops)]
        {
            result.events.add(statistic, count);
        }
        result.activity = vec![
            Activity::events("mac", Scope::Mac, "mac.op", result.macs),
            Activity::events("rf", Scope::Registers, "rf.access", registers),
            Activity::events("itcn", Scope::Network, "itcn.access", array),
            Activity::events("gbuf", Scope::Buffers, "gbuf.access", buffer),
            Activity {
                dynamic: vec![("dram.cell", cells), ("dram.transfer", transfer)],
                ..Activity::events("dram", Scope::OffChip, "dram.cell", cells)
            },
            Activity::events("noc", Scope::Network, "noc.hop", hops),
            Activity::leaking("static", "static.power", time),
        ];
        let word_bits = 8 * config::WORD_BYTES;
        let word = word_bits as u32;
        let dram = if self.config.memory == Memory::Planar { Dram::Planar } else { Dram::Stacked };
        result.operations = vec![
            OperationCount::multiply_add("mac", word, result.macs),
            OperationCount::registers("rf", self.config.register_words * config::WORD_BYTES, word, registers),
            OperationCount::buffer("gbuf", self.config.buffer_words * config::WORD_BYTES, word, buffer),
            OperationCount::new("dram", Operation::OffChipBit(dram), cells.checked_mul(word_bits)?),
        ];
        self.describe(&mut result, layer, plan, &events);
        Some(result)
    }

    fn describe(&self, result: &mut LayerResult, layer: &LayerWorkload, plan: &Plan, events: &Events) {
        let Plan { partition, blocking, images, .. } = plan;
        result.mapping = plan.numbers();
        let names = ["filters", "ifmaps", "ofmaps"];
        let stored: Vec<_> = names.iter().zip(blocking.stored).filter(|(_, stored)| *stored).map(|(n, _)| *n).collect();
        let buffer = if stored.is_empty() { "nothing".to_owned() } else { stored.join(" and ") };
        let search = match (self.config.given.of(layer), self.config.search) {
            (Some(_), _) => "given mapping",
            (None, Search::Exhaustive) => "best of all blockings",
            (None, Search::Bypass) => "closed-form bypass schedule",
        };
        let slowest = events.compute.max(events.bus).max(events.memory);
        let bound = match slowest {
            time if time == events.compute => "compute",
            time if time == events.memory => "memory",
            _ => "array bus",
        };
        result.note(format!("{search}; the buffer keeps {buffer}; bound by {bound}"));
        if partition.vaults() < self.config.vaults() {
            let (busy, all) = (partition.vaults(), self.config.vaults());
            result.note(format!("only {busy} of {all} vaults have work: the layer cannot be split further"));
        }
        if *images != layer.shape.n() as u64 {
            result.note(format!("images are scheduled {images} at a time; counts are the share of one run"));
        }
    }
}

impl Accelerator for Vaults {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        self.config.given.check_network(layers)
    }

    fn is_same_for_all_images(&self) -> bool {
        true
    }

    fn simulate_layer(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        Ok(self.run(layer, None)?.0)
    }

    /// Each layer finds its ifmaps where the one before it left its ofmaps.
    fn simulate_network(&self, layers: &[LayerWorkload]) -> Result<Option<Vec<LayerResult>>, SimError> {
        let mut layout = None;
        let mut results = Vec::with_capacity(layers.len());
        for layer in layers {
            let (result, partition) = self.run(layer, layout.as_ref())?;
            layout = Some(partition);
            results.push(result);
        }
        Ok(Some(results))
    }
}
