//! MatMul.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, Transpose, WeightAxes, arithmetic, window};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, matmul_operands};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{Data, GraphError};

/// Inputs: a, b, with NumPy's matmul rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl Operator for MatMul {
    facts!(Multiplies, 2..=2, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (a, b) = (signature.input(0)?, signature.input(1)?);
        signature.input_like(1, a)?;
        signature.number()?;
        Ok(shaped(a, matmul_operands(&a.shape, &b.shape).map_err(|cause| signature.invalid(cause))?.shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_number!(call.input(0).data(), a => Ok(vec![matmul(call, a)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let [Some(a), Some(b)] = operands.inputs[..] else { return false };
        let ranks = (a.shape.len(), b.shape.len());
        match (a.is_constant, b.is_constant) {
            (false, true) => ranks.1 <= 2 && ranks.0 >= 2,
            (false, false) => ranks.0 == ranks.1 && ranks.0 >= 3,
            (true, _) => false,
        }
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        symbolic(inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?, symbols)
    }

    fn parameter(&self, _input: usize) -> Option<Parameter> {
        Some(Parameter::Weight)
    }

    fn weight_axes(&self, input: usize, rank: usize) -> Option<WeightAxes> {
        let (last, before) = (rank.checked_sub(1), rank.checked_sub(2));
        match (input, before) {
            (0, _) => Some(WeightAxes { outputs: before, inputs: last }),
            (1, Some(_)) => Some(WeightAxes { outputs: last, inputs: before }),
            (1, None) => Some(WeightAxes { outputs: None, inputs: last }),
            _ => None,
        }
    }

    fn macs(&self, inputs: &[&[usize]], n_outputs: u64) -> u64 {
        inputs.first().and_then(|a| a.last()).map_or(0, |&k| n_outputs.saturating_mul(k as u64))
    }
}

impl Definition for MatMul {
    const NAME: &'static str = "MatMul";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let a = importer.value(node, 0)?;
        let b = importer.value(node, 1)?;
        importer.emit(node, Op::MatMul, vec![Some(a), Some(b)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let k = *shape.last()?;
        if shape.len() >= 2 && generator.draws.chance(0.3) {
            // Times its own transpose, or what else fits.
            let mut perm: Vec<usize> = (0..shape.len()).collect();
            perm.swap(shape.len() - 1, shape.len() - 2);
            let turned = generator.try_node(Op::Transpose(Transpose { perm }), vec![Source::Known(x)])?[0];
            return generator.try_node(Op::MatMul, vec![Source::Known(x), Source::Known(turned)]);
        }
        let n = generator.draws.between(1, 8);
        let mut other = match generator.draws.below(4) {
            0 => vec![k],
            1 if shape.len() > 2 => {
                let mut other = shape[..shape.len() - 2].to_vec();
                other[0] = if generator.draws.chance(0.5) { other[0] } else { 1 };
                other.extend([k, n]);
                other
            }
            _ => vec![k, n],
        };
        if generator.draws.chance(0.1) {
            other.insert(0, 1);
        }
        let mut operands = vec![Source::Known(x), Source::Constant(generator.numbers(other))];
        if generator.draws.chance(0.1) {
            let rows = if shape.len() > 1 { shape[shape.len() - 2] } else { k };
            operands = vec![Source::Constant(generator.numbers(vec![n, rows])), Source::Known(x)];
        }
        generator.try_node(Op::MatMul, operands)
    }

    fn cases() -> Vec<Case> {
        let a = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let b = f(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        vec![
            case("matmul", Op::MatMul, [a.clone(), b.clone()], f(&[2, 2], &[4.0, 5.0, 10.0, 11.0])),
            case("matmul of vectors", Op::MatMul, [f(&[2], &[1.0, 2.0]), f(&[2], &[3.0, 4.0])], f(&[], &[11.0])),
            case("matmul with a vector", Op::MatMul, [a, f(&[3], &[1.0, 1.0, 0.0])], f(&[2], &[3.0, 9.0])),
            case(
                "matmul broadcasts batches",
                Op::MatMul,
                [f(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2, 2, 1], &[1.0, 1.0, 10.0, 100.0])],
                f(&[2, 2, 1, 1], &[3.0, 210.0, 7.0, 430.0]),
            ),
            case("matmul of i32 wraps", Op::MatMul, [t(&[1], &[i32::MAX]), t(&[1], &[2_i32])], t(&[], &[-2_i32])),
        ]
    }
}

fn matmul<T: Number>(call: &Call<'_>, a: &[T]) -> Result<Vec<T>, GraphError> {
    let b: &[T] = call.elements(1);
    let operands =
        matmul_operands(call.input(0).shape(), call.input(1).shape()).map_err(|cause| call.invalid(cause))?;
    let (m, k, n) = (operands.m, operands.k, operands.n);
    let [batch_a, batch_b, batch] = &operands.batch;
    let mut y = call.allocate_output()?;
    for (a_idx, b_idx) in Offsets::broadcast(batch_a, batch).zip(Offsets::broadcast(batch_b, batch)) {
        let (a, b) = (&a[a_idx * m * k..][..m * k], &b[b_idx * k * n..][..k * n]);
        for (i, j) in window::pairs(m, n) {
            y.push(T::dot((0..k).map(|l| (a[i * k + l], b[l * n + j]))));
        }
    }
    Ok(y)
}

fn symbolic(a: &[Extent], b: &[Extent], symbols: &mut Symbols) -> Shape {
    let (a_batch, rows) = match a {
        [] => return None,
        [_] => (&a[..0], None),
        [batch @ .., rows, _] => (batch, Some(*rows)),
    };
    let (b_batch, cols) = match b {
        [] => return None,
        [_] => (&b[..0], None),
        [batch @ .., _, cols] => (batch, Some(*cols)),
    };
    let mut shape = arithmetic::symbolic_broadcast(a_batch, b_batch, symbols)?;
    shape.extend(rows);
    shape.extend(cols);
    Some(shape)
}
