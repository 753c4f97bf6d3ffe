//! Channels that batch normalization scales down go.

use skimp_graph::{Graph, Op};

use crate::channels::{Channels, UnitAt};
use crate::scores::Means;
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters};

/// Removes the channels whose batch normalizations have the smallest absolute scale; the mean where there are several.
/// A group without batch normalization stays, and is listed.
///
/// The paper trains with an L1 penalty on these scales first: a network that comes trained may be used as it is, or
/// trained with one elsewhere.
///
/// # Source
/// Liu, Li, Shen, Huang, Yan and Zhang, "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017.
#[derive(Debug)]
pub(super) struct Slimming;

impl Method for Slimming {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "slimming",
            summary: "channels with the smallest scale of batch normalization go",
            source: "Liu et al., \"Learning Efficient Convolutional Networks through Network Slimming\", ICCV 2017, without \
                     its sparsity training",
            removes: Removes::Channels,
            needs: Needs::Nothing,
        }
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        filters::reduce(self, graph, request, |channels| {
            let mut means = Means::new(channels);
            for (scale, unit) in scales(graph, channels) {
                means.add(unit, f64::from(scale.abs()));
            }
            Ok(means.finish(channels, "no batch normalization scales its channels"))
        })
    }
}

/// The scales of all batch normalizations, with the units that they scale.
fn scales(graph: &Graph, channels: &Channels<'_>) -> Vec<(f32, UnitAt)> {
    let mut found = Vec::new();
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))) {
        let scale = node.inputs[1].and_then(|id| graph.constant(id)).and_then(|tensor| tensor.as_f32());
        let (Some(scale), Some((1, units))) = (scale, channels.along(node.outputs[0])) else { continue };
        found.extend(scale.iter().zip(units).filter_map(|(&scale, unit)| Some((scale, unit?))));
    }
    found
}
