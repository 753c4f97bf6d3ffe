//! Scores of channels from the weights that make and read them.

use crate::channels::{Channels, Weight};
use crate::filters::Scores;

/// For each unit the mean, over the channels that layers make of it, of what `score` says of each channel of a layer.
pub(crate) fn of_makers(channels: &Channels<'_>, mut score: impl FnMut(&Weight<'_>, usize) -> Vec<f64>) -> Scores {
    let of_node = |node: usize| {
        let weight = channels.weight(node, false)?;
        let n = n_channels(channels, node);
        Some(score(&weight, n))
    };
    let n_nodes = channels.graph().nodes().len();
    let is_maker = |node: &usize| channels.groups().iter().any(|group| group.layers.contains(node));
    let mut of: Vec<Option<Vec<f64>>> = vec![None; n_nodes];
    (0..n_nodes)
        .filter(is_maker)
        .map(of_node)
        .zip((0..n_nodes).filter(is_maker))
        .for_each(|(found, node)| of[node] = found);
    let unit_score = |unit: &crate::channels::Unit| {
        let (mut sum, mut n) = (0.0, 0_usize);
        for slice in &unit.makes {
            if let Some(score) = of[slice.node].as_ref().and_then(|scores| scores.get(slice.channel)) {
                (sum, n) = (sum + score, n + 1);
            }
        }
        sum / n.max(1) as f64
    };
    channels.groups().iter().map(|group| Some(group.units.iter().map(unit_score).collect())).collect()
}

/// Channels that a node makes.
fn n_channels(channels: &Channels<'_>, node: usize) -> usize {
    let slices = channels.groups().iter().flat_map(|group| &group.units).flat_map(|unit| &unit.makes);
    slices.filter(|slice| slice.node == node).map(|slice| slice.channel + 1).max().unwrap_or(0)
}

/// Sums of `term` over the weights of each channel.
pub(crate) fn sums(weight: &Weight<'_>, n: usize, term: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; n];
    weight.for_each(|channel, value| {
        if let Some(sum) = sums.get_mut(channel) {
            *sum += term(f64::from(value));
        }
    });
    sums
}
