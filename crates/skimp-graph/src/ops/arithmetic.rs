//! What elementwise arithmetic with broadcasting shares, on data and in shape calculations.

use super::signature::{Signature, shaped};
use super::{Cast, ElementTypes, Op};
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, Extent, Shape, SymbolicTensor, Symbols};
use crate::reference::Call;
use crate::reference::number::Number;
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Generator, Source};
use crate::{DType, Data, Element, GraphError, Tensor};

/// Two numbers of one type, broadcast.
pub(super) fn output_types(signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
    let a = signature.input(0)?;
    let b = signature.input_like(1, a)?;
    signature.number()?;
    let shape = broadcast(&a.shape, &b.shape);
    let mismatch = || signature.invalid(format!("shapes {:?} and {:?} do not broadcast", a.shape, b.shape));
    Ok(shaped(a, shape.ok_or_else(mismatch)?))
}

/// `function` of the elements of `a`, the first input, and of the second one, both broadcast to the output.
pub(super) fn zip<T: Number>(call: &Call<'_>, a: &[T], function: impl Fn(T, T) -> T) -> Result<Data, GraphError>
where
    Data: From<Vec<T>>,
{
    let b: &[T] = call.elements(1);
    let mut y = call.allocate_output()?;
    if call.input(0).shape() == call.input(1).shape() {
        y.extend(a.iter().zip(b).map(|(&a, &b)| function(a, b)));
    } else {
        let a_offsets = Offsets::broadcast(call.input(0).shape(), call.output_shape());
        let b_offsets = Offsets::broadcast(call.input(1).shape(), call.output_shape());
        y.extend(a_offsets.zip(b_offsets).map(|(i, j)| function(a[i], b[j])));
    }
    Ok(y.into())
}

/// The broadcast shape of both inputs.
pub(super) fn symbolic_shape(inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
    symbolic_broadcast(inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?, symbols)
}

fn broadcast_extent(a: Extent, b: Extent, symbols: &mut Symbols) -> Option<Extent> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Extent::Known(1), other) | (other, Extent::Known(1)) => Some(other),
        (Extent::Known(_), Extent::Known(_)) => None,
        (known @ Extent::Known(_), Extent::Symbol(_)) | (Extent::Symbol(_), known @ Extent::Known(_)) => Some(known),
        (Extent::Symbol(_), Extent::Symbol(_)) => Some(Extent::Symbol(symbols.fresh())),
    }
}

/// The shape that two shapes broadcast to.
pub(super) fn symbolic_broadcast(a: &[Extent], b: &[Extent], symbols: &mut Symbols) -> Shape {
    let rank = a.len().max(b.len());
    let of = |t: &[Extent], axis: usize| (axis + t.len()).checked_sub(rank).map_or(Extent::Known(1), |i| t[i]);
    (0..rank).map(|axis| broadcast_extent(of(a, axis), of(b, axis), symbols)).collect()
}

/// Adds `op` on two inputs, or calculates with them where they are shapes.
pub(super) fn import(
    node: &NodeView<'_>,
    importer: &mut Importer,
    op: Op,
    on_shapes: Arithmetic,
) -> Result<(), GraphError> {
    node.check_inputs(2, 2)?;
    if let Some(inputs) = importer.shape_inputs(node, 2)? {
        match SymbolicTensor::binary(on_shapes, &inputs[0], &inputs[1], &mut importer.symbols) {
            Ok(result) => return importer.bind_symbolic(node, result),
            // Constants of more elements than any shape has are data.
            Err(_) if is_data(&inputs) => {}
            Err(cause) => return Err(node.invalid(cause)),
        }
    }
    let a = importer.value(node, 0)?;
    let b = importer.value(node, 1)?;
    importer.emit(node, op, vec![Some(a), Some(b)])
}

