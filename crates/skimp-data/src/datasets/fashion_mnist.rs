//! Fashion-MNIST.

use super::required;
use crate::dataset::{DatasetFormat, ImageSource, Split};
use crate::{DataError, idx};

/// Pictures of clothing, in IDX files.
#[derive(Debug)]
pub(super) struct FashionMnist;

/// The ten classes, as its authors name them.
pub(super) static CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

impl DatasetFormat for FashionMnist {
    fn name(&self) -> &'static str {
        "fashion-mnist"
    }

    fn summary(&self) -> &'static str {
        "Fashion-MNIST in IDX files, also .gz: 10,000 test and 60,000 training images, 1x28x28, 10 classes"
    }

    fn source(&self) -> &'static str {
        "Xiao, Rasul, Vollgraf, \"Fashion-MNIST\", arXiv:1708.07747, 2017"
    }

    fn example(&self) -> &'static str {
        "fashion-mnist:DIR"
    }

    fn default_preprocess(&self) -> &'static str {
        "sample"
    }

    fn class_names(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        Ok(Box::new(idx::open_folder(required(self, location)?, split, CLASSES.len())?))
    }
}
