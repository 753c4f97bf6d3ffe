//! What can go wrong with data.

use std::io;
use std::path::{Path, PathBuf};

use skimp_memory::{OutOfMemory, Size};

use crate::Split;
use crate::nearest::hint;

/// An error of this crate. Every variant that concerns a file names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The data set's name is not in the registry.
    #[error("unknown data set \"{name}\"{}; valid are {valid}", hint(*.nearest))]
    UnknownDataset {
        /// The name given.
        name: String,
        /// The registered name it resembles, if any.
        nearest: Option<&'static str>,
        /// All registered names, in order.
        valid: String,
    },
    /// The data set lies in files and no place was given.
    #[error("data set \"{dataset}\" needs a place, expected {example}")]
    MissingLocation {
        /// Name of the data set.
        dataset: &'static str,
        /// How it is written with a place.
        example: &'static str,
    },
    /// The data set is embedded or the place is written wrongly.
    #[error("data set \"{dataset}\": place \"{location}\" does not fit, expected {example}")]
    InvalidLocation {
        /// Name of the data set.
        dataset: &'static str,
        /// The place given.
        location: String,
        /// How it is written.
        example: &'static str,
    },
    /// The folder does not exist or is not a folder.
    #[error("{path}: no such folder", path = .path.display())]
    MissingFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The data set has no folder for the split that was asked for.
    #[error("{folder}: no {split} split, expected a folder {expected}", folder = .folder.display())]
    MissingSplit {
        /// Where it was looked for.
        folder: PathBuf,
        /// The split.
        split: Split,
        /// Names that the folder may have.
        expected: String,
    },
    /// A file that the data set needs is not there.
    #[error("{folder}: no file {expected}", folder = .folder.display())]
    MissingFile {
        /// Where it was looked for.
        folder: PathBuf,
        /// The names it may have.
        expected: String,
    },
    /// The folder, or the file, holds no image.
    #[error("{path}: no images, expected {expected}", path = .path.display())]
    Empty {
        /// The folder or file.
        path: PathBuf,
        /// What should have been there.
        expected: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file ends too early.
    #[error("{path}: file is truncated, expected {expected} bytes, found {found}", path = .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that its header or format demands (unpacked, where the file is compressed).
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// The file starts with bytes of another format.
    #[error("{path}: bad magic number, expected {expected}, found {found}", path = .path.display())]
    BadMagic {
        /// The file.
        path: PathBuf,
        /// The first bytes of the right format.
        expected: String,
        /// The first bytes of the file.
        found: String,
    },
    /// The file breaks a rule of its format.
    #[error("{path}: {cause}", path = .path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        cause: String,
    },
    /// The file is valid but skimp does not read this kind.
    #[error("{path}: unsupported: {feature}", path = .path.display())]
    UnsupportedFile {
        /// The file.
        path: PathBuf,
        /// What is missing, and how to do without it.
        feature: String,
    },
    /// A label lies outside the classes of the data set.
    #[error("{path}: record {record}: label {label} is out of range, expected 0 to {max}", path = .path.display())]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// Index of the record in the file, from 0.
        record: usize,
        /// The label found.
        label: i128,
        /// The greatest label allowed.
        max: usize,
    },
    /// Images and labels are not equally many.
    #[error("{images} holds {n_images} images, but {labels} holds {n_labels} labels",
        images = .images.display(), labels = .labels.display())]
    CountMismatch {
        /// The file with the images.
        images: PathBuf,
        /// How many it holds.
        n_images: usize,
        /// The file with the labels.
        labels: PathBuf,
        /// How many it holds.
        n_labels: usize,
    },
    /// An image file could not be decoded.
    #[error("{path}: cannot decode the image: {source}", path = .path.display())]
    UndecodableImage {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: image::ImageError,
    },
    /// Several images cannot be decoded.
    #[error("{n_damaged} of {n_checked} images that were checked cannot be read: {}", .list.join("; "))]
    Damaged {
        /// How many.
        n_damaged: usize,
        /// Of how many.
        n_checked: usize,
        /// What is wrong with the first of them.
        list: Vec<String>,
    },
    /// Decoding an image takes more memory than a thread may have.
    #[error("{path}: decoding {height}x{width} pixels takes {bytes}, more than the {limit} that each of {n_threads} \
         threads may take; shrink the image, give --memory if there is more, or run with fewer --threads",
        path = .path.display())]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Rows.
        height: u64,
        /// Columns.
        width: u64,
        /// What decoding it would take.
        bytes: Size,
        /// What it may take.
        limit: Size,
        /// Threads that share the memory.
        n_threads: usize,
    },
    /// A file does not fit into the memory that the run may take.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The data set's images cannot be given to a network with this many input channels.
    #[error("data set \"{dataset}\" has {data} channels, but the network takes {input}{} (gray becomes color, 1 to 3; \
         nothing else is changed)", axis_hint(*.last_axis))]
    Channels {
        /// Name of the data set.
        dataset: String,
        /// Channels of its images.
        data: usize,
        /// Channels of the network's input.
        input: usize,
        /// Whether the last axis of the images has as many values, as if that were the channels.
        last_axis: bool,
    },
    /// A preprocessing does not fit the channels of the network's input.
    #[error("preprocessing: \"{key}\" {cause}, but the network's input has {channels} channels")]
    PreprocessChannels {
        /// The key that does not fit.
        key: &'static str,
        /// What it has or needs.
        cause: String,
        /// Channels of the network's input.
        channels: usize,
    },
    /// A preprocessing names an unknown preset or key.
    #[error("preprocessing: unknown {kind} \"{name}\"{}; valid are {valid}", hint(*.nearest))]
    UnknownPreprocess {
        /// `preset` or `key`.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The valid name it resembles, if any.
        nearest: Option<&'static str>,
        /// All valid names.
        valid: String,
    },
    /// A key of a preprocessing has an unusable value.
    #[error("preprocessing: {key}={value}: expected {expected}")]
    InvalidPreprocess {
        /// The key.
        key: String,
        /// The value given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A batch was asked for images that are not there.
    #[error("image {index} is out of range, data set \"{dataset}\" has {len} images")]
    IndexOutOfRange {
        /// Name of the data set.
        dataset: String,
        /// The index asked for.
        index: usize,
        /// Number of images.
        len: usize,
    },
    /// An input extent is zero or the batch would not fit into memory.
    #[error("cannot make a batch of shape {shape:?}: {cause}")]
    InvalidShape {
        /// `[n, c, h, w]`.
        shape: [usize; 4],
        /// Why not.
        cause: &'static str,
    },
    /// An array's shape and the number of its values disagree.
    #[error("{path}: shape {shape:?} does not fit {len} values", path = .path.display())]
    ArrayShape {
        /// The file to be written.
        path: PathBuf,
        /// The shape given.
        shape: Vec<usize>,
        /// The number of values given.
        len: usize,
    },
}

fn axis_hint(fits: bool) -> &'static str {
    if fits { ", as many as the last axis has: transpose the images to [n, c, h, w]" } else { "" }
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn invalid(path: &Path, cause: impl Into<String>) -> Self {
        Self::InvalidFile { path: path.to_path_buf(), cause: cause.into() }
    }

    pub(crate) fn unsupported(path: &Path, feature: impl Into<String>) -> Self {
        Self::UnsupportedFile { path: path.to_path_buf(), feature: feature.into() }
    }
}
