//! From a resolved table to a model's typed configuration.

use serde::de::DeserializeOwned;
use skimp_sim::{LayerWorkload, SimError, nearest};
use toml::Table;

/// Magnitudes of real settings: clocks, rates, areas and shares of every design lie far within, and no product or quotient
/// of a few of them leaves the range of f64.
const REALS: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// Refuses reals that are not finite, or so large or small that results would not be.
fn check_reals(prefix: &str, table: &Table) -> Result<(), SimError> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => check_reals(&format!("{key}."), inner)?,
            toml::Value::Float(value) if *value != 0.0 && !REALS.contains(&value.abs()) => {
                let reason = format!("expected a number from 1e-9 to 1e9, found {value:e}");
                return Err(SimError::SettingValue { key, reason });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The typed form of a resolved configuration.
pub(super) fn typed<T: DeserializeOwned>(resolved: &Table) -> Result<T, SimError> {
    check(resolved)?;
    read(resolved.clone())
}

/// The settings `keys` of a configuration in their typed form, and the other settings.
pub(super) fn taken<T: DeserializeOwned>(resolved: &Table, keys: &[&str]) -> Result<(T, Table), SimError> {
    check(resolved)?;
    let (taken, rest) = resolved.clone().into_iter().partition::<Table, _>(|(key, _)| keys.contains(&key.as_str()));
    Ok((read(taken)?, rest))
}

fn check(resolved: &Table) -> Result<(), SimError> {
    if resolved.get("schema").and_then(toml::Value::as_integer) != Some(1) {
        return Err(SimError::SettingValue { key: "schema".into(), reason: "expected 1".into() });
    }
    check_reals("", resolved)
}

/// The typed form of settings that were checked.
pub(super) fn read<T: DeserializeOwned>(settings: Table) -> Result<T, SimError> {
    settings
        .try_into()
        .map_err(|source| SimError::Toml { what: "accelerator configuration".into(), source: Box::new(source) })
}

/// Refuses what is not finite and above 0.
pub(super) fn positive(key: &str, value: f64) -> Result<(), SimError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(SimError::SettingValue { key: key.into(), reason: format!("expected a number above 0, found {value}") })
}

/// Greatest extent of an array's axis that a setting may ask for.
const MAX_EXTENT: u32 = 4096;

/// Refuses extents of an array that are 0 or beyond every array.
pub(super) fn extents(settings: &[(&str, u32)]) -> Result<(), SimError> {
    for &(key, value) in settings {
        positive(key, f64::from(value))?;
        if value > MAX_EXTENT {
            let reason = format!("expected at most {MAX_EXTENT}, found {value}");
            return Err(SimError::SettingValue { key: key.into(), reason });
        }
    }
    Ok(())
}

/// Entries `LAYER=NUMBER` of a list setting. The name may hold `=`; the last one counts.
pub(super) fn layer_values(key: &str, entries: &[String]) -> Result<Vec<(String, u32)>, SimError> {
    let malformed = |entry: &str| SimError::SettingValue {
        key: key.into(),
        reason: format!("expected \"LAYER=NUMBER\", found {entry:?}"),
    };
    entries
        .iter()
        .map(|entry| {
            let (layer, number) = entry.rsplit_once('=').ok_or_else(|| malformed(entry))?;
            let number = number.trim().parse().map_err(|_| malformed(entry))?;
            Ok((layer.trim().to_owned(), number))
        })
        .collect()
}

/// Refuses names that the list setting `key` says of single layers where no layer of the network has them.
pub(super) fn check_names<'n>(
    key: &str,
    mut names: impl Iterator<Item = &'n str>,
    layers: &[LayerWorkload],
) -> Result<(), SimError> {
    let known = || layers.iter().map(|layer| layer.name.as_str());
    match names.find(|name| known().all(|layer| layer != *name)) {
        Some(name) => Err(SimError::UnknownLayer {
            key: key.to_owned(),
            layer: name.to_owned(),
            nearest: nearest(name, known()),
            known: known().collect::<Vec<_>>().join(", "),
        }),
        None => Ok(()),
    }
}

/// The list setting that [`layer_values`] reads.
pub(super) fn layer_list(values: &[(String, u32)]) -> toml::Value {
    toml::Value::Array(values.iter().map(|(layer, value)| format!("{layer}={value}").into()).collect())
}
