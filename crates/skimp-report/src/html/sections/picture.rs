//! The study at a glance: one bar chart that stands on the first screen.

use crate::StudyRecord;
use crate::html::chart::{Chart, Series, View};
use crate::records::{AcceleratorRecord, Comparison, SimulationRecord};

/// What is left of the baseline's run time and energy where designs are compared, else the designs' run times.
///
/// The baseline is the study's, for all designs, or that of the first comparison, for its variants.
pub(super) fn picture(study: &StudyRecord) -> Option<String> {
    let simulation = study.simulation()?;
    let over_baseline = |label: &str| {
        let baseline = simulation.accelerator(label)?;
        let others = simulation.accelerators.iter().filter(|other| other.label != label);
        Some(
            others
                .map(|other| Comparison::between(baseline, other, simulation.allowed_loss_points))
                .collect::<Vec<_>>(),
        )
    };
    let comparisons = match (study.baseline(), study.comparisons().first()) {
        (Some(label), _) => over_baseline(label)?,
        (None, Some(first)) => {
            study.comparisons().iter().filter(|comparison| comparison.baseline == first.baseline).cloned().collect()
        }
        (None, None) => return run_times(simulation),
    };
    left(&comparisons)
}

/// Run time and energy of each variant in percent of the baseline's.
fn left(comparisons: &[Comparison]) -> Option<String> {
    let first = comparisons.first()?;
    let label = |comparison: &Comparison| match &comparison.void {
        Some(void) => format!("{} ({void})", comparison.variant),
        None => comparison.variant.clone(),
    };
    let series = |name: &str, color, of: &dyn Fn(&Comparison) -> Option<f64>| Series {
        name: name.to_owned(),
        color,
        values: comparisons.iter().map(|comparison| of(comparison).map(|reduction| 100.0 - reduction)).collect(),
        ..Series::default()
    };
    let run_time = series("run time", 5, &|comparison| Some(comparison.total_runtime_reduction_percent));
    let energy = series("energy", 1, &|comparison| comparison.total_energy_reduction_percent);
    let mut all = vec![run_time, energy];
    all.retain(|series| series.values.iter().any(Option::is_some));
    let chart = Chart {
        id: "picture-chart".to_owned(),
        caption: format!("What is left of run time and energy, whole network, {} = 100 %. Simulated.", first.baseline),
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
        id: "picture-chart".to_owned(),
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
