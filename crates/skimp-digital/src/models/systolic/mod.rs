//! Systolic arrays of any size, and TPU v1 as one of them.
//!
//! A convolution is a product of `m` pixels by `n` filters over `k` inputs of an output, one product for each group, one
//! after another. Two extents lie in the array and are cut into folds of its size, the third streams:
//!
//! | dataflow | rows | columns | streams | cycles of a fold |
//! |---|---|---|---|---|
//! | `weight_stationary` | k | n | m | 2 · rows + columns + m − 2 |
//! | `input_stationary` | k | m | n | 2 · rows + columns + n − 2 |
//! | `output_stationary` | m | n | k | rows + columns + k − 2 |
//!
//! Cycles are those of SCALE-Sim 3.0.0 plus one for each layer: it reports the number of the last cycle, counted from 0,
//! and here the cycles are counted. Groups are separate layers to it. Buffer accesses are its demands at the array's
//! edges. With `double_buffered_weights` the next block is shifted in behind the present one: the first block's `rows`
//! cycles, the skew of `rows + columns − 2` and `max(stream, rows)` for each fold (`stream` for the last).
//!
//! Beyond SCALE-Sim: codes wider than a multiplier take `ceil(weight bits / width) · ceil(activation bits / width)` passes.
//! Off-chip traffic is a closed form. Filters are the outer loop, or pixels with `input_stationary`; an operand that fits its
//! buffer is fetched once, else once for every sweep over it; overlapping windows of one sweep are fetched once; partial sums
//! of one outer step stay in the output buffer if they fit, else they leave the chip and return at accumulator width. Runtime
//! is the larger of array and memory cycles: buffers hide the rest, and a layer's first fetch is not exposed.
//!
//! A product of two activations is a layer whose weights are its second operand, each matrix of the batch a group.
//!
//! Fidelity: closed form.

mod array;

use serde::Deserialize;
use skimp_sim::{
    Accelerator, Activity, Configured, Counts, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace,
    LayerWorkload, OperationCount, OtherLayer, OtherOutcome, Scope, SimError, Statistic,
};
use toml::Table;

use crate::models::entry::Entry;

use super::config::{positive, typed};
use crate::costs;

pub use array::{Array, Dataflow, Evaluation, Roofline};

const SYSTOLIC_PRESET: &str = include_str!("../../../../../configs/accelerators/systolic.toml");
const TPU_PRESET: &str = include_str!("../../../../../configs/accelerators/tpu-v1.toml");

/// A systolic array of any size and dataflow.
///
/// # Source
/// R. Raj et al., "SCALE-Sim v3: A Modular Cycle-Accurate Systolic Accelerator Simulator for End-To-End System
/// Analysis", ISPASS 2025; cycles and accesses as in its program of that version, 3.0.0.
/// Differs: cycles are counted, not numbered from 0; output extents round down unless `scale_sim_output_rounding` is
/// set; outputs written with `output_stationary` are the outputs, without `rows + columns` more for each fold; off-chip
/// memory is a closed form.
pub static SYSTOLIC: Entry = Entry {
    name: "systolic",
    summary: "systolic array of any size, weight, output or input stationary, in the conventions of SCALE-Sim; closed form",
    source: "R. Raj et al., SCALE-Sim v3: A Modular Cycle-Accurate Systolic Accelerator Simulator, ISPASS 2025",
    preset: SYSTOLIC_PRESET,
    build: |resolved| SystolicArray::new("systolic", resolved).map(Configured::from),
};

/// TPU v1: a preset of the array with tiles from a weight memory and activations on chip.
///
/// # Source
/// N. Jouppi et al., "In-Datacenter Performance Analysis of a Tensor Processing Unit", ISCA 2017.
/// Differs: only convolutions and dense layers run; activation functions, pooling and the barriers between layers take
/// no time; the host link is not modeled: activations that do not fit the unified buffer go to the weight memory.
pub static TPU_V1: Entry = Entry {
    name: "tpu-v1",
    summary: "256 x 256 systolic array of 8-bit multipliers, weights from DDR3 in tiles of 64 KiB; closed form",
    source: "N. Jouppi et al., In-Datacenter Performance Analysis of a Tensor Processing Unit, ISCA 2017",
    preset: TPU_PRESET,
    build: |resolved| SystolicArray::new("tpu-v1", resolved).map(Configured::from),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    #[serde(rename = "technology_nm")]
    _technology_nm: u32,
    rows: u32,
    columns: u32,
    dataflow: String,
    double_buffered_weights: bool,
    scale_sim_output_rounding: bool,
    operand_bits: u32,
    accumulator_bits: u32,
    input_buffer_bytes: u64,
    weight_buffer_bytes: u64,
    output_buffer_bytes: u64,
    activations_on_chip: bool,
    whole_weight_blocks: bool,
    dram_gb_per_s: f64,
}

/// Greatest side of an array, width of codes and buffer: leaves room in 64-bit counts.
const MAX_SIDE: u32 = 1 << 14;
const MAX_BITS: u32 = 64;
const MAX_BUFFER: u64 = 1 << 40;

