//! The repository's own rules, as far as a program can check them: what ARCHITECTURE.md and CONTRIBUTING.md claim.

mod claims;
mod documents;
mod history;
mod levels;
mod rooms;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools::say;

/// One rule: adds what breaks it to the violations.
type Rule = fn(&Repository, &mut Vec<String>) -> Result<()>;

/// Every rule, in the order in which they report.
const RULES: &[Rule] = &[levels::check, rooms::check, sources::check, claims::check, documents::check, history::check];

/// What git tracks, and the text of what the rules read.
struct Repository {
    root: PathBuf,
    /// Tracked paths, `/` between folders.
    paths: Vec<String>,
    /// ARCHITECTURE.md.
    architecture: String,
}

impl Repository {
    fn read(root: &Path) -> Result<Self> {
        let listing = output(root, "git", &["ls-files", "-z"])?;
        let paths = listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
        Ok(Self { root: root.to_owned(), paths, architecture })
    }

    /// Path and text of every tracked Rust file that is there.
    fn rust_files(&self) -> impl Iterator<Item = (&str, String)> {
        let rust = self.paths.iter().filter(|path| path.ends_with(".rs"));
        rust.filter_map(|path| Some((path.as_str(), std::fs::read_to_string(self.root.join(path)).ok()?)))
    }
}

/// Checks every rule and reports all violations together.
pub(crate) fn check(root: &Path) -> Result<()> {
    let repository = Repository::read(root)?;
    let mut violations = Vec::new();
    for rule in RULES {
        rule(&repository, &mut violations)?;
    }
    for violation in &violations {
        say(&format!("tidy: {violation}"));
    }
    if !violations.is_empty() {
        bail!("tidy found {} violation(s)", violations.len());
    }
    say("tidy: ok");
    Ok(())
}

/// What a program prints.
fn output(root: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something that is not UTF-8"))
}
