//! Axes: keys of a point's configuration, and the values that they take.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::SweepError;

/// The most values that a range is cut into.
const MAX_VALUES: usize = 1 << 20;

/// One axis, as a sweep file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisConfig {
    /// The dotted key that it sets, or several that get the same value.
    pub key: Keys,
    /// Name in tables; the first key where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The values, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
    /// The least value of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The greatest value of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Values of a range that a grid takes, ends included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// How the values of a range lie.
    #[serde(default, skip_serializing_if = "Scale::is_linear")]
    pub scale: Scale,
    /// Keys of axes before this one, and the values (one, or a list) that they must have for this axis to be there.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub when: Table,
}

/// One key or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Keys {
    /// One.
    One(String),
    /// Several that get the same value.
    Several(Vec<String>),
}

impl Keys {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Several(keys) => keys,
        }
    }
}

/// How the values of a range lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// At equal differences.
    #[default]
    Linear,
    /// At equal ratios.
    Log,
}

impl Scale {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_linear(&self) -> bool {
        *self == Scale::Linear
    }
}

/// What an axis takes its values from.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// These, in order.
    Values(Vec<Value>),
    /// Every number between two.
    Range {
        /// The least.
        from: f64,
        /// The greatest.
        to: f64,
        /// How they lie.
        scale: Scale,
        /// Whole numbers alone.
        integer: bool,
    },
}

/// A checked axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Name in tables.
    pub name: String,
    /// The dotted keys that it sets.
    pub keys: Vec<String>,
    /// The values.
    pub domain: Domain,
    /// Conditions: a key and the values of it under which the axis is there.
    pub when: Vec<(String, Vec<Value>)>,
}

impl AxisConfig {
    /// Checks the axis by itself.
    pub(crate) fn check(&self) -> Result<Axis, SweepError> {
        let key = self.key.all().first().cloned().unwrap_or_default();
        let wrong = |cause: String| SweepError::Axis { key: key.clone(), value: None, cause };
        if self.key.all().iter().any(String::is_empty) || self.key.all().is_empty() {
            return Err(wrong("an axis needs a key such as \"quantization.weight_bits\"".to_owned()));
        }
        let domain = match (&self.values, &self.from, &self.to) {
            (Some(values), None, None) if self.count.is_none() => Domain::Values(values.clone()),
            (None, Some(from), Some(to)) => range(from, to, self.scale, self.count).map_err(wrong)?,
            _ => return Err(wrong("an axis has values, or from and to with an optional count".to_owned())),
        };
        if let Domain::Values(values) = &domain {
            if values.is_empty() {
                return Err(wrong("it has no values".to_owned()));
            }
            let mut seen = std::collections::HashSet::with_capacity(values.len());
            if let Some(twice) = values.iter().find(|value| !seen.insert(format!("{value:?}"))) {
                let cause = "it stands there twice".to_owned();
                return Err(SweepError::Axis { key, value: Some(shown(twice)), cause });
            }
        }
        let list = |value: &Value| match value {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        let when = self.when.iter().map(|(key, value)| (key.clone(), list(value))).collect();
        Ok(Axis { name: self.name.clone().unwrap_or(key), keys: self.key.all().to_vec(), domain, when })
    }
}

fn range(from: &Value, to: &Value, scale: Scale, count: Option<usize>) -> Result<Domain, String> {
    let number = |value: &Value| match value {
        Value::Integer(n) => Some((*n as f64, true)),
        Value::Float(x) if x.is_finite() => Some((*x, false)),
        _ => None,
    };
    let (Some((from, whole)), Some((to, also))) = (number(from), number(to)) else {
        return Err("from and to are numbers".to_owned());
    };
    if from >= to {
        return Err(format!("from is {from}, expected less than to, {to}"));
    }
    if scale == Scale::Log && from <= 0.0 {
        return Err(format!("from is {from}, expected more than 0 on a log scale"));
    }
    let integer = whole && also;
    let domain = Domain::Range { from, to, scale, integer };
    let Some(count) = count else { return Ok(domain) };
    if !(2..=MAX_VALUES).contains(&count) {
        return Err(format!("count is {count}, expected 2 to {MAX_VALUES}"));
    }
    let mut values: Vec<Value> = (0..count).map(|step| domain.at_share(step as f64 / (count - 1) as f64)).collect();
    // Whole numbers of a short range meet.
    values.dedup();
    Ok(Domain::Values(values))
}

impl Domain {
    /// The value at a part of the way from the first to the last, 0 to 1.
    #[must_use]
    pub fn at_share(&self, share: f64) -> Value {
        match self {
            Domain::Values(values) => {
                let idx = (share * values.len() as f64) as usize;
                values[idx.min(values.len() - 1)].clone()
            }
            &Domain::Range { from, to, scale, integer } => {
                let at = match scale {
                    Scale::Linear => from + (to - from) * share,
                    Scale::Log => (from.ln() + (to.ln() - from.ln()) * share).exp(),
                };
                let at = at.clamp(from, to);
                if integer { Value::Integer(at.round() as i64) } else { Value::Float(at) }
            }
        }
    }
}

/// The first name of a dotted key and what follows; a name in quotes may hold dots: `widths.weight_bits."block.0.conv"`.
pub(crate) fn split_key(key: &str) -> (&str, Option<&str>) {
    let quoted = key.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some((name, rest)) = quoted.and_then(|quote| key[1..].split_once(quote)) {
        match rest.strip_prefix('.') {
            Some(rest) => return (name, Some(rest)),
            None if rest.is_empty() => return (name, None),
            // Text after the quote: no name in quotes.
            None => {}
        }
    }
    key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)))
}