/// Whether `inputs` are constants that broadcast to more elements than any shape has.
fn is_data(inputs: &[SymbolicTensor]) -> bool {
    let shape = inputs.iter().try_fold(Vec::new(), |shape, input| broadcast(&shape, input.shape()));
    let is_large = shape.is_some_and(|shape| SymbolicTensor::is_too_large(&shape));
    is_large && inputs.iter().all(|input| input.to_constant().is_some())
}

/// The form for elements of `dtype`: integers beside the `early` ones came with opset 14.
pub(super) fn since(form: Form, dtype: DType, early: &[DType]) -> Form {
    if dtype.is_float() || early.contains(&dtype) { form } else { form.since(14) }
}

/// Adds `op` on value `x` and a constant or another value; one that `divides` keeps away from 0.
pub(super) fn draw(generator: &mut Generator, x: usize, op: Op, divides: bool) -> Option<Vec<usize>> {
    let shape = generator.shape(x);
    let other = if generator.draws.chance(0.5) {
        let other = generator.broadcastable(&shape, true);
        let n: usize = other.iter().product();
        let numbers = if divides {
            (0..n).map(|_| [-2.0, -0.5, 0.5, 1.0, 4.0][generator.draws.below(5)]).collect()
        } else {
            (0..n).map(|_| generator.draws.between(0, 4) as f32 - 2.0).collect()
        };
        Source::Constant(Tensor::from_f32(other, numbers))
    } else {
        Source::Known(generator.draws.below(generator.known.len()))
    };
    let mut operands = vec![Source::Known(x), other];
    if generator.draws.chance(0.3) {
        operands.reverse();
    }
    let divisor = match &operands[1] {
        Source::Known(idx) => &generator.known[*idx].tensor,
        Source::Constant(tensor) => tensor,
    };
    let near_zero = |x: &f32| x.abs() < 0.25;
    if divides && divisor.as_f32().is_some_and(|elements| elements.iter().any(near_zero)) {
        return None;
    }
    generator.try_node(op, operands)
}

/// The broadcast type of any number of inputs of one type.
pub(super) fn variadic_types(signature: &Signature<'_>, types: ElementTypes) -> Result<Vec<TensorType>, GraphError> {
    let x = if types == ElementTypes::Float { signature.float()? } else { signature.number()? };
    let mut shape = x.shape.clone();
    for idx in 1..signature.inputs.len() {
        let other = signature.input_like(idx, x)?;
        let mismatch = || signature.invalid(format!("shapes {shape:?} and {:?} do not broadcast", other.shape));
        shape = broadcast(&shape, &other.shape).ok_or_else(mismatch)?;
    }
    Ok(shaped(x, shape))
}

/// The elements of all inputs joined, from the first to the last.
pub(super) fn fold<T: Number>(call: &Call<'_>, x: &[T], join: impl Fn(T, T) -> T) -> Result<Vec<T>, GraphError> {
    let mut y: Vec<T> = call.allocate_output()?;
    y.extend(Offsets::broadcast(call.input(0).shape(), call.output_shape()).map(|i| x[i]));
    for idx in 1..call.inputs.len() {
        let other: &[T] = call.elements(idx);
        let places = Offsets::broadcast(call.input(idx).shape(), call.output_shape());
        y.iter_mut().zip(places).for_each(|(y, i)| *y = join(*y, other[i]));
    }
    Ok(y)
}

/// Adds `op` on all inputs.
pub(super) fn import_variadic(node: &NodeView<'_>, importer: &mut Importer, op: Op) -> Result<(), GraphError> {
    let n_inputs = node.n_inputs();
    node.check_inputs(n_inputs.max(1), n_inputs)?;
    let inputs = (0..n_inputs).map(|idx| importer.value(node, idx).map(Some)).collect::<Result<Vec<_>, _>>()?;
    importer.emit(node, op, inputs)
}

/// Adds `op` on two inputs.
pub(super) fn import_data(node: &NodeView<'_>, importer: &mut Importer, op: Op) -> Result<(), GraphError> {
    node.check_inputs(2, 2)?;
    import_variadic(node, importer, op)
}

