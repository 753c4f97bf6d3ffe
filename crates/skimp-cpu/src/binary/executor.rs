//! The executor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use skimp_graph::binary::{
    BinaryGraph, BinaryKind, BinaryLayer, BinaryLayout, BinaryNode, BinaryOp, BinaryTensor, BitNeuron, BitPool,
    BitTensor, Step,
};
use skimp_graph::shape::{LayerShape, window_axes};
use skimp_graph::{Executor, GraphError, Observer, Op, Tensor, Window, ops};

use super::events::PreparedEvents;
use super::kernel::Isa;
use super::layer::{Made, Prepared};
use super::neuron;
use super::planes::Planes;
use crate::CpuExecutor;

/// Runs a binary network on packed bits.
///
/// Layers, pools and thresholds give what [`BinaryReference`](skimp_graph::binary::BinaryReference) gives, bit for bit; the
/// parts in floating point are those of [`CpuExecutor`], within its tolerance. Results do not depend on threads or the batch.
#[derive(Debug)]
pub struct BinaryExecutor {
    graph: BinaryGraph,
    nodes: Vec<Node>,
    /// For each value, the last node that reads it.
    last_use: Vec<Option<usize>>,
    isa: Isa,
}

#[derive(Debug)]
enum Node {
    /// For each kernel that it was run as, the layer with packed weights.
    Layer(Ready<Prepared>),
    /// The same of a layer of real weights.
    Events(Ready<PreparedEvents>),
    Float(Box<CpuExecutor>),
    Other,
}

/// What was made ready, for each kernel that it was run as.
type Ready<T> = Mutex<BTreeMap<[usize; 2], Arc<T>>>;

#[derive(Clone, Debug)]
enum Held {
    Planes(Planes),
    /// Bits of another rank than planes have.
    Bits(BitTensor),
    Real(Tensor),
}

impl BinaryExecutor {
    /// Binds the executor to a network.
    ///
    /// # Errors
    /// As [`CpuExecutor::new`], of the parts in floating point.
    pub fn new(graph: BinaryGraph) -> Result<Self, GraphError> {
        Self::with_isa(graph, Isa::best())
    }

