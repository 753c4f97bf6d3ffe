//! From scores of channels to a smaller network: what all methods that remove channels share.

use std::collections::BTreeMap;

use skimp_graph::rewrite::trial_shapes;
use skimp_graph::statistics::{self, Statistics};
use skimp_graph::{Graph, GraphError};

use crate::channels::{Channels, Gone};
use crate::settings;
use crate::{GroupChange, Measured, Method, Quantity, ReduceError, Reduction, Refusal, Request, Scope, Target};

/// For each group the score of each unit: the lowest ones go first. A group without scores stays.
pub(crate) type Scores = Vec<Option<Vec<f64>>>;

/// Which units of a group go first.
pub(crate) trait Ranking {
    /// Scores of the units, which compare them with those of other groups; `None` if the group stays.
    fn scores(&self, group: usize) -> Option<&[f64]>;

    /// The `n` units that go, where `n` do, in any order.
    fn lowest(&self, group: usize, n: usize) -> Vec<usize>;
}

impl Ranking for Scores {
    fn scores(&self, group: usize) -> Option<&[f64]> {
        self[group].as_deref()
    }

    fn lowest(&self, group: usize, n: usize) -> Vec<usize> {
        ranked(self[group].as_deref().unwrap_or_default()).take(n).collect()
    }
}

/// With a global ranking every group keeps this share.
const FLOOR: f64 = 0.1;

/// Steps of the search for the fraction that meets a target that is counted: fractions are multiples of 2^-12.
const COUNTED_STEPS: u32 = 12;

/// Steps of the search where each network is measured: fractions are multiples of 2^-5.
const MEASURED_STEPS: u32 = 5;

/// The channels that go.
#[derive(Debug)]
pub(crate) struct Chosen<'g> {
    pub(crate) channels: Channels<'g>,
    pub(crate) gone: Gone,
    pub(crate) unscored: Vec<Refusal>,
    /// What was measured to find them.
    measured: Option<String>,
}

impl Chosen<'_> {
    /// What became of the network, of which `graph` is left.
    pub(crate) fn reduction(self, graph: Graph, request: &Request<'_>, mut notes: Vec<String>) -> Reduction {
        let Self { channels, gone, unscored, measured } = self;
        let refused = channels.refused().iter().cloned().chain(unscored).collect();
        if gone.iter().all(Vec::is_empty) {
            notes = vec![format!("target {}: nothing goes, the network is as it was", request.target)];
        }
        notes.extend(measured);
        notes.extend(inexact(&channels, &gone));
        let (groups, masks) = (changes(&channels, &gone), Vec::new());
        Reduction { graph, masks, groups, refused, notes, runtime: None }
    }
}

/// Where removed is not masked.
fn inexact(channels: &Channels<'_>, gone: &Gone) -> Option<String> {
    let nodes = channels.inexact(gone);
    let how_many = match nodes.as_slice() {
        [] => return None,
        [_] => "one node".to_owned(),
        nodes => format!("{} nodes", nodes.len()),
    };
    let names = nodes.join(", ");
    Some(format!("removed is not masked: statistics run over fewer channels than before in {how_many} ({names})"))
}

/// Removes the channels with the lowest scores.
pub(crate) fn reduce(
    method: &dyn Method,
    graph: &Graph,
    request: &Request<'_>,
    score: impl FnOnce(&Channels<'_>) -> Result<(Scores, Vec<Refusal>), ReduceError>,
) -> Result<Reduction, ReduceError> {
    let chosen = choose(method, graph, request, score)?;
    let reduced = chosen.channels.remove(&chosen.gone)?;
    Ok(chosen.reduction(reduced, request, Vec::new()))
}

/// Chooses the channels that go.
pub(crate) fn choose<'g, R: Ranking>(
    method: &dyn Method,
    graph: &'g Graph,
    request: &Request<'_>,
    rank: impl FnOnce(&Channels<'g>) -> Result<(R, Vec<Refusal>), ReduceError>,
) -> Result<Chosen<'g>, ReduceError> {
    settings::parse::<toml::Table>(method.facts().name, &method.settings(), request.settings)?;
    if let Target::Sparsity(_) = request.target {
        return Err(ReduceError::WrongTarget {
            method: method.facts().name.to_owned(),
            expected:
                "channels=, macs=, params=, activations=, latency=, cycles@DESIGN= or energy@DESIGN= (what remains)"
                    .to_owned(),
            target: request.target.to_string(),
        });
    }
    let channels = analyze(graph, request)?;
    let (ranking, unscored) = rank(&channels)?;
    let (gone, measured) = Plan { channels: &channels, ranking, request }.gone()?;
    Ok(Chosen { channels, gone, unscored, measured })
}

