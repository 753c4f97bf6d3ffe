//! Comparisons and choices between extents: `expand` in PyTorch asks which extents are −1.

use std::cmp::Ordering;

use super::Calculation;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::SymbolicTensor;
use crate::{GraphError, ops};

/// A comparison of two tensors.
pub(super) struct Compare {
    pub(super) name: &'static str,
    pub(super) is: fn(Ordering) -> bool,
}

impl Calculation for Compare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        if let Some(inputs) = importer.shape_inputs(node, 2)? {
            let is_extent = |symbol| importer.has_extent(symbol);
            let truths = SymbolicTensor::compared(&inputs[0], &inputs[1], self.is, is_extent);
            if let Some(truths) = truths.map_err(|cause| node.invalid(cause))? {
                return importer.bind_symbolic(node, truths);
            }
        }
        as_operator(self.name, node, importer)
    }
}

/// `Where` on extents.
pub(super) struct Where;

impl Calculation for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        if let Some(inputs) = importer.shape_inputs(node, 3)? {
            let chosen = inputs[0].choose(&inputs[1], &inputs[2]).map_err(|cause| node.invalid(cause))?;
            if let Some(chosen) = chosen {
                return importer.bind_symbolic(node, chosen);
            }
        }
        as_operator("Where", node, importer)
    }
}

/// What the network computes when it runs.
fn as_operator(name: &str, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
    match ops::find(name) {
        Some(operator) => (operator.import)(node, importer),
        None => Err(node.unsupported("operator on data")),
    }
}
