//! From a graph to steps.

use std::collections::{BTreeMap, BTreeSet};

use skimp_cpu::nhwc::ConvShape;
use skimp_graph::ops;
use skimp_graph::rewrite::{self, Editor};
use skimp_graph::shape::{self, Shapes};
use skimp_graph::spiking::{InputCoding, Temporal};
use skimp_graph::{DType, Dim, Gemm, Graph, Node, Op, Tensor, ValueId};

use super::step::{GradMode, Place, Planned, Port, Step};
use super::steps::activation::Activation;
use super::steps::arithmetic::Binary;
use super::steps::codes::Codes;
use super::steps::dropout::Dropout;
use super::steps::gather::Gather;
use super::steps::join::JoinSteps;
use super::steps::linear::Linear;
use super::steps::naive::{Naive, Source};
use super::steps::neuron::Spiking;
use super::steps::norm::Norm;
use super::steps::pool::{Pool, two};
use super::tensors::{TensorId, TensorSpec};
use super::{Buffer, ModelOptions, Param, ParamRole, Storage, fuse};
use crate::TrainError;
use crate::policy::{Site, SiteKind};
use crate::quantizer::{ActivationStep, output_channels};
use crate::reference::has_gradient;

/// A compiled network, without memory for its tensors.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The graph with folded constants, for export.
    pub(super) graph: Graph,
    pub(super) steps: Vec<Planned>,
    pub(super) specs: Vec<TensorSpec>,
    pub(super) params: Vec<Param>,
    pub(super) buffers: Vec<Buffer>,
    /// The graph's constants behind parameters and buffers; none behind a step between codes.
    pub(super) param_values: Vec<Option<ValueId>>,
    pub(super) buffer_values: Vec<ValueId>,
    pub(super) input: TensorId,
    pub(super) logits: TensorId,
}

/// Compiles; see [`Model::new`](super::Model::new).
pub(super) fn compile(graph: &Graph, options: &ModelOptions) -> Result<Compiled, TrainError> {
    check_options(options)?;
    let graph = rewrite::fold_constants(graph);
    let (free, input_shape) = with_free_batch(&graph, options)?;
    let shapes = per_image_shapes(&free, &input_shape)?;
    let mut compiler = Compiler::new(&free, &shapes, options)?;
    for idx in 0..free.nodes().len() {
        compiler.node(idx)?;
    }
    let output = compiler.logits_value;
    let logits = compiler.tensors[output.0].ok_or_else(|| network_error(&free, "the output is a constant"))?;
    let logits = compiler.joined(output, logits)?;
    let input = compiler.tensors[free.inputs()[0].value.0];
    let input = input.ok_or_else(|| network_error(&free, "the input is a constant"))?;
    compiler.mark_first_and_last(input);
    let Compiler { steps, specs, params, buffers, param_values, buffer_values, .. } = compiler;
    Ok(Compiled { steps, specs, params, buffers, param_values, buffer_values, input, logits, graph })
}

