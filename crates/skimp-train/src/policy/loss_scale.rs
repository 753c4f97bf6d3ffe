//! Loss scaling: the loss's gradient times a factor, so that small gradients stay above a format's smallest number.

use rayon::prelude::*;

use super::Verdict;
use crate::Param;
use crate::spec::{Spec, SpecError};

/// A factor on the loss, fixed or moved by overflow.
///
/// The dynamic one grows after `interval` steps in a row without overflow and backs off at each overflow, whose step is
/// skipped.
///
/// # Source
/// Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2; the dynamic rule and its constants are those
/// of PyTorch's `GradScaler`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LossScale {
    scale: f32,
    is_dynamic: bool,
    growth: f32,
    backoff: f32,
    interval: u64,
    clean_steps: u64,
}

impl LossScale {
    /// A constant factor.
    pub(super) fn fixed(scale: f32) -> Self {
        Self { scale, is_dynamic: false, growth: 1.0, backoff: 1.0, interval: u64::MAX, clean_steps: 0 }
    }

    /// Factor 2^16, doubled after 2000 clean steps, halved at an overflow.
    pub(super) fn dynamic() -> Self {
        Self { scale: 65536.0, is_dynamic: true, growth: 2.0, backoff: 0.5, interval: 2000, clean_steps: 0 }
    }

    /// The switch `loss-scale`: `dynamic` or a number.
    pub(super) fn read(spec: &mut Spec, default: Self) -> Result<Self, SpecError> {
        spec.read("loss-scale", default, "dynamic or a number above 0", |text| match text {
            "dynamic" => Some(Self::dynamic()),
            number => number.parse().ok().filter(|scale: &f32| *scale > 0.0 && scale.is_finite()).map(Self::fixed),
        })
    }

    /// The switches of the dynamic rule: `initial-scale`, `growth`, `backoff`, `interval`.
    pub(super) fn read_rule(mut self, spec: &mut Spec) -> Result<Self, SpecError> {
        let rule = Self::dynamic();
        let initial = spec.number("initial-scale", f64::from(rule.scale), 1e-30..=1e30)? as f32;
        let growth = spec.number("growth", f64::from(rule.growth), 1.0..=1e6)? as f32;
        let backoff = spec.number("backoff", f64::from(rule.backoff), 1e-6..=1.0)? as f32;
        let interval = spec.number("interval", rule.interval as f64, 1.0..=1e12)? as u64;
        if self.is_dynamic {
            self = Self { scale: initial, growth, backoff, interval, ..self };
        }
        Ok(self)
    }

    pub(super) fn factor(&self) -> f32 {
        self.scale
    }

    /// Divides gradients by the scale.
    pub(super) fn unscale(&self, params: &mut [Param]) {
        let scale = self.scale;
        for param in params {
            param.grad_mut().par_chunks_mut(1 << 15).for_each(|piece| {
                piece.iter_mut().for_each(|gradient| *gradient /= scale);
            });
        }
    }

    /// Divides gradients by the scale unless one is infinite or NaN, and moves a dynamic scale.
    pub(super) fn unscale_checked(&mut self, params: &mut [Param]) -> Verdict {
        self.unscale_unless(false, params)
    }

    /// The same, where an overflow may be known already.
    pub(super) fn unscale_unless(&mut self, overflowed: bool, params: &mut [Param]) -> Verdict {
        let overflowed = overflowed || params.iter().any(|param| param.grad().par_chunks(1 << 15).any(has_special));
        if overflowed {
            self.moved(true);
            return Verdict::SkipStep;
        }
        self.unscale(params);
        self.moved(false);
        Verdict::Step
    }

    fn moved(&mut self, overflowed: bool) {
        if overflowed {
            self.scale *= self.backoff;
            self.clean_steps = 0;
            return;
        }
        self.clean_steps += 1;
        if self.clean_steps >= self.interval {
            let grown = self.scale * self.growth;
            self.scale = if grown.is_finite() { grown } else { self.scale };
            self.clean_steps = 0;
        }
    }

    /// The part of a policy's state that moves; nothing where the scale is fixed.
    pub(super) fn state(&self) -> Option<(String, Vec<f64>)> {
        self.is_dynamic.then(|| ("loss-scale".to_owned(), vec![f64::from(self.scale), self.clean_steps as f64]))
    }

    /// Takes over an entry of a state; whether it was one.
    pub(super) fn restore(&mut self, name: &str, numbers: &[f64]) -> bool {
        let (true, "loss-scale", &[scale, clean_steps]) = (self.is_dynamic, name, numbers) else { return false };
        (self.scale, self.clean_steps) = (scale as f32, clean_steps as u64);
        true
    }
}

fn has_special(piece: &[f32]) -> bool {
    const INFINITY: u32 = 0x7F80_0000;
    piece.iter().fold(0, |most: u32, gradient| most.max(gradient.to_bits() & 0x7FFF_FFFF)) >= INFINITY
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use crate::{ParamRole, Storage};

    fn params(gradients: &[f32]) -> Vec<Param> {
        let zeros = vec![0.0; gradients.len()];
        let mut param = Param::new("w", ParamRole::Weight, vec![gradients.len()], Storage::Graph, &zeros, 0);
        param.grad_mut().copy_from_slice(gradients);
        vec![param]
    }

    #[test]
    fn scripted_overflows_move_the_dynamic_scale() {
        let mut scale = LossScale::dynamic();
        assert_eq!(scale.factor(), 65536.0);
        let mut overflowed = params(&[1.0, f32::INFINITY]);
        assert_eq!(scale.unscale_checked(&mut overflowed), Verdict::SkipStep);
        assert_eq!(scale.factor(), 32768.0);
        for _ in 0..2000 {
            assert_eq!(scale.factor(), 32768.0);
            assert_eq!(scale.unscale_checked(&mut params(&[1.0])), Verdict::Step);
        }
        assert_eq!(scale.factor(), 65536.0);
        // An overflow resets the count of clean steps.
        for _ in 0..1999 {
            scale.unscale_checked(&mut params(&[1.0]));
        }
        assert_eq!(scale.unscale_checked(&mut params(&[f32::NAN])), Verdict::SkipStep);
        for _ in 0..1999 {
            scale.unscale_checked(&mut params(&[1.0]));
        }
        assert_eq!(scale.factor(), 32768.0);
        scale.unscale_checked(&mut params(&[1.0]));
        assert_eq!(scale.factor(), 65536.0);
    }

    #[test]
    fn gradients_are_divided() {
        let mut scale = LossScale::fixed(1000.0);
        let mut params = params(&[500.0, -0.25]);
        assert_eq!(scale.unscale_checked(&mut params), Verdict::Step);
        assert_eq!(params[0].grad(), [0.5, -0.25 / 1000.0]);
        assert_eq!((scale.factor(), scale.state()), (1000.0, None));
    }

    #[test]
    fn a_moved_scale_survives_a_checkpoint() {
        let mut scale = LossScale::dynamic();
        scale.unscale_checked(&mut params(&[f32::INFINITY]));
        scale.unscale_checked(&mut params(&[1.0]));
        let (name, numbers) = scale.state().expect("dynamic");
        let mut other = LossScale::dynamic();
        assert!(other.restore(&name, &numbers));
        assert_eq!(other, scale);
        assert!(!other.restore("other", &numbers) && !other.restore(&name, &[1.0]));
    }
}
