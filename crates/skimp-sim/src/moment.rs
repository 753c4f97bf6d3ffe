//! Which image and time step a trace is of, and traces of several time steps.

use std::sync::Arc;

use skimp_numerics::rng::Key;

use crate::{LayerTrace, LayerWorkload, SimError, TraceError, TraceProvider};

/// Which image, at which time step, the values of a trace are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Index of the image in its data set, whatever batch it was computed in.
    pub image: u64,
    /// Time step, from 0; 0 in a network without time.
    pub step: u64,
}

impl Moment {
    /// The key of a model's random numbers for this image and time step: they do not depend on batches and threads.
    #[must_use]
    pub const fn key(self, seed: u64, stream: u64) -> Key {
        Key { seed, stream, step: self.step, image: self.image }
    }
}

/// One image at one layer over several time steps, each with a provider of its own.
#[derive(Clone, Debug)]
pub struct TimedTrace {
    image: u64,
    steps: Vec<Arc<dyn TraceProvider>>,
}

impl TimedTrace {
    /// The values of `image` at the time steps 0, 1, ...: what the provider of a step says of its own moment does not count.
    #[must_use]
    pub fn new(image: u64, steps: Vec<Arc<dyn TraceProvider>>) -> Self {
        Self { image, steps }
    }
}

impl TraceProvider for TimedTrace {
    fn moment(&self) -> Moment {
        Moment { image: self.image, step: 0 }
    }

    fn n_steps(&self) -> Option<usize> {
        Some(self.steps.len())
    }

    fn at_step(&self, step: usize) -> Result<Arc<dyn TraceProvider>, TraceError> {
        self.steps.get(step).cloned().ok_or(TraceError::NotOffered)
    }
}

impl LayerTrace {
    /// Calls `work` with the trace of each time step of the image, in order; with this one where there is no time.
    ///
    /// A trace with time steps offers no values itself, so that no model takes one step for all of them.
    ///
    /// # Errors
    /// [`SimError::Trace`] if the provider lacks a step, and those of `work`.
    pub fn each_step(
        &self,
        layer: &LayerWorkload,
        mut work: impl FnMut(&LayerTrace) -> Result<(), SimError>,
    ) -> Result<(), SimError> {
        let Some(n_steps) = self.n_steps() else { return work(self) };
        for step in 0..n_steps {
            work(&self.at_step(layer, step)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::stream;

    use super::*;
    use crate::RecordedTrace;

    fn two_steps() -> LayerTrace {
        let step = |activation: [i32; 3]| -> Arc<dyn TraceProvider> {
            let sums = vec![i64::from(activation.iter().sum::<i32>()); 4];
            let (activation, output_sums) = (Some(activation.to_vec().into()), Some(sums.into()));
            Arc::new(RecordedTrace { activation, output_sums, ..RecordedTrace::default() })
        };
        let provider = TimedTrace::new(17, vec![step([1, 0, 1]), step([0, 1, 0])]);
        LayerTrace::new(&LayerWorkload::dense("d", 3, 4), Arc::new(provider))
    }

    #[test]
    fn every_step_is_seen_once_with_its_moment() {
        let (layer, trace) = (LayerWorkload::dense("d", 3, 4), two_steps());
        let mut seen = Vec::new();
        trace
            .each_step(&layer, |step| {
                seen.push((step.moment(), step.activation()?.to_vec(), step.output_sums()?[0]));
                Ok(())
            })
            .unwrap();
        let moment = |step| Moment { image: 17, step };
        assert_eq!(seen, [(moment(0), vec![1, 0, 1], 2), (moment(1), vec![0, 1, 0], 1)]);
        // Who does not know time gets an error, not the first step.
        let error = trace.activation().unwrap_err().to_string();
        assert_eq!(error, "layer \"d\": trace activation: the provider does not offer it");
        assert!(trace.at_step(&layer, 2).is_err());
        let mut draws = [moment(0), moment(1)].map(|moment| moment.key(1, stream("noise")).draws());
        assert_ne!(draws[0].next_u64(), draws[1].next_u64());
    }

    #[test]
    fn a_plain_trace_is_one_step() {
        let layer = LayerWorkload::dense("d", 3, 4);
        let moment = Moment { image: 5, step: 0 };
        let recorded = RecordedTrace { activation: Some(vec![1, 2, 3].into()), ..RecordedTrace::default() };
        let trace = LayerTrace::new(&layer, Arc::new(recorded)).of(moment);
        let mut seen = Vec::new();
        let mut look = |step: &LayerTrace| {
            seen.push((step.moment(), step.activation()?[2]));
            Ok(())
        };
        trace.each_step(&layer, &mut look).unwrap();
        assert_eq!(seen, [(moment, 3)]);
    }
}
