//! What others reported.

use super::Section;
use crate::StudyRecord;
use crate::views::published_table;

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
        Some(format!(
            "{}<p class=\"note\">Measured here: counted on real operands in this run. Simulated here: computed by a \
             model of the accelerator from those counts. Published: taken from the source named.</p>\n",
            published_table(&study.published).to_html()
        ))
    }
}
