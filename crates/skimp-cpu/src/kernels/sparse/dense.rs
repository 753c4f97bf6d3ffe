//! Fully connected layers that leave out weights that are zero.
//!
//! An output is a list of (input, weight). Loads of single inputs bound the time, and no gather instruction beats them on
//! every processor, so the kernel is plain code with as many sums as hide the latency of an addition.
//!
//! # Determinism
//! The terms of an output go in turn to four sums, which are added pair by pair, then the bias.

#![allow(unsafe_code, reason = "fused multiply-add where the processor has it; inputs whose places are checked once")]

use rayon::prelude::*;

use crate::kernels::Isa;

/// Sums of an output.
const SUMS: usize = 4;

/// Weights that stay in a second-level cache of 1 MiB.
const CACHED_WEIGHTS: usize = 1 << 18;

/// Share of weights that are not zero below which leaving out zeros pays, by the bench `sparse` on Zen 4: a little below
/// where both kernels took the same time (0.12), with weights that the dense kernel finds in a cache.
const LIMIT_CACHED: f64 = 0.1;

/// The same for more weights, which the dense kernel waits for (0.25 to 0.33).
const LIMIT: f64 = 0.22;

/// The weights that are not zero, output by output.
#[derive(Debug)]
pub(crate) struct PackedSparseDense {
    isa: Isa,
    n_inputs: usize,
    weights: Vec<f32>,
    /// Input of each weight.
    inputs: Vec<u16>,
    /// Where the list of each output begins, and where the last one ends.
    starts: Vec<usize>,
    bias: Vec<f32>,
}

impl PackedSparseDense {
    /// Whether the kernel can do a layer of so many inputs.
    pub(crate) fn supports(n_inputs: usize) -> bool {
        n_inputs <= 1 << 16
    }

    /// Whether leaving out zeros is expected to be faster where `n_weights` are not zero: a rule of the layer alone.
    pub(crate) fn pays([n_inputs, n_outputs]: [usize; 2], n_weights: usize) -> bool {
        let all = n_inputs.saturating_mul(n_outputs);
        let limit = if all > CACHED_WEIGHTS { LIMIT } else { LIMIT_CACHED };
        (n_weights as f64) < limit * all as f64
    }

    /// Packs the matrix whose element for input `i` and output `o` is `weight(i, o)`.
    pub(crate) fn new(
        isa: Isa,
        [n_inputs, n_outputs]: [usize; 2],
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        assert!(Self::supports(n_inputs), "places of inputs fit");
        let bias = (0..n_outputs).map(bias).collect();
        let mut packed = Self { isa, n_inputs, weights: Vec::new(), inputs: Vec::new(), starts: vec![0], bias };
        for o in 0..n_outputs {
            for (i, w) in (0..n_inputs).map(|i| (i, weight(i, o))).filter(|&(_, w)| w != 0.0) {
                packed.weights.push(w);
                packed.inputs.push(i as u16);
            }
            packed.starts.push(packed.weights.len());
        }
        packed
    }

    /// `out = bias + x * weight`; `parallel` splits the outputs over the rayon pool.
    pub(crate) fn run(&self, x: &[f32], out: &mut [f32], parallel: bool) {
        let x = &x[..self.n_inputs];
        let out = &mut out[..self.bias.len()];
        if parallel && self.weights.len() > 16 * 1024 {
            let n = out.len().div_ceil(4 * rayon::current_num_threads());
            out.par_chunks_mut(n).enumerate().for_each(|(idx, out)| self.outputs(idx * n, x, out));
        } else {
            self.outputs(0, x, out);
        }
    }

    fn outputs(&self, first: usize, x: &[f32], out: &mut [f32]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA, or AVX-512 F, which no processor has without them.
            Isa::Avx512 | Isa::Avx2 => unsafe { fused(self, first, x, out) },
            Isa::Portable => self.sums(first, x, out, |w, x, sum| w * x + sum),
        }
    }

    #[inline(always)]
    fn sums(&self, first: usize, x: &[f32], out: &mut [f32], step: impl Fn(f32, f32, f32) -> f32) {
        for (idx, y) in out.iter_mut().enumerate() {
            let list = self.starts[first + idx]..self.starts[first + idx + 1];
            let (weights, inputs) = (&self.weights[list.clone()], &self.inputs[list]);
            // SAFETY: `new` has listed inputs below `n_inputs` only, and `run` cut `x` to that length.
            let at = |input: u16| unsafe { *x.get_unchecked(usize::from(input)) };
            let mut sums = [0.0; SUMS];
            let (weights, last_weights) = weights.as_chunks::<SUMS>();
            let (inputs, last_inputs) = inputs.as_chunks::<SUMS>();
            for (weights, inputs) in weights.iter().zip(inputs) {
                for i in 0..SUMS {
                    sums[i] = step(weights[i], at(inputs[i]), sums[i]);
                }
            }
            for (i, (&w, &input)) in last_weights.iter().zip(last_inputs).enumerate() {
                sums[i] = step(w, at(input), sums[i]);
            }
            *y = self.bias[first + idx] + ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
    }
}

/// # Safety
/// Needs AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn fused(packed: &PackedSparseDense, first: usize, x: &[f32], out: &mut [f32]) {
    packed.sums(first, x, out, |w, x, sum| w.mul_add(x, sum));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::noise;

    #[test]
    fn every_kernel_matches_the_definition() {
        for (n_inputs, n_outputs, keep) in
            [(1, 1, 1), (7, 10, 2), (64, 10, 3), (33, 128, 9), (300, 200, 5), (50, 300, 99)]
        {
            let (mut w, b, x) = (noise(n_inputs * n_outputs, 1), noise(n_outputs, 2), noise(n_inputs, 3));
            w.iter_mut().enumerate().filter(|(i, _)| i % keep != 0).for_each(|(_, w)| *w = 0.0);
            for isa in Isa::available() {
                let extent = [n_inputs, n_outputs];
                let packed = PackedSparseDense::new(isa, extent, |i, o| w[o * n_inputs + i], |o| b[o]);
                let mut out = vec![f32::NAN; n_outputs.div_ceil(16) * 16];
                packed.run(&x, &mut out, false);
                for o in 0..n_outputs {
                    let y = (0..n_inputs).map(|i| f64::from(w[o * n_inputs + i]) * f64::from(x[i])).sum::<f64>();
                    assert!((f64::from(out[o]) - y - f64::from(b[o])).abs() < 1e-5, "{isa:?} {n_inputs} {n_outputs}");
                }
                let mut again = vec![f32::NAN; n_outputs];
                packed.run(&x, &mut again, true);
                assert_eq!(out[..n_outputs], again);
            }
        }
        assert!(PackedSparseDense::supports(65_536) && !PackedSparseDense::supports(65_537));
    }
}
