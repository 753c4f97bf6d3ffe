//! Tables that name the class of each picture.
//!
//! - `labels.csv`: a header line, then a line a picture; separated by commas, semicolons or tabs. One column is called
//!   `file` (or `filename`, `image`, `path`), one `class` (or `label`, `class_id`, `target`), in any case. Classes are
//!   all numbers, from 0, or all names. A column `split` says where the pictures of `train`, `val` and `test` are kept
//!   apart. A file lies in the folder or in `images/` below it, its ending may be left out.
//! - `val_annotations.txt`, as in Tiny ImageNet: a line a picture; file and class name are the first two of the fields,
//!   which tabs separate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::classes::{N_ILSVRC_CLASSES, is_wnid};
use super::place::{Role, exact_role};
use super::scan::{self, EXTENSIONS, Kind};
use crate::dataset::{Split, check_label};
use crate::layout::LeftOutTally;
use crate::{DataError, files, limits};

const LABELS_FILE: &str = "labels.csv";
const IMAGES_FOLDER: &str = "images";
const ANNOTATIONS: &str = "_annotations.txt";

const FILE_COLUMNS: [&str; 4] = ["file", "filename", "image", "path"];
const CLASS_COLUMNS: [&str; 4] = ["class", "label", "class_id", "target"];
const SPLIT_COLUMNS: [&str; 2] = ["split", "subset"];

/// Where a table lies, and of which kind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Table {
    Csv(PathBuf),
    Annotations(PathBuf),
}

/// A picture's file and what the table says of its class, in the order of the table.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<(PathBuf, String)>,
    /// Whether a column of WordNet ids of ILSVRC-2012 stands beside the classes.
    pub(super) is_ilsvrc: bool,
}

