use super::*;
use crate::formats::{
    BF16, DLFLOAT16, FORMATS, FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_152, FP8_E4M3, FP8_E5M2, FP16, FP16_169, FP32,
    FormatKind, HFP8_143, HFP8_143_SUBNORMAL, TF32,
};
use crate::{CastCounts, RandomBits, Rounding, Subnormals};

/// Every floating-point format of at most 16 bits, by name.
fn small_formats() -> Vec<(&'static str, FloatFormat)> {
    let registered = FORMATS.iter().filter_map(|entry| match entry.kind {
        FormatKind::Float(format) if format.bits() <= 16 => Some((entry.name, format)),
        _ => None,
    });
    registered.chain([("hfp8-143-subnormal", HFP8_143_SUBNORMAL)]).collect()
}

/// The value of a code from the definition, in f64; `None` for infinity and NaN.
fn value(format: &FloatFormat, code: u32) -> Option<f64> {
    let (e, m) = (format.exponent_bits(), format.mantissa_bits());
    let (exponent, mantissa) = (code >> m & ((1 << e) - 1), code & ((1 << m) - 1));
    let special = match format.specials() {
        Specials::Ieee => exponent == (1 << e) - 1,
        Specials::NanAtTop => code & ((1 << (e + m)) - 1) == (1 << (e + m)) - 1,
        Specials::NanAtNegativeZero => code == 1 << (e + m),
        Specials::None => false,
    };
    if special {
        return None;
    }
    let fraction = f64::from(mantissa) / 2.0_f64.powi(m as i32);
    let magnitude = if exponent > 0 {
        (1.0 + fraction) * 2.0_f64.powi(exponent as i32 - format.bias())
    } else if format.zero_exponent() == ZeroExponent::Subnormal {
        fraction * 2.0_f64.powi(1 - format.bias())
    } else if mantissa == 0 {
        0.0
    } else {
        (1.0 + fraction) * 2.0_f64.powi(-format.bias())
    };
    Some(if code >> (e + m) & 1 == 1 { -magnitude } else { magnitude })
}

#[test]
fn every_code_decodes_and_encodes_to_itself() {
    for (name, format) in small_formats() {
        let cast = FloatCast::new(format);
        for code in 0..1_u32 << format.bits() {
            let decoded = format.decode(code);
            match value(&format, code) {
                Some(expected) => {
                    assert_eq!(f64::from(decoded).to_bits(), expected.to_bits(), "{name} {code:#x}");
                    for rounding in [Rounding::NearestAway, Rounding::TowardZero, Rounding::STOCHASTIC] {
                        assert_eq!(cast.with_rounding(rounding).encode_with(decoded, 0xFFFF), code, "{name}");
                    }
                }
                None if decoded.is_nan() => {
                    assert!(format.decode(cast.encode(decoded)).is_nan(), "{name}");
                    continue;
                }
                None => assert!(decoded.is_infinite() && format.specials() == Specials::Ieee, "{name}"),
            }
            let special = cast.with_overflow(Overflow::Special);
            assert_eq!(special.encode(decoded), code, "{name} {code:#x}");
        }
    }
}

/// Checks one input against the two numbers around it: `low` and `high` in magnitude, `below` or not above their middle.
struct Neighborhood<'a> {
    name: &'a str,
    cast: FloatCast,
    low_code: u32,
    low: f32,
    high: f32,
    middle: f32,
}

impl Neighborhood<'_> {
    fn check(&self, rounding: Rounding, input: f32, random: u32, expected: f32) {
        let cast = self.cast.with_rounding(rounding);
        for sign in [1.0, -1.0] {
            let got = cast.round_with(sign * input, random);
            assert_eq!(got, sign * expected, "{} {input:e} {rounding:?} {random}", self.name);
        }
    }

    fn check_all(&self) {
        let (low, high, middle) = (self.low, self.high, self.middle);
        let (below, above) = (middle.next_down(), middle.next_up());
        let even = if self.low_code.is_multiple_of(2) { low } else { high };
        self.check(Rounding::NearestEven, middle, 0, even);
        self.check(Rounding::NearestAway, middle, 0, high);
        for rounding in [Rounding::NearestEven, Rounding::NearestAway] {
            self.check(rounding, below, 0, low);
            self.check(rounding, above, 0, high);
            self.check(rounding, low.next_up(), 0, if low.next_up() < middle { low } else { even });
        }
        for input in [below, middle, above, high.next_down()] {
            self.check(Rounding::TowardZero, input, 0, low);
        }
        // Half of the random integers round the middle up, and the smallest fraction never does with 4 bits.
        let bits = Rounding::Stochastic { bits: 4 };
        self.check(bits, middle, 7, low);
        self.check(bits, middle, 8, high);
        self.check(bits, below, 8, low);
        self.check(bits, below, 9, high);
    }
}

