//! Accelerators on the real operand values of a network: the main pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, Observation};
use skimp_graph::noise::ImageIndices;
use skimp_quant::Quantized;
use skimp_report::SimulationRecord;
use skimp_report::records::{
    AcceleratorRecord, AcceleratorTotal, Breakdown, Coverage, EffectAccuracy, FactsRecord, LayerRecord,
    LayerStatistics, OtherLayerRecord, TuningRecord,
};
use skimp_report::table::Table;
use skimp_sim::{
    Accelerator, Configured, CostTable, Energy, Found, GIVEN_MAPPINGS, LayerResult, LayerTrace, LayerWorkload, Moment,
    OtherLayer, OtherOutcome, RunTotals, Work,
};
use toml::Table as Settings;

use crate::error::StudyError;
use crate::inputs::answers::chance_warning;
use crate::inputs::config::{DataConfig, JudgeBy};
use crate::inputs::images::{Batch, Images};
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::dump::Dump;
use crate::simulate::effects::{Judge, image_trace};
use crate::simulate::layers::SimulatedLayer;
use crate::simulate::other_layers::other_layers;
use crate::simulate::pricing::{CostsConfig, energy_record};
use crate::simulate::shapes::ShapeLayers;
use crate::simulate::timeline::Timeline;
use crate::simulate::tuning::{TuningImages, tuned};
use crate::simulate::{dump, findings, other_layers, timeline};
use crate::stages::config::QuantizationConfig;
use crate::stages::coverage::NetworkWork;
use crate::stages::integer;
use crate::stages::topology::{Topology, operator};
use crate::tabular::Tabular;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateConfig {
    /// Images; `images` of them drive the models, `accuracy_images` of them judge approximate ones.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Widths and calibration.
    pub quantization: QuantizationConfig,
    /// Which layers.
    pub layers: LayersConfig,
    /// The models that their names stand for.
    pub designs: Designs,
    /// Accelerators, in order.
    pub accelerators: Vec<AcceleratorConfig>,
    /// Which cost table prices the energies.
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void.
    pub allowed_loss_points: f64,
    /// Where to write what the models saw of the first image.
    pub dump: Option<PathBuf>,
    /// Where to write the timeline of the first image as Chrome trace JSON.
    pub trace: Option<PathBuf>,
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Cycles, events and energy.
    pub record: SimulationRecord,
    /// Shapes and densities by layer.
    pub layers: Vec<LayerStatistics>,
    /// The part of the network's work that the integer network does in integers; `None` without a network.
    pub in_integers: Option<Coverage>,
    /// Operators that ran on real numbers between integer layers.
    pub float_nodes: Vec<String>,
}

impl serde::Serialize for Simulation {
    /// As its record: `skimp.simulate/3`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(serializer)
    }
}

impl Tabular for Simulation {
    fn tables(&self) -> Vec<Table> {
        self.record.tables()
    }

    fn to_text(&self, width: Option<usize>) -> String {
        self.record.to_text(width)
    }

    fn to_csv(&self) -> Result<String, StudyError> {
        self.record.to_csv()
    }
}

impl Tabular for SimulationRecord {
    fn tables(&self) -> Vec<Table> {
        vec![skimp_report::views::totals_table(self)]
    }

    fn to_text(&self, width: Option<usize>) -> String {
        skimp_report::views::simulation_text(self, width)
    }

    fn to_csv(&self) -> Result<String, StudyError> {
        Ok(skimp_report::views::simulation_csv(self)?)
    }
}

/// Whether a layer's timeline is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    Yes,
    No,
}

/// One accelerator at work.
struct Running {
    config: AcceleratorConfig,
    design: Configured,
    /// The layers of one image, where it runs them as a network.
    network: Option<Vec<LayerResult>>,
    results: Vec<Option<LayerResult>>,
    /// What it makes of the layers without a matrix of weights, over all images.
    others: Vec<OtherOutcome>,
    timeline: Timeline,
    accuracy: Option<EffectAccuracy>,
    tuning: Option<TuningRecord>,
}

