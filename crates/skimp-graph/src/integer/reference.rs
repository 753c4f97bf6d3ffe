//! The exact integer interpreter: the specification of integer execution.

use super::{
    CodeTensor, IntegerEngine, IntegerGraph, IntegerNode, IntegerObserver, IntegerOp, IntegerTensor, MacHook, MacLayer,
    MacObservation, MacOperands, Observation, ValueKind, check, nodes,
};
use crate::{GraphError, Tensor};

/// Runs an [`IntegerGraph`] naively, safely and single-threaded.
#[derive(Debug)]
pub struct IntegerReference<'g> {
    graph: &'g IntegerGraph,
    /// For each value, the last node that reads it.
    last_use: Vec<Option<usize>>,
}

impl<'g> IntegerReference<'g> {
    /// Binds the interpreter to `graph`.
    ///
    /// # Errors
    /// Those of [`check`](super::check).
    pub fn new(graph: &'g IntegerGraph) -> Result<Self, GraphError> {
        check::check(graph)?;
        Ok(Self { graph, last_use: graph.last_uses() })
    }

    fn kinds(&self, ids: &[crate::ValueId]) -> Vec<ValueKind> {
        ids.iter().map(|id| self.graph.values[id.0].kind).collect()
    }

    fn run_mac(
        &self,
        node_idx: usize,
        layer: &MacLayer,
        inputs: &[&IntegerTensor],
        observer: &mut IntegerObserver<'_>,
        hook: Option<&dyn MacHook>,
    ) -> Result<Vec<IntegerTensor>, GraphError> {
        let node = &self.graph.nodes[node_idx];
        let hook = hook.filter(|hook| hook.applies(node_idx));
        let mut changed = None;
        if let Some(hook) = hook {
            hook.change_input(node_idx, changed.insert(codes(node, inputs[0])?.clone()))?;
        }
        let input = match &changed {
            Some(changed) => changed,
            None => codes(node, inputs[0])?,
        };
        let shape = layer.shape_on(&node.name, &input.shape)?;
        let output_shape = layer.output_shape(&input.shape, &shape);
        let residual = inputs.get(1).map(|tensor| codes(node, tensor)).transpose()?;
        let residual = layer.scaled_residual(&node.name, residual, &output_shape)?;
        let mut accumulators = layer.accumulate(&shape, input, residual.as_deref());
        if let Some(hook) = hook {
            let residual = residual.as_deref();
            let operands = MacOperands { node_idx, first_image: 0, layer, shape: &shape, input, residual };
            hook.change_accumulators(&operands, &mut accumulators)?;
        }
        let kind = self.graph.values[node.outputs[0].0].kind;
        let outputs = vec![layer.output(&node.name, &accumulators, output_shape, &kind)?];
        let mac = Some(MacObservation { input, residual: residual.as_deref(), accumulators: &accumulators });
        observer(&Observation { node_idx, first_image: 0, outputs: &outputs, mac });
        Ok(outputs)
    }
}

fn codes<'a>(node: &IntegerNode, tensor: &'a IntegerTensor) -> Result<&'a CodeTensor, GraphError> {
    match tensor {
        IntegerTensor::Codes(codes) => Ok(codes),
        IntegerTensor::Real(_) => Err(GraphError::invalid_node(&node.name, "Mac", "an input is real, expected codes")),
    }
}

impl IntegerReference<'_> {
    fn run_nodes(
        &self,
        inputs: &[Tensor],
        observer: &mut IntegerObserver<'_>,
        hook: Option<&dyn MacHook>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let graph = self.graph;
        let mut values: Vec<Option<IntegerTensor>> = vec![None; graph.values.len()];
        for (id, tensor) in graph.bind(inputs)? {
            values[id.0] = Some(IntegerTensor::Real(tensor.clone()));
        }
        for (node_idx, node) in graph.nodes.iter().enumerate() {
            let operands: Vec<&IntegerTensor> = node
                .inputs
                .iter()
                .map(|id| values[id.0].as_ref().expect("nodes are sorted, uses are counted"))
                .collect();
            let outputs = match &node.op {
                IntegerOp::Mac(layer) => self.run_mac(node_idx, layer, &operands, observer, hook)?,
                _ => {
                    let (input_kinds, output_kinds) = (self.kinds(&node.inputs), self.kinds(&node.outputs));
                    let outputs = nodes::evaluate(node, &operands, &input_kinds, &output_kinds)?;
                    observer(&Observation { node_idx, first_image: 0, outputs: &outputs, mac: None });
                    outputs
                }
            };
            for (id, output) in node.outputs.iter().zip(outputs) {
                values[id.0] = Some(output);
            }
            for id in &node.inputs {
                if self.last_use[id.0] == Some(node_idx) {
                    values[id.0] = None;
                }
            }
        }
        graph.outputs.iter().map(|id| graph.real_output(*id, values[id.0].as_ref())).collect()
    }
}

impl IntegerEngine for IntegerReference<'_> {
    fn name(&self) -> &'static str {
        "integer-reference"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_nodes(inputs, &mut |_| {}, None)
    }

    fn run_observed(&self, inputs: &[Tensor], observer: &mut IntegerObserver<'_>) -> Result<Vec<Tensor>, GraphError> {
        self.run_nodes(inputs, observer, None)
    }

    fn run_with(&self, inputs: &[Tensor], hook: &dyn MacHook) -> Result<Vec<Tensor>, GraphError> {
        self.run_nodes(inputs, &mut |_| {}, Some(hook))
    }
}
