//! Split.

use crate::onnx::export::{Context, Form, signed};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, f};
use crate::{Data, GraphError, ValueId};

/// One input, one output per size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Axis, may be negative.
    pub axis: i64,
    /// Extent of each output.
    pub sizes: Vec<usize>,
}

impl Operator for Split {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        if self.sizes.is_empty() {
            return Err(signature.invalid("has no sizes, expected at least one".to_owned()));
        }
        let total = self.sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
        if total != Some(x.shape[axis]) {
            return Err(
                signature.invalid(format!("sizes {:?} do not add up to the extent {}", self.sizes, x.shape[axis]))
            );
        }
        let part = |&size: &usize| {
            let mut shape = x.shape.clone();
            shape[axis] = size;
            TensorType { dtype: x.dtype, shape }
        };
        Ok(self.sizes.iter().map(part).collect())
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let shape = call.input(0).shape();
        let axis = normalized_axis(self.axis, shape.len()).map_err(|cause| call.invalid(cause))?;
        let strides = strides_of(shape);
        let mut start = 0;
        let mut parts = Vec::with_capacity(self.sizes.len());
        for (output, &size) in call.outputs.iter().zip(&self.sizes) {
            parts.push(call.gather(Offsets::new(&output.shape, strides.clone(), start))?);
            start += size * strides[axis].unsigned_abs();
        }
        Ok(parts)
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axis = order::place(self.axis, order)?;
        Some(order::first(order, ranks)?.with(Op::Split(Self { axis, sizes: self.sizes.clone() })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("axis", self.axis).int_vector(1, "split", &signed(&self.sizes)))
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, _symbols: &mut Symbols) -> Vec<Shape> {
        let part = |i: usize| -> Shape {
            let mut shape = inputs.first().copied()?.clone()?;
            let axis = normalize_axis(self.axis, shape.len())?;
            shape[axis] = Extent::Known(*self.sizes.get(i)?);
            Some(shape)
        };
        (0..n_outputs).map(part).collect()
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Split {
    const NAME: &'static str = "Split";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "num_outputs", "split"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 0)?;
        let stated = if node.opset() < 13 {
            node.check_inputs(1, 1)?;
            node.ints("split")?.map(<[i64]>::to_vec)
        } else {
            node.check_inputs(1, 2)?;
            importer.ints(node, 1)?
        };
        let x = importer.value(node, 0)?;
        let outputs: Vec<&str> = node.outputs().iter().map(String::as_str).collect();
        if outputs.is_empty() || outputs.contains(&"") {
            return Err(node.unsupported("an output without a name"));
        }
        if let Some(n) = node.int("num_outputs")?
            && usize::try_from(n).ok() != Some(outputs.len())
        {
            return Err(node.invalid(format!("attribute \"num_outputs\" is {n}, the node has {}", outputs.len())));
        }
        let sizes = match stated {
            Some(sizes) => sizes
                .iter()
                .map(|&size| usize::try_from(size).map_err(|_| node.invalid(format!("negative size {size}"))))
                .collect::<Result<Vec<_>, _>>()?,
            None => equal_sizes(node, importer, x, axis, outputs.len())?,
        };
        if sizes.len() != outputs.len() {
            return Err(node.invalid(format!("{} sizes for {} outputs", sizes.len(), outputs.len())));
        }
        importer
            .emit_as(node, node.name().to_owned(), Op::Split(Self { axis, sizes }), vec![Some(x)], &outputs)
            .map(|_| ())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let extent = shape[axis.rem_euclid(shape.len() as i64) as usize];
        let draws = &mut generator.draws;
        let first = draws.between(1, extent.max(2) - 1).min(extent);
        let mut sizes = vec![first, extent - first];
        if draws.chance(0.3) && sizes[1] > 1 {
            let last = draws.between(1, sizes[1] - 1);
            sizes[1] -= last;
            sizes.push(last);
        }
        sizes.retain(|&size| size > 0 || extent == 0);
        unary::draw(generator, x, Op::Split(Self { axis, sizes }))
    }

    fn cases() -> Vec<Case> {
        vec![Case {
            what: "split",
            op: Op::Split(Self { axis: 1, sizes: vec![1, 2] }),
            inputs: vec![f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
            expected: vec![f(&[2, 1], &[1.0, 4.0]), f(&[2, 2], &[2.0, 3.0, 5.0, 6.0])],
        }]
    }
}

/// Equal parts; since opset 18 the last one may be smaller.
fn equal_sizes(
    node: &NodeView<'_>,
    importer: &Importer,
    x: ValueId,
    axis: i64,
    n_outputs: usize,
) -> Result<Vec<usize>, GraphError> {
    let shape = importer.shape(x).as_deref().ok_or_else(|| node.unsupported("an input of unknown rank"))?;
    let at = normalize_axis(axis, shape.len()).ok_or_else(|| node.invalid(format!("axis {axis} does not exist")))?;
    let extent = shape[at].known().ok_or_else(|| node.unsupported("equal parts of an open extent"))?;
    if extent % n_outputs != 0 && node.opset() < 18 {
        return Err(node.invalid(format!("extent {extent} cannot be split into {n_outputs} equal parts")));
    }
    let size = extent.div_ceil(n_outputs);
    let part = |i: usize| extent.saturating_sub(i * size).min(size);
    Ok((0..n_outputs).map(part).collect())
}
