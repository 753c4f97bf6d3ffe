//! Everything needed to run the study again.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::number;
use crate::records::InputDigest;
use crate::table::{Cell, Column, Table};

/// Resolved configuration, digests of the inputs, timings.
pub(super) struct ProvenanceSection;

impl Section for ProvenanceSection {
    fn id(&self) -> &'static str {
        "provenance"
    }

    fn title(&self) -> &'static str {
        "Configuration and inputs"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let mut html = format!(
            "<p>skimp {}, seed {}, record schema <code>{}</code>.</p>\n",
            escape(&study.skimp_version),
            study.seed,
            escape(&study.schema)
        );
        html.push_str(&inputs_and_configuration(&study.inputs, &study.config_toml));
        if !study.timings.is_empty() {
            html.push_str(&timings(study).to_html());
        }
        Some(html)
    }
}

/// What was read and the resolved configuration, where there is any.
pub(in crate::html) fn inputs_and_configuration(digests: &[InputDigest], config_toml: &str) -> String {
    let mut html = if digests.is_empty() { String::new() } else { inputs(digests).to_html() };
    if !config_toml.is_empty() {
        html.push_str(&format!(
            "<h3>Resolved configuration</h3>\n<pre tabindex=\"0\"><code>{}</code></pre>\n",
            escape(config_toml)
        ));
    }
    html
}

fn inputs(digests: &[InputDigest]) -> Table {
    let columns = vec![
        Column::text("input", "input"),
        Column::number("size_bytes", "size", "bytes"),
        Column::text("sha256", "SHA-256"),
    ];
    let mut table = Table::new("Inputs that were read", columns);
    for input in digests {
        table.row(vec![input.path.clone().into(), input.size_bytes.into(), input.sha256.clone().into()]);
    }
    table
}

fn timings(study: &StudyRecord) -> Table {
    let columns = vec![Column::text("step", "step"), Column::number("seconds", "wall-clock time", "s")];
    let mut table = Table::new("How long the steps of this run took", columns);
    for timing in &study.timings {
        table.row(vec![timing.step.clone().into(), Cell::Real(timing.seconds, 2)]);
    }
    let total = study.timings.iter().map(|timing| timing.seconds).sum();
    table.footer.push(vec![number_of_steps(study.timings.len()), Cell::Real(total, 2)]);
    table
}

fn number_of_steps(steps: usize) -> Cell {
    Cell::Text(format!("total of {} steps", number::count(steps as u64)))
}
