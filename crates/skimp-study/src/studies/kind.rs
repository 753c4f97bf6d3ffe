//! The seam between studies in general and one kind of study.

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use skimp_report::StudyRecord;
use toml::Table;

use crate::error::StudyError;
use crate::schema::fields_of;
use crate::simulate::designs::Designs;
use crate::store::desk::Desk;
use crate::studies::config::StudyHeader;
use crate::studies::published::{NO_FIGURE, PublishedConfig};

/// One kind of study: the keys and tables of a study file that are its own, as a type, and what becomes of them. It is
/// registered as [`KindOf`] that type.
///
/// The header of the file (name, network, data, published figures) is the same for all kinds. A study of any kind runs at a
/// [`Desk`], which works out its points ([`Points`](crate::Points)), keeps them and finds them again.
pub trait StudyPlan: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Unique name, kebab-case.
    const KIND: &'static str;
    /// What such a study asks, in one line.
    const SUMMARY: &'static str;
    /// The table whose presence in a file says that the study is of this kind, with its brackets; empty: such a file says
    /// `kind = "NAME"`.
    const MARK: &'static str;
    /// Keys that resolved files of older versions have and that mean nothing.
    const OLDER_KEYS: &'static [&'static str] = &[];
    /// Whether such a study is about the network and the images of its header; otherwise its own keys name what it reads.
    const READS_HEADER: bool = true;

    /// Checks what can be checked before anything is opened; the cause, with the key, if something is wrong.
    ///
    /// # Errors
    /// The cause.
    fn check(&self, study: &StudyHeader) -> Result<(), String>;

    /// Checks a published figure: whether a study of this kind has a figure of that name to set beside it. As it stands: a
    /// kind without figures of its own.
    ///
    /// # Errors
    /// The cause, without the figure's name.
    fn check_published(&self, figure: &PublishedConfig) -> Result<(), String> {
        match figure.ours.as_str() {
            NO_FIGURE => Ok(()),
            other => Err(format!("ours is \"{other}\", expected \"{NO_FIGURE}\"")),
        }
    }

    /// Takes in the files that the plan names, relative to `folder`, and the `designs` that its names stand for: a resolved
    /// configuration needs no other file.
    ///
    /// # Errors
    /// [`StudyError`] naming the file and what is wrong in it.
    fn read_files(&mut self, _designs: &Designs, _folder: &Path) -> Result<(), StudyError> {
        Ok(())
    }

    /// Runs the study. Name, title, kind and configuration of the record are filled in by whoever calls.
    ///
    /// # Errors
    /// [`StudyError`] naming the file, node, layer or setting.
    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError>;
}

/// A [`StudyPlan`] as an entry of a registry.
pub trait StudyKind: Debug + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What such a study asks.
    fn summary(&self) -> &'static str;

    /// The table that tells it, with its brackets; empty for none.
    fn mark(&self) -> &'static str;

    /// Keys of a study file that are its own.
    fn keys(&self) -> Vec<&'static str>;

    /// Keys that older files have.
    fn older_keys(&self) -> &'static [&'static str];

    /// Reads its part of a study file.
    ///
    /// # Errors
    /// The cause, with line and key.
    fn parse(&self, text: &str) -> Result<Plan, String>;
}

/// The type of a [`StudyPlan`] as a [`StudyKind`].
pub struct KindOf<T>(PhantomData<fn() -> T>);

impl<T> KindOf<T> {
    /// To be registered.
    pub const ENTRY: Self = Self(PhantomData);
}

impl<T: StudyPlan> Debug for KindOf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(T::KIND)
    }
}

impl<T: StudyPlan> StudyKind for KindOf<T> {
    fn name(&self) -> &'static str {
        T::KIND
    }

    fn summary(&self) -> &'static str {
        T::SUMMARY
    }

    fn mark(&self) -> &'static str {
        T::MARK
    }

    fn keys(&self) -> Vec<&'static str> {
        fields_of::<T>().to_vec()
    }

    fn older_keys(&self) -> &'static [&'static str] {
        T::OLDER_KEYS
    }

    fn parse(&self, text: &str) -> Result<Plan, String> {
        let plan: T = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        Ok(Plan::new(plan))
    }
}

/// What a kind of study has read from a study file: a [`StudyPlan`] of any type.
pub struct Plan(Box<dyn AnyPlan>);

