//! Gates that learn which channels may go: a layer of AutoPruner, as a hook of training.
//!
//! A gate multiplies each channel of a value by `s = sigmoid(alpha · v)`, where `v` is a convolution over the whole extent of
//! the value's mean over the batch, after a 2x2 max-pool. `alpha` grows, so that `s` becomes a code of zeros and ones.

use std::collections::VecDeque;

use rayon::prelude::*;
use skimp_numerics::rng::{Draws, stream};
use skimp_train::optimizer::{Memory, ParamHook, recalled};
use skimp_train::policy::Site;
use skimp_train::{HookCall, HookPlace, Mode, TensorHook};

use crate::weights::training::{Shared, as_f32, as_f64, lock};

/// Steps between two adaptations, and how many codes vote.
const VOTES: usize = 20;

/// The share of zeros, in percent, from which a gate is hardened, at first; and by how much it falls each time.
const THRESHOLD: (f64, f64) = (95.0, 5.0);

/// The factor of the penalty at first, and what the distance from the wanted share is multiplied by then.
const PENALTY: (f64, f64) = (10.0, 100.0);

/// A gate is decided below the first number or above the second.
pub(crate) const DECIDED: (f32, f32) = (0.2, 0.8);

/// A gate is hardened where fewer than this share of its channels are decided late in the run.
const DECIDED_SHARE: f64 = 0.9;

/// From this part of the run on that is looked at.
const LATE: f64 = 0.125;

/// Momentum and weight decay of a gate's weights.
const MOMENTUM: f32 = 0.9;
const WEIGHT_DECAY: f32 = 5e-4;

/// How gates learn.
#[derive(Clone, Debug)]
pub(crate) struct GateRule {
    /// `alpha` at the first step and at the last one.
    pub(crate) alpha: (f64, f64),
    /// Steps after which `alpha` grows.
    pub(crate) every: u64,
    /// What hardening adds to `alpha`.
    pub(crate) harden: f64,
    /// Steps of the run.
    pub(crate) n_steps: u64,
    /// Learning rate in the first half of the run; a tenth of it in the second half.
    pub(crate) learning_rate: f64,
}

impl GateRule {
    /// `alpha` at a step, before hardening.
    fn alpha(&self, step: u64) -> f64 {
        let every = self.every.max(1);
        let (index, last) = (step / every, (self.n_steps.max(1) - 1) / every);
        let share = if last == 0 { 1.0 } else { index.min(last) as f64 / last as f64 };
        self.alpha.0 + (self.alpha.1 - self.alpha.0) * share
    }

    fn rate(&self, step: u64) -> f32 {
        (self.learning_rate * if step * 2 < self.n_steps { 1.0 } else { 0.1 }) as f32
    }

    fn is_late(&self, step: u64) -> bool {
        step as f64 >= LATE * self.n_steps as f64
    }
}

/// The gate of one value.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// The layer whose output it multiplies.
    pub(crate) layer: String,
    /// Channels, rows and columns of an image there.
    extents: [usize; 3],
    /// The share of channels that shall stay.
    keep: f64,
    rule: GateRule,
    weights: Vec<f32>,
    momentum: Vec<f32>,
    penalty: f64,
    hardening: f64,
    threshold: f64,
    /// The last values of `s`.
    history: VecDeque<Vec<f32>>,
    /// What stays, once that is decided: the gate learns no more.
    decided: Option<Vec<bool>>,
    held: Held,
}

/// What a backward pass needs of the forward pass.
#[derive(Clone, Debug, Default)]
struct Held {
    values: Vec<f32>,
    pooled: Vec<f32>,
    /// Where each element of the pooled mean comes from.
    places: Vec<usize>,
    s: Vec<f32>,
    alpha: f64,
}

impl Gate {
    /// A gate with random weights: normal with the deviation `10 · sqrt(2 / n)`, `n` the weights of an output.
    pub(crate) fn new(layer: &str, extents: [usize; 3], keep: f64, rule: GateRule, seed: u64) -> Self {
        let [c, h, w] = extents;
        let n = c * pooled(h) * pooled(w);
        let mut draws = Draws::new(seed, stream(&format!("autopruner/{layer}")));
        let deviation = 10.0 * (2.0 / n.max(1) as f64).sqrt();
        let weights: Vec<f32> = (0..c * n).map(|_| (deviation * draws.normal()) as f32).collect();
        Self {
            layer: layer.to_owned(),
            extents,
            keep,
            rule,
            momentum: vec![0.0; weights.len()],
            weights,
            penalty: PENALTY.0,
            hardening: 0.0,
            threshold: THRESHOLD.0,
            history: VecDeque::with_capacity(VOTES),
            decided: None,
            held: Held::default(),
        }
    }

