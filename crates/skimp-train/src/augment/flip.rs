//! Mirroring.

use skimp_numerics::rng::Draws;

use super::{AugmentationKind, Change, Picture};
use crate::spec::{Spec, SpecError};

/// Left becomes right.
#[derive(Debug)]
pub(super) struct Flip;

impl AugmentationKind for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn summary(&self) -> &'static str {
        "left becomes right, with probability p (0.5)"
    }

    fn source(&self) -> &'static str {
        "Krizhevsky, Sutskever, Hinton, \"ImageNet Classification with Deep Convolutional Neural Networks\", \
         NIPS 2012, section 4.1"
    }

    fn change(&self, spec: &mut Spec) -> Result<Box<dyn Change>, SpecError> {
        Ok(Box::new(Mirror { probability: spec.number("p", 0.5, 0.0..=1.0)? }))
    }
}

#[derive(Debug)]
struct Mirror {
    probability: f64,
}

impl Change for Mirror {
    fn apply(&self, picture: &mut Picture<'_>, draws: &mut Draws) {
        if draws.chance(self.probability) {
            picture.values.chunks_exact_mut(picture.shape.width).for_each(<[f32]>::reverse);
        }
    }
}
