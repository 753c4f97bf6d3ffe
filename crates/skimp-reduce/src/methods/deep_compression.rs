//! Deep Compression.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_graph::Graph;
use skimp_train::Param;
use skimp_train::optimizer::{ParamHook, UpdateOf};

use super::han::{Pruned, Rounds};
use crate::settings;
use crate::settings::within;
use crate::weights::compressed::{Shared, Sizes, encode, share};
use crate::weights::scope::n_zeros;
use crate::weights::select::{cut_smallest, magnitudes};
use crate::weights::training::places;
use crate::weights::{Found, Start, apply, reduction};
use crate::{Learning, Lesson, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "deep-compression";

/// Weights are pruned, share values, and are coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeepCompression;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Bits of a code in convolutions: 2^bits values for each layer.
    conv_bits: u32,
    /// Bits of a code in dense layers.
    dense_bits: u32,
    /// Rounds of pruning and retraining, where there are images.
    rounds: u64,
    /// Passes over the training images in each round.
    epochs: u64,
    /// Learning rate of retraining, relative to the recipe's.
    learning_rate_factor: f64,
    /// Passes over the training images for the shared values.
    value_epochs: u64,
    /// Learning rate of the shared values, relative to the recipe's.
    value_rate_factor: f64,
}

impl Method for DeepCompression {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "weights are pruned, share few values, and are Huffman coded in a file of its own (.skz)",
            source: "S. Han, H. Mao, W. Dally, \"Deep Compression: Compressing Deep Neural Networks with Pruning, Trained \
                     Quantization and Huffman Coding\", ICLR 2016. Differs: without training images weights are pruned by \
                     magnitude, the same fraction of each layer, and the shared values are not fine-tuned.",
            removes: Removes::Weights,
            needs: Needs::Nothing,
        }
    }

    fn trains(&self) -> bool {
        true
    }

    fn settings(&self) -> toml::Table {
        let own: [(&str, toml::Value); 7] = [
            ("conv_bits", 8.into()),
            ("dense_bits", 5.into()),
            ("rounds", 3.into()),
            ("epochs", 3.into()),
            ("learning_rate_factor", 0.1.into()),
            ("value_epochs", 1.into()),
            ("value_rate_factor", 1e-3.into()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "conv_bits", settings.conv_bits, 1..=12)?;
        within(NAME, "dense_bits", settings.dense_bits, 1..=12)?;
        within(NAME, "rounds", settings.rounds, 1..=1000)?;
        within(NAME, "epochs", settings.epochs, 1..=1_000_000)?;
        within(NAME, "learning_rate_factor", settings.learning_rate_factor, 1e-9..=1e3)?;
        within(NAME, "value_epochs", settings.value_epochs, 0..=1_000_000)?;
        within(NAME, "value_rate_factor", settings.value_rate_factor, 1e-12..=1e3)?;
        let start = Start::new(NAME, graph, request)?;
        let Pruned { graph: pruned, found, mut masks, mut notes } = prune(&settings, &start)?;
        let shared: Vec<Shared> = found
            .tensors
            .par_iter()
            .zip(found.elements(&pruned))
            .map(|(tensor, weights)| {
                let bits = if tensor.shape.len() > 2 { settings.conv_bits } else { settings.dense_bits };
                share(weights, 1 << bits)
            })
            .collect();
        let values: Vec<Vec<f32>> = shared.iter().map(Shared::values).collect();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        // Weights that were zero already are cut as well.
        for (mask, shared) in masks.iter_mut().zip(&shared) {
            mask.iter_mut().zip(&shared.codes).filter(|(_, code)| code.is_none()).for_each(|(mask, _)| *mask = 0.0);
        }
        let mut made = apply(&pruned, &found, &values, &masks)?;
        if let Some(learning) = request.learning.filter(|_| settings.value_epochs > 0) {
            made = fine_tuned(&settings, learning, &made, &found, shared)?;
            if let Some(accuracy) = learning.accuracy(&made)? {
                notes.push(format!("Accuracy {:.2} % with fine-tuned shared values.", 100.0 * accuracy));
            }
        }
        notes.push(sizes_text(&encode(&made)?.sizes));
        let found = found.of(&made);
        Ok(reduction(made, found, masks, notes))
    }
}

