//! Small random graphs of every operator in any order.

mod draw;

use skimp_numerics::rng::{Draws, stream};

use crate::ops::Rounding;
use crate::reference::evaluate;
use crate::shape::{self, TensorType};
use crate::{DType, Dim, Graph, GraphBuilder, Op, Tensor, ValueId};

/// Most elements of a value.
const MOST_ELEMENTS: u64 = 3000;
/// Largest magnitude of an element.
const LARGEST: f32 = 4096.0;
/// Exact values are multiples of this.
const GRID: f32 = 1.0 / 16.0;
/// Largest magnitude of an exact value: sums of their products stay far below the 24 bits of an f32.
const LARGEST_EXACT: f32 = 256.0;
/// Most axes of a value.
const MOST_AXES: usize = 5;

/// Element types that a random graph computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementTypes {
    /// f32 only.
    F32,
    /// Integers, truth values and f64 as well.
    Any,
}

/// A random graph, inputs for it, and what they give.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomGraph {
    /// The graph. The first extent of every input is open, under one name.
    pub graph: Graph,
    /// Inputs: a batch of 1 to 3.
    pub inputs: Vec<Tensor>,
    /// What the reference interpreter makes of the inputs.
    pub expected: Vec<Tensor>,
    /// For each output, whether it is exact: sums of small multiples of a power of two, which round nowhere, so that
    /// every order of the sums gives the same.
    pub is_exact: Vec<bool>,
    /// The largest magnitude of all values, at least 1: what errors of inexact values are measured by.
    pub largest: f32,
    /// Whether every operator is continuous in its inputs.
    pub is_smooth: bool,
}

/// A random graph of up to ten nodes out of all operators, in any order: values read by several nodes, several
/// outputs, batches of 1 to 3, channel counts that are and are not multiples of 16, 1 to 5 axes.
///
/// Operators that jump (rounding to integers, `Sign`) only follow values that no engine may round differently, and
/// divisors keep away from 0, so that small errors stay small.
///
/// # Determinism
/// A pure function of the seed and `types`.
pub fn random_graph(seed: u64, types: ElementTypes) -> RandomGraph {
    random_graph_of(seed, types, |_| true)
}

/// As [`random_graph`], of `allowed` operators only.
pub fn random_graph_of(seed: u64, types: ElementTypes, allowed: fn(&Op) -> bool) -> RandomGraph {
    let draws = Draws::new(seed, stream("testing/random_graph"));
    let builder = GraphBuilder::new(format!("graph{seed}"));
    Generator { draws, types, allowed, builder, known: Vec::new(), n_names: 0, largest: 1.0, is_smooth: true }
        .generate()
}

/// A value with its elements.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    id: ValueId,
    pub(crate) tensor: Tensor,
    is_exact: bool,
    is_read: bool,
}

pub(crate) struct Generator {
    pub(crate) draws: Draws,
    types: ElementTypes,
    allowed: fn(&Op) -> bool,
    builder: GraphBuilder,
    pub(crate) known: Vec<Known>,
    n_names: usize,
    largest: f32,
    is_smooth: bool,
}

/// Operands of a node: values by their index in `known`, or constants.
#[derive(Debug)]
pub(crate) enum Source {
    Known(usize),
    Constant(Tensor),
}

impl Generator {
    fn generate(mut self) -> RandomGraph {
        let batch = self.draws.between(1, 3);
        let mut inputs = Vec::new();
        let n_inputs = if self.draws.chance(0.2) { 2 } else { 1 };
        for idx in 0..n_inputs {
            let shape = self.input_shape(batch);
            let dims = shape.iter().enumerate().map(|(axis, &extent)| match axis {
                0 => Dim::Free("N".to_owned()),
                _ => Dim::Fixed(extent),
            });
            let id = self.builder.input(format!("x{idx}"), DType::F32, dims.collect());
            let tensor = self.numbers(shape);
            self.known.push(Known { id, tensor: tensor.clone(), is_exact: true, is_read: false });
            inputs.push(tensor);
        }
        let n_nodes = self.draws.between(1, 10);
        let (mut n_made, mut n_tries) = (0, 0);
        while n_made < n_nodes && n_tries < 100 {
            n_made += self.draw_node();
            n_tries += 1;
        }
        self.finish(inputs)
    }

    fn input_shape(&mut self, batch: usize) -> Vec<usize> {
        let channels = [1, 2, 3, 4, 6, 8, 16, 17, 20, 32, 33][self.draws.below(11)];
        let n_axes = [1, 2, 3, 3, 4, 4, 4, 4, 4, 5][self.draws.below(10)];
        let small = [0, 6, 6, 6, 3][n_axes - 1];
        let mut shape = vec![batch];
        shape.extend((n_axes > 1).then_some(channels));
        shape.extend((2..n_axes).map(|_| self.draws.between(1, small)));
        shape
    }

    /// Small integers.
    pub(crate) fn numbers(&mut self, shape: Vec<usize>) -> Tensor {
        let n = shape.iter().product();
        Tensor::from_f32(shape, (0..n).map(|_| self.draws.between(0, 8) as f32 - 4.0).collect())
    }

    fn name(&mut self, kind: &str) -> String {
        self.n_names += 1;
        format!("{kind}{}", self.n_names)
    }

