//! Tables of a [`SimulationRecord`].

use indexmap::IndexSet;

use super::chips::{attribution_table, chips_table};
use super::findings::{findings_table, state_keys, state_word, value_cell, value_columns};
use super::{accuracy_cells, other_layers_note, other_layers_table};
use crate::records::{AcceleratorRecord, Breakdown, Coverage, LayerRecord, LeftOut, SimulationRecord, scope_words};
use crate::table::{Cell, Column, Table, wrapped};
use crate::{ReportError, number::Scale};

/// The names of all parts of the layers' breakdowns, in order of first appearance.
pub(crate) fn part_names<'a, T: 'a>(breakdowns: impl IntoIterator<Item = &'a Breakdown<T>>) -> Vec<String> {
    let names: IndexSet<&String> = breakdowns.into_iter().flat_map(|breakdown| breakdown.parts.keys()).collect();
    names.into_iter().cloned().collect()
}

/// `run_pu` as words for people: `run pu`.
pub(crate) fn words(key: &str) -> String {
    key.replace('_', " ")
}

/// Images that the sums of an accelerator cover.
fn images_of(accelerator: &AcceleratorRecord) -> u64 {
    accelerator.layers.iter().map(|layer| layer.images).max().unwrap_or(1).max(1)
}

/// Cycles of one image per layer by phase of one accelerator, with totals. Phases that never took a cycle are left out.
pub fn layer_cycles(accelerator: &AcceleratorRecord) -> Table {
    let mut phases = part_names(accelerator.layers.iter().map(|layer| &layer.cycles));
    phases.retain(|phase| accelerator.layers.iter().any(|layer| layer.cycles.part(phase) > 0));
    let states = state_keys(&accelerator.layers);
    let mut columns = vec![Column::text("layer", "layer")];
    columns.extend(states.iter().map(|key| Column::text(key.as_str(), words(key))));
    columns.push(Column::number("macs", "MACs", "per image"));
    columns.push(Column::number("cycles_total", "total", "cycles per image"));
    columns.extend(phases.iter().map(|phase| Column::number(format!("cycles_{phase}"), words(phase), "cycles")));
    let mut table = Table::new(format!("{}: cycles per image by layer and phase", accelerator.label), columns);
    let images = images_of(accelerator);
    let per_image = |cycles: u64| match images {
        1 => Cell::Count(cycles),
        images => Cell::Real(cycles as f64 / images as f64, 0),
    };
    for layer in &accelerator.layers {
        let mut row = vec![layer.name.clone().into()];
        row.extend(states.iter().map(|key| state_word(layer, key)));
        row.push(layer.macs.into());
        row.push(per_image(layer.cycles.total));
        row.extend(phases.iter().map(|phase| per_image(layer.cycles.part(phase))));
        table.row(row);
    }
    let sum = |of: &dyn Fn(&LayerRecord) -> u64| accelerator.layers.iter().map(of).sum::<u64>();
    let macs = sum(&|layer| layer.macs);
    let mut total = vec!["total".into()];
    total.extend(states.iter().map(|_| Cell::Empty));
    total.push(macs.into());
    total.push(per_image(accelerator.total.cycles));
    total.extend(phases.iter().map(|phase| per_image(sum(&|layer| layer.cycles.part(phase)))));
    table.footer.push(total);
    table
}

/// Energy of one image per layer by component of one accelerator, with totals. Components that never took energy are
/// left out.
pub fn layer_energy(accelerator: &AcceleratorRecord) -> Table {
    let mut components = part_names(accelerator.layers.iter().map(|layer| &layer.energy_nj));
    components.retain(|component| accelerator.layers.iter().any(|layer| layer.energy_nj.part(component).abs() > 0.0));
    let largest = accelerator.layers.iter().map(|layer| layer.energy_nj.total).fold(0.0, f64::max);
    let images = images_of(accelerator) as f64;
    let scale = Scale::of(largest / images * 1e-9, "J");
    let cell = |nanojoules: f64| Cell::Real(nanojoules / images * 1e-9 * scale.factor, 3);
    let states = state_keys(&accelerator.layers);
    let mut columns = vec![Column::text("layer", "layer")];
    columns.extend(states.iter().map(|key| Column::text(key.as_str(), words(key))));
    columns.push(Column::number("energy_total", "total", &scale.unit));
    let component_column = |name: &String| Column::number(format!("energy_{name}"), words(name), &scale.unit);
    columns.extend(components.iter().map(component_column));
    let mut table = Table::new(format!("{}: energy per image by layer and component", accelerator.label), columns);
    for layer in &accelerator.layers {
        let mut row = vec![layer.name.clone().into()];
        row.extend(states.iter().map(|key| state_word(layer, key)));
        row.push(cell(layer.energy_nj.total));
        row.extend(components.iter().map(|component| cell(layer.energy_nj.part(component))));
        table.row(row);
    }
    let sum = |of: &dyn Fn(&LayerRecord) -> f64| cell(accelerator.layers.iter().map(of).sum());
    let mut total = vec!["total".into()];
    total.extend(states.iter().map(|_| Cell::Empty));
    total.push(cell(accelerator.total.energy_mj * 1e6));
    total.extend(components.iter().map(|component| sum(&|layer| layer.energy_nj.part(component))));
    table.footer.push(total);
    table
}

