//! Pages that follow from the command line: docs/settings.md is written from it, docs/glossary.md is checked against it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use skimp::{
    AcceleratorConfig, DataConfig, LayersConfig, NetworkConfig, PolicyConfig, PrecisionConfig, QdqConfig,
    QuantizationConfig, TrainConfig, fields_of,
};

use crate::commands::command_line;

const UPDATE: &str = "SKIMP_UPDATE_DOCS";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).replace("\r\n", "\n")
}

/// Every key of a configuration, with the place where files have it.
fn keys() -> Vec<(&'static str, &'static str)> {
    let at = |place: &'static str, keys: &'static [&'static str]| keys.iter().copied().map(move |key| (place, key));
    [
        at("", &["baseline", "costs", "allowed_loss_points"]).collect::<Vec<_>>(),
        at("network", fields_of::<NetworkConfig>()).collect(),
        at("data", fields_of::<DataConfig>()).collect(),
        at("quantization", fields_of::<QuantizationConfig>()).collect(),
        at("layers", fields_of::<LayersConfig>()).collect(),
        at("accelerators", fields_of::<AcceleratorConfig>()).collect(),
        at("training", fields_of::<PrecisionConfig>()).collect(),
        at("training.policies", fields_of::<PolicyConfig>()).collect(),
        at("training.run", fields_of::<TrainConfig>()).collect(),
        at("QdqConfig", fields_of::<QdqConfig>()).collect(),
    ]
    .concat()
}

/// Long flags of all commands, but for `--help`, with their commands.
fn flags() -> Vec<(String, clap::Arg)> {
    let mut flags = Vec::new();
    for command in command_line().get_subcommands() {
        for argument in command.get_arguments() {
            if argument.get_long().is_some_and(|flag| flag != "help") {
                flags.push((command.get_name().to_owned(), argument.clone()));
            }
        }
    }
    flags
}

/// The cells of the tables in a section of the glossary.
fn rows(section: &str) -> Vec<Vec<String>> {
    let page = text("docs/glossary.md");
    let (_, rest) = page.split_once(&format!("## {section}\n")).expect("the section is there");
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let lines = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| area") && !line.starts_with("| flag"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The terms in back quotes of a text.
fn terms(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_flag_is_a_key_or_in_the_glossary() {
    let keys: BTreeSet<String> = keys().into_iter().map(|(_, key)| key.replace('_', "-")).collect();
    let rows = rows("Flags without a key");
    let listed: BTreeSet<&str> =
        rows.iter().flat_map(|row| terms(&row[0])).map(|flag| flag.trim_start_matches('-')).collect();
    let mut found = BTreeSet::new();
    for (command, flag) in flags() {
        let flag = flag.get_long().unwrap_or_default().to_owned();
        assert!(
            keys.contains(&flag) || listed.contains(flag.as_str()),
            "skimp {command} --{flag}: no configuration has the key, and docs/glossary.md does not list the flag"
        );
        found.insert(flag);
    }
    for flag in listed {
        assert!(found.contains(flag), "docs/glossary.md lists --{flag}, which no command has");
    }
}

#[test]
fn nothing_is_called_by_a_word_that_the_glossary_replaces() {
    let rows = rows("Words");
    assert!(rows.len() > 30, "{} rows", rows.len());
    let avoided: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| terms(row.get(3).map_or("", |cell| cell)))
        .map(|word| word.replace('-', "_"))
        .collect();
    let page = text("docs/json.md");
    let fields =
        terms(&page).into_iter().filter(|term| term.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    let names = flags().into_iter().map(|(_, flag)| flag.get_long().unwrap_or_default().replace('-', "_"));
    let names = names.chain(keys().into_iter().map(|(_, key)| key.to_owned())).chain(fields.map(str::to_owned));
    let mut n_names = 0;
    for name in names {
        n_names += 1;
        let whole = avoided.contains(&name);
        let part = name.split('_').find(|part| avoided.contains(*part));
        assert!(!whole && part.is_none(), "{name}: docs/glossary.md has another word for it");
    }
    assert!(n_names > 200, "{n_names} names");
}

/// The text of all that ships: sources, presets, studies.
fn shipped(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            shipped(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "toml") {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn each_word_of_the_glossary_is_used() {
    let mut all = String::new();
    for folder in ["crates", "configs"] {
        shipped(&root().join(folder), &mut all);
    }
    for row in rows("Words") {
        for word in terms(&row[1]).into_iter().filter(|word| word.len() > 1 && !word.contains("foo")) {
            assert!(all.contains(word), "\"{word}\" of docs/glossary.md is used nowhere");
        }
    }
}

/// Keys of a training run that `[training.run]` of a study leaves to the study.
const RUN_ONLY: [&str; 6] = ["network", "preprocess", "input_size", "output_name", "precision", "seed"];

/// docs/settings.md.
fn settings_page() -> String {
    let mut page = "# Settings\n\nEvery flag of every command, with the key that it is in a file of settings and its default. Written from \
        the command line by a test;\nwords that differ are explained in [glossary.md](glossary.md).\n"
        .to_owned();
    let keys = keys();
    for command in command_line().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(
            page,
            "\n## `skimp {}`\n\n{about}.\n\n| flag | key | default | what it is |\n|---|---|---|---|\n",
            command.get_name()
        )
        .unwrap();
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| *flag != "help") else { continue };
            if argument.get_help_heading() == Some("Global options") && command.get_name() != "study" {
                continue;
            }
            let value = match argument.get_action() {
                ArgAction::SetTrue => String::new(),
                _ => format!(" {}", argument.get_value_names().unwrap_or_default().join(" ")),
            };
            let key = flag.replace('-', "_");
            let of_table = |(place, known): &&(&str, &str)| {
                *known == key
                    && (*place == "training.run") == (command.get_name() == "train")
                    && (*place == "QdqConfig") == (command.get_name() == "quantize")
            };
            let key = match (command.get_name(), flag) {
                // Flags whose name is that of the table, or of another command's key.
                ("study", "network") => "`network.model`".to_owned(),
                ("eval", "images") => "`data.accuracy_images`".to_owned(),
                ("train", "data") => "`data`".to_owned(),
                (_, "data") => "`data.set`".to_owned(),
                (_, "set") => "`accelerators.set`".to_owned(),
                _ => keys.iter().find(of_table).map_or(String::new(), |(place, key)| match *place {
                    // Of a training run alone: a study says them elsewhere.
                    "training.run" if RUN_ONLY.contains(key) => format!("`{key}`"),
                    "" | "QdqConfig" => format!("`{key}`"),
                    place => format!("`{place}.{key}`"),
                }),
            };
            let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default = if default.is_empty() || matches!(argument.get_action(), ArgAction::SetTrue) {
                String::new()
            } else {
                format!("`{}`", default.join(","))
            };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let [value, help] =
                [value, help].map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"));
            let value = if value.is_empty() { value } else { format!(" {value}") };
            writeln!(page, "| `--{flag}{value}` | {key} | {default} | {help} |").unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let page = settings_page();
    if std::env::var_os(UPDATE).is_some() {
        skimp::write_file(&root().join("docs/settings.md"), page.as_bytes()).unwrap();
    }
    assert!(
        text("docs/settings.md") == page,
        "docs/settings.md is stale: set {UPDATE}=1, run this test, commit the page"
    );
}
