//! Channels that batch normalization scales down go.

use skimp_graph::{Graph, Op};

use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Refusal, Removes, Request, filters};

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
            let mut sums: Vec<Vec<(f64, usize)>> =
                channels.groups().iter().map(|group| vec![(0.0, 0); group.units.len()]).collect();
            for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))) {
                let scale = node.inputs[1].and_then(|id| graph.constant(id)).and_then(|tensor| tensor.as_f32());
                let (Some(scale), Some((1, units))) = (scale, channels.along(node.outputs[0])) else { continue };
                for (scale, unit) in scale.iter().zip(units) {
                    let Some((group, unit)) = unit else { continue };
                    let (sum, n) = &mut sums[group][unit];
                    (*sum, *n) = (*sum + f64::from(scale.abs()), *n + 1);
                }
            }
            let mut refused = Vec::new();
            let mut all = Vec::with_capacity(sums.len());
            for (group, sums) in channels.groups().iter().zip(sums) {
                let is_scored = sums.iter().all(|&(_, n)| n > 0);
                if !is_scored {
                    let node = graph.nodes()[group.layers[0]].name.clone();
                    refused.push(Refusal { node, reason: "no batch normalization scales its channels".to_owned() });
                }
                all.push(is_scored.then(|| sums.into_iter().map(|(sum, n)| sum / n as f64).collect()));
            }
            Ok((all, refused))
        })
    }
}
