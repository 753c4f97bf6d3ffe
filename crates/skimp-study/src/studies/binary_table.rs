//! Networks of one bit and of one time step beside the published: the same networks under several quantizers, seed by seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use skimp_report::StudyRecord;
use skimp_report::records::{Assumption, ColumnRecord, Sections, Spread, TableRecord, TablesRecord, Timing};
use skimp_train::TrainError;
use skimp_train::checkpoint::Checkpoint;
use skimp_train::policy;
use skimp_train::trainer::{CheckpointConfig, EpochRecord, Observer, StepReport, Trainer, TrainerConfig};
use toml::Table;

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::store::desk::Desk;
use crate::store::point::{Pace, Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;
use crate::train::config::{Checked, TrainConfig};
use crate::train::data::Data;
use crate::train::identity::Identity;
use crate::train::{freeze, n_parameters, new_model, prepared};

/// What a study of quantizers asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinaryTablePlan {
    /// The table.
    pub binary_table: BinaryTableConfig,
}

/// The rows and columns of the table, and how its networks are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryTableConfig {
    /// Label of the row that others are compared with.
    pub baseline: String,
    /// Label of the row that should lose least.
    pub closest: String,
    /// Labels of the two rows that should be close to each other.
    pub pair: [String; 2],
    /// How close, in percentage points.
    pub pair_points: f64,
    /// Where the published figures come from.
    pub source: String,
    /// The recipe of all cells.
    #[serde(default)]
    pub run: TrainConfig,
    /// The rows.
    pub rows: Vec<QuantizerRowConfig>,
    /// The networks, from the smallest.
    pub networks: Vec<TableNetworkConfig>,
}

/// A row: one quantizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizerRowConfig {
    /// Name in the report, unique.
    pub label: String,
    /// The quantizer, with its settings.
    pub quantizer: String,
}

/// A network, and what was published of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableNetworkConfig {
    /// Name in the report, unique.
    pub label: String,
    /// The network; the study's own where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Seeds, each a cell of its own.
    pub seeds: Vec<u64>,
    /// How far our accuracies may be from the published, in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_points: Option<f64>,
    /// Published accuracies in percent, by the label of the row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published_percent: BTreeMap<String, f64>,
}

impl BinaryTableConfig {
    fn check(&self) -> Result<(), String> {
        let labels: Vec<&str> = self.rows.iter().map(|row| row.label.as_str()).collect();
        let networks: Vec<&str> = self.networks.iter().map(|network| network.label.as_str()).collect();
        for (what, labels) in [("rows", &labels), ("networks", &networks)] {
            if labels.is_empty() {
                return Err(format!("binary_table has no {what}, expected at least one"));
            }
            if let Some(twice) = labels.iter().enumerate().find(|(idx, label)| labels[..*idx].contains(label)) {
                return Err(format!("two {what} are labeled \"{}\"", twice.1));
            }
        }
        let known = labels.join(", ");
        let named = [("baseline", &self.baseline), ("closest", &self.closest)];
        let pair = self.pair.iter().map(|label| ("pair", label));
        for (key, label) in named.into_iter().chain(pair) {
            if !labels.contains(&label.as_str()) {
                return Err(format!("binary_table.{key} is \"{label}\", expected one of: {known}"));
            }
        }
        for network in &self.networks {
            if network.seeds.is_empty() {
                return Err(format!("network \"{}\" has no seeds, expected at least one", network.label));
            }
            if let Some(label) = network.published_percent.keys().find(|label| !labels.contains(&label.as_str())) {
                return Err(format!(
                    "network \"{}\" has a figure of \"{label}\", expected one of: {known}",
                    network.label
                ));
            }
        }
        let run = &self.run;
        run.check_unset("[binary_table.run]", &[("quantizer", run.quantizer.is_some())])?;
        for row in &self.rows {
            let run = TrainConfig { quantizer: Some(row.quantizer.clone()), ..run.clone() };
            run.check_settings().map_err(|error| format!("row \"{}\": {error}", row.label))?;
        }
        Ok(())
    }
}

/// One cell: a network under a quantizer, from one seed.
#[derive(Clone, Debug)]
struct Cell {
    network: usize,
    row: usize,
    config: TrainConfig,
}

/// What a cell brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diverged: Option<String>,
    #[serde(default)]
    history: Vec<EpochRecord>,
}

impl Outcome {
    fn top1(&self) -> Option<f64> {
        self.history.last().filter(|_| self.diverged.is_none()).and_then(|epoch| epoch.validation_accuracy)
    }
}

