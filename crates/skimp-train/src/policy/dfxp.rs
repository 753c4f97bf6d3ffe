//! Dynamic fixed point.

use std::collections::BTreeMap;

use skimp_numerics::{FixedCast, FixedCounts, FixedFormat, RandomBits, Rounding};

use super::ledger::{Ledger, UPDATE, class, foreign, in_pieces, largest};
use super::switches::{integer, round_switch};
use super::{Assignment, CastCounts, Operand, Pass, Policy, PolicyEntry, Role, Site, SiteKind, Switch, Verdict};
use crate::spec::Spec;
use crate::{Param, ParamRole, TrainError};

/// The registration.
#[derive(Debug)]
pub(super) struct DfxpEntry;

impl PolicyEntry for DfxpEntry {
    fn name(&self) -> &'static str {
        "dfxp"
    }

    fn summary(&self) -> &'static str {
        "dynamic fixed point: integers with a power-of-two scale per group, moved by the overflow rate"
    }

    fn source(&self) -> &'static str {
        "Courbariaux, Bengio and David, Training deep neural networks with low precision multiplications, ICLR workshop \
         2015. Differs: the warm-up that finds the first scales is the beginning of the run, without a restart; overflow \
         is counted on the rounded integer; the gradients of biases and the momentum stay in f32"
    }

    fn switches(&self) -> &'static [Switch] {
        &[
            Switch {
                name: "propagation-bits",
                default: "10",
                summary: "width of what forward and backward passes read",
            },
            Switch { name: "update-bits", default: "12", summary: "width of stored parameters; 0 for f32" },
            Switch { name: "round", default: "nearest-even", summary: super::switches::ROUND },
            Switch { name: "max-overflow", default: "0.0001", summary: "overflow rate above which the range doubles" },
            Switch { name: "interval", default: "10000", summary: "training images between changes of the scales" },
            Switch {
                name: "warm-up",
                default: "1000",
                summary: "training images at first that train in f32 and whose range gives the first scales",
            },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let bits = |spec: &mut Spec, key, default, low| integer(spec, key, default, low..=22);
        let propagation = bits(spec, "propagation-bits", 10, 2)? as u32;
        let update = bits(spec, "update-bits", 12, 0)? as u32;
        if update == 1 {
            return Err(spec.invalid("update-bits", "1", "0 or a whole number from 2 to 22").into());
        }
        let rounding = round_switch(spec)?;
        let max_overflow = spec.number("max-overflow", 1e-4, 0.0..=1.0)?;
        let interval = integer(spec, "interval", 10_000, 1..=1 << 40)?;
        let warm_up = integer(spec, "warm-up", 1000, 0..=1 << 40)?;
        let controller = Controller { max_overflow, groups: BTreeMap::new() };
        let (propagation, update) = (Width(propagation), (update > 0).then_some(Width(update)));
        let ledger = Ledger::default();
        Ok(Box::new(Dfxp {
            ledger,
            propagation,
            update,
            rounding,
            interval,
            warm_up,
            n_images: 0,
            last_batch: 0,
            controller,
        }))
    }
}

/// Parameters' groups follow those of layers.
const STORED: u8 = u8::MAX;

/// Width of integers, validated.
#[derive(Clone, Copy, Debug)]
struct Width(u32);

impl Width {
    fn format(self, fraction_bits: i32) -> FixedFormat {
        // The width is validated, so the fallback is never taken.
        let format = FixedFormat::new(self.0, 0).or(FixedFormat::new(16, 0));
        format.map_or_else(|_| unreachable!("16 bits are valid"), |format| format.with_fraction_bits(fraction_bits))
    }

    /// The most fraction bits with which `largest` does not overflow.
    fn fraction_bits(self, largest: f32) -> i32 {
        let format = self.format(0);
        let most = f64::from(largest) / (f64::from(format.max_code()) + 0.5);
        // Rounded to nearest, magnitudes below (max code + 1/2) steps do not overflow.
        let exponent = -most.log2().floor() as i32;
        (exponent - 2..=exponent + 2)
            .rev()
            .find(|&bits| f64::from(largest) * 2.0_f64.powi(bits) < f64::from(format.max_code()) + 0.5)
            .unwrap_or(exponent - 2)
    }
}

/// One group of values with a common scale: a tensor class of a layer (weights, biases, weighted sums, outputs, and the
/// gradients of these), or a stored parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Group {
    fraction_bits: i32,
    total: u64,
    overflow: u64,
    half_overflow: u64,
    /// Whether a value other than zero was seen since the last change.
    is_used: bool,
}

