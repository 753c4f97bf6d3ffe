//! What chooses, for each image and layer, how many groups of channels are computed: Q-values of a recurrent network.

use rayon::prelude::*;
use skimp_numerics::rng::{Draws, stream};

/// Sizes of the code of a layer's input, of the recurrent state, and of what lies before the Q-values.
const CODE: usize = 64;
const STATE: usize = 128;
const DECODED: usize = 32;

/// What a reward of the next step counts.
const DISCOUNT: f64 = 0.999;

/// Adam: decays of the moments, and what keeps the quotient finite.
const DECAYS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// How fast the target network follows.
const FOLLOW: f64 = 0.005;

/// Images whose gradients are held at a time.
const CHUNK: usize = 16;

/// A dense layer among the parameters.
#[derive(Clone, Copy, Debug)]
struct Dense {
    first: usize,
    inputs: usize,
    outputs: usize,
}

impl Dense {
    fn len(self) -> usize {
        (self.inputs + 1) * self.outputs
    }

    /// `W x + b`; weights row by row, then biases.
    fn of(self, params: &[f64], x: &[f64]) -> Vec<f64> {
        let (weights, biases) = params[self.first..][..self.len()].split_at(self.inputs * self.outputs);
        let rows = weights.chunks_exact(self.inputs).zip(biases);
        rows.map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias).collect()
    }

    /// Adds to the gradients of the parameters; gives that of `x`.
    fn back(self, params: &[f64], x: &[f64], of_y: &[f64], gradient: &mut [f64]) -> Vec<f64> {
        let n = self.inputs * self.outputs;
        let (of_weights, of_biases) = gradient[self.first..][..self.len()].split_at_mut(n);
        let mut of_x = vec![0.0; self.inputs];
        let rows = params[self.first..][..n].chunks_exact(self.inputs).zip(of_weights.chunks_exact_mut(self.inputs));
        for (((row, of_row), of_bias), g) in rows.zip(of_biases).zip(of_y) {
            *of_bias += g;
            for ((w, of_w), (x, of_x)) in row.iter().zip(of_row).zip(x.iter().zip(&mut of_x)) {
                *of_w += g * x;
                *of_x += g * w;
            }
        }
        of_x
    }
}

/// What one step computed.
#[derive(Clone, Debug)]
struct Step {
    code: Vec<f64>,
    before: Vec<f64>,
    state: Vec<f64>,
    decoded: Vec<f64>,
    values: Vec<f64>,
}

/// What happened on the way of one image through the layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Episode {
    /// Of each layer: the means of the channels that it reads.
    pub(crate) features: Vec<Vec<f64>>,
    /// Which action was taken, from 0.
    pub(crate) actions: Vec<usize>,
    /// What it was worth.
    pub(crate) rewards: Vec<f64>,
}

/// An encoder for each layer, and a recurrent network and a decoder for all.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    encoders: Vec<Dense>,
    recurrent: Dense,
    decoder: Dense,
    last: Dense,
    params: Vec<f64>,
    target: Vec<f64>,
    moments: (Vec<f64>, Vec<f64>),
    n_updates: i32,
    rate: f64,
}

impl Agent {
    /// An agent for layers that read so many channels, with `n_actions` to choose from in each, that learns at `rate`; weights are normal with the
    /// deviation `1 / sqrt(inputs)`.
    pub(crate) fn new(n_channels: &[usize], n_actions: usize, rate: f64, seed: u64) -> Self {
        let mut len = 0;
        let mut dense = |inputs: usize, outputs: usize| {
            let layer = Dense { first: len, inputs, outputs };
            len += layer.len();
            layer
        };
        let encoders: Vec<Dense> = n_channels.iter().map(|&n| dense(n, CODE)).collect();
        let recurrent = dense(CODE + STATE, STATE);
        let decoder = dense(STATE, DECODED);
        let last = dense(DECODED, n_actions);
        let mut params = vec![0.0; len];
        let mut draws = Draws::new(seed, stream("rnp/agent"));
        for layer in encoders.iter().chain([&recurrent, &decoder, &last]) {
            let deviation = 1.0 / (layer.inputs as f64).sqrt();
            let weights = &mut params[layer.first..][..layer.inputs * layer.outputs];
            weights.iter_mut().for_each(|weight| *weight = deviation * draws.normal());
        }
        let moments = (vec![0.0; len], vec![0.0; len]);
        Self { encoders, recurrent, decoder, last, target: params.clone(), params, moments, n_updates: 0, rate }
    }

