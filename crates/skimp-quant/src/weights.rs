//! Weights, biases and multipliers of one layer.

use std::sync::Arc;

use skimp_graph::integer::{Activation, Encoding, MacLayer, MacOutput, Requantizer, ValueKind};
use skimp_numerics::FixedMultiplier;

use crate::{QuantizationConfig, WeightScales, mac::RealLayer, pattern::Fused};

/// Bias and residual stay within this many units of the accumulator, so that sums stay far below 2^62 and, with any
/// real layer's products, below 2^53.
const ADDEND_LIMIT: f64 = (1_u64 << 46) as f64;

/// What surrounds a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) input: Encoding,
    pub(crate) input_offset: i32,
    pub(crate) residual: Option<Encoding>,
    pub(crate) output: ValueKind,
    pub(crate) activation: Option<Fused>,
}

/// The multiplier nearest to `factor`; factors below 2^−90 act as 0, which rounds every accumulator the same way.
pub(crate) fn multiplier(factor: f64) -> Result<FixedMultiplier, String> {
    let factor = if factor < 2_f64.powi(-90) { 0.0 } else { factor };
    FixedMultiplier::from_f64(factor).ok_or_else(|| format!("a scaling by {factor:e} (the ranges lie too far apart)"))
}

/// Weight scales: `max|W| / (2^(bits−1) − 1)`, over the layer or over each output channel.
///
/// A channel of zeros takes the scale of the layer, a layer of zeros that of a greatest weight of 1: its bias still needs
/// an accumulator scale. A scale is raised where bias or residual would exceed 2^46 units of the accumulator; such weights
/// are too small to matter beside them.
fn scales(layer: &RealLayer, around: &Surroundings, config: &QuantizationConfig) -> Vec<f64> {
    let greatest_code = f64::from((1_i32 << (config.weight_bits - 1)) - 1);
    let greatest = |list: &[f64]| list.iter().fold(0_f64, |max, w| max.max(w.abs()));
    let magnitudes: Vec<f64> = layer.channels().map(|channel| greatest(&channel)).collect();
    let whole = match greatest(&magnitudes) {
        0.0 => 1.0,
        magnitude => magnitude,
    };
    let residual = around.residual.map_or(0.0, |e| f64::from(e.max_code()) * e.scale);
    let floor = |bias: f64| bias.abs().max(residual) / (around.input.scale * ADDEND_LIMIT);
    match config.weight_scales {
        WeightScales::PerLayer => vec![(whole / greatest_code).max(floor(greatest(&layer.bias)))],
        WeightScales::PerChannel => magnitudes
            .iter()
            .zip(&layer.bias)
            .map(|(&magnitude, &bias)| {
                let magnitude = if magnitude > 0.0 { magnitude } else { whole };
                (magnitude / greatest_code).max(floor(bias))
            })
            .collect(),
    }
}

/// The integer form of `layer`, or what stands against it.
pub(crate) fn integer_layer(
    layer: &RealLayer,
    around: &Surroundings,
    config: &QuantizationConfig,
) -> Result<MacLayer, String> {
    let weight_scales = scales(layer, around, config);
    let scale = |k: usize| weight_scales[if weight_scales.len() == 1 { 0 } else { k }];
    let limit = f64::from((1_i32 << (config.weight_bits - 1)) - 1);
    let mut weight: Arc<[i32]> = std::iter::repeat_n(0, layer.weight_shape.iter().product()).collect();
    let codes = Arc::make_mut(&mut weight).chunks_mut(layer.depth());
    let mut bias = Vec::with_capacity(layer.bias.len());
    for (k, (codes, channel)) in codes.zip(layer.channels()).enumerate() {
        for (code, w) in codes.iter_mut().zip(&*channel) {
            *code = (w / scale(k)).round_ties_even().clamp(-limit, limit) as i32;
        }
        let sum: i64 = codes.iter().map(|&w| i64::from(w)).sum();
        let units = (layer.bias[k] / (around.input.scale * scale(k))).round_ties_even() as i64;
        bias.push(units - i64::from(around.input_offset) * sum);
    }
    let accumulator_scales: Vec<f64> = weight_scales.iter().map(|s| around.input.scale * s).collect();
    let residual = around
        .residual
        .map(|encoding| accumulator_scales.iter().map(|s| multiplier(encoding.scale / s)).collect())
        .transpose()?;
    let activation = activation(around);
    let output = match around.output {
        ValueKind::Codes(encoding) => {
            // The accumulator's sign is a number of its own, in units of 1.
            let units = if activation == Activation::Sign { vec![1.0] } else { accumulator_scales };
            let exact = |s: &f64| multiplier(s / encoding.scale).map(Requantizer::Exact);
            MacOutput::Codes(units.iter().map(exact).collect::<Result<_, _>>()?)
        }
        ValueKind::Real if activation == Activation::Sign => MacOutput::Real(vec![1.0]),
        ValueKind::Real => MacOutput::Real(accumulator_scales),
    };
    Ok(MacLayer {
        layout: layer.layout,
        zero_point: around.input.zero_point,
        input_offset: around.input_offset,
        window: layer.window.clone(),
        groups: layer.groups,
        weight_shape: layer.weight_shape,
        weight,
        weight_bits: config.weight_bits,
        weight_scales,
        bias,
        residual,
        activation,
        output,
    })
}