impl Running {
    fn new(designs: &Designs, config: &AcceleratorConfig, n_layers: usize) -> Result<Self, StudyError> {
        let design = designs.find(&config.model)?.configure(&config.set)?;
        let timeline = Timeline::new(config.label(), design.facts().clock_mhz);
        Ok(Self {
            config: config.clone(),
            design,
            network: None,
            results: vec![None; n_layers],
            others: Vec::new(),
            timeline,
            accuracy: None,
            tuning: None,
        })
    }

    /// The design as it runs.
    fn accelerator(&self) -> Result<&dyn Accelerator, StudyError> {
        match &self.design {
            Configured::Ready(accelerator) => Ok(&**accelerator),
            Configured::NeedsSearch(search) => Err(search.needed().into()),
        }
    }

    /// Refuses settings of layers that are not there, before anything takes long, and says where mappings are given for
    /// some of the layers only.
    fn check(&self, layers: &[LayerWorkload], monitor: &dyn Monitor) -> Result<(), StudyError> {
        if let Configured::Ready(accelerator) = &self.design {
            accelerator.check_network(layers).map_err(|error| self.config.fault(error))?;
        }
        let given = self.design.facts().config.get(GIVEN_MAPPINGS).and_then(|entries| entries.as_array());
        let given: Vec<&str> = given.map_or(&[][..], Vec::as_slice).iter().filter_map(given_layer).collect();
        let n_searched = layers.iter().filter(|layer| !given.contains(&layer.name.as_str())).count();
        if !given.is_empty() && n_searched > 0 {
            let (label, n_layers) = (self.config.label(), layers.len());
            monitor.note(&format!(
                "{label}: no mapping is given for {n_searched} of {n_layers} layers; they are searched"
            ));
        }
        Ok(())
    }

    /// Looks at all layers before the first one runs.
    fn begin(&mut self, layers: &[LayerWorkload]) -> Result<(), StudyError> {
        self.network = self.accelerator()?.simulate_network(layers).map_err(|error| self.config.fault(error))?;
        Ok(())
    }

    /// Runs layer `idx` on one image, and draws it if `timed`.
    fn simulate(
        &mut self,
        idx: usize,
        layer: &LayerWorkload,
        trace: Option<&LayerTrace>,
        timed: Timed,
    ) -> Result<(), StudyError> {
        let accelerator = self.accelerator()?;
        let result = match &self.network {
            Some(results) => results[idx].clone(),
            None => accelerator.simulate_layer(layer, trace).map_err(|error| self.config.fault(error))?,
        };
        if timed == Timed::Yes {
            let spans = accelerator.timeline(layer, trace, &result)?;
            self.timeline.push(spans);
        }
        match &mut self.results[idx] {
            Some(sum) => sum.merge(&result),
            empty => *empty = Some(result),
        }
        Ok(())
    }

    /// Runs the layers without a matrix of weights on `n_images`, whose values do not matter.
    fn simulate_others(&mut self, layers: &[OtherLayer], n_images: usize) -> Result<(), StudyError> {
        let over_images = |one: LayerResult| {
            let mut sum = one.clone();
            (1..n_images).for_each(|_| sum.merge(&one));
            sum
        };
        self.others = layers
            .iter()
            .map(|layer| {
                let outcome = self.accelerator()?.simulate_other(layer).map_err(|error| self.config.fault(error))?;
                Ok(match outcome {
                    OtherOutcome::NotModelled => OtherOutcome::NotModelled,
                    OtherOutcome::Beside(result) => OtherOutcome::Beside(over_images(result)),
                    OtherOutcome::InTotals(result) => OtherOutcome::InTotals(over_images(result)),
                })
            })
            .collect::<Result<_, StudyError>>()?;
        Ok(())
    }

