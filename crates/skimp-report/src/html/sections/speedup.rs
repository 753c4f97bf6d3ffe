//! All accelerators against one baseline, layer by layer.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, N_COLORS, Series, View};
use crate::html::escape;
use crate::records::{AcceleratorRecord, LayerRecord, SimulationRecord};
use crate::table::{Cell, Column, Table};
use crate::views::accuracy_cells;

/// Speed-up and energy over the study's baseline.
pub(super) struct Speedup;

/// What is divided: what a layer needs.
type Quantity = fn(&AcceleratorRecord, &LayerRecord) -> f64;

impl Section for Speedup {
    fn id(&self) -> &'static str {
        "speed-up"
    }

    fn title(&self) -> &'static str {
        "Against the baseline"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let simulation = study.simulation()?;
        let baseline = simulation.accelerator(study.baseline()?)?;
        let others: Vec<_> = simulation.accelerators.iter().filter(|other| other.label != baseline.label).collect();
        if others.is_empty() {
            return None;
        }
        let over_baseline: Vec<_> = others.iter().map(|&other| (baseline, other)).collect();
        let over_alike: Vec<_> = simulation
            .accelerators
            .iter()
            .map(|accelerator| (simulation.energy_baseline(accelerator, Some(&baseline.label)), accelerator))
            .filter(|(alike, accelerator)| alike.label != accelerator.label)
            .collect();
        let allowed = simulation.allowed_loss_points;
        let mut views = vec![
            view(baseline, "speed-up in cycles", &over_baseline, allowed, |_, layer| layer.cycles.total as f64),
            view(baseline, "speed-up in time", &over_baseline, allowed, |accelerator, layer| {
                layer.cycles.total as f64 / accelerator.clock_mhz
            }),
        ];
        if !over_alike.is_empty() {
            views.push(view(baseline, "energy gain", &over_alike, allowed, |_, layer| layer.energy_nj.total));
        }
        let totals = totals(baseline, simulation);
        let chart = Chart {
            id: "speed-up-chart".to_owned(),
            caption: format!(
                "Gain over {} per layer: its cycles or time divided by the design's; energies are divided only among designs \
                 priced alike. Above 1 is better. Simulated.",
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
             designs of one peak rate, time what each design would need. Nothing is scaled between nodes. Energies compare \
             only where table, node and the scopes left out are the same; each such group of designs has its own baseline, \
             marked “baseline”. A gain that costs more accuracy than allowed is void. \
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

/// A series for each design of `pairs`, which stand after what they are set against.
fn view(
    baseline: &AcceleratorRecord,
    name: &str,
    pairs: &[(&AcceleratorRecord, &AcceleratorRecord)],
    allowed_loss_points: f64,
    of: Quantity,
) -> View {
    let void = |other: &AcceleratorRecord| other.void(allowed_loss_points);
    let value = |base: &AcceleratorRecord, other: &AcceleratorRecord, layer: &LayerRecord| {
        let find = |side: &AcceleratorRecord| Some(of(side, side.layers.iter().find(|own| own.name == layer.name)?));
        gain(find(base)?, find(other)?)
    };
    let series = pairs.iter().enumerate().map(|(idx, (base, other))| Series {
        name: match (base.label == baseline.label, void(other)) {
            (true, None) => other.label.clone(),
            (true, Some(void)) => format!("{} ({void})", other.label),
            (false, None) => format!("{} over {}", other.label, base.label),
            (false, Some(void)) => format!("{} over {} ({void})", other.label, base.label),
        },
        color: idx % N_COLORS,
        hatched: idx >= N_COLORS,
        values: baseline.layers.iter().map(|layer| value(base, other, layer)).collect(),
        ..Series::default()
    });
    View {
        name: name.to_owned(),
        labels: baseline.layers.iter().map(|layer| layer.name.clone()).collect(),
        series: series.collect(),
    }
}

fn totals(baseline: &AcceleratorRecord, simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("design", "design"),
        Column::number("cycles_gain", "speed-up in cycles", "×"),
        Column::number("time_gain", "speed-up in time", "×"),
        Column::number("of_peak_percent", "of its peak", "%"),
        Column::text("costs", "priced by"),
        Column::number("energy_per_image_mj", "energy", "mJ per image"),
        Column::number("energy_gain", "energy gain", "×"),
        Column::text("energy_baseline", "over"),
    ];
    let approximate = simulation.accelerators.iter().any(|accelerator| accelerator.approximate);
    let mut columns = columns;
    if approximate {
        columns.push(Column::number("top1_percent", "top-1", "%"));
        columns.push(Column::number("top1_exact_percent", "top-1, exact", "%"));
        columns.push(Column::number("accuracy_images", "judged by", "images"));
    }
    let mut table = Table::new(format!("Whole network over {}, simulated", baseline.label), columns);
    let images = simulation.images.max(1) as f64;
    let base = &baseline.total;
    for accelerator in &simulation.accelerators {
        let total = &accelerator.total;
        let of_peak = accelerator.peak_gmacs.filter(|&peak| peak > 0.0).map(|peak| 100.0 * total.gmacs_per_s / peak);
        let alike = simulation.energy_baseline(accelerator, Some(&baseline.label));
        let over = if alike.label == accelerator.label { "baseline" } else { &alike.label };
        let void = accelerator.void(simulation.allowed_loss_points);
        let cell = |gain: Option<f64>| void.clone().map_or_else(|| Cell::real(gain, 2), Cell::Text);
        let mut row = vec![
            accelerator.label.clone().into(),
            cell(gain(base.cycles as f64, total.cycles as f64)),
            cell(gain(base.latency_ms, total.latency_ms)),
            Cell::real(of_peak, 1),
            accelerator.costs.clone().into(),
            Cell::Real(total.energy_mj / images, 3),
            cell(gain(alike.total.energy_mj, total.energy_mj)),
            over.into(),
        ];
        if approximate {
            row.extend(accuracy_cells(accelerator.accuracy.as_ref()));
        }
        table.row(row);
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
