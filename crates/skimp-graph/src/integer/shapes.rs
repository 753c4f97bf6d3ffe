//! Shapes of the values of an integer network.

use super::{FloatOperand, IntegerGraph, IntegerNode, IntegerOp};
use crate::ops::{self, Operand, Operands};
use crate::{
    DType, GraphError, Op,
    shape::{TensorType, output_shapes},
};

/// The operator on real numbers with the same output shape; `None` for a multiply-accumulate layer.
fn real_counterpart(op: &IntegerOp) -> Option<Op> {
    Some(match op {
        IntegerOp::Mac(_) => return None,
        IntegerOp::Quantize(_)
        | IntegerOp::Dequantize
        | IntegerOp::Expose
        | IntegerOp::Rescale { .. }
        | IntegerOp::Table(_)
        | IntegerOp::Sign => Op::Identity,
        IntegerOp::MaxPool(Some(window)) => Op::MaxPool(ops::MaxPool { window: window.clone() }),
        IntegerOp::MaxPool(None) => Op::GlobalMaxPool,
        IntegerOp::AveragePool { window: Some(window), count_include_pad, .. } => {
            Op::AveragePool(ops::AveragePool { window: window.clone(), count_include_pad: *count_include_pad })
        }
        IntegerOp::AveragePool { window: None, .. } => Op::GlobalAveragePool,
        IntegerOp::Add { .. } => Op::Add,
        IntegerOp::Product { .. } => Op::MatMul,
        IntegerOp::Concat { axis } => Op::Concat(ops::Concat { axis: *axis }),
        IntegerOp::Slice(slice) => Op::Slice(slice.clone()),
        IntegerOp::Pad { pad, .. } => Op::Pad(pad.clone()),
        IntegerOp::Move(op) | IntegerOp::Float { op, .. } => op.clone(),
    })
}

/// Shapes of the outputs of `node` for inputs of the given shapes, real ones of f32.
///
/// # Errors
/// [`GraphError::InvalidNode`] if the inputs do not fit.
pub fn node_output_shapes(node: &IntegerNode, inputs: &[&[usize]]) -> Result<Vec<Vec<usize>>, GraphError> {
    let inputs: Vec<TensorType> =
        inputs.iter().map(|shape| TensorType { dtype: DType::F32, shape: shape.to_vec() }).collect();
    let types = node_output_types(node, &inputs.iter().collect::<Vec<_>>())?;
    Ok(types.into_iter().map(|output| output.shape).collect())
}

/// Shapes of the outputs, and their types where they are real; codes count as f32.
fn node_output_types(node: &IntegerNode, inputs: &[&TensorType]) -> Result<Vec<TensorType>, GraphError> {
    let Some(op) = real_counterpart(&node.op) else {
        let (IntegerOp::Mac(layer), Some(input)) = (&node.op, inputs.first()) else {
            return Err(GraphError::invalid_node(&node.name, "Mac", "no input"));
        };
        let shape = layer.output_shape(&input.shape, &layer.shape_on(&node.name, &input.shape)?);
        return Ok(vec![TensorType { dtype: DType::F32, shape }]);
    };
    let IntegerOp::Float { operands, .. } = &node.op else {
        return output_shapes(&op, &node.name, &inputs.iter().copied().map(Some).collect::<Vec<_>>());
    };
    let constants: Vec<Option<TensorType>> = operands
        .iter()
        .map(|operand| match operand {
            FloatOperand::Constant(tensor) => Some(TensorType::of(tensor)),
            FloatOperand::Input | FloatOperand::Absent => None,
        })
        .collect();
    let mut dynamic = inputs.iter().copied();
    let types: Vec<Option<&TensorType>> = operands
        .iter()
        .zip(&constants)
        .map(|(operand, constant)| match operand {
            FloatOperand::Input => dynamic.next(),
            FloatOperand::Constant(_) | FloatOperand::Absent => constant.as_ref(),
        })
        .collect();
    output_shapes(&op, &node.name, &types)
}

impl IntegerNode {
    /// Whether the node treats the images of a batch apart, as its operator on real numbers does (a multiply-accumulate layer
    /// always). `inputs` are the shapes for a batch of one image, `output_rank` the axes of the first output; that the
    /// shapes stack is known.
    pub fn keeps_images_apart(&self, inputs: &[&[usize]], output_rank: usize) -> bool {
        let Some(op) = real_counterpart(&self.op) else { return true };
        let mut dynamic = inputs.iter().map(|shape| Operand { shape, is_constant: false });
        let inputs = match &self.op {
            IntegerOp::Float { operands, .. } => operands
                .iter()
                .map(|operand| match operand {
                    FloatOperand::Constant(tensor) => Some(Operand { shape: tensor.shape(), is_constant: true }),
                    FloatOperand::Input => dynamic.next(),
                    FloatOperand::Absent => None,
                })
                .collect(),
            _ => dynamic.map(Some).collect(),
        };
        op.keeps_images_apart(&Operands { inputs, output_rank })
    }
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
        let none = TensorType { dtype: DType::F32, shape: Vec::new() };
        let mut types = vec![none; self.values.len()];
        for (input, shape) in self.inputs.iter().zip(inputs) {
            types[input.value.0] = TensorType { dtype: input.dtype, shape: shape.clone() };
        }
        for node in &self.nodes {
            let input_types: Vec<&TensorType> = node.inputs.iter().map(|id| &types[id.0]).collect();
            let mut outputs = node_output_types(node, &input_types)?;
            if let (IntegerOp::Expose, Some(encoding)) =
                (&node.op, node.inputs.first().and_then(|&id| self.encoding(id)))
            {
                outputs.iter_mut().for_each(|output| output.dtype = encoding.code_type().dtype());
            }
            for (id, output) in node.outputs.iter().zip(outputs) {
                types[id.0] = output;
            }
        }
        Ok(types.into_iter().map(|value| value.shape).collect())
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
