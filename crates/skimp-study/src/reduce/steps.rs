//! Reductions one after another, as study files list them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use skimp_reduce::recast::{NewKind, parse_blocks};
use skimp_reduce::{METHODS, Removes, Scope, Target};

use super::prune::{PruneConfig, pruned};
use super::recast::{RecastConfig, recast_network};
use super::run::ReduceRun;
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::train::config::TrainConfig;

/// One reduction: what `skimp prune` or what `skimp recast` does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// The method that prunes (`skimp list methods`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<String>,
    /// What shall remain, or become zero: `macs=0.5`, `sparsity=0.8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Which channels are compared with each other.
    #[serde(default)]
    pub scope: Scope,
    /// Layers that keep their channels or weights; a `*` at the end stands for any ending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Kept channels go to the nearest multiple of this.
    #[serde(default = "default_round_to")]
    pub round_to: usize,
    /// Settings of the method.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub set: toml::Table,
    /// The blocks that are recast, such as `1-9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<String>,
    /// What they become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Factors of their widths: one for each, one for all, or none for 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<f64>,
    /// Passes over the training images: of a method that trains, or of each block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Training images on which batch normalization is measured again after pruning.
    #[serde(default)]
    pub batch_norm_images: usize,
    /// Passes over the training images after the reduction.
    #[serde(default)]
    pub finetune: u64,
}

/// As `skimp prune` has it.
fn default_round_to() -> usize {
    8
}

/// The methods that make a smaller network.
pub(crate) fn prunes() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.facts()).filter(|own| own.removes != Removes::Operations).map(|own| own.name)
}

/// A step that has been understood.
enum Step {
    Prune(String, Target),
    Recast(Vec<usize>, NewKind),
}

/// What steps learn from.
#[derive(Clone, Debug)]
pub(crate) struct Lesson<'a> {
    /// Images; none for steps that need none.
    pub(crate) data: Option<&'a DataConfig>,
    /// Input height and width, where the network leaves them open.
    pub(crate) input_size: Option<[usize; 2]>,
    /// How networks are trained; a step says how long.
    pub(crate) run: &'a TrainConfig,
    /// The seed.
    pub(crate) seed: u64,
}

impl StepConfig {
    /// Pruning by a method.
    pub(crate) fn prune(method: &str, target: &str) -> Self {
        Self {
            prune: Some(method.to_owned()),
            target: Some(target.to_owned()),
            scope: Scope::default(),
            keep: Vec::new(),
            round_to: default_round_to(),
            set: toml::Table::new(),
            blocks: None,
            into: None,
            ratios: Vec::new(),
            epochs: None,
            batch_norm_images: 0,
            finetune: 0,
        }
    }

    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// The cause.
    pub fn check(&self) -> Result<(), String> {
        self.step().map(drop)
    }

    fn step(&self) -> Result<Step, String> {
        match (&self.prune, &self.target, &self.blocks, &self.into) {
            (Some(method), Some(target), None, None) => {
                let known: Vec<&str> = prunes().collect();
                if !known.contains(&method.as_str()) {
                    return Err(format!("prune is \"{method}\", expected one of: {}", known.join(", ")));
                }
                Ok(Step::Prune(method.clone(), Target::from_str(target).map_err(|error| error.to_string())?))
            }
            (None, None, Some(blocks), Some(into)) => {
                let blocks = parse_blocks(blocks).map_err(|error| format!("blocks: {error}"))?;
                let into = NewKind::from_str(into).map_err(|error| format!("into: {error}"))?;
                Ok(Step::Recast(blocks, into))
            }
            _ => Err("a step has prune and target, or blocks and into".to_owned()),
        }
    }

    /// The network that the step makes of one.
    ///
    /// # Errors
    /// [`StudyError::Step`] saying why it is none, [`StudyError::Reduce`] naming what does not fit, otherwise the error of what failed.
    pub(crate) fn apply(
        &self,
        network: &Network,
        lesson: &Lesson<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Network, StudyError> {
        let step = self.step().map_err(|cause| StudyError::Step { cause })?;
        let epochs = self.epochs.unwrap_or(lesson.run.epochs);
        let data = lesson.data.cloned();
        // What accuracy is measured on is enough to watch it.
        let watched = data.as_ref().map(|data| data.accuracy_images);
        let validation_images = lesson.run.validation_images.or(watched);
        let training = TrainConfig { epochs, seed: lesson.seed, validation_images, ..lesson.run.clone() };
        let (input_size, finetune) = (lesson.input_size, self.finetune);
        match step {
            Step::Prune(method, target) => {
                let config = PruneConfig {
                    method,
                    target,
                    scope: self.scope,
                    keep: self.keep.clone(),
                    round_to: self.round_to,
                    inexact: false,
                    settings: self.set.clone(),
                    data,
                    input_size,
                    batch_norm_images: self.batch_norm_images,
                    finetune,
                    training,
                    latency_batch: None,
                };
                Ok(pruned(network, &config, &ReduceRun::default(), monitor)?.1)
            }
            Step::Recast(blocks, into) => {
                let ratios = self.ratios.clone();
                let config = RecastConfig { blocks, into, ratios, data, input_size, finetune, training };
                Ok(recast_network(network, &config, &ReduceRun::default(), monitor)?.1)
            }
        }
    }
}

/// The network that reductions make of `network`, one after another; `training` says how those that learn do it, on the
/// training split of `data`.
///
/// # Errors
/// [`StudyError::Setting`] if a step is none, [`StudyError::Reduce`] naming what does not fit, otherwise the error of what
/// failed.
pub fn reduce_steps(
    network: &Network,
    steps: &[StepConfig],
    data: &DataConfig,
    input_size: Option<[usize; 2]>,
    training: &TrainConfig,
    monitor: &dyn Monitor,
) -> Result<Network, StudyError> {
    let lesson = Lesson { data: Some(data), input_size, run: training, seed: training.seed };
    steps.iter().try_fold(network.clone(), |network, step| step.apply(&network, &lesson, monitor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_say_what_they_are() {
        let step = |text: &str| toml::from_str::<StepConfig>(text).map_err(|error| error.to_string());
        for good in ["prune = \"l1\"\ntarget = \"macs=0.5\"", "blocks = \"1-3\"\ninto = \"conv\""] {
            step(good).unwrap().check().unwrap();
        }
        for (text, message) in [
            ("prune = \"l1\"", "a step has prune and target, or blocks and into"),
            ("prune = \"l1\"\ntarget = \"macs=0.5\"\nblocks = \"1\"", "a step has prune and target"),
            ("prune = \"rnp\"\ntarget = \"macs=0.5\"", "prune is \"rnp\", expected one of: l1"),
            ("prune = \"l9\"\ntarget = \"macs=0.5\"", "prune is \"l9\", expected one of: l1"),
            ("prune = \"l1\"\ntarget = \"macs=2\"", "the fraction that remains"),
            ("blocks = \"x\"\ninto = \"conv\"", "blocks: \"x\""),
            ("blocks = \"1\"\ninto = \"linear\"", "into: \"linear\""),
        ] {
            let error = step(text).unwrap().check().unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
