//! Gradual magnitude pruning.

use serde::Deserialize;
use skimp_graph::Graph;
use skimp_train::Param;
use skimp_train::optimizer::{Mask, Memory, ParamHook, UpdateOf, recalled};

use crate::settings;
use crate::settings::{Auto, setting_error, within};
use crate::weights::scope::ScopeKind;
use crate::weights::select::{keep_all, magnitudes};
use crate::weights::training::{Place, Shared, as_f32, as_f64, fixed_masks, lock, places, shared};
use crate::weights::{Scope, ScopeSettings, Start, WeightTensor, apply, reduction};
use crate::{Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "gradual";

/// The smallest weights become zero little by little, while the network is trained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gradual;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Passes over the training images.
    epochs: u64,
    /// Sparsity at the first pruning step.
    initial: f64,
    /// Where in the run pruning begins, as a fraction of its steps.
    begin: f64,
    /// Where it ends.
    end: f64,
    /// Training steps between two pruning steps.
    every: Auto,
    /// How zeros are shared out.
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Gradual {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "the smallest weights become zero on a cubic schedule while the network is trained",
            source: "M. Zhu, S. Gupta, \"To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression\", \
                     arXiv:1710.01878, 2017: s(t) = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3.",
            removes: Removes::Weights,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(String, toml::Value); 5] = [
            ("epochs".to_owned(), 10.into()),
            ("initial".to_owned(), 0.0.into()),
            ("begin".to_owned(), 0.0.into()),
            ("end".to_owned(), 0.75.into()),
            ("every".to_owned(), "auto".into()),
        ];
        own.into_iter().chain(ScopeSettings::defaults(ScopeKind::Auto)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        let start = Start::new(NAME, graph, request)?;
        let learning = start.learning("images with labels to train on")?;
        let &Settings { epochs, initial, begin, end, every, .. } = &settings;
        let schedule = ScheduleSettings { epochs, initial, begin, end, every };
        let schedule = Schedule::new(NAME, &schedule, start.sparsity, learning.training.steps_per_epoch())?;
        let scope = settings.scope.scope(NAME, request, &start.found.tensors)?;
        // Whether the scope allows the sparsity shows in the end otherwise.
        let weights = start.found.elements(&start.graph);
        scope.masks(start.sparsity, &start.found.tensors, &weights)?;
        let mut model = learning.model(&start.graph, &[])?;
        let places = places(&model, &start.graph, &start.found)?;
        let masks: Vec<Vec<f32>> = start.found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        let mask = fixed_masks(&model, &places, &masks);
        let (tensors, masks) = (start.found.tensors.clone(), shared(masks));
        let hook = Pruner { schedule, scope, tensors, places, masks: masks.clone(), mask, weights: Vec::new() };
        let lesson = Lesson { epochs: settings.epochs, param_hooks: vec![Box::new(hook)], ..Lesson::default() };
        learning.train_model(&mut model, lesson)?;
        let masks = std::mem::take(&mut *lock(&masks));
        let trained = model.to_graph()?;
        let found = start.found.of(&trained);
        let trained = apply(&trained, &found, &found.elements(&trained), &masks)?;
        let note = format!(
            "Pruned in {} steps, from training step {} to {} of {}, and trained to the end with the last masks.",
            schedule.n + 1,
            schedule.first,
            schedule.first + schedule.n * schedule.every,
            schedule.n_steps
        );
        Ok(reduction(trained, found, masks, vec![note]))
    }
}

/// The settings of a [`Schedule`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ScheduleSettings {
    /// Passes over the training images.
    pub(super) epochs: u64,
    /// Sparsity at the first pruning step.
    pub(super) initial: f64,
    /// Where in the run pruning begins, as a fraction of its steps.
    pub(super) begin: f64,
    /// Where it ends.
    pub(super) end: f64,
    /// Training steps between two pruning steps.
    pub(super) every: Auto,
}

/// When how much is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    initial: f64,
    goal: f64,
    /// The first pruning step (t_0), counted in training steps.
    first: u64,
    /// Training steps between two pruning steps (dt).
    every: u64,
    /// Pruning steps after the first (n).
    n: u64,
    /// Steps of the whole run.
    n_steps: u64,
}

