//! The records of runs: what is stored, exported and reported.
//!
//! These are boundary types. They hold plain numbers, words and text, know nothing of the simulators that fill them,
//! and are built by struct literals. Their JSON has a `schema` on top, keys in the order of the fields (maps keep the
//! order in which they were filled), and units as suffixes of the keys: `_mhz`, `_mm2`, `_ms`, `_nj`, `_mj`, `_bits`.
//! Fields that may be missing are `Option` and left out of the JSON when they are `None`.

mod accuracy;
mod chips;
mod comparison;
mod coverage;
mod finding;
mod layers;
mod optimize;
mod precision;
mod sections;
mod simulation;
mod study;
mod sweep;
mod tables;
mod tour;
mod training;
mod upgrade;

pub use self::accuracy::{Accuracy, AccuracyRecord, VariantAccuracy};
pub use self::chips::{AttributionRecord, ChipsRecord};
pub use self::comparison::{AcceleratorFigures, Comparison, ComparisonRecord};
pub use self::coverage::{Coverage, LeftOut};
pub use self::finding::{Distribution, FindingKind, FindingRecord, Verdict, finding};
pub use self::layers::{LayerStatistics, LayersRecord};
pub use self::optimize::{
    ContributionRecord, FinalRecord, JudgementRecord, LeverRecord, NoLeverRecord, OPTIMIZE_SCHEMA, OptimizeRecord,
    SearchBudget, SetRecord, SpentRecord, TriedRecord, WidthRecord,
};
pub use self::precision::{CastRecord, CurvePoint, PolicyRecord, PolicyRun, PrecisionRecord, Spread};
pub use self::sections::{SectionRecord, Sections};
pub(crate) use self::simulation::scope_words;
pub use self::simulation::{
    AcceleratorRecord, AcceleratorTotal, Breakdown, DataRecord, EffectAccuracy, EnergyRecord, FactsRecord, LayerRecord,
    ModelRecord, OperandRecord, OtherLayerRecord, SIMULATION_SCHEMA, SimulationRecord, TuningRecord,
};
pub use self::study::{
    Assumption, InputDigest, Provenance, PublishedFigure, STUDY_SCHEMA, StudyRecord, TRAINING_RUN, Timing,
};
pub use self::sweep::{
    AxisColumn, FigureColumn, ObjectiveRecord, PointStatus, SWEEP_SCHEMA, SlowLayer, SweepPoint, SweepRecord,
    WhyColumns,
};
pub use self::tables::{ChartRecord, CloudRecord, ColumnRecord, PointRecord, TableRecord, TablesRecord};
pub use self::tour::{StopRecord, TourRecord};
pub use self::training::{TrainingEpoch, TrainingRecord, TrainingStart};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ReportError;

/// Pretty JSON with a trailing newline.
fn to_json<T: Serialize>(record: &T, what: &'static str) -> Result<String, ReportError> {
    let mut text =
        serde_json::to_string_pretty(record).map_err(|error| ReportError::Encode { what, cause: error.to_string() })?;
    text.push('\n');
    Ok(text)
}

/// Reads a record after checking that the text declares `schema`, or one of the `older` ones, which `upgrade` brings into
/// the form of today.
fn from_json<T: DeserializeOwned>(
    text: &str,
    schema: &'static str,
    older: &[&str],
    upgrade: fn(&mut Value),
) -> Result<T, ReportError> {
    let json = |source| ReportError::Json { schema, source };
    let mut value: Value = serde_json::from_str(text).map_err(json)?;
    match value.get("schema").and_then(Value::as_str) {
        Some(found) if found == schema => serde_json::from_str(text).map_err(json),
        Some(found) if older.contains(&found) => {
            upgrade(&mut value);
            value["schema"] = schema.into();
            serde_json::from_value(value).map_err(json)
        }
        found => Err(ReportError::Schema {
            expected: schema,
            found: found.map_or_else(|| "no schema".to_owned(), |found| format!("\"{found}\"")),
        }),
    }
}
