//! Energy per layer.

use indexmap::IndexMap;

use super::Section;
use super::stacks::{Parts, Quantity, change, figure};
use crate::StudyRecord;
use crate::html::escape;
use crate::records::{AcceleratorRecord, LayerRecord};

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
        let intro = change(study, "J", per_image).map_or_else(String::new, |change| {
            format!("<p>Whole network, per image: {}. Hatched: static energy.</p>\n", escape(&change))
        });
        Some(format!("{intro}{}{figure}", warning(&study.simulation.as_ref()?.accelerators)))
    }
}

/// Which cost table prices which designs, where there are several.
fn warning(accelerators: &[AcceleratorRecord]) -> String {
    let mut designs: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for accelerator in accelerators {
        designs.entry(&accelerator.costs).or_default().push(&accelerator.label);
    }
    if designs.len() < 2 {
        return String::new();
    }
    let list: Vec<_> = designs.iter().map(|(costs, labels)| format!("{costs}: {}", labels.join(", "))).collect();
    let list = escape(&list.join("; "));
    format!("<p class=\"note\">Energies compare only among designs priced by one cost table. {list}.</p>\n")
}

/// Joules per image by component.
fn parts(_: &AcceleratorRecord, layer: &LayerRecord) -> Parts {
    let scale = 1e-9 / layer.images.max(1) as f64;
    let parts = layer.energy_nj.parts.iter().map(|(name, energy)| (name.clone(), energy * scale)).collect();
    (parts, layer.energy_nj.total * scale)
}
