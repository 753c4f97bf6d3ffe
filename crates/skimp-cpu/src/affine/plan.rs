//! What to run, for one shape of the inputs.

use skimp_graph::affine::{
    AddRule, AffineGraph, AffineLayer, AffineNode, AffineOp, LayerOutput, MeanWindow, mean_axes,
};
use skimp_graph::ops::{self, Operand, Operands};
use skimp_graph::shape::{TensorType, WindowAxis, window_axes};
use skimp_graph::{GraphError, Op, ValueId};

use super::conv::{Conv, Ends, Tail, Windows};
use super::depthwise::Depthwise;
use super::finish::{Finish, Join};
use super::gather::Gather;
use super::layout::{Halo, byte};
use super::pool::Mean;
use super::store::Coded;
use crate::kernels::affords_padding;

/// One node's work; values by index.
#[derive(Debug)]
pub(super) enum Step {
    Quantize {
        input: usize,
        output: usize,
    },
    Dequantize {
        input: usize,
        output: usize,
    },
    Conv {
        conv: Box<Conv>,
        input: usize,
        other: Option<usize>,
        output: usize,
    },
    Depthwise {
        layer: Box<Depthwise>,
        input: usize,
        other: Option<usize>,
        output: usize,
    },
    /// Bytes of the sums: that of a and b stands at `256 · a + b`.
    Add {
        sums: Vec<u8>,
        a: usize,
        b: usize,
        output: usize,
    },
    Mean {
        mean: Box<Mean>,
        input: usize,
        output: usize,
    },
    Max {
        axes: [WindowAxis; 2],
        input: usize,
        output: usize,
    },
    Table {
        table: Box<[u8; 256]>,
        input: usize,
        output: usize,
    },
    Concat {
        inputs: Vec<usize>,
        output: usize,
    },
    /// A channel vector under another shape.
    Copy {
        input: usize,
        output: usize,
    },
    /// Any other move.
    Gather {
        gather: Box<Gather>,
        input: usize,
        output: usize,
    },
    /// Any other node, as the interpreter runs it.
    Node(usize),
}

/// A network for one shape of the inputs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) coded: Vec<Option<Coded>>,
    pub(super) types: Vec<Option<TensorType>>,
}

impl Plan {
    /// # Errors
    /// The node's error where its inputs do not fit it.
    pub(super) fn new(graph: &AffineGraph, inputs: &[Vec<usize>]) -> Result<Self, GraphError> {
        let types = graph.types(inputs)?;
        let mut coded: Vec<Option<Coded>> = graph
            .values
            .iter()
            .zip(&types)
            .map(|(value, found)| Coded::new(found.as_ref()?, value.encoding?))
            .collect();
        for node in &graph.nodes {
            if let (AffineOp::Layer(layer), Some(input)) = (&node.op, input(node, 0))
                && let Some(value) = &mut coded[input]
                && let Some(halo) = halo(&axes(layer, node, value)?)
            {
                value.layout.halo = value.layout.halo.union(halo);
            }
        }
        let mut planner = Planner { graph, coded: &coded, types: &types, joined: joins(graph, &types, &coded) };
        let steps = (0..graph.nodes.len()).filter_map(|idx| planner.step(idx).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { steps, coded, types })
    }
}

fn input(node: &AffineNode, i: usize) -> Option<usize> {
    node.inputs.get(i).copied().flatten().map(|id| id.0)
}

/// The windows of a layer over its input.
fn axes(layer: &AffineLayer, node: &AffineNode, input: &Coded) -> Result<[WindowAxis; 2], GraphError> {
    let op = Op::Conv(ops::Conv { window: layer.window.clone(), groups: layer.groups });
    let axes = window_axes(&op, &node.name, &layer.window, &[input.layout.height, input.layout.width])?;
    Ok([axes[0], axes[1]])
}

