//! The optimal-brain family: what stays makes up for what goes.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_graph::Graph;

use super::wanda::{layer_counts, share};
use crate::settings;
use crate::settings::within;
use crate::weights::inputs::{Gram, sum_windows, unknown_windows};
use crate::weights::linear_algebra::{inverse_factor, product_of_factor};
use crate::weights::scope::ScopeKind;
use crate::weights::select::cut_smallest;
use crate::weights::{ScopeSettings, Start, WeightTensor, apply, reduction};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "obc";

/// Columns whose weights are chosen together, as the released SparseGPT does.
const BLOCK: usize = 128;

/// More columns than these would take more than 512 MiB for the Hessian of one layer.
const MAX_COLUMNS: usize = 8192;

/// Weights go where the layer's output changes least, and the others are moved to make up for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Solver {
    /// Column by column, one Hessian for all outputs (SparseGPT).
    Columns,
    /// One weight at a time, each output with a Hessian of its own (OBC).
    Exact,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Calibration images.
    images: usize,
    /// How weights are chosen and others moved.
    solver: Solver,
    /// What is added to the Hessian's diagonal, as a fraction of its mean.
    damping: f64,
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Obc {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "weights go where outputs change least, and the others are moved to make up for them; no training",
            source: "E. Frantar, D. Alistarh, \"SparseGPT\", ICML 2023 (solver \"columns\": algorithm 1, 1 % damping, blocks \
                     of 128 columns), and E. Frantar, S. P. Singh, D. Alistarh, \"Optimal Brain Compression\", NeurIPS 2022 \
                     (solver \"exact\": one weight at a time, the smallest losses of all outputs of a layer). Differs: the \
                     inputs of all layers are those of the dense network.",
            removes: Removes::Weights,
            needs: Needs::Images,
        }
    }

    fn settings(&self) -> toml::Table {
        let own: [(String, toml::Value); 3] = [
            ("images".to_owned(), 128.into()),
            ("solver".to_owned(), "columns".into()),
            ("damping".to_owned(), 0.01.into()),
        ];
        own.into_iter().chain(ScopeSettings::defaults(ScopeKind::Auto)).collect()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        within(NAME, "images", settings.images, 1..=usize::MAX)?;
        within(NAME, "damping", settings.damping, 1e-9..=1e9)?;
        let mut start = Start::new(NAME, graph, request)?;
        let learning = start.learning("some images")?;
        let of = &start.graph;
        start.found.refuse(|tensor| unknown_windows(of, tensor));
        start.found.refuse(|tensor| {
            let columns = tensor.matrix.columns();
            (columns > MAX_COLUMNS)
                .then(|| format!("{columns} weights per output: Hessians of more than {MAX_COLUMNS} are not formed"))
        });
        start.check()?;
        let counts = layer_counts(NAME, &settings.scope, &start)?;
        let (sums, n_images) = sum_windows::<Gram>(&start.graph, &start.found, learning, settings.images)?;
        let elements = start.found.elements(&start.graph);
        let mut pruned = Vec::with_capacity(counts.len());
        let mut few = Vec::new();
        for (((tensor, weights), grams), n) in start.found.tensors.iter().zip(elements).zip(sums).zip(counts) {
            if let Some(gram) = grams.iter().find(|gram| gram.n_windows < gram.n) {
                few.push(format!("\"{}\" ({} for {})", tensor.layer, gram.n_windows, gram.n));
            }
            pruned.push(prune(tensor, weights, grams, n, &settings)?);
        }
        let mut notes = vec![format!(
            "Weights were moved to make up for those that went, by what {n_images} images give as the layers' inputs."
        )];
        if !few.is_empty() {
            notes.push(format!(
                "Fewer windows than weights per output in {}: there the damping decides; give more images.",
                few.join(", ")
            ));
        }
        let (values, masks): (Vec<Vec<f32>>, Vec<Vec<f32>>) = pruned.into_iter().unzip();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let graph = apply(&start.graph, &start.found, &values, &masks)?;
        Ok(reduction(graph, start.found, masks, notes))
    }
}

