//! What a layer's reads take: integers, from real operands.

use skimp_analog::Synapse;
use skimp_sim::{
    Activity, Basis, Finding, Found, LayerResult, LayerTrace, LayerWorkload, Nonlinearity, Quantity, Scope, SimError,
    Statistic,
};

use super::inputs::windows;
use super::{BiasReach, Combine, Fabric, Inputs, WideInput};

static READ: Statistic = Statistic::new("read", "cycles", "Reads of all tiles of the layer side by side.").working();
static TILE_READS: Statistic =
    Statistic::new("tile_reads", "reads", "Reads of tiles that have an active row beside their bias rows.");
static SILENT: Statistic =
    Statistic::new("silent_tile_reads", "reads", "Reads that tiles without an active row were spared or wasted.");
static ROWS: Statistic = Statistic::new("row_drives", "rows", "Rows of cells that were driven.");
static LRS: Statistic = Statistic::new("lrs_reads", "cells", "Cells of low resistance in driven rows.");
static HRS: Statistic = Statistic::new("hrs_reads", "cells", "Cells of high resistance in driven rows.");
static BIAS: Statistic = Statistic::new("bias_reads", "cells", "Cells of bias rows, half of them of either state.");
static SENSES: Statistic = Statistic::new("senses", "senses", "Columns that were sensed, once for each comparator.");
static COMBINED: Statistic =
    Statistic::new("combined", "sums", "Partial sums of row tiles that were added, voted or joined as currents.");
static BITS: Statistic = Statistic::new("buffer_bits", "bits", "Bits of inputs read and of outputs written.");

/// Thresholds that bias rows do not reach.
static OUTSIDE: Quantity = Quantity {
    key: "thresholds_outside",
    label: "thresholds outside",
    unit: "neurons",
    description: "Neurons whose threshold lies beyond what the bias rows reach, and all neurons that have one.",
    basis: Basis::Measured,
};

/// Counts of one image.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    windows: u64,
    tile_reads: u64,
    silent: u64,
    rows: u64,
    lrs: u64,
    hrs: u64,
    /// Row tiles that were sensed, over windows and planes.
    sensed_tiles: u64,
}

/// Cycles and events of one image at one layer.
pub(in crate::models) fn count(
    fabric: &Fabric,
    layer: &LayerWorkload,
    trace: Option<&LayerTrace>,
    event_driven: bool,
) -> Result<LayerResult, SimError> {
    layer.check()?;
    let tiling = fabric.tiling(layer)?;
    let weights = fabric.weights(layer)?;
    let missing =
        || SimError::TraceRequired { layer: layer.name.clone(), accelerator: fabric.name, trace: "activation" };
    let trace = trace.ok_or_else(missing)?;
    let codes = trace.activation()?;
    let mut codes = codes.to_vec();
    if fabric.wide_input == WideInput::Binarized && layer.first {
        Inputs::binarize(layer, &mut codes);
    }
    let inputs = Inputs::of(layer, &codes, fabric.wide_input);
    let (n, k) = (tiling.inputs(), tiling.outputs());
    let positive: Vec<u64> =
        (0..n).map(|row| (0..k).filter(|column| weights[column * n + row] > 0).count() as u64).collect();
    let mut tally = Tally::default();
    let mut active = vec![0_u64; tiling.row_tiles()];
    windows(layer, &codes, |_, window| {
        tally.windows += 1;
        for plane in 0..inputs.planes() {
            active.iter_mut().for_each(|rows| *rows = 0);
            for &(row, code) in window {
                let is_positive = code > 0;
                let is_driven = match inputs {
                    Inputs::Spikes(_) => code != 0,
                    // A pair drives one of its rows whatever the sign; a row alone is driven by +1.
                    Inputs::Signs(_) => is_positive || (code < 0 && fabric.synapse == Synapse::Xnor),
                    Inputs::Words(_) => code.unsigned_abs() >> plane & 1 == 1,
                };
                if !is_driven {
                    continue;
                }
                active[row / tiling.rows()] += 1;
                let (low, all) = (positive[row], k as u64);
                let (lrs, hrs) = match (fabric.synapse, inputs) {
                    (Synapse::Single, _) => {
                        (low + tiling.column_tiles() as u64, all - low + tiling.column_tiles() as u64)
                    }
                    (Synapse::Differential, _) => (all, all),
                    (Synapse::Xnor, Inputs::Signs(_)) if is_positive => (low, all - low),
                    (Synapse::Xnor, Inputs::Signs(_)) => (all - low, low),
                    (Synapse::Xnor, _) => (all, all),
                };
                tally.lrs += lrs;
                tally.hrs += hrs;
            }
            let at_work = active.iter().filter(|&&rows| rows > 0).count() as u64;
            let column_tiles = tiling.column_tiles() as u64;
            tally.rows += active.iter().sum::<u64>() * column_tiles;
            tally.tile_reads += at_work * column_tiles;
            tally.silent += (tiling.row_tiles() as u64 - at_work) * column_tiles;
            tally.sensed_tiles += if event_driven { at_work } else { tiling.row_tiles() as u64 };
        }
    });
    let mut result = LayerResult::new(layer);
    fill(&mut result, fabric, layer, (inputs, &tally))?;
    thresholds(&mut result, fabric, layer, (trace, inputs))?;
    Ok(result)
}

