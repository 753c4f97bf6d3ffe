//! OCP 8-bit floating point with per-tensor scales.

use std::collections::{BTreeMap, VecDeque};

use skimp_numerics::formats::{FP8_E4M3, FP8_E5M2};
use skimp_numerics::{FloatCast, FloatFormat, Overflow, RandomBits, Specials, Subnormals};

use super::ledger::{Ledger, class, foreign, in_pieces, largest};
use super::switches::{Exempt, choice, integer, round_switch, subnormals_switch};
use super::{CastCounts, Operand, Pass, Policy, PolicyEntry, Role, Site, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct Fp8OcpEntry;

/// How a tensor's scale is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scaling {
    /// From the largest magnitudes of earlier steps.
    Delayed,
    /// From the tensor itself.
    Current,
    /// None.
    Unit,
}

/// What becomes of numbers above the largest finite one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    /// The largest number, of infinities too.
    Saturate,
    /// Infinity, or NaN where the format has none.
    Special,
    /// As PyTorch 2.15 converts: formats without infinity saturate, the others give it.
    Torch,
}

impl Beyond {
    fn of(self, format: &FloatFormat) -> Overflow {
        match self {
            Self::Saturate => Overflow::Saturate,
            Self::Special => Overflow::Special,
            Self::Torch if format.specials() == Specials::Ieee => Overflow::Special,
            Self::Torch => Overflow::Saturate,
        }
    }
}

impl PolicyEntry for Fp8OcpEntry {
    fn name(&self) -> &'static str {
        "fp8-ocp"
    }

    fn summary(&self) -> &'static str {
        "E4M3 weights and activations, E5M2 errors, per-tensor scales from past maxima, f32 sums and updates"
    }

    fn source(&self) -> &'static str {
        "Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433, 2022; scales as in NVIDIA TransformerEngine's \
         DelayedScaling. Differs: operands are scaled back before the product, not the sum after it; the first scale is that \
         of the first tensor"
    }

    fn switches(&self) -> &'static [Switch] {
        &[
            Switch {
                name: "scaling",
                default: "delayed",
                summary: "scales from past steps (delayed), current, or none",
            },
            Switch {
                name: "history",
                default: "1024",
                summary: "steps whose largest magnitude a delayed scale regards",
            },
            Switch { name: "margin", default: "0", summary: "powers of two that a scale leaves free" },
            Switch { name: "forward", default: "e4m3", summary: "weights and activations: e4m3 or e5m2" },
            Switch { name: "backward", default: "e5m2", summary: "errors: e5m2 or e4m3" },
            Switch {
                name: "overflow",
                default: "saturate",
                summary: "beyond the largest number: saturate (infinities too; TransformerEngine, ONNX), special (NaN in \
                          E4M3, infinity in E5M2; ml_dtypes) or torch (2.15: E4M3 saturates, E5M2 gives infinity)",
            },
            Switch { name: "round", default: "nearest-even", summary: super::switches::ROUND },
            Switch { name: "subnormals", default: "keep", summary: "keep or flush" },
            Switch { name: "exempt", default: "none", summary: super::switches::EXEMPT },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let modes = [("delayed", Scaling::Delayed), ("current", Scaling::Current), ("none", Scaling::Unit)];
        let scaling = choice(spec, "scaling", &modes)?;
        let history = integer(spec, "history", 1024, 1..=1 << 20)? as usize;
        let margin = spec.number("margin", 0.0, -64.0..=64.0)? as i32;
        let forward = choice(spec, "forward", &[("e4m3", FP8_E4M3), ("e5m2", FP8_E5M2)])?;
        let backward = choice(spec, "backward", &[("e5m2", FP8_E5M2), ("e4m3", FP8_E4M3)])?;
        let rules = [("saturate", Beyond::Saturate), ("special", Beyond::Special), ("torch", Beyond::Torch)];
        let beyond = choice(spec, "overflow", &rules)?;
        let (rounding, subnormals): (_, Subnormals) = (round_switch(spec)?, subnormals_switch(spec)?);
        let exempt = Exempt::read(spec)?;
        let cast = |format: FloatFormat| {
            let overflow = beyond.of(&format);
            FloatCast::new(format).with_rounding(rounding).with_subnormals(subnormals).with_overflow(overflow)
        };
        Ok(Box::new(Fp8Ocp {
            ledger: Ledger::default(),
            forward: cast(forward),
            backward: cast(backward),
            scaling,
            rule: Delayed { history, margin },
            exempt,
            tensors: BTreeMap::new(),
        }))
    }
}

