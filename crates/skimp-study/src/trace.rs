//! Operand values of one layer and image, and the proof that early negative detection changes no answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use skimp_cpu::integer as kernels;
use skimp_graph::integer::end::{ConvProblem, EndPlanes};
use skimp_numerics::EndTest;
use skimp_sim::{LayerWorkload, TraceError, TraceProvider};

use crate::StudyError;

/// Outputs per layer and image that are recomputed plane by plane, spread evenly over the layer.
const DEFINITION_CHECKS: usize = 32;

/// What was compared, over all layers and images.
#[derive(Debug, Default)]
pub(crate) struct ExactnessTally {
    /// Outputs after ReLU that were compared.
    pub(crate) n_outputs: AtomicU64,
    /// Outputs whose end plane was recomputed plane by plane.
    pub(crate) n_recomputed: AtomicU64,
}

/// What is the same for every image of a layer.
#[derive(Debug)]
pub(crate) struct LayerOperands {
    pub(crate) workload: LayerWorkload,
    pub(crate) weights: Arc<[i32]>,
    pub(crate) bias: Arc<[i64]>,
    pub(crate) input_offset: i32,
    /// Whether the codes, before the offset, may be negative.
    pub(crate) codes_signed: bool,
}

/// One image at one layer, with end planes computed when a model asks.
#[derive(Debug)]
pub(crate) struct ImageTrace {
    pub(crate) layer: Arc<LayerOperands>,
    pub(crate) activation: Arc<[i32]>,
    pub(crate) residual: Option<Arc<[i64]>>,
    pub(crate) sums: Arc<[i64]>,
    pub(crate) exactness: Arc<ExactnessTally>,
    pub(crate) negative: OnceLock<Arc<[u8]>>,
    pub(crate) non_positive: OnceLock<Arc<[u8]>>,
}

impl ImageTrace {
    /// The layer as the kernels want it.
    pub(crate) fn problem(&self) -> ConvProblem<'_> {
        let workload = &self.layer.workload;
        ConvProblem {
            activations: &self.activation,
            weights: &self.layer.weights,
            bias: &self.layer.bias,
            residual: self.residual.as_deref(),
            shape: workload.shape,
            weight_bits: workload.weight_bits,
            activation_bits: workload.activation_bits,
            activation_signed: self.layer.codes_signed,
            input_offset: self.layer.input_offset,
        }
    }

    /// Checks end planes against the exact sums of the integer network, which another kernel computed: an output may
    /// stop early only where its ReLU gives 0, and every other output must have the same sum.
    fn verify(&self, end: &EndPlanes, test: EndTest) -> Result<(), StudyError> {
        let bits = self.layer.workload.weight_bits;
        let wrong = |planes: u8, sum: i64, exact: i64| {
            let stopped = u32::from(planes) < bits;
            let after_relu = if stopped { 0 } else { sum.max(0) };
            after_relu != exact.max(0) || sum != exact
        };
        let n_outputs = self.sums.len() as u64;
        let n_different = end
            .planes
            .iter()
            .zip(&end.sums)
            .zip(self.sums.iter())
            .filter(|&((&planes, &sum), &exact)| wrong(planes, sum, exact))
            .count() as u64;
        let n_wrong_planes = self.recompute(end, test);
        if n_different + n_wrong_planes > 0 {
            return Err(StudyError::NotExact {
                layer: self.layer.workload.name.clone(),
                n_different: n_different + n_wrong_planes,
                n_outputs,
            });
        }
        self.exactness.n_outputs.fetch_add(n_outputs, Ordering::Relaxed);
        Ok(())
    }

    /// Recomputes some outputs by the definition; how many end planes differ.
    fn recompute(&self, end: &EndPlanes, test: EndTest) -> u64 {
        let workload = &self.layer.workload;
        let (depth, windows) = (workload.shape.inputs_per_output(), workload.shape.p() * workload.shape.q());
        let activation = self.shifted();
        let stride = (end.planes.len() / DEFINITION_CHECKS).max(1);
        let mut n_wrong = 0;
        for idx in (0..end.planes.len()).step_by(stride) {
            let operands: Vec<i32> = workload.operands(&activation, idx).collect();
            let filter = idx / windows;
            let weights = &self.layer.weights[filter * depth..(filter + 1) * depth];
            let start = self.layer.bias[filter] + self.residual.as_ref().map_or(0, |residual| residual[idx]);
            let expected = skimp_numerics::end_planes(&operands, weights, start, workload.weight_bits, test);
            n_wrong += u64::from(!expected.is_ok_and(|trace| trace.planes == u32::from(end.planes[idx])));
            self.exactness.n_recomputed.fetch_add(1, Ordering::Relaxed);
        }
        n_wrong
    }

    /// The activations with their offset, as multipliers see them.
    fn shifted(&self) -> Arc<[i32]> {
        match self.layer.input_offset {
            0 => self.activation.clone(),
            offset => self.activation.iter().map(|&code| code + offset).collect(),
        }
    }
}

impl TraceProvider for ImageTrace {
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        Ok(self.shifted())
    }

    fn end_planes(&self, test: EndTest) -> Result<Arc<[u8]>, TraceError> {
        let slot = match test {
            EndTest::Negative => &self.negative,
            EndTest::NonPositive => &self.non_positive,
        };
        if let Some(planes) = slot.get() {
            return Ok(planes.clone());
        }
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| TraceError::Failed(error);
        let end = kernels::end_planes(&self.problem(), test).map_err(|error| failed(error.into()))?;
        self.verify(&end, test).map_err(|error| failed(error.into()))?;
        Ok(slot.get_or_init(|| end.planes.into()).clone())
    }

    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        Ok(self.sums.clone())
    }

    fn start_values(&self) -> Result<Arc<[i64]>, TraceError> {
        let shape = &self.layer.workload.shape;
        let per_channel = (shape.p() * shape.q()).max(1);
        let bias = |idx: usize| self.layer.bias[idx / per_channel];
        Ok(match &self.residual {
            Some(residual) => residual.iter().enumerate().map(|(idx, &value)| bias(idx) + value).collect(),
            None => (0..self.sums.len()).map(bias).collect(),
        })
    }

    fn predictive_end_planes(&self, share: f64) -> Result<Arc<[u8]>, TraceError> {
        let failed = |error: kernels::ConvError| TraceError::Failed(error.into());
        Ok(kernels::predictive_end_planes(&self.problem(), share).map_err(failed)?.into())
    }
}
