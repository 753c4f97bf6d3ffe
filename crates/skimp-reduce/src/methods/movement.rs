//! Movement pruning.

use serde::Deserialize;
use skimp_graph::Graph;
use skimp_train::Param;
use skimp_train::optimizer::{Memory, ParamHook, UpdateOf, recalled};

use super::gradual::{Schedule, ScheduleSettings};
use crate::settings;
use crate::settings::{Auto, within};
use crate::weights::scope::ScopeKind;
use crate::weights::training::{ForwardMasks, Masked, Place, Shared, as_f32, as_f64, lock, places, shared};
use crate::weights::{Scope, ScopeSettings, Start, WeightTensor, apply, reduction};
use crate::{Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "movement";

/// Weights go that move towards zero while the network is fine-tuned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Movement;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Passes over the training images.
    epochs: u64,
    /// Learning rate of the scores.
    score_rate: f64,
    /// Where in the run pruning begins, as a fraction of its steps.
    begin: f64,
    /// Where it ends.
    end: f64,
    /// Training steps between two renewals of the masks.
    every: u64,
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Movement {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "weights go that move towards zero while the network is fine-tuned",
            source: "V. Sanh, T. Wolf, A. Rush, \"Movement Pruning: Adaptive Sparsity by Fine-Tuning\", NeurIPS 2020: the hard \
                     form, S <- S - r dL/dW' W, straight through the mask, with a cubic schedule.",
            removes: Removes::Weights,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 5] = [
            ("epochs", 10.into()),
            ("score_rate", 0.01.into()),
            ("begin", 0.1.into()),
            ("end", 0.75.into()),
            ("every", 1.into()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(ScopeSettings::defaults(ScopeKind::Auto)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "score_rate", settings.score_rate, 1e-12..=1e12)?;
        let start = Start::new(NAME, graph, request)?;
        let learning = start.learning("images with labels to train on")?;
        let &Settings { epochs, begin, end, every, .. } = &settings;
        let schedule = ScheduleSettings { epochs, initial: 0.0, begin, end, every: Auto::Number(every as f64) };
        let schedule = Schedule::new(NAME, &schedule, start.sparsity, learning.training.steps_per_epoch())?;
        let scope = settings.scope.scope(NAME, request, &start.found.tensors)?;
        scope.masks(start.sparsity, &start.found.tensors, &start.found.elements(&start.graph))?;
        let mut model = learning.model(&start.graph, &[])?;
        let places = places(&model, &start.graph, &start.found)?;
        let masked = places.iter().zip(&start.found.tensors).map(|(place, tensor)| Masked::all(place, tensor.len()));
        let masks = shared(masked.collect::<Vec<_>>());
        let mover = Mover {
            schedule,
            scope,
            rate: settings.score_rate,
            scores: start.found.tensors.iter().map(|tensor| vec![0.0; tensor.len()]).collect(),
            tensors: start.found.tensors.clone(),
            places: places.clone(),
            masks: masks.clone(),
            renewed: None,
        };
        let lesson = Lesson {
            epochs,
            tensor_hooks: vec![Box::new(ForwardMasks { masks: masks.clone() })],
            param_hooks: vec![Box::new(mover)],
            ..Lesson::default()
        };
        learning.train_model(&mut model, lesson)?;
        model.take_hooks();
        let in_graph_order =
            |(place, masked): (&Place, &Masked)| model.params()[place.param].in_graph_order(&masked.mask);
        let masks: Vec<Vec<f32>> = places.iter().zip(&*lock(&masks)).map(in_graph_order).collect();
        let trained = model.to_graph()?;
        let found = start.found.of(&trained);
        let trained = apply(&trained, &found, &found.elements(&trained), &masks)?;
        let note = "Meant for fine-tuning a trained network to a high sparsity; magnitude is better at a moderate one.";
        Ok(reduction(trained, found, masks, vec![note.to_owned()]))
    }
}

/// Scores weights by their movement, and renews masks on schedule.
#[derive(Debug)]
struct Mover {
    schedule: Schedule,
    scope: Scope,
    rate: f64,
    /// In storage order.
    scores: Vec<Vec<f32>>,
    tensors: Vec<WeightTensor>,
    places: Vec<Place>,
    /// In storage order.
    masks: Shared<Vec<Masked>>,
    /// Masks of this step in the graph's order, and the tensors' scores that they are made from.
    renewed: Option<Vec<Vec<f32>>>,
}

impl ParamHook for Mover {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        let Some(position) = self.places.iter().position(|place| place.param == of.param) else { return };
        let scores = &mut self.scores[position];
        let mask = &lock(&self.masks)[position].mask;
        let (values, grad) = param.values_and_grad_mut();
        // The gradient is that of the masked weight; the mask of the present step lets it through to the weight.
        score(scores, self.rate, values, grad);
        grad.iter_mut().zip(mask).filter(|(_, mask)| **mask <= 0.0).for_each(|(grad, _)| *grad = 0.0);
        if self.schedule.sparsity(of.update - 1).is_some() {
            let scores = param.in_graph_order(&self.scores[position]);
            self.renewed.get_or_insert_with(|| vec![Vec::new(); self.places.len()])[position] = scores;
        }
    }

    fn after_update(&mut self, of: UpdateOf, param: &mut Param, _slots: &mut [Vec<f32>]) {
        let Some(position) = self.places.iter().position(|place| place.param == of.param) else { return };
        let Some(sparsity) = self.schedule.sparsity(of.update - 1) else { return };
        if let Some(scores) = self.renewed.take_if(|_| self.places.iter().all(|place| place.param >= of.param)) {
            let borrowed: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
            let scope = self.schedule.scope(&self.scope, sparsity);
            // The goal is within the scope's floor, so what leads to it is.
            self.renewed = scope.masks(sparsity, &self.tensors, &borrowed).ok();
        }
        let is_last = self.places.iter().all(|place| place.param <= of.param);
        if let Some(masks) = &self.renewed {
            lock(&self.masks)[position].mask = param.in_storage_order(&masks[position]);
        }
        if is_last {
            self.renewed = None;
        }
    }

    fn memory(&self) -> Vec<Memory> {
        let masks = lock(&self.masks);
        let of = |((tensor, scores), masked): ((&WeightTensor, &Vec<f32>), &Masked)| {
            [
                (format!("scores/{}", tensor.name), as_f64(scores)),
                (format!("mask/{}", tensor.name), as_f64(&masked.mask)),
            ]
        };
        self.tensors.iter().zip(&self.scores).zip(&*masks).flat_map(of).collect()
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        let mut memory = memory.into_iter();
        let mut masks = lock(&self.masks);
        for ((tensor, scores), masked) in self.tensors.iter().zip(&mut self.scores).zip(&mut *masks) {
            *scores = as_f32(&recalled(&mut memory, &format!("scores/{}", tensor.name), tensor.len())?);
            masked.mask = as_f32(&recalled(&mut memory, &format!("mask/{}", tensor.name), tensor.len())?);
        }
        Ok(())
    }
}

