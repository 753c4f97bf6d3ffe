//! Flexpoint: 16-bit integers with an exponent per tensor that is predicted from its history.

use std::collections::{BTreeMap, VecDeque};

use skimp_numerics::{FixedCast, FixedFormat, RandomBits, Rounding};

use super::ledger::{Ledger, UPDATE, class, foreign, in_pieces, largest};
use super::switches::{choice, integer, round_switch};
use super::{Assignment, CastCounts, Operand, Pass, Policy, PolicyEntry, Role, Site, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, ParamRole, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct FlexpointEntry;

impl PolicyEntry for FlexpointEntry {
    fn name(&self) -> &'static str {
        "flexpoint"
    }

    fn summary(&self) -> &'static str {
        "flex16+5: 16-bit integers with a 5-bit exponent per tensor, predicted by Autoflex"
    }

    fn source(&self) -> &'static str {
        "Koster et al., Flexpoint: An Adaptive Numerical Format for Efficient Training of Deep Neural Networks, NeurIPS \
         2017. Differs: products are summed in f32, not in wide integers; the window of exponents, which the paper does \
         not place, ends at max-exponent; momentum stays in f32"
    }

    fn switches(&self) -> &'static [Switch] {
        &[
            Switch { name: "bits", default: "16", summary: "width of the integers, 4 to 22" },
            Switch { name: "round", default: "nearest-even", summary: super::switches::ROUND },
            Switch { name: "update", default: "flex", summary: "stored parameters: flex or fp32" },
            Switch { name: "history", default: "16", summary: "maxima that a prediction looks back on" },
            Switch { name: "alpha", default: "2", summary: "factor of the prediction" },
            Switch { name: "beta", default: "3", summary: "standard deviations in the prediction" },
            Switch { name: "gamma", default: "100", summary: "steps of the present scale in the prediction" },
            Switch { name: "max-exponent", default: "0", summary: "largest of the 32 exponents of the scale" },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let bits = integer(spec, "bits", 16, 4..=22)? as u32;
        let rounding = round_switch(spec)?;
        let updates = choice(spec, "update", &[("flex", true), ("fp32", false)])?;
        let history = integer(spec, "history", 16, 1..=4096)? as usize;
        let alpha = spec.number("alpha", 2.0, 1e-3..=1e6)?;
        let beta = spec.number("beta", 3.0, 0.0..=1e6)?;
        let gamma = spec.number("gamma", 100.0, 0.0..=1e6)?;
        let max_exponent = spec.number("max-exponent", 0.0, -60.0..=90.0)? as i32;
        let rule = Autoflex { bits, history, alpha, beta, gamma, max_exponent };
        Ok(Box::new(Flexpoint { ledger: Ledger::default(), rule, rounding, updates, tensors: BTreeMap::new() }))
    }
}

/// Marks stored parameters among the tensors.
const STORED: u8 = u8::MAX;

/// Predicts the exponent of a tensor's scale `2^exponent` from the maxima that it had.
///
/// `χ = α · (mean + β · deviation + γ · scale)` of the kept maxima; the exponent is `⌈log2 χ⌉ − (bits − 1)`. A maximum at
/// the largest integer counts as an overflow: the exponent goes up by one, the history is forgotten, and twice the
/// maximum is what it starts again with.
///
/// # Source
/// Köster et al. 2017, section 3.2 and algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Autoflex {
    bits: u32,
    history: usize,
    alpha: f64,
    beta: f64,
    gamma: f64,
    max_exponent: i32,
}

/// Scale and history of a tensor.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tensor {
    exponent: i32,
    maxima: VecDeque<f64>,
}

impl Autoflex {
    /// Within the 32 values of a 5-bit exponent.
    fn window(&self, exponent: f64) -> i32 {
        exponent.clamp(f64::from(self.max_exponent - 31), f64::from(self.max_exponent)) as i32
    }

    /// The largest integer.
    fn top(&self) -> f64 {
        2.0_f64.powi(self.bits as i32 - 1) - 1.0
    }

    /// The exponent that a predicted bound asks for; a bound that is a power of two itself would saturate.
    fn exponent_of_bound(&self, bound: f64) -> i32 {
        self.window(bound.log2().ceil() - f64::from(self.bits - 1))
    }

