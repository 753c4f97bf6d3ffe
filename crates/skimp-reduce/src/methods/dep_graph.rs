//! Channels that matter little to all that makes, scales and reads them go.

use skimp_graph::{Graph, Op};

use crate::channels::{Slice, Unit};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters, scores};

/// Removes the channels with the smallest squared norm over all parameters of their group: the filters that make them,
/// the scales of batch normalization, and the weights that read them.
///
/// # Source
/// Fang, Ma, Song, Mi and Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023, the group's importance
/// `I_{g,k} = Σ ||w[k]||²`, without its sparsity training; every parameter tensor counts with its mean over the group,
/// so that none outweighs the others by its size.
#[derive(Debug)]
pub(super) struct DepGraph;

impl Method for DepGraph {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "dep-graph",
            summary: "channels with the smallest norm over all parameters of their group go",
            source: "Fang et al., \"DepGraph: Towards Any Structural Pruning\", CVPR 2023, without its sparsity training; \
                     each tensor's norms are divided by their mean",
            removes: Removes::Channels,
            needs: Needs::Nothing,
        }
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        filters::reduce(self, graph, request, |channels| {
            let groups = channels.groups();
            let mut totals: Vec<Vec<f64>> = groups.iter().map(|group| vec![0.0; group.units.len()]).collect();
            // Adds the squares of one tensor, by unit, over their mean.
            let mut add = |group: usize, squares: Vec<f64>| {
                let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
                if mean > 0.0 {
                    totals[group].iter_mut().zip(squares).for_each(|(total, square)| *total += square / mean);
                }
            };
            for (at, group) in groups.iter().enumerate() {
                for reads in [false, true] {
                    let mut nodes: Vec<usize> =
                        group.units.iter().flat_map(|unit| slices(unit, reads)).map(|slice| slice.node).collect();
                    nodes.sort_unstable();
                    nodes.dedup();
                    for node in nodes {
                        let Some(weight) = channels.weight(node, reads) else { continue };
                        let of_channel = scores::sums(&weight, |x| x * x);
                        let of_unit = |unit| {
                            let own = slices(unit, reads).iter().filter(|slice| slice.node == node);
                            own.map(|slice| of_channel[slice.channel]).sum()
                        };
                        add(at, group.units.iter().map(of_unit).collect());
                    }
                }
            }
            for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))) {
                let scale = node.inputs[1].and_then(|id| graph.constant(id)).and_then(|tensor| tensor.as_f32());
                let (Some(scale), Some((1, units))) = (scale, channels.along(node.outputs[0])) else { continue };
                for (at, group) in groups.iter().enumerate() {
                    let mut squares = vec![0.0; group.units.len()];
                    let own = scale.iter().zip(&units).filter_map(|(scale, unit)| {
                        unit.filter(|&(group, _)| group == at).map(|(_, unit)| (scale, unit))
                    });
                    own.for_each(|(scale, unit)| squares[unit] += f64::from(scale * scale));
                    add(at, squares);
                }
            }
            Ok((totals.into_iter().map(Some).collect(), Vec::new()))
        })
    }
}

/// The channels of a unit that layers make, or read.
fn slices(unit: &Unit, reads: bool) -> &[Slice] {
    if reads { &unit.reads } else { &unit.makes }
}
