//! Energy per layer.

use super::Section;
use super::stacks::{Parts, Quantity, change, figure};
use crate::StudyRecord;
use crate::html::escape;
use crate::records::{AcceleratorRecord, LayerRecord};
use crate::views::energy_note;

/// Energy per layer, stacked by component.
pub(super) struct Energy;

impl Section for Energy {
    fn id(&self) -> &'static str {
        "energy"
    }

    fn title(&self) -> &'static str {
        "Energy per layer"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let quantity = Quantity { id: "energy-chart", name: "Energy", part: "component", unit: "J", parts };
        let figure = figure(study, &quantity)?;
        // Per image, as the chart: records hold sums over images.
        let per_image = |accelerator: &AcceleratorRecord| {
            let images = accelerator.layers.iter().map(|layer| layer.images).max().unwrap_or(1).max(1);
            accelerator.total.energy_mj * 1e-3 / images as f64
        };
        let change = study.comparisons().first().filter(|first| first.energy_differs.is_none()).and_then(|first| {
            let void = first.void.as_ref().map_or_else(String::new, |void| format!(" ({void})"));
            Some(change(study, "J", per_image)? + &void)
        });
        let intro = change.map_or_else(String::new, |change| {
            format!("<p>Whole network, per image: {}. Hatched: static energy.</p>\n", escape(&change))
        });
        let covered = escape(&energy_note(study.simulation()?));
        let compare = "Energies compare only where table, node and the scopes left out are the same.";
        Some(format!("{intro}<p class=\"note\">{compare} {covered}</p>\n{figure}"))
    }
}

/// Joules per image by component.
fn parts(_: &AcceleratorRecord, layer: &LayerRecord) -> Parts {
    let scale = 1e-9 / layer.images.max(1) as f64;
    let parts = layer.energy_nj.parts.iter().map(|(name, energy)| (name.clone(), energy * scale)).collect();
    (parts, layer.energy_nj.total * scale)
}
