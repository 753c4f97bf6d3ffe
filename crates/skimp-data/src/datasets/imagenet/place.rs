//! Where the pictures of a split lie, and what their classes are called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::scan::{self, Entry, Kind, Pictures};
use super::tables::{self, Table};
use crate::DataError;
use crate::dataset::Split;
use crate::layout::LeftOutTally;

/// What a folder should hold.
pub(super) const EXPECTED: &str = "class folders with pictures, or pictures and labels.csv";

/// Folders that hold pictures of all classes rather than those of one.
const PLAIN_FOLDERS: [&str; 9] = ["images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data", "jpg"];

/// A folder within one that holds nothing else is followed this often.
const MAX_INNER: usize = 4;

/// Which split a folder's name says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Train,
    /// Images to measure on, in the order of preference.
    Test(usize),
}

const TRAIN_NAMES: [&str; 2] = ["train", "training"];
const TEST_NAMES: [&str; 5] = ["val", "validation", "valid", "test", "testing"];

/// The role that a name stands for.
pub(super) fn exact_role(name: &str) -> Option<Role> {
    let name = name.to_ascii_lowercase();
    if TRAIN_NAMES.contains(&name.as_str()) {
        return Some(Role::Train);
    }
    TEST_NAMES.iter().position(|known| *known == name).map(Role::Test)
}

/// The role that a part of a name stands for, as in `seg_train`.
fn part_role(name: &str) -> Option<Role> {
    name.split(['_', '-', '.', ' ']).find_map(exact_role)
}

/// Where a split lies.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder that holds its class folders or its table.
    pub(super) base: PathBuf,
    pub(super) table: Option<Table>,
    /// The same of the other splits, whose classes are numbered together with those here.
    pub(super) siblings: Vec<PathBuf>,
    /// Whether the splits hold images of their own.
    pub(super) apart: bool,
    split: Split,
}

impl Place {
    /// Looks for `split` in `folder`.
    pub(super) fn find(folder: &Path, split: Split, left_out: &mut LeftOutTally) -> Result<Self, DataError> {
        let mut at = folder.to_path_buf();
        for _ in 0..MAX_INNER {
            if let Some(table) = Table::find(&at)? {
                let apart = table.has_splits()?;
                return Ok(Self { siblings: beside(&at)?, base: at, table: Some(table), apart, split });
            }
            if let Some(splits) = Splits::of(&at)? {
                return splits.place(&at, folder, split, left_out);
            }
            match inner(&at)? {
                Some(inner) => at = inner,
                None => break,
            }
        }
        Ok(Self { siblings: beside(&at)?, base: at, table: None, apart: false, split })
    }
}

/// The only folder in `folder` that holds pictures, if it holds folders or a table itself and nothing lies beside it.
fn inner(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let list = scan::entries(folder)?;
    if list.iter().any(|entry| matches!(entry.kind, Kind::Picture | Kind::Unread)) {
        return Ok(None);
    }
    let [only] = &class_folders(list)?[..] else { return Ok(None) };
    let list = scan::entries(&only.path)?;
    if Table::find(&only.path)?.is_some() || Splits::of(&only.path)?.is_some() {
        return Ok(Some(only.path.clone()));
    }
    let direct = list.iter().any(|entry| matches!(entry.kind, Kind::Picture | Kind::Unread));
    let folders = class_folders(list)?;
    // A folder for all classes that holds one folder for all of them: the next round decides.
    let several = folders.len() > 1 || (folders.len() == 1 && inner(&only.path)?.is_some());
    Ok((!direct && several).then(|| only.path.clone()))
}

/// The folders among `list` that hold pictures.
fn class_folders(list: Vec<Entry>) -> Result<Vec<Entry>, DataError> {
    let mut folders = Vec::new();
    for entry in list {
        if entry.kind == Kind::Folder && scan::holds_pictures(&entry.path)? {
            folders.push(entry);
        }
    }
    Ok(folders)
}

/// Whether the folders in `folder` are classes, rather than one for the pictures of all.
fn has_classes(folder: &Path) -> Result<bool, DataError> {
    let folders = class_folders(scan::entries(folder)?)?;
    Ok(match &folders[..] {
        [] => false,
        [only] => !is_plain(&only.name),
        _ => true,
    })
}

fn is_plain(name: &str) -> bool {
    PLAIN_FOLDERS.contains(&name.to_ascii_lowercase().as_str())
}

/// Folders of splits beside each other.
#[derive(Debug, Default)]
struct Splits {
    /// Those with classes: role, folder, and where the classes lie.
    known: Vec<(Role, PathBuf, PathBuf)>,
    /// Those with pictures only, of which nobody says what they show.
    flat: Vec<(Role, PathBuf)>,
}

