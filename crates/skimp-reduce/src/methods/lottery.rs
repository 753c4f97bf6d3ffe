//! Lottery tickets: iterative magnitude pruning with rewinding.

use std::collections::BTreeMap;

use serde::Deserialize;
use skimp_graph::rewrite::Editor;
use skimp_graph::{Graph, Tensor};
use skimp_train::Param;
use skimp_train::optimizer::{Memory, ParamHook, UpdateOf};

use crate::settings;
use crate::settings::within;
use crate::weights::scope::ScopeKind;
use crate::weights::select::keep_all;
use crate::weights::training::{Shared, as_f32, as_f64, fixed_masks, lock, places, shared};
use crate::weights::{Found, ScopeSettings, Start, apply, reduction};
use crate::{Learning, Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "lottery";

/// A fifth of the weights goes each round, and the others begin again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lottery;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rewind {
    /// Weights go back to their values at the step, and the schedule with them.
    Weights,
    /// Weights stay, only the schedule goes back.
    LearningRate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Passes over the training images in each round.
    epochs: u64,
    /// The fraction of the weights left that goes in a round.
    fraction: f64,
    /// What is rewound.
    rewind: Rewind,
    /// The step that is rewound to, as a fraction of the run.
    to: f64,
    /// Whether the last ticket is trained.
    train_last: bool,
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Lottery {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "rounds of training and magnitude pruning; weights or the learning rate are rewound after each",
            source: "J. Frankle, M. Carbin, \"The Lottery Ticket Hypothesis\", ICLR 2019; J. Frankle et al., \"Stabilizing the \
                     Lottery Ticket Hypothesis\", arXiv:1903.01611; A. Renda, J. Frankle, M. Carbin, \"Comparing Rewinding and \
                     Fine-tuning in Neural Network Pruning\", ICLR 2020. Differs: running statistics of batch normalization \
                     go back to those given; the last round's fraction is what meets the target.",
            removes: Removes::Weights,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 5] = [
            ("epochs", 10.into()),
            ("fraction", 0.2.into()),
            ("rewind", "weights".into()),
            ("to", 0.02.into()),
            ("train_last", true.into()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(ScopeSettings::defaults(ScopeKind::Global)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "fraction", settings.fraction, 0.001..=0.999)?;
        within(NAME, "to", settings.to, 0.0..=0.99)?;
        let start = Start::new(NAME, graph, request)?;
        let learning = start.learning("images with labels to train on")?;
        let scope = settings.scope.scope(NAME, request, &start.found.tensors)?;
        scope.masks(start.sparsity, &start.found.tensors, &start.found.elements(&start.graph))?;
        let n_steps = settings.epochs * learning.training.steps_per_epoch();
        let first_step = (settings.to * n_steps as f64) as u64;

        let mut masks: Vec<Vec<f32>> = start.found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        let snapshot = shared(BTreeMap::new());
        let hook = Snapshot { step: first_step, values: snapshot.clone() };
        let run = Run { learning, epochs: settings.epochs };
        let mut trained = run.train(&start.graph, &start.found, &masks, 0, Some(hook))?;
        let snapshot = std::mem::take(&mut *lock(&snapshot));
        let densities = densities(start.sparsity, settings.fraction);
        let mut notes = vec![format!(
            "{} rounds of {} epochs after the first, rewound to step {first_step} of {n_steps}: {}.",
            densities.len(),
            settings.epochs,
            match settings.rewind {
                Rewind::Weights => "weights and learning rate",
                Rewind::LearningRate => "the learning rate alone",
            }
        )];
        for (round, density) in densities.iter().enumerate() {
            let found = start.found.of(&trained);
            masks = pruned(&found.elements(&trained), &masks, |scores| {
                scope.masks(1.0 - density, &start.found.tensors, scores)
            })?;
            let from = match settings.rewind {
                Rewind::Weights => rewound(&start.graph, &snapshot)?,
                Rewind::LearningRate => trained,
            };
            let found = start.found.of(&from);
            let ticket = apply(&from, &found, &found.elements(&from), &masks)?;
            trained = if round + 1 < densities.len() || settings.train_last {
                run.train(&ticket, &start.found, &masks, first_step, None)?
            } else {
                notes.push("The last ticket is as it was rewound, not trained.".to_owned());
                ticket
            };
        }
        let found = start.found.of(&trained);
        Ok(reduction(trained, found, masks, notes))
    }
}

/// What stays after each round: `(1 − fraction)^round`, and exactly the target in the last one.
fn densities(sparsity: f64, fraction: f64) -> Vec<f64> {
    let goal = 1.0 - sparsity;
    let mut densities = Vec::new();
    let mut density = 1.0 - fraction;
    // Rounding of a power is no reason for another round.
    while density > goal * (1.0 + 1e-9) {
        densities.push(density);
        density *= 1.0 - fraction;
    }
    if sparsity > 0.0 {
        densities.push(goal);
    }
    densities
}

/// Masks for the magnitudes of what is left; what went before goes first.
fn pruned(
    weights: &[&[f32]],
    before: &[Vec<f32>],
    select: impl FnOnce(&[&[f32]]) -> Result<Vec<Vec<f32>>, ReduceError>,
) -> Result<Vec<Vec<f32>>, ReduceError> {
    let score = |(weight, mask): (&f32, &f32)| if *mask > 0.0 { weight.abs() } else { -1.0 };
    let scores: Vec<Vec<f32>> =
        weights.iter().zip(before).map(|(weights, before)| weights.iter().zip(before).map(score).collect()).collect();
    select(&scores.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The network with the parameters of a snapshot.
fn rewound(graph: &Graph, snapshot: &BTreeMap<String, Vec<f32>>) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    for (name, values) in snapshot {
        if let Some(id) = editor.value(name)
            && let Some(shape) = editor.constant(id).map(|tensor| tensor.shape().to_vec())
        {
            editor.set_constant(id, Tensor::from_f32(shape, values.clone()))?;
        }
    }
    Ok(editor.finish()?)
}

/// One training run after the other.
struct Run<'a> {
    learning: &'a Learning<'a>,
    epochs: u64,
}

impl Run<'_> {
    /// The network trained from a step of the run on.
    fn train(
        &self,
        graph: &Graph,
        found: &Found,
        masks: &[Vec<f32>],
        first_step: u64,
        snapshot: Option<Snapshot>,
    ) -> Result<Graph, ReduceError> {
        let mut model = self.learning.model(graph, &[])?;
        let places = places(&model, graph, &found.of(graph))?;
        let mut lesson = Lesson { epochs: self.epochs, first_step, ..Lesson::default() };
        lesson.param_hooks.push(Box::new(fixed_masks(&model, &places, masks)));
        if let Some(snapshot) = snapshot {
            lesson.param_hooks.push(Box::new(snapshot));
        }
        self.learning.train_model(&mut model, lesson)?;
        Ok(model.to_graph()?)
    }
}

