//! The embedded sample: the one data set that needs no file.

use std::path::Path;

use flate2::read::GzDecoder;

use super::fashion_mnist::CLASSES;
use crate::dataset::{DatasetFormat, ImageSource, Split};
use crate::{DataError, idx};

/// Part of Fashion-MNIST, carried in the program.
#[derive(Debug)]
pub(super) struct Sample;

macro_rules! asset {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../../assets/sample/", $name)).as_slice())
    };
}

type Asset = (&'static str, &'static [u8]);

static TEST: [Asset; 2] = [asset!("t10k-images-idx3-ubyte.gz"), asset!("t10k-labels-idx1-ubyte.gz")];
static TRAIN: [Asset; 2] = [asset!("train-images-idx3-ubyte.gz"), asset!("train-labels-idx1-ubyte.gz")];

impl DatasetFormat for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn summary(&self) -> &'static str {
        "embedded part of Fashion-MNIST: 1,000 test and 4,000 training images, 1x28x28, 10 classes"
    }

    fn source(&self) -> &'static str {
        "Xiao, Rasul, Vollgraf, \"Fashion-MNIST\", arXiv:1708.07747, 2017; MIT, Copyright 2017 Zalando SE"
    }

    fn example(&self) -> &'static str {
        "sample"
    }

    fn default_preprocess(&self) -> &'static str {
        "sample"
    }

    fn class_names(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        if let Some(location) = location {
            return Err(DataError::InvalidLocation {
                dataset: self.name(),
                location: location.to_owned(),
                example: self.example(),
            });
        }
        let [(images_name, images), (labels_name, labels)] = match split {
            Split::Test => TEST,
            Split::Train => TRAIN,
        };
        let (images_path, labels_path) = (Path::new(images_name), Path::new(labels_name));
        let images = idx::read(&mut GzDecoder::new(images), 3, images_path)?;
        let labels = idx::read(&mut GzDecoder::new(labels), 1, labels_path)?;
        Ok(Box::new(idx::to_source(images, images_path, labels, labels_path, CLASSES.len())?))
    }
}
