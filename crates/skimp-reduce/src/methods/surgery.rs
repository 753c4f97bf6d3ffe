//! Dynamic network surgery.

use serde::Deserialize;
use skimp_graph::Graph;
use skimp_numerics::rng::{stream, uniform_f64};
use skimp_train::Param;
use skimp_train::optimizer::{Memory, ParamHook, UpdateOf, recalled};

use crate::settings;
use crate::settings::{Auto, within};
use crate::weights::scope::n_zeros;
use crate::weights::select::{cut_smallest, magnitudes};
use crate::weights::training::{ForwardMasks, Masked, Place, Shared, as_f32, as_f64, lock, places, shared};
use crate::weights::{Start, WeightTensor, apply, reduction};
use crate::{Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "surgery";

/// Connections go while the network is trained, and come back where that was wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surgery;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Passes over the training images.
    epochs: u64,
    /// The threshold's centre in deviations above the mean.
    c_rate: Auto,
    /// How far the thresholds lie from the centre, as a fraction of it.
    margin: f64,
    /// σ(iter) = (1 + gamma · iter)^(−power), the chance that a layer's mask is renewed.
    gamma: f64,
    power: f64,
    /// Where in the run masks freeze, as a fraction of its steps.
    stop: f64,
    /// Steps between new thresholds; 0 for none.
    refresh: u64,
}

impl Method for Surgery {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "connections go while the network is trained, and come back where they grow again",
            source: "Y. Guo, A. Yao, Y. Chen, \"Dynamic Network Surgery for Efficient DNNs\", NIPS 2016, with the thresholds of \
                     the released code (0.9 and 1.1 times the centre). Differs: biases stay; without c_rate each layer's centre \
                     lies where the target's fraction of its weights is below the lower threshold, and the masks freeze at \
                     exactly that many zeros.",
            removes: Removes::Weights,
            needs: Needs::Training,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 7] = [
            ("epochs", 10.into()),
            ("c_rate", "auto".into()),
            ("margin", 0.1.into()),
            ("gamma", 1e-4.into()),
            ("power", 1.0.into()),
            ("stop", 0.75.into()),
            ("refresh", 0.into()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "margin", settings.margin, 0.0..=0.99)?;
        within(NAME, "gamma", settings.gamma, 0.0..=1e6)?;
        within(NAME, "power", settings.power, 0.0..=100.0)?;
        within(NAME, "stop", settings.stop, 0.0..=1.0)?;
        within(NAME, "c_rate", settings.c_rate.number().unwrap_or(0.0), -1e6..=1e6)?;
        let start = Start::new(NAME, graph, request)?;
        let learning = start.learning("images with labels to train on")?;
        let mut model = learning.model(&start.graph, &[])?;
        let places = places(&model, &start.graph, &start.found)?;
        let n_steps = settings.epochs * learning.training.steps_per_epoch();
        let rule = Rule {
            stop: ((settings.stop * n_steps as f64) as u64).min(n_steps - 1),
            settings: settings.clone(),
            sparsity: start.sparsity,
            seed: request.seed,
        };
        let elements = start.found.elements(&start.graph);
        let layers: Vec<Layer> = start
            .found
            .tensors
            .iter()
            .zip(elements)
            .map(|(tensor, weights)| Layer::new(&rule, &start.graph, tensor, weights))
            .collect();
        let masked = places.iter().zip(&start.found.tensors).map(|(place, tensor)| Masked::all(place, tensor.len()));
        let masks = shared(masked.collect::<Vec<_>>());
        let state = shared(layers);
        let hook = Surgeon { rule, places: places.clone(), masks: masks.clone(), layers: state.clone() };
        let lesson = Lesson {
            epochs: settings.epochs,
            tensor_hooks: vec![Box::new(ForwardMasks { masks: masks.clone() })],
            param_hooks: vec![Box::new(hook)],
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
        let (mut n_cut, mut n_spliced) = (0, 0);
        for layer in &*lock(&state) {
            (n_cut, n_spliced) = (n_cut + layer.n_cut, n_spliced + layer.n_spliced);
        }
        let mut note = format!("{n_cut} connections were cut and {n_spliced} spliced while it was trained");
        if settings.c_rate.number().is_some() {
            note.push_str("; how many are zero follows from c_rate, not from the target");
        }
        Ok(reduction(trained, found, masks, vec![note + "."]))
    }
}

