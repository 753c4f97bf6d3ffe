//! Tables of a [`StudyRecord`].

use super::simulation::{simulation_csv, words_for_count};
use crate::html::SECTIONS;
use crate::records::{
    AcceleratorFigures, Comparison, EffectAccuracy, LayerStatistics, Provenance, PublishedFigure, StudyRecord,
};
use crate::table::{Cell, Column, Table};
use crate::{ReportError, number};

/// The answer in one sentence: what the first comparison found, on what, and whether any answer changed.
/// Without a comparison it says what ran. `None` without a simulation or comparison.
pub fn summary_sentence(study: &StudyRecord) -> Option<String> {
    let Some(comparison) = study.comparisons().first() else { return what_ran(study) };
    let runtime = comparison.total_runtime_reduction_percent;
    let energy = comparison.total_energy_reduction_percent;
    let amount = |percent: f64| format!("{} %", number::fixed(percent.abs(), 1));
    let change = match (runtime >= 0.0, energy) {
        (true, None) => format!("saves {} of the run time", amount(runtime)),
        (false, None) => format!("adds {} to the run time", amount(runtime)),
        (true, Some(energy)) if energy >= 0.0 => {
            format!("saves {} of the run time and {} of the energy", amount(runtime), amount(energy))
        }
        (true, Some(energy)) => {
            format!("saves {} of the run time but adds {} to the energy", amount(runtime), amount(energy))
        }
        (false, Some(energy)) if energy >= 0.0 => {
            format!("adds {} to the run time but saves {} of the energy", amount(runtime), amount(energy))
        }
        (false, Some(energy)) => {
            format!("adds {} to the run time and {} to the energy", amount(runtime), amount(energy))
        }
    };
    let subject = if study.subject.is_empty() { &comparison.variant } else { &study.subject };
    if let Some(void) = &comparison.void {
        // What is lost comes before what would be saved.
        let allowed = study.simulation().map_or(0.0, |simulation| simulation.allowed_loss_points);
        let reason = match &comparison.accuracy {
            Some(accuracy) => format!(
                "top-1 accuracy falls from {} to {} %, {} points are allowed",
                number::fixed(100.0 * accuracy.top1_exact, 2),
                number::fixed(100.0 * accuracy.top1, 2),
                number::fixed(allowed, 2)
            ),
            None => void.trim_start_matches("void: ").to_owned(),
        };
        let (baseline, network) = (&comparison.baseline, &study.model_name);
        return Some(format!("{subject} saves nothing that counts over {baseline} on {network}: {reason}."));
    }
    let mut sentence = format!(
        "{subject} {change} of {} on {} over {} of {}",
        comparison.baseline,
        study.network_words(),
        words_for_count(study.n_images, "image"),
        study.data_name
    );
    match study.agreement() {
        Some(agreement) if agreement.is_exact() == Some(true) => {
            let outputs = words_for_count(agreement.of.unwrap_or(0), "output");
            sentence.push_str(&format!(", and changes no answer: bit-exact in {outputs}"));
        }
        Some(agreement) => {
            let different = number::count(agreement.n_different());
            let outputs = words_for_count(agreement.of.unwrap_or(0), "output");
            sentence.push_str(&format!(", but is not exact: {different} of {outputs} differ"));
        }
        None => {}
    }
    sentence.push('.');
    Some(sentence)
}

/// `3 accelerators on vgg16 over 4 images of imagenet.`
fn what_ran(study: &StudyRecord) -> Option<String> {
    let simulation = study.simulation()?;
    let designs = words_for_count(simulation.accelerators.len() as u64, "accelerator");
    let images = words_for_count(study.n_images, "image");
    Some(format!("{designs} on {} over {images} of {}.", study.network_words(), study.data_name))
}

/// Reductions in percent of the named baselines. Energies that do not compare say why, savings that cost too much accuracy
/// are void; accuracy stands beside them where a variant changes values.
pub fn comparison_table(comparisons: &[Comparison]) -> Table {
    let columns = vec![
        Column::text("variant", "variant"),
        Column::text("baseline", "baseline"),
        Column::number("total_runtime_reduction_percent", "run time saved, total", "%"),
        Column::number("total_energy_reduction_percent", "energy saved, total", "%"),
        Column::number("speed_up", "speed-up, total", "×"),
        Column::number("mean_layer_runtime_reduction_percent", "run time saved, mean of layers", "%"),
        Column::number("mean_layer_energy_reduction_percent", "energy saved, mean of layers", "%"),
        Column::number("n_layers", "layers", ""),
    ];
    let approximate = comparisons.iter().any(|comparison| comparison.accuracy.is_some() || comparison.void.is_some());
    let mut columns = columns;
    if approximate {
        columns.push(Column::number("top1_percent", "top-1", "%"));
        columns.push(Column::number("top1_exact_percent", "top-1, exact", "%"));
        columns.push(Column::number("accuracy_images", "judged by", "images"));
    }
    let mut table = Table::new("Savings against the named baseline, simulated", columns);
    for comparison in comparisons {
        let saving = |percent: Option<f64>| match &comparison.void {
            Some(void) => Cell::Text(void.clone()),
            None => Cell::real(percent, 2),
        };
        let energy = |percent: Option<f64>| match &comparison.energy_differs {
            Some(reason) => Cell::Text(reason.clone()),
            None => saving(percent),
        };
        let mut row = vec![
            comparison.variant.clone().into(),
            comparison.baseline.clone().into(),
            saving(Some(comparison.total_runtime_reduction_percent)),
            energy(comparison.total_energy_reduction_percent),
            saving(speed_up(comparison.total_runtime_reduction_percent)),
            saving(Some(comparison.mean_layer_runtime_reduction_percent)),
            energy(comparison.mean_layer_energy_reduction_percent),
            comparison.n_layers.into(),
        ];
        if approximate {
            row.extend(accuracy_cells(comparison.accuracy.as_ref()));
        }
        table.row(row);
    }
    table
}

