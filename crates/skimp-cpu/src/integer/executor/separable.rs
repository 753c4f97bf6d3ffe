//! Whether a batch may be cut into images.

use skimp_graph::integer::{IntegerGraph, IntegerNode, IntegerOp};
use skimp_graph::ops::{Operand, Operands};
use skimp_graph::{Op, Tensor};

/// Whether every node treats the images of a batch separately, so that a batch of `n` may be cut along its first axis;
/// `batch` are the shapes of all values for the batch, `single` those for one image.
pub(super) fn is_separable(graph: &IntegerGraph, batch: &[Vec<usize>], single: &[Vec<usize>], n: usize) -> bool {
    let stacks = |id: usize| match (single[id].split_first(), batch[id].split_first()) {
        (Some((1, one)), Some((first, all))) => *first == n && one == all,
        _ => false,
    };
    graph.inputs.iter().all(|input| stacks(input.value.0))
        && graph.nodes.iter().all(|node| {
            let inputs: Vec<&[usize]> = node.inputs.iter().map(|id| single[id.0].as_slice()).collect();
            let output_rank = node.outputs.first().map_or(0, |id| single[id.0].len());
            node.outputs.iter().all(|id| stacks(id.0)) && keeps_images_apart(node, &inputs, output_rank)
        })
}

fn keeps_images_apart(node: &IntegerNode, inputs: &[&[usize]], output_rank: usize) -> bool {
    let is_first = |axis: i64| axis == 0 || inputs.first().is_some_and(|shape| axis == -(shape.len() as i64));
    match &node.op {
        IntegerOp::Quantize
        | IntegerOp::Dequantize
        | IntegerOp::Mac(_)
        | IntegerOp::MaxPool(_)
        | IntegerOp::AveragePool { .. }
        | IntegerOp::Rescale { .. }
        | IntegerOp::Sign => true,
        IntegerOp::Add { .. } => inputs.iter().all(|shape| shape.len() == output_rank),
        IntegerOp::Concat { axis } => !is_first(*axis),
        IntegerOp::Slice(slice) => slice.axes.iter().all(|&axis| !is_first(axis)),
        IntegerOp::Pad(pad) => pad.begin.first() == Some(&0) && pad.end.first() == Some(&0),
        IntegerOp::Move(op) => over_images(op, &vec![None; inputs.len()], inputs, output_rank),
        IntegerOp::Float { op, constants } => over_images(op, constants, inputs, output_rank),
    }
}

/// Whether an operator on codes or real numbers does, some of whose operands are constant.
fn over_images(op: &Op, constants: &[Option<Tensor>], inputs: &[&[usize]], output_rank: usize) -> bool {
    let mut dynamic = inputs.iter();
    let operands = constants.iter().map(|constant| match constant {
        Some(tensor) => Some(Operand { shape: tensor.shape(), is_constant: true }),
        None => dynamic.next().map(|shape| Operand { shape, is_constant: false }),
    });
    op.keeps_images_apart(&Operands { inputs: operands.collect(), output_rank })
}
