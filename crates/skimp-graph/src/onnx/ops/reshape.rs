//! Flatten and Reshape.

use super::OnnxOperator;
use super::activation::unary;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Symbol};
use crate::{GraphError, Op};

pub(super) struct Flatten;

impl OnnxOperator for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axis"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 1)?;
        unary(node, importer, Op::Flatten { axis })
    }
}

pub(super) struct Reshape;

impl OnnxOperator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["allowzero"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let allow_zero = node.flag("allowzero", false)?;
        let entries = importer.symbolic_ints(node, 1)?.unwrap_or_default();
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let target: Option<Vec<i64>> = entries.iter().map(|entry| entry.ok()).collect();
            let target = target.ok_or_else(|| node.unsupported("a shape calculation with a tensor of open shape"))?;
            let result = inputs[0].reshaped_by(&target, allow_zero).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        let shape = target(node, &entries, importer.shape(x).as_deref(), allow_zero)?;
        check(node, &shape)?;
        importer.emit(node, Op::Reshape { shape, allow_zero }, vec![Some(x)])
    }
}

/// The target with every unknown entry expressed: 0 where it copies the input's extent at its position, −1 for one
/// other.
fn target(
    node: &NodeView<'_>,
    entries: &[Result<i64, Symbol>],
    x: Option<&[Extent]>,
    allow_zero: bool,
) -> Result<Vec<i64>, GraphError> {
    let copies = |i: usize, symbol: Symbol| {
        !allow_zero && x.and_then(|x| x.get(i)).is_some_and(|&extent| extent == Extent::Symbol(symbol))
    };
    let mut inferred = entries.contains(&Ok(-1));
    let mut shape = Vec::with_capacity(entries.len());
    for (i, &entry) in entries.iter().enumerate() {
        shape.push(match entry {
            Ok(extent) => extent,
            Err(symbol) if copies(i, symbol) => 0,
            Err(_) if !std::mem::replace(&mut inferred, true) => -1,
            Err(_) => {
                return Err(node.unsupported(format!(
                    "a target shape with more than one extent that is not known at import (position {i})"
                )));
            }
        });
    }
    Ok(shape)
}

fn check(node: &NodeView<'_>, shape: &[i64]) -> Result<(), GraphError> {
    if shape.iter().any(|&extent| extent < -1) || shape.iter().filter(|&&extent| extent == -1).count() > 1 {
        return Err(node.invalid(format!("target shape {shape:?} is not valid")));
    }
    Ok(())
}

pub(super) fn export(form: Form, shape: &[i64], allow_zero: bool) -> Form {
    let form = form.int_vector(1, "shape", shape);
    if allow_zero { form.since(14).int("allowzero", 1) } else { form }
}
