//! What several tests use.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use skimp_data::{Batch, Dataset, InputSpec, Preprocess, Split, npy};

/// The folder with real data below `SKIMP_DATA`, or `None` with a message.
pub(crate) fn real_data(name: &str) -> Option<PathBuf> {
    Some(skimp_testkit::data(name)?.join(name))
}

pub(crate) fn open(text: &str) -> Dataset {
    Dataset::open(text, Split::Test).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn preprocess(text: &str) -> Preprocess {
    text.parse().unwrap()
}

/// Message of the error that opening a test split gives.
pub(crate) fn open_error(text: &str) -> String {
    Dataset::open(text, Split::Test).expect_err(text).to_string()
}

/// SHA-256 of values as bytes; panics unless each is an integer from 0 to 255.
pub(crate) fn byte_digest(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().map(|&value| value as u8).collect();
    assert!(bytes.iter().zip(values).all(|(&byte, value)| f32::from(byte).to_bits() == value.to_bits()));
    hex_digest(&bytes)
}

/// SHA-256 of the values' little-endian bytes.
pub(crate) fn float_digest(values: &[f32]) -> String {
    hex_digest(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A picture that anyone can compute: sample (c, y, x) is (37·y + 91·x + 7·x·y + 50·c) mod 256.
pub(crate) fn picture(channels: usize, height: usize, width: usize) -> Vec<u8> {
    let mut values = Vec::with_capacity(channels * height * width);
    for c in 0..channels {
        for y in 0..height {
            values.extend((0..width).map(|x| ((37 * y + 91 * x + 7 * x * y + 50 * c) % 256) as u8));
        }
    }
    values
}

/// A data set of one picture, given to a network of the extents `target`.
pub(crate) fn batch_of<T: npy::Element>(shape: [usize; 3], values: &[T], keys: &str, target: [usize; 3]) -> Batch {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    npy::write(&x, &[1, shape[0], shape[1], shape[2]], values).unwrap();
    npy::write(&y, &[1], &[0i64]).unwrap();
    let dataset = open(&format!("npy:{},{}", x.display(), y.display()));
    dataset.batch(0..1, &preprocess(keys), InputSpec::from(target)).unwrap()
}
