//! Binary weights of one magnitude for each filter, activations of −1 and +1.

use super::settings::{self, Activations, Ends, Padding, Weights};
use super::{Quantizer, QuantizerEntry, SignScale};
use crate::TrainError;
use crate::policy::Switch;
use crate::reference::SignValues;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct XnorEntry;

impl QuantizerEntry for XnorEntry {
    fn name(&self) -> &'static str {
        "xnor"
    }

    fn summary(&self) -> &'static str {
        "weights ±alpha, activations ±1, first and last layer real"
    }

    fn source(&self) -> &'static str {
        "Rastegari, Ordonez, Redmon, Farhadi, \"XNOR-Net\", ECCV 2016, and its code, which leaves the scales of inputs out"
    }

    fn weights(&self) -> &'static str {
        "±alpha of the filter"
    }

    fn activations(&self) -> &'static str {
        "±1"
    }

    fn switches(&self) -> Vec<Switch> {
        let mut switches = settings::sign_switches("1");
        switches.push(settings::padding_switch("-1"));
        switches.extend(settings::weight_switches("real", "straight", "true"));
        switches
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let (values, padding) = (SignValues::PlusMinusOne, Padding::Minus);
        let sign = settings::sign(spec, values, 1.0)?;
        let padding = settings::padding(spec, values, padding)?;
        let settings = settings::weights(spec, Ends::Real, false, true)?;
        Ok(Quantizer {
            weights: Weights::Sign { scale: SignScale::MeanAbs, is_scaled: settings.is_scaled },
            activations: Activations::Sign(sign),
            padding,
            ends: settings.ends,
            latents: settings.latents,
            ..Quantizer::float(self.name())
        })
    }
}
