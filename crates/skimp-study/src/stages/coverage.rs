//! Which of a network's layers a run covers, and why not the others.

use std::collections::{HashMap, HashSet};

use skimp_data::InputSpec;
use skimp_graph::binary::BinaryGraph;
use skimp_graph::{Graph, Node, Op, ValueId, shape, statistics};
use skimp_quant::QuantizedLayer;
use skimp_report::records::{Coverage, LeftOut};
use skimp_sim::LayerWorkload;

use crate::error::StudyError;
use crate::inputs::network::Network;

/// The nodes of a network that multiply and accumulate, and how much for one image.
#[derive(Debug)]
pub(crate) struct NetworkWork {
    nodes: Vec<NodeWork>,
}

#[derive(Debug)]
struct NodeWork {
    name: String,
    operator: &'static str,
    macs: u64,
    /// What keeps the node from being a layer.
    obstacle: String,
}

impl NetworkWork {
    /// Counts `network` on images of extents `input`.
    ///
    /// # Errors
    /// The node's error if the shapes do not fit.
    pub(crate) fn new(network: &Network, input: InputSpec) -> Result<Self, StudyError> {
        Self::on(network, Some((input.height, input.width)))
    }

    /// As [`new`](Self::new), with height and width where the network leaves them open.
    pub(crate) fn on(network: &Network, size: Option<(usize, usize)>) -> Result<Self, StudyError> {
        let graph = &network.graph;
        let inputs = shape::bind(graph, 1, size)?;
        let n_images = inputs.first().and_then(|shape| shape.first()).map_or(1, |&n| n.max(1) as u64);
        let shapes = shape::infer(graph, &inputs)?;
        let fixed = fixed_values(graph);
        let layers = statistics::compute(graph, &shapes).layers;
        let nodes = graph.nodes().iter().zip(layers).filter(|(_, layer)| layer.macs > 0);
        let nodes = nodes.map(|(node, layer)| NodeWork {
            macs: layer.macs / n_images,
            name: layer.name,
            operator: layer.op,
            obstacle: obstacle(node, &fixed, &shapes),
        });
        Ok(Self { nodes: nodes.collect() })
    }

    /// Multiply-accumulates of the node of that name for one image; 0 where there is none.
    pub(crate) fn macs_of(&self, name: &str) -> u64 {
        self.nodes.iter().find(|node| node.name == name).map_or(0, |node| node.macs)
    }

    /// The part whose nodes `covers`; `reason` says why another one is not, if it is not the node's own form.
    /// `other_macs` are those of covered layers that are no node here.
    fn covered(
        &self,
        other_macs: u64,
        covers: impl Fn(&str) -> bool,
        reason: impl Fn(&str) -> Option<String>,
    ) -> Coverage {
        let macs = self.nodes.iter().filter(|node| covers(&node.name)).map(|node| node.macs).sum();
        let left_out = self.nodes.iter().filter(|node| !covers(&node.name)).map(|node| LeftOut {
            name: node.name.clone(),
            operator: node.operator.to_owned(),
            macs: node.macs,
            reason: reason(&node.name).unwrap_or_else(|| node.obstacle.clone()),
        });
        Coverage::new(macs, other_macs, left_out.collect())
    }

    /// The part that runs in integers, in layers of the names `layers`.
    pub(crate) fn in_integers<'l>(&self, layers: impl IntoIterator<Item = &'l str>) -> Coverage {
        let layers: HashSet<&str> = layers.into_iter().collect();
        self.covered(0, |name| layers.contains(name), |_| None)
    }

    /// The part that runs on packed bits.
    pub(crate) fn in_bits(&self, binary: &BinaryGraph) -> Coverage {
        let events = binary.event_layers().map(|(node, _)| node.name.as_str());
        let layers: HashSet<&str> = binary.layers().map(|(node, _)| node.name.as_str()).chain(events).collect();
        let reasons: HashMap<&str, &str> =
            binary.float_layers.iter().map(|(name, reason)| (name.as_str(), reason.as_str())).collect();
        let reason = |name: &str| Some((*reasons.get(name).unwrap_or(&"it has no form on bits")).to_owned());
        self.covered(0, |name| layers.contains(name), reason)
    }

    /// The part that `simulated` layers cover; of the others among `quantized`, `reasons` say why the run leaves them out.
    pub(crate) fn simulated(
        &self,
        simulated: &[&LayerWorkload],
        quantized: &[QuantizedLayer],
        reasons: &HashMap<String, String>,
    ) -> Coverage {
        let names: HashSet<&str> = simulated.iter().map(|layer| layer.name.as_str()).collect();
        let counted: HashSet<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        let others = simulated.iter().filter(|layer| !counted.contains(&*layer.name));
        let other_macs = others.map(|layer| layer.shape.dense_macs()).sum();
        let known: HashSet<&str> = quantized.iter().map(|layer| layer.name.as_str()).collect();
        let reason = |name: &str| reasons.get(name).filter(|_| known.contains(name)).cloned();
        self.covered(other_macs, |name| names.contains(name), reason)
    }
}

/// Whether each value is a constant, or made of constants alone.
fn fixed_values(graph: &Graph) -> Vec<bool> {
    let mut fixed: Vec<bool> = graph.values().iter().map(|value| value.constant.is_some()).collect();
    for node in graph.nodes() {
        let all_fixed = node.inputs.iter().flatten().all(|id| fixed[id.0]);
        node.outputs.iter().for_each(|id| fixed[id.0] = all_fixed);
    }
    fixed
}

/// Why a node that multiplies and accumulates is no layer of an integer network.
fn obstacle(node: &Node, fixed: &[bool], shapes: &shape::Shapes) -> String {
    let operand = |idx: usize| node.inputs.get(idx).copied().flatten();
    let is_constant = |idx: usize| operand(idx).is_some_and(|id: ValueId| fixed[id.0]);
    let rank = |idx: usize| operand(idx).map_or(0, |id| shapes.shape(id).len());
    let text = match &node.op {
        Op::Conv(_) if !is_constant(1) => "a convolution whose weights are computed",
        Op::Conv(_) if rank(1) > 4 => "a convolution over three axes: layers have one or two",
        Op::Gemm(_) | Op::MatMul if is_constant(0) && is_constant(1) => "a product of two constants",
        Op::Gemm(_) | Op::MatMul if is_constant(0) => "a product whose weights are its first operand",
        Op::Gemm(_) | Op::MatMul if !is_constant(1) => "a product of two activations",
        Op::Gemm(gemm) if gemm.trans_a => "a product with transposed activations",
        Op::Gemm(_) => "a product with an addend that is not constant per column",
        Op::MatMul if rank(1) > 2 => "a product with more than one matrix of weights",
        Op::MatMul => "a product with a vector",
        other => return format!("{} has no form as a layer of an integer network", other.name()),
    };
    text.to_owned()
}
