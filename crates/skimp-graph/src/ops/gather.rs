//! Gather.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, indices};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, Element, GraphError, Tensor};

/// Inputs: x, indices (i32 or i64, negative ones count from the end). The axis is replaced by the axes of the indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Axis of x, may be negative.
    pub axis: i64,
}

impl Operator for Gather {
    facts!(Moves, 2..=2, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (x, indices) = (signature.input(0)?, indices::checked(signature)?);
        let axis = signature.axis(self.axis, x.shape.len())?;
        Ok(shaped(x, [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element>(call: &Call<'_>, x: &[T], axis: usize, indices: &[usize]) -> Result<Vec<T>, GraphError> {
            let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
            let mut y = call.allocate_output()?;
            for block in 0..outer {
                for index in indices {
                    y.extend_from_slice(&x[(block * extent + index) * inner..][..inner]);
                }
            }
            Ok(y)
        }
        let shape = call.input(0).shape();
        let axis = normalized_axis(self.axis, shape.len()).map_err(|cause| call.invalid(cause))?;
        let indices = indices::all(call, 1, |_| shape[axis])?;
        for_any!(call.input(0).data(), x => Ok(vec![typed(call, x, axis, &indices)?.into()]))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        match operands.inputs[..] {
            // A table, looked up for each image.
            [Some(x), Some(_)] if x.is_constant => operands.is_first(self.axis),
            [Some(_), Some(indices)] => indices.is_constant && !operands.is_first(self.axis),
            _ => false,
        }
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        // A list of indices leaves its axis where it was.
        let is_list = matches!(ranks.inputs.get(1), Some(Some((1, _))));
        let axis = order::place(self.axis, order)?;
        order::first(order, ranks).filter(|_| is_list).map(|found| found.with(Op::Gather(Self { axis })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(11).int("axis", self.axis))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        indices::output_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let (x, indices) = (inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?);
        let axis = normalize_axis(self.axis, x.len())?;
        Some([&x[..axis], indices, &x[axis + 1..]].concat())
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for Gather {
    const NAME: &'static str = "Gather";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 0)?;
        arithmetic::import_data(node, importer, Op::Gather(Self { axis }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let extent = shape[axis.rem_euclid(shape.len() as i64) as usize];
        let draws = &mut generator.draws;
        let shape = [vec![], vec![1], vec![3], vec![2, 2]][draws.below(4)].clone();
        let n: usize = shape.iter().product();
        let indices = (0..n).map(|_| draws.below(2 * extent.max(1)) as i64 - extent as i64).collect();
        let indices = Tensor::from_i64(shape, indices);
        generator.try_node(Op::Gather(Self { axis }), vec![Source::Known(x), Source::Constant(indices)])
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        vec![
            case("gather rows", Op::Gather(Self { axis: 0 }), [x.clone(), t(&[1, 2], &[1_i64, 0])], {
                f(&[1, 2, 3], &[4.0, 5.0, 6.0, 1.0, 2.0, 3.0])
            }),
            case("gather one column", Op::Gather(Self { axis: -1 }), [x, t(&[], &[-1_i32])], f(&[2], &[3.0, 6.0])),
        ]
    }
}
