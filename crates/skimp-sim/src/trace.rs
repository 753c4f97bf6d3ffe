//! The operand values of one image at one layer, computed once and shared between accelerators.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use skimp_numerics::EndTest;

use crate::{LayerWorkload, SimError, TraceError};

/// Where the values come from: a kernel, an interpreter, or a recording. One provider serves one layer and one image.
///
/// Each method is one trace; a trace that models learn to use later becomes one more method with this default.
pub trait TraceProvider: fmt::Debug + Send + Sync {
    /// Activation codes, row-major `[c, h, w]`, without padding.
    ///
    /// # Errors
    /// [`TraceError::NotOffered`] unless implemented; [`TraceError::Failed`] with the cause.
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// Weight planes used by each output under early negative detection, 1 to the weight width, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn end_planes(&self, _test: EndTest) -> Result<Arc<[u8]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// Exact sums before the nonlinearity, bias and residual included, at accumulator scale, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// What each sum starts from, bias plus residual, at accumulator scale, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn start_values(&self) -> Result<Arc<[i64]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// Weight planes used by each output under predictive negative detection, `[k, p, q]`: the first plane `p` with
    /// `P_p - share * (2^(B-p) - 1) * A < 0`, where `P_p` is the partial sum, `B` the weight width and `A` the sum of
    /// the output's activations; `B` if there is none. Share 0 is exact early negative detection.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn predictive_end_planes(&self, _share: f64) -> Result<Arc<[u8]>, TraceError> {
        Err(TraceError::NotOffered)
    }
}

/// A provider of recorded arrays.
#[derive(Clone, Debug, Default)]
pub struct RecordedTrace {
    /// Activation codes.
    pub activation: Option<Arc<[i32]>>,
    /// End planes under [`EndTest::Negative`].
    pub end_planes_negative: Option<Arc<[u8]>>,
    /// End planes under [`EndTest::NonPositive`].
    pub end_planes_non_positive: Option<Arc<[u8]>>,
    /// Output sums.
    pub output_sums: Option<Arc<[i64]>>,
    /// Bias plus residual.
    pub start_values: Option<Arc<[i64]>>,
    /// End planes of predictive negative detection, whatever its share.
    pub predictive_end_planes: Option<Arc<[u8]>>,
}

impl TraceProvider for RecordedTrace {
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        self.activation.clone().ok_or(TraceError::NotOffered)
    }

    fn end_planes(&self, test: EndTest) -> Result<Arc<[u8]>, TraceError> {
        let planes = match test {
            EndTest::Negative => &self.end_planes_negative,
            EndTest::NonPositive => &self.end_planes_non_positive,
        };
        planes.clone().ok_or(TraceError::NotOffered)
    }

    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        self.output_sums.clone().ok_or(TraceError::NotOffered)
    }

    fn start_values(&self) -> Result<Arc<[i64]>, TraceError> {
        self.start_values.clone().ok_or(TraceError::NotOffered)
    }

    fn predictive_end_planes(&self, _share: f64) -> Result<Arc<[u8]>, TraceError> {
        self.predictive_end_planes.clone().ok_or(TraceError::NotOffered)
    }
}

/// The values of one image at one layer. Each trace is asked for when a model first needs it, checked against the
/// layer, and kept until the `LayerTrace` is dropped.
///
/// No lock is held while a provider computes, so providers and models may both use a thread pool; two models that ask
/// at the same instant may compute a trace twice, with the same result.
#[derive(Debug)]
pub struct LayerTrace {
    layer: String,
    input_count: usize,
    output_count: usize,
    weight_bits: u32,
    provider: Arc<dyn TraceProvider>,
    activation: Slot<i32>,
    end_planes_negative: Slot<u8>,
    end_planes_non_positive: Slot<u8>,
    output_sums: Slot<i64>,
    start_values: Slot<i64>,
}

type Slot<T> = Mutex<Option<Arc<[T]>>>;

impl LayerTrace {
    /// The trace of one image at `layer`.
    #[must_use]
    pub fn new(layer: &LayerWorkload, provider: Arc<dyn TraceProvider>) -> Self {
        LayerTrace {
            layer: layer.name.clone(),
            input_count: layer.shape.input_count(),
            output_count: layer.shape.output_count(),
            weight_bits: layer.weight_bits,
            provider,
            activation: Mutex::default(),
            end_planes_negative: Mutex::default(),
            end_planes_non_positive: Mutex::default(),
            output_sums: Mutex::default(),
            start_values: Mutex::default(),
        }
    }

    /// Activation codes `[c, h, w]`.
    ///
    /// # Errors
    /// [`SimError::Trace`] if the provider cannot give them, [`SimError::TraceShape`] if they do not fit the layer.
    pub fn activation(&self) -> Result<Arc<[i32]>, SimError> {
        let name = "activation";
        self.cached(&self.activation, name, |provider| provider.activation(), self.input_count, |_| None)
    }

