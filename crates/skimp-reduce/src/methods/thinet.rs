//! Channels go that the next layer misses least, and those that stay are scaled to make up for them.

use serde::{Deserialize, Serialize};
use skimp_graph::rewrite::Editor;
use skimp_graph::{Graph, Tensor};

use crate::channels::Channels;
use crate::filters::{self, Chosen, Ranking};
use crate::readers::{Parts, Products, Reader, Sampling, rank_by_parts};
use crate::settings;
use crate::settings::within;
use crate::weights::linear_algebra::{inverse_factor, solved};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "thinet";

/// What is added to the diagonal of the least squares, relative to its mean: dependent channels share what they make up.
const DAMPING: f64 = 1e-9;

/// Removes the channels of a group whose parts in the sums of the layers that read them have the smallest sum of squares
/// together, and scales the weights that read the others by least squares.
///
/// With `x_c` the part of channel `c` in a sampled output of the next layer, and `y` the sum of all parts: `selection =
/// "greedy"` adds to what goes the channel that leaves `Σ (Σ_{c goes} x_c)²` smallest; `"forward"` adds to what stays the
/// channel whose best multiple leaves least of `y`, as orthogonal matching pursuit does. Then `w = argmin Σ (y − Σ w_c x_c)²`
/// over the channels that stay multiplies the weights that read them. Several layers that read a group count alike: the
/// samples of each are divided by the root of its `Σ y²`, and each gets multipliers of its own.
///
/// With a global scope channels are compared by the part of `Σ y²` that is missing once they are gone.
///
/// # Source
/// Luo, Wu and Lin, "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression", ICCV 2017, section 3.2
/// and algorithm 1; `"forward"`: Luo, Zhang, Zhou, Xie, Wu and Lin, "ThiNet: Pruning CNN Filters for a Thinner Net",
/// TPAMI 2018.
/// Differs: all layers are sampled in the network as it comes, and no fine-tuning lies between them; channels of residual
/// sums go, too; widths are those of the target; images are the first ones, not ten of each class.
#[derive(Debug)]
pub(super) struct Thinet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Selection {
    /// What goes is gathered.
    Greedy,
    /// What stays is gathered.
    Forward,
}

/// Settings of [`Thinet`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Images to sample.
    images: usize,
    /// Positions of each image.
    positions: usize,
    /// How channels are chosen.
    selection: Selection,
    /// Whether the weights that read what stays are scaled.
    rescale: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { images: 512, positions: 10, selection: Selection::Greedy, rescale: true }
    }
}

impl Method for Thinet {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "channels that the next layer misses least go, and those that stay are scaled to make up for them",
            source: "Luo, Wu and Lin, \"ThiNet\", ICCV 2017; selection \"forward\" of the version in TPAMI 2018. Differs: all \
                     layers are sampled in the network as it comes, without fine-tuning between them; several readers \
                     of a group count alike",
            removes: Removes::Channels,
            needs: Needs::Images,
        }
    }

    fn settings(&self) -> toml::Table {
        toml::Table::try_from(Settings::default()).unwrap_or_default()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "images", settings.images, 1..=1 << 30)?;
        within(NAME, "positions", settings.positions, 1..=1 << 20)?;
        let learning = request.learning_of(self)?;
        let mut sampled = (Vec::new(), Vec::new());
        let chosen = filters::choose(self, graph, request, |channels| {
            let sampling =
                Sampling { images: settings.images, positions: settings.positions, outputs: 1, seed: request.seed };
            let ranked = rank_by_parts(NAME, channels, learning, sampling, |_, parts, group| {
                let products = Products::of(parts, group, channels.groups()[group].units.len());
                match settings.selection {
                    Selection::Greedy => greedy(&products),
                    Selection::Forward => forward(&products),
                }
            })?;
            sampled = (ranked.readers, ranked.parts);
            Ok((Orders(ranked.orders), ranked.refused))
        })?;
        let (readers, parts) = sampled;
        if !settings.rescale {
            let reduced = chosen.channels.remove(&chosen.gone)?;
            return Ok(chosen.reduction(reduced, request, Vec::new()));
        }
        let scaled = rescaled(graph, &chosen, &readers, &parts)?;
        // Which channels depend on each other does not depend on what weights are.
        let reduced = Channels::of(&scaled, |layer| request.keeps(layer))?.remove(&chosen.gone)?;
        let note = "The weights that read the channels that stay were scaled by least squares.".to_owned();
        Ok(chosen.reduction(reduced, request, vec![note]))
    }
}

