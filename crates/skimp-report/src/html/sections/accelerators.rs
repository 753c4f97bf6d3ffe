//! The accelerators side by side.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::html::notes::noted;
use crate::views::{
    comparison_table, energy_note, facts_table, figures_table, left_out_table, other_layers_note, other_layers_table,
    totals_table,
};

/// Text as a sentence begins.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Totals, savings and peak figures of all accelerators.
pub(super) struct Accelerators;

impl Section for Accelerators {
    fn id(&self) -> &'static str {
        "accelerators"
    }

    fn title(&self) -> &'static str {
        "Accelerators compared"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let mut html = String::new();
        if let Some(simulation) = study.simulation.as_ref().filter(|simulation| !simulation.accelerators.is_empty()) {
            html.push_str(&totals_table(simulation).to_html());
            let facts = facts_table(simulation);
            if !facts.rows.is_empty() {
                html.push_str(&facts.to_html());
            }
            html.push_str(&format!("<p class=\"note\">{}</p>\n", escape(&energy_note(simulation))));
            if let Some(simulated) = &simulation.simulated {
                html.push_str(&format!(
                    "<p class=\"note\">{}.</p>\n",
                    escape(&capital(&simulated.sentence("simulated")))
                ));
                if !simulated.is_whole() {
                    html.push_str(&left_out_table(simulated, "not simulated").to_html());
                }
            }
            if !simulation.other_layers.is_empty() {
                html.push_str(&other_layers_table(simulation).to_html());
                html.push_str(&format!("<p class=\"note\">{}</p>\n", escape(&other_layers_note(simulation))));
            }
            for warning in &simulation.warnings {
                html.push_str(&format!("<p class=\"note\"><strong>Warning:</strong> {}.</p>\n", escape(warning)));
            }
        }
        if !study.comparisons.is_empty() {
            html.push_str(&comparison_table(&study.comparisons).to_html());
            html.push_str(
                "<p class=\"note\">“Total” compares the sums over all layers. “Mean of layers” is the unweighted mean \
                 of each layer's own saving, so that a small layer counts as much as a large one.</p>\n",
            );
        }
        if !study.accelerator_figures.is_empty() {
            html.push_str(&noted(&figures_table(&study.accelerator_figures), &["source"]));
            html.push_str(
                "<p class=\"note\">Peak figures count no skipped work. Figures of different technology nodes are not \
                 scaled to a common node.</p>\n",
            );
        }
        (!html.is_empty()).then_some(html)
    }
}