/// The scale `format maximum / amax / 2^margin` of the largest magnitude over a history of steps. A largest magnitude that
/// is zero or not finite leaves the scale; a scale that would not be finite is the largest f32.
#[derive(Clone, Copy, Debug)]
struct Delayed {
    history: usize,
    margin: i32,
}

/// Scale and history of a tensor.
#[derive(Clone, Debug, PartialEq)]
struct Tensor {
    scale: f32,
    /// The largest magnitude of the step under way.
    present: f32,
    past: VecDeque<f32>,
}

impl Delayed {
    fn scale(&self, old: f32, format_max: f32, amax: f32) -> f32 {
        if !(amax > 0.0 && amax.is_finite()) {
            return old;
        }
        (format_max / amax / 2.0_f32.powi(self.margin)).min(f32::MAX)
    }

    /// Ends a step: its largest magnitude joins the history, and the next scale follows from all of it.
    fn advance(&self, tensor: &mut Tensor, format_max: f32) {
        tensor.past.push_back(std::mem::take(&mut tensor.present));
        while tensor.past.len() > self.history {
            tensor.past.pop_front();
        }
        let amax = tensor.past.iter().copied().filter(|most| most.is_finite()).fold(0.0, f32::max);
        tensor.scale = self.scale(tensor.scale, format_max, amax);
    }
}

#[derive(Debug)]
struct Fp8Ocp {
    ledger: Ledger,
    forward: FloatCast,
    backward: FloatCast,
    scaling: Scaling,
    rule: Delayed,
    exempt: Exempt,
    tensors: BTreeMap<(usize, u8), Tensor>,
}

const ERROR: u8 = Role::Error as u8;

impl Fp8Ocp {
    fn cast_of(&self, kind: u8) -> FloatCast {
        if kind == ERROR { self.backward } else { self.forward }
    }

    /// The scale of a tensor in this step.
    fn scale(&mut self, key: (usize, u8), values: &[f32]) -> f32 {
        let max = self.cast_of(key.1).format().max_finite();
        match self.scaling {
            Scaling::Unit => 1.0,
            Scaling::Current => self.rule.scale(1.0, max, largest(values)),
            Scaling::Delayed => {
                let amax = largest(values);
                let is_training = self.ledger.is_training();
                let rule = self.rule;
                let first = |room| Tensor {
                    scale: rule.scale(1.0, max, amax),
                    present: 0.0,
                    past: VecDeque::with_capacity(room),
                };
                if !is_training {
                    return self.tensors.get(&key).map_or_else(|| first(0).scale, |tensor| tensor.scale);
                }
                let tensor = self.tensors.entry(key).or_insert_with(|| first(rule.history + 1));
                tensor.present = if amax.is_finite() { tensor.present.max(amax) } else { tensor.present };
                tensor.scale
            }
        }
    }
}

fn round_scaled(
    ledger: &mut Ledger,
    class: &'static str,
    cast: &FloatCast,
    scale: f32,
    values: &mut [f32],
    random: RandomBits,
) {
    let lost = in_pieces(values, |piece, offset| {
        piece.iter_mut().for_each(|value| *value *= scale);
        let lost = cast.round_slice(piece, random.skip(offset));
        piece.iter_mut().for_each(|value| *value /= scale);
        lost
    });
    ledger.tally(class, lost);
}

