//! Recasting: blocks of a network become others, and learn what the old ones answered.

use serde::Serialize;
use skimp_graph::{Graph, onnx};
use skimp_reduce::recast::{
    Block, Change, Course, NewKind, Schooling, Scope as Learners, blocks, recast as rebuilt, train,
};
use skimp_report::records::ModelRecord;
use skimp_report::table::{Cell, Column, Table};

use super::learn::School;
use super::measured::{Gauge, NetworkMeasures, table};
use super::run::{ReduceRun, identity};
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::tabular::Tabular;
use crate::train::config::TrainConfig;

/// How a network is recast.
#[derive(Clone, Debug, Serialize)]
pub struct RecastConfig {
    /// Numbers of the blocks, from the input on; none to list the blocks only.
    pub blocks: Vec<usize>,
    /// What they become.
    #[serde(serialize_with = "as_text")]
    pub into: NewKind,
    /// Factors of their widths: one for each, one for all, or none for 1.
    pub ratios: Vec<f64>,
    /// Images to learn from; the new blocks keep their random weights where there are none.
    #[serde(skip)]
    pub data: Option<DataConfig>,
    /// Input height and width, where the network leaves them open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
    /// Passes over the training images after all blocks.
    pub finetune: u64,
    /// How each block trains; epochs are those of a block.
    pub training: TrainConfig,
}

fn as_text<S: serde::Serializer>(into: &NewKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(into)
}

/// A recast network: `skimp.recast/1`.
#[derive(Clone, Debug, Serialize)]
pub struct RecastRecord {
    /// `skimp.recast/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network before.
    pub model: ModelRecord,
    /// What was asked.
    pub config: RecastConfig,
    /// The network before.
    pub before: NetworkMeasures,
    /// The network after.
    pub after: NetworkMeasures,
    /// The blocks of the network before.
    pub blocks: Vec<BlockRecord>,
    /// What recasting each block brought.
    pub steps: Vec<RecastStepRecord>,
    /// Whether the new blocks have random weights.
    pub untrained: bool,
}

/// A block of a network.
#[derive(Clone, Debug, Serialize)]
pub struct BlockRecord {
    /// Its number.
    pub block: usize,
    /// Its type.
    pub kind: String,
    /// Its first and last node.
    pub nodes: [String; 2],
    /// Channels that it reads.
    pub in_channels: usize,
    /// Channels that it makes.
    pub out_channels: usize,
    /// Its stride.
    pub stride: usize,
    /// Whether it is recast.
    pub recast: bool,
}

/// What recasting a block brought.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RecastStepRecord {
    /// Number of the block.
    pub block: usize,
    /// Mean squared difference of student and teacher behind the next block.
    pub mse: f64,
    /// The same over the teacher's squares.
    pub relative_error: f64,
    /// Share of the test images that the whole student classifies right, later blocks the teacher's still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
}

impl Tabular for RecastRecord {
    fn tables(&self) -> Vec<Table> {
        let mut listed = Table::new(
            format!("blocks of {}", self.model.name),
            vec![
                Column::number("block", "block", ""),
                Column::text("kind", "type"),
                Column::number("in_channels", "channels in", ""),
                Column::number("out_channels", "out", ""),
                Column::number("stride", "stride", ""),
                Column::text("nodes", "nodes"),
                Column::text("recast", "becomes"),
            ],
        );
        for block in &self.blocks {
            let [first, last] = &block.nodes;
            let nodes = if first == last { first.clone() } else { format!("{first} to {last}") };
            let becomes = if block.recast { self.config.into.to_string() } else { String::new() };
            listed.row(vec![
                (block.block as u64).into(),
                block.kind.as_str().into(),
                (block.in_channels as u64).into(),
                (block.out_channels as u64).into(),
                (block.stride as u64).into(),
                nodes.as_str().into(),
                becomes.as_str().into(),
            ]);
        }
        if self.config.blocks.is_empty() {
            return vec![listed];
        }
        let note = if self.untrained { "; its new blocks have random weights" } else { "" };
        let title = format!("{}: blocks recast into {}{note}", self.model.name, self.config.into);
        let mut tables = vec![table(title, &self.before, &self.after), listed];
        if !self.steps.is_empty() {
            let columns = vec![
                Column::number("block", "block", ""),
                Column::number("mse", "mean squared difference", ""),
                Column::number("relative_error", "of the teacher's squares", ""),
                Column::number("top1", "top-1", "%"),
            ];
            let mut steps = Table::new("what each block learned, behind the next one", columns);
            for step in &self.steps {
                steps.row(vec![
                    (step.block as u64).into(),
                    Cell::real(step.mse, 6),
                    Cell::real(step.relative_error, 4),
                    Cell::real(step.top1.map(|top1| 100.0 * top1), 2),
                ]);
            }
            tables.push(steps);
        }
        tables
    }
}

