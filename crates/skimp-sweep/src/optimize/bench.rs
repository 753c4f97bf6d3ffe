//! Works points out: reduce, calibrate, quantize, trace, simulate, price, and judge on the search images what is worth it.
//!
//! The stages of a sweep (`crate::stages`) take every set of images from one configuration; here calibration, search and
//! training images are sets of their own, judging ends early, and answers are kept image by image. So the caches are apart.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use skimp_graph::Tensor;
use skimp_report::records::SpentRecord;
use skimp_study::{
    Calibrated, CostsConfig, Engine, Images, LayerWidths, LayersConfig, Monitor, Network, Quantized, StepConfig,
    StudyError, Traced, latency_ms, reduce_steps,
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

/// Images of a batch; after each of the search images it is asked whether the bound is broken clearly.
pub(super) const BATCH: usize = 200;

/// So many standard errors beyond the bound are clear.
const CLEAR: f64 = 2.5;

/// A gain of a network before it is trained that is taken for one after it, too.
const HOPE: f64 = 1.02;

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

    /// What a design that changes answers says: how many are right, not which.
    pub(super) fn of_share(top1: f64, n: usize) -> Self {
        Self { n_right: (top1 * n as f64).round() as u64, n: n as u64, right: None }
    }

    pub(super) fn top1(&self) -> f64 {
        self.n_right as f64 / (self.n as f64).max(1.0)
    }

    /// The share that `other` loses against this one, and the standard error of that; on the images that both have seen,
    /// where they are known.
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
    /// `None` where the objective was no less than what it was held against.
    pub(super) judged: Option<Judged>,
}

/// What a point is worth working out for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Objective and loss, whatever they are.
    All,
    /// Both where the objective is less than this; the objective, or an estimate of it before training, otherwise.
    Below(f64),
}

impl Wanted {
    fn gives_up(self, objective: f64) -> bool {
        matches!(self, Wanted::Below(most) if objective >= most)
    }
}

/// The stages of a run's points.
pub(super) struct Bench<'a> {
    pub(super) config: &'a OptimizeConfig,
    pub(super) sets: &'a Sets,
    network: Arc<Network>,
    /// The float network on the search images.
    pub(super) float: Judged,
    networks: Cache<Arc<Network>>,
    calibrated: Cache<Arc<Calibrated>>,
    quantized: Cache<Arc<Quantized>>,
    judged: Cache<Judged>,
    traced: Cache<Arc<Traced>>,
    latencies: Cache<f64>,
    known: HashMap<Choice, Result<Outcome, String>>,
    spent: Cell<SpentRecord>,
}

/// A part of the time spent.
type Slot = fn(&mut SpentRecord) -> &mut f64;

impl<'a> Bench<'a> {
    /// Opens it: the float network runs on the search images.
    pub(super) fn new(
        config: &'a OptimizeConfig,
        sets: &'a Sets,
        network: Network,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        let begun = Instant::now();
        let float = Judged::of(float_right(&network, &sets.search, sets.n_search, monitor)?);
        let spent = SpentRecord { judging: begun.elapsed().as_secs_f64(), ..SpentRecord::default() };
        Ok(Self {
            config,
            sets,
            network: Arc::new(network),
            float,
            networks: Cache::new(CACHE_BYTES / 8),
            calibrated: Cache::new(CACHE_BYTES / 8),
            quantized: Cache::new(CACHE_BYTES / 8),
            judged: Cache::new(CACHE_BYTES / 64),
            traced: Cache::new(CACHE_BYTES / 4),
            latencies: Cache::new(CACHE_BYTES / 64),
            known: HashMap::new(),
            spent: Cell::new(spent),
        })
    }

    /// Where the time went.
    pub(super) fn spent(&self) -> SpentRecord {
        self.spent.get()
    }

