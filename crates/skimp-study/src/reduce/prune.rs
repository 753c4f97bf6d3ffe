//! Pruning: weights that become zero, channels that are removed.

use std::path::Path;

use serde::Serialize;
use skimp_reduce::channels::Masking;
use skimp_reduce::{
    Lesson, METHODS, Method, ReduceError, Reduction, Removes, Request, Runtime, RuntimePoint, Scope, Target, methods,
    reestimate,
};
use skimp_report::records::ModelRecord;
use skimp_report::table::{Cell, Column, Table};
use skimp_train::Model;
use skimp_train::optimizer::Mask;

use super::commands::OWN_COMMANDS;
use super::learn::School;
use super::measured::{Gauge, NetworkMeasures, table};
use super::run::{ReduceRun, identity};
use super::speed::{SpeedRecord, speed};
use super::target::Meter;
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::tabular::Tabular;
use crate::train::config::TrainConfig;

/// How a network is pruned.
#[derive(Clone, Debug, Serialize)]
pub struct PruneConfig {
    /// The method, as `skimp list methods` names it.
    pub method: String,
    /// What shall remain, such as `channels=0.5`, `macs=0.5`, `latency=0.5` or `cycles@DESIGN=0.5`; or `sparsity=0.9`.
    #[serde(serialize_with = "as_text")]
    pub target: Target,
    /// Which channels are compared with each other.
    pub scope: Scope,
    /// Layers that keep their channels or weights; a `*` at the end stands for any ending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Kept channels go to the nearest multiple of this.
    pub round_to: usize,
    /// Whether channels that statistics run over may go, too: layer and group normalization, softmax.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inexact: bool,
    /// Settings of the method.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub settings: toml::Table,
    /// Images that methods learn from, the training split; accuracy is measured on the test split.
    #[serde(skip)]
    pub data: Option<DataConfig>,
    /// Input height and width, where the network leaves them open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
    /// Training images on which statistics of batch normalization are measured again after pruning; 0 for none.
    pub batch_norm_images: usize,
    /// Passes over the training images after pruning.
    pub finetune: u64,
    /// How methods train, and how the network is tuned. Epochs are those of a method.
    #[serde(skip)]
    pub training: TrainConfig,
    /// Images of a batch whose time is measured before and after; nothing is measured where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_batch: Option<usize>,
}

fn as_text<S: serde::Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}

/// A pruned network: `skimp.prune/1`.
#[derive(Clone, Debug, Serialize)]
pub struct PruneRecord {
    /// `skimp.prune/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network before.
    pub model: ModelRecord,
    /// What was asked.
    pub config: PruneConfig,
    /// The network before.
    pub before: NetworkMeasures,
    /// The network after.
    pub after: NetworkMeasures,
    /// Layers whose channels stay or go together.
    pub groups: Vec<GroupRecord>,
    /// What could not be reduced.
    pub refused: Vec<RefusedRecord>,
    /// Time before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedRecord>,
    /// Where each image skips a part of the operations: how many it takes, and what that costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeRecord>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// A network of which each image computes a part. Accuracies are fractions of the test images.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeRecord {
    /// Multiply-accumulate operations of the whole network for an image.
    pub macs: u64,
    /// Accuracy of the whole network.
    pub top1: f64,
    /// One for each penalty on operations.
    pub points: Vec<RuntimePointRecord>,
}

/// One setting of it.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimePointRecord {
    /// The penalty on operations.
    pub penalty: f64,
    /// Mean operations of a test image.
    pub macs: f64,
    /// Accuracy with them.
    pub top1: f64,
    /// Accuracy of the same weights where nothing is skipped.
    pub whole_top1: f64,
}

impl From<Runtime> for RuntimeRecord {
    fn from(runtime: Runtime) -> Self {
        let point = |point: RuntimePoint| RuntimePointRecord {
            penalty: point.penalty,
            macs: point.macs,
            top1: point.accuracy,
            whole_top1: point.whole_accuracy,
        };
        Self { macs: runtime.macs, top1: runtime.accuracy, points: runtime.points.into_iter().map(point).collect() }
    }
}

