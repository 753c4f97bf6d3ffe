//! The command as users meet it: stdout, stderr, exit code, files.

mod bad_input;
mod binary;
mod commands;
mod data;
mod designs;
mod flags;
mod memory;
mod optimize;
mod outputs;
mod quantize;
mod quantizers;
mod real_data;
mod reduce;
mod run;
mod spiking;
mod study;
mod sweep;
mod tables;
mod topology;
mod train;

use std::path::Path;
use std::process::{Command, Output};

/// Runs `skimp` with `args`.
fn skimp(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skimp")).args(args).output().expect("the binary runs")
}

/// Runs `skimp`, which must succeed, and returns stdout.
fn ok(args: &[&str]) -> String {
    let output = skimp(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skimp {args:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs `skimp`, which must fail with `exit_code`, print nothing to stdout, and say `message` in one error line.
fn fails(args: &[&str], exit_code: i32, message: &str) {
    let output = skimp(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "skimp {args:?}\n{stderr}");
    assert!(output.stdout.is_empty(), "skimp {args:?} printed a result");
    assert!(stderr.contains("error: "), "skimp {args:?}: {stderr}");
    assert!(stderr.contains(message), "skimp {args:?}: expected \"{message}\" in: {stderr}");
    assert!(!stderr.contains("panicked"), "skimp {args:?}: {stderr}");
}

/// Runs `skimp` and parses its JSON.
fn json(args: &[&str]) -> serde_json::Value {
    let mut args = args.to_vec();
    args.extend(["--format", "json"]);
    serde_json::from_str(&ok(&args)).expect("stdout is JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
