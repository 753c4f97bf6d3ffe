//! Layers of an integer network without a matrix of weights, as simulators see them: what they read, write and compute.

use std::collections::HashMap;

use skimp_data::InputSpec;
use skimp_graph::integer::{FloatOperand, IntegerGraph, IntegerNode, IntegerOp, ValueKind, product_shape};
use skimp_graph::ops::Class;
use skimp_graph::shape::LayerShape;
use skimp_graph::{Op, ValueId};
use skimp_report::records::{OperandRecord, OtherLayerRecord};
use skimp_sim::{Operand, OtherKind, OtherLayer, Work};

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::stages::coverage::NetworkWork;

/// Width of real numbers.
const REAL_BITS: u32 = 32;

/// The layers of `integer`, which is `network` quantized, that are no multiply-accumulate layers, in execution order, for
/// one image of `batch` at once, where its inputs have `extents`. Conversions between codes and real numbers, and operators that only rename axes, move
/// nothing of their own and are left out.
///
/// # Errors
/// The node's error if the shapes do not fit.
pub(crate) fn other_layers(
    network: &Network,
    integer: &IntegerGraph,
    input: InputSpec,
    (extents, batch): (&[Vec<usize>], usize),
) -> Result<Vec<OtherLayer>, StudyError> {
    let shapes = integer.shapes(extents)?;
    let macs = NetworkWork::new(network, input)?;
    let operators: HashMap<&str, &'static str> =
        network.graph.nodes().iter().map(|node| (node.name.as_str(), node.op.name())).collect();
    let values = Values { integer, codes: code_widths(integer), shapes: &shapes, batch: batch.max(1) as u64 };
    let mut layers = Vec::new();
    for node in &integer.nodes {
        let Some(kind) = kind(&node.op) else { continue };
        let first = node.inputs.first().map_or(&[][..], |id| shapes[id.0].as_slice());
        let pool = node.op.pool_shape(&node.name, first)?.map(|shape| shape.with_images(1));
        let mut layer = OtherLayer {
            name: node.name.clone(),
            operator: operators.get(node.name.as_str()).map_or(node.op.name(), |name| *name).to_owned(),
            kind,
            shape: pool.or_else(|| product(node, &shapes, batch)),
            inputs: values.operands(&node.inputs),
            outputs: values.operands(&node.outputs),
            work: Vec::new(),
        };
        layer.work = work(node, &layer, macs.macs_of(&node.name));
        if let IntegerOp::Float { operands, .. } = &node.op {
            let constants = operands.iter().filter_map(|operand| match operand {
                FloatOperand::Constant(tensor) => Some(Operand { elements: tensor.len() as u64, bits: REAL_BITS }),
                FloatOperand::Input | FloatOperand::Absent => None,
            });
            layer.inputs.extend(constants);
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// The values of an integer network as operands.
struct Values<'a> {
    integer: &'a IntegerGraph,
    codes: HashMap<&'a str, u32>,
    shapes: &'a [Vec<usize>],
    batch: u64,
}

impl Values<'_> {
    fn operands(&self, ids: &[ValueId]) -> Vec<Operand> {
        let operand = |id: &ValueId| {
            let value = &self.integer.values[id.0];
            let elements = self.shapes[id.0].iter().map(|&extent| extent as u64).fold(1, u64::saturating_mul);
            let bits = match value.kind {
                ValueKind::Codes(encoding) => encoding.bits,
                // A value that exists as codes, too, is stored as codes.
                ValueKind::Real => self.codes.get(value.name.as_str()).copied().unwrap_or(REAL_BITS),
            };
            Operand { elements: elements.div_ceil(self.batch), bits }
        };
        ids.iter().map(operand).collect()
    }
}

/// The extents of a product of two values for one image of `batch` at once; `None` for another node, or where images cannot be
/// told apart.
fn product(node: &IntegerNode, shapes: &[Vec<usize>], batch: usize) -> Option<LayerShape> {
    let of_reals = |op: &IntegerOp| {
        let IntegerOp::Float { op: Op::MatMul, operands } = op else { return false };
        operands[..] == [FloatOperand::Input, FloatOperand::Input]
    };
    let is_product = matches!(node.op, IntegerOp::Product { .. }) || of_reals(&node.op);
    let [a, b] = *node.inputs else { return None };
    let [mut a, mut b] = [shapes[a.0].clone(), shapes[b.0].clone()];
    for operand in [&mut a, &mut b] {
        // Images are stacked on the first axis of both.
        let first = operand.first_mut().filter(|first| first.is_multiple_of(batch))?;
        *first /= batch.max(1);
    }
    let stacked = a.len() == b.len() && a.len() > 2;
    (is_product && (batch == 1 || stacked)).then(|| product_shape(&a, &b))?
}

/// Width of each value that exists as codes, by name.
fn code_widths(integer: &IntegerGraph) -> HashMap<&str, u32> {
    let width = |value: &'_ skimp_graph::integer::IntegerValue| match value.kind {
        ValueKind::Codes(encoding) => Some(encoding.bits),
        ValueKind::Real => None,
    };
    integer.values.iter().filter_map(|value| Some((value.name.as_str(), width(value)?))).collect()
}