    pub(super) fn with_isa(graph: BinaryGraph, isa: Isa) -> Result<Self, GraphError> {
        let nodes = graph.nodes.iter().map(|node| {
            Ok(match &node.op {
                BinaryOp::Layer(_) => Node::Layer(Mutex::default()),
                BinaryOp::Events(_) => Node::Events(Mutex::default()),
                BinaryOp::Float(part) => Node::Float(Box::new(CpuExecutor::new(part)?)),
                _ => Node::Other,
            })
        });
        let nodes = nodes.collect::<Result<_, GraphError>>()?;
        let mut last_use = vec![None; graph.values.len()];
        for (idx, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|id| last_use[id.0] = Some(idx));
        }
        Ok(Self { graph, nodes, last_use, isa })
    }

    /// The network.
    pub fn graph(&self) -> &BinaryGraph {
        &self.graph
    }

    fn run_nodes(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        let graph = &self.graph;
        graph.check_inputs(inputs)?;
        let mut values: Vec<Option<Held>> = vec![None; graph.values.len()];
        for (input, tensor) in graph.inputs.iter().zip(inputs) {
            values[input.value.0] = Some(Held::Real(tensor.clone()));
        }
        for (idx, node) in graph.nodes.iter().enumerate() {
            let missing = || broken(node, "an input is not there yet");
            let operands: Vec<&Held> =
                node.inputs.iter().map(|id| values[id.0].as_ref().ok_or_else(missing)).collect::<Result<_, _>>()?;
            let outputs = self.node(idx, node, &operands)?;
            for (id, output) in node.outputs.iter().zip(outputs) {
                values[id.0] = Some(output);
            }
            for id in node.inputs.iter().filter(|id| self.last_use[id.0] == Some(idx) && !graph.outputs.contains(id)) {
                values[id.0] = None;
            }
        }
        let real = |id: &skimp_graph::ValueId| match &values[id.0] {
            Some(Held::Real(tensor)) => Ok(tensor.clone()),
            _ => graph.real_output(*id, None),
        };
        graph.outputs.iter().map(real).collect()
    }

    fn node(&self, idx: usize, node: &BinaryNode, inputs: &[&Held]) -> Result<Vec<Held>, GraphError> {
        let output = match (&node.op, &self.nodes[idx]) {
            (BinaryOp::Binarize(step), _) => binarized(self.isa, node, real(node, inputs[0])?, *step)?,
            (BinaryOp::Layer(layer), Node::Layer(prepared)) => {
                self.layer(node, layer, prepared, planes(node, inputs[0])?)?
            }
            (BinaryOp::Events(layer), Node::Events(prepared)) => {
                let x = planes(node, inputs[0])?;
                let shape = layer.shape_on(&node.name, &x.shape())?;
                let (kernel, channels) = kernel_on(layer.layout, &shape, x);
                let ready = ready(prepared, kernel, || PreparedEvents::new(layer, channels, kernel, self.isa));
                Held::Real(ready.run(layer, &shape, x))
            }
            (BinaryOp::Neuron(neuron), _) => return self.neuron(node, neuron, inputs),
            (BinaryOp::Pool(window, pool), _) => Held::Planes(pooled(node, planes(node, inputs[0])?, window, pool)?),
            (BinaryOp::Move(op), _) => moved(node, op, inputs[0])?,
            (BinaryOp::Unpack, _) => {
                let BinaryKind::Bits(alphabet) = self.graph.values[node.inputs[0].0].kind else {
                    return Err(broken(node, "its input is real, expected bits"));
                };
                let bits = bits(node, inputs[0])?;
                let data = bits.bits.iter().map(|&bit| alphabet.value(bit)).collect();
                Held::Real(Tensor::from_f32(bits.shape, data))
            }
            (BinaryOp::Float(_), Node::Float(executor)) => {
                let inputs: Vec<Tensor> =
                    inputs.iter().map(|input| real(node, input).cloned()).collect::<Result<_, _>>()?;
                return Ok(executor.run(&inputs)?.into_iter().map(Held::Real).collect());
            }
            _ => return Err(broken(node, "was not made ready")),
        };
        Ok(vec![output])
    }

    fn neuron(&self, node: &BinaryNode, neuron: &BitNeuron, inputs: &[&Held]) -> Result<Vec<Held>, GraphError> {
        let inputs: Vec<&Tensor> = inputs.iter().map(|input| real(node, input)).collect::<Result<_, _>>()?;
        if let Some((spikes, state)) = neuron::step(self.isa, neuron, &inputs) {
            return Ok(vec![Held::Planes(spikes), Held::Real(state)]);
        }
        let outputs = neuron.step(&node.name, &inputs)?.into_iter().map(|output| match output {
            BinaryTensor::Bits(bits) => held(bits),
            BinaryTensor::Real(tensor) => Held::Real(tensor),
        });
        Ok(outputs.collect())
    }

    fn layer(
        &self,
        node: &BinaryNode,
        layer: &BinaryLayer,
        prepared: &Ready<Prepared>,
        x: &Planes,
    ) -> Result<Held, GraphError> {
        let shape = layer.shape_on(&node.name, &x.shape())?;
        let (kernel, channels) = kernel_on(layer.layout, &shape, x);
        let is_rows = layer.layout == BinaryLayout::Rows;
        let ready = ready(prepared, kernel, || Prepared::new(layer, channels, kernel, self.isa));
        Ok(match ready.run(layer, &shape, x)? {
            Made::Bits(planes) => Held::Planes(Planes { is_flat: is_rows, ..planes }),
            Made::Real(tensor) => Held::Real(tensor),
        })
    }
}

/// The kernel that a layer is run as, and its channels: a dense layer on flat planes takes all of them at once.
fn kernel_on(layout: BinaryLayout, shape: &LayerShape, x: &Planes) -> ([usize; 2], usize) {
    match layout {
        BinaryLayout::Rows => (x.extents, x.channels),
        BinaryLayout::Planes => ([shape.r(), shape.s()], shape.c()),
    }
}

impl Executor for BinaryExecutor {
    fn name(&self) -> &'static str {
        "binary"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_nodes(inputs)
    }

    /// Is refused: thresholds and packed bits stand in for most values of the network.
    fn run_observed(&self, _inputs: &[Tensor], _observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        Err(GraphError::InvalidGraph {
            graph: self.graph.name.clone(),
            cause: "values inside of it do not exist on packed bits; another engine shows them".to_owned(),
        })
    }
}

fn ready<T>(known: &Ready<T>, kernel: [usize; 2], make: impl FnOnce() -> T) -> Arc<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry(kernel).or_insert_with(|| Arc::new(make())))
}

fn broken(node: &BinaryNode, cause: &str) -> GraphError {
    GraphError::invalid_node(&node.name, node.op.name(), cause)
}

fn real<'a>(node: &BinaryNode, held: &'a Held) -> Result<&'a Tensor, GraphError> {
    match held {
        Held::Real(tensor) => Ok(tensor),
        Held::Planes(_) | Held::Bits(_) => Err(broken(node, "an input is bits, expected real numbers")),
    }
}

