//! Settings of methods.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Method, ReduceError};

/// A method's settings, from what was asked.
///
/// # Errors
/// [`ReduceError::Setting`] for one that it does not know or that does not fit.
pub(crate) fn read<T: DeserializeOwned>(method: &dyn Method, settings: &toml::Table) -> Result<T, ReduceError> {
    check(method, settings)?;
    let typed = settings.clone().try_into();
    typed.map_err(|error: toml::de::Error| {
        let told =
            settings.iter().next().map_or(("settings", String::new()), |(name, value)| (name, value.to_string()));
        setting(method, told.0, error.message().to_owned(), told.1)
    })
}

fn setting(method: &dyn Method, name: &str, expected: String, found: String) -> ReduceError {
    ReduceError::Setting { method: method.facts().name.to_owned(), setting: name.to_owned(), expected, found }
}

/// Refuses settings that a method does not know.
///
/// # Errors
/// [`ReduceError::Setting`] naming the first of them.
pub(crate) fn check(method: &dyn Method, settings: &toml::Table) -> Result<(), ReduceError> {
    let known = method.settings();
    if let Some((name, value)) = settings.iter().find(|(name, _)| !known.contains_key(*name)) {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let expected =
            if names.is_empty() { "no settings".to_owned() } else { format!("one of: {}", names.join(", ")) };
        return Err(setting(method, name, expected, value.to_string()));
    }
    Ok(())
}

/// Settings as a table.
pub(crate) fn table(settings: &impl Serialize) -> toml::Table {
    toml::Table::try_from(settings).unwrap_or_default()
}
