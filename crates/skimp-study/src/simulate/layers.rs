//! The layers of an integer network as simulators see them, and what the images show of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use skimp_graph::integer::{Activation, MacLayout, ValueKind};
use skimp_memory::bytes_of;
use skimp_quant::{LayerGeometry, QuantizedLayer};
use skimp_report::records::{Coverage, LayerStatistics, Verdict};
use skimp_sim::{LayerKind, LayerWorkload, NegativeSums, Nonlinearity, OtherLayer};

use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::simulate::config::LayersConfig;
use crate::simulate::other_layers::other_layers;
use crate::simulate::trace::{ImageTrace, LayerOperands};
use crate::stages::coverage::NetworkWork;
use crate::stages::quantized::Quantized;

/// Scales and what else a reader of a dump needs.
#[derive(Clone, Debug)]
pub(crate) struct LayerScales {
    pub(crate) activation: f64,
    pub(crate) weights: Vec<f64>,
    pub(crate) residual: bool,
}

/// One simulated layer and its sums over images.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedLayer {
    /// Node of the integer network.
    pub(crate) node_idx: usize,
    /// What is the same for every image.
    pub(crate) operands: Arc<LayerOperands>,
    pub(crate) scales: LayerScales,
    operator: &'static str,
    /// Rows of a dense layer that one image gives; 1 for any other layer.
    rows: usize,
    /// How often an image runs it.
    n_steps: u64,
    shown: ImageCounts,
}

/// What images show of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ImageCounts {
    n_activations: u64,
    n_nonzero_activations: u64,
    n_activation_bits: u64,
    n_outputs: u64,
    n_positive_outputs: u64,
}

impl SimulatedLayer {
    fn new(node_idx: usize, operator: &'static str, rows: usize, operands: LayerOperands, scales: LayerScales) -> Self {
        Self {
            node_idx,
            operands: Arc::new(operands),
            scales,
            operator,
            rows,
            n_steps: 1,
            shown: ImageCounts::default(),
        }
    }

    /// Operator as in ONNX.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Dense multiply-accumulates of one image, over all time steps.
    pub(crate) fn macs(&self) -> u64 {
        self.operands.workload.shape.dense_macs() * self.n_steps
    }

    /// Bytes of what one image shows of it: a [`ImageTrace`].
    pub(crate) fn bytes_per_image(&self) -> u64 {
        let shape = &self.operands.workload.shape;
        let sums = if self.scales.residual { 2 } else { 1 };
        bytes_of::<i32>(shape.input_count() as u64) + sums * bytes_of::<i64>(shape.output_count() as u64)
    }

    /// Values of one image as the workload has them, channel by channel, from those of the integer network, which has
    /// the rows of a dense layer one after another.
    pub(crate) fn by_channel<'v, T: Copy>(&self, values: &'v [T]) -> Cow<'v, [T]> {
        if self.rows == 1 { values.into() } else { transposed(values, self.rows).into() }
    }

    /// Changes values of one image of the integer network as the workload has them: channel by channel.
    pub(crate) fn change<T: Copy, R>(&self, values: &mut [T], change: impl FnOnce(&mut [T]) -> R) -> R {
        if self.rows == 1 {
            return change(values);
        }
        let mut channels = transposed(values, self.rows);
        let result = change(&mut channels);
        values.copy_from_slice(&transposed(&channels, values.len() / self.rows));
        result
    }

    /// What one image shows of it.
    pub(crate) fn shown_by(&self, image: &ImageTrace) -> ImageCounts {
        let offset = self.operands.input_offset;
        let operands = || image.activation.iter().map(|&code| code + offset);
        ImageCounts {
            n_activations: image.activation.len() as u64,
            n_nonzero_activations: operands().filter(|&operand| operand != 0).count() as u64,
            n_activation_bits: operands().map(n_one_bits).sum::<u64>(),
            n_outputs: image.sums.len() as u64,
            n_positive_outputs: image.sums.iter().filter(|&&sum| sum > 0).count() as u64,
        }
    }

    /// Adds what one image shows.
    pub(crate) fn add(&mut self, image: &ImageCounts) {
        self.shown.n_activations += image.n_activations;
        self.shown.n_nonzero_activations += image.n_nonzero_activations;
        self.shown.n_activation_bits += image.n_activation_bits;
        self.shown.n_outputs += image.n_outputs;
        self.shown.n_positive_outputs += image.n_positive_outputs;
    }

    /// Shape, work and sparsity.
    pub(crate) fn statistics(&self) -> LayerStatistics {
        let workload = &self.operands.workload;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let weights = &self.operands.weights;
        let (input_shape, weight_shape, output_shape) = shapes(workload, self.rows);
        LayerStatistics {
            name: workload.name.clone(),
            operator: self.operator().to_owned(),
            input_shape,
            weight_shape,
            output_shape,
            macs: self.macs(),
            weights: workload.shape.weight_count() as u64,
            activation_density: share(self.shown.n_nonzero_activations, self.shown.n_activations),
            weight_density: share(weights.iter().filter(|&&code| code != 0).count() as u64, weights.len() as u64),
            activation_bit_density: Some(share(
                self.shown.n_activation_bits,
                self.shown.n_activations * magnitude_bits(workload.activation_bits, workload.activation_signed),
            )),
            weight_bit_density: Some(share(
                weights.iter().copied().map(n_one_bits).sum(),
                weights.len() as u64 * magnitude_bits(workload.weight_bits, true),
            )),
            output_density: workload
                .nonlinearity
                .is_relu()
                .then(|| share(self.shown.n_positive_outputs, self.shown.n_outputs)),
            negative_sums_unseen: match &workload.negatives {
                NegativeSums::Unseen => Verdict::yes(),
                obstacle => Verdict::no(obstacle.to_string()),
            },
        }
    }
}

