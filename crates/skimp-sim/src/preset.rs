//! What a preset says about its settings, and the ranges that it asks for.
//!
//! A preset is TOML whose comments have a form, so that the file is the one place where a setting is described:
//!
//! ```toml
//! # {a} a source that many keys share
//! schema = 1
//!
//! ## A heading of the keys below, until the next empty line, and their source {a}
//! rows = 4        # rows of the array [1 to 1024]
//! # A longer meaning may stand above the key. ["index" | "magnitude"] {assumed}
//! order = "index"
//! ```
//!
//! `[…]` is the range: `[A to B]`, `[at least A]`, `[above A]`, or words in quotes; numbers may be powers like `2^20`.
//! [`resolve_config`](crate::resolve_config) refuses what lies outside it. `{…}` is the source: words, or a mark of the
//! head of the file.

use std::fmt;

use toml::{Table, Value};

use crate::SimError;

/// What a preset says about one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// The preset's value.
    pub default: Value,
    /// What it may be.
    pub range: SettingRange,
    /// What it means, in words.
    pub meaning: String,
    /// Where the preset's value comes from; empty where nothing is said.
    pub source: String,
}

/// What a setting may be.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingRange {
    /// Any value of its type.
    Any,
    /// Numbers from the first to the second, both included.
    Between(f64, f64),
    /// Numbers above this one.
    Above(f64),
    /// This number and those above.
    AtLeast(f64),
    /// One of these words.
    OneOf(Vec<String>),
}

impl SettingRange {
    /// Reads what stands between brackets; `None` if that is no range.
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('"') {
            let words = text.split('|').map(|word| word.trim().strip_prefix('"')?.strip_suffix('"').map(str::to_owned));
            return words.collect::<Option<_>>().map(SettingRange::OneOf);
        }
        if let Some(least) = text.strip_prefix("at least ") {
            return number(least).map(SettingRange::AtLeast);
        }
        if let Some(bound) = text.strip_prefix("above ") {
            return number(bound).map(SettingRange::Above);
        }
        let (least, most) = text.split_once(" to ")?;
        Some(SettingRange::Between(number(least)?, number(most)?))
    }

    /// Whether `value` lies in it.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        let number = value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64));
        match (self, number) {
            (SettingRange::Any, _) => true,
            (SettingRange::Between(least, most), Some(number)) => (*least..=*most).contains(&number),
            (SettingRange::Above(bound), Some(number)) => number.is_finite() && number > *bound,
            (SettingRange::AtLeast(least), Some(number)) => number.is_finite() && number >= *least,
            (SettingRange::OneOf(words), _) => value.as_str().is_some_and(|word| words.iter().any(|one| one == word)),
            (SettingRange::Between(..) | SettingRange::Above(_) | SettingRange::AtLeast(_), None) => false,
        }
    }
}

impl fmt::Display for SettingRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingRange::Any => Ok(()),
            SettingRange::Between(least, most) => write!(f, "{least} to {most}"),
            SettingRange::Above(bound) => write!(f, "a number above {bound}"),
            SettingRange::AtLeast(least) => write!(f, "a number of at least {least}"),
            SettingRange::OneOf(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => write!(f, "{} or {last}", rest.join(", ")),
                    _ => write!(f, "{}", words.join("")),
                }
            }
        }
    }
}

fn number(text: &str) -> Option<f64> {
    match text.split_once('^') {
        Some((base, power)) => Some(base.parse::<f64>().ok()?.powi(power.parse().ok()?)),
        None => text.parse().ok(),
    }
}

impl Setting {
    /// Unit of its values as its key says it; empty for counts and words.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        const UNITS: [(&str, &str); 16] = [
            ("_words_per_cycle", "words/cycle"),
            ("_megabytes_per_s", "MB/s"),
            ("_gb_per_s", "GB/s"),
            ("_gmacs", "GMAC/s"),
            ("_percent", "%"),
            ("_cycles", "cycles"),
            ("_bytes", "bytes"),
            ("_words", "words"),
            ("_bits", "bits"),
            ("_mhz", "MHz"),
            ("_mm2", "mm2"),
            ("_mw", "mW"),
            ("_pj", "pJ"),
            ("_nm", "nm"),
            ("_ms", "ms"),
            ("_ns", "ns"),
        ];
        let is_number = self.default.is_integer() || self.default.is_float();
        UNITS.iter().find(|(suffix, _)| is_number && self.key.ends_with(suffix)).map_or("", |(_, unit)| unit)
    }
}

/// Meaning, range and source of a comment's text.
fn parts(text: &str) -> (String, SettingRange, String) {
    let mut text = text.trim();
    let (mut range, mut source) = (SettingRange::Any, String::new());
    loop {
        if let Some((rest, inner)) = text.strip_suffix('}').and_then(|text| text.rsplit_once('{')) {
            source = inner.to_owned();
            text = rest.trim_end();
            continue;
        }
        let bracket = text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
        if let Some((rest, found)) = bracket.and_then(|(rest, inner)| Some((rest, SettingRange::parse(inner)?))) {
            range = found;
            text = rest.trim_end();
            continue;
        }
        return (text.to_owned(), range, source);
    }
}

