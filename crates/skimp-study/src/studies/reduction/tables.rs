//! What a study of reductions found, as tables and pictures.

use serde_json::Value as Json;
use skimp_report::records::{ChartRecord, CloudRecord, ColumnRecord, PointRecord, Spread, TableRecord, TablesRecord};

use super::points::{LayerLeft, Outcome, ReductionPoints};
use super::{Family, ReductionPlan, Variant};
use crate::reduce::measured::NetworkMeasures;
use crate::simulate::config::AcceleratorConfig;
use crate::studies::ranks::front;

/// A reduction and its outcomes, one for each seed.
pub(super) struct Row<'a> {
    pub(super) variant: &'a Variant,
    pub(super) outcomes: Vec<&'a Outcome>,
}

impl Row<'_> {
    /// The mean over the seeds, if all have the figure.
    fn mean(&self, of: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self.outcomes.iter().map(|outcome| of(outcome)).collect();
        values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn measured(&self, of: impl Fn(&NetworkMeasures) -> f64) -> Option<f64> {
        self.mean(|outcome| outcome.measures.as_ref().map(&of))
    }

    fn top1(&self) -> Option<f64> {
        self.mean(|outcome| Some(100.0 * outcome.measures.as_ref()?.top1?))
    }

    /// The sample standard deviation of top-1 over the seeds.
    fn top1_std(&self) -> Option<f64> {
        let top1 = |outcome: &&Outcome| Some(100.0 * outcome.measures.as_ref()?.top1?);
        Spread::of(&self.outcomes.iter().filter_map(top1).collect::<Vec<f64>>())?.std
    }

    fn design(&self, label: &str, of: fn(u64, f64) -> f64) -> Option<f64> {
        self.mean(|outcome| {
            let design = outcome.designs.iter().find(|design| design.label == label)?;
            Some(of(design.cycles, design.energy_mj))
        })
    }

    fn cycles(&self, label: &str) -> Option<f64> {
        self.design(label, |cycles, _| cycles as f64)
    }

    fn energy(&self, label: &str) -> Option<f64> {
        self.design(label, |_, energy_mj| energy_mj)
    }
}

/// A cost: name, unit, and the value of each row.
struct Cost {
    name: String,
    unit: &'static str,
    values: Vec<Option<f64>>,
}

pub(super) fn tables(plan: &ReductionPlan, points: &ReductionPoints<'_>, outcomes: &[Outcome]) -> TablesRecord {
    let of = |idx: usize| {
        let own = points.cells.iter().zip(outcomes).filter(move |((variant, _), _)| *variant == idx);
        own.map(|(_, outcome)| outcome).collect()
    };
    let rows: Vec<Row<'_>> =
        points.variants.iter().enumerate().map(|(idx, variant)| Row { variant, outcomes: of(idx) }).collect();
    let labels: Vec<&str> = plan.reduction.accelerators.iter().map(AcceleratorConfig::label).collect();
    found(&rows, &labels, plan.reduction.latency_batch)
}

