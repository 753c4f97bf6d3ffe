//! Counts over a graph, each by a named convention.
//!
//! # Conventions
//! - **weights** (`P_w`): elements of the weight tensors of operators that multiply ([`Class::Multiplies`]: `Conv`, `Gemm`,
//!   `MatMul` and their kin); no bias, no batch norm.
//! - **parameters** (`P_tot`): weights, plus biases (of `Conv` and `Gemm`, and a constant that `Add` adds to the product
//!   of a `MatMul`), batch-norm gamma and beta, and `PRelu` slopes.
//! - **buffers**: batch-norm means and variances. They are no parameters.
//! - A constant that several nodes share counts once, at the first. A constant behind `DequantizeLinear` and moves
//!   counts as if it stood there itself; scales and zero points do not count.
//! - **MACs**: `Conv`: output elements · inputs per group · kernel elements; `Gemm`, `MatMul`: m · k · n per product.
//!   what else multiplies says so in its file: an `If` counts as its larger branch, a `Loop` as its trips where their number
//!   is known, else as one, a `Scan` as its trips. Constants of graphs in them count as those of the node. Everything else, biases included, counts 0. One MAC is one multiplication and one addition.
//! - **activations, sum** (definition a): output elements of all nodes that multiply.
//! - **activations, peak** (definition c): the largest number of elements alive at one time when the nodes run in graph
//!   order. A graph input is alive from the start, a result while its node runs, both until the last node that reads
//!   them has run; graph outputs live to the end. While a node runs, its inputs and its outputs are alive. Nothing is
//!   computed in place; but `Identity`, `Dropout`, `Flatten`, `Reshape`, `Squeeze` and `Unsqueeze` share the storage of
//!   their input, which lives as long as any of them. Constants do not count.
//!
//! All but parameters scale with the batch; for one image, infer the shapes with a batch of 1.
//!
//! # Source
//! The conventions under which the counts of He et al. (CVPR 2016), Luo et al. (ThiNet, ICCV 2017) and the framework
//! model summaries can be compared; definition (a) is "activation size" of later filter-pruning work.

use std::collections::HashSet;

use crate::ops::{Class, Parameter};
use crate::shape::Shapes;
use crate::{Graph, Node, Op, ValueId};

/// Counts of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerStatistics {
    /// Name of the node.
    pub name: String,
    /// Operator as ONNX names it.
    pub op: &'static str,
    /// Shapes of the inputs that are not constant.
    pub inputs: Vec<Vec<usize>>,
    /// Shapes of the outputs.
    pub outputs: Vec<Vec<usize>>,
    /// Weights only.
    pub weights: u64,
    /// Weights, biases, gamma and beta.
    pub parameters: u64,
    /// Running statistics.
    pub buffers: u64,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Elements of the outputs.
    pub output_elements: u64,
}

/// Counts of a graph. See the [module](self) for what each one means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Per node, in graph order.
    pub layers: Vec<LayerStatistics>,
    /// Weights only (`P_w`).
    pub weights: u64,
    /// Weights, biases, gamma and beta (`P_tot`).
    pub parameters: u64,
    /// Running statistics.
    pub buffers: u64,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Multiply-accumulate operations of `Conv` nodes alone.
    pub conv_macs: u64,
    /// Sum of the outputs of nodes that multiply (definition a), in elements.
    pub activation_sum: u64,
    /// Peak live set (definition c), in elements.
    pub activation_peak: u64,
}

/// Counts a graph whose shapes are known.
pub fn compute(graph: &Graph, shapes: &Shapes) -> Statistics {
    let producers = graph.producers();
    let mut counted = HashSet::new();
    let layers: Vec<LayerStatistics> =
        graph.nodes().iter().map(|node| layer(graph, shapes, &producers, &mut counted, node)).collect();
    let sum = |count: fn(&LayerStatistics) -> u64| layers.iter().map(count).fold(0, u64::saturating_add);
    let is_conv = |layer: &&LayerStatistics| layer.op == "Conv";
    let multiplies = graph.nodes().iter().map(|node| node.op.class() == Class::Multiplies);
    let products = layers.iter().zip(multiplies).filter_map(|(layer, multiplies)| multiplies.then_some(layer));
    Statistics {
        weights: sum(|layer| layer.weights),
        parameters: sum(|layer| layer.parameters),
        buffers: sum(|layer| layer.buffers),
        macs: sum(|layer| layer.macs),
        conv_macs: layers.iter().filter(is_conv).map(|layer| layer.macs).fold(0, u64::saturating_add),
        activation_sum: products.map(|layer| layer.output_elements).fold(0, u64::saturating_add),
        activation_peak: activation_peak(graph, shapes),
        layers,
    }
}

