//! How many planes a layer's outputs used on average.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::records::LayerStatistics;
use crate::table::{Cell, Column, Table};

/// Mean planes used per layer, as a share of all planes.
pub(super) struct PlanesUsed;

impl Section for PlanesUsed {
    fn id(&self) -> &'static str {
        "planes-used"
    }

    fn title(&self) -> &'static str {
        "Planes used per layer"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let used: Vec<(&LayerStatistics, f64, usize)> = study
            .layers
            .iter()
            .filter_map(|layer| Some((layer, layer.mean_planes?, layer.end_planes.len())))
            .filter(|(_, _, n_planes)| *n_planes > 0)
            .collect();
        if used.is_empty() {
            return None;
        }
        let share = |mean: f64, n_planes: usize| 100.0 * mean / n_planes as f64;
        let chart = Chart {
            id: "planes-used-chart",
            caption: "Bit planes used per output, mean of each layer in % of all its planes, measured. Without early \
                      negative detection every layer uses 100 %."
                .to_owned(),
            value_title: "planes used".to_owned(),
            unit: "%".to_owned(),
            category_title: "layer".to_owned(),
            max: Some(100.0),
            views: vec![View {
                name: String::new(),
                labels: used.iter().map(|(layer, _, _)| layer.name.clone()).collect(),
                series: vec![Series {
                    name: "planes used".to_owned(),
                    color: 3,
                    values: used.iter().map(|(_, mean, n_planes)| Some(share(*mean, *n_planes))).collect(),
                    ..Series::default()
                }],
            }],
            ..Chart::default()
        };
        let mut table = Table::new(
            "Bit planes used per output",
            vec![
                Column::text("layer", "layer"),
                Column::number("mean_planes", "mean", "planes"),
                Column::number("planes", "of", "planes"),
                Column::number("share_percent", "share", "%"),
            ],
        );
        for (layer, mean, n_planes) in &used {
            let share = Cell::Real(share(*mean, *n_planes), 1);
            table.row(vec![layer.name.clone().into(), Cell::Real(*mean, 2), (*n_planes as u64).into(), share]);
        }
        Some(chart.to_html(&table))
    }
}
