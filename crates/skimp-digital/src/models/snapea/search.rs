//! The three passes that find the parameters of the predictive mode.

use rayon::prelude::*;
use skimp_sim::{EndSupport, LayerEffect, LayerTrace, LayerWorkload, SimError, Tuner};

use super::order::{KernelOrder, NegativeOrder, Prediction};
use super::scan::{Field, scan_filter, speculate};

/// The kernels of one layer, `None` where a kernel does not predict.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerPredictions {
    pub(super) layer: String,
    pub(super) kernels: Vec<Option<Prediction>>,
}

/// What bounds a search.
#[derive(Clone, Debug)]
pub(super) struct SearchConfig {
    pub(super) max_accuracy_loss: f64,
    pub(super) speculation_weights: Vec<usize>,
    /// Shares of a kernel's positive output that may be squashed, the most first.
    pub(super) squashed_shares: Vec<f64>,
    pub(super) negative_order: NegativeOrder,
}

/// What predictions do to values: a positive output that is predicted negative becomes -1, which a ReLU makes 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Squash(pub(super) Vec<LayerPredictions>);

impl Squash {
    pub(super) fn of(&self, layer: &LayerWorkload) -> Option<&LayerPredictions> {
        let known = self.0.iter().find(|known| known.layer == layer.name)?;
        (known.kernels.len() == layer.k && known.kernels.iter().any(Option::is_some)).then_some(known)
    }
}

impl LayerEffect for Squash {
    fn applies(&self, layer: &LayerWorkload) -> bool {
        self.of(layer).is_some()
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let (Some(predictions), Some(weights)) = (self.of(layer), layer.weights.as_deref()) else { return Ok(()) };
        let field = Field::new(layer, &operands.activation()?);
        let starts = operands.start_values()?;
        let (depth, windows) = (layer.inputs_per_output(), layer.p * layer.q);
        sums.par_chunks_mut(windows).zip(&predictions.kernels).enumerate().for_each(|(filter, (sums, prediction))| {
            let Some(prediction) = prediction else { return };
            let weights = &weights[filter * depth..(filter + 1) * depth];
            let order = KernelOrder::new(weights, prediction.n_speculation, NegativeOrder::Index);
            let of_filter = &starts[filter * windows..(filter + 1) * windows];
            let partial = speculate(&field, layer, filter, &order.speculation, of_filter);
            for (sum, partial) in sums.iter_mut().zip(partial) {
                *sum = if partial <= prediction.threshold { (*sum).min(-1) } else { *sum };
            }
        });
        Ok(())
    }
}

/// One way to run a layer.
#[derive(Clone, Debug)]
struct Candidate {
    kernels: Vec<Option<Prediction>>,
    /// Multiply-accumulates on the traces.
    work: u64,
    /// Accuracy that the network loses when only this layer predicts.
    loss: f64,
}

/// Finds predictions under which the network loses at most the allowed accuracy.
///
/// Pass 1, kernels: for each number of speculation weights and each allowed share of squashed positive output, the
/// greatest threshold that keeps to the share on the traces. Pass 2, layers: for each share, every kernel takes the
/// parameters of the least work; the layer's loss is measured on the labeled images. Pass 3, network: from the least
/// work of every layer towards exact, the step of the best loss saved per work added, until the measured loss is
/// allowed.
pub(super) fn search(tuner: &dyn Tuner, config: &SearchConfig) -> Result<Vec<LayerPredictions>, SimError> {
    let exact = tuner.accuracy(None)?;
    let mut layers = Vec::new();
    for (idx, layer) in tuner.layers().iter().enumerate() {
        if layer.end != EndSupport::Valid || tuner.traces(idx).is_empty() {
            continue;
        }
        let mut candidates = layer_candidates(layer, tuner.traces(idx), config)?;
        for candidate in &mut candidates {
            if candidate.kernels.iter().any(Option::is_some) {
                let only =
                    Squash(vec![LayerPredictions { layer: layer.name.clone(), kernels: candidate.kernels.clone() }]);
                candidate.loss = exact - tuner.accuracy(Some(&only))?;
            }
        }
        layers.push((layer.name.clone(), candidates));
    }
    let mut chosen = vec![0; layers.len()];
    loop {
        let network = Squash(
            layers
                .iter()
                .zip(&chosen)
                .map(|((layer, candidates), &choice)| LayerPredictions {
                    layer: layer.clone(),
                    kernels: candidates[choice].kernels.clone(),
                })
                .collect(),
        );
        if exact - tuner.accuracy(Some(&network))? <= config.max_accuracy_loss {
            return Ok(network.0);
        }
        let merit = |idx: usize| {
            let candidates = &layers[idx].1;
            let (now, next) = (&candidates[chosen[idx]], candidates.get(chosen[idx] + 1)?);
            Some((now.loss - next.loss) / (next.work.saturating_sub(now.work).max(1)) as f64)
        };
        let best = (0..layers.len())
            .filter_map(|idx| merit(idx).map(|merit| (idx, merit)))
            .reduce(|best, other| if other.1 > best.1 { other } else { best });
        match best {
            Some((idx, _)) => chosen[idx] += 1,
            // Every layer is exact: nothing is left to lose.
            None => return Ok(network.0),
        }
    }
}

