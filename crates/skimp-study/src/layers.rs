//! The layers of an integer network as simulators see them, and what the images show of them.

use std::sync::Arc;

use skimp_data::InputSpec;
use skimp_graph::integer::Activation;
use skimp_quant::{LayerGeometry, Quantized, QuantizedLayer};
use skimp_report::records::{EndStatus, LayerStatistics};
use skimp_sim::{EndOutcome, EndSupport, LayerKind, LayerResult, LayerWorkload, Nonlinearity};

use crate::trace::{ImageTrace, LayerOperands};
use crate::{LayersConfig, StudyError};

/// Scales and what else a reader of a dump needs.
#[derive(Clone, Debug)]
pub(crate) struct LayerScales {
    pub(crate) activation: f64,
    pub(crate) weights: Vec<f64>,
    pub(crate) residual: bool,
}

/// One simulated layer and its sums over images.
#[derive(Debug)]
pub(crate) struct SimulatedLayer {
    /// Node of the integer network.
    pub(crate) node_idx: usize,
    /// What is the same for every image.
    pub(crate) operands: Arc<LayerOperands>,
    pub(crate) scales: LayerScales,
    operator: &'static str,
    n_activations: u64,
    n_nonzero_activations: u64,
    n_activation_bits: u64,
    n_outputs: u64,
    n_positive_outputs: u64,
    end_planes: Vec<u64>,
}

impl SimulatedLayer {
    pub(crate) fn new(node_idx: usize, operator: &'static str, operands: LayerOperands, scales: LayerScales) -> Self {
        Self {
            node_idx,
            operands: Arc::new(operands),
            scales,
            operator,
            n_activations: 0,
            n_nonzero_activations: 0,
            n_activation_bits: 0,
            n_outputs: 0,
            n_positive_outputs: 0,
            end_planes: Vec::new(),
        }
    }

    /// Operator as in ONNX.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Adds what one image shows.
    pub(crate) fn add_image(&mut self, image: &ImageTrace) {
        self.n_activations += image.activation.len() as u64;
        self.n_nonzero_activations += image.activation.iter().filter(|&&code| code != 0).count() as u64;
        self.n_activation_bits += n_one_bits(&image.activation);
        self.n_outputs += image.sums.len() as u64;
        self.n_positive_outputs += image.sums.iter().filter(|&&sum| sum > 0).count() as u64;
        if let Some(planes) = image.negative.get().or(image.non_positive.get()) {
            self.end_planes.resize(self.operands.workload.weight_bits as usize, 0);
            for &plane in planes.iter() {
                self.end_planes[usize::from(plane) - 1] += 1;
            }
        }
    }

    /// Whether early negative detection ran, for accelerators that know it.
    pub(crate) fn end_status(result: &LayerResult) -> Option<EndStatus> {
        result.end.as_ref().map(|outcome| match outcome {
            EndOutcome::On => EndStatus::on(),
            EndOutcome::Off(reason) => EndStatus::off(reason.as_str()),
        })
    }

    /// Shape, work and sparsity.
    pub(crate) fn statistics(&self) -> LayerStatistics {
        let workload = &self.operands.workload;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let weights = &self.operands.weights;
        let n_ended: u64 = self.end_planes.iter().sum();
        let planes: u64 = (1..).zip(&self.end_planes).map(|(plane, &count)| plane * count).sum();
        let (input_shape, weight_shape, output_shape) = shapes(workload);
        LayerStatistics {
            name: workload.name.clone(),
            operator: self.operator().to_owned(),
            input_shape,
            weight_shape,
            output_shape,
            macs: workload.dense_macs(),
            weights: workload.weight_count() as u64,
            activation_density: share(self.n_nonzero_activations, self.n_activations),
            weight_density: share(weights.iter().filter(|&&code| code != 0).count() as u64, weights.len() as u64),
            activation_bit_density: Some(share(
                self.n_activation_bits,
                self.n_activations * magnitude_bits(workload.activation_bits, self.operands.codes_signed),
            )),
            weight_bit_density: Some(share(
                n_one_bits(weights),
                weights.len() as u64 * magnitude_bits(workload.weight_bits, true),
            )),
            output_density: (workload.nonlinearity != Nonlinearity::None)
                .then(|| share(self.n_positive_outputs, self.n_outputs)),
            end: match &workload.end {
                EndSupport::Valid => EndStatus::on(),
                obstacle => EndStatus::off(obstacle.to_string()),
            },
            mean_planes: (n_ended > 0).then(|| planes as f64 / n_ended as f64),
            end_planes: self.end_planes.clone(),
        }
    }
}

