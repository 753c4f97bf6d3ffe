//! The numbers of classes.
//!
//! Classes are named by folders or by a table, and numbered over all splits together, so that a class that is missing
//! in one of them shifts no other. In this order:
//!
//! 1. `imagenet:DIR,classes=FILE`, or a file `classes.txt` in `DIR`: one name a line; the number is the line's, from 0.
//! 2. `imagenet:DIR,classes=folders`: the rank of the name in the byte order of all names, as in torchvision's
//!    `ImageFolder`; `imagenet:DIR,classes=numbers`: names are numbers, and mean them.
//! 3. If each name is a WordNet id of ILSVRC-2012: its rank among those 1,000, also when only some of them are there.
//! 4. Else the rank of the name in byte order. Names that are numbers and would get other numbers (`10` comes before
//!    `2`) are an error that names both ways out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::dataset::MAX_CLASSES;

/// The 1,000 WordNet ids of ILSVRC-2012, sorted; the class is the position.
///
/// Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 115, 2015.
static WNIDS: &str = include_str!("ilsvrc2012_wnids.txt");
pub(super) const N_ILSVRC_CLASSES: usize = 1000;

const LIST_FILE: &str = "classes.txt";
const OPTION: &str = ",classes=";
/// A list of classes is not longer.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// How classes are to be numbered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    Automatic,
    Folders,
    Numbers,
    List(PathBuf),
}

/// Takes `DIR,classes=…` apart.
pub(super) fn parse_location(location: &str) -> Result<(PathBuf, Numbering), DataError> {
    let Some((folder, value)) = location.rsplit_once(OPTION) else {
        return Ok((PathBuf::from(location), Numbering::Automatic));
    };
    let numbering = match value {
        "folders" => Numbering::Folders,
        "numbers" => Numbering::Numbers,
        "" => {
            return Err(DataError::InvalidLocation {
                dataset: "imagenet",
                location: location.to_owned(),
                example: "imagenet:DIR,classes=FILE, or folders or numbers in place of FILE",
            });
        }
        file => Numbering::List(PathBuf::from(file)),
    };
    Ok((PathBuf::from(folder), numbering))
}

/// Numbered classes.
#[derive(Debug)]
pub(super) struct Classes {
    pub(super) numbers: BTreeMap<String, usize>,
    /// How many there are; more than have a name here where a list or ILSVRC has more.
    pub(super) len: usize,
    /// In order, where all have names.
    pub(super) names: Vec<String>,
    /// How they are numbered.
    pub(super) description: String,
    /// Whether that depends on which names are there, and nobody asked for it.
    pub(super) is_relative: bool,
}

/// A list of classes: the one that was asked for, or `classes.txt` in the first of `folders` that has it.
pub(super) fn read_list(numbering: &Numbering, folders: &[&Path]) -> Result<Option<(PathBuf, Vec<String>)>, DataError> {
    let path = match numbering {
        Numbering::List(path) => path.clone(),
        Numbering::Folders | Numbering::Numbers => return Ok(None),
        Numbering::Automatic => match folders.iter().map(|folder| folder.join(LIST_FILE)).find(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let metadata = fs::metadata(&path).map_err(DataError::io(&path))?;
    if !metadata.is_file() || metadata.len() > MAX_LIST_BYTES {
        return Err(DataError::invalid(&path, "expected a text file with the name of one class a line"));
    }
    let text = fs::read_to_string(&path).map_err(DataError::io(&path))?;
    let names: Vec<String> = text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_owned()).collect();
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(DataError::invalid(&path, format!("class \"{twice}\" occurs twice")));
    }
    if names.is_empty() || names.len() > MAX_CLASSES {
        return Err(DataError::invalid(&path, format!("expected 1 to {MAX_CLASSES} names, found {}", names.len())));
    }
    Ok(Some((path, names)))
}

/// Numbers `names`, those of all splits. `base` is for messages.
pub(super) fn number(
    base: &Path,
    names: BTreeSet<String>,
    numbering: &Numbering,
    list: Option<(PathBuf, Vec<String>)>,
) -> Result<Classes, DataError> {
    if let Some((path, listed)) = list {
        let numbers: BTreeMap<String, usize> =
            listed.iter().enumerate().map(|(number, name)| (name.clone(), number)).collect();
        if let Some(unknown) = names.iter().find(|name| !numbers.contains_key(*name)) {
            let cause = format!("class \"{unknown}\" of {} is not in the list", base.display());
            return Err(DataError::invalid(&path, cause));
        }
        let description = format!("{} classes as listed in {}", listed.len(), path.display());
        return Ok(Classes { numbers, len: listed.len(), names: listed, description, is_relative: false });
    }
    let wnids: Vec<&str> = WNIDS.lines().collect();
    let ranks: Option<Vec<usize>> = names.iter().map(|name| wnids.binary_search(&name.as_str()).ok()).collect();
    if let Some(ranks) = ranks.filter(|_| *numbering == Numbering::Automatic) {
        let description = format!("{} WordNet ids, numbered by their rank among the 1,000 of ILSVRC-2012", ranks.len());
        let numbers = names.into_iter().zip(ranks).collect();
        let names = wnids.into_iter().map(str::to_owned).collect();
        return Ok(Classes { numbers, len: N_ILSVRC_CLASSES, names, description, is_relative: false });
    }
    let is_number = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let all_numbers = !names.is_empty() && names.iter().all(is_number);
    if *numbering == Numbering::Numbers {
        return by_number(base, names);
    }
    let moved = names.iter().enumerate().find(|(rank, name)| name.parse::<usize>().ok() != Some(*rank));
    if let Some((rank, name)) = moved.filter(|_| all_numbers && *numbering == Numbering::Automatic) {
        return Err(DataError::invalid(
            base,
            format!(
                "the classes are named by numbers, and \"{name}\" is number {rank} in the byte order of the names: add \
                 {OPTION}folders to the place for that order (as torchvision has it), or {OPTION}numbers for the \
                 numbers themselves"
            ),
        ));
    }
    let description = format!("{} classes, numbered in the byte order of their names", names.len());
    let numbers = names.iter().cloned().zip(0..).collect();
    let is_relative = *numbering == Numbering::Automatic;
    Ok(Classes { numbers, len: names.len(), names: names.into_iter().collect(), description, is_relative })
}

