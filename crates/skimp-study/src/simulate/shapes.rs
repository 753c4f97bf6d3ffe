//! Layers that are simulated by their shape, on random codes: where a network file lacks layers that a published
//! figure covers, and what bounds them does not depend on values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skimp_numerics::NegativeSums;
use skimp_numerics::rng::{Draws, stream};
use skimp_quant::QuantizationConfig;
use skimp_sim::{LayerResult, LayerTrace, LayerWorkload, Moment, Nonlinearity};

use crate::error::StudyError;
use crate::simulate::designs::Design;
use crate::simulate::trace::{ImageTrace, LayerOperands};

/// What every layer by shape says of itself.
const NOTE: &str = "by shape: random weights and inputs, half of the inputs zero; in no total and no statistics";

/// Most weights of a layer by shape: half a gigabyte of codes.
const MAX_WEIGHTS: usize = 1 << 27;

/// A dense layer of a given shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeLayerConfig {
    /// Name in the report.
    pub name: String,
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// Whether a ReLU follows.
    #[serde(default)]
    pub relu: bool,
}

impl ShapeLayerConfig {
    /// The layer without operands.
    ///
    /// # Errors
    /// [`StudyError::Sim`] if it has no inputs or outputs.
    pub(crate) fn workload(&self, quantization: &QuantizationConfig) -> Result<LayerWorkload, StudyError> {
        let mut workload = LayerWorkload::dense(&self.name, self.inputs, self.outputs);
        workload.weight_bits = quantization.weight_bits;
        workload.activation_bits = quantization.activation_bits;
        if !self.relu {
            workload.nonlinearity = Nonlinearity::None;
            workload.negatives = NegativeSums::NoRelu { next: "network output".to_owned() };
        }
        Ok(workload.validated()?)
    }
}

/// Layers of given shapes on random codes, ready for any design.
pub(crate) struct ShapeLayers(Vec<(LayerWorkload, LayerTrace)>);

impl ShapeLayers {
    /// Draws weights, uniform over all codes, and inputs, half of them zero and the others uniform.
    ///
    /// # Determinism
    /// Streams `study/shapes` and the layer's place; the study's seed.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming a layer without inputs or outputs, or one that is too large.
    pub(crate) fn new(
        layers: &[ShapeLayerConfig],
        quantization: &QuantizationConfig,
        seed: u64,
    ) -> Result<Self, StudyError> {
        layers
            .iter()
            .enumerate()
            .map(|(idx, layer)| trace(idx, layer, quantization, seed))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Dense MACs of each, and what `design` does with it.
    ///
    /// # Errors
    /// [`StudyError`] naming the layer.
    pub(crate) fn run(&self, design: &Design) -> Result<Vec<(u64, LayerResult)>, StudyError> {
        let accelerator = design.accelerator()?;
        let one = |(layer, trace): &(LayerWorkload, LayerTrace)| {
            let result = accelerator.simulate_layer(layer, Some(trace));
            let mut result = result.map_err(|error| design.config().fault(error))?;
            result.notes.push(NOTE.to_owned());
            Ok((layer.shape.dense_macs(), result))
        };
        self.0.iter().map(one).collect()
    }
}

fn trace(
    idx: usize,
    layer: &ShapeLayerConfig,
    quantization: &QuantizationConfig,
    seed: u64,
) -> Result<(LayerWorkload, LayerTrace), StudyError> {
    let (weight_bits, activation_bits) = (quantization.weight_bits, quantization.activation_bits);
    let workload = layer.workload(quantization)?;
    if workload.shape.weight_count() > MAX_WEIGHTS {
        let (layer, n_weights) = (layer.name.clone(), workload.shape.weight_count());
        return Err(StudyError::LargeLayer { layer, n_weights, most: MAX_WEIGHTS });
    }
    let mut draws = Draws::new(seed, stream("study/shapes").wrapping_add(idx as u64));
    let largest = (1i32 << (weight_bits - 1)) - 1;
    let n_codes = 2 * largest as usize + 1;
    let weights: Arc<[i32]> =
        (0..layer.inputs * layer.outputs).map(|_| draws.below(n_codes) as i32 - largest).collect();
    let activation: Arc<[i32]> = (0..layer.inputs)
        .map(|_| if draws.chance(0.5) { 0 } else { draws.below(1 << activation_bits) as i32 })
        .collect();
    let dot = |row: &[i32]| row.iter().zip(activation.iter()).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
    let sums: Arc<[i64]> = weights.chunks(layer.inputs.max(1)).map(dot).collect();
    let operands = LayerOperands {
        workload: LayerWorkload { weights: Some(weights.clone()), ..workload },
        weights,
        bias: vec![0; layer.outputs].into(),
        zero_point: 0,
        input_offset: 0,
        codes_signed: false,
    };
    let image = ImageTrace { layer: Arc::new(operands), moment: Moment::default(), activation, residual: None, sums };
    let workload = image.layer.workload.clone();
    let trace = LayerTrace::new(&workload, Arc::new(image));
    Ok((workload, trace))
}
