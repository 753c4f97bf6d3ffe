//! Studies: a file, a kind, a record, a report.

pub(crate) mod accelerators;
pub(crate) mod config;
pub(crate) mod embedded;
#[cfg(test)]
mod honest_tests;
pub(crate) mod precision;
pub(crate) mod published;
#[cfg(test)]
mod published_tests;
