//! The invariants of ARCHITECTURE.md that show in the text of the sources.

use anyhow::Result;

use super::Repository;

/// Something that only some crates may write.
struct Claim {
    /// What the sources then contain.
    words: &'static [&'static str],
    /// The crates that may.
    allowed: &'static [&'static str],
    /// The invariant.
    because: &'static str,
}

/// The crates that print, read the environment and start programs: the command line and the automation.
const OUTER: &[&str] = &["skimp-cli", "xtask", "skimp-testkit"];

const CLAIMS: &[Claim] = &[
    Claim {
        words: &["println!(", "eprintln!(", "print!(", "io::stdout", "io::stderr", "io::stdin"],
        allowed: OUTER,
        because: "crates below level 9 do no terminal I/O",
    },
    Claim {
        words: &["env::var", "env::vars", "env::set_var", "process::Command", "process::exit"],
        allowed: OUTER,
        because: "crates below level 9 read no environment variables and start no programs",
    },
    Claim { words: &["std::net", "TcpStream", "UdpSocket"], allowed: &[], because: "no crate does network I/O" },
    Claim {
        words: &["fs::write", "File::create", "OpenOptions", "fs::rename"],
        allowed: &["skimp-files", "xtask", "skimp-testkit"],
        because: "files are written whole or not at all, by skimp-files",
    },
    Claim {
        words: &["allow(unsafe_code", "unsafe {", "unsafe fn"],
        allowed: &["skimp-cpu", "skimp-python"],
        because: "skimp-cpu is the only home of unsafe code, but for arrays that Python shares",
    },
    Claim {
        words: &["SystemTime", "thread_rng", "from_entropy", "RandomState"],
        allowed: OUTER,
        because: "results do not depend on the clock or on chance",
    },
    Claim {
        words: &["early negative", "end_planes", "EndPlanes", "EndTest", "run_pu", "compend", "ComPEND", "SnaPEA"],
        // The definition of end planes and their kernel; the command line's examples.
        allowed: &[
            "skimp-digital",
            "skimp-numerics",
            "skimp-graph",
            "skimp-cpu",
            "skimp-cli",
            "xtask",
            "skimp-testkit",
        ],
        because: "what is special in a design is the design's own: facts and findings",
    },
];

/// Files to which one of the claims does not apply, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    // An event file grows while training goes on, and each of its records carries the wall time: the format's demand.
    ("crates/skimp-train/src/log/tensorboard.rs", "OpenOptions"),
    ("crates/skimp-train/src/log/tensorboard.rs", "SystemTime"),
    // Records of older schemas had fields for one design's speciality.
    ("crates/skimp-report/src/records/upgrade.rs", "early negative"),
    ("crates/skimp-report/src/records/upgrade.rs", "end_planes"),
];

/// Crates with kernels or rules of their own, which match on operators and have a default for those without one.
const ENGINES: &[&str] = &["skimp-graph", "skimp-cpu", "skimp-quant", "skimp-reduce", "skimp-train"];

/// Crates whose types are internal: nothing of theirs is serializable.
const INTERNAL: &[&str] = &["skimp-files", "skimp-memory", "skimp-numerics", "skimp-shape", "skimp-graph", "skimp-cpu"];

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    for (path, text) in repository.rust_files() {
        // This file holds the words themselves.
        let Some(name) = crate_of(path).filter(|_| !path.ends_with("tidy/claims.rs")) else { continue };
        let shipped = shipped(&text);
        for claim in CLAIMS.iter().filter(|claim| !claim.allowed.contains(&name)) {
            for (idx, line) in shipped.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                if let Some(word) =
                    claim.words.iter().find(|word| line.contains(**word) && !EXCEPTIONS.contains(&(path, **word)))
                {
                    violations.push(format!("{path}:{}: contains \"{word}\", but {}", idx + 1, claim.because));
                }
            }
        }
        if !ENGINES.contains(&name) {
            wildcards(path, shipped, violations);
        }
    }
    for path in repository.paths.iter().filter(|path| path.ends_with("/Cargo.toml")) {
        let Some(name) = path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml")) else {
            continue;
        };
        let manifest = std::fs::read_to_string(repository.root.join(path))?;
        let depends = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        if INTERNAL.contains(&name) && depends.lines().any(|line| line.starts_with("serde")) {
            violations.push(format!("{path}: depends on serde, but internal types are not serializable"));
        }
    }
    Ok(())
}

/// The crate whose library or binary a file belongs to; `None` for tests, benches, examples and fuzz targets.
fn crate_of(path: &str) -> Option<&str> {
    let (name, file) = match path.strip_prefix("crates/") {
        Some(rest) => rest.split_once("/src/")?,
        None => ("xtask", path.strip_prefix("xtask/src/")?),
    };
    let is_test = file.split('/').any(|part| {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        stem == "tests" || stem == "testing" || stem.ends_with("_tests")
    });
    if is_test { None } else { Some(name) }
}

/// A file without the tests at its end.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Matches over operators with an arm for all others: outside the engines a new operator would be forgotten there.
fn wildcards(path: &str, text: &str, violations: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        if !(line.contains("match ") && line.ends_with('{')) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let arms: Vec<&str> = lines[start + 1..]
            .iter()
            .take_while(|line| line.len() - line.trim_start().len() > indent || line.is_empty())
            .filter(|line| line.len() - line.trim_start().len() == indent + 4)
            .map(|line| line.trim_start())
            .collect();
        let pattern = |arm: &&str| arm.split("=>").next().is_some_and(|pattern| pattern.contains("Op::"));
        if arms.iter().any(pattern) && arms.iter().any(|arm| arm.starts_with("_ =>")) {
            violations
                .push(format!("{path}:{}: a match over operators with a wildcard arm, outside an engine", start + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ships_is_read() {
        assert_eq!(crate_of("crates/skimp-sim/src/why.rs"), Some("skimp-sim"));
        assert_eq!(crate_of("xtask/src/main.rs"), Some("xtask"));
        for path in ["crates/a/tests/it/main.rs", "crates/a/src/b/tests.rs", "crates/a/src/b_tests.rs", "findings/x.rs"]
        {
            assert_eq!(crate_of(path), None, "{path}");
        }
        assert_eq!(shipped("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    x\n}\n"), "fn a() {}\n");
    }

    #[test]
    fn a_wildcard_beside_an_operator_is_found() {
        let found = |arms: &str| {
            let mut violations = Vec::new();
            wildcards("f.rs", &format!("fn f() {{\n    match op {{\n{arms}    }}\n}}\n"), &mut violations);
            violations.len()
        };
        assert_eq!(found("        Op::Relu => 1,\n        _ => 2,\n"), 1);
        assert_eq!(found("        Op::Relu => 1,\n        other => name(other),\n"), 0);
        assert_eq!(found("        Kind::Relu => {\n            _ => 2,\n        }\n        Some(_) => 1,\n"), 0);
    }
}
