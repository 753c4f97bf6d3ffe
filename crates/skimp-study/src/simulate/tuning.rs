//! The search for the parameters of approximate accelerators: a network and labeled images as a search sees them.

use std::ops::Range;
use std::sync::Arc;

use skimp_cpu::integer::{IntegerExecutor, Recording};
use skimp_graph::Tensor;
use skimp_graph::noise::ImageIndices;
use skimp_report::records::TuningRecord;
use skimp_sim::{Accelerator, LayerEffect, LayerTrace, LayerWorkload, Moment, Searchable, SimError, Tuner};

use crate::error::StudyError;
use crate::inputs::answers::Tally;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::monitor::Monitor;
use crate::simulate::effects::{Judge, image_trace};
use crate::simulate::layers::SimulatedLayer;

/// Most outputs of the network times images whose traces a search keeps.
const TUNING_OUTPUTS: usize = 1 << 23;

/// Most bytes of recorded values that a search keeps; images beyond them run from the start each time.
const RECORDED_BYTES: usize = 1 << 30;

/// The images of a search: never those that judge its result.
#[derive(Debug)]
pub(crate) struct TuningImages {
    /// Another part of the data set than the run's, if the search takes its images there.
    other: Option<Images>,
    range: Range<usize>,
}

impl TuningImages {
    /// The first `tuning_images` of `tuning_split` if that is another part of the data set than the run's, else the
    /// images that follow the judging ones.
    pub(crate) fn open(
        images: &Images,
        open: impl FnOnce(&DataConfig) -> Result<Images, StudyError>,
    ) -> Result<Self, StudyError> {
        let config = images.config();
        let other = match config.tuning_split {
            Some(split) if split != config.split && images.has_splits() => {
                let other = open(&DataConfig { split, ..config.clone() })?;
                // A data set without splits gives the same images again.
                if other.record()?.sha256 == images.record()?.sha256 { None } else { Some(other) }
            }
            _ => None,
        };
        let first = if other.is_some() { 0 } else { config.accuracy_images.min(images.len()) };
        let len = other.as_ref().unwrap_or(images).len();
        if config.tuning_images == 0 || len < first + config.tuning_images {
            let (wanted, there) = (config.tuning_images, len - first);
            return Err(StudyError::TuningImages { n_judging: first, wanted, there });
        }
        Ok(Self { other, range: first..first + config.tuning_images })
    }

    /// A judge on the tuning images, otherwise like `judge`.
    pub(crate) fn judge<'a>(&'a self, judge: &Judge<'a>) -> Judge<'a> {
        let images = self.other.as_ref().unwrap_or(judge.images);
        Judge { images, range: self.range.clone(), ..judge.clone() }
    }
}

/// What a search found, and what it saw.
pub(crate) struct Tuned {
    pub(crate) accelerator: Box<dyn Accelerator>,
    pub(crate) record: TuningRecord,
}

/// The accelerator with searched parameters and what the search saw; `judge` holds the images of the search.
pub(crate) fn tuned(judge: &Judge<'_>, search: &dyn Searchable, monitor: &dyn Monitor) -> Result<Tuned, StudyError> {
    monitor.stage(&format!("searching parameters of {}", search.facts().name), 0);
    let tuner = NetworkTuner::new(judge.clone(), search.n_traces(), monitor)?;
    let found = search.search(&tuner);
    if monitor.interrupted() {
        return Err(StudyError::Interrupted);
    }
    let found = found?;
    let record = TuningRecord {
        split: judge.images.split().to_string(),
        first_image: judge.range.start as u64,
        n_images: judge.range.len() as u64,
        top1_exact: tuner.exact,
        top1: tuner.accuracy(found.effect())?,
    };
    Ok(Tuned { accelerator: found, record })
}

/// A batch of images and the values that the exact network gives on it.
struct KnownBatch {
    values: Values,
    /// Images of the run, what fills up a batch included.
    n_run: usize,
    labels: Vec<usize>,
    images: ImageIndices,
}

enum Values {
    Recorded(Recording),
    Inputs(Tensor),
}

/// The integer network as a search sees it. Runs under an effect begin at the first layer that it changes.
pub(crate) struct NetworkTuner<'a> {
    judge: Judge<'a>,
    monitor: &'a dyn Monitor,
    workloads: Vec<LayerWorkload>,
    traces: Vec<Vec<LayerTrace>>,
    batches: Vec<KnownBatch>,
    exact: f64,
}