fn layer(
    graph: &Graph,
    shapes: &Shapes,
    producers: &[Option<usize>],
    counted: &mut HashSet<ValueId>,
    node: &Node,
) -> LayerStatistics {
    let shape = |idx: usize| node.inputs.get(idx).copied().flatten().map_or(&[][..], |id| shapes.shape(id));
    let Constants { weights, others, buffers } = constants(graph, producers, counted, node);
    let shapes_of_inputs: Vec<&[usize]> = (0..node.inputs.len()).map(shape).collect();
    let output_elements = node.outputs.iter().map(|&id| shapes[id].n_elements()).fold(0, u64::saturating_add);
    let variables = node.inputs.iter().flatten().filter(|&&id| graph.constant(id).is_none());
    LayerStatistics {
        name: node.name.clone(),
        op: node.op.name(),
        inputs: variables.map(|&id| shapes.shape(id).to_vec()).collect(),
        outputs: node.outputs.iter().map(|&id| shapes.shape(id).to_vec()).collect(),
        weights,
        parameters: weights + others,
        buffers,
        macs: node.op.macs(&shapes_of_inputs, output_elements),
        output_elements,
    }
}

/// Elements of the constants of a node.
#[derive(Clone, Copy, Default)]
struct Constants {
    weights: u64,
    others: u64,
    buffers: u64,
}

fn constants(graph: &Graph, producers: &[Option<usize>], counted: &mut HashSet<ValueId>, node: &Node) -> Constants {
    let mut count = |idx: usize| {
        let id = node.inputs.get(idx).copied().flatten().and_then(|id| stored_constant(graph, producers, id));
        let constant = id.filter(|&id| counted.insert(id)).and_then(|id| graph.constant(id));
        constant.map_or(0, |tensor| tensor.len() as u64)
    };
    let mut found = Constants::default();
    for idx in 0..node.inputs.len() {
        match node.op.parameter(idx) {
            Some(Parameter::Weight) => found.weights += count(idx),
            Some(Parameter::Other) => found.others += count(idx),
            Some(Parameter::Buffer) => found.buffers += count(idx),
            None => {}
        }
    }
    if node.op == Op::Add {
        for (product, addend) in [(0, 1), (1, 0)] {
            if is_matmul(graph, producers, node, product) {
                found.others += count(addend);
            }
        }
    }
    for body in node.op.bodies() {
        let (graph, mut counted) = (body.graph(), HashSet::new());
        let producers = graph.producers();
        for inner in graph.nodes() {
            let inner = constants(graph, &producers, &mut counted, inner);
            found.weights += inner.weights;
            found.others += inner.others;
            found.buffers += inner.buffers;
        }
    }
    found
}

/// The constant that a value holds, directly or through operators that only store it differently, or in fewer bits.
fn stored_constant(graph: &Graph, producers: &[Option<usize>], id: ValueId) -> Option<ValueId> {
    let mut id = id;
    loop {
        if graph.constant(id).is_some() {
            return Some(id);
        }
        let node = &graph.nodes()[producers[id.0]?];
        let stores = node.op.stores() || matches!(node.op, Op::Clip(_));
        id = stores.then(|| node.inputs.first().copied().flatten()).flatten()?;
    }
}

fn is_matmul(graph: &Graph, producers: &[Option<usize>], node: &Node, input: usize) -> bool {
    let producer = node.inputs.get(input).copied().flatten().and_then(|id| producers[id.0]);
    producer.is_some_and(|idx| matches!(graph.nodes()[idx].op, Op::MatMul))
}

/// The storage that each value lives in: its own, or that of the value it only renames.
fn storages(graph: &Graph) -> Vec<usize> {
    let mut storages: Vec<usize> = (0..graph.values().len()).collect();
    for node in graph.nodes() {
        if let (true, Some(&Some(input)), [output]) = (node.op.renames(), node.inputs.first(), node.outputs.as_slice())
        {
            storages[output.0] = storages[input.0];
        }
    }
    storages
}

