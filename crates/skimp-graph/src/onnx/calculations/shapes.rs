//! Operators that are only imported inside shape calculations, where they are evaluated away.

use super::Calculation;
use crate::onnx::import::{Importer, NodeView, as_f32, count, fill};
use crate::onnx::symbolic::{Symbol, SymbolicTensor};
use crate::{GraphError, Op, Tensor, ops};

/// The first `n` inputs as symbolic tensors.
fn inputs(node: &NodeView<'_>, importer: &mut Importer, n: usize) -> Result<Vec<SymbolicTensor>, GraphError> {
    importer
        .known_inputs(node, n)?
        .ok_or_else(|| node.unsupported("operator on data (it is supported in shape calculations only)"))
}

/// Integers that must all be known.
fn known(node: &NodeView<'_>, tensor: &SymbolicTensor) -> Result<Vec<i64>, GraphError> {
    let entries = tensor.ints().ok_or_else(|| node.invalid("a floating-point input, expected integers"))?;
    let known: Option<Vec<i64>> = entries.into_iter().map(Result::ok).collect();
    known.ok_or_else(|| node.unsupported("a shape calculation whose own shape depends on an open extent"))
}

fn extents(node: &NodeView<'_>, tensor: &SymbolicTensor) -> Result<Vec<usize>, GraphError> {
    let extent = |i: i64| usize::try_from(i).map_err(|_| node.invalid(format!("negative dimension {i}")));
    known(node, tensor)?.into_iter().map(extent).collect()
}

/// The entries of a shape, if any of them is an open extent.
fn open_extents(shape: &SymbolicTensor) -> Option<Vec<Result<i64, Symbol>>> {
    shape.ints().filter(|entries| entries.iter().any(Result::is_err))
}

pub(super) struct Shape;

impl Calculation for Shape {
    fn name(&self) -> &'static str {
        "Shape"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["start", "end"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let (start, end) = (node.int_or("start", 0)?, node.int_or("end", i64::MAX)?);
        let all = match importer.shape_inputs(node, 1)? {
            Some(inputs) => {
                let shape = inputs[0].shape();
                Tensor::from_i64(vec![shape.len()], shape.iter().map(|&n| n as i64).collect())
            }
            None => {
                let x = importer.value(node, 0)?;
                let shape = importer.shape(x).as_deref().map(SymbolicTensor::from_extents);
                let shape = shape.ok_or_else(|| node.unsupported("an input of unknown rank"))?;
                let cut = shape.slice(0, start, end, 1).map_err(|cause| node.invalid(cause))?;
                return importer.bind_symbolic(node, cut);
            }
        };
        let all = SymbolicTensor::from_constant(&all).ok_or_else(|| node.unsupported("so many dimensions"))?;
        let cut = all.slice(0, start, end, 1).map_err(|cause| node.invalid(cause))?;
        importer.bind_symbolic(node, cut)
    }
}

pub(super) struct Size;

impl Calculation for Size {
    fn name(&self) -> &'static str {
        "Size"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let x = importer.value(node, 0)?;
        let shape = importer.shape(x).as_deref().map(SymbolicTensor::from_extents);
        let shape = shape.ok_or_else(|| node.unsupported("an input of unknown rank"))?;
        let size = shape.product(false, &mut importer.symbols).map_err(|cause| node.invalid(cause))?;
        importer.bind_symbolic(node, size)
    }
}

pub(super) struct Gather;

impl Calculation for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axis"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let axis = node.int_or("axis", 0)?;
        let inputs = inputs(node, importer, 2)?;
        let indices = known(node, &inputs[1])?;
        let result = inputs[0].gather(&indices, inputs[1].shape(), axis).map_err(|cause| node.invalid(cause))?;
        importer.bind_symbolic(node, result)
    }
}

/// Whether a tensor of this shape has more elements than any shape, and not more than any network's.
fn is_data(shape: &[usize]) -> bool {
    const MOST_ELEMENTS: usize = 1 << 30;
    let n_elements = shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
    SymbolicTensor::is_too_large(shape) && n_elements.is_some_and(|n| n <= MOST_ELEMENTS)
}

/// Makes the only output of `node` a constant spread over more elements than any shape has: data of the network.
fn spread(node: &NodeView<'_>, importer: &mut Importer, shape: Vec<usize>, value: Tensor) -> Result<(), GraphError> {
    let value = importer.new_constant(&format!("{}.value", node.name()), value);
    importer.emit(node, Op::Expand(ops::Expand { shape }), vec![Some(value)])
}

pub(super) struct ConstantOfShape;

