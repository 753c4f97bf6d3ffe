//! Sensitivity: how accuracy falls where one layer, or one group of layers, is pruned and all others stay.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use skimp_reduce::{Method, ReduceError, Removes, Target};
use skimp_report::StudyRecord;
use skimp_report::html::render;
use skimp_report::records::{
    ChartRecord, CloudRecord, ColumnRecord, ModelRecord, PointRecord, Sections, TableRecord, TablesRecord,
};
use skimp_report::table::{Cell, Column, Table};

use super::learn::School;
use super::measured::Gauge;
use super::prune::{PruneConfig, RefusedRecord, find, reduce};
use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::tabular::Tabular;

/// How sensitive each layer is: `skimp.sensitivity/1`.
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityRecord {
    /// `skimp.sensitivity/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network.
    pub model: ModelRecord,
    /// What was asked; its target is that of the last point.
    pub config: PruneConfig,
    /// Share of the test images that the whole network classifies right.
    pub top1: f64,
    /// How many images these were.
    pub n_images: usize,
    /// A curve for each layer, or group of layers whose channels stay or go together.
    pub curves: Vec<SensitivityCurve>,
    /// What could not be reduced.
    pub refused: Vec<RefusedRecord>,
}

/// How accuracy falls where one layer or group is pruned.
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityCurve {
    /// The layers.
    pub layers: Vec<String>,
    /// The points, in the order asked for.
    pub points: Vec<SensitivityPoint>,
}

/// Accuracy at one fraction.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SensitivityPoint {
    /// The fraction of channels or weights that was to remain.
    pub asked: f64,
    /// The fraction that remains, of the group's widest layer: channels are whole.
    pub kept: f64,
    /// Share of the test images classified right.
    pub top1: f64,
}

impl SensitivityCurve {
    fn name(&self) -> String {
        match self.layers.as_slice() {
            [first, _, ..] => format!("{first} and {} more", self.layers.len() - 1),
            layers => layers.concat(),
        }
    }
}

impl SensitivityRecord {
    fn caption(&self) -> String {
        format!(
            "{}: top-1 on {} test images where {} leaves a fraction of one layer and all of the others, without training \
             ({:.2} % whole)",
            self.model.name,
            self.n_images,
            self.config.method,
            100.0 * self.top1
        )
    }

    fn asked(&self) -> Vec<f64> {
        self.curves.first().map(|curve| curve.points.iter().map(|point| point.asked).collect()).unwrap_or_default()
    }

    /// The page: the curves as a picture, and their numbers.
    fn study(&self) -> Result<StudyRecord, StudyError> {
        let mut columns = vec![ColumnRecord::new("layers", "layers")];
        let head = |asked: &f64| ColumnRecord::real(&format!("kept_{asked}"), &format!("{asked} kept"), "%", 2);
        columns.extend(self.asked().iter().map(head));
        let row = |curve: &SensitivityCurve| {
            let points = curve.points.iter().map(|point| Value::from(100.0 * point.top1));
            std::iter::once(Value::from(curve.name())).chain(points).collect()
        };
        let table = TableRecord { caption: self.caption(), columns, rows: self.curves.iter().map(row).collect() };
        let cloud = |curve: &SensitivityCurve| CloudRecord {
            name: curve.name(),
            points: curve
                .points
                .iter()
                .map(|point| PointRecord { name: curve.name(), x: point.kept, y: 100.0 * point.top1 })
                .collect(),
            line: curve.points.iter().map(|point| [point.kept, 100.0 * point.top1]).collect(),
        };
        let chart = ChartRecord {
            caption: self.caption(),
            axes: ["fraction kept".to_owned(), "top-1".to_owned()],
            units: [String::new(), "%".to_owned()],
            clouds: self.curves.iter().map(cloud).collect(),
        };
        let tables = TablesRecord { text: String::new(), tables: vec![table], charts: vec![chart] };
        Ok(StudyRecord {
            kind: "sensitivity".to_owned(),
            name: self.model.name.clone(),
            title: format!("Sensitivity of {} to {}", self.model.name, self.config.method),
            model_name: self.model.name.clone(),
            data_name: self.config.data.as_ref().map(|data| data.set.clone()).unwrap_or_default(),
            sections: Sections::default().with(tables),
            config_toml: toml::to_string(&self.config)?,
            ..StudyRecord::default()
        })
    }
}

impl Tabular for SensitivityRecord {
    fn tables(&self) -> Vec<Table> {
        let mut columns = vec![Column::text("layers", "layers")];
        let head = |asked: &f64| Column::number(format!("kept_{asked}"), format!("{asked} kept"), "%");
        columns.extend(self.asked().iter().map(head));
        let mut table = Table::new(self.caption(), columns);
        for curve in &self.curves {
            let points = curve.points.iter().map(|point| Cell::real(100.0 * point.top1, 2));
            table.row(std::iter::once(Cell::from(curve.name().as_str())).chain(points).collect());
        }
        vec![table]
    }
}

