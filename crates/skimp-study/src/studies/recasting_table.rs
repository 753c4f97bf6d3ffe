//! Reduced networks of a published table: counts of the shapes built here, and how much faster these run here.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use skimp_quant::QuantizationConfig;
use skimp_report::StudyRecord;
use skimp_report::records::{
    Assumption, ChartRecord, CloudRecord, ColumnRecord, PointRecord, Sections, TableRecord, TablesRecord,
};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::reduce::measured::NetworkMeasures;
use crate::reduce::speed::{Effort, speed_with};
use crate::reduce::steps::{Lesson, StepConfig};
use crate::simulate::config::AcceleratorConfig;
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::simulate_topology;
use crate::stages::topology::Topology;
use crate::store::desk::Desk;
use crate::store::point::{Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;
use crate::studies::ranks::rank_correlation;
use crate::train::config::TrainConfig;

/// What a study of a published table asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecastingTablePlan {
    /// The table.
    pub recasting_table: RecastingTableConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
}

/// The rows, and how they are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecastingTableConfig {
    /// Images of a batch whose time is measured.
    pub batch: usize,
    /// Pairs of runs, dense and reduced network in alternation; 0 measures no time.
    pub pairs: usize,
    /// Where the tables come from: authors, year, place.
    pub source: String,
    /// The design whose off-chip words are counted; it must need shapes only.
    pub accelerator: AcceleratorConfig,
    /// The rows, in the order of the report.
    pub rows: Vec<TableRowConfig>,
}

/// One row: a published method, and the network that it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRowConfig {
    /// Name in the report, unique.
    pub label: String,
    /// The network that it starts from.
    pub network: String,
    /// How well the shape is known.
    pub shape: ShapeBasis,
    /// What is done to that network; nothing where the method leaves it whole.
    #[serde(default)]
    pub steps: Vec<StepConfig>,
    /// Published top-1 error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1_error_percent: Option<f64>,
    /// Published top-5 error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_error_percent: Option<f64>,
    /// Published number of parameters, in millions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_millions: Option<f64>,
    /// Published number of multiplications, in 10^9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs_billions: Option<f64>,
    /// Published speed-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_up: Option<f64>,
    /// What a reader has to know of the row.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
}

/// How well the shape of a published network is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeBasis {
    /// From the authors' code or text; counts agree, or the remark says where they part.
    Known,
    /// Found by search: it has the published counts, and others might.
    Candidate,
    /// The rule that the method aims at; the widths that it ended with are not published.
    Nominal,
    /// One of ours with the published number of operations.
    Assumed,
    /// The method leaves the network whole and skips work image by image: no time is measured.
    Whole,
}

impl ShapeBasis {
    fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Candidate => "candidate",
            Self::Nominal => "nominal",
            Self::Assumed => "assumed",
            Self::Whole => "whole",
        }
    }
}

/// What a network takes, for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    weights: u64,
    parameters: u64,
    macs: u64,
    activation_elements: u64,
    activation_bytes_moved: u64,
    peak_bytes: u64,
    dram_words: u64,
}

/// Time of both networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    threads: usize,
    before_ms: f64,
    after_ms: f64,
    speed_up: f64,
    interval: [f64; 2],
}

/// What a row brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    before: Counts,
    after: Counts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
}

/// Bytes of an off-chip word.
const WORD_BYTES: u64 = 2;

/// Events that count traffic off the chip, and the bytes of each.
static OFF_CHIP: &[(&str, u64)] = &[
    ("dram_input_bytes", 1),
    ("dram_weight_bytes", 1),
    ("dram_output_bytes", 1),
    ("dram_psum_bytes", 1),
    ("dram_ifmap_words", WORD_BYTES),
    ("dram_filter_words", WORD_BYTES),
    ("dram_ofmap_words", WORD_BYTES),
];

/// What may predict the order of measured times: a name, and the count of it.
type Predictor = (&'static str, fn(&Counts) -> u64);

/// See [`Predictor`].
static PREDICTORS: &[Predictor] = &[
    ("MACs", |counts| counts.macs),
    ("activation traffic", |counts| counts.activation_bytes_moved),
    ("peak of activations", |counts| counts.peak_bytes),
    ("off-chip words", |counts| counts.dram_words),
];

impl Outcome {
    /// How many times less of something the reduced network takes.
    fn saving(&self, count: fn(&Counts) -> u64) -> f64 {
        count(&self.before) as f64 / (count(&self.after) as f64).max(1.0)
    }

    fn speed_up(&self) -> Option<f64> {
        self.measured.as_ref().map(|measured| measured.speed_up)
    }
}

/// A row is a point.
struct RowPoints<'a> {
    plan: &'a RecastingTablePlan,
    points: Vec<Point>,
}

