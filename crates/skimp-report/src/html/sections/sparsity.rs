//! How many zeros there are.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::records::LayerStatistics;
use crate::views::layers_table;

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
        if study.layers.is_empty() {
            return None;
        }
        let series = |name: &str, color, of: fn(&LayerStatistics) -> Option<f64>| Series {
            name: name.to_owned(),
            color,
            values: study.layers.iter().map(|layer| of(layer).map(|density| 100.0 * density)).collect(),
            ..Series::default()
        };
        let chart = Chart {
            id: "sparsity-chart",
            caption: "Density per layer: share of elements that are not zero in %, measured. Sparsity is 100 % minus \
                      density."
                .to_owned(),
            value_title: "density".to_owned(),
            unit: "%".to_owned(),
            category_title: "layer".to_owned(),
            max: Some(100.0),
            views: vec![View {
                name: String::new(),
                labels: study.layers.iter().map(|layer| layer.name.clone()).collect(),
                series: vec![
                    series("weights", 1, |layer| Some(layer.weight_density)),
                    series("input activations", 5, |layer| Some(layer.activation_density)),
                    series("outputs after ReLU", 3, |layer| layer.output_density),
                ],
            }],
            ..Chart::default()
        };
        Some(chart.to_html(&layers_table(&study.layers)))
    }
}
