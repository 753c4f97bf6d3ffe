//! Stripes: activations bit by bit, each layer with its own precision; weights stay parallel.
//!
//! To keep DaDianNao's peak, 16 windows are processed at once, so a brick step of 16 activations at 16 windows takes as
//! many cycles as activations have bits:
//!
//! `cycles = ceil(windows / 16) · taps · ceil(channels / 16) · ceil(filters / 256) · bits`
//!
//! All tiles run in lock step; rounding up is the only loss ([`serial_dot`] is what a unit computes). Dense layers have
//! no windows to process at once and run at DaDianNao's speed and full width, as published (MICRO version).
//!
//! Fidelity: closed form, exact under that rule. The ideal speed-up over DaDianNao is 16 / bits.
//!
//! Which bits. The source states precisions and not bit positions; the rule here (assumed) keeps a run of bits of the
//! layer's codes: high bits are clipped by saturation, low bits are cut off (floor, as leaving out serial steps does).
//! A `fixed` precision changes answers unless no code uses the bits left out; `lossless` takes the bits of the largest
//! code of each layer and image, sign included where codes are signed, and changes nothing. `search` begins with the
//! bits of the largest codes in a few images, cuts off low bits, of all layers alike by bisection, then layer by layer,
//! most work first, and at last clips high bits, while the accuracy holds.
//!
//! Assumptions. A18: speed-ups are compared with the MICRO version. Groups are bundled as on DaDianNao. Energy: a serial
//! product of `b` bits is `b` additions of 16 bits; AND gates and registers are not priced.

use serde::Deserialize;
use skimp_sim::{
    Accelerator, AcceleratorModel, Configured, EXECUTED_MACS, Facts, LayerEffect, LayerKind, LayerResult, LayerTrace,
    LayerWorkload, LossEvent, Needs, Operation, SKIPPED_MACS, Searchable, SimError, Statistic, Tuner,
};
use toml::Table;

use super::bricks::{BRICK_READS, Node, NodeWork, VALUE_BITS, WEIGHT_READS, outputs};
use super::config::{check_names, layer_list, layer_values, positive, typed};
use super::entry::Entry;
use super::search::{Floor, by_work, check_loss, raise_all, raise_each};
use crate::costs;

const NAME: &str = "stripes";
const PRESET: &str = include_str!("../../../../configs/accelerators/stripes.toml");

/// Width of the activations of the dense node.
const FULL_BITS: u32 = VALUE_BITS as u32;

