//! Accelerators on the real operand values of a network.

pub(crate) mod accelerators;
#[cfg(test)]
mod approximate_tests;
pub(crate) mod chips;
#[cfg(test)]
mod chips_tests;
pub(crate) mod config;
#[cfg(test)]
mod coverage_tests;
pub(crate) mod designs;
pub(crate) mod dump;
pub(crate) mod effects;
pub(crate) mod figures;
mod findings;
#[cfg(test)]
mod integer_tests;
pub(crate) mod judging;
pub(crate) mod layers;
#[cfg(test)]
mod moment_tests;
pub(crate) mod other_layers;
#[cfg(test)]
mod over_time_tests;
pub(crate) mod priced;
pub(crate) mod pricing;
pub(crate) mod runs;
pub(crate) mod session;
pub(crate) mod shapes;
pub(crate) mod simulated;
pub(crate) mod stream;
pub(crate) mod timeline;
pub(crate) mod trace;
pub(crate) mod traced;
pub(crate) mod tuning;