impl Config {
    fn check(&self) -> Result<(), SimError> {
        positive("clock_mhz", self.clock_mhz)?;
        positive("dram_gb_per_s", self.dram_gb_per_s)?;
        let fault = |key: &str, most: u64, found: u64| SimError::SettingValue {
            key: key.into(),
            reason: format!("expected 1 to {most}, found {found}"),
        };
        for (key, value, most) in [
            ("rows", self.rows, MAX_SIDE),
            ("columns", self.columns, MAX_SIDE),
            ("operand_bits", self.operand_bits, MAX_BITS),
            ("accumulator_bits", self.accumulator_bits, MAX_BITS),
        ] {
            if !(1..=most).contains(&value) {
                return Err(fault(key, u64::from(most), u64::from(value)));
            }
        }
        for (key, value) in [
            ("input_buffer_bytes", self.input_buffer_bytes),
            ("weight_buffer_bytes", self.weight_buffer_bytes),
            ("output_buffer_bytes", self.output_buffer_bytes),
        ] {
            if !(1..=MAX_BUFFER).contains(&value) {
                return Err(fault(key, MAX_BUFFER, value));
            }
        }
        Ok(())
    }

    fn dataflow(&self) -> Result<Dataflow, SimError> {
        match self.dataflow.as_str() {
            "weight_stationary" => Ok(Dataflow::WeightStationary),
            "output_stationary" => Ok(Dataflow::OutputStationary),
            "input_stationary" => Ok(Dataflow::InputStationary),
            other => Err(SimError::SettingValue {
                key: "dataflow".into(),
                reason: format!(
                    "expected \"weight_stationary\", \"output_stationary\" or \"input_stationary\", found {other:?}"
                ),
            }),
        }
    }
}

#[derive(Debug)]
struct SystolicArray {
    facts: Facts,
    /// Whether the table prices the chip by runtime rather than by event.
    chip_power: bool,
    array: Array,
    roofline: Roofline,
}

impl SystolicArray {
    fn new(name: &'static str, resolved: Table) -> Result<Self, SimError> {
        let config: Config = typed(&resolved)?;
        config.check()?;
        let array = Array {
            rows: u64::from(config.rows),
            columns: u64::from(config.columns),
            dataflow: config.dataflow()?,
            double_buffered: config.double_buffered_weights,
            round_outputs_up: config.scale_sim_output_rounding,
            operand_bits: config.operand_bits,
            accumulator_bits: config.accumulator_bits,
            input_buffer_bytes: config.input_buffer_bytes,
            weight_buffer_bytes: config.weight_buffer_bytes,
            output_buffer_bytes: config.output_buffer_bytes,
            activations_on_chip: config.activations_on_chip,
            whole_weight_blocks: config.whole_weight_blocks,
            dram_bytes_per_cycle: config.dram_gb_per_s * 1e3 / config.clock_mhz,
        };
        let peak_gmacs = (array.rows * array.columns) as f64 * config.clock_mhz * 1e-3;
        let roofline = Roofline { peak_gmacs, dram_gb_per_s: config.dram_gb_per_s };
        let costs = costs::named_or_written(&config.costs)?;
        let chip_power = costs.power_mw("chip.power").is_ok();
        let facts = Facts {
            peak_gmacs,
            dram_gb_per_s: Some(config.dram_gb_per_s),
            energy_scope: if chip_power {
                "power of the busy die times runtime; no breakdown by event is published, off-chip memory is not included"
            } else {
                "dynamic energy of multipliers, buffers and off-chip memory by a generic table; no leakage, clock or control"
            },
            ..Facts::new(name, resolved, config.clock_mhz, costs)
        };
        Ok(Self { facts, chip_power, array, roofline })
    }

    /// The layer's place under the roofs.
    fn remark(&self, macs: u64, found: &Evaluation) -> String {
        use std::fmt::Write;
        let (ridge, bytes) = (self.roofline.ridge(), found.dram_bytes());
        let mut text = String::with_capacity(96);
        text.push_str(if found.stall_cycles() > 0 { "memory bound: " } else { "compute bound: " });
        // Writing to a string cannot fail.
        let _ = match bytes {
            0 => write!(text, "no off-chip traffic"),
            _ => write!(text, "{} MACs per off-chip byte, ridge {}", macs / bytes, ridge.round() as u64),
        };
        text
    }

    fn activity(&self, layer: &LayerWorkload, found: &Evaluation, macs: u64) -> Vec<Activity> {
        if self.chip_power {
            return vec![Activity::chip(found.cycles())];
        }
        let mac = if self.array.operand_bits <= 8 || layer.weight_bits.max(layer.activation_bits) <= 8 {
            "mac.int8"
        } else {
            "mac.int16"
        };
        let bits = found.input_reads * u64::from(layer.activation_bits)
            + found.weight_reads * u64::from(layer.weight_bits)
            + (found.output_writes + found.psum_reads) * u64::from(self.array.accumulator_bits);
        vec![
            Activity::events("array", Scope::Mac, mac, macs * found.passes),
            Activity::events("buffers", Scope::OnChip, "sram.byte", bits.div_ceil(8)),
            Activity::events("dram", Scope::OffChip, "dram.byte", found.dram_bytes()),
        ]
    }

