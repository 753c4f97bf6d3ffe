//! Designs of resistive cells beside published chips and the brain: efficiency by both ways of counting, accuracy of chips, and
//! how both move with a setting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use skimp_quant::QuantizationConfig;
use skimp_report::StudyRecord;
use skimp_report::records::{
    Assumption, ChartRecord, CloudRecord, ColumnRecord, PointRecord, Provenance, Sections, TableRecord, TablesRecord,
};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::simulate::chips::ChipsConfig;
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{self, SimulateConfig};
use crate::store::desk::Desk;
use crate::store::point::{Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::cell_pictures::pictures;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;

/// What a study of crossbars asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossbarsPlan {
    /// Designs, sweeps, and what they stand beside.
    pub crossbars: CrossbarsConfig,
    /// Widths and calibration of the integer network.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
}

/// Designs, sweeps, and what they stand beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossbarsConfig {
    /// Chips of each design that are judged.
    pub chips: usize,
    /// Our designs, in the order of the report.
    #[serde(default)]
    pub designs: Vec<AcceleratorConfig>,
    /// Settings of designs, each with its values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepConfig>,
    /// Published chips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedChip>,
    /// What a brain is taken for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brains: Vec<BrainConfig>,
}

/// One setting of a design and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepConfig {
    /// The design; its label names the sweep.
    pub design: AcceleratorConfig,
    /// The setting.
    pub key: String,
    /// Its values: numbers or words.
    pub values: Vec<Value>,
}

/// A row of a published table: figures as published, with what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedChip {
    /// Authors, venue, year.
    pub work: String,
    /// What it is built of.
    pub implementation: String,
    /// What it ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Parameters in millions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_millions: Option<f64>,
    /// Process node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technology_nm: Option<f64>,
    /// Bits of inputs and of weights.
    pub precision: String,
    /// Published efficiency, two operations a multiply-accumulate unless `events` says otherwise.
    pub tops_per_w: f64,
    /// Whether the figure counts synaptic events, one operation each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events: bool,
    /// Silicon, simulation or projection; macro, chip or system; peak or average.
    pub condition: String,
    /// How well the figure is known.
    pub basis: String,
}

/// Synapses that fire, and the power that they take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrainConfig {
    /// Synapses.
    pub synapses: f64,
    /// Events of a synapse in a second.
    pub rate_hz: f64,
    /// Power.
    pub watts: f64,
    /// Whose figures they are.
    pub remark: String,
}

impl BrainConfig {
    fn events_per_joule(&self) -> f64 {
        self.synapses * self.rate_hz / self.watts
    }
}

/// What a design brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    technology_nm: f64,
    nanojoules: f64,
    macs: u64,
    tops_per_w: f64,
    latency_ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top1_exact: Option<f64>,
    /// Mean of the chips, and the bounds of its 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top1: Option<[f64; 3]>,
}

/// Points of accuracy that the best design's chips may lose.
const LOSS_POINTS: f64 = 1.0;

impl Outcome {
    /// What the chips lose, in points; nothing where no accuracy was measured.
    fn lost_points(&self) -> Option<f64> {
        Some(100.0 * (self.top1_exact? - self.top1?[0]))
    }

    fn femtojoules(&self) -> f64 {
        1e6 * self.nanojoules / self.macs.max(1) as f64
    }
}

/// Our designs, and behind them the values of the sweeps.
struct DesignPoints<'a> {
    plan: &'a CrossbarsPlan,
    study: &'a StudyHeader,
    network: Network,
    images: Images,
    data_sha256: String,
    points: Vec<Point>,
    configs: Vec<AcceleratorConfig>,
}

impl DesignPoints<'_> {
    fn outcome(&self, idx: usize, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
        let judged = self.study.data.accuracy_images > 0;
        let config = SimulateConfig {
            data: self.study.data.clone(),
            input_size: self.study.network.input_size,
            quantization: self.plan.quantization,
            layers: LayersConfig::default(),
            designs: self.plan.designs.clone(),
            accelerators: vec![self.configs[idx].clone()],
            costs: CostsConfig::Paper,
            allowed_loss_points: 1.0,
            chips: judged.then_some(ChipsConfig { count: self.plan.crossbars.chips, attribution: false }),
            dump: None,
            trace: None,
        };
        let (simulated, _) = session::simulate_on(&self.network, &self.images, &config, monitor)?;
        let record = simulated.price(&config.costs)?.record;
        let images = record.images.max(1);
        let design = record.accelerators.into_iter().next();
        let design = design.ok_or_else(|| StudyError::NoLayers { network: self.network.name.clone() })?;
        let macs: u64 = design.layers.iter().map(|layer| layer.macs).sum();
        let exact = design.accuracy.as_ref().map(|accuracy| accuracy.top1_exact);
        Ok(Outcome {
            technology_nm: design.energy.as_ref().map_or(0.0, |energy| energy.technology_nm),
            nanojoules: 1e6 * design.total.energy_mj / images as f64,
            macs,
            tops_per_w: design.total.tops_per_w,
            latency_ms: design.total.latency_ms,
            top1_exact: exact,
            top1: design.chips.as_ref().map(|chips| [chips.mean, chips.interval[0], chips.interval[1]]),
        })
    }
}

