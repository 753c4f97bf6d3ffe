//! Spiking networks on images: answers and spikes after some numbers of time steps, and conversion to them.

use serde::Serialize;
use skimp_cpu::Order;
use skimp_data::Split;
use skimp_graph::rewrite;
use skimp_graph::spiking::{Coding, Conversion, Converted, Joined, Temporal, TimeLoop, convert, plain};
use skimp_quant::{Calibration, Detail, RangeMethod};
use skimp_report::records::{Accuracy, DataRecord, ModelRecord};
use skimp_report::table::{Cell, Column, Table};

use crate::error::StudyError;
use crate::inputs::answers::{Tally, chance_warning};
use crate::inputs::config::DataConfig;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::stages::evaluate::{Engine, one_step};
use crate::stages::integer::calibrate;
use crate::stages::synapses::{Synapses, addition_pj};
use crate::tabular::Tabular;

/// What a spiking network does within some time steps.
pub(crate) struct Measured {
    pub(crate) steps: usize,
    pub(crate) tally: Tally,
    pub(crate) spikes_per_image: f64,
    /// Additions that the spikes make in the layers behind them; `None` where they pass what has no such count.
    pub(crate) synaptic_operations_per_image: Option<f64>,
}

impl Measured {
    /// Nanojoules of these additions.
    pub(crate) fn energy_nj(&self) -> Result<Option<f64>, StudyError> {
        let pj = addition_pj()?;
        Ok(self.synaptic_operations_per_image.map(|operations| operations * pj * 1e-3))
    }
}

