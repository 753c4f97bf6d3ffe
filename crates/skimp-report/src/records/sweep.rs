//! What a sweep found, by column: `skimp.sweep/1`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InputDigest;
use crate::ReportError;

/// The schema of [`SweepRecord`].
pub const SWEEP_SCHEMA: &str = "skimp.sweep/1";

/// The points of a sweep: what was varied, what was found, and why points have no figures.
///
/// Declare [`Self::axes`] and [`Self::figures`] with empty columns, then [`push`](Self::push) the points. All columns have
/// one value per point, in the order of [`Self::point_ids`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// Always [`SWEEP_SCHEMA`].
    pub schema: String,
    /// Version of the program that made the record.
    pub skimp_version: String,
    /// Short name of the sweep, such as `buffers`.
    pub name: String,
    /// One line for the top of the report; empty: the name.
    pub title: String,
    /// What is asked, in a sentence or two. Plain text, may be empty.
    pub summary: String,
    /// The resolved sweep file as TOML. With the inputs of [`Self::inputs`] it repeats the sweep.
    pub config_toml: String,
    /// A sweep file without points of its own: with `[[points]]` tables behind it, whose quoted keys are those of
    /// [`Self::axes`], it runs just these points. Empty: the report offers no such file.
    pub base_toml: String,
    /// The seed of every random stream.
    pub seed: u64,
    /// What is sought, most important first: the report begins with the first two. Names of [`Self::figures`].
    pub objectives: Vec<ObjectiveRecord>,
    /// The constraints as written, such as `area_mm2 <= 5`.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// What was varied.
    pub axes: Vec<AxisColumn>,
    /// What was found.
    pub figures: Vec<FigureColumn>,
    /// A unique name per point.
    pub point_ids: Vec<String>,
    /// How each point ended.
    pub status: Vec<PointStatus>,
    /// Why a point is not [`PointStatus::Ok`]; empty where it is.
    pub reasons: Vec<String>,
    /// The slowest layers of each point.
    #[serde(default)]
    pub why: WhyColumns,
    /// The files that were read.
    #[serde(default)]
    pub inputs: Vec<InputDigest>,
    /// What else tells where the figures come from, a sentence each.
    #[serde(default)]
    pub provenance: Vec<String>,
}

/// A figure that is sought small or large.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveRecord {
    /// Name of the figure.
    pub name: String,
    /// Unit of the figure; empty for none.
    pub unit: String,
    /// Whether more is better.
    pub maximize: bool,
}

/// One thing that was varied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AxisColumn {
    /// Name, as sweep files have it: a dotted key of the resolved configuration, such as `accelerator.set.units`, or an own one.
    pub key: String,
    /// Number, text, truth value, list or table per point, as a sweep file has it; null where the point does not set the key.
    pub values: Vec<Value>,
}

/// One thing that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FigureColumn {
    /// Name, such as `energy`.
    pub name: String,
    /// Unit; empty for none.
    pub unit: String,
    /// One number per point; none where the point has none. What is not finite counts as none.
    pub values: Vec<Option<f64>>,
}

/// How a point ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointStatus {
    /// It ran and keeps every constraint.
    #[default]
    Ok,
    /// It ran and violates a constraint.
    Infeasible,
    /// It could not run.
    Failed,
}

impl PointStatus {
    /// The status as the record has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Infeasible => "infeasible",
            Self::Failed => "failed",
        }
    }
}

/// The slowest layers of all points: names once, numbers per point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WhyColumns {
    /// Names of layers.
    pub layers: Vec<String>,
    /// What bounds a layer, in words, such as `weight bandwidth`; several are told apart by semicolons.
    pub bounds: Vec<String>,
    /// Per point its slowest layers, slowest first: index of the layer, index of what bounds it, share of the point's
    /// cycles from 0 to 1. Empty where nothing is known.
    pub points: Vec<Vec<(u32, u32, f64)>>,
}

/// One point as it is added with [`SweepRecord::push`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SweepPoint {
    /// Unique name.
    pub id: String,
    /// How it ended.
    pub status: PointStatus,
    /// Why it is not [`PointStatus::Ok`]; empty where it is.
    pub reason: String,
    /// A value per axis; null where the point does not set the key. Missing ones at the end are null.
    pub axes: Vec<Value>,
    /// A value per figure. Missing ones at the end are none.
    pub figures: Vec<Option<f64>>,
    /// Its slowest layers, slowest first; a few.
    pub why: Vec<SlowLayer>,
}

/// A layer that takes a large share of a point's cycles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlowLayer {
    /// Name of the layer.
    pub layer: String,
    /// Share of the point's cycles, from 0 to 1.
    pub share: f64,
    /// What bounds it, in words; several are told apart by semicolons. May be empty.
    pub bound: String,
}

impl Default for SweepRecord {
    fn default() -> Self {
        Self {
            schema: SWEEP_SCHEMA.to_owned(),
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
            name: String::new(),
            title: String::new(),
            summary: String::new(),
            config_toml: String::new(),
            base_toml: String::new(),
            seed: 0,
            objectives: Vec::new(),
            constraints: Vec::new(),
            axes: Vec::new(),
            figures: Vec::new(),
            point_ids: Vec::new(),
            status: Vec::new(),
            reasons: Vec::new(),
            why: WhyColumns::default(),
            inputs: Vec::new(),
            provenance: Vec::new(),
        }
    }
}

impl SweepRecord {
    /// Number of points.
    pub fn n_points(&self) -> usize {
        self.point_ids.len()
    }

    /// Number of points that ended so.
    pub fn n_with(&self, status: PointStatus) -> usize {
        self.status.iter().filter(|&&one| one == status).count()
    }

