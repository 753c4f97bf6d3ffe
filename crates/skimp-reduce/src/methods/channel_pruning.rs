//! Channels are chosen by a lasso on what they add to the next layer, whose weights are then fitted anew.

use serde::{Deserialize, Serialize};
use skimp_graph::Graph;

use crate::channels::Channels;
use crate::filters::{self, Ranking};
use crate::readers::{Products, Reader, Sampling, rank_by_parts};
use crate::refit::{Refit, refit};
use crate::settings;
use crate::settings::within;
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "channel-pruning";

/// Where the search for the penalty begins, relative to the one under which nothing stays.
const FIRST_PENALTY: f64 = 1e-3;

/// As many channels more than wanted may stay under the penalty that is accepted.
const EXCESS: f64 = 1.1;

/// Halvings of the interval that the penalty lies in.
const MAX_BISECTIONS: usize = 60;

/// Passes over all coefficients under one penalty, at most.
const MAX_SWEEPS: usize = 1000;

/// Coefficients have settled where none changes by more than this part of the largest one.
const SETTLED: f64 = 1e-6;

/// Removes the channels of a group whose coefficients a lasso drops first, and fits the weights that read the others by
/// least squares, layer after layer.
///
/// With `Z_c` what channel `c` adds to sampled outputs of the next layer under weights of norm 1:
/// `min_β ½ ‖Y − Σ β_c Z_c‖² + λ ‖β‖₁`, by coordinate descent. λ begins at 0.001 of the one under which nothing stays, doubles
/// until not too many channels stay, and is then bisected until no fewer than wanted and no more than 1.1 times as many do;
/// of those the wanted number with the largest `|β_c|` stays. Several layers that read a group count alike: their samples are
/// divided by the root of their `Σ Y²`. Then every layer that reads less than before gets the weights
/// `argmin Σ (Y − X W)²`, with `Y` of the whole network and `X` of the network as it is by then; where its output is added to a
/// shortcut, `Y2 + Y1 − Y1'` takes the place of `Y`.
///
/// With a global scope channels are compared by the penalty under which each would enter first.
///
/// # Source
/// He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, equations 1 to 4 and section
/// 3.3; the search for λ of the released code.
/// Differs: channels are chosen on the inputs of the network as it comes; channels of residual sums go with all that is
/// added, instead of being sampled before the first layer of a branch; coordinates are visited in order; some outputs are
/// sampled at each position.
#[derive(Debug)]
pub(super) struct ChannelPruning;

/// Settings of [`ChannelPruning`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Images to sample.
    images: usize,
    /// Positions of each image.
    positions: usize,
    /// Output channels at each position, for the choice of channels.
    outputs: usize,
    /// Whether the weights that read what stays are fitted anew.
    refit: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { images: 512, positions: 10, outputs: 4, refit: true }
    }
}

impl Method for ChannelPruning {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "channels that a lasso on the next layer's outputs drops go, and that layer's weights are fitted anew",
            source: "He, Zhang and Sun, \"Channel Pruning for Accelerating Very Deep Neural Networks\", ICCV 2017, with the \
                     released search for the penalty. Differs: channels are chosen on the inputs of the network as it comes; \
                     channels of residual sums go with all that is added",
            removes: Removes::Channels,
            needs: Needs::Images,
        }
    }

    fn settings(&self) -> toml::Table {
        toml::Table::try_from(Settings::default()).unwrap_or_default()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        let Settings { images, positions, outputs, .. } = settings;
        within(NAME, "images", images, 1..=1 << 30)?;
        within(NAME, "positions", positions, 1..=1 << 20)?;
        within(NAME, "outputs", outputs, 1..=1 << 16)?;
        let learning = request.learning_of(self)?;
        let mut found = Vec::new();
        let chosen = filters::choose(self, graph, request, |channels| {
            let sampling = Sampling { images, positions, outputs, seed: request.seed };
            let ranked = rank_by_parts(NAME, channels, learning, sampling, |readers, parts, group| {
                let products = Products::of(parts, group, channels.groups()[group].units.len());
                Lasso::new(&products, &norms(graph, channels, readers, group))
            })?;
            found = ranked.readers;
            Ok((Lassos(ranked.orders), ranked.refused))
        })?;
        if !settings.refit || chosen.gone.iter().all(Vec::is_empty) {
            let reduced = chosen.channels.remove(&chosen.gone)?;
            return Ok(chosen.reduction(reduced, request, Vec::new()));
        }
        let how = Refit { method: NAME, images, positions, seed: request.seed };
        let (reduced, n_layers) = refit(graph, &chosen, &found, learning, how)?;
        let note = format!("The weights of {n_layers} layers were fitted anew to what they computed before.");
        Ok(chosen.reduction(reduced, request, vec![note]))
    }
}

