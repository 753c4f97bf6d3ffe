//! Masks in training.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skimp_graph::Graph;
use skimp_train::Model;
use skimp_train::optimizer::Mask;

use super::tensors::Found;
use crate::ReduceError;

/// Where a weight tensor is in a model.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Index of its parameter.
    pub(crate) param: usize,
    /// Names of the layers that read it.
    pub(crate) layers: Vec<String>,
}

/// Where each tensor is in a model of the network.
///
/// # Errors
/// [`ReduceError::Node`] for one that is not trained there.
pub(crate) fn places(model: &Model, graph: &Graph, found: &Found) -> Result<Vec<Place>, ReduceError> {
    let of = |tensor: &super::WeightTensor| {
        let param = model.params().iter().position(|param| param.name() == tensor.name);
        let layers = tensor.nodes.iter().map(|&idx| graph.nodes()[idx].name.clone()).collect();
        let param = param.ok_or_else(|| ReduceError::Node {
            network: graph.name().to_owned(),
            node: tensor.layer.clone(),
            cause: "its weight is not trained: keep the layer as it is".to_owned(),
        })?;
        Ok(Place { param, layers })
    };
    found.tensors.iter().map(of).collect()
}

/// A hook that keeps what `masks` cut at zero.
pub(crate) fn fixed_masks(model: &Model, places: &[Place], masks: &[Vec<f32>]) -> Mask {
    let mut hook = Mask { masks: vec![None; model.params().len()] };
    for (place, mask) in places.iter().zip(masks) {
        hook.masks[place.param] = Some(model.params()[place.param].in_storage_order(mask));
    }
    hook
}

/// What hooks of one run share.
pub(crate) type Shared<T> = Arc<Mutex<T>>;

/// Something that hooks share.
pub(crate) fn shared<T>(state: T) -> Shared<T> {
    Arc::new(Mutex::new(state))
}

/// The state that hooks share. One thread calls them all.
pub(crate) fn lock<T>(state: &Shared<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
