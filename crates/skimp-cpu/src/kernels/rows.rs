//! Normalizations and softmax along rows of elements, and over the channels of blocked images.
//!
//! Sums have partial sums in a fixed order, 64 of a row and one for each lane of a block: nothing else decides about bits.

#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::{Isa, LANES, Planes, functions};
use rayon::prelude::*;

/// Partial sums of a row.
const PARTS: usize = 64;

/// What is made of each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowFunction {
    /// `e^(x - max) / Σ e^(x - max)`.
    Softmax,
    /// `(x - mean) / √(variance + epsilon) · scale + shift`.
    LayerNorm { epsilon: f32, scale: Vec<f32>, shift: Vec<f32> },
}

/// `out = function(x)` for every row of `n` elements.
pub(crate) fn run(isa: Isa, function: &RowFunction, n: usize, x: &[f32], out: &mut [f32], parallel: bool) {
    let run = |(x, y): (&[f32], &mut [f32])| match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature.
        Isa::Avx512 => unsafe { avx512(function, n, x, y) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature.
        Isa::Avx2 => unsafe { avx2(function, n, x, y) },
        Isa::Portable => rows(function, n, x, y),
    };
    let x = &x[..out.len()];
    if parallel {
        let len = (16 * 1024 / n).max(1) * n;
        out.par_chunks_mut(len).zip(x.par_chunks(len)).for_each(|(y, x)| run((x, y)));
    } else {
        run((x, out));
    }
}

/// # Safety
/// Needs AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(function: &RowFunction, n: usize, x: &[f32], out: &mut [f32]) {
    rows(function, n, x, out);
}

/// # Safety
/// Needs AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(function: &RowFunction, n: usize, x: &[f32], out: &mut [f32]) {
    rows(function, n, x, out);
}

#[inline(always)]
fn rows(function: &RowFunction, n: usize, x: &[f32], out: &mut [f32]) {
    for (x, y) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        match function {
            RowFunction::Softmax => softmax(x, y),
            RowFunction::LayerNorm { epsilon, scale, shift } => layer_norm(*epsilon, (scale, shift), x, y),
        }
    }
}

/// Joins what `of` makes of all elements, in [`PARTS`] parts first.
#[inline(always)]
fn fold(x: &[f32], start: f32, of: impl Fn(f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut parts = [start; PARTS];
    let mut chunks = x.chunks_exact(PARTS);
    for chunk in &mut chunks {
        for (part, &x) in parts.iter_mut().zip(chunk) {
            *part = join(*part, of(x));
        }
    }
    for (part, &x) in parts.iter_mut().zip(chunks.remainder()) {
        *part = join(*part, of(x));
    }
    let mut len = PARTS / 2;
    while len > 0 {
        let (low, high) = parts.split_at_mut(len);
        for (low, high) in low.iter_mut().zip(high) {
            *low = join(*low, *high);
        }
        len /= 2;
    }
    parts[0]
}

#[inline(always)]
fn softmax(x: &[f32], y: &mut [f32]) {
    let most = fold(x, f32::NEG_INFINITY, |x| x, |a, b| if b > a { b } else { a });
    for (y, &x) in y.iter_mut().zip(x) {
        *y = functions::exp::<false>(x - most);
    }
    let factor = 1.0 / fold(y, 0.0, |y| y, |a, b| a + b);
    for y in y {
        *y *= factor;
    }
}

#[inline(always)]
fn layer_norm(epsilon: f32, (scale, shift): (&[f32], &[f32]), x: &[f32], y: &mut [f32]) {
    let n = x.len() as f32;
    let mean = fold(x, 0.0, |x| x, |a, b| a + b) / n;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x - mean;
    }
    let factor = 1.0 / (fold(y, 0.0, |y| y * y, |a, b| a + b) / n + epsilon).sqrt();
    for ((y, &scale), &shift) in y.iter_mut().zip(scale).zip(shift) {
        *y = *y * factor * scale + shift;
    }
}

/// Layer normalization over the channels of each pixel of a blocked image; `scale` and `shift` are padded to whole blocks
/// with zeros. Clears the halo of `out`.
pub(crate) fn channel_norm(
    isa: Isa,
    epsilon: f32,
    parameters: (&[f32], &[f32]),
    x: (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
) {
    to.clear_halo(out);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature.
        Isa::Avx512 => unsafe { channels_avx512(epsilon, parameters, x, (out, to)) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature.
        Isa::Avx2 => unsafe { channels_avx2(epsilon, parameters, x, (out, to)) },
        Isa::Portable => channels_portable(epsilon, parameters, x, (out, to)),
    }
}

/// # Safety
/// Needs AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn channels_avx512(epsilon: f32, parameters: (&[f32], &[f32]), x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
    // SAFETY: the caller's processor.
    unsafe { channels::<Avx512, 8>(epsilon, parameters, x, out) }
}

