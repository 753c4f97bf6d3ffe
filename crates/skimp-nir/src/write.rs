//! From a graph to a NIR file.

use std::collections::{BTreeSet, HashMap};

use skimp_graph::ops::{Neuron, Reset, ResetTime};
use skimp_graph::rewrite::{batch_shapes, simplify};
use skimp_graph::shape::Shapes;
use skimp_graph::spiking::{InputCoding, Temporal};
use skimp_graph::{AutoPad, Graph, Node, Op, ValueId, Window};

use crate::file::{Field, Group, Values};
use crate::{NirError, file};

/// The version of the package whose files these are.
const VERSION: &str = "1.0.8";

/// A NIR file.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// What the network says and the file does not.
    pub lost: Vec<String>,
}

/// The bytes of a NIR file of `graph`, whose time step lasts `dt` (seconds).
///
/// Shapes are those of one image, without its axis. Sums become several edges to one node.
///
/// # Errors
/// [`NirError::NoForm`] naming the node that NIR has no form of.
pub fn write(graph: &Graph, dt: f64) -> Result<Written, NirError> {
    let invalid = |cause: String| NirError::InvalidFile { file: graph.name().to_owned(), cause };
    if !(dt.is_finite() && dt > 0.0) {
        return Err(invalid(format!("a time step of {dt} s, expected one above 0")));
    }
    let temporal = Temporal::of(graph)?;
    let graph = simplify(graph);
    let shapes = batch_shapes(&graph, 1)?;
    let mut work = Work {
        graph: &graph,
        shapes: &shapes,
        dt,
        sources: HashMap::new(),
        nodes: Group::default(),
        edges: Vec::new(),
        lost: BTreeSet::new(),
    };
    work.all()?;
    if let Some(temporal) = temporal {
        work.lost.insert(format!("{} time steps of {dt} s", temporal.steps));
        if temporal.input == InputCoding::Bernoulli {
            work.lost.insert("random input spikes".to_owned());
        }
    }
    let names = work.edges.iter().flatten().cloned().collect();
    let edges = Field { shape: vec![work.edges.len(), 2], values: Values::Texts(names) };
    let mut node = Group::default().with("type", Field::text("NIRGraph")).with("edges", edges);
    node.groups.insert("nodes".to_owned(), work.nodes);
    let mut root = Group::default().with("version", Field::text(VERSION));
    root.groups.insert("node".to_owned(), node);
    Ok(Written { bytes: file::write(&root, graph.name())?, lost: work.lost.into_iter().collect() })
}

struct Work<'g> {
    graph: &'g Graph,
    shapes: &'g Shapes,
    dt: f64,
    /// The nodes of the file that make a value together.
    sources: HashMap<ValueId, Vec<String>>,
    nodes: Group,
    edges: Vec<[String; 2]>,
    lost: BTreeSet<String>,
}

