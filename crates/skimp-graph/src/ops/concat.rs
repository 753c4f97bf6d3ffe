//! Concat.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, Extent, Shape, SymbolicTensor, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, Source, case, f};
use crate::{DType, Data, Element, GraphError};

/// Inputs: one or more, joined along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// Axis, may be negative.
    pub axis: i64,
}

impl Operator for Concat {
    facts!(Moves, 1..=usize::MAX, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        let mut shape = x.shape.clone();
        for idx in 1..signature.inputs.len() {
            let input = signature.input_like(idx, x)?;
            let fits = input.shape.len() == shape.len()
                && input.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !fits {
                return Err(signature.invalid(format!(
                    "input {idx} has shape {:?}, which does not join {:?} along axis {axis}",
                    input.shape, x.shape
                )));
            }
            shape[axis] =
                shape[axis].checked_add(input.shape[axis]).ok_or_else(|| signature.invalid("extents are too large"))?;
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element>(call: &Call<'_>, _first: &[T], axis: usize) -> Result<Vec<T>, GraphError> {
            let (outer, _, inner) = around_axis(call.output_shape(), axis);
            let mut y = call.allocate_output()?;
            for block in 0..outer {
                for idx in 0..call.inputs.len() {
                    let len = call.input(idx).shape()[axis] * inner;
                    y.extend_from_slice(&call.elements::<T>(idx)[block * len..][..len]);
                }
            }
            Ok(y)
        }
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_any!(call.input(0).data(), x => Ok(vec![typed(call, x, axis)?.into()]))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis) && operands.inputs.iter().flatten().all(|input| !input.is_constant)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        Some(order::all(order, ranks)?.with(Op::Concat(Self { axis: order::place(self.axis, order)? })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.int("axis", self.axis))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let mut shape = inputs.first().copied()?.clone()?;
        let axis = normalize_axis(self.axis, shape.len())?;
        let mut total = Extent::Known(0);
        for input in inputs {
            total = symbols.extent(Arithmetic::Add, total, *input.as_ref()?.get(axis)?);
        }
        shape[axis] = total;
        Some(shape)
    }

    fn is_identity(&self, _input: Option<DType>, n_inputs: usize) -> bool {
        n_inputs == 1
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Concat {
    const NAME: &'static str = "Concat";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let n_inputs = node.n_inputs();
        node.check_inputs(n_inputs.max(1), n_inputs)?;
        let axis = node.int("axis")?.ok_or_else(|| node.invalid("attribute \"axis\" is missing"))?;
        if let Some(parts) = importer.shape_inputs(node, n_inputs)? {
            match SymbolicTensor::concat(&parts, axis) {
                Ok(joined) => return importer.bind_symbolic(node, joined),
                // Constants of more elements than any shape has are data.
                Err(_) if parts.iter().all(|part| part.to_constant().is_some()) => {}
                Err(cause) => return Err(node.invalid(cause)),
            }
        }
        let inputs = (0..n_inputs).map(|i| importer.value(node, i).map(Some)).collect::<Result<Vec<_>, _>>()?;
        importer.emit(node, Op::Concat(Self { axis }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let axis = if shape.len() > 1 && generator.draws.chance(0.5) { 1 } else { axis };
        let at = axis.rem_euclid(shape.len() as i64) as usize;
        let fits =
            |other: &[usize]| other.len() == shape.len() && (0..shape.len()).all(|i| i == at || other[i] == shape[i]);
        let others: Vec<usize> =
            (0..generator.known.len()).filter(|&idx| fits(generator.known[idx].tensor.shape())).collect();
        let mut operands = vec![Source::Known(x)];
        for _ in 0..generator.draws.between(1, 2) {
            if generator.draws.chance(0.2) {
                let mut shape = shape.clone();
                shape[at] = generator.draws.between(1, 3);
                operands.push(Source::Constant(generator.numbers(shape)));
            } else {
                operands.push(Source::Known(others[generator.draws.below(others.len())]));
            }
        }
        let turn = generator.draws.below(operands.len());
        operands.rotate_left(turn);
        generator.try_node(Op::Concat(Self { axis }), operands)
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        vec![case(
            "concat",
            Op::Concat(Self { axis: -1 }),
            [x, f(&[2, 1], &[7.0, 8.0])],
            f(&[2, 4], &[1.0, 2.0, 3.0, 7.0, 4.0, 5.0, 6.0, 8.0]),
        )]
    }
}