fn fill(
    result: &mut LayerResult,
    fabric: &Fabric,
    layer: &LayerWorkload,
    (inputs, tally): (Inputs, &Tally),
) -> Result<(), SimError> {
    let tiling = fabric.tiling(layer)?;
    let (k, row_tiles) = (tiling.outputs() as u64, tiling.row_tiles() as u64);
    let (planes, images) = (u64::from(inputs.planes()), layer.shape.n() as u64);
    let reads = tally.windows * planes;
    let (senses, combined) = match &fabric.combine {
        // What bits of an input count is added before anything is sensed.
        Combine::Current => (tally.windows * k, reads * row_tiles * k),
        Combine::Majority => (tally.sensed_tiles / planes.max(1) * k, tally.windows * row_tiles * k),
        Combine::Adder(rule) => (tally.sensed_tiles * k * ((1 << rule.bits_of(inputs)) - 1), tally.sensed_tiles * k),
    };
    let bias = if fabric.bias_rows > 0 {
        let columns = match fabric.synapse {
            Synapse::Single => k + tiling.column_tiles() as u64,
            Synapse::Differential | Synapse::Xnor => 2 * k,
        };
        reads * row_tiles * fabric.bias_rows as u64 * columns
    } else {
        0
    };
    let bits = tally.windows * (tiling.inputs() as u64 * planes + k);
    let phases = fabric.columns_per_sense as u64;
    result.cycles.add(&READ, images * reads * phases);
    let counts = [
        (&TILE_READS, tally.tile_reads),
        (&SILENT, tally.silent),
        (&ROWS, tally.rows),
        (&LRS, tally.lrs),
        (&HRS, tally.hrs),
        (&BIAS, bias),
        (&SENSES, senses),
        (&COMBINED, combined),
        (&BITS, bits),
    ];
    counts.into_iter().for_each(|(statistic, count)| result.events.add(statistic, images * count));
    // A column's cells conduct while it is sensed; its sense amplifier sees the LRS cells of all of them.
    let sensed_lrs = match &fabric.combine {
        Combine::Current | Combine::Majority => tally.lrs + bias / 2,
        Combine::Adder(rule) => (tally.lrs + bias / 2) * ((1 << rule.bits_of(inputs)) - 1),
    };
    let cells = vec![
        ("cell.lrs_read", images * tally.lrs),
        ("cell.hrs_read", images * tally.hrs),
        ("cell.bias_read", images * bias),
    ];
    let sense = vec![("sense.read", images * senses), ("sense.lrs_cell", images * sensed_lrs)];
    let event = |component, scope, key, events: u64| Activity::events(component, scope, key, images * events);
    result.activity = vec![
        Activity { dynamic: cells, ..Activity::events("cells", Scope::Mac, "", 0) },
        Activity { dynamic: sense, ..Activity::events("sense", Scope::Mac, "", 0) },
        event("rows", Scope::Network, "row.drive", tally.rows),
        event("combine", Scope::Network, "combine.sum", combined),
        event("buffers", Scope::Buffers, "buffer.bit", bits),
        Activity::leaking("static", "tile.leakage", images * reads * phases * tiling.tiles() as u64),
    ];
    let mapping =
        [("row_tiles", row_tiles), ("column_tiles", tiling.column_tiles() as u64), ("tiles", tiling.tiles() as u64)];
    result.mapping = mapping.to_vec();
    Ok(())
}