    /// Ends learning: these channels stay.
    pub(crate) fn decide(&mut self, stays: Vec<bool>) {
        self.decided = Some(stays);
        (self.weights, self.momentum, self.held) = (Vec::new(), Vec::new(), Held::default());
    }

    /// The means of the last values of `s`; empty before the first.
    pub(crate) fn means(&self) -> Vec<f64> {
        let sum = |channel: usize| self.history.iter().map(|s| f64::from(s[channel])).sum::<f64>();
        let n = self.history.len();
        if n == 0 { Vec::new() } else { (0..self.extents[0]).map(|channel| sum(channel) / n as f64).collect() }
    }

    /// The last values of `s`.
    pub(crate) fn last(&self) -> &[f32] {
        self.history.back().map_or(&[], Vec::as_slice)
    }

    /// Which channels most of the last codes keep.
    pub(crate) fn code(&self) -> Vec<bool> {
        let votes = |channel: usize| self.history.iter().filter(|s| s[channel] >= 0.5).count();
        (0..self.extents[0]).map(|channel| 2 * votes(channel) >= self.history.len()).collect()
    }

    /// Multiplies the channels of a batch, channels last.
    fn forward(&mut self, mode: Mode, values: &mut [f32]) {
        let c = self.extents[0];
        let by_code = |code: &[bool], values: &mut [f32]| {
            for pixel in values.chunks_exact_mut(c) {
                pixel.iter_mut().zip(code).filter(|(_, stays)| !**stays).for_each(|(value, _)| *value = 0.0);
            }
        };
        match (&self.decided, mode) {
            (Some(code), _) => by_code(code, values),
            (None, Mode::Eval) => by_code(&self.code(), values),
            (None, Mode::Train { step, .. }) => {
                let alpha = self.rule.alpha(step) + self.hardening;
                let (pooled, places) = self.pool(values);
                let n = pooled.len();
                let s: Vec<f32> = self
                    .weights
                    .par_chunks_exact(n.max(1))
                    .map(|row| sigmoid(alpha * row.iter().zip(&pooled).map(|(w, x)| f64::from(w * x)).sum::<f64>()))
                    .collect();
                self.held = Held { values: values.to_vec(), pooled, places, s: s.clone(), alpha };
                for pixel in values.chunks_exact_mut(c) {
                    pixel.iter_mut().zip(&s).for_each(|(value, s)| *value *= s);
                }
                if self.history.len() == VOTES {
                    self.history.pop_front();
                }
                self.history.push_back(s);
            }
        }
    }

    /// The mean over the batch, pooled, channel after channel; and where in an image each element comes from.
    fn pool(&self, values: &[f32]) -> (Vec<f32>, Vec<usize>) {
        let [c, h, w] = self.extents;
        let len = (c * h * w).max(1);
        let n_images = (values.len() / len).max(1);
        let mut mean = vec![0.0_f32; len];
        for image in values.chunks_exact(len) {
            mean.iter_mut().zip(image).for_each(|(mean, x)| *mean += x / n_images as f32);
        }
        let (step_h, step_w) = (h.div_ceil(pooled(h)).min(2), w.div_ceil(pooled(w)).min(2));
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for channel in 0..c {
            for row in 0..pooled(h) {
                for column in 0..pooled(w) {
                    let of =
                        |at: usize| ((row * step_h + at / step_w) * w + column * step_w + at % step_w) * c + channel;
                    let mut best = of(0);
                    for place in (1..step_h * step_w).map(of) {
                        if mean[place] > mean[best] {
                            best = place;
                        }
                    }
                    values.push(mean[best]);
                    places.push(best);
                }
            }
        }
        (values, places)
    }

