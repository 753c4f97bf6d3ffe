//! The three passes that find the parameters of the predictive mode.
//!
//! # Source
//! V. Akhlaghi et al., SnaPEA, ISCA 2018, the algorithm of its parameter search: kernel profiling, local and global
//! optimization.
//! Differs: the thresholds of the grid are placed by shares of a kernel's positive output; the error of a kernel's sets
//! is measured from the cheapest one on until one keeps the bound, and is taken to be no greater for the milder sets
//! behind it.

use std::sync::Arc;

use rayon::prelude::*;
use skimp_sim::{LayerTrace, LayerWorkload, SimError, Tuner};

use super::order::{KernelOrder, NegativeOrder, Prediction};
use super::scan::{Field, scan_filter, speculate};
use super::squash::{LayerPredictions, Squash};

/// What the first pass asks of a kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelCriterion {
    /// The network's accuracy when only this kernel predicts.
    Accuracy,
    /// Nothing: the grid alone bounds them. For networks with too many kernels to measure.
    None,
}

/// What bounds a search.
#[derive(Clone, Debug)]
pub(super) struct SearchConfig {
    pub(super) max_accuracy_loss: f64,
    pub(super) kernel_criterion: KernelCriterion,
    pub(super) speculation_weights: Vec<usize>,
    /// Shares of a kernel's positive output that may be squashed, the most first.
    pub(super) squashed_shares: Vec<f64>,
    pub(super) negative_order: NegativeOrder,
}

/// One way to run a kernel: its parameters, or `None` for exact, and its multiply-accumulates on the traces.
type KernelSet = (Option<Prediction>, u64);

/// One way to run a layer.
#[derive(Clone, Debug)]
struct Candidate {
    kernels: Vec<Option<Prediction>>,
    /// Multiply-accumulates on the traces.
    work: u64,
    /// Accuracy that the network loses when only this layer predicts.
    loss: f64,
}

/// A layer's candidates, least work first; the last one is exact.
struct Layer {
    name: String,
    candidates: Vec<Candidate>,
    chosen: usize,
}

/// Finds predictions under which the network loses at most the allowed accuracy.
///
/// Pass 1, kernels: for each point of the grid (number of speculation weights, share of positive output squashed) the
/// multiply-accumulates on the traces; the points that lose at most the allowed accuracy when only this kernel predicts
/// are kept, cheapest first. Pass 2, layers: candidate `t` gives every kernel its `t`-th set; its loss is measured when
/// only this layer predicts. Pass 3, network: from the least work of every layer towards exact, the step of the best
/// loss saved per work added, until the measured loss is allowed.
pub(super) fn search(tuner: &dyn Tuner, config: &SearchConfig) -> Result<Vec<LayerPredictions>, SimError> {
    let bound = Bound { exact: tuner.accuracy(None)?, max_loss: config.max_accuracy_loss + 1e-9 };
    let mut layers = Vec::new();
    for (idx, layer) in tuner.layers().iter().enumerate() {
        if !layer.negatives.are_unseen() || layer.weights.is_none() || tuner.traces(idx).is_empty() {
            continue;
        }
        let mut kernels = kernel_sets(layer, tuner.traces(idx), config)?;
        if config.kernel_criterion == KernelCriterion::Accuracy {
            for (kernel, sets) in kernels.iter_mut().enumerate() {
                keep_within_bound(tuner, bound, layer, kernel, sets)?;
            }
        }
        let candidates = layer_candidates(tuner, bound, layer, &kernels)?;
        layers.push(Layer { name: layer.name.clone(), candidates, chosen: 0 });
    }
    global(tuner, bound, layers)
}

/// Accuracy of the exact network, and what may be lost.
#[derive(Clone, Copy, Debug)]
struct Bound {
    exact: f64,
    max_loss: f64,
}

impl Bound {
    fn loss(self, tuner: &dyn Tuner, predictions: Vec<LayerPredictions>) -> Result<f64, SimError> {
        Ok(self.exact - tuner.accuracy(Some(&Squash(predictions)))?)
    }
}

