//! The answer first: one sentence, a picture, and the table that carries it.

use super::Section;
use super::picture::picture;
use crate::StudyRecord;
use crate::html::escape;
use crate::number;
use crate::records::{AcceleratorRecord, Accuracy, Comparison};
use crate::table::{Align, Cell, Column, Table};
use crate::views::{fitted, summary_sentence};

/// Summary sentence and key figures.
pub(super) struct Summary;

impl Section for Summary {
    fn id(&self) -> &'static str {
        "summary"
    }

    fn title(&self) -> &'static str {
        "Summary"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let sentence = summary_sentence(study)?;
        // A number and its sign stay on one line.
        let sentence = escape(&sentence).replace(" %", "\u{a0}%");
        let untrained = match study.untrained {
            true => {
                "<p><strong class=\"verdict bad\">Untrained network.</strong> Its weights are random initial ones: \
                     what depends on values (zeros, signs of sums, accuracy) says nothing of a trained one.</p>\n"
            }
            false => "",
        };
        let table = study.comparisons().first().map(|comparison| key_table(study, comparison).to_html());
        let picture = picture(study).unwrap_or_default();
        Some(format!("<p class=\"lead\">{sentence}</p>\n{untrained}{picture}{}", table.unwrap_or_default()))
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        summary_sentence(study).map(|sentence| fitted(format!("{sentence}\n"), width)).into_iter().collect()
    }
}

/// The headline's quantities: baseline, variant, difference.
fn key_table(study: &StudyRecord, comparison: &Comparison) -> Table {
    let right = |header: &str| Column { align: Align::Right, ..Column::text(header, header) };
    let columns = vec![
        Column::text("quantity", "quantity"),
        right(&format!("{} (baseline)", comparison.baseline)),
        right(&comparison.variant),
        right("change"),
    ];
    let mut table = Table::new("Key figures. Run time and energy are simulated, the rest is measured here", columns);
    let accelerator = |label| study.simulation().and_then(|simulation| simulation.accelerator(label));
    let pair = (accelerator(&comparison.baseline), accelerator(&comparison.variant));
    let images = study.simulation().map_or(1, |simulation| simulation.images.max(1)) as f64;
    let mut quantity = |name: &str, unit: &str, of: &dyn Fn(&AcceleratorRecord) -> f64, change: Cell| {
        let cell = |side: Option<&AcceleratorRecord>| Cell::from(side.map(|side| number::si(of(side), unit)));
        table.row(vec![name.into(), cell(pair.0), cell(pair.1), change]);
    };
    let saved = |reduction: f64| comparison.void.clone().map_or_else(|| change(reduction), Cell::Text);
    let energy_change = |reduction: Option<f64>| match (&comparison.energy_differs, reduction) {
        (Some(reason), _) => Cell::Text(format!("do not compare: {reason}")),
        (None, Some(reduction)) => saved(reduction),
        (None, None) => Cell::Empty,
    };
    let (runtime, energy) = (comparison.total_runtime_reduction_percent, comparison.total_energy_reduction_percent);
    quantity("run time per image", "s", &|side| side.total.latency_ms * 1e-3, saved(runtime));
    quantity("energy per image", "J", &|side| side.total.energy_mj * 1e-3 / images, energy_change(energy));

    let over = format!("mean of {} layers' changes", comparison.n_layers);
    let mut mean = |name: String, change| table.row(vec![name.into(), Cell::Empty, Cell::Empty, change]);
    mean(format!("run time, {over}"), saved(comparison.mean_layer_runtime_reduction_percent));
    mean(format!("energy, {over}"), energy_change(comparison.mean_layer_energy_reduction_percent));

    if let Some(accuracy) = &comparison.accuracy {
        let top1 = |top1: f64| Cell::from(number::percent(top1, 2));
        let lost = number::fixed(accuracy.loss_points(), 2);
        table.row(vec![
            "top-1 accuracy under the variant".into(),
            top1(accuracy.top1_exact),
            top1(accuracy.top1),
            format!("{lost} points lost").into(),
        ]);
    }
    if let Some(accuracy) = study.accuracy() {
        let before = accuracy.integer.as_ref().map(|accuracy| accuracy.top1);
        let after = accuracy.variant.as_ref().map(|variant| variant.accuracy.top1);
        if before.is_some() || after.is_some() {
            let cell = |top1: Option<f64>| Cell::from(top1.map(|top1| number::percent(top1, 2)));
            let same_images = |before: &Accuracy| {
                accuracy.variant.as_ref().is_some_and(|variant| variant.accuracy.n_images == before.n_images)
            };
            let comparable = accuracy.integer.as_ref().is_some_and(same_images);
            let points = before.zip(after).filter(|_| comparable).map(|(before, after)| {
                let points = 100.0 * (after - before);
                format!("{}{} points", if points > 0.0 { "+" } else { "" }, number::fixed(points, 2))
            });
            table.row(vec!["top-1 accuracy, integer".into(), cell(before), cell(after), points.into()]);
        }
    }
    if let Some(agreement) = study.agreement() {
        let compared = number::count(agreement.of.unwrap_or(0));
        let verdict = match agreement.n_different() {
            0 if agreement.is_exact() == Some(true) => "none, bit-exact".to_owned(),
            different => format!("{} differ", number::count(different)),
        };
        table.row(vec!["outputs compared".into(), compared.clone().into(), compared.into(), verdict.into()]);
    }
    table
}

/// A reduction as a change: 16.62 becomes `−16.62 %`.
fn change(reduction_percent: f64) -> Cell {
    let sign = if reduction_percent > 0.0 { "−" } else { "+" };
    Cell::Text(format!("{sign}{}\u{a0}%", number::fixed(reduction_percent.abs(), 2)))
}
