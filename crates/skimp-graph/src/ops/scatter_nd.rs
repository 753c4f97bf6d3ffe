//! ScatterND.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, global_pool, indices, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, Element, GraphError, Tensor};

/// How an update joins what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// It takes its place.
    None,
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Maximum.
    Max,
    /// Minimum.
    Min,
}

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
        fn scattered<T: Element>(call: &Call<'_>, x: &[T], join: impl Fn(T, T) -> T) -> Result<Vec<T>, GraphError> {
            let (starts, inner) = places(call)?;
            let updates: &[T] = call.elements(2);
            let mut y = x.to_vec();
            for (start, update) in starts.into_iter().zip(updates.chunks_exact(inner.max(1))) {
                y[start..start + inner].iter_mut().zip(update).for_each(|(y, &update)| *y = join(*y, update));
            }
            Ok(y)
        }
        fn joined<T: Number>(call: &Call<'_>, x: &[T], reduction: Reduction) -> Result<Vec<T>, GraphError> {
            match reduction {
                Reduction::None => scattered(call, x, |_, update| update),
                Reduction::Add => scattered(call, x, T::plus),
                Reduction::Mul => scattered(call, x, T::times),
                Reduction::Max => scattered(call, x, global_pool::larger),
                Reduction::Min => scattered(call, x, global_pool::smaller),
            }
        }
        for_number!(
            call.input(0).data(),
            x => Ok(vec![joined(call, x, self.reduction)?.into()]),
            Ok(vec![scattered(call, call.elements::<bool>(0), |_, update| update)?.into()])
        )
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
        let form = form.since(if self.reduction == Reduction::None { 13 } else { 18 });
        Ok(match self.reduction {
            Reduction::None => form,
            Reduction::Add => form.string("reduction", "add"),
            Reduction::Mul => form.string("reduction", "mul"),
            Reduction::Max => form.string("reduction", "max"),
            Reduction::Min => form.string("reduction", "min"),
        })
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
        node.check_inputs(3, 3)?;
        let reduction = match node.string("reduction")? {
            None | Some("none") => Reduction::None,
            Some("add") => Reduction::Add,
            Some("mul") => Reduction::Mul,
            Some("max") => Reduction::Max,
            Some("min") => Reduction::Min,
            Some(other) => return Err(node.invalid(format!("attribute \"reduction\" is \"{other}\""))),
        };
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
