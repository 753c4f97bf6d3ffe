//! One network reduced in several ways: what each costs in accuracy, and what it brings in counts, time and energy.

mod points;
mod tables;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};
use skimp_quant::QuantizationConfig;
use skimp_reduce::{Removes, methods};
use skimp_report::StudyRecord;
use skimp_report::records::{Assumption, Sections};

use self::points::ReductionPoints;
use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::reduce::steps::{StepConfig, prunes};
use crate::simulate::config::AcceleratorConfig;
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::store::desk::Desk;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;
use crate::train::config::TrainConfig;

/// What a study of reductions asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReductionPlan {
    /// Which cost table prices the energies: `auto`, `common`, `paper` or a table's name.
    #[serde(default, skip_serializing_if = "CostsConfig::is_auto")]
    pub costs: CostsConfig,
    /// Widths and calibration of the networks that the accelerators run.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// The reductions.
    pub reduction: ReductionConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
}

/// Which reductions, and how they are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReductionConfig {
    /// Methods that each prune the network alone; left out: all of `skimp list methods` that make a smaller
    /// network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// What methods that remove channels leave.
    #[serde(default = "default_channels_target")]
    pub channels_target: String,
    /// What methods that set weights to zero do.
    #[serde(default = "default_weights_target")]
    pub weights_target: String,
    /// Kept channels go to the nearest multiple of this.
    #[serde(default = "default_round_to")]
    pub round_to: usize,
    /// Training images on which batch normalization is measured again after each method.
    #[serde(default)]
    pub batch_norm_images: usize,
    /// Passes over the training images after each method.
    #[serde(default)]
    pub finetune: u64,
    /// Images of a batch whose time is measured; 0 measures none.
    #[serde(default)]
    pub latency_batch: usize,
    /// Pairs of runs, network and reduced network in alternation.
    #[serde(default = "default_pairs")]
    pub pairs: usize,
    /// One run of each reduction per seed.
    pub seeds: Vec<u64>,
    /// How networks are trained. The study gives network, data and seed.
    #[serde(default)]
    pub run: TrainConfig,
    /// Designs whose cycles and energies are worked out; none simulates nothing.
    #[serde(default)]
    pub accelerators: Vec<AcceleratorConfig>,
    /// Reductions of several steps, beside those of `methods`.
    #[serde(default)]
    pub variants: Vec<VariantConfig>,
}

/// A reduction of one step or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantConfig {
    /// Name in the report, unique.
    pub label: String,
    /// The steps, in order.
    pub steps: Vec<StepConfig>,
}

fn default_channels_target() -> String {
    "macs=0.5".to_owned()
}

fn default_weights_target() -> String {
    "sparsity=0.8".to_owned()
}

fn default_round_to() -> usize {
    8
}

fn default_pairs() -> usize {
    15
}

/// Label of the network as it comes.
const BEFORE: &str = "before";

/// What a reduction takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Nothing: the network as it comes.
    Before,
    /// Channels.
    Channels,
    /// Weights, which become zero.
    Weights,
    /// Several steps, or blocks that become others.
    Steps,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "none",
            Self::Channels => "channels",
            Self::Weights => "weights",
            Self::Steps => "steps",
        }
    }
}

/// A reduction of the study: by a method, or a variant.
#[derive(Clone, Debug)]
struct Variant {
    label: String,
    family: Family,
    steps: Vec<StepConfig>,
}

