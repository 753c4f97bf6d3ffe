//! Binary weights of one magnitude for each filter, real activations.

use super::settings::{self, Ends, Weights};
use super::{Quantizer, QuantizerEntry, SignScale};
use crate::TrainError;
use crate::policy::Switch;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct BwnEntry;

impl QuantizerEntry for BwnEntry {
    fn name(&self) -> &'static str {
        "bwn"
    }

    fn summary(&self) -> &'static str {
        "weights ±alpha (alpha the mean magnitude of a filter's), rectifiers"
    }

    fn source(&self) -> &'static str {
        "Rastegari, Ordonez, Redmon, Farhadi, \"XNOR-Net\", ECCV 2016, section 3.1"
    }

    fn weights(&self) -> &'static str {
        "±alpha of the filter"
    }

    fn activations(&self) -> &'static str {
        "f32"
    }

    fn switches(&self) -> Vec<Switch> {
        settings::weight_switches("same", "straight", "false")
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let settings = settings::weights(spec, Ends::Same, false, false)?;
        Ok(Quantizer {
            weights: Weights::Sign { scale: SignScale::MeanAbs, is_scaled: settings.is_scaled },
            ends: settings.ends,
            latents: settings.latents,
            ..Quantizer::float(self.name())
        })
    }
}
