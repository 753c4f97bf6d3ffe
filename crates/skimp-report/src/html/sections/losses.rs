//! Why the layers of each accelerator lie below the peak rate.

use super::Section;
use crate::StudyRecord;
use crate::html::escape::escape;
use crate::views::layer_why;

/// One table for each accelerator, folded.
pub(super) struct Losses;

impl Section for Losses {
    fn id(&self) -> &'static str {
        "losses"
    }

    fn title(&self) -> &'static str {
        "What each layer loses"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let mut body = String::new();
        for accelerator in &study.simulation()?.accelerators {
            let table = layer_why(accelerator);
            if !table.rows.is_empty() {
                let label = escape(&accelerator.label);
                body.push_str(&format!("<details><summary>{label}</summary>\n{}</details>\n", table.to_html()));
            }
        }
        let intro = "<p>Shares of the slots (cycles times the multiply-accumulates of a cycle at peak rate) without useful \
                     work, and of cycles in other phases, from each layer's own counters.</p>\n";
        (!body.is_empty()).then(|| format!("{intro}{body}"))
    }
}
