//! 8-bit integer training with range batch normalization and two copies of each gradient.

use skimp_numerics::{CastCounts as Lost, RandomBits, RangeGrid, Rounding};

use super::ledger::{Ledger, class, extremes, in_pieces, none_left};
use super::switches::{choice, integer, rounding_switch};
use super::{
    BatchNormKind, CastCounts, Operand, Pass, Policy, PolicyEntry, RangeConstant, Role, Site, Switch, Verdict,
};
use crate::spec::Spec;
use crate::{Param, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct Int8BannerEntry;

impl PolicyEntry for Int8BannerEntry {
    fn name(&self) -> &'static str {
        "int8-banner"
    }

    fn summary(&self) -> &'static str {
        "8-bit integers over the range of each tensor, 16-bit copy of gradients for weight gradients, range batch norm"
    }

    fn source(&self) -> &'static str {
        "Banner, Hubara, Hoffer and Soudry, Scalable Methods for 8-bit Training of Neural Networks, NeurIPS 2018. Differs: \
         ranges are those of the batch in evaluation, too; the 16-bit copy is an integer; biases stay in f32; the released \
         code rounds activations stochastically, here they are rounded to nearest as in the paper"
    }

    fn switches(&self) -> &'static [Switch] {
        const MODES: &str = "nearest-even, nearest-away, toward-zero or stochastic";
        &[
            Switch { name: "bits", default: "8", summary: "width of weights, activations and propagated gradients" },
            Switch {
                name: "gradient-bits",
                default: "16",
                summary: "width of the copy for weight gradients; 0 for f32",
            },
            Switch { name: "weight-round", default: "nearest-even", summary: MODES },
            Switch { name: "activation-round", default: "nearest-even", summary: MODES },
            Switch { name: "gradient-round", default: "stochastic", summary: MODES },
            Switch { name: "activation-chunks", default: "16", summary: "parts of a batch whose ranges are averaged" },
            Switch {
                name: "range-bn",
                default: "code",
                summary: "constant of range batch norm: code or paper; or off",
            },
            Switch { name: "range-bn-chunks", default: "16", summary: "parts of a batch in range batch norm" },
            Switch { name: "true-zero", default: "false", summary: "shift grids so that zero is a number" },
            Switch { name: "bias-bits", default: "0", summary: "width of biases; 0 for f32" },
            Switch { name: "first", default: "8", summary: "the first layer: 8, or 32 to leave it in f32" },
            Switch { name: "last", default: "8", summary: "the last layer: 8, or 32 to leave it in f32" },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let bits = integer(spec, "bits", 8, 2..=16)? as u32;
        let width = |spec: &mut Spec, key, default| match integer(spec, key, default, 0..=16)? {
            1 => Err(spec.invalid(key, "1", "0 or a whole number from 2 to 16")),
            bits => Ok(bits as u32),
        };
        let gradient_bits = width(spec, "gradient-bits", 16)?;
        let weight_round = rounding_switch(spec, "weight-round", Rounding::NearestEven)?;
        let activation_round = rounding_switch(spec, "activation-round", Rounding::NearestEven)?;
        let gradient_round = rounding_switch(spec, "gradient-round", Rounding::STOCHASTIC)?;
        let activation_chunks = integer(spec, "activation-chunks", 16, 1..=1 << 16)? as usize;
        let range_bn = choice(
            spec,
            "range-bn",
            &[("code", Some(RangeConstant::Code)), ("paper", Some(RangeConstant::Paper)), ("off", None)],
        )?;
        let n_chunks = integer(spec, "range-bn-chunks", 16, 1..=1 << 16)? as usize;
        let true_zero = spec.flag("true-zero", false)?;
        let bias_bits = width(spec, "bias-bits", 0)?;
        let quantizes_first = choice(spec, "first", &[("8", true), ("32", false)])?;
        let quantizes_last = choice(spec, "last", &[("8", true), ("32", false)])?;
        Ok(Box::new(Int8Banner {
            ledger: Ledger::default(),
            bits,
            gradient_bits,
            bias_bits,
            weight_round,
            activation_round,
            gradient_round,
            activation_chunks,
            batch_norm: range_bn
                .map_or(BatchNormKind::Standard, |constant| BatchNormKind::Range { n_chunks, constant }),
            true_zero,
            quantizes_first,
            quantizes_last,
        }))
    }
}