/// One bits in the magnitudes of codes.
fn n_one_bits(codes: &[i32]) -> u64 {
    codes.iter().map(|code| u64::from(code.unsigned_abs().count_ones())).sum()
}

/// Bits that a magnitude can have.
fn magnitude_bits(bits: u32, signed: bool) -> u64 {
    u64::from(bits) - u64::from(signed)
}

fn shapes(workload: &LayerWorkload) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let wide = |shape: &[usize]| shape.iter().map(|&extent| extent as u64).collect();
    let w = workload;
    match w.kind {
        LayerKind::Conv => {
            (wide(&[1, w.c, w.h, w.w]), wide(&[w.k, w.channels_per_group(), w.r, w.s]), wide(&[1, w.k, w.p, w.q]))
        }
        LayerKind::Dense => (wide(&[1, w.c]), wide(&[w.k, w.c]), wide(&[1, w.k])),
    }
}

/// The layers that a run simulates, in execution order.
pub(crate) fn simulated_layers(
    quantized: &Quantized,
    input: InputSpec,
    config: &LayersConfig,
) -> Result<Vec<SimulatedLayer>, StudyError> {
    let shape = vec![1, input.channels, input.height, input.width];
    let mut layers = Vec::new();
    for (geometry, quantized_layer) in skimp_quant::layers(quantized, &[shape])?.iter().zip(&quantized.layers) {
        let wanted = if geometry.layer.dense { config.dense } else { config.convolutions };
        if wanted {
            layers.push(simulated_layer(geometry, quantized_layer, layers.is_empty())?);
        }
    }
    if layers.is_empty() {
        return Err(StudyError::Usage("the network has no layer of the kinds to simulate".to_owned()));
    }
    Ok(layers)
}

fn simulated_layer(
    geometry: &LayerGeometry<'_>,
    quantized: &QuantizedLayer,
    first: bool,
) -> Result<SimulatedLayer, StudyError> {
    let (layer, shape) = (geometry.layer, &geometry.shape);
    let weights: Arc<[i32]> = layer.weight.as_slice().into();
    let workload = LayerWorkload {
        name: geometry.name.to_owned(),
        kind: if layer.dense { LayerKind::Dense } else { LayerKind::Conv },
        n: 1,
        c: shape.c,
        h: shape.rows.input,
        w: shape.cols.input,
        k: shape.k,
        r: shape.rows.kernel,
        s: shape.cols.kernel,
        p: shape.rows.output,
        q: shape.cols.output,
        strides: [shape.rows.stride, shape.cols.stride],
        dilations: [shape.rows.dilation, shape.cols.dilation],
        pads_begin: [shape.rows.pad_begin, shape.cols.pad_begin],
        pads_end: [shape.rows.pad_end, shape.cols.pad_end],
        groups: shape.groups,
        weight_bits: layer.weight_bits,
        activation_bits: geometry.input.bits,
        activation_signed: geometry.input.signed && layer.input_offset == 0,
        bias: layer.residual.is_some() || layer.bias.iter().any(|&bias| bias != 0),
        nonlinearity: match layer.activation {
            Activation::Relu => Nonlinearity::Relu,
            Activation::Clamp { min: 0, .. } => Nonlinearity::ClippedRelu,
            Activation::Clamp { .. } | Activation::None | Activation::Sign => Nonlinearity::None,
        },
        first,
        end: geometry.end.clone(),
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
        input_offset: layer.input_offset,
        codes_signed: geometry.input.signed,
    };
    Ok(SimulatedLayer::new(geometry.node_idx, quantized.op, operands, scales))
}
