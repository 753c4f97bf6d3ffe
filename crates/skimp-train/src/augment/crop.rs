//! Shifting.

use skimp_numerics::rng::Draws;

use super::{AugmentationKind, Change, Picture};
use crate::spec::{Spec, SpecError};

/// Padding with black, then a crop of the original size at a random place.
#[derive(Debug)]
pub(super) struct Crop;

impl AugmentationKind for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn summary(&self) -> &'static str {
        "pad by pad (4) black pixels on each side, then crop the original size at a random place"
    }

    fn source(&self) -> &'static str {
        "Lee, Xie, Gallagher, Zhang, Tu, \"Deeply-Supervised Nets\", AISTATS 2015, section 4; He et al., CVPR 2016, \
         section 4.2; as torchvision's RandomCrop before normalization"
    }

    fn change(&self, spec: &mut Spec) -> Result<Box<dyn Change>, SpecError> {
        let expected = "a whole number from 1 to 1024";
        let pad = spec.read("pad", 4, expected, |text| text.parse().ok().filter(|pad| (1..=1024).contains(pad)))?;
        Ok(Box::new(Shift { pad }))
    }
}

#[derive(Debug)]
struct Shift {
    pad: usize,
}

impl Change for Shift {
    fn apply(&self, picture: &mut Picture<'_>, draws: &mut Draws) {
        // Where the crop begins in the padded image: `pad` is no shift at all.
        let (down, right) = (draws.between(0, 2 * self.pad), draws.between(0, 2 * self.pad));
        let (height, width) = (picture.shape.height, picture.shape.width);
        for (plane, &black) in picture.values.chunks_exact_mut(height * width).zip(picture.black) {
            shift(plane, (height, self.pad, down), width, |row| row.fill(black));
            for row in plane.chunks_exact_mut(width) {
                shift(row, (width, self.pad, right), 1, |pixel| pixel.fill(black));
            }
        }
    }
}

/// Moves `n` pieces of `size` values so that the piece at `begin - pad` comes first; the pieces that come in from
/// outside are filled.
fn shift(values: &mut [f32], (n, pad, begin): (usize, usize, usize), size: usize, fill: impl Fn(&mut [f32])) {
    if begin >= pad {
        let by = (begin - pad).min(n);
        values.copy_within(by * size.., 0);
        fill(&mut values[(n - by) * size..]);
    } else {
        let by = (pad - begin).min(n);
        values.copy_within(..(n - by) * size, by * size);
        fill(&mut values[..by * size]);
    }
}
