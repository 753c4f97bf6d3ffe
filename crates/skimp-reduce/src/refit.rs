//! Weights of layers that lost channels, fitted anew to what the layers computed before.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use skimp_graph::rewrite::Editor;
use skimp_graph::{Graph, Op, Tensor, ValueId};
use skimp_numerics::rng::{Draws, stream};

use crate::filters::Chosen;
use crate::readers::Reader;
use crate::weights::inputs::{Gram, WindowSum, Windows, observe};
use crate::weights::linear_algebra::{inverse_factor, solved};
use crate::weights::tensors::find;
use crate::weights::{Matrix, WeightTensor};
use crate::{Learning, ReduceError};

/// More columns than these would take more than 512 MiB for one layer.
const MAX_COLUMNS: usize = 8192;

/// What is added to the diagonal of the least squares, relative to its mean.
const DAMPING: f64 = 1e-6;

/// A scale of batch normalization below this tells nothing about what lies before it.
const SMALLEST_SCALE: f64 = 1e-3;

/// What is sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refit {
    /// Name of the method, for messages.
    pub(crate) method: &'static str,
    /// Images.
    pub(crate) images: usize,
    /// Positions of each image, drawn with replacement; all of them where there are no more.
    pub(crate) positions: usize,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

/// A layer whose weights are fitted.
#[derive(Debug)]
struct Layer<'r> {
    reader: &'r Reader,
    name: String,
    /// Rows of its weight that are left.
    rows: Vec<usize>,
    shortcut: Option<Shortcut>,
    /// What its products should be for each sample and row.
    targets: Vec<f64>,
}

/// What is added to the output of a layer, where the layer can make up for its error.
#[derive(Debug)]
struct Shortcut {
    value: ValueId,
    name: String,
    /// What the layer's output is multiplied by before it is added, for each row that is left.
    scales: Vec<f64>,
}

impl Shortcut {
    /// Adds what it held to what the layer's products should be, with a sign.
    fn add(&self, values: &[f64], sign: f64, targets: &mut [f64]) {
        for ((target, value), scale) in targets.iter_mut().zip(values).zip(self.scales.iter().cycle()) {
            // What a batch normalization scales to nearly nothing cannot make up for anything.
            if scale.abs() >= SMALLEST_SCALE {
                *target += sign * value / scale;
            }
        }
    }
}

/// The network without what goes, with the weights of all layers that read it fitted anew, one after the other in the
/// order of the network: `min Σ (Y − X W)²` with `X` what the layer reads in the network as it is by then and `Y` what the
/// layer computed in the whole network; and how many they are. Where the layer's output is added to something that has been computed before
/// (perhaps behind a batch normalization), `Y` also makes up for the error of that: `Y2 + Y1 − Y1'`.
///
/// # Errors
/// [`ReduceError::Data`] where there are fewer samples than weights of an output, [`ReduceError::Node`] where a layer
/// has too many weights for one output.
pub(crate) fn refit(
    graph: &Graph,
    chosen: &Chosen<'_>,
    readers: &[Reader],
    learning: &Learning<'_>,
    how: Refit,
) -> Result<(Graph, usize), ReduceError> {
    refit_layers(graph, chosen, layers(graph, chosen, readers), learning, how)
}