/// Why each layer of one accelerator took longer than its multiply-accumulates at peak rate; layers without a loss are
/// left out.
pub fn layer_why(accelerator: &AcceleratorRecord) -> Table {
    let columns = vec![Column::text("layer", "layer"), Column::text("why", "why")];
    let mut table = Table::new(format!("{}: what each layer loses", accelerator.label), columns);
    for layer in accelerator.layers.iter().filter(|layer| !layer.why.is_empty()) {
        table.row(vec![layer.name.clone().into(), layer.why.join("; ").into()]);
    }
    table
}

/// One row per accelerator: the whole network, per image.
///
/// Accuracy stands in it only if one of the accelerators changes values. Energies compare where `priced by` is the same.
pub fn totals_table(simulation: &SimulationRecord) -> Table {
    let approximate =
        simulation.accelerators.iter().any(|accelerator| accelerator.approximate || accelerator.accuracy.is_some());
    let mut columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::number("clock_mhz", "clock", "MHz"),
        Column::number("area_mm2", "area", "mm²"),
        Column::number("cycles_per_image", "cycles", "per image"),
        Column::number("latency_ms", "latency", "ms per image"),
        Column::number("energy_per_image_mj", "energy", "mJ per image"),
        Column::number("gmacs_per_s", "rate", "GMAC/s"),
        Column::number("tops_per_w", "efficiency", "TOPS/W"),
        Column::text("costs", "priced by"),
        Column::number("simulated_percent", "simulated", "% of MACs"),
    ];
    if approximate {
        columns.push(Column::number("top1_percent", "top-1", "%"));
        columns.push(Column::number("top1_exact_percent", "top-1, exact", "%"));
        columns.push(Column::number("accuracy_images", "judged by", "images"));
        columns.push(Column::text("verdict", "what it saves"));
    }
    let accelerators = words_for_count(simulation.accelerators.len() as u64, "accelerator");
    let images = words_for_count(simulation.images, "image");
    let caption = if simulation.data.is_none() {
        format!("{} on {accelerators}, shapes only, simulated", simulation.model.name)
    } else {
        format!("{} on {accelerators}, {images} of {}, simulated", simulation.model.name, simulation.data.name)
    };
    let mut table = Table::new(caption, columns);
    let images = simulation.images.max(1) as f64;
    for accelerator in &simulation.accelerators {
        let total = &accelerator.total;
        let mut row = vec![
            accelerator.label.clone().into(),
            Cell::Real(accelerator.clock_mhz, 0),
            Cell::real(accelerator.area_mm2, 2),
            Cell::Real(total.cycles as f64 / images, 0),
            Cell::Real(total.latency_ms, 3),
            Cell::Real(total.energy_mj / images, 3),
            Cell::Real(total.gmacs_per_s, 1),
            Cell::Real(total.tops_per_w, 3),
            accelerator.costs.clone().into(),
            simulation.simulated.as_ref().map(Coverage::percent_text).map_or(Cell::Empty, Cell::Text),
        ];
        if approximate {
            row.extend(accuracy_cells(accelerator.accuracy.as_ref()));
            row.push(accelerator.void(simulation.allowed_loss_points).into());
        }
        table.row(row);
    }
    table
}

/// How each layer was laid out on one accelerator, in the design's own terms; layers without a mapping are left out.
pub fn layer_mapping(accelerator: &AcceleratorRecord) -> Table {
    let names: IndexSet<&String> = accelerator.layers.iter().flat_map(|layer| layer.mapping.keys()).collect();
    let mut columns = vec![Column::text("layer", "layer")];
    columns.extend(names.iter().map(|name| Column::number(name.as_str(), words(name), "")));
    let mut table = Table::new(format!("{}: mapping of each layer", accelerator.label), columns);
    for layer in accelerator.layers.iter().filter(|layer| !layer.mapping.is_empty()) {
        let numbers = names.iter().map(|name| Cell::from(layer.mapping.get(*name).copied()));
        table.row(std::iter::once(layer.name.clone().into()).chain(numbers).collect());
    }
    table
}

