//! One run of a study: one policy, one seed.

use serde::{Deserialize, Serialize};
use skimp_report::records::CastRecord;
use skimp_train::TrainError;
use skimp_train::policy::{self, Policy};
use skimp_train::trainer::{EpochRecord, Observer, Trainer, TrainerConfig};

use super::PrecisionConfig;
use super::kept::Kept;
use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::train::config::{Checked, TrainConfig};
use crate::train::data::Data;
use crate::train::identity::Identity;
use crate::train::{freeze, new_model};

/// A run that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Label of its policy.
    pub(crate) label: String,
    /// Name of its files.
    pub(crate) name: String,
    pub(crate) config: TrainConfig,
}

/// What one run brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Why it ended early, if its numbers left the finite ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) diverged: Option<String>,
    /// Finished epochs.
    #[serde(default)]
    pub(crate) history: Vec<EpochRecord>,
    /// What rounding lost.
    #[serde(default)]
    pub(crate) casts: Vec<CastRecord>,
}

impl Run {
    /// All runs of a study, in the order of the report: policies, and the seeds of each one.
    pub(crate) fn all(training: &PrecisionConfig, base: &TrainConfig) -> Vec<Self> {
        let mut slugs: Vec<String> = Vec::new();
        let mut runs = Vec::new();
        for policy in &training.policies {
            let mut slug = slug(policy.label());
            while slugs.contains(&slug) {
                slug.push_str("-2");
            }
            runs.extend(training.seeds.iter().map(|&seed| Self {
                label: policy.label().to_owned(),
                name: format!("{slug}-seed{seed}"),
                config: TrainConfig { precision: policy.precision.clone(), seed, ..base.clone() },
            }));
            slugs.push(slug);
        }
        runs
    }

    /// Its initial network, its images, and what its files belong to.
    pub(crate) fn inputs(&self, data: &Data) -> Result<(Network, Data, Identity), StudyError> {
        let network = Network::open_for_training(&self.config.network, self.config.seed)?;
        let data = data.chosen(&self.config)?;
        let identity = Identity::new(&self.config, &network, &data)?;
        Ok((network, data, identity))
    }

    /// Trains from the initial weights of its seed, or from its checkpoint. Divergence is a result, not an error.
    ///
    /// `begin` is told the first step.
    pub(crate) fn train(
        &self,
        data: &Data,
        kept: Option<&Kept>,
        begin: impl FnOnce(u64),
        observer: &dyn Observer,
    ) -> Result<Outcome, StudyError> {
        let config = &self.config;
        let Checked { augment, trainer } = config.check()?;
        let (network, data, identity) = self.inputs(data)?;
        let (loader, validation) = data.loaders(config, augment)?;
        let mut model = new_model(config, &network, &data)?;
        freeze(&mut model, &config.freeze)?;
        let mut precision = policy::create(&config.precision)?;
        let (checkpoints, checkpoint) = match kept {
            None => (None, None),
            Some(kept) => {
                let (place, checkpoint) = kept.begin(self, &identity)?;
                (Some(place), checkpoint)
            }
        };
        let trainer = TrainerConfig { checkpoints, ..trainer };
        let mut trainer = Trainer::new(&mut model, &mut *precision, trainer, loader, validation)?;
        if let Some(checkpoint) = checkpoint {
            trainer.resume(checkpoint)?;
        }
        begin(trainer.state().step);
        let diverged = match trainer.run(observer) {
            Ok(_) => None,
            // A run that is asked to stop looks at its parameters earlier than others do. It is to find out by itself.
            Err(TrainError::Diverged { .. } | TrainError::Interrupted { .. }) if observer.interrupted() => {
                return Err(StudyError::Interrupted);
            }
            Err(TrainError::Diverged { epoch, step, what, layer, .. }) => {
                Some(TrainError::Diverged { epoch, step, what, layer, checkpoint: None }.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let history = trainer.state().history.clone();
        let outcome = Outcome { history, diverged, casts: casts(&*precision) };
        if let Some(kept) = kept {
            kept.finish(self, &identity, &outcome)?;
        }
        Ok(outcome)
    }
}

fn casts(policy: &dyn Policy) -> Vec<CastRecord> {
    let classes = policy.counts().map_or(&[][..], |counts| &counts.classes);
    let record = |(class, count): &(&'static str, policy::CastCount)| CastRecord {
        class: (*class).to_owned(),
        elements: count.elements,
        overflows: count.overflows,
        underflows: count.underflows,
        flushed: count.flushed,
    };
    classes.iter().map(record).collect()
}

/// A label as part of a file name: lower-case letters, digits, dots and single dashes.
fn slug(label: &str) -> String {
    let mut slug = String::new();
    for c in label.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' | '.' if !slug.is_empty() || c != '.' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "policy".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_differ() {
        for (label, expected) in [
            ("fp8-ibm, no chunks", "fp8-ibm-no-chunks"),
            ("fp16:loss-scale=1", "fp16-loss-scale-1"),
            ("../x y/", "x-y"),
            ("(0.5)", "0.5"),
            ("é", "policy"),
        ] {
            assert_eq!(slug(label), expected, "{label}");
        }
        let policy = |label: &str| format!("[[policies]]\nprecision = \"fp32\"\nlabel = \"{label}\"\n");
        let text = format!("baseline = \"a\"\nseeds = [7, 1]\n{}{}{}", policy("a"), policy("A"), policy("a-2"));
        let runs = Run::all(&toml::from_str(&text).unwrap(), &TrainConfig::default());
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a-seed7", "a-seed1", "a-2-seed7", "a-2-seed1", "a-2-2-seed7", "a-2-2-seed1"]);
    }
}
