//! The interpreter of 8-bit networks: the specification.

use super::{
    AffineEncoding, AffineGraph, AffineLayer, AffineNode, AffineOp, LayerOutput, MeanRule, MeanWindow,
    types::AffineValue,
};
use crate::ops;
use crate::shape::{WindowAxis, broadcast, window_axes};
use crate::{Data, GraphError, Op, Tensor, ValueId, reference};

/// Called with every value that a node computes, in execution order; codes are u8 or i8 tensors.
pub type AffineObserver<'a> = dyn FnMut(ValueId, &Tensor) + 'a;

/// The interpreter of 8-bit networks, bound to one. Naive, safe, single-threaded; integer arithmetic only, but for
/// conversions from and to real numbers and for float operators.
#[derive(Clone, Debug)]
pub struct AffineReference {
    graph: AffineGraph,
}

impl AffineReference {
    /// Binds the interpreter to a network.
    pub fn new(graph: &AffineGraph) -> Self {
        Self { graph: graph.clone() }
    }

    /// Runs the network on `inputs`.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if an input does not fit; the node's error where an operator cannot run.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_observed(inputs, &mut |_, _| {})
    }

    /// Like [`run`](Self::run), and shows every computed value to `observer`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_observed(
        &self,
        inputs: &[Tensor],
        observer: &mut AffineObserver<'_>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let graph = &self.graph;
        graph.check_inputs(inputs)?;
        let mut values: Vec<Option<Tensor>> = graph.values.iter().map(|value| value.constant.clone()).collect();
        for (input, tensor) in graph.inputs.iter().zip(inputs) {
            values[input.value.0] = Some(tensor.clone());
        }
        for node in &graph.nodes {
            let node_inputs: Vec<Option<&Tensor>> =
                node.inputs.iter().map(|input| input.and_then(|id| values[id.0].as_ref())).collect();
            let outputs = evaluate(graph, node, &node_inputs)?;
            for (&id, tensor) in node.outputs.iter().zip(outputs) {
                observer(id, &tensor);
                values[id.0] = Some(tensor);
            }
        }
        let missing = |id: ValueId| GraphError::InvalidGraph {
            graph: graph.name.clone(),
            cause: format!("nothing produces the output \"{}\"", graph.values[id.0].name),
        };
        graph.outputs.iter().map(|&id| values[id.0].clone().ok_or_else(|| missing(id))).collect()
    }
}

impl AffineGraph {
    /// Checks number, element types and extents of inputs.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] naming the input.
    pub fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), GraphError> {
        if inputs.len() != self.inputs.len() {
            let input = self.inputs.get(inputs.len()).map_or("", |input| &self.values[input.value.0].name).to_owned();
            let cause = format!("{} inputs given, expected {}", inputs.len(), self.inputs.len());
            return Err(GraphError::InvalidInput { input, cause });
        }
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            let fits = input.dims.len() == tensor.shape().len()
                && input.dims.iter().zip(tensor.shape()).all(|(dim, &extent)| match dim {
                    crate::Dim::Fixed(fixed) => *fixed == extent,
                    crate::Dim::Free(_) => true,
                });
            if !fits || tensor.dtype() != input.dtype {
                let cause = format!(
                    "given as {} {:?}, expected {} {:?}",
                    tensor.dtype(),
                    tensor.shape(),
                    input.dtype,
                    input.dims
                );
                return Err(GraphError::InvalidInput { input: self.values[input.value.0].name.clone(), cause });
            }
        }
        Ok(())
    }
}

