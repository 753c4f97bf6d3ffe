//! Overrides on top of a preset: preset < file < command line, nothing else.

use std::sync::{Arc, PoisonError, RwLock};

use toml::{Table, Value};

use crate::SimError;
use crate::preset::{Setting, check_ranges, settings_of};

/// Puts one `key = value` of the command line (`compend.end=false` without the accelerator's name) into `overrides`.
/// Dots descend into tables. The preset decides the type; an unknown key names the nearest valid one.
///
/// # Errors
/// [`SimError::UnknownSetting`], or [`SimError::SettingType`] if `value` does not read as the preset's type.
pub fn apply_setting(preset: &Table, overrides: &mut Table, key: &str, value: &str) -> Result<(), SimError> {
    let known = lookup(preset, key).filter(|known| !known.is_table());
    let known = known.ok_or_else(|| SimError::UnknownSetting {
        key: key.to_owned(),
        nearest: nearest(key, leaf_keys(preset).iter().map(String::as_str)),
        known: leaf_keys(preset).join(", "),
    })?;
    let mismatch =
        || SimError::SettingType { key: key.to_owned(), expected: known.type_str(), found: format!("{value:?}") };
    let parsed = match known {
        Value::Boolean(_) => value.parse().map(Value::Boolean).map_err(|_| mismatch())?,
        Value::Integer(_) => value.parse().map(Value::Integer).map_err(|_| mismatch())?,
        Value::Float(_) => value.parse().map(Value::Float).map_err(|_| mismatch())?,
        Value::String(_) => Value::String(value.to_owned()),
        Value::Array(_) | Value::Datetime(_) | Value::Table(_) => {
            let document: Table = format!("value = {value}").parse().map_err(|_| mismatch())?;
            let parsed = document.get("value").cloned().ok_or_else(mismatch)?;
            if !parsed.same_type(known) {
                return Err(mismatch());
            }
            parsed
        }
    };
    let mut table = overrides;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.insert(part.to_owned(), parsed);
            break;
        }
        table =
            table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut().ok_or_else(|| {
                SimError::SettingType { key: key.to_owned(), expected: "table", found: part.to_owned() }
            })?;
    }
    Ok(())
}

/// The preset with `overrides` on top: the resolved configuration that a run saves.
///
/// # Errors
/// [`SimError::Toml`] if the preset is broken, [`SimError::UnknownSetting`] or [`SimError::SettingType`] if an override
/// does not fit it, [`SimError::SettingValue`] if one lies outside the range that the preset states. An integer may stand
/// for a float.
pub fn resolve_config(preset: &str, overrides: &Table) -> Result<Table, SimError> {
    let preset = preset_of(preset)?;
    let mut resolved = preset.values.clone();
    merge(&mut resolved, overrides, "", &preset.values)?;
    check_ranges(&preset.settings, &resolved)?;
    Ok(resolved)
}

/// A preset that was read.
struct Preset {
    text: String,
    values: Table,
    settings: Vec<Setting>,
}

/// Presets that are kept: more than there are, but for programs that make their own.
const KEPT_PRESETS: usize = 64;

/// Reads a preset, once: a sweep of thousands of points asks for the same again and again.
fn preset_of(text: &str) -> Result<Arc<Preset>, SimError> {
    static KNOWN: RwLock<Vec<Arc<Preset>>> = RwLock::new(Vec::new());
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).iter().find(|preset| preset.text == text).cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let values: Table = text
        .parse()
        .map_err(|source| SimError::Toml { what: "accelerator preset".into(), source: Box::new(source) })?;
    let settings = settings_of(text, &values);
    let read = Arc::new(Preset { text: text.to_owned(), values, settings });
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KEPT_PRESETS {
        known.remove(0);
    }
    known.push(Arc::clone(&read));
    Ok(read)
}

/// Puts `overrides` into `base`, which has the keys of `preset`.
fn merge(base: &mut Table, overrides: &Table, prefix: &str, preset: &Table) -> Result<(), SimError> {
    for (name, value) in overrides {
        let key = format!("{prefix}{name}");
        let Some(slot) = base.get_mut(name) else {
            let all = leaf_keys(preset);
            let nearest = nearest(&key, all.iter().map(String::as_str));
            return Err(SimError::UnknownSetting { key, nearest, known: all.join(", ") });
        };
        match (&mut *slot, value) {
            (Value::Table(inner), Value::Table(more)) => merge(inner, more, &format!("{key}."), preset)?,
            (Value::Float(float), Value::Integer(integer)) => *float = *integer as f64,
            (known, given) if known.same_type(given) => *known = given.clone(),
            (known, given) => {
                let found = format!("{} {given}", given.type_str());
                return Err(SimError::SettingType { key, expected: known.type_str(), found });
            }
        }
    }
    Ok(())
}

