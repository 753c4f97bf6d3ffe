//! Images and labels in two NumPy files.

use std::borrow::Cow;
use std::path::Path;

use super::required;
use crate::dataset::{DatasetFormat, ImageSource, MemorySource, Split};
use crate::npy::{self, Data};
use crate::{DataError, Samples};

/// Any images as a `.npy` array beside a `.npy` array of labels. Both splits are the same images.
#[derive(Debug)]
pub(super) struct NpyPair;

impl DatasetFormat for NpyPair {
    fn name(&self) -> &'static str {
        "npy"
    }

    fn summary(&self) -> &'static str {
        "two NumPy files: images [n, c, h, w] or [n, h, w] of any number type, integer labels [n]"
    }

    fn source(&self) -> &'static str {
        "NumPy, \"NEP 1: A Simple File Format for NumPy Arrays\", versions 1.0 to 3.0"
    }

    fn example(&self) -> &'static str {
        "npy:X.npy,Y.npy"
    }

    fn default_preprocess(&self) -> &'static str {
        "raw"
    }

    fn open(&self, location: Option<&str>, _split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        let location = required(self, location)?;
        let (images_path, labels_path) = location
            .split_once(',')
            .filter(|(images, labels)| !images.is_empty() && !labels.is_empty() && !labels.contains(','))
            .map(|(images, labels)| (Path::new(images), Path::new(labels)))
            .ok_or_else(|| DataError::InvalidLocation {
                dataset: self.name(),
                location: location.to_owned(),
                example: self.example(),
            })?;
        let images = npy::read(images_path)?;
        let labels = npy::read(labels_path)?;
        let (n, shape) = match images.shape[..] {
            [n, c, h, w] => (n, [c, h, w]),
            [n, h, w] => (n, [1, h, w]),
            _ => {
                let cause = format!("expected images of shape [n, c, h, w] or [n, h, w], found {:?}", images.shape);
                return Err(DataError::invalid(images_path, cause));
            }
        };
        let labels = to_labels(labels, labels_path)?;
        if n != labels.len() {
            return Err(DataError::CountMismatch {
                images: images_path.to_path_buf(),
                n_images: n,
                labels: labels_path.to_path_buf(),
                n_labels: labels.len(),
            });
        }
        check_finite(&images.data, n, images_path)?;
        let samples = match images.data {
            Data::U8(values) => Samples::U8(Cow::Owned(values)),
            data => Samples::F32(Cow::Owned(data.into_f32())),
        };
        let source = MemorySource::new(shape, samples, images_path, &labels, labels_path, None)?;
        Ok(Box::new(source.without_splits()))
    }
}

/// Pixels must be numbers: NaN would pass through a network as a wrong guess.
fn check_finite(data: &Data, n_images: usize, path: &Path) -> Result<(), DataError> {
    let bad = match data {
        Data::F32(values) => values.iter().position(|value| !value.is_finite()),
        Data::F64(values) => values.iter().position(|value| !value.is_finite()),
        _ => None,
    };
    let Some(at) = bad else { return Ok(()) };
    let image = at / (data.len() / n_images.max(1)).max(1);
    Err(DataError::invalid(path, format!("image {image} holds a value that is NaN or infinite")))
}

/// Labels of shape `[n]` or `[n, 1]`, which must be integers.
fn to_labels(array: npy::Array, path: &Path) -> Result<Vec<i128>, DataError> {
    if !matches!(array.shape[..], [_] | [_, 1]) {
        return Err(DataError::invalid(path, format!("expected labels of shape [n], found {:?}", array.shape)));
    }
    let dtype = array.data.dtype();
    array.data.to_integers().ok_or_else(|| DataError::invalid(path, format!("expected integer labels, found {dtype}")))
}