    /// The smallest exponent with which `largest` does not saturate.
    fn fitting(&self, largest: f64) -> i32 {
        self.window((largest / self.top()).log2().ceil())
    }

    /// Takes in the largest integer that the tensor held and predicts the next exponent.
    fn observe(&self, tensor: &mut Tensor, largest_code: f64) {
        // Of the exponent that the tensor had, also where the window ends and the exponent cannot go up.
        let most = largest_code * 2.0_f64.powi(tensor.exponent);
        if largest_code >= self.top() {
            tensor.exponent = self.window(f64::from(tensor.exponent + 1));
            tensor.maxima.clear();
            tensor.maxima.push_back(2.0 * most);
        } else {
            tensor.maxima.push_back(most);
        }
        while tensor.maxima.len() > self.history {
            tensor.maxima.pop_front();
        }
        let n = tensor.maxima.len() as f64;
        let mean = tensor.maxima.iter().sum::<f64>() / n;
        let variance = tensor.maxima.iter().map(|most| (most - mean).powi(2)).sum::<f64>() / n;
        let scale = 2.0_f64.powi(tensor.exponent);
        let predicted = self.alpha * (mean + self.beta * variance.sqrt() + self.gamma * scale);
        if predicted > 0.0 {
            tensor.exponent = self.exponent_of_bound(predicted);
        }
    }

    fn cast(&self, exponent: i32, rounding: Rounding) -> FixedCast {
        let format = FixedFormat::new(self.bits, 0).or(FixedFormat::new(16, 0));
        let format = format.map_or_else(|_| unreachable!("16 bits are valid"), |f| f.with_fraction_bits(-exponent));
        FixedCast::new(format, rounding)
    }
}

#[derive(Debug)]
struct Flexpoint {
    ledger: Ledger,
    rule: Autoflex,
    rounding: Rounding,
    updates: bool,
    tensors: BTreeMap<(usize, u8), Tensor>,
}

impl Flexpoint {
    fn round(&mut self, key: (usize, u8), class: &'static str, values: &mut [f32], random: RandomBits, learns: bool) {
        let mut new = Tensor::default();
        let room = self.rule.history + 1;
        let fresh = || Tensor { exponent: 0, maxima: VecDeque::with_capacity(room) };
        let tensor = if learns {
            self.tensors.entry(key).or_insert_with(fresh)
        } else {
            self.tensors.get_mut(&key).unwrap_or(&mut new)
        };
        if tensor.maxima.is_empty() {
            let most = largest(values);
            if most > 0.0 && most.is_finite() {
                tensor.exponent = self.rule.fitting(f64::from(most));
            }
        }
        let cast = self.rule.cast(tensor.exponent, self.rounding);
        let lost = in_pieces(values, |piece, offset| cast.round_slice(piece, random.skip(offset)).cast);
        let most = f64::from(largest(values));
        if learns && most > 0.0 {
            self.rule.observe(tensor, most / 2.0_f64.powi(tensor.exponent));
        }
        self.ledger.tally(class, lost);
    }
}

impl Policy for Flexpoint {
    fn name(&self) -> &'static str {
        "flexpoint"
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn casts(&self, _site: &Site, role: Role, _pass: Pass) -> bool {
        matches!(role, Role::Weight | Role::Bias | Role::Activation | Role::Error | Role::WeightGradient)
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let random = self.ledger.random();
        let learns = self.ledger.is_training();
        self.round((site.layer, operand.role as u8), class(operand.role), operand.values, random, learns);
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        Verdict::Step
    }

    fn rounds_updates(&self) -> bool {
        self.updates
    }

