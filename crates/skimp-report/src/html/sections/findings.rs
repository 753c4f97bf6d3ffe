//! What designs found, each in terms of its own: any finding of any design is shown by its kind.

use indexmap::IndexMap;

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::html::escape;
use crate::number;
use crate::records::{AcceleratorRecord, Distribution, FindingKind, FindingRecord, LayerRecord, finding};
use crate::table::{Cell, Column, Table};
use crate::views::{findings_table, provenance_words};

/// Charts of distributions, numbers, and where a feature of a design was off.
pub(super) struct Findings;

impl Section for Findings {
    fn id(&self) -> &'static str {
        "findings"
    }

    fn title(&self) -> &'static str {
        "What the designs found"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let designs = &study.simulation()?.accelerators;
        let mut html = String::new();
        for design in designs {
            let table = findings_table(design);
            if !table.rows.is_empty() {
                html.push_str(&table.to_html());
            }
        }
        for (key, first) in keys(designs, FindingKind::Distribution) {
            html.push_str(&distribution(&key, first, designs));
        }
        let at_work = |finding: &FindingRecord| finding.verdict.as_ref().is_some_and(|verdict| verdict.holds);
        let states = keys(designs, FindingKind::State);
        // Nothing is said of what was at work nowhere.
        let found = || designs.iter().flat_map(|design| &design.layers).flat_map(|layer| &layer.findings);
        for (key, first) in states.iter().filter(|(key, _)| found().any(|own| own.key == **key && at_work(own))) {
            html.push_str(&format!("<h3>{}</h3>\n", escape(&capital(&first.label))));
            html.push_str(&description(key, designs));
            designs.iter().for_each(|design| html.push_str(&state(key, design)));
        }
        (!html.is_empty()).then_some(html)
    }
}

/// The findings of one kind in the layers of all designs, by key, in order of first appearance.
fn keys(designs: &[AcceleratorRecord], kind: FindingKind) -> IndexMap<String, &FindingRecord> {
    let mut keys = IndexMap::new();
    for finding in designs.iter().flat_map(|design| &design.layers).flat_map(|layer| &layer.findings) {
        if finding.kind == kind {
            keys.entry(finding.key.clone()).or_insert(finding);
        }
    }
    keys
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What a reader needs to know of a finding.
fn description(key: &str, designs: &[AcceleratorRecord]) -> String {
    let known = designs.iter().filter_map(|design| finding(&design.findings, key));
    let text = known.map(|finding| &finding.description).find(|text| !text.is_empty());
    text.map_or_else(String::new, |text| format!("<p>{}</p>\n", escape(text)))
}

/// One design's distributions of one thing, layer by layer.
struct Found<'a> {
    design: &'a AcceleratorRecord,
    layers: Vec<(&'a LayerRecord, &'a Distribution)>,
}

fn distribution(key: &str, of: &FindingRecord, designs: &[AcceleratorRecord]) -> String {
    let found: Vec<Found<'_>> = designs
        .iter()
        .map(|design| {
            let of_layer = |layer| Some((layer, finding_in(layer, key)?.distribution.as_ref()?));
            let layers = design.layers.iter().filter_map(of_layer).filter(|(_, values)| values.total() > 0);
            Found { design, layers: layers.collect() }
        })
        .filter(|found| !found.layers.is_empty())
        .collect();
    let all = || found.iter().flat_map(|found| found.layers.iter().map(|(_, values)| *values));
    let (Some(first), Some(last)) = (all().map(|values| values.first).min(), all().map(Distribution::last).max())
    else {
        return String::new();
    };
    let values: Vec<u64> = (first..=last).collect();
    let basis = provenance_words(of.basis);
    let named = |design: &AcceleratorRecord, what: &str| match found.len() {
        1 => what.to_owned(),
        _ => format!("{}: {what}", design.label),
    };
    let view = |name: String, of: &Distribution| View {
        name,
        labels: values.iter().map(u64::to_string).collect(),
        series: vec![Series {
            name: "share".to_owned(),
            color: 5,
            values: values.iter().map(|&value| Some(100.0 * of.share(value))).collect(),
            ..Series::default()
        }],
    };
    let mut views = Vec::new();
    for Found { design, layers } in &found {
        let mut sum = Distribution::default();
        layers.iter().for_each(|(_, values)| sum.merge(values));
        views.push(view(named(design, "all layers"), &sum));
        views.extend(layers.iter().map(|(layer, values)| view(named(design, &layer.name), values)));
    }
    let chart = Chart {
        id: format!("finding-{}-chart", key.replace('_', "-")),
        caption: format!("{}: how often each number occurs, in %, {basis}.", capital(&of.label)),
        value_title: "share".to_owned(),
        unit: "%".to_owned(),
        category_title: of.unit.clone(),
        upright: true,
        views,
        ..Chart::default()
    };
    let heats: String = found.iter().map(|found| heat_table(found, of, &values)).collect();
    format!(
        "<h3>{}</h3>\n{}{}{heats}{}",
        escape(&capital(&of.label)),
        description(key, designs),
        chart.to_html(&chart.table(2)),
        means(key, of, &found, last)
    )
}

