//! Magnitude pruning in rounds with retraining.

use std::collections::BTreeMap;

use serde::Deserialize;
use skimp_graph::rewrite::Editor;
use skimp_graph::{Graph, Op, ops};

use crate::settings;
use crate::settings::{setting_error, within};
use crate::weights::neurons::{cut_unread, dead_neurons};
use crate::weights::scope::n_zeros;
use crate::weights::select::{cut_smallest_of_all, keep_all, n_zeros as zeros};
use crate::weights::sensitivity::{Sensitivity, sensitivity};
use crate::weights::training::{fixed_masks, places};
use crate::weights::{Found, Start, WeightTensor, apply, reduction};
use crate::{Learning, Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "han";

/// Weights below a multiple of their layer's deviation go, round after round, with retraining between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Han;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Rounds of pruning and retraining.
    rounds: u64,
    /// Passes over the training images in each round.
    epochs: u64,
    /// Learning rate of retraining, relative to the recipe's.
    learning_rate_factor: f64,
    /// Whether convolutions and dense layers are retrained in turn, each while the others are fixed.
    alternate: bool,
    /// The quality parameter q of layers; 1 for the others.
    quality: BTreeMap<String, f64>,
    /// Whether the quality parameters come from a sensitivity scan.
    scan: bool,
    /// The loss of accuracy that the scan allows a layer.
    tolerance: f64,
}

impl Method for Han {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "weights below q times their layer's deviation go, in rounds with retraining between",
            source: "S. Han, J. Pool, J. Tran, W. Dally, \"Learning both Weights and Connections for Efficient Neural \
                     Networks\", NIPS 2015. Differs: one factor on all q makes the sparsity exact; the last weight of a \
                     tensor stays.",
            removes: Removes::Weights,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 7] = [
            ("rounds", 3.into()),
            ("epochs", 3.into()),
            ("learning_rate_factor", 0.1.into()),
            ("alternate", false.into()),
            ("quality", toml::Table::new().into()),
            ("scan", false.into()),
            ("tolerance", 0.02.into()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "rounds", settings.rounds, 1..=1000)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "learning_rate_factor", settings.learning_rate_factor, 1e-9..=1e3)?;
        within(NAME, "tolerance", settings.tolerance, 0.0..=1.0)?;
        let start = Start::new(NAME, graph, request)?;
        let learning = start.learning("images with labels to retrain on")?;
        let mut notes = Vec::new();
        let quality = quality(&settings, &start, learning, &mut notes)?;
        let rounds = Rounds {
            rounds: settings.rounds,
            epochs: settings.epochs,
            learning_rate_factor: settings.learning_rate_factor,
            alternate: settings.alternate,
            quality,
        };
        let pruned = rounds.run(learning, &start.graph, &start.found, start.sparsity)?;
        notes.extend(pruned.notes);
        Ok(reduction(pruned.graph, pruned.found, pruned.masks, notes))
    }
}