/// The kind of work of a node that is a layer without a matrix of weights.
fn kind(op: &IntegerOp) -> Option<OtherKind> {
    Some(match op {
        IntegerOp::Quantize(_) | IntegerOp::Dequantize | IntegerOp::Expose | IntegerOp::Mac(_) => return None,
        IntegerOp::MaxPool(_) | IntegerOp::AveragePool { .. } => OtherKind::Pool,
        IntegerOp::Add { .. } | IntegerOp::Rescale { .. } | IntegerOp::Table(_) | IntegerOp::Sign => {
            OtherKind::ElementWise
        }
        IntegerOp::Product { .. } => OtherKind::Product,
        IntegerOp::Concat { .. } | IntegerOp::Slice(_) | IntegerOp::Pad { .. } => OtherKind::Move,
        IntegerOp::Move(op) | IntegerOp::Float { op, .. } => return kind_of_operator(op),
    })
}

/// The kind of work of an ONNX operator; `None` where it only renames axes.
fn kind_of_operator(op: &Op) -> Option<OtherKind> {
    (!op.renames()).then(|| match op.class() {
        Class::Moves => OtherKind::Move,
        Class::ElementWise => OtherKind::ElementWise,
        Class::Reduces => OtherKind::Reduction,
        Class::Multiplies => OtherKind::Product,
        Class::Normalizes => OtherKind::Normalization,
        Class::Pools => OtherKind::Pool,
    })
}

/// What a layer computes for one image. Saturating a code to its range is not counted.
fn work(node: &IntegerNode, layer: &OtherLayer, macs: u64) -> Vec<(Work, u64)> {
    let outputs = layer.output_count();
    let taps = layer.shape.filter(|_| layer.kind == OtherKind::Pool).map_or(0, |shape| (shape.r() * shape.s()) as u64);
    let joined = outputs.saturating_mul(taps.saturating_sub(1));
    match &node.op {
        IntegerOp::MaxPool(_) => vec![(Work::Comparisons, joined)],
        IntegerOp::AveragePool { .. } => vec![(Work::Additions, joined), (Work::Multiplications, outputs)],
        // Both summands are brought to one scale.
        IntegerOp::Add { .. } => vec![(Work::Additions, outputs), (Work::Multiplications, outputs.saturating_mul(2))],
        IntegerOp::Rescale { .. } => vec![(Work::Multiplications, outputs)],
        IntegerOp::Table(_) | IntegerOp::Sign => vec![(Work::Evaluations, outputs)],
        IntegerOp::Product { .. } => vec![(Work::Macs, macs)],
        IntegerOp::Float { .. } if layer.kind == OtherKind::Product => vec![(Work::Macs, macs)],
        IntegerOp::Float { .. } if layer.kind != OtherKind::Move => vec![(Work::Evaluations, outputs)],
        IntegerOp::Float { .. }
        | IntegerOp::Concat { .. }
        | IntegerOp::Slice(_)
        | IntegerOp::Pad { .. }
        | IntegerOp::Move(_)
        | IntegerOp::Quantize(_)
        | IntegerOp::Dequantize
        | IntegerOp::Expose
        | IntegerOp::Mac(_) => Vec::new(),
    }
}

/// A layer for the report; `not_modelled_by` are the labels of the designs whose models say nothing of it.
pub(crate) fn record(layer: &OtherLayer, not_modelled_by: Vec<String>) -> OtherLayerRecord {
    let operands = |operands: &[Operand]| {
        operands.iter().map(|operand| OperandRecord { elements: operand.elements, bits: operand.bits }).collect()
    };
    let window = layer.shape.filter(|_| layer.kind == OtherKind::Pool);
    OtherLayerRecord {
        name: layer.name.clone(),
        operator: layer.operator.clone(),
        kind: layer.kind.key().to_owned(),
        kernel: window.map(|shape| [shape.r() as u64, shape.s() as u64]),
        strides: window.map(|shape| shape.strides().map(|stride| stride as u64)),
        work: layer.work.iter().map(|&(work, count)| (work.key().to_owned(), count)).collect(),
        reads: operands(&layer.inputs),
        writes: operands(&layer.outputs),
        read_bytes: layer.read_bits().div_ceil(8),
        written_bytes: layer.written_bits().div_ceil(8),
        not_modelled_by,
    }
}
