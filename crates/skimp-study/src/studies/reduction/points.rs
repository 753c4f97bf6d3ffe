//! The points of a study of reductions: one for each reduction and seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_graph::Graph;
use toml::{Table, Value};

use super::{ReductionPlan, Variant};
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::reduce::measured::{Gauge, NetworkMeasures};
use crate::reduce::speed::{Effort, speed_with};
use crate::reduce::steps::{Lesson, StepConfig};
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::store::point::{Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;

/// What a reduction brings, or why it cannot be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// Accuracy in integers, where accelerators run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) integer_top1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) measures: Option<NetworkMeasures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Latency>,
    #[serde(default)]
    pub(super) designs: Vec<DesignFigures>,
    /// What is left of each layer.
    #[serde(default)]
    pub(super) layers: Vec<LayerLeft>,
}

/// Time of the network and of the reduced one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Latency {
    pub(super) before_ms: f64,
    pub(super) after_ms: f64,
    pub(super) speed_up: f64,
    pub(super) interval: [f64; 2],
}

/// What an accelerator takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DesignFigures {
    pub(super) label: String,
    pub(super) cycles: u64,
    pub(super) energy_mj: f64,
}

/// The weights of a layer, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerLeft {
    pub(super) name: String,
    pub(super) channels: u64,
    pub(super) weights: u64,
    pub(super) zero_weights: u64,
}

/// The points of one study.
pub(super) struct ReductionPoints<'a> {
    pub(super) variants: Vec<Variant>,
    pub(super) network: Network,
    plan: &'a ReductionPlan,
    study: &'a StudyHeader,
    data_sha256: String,
    points: Vec<Point>,
    /// Variant and seed of each point.
    pub(super) cells: Vec<(usize, u64)>,
}

impl<'a> ReductionPoints<'a> {
    pub(super) fn new(
        plan: &'a ReductionPlan,
        study: &'a StudyHeader,
        network: Network,
        data_sha256: String,
    ) -> Result<Self, StudyError> {
        // A wrong name or setting must not wait for the first reduction.
        plan.reduction.accelerators.iter().try_for_each(|own| plan.designs.configure(own).map(drop))?;
        plan.costs.tables(&plan.reduction.accelerators)?;
        let variants = plan.reduction.all();
        let names = slugs(variants.iter().map(|variant| variant.label.as_str()), "reduction");
        let (mut points, mut cells) = (Vec::new(), Vec::new());
        for (idx, (variant, name)) in variants.iter().zip(names).enumerate() {
            // Without steps there is nothing random.
            let n_seeds = if variant.steps.is_empty() { 1 } else { plan.reduction.seeds.len() };
            for &seed in &plan.reduction.seeds[..n_seeds] {
                let (name, label) = (format!("{name}-seed{seed}"), format!("{}, seed {seed}", variant.label));
                points.push(Point { name, label });
                cells.push((idx, seed));
            }
        }
        Ok(Self { variants, network, plan, study, data_sha256, points, cells })
    }

    /// The network after the first `n_steps` steps of a variant. What several variants begin with is worked out once.
    fn reduced(
        &self,
        (idx, seed): (usize, u64),
        n_steps: usize,
        made: &mut BTreeMap<String, Network>,
        monitor: &dyn Monitor,
    ) -> Result<Network, StudyError> {
        let steps = &self.variants[idx].steps[..n_steps];
        let Some((last, first)) = steps.split_last() else { return Ok(self.network.clone()) };
        let key =
            |steps: &[StepConfig]| -> Result<String, StudyError> { Ok(format!("{seed} {}", Value::try_from(steps)?)) };
        if let Some(network) = made.get(&key(steps)?) {
            return Ok(network.clone());
        }
        let before = self.reduced((idx, seed), first.len(), made, monitor)?;
        let lesson = Lesson {
            data: Some(&self.study.data),
            input_size: self.study.network.input_size,
            run: &self.plan.reduction.run,
            seed,
        };
        let network = last.apply(&before, &lesson, monitor)?;
        let begins = |variant: &Variant| variant.steps.len() > n_steps && variant.steps.starts_with(steps);
        if self.variants.iter().any(begins) {
            made.insert(key(steps)?, network.clone());
        }
        Ok(network)
    }