    /// What it did, priced by `table` or else by its own. `layers` are operator and dense MACs of each layer, which make up
    /// `simulated_percent` of the network's; `others` are the layers without a matrix of weights.
    fn record(
        &self,
        layers: &[(&str, u64)],
        others: &[OtherLayer],
        simulated_percent: f64,
        table: Option<&CostTable>,
    ) -> Result<AcceleratorRecord, StudyError> {
        let accelerator = self.accelerator()?;
        let facts = accelerator.facts();
        let table = table.unwrap_or(&facts.costs);
        let mut records = Vec::with_capacity(layers.len());
        let mut priced = Vec::with_capacity(layers.len());
        for (&layer, result) in layers.iter().zip(&self.results) {
            let Some(result) = result else { continue };
            let energy = Energy::price(result, table, facts.clock_mhz);
            let energy = energy.map_err(|error| error.of_design(facts.name))?;
            records.push(layer_record(layer, accelerator, result, &energy));
            priced.push((result, energy));
        }
        let mut beside = Vec::new();
        for (layer, outcome) in others.iter().zip(&self.others) {
            let (result, in_totals) = match outcome {
                OtherOutcome::NotModelled => continue,
                OtherOutcome::Beside(result) => (result, false),
                OtherOutcome::InTotals(result) => (result, true),
            };
            let energy = Energy::price(result, table, facts.clock_mhz);
            let energy = energy.map_err(|error| error.of_design(facts.name))?;
            let record = layer_record((&layer.operator, layer.work_of(Work::Macs)), accelerator, result, &energy);
            if in_totals {
                records.push(record);
                priced.push((result, energy));
            } else {
                beside.push(record);
            }
        }
        let totals = RunTotals::new(priced.iter().map(|(result, energy)| (*result, energy)), facts.clock_mhz);
        Ok(AcceleratorRecord {
            name: facts.name.to_owned(),
            label: self.config.label().to_owned(),
            config: json_config(&facts.config)?,
            costs: table.name.clone(),
            energy: Some(energy_record(
                priced.iter().map(|(result, energy)| (*result, energy)),
                table,
                facts.not_counted,
            )),
            facts: Some(FactsRecord {
                exact: accelerator.effect().is_none(),
                needs: facts.needs.words().to_owned(),
                exploits: facts.exploits.iter().map(|&what| what.to_owned()).collect(),
                remarks: facts.remarks.clone(),
            }),
            approximate: accelerator.effect().is_some(),
            clock_mhz: facts.clock_mhz,
            area_mm2: Some(facts.area_mm2).filter(|&area_mm2| area_mm2 > 0.0),
            peak_gmacs: Some(facts.peak_gmacs).filter(|&peak| peak > 0.0),
            dram_gb_per_s: facts.dram_gb_per_s,
            findings: findings::of_network(priced.iter().map(|(result, _)| *result)),
            layers: records,
            shape_layers: Vec::new(),
            other_layers: beside,
            accuracy: self.accuracy.clone(),
            tuning: self.tuning.clone(),
            total: AcceleratorTotal {
                cycles: totals.cycles,
                latency_ms: totals.latency_ms,
                // Over all images; the totals hold the mean of one.
                energy_mj: priced.iter().map(|(_, energy)| energy.total_nj()).sum::<f64>() * 1e-6,
                tops_per_w: totals.tops_per_w,
                gmacs_per_s: totals.tops * 500.0,
                simulated_percent,
            },
        })
    }
}

/// What each accelerator did, priced by its table of `tables` or else by its own.
fn records(
    running: &[Running],
    layers: &[(&str, u64)],
    others: &[OtherLayer],
    simulated_percent: f64,
    tables: &[Option<CostTable>],
) -> Result<Vec<AcceleratorRecord>, StudyError> {
    running
        .iter()
        .zip(tables)
        .map(|(running, table)| running.record(layers, others, simulated_percent, table.as_ref()))
        .collect()
}

/// The layers without a matrix of weights, with the designs that do not model them.
fn other_records(layers: &[OtherLayer], running: &[Running]) -> Vec<OtherLayerRecord> {
    let record = |(idx, layer): (usize, &OtherLayer)| {
        let lacking = running.iter().filter(|running| running.others[idx] == OtherOutcome::NotModelled);
        other_layers::record(layer, lacking.map(|running| running.config.label().to_owned()).collect())
    };
    layers.iter().enumerate().map(record).collect()
}