impl RowPoints<'_> {
    fn counts(&self, network: &Network, monitor: &dyn Monitor) -> Result<Counts, StudyError> {
        let accelerator = &self.plan.recasting_table.accelerator;
        let own = std::slice::from_ref(accelerator);
        let (topology, quantization) = (Topology::of(network, None)?, QuantizationConfig::default());
        let costs = CostsConfig::default();
        let priced = simulate_topology(&topology, &quantization, &self.plan.designs, own, &costs, None, monitor)?;
        let layers = priced.record.accelerators.iter().flat_map(|accelerator| &accelerator.layers);
        let bytes = |(name, &count): (&String, &u64)| {
            let (_, bytes) = OFF_CHIP.iter().find(|(known, _)| known == name)?;
            Some(count.saturating_mul(*bytes))
        };
        let found: Vec<u64> = layers.flat_map(|layer| layer.events.iter().filter_map(bytes)).collect();
        if found.is_empty() {
            return Err(StudyError::Setting {
                setting: "recasting_table.accelerator",
                found: accelerator.model.clone(),
                expected: "a design that counts words of off-chip memory, such as systolic".to_owned(),
            });
        }
        let measures = NetworkMeasures::of(&network.graph, None, 0)?;
        Ok(Counts {
            weights: measures.weights,
            parameters: measures.parameters,
            macs: measures.macs,
            activation_elements: measures.activation_elements,
            activation_bytes_moved: measures.activation_bytes_moved,
            peak_bytes: measures.peak_bytes,
            dram_words: found.into_iter().fold(0, u64::saturating_add) / WORD_BYTES,
        })
    }

    fn row(&self, idx: usize, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
        let config = &self.plan.recasting_table;
        let row = &config.rows[idx];
        let network = Network::open(&row.network)?;
        let reduced = reduced(&network, row, monitor)?;
        let (before, after) = (self.counts(&network, monitor)?, self.counts(&reduced, monitor)?);
        let measured = if config.pairs > 0 && row.shape != ShapeBasis::Whole {
            let effort = Effort { pairs: (config.pairs, config.pairs), seconds: 0.0 };
            let found = speed_with(&network.graph, &reduced.graph, (config.batch, None), effort, monitor)?;
            Some(Measured {
                threads: found.threads,
                before_ms: found.before_ms,
                after_ms: found.after_ms,
                speed_up: found.speed_up,
                interval: found.interval,
            })
        } else {
            None
        };
        Ok(Outcome { before, after, measured })
    }
}

/// The network of a row.
fn reduced(network: &Network, row: &TableRowConfig, monitor: &dyn Monitor) -> Result<Network, StudyError> {
    let run = TrainConfig::default();
    let lesson = Lesson { data: None, input_size: None, run: &run, seed: 0 };
    let mut reduced = network.clone();
    for step in &row.steps {
        reduced = step.apply(&reduced, &lesson, monitor)?;
    }
    Ok(reduced)
}

impl Points for RowPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let RecastingTableConfig { batch, pairs, accelerator, rows, .. } = &self.plan.recasting_table;
        let row = &rows[idx];
        let mut table = Table::new();
        table.insert("network".to_owned(), row.network.clone().into());
        table.insert("shape".to_owned(), Value::try_from(row.shape)?);
        table.insert("steps".to_owned(), Value::try_from(&row.steps)?);
        table.insert("batch".to_owned(), Value::try_from(batch)?);
        table.insert("pairs".to_owned(), Value::try_from(pairs)?);
        let configured = self.plan.designs.find(&accelerator.model)?.configure(&accelerator.set)?;
        table.insert("accelerator".to_owned(), accelerator.model.clone().into());
        table.insert("settings".to_owned(), configured.facts().config.clone().into());
        Ok(table)
    }

    fn is_disposable(&self) -> bool {
        true
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        job.iter().try_for_each(|&idx| bench.finish(idx, self.row(idx, bench.monitor())?))
    }

    fn said(&self, outcome: &Outcome) -> String {
        outcome.speed_up().map_or_else(|| "counted".to_owned(), |speed_up| format!("{speed_up:.2} times as fast"))
    }
}