/// Top-1 accuracy, that of the exact network, and the images that judged them.
pub(crate) fn accuracy_cells(accuracy: Option<&EffectAccuracy>) -> [Cell; 3] {
    [
        Cell::real(accuracy.map(|accuracy| 100.0 * accuracy.top1), 2),
        Cell::real(accuracy.map(|accuracy| 100.0 * accuracy.top1_exact), 2),
        accuracy.map(|accuracy| accuracy.n_images).into(),
    ]
}

/// A runtime reduction as a ratio: 16.62 % is 1.20. `None` if nothing is left to divide by.
fn speed_up(reduction_percent: f64) -> Option<f64> {
    let left = 1.0 - reduction_percent / 100.0;
    (left > 0.0).then(|| 1.0 / left)
}

/// What a provenance is called in front of readers.
pub(crate) fn provenance_words(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Published => "published",
        Provenance::Measured => "measured here",
        Provenance::Simulated => "simulated here",
    }
}

/// Peak figures of accelerators side by side.
pub fn figures_table(figures: &[AcceleratorFigures]) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::number("precision_bits", "precision", "bits"),
        Column::number("technology_nm", "technology", "nm"),
        Column::number("clock_mhz", "clock", "MHz"),
        Column::number("peak_gmacs_per_s", "peak rate", "GMAC/s"),
        Column::number("area_mm2", "area", "mm²"),
        Column::number("power_mw", "power", "mW"),
        Column::number("gmacs_per_s_per_mm2", "per area", "GMAC/s/mm²"),
        Column::number("gmacs_per_s_per_w", "per power", "GMAC/s/W"),
        Column::text("provenance", "provenance"),
        Column::text("source", "source"),
    ];
    let mut table = Table::new("Peak figures of accelerators, each at its own technology node", columns);
    for row in figures {
        table.row(vec![
            row.name.clone().into(),
            row.precision_bits.map(u64::from).into(),
            Cell::real(row.technology_nm, 0),
            Cell::real(row.clock_mhz, 0),
            Cell::real(row.peak_gmacs, 1),
            Cell::real(row.area_mm2, 2),
            Cell::real(row.power_mw, 0),
            Cell::real(row.gmacs_per_mm2, 2),
            Cell::real(row.gmacs_per_w, 1),
            provenance_words(row.provenance).into(),
            row.source.clone().into(),
        ]);
    }
    table
}

/// Published figures beside ours.
pub fn published_table(figures: &[PublishedFigure]) -> Table {
    let columns = vec![
        Column::text("quantity", "quantity"),
        Column::text("published", "published"),
        Column::text("ours", "ours"),
        Column::text("provenance", "provenance of ours"),
        Column::text("source", "source of the published figure"),
        Column::text("remark", "remark"),
    ];
    let mut table = Table::new("Published figures beside ours", columns);
    for figure in figures {
        table.row(vec![
            figure.quantity.clone().into(),
            figure.published.clone().into(),
            figure.ours.clone().into(),
            figure.ours.as_ref().map(|_| provenance_words(figure.provenance)).into(),
            figure.source.clone().into(),
            figure.remark.clone().into(),
        ]);
    }
    table
}

/// `64x3x7x7`.
fn shape(dims: &[u64]) -> String {
    dims.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

/// Shape, work and densities of each layer, and whether anybody sees that one of its sums is negative.
pub fn layers_table(layers: &[LayerStatistics]) -> Table {
    let columns = vec![
        Column::text("layer", "layer"),
        Column::text("operator", "operator"),
        Column::text("input_shape", "input"),
        Column::text("weight_shape", "weight"),
        Column::text("output_shape", "output"),
        Column::number("macs", "MACs", "per image"),
        Column::number("weights", "weights", ""),
        Column::number("activation_density", "activation density", ""),
        Column::number("weight_density", "weight density", ""),
        Column::number("output_density", "output density", ""),
        Column::text("negative_sums_unseen", "negative sums unseen"),
        Column::text("negative_sums_reason", "why not"),
    ];
    let mut table = Table::new("Layers: shapes, work and share of non-zero elements", columns);
    for layer in layers {
        table.row(vec![
            layer.name.clone().into(),
            layer.operator.clone().into(),
            shape(&layer.input_shape).into(),
            shape(&layer.weight_shape).into(),
            shape(&layer.output_shape).into(),
            layer.macs.into(),
            layer.weights.into(),
            Cell::Real(layer.activation_density, 3),
            Cell::Real(layer.weight_density, 3),
            Cell::real(layer.output_density, 3),
            if layer.negative_sums_unseen.holds { "yes" } else { "no" }.into(),
            layer.negative_sums_unseen.reason.clone().into(),
        ]);
    }
    table
}

/// The essentials of a study for a terminal of `width` columns: what each section of the report says in short.
pub fn study_text(study: &StudyRecord, width: Option<usize>) -> String {
    SECTIONS.iter().flat_map(|section| section.text(study, width)).collect::<Vec<_>>().join("\n")
}

/// A study as one CSV table: of a simulation cycles and energies by layer, of another study its first table.
///
/// # Errors
/// [`ReportError::Encode`](crate::ReportError::Encode) if the table cannot be written.
pub fn study_csv(study: &StudyRecord) -> Result<String, ReportError> {
    if let Some(simulation) = study.simulation() {
        return simulation_csv(simulation);
    }
    let first = SECTIONS.iter().flat_map(|section| section.csv(study)).find(|table| !table.rows.is_empty());
    first.map_or_else(|| Ok(String::new()), |table| table.to_csv())
}
