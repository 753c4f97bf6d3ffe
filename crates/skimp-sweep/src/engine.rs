//! The points of a sweep, worked out: whoever asks for points gets rows, in the order asked.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use skimp_report::records::InputDigest;
use skimp_study::{CostsConfig, Design, Designs, Monitor, StudyError};

use crate::axis::Domain;
use crate::config::SweepConfig;
use crate::error::SweepError;
use crate::figure::{FIGURES, Figures};
use crate::point::PointConfig;
use crate::search::Aims;
use crate::space::{Assignment, Space};
use crate::stages::{Brought, Key, Keys, StageCount, Stages};
use crate::store::{PointRow, Status};

/// A sweep that is open: its space, and the stages that its points share. Points come from the sweep's own search, or from
/// whoever calls: any other search asks for points and is told their rows.
///
/// ```
/// use skimp_study::{Designs, Silent};
/// use skimp_sweep::{DEFAULT_CACHE_BYTES, Engine, SweepConfig};
///
/// let text = "schema = 1\nname = \"rows\"\nstudy = \"sample\"\n[data]\nimages = 1\naccuracy_images = 0\n\
///     [accelerator]\nmodel = \"compend\"\n[[axes]]\nkey = \"accelerator.set.pu_rows\"\nfrom = 1\nto = 16\n";
/// let sweep = SweepConfig::parse(text, "rows", "".as_ref())?;
/// let engine = Engine::new(&sweep, &Designs::embedded(), DEFAULT_CACHE_BYTES)?;
/// let rows = engine.evaluate(&[vec![Some(4.into())], vec![Some(8.into())]], &Silent)?;
/// assert!(rows[0].figures[0] > rows[1].figures[0]);
/// # Ok::<(), skimp_sweep::SweepError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    space: Space,
    aims: Aims,
    stages: Stages,
    measures_latency: bool,
    /// Whether points of several designs stand beside each other, so that one table must price them all.
    several_designs: bool,
}

/// A point that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) id: String,
    config: PointConfig,
    keys: Keys,
    /// The design, or why there is none.
    design: Result<Design, String>,
    axes: String,
    config_json: String,
    inputs: String,
}

impl Engine {
    /// Opens a sweep; its stages keep what takes about `cache_bytes` together.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming a key or a value.
    pub fn new(sweep: &SweepConfig, designs: &Designs, cache_bytes: u64) -> Result<Self, SweepError> {
        let space = Space::new(sweep, designs)?;
        let aims = Aims { objectives: sweep.objectives.clone(), constraints: sweep.constraints.clone() };
        let latency = FIGURES.iter().position(|figure| figure.name == "measured_latency");
        let asks = |figure: usize| Some(figure) == latency;
        let measures_latency = aims.objectives.iter().any(|objective| asks(objective.figure))
            || aims.constraints.iter().any(|constraint| asks(constraint.figure()));
        let several_designs = several_designs(&space);
        Ok(Self { space, aims, stages: Stages::new(cache_bytes), measures_latency, several_designs })
    }

    /// The axes.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Objectives and constraints.
    #[must_use]
    pub fn aims(&self) -> &Aims {
        &self.aims
    }

    /// What each stage made, and how often it was shared.
    #[must_use]
    pub fn stages(&self) -> Vec<StageCount> {
        self.stages.counts()
    }