impl StudyPlan for RecastingTablePlan {
    const KIND: &'static str = "recasting-table";
    const SUMMARY: &'static str =
        "reduced networks of a published table: counts, traffic, and measured speed beside the published";
    const MARK: &'static str = "[recasting_table]";
    const READS_HEADER: bool = false;

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        let RecastingTableConfig { batch, rows, .. } = &self.recasting_table;
        if *batch == 0 {
            return Err("recasting_table.batch is 0, expected a number of images of at least 1".to_owned());
        }
        if rows.is_empty() {
            return Err("recasting_table has no rows, expected at least one".to_owned());
        }
        for (idx, row) in rows.iter().enumerate() {
            if rows[..idx].iter().any(|other| other.label == row.label) {
                return Err(format!("two rows are labeled \"{}\"", row.label));
            }
            if row.steps.is_empty() != (row.shape == ShapeBasis::Whole) {
                return Err(format!("row \"{}\": steps are of shapes that are not \"whole\"", row.label));
            }
            for step in &row.steps {
                step.check().map_err(|cause| format!("row \"{}\": {cause}", row.label))?;
            }
        }
        Ok(())
    }

    fn read_files(&mut self, designs: &Designs, folder: &std::path::Path) -> Result<(), StudyError> {
        self.recasting_table.accelerator.read_files(designs, folder)?;
        self.designs = designs.clone();
        Ok(())
    }

    fn run(&self, _study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let config = &self.recasting_table;
        let labels: Vec<&str> = config.rows.iter().map(|row| row.label.as_str()).collect();
        let point = |(name, label): (String, &&str)| Point { name, label: (*label).to_owned() };
        let points = slugs(labels.iter().copied(), "row").into_iter().zip(&labels).map(point).collect();
        let outcomes = desk.outcomes(&RowPoints { plan: self, points })?;
        let mut networks: Vec<&str> = config.rows.iter().map(|row| row.network.as_str()).collect();
        networks.dedup();
        let remarks = config.rows.iter().filter(|row| !row.remark.is_empty());
        let remark = |row: &TableRowConfig| Assumption {
            text: format!("{}: {}", row.label, row.remark),
            source: config.source.clone(),
        };
        Ok(StudyRecord {
            model_name: networks.join(", "),
            data_name: "no images".to_owned(),
            sections: Sections::default().with(tables(config, &outcomes)),
            assumptions: assumptions(config).into_iter().chain(remarks.map(remark)).collect(),
            ..StudyRecord::default()
        })
    }
}

/// What a reader has to know of all rows.
fn assumptions(config: &RecastingTableConfig) -> Vec<Assumption> {
    let own = |text: String| Assumption { text, source: "this study's configuration; docs/reduction.md".to_owned() };
    vec![
        own(
            "accuracies and speed-ups in the columns called published are the table's: training on ImageNet is out of \
             reach here, so the networks have random weights, and only their shapes are counted and timed"
                .to_owned(),
        ),
        own(format!(
            "times are of batches of {} on this machine's processor, published ones of a graphics processor: orders may be \
             compared, numbers may not",
            config.batch
        )),
        own(
            "activation traffic: bytes of 32-bit activations where every node reads its inputs and writes its outputs \
             once, per image; off-chip words: 16 bits of weights, inputs, outputs and partial sums, by the design named, for one image"
                .to_owned(),
        ),
    ]
}