pub(crate) fn layer_record(
    (operator, macs): (&str, u64),
    accelerator: &dyn Accelerator,
    result: &LayerResult,
    energy: &Energy,
) -> LayerRecord {
    let mut why: Vec<String> = accelerator.why(result).into_iter().map(|loss| loss.text).collect();
    for finding in &result.findings {
        if let Found::Off(reason) = &finding.found {
            why.push(format!("{} is off: {reason}", finding.quantity.label));
        }
    }
    let phases = result.cycles.iter().map(|(statistic, count)| (statistic.name.to_owned(), count));
    LayerRecord {
        name: result.layer.clone(),
        operator: operator.to_owned(),
        macs,
        images: result.images,
        findings: findings::of_layer(result),
        mapping: result.mapping.iter().map(|&(name, number)| (name.to_owned(), number)).collect(),
        cycles: Breakdown { total: result.total_cycles(), parts: phases.collect() },
        events: result.events.iter().map(|(statistic, count)| (statistic.name.to_owned(), count)).collect(),
        energy_nj: Breakdown { total: energy.total_nj(), parts: energy.terms().into_iter().collect() },
        why,
        notes: result.notes.clone(),
    }
}

/// The layer of an entry of [`GIVEN_MAPPINGS`].
fn given_layer(entry: &toml::Value) -> Option<&str> {
    entry.as_str()?.rsplit_once('=').map(|(layer, _)| layer.trim())
}

fn json_config(config: &Settings) -> Result<serde_json::Map<String, serde_json::Value>, StudyError> {
    match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        _ => Err(StudyError::Usage("an accelerator's configuration has no JSON form".to_owned())),
    }
}

fn write_trace(path: Option<&Path>, running: &[Running]) -> Result<(), StudyError> {
    let Some(path) = path else { return Ok(()) };
    let timelines: Vec<_> = running.iter().map(|running| running.timeline.clone()).collect();
    timeline::write(path, &timelines)
}

