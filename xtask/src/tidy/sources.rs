//! Sizes and form of files.

use anyhow::Result;

use super::Repository;

const MAX_FILE_LINES: usize = 1_000;
const MAX_FILE_BYTES: u64 = 4 << 20;

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    for path in &repository.paths {
        let Ok(metadata) = std::fs::metadata(repository.root.join(path)) else { continue };
        if metadata.len() > MAX_FILE_BYTES {
            violations.push(format!("{path}: {} bytes; data sets and binaries do not belong in git", metadata.len()));
        }
    }
    for (path, text) in repository.rust_files() {
        rust_file(path, &text, violations);
    }
    Ok(())
}

fn rust_file(path: &str, text: &str, violations: &mut Vec<String>) {
    let n_lines = text.lines().count();
    if n_lines > MAX_FILE_LINES {
        violations.push(format!("{path}: {n_lines} lines, at most {MAX_FILE_LINES}"));
    }
    let is_root = path.ends_with("/lib.rs") || path.ends_with("/main.rs") || path.ends_with("/mod.rs");
    if is_root && !path.contains("/tests/") && !text.starts_with("//!") {
        violations.push(format!("{path}: does not open with //!"));
    }
    // Spelled in two parts so that this file passes its own check.
    for forbidden in [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ign", "ore")] {
        if text.contains(forbidden) {
            violations.push(format!("{path}: contains {forbidden}"));
        }
    }
    for (idx, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            violations.push(format!("{path}:{}: trailing white space", idx + 1));
        }
    }
}
