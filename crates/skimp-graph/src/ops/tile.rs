//! Tile.

use crate::onnx::export::{Context, Form, signed};
use crate::onnx::import::{self, Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbol, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Repeats the tensor along every axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// How often, one entry per axis.
    pub repeats: Vec<usize>,
}

impl Operator for Tile {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        if self.repeats.len() != x.shape.len() {
            return Err(signature.invalid(format!("{} repeats for {} dims", self.repeats.len(), x.shape.len())));
        }
        let extent = |(&n, &repeats): (&usize, &usize)| n.checked_mul(repeats);
        let shape: Option<Vec<usize>> = x.shape.iter().zip(&self.repeats).map(extent).collect();
        Ok(shaped(x, shape.ok_or_else(|| signature.invalid("extents are too large"))?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        // Every axis as two: the repetition, which does not step, and the axis itself.
        let shape = call.input(0).shape();
        let pairs = self.repeats.iter().zip(shape);
        let extents: Vec<usize> = pairs.flat_map(|(&repeats, &n)| [repeats, n]).collect();
        let strides = strides_of(shape).into_iter().flat_map(|stride| [0, stride]).collect();
        Ok(vec![call.gather(Offsets::new(&extents, strides, 0))?])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        self.repeats.first() == Some(&1)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let repeats = order::entries(&self.repeats, order)?;
        Some(order::first(order, ranks)?.with(Op::Tile(Self { repeats })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int_vector(1, "repeats", &signed(&self.repeats)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref().filter(|x| x.len() == self.repeats.len())?;
        let pairs = x.iter().zip(&self.repeats);
        Some(pairs.map(|(&extent, &repeats)| symbols.product(&[extent, Extent::Known(repeats)])).collect())
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

/// The extents of a tile that only repeats axes of one element: a broadcast.
fn spread(shape: &[Extent], repeats: &[Result<i64, Symbol>]) -> Option<Vec<Result<i64, Symbol>>> {
    let extent = |(extent, repeats): (&Extent, &Result<i64, Symbol>)| match (*extent, *repeats) {
        (Extent::Known(1), repeats) => Some(repeats),
        (Extent::Known(n), Ok(1)) => Some(Ok(i64::try_from(n).ok()?)),
        (Extent::Symbol(symbol), Ok(1)) => Some(Err(symbol)),
        _ => None,
    };
    (shape.len() == repeats.len()).then(|| shape.iter().zip(repeats).map(extent).collect())?
}

impl Definition for Tile {
    const NAME: &'static str = "Tile";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let x = importer.value(node, 0)?;
        let repeats = importer.symbolic_ints(node, 1)?.unwrap_or_default();
        let Some(repeats) = repeats.iter().map(|entry| entry.ok()).collect::<Option<Vec<i64>>>() else {
            let extents = importer.shape(x).clone().and_then(|shape| spread(&shape, &repeats));
            let unknown = || node.unsupported("a number of repeats that depends on the extents of an input");
            return import::broadcast(node, importer, &extents.ok_or_else(unknown)?, x);
        };
        let repeats = repeats.into_iter().map(usize::try_from).collect::<Result<_, _>>();
        let repeats = repeats.map_err(|_| node.invalid("a negative number of repeats"))?;
        importer.emit(node, Op::Tile(Self { repeats }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let rank = generator.shape(x).len();
        let repeats = (0..rank).map(|_| [1, 1, 2, 3][generator.draws.below(4)]).collect();
        unary::draw(generator, x, Op::Tile(Self { repeats }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "tile",
            Op::Tile(Self { repeats: vec![2, 2] }),
            [f(&[1, 2], &[1.0, 2.0])],
            f(&[2, 4], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
        )]
    }
}
