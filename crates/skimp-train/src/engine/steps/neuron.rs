//! Spiking neurons over all time steps: forward through time, and backward.

use rayon::prelude::*;
use skimp_graph::ops::{Neuron, Reset, ResetTime};

use crate::TrainError;
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::reference::{SignEstimator, SignTraining};

/// Elements that go through time together.
const LANES: usize = 64;

/// A neuron of each element: its operator once in each time step, from the state before the first one.
///
/// An input without time is the same current in each step. The error of a spike is multiplied by the surrogate gradient at
/// `V − threshold`, before the reset, and goes on to the input, to the step before through the leak, and, if the reset is not
/// detached, through what the spike took off the potential.
///
/// # Source
/// Neftci, Mostafa and Zenke, "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Processing Magazine 36(6),
/// 2019, box 2; resets as [`Neuron`] has them.
#[derive(Debug)]
pub(crate) struct Spiking {
    neuron: Neuron,
    estimator: SignEstimator,
    detaches: bool,
    n_steps: usize,
    /// Potentials before spikes: for each image and time step, all elements.
    potentials: Vec<f32>,
}

impl Spiking {
    /// A neuron over so many time steps; why not if its gradient is not known.
    pub(crate) fn new(
        neuron: Neuron,
        sign: SignTraining,
        detaches: bool,
        n_steps: usize,
    ) -> Result<Self, &'static str> {
        let Neuron { reset, reset_time, first_spike, takes_state, returns_state, .. } = neuron;
        if first_spike.is_some() {
            return Err("neurons that fire once have no gradient here");
        }
        if takes_state || returns_state {
            return Err("its state is an input or an output of the network");
        }
        if reset_time == ResetTime::Ahead || (reset, reset_time) == (Reset::Clear, ResetTime::NextStep) {
            return Err("its reset has no gradient here: same-step, or next-step with subtract or zero, has");
        }
        Ok(Self { neuron, estimator: sign.estimator, detaches, n_steps, potentials: Vec::new() })
    }

    fn fires(&self, v: f32) -> bool {
        if self.neuron.is_strict { v > self.neuron.threshold } else { v >= self.neuron.threshold }
    }

    /// The error `ds` of a spike at potential `v`, times the surrogate gradient there.
    fn surrogate(&self, ds: f32, v: f32) -> f32 {
        let x = v - self.neuron.threshold;
        match self.estimator {
            SignEstimator::Identity => ds,
            SignEstimator::Clipped { slope } if x.abs() <= 1.0 => slope as f32 * ds,
            SignEstimator::Clipped { .. } => 0.0,
            SignEstimator::Surrogate(surrogate) => (f64::from(ds) * surrogate.slope(f64::from(x))) as f32,
        }
    }

    /// The potential before the spike and the current of a step with input `x`, from those of the step before.
    fn integrate(&self, x: f32, v: f32, c: f32) -> (f32, f32) {
        let Neuron { threshold, leak, gain, rest, current_leak, reset, reset_time, reset_value, .. } = self.neuron;
        let current = if current_leak == 0.0 { x } else { current_leak * c + x };
        let has_fired = reset_time == ResetTime::NextStep && self.fires(v);
        let start = if has_fired && reset == Reset::Zero { reset_value } else { v };
        let left = if rest == 0.0 { leak * start } else { rest + leak * (start - rest) };
        let u = left + gain * current;
        (if has_fired && reset == Reset::Subtract { u - threshold } else { u }, current)
    }

    /// The potential behind the spike.
    fn settled(&self, u: f32) -> f32 {
        if self.neuron.reset_time == ResetTime::NextStep || !self.fires(u) {
            return u;
        }
        match self.neuron.reset {
            Reset::None => u,
            Reset::Subtract => u - self.neuron.threshold,
            Reset::Zero | Reset::Clear => self.neuron.reset_value,
        }
    }

    /// One image: spikes and potentials of all time steps. `x` has one step or all of them.
    fn run(&self, x: &[f32], y: &mut [f32], potentials: &mut [f32], len: usize) {
        let stride = if x.len() == len { 0 } else { len };
        for first in (0..len).step_by(LANES) {
            let n = LANES.min(len - first);
            let (mut v, mut c) = ([self.neuron.initial; LANES], [0.0; LANES]);
            for step in 0..self.n_steps {
                let x = &x[step * stride + first..][..n];
                let y = &mut y[step * len + first..][..n];
                let potentials = &mut potentials[step * len + first..][..n];
                for i in 0..n {
                    (potentials[i], c[i]) = self.integrate(x[i], v[i], c[i]);
                    y[i] = f32::from(u8::from(self.fires(potentials[i])));
                    v[i] = self.settled(potentials[i]);
                }
            }
        }
    }

    /// One image: the gradient of its input from that of the spikes, last step first.
    fn run_back(&self, dx: &mut [f32], dy: &[f32], potentials: &[f32], len: usize) {
        let is_static = dx.len() == len;
        let stride = if is_static { 0 } else { len };
        for first in (0..len).step_by(LANES) {
            let n = LANES.min(len - first);
            // Of the potential behind the step, of the current, and of the step's spike through the next one's reset.
            let (mut dv, mut dc, mut ds) = ([0.0_f32; LANES], [0.0_f32; LANES], [0.0_f32; LANES]);
            if is_static {
                dx[first..][..n].fill(0.0);
            }
            for step in (0..self.n_steps).rev() {
                let dx = &mut dx[step * stride + first..][..n];
                let dy = &dy[step * len + first..][..n];
                let u = &potentials[step * len + first..][..n];
                let before = step.checked_sub(1).map(|step| &potentials[step * len + first..][..n]);
                for i in 0..n {
                    let du = self.through_spike(u[i], dy[i] + ds[i], dv[i]);
                    let dcurrent = self.neuron.gain * du + dc[i];
                    dc[i] = self.neuron.current_leak * dcurrent;
                    dx[i] = if is_static { dx[i] + dcurrent } else { dcurrent };
                    (dv[i], ds[i]) = before.map_or((0.0, 0.0), |before| self.to_step_before(before[i], du));
                }
            }
        }
    }

    /// The gradient of the potential before a spike, from those of the spike and of the potential behind it.
    fn through_spike(&self, u: f32, ds: f32, dv: f32) -> f32 {
        let Neuron { threshold, reset, reset_time, reset_value, .. } = self.neuron;
        let (stays, taken) = match (reset_time, reset) {
            (ResetTime::NextStep, _) | (_, Reset::None) => (1.0, 0.0),
            (_, Reset::Subtract) => (1.0, -threshold),
            (_, Reset::Zero | Reset::Clear) => (f32::from(u8::from(!self.fires(u))), reset_value - u),
        };
        let through = if self.detaches { 0.0 } else { dv * taken };
        dv * stays + self.surrogate(ds + through, u)
    }

    /// The gradients of potential and spike of the step before, at its potential `v` before the spike, from that of this
    /// step's potential.
    fn to_step_before(&self, v: f32, du: f32) -> (f32, f32) {
        let Neuron { threshold, leak, reset, reset_time, reset_value, .. } = self.neuron;
        let start = leak * du;
        if reset_time != ResetTime::NextStep {
            return (start, 0.0);
        }
        let attached = if self.detaches { 0.0 } else { 1.0 };
        match reset {
            Reset::Subtract => (start, attached * -threshold * du),
            Reset::Zero => {
                let stays = f32::from(u8::from(!self.fires(v)));
                (start * stays, attached * start * (reset_value - v))
            }
            Reset::None | Reset::Clear => (start, 0.0),
        }
    }
}