    fn measure(&self, network: &Network, reduced: &Network, monitor: &dyn Monitor) -> Result<Outcome, StudyError> {
        let (plan, config) = (self.plan, &self.plan.reduction);
        let (data, input_size) = (&self.study.data, self.study.network.input_size);
        let measures = Gauge::open(reduced, Some(data), input_size, monitor)?.measure(reduced, monitor)?;
        let latency = if config.latency_batch > 0 {
            let effort = Effort { pairs: (config.pairs, config.pairs), seconds: 0.0 };
            let batch = (config.latency_batch, input_size);
            let found = speed_with(&network.graph, &reduced.graph, batch, effort, monitor)?;
            let (speed_up, interval) = (found.speed_up, found.interval);
            Some(Latency { before_ms: found.before_ms, after_ms: found.after_ms, speed_up, interval })
        } else {
            None
        };
        let (mut integer_top1, mut designs) = (None, Vec::new());
        if !config.accelerators.is_empty() {
            let simulation = SimulateConfig {
                data: data.clone(),
                input_size,
                quantization: plan.quantization,
                layers: crate::simulate::config::LayersConfig::default(),
                designs: plan.designs.clone(),
                accelerators: config.accelerators.clone(),
                costs: plan.costs.clone(),
                allowed_loss_points: skimp_report::SimulationRecord::default_allowed_loss_points(),
                chips: None,
                dump: None,
                trace: None,
            };
            let own = simulate(reduced, &simulation, monitor)?.record.accelerators;
            designs.extend(own.into_iter().map(|design| DesignFigures {
                cycles: design.total.cycles,
                energy_mj: design.total.energy_mj,
                label: design.label,
            }));
            let evaluation = EvaluateConfig {
                data: DataConfig { split: skimp_data::Split::Test, ..data.clone() },
                input_size,
                engine: Some(Engine::Integer),
                order: skimp_cpu::Order::Exact,
                quantization: plan.quantization,
            };
            integer_top1 = Some(evaluate(reduced, &evaluation, monitor)?.top1);
        }
        let layers = layers(&reduced.graph);
        Ok(Outcome { failure: None, measures: Some(measures), integer_top1, latency, designs, layers })
    }
}

/// The weights of every layer that multiplies by some.
fn layers(graph: &Graph) -> Vec<LayerLeft> {
    let mut found = Vec::new();
    for node in graph.nodes() {
        for (input, id) in node.inputs.iter().enumerate() {
            let Some(tensor) = id.and_then(|id| graph.constant(id)) else { continue };
            let Some(values) = tensor.as_f32() else { continue };
            let axes = node.op.weight_axes(input, tensor.shape().len());
            let Some(axes) = axes.filter(|axes| axes.inputs.is_some()) else { continue };
            found.push(LayerLeft {
                name: node.name.clone(),
                channels: axes.outputs.and_then(|axis| tensor.shape().get(axis)).map_or(1, |&n| n as u64),
                weights: values.len() as u64,
                zero_weights: values.iter().filter(|&&value| value == 0.0).count() as u64,
            });
        }
    }
    found
}

impl Points for ReductionPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let (variant, seed) = self.cells[idx];
        let (plan, config) = (self.plan, &self.plan.reduction);
        let mut table = Table::try_from(&self.study.network)?;
        table.insert("data".to_owned(), Value::try_from(&self.study.data)?);
        table.insert("quantization".to_owned(), Value::try_from(plan.quantization)?);
        table.insert("costs".to_owned(), plan.costs.to_string().into());
        table.insert("steps".to_owned(), Value::try_from(&self.variants[variant].steps)?);
        table.insert("seed".to_owned(), Value::try_from(seed)?);
        table.insert("latency_batch".to_owned(), Value::try_from(config.latency_batch)?);
        table.insert("pairs".to_owned(), Value::try_from(config.pairs)?);
        table.insert("run".to_owned(), Value::try_from(&config.run)?);
        table.insert("accelerators".to_owned(), plan.designs.identity(&config.accelerators)?);
        let digests = [("network_sha256", &self.network.sha256), ("data_sha256", &self.data_sha256)];
        let digests: Table = digests.into_iter().map(|(key, digest)| (key.to_owned(), digest.clone().into())).collect();
        table.insert("inputs".to_owned(), digests.into());
        Ok(table)
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["model", "data.set"]
    }

    fn jobs(&self, open: Vec<usize>) -> Vec<Vec<usize>> {
        if open.is_empty() { Vec::new() } else { vec![open] }
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        let monitor = bench.monitor();
        let mut made = BTreeMap::new();
        for &idx in job {
            let (variant, seed) = self.cells[idx];
            let n_steps = self.variants[variant].steps.len();
            let outcome = match self.reduced((variant, seed), n_steps, &mut made, monitor) {
                Ok(reduced) => self.measure(&self.network, &reduced, monitor)?,
                Err(StudyError::Reduce(error)) => Outcome { failure: Some(error.to_string()), ..Outcome::default() },
                Err(error) => return Err(error),
            };
            bench.finish(idx, outcome)?;
        }
        Ok(())
    }

    fn said(&self, outcome: &Outcome) -> String {
        let top1 = outcome.measures.as_ref().and_then(|measures| measures.top1);
        top1.map_or_else(|| "failed".to_owned(), |top1| format!("{:.2} %", 100.0 * top1))
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        let measures = outcome.measures.as_ref();
        let top1 = measures.and_then(|measures| measures.top1);
        let macs = measures.map(|measures| measures.macs as f64);
        let figures = [("top1", top1), ("macs", macs)];
        figures.into_iter().filter_map(|(key, figure)| Some((key.to_owned(), figure?))).collect()
    }

    fn failure(&self, outcome: &Outcome) -> Option<String> {
        outcome.failure.clone()
    }
}
