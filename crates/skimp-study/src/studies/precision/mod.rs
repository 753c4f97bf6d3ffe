//! One network trained under several precision policies: the same images and seeds, so that only the bits differ.

mod run;

use serde::{Deserialize, Serialize};
use skimp_report::StudyRecord;
use skimp_report::records::{
    Assumption, CastRecord, CurvePoint, PolicyRecord, PolicyRun, PrecisionRecord, Provenance, PublishedFigure,
    Sections, Spread, Timing,
};
use skimp_train::policy::{self, PolicyEntry};
use skimp_train::trainer::EpochRecord;

use self::run::{Outcome, PrecisionPoints, Run};
use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::store::desk::Desk;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;
use crate::studies::published::{NO_FIGURE, PublishedConfig};
use crate::train::config::TrainConfig;
use crate::train::data::Data;
use crate::train::identity::Identity;
use crate::train::{n_parameters, new_model};

/// What a study of precision policies asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionPlan {
    /// How the network is trained.
    pub training: PrecisionConfig,
}

/// Which of our figures stands beside a published one: top-1 of the policy `design` less that of the baseline.
const ACCURACY_DIFFERENCE: &str = "accuracy-difference";

/// How a network is trained under several precision policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionConfig {
    /// Label of the policy that the others are compared with.
    pub baseline: String,
    /// One run of each policy per seed.
    pub seeds: Vec<u64>,
    /// How every run is trained. The study gives network, data, precision and seed.
    #[serde(default)]
    pub run: TrainConfig,
    /// The policies, in the order of the report.
    pub policies: Vec<PolicyConfig>,
}

/// One policy of a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// The policy, `NAME[:switch=value,...]`.
    pub precision: String,
    /// Name in the report; the policy as written where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Label of the policy that this one takes something away from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ablates: Option<String>,
}

impl PolicyConfig {
    /// Name in the report.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.precision)
    }
}

impl PrecisionConfig {
    /// Checks what can be checked before anything is opened; the cause if something is wrong.
    fn check(&self) -> Result<(), String> {
        if self.seeds.is_empty() || self.policies.is_empty() {
            return Err("[training] has no seeds or no policies, expected at least one of each".to_owned());
        }
        if let Some((_, seed)) = self.seeds.iter().enumerate().find(|&(idx, seed)| self.seeds[..idx].contains(seed)) {
            return Err(format!("seed {seed} is given twice"));
        }
        let labels: Vec<&str> = self.policies.iter().map(PolicyConfig::label).collect();
        let known = labels.join(", ");
        for (idx, policy) in self.policies.iter().enumerate() {
            policy::create(&policy.precision).map_err(|error| error.to_string())?;
            if labels[..idx].contains(&policy.label()) {
                return Err(format!("two policies are labeled \"{}\"", policy.label()));
            }
            if let Some(ablated) = policy.ablates.as_deref().filter(|ablated| !labels.contains(ablated)) {
                return Err(format!("\"{}\" ablates \"{ablated}\", expected one of: {known}", policy.label()));
            }
        }
        if !labels.contains(&self.baseline.as_str()) {
            return Err(format!("baseline is \"{}\", expected one of: {known}", self.baseline));
        }
        let run = &self.run;
        run.check_unset("[training.run]", &[("precision", run.precision != TrainConfig::default().precision)])?;
        run.check_plain("the study").map_err(|error| format!("[training.run] {error}"))?;
        Ok(())
    }
}

impl StudyPlan for PrecisionPlan {
    const KIND: &'static str = "precision";
    const SUMMARY: &'static str = "what one network becomes when it is trained under several precision policies";
    const MARK: &'static str = "[training]";
    const OLDER_KEYS: &'static [&'static str] =
        &["costs", "allowed_loss_points", "comparisons", "quantization", "layers"];

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        self.training.check()
    }

    fn check_published(&self, figure: &PublishedConfig) -> Result<(), String> {
        let PrecisionConfig { policies, baseline, .. } = &self.training;
        let others = || policies.iter().map(PolicyConfig::label).filter(|label| label != baseline);
        let known = figure.design.as_deref().is_some_and(|design| others().any(|label| label == design));
        match figure.ours.as_str() {
            NO_FIGURE => Ok(()),
            ACCURACY_DIFFERENCE if known => Ok(()),
            _ => Err(format!(
                "ours must be \"none\", or \"accuracy-difference\" with the design one of: {}",
                others().collect::<Vec<_>>().join(", ")
            )),
        }
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        run(&self.training, study, desk)
    }
}