/// The tables of these rows, of which the first is the network as it comes.
pub(super) fn found(rows: &[Row<'_>], labels: &[&str], latency_batch: usize) -> TablesRecord {
    let costs = costs(rows, labels);
    let fronts: Vec<(String, Vec<bool>)> = costs
        .iter()
        .map(|cost| {
            let points = rows.iter().zip(&cost.values).map(|(row, cost)| Some(((*cost)?, row.top1()?)));
            (cost.name.clone(), front(&points.collect::<Vec<_>>()))
        })
        .collect();
    let mut tables = vec![overview(rows, labels, &fronts, latency_batch)];
    let is_channels = |family: Family| family == Family::Channels;
    let is_weights = |family: Family| matches!(family, Family::Weights | Family::Steps);
    tables.extend(layers("Channels that each layer keeps, as a share", rows, is_channels, |before, after| {
        share(after.channels, before.channels)
    }));
    tables.extend(layers(
        "Weights of each layer that are left and not zero, as a share",
        rows,
        is_weights,
        |before, after| share(after.weights - after.zero_weights, before.weights),
    ));
    let compositions = compositions(rows, labels);
    let text = said(rows, &fronts, &compositions);
    tables.extend(composition_table(&compositions));
    let charts = costs.iter().zip(&fronts).filter_map(|(cost, (_, front))| picture(rows, cost, front)).collect();
    TablesRecord { text, tables, charts }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn costs(rows: &[Row<'_>], labels: &[&str]) -> Vec<Cost> {
    let cost = |name: &str, unit, of: &dyn Fn(&Row<'_>) -> Option<f64>| Cost {
        name: name.to_owned(),
        unit,
        values: rows.iter().map(of).collect(),
    };
    let mut costs = vec![
        cost("weights not zero", "", &|row| row.measured(|own| (own.weights - own.zero_weights) as f64)),
        cost("MACs", "M per image", &|row| row.measured(|own| own.macs as f64 / 1e6)),
        cost("activations moved", "kB per image", &|row| row.measured(|own| own.activation_bytes_moved as f64 / 1e3)),
    ];
    let is_timed = |outcome: &&Outcome| outcome.latency.is_some();
    if rows.iter().any(|row| row.outcomes.iter().any(is_timed)) {
        // Over the network as it comes, measured in the same minute.
        costs.push(cost("time", "of the network as it comes", &|row| {
            row.mean(|outcome| outcome.latency.as_ref().map(|own| 1.0 / own.speed_up))
        }));
    }
    costs.extend(labels.iter().map(|label| cost(&format!("energy on {label}"), "mJ", &|row| row.energy(label))));
    costs
}

/// A row for each reduction.
fn overview(rows: &[Row<'_>], labels: &[&str], fronts: &[(String, Vec<bool>)], latency_batch: usize) -> TableRecord {
    let mut columns = vec![
        ColumnRecord::new("reduction", "reduction"),
        ColumnRecord::new("takes", "takes"),
        ColumnRecord::real("top1_percent", "top-1", "%", 2),
        ColumnRecord::real("top1_std_points", "± over seeds", "points", 2),
        ColumnRecord::real("integer_top1_percent", "top-1 in integers", "%", 2),
        ColumnRecord::real("parameters", "parameters", "", 0),
        ColumnRecord::real("zero_weights_percent", "weights that are zero", "%", 1),
        ColumnRecord::real("macs", "MACs", "", 0),
        ColumnRecord::real("activation_bytes_moved", "activations moved", "bytes", 0),
        ColumnRecord::real("peak_bytes", "peak of activations", "bytes", 0),
    ];
    if latency_batch > 0 {
        columns.push(ColumnRecord::real("latency_ms", &format!("time of {latency_batch}"), "ms", 3));
        columns.push(ColumnRecord::real("speed_up", "speed-up", "", 2));
        columns.push(ColumnRecord::new("interval", "95 % interval"));
    }
    for label in labels {
        let key = crate::store::point::slug(label, "design").replace(['-', '.'], "_");
        columns.push(ColumnRecord::real(&format!("{key}_cycles"), &format!("{label}: cycles"), "", 0));
        columns.push(ColumnRecord::real(&format!("{key}_energy_mj"), &format!("{label}: energy"), "mJ", 4));
    }
    columns.push(ColumnRecord::new("front", "on the front of accuracy against"));
    columns.push(ColumnRecord::new("failure", "why not"));
    let row = |(idx, row): (usize, &Row<'_>)| {
        let zeros = row.measured(|own| 100.0 * own.zero_weights as f64 / own.weights.max(1) as f64);
        let mut cells: Vec<Json> = vec![
            row.variant.label.clone().into(),
            row.variant.family.name().into(),
            row.top1().into(),
            row.top1_std().into(),
            row.mean(|outcome| Some(100.0 * outcome.integer_top1?)).into(),
            row.measured(|own| own.parameters as f64).into(),
            zeros.into(),
            row.measured(|own| own.macs as f64).into(),
            row.measured(|own| own.activation_bytes_moved as f64).into(),
            row.measured(|own| own.peak_bytes as f64).into(),
        ];
        if latency_batch > 0 {
            cells.push(row.mean(|outcome| Some(outcome.latency.as_ref()?.after_ms)).into());
            cells.push(row.mean(|outcome| Some(outcome.latency.as_ref()?.speed_up)).into());
            let interval = row.outcomes.first().and_then(|outcome| outcome.latency.as_ref()).map(|own| own.interval);
            cells.push(interval.map(|[low, high]| format!("{low:.2} to {high:.2}")).into());
        }
        for label in labels {
            cells.extend([row.cycles(label).into(), row.energy(label).into()]);
        }
        let on: Vec<&str> = fronts.iter().filter(|(_, front)| front[idx]).map(|(name, _)| name.as_str()).collect();
        cells.push(on.join(", ").into());
        cells.push(row.outcomes.iter().find_map(|outcome| outcome.failure.clone()).into());
        cells
    };
    TableRecord {
        caption:
            "Every reduction: accuracy, what the network takes, and the fronts that it lies on (means over the seeds)"
                .to_owned(),
        columns,
        rows: rows.iter().enumerate().map(row).collect(),
    }
}

/// What each layer keeps, a column for each reduction of some families.
fn layers(
    caption: &str,
    rows: &[Row<'_>],
    is_shown: fn(Family) -> bool,
    kept: impl Fn(&LayerLeft, &LayerLeft) -> f64,
) -> Option<TableRecord> {
    let before = &rows.first()?.outcomes.first()?.layers;
    let shown: Vec<&Row<'_>> = rows.iter().filter(|row| is_shown(row.variant.family)).collect();
    if shown.is_empty() {
        return None;
    }
    let first = ColumnRecord::new("layer", "layer");
    let column = |row: &&Row<'_>| {
        let key = crate::store::point::slug(&row.variant.label, "reduction").replace(['-', '.'], "_");
        ColumnRecord::real(&key, &row.variant.label, "", 2)
    };
    let cell = |layer: &LayerLeft, row: &Row<'_>| -> Json {
        let found = |outcome: &Outcome| {
            let after = outcome.layers.iter().find(|after| after.name == layer.name)?;
            Some(kept(layer, after))
        };
        row.mean(found).into()
    };
    let row = |layer: &LayerLeft| {
        let cells = shown.iter().map(|row| cell(layer, row));
        std::iter::once(layer.name.clone().into()).chain(cells).collect()
    };
    Some(TableRecord {
        caption: caption.to_owned(),
        columns: std::iter::once(first).chain(shown.iter().map(column)).collect(),
        rows: before.iter().map(row).collect(),
    })
}

/// What two levers or more bring together on one design, beside what each brings alone.
struct Composition {
    reduction: String,
    design: String,
    /// What stands alone in the product.
    alone: String,
    /// Times less cycles and energy than the network as it comes on the first design or, of steps, on the same one.
    together: [f64; 2],
    product: [f64; 2],
}

/// Of cycles and energy, how many times less.
fn less(before: (&Row<'_>, &str), after: (&Row<'_>, &str)) -> Option<[f64; 2]> {
    let ratio = |before: f64, after: f64| before / after.max(f64::MIN_POSITIVE);
    Some([
        ratio(before.0.cycles(before.1)?, after.0.cycles(after.1)?),
        ratio(before.0.energy(before.1)?, after.0.energy(after.1)?),
    ])
}

fn compositions(rows: &[Row<'_>], labels: &[&str]) -> Vec<Composition> {
    let (Some((before, reduced)), Some((&first, others))) = (rows.split_first(), labels.split_first()) else {
        return Vec::new();
    };
    let times = |a: [f64; 2], b: [f64; 2]| [a[0] * b[0], a[1] * b[1]];
    let mut found = Vec::new();
    for row in reduced {
        // Steps that are reductions of their own, too.
        let alone = |step| reduced.iter().find(|other| other.variant.steps == std::slice::from_ref(step));
        let parts: Option<Vec<&Row<'_>>> = row.variant.steps.iter().map(alone).collect();
        let parts = parts.filter(|parts| parts.len() > 1).unwrap_or_default();
        for &design in labels {
            let gains: Option<Vec<[f64; 2]>> =
                parts.iter().map(|part| less((before, design), (part, design))).collect();
            let product = gains.filter(|gains| !gains.is_empty()).map(|gains| gains.into_iter().fold([1.0; 2], times));
            if let (Some(together), Some(product)) = (less((before, design), (row, design)), product) {
                let names: Vec<&str> = parts.iter().map(|part| part.variant.label.as_str()).collect();
                let (reduction, design) = (row.variant.label.clone(), design.to_owned());
                found.push(Composition { reduction, design, alone: names.join(" × "), together, product });
            }
        }
        for &design in others {
            let together = less((before, first), (row, design));
            let own = less((before, first), (before, design));
            let smaller = less((before, first), (row, first));
            if let (Some(together), Some(own), Some(smaller)) = (together, own, smaller) {
                found.push(Composition {
                    reduction: row.variant.label.clone(),
                    design: format!("{design} instead of {first}"),
                    alone: format!("{} × {design}", row.variant.label),
                    together,
                    product: times(own, smaller),
                });
            }
        }
    }
    found
}

fn composition_table(compositions: &[Composition]) -> Option<TableRecord> {
    let row = |own: &Composition| {
        let kept = |at: usize| 100.0 * own.together[at] / own.product[at];
        vec![
            own.reduction.clone().into(),
            own.design.clone().into(),
            own.alone.clone().into(),
            own.together[0].into(),
            own.product[0].into(),
            kept(0).into(),
            own.together[1].into(),
            own.product[1].into(),
            kept(1).into(),
        ]
    };
    (!compositions.is_empty()).then(|| TableRecord {
        caption: "What levers bring together, beside the product of what each brings alone: below 100 % they compete for the \
                  same work, above they help each other"
            .to_owned(),
        columns: vec![
            ColumnRecord::new("reduction", "reduction"),
            ColumnRecord::new("design", "design"),
            ColumnRecord::new("alone", "alone"),
            ColumnRecord::real("cycles_gain", "cycles together", "times less", 2),
            ColumnRecord::real("cycles_product", "product", "times less", 2),
            ColumnRecord::real("cycles_kept_percent", "together of the product", "%", 0),
            ColumnRecord::real("energy_gain", "energy together", "times less", 2),
            ColumnRecord::real("energy_product", "product", "times less", 2),
            ColumnRecord::real("energy_kept_percent", "together of the product", "%", 0),
        ],
        rows: compositions.iter().map(row).collect(),
    })
}

/// The answer in a sentence or two.
fn said(rows: &[Row<'_>], fronts: &[(String, Vec<bool>)], compositions: &[Composition]) -> String {
    let mut text = String::new();
    if let Some((name, front)) = fronts.iter().find(|(name, _)| name == "MACs") {
        let on = rows.iter().zip(front).skip(1).filter(|(_, on)| **on).map(|(row, _)| row.variant.label.as_str());
        let on: Vec<&str> = on.collect();
        text = match on.as_slice() {
            [] => format!("No reduction lies on the front of accuracy against {name}."),
            on => format!("On the front of accuracy against {name}: {}.", on.join(", ")),
        };
    }
    let kept = |own: &Composition| own.together[0] / own.product[0];
    if let Some(worst) = compositions.iter().min_by(|a, b| kept(a).total_cmp(&kept(b))) {
        text += &format!(
            " The levers that share most: {} on {}, together {:.2} times less cycles where the product of both alone is {:.2}.",
            worst.reduction, worst.design, worst.together[0], worst.product[0]
        );
    }
    text
}

/// Accuracy against a cost, with the front.
fn picture(rows: &[Row<'_>], cost: &Cost, front: &[bool]) -> Option<ChartRecord> {
    let place = |idx: usize| Some([cost.values[idx]?, rows[idx].top1()?]);
    let families = [Family::Before, Family::Channels, Family::Weights, Family::Steps];
    let cloud = |family: Family| {
        let own = rows.iter().enumerate().filter(|(_, row)| row.variant.family == family);
        let point = |(idx, row): (usize, &Row<'_>)| {
            let [x, y] = place(idx)?;
            Some(PointRecord { name: row.variant.label.clone(), x, y })
        };
        let name = if family == Family::Before { "as it comes" } else { family.name() };
        CloudRecord { name: name.to_owned(), points: own.filter_map(point).collect(), line: Vec::new() }
    };
    let mut clouds: Vec<CloudRecord> = families.into_iter().map(cloud).collect();
    clouds.retain(|cloud| !cloud.points.is_empty());
    let mut line: Vec<[f64; 2]> = (0..rows.len()).filter(|&idx| front[idx]).filter_map(place).collect();
    line.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    if line.is_empty() {
        return None;
    }
    clouds.push(CloudRecord { name: "front".to_owned(), points: Vec::new(), line });
    Some(ChartRecord {
        caption: format!("Accuracy against {}; the line is the front that no reduction beats", cost.name),
        axes: [cost.name.clone(), "top-1".to_owned()],
        units: [cost.unit.to_owned(), "%".to_owned()],
        clouds,
    })
}