/// The weights of a tensor without `n` of them, and the mask.
fn prune(
    tensor: &WeightTensor,
    weights: &[f32],
    grams: Vec<Gram>,
    n: usize,
    settings: &Settings,
) -> Result<(Vec<f32>, Vec<f32>), ReduceError> {
    let matrix = &tensor.matrix;
    let (mut values, mut mask) = (weights.to_vec(), vec![1.0; weights.len()]);
    let (n_groups, group_rows) = (matrix.groups().max(1), matrix.rows() / matrix.groups().max(1));
    for (group, gram) in grams.into_iter().enumerate() {
        let rows = group * group_rows..(group + 1) * group_rows;
        let mut work: Vec<Row> = rows.clone().map(|row| Row::new(&matrix.row(weights, row))).collect();
        let factor = damped_factor(gram, settings.damping).ok_or_else(|| ReduceError::Data {
            method: NAME.to_owned(),
            expected: format!("finite inputs of layer \"{}\" that vary", tensor.layer),
            found: "a Hessian that has no inverse, even damped; set \"damping\" higher".to_owned(),
        })?;
        let n = share(n, group, n_groups);
        match settings.solver {
            Solver::Columns => by_columns(&mut work, &factor, matrix.columns(), n),
            Solver::Exact => by_weights(&mut work, &factor, matrix.columns(), n),
        }
        for (row, work) in rows.zip(&work) {
            let row_values: Vec<f32> = work.values.iter().map(|&value| value as f32).collect();
            let row_mask: Vec<f32> = work.is_cut.iter().map(|&is_cut| if is_cut { 0.0 } else { 1.0 }).collect();
            matrix.set_row(&mut values, row, &row_values);
            matrix.set_row(&mut mask, row, &row_mask);
        }
    }
    Ok((values, mask))
}

/// The upper triangle `u` with `(H + damping)⁻¹ = uᵀ u`.
fn damped_factor(gram: Gram, damping: f64) -> Option<Vec<f64>> {
    let Gram { mut sums, n, .. } = gram;
    let mean = (0..n).map(|i| sums[i * n + i]).sum::<f64>() / n.max(1) as f64;
    // A layer whose inputs are all zero: any weight may go.
    let addend = if mean > 0.0 { damping * mean } else { 1.0 };
    (0..n).for_each(|i| sums[i * n + i] += addend);
    inverse_factor(&sums, n)
}

/// The weights of one output.
#[derive(Clone, Debug)]
struct Row {
    values: Vec<f64>,
    is_cut: Vec<bool>,
}

impl Row {
    fn new(weights: &[f32]) -> Self {
        Self { values: weights.iter().map(|&w| f64::from(w)).collect(), is_cut: vec![false; weights.len()] }
    }
}

/// SparseGPT's algorithm 1 with the triangle `u` of the inverse Hessian; `n` weights of all rows go.
fn by_columns(rows: &mut [Row], u: &[f64], n_columns: usize, n: usize) {
    let mut n_done = 0;
    for first in (0..n_columns).step_by(BLOCK) {
        let last = (first + BLOCK).min(n_columns);
        let n_until = (n as u128 * last as u128 / n_columns as u128) as usize;
        let scores = rows.iter().flat_map(|row| {
            (first..last).map(|j| (row.values[j] / u[j * n_columns + j]).powi(2) as f32).collect::<Vec<_>>()
        });
        let mask = cut_smallest(&scores.collect::<Vec<f32>>(), n_until - n_done);
        n_done = n_until;
        rows.par_iter_mut().zip(mask.par_chunks(last - first)).for_each(|(row, mask)| {
            for (j, &mask) in (first..last).zip(mask) {
                if mask > 0.0 {
                    continue;
                }
                row.is_cut[j] = true;
                let steps = &u[j * n_columns + j..(j + 1) * n_columns];
                let error = row.values[j] / steps[0];
                row.values[j..].iter_mut().zip(steps).for_each(|(value, step)| *value -= error * step);
                row.values[j] = 0.0;
            }
        });
    }
}

/// Optimal brain surgery on each row, one weight after the other; the smallest of all losses go.
fn by_weights(rows: &mut [Row], u: &[f64], n_columns: usize, n: usize) {
    let inverse = product_of_factor(u, n_columns);
    let losses: Vec<Vec<f64>> = rows.par_iter().map(|row| eliminate(&mut row.clone(), &inverse, n_columns)).collect();
    // A row gives up its weights in its own order.
    let mut n_cut = vec![0; rows.len()];
    for _ in 0..n {
        let next = |row: usize| losses[row].get(n_cut[row]).copied().unwrap_or(f64::INFINITY);
        let Some(row) = (0..rows.len()).min_by(|&a, &b| next(a).total_cmp(&next(b)).then(a.cmp(&b))) else { break };
        n_cut[row] += 1;
    }
    rows.par_iter_mut().zip(n_cut).for_each(|(row, n)| {
        eliminate(row, &inverse, n);
    });
}

