//! After how many weight planes each output stops, from the operands of a layer, and the proof that stopping changes no
//! answer.

use std::borrow::Cow;
use std::sync::Arc;

use skimp_cpu::integer::{self as kernels, ConvError, ConvProblem};
use skimp_numerics::EndTest;
use skimp_sim::{Basis, Derived, Finding, Found, LayerTrace, LayerWorkload, Quantity, SimError, TraceError};

use super::slots::SlotCounts;
use crate::models::kept::Kept;

/// The key of end planes under predictive detection in a trace that holds a recording of them.
pub const PREDICTED: &str = "predictive_end_planes";

/// Outputs per layer and image that are recomputed plane by plane, spread evenly over the layer.
const DEFINITION_CHECKS: usize = 32;

static PLANES: Quantity = Quantity {
    key: "end_planes",
    label: "weight planes used per output",
    unit: "planes",
    description: "An output ends at the plane whose partial sum proves it negative. Outputs that are not negative, and those \
                  that turn negative at the very end, need all planes.",
    basis: Basis::Measured,
};
static PREDICTED_PLANES: Quantity = Quantity {
    key: PREDICTED,
    label: "weight planes used per output, predicted stops",
    unit: "planes",
    description: "An output ends at the plane whose partial sum makes it likely to be negative.",
    basis: Basis::Measured,
};
static EXACT: Quantity = Quantity {
    key: "outputs_compared",
    label: "outputs after ReLU compared with the exact ones",
    unit: "outputs",
    description: "Bit-exactness is checked on every output of every layer with early negative detection, against sums of \
                  another kernel.",
    basis: Basis::Measured,
};
static RECOMPUTED: Quantity = Quantity {
    key: "outputs_recomputed",
    label: "outputs recomputed plane by plane",
    unit: "outputs",
    description: "Their end planes were worked out again by the definition, and did not differ.",
    basis: Basis::Measured,
};

/// Weight planes used by each output of a layer on one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndPlanes {
    planes: Arc<[u8]>,
    /// Outputs after ReLU that were compared with the exact network's; none differed.
    n_compared: u64,
    /// Outputs that were recomputed plane by plane; none differed.
    n_recomputed: u64,
    worked: Worked,
}

/// A block of filters in one pass over the map: its filters, the divisions they are dealt to, windows and planes.
pub(super) type Walk = (std::ops::Range<usize>, usize, u64, u8);

/// What follows from the planes, worked out when it is first asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Worked {
    least_and_most: Kept<(), [u8; 2]>,
    /// Outputs by their planes, for a weight width.
    counts: Kept<u32, Vec<u64>>,
    /// Slots of a block, and planes that its outputs use.
    walks: Kept<Walk, (SlotCounts, u64)>,
}

impl EndPlanes {
    /// Planes that are known from elsewhere, `[k, p, q]`, each 1 to the weight width.
    #[must_use]
    pub fn recorded(planes: Arc<[u8]>) -> Self {
        Self::new(planes, 0, 0)
    }

    fn new(planes: Arc<[u8]>, n_compared: u64, n_recomputed: u64) -> Self {
        Self { planes, n_compared, n_recomputed, worked: Worked::default() }
    }

    /// What a walk over a block came to, worked out by `run` unless it is known.
    pub(super) fn walked(&self, walk: Walk, run: impl FnOnce() -> (SlotCounts, u64)) -> (SlotCounts, u64) {
        self.worked.walks.get(walk, run)
    }

    /// The planes, `[k, p, q]`.
    pub(super) fn planes(&self) -> &[u8] {
        &self.planes
    }

    /// What they say of the layer.
    pub(super) fn findings(&self, layer: &LayerWorkload, predicted: bool) -> Vec<Finding> {
        let counts = self.worked.counts.get(layer.weight_bits, || {
            let mut counts = vec![0; layer.weight_bits as usize];
            for &plane in self.planes.iter() {
                counts[usize::from(plane) - 1] += 1;
            }
            counts
        });
        let planes = if predicted { &PREDICTED_PLANES } else { &PLANES };
        let mut findings = vec![Finding::new(planes, Found::Distribution { first: 1, counts })];
        if self.n_compared > 0 {
            findings.push(Finding::new(&EXACT, Found::Agreement { compared: self.n_compared, different: 0 }));
            findings.push(Finding::new(&RECOMPUTED, Found::Count(self.n_recomputed)));
        }
        findings
    }

    /// Refuses planes that do not fit the layer.
    fn checked(self: Arc<Self>, layer: &LayerWorkload, trace: &'static str) -> Result<Arc<Self>, SimError> {
        let misfit = |expected, found| Err(SimError::TraceShape { layer: layer.name.clone(), trace, expected, found });
        let (bits, outputs) = (layer.weight_bits, layer.shape.output_count());
        if self.planes.len() != outputs {
            return misfit(format!("{outputs} values"), self.planes.len().to_string());
        }
        let [least, most] = self.worked.least_and_most.get((), || {
            let (least, most) = (self.planes.iter().min(), self.planes.iter().max());
            [least.copied().unwrap_or(1), most.copied().unwrap_or(1)]
        });
        if least > 0 && u32::from(most) <= bits {
            return Ok(self);
        }
        match self.planes.iter().find(|&&plane| plane == 0 || u32::from(plane) > bits) {
            Some(outside) => misfit(format!("planes in 1..={bits}"), outside.to_string()),
            None => Ok(self),
        }
    }
}

impl Derived for EndPlanes {
    fn outputs(&self) -> Option<&[u8]> {
        Some(&self.planes)
    }
}

