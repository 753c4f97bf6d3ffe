//! A binary spiking network of one time step or several: weights of −1 and +1, spikes of 0 and 1.

use super::settings::{self, Activations, Ends, Padding, Weights};
use super::{Quantizer, QuantizerEntry, SignScale};
use crate::TrainError;
use crate::policy::Switch;
use crate::reference::SignValues;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct BsnnEntry;

impl QuantizerEntry for BsnnEntry {
    fn name(&self) -> &'static str {
        "bsnn"
    }

    fn summary(&self) -> &'static str {
        "weights ±1, spikes: one time step, or several with neurons behind the batch norms"
    }

    fn source(&self) -> &'static str {
        "STT-BSNN: Nguyen et al., IEEE Access 2021; one time step as bnn01"
    }

    fn weights(&self) -> &'static str {
        "±1"
    }

    fn activations(&self) -> &'static str {
        "0, 1"
    }

    fn switches(&self) -> Vec<Switch> {
        let mut switches = settings::sign_switches("1");
        switches.push(settings::padding_switch("0"));
        switches.extend(settings::time_switches());
        switches.extend(settings::weight_switches("same", "straight", "false"));
        switches
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let (values, padding) = (SignValues::ZeroOne, Padding::Zero);
        let sign = settings::sign(spec, values, 1.0)?;
        let padding = settings::padding(spec, values, padding)?;
        let time = settings::time(spec)?;
        let settings = settings::weights(spec, Ends::Same, false, false)?;
        Ok(Quantizer {
            weights: Weights::Sign { scale: SignScale::One, is_scaled: settings.is_scaled },
            activations: Activations::Sign(sign),
            padding,
            time,
            ends: settings.ends,
            latents: settings.latents,
            ..Quantizer::float(self.name())
        })
    }
}
