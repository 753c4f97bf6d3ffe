//! From a NIR file to a graph.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skimp_graph::ops::{AveragePool, Cast, Conv, Gemm, Neuron, Reset, ResetTime};
use skimp_graph::shape::{TensorType, output_shapes};
use skimp_graph::spiking::{InputCoding, Join, Temporal};
use skimp_graph::{DType, Dim, Graph, GraphBuilder, Op, Tensor, ValueId, Window, ops};

use crate::file::{Group, Values};
use crate::units::Parameter;
use crate::{NirError, file};

/// What a NIR file does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Length of a time step in the unit of the file's time constants (seconds).
    pub dt: f64,
    /// What a spike does to the potential; [`Reset::Zero`] puts it to `v_reset`, as NIR's equations do.
    pub reset: Reset,
    /// When it does that.
    pub reset_time: ResetTime,
    /// Whether a potential must be above the threshold, as NIR's equations say.
    pub is_strict: bool,
    /// Time steps.
    pub steps: usize,
    /// How outputs are joined; `None` for the number of spikes, or the mean of what does not spike.
    pub join: Option<Join>,
}

/// A graph of one time step, with its [`Temporal`] in the metadata, out of the bytes of a NIR file, which errors call `file`.
///
/// Equations become steps of Euler's method: `v += dt / tau · (v_leak − v + r · I)`. Integers, single numbers and arrays mean
/// the same; where an array has different numbers, neurons get thresholds and leaks of their own.
///
/// # Errors
/// [`NirError`] naming the file, the node and what is wrong or missing.
pub fn read(bytes: Vec<u8>, file: &str, reading: &Reading) -> Result<Graph, NirError> {
    let invalid = |cause: &str| NirError::InvalidFile { file: file.to_owned(), cause: cause.to_owned() };
    if !(reading.dt.is_finite() && reading.dt > 0.0) {
        return Err(invalid(&format!("a time step of {} s, expected one above 0", reading.dt)));
    }
    let mut temporal = Temporal::new(reading.steps).map_err(|cause| invalid(&cause))?;
    let root = file::read(bytes, file)?;
    let node = root.groups.get("node").ok_or_else(|| invalid("holds no group \"node\": not a NIR file"))?;
    let mut flat = Flat::default();
    flat.add(node, "", file)?;
    let order = flat.order(file)?;
    let mut work = Work {
        reading,
        builder: GraphBuilder::new("nir"),
        values: HashMap::new(),
        shapes: HashMap::new(),
        spikes: HashMap::new(),
        has_output: false,
        all_spike: true,
    };
    for name in &order {
        let kind = flat.kind(name);
        let node = Node { name, kind, group: &flat.nodes[name], file, is_inner: flat.inner.contains(name) };
        work.node(&node, flat.sources.get(name).map_or(&[], Vec::as_slice))?;
    }
    if !work.has_output {
        return Err(invalid("its graph has no Output node"));
    }
    temporal.join = reading.join.unwrap_or(if work.all_spike { Join::Sum } else { Join::Mean });
    temporal.input = InputCoding::Direct;
    Ok(temporal.on(work.builder.build()?))
}

/// A graph without graphs in it.
#[derive(Default)]
struct Flat {
    nodes: BTreeMap<String, Group>,
    /// For each node, those that it takes.
    sources: BTreeMap<String, Vec<String>>,
    /// Nodes of graphs inside.
    inner: BTreeSet<String>,
}

impl Flat {
    fn kind(&self, name: &str) -> &str {
        self.nodes.get(name).and_then(|node| node.text("type")).unwrap_or_default()
    }

