//! TopK: the number as an attribute (opset 1) or an input (10).

use std::cmp::Ordering;

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary, window};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, f, t};
use crate::{DType, Data, GraphError};

/// The k largest or smallest elements along an axis, and their indices as i64, in order; of equal ones the first comes
/// first. NaN counts as larger than every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    /// How many.
    pub k: usize,
    /// Axis, may be negative.
    pub axis: i64,
    /// Whether the largest are taken, not the smallest.
    pub largest: bool,
}

impl Operator for TopK {
    facts!(Reduces, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        if self.k > x.shape[axis] {
            let (k, extent) = (self.k, x.shape[axis]);
            return Err(signature.invalid(format!("{k} elements of axis {axis}, which has {extent}")));
        }
        let mut shape = x.shape.clone();
        shape[axis] = self.k;
        Ok(vec![TensorType { dtype: x.dtype, shape: shape.clone() }, TensorType { dtype: DType::I64, shape }])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], axis: usize, op: TopK) -> Result<Vec<Data>, GraphError>
        where
            Data: From<Vec<T>>,
        {
            let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
            let mut indices: Vec<i64> = call.allocate_output()?;
            let mut values: Vec<T> = call.allocate_output()?;
            indices.resize(outer * op.k * inner, 0);
            values.resize(indices.len(), T::ZERO);
            let mut order: Vec<usize> = call.allocate(extent)?;
            for (block, lane) in window::pairs(outer, inner) {
                let at = |i: usize| x[(block * extent + i) * inner + lane];
                order.clear();
                order.extend(0..extent);
                // Stable: equal elements stay in order.
                order.sort_by(|&a, &b| if op.largest { compare(at(b), at(a)) } else { compare(at(a), at(b)) });
                for (rank, &i) in order.iter().take(op.k).enumerate() {
                    let place = (block * op.k + rank) * inner + lane;
                    (values[place], indices[place]) = (at(i), i as i64);
                }
            }
            Ok(vec![values.into(), indices.into()])
        }
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_number!(call.input(0).data(), x => typed(call, x, axis, *self), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axis = order::place(self.axis, order)?;
        Some(order::first(order, ranks)?.with(Op::TopK(Self { axis, ..*self })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let k = i64::try_from(self.k).unwrap_or(i64::MAX);
        Ok(form.since(11).int("axis", self.axis).int("largest", i64::from(self.largest)).int_vector(1, "k", &[k]))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], output: usize) -> Result<DType, String> {
        match inputs {
            [Some(DType::Bool) | None] | [] => Err(format!("inputs of element types {inputs:?}, expected a number")),
            [Some(dtype), ..] if output == 0 => Ok(*dtype),
            _ => Ok(DType::I64),
        }
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, _symbols: &mut Symbols) -> Vec<Shape> {
        let shape = || {
            let mut shape = inputs.first().copied()?.clone()?;
            let axis = normalize_axis(self.axis, shape.len())?;
            shape[axis] = Extent::Known(self.k);
            Some(shape)
        };
        vec![shape(); n_outputs]
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true]
    }
}

fn compare<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Definition for TopK {
    const NAME: &'static str = "TopK";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "k", "largest", "sorted"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let k = if node.opset() < 10 {
            node.check_inputs(1, 1)?;
            node.int("k")?
        } else {
            node.check_inputs(2, 2)?;
            let k = importer.ints(node, 1).map_err(|_| {
                node.unsupported(
                    "a number of elements that is computed: export with a constant k, or cut the network in front",
                )
            });
            k?.and_then(|k| k.first().copied())
        };
        let k = k.and_then(|k| usize::try_from(k).ok());
        let k = k.ok_or_else(|| node.invalid("the number of elements is missing or negative"))?;
        let (axis, largest) = (node.int_or("axis", -1)?, node.flag("largest", true)?);
        let x = importer.value(node, 0)?;
        // An output that nobody reads may have no name. Sorted elements are right for `sorted` = 0, too.
        let names: Vec<String> = (0..2)
            .map(|idx| match node.outputs().get(idx) {
                Some(name) if !name.is_empty() => name.clone(),
                _ => importer.free_value_name(&format!("{}.unread", node.name())),
            })
            .collect();
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let op = Op::TopK(Self { k, axis, largest });
        importer.emit_as(node, node.name().to_owned(), op, vec![Some(x)], &outputs).map(|_| ())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let extent = shape[axis.rem_euclid(shape.len() as i64) as usize];
        let (k, largest) = (generator.draws.between(1, extent.max(1)), generator.draws.chance(0.5));
        unary::draw(generator, x, Op::TopK(Self { k, axis, largest }))
    }

    fn cases() -> Vec<Case> {
        let case = |what, largest, values: &[f32], indices: &[i64]| Case {
            what,
            op: Op::TopK(Self { k: 2, axis: 1, largest }),
            inputs: vec![f(&[1, 4, 1], &[3.0, 1.0, 3.0, 2.0])],
            expected: vec![f(&[1, 2, 1], values), t(&[1, 2, 1], indices)],
        };
        vec![case("top 2", true, &[3.0, 3.0], &[0, 2]), case("bottom 2", false, &[1.0, 2.0], &[1, 3])]
    }
}