/// The layers that a run leaves out, with their work and the reason.
pub fn left_out_table(coverage: &Coverage, what: &str) -> Table {
    let columns = vec![
        Column::text("layer", "layer"),
        Column::text("operator", "operator"),
        Column::number("macs", "MACs", "per image"),
        Column::text("reason", "reason"),
    ];
    let mut table = Table::new(format!("Layers {what}"), columns);
    for layer in &coverage.left_out {
        let LeftOut { name, operator, macs, reason } = layer;
        table.row(vec![name.clone().into(), operator.clone().into(), (*macs).into(), reason.clone().into()]);
    }
    table
}

/// The mappings of a simulation for a terminal of `width` columns: those of each accelerator that has some.
pub fn mapping_text(simulation: &SimulationRecord, width: Option<usize>) -> String {
    let tables = simulation.accelerators.iter().map(layer_mapping).filter(|table| !table.rows.is_empty());
    tables.map(|table| table.to_text(width)).collect::<Vec<_>>().join("\n")
}

/// What the totals of a simulation cover, what they leave out, and what to know before believing them.
pub(crate) fn coverage_text(simulation: &SimulationRecord, width: Option<usize>) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(simulated) = &simulation.simulated {
        if !simulated.is_whole() {
            parts.push(left_out_table(simulated, "not simulated").to_text(width));
        }
        parts.push(fitted(format!("{}\n", simulated.sentence("simulated")), width));
    }
    if !simulation.other_layers.is_empty() {
        parts.push(fitted(other_layers_note(simulation), width));
    }
    parts.extend(simulation.warnings.iter().map(|warning| fitted(format!("warning: {warning}\n"), width)));
    parts
}

/// What the energies cover: for each table and set of scopes, the designs that it prices and what it leaves out. Empty for
/// records that do not say it; ends with a newline.
pub fn energy_note(simulation: &SimulationRecord) -> String {
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for accelerator in &simulation.accelerators {
        let Some(energy) = &accelerator.energy else { continue };
        let mut kind =
            format!("{}, {} nm; priced: {}", accelerator.costs, energy.technology_nm, scope_words(&energy.priced));
        if !energy.left_out.is_empty() {
            kind.push_str(&format!("; not priced: {}", scope_words(&energy.left_out)));
        }
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, labels)) => labels.push(&accelerator.label),
            None => kinds.push((kind, vec![&accelerator.label])),
        }
    }
    match &kinds[..] {
        [] => String::new(),
        [(kind, _)] => format!("Energy: {kind}.\n"),
        several => several.iter().map(|(kind, labels)| format!("Energy of {}: {kind}.\n", labels.join(", "))).collect(),
    }
}

/// [`energy_note`] for a terminal, in lines of at most `width` characters.
pub(crate) fn energy_text(simulation: &SimulationRecord, width: Option<usize>) -> String {
    fitted(energy_note(simulation), width)
}

/// Lines of words within `width` columns.
pub(crate) fn fitted(text: String, width: Option<usize>) -> String {
    match width {
        None => text,
        Some(width) => text.lines().flat_map(|line| wrapped(line, width)).map(|line| line + "\n").collect(),
    }
}

/// `1 image`, `4 images`.
pub(crate) fn words_for_count(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", crate::number::count(count), if count == 1 { "" } else { "s" })
}

/// All tables of a simulation for a terminal of `width` columns: cycles and energy per layer of each accelerator, then
/// the totals.
pub fn simulation_text(simulation: &SimulationRecord, width: Option<usize>) -> String {
    let mut tables = Vec::new();
    for accelerator in &simulation.accelerators {
        tables.push(layer_cycles(accelerator).to_text(width));
        if accelerator.layers.iter().any(|layer| layer.energy_nj.total > 0.0) {
            tables.push(layer_energy(accelerator).to_text(width));
        }
        let more = [layer_why(accelerator), findings_table(accelerator)];
        let parts = accelerator.chips.as_ref().map(|chips| attribution_table(&accelerator.label, chips));
        let more = more.iter().chain(&parts);
        tables.extend(more.filter(|table| !table.rows.is_empty()).map(|table| table.to_text(width)));
    }
    let chips = chips_table(simulation);
    if !chips.rows.is_empty() {
        tables.push(chips.to_text(width));
    }
    tables.push(totals_table(simulation).to_text(width) + &energy_text(simulation, width));
    if !simulation.other_layers.is_empty() {
        tables.push(other_layers_table(simulation).to_text(width));
    }
    tables.extend(coverage_text(simulation, width));
    tables.join("\n")
}

