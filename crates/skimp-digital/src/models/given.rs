//! Mappings that the user gives in the place of those that a search would find.

use std::collections::BTreeSet;

use skimp_sim::SimError;

/// The setting that holds them.
const KEY: &str = "mappings";

/// The mapping of one layer, or a part of it: numbers by name, as a result lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenMapping {
    layer: String,
    numbers: Vec<(String, u64)>,
}

impl GivenMapping {
    /// Reads the entries `LAYER=NAME:NUMBER NAME:NUMBER ..` of the setting; the layer's name may hold `=`.
    pub(super) fn all(entries: &[String]) -> Result<Vec<Self>, SimError> {
        entries
            .iter()
            .map(|entry| {
                let malformed = || SimError::SettingValue {
                    key: KEY.into(),
                    reason: format!("expected \"LAYER=NAME:NUMBER NAME:NUMBER ..\", found {entry:?}"),
                };
                let (layer, numbers) = entry.rsplit_once('=').ok_or_else(malformed)?;
                let number = |part: &str| {
                    let (name, number) = part.split_once(':')?;
                    Some((name.to_owned(), number.parse().ok()?))
                };
                let numbers: Option<Vec<_>> = numbers.split_whitespace().map(number).collect();
                let numbers = numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(malformed)?;
                Ok(GivenMapping { layer: layer.trim().to_owned(), numbers })
            })
            .collect()
    }

    /// That of a layer.
    pub(super) fn of<'g>(given: &'g [Self], layer: &str) -> Option<&'g Self> {
        given.iter().find(|mapping| mapping.layer == layer)
    }
}

/// Compares what a search looks at with the mapping that is given, and knows in the end why none was it.
#[derive(Debug)]
pub(super) struct Matcher<'g> {
    given: &'g GivenMapping,
    /// How many numbers, from the first on, some mapping had; what others there were for the next one.
    n_matched: usize,
    others: BTreeSet<u64>,
    unknown: Option<usize>,
}

impl<'g> Matcher<'g> {
    pub(super) fn new(given: &'g GivenMapping) -> Self {
        Matcher { given, n_matched: 0, others: BTreeSet::new(), unknown: None }
    }

    /// Whether a mapping has all the numbers that are given.
    pub(super) fn accepts(&mut self, mapping: &[(&'static str, u64)]) -> bool {
        for (idx, (name, wanted)) in self.given.numbers.iter().enumerate() {
            let Some(&(_, number)) = mapping.iter().find(|(known, _)| known == name) else {
                self.unknown = Some(idx);
                return false;
            };
            if number != *wanted {
                if idx > self.n_matched {
                    self.others.clear();
                    self.n_matched = idx;
                }
                if idx == self.n_matched {
                    self.others.insert(number);
                }
                return false;
            }
        }
        true
    }

    /// Why no mapping was the given one.
    pub(super) fn reason(&self) -> String {
        const MAX_LISTED: usize = 12;
        let numbers = &self.given.numbers;
        if let Some(idx) = self.unknown {
            return format!("the given mapping: its numbers have none called {:?}", numbers[idx].0);
        }
        let Some((name, wanted)) = numbers.get(self.n_matched) else { return "the given mapping".to_owned() };
        let others: Vec<String> = self.others.iter().take(MAX_LISTED).map(u64::to_string).collect();
        let more = if self.others.len() > MAX_LISTED { ", .." } else { "" };
        let others = match others.is_empty() {
            true => "no mapping fits the hardware".to_owned(),
            false => format!("the hardware takes {}{more}", others.join(", ")),
        };
        let beside: Vec<String> =
            numbers[..self.n_matched].iter().map(|(name, number)| format!("{name} {number}")).collect();
        let beside = if beside.is_empty() { String::new() } else { format!(" beside {}", beside.join(", ")) };
        format!("the given mapping's {name} {wanted}{beside}: {others}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_mappings_are_read_and_compared() {
        let given = GivenMapping::all(&["a=b=rows:3 columns:4".to_owned()]).unwrap();
        assert!(GivenMapping::of(&given, "a").is_none());
        let mut matcher = Matcher::new(GivenMapping::of(&given, "a=b").unwrap());
        assert!(!matcher.accepts(&[("rows", 1), ("columns", 4)]));
        assert!(matcher.reason().contains("rows 3: the hardware takes 1"), "{}", matcher.reason());
        assert!(!matcher.accepts(&[("rows", 3), ("columns", 5)]));
        assert!(matcher.reason().contains("columns 4 beside rows 3: the hardware takes 5"), "{}", matcher.reason());
        assert!(matcher.accepts(&[("rows", 3), ("columns", 4), ("passes", 9)]));
        for bad in ["rows:3", "a=", "a=rows", "a=rows:x"] {
            let error = GivenMapping::all(&[bad.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("LAYER=NAME:NUMBER"), "{error}");
        }
    }
}
