//! Pools.

use super::activation::Plain;
use super::{OnnxOperator, window};
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op, Window};

pub(super) static GLOBAL_AVERAGE_POOL: Plain = Plain::new("GlobalAveragePool", Op::GlobalAveragePool);
pub(super) static GLOBAL_MAX_POOL: Plain = Plain::new("GlobalMaxPool", Op::GlobalMaxPool);

/// The window, whose axes must be the spatial axes of the input.
fn import_window(node: &NodeView<'_>, importer: &Importer, x: crate::ValueId) -> Result<Window, GraphError> {
    let kernel = window::kernel_shape(node)?.ok_or_else(|| node.invalid("attribute \"kernel_shape\" is missing"))?;
    if let Some(shape) = importer.shape(x)
        && shape.len() != kernel.len() + 2
    {
        return Err(node.invalid(format!(
            "input with {} dims, expected {} for its kernel",
            shape.len(),
            kernel.len() + 2
        )));
    }
    let window = window::import(node, kernel)?;
    let beyond = (0..window.kernel.len()).any(|i| {
        let reach = (window.kernel[i] - 1).saturating_mul(window.dilations[i]).saturating_add(1);
        window.pads_begin[i] >= reach || window.pads_end[i] >= reach
    });
    if beyond {
        return Err(node.invalid("a pad is not smaller than the kernel, so that a window could lie in padding only"));
    }
    Ok(Window { ceil_mode: node.flag("ceil_mode", false)?, ..window })
}

pub(super) struct MaxPool;

impl OnnxOperator for MaxPool {
    fn name(&self) -> &'static str {
        "MaxPool"
    }

    fn attributes(&self) -> &'static [&'static str] {
        // The storage order only matters to the indices, which are not supported.
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let x = importer.value(node, 0)?;
        let window = import_window(node, importer, x)?;
        importer.emit(node, Op::MaxPool(window), vec![Some(x)])
    }
}

pub(super) fn export_max(form: Form, window: &Window) -> Form {
    window::export(form.since(12), window).int("ceil_mode", i64::from(window.ceil_mode))
}

pub(super) struct AveragePool;

impl OnnxOperator for AveragePool {
    fn name(&self) -> &'static str {
        "AveragePool"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let x = importer.value(node, 0)?;
        let window = import_window(node, importer, x)?;
        let count_include_pad = node.flag("count_include_pad", false)?;
        importer.emit(node, Op::AveragePool { window, count_include_pad }, vec![Some(x)])
    }
}

pub(super) fn export_average(form: Form, window: &Window, count_include_pad: bool) -> Form {
    let dilated = window.dilations.iter().any(|&d| d != 1);
    let mut form = window::export(form.since(if dilated { 19 } else { 10 }), window);
    if !dilated {
        // Older operator sets do not have the attribute.
        form.attributes.retain(|attribute| attribute.name != "dilations");
    }
    form.int("ceil_mode", i64::from(window.ceil_mode)).int("count_include_pad", i64::from(count_include_pad))
}