impl Points for DesignPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let config = &self.configs[idx];
        let configured = self.plan.designs.find(&config.model)?.configure(&config.set);
        let configured = configured.map_err(|error| config.fault(error))?;
        let mut table = Table::try_from(&self.study.network)?;
        table.insert("accelerator".to_owned(), config.model.clone().into());
        table.insert("settings".to_owned(), configured.facts().config.clone().into());
        table.insert("chips".to_owned(), Value::try_from(self.plan.crossbars.chips)?);
        table.insert("data".to_owned(), Value::try_from(&self.study.data)?);
        table.insert("quantization".to_owned(), Value::try_from(self.plan.quantization)?);
        let digests = [("network_sha256", &self.network.sha256), ("data_sha256", &self.data_sha256)];
        let digests: Table = digests.into_iter().map(|(key, digest)| (key.to_owned(), digest.clone().into())).collect();
        table.insert("inputs".to_owned(), digests.into());
        Ok(table)
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["model", "data.set"]
    }

    fn is_disposable(&self) -> bool {
        true
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        job.iter().try_for_each(|&idx| bench.finish(idx, self.outcome(idx, bench.monitor())?))
    }

    fn said(&self, outcome: &Outcome) -> String {
        format!("{:.1} TOPS/W", outcome.tops_per_w)
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        let top1 = outcome.top1.map(|top1| ("top1".to_owned(), top1[0]));
        top1.into_iter().chain([("tops_per_w".to_owned(), outcome.tops_per_w)]).collect()
    }
}

impl CrossbarsConfig {
    /// The designs, and each value of each sweep, with their labels.
    fn configs(&self) -> Vec<AcceleratorConfig> {
        let of_sweep = |sweep: &SweepConfig| {
            let of_value = |value: &Value| {
                let mut config = sweep.design.clone();
                config.label = Some(format!("{}, {} = {value}", sweep.design.label(), sweep.key));
                config.set.insert(sweep.key.clone(), value.clone());
                config
            };
            sweep.values.iter().map(of_value).collect::<Vec<_>>()
        };
        self.designs.iter().cloned().chain(self.sweeps.iter().flat_map(of_sweep)).collect()
    }
}

impl StudyPlan for CrossbarsPlan {
    const KIND: &'static str = "crossbars";
    const SUMMARY: &'static str =
        "designs of resistive cells beside published chips and the brain: operations per joule, accuracy of chips";
    const MARK: &'static str = "[crossbars]";

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        let CrossbarsConfig { chips, sweeps, published, brains, .. } = &self.crossbars;
        if *chips == 0 {
            return Err("crossbars.chips is 0, expected a number of chips of at least 1".to_owned());
        }
        let configs = self.crossbars.configs();
        if configs.is_empty() {
            return Err("crossbars has neither designs nor sweeps, expected at least one".to_owned());
        }
        if let Some(sweep) = sweeps.iter().find(|sweep| sweep.values.is_empty()) {
            return Err(format!("the sweep of {} has no values, expected at least one", sweep.key));
        }
        let labels: Vec<&str> = configs.iter().map(AcceleratorConfig::label).collect();
        if let Some((_, twice)) = labels.iter().enumerate().find(|&(idx, label)| labels[..idx].contains(label)) {
            return Err(format!("two designs are labeled \"{twice}\""));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if let Some(chip) = published.iter().find(|chip| !positive(chip.tops_per_w)) {
            return Err(format!("\"{}\": tops_per_w is {}, expected a number above 0", chip.work, chip.tops_per_w));
        }
        match brains.iter().find(|brain| !positive(brain.events_per_joule())) {
            Some(brain) => Err(format!("brain \"{}\": synapses, rate_hz and watts have to be above 0", brain.remark)),
            None => Ok(()),
        }
    }