/// In which order the units of a group go, and how much is missing then.
#[derive(Debug, Default)]
struct Order {
    /// From the first that goes on; empty if the group stays.
    units: Vec<usize>,
    /// For each unit the part of the whole that is missing once it is gone.
    missing: Vec<f64>,
}

impl Order {
    /// Of units in the order in which they go, and what is missing after each.
    fn of(units: Vec<usize>, errors: &[f64]) -> Self {
        let mut missing = vec![0.0; units.len()];
        let mut most = 0.0_f64;
        for (&unit, &error) in units.iter().zip(errors) {
            most = most.max(error);
            missing[unit] = most;
        }
        Self { units, missing }
    }
}

/// The orders of all groups.
#[derive(Debug)]
struct Orders(Vec<Order>);

impl Ranking for Orders {
    fn scores(&self, group: usize) -> Option<&[f64]> {
        let missing = &self.0[group].missing;
        (!missing.is_empty()).then_some(missing)
    }

    fn lowest(&self, group: usize, n: usize) -> Vec<usize> {
        self.0[group].units[..n].to_vec()
    }
}

/// The first of the smallest values of units that are not `taken`.
fn least(values: &[f64], taken: &[bool]) -> Option<usize> {
    let left = (0..values.len()).filter(|&unit| !taken[unit]);
    left.min_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)))
}

/// Algorithm 1: adds to what goes the unit with which it sums up to least.
fn greedy(products: &Products) -> Order {
    let n = products.n;
    // What each unit would add to the sum of squares of all that went.
    let mut added: Vec<f64> = (0..n).map(|unit| products.row(unit)[unit]).collect();
    let mut taken = vec![false; n];
    let (mut units, mut errors, mut error) = (Vec::with_capacity(n), Vec::with_capacity(n), 0.0);
    while let Some(unit) = least(&added, &taken) {
        taken[unit] = true;
        error += added[unit];
        units.push(unit);
        errors.push(error);
        added.iter_mut().zip(products.row(unit)).for_each(|(added, product)| *added += 2.0 * product);
    }
    Order::of(units, &errors)
}

/// Orthogonal matching pursuit: adds to what stays the unit whose best multiple leaves least; the last to be added goes
/// first.
fn forward(products: &Products) -> Order {
    let n = products.n;
    let whole: f64 = products.values.iter().sum();
    // Of each unit: its product with what is left of y, and with the orthonormal units that stay.
    let mut left: Vec<f64> = (0..n).map(|unit| products.row(unit).iter().sum()).collect();
    let mut along: Vec<Vec<f64>> = vec![Vec::with_capacity(n); n];
    let mut taken = vec![false; n];
    let (mut units, mut errors, mut error) = (Vec::with_capacity(n), Vec::with_capacity(n), whole);
    for _ in 0..n {
        let gain = |unit: usize| {
            let square = products.row(unit)[unit];
            if square > 0.0 { -left[unit] * left[unit] / square } else { 0.0 }
        };
        let gains: Vec<f64> = (0..n).map(gain).collect();
        let Some(unit) = least(&gains, &taken) else { break };
        taken[unit] = true;
        units.push(unit);
        errors.push(error);
        let own = along[unit].clone();
        let square = products.row(unit)[unit];
        let rest = square - own.iter().map(|x| x * x).sum::<f64>();
        // Nothing new: it depends on those that stay already.
        if rest <= 1e-12 * square || square <= 0.0 {
            continue;
        }
        let norm = rest.sqrt();
        let of_y = left[unit] / norm;
        for other in 0..n {
            let shared: f64 = own.iter().zip(&along[other]).map(|(a, b)| a * b).sum();
            let product = (products.row(unit)[other] - shared) / norm;
            along[other].push(product);
            left[other] -= product * of_y;
        }
        error -= of_y * of_y;
    }
    units.reverse();
    errors.reverse();
    Order::of(units, &errors)
}