fn truths(signature: &Signature<'_>, shape: Option<Vec<usize>>) -> Result<Vec<TensorType>, GraphError> {
    let shape = shape.ok_or_else(|| signature.invalid("the shapes of the inputs do not broadcast"))?;
    Ok(vec![TensorType { dtype: DType::Bool, shape }])
}

/// Truth values of two inputs of one type, broadcast.
pub(super) fn comparison_types(signature: &Signature<'_>, types: ElementTypes) -> Result<Vec<TensorType>, GraphError> {
    let a = if types == ElementTypes::Any { signature.input(0)? } else { signature.number()? };
    let b = signature.input_like(1, a)?;
    truths(signature, broadcast(&a.shape, &b.shape))
}

/// Truth values of truth values, broadcast.
pub(super) fn logic_types(signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
    let a = signature.input(0)?;
    if a.dtype != DType::Bool {
        return Err(signature.invalid(format!("input 0 has element type {}, expected bool", a.dtype)));
    }
    match signature.inputs.len() {
        1 => Ok(vec![a.clone()]),
        _ => truths(signature, broadcast(&a.shape, &signature.input_like(1, a)?.shape)),
    }
}

/// The type of a comparison of two inputs of one type.
pub(super) fn comparison_dtype(inputs: &[Option<DType>], types: ElementTypes) -> Result<DType, String> {
    match inputs {
        [Some(a), Some(b)] if a == b && types.contains(*a) => Ok(DType::Bool),
        _ => Err(format!("inputs of element types {inputs:?}, expected two of one type")),
    }
}

/// The type of a function of truth values.
pub(super) fn logic_dtype(inputs: &[Option<DType>]) -> Result<DType, String> {
    if inputs.iter().all(|input| *input == Some(DType::Bool)) {
        return Ok(DType::Bool);
    }
    Err(format!("inputs of element types {inputs:?}, expected Bool"))
}

/// `function` of the elements of `a`, the first input, and of the second one, both broadcast to the output.
pub(super) fn compare<T: Element>(
    call: &Call<'_>,
    a: &[T],
    function: impl Fn(T, T) -> bool,
) -> Result<Vec<bool>, GraphError> {
    let b: &[T] = call.elements(1);
    let places = |idx: usize| Offsets::broadcast(call.input(idx).shape(), call.output_shape());
    let mut y = call.allocate_output()?;
    y.extend(places(0).zip(places(1)).map(|(i, j)| function(a[i], b[j])));
    Ok(y)
}

/// Adds `op` on value `x` and a constant, both as truth values.
pub(super) fn draw_logic(generator: &mut Generator, x: usize, op: Op) -> Option<Vec<usize>> {
    let x = generator.try_node(Op::Cast(Cast { to: DType::Bool }), vec![Source::Known(x)])?[0];
    let shape = generator.broadcastable(&generator.shape(x), true);
    let n: usize = shape.iter().product();
    let truths: Vec<bool> = (0..n).map(|_| generator.draws.chance(0.5)).collect();
    generator.try_node(op, vec![Source::Known(x), Source::Constant(Tensor::new(shape, truths.into())?)])
}

/// What the four operations of arithmetic say alike.
macro_rules! facts {
    () => {
        $crate::ops::facts!(ElementWise, 2..=2, Number);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::arithmetic::output_types(signature)
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            operands.broadcast_over_images()
        }

        fn reordered(
            &self,
            order: &[usize],
            ranks: &$crate::ops::order::Ranks,
        ) -> Option<$crate::ops::order::Reordered> {
            $crate::ops::order::broadcast(order, ranks)
        }

        fn export(
            &self,
            form: $crate::onnx::export::Form,
            context: $crate::onnx::export::Context,
        ) -> Result<$crate::onnx::export::Form, String> {
            let early = [$crate::DType::I64, $crate::DType::I32];
            Ok($crate::ops::arithmetic::since(form, context.dtype, &early))
        }

        fn symbolic_shape(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> $crate::onnx::symbolic::Shape {
            $crate::ops::arithmetic::symbolic_shape(inputs, symbols)
        }
    };
}