/// Moves the scales: a group whose overflow rate is above the limit doubles its range, one that would stay within the
/// limit at half its range halves it. Groups of zeros stay.
///
/// # Source
/// Courbariaux et al. 2015, section 4 and algorithm 1.
#[derive(Debug, PartialEq)]
struct Controller {
    max_overflow: f64,
    groups: BTreeMap<(usize, u8), Group>,
}

impl Controller {
    fn adjust(&mut self) {
        for group in self.groups.values_mut() {
            let limit = self.max_overflow * group.total as f64;
            if group.is_used {
                if group.overflow as f64 > limit {
                    group.fraction_bits -= 1;
                } else if group.half_overflow as f64 <= limit {
                    group.fraction_bits += 1;
                }
            }
            // As far as formats go.
            *group = Group { fraction_bits: group.fraction_bits.clamp(-100, 100), ..Group::default() };
        }
    }

    /// Widens the range of a group so that it holds the values, and rounds nothing.
    fn watch(&mut self, key: (usize, u8), width: Width, values: &[f32]) {
        let most = largest(values);
        if most > 0.0 && most.is_finite() {
            let fits = width.fraction_bits(most).clamp(-100, 100);
            let group = self.groups.entry(key).or_insert(Group { fraction_bits: fits, ..Group::default() });
            group.fraction_bits = group.fraction_bits.min(fits);
        }
    }

    /// Rounds with the group's scale, and counts for the next change where `counts`.
    fn round(
        &mut self,
        key: (usize, u8),
        width: Width,
        rounding: Rounding,
        values: &mut [f32],
        random: RandomBits,
        counts: bool,
    ) -> FixedCounts {
        let mut starts = true;
        let mut group = self.groups.get(&key).copied().unwrap_or_else(|| {
            let largest = largest(values);
            starts = largest > 0.0 && largest.is_finite();
            let fraction_bits = if starts { width.fraction_bits(largest).clamp(-100, 100) } else { 0 };
            Group { fraction_bits, ..Group::default() }
        });
        let cast = FixedCast::new(width.format(group.fraction_bits), rounding);
        let half = std::sync::atomic::AtomicU64::new(0);
        let lost = in_pieces(values, |piece, offset| {
            let counts = cast.round_slice(piece, random.skip(offset));
            half.fetch_add(counts.half_overflow, std::sync::atomic::Ordering::Relaxed);
            counts.cast
        });
        let counted = FixedCounts { cast: lost, half_overflow: half.into_inner() };
        // A group begins with its first tensor that is not zero everywhere.
        if counts && starts {
            group.total += counted.cast.total;
            group.overflow += counted.cast.overflow;
            group.half_overflow += counted.half_overflow;
            group.is_used |= values.iter().any(|value| *value != 0.0);
            self.groups.insert(key, group);
        }
        counted
    }
}

#[derive(Debug)]
struct Dfxp {
    ledger: Ledger,
    propagation: Width,
    update: Option<Width>,
    rounding: Rounding,
    interval: u64,
    /// Images that are left of the warm-up.
    warm_up: u64,
    /// Images since the last change of the scales.
    n_images: u64,
    /// Images of the step under way.
    last_batch: u64,
    controller: Controller,
}

