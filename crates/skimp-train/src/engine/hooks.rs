//! What may be done to tensors inside of a training step, beside the rounding of a policy.

use std::collections::BTreeMap;

use skimp_numerics::rng::{Key, stream};

use super::Mode;
use super::kernels::per_image;
use crate::policy::Site;

/// Where a [`TensorHook`] acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookPlace {
    /// A copy of a convolution's or dense layer's weight, before the products that read it, in
    /// [`Param`](super::Param)'s storage order. The parameter itself stays, and gets the gradient of the copy: masked
    /// and binary weights learn straight through.
    Weight,
    /// What a layer has computed, as stored, after the policy has rounded it.
    Output,
    /// The whole gradient of a layer's output, before the layer's backward pass.
    OutputGradient,
}

/// What a hook is told about a tensor. Tensors of images lie channels-last, one image after the other.
#[derive(Clone, Copy, Debug)]
pub struct HookCall<'a> {
    /// The layer.
    pub site: &'a Site,
    /// Which of its tensors.
    pub place: HookPlace,
    /// What the pass is for.
    pub mode: Mode,
    /// Index in the data set of each image of the batch.
    pub images: &'a [usize],
}

impl HookCall<'_> {
    /// The training step; 0 in evaluation.
    pub fn step(&self) -> u64 {
        match self.mode {
            Mode::Train { step, .. } => step,
            Mode::Eval => 0,
        }
    }

    /// Calls `work` with every image's elements and its index in the data set, on several threads.
    pub fn each_image(&self, values: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
        let len = values.len() / self.images.len().max(1);
        per_image(values, len, |position, image| work(self.images[position], image));
    }
}

/// Changes tensors of a training step or an evaluation: masks, clamps, noise.
///
/// It is called once for a whole tensor, from one thread, in the order of the layers. Random numbers belong to a
/// [`Key`], so that they depend on nothing but the image and the step. What a hook remembers is not in checkpoints: what has
/// to come back there a [`ParamHook`](crate::optimizer::ParamHook) keeps that shares it.
pub trait TensorHook: std::fmt::Debug + Send {
    /// Whether [`apply`](Self::apply) does anything there. Where it does not, the engine makes no copy.
    fn acts(&self, site: &Site, place: HookPlace) -> bool;

    /// Changes a tensor in place.
    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]);
}

/// All hooks of a model, and the images of the batch.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) list: Vec<Box<dyn TensorHook>>,
    pub(crate) images: Vec<usize>,
}

impl Hooks {
    pub(crate) fn acts(&self, site: &Site, place: HookPlace) -> bool {
        self.list.iter().any(|hook| hook.acts(site, place))
    }

    pub(crate) fn apply(&mut self, site: &Site, place: HookPlace, mode: Mode, values: &mut [f32]) {
        let call = HookCall { site, place, mode, images: &self.images };
        for hook in self.list.iter_mut().filter(|hook| hook.acts(site, place)) {
            hook.apply(&call, values);
        }
    }
}

/// Weights that count as zero while they go on learning, so that they may come back.
///
/// # Source
/// Guo, Yao and Chen, "Dynamic Network Surgery for Efficient DNNs", NIPS 2016, equations 2 and 3.
#[derive(Clone, Debug, Default)]
pub struct WeightMask {
    /// For each layer by name: 0 or 1 for each element of its weight, in storage order.
    pub masks: BTreeMap<String, Vec<f32>>,
}

impl TensorHook for WeightMask {
    fn acts(&self, site: &Site, place: HookPlace) -> bool {
        place == HookPlace::Weight && self.masks.contains_key(&site.name)
    }

    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]) {
        if let Some(mask) = self.masks.get(&call.site.name) {
            crate::optimizer::mask_out(values, mask);
        }
    }
}

/// Gaussian noise on what layers compute, or on their weights: independent numbers of one deviation.
///
/// The numbers of an output belong to the key (seed, layer, step, image); those of a weight to (seed, layer, step). In
/// evaluation the step is 0.
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    /// Seed of the noise.
    pub seed: u64,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// Where it is added.
    pub place: HookPlace,
    /// Standard deviation, in units of the tensor.
    pub deviation: f32,
}

impl TensorHook for GaussianNoise {
    fn acts(&self, site: &Site, place: HookPlace) -> bool {
        place == self.place && self.layers.contains(&site.name)
    }

    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]) {
        let kind = match self.place {
            HookPlace::Weight => "weight",
            HookPlace::Output => "output",
            HookPlace::OutputGradient => "output-gradient",
        };
        let stream = stream(&format!("noise/{kind}/{}", call.site.name));
        let key = Key { seed: self.seed, stream, step: call.step(), image: 0 };
        let deviation = f64::from(self.deviation);
        let add = |key: Key, values: &mut [f32]| {
            let mut draws = key.draws();
            values.iter_mut().for_each(|x| *x += (deviation * draws.normal()) as f32);
        };
        match self.place {
            HookPlace::Weight => add(key, values),
            HookPlace::Output | HookPlace::OutputGradient => {
                call.each_image(values, |image, values| add(Key { image: image as u64, ..key }, values));
            }
        }
    }
}
