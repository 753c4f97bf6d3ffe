//! What to run, for one shape of the inputs.

use skimp_graph::integer::{
    Activation, IntegerGraph, IntegerNode, IntegerOp, MacLayer, MacLayout, MacOutput, Quotient,
};
use skimp_graph::ops;
use skimp_graph::shape::{WindowAxis, window_axes};
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
        quotient: Quotient,
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
    /// Any other node, on tensors.
    Node(usize),
}

/// A network for one shape of the inputs.
#[derive(Debug)]
pub(in crate::integer) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) coded: Vec<Option<Coded>>,
}

impl Plan {
    /// `shapes` are those of all values; `on_bytes` says of each node whether it is a layer that [`fits`].
    ///
    /// # Errors
    /// The node's error where its inputs do not fit it.
    pub(in crate::integer) fn new(
        graph: &IntegerGraph,
        on_bytes: &[bool],
        shapes: &[Vec<usize>],
    ) -> Result<Self, GraphError> {
        let ids = (0..graph.values.len()).map(ValueId);
        let mut coded: Vec<Option<Coded>> =
            ids.zip(shapes).map(|(id, shape)| Coded::new(shape, graph.encoding(id)?)).collect();
        for (node, &on_bytes) in graph.nodes.iter().zip(on_bytes) {
            if let (IntegerOp::Mac(layer), Some(input)) = (&node.op, input(node, 0))
                && on_bytes
                && let Some(value) = &mut coded[input]
                && is_channels_last(layer, value)
                && let Some(halo) = halo(&axes(layer, node, value)?)
            {
                value.layout.halo = value.layout.halo.union(halo);
            }
        }
        let joined = joins(graph, on_bytes, shapes, &coded);
        let mut planner = Planner { graph, on_bytes, coded: &coded, shapes, joined };
        let steps = (0..graph.nodes.len()).filter_map(|idx| planner.step(idx).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { steps, coded })
    }

    /// Bytes of all values.
    pub(in crate::integer) fn n_bytes(&self) -> u64 {
        self.coded.iter().flatten().fold(0, |sum, coded| {
            let n_images = coded.shape.first().copied().unwrap_or(1) as u64;
            sum.saturating_add((coded.layout.n_bytes() as u64).saturating_mul(n_images))
        })
    }
}

/// Whether a layer has kernels on bytes: codes of at most 8 bits, weights of a few 8-bit parts, sums within 32 bits.
pub(in crate::integer) fn fits(graph: &IntegerGraph, node: &IntegerNode, layer: &MacLayer) -> bool {
    let encoding = |id: Option<&ValueId>| id.and_then(|&id| graph.encoding(id));
    let Some(input) = encoding(node.inputs.first()).filter(|input| input.bits <= 8) else { return false };
    let is_coded = match layer.output {
        MacOutput::Codes(_) => encoding(node.outputs.first()).is_some_and(|output| output.bits <= 8),
        MacOutput::Real(_) | MacOutput::RealSingle(_) => true,
    };
    let bounded = |k: usize| layer.channel_bound(k, &input, None) <= i128::from(i32::MAX);
    is_coded
        && layer.layout != MacLayout::Line
        && layer.residual.is_none()
        && layer.activation != Activation::Sign
        && layer.weight_bits <= 9
        && !layer.weight.is_empty()
        && (0..layer.weight_shape[0]).all(bounded)
}

/// Whether the channels of the layer are those of its input's bytes: rows of a matrix with more axes lie otherwise.
fn is_channels_last(layer: &MacLayer, input: &Coded) -> bool {
    match layer.layout {
        MacLayout::Planes => input.shape.len() == 4,
        MacLayout::Rows => input.shape.len() == 2,
        MacLayout::Line => false,
    }
}

fn input(node: &IntegerNode, i: usize) -> Option<usize> {
    node.inputs.get(i).map(|id| id.0)
}

