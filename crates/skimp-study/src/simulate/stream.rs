//! The integer network on images, layer by layer, for whoever looks on.

use std::sync::Arc;

use skimp_graph::integer::{IntegerEngine, Observation};
use skimp_graph::noise::ImageIndices;
use skimp_sim::{LayerTrace, Moment};

use crate::error::StudyError;
use crate::inputs::images::{Batch, Images};
use crate::monitor::{Monitor, step};
use crate::simulate::effects::image_trace;
use crate::simulate::layers::SimulatedLayer;
use crate::simulate::trace::ImageTrace;
use crate::stages::quantized::Quantized;

/// Outputs per layer and image that are computed again from the operands that accelerators see.
const OPERAND_CHECKS: usize = 32;

/// One layer on one image.
pub(crate) struct Seen<'a> {
    /// Place among the simulated layers.
    pub(crate) idx: usize,
    pub(crate) layer: &'a SimulatedLayer,
    /// Place of the image in the run.
    pub(crate) image: usize,
    pub(crate) operands: &'a Arc<ImageTrace>,
    pub(crate) trace: &'a LayerTrace,
}

/// Runs the network on the first `n_images` images and shows every one of `layers` on each to `see`, in the order in which
/// the network runs; nothing of an image is kept. Each layer sums up what the images show of it.
///
/// # Errors
/// [`StudyError`] of the network or of `see`; [`skimp_sim::SimError`] if operands contradict the network's sums.
pub(crate) fn stream(
    (quantized, images, n_images): (&Quantized, &Images, usize),
    layers: &mut [SimulatedLayer],
    monitor: &dyn Monitor,
    see: &mut dyn FnMut(&Seen<'_>) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    for range in images.batches_of(0..n_images, 1) {
        let first = range.start;
        let Batch { inputs, labels, images: indices } = images.batch(range)?;
        let mut outcome = Ok(());
        quantized.executor.run_observed(&[inputs], &mut |observation| {
            if outcome.is_ok() {
                outcome = observe(observation, (&indices, first, labels.len()), layers, monitor, see);
            }
        })?;
        outcome?;
    }
    Ok(())
}

/// Shows one node's work, image by image, to `see`. The batch holds images at `indices`, the first of them the run's `first`
/// and only `n_images` that count: others fill it up.
fn observe(
    observation: &Observation<'_>,
    (indices, first, n_images): (&ImageIndices, usize, usize),
    layers: &mut [SimulatedLayer],
    monitor: &dyn Monitor,
    see: &mut dyn FnMut(&Seen<'_>) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    let Some(mac) = &observation.mac else { return Ok(()) };
    let Some(idx) = layers.iter().position(|layer| layer.node_idx == observation.node_idx) else {
        return Ok(());
    };
    for image in 0..n_images {
        let layer = &mut layers[idx];
        let moment = Moment { image: indices.at(observation.first_image + image)?, step: 0 };
        let operands = Arc::new(image_trace(layer, mac, image, moment));
        let trace = LayerTrace::new(&layer.operands.workload, operands.clone());
        trace.check_operands(&layer.operands.workload, OPERAND_CHECKS)?;
        layer.add_image(&operands);
        let image = first + observation.first_image + image;
        see(&Seen { idx, layer, image, operands: &operands, trace: &trace })?;
        step(monitor, 1)?;
    }
    Ok(())
}
