//! Dependencies point to lower levels only. The levels are those of ARCHITECTURE.md's table.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Repository, output};

/// Where a crate stands in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Below everything with a greater number.
    Number(u32),
    /// Used by tests and automation only: nothing that ships depends on it, and it may depend on anything.
    Development,
}

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    let table = table(&repository.architecture);
    let text = output(&repository.root, "cargo", &["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
    let packages: Vec<&Value> = metadata["packages"].as_array().into_iter().flatten().collect();
    let name_of = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    for (name, _) in &table {
        if !packages.iter().any(|package| name_of(package) == *name) {
            violations.push(format!("ARCHITECTURE.md: there is no crate `{name}`"));
        }
    }
    let level = |name: &str| table.iter().find(|(known, _)| known == name).map(|&(_, level)| level);
    for package in &packages {
        let name = name_of(package);
        let is_example = package["manifest_path"].as_str().is_some_and(|path| path.contains("/examples/"));
        let own = match level(&name) {
            Some(own) => own,
            None if is_example => Level::Number(u32::MAX),
            None => {
                violations.push(format!("crate {name} has no level in the table of ARCHITECTURE.md"));
                continue;
            }
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            // Tests may look sideways and up; only what ships has to follow the levels.
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let allowed = match (own, level(other)) {
                (_, None) | (Level::Development, _) => true,
                // What a user's crate does, it does with the public API alone.
                _ if is_example => other == "skimp",
                (Level::Number(own), Some(Level::Number(other))) => other < own,
                (Level::Number(_), Some(Level::Development)) => false,
            };
            if !allowed {
                violations.push(format!("{name} depends on {other}, which is not of a lower level"));
            }
        }
    }
    Ok(())
}

/// Crates and levels in the rows `| level | `crate` | .. |`.
fn table(architecture: &str) -> Vec<(String, Level)> {
    let row = |line: &str| {
        let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
        let level = match cells.next()? {
            "dev" => Level::Development,
            number => Level::Number(number.parse().ok()?),
        };
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), level))
    };
    architecture.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_come_from_the_table() {
        let text =
            "| level | crate | holds |\n|---|---|---|\n| 0 | `low` | x |\n| dev | `tools` | y |\n| an operator | z |\n";
        let found = table(text);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["low", "tools"]);
        assert!(found[0].1 == Level::Number(0) && found[1].1 == Level::Development);
    }
}
