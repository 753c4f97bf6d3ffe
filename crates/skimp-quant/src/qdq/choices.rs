//! Layers that are quantized in another way than the rest.

use std::collections::BTreeSet;

use skimp_graph::Graph;

use super::QdqConfig;
use crate::QuantError;

/// What single nodes ask for; a `*` at the end of a name stands for any ending. The last entry that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerChoices {
    /// Nodes that stay in floating point.
    pub keep_float: Vec<String>,
    /// Layers whose weights have another width, 2 to 8 bits.
    pub layer_weight_bits: Vec<(String, u32)>,
}

/// Whether `pattern` stands for `name`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

impl LayerChoices {
    /// Whether the node called `name` stays in floating point.
    pub(super) fn is_float(&self, name: &str) -> bool {
        self.keep_float.iter().any(|pattern| fits(pattern, name))
    }

    /// The settings of the layer called `name`.
    pub(super) fn config(&self, config: &QdqConfig, name: &str) -> QdqConfig {
        let chosen = self.layer_weight_bits.iter().rev().find(|(pattern, _)| fits(pattern, name));
        QdqConfig { weight_bits: chosen.map_or(config.weight_bits, |(_, bits)| *bits), ..*config }
    }

    /// Refuses widths out of range and names that no node of `graph` has; widths are for `layers` alone.
    pub(super) fn check(&self, graph: &Graph, layers: &BTreeSet<&str>) -> Result<(), QuantError> {
        let nodes: BTreeSet<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
        let unknown = |pattern: &str, known: &BTreeSet<&str>| QuantError::UnknownLayer {
            name: pattern.to_owned(),
            known: known.iter().copied().collect::<Vec<_>>().join(", "),
        };
        for pattern in &self.keep_float {
            if !nodes.iter().any(|name| fits(pattern, name)) {
                return Err(unknown(pattern, layers));
            }
        }
        for (pattern, bits) in &self.layer_weight_bits {
            if !layers.iter().any(|name| fits(pattern, name)) {
                return Err(unknown(pattern, layers));
            }
            if !(2..=8).contains(bits) {
                let found = format!("{bits} for \"{pattern}\"");
                return Err(QuantError::InvalidConfig { setting: "weight_bits", expected: "2 to 8", found });
            }
        }
        Ok(())
    }
}
