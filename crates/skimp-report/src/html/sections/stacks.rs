//! Stacked bars per layer, one stack per accelerator variant: what run time and energy share.

use indexmap::IndexSet;

use crate::html::chart::{Chart, N_COLORS, Series, View};
use crate::number::Scale;
use crate::records::{AcceleratorRecord, LayerRecord};
use crate::views::words;
use crate::{StudyRecord, number};

/// The parts of a layer by name, and their total.
pub(super) type Parts = (Vec<(String, f64)>, f64);

/// What is stacked.
pub(super) struct Quantity {
    /// Identifier of the figure.
    pub(super) id: &'static str,
    /// `Run time`.
    pub(super) name: &'static str,
    /// `phase`.
    pub(super) part: &'static str,
    /// Unit without prefix.
    pub(super) unit: &'static str,
    /// What a layer needs in that unit, per image.
    pub(super) parts: fn(&AcceleratorRecord, &LayerRecord) -> Parts,
}

/// The variants that a stacked chart compares: baseline and variants of the comparisons that share the first one's
/// baseline, or all accelerators if nothing is compared.
fn variants(study: &StudyRecord) -> Vec<&AcceleratorRecord> {
    let Some(simulation) = study.simulation() else { return Vec::new() };
    let Some(first) = study.comparisons().first() else { return simulation.accelerators.iter().collect() };
    [&first.baseline, &first.variant].into_iter().filter_map(|label| simulation.accelerator(label)).collect()
}

/// The chart and its table, or nothing if no layer has the quantity.
pub(super) fn figure(study: &StudyRecord, quantity: &Quantity) -> Option<String> {
    let variants = variants(study);
    let mut layers = IndexSet::new();
    let mut names = IndexSet::new();
    let mut largest = 0.0f64;
    for accelerator in &variants {
        for layer in &accelerator.layers {
            let (parts, total) = (quantity.parts)(accelerator, layer);
            layers.insert(layer.name.clone());
            names.extend(parts.into_iter().filter(|(_, value)| value.abs() > 0.0).map(|(name, _)| name));
            largest = largest.max(total);
        }
    }
    if largest <= 0.0 {
        return None;
    }
    let scale = Scale::of(largest, quantity.unit);
    let colors = colors(&names);
    let mut series = Vec::new();
    for (group, accelerator) in variants.iter().enumerate() {
        for (name, (color, hatched)) in names.iter().zip(&colors) {
            let value = |layer_name: &String| {
                let layer = accelerator.layers.iter().find(|layer| layer.name == *layer_name)?;
                let (parts, _) = (quantity.parts)(accelerator, layer);
                let part = parts.iter().find(|(part, _)| part == name).map_or(0.0, |(_, value)| *value);
                Some(part * scale.factor)
            };
            let values = layers.iter().map(value).collect();
            series.push(Series { name: words(name), group, color: *color, hatched: *hatched, values });
        }
    }
    let chart = Chart {
        id: quantity.id.to_owned(),
        caption: caption(study, quantity, &scale.unit),
        value_title: format!("{} per image", quantity.name.to_lowercase()),
        unit: scale.unit.clone(),
        category_title: "layer".to_owned(),
        stacked: true,
        groups: variants.iter().map(|accelerator| accelerator.label.clone()).collect(),
        views: vec![View { name: String::new(), labels: layers.into_iter().collect(), series }],
        ..Chart::default()
    };
    let decimals = 4;
    Some(chart.to_html(&chart.table(decimals)))
}

fn caption(study: &StudyRecord, quantity: &Quantity, unit: &str) -> String {
    let baseline = study.comparisons().first().map_or_else(String::new, |comparison| {
        format!(" A: {}, the baseline. B: {}.", comparison.baseline, comparison.variant)
    });
    format!(
        "{} per layer by {} in {unit} per image, mean of {}, simulated.{baseline}",
        quantity.name,
        quantity.part,
        crate::views::words_for_count(study.n_images, "image"),
    )
}

/// A palette index per part, and whether it is hatched: `x_static` has the color of `x_dynamic`, hatched.
fn colors(names: &IndexSet<String>) -> Vec<(usize, bool)> {
    let base = |name: &str| name.trim_end_matches("_dynamic").trim_end_matches("_static").to_owned();
    let bases: IndexSet<String> = names.iter().map(|name| base(name)).collect();
    names
        .iter()
        .map(|name| {
            let color = bases.get_index_of(&base(name)).unwrap_or(0);
            // More parts than colors: the palette starts again, hatched.
            (color % N_COLORS, name.ends_with("_static") || color >= N_COLORS)
        })
        .collect()
}

/// `8.71 ms → 6.89 ms` for the sentence above a chart.
pub(super) fn change(study: &StudyRecord, unit: &str, of: fn(&AcceleratorRecord) -> f64) -> Option<String> {
    let comparison = study.comparisons().first()?;
    let simulation = study.simulation()?;
    let baseline = of(simulation.accelerator(&comparison.baseline)?);
    let variant = of(simulation.accelerator(&comparison.variant)?);
    Some(format!("{} → {}", number::si(baseline, unit), number::si(variant, unit)))
}
