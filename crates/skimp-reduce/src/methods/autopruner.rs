//! Gates that are trained with the network say which channels go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_graph::Graph;
use skimp_graph::rewrite::fold_constants;
use skimp_train::policy;

use crate::channels::Channels;
use crate::filters::{self, Scores};
use crate::gates::{Gate, GateMemory, GateRule, Gates};
use crate::places::{Place, extents, gated, unfused};
use crate::settings;
use crate::settings::{Auto, setting_error, within};
use crate::weights::training::{Shared, lock, shared};
use crate::{Learning, Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Refusal, Removes, Request, Scope};

const NAME: &str = "autopruner";

/// Trains a gate on each group's channels together with the network, and removes the channels whose gates close.
///
/// A gate multiplies what the next layer reads by `s = sigmoid(alpha · v)`, with `v` a convolution as large as the value's mean
/// over the batch, after a 2x2 max-pool. The loss is the recipe's plus `λ (mean(s) − r)²`, `r` the share that the target leaves
/// of the group. Every 20 steps the codes of the last 20 (`s` from 0.5 on stays) vote: `λ` becomes 100 times the distance of
/// the share of zeros from `1 − r`; a gate of too many zeros (95 %, five less after each time, to `1 − r`) is hardened, and so is
/// one with fewer than 90 % of its channels below 0.2 or above 0.8 late in the run. In evaluation the code takes the place of
/// `s`. Of each group as many channels stay as the target says, those with the largest mean of the last 20 `s`; nothing of the
/// gates stays.
///
/// # Source
/// Luo and Wu, "AutoPruner: An End-to-End Trainable Filter Pruning Method for Efficient Deep Model Inference", Pattern
/// Recognition 107, 2020, with the values of the released code (those of MobileNet V2 where networks differ).
/// Differs: widths are those of the target, not of the code; alpha grows over the run, however long; "late" is from an eighth of
/// it on, where the release counts 50 steps of alpha.
#[derive(Debug)]
pub(super) struct Autopruner;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Unit {
    /// All gates are trained together.
    All,
    /// One gate after the other.
    Layer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Passes over the training images, for each unit.
    epochs: u64,
    /// What is trained at a time.
    unit: Unit,
    /// Alpha at first and at last.
    alpha_start: f64,
    alpha_end: f64,
    /// Steps after which alpha grows.
    alpha_every: u64,
    /// What hardening adds to alpha.
    harden: f64,
    /// Learning rate of the gates; the recipe's if "auto".
    gate_learning_rate: Auto,
}

impl Method for Autopruner {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "gates on channels are trained with the network until they are open or closed; what is closed goes",
            source: "Luo and Wu, \"AutoPruner\", Pattern Recognition 107, 2020, with the values of the released code. Differs: \
                     the target says how many channels stay, the gates which",
            removes: Removes::Channels,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 7] = [
            ("epochs", 5.into()),
            ("unit", "all".into()),
            ("alpha_start", 0.1.into()),
            ("alpha_end", 100.0.into()),
            ("alpha_every", 100.into()),
            ("harden", 1.0.into()),
            ("gate_learning_rate", "auto".into()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "alpha_start", settings.alpha_start, 1e-6..=1e6)?;
        within(NAME, "alpha_end", settings.alpha_end, settings.alpha_start..=1e6)?;
        within(NAME, "alpha_every", settings.alpha_every, 1..=1 << 40)?;
        within(NAME, "harden", settings.harden, 0.0..=1e6)?;
        within(NAME, "gate_learning_rate", settings.gate_learning_rate.number().unwrap_or(1.0), 0.0..=1e6)?;
        if request.scope == Scope::Global {
            let expected = "uniform: gates are trained for a share of each group";
            return Err(setting_error(NAME, "scope", expected, "global"));
        }
        let learning = request.learning_of(self)?;
        let folded = fold_constants(graph);
        // How many channels of each group stay does not depend on which.
        let mut places = BTreeMap::new();
        let planned = filters::choose(self, &folded, request, |channels| {
            let mut refused = Vec::new();
            let mut scores: Scores = Vec::with_capacity(channels.groups().len());
            for (at, group) in channels.groups().iter().enumerate() {
                let found = gated(channels, at);
                scores.push(found.is_ok().then(|| vec![1.0; group.units.len()]));
                match found {
                    Ok(place) => {
                        places.insert(at, place);
                    }
                    Err(reason) => {
                        let node = channels.graph().nodes()[group.layers[0]].name.clone();
                        refused.push(Refusal { node, reason: reason.to_owned() });
                    }
                }
            }
            Ok((scores, refused))
        })?;
        places.retain(|&at, _| !planned.gone[at].is_empty());
        if places.is_empty() {
            return Ok(planned.reduction(graph.clone(), request, Vec::new()));
        }
        let n_gone: BTreeMap<usize, usize> = places.keys().map(|&at| (at, planned.gone[at].len())).collect();
        let (trained, found) = train(&planned.channels, &places, &n_gone, learning, request, &settings)?;
        // The same groups, with the weights that were trained.
        let n_undecided = found.values().map(|trained| trained.n_undecided).sum::<usize>();
        let n_channels = found.values().map(|trained| trained.scores.len()).sum::<usize>();
        let chosen = filters::choose(self, &trained, request, |channels| {
            let refused = planned.unscored.clone();
            let of = |at: usize| found.get(&at).map(|trained| trained.scores.clone());
            Ok(((0..channels.groups().len()).map(of).collect::<Scores>(), refused))
        })?;
        let reduced = chosen.channels.remove(&chosen.gone)?;
        let note = format!(
            "{} gates were trained over {n_channels} channels, of which {n_undecided} are neither below 0.2 nor above 0.8; the \
             weights were trained with them.",
            found.len()
        );
        Ok(chosen.reduction(reduced, request, vec![note]))
    }
}

