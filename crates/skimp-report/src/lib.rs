//! Records of runs, written as tables, CSV, JSON and HTML.
//!
//! [`SimulationRecord`] holds what accelerators did with a network, [`StudyRecord`] a whole study. [`write_study`]
//! turns a study into a folder of files, [`html::render`] into one self-contained page, [`views`] into tables.
//! [`SweepRecord`] holds the points of a sweep, which [`html::render_sweep`] makes a page to explore, [`OptimizeRecord`] an
//! optimization under a bound ([`html::render_optimize`]).
//! This crate takes records and knows nothing of the simulators that fill them; it prints nothing and reads no
//! environment.

mod error;
mod files;
mod front;
pub mod html;
pub mod number;
pub mod records;
pub mod table;
pub mod views;
mod writers;

pub use error::ReportError;
pub use files::write_atomic;
pub use front::front;
pub use indexmap::IndexMap;
pub use records::{OptimizeRecord, SimulationRecord, StudyRecord, SweepRecord};
pub use writers::{OutputFile, WRITERS, Writer, check_folder, refresh_study, write_study};
