//! The study at a glance: one bar chart that stands on the first screen.

use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::records::{AcceleratorRecord, Comparison, SimulationRecord};

/// What is left of the baselines' run time and energy where designs are compared, else the designs' run times.
pub(super) fn picture(study: &StudyRecord) -> Option<String> {
    let simulation = study.simulation.as_ref()?;
    if study.comparisons.is_empty() { run_times(simulation) } else { left(&study.comparisons) }
}

/// Run time and energy of each variant in percent of its baseline's.
fn left(comparisons: &[Comparison]) -> Option<String> {
    let first = comparisons.first()?;
    let one_baseline = comparisons.iter().all(|comparison| comparison.baseline == first.baseline);
    let label = |comparison: &Comparison| match one_baseline {
        true => comparison.variant.clone(),
        false => format!("{} over {}", comparison.variant, comparison.baseline),
    };
    let series = |name: &str, color, of: &dyn Fn(&Comparison) -> Option<f64>| Series {
        name: name.to_owned(),
        color,
        values: comparisons.iter().map(|comparison| of(comparison).map(|reduction| 100.0 - reduction)).collect(),
        ..Series::default()
    };
    let run_time = series("run time", 5, &|comparison| Some(comparison.total_runtime_reduction_percent));
    let energy = series("energy", 1, &|comparison| {
        (!comparison.costs_differ).then_some(comparison.total_energy_reduction_percent)
    });
    let mut all = vec![run_time, energy];
    all.retain(|series| series.values.iter().any(Option::is_some));
    let over = if one_baseline { format!("{} = 100 %", first.baseline) } else { "each over its baseline".to_owned() };
    let chart = Chart {
        id: "picture-chart",
        caption: format!("What is left of run time and energy, whole network, {over}. Simulated."),
        value_title: "left".to_owned(),
        unit: "%".to_owned(),
        category_title: "design".to_owned(),
        flat: true,
        max: Some(all.iter().flat_map(|series| &series.values).flatten().copied().fold(100.0, f64::max)),
        views: vec![View { name: String::new(), labels: comparisons.iter().map(label).collect(), series: all }],
        ..Chart::default()
    };
    Some(chart.to_html(&chart.table(2)))
}

/// Milliseconds per image of each design.
fn run_times(simulation: &SimulationRecord) -> Option<String> {
    let designs: &[AcceleratorRecord] = &simulation.accelerators;
    if designs.is_empty() {
        return None;
    }
    let chart = Chart {
        id: "picture-chart",
        caption: "Run time of the whole network per image, each design at its own clock. Simulated.".to_owned(),
        value_title: "run time".to_owned(),
        unit: "ms".to_owned(),
        category_title: "design".to_owned(),
        flat: true,
        views: vec![View {
            name: String::new(),
            labels: designs.iter().map(|design| design.label.clone()).collect(),
            series: vec![Series {
                name: "run time".to_owned(),
                color: 5,
                values: designs.iter().map(|design| Some(design.total.latency_ms)).collect(),
                ..Series::default()
            }],
        }],
        ..Chart::default()
    };
    Some(chart.to_html(&chart.table(4)))
}
