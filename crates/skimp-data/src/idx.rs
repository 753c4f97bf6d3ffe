//! IDX files: the format of MNIST and its relatives.
//!
//! # Source
//! Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats": two zero
//! bytes, a type code (8 = unsigned byte), the number of dimensions, each extent as big-endian u32, then the values.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use crate::dataset::{MemorySource, Split};
use crate::{DataError, Samples, files};

/// An array of bytes.
#[derive(Debug)]
pub(crate) struct IdxArray {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<u8>,
}

/// Reads an array of unsigned bytes with `n_dims` dimensions. `path` is for messages only.
pub(crate) fn read(reader: &mut dyn Read, n_dims: u8, path: &Path) -> Result<IdxArray, DataError> {
    let magic = files::read_exactly(reader, 4, 0, path)?;
    let expected_magic = [0, 0, 8, n_dims];
    if magic != expected_magic {
        return Err(DataError::BadMagic {
            path: path.to_path_buf(),
            expected: format!("{expected_magic:?}"),
            found: format!("{magic:?}"),
        });
    }
    let header_len = 4 + 4 * u64::from(n_dims);
    let header = files::read_exactly(reader, header_len - 4, 4, path)?;
    let extents: Vec<u32> = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    let too_large = || DataError::invalid(path, format!("shape {extents:?} does not fit into memory"));
    let len = extents.iter().try_fold(1u64, |len, &e| len.checked_mul(u64::from(e))).ok_or_else(too_large)?;
    usize::try_from(len).map_err(|_| too_large())?;
    let values = files::read_exactly(reader, len, header_len, path)?;
    files::check_end(reader, header_len.saturating_add(len), path)?;
    Ok(IdxArray { shape: extents.iter().map(|&e| e as usize).collect(), values })
}

/// Opens the two files of a split: `train-images-idx3-ubyte` or `t10k-images-idx3-ubyte` and the labels beside it,
/// also with a dot in place of the last but one hyphen, each also with `.gz`.
pub(crate) fn open_folder(location: &str, split: Split, n_classes: usize) -> Result<MemorySource, DataError> {
    let folder = Path::new(location);
    files::check_folder(folder)?;
    let stem = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let find = |part: &str, idx: &str| {
        let plain = [format!("{stem}-{part}-{idx}-ubyte"), format!("{stem}-{part}.{idx}-ubyte")];
        let packed = plain.clone().map(|name| name + ".gz");
        files::find(folder, &[plain, packed].concat())
    };
    let images_path = find("images", "idx3")?;
    let labels_path = find("labels", "idx1")?;
    let images = read(&mut files::open(&images_path)?, 3, &images_path)?;
    let labels = read(&mut files::open(&labels_path)?, 1, &labels_path)?;
    to_source(images, &images_path, labels, &labels_path, n_classes)
}

/// Checks that images and labels belong together and keeps them.
pub(crate) fn to_source(
    images: IdxArray,
    images_path: &Path,
    labels: IdxArray,
    labels_path: &Path,
    n_classes: usize,
) -> Result<MemorySource, DataError> {
    let [n, height, width] = images.shape[..] else {
        return Err(DataError::invalid(images_path, format!("expected 3 dimensions, found {}", images.shape.len())));
    };
    if n != labels.values.len() {
        return Err(DataError::CountMismatch {
            images: images_path.to_path_buf(),
            n_images: n,
            labels: labels_path.to_path_buf(),
            n_labels: labels.values.len(),
        });
    }
    let labels: Vec<i128> = labels.values.iter().map(|&label| i128::from(label)).collect();
    MemorySource::new(
        [1, height, width],
        Samples::U8(Cow::Owned(images.values)),
        images_path,
        &labels,
        labels_path,
        Some(n_classes),
    )
}