fn by_number(base: &Path, names: BTreeSet<String>) -> Result<Classes, DataError> {
    let mut numbers = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for name in names {
        let number = name.parse::<usize>().ok().filter(|&number| number < MAX_CLASSES).ok_or_else(|| {
            DataError::invalid(base, format!("class \"{name}\": expected a number below {MAX_CLASSES}"))
        })?;
        if let Some(other) = seen.insert(number, name.clone()) {
            return Err(DataError::invalid(base, format!("\"{other}\" and \"{name}\" are the same number")));
        }
        numbers.insert(name, number);
    }
    let len = numbers.values().max().map_or(0, |max| max + 1);
    let description = format!("{} classes, named by their numbers", numbers.len());
    Ok(Classes { numbers, len, names: Vec::new(), description, is_relative: false })
}

/// Classes that a table gives as numbers up to `greatest`.
pub(super) fn numbered(
    greatest: usize,
    is_ilsvrc: bool,
    numbering: &Numbering,
    list: Option<(PathBuf, Vec<String>)>,
    table: &Path,
) -> Result<Classes, DataError> {
    if *numbering == Numbering::Folders {
        return Err(DataError::invalid(table, format!("{OPTION}folders: the classes are numbers here, not names")));
    }
    let names = list.map(|(_, names)| names).unwrap_or_default();
    let len = if !names.is_empty() {
        names.len()
    } else if is_ilsvrc {
        N_ILSVRC_CLASSES
    } else {
        greatest + 1
    };
    let description = format!("classes as numbers, 0 to {}", len - 1);
    Ok(Classes { numbers: BTreeMap::new(), len, names, description, is_relative: false })
}

/// The name's rank among the WordNet ids of ILSVRC-2012.
pub(super) fn is_wnid(name: &str) -> bool {
    WNIDS.lines().any(|wnid| wnid == name)
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

    fn numbers(names: &[&str], numbering: &Numbering) -> Result<(Vec<usize>, usize), String> {
        let set: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
        let classes = number(Path::new("base"), set, numbering, None).map_err(|error| error.to_string())?;
        Ok((names.iter().map(|&name| classes.numbers[name]).collect(), classes.len))
    }

    #[test]
    fn names_decide_the_number() {
        let automatic = |names: &[&str]| numbers(names, &Numbering::Automatic);
        assert_eq!(automatic(&["n01440764", "n01514859", "n15075141"]), Ok((vec![0, 8, 999], 1000)));
        assert_eq!(automatic(&["cat", "dog", "n01440764"]), Ok((vec![0, 1, 2], 3)));
        assert_eq!(automatic(&["0", "1", "2"]), Ok((vec![0, 1, 2], 3)));
        assert_eq!(automatic(&["00", "01", "02"]), Ok((vec![0, 1, 2], 3)));
        // Byte order: capitals first, and 10 before 2.
        assert_eq!(automatic(&["Zebra", "ant", "class10", "class2"]), Ok((vec![0, 1, 2, 3], 4)));
        for names in [&["0", "10", "2"][..], &["1", "2", "3"]] {
            let error = automatic(names).unwrap_err();
            assert!(error.contains(",classes=folders") && error.contains(",classes=numbers"), "{error}");
        }
        assert_eq!(numbers(&["0", "10", "2"], &Numbering::Folders), Ok((vec![0, 1, 2], 3)));
        assert_eq!(numbers(&["0", "10", "2"], &Numbering::Numbers), Ok((vec![0, 10, 2], 11)));
        assert_eq!(numbers(&["n01440764", "n01514859"], &Numbering::Folders), Ok((vec![0, 1], 2)));
        for (names, cause) in [
            (&["0", "99999999999999999999999"][..], "expected a number below 100000"),
            (&["1", "01"], "\"01\" and \"1\" are the same number"),
            (&["a"], "class \"a\": expected a number"),
        ] {
            let error = numbers(names, &Numbering::Numbers).unwrap_err();
            assert!(error.starts_with("base: ") && error.contains(cause), "{error}");
        }
    }

    #[test]
    fn places_carry_the_numbering() {
        let parse = |text: &str| parse_location(text).map_err(|error| error.to_string());
        assert_eq!(parse("a,b"), Ok((PathBuf::from("a,b"), Numbering::Automatic)));
        assert_eq!(parse("a,classes=folders"), Ok((PathBuf::from("a"), Numbering::Folders)));
        assert_eq!(parse("a,classes=x/y.txt"), Ok((PathBuf::from("a"), Numbering::List(PathBuf::from("x/y.txt")))));
        assert!(parse("a,classes=").unwrap_err().contains("imagenet:DIR,classes=FILE"));
    }
}
