//! GatherND.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, indices};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// Inputs: x, indices `[.., k]`: each vector of the last axis picks a slice along k axes of x, after the batch axes that both
/// share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherNd {
    /// Number of batch axes.
    pub batch_dims: usize,
}

impl Operator for GatherNd {
    facts!(Moves, 2..=2, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (x, indices) = (signature.input(0)?, indices::checked(signature)?);
        let b = self.batch_dims;
        let k = indices.shape.last().copied().unwrap_or(0);
        let fits = b < indices.shape.len()
            && b.checked_add(k).is_some_and(|used| k > 0 && used <= x.shape.len())
            && x.shape[..b] == indices.shape[..b];
        if !fits {
            let (found, n) = (&indices.shape, b);
            return Err(signature.invalid(format!("indices of shape {found:?} into {:?}, {n} batch axes", x.shape)));
        }
        Ok(shaped(x, [&indices.shape[..indices.shape.len() - 1], &x.shape[b + k..]].concat()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let (shape, index_shape) = (call.input(0).shape(), call.input(1).shape());
        let (b, k) = (self.batch_dims, index_shape[index_shape.len() - 1]);
        let inner: usize = shape[b + k..].iter().product();
        let indices = indices::all(call, 1, |i| shape[b + i % k])?;
        let batches: usize = shape[..b].iter().product();
        let per_batch: usize = shape[b..].iter().product();
        let vectors = indices.len() / k / batches.max(1);
        let mut places: Vec<usize> = call.allocate(indices.len() / k * inner)?;
        for (i, vector) in indices.chunks_exact(k).enumerate() {
            let slice = vector.iter().zip(&shape[b..b + k]).fold(0, |place, (index, extent)| place * extent + index);
            let first = i / vectors.max(1) * per_batch + slice * inner;
            places.extend(first..first + inner);
        }
        Ok(vec![call.pick(&places)?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let all_computed = operands.inputs.iter().flatten().all(|input| !input.is_constant);
        self.batch_dims > 0 && all_computed
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("batch_dims", i64::try_from(self.batch_dims).unwrap_or(i64::MAX)))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        indices::output_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let (x, indices) = (inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?);
        let (last, rest) = indices.split_last()?;
        Some([rest, x.get(self.batch_dims.checked_add(last.known()?)?..)?].concat())
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for GatherNd {
    const NAME: &'static str = "GatherND";
    const ATTRIBUTES: &'static [&'static str] = &["batch_dims"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let batch_dims = usize::try_from(node.int_or("batch_dims", 0)?);
        let batch_dims = batch_dims.map_err(|_| node.invalid("attribute \"batch_dims\" is negative"))?;
        arithmetic::import_data(node, importer, Op::GatherNd(Self { batch_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let &[rows, columns, ..] = shape.as_slice() else { return None };
        let (rows, columns) = (rows.max(1), columns.max(1));
        let n = generator.draws.between(1, 4);
        let pair = |_: usize| [generator.draws.below(rows) as i64, generator.draws.below(columns) as i64];
        let indices = Tensor::from_i64(vec![n, 2], (0..n).flat_map(pair).collect());
        generator.try_node(Op::GatherNd(Self { batch_dims: 0 }), vec![Source::Known(x), Source::Constant(indices)])
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        vec![
            case(
                "gather nd",
                Op::GatherNd(Self { batch_dims: 0 }),
                [x.clone(), t(&[2, 2], &[0_i64, 0, 1, -1])],
                f(&[2], &[1.0, 4.0]),
            ),
            case(
                "gather nd, rows",
                Op::GatherNd(Self { batch_dims: 0 }),
                [x.clone(), t(&[1, 1], &[1_i64])],
                f(&[1, 2], &[3.0, 4.0]),
            ),
            case(
                "gather nd in batches",
                Op::GatherNd(Self { batch_dims: 1 }),
                [x, t(&[2, 1], &[1_i64, 0])],
                f(&[2], &[2.0, 3.0]),
            ),
        ]
    }
}