/// The key of end planes under a test.
#[must_use]
pub fn key(test: EndTest) -> &'static str {
    match test {
        EndTest::Negative => "end_planes",
        EndTest::NonPositive => "end_planes_non_positive",
    }
}

/// The planes after which outputs are proven negative, found once for all designs that ask.
///
/// # Errors
/// [`SimError::NotExact`] if stopping there changed an answer; those of the traces.
pub(super) fn proven(layer: &LayerWorkload, trace: &LayerTrace, test: EndTest) -> Result<Arc<EndPlanes>, SimError> {
    let found = trace.derived(key(test), || {
        let operands = Operands::of(layer, trace)?;
        let end = kernels::end_planes(&operands.problem(), test).map_err(|error| failed(layer, key(test), error))?;
        let n_compared = end.planes.len() as u64;
        let n_recomputed = verify(layer, trace, &operands, &end, test)?;
        Ok(EndPlanes::new(end.planes.into(), n_compared, n_recomputed))
    })?;
    found.checked(layer, key(test))
}

/// The planes after which outputs are expected to be negative, where those left take `share` of what they can take. Not
/// kept: a search asks for many shares.
///
/// # Errors
/// Those of the traces.
pub(super) fn predicted(layer: &LayerWorkload, trace: &LayerTrace, share: f64) -> Result<Arc<EndPlanes>, SimError> {
    if let Some(recorded) = trace.known::<EndPlanes>(PREDICTED) {
        return recorded.checked(layer, PREDICTED);
    }
    let operands = Operands::of(layer, trace)?;
    let planes = kernels::predictive_end_planes(&operands.problem(), share);
    Ok(Arc::new(EndPlanes::recorded(planes.map_err(|error| failed(layer, PREDICTED, error))?.into())))
}

fn failed(layer: &LayerWorkload, trace: &'static str, error: ConvError) -> SimError {
    SimError::Trace { layer: layer.name.clone(), trace, source: TraceError::Failed(error.into()) }
}

/// A layer and one image as the kernels want them.
struct Operands<'l> {
    layer: Cow<'l, LayerWorkload>,
    activation: Arc<[i32]>,
    weights: &'l [i32],
    bias: Arc<[i64]>,
    residual: Option<Arc<[i64]>>,
}

impl<'l> Operands<'l> {
    fn of(original: &'l LayerWorkload, trace: &LayerTrace) -> Result<Self, SimError> {
        let missing = || SimError::WeightsRequired { layer: original.name.clone(), accelerator: super::NAME };
        let weights = original.weights.as_deref().ok_or_else(missing)?;
        // Operands that padding holds are part of the input here.
        let (layer, activation) = original.with_padding(trace.activation()?);
        Ok(Self { layer, activation, weights, bias: trace.bias()?, residual: trace.residual()? })
    }

    fn problem(&self) -> ConvProblem<'_> {
        ConvProblem {
            activations: &self.activation,
            weights: self.weights,
            bias: &self.bias,
            residual: self.residual.as_deref(),
            shape: self.layer.shape,
            weight_bits: self.layer.weight_bits,
            activation_bits: self.layer.activation_bits,
            activation_signed: self.layer.activation_signed,
            input_offset: 0,
        }
    }
}

/// Checks end planes against the exact sums of the network, which another kernel computed: an output may stop early only
/// where its ReLU gives 0, and every other output must have the same sum. Gives how many were recomputed, too.
fn verify(
    layer: &LayerWorkload,
    trace: &LayerTrace,
    operands: &Operands<'_>,
    end: &kernels::EndPlanes,
    test: EndTest,
) -> Result<u64, SimError> {
    let exact = trace.output_sums()?;
    let wrong = |planes: u8, sum: i64, exact: i64| {
        let stopped = u32::from(planes) < layer.weight_bits;
        let after_relu = if stopped { 0 } else { sum.max(0) };
        after_relu != exact.max(0) || sum != exact
    };
    let found = end.planes.iter().zip(&end.sums).zip(exact.iter());
    let n_different = found.filter(|&((&planes, &sum), &exact)| wrong(planes, sum, exact)).count() as u64;
    let (n_recomputed, n_wrong) = recompute(operands, end, test);
    match n_different + n_wrong {
        0 => Ok(n_recomputed),
        n_different => Err(SimError::NotExact { layer: layer.name.clone(), what: "end planes", n_different }),
    }
}

/// Recomputes some outputs by the definition: how many, and how many end planes differ.
fn recompute(operands: &Operands<'_>, end: &kernels::EndPlanes, test: EndTest) -> (u64, u64) {
    let layer = &*operands.layer;
    let (depth, windows) = (layer.shape.inputs_per_output(), layer.shape.p() * layer.shape.q());
    let stride = (end.planes.len() / DEFINITION_CHECKS).max(1);
    let (mut n_recomputed, mut n_wrong) = (0, 0);
    for idx in (0..end.planes.len()).step_by(stride) {
        let inputs: Vec<i32> = layer.operands(&operands.activation, idx).collect();
        let filter = idx / windows;
        let weights = &operands.weights[filter * depth..(filter + 1) * depth];
        let start = operands.bias[filter] + operands.residual.as_ref().map_or(0, |residual| residual[idx]);
        let expected = skimp_numerics::end_planes(&inputs, weights, start, layer.weight_bits, test);
        n_wrong += u64::from(!expected.is_ok_and(|trace| trace.planes == u32::from(end.planes[idx])));
        n_recomputed += 1;
    }
    (n_recomputed, n_wrong)
}
