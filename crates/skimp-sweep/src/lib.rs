//! Design spaces: a sweep names what all points share and axes along which they differ; every point is a path through the
//! stages of `skimp-study`, worked out once for all points that share it, and a row of a data base.
//!
//! [`SweepConfig`] is a sweep file, [`Space`] its axes, [`search`] how points are chosen, [`Engine`] works points out for
//! whoever asks, and [`sweep()`] does all that and writes a folder. What goes wrong at one point is a row of the
//! [`SqliteStore`], which is also a [`Store`](skimp_study::Store) for studies.

mod axis;
mod cache;
mod config;
mod disk;
mod embedded;
mod engine;
mod error;
mod export;
mod figure;
mod merge;
pub mod optimize;
mod point;
mod record;
mod run;
pub mod search;
mod space;
mod stages;
mod store;
mod summary;

pub use crate::axis::{Axis, AxisConfig, Domain, Keys, Scale};
pub use crate::config::{SWEEP_SCHEMA, SweepConfig};
pub use crate::disk::Caching;
pub use crate::embedded::{find as embedded_sweep, names as embedded_sweeps};
pub use crate::engine::Engine;
pub use crate::error::SweepError;
pub use crate::export::{ExportFormat, export};
pub use crate::figure::{Constraint, FIGURES, Figure, Figures, Objective};
pub use crate::merge::merge;
pub use crate::optimize::{OptimizeConfig, optimize};
pub use crate::point::PointConfig;
pub use crate::record::{REPORT_FILE, stored_sweep};
pub use crate::run::{Shard, SweepRun, sweep};
pub use crate::search::SearchConfig;
pub use crate::space::{Assignment, Space};
pub use crate::stages::{DEFAULT_CACHE_BYTES, StageCount};
pub use crate::store::{PointRow, STORE_FILE, STORE_SCHEMA, SqliteStore, Status, StoreMeta};
pub use crate::summary::SweepSummary;
