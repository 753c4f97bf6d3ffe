//! Local response normalization.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Local response normalization across channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels in the window.
    pub size: usize,
    /// Factor.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Addend.
    pub bias: f32,
}

impl Operator for Lrn {
    facts!(Normalizes, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        if x.shape.len() < 2 || self.size == 0 {
            let (n_dims, size) = (x.shape.len(), self.size);
            return Err(
                signature.invalid(format!("has {n_dims} dims and size {size}, expected 2 or more and 1 or more"))
            );
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_float!(call.input(0).data(), x => Ok(vec![lrn(call, x, self)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_but(1, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        Ok(form.float("alpha", self.alpha).float("beta", self.beta).float("bias", self.bias).int("size", size))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn folds(&self) -> bool {
        false
    }
}

impl Definition for Lrn {
    const NAME: &'static str = "LRN";
    const ATTRIBUTES: &'static [&'static str] = &["alpha", "beta", "bias", "size"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let size = usize::try_from(node.int_or("size", 0)?)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| node.invalid("attribute \"size\" must be positive"))?;
        let alpha = node.float_or("alpha", 1e-4)?;
        let (beta, bias) = (node.float_or("beta", 0.75)?, node.float_or("bias", 1.0)?);
        unary::import(node, importer, Op::Lrn(Self { size, alpha, beta, bias }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let size = generator.draws.between(1, 5);
        unary::draw(generator, x, Op::Lrn(Self { size, alpha: 0.5, beta: 0.75, bias: 1.0 }))
    }

    fn cases() -> Vec<Case> {
        vec![
            // Window of 2: the channel itself and the next.
            case(
                "lrn",
                Op::Lrn(Self { size: 2, alpha: 2.0, beta: 1.0, bias: 1.0 }),
                [f(&[1, 3, 1], &[1.0, 2.0, 3.0])],
                f(&[1, 3, 1], &[1.0 / 6.0, 2.0 / 14.0, 0.3]),
            ),
        ]
    }
}

/// `x / (bias + alpha / size · Σ x²)^beta` over the channels `c − ⌊(size − 1) / 2⌋ ..= c + ⌈(size − 1) / 2⌉`, in f64.
fn lrn<T: Float>(call: &Call<'_>, x: &[T], attributes: &Lrn) -> Result<Vec<T>, GraphError> {
    let size = attributes.size;
    let [alpha, beta, bias] = [attributes.alpha, attributes.beta, attributes.bias].map(f64::from);
    let (n_batch, n_channels, inner) = around_axis(call.input(0).shape(), 1);
    let mut y = call.allocate_output()?;
    for plane in 0..n_batch * n_channels {
        let (n, c) = (plane / n_channels, plane % n_channels);
        let channels = c.saturating_sub((size - 1) / 2)..c.saturating_add(size / 2 + 1).min(n_channels);
        for i in 0..inner {
            let at = |c: usize| x[(n * n_channels + c) * inner + i].to_f64();
            let squares: f64 = channels.clone().map(|c| at(c) * at(c)).sum();
            y.push(T::from_f64(at(c) / (bias + alpha / size as f64 * squares).powf(beta)));
        }
    }
    Ok(y)
}