/// The key that a line of TOML sets at the top level, and the comment behind it.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    let key = key.trim();
    if key.is_empty() || !key.chars().all(is_key) {
        return None;
    }
    let mut in_string = false;
    let comment = value.char_indices().find(|&(_, c)| {
        in_string ^= c == '"';
        c == '#' && !in_string
    });
    Some((key, comment.map_or("", |(at, _)| value[at + 1..].trim())))
}

/// What a preset says about each of its settings, in the order of the file; `schema` is none.
///
/// # Errors
/// [`SimError::Toml`] if the preset is broken.
pub fn preset_settings(preset: &str) -> Result<Vec<Setting>, SimError> {
    let values: Table = preset
        .parse()
        .map_err(|source| SimError::Toml { what: "accelerator preset".into(), source: Box::new(source) })?;
    Ok(settings_of(preset, &values))
}

/// What the comments of `preset`, which has these `values`, say.
pub(crate) fn settings_of(preset: &str, values: &Table) -> Vec<Setting> {
    let mut marks: Vec<(&str, &str)> = Vec::new();
    let (mut above, mut heading, mut prefix) = (String::new(), String::new(), String::new());
    let mut settings = Vec::new();
    for line in preset.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("##") {
            // A heading of several lines has its source at the end.
            heading = parts(text).2;
            above.clear();
        } else if let Some(text) = line.strip_prefix('#') {
            let text = text.trim();
            match text.strip_prefix('{').and_then(|text| text.split_once('}')) {
                Some((mark, meaning)) if settings.is_empty() && !meaning.is_empty() => {
                    marks.push((mark, meaning.trim()))
                }
                _ => {
                    above.push(' ');
                    above.push_str(text);
                }
            }
        } else if line.is_empty() {
            above.clear();
            heading.clear();
        } else if let Some(table) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            prefix = format!("{}.", table.0.trim());
            above.clear();
        } else if let Some((key, behind)) = assignment(line) {
            let key = format!("{prefix}{key}");
            let text = format!("{} {behind}", std::mem::take(&mut above));
            let (meaning, range, source) = parts(&text);
            let source = if source.is_empty() { heading.clone() } else { source };
            let source = marks.iter().find(|(mark, _)| *mark == source).map_or(source, |(_, full)| (*full).to_owned());
            let default = crate::settings::lookup(values, &key).cloned();
            if let Some(default) = default.filter(|_| key != "schema") {
                settings.push(Setting { key, default, range, meaning, source });
            }
        }
    }
    settings
}

/// Refuses settings of `resolved` that lie outside the ranges that the preset states.
pub(crate) fn check_ranges(settings: &[Setting], resolved: &Table) -> Result<(), SimError> {
    for setting in settings {
        let Some(value) = crate::settings::lookup(resolved, &setting.key) else { continue };
        if !setting.range.contains(value) {
            let reason = format!("expected {}, found {value}", setting.range);
            return Err(SimError::SettingValue { key: setting.key.clone(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESET: &str = "\
# A design: authors, with a {brace}.
# {a} the lecture
schema = 1

# What prices it.
costs = \"x # no comment\"

## Array {a}
rows = 4 # rows [1 to 2^10]
columns = 8 # columns {guessed}

# The order. [\"up\" | \"down\"]
order = \"up\"
rate = 0.5 # share [above 0]
";

    #[test]
    fn comments_describe_the_settings() {
        let settings = preset_settings(PRESET).unwrap();
        let rows: Vec<_> = settings
            .iter()
            .map(|s| format!("{}|{}|{}|{}|{}", s.key, s.default, s.range, s.meaning, s.source))
            .collect();
        assert_eq!(
            rows,
            [
                "costs|\"x # no comment\"||What prices it.|",
                "rows|4|1 to 1024|rows|the lecture",
                "columns|8||columns|guessed",
                "order|\"up\"|\"up\" or \"down\"|The order.|",
                "rate|0.5|a number above 0|share|",
            ]
        );
    }

    #[test]
    fn ranges_are_checked() {
        for (overrides, message) in [
            ("rows = 0", "setting \"rows\": expected 1 to 1024, found 0"),
            ("rows = 1025", "setting \"rows\": expected 1 to 1024, found 1025"),
            ("order = \"left\"", "setting \"order\": expected \"up\" or \"down\", found \"left\""),
            ("rate = 0", "setting \"rate\": expected a number above 0, found 0.0"),
            ("rate = nan", "setting \"rate\": expected a number above 0, found nan"),
        ] {
            let error = crate::resolve_config(PRESET, &overrides.parse().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        crate::resolve_config(PRESET, &"rows = 1024\nrate = 1e-9".parse().unwrap()).unwrap();
    }
}
