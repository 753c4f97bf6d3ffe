//! The integer network on images, layer by layer, for whoever looks on.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use skimp_graph::integer::Observation;
use skimp_graph::noise::ImageIndices;
use skimp_sim::{LayerTrace, Moment};

use crate::error::StudyError;
use crate::inputs::images::{Batch, Images};
use crate::monitor::{Monitor, step};
use crate::simulate::effects::image_trace;
use crate::simulate::layers::{ImageCounts, SimulatedLayer};
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
    /// Time step.
    pub(crate) step: u64,
    pub(crate) operands: &'a Arc<ImageTrace>,
    pub(crate) trace: &'a LayerTrace,
}

/// Images that are under way at once, at most: each takes what the network's values take.
const AT_ONCE: usize = 4;

/// What `work` made of one layer on one image.
struct Made<R> {
    idx: usize,
    counts: ImageCounts,
    result: R,
}

/// Runs the network on the first `n_images` images, some at once, shows every one of `layers` on each to `work`, in the order
/// in which the network runs (a network with time each step), and gives what that made to `take`, image by image; nothing else of an image is kept. Each layer
/// sums up what the images show of it.
///
/// # Errors
/// [`StudyError`] of the network, of `work` or of `take`, the first image's where several fail; [`skimp_sim::SimError`] if
/// operands contradict the network's sums.
pub(crate) fn stream<R: Send>(
    (quantized, images, n_images): (&Quantized, &Images, usize),
    layers: &mut [SimulatedLayer],
    monitor: &dyn Monitor,
    work: &(dyn Fn(&Seen<'_>) -> Result<R, StudyError> + Sync),
    take: &mut dyn FnMut(usize, R) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    let batches: Vec<Range<usize>> = images.batches_of(0..n_images, 1).collect();
    for at_once in batches.chunks(rayon::current_num_threads().min(AT_ONCE)) {
        let shared = &*layers;
        let look = |range: &Range<usize>| -> Result<Vec<Made<R>>, StudyError> {
            let Batch { inputs, labels, images: indices } = images.batch(range.clone())?;
            let mut outcome = Ok(Vec::with_capacity(shared.len() * labels.len()));
            quantized.executor.run_observed(&[inputs], &mut |time_step, observation| {
                let Ok(made) = &mut outcome else { return };
                let seen = (&indices, range.start, labels.len(), time_step);
                if let Err(error) = observe(observation, seen, shared, monitor, work, made) {
                    outcome = Err(error);
                }
            })?;
            outcome
        };
        let made: Vec<Result<Vec<Made<R>>, StudyError>> = match at_once {
            // All threads for the one image.
            [range] => vec![look(range)],
            ranges => ranges.par_iter().map(look).collect(),
        };
        for image in made {
            for Made { idx, counts, result } in image? {
                layers[idx].add(&counts);
                take(idx, result)?;
            }
        }
    }
    Ok(())
}

/// Shows one node's work, image by image, to `work`. The batch holds images at `indices`, the first of them the run's `first`
/// and only `n_images` that count: others fill it up; all in time step `time_step`.
fn observe<R>(
    observation: &Observation<'_>,
    (indices, first, n_images, time_step): (&ImageIndices, usize, usize, u64),
    layers: &[SimulatedLayer],
    monitor: &dyn Monitor,
    work: &(dyn Fn(&Seen<'_>) -> Result<R, StudyError> + Sync),
    made: &mut Vec<Made<R>>,
) -> Result<(), StudyError> {
    let Some(mac) = &observation.mac else { return Ok(()) };
    let Some(idx) = layers.iter().position(|layer| layer.node_idx == observation.node_idx) else {
        return Ok(());
    };
    let layer = &layers[idx];
    for image in 0..n_images {
        let moment = Moment { image: indices.at(observation.first_image + image)?, step: time_step };
        let operands = Arc::new(image_trace(layer, mac, image, moment));
        let trace = LayerTrace::new(&layer.operands.workload, operands.clone());
        trace.check_operands(&layer.operands.workload, OPERAND_CHECKS)?;
        let counts = layer.shown_by(&operands);
        let image = first + observation.first_image + image;
        let result = work(&Seen { idx, layer, image, step: time_step, operands: &operands, trace: &trace })?;
        made.push(Made { idx, counts, result });
        step(monitor, 1)?;
    }
    Ok(())
}
