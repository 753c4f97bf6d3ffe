//! Weights of −1 and +1, activations of 0 and 1: the binary sigmoid.

use super::settings::{self, Activations, Ends, Padding, Weights};
use super::{Quantizer, QuantizerEntry, SignScale};
use crate::TrainError;
use crate::policy::Switch;
use crate::reference::SignValues;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Bnn01Entry;

impl QuantizerEntry for Bnn01Entry {
    fn name(&self) -> &'static str {
        "bnn01"
    }

    fn summary(&self) -> &'static str {
        "weights ±1, activations +1 and 0"
    }

    fn source(&self) -> &'static str {
        "Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, \"Binarized Neural Networks\", NIPS 2016, and its code (binary_sigmoid); Sun et al., ASP-DAC 2018"
    }

    fn weights(&self) -> &'static str {
        "±1"
    }

    fn activations(&self) -> &'static str {
        "0, 1"
    }

    fn switches(&self) -> Vec<Switch> {
        let mut switches = settings::sign_switches("0.5");
        switches.push(settings::padding_switch("0"));
        switches.extend(settings::weight_switches("same", "straight", "false"));
        switches
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let (values, padding) = (SignValues::ZeroOne, Padding::Zero);
        let sign = settings::sign(spec, values, 0.5)?;
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
