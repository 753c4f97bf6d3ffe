//! The points as the page's script reads them: by column, each text once.

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;
use serde_json::Value;

use crate::records::{AxisColumn, FigureColumn, PointStatus, SweepRecord};

/// All that the script reads.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    name: &'a str,
    base: &'a str,
    ids: &'a [String],
    /// 0: ok, 1: infeasible, 2: failed.
    status: Vec<u8>,
    reasons: Texts<'a>,
    axes: Vec<Axis<'a>>,
    figures: Vec<Figure<'a>>,
    /// Points on the front of all objectives.
    best: Vec<usize>,
    layers: &'a [String],
    /// What bounds layers, part by part: texts that differ in one part share the others.
    bounds: IndexSet<&'a str>,
    /// Per point and layer: layer, share in ten-thousandths, then what bounds it.
    why: Vec<Vec<Vec<usize>>>,
}

/// Texts, each once, and the one of each point.
#[derive(Serialize)]
struct Texts<'a> {
    texts: IndexSet<&'a str>,
    at: Vec<usize>,
}

/// What was varied. Values are texts, so that all digits survive the script.
#[derive(Serialize)]
struct Axis<'a> {
    key: &'a str,
    label: String,
    /// Whether all values are numbers.
    number: bool,
    /// The values for people and CSV.
    levels: Vec<String>,
    /// The values for TOML, where they differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    toml: Vec<String>,
    /// Index of each point's value; -1 where it has none.
    at: Vec<i64>,
}

/// What was found.
#[derive(Serialize)]
struct Figure<'a> {
    name: &'a str,
    unit: &'a str,
    /// Whether more is better; none where the sweep does not seek it.
    maximize: Option<bool>,
    /// Place among the objectives.
    rank: Option<usize>,
    values: Vec<Option<f64>>,
}

impl<'a> Data<'a> {
    /// The data of a sweep.
    pub(super) fn of(record: &'a SweepRecord, best: Vec<usize>) -> Self {
        let n = record.n_points();
        let mut texts = IndexSet::new();
        let at = (0..n).map(|idx| texts.insert_full(record.reasons.get(idx).map_or("", String::as_str)).0).collect();
        let labels = labels(&record.axes.iter().map(|axis| axis.key.as_str()).collect::<Vec<_>>());
        let figure = |figure: &'a FigureColumn| {
            let rank = record.objectives.iter().position(|one| one.name == figure.name);
            Figure {
                name: &figure.name,
                unit: &figure.unit,
                maximize: rank.map(|rank| record.objectives[rank].maximize),
                rank,
                values: (0..n).map(|idx| figure.values.get(idx).copied().flatten()).collect(),
            }
        };
        let mut bounds = IndexSet::new();
        let parts: Vec<Vec<usize>> =
            record.why.bounds.iter().map(|text| parts(text).map(|part| bounds.insert_full(part).0).collect()).collect();
        let slow = |&(layer, bound, share): &(u32, u32, f64)| {
            let own = parts.get(bound as usize).into_iter().flatten();
            [layer as usize, f64::round(share * 1e4) as usize].into_iter().chain(own.copied()).collect()
        };
        let why = |idx| record.why.points.get(idx).map(Vec::as_slice).unwrap_or_default();
        Self {
            name: &record.name,
            base: &record.base_toml,
            ids: &record.point_ids,
            status: (0..n).map(|idx| code(record.status.get(idx))).collect(),
            reasons: Texts { texts, at },
            axes: record.axes.iter().zip(labels).map(|(axis, label)| Axis::of(axis, label, n)).collect(),
            figures: record.figures.iter().map(figure).collect(),
            best,
            layers: &record.why.layers,
            why: (0..n).map(|idx| why(idx).iter().map(slow).collect()).collect(),
            bounds,
        }
    }
}

impl<'a> Axis<'a> {
    fn of(axis: &'a AxisColumn, label: String, n: usize) -> Self {
        let mut levels: IndexMap<String, &Value> = IndexMap::new();
        let mut at: Vec<i64> = Vec::with_capacity(n);
        for idx in 0..n {
            let value = axis.values.get(idx).unwrap_or(&Value::Null);
            at.push(if value.is_null() { -1 } else { levels.insert_full(toml(value), value).0 as i64 });
        }
        let number = !levels.is_empty() && levels.values().all(|value| value.is_number());
        let shown: Vec<String> = levels.values().map(|value| shown(value)).collect();
        let toml: Vec<String> = levels.into_keys().collect();
        Self { key: &axis.key, label, number, at, toml: if toml == shown { Vec::new() } else { toml }, levels: shown }
    }
}

/// The parts of what bounds a layer: `a; b` has two.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty())
}

fn code(status: Option<&PointStatus>) -> u8 {
    match status {
        None | Some(PointStatus::Ok) => 0,
        Some(PointStatus::Infeasible) => 1,
        Some(PointStatus::Failed) => 2,
    }
}

/// A value for people and for CSV: texts as they are.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value as TOML. Numbers have the fewest digits that read back as the same bits, and stay whole or real as they are.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text_as_toml(text),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{} = {}", text_as_toml(key), toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A basic string: JSON's escapes are TOML's, but TOML forbids DEL, too.
fn text_as_toml(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Keys without the path that others do not need to tell them apart: `accelerator.set.units` is `units` where no other
/// key ends so.
pub(super) fn labels(keys: &[&str]) -> Vec<String> {
    let ending = |key: &str, n: usize| {
        let parts: Vec<&str> = key.split('.').collect();
        parts[parts.len().saturating_sub(n)..].join(".")
    };
    let label = |key: &&str| {
        let is_unique = |n: &usize| keys.iter().filter(|other| ending(other, *n) == ending(key, *n)).count() == 1;
        (1..=key.split('.').count()).find(is_unique).map_or_else(|| (*key).to_owned(), |n| ending(key, n))
    };
    keys.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_short_and_distinct() {
        let keys = ["accelerator.set.units", "quantization.weight_bits", "noise.set.units", "seed", "seed"];
        assert_eq!(labels(&keys), ["accelerator.set.units", "weight_bits", "noise.set.units", "seed", "seed"]);
    }

    #[test]
    fn values_are_toml() {
        for value in [
            json!(8),
            json!(8.0),
            json!(1e300),
            json!(0.1),
            json!(-1.5e-9),
            json!(true),
            json!("a\"b\\c\n\u{7f}\u{1b}</script>"),
            json!([1, "a", [2.5]]),
            json!({"a b": 1, "c": {"d": "e"}}),
        ] {
            let text = format!("value = {}\n", toml(&value));
            let read: toml::Table = text.parse().unwrap();
            assert_eq!(serde_json::to_value(&read["value"]).unwrap(), value, "{text}");
        }
    }
}
