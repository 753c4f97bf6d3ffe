//! Levers and their rungs: what an optimization may turn, from the start's value to the boldest.

use serde::Deserialize;
use skimp_study::{
    AcceleratorConfig, FirstLayer, PruneScope, QuantizationConfig, RangeMethod, Split, StepConfig, WeightScales,
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
    Reduce(StepConfig),
    WeightBits(u32),
    ActivationBits(u32),
    WeightScales(WeightScales),
    Calibration(RangeMethod),
    FirstLayer(FirstLayer),
    /// Settings of the design.
    Design(Table),
}

/// Something to turn.
#[derive(Clone, Debug)]
pub(super) struct Lever {
    pub(super) name: String,
    /// Whether each rung is bolder than the one before, so that one too bold ends the ladder.
    pub(super) is_ladder: bool,
    rungs: Vec<(String, Set)>,
}

/// What a choice comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) steps: Vec<StepConfig>,
    pub(super) quantization: QuantizationConfig,
    pub(super) accelerator: Option<AcceleratorConfig>,
}

impl Lever {
    fn new(name: &str, is_ladder: bool, start: &str, rungs: Vec<(String, Set)>) -> Self {
        let start = (start.to_owned(), Set::Start);
        Self { name: name.to_owned(), is_ladder, rungs: std::iter::once(start).chain(rungs).collect() }
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
const MACS: [&str; 7] = ["0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3"];

/// Shares of the weights that become zero.
const ZEROS: [&str; 4] = ["0.3", "0.5", "0.7", "0.8"];

/// Widths below the start's 16 bits.
const BITS: [u32; 8] = [12, 10, 8, 7, 6, 5, 4, 3];

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

impl Levers {
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
        let pruned = |share: &&str| {
            let target = format!("macs={share}");
            (target.clone(), Set::Reduce(step("l1", target, config.finetune, Table::new())))
        };
        let zeros = |share: &&str| {
            let target = format!("sparsity={share}");
            let set: Table = [("scope".to_owned(), Value::String("global".to_owned()))].into_iter().collect();
            (target.clone(), Set::Reduce(step("magnitude", target, config.finetune, set)))
        };
        let mut all = vec![Lever::new("filters", true, "all", MACS.iter().map(pruned).collect())];
        // Zeros save neither bytes of plain codes nor time of dense kernels.
        if config.aim.design().is_some() {
            all.push(Lever::new("weights", true, "dense", ZEROS.iter().map(zeros).collect()));
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
        let mut settings =
            Settings { steps: Vec::new(), quantization: self.quantization, accelerator: self.accelerator.clone() };
        for (lever, &rung) in self.all.iter().zip(choice) {
            match &lever.rungs[rung].1 {
                Set::Start => {}
                Set::Reduce(step) => settings.steps.push(step.clone()),
                Set::WeightBits(bits) => settings.quantization.weight_bits = *bits,
                Set::ActivationBits(bits) => settings.quantization.activation_bits = *bits,
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