    /// Adds what a graph holds, its names behind `prefix`; returns its only output and its only input, if there is one.
    fn add(&mut self, graph: &Group, prefix: &str, file: &str) -> Result<[Option<String>; 2], NirError> {
        let invalid = |cause: String| NirError::InvalidFile { file: file.to_owned(), cause };
        if graph.text("type") != Some("NIRGraph") {
            let found = graph.text("type").unwrap_or("none");
            return Err(invalid(format!("its outermost node is of type {found}, expected NIRGraph")));
        }
        let nodes = graph.groups.get("nodes").ok_or_else(|| invalid("a graph without \"nodes\"".to_owned()))?;
        // What an edge from and to a node means.
        let mut ends: BTreeMap<&str, [String; 2]> = BTreeMap::new();
        let mut own: [Vec<String>; 2] = [Vec::new(), Vec::new()];
        for (name, node) in &nodes.groups {
            let full = format!("{prefix}{name}");
            if node.text("type") == Some("NIRGraph") {
                let [output, input] = self.add(node, &format!("{full}."), file)?;
                let of = |end: Option<String>, kind: &str| {
                    end.ok_or_else(|| invalid(format!("the graph \"{full}\" inside does not have one {kind} node")))
                };
                ends.insert(name, [of(output, "Output")?, of(input, "Input")?]);
                continue;
            }
            match node.text("type") {
                Some("Output") => own[0].push(full.clone()),
                Some("Input") => own[1].push(full.clone()),
                _ => {}
            }
            if !prefix.is_empty() {
                self.inner.insert(full.clone());
            }
            ends.insert(name, [full.clone(), full.clone()]);
            self.nodes.insert(full, node.clone());
        }
        for pair in edges(graph).map_err(invalid)? {
            let end = |idx: usize| {
                let found = ends.get(pair[idx].as_str()).map(|ends| ends[idx].clone());
                found.ok_or_else(|| invalid(format!("an edge names \"{}\", which is no node", pair[idx])))
            };
            let (from, to) = (end(0)?, end(1)?);
            self.sources.entry(to).or_default().push(from);
        }
        let only = |mut all: Vec<String>| if all.len() == 1 { all.pop() } else { None };
        Ok(own.map(only))
    }

    /// The nodes, each behind those that it takes.
    fn order(&self, file: &str) -> Result<Vec<String>, NirError> {
        let mut order: Vec<String> = Vec::with_capacity(self.nodes.len());
        let mut is_done: HashMap<&str, bool> = HashMap::new();
        for name in self.nodes.keys() {
            let mut stack: Vec<(&str, usize)> = vec![(name, 0)];
            while let Some((node, next)) = stack.pop() {
                match is_done.get(node) {
                    Some(true) => continue,
                    None => {
                        is_done.insert(node, false);
                    }
                    Some(false) if next == 0 => {
                        let (node, kind) = (node.to_owned(), self.kind(node).to_owned());
                        let cause = "takes its own output (a recurrent connection), which is not supported".to_owned();
                        return Err(NirError::Node { file: file.to_owned(), node, kind, cause });
                    }
                    Some(false) => {}
                }
                match self.sources.get(node).and_then(|sources| sources.get(next)) {
                    Some(source) => {
                        stack.push((node, next + 1));
                        stack.push((source, 0));
                    }
                    None => {
                        is_done.insert(node, true);
                        order.push(node.to_owned());
                    }
                }
            }
        }
        Ok(order)
    }
}

fn edges(graph: &Group) -> Result<Vec<[String; 2]>, String> {
    let Some(field) = graph.fields.get("edges") else { return Ok(Vec::new()) };
    match (&field.values, field.shape.as_slice()) {
        (Values::Texts(texts), [_, 2]) => {
            Ok(texts.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect())
        }
        (_, shape) if shape.contains(&0) => Ok(Vec::new()),
        (_, shape) => Err(format!("\"edges\" has shape {shape:?}, expected pairs of names")),
    }
}

/// A node of the file.
struct Node<'a> {
    name: &'a str,
    kind: &'a str,
    group: &'a Group,
    file: &'a str,
    /// Whether it is of a graph inside.
    is_inner: bool,
}

