//! Approximate accelerators: the accuracy of a network under their effect.

use std::ops::Range;
use std::sync::Arc;

use skimp_graph::GraphError;
use skimp_graph::integer::{CodeTensor, MacHook, MacObservation, MacOperands};
use skimp_graph::noise::ImageIndices;
use skimp_report::records::EffectAccuracy;
use skimp_sim::{Accelerator, LayerEffect, LayerTrace, Moment, SimError};

use crate::error::StudyError;
use crate::inputs::answers::Tally;
use crate::inputs::config::JudgeBy;
use crate::inputs::images::{Batch, Images};
use crate::monitor::{Monitor, step};
use crate::simulate::layers::SimulatedLayer;
use crate::simulate::trace::ImageTrace;
use crate::stages::timed::TimedExecutor;

/// An effect in the way of a network's layers.
#[derive(Debug)]
pub(crate) struct EffectHook<'a> {
    layers: &'a [SimulatedLayer],
    effect: &'a dyn LayerEffect,
    images: &'a ImageIndices,
    /// Time step.
    step: u64,
}

impl EffectHook<'_> {
    fn layer(&self, node_idx: usize) -> Option<&SimulatedLayer> {
        self.layers.iter().find(|layer| layer.node_idx == node_idx)
    }
}

fn refused(layer: &SimulatedLayer, error: SimError) -> GraphError {
    GraphError::invalid_node(&layer.operands.workload.name, "Mac", error.to_string())
}

impl MacHook for EffectHook<'_> {
    fn applies(&self, node_idx: usize) -> bool {
        self.layer(node_idx).is_some_and(|layer| self.effect.applies(&layer.operands.workload))
    }

    fn change_input(&self, node_idx: usize, input: &mut CodeTensor) -> Result<(), GraphError> {
        let Some(layer) = self.layer(node_idx) else { return Ok(()) };
        let (workload, offset) = (&layer.operands.workload, layer.operands.input_offset);
        for codes in input.data.chunks_mut(workload.shape.input_count().max(1)) {
            codes.iter_mut().for_each(|code| *code += offset);
            layer.change(codes, |codes| self.effect.activations(workload, codes));
            codes.iter_mut().for_each(|code| *code -= offset);
        }
        Ok(())
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let Some(layer) = self.layer(operands.node_idx) else { return Ok(()) };
        let workload = &layer.operands.workload;
        let outputs = workload.shape.output_count().max(1);
        let inputs = operands.input.data.chunks(workload.shape.input_count().max(1));
        for (image, (input, sums)) in inputs.zip(accumulators.chunks_mut(outputs)).enumerate() {
            let residual = operands.residual.map(|all| &all[image * outputs..(image + 1) * outputs]);
            let moment = Moment { image: self.images.at(operands.first_image + image)?, step: self.step };
            let trace = trace_of(layer, moment, input, residual, sums);
            let trace = LayerTrace::new(workload, Arc::new(trace));
            let changed = layer.change(sums, |sums| self.effect.sums(workload, &trace, sums));
            changed.map_err(|error| refused(layer, error))?;
        }
        Ok(())
    }
}

/// The operands and sums of image `image` of those that `mac` shows at `layer`; `moment` says which one of the data set
/// it is.
pub(crate) fn image_trace(
    layer: &SimulatedLayer,
    mac: &MacObservation<'_>,
    image: usize,
    moment: Moment,
) -> ImageTrace {
    let (inputs, outputs) = (layer.operands.workload.shape.input_count(), layer.operands.workload.shape.output_count());
    let here = image * outputs..(image + 1) * outputs;
    let residual = mac.residual.map(|residual| &residual[here.clone()]);
    let activation = &mac.input.data[image * inputs..(image + 1) * inputs];
    trace_of(layer, moment, activation, residual, &mac.accumulators[here])
}