/// Simulates accelerators that need shapes only on the layers of a topology, once. Writes the timeline to `trace`.
///
/// # Errors
/// [`StudyError::Sim`] naming the layer and the operand values that an accelerator needs.
pub fn simulate_topology(
    topology: &Topology,
    quantization: &QuantizationConfig,
    designs: &Designs,
    accelerators: &[AcceleratorConfig],
    costs: &CostsConfig,
    trace: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Simulation, StudyError> {
    let layers = topology.workloads(quantization);
    let tables = costs.tables(accelerators)?;
    let mut running = accelerators
        .iter()
        .map(|accelerator| Running::new(designs, accelerator, layers.len()))
        .collect::<Result<Vec<_>, _>>()?;
    running.iter().try_for_each(|running| running.check(&layers, monitor))?;
    let timed = if trace.is_some() { Timed::Yes } else { Timed::No };
    monitor.stage("simulating layers", layers.len() as u64);
    running.iter_mut().try_for_each(|running| running.begin(&layers))?;
    for (idx, layer) in layers.iter().enumerate() {
        for accelerator in &mut running {
            accelerator.simulate(idx, layer, None, timed)?;
        }
        step(monitor, 1)?;
    }
    write_trace(trace, &running)?;
    let kinds: Vec<_> = layers.iter().map(|layer| (operator(layer), layer.shape.dense_macs())).collect();
    let simulated = Coverage::new(kinds.iter().map(|&(_, macs)| macs).fold(0, u64::saturating_add), 0, Vec::new());
    let percent = simulated.percent;
    Ok(Simulation {
        record: SimulationRecord {
            model: topology.record(),
            images: 1,
            weight_bits: quantization.weight_bits,
            activation_bits: quantization.activation_bits,
            accelerators: records(&running, &kinds, &[], percent, &tables)?,
            simulated: Some(simulated),
            ..SimulationRecord::default()
        },
        layers: Vec::new(),
        in_integers: None,
        float_nodes: Vec::new(),
    })
}

/// Simulates accelerators on a network and real images.
///
/// # Errors
/// [`StudyError`] naming the file, node, layer or setting; [`skimp_sim::SimError::NotExact`] if what a design
/// works out contradicts the network.
pub fn simulate(network: &Network, config: &SimulateConfig, monitor: &dyn Monitor) -> Result<Simulation, StudyError> {
    let images = Images::open(&config.data, &network.graph, config.input_size)?;
    simulate_on(network, &images, config, monitor).map(|(simulation, _)| simulation)
}

/// [`simulate`] on images that are open already; also returns the executor for a measurement of accuracy.
pub(crate) fn simulate_on(
    network: &Network,
    images: &Images,
    config: &SimulateConfig,
    monitor: &dyn Monitor,
) -> Result<(Simulation, IntegerExecutor), StudyError> {
    let n_images = images.limited(config.data.images, "images to simulate")?;
    config.dump.as_deref().map_or(Ok(()), dump::check)?;
    for accelerator in &config.accelerators {
        // A wrong name or setting must not wait for the calibration.
        Running::new(&config.designs, accelerator, 0)?;
    }
    let tables = config.costs.tables(&config.accelerators)?;
    images.note_preprocess(&config.data, &network.graph, monitor);
    images.note_batch(n_images, monitor);
    images.answers().note(config.data.output_name.as_deref(), monitor);
    network.note_untrained(monitor);
    let (quantized, answers) = integer::quantize_network(network, images, &config.quantization, monitor)?;
    let quantization = of_file(&quantized, &config.quantization);
    let labels_count = !network.is_untrained && config.data.judge_by == JudgeBy::Labels;
    let warning = chance_warning(answers, images.preprocess_name()).filter(|_| labels_count);
    warning.iter().for_each(|warning| monitor.note(warning));
    let chosen = crate::simulate::layers::choose(&quantized, images.input(), images.images_at_once(1), &config.layers)?;
    let mut layers = chosen.simulated;
    let work = NetworkWork::new(network, images.input())?;
    let simulated = work.simulated(
        &layers.iter().map(|layer| &layer.operands.workload).collect::<Vec<_>>(),
        &quantized.layers,
        &chosen.left_out,
    );
    let mut running = config
        .accelerators
        .iter()
        .map(|accelerator| Running::new(&config.designs, accelerator, layers.len()))
        .collect::<Result<Vec<_>, _>>()?;
    let workloads: Vec<LayerWorkload> = layers.iter().map(|layer| layer.operands.workload.clone()).collect();
    let by_shape = config.layers.by_shape.iter().map(|layer| layer.workload(&quantization));
    let named = workloads.iter().cloned().map(Ok).chain(by_shape).collect::<Result<Vec<_>, _>>()?;
    running.iter().try_for_each(|running| running.check(&named, monitor))?;
    let others = other_layers(network, &quantized.graph, images.input(), images.images_at_once(1))?;
    let executor = IntegerExecutor::new(&quantized.graph)?;
    let judge = Judge {
        executor: &executor,
        images,
        layers: &layers,
        range: 0..config.data.accuracy_images.min(images.len()),
        judge_by: config.data.judge_by,
    };
    tune(network, config, &judge, &mut running, monitor)?;
    let designs = running.iter().map(Running::accelerator).collect::<Result<Vec<_>, _>>()?;
    let accuracies = judge.accuracies(&designs, monitor)?;
    for (running, accuracy) in running.iter_mut().zip(accuracies) {
        running.accuracy = accuracy;
    }

    let dump = config.dump.as_deref().map(|folder| Dump::open(folder, &layers)).transpose()?;
    monitor.stage("simulating layers", (n_images * layers.len()) as u64);
    running.iter_mut().try_for_each(|running| running.begin(&workloads))?;
    running.iter_mut().try_for_each(|running| running.simulate_others(&others, n_images))?;
    for range in images.batches_of(0..n_images, 1) {
        let first = range.start;
        let Batch { inputs, labels, images: indices } = images.batch(range)?;
        let shown = Shown {
            images: &indices,
            n_images: labels.len(),
            dump: dump.as_ref().filter(|_| first == 0),
            timed: if first == 0 && config.trace.is_some() { Timed::Yes } else { Timed::No },
        };
        let mut outcome = Ok(());
        executor.run_observed(&[inputs], &mut |observation| {
            if outcome.is_ok() {
                outcome = shown.observe(observation, &mut layers, &mut running, monitor);
            }
        })?;
        outcome?;
    }
    write_trace(config.trace.as_deref(), &running)?;
    let kinds: Vec<_> =
        layers.iter().map(|layer| (layer.operator(), layer.operands.workload.shape.dense_macs())).collect();
    let percent = simulated.percent;
    let mut record = SimulationRecord {
        model: network.record(),
        data: images.record()?,
        images: n_images as u64,
        weight_bits: quantization.weight_bits,
        activation_bits: quantization.activation_bits,
        allowed_loss_points: config.allowed_loss_points,
        accelerators: records(&running, &kinds, &others, percent, &tables)?,
        simulated: Some(simulated),
        other_layers: other_records(&others, &running),
        warnings: warning.into_iter().collect(),
        ..SimulationRecord::default()
    };
    let by_shape = ShapeLayers::new(&config.layers.by_shape, &quantization, config.data.seed.unwrap_or(0))?;
    for ((own, running), table) in record.accelerators.iter_mut().zip(&running).zip(&tables) {
        own.shape_layers = by_shape.run(&running.config, running.accelerator()?, table.as_ref())?;
    }
    let simulation = Simulation {
        record,
        layers: layers.iter().map(SimulatedLayer::statistics).collect(),
        in_integers: Some(work.in_integers(quantized.layers.iter().map(|layer| layer.name.as_str()))),
        float_nodes: quantized.report.float_nodes.iter().map(|node| format!("{} ({})", node.name, node.op)).collect(),
    };
    Ok((simulation, executor))
}

/// The settings with the widths that count: those of the file where the codes are its own.
fn of_file(quantized: &Quantized, settings: &QuantizationConfig) -> QuantizationConfig {
    if !quantized.report.is_from_file {
        return settings.clone();
    }
    let (weight_bits, activation_bits) = quantized.widths();
    QuantizationConfig { weight_bits, activation_bits, ..settings.clone() }
}

/// Searches parameters for the accelerators that ask for it, on images that do not judge them.
fn tune(
    network: &Network,
    config: &SimulateConfig,
    judge: &Judge<'_>,
    running: &mut [Running],
    monitor: &dyn Monitor,
) -> Result<(), StudyError> {
    if running.iter().all(|running| matches!(running.design, Configured::Ready(_))) {
        return Ok(());
    }
    let open = |data: &DataConfig| Images::open(data, &network.graph, config.input_size);
    let tuning_images = TuningImages::open(&config.data, judge.images, open)?;
    let judge = tuning_images.judge(judge);
    for running in running {
        if let Configured::NeedsSearch(search) = &running.design {
            let found = tuned(&judge, &**search, monitor)?;
            running.design = Configured::Ready(found.accelerator);
            running.tuning = Some(found.record);
        }
    }
    Ok(())
}

/// Outputs per layer and image that are computed again from the operands that accelerators see.
const OPERAND_CHECKS: usize = 32;

/// What of a batch is shown to the accelerators.
struct Shown<'a> {
    images: &'a ImageIndices,
    /// The first images: others fill up the batch.
    n_images: usize,
    /// Where the first image is written.
    dump: Option<&'a Dump<'a>>,
    /// Whether the first image is timed.
    timed: Timed,
}

