//! Every program runs and says something of substance.

use std::path::Path;
use std::process::Command;

/// The programs, what they are given, and words of their output, in order.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("stages", env!("CARGO_BIN_EXE_stages"), &["dadiannao", "cnvlutin", "dadiannao", "cnvlutin"]),
    ("inspect", env!("CARGO_BIN_EXE_inspect"), &["sample-resnet", "takes the most work", "MACs"]),
    ("run", env!("CARGO_BIN_EXE_run"), &["of shape [4, 10]", "the engines differ by", "Ankle boot   -> Ankle boot"]),
    ("quantize", env!("CARGO_BIN_EXE_quantize"), &["32-bit floating point: 9", "8 bits, scales PerLayer: 9", "2 bits"]),
    ("simulate", env!("CARGO_BIN_EXE_simulate"), &["MACs", "dadiannao:", "compend without END:", "compend:", "cycles"]),
    ("reprice", env!("CARGO_BIN_EXE_reprice"), &["DRAM, pJ/bit", "20.31", "10.16", "2.03"]),
    ("own_accelerator", env!("CARGO_BIN_EXE_own_accelerator"), &["cnvlutin", "8 x 8", "32 x 32", "window_fullness"]),
    ("own_data", env!("CARGO_BIN_EXE_own_data"), &["60 images of left-or-right: 100 % right", "4 bits: 100 % right"]),
    ("train", env!("CARGO_BIN_EXE_train"), &["labels alone, epoch 2", "with a teacher, epoch 2", "digest"]),
    ("study", env!("CARGO_BIN_EXE_study"), &["% in integers", "zero-skipping saves", "report.html"]),
    ("progress", env!("CARGO_BIN_EXE_progress"), &["calibrating: 16 steps", "16 steps done", "stopped, as asked"]),
];

#[test]
fn every_program_runs_and_says_something() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, program, words) in PROGRAMS {
        let mut command = Command::new(program);
        if *name == "study" {
            command.arg(folder.path().join("study"));
        }
        let output = command.current_dir(folder.path()).output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let mut rest = &*text;
        for word in *words {
            let at = rest.find(word).unwrap_or_else(|| panic!("{name}: no \"{word}\" in its place in:\n{text}"));
            rest = &rest[at..];
        }
    }
    assert!(folder.path().join("study/report.html").exists());
}

/// No program is forgotten, and each says at its top what it shows and how it is run.
#[test]
fn every_program_is_listed_and_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the programs").flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a program");
        assert!(text.contains(&format!("//!     cargo run -p skimp-examples --bin {name}")), "{name}");
        assert!((20..=65).contains(&text.lines().count()), "{name}: {} lines", text.lines().count());
        found.push(name);
    }
    found.sort();
    let mut listed: Vec<&str> = PROGRAMS.iter().map(|(name, ..)| *name).collect();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

/// The lines of the README are those of a program that runs.
#[test]
fn the_readme_shows_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file of the repository");
    let (readme, program) = (read("../../README.md"), read("src/bin/stages.rs"));
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    let indented: String = block.lines().map(|line| format!("    {line}\n")).collect();
    assert!(program.contains(&indented), "the README's lines are not those of stages.rs:\n{indented}");
}
