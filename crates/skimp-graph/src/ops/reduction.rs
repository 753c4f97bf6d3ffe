//! What reductions over axes share.

use super::signature::{Signature, shaped};
use super::{ElementTypes, Op, Operands, unary};
use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, normalize_axis};
use crate::reference::Call;
use crate::reference::number::Number;
use crate::reference::strided::{Offsets, strided_reduction};
use crate::shape::{TensorType, normalized_axes};
use crate::testing::Generator;

/// The shape that is left where `axes` (all where empty) are reduced.
pub(super) fn output_shape(
    signature: &Signature<'_>,
    x: &TensorType,
    axes: &[i64],
    keep_dims: bool,
) -> Result<Vec<usize>, GraphError> {
    let reduced = marked(axes, x.shape.len()).map_err(|cause| signature.invalid(cause))?;
    let extents = x.shape.iter().zip(reduced);
    Ok(extents
        .filter_map(|(&extent, reduced)| match (reduced, keep_dims) {
            (false, _) => Some(extent),
            (true, true) => Some(1),
            (true, false) => None,
        })
        .collect())
}

/// A mark for every axis that is reduced.
fn marked(axes: &[i64], rank: usize) -> Result<Vec<bool>, String> {
    let mut reduced = normalized_axes(axes, rank)?;
    if axes.is_empty() {
        reduced.fill(true);
    }
    Ok(reduced)
}

/// A mark for every axis of the first input that is reduced.
pub(super) fn reduced(call: &Call<'_>, axes: &[i64]) -> Result<Vec<bool>, GraphError> {
    marked(axes, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))
}

/// `function` of the elements that join in each output element, in memory order, and of their number.
pub(super) fn reduce<T: Number>(
    call: &Call<'_>,
    x: &[T],
    reduced: &[bool],
    function: fn(&mut dyn Iterator<Item = T>, usize) -> T,
) -> Result<Vec<T>, GraphError> {
    let (kept, inner): (Offsets, Offsets) = strided_reduction(call.input(0).shape(), reduced);
    let n = inner.size_hint().0;
    let mut y = call.allocate_output()?;
    y.extend(kept.map(|start| function(&mut inner.clone().map(|offset| x[start + offset]), n)));
    Ok(y)
}

/// Whether the images stay apart.
pub(super) fn keeps_images_apart(axes: &[i64], operands: &Operands<'_>) -> bool {
    !axes.is_empty() && axes.iter().all(|&axis| !operands.is_first(axis))
}

/// Where an axis that is not reduced lies in the output.
pub(super) fn carries(axes: &[i64], keep_dims: bool, rank: usize, axis: usize) -> Result<usize, &'static str> {
    let reduced = marked(axes, rank).map_err(|_| "its axes do not fit")?;
    if reduced[axis] {
        return Err("it joins them");
    }
    Ok(if keep_dims { axis } else { reduced[..axis].iter().filter(|&&reduced| !reduced).count() })
}

/// The shape that is left, as far as it is known.
pub(super) fn symbolic_shape(x: &[Extent], axes: &[i64], keep_dims: bool) -> Shape {
    let mut removed = vec![axes.is_empty(); x.len()];
    for &axis in axes {
        removed[normalize_axis(axis, x.len())?] = true;
    }
    let kept = x.iter().zip(removed).filter_map(|(&extent, removed)| match (removed, keep_dims) {
        (false, _) => Some(extent),
        (true, true) => Some(Extent::Known(1)),
        (true, false) => None,
    });
    Some(kept.collect())
}

