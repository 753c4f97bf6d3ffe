//! Training: a network, a data set and a configuration become a trained network, its checkpoints, logs and report.

pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod identity;
pub(crate) mod observe;
pub(crate) mod record;
pub(crate) mod trained;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_files::Lock;
use skimp_graph::{Graph, onnx};
use skimp_report::records::{Assumption, Sections, TRAINING_RUN, TrainingRecord, TrainingStart};
use skimp_report::{StudyRecord, check_folder, refresh_study, write_atomic, write_study};
use skimp_train::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use skimp_train::loader::Loader;
use skimp_train::quantizer::Quantizer;
use skimp_train::trainer::{
    CheckpointConfig, EpochRecord, Evaluation, Trainer, TrainerConfig, evaluate, folder_beside,
};
use skimp_train::{Model, ModelOptions, policy};

use self::config::{Checked, TrainConfig};
use self::data::Data;
use self::identity::Identity;
use self::observe::Watch;
use self::record::{OutputRecord, TrainRecord};
use crate::error::StudyError;
use crate::inputs::answers::{Tally, chance_warning};
use crate::inputs::images::PREPROCESS_KEY;
use crate::inputs::network::{Network, hex};
use crate::monitor::Monitor;

/// Held in a folder while a run writes there.
pub(crate) const LOCK_FILE: &str = ".skimp-lock";

/// Where a run writes, and whether it goes on: nothing here changes the trained weights.
#[derive(Clone, Debug, Default)]
pub struct TrainRun {
    /// The trained network, an ONNX file.
    pub output: PathBuf,
    /// Folder of checkpoints, logs and report; beside the output (`net.onnx` → `net.train`) where none is given.
    pub folder: Option<PathBuf>,
    /// Go on from the folder's checkpoint if there is one.
    pub resume: bool,
    /// Steps between two checkpoints within an epoch; one at the end of each epoch otherwise.
    pub checkpoint_every: Option<u64>,
    /// Log formats.
    pub logs: Vec<String>,
}

/// Trains a network.
///
/// # Determinism
/// The trained network is a function of the configuration, the network and the images: the same bits on any number of
/// threads, and however often the run was killed and resumed.
///
/// # Errors
/// [`StudyError`] naming the setting, file, image, layer or tensor. The last good checkpoint stays in all cases.
pub fn train(config: &TrainConfig, run: &TrainRun, monitor: &dyn Monitor) -> Result<TrainRecord, StudyError> {
    let Checked { augment, trainer, quantizer } = config.check()?;
    let mut policy = policy::create(&config.precision)?;
    let logs = config::log_formats(&run.logs)?;
    let folder = run.folder.clone().unwrap_or_else(|| folder_beside(&run.output));
    let _locks = open_folder(&folder, run)?;
    let checkpoint = earlier_checkpoint(&folder, run)?;

    let network = Network::open_for_training(&config.network, config.seed)?;
    network.check_one_step("training")?;
    let network = prepared(network, quantizer.as_ref())?;
    // External data of the network are inputs, too.
    skimp_files::check(&run.output).map_err(failed(&run.output))?;
    monitor.stage("opening the data", 1);
    let data = Data::open(config, &network.graph, monitor)?;
    let config = &data.resolved(config);
    let config = &fitting(config, &data, monitor);
    let (training, validation) = data.loaders(config, augment)?;
    let mut model = new_model(config, (&network, quantizer.as_ref()), &data)?;
    freeze(&mut model, &config.freeze)?;
    let before = match &validation {
        Some(validation) if !network.is_untrained => {
            Some(measure(config, &mut model, &data, validation, &trainer, monitor)?)
        }
        _ => None,
    };
    let identity = Identity::new(config, &network, &data)?;

    let record = TrainingRecord {
        precision: config.precision.clone(),
        optimizer: config.optimizer.clone(),
        schedule: config.schedule.clone(),
        loss: config.loss.clone(),
        batch_size: config.batch_size as u64,
        n_train_images: training.n_images() as u64,
        n_validation_images: validation.as_ref().map_or(0, |validation| validation.n_images() as u64),
        n_parameters: n_parameters(&model),
        before,
        epochs: Vec::new(),
    };
    let steps_per_epoch = training.steps_per_epoch();
    let checkpoints =
        CheckpointConfig { folder: folder.clone(), every_steps: run.checkpoint_every, config: identity.table()? };
    let trainer = TrainerConfig { checkpoints: Some(checkpoints), ..trainer };
    let report = study_of(config, &network, &identity)?;
    let hook = quantizer.as_ref().map(|quantizer| quantizer.hook(&model)).transpose()?.flatten();
    let mut trainer = Trainer::new(&mut model, &mut *policy, trainer, training, validation)?;
    if let Some(hook) = hook {
        trainer.optimizer_mut().add_hook(hook);
    }
    if let Some(checkpoint) = checkpoint {
        let (path, written) = (checkpoint.path().to_owned(), checkpoint.config().clone());
        trainer.resume(checkpoint)?;
        identity.check(&path, &written)?;
        monitor.note(&format!("going on from step {} of {}", trainer.state().step, trainer.n_steps()));
    }
    let step = trainer.state().step;
    let logs = logs.iter().map(|format| format.open(&folder, step)).collect::<Result<Vec<_>, _>>()?;
    let write_report = |history: &[EpochRecord]| {
        let epochs = history.iter().map(record::epoch).collect();
        let sections = Sections::default().with(TrainingRecord { epochs, ..record.clone() });
        refresh_study(&folder, &StudyRecord { sections, ..report.clone() }).map(drop)
    };
    let watch = Watch::new(monitor, logs, &write_report, config.epochs, steps_per_epoch);
    if step < trainer.n_steps() {
        watch.begin(step);
    }
    let history = trainer.run(&watch)?.to_vec();

    let trained = exported(&model, quantizer.as_ref())?.with_metadata(PREPROCESS_KEY, data.preprocess.as_str());
    let bytes = onnx::export_bytes(&trained)?;
    write_atomic(&run.output, &bytes)?;
    let record = TrainingRecord { epochs: history.iter().map(record::epoch).collect(), ..record };
    let last = record.epochs.last();
    let record = TrainRecord {
        schema: "skimp.train/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        data: identity.training.clone(),
        validation_data: identity.test.clone(),
        output: OutputRecord {
            path: run.output.display().to_string(),
            sha256: hex(&Sha256::digest(&bytes)),
            size_bytes: bytes.len() as u64,
        },
        folder: folder.display().to_string(),
        config: config.clone(),
        top1: last.and_then(|epoch| epoch.validation_accuracy),
        loss: last.and_then(|epoch| epoch.validation_loss),
        seconds: record.epochs.iter().map(|epoch| epoch.seconds).sum(),
        training: record,
    };
    let sections = Sections::default().with(record.training.clone());
    write_study(&folder, &StudyRecord { sections, ..report })?;
    Ok(record)
}