/// The outputs of one node of `graph`, by the definition of its operator.
///
/// # Errors
/// [`GraphError::InvalidNode`] if an input does not fit, and the errors of [`reference::evaluate`].
pub fn evaluate(graph: &AffineGraph, node: &AffineNode, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, GraphError> {
    let context = Context { graph, node, inputs };
    match &node.op {
        AffineOp::Move(op) | AffineOp::Float(op) => reference::evaluate(op, &node.name, inputs),
        AffineOp::Quantize => {
            let encoding = context.output_encoding()?;
            let input = context.input(0)?;
            let reals = input.as_f32().ok_or_else(|| context.invalid(format!("the input is {}", input.dtype())))?;
            context.coded(input.shape().to_vec(), reals.iter().map(|&x| encoding.quantize(x)))
        }
        AffineOp::Dequantize => {
            let (input, encoding) = (context.input(0)?, context.input_encoding(0)?);
            let reals = context.codes(0)?.iter().map(|&code| encoding.dequantize(code)).collect();
            Ok(vec![Tensor::from_f32(input.shape().to_vec(), reals)])
        }
        AffineOp::Table(table) => {
            let least = context.input_encoding(0)?.code_type.min();
            let codes = context.codes(0)?;
            let results = codes.iter().map(|&code| table[(code - least) as usize]);
            context.coded(context.input(0)?.shape().to_vec(), results)
        }
        AffineOp::Layer(layer) => context.layer(layer),
        AffineOp::Add { rule, min, max } => {
            let (a, b) = (context.input(0)?, context.input(1)?);
            let shape = broadcast(a.shape(), b.shape()).ok_or_else(|| context.invalid("shapes do not broadcast"))?;
            let at = |from: &[usize], flat: usize| broadcast_index(from, &shape, flat);
            let (codes_a, codes_b) = (context.codes(0)?, context.codes(1)?);
            let n: usize = shape.iter().product();
            let sum = |i: usize| rule.apply(codes_a[at(a.shape(), i)], codes_b[at(b.shape(), i)]).clamp(*min, *max);
            let sums: Vec<i32> = (0..n).map(sum).collect();
            context.coded(shape, sums.into_iter())
        }
        AffineOp::Mean { window, rule, min, max } => context.mean(window, rule, (*min, *max)),
    }
}

/// The element of a tensor `from` that stands at `flat` in the `shape` that it broadcasts to.
fn broadcast_index(from: &[usize], shape: &[usize], mut flat: usize) -> usize {
    let (mut at, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let index = flat % shape[axis];
        flat /= shape[axis];
        if let Some(own) = (axis + from.len()).checked_sub(shape.len()) {
            at += if from[own] == 1 { 0 } else { index * stride };
            stride *= from[own];
        }
    }
    at
}

struct Context<'a> {
    graph: &'a AffineGraph,
    node: &'a AffineNode,
    inputs: &'a [Option<&'a Tensor>],
}

impl<'a> Context<'a> {
    fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(&self.node.name, self.node.op.name(), cause)
    }

    fn input(&self, i: usize) -> Result<&'a Tensor, GraphError> {
        self.inputs.get(i).copied().flatten().ok_or_else(|| self.invalid(format!("input {i} is missing")))
    }

    /// Codes of input `i`, widened.
    fn codes(&self, i: usize) -> Result<Vec<i32>, GraphError> {
        match self.input(i)?.data() {
            Data::U8(codes) => Ok(codes.iter().copied().map(i32::from).collect()),
            Data::I8(codes) => Ok(codes.iter().copied().map(i32::from).collect()),
            other => Err(self.invalid(format!("input {i} is {}, expected codes", other.dtype()))),
        }
    }

    fn encoding(&self, id: Option<ValueId>) -> Result<AffineEncoding, GraphError> {
        let value: Option<&AffineValue> = id.map(|id| &self.graph.values[id.0]);
        value.and_then(|value| value.encoding).ok_or_else(|| self.invalid("a value has no encoding"))
    }

    fn input_encoding(&self, i: usize) -> Result<AffineEncoding, GraphError> {
        self.encoding(self.node.inputs.get(i).copied().flatten())
    }

    fn output_encoding(&self) -> Result<AffineEncoding, GraphError> {
        self.encoding(self.node.outputs.first().copied())
    }

    fn coded(&self, shape: Vec<usize>, codes: impl Iterator<Item = i32>) -> Result<Vec<Tensor>, GraphError> {
        let tensor = self.output_encoding()?.code_type.tensor(shape, codes);
        tensor.map(|tensor| vec![tensor]).ok_or_else(|| self.invalid("codes do not fill the output"))
    }

    fn layer(&self, layer: &AffineLayer) -> Result<Vec<Tensor>, GraphError> {
        let input = self.input(0)?;
        let zero_point = self.input_encoding(0)?.zero_point;
        let codes: Vec<i32> = self.codes(0)?.into_iter().map(|code| code - zero_point).collect();
        let k = layer.weight_shape[0];
        let shape = layer.output_shape(&self.node.name, input.shape())?;
        let accumulators = if layer.dense {
            dense(layer, &codes)
        } else {
            let op = Op::Conv(ops::Conv { window: layer.window.clone(), groups: layer.groups });
            let axes = window_axes(&op, &self.node.name, &layer.window, &input.shape()[2..])?;
            convolution(layer, &codes, input.shape()[0], &axes)
        };
        let n_inner: usize = if layer.dense { 1 } else { shape[2..].iter().product() };
        let channel = |i: usize| i / n_inner.max(1) % k;
        match &layer.output {
            LayerOutput::Codes { requantizers, min, max } => {
                let zero_point = self.output_encoding()?.zero_point;
                let codes = accumulators.iter().enumerate().map(|(i, &accumulator)| {
                    let requantizer = requantizers[if requantizers.len() == 1 { 0 } else { channel(i) }];
                    requantizer.apply(accumulator).saturating_add(zero_point).clamp(*min, *max)
                });
                self.coded(shape, codes)
            }
            LayerOutput::Real(scales) => {
                let real = |(i, &accumulator): (usize, &i32)| {
                    accumulator as f32 * scales[if scales.len() == 1 { 0 } else { channel(i) }]
                };
                Ok(vec![Tensor::from_f32(shape, accumulators.iter().enumerate().map(real).collect())])
            }
        }
    }

    fn mean(&self, window: &MeanWindow, rule: &MeanRule, (min, max): (i32, i32)) -> Result<Vec<Tensor>, GraphError> {
        let &[n, c, h, w] = self.input(0)?.shape() else {
            return Err(self.invalid(format!("input has shape {:?}, expected four axes", self.input(0)?.shape())));
        };
        let codes = self.codes(0)?;
        let (axes, shape, count_include_pad) = mean_axes(&self.node.name, window, [n, c, h, w])?;
        let mut means = Vec::with_capacity(shape.iter().product());
        for plane in 0..n * c {
            for p in 0..axes[0].output {
                for q in 0..axes[1].output {
                    let mut sum = 0_i64;
                    for r in axes[0].taps(p) {
                        for s in axes[1].taps(q) {
                            let row = plane * h + axes[0].input_idx(p, r);
                            sum += i64::from(codes[row * w + axes[1].input_idx(q, s)] - rule.input.zero_point);
                        }
                    }
                    let count = mean_count(&axes, p, q, count_include_pad);
                    let too_many = || self.invalid(format!("a mean of {count} codes is out of range"));
                    let requantizer = rule.requantizer(count.max(1)).ok_or_else(too_many)?;
                    let sum = i32::try_from(sum).map_err(|_| too_many())?;
                    means.push(rule.apply(requantizer, sum).clamp(min, max));
                }
            }
        }
        self.coded(shape, means.into_iter())
    }
}

