//! A spiking network of one time step or several: real weights, spikes of 0 and 1.

use super::settings::{self, Activations, Padding};
use super::{Quantizer, QuantizerEntry};
use crate::TrainError;
use crate::policy::Switch;
use crate::reference::SignValues;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct SnnEntry;

impl QuantizerEntry for SnnEntry {
    fn name(&self) -> &'static str {
        "snn"
    }

    fn summary(&self) -> &'static str {
        "real weights, spikes: one time step, or several with neurons behind the batch norms"
    }

    fn source(&self) -> &'static str {
        "Neftci, Mostafa, Zenke, \"Surrogate Gradient Learning in Spiking Neural Networks\", IEEE Signal Processing Magazine 36(6), 2019"
    }

    fn weights(&self) -> &'static str {
        "f32"
    }

    fn activations(&self) -> &'static str {
        "0, 1"
    }

    fn switches(&self) -> Vec<Switch> {
        let mut switches = settings::sign_switches("1");
        switches.push(settings::padding_switch("0"));
        switches.extend(settings::time_switches());
        switches
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let (values, padding) = (SignValues::ZeroOne, Padding::Zero);
        let sign = settings::sign(spec, values, 1.0)?;
        let padding = settings::padding(spec, values, padding)?;
        let time = settings::time(spec)?;
        Ok(Quantizer { activations: Activations::Sign(sign), padding, time, ..Quantizer::float(self.name()) })
    }
}
