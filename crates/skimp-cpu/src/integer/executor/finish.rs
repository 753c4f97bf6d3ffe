//! From exact sums to outputs: bias, residual, activation function, scaling, rounding, saturation.
//!
//! Everything is f64 arithmetic that is exact or checked: accumulators below 2^53 are exact; a scaled accumulator that
//! lies too near to where rounding turns, or saturation begins, for f64 to tell is done again in integers.

use skimp_graph::integer::{Activation, Encoding, MacLayer, MacOutput, Requantizer};
use skimp_numerics::FixedMultiplier;

/// The constants of one output channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    /// Bias of operands that are distances from the zero point.
    bias: f64,
    /// Factor of the residual, 0 without one.
    residual: f64,
    activation: Activation,
    scaling: Scaling,
}

#[derive(Clone, Copy, Debug)]
enum Scaling {
    Codes {
        multiplier: FixedMultiplier,
        factor: f64,
    },
    /// In another way than the exact one.
    Other(Requantizer),
    Real(f64),
    RealSingle(f32),
}

fn entry<T: Copy>(list: &[T], k: usize) -> T {
    if list.len() == 1 { list[0] } else { list[k] }
}

impl Channel {
    /// Channel `k` of `layer`.
    pub(super) fn new(layer: &MacLayer, k: usize) -> Self {
        let scaling = match &layer.output {
            MacOutput::Codes(requantizers) => match entry(requantizers, k) {
                Requantizer::Exact(multiplier) => Scaling::Codes { multiplier, factor: multiplier.to_f64() },
                other => Scaling::Other(other),
            },
            MacOutput::Real(scales) => Scaling::Real(entry(scales, k)),
            MacOutput::RealSingle(scales) => Scaling::RealSingle(entry(scales, k)),
        };
        Self {
            bias: layer.centered_bias(k) as f64,
            residual: layer.residual.as_ref().map_or(0.0, |multipliers| entry(multipliers, k).to_f64()),
            activation: layer.activation,
            scaling,
        }
    }

    /// Turns sums of products into accumulators.
    #[inline(always)]
    pub(super) fn accumulate(&self, sums: &mut [f64], residual: Option<&[i32]>) {
        match residual {
            None => sums.iter_mut().for_each(|sum| *sum += self.bias),
            Some(codes) => {
                for (sum, &code) in sums.iter_mut().zip(codes) {
                    *sum += self.bias + self.scaled_residual(code);
                }
            }
        }
    }

    /// The residual at accumulator scale. A code has 16 bits and a factor 31, so product, sum and floor are exact.
    #[inline(always)]
    pub(super) fn scaled_residual(&self, code: i32) -> f64 {
        (f64::from(code) * self.residual + 0.5).floor()
    }

    /// Output codes of accumulators.
    #[inline(always)]
    fn codes(&self, accumulators: &[f64], encoding: &Encoding, output: &mut [i32]) {
        // Limits as the scaled accumulator has them, before the zero point.
        let (min, max) = match self.activation {
            Activation::Clamp { min, max } => (min, max),
            Activation::None | Activation::Relu | Activation::Sign => (encoding.min_code(), encoding.max_code()),
        };
        let zero_point = encoding.zero_point;
        let (min, max) = (min - zero_point, max - zero_point);
        let (multiplier, factor) = match self.scaling {
            Scaling::Codes { multiplier, factor } => (multiplier, factor),
            Scaling::Other(requantizer) => {
                for (&accumulator, code) in accumulators.iter().zip(output) {
                    let scaled = requantizer.apply(activated(self.activation, accumulator) as i64);
                    *code = scaled.clamp(i64::from(min), i64::from(max)) as i32 + zero_point;
                }
                return;
            }
            Scaling::Real(_) | Scaling::RealSingle(_) => return,
        };
        let (low, high) = (f64::from(min), f64::from(max));
        // |scaled| < 2^20 has an error below 2^-32; anything larger saturates, whatever its error.
        const NEAR: f64 = 1.0 / (1_u64 << 30) as f64;
        let mut n_unsure = 0_u32;
        for (&accumulator, code) in accumulators.iter().zip(output.iter_mut()) {
            let scaled = activated(self.activation, accumulator) * factor + 0.5;
            let floor = scaled.floor();
            let part = scaled - floor;
            n_unsure += u32::from((part - 0.5).abs() > 0.5 - NEAR);
            *code = floor.max(low).min(high) as i32 + zero_point;
        }
        if n_unsure > 0 {
            for (&accumulator, code) in accumulators.iter().zip(output) {
                let exact = multiplier.apply(activated(self.activation, accumulator) as i64);
                *code = exact.clamp(i64::from(min), i64::from(max)) as i32 + zero_point;
            }
        }
    }

