//! Where.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Cast, Definition, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, Element, GraphError};

/// Inputs: condition, a, b, broadcast: a where the condition holds, else b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where;

impl Operator for Where {
    facts!(ElementWise, 3..=3, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (condition, a) = (signature.input(0)?, signature.input(1)?);
        let b = signature.input_like(2, a)?;
        if condition.dtype != DType::Bool {
            return Err(signature.invalid(format!("input 0 has element type {}, expected bool", condition.dtype)));
        }
        let shape = broadcast(&condition.shape, &a.shape).and_then(|shape| broadcast(&shape, &b.shape));
        let mismatch = || {
            let shapes = format!("{:?}, {:?} and {:?}", condition.shape, a.shape, b.shape);
            signature.invalid(format!("shapes {shapes} do not broadcast"))
        };
        Ok(shaped(a, shape.ok_or_else(mismatch)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element>(call: &Call<'_>, a: &[T]) -> Result<Vec<T>, GraphError> {
            let (condition, b): (&[bool], &[T]) = (call.elements(0), call.elements(2));
            let offsets = |idx: usize| Offsets::broadcast(call.input(idx).shape(), call.output_shape());
            let mut y = call.allocate_output()?;
            let places = offsets(0).zip(offsets(1)).zip(offsets(2));
            y.extend(places.map(|((c, i), j)| if condition[c] { a[i] } else { b[j] }));
            Ok(y)
        }
        for_any!(call.input(1).data(), a => Ok(vec![typed(call, a)?.into()]))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        debug_assert_eq!(context.dtype, DType::Bool);
        Ok(form.since(9))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        match inputs {
            [Some(DType::Bool), Some(a), Some(b)] if a == b => Ok(*a),
            _ => Err(format!("inputs of element types {inputs:?}, expected Bool and two of one type")),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let [condition, a, b] = inputs else { return None };
        let both = arithmetic::symbolic_broadcast(a.as_ref()?, b.as_ref()?, symbols)?;
        arithmetic::symbolic_broadcast(condition.as_ref()?, &both, symbols)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().skip(1).all(|&known| known)
    }
}

impl Definition for Where {
    const NAME: &'static str = "Where";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        arithmetic::import_variadic(node, importer, Op::Where)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let condition = generator.try_node(Op::Cast(Cast { to: DType::Bool }), vec![Source::Known(x)])?[0];
        let other = generator.broadcastable(&generator.shape(x), true);
        let other = generator.numbers(other);
        generator.try_node(Op::Where, vec![Source::Known(condition), Source::Known(x), Source::Constant(other)])
    }

    fn cases() -> Vec<Case> {
        let condition = t(&[2, 1], &[true, false]);
        vec![
            case(
                "where broadcasts",
                Op::Where,
                [condition, f(&[2], &[1.0, 2.0]), f(&[], &[9.0])],
                f(&[2, 2], &[1.0, 2.0, 9.0, 9.0]),
            ),
            case("where of u8", Op::Where, [t(&[1], &[false]), t(&[1], &[1_u8]), t(&[1], &[2_u8])], t(&[1], &[2_u8])),
        ]
    }
}
