//! Study files: a header that is the same for all kinds, and what the kind reads from the rest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::StudyError;
use crate::inputs::config::{DataConfig, NetworkConfig};
use crate::schema::fields_of;
use crate::studies::STUDY_KINDS;
use crate::studies::kind::{Plan, StudyKind};
use crate::studies::published::PublishedConfig;

/// Version of the study file's format.
pub const STUDY_SCHEMA: u32 = 1;

/// A study: what it is called, what it is about, and the plan of its kind. Read from TOML; unknown keys are errors.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyConfig {
    /// Names, network, data, published figures.
    pub header: StudyHeader,
    /// What the kind of study has read from the file.
    pub plan: Plan,
}

/// What every study file has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyHeader {
    /// Format version, [`STUDY_SCHEMA`].
    pub schema: u32,
    /// The kind of study, where the file says it; a table that only one kind has tells it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the study (kebab-case).
    pub name: String,
    /// Heading of the report. `{network}` and `{data}` stand for the names of those that ran.
    pub title: String,
    /// One line for `skimp list studies`.
    pub summary: String,
    /// What the study asks about, as the subject of the report's first sentence; left out: what the kind says instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: NetworkConfig,
    /// Images and how they reach the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data: DataConfig,
    /// Published figures to set beside ours.
    #[serde(default, skip_serializing)]
    pub published: Vec<PublishedConfig>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl StudyHeader {
    /// Whether there are images to measure accuracy on.
    ///
    /// # Errors
    /// The cause, where there are none.
    pub(crate) fn check_accuracy_images(&self) -> Result<(), String> {
        match self.data.accuracy_images {
            0 => {
                Err("data.accuracy_images is 0, expected the number of images that accuracy is measured on".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The heading, of a network and data of these names.
    pub(crate) fn title_of(&self, network: &str, data: &str) -> String {
        self.title.replace("{network}", network).replace("{data}", data)
    }
}

impl StudyConfig {
    /// Reads a study of one of [`STUDY_KINDS`] from TOML.
    ///
    /// # Errors
    /// [`StudyError::InvalidStudy`] naming `origin`, the key and the cause.
    pub fn parse(text: &str, origin: &str) -> Result<Self, StudyError> {
        Self::parse_as(text, origin, STUDY_KINDS)
    }

    /// As [`parse`](Self::parse), of these kinds.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_as(text: &str, origin: &str, kinds: &[&dyn StudyKind]) -> Result<Self, StudyError> {
        let invalid = |cause: String| StudyError::InvalidStudy { path: PathBuf::from(origin), cause };
        let toml = |error: toml::de::Error| invalid(error.to_string().trim_end().to_owned());
        let root = toml::de::DeTable::parse(text).map_err(toml)?;
        let keys: Vec<(&str, usize)> =
            root.get_ref().keys().map(|key| (key.get_ref().as_ref(), key.span().start)).collect();
        let kind = kind_of(&keys, text, kinds).map_err(invalid)?;
        let mut known = fields_of::<StudyHeader>().to_vec();
        known.extend(kind.keys());
        let is_known = |key: &str| known.contains(&key) || kind.older_keys().contains(&key);
        if let Some(&(key, at)) = keys.iter().filter(|(key, _)| !is_known(key)).min_by_key(|(_, at)| at) {
            let line = text[..at].matches('\n').count() + 1;
            let other = kinds.iter().find(|kind| kind.keys().contains(&key));
            let why = other.map_or_else(String::new, |other| {
                format!(" in a study of kind {}, it is one of {}", kind.name(), other.name())
            });
            let known = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            return Err(invalid(format!("line {line}: unknown field `{key}`{why}, expected one of {known}")));
        }
        let header: StudyHeader = toml::from_str(text).map_err(toml)?;
        if header.schema != STUDY_SCHEMA {
            return Err(invalid(format!("schema is {}, expected {STUDY_SCHEMA}", header.schema)));
        }
        let plan = kind.parse(text).map_err(invalid)?;
        let is_unread = !is_default(&header.network) || !is_default(&header.data);
        if is_unread && !plan.reads_header() {
            return Err(invalid(format!("a study of kind {} has neither [network] nor [data]", plan.kind())));
        }
        plan.check(&header).map_err(invalid)?;
        Ok(Self { header, plan })
    }

    /// The study as TOML: what [`parse`](Self::parse) reads back.
    ///
    /// # Errors
    /// [`StudyError::InvalidStudy`] if the configuration cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, StudyError> {
        self.plan.to_toml(&self.header)
    }
}

/// The kind of a study file, told by its `kind` or by a table that only one kind has.
fn kind_of<'k>(keys: &[(&str, usize)], text: &str, kinds: &[&'k dyn StudyKind]) -> Result<&'k dyn StudyKind, String> {
    #[derive(Deserialize)]
    struct Named {
        kind: Option<String>,
    }
    let has = |kind: &&&dyn StudyKind| {
        let mark = kind.mark().trim_matches(['[', ']']);
        keys.iter().any(|&(key, _)| !mark.is_empty() && key == mark)
    };
    let told: Vec<&dyn StudyKind> = kinds.iter().filter(has).copied().collect();
    let named: Named = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    match (named.kind, &told[..]) {
        (Some(name), told) => {
            let Some(kind) = kinds.iter().find(|kind| kind.name() == name) else {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                return Err(format!("kind is \"{name}\", expected one of: {}", names.join(", ")));
            };
            match told.iter().find(|other| other.name() != name) {
                Some(other) => {
                    Err(format!("kind is \"{name}\", but {} tells one of kind {}", other.mark(), other.name()))
                }
                None => Ok(*kind),
            }
        }
        (None, [kind]) => Ok(*kind),
        (None, []) => {
            let marks: Vec<&str> = kinds.iter().map(|kind| kind.mark()).filter(|mark| !mark.is_empty()).collect();
            Err(format!("there is no {}, nor a kind: one of them says what is studied", marks.join(", no ")))
        }
        (None, [first, second, ..]) => Err(format!("{} and {} exclude each other", first.mark(), second.mark())),
    }
}
