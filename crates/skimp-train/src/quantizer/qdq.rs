//! Trained codes as a network in QDQ form.

use skimp_graph::integer::{CodeType, WEIGHT_BITS_KEY};
use skimp_graph::{Graph, GraphBuilder, Op, Tensor, ValueId, ops};

use super::blocks::{Block, Chain, steps, vector};
use super::export::param;
use super::{ActivationCodes, INPUT_CODES, Quantizer, WeightForm, output_channels};
use crate::{Model, TrainError};

/// How a value is stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    codes: ActivationCodes,
    scale: f32,
}

impl Stored {
    fn code_type(&self) -> CodeType {
        if self.codes.is_signed { CodeType::I8 } else { CodeType::U8 }
    }
}

/// A weight and a bias as they stand in the file.
struct Layer {
    bits: u32,
    weight: Option<Tensor>,
    scales: Vec<f32>,
    bias: Vec<f32>,
}

/// Writes a trained network: images and activations behind a pair of `QuantizeLinear` and `DequantizeLinear`, with a `Clip` of
/// the codes where they are fewer than their type has; weights in int8; batch normalizations in scales and real biases, which
/// integer engines round to whole accumulators.
pub(super) fn export(quantizer: &Quantizer, model: &Model) -> Result<Graph, TrainError> {
    let graph = model.to_graph()?;
    let chain = Chain::read(&graph)?;
    let codes = quantizer.codes(&chain);
    let stored = |name: &str| {
        let found = codes.iter().find(|(node, _)| node == name);
        let Some((_, codes)) = found else { return Err(missing(name)) };
        let value = param(model, &format!("{name}.step"))?.values()[0];
        Ok(Stored { codes: *codes, scale: codes.step_of(value) })
    };
    let n_blocks = chain.blocks.len();
    let mut layers = Vec::with_capacity(n_blocks);
    for (idx, block) in chain.blocks.iter().enumerate() {
        let form = quantizer
            .form((idx, &block.layer.0), n_blocks, block.weight.shape()[1])
            .ok_or_else(|| missing(&block.layer.0))?;
        let layer = layer(form, model, block)?;
        let output = block.activation.as_ref().map(|(name, _)| stored(name)).transpose()?;
        layers.push((layer, output));
    }
    let widths = widths(chain.blocks.iter().map(|block| block.layer.0.as_str()).zip(layers.iter().map(|l| l.0.bits)));
    let first = stored(INPUT_CODES)?;
    let mut layers = layers.into_iter();
    let graph = chain.build_with(
        |builder, x| coded(builder, INPUT_CODES, first, x),
        |builder, block, x| match layers.next() {
            Some((layer, output)) => write(builder, block, layer, output, x),
            None => x,
        },
    )?;
    Ok(graph.with_metadata(WEIGHT_BITS_KEY, widths))
}

fn missing(name: &str) -> TrainError {
    TrainError::Data {
        what: "trained network".to_owned(),
        expected: format!("codes of \"{name}\""),
        found: "none".to_owned(),
    }
}

/// The most usual width, then those of other layers.
fn widths<'a>(layers: impl Iterator<Item = (&'a str, u32)> + Clone) -> String {
    let count = |bits: u32| layers.clone().filter(|layer| layer.1 == bits).count();
    let usual = (2..=8).max_by_key(|&bits| count(bits)).unwrap_or(8);
    let others = layers.clone().filter(|layer| layer.1 != usual).map(|(name, bits)| format!("\n{bits} {name}"));
    std::iter::once(usual.to_string()).chain(others).collect()
}

