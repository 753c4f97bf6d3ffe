//! Mixed precision in half floats.

use skimp_numerics::formats::FP16;
use skimp_numerics::{FloatCast, Overflow, Rounding};

use super::ledger::{Ledger, class, foreign};
use super::loss_scale::LossScale;
use super::switches::round_switch;
use super::{CastCounts, Operand, Pass, Policy, PolicyEntry, Role, Site, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct Fp16Entry;

/// Operands and results of the GEMMs, and what other layers store, in fp16; sums, reductions and master weights in f32;
/// the loss scaled.
#[derive(Debug)]
struct Fp16 {
    ledger: Ledger,
    cast: FloatCast,
    scale: LossScale,
    stores: bool,
    /// Whether a gradient of this step saturated: rounding modes that never give infinity hide overflow otherwise.
    saturated: bool,
}

impl PolicyEntry for Fp16Entry {
    fn name(&self) -> &'static str {
        "fp16"
    }

    fn summary(&self) -> &'static str {
        "mixed precision: fp16 operands and storage, f32 sums and master weights, loss scaling"
    }

    fn source(&self) -> &'static str {
        "Micikevicius et al., Mixed Precision Training, ICLR 2018. Differs: sums are f32 with one rounding per term, where \
         tensor cores add groups of products with truncation"
    }

    fn switches(&self) -> &'static [Switch] {
        &[
            Switch { name: "loss-scale", default: "dynamic", summary: "dynamic, or a constant factor (1 for none)" },
            Switch { name: "initial-scale", default: "65536", summary: "first factor of the dynamic scale" },
            Switch { name: "growth", default: "2", summary: "factor of the dynamic scale after clean steps" },
            Switch { name: "backoff", default: "0.5", summary: "factor of the dynamic scale at an overflow" },
            Switch { name: "interval", default: "2000", summary: "clean steps before the dynamic scale grows" },
            Switch { name: "round", default: "nearest-even", summary: super::switches::ROUND },
            Switch { name: "store", default: "fp16", summary: "what layers store between each other: fp16 or fp32" },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let scale = LossScale::read(spec, LossScale::dynamic())?.read_rule(spec)?;
        let rounding = round_switch(spec)?;
        let stores = spec.read("store", true, "fp16 or fp32", |text| match text {
            "fp16" => Some(true),
            "fp32" => Some(false),
            _ => None,
        })?;
        let cast = FloatCast::new(FP16).with_rounding(rounding).with_overflow(Overflow::Special);
        Ok(Box::new(Fp16 { ledger: Ledger::default(), cast, scale, stores, saturated: false }))
    }
}

impl Policy for Fp16 {
    fn name(&self) -> &'static str {
        "fp16"
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
        self.saturated = false;
    }

    fn casts(&self, _site: &Site, role: Role, _pass: Pass) -> bool {
        match role {
            Role::Weight | Role::Bias | Role::Activation | Role::Error | Role::WeightGradient => true,
            Role::Output | Role::InputGradient => self.stores,
        }
    }

    fn cast(&mut self, _site: &Site, operand: Operand<'_>) {
        let lost = self.ledger.round(class(operand.role), &self.cast, operand.values);
        let is_nearest = matches!(self.cast.rounding(), Rounding::NearestEven | Rounding::NearestAway);
        let is_gradient = matches!(operand.role, Role::Error | Role::WeightGradient | Role::InputGradient);
        self.saturated |= !is_nearest && is_gradient && lost.overflow > 0;
    }

    fn loss_scale(&self) -> f32 {
        self.scale.factor()
    }

    fn after_backward(&mut self, params: &mut [Param]) -> Verdict {
        self.ledger.end();
        self.scale.unscale_unless(self.saturated, params)
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        self.ledger.state().into_iter().chain(self.scale.state()).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        for (name, numbers) in self.ledger.restore("fp16", state)? {
            if !self.scale.restore(name, numbers) {
                return Err(foreign("fp16", name, numbers));
            }
        }
        Ok(())
    }
}