    fn round_update(&mut self, param_idx: usize, _role: ParamRole, kind: Assignment, values: &mut [f32]) {
        if kind == Assignment::Value && self.updates {
            let random = self.ledger.random();
            self.round((param_idx, STORED), UPDATE, values, random, true);
        }
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        let tensors = self.tensors.iter().map(|(&(index, kind), tensor)| {
            let numbers = [f64::from(tensor.exponent)].into_iter().chain(tensor.maxima.iter().copied());
            (format!("tensor/{index}/{kind}"), numbers.collect())
        });
        self.ledger.state().into_iter().chain(tensors).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        self.tensors.clear();
        for (name, numbers) in self.ledger.restore("flexpoint", state)? {
            let wrong = || foreign("flexpoint", name, numbers);
            let parts: Vec<&str> = name.split('/').collect();
            let (["tensor", index, kind], [exponent, maxima @ ..]) = (parts.as_slice(), numbers) else {
                return Err(wrong());
            };
            let (Ok(index), Ok(kind)) = (index.parse(), kind.parse()) else { return Err(wrong()) };
            let tensor = Tensor { exponent: *exponent as i32, maxima: maxima.iter().copied().collect() };
            self.tensors.insert((index, kind), tensor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Autoflex = Autoflex { bits: 16, history: 16, alpha: 2.0, beta: 3.0, gamma: 100.0, max_exponent: 0 };

    #[test]
    fn a_steady_maximum_gets_one_bit_of_headroom() {
        let mut tensor = Tensor { exponent: RULE.fitting(1.0), maxima: VecDeque::new() };
        assert_eq!(tensor.exponent, -14);
        for _ in 0..20 {
            let code = 1.0 / 2.0_f64.powi(tensor.exponent);
            RULE.observe(&mut tensor, code.min(32_767.0));
        }
        // χ = 2 · (1 + 0 + 100 · 2^−13) is a little above 2: ⌈log2⌉ = 2, minus 15.
        assert_eq!((tensor.exponent, tensor.maxima.len()), (-13, 16));
    }

    #[test]
    fn an_overflow_forgets_the_history_and_raises_the_exponent() {
        let mut tensor = Tensor { exponent: -15, maxima: VecDeque::from(vec![0.1, 0.1]) };
        RULE.observe(&mut tensor, 32_767.0);
        // Twice the maximum, 65534 · 2^−15, at the exponent −14; χ = 2 · (2.0 + 100 · 2^−14) = 4.01: 3 − 15.
        assert_eq!(tensor.maxima, [65_534.0 * 2.0_f64.powi(-15)]);
        assert_eq!(tensor.exponent, -12);
    }

    #[test]
    fn a_first_scale_never_saturates() {
        for bits in [4, 8, 16, 22] {
            // A window of 32 exponents that holds all that are asked for.
            let rule = Autoflex { bits, max_exponent: 24 - bits as i32, ..RULE };
            for exponent in -8..8 {
                let power = 2.0_f64.powi(exponent);
                for largest in [power, power * (1.0 + f64::EPSILON), power * 1.5, power * (2.0 - f64::EPSILON)] {
                    let fitting = rule.fitting(largest);
                    assert!(largest / 2.0_f64.powi(fitting) <= rule.top(), "{bits} bits, {largest}");
                    assert!(largest / 2.0_f64.powi(fitting - 1) > rule.top(), "{bits} bits, {largest}");
                }
            }
        }
        // An exact power of two is kept by the first step, whatever the sign.
        for values in [[1.0_f32, 0.25], [-1.0, 0.5]] {
            let mut policy = super::super::create("flexpoint").expect("a policy");
            policy.begin_step(1, 1, 1);
            let mut rounded = values;
            let (role, pass, contraction) = (Role::Weight, Pass::Forward, super::super::Contraction::None);
            let operand = Operand { role, pass, values: &mut rounded, rows: 1, columns: 2, contraction };
            policy.cast(&super::super::testing::site(1), operand);
            assert_eq!(rounded.map(f32::to_bits), values.map(f32::to_bits));
            assert_eq!(policy.counts().expect("counts").classes[0].1.overflows, 0);
        }
    }

    #[test]
    fn an_overflow_at_the_top_of_the_window_doubles_its_maximum() {
        let mut tensor = Tensor { exponent: 0, maxima: VecDeque::from(vec![1.0]) };
        RULE.observe(&mut tensor, 32_767.0);
        assert_eq!((tensor.maxima, tensor.exponent), (VecDeque::from(vec![65_534.0]), 0));
    }

    #[test]
    fn exponents_stay_in_the_window_of_five_bits() {
        assert_eq!((RULE.fitting(1e30), RULE.fitting(1e-30)), (0, -31));
    }
}