/// The axes as an attribute, or as an input since operator set `axes_input`; `op` makes the operator of axes and of
/// whether they stay.
pub(super) fn import(
    node: &NodeView<'_>,
    importer: &mut Importer,
    axes_input: i64,
    op: impl Fn(Vec<i64>, bool) -> Op,
) -> Result<(), GraphError> {
    let axes = if node.opset() < axes_input {
        node.check_inputs(1, 1)?;
        node.ints("axes")?.map(<[i64]>::to_vec).unwrap_or_default()
    } else {
        node.check_inputs(1, 2)?;
        importer.ints(node, 1)?.unwrap_or_default()
    };
    let keep_dims = node.flag("keepdims", true)?;
    let x = importer.value(node, 0)?;
    if axes.is_empty() && node.flag("noop_with_empty_axes", false)? {
        // Each element alone.
        return match node.op_type() {
            "ReduceL1" | "ReduceL2" => importer.emit(node, Op::Abs, vec![Some(x)]),
            "ReduceLogSum" => importer.emit(node, Op::Log, vec![Some(x)]),
            "ReduceSumSquare" => importer.emit(node, Op::Mul, vec![Some(x), Some(x)]),
            _ => importer.emit(node, Op::Identity, vec![Some(x)]),
        };
    }
    importer.emit(node, op(axes, keep_dims), vec![Some(x)])
}

/// The ONNX form, with the axes as an input or as an attribute.
pub(super) fn export(form: Form, axes: &[i64], keep_dims: bool, axes_are_input: bool) -> Form {
    let form = form.int("keepdims", i64::from(keep_dims));
    match axes {
        [] => form,
        axes if axes_are_input => form.int_vector(1, "axes", axes),
        axes => form.ints("axes", axes.to_vec()),
    }
}

/// Adds a reduction over some axes, often the spatial ones.
pub(super) fn draw(generator: &mut Generator, x: usize, op: impl Fn(Vec<i64>, bool) -> Op) -> Option<Vec<usize>> {
    let rank = generator.shape(x).len();
    let spatial = generator.draws.chance(0.3) && rank > 2;
    let axes = if spatial { (2..rank as i64).collect() } else { generator.axes(rank, 0.5) };
    let keep_dims = generator.draws.chance(0.5);
    unary::draw(generator, x, op(axes, keep_dims))
}

/// What all reductions by `axes` and `keep_dims` say alike. `$types` are the element types of `$name`; the axes are an input
/// since operator set `$axes_input`.
macro_rules! facts {
    ($name:ident, $types:ident, $axes_input:literal) => {
        $crate::ops::facts!(Reduces, 1..=1, $types);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::reduction::output_types(
                signature,
                $crate::ops::ElementTypes::$types,
                &self.axes,
                self.keep_dims,
            )
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            $crate::ops::reduction::keeps_images_apart(&self.axes, operands)
        }

        fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
            $crate::ops::reduction::carries(&self.axes, self.keep_dims, rank, axis)
        }

        fn reordered(
            &self,
            order: &[usize],
            ranks: &$crate::ops::order::Ranks,
        ) -> Option<$crate::ops::order::Reordered> {
            let keep_dims = self.keep_dims;
            let op = |axes| $crate::ops::Op::$name(Self { axes, keep_dims });
            $crate::ops::order::reduced(&self.axes, keep_dims, order, ranks, op)
        }

        fn export(
            &self,
            form: $crate::onnx::export::Form,
            context: $crate::onnx::export::Context,
        ) -> Result<$crate::onnx::export::Form, String> {
            let axes_are_input = context.opset >= $axes_input;
            Ok($crate::ops::reduction::export(form.since(13), &self.axes, self.keep_dims, axes_are_input))
        }

        fn symbolic_shape(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            _symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> $crate::onnx::symbolic::Shape {
            $crate::ops::reduction::symbolic_shape(inputs.first()?.as_ref()?, &self.axes, self.keep_dims)
        }
    };
}

pub(super) use facts;

/// The type that is left where `axes` (all where empty) are reduced.
pub(super) fn output_types(
    signature: &Signature<'_>,
    types: ElementTypes,
    axes: &[i64],
    keep_dims: bool,
) -> Result<Vec<TensorType>, GraphError> {
    let x = if types == ElementTypes::Float { signature.float()? } else { signature.number()? };
    Ok(shaped(x, output_shape(signature, x, axes, keep_dims)?))
}
