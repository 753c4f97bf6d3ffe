//! What a preset, a cost table or an embedded study says, as the file that it is.

use serde::Serialize;
use skimp_digital::ACCELERATORS;
use skimp_digital::costs::COST_TABLES;
use skimp_report::table::{Cell, Column, Table};
use skimp_sim::{find_model, nearest, preset_settings};

use crate::error::StudyError;
use crate::studies::embedded::STUDIES;
use crate::tabular::Tabular;

/// What [`show`] shows.
pub static SHOWN: &[&str] = &["accelerator", "costs", "study"];

/// One embedded file: `skimp.show/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShowRecord {
    /// `skimp.show/1`.
    pub schema: &'static str,
    /// One of [`SHOWN`].
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The file, TOML.
    pub toml: String,
    /// Other kinds that have something of that name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<&'static str>,
}

/// Everything that can be shown: kind, name, text.
fn files() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let accelerators = ACCELERATORS.iter().map(|model| ("accelerator", model.name(), model.preset()));
    let costs = COST_TABLES.iter().map(|&(name, text)| ("costs", name, text));
    let studies = STUDIES.iter().map(|&(name, text)| ("study", name, text));
    accelerators.chain(costs).chain(studies)
}

/// Names of everything that [`show`] knows.
#[must_use]
pub fn shown_names() -> Vec<&'static str> {
    files().map(|(_, name, _)| name).collect()
}

/// The preset of an accelerator, a cost table or an embedded study; `kind` chooses where several have the name.
///
/// # Errors
/// [`StudyError::Unknown`] with the nearest and all names.
pub fn show(name: &str, kind: Option<&str>) -> Result<ShowRecord, StudyError> {
    let of_kind = |found: &str| kind.is_none_or(|kind| kind == found);
    let mut found = files().filter(|(kind, other, _)| *other == name && of_kind(kind));
    let Some((kind, name, text)) = found.next() else {
        let known: Vec<_> = files().filter(|(kind, ..)| of_kind(kind)).map(|(_, name, _)| name).collect();
        let nearest = nearest(name, known.iter().copied());
        let (what, name, nearest) = ("preset, cost table or study", name.to_owned(), nearest.to_owned());
        return Err(StudyError::Unknown { what, name, nearest, known });
    };
    let also = files().filter(|(other, same, _)| *same == name && *other != kind).map(|(other, ..)| other).collect();
    Ok(ShowRecord { schema: "skimp.show/1", kind, name: name.to_owned(), toml: text.to_owned(), also })
}

/// The settings of an accelerator: `skimp.settings/1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsRecord {
    /// `skimp.settings/1`.
    pub schema: &'static str,
    /// The accelerator.
    pub accelerator: String,
    /// Its settings in the order of its preset.
    pub settings: Vec<SettingRecord>,
}

/// One setting of an accelerator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingRecord {
    /// Its key.
    pub key: String,
    /// Unit, where the key names one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: &'static str,
    /// The preset's value.
    pub default: toml::Value,
    /// What it may be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub range: String,
    /// What it means.
    pub meaning: String,
    /// Where the preset's value comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// The settings of the accelerator called `name`, as its preset describes them.
///
/// # Errors
/// [`StudyError::Sim`] with the nearest and all names.
pub fn settings(name: &str) -> Result<SettingsRecord, StudyError> {
    let settings = preset_settings(find_model(ACCELERATORS, name)?.preset())?.into_iter();
    let record = |setting: skimp_sim::Setting| SettingRecord {
        unit: setting.unit(),
        range: if setting.default.is_bool() { "true or false".to_owned() } else { setting.range.to_string() },
        key: setting.key,
        default: setting.default,
        meaning: setting.meaning,
        source: setting.source,
    };
    Ok(SettingsRecord {
        schema: "skimp.settings/1",
        accelerator: name.to_owned(),
        settings: settings.map(record).collect(),
    })
}

impl Tabular for SettingsRecord {
    fn tables(&self) -> Vec<Table> {
        let columns = ["key", "unit", "default", "range", "meaning", "source"].map(|key| Column::text(key, key));
        let mut table = Table::new(format!("settings of {}", self.accelerator), columns.to_vec());
        for setting in &self.settings {
            let default = setting.default.to_string();
            let cells = [&setting.key, setting.unit, &default, &setting.range, &setting.meaning, &setting.source];
            table.row(cells.map(Cell::from).to_vec());
        }
        vec![table]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_registered_can_be_shown() {
        for (kind, name, text) in files() {
            let record = show(name, Some(kind)).unwrap();
            assert_eq!((record.kind, record.toml.as_str()), (kind, text));
            assert!(text.parse::<toml::Table>().is_ok(), "{name}");
        }
        let twice = show("selective-gradients", None).unwrap();
        assert_eq!((twice.kind, twice.also), ("accelerator", vec!["study"]));
        let error = show("compent", None).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("did you mean \"compend\"?"), "{error}");
        assert!(show("sample", Some("costs")).unwrap_err().to_string().contains("compend-45nm"));
    }

    #[test]
    fn settings_are_those_of_the_preset() {
        for model in ACCELERATORS {
            let record = settings(model.name()).unwrap();
            assert!(record.settings.iter().any(|setting| setting.key == "costs"), "{}", model.name());
            let text = record.to_text(None);
            assert!(record.settings.iter().all(|setting| text.contains(&setting.key)), "{text}");
        }
        assert!(settings("compent").unwrap_err().to_string().contains("compend"));
    }
}
