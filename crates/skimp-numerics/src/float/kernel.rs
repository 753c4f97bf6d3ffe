//! The conversion itself: branch-free, so that loops over slices vectorize.

use crate::float::{FloatFormat, Specials, ZeroExponent, power_of_two};
use crate::{CastCounts, Overflow, RandomBits, Rounding, Subnormals};

/// Values between two additions to the 64-bit counts.
pub(super) const CHUNK: usize = 512;

const EVEN: u8 = 0;
const AWAY: u8 = 1;
const ZERO: u8 = 2;
const RANDOM: u8 = 3;

const SIGN: u32 = 0x8000_0000;
const INFINITY: u32 = 0x7F80_0000;
const QUIET: u32 = 0x0040_0000;

/// What the kernels need to know of a conversion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Params {
    mode: u8,
    random_bits: u32,
    /// Mantissa bits dropped.
    shift: u32,
    /// 8 exponent bits: rounding works on the bits of f32.
    wide: bool,
    /// Exponent zero holds normal numbers: nothing between zero and `min_positive`.
    gap: bool,
    /// Nothing above it is representable, and one binade above the largest number.
    clamp: f32,
    max: f32,
    /// What overflow gives under rounding to nearest, and what an infinite input gives.
    above: u32,
    infinite: u32,
    /// Power of two of the lowest binade.
    lowest: f32,
    /// 2^(23 − m), and 2^(−m).
    magic: f32,
    ulp: f32,
    min_positive: f32,
    /// Results below it are flushed.
    flush_below: f32,
    /// Kept signs of zero.
    zero_sign: u32,
    /// 2^(−random bits).
    random_step: f32,
}

impl Params {
    pub(super) fn new(format: &FloatFormat, rounding: Rounding, overflow: Overflow, subnormals: Subnormals) -> Self {
        let m = format.mantissa_bits();
        let max = format.max_finite();
        let special = match (overflow, format.specials()) {
            (Overflow::Saturate, _) | (_, Specials::None) => max.to_bits(),
            (Overflow::Special, Specials::Ieee) => INFINITY,
            (Overflow::Special, Specials::NanAtTop | Specials::NanAtNegativeZero) => f32::NAN.to_bits(),
        };
        let wide = format.exponent_bits() == 8;
        let has_subnormals = format.zero_exponent() == ZeroExponent::Subnormal;
        Self {
            mode: match rounding {
                Rounding::NearestEven => EVEN,
                Rounding::NearestAway => AWAY,
                Rounding::TowardZero => ZERO,
                Rounding::Stochastic { .. } => RANDOM,
            },
            random_bits: rounding.random_bits(),
            shift: 23 - m,
            wide,
            gap: !has_subnormals,
            clamp: if wide { f32::INFINITY } else { power_of_two(format.max_exponent() + 2) },
            max,
            above: match rounding {
                Rounding::NearestEven | Rounding::NearestAway => special,
                Rounding::TowardZero | Rounding::Stochastic { .. } => max.to_bits(),
            },
            infinite: special,
            lowest: power_of_two(format.min_exponent()),
            magic: power_of_two(23 - m as i32),
            ulp: power_of_two(-(m as i32)),
            min_positive: format.min_positive(),
            flush_below: if subnormals == Subnormals::Flush && has_subnormals { format.min_normal() } else { 0.0 },
            zero_sign: if format.specials() == Specials::NanAtNegativeZero { 0 } else { SIGN },
            random_step: power_of_two(-(rounding.random_bits() as i32)),
        }
    }
}

/// A converted number, and 1 where something happened to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) value: f32,
    overflow: u32,
    underflow: u32,
    flushed: u32,
}

/// Formats of fewer than 8 exponent bits. `magnitude + magic` has its last bit where the format's last bit is, so that
/// the addition itself rounds to nearest even; other modes correct its result.
#[inline(always)]
fn narrow<const MODE: u8, const GAP: bool>(p: &Params, input: f32, random: u32) -> Outcome {
    let bits = input.to_bits();
    let magnitude = f32::from_bits(bits & !SIGN);
    let x = if magnitude < p.clamp { magnitude } else { p.clamp };
    let binade = f32::from_bits(x.to_bits() & INFINITY);
    let binade = if binade > p.lowest { binade } else { p.lowest };
    let magic = binade * p.magic;
    let step = binade * p.ulp;
    let near = (x + magic) - magic;
    let lower = if near > x { near - step } else { near };
    let fraction_left = (1.0 - (random as i32) as f32 * p.random_step) * step;
    let mut rounded = match MODE {
        EVEN => near,
        AWAY => {
            if (x - near) + (x - near) >= step {
                near + step
            } else {
                near
            }
        }
        ZERO => lower,
        _ => {
            if x - lower >= fraction_left {
                lower + step
            } else {
                lower
            }
        }
    };
    if GAP {
        let up = match MODE {
            EVEN => x + x > p.min_positive,
            AWAY => x + x >= p.min_positive,
            ZERO => false,
            _ => {
                let left = 1.0 - f64::from(random as i32) * f64::from(p.random_step);
                f64::from(x) >= left * f64::from(p.min_positive)
            }
        };
        let small = if up { p.min_positive } else { 0.0 };
        rounded = if x < p.min_positive { small } else { rounded };
    }
    let is_nan = bits & !SIGN > INFINITY;
    let is_infinite = bits & !SIGN == INFINITY;
    let over = rounded > p.max;
    let below = rounded < p.flush_below;
    let vanished = rounded == 0.0 && magnitude > 0.0;
    let kept = if below { 0.0 } else { rounded };
    let sign = if kept == 0.0 { bits & p.zero_sign } else { bits & SIGN };
    let top = if is_infinite { p.infinite } else { p.above };
    let result = sign | if over { top } else { kept.to_bits() };
    Outcome {
        value: f32::from_bits(if is_nan { bits | QUIET } else { result }),
        overflow: u32::from(over & !is_nan),
        underflow: u32::from(vanished & !is_nan),
        flushed: u32::from(below & (rounded > 0.0)),
    }
}

