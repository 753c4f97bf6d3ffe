//! Graphs that operators hold: the branches of `If`, the bodies of `Loop` and `Scan`.

use std::sync::Arc;

use crate::onnx::export::dtypes;
use crate::onnx::symbolic::{self, Shape, Symbols};
use crate::ops::signature::Signature;
use crate::reference::Reference;
use crate::reference::number::for_any;
use crate::shape::{self, Shapes, TensorType};
use crate::{DType, Data, Element, Executor as _, Graph, GraphError, Tensor};

/// A graph inside an operator. What it reads of the graph around it are its last inputs, and the last inputs of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    graph: Arc<Graph>,
    /// Element types of the outputs.
    dtypes: Arc<[DType]>,
}

impl Body {
    /// A graph as part of an operator.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`] if an operator does not take the element types it is given.
    pub fn new(graph: Graph) -> Result<Self, GraphError> {
        let dtypes = dtypes(&graph)?;
        let outputs: Option<Arc<[DType]>> = graph.outputs().iter().map(|id| dtypes[id.0]).collect();
        let cause =
            || GraphError::InvalidGraph { graph: graph.name().to_owned(), cause: "an output has no type".into() };
        Ok(Self { dtypes: outputs.ok_or_else(cause)?, graph: Arc::new(graph) })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The same with the first `n` outputs.
    pub(crate) fn with_outputs(&self, n: usize) -> Result<Self, GraphError> {
        let graph = &self.graph;
        let outputs = graph.outputs().iter().take(n).copied().collect();
        let (inputs, values) = (graph.inputs().to_vec(), graph.values().to_vec());
        Self::new(Graph::new(graph.name(), inputs, outputs, values, graph.nodes().to_vec())?)
    }

    /// Element type of an output.
    pub(crate) fn dtype(&self, output: usize) -> Option<DType> {
        self.dtypes.get(output).copied()
    }

    /// Types of the outputs.
    pub(crate) fn types(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, GraphError> {
        let shapes = self.shapes(inputs)?;
        Ok(self.graph.outputs().iter().map(|&id| shapes[id].clone()).collect())
    }

    fn shapes(&self, inputs: &[TensorType]) -> Result<Shapes, GraphError> {
        shape::check_inputs(&self.graph, inputs)?;
        let extents: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape.clone()).collect();
        shape::infer(&self.graph, &extents)
    }

    /// Shapes of the outputs where some extents are open, as far as they are certain.
    pub(crate) fn symbolic_shapes(&self, inputs: &[Shape], symbols: &mut Symbols) -> Vec<Shape> {
        let shapes = symbolic::infer(&self.graph, inputs, symbols);
        self.graph.outputs().iter().map(|id| shapes[id.0].clone()).collect()
    }

    /// Its multiply-accumulate operations for inputs of these extents; 0 where they do not fit.
    pub(crate) fn macs(&self, inputs: &[&[usize]]) -> u64 {
        let typed = self.graph.inputs().iter().zip(inputs);
        let inputs: Vec<TensorType> =
            typed.map(|(input, shape)| TensorType { dtype: input.dtype, shape: shape.to_vec() }).collect();
        let Ok(shapes) = self.shapes(&inputs) else { return 0 };
        let macs = self.graph.nodes().iter().map(|node| {
            let inputs: Vec<&[usize]> =
                node.inputs.iter().map(|id| id.map_or(&[][..], |id| shapes.shape(id))).collect();
            let n_outputs = node.outputs.iter().map(|&id| shapes[id].n_elements()).fold(0, u64::saturating_add);
            node.op.macs(&inputs, n_outputs)
        });
        macs.fold(0, u64::saturating_add)
    }

    /// The interpreter of the graph.
    pub(crate) fn reference(&self) -> Reference {
        Reference::new(&self.graph)
    }

    /// The outputs.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.reference().run(inputs)
    }
}

/// A body that runs trip by trip on the states that it gave before, and whose further results are stacked.
pub(crate) struct Trips<'b> {
    body: &'b Body,
    reference: Reference,
    /// Outputs before the states.
    n_leading: usize,
    /// The states, before the first trip or after the last one.
    pub(crate) states: Vec<Tensor>,
    results: Vec<Vec<Tensor>>,
}

impl<'b> Trips<'b> {
    /// Before the first trip; `n_leading` outputs of the body come before its states.
    pub(crate) fn new(body: &'b Body, n_leading: usize, states: Vec<Tensor>) -> Self {
        let n_results = body.graph().outputs().len().saturating_sub(n_leading + states.len());
        Self { body, reference: body.reference(), n_leading, states, results: vec![Vec::new(); n_results] }
    }

    /// One trip: the body takes `before`, the states and `after`. Its outputs before the states.
    pub(crate) fn run(
        &mut self,
        before: Vec<Tensor>,
        after: impl Iterator<Item = Tensor>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let n_states = self.states.len();
        let mut inputs = before;
        inputs.append(&mut self.states);
        inputs.extend(after);
        let mut outputs = self.reference.run(&inputs)?.into_iter();
        let leading = outputs.by_ref().take(self.n_leading).collect();
        self.states = outputs.by_ref().take(n_states).collect();
        self.results.iter_mut().zip(outputs).for_each(|(all, result)| all.push(result));
        Ok(leading)
    }

    /// The last states, the stacked results.
    pub(crate) fn finish(self) -> Vec<Data> {
        let states = self.states.iter().map(|state| state.data().clone());
        let dtypes = (self.n_leading + self.states.len()..).map_while(|output| self.body.dtype(output));
        states.chain(self.results.iter().zip(dtypes).map(|(all, dtype)| stacked(all, dtype))).collect()
    }
}

/// Refuses states that change their types from trip to trip.
pub(crate) fn check_states(
    signature: &Signature<'_>,
    before: &[TensorType],
    after: &[TensorType],
) -> Result<(), GraphError> {
    match before.iter().zip(after).find(|(before, after)| before != after) {
        Some((before, after)) => {
            Err(signature.unsupported(format!("a state that is {before} first and {after} later")))
        }
        None => Ok(()),
    }
}

/// `trips` tensors of one type as one with a new first axis; its elements.
fn stacked(trips: &[Tensor], dtype: DType) -> Data {
    fn typed<T: Element>(trips: &[Tensor], _like: &[T]) -> Vec<T> {
        trips.iter().filter_map(|trip| trip.elements::<T>()).flatten().copied().collect()
    }
    match trips.first() {
        Some(first) => for_any!(first.data(), like => typed(trips, like).into()),
        None => crate::reference::empty(dtype),
    }
}

/// One of several inputs along their first axis, without that axis.
pub(crate) fn slice(x: &Tensor, idx: usize) -> Option<Tensor> {
    x.keep(0, &[idx]).reshaped(x.shape().get(1..)?.to_vec())
}

/// Shapes that hold whichever of two is meant: extents that both have; a fresh symbol where they differ.
pub(crate) fn joined(a: &Shape, b: &Shape, symbols: &mut Symbols) -> Shape {
    let (a, b) = (a.as_ref()?, b.as_ref()?);
    let same_rank = a.len() == b.len();
    let extent = |(a, b)| if a == b { a } else { symbolic::Extent::Symbol(symbols.fresh()) };
    same_rank.then(|| a.iter().copied().zip(b.iter().copied()).map(extent).collect())
}
