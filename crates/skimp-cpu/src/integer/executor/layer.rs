//! One multiply-accumulate layer, prepared once and run on pieces of a batch.

use skimp_graph::{
    GraphError, Tensor,
    integer::{CodeTensor, Encoding, IntegerTensor, MacLayer, MacLayout, ValueKind},
    shape::LayerShape,
};

use super::{
    conv::{Kernels, PackedWeights, PlaneLayout, Scratch, convolve, exact_chunks},
    finish::{Channel, finish_codes},
    vector::Element,
};
use crate::kernels::Isa;

/// How the sums are made.
#[derive(Debug)]
enum Sums {
    F32(PackedWeights<f32>),
    F64(PackedWeights<f64>),
    /// By the specification's own loops: sums beyond 2^53, or no weights at all.
    Naive,
}

/// Reused memory of one thread.
#[derive(Debug, Default)]
pub(super) struct LayerScratch {
    f32: Scratch<f32>,
    f64: Scratch<f64>,
    sums: Vec<f64>,
}

/// What a layer computed.
#[derive(Debug)]
pub(super) struct LayerResult {
    pub(super) output: IntegerTensor,
    /// Accumulators and residual at accumulator scale, if they were asked for.
    pub(super) accumulators: Option<(Vec<i64>, Option<Vec<i64>>)>,
}

/// A prepared layer.
#[derive(Debug)]
pub(super) struct PreparedLayer {
    sums: Sums,
    channels: Vec<Channel>,
}

/// More pieces than this make f64, which needs one, the faster choice.
const MOST_F32_PIECES: usize = 3;

impl PreparedLayer {
    pub(super) fn new(layer: &MacLayer, input: &Encoding, residual: Option<&Encoding>) -> Self {
        let [k, depth, r, s] = layer.weight_shape;
        let channels: Vec<Channel> = (0..k).map(|k| Channel::new(layer, k)).collect();
        if layer.weight.is_empty() || layer.accumulator_bound(input, residual) >= 1 << 53 {
            return Self { sums: Sums::Naive, channels };
        }
        // Activations go in as distances from their zero point, which the channels' biases make up for.
        let greatest = f64::from(input.reach());
        let shape = (k, depth, r * s);
        let chunks = exact_chunks::<f32>(&layer.weight, depth, r * s, greatest);
        let taps = (r * s) as f64 * greatest * f64::from((1_i32 << (layer.weight_bits - 1)) - 1);
        let exact = chunks.len() <= MOST_F32_PIECES && taps <= f32::LIMIT;
        let sums = if exact {
            Sums::F32(PackedWeights::new(&layer.weight, shape, layer.groups, chunks))
        } else {
            let chunks = exact_chunks::<f64>(&layer.weight, depth, r * s, greatest);
            Sums::F64(PackedWeights::new(&layer.weight, shape, layer.groups, chunks))
        };
        Self { sums, channels }
    }

    /// Runs the layer; accumulators are kept if `observed`.
    pub(super) fn run(
        &self,
        node: &str,
        layer: &MacLayer,
        (input, residual): (&CodeTensor, Option<&CodeTensor>),
        kind: &ValueKind,
        scratch: &mut LayerScratch,
        observed: Observed,
    ) -> Result<LayerResult, GraphError> {
        let shape = layer.shape_on(node, &input.shape)?;
        let output_shape = layer.output_shape(&input.shape, &shape);
        if matches!(self.sums, Sums::Naive) || !PlaneLayout::is_affordable(&shape) {
            let residual = layer.scaled_residual(node, residual, &output_shape)?;
            let accumulators = layer.accumulate(&shape, input, residual.as_deref());
            let output = layer.output(node, &accumulators, output_shape, kind)?;
            return Ok(LayerResult { output, accumulators: Some((accumulators, residual)) });
        }
        layer.check_residual(node, residual, &output_shape)?;
        let n_outputs = shape.n() * shape.output_count();
        let mut sums = std::mem::take(&mut scratch.sums);
        sums.clear();
        sums.resize(n_outputs, 0.0);
        match &self.sums {
            Sums::F32(weights) => products(weights, layer, &shape, input, &mut scratch.f32, &mut sums),
            Sums::F64(weights) => products(weights, layer, &shape, input, &mut scratch.f64, &mut sums),
            Sums::Naive => {}
        }
        let plane = shape.p() * shape.q();
        let residual_codes = residual.map(|codes| codes.data.as_slice());
        let parts = |i: usize| {
            let range = i * plane..(i + 1) * plane;
            (&self.channels[i % shape.k()], residual_codes.map(|codes| &codes[range.clone()]), range)
        };
        let output = match kind {
            ValueKind::Codes(encoding) => {
                let mut data = vec![0; n_outputs];
                for i in 0..shape.n() * shape.k() {
                    let (channel, residual, range) = parts(i);
                    finish_codes(channel, &mut sums[range.clone()], residual, encoding, &mut data[range]);
                }
                IntegerTensor::Codes(CodeTensor { shape: output_shape, data })
            }
            ValueKind::Real => {
                let mut data = vec![0.0; n_outputs];
                for i in 0..shape.n() * shape.k() {
                    let (channel, residual, range) = parts(i);
                    channel.accumulate(&mut sums[range.clone()], residual);
                    channel.reals(&sums[range.clone()], &mut data[range]);
                }
                IntegerTensor::Real(Tensor::from_f32(output_shape, data))
            }
        };
        let accumulators = (observed == Observed::Yes).then(|| {
            let scaled = residual_codes.map(|codes| {
                let channel = |i: usize| &self.channels[i / plane.max(1) % shape.k()];
                codes.iter().enumerate().map(|(i, &code)| channel(i).scaled_residual(code) as i64).collect()
            });
            (sums.iter().map(|&sum| sum as i64).collect(), scaled)
        });
        scratch.sums = sums;
        Ok(LayerResult { output, accumulators })
    }
}

