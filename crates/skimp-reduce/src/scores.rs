//! Scores of channels: from the weights that make them, and means of what is found where they pass.

use std::collections::BTreeMap;

use crate::Refusal;
use crate::channels::{Channels, Unit, UnitAt, Weight};
use crate::filters::Scores;

/// For each unit the mean, over the channels that layers make of it, of what `score` says of each channel of a layer.
pub(crate) fn of_makers(channels: &Channels<'_>, score: impl Fn(&Weight<'_>) -> Vec<f64>) -> Scores {
    let makers = channels.groups().iter().flat_map(|group| group.layers.iter().copied());
    let of: BTreeMap<usize, Vec<f64>> =
        makers.filter_map(|node| Some((node, score(&channels.weight(node, false)?)))).collect();
    let mean = |unit: &Unit| {
        let found = unit.makes.iter().filter_map(|slice| of.get(&slice.node)?.get(slice.channel));
        let (sum, n) = found.fold((0.0, 0_usize), |(sum, n), score| (sum + score, n + 1));
        sum / n.max(1) as f64
    };
    channels.groups().iter().map(|group| Some(group.units.iter().map(mean).collect())).collect()
}

/// Sums of `term` over the weights of each channel.
pub(crate) fn sums(weight: &Weight<'_>, term: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; weight.n_channels()];
    weight.for_each(|channel, value| sums[channel] += term(f64::from(value)));
    sums
}

/// Means over all places at which something was found about a unit.
#[derive(Debug)]
pub(crate) struct Means {
    /// For each group and unit: sum and number.
    sums: Vec<Vec<(f64, usize)>>,
}

impl Means {
    pub(crate) fn new(channels: &Channels<'_>) -> Self {
        Self { sums: channels.groups().iter().map(|group| vec![(0.0, 0); group.units.len()]).collect() }
    }

    /// Something was found about a unit.
    pub(crate) fn add(&mut self, (group, unit): UnitAt, found: f64) {
        let (sum, n) = &mut self.sums[group][unit];
        (*sum, *n) = (*sum + found, *n + 1);
    }

    /// The means. A group about some of whose units nothing was found stays, and is refused with `reason`.
    pub(crate) fn finish(self, channels: &Channels<'_>, reason: &str) -> (Scores, Vec<Refusal>) {
        let nodes = channels.graph().nodes();
        let (mut scores, mut refused) = (Vec::with_capacity(self.sums.len()), Vec::new());
        for (group, sums) in channels.groups().iter().zip(self.sums) {
            let is_scored = sums.iter().all(|&(_, n)| n > 0);
            if !is_scored {
                refused.push(Refusal { node: nodes[group.layers[0]].name.clone(), reason: reason.to_owned() });
            }
            scores.push(is_scored.then(|| sums.into_iter().map(|(sum, n)| sum / n as f64).collect()));
        }
        (scores, refused)
    }
}