/// The windows of a layer over its input.
fn axes(layer: &MacLayer, node: &IntegerNode, input: &Coded) -> Result<[WindowAxis; 2], GraphError> {
    let shape = layer.shape_on(&node.name, &input.shape)?;
    Ok([shape.rows(), shape.cols()])
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
fn joins(graph: &IntegerGraph, on_bytes: &[bool], shapes: &[Vec<usize>], coded: &[Option<Coded>]) -> Vec<Joined> {
    let mut producers = vec![None; graph.values.len()];
    let mut n_readers = vec![0_usize; graph.values.len()];
    graph.outputs.iter().for_each(|id| n_readers[id.0] += 1);
    for (idx, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|id| n_readers[id.0] += 1);
        node.outputs.iter().for_each(|id| producers[id.0] = Some(idx));
    }
    let mut joined = vec![Joined::No; graph.nodes.len()];
    for (idx, node) in graph.nodes.iter().enumerate() {
        let (IntegerOp::Add { .. }, Some(a), Some(b)) = (&node.op, input(node, 0), input(node, 1)) else { continue };
        let output = node.outputs[0].0;
        let (Some(of_a), Some(of_b)) = (producers[a], producers[b]) else { continue };
        let (later, value) = if of_a > of_b { (of_a, a) } else { (of_b, b) };
        let layer_node = &graph.nodes[later];
        let source = input(layer_node, 0).and_then(|value| coded[value].as_ref());
        let is_layer = match (&layer_node.op, source) {
            // One with a step of its own, which the addition can join.
            (IntegerOp::Mac(layer), Some(source)) => {
                matches!(layer.output, MacOutput::Codes(_))
                    && on_bytes[later]
                    && is_channels_last(layer, source)
                    && axes(layer, layer_node, source).is_ok_and(|axes| halo(&axes).is_some())
            }
            _ => false,
        };
        let same = shapes[a] == shapes[b] && [a, b, output].iter().all(|&value| coded[value].is_some());
        if is_layer && same && a != b && n_readers[value] == 1 && joined[later] == Joined::No {
            joined[later] = Joined::By(idx);
            joined[idx] = Joined::Into;
        }
    }
    joined
}

struct Planner<'a> {
    graph: &'a IntegerGraph,
    on_bytes: &'a [bool],
    coded: &'a [Option<Coded>],
    shapes: &'a [Vec<usize>],
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
            (IntegerOp::Quantize(quotient), None, Some((output, _))) => {
                input(node, 0).map(|input| Step::Quantize { quotient: *quotient, input, output })
            }
            (IntegerOp::Dequantize, Some((input, _)), None) => {
                Some(Step::Dequantize { input, output: node.outputs[0].0 })
            }
            (IntegerOp::Mac(layer), Some(from), _) if self.on_bytes[idx] && is_channels_last(layer, from.1) => {
                self.layer(idx, layer, from)?
            }
            (IntegerOp::Add { .. }, Some(a), Some(to)) => self.add(node, a, to),
            (IntegerOp::Move(op), Some(from), Some(to)) => moved(op, from, to),
            (IntegerOp::Slice(slice), Some(from), Some(to)) => gathered(&Op::Slice(slice.clone()), 0, from, to),
            (IntegerOp::Pad { pad, code }, Some(from), Some(to)) => {
                gathered(&Op::Pad(pad.clone()), byte(*code, &to.1.encoding), from, to)
            }
            (IntegerOp::Concat { axis }, Some(_), Some((output, to)))
                if [1, 1 - to.shape.len() as i64].contains(axis) =>
            {
                let inputs = (0..node.inputs.len()).map(|i| self.coded(input(node, i)).map(|(value, _)| value));
                inputs.collect::<Option<Vec<usize>>>().map(|inputs| Step::Concat { inputs, output })
            }
            (IntegerOp::MaxPool(_) | IntegerOp::AveragePool { .. }, Some(from), Some(to)) => pooled(node, from, to)?,
            (op, Some((input, from)), Some((output, to))) => {
                code_table(op, from, to).map(|table| Step::Table { table, input, output })
            }
            _ => None,
        };
        Ok(Some(step.unwrap_or(Step::Node(idx))))
    }

    fn layer(
        &self,
        idx: usize,
        layer: &MacLayer,
        (input_idx, from): (usize, &Coded),
    ) -> Result<Option<Step>, GraphError> {
        let node = &self.graph.nodes[idx];
        let mut output = node.outputs[0].0;
        let axes = axes(layer, node, from)?;
        if halo(&axes).is_none() {
            return Ok(None);
        }
        let [rows, cols] = &axes;
        let windows = Windows { zero: from.encoding.zero_point - from.encoding.min_code(), rows, cols };
        let MacOutput::Codes(requantizers) = &layer.output else {
            return Ok(self.real_layer(layer, windows, input_idx, from, output));
        };
        let Some((_, to)) = self.coded(Some(output)) else { return Ok(None) };
        let (encoding, mut to_layout) = (to.encoding, to.layout);
        let (mut join, mut other) = (None, None);
        if let Joined::By(add) = self.joined[idx]
            && let IntegerOp::Add { rule, min, max } = &self.graph.nodes[add].op
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
                other_least: operand.1.encoding.min_code(),
                min: *min,
                max: *max,
                least: sum.1.encoding.min_code(),
            });
            other = Some((operand.0, operand.1.layout));
            (output, to_layout) = (sum.0, sum.1.layout);
        }
        let ends = Ends { input: from.layout, output: to_layout, other: other.map(|(_, layout)| layout) };
        let finish = Finish::new(requantizers, layer.weight_shape[0], &encoding, layer.code_range(&encoding), join);
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
        layer: &MacLayer,
        windows: Windows<'_>,
        input: usize,
        from: &Coded,
        output: usize,
    ) -> Option<Step> {
        let to = match self.shapes[output][..] {
            [_, c, h, w] => super::layout::Layout::new(c, h, w),
            [_, c] => super::layout::Layout::new(c, 1, 1),
            _ => return None,
        };
        let ends = Ends { input: from.layout, output: to, other: None };
        let conv = Box::new(Conv::new(layer, ends, windows, Tail::Real(Box::new(layer.clone()))));
        Some(Step::Conv { conv, input, other: None, output })
    }

    fn add(&self, node: &IntegerNode, (a, of_a): (usize, &Coded), (output, to): (usize, &Coded)) -> Option<Step> {
        let IntegerOp::Add { rule, min, max } = &node.op else { return None };
        let (b, of_b) = self.coded(input(node, 1))?;
        if of_a.shape != to.shape || of_b.shape != to.shape {
            return None;
        }
        let join = Join {
            rule: *rule,
            is_first: true,
            other_least: of_b.encoding.min_code(),
            min: *min,
            max: *max,
            least: to.encoding.min_code(),
        };
        Some(Step::Add { sums: join.table(of_a.encoding.min_code()), a, b, output })
    }
}

