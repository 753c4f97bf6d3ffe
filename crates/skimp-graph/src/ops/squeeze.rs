//! Squeeze: axes as an attribute (opset 1) or an input (13).

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, reduction, unary};
use crate::reference::Call;
use crate::shape::{TensorType, normalized_axes};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Drops axes of extent 1 (all where empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeeze {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
}

impl Operator for Squeeze {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let dropped = normalized_axes(&self.axes, x.shape.len()).map_err(|cause| signature.invalid(cause))?;
        let mut shape = Vec::new();
        for (axis, (&extent, dropped)) in x.shape.iter().zip(dropped).enumerate() {
            if dropped && extent != 1 {
                return Err(signature.invalid(format!("axis {axis} has extent {extent}, expected 1")));
            }
            let dropped = dropped || (self.axes.is_empty() && extent == 1);
            shape.extend((!dropped).then_some(extent));
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !self.axes.is_empty() && self.axes.iter().all(|&axis| !operands.is_first(axis))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        if self.axes.is_empty() {
            return None;
        }
        let axes = order::places(&self.axes, order)?;
        order::resized(order, ranks, &self.unit_axes(order.len())?).map(|found| found.with(Op::Squeeze(Self { axes })))
    }

    fn unit_axes(&self, n_axes: usize) -> Option<Vec<bool>> {
        normalized_axes(&self.axes, n_axes).ok()
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.since(13);
        Ok(if self.axes.is_empty() { form } else { form.int_vector(1, "axes", &self.axes) })
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        if self.axes.is_empty() {
            // Whether an open extent is 1 cannot be known, and so neither the number of axes.
            let known = x.iter().map(|e| e.known()).collect::<Option<Vec<usize>>>()?;
            return Some(known.into_iter().filter(|&n| n != 1).map(Extent::Known).collect());
        }
        reduction::symbolic_shape(x, &self.axes, false)
    }

    fn renames(&self) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Squeeze {
    const NAME: &'static str = "Squeeze";
    const ATTRIBUTES: &'static [&'static str] = &["axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axes = axes(node, importer)?.unwrap_or_default();
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let shape = inputs[0].shape();
            let dropped = listed(node, &axes, shape.len())?;
            let drops = |i: usize| if axes.is_empty() { shape[i] == 1 } else { dropped[i] };
            let kept = (0..shape.len()).filter(|&i| !drops(i)).map(|i| shape[i]).collect();
            let result = inputs[0].reshaped(kept).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        if let Some(shape) = importer.shape(x) {
            listed(node, &axes, shape.len())?;
        }
        importer.emit(node, Op::Squeeze(Self { axes }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let ones: Vec<i64> = (0..shape.len()).filter(|&axis| shape[axis] == 1).map(|axis| axis as i64).collect();
        let axes = ones.into_iter().filter(|_| generator.draws.chance(0.7)).collect();
        unary::draw(generator, x, Op::Squeeze(Self { axes }))
    }

    fn cases() -> Vec<Case> {
        vec![
            case("squeeze", Op::Squeeze(Self { axes: vec![] }), [f(&[1, 2, 1], &[1.0, 2.0])], f(&[2], &[1.0, 2.0])),
            case(
                "squeeze one",
                Op::Squeeze(Self { axes: vec![-1] }),
                [f(&[1, 2, 1], &[1.0, 2.0])],
                f(&[1, 2], &[1.0, 2.0]),
            ),
        ]
    }
}

/// The axes that a `Squeeze` or `Unsqueeze` states.
pub(super) fn axes(node: &NodeView<'_>, importer: &mut Importer) -> Result<Option<Vec<i64>>, GraphError> {
    if node.opset() < 13 {
        node.check_inputs(1, 1)?;
        Ok(node.ints("axes")?.map(<[i64]>::to_vec))
    } else {
        node.check_inputs(1, 2)?;
        importer.ints(node, 1)
    }
}

/// Which of `rank` axes are listed, each once.
pub(super) fn listed(node: &NodeView<'_>, axes: &[i64], rank: usize) -> Result<Vec<bool>, GraphError> {
    let mut listed = vec![false; rank];
    for &axis in axes {
        match normalize_axis(axis, rank) {
            Some(at) if !std::mem::replace(&mut listed[at], true) => {}
            _ => return Err(node.invalid(format!("axes {axes:?} are not distinct axes of {rank}"))),
        }
    }
    Ok(listed)
}
