//! The exact interpreter of binary networks: the specification of binary execution.

use super::{
    BinaryGraph, BinaryKind, BinaryLayer, BinaryNode, BinaryOp, BinaryOutput, BitNeuron, BitPadding, BitPool,
    EventLayer,
};
use crate::reference::{Reference, evaluate};
use crate::shape::{LayerShape, window_axes};
use crate::{Executor as _, GraphError, GraphInput, Op, Tensor, Window, ops};

/// Bits and their extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitTensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// Row-major.
    pub bits: Vec<bool>,
}

impl BitTensor {
    /// The bits behind an operator that only renames or reorders axes; `node` names it in errors.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn moved(&self, node: &str, op: &Op) -> Result<Self, GraphError> {
        let failed = || GraphError::invalid_node(node, op.name(), "moves no bits");
        let tensor = Tensor::new(self.shape.clone(), self.bits.clone().into()).ok_or_else(failed)?;
        let output = evaluate(op, node, &[Some(&tensor)])?.into_iter().next().ok_or_else(failed)?;
        let bits = output.elements::<bool>().ok_or_else(failed)?.to_vec();
        Ok(Self { shape: output.shape().to_vec(), bits })
    }
}

/// What a value is at run time.
#[derive(Clone, Debug, PartialEq)]
pub enum BinaryTensor {
    /// Bits.
    Bits(BitTensor),
    /// Real numbers.
    Real(Tensor),
}

/// What stands in for the exact sums of layers: an array of resistive cells, for example.
pub trait LayerSums {
    /// Changes the exact sums of a layer, in units and in row-major order of its output, before thresholds see them.
    ///
    /// # Errors
    /// Whatever keeps it from doing so.
    fn change(&self, call: &LayerCall<'_>, sums: &mut [i32]) -> Result<(), GraphError>;

    /// The bits of a layer, given its sums; `None` for those of its thresholds. A layer's real outputs are not asked for.
    ///
    /// # Errors
    /// Whatever keeps it from doing so.
    fn bits(&self, _call: &LayerCall<'_>, _sums: &[i32]) -> Result<Option<Vec<bool>>, GraphError> {
        Ok(None)
    }
}

/// One layer of one run.
#[derive(Clone, Copy, Debug)]
pub struct LayerCall<'a> {
    /// Index of the node.
    pub node_idx: usize,
    /// The layer.
    pub layer: &'a BinaryLayer,
    /// Its extents.
    pub shape: &'a LayerShape,
    /// Its input.
    pub input: &'a BitTensor,
}

/// Called after every node with its index and what it made.
pub type BinaryObserver<'a> = dyn FnMut(usize, &BinaryTensor) + 'a;

/// Runs a [`BinaryGraph`] naively, safely and single-threaded.
#[derive(Debug)]
pub struct BinaryReference<'g> {
    graph: &'g BinaryGraph,
}

impl<'g> BinaryReference<'g> {
    /// Binds the interpreter to `graph`.
    pub fn new(graph: &'g BinaryGraph) -> Self {
        Self { graph }
    }