    /// The recurrent state before the first layer.
    pub(crate) fn start() -> Vec<f64> {
        vec![0.0; STATE]
    }

    /// The Q-values of a layer's actions and the next state.
    pub(crate) fn values(&self, layer: usize, features: &[f64], state: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        let step = self.step(&self.params, layer, features, state);
        (step.values, step.state)
    }

    fn step(&self, params: &[f64], layer: usize, features: &[f64], before: Vec<f64>) -> Step {
        let rectified = |values: Vec<f64>| values.into_iter().map(|x| x.max(0.0)).collect::<Vec<f64>>();
        let code = rectified(self.encoders[layer].of(params, features));
        let read = [code.as_slice(), before.as_slice()].concat();
        let state: Vec<f64> = self.recurrent.of(params, &read).into_iter().map(f64::tanh).collect();
        let decoded = rectified(self.decoder.of(params, &state));
        let values = self.last.of(params, &decoded);
        Step { code, before, state, decoded, values }
    }

    fn steps(&self, params: &[f64], episode: &Episode) -> Vec<Step> {
        let mut state = Self::start();
        let mut steps = Vec::with_capacity(episode.features.len());
        for (layer, features) in episode.features.iter().enumerate() {
            let step = self.step(params, layer, features, state);
            state = step.state.clone();
            steps.push(step);
        }
        steps
    }

    /// What the Q-value of each action that was taken should be: its reward, and the best of the next layer by the target
    /// network.
    fn wanted(&self, episode: &Episode) -> Vec<f64> {
        let steps = self.steps(&self.target, episode);
        let best = |step: &Step| step.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let next = steps.iter().skip(1).map(|step| DISCOUNT * best(step)).chain([0.0]);
        episode.rewards.iter().zip(next).map(|(reward, next)| reward + next).collect()
    }

    /// Adds the gradient of the Huber loss of an episode, times `factor`; gives the loss.
    fn backward(&self, episode: &Episode, wanted: &[f64], factor: f64, gradient: &mut [f64]) -> f64 {
        let steps = self.steps(&self.params, episode);
        let params = &self.params;
        let mut loss = 0.0;
        let mut of_state = vec![0.0; STATE];
        for (layer, step) in steps.iter().enumerate().rev() {
            let off = step.values[episode.actions[layer]] - wanted[layer];
            loss += if off.abs() <= 1.0 { 0.5 * off * off } else { off.abs() - 0.5 };
            let mut of_values = vec![0.0; step.values.len()];
            of_values[episode.actions[layer]] = factor * off.clamp(-1.0, 1.0);
            let mut of_decoded = self.last.back(params, &step.decoded, &of_values, gradient);
            of_decoded.iter_mut().zip(&step.decoded).filter(|(_, x)| **x <= 0.0).for_each(|(g, _)| *g = 0.0);
            let from_decoder = self.decoder.back(params, &step.state, &of_decoded, gradient);
            let of_sum: Vec<f64> = of_state
                .iter()
                .zip(from_decoder)
                .zip(&step.state)
                .map(|((later, own), state)| (later + own) * (1.0 - state * state))
                .collect();
            let read = [step.code.as_slice(), step.before.as_slice()].concat();
            let mut of_read = self.recurrent.back(params, &read, &of_sum, gradient);
            of_state = of_read.split_off(CODE);
            of_read.iter_mut().zip(&step.code).filter(|(_, x)| **x <= 0.0).for_each(|(g, _)| *g = 0.0);
            self.encoders[layer].back(params, &episode.features[layer], &of_read, gradient);
        }
        loss
    }

