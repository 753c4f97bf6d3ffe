//! The reference interpreter. What each operator computes is specified in its file under [`ops`](crate::ops).
//!
//! Naive, safe, single-threaded. [`Reference`] runs a graph node by node; [`evaluate`] applies one operator.
//!
//! # Numerics
//! Where an operator rounds is part of its specification:
//!
//! - Sums of products (`Conv`, `Gemm`, `MatMul`) and means over floating-point elements are accumulated in f64 and
//!   rounded once to the element type. The order is fixed: `Conv` starts from the bias and adds channels, then kernel
//!   rows, then kernel columns; matrix products add along k from 0; means add in memory order. A product of two f32
//!   is exact in f64, so a result is within about one unit in the last place of the exact sum, whatever the order.
//! - Every other floating-point function is evaluated in f64 and rounded once. For `Add`, `Sub`, `Mul` and `Div` that
//!   is the IEEE operation of the element type.
//! - Integers wrap; division truncates toward zero, and division by zero is an error.
//! - Padding of a convolution adds nothing, even where the weight is not finite. `Relu`, `Clip`, `Sign` and
//!   `MaxPool` hand NaN on; `Relu(−0) = −0`. A mean over nothing is 0, a maximum over nothing the lowest value.
//! - `Cast` and `QuantizeLinear` saturate from floating point to integers (NaN gives 0, or the zero point) and wrap
//!   between integers in `Cast`. `QuantizeLinear` divides in f32 and rounds half to even.

pub(crate) mod number;
pub(crate) mod strided;

#[cfg(test)]
mod tests;

use number::for_any;
use strided::Offsets;

use crate::memory;
use crate::shape::{self, TensorType};
use crate::{DType, Data, Element, Executor, Graph, GraphError, Observer, Op, Tensor};

/// The reference interpreter, bound to a graph.
#[derive(Clone, Debug)]
pub struct Reference {
    graph: Graph,
    /// For each node, the values that nothing reads after it.
    last_uses: Vec<Vec<usize>>,
}

impl Reference {
    /// Binds the interpreter to a graph; constants are shared, not copied.
    pub fn new(graph: &Graph) -> Self {
        let mut last_uses = vec![Vec::new(); graph.nodes().len()];
        let mut is_output = vec![false; graph.values().len()];
        graph.outputs().iter().for_each(|output| is_output[output.0] = true);
        for (value_idx, consumers) in graph.consumers().iter().enumerate() {
            if let Some(&last) = consumers.last()
                && !is_output[value_idx]
            {
                last_uses[last].push(value_idx);
            }
        }
        Self { graph: graph.clone(), last_uses }
    }

    /// The graph it is bound to.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

impl Executor for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_observed(inputs, &mut |_, _| {})
    }

    fn run_observed(&self, inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        let graph = &self.graph;
        let types: Vec<TensorType> = inputs.iter().map(TensorType::of).collect();
        shape::check_inputs(graph, &types)?;
        let mut values: Vec<Option<Tensor>> = graph.values().iter().map(|value| value.constant.clone()).collect();
        for (input, tensor) in graph.inputs().iter().zip(inputs) {
            values[input.value.0] = Some(tensor.clone());
        }
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            let node_inputs: Vec<Option<&Tensor>> =
                node.inputs.iter().map(|input| input.and_then(|id| values[id.0].as_ref())).collect();
            let outputs = evaluate(&node.op, &node.name, &node_inputs)?;
            if outputs.len() != node.outputs.len() {
                let cause = format!("has {} outputs, expected {}", node.outputs.len(), outputs.len());
                return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
            }
            for (&id, tensor) in node.outputs.iter().zip(outputs) {
                observer(id, &tensor);
                values[id.0] = Some(tensor);
            }
            for &value_idx in &self.last_uses[node_idx] {
                values[value_idx] = None;
            }
        }
        let outputs = graph.outputs().iter();
        Ok(outputs.map(|id| values[id.0].clone().expect("Graph::new checks that outputs have a source")).collect())
    }
}