    /// Runs the network on `inputs` and returns its outputs, both in order.
    ///
    /// # Errors
    /// As those of the float network; [`GraphError::InvalidInput`] where a `Sign` sees 0.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_with(inputs, None, &mut |_, _| {})
    }

    /// As [`run`](Self::run), with other sums in the layers, and shows what every node makes.
    ///
    /// # Errors
    /// As [`run`](Self::run), and those of `sums`.
    pub fn run_with(
        &self,
        inputs: &[Tensor],
        sums: Option<&dyn LayerSums>,
        observer: &mut BinaryObserver<'_>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let graph = self.graph;
        graph.check_inputs(inputs)?;
        let mut values: Vec<Option<BinaryTensor>> = vec![None; graph.values.len()];
        for (input, tensor) in graph.inputs.iter().zip(inputs) {
            values[input.value.0] = Some(BinaryTensor::Real(tensor.clone()));
        }
        for (node_idx, node) in graph.nodes.iter().enumerate() {
            let missing = || GraphError::invalid_node(&node.name, node.op.name(), "an input is not there yet");
            let operands: Vec<&BinaryTensor> =
                node.inputs.iter().map(|id| values[id.0].as_ref().ok_or_else(missing)).collect::<Result<_, _>>()?;
            let outputs = self.node(node_idx, node, &operands, sums)?;
            for (id, output) in node.outputs.iter().zip(outputs) {
                observer(node_idx, &output);
                values[id.0] = Some(output);
            }
        }
        graph.outputs.iter().map(|id| graph.real_output(*id, values[id.0].as_ref())).collect()
    }

    fn node(
        &self,
        node_idx: usize,
        node: &BinaryNode,
        inputs: &[&BinaryTensor],
        sums: Option<&dyn LayerSums>,
    ) -> Result<Vec<BinaryTensor>, GraphError> {
        let output = match &node.op {
            BinaryOp::Binarize(step) => {
                let x = real(node, inputs[0])?;
                BinaryTensor::Bits(step.bits(&node.name, x)?)
            }
            BinaryOp::Layer(layer) => self.layer(node_idx, node, layer, bits(node, inputs[0])?, sums)?,
            BinaryOp::Events(layer) => {
                let input = bits(node, inputs[0])?;
                let shape = layer.shape_on(&node.name, &input.shape)?;
                BinaryTensor::Real(Tensor::from_f32(layer.output_shape(&shape), layer.outputs(&shape, input)))
            }
            BinaryOp::Neuron(neuron) => {
                let inputs: Vec<&Tensor> = inputs.iter().map(|input| real(node, input)).collect::<Result<_, _>>()?;
                return neuron.step(&node.name, &inputs);
            }
            BinaryOp::Pool(window, pool) => BinaryTensor::Bits(pooled(node, bits(node, inputs[0])?, window, pool)?),
            BinaryOp::Move(op) => BinaryTensor::Bits(bits(node, inputs[0])?.moved(&node.name, op)?),
            BinaryOp::Unpack => {
                let BinaryKind::Bits(alphabet) = self.graph.values[node.inputs[0].0].kind else {
                    return Err(GraphError::invalid_node(&node.name, "Unpack", "its input is real, expected bits"));
                };
                let input = bits(node, inputs[0])?;
                let data = input.bits.iter().map(|&bit| alphabet.value(bit)).collect();
                BinaryTensor::Real(Tensor::from_f32(input.shape.clone(), data))
            }
            BinaryOp::Float(graph) => {
                let inputs: Vec<Tensor> =
                    inputs.iter().map(|input| real(node, input).cloned()).collect::<Result<_, _>>()?;
                let outputs = Reference::new(graph).run(&inputs)?;
                return Ok(outputs.into_iter().map(BinaryTensor::Real).collect());
            }
        };
        Ok(vec![output])
    }

    fn layer(
        &self,
        node_idx: usize,
        node: &BinaryNode,
        layer: &BinaryLayer,
        input: &BitTensor,
        hook: Option<&dyn LayerSums>,
    ) -> Result<BinaryTensor, GraphError> {
        let shape = layer.shape_on(&node.name, &input.shape)?;
        let output_shape = layer.output_shape(&shape);
        let mut sums = layer.sums(&shape, input);
        let call = LayerCall { node_idx, layer, shape: &shape, input };
        if let Some(hook) = hook {
            hook.change(&call, &mut sums)?;
        }
        let plane_len = BinaryLayer::plane_len(&output_shape).max(1);
        let channel = |idx: usize| idx / plane_len % shape.k();
        let numbered = sums.iter().enumerate();
        Ok(match &layer.output {
            BinaryOutput::Real => {
                let data = numbered.map(|(idx, &sum)| layer.real(channel(idx), sum)).collect();
                BinaryTensor::Real(Tensor::from_f32(output_shape, data))
            }
            BinaryOutput::Bits(_, thresholds) => {
                let given = hook.map(|hook| hook.bits(&call, &sums)).transpose()?.flatten();
                let bits =
                    given.unwrap_or_else(|| numbered.map(|(i, &sum)| thresholds[channel(i)].fires(sum)).collect());
                BinaryTensor::Bits(BitTensor { shape: output_shape, bits })
            }
        })
    }
}