fn finding_in<'l>(layer: &'l LayerRecord, key: &str) -> Option<&'l FindingRecord> {
    finding(&layer.findings, key)
}

/// Layers by values, each cell shaded by its share: every layer at a glance, and on paper.
fn heat_table(found: &Found<'_>, of: &FindingRecord, values: &[u64]) -> String {
    let mut columns = vec![Column::text("layer", "layer")];
    columns.extend(values.iter().map(|value| Column::number(format!("value_{value}"), value.to_string(), "")));
    columns.push(Column::number("of", "of", ""));
    let caption = format!(
        "{}: {}, share of each number in %, by layer (empty: none), {}",
        found.design.label,
        of.label,
        provenance_words(of.basis)
    );
    let mut table = Table::new(caption, columns);
    for (layer, counted) in &found.layers {
        let mut row = vec![Cell::from(layer.name.as_str())];
        let shares = values.iter().map(|&value| counted.share(value));
        row.extend(shares.map(|share| if share > 0.0 { Cell::Real(100.0 * share, 1) } else { Cell::Empty }));
        row.push(counted.total().into());
        table.row(row);
    }
    table.to_heat_html(1..=values.len(), 100.0)
}

/// The mean of each layer.
fn means(key: &str, of: &FindingRecord, found: &[Found<'_>], last: u64) -> String {
    let view = |found: &Found<'_>| View {
        name: if found.design.label.is_empty() { String::new() } else { found.design.label.clone() },
        labels: found.layers.iter().map(|(layer, _)| layer.name.clone()).collect(),
        series: vec![Series {
            name: "mean".to_owned(),
            color: 3,
            values: found.layers.iter().map(|(_, values)| values.mean()).collect(),
            ..Series::default()
        }],
    };
    let chart = Chart {
        id: format!("finding-{}-means-chart", key.replace('_', "-")),
        caption: format!("{}: mean of each layer, {}.", capital(&of.label), provenance_words(of.basis)),
        value_title: "mean".to_owned(),
        unit: of.unit.clone(),
        category_title: "layer".to_owned(),
        max: Some(last as f64),
        views: found.iter().map(view).collect(),
        ..Chart::default()
    };
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::text("layer", "layer"),
        Column::number("mean", "mean", of.unit.as_str()),
        Column::number("share_percent", format!("of {}", number::count(last)), "%"),
        Column::number("of", "counted", ""),
    ];
    let mut table = Table::new(format!("{}, mean of each layer", capital(&of.label)), columns);
    for Found { design, layers } in found {
        for (layer, values) in layers {
            let mean = values.mean();
            table.row(vec![
                design.label.clone().into(),
                layer.name.clone().into(),
                Cell::real(mean, 2),
                Cell::real(mean.map(|mean| 100.0 * mean / last.max(1) as f64), 1),
                values.total().into(),
            ]);
        }
    }
    chart.to_html(&table)
}

/// Where a feature of one design was off, and why. Nothing of designs that do not have it.
fn state(key: &str, design: &AcceleratorRecord) -> String {
    let known: Vec<_> =
        design.layers.iter().filter_map(|layer| Some((layer, finding_in(layer, key)?.verdict.as_ref()?))).collect();
    let off: Vec<_> = known.iter().filter(|(_, verdict)| !verdict.holds).collect();
    let Some((_, first)) = off.first() else {
        let text = format!("{}: at work in every layer.", design.label);
        return if known.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>\n", escape(&text)) };
    };
    if off.len() == known.len() && off.iter().all(|(_, verdict)| verdict.reason == first.reason) {
        let reason = first.reason.as_deref().unwrap_or("no reason is recorded");
        let text = format!("{}: off in every layer: {reason}.", design.label);
        return format!("<p class=\"note\">{}</p>\n", escape(&text));
    }
    let columns = vec![
        Column::text("layer", "layer"),
        Column::text("operator", "operator"),
        Column::number("macs", "MACs", "per image"),
        Column::text("reason", "reason"),
    ];
    let caption = format!("{}: off in {} of {} layers", design.label, off.len(), known.len());
    let mut table = Table::new(caption, columns);
    for (layer, verdict) in off {
        let reason = verdict.reason.clone().into();
        table.row(vec![layer.name.clone().into(), layer.operator.clone().into(), layer.macs.into(), reason]);
    }
    table.to_html()
}
