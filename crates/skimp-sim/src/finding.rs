//! What a design finds out about a layer beyond cycles and events, in terms of its own.

use crate::LayerResult;

/// How a finding is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Read off the network's own values.
    Measured,
    /// Worked out by the design's model.
    Simulated,
}

/// Something that a design can find: one static each, like a [`Statistic`](crate::Statistic).
#[derive(Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Key in tables, CSV and JSON, snake_case. Designs that find the same thing share it.
    pub key: &'static str,
    /// What it is called in front of readers.
    pub label: &'static str,
    /// Unit of its values; empty for states.
    pub unit: &'static str,
    /// What a reader needs to know of it, in sentences.
    pub description: &'static str,
    /// How it is known.
    pub basis: Basis,
}

/// What was found. All of it is integers and words, so findings add up exactly in any order of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A feature of the design was at work on the layer.
    AtWork,
    /// A feature of the design was off on the layer, for this reason.
    Off(String),
    /// So many of the unit.
    Count(u64),
    /// So many of a whole.
    Share {
        /// Those counted.
        part: u64,
        /// All of them.
        whole: u64,
    },
    /// How often each value occurred: entry `i` counts the value `first + i`.
    Distribution {
        /// The value of the first entry.
        first: u64,
        /// Counts.
        counts: Vec<u64>,
    },
    /// Outputs as the design computes them beside the exact network's.
    Agreement {
        /// Outputs compared.
        compared: u64,
        /// Those that differ.
        different: u64,
    },
}

/// One finding of a design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub quantity: &'static Quantity,
    /// What was found.
    pub found: Found,
}

impl Finding {
    /// `found` of `quantity`.
    #[must_use]
    pub fn new(quantity: &'static Quantity, found: Found) -> Self {
        Self { quantity, found }
    }

    /// Adds the same finding of another image. States do not depend on the image: the first one stays.
    pub fn merge(&mut self, other: &Finding) {
        match (&mut self.found, &other.found) {
            (Found::Count(ours), Found::Count(theirs)) => *ours += theirs,
            (Found::Share { part, whole }, Found::Share { part: more, whole: of }) => {
                *part += more;
                *whole += of;
            }
            (Found::Agreement { compared, different }, Found::Agreement { compared: more, different: wrong }) => {
                *compared += more;
                *different += wrong;
            }
            (Found::Distribution { first, counts }, Found::Distribution { first: start, counts: more }) => {
                let low = (*first).min(*start);
                let at = |start: u64, idx: usize| (start - low) as usize + idx;
                let mut all = vec![0; at(*first, counts.len()).max(at(*start, more.len()))];
                counts.iter().enumerate().for_each(|(idx, count)| all[at(*first, idx)] += count);
                more.iter().enumerate().for_each(|(idx, count)| all[at(*start, idx)] += count);
                (*first, *counts) = (low, all);
            }
            _ => {}
        }
    }

    /// The same finding of `n` images that all showed it.
    pub fn scale(&mut self, n: u64) {
        match &mut self.found {
            Found::Count(count) => *count *= n,
            Found::Share { part, whole } => {
                *part *= n;
                *whole *= n;
            }
            Found::Agreement { compared, different } => {
                *compared *= n;
                *different *= n;
            }
            Found::Distribution { counts, .. } => counts.iter_mut().for_each(|count| *count *= n),
            Found::AtWork | Found::Off(_) => {}
        }
    }

    /// Adds `more` findings to `findings`: each quantity stands once.
    pub fn merge_all(findings: &mut Vec<Finding>, more: &[Finding]) {
        for finding in more {
            match findings.iter_mut().find(|known| known.quantity.key == finding.quantity.key) {
                Some(known) => known.merge(finding),
                None => findings.push(finding.clone()),
            }
        }
    }

    /// What the findings of its layers say of a network. A state becomes the share of layers on which it was at work,
    /// and is left out where there is none.
    #[must_use]
    pub fn of_network<'l>(layers: impl IntoIterator<Item = &'l LayerResult>) -> Vec<Finding> {
        let (mut all, mut states) = (Vec::new(), Vec::new());
        for layer in layers {
            let of_layer = layer.findings.iter().map(|finding| {
                let part = match finding.found {
                    Found::AtWork => 1,
                    Found::Off(_) => 0,
                    _ => return finding.clone(),
                };
                states.push(finding.quantity.key);
                Finding::new(finding.quantity, Found::Share { part, whole: 1 })
            });
            Finding::merge_all(&mut all, &of_layer.collect::<Vec<_>>());
        }
        let was_off = |finding: &Finding| matches!(finding.found, Found::Share { part: 0, .. });
        let is_state = |key: &str| states.contains(&key);
        all.retain(|finding: &Finding| !(is_state(finding.quantity.key) && was_off(finding)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerWorkload;

    const fn quantity(key: &'static str) -> Quantity {
        Quantity { key, label: key, unit: "", description: "", basis: Basis::Measured }
    }
    static STATE: Quantity = quantity("state");
    static VALUES: Quantity = quantity("values");
    static SAME: Quantity = quantity("same");

    #[test]
    fn findings_add_up_over_images_and_layers() {
        let image = |first, counts: &[u64], different| {
            let mut result = LayerResult::new(&LayerWorkload::dense("d", 2, 3));
            result.findings = vec![
                Finding::new(&STATE, Found::AtWork),
                Finding::new(&VALUES, Found::Distribution { first, counts: counts.to_vec() }),
                Finding::new(&SAME, Found::Agreement { compared: 10, different }),
            ];
            result
        };
        let mut layer = image(3, &[1, 2], 0);
        layer.merge(&image(1, &[5, 0, 7], 1));
        assert_eq!(layer.findings[0].found, Found::AtWork);
        assert_eq!(layer.findings[1].found, Found::Distribution { first: 1, counts: vec![5, 0, 8, 2] });
        let mut off = LayerResult::new(&LayerWorkload::dense("e", 2, 3));
        off.findings = vec![Finding::new(&STATE, Found::Off("no reason".to_owned()))];
        let network = Finding::of_network([&layer, &off]);
        assert_eq!(network[0].found, Found::Share { part: 1, whole: 2 });
        assert_eq!(network[2].found, Found::Agreement { compared: 20, different: 1 });
        assert_eq!(Finding::of_network([&off]), []);
    }
}
