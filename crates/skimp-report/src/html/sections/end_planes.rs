//! After how many bit planes outputs were known.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::html::escape;
use crate::number;
use crate::records::LayerStatistics;
use crate::table::{Cell, Column, Table};

/// Histogram of end planes.
pub(super) struct EndPlanes;

impl Section for EndPlanes {
    fn id(&self) -> &'static str {
        "end-planes"
    }

    fn title(&self) -> &'static str {
        "Histogram of end planes"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let layers: Vec<&LayerStatistics> =
            study.layers.iter().filter(|layer| layer.end_planes.iter().any(|outputs| *outputs > 0)).collect();
        let n_planes = layers.iter().map(|layer| layer.end_planes.len()).max()?;
        let mut all = vec![0u64; n_planes];
        for layer in &layers {
            all.iter_mut().zip(&layer.end_planes).for_each(|(sum, outputs)| *sum += outputs);
        }
        let view = |name: &str, counts: &[u64]| View {
            name: name.to_owned(),
            labels: (1..=n_planes).map(|plane| plane.to_string()).collect(),
            series: vec![Series {
                name: "outputs".to_owned(),
                color: 5,
                values: shares(counts, n_planes).into_iter().map(|share| Some(100.0 * share)).collect(),
                ..Series::default()
            }],
        };
        let mut views = vec![view("all layers with END", &all)];
        views.extend(layers.iter().map(|layer| view(&layer.name, &layer.end_planes)));
        let chart = Chart {
            id: "end-planes-chart",
            caption: format!(
                "Share of outputs that were known after so many of {n_planes} bit planes, in % of the outputs, measured."
            ),
            value_title: "share of outputs".to_owned(),
            unit: "%".to_owned(),
            category_title: "bit planes used".to_owned(),
            upright: true,
            views,
            ..Chart::default()
        };
        let last = number::percent(shares(&all, n_planes)[n_planes - 1], 1);
        Some(format!(
            "<p>An output ends at the plane whose partial sum proves it negative. Outputs that are not negative, and \
             those that turn negative at the very end, need all {n_planes} planes: {} of them.</p>\n{}{}",
            escape(&last),
            chart.to_html(&chart.table(2)),
            heat_table(&layers, n_planes)
        ))
    }
}

/// Fractions of the total, zero for planes that a layer does not have.
fn shares(counts: &[u64], n_planes: usize) -> Vec<f64> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    (0..n_planes).map(|idx| counts.get(idx).map_or(0.0, |count| *count as f64 / total)).collect()
}

/// Layers by planes, each cell shaded by its share. The histogram of every layer at a glance, and on paper.
fn heat_table(layers: &[&LayerStatistics], n_planes: usize) -> String {
    let mut columns = vec![Column::text("layer", "layer")];
    columns.extend((1..=n_planes).map(|plane| Column::number(format!("plane_{plane}"), plane.to_string(), "")));
    columns.push(Column::number("outputs", "outputs", ""));
    let mut table =
        Table::new("Share of each layer's outputs by bit planes used, in % (empty: none), measured", columns);
    for layer in layers {
        let mut row = vec![Cell::from(layer.name.as_str())];
        let planes = shares(&layer.end_planes, n_planes).into_iter();
        row.extend(planes.map(|share| if share > 0.0 { Cell::Real(100.0 * share, 1) } else { Cell::Empty }));
        row.push(layer.end_planes.iter().sum::<u64>().into());
        table.row(row);
    }
    table.to_heat_html(1..=n_planes, 100.0)
}