/// A function of one code as bytes; `None` for another operator.
fn code_table(op: &IntegerOp, from: &Coded, to: &Coded) -> Option<Box<[u8; 256]>> {
    let least = from.encoding.min_code();
    let n_codes = (from.encoding.max_code() - least + 1) as usize;
    let mut table = Box::new([0; 256]);
    for (i, entry) in table.iter_mut().enumerate().take(n_codes) {
        let code = least + i as i32;
        let result = match op {
            IntegerOp::Table(codes) => codes[i],
            IntegerOp::Rescale { multiplier, min, max } => {
                to.encoding.saturate(multiplier.apply(code.into())).clamp(*min, *max)
            }
            IntegerOp::Sign => code.signum(),
            _ => return None,
        };
        *entry = byte(result, &to.encoding);
    }
    Some(table)
}

/// A maximum or a mean over windows of `[n, c, h, w]`.
fn pooled(
    node: &IntegerNode,
    (input, from): (usize, &Coded),
    (output, to): (usize, &Coded),
) -> Result<Option<Step>, GraphError> {
    let layout = &from.layout;
    if from.shape.len() != 4 {
        return Ok(None);
    }
    let axes = |op: &dyn Fn(skimp_graph::Window) -> Op, window: &Option<skimp_graph::Window>| match window {
        None => Ok([WindowAxis::whole(layout.height), WindowAxis::whole(layout.width)]),
        Some(window) => {
            let axes = window_axes(&op(window.clone()), &node.name, window, &[layout.height, layout.width])?;
            Ok::<_, GraphError>([axes[0], axes[1]])
        }
    };
    Ok(match &node.op {
        IntegerOp::MaxPool(window) => {
            let axes = axes(&|window| Op::MaxPool(ops::MaxPool { window }), window)?;
            Some(Step::Max { axes, input, output })
        }
        IntegerOp::AveragePool { window, count_include_pad, rounding, min, max } => {
            let count_include_pad = *count_include_pad;
            let axes = axes(&|window| Op::AveragePool(ops::AveragePool { window, count_include_pad }), window)?;
            let mean = Mean::new(axes, count_include_pad, *rounding, (from.encoding, to.encoding), (*min, *max));
            mean.map(|mean| Step::Mean { mean: Box::new(mean), input, output })
        }
        _ => None,
    })
}

/// A move that renames axes.
fn moved(op: &Op, from: (usize, &Coded), to: (usize, &Coded)) -> Option<Step> {
    let same = [from.1, to.1].iter().all(|coded| coded.layout.n_pixels() == 1)
        && (from.1.layout.channels, from.1.shape[0]) == (to.1.layout.channels, to.1.shape[0]);
    match op {
        Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Identity | Op::Dropout(_) if same => {
            Some(Step::Copy { input: from.0, output: to.0 })
        }
        _ => gathered(op, 0, from, to),
    }
}

/// A move by its indices; `pad` is the byte that pads.
fn gathered(op: &Op, pad: u8, (input, from): (usize, &Coded), (output, to): (usize, &Coded)) -> Option<Step> {
    Gather::new(op, from, to, pad).map(|gather| Step::Gather { gather: Box::new(gather), input, output })
}
