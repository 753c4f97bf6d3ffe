//! Masks in training.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skimp_graph::Graph;
use skimp_train::optimizer::Mask;
use skimp_train::policy::Site;
use skimp_train::{HookCall, HookPlace, Model, TensorHook};

use super::select::keep_all;
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

/// Numbers for a checkpoint.
pub(crate) fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Numbers of a checkpoint that were f32.
pub(crate) fn as_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// A tensor's mask in storage order, and the layers whose weight it is.
#[derive(Clone, Debug)]
pub(crate) struct Masked {
    pub(crate) layers: Vec<String>,
    pub(crate) mask: Vec<f32>,
}

impl Masked {
    /// A mask that keeps all.
    pub(crate) fn all(place: &Place, n: usize) -> Self {
        Self { layers: place.layers.clone(), mask: keep_all(n) }
    }
}

/// Layers compute with masked copies of their weights, which go on learning.
#[derive(Debug)]
pub(crate) struct ForwardMasks {
    pub(crate) masks: Shared<Vec<Masked>>,
}

impl TensorHook for ForwardMasks {
    fn acts(&self, site: &Site, place: HookPlace) -> bool {
        place == HookPlace::Weight && lock(&self.masks).iter().any(|masked| masked.layers.contains(&site.name))
    }

    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]) {
        let masks = lock(&self.masks);
        if let Some(masked) = masks.iter().find(|masked| masked.layers.contains(&call.site.name)) {
            let cut = values.iter_mut().zip(&masked.mask).filter(|(_, mask)| **mask <= 0.0);
            cut.for_each(|(value, _)| *value = 0.0);
        }
    }
}
