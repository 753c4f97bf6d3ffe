//! What a data set holds.

use serde::Serialize;
use skimp_data::{DataError, Dataset, Layout, Split};
use skimp_report::table::{Cell, Column, Table};

use crate::error::StudyError;
use crate::tabular::Tabular;

/// Images of each split that are decoded unless all are asked for.
const SAMPLE_IMAGES: usize = 100;

/// Classes that a table lists; JSON has them all.
const LISTED_CLASSES: usize = 40;

/// A data set's splits: `skimp.data/2`.
#[derive(Clone, Debug, Serialize)]
pub struct DataSetRecord {
    /// `skimp.data/2`.
    pub schema: &'static str,
    /// Name in the registry.
    pub name: String,
    /// The splits that are there; one, called `all`, where both would hold the same images.
    pub splits: Vec<SplitRecord>,
    /// Why a split is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// One split.
#[derive(Clone, Debug, Serialize)]
pub struct SplitRecord {
    /// `train`, `test` or `all`.
    pub split: &'static str,
    /// Number of images.
    pub images: u64,
    /// Images that were decoded to see that they can be.
    pub images_checked: u64,
    /// Number of classes.
    pub classes: u64,
    /// Channels, rows, columns; left out where images differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Least and most images in a class.
    pub images_per_class: [u64; 2],
    /// SHA-256 of the content.
    pub sha256: String,
    /// How the files lie, and how classes are numbered, where there are several ways.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub layout: String,
    /// The classes in the order of their numbers, with their images, where they have names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<ClassRecord>,
    /// What is not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutRecord>,
    /// Files with more or fewer images than the distributed ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<String>,
}

/// A class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRecord {
    /// Its name.
    pub name: String,
    /// Its images in the split.
    pub images: u64,
}

/// Files or folders of one kind that are not used.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutRecord {
    /// Which kind, and why.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub example: String,
}

impl Tabular for DataSetRecord {
    fn tables(&self) -> Vec<Table> {
        let layouts: Vec<&str> = self.splits.iter().map(|split| split.layout.as_str()).collect();
        let caption = match layouts.iter().find(|layout| !layout.is_empty()) {
            None => self.name.clone(),
            Some(first) if layouts.iter().all(|layout| layout == first) => format!("{}: {first}", self.name),
            Some(_) => {
                let each = self.splits.iter().map(|split| format!("{}: {}", split.split, split.layout));
                format!("{}: {}", self.name, each.collect::<Vec<_>>().join("; "))
            }
        };
        let mut table = Table::new(
            caption,
            vec![
                Column::text("split", "split"),
                Column::number("images", "images", ""),
                Column::number("images_checked", "decoded", ""),
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
                split.images_checked.into(),
                split.classes.into(),
                split.shape.map_or(Cell::from("varies"), |[c, h, w]| format!("{c}x{h}x{w}").into()),
                split.images_per_class[0].into(),
                split.images_per_class[1].into(),
                split.sha256.as_str().into(),
            ]);
        }
        let mut tables = vec![table];
        tables.extend(self.classes());
        tables.extend(self.left_out());
        tables.extend(self.partial());
        if !self.missing.is_empty() {
            let mut missing = Table::new("not there", vec![Column::text("missing", "what")]);
            self.missing.iter().for_each(|cause| missing.row(vec![cause.as_str().into()]));
            tables.push(missing);
        }
        tables
    }
}

impl DataSetRecord {
    /// A row a class, and a column a split.
    fn classes(&self) -> Option<Table> {
        let first = self.splits.first().filter(|split| (1..=LISTED_CLASSES).contains(&split.class_names.len()))?;
        let mut columns = vec![Column::number("number", "class", ""), Column::text("name", "name")];
        columns.extend(self.splits.iter().map(|split| Column::number(split.split, split.split, "")));
        let mut table = Table::new("images of each class", columns);
        for (number, class) in first.class_names.iter().enumerate() {
            let mut row = vec![(number as u64).into(), class.name.as_str().into()];
            let images = |split: &SplitRecord| split.class_names.get(number).map_or(0, |class| class.images);
            row.extend(self.splits.iter().map(|split| images(split).into()));
            table.row(row);
        }
        Some(table)
    }

