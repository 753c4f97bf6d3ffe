//! One network trained under several precision policies: the same images and seeds, so that only the bits differ.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use skimp_report::StudyRecord;
use skimp_report::records::{
    Assumption, CastRecord, CurvePoint, InputDigest, PolicyRecord, PolicyRun, PrecisionRecord, Spread, Timing,
};
use skimp_train::policy::{self, Policy, PolicyEntry};
use skimp_train::trainer::{EpochRecord, Observer, StepReport, Trainer, TrainerConfig};
use skimp_train::{Model, ModelOptions, TrainError};

use super::config::TrainConfig;
use super::data::Data;
use super::identity::Identity;
use crate::{Monitor, Network, StudyConfig, StudyError};

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
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.seeds.is_empty() || self.policies.is_empty() {
            return Err("[training] has no seeds or no policies, expected at least one of each".to_owned());
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
        let (run, unset) = (&self.run, TrainConfig::default());
        let own = [&run.network, &run.data, &run.precision] == [&unset.network, &unset.data, &unset.precision];
        if !own || run.seed != unset.seed || run.preprocess.is_some() || run.input_size.is_some() {
            let keys = "network, data, preprocess, input_size, precision and seed";
            return Err(format!("[training.run] sets one of {keys}, which the study gives elsewhere"));
        }
        Ok(())
    }
}

/// What one run brought.
struct Outcome {
    history: Vec<EpochRecord>,
    diverged: Option<String>,
    skipped_steps: u64,
    casts: Vec<CastRecord>,
}

/// Runs the study.
pub(crate) fn study(
    config: &StudyConfig,
    training: &PrecisionConfig,
    monitor: &dyn Monitor,
) -> Result<StudyRecord, StudyError> {
    let base = TrainConfig {
        network: config.network.model.clone(),
        input_size: config.network.input_size,
        data: config.data.set.clone(),
        preprocess: config.data.preprocess.clone(),
        seed: training.seeds.first().copied().unwrap_or(0),
        ..training.run.clone()
    };
    let network = Network::open_for_training(&base.network, base.seed)?;
    let data = Data::open(&base, &network.graph)?;
    let identity = Identity::new(&base, &network, &data)?;
    let (loader, validation) = data.loaders(&base, base.check()?.augment)?;
    let mut record = PrecisionRecord {
        baseline: training.baseline.clone(),
        seeds: training.seeds.clone(),
        epochs: base.epochs,
        batch_size: base.batch_size as u64,
        n_train_images: loader.n_images() as u64,
        n_validation_images: validation.map_or(0, |validation| validation.n_images() as u64),
        n_parameters: n_parameters(&model(&base, &network, &data)?),
        policies: Vec::new(),
    };
    let mut timings = Vec::new();
    for policy in &training.policies {
        let start = Instant::now();
        let outcomes: Result<Vec<Outcome>, StudyError> = training
            .seeds
            .iter()
            .map(|&seed| {
                run(&TrainConfig { precision: policy.precision.clone(), seed, ..base.clone() }, policy, monitor)
            })
            .collect();
        record.policies.push(summary(policy, &training.seeds, &outcomes?));
        timings.push(Timing { step: format!("train: {}", policy.label()), seconds: start.elapsed().as_secs_f64() });
    }
    compare(&mut record);
    Ok(StudyRecord {
        name: config.name.clone(),
        title: config.title.clone(),
        subject: config.subject.clone(),
        model_name: network.name.clone(),
        data_name: identity.training.name.clone(),
        seed: base.seed,
        assumptions: assumptions(&record, training),
        config_toml: config.to_toml()?,
        inputs: inputs(&network, &identity),
        precision: Some(record),
        timings,
        ..StudyRecord::default()
    })
}

fn model(config: &TrainConfig, network: &Network, data: &Data) -> Result<Model, StudyError> {
    let options = ModelOptions {
        batch: config.batch_size,
        input_size: Some(vec![data.input.channels, data.input.height, data.input.width]),
        batch_norm_momentum: config.batch_norm_momentum,
        ..ModelOptions::default()
    };
    Ok(Model::new(&network.graph, &options)?)
}

fn n_parameters(model: &Model) -> u64 {
    model.params().iter().filter(|param| param.is_trainable()).map(|param| param.len() as u64).sum()
}