/// When and how masks change.
#[derive(Clone, Debug)]
struct Rule {
    settings: Settings,
    sparsity: f64,
    seed: u64,
    /// The step at which masks freeze.
    stop: u64,
}

impl Rule {
    /// The chance that a layer's mask is renewed in an iteration.
    fn sigma(&self, iteration: u64) -> f64 {
        (1.0 + self.settings.gamma * iteration as f64).powf(-self.settings.power)
    }

    /// Whether a layer's mask is renewed in an iteration: one draw for each layer.
    fn is_due(&self, name: &str, iteration: u64) -> bool {
        let draw = uniform_f64(self.seed, stream(&format!("surgery/{name}")), iteration);
        iteration < self.stop && draw < self.sigma(iteration)
    }

    /// The lower and the upper threshold for weights, pooled with the biases.
    fn thresholds(&self, weights: &[f32], biases: &[f32]) -> (f32, f32) {
        let margin = self.settings.margin;
        let centre = match self.settings.c_rate.number() {
            Some(c_rate) => {
                let (mean, deviation) = moments(weights, biases);
                (mean + c_rate * deviation).max(0.0)
            }
            None => {
                let mut sorted = magnitudes(weights);
                sorted.sort_by(f32::total_cmp);
                let n = n_zeros(self.sparsity, sorted.len());
                let below = n.checked_sub(1).map_or(0.0, |last| f64::from(sorted[last]));
                below / (1.0 - margin)
            }
        };
        (((1.0 - margin) * centre) as f32, ((1.0 + margin) * centre) as f32)
    }
}

