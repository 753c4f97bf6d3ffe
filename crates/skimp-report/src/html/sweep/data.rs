//! Values and names of a sweep as text.

use serde_json::Value;

/// A value for people and for CSV: texts as they are.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
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
    use super::*;

    #[test]
    fn labels_are_short_and_distinct() {
        let keys = ["accelerator.set.units", "quantization.weight_bits", "noise.set.units", "seed", "seed"];
        assert_eq!(labels(&keys), ["accelerator.set.units", "weight_bits", "noise.set.units", "seed", "seed"]);
    }
}