impl Policy for Fp8Ocp {
    fn name(&self) -> &'static str {
        "fp8-ocp"
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn casts(&self, site: &Site, role: Role, _pass: Pass) -> bool {
        matches!(role, Role::Weight | Role::Activation | Role::Error) && !self.exempt.holds(site)
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let key = (site.layer, operand.role as u8);
        let scale = self.scale(key, operand.values);
        let cast = self.cast_of(key.1);
        let random = self.ledger.random();
        round_scaled(&mut self.ledger, class(operand.role), &cast, scale, operand.values, random);
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        let (forward, backward) = (self.forward.format().max_finite(), self.backward.format().max_finite());
        for (key, tensor) in &mut self.tensors {
            self.rule.advance(tensor, if key.1 == ERROR { backward } else { forward });
        }
        Verdict::Step
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        let tensors = self.tensors.iter().map(|(&(layer, kind), tensor)| {
            let numbers = [tensor.scale, tensor.present].into_iter().chain(tensor.past.iter().copied());
            (format!("scale/{layer}/{kind}"), numbers.map(f64::from).collect())
        });
        self.ledger.state().into_iter().chain(tensors).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        self.tensors.clear();
        for (name, numbers) in self.ledger.restore("fp8-ocp", state)? {
            let wrong = || foreign("fp8-ocp", name, numbers);
            let parts: Vec<&str> = name.split('/').collect();
            let (["scale", layer, kind], [scale, present, past @ ..]) = (parts.as_slice(), numbers) else {
                return Err(wrong());
            };
            let (Ok(layer), Ok(kind)) = (layer.parse(), kind.parse()) else { return Err(wrong()) };
            let past = past.iter().map(|&most| most as f32).collect();
            self.tensors.insert((layer, kind), Tensor { scale: *scale as f32, present: *present as f32, past });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn delayed_scales_follow_the_history() {
        let rule = Delayed { history: 3, margin: 0 };
        let mut tensor = Tensor { scale: 1.0, present: 0.0, past: VecDeque::new() };
        // Largest magnitude of a step, then the scale that the next step uses.
        let script = [(2.0, 224.0), (4.0, 112.0), (1.0, 112.0), (1.0, 112.0), (1.0, 448.0), (0.0, 448.0)];
        for (amax, scale) in script {
            tensor.present = amax;
            rule.advance(&mut tensor, 448.0);
            assert_eq!(tensor.scale, scale, "after {amax}");
        }
        assert_eq!(tensor.past.len(), 3);
    }

    #[test]
    fn overflow_is_that_of_the_named_library() {
        // Beyond the largest number, and infinity, in E4M3 and E5M2.
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let cases = [
            ("saturate", [448.0, 448.0], [57344.0, 57344.0]),
            ("special", [nan, nan], [inf, inf]),
            ("torch", [448.0, 448.0], [inf, inf]),
        ];
        for (rule, e4m3, e5m2) in cases {
            for (role, expected) in [(Role::Activation, e4m3), (Role::Error, e5m2)] {
                let policy = super::super::create(&format!("fp8-ocp:scaling=none,overflow={rule}"));
                let mut policy = policy.expect("a policy");
                policy.begin_step(1, 1, 1);
                let mut values = [1e6, f32::INFINITY];
                let (pass, contraction) = (Pass::Forward, super::super::Contraction::None);
                let operand = Operand { role, pass, values: &mut values, rows: 1, columns: 2, contraction };
                policy.cast(&super::super::testing::site(1), operand);
                assert_eq!(values.map(f32::to_bits), expected.map(f32::to_bits), "{rule} {role:?}");
            }
        }
    }

    #[test]
    fn edge_rules() {
        let rule = Delayed { history: 1, margin: 1 };
        assert_eq!(rule.scale(3.0, 448.0, 0.0), 3.0);
        assert_eq!(rule.scale(3.0, 448.0, f32::INFINITY), 3.0);
        assert_eq!(rule.scale(3.0, 448.0, f32::NAN), 3.0);
        assert_eq!(rule.scale(3.0, 448.0, 1e-44), f32::MAX);
        assert_eq!(rule.scale(3.0, 448.0, 2.0), 112.0);
        // A step of zeros keeps the scale.
        let mut tensor = Tensor { scale: 5.0, present: 0.0, past: VecDeque::new() };
        rule.advance(&mut tensor, 448.0);
        assert_eq!(tensor.scale, 5.0);
    }
}