/// The multipliers of the units that stay, by least squares.
///
/// # Errors
/// The number of samples that are needed, if there are fewer.
fn multipliers(parts: &Parts, gone: &[usize]) -> Result<Vec<(usize, f64)>, usize> {
    let stays: Vec<usize> = (0..parts.gram.n).filter(|unit| gone.binary_search(unit).is_err()).collect();
    let n = stays.len();
    if parts.gram.n_windows < n {
        return Err(n);
    }
    // For the changes of the multipliers: what went, by the parts that stay.
    let mut squares: Vec<f64> = (0..n * n).map(|at| parts.product(stays[at / n], stays[at % n])).collect();
    let missing: Vec<f64> =
        stays.iter().map(|&unit| gone.iter().map(|&other| parts.product(unit, other)).sum()).collect();
    let mean = (0..n).map(|i| squares[i * n + i]).sum::<f64>() / n.max(1) as f64;
    (0..n).for_each(|i| squares[i * n + i] += if mean > 0.0 { DAMPING * mean } else { 1.0 });
    let changes = inverse_factor(&squares, n).map_or_else(|| vec![0.0; n], |factor| solved(&factor, n, &missing));
    Ok(stays.into_iter().zip(changes.into_iter().map(|change| 1.0 + change)).collect())
}

