//! Filters of small absolute weights go.

use skimp_graph::Graph;

use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters, scores};

/// Removes the channels whose filters have the smallest sum of absolute weights.
///
/// Where several layers make a channel (the sum of a residual block) its score is the mean over them; the paper takes
/// the projection's filters alone. All layers are scored on the weights that they have in the network as it comes: the
/// paper's independent way, not its greedy one.
///
/// # Source
/// Li, Kadav, Durdanovic, Samet and Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.
#[derive(Debug)]
pub(super) struct L1;

impl Method for L1 {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "l1",
            summary: "filters with the smallest sum of absolute weights go",
            source: "Li et al., \"Pruning Filters for Efficient ConvNets\", ICLR 2017; joined layers are scored by their mean",
            removes: Removes::Channels,
            needs: Needs::Nothing,
        }
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        filters::reduce(self, graph, request, |channels| {
            Ok((scores::of_makers(channels, |weight| scores::sums(weight, f64::abs)), Vec::new()))
        })
    }
}