/// Mean and standard deviation of the magnitudes of all entries that are not zero.
fn moments(weights: &[f32], biases: &[f32]) -> (f64, f64) {
    let entries = || weights.iter().chain(biases).filter(|x| x.abs() > 0.0).map(|x| f64::from(x.abs()));
    let n = entries().count().max(1) as f64;
    let mean = entries().sum::<f64>() / n;
    (mean, (entries().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// h of equation 3, with the comparisons of the released code.
fn renewed(magnitude: f32, (low, high): (f32, f32), before: f32) -> f32 {
    if magnitude <= low {
        0.0
    } else if magnitude > high {
        1.0
    } else {
        before
    }
}

/// One weight tensor under surgery.
#[derive(Clone, Debug)]
struct Layer {
    name: String,
    biases: Vec<f32>,
    thresholds: (f32, f32),
    n_cut: usize,
    n_spliced: usize,
}

impl Layer {
    fn new(rule: &Rule, graph: &Graph, tensor: &WeightTensor, weights: &[f32]) -> Self {
        let bias = tensor.nodes.first().and_then(|&idx| graph.nodes()[idx].inputs.get(2).copied().flatten());
        let biases = bias.and_then(|id| graph.constant(id)).and_then(|tensor| tensor.as_f32()).unwrap_or_default();
        let thresholds = rule.thresholds(weights, biases);
        Self { name: tensor.name.clone(), biases: biases.to_vec(), thresholds, n_cut: 0, n_spliced: 0 }
    }

    /// Renews a mask by weights in the same order.
    fn renew(&mut self, weights: &[f32], mask: &mut [f32]) {
        for (weight, mask) in weights.iter().zip(mask) {
            let after = renewed(weight.abs(), self.thresholds, *mask);
            self.n_cut += usize::from(after < *mask);
            self.n_spliced += usize::from(after > *mask);
            *mask = after;
        }
    }
}

/// Renews masks before the updates of a step; gradients are left as they are, so that what is cut goes on learning.
#[derive(Debug)]
struct Surgeon {
    rule: Rule,
    places: Vec<Place>,
    masks: Shared<Vec<Masked>>,
    layers: Shared<Vec<Layer>>,
}

impl ParamHook for Surgeon {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        let Some(position) = self.places.iter().position(|place| place.param == of.param) else { return };
        let iteration = of.update - 1;
        let (mut layers, mut masks) = (lock(&self.layers), lock(&self.masks));
        let (layer, mask) = (&mut layers[position], &mut masks[position].mask);
        let refresh = self.rule.settings.refresh;
        if refresh > 0 && iteration > 0 && iteration.is_multiple_of(refresh) {
            layer.thresholds = self.rule.thresholds(param.values(), &layer.biases);
        }
        if self.rule.is_due(&layer.name, iteration) {
            layer.renew(param.values(), mask);
        }
        if iteration == self.rule.stop && self.rule.settings.c_rate.number().is_none() {
            let scores = magnitudes(&param.graph_values());
            *mask = param.in_storage_order(&cut_smallest(&scores, n_zeros(self.rule.sparsity, scores.len())));
        }
    }

    fn memory(&self) -> Vec<Memory> {
        let (layers, masks) = (lock(&self.layers), lock(&self.masks));
        let of = |(layer, masked): (&Layer, &Masked)| {
            let (low, high) = layer.thresholds;
            let numbers = vec![f64::from(low), f64::from(high), layer.n_cut as f64, layer.n_spliced as f64];
            [(format!("layer/{}", layer.name), numbers), (format!("mask/{}", layer.name), as_f64(&masked.mask))]
        };
        layers.iter().zip(&*masks).flat_map(of).collect()
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        let mut memory = memory.into_iter();
        let (mut layers, mut masks) = (lock(&self.layers), lock(&self.masks));
        for (layer, masked) in layers.iter_mut().zip(&mut *masks) {
            let numbers = recalled(&mut memory, &format!("layer/{}", layer.name), 4)?;
            layer.thresholds = (numbers[0] as f32, numbers[1] as f32);
            (layer.n_cut, layer.n_spliced) = (numbers[2] as usize, numbers[3] as usize);
            masked.mask = as_f32(&recalled(&mut memory, &format!("mask/{}", layer.name), masked.mask.len())?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tensors::find;
    use crate::weights::testing::{bits, check_masks, learning, run, small_net};

    fn rule(text: &str) -> Rule {
        let settings: Settings = settings::parse(NAME, &Surgery.settings(), &toml::from_str(text).unwrap()).unwrap();
        Rule { settings, sparsity: 0.5, seed: 1, stop: 1_000_000 }
    }

    /// The golden values of the sheet's section 1.3 (T12).
    #[test]
    fn sigma() {
        let rule = rule("");
        for (iteration, expected) in [(0, 1.0), (1000, 0.9091), (5000, 0.6667), (10_000, 0.5), (14_000, 0.4167)] {
            let found = rule.sigma(iteration);
            assert!((found - expected).abs() < 1e-4, "iteration {iteration}: {found}, expected {expected}");
        }
        // One draw per layer and iteration: as often as sigma says, within four deviations of a share of 4000 draws.
        let share = (10_000..14_000).filter(|&iteration| rule.is_due("conv1", iteration)).count() as f64 / 4000.0;
        let expected = (rule.sigma(10_000) + rule.sigma(14_000)) / 2.0;
        assert!((share - expected).abs() < 4.0 * (0.25_f64 / 4000.0).sqrt() + 0.005, "{share}, expected {expected}");
        assert!(rule.is_due("conv1", 0) && !Rule { stop: 0, ..rule }.is_due("conv1", 0));
    }

    /// The truth table of hysteresis (T19), and the released code's comparisons at equality.
    #[test]
    fn hysteresis() {
        let thresholds = (0.9, 1.1);
        let table = [
            // Magnitude, mask before, mask after.
            (0.5, 0.0, 0.0),
            (0.5, 1.0, 0.0),
            (1.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            (1.5, 0.0, 1.0),
            (1.5, 1.0, 1.0),
            (0.9, 1.0, 0.0),
            (1.1, 0.0, 0.0),
            (1.1, 1.0, 1.0),
        ];
        for (magnitude, before, after) in table {
            assert_eq!(renewed(magnitude, thresholds, before).to_bits(), f32::to_bits(after), "{magnitude} {before}");
        }
    }

    /// Weights and biases pooled, zeros left out.
    #[test]
    fn thresholds() {
        let (mean, deviation) = moments(&[0.0, -1.0, 2.0, 0.0], &[3.0, 0.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        let (low, high) = rule("c_rate = 2").thresholds(&[0.0, -1.0, 2.0, 0.0], &[3.0, 0.0]);
        let centre = 2.0 + 2.0 * (2.0_f64 / 3.0).sqrt();
        assert!((f64::from(low) - 0.9 * centre).abs() < 1e-6 && (f64::from(high) - 1.1 * centre).abs() < 1e-6);
        assert_eq!(rule("c_rate = -100").thresholds(&[1.0, 2.0], &[]), (0.0, 0.0));
        // Half of the weights are at or below the lower threshold.
        let (low, _) = rule("").thresholds(&[0.4, -0.1, 0.2, 0.3], &[]);
        assert!((low - 0.2).abs() < 1e-6, "{low}");
    }

    /// Sheet 1.5, test 3: a weight that grows from below a to above b is spliced in the next update.
    #[test]
    fn splicing() {
        let graph = small_net();
        let found = find(&graph, |_| false);
        let rule = rule("");
        let mut layer = Layer::new(&rule, &graph, &found.tensors[0], found.elements(&graph)[0]);
        layer.thresholds = (0.9, 1.1);
        let mut mask = vec![1.0; 3];
        layer.renew(&[0.5, 1.0, 2.0], &mut mask);
        assert_eq!(mask, [0.0, 1.0, 1.0]);
        layer.renew(&[1.0, 1.0, 0.1], &mut mask);
        assert_eq!(mask, [0.0, 1.0, 0.0]);
        layer.renew(&[-1.2, 1.0, 1.0], &mut mask);
        assert_eq!((mask, layer.n_cut, layer.n_spliced), (vec![1.0, 1.0, 0.0], 2, 1));
    }

    /// Exact at the end, the same bits again; connections came back. Weights under the mask go on learning, which is what
    /// splicing needs.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |settings: &str| run(&Surgery, &graph, 0.6, settings, Some(&learning)).unwrap();
        let settings = "epochs = 4\nmargin = 0.02";
        let reduction = prune(settings);
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.6 * n).round() as usize).iter().sum();
        assert_eq!(check_masks(&reduction), expected);
        assert_eq!(bits(&reduction.graph), bits(&prune(settings).graph));
        let words: Vec<&str> = reduction.notes[2].split(' ').collect();
        assert!(
            words[0].parse::<usize>().unwrap() > expected / 2 && words[5].parse::<usize>().unwrap() > 0,
            "{words:?}"
        );
        let accuracy = learning.accuracy(&reduction.graph).unwrap().unwrap();
        assert!(accuracy > 0.2, "accuracy {accuracy}");
        // With c_rate the sparsity is what it becomes: a higher rate cuts more.
        let [few, many] = [-0.5, 1.0].map(|c_rate| check_masks(&prune(&format!("epochs = 1\nc_rate = {c_rate:.1}"))));
        assert!(0 < few && few < many && many < 6816, "{few} {many}");
    }
}
