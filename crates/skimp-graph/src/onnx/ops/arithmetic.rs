//! Elementwise arithmetic with broadcasting, on data and in shape calculations.

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, SymbolicTensor};
use crate::{DType, GraphError, Op};

/// One of the four.
pub(super) struct Binary {
    name: &'static str,
    op: Op,
    on_shapes: Arithmetic,
}

pub(super) static ADD: Binary = Binary { name: "Add", op: Op::Add, on_shapes: Arithmetic::Add };
pub(super) static SUB: Binary = Binary { name: "Sub", op: Op::Sub, on_shapes: Arithmetic::Sub };
pub(super) static MUL: Binary = Binary { name: "Mul", op: Op::Mul, on_shapes: Arithmetic::Mul };
pub(super) static DIV: Binary = Binary { name: "Div", op: Op::Div, on_shapes: Arithmetic::Div };

impl OnnxOperator for Binary {
    fn name(&self) -> &'static str {
        self.name
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        if let Some(inputs) = importer.shape_inputs(node, 2)? {
            let result = SymbolicTensor::binary(self.on_shapes, &inputs[0], &inputs[1], &mut importer.symbols);
            return importer.bind_symbolic(node, result.map_err(|cause| node.invalid(cause))?);
        }
        let a = importer.value(node, 0)?;
        let b = importer.value(node, 1)?;
        importer.emit(node, self.op.clone(), vec![Some(a), Some(b)])
    }
}

/// Integers narrower than 32 bits came with opset 14 (for Relu all integers).
pub(super) fn export(form: Form, dtype: DType) -> Form {
    let is_relu = form.op_type == "Relu";
    match dtype {
        DType::F32 | DType::F64 => form,
        DType::I64 | DType::I32 if !is_relu => form,
        DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U16 | DType::U8 | DType::Bool => form.since(14),
    }
}
