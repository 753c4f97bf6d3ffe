//! Run time per layer.

use super::Section;
use super::stacks::{Parts, Quantity, change, figure};
use crate::StudyRecord;
use crate::html::escape;
use crate::records::{AcceleratorRecord, LayerRecord};

/// Run time per layer, stacked by phase.
pub(super) struct Runtime;

impl Section for Runtime {
    fn id(&self) -> &'static str {
        "runtime"
    }

    fn title(&self) -> &'static str {
        "Run time per layer"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let quantity = Quantity { id: "runtime-chart", name: "Run time", part: "phase", unit: "s", parts };
        let figure = figure(study, &quantity)?;
        let intro = change(study, "s", |accelerator| accelerator.total.latency_ms * 1e-3)
            .map_or_else(String::new, |change| format!("<p>Whole network, per image: {}.</p>\n", escape(&change)));
        Some(format!("{intro}{figure}"))
    }
}

/// Seconds per image by phase. What a total has beyond its phases is one more phase, `other`.
fn parts(accelerator: &AcceleratorRecord, layer: &LayerRecord) -> Parts {
    let hertz_images = accelerator.clock_mhz * 1e6 * layer.images.max(1) as f64;
    if hertz_images <= 0.0 {
        return (Vec::new(), 0.0);
    }
    let seconds = |cycles: u64| cycles as f64 / hertz_images;
    let named: u64 = layer.cycles.parts.values().sum();
    let mut parts: Vec<_> = layer.cycles.parts.iter().map(|(name, cycles)| (name.clone(), seconds(*cycles))).collect();
    let other = layer.cycles.total.saturating_sub(named);
    // A start-up cycle per image is no phase worth a color.
    if other > layer.images {
        parts.push(("other".to_owned(), seconds(other)));
    }
    (parts, seconds(layer.cycles.total))
}
