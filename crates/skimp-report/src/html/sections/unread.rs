//! Sections of a record that this version does not know: named, never lost in silence.

use super::Section;
use crate::StudyRecord;
use crate::html::escape;
use crate::views::fitted;

/// What cannot be shown.
pub(super) struct Unread;

/// The sections, and why they are not shown.
fn words(study: &StudyRecord) -> Option<String> {
    let names: Vec<String> = study.sections.unread().map(|(name, schema)| format!("{name} ({schema})")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "This version of skimp does not know these sections of the record, which still holds them: {}.",
            names.join(", ")
        )
    })
}

impl Section for Unread {
    fn id(&self) -> &'static str {
        "not-shown"
    }

    fn title(&self) -> &'static str {
        "Not shown"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        words(study).map(|words| format!("<p class=\"note\">{}</p>\n", escape(&words)))
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        words(study).map(|words| fitted(format!("{words}\n"), width)).into_iter().collect()
    }
}