    /// One update by a batch of episodes; the mean loss of an image before it.
    pub(crate) fn learn(&mut self, episodes: &[Episode]) -> f64 {
        let factor = 1.0 / episodes.len().max(1) as f64;
        let (mut gradient, mut loss) = (vec![0.0; self.params.len()], 0.0);
        for chunk in episodes.chunks(CHUNK) {
            let parts: Vec<(Vec<f64>, f64)> = chunk
                .par_iter()
                .map(|episode| {
                    let mut part = vec![0.0; self.params.len()];
                    let loss = self.backward(episode, &self.wanted(episode), factor, &mut part);
                    (part, loss)
                })
                .collect();
            for (part, own) in parts {
                gradient.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
                loss += own * factor;
            }
        }
        self.n_updates += 1;
        let unbiased = |decay: f64| 1.0 - decay.powi(self.n_updates);
        let (first, second) = (unbiased(DECAYS.0), unbiased(DECAYS.1));
        let moments = self.moments.0.iter_mut().zip(&mut self.moments.1);
        for (((param, target), g), (mean, square)) in
            self.params.iter_mut().zip(&mut self.target).zip(gradient).zip(moments)
        {
            *mean = DECAYS.0 * *mean + (1.0 - DECAYS.0) * g;
            *square = DECAYS.1 * *square + (1.0 - DECAYS.1) * g * g;
            *param -= self.rate * (*mean / first) / ((*square / second).sqrt() + EPSILON);
            *target += FOLLOW * (*param - *target);
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(draws: &mut Draws, n_actions: usize) -> Episode {
        let features = [3, 5, 2].map(|n| (0..n).map(|_| draws.normal()).collect()).to_vec();
        let actions = (0..3).map(|_| draws.below(n_actions)).collect();
        Episode { features, actions, rewards: vec![-0.3, 0.1, -0.7] }
    }

    /// Through time: gradients against central differences.
    #[test]
    fn gradients() {
        let mut draws = Draws::new(1, stream("agent"));
        let mut agent = Agent::new(&[3, 5, 2], 4, 1e-4, 7);
        let episode = episode(&mut draws, 4);
        let wanted = vec![0.2, -3.0, 0.4];
        let mut gradient = vec![0.0; agent.params.len()];
        agent.backward(&episode, &wanted, 1.0, &mut gradient);
        const STEP: f64 = 1e-5;
        for at in (0..gradient.len()).step_by(37) {
            let before = agent.params[at];
            let mut moved = |by: f64| {
                agent.params[at] = before + by;
                let loss = agent.backward(&episode, &wanted, 1.0, &mut vec![0.0; gradient.len()]);
                agent.params[at] = before;
                loss
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!((gradient[at] - expected).abs() < 1e-6, "{at}: {}, {expected}", gradient[at]);
        }
    }

    /// What an action is worth is its reward and the best of what follows.
    #[test]
    fn targets_look_ahead() {
        let mut draws = Draws::new(2, stream("agent"));
        let agent = Agent::new(&[3, 5, 2], 4, 1e-4, 7);
        let episode = episode(&mut draws, 4);
        let wanted = agent.wanted(&episode);
        let mut state = Agent::start();
        let mut best = Vec::new();
        for (layer, features) in episode.features.iter().enumerate() {
            let (values, next) = agent.values(layer, features, state);
            best.push(values.into_iter().fold(f64::NEG_INFINITY, f64::max));
            state = next;
        }
        let expected = [-0.3 + DISCOUNT * best[1], 0.1 + DISCOUNT * best[2], -0.7];
        assert!(wanted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{wanted:?} {expected:?}");
    }

    /// Of two actions the better one by far ends up with the higher value, whichever is tried.
    #[test]
    fn the_better_action_is_learned() {
        let mut agent = Agent::new(&[2], 2, 1e-3, 3);
        let episodes: Vec<Episode> = (0..8)
            .map(|at| {
                let (side, action) = (f64::from(at % 2), (at / 2 % 2) as usize);
                // On one side the first action is the better one, on the other the second.
                let reward = if (side > 0.5) == (action == 1) { 0.5 } else { -0.5 };
                Episode { features: vec![vec![side, 1.0 - side]], actions: vec![action], rewards: vec![reward] }
            })
            .collect();
        let losses: Vec<f64> = (0..600).map(|_| agent.learn(&episodes)).collect();
        assert!(losses[599] < 0.1 * losses[0], "{} {}", losses[0], losses[599]);
        for (features, expected) in [([0.0, 1.0], 0), ([1.0, 0.0], 1)] {
            let (values, _) = agent.values(0, &features, Agent::start());
            assert!(values[expected] > values[1 - expected] + 0.5, "{values:?}");
        }
    }
}
