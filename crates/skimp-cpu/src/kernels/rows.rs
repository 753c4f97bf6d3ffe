//! Normalizations and softmax along rows of elements, and over the channels of blocked images.
//!
//! Sums have 64 partial sums in a fixed order, and nothing is contracted: all processors give the same bits.

#![allow(unsafe_code, reason = "calls of the code compiled for vector instructions")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

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
        Isa::Portable => channels::<4>(epsilon, parameters, x, (out, to)),
    }
}

/// # Safety
/// Needs AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn channels_avx512(epsilon: f32, parameters: (&[f32], &[f32]), x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
    channels::<8>(epsilon, parameters, x, out);
}

/// # Safety
/// Needs AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn channels_avx2(epsilon: f32, parameters: (&[f32], &[f32]), x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
    channels::<4>(epsilon, parameters, x, out);
}

/// Normalizes all pixels, `P` at a time.
#[inline(always)]
fn channels<const P: usize>(
    epsilon: f32,
    parameters: (&[f32], &[f32]),
    (x, from): (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
) {
    for row in 0..from.height {
        let mut column = 0;
        while column + P <= from.width {
            pixels::<P>(epsilon, parameters, (x, from), (out, to), [row, column]);
            column += P;
        }
        while column < from.width {
            pixels::<1>(epsilon, parameters, (x, from), (out, to), [row, column]);
            column += 1;
        }
    }
}

type Pixels<const P: usize> = [[f32; LANES]; P];

/// `P` pixels of one block.
#[inline(always)]
fn load<const P: usize>(x: &[f32], start: usize) -> Pixels<P> {
    let mut pixels = [[0.0; LANES]; P];
    for (to, x) in pixels.iter_mut().zip(x[start..start + P * LANES].chunks_exact(LANES)) {
        to.copy_from_slice(x);
    }
    pixels
}

/// Adds `of` what each pixel has in its channels; lanes beyond the last channel do not count.
#[inline(always)]
fn total<const P: usize>(
    (x, from): (&[f32], &Planes),
    [row, column]: [usize; 2],
    of: impl Fn(usize, f32) -> f32,
) -> [f32; P] {
    let mut sums: Pixels<P> = [[0.0; LANES]; P];
    let n_full = from.channels / LANES;
    for block in 0..n_full {
        let x: Pixels<P> = load(x, from.at(block, row, column));
        for p in 0..P {
            for lane in 0..LANES {
                sums[p][lane] += of(p, x[p][lane]);
            }
        }
    }
    for block in n_full..from.n_blocks() {
        let x: Pixels<P> = load(x, from.at(block, row, column));
        let n_lanes = from.channels - block * LANES;
        for p in 0..P {
            for lane in 0..LANES {
                sums[p][lane] += if lane < n_lanes { of(p, x[p][lane]) } else { 0.0 };
            }
        }
    }
    sums.map(joined)
}

#[inline(always)]
fn pixels<const P: usize>(
    epsilon: f32,
    (scale, shift): (&[f32], &[f32]),
    (x, from): (&[f32], &Planes),
    (out, to): (&mut [f32], &Planes),
    place: [usize; 2],
) {
    let n = from.channels as f32;
    let means: [f32; P] = total((x, from), place, |_, x| x).map(|sum| sum / n);
    let squares: [f32; P] = total((x, from), place, |p, x| (x - means[p]) * (x - means[p]));
    let factors = squares.map(|sum| 1.0 / (sum / n + epsilon).sqrt());
    for block in 0..from.n_blocks() {
        let x: Pixels<P> = load(x, from.at(block, place[0], place[1]));
        let (scale, shift) = (&scale[block * LANES..][..LANES], &shift[block * LANES..][..LANES]);
        let start = to.at(block, place[0], place[1]);
        for (p, y) in out[start..start + P * LANES].chunks_exact_mut(LANES).enumerate() {
            for lane in 0..LANES {
                y[lane] = (x[p][lane] - means[p]) * factors[p] * scale[lane] + shift[lane];
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
            let mut all = Vec::new();
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; blocked.len()];
                let to = (out.as_mut_slice(), &blocked);
                channel_norm(isa, 1e-5, (&parameters.0, &parameters.1), (&image, &blocked), to);
                all.push(out);
            }
            assert!(all.iter().all(|out| *out == all[0]), "all processors agree");
            for pixel in 0..height * width {
                let row: Vec<f32> = (0..channels).map(|c| x[c * height * width + pixel]).collect();
                for (c, right) in naive(&function, &row).into_iter().enumerate() {
                    let y = all[0][blocked.at(c / LANES, pixel / width, pixel % width) + c % LANES];
                    assert!((f64::from(y) - right).abs() < 5e-6, "{channels} channels");
                }
            }
        }
    }
}
