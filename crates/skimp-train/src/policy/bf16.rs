//! bfloat16.

use skimp_numerics::FloatCast;
use skimp_numerics::formats::BF16;

use super::ledger::{Ledger, class, none_left};
use super::switches::{choice, round_switch, subnormals_switch};
use super::{Arithmetic, CastCounts, Operand, Pass, Policy, PolicyEntry, Role, Site, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct Bf16Entry;

/// Operands of the GEMMs in bfloat16, everything else in f32.
#[derive(Debug)]
struct Bf16 {
    ledger: Ledger,
    /// `None` where the kernels round operands themselves.
    cast: Option<FloatCast>,
    arithmetic: Arithmetic,
    stores: bool,
}

impl PolicyEntry for Bf16Entry {
    fn name(&self) -> &'static str {
        "bf16"
    }

    fn summary(&self) -> &'static str {
        "bfloat16 operands, f32 sums and master weights, no loss scaling"
    }

    fn source(&self) -> &'static str {
        "Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, arXiv:1905.12322, 2019"
    }

    fn switches(&self) -> &'static [Switch] {
        &[
            Switch {
                name: "arithmetic",
                default: "native",
                summary: "native: pairs of products as the processor's bfloat16 instruction adds them (same bits without \
                          it); f32: one rounding per product",
            },
            Switch { name: "round", default: "nearest-even", summary: super::switches::ROUND },
            Switch { name: "subnormals", default: "keep", summary: "subnormal operands: keep or flush" },
            Switch { name: "store", default: "fp32", summary: "what layers store between each other: fp32 or bf16" },
            Switch {
                name: "count",
                default: "false",
                summary: "round operands in a pass of their own and count what is lost (slower, same bits)",
            },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let arithmetic = choice(spec, "arithmetic", &[("native", Arithmetic::Bf16), ("f32", Arithmetic::F32)])?;
        let rounding = round_switch(spec)?;
        let subnormals = subnormals_switch(spec)?;
        let stores = choice(spec, "store", &[("fp32", false), ("bf16", true)])?;
        let counts = spec.flag("count", false)?;
        let cast = FloatCast::new(BF16).with_rounding(rounding).with_subnormals(subnormals);
        let fused = cast == FloatCast::new(BF16) && arithmetic == Arithmetic::Bf16 && !stores && !counts;
        Ok(Box::new(Bf16 { ledger: Ledger::default(), cast: (!fused).then_some(cast), arithmetic, stores }))
    }
}

impl Policy for Bf16 {
    fn name(&self) -> &'static str {
        "bf16"
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn arithmetic(&self, _site: &Site, _pass: Pass) -> Arithmetic {
        self.arithmetic
    }

    fn casts(&self, _site: &Site, role: Role, _pass: Pass) -> bool {
        match role {
            Role::Weight | Role::Activation | Role::Error => self.cast.is_some(),
            Role::Output | Role::InputGradient => self.stores,
            Role::Bias | Role::WeightGradient => false,
        }
    }

    fn cast(&mut self, _site: &Site, operand: Operand<'_>) {
        if let Some(cast) = &self.cast {
            self.ledger.round(class(operand.role), cast, operand.values);
        }
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        Verdict::Step
    }

    fn counts(&self) -> Option<&CastCounts> {
        self.cast.is_some().then(|| self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        self.ledger.state()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        none_left("bf16", &self.ledger.restore("bf16", state)?)
    }
}