/// Prunes one layer, or one group of layers that depend on each other, at a time to each of the fractions `kept`, and
/// measures accuracy on the test images; nothing is trained. `report` is where a page with the curves is written.
///
/// # Errors
/// [`StudyError::Reduce`] for a method that trains, or that takes none of these fractions;
/// [`StudyError::ReduceNeedsData`] without images to measure on. Nothing is written then.
///
/// # Source
/// Han, Pool, Tran and Dally, NIPS 2015, figure 6; Li, Kadav, Durdanovic, Samet and Graf, ICLR 2017, figure 2 (b).
pub fn sensitivity(
    network: &Network,
    config: &PruneConfig,
    kept: &[f64],
    report: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<SensitivityRecord, StudyError> {
    let method = find(&config.method)?;
    if let Some(bad) = kept.iter().find(|kept| !(**kept > 0.0 && **kept <= 1.0)) {
        let expected = "fractions above 0 and at most 1".to_owned();
        return Err(StudyError::Setting { setting: "sensitivity", found: bad.to_string(), expected });
    }
    if method.trains() {
        return Err(ReduceError::Data {
            method: config.method.clone(),
            expected: "no training for sensitivity: take a method that needs none (`skimp list methods`)".to_owned(),
            found: "one that trains".to_owned(),
        }
        .into());
    }
    let images = match &config.data {
        Some(data) => Some(Images::open_for_ranges(data, &network.graph, config.input_size, monitor)?),
        None => None,
    };
    let gauge = Gauge::open(network, config.data.as_ref(), config.input_size, monitor)?;
    let Some((test, n_images)) = gauge.test() else {
        return Err(StudyError::ReduceNeedsData { what: "sensitivity" });
    };
    let school = School { images: images.as_ref(), validation: None, runs: None, monitor };
    let pruned = |keep: Vec<String>, kept: f64| {
        let target = match method.facts().removes {
            Removes::Weights => Target::Sparsity(1.0 - kept),
            Removes::Channels | Removes::Operations => Target::Channels(kept),
        };
        reduce(network, method, &PruneConfig { keep, target, ..config.clone() }, &school)
    };
    let probe = pruned(config.keep.clone(), 0.5)?;
    let parts: Vec<Vec<String>> = match probe.groups.is_empty() {
        false => probe.groups.iter().map(|group| group.layers.clone()).collect(),
        true => weighted_layers(network, config, method).into_iter().map(|layer| vec![layer]).collect(),
    };
    let whole = network.accuracy(test, n_images, monitor)?.top1;
    let mut curves = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let others = parts.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, part)| part.clone());
        let keep: Vec<String> = config.keep.iter().cloned().chain(others).collect();
        let mut points: Vec<SensitivityPoint> = Vec::with_capacity(kept.len());
        for &asked in kept {
            let reduction = pruned(keep.clone(), asked)?;
            let group = reduction.groups.iter().find(|group| part.contains(&group.widest));
            let left = group.map_or(asked, |group| group.after as f64 / group.before.max(1) as f64);
            let known = points.iter().find(|point| group.is_some() && point.kept.to_bits() == left.to_bits());
            let top1 = match known {
                Some(point) => point.top1,
                None => Network::from_graph(reduction.graph)?.accuracy(test, n_images, monitor)?.top1,
            };
            points.push(SensitivityPoint { asked, kept: left, top1 });
            step(monitor, 0)?;
        }
        curves.push(SensitivityCurve { layers: part.clone(), points });
    }
    let refused = |refusal: skimp_reduce::Refusal| RefusedRecord { node: refusal.node, reason: refusal.reason };
    let record = SensitivityRecord {
        schema: "skimp.sensitivity/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        config: config.clone(),
        top1: whole,
        n_images,
        curves,
        refused: probe.refused.into_iter().map(refused).collect(),
    };
    if let Some(report) = report {
        skimp_report::write_atomic(report, render(&record.study()?).as_bytes())?;
    }
    Ok(record)
}

/// Layers with weights that may become zero.
fn weighted_layers(network: &Network, config: &PruneConfig, method: &dyn Method) -> Vec<String> {
    let graph = &network.graph;
    if method.facts().removes != Removes::Weights {
        return Vec::new();
    }
    let keeps = |name: &str| {
        config.keep.iter().any(|keep| keep.strip_suffix('*').map_or(name == keep, |start| name.starts_with(start)))
    };
    let has_weight = |node: &&skimp_graph::Node| {
        node.inputs.iter().enumerate().any(|(input, id)| {
            let tensor = id.and_then(|id| graph.constant(id));
            let axes = tensor.and_then(|tensor| node.op.weight_axes(input, tensor.shape().len()));
            axes.is_some_and(|axes| axes.inputs.is_some())
        })
    };
    let layers = graph.nodes().iter().filter(has_weight).map(|node| node.name.clone());
    layers.filter(|name| !keeps(name)).collect()
}
