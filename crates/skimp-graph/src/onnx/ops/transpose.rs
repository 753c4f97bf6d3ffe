//! Transpose.

use super::OnnxOperator;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct Transpose;

impl OnnxOperator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["perm"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let stated = node.counts("perm", 0)?;
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let perm = stated.unwrap_or_else(|| (0..inputs[0].shape().len()).rev().collect());
            let result = inputs[0].transpose(&perm).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        let rank = importer.shape(x).as_ref().map(Vec::len);
        let perm = match (stated, rank) {
            (Some(perm), _) => perm,
            (None, Some(rank)) => (0..rank).rev().collect(),
            (None, None) => return Err(node.unsupported("an input of unknown rank")),
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rank.unwrap_or(perm.len())) {
            return Err(node.invalid(format!("attribute \"perm\" is {perm:?}, which is no permutation of the axes")));
        }
        importer.emit(node, Op::Transpose { perm }, vec![Some(x)])
    }
}
