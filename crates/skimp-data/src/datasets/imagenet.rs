//! Folders of JPEG and PNG files, laid out as ImageNet usually is.
//!
//! Two layouts are read:
//!
//! - **Images and `labels.csv`**: a header line with at least the columns `file` and `class` (0 to 999); a file lies in
//!   the folder or in `images/` below it.
//! - **Class folders**: one folder a class, either directly or below `val` (also `test`, `validation`) and `train`. If
//!   each folder is named by a WordNet id of ILSVRC-2012, the class is the id's rank among the 1,000, also when only some
//!   of them are there. If each name is a number, the class is that number. Otherwise classes are numbered in the
//!   sorted order of the names. Images come in the order of folder and file names.

use std::borrow::Cow;
use std::fs;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use image::{ImageReader, Limits};

use super::required;
use crate::dataset::{DatasetFormat, ImageSource, MAX_CLASSES, Split, check_label};
use crate::{DataError, Image, Samples, files};

/// A folder of pictures.
#[derive(Debug)]
pub(super) struct ImageNet;

/// The 1,000 WordNet ids of ILSVRC-2012, sorted; the class is the position.
///
/// Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 115, 2015.
static WNIDS: &str = include_str!("ilsvrc2012_wnids.txt");
const N_ILSVRC_CLASSES: usize = 1000;
const LABELS_FILE: &str = "labels.csv";
const IMAGES_FOLDER: &str = "images";
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// No side is longer; a damaged header should be an error, not an allocation failure.
const MAX_SIDE: u32 = 1 << 16;

impl DatasetFormat for ImageNet {
    fn name(&self) -> &'static str {
        "imagenet"
    }

    fn summary(&self) -> &'static str {
        "folder of JPEG or PNG files: class folders, or images and labels.csv (columns file, class)"
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
        let folder = Path::new(required(self, location)?);
        files::check_folder(folder)?;
        let labels = folder.join(LABELS_FILE);
        let source = if labels.is_file() { open_csv(folder, &labels)? } else { open_folders(folder, split)? };
        if source.labels.is_empty() {
            return Err(DataError::Empty {
                path: folder.to_path_buf(),
                expected: "class folders with JPEG or PNG files, or images and labels.csv",
            });
        }
        Ok(Box::new(source))
    }
}

/// Image files, decoded when asked for.
#[derive(Debug)]
struct FolderSource {
    files: Vec<PathBuf>,
    labels: Vec<usize>,
    n_classes: usize,
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

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        decode(&self.files[index])
    }

    fn hash_image(&self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), DataError> {
        let path = &self.files[index];
        let bytes = fs::read(path).map_err(DataError::io(path))?;
        sink(b"F");
        sink(&(bytes.len() as u64).to_le_bytes());
        sink(&bytes);
        Ok(())
    }
}

/// Decodes a file to RGB planes: gray becomes three equal planes, transparency is dropped, 16 bits become 8.
fn decode(path: &Path) -> Result<Image<'static>, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    let undecodable = |source| DataError::UndecodableImage { path: path.to_path_buf(), source };
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(DataError::io(path))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let rgb = reader.decode().map_err(undecodable)?.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    if width == 0 || height == 0 {
        return Err(DataError::invalid(path, format!("image extents {height}x{width} must not be 0")));
    }
    let mut planes = vec![0; 3 * height * width];
    let (red, rest) = planes.split_at_mut(height * width);
    let (green, blue) = rest.split_at_mut(height * width);
    for (index, pixel) in rgb.as_raw().chunks_exact(3).enumerate() {
        red[index] = pixel[0];
        green[index] = pixel[1];
        blue[index] = pixel[2];
    }
    Ok(Image { channels: 3, height, width, samples: Samples::U8(Cow::Owned(planes)) })
}

fn open_csv(folder: &Path, labels_path: &Path) -> Result<FolderSource, DataError> {
    let csv_error = |error: csv::Error| DataError::invalid(labels_path, error.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(labels_path).map_err(csv_error)?;
    let headers = reader.headers().map_err(csv_error)?;
    let column = |name: &str| {
        headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name).ok_or_else(|| {
            let found = headers.iter().collect::<Vec<_>>().join(",");
            DataError::invalid(labels_path, format!("expected a column \"{name}\", found the header \"{found}\""))
        })
    };
    let (file_column, class_column) = (column("file")?, column("class")?);
    let mut source = FolderSource { files: Vec::new(), labels: Vec::new(), n_classes: N_ILSVRC_CLASSES };
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(csv_error)?;
        let class = &record[class_column];
        let label = class.parse::<i128>().map_err(|_| {
            DataError::invalid(labels_path, format!("record {index}: expected an integer class, found \"{class}\""))
        })?;
        source.labels.push(check_label(label, N_ILSVRC_CLASSES - 1, index, labels_path)?);
        source.files.push(locate(folder, &record[file_column], index, labels_path)?);
    }
    Ok(source)
}

