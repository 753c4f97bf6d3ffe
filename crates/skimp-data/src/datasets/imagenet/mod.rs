//! Folders of pictures, laid out as ImageNet and its relatives usually are.
//!
//! What is read, with `DIR` the place given:
//!
//! - **Class folders**: `DIR/CLASS/…`, or `DIR/train/CLASS/…` and `DIR/val/CLASS/…`. A split's folder is called `train`
//!   or `training`, and `val`, `validation`, `valid`, `test` or `testing`, in any case, the first of these that holds
//!   classes; `seg_train` and `seg_test` will do, too. As in torchvision's `ImageFolder`, pictures in folders below
//!   `CLASS` (Tiny ImageNet's `train/CLASS/images`) are of that class, and come in the order of folder and file names.
//! - **A table**: `labels.csv` with the columns `file` and `class` (see [`tables`]) in `DIR` or in a split's folder, or
//!   Tiny ImageNet's `val/val_annotations.txt` with the pictures in `val/images`.
//!
//! Where `DIR` or a split's folder holds nothing but one folder with folders, that one is meant. Any other layout is an
//! error that says what was found. Classes are numbered over all splits together (see [`classes`]). Folders of archives
//! and systems (`__MACOSX`, `@eaDir`, hidden ones), folders without pictures, and files that are no pictures are left
//! out and counted.

mod classes;
mod decode;
mod place;
mod scan;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::classes::Numbering;
use self::place::{Content, Place};
use super::required;
use crate::dataset::{DatasetFormat, ImageSource, Split};
use crate::layout::{Layout, LeftOutTally};
use crate::{DataError, Image, files};

/// A folder of pictures.
#[derive(Debug)]
pub(super) struct ImageNet;

impl DatasetFormat for ImageNet {
    fn name(&self) -> &'static str {
        "imagenet"
    }

    fn summary(&self) -> &'static str {
        "folder of JPEG, PNG, WebP, BMP or PNM files: class folders, or labels.csv (columns file, class)"
    }

    fn source(&self) -> &'static str {
        "Russakovsky et al., \"ImageNet Large Scale Visual Recognition Challenge\", IJCV 115, 2015"
    }

    fn example(&self) -> &'static str {
        "imagenet:DIR"
    }

    fn default_preprocess(&self) -> &'static str {
        "imagenet"
    }

    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError> {
        let (folder, numbering) = classes::parse_location(required(self, location)?)?;
        files::check_folder(&folder)?;
        skimp_files::note_input_folder(&folder);
        let mut left_out = LeftOutTally::default();
        let place = Place::find(&folder, split, &mut left_out)?;
        Ok(Box::new(open(&folder, &place, &numbering, left_out)?))
    }
}

fn open(
    folder: &Path,
    place: &Place,
    numbering: &Numbering,
    mut left_out: LeftOutTally,
) -> Result<FolderSource, DataError> {
    let list = classes::read_list(numbering, &[folder, &place.base])?;
    let n_listed = list.as_ref().map(|(_, names)| names.len());
    let content = Content::read(place, folder, n_listed, &mut left_out)?;
    let mut names: BTreeSet<String> = content.class_names().map(str::to_owned).collect();
    for sibling in &place.siblings {
        names.extend(place::class_names(sibling)?);
    }
    let classes = match &content {
        Content::Numbered { rows, path, is_ilsvrc } => {
            let greatest = rows.iter().map(|row| row.1).max().unwrap_or(0);
            classes::numbered(greatest, *is_ilsvrc, numbering, list, path)?
        }
        Content::Named { .. } => classes::number(&place.base, names, numbering, list)?,
    };
    let mut source = FolderSource {
        files: Vec::new(),
        labels: Vec::new(),
        n_classes: classes.len,
        apart: place.apart,
        layout: Layout {
            description: format!("{}; {}", place.description(folder), classes.description),
            class_names: classes.names,
            is_numbering_relative: classes.is_relative,
            ..Layout::default()
        },
    };
    match content {
        Content::Numbered { rows, .. } => (source.files, source.labels) = rows.into_iter().unzip(),
        Content::Named { rows } => {
            for (file, class) in rows {
                let Some(&label) = classes.numbers.get(&class) else {
                    return Err(DataError::invalid(&file, format!("no number for class \"{class}\"")));
                };
                source.files.push(file);
                source.labels.push(label);
            }
        }
    }
    source.layout.left_out = left_out.finish();
    if source.labels.is_empty() {
        return Err(DataError::Empty { path: place.base.clone(), expected: place::EXPECTED });
    }
    Ok(source)
}

/// Image files, decoded when asked for.
#[derive(Debug)]
struct FolderSource {
    files: Vec<PathBuf>,
    labels: Vec<usize>,
    n_classes: usize,
    apart: bool,
    layout: Layout,
}

impl ImageSource for FolderSource {
    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn channels(&self) -> usize {
        3
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn has_splits(&self) -> bool {
        self.apart
    }

    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        decode::decode(&self.files[index])
    }

    fn hash_image(&self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), DataError> {
        let path = &self.files[index];
        let bytes = files::read(path)?;
        sink(b"F");
        sink(&(bytes.len() as u64).to_le_bytes());
        sink(&bytes);
        Ok(())
    }
}