/// The cells as points: a cell is minutes to hours of work, so it leaves a checkpoint after each epoch.
struct Cells<'a> {
    table: &'a BinaryTableConfig,
    cells: Vec<Cell>,
    points: Vec<Point>,
    /// For each network, its images.
    data: &'a [Data],
    pace: Pace,
}

impl Cells<'_> {
    fn inputs(&self, idx: usize) -> Result<(Network, Data), StudyError> {
        let Cell { network, config, .. } = &self.cells[idx];
        let opened = Network::open_for_training(&config.network, config.seed)?;
        Ok((opened, self.data[*network].chosen(config)?))
    }

    /// Trains from the initial weights of its seed, or from its checkpoint. Divergence is a result, not an error.
    fn train(&self, idx: usize, bench: &Bench<'_, Self>) -> Result<Outcome, StudyError> {
        let config = &self.cells[idx].config;
        let Checked { augment, trainer, quantizer } = config.check()?;
        let (network, data) = self.inputs(idx)?;
        let network = prepared(network, quantizer.as_ref())?;
        let (loader, validation) = data.loaders(config, augment)?;
        let mut model = new_model(config, (&network, quantizer.as_ref()), &data)?;
        freeze(&mut model, &config.freeze)?;
        let hook = quantizer.as_ref().map(|quantizer| quantizer.hook(&model)).transpose()?.flatten();
        let mut precision = policy::create(&config.precision)?;
        let (mut checkpoints, mut checkpoint) = (None, None);
        if let Some(workspace) = bench.workspace(idx)? {
            checkpoint = Checkpoint::load(&workspace.folder)?;
            if let Some(checkpoint) = &checkpoint {
                workspace.check(checkpoint.path(), checkpoint.config())?;
            }
            let (folder, config) = (workspace.folder, workspace.config);
            checkpoints = Some(CheckpointConfig { folder, every_steps: None, config });
        }
        let trainer = TrainerConfig { checkpoints, ..trainer };
        let mut trainer = Trainer::new(&mut model, &mut *precision, trainer, loader, validation)?;
        if let Some(hook) = hook {
            trainer.optimizer_mut().add_hook(hook);
        }
        if let Some(checkpoint) = checkpoint {
            trainer.resume(checkpoint)?;
        }
        bench.begin(idx, trainer.state().step);
        let diverged = match trainer.run(&Watch { cells: self, bench, idx }) {
            Ok(_) => None,
            // A run that is asked to stop looks at its parameters earlier than others do. It is to find out by itself.
            Err(TrainError::Diverged { .. } | TrainError::Interrupted { .. }) if bench.is_stopped() => {
                return Err(StudyError::Interrupted);
            }
            Err(TrainError::Diverged { epoch, step, what, layer, .. }) => {
                Some(TrainError::Diverged { epoch, step, what, layer, checkpoint: None }.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Outcome { history: trainer.state().history.clone(), diverged })
    }
}

impl Points for Cells<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let (network, data) = self.inputs(idx)?;
        Identity::new(&self.cells[idx].config, &network, &data)?.table()
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["data", "network"]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        job.iter().try_for_each(|&idx| bench.finish(idx, self.train(idx, bench)?))
    }

    fn said(&self, outcome: &Outcome) -> String {
        match (&outcome.diverged, outcome.top1()) {
            (Some(_), _) => "diverged".to_owned(),
            (None, Some(top1)) => format!("{:.2} %", 100.0 * top1),
            (None, None) => "done".to_owned(),
        }
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        outcome.top1().map(|top1| ("top1".to_owned(), top1)).into_iter().collect()
    }

    fn failure(&self, outcome: &Outcome) -> Option<String> {
        outcome.diverged.clone()
    }
}

/// Watches one cell.
struct Watch<'a, 'b, 'd> {
    cells: &'a Cells<'d>,
    bench: &'a Bench<'b, Cells<'d>>,
    idx: usize,
}

impl Observer for Watch<'_, '_, '_> {
    fn step(&self, report: &StepReport) {
        let Cell { row, config, .. } = &self.cells.cells[self.idx];
        let label = &self.cells.table.rows[*row].label;
        self.bench.step(self.idx, &format!("{label} seed {} {}/{}", config.seed, report.epoch, config.epochs));
    }

    fn interrupted(&self) -> bool {
        self.bench.is_stopped()
    }
}

