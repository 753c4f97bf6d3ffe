//! Which values are a step of another: constant below a threshold and constant above it.
//!
//! Exporters write binarization in many ways: `Sign`, `Sign(Sign(x) + 0.1)`, `Where(x >= 0, 1, -1)`, `Cast(x > 0) * 2 - 1`,
//! `Relu(Sign(x))`. A comparison with a constant starts a step; whatever element-wise operator follows, with one number for its other
//! operands, is applied to the three values that the step has.

use crate::ops::Class;
use crate::reference::evaluate;
use crate::shape::Shapes;
use crate::{DType, Graph, Node, Op, Tensor, ValueId};

/// A value that takes one number below a threshold of another value, one at it and one above.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// The other value.
    pub(super) source: ValueId,
    pub(super) threshold: f32,
    /// Below, at, above: three elements.
    values: Tensor,
}

impl Steps {
    /// The three numbers, where they are f32.
    pub(super) fn numbers(&self) -> Option<[f32; 3]> {
        self.values.as_f32()?.try_into().ok()
    }
}

/// For each value, the step that it is.
pub(super) fn find(graph: &Graph, shapes: &Shapes) -> Vec<Option<Steps>> {
    let mut steps: Vec<Option<Steps>> = vec![None; graph.values().len()];
    for node in graph.nodes() {
        let &[output] = node.outputs.as_slice() else { continue };
        // Steps of steps are steps of the first source.
        let found = continued(graph, node, &steps).or_else(|| started(graph, node));
        // An operand that broadcasts the step would make more elements than its source has.
        steps[output.0] = found.filter(|found| shapes.shape(found.source) == shapes.shape(output));
    }
    steps
}

/// A comparison of a computed value with one number.
fn started(graph: &Graph, node: &Node) -> Option<Steps> {
    let computed = |idx: usize| node.inputs.get(idx).copied().flatten().filter(|id| graph.constant(*id).is_none());
    let (source, threshold) = match node.op {
        Op::Sign => (computed(0)?, 0.0),
        Op::Greater | Op::GreaterOrEqual | Op::Less | Op::LessOrEqual => match (computed(0), computed(1)) {
            (Some(source), None) => (source, one_number(graph, node.inputs[1]?)?),
            (None, Some(source)) => (source, one_number(graph, node.inputs[0]?)?),
            _ => return None,
        },
        _ => return None,
    };
    if !threshold.is_finite() {
        return None;
    }
    let around = Tensor::from_f32(vec![3], vec![threshold.next_down(), threshold, threshold.next_up()]);
    let inputs: Vec<Option<Tensor>> = node
        .inputs
        .iter()
        .map(|id| id.map(|id| if id == source { Some(around.clone()) } else { single(graph, id) }))
        .collect::<Option<_>>()?;
    let values = applied(node, &inputs)?;
    Some(Steps { source, threshold, values })
}

/// An element-wise operator on steps of one source and one threshold, and on single numbers.
fn continued(graph: &Graph, node: &Node, steps: &[Option<Steps>]) -> Option<Steps> {
    if node.op.class() != Class::ElementWise || matches!(node.op, Op::Dropout(_)) {
        return None;
    }
    let mut first: Option<&Steps> = None;
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for id in &node.inputs {
        let Some(id) = *id else {
            inputs.push(None);
            continue;
        };
        if graph.constant(id).is_some() {
            inputs.push(Some(single(graph, id)?));
            continue;
        }
        let step = steps[id.0].as_ref()?;
        let other = *first.get_or_insert(step);
        if other.source != step.source || other.threshold.to_bits() != step.threshold.to_bits() {
            return None;
        }
        inputs.push(Some(step.values.clone()));
    }
    let first = first?;
    let values = applied(node, &inputs)?;
    Some(Steps { source: first.source, threshold: first.threshold, values })
}

fn applied(node: &Node, inputs: &[Option<Tensor>]) -> Option<Tensor> {
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
    let output = evaluate(&node.op, &node.name, &inputs).ok()?.into_iter().next()?;
    (output.shape() == [3]).then_some(output)
}

/// A constant whose elements are all the same, as one element.
fn single(graph: &Graph, id: ValueId) -> Option<Tensor> {
    let constant = graph.constant(id)?;
    if constant.is_empty() || (constant.len() > 1 && constant.dtype() != DType::F32) {
        return None;
    }
    if let Some([first, rest @ ..]) = constant.as_f32() {
        return rest.iter().all(|x| x.to_bits() == first.to_bits()).then(|| Tensor::from_f32(vec![1], vec![*first]));
    }
    constant.reshaped(vec![1])
}

/// The number that a constant holds.
fn one_number(graph: &Graph, id: ValueId) -> Option<f32> {
    single(graph, id)?.as_f32().map(|numbers| numbers[0])
}
