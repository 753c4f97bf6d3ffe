//! The accelerators side by side.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::html::notes::noted;
use crate::records::SimulationRecord;
use crate::table::Table;
use crate::views::{
    attribution_table, chips_table, comparison_table, coverage_text, cycles_table, distributions_table, energy_note,
    energy_table, energy_text, events_table, facts_table, figures_table, layer_findings_table, left_out_table,
    other_layers_note, other_layers_table, totals_table,
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
        if let Some(simulation) = study.simulation().filter(|simulation| !simulation.accelerators.is_empty()) {
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
            let chips = chips_table(simulation);
            if !chips.rows.is_empty() {
                html.push_str(&chips.to_html());
            }
            for accelerator in &simulation.accelerators {
                if let Some(chips) = accelerator.chips.as_ref().filter(|chips| !chips.attribution.is_empty()) {
                    html.push_str(&attribution_table(&accelerator.label, chips).to_html());
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
        if !study.comparisons().is_empty() {
            html.push_str(&comparison_table(study.comparisons()).to_html());
            html.push_str(
                "<p class=\"note\">“Total” compares the sums over all layers. “Mean of layers” is the unweighted mean \
                 of each layer's own saving, so that a small layer counts as much as a large one.</p>\n",
            );
        }
        if !study.accelerator_figures().is_empty() {
            html.push_str(&noted(&figures_table(study.accelerator_figures()), &["source"]));
            html.push_str(
                "<p class=\"note\">Peak figures count no skipped work. Figures of different technology nodes are not \
                 scaled to a common node.</p>\n",
            );
        }
        (!html.is_empty()).then_some(html)
    }

    fn facts(&self, study: &StudyRecord) -> Vec<(&'static str, String)> {
        let widths = |of: &SimulationRecord| {
            ("weights × activations", format!("{} × {} bits", of.weight_bits, of.activation_bits))
        };
        study.simulation().map(widths).into_iter().collect()
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let mut parts = Vec::new();
        if !study.comparisons().is_empty() {
            parts.push(comparison_table(study.comparisons()).to_text(width));
        }
        if let Some(simulation) = study.simulation() {
            parts.push(totals_table(simulation).to_text(width));
            parts.push(energy_text(simulation, width));
            parts.extend(coverage_text(simulation, width));
        }
        if !study.accelerator_figures().is_empty() {
            parts.push(figures_table(study.accelerator_figures()).to_text(width));
        }
        parts
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["cycles.csv", "energy.csv", "events.csv", "findings.csv", "distributions.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        let tables = [cycles_table, energy_table, events_table, layer_findings_table, distributions_table];
        study.simulation().map_or_else(Vec::new, |simulation| tables.map(|table| table(simulation)).to_vec())
    }
}
