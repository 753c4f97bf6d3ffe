//! Shape inference with concrete extents.
//!
//! [`bind`] closes the extents that a network leaves open, [`infer`] finds type and shape of every value, and
//! [`output_shapes`] does so for one operator. Every engine gets its shapes here, so that all agree with the reference
//! interpreter. The arithmetic is checked: a network that asks for the absurd gets an error that names the node.

mod apart;
mod axes;
mod images;
mod window;

use std::collections::BTreeMap;
use std::ops::Index;

use crate::{DType, Dim, Graph, GraphError, GraphInput, Op, Tensor, ValueId};

pub use apart::images_stay_apart;
pub use axes::{MatMulOperands, broadcast, matmul_operands, normalized_axes, normalized_axis};
pub use images::ImageAxes;
pub use skimp_shape::{LayerShape, Padding, ShapeError, ShapeSpec, WindowAxis};
pub use window::window_axes;

/// Most elements that a tensor, or all values of a graph together, may have.
pub const MAX_ELEMENTS: u64 = 1 << 40;

/// Element type and extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// The type of a tensor.
    pub fn of(tensor: &Tensor) -> Self {
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec() }
    }

    /// Number of elements.
    pub fn n_elements(&self) -> u64 {
        self.shape.iter().fold(1_u64, |n, &extent| n.saturating_mul(extent as u64))
    }

    /// Whether the extents other than 0 multiply to at most [`MAX_ELEMENTS`], so that no product of some of them
    /// overflows.
    fn is_small(&self) -> bool {
        let extents = self.shape.iter().filter(|&&extent| extent > 0);
        extents.fold(1_u64, |n, &extent| n.saturating_mul(extent as u64)) <= MAX_ELEMENTS
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}

/// Element type and shape of every value of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes {
    types: Vec<Option<TensorType>>,
}

impl Shapes {
    /// Type of a value; `None` for one that nothing produces and nothing reads.
    pub fn get(&self, id: ValueId) -> Option<&TensorType> {
        self.types.get(id.0).and_then(Option::as_ref)
    }

    /// Extents of a value, empty for one that nothing produces.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        self.get(id).map_or(&[], |t| &t.shape)
    }
}

impl Index<ValueId> for Shapes {
    type Output = TensorType;

    /// # Panics
    /// If nothing produces the value; [`Graph::new`] makes sure that nothing reads such a value either.
    fn index(&self, id: ValueId) -> &TensorType {
        self.get(id).expect("a value that is read or put out has a source")
    }
}

/// Types of all values where the inputs have the given extents (in the order of `Graph::inputs`).
///
/// # Errors
/// [`GraphError::InvalidInput`] if an input's extents do not fit, the node's error where an operator's rule is broken,
/// [`GraphError::InvalidGraph`] if the values together exceed [`MAX_ELEMENTS`].
pub fn infer(graph: &Graph, inputs: &[Vec<usize>]) -> Result<Shapes, GraphError> {
    let dtypes = graph.inputs().iter().map(|input| input.dtype);
    let types: Vec<TensorType> =
        inputs.iter().zip(dtypes).map(|(shape, dtype)| TensorType { dtype, shape: shape.clone() }).collect();
    check_n_inputs(graph, inputs.len())?;
    check_inputs(graph, &types)?;

    let mut shapes = Shapes { types: vec![None; graph.values().len()] };
    for (idx, value) in graph.values().iter().enumerate() {
        shapes.types[idx] = value.constant.as_ref().map(TensorType::of);
    }
    for (input, tensor_type) in graph.inputs().iter().zip(types) {
        shapes.types[input.value.0] = Some(tensor_type);
    }
    let mut n_total: u64 = shapes.types.iter().flatten().map(TensorType::n_elements).fold(0, u64::saturating_add);
    for node in graph.nodes() {
        let node_inputs: Vec<Option<&TensorType>> =
            node.inputs.iter().map(|input| input.and_then(|id| shapes.get(id))).collect();
        let outputs = output_shapes(&node.op, &node.name, &node_inputs)?;
        if outputs.len() != node.outputs.len() {
            let cause = format!("has {} outputs, expected {}", node.outputs.len(), outputs.len());
            return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
        }
        for (&id, output) in node.outputs.iter().zip(outputs) {
            n_total = n_total.saturating_add(output.n_elements());
            shapes.types[id.0] = Some(output);
        }
        if n_total > MAX_ELEMENTS {
            let cause = format!("its values hold more than 2^40 elements (reached at node \"{}\")", node.name);
            return Err(GraphError::InvalidGraph { graph: graph.name().to_owned(), cause });
        }
    }
    Ok(shapes)
}