/// For each unit of a group the norm of the weights that read it.
fn norms(graph: &Graph, channels: &Channels<'_>, readers: &[Reader], group: usize) -> Vec<f64> {
    let mut squares = vec![0.0; channels.groups()[group].units.len()];
    for reader in readers.iter().filter(|reader| reader.groups().contains(&group)) {
        let weights = reader.tensor.elements(graph);
        for (at, unit) in reader.places() {
            if let Some((_, unit)) = unit.filter(|&(of, _)| of == group) {
                squares[unit] += f64::from(weights[at]).powi(2);
            }
        }
    }
    squares.into_iter().map(f64::sqrt).collect()
}

/// A lasso over the channels of a group, by the products of what they add under weights of norm 1.
#[derive(Debug, Default)]
struct Lasso {
    /// Of each two channels, row by row.
    products: Vec<f64>,
    /// Of each channel and the whole.
    of_whole: Vec<f64>,
    /// What the coefficients are before anything goes.
    start: Vec<f64>,
    /// The penalties under which the channels would enter first.
    scores: Vec<f64>,
}

impl Lasso {
    fn new(products: &Products, norms: &[f64]) -> Self {
        let n = norms.len();
        // Weights of norm 0 add nothing.
        let inverse: Vec<f64> = norms.iter().map(|&norm| if norm > 0.0 { 1.0 / norm } else { 0.0 }).collect();
        let product = |a: usize, b: usize| products.row(a)[b] * inverse[a] * inverse[b];
        let of_whole: Vec<f64> = (0..n).map(|a| products.row(a).iter().sum::<f64>() * inverse[a]).collect();
        Self {
            products: (0..n * n).map(|at| product(at / n, at % n)).collect(),
            scores: of_whole.iter().map(|x| x.abs()).collect(),
            of_whole,
            start: norms.to_vec(),
        }
    }

    fn n(&self) -> usize {
        self.of_whole.len()
    }

    /// Coordinate descent under a penalty, from `coefficients`.
    fn descend(&self, penalty: f64, coefficients: &mut [f64]) {
        let n = self.n();
        for _ in 0..MAX_SWEEPS {
            let (mut moved, mut largest) = (0.0_f64, 0.0_f64);
            for at in 0..n {
                let row = &self.products[at * n..][..n];
                let square = row[at];
                let fitted: f64 = row.iter().zip(&*coefficients).map(|(product, x)| product * x).sum();
                let before = coefficients[at];
                let left = self.of_whole[at] - fitted + square * before;
                let after = if square > 0.0 { left.signum() * (left.abs() - penalty).max(0.0) / square } else { 0.0 };
                coefficients[at] = after;
                moved = moved.max((after - before).abs());
                largest = largest.max(after.abs());
            }
            if moved <= SETTLED * largest {
                break;
            }
        }
    }

    /// The coefficients under a penalty that leaves `wanted` channels, or up to a tenth more.
    fn coefficients(&self, wanted: usize) -> Vec<f64> {
        let rank = |coefficients: &[f64]| coefficients.iter().filter(|x| x.abs() > 0.0).count();
        let limit = (EXCESS * wanted as f64).floor() as usize;
        let mut penalty = FIRST_PENALTY * self.scores.iter().copied().fold(0.0, f64::max);
        let mut coefficients = self.start.clone();
        self.descend(penalty, &mut coefficients);
        // Under `low` too many stay, or just enough.
        let (mut low, mut accepted) = (0.0, None);
        while rank(&coefficients) > limit {
            (low, accepted) = (penalty, Some(coefficients.clone()));
            penalty *= 2.0;
            self.descend(penalty, &mut coefficients);
        }
        let mut high = penalty;
        for _ in 0..MAX_BISECTIONS {
            if (wanted..=limit).contains(&rank(&coefficients)) {
                return coefficients;
            }
            let middle = f64::midpoint(low, high);
            self.descend(middle, &mut coefficients);
            if rank(&coefficients) >= wanted {
                (low, accepted) = (middle, Some(coefficients.clone()));
            } else {
                high = middle;
            }
        }
        // Several channels leave at once: the last ones that were enough, or all that there are.
        accepted.unwrap_or_else(|| {
            self.descend(0.0, &mut coefficients);
            coefficients
        })
    }

    /// The `n` channels that go.
    fn lowest(&self, n: usize) -> Vec<usize> {
        if n == 0 {
            return Vec::new();
        }
        let coefficients = self.coefficients(self.n() - n);
        let mut order: Vec<usize> = (0..self.n()).collect();
        let key = |unit: usize| (coefficients[unit].abs(), self.scores[unit]);
        order.sort_by(|&a, &b| {
            let ((a_first, a_then), (b_first, b_then)) = (key(a), key(b));
            a_first.total_cmp(&b_first).then(a_then.total_cmp(&b_then)).then(a.cmp(&b))
        });
        order.truncate(n);
        order
    }
}

/// The lassos of all groups; those of groups that stay are empty.
#[derive(Debug)]
struct Lassos(Vec<Lasso>);

impl Ranking for Lassos {
    fn scores(&self, group: usize) -> Option<&[f64]> {
        let scores = &self.0[group].scores;
        (!scores.is_empty()).then_some(scores)
    }

