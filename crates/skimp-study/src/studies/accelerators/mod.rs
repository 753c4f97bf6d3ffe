//! Accelerators on one network: accuracy, cycles and energies, comparisons.

mod points;
mod published;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};
use skimp_quant::QuantizationConfig;
use skimp_report::{SimulationRecord, StudyRecord, check_folder, write_study};

use self::points::{AcceleratorPoints, Clock, Extra, Inputs};
use self::published::OwnFigure;
use crate::error::StudyError;
use crate::inputs::config::{JudgeBy, NetworkConfig};
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::SimulateConfig;
use crate::store::desk::Desk;
use crate::studies::config::{STUDY_SCHEMA, StudyConfig, StudyHeader};
use crate::studies::kind::{Plan, StudyPlan};
use crate::studies::published::PublishedConfig;
use crate::studies::runner::filled_in;
use crate::train::LOCK_FILE;

/// What a study of accelerators asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorsPlan {
    /// Label of the accelerator against which all others are set, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Which cost table prices the energies: `auto`, `common`, `paper` or a table's name.
    #[serde(default, skip_serializing_if = "CostsConfig::is_auto")]
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate design may lose before what it saves is void.
    #[serde(default = "SimulationRecord::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
    /// Widths and calibration.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// Which layers are simulated.
    #[serde(default)]
    pub layers: LayersConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
    /// Accelerators, in the order of the report.
    #[serde(default)]
    pub accelerators: Vec<AcceleratorConfig>,
    /// Pairs to compare.
    #[serde(default)]
    pub comparisons: Vec<ComparisonConfig>,
}

/// Two accelerators to compare, by label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonConfig {
    /// What is compared against.
    pub baseline: String,
    /// What is judged.
    pub variant: String,
}

impl AcceleratorsPlan {
    fn labels(&self) -> Vec<&str> {
        self.accelerators.iter().map(AcceleratorConfig::label).collect()
    }

    /// The plan that repeats a simulation: the first accelerator is the baseline of the others.
    fn of_simulation(config: &SimulateConfig) -> Self {
        let labels: Vec<&str> = config.accelerators.iter().map(AcceleratorConfig::label).collect();
        let (baseline, variants) = labels.split_first().map_or((None, &[][..]), |(first, rest)| (Some(*first), rest));
        let against = |baseline: &str| {
            let pair =
                |variant: &&str| ComparisonConfig { baseline: baseline.to_owned(), variant: (*variant).to_owned() };
            variants.iter().map(pair).collect()
        };
        Self {
            comparisons: baseline.map(against).unwrap_or_default(),
            baseline: baseline.filter(|_| !variants.is_empty()).map(str::to_owned),
            costs: config.costs.clone(),
            allowed_loss_points: config.allowed_loss_points,
            quantization: config.quantization,
            layers: config.layers.clone(),
            designs: config.designs.clone(),
            accelerators: config.accelerators.clone(),
        }
    }

    fn run_with(&self, study: &StudyHeader, desk: &Desk<'_>, extra: Extra<'_>) -> Result<StudyRecord, StudyError> {
        let mut clock = Clock::default();
        let network = clock.time("load the network", || Network::open(&study.network.model))?;
        let network = network.for_any_batch().into_owned();
        let images = Images::open(&study.data, &network.graph, study.network.input_size)?;
        let inputs = Inputs { network, images };
        // Labels that the network does not know say nothing of it.
        let judged = study.data.accuracy_images > 0 && study.data.judge_by == JudgeBy::Labels;
        let points = AcceleratorPoints::new(self, study, &inputs, judged, extra)?;
        let outcomes = desk.outcomes(&points)?;
        clock.extend(points);
        record::record(self, study, &inputs, outcomes, clock)
    }
}

impl StudyPlan for AcceleratorsPlan {
    const KIND: &'static str = "accelerators";
    const SUMMARY: &'static str = "what accelerators make of one network: cycles, energies, accuracy";
    const MARK: &'static str = "[[accelerators]]";

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        if !self.allowed_loss_points.is_finite() || self.allowed_loss_points < 0.0 {
            let found = self.allowed_loss_points;
            return Err(format!("allowed_loss_points is {found}, expected a number of points of at least 0"));
        }
        if self.accelerators.is_empty() {
            return Err("there is no [[accelerators]] entry, expected at least one".to_owned());
        }
        let mut labels = self.labels();
        let known = labels.join(", ");
        for label in self.comparisons.iter().flat_map(|pair| [&pair.baseline, &pair.variant]) {
            if !labels.contains(&label.as_str()) {
                return Err(format!("comparison names \"{label}\", expected one of: {known}"));
            }
        }
        if let Some(baseline) = self.baseline.as_ref().filter(|baseline| !labels.contains(&baseline.as_str())) {
            return Err(format!("baseline is \"{baseline}\", expected one of: {known}"));
        }
        labels.sort_unstable();
        match labels.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two accelerators are labeled \"{}\"", pair[0])),
            None => Ok(()),
        }
    }

    fn check_published(&self, figure: &PublishedConfig) -> Result<(), String> {
        let labels = self.labels();
        let gain = matches!(OwnFigure::of(figure)?, OwnFigure::CyclesGain | OwnFigure::EnergyGain);
        let known = figure.design.as_ref().is_some_and(|design| labels.contains(&design.as_str()));
        match gain && !(known && self.baseline.is_some()) {
            true => Err(format!("a gain needs a baseline and a design, one of: {}", labels.join(", "))),
            false => Ok(()),
        }
    }

    fn read_files(&mut self, designs: &Designs, folder: &Path) -> Result<(), StudyError> {
        self.accelerators.iter_mut().try_for_each(|accelerator| accelerator.read_files(designs, folder))?;
        self.designs = designs.clone();
        self.costs.read_file(folder)
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        self.run_with(study, desk, Extra::default())
    }
}

/// Simulates as [`simulate`](crate::simulate()) does and writes what [`run_study`](crate::run_study) writes into `folder`:
/// `model` is the network as the user named it. The first accelerator is the baseline of the others.
///
/// # Errors
/// As [`run_study`](crate::run_study).
pub fn simulate_report(
    model: &str,
    config: &SimulateConfig,
    folder: &Path,
    monitor: &dyn Monitor,
) -> Result<StudyRecord, StudyError> {
    let failed = |source| StudyError::Io { path: folder.to_owned(), source };
    skimp_files::make_folder(folder).map_err(failed)?;
    let _lock = skimp_files::lock(&folder.join(LOCK_FILE)).map_err(failed)?;
    check_folder(folder)?;
    let plan = AcceleratorsPlan::of_simulation(config);
    let header = StudyHeader {
        schema: STUDY_SCHEMA,
        kind: None,
        name: "simulation".to_owned(),
        title: format!("{} on {{network}}, {{data}}", plan.labels().join(", ")),
        summary: "a simulation with its report".to_owned(),
        subject: String::new(),
        network: NetworkConfig { model: model.to_owned(), input_size: config.input_size },
        data: config.data.clone(),
        published: Vec::new(),
    };
    let desk = Desk::new(&header.name, None, monitor);
    let extra = Extra { dump: config.dump.as_deref(), trace: config.trace.as_deref() };
    let record = plan.run_with(&header, &desk, extra)?;
    let record = filled_in(&StudyConfig { header, plan: Plan::new(plan) }, record)?;
    monitor.stage("writing the report", 1);
    write_study(folder, &record)?;
    monitor.advance(1);
    Ok(record)
}