    /// From the gradient of what the gate gave to that of what it read; learns on the way.
    fn backward(&mut self, step: u64, gradient: &mut [f32]) {
        let [c, h, w] = self.extents;
        if let Some(code) = &self.decided {
            for pixel in gradient.chunks_exact_mut(c) {
                pixel.iter_mut().zip(code).filter(|(_, stays)| !**stays).for_each(|(g, _)| *g = 0.0);
            }
            return;
        }
        let Held { values, pooled, places, s, alpha } = std::mem::take(&mut self.held);
        if s.is_empty() || values.len() != gradient.len() {
            return;
        }
        // Of s: from the loss behind, and from λ (mean(s) − r)².
        let mut of_s = vec![0.0_f64; c];
        for (gradient, values) in gradient.chunks_exact(c).zip(values.chunks_exact(c)) {
            for ((sum, g), x) in of_s.iter_mut().zip(gradient).zip(values) {
                *sum += f64::from(*g) * f64::from(*x);
            }
        }
        let mean = s.iter().map(|&s| f64::from(s)).sum::<f64>() / c as f64;
        let penalty = 2.0 * self.penalty * (mean - self.keep) / c as f64;
        let of_v: Vec<f32> = of_s
            .iter()
            .zip(&s)
            .map(|(of_s, &s)| ((of_s + penalty) * alpha * f64::from(s) * (1.0 - f64::from(s))) as f32)
            .collect();
        for pixel in gradient.chunks_exact_mut(c) {
            pixel.iter_mut().zip(&s).for_each(|(g, s)| *g *= s);
        }
        // Through the convolution, the pooling and the mean.
        let n = pooled.len();
        let len = (c * h * w).max(1);
        let n_images = (gradient.len() / len).max(1) as f32;
        let mut of_mean = vec![0.0_f32; len];
        for (column, &place) in places.iter().enumerate() {
            let sum: f32 = of_v.iter().enumerate().map(|(row, g)| g * self.weights[row * n + column]).sum();
            of_mean[place] += sum / n_images;
        }
        for image in gradient.chunks_exact_mut(len) {
            image.iter_mut().zip(&of_mean).for_each(|(g, x)| *g += x);
        }
        let rate = self.rule.rate(step);
        let rows = self.weights.par_chunks_exact_mut(n.max(1)).zip(self.momentum.par_chunks_exact_mut(n.max(1)));
        rows.zip(&of_v).for_each(|((weights, momentum), g)| {
            for ((weight, momentum), x) in weights.iter_mut().zip(momentum).zip(&pooled) {
                *momentum = MOMENTUM * *momentum + g * x + WEIGHT_DECAY * *weight;
                *weight -= rate * *momentum;
            }
        });
        if (step + 1).is_multiple_of(VOTES as u64) {
            self.adapt(step);
        }
    }

    /// What the release does every 20 steps: the penalty follows the distance from the wanted share, and gates are hardened
    /// that lose too many channels or stay undecided.
    fn adapt(&mut self, step: u64) {
        let c = self.extents[0].max(1) as f64;
        let share = self.code().iter().filter(|stays| !**stays).count() as f64 / c;
        self.penalty = PENALTY.1 * (share - (1.0 - self.keep)).abs();
        if 100.0 * share >= self.threshold {
            self.hardening += self.rule.harden;
            self.threshold = (self.threshold - THRESHOLD.1).max(100.0 * (1.0 - self.keep));
        }
        let n_decided = self.last().iter().filter(|&&s| s < DECIDED.0 || s > DECIDED.1).count() as f64;
        if n_decided < DECIDED_SHARE * c && self.rule.is_late(step) {
            self.hardening += self.rule.harden;
        }
    }
}

/// What a 2x2 max-pool leaves of an extent.
fn pooled(extent: usize) -> usize {
    (extent / 2).max(1)
}

fn sigmoid(x: f64) -> f32 {
    (1.0 / (1.0 + (-x).exp())) as f32
}

/// The gates of a run.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) gates: Shared<Vec<Gate>>,
}

impl TensorHook for Gates {
    fn acts(&self, site: &Site, place: HookPlace) -> bool {
        place != HookPlace::Weight && lock(&self.gates).iter().any(|gate| gate.layer == site.name)
    }

    fn apply(&mut self, call: &HookCall<'_>, values: &mut [f32]) {
        let mut gates = lock(&self.gates);
        let Some(gate) = gates.iter_mut().find(|gate| gate.layer == call.site.name) else { return };
        match call.place {
            HookPlace::Weight => {}
            HookPlace::Output => gate.forward(call.mode, values),
            HookPlace::OutputGradient => gate.backward(call.step(), values),
        }
    }
}

/// What gates remember between steps, for checkpoints: a [`TensorHook`] has none there.
#[derive(Debug)]
pub(crate) struct GateMemory {
    pub(crate) gates: Shared<Vec<Gate>>,
}

