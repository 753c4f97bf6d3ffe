//! Levers one after another, on one network: what each adds to those before it, in accuracy, cycles and energy.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skimp_quant::QuantizationConfig;
use skimp_report::records::{Assumption, InputDigest, Provenance, Sections, StopRecord, TourRecord};
use skimp_report::{SimulationRecord, StudyRecord};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::reduce::measured::NetworkMeasures;
use crate::reduce::steps::{StepConfig, reduce_steps};
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::{Design, Designs};
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::store::desk::Desk;
use crate::store::point::{Point, Points, slugs};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;
use crate::train::config::TrainConfig;

/// What a tour asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TourPlan {
    /// Which cost table prices the energies: `auto`, `common`, `paper` or a table's name.
    #[serde(default, skip_serializing_if = "CostsConfig::is_auto")]
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate design may lose before what it saves is void.
    #[serde(default = "SimulationRecord::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
    /// The stops.
    pub tour: TourConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
}

/// The stops, and how networks are trained between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TourConfig {
    /// Seed of what is random in steps that train.
    #[serde(default)]
    pub seed: u64,
    /// How networks are trained. The study gives network, data and seed.
    #[serde(default)]
    pub run: TrainConfig,
    /// The stops, in order.
    pub stops: Vec<StopConfig>,
}

/// One stop: what differs from the stop before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConfig {
    /// Name in the report, unique.
    pub label: String,
    /// What the lever is, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Another network to go on with; left out: that of the stop before, reduced as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Reductions of it, after those of the stops before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepConfig>,
    /// Widths and calibration from here on, all of them; left out: those of the stop before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<QuantizationConfig>,
    /// Designs from here on, the one that the picture shows first; left out: those of the stop before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorConfig>,
}

/// A stop with all that holds there.
#[derive(Clone, Debug)]
struct Stop {
    label: String,
    text: String,
    /// The network that it began with.
    model: String,
    /// All reductions of that network, those of earlier stops first.
    steps: Vec<StepConfig>,
    quantization: QuantizationConfig,
    accelerators: Vec<AcceleratorConfig>,
}

impl TourConfig {
    /// Every stop with all that holds there; `model` is the study's network.
    fn stops(&self, model: &str) -> Vec<Stop> {
        let mut stops: Vec<Stop> = Vec::new();
        for own in &self.stops {
            let before = stops.last();
            let (model, mut steps) = match (&own.network, before) {
                (Some(model), _) => (model.clone(), Vec::new()),
                (None, Some(before)) => (before.model.clone(), before.steps.clone()),
                (None, None) => (model.to_owned(), Vec::new()),
            };
            steps.extend(own.steps.iter().cloned());
            let accelerators = match before {
                Some(before) if own.accelerators.is_empty() => before.accelerators.clone(),
                _ => own.accelerators.clone(),
            };
            let quantization = own.quantization.or(before.map(|before| before.quantization)).unwrap_or_default();
            let (label, text) = (own.label.clone(), own.text.clone());
            stops.push(Stop { label, text, model, steps, quantization, accelerators });
        }
        stops
    }

    fn check(&self) -> Result<(), String> {
        let Some(first) = self.stops.first() else {
            return Err("tour.stops is empty, expected at least one".to_owned());
        };
        if first.accelerators.is_empty() {
            return Err(format!("stop \"{}\" has no accelerators; the first stop names some", first.label));
        }
        for (idx, stop) in self.stops.iter().enumerate() {
            if stop.label.trim().is_empty() {
                return Err(format!("stop {} has no label", idx + 1));
            }
            let own = |cause: String| format!("stop \"{}\": {cause}", stop.label);
            if self.stops[..idx].iter().any(|other| other.label == stop.label) {
                return Err(format!("two stops are called \"{}\"", stop.label));
            }
            stop.steps.iter().try_for_each(StepConfig::check).map_err(own)?;
            if let Some(quantization) = &stop.quantization {
                quantization.check().map_err(|error| own(format!("quantization: {error}")))?;
            }
            let labels: Vec<&str> = stop.accelerators.iter().map(AcceleratorConfig::label).collect();
            if let Some((_, twice)) = labels.iter().enumerate().find(|&(idx, label)| labels[..idx].contains(label)) {
                return Err(own(format!("two accelerators are labeled \"{twice}\"")));
            }
        }
        self.run.check_unset("[tour.run]", &[])?;
        self.run.check_settings().map_err(|error| format!("[tour.run]: {error}"))
    }
}

impl TourPlan {
    /// How many stops there are, where all that can be known before the first fits.
    #[cfg(test)]
    pub(super) fn n_stops(&self, study: &StudyHeader) -> Result<usize, StudyError> {
        TourPoints::new(self, study).map(|points| points.points.len())
    }

