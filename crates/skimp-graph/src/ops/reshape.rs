//! Reshape.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbol, Symbols, missing_factor};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// New shape; −1 is inferred, 0 copies the input's extent at its position unless `allow_zero`, and −2 − a copies that
/// of the input's axis a (which ONNX says by a calculation with `Shape`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// Target.
    pub shape: Vec<i64>,
    /// Whether 0 means an extent of 0.
    pub allow_zero: bool,
}

impl Operator for Reshape {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let (target, allow_zero) = (&self.shape, self.allow_zero);
        let n_elements = signature.product(&x.shape)?;
        let mut inferred = None;
        let mut shape = Vec::with_capacity(target.len());
        for (axis, &extent) in target.iter().enumerate() {
            shape.push(match extent {
                -1 if inferred.is_some() => return Err(signature.invalid("shape has more than one -1")),
                -1 => {
                    inferred = Some(axis);
                    1
                }
                0 if !allow_zero => *x.shape.get(axis).ok_or_else(|| {
                    signature.invalid(format!("shape copies axis {axis}, the input has {} dims", x.shape.len()))
                })?,
                ..=-2 => {
                    let copied = usize::try_from(-2 - extent).ok().and_then(|axis| x.shape.get(axis));
                    *copied.ok_or_else(|| {
                        let (n, axis) = (x.shape.len(), i128::from(-2) - i128::from(extent));
                        signature.invalid(format!("shape copies axis {axis}, the input has {n} dims"))
                    })?
                }
                _ => usize::try_from(extent)
                    .map_err(|_| signature.invalid(format!("shape has extent {extent} on axis {axis}")))?,
            });
        }
        let n_known = signature.product(&shape)?;
        let mismatch =
            || signature.invalid(format!("cannot reshape {:?} to {target:?}: element counts differ", x.shape));
        match inferred {
            Some(axis) if n_known != 0 && n_elements.is_multiple_of(n_known) => shape[axis] = n_elements / n_known,
            None if n_known == n_elements => {}
            Some(_) | None => return Err(mismatch()),
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        // The shapes stack, and row-major order keeps the elements of an image together.
        true
    }

    fn with_any_batch(&self, input: &[usize], output: &[usize]) -> Option<Op> {
        let (first, rest) = self.shape.split_first()?;
        let batch = match (*first > 0, rest.contains(&-1)) {
            (true, false) => -1,
            (true, true) if input.first() == output.first() && !self.allow_zero => 0,
            _ => return None,
        };
        let shape = std::iter::once(batch).chain(rest.iter().copied()).collect();
        Some(Op::Reshape(Self { shape, allow_zero: self.allow_zero }))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        if self.shape.iter().any(|&extent| extent < -1) {
            return Err("a target shape with several open extents; give the network a fixed input size".to_owned());
        }
        let form = form.int_vector(1, "shape", &self.shape);
        Ok(if self.allow_zero { form.since(14).int("allowzero", 1) } else { form })
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        let mut shape = Vec::with_capacity(self.shape.len());
        let mut inferred = None;
        for (i, &extent) in self.shape.iter().enumerate() {
            shape.push(match extent {
                -1 => {
                    inferred = Some(i);
                    Extent::Known(1)
                }
                0 if !self.allow_zero => *x.get(i)?,
                ..=-2 => *x.get(usize::try_from(-2 - extent).ok()?)?,
                _ => Extent::Known(usize::try_from(extent).ok()?),
            });
        }
        if let Some(i) = inferred {
            shape[i] = missing_factor(x, &shape, symbols);
        }
        Some(shape)
    }

    fn renames(&self) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Reshape {
    const NAME: &'static str = "Reshape";
    const ATTRIBUTES: &'static [&'static str] = &["allowzero"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
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
        importer.emit(node, Op::Reshape(Self { shape, allow_zero }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let allow_zero = generator.draws.chance(0.1);
        let keeps_batch = !shape.is_empty() && generator.draws.chance(0.8);
        let n: usize = if keeps_batch { shape[1..].iter().product() } else { shape.iter().product() };
        let mut target = Vec::new();
        let mut inferred = false;
        if keeps_batch {
            target.push(match generator.draws.below(3) {
                0 if !allow_zero => 0,
                1 => {
                    inferred = true;
                    -1
                }
                _ => shape[0] as i64,
            });
        }
        let mut left = n.max(1);
        for _ in 0..generator.draws.below(4) {
            let divisors: Vec<usize> = (1..=left).filter(|d| left.is_multiple_of(*d)).collect();
            let divisor = divisors[generator.draws.below(divisors.len())];
            let copies = !allow_zero && shape.get(target.len()) == Some(&divisor) && generator.draws.chance(0.3);
            let source = shape.iter().position(|&extent| extent == divisor).filter(|_| generator.draws.chance(0.1));
            target.push(match source {
                _ if copies => 0,
                Some(axis) => -2 - axis as i64,
                None => divisor as i64,
            });
            left /= divisor;
        }
        target.push(if !inferred && generator.draws.chance(0.4) { -1 } else { left as i64 });
        unary::draw(generator, x, Op::Reshape(Self { shape: target, allow_zero }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let reshape = |shape: &[i64]| Op::Reshape(Self { shape: shape.into(), allow_zero: false });
        vec![case("reshape", reshape(&[0, 1, -1]), [x], f(&[2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))]
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
