//! The layers of a simulation that have no matrix of weights.

use super::words_for_count;
use crate::number;
use crate::records::{OtherLayerRecord, SimulationRecord};
use crate::table::{Cell, Column, Table};

/// The layers without a matrix of weights: what they compute, read and write for one image, and which designs model them.
pub fn other_layers_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("layer", "layer"),
        Column::text("operator", "operator"),
        Column::text("kind", "kind"),
        Column::text("work", "work per image"),
        Column::number("read_bytes", "read", "bytes"),
        Column::number("written_bytes", "written", "bytes"),
        Column::text("modelled_by", "modelled by"),
    ];
    let mut table = Table::new("Layers without weights, per image", columns);
    for layer in &simulation.other_layers {
        let work: Vec<String> =
            layer.work.iter().map(|(what, count)| format!("{} {what}", number::count(*count))).collect();
        let models = |label: &&str| !layer.not_modelled_by.iter().any(|other| other == label);
        let labels = simulation.accelerators.iter().map(|accelerator| accelerator.label.as_str());
        let modelled_by: Vec<&str> = labels.filter(models).collect();
        table.row(vec![
            layer.name.clone().into(),
            layer.operator.clone().into(),
            layer.kind.clone().into(),
            work.join(", ").into(),
            layer.read_bytes.into(),
            layer.written_bytes.into(),
            if modelled_by.is_empty() { "none".into() } else { modelled_by.join(", ").into() },
        ]);
    }
    let sum = |of: fn(&OtherLayerRecord) -> u64| simulation.other_layers.iter().map(of).fold(0, u64::saturating_add);
    let (read, written) = (sum(|layer| layer.read_bytes), sum(|layer| layer.written_bytes));
    let empty = || Cell::Empty;
    table.footer.push(vec!["total".into(), empty(), empty(), empty(), read.into(), written.into(), empty()]);
    table
}

/// Which designs do not model layers without weights, in one sentence that ends with a newline; empty where all model all
/// of them.
pub fn other_layers_note(simulation: &SimulationRecord) -> String {
    let lacking = |label: &str| {
        let lacks = |layer: &&OtherLayerRecord| layer.not_modelled_by.iter().any(|other| other == label);
        simulation.other_layers.iter().filter(lacks).count()
    };
    let mut kinds: Vec<(usize, Vec<&str>)> = Vec::new();
    for accelerator in &simulation.accelerators {
        let label = accelerator.label.as_str();
        match (lacking(label), kinds.iter_mut().find(|(n, _)| *n == lacking(label))) {
            (0, _) => {}
            (_, Some((_, labels))) => labels.push(label),
            (n, None) => kinds.push((n, vec![label])),
        }
    }
    let sentence = |(n, labels): &(usize, Vec<&str>)| {
        let layers = words_for_count(*n as u64, "layer");
        format!(
            "Not modelled by {}: {layers} without weights, traffic only, in no cycles and no energies.\n",
            labels.join(", ")
        )
    };
    kinds.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{AcceleratorRecord, OperandRecord};

    fn simulation() -> SimulationRecord {
        let design = |label: &str| AcceleratorRecord { label: label.to_owned(), ..AcceleratorRecord::default() };
        let layer = |name: &str, not_modelled_by: &[&str]| OtherLayerRecord {
            name: name.to_owned(),
            operator: "MaxPool".to_owned(),
            kind: "pool".to_owned(),
            work: [("comparisons".to_owned(), 3072)].into_iter().collect(),
            reads: vec![OperandRecord { elements: 4096, bits: 8 }],
            writes: vec![OperandRecord { elements: 1024, bits: 8 }],
            read_bytes: 4096,
            written_bytes: 1024,
            not_modelled_by: not_modelled_by.iter().map(|&label| label.to_owned()).collect(),
            ..OtherLayerRecord::default()
        };
        SimulationRecord {
            accelerators: vec![design("a"), design("b"), design("c")],
            other_layers: vec![layer("pool1", &["a", "c"]), layer("pool2", &["a", "b", "c"])],
            ..SimulationRecord::default()
        }
    }

    #[test]
    fn designs_say_what_they_do_not_model() {
        let text = other_layers_table(&simulation()).to_text(None);
        for expected in ["3,072 comparisons", "pool1", "8,192", "2,048", "none"] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let rows = other_layers_table(&simulation()).rows;
        assert_eq!((&rows[0][6], &rows[1][6]), (&"b".into(), &"none".into()));
        assert_eq!(
            other_layers_note(&simulation()),
            "Not modelled by a, c: 2 layers without weights, traffic only, in no cycles and no energies.\n\
             Not modelled by b: 1 layer without weights, traffic only, in no cycles and no energies.\n"
        );
        assert!(other_layers_note(&SimulationRecord::default()).is_empty());
    }
}
