//! The points of a study of accelerators: what the network is (its layers, their densities), each accelerator on it, and the
//! network's accuracy.
//!
//! An accelerator is a point of its own because nothing in its record depends on the others: one that is added to a study runs
//! alone. Those that are not there yet run in one execution of the network, whose operand values all of them see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use skimp_report::SimulationRecord;
use skimp_report::records::{AcceleratorRecord, AccuracyRecord, Coverage, LayerStatistics, Timing};
use skimp_sim::CostTable;
use toml::{Table, Value};

use super::{AcceleratorsPlan, record};
use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::simulate::config::AcceleratorConfig;
use crate::simulate::priced::Priced;
use crate::simulate::session::{self, SimulateConfig};
use crate::stages::quantized::Quantized;
use crate::store::point::{Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;

/// What the study reads.
pub(super) struct Inputs {
    pub(super) network: Network,
    pub(super) images: Images,
}

/// What a simulation writes beside its record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra<'a> {
    /// As in [`SimulateConfig`].
    pub(super) dump: Option<&'a Path>,
    /// As in [`SimulateConfig`].
    pub(super) trace: Option<&'a Path>,
}

/// Seconds of each finished step.
#[derive(Debug, Default)]
pub(super) struct Clock(pub(super) Vec<Timing>);

impl Clock {
    pub(super) fn time<T>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<T, StudyError> {
        let start = Instant::now();
        let done = work()?;
        self.0.push(Timing { step: what.to_owned(), seconds: start.elapsed().as_secs_f64() });
        Ok(done)
    }

    /// With the steps of the points that ran.
    pub(super) fn extend(&mut self, points: AcceleratorPoints<'_>) {
        self.0.append(&mut points.clock.into_inner().unwrap_or_else(PoisonError::into_inner).0);
    }
}

/// What the network is, whatever runs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NetworkPart {
    /// The simulation's record without any accelerator.
    pub(super) simulation: SimulationRecord,
    pub(super) layers: Vec<LayerStatistics>,
    pub(super) in_integers: Option<Coverage>,
    pub(super) float_nodes: Vec<String>,
}

/// What one accelerator did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DesignPart {
    pub(super) record: AcceleratorRecord,
    /// Positions of the layers without weights that it does not model.
    pub(super) not_modelled: Vec<usize>,
}

/// What a point brings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    Network(Box<NetworkPart>),
    Design(Box<DesignPart>),
    Accuracy(AccuracyRecord),
}

/// A [`Part`], kept as its JSON: maps keep their order, numbers all their bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    #[serde(with = "crate::store::json_text")]
    pub(super) json: Part,
}

/// Position of the network among the points; the accelerators follow, and the accuracy where it is measured.
const NETWORK: usize = 0;

/// The points of one study.
pub(super) struct AcceleratorPoints<'a> {
    plan: &'a AcceleratorsPlan,
    study: &'a StudyHeader,
    inputs: &'a Inputs,
    extra: Extra<'a>,
    points: Vec<Point>,
    /// The table that prices each accelerator; `None` where it is the design's own.
    tables: Vec<Option<CostTable>>,
    clock: Mutex<Clock>,
}

impl<'a> AcceleratorPoints<'a> {
    pub(super) fn new(
        plan: &'a AcceleratorsPlan,
        study: &'a StudyHeader,
        inputs: &'a Inputs,
        judged: bool,
        extra: Extra<'a>,
    ) -> Result<Self, StudyError> {
        let point = |name: &str, label: &str| Point { name: name.to_owned(), label: label.to_owned() };
        let labels: Vec<&str> = plan.accelerators.iter().map(AcceleratorConfig::label).collect();
        let designs = slugs(labels.iter().copied(), "design").into_iter().zip(&labels);
        let mut points = vec![point("network", "the network")];
        points.extend(designs.map(|(slug, label)| point(&format!("design-{slug}"), label)));
        if judged {
            points.push(point("accuracy", "accuracy"));
        }
        let tables = plan.costs.tables(&plan.accelerators)?;
        Ok(Self { plan, study, inputs, extra, points, tables, clock: Mutex::default() })
    }

    /// Position of an accelerator among the plan's, if the point is one.
    fn design(&self, idx: usize) -> Option<usize> {
        idx.checked_sub(1).filter(|&design| design < self.plan.accelerators.len())
    }

    fn timed<T>(&self, what: &str, work: impl FnOnce() -> Result<T, StudyError>) -> Result<T, StudyError> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).time(what, work)
    }

    /// Runs accelerators in one execution of the network.
    fn simulate(&self, designs: &[usize], monitor: &dyn Monitor) -> Result<(Priced, Quantized), StudyError> {
        let (plan, study) = (self.plan, self.study);
        let config = SimulateConfig {
            data: study.data.clone(),
            input_size: study.network.input_size,
            quantization: plan.quantization,
            layers: plan.layers.clone(),
            designs: plan.designs.clone(),
            accelerators: designs.iter().map(|&design| plan.accelerators[design].clone()).collect(),
            costs: plan.costs.clone(),
            allowed_loss_points: plan.allowed_loss_points,
            chips: None,
            dump: self.extra.dump.map(Path::to_owned),
            trace: self.extra.trace.map(Path::to_owned),
        };
        let tables: Vec<Option<CostTable>> = designs.iter().map(|&design| self.tables[design].clone()).collect();
        let Inputs { network, images } = self.inputs;
        let (simulated, quantized) = session::simulate_on(network, images, &config, monitor)?;
        Ok((simulated.priced(&tables)?, quantized))
    }

    fn measure(&self, quantized: &Quantized, monitor: &dyn Monitor) -> Result<AccuracyRecord, StudyError> {
        let Inputs { network, images } = self.inputs;
        let n_images = self.study.data.accuracy_images.min(images.len());
        record::accuracy(network, quantized, images, n_images, monitor)
    }
}