/// Whether accumulators are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    Yes,
    No,
}

/// Sums of all products, `[n, k, p, q]`.
fn products<E: Kernels>(
    weights: &PackedWeights<E>,
    layer: &MacLayer,
    shape: &LayerShape,
    input: &CodeTensor,
    scratch: &mut Scratch<E>,
    sums: &mut [f64],
) {
    if layer.layout == MacLayout::Rows || (shape.is_rows() && shape.n() > 1) {
        return dense_products(weights, shape, (input, layer.zero_point), scratch, sums);
    }
    let layout = PlaneLayout::new(shape, layer.zero_point);
    let (image_len, output_len) = (shape.input_count(), shape.output_count());
    for n in 0..shape.n() {
        let image = &input.data[n * image_len..(n + 1) * image_len];
        let sums = &mut sums[n * output_len..(n + 1) * output_len];
        convolve(Isa::detect(), weights, &layout, shape, image, scratch, sums);
    }
}

/// A dense layer is a 1x1 convolution of one image whose columns are the images of the batch.
fn dense_products<E: Kernels>(
    weights: &PackedWeights<E>,
    shape: &LayerShape,
    (input, zero_point): (&CodeTensor, i32),
    scratch: &mut Scratch<E>,
    sums: &mut [f64],
) {
    let (n, c, k) = (shape.n(), shape.c(), shape.k());
    let as_image = shape.rows_as_columns();
    let columns: Vec<i32> = (0..c * n).map(|i| input.data[i % n * c + i / n]).collect();
    let mut transposed = vec![0.0; k * n];
    let layout = PlaneLayout::new(&as_image, zero_point);
    convolve(Isa::detect(), weights, &layout, &as_image, &columns, scratch, &mut transposed);
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = transposed[i % k * n + i / k];
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::integer::{Activation, MacOutput};
    use skimp_graph::{AutoPad, Window};

    use super::*;

    /// Images of one element under a window of one: with a pad and a wide step it lies on padding.
    #[test]
    fn a_window_on_padding_reads_no_image() {
        let scratch = &mut LayerScratch::default();
        for (pad, groups, expected) in [(1, 1, [7, 8, 7, 8]), (0, 1, [30, 14, 43, 18]), (0, 2, [10, 23, 19, 26])] {
            let layer = MacLayer {
                layout: MacLayout::Planes,
                zero_point: 0,
                input_offset: 0,
                window: Window {
                    kernel: vec![1; 2],
                    strides: vec![3; 2],
                    dilations: vec![1; 2],
                    pads_begin: vec![pad, 0],
                    pads_end: vec![0; 2],
                    auto_pad: AutoPad::NotSet,
                    ceil_mode: false,
                },
                groups,
                weight_shape: [2, 2 / groups, 1, 1],
                weight: if groups == 1 { [3, 4, 1, 1].into() } else { [3, 3].into() },
                weight_bits: 8,
                weight_scales: vec![1.0],
                bias: vec![7, 8],
                residual: None,
                activation: Activation::None,
                output: MacOutput::Real(vec![1.0]),
            };
            let input = CodeTensor { shape: vec![2, 2, 1, 1], data: vec![1, 5, 4, 6] };
            let encoding = Encoding::symmetric(8, false, 1.0);
            let prepared = PreparedLayer::new(&layer, &encoding, None);
            let found = prepared.run("it", &layer, (&input, None), &ValueKind::Real, scratch, Observed::Yes).unwrap();
            let sums = found.accumulators.unwrap().0;
            assert_eq!(sums, layer.accumulate(&layer.shape_on("it", &input.shape).unwrap(), &input, None));
            assert_eq!(sums, expected, "pad {pad}, {groups} groups");
        }
    }
}
