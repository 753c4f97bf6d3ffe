//! Functions of one f32 that the compiler vectorizes: no branches and no calls.
//!
//! `FMA` tells whether products are added with one rounding; it is what the processor has, and nothing else decides about the
//! result: an element gives the same bits wherever it lies in a vector. The tests compare the functions with f64 over all
//! exponents and signs (all 2^32 numbers with `SKIMP_SLOW_TESTS=1`) and hold the bounds stated here.
//!
//! The reduction of exp's argument in two steps and its polynomial are those of S. L. Moshier's Cephes library (expf,
//! tanhf). The polynomials of erf were fitted for this file by weighted least squares.

/// 2^23 + 2^22: added to a number below 2^22, it leaves the nearest integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// a · b + c.
#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial with these coefficients, the highest one first.
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut p = coefficients[0];
    for c in &coefficients[1..] {
        p = fused::<FMA>(p, x, *c);
    }
    p
}

/// 2^n; `n` in -126..=127, 0 for -127 and infinite for 128.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `(p, n)`, with e^x about p · 2^n; for x in -104..=89.
#[inline(always)]
fn split_exp<const FMA: bool>(x: f32) -> (f32, i32) {
    let shifted = fused::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    // ln 2 in two parts, the first of few bits: the product with it is exact.
    let r = fused::<FMA>(n, 2.121_944_4e-4, fused::<FMA>(n, -0.693_359_4, x));
    let coefficients = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let p = fused::<FMA>(polynomial::<FMA, 6>(r, coefficients), r * r, r) + 1.0;
    // Wrapping, as a check for overflow would be a branch.
    (p, (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32))
}

/// e^x: at most 1.1 units in the last place off where the result is a normal number, at most 1 of the smallest number below.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Beyond these, the result is 0 or infinite. NaN stays.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (p, n) = split_exp::<FMA>(x);
    // Two factors, as n reaches from -150 to 128.
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// e^x as [`exp`], but 0 from -87.7 down and infinite from 88.4 up.
#[inline(always)]
fn short_exp<const FMA: bool>(x: f32) -> f32 {
    let x = if x < -88.0 { -88.0 } else { x };
    let x = if x > 88.7 { 88.7 } else { x };
    let (p, n) = split_exp::<FMA>(x);
    p * power_of_two(n)
}

/// 1 / (1 + e^-x): at most 2.5 units in the last place off; 0 from -88.4 down, where it is no normal number.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + short_exp::<FMA>(-x))
}

/// x · sigmoid(alpha · x).
#[inline(always)]
pub(crate) fn swish<const FMA: bool>(x: f32, alpha: f32) -> f32 {
    x * sigmoid::<FMA>(alpha * x)
}

/// At most 2 units in the last place off.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let magnitude = x.abs();
    let e = short_exp::<FMA>(-(magnitude + magnitude));
    let large = (1.0 - e) / (1.0 + e);
    let s = x * x;
    let coefficients = [-5.704_988_7e-3, 2.063_908_8e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
    let small = fused::<FMA>(polynomial::<FMA, 5>(s, coefficients) * s, x, x);
    if magnitude < 0.625 { small } else { large.copysign(x) }
}

/// The error function: at most 2.5 units in the last place off.
#[inline(always)]
pub(crate) fn erf<const FMA: bool>(x: f32) -> f32 {
    let magnitude = x.abs();
    // 1 - e^(-t - t · p(t)); 1 from 4 on.
    let t = if magnitude > 4.0 { 4.0 } else { magnitude };
    let coefficients = [-2.139_851_3e-4, 3.214_957e-3, -2.288_997e-2, 1.052_618_5e-1, 6.357_183e-1, 1.285_143_6e-1];
    let large = 1.0 - short_exp::<FMA>(-fused::<FMA>(polynomial::<FMA, 6>(t, coefficients), t, t));
    let s = x * x;
    let coefficients = [-5.953_8e-4, 4.985_95e-3, -2.676_173e-2, 1.128_168_3e-1, -0.376_124_8, 0.128_379_15];
    let small = fused::<FMA>(polynomial::<FMA, 6>(s, coefficients), x, x);
    if magnitude < 0.93 { small } else { large.copysign(x) }
}