impl Work<'_> {
    fn all(&mut self) -> Result<(), NirError> {
        let n_inputs = self.graph.inputs().len();
        for (idx, input) in self.graph.inputs().iter().enumerate() {
            let name = if n_inputs == 1 { "input".to_owned() } else { format!("input_{idx}") };
            let node = typed("Input").with("shape", Field::integers(self.shape(input.value)));
            self.nodes.groups.insert(name.clone(), node);
            self.sources.insert(input.value, vec![name]);
        }
        for node in self.graph.nodes() {
            self.node(node)?;
        }
        let n_outputs = self.graph.outputs().len();
        for (idx, &output) in self.graph.outputs().iter().enumerate() {
            let name = if n_outputs == 1 { "output".to_owned() } else { format!("output_{idx}") };
            let node = typed("Output").with("shape", Field::integers(self.shape(output)));
            self.nodes.groups.insert(name.clone(), node);
            let sources = self.sources.get(&output).cloned().unwrap_or_default();
            self.edges.extend(sources.into_iter().map(|source| [source, name.clone()]));
        }
        Ok(())
    }

    /// Extents of a value for one image, without its axis.
    fn shape(&self, id: ValueId) -> &[usize] {
        self.shapes.shape(id).get(1..).unwrap_or_default()
    }

    fn node(&mut self, node: &Node) -> Result<(), NirError> {
        let no_form = |cause: &str| NirError::NoForm {
            node: node.name.clone(),
            op: node.op.name().to_owned(),
            cause: cause.to_owned(),
        };
        let (Some(&Some(x)), Some(&y)) = (node.inputs.first(), node.outputs.first()) else {
            return Err(no_form("it reads nothing"));
        };
        let constant = |idx: usize| node.inputs.get(idx).copied().flatten().and_then(|id| self.graph.constant(id));
        let weights = |idx: usize| {
            let tensor = constant(idx)?;
            let values: Vec<f64> = tensor.as_f32()?.iter().map(|&x| f64::from(x)).collect();
            Some((tensor.shape().to_vec(), values))
        };
        let field = |(shape, values): (Vec<usize>, Vec<f64>)| Field::floats(&shape, values);
        let computed = node.inputs.iter().flatten().filter(|id| self.graph.constant(**id).is_none()).count();
        let made = match &node.op {
            Op::Add | Op::Sum if computed == node.inputs.len() => {
                if node.inputs.iter().flatten().any(|&id| self.shapes.shape(id) != self.shapes.shape(y)) {
                    return Err(no_form("it broadcasts"));
                }
                let all = node.inputs.iter().flatten().flat_map(|id| self.sources.get(id).cloned().unwrap_or_default());
                let all: Vec<String> = all.collect();
                if all.iter().collect::<BTreeSet<_>>().len() < all.len() {
                    return Err(no_form("it adds a value to itself"));
                }
                self.sources.insert(y, all);
                return Ok(());
            }
            Op::Identity | Op::Dropout(_) => {
                let same = self.sources.get(&x).cloned().unwrap_or_default();
                self.sources.insert(y, same);
                return Ok(());
            }
            Op::Neuron(neuron) => self.neuron(node, *neuron, &no_form)?,
            Op::Conv(conv) => {
                let weight = weights(1).ok_or_else(|| no_form("its weight is not constant"))?;
                let n = weight.0.len().saturating_sub(2);
                if !(1..=2).contains(&n) {
                    return Err(no_form("NIR convolves over one or two axes"));
                }
                let pads = even_pads(&conv.window).ok_or_else(|| no_form("it pads both ends differently"))?;
                let bias = weights(2).unwrap_or_else(|| (vec![weight.0[0]], vec![0.0; weight.0[0]]));
                let extents = &self.shape(x)[1..];
                typed(if n == 1 { "Conv1d" } else { "Conv2d" })
                    .with("input_shape", if n == 1 { Field::integer(extents[0]) } else { Field::integers(extents) })
                    .with("weight", field(weight))
                    .with("bias", field(bias))
                    .with("stride", per_axis(&conv.window.strides))
                    .with("padding", per_axis(&pads))
                    .with("dilation", per_axis(&conv.window.dilations))
                    .with("groups", Field::integer(conv.groups))
            }
            Op::Gemm(gemm) if !gemm.trans_a => {
                let weight = weights(1).ok_or_else(|| no_form("its weight is not constant"))?;
                let weight = if gemm.trans_b { weight } else { turned(weight) };
                let weight = (weight.0, weight.1.iter().map(|x| x * f64::from(gemm.alpha)).collect());
                affine(weight, weights(2).map(|(_, bias)| bias.iter().map(|x| x * f64::from(gemm.beta)).collect()))
            }
            Op::MatMul => {
                let weight = weights(1).filter(|(shape, _)| shape.len() == 2);
                affine(turned(weight.ok_or_else(|| no_form("its second factor is no constant matrix"))?), None)
            }
            Op::Flatten(flatten) if flatten.axis == 1 => self.flatten(x),
            Op::Reshape(_) if self.shape(y).len() == 1 && self.shapes.shape(y)[0] == self.shapes.shape(x)[0] => {
                self.flatten(x)
            }
            Op::AveragePool(pool) if pool.window.kernel.len() == 2 => {
                let pads = even_pads(&pool.window).ok_or_else(|| no_form("it pads both ends differently"))?;
                let has_pads = pads.iter().any(|&pad| pad > 0);
                let is_dilated = pool.window.dilations.iter().any(|&dilation| dilation > 1);
                if is_dilated || pool.window.ceil_mode || has_pads && !pool.count_include_pad {
                    return Err(no_form("NIR pools without dilation and rounding up, and counts padding"));
                }
                average(&pool.window.kernel, &pool.window.strides, &pads)
            }
            Op::GlobalAveragePool if self.shape(x).len() == 3 => {
                let extents = &self.shape(x)[1..];
                average(extents, extents, &[0, 0])
            }
            Op::Mul if constant(1).is_some() => {
                let (shape, values) = weights(1).ok_or_else(|| no_form("its factor is not f32"))?;
                let target = self.shape(x).to_vec();
                let scale = broadcast(&shape, &values, &target)
                    .ok_or_else(|| no_form("its factor has the axis of the images"))?;
                typed("Scale").with("scale", Field::floats(&target, scale))
            }
            // What the file format has no word for is refused by name, a new operator too.
            other => {
                return Err(no_form(&format!(
                    "it has neurons, convolutions over one and two axes, dense layers, factors, sums of computed values, \
                     average pools and flattening, no {} as this one is",
                    other.name()
                )));
            }
        };
        self.put(node, (x, y), made);
        Ok(())
    }

    fn put(&mut self, node: &Node, (x, y): (ValueId, ValueId), made: Group) {
        // "/" parts names of groups.
        let mut name = node.name.replace('/', "_");
        while self.nodes.groups.contains_key(&name) {
            name.push('_');
        }
        let sources = self.sources.get(&x).cloned().unwrap_or_default();
        self.edges.extend(sources.into_iter().map(|source| [source, name.clone()]));
        self.nodes.groups.insert(name.clone(), made);
        self.sources.insert(y, vec![name]);
    }

    fn flatten(&self, x: ValueId) -> Group {
        let last = Field { shape: Vec::new(), values: Values::Integers(vec![-1]) };
        typed("Flatten")
            .with("start_dim", Field::integer(0))
            .with("end_dim", last)
            .with("input_type", Field::integers(self.shape(x)))
    }

    fn neuron(&mut self, node: &Node, neuron: Neuron, no_form: &dyn Fn(&str) -> NirError) -> Result<Group, NirError> {
        if neuron.first_spike.is_some() || neuron.takes_state || neuron.returns_state {
            return Err(no_form("its state is an input or output, or its spikes tell values by time"));
        }
        if matches!(neuron.reset, Reset::None | Reset::Clear) {
            return Err(no_form("its reset is neither to a value nor by subtraction"));
        }
        if neuron.reset == Reset::Subtract {
            self.lost.insert("reset by subtraction (NIR's equations put the potential to v_reset)".to_owned());
        }
        if neuron.reset_time != ResetTime::SameStep {
            self.lost.insert(format!("when a spike resets ({})", neuron.reset_time.name()));
        }
        if !neuron.is_strict {
            self.lost.insert("a spike on the threshold, not only above it".to_owned());
        }
        if neuron.initial != 0.0 {
            self.lost.insert("potentials before the first step".to_owned());
        }
        let x = node.inputs.first().copied().flatten().ok_or_else(|| no_form("it reads nothing"))?;
        let shape = self.shape(x).to_vec();
        let n: usize = shape.iter().product();
        let all = |value: f64| vec![value; n];
        let given = |idx: usize, value: f32| match node.inputs.get(idx).copied().flatten() {
            None => Some(all(f64::from(value))),
            Some(id) => {
                let tensor = self.graph.constant(id)?;
                let values: Vec<f64> = tensor.as_f32()?.iter().map(|&x| f64::from(x)).collect();
                broadcast(tensor.shape(), &values, &shape)
            }
        };
        let threshold = given(1, neuron.threshold).ok_or_else(|| no_form("its thresholds are not constant"))?;
        let leak = given(2, neuron.leak).ok_or_else(|| no_form("its leaks are not constant"))?;
        let (dt, gain) = (self.dt, f64::from(neuron.gain));
        let field = |values: Vec<f64>| Field::floats(&shape, values);
        let common = |kind: &str| {
            typed(kind)
                .with("v_threshold", field(threshold.clone()))
                .with("v_reset", field(all(f64::from(neuron.reset_value))))
        };
        let keeps_all = leak.iter().all(is_whole);
        if keeps_all && neuron.current_leak == 0.0 {
            return Ok(common("IF").with("r", field(all(gain / dt))));
        }
        if leak.iter().any(is_whole) {
            return Err(no_form(
                "NIR has no neuron with a current, or leaks of each neuron, that keeps all of its potential",
            ));
        }
        let tau: Vec<f64> = leak.iter().map(|leak| dt / (1.0 - leak)).collect();
        let r: Vec<f64> = leak.iter().map(|leak| gain / (1.0 - leak)).collect();
        let v_leak = field(all(f64::from(neuron.rest)));
        if neuron.current_leak == 0.0 {
            return Ok(common("LIF").with("tau", field(tau)).with("r", field(r)).with("v_leak", v_leak));
        }
        let fall = 1.0 - f64::from(neuron.current_leak);
        if fall <= 0.0 {
            return Err(no_form("NIR has no current that stays"));
        }
        Ok(common("CubaLIF")
            .with("tau_mem", field(tau))
            .with("tau_syn", field(all(dt / fall)))
            .with("r", field(r))
            .with("w_in", field(all(1.0 / fall)))
            .with("v_leak", v_leak))
    }
}