/// `values` of `rows` rows, column by column.
fn transposed<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    let columns = values.len() / rows.max(1);
    (0..values.len()).map(|idx| values[idx % rows * columns + idx / rows]).collect()
}

/// One bits in the magnitude of a code.
fn n_one_bits(code: i32) -> u64 {
    u64::from(code.unsigned_abs().count_ones())
}

/// Bits that a magnitude can have.
fn magnitude_bits(bits: u32, signed: bool) -> u64 {
    u64::from(bits) - u64::from(signed)
}

fn shapes(workload: &LayerWorkload, rows: usize) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let wide = |shape: &[usize]| shape.iter().map(|&extent| extent as u64).collect();
    let shape = &workload.shape;
    let (c, k) = (shape.c(), shape.k());
    match workload.kind {
        LayerKind::Conv if rows > 1 => (wide(&[rows, c]), wide(&[k, c]), wide(&[rows, k])),
        LayerKind::Conv => {
            let weight = [k, shape.channels_per_group(), shape.r(), shape.s()];
            (wide(&[1, c, shape.h(), shape.w()]), wide(&weight), wide(&[1, k, shape.p(), shape.q()]))
        }
        LayerKind::Dense => (wide(&[1, c]), wide(&[k, c]), wide(&[1, k])),
    }
}

/// The layers of a network as a run of simulators takes them.
#[derive(Clone, Debug)]
pub(crate) struct NetworkLayers {
    /// Those with weights that are simulated, in execution order.
    pub(crate) simulated: Vec<SimulatedLayer>,
    /// Those without weights.
    pub(crate) others: Arc<Vec<OtherLayer>>,
    /// The part of the network's work that the simulated ones cover.
    pub(crate) covered: Coverage,
    /// The part of it that the integer network does in integers.
    pub(crate) in_integers: Coverage,
}

impl NetworkLayers {
    /// The layers of `quantized` for the input that `images` are bound to.
    pub(crate) fn of(quantized: &Quantized, images: &Images, config: &LayersConfig) -> Result<Self, StudyError> {
        let (input, batch, integer) = (images.input(), images.images_at_once(1), &quantized.integer);
        let extents = quantized.executor.extents(input, batch)?;
        let ChosenLayers { mut simulated, left_out } = choose_of(integer, &extents, batch, config)?;
        simulated.iter_mut().for_each(|layer| layer.n_steps = quantized.executor.n_steps() as u64);
        let work = NetworkWork::new(&quantized.network, input)?;
        let workloads: Vec<_> = simulated.iter().map(|layer| &layer.operands.workload).collect();
        let covered = work.simulated(&workloads, &integer.layers, &left_out);
        let in_integers = work.in_integers(integer.graph.multipliers());
        let others = other_layers(&quantized.network, &integer.graph, input, (&extents, batch))?;
        Ok(Self { simulated, others: Arc::new(others), covered, in_integers })
    }
}

/// The layers of an integer network that a run simulates, and the others.
#[derive(Debug)]
pub(crate) struct ChosenLayers {
    /// Those simulated, in execution order.
    pub(crate) simulated: Vec<SimulatedLayer>,
    /// Why the run leaves out the others, by name.
    pub(crate) left_out: HashMap<String, String>,
}

