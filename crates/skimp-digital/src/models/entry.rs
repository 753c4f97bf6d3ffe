//! What all registered models have in common, as data.

use std::fmt;

use skimp_sim::{AcceleratorModel, Configured, SimError, resolve_config};
use toml::Table;

/// A registered model: constants, and how it is made from its resolved settings.
#[derive(Clone, Copy)]
pub struct Entry {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) source: &'static str,
    pub(super) preset: &'static str,
    pub(super) build: fn(Table) -> Result<Configured, SimError>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AcceleratorModel for Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn source(&self) -> &'static str {
        self.source
    }

    fn preset(&self) -> &'static str {
        self.preset
    }

    fn configure(&self, overrides: &Table) -> Result<Configured, SimError> {
        (self.build)(resolve_config(self.preset, overrides)?).map_err(|error| error.of_design(self.name))
    }
}