impl RuntimeRecord {
    fn table(&self) -> Table {
        let columns = vec![
            Column::number("penalty", "penalty", ""),
            Column::number("macs", "mean MACs", ""),
            Column::number("share", "of all", "%"),
            Column::number("top1", "top-1", "%"),
            Column::number("whole_top1", "top-1 of all", "%"),
        ];
        let mut table = Table::new("operations that images take", columns);
        let mut row = |penalty: Cell, macs: f64, top1: f64, whole: f64| {
            let share = 100.0 * macs / (self.macs as f64).max(1.0);
            let percent = |share: f64| Cell::real(100.0 * share, 2);
            table.row(vec![penalty, Cell::real(macs, 0), Cell::real(share, 1), percent(top1), percent(whole)]);
        };
        row("before".into(), self.macs as f64, self.top1, self.top1);
        for point in &self.points {
            row(Cell::real(point.penalty, 3), point.macs, point.top1, point.whole_top1);
        }
        table
    }
}

/// Layers whose channels stay or go together.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRecord {
    /// Their names.
    pub layers: Vec<String>,
    /// The one that makes most channels, the first one of equals.
    pub widest: String,
    /// Channels of that one, before.
    pub before: usize,
    /// Channels of that one, after.
    pub after: usize,
    /// Which of these went.
    pub removed: Vec<usize>,
}

/// A node that could not be reduced.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedRecord {
    /// Its name.
    pub node: String,
    /// Why.
    pub reason: String,
}

impl Tabular for PruneRecord {
    fn tables(&self) -> Vec<Table> {
        let title = format!("{}: {} to {}", self.model.name, self.config.method, self.config.target);
        let mut tables = vec![table(title, &self.before, &self.after)];
        tables.extend(self.runtime.as_ref().map(RuntimeRecord::table));
        if let Some(speed) = &self.speed {
            let columns = vec![
                Column::number("batch", "batch", "images"),
                Column::number("threads", "threads", ""),
                Column::number("pairs", "pairs", ""),
                Column::number("speed_up", "speed-up", ""),
                Column::text("interval", "95 % interval"),
                Column::text("verdict", "verdict"),
            ];
            let mut measured = Table::new("time on this machine, both networks in alternation", columns);
            let [low, high] = speed.interval;
            measured.row(vec![
                (speed.batch as u64).into(),
                (speed.threads as u64).into(),
                (speed.pairs as u64).into(),
                Cell::real(speed.speed_up, 2),
                format!("{low:.2} to {high:.2}").as_str().into(),
                speed.verdict.into(),
            ]);
            tables.push(measured);
        }
        if !self.groups.is_empty() {
            let columns = vec![
                Column::text("layers", "layers"),
                Column::number("before", "channels before", ""),
                Column::number("after", "after", ""),
            ];
            let mut groups = Table::new("layers whose channels stay or go together", columns);
            for group in &self.groups {
                let name = match group.layers.as_slice() {
                    [_, _, ..] => format!("{} and {} more", group.widest, group.layers.len() - 1),
                    _ => group.widest.clone(),
                };
                groups.row(vec![name.as_str().into(), (group.before as u64).into(), (group.after as u64).into()]);
            }
            tables.push(groups);
        }
        if !self.refused.is_empty() {
            let columns = vec![Column::text("node", "layer"), Column::text("reason", "why it stays whole")];
            let mut refused = Table::new("layers that keep all of their channels", columns);
            for refusal in &self.refused {
                refused.row(vec![refusal.node.as_str().into(), refusal.reason.as_str().into()]);
            }
            tables.push(refused);
        }
        tables
    }
}

/// Prunes a network, tunes it, and writes it as [`Network::export`] does where `run` says: a path, or a [`ReduceRun`] that goes
/// on after it was stopped. Without a path nothing is written.
///
/// # Errors
/// [`StudyError::Reduce`] naming the setting, target or node; otherwise the error of the step that failed. Nothing is
/// written then.
pub fn prune(
    network: &Network,
    config: &PruneConfig,
    run: impl Into<ReduceRun>,
    monitor: &dyn Monitor,
) -> Result<PruneRecord, StudyError> {
    let run = run.into();
    network.check_one_step("pruning")?;
    check_use(find(&config.method)?, config, run.output.as_deref())?;
    let (mut record, pruned) = pruned(network, config, &run, monitor)?;
    if let Some(path) = &run.output {
        pruned.export(path)?;
        let (size, plain) = (std::fs::metadata(path).map_or(0, |found| found.len()), record.after.file_bytes);
        if size != plain && size > 0 {
            let note = format!("{} takes {size} bytes, as plain ONNX {plain}", path.display());
            monitor.note(&note);
            record.notes.push(note);
        }
    }
    Ok(record)
}