/// Chooses the layers that a run simulates, for a network that takes `batch` images at once.
#[cfg(test)]
pub(crate) fn choose(
    quantized: &skimp_quant::Quantized,
    input: skimp_data::InputSpec,
    batch: usize,
    config: &LayersConfig,
) -> Result<ChosenLayers, StudyError> {
    choose_of(quantized, &[vec![batch, input.channels, input.height, input.width]], batch, config)
}

/// As [`choose`], for inputs of any extents.
pub(crate) fn choose_of(
    quantized: &skimp_quant::Quantized,
    inputs: &[Vec<usize>],
    batch: usize,
    config: &LayersConfig,
) -> Result<ChosenLayers, StudyError> {
    let mut chosen = ChosenLayers { simulated: Vec::new(), left_out: HashMap::new() };
    for (geometry, quantized_layer) in skimp_quant::layers(quantized, inputs)?.iter().zip(&quantized.layers) {
        let is_dense = geometry.layer.layout == MacLayout::Rows;
        let obstacle = match (is_dense, config.dense, config.convolutions) {
            (true, false, _) => Some("the run leaves dense layers out"),
            (false, _, false) => Some("the run leaves convolutions out"),
            _ if !geometry.shape.n().is_multiple_of(batch) => Some("its rows do not belong to single images"),
            _ => None,
        };
        match obstacle {
            Some(reason) => {
                chosen.left_out.insert(geometry.name.to_owned(), reason.to_owned());
            }
            None => {
                let rows = geometry.shape.n() / batch;
                let first = chosen.simulated.is_empty();
                chosen.simulated.push(simulated_layer(geometry, quantized_layer, rows, first)?);
            }
        }
    }
    if chosen.simulated.is_empty() {
        return Err(StudyError::NoLayers { network: quantized.graph.name.clone() });
    }
    Ok(chosen)
}

fn simulated_layer(
    geometry: &LayerGeometry<'_>,
    quantized: &QuantizedLayer,
    rows: usize,
    first: bool,
) -> Result<SimulatedLayer, StudyError> {
    let layer = geometry.layer;
    let weights = Arc::clone(&layer.weight);
    // Several rows share the weights as the windows of a convolution do.
    let (kind, shape) = match (layer.layout, rows) {
        (MacLayout::Rows, 1) => (LayerKind::Dense, geometry.shape.with_images(1)),
        (MacLayout::Rows, _) => (LayerKind::Conv, geometry.shape.with_images(rows).rows_as_columns()),
        (MacLayout::Line | MacLayout::Planes, _) => (LayerKind::Conv, geometry.shape.with_images(1)),
    };
    let workload = LayerWorkload {
        name: geometry.name.to_owned(),
        kind,
        shape,
        weight_bits: layer.weight_bits,
        activation_bits: geometry.input.bits,
        activation_signed: geometry.operands_signed,
        padding_code: layer.zero_point + layer.input_offset,
        bias: layer.residual.is_some() || layer.bias.iter().any(|&bias| bias != 0),
        nonlinearity: nonlinearity(geometry),
        first,
        negatives: geometry.negatives.clone(),
        weights: Some(weights.clone()),
    }
    .validated()?;
    let scales = LayerScales {
        activation: geometry.input.scale,
        weights: layer.weight_scales.clone(),
        residual: layer.residual.is_some(),
    };
    let operands = LayerOperands {
        workload,
        weights,
        bias: layer.bias.as_slice().into(),
        zero_point: layer.zero_point,
        input_offset: layer.input_offset,
        codes_signed: geometry.input.signed,
    };
    Ok(SimulatedLayer::new(geometry.node_idx, quantized.op, rows, operands, scales))
}

/// What an output does with negative sums and with great ones. Codes that saturate at real 0 are a ReLU.
fn nonlinearity(geometry: &LayerGeometry<'_>) -> Nonlinearity {
    let starts_at_zero = match geometry.output {
        ValueKind::Codes(encoding) => geometry.layer.code_range(&encoding).0 == encoding.zero_point,
        ValueKind::Real => false,
    };
    match geometry.layer.activation {
        Activation::Relu => Nonlinearity::Relu,
        Activation::Clamp { .. } if starts_at_zero => Nonlinearity::ClippedRelu,
        Activation::None if starts_at_zero => Nonlinearity::Relu,
        Activation::Sign => Nonlinearity::Sign,
        Activation::Clamp { .. } | Activation::None => Nonlinearity::None,
    }
}
