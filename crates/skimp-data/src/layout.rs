//! How the files of a data set lie, and what of them is not used.

use std::collections::BTreeMap;
use std::path::Path;

/// What opening a split found out about its files. The default says nothing: the format has one layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The layout that was recognized, and how classes are numbered.
    pub description: String,
    /// Names of the classes in the order of their numbers, where the files name them.
    pub class_names: Vec<String>,
    /// Whether the numbers of the classes follow from the names that are there, so that a class more or less would change
    /// them.
    pub is_numbering_relative: bool,
    /// What was left out, each kind once.
    pub left_out: Vec<LeftOut>,
    /// Where there are fewer or more images than the distributed files hold: a sentence on each file. A part that was
    /// taken on purpose and a copy that was cut short look alike.
    pub partial: Vec<String>,
}

/// Files or folders of one kind that are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which kind, and why: `.txt files`.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The first of them, below the data set's folder.
    pub example: String,
}

impl Layout {
    /// One line on the files that have more or fewer images than the distributed ones, or nothing.
    pub fn partial_text(&self) -> Option<String> {
        let list = self.partial.join("; ");
        (!list.is_empty()).then(|| format!("a part of the data set, or files that were cut short: {list}"))
    }

    /// One line on everything that was left out, or nothing.
    pub fn left_out_text(&self) -> Option<String> {
        let one = |left: &LeftOut| format!("{} ({}, such as {})", left.what, left.count, left.example);
        let list: Vec<String> = self.left_out.iter().map(one).collect();
        (!list.is_empty()).then(|| format!("left out: {}", list.join("; ")))
    }
}

/// Counts what is left out while a folder is read.
#[derive(Debug, Default)]
pub(crate) struct LeftOutTally(BTreeMap<String, (u64, String)>);

impl LeftOutTally {
    /// Counts `path`, which lies below `root`.
    pub(crate) fn add(&mut self, what: impl Into<String>, path: &Path, root: &Path) {
        let example = || path.strip_prefix(root).unwrap_or(path).display().to_string();
        self.0.entry(what.into()).or_insert_with(|| (0, example())).0 += 1;
    }

    pub(crate) fn finish(self) -> Vec<LeftOut> {
        self.0.into_iter().map(|(what, (count, example))| LeftOut { what, count, example }).collect()
    }
}
