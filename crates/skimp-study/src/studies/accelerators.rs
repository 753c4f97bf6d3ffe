//! A whole study: accuracy, simulation, comparison, report.

use std::path::{Path, PathBuf};
use std::time::Instant;

use skimp_graph::Executor;
use skimp_graph::integer::{IntegerEngine, is_quantized};
use skimp_report::records::{
    AcceleratorFigures, AcceleratorRecord, Accuracy, AccuracyRecord, Assumption, Comparison, ComparisonRecord,
    LayersRecord, Provenance, Sections, Timing, VariantAccuracy,
};
use skimp_report::{StudyRecord, check_folder, write_study};
use skimp_sim::ComparisonRow;

use crate::error::StudyError;
use crate::inputs::config::{JudgeBy, NetworkConfig, SplitConfig};
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::simulate::config::AcceleratorConfig;

use crate::simulate::priced::Priced;
use crate::simulate::session::{self, SimulateConfig};
use crate::stages::evaluate::{Engine, classify, float_executor};
use crate::stages::quantized::Quantized;
use crate::studies::config::{ComparisonConfig, STUDY_SCHEMA, StudyConfig};
use crate::studies::precision::{Place, study as precision_study};
use crate::train::LOCK_FILE;

/// Seconds of each finished step.
#[derive(Default)]
struct Clock(Vec<Timing>);

impl Clock {
    fn time<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T, StudyError>) -> Result<T, StudyError> {
        let start = Instant::now();
        let done = work()?;
        self.0.push(Timing { step: what.to_owned(), seconds: start.elapsed().as_secs_f64() });
        Ok(done)
    }
}

/// Where a study writes, and whether it goes on: nothing here changes the results.
#[derive(Clone, Debug, Default)]
pub struct StudyRun {
    /// Folder of the report. A study of training keeps its runs in the folder `runs` in it.
    pub folder: PathBuf,
    /// Take up the runs of a study of training that are kept in the folder, or start if there are none.
    pub resume: bool,
}

/// Runs a study and writes its folder: report.html, results.json, CSV tables and the resolved configuration.
///
/// A study of training writes each finished run at once, and checkpoints of those under way: killed and resumed, it
/// ends with the same records as one that was not, except for the time it took.
///
/// # Errors
/// [`StudyError`]; the folder is checked before the run starts, and each file is written whole or not at all.
/// [`StudyError::Io`] if another run writes there, or if a file of the folder is an input of the study or not of skimp's.
/// [`StudyError::Usage`] if the folder holds runs and `resume` is not set, [`skimp_train::TrainError::Checkpoint`] if
/// they are of another study or another configuration.
pub fn run_study(config: &StudyConfig, run: &StudyRun, monitor: &dyn Monitor) -> Result<StudyRecord, StudyError> {
    // Better now than after the run.
    let failed = |source| StudyError::Io { path: run.folder.clone(), source };
    skimp_files::make_folder(&run.folder).map_err(failed)?;
    let _lock = skimp_files::lock(&run.folder.join(LOCK_FILE)).map_err(failed)?;
    check_folder(&run.folder)?;
    let record = match &config.training {
        Some(training) => {
            let place = Place { folder: &run.folder, resume: run.resume };
            precision_study(config, training, Some(place), monitor)?
        }
        None => {
            if run.resume {
                monitor.note("only studies of training keep what is finished; this one starts from the beginning");
            }
            study(config, monitor)?
        }
    };
    monitor.stage("writing the report", 1);
    write_study(&run.folder, &record)?;
    monitor.advance(1);
    Ok(record)
}

/// Simulates as [`simulate`](crate::simulate()) does and writes what [`run_study`] writes into `folder`: `model` is the
/// network as the user named it. The first accelerator is the baseline of the others.
///
/// # Errors
/// As [`run_study`].
pub fn simulate_report(
    model: &str,
    config: &SimulateConfig,
    folder: &Path,
    monitor: &dyn Monitor,
) -> Result<StudyRecord, StudyError> {
    skimp_files::make_folder(folder).map_err(|source| StudyError::Io { path: folder.to_owned(), source })?;
    let study = StudyConfig::of_simulation(model, config);
    let record = simulation_study(&study, config.dump.as_deref(), config.trace.as_deref(), monitor)?;
    monitor.stage("writing the report", 1);
    write_study(folder, &record)?;
    monitor.advance(1);
    Ok(record)
}