impl BinaryLayer {
    /// The sums in units, in row-major order of the output.
    pub fn sums(&self, shape: &LayerShape, input: &BitTensor) -> Vec<i32> {
        let (rows, cols) = (shape.rows(), shape.cols());
        let outside = match self.padding {
            BitPadding::Zero => 0,
            BitPadding::Bit(bit) => self.input.unit(bit),
        };
        let mut sums = Vec::with_capacity(shape.n() * shape.k() * shape.p() * shape.q());
        for (n, k) in (0..shape.n()).flat_map(|n| (0..shape.k()).map(move |k| (n, k))) {
            for (p, q) in (0..shape.p()).flat_map(|p| (0..shape.q()).map(move |q| (p, q))) {
                let mut sum = 0;
                for c in 0..shape.c() {
                    for (r, s) in (0..shape.r()).flat_map(|r| (0..shape.s()).map(move |s| (r, s))) {
                        let weight = self.weight[((k * shape.c() + c) * shape.r() + r) * shape.s() + s];
                        let activation = match (rows.read(p, r), cols.read(q, s)) {
                            (Some(h), Some(w)) => {
                                let at = ((n * shape.c() + c) * shape.h() + h) * shape.w() + w;
                                self.input.unit(input.bits[at])
                            }
                            _ => outside,
                        };
                        sum += i32::from(weight) * activation;
                    }
                }
                sums.push(sum);
            }
        }
        sums
    }
}

impl EventLayer {
    /// What the layer gives, in row-major order of the output.
    pub fn outputs(&self, shape: &LayerShape, input: &BitTensor) -> Vec<f32> {
        let (rows, cols) = (shape.rows(), shape.cols());
        let mut outputs = Vec::with_capacity(shape.n() * shape.k() * shape.p() * shape.q());
        for (n, k) in (0..shape.n()).flat_map(|n| (0..shape.k()).map(move |k| (n, k))) {
            for (p, q) in (0..shape.p()).flat_map(|p| (0..shape.q()).map(move |q| (p, q))) {
                let mut sum = self.bias[k];
                for c in 0..shape.c() {
                    for (r, s) in (0..shape.r()).flat_map(|r| (0..shape.s()).map(move |s| (r, s))) {
                        let (Some(h), Some(w)) = (rows.read(p, r), cols.read(q, s)) else { continue };
                        if input.bits[((n * shape.c() + c) * shape.h() + h) * shape.w() + w] {
                            let at = ((k * shape.c() + c) * shape.r() + r) * shape.s() + s;
                            sum += self.unit * f64::from(self.weight[at]);
                        }
                    }
                }
                outputs.push(sum as f32);
            }
        }
        outputs
    }
}

impl BitNeuron {
    /// One step, as the operator's reference computes it: bits, and the state behind the step where it is returned.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn step(&self, node: &str, inputs: &[&Tensor]) -> Result<Vec<BinaryTensor>, GraphError> {
        let parameters = [self.threshold.as_ref(), self.leak.as_ref()];
        let states = inputs.iter().skip(1).map(|state| Some(*state));
        let operands: Vec<Option<&Tensor>> =
            [inputs.first().copied()].into_iter().chain(parameters).chain(states).collect();
        let outputs = evaluate(&Op::Neuron(self.neuron), node, &operands)?;
        let numbered = outputs.into_iter().enumerate().map(|(idx, output)| match (idx, output.as_f32()) {
            (0, Some(spikes)) => {
                let bits = spikes.iter().map(|&spike| spike > 0.0).collect();
                BinaryTensor::Bits(BitTensor { shape: output.shape().to_vec(), bits })
            }
            _ => BinaryTensor::Real(output),
        });
        Ok(numbered.collect())
    }
}

