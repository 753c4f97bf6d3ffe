//! What others reported.

use super::Section;
use crate::StudyRecord;
use crate::html::notes::noted;
use crate::views::{published_table, words_for_count};

/// Published figures beside ours, with the provenance of each.
pub(super) struct Published;

impl Section for Published {
    fn id(&self) -> &'static str {
        "published"
    }

    fn title(&self) -> &'static str {
        "Published figures beside ours"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        if study.published.is_empty() {
            return None;
        }
        let (beside, alone): (Vec<_>, Vec<_>) =
            study.published.iter().cloned().partition(|figure| figure.ours.is_some());
        let mut html = String::new();
        if !beside.is_empty() {
            html.push_str(&noted(&published_table(&beside), &["source", "remark"]));
            html.push_str(
                "<p class=\"note\">Measured here: counted on real operands in this run. Simulated here: computed by a \
                 model of the accelerator from those counts. Published: taken from the source named.</p>\n",
            );
        }
        if !alone.is_empty() {
            let mut table = published_table(&alone);
            table.caption = "Published of other networks, layers or conditions: nothing here to set beside them".into();
            table.columns.retain(|column| !["ours", "provenance"].contains(&column.key.as_str()));
            for (row, figure) in table.rows.iter_mut().zip(&alone) {
                *row = vec![
                    figure.quantity.clone().into(),
                    figure.published.clone().into(),
                    figure.source.clone().into(),
                    figure.remark.clone().into(),
                ];
            }
            html.push_str(&noted(&table, &["source", "remark"]));
        }
        Some(html)
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let mut parts = Vec::new();
        let beside: Vec<_> = study.published.iter().filter(|figure| figure.ours.is_some()).cloned().collect();
        if !beside.is_empty() {
            let mut table = published_table(&beside);
            // Remarks are sentences: they belong in the report, not in a terminal's columns.
            table.columns.truncate(4);
            parts.push(table.to_text(width));
        }
        let n_alone = (study.published.len() - beside.len()) as u64;
        if n_alone > 0 {
            let figures = words_for_count(n_alone, "published figure");
            parts.push(format!(
                "{figures} of other networks, layers or conditions: in the report, with nothing of ours beside.\n"
            ));
        }
        parts
    }
}