/// Whether a leak leaves all of a potential.
fn is_whole(leak: &f64) -> bool {
    leak.to_bits() == 1.0_f64.to_bits()
}

fn typed(kind: &str) -> Group {
    Group::default().with("type", Field::text(kind))
}

fn affine(weight: (Vec<usize>, Vec<f64>), bias: Option<Vec<f64>>) -> Group {
    let n = weight.0[0];
    let group =
        typed(if bias.is_some() { "Affine" } else { "Linear" }).with("weight", Field::floats(&weight.0, weight.1));
    match bias {
        None => group,
        Some(bias) if bias.len() == n => group.with("bias", Field::floats(&[n], bias)),
        Some(bias) => group.with("bias", Field::floats(&[n], vec![bias.first().copied().unwrap_or(0.0); n])),
    }
}

fn average(kernel: &[usize], strides: &[usize], pads: &[usize]) -> Group {
    typed("AvgPool2d")
        .with("kernel_size", Field::integers(kernel))
        .with("stride", Field::integers(strides))
        .with("padding", Field::integers(pads))
}

/// One number for one axis, as the package has it.
fn per_axis(counts: &[usize]) -> Field {
    match counts {
        [one] => Field::integer(*one),
        several => Field::integers(several),
    }
}

fn even_pads(window: &Window) -> Option<Vec<usize>> {
    match window.auto_pad {
        AutoPad::NotSet => (window.pads_begin == window.pads_end).then(|| window.pads_begin.clone()),
        AutoPad::Valid => Some(vec![0; window.kernel.len()]),
        AutoPad::SameUpper | AutoPad::SameLower => None,
    }
}