impl Splits {
    /// The splits in `folder`, if its folders are splits. A folder called `train` that holds pictures like its siblings
    /// is a class.
    fn of(folder: &Path) -> Result<Option<Self>, DataError> {
        let folders = class_folders(scan::entries(folder)?)?;
        let exact = Self::among(&folders, exact_role)?;
        if !exact.known.is_empty() {
            return Ok(Some(exact));
        }
        let others = folders.iter().filter(|entry| exact_role(&entry.name).is_none()).count();
        if let (Some((_, flat)), 0) = (exact.flat.first(), others) {
            return Err(unlabeled(flat));
        }
        let parts = Self::among(&folders, part_role)?;
        let names = |test: bool| -> Result<BTreeSet<String>, DataError> {
            let mut names = BTreeSet::new();
            for (role, _, base) in &parts.known {
                if (*role != Role::Train) == test {
                    names.extend(class_names(base)?);
                }
            }
            Ok(names)
        };
        let (train, test) = (names(false)?, names(true)?);
        Ok((train.intersection(&test).count() > 1).then_some(parts))
    }

    fn among(folders: &[Entry], role: fn(&str) -> Option<Role>) -> Result<Self, DataError> {
        let mut splits = Self::default();
        for entry in folders {
            let Some(role) = role(&entry.name) else { continue };
            let mut base = entry.path.clone();
            if Table::find(&base)?.is_none() {
                while let Some(inner) = inner_classes(&base)? {
                    base = inner;
                }
                if !has_classes(&base)? {
                    splits.flat.push((role, entry.path.clone()));
                    continue;
                }
            }
            if let Some((_, other, _)) = splits.known.iter().find(|(known, ..)| *known == role) {
                let cause = format!("{} and {} are the same split", other.display(), entry.path.display());
                return Err(DataError::invalid(entry.path.parent().unwrap_or(&entry.path), cause));
            }
            splits.known.push((role, entry.path.clone(), base));
        }
        Ok(splits)
    }

    /// The place of `split`, with all that is not used counted.
    fn place(self, at: &Path, root: &Path, split: Split, left_out: &mut LeftOutTally) -> Result<Place, DataError> {
        let fits = |role: &Role| (*role == Role::Train) == (split == Split::Train);
        let preference = |role: &Role| match role {
            Role::Train => 0,
            Role::Test(preference) => *preference,
        };
        let candidates = self.known.iter().filter(|(role, ..)| fits(role));
        let Some((chosen, folder, base)) = candidates.min_by_key(|(role, ..)| preference(role)) else {
            let flat = self.flat.iter().filter(|(role, _)| fits(role));
            if let Some((_, flat)) = flat.min_by_key(|(role, _)| preference(role)) {
                return Err(unlabeled(flat));
            }
            let expected: &[&str] = if split == Split::Train { &TRAIN_NAMES } else { &TEST_NAMES };
            return Err(DataError::MissingSplit { folder: at.to_path_buf(), split, expected: expected.join(", ") });
        };
        for entry in scan::entries(at)? {
            let is_split = |role: &Role, path: &Path| *role != *chosen && *path == entry.path && fits(role);
            let other_split = self.known.iter().any(|(role, path, _)| is_split(role, path))
                || self.flat.iter().any(|(role, path)| is_split(role, path));
            let used = entry.path == *folder || self.known.iter().any(|(_, path, _)| *path == entry.path);
            match entry.kind {
                Kind::Folder if other_split => left_out.add("other splits to measure on", &entry.path, root),
                Kind::Folder if !used && scan::holds_pictures(&entry.path)? => {
                    left_out.add("folders with pictures beside the splits", &entry.path, root);
                }
                Kind::Folder if !used => left_out.add("folders without pictures", &entry.path, root),
                Kind::Folder => {}
                Kind::Picture => left_out.add("pictures beside the splits", &entry.path, root),
                Kind::Unread => left_out.add(scan::unread_name(&entry.path), &entry.path, root),
                Kind::Other(what) => left_out.add(what, &entry.path, root),
            }
        }
        Ok(Place {
            base: base.clone(),
            table: Table::find(base)?,
            siblings: self.known.iter().map(|(.., other)| other.clone()).filter(|other| other != base).collect(),
            apart: true,
            split,
        })
    }
}

/// As [`inner`], within the folder of a split.
fn inner_classes(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    if Table::find(folder)?.is_some() {
        return Ok(None);
    }
    inner(folder)
}

/// Where the other splits lie if `folder` is one of several itself.
fn beside(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let folder = fs::canonicalize(folder).map_err(DataError::io(folder))?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(parent), Some(_)) = (folder.parent(), name.as_deref().and_then(part_role)) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    // A folder above may be anything, and need not be readable.
    let Ok(list) = scan::entries(parent) else { return Ok(found) };
    for entry in list {
        let role = part_role(&entry.name).filter(|_| entry.kind == Kind::Folder && entry.path != folder);
        if role.is_some() && (Table::find(&entry.path)?.is_some() || has_classes(&entry.path)?) {
            found.push(entry.path);
        }
    }
    Ok(found)
}

