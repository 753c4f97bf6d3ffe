//! Works points out: reduce, calibrate, quantize, judge on the search images, trace, simulate, price.

use std::collections::HashMap;
use std::sync::Arc;

use skimp_graph::Tensor;
use skimp_study::{
    Calibrated, CostsConfig, Engine, Images, LayersConfig, Monitor, Network, Quantized, StepConfig, StudyError, Traced,
    latency_ms, reduce_steps,
};

use super::config::{Aim, OptimizeConfig};
use super::interval::{Pairs, unpaired};
use super::levers::{Choice, Levers, Settings};
use super::sets::Sets;
use crate::cache::Cache;
use crate::engine::Quiet;
use crate::stages::key;

/// What networks, codes and traces take together in memory.
const CACHE_BYTES: u64 = 1 << 30;

/// Images of a batch.
const BATCH: usize = 250;

/// How often a network is right.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) n_right: u64,
    pub(super) n: u64,
    /// Image by image, where that is known.
    pub(super) right: Option<Arc<Vec<bool>>>,
}

impl Judged {
    pub(super) fn of(right: Vec<bool>) -> Self {
        let n_right = right.iter().filter(|&&right| right).count() as u64;
        Self { n_right, n: right.len() as u64, right: Some(Arc::new(right)) }
    }

    pub(super) fn top1(&self) -> f64 {
        self.n_right as f64 / (self.n as f64).max(1.0)
    }

    /// The share that `other` loses against this one, and the standard error of that.
    pub(super) fn loss(&self, other: &Self) -> (f64, f64) {
        match (&self.right, &other.right) {
            (Some(first), Some(second)) => {
                let pairs = Pairs::of(first, second);
                (pairs.loss(), pairs.error())
            }
            _ => {
                let variance = |own: &Self| own.top1() * (1.0 - own.top1()) / (own.n as f64).max(1.0);
                (self.top1() - other.top1(), (variance(self) + variance(other)).sqrt())
            }
        }
    }

    /// The 95 % interval of that share, and its method.
    pub(super) fn loss_interval(&self, other: &Self) -> ([f64; 2], &'static str) {
        match (&self.right, &other.right) {
            (Some(first), Some(second)) => (Pairs::of(first, second).interval(), "Newcombe, paired"),
            _ => (unpaired((self.n_right, self.n), (other.n_right, other.n)), "Newcombe, unpaired"),
        }
    }
}

/// What a point came to.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) objective: f64,
    pub(super) judged: Judged,
}