    /// Real outputs of accumulators.
    pub(super) fn reals(&self, accumulators: &[f64], output: &mut [f32]) {
        for (&accumulator, real) in accumulators.iter().zip(output) {
            let activated = activated(self.activation, accumulator);
            *real = match self.scaling {
                Scaling::Real(scale) => (activated * scale) as f32,
                Scaling::RealSingle(scale) => activated as f32 * scale,
                Scaling::Codes { .. } | Scaling::Other(_) => return,
            };
        }
    }
}

#[inline(always)]
fn activated(activation: Activation, accumulator: f64) -> f64 {
    match activation {
        Activation::None | Activation::Clamp { .. } => accumulator,
        Activation::Relu => accumulator.max(0.0),
        Activation::Sign => f64::from(i32::from(accumulator > 0.0) - i32::from(accumulator < 0.0)),
    }
}

/// Turns the sums of one channel into accumulators and these into codes.
#[inline(always)]
fn finish(channel: &Channel, sums: &mut [f64], residual: Option<&[i32]>, encoding: &Encoding, output: &mut [i32]) {
    channel.accumulate(sums, residual);
    match channel.activation {
        // A loop of its own for the common cases lets the compiler drop the other ones.
        Activation::Relu => {
            Channel { activation: Activation::Relu, ..*channel }.codes(sums, encoding, output);
        }
        _ => channel.codes(sums, encoding, output),
    }
}

/// Turns the sums of one channel into accumulators and these into codes, with the best instructions there are.
#[allow(unsafe_code, reason = "vector instructions, chosen after run-time detection")]
pub(super) fn finish_codes(
    channel: &Channel,
    sums: &mut [f64],
    residual: Option<&[i32]>,
    encoding: &Encoding,
    output: &mut [i32],
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512(channel: &Channel, sums: &mut [f64], residual: Option<&[i32]>, to: &Encoding, output: &mut [i32]) {
            finish(channel, sums, residual, to, output);
        }
        #[target_feature(enable = "avx2")]
        fn avx2(channel: &Channel, sums: &mut [f64], residual: Option<&[i32]>, to: &Encoding, output: &mut [i32]) {
            finish(channel, sums, residual, to, output);
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: detected in the line above.
            return unsafe { avx512(channel, sums, residual, encoding, output) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: detected in the line above.
            return unsafe { avx2(channel, sums, residual, encoding, output) };
        }
    }
    finish(channel, sums, residual, encoding, output);
}

#[cfg(test)]
mod tests {
    use skimp_graph::integer::{Activation, Encoding};
    use skimp_numerics::FixedMultiplier;

    use super::{Channel, Scaling, finish_codes};

    /// Ties, limits and their neighbors come out as in integers.
    #[test]
    fn codes_are_those_of_the_multiplier() {
        let encodings = [
            Encoding::symmetric(16, false, 1.0),
            Encoding::symmetric(16, true, 1.0),
            Encoding::symmetric(2, true, 1.0),
            Encoding { zero_point: 7, ..Encoding::symmetric(8, false, 1.0) },
        ];
        let activations = [Activation::None, Activation::Relu, Activation::Sign, Activation::Clamp { min: 0, max: 1 }];
        for factor in [0.0, 0.5, 0.25, 1.0, 3.0, 1.0 / 3.0, 0.1, 1e-7, 2_f64.powi(-40), 12_345.678] {
            let multiplier = FixedMultiplier::from_f64(factor).unwrap();
            let exact = multiplier.to_f64();
            let mut accumulators: Vec<i64> = (-300..=300).collect();
            accumulators.extend([1 << 52, -(1 << 52), (1 << 53) - 1, 65_535, 65_536, -32_768]);
            // Around the halves, where rounding turns.
            for half in [0.5, 1.5, 100.5, 32_767.5, 65_534.5, -0.5, -7.5] {
                let near = (half / exact.max(1e-12)) as i64;
                accumulators.extend(near - 3..=near + 3);
            }
            for encoding in &encodings {
                for activation in activations {
                    let scaling = Scaling::Codes { multiplier, factor: exact };
                    let channel = Channel { bias: 0.0, residual: 0.0, activation, scaling };
                    let mut sums: Vec<f64> = accumulators.iter().map(|&a| a as f64).collect();
                    let mut codes = vec![0; sums.len()];
                    finish_codes(&channel, &mut sums, None, encoding, &mut codes);
                    for (&accumulator, code) in accumulators.iter().zip(codes) {
                        let activated = match activation {
                            Activation::Relu => accumulator.max(0),
                            Activation::Sign => accumulator.signum(),
                            Activation::None | Activation::Clamp { .. } => accumulator,
                        };
                        let expected = multiplier.apply(activated).saturating_add(encoding.zero_point.into());
                        let expected = encoding.saturate(expected);
                        let expected = match activation {
                            Activation::Clamp { min, max } => expected.clamp(min, max),
                            _ => expected,
                        };
                        assert_eq!(code, expected, "{accumulator} by {factor}, {activation:?}, {encoding:?}");
                    }
                }
            }
        }
    }
}
