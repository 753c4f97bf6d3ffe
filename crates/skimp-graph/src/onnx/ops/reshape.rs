//! Flatten and Reshape.

use super::OnnxOperator;
use super::activation::unary;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Symbol, Symbols, missing_factor};
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
        let extents = importer.shape(x).clone();
        check(node, &entries)?;
        let (shape, allow_zero) = target(node, &entries, extents.as_deref(), allow_zero, &mut importer.symbols)?;
        importer.emit(node, Op::Reshape { shape, allow_zero }, vec![Some(x)])
    }
}

/// The target with every unknown entry expressed: 0 where it copies the input's extent at its position, −1 for one
/// other, a copy of another axis for more. Also whether a 0 in it is an extent of 0.
fn target(
    node: &NodeView<'_>,
    entries: &[Result<i64, Symbol>],
    x: Option<&[Extent]>,
    allow_zero: bool,
    symbols: &mut Symbols,
) -> Result<(Vec<i64>, bool), GraphError> {
    // Where no 0 is written, its meaning is free: it may copy.
    let keeps_zero = allow_zero && entries.contains(&Ok(0));
    let at = |i: usize| x.and_then(|x| x.get(i)).copied();
    let copies = |i: usize, symbol: Symbol| !keeps_zero && at(i) == Some(Extent::Symbol(symbol));
    let mut shape = Vec::with_capacity(entries.len());
    let mut open = Vec::new();
    let mut copied = false;
    for (i, &entry) in entries.iter().enumerate() {
        shape.push(match entry {
            Ok(extent) => extent,
            Err(symbol) if copies(i, symbol) => {
                copied = true;
                0
            }
            Err(_) => {
                open.push(i);
                -1
            }
        });
    }
    // The −1 that stands in the file may be known by now, and make room for an open extent.
    if let Some(i) = entries.iter().position(|entry| *entry == Ok(-1)).filter(|_| !open.is_empty()) {
        let extent = |(i, entry): (usize, &Result<i64, Symbol>)| match *entry {
            Ok(-1) => Some(Extent::Known(1)),
            Ok(0) if !keeps_zero => at(i),
            Ok(n) => usize::try_from(n).ok().map(Extent::Known),
            Err(symbol) => Some(Extent::Symbol(symbol)),
        };
        let extents: Option<Vec<Extent>> = entries.iter().enumerate().map(extent).collect();
        match x.zip(extents).map(|(x, extents)| missing_factor(x, &extents, symbols)) {
            Some(Extent::Known(n)) => shape[i] = i64::try_from(n).unwrap_or(-1),
            Some(Extent::Symbol(symbol)) if copies(i, symbol) => {
                copied = true;
                shape[i] = 0;
            }
            _ => open.push(i),
        }
    }
    // Beside an extent of 0 nothing can be inferred.
    if open.len() > 1 || keeps_zero {
        // What is an extent of another axis of the input can be copied from there.
        open.retain(|&i| {
            let axis = x.and_then(|x| {
                let symbol = entries[i].err()?;
                x.iter().position(|&extent| extent == Extent::Symbol(symbol))
            });
            let Some(axis) = axis.and_then(|axis| i64::try_from(axis).ok()) else { return true };
            shape[i] = -2 - axis;
            false
        });
    }
    match open.as_slice() {
        [] | [_] => Ok((shape, allow_zero && !copied)),
        [_, second, ..] => Err(node.unsupported(format!(
            "a target shape with more than one extent that is not known at import (position {second})"
        ))),
    }
}

fn check(node: &NodeView<'_>, entries: &[Result<i64, Symbol>]) -> Result<(), GraphError> {
    let known: Vec<i64> = entries.iter().filter_map(|entry| entry.ok()).collect();
    if known.iter().any(|&extent| extent < -1) || known.iter().filter(|&&extent| extent == -1).count() > 1 {
        return Err(node.invalid(format!("target shape {known:?} is not valid")));
    }
    Ok(())
}

pub(super) fn export(form: Form, shape: &[i64], allow_zero: bool) -> Result<Form, String> {
    if shape.iter().any(|&extent| extent < -1) {
        return Err("a target shape with several open extents; give the network a fixed input size".to_owned());
    }
    let form = form.int_vector(1, "shape", shape);
    Ok(if allow_zero { form.since(14).int("allowzero", 1) } else { form })
}