/// Takes `n` weights out of a row, each time the one that costs least; gives what each cost.
fn eliminate(row: &mut Row, inverse: &[f64], n: usize) -> Vec<f64> {
    let n_columns = row.values.len();
    let mut inverse = inverse.to_vec();
    let mut losses = Vec::with_capacity(n);
    for _ in 0..n {
        let loss = |j: usize| row.values[j].powi(2) / inverse[j * n_columns + j];
        let left = (0..n_columns).filter(|&j| !row.is_cut[j]);
        let Some(p) = left.min_by(|&a, &b| loss(a).total_cmp(&loss(b)).then(a.cmp(&b))) else { break };
        losses.push(loss(p));
        let steps = inverse[p * n_columns..(p + 1) * n_columns].to_vec();
        let error = row.values[p] / steps[p];
        row.values.iter_mut().zip(&steps).for_each(|(value, step)| *value -= error * step);
        row.is_cut[p] = true;
        // What went stays zero: its steps are zero from here on.
        (0..n_columns).filter(|&j| row.is_cut[j]).for_each(|j| row.values[j] = 0.0);
        for (j, line) in inverse.chunks_exact_mut(n_columns).enumerate() {
            let factor = steps[j] / steps[p];
            if j != p && factor.abs() > 0.0 {
                line.iter_mut().zip(&steps).for_each(|(x, step)| *x -= factor * step);
                line[p] = 0.0;
            }
        }
        inverse[p * n_columns..(p + 1) * n_columns].fill(0.0);
    }
    losses
}

#[cfg(test)]
mod tests {
    use skimp_cpu::CpuExecutor;
    use skimp_graph::{Executor, Tensor};
    use skimp_numerics::rng::{Draws, stream};

    use super::*;
    use crate::weights::inputs::WindowSum;
    use crate::weights::testing::{bits, check_masks, learning, request, run, small_net};

    const N: usize = 6;

    /// Random windows with dependent columns, and the inverse factor of their Hessian.
    fn problem(seed: u64) -> (Vec<f64>, Vec<f64>, Vec<Row>) {
        let mut draws = Draws::new(seed, stream("obc"));
        let mut gram = Gram::new(N);
        let mut windows = Vec::new();
        for _ in 0..20 {
            let common = draws.normal();
            windows.extend((0..N).map(|_| draws.normal() + common));
        }
        gram.add(&windows);
        let rows = (0..3).map(|_| Row::new(&(0..N).map(|_| draws.normal() as f32).collect::<Vec<_>>())).collect();
        let factor = inverse_factor(&gram.sums, N).unwrap();
        (windows, factor, rows)
    }

    /// The values of `free` columns that bring X w closest to X `goal`, with the others as in `fixed`: normal equations,
    /// solved by elimination.
    fn least_squares(windows: &[f64], goal: &[f64], fixed: &[f64], free: &[usize]) -> Vec<f64> {
        let n = free.len();
        let mut a = vec![vec![0.0; n + 1]; n];
        for window in windows.chunks(N) {
            let missing = (0..N).map(|j| {
                let is_free = free.contains(&j);
                window[j] * (goal[j] - if is_free { 0.0 } else { fixed[j] })
            });
            let missing: f64 = missing.sum();
            for (i, &p) in free.iter().enumerate() {
                free.iter().enumerate().for_each(|(k, &q)| a[i][k] += window[p] * window[q]);
                a[i][n] += window[p] * missing;
            }
        }
        for k in 0..n {
            let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
            a.swap(k, pivot);
            for i in (0..n).filter(|&i| i != k) {
                let factor = a[i][k] / a[k][k];
                let row = a[k].clone();
                a[i].iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            }
        }
        let mut values = fixed.to_vec();
        free.iter().enumerate().for_each(|(i, &p)| values[p] = a[i][n] / a[i][i]);
        values
    }

    fn error(windows: &[f64], goal: &[f64], values: &[f64]) -> f64 {
        let of = |window: &[f64]| (0..N).map(|j| window[j] * (values[j] - goal[j])).sum::<f64>().powi(2);
        windows.chunks(N).map(of).sum()
    }

