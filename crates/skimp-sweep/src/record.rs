//! Rows as the record and the page of a sweep.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use skimp_report::records::{
    AxisColumn, FigureColumn, InputDigest, ObjectiveRecord, PointStatus, SlowLayer, SweepPoint, SweepRecord,
};
use skimp_report::write_atomic;
use skimp_study::StudyError;

use crate::config::SweepConfig;
use crate::error::SweepError;
use crate::figure::FIGURES;
use crate::space::Space;
use crate::store::{PointRow, SqliteStore, Status};

/// Name of a sweep's page in its folder.
pub const REPORT_FILE: &str = "report.html";

/// The record of a sweep's rows.
pub(crate) fn record(config: &SweepConfig, space: &Space, rows: &[PointRow]) -> Result<SweepRecord, SweepError> {
    let axes = space.axes().iter().map(|axis| axis.name.clone()).collect::<Vec<_>>();
    let objective = |objective: &crate::figure::Objective| {
        let figure = objective.figure();
        ObjectiveRecord { name: figure.name.to_owned(), unit: figure.unit.to_owned(), maximize: objective.maximize }
    };
    // A figure that no point has is no column.
    let has = |idx: usize| {
        rows.iter().any(|row| row.figures[idx].is_some()) || config.objectives.iter().any(|own| own.figure == idx)
    };
    let figures: Vec<usize> = (0..FIGURES.len()).filter(|&idx| has(idx)).collect();
    let column = |&idx: &usize| FigureColumn {
        name: FIGURES[idx].name.to_owned(),
        unit: FIGURES[idx].unit.to_owned(),
        values: Vec::new(),
    };
    let mut record = SweepRecord {
        name: config.name.clone(),
        title: config.title.clone(),
        summary: config.summary.clone(),
        config_toml: config.to_toml()?,
        base_toml: config.base_toml()?,
        seed: config.search.seed,
        objectives: config.objectives.iter().map(objective).collect(),
        constraints: config.constraints.iter().map(|&constraint| constraint.into()).collect(),
        axes: axes.iter().map(|key| AxisColumn { key: key.clone(), values: Vec::new() }).collect(),
        figures: figures.iter().map(column).collect(),
        provenance: vec![
            "Cycles, latencies and energies are simulated: event counts of a model on real operand values, priced by the cost table of the point."
                .to_owned(),
        ],
        ..SweepRecord::default()
    };
    let mut inputs: Vec<InputDigest> = Vec::new();
    let mut last_inputs = "";
    // All points at once: names of layers are looked up in one table.
    record.extend(rows.iter().map(|row| {
        let mut values: Map<String, Json> = serde_json::from_str(&row.axes).unwrap_or_default();
        // Most rows read what the one before them does.
        if row.inputs != last_inputs {
            let read: Vec<InputDigest> = serde_json::from_str(&row.inputs).unwrap_or_default();
            for input in read {
                if !inputs.contains(&input) {
                    inputs.push(input);
                }
            }
            last_inputs = &row.inputs;
        }
        SweepPoint {
            id: row.point_id.clone(),
            status: match row.status {
                Status::Ok => PointStatus::Ok,
                Status::Infeasible => PointStatus::Infeasible,
                Status::Failed => PointStatus::Failed,
            },
            reason: row.reason.clone().unwrap_or_default(),
            axes: axes.iter().map(|key| values.get_mut(key).map(Json::take).unwrap_or_default()).collect(),
            figures: figures.iter().map(|&idx| row.figures[idx]).collect(),
            why: slowest(&row.outcome),
        }
    }));
    record.inputs = inputs;
    Ok(record)
}

/// What a page shows of a row's outcome.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    slowest: Vec<Slow>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Slow {
    layer: String,
    share: f64,
    why: String,
}

fn slowest(outcome: &str) -> Vec<SlowLayer> {
    let outcome: Outcome = serde_json::from_str(outcome).unwrap_or_default();
    let layer = |Slow { layer, share, why }: Slow| SlowLayer { layer, share, bound: why };
    outcome.slowest.into_iter().map(layer).collect()
}

/// Writes the page of a sweep into its folder.
pub(crate) fn write_report(folder: &Path, record: &SweepRecord) -> Result<(), SweepError> {
    let page = skimp_report::html::render_sweep(record);
    write_atomic(&folder.join(REPORT_FILE), page.as_bytes()).map_err(StudyError::from)?;
    Ok(())
}

/// The record of the sweep in `folder`, from its store.
///
/// # Errors
/// [`SweepError::Store`] if there is no store, [`SweepError::Invalid`] if what it holds of the sweep cannot be read.
pub fn stored_sweep(folder: &Path) -> Result<SweepRecord, SweepError> {
    let store = SqliteStore::open(folder)?;
    let Some(meta) = store.meta()? else {
        let cause = "the store holds no sweep".to_owned();
        return Err(SweepError::Store { path: store.path().to_owned(), cause });
    };
    let config = SweepConfig::parse(&meta.sweep, &meta.name, Path::new(""))?;
    let space = Space::new(&config, &skimp_study::Designs::embedded())?;
    record(&config, &space, &store.rows()?)
}