impl StudyConfig {
    /// The study that repeats a simulation.
    fn of_simulation(model: &str, config: &SimulateConfig) -> Self {
        let labels: Vec<&str> = config.accelerators.iter().map(AcceleratorConfig::label).collect();
        let (baseline, variants) = labels.split_first().map_or((None, &[][..]), |(first, rest)| (Some(*first), rest));
        let against = |baseline: &str| {
            let pair =
                |variant: &&str| ComparisonConfig { baseline: baseline.to_owned(), variant: (*variant).to_owned() };
            variants.iter().map(pair).collect()
        };
        StudyConfig {
            schema: STUDY_SCHEMA,
            name: "simulation".to_owned(),
            title: format!("{} on {{network}}, {{data}}", labels.join(", ")),
            summary: "a simulation with its report".to_owned(),
            subject: String::new(),
            comparisons: baseline.map(against).unwrap_or_default(),
            baseline: baseline.filter(|_| !variants.is_empty()).map(str::to_owned),
            costs: config.costs.clone(),
            allowed_loss_points: config.allowed_loss_points,
            network: NetworkConfig { model: model.to_owned(), input_size: config.input_size },
            data: config.data.clone(),
            quantization: config.quantization.clone(),
            layers: config.layers.clone(),
            designs: config.designs.clone(),
            accelerators: config.accelerators.clone(),
            training: None,
            published: Vec::new(),
        }
    }
}

/// Runs a study in memory.
///
/// # Errors
/// [`StudyError`] naming the file, node, layer or setting.
pub fn study(config: &StudyConfig, monitor: &dyn Monitor) -> Result<StudyRecord, StudyError> {
    match &config.training {
        Some(training) => precision_study(config, training, None, monitor),
        None => simulation_study(config, None, None, monitor),
    }
}