/// # Safety
/// Needs AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn channels_avx2(epsilon: f32, parameters: (&[f32], &[f32]), x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
    // SAFETY: the caller's processor.
    unsafe { channels::<Avx2, 2>(epsilon, parameters, x, out) }
}

/// Normalizes all pixels, `P` at a time.
///
/// # Safety
/// Needs the processor features of `V`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn channels<V: Lanes, const P: usize>(
    epsilon: f32,
    parameters: (&[f32], &[f32]),
    (x, from): (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
) {
    for row in 0..from.height {
        let mut column = 0;
        while column + P <= from.width {
            // SAFETY: the caller's processor.
            unsafe { pixels::<V, P>(epsilon, parameters, (x, from), (out, to), [row, column]) };
            column += P;
        }
        while column < from.width {
            // SAFETY: the caller's processor.
            unsafe { pixels::<V, 1>(epsilon, parameters, (x, from), (out, to), [row, column]) };
            column += 1;
        }
    }
}

/// Pixel `p` of a block, as many lanes as there are channels and zeros.
///
/// # Safety
/// Needs the processor features of `V`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn load<V: Lanes>(x: &[f32], n_lanes: usize, p: usize) -> V {
    let pixel = &x[p * LANES..(p + 1) * LANES];
    let mut lanes = [0.0; LANES];
    if n_lanes < LANES {
        lanes[..n_lanes].copy_from_slice(&pixel[..n_lanes]);
    }
    let source = if n_lanes < LANES { &lanes[..] } else { pixel };
    // SAFETY: the caller's processor; sixteen elements.
    unsafe { V::load(source.as_ptr()) }
}

/// Normalizes `P` pixels of a row.
///
/// # Safety
/// Needs the processor features of `V`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn pixels<V: Lanes, const P: usize>(
    epsilon: f32,
    (scale, shift): (&[f32], &[f32]),
    (x, from): (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
    [row, column]: [usize; 2],
) {
    let (n, n_blocks) = (from.channels as f32, from.n_blocks());
    let block = |block: usize| {
        let start = from.at(block, row, column);
        (&x[start..start + P * LANES], LANES.min(from.channels - block * LANES))
    };
    let total = |sums: [V; P]| {
        sums.map(|sum| {
            let mut lanes = [0.0; LANES];
            // SAFETY: the caller's processor; sixteen elements.
            unsafe { sum.store(lanes.as_mut_ptr()) };
            joined(lanes)
        })
    };
    // SAFETY: the caller's processor, here and below; all slices have sixteen elements.
    let (zero, one) = unsafe { (V::splat(0.0), V::splat(1.0)) };
    let mut sums = [zero; P];
    for idx in 0..n_blocks {
        let (x, n_lanes) = block(idx);
        for p in 0..P {
            // SAFETY: see above.
            sums[p] = unsafe { sums[p].add(load(x, n_lanes, p)) };
        }
    }
    // SAFETY: see above.
    let means = total(sums).map(|sum| unsafe { V::splat(-(sum / n)) });
    let mut squares = [zero; P];
    for idx in 0..n_blocks {
        let (x, n_lanes) = block(idx);
        for p in 0..P {
            // SAFETY: see above.
            unsafe {
                let mut centered = load::<V>(x, n_lanes, p).fused(means[p], one);
                if n_lanes < LANES {
                    // Lanes without a channel hold the mean.
                    let mut lanes = [0.0; LANES];
                    centered.store(lanes.as_mut_ptr());
                    centered = load(&lanes, n_lanes, 0);
                }
                squares[p] = squares[p].fused(centered, centered);
            }
        }
    }
    // SAFETY: see above.
    let factors = total(squares).map(|sum| unsafe { V::splat(1.0 / (sum / n + epsilon).sqrt()) });
    for idx in 0..n_blocks {
        let (x, _) = block(idx);
        let (scale, shift) = (&scale[idx * LANES..][..LANES], &shift[idx * LANES..][..LANES]);
        let start = to.at(idx, row, column);
        let y = &mut out[start..start + P * LANES];
        // SAFETY: see above.
        let (scale, shift) = unsafe { (V::load(scale.as_ptr()), V::load(shift.as_ptr())) };
        for p in 0..P {
            // SAFETY: see above.
            unsafe {
                let centered = load::<V>(x, LANES, p).fused(means[p], one);
                let normal = zero.fused(centered, factors[p]);
                shift.fused(normal, scale).store(y[p * LANES..(p + 1) * LANES].as_mut_ptr());
            }
        }
    }
}