/// What the training of a gate found.
#[derive(Debug)]
struct Trained {
    /// For each unit of the group how open its gate is.
    scores: Vec<f64>,
    n_undecided: usize,
}

/// Trains the network with its gates, unit by unit; the network and what the gates of the groups found.
fn train(
    channels: &Channels<'_>,
    places: &BTreeMap<usize, Place>,
    n_gone: &BTreeMap<usize, usize>,
    learning: &Learning<'_>,
    request: &Request<'_>,
    settings: &Settings,
) -> Result<(Graph, BTreeMap<usize, Trained>), ReduceError> {
    let graph = channels.graph();
    let scale = policy::create(&learning.recipe.precision)?.loss_scale();
    if (scale - 1.0).abs() > 0.0 {
        let found = &learning.recipe.precision;
        return Err(setting_error(NAME, "precision", "one without loss scaling, such as fp32", found));
    }
    let mut model = learning.model(graph, &unfused(graph, places.values()))?;
    let per_unit = match settings.unit {
        Unit::All => places.len(),
        Unit::Layer => 1,
    };
    let gates: Shared<Vec<Gate>> = shared(Vec::new());
    let mut found = BTreeMap::new();
    let all: Vec<(&usize, &Place)> = places.iter().collect();
    for unit in all.chunks(per_unit.max(1)) {
        let rule = GateRule {
            alpha: (settings.alpha_start, settings.alpha_end),
            every: settings.alpha_every,
            harden: settings.harden,
            n_steps: settings.epochs * learning.training.steps_per_epoch(),
            learning_rate: settings.gate_learning_rate.number().unwrap_or(learning.recipe.learning_rate),
        };
        let first = lock(&gates).len();
        for (at, place) in unit {
            let n = channels.groups()[**at].units.len();
            let keep = 1.0 - n_gone[*at] as f64 / n as f64;
            let extents = extents(&model, graph, place)?;
            let layer = &graph.nodes()[place.node].name;
            lock(&gates).push(Gate::new(layer, extents, keep, rule.clone(), request.seed));
        }
        let hook = Gates { gates: gates.clone() };
        let memory = GateMemory { gates: gates.clone() };
        let lesson = Lesson {
            epochs: settings.epochs,
            tensor_hooks: vec![Box::new(hook)],
            param_hooks: vec![Box::new(memory)],
            ..Lesson::default()
        };
        learning.train_model(&mut model, lesson)?;
        model.take_hooks();
        for ((at, place), gate) in unit.iter().zip(&mut lock(&gates)[first..]) {
            let trained = result(channels, **at, place, gate);
            let mut order: Vec<usize> = (0..trained.scores.len()).collect();
            order.sort_by(|&a, &b| trained.scores[a].total_cmp(&trained.scores[b]).then(a.cmp(&b)));
            let gone = &order[..n_gone[*at]];
            gate.decide(place.units.iter().map(|(_, unit)| !gone.contains(unit)).collect());
            found.insert(**at, trained);
        }
    }
    Ok((model.to_graph()?, found))
}

/// How open the gate of each unit is: the mean of its channels.
fn result(channels: &Channels<'_>, at: usize, place: &Place, gate: &Gate) -> Trained {
    let mut sums = vec![(0.0, 0_usize); channels.groups()[at].units.len()];
    for (mean, &(_, unit)) in gate.means().into_iter().zip(&place.units) {
        sums[unit] = (sums[unit].0 + mean, sums[unit].1 + 1);
    }
    let scores = sums.into_iter().map(|(sum, n)| sum / n.max(1) as f64).collect();
    let (low, high) = crate::gates::DECIDED;
    Trained { scores, n_undecided: gate.last().iter().filter(|&&s| s >= low && s <= high).count() }
}

