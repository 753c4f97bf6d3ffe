//! The multiply-accumulate layers of an integer network on a given input, for simulators.

use skimp_graph::{
    GraphError,
    integer::{Encoding, IntegerOp, MacLayer, ValueKind},
    shape::LayerShape,
};

use crate::{NegativeSums, QuantError, Quantized};

/// One multiply-accumulate layer with its extents.
#[derive(Clone, Debug)]
pub struct LayerGeometry<'a> {
    /// Name of the layer.
    pub name: &'a str,
    /// Index of its node in the integer graph.
    pub node_idx: usize,
    /// The layer: weights, bias, window, groups, weight scales.
    pub layer: &'a MacLayer,
    /// Extents, padding resolved.
    pub shape: LayerShape,
    /// Encoding of the activations.
    pub input: Encoding,
    /// Whether an operand, code plus input offset, may be negative.
    pub operands_signed: bool,
    /// Encoding of the residual input, if there is one.
    pub residual: Option<Encoding>,
    /// What the output holds.
    pub output: ValueKind,
    /// Whether its negative sums need not be known.
    pub negatives: &'a NegativeSums,
}

/// The layers of `quantized`, in order, for network inputs of the given shapes.
///
/// # Errors
/// [`QuantError::Graph`] if the shapes do not fit the network.
pub fn layers<'a>(quantized: &'a Quantized, inputs: &[Vec<usize>]) -> Result<Vec<LayerGeometry<'a>>, QuantError> {
    let graph = &quantized.graph;
    let shapes = graph.shapes(inputs)?;
    let mut geometries = Vec::with_capacity(quantized.layers.len());
    for quantized_layer in &quantized.layers {
        let node = &graph.nodes[quantized_layer.node_idx];
        let IntegerOp::Mac(layer) = &node.op else {
            let cause = "the node of a quantized layer is not a multiply-accumulate layer";
            return Err(GraphError::invalid_node(&node.name, node.op.name(), cause).into());
        };
        geometries.push(LayerGeometry {
            name: &quantized_layer.name,
            node_idx: quantized_layer.node_idx,
            layer,
            shape: layer.shape_on(&node.name, &shapes[node.inputs[0].0])?,
            input: quantized_layer.input,
            operands_signed: quantized_layer.operands_signed,
            residual: quantized_layer.residual,
            output: quantized_layer.output,
            negatives: &quantized_layer.negatives,
        });
    }
    Ok(geometries)
}