/// The first stage.
fn prune(settings: &Settings, start: &Start<'_>) -> Result<Pruned, ReduceError> {
    let tensors = &start.found.tensors;
    let elements = start.found.elements(&start.graph);
    let before: usize = elements.iter().map(|weights| weights.iter().filter(|w| w.abs() <= 0.0).count()).sum();
    match start.request.learning {
        // What is pruned already needs no pruning.
        Some(learning) if n_zeros(start.sparsity, start.found.n_weights()) > before => {
            let rounds = Rounds {
                rounds: settings.rounds,
                epochs: settings.epochs,
                learning_rate_factor: settings.learning_rate_factor,
                alternate: false,
                quality: vec![1.0; tensors.len()],
            };
            rounds.run(learning, &start.graph, &start.found, start.sparsity)
        }
        _ => {
            let mask = |weights: &&[f32]| cut_smallest(&magnitudes(weights), n_zeros(start.sparsity, weights.len()));
            let masks: Vec<Vec<f32>> = elements.iter().map(mask).collect();
            let graph = apply(&start.graph, &start.found, &elements, &masks)?;
            Ok(Pruned { graph, found: start.found.clone(), masks, notes: Vec::new() })
        }
    }
}

/// The network with shared values moved along the sums of their weights' gradients.
fn fine_tuned(
    settings: &Settings,
    learning: &Learning<'_>,
    graph: &Graph,
    found: &Found,
    shared: Vec<Shared>,
) -> Result<Graph, ReduceError> {
    let found = found.of(graph);
    let mut model = learning.model(graph, &[])?;
    let places = places(&model, graph, &found)?;
    let mut tied: Vec<Option<Vec<Option<u16>>>> = vec![None; model.params().len()];
    for (place, shared) in places.iter().zip(shared) {
        // Codes are small integers, which f32 holds exactly.
        let as_number = |code: &Option<u16>| code.map_or(-1.0, f32::from);
        let numbers: Vec<f32> = shared.codes.iter().map(as_number).collect();
        let stored = model.params()[place.param].in_storage_order(&numbers);
        tied[place.param] = Some(stored.into_iter().map(|code| (code >= 0.0).then_some(code as u16)).collect());
    }
    let lesson = Lesson {
        epochs: settings.value_epochs,
        learning_rate: Some(learning.recipe.learning_rate * settings.value_rate_factor),
        param_hooks: vec![Box::new(Tied { codes: tied })],
        ..Lesson::default()
    };
    learning.train_model(&mut model, lesson)?;
    Ok(model.to_graph()?)
}

/// Keeps weights of one code equal, and those without one at zero.
#[derive(Debug)]
struct Tied {
    /// For each parameter the code of each element, in storage order.
    codes: Vec<Option<Vec<Option<u16>>>>,
}

impl ParamHook for Tied {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        if let Some(Some(codes)) = self.codes.get(of.param) {
            sum_gradients(param.grad_mut(), codes);
        }
    }

    fn after_update(&mut self, of: UpdateOf, param: &mut Param, slots: &mut [Vec<f32>]) {
        if let Some(Some(codes)) = self.codes.get(of.param) {
            make_equal(param.values_mut(), codes);
            slots.iter_mut().for_each(|slot| make_equal(slot, codes));
        }
    }
}

/// Gives every element the sum of the gradients of its code.
fn sum_gradients(grad: &mut [f32], codes: &[Option<u16>]) {
    let mut sums = vec![0.0_f64; 1 + codes.iter().flatten().max().map_or(0, |&code| usize::from(code))];
    for (grad, code) in grad.iter().zip(codes) {
        if let Some(code) = code {
            sums[usize::from(*code)] += f64::from(*grad);
        }
    }
    for (grad, code) in grad.iter_mut().zip(codes) {
        *grad = code.map_or(0.0, |code| sums[usize::from(code)] as f32);
    }
}

/// Gives every element the value of the first of its code: they differ by the rounding of a precision policy at most.
fn make_equal(values: &mut [f32], codes: &[Option<u16>]) {
    let mut firsts: Vec<Option<f32>> =
        vec![None; 1 + codes.iter().flatten().max().map_or(0, |&code| usize::from(code))];
    for (value, code) in values.iter_mut().zip(codes) {
        *value = code.map_or(0.0, |code| *firsts[usize::from(code)].get_or_insert(*value));
    }
}