/// A trained network on the validation images, before the first step: epoch 0.
fn measure(
    config: &TrainConfig,
    model: &mut Model,
    data: &Data,
    validation: &Loader,
    trainer: &TrainerConfig,
    monitor: &dyn Monitor,
) -> Result<TrainingStart, StudyError> {
    monitor.stage("measuring the network before the first step", 1);
    // A policy of its own: what this one learns of ranges is not the run's.
    let mut policy = policy::create(&config.precision)?;
    let Evaluation { loss, n_correct, n_images } = evaluate(model, &mut *policy, validation, &trainer.losses)?;
    let start = TrainingStart {
        validation_loss: Some(loss).filter(|loss| loss.is_finite()),
        validation_accuracy: n_correct as f64 / n_images.max(1) as f64,
    };
    monitor.note(&format!(
        "before the first step: {n_correct} of {n_images} validation images right ({:.2} %)",
        100.0 * start.validation_accuracy
    ));
    let tally = Tally { images: n_images, top1: n_correct, top5: 0, n_classes: model.n_classes() };
    if let Some(warning) = chance_warning(tally, &data.preprocess) {
        monitor.note(&warning);
    }
    Ok(start)
}

/// The configuration with batches no larger than all training images together.
fn fitting(config: &TrainConfig, data: &Data, monitor: &dyn Monitor) -> TrainConfig {
    let n = data.n_training();
    if config.batch_size > n {
        monitor.note(&format!("batches of {n} images instead of {}: there are no more", config.batch_size));
    }
    TrainConfig { batch_size: config.batch_size.min(n), ..config.clone() }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> StudyError {
    let path = path.to_owned();
    move |source| StudyError::Io { path, source }
}

/// Makes the folder and checks that this run, and no other, can write to it and to the output: better now than after
/// the run.
fn open_folder(folder: &Path, run: &TrainRun) -> Result<Vec<Lock>, StudyError> {
    if run.output.as_os_str().is_empty() {
        return Err(StudyError::NoOutputFile);
    }
    skimp_files::check(&run.output).map_err(failed(&run.output))?;
    skimp_files::make_folder(folder).map_err(failed(folder))?;
    let mut locks = vec![skimp_files::lock(&folder.join(LOCK_FILE)).map_err(failed(folder))?];
    // Another folder does not make it another output.
    if run.folder.is_some() && run.output.metadata().is_ok_and(|present| present.is_file()) | !run.output.exists() {
        let name = run.output.file_name().unwrap_or_default().to_string_lossy();
        let beside = run.output.with_file_name(format!(".{name}{LOCK_FILE}"));
        locks.push(skimp_files::lock(&beside).map_err(failed(&run.output))?);
    }
    let begun = folder.join(CHECKPOINT_FILE).exists();
    if !begun {
        check_folder(folder)?;
    }
    let is_of_run = begun || skimp_files::is_record(&folder.join("results.json"));
    let log = folder.join("log.csv");
    if run.logs.iter().any(|log| log == "csv") {
        skimp_files::check_own(&log, |_| is_of_run).map_err(failed(&log))?;
    }
    Ok(locks)
}

/// The checkpoint from which the run goes on.
fn earlier_checkpoint(folder: &Path, run: &TrainRun) -> Result<Option<Checkpoint>, StudyError> {
    let checkpoint = folder.join(CHECKPOINT_FILE);
    if run.resume {
        return Ok(Checkpoint::load(folder)?);
    }
    if checkpoint.exists() {
        return Err(StudyError::Begun {
            path: checkpoint,
            what: "a checkpoint of another run",
            folder: folder.to_owned(),
        });
    }
    Ok(None)
}

/// Freezes the parameters whose names are given, or begin as given with a `*` at the end.
pub(crate) fn freeze(model: &mut Model, patterns: &[String]) -> Result<(), StudyError> {
    for pattern in patterns {
        let fits = |name: &str| pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start));
        let mut found = false;
        for param in model.params_mut().iter_mut().filter(|param| fits(param.name())) {
            param.set_trainable(false);
            found = true;
        }
        if !found {
            let known = model.params().iter().map(|param| param.name().to_owned()).take(8).collect();
            return Err(StudyError::UnknownParameter { pattern: pattern.clone(), known });
        }
    }
    Ok(())
}