impl StudyPlan for BinaryTablePlan {
    const KIND: &'static str = "binary-table";
    const SUMMARY: &'static str = "networks under several quantizers, seed by seed, beside published accuracies";
    const MARK: &'static str = "[binary_table]";

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        self.binary_table.check()
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        run(&self.binary_table, study, desk)
    }
}

fn run(table: &BinaryTableConfig, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
    let monitor = desk.monitor();
    let base = |network: &TableNetworkConfig| TrainConfig {
        network: network.model.clone().unwrap_or_else(|| study.network.model.clone()),
        input_size: study.network.input_size,
        data: study.data.set.clone(),
        preprocess: study.data.preprocess.clone(),
        output_name: study.data.output_name.clone(),
        seed: network.seeds.first().copied().unwrap_or(0),
        ..table.run.clone()
    };
    let (mut data, mut cells, mut inputs, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut n_steps, mut memory, mut data_name) = (0, 0, String::new());
    monitor.stage("opening the data", table.networks.len() as u64);
    for (idx, own) in table.networks.iter().enumerate() {
        let base = base(own);
        let network = Network::open_for_training(&base.network, base.seed)?;
        let opened = Data::open(&base, &network.graph, monitor)?;
        let identity = Identity::new(&base, &network, &opened)?;
        inputs.extend(identity.inputs(&network));
        inputs.dedup();
        names.push(network.name.clone());
        data_name.clone_from(&identity.training.name);
        for (row_idx, row) in table.rows.iter().enumerate() {
            let config = TrainConfig { quantizer: Some(row.quantizer.clone()), ..base.clone() };
            let Checked { augment, quantizer, .. } = config.check()?;
            let prepared = prepared(network.clone(), quantizer.as_ref())?;
            if row_idx == 0 {
                let model = new_model(&config, (&prepared, quantizer.as_ref()), &opened)?;
                memory = memory.max(model.n_activation_bytes() as u64 + 16 * n_parameters(&model));
                n_steps = config.epochs * opened.loaders(&config, augment)?.0.steps_per_epoch();
            }
            let seeds = own.seeds.iter();
            cells.extend(seeds.map(|&seed| Cell {
                network: idx,
                row: row_idx,
                config: TrainConfig { seed, ..config.clone() },
            }));
        }
        data.push(opened);
        monitor.advance(1);
    }
    let label = |cell: &Cell| {
        let (network, row) = (&table.networks[cell.network].label, &table.rows[cell.row].label);
        format!("{network}, {row}, seed {}", cell.config.seed)
    };
    let labels: Vec<String> = cells.iter().map(label).collect();
    let slugs = slugs(labels.iter().map(String::as_str), "cell");
    let points = slugs.into_iter().zip(labels).map(|(name, label)| Point { name, label }).collect();
    let pace = Pace::SideBySide { what: "training", n_steps, memory };
    let cells = Cells { table, cells, points, data: &data, pace };
    let outcomes = desk.outcomes(&cells)?;
    let results = results(table, &cells.cells, &outcomes);
    let timings = results.iter().flatten().map(|result| Timing { step: result.label.clone(), seconds: result.seconds });
    Ok(StudyRecord {
        model_name: names.join(", "),
        data_name,
        seed: cells.cells.first().map_or(0, |cell| cell.config.seed),
        assumptions: assumptions(table),
        inputs,
        timings: timings.collect(),
        sections: Sections::default().with(tables(table, &results)),
        ..StudyRecord::default()
    })
}

/// All cells of a network and a row.
#[derive(Clone, Debug, PartialEq)]
struct RowResult {
    label: String,
    /// Of those that did not diverge.
    top1: Option<Spread>,
    /// Beside the baseline of the same seed.
    difference: Option<Spread>,
    n_diverged: usize,
    seconds: f64,
}

/// For each network and row, what came out.
fn results(table: &BinaryTableConfig, cells: &[Cell], outcomes: &[Outcome]) -> Vec<Vec<RowResult>> {
    let of = |network: usize, row: usize| {
        let found = cells.iter().zip(outcomes).filter(move |(cell, _)| (cell.network, cell.row) == (network, row));
        found.map(|(_, outcome)| outcome)
    };
    let baseline = table.rows.iter().position(|row| row.label == table.baseline).unwrap_or(0);
    let result = |network: usize, row: usize| {
        let top1: Vec<f64> = of(network, row).filter_map(Outcome::top1).collect();
        let pairs = of(network, row).zip(of(network, baseline));
        let differences: Vec<f64> =
            pairs.filter_map(|(own, base)| Some(own.top1()? - base.top1()?)).filter(|_| row != baseline).collect();
        RowResult {
            label: format!("{}, {}", table.networks[network].label, table.rows[row].label),
            top1: Spread::of(&top1),
            difference: Spread::of(&differences),
            n_diverged: of(network, row).filter(|outcome| outcome.diverged.is_some()).count(),
            seconds: of(network, row).flat_map(|outcome| &outcome.history).map(|epoch| epoch.seconds).sum(),
        }
    };
    (0..table.networks.len()).map(|network| (0..table.rows.len()).map(|row| result(network, row)).collect()).collect()
}