/// The windows of a mean over `[n, c, h, w]`, the shape of its output, and whether declared padding counts.
///
/// # Errors
/// [`GraphError::InvalidNode`] if a window does not fit.
pub fn mean_axes(
    node: &str,
    window: &MeanWindow,
    [n, c, h, w]: [usize; 4],
) -> Result<([WindowAxis; 2], Vec<usize>, bool), GraphError> {
    let axes = |found: Vec<WindowAxis>| [found[0], found[1]];
    match window {
        MeanWindow::Window { window, count_include_pad } => {
            let op =
                Op::AveragePool(ops::AveragePool { window: window.clone(), count_include_pad: *count_include_pad });
            let axes = axes(window_axes(&op, node, window, &[h, w])?);
            Ok((axes, vec![n, c, axes[0].output, axes[1].output], *count_include_pad))
        }
        MeanWindow::Global { keep_dims } => {
            let shape = if *keep_dims { vec![n, c, 1, 1] } else { vec![n, c] };
            Ok(([WindowAxis::whole(h), WindowAxis::whole(w)], shape, false))
        }
    }
}

/// The divisor of the mean at window `(p, q)`.
pub fn mean_count(axes: &[WindowAxis; 2], p: usize, q: usize, count_include_pad: bool) -> usize {
    let count = |axis: &WindowAxis, at: usize| {
        if count_include_pad { axis.n_padded_taps(at) } else { axis.taps(at).len() }
    };
    count(&axes[0], p) * count(&axes[1], q)
}

/// Accumulators `[n, k]` of a dense layer; `codes` have the zero point taken off.
fn dense(layer: &AffineLayer, codes: &[i32]) -> Vec<i32> {
    let c = layer.weight_shape[1];
    let mut accumulators = Vec::new();
    for row in codes.chunks(c) {
        for (weights, bias) in layer.weight.chunks(c).zip(&layer.bias) {
            let products = row.iter().zip(weights).map(|(x, &w)| x * i32::from(w));
            accumulators.push(bias + products.sum::<i32>());
        }
    }
    accumulators
}

/// Accumulators `[n, k, p, q]` of a convolution; `codes` have the zero point taken off, and padding adds nothing.
fn convolution(layer: &AffineLayer, codes: &[i32], n: usize, axes: &[WindowAxis]) -> Vec<i32> {
    let (rows, cols) = (&axes[0], &axes[1]);
    let [k, c, r_extent, s_extent] = layer.weight_shape;
    let channels = c * layer.groups;
    let mut accumulators = Vec::with_capacity(n * k * rows.output * cols.output);
    for image in 0..n {
        for k_idx in 0..k {
            let first = image * channels + k_idx / (k / layer.groups) * c;
            for p in 0..rows.output {
                for q in 0..cols.output {
                    let mut sum = layer.bias[k_idx];
                    for c_idx in 0..c {
                        for r in rows.taps(p) {
                            for s in cols.taps(q) {
                                let row = (first + c_idx) * rows.input + rows.input_idx(p, r);
                                let x = codes[row * cols.input + cols.input_idx(q, s)];
                                let w = layer.weight[((k_idx * c + c_idx) * r_extent + r) * s_extent + s];
                                sum += x * i32::from(w);
                            }
                        }
                    }
                    accumulators.push(sum);
                }
            }
        }
    }
    accumulators
}
