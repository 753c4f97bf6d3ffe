//! Each image computes as many groups of channels as an agent chooses, layer by layer.

use serde::{Deserialize, Serialize};
use skimp_graph::Graph;
use skimp_graph::rewrite::fold_constants;
use skimp_train::{Mode, Model, TrainError, policy};

use crate::channels::Channels;
use crate::filters::{analyze, counts};
use crate::places::{Place, extents, gated, unfused};
use crate::runtime::{Agent, Passes, Policy, Skipper, Switch};
use crate::settings;
use crate::settings::within;
use crate::weights::training::{Shared, lock, shared};
use crate::{
    Learning, Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Refusal, Removes, Request, Runtime,
    RuntimePoint, Target,
};

const NAME: &str = "rnp";

/// How much of the running mean of the loss a batch is.
const SHARE_OF_MEAN: f64 = 0.01;

/// Lets each image compute a prefix of the groups of channels of each layer, as an agent chooses by the means of what the layer
/// reads; the others are zeros.
///
/// An agent encodes these means layer by layer (64 numbers), a recurrent network that all layers share (128) and a decoder (32)
/// make them Q-values of `groups` actions. Action `i` computes the groups 1 to `i` and is rewarded with `−(i − 1) · penalty`; after
/// the last layer comes `−α` times the cross-entropy, `α` one over its running mean. The network is trained under random actions
/// first, then in turn the agent (ε-greedy, ε from 1 to 0.1, Huber loss, a target network that follows by 0.005) and the network
/// under what the agent does. Executed are the operations of outputs that are computed, over inputs that were.
///
/// # Source
/// Lin, Rao, Lu and Zhou, "Runtime Neural Pruning", NIPS 2017, with the sizes and rates of a public reproduction.
/// Differs: layers that read the images compute everything, as do those whose channels are joined with others; several
/// penalties give several points, of which one must meet the target.
#[derive(Debug)]
pub(super) struct Rnp;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Groups of channels of a layer.
    groups: usize,
    /// What computing one more group costs; one point for each.
    penalties: Vec<f64>,
    /// Turns of the network and the agent.
    rounds: u64,
    /// Passes of the network over the training images, in each turn.
    epochs: u64,
    /// Passes of the agent.
    agent_epochs: u64,
    /// Learning rate of the agent.
    agent_rate: f64,
    /// The chance that an action is drawn, at the end.
    epsilon: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: 4,
            penalties: vec![0.02, 0.1, 0.5],
            rounds: 2,
            epochs: 1,
            agent_epochs: 2,
            agent_rate: 1e-4,
            epsilon: 0.1,
        }
    }
}

impl Method for Rnp {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "each image computes as many groups of channels as an agent chooses; accuracy against mean operations",
            source: "Lin, Rao, Lu and Zhou, \"Runtime Neural Pruning\", NIPS 2017, with the sizes and rates of a public \
                     reproduction. Differs: the first layer and joined channels are always computed",
            removes: Removes::Operations,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        toml::Table::try_from(Settings::default()).unwrap_or_default()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "groups", settings.groups, 2..=64)?;
        within(NAME, "penalties", settings.penalties.len(), 1..=64)?;
        settings.penalties.iter().try_for_each(|&penalty| within(NAME, "penalties", penalty, 0.0..=1e6).map(|_| ()))?;
        within(NAME, "rounds", settings.rounds, 1..=1000)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "agent_epochs", settings.agent_epochs, 1..=1_000_000)?;
        within(NAME, "agent_rate", settings.agent_rate, 0.0..=1.0)?;
        within(NAME, "epsilon", settings.epsilon, 0.0..=1.0)?;
        let Target::Macs(fraction) = request.target else {
            return Err(ReduceError::WrongTarget {
                method: NAME.to_owned(),
                expected: "macs= (the mean of what images compute)".to_owned(),
                target: request.target.to_string(),
            });
        };
        let learning = request.learning_of(self)?;
        let folded = fold_constants(graph);
        let Some(accuracy) = learning.accuracy(&folded)? else {
            return Err(ReduceError::Data {
                method: NAME.to_owned(),
                expected: "images to measure on (--accuracy-images N)".to_owned(),
                found: "none".to_owned(),
            });
        };
        let channels = analyze(&folded, request)?;
        let plan = Plan::of(&channels, learning, settings.groups)?;
        let mut points = Vec::with_capacity(settings.penalties.len());
        for &penalty in &settings.penalties {
            points.push(plan.point(penalty, learning, request.seed, &settings)?);
        }
        let macs = counts(&folded)?.macs;
        let least = points.iter().map(|point| point.macs).fold(f64::INFINITY, f64::min);
        if least > fraction * macs as f64 {
            return Err(ReduceError::Target {
                target: request.target.to_string(),
                cause: "no penalty led to so few operations: set \"penalties\" higher".to_owned(),
                reached: format!("{least:.0} of {macs}, {:.4}", least / macs as f64),
            });
        }
        let refused = channels.refused().iter().cloned().chain(plan.refused).collect();
        let notes = vec![format!(
            "Each image skips a part of {} layers: there is no smaller network, and batches run no faster.",
            plan.switches.len()
        )];
        let runtime = Some(Runtime { macs, accuracy, points });
        Ok(Reduction { graph: graph.clone(), masks: Vec::new(), groups: Vec::new(), refused, notes, runtime })
    }
}

