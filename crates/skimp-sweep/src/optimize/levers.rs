//! Levers and their rungs: what an optimization may turn, from the start's value to the boldest.

use serde::Deserialize;
use skimp_study::{
    AcceleratorConfig, FirstLayer, LayerWidths, Monitor, Network, PruneScope, QuantizationConfig, RangeMethod,
    RecastConfig, ReduceRun, Split, StepConfig, WeightScales, recast,
};
use toml::{Table, Value};

use super::config::{Aim, OptimizeConfig};
use crate::axis::shown;
use crate::error::SweepError;

/// A rung of each lever; 0 is the start's.
pub(super) type Choice = Vec<usize>;

/// What a rung sets.
#[derive(Clone, Debug, PartialEq)]
enum Set {
    /// Nothing: as the start has it.
    Start,
    /// Reductions, one after another.
    Reduce(Vec<StepConfig>),
    WeightBits(u32),
    ActivationBits(u32),
    /// Widths of single layers.
    Plan(Plan),
    WeightScales(WeightScales),
    Calibration(RangeMethod),
    FirstLayer(FirstLayer),
    /// Settings of the design.
    Design(Table),
}

/// Widths of layers that go together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// What it is called.
    pub(super) name: String,
    pub(super) widths: LayerWidths,
    /// The greatest widths: those of layers that a reduction makes anew.
    pub(super) weight_bits: u32,
    pub(super) activation_bits: u32,
}

/// Something to turn.
#[derive(Clone, Debug)]
pub(super) struct Lever {
    pub(super) name: String,
    /// Whether each rung is bolder than the one before, so that one too bold ends the ladder.
    pub(super) is_ladder: bool,
    /// Whether the network learns again.
    pub(super) is_trained: bool,
    rungs: Vec<(String, Set)>,
}

/// What a choice comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) steps: Vec<StepConfig>,
    pub(super) quantization: QuantizationConfig,
    pub(super) widths: LayerWidths,
    pub(super) accelerator: Option<AcceleratorConfig>,
}

impl Lever {
    fn new(name: &str, is_ladder: bool, start: &str, rungs: Vec<(String, Set)>) -> Self {
        let start = (start.to_owned(), Set::Start);
        let is_trained = rungs.iter().any(|(_, set)| matches!(set, Set::Reduce(_)));
        Self { name: name.to_owned(), is_ladder, is_trained, rungs: std::iter::once(start).chain(rungs).collect() }
    }

    pub(super) fn n_rungs(&self) -> usize {
        self.rungs.len()
    }

    pub(super) fn value(&self, rung: usize) -> &str {
        &self.rungs[rung].0
    }

    pub(super) fn values(&self) -> Vec<String> {
        self.rungs.iter().map(|(value, _)| value.clone()).collect()
    }
}

/// The levers of a run.
#[derive(Clone, Debug)]
pub(super) struct Levers {
    pub(super) all: Vec<Lever>,
    quantization: QuantizationConfig,
    accelerator: Option<AcceleratorConfig>,
}

/// Shares of the multiply-accumulate operations that pruning leaves.
const MACS: [f64; 7] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/// Shares of the weights that become zero.
const ZEROS: [&str; 4] = ["0.3", "0.5", "0.7", "0.8"];

/// Widths below the start's 16 bits.
pub(super) const BITS: [u32; 8] = [12, 10, 8, 7, 6, 5, 4, 3];

/// The start's width.
pub(super) const START_BITS: u32 = 16;

/// Most blocks that are recast.
const MOST_RECAST: usize = 8;

/// What recast blocks become.
const INTO: &str = "conv";

/// Name of the lever of widths of single layers.
pub(super) const LAYER_BITS: &str = "layer_bits";

/// Levers that a plan of widths takes the place of.
const WHOLE_BITS: [&str; 2] = ["weight_bits", "activation_bits"];

/// A step of pruning.
fn step(method: &str, target: String, finetune: u64, set: Table) -> StepConfig {
    StepConfig {
        prune: Some(method.to_owned()),
        target: Some(target),
        scope: PruneScope::default(),
        keep: Vec::new(),
        round_to: 2,
        set,
        blocks: None,
        into: None,
        ratios: Vec::new(),
        epochs: None,
        batch_norm_images: 0,
        finetune,
    }
}

/// A block that becomes another.
fn recasting(block: usize, epochs: u64) -> StepConfig {
    StepConfig {
        prune: None,
        target: None,
        blocks: Some(block.to_string()),
        into: Some(INTO.to_owned()),
        epochs: Some(epochs.max(1)),
        ..step("", String::new(), epochs, Table::new())
    }
}