/// The file that a record of `labels.csv` names, which must not lie outside the folder.
fn locate(folder: &Path, name: &str, record: usize, labels_path: &Path) -> Result<PathBuf, DataError> {
    let relative = Path::new(name);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside {
        let cause = format!("record {record}: expected a file below the folder, found \"{name}\"");
        return Err(DataError::invalid(labels_path, cause));
    }
    let candidates = [folder.join(relative), folder.join(IMAGES_FOLDER).join(relative)];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| DataError::MissingFile {
        folder: folder.to_path_buf(),
        expected: format!("{name} or {IMAGES_FOLDER}/{name}, named by {LABELS_FILE}"),
    })
}

fn open_folders(folder: &Path, split: Split) -> Result<FolderSource, DataError> {
    let base = split_folder(folder, split)?;
    let folders: Vec<PathBuf> = entries(&base)?.into_iter().filter(|path| path.is_dir()).collect();
    let names: Vec<String> = folders.iter().map(|path| file_name(path)).collect();
    let (classes, n_classes) = number_classes(&base, &names)?;
    let mut source = FolderSource { files: Vec::new(), labels: Vec::new(), n_classes };
    for (class_folder, class) in folders.iter().zip(classes) {
        let images = entries(class_folder)?.into_iter().filter(|path| is_image(path) && path.is_file());
        source.files.extend(images);
        source.labels.resize(source.files.len(), class);
    }
    Ok(source)
}

/// The folder that holds the class folders of a split: one of its own where the splits are kept apart.
fn split_folder(folder: &Path, split: Split) -> Result<PathBuf, DataError> {
    let names: [&[&str]; 2] = [&["val", "test", "validation"], &["train"]];
    let find = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
    let [test, train] = names.map(find);
    match (split, test, train) {
        (_, None, None) => Ok(folder.to_path_buf()),
        (Split::Test, Some(path), _) | (Split::Train, _, Some(path)) => Ok(path),
        (Split::Test, None, _) => Err(DataError::MissingFolder { path: folder.join("val") }),
        (Split::Train, _, None) => Err(DataError::MissingFolder { path: folder.join("train") }),
    }
}

/// The class of each folder name, and the number of classes.
fn number_classes(base: &Path, names: &[String]) -> Result<(Vec<usize>, usize), DataError> {
    let wnids: Vec<&str> = WNIDS.lines().collect();
    if let Some(ranks) = names.iter().map(|name| wnids.binary_search(&name.as_str()).ok()).collect() {
        return Ok((ranks, N_ILSVRC_CLASSES));
    }
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    if !names.iter().all(is_number) {
        return Ok(((0..names.len()).collect(), names.len()));
    }
    let mut classes = Vec::with_capacity(names.len());
    for (record, name) in names.iter().enumerate() {
        // Longer digit strings than fit are out of range whatever they say.
        let label = name.parse::<i128>().unwrap_or(i128::MAX);
        classes.push(check_label(label, MAX_CLASSES - 1, record, base)?);
    }
    let n_classes = classes.iter().max().map_or(0, |max| max + 1);
    Ok((classes, n_classes))
}

/// What lies in a folder, sorted by name, hidden entries left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>())
        .map_err(DataError::io(folder))?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|valid| extension.eq_ignore_ascii_case(valid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wordnet_ids_are_a_thousand_sorted_names() {
        let wnids: Vec<&str> = WNIDS.lines().collect();
        assert_eq!(wnids.len(), N_ILSVRC_CLASSES);
        assert!(wnids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn folder_names_decide_the_class() {
        let number = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            number_classes(Path::new("base"), &names)
        };
        assert_eq!(number(&["n01440764", "n01514859", "n15075141"]).unwrap(), (vec![0, 8, 999], 1000));
        assert_eq!(number(&["0", "10", "2"]).unwrap(), (vec![0, 10, 2], 11));
        assert_eq!(number(&["cat", "dog", "n01440764"]).unwrap(), (vec![0, 1, 2], 3));
        assert_eq!(
            number(&["0", "99999999999999999999999999999999999999999999"]).unwrap_err().to_string(),
            "base: record 1: label 170141183460469231731687303715884105727 is out of range, expected 0 to 99999"
        );
    }
}
