//! Layer workloads, operand traces, event counters, cost tables and the [`Accelerator`] trait.
//!
//! A model turns a [`LayerWorkload`] (shapes, weight codes) and, where it needs operand values, the [`LayerTrace`] of
//! one image into a [`LayerResult`]: integer cycles and event counts. [`CostTable`]s price them afterwards, so one run
//! can be re-priced and no floating-point sum depends on scheduling. This crate knows plain shapes and codes only: it
//! neither reads networks nor computes convolutions, and does no input or output.

mod accelerator;
mod cost;
mod counts;
mod effect;
mod energy;
mod error;
mod facts;
mod finding;
mod moment;
mod operation;
mod other;
mod padding;
mod preset;
mod registry;
mod result;
mod scope;
mod settings;
mod timeline;
mod totals;
mod trace;
mod why;
mod workload;

pub use accelerator::{
    Accelerator, AcceleratorModel, CHIP, ComparisonRow, Configured, GIVEN_MAPPINGS, Provenance, Searchable,
};
pub use cost::{CostEntry, CostTable, CostUnit, Priced};
pub use counts::{Counts, EXECUTED_MACS, IDLE_SLOTS, SKIPPED_MACS, Statistic};
pub use effect::{LayerEffect, Tuner};
pub use energy::{ComponentEnergy, Energy};
pub use error::{SimError, TraceError};
pub use facts::{Facts, Needs, NonIdeality};
pub use finding::{Basis, Finding, Found, Quantity};
pub use moment::{Moment, TimedTrace};
pub use operation::{Dram, Level, Operation, OperationCount};
pub use other::{Operand, OtherKind, OtherLayer, OtherOutcome, Work};
pub use preset::{Setting, SettingRange, preset_settings};
pub use registry::find_model;
pub use result::{Activity, LayerResult};
pub use scope::{Coverage, Scope, Scopes};
pub use settings::{apply_setting, nearest, resolve_config};
pub use skimp_numerics::NegativeSums;
pub use skimp_shape::{LayerShape, Padding, ShapeError, ShapeSpec, WindowAxis};
pub use timeline::TimelineSpan;
pub use toml;
pub use totals::{RunTotals, mean_reduction};
pub use trace::{Derived, LayerTrace, RecordedTrace, TraceProvider};
pub use why::{Loss, LossEvent, losses};
pub use workload::{LayerKind, LayerWorkload, Nonlinearity};