    /// Checks that there are such designs, and that their tables price them.
    fn check_designs(&self, stop: &Stop) -> Result<(), StudyError> {
        let designs: Vec<Design> =
            stop.accelerators.iter().map(|own| self.designs.configure(own)).collect::<Result<_, _>>()?;
        let tables = self.costs.tables_of(&designs.iter().collect::<Vec<_>>())?;
        for (design, table) in designs.iter().zip(&tables) {
            design.table(table.as_ref())?;
        }
        Ok(())
    }
}

impl StudyPlan for TourPlan {
    const KIND: &'static str = "tour";
    const SUMMARY: &'static str = "levers one after another: what each adds in accuracy, cycles and energy";
    const MARK: &'static str = "[tour]";

    fn check(&self, study: &StudyHeader) -> Result<(), String> {
        if !self.allowed_loss_points.is_finite() || self.allowed_loss_points < 0.0 {
            let found = self.allowed_loss_points;
            return Err(format!("allowed_loss_points is {found}, expected a number of points of at least 0"));
        }
        self.tour.check()?;
        study.check_accuracy_images()
    }

    fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        let accelerators = self.tour.stops.iter_mut().flat_map(|stop| &mut stop.accelerators);
        accelerators.into_iter().try_for_each(|own| own.read_files(designs, folder))?;
        self.designs = designs.clone();
        self.costs.read_file(folder)
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let points = TourPoints::new(self, study)?;
        let stops: Vec<StopRecord> = desk.outcomes(&points)?.into_iter().map(|outcome| outcome.json).collect();
        let first = points.stops.first().and_then(|stop| points.networks.get(&stop.model));
        // As many as there are, where more were asked for.
        let n_images = study.data.images.min(points.images.len()) as u64;
        let n_classified = stops.first().map_or(0, |stop| stop.n_classified);
        let allowed_loss_points = self.allowed_loss_points;
        let data = points.images.record()?;
        let mut inputs: Vec<InputDigest> = Vec::new();
        for stop in &points.stops {
            let digest = points.networks[&stop.model].digest();
            if !inputs.contains(&digest) {
                inputs.push(digest);
            }
        }
        inputs.push(points.images.digest(&data));
        Ok(StudyRecord {
            model_name: first.map(|network| network.name.clone()).unwrap_or_default(),
            untrained: points.networks.values().any(|network| network.is_untrained),
            data_name: points.images.name().to_owned(),
            n_images,
            seed: self.tour.seed,
            sections: Sections::default().with(TourRecord { images: n_images, allowed_loss_points, stops }),
            published: study.published.iter().map(|figure| figure.beside(None, Provenance::Simulated)).collect(),
            assumptions: assumptions(n_images, n_classified),
            inputs,
            ..StudyRecord::default()
        })
    }
}

/// What a reader has to know to judge the figures.
fn assumptions(n_images: u64, n_classified: u64) -> Vec<Assumption> {
    let own = |text: String| Assumption { text, source: "this study's configuration; docs/studies.md".to_owned() };
    vec![
            own(format!(
                "accuracy is that of the exact integer network on {n_classified} test images, or of the design where it \
                 changes answers; what training there is between stops is short"
            )),
            own(format!(
                "cycles and energies are simulated on the operand values of {n_images} images and are of the layers that the design \
                 models; each design has its own clock"
            )),
            own(
                "the order of the levers is a choice: what one adds depends on those before it; energies are set against each \
                 other only where one table, one node and the same parts of a chip are priced"
                    .to_owned(),
            ),
        ]
}

/// A stop's record, kept as its JSON: maps keep their order, numbers all their bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    #[serde(with = "crate::store::json_text")]
    json: StopRecord,
}

/// The stops of one tour.
struct TourPoints<'a> {
    plan: &'a TourPlan,
    study: &'a StudyHeader,
    stops: Vec<Stop>,
    /// The networks that stops begin with, by name.
    networks: BTreeMap<String, Network>,
    images: Images,
    data_sha256: String,
    points: Vec<Point>,
}

impl<'a> TourPoints<'a> {
    fn new(plan: &'a TourPlan, study: &'a StudyHeader) -> Result<Self, StudyError> {
        let stops = plan.tour.stops(&study.network.model);
        let mut networks = BTreeMap::new();
        for stop in &stops {
            // What does not fit must not wait for the stops before it.
            let of_stop = |error: StudyError| StudyError::InvalidStudy {
                path: study.name.clone().into(),
                cause: format!("stop \"{}\": {error}", stop.label),
            };
            if !networks.contains_key(&stop.model) {
                let network = Network::open(&stop.model).map_err(of_stop)?;
                Images::open(&study.data, &network.graph, study.network.input_size).map_err(of_stop)?;
                networks.insert(stop.model.clone(), network);
            }
            plan.check_designs(stop).map_err(of_stop)?;
        }
        let first = &networks[stops.first().map_or(study.network.model.as_str(), |stop| stop.model.as_str())];
        let images = Images::open(&study.data, &first.graph, study.network.input_size)?;
        let data_sha256 = images.record()?.sha256.unwrap_or_default();
        let names = slugs(stops.iter().map(|stop| stop.label.as_str()), "stop");
        let points = names.into_iter().zip(&stops).map(|(name, stop)| Point { name, label: stop.label.clone() });
        Ok(Self { plan, study, points: points.collect(), stops, networks, images, data_sha256 })
    }

