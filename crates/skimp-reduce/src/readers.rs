//! Layers that read the channels of groups, and what each channel adds to what they compute, on images.
//!
//! An output of a layer is a sum over the channels that it reads: the part of the channel `c` is
//! `x_c = Σ_taps W[k, c, tap] · X[c, tap]` for an output channel `k` at a position. Reconstruction methods choose channels
//! by these parts, sampled at random outputs and positions.

use std::collections::{BTreeMap, BTreeSet};

use skimp_graph::{Graph, ValueId};
use skimp_numerics::rng::{Draws, stream};

use crate::channels::{Channels, UnitAt};
use crate::weights::WeightTensor;
use crate::weights::inputs::{Gram, WindowSum, Windows, observe, unknown_windows};
use crate::weights::tensors::find;
use crate::{Learning, ReduceError, Refusal};

/// A layer that sums over channels of groups.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Index of the node.
    pub(crate) node: usize,
    /// Its weight.
    pub(crate) tensor: WeightTensor,
    /// The unit of each channel that it reads.
    pub(crate) units: Vec<Option<UnitAt>>,
}

impl Reader {
    /// What it reads.
    pub(crate) fn input(&self, graph: &Graph) -> Option<ValueId> {
        graph.nodes()[self.node].inputs.first().copied().flatten()
    }

    /// The channel that a column of a group of the weight multiplies.
    pub(crate) fn channel(&self, group: usize, column: usize) -> usize {
        group * self.tensor.matrix.inputs() + column / self.tensor.matrix.taps().max(1)
    }

    /// The place of every element of its weight, with the unit that it multiplies.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, Option<UnitAt>)> {
        let matrix = &self.tensor.matrix;
        let group_rows = (matrix.rows() / matrix.groups().max(1)).max(1);
        (0..matrix.rows()).flat_map(move |row| {
            let of = move |column| (matrix.index(row, column), self.units[self.channel(row / group_rows, column)]);
            (0..matrix.columns()).map(of)
        })
    }

    /// The groups whose channels it reads, ascending.
    pub(crate) fn groups(&self) -> Vec<usize> {
        let groups: BTreeSet<usize> = self.units.iter().flatten().map(|&(group, _)| group).collect();
        groups.into_iter().collect()
    }
}

/// The layers that read channels of groups, in the order of the network, and the groups of which not all readers are
/// known, with the reason.
fn readers(channels: &Channels<'_>) -> (Vec<Reader>, BTreeMap<usize, String>) {
    let graph = channels.graph();
    let found = find(graph, |_| false);
    let mut units: BTreeMap<usize, BTreeMap<usize, UnitAt>> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for (at, group) in channels.groups().iter().enumerate() {
        for (position, unit) in group.units.iter().enumerate() {
            // A depthwise convolution keeps channels apart: what it hands on is read behind it.
            let mut reads = unit.reads.iter().filter(|slice| !group.layers.contains(&slice.node)).peekable();
            if reads.peek().is_none() {
                unknown.entry(at).or_insert_with(|| "no layer multiplies its channels by stored weights".to_owned());
            }
            for slice in reads {
                units.entry(slice.node).or_default().insert(slice.channel, (at, position));
            }
        }
    }
    let mut readers = Vec::with_capacity(units.len());
    for (node, of_channel) in units {
        let tensor = found.tensors.iter().find(|tensor| tensor.nodes == [node]);
        let reason = match tensor {
            Some(tensor) => unknown_windows(graph, tensor),
            None => Some("its weight is not known".to_owned()),
        };
        if let Some(reason) = reason {
            let reason = format!("\"{}\" reads its channels: {reason}", graph.nodes()[node].name);
            of_channel.values().for_each(|&(group, _)| {
                unknown.entry(group).or_insert_with(|| reason.clone());
            });
        } else if let Some(tensor) = tensor {
            let n_channels = tensor.matrix.inputs() * tensor.matrix.groups();
            let units = (0..n_channels).map(|channel| of_channel.get(&channel).copied()).collect();
            readers.push(Reader { node, tensor: tensor.clone(), units });
        }
    }
    (readers, unknown)
}

/// What is sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    /// Images.
    pub(crate) images: usize,
    /// Positions of each image, drawn with replacement.
    pub(crate) positions: usize,
    /// Output channels at each position, drawn with replacement.
    pub(crate) outputs: usize,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

/// Sums of products of the parts of each two units of a group in what one layer computes.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Position of the layer among the readers.
    pub(crate) reader: usize,
    /// The group.
    pub(crate) group: usize,
    /// Over all samples.
    pub(crate) gram: Gram,
}

impl Parts {
    /// The sum of products of the parts of two units.
    pub(crate) fn product(&self, a: usize, b: usize) -> f64 {
        self.gram.sums[a.min(b) * self.gram.n + a.max(b)]
    }

    /// The sum of squares of what all units together add.
    pub(crate) fn energy(&self) -> f64 {
        let n = self.gram.n;
        (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).map(|(a, b)| self.product(a, b)).sum()
    }
}

/// Sums of products of the parts of each two units of a group, over all layers that read it, each over its `Σ y²`.
#[derive(Debug)]
pub(crate) struct Products {
    pub(crate) values: Vec<f64>,
    pub(crate) n: usize,
}

impl Products {
    pub(crate) fn of(parts: &[Parts], group: usize, n: usize) -> Self {
        let mut values = vec![0.0; n * n];
        for parts in parts.iter().filter(|parts| parts.group == group) {
            let energy = parts.energy();
            if energy > 0.0 {
                for (at, value) in values.iter_mut().enumerate() {
                    *value += parts.product(at / n, at % n) / energy;
                }
            }
        }
        Self { values, n }
    }

