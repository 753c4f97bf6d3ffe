//! Hiding a square.

use skimp_numerics::rng::Draws;

use super::{AugmentationKind, Change, Picture};
use crate::spec::{Spec, SpecError};

/// A square set to zero.
#[derive(Debug)]
pub(super) struct Cutout;

impl AugmentationKind for Cutout {
    fn name(&self) -> &'static str {
        "cutout"
    }

    fn summary(&self) -> &'static str {
        "set a square of size (8) pixels around a random pixel to 0, cut off at the edges"
    }

    fn source(&self) -> &'static str {
        "DeVries, Taylor, \"Improved Regularization of Convolutional Neural Networks with Cutout\", \
         arXiv:1708.04552, 2017, section 3"
    }

    fn change(&self, spec: &mut Spec) -> Result<Box<dyn Change>, SpecError> {
        let expected = "a whole number from 1 to 1024";
        let size = spec.read("size", 8, expected, |text| text.parse().ok().filter(|size| (1..=1024).contains(size)))?;
        Ok(Box::new(Hide { size }))
    }
}

#[derive(Debug)]
struct Hide {
    size: usize,
}

impl Change for Hide {
    fn apply(&self, picture: &mut Picture<'_>, draws: &mut Draws) {
        let (height, width) = (picture.shape.height, picture.shape.width);
        let mut side = |extent: usize| {
            let first = draws.below(extent) as isize - (self.size / 2) as isize;
            first.max(0) as usize..((first + self.size as isize).max(0) as usize).min(extent)
        };
        let (rows, columns) = (side(height), side(width));
        for plane in picture.values.chunks_exact_mut(height * width) {
            for row in rows.clone() {
                plane[row * width..][columns.clone()].fill(0.0);
            }
        }
    }
}
