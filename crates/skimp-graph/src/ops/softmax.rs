//! Softmax: along one axis since opset 13, over a matrix coerced from the input before.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Flatten, Op, Operands, Operator, Reshape, Rounding, unary, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Softmax along one axis (opset 13 form).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Axis, may be negative.
    pub axis: i64,
}

impl Operator for Softmax {
    facts!(Normalizes, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        signature.axis(self.axis, x.shape.len())?;
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], axis: usize) -> Result<Vec<T>, GraphError> {
            let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
            let mut y = call.allocate_output()?;
            y.resize(x.len(), T::ZERO);
            for (block, lane) in window::pairs(outer, inner) {
                let at = |i: usize| (block * extent + i) * inner + lane;
                let most = (0..extent).fold(f64::NEG_INFINITY, |most, i| most.max(x[at(i)].to_f64()));
                let exponential = |i: usize| (x[at(i)].to_f64() - most).exp();
                let sum: f64 = (0..extent).map(exponential).sum();
                for i in 0..extent {
                    y[at(i)] = T::from_f64(exponential(i) / sum);
                }
            }
            Ok(y)
        }
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x, axis)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_but(self.axis, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        Some(order::first(order, ranks)?.with(Op::Softmax(Self { axis: order::place(self.axis, order)? })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("axis", self.axis))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        true
    }
}

impl Definition for Softmax {
    const NAME: &'static str = "Softmax";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        import_along(node, importer, |axis| Op::Softmax(Self { axis }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let axis = generator.axis(generator.shape(x).len())?;
        unary::draw(generator, x, Op::Softmax(Self { axis }))
    }

    fn cases() -> Vec<Case> {
        vec![case("softmax", Op::Softmax(Self { axis: 1 }), [f(&[1, 2, 2], &[0.0, 500.0, 0.0, -500.0])], {
            f(&[1, 2, 2], &[0.5, 1.0, 0.5, 0.0])
        })]
    }
}

/// Adds a function along one axis, in its form since opset 13 or over a matrix; `op` makes it of the axis.
pub(super) fn import_along(
    node: &NodeView<'_>,
    importer: &mut Importer,
    op: impl Fn(i64) -> Op,
) -> Result<(), GraphError> {
    if node.opset() >= 13 {
        let axis = node.int_or("axis", -1)?;
        return unary::import(node, importer, op(axis));
    }
    node.check_inputs(1, 1)?;
    let axis = node.int_or("axis", 1)?;
    let x = importer.value(node, 0)?;
    let shape =
        importer.shape(x).clone().ok_or_else(|| node.unsupported("the old form on an input of unknown rank"))?;
    // The axis may also equal the rank: every row of the matrix then has one element.
    let cut = if usize::try_from(axis).is_ok_and(|axis| axis == shape.len()) {
        shape.len()
    } else {
        normalize_axis(axis, shape.len())
            .ok_or_else(|| node.invalid(format!("axis {axis} does not exist in {} dims", shape.len())))?
    };
    let row: Vec<usize> = (cut..shape.len()).filter(|&i| shape[i] != Extent::Known(1)).collect();
    if let ([] | [_], true) = (row.as_slice(), cut < shape.len()) {
        // A row runs along one axis only: that is the new form.
        let axis = row.first().copied().unwrap_or(cut);
        return importer.emit(node, op(axis as i64), vec![Some(x)]);
    }
    let back = shape_back(&shape, cut).ok_or_else(|| node.unsupported("the old form with several open extents"))?;
    let flat = importer.emit_step(node, "flat", Op::Flatten(Flatten { axis: cut as i64 }), vec![Some(x)])?;
    let soft = importer.emit_step(node, "softmax", op(-1), vec![Some(flat)])?;
    importer.emit(node, Op::Reshape(Reshape { shape: back, allow_zero: false }), vec![Some(soft)])
}

/// The reshape target that leads from the matrix back to `shape`.
fn shape_back(shape: &[Extent], cut: usize) -> Option<Vec<i64>> {
    let mut inferred = false;
    let mut target = Vec::with_capacity(shape.len());
    for (i, &extent) in shape.iter().enumerate() {
        target.push(match extent {
            Extent::Known(0) => return None,
            Extent::Known(n) => i64::try_from(n).ok()?,
            // The rows of the matrix are the first axis.
            Extent::Symbol(_) if i == 0 && cut == 1 => 0,
            Extent::Symbol(_) if !std::mem::replace(&mut inferred, true) => -1,
            Extent::Symbol(_) => return None,
        });
    }
    Some(target)
}
