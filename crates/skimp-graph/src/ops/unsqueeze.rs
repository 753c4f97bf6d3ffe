//! Unsqueeze: axes as an attribute (opset 1) or an input (13).

use super::squeeze::{axes, listed};
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::shape::{TensorType, normalized_axes};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Inserts axes of extent 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsqueeze {
    /// Axes of the output, may be negative.
    pub axes: Vec<i64>,
}

impl Operator for Unsqueeze {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let inserted =
            normalized_axes(&self.axes, x.shape.len() + self.axes.len()).map_err(|cause| signature.invalid(cause))?;
        let mut extents = x.shape.iter().copied();
        let extent = |inserted: bool| if inserted { 1 } else { extents.next().unwrap_or(1) };
        Ok(shaped(x, inserted.into_iter().map(extent).collect()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        self.axes.iter().all(|&axis| axis != 0 && axis != -(operands.output_rank as i64))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axes = order::places(&self.axes, order)?;
        order::resized(order, ranks, &self.unit_axes(order.len())?)
            .map(|found| found.with(Op::Unsqueeze(Self { axes })))
    }

    fn unit_axes(&self, n_axes: usize) -> Option<Vec<bool>> {
        normalized_axes(&self.axes, n_axes).ok()
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int_vector(1, "axes", &self.axes))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        let rank = x.len().checked_add(self.axes.len())?;
        let mut inserted = vec![false; rank];
        for &axis in &self.axes {
            inserted[normalize_axis(axis, rank)?] = true;
        }
        let mut rest = x.iter();
        inserted.into_iter().map(|new| if new { Some(Extent::Known(1)) } else { rest.next().copied() }).collect()
    }

    fn renames(&self) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Unsqueeze {
    const NAME: &'static str = "Unsqueeze";
    const ATTRIBUTES: &'static [&'static str] = &["axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axes = axes(node, importer)?.ok_or_else(|| node.invalid("the axes are missing"))?;
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let mut rest = inputs[0].shape().iter().copied();
            let inserted = listed(node, &axes, inputs[0].shape().len() + axes.len())?;
            let shape = inserted.into_iter().map(|new| if new { 1 } else { rest.next().unwrap_or(1) }).collect();
            let result = inputs[0].reshaped(shape).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        if let Some(shape) = importer.shape(x) {
            listed(node, &axes, shape.len() + axes.len())?;
        }
        importer.emit(node, Op::Unsqueeze(Self { axes }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let n = generator.draws.between(1, 2);
        let rank = generator.shape(x).len() + n;
        let mut axes: Vec<i64> = generator.permutation(rank)[..n].iter().map(|&axis| axis as i64).collect();
        axes.iter_mut().for_each(|axis| *axis -= if generator.draws.chance(0.3) { rank as i64 } else { 0 });
        unary::draw(generator, x, Op::Unsqueeze(Self { axes }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "unsqueeze",
            Op::Unsqueeze(Self { axes: vec![0, -1] }),
            [f(&[2], &[1.0, 2.0])],
            f(&[1, 2, 1], &[1.0, 2.0]),
        )]
    }
}
