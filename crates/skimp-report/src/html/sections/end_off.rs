//! Where early negative detection would be wrong or useless.

use super::Section;
use crate::StudyRecord;
use crate::table::{Column, Table};

/// Layers without early negative detection and the reason.
pub(super) struct EndOff;

impl Section for EndOff {
    fn id(&self) -> &'static str {
        "end-off"
    }

    fn title(&self) -> &'static str {
        "Layers without early negative detection"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        if !study.ran_early_negative_detection() {
            return None;
        }
        let off: Vec<_> = study.layers.iter().filter(|layer| !layer.end.enabled).collect();
        if off.is_empty() {
            return Some("<p>None: it is valid in every layer.</p>\n".to_owned());
        }
        let columns = vec![
            Column::text("layer", "layer"),
            Column::text("operator", "operator"),
            Column::number("macs", "MACs", "per image"),
            Column::text("reason", "reason"),
        ];
        let caption = format!("{} of {} layers run without early negative detection", off.len(), study.layers.len());
        let mut table = Table::new(caption, columns);
        for layer in off {
            table.row(vec![
                layer.name.clone().into(),
                layer.operator.clone().into(),
                layer.macs.into(),
                layer.end.reason.clone().into(),
            ]);
        }
        Some(table.to_html())
    }
}