#[derive(Debug)]
struct Int8Banner {
    ledger: Ledger,
    bits: u32,
    gradient_bits: u32,
    bias_bits: u32,
    weight_round: Rounding,
    activation_round: Rounding,
    gradient_round: Rounding,
    activation_chunks: usize,
    batch_norm: BatchNormKind,
    true_zero: bool,
    quantizes_first: bool,
    quantizes_last: bool,
}

impl Int8Banner {
    /// Width and rounding of a tensor; width 0 leaves it alone.
    fn form(&self, role: Role, pass: Pass) -> (u32, Rounding) {
        match (role, pass) {
            (Role::Weight, _) => (self.bits, self.weight_round),
            (Role::Activation, _) => (self.bits, self.activation_round),
            (Role::Bias, _) => (self.bias_bits, self.weight_round),
            (Role::Error, Pass::WeightGrad) => (self.gradient_bits, self.gradient_round),
            (Role::Error, _) => (self.bits, self.gradient_round),
            (Role::WeightGradient | Role::Output | Role::InputGradient, _) => (0, Rounding::NearestEven),
        }
    }

    /// Range of a tensor; of activations the mean over parts of the batch.
    fn range(&self, operand: &Operand<'_>) -> (f32, f32) {
        let values = &*operand.values;
        if operand.role != Role::Activation || self.activation_chunks <= 1 || operand.rows == 0 {
            return extremes(values);
        }
        let rows = operand.rows.div_ceil(self.activation_chunks);
        let chunks = values.chunks((rows * operand.columns).max(1));
        let n_chunks = chunks.len().max(1) as f64;
        let (low, high) = chunks
            .map(extremes)
            .fold((0.0, 0.0), |(low, high), chunk| (low + f64::from(chunk.0), high + f64::from(chunk.1)));
        ((low / n_chunks) as f32, (high / n_chunks) as f32)
    }
}

/// Rounds a tensor to a grid.
fn round(grid: RangeGrid, values: &mut [f32], rounding: Rounding, random: RandomBits) -> Lost {
    in_pieces(values, |piece, offset| grid.round_slice(piece, rounding, random.skip(offset)))
}

impl Policy for Int8Banner {
    fn name(&self) -> &'static str {
        "int8-banner"
    }

    fn begin_step(&mut self, seed: u64, step: u64, _n_images: usize) {
        self.ledger.begin(seed, step);
    }

    fn casts(&self, site: &Site, role: Role, pass: Pass) -> bool {
        let is_left = (site.is_first && !self.quantizes_first) || (site.is_last && !self.quantizes_last);
        !is_left && self.form(role, pass).0 > 0
    }

    fn shares(&self, _site: &Site, role: Role) -> bool {
        role != Role::Error
    }

    fn cast(&mut self, _site: &Site, operand: Operand<'_>) {
        let (bits, rounding) = self.form(operand.role, operand.pass);
        let (low, high) = self.range(&operand);
        // A range that is not finite leaves the NaN or infinity to be found.
        if bits == 0 || !(high - low).is_finite() {
            return;
        }
        let grid = RangeGrid::new(bits, low, high);
        let grid = if self.true_zero { grid.with_zero() } else { grid };
        let random = self.ledger.random();
        let lost = round(grid, operand.values, rounding, random);
        self.ledger.tally(class(operand.role), lost);
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        Verdict::Step
    }

    fn batch_norm(&self) -> BatchNormKind {
        self.batch_norm
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        self.ledger.state()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        none_left("int8-banner", &self.ledger.restore("int8-banner", state)?)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use crate::policy::{Contraction, testing};

    #[test]
    fn activations_use_the_mean_range_of_sixteen_parts() {
        let mut policy = Int8BannerEntry.create(&mut Spec::parse("policy", "int8-banner").expect("ok")).expect("ok");
        policy.begin_step(1, 1, 16);
        // 16 rows, maxima 1 .. 16 (mean 8.5), minima 0: what is above 8.5 saturates.
        let mut values: Vec<f32> = (0..16).flat_map(|row| [0.0, (row + 1) as f32]).collect();
        let operand = Operand {
            role: Role::Activation,
            pass: Pass::Forward,
            values: &mut values,
            rows: 16,
            columns: 2,
            contraction: Contraction::Columns { run: 2 },
        };
        policy.cast(&testing::site(1), operand);
        let most = values.iter().fold(0.0_f32, |a, b| a.max(*b));
        assert!((most - 8.5).abs() < 1e-6, "{most}");
        assert!((values[1] / (8.5 / 255.0) - 30.0).abs() < 1e-4, "1 is code 30 of 255");
    }
}
