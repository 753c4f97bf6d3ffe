//! What the inputs of a network are in each time step.

use std::borrow::Cow;

use skimp_numerics::rng::{Draws, Key, stream};

use crate::{GraphError, Tensor};

/// What the network is fed in each time step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputCoding {
    /// The input itself, the same in each step.
    Direct,
    /// Spikes: 1 with the probability that the input is, of [0, 1], else 0; drawn anew in each step.
    ///
    /// # Determinism
    /// Keyed by seed, image and step. An image is known by its elements, so that its spikes do not depend on the batch or the
    /// place in a data set that it has; stream `spiking/input`.
    Bernoulli,
}

impl InputCoding {
    /// Every coding.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Bernoulli];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bernoulli => "bernoulli",
        }
    }
}

/// An input of the network over time.
#[derive(Debug)]
pub(super) struct Timed<'a> {
    tensor: &'a Tensor,
    coding: Coding,
}

#[derive(Debug)]
enum Coding {
    Constant,
    /// The first axis is time.
    Sequence,
    /// The key of each image.
    Bernoulli {
        seed: u64,
        images: Vec<u64>,
    },
}

impl<'a> Timed<'a> {
    /// The input `name` of a network that takes `rank` axes. One axis more is time, the first one.
    pub(super) fn new(
        tensor: &'a Tensor,
        name: &str,
        rank: usize,
        steps: usize,
        (input, seed): (InputCoding, u64),
    ) -> Result<Self, GraphError> {
        let invalid = |cause: String| GraphError::InvalidInput { input: name.to_owned(), cause };
        let shape = tensor.shape();
        if shape.len() == rank + 1 {
            if shape[0] != steps {
                let found = shape[0];
                return Err(invalid(format!("has {found} time steps on its first axis, the network runs {steps}")));
            }
            return Ok(Self { tensor, coding: Coding::Sequence });
        }
        let coding = match (input, tensor.as_f32()) {
            (InputCoding::Direct, _) => Coding::Constant,
            (InputCoding::Bernoulli, Some(elements)) => {
                if let Some(outside) = elements.iter().find(|x| !(0.0..=1.0).contains(*x)) {
                    return Err(invalid(format!(
                        "holds {outside}, but its spikes are drawn with probabilities of 0 to 1: choose a preprocessing that \
                         gives these (mean=0,std=1), or direct input"
                    )));
                }
                let n_images = shape.first().copied().unwrap_or(1).max(1);
                let images = elements.chunks((elements.len() / n_images).max(1)).map(identity).collect();
                Coding::Bernoulli { seed, images }
            }
            (InputCoding::Bernoulli, None) => {
                return Err(invalid(format!("has element type {}, but spikes are drawn for f32", tensor.dtype())));
            }
        };
        Ok(Self { tensor, coding })
    }

    /// The shape in one step.
    pub(super) fn shape(&self) -> &[usize] {
        match self.coding {
            Coding::Sequence => &self.tensor.shape()[1..],
            Coding::Constant | Coding::Bernoulli { .. } => self.tensor.shape(),
        }
    }

    /// What the network is fed in a step.
    pub(super) fn at(&self, step: usize) -> Cow<'a, Tensor> {
        match &self.coding {
            Coding::Constant => Cow::Borrowed(self.tensor),
            Coding::Sequence => {
                let part = self.tensor.keep(0, &[step]);
                Cow::Owned(part.reshaped(self.shape().to_vec()).unwrap_or(part))
            }
            Coding::Bernoulli { seed, images } => {
                let elements = self.tensor.as_f32().unwrap_or_default();
                let mut spikes = Vec::with_capacity(elements.len());
                for (image, &key) in elements.chunks((elements.len() / images.len().max(1)).max(1)).zip(images) {
                    let key = Key { seed: *seed, stream: stream("spiking/input"), step: step as u64, image: key };
                    let mut draws = key.draws();
                    spikes.extend(image.iter().map(|&p| f32::from(spikes_now(&mut draws, p))));
                }
                Cow::Owned(Tensor::from_f32(self.tensor.shape().to_vec(), spikes))
            }
        }
    }
}

fn spikes_now(draws: &mut Draws, probability: f32) -> bool {
    draws.uniform(0.0, 1.0) < probability
}

/// A number that an image is known by: FNV-1a over its bits.
fn identity(image: &[f32]) -> u64 {
    image.iter().fold(stream(""), |hash, x| {
        x.to_bits()
            .to_le_bytes()
            .iter()
            .fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
    })
}
