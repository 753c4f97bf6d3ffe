//! MNIST.

use super::required;
use crate::dataset::{DatasetFormat, ImageSource, Split};
use crate::{DataError, idx};

/// Handwritten digits, in IDX files.
#[derive(Debug)]
pub(super) struct Mnist;

static CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

impl DatasetFormat for Mnist {
    fn name(&self) -> &'static str {
        "mnist"
    }

    fn summary(&self) -> &'static str {
        "MNIST in IDX files, also .gz: 10,000 test and 60,000 training images, 1x28x28, 10 classes"
    }

    fn source(&self) -> &'static str {
        "LeCun, Bottou, Bengio, Haffner, \"Gradient-Based Learning Applied to Document Recognition\", Proc. IEEE, 1998"
    }

    fn example(&self) -> &'static str {
        "mnist:DIR"
    }

    fn default_preprocess(&self) -> &'static str {
        "mnist"
    }

    fn class_names(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        Ok(Box::new(idx::open_folder(required(self, location)?, split, CLASSES.len())?))
    }
}
