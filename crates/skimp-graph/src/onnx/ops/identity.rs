//! Identity.

use super::OnnxOperator;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct Identity;

impl OnnxOperator for Identity {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        if let Some(inputs) = importer.shape_inputs(node, 1)?
            && let [tensor] = inputs.as_slice()
        {
            return importer.bind_symbolic(node, tensor.clone());
        }
        // Exporters share one weight between layers through identities; the layers should see the weight.
        let shares_constant = match node.input(0) {
            Some(name) => importer.constant(name)?.is_some(),
            None => false,
        };
        let x = importer.value(node, 0)?;
        if shares_constant && !importer.is_network_output(node.outputs().first().map_or("", String::as_str)) {
            return importer.bind_alias(node, x);
        }
        importer.emit(node, Op::Identity, vec![Some(x)])
    }
}
