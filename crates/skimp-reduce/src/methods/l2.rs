//! Filters of small norm go.

use skimp_graph::Graph;

use crate::channels::Weight;
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters, scores};

/// Removes the channels whose filters have the smallest Euclidean norm; joined layers as [`l1`](super::l1).
///
/// # Source
/// Li, Kadav, Durdanovic, Samet and Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, section 4.4 compares it
/// with the sum of absolute weights.
#[derive(Debug)]
pub(super) struct L2;

impl Method for L2 {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "l2",
            summary: "filters with the smallest Euclidean norm go",
            source: "Li et al., \"Pruning Filters for Efficient ConvNets\", ICLR 2017; joined layers are scored by their mean",
            removes: Removes::Channels,
            needs: Needs::Nothing,
        }
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        filters::reduce(self, graph, request, |channels| Ok((scores::of_makers(channels, norms), Vec::new())))
    }
}

/// The Euclidean norm of each filter.
fn norms(weight: &Weight<'_>) -> Vec<f64> {
    scores::sums(weight, |x| x * x).into_iter().map(f64::sqrt).collect()
}