    pub(crate) fn row(&self, unit: usize) -> &[f64] {
        &self.values[unit * self.n..][..self.n]
    }
}

/// What [`rank_by_parts`] found.
#[derive(Debug)]
pub(crate) struct Ranked<T> {
    pub(crate) readers: Vec<Reader>,
    pub(crate) parts: Vec<Parts>,
    /// Of each group; empty for those that stay.
    pub(crate) orders: Vec<T>,
    /// Groups that stay, and why.
    pub(crate) refused: Vec<Refusal>,
}

/// What `order` makes of each group by the parts of its channels in the layers that read it.
///
/// # Errors
/// As [`sample`].
pub(crate) fn rank_by_parts<T: Default>(
    method: &str,
    channels: &Channels<'_>,
    learning: &Learning<'_>,
    sampling: Sampling,
    order: impl Fn(&[Reader], &[Parts], usize) -> T,
) -> Result<Ranked<T>, ReduceError> {
    let (readers, unknown) = readers(channels);
    let parts = sample(method, channels, &readers, learning, sampling)?;
    let nodes = channels.graph().nodes();
    let refusal = |(group, reason): (&usize, &String)| {
        let node = nodes[channels.groups()[*group].layers[0]].name.clone();
        Refusal { node, reason: reason.clone() }
    };
    let refused = unknown.iter().map(refusal).collect();
    let of = |group: usize| {
        if unknown.contains_key(&group) { T::default() } else { order(&readers, &parts, group) }
    };
    let orders = (0..channels.groups().len()).map(of).collect();
    Ok(Ranked { readers, parts, orders, refused })
}

/// Samples the parts of all units in all readers.
///
/// # Determinism
/// Draws belong to `METHOD/LAYER`, and follow the images in their order: neither threads nor batches matter.
///
/// # Errors
/// As [`observe`].
fn sample(
    method: &str,
    channels: &Channels<'_>,
    readers: &[Reader],
    learning: &Learning<'_>,
    sampling: Sampling,
) -> Result<Vec<Parts>, ReduceError> {
    let graph = channels.graph();
    let mut at: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
    let mut parts: Vec<Vec<Parts>> = Vec::with_capacity(readers.len());
    let mut draws = Vec::with_capacity(readers.len());
    for (position, reader) in readers.iter().enumerate() {
        if let Some(input) = reader.input(graph) {
            at.entry(input).or_default().push(position);
        }
        let of =
            |group: usize| Parts { reader: position, group, gram: Gram::new(channels.groups()[group].units.len()) };
        parts.push(reader.groups().into_iter().map(of).collect());
        let name = &graph.nodes()[reader.node].name;
        draws.push(Draws::new(sampling.seed, stream(&format!("{method}/{name}"))));
    }
    observe(graph, learning, sampling.images, |id, x| {
        for &position in at.get(&id).into_iter().flatten() {
            let reader = &readers[position];
            let windows = Windows::of(&graph.nodes()[reader.node], x.shape())?;
            add(
                reader,
                reader.tensor.elements(graph),
                &windows,
                x,
                sampling,
                &mut draws[position],
                &mut parts[position],
            );
        }
        Ok(())
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// Adds the samples of a batch.
fn add(
    reader: &Reader,
    weights: &[f32],
    windows: &Windows,
    x: &skimp_graph::Tensor,
    sampling: Sampling,
    draws: &mut Draws,
    parts: &mut [Parts],
) {
    let matrix = &reader.tensor.matrix;
    let (n_images, n_positions) = (x.shape().first().copied().unwrap_or(0), windows.n_positions(x, matrix));
    let group_rows = (matrix.rows() / matrix.groups().max(1)).max(1);
    let mut window = Vec::with_capacity(matrix.columns());
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); parts.len()];
    for image in 0..n_images {
        for _ in 0..sampling.positions {
            let position = draws.below(n_positions);
            let mut held = None;
            for _ in 0..sampling.outputs {
                let row = draws.below(matrix.rows());
                let group = row / group_rows;
                if held != Some(group) {
                    windows.window(x, matrix, (image, position, group), &mut window);
                    held = Some(group);
                }
                for (rows, part) in rows.iter_mut().zip(parts.iter()) {
                    let first = rows.len();
                    rows.resize(first + part.gram.n, 0.0);
                    for (column, &x) in window.iter().enumerate() {
                        if let Some((_, unit)) =
                            reader.units[reader.channel(group, column)].filter(|(group, _)| *group == part.group)
                        {
                            rows[first + unit] += f64::from(weights[matrix.index(row, column)]) * x;
                        }
                    }
                }
            }
        }
    }
    for (rows, part) in rows.iter().zip(parts) {
        part.gram.add(rows);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Parts, Products};
    use crate::weights::inputs::{Gram, WindowSum};

    /// The products of these parts of channels in some samples.
    pub(crate) fn parts(channels: &[Vec<f64>]) -> Parts {
        let mut gram = Gram::new(channels.len());
        let rows: Vec<f64> = (0..channels[0].len()).flat_map(|n| channels.iter().map(move |x| x[n])).collect();
        gram.add(&rows);
        Parts { reader: 0, group: 0, gram }
    }

    /// Their products, for a group that one layer reads.
    pub(crate) fn products(parts: &Parts) -> Products {
        Products::of(std::slice::from_ref(parts), 0, parts.gram.n)
    }
}