#[test]
fn neighborhoods_of_all_midpoints_round_right() {
    for (name, format) in small_formats() {
        let cast = FloatCast::new(format);
        for low_code in 0..1 << (format.bits() - 1) {
            let (Some(low), Some(high)) = (value(&format, low_code), value(&format, low_code + 1)) else { break };
            if high < low {
                break;
            }
            let middle = (low + high) / 2.0;
            assert_eq!(f64::from(middle as f32), middle, "{name}: the middle is an f32 number");
            let (low, high) = (low as f32, high as f32);
            Neighborhood { name, cast, low_code, low, high, middle: middle as f32 }.check_all();
        }
    }
}

#[test]
fn overflow_starts_half_a_step_above_the_largest_number() {
    for (name, format) in small_formats() {
        let max = format.max_finite();
        let step = 2.0_f32.powi(format.max_exponent() - format.mantissa_bits() as i32);
        let middle = f64::from(max) + f64::from(step) / 2.0;
        let is_even = FloatCast::new(format).encode(max).is_multiple_of(2);
        let special = match format.specials() {
            Specials::Ieee => f32::INFINITY,
            Specials::NanAtTop | Specials::NanAtNegativeZero => f32::NAN,
            Specials::None => max,
        };
        let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
        for overflow in [Overflow::Saturate, Overflow::Special] {
            let cast = FloatCast::new(format).with_overflow(overflow);
            let top = if overflow == Overflow::Saturate { max } else { special };
            let away = cast.with_rounding(Rounding::NearestAway);
            let middle = middle as f32;
            assert!(same(cast.round(middle), if is_even { max } else { top }), "{name}");
            assert!(same(cast.round(middle.next_down()), max), "{name}");
            assert!(same(cast.round(middle.next_up()), top), "{name}");
            assert!(same(away.round(middle), top), "{name}");
            for huge in [f32::MAX, f32::INFINITY] {
                assert!(same(cast.round(huge), top) && same(cast.round(-huge), -top), "{name}");
            }
            for rounding in [Rounding::TowardZero, Rounding::STOCHASTIC] {
                let cast = cast.with_rounding(rounding);
                assert!(same(cast.round_with(f32::MAX, 0xFFFF), max), "{name} {rounding:?}");
                assert!(same(cast.round_with(f32::INFINITY, 0), top), "{name} {rounding:?}");
            }
            assert!(cast.round(f32::NAN).is_nan(), "{name}");
        }
    }
}