/// Copies every parameter as it is after so many steps.
#[derive(Debug)]
struct Snapshot {
    step: u64,
    values: Shared<BTreeMap<String, Vec<f32>>>,
}

impl ParamHook for Snapshot {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        if of.update == self.step + 1 {
            lock(&self.values).insert(param.name().to_owned(), param.graph_values());
        }
    }

    fn memory(&self) -> Vec<Memory> {
        lock(&self.values).iter().map(|(name, values)| (name.clone(), as_f64(values))).collect()
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        *lock(&self.values) = memory.into_iter().map(|(name, values)| (name, as_f32(&values))).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use skimp_train::trainer::Observer;

    use super::*;
    use crate::weights::testing::{bits, check_masks, elements, learning, run, small_net};

    /// The kept fractions of the sheet's section 1.4.
    #[test]
    fn a_fifth_goes_each_round() {
        for (rounds, kept) in [(10, 0.107), (20, 0.0115)] {
            let goal = 0.8_f64.powi(rounds);
            assert!((goal - kept).abs() < 1e-3);
            let found = densities(1.0 - goal, 0.2);
            assert_eq!(found.len(), rounds as usize);
            assert!((found[0] - 0.8).abs() < 1e-12 && (found[1] - 0.64).abs() < 1e-12);
        }
        assert_eq!(densities(0.0, 0.2), Vec::<f64>::new());
        assert_eq!(densities(0.5, 0.9), [0.5]);
    }

    /// Asks to stop before the step of that number.
    struct StopAt(AtomicU64);

    impl Observer for StopAt {
        fn interrupted(&self) -> bool {
            self.0.fetch_sub(1, Ordering::SeqCst) == 0
        }
    }

    /// Sheet 1.5, test 7: kept weights, and all other parameters, equal those of the step that was rewound to, bit for bit.
    #[test]
    fn rewinding_is_exact() {
        let (graph, learning) = (small_net(), learning());
        // 2 epochs of 4 steps: to step 0 and to step 3.
        for (to, n_steps) in [("0.0", 0), ("0.4", 3)] {
            let settings = format!("epochs = 2\nfraction = 0.5\ntrain_last = false\nto = {to}");
            let reduction = run(&Lottery, &graph, 0.75, &settings, Some(&learning)).unwrap();
            assert_eq!(check_masks(&reduction), 5112);
            assert!(reduction.notes[2].contains(&format!("rewound to step {n_steps} of 8")), "{:?}", reduction.notes);
            let stop = StopAt(AtomicU64::new(n_steps));
            let stopped = Learning {
                training: learning.training.clone(),
                validation: None,
                recipe: learning.recipe.clone(),
                observer: &stop,
                runs: None,
            };
            let mut model = stopped.model(&graph, &[]).unwrap();
            assert!(stopped.train_model(&mut model, Lesson { epochs: 2, ..Lesson::default() }).is_err());
            for param in model.params() {
                let (found, expected) = (elements(&reduction.graph, param.name()), param.graph_values());
                let mask = reduction.masks.iter().find(|(name, _)| name == param.name());
                for (idx, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let is_kept = mask.is_none_or(|(_, mask)| mask[idx] > 0.0);
                    assert!(!is_kept || found.to_bits() == expected.to_bits(), "{} [{idx}]", param.name());
                }
            }
        }
    }

    #[test]
    fn both_kinds_of_rewinding() {
        let (graph, learning) = (small_net(), learning());
        let prune = |rewind: &str| {
            let settings = format!("epochs = 2\nfraction = 0.4\nrewind = \"{rewind}\"\nto = 0.25");
            run(&Lottery, &graph, 0.6, &settings, Some(&learning)).unwrap()
        };
        let (weights, rate) = (prune("weights"), prune("learning-rate"));
        assert_eq!((check_masks(&weights), check_masks(&rate)), (4090, 4090));
        assert_ne!(bits(&weights.graph), bits(&rate.graph));
        assert_eq!(bits(&weights.graph), bits(&prune("weights").graph));
        let accuracy = learning.accuracy(&rate.graph).unwrap().unwrap();
        assert!(accuracy > 0.2, "accuracy {accuracy}");
    }
}
