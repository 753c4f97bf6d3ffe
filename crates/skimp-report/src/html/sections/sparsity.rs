//! How many zeros there are.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::records::LayerStatistics;
use crate::table::{Cell, Column, Table};
use crate::views::layers_table;

/// The sparsity map: a row per layer, a shaded cell per kind of zero.
fn map(layers: &[LayerStatistics]) -> Table {
    let columns = vec![
        Column::text("layer", "layer"),
        Column::number("weights_percent", "weights", "%"),
        Column::number("weight_bits_percent", "weight bits", "%"),
        Column::number("activations_percent", "activations", "%"),
        Column::number("activation_bits_percent", "activation bits", "%"),
        Column::number("outputs_percent", "outputs", "%"),
    ];
    let mut table = Table::new(
        "Sparsity map: share that is not zero, of elements and of the bits in their magnitudes, measured",
        columns,
    );
    for layer in layers {
        let percent = |density: Option<f64>| Cell::real(density.map(|density| 100.0 * density), 1);
        table.row(vec![
            layer.name.clone().into(),
            percent(Some(layer.weight_density)),
            percent(layer.weight_bit_density),
            percent(Some(layer.activation_density)),
            percent(layer.activation_bit_density),
            percent(layer.output_density),
        ]);
    }
    table
}

/// Density of weights, input activations and outputs per layer.
pub(super) struct Sparsity;

impl Section for Sparsity {
    fn id(&self) -> &'static str {
        "sparsity"
    }

    fn title(&self) -> &'static str {
        "Sparsity per layer"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        if study.layers().is_empty() {
            return None;
        }
        let series = |name: &str, color, of: fn(&LayerStatistics) -> Option<f64>| Series {
            name: name.to_owned(),
            color,
            values: study.layers().iter().map(|layer| of(layer).map(|density| 100.0 * density)).collect(),
            ..Series::default()
        };
        let chart = Chart {
            id: "sparsity-chart".to_owned(),
            caption: "Density per layer: share of elements that are not zero in %, measured. Sparsity is 100 % minus \
                      density."
                .to_owned(),
            value_title: "density".to_owned(),
            unit: "%".to_owned(),
            category_title: "layer".to_owned(),
            max: Some(100.0),
            views: vec![View {
                name: String::new(),
                labels: study.layers().iter().map(|layer| layer.name.clone()).collect(),
                series: vec![
                    series("weights", 1, |layer| Some(layer.weight_density)),
                    series("input activations", 5, |layer| Some(layer.activation_density)),
                    series("outputs after ReLU", 3, |layer| layer.output_density),
                ],
            }],
            ..Chart::default()
        };
        Some(format!(
            "{}{}",
            chart.to_html(&layers_table(study.layers())),
            map(study.layers()).to_heat_html(1..=5, 100.0)
        ))
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["layers.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        vec![layers_table(study.layers())]
    }
}
