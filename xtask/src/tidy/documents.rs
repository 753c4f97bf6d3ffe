//! The documents say what is there.

use anyhow::Result;

use super::Repository;

/// ARCHITECTURE.md is read by every contributor.
const MAX_ARCHITECTURE_LINES: usize = 93;

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    let n_lines = repository.architecture.lines().count();
    if n_lines > MAX_ARCHITECTURE_LINES {
        violations.push(format!("ARCHITECTURE.md: {n_lines} lines, at most {MAX_ARCHITECTURE_LINES}"));
    }
    for file in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        if !repository.root.join(file).is_file() {
            violations.push(format!("{file}: missing"));
        }
    }
    for (idx, line) in repository.architecture.lines().enumerate() {
        for path in paths(line) {
            if !repository.root.join(&path).exists() {
                violations.push(format!("ARCHITECTURE.md:{}: there is no {path}", idx + 1));
            }
        }
    }
    let changelog = std::fs::read_to_string(repository.root.join("CHANGELOG.md"))?;
    let mut seen = std::collections::HashSet::new();
    for (idx, line) in changelog.lines().enumerate().filter(|(_, line)| line.starts_with("- ")) {
        if !seen.insert(line) {
            violations.push(format!("CHANGELOG.md:{}: says the same as an earlier line", idx + 1));
        }
    }
    Ok(())
}

/// The paths between back quotes, up to the first part that is a placeholder in capitals (`NAME.rs`).
fn paths(line: &str) -> Vec<String> {
    let quoted = line.split('`').skip(1).step_by(2);
    let roots = ["crates/", "configs/", "docs/", "assets/", "examples/", "xtask/"];
    let files = quoted.filter(|text| roots.iter().any(|root| text.starts_with(root)));
    let expanded = files.flat_map(|text| match (text.split_once('{'), text.split_once('}')) {
        (Some((before, _)), Some((inside, after))) => {
            let choices = inside.split_once('{').map_or("", |(_, choices)| choices).split(',');
            choices.map(|choice| format!("{before}{choice}{after}")).collect::<Vec<_>>()
        }
        _ => vec![text.to_owned()],
    });
    let is_placeholder = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part);
        !stem.is_empty()
            && stem.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
            && part != "README.md"
    };
    expanded
        .map(|text| text.split('/').take_while(|part| !is_placeholder(part)).collect::<Vec<_>>().join("/"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_a_placeholder() {
        let found = paths("| x | `crates/a/src/{b,c}/NAME.rs` and `mod.rs`, `docs/page.md`, `configs/NAME.toml` |");
        assert_eq!(found, ["crates/a/src/b", "crates/a/src/c", "docs/page.md", "configs"]);
    }
}