impl Schedule {
    pub(super) fn new(
        method: &str,
        settings: &ScheduleSettings,
        goal: f64,
        per_epoch: u64,
    ) -> Result<Self, ReduceError> {
        let &ScheduleSettings { epochs, initial, begin, end, every } = settings;
        within(method, "epochs", epochs, 1..=1_000_000)?;
        within(method, "initial", initial, 0.0..=goal)?;
        within(method, "begin", begin, 0.0..=1.0)?;
        within(method, "end", end, begin..=1.0)?;
        let n_steps = epochs * per_epoch;
        let at = |share: f64| ((share * n_steps as f64) as u64).min(n_steps - 1);
        let (first, last) = (at(begin), at(end));
        let span = last - first;
        let every = match every.number() {
            None => (span / 10).clamp(1, 100),
            Some(every) if every >= 1.0 && every <= span.max(1) as f64 => every as u64,
            Some(every) => {
                let expected = format!("1 to {}, the training steps between begin and end", span.max(1));
                return Err(setting_error(method, "every", &expected, every));
            }
        };
        Ok(Self { initial, goal, first, every, n: span / every, n_steps })
    }

    /// The sparsity from training step `step` on, if it changes there.
    pub(super) fn sparsity(&self, step: u64) -> Option<f64> {
        let since = step.checked_sub(self.first)?;
        if !since.is_multiple_of(self.every) || since / self.every > self.n {
            return None;
        }
        Some(sparsity(self.initial, self.goal, since / self.every, self.n))
    }

    /// The scope on the way to the goal: a layer with a goal of its own gets there on the same curve.
    pub(super) fn scope(&self, scope: &Scope, sparsity: f64) -> Scope {
        match scope {
            Scope::PerLayer(fractions) if self.goal > 0.0 => {
                let share = sparsity / self.goal;
                Scope::PerLayer(fractions.iter().map(|(layer, goal)| (layer.clone(), goal * share)).collect())
            }
            scope => scope.clone(),
        }
    }
}

/// The sparsity at pruning step `i` of 0 to `n`.
fn sparsity(initial: f64, goal: f64, i: u64, n: u64) -> f64 {
    let left = if n == 0 { 0.0 } else { 1.0 - i as f64 / n as f64 };
    goal + (initial - goal) * left.powi(3)
}

/// Renews the masks on schedule and keeps to them.
#[derive(Debug)]
struct Pruner {
    schedule: Schedule,
    scope: Scope,
    tensors: Vec<WeightTensor>,
    places: Vec<Place>,
    /// In the graph's order.
    masks: Shared<Vec<Vec<f32>>>,
    /// In storage order.
    mask: Mask,
    /// Weights before the update, in the graph's order, where masks are due.
    weights: Vec<Vec<f32>>,
}

impl ParamHook for Pruner {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        let is_due = self.schedule.sparsity(of.update - 1).is_some();
        if let Some(position) = self.places.iter().position(|place| place.param == of.param).filter(|_| is_due) {
            self.weights.resize(self.places.len(), Vec::new());
            self.weights[position] = param.graph_values();
        }
        self.mask.before_update(of, param);
    }

    fn after_update(&mut self, of: UpdateOf, param: &mut Param, slots: &mut [Vec<f32>]) {
        if let Some(position) = self.places.iter().position(|place| place.param == of.param)
            && let Some(sparsity) = self.schedule.sparsity(of.update - 1)
        {
            if !self.weights.is_empty() {
                // Nothing has been updated yet but tensors that are not pruned.
                self.renew(sparsity);
                self.weights.clear();
            }
            self.mask.masks[of.param] = Some(param.in_storage_order(&lock(&self.masks)[position]));
        }
        self.mask.after_update(of, param, slots);
    }

    fn memory(&self) -> Vec<Memory> {
        let masks = lock(&self.masks);
        let of = |((tensor, place), mask): ((&WeightTensor, &Place), &Vec<f32>)| {
            let stored = self.mask.masks[place.param].as_deref().unwrap_or_default();
            [(format!("mask/{}", tensor.name), as_f64(mask)), (format!("stored/{}", tensor.name), as_f64(stored))]
        };
        self.tensors.iter().zip(&self.places).zip(&*masks).flat_map(of).collect()
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        let mut memory = memory.into_iter();
        let mut masks = lock(&self.masks);
        for ((tensor, place), mask) in self.tensors.iter().zip(&self.places).zip(&mut *masks) {
            *mask = as_f32(&recalled(&mut memory, &format!("mask/{}", tensor.name), tensor.len())?);
            let stored = as_f32(&recalled(&mut memory, &format!("stored/{}", tensor.name), tensor.len())?);
            self.mask.masks[place.param] = Some(stored);
        }
        Ok(())
    }
}