impl ParamHook for GateMemory {
    fn memory(&self) -> Vec<Memory> {
        let of = |gate: &Gate| {
            let named = |part: &str, values: Vec<f64>| (format!("{part}/{}", gate.layer), values);
            let history: Vec<f32> = gate.history.iter().flatten().copied().collect();
            let decided = gate.decided.iter().flatten().map(|&stays| f64::from(u8::from(stays))).collect();
            [
                named("numbers", vec![gate.penalty, gate.hardening, gate.threshold]),
                named("weights", as_f64(&gate.weights)),
                named("momentum", as_f64(&gate.momentum)),
                named("history", as_f64(&history)),
                named("decided", decided),
            ]
        };
        lock(&self.gates).iter().flat_map(of).collect()
    }

    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        let mut memory = memory.into_iter().peekable();
        for gate in &mut *lock(&self.gates) {
            let c = gate.extents[0];
            let numbers = recalled(&mut memory, &format!("numbers/{}", gate.layer), 3)?;
            (gate.penalty, gate.hardening, gate.threshold) = (numbers[0], numbers[1], numbers[2]);
            gate.weights = as_f32(&recalled(&mut memory, &format!("weights/{}", gate.layer), gate.weights.len())?);
            gate.momentum = as_f32(&recalled(&mut memory, &format!("momentum/{}", gate.layer), gate.momentum.len())?);
            let n = memory.peek().map_or(0, |(_, values)| values.len().min(c * VOTES) / c.max(1) * c);
            let history = as_f32(&recalled(&mut memory, &format!("history/{}", gate.layer), n)?);
            gate.history = history.chunks_exact(c.max(1)).map(<[f32]>::to_vec).collect();
            let n = gate.decided.as_ref().map_or(0, Vec::len);
            let decided = recalled(&mut memory, &format!("decided/{}", gate.layer), n)?;
            gate.decided = gate.decided.as_ref().map(|_| decided.iter().map(|&stays| stays > 0.5).collect());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENTS: [usize; 3] = [3, 4, 5];

    fn rule() -> GateRule {
        GateRule { alpha: (1.0, 100.0), every: 100, harden: 1.0, n_steps: 1000, learning_rate: 0.0 }
    }

    /// `Σ c · X'` plus the penalty, for coefficients `c`, in double precision as far as s goes.
    fn loss(gate: &Gate, values: &[f32], coefficients: &[f32]) -> f64 {
        let (mut gate, mut out) = (gate.clone(), values.to_vec());
        gate.forward(Mode::Train { step: 0, seed: 0 }, &mut out);
        let mean = gate.last().iter().map(|&s| f64::from(s)).sum::<f64>() / 3.0;
        let behind: f64 = out.iter().zip(coefficients).map(|(x, c)| f64::from(*x) * f64::from(*c)).sum();
        behind + gate.penalty * (mean - gate.keep).powi(2)
    }

    /// Gradients of what the gate reads and of its weights against central differences.
    #[test]
    fn gradients() {
        let mut draws = Draws::new(3, stream("gates"));
        let mut gate = Gate::new("layer", EXTENTS, 0.4, rule(), 1);
        gate.weights.iter_mut().for_each(|weight| *weight *= 0.05);
        let n = 2 * 3 * 4 * 5;
        let values: Vec<f32> = (0..n).map(|_| draws.normal() as f32).collect();
        let coefficients: Vec<f32> = (0..n).map(|_| draws.normal() as f32).collect();
        let mut learning = gate.clone();
        learning.rule.learning_rate = 1.0;
        let mut out = values.clone();
        learning.forward(Mode::Train { step: 0, seed: 0 }, &mut out);
        let mut gradient = coefficients.clone();
        learning.backward(0, &mut gradient);
        const STEP: f32 = 1e-2;
        for at in (0..n).step_by(7) {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                loss(&gate, &values, &coefficients)
            };
            let expected = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            assert!((f64::from(gradient[at]) - expected).abs() < 0.01, "{at}: {}, {expected}", gradient[at]);
        }
        for at in 0..gate.weights.len() {
            let moved = |by: f32| {
                let mut gate = gate.clone();
                gate.weights[at] += by;
                loss(&gate, &values, &coefficients)
            };
            let expected = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            // One step of rate 1 without momentum: the gradient with weight decay.
            let found = f64::from(gate.weights[at] - learning.weights[at] - WEIGHT_DECAY * gate.weights[at]);
            assert!((found - expected).abs() < 0.01, "{at}: {found}, {expected}");
        }
    }

    /// The schedule of alpha, and what happens every 20 steps.
    #[test]
    fn schedules() {
        let rule = rule();
        let alphas: Vec<f64> = [0, 99, 100, 900, 999].map(|step| rule.alpha(step)).to_vec();
        assert_eq!(alphas, [1.0, 1.0, 12.0, 100.0, 100.0]);
        let mut gate = Gate::new("layer", [4, 1, 1], 0.5, rule, 1);
        let mut with = |s: [f32; 4], step: u64| {
            gate.history = std::iter::repeat_n(s.to_vec(), VOTES).collect();
            gate.adapt(step);
            (gate.penalty, gate.hardening, gate.threshold)
        };
        // Half goes: no penalty, and nothing hardens.
        assert_eq!(with([0.1, 0.9, 0.1, 0.9], 500), (0.0, 0.0, 95.0));
        // All of it: a penalty of half of 100, hardened, and sooner the next time.
        assert_eq!(with([0.1, 0.1, 0.1, 0.1], 10), (50.0, 1.0, 90.0));
        // Undecided: only late in the run.
        assert_eq!(with([0.4, 0.9, 0.4, 0.9], 10), (0.0, 1.0, 90.0));
        assert_eq!(with([0.4, 0.9, 0.4, 0.9], 500), (0.0, 2.0, 90.0));
        for _ in 0..20 {
            with([0.1; 4], 10);
        }
        assert_eq!(with([0.1; 4], 10), (50.0, 23.0, 50.0));
    }
}
