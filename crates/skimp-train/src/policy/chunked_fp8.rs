//! What IBM's 8-bit floating-point policies have in common: chunked sums and updates in the 1-6-9 format.

use skimp_numerics::formats::{DLFLOAT16, FP16_169};
use skimp_numerics::{FloatCast, Overflow as CastOverflow, Rounding};

use super::ledger::{Ledger, UPDATE, class, none_left};
use super::loss_scale::LossScale;
use super::switches::{choice, integer, round_switch, subnormals_switch};
use super::{
    Arithmetic, Assignment, CastCounts, ChunkedSum, Operand, Pass, Policy, Role, Site, SiteKind, Switch, Verdict,
};
use crate::spec::Spec;
use crate::{Param, ParamRole, TrainError};

/// 8-bit operands, 1-6-9 sums in chunks, 1-6-9 updates.
#[derive(Debug)]
pub(super) struct ChunkedFp8 {
    name: &'static str,
    ledger: Ledger,
    forward: FloatCast,
    backward: FloatCast,
    weight_gradient: FloatCast,
    wide: FloatCast,
    first_is_wide: bool,
    last_is_wide: bool,
    sum: Option<ChunkedSum>,
    update: Option<FloatCast>,
    scale: LossScale,
}

/// The 8-bit formats of a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Formats {
    /// Of weights and activations.
    pub(super) forward: FloatCast,
    /// Of errors.
    pub(super) backward: FloatCast,
    /// Of weight gradients; `None` for the 16-bit format.
    pub(super) weight_gradient: Option<FloatCast>,
}

/// The switches of both policies; a policy puts its own before them.
macro_rules! switches {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $crate::policy::Switch {
                name: "chunk",
                default: "64",
                summary: "products in a chunk; 0 for a single running sum",
            },
            $crate::policy::Switch {
                name: "accumulate",
                default: "1-6-9",
                summary: "sums of products: 1-6-9 or fp32",
            },
            $crate::policy::Switch {
                name: "update",
                default: "stochastic",
                summary: "assignments of the optimizer: stochastic or nearest in 1-6-9, or fp32",
            },
            $crate::policy::Switch { name: "random-bits", default: "16", summary: "of a stochastic update, 1 to 24" },
            $crate::policy::Switch {
                name: "first",
                default: "16",
                summary: "bits of the images that the first layer reads: 16 or 8",
            },
            $crate::policy::Switch {
                name: "last",
                default: "16",
                summary: "bits of the last layer's operands and gradients: 16 or 8",
            },
            $crate::policy::Switch {
                name: "format16",
                default: "ieee",
                summary: "rules of the 16-bit format: ieee, or dlfloat with ties away from zero (sums are always ieee)",
            },
            $crate::policy::Switch { name: "loss-scale", default: "1000", summary: "a constant factor, or dynamic" },
            $crate::policy::Switch {
                name: "round",
                default: "nearest-even",
                summary: $crate::policy::switches::ROUND,
            },
            $crate::policy::Switch { name: "subnormals", default: "keep", summary: "of casts: keep or flush" },
            $crate::policy::Switch {
                name: "overflow",
                default: "saturate",
                summary: "of casts: saturate, or special for infinity and NaN",
            },
        ]
    };
}
pub(super) use switches;

/// What an assignment of the optimizer is rounded to.
#[derive(Clone, Copy)]
enum Update {
    Stochastic,
    Nearest,
    Fp32,
}

