//! What the tests of several crates share: where real data and a Python are, how a test says that it has neither,
//! the published figures that tests hold ours against, the shapes of the network that most of them are of, and how benches
//! measure.
//!
//! For dev-dependencies only. `cargo xtask test` sets `SKIMP_PYTHON`; `SKIMP_DATA` is the user's.

mod figures;
mod timing;

use std::ffi::OsString;
use std::path::PathBuf;

pub use figures::{Class, Figure, WIDEST_TOLERANCE, check, figures};
pub use timing::{RawTimes, Times};

/// Rows and columns, input channels, output channels of VGG-16's convolutions at 224 x 224, each with 3 x 3 kernels and a
/// padding of 1 (K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
/// 2015, table 1, configuration D).
pub const VGG16_CONVOLUTIONS: [(usize, usize, usize); 13] = [
    (224, 3, 64),
    (224, 64, 64),
    (112, 64, 128),
    (112, 128, 128),
    (56, 128, 256),
    (56, 256, 256),
    (56, 256, 256),
    (28, 256, 512),
    (28, 512, 512),
    (28, 512, 512),
    (14, 512, 512),
    (14, 512, 512),
    (14, 512, 512),
];

/// Inputs and outputs of VGG-16's dense layers.
pub const VGG16_DENSE: [(usize, usize); 3] = [(25_088, 4096), (4096, 4096), (4096, 1000)];

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

/// Designs that take networks of weights ±1 only; tests that run every design on some other network leave them out.
pub const BINARY_DESIGNS: [&str; 3] = ["bsnn-tile", "bsnn-tile-calibrated", "xnor-rram"];

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