fn refit_layers(
    graph: &Graph,
    chosen: &Chosen<'_>,
    mut layers: Vec<Layer<'_>>,
    learning: &Learning<'_>,
    how: Refit,
) -> Result<(Graph, usize), ReduceError> {
    let mut reduced = chosen.channels.remove(&chosen.gone)?;
    let columns: Vec<usize> = layers
        .iter()
        .map(|layer| tensor_of(&reduced, &layer.name).map_or(0, |(_, tensor)| tensor.matrix.columns()))
        .collect();
    for (layer, &columns) in layers.iter().zip(&columns) {
        if columns > MAX_COLUMNS {
            let cause = format!(
                "{columns} weights for each output: more than {MAX_COLUMNS} are not fitted; keep the channels that it \
                 reads (--keep), or set refit=false"
            );
            return Err(ReduceError::Node { network: graph.name().to_owned(), node: layer.name.clone(), cause });
        }
    }
    sample_targets(graph, &mut layers, learning, how)?;
    let n_layers = layers.len();
    for (layer, &columns) in layers.iter().zip(&columns) {
        let n_samples = layer.targets.len() / layer.rows.len().max(1);
        if n_samples < columns {
            return Err(ReduceError::Data {
                method: how.method.to_owned(),
                expected: format!(
                    "at least as many samples as the {columns} weights of an output of \"{}\": give more images or set \
                     \"images\" or \"positions\" higher, keep the channels that it reads (--keep), or set refit=false",
                    layer.name
                ),
                found: format!("{n_samples} samples"),
            });
        }
    }
    for layer in layers {
        reduced = fitted(&reduced, &layer, learning, how)?;
    }
    Ok((reduced, n_layers))
}

/// The layers that read something that goes.
fn layers<'r>(graph: &Graph, chosen: &Chosen<'_>, readers: &'r [Reader]) -> Vec<Layer<'r>> {
    let is_gone = |(group, unit): (usize, usize)| chosen.gone[group].binary_search(&unit).is_ok();
    let mut gone_rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (group, gone) in chosen.channels.groups().iter().zip(&chosen.gone) {
        for slice in gone.iter().flat_map(|&unit| &group.units[unit].makes) {
            gone_rows.entry(slice.node).or_default().push(slice.channel);
        }
    }
    let changed = readers.iter().filter(|reader| reader.units.iter().flatten().any(|&unit| is_gone(unit)));
    let layer = |reader: &'r Reader| {
        let gone = gone_rows.get(&reader.node).map_or([].as_slice(), Vec::as_slice);
        let rows: Vec<usize> = (0..reader.tensor.matrix.rows()).filter(|row| !gone.contains(row)).collect();
        let name = graph.nodes()[reader.node].name.clone();
        Layer { reader, name, shortcut: shortcut(graph, reader.node, &rows), rows, targets: Vec::new() }
    };
    changed.map(layer).collect()
}

/// What is added to a layer's output and has been computed before it.
fn shortcut(graph: &Graph, node: usize, rows: &[usize]) -> Option<Shortcut> {
    let consumers = graph.consumers();
    let only = |id: ValueId| match consumers[id.0].as_slice() {
        &[reader] if !graph.outputs().contains(&id) => Some(&graph.nodes()[reader]),
        _ => None,
    };
    let mut value = *graph.nodes()[node].outputs.first()?;
    let mut next = only(value)?;
    let mut scales = vec![1.0; rows.len()];
    if let Op::BatchNormalization(norm) = &next.op {
        let constant = |input: usize| graph.constant(next.inputs.get(input).copied().flatten()?)?.as_f32();
        let (scale, variance) = (constant(1)?, constant(4)?);
        for (to, &row) in scales.iter_mut().zip(rows) {
            *to = f64::from(*scale.get(row)?) / (f64::from(*variance.get(row)?) + f64::from(norm.epsilon)).sqrt();
        }
        value = *next.outputs.first()?;
        next = only(value)?;
    }
    if next.op != Op::Add {
        return None;
    }
    let other = next.inputs.iter().flatten().copied().find(|&id| id != value)?;
    let producer = graph.producers()[other.0]?;
    (producer < node).then(|| Shortcut { value: other, name: graph.value(other).name.clone(), scales })
}

/// A node and its weight, by name.
fn tensor_of(graph: &Graph, name: &str) -> Option<(usize, WeightTensor)> {
    let node = graph.nodes().iter().position(|node| node.name == name)?;
    let tensor = find(graph, |_| false).tensors.into_iter().find(|tensor| tensor.nodes == [node])?;
    Some((node, tensor))
}

/// The positions of an image that are sampled.
fn positions(draws: &mut Draws, n: usize, wanted: usize) -> Vec<usize> {
    if n <= wanted { (0..n).collect() } else { (0..wanted).map(|_| draws.below(n)).collect() }
}

