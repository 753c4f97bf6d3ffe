//! Labelled image sets and the way from a stored pixel to a number that a network sees.
//!
//! [`Dataset::open`] takes a text such as `sample` or `cifar10:DIR` and finds the format in the registry
//! [`DATASETS`]. [`Dataset::batch`] decodes, resizes, crops and normalizes a range of images in parallel. What happens
//! to each pixel is a [`Preprocess`], parsed from a preset name ([`PRESETS`]) or from keys. The module [`npy`] reads
//! and writes NumPy arrays.
//!
//! The crate knows nothing about networks beyond the three extents of [`InputSpec`], does no network access and
//! never augments: that belongs to training. Results do not depend on the number of threads.
//!
//! ```
//! use skimp_data::{Dataset, InputSpec, Preprocess, Split};
//!
//! let sample = Dataset::open("sample", Split::Test)?;
//! let preprocess: Preprocess = "sample".parse()?;
//! let batch = sample.batch(0..8, &preprocess, InputSpec { channels: 1, height: 28, width: 28 })?;
//! assert_eq!(batch.shape, [8, 1, 28, 28]);
//! assert_eq!(batch.labels[0], 9); // an ankle boot
//! # Ok::<(), skimp_data::DataError>(())
//! ```

mod dataset;
pub mod datasets;
mod error;
mod files;
mod idx;
mod image;
mod layout;
mod limits;
mod nearest;
pub mod npy;
pub mod preprocess;
mod resize;

pub use dataset::{Batch, Dataset, DatasetFormat, ImageSource, InputSpec, Prepared, Split};
pub use datasets::DATASETS;
pub use error::DataError;
pub use image::{Image, Samples};
pub use layout::{Layout, LeftOut};
pub use nearest::{hint, nearest};
pub use preprocess::{PRESETS, Preprocess};
