//! OneHot: the depth as an attribute here, as an input in ONNX.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Cast, Definition, Op, Operands, Operator, Rounding};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, Element, GraphError, Tensor};

/// Inputs: indices (i64 or i32), values `[off, on]`. A new axis of extent `depth`: on where the position is the index, counted
/// from the end where it is negative, off elsewhere; nowhere on where an index is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// Extent of the new axis.
    pub depth: usize,
    /// Where it stands in the output, may be negative.
    pub axis: i64,
}

impl Operator for OneHot {
    facts!(Moves, 2..=2, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (indices, values) = (signature.input(0)?, signature.input(1)?);
        if !matches!(indices.dtype, DType::I32 | DType::I64) {
            return Err(signature.unsupported(format!("indices of element type {}", indices.dtype)));
        }
        if values.shape != [2] {
            return Err(signature.invalid(format!("values have shape {:?}, expected [2]", values.shape)));
        }
        let axis = signature.axis(self.axis, indices.shape.len() + 1)?;
        let mut shape = indices.shape.clone();
        shape.insert(axis, self.depth);
        signature.product(&shape)?;
        Ok(shaped(values, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element>(
            call: &Call<'_>,
            values: &[T],
            hot: &[Option<usize>],
            axis: usize,
        ) -> Result<Vec<T>, GraphError> {
            let (outer, depth, inner) = around_axis(call.output_shape(), axis);
            let mut y = call.allocate_output()?;
            y.resize(outer * depth * inner, values[0]);
            for (idx, position) in hot.iter().enumerate() {
                if let Some(position) = position {
                    y[(idx / inner * depth + position) * inner + idx % inner] = values[1];
                }
            }
            Ok(y)
        }
        let axis = normalized_axis(self.axis, call.output_shape().len()).map_err(|cause| call.invalid(cause))?;
        let position = |index: i64| normalized_axis(index, self.depth).ok();
        let hot: Vec<Option<usize>> = match call.input(0).data() {
            Data::I32(indices) => indices.iter().map(|&index| position(index.into())).collect(),
            _ => call.elements::<i64>(0).iter().map(|&index| position(index)).collect(),
        };
        for_any!(call.input(1).data(), values => Ok(vec![typed(call, values, &hot, axis)?.into()]))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let at_first = self.axis == 0 || self.axis == -(operands.output_rank as i64);
        !at_first && operands.only_first_computed()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let depth = i64::try_from(self.depth).unwrap_or(i64::MAX);
        Ok(form.since(11).int("axis", self.axis).int_vector(1, "depth", &[depth]))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        match inputs {
            [Some(DType::I32 | DType::I64), Some(values)] => Ok(*values),
            _ => Err(format!("inputs of element types {inputs:?}, expected indices of I32 or I64")),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let mut shape = inputs.first().copied()?.clone()?;
        let axis = normalize_axis(self.axis, shape.len() + 1)?;
        shape.insert(axis, Extent::Known(self.depth));
        Some(shape)
    }
}

impl Definition for OneHot {
    const NAME: &'static str = "OneHot";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        let depth = match importer.parameter(node, 1)?.as_ref().map(Tensor::data) {
            Some(Data::I64(depth)) => depth.first().copied(),
            Some(Data::I32(depth)) => depth.first().copied().map(i64::from),
            Some(Data::F32(depth)) => depth.first().map(|&depth| depth as i64),
            _ => None,
        };
        let depth = depth.and_then(|depth| usize::try_from(depth).ok());
        let depth = depth.ok_or_else(|| node.invalid("the depth is no number, or negative"))?;
        let axis = node.int_or("axis", -1)?;
        let mut indices = importer.value(node, 0)?;
        if !matches!(importer.dtype(indices), DType::I32 | DType::I64) {
            indices = importer.emit_step(node, "indices", Op::Cast(Cast { to: DType::I64 }), vec![Some(indices)])?;
        }
        let values = importer.value(node, 2)?;
        importer.emit(node, Op::OneHot(Self { depth, axis }), vec![Some(indices), Some(values)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let depth = generator.draws.between(1, 5);
        let to = [DType::I64, DType::I32][generator.draws.below(2)];
        let indices = generator.try_node(Op::Cast(Cast { to }), vec![Source::Known(x)])?[0];
        let axis = generator.draws.below(generator.shape(x).len() + 1) as i64;
        let values = Source::Constant(f(&[2], &[0.0, 1.0]));
        generator.try_node(Op::OneHot(Self { depth, axis }), vec![Source::Known(indices), values])
    }

    fn cases() -> Vec<Case> {
        let indices = t(&[2], &[1_i64, -3]);
        let of = |axis| Op::OneHot(Self { depth: 3, axis });
        let values = f(&[2], &[5.0, 2.0]);
        vec![
            case("one hot", of(-1), [indices.clone(), values.clone()], f(&[2, 3], &[5.0, 2.0, 5.0, 2.0, 5.0, 5.0])),
            case("one hot first", of(0), [indices, values.clone()], f(&[3, 2], &[5.0, 2.0, 2.0, 5.0, 5.0, 5.0])),
            case("one hot out of range", of(0), [t(&[1], &[3_i32]), values], f(&[3, 1], &[5.0; 3])),
        ]
    }
}
