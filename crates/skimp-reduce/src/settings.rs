//! Settings of methods, from a table to a type.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ReduceError;

/// A number, or one that follows from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number or \"auto\"")]
pub enum Auto {
    /// This number.
    Number(f64),
    /// Whatever follows from the rest.
    Word(AutoWord),
}

/// The word that stands for no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoWord {
    /// Whatever follows from the rest.
    Auto,
}

impl Auto {
    /// The number, if there is one.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Word(AutoWord::Auto) => None,
        }
    }
}

/// A bad setting.
pub fn setting_error(method: &str, setting: &str, expected: &str, found: impl fmt::Display) -> ReduceError {
    ReduceError::Setting {
        method: method.to_owned(),
        setting: setting.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

/// A method's settings: those given over its defaults, which name all that there are.
///
/// # Errors
/// [`ReduceError::Setting`] with the first that is unknown or of a wrong type.
pub fn parse<T: DeserializeOwned>(method: &str, defaults: &toml::Table, given: &toml::Table) -> Result<T, ReduceError> {
    let mut all = defaults.clone();
    for (name, value) in given {
        if !defaults.contains_key(name) {
            let names: Vec<&str> = defaults.keys().map(String::as_str).collect();
            let expected =
                if names.is_empty() { "no settings".to_owned() } else { format!("one of: {}", names.join(", ")) };
            return Err(setting_error(method, name, &expected, value));
        }
        let mut one = defaults.clone();
        one.insert(name.clone(), value.clone());
        if let Err(error) = one.try_into::<T>() {
            let message = error.message();
            let expected = message.rsplit_once("expected ").map_or(message, |(_, expected)| expected).trim();
            return Err(setting_error(method, name, expected, value));
        }
        all.insert(name.clone(), value.clone());
    }
    all.try_into().map_err(|error| setting_error(method, "settings", error.message(), "the settings as a whole"))
}

/// Checks that a setting is within bounds.
///
/// # Errors
/// [`ReduceError::Setting`] if it is not.
pub fn within<T: PartialOrd + fmt::Display>(
    method: &str,
    setting: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ReduceError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(setting_error(method, setting, &format!("{} to {}", range.start(), range.end()), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Settings {
        epochs: u64,
        floor: Auto,
    }

    fn parsed(text: &str) -> Result<Settings, String> {
        let defaults: toml::Table = toml::from_str("epochs = 3\nfloor = \"auto\"").unwrap();
        parse("some", &defaults, &toml::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn given_over_defaults() {
        let settings = parsed("").unwrap();
        assert_eq!((settings.epochs, settings.floor.number()), (3, None));
        let settings = parsed("floor = 0\nepochs = 1").unwrap();
        assert_eq!((settings.epochs, settings.floor.number()), (1, Some(0.0)));
        for (text, cause) in [
            ("epoch = 2", "setting \"epoch\" of method some: expected one of: epochs, floor, found 2"),
            ("epochs = \"two\"", "setting \"epochs\" of method some: expected u64, found \"two\""),
            (
                "epochs = 1\nfloor = \"a\"",
                "setting \"floor\" of method some: expected a number or \"auto\", found \"a\"",
            ),
        ] {
            assert_eq!(parsed(text).unwrap_err(), cause);
        }
    }
}