/// Pass 1: drops the cheapest sets of one kernel until one loses at most the bound.
fn keep_within_bound(
    tuner: &dyn Tuner,
    bound: Bound,
    layer: &LayerWorkload,
    kernel: usize,
    sets: &mut Vec<KernelSet>,
) -> Result<(), SimError> {
    while let Some((Some(prediction), _)) = sets.first() {
        let mut only = vec![None; layer.shape.k()];
        only[kernel] = Some(*prediction);
        if bound.loss(tuner, vec![LayerPredictions::new(&layer.name, only)])? <= bound.max_loss {
            break;
        }
        sets.remove(0);
    }
    Ok(())
}

/// Pass 2: candidates of one layer with their measured loss, those beyond the bound left out.
fn layer_candidates(
    tuner: &dyn Tuner,
    bound: Bound,
    layer: &LayerWorkload,
    kernels: &[Vec<KernelSet>],
) -> Result<Vec<Candidate>, SimError> {
    let most = kernels.iter().map(Vec::len).max().unwrap_or(1);
    let mut candidates: Vec<Candidate> = Vec::new();
    for rank in 0..most {
        let of_rank = |sets: &Vec<KernelSet>| sets[rank.min(sets.len() - 1)];
        let kernels: Vec<KernelSet> = kernels.iter().map(of_rank).collect();
        let mut candidate = Candidate {
            work: kernels.iter().map(|set| set.1).sum(),
            kernels: kernels.into_iter().map(|set| set.0).collect(),
            loss: 0.0,
        };
        if candidate.kernels.iter().any(Option::is_some) {
            candidate.loss = bound.loss(tuner, vec![LayerPredictions::new(&layer.name, candidate.kernels.clone())])?;
            if candidate.loss > bound.max_loss {
                continue;
            }
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}

/// Pass 3.
fn global(tuner: &dyn Tuner, bound: Bound, mut layers: Vec<Layer>) -> Result<Vec<LayerPredictions>, SimError> {
    loop {
        let of_layer =
            |layer: &Layer| LayerPredictions::new(&layer.name, layer.candidates[layer.chosen].kernels.clone());
        let network: Vec<LayerPredictions> = layers.iter().map(of_layer).filter(LayerPredictions::predicts).collect();
        if network.is_empty() || bound.loss(tuner, network.clone())? <= bound.max_loss {
            return Ok(network);
        }
        let merit = |layer: &Layer| {
            let (now, next) = (&layer.candidates[layer.chosen], layer.candidates.get(layer.chosen + 1)?);
            Some((now.loss - next.loss) / (next.work.saturating_sub(now.work).max(1)) as f64)
        };
        let best = (0..layers.len())
            .filter_map(|idx| merit(&layers[idx]).map(|merit| (idx, merit)))
            .reduce(|best, other| if other.1 > best.1 { other } else { best });
        match best {
            Some((idx, _)) => layers[idx].chosen += 1,
            // Every layer is exact: nothing is left to lose.
            None => return Ok(network),
        }
    }
}

/// A layer's operands on one image.
struct Operands {
    field: Field,
    activation: Arc<[i32]>,
    starts: Arc<[i64]>,
    sums: Arc<[i64]>,
}

/// The sets of every kernel of the grid that save work, cheapest first; the exact one last.
fn kernel_sets(
    layer: &LayerWorkload,
    traces: &[LayerTrace],
    config: &SearchConfig,
) -> Result<Vec<Vec<KernelSet>>, SimError> {
    let mut operands = Vec::new();
    for trace in traces {
        let (padded, activation) = layer.with_padding(trace.activation()?);
        let field = Field::new(&padded, &activation);
        operands.push(Operands { field, activation, starts: trace.start_values()?, sums: trace.output_sums()? });
    }
    let layer = layer.with_padding_as_input();
    Ok((0..layer.shape.k()).into_par_iter().map(|filter| profile(&layer, filter, &operands, config)).collect())
}

/// One output under some number of speculation weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    /// Sum after the speculation weights.
    partial: i64,
    /// Exact sum.
    sum: i64,
    /// Multiply-accumulates unless it is predicted negative.
    macs: u64,
}

fn profile(layer: &LayerWorkload, filter: usize, operands: &[Operands], config: &SearchConfig) -> Vec<KernelSet> {
    let (depth, windows) = (layer.shape.inputs_per_output(), layer.shape.p() * layer.shape.q());
    let weights = &layer.weights.as_deref().unwrap_or_default()[filter * depth..(filter + 1) * depth];
    let here = filter * windows..(filter + 1) * windows;
    let outcomes = |n_speculation: usize| {
        let order = KernelOrder::new(weights, n_speculation, config.negative_order);
        let mut outcomes = Vec::with_capacity(windows * operands.len());
        for image in operands {
            let starts = &image.starts[here.clone()];
            let mut partial = starts.to_vec();
            speculate(layer, &image.activation, filter, &order.speculation, &mut partial);
            let macs = scan_filter(&image.field, layer, filter, (&order, None), starts).counts;
            let sums = &image.sums[here.clone()];
            outcomes.extend(partial.iter().zip(sums).zip(macs).map(|((&partial, &sum), (macs, _))| Outcome {
                partial,
                sum,
                macs: u64::from(macs),
            }));
        }
        outcomes.sort_unstable();
        (order.speculation.len() as u64, outcomes)
    };
    let exact: u64 = outcomes(0).1.iter().map(|outcome| outcome.macs).sum();
    let mut sets: Vec<KernelSet> = Vec::new();
    let mut best: Vec<KernelSet> = vec![(None, exact); config.squashed_shares.len()];
    for &n_speculation in config.speculation_weights.iter().filter(|&&n| 2 * n <= depth) {
        let (n_executed, outcomes) = outcomes(n_speculation);
        for (&share, best) in config.squashed_shares.iter().zip(&mut best) {
            let Some((threshold, work)) = threshold(&outcomes, n_executed, share) else { continue };
            if work < best.1 {
                *best = (Some(Prediction { n_speculation, threshold }), work);
            }
        }
    }
    // A milder share that costs no more than a bolder one takes its place.
    for set in best.into_iter().filter(|set| set.0.is_some()).rev() {
        if sets.last().is_none_or(|milder| set.1 < milder.1) {
            sets.push(set);
        }
    }
    sets.reverse();
    sets.push((None, exact));
    sets
}

/// The greatest partial sum at or below which outputs hold at most `share` of all positive output, and the
/// multiply-accumulates under it. `outcomes` ascend by partial sum; those predicted negative take `n_executed`.
fn threshold(outcomes: &[Outcome], n_executed: u64, share: f64) -> Option<(i64, u64)> {
    let positive: f64 = outcomes.iter().map(|outcome| outcome.sum.max(0) as f64).sum();
    let all: u64 = outcomes.iter().map(|outcome| outcome.macs).sum();
    let (mut squashed, mut macs) = (0.0, 0);
    let mut found = None;
    for (idx, outcome) in outcomes.iter().enumerate() {
        squashed += outcome.sum.max(0) as f64;
        macs += outcome.macs;
        if squashed > share * positive {
            break;
        }
        // Equal partial sums are squashed together.
        if outcomes.get(idx + 1).is_none_or(|next| next.partial != outcome.partial) {
            found = Some((outcome.partial, (idx as u64 + 1) * n_executed + all - macs));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_keep_to_the_share() {
        let outcomes: Vec<Outcome> = [(-9, -5), (-4, 1), (-4, -2), (0, 3), (2, -1), (3, 6)]
            .map(|(partial, sum)| Outcome { partial, sum, macs: 10 })
            .to_vec();
        let found = |share| threshold(&outcomes, 2, share);
        assert_eq!(found(0.0), Some((-9, 52)));
        assert_eq!(found(0.1), Some((-4, 36)));
        assert_eq!(found(0.4), Some((2, 20)));
        assert_eq!(found(1.0), Some((3, 12)));
        assert_eq!(threshold(&[Outcome { partial: 1, sum: 4, macs: 10 }], 2, 0.5), None);
    }
}
