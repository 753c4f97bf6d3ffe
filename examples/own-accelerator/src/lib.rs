//! An output-stationary array that skips activations of 0: a model of one's own, with a preset, a cost table, phases,
//! events, findings and facts of its own. Nothing in skimp knows of it.
//!
//! Each row of the array holds one window, each column one filter; an element keeps the sum of its output. In a cycle a row
//! takes the next activation of its window that is not 0 and multiplies it with the weights of all columns. The rows of a
//! tile wait for the one with the most activations; then the sums leave through the columns, a row a cycle.

use std::sync::Arc;

use skimp::digital::costs;
use skimp::sim::toml::Table;
use skimp::sim::{
    Accelerator, AcceleratorModel, Activity, Basis, Configured, CostTable, EXECUTED_MACS, Facts, Finding, Found,
    IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, LossEvent, Needs, OperationCount, Quantity, SKIPPED_MACS,
    Scope, Scopes, SimError, Statistic, resolve_config,
};

const NAME: &str = "zero-skipping-array";
const PRESET: &str = include_str!("../preset.toml");
const COSTS: &str = include_str!("../costs.toml");

/// The model, ready to be given to [`Designs::with`](skimp::Designs::with).
#[derive(Debug)]
pub struct ZeroSkippingArray;

impl AcceleratorModel for ZeroSkippingArray {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "output-stationary array that skips activations of 0"
    }

    fn source(&self) -> &'static str {
        "an example of this project"
    }

    fn preset(&self) -> &'static str {
        PRESET
    }

    fn configure(&self, overrides: &Table) -> Result<Configured, SimError> {
        let config = resolve_config(PRESET, overrides)?;
        // Types and ranges are those of the preset: checked.
        let integer = |key: &str| config.get(key).and_then(|value| value.as_integer()).unwrap_or(1) as usize;
        let (rows, columns) = (integer("rows"), integer("columns"));
        let skip = config.get("skip").and_then(|value| value.as_bool()).unwrap_or(true);
        let clock_mhz = config.get("clock_mhz").and_then(|value| value.as_float()).unwrap_or(1.0);
        let costs = match config.get("costs").and_then(|value| value.as_str()) {
            Some(NAME) | None => CostTable::from_toml(COSTS)?,
            Some(other) => costs::named_or_written(other)?,
        };
        let elements = (rows * columns) as f64;
        let facts = Facts {
            area_mm2: costs.area_mm2("mac.area").unwrap_or(0.0) * elements,
            peak_gmacs: elements * clock_mhz * 1e-3,
            energy_scope: "multipliers, one buffer, and the array's static power; off-chip memory is not included",
            not_counted: Scopes::of(&[Scope::Network]),
            loss_events: vec![LossEvent::idle("rows wait for the fullest window, or have no window or filter")],
            needs: if skip { Needs::Values } else { Needs::Shape },
            exploits: if skip { vec!["zero activations"] } else { Vec::new() },
            remarks: vec![format!("{rows} windows and {columns} filters at once")],
            ..Facts::new(NAME, config, clock_mhz, costs)
        };
        Ok(Array { facts, rows, columns, skip }.into())
    }
}

static COMPUTE: Statistic = Statistic::new("compute", "cycles", "Cycles of the fullest row of each tile.").working();
static DRAIN: Statistic = Statistic::new("drain", "cycles", "Sums leave the array through its columns.");
static READS: Statistic = Statistic::new("buffer_reads", "operands", "Activations and weights read from the buffer.");

static FULLNESS: Quantity = Quantity {
    key: "window_fullness",
    label: "activations of a window that are not 0, in tenths",
    unit: "tenths",
    description: "A window takes as many cycles as it has activations that are not 0.",
    basis: Basis::Measured,
};
static BALANCE: Quantity = Quantity {
    key: "row_balance",
    label: "cycles in which rows did not wait for the fullest row of their tile",
    unit: "cycles",
    description: "What rows lose to each other: sorting windows by their zeros would win it back.",
    basis: Basis::Simulated,
};

