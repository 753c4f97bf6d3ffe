//! Synaptic operations of a spiking network: what one spike of each neuron makes the layers behind it add.

use skimp_digital::costs::{COMMON_COSTS, named_or_written};
use skimp_graph::shape::{self, Shapes, WindowAxis};
use skimp_graph::{Graph, Node, Op, ValueId, ops};

use crate::error::StudyError;

/// For each neuron node, in order, and each of its elements: the additions that a spike makes, in all layers that read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Synapses {
    fan_out: Vec<Vec<f64>>,
}

impl Synapses {
    /// Of a network on inputs of one image; why not, naming the node, where a spike passes what has no such count.
    pub(crate) fn of(graph: &Graph, inputs: &[Vec<usize>]) -> Result<Result<Self, String>, StudyError> {
        let shapes = shape::infer(graph, inputs)?;
        let mut counts: Vec<Vec<f64>> =
            (0..graph.values().len()).map(|id| vec![0.0; shapes.shape(ValueId(id)).iter().product()]).collect();
        let mut fan_out = Vec::new();
        for node in graph.nodes().iter().rev() {
            let behind = std::mem::take(&mut counts[node.outputs[0].0]);
            if let Op::Neuron(_) = node.op {
                fan_out.push(behind);
                continue;
            }
            let Some(x) = node.inputs.iter().flatten().copied().find(|&id| graph.constant(id).is_none()) else {
                continue;
            };
            let own = match additions(graph, node, x, &shapes)? {
                Some(own) => own,
                None if behind.iter().all(|&count| count == 0.0) => continue,
                None => match passed(graph, node, x, (&shapes, &behind))? {
                    Some(passed) => passed,
                    None => return Ok(Err(format!("spikes pass node \"{}\" ({})", node.name, node.op.name()))),
                },
            };
            // A sum of two values passes each of them.
            let readers = node.inputs.iter().flatten().filter(|&&id| graph.constant(id).is_none());
            for id in readers {
                let to = &mut counts[id.0];
                if to.len() == own.len() {
                    to.iter_mut().zip(&own).for_each(|(to, own)| *to += own);
                }
            }
        }
        fan_out.reverse();
        Ok(Ok(Self { fan_out }))
    }

    /// Additions that the spikes of neuron `idx` make, of any number of images.
    pub(crate) fn operations(&self, idx: usize, spikes: &[f32]) -> u64 {
        let fan_out = &self.fan_out[idx];
        let fired = spikes.iter().enumerate().filter(|(_, spike)| **spike > 0.0);
        fired.map(|(place, _)| fan_out[place % fan_out.len()] as u64).sum()
    }
}

/// Picojoules of an addition, by the table that prices designs beside each other.
pub(crate) fn addition_pj() -> Result<f64, StudyError> {
    Ok(named_or_written(COMMON_COSTS)?.energy_pj("add32.op")?)
}

/// What each element of the input of a layer with weights reaches; `None` for other nodes.
fn additions(graph: &Graph, node: &Node, x: ValueId, shapes: &Shapes) -> Result<Option<Vec<f64>>, StudyError> {
    let (input, output) = (shapes.shape(x), shapes.shape(node.outputs[0]));
    let n_weights = node.inputs.iter().flatten().filter(|id| graph.constant(**id).is_some()).count();
    if n_weights == 0 {
        return Ok(None);
    }
    if let Op::Conv(ops::Conv { window, groups }) = &node.op {
        let axes = shape::window_axes(&node.op, &node.name, window, &input[2..])?;
        let of_place = places(&axes, &|axis, at| reached(axis, at).count() as f64);
        let channels = (output[1] / groups.max(&1)) as f64;
        let of_channel: Vec<f64> = of_place.iter().map(|count| count * channels).collect();
        return Ok(Some(of_channel.repeat(input[0] * input[1])));
    }
    let is_dense = matches!(node.op, Op::Gemm(_) | Op::MatMul);
    Ok(is_dense.then(|| vec![output.last().copied().unwrap_or(1) as f64; input.iter().product()]))
}

