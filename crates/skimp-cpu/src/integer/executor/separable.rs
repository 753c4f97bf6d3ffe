//! Whether a batch may be cut into images.

use skimp_graph::{
    Op, Tensor,
    integer::{IntegerGraph, IntegerNode, IntegerOp},
};

/// Whether every node treats the images of a batch separately, so that a batch of `n` may be cut along its first axis;
/// `shapes` are those of all values.
///
/// A conservative test: an operator that is not known to do so counts as one that does not.
pub(super) fn is_separable(graph: &IntegerGraph, shapes: &[Vec<usize>], n: usize) -> bool {
    let has_batch = |shape: &[usize]| shape.first() == Some(&n);
    graph.inputs.iter().all(|input| has_batch(&shapes[input.value.0]))
        && graph.nodes.iter().all(|node| {
            let inputs: Vec<&[usize]> = node.inputs.iter().map(|id| shapes[id.0].as_slice()).collect();
            node.outputs.iter().all(|id| has_batch(&shapes[id.0])) && keeps_images_apart(node, &inputs)
        })
}

fn keeps_images_apart(node: &IntegerNode, inputs: &[&[usize]]) -> bool {
    match &node.op {
        IntegerOp::Quantize
        | IntegerOp::Dequantize
        | IntegerOp::Mac(_)
        | IntegerOp::MaxPool(_)
        | IntegerOp::AveragePool { .. }
        | IntegerOp::Rescale { .. }
        | IntegerOp::Sign => true,
        IntegerOp::Add { .. } => same_rank(inputs),
        IntegerOp::Concat { axis } => *axis > 0,
        IntegerOp::Slice(slice) => slice.axes.iter().all(|&axis| axis > 0),
        IntegerOp::Pad(pad) => pad.begin.first() == Some(&0) && pad.end.first() == Some(&0),
        IntegerOp::Move(op) => move_keeps_images_apart(op),
        IntegerOp::Float { op, constants } => match op {
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::PRelu => broadcasts_within_images(inputs, constants),
            // A constant part has the batch that it has.
            Op::Concat { axis } => *axis > 0 && constants.iter().all(Option::is_none),
            _ => float_keeps_images_apart(op) || move_keeps_images_apart(op),
        },
    }
}

/// Whether all operands have the batch (which every value has first) on the same axis.
fn same_rank(inputs: &[&[usize]]) -> bool {
    inputs.windows(2).all(|pair| pair[0].len() == pair[1].len())
}

/// Whether, in addition, no constant reaches over the batch.
fn broadcasts_within_images(inputs: &[&[usize]], constants: &[Option<Tensor>]) -> bool {
    let rank = inputs.first().map_or(0, |shape| shape.len());
    let within = |constant: &Tensor| {
        let shape = constant.shape();
        shape.len() < rank || (shape.len() == rank && shape[0] == 1)
    };
    same_rank(inputs) && constants.iter().flatten().all(within)
}

/// Moves whose first output axis is the first input axis.
fn move_keeps_images_apart(op: &Op) -> bool {
    match op {
        Op::Identity | Op::Dropout { .. } => true,
        Op::Flatten { axis } => *axis == 1,
        // The batch is copied to the first axis, and to no other one.
        Op::Reshape { shape, allow_zero } => shape.first() == Some(&0) && !allow_zero && !shape.contains(&-2),
        Op::Transpose { perm } => perm.first() == Some(&0),
        Op::Squeeze { axes } => !axes.is_empty() && axes.iter().all(|&axis| axis > 0),
        Op::Unsqueeze { axes } => axes.iter().all(|&axis| axis > 0),
        _ => false,
    }
}

/// Float operators that work element by element, or within an image.
fn float_keeps_images_apart(op: &Op) -> bool {
    match op {
        Op::Relu
        | Op::LeakyRelu { .. }
        | Op::Clip { .. }
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Sign
        | Op::Lrn { .. }
        | Op::Conv { .. }
        | Op::BatchNormalization { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool => true,
        Op::Softmax { axis } => *axis > 0,
        Op::ReduceMean { axes, keep_dims: _ } => !axes.is_empty() && axes.iter().all(|&axis| axis > 0),
        _ => false,
    }
}
