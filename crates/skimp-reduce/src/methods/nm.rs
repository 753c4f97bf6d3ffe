//! N:M sparsity.

use serde::Deserialize;
use skimp_graph::Graph;

use crate::settings;
use crate::weights::{Start, WeightTensor};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "nm";

/// Of each M weights along the input channels, the N greatest stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nm;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Weights of a group.
    m: usize,
}

impl Method for Nm {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "of every M weights along the input channels the N greatest stay (2:4 at sparsity=0.5)",
            source: "A. Mishra et al., \"Accelerating Sparse Deep Neural Networks\", arXiv:2104.08378, 2021. Groups lie along \
                     the input channels of each kernel tap; a last group that is not full counts as filled up with zeros.",
            removes: Removes::Weights,
            needs: Needs::Nothing,
        }
    }

    fn settings(&self) -> toml::Table {
        toml::Table::from_iter([("m".to_owned(), 4.into())])
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let Settings { m } = settings::parse(NAME, &self.settings(), request.settings)?;
        settings::within(NAME, "m", m, 2..=64)?;
        let mut start = Start::new(NAME, graph, request)?;
        let n = kept(start.sparsity, m, request)?;
        start.found.refuse(|tensor| {
            let inputs = tensor.matrix.inputs();
            (inputs <= n)
                .then(|| format!("{inputs} input channels in a group: of {m} weights {n} stay, so none would go"))
        });
        if let Some(first) = start.found.refused.first().filter(|_| start.found.tensors.is_empty()) {
            let cause = format!("no layer has groups to prune; layer \"{}\": {}", first.node, first.reason);
            return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
        }
        let elements = start.found.elements(&start.graph);
        let masks =
            start.found.tensors.iter().zip(elements).map(|(tensor, weights)| mask(tensor, weights, n, m)).collect();
        let note = format!(
            "Of every {m} weights along the input channels at most {n} are not zero. Hardware with that pattern may gain, \
             for products that are large enough: measure it."
        );
        start.masked(masks, vec![note])
    }
}

/// How many of `m` stay.
fn kept(sparsity: f64, m: usize, request: &Request<'_>) -> Result<usize, ReduceError> {
    let exact = (1.0 - sparsity) * m as f64;
    let n = exact.round();
    if (exact - n).abs() > 1e-6 || n < 1.0 || n >= m as f64 {
        let choices: Vec<String> = (1..m).map(|cut| format!("{:.4}", cut as f64 / m as f64)).collect();
        return Err(ReduceError::WrongTarget {
            method: NAME.to_owned(),
            expected: format!("the sparsities of whole groups of {m} (setting \"m\"): {}", choices.join(", ")),
            target: request.target.to_string(),
        });
    }
    Ok(n as usize)
}

/// Keeps the `n` greatest of each `m` along the input channels; of equal ones, those of higher index.
fn mask(tensor: &WeightTensor, weights: &[f32], n: usize, m: usize) -> Vec<f32> {
    let matrix = &tensor.matrix;
    let (inputs, taps) = (matrix.inputs(), matrix.taps());
    let mut mask = vec![1.0; weights.len()];
    let mut group = Vec::with_capacity(m);
    for row in 0..matrix.rows() {
        for tap in 0..taps {
            for first in (0..inputs).step_by(m) {
                group.clear();
                group.extend((first..(first + m).min(inputs)).map(|input| matrix.index(row, input * taps + tap)));
                group.sort_by(|&a, &b| weights[a].abs().total_cmp(&weights[b].abs()));
                let n_cut = group.len().saturating_sub(n);
                group[..n_cut].iter().for_each(|&idx| mask[idx] = 0.0);
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tensors::find;
    use crate::weights::testing::{bits, check_masks, dense_net, elements, run, small_net};

    /// Sheet 1.5, test 5, on every group of a convolution: at most two non-zeros, no other choice of two keeps more, and
    /// doing it again changes nothing.
    #[test]
    fn two_of_four() {
        let graph = small_net();
        let reduction = run(&Nm, &graph, 0.5, "", None).unwrap();
        check_masks(&reduction);
        let refused: Vec<&str> = reduction.refused.iter().map(|refusal| refusal.node.as_str()).collect();
        assert_eq!(refused, ["conv1"]);
        let found = find(&graph, |layer| layer != "conv2");
        let matrix = &found.tensors[0].matrix;
        let (before, after) = (elements(&graph, "conv2.weight"), elements(&reduction.graph, "conv2.weight"));
        let mut n_groups = 0;
        for row in 0..12 {
            for tap in 0..9 {
                for first in [0, 4] {
                    let group: Vec<usize> = (first..first + 4).map(|c| matrix.index(row, c * 9 + tap)).collect();
                    let sum = |choice: &[usize]| choice.iter().map(|&i| before[group[i]].abs()).sum::<f32>();
                    let kept: Vec<usize> = (0..4).filter(|&i| after[group[i]].abs() > 0.0).collect();
                    assert_eq!(kept.len(), 2);
                    for pair in [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]] {
                        assert!(sum(&kept) >= sum(&pair), "{row} {tap} {first}: {kept:?} against {pair:?}");
                    }
                    n_groups += 1;
                }
            }
        }
        assert_eq!(n_groups, 12 * 9 * 2);
        let again = run(&Nm, &reduction.graph, 0.5, "", None).unwrap();
        assert_eq!(bits(&again.graph), bits(&reduction.graph));
    }

    /// Input channels that do not fill a group: of 6 the last two count as two of four.
    #[test]
    fn groups_that_are_not_full() {
        let graph = dense_net(&[6, 5, 3]);
        let reduction = run(&Nm, &graph, 0.75, "", None).unwrap();
        // 1:4 along 6: one of four and one of two stay; along 5: one of four and one of one.
        for (name, [inputs, kept]) in [("fc1.weight", [6, 2]), ("fc2.weight", [5, 2])] {
            for row in elements(&reduction.graph, name).chunks(inputs) {
                let non_zeros: Vec<usize> = (0..inputs).filter(|&i| row[i].abs() > 0.0).collect();
                assert_eq!(non_zeros.len(), kept, "{name} {row:?}");
                assert!(non_zeros[0] < 4 && non_zeros[1] >= 4, "{name} {row:?}");
            }
        }
    }

    #[test]
    fn only_whole_groups() {
        let graph = dense_net(&[6, 5, 3]);
        let error = |sparsity, settings| run(&Nm, &graph, sparsity, settings, None).unwrap_err().to_string();
        let found = error(0.6, "");
        assert!(found.contains("0.2500, 0.5000, 0.7500") && found.contains("sparsity=0.6"), "{found}");
        assert!(error(0.0, "").contains("0.2500"));
        assert!(error(0.5, "m = 1").contains("expected 2 to 64, found 1"));
        assert!(error(0.05, "m = 20").contains("no layer has groups to prune"));
        assert!(run(&Nm, &graph, 0.6, "m = 5", None).is_ok());
    }
}
