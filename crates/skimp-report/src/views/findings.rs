//! Tables of what designs found.

use indexmap::IndexSet;

use super::study::provenance_words;
use crate::records::{AcceleratorRecord, FindingKind, FindingRecord, LayerRecord, SimulationRecord, finding};
use crate::table::{Cell, Column, Table};

/// A value with as many decimals as it has: counts are whole.
fn value(finding: &FindingRecord) -> Cell {
    match finding.value {
        Some(value) if value.fract().abs() < f64::EPSILON && value >= 0.0 => Cell::Count(value as u64),
        value => Cell::real(value, 3),
    }
}

/// The keys of all states that the layers of designs have, in order of first appearance.
pub(super) fn state_keys<'a>(layers: impl IntoIterator<Item = &'a LayerRecord>) -> Vec<String> {
    let findings = layers.into_iter().flat_map(|layer| &layer.findings);
    let states = findings.filter(|finding| finding.kind == FindingKind::State).map(|finding| &finding.key);
    states.collect::<IndexSet<_>>().into_iter().cloned().collect()
}

/// `on`, `off`, or nothing where a layer's design does not have the state.
pub(super) fn state_word(layer: &LayerRecord, key: &str) -> Cell {
    let verdict = finding(&layer.findings, key).and_then(|finding| finding.verdict.as_ref());
    verdict.map(|verdict| if verdict.holds { "on" } else { "off" }).into()
}

/// What the designs are: a row for each that says it.
pub fn facts_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::text("answers", "answers"),
        Column::text("needs", "needs"),
        Column::text("exploits", "saves on"),
        Column::text("remarks", "remarks"),
    ];
    let mut table = Table::new("What the designs are", columns);
    for accelerator in &simulation.accelerators {
        let Some(facts) = &accelerator.facts else { continue };
        let or_nothing = |texts: &[String]| if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") };
        table.row(vec![
            accelerator.label.clone().into(),
            if facts.exact { "exact" } else { "approximate" }.into(),
            facts.needs.clone().into(),
            or_nothing(&facts.exploits).into(),
            facts.remarks.join("; ").into(),
        ]);
    }
    table
}

/// What one design found over all layers and images.
pub fn findings_table(accelerator: &AcceleratorRecord) -> Table {
    let columns = vec![
        Column::text("finding", "finding"),
        Column::number("value", "value", ""),
        Column::number("of", "of", ""),
        Column::text("unit", "unit"),
        Column::text("verdict", "verdict"),
        Column::text("basis", "how known"),
    ];
    let mut table = Table::new(format!("{}: what it found", accelerator.label), columns);
    for finding in &accelerator.findings {
        let unit = match finding.kind {
            FindingKind::Distribution => format!("{}, mean", finding.unit),
            FindingKind::Agreement => format!("{} that differ", finding.unit),
            FindingKind::State | FindingKind::Count | FindingKind::Share => finding.unit.clone(),
        };
        let verdict = finding.is_exact().map(|exact| if exact { "bit-exact" } else { "not exact" });
        table.row(vec![
            finding.label.clone().into(),
            value(finding),
            finding.of.into(),
            unit.into(),
            verdict.into(),
            provenance_words(finding.basis).into(),
        ]);
    }
    table
}

/// Findings of layers, a row per accelerator, layer and finding.
pub fn layer_findings_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::text("layer", "layer"),
        Column::text("finding", "finding"),
        Column::text("kind", "kind"),
        Column::number("value", "value", ""),
        Column::number("of", "of", ""),
        Column::text("unit", "unit"),
        Column::text("holds", "holds"),
        Column::text("reason", "reason"),
        Column::text("basis", "how known"),
    ];
    let mut table = Table::new("What designs found, sum over all images", columns);
    each_finding(simulation, |accelerator, layer, finding| {
        let kind = match finding.kind {
            FindingKind::State => "state",
            FindingKind::Count => "count",
            FindingKind::Share => "share",
            FindingKind::Distribution => "distribution",
            FindingKind::Agreement => "agreement",
        };
        let verdict = finding.verdict.as_ref();
        table.row(vec![
            accelerator.label.clone().into(),
            layer.name.clone().into(),
            finding.key.clone().into(),
            kind.into(),
            value(finding),
            finding.of.into(),
            finding.unit.clone().into(),
            verdict.map(|verdict| if verdict.holds { "yes" } else { "no" }).into(),
            verdict.and_then(|verdict| verdict.reason.clone()).into(),
            provenance_words(finding.basis).into(),
        ]);
    });
    table
}

/// How often each value occurred, a row per accelerator, layer, finding and value.
pub fn distributions_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::text("layer", "layer"),
        Column::text("finding", "finding"),
        Column::number("value", "value", ""),
        Column::number("count", "count", ""),
        Column::number("share", "share of the layer's", ""),
    ];
    let mut table = Table::new("How often each value occurred", columns);
    each_finding(simulation, |accelerator, layer, finding| {
        let Some(distribution) = &finding.distribution else { return };
        for (value, &count) in (distribution.first..).zip(&distribution.counts) {
            table.row(vec![
                accelerator.label.clone().into(),
                layer.name.clone().into(),
                finding.key.clone().into(),
                value.into(),
                count.into(),
                Cell::Real(distribution.share(value), 4),
            ]);
        }
    });
    table
}

/// Columns of the findings that have a number, for rows per accelerator and layer.
pub(super) fn value_columns(simulation: &SimulationRecord) -> Vec<(String, Column)> {
    let mut columns: Vec<(String, Column)> = Vec::new();
    each_finding(simulation, |_, _, finding| {
        if finding.kind != FindingKind::State && columns.iter().all(|(key, _)| *key != finding.key) {
            let header =
                Column::number(format!("found_{}", finding.key), finding.label.as_str(), finding.unit.as_str());
            columns.push((finding.key.clone(), header));
        }
    });
    columns
}

/// The number that a layer's finding of that key has.
pub(super) fn value_cell(layer: &LayerRecord, key: &str) -> Cell {
    finding(&layer.findings, key).map_or(Cell::Empty, value)
}

fn each_finding<'s>(
    simulation: &'s SimulationRecord,
    mut show: impl FnMut(&'s AcceleratorRecord, &'s LayerRecord, &'s FindingRecord),
) {
    for accelerator in &simulation.accelerators {
        for layer in &accelerator.layers {
            layer.findings.iter().for_each(|finding| show(accelerator, layer, finding));
        }
    }
}
