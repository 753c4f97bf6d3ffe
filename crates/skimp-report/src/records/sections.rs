//! The typed sections of a study's record.

use std::any::Any;
use std::fmt::Debug;

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    AccuracyRecord, ComparisonRecord, LayersRecord, PrecisionRecord, SimulationRecord, TablesRecord, TourRecord,
    TrainingRecord,
};

/// Types of sections that a record is read back into, one line each. Others are kept as they stand in the file.
static SECTION_TYPES: &[SectionType] = &[
    SectionType::of::<AccuracyRecord>(),
    SectionType::of::<LayersRecord>(),
    SectionType::of::<SimulationRecord>(),
    SectionType::of::<TrainingRecord>(),
    SectionType::of::<PrecisionRecord>(),
    SectionType::of::<ComparisonRecord>(),
    SectionType::of::<TablesRecord>(),
    SectionType::of::<TourRecord>(),
];

/// A section of a study's record: in JSON an object with its [`SCHEMA`](Self::SCHEMA) on top, under its
/// [`NAME`](Self::NAME) among the `sections`.
pub trait SectionRecord: Any + Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// Unique name.
    const NAME: &'static str;
    /// Schema and version of its form.
    const SCHEMA: &'static str;

    /// Brings a section of an older schema into the form of today; `false` if that cannot be.
    fn upgrade(_schema: &str, _section: &mut Value) -> bool {
        false
    }
}

/// The sections of a study, in order, found by their types.
#[derive(Debug, Default)]
pub struct Sections(Vec<Entry>);

/// One section.
#[derive(Debug)]
enum Entry {
    Typed(Box<dyn AnySection>),
    /// Of a type or schema that this version does not know: kept as it was read.
    Unread(String, Value),
}

/// Any [`SectionRecord`].
trait AnySection: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn value(&self) -> serde_json::Result<Value>;
    fn copy(&self) -> Box<dyn AnySection>;
    fn is_equal(&self, other: &dyn AnySection) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: SectionRecord> AnySection for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn value(&self) -> serde_json::Result<Value> {
        let Value::Object(own) = serde_json::to_value(self)? else {
            return Err(serde_json::Error::custom(format!("section {} is no object", T::NAME)));
        };
        let schema = std::iter::once(("schema".to_owned(), T::SCHEMA.into()));
        Ok(Value::Object(schema.chain(own.into_iter().filter(|(key, _)| key != "schema")).collect()))
    }

    fn copy(&self) -> Box<dyn AnySection> {
        Box::new(self.clone())
    }

    fn is_equal(&self, other: &dyn AnySection) -> bool {
        other.as_any().downcast_ref::<T>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A section as it is read back; `None` where it is of another schema.
type Read = serde_json::Result<Option<Box<dyn AnySection>>>;

/// How a section is read back.
struct SectionType {
    name: &'static str,
    read: fn(&mut Value) -> Read,
}

impl SectionType {
    const fn of<T: SectionRecord>() -> Self {
        Self { name: T::NAME, read: read::<T> }
    }
}

/// The section, or `None` if it is of a schema that this version does not know.
fn read<T: SectionRecord>(section: &mut Value) -> Read {
    let schema = section.get("schema").and_then(Value::as_str).unwrap_or_default().to_owned();
    if schema != T::SCHEMA {
        if !T::upgrade(&schema, section) {
            return Ok(None);
        }
        section["schema"] = T::SCHEMA.into();
    }
    Ok(Some(Box::new(T::deserialize(&*section)?)))
}

impl Sections {
    /// The section of that type.
    pub fn get<T: SectionRecord>(&self) -> Option<&T> {
        self.0.iter().find_map(|entry| match entry {
            Entry::Typed(section) => section.as_any().downcast_ref(),
            Entry::Unread(..) => None,
        })
    }

    /// The section of that type, to be changed.
    pub fn get_mut<T: SectionRecord>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|entry| match entry {
            Entry::Typed(section) => (**section).as_any_mut().downcast_mut(),
            Entry::Unread(..) => None,
        })
    }

    /// Puts a section in the place of the one of its name, or behind the others.
    pub fn set<T: SectionRecord>(&mut self, section: T) {
        let entry = Entry::Typed(Box::new(section));
        match self.0.iter_mut().find(|entry| entry.name() == T::NAME) {
            Some(place) => *place = entry,
            None => self.0.push(entry),
        }
    }

    /// With one section more.
    #[must_use]
    pub fn with<T: SectionRecord>(mut self, section: T) -> Self {
        self.set(section);
        self
    }

    /// Takes the section of that type away.
    pub fn remove<T: SectionRecord>(&mut self) -> Option<T> {
        let section = self.get().cloned()?;
        self.0.retain(|entry| entry.name() != T::NAME);
        Some(section)
    }

    /// Names of all sections, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Entry::name)
    }

    /// Name and schema of the sections that this version cannot show.
    pub fn unread(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|entry| match entry {
            Entry::Typed(_) => None,
            Entry::Unread(name, section) => {
                Some((name.as_str(), section.get("schema").and_then(Value::as_str).unwrap_or("no schema")))
            }
        })
    }
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Entry::Typed(section) => section.name(),
            Entry::Unread(name, _) => name,
        }
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        match self {
            Entry::Typed(section) => Entry::Typed(section.copy()),
            Entry::Unread(name, section) => Entry::Unread(name.clone(), section.clone()),
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Entry::Typed(own), Entry::Typed(other)) => own.is_equal(&**other),
            (Entry::Unread(name, own), Entry::Unread(other_name, other)) => name == other_name && own == other,
            (Entry::Typed(_), Entry::Unread(..)) | (Entry::Unread(..), Entry::Typed(_)) => false,
        }
    }
}

impl Clone for Sections {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PartialEq for Sections {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Serialize for Sections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sections = Map::new();
        for entry in &self.0 {
            let value = match entry {
                Entry::Typed(section) => section.value().map_err(serde::ser::Error::custom)?,
                Entry::Unread(_, value) => value.clone(),
            };
            sections.insert(entry.name().to_owned(), value);
        }
        sections.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sections = IndexMap::<String, Value>::deserialize(deserializer)?;
        let entry = |(name, mut section): (String, Value)| {
            let read = SECTION_TYPES.iter().find(|known| known.name == name).map(|known| (known.read)(&mut section));
            match read.transpose() {
                Ok(typed) => Ok(typed.flatten().map_or(Entry::Unread(name, section), Entry::Typed)),
                Err(error) => Err(D::Error::custom(format!("section {name}: {error}"))),
            }
        };
        sections.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }
}
