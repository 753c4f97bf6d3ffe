//! CIFAR-10 in its binary version.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::required;
use crate::dataset::{DatasetFormat, ImageSource, MemorySource, Split};
use crate::{DataError, Layout, Samples, files, limits};

/// Small color pictures, in `.bin` files of records: one label byte, then 1,024 bytes each of red, green and blue.
#[derive(Debug)]
pub(super) struct Cifar10;

const SHAPE: [usize; 3] = [3, 32, 32];
const IMAGE_BYTES: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
const RECORD_BYTES: usize = 1 + IMAGE_BYTES;

static CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Records in each distributed file. Nothing in a file says how many it should have.
const FILE_RECORDS: usize = 10_000;

/// The folder in the distributed archive, accepted below the one given.
const ARCHIVE_FOLDER: &str = "cifar-10-batches-bin";

impl DatasetFormat for Cifar10 {
    fn name(&self) -> &'static str {
        "cifar10"
    }

    fn summary(&self) -> &'static str {
        "CIFAR-10, binary version: 10,000 test and 50,000 training images, 3x32x32, 10 classes"
    }

    fn source(&self) -> &'static str {
        "Krizhevsky, \"Learning Multiple Layers of Features from Tiny Images\", 2009"
    }

    fn example(&self) -> &'static str {
        "cifar10:DIR"
    }

    fn default_preprocess(&self) -> &'static str {
        "cifar10"
    }

    fn class_names(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        let mut folder = Path::new(required(self, location)?).to_path_buf();
        files::check_folder(&folder)?;
        if folder.join(ARCHIVE_FOLDER).is_dir() {
            folder.push(ARCHIVE_FOLDER);
        }
        let names = match split {
            Split::Test => vec!["test_batch.bin".to_owned()],
            Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
        };
        let paths: Result<Vec<PathBuf>, DataError> =
            names.iter().map(|name| files::find(&folder, std::slice::from_ref(name))).collect();
        let paths = paths?;
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        let mut partial = Vec::new();
        // All at once: a vector that grows takes up to twice as much.
        let n_bytes = paths.iter().map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum();
        limits::check_file(&folder, n_bytes)?;
        pixels.reserve_exact(n_bytes as usize);
        for (name, path) in names.iter().zip(paths) {
            let n_before = labels.len();
            read_batch(&path, &mut pixels, &mut labels)?;
            let n = labels.len() - n_before;
            if n != FILE_RECORDS {
                partial.push(format!("{name} has {n} images, as distributed {FILE_RECORDS}"));
            }
        }
        let labels: Vec<i128> = labels.into_iter().map(i128::from).collect();
        let samples = Samples::U8(Cow::Owned(pixels));
        let source = MemorySource::new(SHAPE, samples, &folder, &labels, &folder, Some(CLASSES.len()))?;
        Ok(Box::new(source.with_layout(Layout { partial, ..Layout::default() })))
    }
}

/// Appends the records of one file.
fn read_batch(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    skimp_files::note_input(path);
    let len = file.metadata().map_err(DataError::io(path))?.len();
    limits::check_file(path, len)?;
    let n_records = len.div_ceil(RECORD_BYTES as u64);
    if n_records == 0 {
        return Err(DataError::Empty { path: path.to_path_buf(), expected: "records of 3073 bytes" });
    }
    let expected = n_records * RECORD_BYTES as u64;
    let mut reader = BufReader::new(file);
    let mut record = [0; RECORD_BYTES];
    for index in 0..n_records {
        reader.read_exact(&mut record).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                DataError::Truncated { path: path.to_path_buf(), expected, found: len }
            }
            _ => DataError::io(path)(source),
        })?;
        let [label, image @ ..] = &record;
        if usize::from(*label) >= CLASSES.len() {
            return Err(DataError::LabelOutOfRange {
                path: path.to_path_buf(),
                record: index as usize,
                label: i128::from(*label),
                max: CLASSES.len() - 1,
            });
        }
        labels.push(*label);
        pixels.extend_from_slice(image);
    }
    Ok(())
}