/// The padding that windows over an image read, `None` where it is too wide to be stored.
fn halo(axes: &[WindowAxis; 2]) -> Option<Halo> {
    let reach = |axis: &WindowAxis| (axis.output.max(1) - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
    let beyond = |axis: &WindowAxis| reach(axis).saturating_sub(axis.pad_begin + axis.input);
    let padded = |axis: &WindowAxis| Some(axis.pad_begin + axis.input + beyond(axis));
    let extents = [&axes[0], &axes[1]];
    let affords = affords_padding(extents.map(padded), extents.map(|axis| axis.input), extents.map(|axis| axis.output));
    affords.then(|| Halo {
        top: axes[0].pad_begin,
        left: axes[1].pad_begin,
        bottom: beyond(&axes[0]),
        right: beyond(&axes[1]),
    })
}

/// For each node: the addition that joins it (for a layer), or the layer that it joins (for an addition).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joined {
    No,
    By(usize),
    Into,
}

/// An addition joins the layer that makes the later of its operands, if nobody else reads that one.
fn joins(graph: &AffineGraph, types: &[Option<TensorType>], coded: &[Option<Coded>]) -> Vec<Joined> {
    let mut producers = vec![None; graph.values.len()];
    let mut n_readers = vec![0_usize; graph.values.len()];
    graph.outputs.iter().for_each(|id| n_readers[id.0] += 1);
    for (idx, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().flatten().for_each(|id| n_readers[id.0] += 1);
        node.outputs.iter().for_each(|id| producers[id.0] = Some(idx));
    }
    let mut joined = vec![Joined::No; graph.nodes.len()];
    for (idx, node) in graph.nodes.iter().enumerate() {
        let (AffineOp::Add { .. }, Some(a), Some(b)) = (&node.op, input(node, 0), input(node, 1)) else { continue };
        let output = node.outputs[0].0;
        let (Some(of_a), Some(of_b)) = (producers[a], producers[b]) else { continue };
        let (later, value) = if of_a > of_b { (of_a, a) } else { (of_b, b) };
        let layer_node = &graph.nodes[later];
        let source = input(layer_node, 0).and_then(|value| coded[value].as_ref());
        let is_layer = match (&layer_node.op, source) {
            // One with a step of its own, which the addition can join.
            (AffineOp::Layer(layer), Some(source)) => {
                matches!(layer.output, LayerOutput::Codes { .. })
                    && axes(layer, layer_node, source).is_ok_and(|axes| halo(&axes).is_some())
            }
            _ => false,
        };
        let same = types[a].as_ref().map(|t| &t.shape) == types[b].as_ref().map(|t| &t.shape)
            && [a, b, output].iter().all(|&value| coded[value].is_some());
        if is_layer && same && a != b && n_readers[value] == 1 && joined[later] == Joined::No {
            joined[later] = Joined::By(idx);
            joined[idx] = Joined::Into;
        }
    }
    joined
}

struct Planner<'a> {
    graph: &'a AffineGraph,
    coded: &'a [Option<Coded>],
    types: &'a [Option<TensorType>],
    joined: Vec<Joined>,
}