/// The value of a dotted key.
pub(crate) fn lookup<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match split_key(key) {
        (name, None) => table.get(name),
        (first, Some(rest)) => match table.get(first)? {
            Value::Table(inner) => lookup(inner, rest),
            _ => None,
        },
    }
}

/// Sets a dotted key; tables on the way are made.
pub(crate) fn assign(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    match split_key(key) {
        (name, None) => {
            table.insert(name.to_owned(), value);
            Ok(())
        }
        (first, Some(rest)) => match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => assign(inner, rest, value),
            other => Err(format!("\"{first}\" is {other}, no table with a key \"{rest}\"")),
        },
    }
}

/// A value as it stands in a message or a table: a text without its quotes.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(text: &str) -> Result<Axis, String> {
        toml::from_str::<AxisConfig>(text)
            .map_err(|error| error.to_string())?
            .check()
            .map_err(|error| error.to_string())
    }

    fn values(text: &str) -> Vec<String> {
        match axis(text).unwrap().domain {
            Domain::Values(values) => values.iter().map(shown).collect(),
            Domain::Range { .. } => panic!("a range"),
        }
    }

    #[test]
    fn ranges_become_values() {
        assert_eq!(values("key = \"a\"\nfrom = 2\nto = 8\ncount = 4"), ["2", "4", "6", "8"]);
        assert_eq!(values("key = \"a\"\nfrom = 1\nto = 16\ncount = 5\nscale = \"log\""), ["1", "2", "4", "8", "16"]);
        assert_eq!(values("key = \"a\"\nfrom = 1\nto = 3\ncount = 9"), ["1", "2", "3"]);
        assert_eq!(values("key = \"a\"\nfrom = 0.0\nto = 1\ncount = 3"), ["0.0", "0.5", "1.0"]);
        let Domain::Range { integer, .. } = axis("key = \"a\"\nfrom = 1\nto = 3").unwrap().domain else { panic!() };
        assert!(integer);
    }

    #[test]
    fn wrong_axes_are_named() {
        for (text, message) in [
            ("key = \"a\"", "an axis has values, or from and to"),
            ("key = \"a\"\nvalues = []", "no values"),
            ("key = \"a\"\nvalues = [1, 2, 1]", "axis \"a\" = 1: it stands there twice"),
            ("key = \"a\"\nvalues = [1]\ncount = 3", "an axis has values, or from"),
            ("key = \"a\"\nfrom = 3\nto = 3", "expected less than to"),
            ("key = \"a\"\nfrom = 0\nto = 3\nscale = \"log\"", "more than 0 on a log scale"),
            ("key = \"a\"\nfrom = \"x\"\nto = 3", "from and to are numbers"),
            ("key = \"a\"\nfrom = 1\nto = 3\ncount = 1", "count is 1"),
            ("key = []\nvalues = [1]", "needs a key"),
            ("key = \"a\"\nvalue = [1]", "unknown field `value`"),
        ] {
            let error = axis(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn dotted_keys_reach_into_tables() {
        let mut table: Table = "a = 1\n[b.c]\nd = 2".parse().unwrap();
        assign(&mut table, "b.c.d", 3.into()).unwrap();
        assign(&mut table, "x.y", 4.into()).unwrap();
        assert_eq!(lookup(&table, "b.c.d"), Some(&Value::Integer(3)));
        assert_eq!(lookup(&table, "x.y"), Some(&Value::Integer(4)));
        assert_eq!(lookup(&table, "a.y"), None);
        assert!(assign(&mut table, "a.y", 4.into()).unwrap_err().contains("no table"));
        // Names of layers hold dots.
        assign(&mut table, "b.\"e.f\"", 5.into()).unwrap();
        assign(&mut table, "'g.h'.i", 6.into()).unwrap();
        assert_eq!(table["b"]["e.f"], Value::Integer(5));
        assert_eq!(lookup(&table, "b.'e.f'"), Some(&Value::Integer(5)));
        assert_eq!(lookup(&table, "\"g.h\".i"), Some(&Value::Integer(6)));
        assert_eq!(split_key("\"a.b"), ("\"a", Some("b")));
    }
}