/// Extents of every input, with the open ones closed: an open first extent becomes `batch`; open rows and columns of an
/// input of [images](ImageAxes) become the height and width of `size`. A fixed first extent stays.
///
/// # Errors
/// [`GraphError::InvalidInput`] if height or width is open and `size` is missing, or fixed to something else than
/// `size`, or if another extent is open.
pub fn bind(graph: &Graph, batch: usize, size: Option<(usize, usize)>) -> Result<Vec<Vec<usize>>, GraphError> {
    graph.inputs().iter().map(|input| bind_input(graph, input, batch, size)).collect()
}

fn bind_input(
    graph: &Graph,
    input: &GraphInput,
    batch: usize,
    size: Option<(usize, usize)>,
) -> Result<Vec<usize>, GraphError> {
    let name = &graph.value(input.value).name;
    let invalid = |cause: String| GraphError::InvalidInput { input: name.clone(), cause };
    let images = ImageAxes::of(graph, input);
    let is_size = |axis: usize| images.is_some_and(|axes| axis == axes.height || axis == axes.width);
    let mut shape = Vec::with_capacity(input.dims.len());
    for (axis, dim) in input.dims.iter().enumerate() {
        let wanted = match (images, size) {
            (Some(axes), Some((height, _))) if axis == axes.height => Some(height),
            (Some(axes), Some((_, width))) if axis == axes.width => Some(width),
            _ => None,
        };
        shape.push(match (dim, wanted) {
            (Dim::Fixed(extent), Some(wanted)) if *extent != wanted => {
                return Err(invalid(format!(
                    "the network fixes axis {axis} to {extent}, the input size says {wanted}"
                )));
            }
            (Dim::Fixed(extent), _) => *extent,
            (Dim::Free(_), Some(wanted)) => wanted,
            (Dim::Free(_), None) if axis == 0 => batch,
            (Dim::Free(_), None) if is_size(axis) => {
                return Err(invalid(
                    "the network leaves height and width open; give them with --input-size".to_owned(),
                ));
            }
            (Dim::Free(open), None) => {
                return Err(invalid(format!(
                    "the network leaves axis {axis} (\"{open}\") open, only batch, height and width may be"
                )));
            }
        });
    }
    Ok(shape)
}

/// Checks that inputs of the given types fit the graph: number, element types, ranks, fixed extents, and one extent
/// per name where the same name is left open in several places.
///
/// # Errors
/// [`GraphError::InvalidInput`] or, for a wrong number of inputs, [`GraphError::InvalidGraph`].
pub fn check_inputs(graph: &Graph, types: &[TensorType]) -> Result<(), GraphError> {
    check_n_inputs(graph, types.len())?;
    let mut bound: BTreeMap<&str, usize> = BTreeMap::new();
    for (input, found) in graph.inputs().iter().zip(types) {
        let invalid = |cause: String| GraphError::InvalidInput { input: graph.value(input.value).name.clone(), cause };
        if found.dtype != input.dtype {
            return Err(invalid(format!("has element type {}, expected {}", found.dtype, input.dtype)));
        }
        if found.shape.len() != input.dims.len() {
            return Err(invalid(format!("has {} dims, expected {}", found.shape.len(), input.dims.len())));
        }
        for (axis, (dim, &extent)) in input.dims.iter().zip(&found.shape).enumerate() {
            let expected = match dim {
                Dim::Fixed(fixed) => *fixed,
                Dim::Free(open) if open.is_empty() => extent,
                Dim::Free(open) => *bound.entry(open).or_insert(extent),
            };
            if extent != expected {
                return Err(invalid(format!("has extent {extent} on axis {axis}, expected {expected}")));
            }
        }
        if !found.is_small() {
            return Err(invalid(format!("{found} has more than 2^40 elements")));
        }
    }
    Ok(())
}

fn check_n_inputs(graph: &Graph, n_inputs: usize) -> Result<(), GraphError> {
    if n_inputs == graph.inputs().len() {
        return Ok(());
    }
    let cause = format!("got {n_inputs} inputs, expected {}", graph.inputs().len());
    Err(GraphError::InvalidGraph { graph: graph.name().to_owned(), cause })
}

/// Types of the outputs of one operator.
///
/// # Errors
/// [`GraphError::InvalidNode`] naming `node` if a rule of the operator is broken or an output would have more than
/// [`MAX_ELEMENTS`] elements; [`GraphError::UnsupportedNode`] where ONNX allows more than skimp does.
pub fn output_shapes(op: &Op, node: &str, inputs: &[Option<&TensorType>]) -> Result<Vec<TensorType>, GraphError> {
    let checked = |what: &str, tensor_type: &TensorType| {
        if tensor_type.is_small() {
            return Ok(());
        }
        Err(GraphError::invalid_node(node, op.name(), format!("its {what} {tensor_type} has more than 2^40 elements")))
    };
    inputs.iter().flatten().try_for_each(|input| checked("input", input))?;
    let outputs = op.output_types(node, inputs)?;
    outputs.iter().try_for_each(|output| checked("output", output))?;
    Ok(outputs)
}

#[cfg(test)]
mod tests;