/// What [`prune`] does, with the network instead of a file.
pub(crate) fn pruned(
    network: &Network,
    config: &PruneConfig,
    run: &ReduceRun,
    monitor: &dyn Monitor,
) -> Result<(PruneRecord, Network), StudyError> {
    let method = find(&config.method)?;
    check_use(method, config, None)?;
    let images = match &config.data {
        Some(data) => Some(Images::open_for_ranges(data, &network.graph, config.input_size, monitor)?),
        None => None,
    };
    let gauge = Gauge::open(network, config.data.as_ref(), config.input_size, monitor)?;
    let trains = config.finetune > 0 || method.trains();
    let runs = match images.as_ref().filter(|_| trains) {
        Some(images) => run.open(&[], || {
            let images = [Some(("train", images)), gauge.test().map(|(test, _)| ("test", test))];
            let images = images.into_iter().flatten().collect::<Vec<_>>();
            identity("prune", config, &config.training, config.data.as_ref(), &[("network", network)], &images)
        })?,
        None => None,
    };
    let test = gauge.test().map(|(test, _)| test);
    let school = School { images: images.as_ref(), validation: test, runs: runs.as_ref(), monitor };
    monitor.stage(&format!("pruning by {}", config.method), 1);
    let reduction = reduce(network, method, config, &school)?;
    let reduction = match config.batch_norm_images {
        0 => reduction,
        n => School { validation: None, ..school }.with_learning(&config.training, |learning| {
            let learning =
                learning.ok_or(StudyError::ReduceNeedsData { what: "measuring batch normalization again" })?;
            monitor.stage("measuring batch normalization again", 1);
            Ok(Reduction { graph: reestimate(&reduction.graph, learning, n)?, ..reduction })
        })?,
    };
    let pruned = match config.finetune {
        0 => Network::from_graph(reduction.graph.clone())?,
        _ => tuned(&reduction, config, &school)?,
    };
    let pruned = Network { path: None, name: network.name.clone(), ..pruned };
    let (mut before, mut after) = (gauge.measure(network, monitor)?, gauge.measure(&pruned, monitor)?);
    let speed = match config.latency_batch {
        Some(batch) => Some(speed(&network.graph, &pruned.graph, batch, config.input_size, monitor)?),
        None => None,
    };
    if let Some(speed) = &speed {
        (before.latency_ms, after.latency_ms) = (Some(speed.before_ms), Some(speed.after_ms));
    }
    let mut notes = reduction.notes;
    notes.extend(speed.as_ref().and_then(|speed| remark(speed, method)));
    notes.iter().for_each(|note| monitor.note(note));
    let group = |group: skimp_reduce::GroupChange| GroupRecord {
        layers: group.layers,
        widest: group.widest,
        before: group.before,
        after: group.after,
        removed: group.removed,
    };
    let refused = |refusal: skimp_reduce::Refusal| RefusedRecord { node: refusal.node, reason: refusal.reason };
    let record = PruneRecord {
        schema: "skimp.prune/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        config: config.clone(),
        before,
        after,
        groups: reduction.groups.into_iter().map(group).collect(),
        refused: reduction.refused.into_iter().map(refused).collect(),
        speed,
        runtime: reduction.runtime.map(RuntimeRecord::from),
        notes,
    };
    Ok((record, pruned))
}

/// Methods that make no network of their own leave nothing to write, to tune or to time.
fn check_use(method: &dyn Method, config: &PruneConfig, output: Option<&Path>) -> Result<(), StudyError> {
    if method.facts().removes != Removes::Operations {
        return Ok(());
    }
    let asked = [
        ("output", output.map(|path| path.display().to_string())),
        ("finetune", (config.finetune > 0).then(|| config.finetune.to_string())),
        ("batch-norm-images", (config.batch_norm_images > 0).then(|| config.batch_norm_images.to_string())),
        ("latency", config.latency_batch.map(|batch| batch.to_string())),
    ];
    let Some((setting, found)) = asked.into_iter().find_map(|(setting, found)| Some((setting, found?))) else {
        return Ok(());
    };
    Err(ReduceError::Setting {
        method: method.facts().name.to_owned(),
        setting: setting.to_owned(),
        expected:
            "none, and --dry-run: each image computes another part of the network, so that there is no smaller one"
                .to_owned(),
        found,
    }
    .into())
}

