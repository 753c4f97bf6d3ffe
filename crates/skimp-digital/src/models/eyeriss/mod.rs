//! Eyeriss: row stationary on 12 x 14 processing elements, zero gating, run-length coded maps.
//!
//! # Mapping
//!
//! - A processing element keeps a kernel row and slides an activation row over it: a one-dimensional convolution, one
//!   multiply-accumulate per cycle. A *set* of `r` rows (kernel) by `e` columns (output rows) makes a two-dimensional
//!   one; sums run up its columns. Sets wider than the array are cut into segments that lie above each other, and sets
//!   are repeated while there is room: for other channels, other filters, other groups.
//! - An element interleaves `p` filters and `q` channels, as many as its register files hold (12 activations, 224
//!   weights, 24 sums), or fewer filters where the next ones are to fit beside them. A *pass* takes the channels and
//!   filters on the array; its sums stay in the global buffer until all channels are in. What does not fit the buffer
//!   goes in strips of output rows, then of columns, and fewer filters at once.
//! - Kernels with more rows than the array, or more columns than a register file holds, are done in pieces.
//! - Of all mappings the fastest is taken, and among equals the one that moves the least data at relative costs.
//!
//! # Cycles
//!
//! Closed form: `compute` (multiply-accumulates over active elements, rounds that do not divide counted exactly), `fill`
//! (each pass loads its filters and ripples once through set and window; with `filter_prefetch`, filters that fit the
//! words left free in the register files are loaded during the pass before), `buffer_stall` (where
//! activations or sums need longer on their network than the array computes), `dram_stall` (where the link needs
//! longer than all of that; it runs beside the core). Network and link widths are assumptions of the preset.
//!
//! Frames per second of VGG-16's convolutions at 200 MHz, three images at once, and what carries from the one to the other:
//!
//! | | frames/s |
//! |---|---|
//! | published, the chip (4,309.5 ms for three images) | 0.70 |
//! | the fastest mapping (default) | 2.13 |
//! | the link after the core (`link_overlaps = false`) | 1.34 |
//! | as many channels in a pass as the chip (`channels_in_pass`, by layer) | 0.85 |
//! | both | 0.70 |
//!
//! The chip accumulates one, two or four channels of the wide layers in a pass (its buffer accesses tell), so partial sums
//! bound it: held to them, the model takes 92 to 95 % of the chip's processing time in the second to tenth layer. Another
//! 13 % of the chip's time is not processing; the link's time is about as long, whether or not that is what it waits for.
//!
//! # Zeros
//!
//! A multiplication by an activation of 0 (padding included) is *gated*: no filter read, no multiplier, the same time.
//! Maps in off-chip memory are run-length coded; outputs are coded before pooling. Both come from operand values:
//! without a trace nothing is gated or compressed, which is the dense bound. `executed + gated = dense`.
//!
//! # Products of two activations
//!
//! Layers whose filters are the second operand, each matrix of the batch a group; no operand values are known of them.
//!
//! # Counting
//!
//! Four register-file accesses per multiplication; buffer accesses are those of the array's side, as in nn_dataflow.
//! Last strips of a map count as full ones in data movement.

mod compression;
mod config;
mod mapping;
mod statistics;

use skimp_sim::{
    Accelerator, Activity, ComparisonRow, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace,
    LayerWorkload, OperationCount, OtherLayer, OtherOutcome, Provenance, Scope, SimError, TraceError,
};
use toml::Table;

use crate::models::entry::Entry;

use super::given::{GivenMappings, not_taken};
use crate::costs;
pub use compression::{nonzero_activation_macs, run_length_words};
use config::Config;
use mapping::{Coding, MapCoding, Mapping, best_mapping, given_mapping};
use statistics as stat;

const NAME: &str = "eyeriss";
const PRESET: &str = include_str!("../../../../../configs/accelerators/eyeriss.toml");

/// Width of words and multipliers.
const WORD_BITS: u32 = 16;

