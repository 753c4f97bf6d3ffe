//! Counts of bits in which activations and weights differ, or meet; what spikes add; potentials.

use super::neuron::{Plain, PlainReset};

/// Eight words, one for each of eight filters; a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Words(pub(super) [u64; 8]);

/// Eight integers, one for each of eight filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Eight(pub(super) [i64; 8]);

impl Eight {
    pub(super) const ZERO: Self = Self([0; 8]);
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// With the byte instructions and the count of bits in words.
    #[cfg(target_arch = "x86_64")]
    Avx512,
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
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vpopcntdq")
            {
                sets.push(Self(Kind::Avx512));
            }
        }
        sets
    }

    /// The fastest instruction set of this machine.
    pub(super) fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self(Kind::Portable))
    }
}

/// Pixels that a call of the widest kernel takes.
pub(super) const TILE: usize = 8;

/// The activations of an image: words of 64 channels, and where each output's window lies in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows<'a> {
    pub(super) words: &'a [u64],
    /// Where the stretches of a window begin, from its first word on.
    pub(super) stretches: &'a [usize],
    /// Words of a stretch.
    pub(super) len: usize,
    /// Whether set bits are counted that activations and weights share (spikes), not those in which they differ.
    pub(super) is_spikes: bool,
}

/// For each of `P` windows that begin at `bases`, and each of eight filters, the number of bits in which activations and
/// weights differ, or that they share. `weights` holds the words of a window one after the other.
///
/// # Panics
/// If a window does not lie in the words, or the weights have another length.
#[inline]
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn counts<const P: usize>(
    isa: Isa,
    windows: &Windows<'_>,
    bases: [usize; P],
    weights: &[Words],
) -> [Eight; P] {
    check(windows, &bases, weights);
    match isa.0 {
        Kind::Portable => portable(windows, bases, weights),
        // SAFETY: an `Isa` of this kind exists only where the features were detected; the extents were checked above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { super::x86::avx2(windows, bases, weights) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { super::x86::avx512(windows, bases, weights) },
    }
}

fn check(windows: &Windows<'_>, bases: &[usize], weights: &[Words]) {
    assert_eq!(weights.len(), windows.stretches.len() * windows.len, "weights and windows have one length");
    let last = windows.stretches.iter().max().map_or(0, |last| last + windows.len);
    assert!(bases.iter().all(|base| base + last <= windows.words.len()), "windows lie in the image");
}

/// Where counts become bits: set where `2 · count − offset − shift ≤ limit`, turned round where `flip` has a bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// For each of `P` windows.
    pub(super) offsets: &'a [Eight],
    pub(super) limit: &'a Eight,
    pub(super) flip: u8,
}

/// As [`counts`], compared with limits: a byte for each window. `shifts` are taken off beside the offsets; `offset_idx` says
/// which offsets are each window's.
#[inline]
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn fires<const P: usize>(
    isa: Isa,
    windows: &Windows<'_>,
    bases: [usize; P],
    weights: &[Words],
    limits: &Limits<'_>,
    offset_idx: [usize; P],
    shifts: [i64; P],
) -> [u8; P] {
    check(windows, &bases, weights);
    assert!(offset_idx.iter().all(|&idx| idx < limits.offsets.len()), "every window has offsets");
    match isa.0 {
        // SAFETY: an `Isa` of this kind exists only where the features were detected; the extents were checked above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { super::x86::avx512_fires(windows, bases, weights, limits, offset_idx, shifts) },
        _ => {
            let counts = counts(isa, windows, bases, weights);
            std::array::from_fn(|p| {
                let offsets = &limits.offsets[offset_idx[p]];
                let mut byte = 0;
                for f in 0..8 {
                    let value = 2 * counts[p].0[f] - offsets.0[f] - shifts[p];
                    byte |= u8::from(value <= limits.limit.0[f]) << f;
                }
                byte ^ limits.flip
            })
        }
    }
}

