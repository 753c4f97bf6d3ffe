//! How much each layer minds being pruned.

use skimp_graph::Graph;

use super::outcome::apply;
use super::scope::n_zeros;
use super::select::{cut_smallest, keep_all, magnitudes};
use super::tensors::Found;
use crate::{Learning, ReduceError};

/// Accuracy of a network of which one layer is pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Name of the layer.
    pub layer: String,
    /// Fraction of zeros in it, and share of the validation images classified correctly.
    pub points: Vec<(f64, f64)>,
}

/// Prunes one layer at a time by magnitude, the others being as they are, and measures; no training.
///
/// # Errors
/// [`ReduceError::Data`] without validation images; whatever keeps the network from being run.
///
/// # Source
/// Han, Pool, Tran and Dally, "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015, figure 6.
pub fn sensitivity(
    graph: &Graph,
    found: &Found,
    learning: &Learning<'_>,
    sparsities: &[f64],
) -> Result<Vec<Sensitivity>, ReduceError> {
    let elements = found.elements(graph);
    let mut curves = Vec::with_capacity(found.tensors.len());
    for (position, tensor) in found.tensors.iter().enumerate() {
        let scores = magnitudes(elements[position]);
        let mut points = Vec::with_capacity(sparsities.len());
        for &sparsity in sparsities {
            if learning.observer.interrupted() {
                return Err(skimp_train::TrainError::Interrupted { epoch: 1, checkpoint: None }.into());
            }
            let mut masks: Vec<Vec<f32>> = elements.iter().map(|elements| keep_all(elements.len())).collect();
            masks[position] = cut_smallest(&scores, n_zeros(sparsity, tensor.len()));
            let pruned = apply(graph, found, &elements, &masks)?;
            let accuracy = learning.accuracy(&pruned)?.ok_or_else(|| ReduceError::Data {
                method: "sensitivity scan".to_owned(),
                expected: "images to measure accuracy on".to_owned(),
                found: "none".to_owned(),
            })?;
            points.push((sparsity, accuracy));
        }
        curves.push(Sensitivity { layer: tensor.layer.clone(), points });
    }
    Ok(curves)
}
