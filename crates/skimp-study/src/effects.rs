//! Approximate accelerators: the accuracy of a network under their effect, and the search for their parameters.

use std::sync::Arc;

use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::GraphError;
use skimp_graph::integer::{CodeTensor, IntegerEngine, MacHook, MacOperands};
use skimp_report::records::EffectAccuracy;
use skimp_sim::{Accelerator, LayerEffect, LayerTrace, LayerWorkload, SimError, Tuner};

use crate::evaluate::{Tally, classify};
use crate::images::Images;
use crate::layers::SimulatedLayer;
use crate::trace::{ExactnessTally, ImageTrace};
use crate::{Monitor, Silent, StudyError};

/// Images whose operands a search may look at.
const TUNING_TRACES: usize = 4;

/// Most outputs of the network times images whose traces a search keeps.
const TUNING_OUTPUTS: usize = 1 << 23;

/// An effect in the way of a network's layers.
#[derive(Debug)]
struct EffectHook<'a> {
    layers: &'a [SimulatedLayer],
    effect: &'a dyn LayerEffect,
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
        for codes in input.data.chunks_mut(workload.input_count().max(1)) {
            codes.iter_mut().for_each(|code| *code += offset);
            self.effect.activations(workload, codes);
            codes.iter_mut().for_each(|code| *code -= offset);
        }
        Ok(())
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let Some(layer) = self.layer(operands.node_idx) else { return Ok(()) };
        let workload = &layer.operands.workload;
        let outputs = workload.output_count().max(1);
        let inputs = operands.input.data.chunks(workload.input_count().max(1));
        for (image, (input, sums)) in inputs.zip(accumulators.chunks_mut(outputs)).enumerate() {
            let residual = operands.residual.map(|all| Arc::from(&all[image * outputs..(image + 1) * outputs]));
            let trace = image_trace(layer, input, residual, sums, &Arc::default());
            let trace = LayerTrace::new(workload, Arc::new(trace));
            self.effect.sums(workload, &trace, sums).map_err(|error| refused(layer, error))?;
        }
        Ok(())
    }
}

/// The operands and sums of one image at one layer.
pub(crate) fn image_trace(
    layer: &SimulatedLayer,
    activation: &[i32],
    residual: Option<Arc<[i64]>>,
    sums: &[i64],
    exactness: &Arc<ExactnessTally>,
) -> ImageTrace {
    ImageTrace {
        layer: layer.operands.clone(),
        activation: activation.into(),
        residual,
        sums: sums.into(),
        exactness: exactness.clone(),
        negative: Default::default(),
        non_positive: Default::default(),
    }
}

/// The network, its images, and how many of them judge an effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) executor: &'a IntegerExecutor,
    pub(crate) images: &'a Images,
    pub(crate) layers: &'a [SimulatedLayer],
    pub(crate) n_images: usize,
}

impl Judge<'_> {
    fn tally(&self, effect: Option<&dyn LayerEffect>, monitor: &dyn Monitor) -> Result<Tally, StudyError> {
        let layers = self.layers;
        classify(self.images, self.n_images, monitor, |inputs| {
            let inputs = std::slice::from_ref(inputs);
            match effect {
                None => self.executor.run(inputs),
                Some(effect) => self.executor.run_with(inputs, &EffectHook { layers, effect }),
            }
        })
    }

    /// Accuracy of the exact network and under the effects of `accelerators`, in their order; `None` for exact ones
    /// and without images.
    pub(crate) fn accuracies(
        &self,
        accelerators: &[&dyn Accelerator],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Option<EffectAccuracy>>, StudyError> {
        let n_effects = accelerators.iter().filter(|accelerator| accelerator.effect().is_some()).count();
        if n_effects == 0 || self.n_images == 0 {
            return Ok(vec![None; accelerators.len()]);
        }
        monitor.stage("accuracy of approximate accelerators", ((n_effects + 1) * self.n_images) as u64);
        let exact = self.tally(None, monitor)?.accuracy();
        let mut accuracies = Vec::with_capacity(accelerators.len());
        for accelerator in accelerators {
            accuracies.push(match accelerator.effect() {
                None => None,
                Some(effect) => {
                    let changed = self.tally(Some(effect), monitor)?.accuracy();
                    Some(EffectAccuracy { top1_exact: exact.top1, top1: changed.top1, n_images: changed.n_images })
                }
            });
        }
        Ok(accuracies)
    }

    /// The accelerator with searched parameters, if it asks for a search.
    ///
    /// The search sees labels and operands of the same images that judge it.
    pub(crate) fn tuned(
        &self,
        accelerator: &dyn Accelerator,
        monitor: &dyn Monitor,
    ) -> Result<Option<Box<dyn Accelerator>>, StudyError> {
        if !accelerator.needs_tuning() {
            return Ok(None);
        }
        if self.n_images == 0 {
            let name = accelerator.name();
            return Err(StudyError::Usage(format!(
                "{name} searches its parameters under a limit of accuracy: give --accuracy-images above 0"
            )));
        }
        monitor.stage(&format!("searching parameters of {}", accelerator.name()), 0);
        let tuned = accelerator.tuned(&NetworkTuner::new(*self, monitor)?);
        if monitor.interrupted() {
            return Err(StudyError::Interrupted);
        }
        Ok(tuned?)
    }
}

/// The integer network as a search sees it.
struct NetworkTuner<'a> {
    judge: Judge<'a>,
    monitor: &'a dyn Monitor,
    workloads: Vec<LayerWorkload>,
    traces: Vec<Vec<LayerTrace>>,
}

impl<'a> NetworkTuner<'a> {
    fn new(judge: Judge<'a>, monitor: &'a dyn Monitor) -> Result<Self, StudyError> {
        let workloads: Vec<_> = judge.layers.iter().map(|layer| layer.operands.workload.clone()).collect();
        let outputs: usize = workloads.iter().map(LayerWorkload::output_count).sum();
        let n_traces = (TUNING_OUTPUTS / outputs.max(1)).clamp(1, TUNING_TRACES).min(judge.n_images);
        let mut traces: Vec<Vec<LayerTrace>> = workloads.iter().map(|_| Vec::new()).collect();
        let exactness = Arc::default();
        for image in 0..n_traces {
            let (input, _) = judge.images.batch(image..image + 1)?;
            judge.executor.run_observed(&[input], &mut |observation| {
                let Some(mac) = &observation.mac else { return };
                let is_here = |layer: &SimulatedLayer| layer.node_idx == observation.node_idx;
                let Some(idx) = judge.layers.iter().position(is_here) else { return };
                let residual = mac.residual.map(Arc::from);
                let image = image_trace(&judge.layers[idx], &mac.input.data, residual, mac.accumulators, &exactness);
                traces[idx].push(LayerTrace::new(&workloads[idx], Arc::new(image)));
            })?;
        }
        Ok(Self { judge, monitor, workloads, traces })
    }
}

impl Tuner for NetworkTuner<'_> {
    fn layers(&self) -> &[LayerWorkload] {
        &self.workloads
    }

    fn traces(&self, layer_idx: usize) -> &[LayerTrace] {
        self.traces.get(layer_idx).map_or(&[], Vec::as_slice)
    }

    fn accuracy(&self, effect: Option<&dyn LayerEffect>) -> Result<f64, SimError> {
        if self.monitor.interrupted() {
            return Err(SimError::Tuning(Box::new(StudyError::Interrupted)));
        }
        let tally = self.judge.tally(effect, &Silent).map_err(|error| SimError::Tuning(Box::new(error)))?;
        Ok(tally.accuracy().top1)
    }
}