/// A study of accelerators; `dump` and `trace` as in [`SimulateConfig`].
fn simulation_study(
    config: &StudyConfig,
    dump: Option<&Path>,
    trace: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<StudyRecord, StudyError> {
    let mut clock = Clock::default();
    let network = clock.time("load the network", || Network::open(&config.network.model))?;
    let images = Images::open(&config.data, &network.graph, config.network.input_size)?;
    let simulate_config = SimulateConfig {
        data: config.data.clone(),
        input_size: config.network.input_size,
        quantization: config.quantization.clone(),
        layers: config.layers.clone(),
        designs: config.designs.clone(),
        accelerators: config.accelerators.clone(),
        costs: config.costs.clone(),
        allowed_loss_points: config.allowed_loss_points,
        dump: dump.map(Path::to_owned),
        trace: trace.map(Path::to_owned),
    };
    let (simulation, quantized) =
        clock.time("quantize and simulate", || session::simulate_on(&network, &images, &simulate_config, monitor))?;
    let accuracy = match config.data.accuracy_images {
        0 => None,
        // Labels that the network does not know say nothing of it.
        _ if config.data.judge_by == JudgeBy::Answers => None,
        n => Some(clock.time("measure accuracy", || {
            let n_images = n.min(images.len());
            let measured = accuracy(&network, &quantized, &images, n_images, monitor)?;
            Ok(AccuracyRecord { in_integers: simulation.in_integers.clone(), ..measured })
        })?),
    };
    let comparisons = comparisons(config, &simulation);
    let accuracy = accuracy.map(|accuracy| {
        let variant = comparisons.first().and_then(|headline| {
            variant_accuracy(simulation.record.accelerator(&headline.variant)?, accuracy.integer.as_ref())
        });
        AccuracyRecord { variant, ..accuracy }
    });
    let published = config.published.iter().map(|figure| figure.beside_simulation(config, &simulation)).collect();
    let assumptions = assumptions(config, &network, &images, &simulation)?;
    let comparison = ComparisonRecord {
        baseline: config.baseline.clone(),
        comparisons,
        accelerator_figures: config.designs.comparison_rows()?.iter().map(figures).collect(),
    };
    let inputs = vec![network.digest(), images.digest(&simulation.record.data)];
    let n_images = simulation.record.images;
    let mut sections = Sections::default();
    if let Some(accuracy) = accuracy {
        sections.set(accuracy);
    }
    sections.set(LayersRecord { layers: simulation.layers });
    sections.set(simulation.record);
    sections.set(comparison);
    Ok(StudyRecord {
        kind: "accelerators".to_owned(),
        name: config.name.clone(),
        title: config.title_of(&network.name, images.name()),
        subject: config.subject.clone(),
        model_name: network.name.clone(),
        data_name: images.name().to_owned(),
        untrained: network.is_untrained,
        n_images,
        seed: config.data.seed.unwrap_or(0),
        sections,
        published,
        assumptions,
        config_toml: config.to_toml()?,
        inputs,
        timings: clock.0,
        ..StudyRecord::default()
    })
}

fn accuracy(
    network: &Network,
    quantized: &Quantized,
    images: &Images,
    n_images: usize,
    monitor: &dyn Monitor,
) -> Result<AccuracyRecord, StudyError> {
    let float: Box<dyn Executor> = float_executor(network, Engine::Cpu)?;
    monitor.stage("accuracy, fp32", n_images as u64);
    let before = classify(images, n_images, monitor, |inputs| float.run(std::slice::from_ref(inputs)))?;
    monitor.stage("accuracy, integer", n_images as u64);
    let after = classify(images, n_images, monitor, |inputs| quantized.executor.run(std::slice::from_ref(inputs)))?;
    Ok(AccuracyRecord {
        fp32: Some(before.accuracy()),
        integer: Some(after.accuracy()),
        variant: None,
        in_integers: None,
    })
}

/// Accuracy on the headline's design, if this run says anything of it.
fn variant_accuracy(design: &AcceleratorRecord, integer: Option<&Accuracy>) -> Option<VariantAccuracy> {
    let label = design.label.clone();
    if let Some(effect) = design.accuracy.as_ref().filter(|effect| effect.judged_by == "labels") {
        let accuracy = Accuracy { top1: effect.top1, top5: None, n_images: effect.n_images };
        return Some(VariantAccuracy {
            label,
            basis: "measured on values as the design computes them".to_owned(),
            accuracy,
        });
    }
    // Where no output differs, neither does any answer.
    design.findings.iter().find(|finding| finding.is_exact() == Some(true) && finding.of > Some(0))?;
    let basis = "implied: no output differs from the integer network's".to_owned();
    Some(VariantAccuracy { label, basis, accuracy: integer?.clone() })
}

fn comparisons(config: &StudyConfig, simulation: &Priced) -> Vec<Comparison> {
    let find = |label: &str| simulation.record.accelerator(label);
    config
        .comparisons
        .iter()
        .filter_map(|pair| {
            let (baseline, variant) = (find(&pair.baseline)?, find(&pair.variant)?);
            Some(Comparison::between(baseline, variant, config.allowed_loss_points))
        })
        .collect()
}

fn figures(row: &ComparisonRow) -> AcceleratorFigures {
    AcceleratorFigures {
        name: row.design.clone(),
        provenance: match row.provenance {
            skimp_sim::Provenance::Published => Provenance::Published,
            skimp_sim::Provenance::Modeled => Provenance::Simulated,
        },
        source: row.note.clone(),
        precision_bits: Some(row.precision_bits),
        technology_nm: Some(row.technology_nm),
        clock_mhz: Some(row.clock_mhz),
        peak_gmacs: Some(row.throughput_gmacs),
        area_mm2: Some(row.area_mm2),
        power_mw: Some(row.power_mw),
        gmacs_per_mm2: Some(row.gmacs_per_mm2()),
        gmacs_per_w: Some(row.gmacs_per_w()),
    }
}

/// What a reader has to know to judge the figures.
fn assumptions(
    config: &StudyConfig,
    network: &Network,
    images: &Images,
    simulation: &Priced,
) -> Result<Vec<Assumption>, StudyError> {
    let quantization = &config.quantization;
    let mut list = Vec::new();
    let mut add = |text: String, source: &str| list.push(Assumption { text, source: source.to_owned() });
    if is_quantized(&network.graph) {
        let (weights, activations) = (simulation.record.weight_bits, simulation.record.activation_bits);
        add(
            format!(
                "{} is in QDQ form and runs on the codes, scales and zero points that stand in its file: weights of {weights} \
                 and activations of {activations} bits; nothing is calibrated or rounded again, and its fp32 accuracy is that \
                 of the same file computed in floating point",
                network.name
            ),
            "the network's file; docs/integer-execution.md",
        );
    } else {
        add(
            format!(
                "{} is quantized to {}-bit symmetric weights and {}-bit activations with zero point 0, ranges by {} over \
             {} calibration images{}; batch-norm is folded; bias and residual enter at accumulator scale",
                network.name,
                quantization.weight_bits,
                quantization.activation_bits,
                quantization.calibration,
                quantization.calibration_images.min(images.len()),
                match quantization.calibration_split.filter(|&split| split != config.data.split) {
                    Some(SplitConfig::Train) => " of the training split",
                    Some(SplitConfig::Test) => " of the test split",
                    None if config.data.accuracy_images > 0 => ", the first ones of those that accuracy is measured on",
                    None => "",
                },
            ),
            "this study's configuration; docs/integer-execution.md",
        );
    }
    add(
        format!(
            "operand values are those of {} images of {}{}, preprocessed by {}; cycles and energy are sums over them",
            simulation.record.images,
            images.name(),
            images.adapted(),
            images.preprocess_name()
        ),
        "this study's configuration",
    );
    for (accelerator, design) in config.accelerators.iter().zip(&simulation.record.accelerators) {
        for finding in design.findings.iter().filter(|finding| !finding.description.is_empty()) {
            let source = match finding.basis {
                Provenance::Measured => "measured in this run",
                Provenance::Published | Provenance::Simulated => config.designs.find(&accelerator.model)?.source(),
            };
            add(format!("{}: {}: {}", design.label, finding.label, finding.description.trim_end_matches('.')), source);
        }
    }
    if !simulation.float_nodes.is_empty() {
        add(
            format!("computed on real numbers between integer layers: {}", simulation.float_nodes.join(", ")),
            "these operators have no integer form here",
        );
    }
    for accelerator in &config.accelerators {
        let model = config.designs.find(&accelerator.model)?;
        let scope = model.configure(&accelerator.set)?.facts().energy_scope;
        add(format!("{}: {scope}", accelerator.label()), model.source());
    }
    Ok(list)
}
