//! Mappings that the user gives in the place of those that a search would find.

use std::collections::BTreeSet;

use skimp_sim::{GIVEN_MAPPINGS, LayerResult, LayerWorkload, SimError};

use super::config::check_names;

/// The mapping of one layer, or a part of it: numbers by name, as a result lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenMapping {
    layer: String,
    numbers: Vec<(String, u64)>,
}

impl GivenMapping {
    /// Its numbers of these names only.
    pub(super) fn only(&self, names: &[&str]) -> GivenMapping {
        let known = |(name, _): &&(String, u64)| names.contains(&name.as_str());
        GivenMapping { layer: self.layer.clone(), numbers: self.numbers.iter().filter(known).cloned().collect() }
    }

    /// Its numbers, in the order in which they are given.
    pub(super) fn numbers(&self) -> &[(String, u64)] {
        &self.numbers
    }

    /// The number of a name.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.numbers.iter().find(|(known, _)| known == name).map(|&(_, number)| number)
    }

    /// Refuses names that are not among `known`.
    pub(super) fn check_names(&self, known: &[&str]) -> Result<(), String> {
        match self.numbers.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(unknown_number(name)),
            None => Ok(()),
        }
    }

    fn read(entry: &str) -> Option<Self> {
        let (layer, numbers) = entry.rsplit_once('=')?;
        let number = |part: &str| {
            let (name, number) = part.split_once(':')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        let numbers: Vec<(String, u64)> = numbers.split_whitespace().map(number).collect::<Option<_>>()?;
        (!numbers.is_empty()).then(|| GivenMapping { layer: layer.trim().to_owned(), numbers })
    }
}

/// The mappings of all layers for which one is given.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenMappings(Vec<GivenMapping>);

impl GivenMappings {
    /// Reads the entries `LAYER=NAME:NUMBER NAME:NUMBER ..` of the setting; the layer's name may hold `=`.
    pub(super) fn read(entries: &[String]) -> Result<Self, SimError> {
        let refuse = |reason: String| Err(SimError::SettingValue { key: GIVEN_MAPPINGS.into(), reason });
        let mut all: Vec<GivenMapping> = Vec::new();
        for entry in entries {
            let Some(mapping) = GivenMapping::read(entry) else {
                return refuse(format!("expected \"LAYER=NAME:NUMBER NAME:NUMBER ..\", found {entry:?}"));
            };
            let numbers = &mapping.numbers;
            if let Some((name, _)) = numbers.iter().find(|(name, number)| mapping.number(name) != Some(*number)) {
                return refuse(format!("layer {:?}: two numbers for {name}", mapping.layer));
            }
            match all.iter().find(|other| other.layer == mapping.layer) {
                // Layers of one name that are mapped alike.
                Some(other) if *other == mapping => {}
                Some(_) => return refuse(format!("two mappings for layer {:?}", mapping.layer)),
                None => all.push(mapping),
            }
        }
        Ok(GivenMappings(all))
    }

    /// That of a layer.
    pub(super) fn of(&self, layer: &LayerWorkload) -> Option<&GivenMapping> {
        self.0.iter().find(|mapping| mapping.layer == layer.name)
    }

    /// Refuses layers that are not in the network.
    pub(super) fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        check_names(GIVEN_MAPPINGS, self.0.iter().map(|mapping| mapping.layer.as_str()), layers)
    }

    /// Says so where others are given, but none for this layer.
    pub(super) fn note(&self, layer: &LayerWorkload, result: &mut LayerResult) {
        if !self.0.is_empty() && self.of(layer).is_none() {
            result.note("no mapping is given for this layer: it is searched");
        }
    }
}

/// The refusal of the mapping that is given for a layer.
pub(super) fn not_taken(layer: &LayerWorkload, accelerator: &'static str, what: String) -> SimError {
    SimError::NotTaken { key: GIVEN_MAPPINGS, layer: layer.name.clone(), accelerator, what }
}

fn unknown_number(name: &str) -> String {
    format!("the given mapping: its numbers have none called {name:?}")
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

    /// Whether it was asked about any mapping.
    pub(super) fn met_any(&self) -> bool {
        self.unknown.is_some() || !self.others.is_empty()
    }

    /// Why no mapping was the given one.
    pub(super) fn reason(&self) -> String {
        const MAX_LISTED: usize = 12;
        let numbers = &self.given.numbers;
        if let Some(idx) = self.unknown {
            return unknown_number(&numbers[idx].0);
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
        let read =
            |entries: &[&str]| GivenMappings::read(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>());
        let given = read(&["a=b=rows:3 columns:4", "a=b=rows:3 columns:4"]).unwrap();
        assert!(given.of(&LayerWorkload::dense("a", 1, 1)).is_none());
        let mapping = given.of(&LayerWorkload::dense("a=b", 1, 1)).unwrap();
        assert_eq!((mapping.number("columns"), mapping.number("passes")), (Some(4), None));
        assert_eq!(mapping.only(&["rows", "passes"]).numbers, [("rows".to_owned(), 3)]);
        assert!(mapping.check_names(&["rows", "columns"]).is_ok());
        assert!(mapping.check_names(&["rows"]).unwrap_err().contains("none called \"columns\""));
        let mut matcher = Matcher::new(mapping);
        assert!(!matcher.accepts(&[("rows", 1), ("columns", 4)]));
        assert!(matcher.reason().contains("rows 3: the hardware takes 1"), "{}", matcher.reason());
        assert!(!matcher.accepts(&[("rows", 3), ("columns", 5)]));
        assert!(matcher.reason().contains("columns 4 beside rows 3: the hardware takes 5"), "{}", matcher.reason());
        assert!(matcher.accepts(&[("rows", 3), ("columns", 4), ("passes", 9)]));
        for (bad, message) in [
            (&["rows:3"][..], "LAYER=NAME:NUMBER"),
            (&["a="], "LAYER=NAME:NUMBER"),
            (&["a=rows"], "LAYER=NAME:NUMBER"),
            (&["a=rows:x"], "LAYER=NAME:NUMBER"),
            (&["a=rows:-1"], "LAYER=NAME:NUMBER"),
            (&["a=rows:1 rows:2"], "layer \"a\": two numbers for rows"),
            (&["a=rows:1", "a=rows:2"], "two mappings for layer \"a\""),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