    /// The figure of that name.
    pub fn figure(&self, name: &str) -> Option<&FigureColumn> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Adds a point.
    pub fn push(&mut self, point: SweepPoint) {
        self.extend([point]);
    }

    /// The record as pretty JSON with a trailing newline.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the record cannot be expressed in JSON.
    pub fn to_json(&self) -> Result<String, ReportError> {
        super::to_json(self, "a sweep record")
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`ReportError::Schema`] for another or no schema, [`ReportError::Json`] for anything else that is wrong, such as a
    /// column with too few values.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        let record: Self = super::from_json(text, SWEEP_SCHEMA, &[], |_| ())?;
        match record.wrong_column() {
            None => Ok(record),
            Some(cause) => Err(ReportError::Json { schema: SWEEP_SCHEMA, source: serde::de::Error::custom(cause) }),
        }
    }

    /// What is wrong with a column, if anything is.
    fn wrong_column(&self) -> Option<String> {
        let n = self.n_points();
        let axes = self.axes.iter().map(|axis| (axis.key.as_str(), axis.values.len()));
        let figures = self.figures.iter().map(|figure| (figure.name.as_str(), figure.values.len()));
        let own =
            [("status", self.status.len()), ("reasons", self.reasons.len()), ("why.points", self.why.points.len())];
        if let Some((name, found)) = axes.chain(figures).chain(own).find(|(_, found)| *found != n) {
            return Some(format!("column {name} has {found} values for {n} points"));
        }
        let is_named = |&(layer, bound, _): &_| {
            (layer as usize) < self.why.layers.len() && (bound as usize) < self.why.bounds.len()
        };
        let idx = self.why.points.iter().position(|layers| !layers.iter().all(is_named))?;
        Some(format!("why.points: point {} has a layer without a name", self.point_ids[idx]))
    }
}

impl Extend<SweepPoint> for SweepRecord {
    fn extend<T: IntoIterator<Item = SweepPoint>>(&mut self, points: T) {
        let mut layers = Names::of(&self.why.layers);
        let mut bounds = Names::of(&self.why.bounds);
        for point in points {
            let mut values = point.axes.into_iter();
            self.axes.iter_mut().for_each(|axis| axis.values.push(values.next().unwrap_or_default()));
            let mut values = point.figures.into_iter();
            for figure in &mut self.figures {
                figure.values.push(values.next().flatten().filter(|value| value.is_finite()));
            }
            self.why.points.push(
                point.why.into_iter().map(|one| (layers.idx(one.layer), bounds.idx(one.bound), one.share)).collect(),
            );
            self.point_ids.push(point.id);
            self.status.push(point.status);
            self.reasons.push(point.reason);
        }
        self.why.layers = layers.list;
        self.why.bounds = bounds.list;
    }
}

/// Names with their indices.
struct Names {
    list: Vec<String>,
    found: HashMap<String, u32>,
}

impl Names {
    fn of(list: &[String]) -> Self {
        let found = list.iter().zip(0..).map(|(name, idx)| (name.clone(), idx)).collect();
        Self { list: list.to_vec(), found }
    }

    fn idx(&mut self, name: String) -> u32 {
        if let Some(&idx) = self.found.get(&name) {
            return idx;
        }
        let idx = self.list.len() as u32;
        self.list.push(name.clone());
        self.found.insert(name, idx);
        idx
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SweepRecord {
        let mut record = SweepRecord {
            axes: vec![AxisColumn { key: "a.b".to_owned(), ..AxisColumn::default() }],
            figures: vec![FigureColumn { name: "energy".to_owned(), ..FigureColumn::default() }],
            ..SweepRecord::default()
        };
        let slow = |layer: &str, share| SlowLayer { layer: layer.to_owned(), share, bound: "compute".to_owned() };
        record.push(SweepPoint {
            id: "0".to_owned(),
            axes: vec![Value::from(8.0)],
            figures: vec![Some(0.1)],
            why: vec![slow("conv2", 0.5), slow("conv1", 0.25)],
            ..SweepPoint::default()
        });
        record.push(SweepPoint {
            id: "1".to_owned(),
            status: PointStatus::Failed,
            reason: "does not fit".to_owned(),
            figures: vec![Some(f64::NAN)],
            why: vec![slow("conv1", 1.0)],
            ..SweepPoint::default()
        });
        record
    }

    #[test]
    fn points_become_columns() {
        let record = record();
        assert_eq!(record.axes[0].values, [Value::from(8.0), Value::Null]);
        assert_eq!(record.figures[0].values, [Some(0.1), None]);
        assert_eq!(record.why.layers, ["conv2", "conv1"]);
        assert_eq!(record.why.points, [vec![(0, 0, 0.5), (1, 0, 0.25)], vec![(1, 0, 1.0)]]);
        assert_eq!((record.n_points(), record.n_with(PointStatus::Failed)), (2, 1));
    }

    #[test]
    fn json_reads_back_and_columns_are_checked() {
        let record = record();
        let text = record.to_json().unwrap();
        assert!(text.contains("8.0"), "{text}");
        assert_eq!(SweepRecord::from_json(&text).unwrap(), record);

        let mut short = record.clone();
        short.figures[0].values.pop();
        let error = SweepRecord::from_json(&short.to_json().unwrap()).unwrap_err().to_string();
        assert!(error.contains("column energy has 1 values for 2 points"), "{error}");

        let mut unnamed = record;
        unnamed.why.layers.pop();
        let error = SweepRecord::from_json(&unnamed.to_json().unwrap()).unwrap_err().to_string();
        assert!(error.contains("point 0 has a layer without a name"), "{error}");
    }
}