/// For each of up to eight rows of numbers, a bit in each byte where the number is above `threshold`, or at it with `is_at_above`.
///
/// # Panics
/// If there are more than eight rows, or one is not as long as `bytes`.
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn above(isa: Isa, rows: &[&[f32]], threshold: f32, is_at_above: bool, bytes: &mut [u8]) {
    assert!(rows.len() <= 8 && rows.iter().all(|row| row.len() == bytes.len()), "eight rows at most, of one length");
    match isa.0 {
        // SAFETY: an `Isa` of this kind exists only where the features were detected; the extents were checked above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { super::x86::avx512_above(rows, threshold, is_at_above, bytes) },
        _ => {
            bytes.fill(0);
            for (j, row) in rows.iter().enumerate() {
                let bits = bytes.iter_mut().zip(*row);
                if is_at_above {
                    bits.for_each(|(byte, &x)| *byte |= u8::from(x >= threshold) << j);
                } else {
                    bits.for_each(|(byte, &x)| *byte |= u8::from(x > threshold) << j);
                }
            }
        }
    }
}

/// Filters of a block of [`add_rows`].
pub(super) const BLOCK: usize = 64;

/// A number for each filter of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [f32; BLOCK]);

impl Sums {
    pub(super) const ZERO: Self = Self([0.0; BLOCK]);
}

/// Adds the rows `channels` to `sums`: those at even places to the sums as they are, those at odd places to sums of their own,
/// which come on top at the end.
///
/// # Panics
/// If a channel has no row.
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn add_rows(isa: Isa, rows: &[Sums], channels: &[u32], sums: &mut Sums) {
    // Channels ascend.
    assert!(channels.last().is_none_or(|last| (*last as usize) < rows.len()), "every channel has a row");
    debug_assert!(channels.is_sorted());
    match isa.0 {
        // SAFETY: an `Isa` of this kind exists only where the features were detected; the channels ascend, and the last one has
        // a row.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { super::x86::avx512_add_rows(rows, channels, sums) },
        _ => {
            let mut odd = Sums::ZERO;
            let (pairs, rest) = channels.as_chunks::<2>();
            let add = |sums: &mut Sums, channel: u32| {
                sums.0.iter_mut().zip(rows[channel as usize].0).for_each(|(sum, weight)| *sum += weight);
            };
            for &[a, b] in pairs {
                add(sums, a);
                add(&mut odd, b);
            }
            rest.iter().for_each(|&channel| add(sums, channel));
            sums.0.iter_mut().zip(odd.0).for_each(|(sum, odd)| *sum += odd);
        }
    }
}

/// One step of the neurons of one channel: potentials `next` from `v` and inputs `x`, and a bit `j` in each byte for a spike.
///
/// # Panics
/// If the slices differ in length, or there is no such bit.
#[allow(clippy::too_many_arguments, reason = "one pass over five arrays")]
#[cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "calls into detected instruction sets"))]
pub(super) fn integrate(
    isa: Isa,
    neuron: Plain,
    threshold: f32,
    x: &[f32],
    v: &[f32],
    next: &mut [f32],
    bytes: &mut [u8],
    j: usize,
) {
    let n = x.len();
    assert!(v.len() == n && next.len() == n && bytes.len() == n && j < 8, "arrays of one length, eight bits");
    match isa.0 {
        // SAFETY: an `Isa` of this kind exists only where the features were detected; the lengths were checked above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { super::x86::avx512_integrate(neuron, threshold, x, v, next, bytes, j) },
        _ => {
            for (((&x, &v), next), byte) in x.iter().zip(v).zip(next).zip(bytes) {
                let u = neuron.leak * v + neuron.gain * x;
                let fires = if neuron.is_strict { u > threshold } else { u >= threshold };
                *next = match neuron.reset {
                    _ if !fires => u,
                    PlainReset::None => u,
                    PlainReset::Subtract => u - threshold,
                    PlainReset::To(value) => value,
                };
                *byte |= u8::from(fires) << j;
            }
        }
    }
}

fn portable<const P: usize>(windows: &Windows<'_>, bases: [usize; P], weights: &[Words]) -> [Eight; P] {
    let mut counts = [Eight::ZERO; P];
    for (stretch, weights) in windows.stretches.iter().zip(weights.chunks_exact(windows.len.max(1))) {
        for (i, weights) in weights.iter().enumerate() {
            for p in 0..P {
                let word = windows.words[bases[p] + stretch + i];
                for f in 0..8 {
                    let bits = if windows.is_spikes { word & weights.0[f] } else { word ^ weights.0[f] };
                    counts[p].0[f] += i64::from(bits.count_ones());
                }
            }
        }
    }
    counts
}