fn run(training: &PrecisionConfig, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
    let base = TrainConfig {
        network: study.network.model.clone(),
        input_size: study.network.input_size,
        data: study.data.set.clone(),
        preprocess: study.data.preprocess.clone(),
        output_name: study.data.output_name.clone(),
        seed: training.seeds.first().copied().unwrap_or(0),
        ..training.run.clone()
    };
    let runs = Run::all(training, &base);
    let network = Network::open_for_training(&base.network, base.seed)?;
    let monitor = desk.monitor();
    monitor.stage("opening the data", 1);
    let data = Data::open(&base, &network.graph, monitor)?;
    let identity = Identity::new(&base, &network, &data)?;
    monitor.advance(1);
    let (loader, validation) = data.loaders(&base, base.check()?.augment)?;
    let model = new_model(&base, (&network, None), &data)?;
    let mut record = PrecisionRecord {
        baseline: training.baseline.clone(),
        seeds: training.seeds.clone(),
        epochs: base.epochs,
        batch_size: base.batch_size as u64,
        n_train_images: loader.n_images() as u64,
        n_validation_images: validation.map_or(0, |validation| validation.n_images() as u64),
        n_parameters: n_parameters(&model),
        policies: Vec::new(),
    };
    let n_steps = base.epochs * loader.steps_per_epoch();
    let memory = model.n_activation_bytes() as u64 + 16 * record.n_parameters;
    drop(model);
    let points = PrecisionPoints::new(runs, &data, n_steps, memory);
    let outcomes = desk.outcomes(&points)?;
    let mut timings = Vec::new();
    for (policy, outcomes) in training.policies.iter().zip(outcomes.chunks(training.seeds.len())) {
        let seconds = outcomes.iter().flat_map(|outcome| &outcome.history).map(|epoch| epoch.seconds).sum();
        record.policies.push(summary(policy, &training.seeds, outcomes));
        timings.push(Timing { step: format!("train: {}", policy.label()), seconds });
    }
    compare(&mut record);
    let published = study.published.iter().map(|figure| published(figure, &record)).collect();
    Ok(StudyRecord {
        model_name: network.name.clone(),
        data_name: identity.training.name.clone(),
        seed: base.seed,
        assumptions: assumptions(&record, training),
        inputs: identity.inputs(&network),
        sections: Sections::default().with(record),
        published,
        timings,
        ..StudyRecord::default()
    })
}

/// All runs of a policy, not yet compared.
fn summary(policy: &PolicyConfig, seeds: &[u64], outcomes: &[Outcome]) -> PolicyRecord {
    let mut casts: Vec<CastRecord> = Vec::new();
    for cast in outcomes.iter().flat_map(|outcome| &outcome.casts) {
        match casts.iter_mut().find(|known| known.class == cast.class) {
            Some(known) => {
                known.elements += cast.elements;
                known.overflows += cast.overflows;
                known.underflows += cast.underflows;
                known.flushed += cast.flushed;
            }
            None => casts.push(cast.clone()),
        }
    }
    let point = |epoch: &EpochRecord| CurvePoint {
        epoch: epoch.epoch,
        train_loss: epoch.train_loss,
        validation_loss: epoch.validation_loss,
        validation_accuracy: epoch.validation_accuracy,
    };
    let run = |(&seed, outcome): (&u64, &Outcome)| PolicyRun {
        seed,
        top1: outcome.history.last().filter(|_| outcome.diverged.is_none()).and_then(|epoch| epoch.validation_accuracy),
        diverged: outcome.diverged.clone(),
        curve: outcome.history.iter().map(point).collect(),
    };
    let runs: Vec<PolicyRun> = seeds.iter().zip(outcomes).map(run).collect();
    PolicyRecord {
        label: policy.label().to_owned(),
        precision: policy.precision.clone(),
        ablates: policy.ablates.clone(),
        top1: Spread::of(&runs.iter().filter_map(|run| run.top1).collect::<Vec<f64>>()),
        difference: None,
        n_diverged: runs.iter().filter(|run| run.diverged.is_some()).count() as u64,
        skipped_steps: outcomes.iter().flat_map(|outcome| &outcome.history).map(|epoch| epoch.skipped_steps).sum(),
        casts,
        runs,
    }
}

/// Sets every policy beside the baseline, seed by seed.
fn compare(record: &mut PrecisionRecord) {
    let Some(baseline) = record.policy(&record.baseline).map(|policy| policy.runs.clone()) else { return };
    for policy in record.policies.iter_mut().filter(|policy| policy.label != record.baseline) {
        let pairs = policy.runs.iter().zip(&baseline);
        let differences: Vec<f64> = pairs.filter_map(|(run, base)| Some(run.top1? - base.top1?)).collect();
        policy.difference = Spread::of(&differences);
    }
}

/// Our difference beside a published one.
fn published(figure: &PublishedConfig, record: &PrecisionRecord) -> PublishedFigure {
    let points = |difference: &Spread| match difference.std {
        Some(std) => format!("{:+.2} ± {:.2} points", 100.0 * difference.mean, 100.0 * std),
        None => format!("{:+.2} points", 100.0 * difference.mean),
    };
    let policy = figure.design.as_deref().and_then(|label| record.policy(label));
    let difference = policy.and_then(|policy| policy.difference.as_ref());
    let asked = figure.ours == ACCURACY_DIFFERENCE;
    figure.beside(difference.filter(|_| asked).map(points), Provenance::Measured)
}

/// What a reader has to know to judge the figures, and the source of each policy.
fn assumptions(record: &PrecisionRecord, training: &PrecisionConfig) -> Vec<Assumption> {
    let own = |text: String| Assumption { text, source: "this study's configuration".to_owned() };
    let mut list = vec![
        own("runs with one seed have the same initial weights, images, order and augmentation under every policy; inference \
             after each epoch runs under the policy, too"
            .to_owned()),
        own(format!(
            "runs are short ({} epochs of {} images): differences between policies, not accuracies, are what they show",
            record.epochs, record.n_train_images
        )),
    ];
    let used = |entry: &dyn PolicyEntry| {
        training.policies.iter().any(|policy| policy.precision.split(':').next() == Some(entry.name()))
    };
    for entry in policy::POLICIES.iter().filter(|entry| used(**entry)) {
        list.push(Assumption {
            text: format!("{}: {}", entry.name(), entry.summary()),
            source: entry.source().to_owned(),
        });
    }
    list
}

#[cfg(test)]
mod tests;