/// What comparisons say alike. `$types` are their element types; their form came with operator set `$since`.
macro_rules! comparison {
    ($types:ident, $since:literal) => {
        $crate::ops::facts!(ElementWise, 2..=2, $types);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::arithmetic::comparison_types(signature, $crate::ops::ElementTypes::$types)
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            operands.broadcast_over_images()
        }

        fn rounding(&self) -> $crate::ops::Rounding {
            $crate::ops::Rounding::Jumps
        }

        fn reordered(
            &self,
            order: &[usize],
            ranks: &$crate::ops::order::Ranks,
        ) -> Option<$crate::ops::order::Reordered> {
            $crate::ops::order::broadcast(order, ranks)
        }

        fn export(
            &self,
            form: $crate::onnx::export::Form,
            _context: $crate::onnx::export::Context,
        ) -> Result<$crate::onnx::export::Form, String> {
            Ok(form.since($since))
        }

        fn output_dtype(&self, inputs: &[Option<$crate::DType>], _output: usize) -> Result<$crate::DType, String> {
            $crate::ops::arithmetic::comparison_dtype(inputs, $crate::ops::ElementTypes::$types)
        }

        fn symbolic_shape(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> $crate::onnx::symbolic::Shape {
            $crate::ops::arithmetic::symbolic_shape(inputs, symbols)
        }
    };
}

/// What functions of two truth values say alike.
macro_rules! logic {
    () => {
        $crate::ops::facts!(ElementWise, 2..=2, Any);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::arithmetic::logic_types(signature)
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            operands.broadcast_over_images()
        }

        fn rounding(&self) -> $crate::ops::Rounding {
            $crate::ops::Rounding::Exact
        }

        fn reordered(
            &self,
            order: &[usize],
            ranks: &$crate::ops::order::Ranks,
        ) -> Option<$crate::ops::order::Reordered> {
            $crate::ops::order::broadcast(order, ranks)
        }

        fn export(
            &self,
            form: $crate::onnx::export::Form,
            _context: $crate::onnx::export::Context,
        ) -> Result<$crate::onnx::export::Form, String> {
            Ok(form)
        }

        fn output_dtype(&self, inputs: &[Option<$crate::DType>], _output: usize) -> Result<$crate::DType, String> {
            $crate::ops::arithmetic::logic_dtype(inputs)
        }

        fn symbolic_shape(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> $crate::onnx::symbolic::Shape {
            $crate::ops::arithmetic::symbolic_shape(inputs, symbols)
        }
    };
}

/// What functions of any number of inputs say alike. `$types` are their element types; their form came with operator set
/// `$since`.
macro_rules! variadic {
    ($types:ident, $since:literal) => {
        $crate::ops::facts!(ElementWise, 1..=usize::MAX, $types);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::arithmetic::variadic_types(signature, $crate::ops::ElementTypes::$types)
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            operands.broadcast_over_images()
        }

        fn reordered(
            &self,
            order: &[usize],
            ranks: &$crate::ops::order::Ranks,
        ) -> Option<$crate::ops::order::Reordered> {
            $crate::ops::order::broadcast(order, ranks)
        }

        fn export(
            &self,
            form: $crate::onnx::export::Form,
            _context: $crate::onnx::export::Context,
        ) -> Result<$crate::onnx::export::Form, String> {
            Ok(form.since($since))
        }

        fn symbolic_shape(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> $crate::onnx::symbolic::Shape {
            $crate::ops::arithmetic::variadic_shape(inputs, symbols)
        }
    };
}

pub(super) use {comparison, facts, logic, variadic};

/// The broadcast shape of all inputs.
pub(super) fn variadic_shape(inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
    let (first, rest) = inputs.split_first()?;
    rest.iter().try_fold(first.as_ref()?.clone(), |shape, other| symbolic_broadcast(&shape, other.as_ref()?, symbols))
}
