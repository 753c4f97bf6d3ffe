//! Images and labels that a program holds in memory.

use std::path::Path;

use crate::dataset::{DatasetFormat, ImageSource, MemorySource, Split};
use crate::{DataError, Samples};

/// The format of images that were never in a file; not registered, since no text opens it.
#[derive(Debug)]
pub(crate) struct Arrays;

impl DatasetFormat for Arrays {
    fn name(&self) -> &'static str {
        "arrays"
    }

    fn summary(&self) -> &'static str {
        "images and labels in memory"
    }

    fn source(&self) -> &'static str {
        "the program that holds them"
    }

    fn example(&self) -> &'static str {
        "npy:X.npy,Y.npy"
    }

    fn default_preprocess(&self) -> &'static str {
        "raw"
    }

    fn open(&self, location: Option<&str>, _split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        let location = location.unwrap_or_default().to_owned();
        Err(DataError::InvalidLocation { dataset: self.name(), location, example: self.example() })
    }
}

/// The images of `samples`, each of extents `[c, h, w]`.
pub(crate) fn source(
    shape: [usize; 3],
    samples: Samples<'static>,
    labels: &[usize],
) -> Result<MemorySource, DataError> {
    let (images, classes) = (Path::new("images"), Path::new("labels"));
    let len = shape.iter().try_fold(1, |product: usize, &extent| product.checked_mul(extent)).unwrap_or(0);
    if len == 0 || !samples.len().is_multiple_of(len) {
        let cause = format!("{} values, expected images of shape {shape:?}", samples.len());
        return Err(DataError::invalid(images, cause));
    }
    let n_images = samples.len() / len;
    if n_images != labels.len() {
        let (images, labels_path) = (images.to_owned(), classes.to_owned());
        return Err(DataError::CountMismatch { images, n_images, labels: labels_path, n_labels: labels.len() });
    }
    if let Samples::F32(values) = &samples
        && let Some(at) = values.iter().position(|value| !value.is_finite())
    {
        let cause = format!("image {} holds a value that is NaN or infinite", at / len);
        return Err(DataError::invalid(images, cause));
    }
    let labels: Vec<i128> = labels.iter().map(|&label| label as i128).collect();
    Ok(MemorySource::new(shape, samples, images, &labels, classes, None)?.without_splits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Preprocess};

    #[test]
    fn arrays_are_a_data_set() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let open = |values: Vec<f32>, labels: &[usize]| Dataset::from_arrays([1, 2, 2], values, labels);
        let dataset = open(values.clone(), &[0, 2, 1]).unwrap();
        assert_eq!((dataset.len(), dataset.n_classes(), dataset.name()), (3, 3, "arrays"));
        let raw: Preprocess = dataset.format().default_preprocess().parse().unwrap();
        let batch = dataset.batch(1..3, &raw, [1, 2, 2]).unwrap();
        assert_eq!((batch.images, batch.labels), (values[4..].to_vec(), vec![2, 1]));
        let error = open(values.clone(), &[0, 1]).unwrap_err();
        assert!(matches!(error, DataError::CountMismatch { n_images: 3, n_labels: 2, .. }), "{error}");
        assert!(open(values[..10].to_vec(), &[0, 1]).unwrap_err().to_string().contains("10 values"));
        assert!(open(Vec::new(), &[]).is_err());
        let mut broken = values;
        broken[5] = f32::NAN;
        assert!(open(broken, &[0, 1, 2]).unwrap_err().to_string().contains("image 1"));
    }
}