    /// Does something whose time counts.
    pub(super) fn timed<T>(&self, slot: Slot, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let mut spent = self.spent.get();
        *slot(&mut spent) += begun.elapsed().as_secs_f64();
        self.spent.set(spent);
        done
    }

    /// The network that reductions make; each step is learned once for all points that begin with it.
    pub(super) fn reduced(&self, steps: &[StepConfig], monitor: &dyn Monitor) -> Result<Arc<Network>, StudyError> {
        let Some((last, before)) = steps.split_last() else { return Ok(Arc::clone(&self.network)) };
        let reduce = || {
            let before = self.reduced(before, monitor)?;
            let (data, size, training) = (&self.sets.training, self.config.input_size, &self.config.training);
            let own = std::slice::from_ref(last);
            self.timed(|spent| &mut spent.reducing, || reduce_steps(&before, own, data, size, training, monitor))
                .map(Arc::new)
        };
        self.networks.get(&key(&steps), reduce, |network| 4 * skimp_study::parameters(network))
    }

    /// The ranges of a reduced network.
    pub(super) fn calibrated(
        &self,
        steps: &[StepConfig],
        monitor: &dyn Monitor,
    ) -> Result<Arc<Calibrated>, StudyError> {
        let network = self.reduced(steps, monitor)?;
        let n_images = self.config.calibration_images;
        let calibrate = || {
            let calibrate = || network.calibrate(&self.sets.calibration, n_images, monitor).map(Arc::new);
            self.timed(|spent| &mut spent.quantizing, calibrate)
        };
        self.calibrated.get(&key(&steps), calibrate, |_| 4 * skimp_study::parameters(&network))
    }

    pub(super) fn quantized(&self, settings: &Settings, monitor: &dyn Monitor) -> Result<Arc<Quantized>, StudyError> {
        let calibrated = self.calibrated(&settings.steps, monitor)?;
        let quantize = || {
            let widths = that_are(&settings.widths, calibrated.network());
            let quantize = || calibrated.quantize_with(&settings.quantization, &widths, monitor).map(Arc::new);
            self.timed(|spent| &mut spent.quantizing, quantize)
        };
        let bytes = 8 * skimp_study::parameters(calibrated.network());
        self.quantized.get(&of_codes(settings), quantize, |_| bytes)
    }

    /// Whether a point has been worked out.
    pub(super) fn knows(&self, choice: &Choice) -> bool {
        self.known.contains_key(choice)
    }