/// x / 2 · (1 + erf(x / √2)): at most 2^-22 · |x| off.
#[inline(always)]
pub(crate) fn gelu<const FMA: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 · x³))): at most 2^-22 · |x| off.
#[inline(always)]
pub(crate) fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    // √(2 / π) and √(2 / π) · 0.044715.
    let inner = x * fused::<FMA>(0.035_677_407, x * x, 0.797_884_6);
    0.5 * x * (1.0 + tanh::<FMA>(inner))
}

/// x · tanh(ln(1 + e^x)): at most 4 units in the last place off where the result is a normal number.
#[inline(always)]
pub(crate) fn mish<const FMA: bool>(x: f32) -> f32 {
    // tanh(ln(1 + e)) = (e² + 2e) / (e² + 2e + 2), 1 from 20 on.
    let e = exp::<FMA>(if x > 20.0 { 20.0 } else { x });
    let s = e * (e + 2.0);
    x * (s / (s + 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All numbers with `SKIMP_SLOW_TESTS`, else every 997th: all exponents and signs.
    fn numbers() -> impl Iterator<Item = f32> {
        let step = if std::env::var_os("SKIMP_SLOW_TESTS").is_some() { 1 } else { 997 };
        (0..=u32::MAX).step_by(step).map(f32::from_bits).filter(|x| !x.is_nan())
    }

    /// Distance of two numbers around `x`, a normal number or 0.
    fn unit(x: f64) -> f64 {
        let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
        f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
    }

    /// Holds `f` against `exact`, where it may be off by `bound(x, exact)`.
    fn check(name: &str, [f, fused]: [fn(f32) -> f32; 2], exact: fn(f64) -> f64, bound: fn(f64, f64) -> f64) {
        check_one(name, f, exact, bound);
        check_one(&format!("fused {name}"), fused, exact, bound);
    }

    fn check_one(name: &str, f: fn(f32) -> f32, exact: fn(f64) -> f64, bound: fn(f64, f64) -> f64) {
        assert!(f(f32::NAN).is_nan(), "{name} of NaN");
        for x in numbers() {
            let (y, wide) = (f(x), f64::from(x));
            let right = exact(wide);
            if (right as f32).is_finite() && y.is_finite() {
                let off = (f64::from(y) - right).abs();
                assert!(off <= bound(wide, right), "{name}({x:e}) = {y:e}, not {right:e}");
            } else {
                // Numbers that round to infinity, or nearly so.
                let same = y.is_nan() == right.is_nan() && (right.is_nan() || y.is_sign_positive() == (right > 0.0));
                let near = right.is_nan() || right.abs() >= f64::from(f32::MAX) * (1.0 - 1e-6);
                assert!(same && near, "{name}({x:e}) = {y:e}, not {right:e}");
            }
        }
    }

    const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

    #[test]
    fn exponentials_hold_their_bounds() {
        check("exp", [exp::<false>, exp::<true>], f64::exp, |_, y| 1.1 * unit(y));
        check(
            "sigmoid",
            [sigmoid::<false>, sigmoid::<true>],
            |x| 1.0 / (1.0 + (-x).exp()),
            |_, y| (2.5 * unit(y)).max(if y < SMALLEST { SMALLEST } else { 0.0 }),
        );
        check("tanh", [tanh::<false>, tanh::<true>], f64::tanh, |_, y| 2.0 * unit(y));
        check(
            "mish",
            [mish::<false>, mish::<true>],
            |x| x * (if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }).tanh(),
            |x, y| (4.0 * unit(y)).max(if y.abs() < 1e-36 { 1e-43 * x.abs() } else { 0.0 }),
        );
    }

    #[test]
    fn error_functions_hold_their_bounds() {
        check("erf", [erf::<false>, erf::<true>], libm::erf, |_, y| 2.5 * unit(y));
        check(
            "gelu",
            [gelu::<false>, gelu::<true>],
            |x| x / 2.0 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            |x, _| (x.abs() / f64::from(1 << 22)).max(unit(0.0)),
        );
        check(
            "gelu by tanh",
            [gelu_tanh::<false>, gelu_tanh::<true>],
            |x| x / 2.0 * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh()),
            |x, _| (x.abs() / f64::from(1 << 22)).max(unit(0.0)),
        );
    }
}