impl Calculation for ConstantOfShape {
    fn name(&self) -> &'static str {
        "ConstantOfShape"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let inputs = inputs(node, importer, 1)?;
        let value = match node.tensor("value")? {
            Some(proto) => importer.convert(proto, &format!("value of node \"{}\"", node.name()))?,
            None => Tensor::from_f32(vec![1], vec![0.0]),
        };
        if let Some(open) = open_extents(&inputs[0]) {
            return fill(node, importer, &open, value);
        }
        let shape = extents(node, &inputs[0])?;
        if is_data(&shape) {
            return spread(node, importer, shape, value);
        }
        let value = SymbolicTensor::from_constant(&value)
            .ok_or_else(|| node.unsupported(format!("a value of element type {:?}", value.dtype())))?;
        let filled = value.filled(shape).map_err(|cause| node.unsupported(cause))?;
        importer.bind_symbolic(node, filled)
    }
}

/// The extent and the bounds of a range from 0 to an open extent in steps of 1: it has as many numbers.
fn open_range(inputs: &[SymbolicTensor]) -> Option<(Symbol, [Tensor; 2])> {
    let [start, limit, step] = inputs else { return None };
    let extent = limit.symbol()?;
    let [start, step] = [start, step].map(SymbolicTensor::to_constant);
    let (start, step) = (start?, step?);
    let is = |tensor: &Tensor, number: f32| as_f32(tensor).is_some_and(|values| values == [number]);
    (is(&start, 0.0) && is(&step, 1.0)).then_some((extent, [start, step]))
}

pub(super) struct Range;

impl Calculation for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn attributes(&self) -> &'static [&'static str] {
        // It only matters to half precision.
        &["stash_type"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        let inputs = inputs(node, importer, 3)?;
        if let Some((extent, bounds)) = open_range(&inputs) {
            return count(node, importer, extent, bounds);
        }
        if let Some(bounds) = inputs.iter().map(SymbolicTensor::floats).collect::<Option<Vec<_>>>() {
            let &[start, limit, delta] = bounds.concat().as_slice() else {
                return Err(node.invalid("bounds that are not three numbers"));
            };
            let range = SymbolicTensor::float_range(start, limit, delta).map_err(|cause| node.unsupported(cause))?;
            return importer.bind_symbolic(node, range);
        }
        let bounds = inputs.iter().map(|input| known(node, input)).collect::<Result<Vec<_>, _>>()?.concat();
        let &[start, limit, delta] = bounds.as_slice() else {
            return Err(node.invalid(format!("bounds {bounds:?}, expected three numbers")));
        };
        let range = SymbolicTensor::range(start, limit, delta).map_err(|cause| node.unsupported(cause))?;
        let range = range
            .cast(inputs[0].dtype(), &mut importer.symbols)
            .ok_or_else(|| node.invalid(format!("bounds of element type {:?}", inputs[0].dtype())))?;
        importer.bind_symbolic(node, range)
    }
}

pub(super) struct Expand;

impl Calculation for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let inputs = inputs(node, importer, 2)?;
        if let (Some(open), Some(constant)) = (open_extents(&inputs[1]), inputs[0].to_constant()) {
            return fill(node, importer, &open, constant);
        }
        let shape = extents(node, &inputs[1])?;
        if is_data(&shape)
            && let Some(constant) = inputs[0].to_constant()
        {
            return spread(node, importer, shape, constant);
        }
        let result = inputs[0].expanded(shape, &mut importer.symbols).map_err(|cause| node.unsupported(cause))?;
        importer.bind_symbolic(node, result)
    }
}

pub(super) struct Floor;

impl Calculation for Floor {
    fn name(&self) -> &'static str {
        "Floor"
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let inputs = inputs(node, importer, 1)?;
        let result = inputs[0].floor(&mut importer.symbols);
        importer.bind_symbolic(node, result)
    }
}

pub(super) struct ReduceProd;

impl Calculation for ReduceProd {
    fn name(&self) -> &'static str {
        "ReduceProd"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axes", "keepdims", "noop_with_empty_axes"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 2)?;
        let axes = match importer.ints(node, 1)? {
            Some(axes) => Some(axes),
            None => node.ints("axes")?.map(<[i64]>::to_vec),
        };
        let inputs = inputs(node, importer, 1)?;
        let is_vector = inputs[0].shape().len() == 1;
        let keep_dims = node.flag("keepdims", true)?;
        let noop = node.flag("noop_with_empty_axes", false)?;
        match axes.as_deref() {
            None | Some([]) if !noop => {}
            Some([0 | -1]) if is_vector => {}
            _ => return Err(node.unsupported("a product over some axes only")),
        }
        let result = inputs[0].product(keep_dims, &mut importer.symbols).map_err(|cause| node.invalid(cause))?;
        importer.bind_symbolic(node, result)
    }
}
