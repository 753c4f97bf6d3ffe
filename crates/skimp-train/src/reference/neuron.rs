//! Spiking neurons through time: the derivatives of all spikes with respect to all inputs, by the product rule.

use skimp_graph::ops::{Neuron, Reset, ResetTime};

/// What stands for spikes and for their derivative.
pub struct Spikes<'a> {
    /// The spike at a potential: a step for neurons, a smooth function where the derivative is to be the true one.
    pub value: &'a dyn Fn(f64) -> f64,
    /// Its derivative at a distance from the threshold.
    pub slope: &'a dyn Fn(f64) -> f64,
    /// Whether no derivative passes through what a spike takes off the potential.
    pub detaches: bool,
}

impl std::fmt::Debug for Spikes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spikes").field("detaches", &self.detaches).finish_non_exhaustive()
    }
}

/// A number and its derivatives with respect to the input of each time step.
#[derive(Clone)]
struct Dual {
    value: f64,
    slopes: Vec<f64>,
}

impl Dual {
    fn constant(value: f64, n: usize) -> Self {
        Self { value, slopes: vec![0.0; n] }
    }

    fn plus(&self, other: &Self) -> Self {
        let slopes = self.slopes.iter().zip(&other.slopes).map(|(a, b)| a + b).collect();
        Self { value: self.value + other.value, slopes }
    }

    fn times(&self, other: &Self) -> Self {
        let products = self.slopes.iter().zip(&other.slopes);
        let slopes = products.map(|(a, b)| a * other.value + self.value * b).collect();
        Self { value: self.value * other.value, slopes }
    }

    fn scaled(&self, factor: f64) -> Self {
        Self { value: factor * self.value, slopes: self.slopes.iter().map(|slope| factor * slope).collect() }
    }

    /// `self` where the spike is 0, `other` where it is 1.
    fn mixed(&self, spike: &Self, other: &Self) -> Self {
        self.plus(&spike.times(&other.plus(&self.scaled(-1.0))))
    }
}

/// The spikes of one neuron over time.
pub fn spikes(neuron: &Neuron, x: &[f64], of: &Spikes<'_>) -> Vec<f64> {
    run(neuron, x, of).iter().map(|spike| spike.value).collect()
}

/// The gradient of a loss with respect to the input of each time step, from that with respect to the spikes.
pub fn gradient(neuron: &Neuron, x: &[f64], dy: &[f64], of: &Spikes<'_>) -> Vec<f64> {
    let spikes = run(neuron, x, of);
    (0..x.len()).map(|input| spikes.iter().zip(dy).map(|(spike, dy)| dy * spike.slopes[input]).sum()).collect()
}

fn run(neuron: &Neuron, x: &[f64], of: &Spikes<'_>) -> Vec<Dual> {
    let n = x.len();
    let constant = |value: f32| Dual::constant(f64::from(value), n);
    let spike = |v: &Dual| {
        let slope = (of.slope)(v.value - f64::from(neuron.threshold));
        Dual { value: (of.value)(v.value), slopes: v.slopes.iter().map(|dv| slope * dv).collect() }
    };
    let in_reset = |spike: &Dual| if of.detaches { Dual::constant(spike.value, n) } else { spike.clone() };
    let is_late = neuron.reset_time == ResetTime::NextStep;
    let (threshold, reset_value, rest) =
        (constant(neuron.threshold), constant(neuron.reset_value), constant(neuron.rest));
    let (mut v, mut c) = (constant(neuron.initial), constant(0.0));
    let mut all = Vec::with_capacity(n);
    for (step, &x) in x.iter().enumerate() {
        let mut input = Dual::constant(x, n);
        input.slopes[step] = 1.0;
        c = c.scaled(f64::from(neuron.current_leak)).plus(&input);
        let earlier = in_reset(&spike(&v));
        let start = if is_late && neuron.reset == Reset::Zero { v.mixed(&earlier, &reset_value) } else { v.clone() };
        let left = rest.plus(&start.plus(&rest.scaled(-1.0)).scaled(f64::from(neuron.leak)));
        let mut u = left.plus(&c.scaled(f64::from(neuron.gain)));
        u = match neuron.reset {
            Reset::Subtract if is_late => u.plus(&earlier.times(&threshold).scaled(-1.0)),
            Reset::Clear if is_late => u.mixed(&earlier, &reset_value),
            _ => u,
        };
        let now = spike(&u);
        let taken = in_reset(&now);
        v = match neuron.reset {
            Reset::Subtract if !is_late => u.plus(&taken.times(&threshold).scaled(-1.0)),
            Reset::Zero | Reset::Clear if !is_late => u.mixed(&taken, &reset_value),
            _ => u,
        };
        all.push(now);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_smooth_neurons() {
        let x: Vec<f64> = (0..7).map(|i| f64::from(i * 5 % 7) / 4.0 - 0.4).collect();
        let dy: Vec<f64> = (0..7).map(|i| f64::from(i * 3 % 5) / 2.0 - 0.9).collect();
        let mut n_neurons = 0;
        for reset in Reset::ALL {
            for reset_time in [ResetTime::SameStep, ResetTime::NextStep] {
                for (leak, current_leak, rest) in [(1.0, 0.0, 0.0), (0.875, 0.0, 0.25), (0.75, 0.5, 0.0)] {
                    let numbers = Neuron { leak, current_leak, rest, reset_value: 0.125, ..Neuron::default() };
                    let neuron = Neuron { reset, reset_time, threshold: 0.75, gain: 0.5, initial: 0.25, ..numbers };
                    let logistic = |v: f64| 1.0 / (1.0 + (-3.0 * v).exp());
                    let value = |v: f64| logistic(v - 0.75);
                    let slope = |distance: f64| 3.0 * logistic(distance) * logistic(-distance);
                    let of = Spikes { value: &value, slope: &slope, detaches: false };
                    let loss =
                        |x: &[f64]| -> f64 { spikes(&neuron, x, &of).iter().zip(&dy).map(|(s, dy)| s * dy).sum() };
                    let found = gradient(&neuron, &x, &dy, &of);
                    for (step, found) in found.iter().enumerate() {
                        let at = |by: f64| {
                            let mut moved = x.clone();
                            moved[step] += by;
                            loss(&moved)
                        };
                        // Central differences: off by about h² and 1e-16 / h.
                        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                        assert!((found - expected).abs() < 1e-8, "{neuron:?}, {step}: {found}, expected {expected}");
                    }
                    n_neurons += usize::from(found.iter().any(|slope| slope.abs() > 0.01));
                }
            }
        }
        assert_eq!(n_neurons, 24, "all of them have gradients");
    }

    #[test]
    fn a_detached_reset_passes_nothing() {
        // One step of input, one to see: a spike in the first one changes the second only through the reset.
        let neuron = Neuron { leak: 1.0, ..Neuron::default() };
        let value = |v: f64| f64::from(u8::from(v >= 1.0));
        let slope = |_: f64| 1.0;
        let attached = Spikes { value: &value, slope: &slope, detaches: false };
        let detached = Spikes { value: &value, slope: &slope, detaches: true };
        assert_eq!(gradient(&neuron, &[1.5, 0.1], &[0.0, 1.0], &attached), [0.0, 1.0]);
        assert_eq!(gradient(&neuron, &[1.5, 0.1], &[0.0, 1.0], &detached), [1.0, 1.0]);
    }
}