/// Candidates of one layer, least work first; the last one is exact.
fn layer_candidates(
    layer: &LayerWorkload,
    traces: &[LayerTrace],
    config: &SearchConfig,
) -> Result<Vec<Candidate>, SimError> {
    let mut operands = Vec::new();
    for trace in traces {
        operands.push((Field::new(layer, &trace.activation()?), trace.start_values()?, trace.output_sums()?));
    }
    let profiles: Vec<Vec<(Option<Prediction>, u64)>> =
        (0..layer.k).into_par_iter().map(|filter| profile(layer, filter, &operands, config)).collect();
    let mut candidates: Vec<Candidate> = (0..=config.squashed_shares.len())
        .map(|share| Candidate {
            kernels: profiles.iter().map(|kernel| kernel[share].0).collect(),
            work: profiles.iter().map(|kernel| kernel[share].1).sum(),
            loss: 0.0,
        })
        .collect();
    candidates.dedup_by(|next, kept| next.kernels == kept.kernels);
    Ok(candidates)
}

type Operands = (Field, std::sync::Arc<[i64]>, std::sync::Arc<[i64]>);

/// The best parameters of one kernel for each share, and its exact form last; each with its work.
fn profile(
    layer: &LayerWorkload,
    filter: usize,
    operands: &[Operands],
    config: &SearchConfig,
) -> Vec<(Option<Prediction>, u64)> {
    let (depth, windows) = (layer.inputs_per_output(), layer.p * layer.q);
    let weights = &layer.weights.as_deref().unwrap_or_default()[filter * depth..(filter + 1) * depth];
    let here = filter * windows..(filter + 1) * windows;
    let work = |order: &KernelOrder, prediction: Option<Prediction>| -> u64 {
        let of_image = |(field, starts, _): &Operands| {
            let counts = scan_filter(field, layer, filter, (order, prediction), &starts[here.clone()]);
            counts.iter().map(|&(macs, _)| u64::from(macs)).sum::<u64>()
        };
        operands.iter().map(of_image).sum()
    };
    let exact = (None, work(&KernelOrder::new(weights, 0, config.negative_order), None));
    let mut best = vec![exact; config.squashed_shares.len() + 1];
    for &n_speculation in config.speculation_weights.iter().filter(|&&n| 2 * n <= depth) {
        let order = KernelOrder::new(weights, n_speculation, config.negative_order);
        let mut outputs: Vec<(i64, i64)> = Vec::new();
        for (field, starts, sums) in operands {
            let partial = speculate(field, layer, filter, &order.speculation, &starts[here.clone()]);
            outputs.extend(partial.into_iter().zip(sums[here.clone()].iter().copied()));
        }
        outputs.sort_unstable();
        let mut last = None;
        for (share, best) in config.squashed_shares.iter().zip(&mut best) {
            let Some(threshold) = greatest_threshold(&outputs, *share) else { continue };
            let prediction = Prediction { n_speculation, threshold };
            let macs = match last {
                Some((known, macs)) if known == prediction => macs,
                _ => work(&order, Some(prediction)),
            };
            last = Some((prediction, macs));
            if macs < best.1 {
                *best = (Some(prediction), macs);
            }
        }
    }
    best
}

/// The greatest partial sum at or below which outputs hold at most `share` of all positive output. `outputs` are pairs of
/// partial and final sum in ascending order.
fn greatest_threshold(outputs: &[(i64, i64)], share: f64) -> Option<i64> {
    let positive: f64 = outputs.iter().map(|&(_, sum)| sum.max(0) as f64).sum();
    let mut squashed = 0.0;
    let mut threshold = None;
    for (idx, &(partial, sum)) in outputs.iter().enumerate() {
        squashed += sum.max(0) as f64;
        if squashed > share * positive {
            break;
        }
        // Equal partial sums are squashed together.
        if outputs.get(idx + 1).is_none_or(|next| next.0 != partial) {
            threshold = Some(partial);
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_keep_to_the_share() {
        let outputs = [(-9, -5), (-4, 1), (-4, -2), (0, 3), (2, -1), (3, 6)];
        assert_eq!(greatest_threshold(&outputs, 0.0), Some(-9));
        assert_eq!(greatest_threshold(&outputs, 0.1), Some(-4));
        assert_eq!(greatest_threshold(&outputs, 0.4), Some(2));
        assert_eq!(greatest_threshold(&outputs, 1.0), Some(3));
        assert_eq!(greatest_threshold(&[(1, 4)], 0.5), None);
    }
}