    /// Weight planes used by each output `[k, p, q]`, each 1 to the weight width.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn end_planes(&self, test: EndTest) -> Result<Arc<[u8]>, SimError> {
        let (slot, name) = match test {
            EndTest::Negative => (&self.end_planes_negative, "end_planes (< 0)"),
            EndTest::NonPositive => (&self.end_planes_non_positive, "end_planes (<= 0)"),
        };
        let bits = self.weight_bits;
        self.cached(slot, name, |provider| provider.end_planes(test), self.output_count, planes_within(bits))
    }

    /// Weight planes used by each output `[k, p, q]` under predictive negative detection; not kept.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn predictive_end_planes(&self, share: f64) -> Result<Arc<[u8]>, SimError> {
        let compute = |provider: &dyn TraceProvider| provider.predictive_end_planes(share);
        let in_range = planes_within(self.weight_bits);
        self.cached(&Mutex::default(), "predictive_end_planes", compute, self.output_count, in_range)
    }

    /// What each sum starts from, bias plus residual, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn start_values(&self) -> Result<Arc<[i64]>, SimError> {
        let name = "start_values";
        self.cached(&self.start_values, name, |provider| provider.start_values(), self.output_count, |_| None)
    }

    /// Exact sums before the nonlinearity `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn output_sums(&self) -> Result<Arc<[i64]>, SimError> {
        let name = "output_sums";
        self.cached(&self.output_sums, name, |provider| provider.output_sums(), self.output_count, |_| None)
    }

    /// Share of activation codes that are not 0; padding does not count.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn activation_density(&self) -> Result<f64, SimError> {
        let activation = self.activation()?;
        Ok(share(activation.iter().filter(|&&code| code != 0).count(), activation.len()))
    }

    /// Share of output sums above 0, that is of outputs that a ReLU lets through.
    ///
    /// # Errors
    /// As [`output_sums`](Self::output_sums).
    pub fn output_density(&self) -> Result<f64, SimError> {
        let sums = self.output_sums()?;
        Ok(share(sums.iter().filter(|&&sum| sum > 0).count(), sums.len()))
    }

    /// Count of outputs by end plane: entry `e` counts outputs that used `e` planes; entry 0 is 0.
    ///
    /// # Errors
    /// As [`end_planes`](Self::end_planes).
    pub fn end_plane_histogram(&self, test: EndTest) -> Result<Vec<u64>, SimError> {
        let mut histogram = vec![0; self.weight_bits as usize + 1];
        for &plane in self.end_planes(test)?.iter() {
            histogram[usize::from(plane)] += 1;
        }
        Ok(histogram)
    }

    fn cached<T: Send + Sync>(
        &self,
        slot: &Slot<T>,
        trace: &'static str,
        compute: impl FnOnce(&dyn TraceProvider) -> Result<Arc<[T]>, TraceError>,
        expected_len: usize,
        misfit: impl FnOnce(&[T]) -> Option<(String, String)>,
    ) -> Result<Arc<[T]>, SimError> {
        if let Some(known) = slot.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let layer = || self.layer.clone();
        let values =
            compute(self.provider.as_ref()).map_err(|source| SimError::Trace { layer: layer(), trace, source })?;
        let shape_error = |expected, found| SimError::TraceShape { layer: layer(), trace, expected, found };
        if values.len() != expected_len {
            return Err(shape_error(format!("{expected_len} values"), values.len().to_string()));
        }
        if let Some((expected, found)) = misfit(&values) {
            return Err(shape_error(expected, found));
        }
        let mut guard = slot.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(guard.get_or_insert(values).clone())
    }
}

/// Finds a plane outside `1..=bits`.
fn planes_within(bits: u32) -> impl FnOnce(&[u8]) -> Option<(String, String)> {
    move |planes| {
        let outside = planes.iter().find(|&&plane| plane == 0 || u32::from(plane) > bits)?;
        Some((format!("planes in 1..={bits}"), outside.to_string()))
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl TraceProvider for Counting {
        fn end_planes(&self, _test: EndTest) -> Result<Arc<[u8]>, TraceError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![1, 16, 3, 16].into())
        }
    }

    #[test]
    fn a_trace_is_computed_once_per_test() {
        let layer = LayerWorkload::dense("d", 3, 4);
        let provider = Arc::new(Counting::default());
        let trace = LayerTrace::new(&layer, provider.clone());
        for _ in 0..3 {
            assert_eq!(trace.end_planes(EndTest::Negative).unwrap()[2], 3);
        }
        assert_eq!(provider.0.load(Ordering::Relaxed), 1);
        let histogram = trace.end_plane_histogram(EndTest::NonPositive).unwrap();
        assert_eq!((histogram[1], histogram[3], histogram[16]), (1, 1, 2));
        assert_eq!(provider.0.load(Ordering::Relaxed), 2);
        let missing = trace.activation().unwrap_err().to_string();
        assert_eq!(missing, "layer \"d\": trace activation: the provider does not offer it");
    }

    #[test]
    fn misfits_are_errors() {
        let layer = LayerWorkload { weight_bits: 8, ..LayerWorkload::dense("d", 3, 4) };
        let recorded = RecordedTrace {
            activation: Some(vec![1, 0].into()),
            end_planes_negative: Some(vec![1, 9, 3, 4].into()),
            output_sums: Some(vec![5, -1, 0, 2].into()),
            ..RecordedTrace::default()
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        assert!(trace.activation().unwrap_err().to_string().contains("expected 3 values, found 2"));
        assert!(trace.end_planes(EndTest::Negative).unwrap_err().to_string().contains("expected planes in 1..=8"));
        assert_eq!(trace.output_density().unwrap().to_bits(), 0.5f64.to_bits());
    }
}