impl Pruner {
    fn renew(&mut self, sparsity: f64) {
        let scope = self.schedule.scope(&self.scope, sparsity);
        let scores: Vec<Vec<f32>> = self.weights.iter().map(|weights| magnitudes(weights)).collect();
        let scores: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        // The goal is within the scope's floor, so what leads to it is.
        if let Ok(masks) = scope.masks(sparsity, &self.tensors, &scores) {
            *lock(&self.masks) = masks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::testing::{bits, check_masks, learning, run, small_net};

    /// The golden values of the sheet's section 1.4 (T12).
    #[test]
    fn schedule() {
        let golden = [0.0, 0.2439, 0.4392, 0.5913, 0.7056, 0.7875, 0.8424, 0.8757, 0.8928, 0.8991, 0.9000];
        for (i, expected) in golden.into_iter().enumerate() {
            let found = sparsity(0.0, 0.9, i as u64, 10);
            assert!((found - expected).abs() < 1e-4, "step {i}: {found}, expected {expected}");
        }
        let schedule = |epochs, initial, begin, every, per_epoch| {
            Schedule::new(NAME, &ScheduleSettings { epochs, initial, begin, end: 0.75, every }, 0.9, per_epoch)
        };
        let every = |steps| Auto::Number(steps);
        let auto = settings::parse::<Settings>(NAME, &Gradual.settings(), &toml::Table::new()).unwrap().every;
        let found = schedule(10, 0.0, 0.1, every(20.0), 40).unwrap();
        let due: Vec<u64> = (0..400).filter(|&step| found.sparsity(step).is_some()).collect();
        assert_eq!(due, (0..=13).map(|i| 40 + 20 * i).collect::<Vec<u64>>());
        assert_eq!(found.sparsity(300), Some(0.9));
        assert!(schedule(10, 0.0, 0.1, every(1000.0), 40).is_err());
        assert!(schedule(10, 0.95, 0.1, auto, 40).is_err());
        // A run of one step prunes at once.
        assert_eq!(schedule(1, 0.0, 0.0, auto, 1).unwrap().sparsity(0), Some(0.9));
    }

    /// Exact at the end, masked weights exactly 0 after training with momentum and weight decay, and the same bits again
    /// and on another number of threads.
    #[test]
    fn trained_with_masks() {
        let (graph, learning) = (small_net(), learning());
        let prune = |settings: &str, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| run(&Gradual, &graph, 0.8, settings, Some(&learning)).unwrap())
        };
        let reduction = prune("epochs = 3", 1);
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.8 * n).round() as usize).iter().sum();
        assert_eq!(check_masks(&reduction), expected);
        let again = prune("epochs = 3", 3);
        assert_eq!(bits(&reduction.graph), bits(&again.graph));
        assert_eq!(reduction.masks, again.masks);
        let global = prune("epochs = 3\nscope = \"global\"\nevery = 2", 2);
        assert_eq!(check_masks(&global), (0.8 * 6816.0_f64).round() as usize);
        assert_ne!(bits(&reduction.graph), bits(&global.graph));
        // It has learned: chance is a tenth.
        let trained = learning.accuracy(&reduction.graph).unwrap().unwrap();
        assert!(trained > 0.3, "accuracy {trained}");
    }

    #[test]
    fn without_images() {
        let error = run(&Gradual, &small_net(), 0.8, "", None).unwrap_err().to_string();
        assert_eq!(error, "method gradual needs images with labels to train on (--data NAME:DIR), found none");
    }
}