fn planes<'a>(node: &BinaryNode, held: &'a Held) -> Result<&'a Planes, GraphError> {
    match held {
        Held::Planes(planes) => Ok(planes),
        Held::Bits(bits) => Err(broken(node, &format!("input has shape {:?}, expected rows or planes", bits.shape))),
        Held::Real(_) => Err(broken(node, "an input is real, expected bits")),
    }
}

fn bits(node: &BinaryNode, held: &Held) -> Result<BitTensor, GraphError> {
    match held {
        Held::Planes(planes) => Ok(planes.bits()),
        Held::Bits(bits) => Ok(bits.clone()),
        Held::Real(_) => Err(broken(node, "an input is real, expected bits")),
    }
}

/// Bits as planes where they have two or four axes.
fn held(bits: BitTensor) -> Held {
    Planes::of(&bits).map_or_else(|| Held::Bits(bits), Held::Planes)
}

fn binarized(isa: Isa, node: &BinaryNode, x: &Tensor, step: Step) -> Result<Held, GraphError> {
    match Planes::of_real(isa, &node.name, x, step) {
        Some(planes) => planes.map(Held::Planes),
        None => Ok(held(step.bits(&node.name, x)?)),
    }
}

fn moved(node: &BinaryNode, op: &Op, x: &Held) -> Result<Held, GraphError> {
    let is_flattening = |planes: &Planes| {
        let rows = [planes.n, planes.channels * planes.area()];
        match op {
            Op::Flatten(flatten) => flatten.axis == 1 || flatten.axis == 1 - planes.shape().len() as i64,
            Op::Reshape(reshape) => {
                let fits = |(target, extent): (&i64, &usize)| *target == -1 || *target == *extent as i64;
                reshape.shape.len() == 2 && reshape.shape.iter().zip(&rows).all(fits)
            }
            Op::Identity => planes.is_flat,
            _ => false,
        }
    };
    if let Held::Planes(planes) = x
        && is_flattening(planes)
    {
        return Ok(Held::Planes(Planes { is_flat: true, ..planes.clone() }));
    }
    Ok(held(bits(node, x)?.moved(&node.name, op)?))
}

fn pooled(node: &BinaryNode, x: &Planes, window: &Window, pool: &BitPool) -> Result<Planes, GraphError> {
    if x.is_flat && x.area() != 1 {
        return Err(broken(node, "its input is rows, expected planes"));
    }
    let op = Op::MaxPool(ops::MaxPool { window: window.clone() });
    let axes = window_axes(&op, &node.name, window, &x.extents)?;
    let extents = [axes[0].output, axes[1].output];
    let mut y = Planes { is_flat: false, ..Planes::new(x.n, x.channels, extents) };
    let (depth, area) = (x.depth(), x.area());
    if area == 0 || y.area() == 0 {
        return Ok(y);
    }
    let width = x.extents[1];
    let y_area = y.area();
    let is_halving = axes.iter().all(|axis| {
        (axis.kernel, axis.stride, axis.dilation, axis.pad_begin) == (2, 2, 1, 0) && axis.output * 2 <= axis.input
    });
    for (at, (target, source)) in y.bytes.chunks_exact_mut(y_area).zip(x.bytes.chunks_exact(area)).enumerate() {
        let any = match pool {
            BitPool::Any => 0xff,
            BitPool::Each(each) => {
                let first = at % depth * 8;
                (0..8).fold(0, |mask, j| mask | u8::from(each.get(first + j).copied().unwrap_or(true)) << j)
            }
        };
        for p in 0..extents[0] {
            let row = &mut target[p * extents[1]..][..extents[1]];
            if is_halving {
                let (upper, lower) = (&source[2 * p * width..][..width], &source[(2 * p + 1) * width..][..width]);
                for (q, byte) in row.iter_mut().enumerate() {
                    let [a, b, c, d] = [upper[2 * q], upper[2 * q + 1], lower[2 * q], lower[2 * q + 1]];
                    *byte = (a | b | c | d) & any | (a & b & c & d) & !any;
                }
                continue;
            }
            for (q, byte) in row.iter_mut().enumerate() {
                let (mut or, mut and) = (0, 0xff);
                for r in axes[0].taps(p) {
                    let row = axes[0].input_idx(p, r) * width;
                    for s in axes[1].taps(q) {
                        let x = source[row + axes[1].input_idx(q, s)];
                        (or, and) = (or | x, and & x);
                    }
                }
                *byte = or & any | and & !any;
            }
        }
    }
    Ok(y)
}
