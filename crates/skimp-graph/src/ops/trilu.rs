//! Trilu.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{DType, Data, GraphError, Tensor};

/// Keeps a triangle of each matrix of the last two axes; the rest is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Whether the upper triangle is kept, not the lower one.
    pub upper: bool,
    /// The diagonal that it ends at: 0 is the main one, positive ones lie above it.
    pub diagonal: i64,
}

impl Operator for Trilu {
    facts!(Moves, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        if x.shape.len() < 2 {
            return Err(signature.invalid(format!("input has {} dims, expected 2 or more", x.shape.len())));
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], op: Trilu) -> Result<Vec<T>, GraphError> {
            let shape = call.input(0).shape();
            let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
            let keeps = |idx: usize| {
                let (row, column) = (idx / columns % rows, idx % columns);
                let above = column as i128 - row as i128 - i128::from(op.diagonal);
                if op.upper { above >= 0 } else { above <= 0 }
            };
            let mut y = call.allocate_output()?;
            y.extend(x.iter().enumerate().map(|(idx, &x)| if keeps(idx) { x } else { T::ZERO }));
            Ok(y)
        }
        for_number!(call.input(0).data(), x => Ok(vec![typed(call, x, *self)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.output_rank > 2
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.since(14).int("upper", i64::from(self.upper));
        Ok(form.parameter(1, "k", Tensor::from_i64(Vec::new(), vec![self.diagonal])))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Trilu {
    const NAME: &'static str = "Trilu";
    const ATTRIBUTES: &'static [&'static str] = &["upper"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 2)?;
        let x = importer.value(node, 0)?;
        if importer.dtype(x) == DType::Bool {
            return Steps::new(node, importer).on_truth_values("Trilu", Self::ATTRIBUTES);
        }
        let diagonal = importer.ints(node, 1)?.and_then(|k| k.first().copied()).unwrap_or(0);
        let upper = node.flag("upper", true)?;
        importer.emit(node, Op::Trilu(Self { upper, diagonal }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let (upper, diagonal) = (generator.draws.chance(0.5), generator.draws.between(0, 4) as i64 - 2);
        unary::draw(generator, x, Op::Trilu(Self { upper, diagonal }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        vec![
            case("upper", Op::Trilu(Self { upper: true, diagonal: 0 }), [x.clone()], f(&[2, 2], &[1.0, 2.0, 0.0, 4.0])),
            case("lower", Op::Trilu(Self { upper: false, diagonal: -1 }), [x], f(&[2, 2], &[0.0, 0.0, 3.0, 0.0])),
        ]
    }
}