/// A policy from its formats and the common switches.
pub(super) fn create(name: &'static str, formats: Formats, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
    let chunk = integer(spec, "chunk", 64, 0..=1 << 32)? as usize;
    let sums = choice(spec, "accumulate", &[("1-6-9", true), ("fp32", false)])?;
    let update = choice(
        spec,
        "update",
        &[("stochastic", Update::Stochastic), ("nearest", Update::Nearest), ("fp32", Update::Fp32)],
    )?;
    let bits = integer(spec, "random-bits", 16, 1..=24)? as u32;
    let first_is_wide = choice(spec, "first", &[("16", true), ("8", false)])?;
    let last_is_wide = choice(spec, "last", &[("16", true), ("8", false)])?;
    let wide = choice(spec, "format16", &[("ieee", FP16_169), ("dlfloat", DLFLOAT16)])?;
    let scale = LossScale::read(spec, LossScale::fixed(1000.0))?;
    let (rounding, subnormals) = (round_switch(spec)?, subnormals_switch(spec)?);
    let overflow =
        choice(spec, "overflow", &[("saturate", CastOverflow::Saturate), ("special", CastOverflow::Special)])?;
    let ruled = |cast: FloatCast| cast.with_rounding(rounding).with_subnormals(subnormals).with_overflow(overflow);
    // DLFloat knows no other rounding to nearest.
    let is_dlfloat = wide == DLFLOAT16;
    let nearest = if is_dlfloat { Rounding::NearestAway } else { Rounding::NearestEven };
    let wide = FloatCast::new(wide).with_rounding(nearest);
    let wide16 =
        if is_dlfloat && rounding == Rounding::NearestEven { ruled(wide).with_rounding(nearest) } else { ruled(wide) };
    // Weight updates saturate: there is no step to skip.
    let stored = wide.with_subnormals(subnormals).with_overflow(CastOverflow::Saturate);
    let sum = ChunkedSum { chunk: if chunk == 0 { usize::MAX } else { chunk }, ..ChunkedSum::FP16_169 };
    Ok(Box::new(ChunkedFp8 {
        name,
        ledger: Ledger::default(),
        forward: ruled(formats.forward),
        backward: ruled(formats.backward),
        weight_gradient: formats.weight_gradient.map_or(wide16, ruled),
        wide: wide16,
        first_is_wide,
        last_is_wide,
        sum: sums.then_some(sum),
        update: match update {
            Update::Stochastic => Some(stored.with_rounding(Rounding::Stochastic { bits })),
            Update::Nearest => Some(stored),
            Update::Fp32 => None,
        },
        scale,
    }))
}

impl ChunkedFp8 {
    fn is_wide(&self, site: &Site, role: Role) -> bool {
        (self.last_is_wide && site.is_last) || (self.first_is_wide && site.is_first && role == Role::Activation)
    }

    fn format(&self, site: &Site, role: Role) -> &FloatCast {
        match role {
            Role::Weight | Role::Activation | Role::Error | Role::WeightGradient if self.is_wide(site, role) => {
                &self.wide
            }
            Role::Weight | Role::Activation => &self.forward,
            Role::Error => &self.backward,
            Role::WeightGradient => &self.weight_gradient,
            Role::Bias | Role::Output | Role::InputGradient => &self.wide,
        }
    }
}

impl Policy for ChunkedFp8 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn arithmetic(&self, site: &Site, pass: Pass) -> Arithmetic {
        // Two 8-bit floats have a product of few bits; with a 16-bit one it takes care to round each addition once.
        let reads_images = self.first_is_wide && site.is_first && pass != Pass::InputGrad;
        let wide_products = reads_images || (self.last_is_wide && site.is_last);
        self.sum.map_or(Arithmetic::F32, |sum| Arithmetic::Chunked(ChunkedSum { wide_products, ..sum }))
    }

    fn casts(&self, site: &Site, role: Role, _pass: Pass) -> bool {
        let is_product = matches!(site.kind, SiteKind::Conv | SiteKind::Dense);
        match role {
            Role::Weight | Role::Activation | Role::Error | Role::WeightGradient => true,
            // Chunked sums begin with the rounded bias and are 16-bit numbers already.
            Role::Bias | Role::Output | Role::InputGradient => !is_product || self.sum.is_none(),
        }
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let cast = *self.format(site, operand.role);
        self.ledger.round(class(operand.role), &cast, operand.values);
    }

    fn loss_scale(&self) -> f32 {
        self.scale.factor()
    }

    fn after_backward(&mut self, params: &mut [Param]) -> Verdict {
        self.ledger.end();
        self.scale.unscale_checked(params)
    }

    fn rounds_updates(&self) -> bool {
        self.update.is_some()
    }

    fn round_update(&mut self, _param_idx: usize, _role: ParamRole, _kind: Assignment, values: &mut [f32]) {
        if let Some(cast) = self.update {
            self.ledger.round(UPDATE, &cast, values);
        }
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        self.ledger.state().into_iter().chain(self.scale.state()).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        let mut others = self.ledger.restore(self.name, state)?;
        others.retain(|(name, numbers)| !self.scale.restore(name, numbers));
        none_left(self.name, &others)
    }
}

/// The switches of a policy, to be checked against what it reads.
pub(super) type Switches = &'static [Switch];
