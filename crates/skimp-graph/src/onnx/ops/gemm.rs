//! Matrix products.

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct Gemm;

impl OnnxOperator for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["alpha", "beta", "transA", "transB"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        // Any value other than 0 transposes.
        let gemm = crate::Gemm {
            alpha: node.float_or("alpha", 1.0)?,
            beta: node.float_or("beta", 1.0)?,
            trans_a: node.int_or("transA", 0)? != 0,
            trans_b: node.int_or("transB", 0)? != 0,
        };
        let mut inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
        inputs.extend(importer.optional_value(node, 2)?.map(Some));
        importer.emit(node, Op::Gemm(gemm), inputs)
    }
}

pub(super) fn export(form: Form, gemm: &crate::Gemm) -> Form {
    form.since(11)
        .float("alpha", gemm.alpha)
        .float("beta", gemm.beta)
        .int("transA", i64::from(gemm.trans_a))
        .int("transB", i64::from(gemm.trans_b))
}

pub(super) struct MatMul;

impl OnnxOperator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let a = importer.value(node, 0)?;
        let b = importer.value(node, 1)?;
        importer.emit(node, Op::MatMul, vec![Some(a), Some(b)])
    }
}