#[cfg(test)]
mod tests {
    use skimp_cpu::CpuExecutor;
    use skimp_graph::{Executor, Tensor};
    use skimp_train::Mode;

    use super::*;
    use crate::Target;
    use crate::weights::testing::{bits, learning, request, small_net};

    fn parsed(text: &str) -> Settings {
        settings::parse(NAME, &Autopruner.settings(), &toml::from_str(text).unwrap()).unwrap()
    }

    /// On a network, at half: the gates end with a mean near a half and decided, and the network with their code answers as the
    /// one without the channels does.
    #[test]
    fn gates_are_decided_and_removed() {
        let (graph, learning) = (small_net(), learning());
        let channels = Channels::of(&graph, |_| false).unwrap();
        let places: BTreeMap<usize, Place> = (0..2).map(|at| (at, gated(&channels, at).unwrap())).collect();
        let names: Vec<&str> = places.values().map(|place| graph.nodes()[place.node].name.as_str()).collect();
        assert_eq!(names, ["pool1", "pool2"]);
        let n_gone = BTreeMap::from([(0, 4), (1, 6)]);
        let request = request(Target::Channels(0.5));
        let settings = parsed("epochs = 100\nalpha_every = 4");
        let (trained, found) = train(&channels, &places, &n_gone, &learning, &request, &settings).unwrap();
        let mut gone = vec![Vec::new(); 2];
        for (at, found) in &found {
            let n = found.scores.len() as f64;
            let mean = found.scores.iter().sum::<f64>() / n;
            assert!((mean - 0.5).abs() < 0.02 && (found.n_undecided as f64) < 0.1 * n, "{at}: {found:?}");
            gone[*at] = (0..found.scores.len()).filter(|&unit| found.scores[unit] < 0.5).collect();
            assert_eq!(gone[*at].len(), n_gone[at]);
        }
        let reduced = Channels::of(&trained, |_| false).unwrap().remove(&gone).unwrap();
        let batch = learning.validation.as_ref().unwrap().batch(0).unwrap();
        let images = Tensor::from_f32(batch.shape.to_vec(), batch.images.clone());
        let expected = CpuExecutor::new(&reduced).unwrap().run(&[images]).unwrap().swap_remove(0);
        let keep: Vec<String> = places.values().map(|place| graph.value(place.value).name.clone()).collect();
        let mut model = learning.model(&trained, &keep).unwrap();
        let rule = GateRule { alpha: (1.0, 1.0), every: 1, harden: 0.0, n_steps: 1, learning_rate: 0.0 };
        let gates = places.iter().map(|(at, place)| {
            let extents = extents(&model, &graph, place).unwrap();
            let mut gate = Gate::new(&graph.nodes()[place.node].name, extents, 0.5, rule.clone(), 1);
            gate.decide(place.units.iter().map(|(_, unit)| !gone[*at].contains(unit)).collect());
            gate
        });
        let gates = shared(gates.collect::<Vec<_>>());
        model.add_hook(Box::new(Gates { gates }));
        let mut policy = policy::create("fp32").unwrap();
        model.forward(&batch.images, batch.labels.len(), Mode::Eval, &mut *policy).unwrap();
        let largest = expected.as_f32().unwrap().iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        for (found, expected) in model.logits().iter().zip(expected.as_f32().unwrap()) {
            assert!((found - expected).abs() < 1e-5 * largest, "{found}, {expected}");
        }
    }

    /// The whole method: widths are those asked for, all or one gate at a time, with the same bits again.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |settings: &str, scope, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings: toml::Table = toml::from_str(settings).unwrap();
            let half = request(Target::Macs(0.5));
            let request = Request { round_to: 1, scope, settings: &settings, learning: Some(&learning), ..half };
            pool.install(|| Autopruner.reduce(&graph, &request))
        };
        for unit in ["all", "layer"] {
            let settings = format!("epochs = 4\nalpha_every = 1\nunit = \"{unit}\"");
            let reduction = prune(&settings, Scope::Uniform, 1).unwrap();
            assert!(reduction.groups.iter().all(|group| group.after < group.before), "{:?}", reduction.groups);
            assert!(reduction.notes[0].starts_with("2 gates were trained over 20 channels"), "{:?}", reduction.notes);
            assert_eq!(bits(&reduction.graph), bits(&prune(&settings, Scope::Uniform, 3).unwrap().graph));
            let macs = |graph: &Graph| filters::counts(graph).unwrap().macs;
            assert!(2 * macs(&reduction.graph) <= macs(&graph));
        }
        let told = prune("", Scope::Global, 1).unwrap_err().to_string();
        assert!(told.contains("expected uniform"), "{told}");
    }
}