fn check_options(options: &ModelOptions) -> Result<(), TrainError> {
    let bad = |name: &str, expected: &str, found: String| TrainError::Option {
        name: name.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    if options.batch == 0 {
        return Err(bad("batch", "at least 1", "0".to_owned()));
    }
    let momentum = options.batch_norm_momentum;
    if !(0.0..=1.0).contains(&momentum) {
        return Err(bad("batch-norm momentum", "a number in [0, 1]", momentum.to_string()));
    }
    Ok(())
}

fn network_error(graph: &Graph, cause: impl Into<String>) -> TrainError {
    TrainError::Network { network: graph.name().to_owned(), cause: cause.into() }
}

/// The graph with an open batch axis, and the extents of its input for a batch of one.
fn with_free_batch(graph: &Graph, options: &ModelOptions) -> Result<(Graph, Vec<usize>), TrainError> {
    let [input] = graph.inputs() else {
        return Err(network_error(graph, format!("{} inputs, expected one", graph.inputs().len())));
    };
    if input.dtype != DType::F32 {
        return Err(network_error(graph, format!("input of type {}, expected f32", input.dtype)));
    }
    let Some((_, rest)) = input.dims.split_first() else {
        return Err(network_error(graph, "the input is a scalar, expected a batch axis"));
    };
    let given = options.input_size.as_deref();
    if given.is_some_and(|given| given.len() != rest.len()) {
        return Err(network_error(graph, format!("an input size of {given:?}, expected {} extents", rest.len())));
    }
    let mut shape = vec![1];
    for (axis, dim) in rest.iter().enumerate() {
        let extent = match (dim, given.map(|given| given[axis])) {
            (Dim::Fixed(n), Some(given)) if *n != given => {
                return Err(network_error(graph, format!("axis {} has {n} elements, given are {given}", axis + 1)));
            }
            (Dim::Fixed(n), _) => *n,
            (Dim::Free(_), Some(given)) => given,
            (Dim::Free(_), None) => {
                return Err(network_error(
                    graph,
                    format!("axis {} of the input is open: give an input size", axis + 1),
                ));
            }
        };
        shape.push(extent);
    }
    let batch = std::iter::once(Dim::Free("N".to_owned()));
    let any_batch = rewrite::free_batch(graph);
    let mut editor = Editor::new(any_batch.as_ref().unwrap_or(graph));
    editor.set_input_dims(0, batch.chain(shape[1..].iter().map(|&extent| Dim::Fixed(extent))).collect())?;
    Ok((editor.finish()?, shape))
}

/// Shapes for a batch of two, after checking that every computed value has the batch as its first axis.
fn per_image_shapes(graph: &Graph, input: &[usize]) -> Result<Shapes, TrainError> {
    let of = |n: usize| {
        let shape = std::iter::once(n).chain(input[1..].iter().copied()).collect();
        shape::infer(graph, &[shape])
    };
    let (two, three) = (of(2)?, of(3)?);
    for node in graph.nodes() {
        for &output in &node.outputs {
            let error = |cause: String| TrainError::Untrainable {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                cause,
            };
            let (a, b) = (two.shape(output), three.shape(output));
            if a.first() != Some(&2) || b.first() != Some(&3) || a[1..] != b[1..] {
                return Err(error("its output does not have the batch as its first axis".to_owned()));
            }
            if let Some(found) = two.get(output).filter(|t| t.dtype != DType::F32) {
                return Err(error(format!("its output is of type {}, expected f32", found.dtype)));
            }
        }
    }
    Ok(two)
}

struct Compiler<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    options: &'a ModelOptions,
    fusions: fuse::Fusions,
    /// The value that losses take for the logits.
    logits_value: ValueId,
    /// A final softmax that nobody needs, which is left out.
    left_out: Option<usize>,
    kept: Vec<bool>,
    /// For each value of the graph, its tensor.
    tensors: Vec<Option<TensorId>>,
    specs: Vec<TensorSpec>,
    steps: Vec<Planned>,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    param_values: Vec<Option<ValueId>>,
    buffer_values: Vec<ValueId>,
    param_of: BTreeMap<ValueId, usize>,
    buffer_of: BTreeMap<ValueId, usize>,
    /// How the network runs over time, if it does.
    temporal: Option<Temporal>,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes, options: &'a ModelOptions) -> Result<Self, TrainError> {
        let mut kept = vec![false; graph.values().len()];
        for name in &options.keep {
            let found = graph.values().iter().position(|v| v.name == *name && v.constant.is_none());
            let idx = found.ok_or_else(|| TrainError::Option {
                name: "keep".to_owned(),
                expected: "names of values that the network computes".to_owned(),
                found: format!("\"{name}\""),
            })?;
            kept[idx] = true;
        }
        let output = answers(graph, options)?;
        let softmax = final_softmax(graph, shapes, output);
        let is_needed = kept[output.0] || graph.outputs().len() > 1 || !graph.consumers()[output.0].is_empty();
        let left_out = softmax.filter(|_| !is_needed);
        let logits_value = softmax.and_then(|idx| graph.nodes()[idx].inputs[0]).unwrap_or(output);
        for &output in graph.outputs() {
            kept[output.0] = true;
        }
        kept[logits_value.0] = true;
        let fusions = fuse::find(graph, shapes, &kept);
        let input = graph.inputs()[0].value;
        kept[input.0] = true;
        let mut compiler = Self {
            graph,
            shapes,
            options,
            fusions,
            logits_value,
            left_out,
            kept,
            tensors: vec![None; graph.values().len()],
            specs: Vec::new(),
            steps: Vec::new(),
            params: Vec::new(),
            buffers: Vec::new(),
            param_values: Vec::new(),
            buffer_values: Vec::new(),
            param_of: BTreeMap::new(),
            buffer_of: BTreeMap::new(),
            temporal: temporal(graph)?,
        };
        compiler.tensor(input, false);
        Ok(compiler)
    }

    fn error(&self, node: &Node, cause: impl Into<String>) -> TrainError {
        TrainError::Untrainable { node: node.name.clone(), op: node.op.name().to_owned(), cause: cause.into() }
    }

    fn node(&mut self, idx: usize) -> Result<(), TrainError> {
        let graph = self.graph;
        let node = &graph.nodes()[idx];
        if self.left_out == Some(idx) {
            return Ok(());
        }
        if let Some(fusion) = self.fusions.ending_at(idx).cloned() {
            return self.norm(idx, &fusion);
        }
        if self.fusions.is_absorbed(idx) {
            return Ok(());
        }
        if let Op::Neuron(neuron) = node.op {
            return self.neuron(idx, neuron);
        }
        let dynamic: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let all_dynamic = dynamic.iter().all(|id| self.tensors[id.0].is_some());
        if all_dynamic {
            let inputs: Vec<&TensorSpec> =
                dynamic.iter().filter_map(|id| self.tensors[id.0].map(|t| &self.specs[t.0])).collect();
            if let (Some(codes), [_]) = (self.options.codes.get(&node.name), inputs.as_slice()) {
                let param = self.step_param(idx, &[codes.first()]);
                // Ranges that are measured no optimizer moves.
                self.params[param].set_trainable(!matches!(codes.step, ActivationStep::Range { .. }));
                return self.push(
                    idx,
                    SiteKind::Elementwise,
                    &dynamic,
                    vec![param],
                    Box::new(Codes::new(*codes, param)),
                );
            }
            let same_shape = inputs.iter().all(|spec| spec.dims == inputs[0].dims);
            if let Some(activation) = Activation::of(&node.op, self.options.sign) {
                return self.push(idx, SiteKind::Elementwise, &dynamic, Vec::new(), Box::new(activation));
            }
            if let Some(binary) = Binary::of(&node.op).filter(|_| same_shape) {
                return self.push(idx, SiteKind::Elementwise, &dynamic, Vec::new(), Box::new(binary));
            }
            if let Op::Dropout(ops::Dropout { ratio }) = node.op {
                let dropout = Dropout::new(ratio, &node.name);
                return self.push(idx, SiteKind::Elementwise, &dynamic, Vec::new(), Box::new(dropout));
            }
            if let Some(pool) = Pool::new(&node.op, &node.name, inputs[0], self.options.batch * inputs[0].n_steps) {
                return self.push(idx, SiteKind::Elementwise, &dynamic, Vec::new(), Box::new(pool));
            }
            let outputs: Vec<TensorSpec> = node.outputs.iter().map(|&id| self.spec(id, false)).collect();
            if let Some(gather) = Gather::new(&node.op, &node.name, &inputs, &outputs.iter().collect::<Vec<_>>())? {
                return self.push(idx, SiteKind::Elementwise, &dynamic, Vec::new(), Box::new(gather));
            }
        }
        if let Some(shape) = self.linear_shape(node) {
            return self.linear(idx, shape);
        }
        self.naive(idx)
    }

    /// The shape of a convolution or dense layer that the fast kernels compute, for a batch of one.
    fn linear_shape(&self, node: &Node) -> Option<ConvShape> {
        let input = node.inputs[0].and_then(|id| self.tensors[id.0]).map(|id| &self.specs[id.0].dims)?;
        let constant = |position: usize| node.inputs.get(position).copied().flatten().map(|id| self.graph.constant(id));
        let weight = constant(1)??.shape();
        // An optional bias is a constant too, one number per output.
        let bias = match constant(2) {
            None => None,
            Some(bias) => Some(bias?.len()),
        };
        let shape = match (&node.op, input.as_slice(), weight) {
            (Op::Conv(ops::Conv { window, groups }), &[c, ref extents @ ..], &[k, _, ref kernel @ ..]) => {
                let axes = shape::window_axes(&node.op, &node.name, window, extents).ok()?;
                let [h, w] = two(extents, 1)?;
                let [kh, kw] = two(kernel, 1)?;
                let of = |f: fn(&shape::WindowAxis) -> usize, one| two(&axes.iter().map(f).collect::<Vec<_>>(), one);
                let strides = of(|axis| axis.stride, 1)?;
                let dilations = of(|axis| axis.dilation, 1)?;
                let pads_begin = of(|axis| axis.pad_begin, 0)?;
                let pads_end = of(|axis| axis.pad_end, 0)?;
                let groups = *groups;
                ConvShape { n: 1, h, w, c, k, kh, kw, strides, dilations, pads_begin, pads_end, groups }
            }
            (Op::Gemm(gemm), &[_], &[a, b]) if is_plain(gemm) => {
                let (inputs, outputs) = if gemm.trans_b { (b, a) } else { (a, b) };
                ConvShape::dense(1, inputs, outputs)
            }
            (Op::MatMul, &[_], &[inputs, outputs]) => ConvShape::dense(1, inputs, outputs),
            _ => return None,
        };
        (shape.check().is_ok() && bias.is_none_or(|len| len == shape.k)).then_some(shape)
    }

    /// A convolution or dense layer.
    fn linear(&mut self, idx: usize, shape: ConvShape) -> Result<(), TrainError> {
        let node = &self.graph.nodes()[idx];
        let kind = if matches!(node.op, Op::Conv(_)) { SiteKind::Conv } else { SiteKind::Dense };
        let mut params = Vec::new();
        for position in 1..node.inputs.len() {
            if let (Some(id), Some((role, storage))) = (node.inputs[position], self.role(node, position)) {
                params.push(self.param(idx, id, role, storage)?);
            }
        }
        let mut linear = Linear::new(shape, params[0], params.get(1).copied(), self.options.zero_errors);
        if let Some(&form) = self.options.weights.get(&node.name) {
            let weight = &self.params[params[0]];
            let steps = form.learns_step().then(|| form.first_steps(weight.values(), output_channels(weight)));
            let steps = steps.map(|steps| self.step_param(idx, &steps));
            params.extend(steps);
            linear.quantize(form, steps);
            if let Some(&noise) = self.options.noise.get(&node.name) {
                if !matches!(form, crate::quantizer::WeightForm::Sign { .. }) {
                    return Err(self.error(node, "noise of cells needs weights of ±1 (a binary quantizer)"));
                }
                linear.add_noise(noise, &node.name);
            }
        }
        let x: Vec<ValueId> = node.inputs[0].into_iter().collect();
        self.push(idx, kind, &x, params, Box::new(linear))
    }

    /// Any operator on the reference.
    fn naive(&mut self, idx: usize) -> Result<(), TrainError> {
        let node = &self.graph.nodes()[idx];
        let mut ports = Vec::new();
        let mut params = Vec::new();
        let mut sources = Vec::new();
        for position in 0..node.inputs.len() {
            let source = match node.inputs[position] {
                None => None,
                Some(id) if self.tensors[id.0].is_some() => {
                    ports.push(id);
                    Some(Source::Port(ports.len() - 1))
                }
                Some(id) => Some(match self.role(node, position) {
                    Some((role, storage)) => {
                        let param = self.param(idx, id, role, storage)?;
                        params.push(param);
                        Source::Param(param)
                    }
                    None => Source::Constant(self.constant(node, id)?.clone()),
                }),
            };
            sources.push(source);
        }
        if self.options.weights.contains_key(&node.name) {
            return Err(self.error(node, "its weight cannot be quantized in this form"));
        }
        let kind = match node.op {
            Op::Conv(_) => SiteKind::Conv,
            Op::Gemm(_) | Op::MatMul => SiteKind::Dense,
            Op::BatchNormalization(_) => return Err(self.error(node, "its parameters are not constants")),
            ref op if has_gradient(op) => SiteKind::Elementwise,
            _ => return Err(self.error(node, "the operator has no gradient")),
        };
        let naive = Naive { op: node.op.clone(), sources, sign: self.options.sign };
        self.push(idx, kind, &ports, params, Box::new(naive))
    }

    /// A spiking neuron, behind which tensors have time.
    fn neuron(&mut self, idx: usize, neuron: ops::Neuron) -> Result<(), TrainError> {
        let node = &self.graph.nodes()[idx];
        let x: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        if x.len() != 1 || node.inputs.first().copied().flatten() != x.first().copied() || node.outputs.len() != 1 {
            return Err(
                self.error(node, "its thresholds, leaks or states are tensors, where training takes attributes")
            );
        }
        let n_steps = self.temporal.map_or(1, |temporal| temporal.steps);
        let spiking = Spiking::new(neuron, self.options.sign, self.options.detaches_reset, n_steps);
        let spiking = spiking.map_err(|cause| self.error(node, cause))?;
        self.push(idx, SiteKind::Elementwise, &x, Vec::new(), Box::new(spiking))?;
        if let Some(Planned { place, .. }) = self.steps.last_mut() {
            place.n_steps = n_steps;
            for output in &place.outputs {
                self.specs[output.0].n_steps = n_steps;
            }
        }
        Ok(())
    }

    /// The answers of all time steps as one.
    fn joined(&mut self, value: ValueId, logits: TensorId) -> Result<TensorId, TrainError> {
        let Some(temporal) = self.temporal.filter(|temporal| temporal.steps > 1) else { return Ok(logits) };
        let spec = &self.specs[logits.0];
        if spec.n_steps == 1 {
            return Err(network_error(self.graph, "it runs over time, but no neuron lies before its answers"));
        }
        let step = JoinSteps::new(temporal.join, temporal.steps).map_err(|cause| network_error(self.graph, cause))?;
        let name = format!("{}.{}", self.graph.value(value).name, temporal.join.name());
        let joined = TensorSpec { name: name.clone(), n_steps: 1, kept: true, ..spec.clone() };
        let id = TensorId(self.specs.len());
        self.specs.push(joined);
        let layer = self.graph.producers()[value.0].unwrap_or_default();
        let site = Site { layer, name, kind: SiteKind::Elementwise, is_first: false, is_last: false };
        let inputs = vec![Port { id: logits, grad: GradMode::None }];
        let place = Place { site, inputs, outputs: vec![id], params: Vec::new(), n_steps: 1 };
        self.steps.push(Planned { place, step: Box::new(step) });
        Ok(id)
    }

    /// What a constant input is in training; `None` for one that stays as it is.
    ///
    /// A constant of an elementwise operator is a parameter if it is more than one number and something trainable lies
    /// before the operator; otherwise it belongs to a formula or to the preprocessing of images.
    fn role(&self, node: &Node, position: usize) -> Option<(ParamRole, Storage)> {
        let trained = || {
            let others = node.inputs.iter().flatten().filter_map(|id| self.tensors[id.0]);
            let is_tensor = node.inputs[position].and_then(|id| self.graph.constant(id)).is_some_and(|t| t.len() > 1);
            is_tensor && others.into_iter().any(|t| self.specs[t.0].needs_grad)
        };
        match (&node.op, position) {
            (Op::Conv(_), 1) => Some((ParamRole::Weight, Storage::Conv)),
            (Op::Gemm(gemm), 1) => {
                Some((ParamRole::Weight, if gemm.trans_b { Storage::Transposed } else { Storage::Graph }))
            }
            (Op::Conv(_) | Op::Gemm(_), 2) => Some((ParamRole::Bias, Storage::Graph)),
            (Op::MatMul, _) => Some((ParamRole::Weight, Storage::Graph)),
            (Op::PRelu, 1) => Some((ParamRole::Slope, Storage::Graph)),
            (Op::Add | Op::Sub, _) if trained() => Some((ParamRole::Bias, Storage::Graph)),
            (Op::Mul | Op::Div, _) if trained() => Some((ParamRole::Scale, Storage::Graph)),
            _ => None,
        }
    }

    /// A batch normalization with what is fused behind it.
    fn norm(&mut self, idx: usize, fusion: &fuse::Fusion) -> Result<(), TrainError> {
        let graph = self.graph;
        let node = &graph.nodes()[fusion.norm];
        let Op::BatchNormalization(ops::BatchNormalization { epsilon }) = node.op else {
            return Err(self.error(node, "expected a batch normalization"));
        };
        let ids: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let &[x, scale, shift, mean, variance] = ids.as_slice() else {
            return Err(self.error(node, format!("{} inputs, expected 5", ids.len())));
        };
        let scale = self.param(fusion.norm, scale, ParamRole::Scale, Storage::Graph)?;
        let shift = self.param(fusion.norm, shift, ParamRole::Shift, Storage::Graph)?;
        let (mean, variance) = (self.buffer(node, mean)?, self.buffer(node, variance)?);
        let channels = self.params[scale].len();
        let numbers = (epsilon, self.options.batch_norm_momentum);
        let norm = Norm::new([scale, shift], [mean, variance], numbers, fusion.relu, channels);
        let ports: Vec<ValueId> = std::iter::once(x).chain(fusion.residual).collect();
        self.push_as(idx, fusion.norm, SiteKind::BatchNorm, &ports, vec![scale, shift], Box::new(norm))
    }

    /// Adds the step of node `idx`.
    fn push(
        &mut self,
        idx: usize,
        kind: SiteKind,
        inputs: &[ValueId],
        params: Vec<usize>,
        step: Box<dyn Step>,
    ) -> Result<(), TrainError> {
        self.push_as(idx, idx, kind, inputs, params, step)
    }

    /// Adds a step that makes the outputs of node `idx` under the name of node `named`.
    fn push_as(
        &mut self,
        idx: usize,
        named: usize,
        kind: SiteKind,
        inputs: &[ValueId],
        params: Vec<usize>,
        step: Box<dyn Step>,
    ) -> Result<(), TrainError> {
        let graph = self.graph;
        let node = &graph.nodes()[idx];
        let mut ports = Vec::with_capacity(inputs.len());
        for id in inputs {
            let id = self.tensors[id.0].ok_or_else(|| self.error(node, "an input is a constant"))?;
            ports.push(Port { id, grad: GradMode::None });
        }
        let needs_grad = !params.is_empty() || ports.iter().any(|port| self.specs[port.id.0].needs_grad);
        let n_steps = ports.first().map_or(1, |port| self.specs[port.id.0].n_steps);
        if ports.iter().any(|port| self.specs[port.id.0].n_steps != n_steps) {
            return Err(
                self.error(node, "one of its inputs comes from before all neurons, another one from behind some")
            );
        }
        let outputs: Vec<TensorId> = node.outputs.iter().map(|&id| self.tensor(id, needs_grad)).collect();
        for output in &outputs {
            self.specs[output.0].n_steps = n_steps;
        }
        let name = graph.nodes()[named].name.clone();
        let site = Site { layer: named, name, kind, is_first: false, is_last: false };
        self.steps.push(Planned { place: Place { site, inputs: ports, outputs, params, n_steps }, step });
        Ok(())
    }

    fn spec(&self, id: ValueId, needs_grad: bool) -> TensorSpec {
        TensorSpec {
            name: self.graph.value(id).name.clone(),
            dims: self.shapes.shape(id).get(1..).unwrap_or_default().to_vec(),
            n_steps: 1,
            needs_grad,
            kept: self.kept[id.0],
        }
    }

    fn tensor(&mut self, id: ValueId, needs_grad: bool) -> TensorId {
        let tensor = TensorId(self.specs.len());
        self.specs.push(self.spec(id, needs_grad));
        self.tensors[id.0] = Some(tensor);
        tensor
    }

    fn constant(&self, node: &Node, id: ValueId) -> Result<&'a Tensor, TrainError> {
        self.graph.constant(id).ok_or_else(|| self.error(node, "an input is neither a constant nor computed"))
    }

    fn f32_constant(&self, node: &Node, id: ValueId) -> Result<(&'a Tensor, &'a [f32]), TrainError> {
        let tensor = self.constant(node, id)?;
        let elements = tensor.as_f32().ok_or_else(|| {
            self.error(node, format!("\"{}\" is of type {}, expected f32", self.graph.value(id).name, tensor.dtype()))
        })?;
        Ok((tensor, elements))
    }

    /// The parameter of a constant, made on first use.
    fn param(&mut self, idx: usize, id: ValueId, role: ParamRole, storage: Storage) -> Result<usize, TrainError> {
        let node = &self.graph.nodes()[idx];
        let name = &self.graph.value(id).name;
        if let Some(&param) = self.param_of.get(&id) {
            if self.params[param].storage() != storage {
                return Err(self.error(node, format!("it shares \"{name}\" with a layer of another kind")));
            }
            return Ok(param);
        }
        let (tensor, elements) = self.f32_constant(node, id)?;
        let param = Param::new(name, role, tensor.shape().to_vec(), storage, elements, idx);
        self.param_of.insert(id, self.params.len());
        self.param_values.push(Some(id));
        self.params.push(param);
        Ok(self.params.len() - 1)
    }

    /// A parameter that the graph does not have: steps between codes.
    fn step_param(&mut self, idx: usize, values: &[f32]) -> usize {
        let name = format!("{}.step", self.graph.nodes()[idx].name);
        self.params.push(Param::new(name, ParamRole::Step, vec![values.len()], Storage::Graph, values, idx));
        self.param_values.push(None);
        self.params.len() - 1
    }

    /// The buffer of a constant, made on first use.
    fn buffer(&mut self, node: &Node, id: ValueId) -> Result<usize, TrainError> {
        if let Some(&buffer) = self.buffer_of.get(&id) {
            return Ok(buffer);
        }
        let (_, elements) = self.f32_constant(node, id)?;
        self.buffers.push(Buffer { name: self.graph.value(id).name.clone(), values: elements.to_vec() });
        self.buffer_of.insert(id, self.buffers.len() - 1);
        self.buffer_values.push(id);
        Ok(self.buffers.len() - 1)
    }

    /// Marks the GEMMs that read the images of `input`, moved or not; where none does, the first one.
    fn mark_first_and_last(&mut self, input: TensorId) {
        let is_gemm = |planned: &Planned| matches!(planned.place.site.kind, SiteKind::Conv | SiteKind::Dense);
        let mut images = BTreeSet::from([input]);
        let mut readers = Vec::new();
        for (idx, planned) in self.steps.iter().enumerate() {
            if !planned.place.inputs.iter().all(|port| images.contains(&port.id)) {
                continue;
            }
            if is_gemm(planned) {
                readers.push(idx);
            } else if planned.step.moves_only() {
                images.extend(&planned.place.outputs);
            }
        }
        if readers.is_empty() {
            readers.extend(self.steps.iter().position(is_gemm));
        }
        for idx in readers {
            self.steps[idx].place.site.is_first = true;
        }
        if let Some(last) = self.steps.iter_mut().rev().find(|planned| is_gemm(planned)) {
            last.place.site.is_last = true;
        }
    }
}

