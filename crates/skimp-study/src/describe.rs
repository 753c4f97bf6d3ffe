//! What a data set holds.

use serde::Serialize;
use skimp_data::{Dataset, Split};
use skimp_report::table::{Cell, Column, Table};

use crate::{StudyError, Tabular};

/// A data set's splits: `skimp.data/1`.
#[derive(Clone, Debug, Serialize)]
pub struct DataSetRecord {
    /// `skimp.data/1`.
    pub schema: &'static str,
    /// Name in the registry.
    pub name: String,
    /// The splits that could be opened.
    pub splits: Vec<SplitRecord>,
}

/// One split.
#[derive(Clone, Debug, Serialize)]
pub struct SplitRecord {
    /// `train` or `test`.
    pub split: &'static str,
    /// Number of images.
    pub images: u64,
    /// Number of classes.
    pub classes: u64,
    /// Channels, rows, columns; left out where images differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Least and most images in a class.
    pub images_per_class: [u64; 2],
    /// SHA-256 of the content.
    pub sha256: String,
}

impl Tabular for DataSetRecord {
    fn tables(&self) -> Vec<Table> {
        let mut table = Table::new(
            self.name.clone(),
            vec![
                Column::text("split", "split"),
                Column::number("images", "images", ""),
                Column::number("classes", "classes", ""),
                Column::text("shape", "shape (c x h x w)"),
                Column::number("least_per_class", "least per class", ""),
                Column::number("most_per_class", "most per class", ""),
                Column::text("sha256", "SHA-256"),
            ],
        );
        for split in &self.splits {
            table.row(vec![
                split.split.into(),
                split.images.into(),
                split.classes.into(),
                split.shape.map_or(Cell::from("varies"), |[c, h, w]| format!("{c}x{h}x{w}").into()),
                split.images_per_class[0].into(),
                split.images_per_class[1].into(),
                split.sha256.as_str().into(),
            ]);
        }
        vec![table]
    }
}

/// Opens every split of a data set and reads it once.
///
/// # Errors
/// [`StudyError::Data`] if no split can be opened, or one is damaged.
pub fn describe_data(spec: &str) -> Result<DataSetRecord, StudyError> {
    let mut name = String::new();
    let mut splits = Vec::new();
    let mut missing = None;
    for (split, label) in [(Split::Train, "train"), (Split::Test, "test")] {
        match Dataset::open(spec, split) {
            Ok(dataset) => {
                name = dataset.name().to_owned();
                splits.push(describe(&dataset, label)?);
            }
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) if splits.is_empty() => Err(error.into()),
        _ => Ok(DataSetRecord { schema: "skimp.data/1", name, splits }),
    }
}

fn describe(dataset: &Dataset, split: &'static str) -> Result<SplitRecord, StudyError> {
    let mut per_class = vec![0_u64; dataset.n_classes()];
    for &label in dataset.labels() {
        per_class[label] += 1;
    }
    Ok(SplitRecord {
        split,
        images: dataset.len() as u64,
        classes: dataset.n_classes() as u64,
        shape: dataset.image_shape(),
        images_per_class: [per_class.iter().min().copied().unwrap_or(0), per_class.iter().max().copied().unwrap_or(0)],
        sha256: dataset.digest()?.to_owned(),
    })
}