    fn left_out(&self) -> Option<Table> {
        let columns = vec![
            Column::text("split", "split"),
            Column::text("what", "what"),
            Column::number("count", "count", ""),
            Column::text("example", "such as"),
        ];
        let mut table = Table::new("left out", columns);
        for split in &self.splits {
            for left in &split.left_out {
                let (what, example) = (left.what.as_str(), left.example.as_str());
                table.row(vec![split.split.into(), what.into(), left.count.into(), example.into()]);
            }
        }
        self.splits.iter().any(|split| !split.left_out.is_empty()).then_some(table)
    }

    fn partial(&self) -> Option<Table> {
        let caption = "a part of the data set, or files that were cut short";
        let mut table = Table::new(caption, vec![Column::text("split", "split"), Column::text("partial", "file")]);
        for split in &self.splits {
            split.partial.iter().for_each(|file| table.row(vec![split.split.into(), file.as_str().into()]));
        }
        self.splits.iter().any(|split| !split.partial.is_empty()).then_some(table)
    }
}

/// Which images [`describe_data`] decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checked {
    /// A hundred of each split, spread over it.
    #[default]
    Sample,
    /// All of them.
    All,
}

/// Opens every split of a data set, reads it once and decodes the images that are to be checked.
///
/// # Errors
/// [`StudyError::Data`] if no split is there, or one of them, or an image, is damaged.
pub fn describe_data(spec: &str, checked: Checked) -> Result<DataSetRecord, StudyError> {
    let mut record =
        DataSetRecord { schema: "skimp.data/2", name: String::new(), splits: Vec::new(), missing: Vec::new() };
    let mut absent = None;
    for (split, label) in [(Split::Train, "train"), (Split::Test, "test")] {
        match Dataset::open(spec, split) {
            Ok(dataset) => {
                record.name = dataset.name().to_owned();
                let has_splits = dataset.has_splits();
                record.splits.push(describe(&dataset, if has_splits { label } else { "all" }, checked)?);
                if !has_splits {
                    break;
                }
            }
            Err(error @ (DataError::MissingSplit { .. } | DataError::MissingFile { .. })) => {
                record.missing.push(error.to_string());
                absent = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match absent {
        Some(error) if record.splits.is_empty() => Err(error.into()),
        _ => Ok(record),
    }
}

fn describe(dataset: &Dataset, split: &'static str, checked: Checked) -> Result<SplitRecord, StudyError> {
    let indices = match checked {
        Checked::All => (0..dataset.len()).collect(),
        Checked::Sample => spread(dataset.len(), SAMPLE_IMAGES),
    };
    dataset.check(&indices)?;
    let mut per_class = vec![0_u64; dataset.n_classes()];
    for &label in dataset.labels() {
        per_class[label] += 1;
    }
    let Layout { description, class_names, left_out, partial, .. } = dataset.layout();
    let fixed = dataset.format().class_names().iter().map(|&name| name.to_owned());
    let names: Vec<String> = if class_names.is_empty() { fixed.collect() } else { class_names };
    let class = |(name, &images)| ClassRecord { name, images };
    Ok(SplitRecord {
        split,
        images: dataset.len() as u64,
        images_checked: indices.len() as u64,
        classes: dataset.n_classes() as u64,
        shape: dataset.image_shape(),
        images_per_class: [per_class.iter().min().copied().unwrap_or(0), per_class.iter().max().copied().unwrap_or(0)],
        sha256: dataset.digest()?.to_owned(),
        layout: description,
        class_names: names.into_iter().zip(&per_class).map(class).collect(),
        left_out: left_out
            .into_iter()
            .map(|left| LeftOutRecord { what: left.what, count: left.count, example: left.example })
            .collect(),
        partial,
    })
}

/// At most `wanted` of `n` indices at equal distances, the first and the last among them.
fn spread(n: usize, wanted: usize) -> Vec<usize> {
    if n <= wanted {
        return (0..n).collect();
    }
    (0..wanted).map(|at| at * (n - 1) / (wanted - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_reaches_from_end_to_end() {
        assert_eq!(spread(3, 100), [0, 1, 2]);
        let indices = spread(100_000, 100);
        assert_eq!((indices.len(), indices[0], indices[99]), (100, 0, 99_999));
        assert!(indices.is_sorted_by(|a, b| a < b));
    }
}