fn percent(spread: Option<&Spread>) -> Option<f64> {
    spread.map(|spread| 100.0 * spread.mean)
}

fn tables(table: &BinaryTableConfig, results: &[Vec<RowResult>]) -> TablesRecord {
    let mut rows = Vec::new();
    for (network, results) in table.networks.iter().zip(results) {
        let published = |label: &str| network.published_percent.get(label).copied();
        for (row, result) in table.rows.iter().zip(results) {
            let base = published(&table.baseline).filter(|_| row.label != table.baseline);
            rows.push(vec![
                Json::from(network.label.clone()),
                row.label.clone().into(),
                row.quantizer.clone().into(),
                percent(result.top1.as_ref()).into(),
                result.top1.as_ref().and_then(|top1| top1.std).map(|std| 100.0 * std).into(),
                network.seeds.len().into(),
                percent(result.difference.as_ref()).into(),
                published(&row.label).into(),
                published(&row.label).zip(base).map(|(own, base)| own - base).into(),
                result.n_diverged.into(),
            ]);
        }
    }
    let accuracies = TableRecord {
        caption: format!(
            "Accuracy under each quantizer, here ({} epochs, each cell from its seed) and published",
            table.run.epochs
        ),
        columns: vec![
            ColumnRecord::new("network", "network"),
            ColumnRecord::new("row", "row"),
            ColumnRecord::new("quantizer", "quantizer"),
            ColumnRecord::real("top1_percent", "top-1", "%", 2),
            ColumnRecord::real("top1_std_percent", "deviation", "%", 2),
            ColumnRecord::new("n_seeds", "seeds"),
            ColumnRecord::real("difference_points", "beside the baseline", "points", 2),
            ColumnRecord::real("published_percent", "published top-1", "%", 2),
            ColumnRecord::real("published_difference_points", "published beside the baseline", "points", 2),
            ColumnRecord::new("n_diverged", "diverged"),
        ],
        rows,
    };
    let gates = gates(table, results);
    let met = gates.iter().filter(|gate| gate.is_met == Some(true)).count();
    let open = gates.iter().filter(|gate| gate.is_met.is_none()).count();
    let text = match open {
        0 => format!("{met} of {} gates are met.", gates.len()),
        open => format!("{met} of {} gates are met, {open} could not be evaluated.", gates.len()),
    };
    let row = |gate: &Gate| {
        let verdict = match gate.is_met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not evaluated",
        };
        vec![Json::from(gate.network.clone()), gate.rule.clone().into(), gate.found.clone().into(), verdict.into()]
    };
    let verdicts = TableRecord {
        caption: "What should hold, and whether it does here".to_owned(),
        columns: vec![
            ColumnRecord::new("network", "network"),
            ColumnRecord::new("gate", "gate"),
            ColumnRecord::new("found", "found"),
            ColumnRecord::new("verdict", "verdict"),
        ],
        rows: gates.iter().map(row).collect(),
    };
    TablesRecord { text, tables: vec![accuracies, verdicts], charts: Vec::new() }
}

/// Something that should hold.
#[derive(Clone, Debug, PartialEq)]
struct Gate {
    network: String,
    rule: String,
    found: String,
    /// `None` where a figure is missing.
    is_met: Option<bool>,
}

