//! Conv.

use super::{OnnxOperator, window};
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::Extent;
use crate::{GraphError, Op, Window};

pub(super) struct Conv;

impl OnnxOperator for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        let x = importer.value(node, 0)?;
        let weight = importer.value(node, 1)?;
        let bias = importer.optional_value(node, 2)?;
        let weight_shape = importer
            .shape(weight)
            .clone()
            .filter(|shape| shape.len() >= 3)
            .ok_or_else(|| node.invalid("the weight must have at least 3 dimensions (k, c, and the kernel)"))?;
        let from_weight: Option<Vec<usize>> = weight_shape[2..].iter().map(|extent| extent.known()).collect();
        let kernel = match (window::kernel_shape(node)?, from_weight) {
            (Some(stated), Some(found)) if stated != found => {
                return Err(node.invalid(format!("attribute \"kernel_shape\" is {stated:?}, the weight has {found:?}")));
            }
            (Some(kernel), _) | (None, Some(kernel)) => kernel,
            (None, None) => return Err(node.unsupported("a kernel of unknown extent")),
        };
        if kernel.len() != weight_shape.len() - 2 || kernel.contains(&0) {
            return Err(node.invalid(format!("kernel {kernel:?} does not fit a weight of {} dims", weight_shape.len())));
        }
        let window = window::import(node, kernel)?;
        let groups = usize::try_from(node.int_or("group", 1)?)
            .ok()
            .filter(|&groups| groups > 0)
            .ok_or_else(|| node.invalid("attribute \"group\" must be positive"))?;
        check_channels(node, importer.shape(x).as_deref(), &weight_shape, groups)?;
        let mut inputs = vec![Some(x), Some(weight)];
        inputs.extend(bias.map(Some));
        importer.emit(node, Op::Conv { window, groups }, inputs)
    }
}

/// What can be said about ranks and channels before the network runs.
fn check_channels(
    node: &NodeView<'_>,
    x: Option<&[Extent]>,
    weight: &[Extent],
    groups: usize,
) -> Result<(), GraphError> {
    let Some(x) = x else { return Ok(()) };
    if x.len() != weight.len() {
        return Err(node.invalid(format!("input with {} dims, expected {} as the weight has", x.len(), weight.len())));
    }
    if let (Some(channels), Some(per_group)) = (x[1].known(), weight[1].known())
        && per_group.checked_mul(groups) != Some(channels)
    {
        return Err(node.invalid(format!("input with {channels} channels, expected {groups} groups of {per_group}")));
    }
    match weight[0].known() {
        Some(filters) if filters % groups != 0 => {
            Err(node.invalid(format!("{filters} output channels cannot be split into {groups} groups")))
        }
        _ => Ok(()),
    }
}

pub(super) fn export(form: Form, window: &Window, groups: usize) -> Form {
    window::export(form, window).int("group", i64::try_from(groups).unwrap_or(i64::MAX))
}
