//! The operand values of one image at one layer, computed once and shared between accelerators.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{LayerWorkload, Moment, SimError, TraceError};

/// Where the values come from: a kernel, an interpreter, or a recording. One provider serves one layer and one image.
///
/// Each method is one trace; a trace that models learn to use later becomes one more method with a default. What a design
/// works out of them is the design's own: see [`LayerTrace::derived`].
pub trait TraceProvider: fmt::Debug + Send + Sync {
    /// Which image and time step the values are of. As it stands: image 0 of a network without time.
    fn moment(&self) -> Moment {
        Moment::default()
    }

    /// Time steps of the image; `None` where the network has no time. A provider with steps offers each by
    /// [`at_step`](Self::at_step), and no values itself.
    fn n_steps(&self) -> Option<usize> {
        None
    }

    /// The values of one time step.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn at_step(&self, _step: usize) -> Result<Arc<dyn TraceProvider>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// Activation codes, row-major `[c, h, w]`, without padding.
    ///
    /// # Errors
    /// [`TraceError::NotOffered`] unless implemented; [`TraceError::Failed`] with the cause.
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// Exact sums before the nonlinearity, bias and residual included, at accumulator scale, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// What the sums of each output channel start from, at accumulator scale, `[k]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    fn bias(&self) -> Result<Arc<[i64]>, TraceError> {
        Err(TraceError::NotOffered)
    }

    /// What the sum of each output starts from beside its bias, at accumulator scale, `[k, p, q]`; `None` if nothing else.
    ///
    /// # Errors
    /// [`TraceError::Failed`] with the cause.
    fn residual(&self) -> Result<Option<Arc<[i64]>>, TraceError> {
        Ok(None)
    }
}

/// A provider of recorded arrays.
#[derive(Clone, Debug, Default)]
pub struct RecordedTrace {
    /// Activation codes.
    pub activation: Option<Arc<[i32]>>,
    /// Output sums.
    pub output_sums: Option<Arc<[i64]>>,
    /// What the sums of each channel start from.
    pub bias: Option<Arc<[i64]>>,
    /// What each sum starts from beside that; `None` for nothing.
    pub residual: Option<Arc<[i64]>>,
}

impl TraceProvider for RecordedTrace {
    fn activation(&self) -> Result<Arc<[i32]>, TraceError> {
        self.activation.clone().ok_or(TraceError::NotOffered)
    }

    fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
        self.output_sums.clone().ok_or(TraceError::NotOffered)
    }

    fn bias(&self) -> Result<Arc<[i64]>, TraceError> {
        self.bias.clone().ok_or(TraceError::NotOffered)
    }

    fn residual(&self) -> Result<Option<Arc<[i64]>>, TraceError> {
        Ok(self.residual.clone())
    }
}

/// What a design works out of a layer's operands, kept with them so that it is worked out once.
pub trait Derived: Any + fmt::Debug + Send + Sync {
    /// A small number for each output, `[k, p, q]`, which those who look at traces from outside (dumps) may keep.
    fn outputs(&self) -> Option<&[u8]> {
        None
    }
}