impl Points for AcceleratorPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    /// What every point depends on, and of an accelerator its settings and the costs that price it.
    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let Self { plan, study, inputs, .. } = self;
        let mut data = Table::try_from(&study.data)?;
        data.insert("preprocess".to_owned(), inputs.images.preprocess_name().into());
        let mut table = Table::try_from(&study.network)?;
        table.insert("data".to_owned(), data.into());
        table.insert("quantization".to_owned(), Value::try_from(plan.quantization)?);
        table.insert("layers".to_owned(), Value::try_from(&plan.layers)?);
        let digests = [
            ("network_sha256", inputs.network.sha256.clone()),
            ("data_sha256", inputs.images.record()?.sha256.unwrap_or_default()),
        ];
        let digests: Table = digests.into_iter().map(|(key, digest)| (key.to_owned(), digest.into())).collect();
        table.insert("inputs".to_owned(), digests.into());
        table.insert("point".to_owned(), self.points[idx].name.clone().into());
        if let Some(design) = self.design(idx) {
            let accelerator = &plan.accelerators[design];
            let configured = plan.designs.find(&accelerator.model)?.configure(&accelerator.set)?;
            let facts = configured.facts();
            let costs = self.tables[design].as_ref().unwrap_or(&facts.costs);
            let own = [
                ("accelerator", accelerator.model.as_str().into()),
                ("label", accelerator.label().into()),
                ("settings", facts.config.clone().into()),
                ("costs", costs_table(costs).into()),
            ];
            table.extend(own.map(|(key, value): (&str, Value)| (key.to_owned(), value)));
        }
        Ok(table)
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["model", "data.set"]
    }

    fn is_disposable(&self) -> bool {
        true
    }

    fn jobs(&self, open: Vec<usize>) -> Vec<Vec<usize>> {
        if open.is_empty() { Vec::new() } else { vec![open] }
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        let monitor = bench.monitor();
        let designs: Vec<usize> = job.iter().filter_map(|&idx| self.design(idx)).collect();
        let mut quantized = None;
        if !designs.is_empty() || job.contains(&NETWORK) {
            let (simulation, integer) = self.timed("quantize and simulate", || self.simulate(&designs, monitor))?;
            let (network, parts) = split(simulation);
            for (design, part) in designs.into_iter().zip(parts) {
                bench.finish(design + 1, Outcome { json: Part::Design(Box::new(part)) })?;
            }
            if job.contains(&NETWORK) {
                bench.finish(NETWORK, Outcome { json: Part::Network(Box::new(network)) })?;
            }
            quantized = Some(integer);
        }
        if let Some(&idx) = job.iter().find(|&&idx| idx > self.plan.accelerators.len()) {
            let quantized = match quantized {
                Some(quantized) => quantized,
                None => {
                    let Inputs { network, images } = self.inputs;
                    Quantized::new(network, images, &self.plan.quantization, monitor)?
                }
            };
            let accuracy = self.timed("measure accuracy", || self.measure(&quantized, monitor))?;
            bench.finish(idx, Outcome { json: Part::Accuracy(accuracy) })?;
        }
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        let figures = match &outcome.json {
            Part::Network(_) => Vec::new(),
            Part::Design(design) => {
                let total = &design.record.total;
                let (cycles, area) = (total.cycles as f64, design.record.area_mm2);
                let own = [("cycles", Some(cycles)), ("latency_ms", Some(total.latency_ms))];
                [&own[..], &[("energy_mj", Some(total.energy_mj)), ("area_mm2", area)]].concat()
            }
            Part::Accuracy(accuracy) => {
                let top1 = |accuracy: &Option<skimp_report::records::Accuracy>| accuracy.as_ref().map(|own| own.top1);
                vec![("top1_fp32", top1(&accuracy.fp32)), ("top1_integer", top1(&accuracy.integer))]
            }
        };
        figures.into_iter().filter_map(|(key, figure)| Some((key.to_owned(), figure?))).collect()
    }
}

/// What is the network's and what is each accelerator's.
fn split(simulation: Priced) -> (NetworkPart, Vec<DesignPart>) {
    let Priced { mut record, layers, in_integers, float_nodes } = simulation;
    let others = &record.other_layers;
    let lacks = |label: &str| {
        let lacks = |&idx: &usize| others[idx].not_modelled_by.iter().any(|own| own == label);
        (0..others.len()).filter(lacks).collect()
    };
    let designs = std::mem::take(&mut record.accelerators).into_iter();
    let designs = designs.map(|record| DesignPart { not_modelled: lacks(&record.label), record }).collect();
    record.other_layers.iter_mut().for_each(|layer| layer.not_modelled_by.clear());
    (NetworkPart { simulation: record, layers, in_integers, float_nodes }, designs)
}

/// What a cost table says, without where it says it from.
fn costs_table(costs: &CostTable) -> Table {
    let entries: Table = costs.entries.iter().map(|entry| (entry.key.clone(), entry.value.into())).collect();
    let prices = match costs.prices {
        skimp_sim::Priced::Components => "components",
        skimp_sim::Priced::Operations => "operations",
    };
    let own: [(&str, Value); 4] = [
        ("name", costs.name.as_str().into()),
        ("technology_nm", costs.technology_nm.into()),
        ("prices", prices.into()),
        ("entries", entries.into()),
    ];
    own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
