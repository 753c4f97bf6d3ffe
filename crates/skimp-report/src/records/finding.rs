//! What designs found beside cycles, events and energy, each in terms of its own.

use serde::{Deserialize, Serialize};

use super::Provenance;

/// What kind of thing was found, and so which fields of a [`FindingRecord`] hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Whether a feature of the design was at work: `verdict`.
    State,
    /// A number: `value`.
    #[default]
    Count,
    /// A part of a whole: `value` of `of`.
    Share,
    /// How often each value occurred: `distribution`, its mean in `value`, its sum in `of`.
    Distribution,
    /// Outputs as the design computes them beside the exact network's: `value` of `of` differ; `verdict`.
    Agreement,
}

/// Something that a design found about a layer, or over all of its layers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// What was found, snake_case; designs that find the same thing share the key.
    pub key: String,
    /// What it is called in front of readers.
    pub label: String,
    /// Which of the fields below hold it.
    pub kind: FindingKind,
    /// How it is known.
    pub basis: Provenance,
    /// The number, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What the number is a part of, or how many it is a mean of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Unit of the number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// How often each value occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// Whether it holds, and if not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What a reader needs to know of it; said of the network only, not of each layer again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// How often each value occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// The value of the first count.
    pub first: u64,
    /// Entry `i` counts the value `first + i`.
    pub counts: Vec<u64>,
}

impl Distribution {
    /// Values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The greatest value that there is a count for.
    pub fn last(&self) -> u64 {
        (self.first + self.counts.len() as u64).saturating_sub(1)
    }

    /// Mean of the values; `None` if there are none.
    pub fn mean(&self) -> Option<f64> {
        let sum: u64 = (self.first..).zip(&self.counts).map(|(value, &count)| value * count).sum();
        (self.total() > 0).then(|| sum as f64 / self.total() as f64)
    }

    /// Share of all values that are `value`.
    pub fn share(&self, value: u64) -> f64 {
        let count = value.checked_sub(self.first).and_then(|idx| self.counts.get(usize::try_from(idx).ok()?));
        count.copied().unwrap_or(0) as f64 / self.total().max(1) as f64
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        let first = self.first.min(other.first);
        let last = self.last().max(other.last());
        let count = |of: &Self, value: u64| match value.checked_sub(of.first) {
            Some(idx) => of.counts.get(idx as usize).copied().unwrap_or(0),
            None => 0,
        };
        let counts = (first..=last).map(|value| count(self, value) + count(other, value)).collect();
        *self = Self { first, counts };
    }
}

/// Whether something holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it does.
    pub holds: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// It holds.
    pub fn yes() -> Self {
        Self { holds: true, reason: None }
    }

    /// It does not, for this reason.
    pub fn no(reason: impl Into<String>) -> Self {
        Self { holds: false, reason: Some(reason.into()) }
    }
}

impl FindingRecord {
    /// Whether every output compared was the same; `None` where nothing was compared.
    pub fn is_exact(&self) -> Option<bool> {
        (self.kind == FindingKind::Agreement).then(|| self.verdict.as_ref().is_some_and(|verdict| verdict.holds))
    }

    /// Outputs that differ from the exact network's.
    pub fn n_different(&self) -> u64 {
        self.value.unwrap_or(0.0) as u64
    }
}

/// The finding of that key.
pub fn finding<'f>(findings: &'f [FindingRecord], key: &str) -> Option<&'f FindingRecord> {
    findings.iter().find(|finding| finding.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_add_up_and_have_means() {
        let mut all = Distribution { first: 3, counts: vec![1, 2] };
        all.merge(&Distribution { first: 1, counts: vec![5, 0, 7] });
        assert_eq!(all, Distribution { first: 1, counts: vec![5, 0, 8, 2] });
        assert_eq!((all.total(), all.last(), all.mean()), (15, 4, Some((5 + 24 + 8) as f64 / 15.0)));
        assert!((all.share(3) - 8.0 / 15.0).abs() < 1e-12 && all.share(9).abs() < 1e-12);
        assert_eq!(Distribution::default().mean(), None);
    }
}