/// What the stages and the file take.
fn sizes_text(sizes: &Sizes) -> String {
    let bytes = |bits: usize| bits.div_ceil(8);
    let [dense, pruned, shared, coded] = [
        bytes(sizes.sum(|tensor| tensor.dense_bits)),
        bytes(sizes.sum(|tensor| tensor.pruned_bits)),
        bytes(sizes.sum(|tensor| tensor.shared_bits)),
        bytes(sizes.sum(|tensor| tensor.coded_bits)),
    ];
    format!(
        "Weights take {dense} bytes, {pruned} pruned with relative indices, {shared} as shared values, {coded} Huffman coded \
         ({:.1}x smaller); the compressed file takes {} bytes, with {} for all else, the plain one {}.",
        dense as f64 / coded.max(1) as f64,
        sizes.file_bytes,
        sizes.other_bytes,
        sizes.onnx_bytes
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::compressed::decode;
    use crate::weights::testing::{bits, check_masks, elements, learning, run, small_net};

    fn n_values(graph: &Graph, name: &str) -> usize {
        let mut values: Vec<u32> =
            elements(graph, name).iter().map(|value| value.to_bits()).filter(|&b| b != 0).collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }

    #[test]
    fn gradients_of_a_value_are_summed() {
        let codes = [Some(0), None, Some(1), Some(0)];
        let mut grad = vec![1.0, 5.0, 3.0, 0.5];
        sum_gradients(&mut grad, &codes);
        assert_eq!(grad, [1.5, 0.0, 3.0, 1.5]);
        let mut values = vec![1.0, 2.0, 3.0, 1.5];
        make_equal(&mut values, &codes);
        assert_eq!(values, [1.0, 0.0, 3.0, 1.0]);
    }

    #[test]
    fn without_images() {
        let graph = small_net();
        let reduction = run(&DeepCompression, &graph, 0.8, "conv_bits = 4\ndense_bits = 3", None).unwrap();
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.8 * n).round() as usize).iter().sum();
        assert_eq!(check_masks(&reduction), expected);
        for (name, most) in [("conv1.weight", 16), ("conv2.weight", 16), ("fc.weight", 8)] {
            let n = n_values(&reduction.graph, name);
            assert!(n > 1 && n <= most, "{name}: {n}");
        }
        assert!(reduction.notes[2].starts_with("Weights take 27264 bytes"), "{:?}", reduction.notes);
        // Its own result again: nothing changes, and no weight comes back.
        let again = run(&DeepCompression, &reduction.graph, 0.8, "conv_bits = 4\ndense_bits = 3", None).unwrap();
        assert_eq!(check_masks(&again), expected);
    }

    /// With images: pruned in rounds, values fine-tuned and still shared, and the file gives the same network.
    #[test]
    fn with_images() {
        let (graph, learning) = (small_net(), learning());
        let settings =
            "conv_bits = 5\ndense_bits = 4\nrounds = 2\nepochs = 1\nvalue_epochs = 2\nvalue_rate_factor = 0.01";
        let reduction = run(&DeepCompression, &graph, 0.7, settings, Some(&learning)).unwrap();
        assert!(check_masks(&reduction) >= 4771);
        for (name, most) in [("conv1.weight", 32), ("conv2.weight", 32), ("fc.weight", 16)] {
            assert!(n_values(&reduction.graph, name) <= most, "{name}");
        }
        let fixed = settings.replace("value_epochs = 2", "value_epochs = 0");
        let fixed = run(&DeepCompression, &graph, 0.7, &fixed, Some(&learning)).unwrap();
        assert_eq!(reduction.masks, fixed.masks);
        assert_ne!(elements(&reduction.graph, "fc.weight"), elements(&fixed.graph, "fc.weight"), "values have moved");
        let again = run(&DeepCompression, &graph, 0.7, settings, Some(&learning)).unwrap();
        assert_eq!(bits(&reduction.graph), bits(&again.graph));
        let decoded = decode(&encode(&reduction.graph).unwrap().bytes, "net.skz").unwrap();
        let sorted = |graph: &Graph| {
            let mut bits = bits(graph);
            bits.sort();
            bits
        };
        assert_eq!(sorted(&decoded), sorted(&reduction.graph));
    }
}