/// The registered model.
///
/// # Source
/// Y.-H. Chen, T. Krishna, J. Emer, V. Sze, "Eyeriss: An Energy-Efficient Reconfigurable Accelerator for Deep
/// Convolutional Neural Networks", ISSCC 2016, paper 14.5, and JSSC 52(1), 2017; Y.-H. Chen, J. Emer, V. Sze,
/// "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow", ISCA 2016. Costs and acceptance bounds: the tests
/// of stanford-mast/nn_dataflow; what the chip measured: JSSC 52(1), 2017, tables III, V and VI, as transcribed in the open
/// data of cucapra/fodlam.
/// Differs: the mapping is searched by the model, and network and link widths are assumed.
pub static EYERISS: Entry = Entry {
    name: NAME,
    summary: "row stationary on 12 x 14 elements; gates zero activations, run-length codes maps (closed form)",
    source: "Y.-H. Chen, T. Krishna, J. Emer, V. Sze, Eyeriss: An Energy-Efficient Reconfigurable Accelerator for Deep \
     Convolutional Neural Networks, ISSCC 2016 and JSSC 2017",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config = Config::from_table(&resolved)?;
    let costs = costs::named_or_written(&config.costs)?;
    let given = config.mappings()?;
    let hardware = config.hardware();
    let facts = Facts {
        // The published core area: the cost table has none by component.
        area_mm2: config.published_area_mm2,
        peak_gmacs: hardware.pes() as f64 * config.clock_mhz * 1e-3,
        dram_gb_per_s: Some(hardware.link_bytes_per_cycle * config.clock_mhz * 1e-3),
        energy_scope: "multipliers, register files, array networks, global buffer with static power, and off-chip memory as \
                       a component of its own; clock tree and control are not broken out",
        exploits: vec!["zero activations (energy and off-chip traffic, not time)"],
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    Ok(Chip { facts, config, given }.into())
}

#[derive(Debug)]
struct Chip {
    facts: Facts,
    config: Config,
    given: GivenMappings,
}

/// What the operand values change.
#[derive(Clone, Copy, Debug)]
struct Zeros {
    gated: u64,
    coding: Coding,
}

impl Chip {
    fn zeros(
        &self,
        layer: &LayerWorkload,
        trace: Option<&LayerTrace>,
        result: &mut LayerResult,
    ) -> Result<Zeros, SimError> {
        let mut zeros = Zeros { gated: 0, coding: Coding { ifmap: MapCoding::RAW, ofmap: MapCoding::RAW } };
        let Some(trace) = trace else {
            if self.config.zero_gating || self.config.compression {
                result.note("no operand values: nothing is gated or compressed");
            }
            return Ok(zeros);
        };
        if !self.config.zero_gating && !self.config.compression {
            return Ok(zeros);
        }
        let activation = trace.activation()?;
        if self.config.zero_gating {
            // A trace holds one image; it stands for each of a batch.
            let (padded, codes) = layer.with_padding(activation.clone());
            zeros.gated = result.macs - layer.shape.n() as u64 * nonzero_activation_macs(&padded, &codes);
        }
        if self.config.compression {
            if layer.first {
                result.note("the network's input is stored uncompressed");
            } else {
                let coded = run_length_words(activation.iter().map(|&code| code == 0));
                zeros.coding.ifmap = MapCoding::run_lengths(coded, layer.shape.input_count());
            }
            let positive_only = layer.nonlinearity.is_relu();
            match trace.output_sums() {
                Ok(sums) => {
                    let coded = run_length_words(sums.iter().map(|&sum| sum == 0 || positive_only && sum < 0));
                    zeros.coding.ofmap = MapCoding::run_lengths(coded, layer.shape.output_count());
                }
                Err(SimError::Trace { source: TraceError::NotOffered, .. }) => {
                    result.note("output values are not at hand: outputs are stored uncompressed");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(zeros)
    }

    fn count(&self, mapping: &Mapping, zeros: &Zeros, result: &mut LayerResult) {
        let hw = self.config.hardware();
        let Zeros { gated, coding } = zeros;
        let dram = coding.dram_words(mapping);
        let on_chip = mapping.on_chip_cycles();
        result.cycles.add(&stat::COMPUTE, mapping.compute);
        result.cycles.add(&stat::FILL, mapping.fill);
        result.cycles.add(&stat::BUFFER_STALL, mapping.buffer_stall);
        result.cycles.add(&stat::DRAM_STALL, hw.runtime(on_chip, dram) - on_chip);
        let executed = result.macs - gated;
        let rf = 4 * executed + 3 * gated;
        for (statistic, count) in [
            (&EXECUTED_MACS, executed),
            (&stat::GATED, *gated),
            (&IDLE_SLOTS, mapping.compute * hw.pes() - result.macs),
            (&stat::RF_ACCESSES, rf),
            (&stat::ARRAY_TRANSFERS, mapping.array),
            (&stat::BUFFER_ACCESSES, mapping.buffer()),
            (&stat::DRAM_IFMAP, coding.ifmap.words(mapping.dram_ifmap)),
            (&stat::DRAM_FILTER, mapping.dram_filter),
            (&stat::DRAM_OFMAP, coding.ofmap.words(mapping.dram_ofmap)),
            (&stat::DRAM_RAW, mapping.dram_ifmap + mapping.dram_filter + mapping.dram_ofmap),
        ] {
            result.events.add(statistic, count);
        }
        let time = result.total_cycles();
        result.activity = vec![
            Activity::events("mac", Scope::Mac, "mac.operation", executed),
            Activity::events("rf", Scope::Registers, "rf.access", rf),
            Activity::events("array", Scope::Network, "array.transfer", mapping.array),
            Activity {
                leakage: vec![("buffer.static", time)],
                ..Activity::events("buffer", Scope::Buffers, "buffer.access", mapping.buffer())
            },
        ];
        if self.config.price_dram {
            result.activity.push(Activity::events("dram", Scope::OffChip, "dram.access", dram));
        }
        let file = |component, words: u64, accesses| {
            OperationCount::registers(component, words * u64::from(WORD_BITS) / 8, WORD_BITS, accesses)
        };
        result.operations = vec![
            OperationCount::multiply_add("mac", WORD_BITS, executed),
            file("filter_rf", hw.filter_words, executed),
            file("ifmap_rf", hw.ifmap_words, result.macs),
            file("psum_rf", hw.psum_words, 2 * result.macs),
            OperationCount::buffer("buffer", u64::from(self.config.buffer_bytes), WORD_BITS, mapping.buffer()),
            OperationCount::off_chip(dram * u64::from(WORD_BITS)),
        ];
        describe(result, mapping);
    }
}

fn describe(result: &mut LayerResult, mapping: &Mapping) {
    result.mapping = mapping.numbers().to_vec();
    if mapping.kernel_pieces > 1 {
        result.note(format!("the kernel is done in {} pieces", mapping.kernel_pieces));
    }
    if mapping.column_strips > 1 {
        result.note(format!("the map is walked in {} strips of columns", mapping.column_strips));
    }
}

impl Accelerator for Chip {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        // 156 of 168 elements busy, no operand values: AlexNet's third convolution.
        let layer = LayerWorkload::conv("AlexNet CONV3", 256, 13, 13, 384, 3)?.with_shape(|shape| shape.n = 4)?;
        let result = self.simulate_layer(&layer, None)?;
        let energy = self.facts.price(&result)?;
        let dram = energy.component("dram").map_or(0.0, |dram| dram.dynamic_nj + dram.static_nj);
        let microseconds = result.total_cycles() as f64 / self.config.clock_mhz;
        let row = |provenance, throughput_gmacs, power_mw, note: &str| ComparisonRow {
            design: "Eyeriss".into(),
            provenance,
            precision_bits: WORD_BITS,
            technology_nm: f64::from(self.config.technology_nm),
            clock_mhz: self.config.clock_mhz,
            throughput_gmacs,
            area_mm2: self.config.published_area_mm2,
            power_mw,
            note: note.to_owned(),
        };
        Ok(vec![
            row(
                Provenance::Published,
                self.config.published_throughput_gmacs,
                self.config.published_power_mw,
                "Y.-H. Chen et al., ISSCC 2016, as tabulated in the 2019 lecture on efficient neural processing",
            ),
            row(
                Provenance::Modeled,
                self.facts.peak_gmacs,
                (energy.total_nj() - dram) / microseconds,
                "168 elements; on-chip power of AlexNet's CONV3, batch 4, without gating; area as published",
            ),
        ])
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        self.given.check_network(layers)
    }

    fn simulate_other(&self, layer: &OtherLayer) -> Result<OtherOutcome, SimError> {
        layer.simulate_product(self)
    }

    fn is_same_for_all_images(&self) -> bool {
        !self.config.zero_gating && !self.config.compression
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let unsupported = |what: String| SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what };
        layer.check()?;
        for (what, bits) in [("activations", layer.activation_bits), ("weights", layer.weight_bits)] {
            if bits > WORD_BITS {
                return Err(unsupported(format!("{what} of {bits} bits; words hold {WORD_BITS}")));
            }
        }
        let mut result = LayerResult::new(layer);
        let zeros = self.zeros(layer, trace, &mut result)?;
        let hw = self.config.hardware();
        let mapping = match self.given.of(layer) {
            Some(given) => {
                given_mapping(layer, &hw, &zeros.coding, given).map_err(|reason| not_taken(layer, NAME, reason))?
            }
            None => best_mapping(layer, &hw, &zeros.coding)
                .ok_or_else(|| unsupported("a window beyond the global buffer, or counts beyond 64 bits".to_owned()))?,
        };
        self.given.note(layer, &mut result);
        self.count(&mapping, &zeros, &mut result);
        Ok(result)
    }
}