impl<'a> NetworkTuner<'a> {
    /// Shows traces of the first `n_traces` images.
    pub(crate) fn new(judge: Judge<'a>, n_traces: usize, monitor: &'a dyn Monitor) -> Result<Self, StudyError> {
        let workloads: Vec<_> = judge.layers.iter().map(|layer| layer.operands.workload.clone()).collect();
        let traces = traces(&judge, &workloads, n_traces)?;
        let (mut batches, mut bytes, mut exact) = (Vec::new(), 0, Tally::default());
        for range in judge.batches() {
            let batch = judge.batch(range)?;
            let n_run = batch.n_run();
            let inputs = std::slice::from_ref(&batch.inputs);
            exact.add(judge.images.answers(), &judge.executor.run(inputs)?, batch.n_run(), &batch.labels)?;
            let values = if bytes < RECORDED_BYTES {
                let recording = once(&judge)?.record(inputs)?;
                bytes += recording.bytes();
                Values::Recorded(recording)
            } else {
                Values::Inputs(batch.inputs)
            };
            batches.push(KnownBatch { values, n_run, labels: batch.labels, images: batch.images });
        }
        let exact = exact.accuracy().top1;
        Ok(Self { judge, monitor, workloads, traces, batches, exact })
    }

    fn run(&self, effect: &dyn LayerEffect) -> Result<f64, StudyError> {
        let mut tally = Tally::default();
        for batch in &self.batches {
            let hook = |step| self.judge.hook(effect, &batch.images, step);
            let outputs = match &batch.values {
                Values::Recorded(recording) => once(&self.judge)?.run_recorded(recording, &hook(0))?,
                Values::Inputs(inputs) => self.judge.executor.run_with(std::slice::from_ref(inputs), hook)?,
            };
            tally.add(self.judge.images.answers(), &outputs, batch.n_run, &batch.labels)?;
        }
        Ok(tally.accuracy().top1)
    }
}

/// The network's executor, which runs once: searches of networks with time are refused before.
fn once<'j>(judge: &Judge<'j>) -> Result<&'j IntegerExecutor, StudyError> {
    judge.executor.once().ok_or_else(|| StudyError::Spiking {
        network: String::new(),
        steps: judge.executor.n_steps(),
        what: "a search for parameters of designs",
    })
}

/// Traces of the first tuning images at every layer.
fn traces(judge: &Judge<'_>, workloads: &[LayerWorkload], n_traces: usize) -> Result<Vec<Vec<LayerTrace>>, StudyError> {
    let outputs: usize = workloads.iter().map(|layer| layer.shape.output_count()).sum();
    let n_traces = (TUNING_OUTPUTS / outputs.max(1)).clamp(1, n_traces.max(1)).min(judge.range.len());
    let mut traces: Vec<Vec<LayerTrace>> = workloads.iter().map(|_| Vec::new()).collect();
    for range in judge.images.batches_of(judge.range.start..judge.range.start + n_traces, 1) {
        let batch = judge.images.batch(range)?;
        let mut outcome = Ok(());
        judge.executor.run_observed(&[batch.inputs], &mut |step, observation| {
            let Some(mac) = &observation.mac else { return };
            let is_here = |layer: &SimulatedLayer| layer.node_idx == observation.node_idx;
            let Some(idx) = judge.layers.iter().position(is_here) else { return };
            for image in 0..batch.labels.len() {
                let moment = match batch.images.at(observation.first_image + image) {
                    Ok(image) => Moment { image, step },
                    Err(error) => return outcome = Err(error),
                };
                let image = image_trace(&judge.layers[idx], mac, image, moment);
                traces[idx].push(LayerTrace::new(&workloads[idx], Arc::new(image)));
            }
        })?;
        outcome?;
    }
    Ok(traces)
}

impl Tuner for NetworkTuner<'_> {
    fn layers(&self) -> &[LayerWorkload] {
        &self.workloads
    }

    fn traces(&self, layer_idx: usize) -> &[LayerTrace] {
        self.traces.get(layer_idx).map_or(&[], Vec::as_slice)
    }

    fn accuracy(&self, effect: Option<&dyn LayerEffect>) -> Result<f64, SimError> {
        if self.monitor.interrupted() {
            return Err(SimError::Tuning(Box::new(StudyError::Interrupted)));
        }
        let Some(effect) = effect else { return Ok(self.exact) };
        self.run(effect).map_err(|error| SimError::Tuning(Box::new(error)))
    }
}