/// What of a node's operations is executed.
#[derive(Debug)]
struct Operations {
    macs: f64,
    /// The switches whose channels it makes, or reads.
    switches: Vec<usize>,
}

/// The layers that are switched.
struct Plan<'c, 'g> {
    channels: &'c Channels<'g>,
    switches: Vec<Switch>,
    keep: Vec<String>,
    operations: Vec<Operations>,
    refused: Vec<Refusal>,
    n_actions: usize,
}

impl<'c, 'g> Plan<'c, 'g> {
    fn of(channels: &'c Channels<'g>, learning: &Learning<'_>, n_actions: usize) -> Result<Self, ReduceError> {
        let graph = channels.graph();
        let (nodes, producers) = (graph.nodes(), graph.producers());
        let mut refused = Vec::new();
        let mut found: Vec<(Place, Place, usize)> = Vec::new();
        for (at, group) in channels.groups().iter().enumerate() {
            let maker = group.layers[0];
            let input = nodes[maker].inputs.first().copied().flatten();
            let before = input.and_then(|value| Some(Place { value, node: producers[value.0]?, units: Vec::new() }));
            let result = match (gated(channels, at), before) {
                (Err(reason), _) => Err(reason),
                (Ok(_), Some(before)) if nodes[before.node].op.renames() => Err("what it reads is reshaped before it"),
                (Ok(_), None) => Err("it reads the images"),
                (Ok(place), Some(before)) => Ok((before, place, at)),
            };
            match result {
                Ok(places) => found.push(places),
                Err(reason) => refused.push(Refusal { node: nodes[maker].name.clone(), reason: reason.to_owned() }),
            }
        }
        if found.is_empty() {
            let cause =
                "no layer can be skipped in parts: their channels are joined, or they read the images".to_owned();
            return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
        }
        // Decided where what they read is known.
        found.sort_by_key(|(before, _, at)| (before.node, *at));
        let keep = unfused(graph, found.iter().flat_map(|(before, place, _)| [before, place]));
        let model = learning.model(graph, &keep)?;
        let switch = |(before, place, _): &(Place, Place, usize)| -> Result<Switch, ReduceError> {
            let ([n_inputs, ..], [n_channels, ..]) = (extents(&model, graph, before)?, extents(&model, graph, place)?);
            let [input, output] = [before, place].map(|place| nodes[place.node].name.clone());
            Ok(Switch { input, n_inputs, output, n_channels })
        };
        let switches = found.iter().map(switch).collect::<Result<Vec<Switch>, ReduceError>>()?;
        let touches = |node: usize, group: &crate::channels::Group| {
            group.layers.contains(&node)
                || group.units.iter().any(|unit| unit.reads.iter().any(|slice| slice.node == node))
        };
        let layers = counts(graph)?.layers;
        let of_node = |(node, name): (usize, &str)| {
            let macs = layers.iter().find(|layer| layer.name == name)?.macs as f64;
            let switches = found.iter().enumerate();
            let switches = switches.filter(|(_, (_, _, at))| touches(node, &channels.groups()[*at])).map(|(at, _)| at);
            (macs > 0.0).then(|| Operations { macs, switches: switches.collect() })
        };
        let operations = nodes.iter().map(|node| node.name.as_str()).enumerate().filter_map(of_node).collect();
        Ok(Self { channels, switches, keep, operations, refused, n_actions })
    }