/// Classifies the first `n_images` images with a spiking network. Its outputs are read after each number of time steps in
/// `sweep`, ascending, and at the end.
pub(crate) fn measure(
    network: &Network,
    engine: Engine,
    images: &Images,
    n_images: usize,
    sweep: &[usize],
    monitor: &dyn Monitor,
) -> Result<Vec<Measured>, StudyError> {
    let Some(temporal) = network.temporal()? else { return Ok(Vec::new()) };
    let earlier = sweep.iter().copied().filter(|&steps| steps < temporal.steps);
    let mut points: Vec<(usize, Tally, [u64; 2])> =
        earlier.chain([temporal.steps]).map(|steps| (steps, Tally::default(), [0; 2])).collect();
    let input = images.input();
    let extents = vec![1, input.channels, input.height, input.width];
    let synapses = Synapses::of(&network.graph, &[extents])?;
    if let Err(cause) = &synapses {
        monitor.note(&format!("synaptic operations are not counted: {cause}"));
    }
    let run = TimeLoop::watched(&network.graph, temporal, |graph| one_step(graph, engine, Order::Exact))?;
    monitor.stage("classifying images", n_images as u64);
    let mut n_run = 0;
    for range in images.batches(0..n_images) {
        let n = range.len() as u64;
        let batch = images.batch(range)?;
        n_run += batch.n_run() as u64;
        let mut joined = Joined::new(temporal.join);
        let mut n_spikes = [0; 2];
        let mut failed = None;
        run.for_each_step(std::slice::from_ref(&batch.inputs), &mut |now| {
            joined.add(now.outputs)?;
            let spikes = now.spikes.iter().filter_map(|spikes| spikes.as_f32());
            for (idx, spikes) in spikes.enumerate() {
                n_spikes[0] += spikes.iter().filter(|&&spike| spike > 0.0).count() as u64;
                n_spikes[1] += synapses.as_ref().map_or(0, |synapses| synapses.operations(idx, spikes));
            }
            for (_, tally, spikes) in points.iter_mut().filter(|(steps, ..)| *steps == now.step + 1) {
                spikes.iter_mut().zip(n_spikes).for_each(|(sum, n)| *sum += n);
                let added = tally.add(images.answers(), &joined.outputs(), batch.n_run(), &batch.labels);
                failed = failed.take().or(added.err());
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)?;
        step(monitor, n)?;
    }
    let per_image = |spikes: u64| spikes as f64 / n_run.max(1) as f64;
    let measured = |(steps, tally, [spikes, operations]): (usize, Tally, [u64; 2])| Measured {
        steps,
        tally,
        spikes_per_image: per_image(spikes),
        synaptic_operations_per_image: synapses.is_ok().then(|| per_image(operations)),
    };
    Ok(points.into_iter().map(measured).collect())
}

/// How a network of rectifiers becomes a spiking one.
#[derive(Clone, Debug)]
pub struct ConvertSnnConfig {
    /// Where the images that set the thresholds come from. Accuracy is measured on the first `accuracy_images` of the test
    /// split.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Neurons, time steps and coding.
    pub conversion: Conversion,
    /// The share of a rectifier's values, zeros included, that its threshold does not cut off, in percent; 100 for all.
    pub percentile: f64,
    /// The threshold as a share of that value.
    pub fraction: f64,
    /// Images that set the thresholds.
    pub calibration_images: usize,
    /// Further numbers of time steps to measure.
    pub sweep: Vec<usize>,
    /// Whether a network of one time step is written in plain operators.
    pub is_plain: bool,
}

/// A converted network: `skimp.convert-snn/1`. Accuracies are fractions.
#[derive(Clone, Debug, Serialize)]
pub struct ConvertSnnRecord {
    /// `skimp.convert-snn/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network that was converted.
    pub model: ModelRecord,
    /// The data that set the thresholds.
    pub data: DataRecord,
    /// What tells a value.
    pub coding: &'static str,
    /// Time steps of the file, over all layers.
    pub time_steps: usize,
    /// What a spike does to the potential.
    pub reset: &'static str,
    /// When it does that.
    pub reset_time: &'static str,
    /// Whether a potential must be above the threshold.
    pub strict: bool,
    /// The first potential, as a share of the threshold.
    pub initial: f64,
    /// What the network is fed.
    pub input_coding: &'static str,
    /// The share of values that thresholds do not cut off, in percent.
    pub percentile: f64,
    /// The thresholds as a share of that value.
    pub fraction: f64,
    /// Images that set the thresholds.
    pub calibration_images: usize,
    /// The neurons, in order.
    pub neurons: Vec<NeuronRecord>,
    /// What the conversion changed besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Accuracy of the network that was converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Accuracy>,
    /// Accuracy and spikes after numbers of time steps, ascending.
    pub points: Vec<SpikingPoint>,
}

/// The neurons of one layer.
#[derive(Clone, Debug, Serialize)]
pub struct NeuronRecord {
    /// Name of the node.
    pub name: String,
    /// Its threshold: the value that a rate of 1, or the earliest spike, stands for.
    pub threshold: f64,
}

/// A number of time steps, and what a network does within them.
#[derive(Clone, Debug, Serialize)]
pub struct SpikingPoint {
    /// Time steps of a layer; those of the network for rates.
    pub steps: usize,
    /// Time steps until the answer, over all layers.
    pub latency_steps: usize,
    /// Images.
    pub images: u64,
    /// Share of images whose label is the first guess.
    pub top1: f64,
    /// Spikes of all neurons until the answer.
    pub spikes_per_image: f64,
    /// Additions that these spikes make in the layers behind them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_operations_per_image: Option<f64>,
    /// Nanojoules of these additions, as 32-bit additions of `horowitz-45nm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_nj_per_image: Option<f64>,
}

impl Tabular for ConvertSnnRecord {
    fn tables(&self) -> Vec<Table> {
        let mut sweep = Table::new(
            format!("{}, {} coding, measured here", self.model.name, self.coding),
            vec![
                Column::text("network", "network"),
                Column::number("steps", "steps", ""),
                Column::number("latency_steps", "latency", "steps"),
                Column::number("top1_percent", "top-1", "%"),
                Column::number("change_points", "change", "points"),
                Column::number("spikes_per_image", "spikes", "1/image"),
                Column::number("synaptic_operations_per_image", "synaptic operations", "1/image"),
                Column::number("synaptic_nj_per_image", "synaptic energy", "nJ/image"),
                Column::number("images", "images", ""),
            ],
        );
        let before = self.before.as_ref().map(|accuracy| accuracy.top1);
        if let Some(accuracy) = &self.before {
            let (none, images) = (Option::<f64>::None, accuracy.n_images);
            sweep.row(vec![
                "float".into(),
                Cell::real(none, 0),
                Cell::real(none, 0),
                Cell::real(100.0 * accuracy.top1, 2),
                Cell::real(none, 2),
                Cell::real(none, 0),
                Cell::real(none, 0),
                Cell::real(none, 1),
                images.into(),
            ]);
        }
        for point in &self.points {
            sweep.row(vec![
                "spiking".into(),
                (point.steps as u64).into(),
                (point.latency_steps as u64).into(),
                Cell::real(100.0 * point.top1, 2),
                Cell::real(before.map(|before| 100.0 * (point.top1 - before)), 2),
                Cell::real(point.spikes_per_image, 0),
                Cell::real(point.synaptic_operations_per_image, 0),
                Cell::real(point.synaptic_nj_per_image, 1),
                point.images.into(),
            ]);
        }
        let columns = vec![Column::text("neuron", "neurons"), Column::number("threshold", "threshold", "")];
        let mut neurons = Table::new("thresholds", columns);
        for neuron in &self.neurons {
            neurons.row(vec![neuron.name.as_str().into(), Cell::real(neuron.threshold, 4)]);
        }
        vec![sweep, neurons]
    }
}

/// A network as a conversion made it, and what is known of it.
#[derive(Clone, Debug)]
pub struct ConvertedSnn {
    /// The spiking network.
    pub network: Network,
    /// Settings, accuracies and spikes.
    pub record: ConvertSnnRecord,
}

/// Converts `network` and measures what it has become.
///
/// # Errors
/// [`StudyError::Setting`] for a setting that cannot be, [`StudyError::Graph`] naming the node that has no spiking form; otherwise
/// the error of the step that failed.
pub fn convert_snn(
    network: &Network,
    config: &ConvertSnnConfig,
    monitor: &dyn Monitor,
) -> Result<ConvertedSnn, StudyError> {
    check(config)?;
    network.check_one_step("conversion")?;
    let network = &*network.for_any_batch();
    let images = Images::open_for_ranges(&config.data, &network.graph, config.input_size, monitor)?;
    let n_images = images.limited(config.calibration_images, "calibration images")?;
    images.note_ranges(n_images, monitor);
    images.note_preprocess(&config.data, &network.graph, monitor);
    let (folded, _) = rewrite::fold_batch_norm(&rewrite::prepare(&network.graph));
    let prepared = Network { graph: folded, ..network.clone() };
    // What cannot spike is said before anything runs.
    let conversion = &config.conversion;
    convert(&prepared.graph, conversion, &|_| None)?;
    let (ranges, answers) = calibrate(&prepared, None, (&images, n_images), Detail::Histogram, monitor)?;
    let warning = chance_warning(answers, images.preprocess_name()).filter(|_| !network.is_untrained);
    warning.iter().for_each(|warning| monitor.note(warning));
    let preprocess = images.preprocess_name();
    let spiking = |conversion: &Conversion| converted(&prepared, conversion, config, &ranges, preprocess);
    let (made, whole) = spiking(conversion)?;
    made.notes.iter().for_each(|note| monitor.note(note));
    let (before, points) = accuracies(network, &whole, config, &spiking, monitor)?;
    let temporal = whole.temporal()?.map_or(1, |temporal| temporal.steps);
    let neuron = |(name, threshold): (String, f32)| NeuronRecord { name, threshold: f64::from(threshold) };
    let record = ConvertSnnRecord {
        schema: "skimp.convert-snn/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        data: images.record()?,
        coding: conversion.coding.name(),
        time_steps: temporal,
        reset: conversion.reset.name(),
        reset_time: conversion.reset_time.name(),
        strict: conversion.is_strict,
        initial: f64::from(conversion.initial),
        input_coding: conversion.input.name(),
        percentile: config.percentile,
        fraction: config.fraction,
        calibration_images: n_images,
        neurons: made.neurons.into_iter().map(neuron).collect(),
        notes: made.notes,
        before,
        points,
    };
    let graph = if config.is_plain { plain(&whole.graph)? } else { whole.graph };
    let network = Network { name: network.name.clone(), ..Network::from_graph(graph)? };
    Ok(ConvertedSnn { network, record })
}

fn check(config: &ConvertSnnConfig) -> Result<(), StudyError> {
    let setting = |setting, found: String, expected: &str| {
        Err(StudyError::Setting { setting, found, expected: expected.to_owned() })
    };
    let steps = std::iter::once(&config.conversion.steps).chain(&config.sweep);
    for &steps in steps {
        if Temporal::new(steps).is_err() {
            let flag = if steps == config.conversion.steps { "--steps" } else { "--sweep" };
            return setting(flag, steps.to_string(), "1 to 1048576 time steps");
        }
    }
    if !(config.percentile > 0.0 && config.percentile <= 100.0) {
        return setting("--percentile", config.percentile.to_string(), "a number above 0 and at most 100");
    }
    if !(config.fraction > 0.0 && config.fraction.is_finite()) {
        return setting("--fraction", config.fraction.to_string(), "a number above 0");
    }
    if !(0.0..1.0).contains(&config.conversion.initial) {
        return setting("--initial", config.conversion.initial.to_string(), "a share of 0 or more and below 1");
    }
    if config.is_plain && (config.conversion.steps != 1 || config.conversion.coding != Coding::Rate) {
        return setting("--plain", format!("{} steps", config.conversion.steps), "one time step of rate coding");
    }
    Ok(())
}

/// The network under a conversion.
fn converted(
    prepared: &Network,
    conversion: &Conversion,
    config: &ConvertSnnConfig,
    ranges: &Calibration,
    preprocess: &str,
) -> Result<(Converted, Network), StudyError> {
    let greatest = |name: &str| {
        let seen = ranges.get(name)?;
        let value = seen.magnitude(RangeMethod::Percentile(config.percentile));
        // A percentile may fall on zeros.
        let value = if value > 0.0 { value } else { seen.max() };
        Some((f64::from(value) * config.fraction) as f32)
    };
    let made = convert(&prepared.graph, conversion, &greatest)?;
    let graph = made.graph.clone().with_metadata(PREPROCESS_KEY, preprocess);
    let network = Network { graph, ..prepared.clone() };
    Ok((made, network))
}

/// Accuracy before, and of every number of steps.
type Points = (Option<Accuracy>, Vec<SpikingPoint>);

/// Makes the network of a conversion.
type Convert<'a> = dyn Fn(&Conversion) -> Result<(Converted, Network), StudyError> + 'a;

/// Accuracy before, and of every number of steps.
fn accuracies(
    network: &Network,
    whole: &Network,
    config: &ConvertSnnConfig,
    spiking: &Convert<'_>,
    monitor: &dyn Monitor,
) -> Result<Points, StudyError> {
    if config.data.accuracy_images == 0 {
        return Ok((None, Vec::new()));
    }
    let data = DataConfig { split: Split::Test, ..config.data.clone() };
    let images = match Images::open(&data, &network.graph, config.input_size) {
        Ok(images) => images,
        Err(error) => {
            monitor.note(&format!("accuracy is not measured, the test split cannot be opened: {error}"));
            return Ok((None, Vec::new()));
        }
    };
    let n_images = config.data.accuracy_images.min(images.len());
    let before = network.accuracy(&images, n_images, monitor)?;
    let mut sweep = config.sweep.clone();
    sweep.push(config.conversion.steps);
    sweep.sort_unstable();
    sweep.dedup();
    let point = |steps, measured: &Measured| -> Result<SpikingPoint, StudyError> {
        Ok(SpikingPoint {
            steps,
            latency_steps: measured.steps,
            images: measured.tally.images,
            top1: measured.tally.accuracy().top1,
            spikes_per_image: measured.spikes_per_image,
            synaptic_operations_per_image: measured.synaptic_operations_per_image,
            synaptic_nj_per_image: measured.energy_nj()?,
        })
    };
    let mut points = Vec::with_capacity(sweep.len());
    match config.conversion.coding {
        // A run of many steps holds those of fewer.
        Coding::Rate => {
            let most = sweep.last().copied().unwrap_or(config.conversion.steps);
            let network = if most == config.conversion.steps {
                whole.clone()
            } else {
                spiking(&Conversion { steps: most, ..config.conversion })?.1
            };
            let measured = measure(&network, Engine::Cpu, &images, n_images, &sweep, monitor)?;
            for measured in &measured {
                points.push(point(measured.steps, measured)?);
            }
        }
        Coding::FirstSpike => {
            for steps in sweep {
                let (_, network) = spiking(&Conversion { steps, ..config.conversion })?;
                let measured = measure(&network, Engine::Cpu, &images, n_images, &[], monitor)?;
                for measured in &measured {
                    points.push(point(steps, measured)?);
                }
            }
        }
    }
    Ok((Some(before), points))
}