    /// Works a point out, once as far as it is wanted. What cannot run is a result, with the reason.
    pub(super) fn run(
        &mut self,
        levers: &Levers,
        choice: &Choice,
        wanted: Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Result<Outcome, String>, StudyError> {
        match self.known.get(choice) {
            Some(Ok(known)) if known.judged.is_none() && !wanted.gives_up(known.objective) => {}
            Some(known) => return Ok(known.clone()),
            None => {}
        }
        let outcome = match self.work(&levers.settings(choice), wanted, &Quiet(monitor)) {
            Ok(outcome) => Ok(outcome),
            Err(StudyError::Interrupted) => return Err(StudyError::Interrupted),
            // Training that is stopped says so in an error of its own.
            Err(_) if monitor.interrupted() => return Err(StudyError::Interrupted),
            Err(error) => Err(error.to_string()),
        };
        self.known.insert(choice.clone(), outcome.clone());
        Ok(outcome)
    }

    fn work(&self, settings: &Settings, wanted: Wanted, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
        // A network that has the shape, and has not learned yet, tells in seconds what training would take minutes for.
        if let (Wanted::Below(most), Some(untrained)) = (wanted, untrained(settings)) {
            let (objective, _) = self.objective(&untrained, monitor)?;
            if objective >= most * HOPE {
                return Ok(Outcome { objective, judged: None });
            }
        }
        let (objective, own) = self.objective(settings, monitor)?;
        if wanted.gives_up(objective) {
            return Ok(Outcome { objective, judged: None });
        }
        let judged = match own {
            Some(judged) => judged,
            None => self.judge(settings, monitor)?,
        };
        Ok(Outcome { objective, judged: Some(judged) })
    }

    /// The objective, and what a design that changes answers says of them.
    fn objective(&self, settings: &Settings, monitor: &dyn Monitor) -> Result<(f64, Option<Judged>), StudyError> {
        if self.config.aim == Aim::MeasuredLatency {
            let network = self.reduced(&settings.steps, monitor)?;
            let measure = || latency_ms(&network.graph, 1, self.config.input_size, monitor);
            let measure = || self.timed(|spent| &mut spent.simulating, measure);
            return Ok((self.latencies.get(&key(&settings.steps), measure, |_| 64)?, None));
        }
        let quantized = self.quantized(settings, monitor)?;
        let Some(accelerator) = &settings.accelerator else {
            return Ok((quantized.model_bytes(self.config.input_size)? as f64, None));
        };
        let design = self.config.designs.configure(accelerator)?;
        let trace = || {
            let n_images = self.config.data.images;
            quantized.trace(&self.sets.search, n_images, &LayersConfig::default(), monitor).map(Arc::new)
        };
        let figures = || -> Result<_, StudyError> {
            let traced = self.traced.get(&of_codes(settings), trace, |traced| traced.bytes())?;
            Ok(traced.simulate(std::slice::from_ref(&design), monitor)?.figures(self.costs())?.swap_remove(0))
        };
        let figures = self.timed(|spent| &mut spent.simulating, figures)?;
        let objective = if matches!(self.config.aim, Aim::Energy(_)) { figures.energy_mj } else { figures.cycles };
        let judged = figures.accuracy.map(|accuracy| Judged::of_share(accuracy.top1, self.sets.n_search));
        Ok((objective, judged))
    }

    /// Answers on the search images, until it is clear that they are not good enough.
    fn judge(&self, settings: &Settings, monitor: &dyn Monitor) -> Result<Judged, StudyError> {
        let is_clear = |right: &[bool]| {
            let Some(float) = &self.float.right else { return false };
            let pairs = Pairs::of(float, right);
            100.0 * (pairs.loss() - CLEAR * pairs.error()) > self.config.max_loss
        };
        let (images, n) = (&self.sets.search, self.sets.n_search);
        if self.config.aim == Aim::MeasuredLatency {
            let network = self.reduced(&settings.steps, monitor)?;
            let judge = || -> Result<Judged, StudyError> {
                let compiled = network.compile(Engine::Cpu, skimp_study::Order::Exact)?;
                let run = |inputs: &Tensor| compiled.run(std::slice::from_ref(inputs));
                right_until(images, n, monitor, &run, &is_clear).map(Judged::of)
            };
            let judge = || self.timed(|spent| &mut spent.judging, judge);
            return self.judged.get(&key(&settings.steps), judge, |own| own.n);
        }
        let quantized = self.quantized(settings, monitor)?;
        let run = |inputs: &Tensor| quantized.run(std::slice::from_ref(inputs));
        let judge = || {
            let judge = || right_until(images, n, monitor, &run, &is_clear).map(Judged::of);
            self.timed(|spent| &mut spent.judging, judge)
        };
        self.judged.get(&of_codes(settings), judge, |own| own.n)
    }

    fn costs(&self) -> &CostsConfig {
        &self.config.costs
    }
}

/// What codes depend on.
fn of_codes(settings: &Settings) -> crate::stages::Key {
    key(&(&settings.steps, settings.quantization, &settings.widths))
}

/// Widths of the layers that a network has: recast blocks have others.
pub(super) fn that_are(widths: &LayerWidths, network: &Network) -> LayerWidths {
    let names: HashSet<&str> = network.graph.nodes().iter().map(|node| node.name.as_str()).collect();
    let of = |all: &std::collections::BTreeMap<String, u32>| {
        all.iter().filter(|(name, _)| names.contains(name.as_str())).map(|(name, bits)| (name.clone(), *bits)).collect()
    };
    LayerWidths { weight_bits: of(&widths.weight_bits), activation_bits: of(&widths.activation_bits) }
}

/// The same without training; `None` where there is none, or where a network that has not learned has no weights.
fn untrained(settings: &Settings) -> Option<Settings> {
    let is_pruning = !settings.steps.is_empty() && settings.steps.iter().all(|step| step.prune.is_some());
    let is_trained = settings.steps.iter().any(|step| step.finetune > 0);
    let bare = |step: &StepConfig| StepConfig { finetune: 0, ..step.clone() };
    (is_pruning && is_trained)
        .then(|| Settings { steps: settings.steps.iter().map(bare).collect(), ..settings.clone() })
}

/// Which of the first `n` images the float network gets right.
pub(super) fn float_right(
    network: &Network,
    images: &Images,
    n: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<bool>, StudyError> {
    let compiled = network.compile(Engine::Cpu, skimp_study::Order::Exact)?;
    right_until(images, n, monitor, &|inputs| compiled.run(std::slice::from_ref(inputs)), &|_| false)
}

pub(super) type Run<'r> = &'r dyn Fn(&Tensor) -> Result<Vec<Tensor>, StudyError>;

/// Which images of a range are right.
pub(super) fn right_of(images: &Images, range: Range<usize>, run: Run<'_>) -> Result<Vec<bool>, StudyError> {
    let mut all = Vec::with_capacity(range.len());
    for first in range.clone().step_by(BATCH) {
        let (inputs, labels) = images.tensors(first..(first + BATCH).min(range.end))?;
        all.extend(images.right_answers(&run(&inputs)?, &labels)?);
    }
    Ok(all)
}

/// Which images are right, of the first `n` or of fewer where `is_enough`.
fn right_until(
    images: &Images,
    n: usize,
    monitor: &dyn Monitor,
    run: Run<'_>,
    is_enough: &dyn Fn(&[bool]) -> bool,
) -> Result<Vec<bool>, StudyError> {
    let mut all = Vec::with_capacity(n);
    for first in (0..n).step_by(BATCH) {
        if monitor.interrupted() {
            return Err(StudyError::Interrupted);
        }
        all.extend(right_of(images, first..(first + BATCH).min(n), run)?);
        if is_enough(&all) {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A design that changes answers says how many are right, not which: the interval is wider than that of pairs.
    #[test]
    fn answers_that_are_not_known_one_by_one_are_not_paired() {
        let right = |n_right: usize| Judged::of((0..1000).map(|idx| idx < n_right).collect());
        let (float, own, told) = (right(920), right(910), Judged::of_share(0.91, 1000));
        assert_eq!((told.n_right, told.n), (910, 1000));
        let (paired, unpaired) = (float.loss_interval(&own), float.loss_interval(&told));
        assert_eq!((paired.1, unpaired.1), ("Newcombe, paired", "Newcombe, unpaired"));
        assert!((float.loss(&told).0 - 0.01).abs() < 1e-12 && (float.loss(&own).0 - 0.01).abs() < 1e-12);
        // Of shares 0.92 and 0.91 apart: sqrt(0.92 · 0.08 / 1000 + 0.91 · 0.09 / 1000).
        assert!((float.loss(&told).1 - 0.012_469_6).abs() < 1e-6, "{}", float.loss(&told).1);
        let width = |([low, high], _): ([f64; 2], _)| high - low;
        assert!(width(unpaired) > 2.0 * width(paired), "{unpaired:?} {paired:?}");
    }

    /// Pairs are those images that both have seen.
    #[test]
    fn a_loss_on_fewer_images_is_theirs() {
        let float = Judged::of(vec![true; 400]);
        let own = Judged::of((0..200).map(|idx| idx % 4 > 0).collect());
        assert!((float.loss(&own).0 - 0.25).abs() < 1e-12);
    }
}
