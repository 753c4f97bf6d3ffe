//! Gemm.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, WeightAxes, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError};

/// `Y = alpha · A' · B' + beta · C`. Inputs: a, b, optional c (broadcast to the product).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the addend.
    pub beta: f32,
    /// Whether A is transposed.
    pub trans_a: bool,
    /// Whether B is transposed.
    pub trans_b: bool,
}

impl Operator for Gemm {
    facts!(Multiplies, 2..=3, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let a = signature.float()?;
        let b = signature.input_like(1, a)?;
        signature.check_rank("input 0", a, 2, "(m, k)")?;
        signature.check_rank("input 1", b, 2, "(k, n)")?;
        let (m, k) = if self.trans_a { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
        let (k_b, n) = if self.trans_b { (b.shape[1], b.shape[0]) } else { (b.shape[0], b.shape[1]) };
        if k != k_b {
            return Err(
                signature.invalid(format!("inner extents differ: {k} of {:?}, {k_b} of {:?}", a.shape, b.shape))
            );
        }
        if signature.optional(2).is_some() {
            let c = signature.input_like(2, a)?;
            if broadcast(&[m, n], &c.shape).as_deref() != Some(&[m, n]) {
                return Err(signature.invalid(format!("addend {:?} does not broadcast to [{m}, {n}]", c.shape)));
            }
        }
        Ok(shaped(a, vec![m, n]))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_float!(call.input(0).data(), a => Ok(vec![gemm(call, a, self)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let first = operands.inputs.first().copied().flatten();
        first.is_some_and(|a| !a.is_constant) && !self.trans_a && operands.only_first_computed()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form
            .since(11)
            .float("alpha", self.alpha)
            .float("beta", self.beta)
            .int("transA", i64::from(self.trans_a))
            .int("transB", i64::from(self.trans_b)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let (a, b) = (inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?);
        let (&[a_rows, a_cols], &[b_rows, b_cols]) = (a.as_slice(), b.as_slice()) else { return None };
        Some(vec![if self.trans_a { a_cols } else { a_rows }, if self.trans_b { b_rows } else { b_cols }])
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        [Some(Parameter::Weight), Some(Parameter::Weight), Some(Parameter::Other)].get(input).copied().flatten()
    }

    fn weight_axes(&self, input: usize, rank: usize) -> Option<WeightAxes> {
        let outputs = usize::from(!self.trans_b);
        match input {
            1 => Some(WeightAxes { outputs: Some(outputs), inputs: Some(1 - outputs) }),
            2 => Some(WeightAxes { outputs: rank.checked_sub(1), inputs: None }),
            _ => None,
        }
    }

    fn macs(&self, inputs: &[&[usize]], n_outputs: u64) -> u64 {
        let a = inputs.first().copied().unwrap_or_default();
        a.get(usize::from(!self.trans_a)).map_or(0, |&k| n_outputs.saturating_mul(k as u64))
    }
}

impl Definition for Gemm {
    const NAME: &'static str = "Gemm";
    const ATTRIBUTES: &'static [&'static str] = &["alpha", "beta", "transA", "transB"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        // Any value other than 0 transposes.
        let gemm = Self {
            alpha: node.float_or("alpha", 1.0)?,
            beta: node.float_or("beta", 1.0)?,
            trans_a: node.int_or("transA", 0)? != 0,
            trans_b: node.int_or("transB", 0)? != 0,
        };
        let mut inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
        inputs.extend(importer.optional_value(node, 2)?.map(Some));
        importer.emit(node, Op::Gemm(gemm), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let &[rows, columns] = generator.shape(x).as_slice() else { return None };
        let trans_a = generator.draws.chance(0.15);
        let trans_b = generator.draws.chance(0.5);
        let (m, k) = if trans_a { (columns, rows) } else { (rows, columns) };
        let n = generator.draws.between(1, 20);
        let weight = if trans_b { vec![n, k] } else { vec![k, n] };
        let mut operands = vec![Source::Known(x), Source::Constant(generator.numbers(weight))];
        if generator.draws.chance(0.6) {
            let shape =
                [vec![n], vec![1, n], vec![1], Vec::new(), vec![m, n], vec![m, 1]][generator.draws.below(6)].clone();
            operands.push(Source::Constant(generator.numbers(shape)));
        }
        let [alpha, beta] = [0, 0].map(|_| [1.0, 1.0, 0.5, 2.0][generator.draws.below(4)]);
        generator.try_node(Op::Gemm(Self { alpha, beta, trans_a, trans_b }), operands)
    }

    fn cases() -> Vec<Case> {
        let a = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let b = f(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let gemm = |trans_a, trans_b| Op::Gemm(Self { alpha: 2.0, beta: 0.5, trans_a, trans_b });
        let a_t = f(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let b_t = f(&[2, 3], &[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
        let product = f(&[2, 2], &[8.0, 10.0, 20.0, 22.0]);
        vec![
            case("gemm", gemm(false, false), [a.clone(), b.clone()], product.clone()),
            case("gemm transposed", gemm(true, true), [a_t, b_t], product),
            case(
                "gemm with a row",
                gemm(false, false),
                [a.clone(), b.clone(), f(&[2], &[2.0, 4.0])],
                f(&[2, 2], &[9.0, 12.0, 21.0, 24.0]),
            ),
            case(
                "gemm with a column",
                gemm(false, false),
                [a.clone(), b.clone(), f(&[2, 1], &[2.0, 4.0])],
                f(&[2, 2], &[9.0, 11.0, 22.0, 24.0]),
            ),
        ]
    }
}

fn gemm<T: Float>(call: &Call<'_>, a: &[T], attributes: &Gemm) -> Result<Vec<T>, GraphError> {
    let b: &[T] = call.elements(1);
    let c: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
    let (m, n) = (call.output_shape()[0], call.output_shape()[1]);
    let a_shape = call.input(0).shape();
    let (k, a_row, a_col) = if attributes.trans_a { (a_shape[0], 1, m) } else { (a_shape[1], a_shape[1], 1) };
    let (b_row, b_col) = if attributes.trans_b { (1, k) } else { (n, 1) };
    let (alpha, beta) = (f64::from(attributes.alpha), f64::from(attributes.beta));
    let mut addends = call.optional(2).map(|c| Offsets::broadcast(c.shape(), call.output_shape()));
    let mut y = call.allocate_output()?;
    for (i, j) in window::pairs(m, n) {
        let sum =
            (0..k).fold(0.0, |sum, l| sum + a[i * a_row + l * a_col].to_f64() * b[l * b_row + j * b_col].to_f64());
        let addend = match (c, addends.as_mut().and_then(Iterator::next)) {
            (Some(c), Some(idx)) => beta * c[idx].to_f64(),
            _ => 0.0,
        };
        y.push(T::from_f64(alpha * sum + addend));
    }
    Ok(y)
}