/// Residual blocks that have fewer operations as plain convolutions, those that save most first, of equal ones the last.
///
/// # Errors
/// The reason why there are none.
fn recastable(network: &Network, input_size: Option<[usize; 2]>, monitor: &dyn Monitor) -> Result<Vec<usize>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let trial = |blocks: Vec<usize>| {
        let config = RecastConfig {
            blocks,
            into: INTO.parse().map_err(|error| text(&error))?,
            ratios: Vec::new(),
            data: None,
            input_size,
            finetune: 0,
            training: Default::default(),
        };
        recast(network, &config, ReduceRun::default(), monitor).map_err(|error| text(&error))
    };
    let listed = trial(Vec::new())?;
    let residual = listed.blocks.iter().filter(|block| block.kind.ends_with("residual"));
    let mut saved: Vec<(u64, usize)> = Vec::new();
    for block in residual {
        // A block that cannot be recast stays.
        let Ok(record) = trial(vec![block.block]) else { continue };
        if record.after.macs < record.before.macs {
            saved.push((record.before.macs - record.after.macs, block.block));
        }
    }
    saved.sort_unstable_by(|first, second| second.cmp(first));
    if saved.is_empty() {
        return Err("the network has no residual block that is lighter as a convolution".to_owned());
    }
    Ok(saved.into_iter().map(|(_, block)| block).take(MOST_RECAST).collect())
}

impl Levers {
    /// The levers of a network, and those that it does not have, with the reason.
    pub(super) fn of(
        config: &OptimizeConfig,
        network: &Network,
        monitor: &dyn Monitor,
    ) -> Result<(Self, Vec<(String, String)>), SweepError> {
        let mut levers = Self::new(config)?;
        let mut left_out = Vec::new();
        match recastable(network, config.input_size, monitor) {
            Ok(blocks) => levers.all.insert(0, Self::recast_lever(&blocks, config.finetune)),
            Err(reason) => left_out.push(("recast".to_owned(), reason)),
        }
        Ok((levers, left_out))
    }

    /// Each rung recasts a block more, which learns from the network before.
    fn recast_lever(blocks: &[usize], finetune: u64) -> Lever {
        let rung = |n: usize| {
            let steps = blocks[..n].iter().map(|&block| recasting(block, finetune)).collect();
            let names: Vec<String> = blocks[..n].iter().map(usize::to_string).collect();
            (format!("{} into {INTO}", names.join(", ")), Set::Reduce(steps))
        };
        Lever::new("recast", true, "none", (1..=blocks.len()).map(rung).collect())
    }

    /// Widths of single layers beside those of all.
    pub(super) fn add_plans(&mut self, plans: Vec<Plan>) {
        let rungs = plans.into_iter().map(|plan| (plan.name.clone(), Set::Plan(plan))).collect();
        let at = self.all.iter().position(|lever| lever.name == WHOLE_BITS[0]).unwrap_or(self.all.len());
        self.all.insert(at, Lever::new(LAYER_BITS, true, "as all", rungs));
    }

    /// A choice of which no part is without effect: widths of all layers do not matter where each has its own.
    pub(super) fn canonical(&self, mut choice: Choice) -> Choice {
        let is_on = |choice: &Choice, lever: &Lever, rung: usize| lever.name == LAYER_BITS && choice[rung] > 0;
        if self.all.iter().enumerate().any(|(idx, lever)| is_on(&choice, lever, idx)) {
            for (lever, rung) in self.all.iter().zip(&mut choice) {
                if WHOLE_BITS.contains(&lever.name.as_str()) {
                    *rung = 0;
                }
            }
        }
        choice
    }

    pub(super) fn new(config: &OptimizeConfig) -> Result<Self, SweepError> {
        let quantization = QuantizationConfig {
            calibration_images: config.calibration_images,
            calibration_split: Some(Split::Train),
            ..QuantizationConfig::default()
        };
        let accelerator = config.aim.design().map(|model| AcceleratorConfig {
            model: model.to_owned(),
            label: None,
            preset: None,
            set: Table::new(),
            origin: None,
        });
        if let Some(design) = &accelerator {
            config.designs.configure(design)?;
        }
        // Each rung goes on from the one before: what that has learned is not learned again.
        let pruned = |n: usize| {
            let part = |at: usize| if at == 0 { MACS[0] } else { MACS[at] / MACS[at - 1] };
            let steps = (0..=n).map(|at| step("l1", format!("macs={:.4}", part(at)), config.finetune, Table::new()));
            (format!("macs={}", MACS[n]), Set::Reduce(steps.collect()))
        };
        let zeros = |n: usize| {
            let set: Table = [("scope".to_owned(), Value::String("global".to_owned()))].into_iter().collect();
            let one = |share: &&str| step("magnitude", format!("sparsity={share}"), config.finetune, set.clone());
            (format!("sparsity={}", ZEROS[n]), Set::Reduce(ZEROS[..=n].iter().map(one).collect()))
        };
        let mut all = vec![Lever::new("filters", true, "all", (0..MACS.len()).map(pruned).collect())];
        // Zeros save neither bytes of plain codes nor time of dense kernels.
        if config.aim.design().is_some() {
            all.push(Lever::new("weights", true, "dense", (0..ZEROS.len()).map(zeros).collect()));
        }
        // The float network is what is measured here.
        if config.aim != Aim::MeasuredLatency {
            let bits = |set: fn(u32) -> Set| BITS.iter().map(|&bits| (bits.to_string(), set(bits))).collect();
            all.push(Lever::new("weight_bits", true, "16", bits(Set::WeightBits)));
            all.push(Lever::new("activation_bits", true, "16", bits(Set::ActivationBits)));
            let scales = Set::WeightScales(WeightScales::PerChannel);
            all.push(Lever::new("weight_scales", false, "per-layer", vec![("per-channel".to_owned(), scales)]));
            let range = |share: f64| (format!("percentile:{share}"), Set::Calibration(RangeMethod::Percentile(share)));
            all.push(Lever::new("calibration", false, "min-max", vec![range(99.99), range(99.9)]));
        }
        let mut levers = Self { all, quantization, accelerator };
        levers.add_design(config)?;
        Ok(levers)
    }