impl Table {
    /// The table in `folder`, if there is one.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, DataError> {
        let csv = folder.join(LABELS_FILE);
        if csv.is_file() {
            return Ok(Some(Self::Csv(csv)));
        }
        let annotations = scan::entries(folder)?.into_iter().find(|entry| {
            entry.name.to_ascii_lowercase().ends_with(ANNOTATIONS) && matches!(entry.kind, Kind::Other(_))
        });
        Ok(annotations.filter(|entry| entry.path.is_file()).map(|entry| Self::Annotations(entry.path)))
    }

    pub(super) fn path(&self) -> &Path {
        let (Self::Csv(path) | Self::Annotations(path)) = self;
        path
    }

    fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new("."))
    }

    /// Whether the table itself keeps splits apart.
    pub(super) fn has_splits(&self) -> Result<bool, DataError> {
        match self {
            Self::Csv(path) => Ok(Columns::of(&mut csv_reader(path)?, path)?.split.is_some()),
            Self::Annotations(_) => Ok(false),
        }
    }

    /// The rows of `split`, or of all without one. Files must exist.
    pub(super) fn read(&self, split: Option<Split>) -> Result<Rows, DataError> {
        let rows = match self {
            Self::Csv(path) => read_csv(path, split)?,
            Self::Annotations(path) => read_annotations(path)?,
        };
        let mut seen = BTreeMap::new();
        for (index, (file, _)) in rows.rows.iter().enumerate() {
            if let Some(first) = seen.insert(file, index) {
                let cause = format!("records {first} and {index} name the same file {}", file.display());
                return Err(DataError::invalid(self.path(), cause));
            }
        }
        Ok(rows)
    }

    /// Counts the pictures beside the table that no row of any split names, and everything else that lies there.
    pub(super) fn count_unnamed(&self, root: &Path, left_out: &mut LeftOutTally) -> Result<(), DataError> {
        let named: BTreeSet<PathBuf> = self.read(None)?.rows.into_iter().map(|(file, _)| file).collect();
        let name = self.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        for folder in [self.folder().to_path_buf(), self.folder().join(IMAGES_FOLDER)] {
            if !folder.is_dir() {
                continue;
            }
            for entry in scan::entries(&folder)? {
                match entry.kind {
                    Kind::Picture if !named.contains(&entry.path) => {
                        left_out.add(format!("pictures that {name} does not name"), &entry.path, root);
                    }
                    Kind::Unread => left_out.add(scan::unread_name(&entry.path), &entry.path, root),
                    Kind::Other(what) if entry.path != self.path() => left_out.add(what, &entry.path, root),
                    Kind::Picture | Kind::Folder | Kind::Other(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// The classes of `rows` as numbers, or `None` where they are names.
pub(super) fn to_numbers(
    rows: &[(PathBuf, String)],
    n_listed: Option<usize>,
    table: &Path,
) -> Result<Option<Vec<usize>>, DataError> {
    let numbers: Vec<Option<i128>> = rows.iter().map(|(_, class)| class.parse().ok()).collect();
    if numbers.iter().all(Option::is_none) {
        return Ok(None);
    }
    let max = n_listed.unwrap_or(N_ILSVRC_CLASSES) - 1;
    let check = |(record, number): (usize, &Option<i128>)| match number {
        Some(number) => check_label(*number, max, record, table),
        None => {
            let class = &rows[record].1;
            Err(DataError::invalid(table, format!("record {record}: expected an integer class, found \"{class}\"")))
        }
    };
    numbers.iter().enumerate().map(check).collect::<Result<_, _>>().map(Some)
}

fn csv_error(path: &Path) -> impl Fn(csv::Error) -> DataError {
    move |error| DataError::invalid(path, error.to_string())
}

type Reader = csv::Reader<fs::File>;

/// Opens the table; whatever stands in its first line and is no letter decides what separates the fields.
fn csv_reader(path: &Path) -> Result<Reader, DataError> {
    use std::io::{BufRead, BufReader, Read};
    let file = fs::File::open(path).map_err(DataError::io(path))?;
    let mut first = Vec::new();
    BufReader::new(file).take(4096).read_until(b'\n', &mut first).map_err(DataError::io(path))?;
    let delimiter = [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter)).unwrap_or(b',');
    csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(delimiter).from_path(path).map_err(csv_error(path))
}

struct Columns {
    file: usize,
    class: usize,
    split: Option<usize>,
    wnid: Option<usize>,
}

impl Columns {
    fn of(reader: &mut Reader, path: &Path) -> Result<Self, DataError> {
        let headers = reader.headers().map_err(csv_error(path))?;
        let headers: Vec<String> =
            headers.iter().map(|header| header.trim_start_matches('\u{feff}').to_ascii_lowercase()).collect();
        let find = |names: &[&str]| names.iter().find_map(|name| headers.iter().position(|header| header == name));
        let required = |names: &[&str]| {
            find(names).ok_or_else(|| {
                let (name, found) = (names[0], headers.join(","));
                DataError::invalid(path, format!("expected a column \"{name}\", found the header \"{found}\""))
            })
        };
        Ok(Self {
            file: required(&FILE_COLUMNS)?,
            class: required(&CLASS_COLUMNS)?,
            split: find(&SPLIT_COLUMNS),
            wnid: find(&["wnid"]),
        })
    }
}

fn read_csv(path: &Path, split: Option<Split>) -> Result<Rows, DataError> {
    let len = fs::metadata(path).map_err(DataError::io(path))?.len();
    limits::check_file(path, len)?;
    let mut reader = csv_reader(path)?;
    let columns = Columns::of(&mut reader, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut rows = Rows { rows: Vec::new(), is_ilsvrc: columns.wnid.is_some() };
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(csv_error(path))?;
        if let Some(found) = columns.split.map(|column| &record[column]) {
            let role = exact_role(found).ok_or_else(|| {
                let cause = format!("record {index}: expected the split train, val or test, found \"{found}\"");
                DataError::invalid(path, cause)
            })?;
            if split.is_some_and(|split| (split == Split::Train) != (role == Role::Train)) {
                continue;
            }
        }
        rows.is_ilsvrc &= columns.wnid.is_none_or(|column| is_wnid(&record[column]));
        rows.rows.push((locate(folder, &record[columns.file], index, path)?, record[columns.class].to_owned()));
    }
    Ok(rows)
}

fn read_annotations(path: &Path) -> Result<Rows, DataError> {
    let text = String::from_utf8(files::read(path)?).map_err(|_| DataError::invalid(path, "expected text in UTF-8"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut fields = line.split('\t').map(str::trim);
        let (Some(file), Some(class)) = (fields.next(), fields.next().filter(|class| !class.is_empty())) else {
            let cause = format!("line {}: expected a file and a class, separated by a tab", index + 1);
            return Err(DataError::invalid(path, cause));
        };
        rows.push((locate(folder, file, index, path)?, class.to_owned()));
    }
    Ok(Rows { rows, is_ilsvrc: false })
}

/// The file that a record of a table names, which must not lie outside the folder.
fn locate(folder: &Path, name: &str, record: usize, table: &Path) -> Result<PathBuf, DataError> {
    let relative = Path::new(name);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || !inside {
        let cause = format!("record {record}: expected a file below the folder, found \"{name}\"");
        return Err(DataError::invalid(table, cause));
    }
    let folders = [folder.to_path_buf(), folder.join(IMAGES_FOLDER)];
    // Collecting the parts again leaves out `./`.
    let relative: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
    let exact = folders.iter().map(|folder| folder.join(&relative));
    let endings = EXTENSIONS.iter().flat_map(|ending| {
        let name = format!("{}.{ending}", relative.display());
        folders.iter().map(move |folder| folder.join(&name))
    });
    let found = exact.chain(endings.filter(|_| relative.extension().is_none())).find(|path| path.is_file());
    let table_name = table.file_name().unwrap_or_default().to_string_lossy();
    found.ok_or_else(|| DataError::MissingFile {
        folder: folder.to_path_buf(),
        expected: format!("{name} or {IMAGES_FOLDER}/{name}, named by {table_name}"),
    })
}