/// The network with the weights that read what stays multiplied.
fn rescaled(graph: &Graph, chosen: &Chosen<'_>, readers: &[Reader], parts: &[Parts]) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    for (at, reader) in readers.iter().enumerate() {
        let mut weights = reader.tensor.elements(graph).to_vec();
        for parts in parts.iter().filter(|parts| parts.reader == at && !chosen.gone[parts.group].is_empty()) {
            let multipliers = multipliers(parts, &chosen.gone[parts.group]).map_err(|n| ReduceError::Data {
                method: NAME.to_owned(),
                expected: format!(
                    "at least as many samples as the {n} channels that \"{}\" keeps: give more images or set \
                     \"positions\" higher, or set rescale=false",
                    graph.nodes()[reader.node].name
                ),
                found: format!("{} samples", parts.gram.n_windows),
            })?;
            let mut of_unit = vec![1.0; parts.gram.n];
            multipliers.into_iter().for_each(|(unit, multiplier)| of_unit[unit] = multiplier);
            for (at, unit) in reader.places() {
                if let Some((_, unit)) = unit.filter(|&(group, _)| group == parts.group) {
                    weights[at] = (f64::from(weights[at]) * of_unit[unit]) as f32;
                }
            }
        }
        editor.set_constant(reader.tensor.value, Tensor::from_f32(reader.tensor.shape.clone(), weights))?;
    }
    Ok(editor.finish()?)
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;
    use crate::Target;
    use crate::readers::testing::{parts, products};
    use crate::weights::inputs::{Gram, observe};
    use crate::weights::testing::{bits, learning, request, small_net};

    fn independent(draws: &mut Draws, size: f64) -> Vec<f64> {
        (0..50).map(|_| size * draws.normal()).collect()
    }

    fn sorted(units: &[usize]) -> Vec<usize> {
        let mut units = units.to_vec();
        units.sort_unstable();
        units
    }

    /// Six channels, one zero, a small opposite pair, three independent: the zero and the pair go, nothing is missing, and
    /// nothing is scaled.
    #[test]
    fn zeros_and_opposites_go() {
        let mut draws = Draws::new(1, stream("thinet"));
        let small = independent(&mut draws, 0.1);
        let mut large = || independent(&mut draws, 1.0);
        let opposite = small.iter().map(|x| -x).collect();
        let parts = parts(&[large(), small, vec![0.0; 50], large(), opposite, large()]);
        let products = products(&parts);
        for order in [greedy(&products), forward(&products)] {
            let gone = sorted(&order.units[..3]);
            assert_eq!((gone.as_slice(), order.units.len()), ([1, 2, 4].as_slice(), 6));
            assert!(order.missing[2].abs() < 1e-12, "{:?}", order.missing);
            for (unit, multiplier) in multipliers(&parts, &gone).unwrap() {
                assert!((multiplier - 1.0).abs() < 1e-9, "{unit}: {multiplier}");
            }
        }
        // In the greedy order nothing is missing without all three.
        let order = greedy(&products);
        let all = gone_error(&products, &order.units[..3]);
        assert!(all.abs() < 1e-15, "{all}");
    }

    fn gone_error(products: &Products, gone: &[usize]) -> f64 {
        gone.iter().flat_map(|&a| gone.iter().map(move |&b| products.row(a)[b])).sum()
    }

    /// Two equal small channels, two independent: one twin goes, the other one counts twice.
    #[test]
    fn a_twin_makes_up_for_the_other() {
        let mut draws = Draws::new(2, stream("thinet"));
        let small = independent(&mut draws, 0.1);
        let parts = parts(&[small.clone(), independent(&mut draws, 1.0), small, independent(&mut draws, 1.0)]);
        let products = products(&parts);
        for order in [greedy(&products), forward(&products)] {
            let gone = order.units[0];
            assert!(gone == 0 || gone == 2, "{:?}", order.units);
            for (unit, multiplier) in multipliers(&parts, &[gone]).unwrap() {
                let expected = if unit == 2 - gone { 2.0 } else { 1.0 };
                assert!((multiplier - expected).abs() < 1e-6, "{unit}: {multiplier}");
            }
        }
        let order = forward(&products);
        assert!(order.missing[order.units[0]].abs() < 1e-12, "{:?}", order.missing);
        // Fewer samples than channels that stay.
        let few = Parts { gram: Gram { n_windows: 2, ..parts.gram }, ..parts };
        assert_eq!(multipliers(&few, &[0]), Err(3));
    }

    /// On a network: the layer that reads what stays is nearer to what it was than without scaling, with the same bits on
    /// any threads, and too few samples are an error that says what to do.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |kept: &str, settings: &str, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings: toml::Table = toml::from_str(settings).unwrap();
            let keep = [kept.to_owned()];
            let half = request(Target::Channels(0.5));
            let request = Request { round_to: 1, keep: &keep, settings: &settings, learning: Some(&learning), ..half };
            pool.install(|| Thinet.reduce(&graph, &request))
        };
        let output = |graph: &Graph, layer: &str| {
            let node = graph.nodes().iter().find(|node| node.name == layer).unwrap();
            let mut values = Vec::new();
            observe(graph, &learning, 64, |id, x| {
                if id == node.outputs[0] {
                    values.extend_from_slice(x.as_f32().unwrap());
                }
                Ok(())
            })
            .unwrap();
            values
        };
        for (kept, reader) in [("conv2", "conv2"), ("conv1", "fc")] {
            let dense = output(&graph, reader);
            let error = |reduction: &Reduction| -> f64 {
                let pairs = output(&reduction.graph, reader).into_iter().zip(&dense);
                pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            for selection in ["greedy", "forward"] {
                let settings = format!("positions = 40\nselection = \"{selection}\"");
                let scaled = prune(kept, &settings, 1).unwrap();
                assert!(scaled.groups.iter().all(|group| group.after * 2 == group.before), "{:?}", scaled.groups);
                assert_eq!(bits(&scaled.graph), bits(&prune(kept, &settings, 3).unwrap().graph));
                let plain = prune(kept, &format!("{settings}\nrescale = false"), 1).unwrap();
                assert_eq!(plain.groups, scaled.groups);
                let found = [error(&scaled), error(&plain)];
                assert!(found[0] < 0.95 * found[1], "{reader} {selection}: {found:?}");
            }
        }
        let told = prune("conv2", "images = 2\npositions = 1", 1).unwrap_err().to_string();
        assert!(told.contains("\"conv2\" keeps") && told.contains("found 2 samples"), "{told}");
    }
}