/// A matrix with rows and columns changed.
fn turned((shape, values): (Vec<usize>, Vec<f64>)) -> (Vec<usize>, Vec<f64>) {
    let &[rows, columns] = shape.as_slice() else { return (shape, values) };
    let turned = (0..values.len()).map(|idx| values[idx % rows * columns + idx / rows]).collect();
    (vec![columns, rows], turned)
}

/// Elements of `from` as they broadcast to `to`; `None` if they do not.
fn broadcast(from: &[usize], values: &[f64], to: &[usize]) -> Option<Vec<f64>> {
    // An axis of images of extent 1 says nothing.
    let from = if from.len() == to.len() + 1 && from[0] == 1 { &from[1..] } else { from };
    let missing = to.len().checked_sub(from.len())?;
    let mut stride = 1;
    let mut strides = vec![0; to.len()];
    for axis in (0..from.len()).rev() {
        if from[axis] != 1 && from[axis] != to[missing + axis] {
            return None;
        }
        strides[missing + axis] = if from[axis] == 1 { 0 } else { stride };
        stride *= from[axis];
    }
    let n: usize = to.iter().product();
    let at = |mut idx: usize| {
        let mut offset = 0;
        for axis in (0..to.len()).rev() {
            offset += idx % to[axis] * strides[axis];
            idx /= to[axis];
        }
        values[offset]
    };
    Some((0..n).map(at).collect())
}