/// The network that is trained for `network`.
pub(crate) fn prepared(network: Network, quantizer: Option<&Quantizer>) -> Result<Network, StudyError> {
    Ok(match quantizer {
        Some(quantizer) => Network { graph: quantizer.prepare(&network.graph)?, ..network },
        None => network,
    })
}

/// The trained network in the form of its quantizer.
pub(crate) fn exported(model: &Model, quantizer: Option<&Quantizer>) -> Result<Graph, StudyError> {
    Ok(match quantizer {
        Some(quantizer) => quantizer.export(model)?,
        None => model.to_graph()?,
    })
}

/// The network compiled for training.
pub(crate) fn new_model(
    config: &TrainConfig,
    (network, quantizer): (&Network, Option<&Quantizer>),
    data: &Data,
) -> Result<Model, StudyError> {
    let options = ModelOptions {
        batch: config.batch_size,
        input_size: Some(vec![data.input.channels, data.input.height, data.input.width]),
        batch_norm_momentum: config.batch_norm_momentum,
        output: data.answers.chosen().map(str::to_owned),
        ..ModelOptions::default()
    };
    let options = match quantizer {
        Some(quantizer) => quantizer.options(&network.graph, options)?,
        None => options,
    };
    Ok(Model::new(&network.graph, &options)?)
}

pub(crate) fn n_parameters(model: &Model) -> u64 {
    model.params().iter().filter(|param| param.is_trainable()).map(|param| param.len() as u64).sum()
}

/// The run as a study, for the report, without its epochs.
fn study_of(config: &TrainConfig, network: &Network, identity: &Identity) -> Result<StudyRecord, StudyError> {
    Ok(StudyRecord {
        kind: TRAINING_RUN.to_owned(),
        name: network.name.clone(),
        title: format!("{} trained on {}", network.name, identity.training.name),
        model_name: network.name.clone(),
        data_name: identity.training.name.clone(),
        seed: config.seed,
        assumptions: adapted(identity),
        config_toml: identity.text()?,
        inputs: identity.inputs(network),
        ..StudyRecord::default()
    })
}

/// What was changed in the images to fit the network.
fn adapted(identity: &Identity) -> Vec<Assumption> {
    let adapted = &identity.training.adapted;
    let text = format!("images are {}", adapted.join(", "));
    let source = "the network's input and the images' extents".to_owned();
    (!adapted.is_empty()).then_some(Assumption { text, source }).into_iter().collect()
}

#[cfg(test)]
mod tests;
