//! Batch normalizations that take the addition and the ReLU behind them in.

use skimp_graph::shape::Shapes;
use skimp_graph::{Graph, Op, ValueId};

/// A batch normalization, perhaps with more behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fusion {
    /// Node of the batch normalization.
    pub(super) norm: usize,
    /// The other operand of the addition.
    pub(super) residual: Option<ValueId>,
    /// Whether a ReLU ends it.
    pub(super) relu: bool,
}

/// All fusions of a graph.
#[derive(Debug)]
pub(super) struct Fusions {
    /// For each node, the fusion that it ends.
    ends: Vec<Option<Fusion>>,
    absorbed: Vec<bool>,
}

impl Fusions {
    /// The fusion whose last node this is.
    pub(super) fn ending_at(&self, node: usize) -> Option<&Fusion> {
        self.ends[node].as_ref()
    }

    /// Whether the node is part of a fusion that ends later.
    pub(super) fn is_absorbed(&self, node: usize) -> bool {
        self.absorbed[node]
    }
}

/// Finds them. Kept values stay visible.
pub(super) fn find(graph: &Graph, shapes: &Shapes, kept: &[bool]) -> Fusions {
    let n = graph.nodes().len();
    let mut fusions = Fusions { ends: vec![None; n], absorbed: vec![false; n] };
    let consumers = graph.consumers();
    // The only reader of a hidden value.
    let next = |id: ValueId| match consumers[id.0].as_slice() {
        &[reader] if !kept[id.0] => Some(reader),
        _ => None,
    };
    for (norm, node) in graph.nodes().iter().enumerate() {
        let is_constant = |id: &Option<ValueId>| id.is_some_and(|id| graph.constant(id).is_some());
        let is_norm = matches!(node.op, Op::BatchNormalization(_));
        if !is_norm || node.inputs.len() != 5 || !node.inputs[1..].iter().all(is_constant) {
            continue;
        }
        let mut fusion = Fusion { norm, residual: None, relu: false };
        let mut last = norm;
        let mut value = node.outputs[0];
        if let Some(reader) = next(value).filter(|&reader| !is_taken(&fusions, reader)) {
            let add = &graph.nodes()[reader];
            let other = add.inputs.iter().flatten().copied().find(|&id| id != value);
            if let (Op::Add, Some(other)) = (&add.op, other)
                && graph.constant(other).is_none()
                && shapes.shape(other) == shapes.shape(value)
            {
                fusion.residual = Some(other);
                (last, value) = (reader, add.outputs[0]);
            }
        }
        if let Some(reader) = next(value)
            && graph.nodes()[reader].op == Op::Relu
        {
            fusion.relu = true;
            last = reader;
        }
        let (first, end) = (norm, last);
        for absorbed in [Some(first), fusion.residual.and_then(|_| next(node.outputs[0]))].into_iter().flatten() {
            fusions.absorbed[absorbed] = absorbed != end;
        }
        fusions.ends[end] = Some(fusion);
    }
    fusions
}

fn is_taken(fusions: &Fusions, node: usize) -> bool {
    fusions.absorbed[node] || fusions.ends[node].is_some()
}