/// What the measured times say that may surprise.
fn remark(speed: &SpeedRecord, method: &dyn Method) -> Option<String> {
    match (speed.verdict, method.facts().removes) {
        (_, Removes::Operations) => None,
        (verdict, Removes::Weights) => {
            let outcome = if verdict == "faster" { "" } else { ", which made no network faster that could be told" };
            Some(match speed.sparse_layers.as_slice() {
                [] => "zeros alone do not make dense kernels faster, and in no layer are there enough of them for a sparse \
                       kernel"
                    .to_owned(),
                [one] => format!("layer \"{one}\" ran on a sparse kernel, without its zeros{outcome}"),
                [first, .., last] => format!(
                    "{} layers from \"{first}\" to \"{last}\" ran on sparse kernels, without their zeros{outcome}",
                    speed.sparse_layers.len()
                ),
            })
        }
        ("faster", Removes::Channels) => None,
        ("slower", Removes::Channels) => {
            Some("the smaller network is slower here: other widths (--round-to) may suit the kernels better".to_owned())
        }
        (_, Removes::Channels) => {
            Some("no difference in time could be told: the interval of the ratio holds 1".to_owned())
        }
    }
}

/// The method of that name.
pub(super) fn find(name: &str) -> Result<&'static dyn Method, StudyError> {
    methods::find(name).ok_or_else(|| StudyError::UnknownMethod {
        name: name.to_owned(),
        known: METHODS.iter().map(|method| method.facts().name).collect(),
        command: OWN_COMMANDS.iter().find(|entry| entry.name == name).map(|entry| entry.command),
    })
}

pub(super) fn reduce(
    network: &Network,
    method: &dyn Method,
    config: &PruneConfig,
    school: &School<'_>,
) -> Result<Reduction, StudyError> {
    let n_test = config.data.as_ref().map(|data| data.accuracy_images);
    let training = TrainConfig { validation_images: n_test, ..config.training.clone() };
    school.with_learning(&training, |learning| {
        let meter = Meter::of(network, config, school.monitor)?;
        let measure = |graph: &skimp_graph::Graph| meter.measure(graph).map_err(Into::into);
        let request = Request {
            target: config.target.clone(),
            measure: Some(&measure),
            scope: config.scope,
            keep: &config.keep,
            round_to: config.round_to,
            masking: if config.inexact { Masking::Inexact } else { Masking::Exact },
            settings: &config.settings,
            seed: config.training.seed,
            learning,
        };
        method.reduce(&network.graph, &request).map_err(|error| match error {
            ReduceError::Measure(cause) => {
                cause.downcast::<StudyError>().map_or_else(|cause| ReduceError::Measure(cause).into(), |error| *error)
            }
            error => error.into(),
        })
    })
}

/// The network after some epochs, in which weights that are cut stay zero.
fn tuned(reduction: &Reduction, config: &PruneConfig, school: &School<'_>) -> Result<Network, StudyError> {
    if school.images.is_none() {
        return Err(StudyError::ReduceNeedsData { what: "fine-tuning" });
    }
    let n_test = config.data.as_ref().map(|data| data.accuracy_images);
    let recipe = TrainConfig { epochs: config.finetune, validation_images: n_test, ..config.training.clone() };
    let lesson = |model: &Model| {
        let mask = Box::new(mask(model, &reduction.masks));
        Ok(Lesson { param_hooks: vec![mask], ..Lesson::default() })
    };
    Ok(school.trained((&reduction.graph, &[]), &recipe, lesson)?.0)
}

/// A hook that keeps weights at zero.
fn mask(model: &Model, masks: &[(String, Vec<f32>)]) -> Mask {
    let of = |param: &skimp_train::Param| {
        let (_, mask) = masks.iter().find(|(name, _)| name == param.name())?;
        Some(param.in_storage_order(mask))
    };
    Mask { masks: model.params().iter().map(of).collect() }
}
