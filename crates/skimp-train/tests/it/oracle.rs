//! Training a whole graph on the reference operators in f64, as slowly and simply as possible.

use std::collections::BTreeMap;

use skimp_graph::{DType, Graph, Op, ValueId};
use skimp_train::reference::{self, Call, DropoutKey, Forward, Training, View};

/// A tensor in the graph's order.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

/// Values of a training forward pass and gradients of a backward pass, by name.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) values: BTreeMap<String, Array>,
    pub(crate) gradients: BTreeMap<String, Vec<f64>>,
    /// For each batch normalization's mean and variance, the statistics of the batch (variance unbiased).
    pub(crate) statistics: BTreeMap<String, Vec<f64>>,
}

/// Runs `graph` forward and backward; `seeds` gives the gradient of a loss at values by name.
pub(crate) fn train(
    graph: &Graph,
    input: &[f32],
    batch: usize,
    seeds: &dyn Fn(&str, &Array) -> Option<Vec<f64>>,
) -> Trace {
    let training = Training { dropout: Some(DropoutKey { seed: 7, step: 3 }), ..Training::default() };
    run(graph, input, batch, &training, seeds)
}

/// A cast of f32 to itself does nothing, in f64 either.
fn in_f64(op: &Op) -> &Op {
    if let Op::Cast(skimp_graph::ops::Cast { to: DType::F32 }) = op { &Op::Identity } else { op }
}

/// How results of operators are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    None,
    /// Each value and each gradient once.
    F32,
}

impl Rounding {
    fn of(self, data: Vec<f64>) -> Vec<f64> {
        match self {
            Self::None => data,
            Self::F32 => data.into_iter().map(|x| f64::from(x as f32)).collect(),
        }
    }
}

pub(crate) fn run(
    graph: &Graph,
    input: &[f32],
    batch: usize,
    training: &Training,
    seeds: &dyn Fn(&str, &Array) -> Option<Vec<f64>>,
) -> Trace {
    run_rounded(graph, input, batch, training, Rounding::None, seeds)
}

pub(crate) fn run_rounded(
    graph: &Graph,
    input: &[f32],
    batch: usize,
    training: &Training,
    rounding: Rounding,
    seeds: &dyn Fn(&str, &Array) -> Option<Vec<f64>>,
) -> Trace {
    let name = |id: ValueId| graph.value(id).name.clone();
    let mut trace = Trace::default();
    for value in graph.values() {
        if let Some(tensor) = &value.constant {
            let data = tensor.as_f32().expect("f32 constants").iter().map(|&x| f64::from(x)).collect();
            trace.values.insert(value.name.clone(), Array { shape: tensor.shape().to_vec(), data });
        }
    }
    let spec = &graph.inputs()[0];
    let per_image = input.len() / batch;
    let mut shape = vec![batch];
    shape.extend(spec.dims[1..].iter().map(|dim| match dim {
        skimp_graph::Dim::Fixed(n) => *n,
        skimp_graph::Dim::Free(_) => panic!("fixed extents"),
    }));
    assert_eq!(shape[1..].iter().product::<usize>(), per_image);
    trace.values.insert(name(spec.value), Array { shape, data: input.iter().map(|&x| f64::from(x)).collect() });
    for node in graph.nodes() {
        let inputs: Vec<Option<Array>> =
            node.inputs.iter().map(|id| id.map(|id| trace.values[&name(id)].clone())).collect();
        let views: Vec<Option<View<'_, f64>>> = inputs.iter().map(|x| x.as_ref().map(Array::view)).collect();
        let call = Call { op: in_f64(&node.op), node: &node.name, training, inputs: &views };
        let Forward { outputs, shapes, moments, .. } = reference::forward(&call).expect("runs");
        if let (Op::BatchNormalization(_), Some(moments)) = (&node.op, moments) {
            let channels = moments.mean.len();
            let of = |c: usize| moments.running(c, 1.0, [0.0, 0.0]);
            let ids = [node.inputs[3].expect("mean"), node.inputs[4].expect("variance")];
            for (i, id) in ids.into_iter().enumerate() {
                trace.statistics.insert(name(id), (0..channels).map(|c| of(c)[i]).collect());
            }
        }
        for ((&id, data), shape) in node.outputs.iter().zip(outputs).zip(shapes) {
            trace.values.insert(name(id), Array { shape, data: rounding.of(data) });
        }
    }
    for (name, value) in &trace.values {
        if let Some(seed) = seeds(name, value) {
            trace.gradients.insert(name.clone(), seed);
        }
    }
    for node in graph.nodes().iter().rev() {
        let inputs: Vec<Option<&Array>> = node.inputs.iter().map(|id| id.map(|id| &trace.values[&name(id)])).collect();
        let views: Vec<Option<View<'_, f64>>> = inputs.iter().map(|x| x.map(Array::view)).collect();
        let call = Call { op: in_f64(&node.op), node: &node.name, training, inputs: &views };
        let errors: Vec<Option<&[f64]>> =
            node.outputs.iter().map(|&id| trace.gradients.get(&name(id)).map(Vec::as_slice)).collect();
        if errors.iter().all(Option::is_none) {
            continue;
        }
        let gradients = reference::backward(&call, &errors).expect("runs");
        for (id, gradient) in node.inputs.iter().zip(gradients) {
            let (Some(id), Some(gradient)) = (id, gradient) else { continue };
            let sum = trace.gradients.entry(name(*id)).or_insert_with(|| vec![0.0; gradient.len()]);
            sum.iter_mut().zip(rounding.of(gradient)).for_each(|(sum, part)| *sum += part);
        }
    }
    trace
}

impl Array {
    fn view(&self) -> View<'_, f64> {
        View { shape: &self.shape, data: &self.data }
    }
}