/// The classes below `base` by name; none where a table gives them as numbers.
pub(super) fn class_names(base: &Path) -> Result<BTreeSet<String>, DataError> {
    match Table::find(base)? {
        Some(table) => {
            let rows = table.read(None)?.rows;
            let names = tables::to_numbers(&rows, None, table.path())?.is_none();
            Ok(rows.into_iter().filter(|_| names).map(|(_, class)| class).collect())
        }
        None => Ok(class_folders(scan::entries(base)?)?.into_iter().map(|entry| entry.name).collect()),
    }
}

fn unlabeled(folder: &Path) -> DataError {
    DataError::invalid(
        folder,
        "pictures lie here side by side, and nothing says what they show; expected a folder for each class, or a file \
         labels.csv with the columns file and class",
    )
}

/// The pictures of a split and their classes.
#[derive(Debug)]
pub(super) enum Content {
    /// By number, from the table `path`.
    Numbered { rows: Vec<(PathBuf, usize)>, path: PathBuf, is_ilsvrc: bool },
    /// By name.
    Named { rows: Vec<(PathBuf, String)> },
}

impl Content {
    /// Reads `place`, which lies in `root`. `n_listed` is the number of classes where a list of them is given.
    pub(super) fn read(
        place: &Place,
        root: &Path,
        n_listed: Option<usize>,
        left_out: &mut LeftOutTally,
    ) -> Result<Self, DataError> {
        let Some(table) = &place.table else { return read_folders(&place.base, root, left_out) };
        let tables::Rows { rows, is_ilsvrc } = table.read(Some(place.split))?;
        table.count_unnamed(root, left_out)?;
        Ok(match tables::to_numbers(&rows, n_listed, table.path())? {
            Some(numbers) => Self::Numbered {
                rows: rows.into_iter().map(|(file, _)| file).zip(numbers).collect(),
                path: table.path().to_path_buf(),
                is_ilsvrc,
            },
            None => Self::Named { rows },
        })
    }

    /// Names of the classes, where they have some.
    pub(super) fn class_names(&self) -> impl Iterator<Item = &str> {
        let rows = match self {
            Self::Named { rows } => rows.as_slice(),
            Self::Numbered { .. } => &[],
        };
        rows.iter().map(|(_, class)| class.as_str())
    }
}

impl Place {
    /// What was recognized, for people.
    pub(super) fn description(&self, root: &Path) -> String {
        let below = |path: &Path| match path.strip_prefix(root) {
            Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
            _ => path.display().to_string(),
        };
        match &self.table {
            Some(table) => format!("pictures named by {}", below(table.path())),
            None if self.base == root => "class folders".to_owned(),
            None => format!("class folders in {}", below(&self.base)),
        }
    }
}

fn read_folders(base: &Path, root: &Path, left_out: &mut LeftOutTally) -> Result<Content, DataError> {
    let mut rows = Vec::new();
    let (mut n_folders, mut n_loose) = (0, 0);
    let mut last = String::new();
    let (mut all_nested, mut split_names) = (true, false);
    for Entry { path, name, kind } in scan::entries(base)? {
        match kind {
            Kind::Picture => {
                n_loose += 1;
                left_out.add("pictures beside the class folders", &path, root);
            }
            Kind::Unread => left_out.add(scan::unread_name(&path), &path, root),
            Kind::Other(what) => left_out.add(what, &path, root),
            Kind::Folder => {
                let pictures = Pictures::of(&path, root, left_out)?;
                if let (true, Some(first)) = (pictures.files.is_empty(), pictures.unread.first()) {
                    let example = first.file_name().unwrap_or_default().to_string_lossy();
                    let feature = format!(
                        "all {} pictures of this class, such as {example}, are in formats that are not read; {} are",
                        pictures.unread.len(),
                        scan::EXTENSIONS.join(", ")
                    );
                    return Err(DataError::unsupported(&path, feature));
                }
                if pictures.files.is_empty() {
                    left_out.add("folders without pictures", &path, root);
                    continue;
                }
                n_folders += 1;
                all_nested &= pictures.n_direct == 0 && pictures.nested.len() > 1;
                split_names |= part_role(&name).is_some();
                rows.extend(pictures.files.into_iter().map(|file| (file, name.clone())));
                last = name;
            }
        }
    }
    if n_folders == 0 && n_loose > 0 {
        return Err(unlabeled(base));
    }
    if n_folders == 1 && is_plain(&last) {
        return Err(unlabeled(&base.join(last)));
    }
    if n_folders > 0 && all_nested && split_names {
        return Err(DataError::invalid(
            base,
            "the folders look like splits of a data set, but are not called train and val; give one of them, or rename \
             them",
        ));
    }
    Ok(Content::Named { rows })
}