/// The codes of a layer with its batch normalization folded in.
fn layer(form: WeightForm, model: &Model, block: &Block) -> Result<Layer, TrainError> {
    let latent = param(model, &block.weight_name())?;
    let columns = output_channels(latent);
    let learned = match form.learns_step() {
        true => param(model, &format!("{}.step", block.layer.0))?.values(),
        false => &[],
    };
    let steps = form.scales(latent.values(), columns, learned);
    let mut codes = vec![0.0; latent.len()];
    form.codes(latent.values(), &steps, &mut codes);
    let mut codes = latent.in_graph_order(&codes);
    let norm = block.norm.as_ref().ok_or_else(|| missing(&block.layer.0))?;
    let factors = norm.factors();
    let (mut scales, mut bias) = (Vec::new(), Vec::new());
    for (channel, filter) in codes.chunks_mut(block.fan_in().max(1)).enumerate() {
        let factor = f64::from(factors[channel]);
        let shift = f64::from(norm.shift[channel]) - f64::from(norm.mean[channel]) * factor;
        // Scales are positive: the sign of a factor is the filter's, and no factor is no filter.
        let scale = (f64::from(steps[channel]) * factor.abs()) as f32;
        let is_normal = scale.is_normal();
        let scale = if is_normal { scale } else { steps[channel] };
        if factor < 0.0 || !is_normal {
            filter.iter_mut().for_each(|code| *code = if is_normal { -*code } else { 0.0 });
        }
        scales.push(scale);
        bias.push(shift as f32);
    }
    let weight = CodeType::I8.tensor(block.weight.shape().to_vec(), codes.into_iter().map(|code| code as i32));
    let bits = match form {
        WeightForm::Codes { bits, .. } => bits,
        WeightForm::Sign { .. } => 2,
    };
    Ok(Layer { bits, weight, scales, bias })
}

/// A layer, its activation in codes, its pools on the same codes.
fn write(builder: &mut GraphBuilder, block: &Block, layer: Layer, output: Option<Stored>, x: ValueId) -> ValueId {
    let name = &block.layer.0;
    let n = layer.scales.len();
    let weight = layer.weight.unwrap_or_else(|| Tensor::from_f32(Vec::new(), Vec::new()));
    let zeros = CodeType::I8.tensor(vec![n], std::iter::repeat_n(0, n));
    let weight = constant(builder, &block.weight_name(), weight, &layer.scales, zeros);
    let bias = vector(builder, format!("{name}.bias"), &layer.bias);
    let mut x = builder.node(name, block.layer.1.clone(), &[x, weight, bias]);
    let (Some((activation, _)), Some(stored)) = (&block.activation, output) else {
        return steps(builder, &block.shapes, x);
    };
    x = builder.node(activation, Op::Relu, &[x]);
    x = coded(builder, activation, stored, x);
    for (name, op) in block.pools.iter().chain(&block.shapes) {
        x = builder.node(name, op.clone(), &[x]);
        x = coded(builder, name, stored, x);
    }
    x
}

/// A constant in codes, one scale for each entry of its first axis.
fn constant(builder: &mut GraphBuilder, name: &str, codes: Tensor, scales: &[f32], zeros: Option<Tensor>) -> ValueId {
    let codes = builder.constant(format!("{name}.codes"), codes);
    let scales = vector(builder, format!("{name}.scale"), scales);
    let mut inputs = vec![codes, scales];
    inputs.extend(zeros.map(|zeros| builder.constant(format!("{name}.zero_point"), zeros)));
    builder.node(format!("{name}.dequantize"), Op::DequantizeLinear(ops::DequantizeLinear { axis: 0 }), &inputs)
}

/// A value in codes and back.
fn coded(builder: &mut GraphBuilder, name: &str, stored: Stored, x: ValueId) -> ValueId {
    let scale = builder.constant(format!("{name}.scale"), Tensor::from_f32(Vec::new(), vec![stored.scale]));
    let zero_point = stored.code_type().tensor(Vec::new(), std::iter::once(0));
    let mut parameters = vec![scale];
    parameters.extend(zero_point.map(|zero| builder.constant(format!("{name}.zero_point"), zero)));
    let quantize = Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 });
    let inputs: Vec<ValueId> = std::iter::once(x).chain(parameters.iter().copied()).collect();
    let mut codes = builder.node(format!("{name}.quantize"), quantize, &inputs);
    let [low, high] = stored.codes.ends();
    if (low as i32, high as i32) != (stored.code_type().min(), stored.code_type().max()) {
        let clip = Op::Clip(ops::Clip { min: Some(low), max: Some(high) });
        codes = builder.node(format!("{name}.clip"), clip, &[codes]);
    }
    let inputs: Vec<ValueId> = std::iter::once(codes).chain(parameters).collect();
    builder.node(format!("{name}.dequantize"), Op::DequantizeLinear(ops::DequantizeLinear { axis: 1 }), &inputs)
}
