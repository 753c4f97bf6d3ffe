//! What the tests of several crates share: where real data and a Python are, how a test says that it has neither,
//! and the published figures that tests hold ours against.
//!
//! For dev-dependencies only. `cargo xtask test` sets `SKIMP_PYTHON`; `SKIMP_DATA` is the user's.

mod figures;

use std::ffi::OsString;
use std::path::PathBuf;

pub use figures::{Class, Figure, WIDEST_TOLERANCE, check, figures};

/// The folder that `SKIMP_DATA` names, or `None` and a message on stderr: the test has no `what` to work on. That the
/// folder holds it is for the test to find out.
#[must_use]
pub fn data(what: &str) -> Option<PathBuf> {
    let folder = variable("SKIMP_DATA");
    if folder.is_none() {
        skipped(&format!("SKIMP_DATA does not name a folder with {what}"));
    }
    folder.map(PathBuf::from)
}

/// The Python interpreter that `SKIMP_PYTHON` names, or `None` and a message on stderr: the test needs one with
/// `modules`.
#[must_use]
pub fn python(modules: &str) -> Option<OsString> {
    let python = variable("SKIMP_PYTHON");
    if python.is_none() {
        skipped(&format!("SKIMP_PYTHON does not name a Python with {modules}"));
    }
    python
}

/// Says on stderr why a test does not run, or not in full.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_counts() {
        assert_eq!(variable("SKIMP_NO_SUCH_VARIABLE"), None);
        assert_eq!(data("anything").is_some(), variable("SKIMP_DATA").is_some());
        assert_eq!(python("numpy"), variable("SKIMP_PYTHON"));
    }
}
