//! Identity.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{DType, Data, GraphError};

/// Identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity;

impl Operator for Identity {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.input(0)?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::first(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn renames(&self) -> bool {
        true
    }

    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Identity {
    const NAME: &'static str = "Identity";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
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

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Identity)
    }

    fn cases() -> Vec<Case> {
        let row = f(&[3], &[1.0, 2.0, 3.0]);
        vec![case("identity", Op::Identity, [row.clone()], row)]
    }
}