    fn close(found: &[f64], expected: &[f64], what: &str) {
        let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 1e-8, "{what}: {found:?}, expected {expected:?}");
    }

    /// What stays is the least-squares answer for its mask, the first weight to go is the best of all, and the losses
    /// add up to the error.
    #[test]
    fn one_at_a_time_is_least_squares() {
        for seed in 0..20 {
            let (windows, factor, rows) = problem(seed);
            let inverse = product_of_factor(&factor, N);
            for row in &rows {
                for n in 0..=N {
                    let mut pruned = row.clone();
                    let losses = eliminate(&mut pruned, &inverse, n);
                    assert_eq!(pruned.is_cut.iter().filter(|&&is_cut| is_cut).count(), n);
                    let free: Vec<usize> = (0..N).filter(|&j| !pruned.is_cut[j]).collect();
                    close(&pruned.values, &least_squares(&windows, &row.values, &[0.0; N], &free), "weights");
                    let found = error(&windows, &row.values, &pruned.values);
                    close(&[losses.iter().sum()], &[found], "loss");
                    if n == 1 {
                        let best = (0..N).map(|out| {
                            let free: Vec<usize> = (0..N).filter(|&j| j != out).collect();
                            let values = least_squares(&windows, &row.values, &[0.0; N], &free);
                            error(&windows, &row.values, &values)
                        });
                        close(&[found], &[best.fold(f64::INFINITY, f64::min)], "choice");
                    }
                }
            }
            // Over several rows: exactly as many go, each row in its own order.
            let mut together = rows.clone();
            by_weights(&mut together, &factor, N, 7);
            let counts: Vec<usize> =
                together.iter().map(|row| row.is_cut.iter().filter(|&&is_cut| is_cut).count()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 7);
            for ((row, pruned), n) in rows.iter().zip(&together).zip(counts) {
                let mut alone = row.clone();
                eliminate(&mut alone, &inverse, n);
                close(&pruned.values, &alone.values, "row");
            }
        }
    }

    /// After each column the columns behind it are the least-squares answer, those before it being as they are.
    #[test]
    fn column_by_column_is_least_squares_behind() {
        for seed in 0..20 {
            let (windows, factor, rows) = problem(seed);
            // One weight of one row goes.
            let mut one = vec![rows[0].clone()];
            by_columns(&mut one, &factor, N, 1);
            let cut = one[0].is_cut.iter().position(|&is_cut| is_cut).unwrap();
            let mut fixed = rows[0].values.clone();
            fixed[cut] = 0.0;
            let behind: Vec<usize> = (cut + 1..N).collect();
            close(&one[0].values, &least_squares(&windows, &rows[0].values, &fixed, &behind), "one");
            // The choice is the one that costs least among all columns, each with those behind it.
            let cost = |out: usize| {
                let mut fixed = rows[0].values.clone();
                fixed[out] = 0.0;
                let behind: Vec<usize> = (out + 1..N).collect();
                error(&windows, &rows[0].values, &least_squares(&windows, &rows[0].values, &fixed, &behind))
            };
            let best = (0..N).min_by(|&a, &b| cost(a).total_cmp(&cost(b))).unwrap();
            assert_eq!(cut, best, "seed {seed}");
            // Several: each cut, in order, is followed by the answer for what lies behind.
            let mut several = vec![rows[1].clone()];
            by_columns(&mut several, &factor, N, 3);
            let mut expected = rows[1].values.clone();
            for cut in (0..N).filter(|&j| several[0].is_cut[j]) {
                expected[cut] = 0.0;
                let behind: Vec<usize> = (cut + 1..N).collect();
                expected = least_squares(&windows, &rows[1].values, &expected, &behind);
            }
            close(&several[0].values, &expected, "several");
        }
    }

    /// Output error on the calibration images: both solvers beat magnitudes, and give the same bits on any threads.
    #[test]
    fn a_network() {
        let (graph, learning) = (small_net(), learning());
        let prune = |solver: &str, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings = format!("images = 48\nsolver = \"{solver}\"");
            pool.install(|| run(&Obc, &graph, 0.6, &settings, Some(&learning)).unwrap())
        };
        let expected: usize = [72.0, 864.0, 5880.0].map(|n: f64| (0.6 * n).round() as usize).iter().sum();
        let columns = prune("columns", 1);
        assert_eq!(check_masks(&columns), expected);
        assert_eq!(bits(&columns.graph), bits(&prune("columns", 3).graph));
        assert!(columns.notes.iter().any(|note| note.contains("\"fc\" (48 for 588)")), "{:?}", columns.notes);
        let settings = "images = 48\nsolver = \"exact\"";
        let keep = ["fc".to_owned()];
        let settings: toml::Table = toml::from_str(settings).unwrap();
        let exact = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let half = request(crate::Target::Sparsity(0.6));
            let request = Request { keep: &keep, settings: &settings, learning: Some(&learning), ..half };
            pool.install(|| Obc.reduce(&graph, &request).unwrap())
        };
        let one = exact(1);
        assert_eq!(check_masks(&one), 43 + 518);
        assert_eq!(bits(&one.graph), bits(&exact(2).graph));

        let images = learning.training.batch(0).unwrap();
        let images = [Tensor::from_f32(images.shape.to_vec(), images.images)];
        let output = |graph: &Graph| CpuExecutor::new(graph).unwrap().run(&images).unwrap().swap_remove(0);
        let dense = output(&graph);
        let error = |graph: &Graph| -> f64 {
            let pairs = output(graph).into_f32().unwrap().into_iter().zip(dense.as_f32().unwrap().to_vec());
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let magnitude = |keep: &[String]| {
            let request = Request { keep, ..request(crate::Target::Sparsity(0.6)) };
            error(&crate::methods::find("magnitude").unwrap().reduce(&graph, &request).unwrap().graph)
        };
        let found = [error(&columns.graph), magnitude(&[]), error(&one.graph), magnitude(&keep)];
        assert!(found[0] < 0.8 * found[1] && found[2] < 0.8 * found[3], "{found:?}");
    }
}