    /// Works out points, in parallel, and returns their rows in the same order. A point that cannot run is a row, too.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming a key that names nothing, [`SweepError::Study`] if a network or a data set cannot be
    /// opened, or the run was interrupted.
    pub fn evaluate(&self, points: &[Assignment], monitor: &dyn Monitor) -> Result<Vec<PointRow>, SweepError> {
        let planned = self.plan(points, monitor)?;
        let rows: Mutex<Vec<Option<PointRow>>> = Mutex::new(vec![None; planned.len()]);
        let order: Vec<usize> = (0..planned.len()).collect();
        self.work(&planned, &order, monitor, &|idx, row| {
            rows.lock().unwrap_or_else(PoisonError::into_inner)[idx] = Some(row);
            Ok(())
        })?;
        Ok(rows.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
    }

    /// Resolves points: their configurations, designs and names.
    pub(crate) fn plan(&self, points: &[Assignment], monitor: &dyn Monitor) -> Result<Vec<Planned>, SweepError> {
        let quiet = Quiet(monitor);
        points.par_iter().map(|point| self.plan_point(point, &quiet)).collect()
    }

    fn plan_point(&self, assignment: &Assignment, monitor: &dyn Monitor) -> Result<Planned, SweepError> {
        let mut config = self.space.config(assignment)?;
        if self.several_designs && config.costs == CostsConfig::Auto {
            // As designs beside each other have it: like is compared with like.
            config.costs = CostsConfig::Common;
        }
        let digests = match self.stages.digests(&config, monitor) {
            Ok(digests) => digests,
            // The network does not take these images: a result of each of its points.
            Err(StudyError::Input(_) | StudyError::Answers(_) | StudyError::Spiking { .. }) => Default::default(),
            Err(error) => return Err(error.into()),
        };
        let design = self.space.design(&config).map_err(|error| error.to_string());
        let settings = match &design {
            Ok(design) => json!(design.facts().config),
            Err(_) => json!(config.accelerator.set),
        };
        let mut resolved = serde_json::to_value(&config).unwrap_or_default();
        resolved["accelerator"] = json!({ "model": config.accelerator.model, "set": settings });
        let named = |axis: &crate::axis::Axis, value: &Option<toml::Value>| {
            value.as_ref().map(|value| (axis.name.clone(), serde_json::to_value(value).unwrap_or_default()))
        };
        let axes: Map<String, Json> =
            self.space.axes().iter().zip(assignment).filter_map(|(axis, value)| named(axis, value)).collect();
        Ok(Planned {
            id: identity(&resolved, &digests),
            keys: Keys::of(&config),
            design,
            axes: Json::Object(axes).to_string(),
            config_json: resolved.to_string(),
            inputs: serde_json::to_string(&*digests).unwrap_or_default(),
            config,
        })
    }

    /// Works out the planned points that `order` names and hands each row in as soon as it is there. Points that share a
    /// trace follow each other, those that share a simulation go on one thread.
    pub(crate) fn work(
        &self,
        planned: &[Planned],
        order: &[usize],
        monitor: &dyn Monitor,
        hand_in: &(dyn Fn(usize, PointRow) -> Result<(), SweepError> + Sync),
    ) -> Result<(), SweepError> {
        for of_trace in grouped(order, |idx| planned[idx].keys.traced) {
            let of_design = grouped(&of_trace, |idx| planned[idx].keys.simulated);
            // The stages that the points share use all threads; only then do the points have one each.
            if let Some(&first) = of_trace.iter().find(|&&idx| planned[idx].design.is_ok()) {
                let begun = self.stages.prepare(&planned[first].keys, &planned[first].config, &Quiet(monitor));
                if let Err(StudyError::Interrupted) = begun {
                    return Err(StudyError::Interrupted.into());
                }
            }
            let stopped = AtomicBool::new(false);
            of_design.par_iter().try_for_each(|points| {
                points.iter().try_for_each(|&idx| {
                    if stopped.load(Ordering::Relaxed) || monitor.interrupted() {
                        stopped.store(true, Ordering::Relaxed);
                        return Err(StudyError::Interrupted.into());
                    }
                    hand_in(idx, self.run(&planned[idx], monitor)?)
                })
            })?;
        }
        Ok(())
    }

    fn run(&self, planned: &Planned, monitor: &dyn Monitor) -> Result<PointRow, SweepError> {
        let begun = Instant::now();
        let outcome = match &planned.design {
            Ok(design) => {
                let quiet = Quiet(monitor);
                match self.stages.run(&planned.keys, &planned.config, design, self.measures_latency, &quiet) {
                    Err(StudyError::Interrupted) => return Err(StudyError::Interrupted.into()),
                    outcome => outcome.map_err(|error| error.to_string()),
                }
            }
            Err(cause) => Err(cause.clone()),
        };
        let mut row = PointRow {
            point_id: planned.id.clone(),
            status: Status::Ok,
            reason: None,
            config: planned.config_json.clone(),
            axes: planned.axes.clone(),
            inputs: planned.inputs.clone(),
            figures: Figures::default(),
            outcome: "{}".to_owned(),
            seconds: None,
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        match outcome {
            Ok(brought) => {
                row.figures = figures(&brought);
                row.outcome = outcome_of(&brought).to_string();
                row.reason = self.aims.broken(&row.figures);
                row.status = if row.reason.is_some() { Status::Infeasible } else { Status::Ok };
            }
            Err(cause) => {
                row.reason = Some(cause);
                row.status = Status::Failed;
            }
        }
        row.seconds = Some(begun.elapsed().as_secs_f64());
        Ok(row)
    }
}

/// Indices in groups of equal keys, groups and members in the order of first appearance.
fn grouped(order: &[usize], key: impl Fn(usize) -> Key) -> Vec<Vec<usize>> {
    let mut places = std::collections::HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &idx in order {
        let place = *places.entry(key(idx)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(idx);
    }
    groups
}

/// Whether points may be of several models.
fn several_designs(space: &Space) -> bool {
    let of_axes = space.axes().iter().any(|axis| {
        let names = axis.keys.iter().any(|key| key == "accelerator" || key == "accelerator.model");
        names && matches!(&axis.domain, Domain::Values(values) if values.len() != 1)
    });
    let models = space.own_points().iter().filter_map(|point| space.config(point).ok());
    let mut models: Vec<String> = models.map(|config| config.accelerator.model).collect();
    models.sort_unstable();
    models.dedup();
    of_axes || models.len() > 1
}

/// A point's name: a digest of its resolved configuration and of what it reads, wherever that lies.
fn identity(resolved: &Json, digests: &[InputDigest]) -> String {
    let places: &[&str] = if digests.is_empty() { &[] } else { &["network.model", "data.set"] };
    let mut hasher = Sha256::new();
    hash(resolved, "", places, &mut hasher);
    digests.iter().for_each(|input| hasher.update(&input.sha256));
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a value with keys in order, whatever order they were filled in, without those of `places`.
fn hash(value: &Json, at: &str, places: &[&str], hasher: &mut Sha256) {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for key in keys {
                // Two levels are enough to tell the places.
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                if !places.contains(&path.as_str()) {
                    hasher.update(key.len().to_le_bytes());
                    hasher.update(key);
                    hash(&map[key], &path, places, hasher);
                }
            }
            hasher.update(b"}");
        }
        Json::Array(values) => {
            hasher.update(b"[");
            values.iter().for_each(|value| hash(value, at, &[], hasher));
            hasher.update(b"]");
        }
        Json::String(text) => {
            hasher.update(b"s");
            hasher.update(text.len().to_le_bytes());
            hasher.update(text);
        }
        other => {
            hasher.update(b"n");
            hasher.update(other.to_string());
            hasher.update(b";");
        }
    }
}

fn figures(brought: &Brought) -> Figures {
    let of = &brought.figures;
    let value = |name: &str| match name {
        "latency" => Some(of.latency_ms),
        "energy" => Some(of.energy_mj),
        "area" => of.area_mm2,
        "top1" => brought.top1,
        "model_bytes" => Some(brought.model_bytes as f64),
        "cycles" => Some(of.cycles),
        "measured_latency" => brought.measured_latency,
        _ => None,
    };
    let mut figures = Figures::default();
    for (figure, slot) in FIGURES.iter().zip(&mut figures) {
        *slot = value(figure.name);
    }
    figures
}

fn outcome_of(brought: &Brought) -> Json {
    let slowest: Vec<Json> = brought
        .figures
        .slowest
        .iter()
        .map(|slow| json!({ "layer": slow.layer, "share": slow.share, "why": slow.why }))
        .collect();
    let mut outcome = json!({ "costs": brought.figures.costs, "slowest": slowest });
    if let Some(accuracy) = &brought.figures.accuracy {
        outcome["accuracy"] = json!(accuracy);
    }
    outcome
}

/// A monitor of work within a point: the sweep's own progress stays as it is.
pub(crate) struct Quiet<'m>(pub(crate) &'m dyn Monitor);

impl Monitor for Quiet<'_> {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