/// What each element of the input of a node without weights reaches through it.
fn passed(
    graph: &Graph,
    node: &Node,
    x: ValueId,
    (shapes, behind): (&Shapes, &[f64]),
) -> Result<Option<Vec<f64>>, StudyError> {
    let (input, output) = (shapes.shape(x), shapes.shape(node.outputs[0]));
    let n: usize = input.iter().product();
    let keeps_places =
        matches!(node.op, Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Identity);
    let is_sum = matches!(node.op, Op::Add | Op::Sub | Op::Mul | Op::Div) && graph.outputs().first() != Some(&x);
    if (keeps_places || is_sum) && n == behind.len() {
        return Ok(Some(behind.to_vec()));
    }
    if node.op == Op::GlobalAveragePool {
        return Ok(Some((0..n).map(|idx| behind[idx / (n / behind.len().max(1)).max(1)]).collect()));
    }
    let (Op::AveragePool(ops::AveragePool { window, .. }) | Op::MaxPool(ops::MaxPool { window })) = &node.op else {
        return Ok(None);
    };
    if input.len() != 4 {
        return Ok(None);
    }
    let axes = shape::window_axes(&node.op, &node.name, window, &input[2..])?;
    let [rows, columns] = axes.as_slice() else { return Ok(None) };
    let (h, w, p, q) = (input[2], input[3], output[2], output[3]);
    let of = |idx: usize| {
        let (plane, y, x) = (idx / (h * w), idx / w % h, idx % w);
        let at = |row: usize| reached(columns, x).map(move |column| behind[(plane * p + row) * q + column]);
        reached(rows, y).flat_map(at).sum()
    };
    Ok(Some((0..n).map(of).collect()))
}

/// Windows that hold position `at` of an axis, once for each tap.
fn reached(axis: &WindowAxis, at: usize) -> impl Iterator<Item = usize> {
    let WindowAxis { kernel, stride, dilation, pad_begin, output, .. } = *axis;
    (0..kernel).filter_map(move |tap| {
        let first = (at + pad_begin).checked_sub(tap * dilation)?;
        (first.is_multiple_of(stride) && first / stride < output).then_some(first / stride)
    })
}

/// The product over the axes of what `of` says of each position, row by row.
fn places(axes: &[WindowAxis], of: &dyn Fn(&WindowAxis, usize) -> f64) -> Vec<f64> {
    axes.iter().fold(vec![1.0], |before, axis| {
        let own: Vec<f64> = (0..axis.input).map(|at| of(axis, at)).collect();
        before.iter().flat_map(|before| own.iter().map(move |own| before * own)).collect()
    })
}

#[cfg(test)]
mod tests {
    use skimp_graph::reference::Reference;
    use skimp_graph::{AutoPad, DType, Dim, Executor, GraphBuilder, Tensor, Window};

    use super::*;

    fn window(kernel: usize, stride: usize, pad: usize) -> Window {
        Window {
            kernel: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        }
    }

    /// A pool, a convolution with padding and stride; with `neurons` in front of both.
    fn network(neurons: bool) -> Graph {
        let mut builder = GraphBuilder::new("synapses");
        let dims = [Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(10), Dim::Fixed(8)];
        let mut x = builder.input("x", DType::F32, dims.to_vec());
        if neurons {
            x = builder.node("neurons", Op::Neuron(ops::Neuron::default()), &[x]);
        }
        let pool = ops::AveragePool { window: window(2, 2, 0), count_include_pad: false };
        let x = builder.node("pool", Op::AveragePool(pool), &[x]);
        let weight = builder.constant("w", Tensor::from_f32(vec![5, 2, 3, 3], vec![1.0; 90]));
        let x = builder.node("conv", Op::Conv(ops::Conv { window: window(3, 2, 1), groups: 1 }), &[x, weight]);
        builder.output(x);
        builder.build().unwrap()
    }

    /// A spike alone makes as many sums differ from 0 as it makes additions.
    #[test]
    fn additions_are_the_sums_that_one_spike_reaches() {
        let synapses = Synapses::of(&network(true), &[vec![1, 2, 10, 8]]).unwrap().unwrap();
        let plain = network(false);
        let reference = Reference::new(&plain);
        let mut seen = std::collections::BTreeSet::new();
        for place in 0..160 {
            let mut one = vec![0.0; 160];
            one[place] = 1.0;
            let sums = reference.run(&[Tensor::from_f32(vec![1, 2, 10, 8], one.clone())]).unwrap().remove(0);
            let reached = sums.as_f32().unwrap().iter().filter(|&&sum| sum > 0.0).count() as u64;
            assert_eq!(synapses.operations(0, &one), reached, "{place}");
            seen.insert(reached);
        }
        assert!(seen.len() > 2, "borders reach less: {seen:?}");
    }

    #[test]
    fn what_has_no_count_is_named() {
        let mut builder = GraphBuilder::new("n");
        let x = builder.input("x", DType::F32, vec![Dim::Fixed(1), Dim::Fixed(4)]);
        let x = builder.node("neurons", Op::Neuron(ops::Neuron::default()), &[x]);
        let x = builder.node("odd", Op::Softmax(ops::Softmax { axis: 1 }), &[x]);
        let weight = builder.constant("w", Tensor::from_f32(vec![4, 2], vec![1.0; 8]));
        let x = builder.node("fc", Op::MatMul, &[x, weight]);
        builder.output(x);
        let found = Synapses::of(&builder.build().unwrap(), &[vec![1, 4]]).unwrap().unwrap_err();
        assert!(found.contains("\"odd\" (Softmax)"), "{found}");
        assert!((addition_pj().unwrap() - 0.1).abs() < 1e-9);
    }
}
