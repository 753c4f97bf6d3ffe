//! Filters near the geometric median go.

use rayon::prelude::*;
use skimp_graph::Graph;

use crate::channels::Weight;
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters, scores};

/// Removes the channels whose filters have the smallest sum of Euclidean distances to all filters of their layer: those
/// that the others can replace.
///
/// # Source
/// He, Liu, Wang, Hu and Yang, "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
/// Acceleration", CVPR 2019, equation 5. Joined layers are scored by their mean.
#[derive(Debug)]
pub(super) struct Fpgm;

impl Method for Fpgm {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "fpgm",
            summary: "filters nearest to the geometric median of their layer go",
            source: "He et al., \"Filter Pruning via Geometric Median\", CVPR 2019; joined layers are scored by their mean",
            removes: Removes::Channels,
            needs: Needs::Nothing,
        }
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        filters::reduce(self, graph, request, |channels| Ok((scores::of_makers(channels, distances), Vec::new())))
    }
}

/// For each filter the sum of its distances to all of them.
fn distances(weight: &Weight<'_>) -> Vec<f64> {
    let mut filters: Vec<Vec<f32>> = vec![Vec::new(); weight.n_channels()];
    weight.for_each(|channel, value| filters[channel].push(value));
    filters.par_iter().map(|a| filters.iter().map(|b| distance(a, b)).sum()).collect()
}

/// Numbers that are summed side by side.
const LANES: usize = 16;

/// The Euclidean distance: squares of up to a few thousand differences in f32, whose relative error of 1e-4 at most does
/// not change an order that means something.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use skimp_graph::{Tensor, ValueId};

    use super::distances;
    use crate::channels::Weight;

    #[test]
    fn the_one_in_the_middle_is_replaceable() {
        let tensor = Tensor::from_f32(vec![3, 2], vec![0.0, 0.0, 3.0, 4.0, 6.0, 8.0]);
        let weight = Weight { id: ValueId(0), tensor: &tensor, axis: 0, groups: 1 };
        assert_eq!(distances(&weight), [15.0, 10.0, 15.0]);
    }
}
