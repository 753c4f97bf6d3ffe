//! Dot products of 16-bit integers modulo 2^32: the one kernel under exact convolution and early negative detection.
//!
//! Weights are shifted right before they are multiplied, so one packed copy serves every weight truncation. Sums wrap;
//! the callers know windows of less than 2^32 that the true sums lie in.

/// Elements of a [`Lane`].
pub(super) const LANE: usize = 32;

/// 32 consecutive elements of a row, one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Lane(pub(super) [i16; LANE]);

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Isa {
    /// All instruction sets of this machine, the slowest first. The first is the portable one.
    pub(super) fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 has more than one")]
        let mut sets = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                sets.push(Self(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                sets.push(Self(Kind::Avx512Vnni));
            }
        }
        sets
    }

    /// The fastest instruction set of this machine.
    pub(super) fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self(Kind::Portable))
    }
}

/// `out[f][p] = Σ_i (weights[f][i] >> shift) · activations[p][i] mod 2^32`.
///
/// # Panics
/// If rows differ in length.
#[inline]
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn dots<const F: usize, const P: usize>(
    isa: Isa,
    weights: [&[Lane]; F],
    activations: [&[Lane]; P],
    shift: u32,
) -> [[u32; P]; F] {
    let n = weights[0].len();
    assert!(weights.iter().chain(&activations).all(|row| row.len() == n), "rows have one length");
    match isa.0 {
        Kind::Portable => portable(weights, activations, shift),
        // SAFETY: an `Isa` of this kind exists only where the features were detected; all rows have `n` lanes.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { super::dots_x86::avx2(weights, activations, shift, n) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512Vnni => unsafe { super::dots_x86::avx512_vnni(weights, activations, shift, n) },
    }
}

/// `out[p] = Σ_i (weights[i] >> shifts[p]) · activations[p][i] mod 2^32`.
///
/// # Panics
/// If rows differ in length.
#[inline]
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn dots_each<const P: usize>(
    isa: Isa,
    weights: &[Lane],
    activations: [&[Lane]; P],
    shifts: [u32; P],
) -> [u32; P] {
    let n = weights.len();
    assert!(activations.iter().all(|row| row.len() == n), "rows have one length");
    match isa.0 {
        // SAFETY: an `Isa` of this kind exists only where the features were detected; all rows have `n` lanes.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512Vnni => unsafe { super::dots_x86::avx512_vnni_each(weights, activations, shifts, n) },
        _ => std::array::from_fn(|p| dots(isa, [weights], [activations[p]], shifts[p])[0][0]),
    }
}

fn portable<const F: usize, const P: usize>(
    weights: [&[Lane]; F],
    activations: [&[Lane]; P],
    shift: u32,
) -> [[u32; P]; F] {
    weights.map(|weight| {
        activations.map(|activation| {
            let lanes = weight.iter().zip(activation);
            let sum = lanes.fold(0_i32, |sum, (w, a)| {
                let products = w.0.iter().zip(&a.0).map(|(&w, &a)| i32::from(w >> shift) * i32::from(a));
                products.fold(sum, i32::wrapping_add)
            });
            sum as u32
        })
    })
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng;

    use super::*;

    #[test]
    fn every_instruction_set_equals_the_portable_one() {
        let isas = Isa::available();
        for n in [0_usize, 1, 2, 7, 33] {
            for extreme in [false, true] {
                let row = |seed: u64| -> Vec<Lane> {
                    let value = |i: u64| {
                        let bits = rng::random_u64(seed, 0, i);
                        if extreme { i16::MIN } else { bits as i16 }
                    };
                    (0..n as u64).map(|l| Lane(std::array::from_fn(|i| value(l * 32 + i as u64)))).collect()
                };
                let weights: [Vec<Lane>; 4] = std::array::from_fn(|f| row(f as u64));
                let activations: [Vec<Lane>; 6] = std::array::from_fn(|p| row(100 + p as u64));
                let weights = weights.each_ref().map(Vec::as_slice);
                let activations = activations.each_ref().map(Vec::as_slice);
                for shift in 0..16 {
                    let expected = dots(isas[0], weights, activations, shift);
                    let single = dots(isas[0], [weights[1]], activations, shift);
                    assert_eq!(single[0], expected[1]);
                    let shifts = [0, 1, 2, 3, 4, 5].map(|p| (shift + 3 * p) % 16);
                    let each = dots_each(isas[0], weights[1], activations, shifts);
                    for &isa in &isas {
                        assert_eq!(
                            dots_each(isa, weights[1], activations, shifts),
                            each,
                            "{isa:?}, {n} lanes, {shift}"
                        );
                        assert_eq!(dots(isa, weights, activations, shift), expected, "{isa:?}, {n} lanes, {shift}");
                        assert_eq!(dots(isa, [weights[1]], activations, shift), single, "{isa:?}, {n} lanes, {shift}");
                    }
                }
            }
        }
    }
}