/// Which thresholds the bias rows do not reach.
fn thresholds(
    result: &mut LayerResult,
    fabric: &Fabric,
    layer: &LayerWorkload,
    (trace, inputs): (&LayerTrace, Inputs),
) -> Result<(), SimError> {
    if layer.nonlinearity != Nonlinearity::Sign || fabric.bias == BiasReach::Ideal {
        return Ok(());
    }
    if let Inputs::Words(_) = inputs {
        result.note("inputs of several bits: thresholds are not in the bias rows");
        return Ok(());
    }
    let bias = trace.bias()?;
    let channels = Channels::of(fabric, layer)?;
    let constants = Constants::of(fabric, &channels, fabric.tiling(layer)?.row_tiles(), inputs);
    let outside = bias.iter().enumerate().filter(|&(k, &bias)| constants.clipped(k, bias).abs() > 0.0).count();
    let found = Found::Share { part: outside as u64, whole: bias.len() as u64 };
    result.findings.push(Finding::new(&OUTSIDE, found));
    Ok(())
}

/// What of a layer's weights its thresholds depend on, worked out once.
#[derive(Clone, Debug)]
pub(in crate::models) struct Channels {
    /// The one magnitude of the weights of each output.
    magnitudes: Vec<i64>,
    /// Sum of the signs of the weights of each output.
    signs: Vec<f64>,
}

impl Channels {
    pub(in crate::models) fn of(fabric: &Fabric, layer: &LayerWorkload) -> Result<Self, SimError> {
        let sum = |channel: &[i32]| channel.iter().map(|w| f64::from(w.signum())).sum::<f64>();
        let channels = fabric.weights(layer)?.chunks_exact(layer.shape.inputs_per_output().max(1));
        Ok(Self { magnitudes: fabric.magnitudes(layer)?, signs: channels.map(sum).collect() })
    }
}

/// What a layer's thresholds are on rows of cells.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct Constants<'c> {
    channels: &'c Channels,
    unit: i64,
    gain: f64,
    reach: f64,
}

impl<'c> Constants<'c> {
    pub(in crate::models) fn of(fabric: &Fabric, channels: &'c Channels, row_tiles: usize, inputs: Inputs) -> Self {
        let reach = match fabric.bias {
            BiasReach::Ideal => f64::INFINITY,
            BiasReach::OneTile => fabric.bias_rows as f64,
            BiasReach::EveryTile => (fabric.bias_rows * row_tiles) as f64,
        };
        Self { channels, unit: inputs.unit(), gain: fabric.gain(inputs), reach }
    }

    /// Codes that one weight counts of output `k`.
    pub(in crate::models) fn unit(&self, k: usize) -> f64 {
        (self.channels.magnitudes[k] * self.unit) as f64
    }

    /// By how much the sum of output `k`, in units of a weight, moves because bias rows reach no further. A neuron fires where
    /// sum and bias are 0 or more, and sums are whole: so much of the bias as is not counts for nothing.
    pub(in crate::models) fn clipped(&self, k: usize, bias: i64) -> f64 {
        let of_signs = if self.gain > 1.0 { self.channels.signs[k] } else { 0.0 };
        let rows = ((bias as f64 / self.unit(k) - of_signs) / self.gain).floor();
        self.gain * (rows.clamp(-self.reach, self.reach) - rows)
    }
}