impl Planner<'_> {
    fn coded(&self, value: Option<usize>) -> Option<(usize, &Coded)> {
        let value = value?;
        self.coded[value].as_ref().map(|coded| (value, coded))
    }

    /// The step of a node; `None` for an addition that joined a layer.
    fn step(&mut self, idx: usize) -> Result<Option<Step>, GraphError> {
        if self.joined[idx] == Joined::Into {
            return Ok(None);
        }
        let node = &self.graph.nodes[idx];
        let (from, to) = (self.coded(input(node, 0)), self.coded(node.outputs.first().map(|id| id.0)));
        let step = match (&node.op, from, to) {
            (AffineOp::Quantize, None, Some((output, _))) => {
                input(node, 0).map(|input| Step::Quantize { input, output })
            }
            (AffineOp::Dequantize, Some((input, _)), None) => {
                Some(Step::Dequantize { input, output: node.outputs[0].0 })
            }
            (AffineOp::Layer(layer), Some((input, coded)), _) => self.layer(idx, layer, input, coded)?,
            (AffineOp::Add { rule, min, max }, Some((a, _)), Some(to)) => self.add(node, rule, (*min, *max), a, to),
            (AffineOp::Mean { window, rule, min, max }, Some((input, from)), Some((output, _))) => {
                let mean =
                    mean(node, window, from)?.and_then(|(axes, count)| Mean::new(axes, count, *rule, *min, *max));
                mean.map(|mean| Step::Mean { mean: Box::new(mean), input, output })
            }
            (AffineOp::Table(table), Some((input, _)), Some((output, to))) => {
                let code_type = to.encoding.code_type;
                let bytes = Box::new(std::array::from_fn(|i| byte(table[i], code_type)));
                Some(Step::Table { table: bytes, input, output })
            }
            (AffineOp::Move(op), Some((input, from)), Some((output, to))) => {
                self.moved(node, op, (input, from), (output, to))?
            }
            _ => None,
        };
        Ok(Some(step.unwrap_or(Step::Node(idx))))
    }

    fn layer(
        &self,
        idx: usize,
        layer: &AffineLayer,
        input_idx: usize,
        from: &Coded,
    ) -> Result<Option<Step>, GraphError> {
        let node = &self.graph.nodes[idx];
        let mut output = node.outputs[0].0;
        let axes = axes(layer, node, from)?;
        if halo(&axes).is_none() {
            return Ok(None);
        }
        let [rows, cols] = &axes;
        let code_type = from.encoding.code_type;
        let windows = Windows { zero: from.encoding.zero_point - code_type.min(), rows, cols };
        let LayerOutput::Codes { requantizers, min, max } = &layer.output else {
            return Ok(self.real_layer(layer, windows, input_idx, from, output));
        };
        let Some((_, to)) = self.coded(Some(output)) else { return Ok(None) };
        let (encoding, mut to_layout) = (to.encoding, to.layout);
        let (mut join, mut other) = (None, None);
        if let Joined::By(add) = self.joined[idx]
            && let AffineOp::Add { rule, min, max } = &self.graph.nodes[add].op
        {
            let (a, b) = (input(&self.graph.nodes[add], 0), input(&self.graph.nodes[add], 1));
            let is_first = a == Some(output);
            let (Some(operand), Some(sum)) =
                (self.coded(if is_first { b } else { a }), self.coded(Some(self.graph.nodes[add].outputs[0].0)))
            else {
                return Ok(None);
            };
            join = Some(Join {
                rule: *rule,
                is_first,
                other_least: operand.1.encoding.code_type.min(),
                min: *min,
                max: *max,
                least: sum.1.encoding.code_type.min(),
            });
            other = Some((operand.0, operand.1.layout));
            (output, to_layout) = (sum.0, sum.1.layout);
        }
        let ends = Ends { input: from.layout, output: to_layout, other: other.map(|(_, layout)| layout) };
        let finish = Finish::new(requantizers, layer.weight_shape[0], &encoding, (*min, *max), join);
        let other = other.map(|(value, _)| value);
        Ok(Some(if Depthwise::fits(layer) {
            let layer = Box::new(Depthwise::new(layer, ends, windows, finish));
            Step::Depthwise { layer, input: input_idx, other, output }
        } else {
            let conv = Box::new(Conv::new(layer, ends, windows, Tail::Codes(Box::new(finish))));
            Step::Conv { conv, input: input_idx, other, output }
        }))
    }

    /// A layer that gives real numbers.
    fn real_layer(
        &self,
        layer: &AffineLayer,
        windows: Windows<'_>,
        input: usize,
        from: &Coded,
        output: usize,
    ) -> Option<Step> {
        let LayerOutput::Real(scales) = &layer.output else { return None };
        let shape = &self.types[output].as_ref()?.shape;
        let to = match shape[..] {
            [_, c, h, w] => super::layout::Layout::new(c, h, w),
            [_, c] => super::layout::Layout::new(c, 1, 1),
            _ => return None,
        };
        let ends = Ends { input: from.layout, output: to, other: None };
        let conv = Box::new(Conv::new(layer, ends, windows, Tail::Real(scales.clone())));
        Some(Step::Conv { conv, input, other: None, output })
    }

    fn add(
        &self,
        node: &AffineNode,
        rule: &AddRule,
        (min, max): (i32, i32),
        a: usize,
        (output, to): (usize, &Coded),
    ) -> Option<Step> {
        let (b, operand) = self.coded(input(node, 1))?;
        if self.coded[a].as_ref()?.shape != to.shape || operand.shape != to.shape {
            return None;
        }
        let join = Join {
            rule: *rule,
            is_first: true,
            other_least: operand.encoding.code_type.min(),
            min,
            max,
            least: to.encoding.code_type.min(),
        };
        let least = self.coded[a].as_ref()?.encoding.code_type.min();
        Some(Step::Add { sums: join.table(least), a, b, output })
    }

    fn moved(
        &self,
        node: &AffineNode,
        op: &Op,
        (input_idx, from): (usize, &Coded),
        (output, to): (usize, &Coded),
    ) -> Result<Option<Step>, GraphError> {
        let layout = &from.layout;
        Ok(match op {
            Op::MaxPool(ops::MaxPool { window }) if from.shape.len() == 4 => {
                let axes = window_axes(op, &node.name, window, &[layout.height, layout.width])?;
                Some(Step::Max { axes: [axes[0], axes[1]], input: input_idx, output })
            }
            Op::Concat(ops::Concat { axis }) if [1, 1 - to.shape.len() as i64].contains(axis) => {
                let inputs = (0..node.inputs.len()).map(|i| self.coded(input(node, i)).map(|(value, _)| value));
                inputs.collect::<Option<Vec<usize>>>().map(|inputs| Step::Concat { inputs, output })
            }
            Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Identity => {
                let same = [from, to].iter().all(|coded| coded.layout.n_pixels() == 1)
                    && (from.layout.channels, from.shape[0]) == (to.layout.channels, to.shape[0]);
                let copy = same.then_some(Step::Copy { input: input_idx, output });
                copy.or_else(|| gathered(op, (input_idx, from), (output, to)))
            }
            Op::Slice(_) | Op::Pad(_) | Op::Transpose(_) => gathered(op, (input_idx, from), (output, to)),
            _ => None,
        })
    }
}