    fn read_files(&mut self, designs: &Designs, folder: &std::path::Path) -> Result<(), StudyError> {
        let sweeps = self.crossbars.sweeps.iter_mut().map(|sweep| &mut sweep.design);
        self.crossbars.designs.iter_mut().chain(sweeps).try_for_each(|config| config.read_files(designs, folder))?;
        self.designs = designs.clone();
        Ok(())
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let network = Network::open(&study.network.model)?.for_any_batch().into_owned();
        let images = Images::open(&study.data, &network.graph, study.network.input_size)?;
        let data = images.record()?;
        let configs = self.crossbars.configs();
        let labels: Vec<String> = configs.iter().map(|config| config.label().to_owned()).collect();
        let point = |(name, label): (String, &String)| Point { name, label: label.clone() };
        let points = slugs(labels.iter().map(String::as_str), "design").into_iter().zip(&labels).map(point).collect();
        let points = DesignPoints {
            plan: self,
            study,
            data_sha256: data.sha256.clone().unwrap_or_default(),
            network,
            images,
            points,
            configs,
        };
        let outcomes = desk.outcomes(&points)?;
        let inputs = vec![points.network.digest(), points.images.digest(&data)];
        let mut found = tables(&self.crossbars, &labels, &outcomes);
        let sweeps = self.crossbars.sweeps.iter().map(|sweep| &sweep.design);
        if let Some(config) = self.crossbars.designs.iter().chain(sweeps).next() {
            let configured = self.designs.find(&config.model)?.configure(&config.set);
            let settings = configured.map_err(|error| config.fault(error))?.facts().config.clone();
            found.charts.extend(pictures(config.label(), &settings, &points.network.graph));
        }
        Ok(StudyRecord {
            model_name: points.network.name.clone(),
            untrained: points.network.is_untrained,
            data_name: points.images.name().to_owned(),
            seed: study.data.seed.unwrap_or(0),
            sections: Sections::default().with(found),
            published: study.published.iter().map(|figure| figure.beside(None, Provenance::Simulated)).collect(),
            assumptions: assumptions(),
            inputs,
            ..StudyRecord::default()
        })
    }
}

/// What a reader has to know to judge the figures.
fn assumptions() -> Vec<Assumption> {
    let own =
        |text: &str| Assumption { text: text.to_owned(), source: "docs/analog.md; docs/accelerators.md".to_owned() };
    vec![
        own(
            "ours are simulations from cells and sense amplifiers on real operands; what has no source is priced at 0, so that they are \
             bounds from above; figures of bsnn-tile-calibrated follow from the published energy and are no finding",
        ),
        own(
            "published figures stand as they are published, with their own conventions: macro or chip, peak or average, simulated or \
             measured; none is scaled to another node or width",
        ),
        own("operations are counted twice: a multiply-accumulate is two operations, and one synaptic event"),
    ]
}

/// Efficiency by both ways of counting, then the sweeps.
fn tables(config: &CrossbarsConfig, labels: &[String], outcomes: &[Outcome]) -> TablesRecord {
    let ours = config.designs.len();
    let mut tables = Vec::new();
    if ours > 0 || !config.published.is_empty() {
        tables.push(efficiency(config, &labels[..ours], &outcomes[..ours]));
    }
    let (mut first, mut charts) = (ours, Vec::new());
    for sweep in &config.sweeps {
        let here = &outcomes[first..first + sweep.values.len()];
        first += sweep.values.len();
        tables.push(swept(sweep, here));
        charts.extend(chart(sweep, here));
    }
    // A design is no answer whose chips do not give the network's, nor one that was fitted to the figure in question.
    let predicted = config.designs.iter().zip(labels).zip(outcomes).filter(|((design, _), outcome)| {
        !design.model.ends_with("-calibrated") && outcome.lost_points().is_none_or(|lost| lost <= LOSS_POINTS)
    });
    let best = predicted
        .map(|((_, label), outcome)| (label, outcome))
        .max_by(|(_, a), (_, b)| a.tops_per_w.total_cmp(&b.tops_per_w));
    let text = best.map_or_else(String::new, |(label, best)| {
        format!(
            "Of our predictions whose chips lose at most {LOSS_POINTS} point of accuracy, the best is {label}: {:.1} TOPS/W at two operations a multiply-accumulate, {:.4} peta events a second and watt, {:.2} \
             fJ for each. One POPS/W is 1 fJ for an operation.",
            best.tops_per_w,
            best.tops_per_w / 2e3,
            best.femtojoules()
        )
    });
    TablesRecord { text, tables, charts }
}