/// The stages of a run's points.
pub(super) struct Bench<'a> {
    config: &'a OptimizeConfig,
    pub(super) sets: &'a Sets,
    levers: &'a Levers,
    network: Arc<Network>,
    networks: Cache<Arc<Network>>,
    calibrated: Cache<Arc<Calibrated>>,
    quantized: Cache<Arc<Quantized>>,
    judged: Cache<Judged>,
    traced: Cache<Arc<Traced>>,
    latencies: Cache<f64>,
    known: HashMap<Choice, Result<Outcome, String>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(config: &'a OptimizeConfig, sets: &'a Sets, levers: &'a Levers, network: Network) -> Self {
        Self {
            config,
            sets,
            levers,
            network: Arc::new(network),
            networks: Cache::new(CACHE_BYTES / 8),
            calibrated: Cache::new(CACHE_BYTES / 8),
            quantized: Cache::new(CACHE_BYTES / 8),
            judged: Cache::new(CACHE_BYTES / 64),
            traced: Cache::new(CACHE_BYTES / 4),
            latencies: Cache::new(CACHE_BYTES / 64),
            known: HashMap::new(),
        }
    }

    /// The network that reductions make; each step is learned once for all points that begin with it.
    pub(super) fn reduced(&self, steps: &[StepConfig], monitor: &dyn Monitor) -> Result<Arc<Network>, StudyError> {
        let Some((last, before)) = steps.split_last() else { return Ok(Arc::clone(&self.network)) };
        let reduce = || {
            let before = self.reduced(before, monitor)?;
            let (data, size, training) = (&self.sets.training, self.config.input_size, &self.config.training);
            reduce_steps(&before, std::slice::from_ref(last), data, size, training, monitor).map(Arc::new)
        };
        self.networks.get(&key(&steps), reduce, |network| 4 * skimp_study::parameters(network))
    }

    pub(super) fn quantized(&self, settings: &Settings, monitor: &dyn Monitor) -> Result<Arc<Quantized>, StudyError> {
        let network = self.reduced(&settings.steps, monitor)?;
        let bytes = 4 * skimp_study::parameters(&network);
        let calibrate =
            || network.calibrate(&self.sets.calibration, self.config.calibration_images, monitor).map(Arc::new);
        let quantize = || {
            let calibrated = self.calibrated.get(&key(&settings.steps), calibrate, |_| bytes)?;
            calibrated.quantize(&settings.quantization, monitor).map(Arc::new)
        };
        self.quantized.get(&key(&(&settings.steps, settings.quantization)), quantize, |_| 2 * bytes)
    }

    /// The float network on the search images.
    pub(super) fn float(&self, monitor: &dyn Monitor) -> Result<Judged, StudyError> {
        float_right(&self.network, &self.sets.search, self.sets.n_search, monitor).map(Judged::of)
    }

    /// Whether a point has been worked out.
    pub(super) fn knows(&self, choice: &Choice) -> bool {
        self.known.contains_key(choice)
    }

    /// Works a point out, once. What cannot run is a result, with the reason.
    pub(super) fn run(
        &mut self,
        choice: &Choice,
        monitor: &dyn Monitor,
    ) -> Result<Result<Outcome, String>, StudyError> {
        if let Some(known) = self.known.get(choice) {
            return Ok(known.clone());
        }
        let outcome = match self.work(choice, &Quiet(monitor)) {
            Ok(outcome) => Ok(outcome),
            Err(StudyError::Interrupted) => return Err(StudyError::Interrupted),
            // Training that is stopped says so in an error of its own.
            Err(_) if monitor.interrupted() => return Err(StudyError::Interrupted),
            Err(error) => Err(error.to_string()),
        };
        self.known.insert(choice.clone(), outcome.clone());
        Ok(outcome)
    }

    fn work(&self, choice: &Choice, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
        let settings = self.levers.settings(choice);
        if self.config.aim == Aim::MeasuredLatency {
            let network = self.reduced(&settings.steps, monitor)?;
            let measure = || latency_ms(&network.graph, 1, self.config.input_size, monitor);
            let objective = self.latencies.get(&key(&settings.steps), measure, |_| 64)?;
            let judge = || float_right(&network, &self.sets.search, self.sets.n_search, monitor).map(Judged::of);
            let judged = self.judged.get(&key(&settings.steps), judge, |own| own.n)?;
            return Ok(Outcome { objective, judged });
        }
        let quantized = self.quantized(&settings, monitor)?;
        let of_codes = key(&(&settings.steps, settings.quantization));
        let right = || integer_right(&quantized, &self.sets.search, self.sets.n_search, monitor).map(Judged::of);
        let judge = || self.judged.get(&of_codes, right, |own| own.n);
        let Some(accelerator) = &settings.accelerator else {
            let objective = quantized.model_bytes(self.config.input_size)? as f64;
            return Ok(Outcome { objective, judged: judge()? });
        };
        let design = self.config.designs.configure(accelerator)?;
        let trace = || {
            let n_images = self.config.data.images;
            quantized.trace(&self.sets.search, n_images, &LayersConfig::default(), monitor).map(Arc::new)
        };
        let traced = self.traced.get(&of_codes, trace, |traced| traced.bytes())?;
        let figures = traced.simulate(std::slice::from_ref(&design), monitor)?.figures(self.costs())?.swap_remove(0);
        let objective = if matches!(self.config.aim, Aim::Energy(_)) { figures.energy_mj } else { figures.cycles };
        let judged = match figures.accuracy {
            // The design changes answers: it says how many are right, not which.
            Some(accuracy) => {
                let n = self.sets.n_search as u64;
                Judged { n_right: (accuracy.top1 * n as f64).round() as u64, n, right: None }
            }
            None => judge()?,
        };
        Ok(Outcome { objective, judged })
    }

    fn costs(&self) -> &CostsConfig {
        &self.config.costs
    }
}

/// Which of the first `n` images the float network gets right.
pub(super) fn float_right(
    network: &Network,
    images: &Images,
    n: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<bool>, StudyError> {
    let compiled = network.compile(Engine::Cpu)?;
    right(images, n, monitor, &|inputs| compiled.run(std::slice::from_ref(inputs)))
}

/// Which of the first `n` images the integer network gets right.
pub(super) fn integer_right(
    quantized: &Quantized,
    images: &Images,
    n: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<bool>, StudyError> {
    right(images, n, monitor, &|inputs| quantized.run(std::slice::from_ref(inputs)))
}

type Run<'r> = &'r dyn Fn(&Tensor) -> Result<Vec<Tensor>, StudyError>;

fn right(images: &Images, n: usize, monitor: &dyn Monitor, run: Run<'_>) -> Result<Vec<bool>, StudyError> {
    let mut all = Vec::with_capacity(n);
    for first in (0..n).step_by(BATCH) {
        if monitor.interrupted() {
            return Err(StudyError::Interrupted);
        }
        let (inputs, labels) = images.tensors(first..(first + BATCH).min(n))?;
        all.extend(images.right_answers(&run(&inputs)?, &labels)?);
    }
    Ok(all)
}
