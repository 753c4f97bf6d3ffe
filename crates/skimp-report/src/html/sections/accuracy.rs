//! What quantization and the headline's design do to the answers.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::number;
use crate::records::{Accuracy, AccuracyRecord, Coverage, FindingRecord};
use crate::table::{Cell, Column, Table};
use crate::views::{left_out_table, words_for_count};

/// Accuracy before and after, and bit-exactness.
pub(super) struct AccuracySection;

impl Section for AccuracySection {
    fn id(&self) -> &'static str {
        "accuracy"
    }

    fn title(&self) -> &'static str {
        "Accuracy before and after"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let agreement = study.agreement().map(|agreement| statement(agreement, study)).unwrap_or_default();
        let table = study.accuracy().map(accuracy_table).filter(|table| !table.rows.is_empty());
        let floats = study.accuracy().and_then(|accuracy| accuracy.in_integers.as_ref()).map(in_integers);
        let table = table.map(|table| table.to_html()).unwrap_or_default();
        let html = format!("{agreement}{table}{}", floats.unwrap_or_default());
        (!html.is_empty()).then_some(html)
    }
}

fn statement(agreement: &FindingRecord, study: &StudyRecord) -> String {
    let compared = words_for_count(agreement.of.unwrap_or(0), "output");
    let pair = study
        .comparisons()
        .first()
        .map_or_else(String::new, |comparison| format!(" of {} and {}", comparison.baseline, comparison.variant));
    if agreement.is_exact() == Some(true) {
        format!(
            "<p><strong class=\"verdict\">Bit-exact.</strong> All {} after ReLU{} were compared, over all layers and \
             {}: none differs in any bit.</p>\n",
            escape(&compared),
            escape(&pair),
            words_for_count(study.n_images, "image")
        )
    } else {
        format!(
            "<p><strong class=\"verdict bad\">Not exact.</strong> {} of {}{} differ.</p>\n",
            number::count(agreement.n_different()),
            escape(&compared),
            escape(&pair)
        )
    }
}

/// How much of the integer network ran in integers.
fn in_integers(coverage: &Coverage) -> String {
    let sentence = format!("In the integer network, {}.", coverage.sentence("integer arithmetic"));
    let rest = match coverage.is_whole() {
        true => String::new(),
        false => left_out_table(coverage, "that ran in 32-bit floating point").to_html(),
    };
    format!("<p class=\"note\">{}</p>\n{rest}", escape(&sentence))
}

fn accuracy_table(record: &AccuracyRecord) -> Table {
    let columns = vec![
        Column::text("arithmetic", "arithmetic"),
        Column::number("top1_percent", "top-1", "%"),
        Column::number("top5_percent", "top-5", "%"),
        Column::number("n_images", "images", ""),
        Column::text("basis", "how it is known"),
    ];
    let mut table = Table::new("Accuracy", columns);
    let known = "measured";
    let variant = record.variant.as_ref();
    let variant = variant.map(|variant| (format!("integer, {}", variant.label), &variant.accuracy, &*variant.basis));
    let rows: [Option<(String, &Accuracy, &str)>; 3] = [
        record.fp32.as_ref().map(|accuracy| ("fp32 (before)".to_owned(), accuracy, known)),
        record.integer.as_ref().map(|accuracy| ("integer".to_owned(), accuracy, known)),
        variant,
    ];
    for (name, accuracy, basis) in rows.into_iter().flatten() {
        table.row(vec![
            name.into(),
            Cell::Real(100.0 * accuracy.top1, 2),
            Cell::real(accuracy.top5.map(|top5| 100.0 * top5), 2),
            accuracy.n_images.into(),
            basis.into(),
        ]);
    }
    table
}