/// The activation function; a clip of real outputs is left to a float operator, but for its ReLU side.
fn activation(around: &Surroundings) -> Activation {
    match (around.activation, around.output) {
        (None, _) => Activation::None,
        (Some(Fused::Relu), _) => Activation::Relu,
        (Some(Fused::Sign), _) => Activation::Sign,
        (Some(Fused::Clip { min, max }), ValueKind::Codes(encoding)) => {
            let (min, max) = clip_codes(min, max, &encoding);
            Activation::Clamp { min, max }
        }
        (Some(Fused::Clip { min: Some(0.0), .. }), ValueKind::Real) => Activation::Relu,
        (Some(Fused::Clip { .. }), ValueKind::Real) => Activation::None,
    }
}

/// The codes nearest to the bounds of a clip, within the encoding.
pub(crate) fn clip_codes(min: Option<f32>, max: Option<f32>, encoding: &Encoding) -> (i32, i32) {
    let code = |bound: f32| encoding.saturate((f64::from(bound) / encoding.scale).round_ties_even() as i64);
    let max = max.map_or(encoding.max_code(), code);
    // Where min exceeds max, a clip gives max.
    (min.map_or(encoding.min_code(), code).min(max), max)
}

#[cfg(test)]
mod tests {
    use skimp_graph::{
        Window,
        integer::{Encoding, MacLayout, MacOutput, ValueKind},
    };

    use super::{Surroundings, integer_layer};
    use crate::{
        QuantizationConfig, WeightScales,
        mac::{RealLayer, RealWeight},
    };

    fn layer(weight: &[f64], bias: &[f64]) -> RealLayer {
        let k = bias.len();
        RealLayer {
            layout: MacLayout::Rows,
            window: Window::pointwise(2),
            groups: 1,
            weight_shape: [k, weight.len() / k, 1, 1],
            weight: RealWeight::Computed(weight.to_vec()),
            bias: bias.to_vec(),
        }
    }

    fn around(scale: f64) -> Surroundings {
        Surroundings {
            input: Encoding::symmetric(8, false, scale),
            input_offset: 0,
            residual: None,
            output: ValueKind::Real,
            activation: None,
        }
    }

    fn config(weight_bits: u32, weight_scales: WeightScales) -> QuantizationConfig {
        QuantizationConfig { weight_bits, weight_scales, ..QuantizationConfig::default() }
    }

    #[test]
    fn codes_are_symmetric_and_biases_at_accumulator_scale() {
        let real = layer(&[1.0, -1.0, 0.5, 0.25], &[0.75, -0.75]);
        let got = integer_layer(&real, &around(0.5), &config(4, WeightScales::PerLayer)).unwrap();
        // 3.5 and 1.75 units: halves round to even.
        assert_eq!(*got.weight, [7, -7, 4, 2]);
        assert_eq!(got.weight_scales, [1.0 / 7.0]);
        // 0.75 / (0.5 / 7) = 10.5.
        assert_eq!(got.bias, [10, -10]);
        let got = integer_layer(&real, &around(0.5), &config(4, WeightScales::PerChannel)).unwrap();
        assert_eq!(*got.weight, [7, -7, 7, 4]);
        assert_eq!(got.weight_scales, [1.0 / 7.0, 0.5 / 7.0]);
        assert_eq!(got.output, MacOutput::Real(vec![0.5 / 7.0, 0.25 / 7.0]));
    }

    #[test]
    fn offset_leaves_the_sum_alone() {
        let real = layer(&[1.0, -0.5], &[2.0]);
        let mut signed = around(1.0);
        signed.input = Encoding::symmetric(8, true, 1.0);
        let mut offset = signed;
        offset.input_offset = 127;
        let config = config(8, WeightScales::PerLayer);
        let plain = integer_layer(&real, &signed, &config).unwrap();
        let moved = integer_layer(&real, &offset, &config).unwrap();
        for codes in [[-127_i64, 127], [0, 0], [5, -9]] {
            let sum = |layer: &skimp_graph::integer::MacLayer| {
                let products = codes.iter().zip(&*layer.weight);
                let products = products.map(|(a, &w)| (a + i64::from(layer.input_offset)) * i64::from(w));
                layer.bias[0] + products.sum::<i64>()
            };
            assert_eq!(sum(&plain), sum(&moved), "{codes:?}");
        }
    }

    #[test]
    fn dead_and_tiny_channels_keep_their_bias() {
        let real = layer(&[0.5, 0.0, 1e-30, 0.0], &[0.1, 0.3, 0.7, 0.0]);
        let got = integer_layer(&real, &around(0.01), &config(8, WeightScales::PerChannel)).unwrap();
        for k in 0..4 {
            let value = got.bias[k] as f64 * 0.01 * got.weight_scale(k);
            assert!((value - real.bias[k]).abs() < 1e-4, "channel {k}: {value}");
            assert!(got.bias[k].abs() <= 1 << 46);
        }
        let zeros = layer(&[0.0, 0.0], &[0.5]);
        let got = integer_layer(&zeros, &around(1.0), &config(8, WeightScales::PerLayer)).unwrap();
        assert_eq!((got.weight_scales, got.bias), (vec![1.0 / 127.0], vec![64]));
    }
}