/// The registered model.
///
/// # Source
/// P. Judd, J. Albericio, T. Hetherington, T. Aamodt, A. Moshovos, "Stripes: Bit-Serial Deep Neural Network Computing",
/// MICRO 2016; cycle rule as in the short version, IEEE Computer Architecture Letters 16(1).
/// Differs: which bits a precision keeps is assumed; lossless precisions are per image; energy is priced by a generic
/// table.
pub static STRIPES: Entry = Entry {
    name: NAME,
    summary: "DaDianNao with bit-serial activations of per-layer precision; closed form",
    source: "P. Judd et al., Stripes: Bit-Serial Deep Neural Network Computing, MICRO 2016",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    let search = config.precision == Precision::Search;
    let machine = Machine::new(resolved, config)?;
    Ok(if search { Configured::NeedsSearch(Box::new(PrecisionSearch(machine))) } else { machine.into() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Precision {
    Lossless,
    Fixed,
    Search,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    dadiannao_area_mm2: f64,
    area_overhead: f64,
    tiles: u32,
    filters_per_tile: u32,
    inputs_per_brick: u32,
    windows_at_once: u32,
    precision: Precision,
    precision_bits: u32,
    layer_precisions: Vec<String>,
    layer_clipped_bits: Vec<String>,
    max_accuracy_loss: f64,
}

#[derive(Clone, Debug)]
struct Machine {
    facts: Facts,
    config: Config,
    node: Node,
    kept: FixedBits,
}

/// The bits that fixed precisions keep.
#[derive(Clone, Debug)]
struct FixedBits {
    uniform: u32,
    precisions: Vec<(String, u32)>,
    clipped: Vec<(String, u32)>,
}

/// A run of bits: `low..low + bits` of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BitRun {
    low: u32,
    bits: u32,
}

impl FixedBits {
    fn of(&self, layer: &LayerWorkload) -> BitRun {
        let find = |list: &[(String, u32)]| list.iter().find(|(name, _)| *name == layer.name).map(|&(_, bits)| bits);
        let width = layer.activation_bits;
        let high = width - find(&self.clipped).unwrap_or(0).min(width - 1);
        let bits = find(&self.precisions).unwrap_or(self.uniform).min(high);
        BitRun { low: high - bits, bits }
    }
}

impl BitRun {
    /// The code with the bits outside the run cut off (low) and clipped (high).
    fn keep(self, code: i32, signed: bool) -> i32 {
        let high = self.low + self.bits;
        let (least, most) =
            if signed { (-(1i64 << (high - 1)), (1i64 << (high - 1)) - 1) } else { (0, (1i64 << high) - 1) };
        let clipped = i64::from(code).clamp(least, most);
        // The range of a code of at most 16 bits.
        ((clipped >> self.low) << self.low) as i32
    }
}

impl LayerEffect for FixedBits {
    fn applies(&self, layer: &LayerWorkload) -> bool {
        layer.kind == LayerKind::Conv && self.of(layer).bits < layer.activation_bits
    }

    fn activations(&self, layer: &LayerWorkload, codes: &mut [i32]) {
        let run = self.of(layer);
        codes.iter_mut().for_each(|code| *code = run.keep(*code, layer.activation_signed));
    }
}

/// Low and high bits that a search leaves out of each layer, beyond the high bits that no code seen uses.
struct Searched<'t> {
    layers: Vec<&'t LayerWorkload>,
    /// Bits of the largest code seen.
    bits: Vec<u32>,
    low: Vec<u32>,
    high: Vec<u32>,
}

impl<'t> Searched<'t> {
    fn new(tuner: &'t dyn Tuner) -> Result<Self, SimError> {
        let mut searched = Searched { layers: vec![], bits: vec![], low: vec![], high: vec![] };
        for (idx, layer) in tuner.layers().iter().enumerate() {
            if layer.kind != LayerKind::Conv || layer.activation_bits > FULL_BITS {
                continue;
            }
            let mut bits = 1;
            for trace in tuner.traces(idx) {
                bits = lossless_bits(layer, &trace.activation()?).max(bits);
            }
            searched.layers.push(layer);
            searched.bits.push(bits.min(layer.activation_bits));
            searched.low.push(0);
            searched.high.push(0);
        }
        Ok(searched)
    }

    fn kept(&self, low: &[u32], high: &[u32]) -> FixedBits {
        let mut kept = FixedBits { uniform: FULL_BITS, precisions: vec![], clipped: vec![] };
        for (idx, layer) in self.layers.iter().enumerate() {
            let bits = self.bits[idx] - low[idx] - high[idx];
            kept.precisions.push((layer.name.clone(), bits));
            kept.clipped.push((layer.name.clone(), layer.activation_bits - self.bits[idx] + high[idx]));
        }
        kept
    }

    fn search(&mut self, tuner: &dyn Tuner, floor: Floor) -> Result<FixedBits, SimError> {
        let holds = |kept: FixedBits| floor.holds(tuner, &kept);
        if !holds(self.kept(&self.low, &self.high))? {
            // Other images have larger codes.
            self.bits = self.layers.iter().map(|layer| layer.activation_bits).collect();
        }
        let order = by_work(&self.layers);
        let limits: Vec<u32> = self.bits.iter().map(|bits| bits - 1).collect();
        let (mut low, mut high) = (self.low.clone(), self.high.clone());
        raise_all(&mut low, &limits, |low| holds(self.kept(low, &high)))?;
        raise_each(&mut low, &limits, &order, |low| holds(self.kept(low, &high)))?;
        let limits: Vec<u32> = limits.iter().zip(&low).map(|(limit, low)| limit - low).collect();
        raise_each(&mut high, &limits, &order, |high| holds(self.kept(&low, high)))?;
        Ok(self.kept(&low, &high))
    }
}

static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Cycles of brick steps, one per bit of the activations.").working();
static BIT_PRODUCTS: Statistic =
    Statistic::new("bit_products", "bits", "Products of one activation bit and a weight that belong to the layer.");
static BITS_SKIPPED: Statistic =
    Statistic::new("bit_products_skipped", "bits", "Products that 16-bit activations would take in addition.");
static BITS_IDLE: Statistic = Statistic::new(
    "idle_bit_slots",
    "bits",
    "Bit products of the array without a window, filter or channel to work on.",
);

/// The sum of products of a serial inner-product unit: one activation bit per cycle, the sign plane subtracted.
#[must_use]
pub fn serial_dot(activations: &[i32], weights: &[i32], bits: u32, signed: bool) -> i64 {
    let plane = |bit: u32| -> i64 {
        let products = activations.iter().zip(weights);
        products.filter(|(activation, _)| (**activation >> bit) & 1 == 1).map(|(_, &weight)| i64::from(weight)).sum()
    };
    let sum = |planes: u32| (0..planes).map(|bit| plane(bit) << bit).sum::<i64>();
    match bits.checked_sub(1) {
        None => 0,
        Some(top) if signed => sum(top) - (plane(top) << top),
        Some(_) => sum(bits),
    }
}

/// Bits of the largest of a layer's activation codes and of its padding, at least 1; two's complement where they are
/// signed.
fn lossless_bits(layer: &LayerWorkload, codes: &[i32]) -> u32 {
    let padding = if layer.has_offset_padding() { layer.padding_code } else { 0 };
    largest_bits(codes, layer.activation_signed).max(largest_bits(&[padding], layer.activation_signed))
}

/// Bits of the largest code, at least 1; two's complement where `signed`.
fn largest_bits(codes: &[i32], signed: bool) -> u32 {
    // The magnitude bits of a negative code are those of its complement.
    let union = codes.iter().fold(0u32, |union, &code| union | if code < 0 { !code } else { code }.cast_unsigned());
    (u32::BITS - union.leading_zeros() + u32::from(signed)).max(1)
}

impl Machine {
    fn new(resolved: Table, config: Config) -> Result<Machine, SimError> {
        let node = Node::new(config.tiles, config.filters_per_tile, config.inputs_per_brick)?;
        positive("clock_mhz", config.clock_mhz)?;
        positive("dadiannao_area_mm2", config.dadiannao_area_mm2)?;
        positive("area_overhead", config.area_overhead)?;
        check_loss("max_accuracy_loss", config.max_accuracy_loss)?;
        let within = |key: &str, value: u32, range: std::ops::RangeInclusive<u32>| {
            if range.contains(&value) {
                return Ok(value);
            }
            let reason = format!("expected {} to {}, found {value}", range.start(), range.end());
            Err(SimError::SettingValue { key: key.into(), reason })
        };
        within("windows_at_once", config.windows_at_once, 1..=1 << 12)?;
        let listed = |key: &str, entries: &[String], least: u32| -> Result<Vec<(String, u32)>, SimError> {
            let values = layer_values(key, entries)?;
            values.iter().try_for_each(|&(_, bits)| within(key, bits, least..=FULL_BITS).map(|_| ()))?;
            Ok(values)
        };
        let kept = FixedBits {
            uniform: within("precision_bits", config.precision_bits, 1..=FULL_BITS)?,
            precisions: listed("layer_precisions", &config.layer_precisions, 1)?,
            clipped: listed("layer_clipped_bits", &config.layer_clipped_bits, 0)?,
        };
        let costs = costs::named_or_written(&config.costs)?;
        let windows = f64::from(config.windows_at_once) / f64::from(FULL_BITS);
        let idle = "windows, filters or channels that do not fill the array";
        let facts = Facts {
            area_mm2: config.dadiannao_area_mm2 * (1.0 + config.area_overhead),
            // At 16 bits; a layer of fewer bits runs faster.
            peak_gmacs: node.multipliers() as f64 * windows * config.clock_mhz * 1e-3,
            energy_scope: "operations priced by a generic table: activation and weight memories of 1 MiB read in whole \
                           lines, one 16-bit addition per activation bit, accumulators; off-chip memory: each input, \
                           weight and output of a layer once",
            loss_events: vec![LossEvent {
                event: BITS_IDLE.name,
                slots: 1.0 / f64::from(FULL_BITS),
                ..LossEvent::idle(idle)
            }],
            needs: if config.precision == Precision::Lossless { Needs::Values } else { Needs::Shape },
            exploits: vec!["unused bits of a layer's activations"],
            ..Facts::new(NAME, resolved, config.clock_mhz, costs)
        };
        Ok(Machine { facts, config, node, kept })
    }

    fn bits(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<BitRun, SimError> {
        if self.config.precision == Precision::Fixed {
            return Ok(self.kept.of(layer));
        }
        let missing = || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
        let codes = trace.ok_or_else(missing)?.activation()?;
        let bits = lossless_bits(layer, &codes);
        if bits > layer.activation_bits {
            let reason = format!("an activation code needs {bits} bits, more than {}", layer.activation_bits);
            return Err(SimError::InvalidLayer { layer: layer.name.clone(), reason });
        }
        Ok(BitRun { low: 0, bits })
    }

    /// Cycles and events; `steps` are brick steps of `windows` windows and `bits` cycles each.
    fn counts(&self, layer: &LayerWorkload, steps: u64, windows: u64, bits: u64, cycles: u64) -> LayerResult {
        let mut result = LayerResult::new(layer);
        let products = result.macs * bits;
        let slots = cycles * self.node.multipliers() * u64::from(self.config.windows_at_once);
        let weights = steps * self.node.multipliers();
        result.cycles.add(&COMPUTE, cycles);
        for (statistic, count) in [
            (&BRICK_READS, steps * windows),
            (&WEIGHT_READS, weights),
            (&EXECUTED_MACS, result.macs),
            (&SKIPPED_MACS, 0),
            (&BIT_PRODUCTS, products),
            (&BITS_SKIPPED, result.macs * VALUE_BITS - products),
            (&BITS_IDLE, slots.saturating_sub(products)),
        ] {
            result.events.add(statistic, count);
        }
        result.operations = NodeWork {
            activations: (
                (steps * windows * bits).div_ceil(VALUE_BITS) + self.node.bricks_of(outputs(layer)),
                self.node.brick_bits(),
            ),
            weights: (steps * self.node.tiles(), self.node.weight_line_bits()),
            arithmetic: (Operation::Add { bits: VALUE_BITS as u32 }, products),
            accumulations: cycles * self.node.filters * windows,
            off_chip_bits: layer.compulsory_bits(),
        }
        .operations();
        result.mapping.push(("precision_bits", bits));
        result
    }
}

impl Accelerator for Machine {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        let FixedBits { precisions, clipped, .. } = &self.kept;
        [("layer_precisions", precisions), ("layer_clipped_bits", clipped)]
            .into_iter()
            .try_for_each(|(key, values)| check_names(key, values.iter().map(|(layer, _)| layer.as_str()), layers))
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let unsupported = |what: String| SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what };
        layer.check()?;
        if layer.activation_bits > FULL_BITS {
            let bits = layer.activation_bits;
            return Err(unsupported(format!("activations of {bits} bits; the node stores {FULL_BITS}")));
        }
        let images = layer.shape.n() as u64;
        if layer.kind == LayerKind::Dense {
            let steps = images * self.node.dense_cycles(layer);
            let mut result = self.counts(layer, steps, 1, VALUE_BITS, steps);
            result.note("dense layers run at DaDianNao's speed and full width");
            return Ok(result);
        }
        if layer.shape.n() != 1 && self.config.precision == Precision::Lossless {
            return Err(unsupported(format!("{} images at once; run them one after another", layer.shape.n())));
        }
        let run = self.bits(layer, trace)?;
        let windows = u64::from(self.config.windows_at_once);
        let outputs = (layer.shape.p() * layer.shape.q()) as u64;
        let taps = (layer.shape.r() * layer.shape.s()) as u64;
        let steps = images * outputs.div_ceil(windows) * taps * self.node.bricks_per_tap(layer);
        let bits = u64::from(run.bits);
        let mut result = self.counts(layer, steps, windows.min(outputs), bits, steps * bits);
        if self.config.precision == Precision::Fixed && run.bits < layer.activation_bits {
            let clipped = layer.activation_bits - run.low - run.bits;
            result.note(format!(
                "activations keep {} of {} bits ({} low ones cut off, {clipped} high ones clipped): answers may change",
                run.bits, layer.activation_bits, run.low
            ));
        }
        if !outputs.is_multiple_of(windows) {
            result.note(format!("{outputs} windows are no multiple of {windows}: the last step is not full"));
        }
        Ok(result)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        let whole = self.kept.uniform == FULL_BITS && self.kept.precisions.is_empty() && self.kept.clipped.is_empty();
        (self.config.precision == Precision::Fixed && !whole).then_some(&self.kept)
    }
}

