//! `docs/accelerators.md` says what the models' own documentation and results say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use skimp_digital::ACCELERATORS;
use skimp_sim::{AcceleratorModel, Dram, LayerResult, LayerWorkload, Operation};
use toml::Table;

use crate::support::full_operands;

const UPDATE: &str = "SKIMP_UPDATE_DOCS";

const INTRODUCTION: &str = "# Accelerators

One section per accelerator, in the order of `skimp list accelerators`: what is modeled and how closely, mapping rules
beyond the published networks, sources and deviations, then what a result holds at the default settings. `executed` took
a slot, `skipped` took neither time nor energy, `gated` took time but no energy.

How close a model is to its design stands in its text: *closed form* (a formula over the layer's shape), *window level*
(every window and barrier is counted from real operands), *slot level* (every slot of a window), or *quick rule* (one rule
from operand statistics under ideal operand supply). Compare designs in cycles: their clocks and process nodes differ,
and no cost is scaled from one node to another. Energies are priced by the design's own table, where one is published, and
by one common table for all where designs stand side by side: see [simulate.md](simulate.md). Last come the modeled powers
beside the published ones.

Written by `SKIMP_UPDATE_DOCS=1 cargo test -p skimp-digital --test it docs` from the documentation of the models; a test
fails when the page is stale.
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Source files of the models, path to text.
fn sources(folder: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// Rustdoc as a page shows it: headings one level below a section's, links to items as plain code.
fn plain(line: &str) -> String {
    let mut line = if line.starts_with('#') { format!("##{line}") } else { line.to_owned() };
    while let Some(start) = line.find("[`") {
        let Some(end) = line[start..].find("`]").map(|offset| start + offset) else { break };
        let mut rest = &line[end + 2..];
        if let Some(target) = rest.strip_prefix('(') {
            rest = target.split_once(')').map_or("", |(_, rest)| rest);
        }
        line = format!("{}{}{rest}", &line[..start], &line[start + 1..=end]);
    }
    line
}

/// The documentation of the model's module, and the source section of its entry, or of its type if it has one.
fn documentation(model: &dyn AcceleratorModel, sources: &BTreeMap<PathBuf, String>) -> (String, String) {
    let debug = format!("{model:?}");
    let declaration = match debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default() {
        "Entry" => format!("static {}", model.name().to_uppercase().replace('-', "_")),
        name => format!("struct {name}"),
    };
    let declares =
        |line: &str| line.split_once(&declaration).is_some_and(|(_, rest)| rest.starts_with([';', ':', ' ']));
    let text = sources.values().find(|text| text.lines().any(declares));
    let text = text.unwrap_or_else(|| panic!("no {declaration}"));
    let lines: Vec<&str> = text.lines().collect();
    let module = lines.iter().map_while(|line| line.strip_prefix("//!"));
    let module: Vec<String> = module.map(|line| plain(line.strip_prefix(' ').unwrap_or(line))).collect();
    let at = lines.iter().position(|line| declares(line)).unwrap();
    let above = lines[..at].iter().rev().skip_while(|line| line.starts_with("#["));
    let mut comment: Vec<String> =
        above.map_while(|line| line.strip_prefix("///")).map(|line| plain(line.trim_start())).collect();
    comment.reverse();
    let mut source = comment.iter().skip_while(|line| !line.ends_with("# Source")).skip(1).cloned().collect::<Vec<_>>();
    if source.is_empty() {
        source.push(format!("{}.", model.source()));
    }
    assert!(!module.is_empty(), "{declaration}: no module documentation");
    (module.join("\n"), source.join("\n").trim_end().replace("\nDiffers:", "  \nDiffers:"))
}

fn results(model: &dyn AcceleratorModel) -> Vec<LayerResult> {
    let accelerator = model.accelerator(&Table::new()).unwrap();
    let layers = [LayerWorkload::conv("c", 16, 9, 7, 24, 3).unwrap(), LayerWorkload::dense("d", 100, 10)];
    let run = |layer| {
        let (layer, trace) = full_operands(layer);
        accelerator.simulate_layer(&layer, Some(&trace)).unwrap()
    };
    layers.into_iter().map(run).collect()
}

fn section(model: &dyn AcceleratorModel, sources: &BTreeMap<PathBuf, String>) -> String {
    let accelerator = model.accelerator(&Table::new()).unwrap();
    let (module, source) = documentation(model, sources);
    let name = model.name();
    let mut page = format!("\n## {name}\n\n{module}\n\n**Source.** {source}\n\n");
    writeln!(
        page,
        "**Preset** `configs/accelerators/{name}.toml`, costs `{}`, clock {} MHz.\n",
        accelerator.facts().costs.name,
        accelerator.facts().clock_mhz
    )
    .unwrap();
    writeln!(page, "**Energy** covers: {}.\n", accelerator.facts().energy_scope).unwrap();
    page.push_str("| result | key | unit | meaning |\n|---|---|---|---|\n");
    let mut rows: Vec<String> = Vec::new();
    let mut add = |row: String| {
        if !rows.contains(&row) {
            rows.push(row);
        }
    };
    let results = results(model);
    for (kind, counts) in [("cycles", 0), ("events", 1)] {
        for result in &results {
            for (statistic, _) in [&result.cycles, &result.events][counts].iter() {
                add(format!("| {kind} | `{}` | {} | {} |", statistic.name, statistic.unit, statistic.description));
            }
        }
    }
    for result in &results {
        for activity in &result.activity {
            let keys = activity.dynamic.iter().chain(&activity.leakage).map(|(key, _)| format!("`{key}`"));
            add(format!(
                "| energy, own table | `{}` | nJ | {} |",
                activity.component,
                keys.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    for result in &results {
        for done in &result.operations {
            let what = match done.operation {
                Operation::Add { bits } => format!("additions of {bits} bits"),
                Operation::MultiplyAdd { bits } => format!("multiply-accumulates of {bits} bits"),
                Operation::Access { bytes, bits, .. } => format!("accesses of {bits} bits to {bytes} bytes"),
                Operation::OffChipBit(Dram::Planar) => "bits to and from off-chip memory".to_owned(),
                Operation::OffChipBit(Dram::Stacked) => "bits to and from a memory stack".to_owned(),
            };
            let scope = done.operation.scope().words();
            add(format!("| energy, common table | `{}` | nJ | {scope}: {what} |", done.component));
        }
    }
    for result in &results {
        for (key, _) in &result.mapping {
            add(format!("| mapping | `{key}` | | |"));
        }
    }
    page.push_str(&rows.join("\n"));
    page.push('\n');
    page
}

#[test]
fn the_page_of_accelerators_is_up_to_date() {
    let mut texts = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/models"), &mut texts);
    let sections: String = ACCELERATORS.iter().map(|model| section(*model, &texts)).collect();
    let page = format!("{INTRODUCTION}{sections}{}", crate::peak_power::section());
    let path = root().join("docs/accelerators.md");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    for model in ACCELERATORS {
        assert!(
            known.contains(&format!("\n## {}\n", model.name())),
            "docs/accelerators.md lacks {}: set {UPDATE}=1",
            model.name()
        );
    }
    assert!(known == page, "docs/accelerators.md is stale: set {UPDATE}=1, run this test, commit the page");
}

#[test]
fn links_become_plain_code() {
    assert_eq!(plain("see [`encode`] and [`a::b`](super::b) of [x](y)"), "see `encode` and `a::b` of [x](y)");
    assert_eq!(plain("# Mapping"), "### Mapping");
}