fn draws(how: Refit, layer: &str) -> Draws {
    Draws::new(how.seed, stream(&format!("{}/refit/{layer}", how.method)))
}

/// The samples of a batch of one layer.
struct Samples {
    windows: Windows,
    n_positions: usize,
    /// The positions of each image.
    of_image: Vec<Vec<usize>>,
}

impl Samples {
    fn of(
        graph: &Graph,
        node: usize,
        tensor: &WeightTensor,
        x: &Tensor,
        draws: &mut Draws,
        how: Refit,
    ) -> Result<Self, ReduceError> {
        let windows = Windows::of(&graph.nodes()[node], x.shape())?;
        let n_positions = windows.n_positions(x, &tensor.matrix);
        let n_images = x.shape().first().copied().unwrap_or(0);
        let of_image = (0..n_images).map(|_| positions(draws, n_positions, how.positions)).collect();
        Ok(Self { windows, n_positions, of_image })
    }

    /// Images and positions, one sample after the other.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let of_image = self.of_image.iter().enumerate();
        of_image.flat_map(|(image, positions)| positions.iter().map(move |&position| (image, position)))
    }

    /// What an output of `n_rows` rows holds for these rows, sample after sample.
    fn values(&self, y: &Tensor, rows: &[usize], n_rows: usize) -> Vec<f64> {
        let elements = y.as_f32().unwrap_or_default();
        let of = |(image, position): (usize, usize)| {
            rows.iter().map(move |&row| {
                f64::from(elements[self.windows.output(n_rows, (image, position, row), self.n_positions)])
            })
        };
        self.places().flat_map(of).collect()
    }
}