fn tables(config: &RecastingTableConfig, outcomes: &[Outcome]) -> TablesRecord {
    let rows = || config.rows.iter().zip(outcomes);
    let counted = TableRecord {
        caption:
            "Published figures, and counts of the networks built here (weights without biases and batch norms; MACs \
                  of convolutions and dense layers, one image)"
                .to_owned(),
        columns: vec![
            ColumnRecord::new("network", "network"),
            ColumnRecord::new("row", "method"),
            ColumnRecord::new("shape", "shape"),
            ColumnRecord::real("published_top1_error_percent", "published top-1 error", "%", 2),
            ColumnRecord::real("published_top5_error_percent", "published top-5 error", "%", 2),
            ColumnRecord::real("published_parameters_millions", "published parameters", "M", 2),
            ColumnRecord::new("weights", "weights"),
            ColumnRecord::real("published_macs_billions", "published mults", "G", 2),
            ColumnRecord::new("macs", "MACs"),
        ],
        rows: rows()
            .map(|(row, outcome)| {
                vec![
                    row.network.clone().into(),
                    row.label.clone().into(),
                    row.shape.name().into(),
                    row.top1_error_percent.into(),
                    row.top5_error_percent.into(),
                    row.parameters_millions.into(),
                    outcome.after.weights.into(),
                    row.macs_billions.into(),
                    outcome.after.macs.into(),
                ]
            })
            .collect(),
    };
    let (text, predictors) = predicted(config, outcomes);
    TablesRecord {
        text,
        tables: vec![counted, savings(config, outcomes), predictors, traffic(config, outcomes)],
        charts: picture(config, outcomes).into_iter().collect(),
    }
}

/// Measured speed-up against what each row saves.
fn picture(config: &RecastingTableConfig, outcomes: &[Outcome]) -> Option<ChartRecord> {
    let cloud = |&(name, count): &Predictor| {
        let point = |(row, outcome): (&TableRowConfig, &Outcome)| {
            Some(PointRecord { name: row.label.clone(), x: outcome.saving(count), y: outcome.speed_up()? })
        };
        let points: Vec<PointRecord> = config.rows.iter().zip(outcomes).filter_map(point).collect();
        CloudRecord { name: format!("against {name}"), points, line: Vec::new() }
    };
    let clouds: Vec<CloudRecord> = PREDICTORS.iter().take(2).map(cloud).collect();
    clouds.iter().any(|cloud| !cloud.points.is_empty()).then(|| ChartRecord {
        caption: "Measured speed-up of each row against how many times less operations and activation traffic it takes"
            .to_owned(),
        axes: ["saving".to_owned(), "measured speed-up".to_owned()],
        units: ["times less".to_owned(), "times".to_owned()],
        clouds,
    })
}

/// How many times less each row takes, and how much faster it is.
fn savings(config: &RecastingTableConfig, outcomes: &[Outcome]) -> TableRecord {
    let threads = outcomes.iter().find_map(|outcome| outcome.measured.as_ref()).map_or(0, |found| found.threads);
    let row = |(row, outcome): (&TableRowConfig, &Outcome)| {
        let measured = outcome.measured.as_ref();
        let verdict = measured.map(|found| match found.interval {
            [low, _] if low > 1.0 => "faster",
            [_, high] if high < 1.0 => "slower",
            _ => "no difference",
        });
        let savings = PREDICTORS.iter().map(|&(_, count)| Json::from(outcome.saving(count)));
        let times = [
            Json::from(row.speed_up),
            measured.map(|found| found.speed_up).into(),
            measured.map(|found| format!("{:.2} to {:.2}", found.interval[0], found.interval[1])).into(),
            verdict.into(),
            measured.map(|found| found.before_ms).into(),
            measured.map(|found| found.after_ms).into(),
        ];
        std::iter::once(Json::from(row.label.clone())).chain(savings).chain(times).collect()
    };
    TableRecord {
        caption: format!(
            "How many times less than the network it starts from, and how much faster: published, and measured here (batch \
             {}, {threads} threads, {} pairs in alternation, ratio of medians with its 95 % interval)",
            config.batch, config.pairs
        ),
        columns: vec![
            ColumnRecord::new("row", "method"),
            ColumnRecord::real("macs_saving", "MACs", "times less", 2),
            ColumnRecord::real("activation_traffic_saving", "activation traffic", "times less", 2),
            ColumnRecord::real("peak_saving", "peak of activations", "times less", 2),
            ColumnRecord::real("dram_words_saving", "off-chip words", "times less", 2),
            ColumnRecord::real("published_speed_up", "published speed-up", "", 1),
            ColumnRecord::real("speed_up", "measured speed-up", "", 2),
            ColumnRecord::new("interval", "95 % interval"),
            ColumnRecord::new("verdict", "verdict"),
            ColumnRecord::real("before_ms", "before", "ms", 1),
            ColumnRecord::real("after_ms", "after", "ms", 1),
        ],
        rows: config.rows.iter().zip(outcomes).map(row).collect(),
    }
}

