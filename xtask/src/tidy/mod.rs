//! The repository's own rules, as far as a program can check them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tools::say;

/// Crates by level: a crate may depend only on crates of lower levels. A new crate or edge is a change of the
/// architecture and is written down in ARCHITECTURE.md.
const LEVELS: &[(&str, u32)] = &[
    ("skimp-files", 0),
    ("skimp-memory", 0),
    ("skimp-testkit", 0),
    ("skimp-numerics", 0),
    ("skimp-shape", 0),
    ("skimp-graph", 1),
    ("skimp-data", 1),
    ("skimp-cpu", 2),
    ("skimp-quant", 2),
    ("skimp-sim", 3),
    ("skimp-train", 3),
    ("skimp-digital", 4),
    ("skimp-report", 5),
    ("skimp-study", 6),
    ("skimp", 7),
    ("skimp-cli", 8),
    ("xtask", 9),
];

const MAX_FILE_LINES: usize = 1_000;
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Checks every rule and reports all violations together.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut violations = Vec::new();
    levels(root, &mut violations)?;
    files(root, &mut violations)?;
    architecture(root, &mut violations)?;
    for violation in &violations {
        say(&format!("tidy: {violation}"));
    }
    if !violations.is_empty() {
        bail!("tidy found {} violation(s)", violations.len());
    }
    say("tidy: ok");
    Ok(())
}

fn levels(root: &Path, violations: &mut Vec<String>) -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let level = |name: &str| LEVELS.iter().find(|(crate_name, _)| *crate_name == name).map(|&(_, level)| level);
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = level(name) else {
            violations.push(format!("crate {name} has no level in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            // Tests may look sideways and up; only what ships has to follow the levels.
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            if level(other).is_some_and(|other| other >= own) {
                violations.push(format!("{name} (level {own}) depends on {other}, which is not of a lower level"));
            }
        }
    }
    Ok(())
}

fn files(root: &Path, violations: &mut Vec<String>) -> Result<()> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("cannot start git")?;
    let listing = String::from_utf8(output.stdout).context("a tracked path is not UTF-8")?;
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        let full = root.join(path);
        let Ok(metadata) = std::fs::metadata(&full) else { continue };
        if metadata.len() > MAX_FILE_BYTES {
            violations.push(format!("{path}: {} bytes; data sets and binaries do not belong in git", metadata.len()));
        }
        if path.ends_with(".rs") {
            let text = std::fs::read_to_string(&full).with_context(|| path.to_owned())?;
            rust_file(path, &text, violations);
        }
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

fn architecture(root: &Path, violations: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    if text.lines().count() > 200 {
        violations.push("ARCHITECTURE.md: over 200 lines".to_owned());
    }
    for (name, _) in LEVELS {
        if !text.contains(&format!("`{name}`")) {
            violations.push(format!("ARCHITECTURE.md: does not mention `{name}`"));
        }
    }
    for file in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        if !root.join(file).is_file() {
            violations.push(format!("{file}: missing"));
        }
    }
    Ok(())
}
