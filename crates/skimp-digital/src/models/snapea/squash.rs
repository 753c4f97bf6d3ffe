//! What predictions do to the values of a network.

use std::sync::OnceLock;

use skimp_sim::{LayerEffect, LayerTrace, LayerWorkload, SimError};

use super::order::{Prediction, speculation};
use super::scan::speculate;
use crate::models::config::check_names;

/// The setting that holds predictions.
const KEY: &str = "kernel_predictions";

/// The kernels of one layer, `None` where a kernel does not predict.
#[derive(Clone, Debug)]
pub(super) struct LayerPredictions {
    pub(super) layer: String,
    pub(super) kernels: Vec<Option<Prediction>>,
    /// Speculation weights of each kernel, found when they are first needed.
    speculation: OnceLock<Vec<Vec<usize>>>,
}

impl LayerPredictions {
    pub(super) fn new(layer: &str, kernels: Vec<Option<Prediction>>) -> Self {
        Self { layer: layer.to_owned(), kernels, speculation: OnceLock::new() }
    }

    pub(super) fn predicts(&self) -> bool {
        self.kernels.iter().any(Option::is_some)
    }

    /// Reads `LAYER=KERNEL:WEIGHTS:THRESHOLD KERNEL:..`; kernels that are left out do not predict.
    pub(super) fn parse(text: &str) -> Result<Self, SimError> {
        let refuse = || SimError::SettingValue {
            key: KEY.into(),
            reason: format!("expected LAYER=KERNEL:WEIGHTS:THRESHOLD .., found {text:?}"),
        };
        let (layer, entries) = text.rsplit_once('=').ok_or_else(refuse)?;
        let mut kernels = Vec::new();
        for entry in entries.split_whitespace() {
            let mut parts = entry.split(':');
            let mut next = || parts.next().ok_or_else(refuse);
            let kernel: usize = next()?.parse().map_err(|_| refuse())?;
            let n_speculation: usize = next()?.parse().map_err(|_| refuse())?;
            let threshold: i64 = next()?.parse().map_err(|_| refuse())?;
            if n_speculation == 0 || kernel >= MOST_KERNELS || parts.next().is_some() {
                return Err(refuse());
            }
            kernels.resize(kernels.len().max(kernel + 1), None);
            kernels[kernel] = Some(Prediction { n_speculation, threshold });
        }
        Ok(Self::new(layer, kernels))
    }
}

/// More kernels than any layer has.
const MOST_KERNELS: usize = 1 << 20;

impl std::fmt::Display for LayerPredictions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=", self.layer)?;
        let mut gap = "";
        for (kernel, prediction) in self.kernels.iter().enumerate() {
            if let Some(Prediction { n_speculation, threshold }) = prediction {
                write!(f, "{gap}{kernel}:{n_speculation}:{threshold}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// What predictions do to values: a positive output that is predicted negative becomes -1, which a ReLU makes 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Squash(pub(super) Vec<LayerPredictions>);

impl Squash {
    /// Refuses predictions for layers or kernels that the network does not have.
    pub(super) fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        check_names(KEY, self.0.iter().map(|known| known.layer.as_str()), layers)?;
        for layer in layers {
            let of_layer = self.0.iter().filter(|known| known.layer == layer.name);
            if let Some(kernel) = of_layer.map(|known| known.kernels.len()).find(|&kernels| kernels > layer.shape.k()) {
                let what =
                    format!("a prediction for kernel {}: it has kernels 0 to {}", kernel - 1, layer.shape.k() - 1);
                return Err(SimError::NotTaken { key: KEY, layer: layer.name.clone(), accelerator: super::NAME, what });
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, layer: &LayerWorkload) -> Option<&LayerPredictions> {
        let known = self.0.iter().find(|known| known.layer == layer.name)?;
        (known.kernels.len() <= layer.shape.k() && known.predicts()).then_some(known)
    }
}

impl LayerEffect for Squash {
    fn applies(&self, layer: &LayerWorkload) -> bool {
        layer.negatives.are_unseen() && self.of(layer).is_some()
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let (Some(predictions), Some(weights)) = (self.of(layer), layer.weights.as_deref()) else { return Ok(()) };
        let (layer, activation) = layer.with_padding(operands.activation()?);
        let starts = operands.start_values()?;
        let (depth, windows) = (layer.shape.inputs_per_output(), layer.shape.p() * layer.shape.q());
        let speculation = predictions.speculation.get_or_init(|| {
            let of_kernel = |(kernel, prediction): (usize, &Option<Prediction>)| {
                let weights = &weights[kernel * depth..(kernel + 1) * depth];
                prediction.map_or_else(Vec::new, |prediction| speculation(weights, prediction.n_speculation))
            };
            predictions.kernels.iter().enumerate().map(of_kernel).collect()
        });
        let mut partial = Vec::with_capacity(windows);
        for (filter, prediction) in predictions.kernels.iter().enumerate() {
            let Some(prediction) = prediction else { continue };
            let here = filter * windows..(filter + 1) * windows;
            partial.clear();
            partial.extend_from_slice(&starts[here.clone()]);
            speculate(&layer, &activation, filter, &speculation[filter], &mut partial);
            for (sum, &partial) in sums[here].iter_mut().zip(&partial) {
                *sum = if partial <= prediction.threshold { (*sum).min(-1) } else { *sum };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_are_written_and_read() {
        let text = "stage=1/conv=0:4:-17 2:16:900";
        let predictions = LayerPredictions::parse(text).unwrap();
        assert_eq!((predictions.layer.as_str(), predictions.kernels.len()), ("stage=1/conv", 3));
        assert_eq!(predictions.kernels[2], Some(Prediction { n_speculation: 16, threshold: 900 }));
        assert_eq!((predictions.kernels[1], predictions.to_string()), (None, text.to_owned()));
        for wrong in ["conv", "conv=1:2", "conv=1:0:3", "conv=1:2:3:4", "conv=x:2:3", "conv=99999999:2:3"] {
            let error = LayerPredictions::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("LAYER=KERNEL:WEIGHTS:THRESHOLD"), "{error}");
        }
    }
}