/// `S ← S − rate · gradient · weight`.
fn score(scores: &mut [f32], rate: f64, weights: &[f32], grad: &[f32]) {
    for ((score, weight), grad) in scores.iter_mut().zip(weights).zip(grad) {
        *score -= (rate * f64::from(*grad) * f64::from(*weight)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::testing::{bits, check_masks, elements, learning, run, small_net};

    /// A weight that the gradient moves away from zero gains, one that it moves towards zero loses, whatever its size.
    #[test]
    fn scores() {
        let mut scores = vec![0.0; 4];
        // Descent moves against the gradient.
        score(&mut scores, 0.5, &[2.0, -2.0, 0.1, -0.1], &[1.0, 1.0, -1.0, 0.0]);
        assert_eq!(scores, [-1.0, 1.0, 0.05, 0.0]);
        score(&mut scores, 0.5, &[2.0, -2.0, 0.1, -0.1], &[1.0, 1.0, -1.0, 0.0]);
        assert_eq!(scores, [-2.0, 2.0, 0.1, 0.0]);
    }

    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |settings: &str, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| run(&Movement, &graph, 0.7, settings, Some(&learning)).unwrap())
        };
        let reduction = prune("epochs = 4", 1);
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.7 * n).round() as usize).iter().sum();
        assert_eq!(check_masks(&reduction), expected);
        assert_eq!(bits(&reduction.graph), bits(&prune("epochs = 4", 3).graph));
        assert_eq!(
            check_masks(&prune("epochs = 2\nscope = \"global\"\nevery = 2", 2)),
            (0.7 * 6816.0_f64).round() as usize
        );
        // Not by magnitude: some that went were greater than some that stayed.
        let (_, mask) = reduction.masks.iter().find(|(name, _)| name == "fc.weight").unwrap();
        let before = elements(&graph, "fc.weight");
        let of =
            |kept: bool| before.iter().zip(mask).filter(move |(_, mask)| (**mask > 0.0) == kept).map(|(x, _)| x.abs());
        assert!(of(false).fold(0.0, f32::max) > of(true).fold(f32::MAX, f32::min));
        let accuracy = learning.accuracy(&reduction.graph).unwrap().unwrap();
        assert!(accuracy > 0.2, "accuracy {accuracy}");
    }
}
