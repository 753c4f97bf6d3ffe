//! Fully connected layers: a vector of inputs times a matrix, 16 outputs to a vector.

#![allow(unsafe_code, reason = "vector kernels")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::{Isa, LANES, multiply_add};
use rayon::prelude::*;

/// Blocks of 16 outputs computed together: enough independent sums to hide the latency of an addition.
const BLOCKS: usize = 8;

/// A matrix `[inputs][outputs]` cut into strips of up to 128 outputs, each strip row-major.
#[derive(Debug)]
pub(crate) struct PackedDense {
    isa: Isa,
    n_inputs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedDense {
    /// Packs the matrix whose element for input `i` and output `o` is `weight(i, o)`.
    pub(crate) fn new(
        isa: Isa,
        [n_inputs, n_outputs]: [usize; 2],
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let n_padded = n_outputs.div_ceil(LANES) * LANES;
        let mut weights = Vec::with_capacity(n_inputs * n_padded);
        for strip in (0..n_padded).step_by(BLOCKS * LANES) {
            let outputs = strip..n_padded.min(strip + BLOCKS * LANES);
            for i in 0..n_inputs {
                weights.extend(outputs.clone().map(|o| if o < n_outputs { weight(i, o) } else { 0.0 }));
            }
        }
        let bias = (0..n_padded).map(|o| if o < n_outputs { bias(o) } else { 0.0 }).collect();
        Self { isa, n_inputs, weights, bias }
    }

    /// `out = bias + x * weight`, each output one chain over the inputs in order.
    ///
    /// `out` has room for the outputs, rounded up to 16; `parallel` splits the strips over the rayon pool.
    pub(crate) fn run(&self, x: &[f32], out: &mut [f32], parallel: bool) {
        assert!(x.len() >= self.n_inputs, "the input is complete");
        let strips = out[..self.bias.len()].chunks_mut(BLOCKS * LANES).enumerate();
        if parallel && self.weights.len() > 64 * 1024 {
            let strips: Vec<_> = strips.collect();
            strips.into_par_iter().for_each(|(idx, out)| self.strip(idx, x, out));
        } else {
            strips.for_each(|(idx, out)| self.strip(idx, x, out));
        }
    }

    fn strip(&self, idx: usize, x: &[f32], out: &mut [f32]) {
        let first = idx * BLOCKS * LANES;
        let weights = &self.weights[first * self.n_inputs..][..out.len() * self.n_inputs];
        out.copy_from_slice(&self.bias[first..first + out.len()]);
        let x = &x[..self.n_inputs];
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor feature.
            Isa::Avx512 => unsafe { avx512(x, weights, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features.
            Isa::Avx2 => unsafe { avx2(x, weights, out) },
            Isa::Portable => portable(x, weights, out),
        }
    }
}

/// # Safety
/// Needs AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(x: &[f32], weights: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { accumulate::<Avx512, BLOCKS>(x, weights, out) }
}

/// # Safety
/// Needs AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(x: &[f32], weights: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { accumulate::<Avx2, 4>(x, weights, out) }
}

/// # Safety
/// Needs the processor features of `V`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn accumulate<V: Lanes, const B: usize>(x: &[f32], weights: &[f32], out: &mut [f32]) {
    let width = out.len();
    assert!(weights.len() >= x.len() * width && width.is_multiple_of(LANES), "weights of whole vectors");
    let mut start = 0;
    while start < width {
        let step = if width - start >= B * LANES { B } else { 1 };
        // SAFETY: `start + step * 16 <= width`, and row `i` of the weights starts at `i * width`.
        unsafe {
            let at = |i: usize| weights.as_ptr().add(i * width + start);
            let out = out.as_mut_ptr().add(start);
            if step == B {
                let mut sums = [V::splat(0.0); B];
                for b in 0..B {
                    sums[b] = V::load(out.add(b * LANES));
                }
                for (i, &x) in x.iter().enumerate() {
                    let x = V::splat(x);
                    for b in 0..B {
                        sums[b] = sums[b].fused(V::load(at(i).add(b * LANES)), x);
                    }
                }
                for b in 0..B {
                    sums[b].store(out.add(b * LANES));
                }
            } else {
                let mut sum = V::load(out);
                for (i, &x) in x.iter().enumerate() {
                    sum = sum.fused(V::load(at(i)), V::splat(x));
                }
                sum.store(out);
            }
        }
        start += step * LANES;
    }
}

/// The safe twin.
fn portable(x: &[f32], weights: &[f32], out: &mut [f32]) {
    for (&x, weights) in x.iter().zip(weights.chunks_exact(out.len())) {
        for (y, &w) in out.iter_mut().zip(weights) {
            *y = multiply_add(w, x, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    #[test]
    fn every_kernel_matches_the_definition() {
        for (n_inputs, n_outputs) in [(1, 1), (7, 10), (64, 10), (33, 128), (20, 200), (50, 300)] {
            let (w, b, x) = (noise(n_inputs * n_outputs, 1), noise(n_outputs, 2), noise(n_inputs, 3));
            for isa in Isa::available() {
                let dense = PackedDense::new(isa, [n_inputs, n_outputs], |i, o| w[o * n_inputs + i], |o| b[o]);
                let mut out = vec![f32::NAN; n_outputs.div_ceil(16) * 16];
                dense.run(&x, &mut out, false);
                for o in 0..n_outputs {
                    let y = (0..n_inputs).map(|i| f64::from(w[o * n_inputs + i]) * f64::from(x[i])).sum::<f64>();
                    assert!((f64::from(out[o]) - y - f64::from(b[o])).abs() < 1e-5, "{isa:?} {n_inputs} {n_outputs}");
                }
                let mut again = vec![f32::NAN; out.len()];
                dense.run(&x, &mut again, true);
                assert_eq!(out, again);
            }
        }
    }
}
