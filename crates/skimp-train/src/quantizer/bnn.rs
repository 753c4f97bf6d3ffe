//! Weights and activations of −1 and +1.

use super::settings::{self, Activations, Ends, Padding, Weights};
use super::{Quantizer, QuantizerEntry, SignScale};
use crate::TrainError;
use crate::policy::Switch;
use crate::reference::SignValues;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct BnnEntry;

impl QuantizerEntry for BnnEntry {
    fn name(&self) -> &'static str {
        "bnn"
    }

    fn summary(&self) -> &'static str {
        "weights ±1, activations ±1"
    }

    fn source(&self) -> &'static str {
        "Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, \"Binarized Neural Networks\", NIPS 2016, and its code"
    }

    fn weights(&self) -> &'static str {
        "±1"
    }

    fn activations(&self) -> &'static str {
        "±1"
    }

    fn switches(&self) -> Vec<Switch> {
        let mut switches = settings::sign_switches("1");
        switches.push(settings::padding_switch("-1"));
        switches.extend(settings::weight_switches("same", "straight", "false"));
        switches
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let (values, padding) = (SignValues::PlusMinusOne, Padding::Minus);
        let sign = settings::sign(spec, values, 1.0)?;
        let padding = settings::padding(spec, values, padding)?;
        let settings = settings::weights(spec, Ends::Same, false, false)?;
        Ok(Quantizer {
            weights: Weights::Sign { scale: SignScale::One, is_scaled: settings.is_scaled },
            activations: Activations::Sign(sign),
            padding,
            ends: settings.ends,
            latents: settings.latents,
            ..Quantizer::float(self.name())
        })
    }
}