#[test]
fn published_codes() {
    let p = |exponent: i32| 2.0_f32.powi(exponent);
    // Input, then the codes of fp16, bf16, E4M3 and E5M2, to nearest even without saturation.
    let cases: &[(f32, [u32; 4])] = &[
        (0.0, [0x0000, 0x0000, 0x00, 0x00]),
        (-0.0, [0x8000, 0x8000, 0x80, 0x80]),
        (1.0, [0x3C00, 0x3F80, 0x38, 0x3C]),
        (-1.0, [0xBC00, 0xBF80, 0xB8, 0xBC]),
        (1.0 / 3.0, [0x3555, 0x3EAB, 0x2B, 0x35]),
        (0.1, [0x2E66, 0x3DCD, 0x1D, 0x2E]),
        (std::f32::consts::PI, [0x4248, 0x4049, 0x45, 0x42]),
        (1.0 + p(-8), [0x3C04, 0x3F80, 0x38, 0x3C]),
        (1.0 + p(-7), [0x3C08, 0x3F81, 0x38, 0x3C]),
        (1.0 + 3.0 * p(-8), [0x3C0C, 0x3F82, 0x38, 0x3C]),
        (17.0, [0x4C40, 0x4188, 0x58, 0x4C]),
        (18.0, [0x4C80, 0x4190, 0x59, 0x4C]),
        (19.0, [0x4CC0, 0x4198, 0x5A, 0x4D]),
        (9.0, [0x4880, 0x4110, 0x51, 0x48]),
        (11.0, [0x4980, 0x4130, 0x53, 0x4A]),
        (240.0, [0x5B80, 0x4370, 0x77, 0x5C]),
        (448.0, [0x5F00, 0x43E0, 0x7E, 0x5F]),
        (464.0, [0x5F40, 0x43E8, 0x7E, 0x5F]),
        (464.01, [0x5F40, 0x43E8, 0x7F, 0x5F]),
        (57344.0, [0x7B00, 0x4760, 0x7F, 0x7B]),
        (61439.0, [0x7B80, 0x4770, 0x7F, 0x7B]),
        (61440.0, [0x7B80, 0x4770, 0x7F, 0x7C]),
        (65504.0, [0x7BFF, 0x4780, 0x7F, 0x7C]),
        (65519.996, [0x7BFF, 0x4780, 0x7F, 0x7C]),
        (65520.0, [0x7C00, 0x4780, 0x7F, 0x7C]),
        (p(-6), [0x2400, 0x3C80, 0x08, 0x24]),
        (p(-9), [0x1800, 0x3B00, 0x01, 0x18]),
        (p(-10), [0x1400, 0x3A80, 0x00, 0x14]),
        (1.01 * p(-10), [0x140A, 0x3A81, 0x01, 0x14]),
        (p(-14), [0x0400, 0x3880, 0x00, 0x04]),
        (p(-16), [0x0100, 0x3780, 0x00, 0x01]),
        (p(-17), [0x0080, 0x3700, 0x00, 0x00]),
        (1.01 * p(-17), [0x0081, 0x3701, 0x00, 0x01]),
        (p(-24), [0x0001, 0x3380, 0x00, 0x00]),
        (p(-25), [0x0000, 0x3300, 0x00, 0x00]),
        (1.001 * p(-25), [0x0001, 0x3300, 0x00, 0x00]),
        (1e-38, [0x0000, 0x006D, 0x00, 0x00]),
        (1.18e-38, [0x0000, 0x0080, 0x00, 0x00]),
        (p(-133), [0x0000, 0x0001, 0x00, 0x00]),
        (f32::from_bits(0x8000), [0x0000, 0x0000, 0x00, 0x00]),
        (f32::INFINITY, [0x7C00, 0x7F80, 0x7F, 0x7C]),
        (f32::NAN, [0x7E00, 0x7FC0, 0x7F, 0x7E]),
    ];
    let casts = [FP16, BF16, FP8_E4M3, FP8_E5M2].map(|format| FloatCast::new(format).with_overflow(Overflow::Special));
    for &(input, expected) in cases {
        assert_eq!(casts.map(|cast| cast.encode(input)), expected, "{input:e}");
    }
    let saturating = [FP8_E4M3, FP8_E5M2].map(|format| FloatCast::new(format).with_overflow(Overflow::Saturate));
    for (input, expected) in
        [(464.01, [0x7E, 0x5F]), (61440.0, [0x7E, 0x7B]), (65504.0, [0x7E, 0x7B]), (f32::INFINITY, [0x7E, 0x7B])]
    {
        assert_eq!(saturating.map(|cast| cast.encode(input)), expected, "{input:e}");
    }
}

#[test]
fn bfloat_bit_patterns() {
    let cast = FloatCast::new(BF16);
    for (bits, expected) in [
        (0x3F80_8000, 0x3F80),
        (0x3F81_8000, 0x3F82),
        (0x7F7F_FFFF, 0x7F80),
        (0x7F80_0001, 0x7FC0),
        (0xFF80_0001, 0xFFC0),
    ] {
        assert_eq!(cast.encode(f32::from_bits(bits)), expected, "{bits:#x}");
    }
    // Truncating the container afterwards must not make an infinity of a NaN.
    assert_eq!(cast.round(f32::from_bits(0x7F80_0001)).to_bits() >> 16, 0x7FC0);
    assert_eq!(cast.with_rounding(Rounding::TowardZero).encode(f32::from_bits(0x7F7F_FFFF)), 0x7F7F);
}