    /// Operations of an image under these actions.
    fn executed(&self, actions: &[usize]) -> f64 {
        let share = |&at: &usize| {
            let switch = &self.switches[at];
            switch.n_computed(actions[at], self.n_actions) as f64 / switch.n_channels as f64
        };
        self.operations.iter().map(|node| node.macs * node.switches.iter().map(share).product::<f64>()).sum()
    }

    /// Trains a network and an agent with a penalty, and measures them.
    fn point(
        &self,
        penalty: f64,
        learning: &Learning<'_>,
        seed: u64,
        settings: &Settings,
    ) -> Result<RuntimePoint, ReduceError> {
        let mut model = learning.model(self.channels.graph(), &self.keep)?;
        let n_inputs: Vec<usize> = self.switches.iter().map(|switch| switch.n_inputs).collect();
        let agent = Agent::new(&n_inputs, self.n_actions, settings.agent_rate, seed);
        let state = shared(Policy::new(agent, self.switches.clone(), self.n_actions, seed));
        let hook = || Box::new(Skipper::new(state.clone()));
        let mut mean_loss = None;
        let per_round = settings.agent_epochs * learning.training.steps_per_epoch();
        for round in 0..settings.rounds {
            let passes = Box::new(Passes { policy: state.clone() });
            let lesson = Lesson {
                epochs: settings.epochs,
                tensor_hooks: vec![hook()],
                param_hooks: vec![passes],
                ..Lesson::default()
            };
            learning.train_model(&mut model, lesson)?;
            model.take_hooks();
            model.add_hook(hook());
            for step in 0..per_round {
                let done = (round * per_round + step) as f64 / (settings.rounds * per_round) as f64;
                lock(&state).epsilon = 1.0 + (settings.epsilon - 1.0) * done;
                self.teach(&mut model, &state, (learning, step), penalty, &mut mean_loss)?;
            }
            model.take_hooks();
        }
        model.add_hook(hook());
        lock(&state).epsilon = 0.0;
        let (accuracy, macs) = self.measure(&mut model, &state, learning)?;
        lock(&state).is_off = true;
        let (whole_accuracy, _) = self.measure(&mut model, &state, learning)?;
        Ok(RuntimePoint { penalty, macs, accuracy, whole_accuracy })
    }

