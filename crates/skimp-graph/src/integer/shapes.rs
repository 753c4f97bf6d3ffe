//! Shapes of the values of an integer network.

use super::{IntegerGraph, IntegerNode, IntegerOp};
use crate::{
    DType, GraphError, Op,
    shape::{TensorType, output_shapes},
};

/// The operator on real numbers with the same output shape; `None` for a multiply-accumulate layer.
fn real_counterpart(op: &IntegerOp) -> Option<Op> {
    Some(match op {
        IntegerOp::Mac(_) => return None,
        IntegerOp::Quantize | IntegerOp::Dequantize | IntegerOp::Rescale { .. } | IntegerOp::Sign => Op::Identity,
        IntegerOp::MaxPool(Some(window)) => Op::MaxPool(window.clone()),
        IntegerOp::MaxPool(None) => Op::GlobalMaxPool,
        IntegerOp::AveragePool { window: Some(window), count_include_pad } => {
            Op::AveragePool { window: window.clone(), count_include_pad: *count_include_pad }
        }
        IntegerOp::AveragePool { window: None, .. } => Op::GlobalAveragePool,
        IntegerOp::Add { .. } => Op::Add,
        IntegerOp::Concat { axis } => Op::Concat { axis: *axis },
        IntegerOp::Slice(slice) => Op::Slice(slice.clone()),
        IntegerOp::Pad(pad) => Op::Pad(pad.clone()),
        IntegerOp::Move(op) | IntegerOp::Float { op, .. } => op.clone(),
    })
}

/// Shapes of the outputs of `node` for inputs of the given shapes.
///
/// # Errors
/// [`GraphError::InvalidNode`] if the inputs do not fit.
pub fn node_output_shapes(node: &IntegerNode, inputs: &[&[usize]]) -> Result<Vec<Vec<usize>>, GraphError> {
    let Some(op) = real_counterpart(&node.op) else {
        let (IntegerOp::Mac(layer), Some(input)) = (&node.op, inputs.first()) else {
            return Err(GraphError::invalid_node(&node.name, "Mac", "no input"));
        };
        return Ok(vec![layer.output_shape(input, &layer.shape_on(&node.name, input)?)]);
    };
    let mut dynamic = inputs.iter().map(|shape| TensorType { dtype: DType::F32, shape: shape.to_vec() });
    let types: Vec<Option<TensorType>> = match &node.op {
        IntegerOp::Float { constants, .. } => constants
            .iter()
            .map(|constant| match constant {
                Some(tensor) => Some(TensorType::of(tensor)),
                None => dynamic.next(),
            })
            .collect(),
        _ => dynamic.map(Some).collect(),
    };
    let types: Vec<Option<&TensorType>> = types.iter().map(Option::as_ref).collect();
    Ok(output_shapes(&op, &node.name, &types)?.into_iter().map(|t| t.shape).collect())
}

impl IntegerGraph {
    /// Shape of every value for inputs of the given shapes; empty for a value that no node makes.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if the number of inputs is wrong, the node's error where an input does not fit.
    pub fn shapes(&self, inputs: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, GraphError> {
        if inputs.len() != self.inputs.len() {
            let cause = format!("{} inputs, expected {}", inputs.len(), self.inputs.len());
            return Err(GraphError::InvalidGraph { graph: self.name.clone(), cause });
        }
        let mut shapes = vec![Vec::new(); self.values.len()];
        for (input, shape) in self.inputs.iter().zip(inputs) {
            shapes[input.value.0].clone_from(shape);
        }
        for node in &self.nodes {
            let input_shapes: Vec<&[usize]> = node.inputs.iter().map(|id| shapes[id.0].as_slice()).collect();
            let outputs = node_output_shapes(node, &input_shapes)?;
            for (id, shape) in node.outputs.iter().zip(outputs) {
                shapes[id.0] = shape;
            }
        }
        Ok(shapes)
    }

    /// Checks that the values for inputs of the given shapes fit into the memory budget, `copies` times. Elements count as
    /// exact sums do, 8 bytes.
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes), and [`GraphError::Memory`] naming the node.
    pub fn check_memory(&self, inputs: &[Vec<usize>], copies: u64) -> Result<(), GraphError> {
        let elements = |shape: &Vec<usize>| shape.iter().fold(8_u64, |n, &extent| n.saturating_mul(extent as u64));
        let sizes: Vec<u64> = self.shapes(inputs)?.iter().map(elements).collect();
        let ids = |ids: &[crate::ValueId]| ids.iter().map(|id| id.0).collect::<Vec<usize>>();
        let nodes = self.nodes.iter().map(|node| (ids(&node.inputs), ids(&node.outputs)));
        let read: Vec<usize> = self.inputs.iter().map(|input| input.value.0).collect();
        let (bytes, at) = crate::memory::peak(&sizes, nodes, &read, &ids(&self.outputs));
        Ok(skimp_memory::check(bytes.saturating_mul(copies), || match at.and_then(|idx| self.nodes.get(idx)) {
            Some(node) => format!("node \"{}\" of the integer network", node.name),
            None => format!("network \"{}\"", self.name),
        })?)
    }
}