    /// Settings of the design: those that were asked for, or exact switches and shapes of no more hardware than the preset's.
    fn add_design(&mut self, config: &OptimizeConfig) -> Result<(), SweepError> {
        let Some(base) = self.accelerator.clone() else { return Ok(()) };
        for (key, values) in &config.vary {
            let mut rungs = Vec::new();
            for value in values {
                let set: Table = [(key.clone(), value.clone())].into_iter().collect();
                config.designs.configure(&AcceleratorConfig { set: set.clone(), ..base.clone() }).map_err(|error| {
                    let cause = format!("{key}={}: {error}", shown(value));
                    SweepError::Optimize { setting: "vary", cause }
                })?;
                rungs.push((shown(value), Set::Design(set)));
            }
            if self.all.iter().any(|lever| lever.name == *key) {
                return Err(SweepError::Optimize { setting: "vary", cause: format!("{key} is given twice") });
            }
            self.all.push(Lever::new(key, false, "preset", rungs));
        }
        let own = OwnChoice::read();
        if own.stops_early.contains(&base.model) {
            let offset = ("offset".to_owned(), Set::FirstLayer(FirstLayer::Offset));
            self.all.push(Lever::new("first_layer", false, "signed", vec![offset]));
        }
        let of_design = own.levers.iter().filter(|lever| lever.designs.contains(&base.model));
        for DesignLever { name, start, values, .. } in of_design.filter(|_| config.vary.is_empty()) {
            let rungs = values.iter().map(|set| (text_of(set), Set::Design(set.clone()))).collect();
            self.all.push(Lever::new(name, false, start, rungs));
        }
        Ok(())
    }

    /// The start: no lever is turned.
    pub(super) fn start(&self) -> Choice {
        vec![0; self.all.len()]
    }

    pub(super) fn settings(&self, choice: &[usize]) -> Settings {
        let mut settings = Settings {
            steps: Vec::new(),
            quantization: self.quantization,
            widths: LayerWidths::default(),
            accelerator: self.accelerator.clone(),
        };
        for (lever, &rung) in self.all.iter().zip(choice) {
            match &lever.rungs[rung].1 {
                Set::Start => {}
                Set::Reduce(steps) => settings.steps.extend(steps.iter().cloned()),
                Set::WeightBits(bits) => settings.quantization.weight_bits = *bits,
                Set::ActivationBits(bits) => settings.quantization.activation_bits = *bits,
                Set::Plan(plan) => {
                    settings.widths = plan.widths.clone();
                    settings.quantization.weight_bits = plan.weight_bits;
                    settings.quantization.activation_bits = plan.activation_bits;
                }
                Set::WeightScales(scales) => settings.quantization.weight_scales = *scales,
                Set::Calibration(range) => settings.quantization.calibration = *range,
                Set::FirstLayer(form) => settings.quantization.first_layer = *form,
                Set::Design(set) => {
                    if let Some(design) = &mut settings.accelerator {
                        design.set.extend(set.clone());
                    }
                }
            }
        }
        settings
    }
}

/// What is tried of designs, as its file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnChoice {
    stops_early: Vec<String>,
    levers: Vec<DesignLever>,
}

/// A lever of some designs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DesignLever {
    designs: Vec<String>,
    name: String,
    /// What the presets have.
    start: String,
    values: Vec<Table>,
}

impl OwnChoice {
    /// A test reads the file: it is never wrong.
    fn read() -> Self {
        toml::from_str(include_str!("designs.toml")).unwrap_or_default()
    }
}

/// Settings in words: the value where there is one.
fn text_of(set: &Table) -> String {
    match set.values().next().filter(|_| set.len() == 1) {
        Some(value) => shown(value),
        None => set.iter().map(|(key, value)| format!("{key} {}", shown(value))).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use skimp_study::Designs;

    use super::*;

    #[test]
    fn every_value_fits_its_design() {
        let own: OwnChoice = toml::from_str(include_str!("designs.toml")).unwrap();
        let designs = Designs::embedded();
        own.stops_early.iter().for_each(|name| assert!(designs.find(name).is_ok(), "{name}"));
        for lever in &own.levers {
            for (model, set) in lever.designs.iter().flat_map(|model| lever.values.iter().map(move |set| (model, set)))
            {
                let (model, set) = (model.clone(), set.clone());
                let config = AcceleratorConfig { model, label: None, preset: None, set, origin: None };
                designs.configure(&config).unwrap();
            }
        }
    }
}