    /// One update of the agent.
    fn teach(
        &self,
        model: &mut Model,
        state: &Shared<Policy>,
        (learning, step): (&Learning<'_>, u64),
        penalty: f64,
        mean_loss: &mut Option<f64>,
    ) -> Result<(), ReduceError> {
        if learning.observer.interrupted() {
            let epoch = step / learning.training.steps_per_epoch() + 1;
            return Err(TrainError::Interrupted { epoch, checkpoint: None }.into());
        }
        let batch = learning.training.batch(step)?;
        let mut precision = policy::create(&learning.recipe.precision)?;
        model.forward_images(&batch.images, &batch.indices, Mode::Eval, &mut *precision)?;
        let losses = cross_entropies(model.logits(), &batch.labels);
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        let running = mean_loss.map_or(mean, |before| before + SHARE_OF_MEAN * (mean - before));
        *mean_loss = Some(running);
        let scale = 1.0 / running.max(1e-9);
        let mut state = lock(state);
        let mut episodes = std::mem::take(&mut state.episodes);
        for (episode, loss) in episodes.iter_mut().zip(losses) {
            episode.rewards = episode.actions.iter().map(|&action| -penalty * action as f64).collect();
            if let Some(last) = episode.rewards.last_mut() {
                *last -= scale * loss;
            }
        }
        state.agent.learn(&episodes);
        Ok(())
    }

    /// Share of the validation images that are classified right, and mean operations.
    fn measure(
        &self,
        model: &mut Model,
        state: &Shared<Policy>,
        learning: &Learning<'_>,
    ) -> Result<(f64, f64), ReduceError> {
        let Some(validation) = &learning.validation else { return Ok((0.0, 0.0)) };
        let mut precision = policy::create(&learning.recipe.precision)?;
        let (mut n_correct, mut n_images, mut macs) = (0, 0_usize, 0.0);
        for step in 0..validation.steps_per_epoch() {
            let batch = validation.batch(step)?;
            model.forward_images(&batch.images, &batch.indices, Mode::Eval, &mut *precision)?;
            let n_classes = model.n_classes();
            for (logits, &label) in model.logits().chunks_exact(n_classes.max(1)).zip(&batch.labels) {
                let best = (0..n_classes).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
                n_correct += usize::from(best == Some(label));
            }
            n_images += batch.labels.len();
            macs += lock(state).episodes.iter().map(|episode| self.executed(&episode.actions)).sum::<f64>();
        }
        Ok((n_correct as f64 / n_images.max(1) as f64, macs / n_images.max(1) as f64))
    }
}

/// The cross-entropy of each image's logits with its label.
fn cross_entropies(logits: &[f32], labels: &[usize]) -> Vec<f64> {
    let n_classes = logits.len() / labels.len().max(1);
    let of = |(logits, &label): (&[f32], &usize)| {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
        sum.ln() - f64::from(logits[label] - largest)
    };
    logits.chunks_exact(n_classes.max(1)).zip(labels).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::testing::{learning, request, small_net};

    #[test]
    fn losses_are_cross_entropies() {
        let losses = cross_entropies(&[0.0, 0.0, 2.0, 0.0], &[1, 0]);
        let expected = [2.0_f64.ln(), (1.0 + (-2.0_f64).exp()).ln()];
        assert!(losses.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{losses:?}");
    }

    /// conv2 is switched; the operations of conv2 and fc follow its groups, conv1 stays. A high penalty leads to a single group,
    /// none to more; the same numbers on any threads; the network stays what it was.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let run = |settings: &str, target: Target, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings: toml::Table = toml::from_str(settings).unwrap();
            let request = Request { settings: &settings, learning: Some(&learning), ..request(target) };
            pool.install(|| Rnp.reduce(&graph, &request))
        };
        let settings = "penalties = [0.0, 5.0]\nepochs = 4\nagent_epochs = 30\nagent_rate = 0.002";
        let reduction = run(settings, Target::Macs(0.5), 1).unwrap();
        assert!(reduction.graph == graph && reduction.groups.is_empty());
        assert!(
            reduction.refused.iter().any(|refusal| refusal.node == "conv1" && refusal.reason == "it reads the images")
        );
        let runtime = reduction.runtime.clone().unwrap();
        let conv1 = 28 * 28 * 8 * 9;
        let (conv2, fc) = (14 * 14 * 12 * 8 * 9, 588 * 10);
        assert_eq!(runtime.macs, conv1 + conv2 + fc);
        let [free, dear] = [&runtime.points[0], &runtime.points[1]];
        assert!((dear.macs - (conv1 as f64 + (conv2 + fc) as f64 / 4.0)).abs() < 1e-6, "{dear:?}");
        assert!(free.macs > dear.macs && free.macs <= runtime.macs as f64, "{free:?}");
        assert!(free.accuracy > 0.2 && free.whole_accuracy > 0.2, "{free:?}");
        let [once, again] =
            [1, 3].map(|n| run("penalties = [0.1]\nagent_epochs = 2", Target::Macs(1.0), n).unwrap().runtime);
        assert_eq!(once, again);

        let told = run("penalties = [0.0]\nagent_rate = 0.0", Target::Macs(0.01), 1).unwrap_err().to_string();
        assert!(told.contains("set \"penalties\" higher"), "{told}");
        let told = run("", Target::Channels(0.5), 1).unwrap_err().to_string();
        assert!(told.contains("macs="), "{told}");
    }
}