fn activation_peak(graph: &Graph, shapes: &Shapes) -> u64 {
    let storages = storages(graph);
    // The step after which each storage is free; one past the last for the graph's outputs.
    let mut last_use = vec![0; graph.values().len()];
    for (idx, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().flatten().chain(&node.outputs) {
            last_use[storages[id.0]] = idx;
        }
    }
    for output in graph.outputs() {
        last_use[storages[output.0]] = graph.nodes().len();
    }
    let mut freed_after = vec![0_u64; graph.nodes().len() + 1];
    let mut live: u64 = 0;
    let mut take = |id: ValueId, live: &mut u64| {
        if storages[id.0] == id.0 && graph.constant(id).is_none() {
            let n_elements = shapes[id].n_elements();
            *live = live.saturating_add(n_elements);
            freed_after[last_use[id.0]] += n_elements;
        }
    };
    for input in graph.inputs() {
        take(input.value, &mut live);
    }
    let mut peak = live;
    let mut starts = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let mut started = 0;
        for &output in &node.outputs {
            take(output, &mut started);
        }
        starts.push(started);
    }
    for (started, freed) in starts.into_iter().zip(freed_after) {
        live = live.saturating_add(started);
        peak = peak.max(live);
        live = live.saturating_sub(freed);
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{self, Weights};
    use crate::ops;
    use crate::rewrite::Editor;
    use crate::{DType, Dim, GraphBuilder, Tensor, shape};

    fn statistics(graph: &Graph) -> Statistics {
        compute(graph, &shape::infer(graph, &shape::bind(graph, 1, None).unwrap()).unwrap())
    }

    #[test]
    fn counts_scale_with_the_batch_but_parameters_do_not() {
        let graph = networks::build("resnet8", Weights::Zero).unwrap();
        let one = statistics(&graph);
        let four = compute(&graph, &shape::infer(&graph, &shape::bind(&graph, 4, None).unwrap()).unwrap());
        assert_eq!((four.weights, four.parameters, four.buffers), (one.weights, one.parameters, one.buffers));
        assert_eq!((four.macs, four.activation_sum), (4 * one.macs, 4 * one.activation_sum));
        assert_eq!(four.activation_peak, 4 * one.activation_peak);
    }

    /// x (8) → a (8) → b (8) → flat (b's storage) → fc (2); x also joins b by an addition.
    #[test]
    fn live_set_of_a_residual_graph() {
        let mut builder = GraphBuilder::new("residual");
        let dims = [1, 2, 2, 2].map(Dim::Fixed).to_vec();
        let x = builder.input("x", DType::F32, dims);
        let a = builder.node("a", Op::Relu, &[x]); // x, a: 16
        let b = builder.node("b", Op::Tanh, &[a]); // x, a, b: 24
        let sum = builder.node("sum", Op::Add, &[x, b]); // x, b, sum: 24
        let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[sum]); // sum: 8
        let weight = builder.constant("w", Tensor::from_f32(vec![8, 20], vec![0.0; 160]));
        let product = builder.node("product", Op::MatMul, &[flat, weight]); // sum, product: 28
        let bias = builder.constant("bias", Tensor::from_f32(vec![20], vec![0.0; 20]));
        let y = builder.node("y", Op::Add, &[product, bias]); // product, y: 40
        builder.output(y);
        let graph = builder.build().unwrap();
        let found = statistics(&graph);
        assert_eq!(found.activation_peak, 40);
        assert_eq!((found.weights, found.parameters, found.macs, found.activation_sum), (160, 180, 160, 20));
        assert_eq!(found.layers[2].inputs, [vec![1, 2, 2, 2], vec![1, 2, 2, 2]]);
        // With the sum as an output its storage lives to the end: 8 more.
        let mut editor = Editor::new(&graph);
        editor.set_outputs(vec![y, flat]).unwrap();
        let graph = editor.finish().unwrap();
        assert_eq!(statistics(&graph).activation_peak, 48);
    }

    #[test]
    fn shared_and_quantized_weights_count_once() {
        let mut builder = GraphBuilder::new("shared");
        let x = builder.input("x", DType::F32, [3, 2].map(Dim::Fixed).to_vec());
        let codes = builder.constant("codes", Tensor::new(vec![2, 2], vec![1_i8, 2, 3, 4].into()).unwrap());
        let scale = builder.constant("scale", Tensor::from_f32(vec![], vec![0.5]));
        let weight = builder.node("weight", Op::DequantizeLinear(ops::DequantizeLinear { axis: 0 }), &[codes, scale]);
        let y = builder.node("first", Op::MatMul, &[x, weight]);
        let z = builder.node("second", Op::MatMul, &[y, weight]);
        builder.output(z);
        let found = statistics(&builder.build().unwrap());
        assert_eq!((found.weights, found.parameters, found.macs), (4, 4, 24));
        assert_eq!(found.layers[1].weights, 4);
        assert_eq!(found.layers[2].weights, 0);
    }
}