/// The channels of a network, of which some must be able to go.
pub(crate) fn analyze<'g>(graph: &'g Graph, request: &Request<'_>) -> Result<Channels<'g>, ReduceError> {
    for name in request.keep.iter().filter(|name| !name.ends_with('*')) {
        if !graph.nodes().iter().any(|node| node.name == *name) {
            let cause = "there is no such layer to keep".to_owned();
            return Err(ReduceError::Node { network: graph.name().to_owned(), node: name.clone(), cause });
        }
    }
    let channels = Channels::with(graph, request.masking, |layer| request.keeps(layer))?;
    if channels.groups().is_empty() {
        let reasons: Vec<String> = channels
            .refused()
            .iter()
            .take(3)
            .map(|refusal| format!("\"{}\": {}", refusal.node, refusal.reason))
            .collect();
        let cause = match reasons.as_slice() {
            [] => "it has no layer whose channels could go".to_owned(),
            reasons => format!("no layer's channels may go; {}", reasons.join("; ")),
        };
        return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
    }
    Ok(channels)
}

/// Counts of a network, for one image where the number is open.
pub(crate) fn counts(graph: &Graph) -> Result<Statistics, GraphError> {
    Ok(statistics::compute(graph, &trial_shapes(graph)?))
}

/// Which channels go.
struct Plan<'c, 'g, R> {
    channels: &'c Channels<'g>,
    ranking: R,
    request: &'c Request<'c>,
}

/// What is known of a network that was tried.
#[derive(Clone, Debug)]
struct Tried {
    /// What remains.
    ratio: f64,
    is_met: bool,
    text: String,
}

impl<R: Ranking> Plan<'_, '_, R> {
    /// What goes, and what was measured on the way.
    fn gone(&self) -> Result<(Gone, Option<String>), ReduceError> {
        let graph = self.channels.graph();
        let counted = |fraction: f64, count: fn(&Statistics) -> u64| {
            let before = count(&counts(graph)?);
            let limit = (before as f64 * fraction).floor() as u64;
            let found = self.search(COUNTED_STEPS, |gone| {
                let found = count(&counts(&self.channels.remove(gone)?)?);
                let ratio = found as f64 / before.max(1) as f64;
                Ok(Tried { ratio, is_met: found <= limit, text: format!("{found} of {before}, {ratio:.4}") })
            });
            Ok((found?, None))
        };
        match &self.request.target {
            Target::Channels(fraction) => Ok((self.at(*fraction), None)),
            Target::Sparsity(_) => Ok((self.at(1.0), None)),
            Target::Macs(fraction) => counted(*fraction, |counts| counts.macs),
            Target::Parameters(fraction) => counted(*fraction, |counts| counts.parameters),
            Target::Activations(fraction) => counted(*fraction, |counts| counts.activation_sum),
            Target::Measured(quantity, fraction) => self.measured(quantity, *fraction),
        }
    }

    /// What goes so that at most `fraction` of a quantity remains, measured on few networks.
    fn measured(&self, quantity: &Quantity, fraction: f64) -> Result<(Gone, Option<String>), ReduceError> {
        if fraction >= 1.0 {
            return Ok((self.at(1.0), None));
        }
        let measure = self.request.measure.ok_or_else(|| ReduceError::Target {
            target: self.request.target.to_string(),
            cause: format!("nothing here measures {quantity}"),
            reached: "nothing".to_owned(),
        })?;
        let channels = self.channels.groups().iter().map(|group| group.units.len()).sum::<usize>();
        let mut all = Vec::new();
        let gone = self.search(MEASURED_STEPS, |gone| {
            let n_gone = gone.iter().map(Vec::len).sum::<usize>();
            if n_gone == 0 {
                return Ok(Tried { ratio: 1.0, is_met: false, text: "all of it".to_owned() });
            }
            let Measured { ratio, text } = measure(&self.channels.remove(gone)?).map_err(ReduceError::Measure)?;
            let kept = 100.0 * (channels - n_gone) as f64 / channels as f64;
            all.push(format!("{text} with {kept:.1} % of the channels that may go"));
            Ok(Tried { ratio, is_met: ratio <= fraction, text })
        })?;
        Ok((gone, Some(format!("{quantity} remains, as measured: {}", all.join("; ")))))
    }

    /// The largest fraction of channels, in multiples of 2^-`steps`, whose network meets the target. What goes is tried
    /// once, however many fractions lead there.
    fn search(
        &self,
        steps: u32,
        mut attempt: impl FnMut(&Gone) -> Result<Tried, ReduceError>,
    ) -> Result<Gone, ReduceError> {
        let n = 1_u64 << steps;
        let mut tried: BTreeMap<Gone, Tried> = BTreeMap::new();
        // `low` meets the target, `high` does not.
        let (mut low, mut first, mut high) = (None, 0, n + 1);
        while first + 1 < high {
            let step = u64::midpoint(first, high);
            let gone = self.at(step as f64 / n as f64);
            let found = match tried.get(&gone) {
                Some(found) => found.clone(),
                None => attempt(&gone)?,
            };
            if found.is_met {
                (first, low) = (step, Some(gone.clone()));
            } else {
                high = step;
            }
            tried.insert(gone, found);
        }
        if let Some(gone) = low {
            return Ok(gone);
        }
        let best = tried.values().min_by(|a, b| a.ratio.total_cmp(&b.ratio));
        Err(ReduceError::Target {
            target: self.request.target.to_string(),
            cause: format!(
                "every group keeps at least {} channels, and of {} layers none can go",
                self.request.round_to,
                self.channels.refused().len()
            ),
            reached: best.map_or_else(|| "nothing".to_owned(), |tried| tried.text.clone()),
        })
    }

