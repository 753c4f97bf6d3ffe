//! What is registered: the lists of the studies' crate, and those of sweeps.

use skimp_study::{ListEntry, ListRecord, ShowRecord, StudyError};
use skimp_sweep::{FIGURES, SweepConfig, embedded_sweeps, search};

/// The lists of sweeps.
const OWN: [&str; 3] = ["sweeps", "search-methods", "figures"];

/// Every list that [`list`] knows.
#[must_use]
pub fn lists() -> Vec<&'static str> {
    skimp_study::LISTS.iter().copied().chain(OWN).collect()
}

/// The names of a list's entries, for those who type them; none for a list that is not there.
#[must_use]
pub fn names(what: &str) -> Vec<&'static str> {
    match what {
        "sweeps" => embedded_sweeps(),
        "search-methods" => search::METHODS.iter().map(|method| method.name()).collect(),
        "figures" => FIGURES.iter().map(|figure| figure.name).collect(),
        what => skimp_study::names(what),
    }
}

/// The entries of one of [`lists`].
///
/// # Errors
/// [`StudyError::Setting`] if there is no such list.
pub fn list(what: &str) -> Result<ListRecord, StudyError> {
    let entries = match what {
        "sweeps" => {
            let open = |name: &&str| SweepConfig::open(name).map(|sweep| ListEntry::new(sweep.name, sweep.summary, ""));
            // They are embedded, and a test opens each.
            embedded_sweeps().iter().filter_map(|name| open(name).ok()).collect()
        }
        "search-methods" => {
            search::METHODS.iter().map(|method| ListEntry::new(method.name(), method.summary(), "")).collect()
        }
        "figures" => FIGURES
            .iter()
            .map(|figure| {
                let mut entry = ListEntry::new(figure.name, figure.summary, "");
                entry.facts.insert("unit".to_owned(), figure.unit.into());
                entry
            })
            .collect(),
        what => {
            return skimp_study::list(what).map_err(|error| match error {
                StudyError::Setting { setting, found, .. } => {
                    StudyError::Setting { setting, found, expected: format!("one of: {}", lists().join(", ")) }
                }
                other => other,
            });
        }
    };
    Ok(ListRecord { schema: "skimp.list/1", list: what.to_owned(), entries })
}

/// The kind of what [`show`] shows beside [`SHOWN`](skimp_study::SHOWN).
const SWEEP: &str = "sweep";

/// Names of everything that [`show`] knows.
#[must_use]
pub fn shown_names() -> Vec<&'static str> {
    skimp_study::shown_names().into_iter().chain(embedded_sweeps()).collect()
}

/// The preset of an accelerator, a cost table, an embedded study or sweep; `kind` chooses where several have the name.
///
/// # Errors
/// As [`skimp_study::show`].
pub fn show(name: &str, kind: Option<&str>) -> Result<ShowRecord, StudyError> {
    match skimp_sweep::embedded_sweep(name).filter(|_| kind.is_none_or(|kind| kind == SWEEP)) {
        Some(text) if kind == Some(SWEEP) || skimp_study::show(name, None).is_err() => Ok(ShowRecord {
            schema: "skimp.show/1",
            kind: SWEEP,
            name: name.to_owned(),
            toml: text.to_owned(),
            also: Vec::new(),
        }),
        _ => skimp_study::show(name, kind),
    }
}
