//! All accelerators against one baseline, layer by layer.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, N_COLORS, Series, View};
use crate::html::escape;
use crate::records::{AcceleratorRecord, LayerRecord};
use crate::table::{Cell, Column, Table};

/// Speed-up and energy over the study's baseline.
pub(super) struct Speedup;

/// What is divided: a name, and what a layer needs.
type Quantity = (&'static str, fn(&AcceleratorRecord, &LayerRecord) -> f64);

static QUANTITIES: &[Quantity] = &[
    ("speed-up in cycles", |_, layer| layer.cycles.total as f64),
    ("speed-up in time", |accelerator, layer| layer.cycles.total as f64 / accelerator.clock_mhz),
    ("energy gain", |_, layer| layer.energy_nj.total),
];

impl Section for Speedup {
    fn id(&self) -> &'static str {
        "speed-up"
    }

    fn title(&self) -> &'static str {
        "Against the baseline"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let simulation = study.simulation.as_ref()?;
        let baseline = simulation.accelerator(study.baseline.as_deref()?)?;
        let others: Vec<_> = simulation.accelerators.iter().filter(|other| other.label != baseline.label).collect();
        if others.is_empty() {
            return None;
        }
        let views: Vec<View> = QUANTITIES.iter().map(|quantity| view(baseline, &others, *quantity)).collect();
        let totals = totals(baseline, &simulation.accelerators);
        let chart = Chart {
            id: "speed-up-chart",
            caption: format!(
                "Gain over {} per layer: its cycles, time or energy divided by the design's; above 1 is better. \
                 Simulated.",
                baseline.label
            ),
            value_title: "gain".to_owned(),
            unit: "×".to_owned(),
            category_title: "layer".to_owned(),
            views,
            ..Chart::default()
        };
        Some(format!(
            "{}<p class=\"note\">Designs have different numbers of multipliers, clocks and nodes: cycles compare \
             designs of one peak rate, time and energy what each design would need. Nothing is scaled between nodes, and energies cover what each design's own cost \
             table covers (see Assumptions). \
             “Of its peak” is the dense rate over the design's own dense peak: above 100 % is work skipped.</p>\n{}{}",
            totals.to_html(),
            chart.to_html(&chart.table(3)),
            reasons(&simulation.accelerators),
        ))
    }
}

fn gain(base: f64, new: f64) -> Option<f64> {
    (base > 0.0 && new > 0.0).then(|| base / new)
}

fn view(baseline: &AcceleratorRecord, others: &[&AcceleratorRecord], (name, of): Quantity) -> View {
    let value = |other: &AcceleratorRecord, layer: &LayerRecord| {
        let own = other.layers.iter().find(|own| own.name == layer.name)?;
        gain(of(baseline, layer), of(other, own))
    };
    let series = others.iter().enumerate().map(|(idx, other)| Series {
        name: other.label.clone(),
        color: idx % N_COLORS,
        hatched: idx >= N_COLORS,
        values: baseline.layers.iter().map(|layer| value(other, layer)).collect(),
        ..Series::default()
    });
    View {
        name: name.to_owned(),
        labels: baseline.layers.iter().map(|layer| layer.name.clone()).collect(),
        series: series.collect(),
    }
}

fn totals(baseline: &AcceleratorRecord, accelerators: &[AcceleratorRecord]) -> Table {
    let columns = vec![
        Column::text("design", "design"),
        Column::number("cycles_gain", "speed-up in cycles", "×"),
        Column::number("time_gain", "speed-up in time", "×"),
        Column::number("energy_gain", "energy gain", "×"),
        Column::number("of_peak_percent", "of its peak", "%"),
    ];
    let mut table = Table::new(format!("Whole network over {}, simulated", baseline.label), columns);
    let base = &baseline.total;
    for accelerator in accelerators {
        let total = &accelerator.total;
        let of_peak = accelerator.peak_gmacs.filter(|&peak| peak > 0.0).map(|peak| 100.0 * total.gmacs / peak);
        table.row(vec![
            accelerator.label.clone().into(),
            Cell::real(gain(base.cycles as f64, total.cycles as f64), 2),
            Cell::real(gain(base.latency_ms, total.latency_ms), 2),
            Cell::real(gain(base.energy_mj, total.energy_mj), 2),
            Cell::real(of_peak, 1),
        ]);
    }
    table
}

/// What the models say of their layers: mapping rules, losses, bounds. Equal remarks of a design stand once.
fn reasons(accelerators: &[AcceleratorRecord]) -> String {
    let mut rows = String::new();
    for accelerator in accelerators {
        let mut remarks: Vec<(&str, Vec<&str>)> = Vec::new();
        for layer in &accelerator.layers {
            for note in &layer.notes {
                match remarks.iter_mut().find(|(known, _)| known == note) {
                    Some((_, layers)) => layers.push(&layer.name),
                    None => remarks.push((note, vec![&layer.name])),
                }
            }
        }
        for (remark, layers) in remarks {
            let which = if layers.len() == accelerator.layers.len() { "all layers".into() } else { layers.join(", ") };
            rows.push_str(&format!(
                "<li><b>{}</b>, {}: {}</li>\n",
                escape(&accelerator.label),
                escape(&which),
                escape(remark)
            ));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details class=\"data\"><summary>Why: what the models say of each layer</summary>\n<ul>\n{rows}</ul></details>\n"
    )
}