fn gates(table: &BinaryTableConfig, results: &[Vec<RowResult>]) -> Vec<Gate> {
    let at = |label: &str| table.rows.iter().position(|row| row.label == label);
    let others: Vec<usize> = (0..table.rows.len()).filter(|&row| table.rows[row].label != table.baseline).collect();
    let points = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:+.2} points"));
    let mut gates = Vec::new();
    for (network, results) in table.networks.iter().zip(results) {
        let difference = |row: usize| percent(results[row].difference.as_ref());
        let top1 = |row: usize| percent(results[row].top1.as_ref());
        let found: Option<Vec<f64>> = others.iter().map(|&row| difference(row)).collect();
        let listed = |values: &[(String, Option<f64>)]| {
            values.iter().map(|(label, value)| format!("{label} {}", points(*value))).collect::<Vec<_>>().join(", ")
        };
        let all: Vec<(String, Option<f64>)> =
            others.iter().map(|&row| (table.rows[row].label.clone(), difference(row))).collect();
        let mut gate = |rule: String, found: String, is_met: Option<bool>| {
            gates.push(Gate { network: network.label.clone(), rule, found, is_met });
        };
        gate(
            format!("every row is below {}", table.baseline),
            listed(&all),
            found.as_ref().map(|found| found.iter().all(|points| *points < 0.0)),
        );
        let closest = at(&table.closest).and_then(difference);
        gate(
            format!("{} is closest to {}", table.closest, table.baseline),
            points(closest),
            found.zip(closest).map(|(found, closest)| found.iter().all(|points| points.abs() >= closest.abs())),
        );
        let [a, b] = [0, 1].map(|idx| at(&table.pair[idx]).and_then(top1));
        let apart = a.zip(b).map(|(a, b)| b - a);
        gate(
            format!("{} is within {} points of {}", table.pair[1], table.pair_points, table.pair[0]),
            points(apart),
            apart.map(|apart| apart.abs() <= table.pair_points),
        );
        for (row, config) in table.rows.iter().enumerate() {
            let published = network.published_percent.get(&config.label).copied();
            if let (Some(tolerance), Some(published)) = (network.tolerance_points, published) {
                let off = top1(row).map(|top1| top1 - published);
                gate(
                    format!("{} is within {tolerance} points of the published {published:.2} %", config.label),
                    points(off),
                    off.map(|off| off.abs() <= tolerance),
                );
            }
        }
    }
    let is_published = |network: &TableNetworkConfig| !network.published_percent.is_empty();
    let (Some(small), Some(large)) =
        (table.networks.iter().position(is_published), table.networks.iter().rposition(is_published))
    else {
        return gates;
    };
    if small != large {
        for row in others {
            let of = |network: usize| percent(results[network][row].difference.as_ref());
            let (before, after) = (of(small), of(large));
            gates.push(Gate {
                network: format!("{} to {}", table.networks[small].label, table.networks[large].label),
                rule: format!("the gap of {} shrinks", table.rows[row].label),
                found: format!("{} to {}", points(before), points(after)),
                is_met: before.zip(after).map(|(before, after)| after.abs() < before.abs()),
            });
        }
    }
    gates
}

