//! From masks to a [`Reduction`].

use skimp_graph::rewrite::{Editor, fold_constants};
use skimp_graph::{Graph, Tensor};

use super::select::n_zeros;
use super::tensors::{Found, find};
use crate::{Learning, ReduceError, Reduction, Request, Target};

/// What a method of this kind begins with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Name of the method.
    pub(crate) method: &'static str,
    /// The network, with constants folded, so that weights behind moves are found and training keeps all names.
    pub(crate) graph: Graph,
    /// Its weights.
    pub(crate) found: Found,
    /// The sparsity that is asked for.
    pub(crate) sparsity: f64,
    /// What is asked for.
    pub(crate) request: &'a Request<'a>,
}

impl<'a> Start<'a> {
    /// Checks the target and finds the weights.
    pub(crate) fn new(method: &'static str, graph: &Graph, request: &'a Request<'a>) -> Result<Self, ReduceError> {
        let sparsity = sparsity_target(method, request)?;
        let graph = fold_constants(graph);
        let found = find(&graph, |layer| request.keeps(layer));
        check_found(&graph, &found)?;
        Ok(Self { method, graph, found, sparsity, request })
    }

    /// Checks that something is left to prune.
    pub(crate) fn check(&self) -> Result<(), ReduceError> {
        check_found(&self.graph, &self.found)
    }

    /// What to learn from.
    pub(crate) fn learning(&self, expected: &str) -> Result<&'a Learning<'a>, ReduceError> {
        self.request.learning.ok_or_else(|| ReduceError::Data {
            method: self.method.to_owned(),
            expected: format!("{expected} (--data NAME:DIR)"),
            found: "none".to_owned(),
        })
    }

    /// The network with the weights that it has now under `masks`.
    pub(crate) fn masked(self, masks: Vec<Vec<f32>>, notes: Vec<String>) -> Result<Reduction, ReduceError> {
        let graph = apply(&self.graph, &self.found, &self.found.elements(&self.graph), &masks)?;
        Ok(reduction(graph, self.found, masks, notes))
    }
}

/// The sparsity that is asked for.
///
/// # Errors
/// [`ReduceError::WrongTarget`] for another target.
pub fn sparsity_target(method: &str, request: &Request<'_>) -> Result<f64, ReduceError> {
    match &request.target {
        Target::Sparsity(fraction) => Ok(*fraction),
        target => Err(ReduceError::WrongTarget {
            method: method.to_owned(),
            expected: "sparsity, the fraction of the weights that become zero".to_owned(),
            target: target.to_string(),
        }),
    }
}

/// Checks that there is something to prune.
///
/// # Errors
/// [`ReduceError::Nothing`] with what stands in the way.
fn check_found(graph: &Graph, found: &Found) -> Result<(), ReduceError> {
    if !found.tensors.is_empty() {
        return Ok(());
    }
    let mut cause = "no weight of a convolution or dense layer is left to prune".to_owned();
    if found.n_kept > 0 {
        cause.push_str(&format!("; {} stay because their layers are kept", found.n_kept));
    }
    if let Some(first) = found.refused.first() {
        cause.push_str(&format!("; layer \"{}\": {}", first.node, first.reason));
    }
    Err(ReduceError::Nothing { network: graph.name().to_owned(), cause })
}

/// The network with the weights of `values` under `masks`: exactly zero where a mask is 0.
///
/// # Errors
/// [`ReduceError::Graph`] if the tensors are not the network's.
pub fn apply(graph: &Graph, found: &Found, values: &[&[f32]], masks: &[Vec<f32>]) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    for ((tensor, values), mask) in found.tensors.iter().zip(values).zip(masks) {
        let masked = values.iter().zip(mask).map(|(&value, &mask)| if mask > 0.0 { value } else { 0.0 });
        editor.set_constant(tensor.value, Tensor::from_f32(tensor.shape.clone(), masked.collect()))?;
    }
    Ok(editor.finish()?)
}

/// A reduction whose notes begin with what became zero, and what that does for speed.
pub fn reduction(graph: Graph, found: Found, masks: Vec<Vec<f32>>, notes: Vec<String>) -> Reduction {
    let (n, n_cut) = (found.n_weights(), n_zeros(&masks));
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let mut first =
        format!("{n_cut} of {n} weights in {} tensors are zero ({:.2} %)", found.tensors.len(), percent(n_cut, n));
    if found.n_kept > 0 {
        let all = n + found.n_kept;
        first.push_str(&format!(
            "; {} more stay as they were, which makes {:.2} % of all",
            found.n_kept,
            percent(n_cut, all)
        ));
    }
    let speed = "Shapes stay: dense kernels take as long as before, and a plain ONNX file is as large as before. Sparse \
                 kernels (skimp's own run where they pay), zero-skipping hardware and compressed files gain.";
    let notes = [first + ".", speed.to_owned()].into_iter().chain(notes).collect();
    let masks = found.tensors.into_iter().map(|tensor| tensor.name).zip(masks).collect();
    Reduction { graph, masks, groups: Vec::new(), refused: found.refused, notes, runtime: None }
}
