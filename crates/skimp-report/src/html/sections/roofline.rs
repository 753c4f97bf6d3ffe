//! Reached rate against operational intensity.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Cloud, N_COLORS, Scatter, View};
use crate::records::{AcceleratorRecord, LayerStatistics};
use crate::table::{Cell, Column, Table};

/// A roofline plot.
///
/// # Source
/// S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
/// Architectures", Communications of the ACM 52(4), 2009.
/// Differs: the intensity counts compulsory traffic (each operand once), so that one layer stands at one place for all
/// designs.
pub(super) struct Roofline;

impl Section for Roofline {
    fn id(&self) -> &'static str {
        "roofline"
    }

    fn title(&self) -> &'static str {
        "Roofline"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let simulation = study.simulation()?;
        let bits = (simulation.weight_bits, simulation.activation_bits);
        let intensities: Vec<(&str, f64)> =
            study.layers().iter().filter_map(|layer| Some((layer.name.as_str(), intensity(layer, bits)?))).collect();
        let clouds: Vec<Cloud> = simulation
            .accelerators
            .iter()
            .enumerate()
            .filter_map(|(idx, accelerator)| cloud(idx, accelerator, &intensities))
            .collect();
        if clouds.is_empty() {
            return None;
        }
        let caption = "Dense rate reached on each layer against its operational intensity: multiply-accumulates per \
                       byte when every operand crosses the chip's border once. Lines: the design's dense peak, and \
                       its memory bandwidth where the model has one; points above a line are work skipped. Simulated.";
        let mut table = Table::new(
            caption,
            vec![
                Column::text("design", "design"),
                Column::text("layer", "layer"),
                Column::number("intensity", "intensity", "MAC/byte"),
                Column::number("rate", "rate", "GMAC/s"),
            ],
        );
        for cloud in &clouds {
            for (layer, x, y) in &cloud.points {
                table.row(vec![cloud.name.clone().into(), layer.clone().into(), Cell::Real(*x, 2), Cell::Real(*y, 2)]);
            }
        }
        let chart = Chart {
            id: "roofline-chart".to_owned(),
            caption: caption.to_owned(),
            value_title: "rate".to_owned(),
            unit: "GMAC/s".to_owned(),
            category_title: "design".to_owned(),
            scatter: Some(Scatter {
                x_title: "operational intensity".into(),
                x_unit: "MAC/byte".into(),
                linear: false,
                clouds,
            }),
            views: vec![View::default()],
            ..Chart::default()
        };
        Some(chart.to_html(&table))
    }
}

/// How far a roof reaches beyond the outermost layers.
const ROOF_MARGIN: f64 = 1.5;

/// Multiply-accumulates per byte of weights, inputs and outputs, each once.
fn intensity(layer: &LayerStatistics, (weight_bits, activation_bits): (u32, u32)) -> Option<f64> {
    let elements = |shape: &[u64]| shape.iter().product::<u64>() as f64;
    let activations = elements(&layer.input_shape) + elements(&layer.output_shape);
    let bytes = (layer.weights as f64 * f64::from(weight_bits) + activations * f64::from(activation_bits)) / 8.0;
    (bytes > 0.0 && layer.macs > 0).then(|| layer.macs as f64 / bytes)
}

fn cloud(idx: usize, accelerator: &AcceleratorRecord, intensities: &[(&str, f64)]) -> Option<Cloud> {
    let rate = |name: &str| {
        let layer = accelerator.layers.iter().find(|layer| layer.name == name)?;
        let seconds = layer.cycles.total as f64 / (accelerator.clock_mhz * 1e6);
        (seconds > 0.0).then(|| (layer.macs * layer.images) as f64 / seconds * 1e-9)
    };
    let points: Vec<_> = intensities.iter().filter_map(|&(name, x)| Some((name.to_owned(), x, rate(name)?))).collect();
    // Beyond the outermost layers, so that even the roof of a single layer is a line.
    let least = intensities.iter().map(|&(_, x)| x).fold(f64::INFINITY, f64::min) / ROOF_MARGIN;
    let most = intensities.iter().map(|&(_, x)| x).fold(0.0, f64::max) * ROOF_MARGIN;
    if points.is_empty() {
        return None;
    }
    let roof = match (accelerator.peak_gmacs, accelerator.dram_gb_per_s) {
        (None, _) => Vec::new(),
        (Some(peak), None) => vec![(least, peak), (most, peak)],
        (Some(peak), Some(bandwidth)) => {
            let ridge = peak / bandwidth;
            if ridge <= least {
                vec![(least, peak), (most, peak)]
            } else if ridge >= most {
                vec![(least, least * bandwidth), (most, most * bandwidth)]
            } else {
                vec![(least, least * bandwidth), (ridge, peak), (most, peak)]
            }
        }
    };
    Some(Cloud { name: accelerator.label.clone(), color: idx % N_COLORS, points, roof })
}
