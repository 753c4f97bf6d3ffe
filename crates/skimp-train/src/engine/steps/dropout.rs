//! Dropout.

use crate::TrainError;
use crate::engine::Mode;
use crate::engine::kernels::{copy, per_image};
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::reference::DropoutKey;

/// Zeroes a share of the elements in training and scales up the others; see [`DropoutKey`].
#[derive(Debug)]
pub(crate) struct Dropout {
    ratio: f32,
    stream: u64,
}

impl Dropout {
    pub(crate) fn new(ratio: f32, node: &str) -> Self {
        Self { ratio, stream: DropoutKey::stream(node) }
    }

    /// `out = x · mask / (1 − ratio)`, with the mask indexed in the graph's order.
    fn apply(&self, out: &mut [f32], x: &[f32], mode: Mode, channels: usize, pixels: usize) {
        let Mode::Train { step, seed } = mode else { return copy(out, x) };
        let key = DropoutKey { seed, step };
        let factor = (1.0 / (1.0 - f64::from(self.ratio))) as f32;
        let len = channels * pixels;
        per_image(out, len, |n, image| {
            for (i, out) in image.iter_mut().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                let graph_idx = n * len + channel * pixels + pixel;
                *out = if key.keeps(self.stream, graph_idx, self.ratio) { x[n * len + i] * factor } else { 0.0 };
            }
        });
    }
}

impl Step for Dropout {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: false, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        run.produce(place.outputs[0], |y, run| {
            let spec = run.tensors.spec(place.outputs[0]);
            self.apply(y, run.value(place.inputs[0].id), run.mode, spec.channels(), spec.pixels());
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        run.contribute(&place.inputs[0], |dx, run| {
            let spec = run.tensors.spec(place.outputs[0]);
            self.apply(dx, run.grad(place.outputs[0]), run.mode, spec.channels(), spec.pixels());
        });
        Ok(())
    }
}