/// Bytes and words of each network.
fn traffic(config: &RecastingTableConfig, outcomes: &[Outcome]) -> TableRecord {
    let row = |label: &str, counts: &Counts| {
        vec![
            Json::from(label),
            counts.activation_elements.into(),
            counts.activation_bytes_moved.into(),
            counts.peak_bytes.into(),
            counts.dram_words.into(),
        ]
    };
    let mut rows: Vec<Vec<Json>> = Vec::new();
    for (config, outcome) in config.rows.iter().zip(outcomes) {
        let dense = row(&config.network, &outcome.before);
        if !rows.contains(&dense) {
            rows.push(dense);
        }
        rows.push(row(&config.label, &outcome.after));
    }
    TableRecord {
        caption: format!("What the activations take, one image; off-chip words on {}", config.accelerator.label()),
        columns: vec![
            ColumnRecord::new("network", "network"),
            ColumnRecord::new("activation_elements", "outputs of layers that multiply"),
            ColumnRecord {
                unit: "bytes".to_owned(),
                ..ColumnRecord::new("activation_bytes_moved", "activation traffic")
            },
            ColumnRecord { unit: "bytes".to_owned(), ..ColumnRecord::new("peak_bytes", "peak of activations") },
            ColumnRecord::new("dram_words", "off-chip words"),
        ],
        rows,
    }
}