impl Policy for Dfxp {
    fn name(&self) -> &'static str {
        "dfxp"
    }

    fn begin_step(&mut self, seed: u64, step: u64, n_images: usize) {
        self.ledger.begin(seed, step);
        self.warm_up = self.warm_up.saturating_sub(self.last_batch);
        self.last_batch = n_images as u64;
        if self.warm_up > 0 {
            return;
        }
        if self.n_images >= self.interval {
            self.controller.adjust();
            self.n_images = 0;
        }
        self.n_images += n_images as u64;
    }

    fn casts(&self, site: &Site, role: Role, _pass: Pass) -> bool {
        match role {
            Role::Weight | Role::Bias | Role::Activation | Role::Error | Role::WeightGradient => true,
            // Weighted sums and the gradients of layer inputs; what other layers make is rounded where it is read.
            Role::Output | Role::InputGradient => matches!(site.kind, SiteKind::Conv | SiteKind::Dense),
        }
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let key = (site.layer, operand.role as u8);
        let counts = self.ledger.is_training();
        if self.warm_up > 0 {
            if counts {
                self.controller.watch(key, self.propagation, operand.values);
            }
            return;
        }
        let random = self.ledger.random();
        let lost = self.controller.round(key, self.propagation, self.rounding, operand.values, random, counts);
        self.ledger.tally(class(operand.role), lost.cast);
    }

    fn after_backward(&mut self, _params: &mut [Param]) -> Verdict {
        self.ledger.end();
        Verdict::Step
    }

    fn rounds_updates(&self) -> bool {
        self.update.is_some()
    }

    fn round_update(&mut self, param_idx: usize, _role: ParamRole, kind: Assignment, values: &mut [f32]) {
        if let (Some(width), Assignment::Value) = (self.update, kind) {
            if self.warm_up > 0 {
                return self.controller.watch((param_idx, STORED), width, values);
            }
            let random = self.ledger.random();
            let lost = self.controller.round((param_idx, STORED), width, self.rounding, values, random, true);
            self.ledger.tally(UPDATE, lost.cast);
        }
    }

    fn counts(&self) -> Option<&CastCounts> {
        Some(self.ledger.counts())
    }

    fn state(&self) -> Vec<(String, Vec<f64>)> {
        let groups = self.controller.groups.iter().map(|(&(index, kind), group)| {
            let counts = [group.total, group.overflow, group.half_overflow].map(|n| n as f64);
            let numbers =
                [f64::from(group.fraction_bits), counts[0], counts[1], counts[2], f64::from(u8::from(group.is_used))];
            (format!("group/{index}/{kind}"), numbers.to_vec())
        });
        let images = [self.n_images, self.warm_up, self.last_batch].map(|n| n as f64);
        let images = [("images".to_owned(), images.to_vec())];
        self.ledger.state().into_iter().chain(images).chain(groups).collect()
    }

    fn restore(&mut self, state: &[(String, Vec<f64>)]) -> Result<(), TrainError> {
        self.controller.groups.clear();
        for (name, numbers) in self.ledger.restore("dfxp", state)? {
            match (name.split('/').collect::<Vec<_>>().as_slice(), numbers) {
                (["images"], &[n_images, warm_up, last_batch]) => {
                    self.n_images = n_images as u64;
                    self.warm_up = warm_up as u64;
                    self.last_batch = last_batch as u64;
                }
                (["group", index, kind], &[fraction_bits, total, overflow, half_overflow, is_used]) => {
                    let (Ok(index), Ok(kind)) = (index.parse(), kind.parse()) else {
                        return Err(foreign("dfxp", name, numbers));
                    };
                    let group = Group {
                        fraction_bits: fraction_bits as i32,
                        total: total as u64,
                        overflow: overflow as u64,
                        half_overflow: half_overflow as u64,
                        is_used: is_used > 0.0,
                    };
                    self.controller.groups.insert((index, kind), group);
                }
                _ => return Err(foreign("dfxp", name, numbers)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn controller_vectors() {
        let (key, width, even) = ((0, 0), Width(10), Rounding::NearestEven);
        let start = Group { fraction_bits: 7, is_used: true, ..Group::default() };
        let mut controller = Controller { max_overflow: 1e-4, groups: BTreeMap::from([(key, start)]) };
        let mut values = [0.11, -3.99, 4.01, 0.5];
        controller.round(key, width, even, &mut values, RandomBits::default(), true);
        assert_eq!(values, [0.109_375, -3.992_187_5, 3.992_187_5, 0.5]);
        controller.adjust();
        assert_eq!(controller.groups[&key].fraction_bits, 6);

        controller.groups.insert(key, start);
        let mut values = [0.3, -1.2, 1.9, 0.7];
        controller.round(key, width, even, &mut values, RandomBits::default(), true);
        assert_eq!(values, [0.296_875, -1.203_125, 1.898_437_5, 0.703_125]);
        controller.adjust();
        assert_eq!(controller.groups[&key].fraction_bits, 8);

        // At most one value in ten thousand: neither way where half the range would overflow more often.
        controller.groups.insert(key, start);
        let mut values = vec![3.0; 10_000];
        values[0] = 9.0;
        controller.round(key, width, even, &mut values, RandomBits::default(), true);
        controller.adjust();
        assert_eq!(controller.groups[&key].fraction_bits, 7);
    }

    #[test]
    fn a_group_starts_with_the_finest_scale_that_fits() {
        for (bits, largest, expected) in [(10, 1.0, 8), (10, 511.4, 0), (10, 511.6, -1), (12, 0.1, 14), (8, 1e-6, 26)] {
            assert_eq!(Width(bits).fraction_bits(largest), expected, "{bits} {largest}");
        }
        let mut controller = Controller { max_overflow: 1e-4, groups: BTreeMap::new() };
        let mut zeros = [0.0; 3];
        controller.round((1, 2), Width(8), Rounding::NearestEven, &mut zeros, RandomBits::default(), true);
        // A scale is found when there is something to see; zeros move nothing.
        controller.adjust();
        let mut values = [100.0, 3.0];
        controller.round((1, 2), Width(8), Rounding::NearestEven, &mut values, RandomBits::default(), true);
        assert_eq!(values, [100.0, 3.0]);
    }
}
