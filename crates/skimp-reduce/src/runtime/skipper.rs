//! Groups of channels that are computed, or are zero, for each image: a hook of training and of evaluation.

use std::collections::BTreeMap;

use rayon::prelude::*;
use skimp_numerics::rng::{Key, stream};
use skimp_train::optimizer::{Memory, ParamHook, recalled};
use skimp_train::policy::Site;
use skimp_train::{HookCall, HookPlace, TensorHook};

use super::{Agent, Episode};
use crate::weights::training::{Shared, lock};

/// A layer of which groups of channels may be skipped.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    /// The layer whose output is what this one reads.
    pub(crate) input: String,
    /// Channels there.
    pub(crate) n_inputs: usize,
    /// The layer whose output has this one's channels, before they are read.
    pub(crate) output: String,
    /// Channels there.
    pub(crate) n_channels: usize,
}

impl Switch {
    /// Channels that are computed under an action, from 0.
    pub(crate) fn n_computed(&self, action: usize, n_actions: usize) -> usize {
        (self.n_channels * (action + 1)).div_ceil(n_actions)
    }
}

/// What decides, and what it decided for the images of the last pass.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) agent: Agent,
    /// The layers, in the order in which they are decided.
    pub(crate) switches: Vec<Switch>,
    pub(crate) n_actions: usize,
    /// The chance that an action is drawn, not chosen.
    pub(crate) epsilon: f64,
    /// Everything is computed.
    pub(crate) is_off: bool,
    /// Seed of the draws, and the number of this pass.
    pub(crate) seed: u64,
    pub(crate) pass: u64,
    /// Of each image: what its layers read, and what was done.
    pub(crate) episodes: Vec<Episode>,
    states: Vec<Vec<f64>>,
}

impl Policy {
    pub(crate) fn new(agent: Agent, switches: Vec<Switch>, n_actions: usize, seed: u64) -> Self {
        let (episodes, states) = (Vec::new(), Vec::new());
        Self { agent, switches, n_actions, epsilon: 1.0, is_off: false, seed, pass: 0, episodes, states }
    }

    /// Decides about the layers that read what the layer `name` has put out, channels last.
    fn decide(&mut self, name: &str, images: &[usize], values: &[f32]) {
        let n_images = images.len();
        for (at, switch) in self.switches.iter().enumerate().filter(|(_, switch)| switch.input == name) {
            if at == 0 {
                self.episodes = vec![Episode::default(); n_images];
                self.states = vec![Agent::start(); n_images];
                self.pass += 1;
            }
            let len = values.len() / n_images.max(1);
            let n_pixels = (len / switch.n_inputs.max(1)).max(1) as f64;
            let agent = &self.agent;
            let (epsilon, n_actions, pass) = (self.epsilon, self.n_actions, self.pass);
            let key = Key { seed: self.seed, stream: stream(&format!("rnp/{at}")), step: pass, image: 0 };
            let of_images = self.episodes.par_iter_mut().zip(&mut self.states).zip(values.par_chunks_exact(len.max(1)));
            of_images.zip(images).for_each(|(((episode, state), values), &image)| {
                let mut features = vec![0.0; switch.n_inputs];
                for pixel in values.chunks_exact(switch.n_inputs.max(1)) {
                    features.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += f64::from(*x) / n_pixels);
                }
                let (q, next) = agent.values(at, &features, std::mem::take(state));
                *state = next;
                let best = (0..n_actions).max_by(|&a, &b| q[a].total_cmp(&q[b]).then(b.cmp(&a))).unwrap_or(0);
                let mut draws = Key { image: image as u64, ..key }.draws();
                let is_drawn = epsilon > 0.0 && draws.chance(epsilon);
                episode.actions.push(if is_drawn { draws.below(n_actions) } else { best });
                episode.features.push(features);
            });
        }
    }

    /// Sets what is skipped to zero, in values or gradients.
    fn skip(&self, name: &str, values: &mut [f32]) {
        let len = values.len() / self.episodes.len().max(1);
        for (at, switch) in self.switches.iter().enumerate().filter(|(_, switch)| switch.output == name) {
            for (episode, values) in self.episodes.iter().zip(values.chunks_exact_mut(len.max(1))) {
                let Some(&action) = episode.actions.get(at) else { continue };
                let n = switch.n_computed(action, self.n_actions);
                values.chunks_exact_mut(switch.n_channels).for_each(|pixel| pixel[n..].fill(0.0));
            }
        }
    }
}

/// The hook.
#[derive(Debug)]
pub(crate) struct Skipper {
    pub(crate) policy: Shared<Policy>,
    /// The layers at which it does something: whether what they put out is read by a switch, and whether it is one's.
    pub(crate) layers: BTreeMap<String, (bool, bool)>,
}

impl Skipper {
    pub(crate) fn new(policy: Shared<Policy>) -> Self {
        let mut layers: BTreeMap<String, (bool, bool)> = BTreeMap::new();
        for switch in &lock(&policy).switches {
            layers.entry(switch.input.clone()).or_default().0 = true;
            layers.entry(switch.output.clone()).or_default().1 = true;
        }
        Self { policy, layers }
    }
}

/// How many passes there were, for checkpoints: later draws depend on it.
#[derive(Debug)]
pub(crate) struct Passes {
    pub(crate) policy: Shared<Policy>,
}

impl ParamHook for Passes {
    fn memory(&self) -> Vec<Memory> {
        vec![("passes".to_owned(), vec![lock(&self.policy).pass as f64])]
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        let passes = recalled(&mut memory.into_iter(), "passes", 1)?;
        lock(&self.policy).pass = passes[0] as u64;
        Ok(())
    }
}

impl TensorHook for Skipper {
    fn acts(&self, site: &Site, place: HookPlace) -> bool {
        match (place, self.layers.get(&site.name)) {
            (HookPlace::Weight, _) | (_, None) => false,
            (HookPlace::Output, Some(_)) => !lock(&self.policy).is_off,
            (HookPlace::OutputGradient, Some(&(_, is_output))) => is_output && !lock(&self.policy).is_off,
        }
    }

    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]) {
        let mut policy = lock(&self.policy);
        policy.skip(&call.site.name, values);
        if call.place == HookPlace::Output {
            policy.decide(&call.site.name, call.images, values);
        }
    }
}