/// Formats laid out as f32 with a shorter mantissa: integer arithmetic on its bits, subnormal numbers included.
#[inline(always)]
fn wide<const MODE: u8>(p: &Params, input: f32, random: u32) -> Outcome {
    let bits = input.to_bits();
    let magnitude = bits & !SIGN;
    let unit = 1_u32 << p.shift;
    let half = unit >> 1;
    let addend = match MODE {
        EVEN => half.wrapping_sub(1).wrapping_add(magnitude >> p.shift & 1) & (unit - 1),
        AWAY => half,
        ZERO => 0,
        _ => {
            // The random integer, aligned with the dropped bits.
            if p.shift >= p.random_bits {
                random << (p.shift - p.random_bits)
            } else {
                random >> (p.random_bits - p.shift)
            }
        }
    };
    let is_nan = magnitude > INFINITY;
    let is_infinite = magnitude == INFINITY;
    let rounded = if is_infinite { INFINITY } else { (magnitude.wrapping_add(addend)) & !(unit - 1) };
    let over = rounded >= INFINITY;
    let below = rounded < p.flush_below.to_bits();
    let kept = if below { 0 } else { rounded };
    let top = if is_infinite { p.infinite } else { p.above };
    let result = (bits & SIGN) | if over { top } else { kept };
    Outcome {
        value: f32::from_bits(if is_nan { bits | QUIET } else { result }),
        overflow: u32::from(over & !is_nan),
        underflow: u32::from((rounded == 0) & (magnitude != 0)),
        flushed: u32::from(below & (rounded != 0)),
    }
}

/// Calls `$apply` with the kernel of these parameters.
macro_rules! with_kernel {
    ($p:expr, $apply:expr) => {{
        let (p, apply) = ($p, $apply);
        match (p.wide, p.gap, p.mode) {
            (true, _, EVEN) => apply.call(|x, _| wide::<EVEN>(p, x, 0)),
            (true, _, AWAY) => apply.call(|x, _| wide::<AWAY>(p, x, 0)),
            (true, _, ZERO) => apply.call(|x, _| wide::<ZERO>(p, x, 0)),
            (true, _, _) => apply.call(|x, r| wide::<RANDOM>(p, x, r)),
            (false, false, EVEN) => apply.call(|x, _| narrow::<EVEN, false>(p, x, 0)),
            (false, false, AWAY) => apply.call(|x, _| narrow::<AWAY, false>(p, x, 0)),
            (false, false, ZERO) => apply.call(|x, _| narrow::<ZERO, false>(p, x, 0)),
            (false, false, _) => apply.call(|x, r| narrow::<RANDOM, false>(p, x, r)),
            (false, true, EVEN) => apply.call(|x, _| narrow::<EVEN, true>(p, x, 0)),
            (false, true, AWAY) => apply.call(|x, _| narrow::<AWAY, true>(p, x, 0)),
            (false, true, ZERO) => apply.call(|x, _| narrow::<ZERO, true>(p, x, 0)),
            (false, true, _) => apply.call(|x, r| narrow::<RANDOM, true>(p, x, r)),
        }
    }};
}

struct One {
    value: f32,
    random: u32,
}

impl One {
    #[inline(always)]
    fn call(self, kernel: impl Fn(f32, u32) -> Outcome) -> Outcome {
        kernel(self.value, self.random)
    }
}

struct Slice<'a> {
    values: &'a mut [f32],
    random_bits: u32,
    random: RandomBits,
}

impl Slice<'_> {
    #[inline(always)]
    fn call(self, kernel: impl Fn(f32, u32) -> Outcome) -> CastCounts {
        let mut counts = CastCounts { total: self.values.len() as u64, ..CastCounts::default() };
        if self.random_bits == 0 {
            for chunk in self.values.chunks_mut(CHUNK) {
                counts.add(tally(chunk.iter_mut().map(|value| (value, 0)), &kernel));
            }
            return counts;
        }
        let mut draws = [0_u32; CHUNK];
        for (i, chunk) in self.values.chunks_mut(CHUNK).enumerate() {
            self.random.skip((i * CHUNK) as u64).fill(self.random_bits, &mut draws[..chunk.len()]);
            counts.add(tally(chunk.iter_mut().zip(draws.iter().copied()), &kernel));
        }
        counts
    }
}

/// Converts values in place; counts all but the total.
#[inline(always)]
fn tally<'a>(values: impl Iterator<Item = (&'a mut f32, u32)>, kernel: impl Fn(f32, u32) -> Outcome) -> CastCounts {
    let (mut overflow, mut underflow, mut flushed) = (0_u32, 0_u32, 0_u32);
    for (value, random) in values {
        let outcome = kernel(*value, random);
        *value = outcome.value;
        overflow = overflow.wrapping_add(outcome.overflow);
        underflow = underflow.wrapping_add(outcome.underflow);
        flushed = flushed.wrapping_add(outcome.flushed);
    }
    CastCounts { total: 0, overflow: u64::from(overflow), underflow: u64::from(underflow), flushed: u64::from(flushed) }
}

pub(super) fn one(p: &Params, value: f32, random: u32) -> Outcome {
    with_kernel!(p, One { value, random })
}

pub(super) fn slice(p: &Params, values: &mut [f32], random: RandomBits) -> CastCounts {
    with_kernel!(p, Slice { values, random_bits: p.random_bits, random })
}
