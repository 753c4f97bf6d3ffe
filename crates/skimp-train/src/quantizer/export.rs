//! Trained networks as plain operators.

use skimp_graph::ops::Neuron;
use skimp_graph::{Graph, GraphBuilder, Op, Tensor, ValueId};

use super::blocks::{Block, Chain, steps, vector};
use super::fold::{self, Threshold};
use super::qdq;
use super::{Activations, Quantizer, SignScale, WeightForm, output_channels};
use crate::{Model, Param, TrainError};

/// The weight of a layer as it stands in the file.
struct Weight {
    /// In the graph's order.
    values: Vec<f32>,
    /// What sums are to be multiplied by.
    scales: Vec<f32>,
    /// Whether all elements are −1 and +1.
    is_sign: bool,
}

/// Writes a trained network.
pub(super) fn export(quantizer: &Quantizer, model: &Model) -> Result<Graph, TrainError> {
    let chain = Chain::read(&model.to_graph()?)?;
    match quantizer.activations {
        Activations::Rectifier => rectified(quantizer, model, chain),
        Activations::Codes { .. } => qdq::export(quantizer, model),
        Activations::Sign(_) => thresholds(quantizer, model, &chain),
    }
}

/// A parameter by name.
pub(super) fn param<'a>(model: &'a Model, name: &str) -> Result<&'a Param, TrainError> {
    model.params().iter().find(|param| param.name() == name).ok_or_else(|| TrainError::Data {
        what: "trained network".to_owned(),
        expected: format!("a parameter \"{name}\""),
        found: "none".to_owned(),
    })
}

/// Real activations: what stands for the weights takes their place, and batch norms stay.
fn rectified(quantizer: &Quantizer, model: &Model, mut chain: Chain) -> Result<Graph, TrainError> {
    let n_blocks = chain.blocks.len();
    for (idx, block) in chain.blocks.iter_mut().enumerate() {
        let inputs = block.weight.shape()[1];
        if let Some(form) = quantizer.form((idx, &block.layer.0), n_blocks, inputs) {
            let param = param(model, &block.weight_name())?;
            let scales = form.scales(param.values(), output_channels(param), &[]);
            let mut values = vec![0.0; param.len()];
            form.quantize(param.values(), &scales, &mut values);
            block.weight = Tensor::from_f32(block.weight.shape().to_vec(), param.in_graph_order(&values));
        }
    }
    chain.build()
}

/// Activations of two values: batch norms become biases.
fn thresholds(quantizer: &Quantizer, model: &Model, chain: &Chain) -> Result<Graph, TrainError> {
    let n_blocks = chain.blocks.len();
    let mut weights = Vec::with_capacity(n_blocks);
    for (idx, block) in chain.blocks.iter().enumerate() {
        weights.push(weight(quantizer.form((idx, &block.layer.0), n_blocks, block.weight.shape()[1]), model, block)?);
    }
    let blocks = chain.blocks.iter().filter(|block| !block.pools.is_empty());
    let mut pooled = blocks.filter_map(|block| block.norm.as_ref());
    if let Some(norm) = pooled.find(|norm| norm.scale.iter().any(|&scale| scale < 0.0)) {
        return Err(TrainError::Untrainable {
            node: norm.name.clone(),
            op: "BatchNormalization".to_owned(),
            cause: "its scale is negative behind a pool, where it has no threshold: do not freeze it".to_owned(),
        });
    }
    let mut weights = weights.into_iter();
    let mut is_first = true;
    chain.build_with(
        |_, x| x,
        |builder, block, x| {
            let Some(weight) = weights.next() else { return x };
            let is_whole = !std::mem::replace(&mut is_first, false) && weight.is_sign;
            match &block.activation {
                Some((name, Op::Neuron(neuron))) => {
                    let x = spikes(builder, (block, name), weight, *neuron, x);
                    steps(builder, &block.shapes, x)
                }
                Some((name, _)) => {
                    let x = threshold(builder, block, weight, is_whole, x);
                    let x = sign(builder, name, is_whole, quantizer.is_spiking(), x);
                    steps(builder, &block.shapes, x)
                }
                None => {
                    let x = answers(builder, block, weight, x);
                    steps(builder, &block.shapes, x)
                }
            }
        },
    )
}

/// The weight of a block: signs without their magnitude, or itself.
fn weight(form: Option<WeightForm>, model: &Model, block: &Block) -> Result<Weight, TrainError> {
    let param = param(model, &block.weight_name())?;
    let columns = output_channels(param);
    let Some(form @ WeightForm::Sign { scale, .. }) = form else {
        return Ok(Weight { values: param.graph_values(), scales: vec![1.0; columns], is_sign: false });
    };
    let scales = form.scales(param.values(), columns, &[]);
    let mut signs = vec![0.0; param.len()];
    form.codes(param.values(), &scales, &mut signs);
    let scales = if scale == SignScale::One { vec![1.0; columns] } else { scales };
    Ok(Weight { values: param.in_graph_order(&signs), scales, is_sign: true })
}