/// The safe twin.
fn channels_portable(
    epsilon: f32,
    (scale, shift): (&[f32], &[f32]),
    (x, from): (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
) {
    let n = from.channels as f32;
    for (row, column) in (0..from.height).flat_map(|row| (0..from.width).map(move |column| (row, column))) {
        let total = |of: &dyn Fn(f32) -> f32| {
            let mut sums = [0.0; LANES];
            for block in 0..from.n_blocks() {
                let pixel = &x[from.at(block, row, column)..][..LANES.min(from.channels - block * LANES)];
                sums.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += of(x));
            }
            joined(sums)
        };
        let mean = total(&|x| x) / n;
        let factor = 1.0 / (total(&|x| (x - mean) * (x - mean)) / n + epsilon).sqrt();
        for block in 0..from.n_blocks() {
            let pixel = &x[from.at(block, row, column)..][..LANES];
            let parameters = scale[block * LANES..].iter().zip(&shift[block * LANES..]);
            let y = &mut out[to.at(block, row, column)..][..LANES];
            for ((y, &x), (&scale, &shift)) in y.iter_mut().zip(pixel).zip(parameters) {
                *y = (x - mean) * factor * scale + shift;
            }
        }
    }
}

/// The sum of all lanes.
#[inline(always)]
fn joined(mut lanes: [f32; LANES]) -> f32 {
    let mut len = LANES / 2;
    while len > 0 {
        for i in 0..len {
            lanes[i] += lanes[i + len];
        }
        len /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::super::{layout, noise};
    use super::*;

    fn naive(function: &RowFunction, x: &[f32]) -> Vec<f64> {
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        match function {
            RowFunction::Softmax => {
                let most = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = wide.iter().map(|x| (x - most).exp()).sum();
                wide.iter().map(|x| (x - most).exp() / sum).collect()
            }
            RowFunction::LayerNorm { epsilon, scale, shift } => {
                let mean = wide.iter().sum::<f64>() / wide.len() as f64;
                let variance = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / wide.len() as f64;
                let factor = 1.0 / (variance + f64::from(*epsilon)).sqrt();
                let parameters = scale.iter().zip(shift);
                let wide = wide.iter().zip(parameters);
                wide.map(|(x, (&s, &t))| (x - mean) * factor * f64::from(s) + f64::from(t)).collect()
            }
        }
    }

    #[test]
    fn rows_match_the_definition() {
        for n in [1, 5, 16, 63, 64, 65, 197, 1000] {
            let norm = RowFunction::LayerNorm { epsilon: 1e-5, scale: noise(n, 1), shift: noise(n, 2) };
            for function in [RowFunction::Softmax, norm] {
                let x: Vec<f32> = noise(33 * n, 3).iter().map(|x| 3.0 * x + 1.0).collect();
                let run = |isa, parallel| {
                    let mut y = vec![f32::NAN; x.len()];
                    super::run(isa, &function, n, &x, &mut y, parallel);
                    y
                };
                let expected = run(Isa::Portable, false);
                for isa in Isa::available() {
                    assert_eq!(run(isa, false), expected, "{isa:?}");
                    assert_eq!(run(isa, true), expected, "{isa:?}");
                }
                for (x, y) in x.chunks_exact(n).zip(expected.chunks_exact(n)) {
                    let right = naive(&function, x);
                    // One element has no variance, and what is left of it is divided by the root of epsilon.
                    assert!(
                        y.iter().zip(right).all(|(&y, right)| (f64::from(y) - right).abs() < 2e-6),
                        "{n}, {function:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn channels_are_normalized_like_rows() {
        for (channels, height, width) in [(1, 2, 3), (16, 3, 8), (40, 5, 17), (33, 2, 9)] {
            let plain = Planes::plain(channels, height, width);
            let blocked = Planes::blocked(channels, height, width);
            let x = noise(plain.len(), 1);
            let mut image = vec![f32::NAN; blocked.len()];
            layout::convert(&x, &plain, &mut image, &blocked);
            let (scale, shift) = (noise(channels, 2), noise(channels, 3));
            let padded = |x: &[f32]| {
                let mut x = x.to_vec();
                x.resize(channels.next_multiple_of(LANES), 0.0);
                x
            };
            let parameters = (padded(&scale), padded(&shift));
            let function = RowFunction::LayerNorm { epsilon: 1e-5, scale, shift };
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; blocked.len()];
                let to = (out.as_mut_slice(), &blocked);
                channel_norm(isa, 1e-5, (&parameters.0, &parameters.1), (&image, &blocked), to);
                for pixel in 0..height * width {
                    let row: Vec<f32> = (0..channels).map(|c| x[c * height * width + pixel]).collect();
                    for (c, right) in naive(&function, &row).into_iter().enumerate() {
                        let y = out[blocked.at(c / LANES, pixel / width, pixel % width) + c % LANES];
                        assert!((f64::from(y) - right).abs() < 5e-6, "{isa:?}, {channels} channels");
                    }
                }
            }
        }
    }
}