    /// Adds a node; returns the indices of its outputs, nothing if it does not fit or its values are not wanted.
    pub(crate) fn try_node(&mut self, op: Op, operands: Vec<Source>) -> Option<Vec<usize>> {
        if !(self.allowed)(&op) {
            return None;
        }
        let name = self.name(op.name());
        let tensors: Vec<&Tensor> = operands
            .iter()
            .map(|operand| match operand {
                Source::Known(idx) => &self.known[*idx].tensor,
                Source::Constant(tensor) => tensor,
            })
            .collect();
        let types: Vec<TensorType> = tensors.iter().map(|x| TensorType::of(x)).collect();
        let types: Vec<Option<&TensorType>> = types.iter().map(Some).collect();
        let tensors: Vec<Option<&Tensor>> = tensors.into_iter().map(Some).collect();
        let outputs = shape::output_shapes(&op, &name, &types).ok()?;
        let is_empty = outputs.iter().any(|output| output.n_elements() == 0);
        let too_large =
            outputs.iter().any(|output| output.n_elements() > MOST_ELEMENTS || output.shape.len() > MOST_AXES);
        if too_large || is_empty && !self.draws.chance(0.05) {
            return None;
        }
        let outputs = evaluate(&op, &name, &tensors).ok()?;
        if self.types == ElementTypes::F32 && outputs.iter().any(|output| output.dtype() != DType::F32) {
            return None;
        }
        let largest = outputs.iter().map(largest).fold(0.0, larger);
        let from_exact =
            operands.iter().all(|operand| !matches!(operand, Source::Known(i) if !self.known[*i].is_exact));
        // The comparison is false for NaN, too.
        let in_range = largest <= LARGEST;
        let rounding = op.rounding();
        let jumps = matches!(rounding, Rounding::Jumps | Rounding::RoundsAndJumps);
        if !in_range || (jumps && !from_exact) {
            return None;
        }
        self.is_smooth &= matches!(rounding, Rounding::Exact | Rounding::Rounds);
        self.largest = self.largest.max(largest);
        let mut ids: Vec<ValueId> = Vec::new();
        for (i, operand) in operands.into_iter().enumerate() {
            ids.push(match operand {
                Source::Known(idx) => {
                    self.known[idx].is_read = true;
                    self.known[idx].id
                }
                Source::Constant(tensor) => self.builder.constant(format!("{name}.c{i}"), tensor),
            });
        }
        let keeps_exact = from_exact && matches!(rounding, Rounding::Exact | Rounding::Jumps);
        let made = self.builder.node_with_outputs(name, op, &ids, outputs.len());
        let first = self.known.len();
        for (id, tensor) in made.into_iter().zip(outputs) {
            let is_exact = keeps_exact && on_grid(&tensor);
            self.known.push(Known { id, tensor, is_exact, is_read: false });
        }
        Some((first..self.known.len()).collect())
    }

    fn finish(mut self, inputs: Vec<Tensor>) -> RandomGraph {
        let last = self.known.len() - 1;
        let mut outputs = Vec::new();
        for idx in 0..self.known.len() {
            let is_input = idx < inputs.len();
            let wanted = match (idx == last, self.known[idx].is_read) {
                (true, _) => true,
                (false, false) => !is_input && self.draws.chance(0.7),
                (false, true) => self.draws.chance(if is_input { 0.02 } else { 0.15 }),
            };
            if wanted {
                outputs.push(idx);
            }
        }
        let turn = self.draws.below(outputs.len());
        outputs.rotate_left(turn);
        outputs.iter().for_each(|&idx| self.builder.output(self.known[idx].id));
        RandomGraph {
            graph: self.builder.build().expect("the generator builds well-formed graphs"),
            inputs,
            expected: outputs.iter().map(|&idx| self.known[idx].tensor.clone()).collect(),
            is_exact: outputs.iter().map(|&idx| self.known[idx].is_exact).collect(),
            largest: self.largest,
            is_smooth: self.is_smooth,
        }
    }
}

/// The larger magnitude, NaN if one is.
fn larger(most: f32, x: f32) -> f32 {
    if x.is_nan() || most.is_nan() { f32::NAN } else { x.abs().max(most) }
}

/// The largest magnitude of a tensor of floating point, NaN if one is; 0 for other types.
fn largest(tensor: &Tensor) -> f32 {
    match (tensor.as_f32(), tensor.elements::<f64>()) {
        (Some(elements), _) => elements.iter().copied().fold(0.0, larger),
        (_, Some(elements)) => elements.iter().map(|&x| x as f32).fold(0.0, larger),
        _ => 0.0,
    }
}

fn on_grid(tensor: &Tensor) -> bool {
    let exact = |x: &f32| x.abs() <= LARGEST_EXACT && (x / GRID).fract().abs() < f32::MIN_POSITIVE;
    tensor.as_f32().is_none_or(|elements| elements.iter().all(exact))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Executor;
    use crate::ops::ENTRIES;
    use crate::reference::Reference;

    #[test]
    fn every_operator_is_drawn() {
        let mut drawn: BTreeSet<&str> = BTreeSet::new();
        for seed in 0..2000 {
            let types = if seed % 4 == 0 { ElementTypes::Any } else { ElementTypes::F32 };
            drawn.extend(random_graph(seed, types).graph.nodes().iter().map(|node| node.op.name()));
        }
        let missing: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).filter(|name| !drawn.contains(name)).collect();
        assert!(missing.is_empty(), "never drawn: {missing:?}");
    }

    #[test]
    fn what_is_expected_is_what_the_reference_gives() {
        for seed in 0..300 {
            let random = random_graph(seed, ElementTypes::Any);
            let outputs = Reference::new(&random.graph).run(&random.inputs).unwrap();
            assert_eq!(outputs, random.expected, "seed {seed}");
        }
        assert_eq!(random_graph(5, ElementTypes::F32), random_graph(5, ElementTypes::F32));
    }
}