/// A move by its indices.
fn gathered(op: &Op, (input, from): (usize, &Coded), (output, to): (usize, &Coded)) -> Option<Step> {
    let pad = match op {
        // What pads is a code already.
        Op::Pad(pad) => byte(pad.value as i32, to.encoding.code_type),
        _ => 0,
    };
    Gather::new(op, from, to, pad).map(|gather| Step::Gather { gather: Box::new(gather), input, output })
}

type MeanWindows = ([WindowAxis; 2], bool);

fn mean(node: &AffineNode, window: &MeanWindow, from: &Coded) -> Result<Option<MeanWindows>, GraphError> {
    let Ok(shape) = <[usize; 4]>::try_from(from.shape.as_slice()) else { return Ok(None) };
    let (axes, _, count_include_pad) = mean_axes(&node.name, window, shape)?;
    Ok(Some((axes, count_include_pad)))
}

/// Whether the network treats every image by itself, so that a batch may be cut: the shapes of a batch of one say so, and
/// no operator works across the first axis.
pub(super) fn is_separable(graph: &AffineGraph, whole: &Plan, single: &Plan, n: usize) -> bool {
    let is_input_or_made = |idx: usize| graph.values[idx].constant.is_none();
    let shapes_agree = whole.types.iter().zip(&single.types).enumerate().all(|(idx, pair)| match pair {
        (Some(whole), Some(single)) if is_input_or_made(idx) => {
            whole.shape.first() == Some(&n) && single.shape.first() == Some(&1) && whole.shape[1..] == single.shape[1..]
        }
        _ => true,
    });
    let operand = |id: ValueId| {
        let shape = single.types[id.0].as_ref().map_or(&[][..], |found| &found.shape);
        Operand { shape, is_constant: !is_input_or_made(id.0) }
    };
    shapes_agree
        && graph.nodes.iter().all(|node| {
            let operands = Operands {
                inputs: node.inputs.iter().map(|input| input.map(operand)).collect(),
                output_rank: node.outputs.first().map_or(0, |&id| operand(id).shape.len()),
            };
            let made = operands.inputs.iter().flatten().filter(|input| !input.is_constant);
            // Of another rank, the batch of one operand would meet another axis of the other one.
            let ranks: Vec<usize> = made.map(|input| input.shape.len()).collect();
            ranks.windows(2).all(|pair| pair[0] == pair[1])
                && match &node.op {
                    AffineOp::Move(op) | AffineOp::Float(op) => op.keeps_images_apart(&operands),
                    _ => true,
                }
        })
}