/// Shows several values of a batch together, for each list of them: `each` gets the list's position and the values.
fn observe_together(
    graph: &Graph,
    learning: &Learning<'_>,
    n_images: usize,
    lists: &[Vec<ValueId>],
    mut each: impl FnMut(usize, &[Tensor]) -> Result<(), ReduceError>,
) -> Result<(), ReduceError> {
    let mut held: Vec<Vec<Option<Tensor>>> = lists.iter().map(|ids| vec![None; ids.len()]).collect();
    observe(graph, learning, n_images, |id, value| {
        for (at, (ids, held)) in lists.iter().zip(&mut held).enumerate() {
            let places = ids.iter().zip(held.iter_mut()).filter(|(wanted, _)| **wanted == id);
            let n_filled = places.map(|(_, place)| *place = Some(value.clone())).count();
            if n_filled > 0 && held.iter().all(Option::is_some) {
                let values: Vec<Tensor> = held.iter_mut().filter_map(Option::take).collect();
                each(at, &values)?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Fills in what the layers computed in the whole network: products without bias, and what their shortcuts add.
fn sample_targets(
    graph: &Graph,
    layers: &mut [Layer<'_>],
    learning: &Learning<'_>,
    how: Refit,
) -> Result<(), ReduceError> {
    let mut all_draws: Vec<Draws> = layers.iter().map(|layer| draws(how, &layer.name)).collect();
    let ids = |layer: &Layer<'_>| {
        let shortcut = layer.shortcut.iter().map(|shortcut| shortcut.value);
        layer
            .reader
            .input(graph)
            .into_iter()
            .chain([graph.nodes()[layer.reader.node].outputs[0]])
            .chain(shortcut)
            .collect()
    };
    let lists: Vec<Vec<ValueId>> = layers.iter().map(ids).collect();
    observe_together(graph, learning, how.images, &lists, |at, values| {
        let layer = &mut layers[at];
        let (node, tensor) = (layer.reader.node, &layer.reader.tensor);
        let samples = Samples::of(graph, node, tensor, &values[0], &mut all_draws[at], how)?;
        let n_rows = tensor.matrix.rows();
        let mut targets = samples.values(&values[1], &layer.rows, n_rows);
        to_products(graph, node, &layer.rows, &mut targets);
        if let (Some(shortcut), Some(value)) = (&layer.shortcut, values.get(2)) {
            shortcut.add(&samples.values(value, &layer.rows, n_rows), 1.0, &mut targets);
        }
        layer.targets.append(&mut targets);
        Ok(())
    })
}

/// The network with the weights of one layer fitted.
fn fitted(graph: &Graph, layer: &Layer<'_>, learning: &Learning<'_>, how: Refit) -> Result<Graph, ReduceError> {
    let Some((node, tensor)) = tensor_of(graph, &layer.name) else { return Ok(graph.clone()) };
    let matrix = &tensor.matrix;
    let (n_rows, n_columns) = (matrix.rows(), matrix.columns());
    let n_group_rows = n_rows / matrix.groups().max(1);
    let shortcut = layer.shortcut.as_ref().and_then(|shortcut| {
        graph.values().iter().position(|value| value.name == shortcut.name).map(|id| (shortcut, ValueId(id)))
    });
    let input = graph.nodes()[node].inputs.first().copied().flatten();
    let ids: Vec<ValueId> = input.into_iter().chain(shortcut.map(|(_, id)| id)).collect();
    let mut draws = draws(how, &layer.name);
    let mut grams: Vec<Gram> = (0..matrix.groups()).map(|_| Gram::new(n_columns)).collect();
    // Of each row: the sums of its targets times each column.
    let mut products = vec![0.0; n_rows * n_columns];
    let rows: Vec<usize> = (0..n_rows).collect();
    let mut targets = layer.targets.chunks_exact(n_rows.max(1));
    observe_together(graph, learning, how.images, &[ids], |_, values| {
        let samples = Samples::of(graph, node, &tensor, &values[0], &mut draws, how)?;
        let mut wanted: Vec<f64> = targets.by_ref().take(samples.places().count()).flatten().copied().collect();
        if let (Some((shortcut, _)), Some(value)) = (shortcut, values.get(1)) {
            shortcut.add(&samples.values(value, &rows, n_rows), -1.0, &mut wanted);
        }
        for (group, gram) in grams.iter_mut().enumerate() {
            let (mut windows, mut window) = (Vec::new(), Vec::with_capacity(n_columns));
            for (image, position) in samples.places() {
                samples.windows.window(&values[0], matrix, (image, position, group), &mut window);
                windows.extend_from_slice(&window);
            }
            gram.add(&windows);
            let first = group * n_group_rows;
            let of_group = &mut products[first * n_columns..][..n_group_rows * n_columns];
            of_group.par_chunks_mut(n_columns.max(1)).enumerate().for_each(|(row, sums)| {
                for (wanted, window) in wanted.chunks_exact(n_rows).zip(windows.chunks_exact(n_columns.max(1))) {
                    let factor = wanted[first + row];
                    sums.iter_mut().zip(window).for_each(|(sum, x)| *sum += factor * x);
                }
            });
        }
        Ok(())
    })?;
    let mut weights = tensor.elements(graph).to_vec();
    for (group, gram) in grams.into_iter().enumerate() {
        let rows = group * n_group_rows..(group + 1) * n_group_rows;
        for (row, values) in rows.clone().zip(solve(&gram, rows, matrix, &weights, &products)) {
            matrix.set_row(&mut weights, row, &values);
        }
    }
    let mut editor = Editor::new(graph);
    editor.set_constant(tensor.value, Tensor::from_f32(tensor.shape.clone(), weights))?;
    Ok(editor.finish()?)
}

/// The rows of a group of a weight that give the targets best, as they are where the samples say nothing.
fn solve(gram: &Gram, rows: Range<usize>, matrix: &Matrix, weights: &[f32], products: &[f64]) -> Vec<Vec<f32>> {
    let n = gram.n;
    let mut damped = gram.sums.clone();
    let mean = (0..n).map(|i| damped[i * n + i]).sum::<f64>() / n.max(1) as f64;
    (0..n).for_each(|i| damped[i * n + i] += if mean > 0.0 { DAMPING * mean } else { 1.0 });
    let factor = inverse_factor(&damped, n);
    let row = |row: usize| {
        let present = matrix.row(weights, row);
        let Some(factor) = &factor else { return present };
        // Of the change: what is left of the targets, by the columns.
        let left: Vec<f64> = (0..n)
            .map(|i| {
                let given: f64 = (0..n).map(|j| gram.sums[i.min(j) * n + i.max(j)] * f64::from(present[j])).sum();
                products[row * n + i] - given
            })
            .collect();
        let change = solved(factor, n, &left);
        present.iter().zip(change).map(|(&weight, change)| (f64::from(weight) + change) as f32).collect()
    };
    rows.into_par_iter().map(row).collect()
}

/// From outputs of a layer to the products of windows and weights.
fn to_products(graph: &Graph, node: usize, rows: &[usize], values: &mut [f64]) {
    let node = &graph.nodes()[node];
    let bias = node.inputs.get(2).copied().flatten().and_then(|id| graph.constant(id)).and_then(|bias| bias.as_f32());
    let (alpha, beta) = match &node.op {
        Op::Gemm(gemm) => (f64::from(gemm.alpha), f64::from(gemm.beta)),
        _ => (1.0, 1.0),
    };
    for values in values.chunks_mut(rows.len().max(1)) {
        for (value, &row) in values.iter_mut().zip(rows) {
            let of_row = bias.and_then(|bias| bias.get(if bias.len() == 1 { 0 } else { row }).copied()).unwrap_or(0.0);
            *value = (*value - beta * f64::from(of_row)) / if alpha.abs() > 0.0 { alpha } else { 1.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::testing::random_tensor;
    use skimp_graph::{DType, Dim, GraphBuilder, ops};

    use super::*;
    use crate::Target;
    use crate::filters::{Scores, choose};
    use crate::readers::{Sampling, rank_by_parts};
    use crate::weights::testing::{learning, request, window};

    /// For 28 x 28 images: first (8 channels) → ReLU → projection, and beside it second (with the weights of first) → ReLU →
    /// conv, each with a batch normalization, summed up → ReLU → mean → fc (10 classes). With `is_double`, the 8 channels are
    /// equal pairs.
    fn residual(is_double: bool) -> Graph {
        let mut builder = GraphBuilder::new("residual");
        let dims = std::iter::once(Dim::Free("N".to_owned())).chain([1, 28, 28].map(Dim::Fixed)).collect();
        let x = builder.input("x", DType::F32, dims);
        let conv = |builder: &mut GraphBuilder, name: &str, x, weight: Tensor| {
            let kernel = weight.shape()[2];
            let weight = builder.constant(format!("{name}.weight"), weight);
            let op = Op::Conv(ops::Conv { window: window(kernel, 1, kernel / 2), groups: 1 });
            builder.node(name, op, &[x, weight])
        };
        let random = |name: &str, n: usize, c: usize, kernel: usize| {
            random_tensor(3, name, vec![n, c, kernel, kernel], 0.0, 0.5)
        };
        let mut first = random("first", 8, 1, 3);
        if is_double {
            let half = first.as_f32().unwrap()[..36].to_vec();
            first = Tensor::from_f32(vec![8, 1, 3, 3], [half.clone(), half].concat());
        }
        let norm = |builder: &mut GraphBuilder, name: &str, x| {
            let parts = [("scale", 1.0, 0.3), ("shift", 0.0, 0.3), ("mean", 0.0, 0.3), ("variance", 2.0, 0.2)];
            let [scale, shift, mean, variance] = parts.map(|(part, center, deviation)| {
                let name = format!("{name}.{part}");
                builder.constant(name.clone(), random_tensor(3, &name, vec![6], center, deviation))
            });
            let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 });
            builder.node(name, op, &[x, scale, shift, mean, variance])
        };
        let y = conv(&mut builder, "first", x, first.clone());
        let y = builder.node("relu1", Op::Relu, &[y]);
        let y = conv(&mut builder, "projection", y, random("projection", 6, 8, 1));
        let straight = norm(&mut builder, "norm1", y);
        let y = conv(&mut builder, "second", x, first);
        let y = builder.node("relu2", Op::Relu, &[y]);
        let y = conv(&mut builder, "conv", y, random("conv", 6, 8, 3));
        let branch = norm(&mut builder, "norm2", y);
        let y = builder.node("add", Op::Add, &[branch, straight]);
        let y = builder.node("relu", Op::Relu, &[y]);
        let y = builder.node("mean", Op::GlobalAveragePool, &[y]);
        let y = builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        let weight = builder.constant("fc.weight", random_tensor(3, "fc", vec![6, 10], 0.0, 0.3));
        let y = builder.node("fc", Op::MatMul, &[y, weight]);
        builder.output(y);
        builder.build().unwrap()
    }

    const HOW: Refit = Refit { method: "test", images: 64, positions: 20, seed: 1 };

    /// Half of the channels of first and second go: those with the lowest of these scores.
    fn chosen<'g>(graph: &'g Graph, learning: &Learning<'_>, scores: [f64; 2]) -> (Chosen<'g>, Vec<Reader>) {
        let keep = ["projection".to_owned()];
        let request = crate::Request { keep: &keep, round_to: 1, ..request(Target::Channels(0.5)) };
        let mut readers = Vec::new();
        let chosen = choose(crate::methods::find("l1").unwrap(), graph, &request, |channels| {
            let sampling = Sampling { images: 1, positions: 1, outputs: 1, seed: 1 };
            readers = rank_by_parts("test", channels, learning, sampling, |_, _, _| ())?.readers;
            let scores: Scores =
                scores.iter().map(|factor| Some((0..8).map(|unit| factor * f64::from(unit)).collect())).collect();
            Ok((scores, Vec::new()))
        });
        (chosen.unwrap(), readers)
    }

    /// The last layer of a branch makes up for what its shortcut is off by: the branch keeps what that lost.
    #[test]
    fn a_branch_makes_up_for_its_shortcut() {
        let (graph, learning) = (&residual(false), learning());
        let (chosen, readers) = chosen(graph, &learning, [-1.0, 1.0]);
        assert_eq!(chosen.gone, [vec![4, 5, 6, 7], vec![0, 1, 2, 3]]);
        let sum = |graph: &Graph| {
            let node = graph.nodes().iter().find(|node| node.name == "add").unwrap();
            let mut values = Vec::new();
            let visit = |id, x: &Tensor| {
                if id == node.outputs[0] {
                    values.extend_from_slice(x.as_f32().unwrap());
                }
                Ok(())
            };
            observe(graph, &learning, 64, visit).unwrap();
            values
        };
        let whole = sum(graph);
        let [with, without] = [true, false].map(|with_shortcut| {
            let mut layers = layers(graph, &chosen, &readers);
            let held: Vec<(&str, bool)> =
                layers.iter().map(|layer| (layer.name.as_str(), layer.shortcut.is_some())).collect();
            assert_eq!(held, [("projection", false), ("conv", true)]);
            layers.iter_mut().filter(|_| !with_shortcut).for_each(|layer| layer.shortcut = None);
            let (fitted, n) = refit_layers(graph, &chosen, layers, &learning, HOW).unwrap();
            assert_eq!(n, 2);
            sum(&fitted).into_iter().zip(&whole).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        });
        assert!(with < 0.9 * without, "{with} {without}");
    }

    /// What other channels hold as well is restored: of equal pairs one each goes.
    #[test]
    fn what_is_there_twice_is_restored() {
        let (graph, learning) = (residual(true), learning());
        let (chosen, readers) = chosen(&graph, &learning, [-1.0, -1.0]);
        let (fitted, n) = refit(&graph, &chosen, &readers, &learning, HOW).unwrap();
        assert_eq!(n, 2);
        let output = |graph: &Graph| {
            let images = learning.training.batch(0).unwrap();
            let images = [Tensor::from_f32(images.shape.to_vec(), images.images)];
            skimp_graph::Executor::run(&skimp_cpu::CpuExecutor::new(graph).unwrap(), &images).unwrap().swap_remove(0)
        };
        let (found, expected) = (output(&fitted).into_f32().unwrap(), output(&graph).into_f32().unwrap());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-3 * largest, "{found}, {expected} of {largest}");
        }
    }
}
