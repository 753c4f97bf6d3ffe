//! Augmentations: random changes of training images that leave their class alone.
//!
//! They work on preprocessed images, one file each, registered in [`AUGMENTATIONS`], and are chosen by text such as
//! `flip` or `crop:pad=4`. What happens to an image depends on the seed, the epoch, the augmentation and the image's
//! index in the data set alone, so that neither batches nor threads nor a resumed run change it.

mod crop;
mod cutout;
mod flip;

use std::fmt;

use skimp_data::InputSpec;
use skimp_numerics::rng::{Draws, random_u64, stream};

use crate::spec::{Spec, SpecError};

/// Every augmentation, in the order `skimp list augmentations` prints them.
pub static AUGMENTATIONS: &[&dyn AugmentationKind] = &[&flip::Flip, &crop::Crop, &cutout::Cutout];

/// One entry of [`AUGMENTATIONS`].
pub trait AugmentationKind: fmt::Debug + Sync {
    /// Name, in kebab-case.
    fn name(&self) -> &'static str;

    /// One line on what it does.
    fn summary(&self) -> &'static str;

    /// Who proposed it.
    fn source(&self) -> &'static str;

    /// The change with the settings of `spec`, which is emptied of them.
    ///
    /// # Errors
    /// [`SpecError::InvalidValue`].
    fn change(&self, spec: &mut Spec) -> Result<Box<dyn Change>, SpecError>;
}

/// One image to be changed.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Values, channel by channel.
    pub values: &'a mut [f32],
    /// Extents.
    pub shape: InputSpec,
    /// What the stored value 0 (black) becomes in each channel.
    pub black: &'a [f32],
}

/// What an augmentation does.
pub trait Change: fmt::Debug + Send + Sync {
    /// Changes one image at random.
    fn apply(&self, picture: &mut Picture<'_>, draws: &mut Draws);
}

/// A sequence of augmentations.
#[derive(Debug, Default)]
pub struct Augment {
    changes: Vec<(u64, Box<dyn Change>)>,
}

impl Augment {
    /// Augmentations from texts such as `flip` and `crop:pad=4`, applied in this order.
    ///
    /// # Errors
    /// [`SpecError`] naming the augmentation and the setting.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, SpecError> {
        let mut changes = Vec::new();
        for (position, text) in texts.iter().enumerate() {
            let mut spec = Spec::parse("augmentation", text.as_ref())?;
            let kind = spec.find(AUGMENTATIONS, |kind| kind.name())?;
            let change = kind.change(&mut spec)?;
            spec.finish()?;
            changes.push((stream(&format!("augment/{position}/{}", kind.name())), change));
        }
        Ok(Self { changes })
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Changes the image `index` of the data set as it is seen in `epoch`.
    pub fn apply(&self, picture: &mut Picture<'_>, seed: u64, epoch: u64, index: usize) {
        for (stream, change) in &self.changes {
            let mut draws = Draws::new(random_u64(seed, *stream, epoch), index as u64);
            change.apply(picture, &mut draws);
        }
    }
}

#[cfg(test)]
mod tests;