/// Stripes before its precisions are known.
#[derive(Debug)]
struct PrecisionSearch(Machine);

impl Searchable for PrecisionSearch {
    fn facts(&self) -> &Facts {
        &self.0.facts
    }

    fn searches(&self) -> &'static str {
        "precisions"
    }

    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError> {
        let floor = Floor::new(tuner, self.0.config.max_accuracy_loss)?;
        let kept = Searched::new(tuner)?.search(tuner, floor)?;
        let mut resolved = self.0.facts.config.clone();
        resolved.insert("precision".into(), "fixed".into());
        resolved.insert("precision_bits".into(), i64::from(FULL_BITS).into());
        resolved.insert("layer_precisions".into(), layer_list(&kept.precisions));
        resolved.insert("layer_clipped_bits".into(), layer_list(&kept.clipped));
        STRIPES.accelerator(&resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lossless_precisions() {
        for (codes, signed, bits) in [
            (&[0, 0][..], false, 1),
            (&[5, 8], false, 4),
            (&[65_535], false, 16),
            (&[0], true, 1),
            (&[-1], true, 1),
            (&[-8, 3], true, 4),
            (&[-9], true, 5),
            (&[127, -128], true, 8),
        ] {
            assert_eq!(largest_bits(codes, signed), bits, "{codes:?}");
        }
    }

    #[test]
    fn kept_bits() {
        let run = BitRun { low: 2, bits: 4 };
        for (code, signed, expected) in [
            (0, false, 0),
            (3, false, 0),
            (63, false, 60),
            (64, false, 60),
            (21, false, 20),
            (31, true, 28),
            (32, true, 28),
            (-1, true, -4),
            (-32, true, -32),
            (-40, true, -32),
        ] {
            assert_eq!(run.keep(code, signed), expected, "{code}");
        }
    }
}
