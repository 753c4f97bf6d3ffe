//! Mod.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, ElementTypes, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// Elementwise remainder, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mod {
    /// Whether the remainder has the sign of the dividend, as C's `fmod`, not that of the divisor.
    pub fmod: bool,
}

impl Operator for Mod {
    facts!(ElementWise, 2..=2, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        arithmetic::variadic_types(signature, ElementTypes::Number)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, a: &[T], fmod: bool) -> Result<Data, GraphError>
        where
            Data: From<Vec<T>>,
        {
            if !T::DTYPE.is_float() && call.elements::<T>(1).contains(&T::ZERO) {
                return Err(call.invalid("integer division by zero"));
            }
            arithmetic::zip(call, a, |a, b| {
                let rest = a.remainder(b);
                let differ = rest != T::ZERO && (rest < T::ZERO) != (b < T::ZERO);
                if fmod || !differ { rest } else { rest.plus(b) }
            })
        }
        for_number!(call.input(0).data(), a => Ok(vec![typed(call, a, self.fmod)?]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("fmod", i64::from(self.fmod)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        arithmetic::variadic_shape(inputs, symbols)
    }
}

impl Definition for Mod {
    const NAME: &'static str = "Mod";
    const ATTRIBUTES: &'static [&'static str] = &["fmod"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::Mod(Self { fmod: node.flag("fmod", false)? }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Mod(Self { fmod: true }), true)
    }

    fn cases() -> Vec<Case> {
        let (a, b) = (t(&[4], &[-4_i32, 7, 5, -9]), t(&[4], &[2_i32, -3, 8, 4]));
        let of = |fmod| Op::Mod(Self { fmod });
        vec![
            case("mod", of(false), [a.clone(), b.clone()], t(&[4], &[0_i32, -2, 5, 3])),
            case("mod as in C", of(true), [a, b], t(&[4], &[0_i32, 1, 5, -1])),
            case(
                "mod of floats with the sign of the divisor",
                of(false),
                [f(&[2], &[-4.5, 4.5]), f(&[], &[2.0])],
                f(&[2], &[1.5, 0.5]),
            ),
            case("mod of floats", of(true), [f(&[2], &[-4.5, 4.5]), f(&[], &[2.0])], f(&[2], &[-0.5, 0.5])),
        ]
    }
}