impl Shown<'_> {
    /// Shows one node's work to every accelerator, image by image.
    fn observe(
        &self,
        observation: &Observation<'_>,
        layers: &mut [SimulatedLayer],
        running: &mut [Running],
        monitor: &dyn Monitor,
    ) -> Result<(), StudyError> {
        let Some(mac) = &observation.mac else { return Ok(()) };
        let Some(idx) = layers.iter().position(|layer| layer.node_idx == observation.node_idx) else {
            return Ok(());
        };
        for image in 0..self.n_images {
            let layer = &mut layers[idx];
            let moment = Moment { image: self.images.at(observation.first_image + image)?, step: 0 };
            let image_trace = Arc::new(image_trace(layer, mac, image, moment));
            let trace = LayerTrace::new(&layer.operands.workload, image_trace.clone());
            trace.check_operands(&layer.operands.workload, OPERAND_CHECKS)?;
            let timed = if image == 0 { self.timed } else { Timed::No };
            for accelerator in &mut *running {
                accelerator.simulate(idx, &layer.operands.workload, Some(&trace), timed)?;
            }
            layer.add_image(&image_trace);
            if let Some(dump) = self.dump.filter(|_| image == 0) {
                dump.layer(idx, layer, &image_trace, &trace)?;
            }
            step(monitor, 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use skimp_sim::{Facts, Operand, OtherKind, SimError, Statistic};
    use skimp_testkit::VGG16_CONVOLUTIONS;

    use super::*;
    use crate::monitor::Silent;

    /// What `skimp simulate` does with a topology of these lines.
    fn run(lines: &str, accelerator: &str, settings: &str) -> AcceleratorRecord {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.csv");
        std::fs::write(&path, format!("Layer,h,w,r,s,c,k,stride,\n{lines}")).unwrap();
        let topology = Topology::open(&path).unwrap();
        let set = settings.parse().unwrap();
        let config = AcceleratorConfig { model: accelerator.to_owned(), label: None, preset: None, set, origin: None };
        // 16 bits, as the topology's layers have.
        let quantization = QuantizationConfig { weight_bits: 16, activation_bits: 16, ..QuantizationConfig::default() };
        let simulation = simulate_topology(
            &topology,
            &quantization,
            &Designs::embedded(),
            &[config],
            &CostsConfig::Auto,
            None,
            &Silent,
        )
        .unwrap();
        simulation.record.accelerators.into_iter().next().unwrap()
    }

    fn events(record: &AcceleratorRecord, name: &str) -> u64 {
        record.layers.iter().map(|layer| layer.events[name]).sum()
    }

    #[test]
    fn tetris_runs_networks_as_networks() {
        let line = |(idx, (extent, c, k)): (usize, (usize, usize, usize))| {
            format!("conv{idx},{0},{0},3,3,{c},{k},1,pads=1:1:1:1\n", extent + 2)
        };
        let lines: String = VGG16_CONVOLUTIONS.into_iter().enumerate().map(line).collect();
        let settings = "dram_megabytes_per_s = 0.0\naccumulation = \"engine\"\nwhole_array = true";
        let found = run(&lines, "tetris", settings);
        // The same layers handed to the engine itself.
        let engine = skimp_digital::tetris::TETRIS.engine(&settings.parse().unwrap()).unwrap();
        let layers: Vec<_> = VGG16_CONVOLUTIONS
            .iter()
            .map(|&(extent, c, k)| LayerWorkload::conv("c", c, extent, extent, k, 3).unwrap())
            .collect();
        let direct = engine.simulate_network(&layers).unwrap().unwrap();
        for (layer, direct) in found.layers.iter().zip(&direct) {
            assert_eq!(layer.cycles.total, direct.total_cycles(), "{}", layer.name);
            for (statistic, count) in direct.events.iter() {
                assert_eq!(layer.events[statistic.name], count, "{} {}", layer.name, statistic.name);
            }
        }
        // A layer alone finds its inputs where it wants them: that is not what a network does.
        let alone: u64 = layers
            .iter()
            .map(|layer| engine.simulate_layer(layer, None).unwrap().events.get("noc_hops").unwrap())
            .sum();
        assert!(alone < events(&found, "noc_hops"), "{alone}");
        // stanford-mast/nn_dataflow 2.1, batch 16, images not split: cycles, mJ, words of DRAM, words times hops.
        let open_model = [91_348_992.0, 1210.79, 1_042_438_144.0, 178_963_840.0].map(|batch: f64| batch / 16.0);
        let dram = ["dram_filter_words", "dram_ifmap_words", "dram_ofmap_words"].map(|name| events(&found, name));
        let shares = [
            found.total.cycles as f64 / open_model[0],
            found.total.energy_mj / open_model[1],
            dram.iter().sum::<u64>() as f64 / open_model[2],
            events(&found, "noc_hops") as f64 / open_model[3],
        ];
        assert!((shares[0] - 1.0).abs() < 1e-6, "{shares:?}");
        // Recorded: ours tries every loop blocking and splits images, too, and so finds schedules that move less.
        for (share, expected) in shares[1..].iter().zip([0.966, 0.671, 0.425]) {
            assert!((share - expected).abs() < 2e-3, "{shares:?}");
        }
    }

    #[test]
    fn padding_of_a_topology_is_stored_unless_the_line_tells() {
        // conv5_1 of VGG-16 on ComPEND without END: 2,428,216 cycles in the recorded run, where padding is not stored. Ours
        // differ by the mean time of a DRAM line.
        let share = |line: &str| run(line, "compend", "end = false").total.cycles as f64 / 2_428_216.0;
        let told = share("conv5_1,16,16,3,3,512,512,1,pads=1:1:1:1\n");
        assert!((told - 1.0).abs() < 3e-4, "{told}");
        let untold = share("conv5_1,16,16,3,3,512,512,1,\n");
        assert!((1.02..1.05).contains(&untold), "{untold}");
    }

    #[test]
    fn a_stride_that_leaves_a_rest_rounds_up() {
        // SCALE-Sim 3.0.0: the last cycle is 7,083, counted from 0.
        let settings = "rows = 8\ncolumns = 8\ndataflow = \"output_stationary\"\ndram_gb_per_s = 1000000.0";
        assert_eq!(run("c,30,30,7,7,3,16,2,\n", "systolic", settings).total.cycles, 7_084);
    }

    static POOLING: Statistic = Statistic::new("pooling", "cycles", "pooling");

    /// A design that takes a cycle for each output of a layer without weights.
    #[derive(Debug)]
    struct Pooling {
        facts: Facts,
        in_totals: bool,
    }

    impl Accelerator for Pooling {
        fn facts(&self) -> &Facts {
            &self.facts
        }

        fn simulate_layer(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
            Ok(LayerResult::new(layer))
        }

        fn simulate_other(&self, layer: &OtherLayer) -> Result<OtherOutcome, SimError> {
            let mut result = LayerResult::of_other(layer);
            result.cycles.add(&POOLING, layer.output_count());
            Ok(if self.in_totals { OtherOutcome::InTotals(result) } else { OtherOutcome::Beside(result) })
        }
    }

    #[test]
    fn a_design_models_other_layers_beside_its_totals_or_in_them() {
        let layer = OtherLayer {
            name: "pool".to_owned(),
            operator: "MaxPool".to_owned(),
            kind: OtherKind::Pool,
            shape: None,
            inputs: vec![Operand { elements: 64, bits: 16 }],
            outputs: vec![Operand { elements: 16, bits: 16 }],
            work: vec![(Work::Comparisons, 48)],
        };
        let others = std::slice::from_ref(&layer);
        let record = |in_totals: Option<bool>| {
            let (model, set) = ("dadiannao".to_owned(), toml::Table::new());
            let config = AcceleratorConfig { model, label: None, preset: None, set, origin: None };
            let mut running = Running::new(&Designs::embedded(), &config, 0).unwrap();
            if let Some(in_totals) = in_totals {
                running.design = Pooling { facts: running.design.facts().clone(), in_totals }.into();
            }
            running.simulate_others(others, 3).unwrap();
            let listed = other_records(others, std::slice::from_ref(&running)).remove(0).not_modelled_by;
            (running.record(&[], others, 100.0, None).unwrap(), listed)
        };
        let (without, listed) = record(None);
        assert_eq!((without.total.cycles, without.layers.len(), without.other_layers.len()), (0, 0, 0));
        assert_eq!(listed, ["dadiannao"]);
        // 16 outputs of each of three images.
        let (beside, listed) = record(Some(false));
        assert_eq!((beside.total.cycles, beside.layers.len(), beside.other_layers[0].cycles.total), (0, 0, 48));
        assert!(listed.is_empty());
        let (within, listed) = record(Some(true));
        assert_eq!((within.total.cycles, within.layers[0].cycles.total, within.other_layers.len()), (48, 48, 0));
        assert!(listed.is_empty());
    }
}