fn efficiency(config: &CrossbarsConfig, labels: &[String], outcomes: &[Outcome]) -> TableRecord {
    let columns = vec![
        ColumnRecord::new("work", "work"),
        ColumnRecord::new("whose", "whose"),
        ColumnRecord::new("implementation", "implementation"),
        ColumnRecord::new("network", "network"),
        ColumnRecord::real("parameters_millions", "parameters", "M", 2),
        ColumnRecord::real("technology_nm", "node", "nm", 0),
        ColumnRecord::new("precision", "bits, input x weight"),
        ColumnRecord::real("tops_per_w", "efficiency, 2 a MAC", "TOPS/W", 3),
        ColumnRecord::real("pevents_per_s_w", "1 an event", "P/s/W", 5),
        ColumnRecord::real("femtojoules", "a MAC or event", "fJ", 3),
        ColumnRecord::real("top1_percent", "top-1, mean of chips", "%", 2),
        ColumnRecord::real("top1_exact_percent", "exact", "%", 2),
        ColumnRecord::new("condition", "condition"),
        ColumnRecord::new("basis", "basis"),
    ];
    let published = config.published.iter().map(|chip| {
        // Events are one operation each: what counts two would be twice as much.
        let events = chip.tops_per_w / if chip.events { 1.0 } else { 2.0 };
        row([
            chip.work.as_str().into(),
            "published".into(),
            chip.implementation.as_str().into(),
            chip.network.as_str().into(),
            chip.parameters_millions.into(),
            chip.technology_nm.into(),
            chip.precision.as_str().into(),
            (2.0 * events).into(),
            (events / 1e3).into(),
            (1e3 / events).into(),
            Json::Null,
            Json::Null,
            chip.condition.as_str().into(),
            chip.basis.as_str().into(),
        ])
    });
    let brains = config.brains.iter().map(|brain| {
        let events = brain.events_per_joule();
        row([
            format!("brain: {:e} synapses, {} Hz, {} W", brain.synapses, brain.rate_hz, brain.watts).into(),
            "arithmetic".into(),
            "brain".into(),
            Json::Null,
            Json::Null,
            Json::Null,
            "events".into(),
            (2e-12 * events).into(),
            (1e-15 * events).into(),
            (1e15 / events).into(),
            Json::Null,
            Json::Null,
            "communication, memory and learning included".into(),
            brain.remark.as_str().into(),
        ])
    });
    let own = labels.iter().zip(outcomes).map(|(label, own)| {
        row([
            label.as_str().into(),
            "ours".into(),
            "model".into(),
            "the study's".into(),
            Json::Null,
            own.technology_nm.into(),
            Json::Null,
            own.tops_per_w.into(),
            (own.tops_per_w / 2e3).into(),
            own.femtojoules().into(),
            own.top1.map(|top1| 100.0 * top1[0]).into(),
            own.top1_exact.map(|top1| 100.0 * top1).into(),
            "simulated on real operands, average of the images".into(),
            "computed here".into(),
        ])
    });
    let rows = published.chain(brains).chain(own).collect();
    TableRecord { caption: "Operations per joule, published and computed".to_owned(), columns, rows }
}

fn row<const N: usize>(cells: [Json; N]) -> Vec<Json> {
    cells.into()
}

fn swept(sweep: &SweepConfig, outcomes: &[Outcome]) -> TableRecord {
    let columns = vec![
        ColumnRecord::new("value", &sweep.key),
        ColumnRecord::real("top1_percent", "top-1, mean of chips", "%", 2),
        ColumnRecord::real("low_percent", "95 % from", "%", 2),
        ColumnRecord::real("high_percent", "to", "%", 2),
        ColumnRecord::real("top1_exact_percent", "exact", "%", 2),
        ColumnRecord::real("tops_per_w", "efficiency", "TOPS/W", 2),
        ColumnRecord::real("nanojoules", "energy of an image", "nJ", 3),
        ColumnRecord::real("latency_ms", "latency", "ms", 6),
    ];
    let rows = sweep.values.iter().zip(outcomes).map(|(value, own)| {
        let top1 = |idx: usize| own.top1.map(|top1| 100.0 * top1[idx]);
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        row([
            value.into(),
            top1(0).into(),
            top1(1).into(),
            top1(2).into(),
            own.top1_exact.map(|top1| 100.0 * top1).into(),
            own.tops_per_w.into(),
            own.nanojoules.into(),
            own.latency_ms.into(),
        ])
    });
    TableRecord { caption: format!("{} by {}", sweep.design.label(), sweep.key), columns, rows: rows.collect() }
}