    /// What goes where this fraction of the channels stays.
    fn at(&self, fraction: f64) -> Gone {
        let shares = match self.request.scope {
            Scope::Uniform => vec![fraction; self.channels.groups().len()],
            Scope::Global => self.shares(fraction),
        };
        let groups = self.channels.groups().iter().enumerate().zip(shares);
        let mut gone: Gone = groups
            .map(|((at, group), share)| {
                if self.ranking.scores(at).is_none() {
                    return Vec::new();
                }
                let per_unit = group.channels_per_unit();
                let n_fixed = group.n_channels.saturating_sub(group.units.len() * per_unit);
                let kept = kept_channels(group.n_channels, share, self.request.round_to);
                let n_kept =
                    kept.saturating_sub(n_fixed).div_ceil(per_unit).clamp(usize::from(n_fixed == 0), group.units.len());
                let mut gone = self.ranking.lowest(at, group.units.len() - n_kept);
                gone.sort_unstable();
                gone
            })
            .collect();
        // Where nothing would be left of a value, the best of what it holds stays.
        while let Some(units) = self.channels.emptied(&gone).into_iter().next() {
            let score =
                |&(group, unit): &(usize, usize)| self.ranking.scores(group).map_or(f64::INFINITY, |all| all[unit]);
            let best = units.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a)));
            let Some((group, unit)) = best else { break };
            gone[group].retain(|&other| other != unit);
        }
        gone
    }

    /// The share of each group whose scores, divided by the group's mean, are among the best of all.
    fn shares(&self, fraction: f64) -> Vec<f64> {
        let relative = |group: usize| -> Vec<f64> {
            let scores = self.ranking.scores(group).unwrap_or_default();
            let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
            scores.iter().map(|score| if mean > 0.0 { score / mean } else { *score }).collect()
        };
        let relative: Vec<Vec<f64>> = (0..self.channels.groups().len()).map(relative).collect();
        let mut all: Vec<(f64, usize)> = Vec::new();
        for (group, scores) in relative.iter().enumerate() {
            all.extend(scores.iter().map(|&score| (score, group)));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let n_kept = (all.len() as f64 * fraction).round() as usize;
        let mut kept = vec![0_usize; relative.len()];
        all.iter().take(n_kept).for_each(|&(_, group)| kept[group] += 1);
        let share = |(kept, scores): (usize, &Vec<f64>)| (kept as f64 / scores.len().max(1) as f64).max(FLOOR);
        kept.into_iter().zip(&relative).map(share).collect()
    }
}

/// Units from the lowest score on; of equal ones the first.
fn ranked(scores: &[f64]) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order.into_iter()
}

/// How many of `n` channels stay where `fraction` is asked for: the nearest multiple of `round_to`, ties up, but neither
/// none nor more than there are; all where all are asked for.
pub(crate) fn kept_channels(n: usize, fraction: f64, round_to: usize) -> usize {
    if fraction >= 1.0 {
        return n;
    }
    let step = round_to.max(1);
    let multiple = (n as f64 * fraction / step as f64 + 0.5).floor() as usize;
    (multiple.max(1) * step).min(n)
}

/// What became of each group.
fn changes(channels: &Channels<'_>, gone: &Gone) -> Vec<GroupChange> {
    let nodes = channels.graph().nodes();
    let change = |(group, gone): (&crate::channels::Group, &Vec<usize>)| {
        let makes = gone.iter().flat_map(|&unit| &group.units[unit].makes);
        let mut removed: Vec<usize> =
            makes.filter(|slice| slice.node == group.widest).map(|slice| slice.channel).collect();
        removed.sort_unstable();
        GroupChange {
            layers: group.layers.iter().map(|&node| nodes[node].name.clone()).collect(),
            widest: nodes[group.widest].name.clone(),
            before: group.n_channels,
            after: group.n_channels - removed.len(),
            removed,
        }
    };
    channels.groups().iter().zip(gone).map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::kept_channels;

    #[test]
    fn kept_channels_are_the_nearest_multiple() {
        // Of 20 channels 14 are wanted.
        assert_eq!(kept_channels(20, 0.7, 8), 16);
        assert_eq!(kept_channels(20, 0.7, 16), 16);
        assert_eq!(kept_channels(20, 0.7, 1), 14);
        // Ties go up, none is never left, and no more than there are.
        assert_eq!(kept_channels(24, 0.5, 8), 16);
        assert_eq!(kept_channels(64, 0.01, 8), 8);
        assert_eq!(kept_channels(6, 0.5, 8), 6);
        assert_eq!(kept_channels(64, 1.0, 8), 64);
    }
}