impl super::Step {
    /// The bit of one number.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, where it is a third value.
    pub fn bit(self, node: &str, x: f32) -> Result<bool, GraphError> {
        if x > self.threshold {
            return Ok(!self.below);
        }
        if x < self.threshold || x.is_nan() {
            return Ok(self.below);
        }
        self.at.ok_or_else(|| {
            let cause = format!(
                "its input is exactly {}, for which it gives a third value beside two: one bit does not hold it; run the \
                 network with another engine, or export the activation as Where(x >= {0}, 1, -1)",
                self.threshold
            );
            GraphError::invalid_node(node, "Binarize", cause)
        })
    }

    /// The bits of real numbers.
    ///
    /// # Errors
    /// As [`bit`](Self::bit), and where the numbers are not f32.
    pub fn bits(self, node: &str, x: &Tensor) -> Result<BitTensor, GraphError> {
        let data = x.as_f32().ok_or_else(|| {
            GraphError::invalid_node(node, "Binarize", format!("elements of type {}, expected f32", x.dtype()))
        })?;
        let bits = data.iter().map(|&x| self.bit(node, x)).collect::<Result<_, _>>()?;
        Ok(BitTensor { shape: x.shape().to_vec(), bits })
    }
}

impl BinaryGraph {
    /// Checks the number and the element types of inputs; their extents the operators check.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`].
    pub fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), GraphError> {
        GraphInput::bind(&self.name, &self.inputs, |id| &self.values[id.0].name, inputs).map(|_| ())
    }

    /// An output as a tensor.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] where it holds bits or nothing, which no graph that was made here does.
    pub fn real_output(&self, id: crate::ValueId, value: Option<&BinaryTensor>) -> Result<Tensor, GraphError> {
        match value {
            Some(BinaryTensor::Real(tensor)) => Ok(tensor.clone()),
            _ => Err(GraphError::InvalidGraph {
                graph: self.name.clone(),
                cause: format!("the output \"{}\" holds no real numbers", self.values[id.0].name),
            }),
        }
    }
}

fn bits<'a>(node: &BinaryNode, tensor: &'a BinaryTensor) -> Result<&'a BitTensor, GraphError> {
    match tensor {
        BinaryTensor::Bits(bits) => Ok(bits),
        BinaryTensor::Real(_) => {
            Err(GraphError::invalid_node(&node.name, node.op.name(), "an input is real, expected bits"))
        }
    }
}

fn real<'a>(node: &BinaryNode, tensor: &'a BinaryTensor) -> Result<&'a Tensor, GraphError> {
    match tensor {
        BinaryTensor::Real(tensor) => Ok(tensor),
        BinaryTensor::Bits(_) => {
            Err(GraphError::invalid_node(&node.name, node.op.name(), "an input is bits, expected real numbers"))
        }
    }
}

fn pooled(node: &BinaryNode, x: &BitTensor, window: &Window, pool: &BitPool) -> Result<BitTensor, GraphError> {
    let [n, channels, h, w] = *x.shape.as_slice() else {
        let cause = format!("input has shape {:?}, expected [n, c, h, w]", x.shape);
        return Err(GraphError::invalid_node(&node.name, "BitPool", cause));
    };
    let op = Op::MaxPool(ops::MaxPool { window: window.clone() });
    let axes = window_axes(&op, &node.name, window, &[h, w])?;
    let mut bits = Vec::with_capacity(n * channels * axes[0].output * axes[1].output);
    for plane in 0..n * channels {
        let is_any = match pool {
            BitPool::Any => true,
            BitPool::Each(each) => each[plane % channels],
        };
        for (p, q) in (0..axes[0].output).flat_map(|p| (0..axes[1].output).map(move |q| (p, q))) {
            let taps = axes[0].taps(p).flat_map(|r| axes[1].taps(q).map(move |s| (r, s)));
            let mut taps =
                taps.map(|(r, s)| x.bits[(plane * h + axes[0].input_idx(p, r)) * w + axes[1].input_idx(q, s)]);
            bits.push(if is_any { taps.any(|bit| bit) } else { taps.all(|bit| bit) });
        }
    }
    Ok(BitTensor { shape: vec![n, channels, axes[0].output, axes[1].output], bits })
}