/// How a network runs over time: with the same input in each step.
fn temporal(graph: &Graph) -> Result<Option<Temporal>, TrainError> {
    let temporal = Temporal::of(graph)?;
    match temporal.map(|temporal| temporal.input) {
        Some(InputCoding::Bernoulli) => {
            Err(network_error(graph, "its input is random spikes; training takes direct input, the same in each step"))
        }
        Some(InputCoding::Direct) | None => Ok(temporal),
    }
}

/// Whether a Gemm is `x · b + c`, with or without a transposed `b`.
fn is_plain(gemm: &Gemm) -> bool {
    gemm.alpha.to_bits() == 1.0_f32.to_bits() && gemm.beta.to_bits() == 1.0_f32.to_bits() && !gemm.trans_a
}

/// The output that holds the answers.
fn answers(graph: &Graph, options: &ModelOptions) -> Result<ValueId, TrainError> {
    let outputs = graph.outputs();
    let Some(wanted) = &options.output else {
        return outputs.first().copied().ok_or_else(|| network_error(graph, "there is no output"));
    };
    let names: Vec<&str> = outputs.iter().map(|&id| graph.value(id).name.as_str()).collect();
    match names.iter().position(|name| name == wanted) {
        Some(idx) => Ok(outputs[idx]),
        None => Err(TrainError::Option {
            name: "output".to_owned(),
            expected: format!("one of: {}", names.join(", ")),
            found: format!("\"{wanted}\""),
        }),
    }
}

/// The node of a softmax over the classes that makes `output`.
fn final_softmax(graph: &Graph, shapes: &Shapes, output: ValueId) -> Option<usize> {
    let idx = graph.producers()[output.0]?;
    let node = &graph.nodes()[idx];
    let Op::Softmax(ops::Softmax { axis }) = node.op else { return None };
    let is_matrix = shapes.shape(output).len() == 2 && (axis == 1 || axis == -1);
    let is_logits = node.inputs[0].is_some_and(|id| graph.constant(id).is_none());
    (is_matrix && is_logits).then_some(idx)
}