#[derive(Debug)]
struct Array {
    facts: Facts,
    rows: usize,
    columns: usize,
    skip: bool,
}

/// Cycles of one image.
#[derive(Default)]
struct Run {
    compute: u64,
    drain: u64,
    /// Cycles of rows that multiply.
    busy: u64,
    /// Cycles of rows, those that wait included.
    held: u64,
    fullness: Vec<u64>,
}

impl Array {
    /// Activations that each window of a group takes, in the order of the windows.
    fn taken(&self, layer: &LayerWorkload, activation: Option<&Arc<[i32]>>, group: usize) -> Vec<u64> {
        let windows = layer.shape.p() * layer.shape.q();
        let depth = layer.shape.inputs_per_output() as u64;
        let Some(activation) = activation else { return vec![depth; windows] };
        let first = group * layer.shape.filters_per_group() * windows;
        let not_zero =
            |window: usize| layer.operands(activation, first + window).filter(|&code| code != 0).count() as u64;
        (0..windows).map(not_zero).collect()
    }

    fn run(&self, layer: &LayerWorkload, activation: Option<&Arc<[i32]>>) -> Run {
        let passes = layer.shape.filters_per_group().div_ceil(self.columns) as u64;
        let depth = layer.shape.inputs_per_output().max(1) as u64;
        let mut run = Run { fullness: vec![0; 11], ..Run::default() };
        for group in 0..layer.shape.groups() {
            let taken = self.taken(layer, activation, group);
            for tile in taken.chunks(self.rows) {
                let fullest = tile.iter().copied().max().unwrap_or(0);
                run.compute += fullest * passes;
                run.drain += tile.len() as u64 * passes;
                run.held += fullest * tile.len() as u64;
                run.busy += tile.iter().sum::<u64>();
            }
            taken.iter().for_each(|&own| run.fullness[(own * 10 / depth) as usize] += 1);
        }
        run
    }
}

impl Accelerator for Array {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let images = layer.shape.n() as u64;
        let (run, executed) = if self.skip {
            if images != 1 {
                let what = format!("{images} images at once: activations differ between images");
                return Err(SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what });
            }
            let missing =
                || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
            let (layer, activation) = layer.with_padding(trace.ok_or_else(missing)?.activation()?);
            let run = self.run(&layer, Some(&activation));
            let executed = run.busy * layer.shape.filters_per_group() as u64;
            (run, executed)
        } else {
            (self.run(layer, None), layer.shape.dense_macs() / images)
        };
        let mut result = LayerResult::new(layer);
        let cycles = images * (run.compute + run.drain);
        let (executed, slots) = (images * executed, cycles * (self.rows * self.columns) as u64);
        result.cycles.add(&COMPUTE, images * run.compute);
        result.cycles.add(&DRAIN, images * run.drain);
        let reads = images * (run.busy + run.compute * self.columns as u64);
        for (statistic, count) in [
            (&EXECUTED_MACS, executed),
            (&SKIPPED_MACS, result.macs - executed),
            (&IDLE_SLOTS, images * run.compute * (self.rows * self.columns) as u64 - executed),
            (&READS, reads),
        ] {
            result.events.add(statistic, count);
        }
        debug_assert!(executed <= slots, "every multiplication has a slot");
        result.activity = vec![
            Activity::events("macs", Scope::Mac, "mac.op", executed),
            Activity::events("buffer", Scope::Buffers, "buffer.read", reads),
            Activity::leaking("array", "array.static", cycles),
        ];
        result.operations = vec![
            OperationCount::multiply_add("macs", 16, executed),
            OperationCount::buffer("buffer", 64 << 10, 16, reads),
            OperationCount::off_chip(layer.compulsory_bits()),
        ];
        if self.skip {
            result.findings = vec![
                Finding::new(&FULLNESS, Found::Distribution { first: 0, counts: run.fullness }),
                Finding::new(&BALANCE, Found::Share { part: run.busy, whole: run.held }),
            ];
        }
        Ok(result)
    }
}
