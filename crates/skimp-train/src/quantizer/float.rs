//! All real: the baseline of the other quantizers.

use super::{Quantizer, QuantizerEntry};
use crate::TrainError;
use crate::policy::Switch;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct FloatEntry;

impl QuantizerEntry for FloatEntry {
    fn name(&self) -> &'static str {
        "float"
    }

    fn summary(&self) -> &'static str {
        "real weights and rectifiers in the blocks of the other quantizers: their baseline"
    }

    fn source(&self) -> &'static str {
        "Ioffe, Szegedy, \"Batch Normalization\", ICML 2015"
    }

    fn weights(&self) -> &'static str {
        "f32"
    }

    fn activations(&self) -> &'static str {
        "f32"
    }

    fn switches(&self) -> Vec<Switch> {
        Vec::new()
    }

    fn create(&self, _: &mut Spec) -> Result<Quantizer, TrainError> {
        Ok(Quantizer::float(self.name()))
    }
}