/// [`StudyPlan`] without its type.
trait AnyPlan: Debug + Send + Sync {
    fn kind(&self) -> &'static str;
    fn copy(&self) -> Box<dyn AnyPlan>;
    fn is_equal(&self, other: &dyn AnyPlan) -> bool;
    fn reads_header(&self) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn check(&self, study: &StudyHeader) -> Result<(), String>;
    fn set(&mut self, keys: &Table) -> Result<(), StudyError>;
    fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError>;
    fn to_toml(&self, study: &StudyHeader) -> Result<String, StudyError>;
    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError>;
}

impl<T: StudyPlan> AnyPlan for T {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn copy(&self) -> Box<dyn AnyPlan> {
        Box::new(self.clone())
    }

    fn is_equal(&self, other: &dyn AnyPlan) -> bool {
        other.as_any().downcast_ref::<T>() == Some(self)
    }

    fn reads_header(&self) -> bool {
        T::READS_HEADER
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn check(&self, study: &StudyHeader) -> Result<(), String> {
        StudyPlan::check(self, study)?;
        for figure in &study.published {
            self.check_published(figure).map_err(|cause| format!("published \"{}\": {cause}", figure.quantity))?;
        }
        Ok(())
    }

    fn set(&mut self, keys: &Table) -> Result<(), StudyError> {
        let known = fields_of::<T>();
        if let Some(key) = keys.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(StudyError::UnknownStudyKey { kind: T::KIND, key: key.clone(), known: known.to_vec() });
        }
        let mut own = Table::try_from(&*self)?;
        own.extend(keys.clone());
        *self = own.try_into().map_err(|error: toml::de::Error| StudyError::InvalidStudy {
            path: format!("a study of kind {}", T::KIND).into(),
            cause: error.message().to_owned(),
        })?;
        Ok(())
    }

    fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        StudyPlan::read_files(self, designs, folder)
    }

    fn to_toml(&self, study: &StudyHeader) -> Result<String, StudyError> {
        study.to_toml_with(self)
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        StudyPlan::run(self, study, desk)
    }
}

impl Plan {
    /// Of that type.
    pub fn new<T: StudyPlan>(plan: T) -> Self {
        Self(Box::new(plan))
    }

    /// The kind's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// Whether it needs the network and the images of the header.
    pub(crate) fn reads_header(&self) -> bool {
        self.0.reads_header()
    }

    /// The plan, if it is of that type.
    #[must_use]
    pub fn get<T: StudyPlan>(&self) -> Option<&T> {
        (*self.0).as_any().downcast_ref()
    }

    /// The plan, if it is of that type, to be changed.
    pub fn get_mut<T: StudyPlan>(&mut self) -> Option<&mut T> {
        (*self.0).as_any_mut().downcast_mut()
    }

    pub(crate) fn check(&self, study: &StudyHeader) -> Result<(), String> {
        self.0.check(study)
    }

    /// Replaces keys of its own, as they stand in a study file.
    pub(crate) fn set(&mut self, keys: &Table) -> Result<(), StudyError> {
        self.0.set(keys)
    }

    pub(crate) fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        self.0.read_files(designs, folder)
    }

    pub(crate) fn to_toml(&self, study: &StudyHeader) -> Result<String, StudyError> {
        self.0.to_toml(study)
    }

    pub(crate) fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        self.0.run(study, desk)
    }
}

impl Clone for Plan {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_equal(&*other.0)
    }
}

impl Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl StudyHeader {
    /// The study file of this header and a kind's own keys, which stand between data and published figures.
    fn to_toml_with<T: Serialize>(&self, own: &T) -> Result<String, StudyError> {
        #[derive(Serialize)]
        struct Tail<'a> {
            published: &'a [PublishedConfig],
        }
        #[derive(Serialize)]
        struct File<'a, T> {
            #[serde(flatten)]
            header: &'a StudyHeader,
            #[serde(flatten)]
            own: &'a T,
            #[serde(flatten)]
            tail: Tail<'a>,
        }
        toml::to_string(&File { header: self, own, tail: Tail { published: &self.published } })
            .map_err(|error| StudyError::InvalidStudy { path: PathBuf::from(&self.name), cause: error.to_string() })
    }
}