    fn lowest(&self, group: usize, n: usize) -> Vec<usize> {
        self.0[group].lowest(n)
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;
    use crate::Target;
    use crate::readers::testing::{parts, products};
    use crate::weights::inputs::observe;
    use crate::weights::testing::{bits, learning, request, small_net};

    /// Orthogonal channels, inputs of variance 1 under weights of these norms: coefficients are in the order of the norms
    /// (so of what the channels add), and as many stay as are wanted, or up to a tenth more.
    #[test]
    fn orthogonal_channels_go_in_order() {
        const N: usize = 40;
        let mut draws = Draws::new(3, stream("lasso"));
        let mut norms: Vec<f64> = (0..N).map(|i| 0.1 + 0.05 * i as f64).collect();
        for i in (1..N).rev() {
            norms.swap(i, draws.below(i + 1));
        }
        let channel = |c: usize| (0..N).map(|n| if n == c { norms[c] * (N as f64).sqrt() } else { 0.0 }).collect();
        let parts = parts(&(0..N).map(channel).collect::<Vec<Vec<f64>>>());
        let lasso = Lasso::new(&products(&parts), &norms);
        for wanted in [1, 7, 20, 33, 39] {
            let coefficients = lasso.coefficients(wanted);
            let rank = coefficients.iter().filter(|x| x.abs() > 0.0).count();
            assert!(wanted <= rank && rank as f64 <= EXCESS * wanted as f64, "{rank} for {wanted}");
            let mut order: Vec<usize> = (0..N).collect();
            order.sort_by(|&a, &b| norms[a].total_cmp(&norms[b]));
            let sorted: Vec<f64> = order.iter().map(|&c| coefficients[c].abs()).collect();
            assert!(sorted.is_sorted(), "{sorted:?}");
            assert_eq!(lasso.lowest(N - wanted), order[..N - wanted]);
        }
    }

    /// What coordinate descent ends at is where the gradient is the penalty, or less for coefficients of 0.
    #[test]
    fn coordinate_descent_ends_at_the_optimum() {
        let mut draws = Draws::new(5, stream("lasso"));
        let common: Vec<f64> = (0..60).map(|_| draws.normal()).collect();
        let mut channel = |_| common.iter().map(|x| 0.7 * x + draws.normal()).collect();
        let parts = parts(&(0..8).map(&mut channel).collect::<Vec<Vec<f64>>>());
        let lasso = Lasso::new(&products(&parts), &[1.0; 8]);
        for penalty in [0.0, 0.01, 0.1, 0.13] {
            let mut coefficients = vec![0.0; 8];
            lasso.descend(penalty, &mut coefficients);
            for (at, x) in coefficients.iter().enumerate() {
                let row = &lasso.products[at * 8..][..8];
                let gradient: f64 = lasso.of_whole[at] - row.iter().zip(&coefficients).map(|(a, b)| a * b).sum::<f64>();
                let is_held = x.abs() > 0.0;
                let expected = if is_held { x.signum() * penalty } else { gradient.clamp(-penalty, penalty) };
                assert!((gradient - expected).abs() < 1e-6, "{penalty}: {at} of {x} has {gradient}");
            }
        }
        // A channel that adds nothing has no coefficient.
        let lasso = Lasso::new(&products(&crate::readers::testing::parts(&[vec![0.0; 4], vec![1.0; 4]])), &[0.0, 1.0]);
        assert_eq!(lasso.lowest(1), [0]);
    }

    /// On a network: fitted layers are nearer to what they were than the same channels without fitting, with the same bits
    /// on any threads; too few samples are an error that says what to do.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |settings: &str, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings: toml::Table = toml::from_str(settings).unwrap();
            let keep = ["conv2".to_owned()];
            let half = request(Target::Channels(0.5));
            let request = Request { round_to: 1, keep: &keep, settings: &settings, learning: Some(&learning), ..half };
            pool.install(|| ChannelPruning.reduce(&graph, &request))
        };
        let output = |graph: &Graph| {
            let node = graph.nodes().iter().find(|node| node.name == "conv2").unwrap();
            let mut values = Vec::new();
            let visit = |id, x: &skimp_graph::Tensor| {
                if id == node.outputs[0] {
                    values.extend_from_slice(x.as_f32().unwrap());
                }
                Ok(())
            };
            observe(graph, &learning, 64, visit).unwrap();
            values
        };
        let dense = output(&graph);
        let error = |reduction: &Reduction| -> f64 {
            let pairs = output(&reduction.graph).into_iter().zip(&dense);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let (fitted, plain) = (prune("", 1).unwrap(), prune("refit = false", 1).unwrap());
        assert!(fitted.groups.iter().all(|group| (group.before, group.after) == (8, 4)), "{:?}", fitted.groups);
        assert_eq!(fitted.groups, plain.groups);
        assert_eq!(bits(&fitted.graph), bits(&prune("", 3).unwrap().graph));
        let found = [error(&fitted), error(&plain)];
        assert!(found[0] < 0.7 * found[1], "{found:?}");
        let told = prune("images = 3", 1).unwrap_err().to_string();
        assert!(told.contains("36 weights of an output of \"conv2\"") && told.contains("found 30 samples"), "{told}");
    }
}