/// A simulation as one CSV: a row per accelerator and layer with all phases, components and events.
///
/// # Errors
/// [`ReportError::Encode`] if the CSV writer fails.
pub fn simulation_csv(simulation: &SimulationRecord) -> Result<String, ReportError> {
    let [mut table, energy] = [cycles_table(simulation), energy_table(simulation)];
    let (events, found) = (event_names(simulation), value_columns(simulation));
    let shared = layer_columns(&all_states(simulation)).len();
    table.columns.extend_from_slice(&energy.columns[shared..]);
    table.columns.extend(events.iter().map(|event| Column::number(format!("events_{event}"), words(event), "")));
    table.columns.extend(found.iter().map(|(_, column)| column.clone()));
    let layers = simulation.accelerators.iter().flat_map(|accelerator| &accelerator.layers);
    for ((row, energy), layer) in table.rows.iter_mut().zip(&energy.rows).zip(layers) {
        row.extend_from_slice(&energy[shared..]);
        row.extend(events.iter().map(|event| Cell::from(layer.events.get(event).copied())));
        row.extend(found.iter().map(|(key, _)| value_cell(layer, key)));
    }
    table.to_csv()
}

fn event_names(simulation: &SimulationRecord) -> Vec<String> {
    let layers = simulation.accelerators.iter().flat_map(|accelerator| &accelerator.layers);
    let names: IndexSet<&String> = layers.flat_map(|layer| layer.events.keys()).collect();
    names.into_iter().cloned().collect()
}

/// The states that any design of a simulation has.
fn all_states(simulation: &SimulationRecord) -> Vec<String> {
    state_keys(simulation.accelerators.iter().flat_map(|accelerator| &accelerator.layers))
}

/// The columns with which rows per accelerator and layer begin.
fn layer_columns(states: &[String]) -> Vec<Column> {
    let text = |key: &str| Column::text(key, key);
    let mut columns = ["accelerator", "layer", "operator"].map(text).to_vec();
    columns.extend(["macs", "images"].map(|key| Column::number(key, key, "")));
    columns.extend(states.iter().map(|key| text(key)));
    columns
}

fn layer_cells(accelerator: &AcceleratorRecord, layer: &LayerRecord, states: &[String]) -> Vec<Cell> {
    let mut cells = vec![
        accelerator.label.clone().into(),
        layer.name.clone().into(),
        layer.operator.clone().into(),
        // A sum like all that follows it.
        layer.macs.saturating_mul(layer.images).into(),
        layer.images.into(),
    ];
    cells.extend(states.iter().map(|key| state_word(layer, key)));
    cells
}

/// Cycles by phase, a row per accelerator and layer. A phase that an accelerator does not have is empty.
pub fn cycles_table(simulation: &SimulationRecord) -> Table {
    let layers = || simulation.accelerators.iter().flat_map(|accelerator| &accelerator.layers);
    let phases = part_names(layers().map(|layer| &layer.cycles));
    let states = all_states(simulation);
    let mut columns = layer_columns(&states);
    columns.push(Column::number("cycles_total", "total", "cycles"));
    columns.extend(phases.iter().map(|phase| Column::number(format!("cycles_{phase}"), words(phase), "cycles")));
    let mut table = Table::new("Cycles by phase, sum over all images", columns);
    for accelerator in &simulation.accelerators {
        for layer in &accelerator.layers {
            let mut row = layer_cells(accelerator, layer, &states);
            row.push(layer.cycles.total.into());
            row.extend(phases.iter().map(|phase| Cell::from(layer.cycles.parts.get(phase).copied())));
            table.row(row);
        }
    }
    table
}

/// Energy by component, a row per accelerator and layer. A component that an accelerator does not have is empty.
pub fn energy_table(simulation: &SimulationRecord) -> Table {
    let layers = || simulation.accelerators.iter().flat_map(|accelerator| &accelerator.layers);
    let components = part_names(layers().map(|layer| &layer.energy_nj));
    let states = all_states(simulation);
    let mut columns = layer_columns(&states);
    columns.push(Column::number("energy_total_nj", "total", "nJ"));
    columns.extend(components.iter().map(|name| Column::number(format!("energy_{name}_nj"), words(name), "nJ")));
    let mut table = Table::new("Energy by component, sum over all images", columns);
    for accelerator in &simulation.accelerators {
        for layer in &accelerator.layers {
            let mut row = layer_cells(accelerator, layer, &states);
            row.push(Cell::Real(layer.energy_nj.total, 3));
            row.extend(components.iter().map(|name| Cell::real(layer.energy_nj.parts.get(name).copied(), 3)));
            table.row(row);
        }
    }
    table
}

/// Counted events, a row per accelerator, layer and event.
pub fn events_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::text("layer", "layer"),
        Column::text("event", "event"),
        Column::number("count", "count", ""),
    ];
    let mut table = Table::new("Events, sum over all images", columns);
    for accelerator in &simulation.accelerators {
        for layer in &accelerator.layers {
            for (event, count) in &layer.events {
                table.row(vec![
                    accelerator.label.clone().into(),
                    layer.name.clone().into(),
                    event.clone().into(),
                    (*count).into(),
                ]);
            }
        }
    }
    table
}