impl Node<'_> {
    fn wrong(&self, cause: impl Into<String>) -> NirError {
        let (file, node, kind) = (self.file.to_owned(), self.name.to_owned(), self.kind.to_owned());
        NirError::Node { file, node, kind, cause: cause.into() }
    }

    fn optional(&self, key: &str) -> Result<Option<Parameter>, NirError> {
        let Some(field) = self.group.fields.get(key) else { return Ok(None) };
        let values = field.numbers().ok_or_else(|| self.wrong(format!("\"{key}\" is text, expected numbers")))?;
        if values.is_empty() {
            return Err(self.wrong(format!("\"{key}\" is empty")));
        }
        if let Some(nan) = values.iter().find(|value| value.is_nan()) {
            return Err(self.wrong(format!("\"{key}\" holds {nan}")));
        }
        Ok(Some(Parameter { shape: field.shape.clone(), values }))
    }

    fn parameter(&self, key: &str) -> Result<Parameter, NirError> {
        self.optional(key)?.ok_or_else(|| self.wrong(format!("\"{key}\" is missing")))
    }

    fn tensor(&self, key: &str) -> Result<Tensor, NirError> {
        let Parameter { shape, values } = self.parameter(key)?;
        Ok(Tensor::from_f32(shape, values.into_iter().map(|value| value as f32).collect()))
    }

    /// Counts: `n` of them, or one for all.
    fn counts(&self, key: &str, n: usize, default: Option<usize>) -> Result<Vec<usize>, NirError> {
        let Some(parameter) = self.optional(key)? else {
            return default.map(|value| vec![value; n]).ok_or_else(|| self.wrong(format!("\"{key}\" is missing")));
        };
        let count = |&value: &f64| (value >= 0.0 && value.fract() == 0.0 && value < 1e9).then_some(value as usize);
        let counts: Option<Vec<usize>> = parameter.values.iter().map(count).collect();
        match counts {
            Some(counts) if counts.len() == n => Ok(counts),
            Some(counts) if counts.len() == 1 => Ok(vec![counts[0]; n]),
            _ => Err(self.wrong(format!("\"{key}\" is {:?}, expected {n} counts", parameter.values))),
        }
    }

    fn count(&self, key: &str, default: usize) -> Result<usize, NirError> {
        Ok(self.counts(key, 1, Some(default))?[0])
    }
}

struct Work<'a> {
    reading: &'a Reading,
    builder: GraphBuilder,
    /// What each node makes.
    values: HashMap<String, ValueId>,
    /// Shapes for one image, the axis of images included.
    shapes: HashMap<ValueId, Vec<usize>>,
    /// Whether a value is spikes.
    spikes: HashMap<ValueId, bool>,
    has_output: bool,
    all_spike: bool,
}