/// What a reader has to know to judge the figures.
fn assumptions(table: &BinaryTableConfig) -> Vec<Assumption> {
    let own = |text: &str, source: &str| Assumption { text: text.to_owned(), source: source.to_owned() };
    let mut list = vec![
        own(
            "all rows of a network have the same blocks, recipe, images and order; cells of one seed begin with the same \
             weights, and differ in the quantizer alone",
            "this study's configuration; docs/quantizers.md",
        ),
        own("published accuracies and differences are the source's, of its own recipe", &table.source),
        own(
            "a gate is evaluated on the means over seeds, and is never adjusted; one whose figures are missing is open",
            "this study's configuration",
        ),
    ];
    if table.networks.iter().any(|network| network.seeds.len() < 2) {
        let text = "a network with one seed has no deviation: differences below a point or two may be chance";
        list.push(own(text, "this study's configuration"));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;
    use crate::store::memory::Memory;
    use crate::studies::config::StudyConfig;
    use crate::studies::embedded::STUDIES;
    use crate::studies::runner::study_in;

    fn embedded(name: &str) -> &'static str {
        STUDIES.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn table(name: &str) -> BinaryTableConfig {
        let config = StudyConfig::parse(embedded(name), "table.toml").unwrap();
        config.plan.get::<BinaryTablePlan>().unwrap().binary_table.clone()
    }

    fn spread(percent: f64) -> Option<Spread> {
        Spread::of(&[percent / 100.0])
    }

    /// Results of those accuracies in percent.
    fn found(table: &BinaryTableConfig, top1: &[&[f64]]) -> Vec<Vec<RowResult>> {
        let of = |top1: &[f64]| {
            let result = |(row, &own): (&QuantizerRowConfig, &f64)| RowResult {
                label: row.label.clone(),
                top1: spread(own),
                difference: (row.label != table.baseline).then(|| spread(own - top1[0])).flatten(),
                n_diverged: 0,
                seconds: 1.0,
            };
            table.rows.iter().zip(top1).map(result).collect()
        };
        top1.iter().map(|top1| of(top1)).collect()
    }

    #[test]
    fn published_figures_meet_their_gates() {
        let table = table("binary-table-cifar10");
        let published: Vec<Vec<f64>> = table
            .networks
            .iter()
            .map(|network| table.rows.iter().map(|row| network.published_percent[&row.label]).collect())
            .collect();
        let published: Vec<&[f64]> = published.iter().map(Vec::as_slice).collect();
        let gates = gates(&table, &found(&table, &published));
        assert_eq!(gates.len(), 2 * (3 + 5) + 4);
        assert!(gates.iter().all(|gate| gate.is_met == Some(true)), "{gates:#?}");
        // The differences that the table prints.
        let record = tables(&table, &found(&table, &published));
        let column: Vec<Option<f64>> = record.tables[0].rows.iter().map(|row| row[8].as_f64()).collect();
        let rounded: Vec<Option<i64>> = column.iter().map(|x| x.map(|x| (100.0 * x).round() as i64)).collect();
        let expected = [&[-139, -847, -687, -835], &[-47, -222, -310, -326]];
        for (found, expected) in rounded.chunks(5).zip(expected) {
            assert_eq!(found[1..], expected.map(Some));
        }
        assert_eq!(record.text, "20 of 20 gates are met.");
    }

    #[test]
    fn gates_that_do_not_hold_are_not_met() {
        let table = table("binary-table-cifar10");
        // A row above the baseline, a row closer than BWN, a pair 3 points apart, gaps that grow.
        let top1: [&[f64]; 2] = [&[85.0, 84.0, 80.0, 85.5, 83.0], &[91.0, 88.0, 80.0, 79.0, 70.0]];
        let gates = gates(&table, &found(&table, &top1));
        let verdicts: Vec<(&str, Option<bool>)> =
            gates.iter().map(|gate| (gate.rule.split(' ').next().unwrap(), gate.is_met)).collect();
        assert_eq!(verdicts[..3], [("every", Some(false)), ("BWN", Some(false)), ("BSNN", Some(false))]);
        assert!(gates[gates.len() - 4..].iter().all(|gate| gate.is_met == Some(false)), "{gates:#?}");
        let mut missing = found(&table, &top1);
        missing[0][1] = RowResult { top1: None, difference: None, n_diverged: 1, ..missing[0][1].clone() };
        let record = tables(&table, &missing);
        assert!(record.text.contains("could not be evaluated"), "{}", record.text);
        assert_eq!(record.tables[1].rows[0][3], "not evaluated");
    }

    #[test]
    fn cells_are_trained_kept_and_found_again() {
        let text = embedded("binary-table");
        let mut config = StudyConfig::parse(text, "table.toml").unwrap();
        let own = &mut config.plan.get_mut::<BinaryTablePlan>().unwrap().binary_table;
        (own.run.epochs, own.run.images, own.run.validation_images) = (1, Some(64), Some(50));
        own.networks.truncate(1);
        own.networks[0].seeds = vec![1];
        config.header.network.model = "mlp:widths=16".to_owned();
        let store = Memory::new(usize::MAX);
        let record = study_in(&config, &store, false, &Silent).unwrap();
        let again = study_in(&config, &store, true, &Silent).unwrap();
        assert_eq!(record.sections, again.sections);
        let tables = &record.section::<TablesRecord>().unwrap().tables;
        assert_eq!(tables[0].rows.len(), 5);
        assert!(tables[0].rows.iter().all(|row| row[3].as_f64().is_some() && row[9] == 0), "{:?}", tables[0].rows);
        let mut other = config.clone();
        other.plan.get_mut::<BinaryTablePlan>().unwrap().binary_table.rows[2].quantizer = "bnn:padding=0".to_owned();
        let error = study_in(&other, &store, true, &Silent).unwrap_err().to_string();
        assert!(error.contains("quantizer"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let text = embedded("binary-table");
        for (from, to, message) in [
            ("quantizer = \"bnn\"", "quantizer = \"bmm\"", "row \"BNN\": unknown quantizer \"bmm\""),
            ("baseline = \"DNN\"", "baseline = \"FP\"", "binary_table.baseline is \"FP\", expected one of: DNN, BWN"),
            ("label = \"SNN\"", "label = \"BNN\"", "two rows are labeled \"BNN\""),
            ("[binary_table.run]", "[binary_table.run]\nseed = 3", "[binary_table.run] sets seed"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = StudyConfig::parse(&text.replacen(from, to, 1), "table.toml").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
