//! ScatterND.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::scatter::{self, Reduction};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, indices, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// Inputs: x, indices `[.., k]`, updates: x with the slice along its first k axes that each index vector names replaced by, or
/// joined with, the update. Where vectors repeat, updates apply in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterNd {
    /// How updates join.
    pub reduction: Reduction,
}

impl Operator for ScatterNd {
    facts!(Moves, 3..=3, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (x, indices) = (signature.input(0)?, indices::checked(signature)?);
        let updates = signature.input_like(2, x)?;
        let k = indices.shape.last().copied().unwrap_or(0);
        if k == 0 || k > x.shape.len() {
            return Err(signature.invalid(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
        }
        let expected = [&indices.shape[..indices.shape.len() - 1], &x.shape[k..]].concat();
        if updates.shape != expected {
            return Err(signature.invalid(format!("updates have shape {:?}, expected {expected:?}", updates.shape)));
        }
        if self.reduction != Reduction::None {
            signature.number()?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn places(call: &Call<'_>) -> Result<(Vec<usize>, usize), GraphError> {
            let (shape, index_shape) = (call.input(0).shape(), call.input(1).shape());
            let k = index_shape[index_shape.len() - 1];
            let inner: usize = shape[k..].iter().product();
            let indices = indices::all(call, 1, |i| shape[i % k])?;
            let place = |vector: &[usize]| vector.iter().zip(shape).fold(0, |place, (i, extent)| place * extent + i);
            Ok((indices.chunks_exact(k).map(|vector| place(vector) * inner).collect(), inner))
        }
        let (starts, inner) = places(call)?;
        let places = starts.into_iter().flat_map(|start| start..start + inner);
        Ok(vec![scatter::evaluate(call, self.reduction, places)?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        // Indices count images, too.
        let _ = operands.output_rank;
        false
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(scatter::export(form, self.reduction))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        indices::output_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }
}

impl Definition for ScatterNd {
    const NAME: &'static str = "ScatterND";
    const ATTRIBUTES: &'static [&'static str] = &["reduction"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let reduction = scatter::import(node)?;
        arithmetic::import_variadic(node, importer, Op::ScatterNd(Self { reduction }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let &[rows, ref rest @ ..] = shape.as_slice() else { return None };
        let n = generator.draws.between(1, 3);
        let indices = (0..n).map(|_| generator.draws.below(rows.max(1)) as i64).collect();
        let indices = Source::Constant(Tensor::from_i64(vec![n, 1], indices));
        let updates = Source::Constant(generator.numbers([&[n], rest].concat()));
        let reduction = [Reduction::None, Reduction::Add, Reduction::Max][generator.draws.below(3)];
        generator.try_node(Op::ScatterNd(Self { reduction }), vec![Source::Known(x), indices, updates])
    }

    fn cases() -> Vec<Case> {
        let x = f(&[3], &[1.0, 2.0, 3.0]);
        let (places, updates) = (t(&[2, 1], &[2_i64, 2]), f(&[2], &[5.0, 7.0]));
        let scatter = |reduction| Op::ScatterNd(Self { reduction });
        vec![
            case(
                "scatter nd",
                scatter(Reduction::None),
                [x.clone(), places.clone(), updates.clone()],
                f(&[3], &[1.0, 2.0, 7.0]),
            ),
            case("scatter nd, adding", scatter(Reduction::Add), [x, places, updates], f(&[3], &[1.0, 2.0, 15.0])),
        ]
    }
}
