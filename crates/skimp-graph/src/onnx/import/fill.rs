//! Tensors whose extents are those of an input.

use super::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Symbol};
use crate::ops::{Cast, CumSum, Expand, Reshape, Slice};
use crate::{DType, GraphError, Op, Tensor, ValueId};

/// Makes the only output of `node` the constant `value`, broadcast to extents of which some are open (initial states of
/// recurrent layers whose batch is open, say).
///
/// # Errors
/// [`GraphError::Unsupported`](GraphError) if no value has an open extent.
pub(crate) fn fill(
    node: &NodeView<'_>,
    importer: &mut Importer,
    extents: &[Result<i64, Symbol>],
    value: Tensor,
) -> Result<(), GraphError> {
    let value = importer.new_constant(&format!("{}.value", node.name()), value);
    broadcast(node, importer, extents, value)
}

/// [`fill`] with a value of the graph.
pub(crate) fn broadcast(
    node: &NodeView<'_>,
    importer: &mut Importer,
    extents: &[Result<i64, Symbol>],
    value: ValueId,
) -> Result<(), GraphError> {
    let whole = falses(node, importer, extents)?;
    importer.emit(node, Op::Where, vec![Some(whole), Some(value), Some(value)])
}

/// Makes the only output of `node` the numbers `start`, `start + step`, .. as many as an open extent says.
pub(crate) fn count(
    node: &NodeView<'_>,
    importer: &mut Importer,
    extent: Symbol,
    [start, step]: [Tensor; 2],
) -> Result<(), GraphError> {
    let [start, step] = [("start", start), ("step", step)]
        .map(|(label, value)| importer.new_constant(&format!("{}.{label}", node.name()), value));
    let line = falses(node, importer, &[Err(extent)])?;
    let steps = importer.emit_step(node, "steps", Op::Where, vec![Some(line), Some(step), Some(step)])?;
    let sums = Op::CumSum(CumSum { axis: 0, exclusive: true, reverse: false });
    let sums = importer.emit_step(node, "sums", sums, vec![Some(steps)])?;
    importer.emit(node, Op::Add, vec![Some(sums), Some(start)])
}

/// Truth values of the given extents, of which some are open, that are all false. Chosen between a value and itself, they
/// spread it over these extents. An open extent is taken from a value that has it, by a cut through it along that axis.
fn falses(
    node: &NodeView<'_>,
    importer: &mut Importer,
    extents: &[Result<i64, Symbol>],
) -> Result<ValueId, GraphError> {
    let mut falses: Option<ValueId> = None;
    let mut target = Vec::with_capacity(extents.len());
    for (axis, extent) in extents.iter().enumerate() {
        let symbol = match *extent {
            Ok(known) => {
                target.push(usize::try_from(known).map_err(|_| node.invalid(format!("negative dimension {known}")))?);
                continue;
            }
            Err(symbol) => symbol,
        };
        target.push(1);
        let cut = one_axis(node, importer, symbol)?;
        let mut shape = vec![1; extents.len()];
        shape[axis] = -1;
        let reshape = Op::Reshape(Reshape { shape, allow_zero: false });
        let line = importer.emit_step(node, "axis", reshape, vec![Some(cut)])?;
        falses = Some(match falses {
            None => line,
            Some(others) => importer.emit_step(node, "axes", Op::Or, vec![Some(others), Some(line)])?,
        });
    }
    let Some(falses) = falses else { return Err(node.invalid("no extent is open")) };
    importer.emit_step(node, "extents", Op::Expand(Expand { shape: target }), vec![Some(falses)])
}

/// A vector, whatever it holds, as long as an open extent says; `None` if no value has that extent.
pub(crate) fn along(
    node: &NodeView<'_>,
    importer: &mut Importer,
    symbol: Symbol,
) -> Result<Option<ValueId>, GraphError> {
    let Some((x, axis, rank)) = importer.value_with(symbol) else { return Ok(None) };
    let cut = first_of_others(node, importer, x, axis, rank)?;
    let reshape = Op::Reshape(Reshape { shape: vec![-1], allow_zero: false });
    importer.emit_step(node, "line", reshape, vec![Some(cut)]).map(Some)
}

/// A cut through `x` along `axis`: the first element of every other axis.
fn first_of_others(
    node: &NodeView<'_>,
    importer: &mut Importer,
    x: ValueId,
    axis: usize,
    rank: usize,
) -> Result<ValueId, GraphError> {
    let others: Vec<i64> = (0..rank).filter(|&other| other != axis).map(|other| other as i64).collect();
    let n = others.len();
    let slice = Op::Slice(Slice { axes: others, starts: vec![0; n], ends: vec![1; n], steps: vec![1; n] });
    importer.emit_step(node, "cut", slice, vec![Some(x)])
}

/// Truth values that are all false, whose only extent other than 1 is `symbol`.
fn one_axis(node: &NodeView<'_>, importer: &mut Importer, symbol: Symbol) -> Result<ValueId, GraphError> {
    let found = importer.value_with(symbol);
    let (x, axis, rank) =
        found.ok_or_else(|| node.unsupported("a shape calculation whose own shape depends on an open extent"))?;
    let cut = first_of_others(node, importer, x, axis, rank)?;
    let truth = importer.emit_step(node, "truth", Op::Cast(Cast { to: DType::Bool }), vec![Some(cut)])?;
    importer.emit_step(node, "false", Op::Xor, vec![Some(truth), Some(truth)])
}

impl Importer {
    /// Whether a value of the graph has the open extent `symbol`, which is then not negative.
    pub(crate) fn has_extent(&self, symbol: Symbol) -> bool {
        self.value_with(symbol).is_some()
    }

    /// The first value of the graph that has the open extent `symbol`, the axis on which, and its rank. Other extents are
    /// not known to be 0.
    fn value_with(&self, symbol: Symbol) -> Option<(ValueId, usize, usize)> {
        self.shapes().find_map(|(id, shape)| {
            let axis = shape.iter().position(|&extent| extent == Extent::Symbol(symbol))?;
            let is_empty = shape.contains(&Extent::Known(0));
            (!is_empty).then_some((id, axis, shape.len()))
        })
    }
}
