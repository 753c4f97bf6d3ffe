//! Wanda.

use serde::Deserialize;
use skimp_graph::Graph;

use crate::settings;
use crate::settings::{setting_error, within};
use crate::weights::inputs::{Squares, sum_windows, unknown_windows};
use crate::weights::scope::ScopeKind;
use crate::weights::select::cut_smallest;
use crate::weights::{ScopeSettings, Start, WeightTensor};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "wanda";

/// Weights go by magnitude times the norm of what they multiply, output by output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanda;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Calibration images.
    images: usize,
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Wanda {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "weights go by magnitude times the norm of their inputs, output by output; no training",
            source: "M. Sun, Z. Liu, A. Bair, J. Z. Kolter, \"A Simple and Effective Pruning Approach for Large Language \
                     Models\", ICLR 2024: score |W| ||X||, compared within each output. Differs: convolutions by their \
                     windows, and the inputs of all layers are those of the dense network.",
            removes: Removes::Weights,
            needs: Needs::Images,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(String, toml::Value); 1] = [("images".to_owned(), 128.into())];
        own.into_iter().chain(ScopeSettings::defaults(ScopeKind::Auto)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "images", settings.images, 1..=usize::MAX)?;
        let mut start = Start::new(NAME, graph, request)?;
        let learning = start.learning("some images")?;
        let of = &start.graph;
        start.found.refuse(|tensor| unknown_windows(of, tensor));
        start.check()?;
        let counts = layer_counts(NAME, &settings.scope, &start)?;
        let (sums, n_images) = sum_windows::<Squares>(&start.graph, &start.found, learning, settings.images)?;
        let elements = start.found.elements(&start.graph);
        let parts = start.found.tensors.iter().zip(elements).zip(&sums).zip(counts);
        let masks = parts.map(|(((tensor, weights), sums), n)| mask(tensor, weights, sums, n)).collect();
        let note = format!("Inputs measured on {n_images} images, as the training data gives them.");
        start.masked(masks, vec![note])
    }
}

/// Zeros of each tensor; scores of different layers are not compared.
pub(super) fn layer_counts(
    method: &str,
    settings: &ScopeSettings,
    start: &Start<'_>,
) -> Result<Vec<usize>, ReduceError> {
    let tensors = &start.found.tensors;
    let scope = settings.scope(method, start.request, tensors)?;
    let counts = scope.counts(start.sparsity, tensors)?;
    counts.ok_or_else(|| {
        let expected = "uniform, per-layer or erk: scores of different layers are not comparable";
        setting_error(method, "scope", expected, "\"global\"")
    })
}

/// The part `idx` of `n` things shared out over `n_parts` as evenly as can be.
pub(super) fn share(n: usize, idx: usize, n_parts: usize) -> usize {
    let until = |idx: usize| (n as u128 * idx as u128 / n_parts.max(1) as u128) as usize;
    until(idx + 1) - until(idx)
}

/// Cuts `n` weights, as many of each output.
fn mask(tensor: &WeightTensor, weights: &[f32], sums: &[Squares], n: usize) -> Vec<f32> {
    let matrix = &tensor.matrix;
    let norms: Vec<Vec<f64>> = sums.iter().map(|sums| sums.sums.iter().map(|sum| sum.sqrt()).collect()).collect();
    let group_rows = matrix.rows() / matrix.groups().max(1);
    let mut mask = vec![1.0; weights.len()];
    for row in 0..matrix.rows() {
        let norms = &norms[row / group_rows.max(1)];
        let values = matrix.row(weights, row);
        let scores: Vec<f32> = values.iter().zip(norms).map(|(&w, norm)| (f64::from(w).abs() * norm) as f32).collect();
        matrix.set_row(&mut mask, row, &cut_smallest(&scores, share(n, row, matrix.rows())));
    }
    mask
}

#[cfg(test)]
mod tests {
    use skimp_graph::testing::random_tensor;
    use skimp_graph::{DType, Dim, GraphBuilder, Op};

