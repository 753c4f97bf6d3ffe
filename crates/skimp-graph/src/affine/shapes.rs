//! Shapes in an 8-bit network.

use super::reference::mean_axes;
use super::{AffineGraph, AffineLayer, AffineNode, AffineOp, LayerOutput};
use crate::ops;
use crate::shape::{TensorType, broadcast, output_shapes, window_axes};
use crate::{DType, GraphError, Op};

impl AffineGraph {
    /// Element type and extents of every value where the inputs have the given extents; `None` for a value that no node
    /// makes.
    ///
    /// # Errors
    /// The node's error where its inputs do not fit it.
    pub fn types(&self, inputs: &[Vec<usize>]) -> Result<Vec<Option<TensorType>>, GraphError> {
        let constant = |value: &super::AffineValue| value.constant.as_ref().map(TensorType::of);
        let mut types: Vec<Option<TensorType>> = self.values.iter().map(constant).collect();
        for (input, shape) in self.inputs.iter().zip(inputs) {
            types[input.value.0] = Some(TensorType { dtype: input.dtype, shape: shape.clone() });
        }
        for node in &self.nodes {
            let node_inputs: Vec<Option<&TensorType>> =
                node.inputs.iter().map(|input| input.and_then(|id| types[id.0].as_ref())).collect();
            let outputs = self.output_types(node, &node_inputs)?;
            for (&id, output) in node.outputs.iter().zip(outputs) {
                types[id.0] = Some(output);
            }
        }
        Ok(types)
    }

    fn output_types(&self, node: &AffineNode, inputs: &[Option<&TensorType>]) -> Result<Vec<TensorType>, GraphError> {
        let invalid = |cause: String| GraphError::invalid_node(&node.name, node.op.name(), cause);
        let shape = |i: usize| {
            let found = inputs.get(i).copied().flatten().map(|t| t.shape.as_slice());
            found.ok_or_else(|| invalid(format!("input {i} is missing")))
        };
        let shape = match &node.op {
            AffineOp::Move(op) | AffineOp::Float(op) => return output_shapes(op, &node.name, inputs),
            AffineOp::Quantize | AffineOp::Dequantize | AffineOp::Table(_) => shape(0)?.to_vec(),
            AffineOp::Layer(layer) => layer.output_shape(&node.name, shape(0)?)?,
            AffineOp::Add { .. } => {
                broadcast(shape(0)?, shape(1)?).ok_or_else(|| invalid("shapes do not broadcast".to_owned()))?
            }
            AffineOp::Mean { window, .. } => {
                let four: [usize; 4] =
                    shape(0)?.try_into().map_err(|_| invalid("the input has not four axes".to_owned()))?;
                mean_axes(&node.name, window, four)?.1
            }
        };
        let encoding = node.outputs.first().and_then(|id| self.values[id.0].encoding);
        let is_real = match &node.op {
            AffineOp::Layer(layer) => matches!(layer.output, LayerOutput::Real(_)),
            _ => matches!(node.op, AffineOp::Dequantize),
        };
        let dtype = match encoding {
            Some(encoding) if !is_real => encoding.code_type.dtype(),
            _ => DType::F32,
        };
        Ok(vec![TensorType { dtype, shape }])
    }
}

impl AffineLayer {
    /// Shape of the output; `node` names the layer in errors.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`] if the input does not fit.
    pub fn output_shape(&self, node: &str, input: &[usize]) -> Result<Vec<usize>, GraphError> {
        let [k, c, _, _] = self.weight_shape;
        if self.dense {
            let Some((&last, outer)) = input.split_last().filter(|(_, outer)| !outer.is_empty()) else {
                let cause = format!("input has shape {input:?}, expected two axes or more");
                return Err(GraphError::invalid_node(node, "Dense", cause));
            };
            if last != c {
                let cause = format!("input has {last} channels, expected {c}");
                return Err(GraphError::invalid_node(node, "Dense", cause));
            }
            return Ok(outer.iter().copied().chain([k]).collect());
        }
        let &[n, channels, h, w] = input else {
            let cause = format!("input has shape {input:?}, expected four axes");
            return Err(GraphError::invalid_node(node, "Conv", cause));
        };
        if channels != c * self.groups {
            let cause = format!("input has {channels} channels, expected {}", c * self.groups);
            return Err(GraphError::invalid_node(node, "Conv", cause));
        }
        let op = Op::Conv(ops::Conv { window: self.window.clone(), groups: self.groups });
        let axes = window_axes(&op, node, &self.window, &[h, w])?;
        Ok(vec![n, k, axes[0].output, axes[1].output])
    }
}