impl ReductionConfig {
    /// The network as it comes, methods, and variants, in the order of the report.
    fn all(&self) -> Vec<Variant> {
        let known = || prunes().map(str::to_owned).collect();
        let names: Vec<String> = self.methods.clone().unwrap_or_else(known);
        let of_method = |name: String| {
            let family = match methods::find(&name).map(|method| method.facts().removes) {
                Some(Removes::Weights) => Family::Weights,
                _ => Family::Channels,
            };
            let target = if family == Family::Weights { &self.weights_target } else { &self.channels_target };
            let step = StepConfig {
                round_to: self.round_to,
                batch_norm_images: self.batch_norm_images,
                finetune: self.finetune,
                ..StepConfig::prune(&name, target)
            };
            Variant { label: name, family, steps: vec![step] }
        };
        let of_variant = |variant: &VariantConfig| Variant {
            label: variant.label.clone(),
            family: Family::Steps,
            steps: variant.steps.clone(),
        };
        let before = Variant { label: BEFORE.to_owned(), family: Family::Before, steps: Vec::new() };
        let methods = names.into_iter().map(of_method);
        std::iter::once(before).chain(methods).chain(self.variants.iter().map(of_variant)).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.seeds.is_empty() {
            return Err("reduction.seeds is empty, expected at least one".to_owned());
        }
        if let Some((_, seed)) = self.seeds.iter().enumerate().find(|&(idx, seed)| self.seeds[..idx].contains(seed)) {
            return Err(format!("seed {seed} is given twice"));
        }
        if self.latency_batch > 0 && self.pairs == 0 {
            return Err("reduction.pairs is 0, expected at least one pair of runs".to_owned());
        }
        let all = self.all();
        if all.len() < 2 {
            return Err("reduction.methods is empty and there are no variants: nothing is reduced".to_owned());
        }
        for (idx, variant) in all.iter().enumerate() {
            if all[..idx].iter().any(|other| other.label == variant.label) {
                return Err(format!("two reductions are called \"{}\"", variant.label));
            }
            if variant.steps.is_empty() && idx > 0 {
                return Err(format!("variant \"{}\" has no steps", variant.label));
            }
            for step in &variant.steps {
                step.check().map_err(|cause| format!("\"{}\": {cause}", variant.label))?;
            }
        }
        let mut labels: Vec<&str> = self.accelerators.iter().map(AcceleratorConfig::label).collect();
        labels.sort_unstable();
        if let Some(pair) = labels.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two accelerators are labeled \"{}\"", pair[0]));
        }
        self.run.check_unset("[reduction.run]", &[])
    }
}

impl StudyPlan for ReductionPlan {
    const KIND: &'static str = "reduction";
    const SUMMARY: &'static str = "one network reduced in several ways: accuracy against counts, time and energy";
    const MARK: &'static str = "[reduction]";

    fn check(&self, study: &StudyHeader) -> Result<(), String> {
        self.reduction.check()?;
        self.quantization.check().map_err(|error| format!("quantization: {error}"))?;
        study.check_accuracy_images()
    }

    fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        self.reduction.accelerators.iter_mut().try_for_each(|own| own.read_files(designs, folder))?;
        self.designs = designs.clone();
        self.costs.read_file(folder)
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let network = Network::open(&study.network.model)?;
        let images = Images::open(&study.data, &network.graph, study.network.input_size)?;
        let (data, data_name) = (images.record()?, images.name().to_owned());
        let inputs = vec![network.digest(), images.digest(&data)];
        let points = ReductionPoints::new(self, study, network, data.sha256.unwrap_or_default())?;
        let outcomes = desk.outcomes(&points)?;
        Ok(StudyRecord {
            model_name: points.network.name.clone(),
            untrained: points.network.is_untrained,
            data_name,
            n_images: if self.reduction.accelerators.is_empty() {
                0
            } else {
                study.data.images.min(images.len()) as u64
            },
            seed: self.reduction.seeds.first().copied().unwrap_or(0),
            sections: Sections::default().with(tables::tables(self, &points, &outcomes)),
            published: study
                .published
                .iter()
                .map(|figure| figure.beside(None, skimp_report::records::Provenance::Measured))
                .collect(),
            assumptions: self.assumptions(study),
            inputs,
            ..StudyRecord::default()
        })
    }
}

impl ReductionPlan {
    /// What a reader has to know to judge the figures.
    fn assumptions(&self, study: &StudyHeader) -> Vec<Assumption> {
        let own =
            |text: String| Assumption { text, source: "this study's configuration; docs/reduction.md".to_owned() };
        let config = &self.reduction;
        let mut list = vec![own(format!(
            "every reduction starts from the same network; accuracy is on the first {} test images; what training there is \
             is short, so differences between methods, not accuracies, are what it shows",
            study.data.accuracy_images
        ))];
        if !config.accelerators.is_empty() {
            let QuantizationConfig { weight_bits, activation_bits, .. } = self.quantization;
            list.push(own(format!(
                "accelerators run the network in {weight_bits}-bit weights and {activation_bits}-bit activations, on {} \
                 images; cycles and energies are sums over them",
                study.data.images
            )));
        }
        if config.latency_batch > 0 {
            list.push(own(
                "times are of this machine and differ from run to run; zeros alone make no dense kernel faster"
                    .to_owned(),
            ));
        }
        list
    }
}