/// Recasts blocks of a network and writes it as ONNX where `run` says: a path, or a [`ReduceRun`] that goes on after it was
/// stopped. With images, each new block and the one behind it learn
/// what the old ones answered, and the whole network is tuned at the end; without, they keep their random weights.
///
/// # Errors
/// [`StudyError::Reduce`] naming the block or node; otherwise the error of the step that failed. Nothing is written then.
pub fn recast(
    network: &Network,
    config: &RecastConfig,
    run: impl Into<ReduceRun>,
    monitor: &dyn Monitor,
) -> Result<RecastRecord, StudyError> {
    let run = run.into();
    network.check_one_step("recasting")?;
    let (record, recast) = recast_network(network, config, &run, monitor)?;
    if let Some(output) = &run.output {
        onnx::export(&recast.graph, output)?;
    }
    Ok(record)
}

/// What [`recast`] does, with the network instead of a file.
pub(crate) fn recast_network(
    network: &Network,
    config: &RecastConfig,
    run: &ReduceRun,
    monitor: &dyn Monitor,
) -> Result<(RecastRecord, Network), StudyError> {
    let found = blocks(&network.graph)?;
    let data = config.data.as_ref().filter(|_| !config.blocks.is_empty());
    let images = match data {
        Some(data) => Some(Images::open_for_ranges(data, &network.graph, config.input_size, monitor)?),
        None => None,
    };
    let gauge = Gauge::open(network, data, config.input_size, monitor)?;
    let test = gauge.test().map(|(test, _)| test);
    let runs = match &images {
        Some(images) => run.open(&[], || {
            let images: Vec<_> =
                [Some(("train", images)), test.map(|test| ("test", test))].into_iter().flatten().collect();
            identity("recast", config, &config.training, data, &[("network", network)], &images)
        })?,
        None => None,
    };
    let school = School { images: images.as_ref(), validation: test, runs: runs.as_ref(), monitor };
    let (graph, steps) = recast_graph(network, config, &school)?;
    let graph = match &images {
        Some(images) => graph.with_metadata(PREPROCESS_KEY, images.preprocess_name()),
        None => graph,
    };
    let recast = Network { name: network.name.clone(), ..Network::from_graph(graph)? };
    let (before, after) = (gauge.measure(network, monitor)?, gauge.measure(&recast, monitor)?);
    let block_record = |(number, block): (usize, &Block)| BlockRecord {
        block: number,
        kind: block.kind.to_string(),
        nodes: [block.nodes.first(), block.nodes.last()].map(|node| node.cloned().unwrap_or_default()),
        in_channels: block.in_width,
        out_channels: block.width,
        stride: block.stride,
        recast: config.blocks.contains(&number),
    };
    let record = RecastRecord {
        schema: "skimp.recast/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        config: config.clone(),
        before,
        after,
        blocks: found.iter().enumerate().map(block_record).collect(),
        untrained: images.is_none() && !config.blocks.is_empty(),
        steps,
    };
    Ok((record, recast))
}

fn recast_graph(
    network: &Network,
    config: &RecastConfig,
    school: &School<'_>,
) -> Result<(Graph, Vec<RecastStepRecord>), StudyError> {
    if config.blocks.is_empty() {
        return Ok((network.graph.clone(), Vec::new()));
    }
    if school.images.is_none() {
        let recast = rebuilt(&network.graph, &config.blocks, config.into, &config.ratios, config.training.seed)?;
        return Ok((recast.graph, Vec::new()));
    }
    let changes = Change::each(&config.blocks, config.into, &config.ratios).map_err(|error| StudyError::Setting {
        setting: "blocks",
        found: error.text,
        expected: error.expected,
    })?;
    let course = |epochs| Course { epochs, learning_rate: None };
    let schooling = Schooling {
        block: course(config.training.epochs),
        finetune: (config.finetune > 0).then(|| course(config.finetune)),
        scope: Learners::default(),
    };
    let limited = DataConfig::default().accuracy_images;
    let n_validation = config.data.as_ref().map_or(limited, |data| data.accuracy_images);
    let training = TrainConfig { validation_images: Some(n_validation), ..config.training.clone() };
    school.with_learning(&training, |learning| {
        let Some(learning) = learning else { return Err(StudyError::ReduceNeedsData { what: "recasting" }) };
        let n_blocks = changes.len();
        let mut steps = Vec::new();
        let trained = train((&network.graph, None), &changes, &schooling, learning, training.seed, &mut |step, _| {
            let record = RecastStepRecord {
                block: step.change.block,
                mse: step.mse,
                relative_error: step.relative_error,
                top1: step.accuracy,
            };
            steps.push(record);
            let top1 = step.accuracy.map_or(String::new(), |top1| format!(", top-1 {:.2} %", 100.0 * top1));
            let (done, error) = (steps.len(), step.relative_error);
            school.monitor.milestone(&format!(
                "block {} ({done} of {n_blocks}): error {error:.4} of the teacher's squares{top1}",
                record.block
            ));
            Ok(())
        })?;
        Ok((trained.graph, steps))
    })
}