#[test]
fn e2m1_ties() {
    let cast = FloatCast::new(FP4_E2M1);
    let cases = [
        (0.25, 0.0, 0),
        (0.2501, 0.5, 1),
        (0.75, 1.0, 2),
        (1.25, 1.0, 2),
        (1.75, 2.0, 4),
        (2.5, 2.0, 4),
        (3.5, 4.0, 6),
        (5.0, 4.0, 6),
        (6.0, 6.0, 7),
        (7.0, 6.0, 7),
        (1e30, 6.0, 7),
    ];
    for (input, value, code) in cases {
        assert_eq!((cast.round(input), cast.encode(input)), (value, code), "{input}");
    }
}

#[test]
fn code_books() {
    let positive = |format: FloatFormat, n: u32| (0..n).map(|code| format.decode(code)).collect::<Vec<_>>();
    let steps = |ranges: &[(f32, f32, u32)]| {
        let runs = ranges.iter().flat_map(|&(first, step, n)| (0..n).map(move |i| first + step * i as f32));
        runs.collect::<Vec<f32>>()
    };
    assert_eq!(positive(FP4_E2M1, 8), [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    assert_eq!(positive(FP6_E2M3, 32), steps(&[(0.0, 0.125, 16), (2.0, 0.25, 8), (4.0, 0.5, 8)]));
    let e3m2 = [
        (0.0, 0.0625, 8),
        (0.5, 0.125, 4),
        (1.0, 0.25, 4),
        (2.0, 0.5, 4),
        (4.0, 1.0, 4),
        (8.0, 2.0, 4),
        (16.0, 4.0, 4),
    ];
    assert_eq!(positive(FP6_E3M2, 32), steps(&e3m2));
}

#[test]
fn stochastic_rounding_is_unbiased_between_two_neighbors() {
    // Format, input, its neighbors, P(high), variance of one draw.
    let p = |exponent: i32| 2.0_f64.powi(exponent);
    let cases = [
        (FP8_E5M2, 1.1, 1.0, 1.25, 0.4, 0.015),
        (FP8_E5M2, 0.3, 0.25, 0.3125, 0.8, 6.25e-4),
        (FP8_E5M2, 1.25 * p(-16), p(-16), p(-15), 0.25, 4.366e-11),
        (FP8_E4M3, 1.1, 1.0, 1.125, 0.8, 2.5e-3),
        (FP8_E4M3, 0.001, 0.0, p(-9), 0.512, 9.531e-7),
        (BF16, 1.1, 1.09375, 1.101_562_5, 0.8, 9.766e-6),
        (FP16, 1.1, 1.099_609_375, 1.100_585_937_5, 0.4, 2.289e-7),
        (FP16_169, 1.1, 1.099_609_375, 1.101_562_5, 0.2, 6.104e-7),
    ];
    let n = 1_000_000;
    for (i, (format, x, low, high, probability, variance)) in cases.into_iter().enumerate() {
        for bits in [16, 24] {
            let cast = FloatCast::new(format).with_rounding(Rounding::Stochastic { bits });
            let mut values = vec![x as f32; n];
            let counts = cast.round_slice(&mut values, RandomBits::new(9, i as u64));
            assert_eq!(counts.total, n as u64);
            let ups = values.iter().filter(|&&v| f64::from(v) == high).count();
            assert!(values.iter().all(|&v| f64::from(v) == high || f64::from(v) == low), "{format:?}");
            let sigma = (variance / n as f64).sqrt();
            let exact: f64 = (x - low) / (high - low) - probability;
            assert!(exact.abs() < 1e-3, "{format:?}: the table");
            let mean = low + (high - low) * ups as f64 / n as f64;
            assert!((mean - x).abs() < 5.0 * sigma + (high - low) / 65_536.0, "{format:?} {x}: {mean}");
        }
    }
}

#[test]
fn counts_and_flushing() {
    let tiny = 2.0_f32.powi(-16);
    let values = [tiny, -tiny, 0.25 * tiny, 0.0, -0.0, 1e9, -f32::INFINITY, f32::NAN, 1.0];
    let kept = FloatCast::new(FP8_152);
    let mut rounded = values;
    let counts = kept.round_slice(&mut rounded, RandomBits::default());
    assert_eq!(counts, CastCounts { total: 9, overflow: 2, underflow: 1, flushed: 0 });
    assert_eq!(rounded[..2], [tiny, -tiny]);
    let mut rounded = values;
    let counts = kept.with_subnormals(Subnormals::Flush).round_slice(&mut rounded, RandomBits::default());
    assert_eq!(counts, CastCounts { total: 9, overflow: 2, underflow: 1, flushed: 2 });
    assert_eq!(rounded[..2].iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [0, 0x8000_0000]);
    // bf16: the same through the other kernel.
    let subnormal = f32::from_bits(0x0001_0000);
    let values = [subnormal, f32::from_bits(1), f32::MAX, f32::NAN, 0.0];
    for (subnormals, flushed) in [(Subnormals::Keep, 0), (Subnormals::Flush, 1)] {
        let mut rounded = values;
        let counts = FloatCast::new(BF16).with_subnormals(subnormals).round_slice(&mut rounded, RandomBits::default());
        assert_eq!(counts, CastCounts { total: 5, overflow: 1, underflow: 1, flushed });
    }
}

#[test]
fn slices_round_as_single_values_do() {
    let inputs: Vec<f32> = (0..3000_u64).map(|i| f32::from_bits(crate::rng::random_u64(1, 2, i) as u32)).collect();
    let formats = [FP16, BF16, TF32, FP32, FP16_169, DLFLOAT16, HFP8_143, FP8_E4M3, FP4_E2M1];
    let modes = [Rounding::NearestEven, Rounding::NearestAway, Rounding::TowardZero, Rounding::Stochastic { bits: 20 }];
    for format in formats {
        for rounding in modes {
            let cast = FloatCast::new(format).with_rounding(rounding);
            let random = RandomBits::new(3, 4).skip(1);
            let mut rounded = vec![0.0; inputs.len()];
            cast.round_into(&inputs, &mut rounded, random);
            for (i, (&input, &got)) in inputs.iter().zip(&rounded).enumerate() {
                let want = cast.round_with(input, random.draw(20, i as u64));
                assert_eq!(got.to_bits(), want.to_bits(), "{format:?} {rounding:?} {input:e}");
                // What a format holds, it keeps.
                assert_eq!(cast.round_with(want, 0xF_FFFF).to_bits(), want.to_bits());
            }
        }
    }
}

#[test]
fn loss_scales_keep_small_gradients() {
    let cast = FloatCast::new(FP16);
    let p = |exponent: i32| 2.0_f32.powi(exponent);
    // Gradient, and the result at loss scales 1, 8, 128, 1024 and 65536.
    let cases = [
        (p(-24), [p(-24); 5]),
        (p(-25), [0.0, p(-25), p(-25), p(-25), p(-25)]),
        (p(-27), [0.0, p(-27), p(-27), p(-27), p(-27)]),
        (p(-30), [0.0, 0.0, p(-30), p(-30), p(-30)]),
        (1.0, [1.0, 1.0, 1.0, 1.0, f32::INFINITY]),
    ];
    for (gradient, expected) in cases {
        let got = [1.0, 8.0, 128.0, 1024.0, 65536.0].map(|scale| cast.round(gradient * scale) / scale);
        assert_eq!(got, expected, "{gradient:e}");
    }
}

#[test]
fn formats_that_f32_cannot_hold_are_refused() {
    assert_eq!(FloatFormat::new(9, 3, 255, Specials::Ieee), Err(FormatError::ExponentBits(9)));
    assert_eq!(FloatFormat::new(5, 24, 15, Specials::Ieee), Err(FormatError::MantissaBits(24)));
    assert_eq!(FloatFormat::new(8, 7, 128, Specials::Ieee), Err(FormatError::Bias(128)));
    assert_eq!(FloatFormat::new(7, 3, 150, Specials::Ieee), Err(FormatError::Bias(150)));
    assert!(FloatFormat::new(7, 3, 63, Specials::None).is_ok());
}