/// A layer with the bias of its threshold, and its pools.
fn threshold(builder: &mut GraphBuilder, block: &Block, mut weight: Weight, is_whole: bool, x: ValueId) -> ValueId {
    let thresholds = match &block.norm {
        Some(norm) if is_whole => fold::whole(norm, &weight.scales, block.fan_in()),
        Some(norm) => fold::real(norm, &weight.scales),
        None => vec![Threshold { bias: 0.0, is_turned: false }; block.channels()],
    };
    let filters = weight.values.chunks_mut(block.fan_in().max(1));
    for (filter, threshold) in filters.zip(&thresholds) {
        if threshold.is_turned {
            filter.iter_mut().for_each(|w| *w = -*w);
        }
    }
    let biases: Vec<f32> = thresholds.iter().map(|threshold| threshold.bias).collect();
    let name = &block.layer.0;
    let tensor = Tensor::from_f32(block.weight.shape().to_vec(), weight.values);
    let tensor = builder.constant(block.weight_name(), tensor);
    let bias = vector(builder, format!("{name}.bias"), &biases);
    let x = builder.node(name, block.layer.1.clone(), &[x, tensor, bias]);
    steps(builder, &block.pools, x)
}

/// A layer with its pools and the neurons behind it. Weights of ±1 stay: their batch normalization is the neurons' unit of
/// potential, a threshold and a bias for each channel; it scales the weights that are real.
fn spikes(
    builder: &mut GraphBuilder,
    (block, neuron_name): (&Block, &str),
    mut weight: Weight,
    neuron: Neuron,
    x: ValueId,
) -> ValueId {
    let name = &block.layer.0;
    let n_channels = block.channels();
    let factors = block.norm.as_ref().map_or_else(|| vec![1.0; n_channels], super::blocks::Norm::factors);
    let fan_in = block.fan_in().max(1);
    let (mut biases, mut thresholds) = (Vec::with_capacity(n_channels), Vec::with_capacity(n_channels));
    for (channel, filter) in weight.values.chunks_mut(fan_in).enumerate() {
        let factor = f64::from(factors[channel]);
        let (mean, shift) = block.norm.as_ref().map_or((0.0, 0.0), |norm| (norm.mean[channel], norm.shift[channel]));
        let bias = f64::from(shift) - f64::from(mean) * factor;
        let scale = f64::from(weight.scales[channel]) * factor;
        if weight.is_sign {
            // Where the sum counts for nothing, it counts for next to nothing.
            let unit = scale.abs().max(LEAST_UNIT);
            if scale < 0.0 {
                filter.iter_mut().for_each(|w| *w = -*w);
            }
            biases.push((bias / unit) as f32);
            thresholds.push((f64::from(neuron.threshold) / unit) as f32);
        } else {
            filter.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
            biases.push(bias as f32);
        }
    }
    let tensor = Tensor::from_f32(block.weight.shape().to_vec(), weight.values);
    let tensor = builder.constant(block.weight_name(), tensor);
    let bias = vector(builder, format!("{name}.bias"), &biases);
    let x = builder.node(name, block.layer.1.clone(), &[x, tensor, bias]);
    let x = steps(builder, &block.pools, x);
    let mut inputs = vec![x];
    if weight.is_sign {
        let axes = block.weight.shape().len() - 2;
        let shape = std::iter::once(n_channels).chain(std::iter::repeat_n(1, axes)).collect();
        inputs.push(builder.constant(format!("{neuron_name}.threshold"), Tensor::from_f32(shape, thresholds)));
    }
    builder.node(neuron_name, Op::Neuron(neuron), &inputs)
}

/// The least unit of a potential: thresholds stay finite.
const LEAST_UNIT: f64 = 1e-12;

/// The activation: `Sign`, which never sees 0 behind whole sums; behind real ones one whose value at 0 is +1.
fn sign(builder: &mut GraphBuilder, name: &str, is_whole: bool, is_spiking: bool, mut x: ValueId) -> ValueId {
    let last = if is_spiking { format!("{name}.sign") } else { name.to_owned() };
    if !is_whole {
        x = builder.node(format!("{name}.ternary"), Op::Sign, &[x]);
        let half = builder.constant(format!("{name}.half"), Tensor::from_f32(Vec::new(), vec![0.5]));
        x = builder.node(format!("{name}.shifted"), Op::Add, &[x, half]);
    }
    x = builder.node(last, Op::Sign, &[x]);
    if is_spiking { builder.node(name, Op::Relu, &[x]) } else { x }
}

/// The last layer and its batch normalization as a product and a sum.
fn answers(builder: &mut GraphBuilder, block: &Block, weight: Weight, x: ValueId) -> ValueId {
    let name = &block.layer.0;
    let tensor = Tensor::from_f32(block.weight.shape().to_vec(), weight.values);
    let tensor = builder.constant(block.weight_name(), tensor);
    let x = builder.node(name, block.layer.1.clone(), &[x, tensor]);
    let Some(norm) = &block.norm else { return x };
    let factors = norm.factors();
    let scales: Vec<f32> = factors.iter().zip(&weight.scales).map(|(factor, scale)| factor * scale).collect();
    let sums = factors.iter().zip(norm.mean.iter().zip(&norm.shift));
    let shifts: Vec<f32> =
        sums.map(|(&f, (&mean, &shift))| (f64::from(shift) - f64::from(mean) * f64::from(f)) as f32).collect();
    // One number for each channel, whatever axes follow.
    let axes = block.weight.shape().len() - 2;
    let shape: Vec<usize> = std::iter::once(factors.len()).chain(std::iter::repeat_n(1, axes)).collect();
    let mut constant =
        |part: &str, values| builder.constant(format!("{}.{part}", norm.name), Tensor::from_f32(shape.clone(), values));
    let (scale, shift) = (constant("factor", scales), constant("addend", shifts));
    let x = builder.node(format!("{}.scaled", norm.name), Op::Mul, &[x, scale]);
    builder.node(&norm.name, Op::Add, &[x, shift])
}