/// One derived trace: its key, as what it is and as what anyone may see of it.
type Known = (&'static str, Arc<dyn Any + Send + Sync>, Arc<dyn Derived>);

/// The values of one image at one layer. Each trace is asked for when a model first needs it, checked against the
/// layer, and kept until the `LayerTrace` is dropped.
///
/// No lock is held while a provider or a design computes, so both may use a thread pool; two models that ask at the same
/// instant may compute a trace twice, with the same result.
#[derive(Debug)]
pub struct LayerTrace {
    layer: String,
    moment: Moment,
    input_count: usize,
    output_count: usize,
    channels: usize,
    provider: Arc<dyn TraceProvider>,
    activation: Slot<i32>,
    output_sums: Slot<i64>,
    start_values: Slot<i64>,
    derived: Mutex<Vec<Known>>,
}

type Slot<T> = Mutex<Option<Arc<[T]>>>;

impl LayerTrace {
    /// The trace of one image at `layer`.
    #[must_use]
    pub fn new(layer: &LayerWorkload, provider: Arc<dyn TraceProvider>) -> Self {
        LayerTrace {
            layer: layer.name.clone(),
            moment: provider.moment(),
            input_count: layer.shape.input_count(),
            output_count: layer.shape.output_count(),
            channels: layer.shape.k(),
            provider,
            activation: Mutex::default(),
            output_sums: Mutex::default(),
            start_values: Mutex::default(),
            derived: Mutex::default(),
        }
    }

    /// Which image and time step the values are of.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The same values as those of another image or time step than the provider says.
    #[must_use]
    pub fn of(self, moment: Moment) -> Self {
        Self { moment, ..self }
    }

    /// Time steps of the image, `None` where the network has no time; see [`each_step`](Self::each_step).
    #[must_use]
    pub fn n_steps(&self) -> Option<usize> {
        self.provider.n_steps()
    }

    /// The trace of one time step.
    ///
    /// # Errors
    /// [`SimError::Trace`] if the provider does not have it.
    pub fn at_step(&self, layer: &LayerWorkload, step: usize) -> Result<Self, SimError> {
        let failed = |source| SimError::Trace { layer: self.layer.clone(), trace: "time step", source };
        let provider = self.provider.at_step(step).map_err(failed)?;
        let moment = Moment { step: step as u64, ..self.moment };
        Ok(Self::new(layer, provider).of(moment))
    }

    /// Activation codes `[c, h, w]`.
    ///
    /// # Errors
    /// [`SimError::Trace`] if the provider cannot give them, [`SimError::TraceShape`] if they do not fit the layer.
    pub fn activation(&self) -> Result<Arc<[i32]>, SimError> {
        self.cached(&self.activation, || self.asked("activation", self.provider.activation(), self.input_count))
    }

    /// What the sums of each output channel start from, `[k]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn bias(&self) -> Result<Arc<[i64]>, SimError> {
        self.asked("bias", self.provider.bias(), self.channels)
    }

    /// What each sum starts from beside its bias, `[k, p, q]`; `None` if nothing else.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn residual(&self) -> Result<Option<Arc<[i64]>>, SimError> {
        match self.provider.residual().transpose() {
            Some(found) => self.asked("residual", found, self.output_count).map(Some),
            None => Ok(None),
        }
    }

    /// What each sum starts from, bias plus residual, `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn start_values(&self) -> Result<Arc<[i64]>, SimError> {
        self.cached(&self.start_values, || {
            let (bias, residual) = (self.bias()?, self.residual()?);
            let per_channel = (self.output_count / self.channels.max(1)).max(1);
            let of = |idx: usize| bias[idx / per_channel];
            Ok(match residual {
                Some(residual) => residual.iter().enumerate().map(|(idx, &value)| of(idx) + value).collect(),
                None => (0..self.output_count).map(of).collect(),
            })
        })
    }

    /// Exact sums before the nonlinearity `[k, p, q]`.
    ///
    /// # Errors
    /// As [`activation`](Self::activation).
    pub fn output_sums(&self) -> Result<Arc<[i64]>, SimError> {
        self.cached(&self.output_sums, || self.asked("output_sums", self.provider.output_sums(), self.output_count))
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

    /// What a design works out of the operands under `key`, which names all that it depends on beside them (settings of the
    /// design, too): computed unless it is known, and then shared with every design that asks for the same.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn derived<T: Derived>(
        &self,
        key: &'static str,
        compute: impl FnOnce() -> Result<T, SimError>,
    ) -> Result<Arc<T>, SimError> {
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        let found = Arc::new(compute()?);
        Ok(self.keep(key, found))
    }

    /// What is kept under `key`.
    #[must_use]
    pub fn known<T: Derived>(&self, key: &'static str) -> Option<Arc<T>> {
        found(&self.derived.lock().unwrap_or_else(PoisonError::into_inner), key)
    }

    /// Keeps what is known under `key`, a recording for example, unless something is there already; gives what is there.
    pub fn keep<T: Derived>(&self, key: &'static str, new: Arc<T>) -> Arc<T> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        found(&derived, key).unwrap_or_else(|| {
            derived.push((key, new.clone(), new.clone()));
            new
        })
    }

    /// Everything that designs worked out, by key.
    #[must_use]
    pub fn all_derived(&self) -> Vec<(&'static str, Arc<dyn Derived>)> {
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = derived.iter().map(|known| (known.0, known.2.clone())).collect();
        all.sort_by_key(|known| known.0);
        all
    }

    /// What a provider gave, if it fits.
    fn asked<T>(
        &self,
        trace: &'static str,
        given: Result<Arc<[T]>, TraceError>,
        expected_len: usize,
    ) -> Result<Arc<[T]>, SimError> {
        let values = given.map_err(|source| SimError::Trace { layer: self.layer.clone(), trace, source })?;
        if values.len() != expected_len {
            let (expected, found) = (format!("{expected_len} values"), values.len().to_string());
            return Err(SimError::TraceShape { layer: self.layer.clone(), trace, expected, found });
        }
        Ok(values)
    }

    fn cached<T>(
        &self,
        slot: &Slot<T>,
        compute: impl FnOnce() -> Result<Arc<[T]>, SimError>,
    ) -> Result<Arc<[T]>, SimError> {
        if let Some(known) = slot.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let values = compute()?;
        let mut guard = slot.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(guard.get_or_insert(values).clone())
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What is kept under `key`, of the type that is asked for.
fn found<T: Derived>(derived: &[Known], key: &str) -> Option<Arc<T>> {
    derived.iter().filter(|known| known.0 == key).find_map(|known| known.1.clone().downcast().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl TraceProvider for Counting {
        fn output_sums(&self) -> Result<Arc<[i64]>, TraceError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![1, -16, 3, 16].into())
        }
    }

    /// What a design might derive: the sign of each sum.
    #[derive(Debug)]
    struct Signs(Vec<u8>);

    impl Derived for Signs {
        fn outputs(&self) -> Option<&[u8]> {
            Some(&self.0)
        }
    }

    #[test]
    fn traces_and_what_designs_derive_are_computed_once() {
        let layer = LayerWorkload::dense("d", 3, 4);
        let provider = Arc::new(Counting::default());
        let trace = LayerTrace::new(&layer, provider.clone());
        let derivations = AtomicUsize::new(0);
        let signs = || {
            trace.derived("signs", || {
                derivations.fetch_add(1, Ordering::Relaxed);
                Ok(Signs(trace.output_sums()?.iter().map(|&sum| u8::from(sum < 0)).collect()))
            })
        };
        for _ in 0..3 {
            assert_eq!(signs().unwrap().0, [0, 1, 0, 0]);
            assert_eq!(trace.output_sums().unwrap()[2], 3);
        }
        assert_eq!((provider.0.load(Ordering::Relaxed), derivations.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(trace.all_derived()[0].1.outputs(), Some(&[0, 1, 0, 0][..]));
        assert!(trace.known::<Signs>("other").is_none());
        let missing = trace.activation().unwrap_err().to_string();
        assert_eq!(missing, "layer \"d\": trace activation: the provider does not offer it");
    }

    #[test]
    fn misfits_are_errors() {
        let layer = LayerWorkload { weight_bits: 8, ..LayerWorkload::dense("d", 3, 4) };
        let recorded = RecordedTrace {
            activation: Some(vec![1, 0].into()),
            output_sums: Some(vec![5, -1, 0, 2].into()),
            bias: Some(vec![1, 2, 3, 4].into()),
            residual: Some(vec![10, 20, 30, 40].into()),
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        assert!(trace.activation().unwrap_err().to_string().contains("expected 3 values, found 2"));
        assert_eq!(trace.output_density().unwrap().to_bits(), 0.5f64.to_bits());
        assert_eq!(trace.start_values().unwrap()[..], [11, 22, 33, 44]);
    }
}
