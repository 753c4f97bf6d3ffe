//! Weights in few bits and their biases.

use super::{QdqConfig, Scheme};
use crate::WeightScales;
use crate::mac::RealLayer;

/// Biases stay within this many units of the accumulator.
const BIAS_LIMIT: f64 = (1_u32 << 30) as f64;

/// The integer form of a layer's constants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) weight: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i8>,
    pub(super) bias: Vec<i32>,
    /// `scale(input) · scale(weight)`.
    pub(super) bias_scales: Vec<f32>,
}

/// Quantizes the constants of `layer` beside an input of the given scale.
pub(super) fn stored(layer: &RealLayer, input_scale: f32, config: &QdqConfig) -> Stored {
    let ranges: Vec<[f64; 2]> = layer.channels().map(|channel| bounds(&channel)).collect();
    let whole = ranges.iter().fold([0.0, 0.0], |whole: [f64; 2], of| [whole[0].min(of[0]), whole[1].max(of[1])]);
    let parts: Vec<([f64; 2], f64)> = match config.weight_scales {
        WeightScales::PerLayer => vec![(whole, greatest(&layer.bias))],
        WeightScales::PerChannel => {
            ranges.into_iter().zip(&layer.bias).map(|(range, bias)| (range, bias.abs())).collect()
        }
    };
    let (mut scales, mut zero_points) = (Vec::new(), Vec::new());
    for (range, bias) in parts {
        let range = if range[1] > range[0] { range } else { whole };
        let (scale, zero_point) = scale(range, config);
        // In f32 steps upwards, so that the rounded scale is no smaller than the floor.
        let floor = (bias / (f64::from(input_scale) * BIAS_LIMIT)) as f32;
        scales.push(scale.max(floor.next_up()).max(f32::MIN_POSITIVE));
        zero_points.push(zero_point);
    }
    let of = |k: usize| if scales.len() == 1 { 0 } else { k };
    let [least, most] = limits(config);
    let code = |w: f64, k: usize| {
        let code = (w / f64::from(scales[of(k)])).round_ties_even() + f64::from(zero_points[of(k)]);
        code.clamp(least, most) as i8
    };
    let mut weight = Vec::with_capacity(layer.weight_shape.iter().product());
    for (k, channel) in layer.channels().enumerate() {
        weight.extend(channel.iter().map(|&w| code(w, k)));
    }
    let bias_scales: Vec<f32> = scales.iter().map(|scale| input_scale * scale).collect();
    let units = |(k, bias): (usize, &f64)| {
        (bias / f64::from(bias_scales[of(k)])).round_ties_even().clamp(-2.0 * BIAS_LIMIT, 2.0 * BIAS_LIMIT - 1.0) as i32
    };
    let bias = layer.bias.iter().enumerate().map(units).collect();
    Stored { weight, scales, zero_points, bias, bias_scales }
}

fn limits(config: &QdqConfig) -> [f64; 2] {
    let half = f64::from(1_u32 << (config.weight_bits - 1));
    match config.weight_scheme {
        Scheme::Symmetric => [1.0 - half, half - 1.0],
        Scheme::Asymmetric => [-half, half - 1.0],
    }
}

fn greatest(list: &[f64]) -> f64 {
    list.iter().fold(0.0, |max, x| max.max(x.abs()))
}

/// The least range that holds 0 and all elements.
fn bounds(list: &[f64]) -> [f64; 2] {
    list.iter().fold([0.0, 0.0], |[low, high], &x| [low.min(x), high.max(x)])
}

fn scale([low, high]: [f64; 2], config: &QdqConfig) -> (f32, i8) {
    let [least, most] = limits(config);
    let span = |range: f64| if range > 0.0 { range } else { 1.0 };
    match config.weight_scheme {
        Scheme::Symmetric => ((span(high.max(-low)) / most) as f32, 0),
        Scheme::Asymmetric => {
            let scale = span(high - low) / (most - least);
            ((scale as f32), (least - (low / scale).round_ties_even()).clamp(least, most) as i8)
        }
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::Window;
    use skimp_graph::integer::MacLayout;

    use super::{Stored, stored};
    use crate::mac::{RealLayer, RealWeight};
    use crate::{QdqConfig, Scheme, WeightScales};

    fn layer(weight: &[f64], bias: &[f64]) -> RealLayer {
        let k = bias.len();
        let window = Window::pointwise(2);
        let weight_shape = [k, weight.len() / k, 1, 1];
        RealLayer {
            layout: MacLayout::Rows,
            window,
            groups: 1,
            weight_shape,
            weight: RealWeight::Computed(weight.to_vec()),
            bias: bias.to_vec(),
        }
    }

    #[test]
    fn codes_follow_scheme_and_granularity() {
        let real = layer(&[1.27, -0.635, 0.5, 0.25], &[0.5, -1.0]);
        let config = QdqConfig { weight_scales: WeightScales::PerLayer, ..QdqConfig::default() };
        let got = stored(&real, 0.5, &config);
        // -63.5 rounds to even, unless the f32 scale says otherwise: 0.01 is above 0.01 as f32.
        assert_eq!((got.weight, got.zero_points), (vec![127, -64, 50, 25], vec![0]));
        assert_eq!((got.scales, got.bias), (vec![0.01], vec![100, -200]));
        let got = stored(&real, 0.5, &QdqConfig::default());
        assert_eq!((got.weight, got.scales.len()), (vec![127, -64, 127, 64], 2));
        let config = QdqConfig { weight_scheme: Scheme::Asymmetric, ..config };
        let Stored { weight, scales, zero_points, .. } = stored(&real, 0.5, &config);
        assert!((scales[0] - 1.905 / 255.0).abs() < 1e-8);
        // -128 - round(-85) = -43.
        assert_eq!((weight, zero_points), (vec![127, -128, 24, -10], vec![-43]));
    }

    #[test]
    fn few_bits_and_dead_channels() {
        let real = layer(&[0.7, -0.3, 0.0, 0.0], &[0.0, 3.0]);
        let got = stored(&real, 1.0, &QdqConfig { weight_bits: 4, ..QdqConfig::default() });
        assert_eq!(got.weight, [7, -3, 0, 0]);
        assert_eq!(got.scales, [0.1, 0.1]);
        assert_eq!(got.bias, [0, 30]);
    }

    #[test]
    fn large_biases_raise_the_scale() {
        let real = layer(&[1e-12, 1e-12], &[7.0, 1e-12]);
        let got = stored(&real, 1e-3, &QdqConfig::default());
        let value = f64::from(got.bias[0]) * f64::from(got.bias_scales[0]);
        assert!((value - 7.0).abs() < 1e-6 && got.bias[0].unsigned_abs() <= 1 << 30, "{value}");
        assert_eq!(got.weight, [0, 127]);
    }
}