    /// The network of a stop; `made` is that of the last stop before it that ran, which need not be made again.
    fn network(
        &self,
        idx: usize,
        made: Option<&(usize, Network)>,
        monitor: &dyn Monitor,
    ) -> Result<Network, StudyError> {
        let stop = &self.stops[idx];
        let before = made.map(|(before, network)| (&self.stops[*before], network));
        let before = before.filter(|(before, _)| before.model == stop.model && stop.steps.starts_with(&before.steps));
        let (network, n_done) = match before {
            Some((before, network)) => (network, before.steps.len()),
            None => (&self.networks[&stop.model], 0),
        };
        let (study, tour) = (self.study, &self.plan.tour);
        let training = TrainConfig { seed: tour.seed, ..tour.run.clone() };
        reduce_steps(network, &stop.steps[n_done..], &study.data, study.network.input_size, &training, monitor)
    }

    fn measure(&self, idx: usize, network: &Network, monitor: &dyn Monitor) -> Result<StopRecord, StudyError> {
        let (plan, study, stop) = (self.plan, self.study, &self.stops[idx]);
        let input_size = study.network.input_size;
        let simulation = SimulateConfig {
            data: study.data.clone(),
            input_size,
            quantization: stop.quantization,
            layers: LayersConfig::default(),
            designs: plan.designs.clone(),
            accelerators: stop.accelerators.clone(),
            costs: plan.costs.clone(),
            allowed_loss_points: plan.allowed_loss_points,
            chips: None,
            dump: None,
            trace: None,
        };
        let record = simulate(network, &simulation, monitor)?.record;
        let evaluation = EvaluateConfig {
            data: DataConfig { split: skimp_data::Split::Test, ..study.data.clone() },
            input_size,
            engine: Some(Engine::Integer),
            quantization: stop.quantization,
            order: skimp_cpu::Order::Exact,
        };
        let accuracy = evaluate(network, &evaluation, monitor)?;
        let counts = NetworkMeasures::of(&network.graph, input_size, 0)?;
        let mut designs = record.accelerators;
        designs.iter_mut().for_each(|design| design.layers.clear());
        let begin = &self.networks[&stop.model];
        Ok(StopRecord {
            label: stop.label.clone(),
            text: stop.text.clone(),
            network: begin.name.clone(),
            is_another_network: self.stops[0].model != stop.model,
            weight_bits: record.weight_bits,
            activation_bits: record.activation_bits,
            macs: counts.macs,
            weights: counts.weights,
            zero_weights: counts.zero_weights,
            n_classified: accuracy.images,
            n_right: accuracy.correct,
            designs,
        })
    }
}

impl Points for TourPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let (plan, stop) = (self.plan, &self.stops[idx]);
        let mut table = Table::try_from(&self.study.network)?;
        table.insert("data".to_owned(), Value::try_from(&self.study.data)?);
        table.insert("text".to_owned(), stop.text.clone().into());
        table.insert("steps".to_owned(), Value::try_from(&stop.steps)?);
        table.insert("quantization".to_owned(), Value::try_from(stop.quantization)?);
        table.insert("costs".to_owned(), plan.costs.to_string().into());
        table.insert("run".to_owned(), Value::try_from(&plan.tour.run)?);
        table.insert("seed".to_owned(), Value::try_from(plan.tour.seed)?);
        table.insert("accelerators".to_owned(), plan.designs.identity(&stop.accelerators)?);
        let digests = [("network_sha256", &self.networks[&stop.model].sha256), ("data_sha256", &self.data_sha256)];
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

    fn jobs(&self, open: Vec<usize>) -> Vec<Vec<usize>> {
        if open.is_empty() { Vec::new() } else { vec![open] }
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        let monitor = bench.monitor();
        let mut made: Option<(usize, Network)> = None;
        for &idx in job {
            let network = self.network(idx, made.as_ref(), monitor)?;
            bench.finish(idx, Outcome { json: self.measure(idx, &network, monitor)? })?;
            made = Some((idx, network));
        }
        Ok(())
    }

    fn said(&self, outcome: &Outcome) -> String {
        outcome.json.top1().map_or_else(String::new, |(top1, _)| format!("{:.2} %", 100.0 * top1))
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        let total = outcome.json.designs.first().map(|design| &design.total);
        let figures = [
            ("top1", outcome.json.top1().map(|(top1, _)| top1)),
            ("cycles", total.map(|total| total.cycles as f64)),
            ("energy_mj", total.map(|total| total.energy_mj)),
        ];
        figures.into_iter().filter_map(|(key, figure)| Some((key.to_owned(), figure?))).collect()
    }
}