    /// A multiplication takes its stationary operand, passes the moving one on and its partial sum too. The buffers at the
    /// array's edges feed a row or column each from a bank of their own.
    fn operations(&self, layer: &LayerWorkload, found: &Evaluation, macs: u64) -> Vec<OperationCount> {
        let (array, slots) = (&self.array, macs * found.passes);
        let banks = |bytes: u64, edge: u64| bytes / edge.max(1);
        let buffer = |component, bytes, bits, count| OperationCount::on_chip(component, bytes, bits, count);
        let sums = found.output_writes + found.psum_reads;
        vec![
            OperationCount::multiply_add("array", array.operand_bits, slots),
            OperationCount::registers("operand_registers", 4, array.operand_bits, slots.saturating_mul(3)),
            OperationCount::registers("sum_registers", 4, array.accumulator_bits, slots.saturating_mul(2)),
            buffer("inputs", banks(array.input_buffer_bytes, array.rows), layer.activation_bits, found.input_reads),
            buffer("weights", banks(array.weight_buffer_bytes, array.columns), layer.weight_bits, found.weight_reads),
            buffer("outputs", banks(array.output_buffer_bytes, array.columns), array.accumulator_bits, sums),
            OperationCount::off_chip(8 * found.dram_bytes()),
        ]
    }
}

static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Cycles in which the array fills, works or drains.").working();
static DRAM_STALL: Statistic =
    Statistic::new("dram_stall", "cycles", "Cycles in which the array waits for the memory.");
static INPUT_READS: Statistic = Statistic::new("input_reads", "codes", "Input codes read from the input buffer.");
static WEIGHT_READS: Statistic = Statistic::new("weight_reads", "codes", "Weight codes read from the weight buffer.");
static OUTPUT_WRITES: Statistic =
    Statistic::new("output_writes", "sums", "Sums, partial ones included, written to the output buffer.");
static PSUM_READS: Statistic = Statistic::new("psum_reads", "sums", "Partial sums read back to be continued.");
static PASS_SLOTS: Statistic =
    Statistic::new("pass_slots", "macs", "Multiplier cycles of further passes, for codes wider than a multiplier.");
static DRAM_INPUT: Statistic = Statistic::new("dram_input_bytes", "bytes", "Inputs read from off-chip memory.");
static DRAM_WEIGHT: Statistic = Statistic::new("dram_weight_bytes", "bytes", "Weights read from off-chip memory.");
static DRAM_OUTPUT: Statistic = Statistic::new("dram_output_bytes", "bytes", "Outputs written to off-chip memory.");
static DRAM_PSUM: Statistic =
    Statistic::new("dram_psum_bytes", "bytes", "Partial sums written to off-chip memory and read back.");

impl Accelerator for SystolicArray {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn simulate_other(&self, layer: &OtherLayer) -> Result<OtherOutcome, SimError> {
        layer.simulate_product(self)
    }

    fn is_same_for_all_images(&self) -> bool {
        true
    }

    fn simulate_layer(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let found = self.array.evaluate(layer);
        let mut result = LayerResult::new(layer);
        let macs = result.macs;
        let slots = found.cycles().checked_mul(self.array.rows * self.array.columns);
        let slots = slots.ok_or_else(|| SimError::Unsupported {
            layer: layer.name.clone(),
            accelerator: self.facts.name,
            what: format!("{} cycles of the whole array: more than 64 bits can count", found.cycles()),
        })?;
        result.cycles = Counts::new(&[(&COMPUTE, found.compute_cycles), (&DRAM_STALL, found.stall_cycles())]);
        result.events = Counts::new(&[
            (&EXECUTED_MACS, macs),
            (&IDLE_SLOTS, slots - macs * found.passes),
            (&PASS_SLOTS, macs * (found.passes - 1)),
            (&INPUT_READS, found.input_reads),
            (&WEIGHT_READS, found.weight_reads),
            (&OUTPUT_WRITES, found.output_writes),
            (&PSUM_READS, found.psum_reads),
            (&DRAM_INPUT, found.dram_input_bytes),
            (&DRAM_WEIGHT, found.dram_weight_bytes),
            (&DRAM_OUTPUT, found.dram_output_bytes),
            (&DRAM_PSUM, found.dram_psum_bytes),
        ]);
        result.activity = self.activity(layer, &found, macs);
        result.operations = self.operations(layer, &found, macs);
        result.mapping = vec![
            ("row_folds", found.row_folds),
            ("column_folds", found.column_folds),
            ("passes", found.passes),
            ("utilization_percent", (macs * 100).checked_div(slots).unwrap_or(0)),
        ];
        result.notes.push(self.remark(macs, &found));
        Ok(result)
    }
}
