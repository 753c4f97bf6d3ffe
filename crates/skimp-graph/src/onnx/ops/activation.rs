//! Elementwise functions of one tensor.

use super::OnnxOperator;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

/// An operator with one input and no attributes.
pub(super) struct Plain {
    name: &'static str,
    op: Op,
}

impl Plain {
    pub(super) const fn new(name: &'static str, op: Op) -> Self {
        Self { name, op }
    }
}

pub(super) static RELU: Plain = Plain::new("Relu", Op::Relu);
pub(super) static SIGMOID: Plain = Plain::new("Sigmoid", Op::Sigmoid);
pub(super) static HARD_SWISH: Plain = Plain::new("HardSwish", Op::HardSwish);
pub(super) static TANH: Plain = Plain::new("Tanh", Op::Tanh);
pub(super) static SIGN: Plain = Plain::new("Sign", Op::Sign);

impl OnnxOperator for Plain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary(node, importer, self.op.clone())
    }
}

/// Adds `op` on the only input.
pub(super) fn unary(node: &NodeView<'_>, importer: &mut Importer, op: Op) -> Result<(), GraphError> {
    node.check_inputs(1, 1)?;
    let x = importer.value(node, 0)?;
    importer.emit(node, op, vec![Some(x)])
}

pub(super) struct LeakyRelu;

impl OnnxOperator for LeakyRelu {
    fn name(&self) -> &'static str {
        "LeakyRelu"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["alpha"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 0.01)?;
        unary(node, importer, Op::LeakyRelu { alpha })
    }
}

pub(super) struct HardSigmoid;

impl OnnxOperator for HardSigmoid {
    fn name(&self) -> &'static str {
        "HardSigmoid"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["alpha", "beta"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let (alpha, beta) = (node.float_or("alpha", 0.2)?, node.float_or("beta", 0.5)?);
        unary(node, importer, Op::HardSigmoid { alpha, beta })
    }
}

pub(super) struct PRelu;

impl OnnxOperator for PRelu {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let x = importer.value(node, 0)?;
        let slope = importer.value(node, 1)?;
        importer.emit(node, Op::PRelu, vec![Some(x), Some(slope)])
    }
}
