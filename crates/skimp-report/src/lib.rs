//! Records of runs, written as tables, CSV, JSON and HTML.
//!
//! [`SimulationRecord`] holds what accelerators did with a network, [`StudyRecord`] a whole study. This crate takes
//! records and knows nothing of the simulators that fill them; it prints nothing and reads no environment.

mod error;
pub mod records;

pub use error::ReportError;
pub use indexmap::IndexMap;
pub use records::{SimulationRecord, StudyRecord};