/// One run from the initial weights of its seed. Divergence is a result, not an error.
fn run(config: &TrainConfig, policy: &PolicyConfig, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
    let checked = config.check()?;
    let network = Network::open_for_training(&config.network, config.seed)?;
    let data = Data::open(config, &network.graph)?;
    let (loader, validation) = data.loaders(config, checked.augment)?;
    let mut model = model(config, &network, &data)?;
    super::freeze(&mut model, &config.freeze)?;
    let mut precision = policy::create(&config.precision)?;
    let trainer = TrainerConfig {
        epochs: config.epochs,
        learning_rate: config.learning_rate,
        schedule: checked.schedule,
        optimizer: checked.optimizer,
        losses: checked.losses,
        seed: config.seed,
        checkpoints: None,
    };
    let mut trainer = Trainer::new(&mut model, &mut *precision, trainer, loader, validation)?;
    monitor.stage(&format!("{}, seed {}", policy.label(), config.seed), trainer.n_steps());
    let diverged = match trainer.run(&Watch(monitor)) {
        Ok(_) => None,
        Err(error @ TrainError::Diverged { .. }) => Some(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let history = trainer.state().history.clone();
    let skipped_steps = history.iter().map(|epoch| epoch.skipped_steps).sum();
    Ok(Outcome { history, diverged, skipped_steps, casts: casts(&*precision) })
}

/// Tells a [`Monitor`] of the steps of a run.
struct Watch<'a>(&'a dyn Monitor);

impl Observer for Watch<'_> {
    fn step(&self, _report: &StepReport) {
        self.0.advance(1);
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
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
        skipped_steps: outcomes.iter().map(|outcome| outcome.skipped_steps).sum(),
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

fn inputs(network: &Network, identity: &Identity) -> Vec<InputDigest> {
    let data = [Some(&identity.training), identity.test.as_ref()].into_iter().flatten().map(|data| InputDigest {
        path: format!(
            "{} ({} split)",
            data.spec.as_deref().unwrap_or(&data.name),
            data.split.as_deref().unwrap_or("train")
        ),
        sha256: data.sha256.clone().unwrap_or_default(),
        size_bytes: 0,
    });
    std::iter::once(network.digest()).chain(data).collect()
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
mod tests {
    use super::*;
    use crate::{Silent, study as run_in_memory};

    const TINY: &str = r#"
        schema = 1
        name = "tiny"
        title = "Tiny"
        summary = "tiny"

        [network]
        model = "conv4-fc2:channels=1,size=28,widths=2-2-4-4-8,batch-norm=true"

        [data]
        set = "sample"

        [training]
        baseline = "fp32"
        seeds = [1, 2]

        [training.run]
        epochs = 2
        batch_size = 16
        images = 40
        validation_images = 30
        learning_rate = 0.05

        [[training.policies]]
        precision = "fp32"

        [[training.policies]]
        precision = "fp32"
        label = "again"

        [[training.policies]]
        precision = "mxfp4"
        ablates = "fp32"
    "#;

    fn record(text: &str) -> StudyRecord {
        run_in_memory(&StudyConfig::parse(text, "tiny.toml").unwrap(), &Silent).unwrap()
    }

    #[test]
    fn a_tiny_study_compares_policies_seed_by_seed() {
        let study = record(TINY);
        let precision = study.precision.as_ref().unwrap();
        assert_eq!((precision.epochs, precision.n_train_images, precision.n_validation_images), (2, 40, 30));
        let [base, again, few] = &precision.policies[..] else { panic!("{precision:?}") };
        // The same policy under another name: the same bits.
        assert_eq!(base.runs, again.runs);
        assert_eq!((base.difference, again.difference), (None, Spread::of(&[0.0, 0.0])));
        assert!(base.casts.is_empty());
        // Four bits compute something else and lose something, in the classes of tensors that are rounded.
        assert_ne!(base.runs, few.runs);
        assert!(few.casts.iter().any(|cast| cast.class == "error" && cast.underflows > 0), "{few:?}");
        assert!(few.casts.iter().all(|cast| cast.overflows + cast.underflows + cast.flushed <= cast.elements));
        for (run, seed) in few.runs.iter().zip([1, 2]) {
            assert_eq!((run.seed, run.curve.len(), run.diverged.as_ref()), (seed, 2, None));
            assert_eq!(run.top1, run.curve[1].validation_accuracy);
        }
        assert_ne!(few.runs[0].curve, few.runs[1].curve);
        let differences: Vec<f64> =
            few.runs.iter().zip(&base.runs).map(|(run, base)| run.top1.unwrap() - base.top1.unwrap()).collect();
        assert_eq!(few.difference, Spread::of(&differences));
        // The resolved configuration repeats the study.
        assert_eq!(record(&study.config_toml).precision, study.precision);
        let html = skimp_report::html::render(&study);
        assert!(html.contains("Training in few bits") && html.contains("precision-loss"));
    }

    #[test]
    fn the_documented_example_is_a_study() {
        let page = include_str!("../../../../docs/studies.md");
        let example = page.split("```").find(|block| block.starts_with("toml\n[training]")).unwrap();
        let (head, _) = TINY.split_once("[training]").unwrap();
        StudyConfig::parse(&format!("{head}{}", &example["toml".len()..]), "docs/studies.md").unwrap();
    }

    #[test]
    fn divergence_is_a_result() {
        let study = record(&TINY.replace("learning_rate = 0.05", "learning_rate = 1e30"));
        let precision = study.precision.as_ref().unwrap();
        let base = &precision.policies[0];
        assert_eq!((base.top1, base.n_diverged), (None, 2));
        assert!(base.runs.iter().all(|run| run.diverged.as_ref().is_some_and(|cause| cause.contains("diverged"))));
        assert!(skimp_report::html::render(&study).contains("Runs that diverged"));
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, message) in [
            ("seeds = [1, 2]", "seeds = []", "no seeds or no policies"),
            ("label = \"again\"", "label = \"fp32\"", "two policies are labeled \"fp32\""),
            ("ablates = \"fp32\"", "ablates = \"fp33\"", "\"mxfp4\" ablates \"fp33\", expected one of: fp32, again"),
            ("baseline = \"fp32\"", "baseline = \"fp64\"", "baseline is \"fp64\", expected one of: fp32, again, mxfp4"),
            ("precision = \"mxfp4\"", "precision = \"mxfp5\"", "mxfp5"),
            ("epochs = 2", "epochs = 2\nseed = 3", "[training.run] sets one of network, data"),
            ("epochs = 2", "epoch = 2", "unknown field `epoch`"),
            (
                "[training]\n",
                "[[accelerators]]\nmodel = \"compend\"\n[training]\n",
                "[training] and [[accelerators]] exclude each other",
            ),
        ] {
            assert!(TINY.contains(from), "{from}");
            let error = StudyConfig::parse(&TINY.replacen(from, to, 1), "tiny.toml").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