    use super::*;
    use crate::weights::tensors::find;
    use crate::weights::testing::{bits, check_masks, dense_net, elements, learning, run, small_net};

    /// By hand: magnitudes alone would keep other weights.
    #[test]
    fn scores_weigh_inputs() {
        let graph = dense_net(&[3, 2]);
        let found = find(&graph, |_| false);
        let sums = [Squares { sums: vec![100.0, 1.0, 4.0], n_windows: 10 }];
        let weights = [0.1, 0.9, -0.6, -0.2, 1.0, 0.3];
        // Scores: 1, 0.9, 1.2; 2, 1, 0.6.
        assert_eq!(mask(&found.tensors[0], &weights, &sums, 2), [1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(mask(&found.tensors[0], &weights, &sums, 3), [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!((0..4).map(|idx| share(6, idx, 4)).collect::<Vec<_>>(), [1, 2, 1, 2]);
    }

    /// Two inputs, a layer of one channel, an unused branch and a shared weight (T24): pruned, or told why not.
    #[test]
    fn odd_networks() {
        let mut builder = GraphBuilder::new("odd");
        let dims = |n| vec![Dim::Free("N".to_owned()), Dim::Fixed(n)];
        let (a, b) = (builder.input("a", DType::F32, dims(4)), builder.input("b", DType::F32, dims(1)));
        let weight = |builder: &mut GraphBuilder, name: &str, shape: [usize; 2]| {
            builder.constant(name, random_tensor(1, name, shape.to_vec(), 0.0, 1.0))
        };
        let [shared, one, unused] =
            [("shared", [4, 4]), ("one", [1, 1]), ("unused", [4, 2])].map(|(n, shape)| weight(&mut builder, n, shape));
        let y = builder.node("first", Op::MatMul, &[a, shared]);
        let y = builder.node("second", Op::MatMul, &[y, shared]);
        builder.node("nowhere", Op::MatMul, &[y, unused]);
        let z = builder.node("single", Op::MatMul, &[b, one]);
        let y = builder.node("sum", Op::Add, &[y, z]);
        builder.output(y);
        let graph = builder.build().unwrap();
        let before = bits(&graph);
        let magnitude = crate::methods::find("magnitude").unwrap();
        let reduction = run(magnitude, &graph, 0.5, "", None).unwrap();
        let zeros = |(name, mask): &(String, Vec<f32>)| (name.clone(), crate::weights::select::n_zeros([mask]));
        let found: Vec<(String, usize)> = reduction.masks.iter().map(zeros).collect();
        // What no output needs is left out.
        let expected = [("shared", 8), ("one", 1)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(found, expected);
        let error = run(&Wanda, &graph, 0.5, "", Some(&learning())).unwrap_err().to_string();
        assert!(error.contains("\"odd\": 2 inputs, expected one that takes images"), "{error}");
        assert_eq!(bits(&graph), before);
    }

    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| run(&Wanda, &graph, 0.6, "images = 40", Some(&learning)).unwrap())
        };
        let reduction = prune(1);
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.6 * n).round() as usize).iter().sum();
        assert_eq!(check_masks(&reduction), expected);
        assert!(reduction.notes[2].contains("40 images"), "{:?}", reduction.notes);
        assert_eq!(bits(&reduction.graph), bits(&prune(3).graph));
        // Every output loses as much, within one weight.
        let zeros = |row: &[f32]| row.iter().filter(|w| w.to_bits() == 0).count();
        let of_rows: Vec<usize> = elements(&reduction.graph, "fc.weight").chunks(588).map(zeros).collect();
        assert!(of_rows.iter().all(|n| [352, 353].contains(n)), "{of_rows:?}");
        let error = run(&Wanda, &graph, 0.6, "", None).unwrap_err().to_string();
        assert_eq!(error, "method wanda needs some images (--data NAME:DIR), found none");
        let error = run(&Wanda, &graph, 0.6, "scope = \"global\"", Some(&learning)).unwrap_err().to_string();
        assert!(error.contains("scores of different layers are not comparable"), "{error}");
    }
}