/// Applies one operator; `node` names it in errors.
///
/// # Errors
/// As [`shape::output_shapes`]; also for an integer division by zero, and where the memory for the result cannot be
/// had.
pub fn evaluate(op: &Op, node: &str, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, GraphError> {
    let types: Vec<Option<TensorType>> = inputs.iter().map(|input| input.map(TensorType::of)).collect();
    let types: Vec<Option<&TensorType>> = types.iter().map(Option::as_ref).collect();
    let outputs = shape::output_shapes(op, node, &types)?;
    let call = Call { op, node, inputs, outputs: &outputs };
    // Nothing to compute, so that extents beside a 0, however large, cost nothing.
    let is_empty = outputs.iter().all(|output| output.n_elements() == 0);
    let data = if is_empty { outputs.iter().map(|output| empty(output.dtype)).collect() } else { op.evaluate(&call)? };
    let tensors = data.into_iter().zip(&outputs).map(|(data, output)| Tensor::new(output.shape.clone(), data));
    Ok(tensors.map(|tensor| tensor.expect("an operator computes as many elements as its shape says")).collect())
}

/// No elements.
pub(crate) fn empty(dtype: DType) -> Data {
    match dtype {
        DType::F32 => Vec::<f32>::new().into(),
        DType::F64 => Vec::<f64>::new().into(),
        DType::I64 => Vec::<i64>::new().into(),
        DType::I32 => Vec::<i32>::new().into(),
        DType::I16 => Vec::<i16>::new().into(),
        DType::I8 => Vec::<i8>::new().into(),
        DType::U16 => Vec::<u16>::new().into(),
        DType::U8 => Vec::<u8>::new().into(),
        DType::Bool => Vec::<bool>::new().into(),
    }
}

/// One application of an operator whose inputs [`shape::output_shapes`] has accepted.
pub(crate) struct Call<'a> {
    pub(crate) op: &'a Op,
    pub(crate) node: &'a str,
    pub(crate) inputs: &'a [Option<&'a Tensor>],
    pub(crate) outputs: &'a [TensorType],
}

impl<'a> Call<'a> {
    pub(crate) fn input(&self, idx: usize) -> &'a Tensor {
        self.optional(idx).expect("output_shapes checks that required inputs are there")
    }

    pub(crate) fn optional(&self, idx: usize) -> Option<&'a Tensor> {
        self.inputs.get(idx).copied().flatten()
    }

    /// Elements of an input whose type is known.
    pub(crate) fn elements<T: Element>(&self, idx: usize) -> &'a [T] {
        self.input(idx).elements().expect("output_shapes checks the element types")
    }

    /// Shape of the only output.
    pub(crate) fn output_shape(&self) -> &'a [usize] {
        &self.outputs[0].shape
    }

    /// Room for `n` elements.
    pub(crate) fn allocate<T>(&self, n: usize) -> Result<Vec<T>, GraphError> {
        skimp_memory::check(skimp_memory::bytes_of::<T>(n as u64), || memory::describe(self.node, self.op.name()))?;
        let mut elements = Vec::new();
        match elements.try_reserve_exact(n) {
            Ok(()) => Ok(elements),
            Err(_) => Err(self.invalid(format!("no memory for a result of {n} elements"))),
        }
    }

    /// Room for the only output.
    pub(crate) fn allocate_output<T>(&self) -> Result<Vec<T>, GraphError> {
        self.allocate(usize::try_from(self.outputs[0].n_elements()).unwrap_or(usize::MAX))
    }

    /// The elements of the first input at `offsets`.
    pub(crate) fn gather(&self, offsets: Offsets) -> Result<Data, GraphError> {
        fn typed<T: Element>(call: &Call<'_>, x: &[T], offsets: Offsets) -> Result<Vec<T>, GraphError> {
            let mut y = call.allocate(offsets.size_hint().0)?;
            y.extend(offsets.map(|offset| x[offset]));
            Ok(y)
        }
        for_any!(self.input(0).data(), x => Ok(typed(self, x, offsets)?.into()))
    }

    /// The elements of the first input at `places`.
    pub(crate) fn pick(&self, places: &[usize]) -> Result<Data, GraphError> {
        fn typed<T: Element>(call: &Call<'_>, x: &[T], places: &[usize]) -> Result<Vec<T>, GraphError> {
            let mut y = call.allocate(places.len())?;
            y.extend(places.iter().map(|&place| x[place]));
            Ok(y)
        }
        for_any!(self.input(0).data(), x => Ok(typed(self, x, places)?.into()))
    }

    pub(crate) fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(self.node, self.op.name(), cause)
    }

    /// The rule of [`shape`] let an element type through that the operator cannot take.
    pub(crate) fn unsupported_type(&self) -> GraphError {
        GraphError::unsupported_node(self.node, self.op.name(), format!("element type {}", self.input(0).dtype()))
    }
}