/// Accuracy against the values, with the 95 % interval as lines, where they are numbers and it was measured.
fn chart(sweep: &SweepConfig, outcomes: &[Outcome]) -> Option<ChartRecord> {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    let xs: Vec<f64> = sweep.values.iter().map(number).collect::<Option<_>>()?;
    let ys: Vec<[f64; 3]> = outcomes.iter().map(|own| own.top1).collect::<Option<_>>()?;
    let line = |idx: usize| xs.iter().zip(&ys).map(|(&x, y)| [x, 100.0 * y[idx]]).collect();
    let point = |(&x, y): (&f64, &[f64; 3])| PointRecord { name: format!("{} = {x}", sweep.key), x, y: 100.0 * y[0] };
    Some(ChartRecord {
        caption: format!("{}: accuracy of chips by {}", sweep.design.label(), sweep.key),
        axes: [sweep.key.clone(), "top-1".to_owned()],
        units: [String::new(), "%".to_owned()],
        clouds: vec![
            CloudRecord { name: "mean".to_owned(), points: xs.iter().zip(&ys).map(point).collect(), line: line(0) },
            CloudRecord { name: "95 % from".to_owned(), points: Vec::new(), line: line(1) },
            CloudRecord { name: "to".to_owned(), points: Vec::new(), line: line(2) },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::studies::config::StudyConfig;
    use crate::studies::embedded::STUDIES;

    fn embedded(name: &str) -> CrossbarsPlan {
        let text = STUDIES.iter().find(|(known, _)| *known == name).unwrap().1;
        StudyConfig::parse(text, name).unwrap().plan.get::<CrossbarsPlan>().unwrap().clone()
    }

    fn cell(table: &TableRecord, row: &str, key: &str) -> Option<f64> {
        let column = table.columns.iter().position(|column| column.key == key).unwrap();
        let found = table.rows.iter().find(|cells| cells[0].as_str().is_some_and(|name| name.contains(row)));
        found.unwrap_or_else(|| panic!("no row {row}"))[column].as_f64()
    }

    /// The closing question: 10^15 synapses, 10 events a second, 10 W are 1 fJ an event, and two operations are twice as many.
    #[test]
    fn the_brain_is_one_peta_event_a_joule() {
        let plan = embedded("one-pops-per-watt");
        let table = efficiency(&plan.crossbars, &[], &[]);
        let close =
            |found: Option<f64>, expected: f64| assert!((found.unwrap() / expected - 1.0).abs() < 1e-9, "{found:?}");
        close(cell(&table, "10 Hz, 10 W", "femtojoules"), 1.0);
        close(cell(&table, "10 Hz, 10 W", "pevents_per_s_w"), 1.0);
        close(cell(&table, "10 Hz, 10 W", "tops_per_w"), 2000.0);
        close(cell(&table, "10 Hz, 20 W", "femtojoules"), 2.0);
        close(cell(&table, "1.5e14 synapses", "femtojoules"), 20.0 / 1.5e14 * 1e15);
        // 970 TOPS/W are 0.485 peta events; spikes are one operation each.
        close(cell(&table, "SNU", "pevents_per_s_w"), 0.485);
        close(cell(&table, "Loihi", "femtojoules"), 1e3 / 0.04);
    }

    #[test]
    fn sweeps_are_designs_of_one_value() {
        let plan = embedded("device-sweep");
        let configs = plan.crossbars.configs();
        let swept = |key: &str| configs.iter().filter(|config| config.set.contains_key(key)).count();
        assert!(swept("on_off_ratio") > 3 && swept("lrs_spread") > 3 && swept("sense_offset") > 3);
        let designs = Designs::embedded();
        for config in configs {
            designs.find(&config.model).unwrap().configure(&config.set).unwrap();
        }
    }

    #[test]
    fn mistakes_are_named() {
        let text = STUDIES.iter().find(|(known, _)| *known == "device-sweep").unwrap().1;
        let error = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            StudyConfig::parse(&text.replacen(from, to, 1), "s.toml").unwrap_err().to_string()
        };
        assert!(error("chips = ", "chips = 0 # ").contains("at least 1"));
        assert!(error("values = [", "values = [] # ").contains("no values"));
    }
}