/// Whether the published order holds here, and which count has the order of the measured times.
fn predicted(config: &RecastingTableConfig, outcomes: &[Outcome]) -> (String, TableRecord) {
    let rows = || config.rows.iter().zip(outcomes);
    let published: Vec<Option<f64>> = rows().map(|(row, _)| row.speed_up).collect();
    let measured: Vec<Option<f64>> = rows().map(|(_, outcome)| outcome.speed_up()).collect();
    let of = |count: fn(&Counts) -> u64| -> Vec<Option<f64>> {
        rows().map(|(row, outcome)| (row.shape != ShapeBasis::Whole).then(|| outcome.saving(count))).collect()
    };
    let correlations: Vec<_> = PREDICTORS
        .iter()
        .map(|&(name, count)| {
            let saving = of(count);
            (name, rank_correlation(&saving, &measured), rank_correlation(&saving, &published))
        })
        .collect();
    let order = rank_correlation(&published, &measured);
    let row = |name: &str, ours: Option<(f64, usize)>, theirs: Option<(f64, usize)>| {
        let cells = |found: Option<(f64, usize)>| [Json::from(found.map(|own| own.0)), found.map(|own| own.1).into()];
        std::iter::once(Json::from(name)).chain(cells(ours)).chain(cells(theirs)).collect::<Vec<_>>()
    };
    let first = std::iter::once(row("published speed-up", order, None));
    let rows = first.chain(correlations.iter().map(|&(name, ours, theirs)| row(name, ours, theirs))).collect();
    let ours = |name: &str| correlations.iter().find(|own| own.0 == name).and_then(|own| own.1).map(|own| own.0);
    let compared = match (ours(PREDICTORS[0].0), ours(PREDICTORS[1].0)) {
        (Some(macs), Some(traffic)) => {
            let which = match macs.total_cmp(&traffic) {
                std::cmp::Ordering::Greater => "MACs predict the measured order better than activation traffic",
                std::cmp::Ordering::Less => "activation traffic predicts the measured order better than MACs",
                std::cmp::Ordering::Equal => "MACs and activation traffic predict the measured order alike",
            };
            format!(" Here {which}: rank correlations {macs:.2} and {traffic:.2}.")
        }
        _ => String::new(),
    };
    let text = match order {
        Some((rho, n)) if rho >= 1.0 => format!("The order of the {n} published speed-ups holds here.{compared}"),
        Some((rho, n)) => format!(
            "The order of the {n} published speed-ups does not hold here in full: the rank correlation with the measured ones \
             is {rho:.2}.{compared}"
        ),
        None => format!("Too few rows have a published speed-up and a measured one to compare their order.{compared}"),
    };
    let columns = vec![
        ColumnRecord::new("figure", "figure"),
        ColumnRecord::real("measured_rank_correlation", "rank correlation with measured speed-up", "", 2),
        ColumnRecord::new("n_measured", "rows"),
        ColumnRecord::real("published_rank_correlation", "with published speed-up", "", 2),
        ColumnRecord::new("n_published", "rows"),
    ];
    let caption = "Which figure has the order of the speed-ups (Spearman's rank correlation)".to_owned();
    (text, TableRecord { caption, columns, rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;
    use crate::store::memory::Memory;
    use crate::studies::config::StudyConfig;
    use crate::studies::embedded::STUDIES;
    use crate::studies::runner::{study, study_in};

    fn embedded() -> &'static str {
        STUDIES.iter().find(|(name, _)| *name == "recasting-table").unwrap().1
    }

    fn plan(text: &str) -> RecastingTablePlan {
        let config = StudyConfig::parse(text, "table.toml").unwrap();
        config.plan.get::<RecastingTablePlan>().unwrap().clone()
    }

    /// The embedded study on small images, a pair or two of runs each.
    fn small() -> StudyConfig {
        let text = embedded().replace("batch = 64", "batch = 1").replace("pairs = 7", "pairs = 2");
        let text = text.replace("\"resnet50-v1\"", "\"resnet50-v1:size=32,classes=10\"");
        StudyConfig::parse(&text.replace("\"vgg16\"", "\"vgg16:size=32,classes=10\""), "table.toml").unwrap()
    }

    #[test]
    fn every_row_is_built_with_its_counts() {
        let plan = plan(embedded());
        let counts: Vec<(u64, u64)> = plan
            .recasting_table
            .rows
            .iter()
            .map(|row| {
                let network = Network::open_for_counting(&row.network).unwrap();
                let measures = NetworkMeasures::of(&reduced(&network, row, &Silent).unwrap().graph, None, 0).unwrap();
                (measures.weights, measures.macs)
            })
            .collect();
        // The sums of the layers' published widths, and 4.67 M and 0.05 G of the classifier in each.
        assert_eq!(counts[0], (21_984_448, 2_457_862_144));
        assert_eq!(counts[4], (131_440_480, 4_791_205_888));
        assert_eq!(counts[5], (138_344_128, 15_470_264_320));
        let rounded = |(weights, macs): (u64, u64)| ((weights + 5_000) / 10_000, (macs + 5_000_000) / 10_000_000);
        assert_eq!(rounded(counts[1]), (866, 110));
        assert_eq!(rounded(counts[3]), (12061, 312));
        // Nominal and assumed shapes: within a twentieth of the published operations, a third of the convolutions'.
        for (at, published) in [(2, 1.32e9), (6, 15_346_630_656.0 / 3.0), (7, 4.09e9)] {
            let share = counts[at].1 as f64 / published;
            assert!((share - 1.0).abs() < 0.05, "row {at}: {share}");
        }
    }

    #[test]
    fn rows_are_measured_kept_and_found_again() {
        let config = small();
        let store = Memory::new(usize::MAX);
        let record = study_in(&config, &store, false, &Silent).unwrap();
        let again = study_in(&config, &store, true, &Silent).unwrap();
        assert_eq!(record.sections, again.sections);
        assert_eq!(record.model_name, "resnet50-v1:size=32,classes=10, vgg16:size=32,classes=10");
        let tables = &record.section::<TablesRecord>().unwrap().tables;
        let [counted, savings, predictors, traffic] = &tables[..] else { panic!("{}", tables.len()) };
        assert_eq!((counted.rows.len(), savings.rows.len(), traffic.rows.len()), (8, 8, 10));
        for row in &savings.rows {
            let is_whole = row[0] == "RNP (3x)";
            assert_eq!((row[6].is_null(), row[8].is_null()), (is_whole, is_whole), "{row:?}");
            let saving = |at: usize| row[at].as_f64().unwrap();
            assert!((1..5).all(|at| saving(at) >= 1.0 && (!is_whole || saving(at) <= 1.0)), "{row:?}");
        }
        // Recasting does away with activations more than with operations, filter pruning the other way around.
        let [recast, thinet] = [&savings.rows[0], &savings.rows[1]];
        assert!(recast[1].as_f64() < recast[2].as_f64() && thinet[1].as_f64() > thinet[2].as_f64());
        let n: Vec<_> = predictors.rows.iter().map(|row| (row[2].as_u64(), row[4].as_u64())).collect();
        assert_eq!(n[0], (Some(5), None));
        assert!(n[1..].iter().all(|n| *n == (Some(7), Some(5))), "{n:?}");
        // A run that is timed otherwise is another one.
        let mut other = config.clone();
        other.plan.get_mut::<RecastingTablePlan>().unwrap().recasting_table.batch = 2;
        let error = study_in(&other, &store, true, &Silent).unwrap_err().to_string();
        assert!(error.contains("batch = 1, this run has 2"), "{error}");
    }

    #[test]
    fn counts_do_not_need_times() {
        let mut config = small();
        let own = &mut config.plan.get_mut::<RecastingTablePlan>().unwrap().recasting_table;
        own.pairs = 0;
        own.rows.truncate(2);
        let record = study(&config, &Silent).unwrap();
        assert_eq!(record.sections, study(&config, &Silent).unwrap().sections);
        let tables = record.section::<TablesRecord>().unwrap();
        assert!(tables.text.starts_with("Too few rows"), "{}", tables.text);
        assert!(tables.tables[1].rows.iter().all(|row| row[6].is_null()));
        let own = &mut config.plan.get_mut::<RecastingTablePlan>().unwrap().recasting_table;
        own.accelerator.model = "dadiannao".to_owned();
        let error = study(&config, &Silent).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("off-chip"), "{error}");
    }

    #[test]
    fn what_is_said_follows_the_figures() {
        let config = plan(embedded()).recasting_table;
        let counts = |macs, bytes| Counts {
            weights: 1,
            parameters: 1,
            macs,
            activation_elements: 1,
            activation_bytes_moved: bytes,
            peak_bytes: 1,
            dram_words: 1,
        };
        let outcome = |macs, bytes, speed_up| Outcome {
            before: counts(1000, 1000),
            after: counts(macs, bytes),
            measured: Some(Measured {
                threads: 1,
                before_ms: 1.0,
                after_ms: 1.0 / speed_up,
                speed_up,
                interval: [speed_up - 0.1, speed_up + 0.1],
            }),
        };
        // Faster with fewer operations, and in the published order, or against both.
        let rows: Vec<_> = config.rows.iter().filter(|row| row.speed_up.is_some() && !row.steps.is_empty()).collect();
        let short = RecastingTableConfig { rows: rows.into_iter().cloned().collect(), ..config };
        let ordered: Vec<Outcome> = short
            .rows
            .iter()
            .map(|row| row.speed_up.unwrap())
            .map(|speed_up| outcome((1000.0 / speed_up) as u64, (100.0 * speed_up) as u64, speed_up))
            .collect();
        let (text, table) = predicted(&short, &ordered);
        assert_eq!(
            text,
            "The order of the 5 published speed-ups holds here. Here MACs predict the measured order better than activation \
             traffic: rank correlations 1.00 and -1.00."
        );
        assert_eq!(table.rows[1][1].as_f64().map(|rho| (100.0 * rho).round()), Some(100.0));
        let turned: Vec<Outcome> =
            ordered.iter().map(|own| outcome(500, 500, 10.0 / own.speed_up().unwrap())).collect();
        let (text, _) = predicted(&short, &turned);
        assert!(text.starts_with("The order of the 5 published speed-ups does not hold here in full: "), "{text}");
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, message) in [
            ("batch = 64", "batch = 0", "recasting_table.batch is 0"),
            ("label = \"ThiNet-30\"", "label = \"ThiNet-Conv\"", "two rows are labeled \"ThiNet-Conv\""),
            ("shape = \"whole\"", "shape = \"known\"", "row \"RNP (3x)\": steps are of shapes"),
            ("into = \"conv\"", "into = \"comb\"", "row \"Recasting (C + R_bott)\": into: \"comb\""),
            ("[recasting_table]", "[data]\nset = \"sample\"\n\n[recasting_table]", "has neither [network] nor [data]"),
        ] {
            assert!(embedded().contains(from), "{from}");
            let error = StudyConfig::parse(&embedded().replacen(from, to, 1), "table.toml").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let other = crate::studies::embedded::StudyOverrides { images: Some(1), ..Default::default() };
        let error = StudyConfig::open("recasting-table", &other).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("names its networks itself"), "{error}");
    }
}