impl Step for Spiking {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: false, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (x_id, y_id) = (place.inputs[0].id, place.outputs[0]);
        let len = run.tensors.spec(y_id).len();
        let (volume, x_volume) = (run.tensors.spec(y_id).volume(), run.tensors.spec(x_id).volume());
        let mut potentials = std::mem::take(&mut self.potentials);
        potentials.resize(volume * run.images, 0.0);
        run.produce(y_id, |y, run| {
            if volume > 0 {
                let images = y.par_chunks_mut(volume).zip(potentials.par_chunks_mut(volume));
                images
                    .zip(run.value(x_id).par_chunks(x_volume))
                    .for_each(|((y, potentials), x)| self.run(x, y, potentials, len));
            }
        });
        self.potentials = potentials;
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (port, y_id) = (place.inputs[0], place.outputs[0]);
        let len = run.tensors.spec(y_id).len();
        let (volume, x_volume) = (run.tensors.spec(y_id).volume(), run.tensors.spec(port.id).volume());
        run.contribute(&port, |dx, run| {
            if volume > 0 {
                let images = dx.par_chunks_mut(x_volume).zip(run.grad(y_id).par_chunks(volume));
                images
                    .zip(self.potentials.par_chunks(volume))
                    .for_each(|((dx, dy), potentials)| self.run_back(dx, dy, potentials, len));
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::{Op, Tensor, reference};

    use super::*;
    use crate::quantizer::Surrogate;
    use crate::reference::neuron;

    /// Every kind of neuron that has a gradient.
    fn neurons() -> Vec<Neuron> {
        let mut all = Vec::new();
        for reset in [Reset::None, Reset::Subtract, Reset::Zero, Reset::Clear] {
            for reset_time in [ResetTime::SameStep, ResetTime::NextStep] {
                for (leak, current_leak, rest) in [(1.0, 0.0, 0.0), (0.875, 0.0, 0.25), (0.75, 0.5, 0.0)] {
                    let (is_strict, reset_value) = (current_leak > 0.0, 0.125 * rest);
                    let numbers = Neuron { leak, current_leak, rest, reset_value, is_strict, ..Neuron::default() };
                    all.push(Neuron { reset, reset_time, threshold: 0.75, gain: 0.5, initial: 0.25, ..numbers });
                }
            }
        }
        all.retain(|neuron| (neuron.reset, neuron.reset_time) != (Reset::Clear, ResetTime::NextStep));
        all
    }

    const STEPS: usize = 6;
    const LEN: usize = 70;

    fn currents(seed: usize) -> Vec<f32> {
        (0..STEPS * LEN).map(|i| (((i + seed) * 37 % 101) as f32 - 38.0) / 32.0).collect()
    }

    #[test]
    fn spikes_are_those_of_the_operator() {
        for neuron in neurons() {
            let spiking = Spiking::new(neuron, SignTraining::default(), false, STEPS).expect("has a gradient");
            let x = currents(3);
            let (mut y, mut potentials) = (vec![0.0; STEPS * LEN], vec![0.0; STEPS * LEN]);
            spiking.run(&x, &mut y, &mut potentials, LEN);
            let op = Op::Neuron(Neuron { takes_state: true, returns_state: true, ..neuron });
            let mut state: Vec<Tensor> =
                neuron.initial_states().map(|initial| Tensor::from_f32(vec![LEN], vec![initial; LEN])).collect();
            let mut n_spikes = 0;
            for step in 0..STEPS {
                let x = Tensor::from_f32(vec![LEN], x[step * LEN..][..LEN].to_vec());
                let mut inputs = vec![Some(&x), None, None];
                inputs.extend(state.iter().map(Some));
                let mut outputs = reference::evaluate(&op, "n", &inputs).expect("runs");
                state = outputs.split_off(1);
                let spikes = outputs[0].as_f32().expect("f32");
                n_spikes += spikes.iter().filter(|&&spike| spike > 0.0).count();
                assert_eq!(spikes, &y[step * LEN..][..LEN], "{neuron:?}, step {step}");
            }
            assert!((20..400).contains(&n_spikes), "{neuron:?}: {n_spikes} spikes tell little");
        }
    }

    #[test]
    fn gradients_equal_the_reference() {
        let atan = SignEstimator::Surrogate(Surrogate::named("atan").expect("registered"));
        for neuron in neurons() {
            for (estimator, detaches) in [(atan, false), (atan, true), (SignEstimator::Clipped { slope: 0.5 }, false)] {
                let sign = SignTraining { estimator, ..SignTraining::default() };
                let spiking = Spiking::new(neuron, sign, detaches, STEPS).expect("has a gradient");
                for is_static in [false, true] {
                    let n = if is_static { LEN } else { STEPS * LEN };
                    let (x, dy) = (currents(1)[..n].to_vec(), currents(50));
                    let (mut y, mut potentials) = (vec![0.0; STEPS * LEN], vec![0.0; STEPS * LEN]);
                    spiking.run(&x, &mut y, &mut potentials, LEN);
                    let mut dx = vec![7.0; n];
                    spiking.run_back(&mut dx, &dy, &potentials, LEN);
                    for i in 0..LEN {
                        let of =
                            |all: &[f32]| -> Vec<f64> { all[i..].iter().step_by(LEN).map(|&x| x.into()).collect() };
                        let own = of(&x);
                        let inputs = if is_static { vec![own[0]; STEPS] } else { own };
                        let fires = |v: f64| f64::from(u8::from(spiking.fires(v as f32)));
                        let slope = |x: f64| sign.slope(x);
                        let spikes = neuron::Spikes { value: &fires, slope: &slope, detaches };
                        let all = neuron::gradient(&neuron, &inputs, &of(&dy), &spikes);
                        let expected = if is_static { vec![all.iter().sum()] } else { all };
                        for (found, expected) in of(&dx).iter().zip(&expected) {
                            // Products and sums of six steps in f32.
                            let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                            assert!(close, "{neuron:?} {estimator:?} {detaches}: {found}, expected {expected}");
                        }
                    }
                }
            }
        }
    }
}