impl Work<'_> {
    fn node(&mut self, node: &Node<'_>, sources: &[String]) -> Result<(), NirError> {
        if node.kind == "Input" && sources.is_empty() {
            return self.input(node);
        }
        let x = self.sum(node, sources)?;
        let made = match node.kind {
            "Input" => x,
            // Of a graph inside.
            "Output" if node.is_inner => x,
            "Output" => {
                self.builder.output(x);
                self.has_output = true;
                self.all_spike &= self.spikes.get(&x).copied().unwrap_or(false);
                x
            }
            "Affine" | "Linear" => self.affine(node, x)?,
            "Scale" => {
                let scale = self.constant(node, "scale", node.tensor("scale")?);
                self.add(node, "", Op::Mul, &[x, scale])?
            }
            "Conv1d" => self.convolution(node, x, 1)?,
            "Conv2d" => self.convolution(node, x, 2)?,
            "AvgPool2d" | "SumPool2d" => self.pool(node, x)?,
            "Flatten" => self.flatten(node, x)?,
            "Threshold" => {
                let threshold = self.constant(node, "threshold", node.tensor("threshold")?);
                let fires = self.add(node, "fires", Op::Greater, &[x, threshold])?;
                let spikes = self.add(node, "", Op::Cast(Cast { to: DType::F32 }), &[fires])?;
                self.spikes.insert(spikes, true);
                spikes
            }
            "I" | "LI" | "CubaLI" | "IF" | "LIF" | "CubaLIF" => self.neuron(node, x)?,
            "Delay" => return Err(node.wrong("delays are not supported")),
            "" => return Err(node.wrong("has no \"type\" (a name with \"/\" becomes groups inside of groups)")),
            _ => return Err(node.wrong("this type of node is not supported")),
        };
        self.values.insert(node.name.to_owned(), made);
        Ok(())
    }

    fn input(&mut self, node: &Node<'_>) -> Result<(), NirError> {
        let shape = node.parameter("shape")?;
        let extents = node.counts("shape", shape.values.len(), None)?;
        let dims = std::iter::once(Dim::Free("N".to_owned())).chain(extents.iter().map(|&extent| Dim::Fixed(extent)));
        let value = self.builder.input(node.name, DType::F32, dims.collect());
        self.shapes.insert(value, std::iter::once(1).chain(extents).collect());
        self.values.insert(node.name.to_owned(), value);
        Ok(())
    }

    /// What several sources give together is their sum.
    fn sum(&mut self, node: &Node<'_>, sources: &[String]) -> Result<ValueId, NirError> {
        let known = |name: &String| {
            self.values.get(name).copied().ok_or_else(|| node.wrong(format!("takes \"{name}\", which makes nothing")))
        };
        let values = sources.iter().map(known).collect::<Result<Vec<ValueId>, _>>()?;
        let Some((&first, others)) = values.split_first() else {
            return Err(node.wrong("takes nothing: no edge leads to it"));
        };
        let mut sum = first;
        for (idx, &other) in others.iter().enumerate() {
            sum = self.add(node, &format!("sum{idx}"), Op::Add, &[sum, other])?;
        }
        Ok(sum)
    }

    fn constant(&mut self, node: &Node<'_>, label: &str, tensor: Tensor) -> ValueId {
        let shape = tensor.shape().to_vec();
        let value = self.builder.constant(format!("{}.{label}", node.name), tensor);
        self.shapes.insert(value, shape);
        value
    }

    fn add(&mut self, node: &Node<'_>, label: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId, NirError> {
        Ok(self.add_all(node, label, op, inputs)?[0])
    }

    fn add_all(&mut self, node: &Node<'_>, label: &str, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>, NirError> {
        let name = if label.is_empty() { node.name.to_owned() } else { format!("{}.{label}", node.name) };
        let is_truth = matches!(op, Op::Cast(_));
        let dtype = if is_truth { DType::Bool } else { DType::F32 };
        let types: Vec<TensorType> = inputs
            .iter()
            .map(|id| TensorType { dtype, shape: self.shapes.get(id).cloned().unwrap_or_default() })
            .collect();
        let types: Vec<Option<&TensorType>> = types.iter().map(Some).collect();
        let made = output_shapes(&op, &name, &types).map_err(|error| node.wrong(error.to_string()))?;
        let ids = match made.len() {
            1 => vec![self.builder.node(name, op, inputs)],
            n => self.builder.node_with_outputs(name, op, inputs, n),
        };
        for (&id, made) in ids.iter().zip(made) {
            self.shapes.insert(id, made.shape);
        }
        Ok(ids)
    }

    fn rank(&self, id: ValueId) -> usize {
        self.shapes.get(&id).map_or(0, Vec::len)
    }

    fn affine(&mut self, node: &Node<'_>, x: ValueId) -> Result<ValueId, NirError> {
        let weight = node.tensor("weight")?;
        let &[outputs, inputs] = weight.shape() else {
            return Err(node.wrong(format!("\"weight\" has shape {:?}, expected outputs and inputs", weight.shape())));
        };
        let bias = match node.optional("bias")? {
            Some(_) => Some(node.tensor("bias")?),
            None => None,
        };
        if self.rank(x) == 2 {
            let weight = self.constant(node, "weight", weight);
            let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
            let mut operands = vec![x, weight];
            operands.extend(bias.map(|bias| self.constant(node, "bias", bias)));
            return self.add(node, "", gemm, &operands);
        }
        // Along the last axis.
        let elements = weight.as_f32().unwrap_or_default();
        let turned = (0..inputs * outputs).map(|idx| elements[idx % outputs * inputs + idx / outputs]).collect();
        let weight = self.constant(node, "weight", Tensor::from_f32(vec![inputs, outputs], turned));
        let Some(bias) = bias else { return self.add(node, "", Op::MatMul, &[x, weight]) };
        let product = self.add(node, "product", Op::MatMul, &[x, weight])?;
        let bias = self.constant(node, "bias", bias);
        self.add(node, "", Op::Add, &[product, bias])
    }

    fn convolution(&mut self, node: &Node<'_>, x: ValueId, n: usize) -> Result<ValueId, NirError> {
        let weight = node.tensor("weight")?;
        if weight.shape().len() != n + 2 {
            return Err(node.wrong(format!("\"weight\" has shape {:?}, expected {} extents", weight.shape(), n + 2)));
        }
        let kernel = weight.shape()[2..].to_vec();
        let mut window = Window::padded(&kernel, &vec![0; n]);
        window.strides = node.counts("stride", n, Some(1))?;
        window.dilations = node.counts("dilation", n, Some(1))?;
        match node.group.text("padding") {
            Some("valid") => {}
            Some("same") if window.strides.iter().any(|&stride| stride > 1) => {
                // torch refuses it, nir keeps the extents, others divide them.
                return Err(
                    node.wrong("\"padding\" is \"same\" with a stride, which is read in several ways: write counts")
                );
            }
            Some("same") => {
                let total = |axis: usize| window.dilations[axis] * kernel[axis].saturating_sub(1);
                window.pads_begin = (0..n).map(|axis| total(axis) / 2).collect();
                window.pads_end = (0..n).map(|axis| total(axis) - total(axis) / 2).collect();
            }
            Some(other) => {
                return Err(node.wrong(format!("\"padding\" is \"{other}\", expected same, valid or counts")));
            }
            None => {
                window.pads_begin = node.counts("padding", n, Some(0))?;
                window.pads_end.clone_from(&window.pads_begin);
            }
        }
        let groups = node.count("groups", 1)?;
        let weight = self.constant(node, "weight", weight);
        let mut operands = vec![x, weight];
        if node.group.fields.contains_key("bias") {
            let bias = node.tensor("bias")?;
            let all: Vec<f32> = bias.as_f32().unwrap_or_default().to_vec();
            let bias = self.constant(node, "bias", Tensor::from_f32(vec![all.len()], all));
            operands.push(bias);
        }
        self.add(node, "", Op::Conv(Conv { window, groups }), &operands)
    }

    fn pool(&mut self, node: &Node<'_>, x: ValueId) -> Result<ValueId, NirError> {
        let kernel = node.counts("kernel_size", 2, None)?;
        let mut window = Window::padded(&kernel, &node.counts("padding", 2, Some(0))?);
        window.strides = match node.group.fields.contains_key("stride") {
            true => node.counts("stride", 2, None)?,
            false => kernel.clone(),
        };
        let pool = Op::AveragePool(AveragePool { window, count_include_pad: true });
        if node.kind == "AvgPool2d" {
            return self.add(node, "", pool, &[x]);
        }
        let mean = self.add(node, "mean", pool, &[x])?;
        let n = kernel.iter().product::<usize>() as f32;
        let n = self.constant(node, "elements", Tensor::from_f32(Vec::new(), vec![n]));
        self.add(node, "", Op::Mul, &[mean, n])
    }

    /// Axes are counted without that of the images.
    fn flatten(&mut self, node: &Node<'_>, x: ValueId) -> Result<ValueId, NirError> {
        let shape = self.shapes.get(&x).cloned().unwrap_or_default();
        let extents = shape.get(1..).unwrap_or_default();
        let axis = |key: &str, default: f64| -> Result<usize, NirError> {
            let value = node.optional(key)?.and_then(|axis| axis.uniform()).unwrap_or(default);
            let axis = if value < 0.0 { value + extents.len() as f64 } else { value };
            let fits = axis.fract() == 0.0 && axis >= 0.0 && (axis as usize) < extents.len();
            fits.then_some(axis as usize).ok_or_else(|| {
                node.wrong(format!(
                    "\"{key}\" is {value}, expected an axis of {extents:?} (without that of the images)"
                ))
            })
        };
        let (start, end) = (axis("start_dim", 1.0)?, axis("end_dim", -1.0)?);
        if start > end {
            return Err(node.wrong(format!("flattens axes {start} to {end}")));
        }
        if (start, end + 1) == (0, extents.len()) {
            return self.add(node, "", Op::Flatten(ops::Flatten { axis: 1 }), &[x]);
        }
        let flat: usize = extents[start..=end].iter().product();
        let kept = extents[..start].iter().chain([&flat]).chain(&extents[end + 1..]);
        let shape = std::iter::once(-1).chain(kept.map(|&extent| i64::try_from(extent).unwrap_or(i64::MAX))).collect();
        self.add(node, "", Op::Reshape(ops::Reshape { shape, allow_zero: false }), &[x])
    }

    fn neuron(&mut self, node: &Node<'_>, x: ValueId) -> Result<ValueId, NirError> {
        let dt = self.reading.dt;
        let mismatch = || node.wrong("its parameters have different shapes");
        let spikes = node.kind.ends_with('F');
        let decay = |key: &str| -> Result<Parameter, NirError> {
            let tau = node.parameter(key)?;
            if let Some(short) = tau.values.iter().find(|&&tau| tau.is_nan() || tau < dt) {
                return Err(node.wrong(format!("\"{key}\" is {short} s, shorter than the time step of {dt} s")));
            }
            Ok(tau.map(|tau| dt / tau))
        };
        let r = node.parameter("r")?;
        let one = Parameter::scalar(1.0);
        let (fall, mut gain) = match node.kind {
            "I" | "IF" => (Parameter::scalar(0.0), r.map(|r| dt * r)),
            "LI" | "LIF" => {
                let fall = decay("tau")?;
                let gain = r.zip(&fall, |r, fall| r * fall).ok_or_else(mismatch)?;
                (fall, gain)
            }
            _ => {
                let fall = decay("tau_mem")?;
                let gain = r.zip(&fall, |r, fall| r * fall).ok_or_else(mismatch)?;
                (fall, gain)
            }
        };
        let mut current_leak = 0.0;
        if node.kind.starts_with("Cuba") {
            let fall = decay("tau_syn")?;
            let Some(uniform) = fall.uniform() else {
                return Err(node.wrong("\"tau_syn\" differs from neuron to neuron, which is not supported"));
            };
            current_leak = 1.0 - uniform;
            let w_in = node.optional("w_in")?.unwrap_or(one);
            gain = gain.zip(&w_in, |gain, w_in| gain * w_in * uniform).ok_or_else(mismatch)?;
        }
        let leak = fall.map(|fall| 1.0 - fall);
        let rest = node.optional("v_leak")?.unwrap_or_else(|| Parameter::scalar(0.0));
        let (threshold, reset_value) = if spikes {
            let threshold = node.parameter("v_threshold")?;
            let reset_value = node.optional("v_reset")?.unwrap_or_else(|| Parameter::scalar(0.0));
            let uniform = reset_value
                .uniform()
                .ok_or_else(|| node.wrong("\"v_reset\" differs from neuron to neuron, which is not supported"));
            (threshold, uniform?)
        } else {
            (Parameter::scalar(f64::from(f32::MAX)), 0.0)
        };
        let mut x = x;
        let mut uniform_gain = 1.0;
        match gain.uniform() {
            Some(gain) => uniform_gain = gain,
            None => {
                let gain = self.constant(node, "gain", gain.tensor());
                x = self.add(node, "gained", Op::Mul, &[x, gain])?;
            }
        }
        let uniform_rest = rest.uniform();
        if uniform_rest.is_none() {
            if current_leak != 0.0 {
                return Err(
                    node.wrong("\"v_leak\" differs from neuron to neuron, which is not supported with a current")
                );
            }
            let pull = rest.zip(&fall, |rest, fall| rest * fall).ok_or_else(mismatch)?;
            if uniform_gain.to_bits() != 1.0_f64.to_bits() {
                let gain = self.constant(node, "gain", Parameter::scalar(uniform_gain).tensor());
                x = self.add(node, "gained", Op::Mul, &[x, gain])?;
                uniform_gain = 1.0;
            }
            let pull = self.constant(node, "pull", pull.tensor());
            x = self.add(node, "pulled", Op::Add, &[x, pull])?;
        }
        let neuron = Neuron {
            threshold: threshold.uniform().unwrap_or(1.0) as f32,
            leak: leak.uniform().unwrap_or(1.0) as f32,
            gain: uniform_gain as f32,
            rest: uniform_rest.unwrap_or(0.0) as f32,
            current_leak: current_leak as f32,
            reset: if spikes { self.reading.reset } else { Reset::None },
            reset_time: self.reading.reset_time,
            reset_value: reset_value as f32,
            is_strict: self.reading.is_strict,
            returns_state: !spikes,
            ..Neuron::default()
        };
        let mut operands = vec![x];
        if threshold.uniform().is_none() || leak.uniform().is_none() {
            let threshold = self.constant(node, "threshold", threshold.tensor());
            let leak = self.constant(node, "leak", leak.tensor());
            operands.extend([threshold, leak]);
        }
        let made = self.add_all(node, "", Op::Neuron(neuron), &operands)?;
        // What does not spike shows its potential.
        let value = made[usize::from(!spikes)];
        self.spikes.insert(value, spikes);
        Ok(value)
    }
}
