//! Tables as wide as the terminal, numbers whole, and unchanged where there is no terminal.

use std::process::Command;

use crate::{json, ok};

/// stdout under `COLUMNS=columns`; unset for `None`.
fn within(args: &[&str], columns: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skimp"));
    command.args(args).env_remove("COLUMNS");
    if let Some(columns) = columns {
        command.env("COLUMNS", columns);
    }
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

#[test]
fn tables_fit_the_width_that_is_given() {
    let simulate = ["simulate", "sample-resnet", "--accelerator", "compend,eyeriss", "--data", "sample"];
    let lists = skimp::lists().into_iter().filter(|list| *list != "settings").map(|list| vec!["list", list]);
    let others =
        [vec!["inspect", "sample-resnet"], vec!["eval", "sample-resnet", "--data", "sample"], simulate.to_vec()];
    for args in lists.chain(others) {
        for columns in ["60", "80", "120"] {
            let text = within(&args, Some(columns));
            let limit: usize = columns.parse().unwrap();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= limit, "{args:?}: {widest} columns of {limit}\n{text}");
        }
    }
}

#[test]
fn without_a_terminal_tables_are_as_wide_as_they_are() {
    let list = ["list", "accelerators"];
    let text = within(&list, None);
    assert_eq!(text, within(&list, Some("100000")));
    assert_eq!(text, within(&list, Some("no number")));
    // One line for each accelerator: nothing wraps.
    let n_entries = json(&list)["entries"].as_array().unwrap().len();
    assert_eq!(text.lines().count(), n_entries + 3);
    // A file is no terminal.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.txt");
    within(&["list", "accelerators", "-o", crate::text(&file)], Some("60"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn numbers_stay_whole() {
    let macs = json(&["inspect", "vgg-small"])["total"]["macs"].as_u64().unwrap();
    let grouped = |n: u64| {
        let digits = n.to_string();
        let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap()).collect();
        parts.join(",")
    };
    let text = within(&["inspect", "vgg-small"], Some("60"));
    assert!(text.contains(&grouped(macs)), "{} in\n{text}", grouped(macs));
    assert!(ok(&["inspect", "vgg-small"]).contains(&grouped(macs)));
}