/// The value of a dotted key.
pub(crate) fn lookup<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let value = table.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => lookup(value.as_table()?, rest),
    }
}

fn leaf_keys(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => keys.extend(leaf_keys(inner).into_iter().map(|key| format!("{name}.{key}"))),
            _ => keys.push(name.clone()),
        }
    }
    keys
}

/// The candidate inside the table `word`, else that with the least edit distance; the first among equals, empty if
/// there is none.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    let distance = |candidate: &&str| match candidate.strip_prefix(word) {
        Some(rest) if rest.starts_with('.') => 0,
        _ => strsim::levenshtein(word, candidate),
    };
    candidates.min_by_key(distance).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESET: &str = "end = true\nclock_mhz = 1000.0\ncosts = \"x\"\nrows = 9\n[stt]\nread_cycles = 2\n";

    fn preset() -> Table {
        PRESET.parse().unwrap()
    }

    #[test]
    fn types_come_from_the_preset() {
        let mut overrides = Table::new();
        for (key, value) in [("end", "false"), ("clock_mhz", "500"), ("costs", "7"), ("stt.read_cycles", "3")] {
            apply_setting(&preset(), &mut overrides, key, value).unwrap();
        }
        let resolved = resolve_config(PRESET, &overrides).unwrap();
        assert_eq!(resolved["end"], Value::Boolean(false));
        assert_eq!(resolved["clock_mhz"], Value::Float(500.0));
        assert_eq!(resolved["costs"], Value::String("7".into()));
        assert_eq!(resolved["stt"]["read_cycles"], Value::Integer(3));
        assert_eq!(resolved["rows"], Value::Integer(9));
    }

    #[test]
    fn the_nearest_is_inside_the_table_or_the_least_edits_away() {
        for (word, candidates, expected) in [
            ("sitting", &["sitter", "kitten", "sting"][..], "sting"),
            ("stt", &["stall", "stt.read_cycles"], "stt.read_cycles"),
            ("äb", &["abc", "ab"], "ab"),
            ("x", &["b", "a"], "b"),
            ("x", &[], ""),
        ] {
            assert_eq!(nearest(word, candidates.iter().copied()), expected, "{word}");
        }
    }

    #[test]
    fn wrong_keys_and_types_are_named() {
        let mut overrides = Table::new();
        for (key, value, message) in [
            ("ent", "1", "unknown setting \"ent\"; did you mean \"end\"? known: {KNOWN}"),
            (
                "stt.reed_cycles",
                "1",
                "unknown setting \"stt.reed_cycles\"; did you mean \"stt.read_cycles\"? known: {KNOWN}",
            ),
            ("stt", "1", "unknown setting \"stt\"; did you mean \"stt.read_cycles\"? known: {KNOWN}"),
            ("end", "maybe", "setting \"end\": expected boolean, found \"maybe\""),
            ("rows", "1.5", "setting \"rows\": expected integer, found \"1.5\""),
        ] {
            let error = apply_setting(&preset(), &mut overrides, key, value).unwrap_err().to_string();
            assert_eq!(error, message.replace("{KNOWN}", "clock_mhz, costs, end, rows, stt.read_cycles"));
        }
        let bad: Table = "rows = \"many\"".parse().unwrap();
        let error = resolve_config(PRESET, &bad).unwrap_err().to_string();
        assert_eq!(error, "setting \"rows\": expected integer, found string \"many\"");
        let unknown: Table = "[stt]\nreads = 1".parse().unwrap();
        assert!(resolve_config(PRESET, &unknown).unwrap_err().to_string().contains("stt.reads"));
        let mut table = Table::new();
        table.insert("rows".into(), Value::Integer(1));
        let integer_for_float: Table = "clock_mhz = 250".parse().unwrap();
        assert_eq!(resolve_config(PRESET, &integer_for_float).unwrap()["clock_mhz"], Value::Float(250.0));
    }
}