/// The operands and sums of one image at one layer, all as the integer network has them.
fn trace_of(
    layer: &SimulatedLayer,
    moment: Moment,
    activation: &[i32],
    residual: Option<&[i64]>,
    sums: &[i64],
) -> ImageTrace {
    ImageTrace {
        layer: layer.operands.clone(),
        moment,
        activation: layer.by_channel(activation).into(),
        residual: residual.map(|residual| layer.by_channel(residual).into()),
        sums: layer.by_channel(sums).into(),
    }
}

/// The network and the images that judge an effect.
#[derive(Clone, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) executor: &'a TimedExecutor,
    pub(crate) images: &'a Images,
    pub(crate) layers: &'a [SimulatedLayer],
    /// Images of the run's order that are classified.
    pub(crate) range: Range<usize>,
    pub(crate) judge_by: JudgeBy,
}

impl Judge<'_> {
    /// Batches of images in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        self.images.batches(self.range.clone())
    }

    /// One batch, labeled with its labels or the exact network's answers.
    pub(crate) fn batch(&self, range: Range<usize>) -> Result<Batch, StudyError> {
        let mut batch = self.images.batch(range)?;
        if self.judge_by == JudgeBy::Answers {
            let outputs = self.executor.run(std::slice::from_ref(&batch.inputs))?;
            batch.labels = self.images.answers().first_guesses(&outputs, batch.n_run(), batch.labels.len())?;
        }
        Ok(batch)
    }

    /// The hook that puts `effect` in the way of the layers in time step `step`, for a run on `images`.
    pub(crate) fn hook<'e>(
        &'e self,
        effect: &'e dyn LayerEffect,
        images: &'e ImageIndices,
        step: u64,
    ) -> EffectHook<'e> {
        EffectHook { layers: self.layers, effect, images, step }
    }

    /// Accuracy of the exact network (`None`) and under each effect.
    fn tallies(&self, effects: &[Option<&dyn LayerEffect>], monitor: &dyn Monitor) -> Result<Vec<Tally>, StudyError> {
        let mut tallies = vec![Tally::default(); effects.len()];
        for range in self.batches() {
            let n_images = range.len() as u64;
            let batch = self.batch(range)?;
            let inputs = std::slice::from_ref(&batch.inputs);
            for (tally, effect) in tallies.iter_mut().zip(effects) {
                let outputs = match effect {
                    None => self.executor.run(inputs)?,
                    Some(effect) => self.executor.run_with(inputs, |step| self.hook(*effect, &batch.images, step))?,
                };
                tally.add(self.images.answers(), &outputs, batch.n_run(), &batch.labels)?;
                step(monitor, n_images)?;
            }
        }
        Ok(tallies)
    }

    /// Accuracy of the exact network and under the effects of `accelerators`, in their order; `None` for exact ones
    /// and without images.
    pub(crate) fn accuracies(
        &self,
        accelerators: &[&dyn Accelerator],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Option<EffectAccuracy>>, StudyError> {
        let changing: Vec<usize> =
            (0..accelerators.len()).filter(|&idx| accelerators[idx].effect().is_some()).collect();
        let mut accuracies = vec![None; accelerators.len()];
        if changing.is_empty() || self.range.is_empty() {
            return Ok(accuracies);
        }
        monitor.stage("accuracy of approximate accelerators", ((changing.len() + 1) * self.range.len()) as u64);
        let mut effects = vec![None];
        effects.extend(changing.iter().map(|&idx| accelerators[idx].effect()));
        let tallies = self.tallies(&effects, monitor)?;
        for (&idx, tally) in changing.iter().zip(&tallies[1..]) {
            let (exact, changed) = (tallies[0].accuracy(), tally.accuracy());
            accuracies[idx] = Some(EffectAccuracy {
                judged_by: self.judge_by.name().to_owned(),
                top1_exact: exact.top1,
                top1: changed.top1,
                n_images: changed.n_images,
            });
        }
        Ok(accuracies)
    }
}