/// The quality parameter of each tensor.
fn quality(
    settings: &Settings,
    start: &Start<'_>,
    learning: &Learning<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<f64>, ReduceError> {
    let tensors = &start.found.tensors;
    for (layer, &q) in &settings.quality {
        within(NAME, &format!("quality.{layer}"), q, 1e-9..=1e9)?;
        if !tensors.iter().any(|tensor| tensor.layer == *layer) {
            let layers: Vec<&str> = tensors.iter().map(|tensor| tensor.layer.as_str()).collect();
            return Err(setting_error(NAME, "quality", &format!("names of: {}", layers.join(", ")), layer));
        }
    }
    let mut quality: Vec<f64> = vec![1.0; tensors.len()];
    if settings.scan {
        let sparsities: Vec<f64> = (3..=9).map(|tenth| f64::from(tenth) / 10.0).chain([0.95]).collect();
        let dense = learning.accuracy(&start.graph)?.unwrap_or_default();
        let curves = sensitivity(&start.graph, &start.found, learning, &sparsities)?;
        let elements = start.found.elements(&start.graph);
        for ((q, curve), weights) in quality.iter_mut().zip(&curves).zip(elements) {
            *q = scanned_quality(curve, dense - settings.tolerance, weights);
        }
        notes.push(format!("Sensitivity scan, accuracy {:.2} % before: {}.", 100.0 * dense, curves_text(&curves)));
    }
    for (q, tensor) in quality.iter_mut().zip(tensors) {
        *q = settings.quality.get(&tensor.layer).copied().unwrap_or(*q);
    }
    Ok(quality)
}

/// The quality parameter at which a layer loses as many weights as leave the accuracy at `least` or above.
fn scanned_quality(curve: &Sensitivity, least: f64, weights: &[f32]) -> f64 {
    let fits = curve.points.iter().take_while(|(_, accuracy)| *accuracy >= least).last();
    // None: less than the smallest fraction that was tried.
    let sparsity = fits.or(curve.points.first()).map_or(0.5, |(sparsity, _)| *sparsity);
    let sparsity = if fits.is_some() { sparsity } else { 0.5 * sparsity };
    let mut sorted: Vec<f32> = weights.iter().map(|weight| weight.abs()).collect();
    sorted.sort_by(f32::total_cmp);
    let threshold = sorted.get(n_zeros(sparsity, sorted.len())).copied().unwrap_or(1.0);
    (f64::from(threshold) / deviation(weights).max(f64::MIN_POSITIVE)).max(1e-9)
}

fn curves_text(curves: &[Sensitivity]) -> String {
    let point = |(sparsity, accuracy): &(f64, f64)| format!("{:.1} % at {:.0} %", 100.0 * accuracy, 100.0 * sparsity);
    let curve = |curve: &Sensitivity| {
        let points: Vec<String> = curve.points.iter().map(point).collect();
        format!("\"{}\" {}", curve.layer, points.join(", "))
    };
    curves.iter().map(curve).collect::<Vec<_>>().join("; ")
}

/// Standard deviation, of all elements that are not zero.
pub(super) fn deviation(weights: &[f32]) -> f64 {
    let left = || weights.iter().filter(|weight| weight.abs() > 0.0).map(|&weight| f64::from(weight));
    let n = left().count().max(1) as f64;
    let mean = left().sum::<f64>() / n;
    (left().map(|weight| (weight - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Rounds of pruning and retraining.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    pub(super) rounds: u64,
    pub(super) epochs: u64,
    pub(super) learning_rate_factor: f64,
    pub(super) alternate: bool,
    /// One for each tensor.
    pub(super) quality: Vec<f64>,
}

/// What rounds end with.
#[derive(Debug)]
pub(super) struct Pruned {
    pub(super) graph: Graph,
    pub(super) found: Found,
    pub(super) masks: Vec<Vec<f32>>,
    pub(super) notes: Vec<String>,
}

impl Rounds {
    /// Prunes and retrains; the density shrinks by the same factor in every round.
    pub(super) fn run(
        &self,
        learning: &Learning<'_>,
        graph: &Graph,
        found: &Found,
        sparsity: f64,
    ) -> Result<Pruned, ReduceError> {
        let mut graph = graph.clone();
        let mut masks: Vec<Vec<f32>> = found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        let mut notes = Vec::new();
        for round in 1..=self.rounds {
            let goal = 1.0 - (1.0 - sparsity).powf(round as f64 / self.rounds as f64);
            let goal = if round == self.rounds { sparsity } else { goal };
            let found = found.of(&graph);
            let (next, factor) = self.masks(&found, &found.elements(&graph), &masks, goal)?;
            let masked = apply(&graph, &found, &found.elements(&graph), &next)?;
            let (ready, rates) = with_dropout(&masked, &found, &masks, &next)?;
            masks = next;
            graph = self.retrain(learning, &ready, &found, &masks)?;
            let mut note = format!("Round {round}: thresholds {factor:.4} q times the deviation of each layer");
            rates.iter().for_each(|rate| note.push_str(&format!("; {rate}")));
            if let Some(accuracy) = learning.accuracy(&graph)? {
                note.push_str(&format!("; accuracy {:.2} % after retraining", 100.0 * accuracy));
            }
            notes.push(note + ".");
        }
        let found = found.of(&graph);
        let n_unread = cut_unread(&graph, &found, &mut masks);
        let dead = dead_neurons(&graph, &found, &masks);
        let count =
            |of: fn(&crate::weights::DeadNeurons) -> &Vec<usize>| -> usize { dead.iter().map(|d| of(d).len()).sum() };
        let (unread, unfed) = (count(|dead| &dead.without_readers), count(|dead| &dead.without_inputs));
        if unread + unfed > 0 {
            notes.push(format!(
                "{unread} neurons had no outgoing connection left and lost their incoming ones ({n_unread} weights beyond the \
                 target); {unfed} neurons have no incoming one. A method that removes channels can take them out."
            ));
        }
        let graph = apply(&graph, &found, &found.elements(&graph), &masks)?;
        Ok(Pruned { graph, found, masks, notes })
    }

    /// The masks at a sparsity, and the factor on all quality parameters that gives them.
    fn masks(
        &self,
        found: &Found,
        weights: &[&[f32]],
        before: &[Vec<f32>],
        sparsity: f64,
    ) -> Result<(Vec<Vec<f32>>, f64), ReduceError> {
        let scale = |(weights, q): (&&[f32], &f64)| (q * deviation(weights)).max(f64::MIN_POSITIVE);
        let scores: Vec<Vec<f32>> = weights
            .iter()
            .zip(&self.quality)
            .zip(before)
            .map(|((weights, q), before)| {
                let scale = scale((weights, q));
                // What went before goes first.
                let score = |(weight, mask): (&f32, &f32)| match *mask > 0.0 {
                    true => (f64::from(weight.abs()) / scale) as f32,
                    false => -1.0,
                };
                weights.iter().zip(before).map(score).collect()
            })
            .collect();
        let borrowed: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        let n = n_zeros(sparsity, found.n_weights());
        let floors = vec![1; found.tensors.len()];
        let masks = cut_smallest_of_all(&borrowed, n, &floors).ok_or_else(|| ReduceError::Target {
            target: format!("sparsity={sparsity}"),
            cause: "one weight of each tensor stays".to_owned(),
            reached: format!("sparsity={:.6}", 1.0 - found.tensors.len() as f64 / found.n_weights() as f64),
        })?;
        let cut = scores.iter().zip(&masks).flat_map(|(scores, mask)| scores.iter().zip(mask));
        let factor = cut.filter(|(_, mask)| **mask <= 0.0).fold(0.0_f32, |most, (score, _)| most.max(*score));
        Ok((masks, f64::from(factor)))
    }

    /// Retrains with fixed masks; in two phases if layers take turns.
    fn retrain(
        &self,
        learning: &Learning<'_>,
        graph: &Graph,
        found: &Found,
        masks: &[Vec<f32>],
    ) -> Result<Graph, ReduceError> {
        let is_conv = |tensor: &WeightTensor| tensor.shape.len() > 2;
        let phases: &[Option<bool>] = if self.alternate { &[Some(true), Some(false)] } else { &[None] };
        let mut graph = graph.clone();
        for &of_convs in phases {
            let found = found.of(&graph);
            let mut model = learning.model(&graph, &[])?;
            let places = places(&model, &graph, &found)?;
            for (place, tensor) in places.iter().zip(&found.tensors) {
                let is_trained = of_convs.is_none_or(|of_convs| is_conv(tensor) == of_convs);
                model.params_mut()[place.param].set_trainable(is_trained);
            }
            let lesson = Lesson {
                epochs: self.epochs,
                learning_rate: Some(learning.recipe.learning_rate * self.learning_rate_factor),
                param_hooks: vec![Box::new(fixed_masks(&model, &places, masks))],
                ..Lesson::default()
            };
            learning.train_model(&mut model, lesson)?;
            graph = model.to_graph()?;
        }
        Ok(graph)
    }
}

/// The dropout rate of retraining: `D_r = D_o sqrt(C_r / C_o)`, with the connections of the layer behind it.
fn dropout_rate(original: f32, n_before: usize, n_after: usize) -> f32 {
    original * (n_after as f32 / n_before.max(1) as f32).sqrt()
}

/// The network with the dropout rates that its layers' connections ask for, and what changed.
fn with_dropout(
    graph: &Graph,
    found: &Found,
    before: &[Vec<f32>],
    after: &[Vec<f32>],
) -> Result<(Graph, Vec<String>), ReduceError> {
    let consumers = graph.consumers();
    let mut editor = Editor::new(graph);
    let mut changes = Vec::new();
    for node in graph.nodes() {
        let Op::Dropout(ops::Dropout { ratio }) = node.op else { continue };
        // The first layer behind it.
        let mut open = vec![node.outputs[0]];
        let mut reader = None;
        while let Some(value) = open.pop().filter(|_| reader.is_none()) {
            for &idx in &consumers[value.0] {
                let position = found.tensors.iter().position(|tensor| tensor.nodes.contains(&idx));
                reader = reader.or(position);
                if position.is_none() {
                    open.extend(&graph.nodes()[idx].outputs);
                }
            }
        }
        let Some(position) = reader else { continue };
        let left = |masks: &[Vec<f32>]| found.tensors[position].len() - zeros([&masks[position]]);
        let ratio_after = dropout_rate(ratio, left(before), left(after));
        editor.replace_op(&node.name, Op::Dropout(ops::Dropout { ratio: ratio_after }))?;
        changes.push(format!("dropout \"{}\" {ratio:.3} -> {ratio_after:.3}", node.name));
    }
    if changes.is_empty() {
        return Ok((graph.clone(), changes));
    }
    Ok((editor.finish()?, changes))
}

#[cfg(test)]
mod tests {
    use skimp_graph::rewrite::Edge;

    use super::*;
    use crate::weights::testing::{bits, check_masks, elements, learning, run, small_net};

    /// Sheet 1.5, test 8: a quarter of the connections, half the rate.
    #[test]
    fn dropout() {
        assert!((dropout_rate(0.5, 1000, 250) - 0.25).abs() < 1e-7);
        let graph = small_net();
        let mut editor = Editor::new(&graph);
        let dropout = Op::Dropout(ops::Dropout { ratio: 0.4 });
        editor.insert(Edge::Input { node: "flatten", input: 0 }, "drop", dropout, &[]).unwrap();
        let graph = editor.finish().unwrap();
        let found = crate::weights::tensors::find(&graph, |_| false);
        let before: Vec<Vec<f32>> = found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        let mut after = before.clone();
        after[2][..4410].fill(0.0);
        let (changed, notes) = with_dropout(&graph, &found, &before, &after).unwrap();
        assert_eq!(notes, ["dropout \"drop\" 0.400 -> 0.200"]);
        let rates: Vec<f32> = changed
            .nodes()
            .iter()
            .filter_map(|node| if let Op::Dropout(dropout) = &node.op { Some(dropout.ratio) } else { None })
            .collect();
        assert!(rates.len() == 1 && (rates[0] - 0.2).abs() < 1e-6, "{rates:?}");
        // In the rounds as well: the rate follows the last round's connections.
        let rounds = "rounds = 2\nepochs = 1";
        let reduction = run(&Han, &graph, 0.75, rounds, Some(&learning())).unwrap();
        assert!(reduction.notes[2].contains("dropout \"drop\" 0.400 -> "), "{:?}", reduction.notes);
    }

    /// A weight goes if it is below `factor · q · σ` of its layer, and never comes back.
    #[test]
    fn thresholds() {
        let graph = small_net();
        let found = crate::weights::tensors::find(&graph, |_| false);
        let quality = vec![0.5, 1.0, 2.0];
        let rounds = Rounds { rounds: 1, epochs: 1, learning_rate_factor: 0.1, alternate: false, quality };
        let weights = found.elements(&graph);
        let all: Vec<Vec<f32>> = found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        let (masks, factor) = rounds.masks(&found, &weights, &all, 0.6).unwrap();
        assert_eq!(zeros(&masks), (0.6 * 6816.0_f64).round() as usize);
        for ((weights, mask), q) in weights.iter().zip(&masks).zip(&rounds.quality) {
            let threshold = factor * q * deviation(weights);
            for (weight, mask) in weights.iter().zip(mask) {
                let is_below = f64::from(weight.abs()) <= threshold * (1.0 + 1e-6);
                assert_eq!(is_below, *mask <= 0.0, "{weight} at {threshold}");
            }
        }
        let mut first = all.clone();
        first[2][100..200].fill(0.0);
        let (masks, _) = rounds.masks(&found, &weights, &first, 0.2).unwrap();
        assert!(masks[2][100..200].iter().all(|mask| mask.to_bits() == 0));
        assert_eq!(zeros(&masks), 1363);
        let error = rounds.masks(&found, &weights, &all, 0.9999).unwrap_err().to_string();
        assert!(error.contains("one weight of each tensor stays"), "{error}");
    }

    #[test]
    fn rounds_with_retraining() {
        let (graph, learning) = (small_net(), learning());
        let settings = "rounds = 2\nepochs = 2\nlearning_rate_factor = 0.5\nscan = true\nquality = { conv1 = 0.1 }";
        let reduction = run(&Han, &graph, 0.7, settings, Some(&learning)).unwrap();
        let n = check_masks(&reduction);
        assert!(n >= 4771, "{n} zeros");
        assert!(reduction.notes[2].contains("Sensitivity scan") && reduction.notes[2].contains("\"fc\""));
        assert!(reduction.notes[3].starts_with("Round 1") && reduction.notes[4].starts_with("Round 2"));
        let share = |name: &str| {
            let mask = &reduction.masks.iter().find(|(masked, _)| masked == name).unwrap().1;
            zeros([mask]) as f64 / mask.len() as f64
        };
        assert!(share("conv1.weight") < 0.5 * share("fc.weight"), "a small q prunes less");
        let again = run(&Han, &graph, 0.7, settings, Some(&learning)).unwrap();
        assert_eq!(bits(&reduction.graph), bits(&again.graph));
    }

    /// Convolutions and dense layers in turns: both learn.
    #[test]
    fn layers_may_take_turns() {
        let (graph, learning) = (small_net(), learning());
        let reduction = run(&Han, &graph, 0.5, "rounds = 1\nepochs = 1\nalternate = true", Some(&learning)).unwrap();
        check_masks(&reduction);
        let moved = |name: &str| elements(&reduction.graph, name) != elements(&graph, name);
        assert!(moved("conv1.weight") && moved("conv2.weight") && moved("fc.weight"));
        let error = run(&Han, &graph, 0.5, "quality = { conv9 = 1.0 }", Some(&learning)).unwrap_err().to_string();
        assert!(error.contains("names of: conv1, conv2, fc, found conv9"), "{error}");
    }
}
