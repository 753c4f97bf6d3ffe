//! The points of a sweep, worked out: whoever asks for points gets rows, in the order asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use skimp_report::records::InputDigest;
use skimp_study::{CostsConfig, Design, Designs, Monitor, StudyError};

use crate::axis::Domain;
use crate::config::SweepConfig;
use crate::disk::Caching;
use crate::error::SweepError;
use crate::figure::{FIGURES, Figures};
use crate::point::PointConfig;
use crate::search::Aims;
use crate::space::{Assignment, Space};
use crate::stages::{Asked, Brought, Key, Keys, StageCount, Stages};
use crate::store::{PointRow, Status};

/// A sweep that is open: its space, and the stages that its points share. Points come from the sweep's own search, or from
/// whoever calls: any other search asks for points and is told their rows.
///
/// ```
/// use skimp_study::{Designs, Silent};
/// use skimp_sweep::{Caching, Engine, SweepConfig};
///
/// let text = "schema = 1\nname = \"rows\"\nstudy = \"sample\"\n[data]\nimages = 1\naccuracy_images = 0\n\
///     [accelerator]\nmodel = \"compend\"\n[[axes]]\nkey = \"accelerator.set.pu_rows\"\nfrom = 1\nto = 16\n";
/// let sweep = SweepConfig::parse(text, "rows", "".as_ref())?;
/// let engine = Engine::new(&sweep, &Designs::embedded(), &Caching::default())?;
/// let rows = engine.evaluate(&[vec![Some(4.into())], vec![Some(8.into())]], &Silent)?;
/// assert!(rows[0].figures[0] > rows[1].figures[0]);
/// # Ok::<(), skimp_sweep::SweepError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    space: Space,
    aims: Aims,
    stages: Stages,
    asked: Asked,
    /// Whether points of several designs stand beside each other, so that one table must price them all.
    several_designs: bool,
    /// What points were but for their designs, the last one first.
    rests: Mutex<Vec<Arc<Rest>>>,
    /// The design of the last point.
    last: Mutex<Written>,
}

/// What a point is but for its design: the same for the thousands of settings that are tried of one.
#[derive(Debug)]
struct Rest {
    /// Its accelerator is any.
    config: PointConfig,
    /// Its last key is any.
    keys: Keys,
    digests: Arc<Vec<InputDigest>>,
    /// The resolved configuration as JSON, before the accelerator and after it.
    json: [String; 2],
    /// What goes into a point's name after the accelerator.
    named: Vec<u8>,
    inputs: String,
}

/// How many of them are kept.
const KEPT: usize = 64;

/// A point that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) id: String,
    rest: Arc<Rest>,
    keys: Keys,
    /// The design, or why there is none.
    design: Result<Design, String>,
    axes: String,
    config_json: String,
}

impl Engine {
    /// Opens a sweep, whose stages keep what `caching` says.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming a key or a value; [`SweepError::Study`] if there cannot be such a folder.
    pub fn new(sweep: &SweepConfig, designs: &Designs, caching: &Caching) -> Result<Self, SweepError> {
        let space = Space::new(sweep, designs)?;
        let aims = Aims { objectives: sweep.objectives.clone(), constraints: sweep.constraints.clone() };
        let latency = FIGURES.iter().position(|figure| figure.name == "measured_latency");
        let asks = |figure: usize| Some(figure) == latency;
        let measures_latency = aims.objectives.iter().any(|objective| asks(objective.figure))
            || aims.constraints.iter().any(|constraint| asks(constraint.figure()));
        let shares_simulations = space.axes().iter().flat_map(|axis| &axis.keys).any(|key| !changes_simulation(key));
        let asked = Asked { measures_latency, shares_simulations };
        let several_designs = several_designs(&space);
        Ok(Self {
            space,
            aims,
            stages: Stages::new(caching)?,
            asked,
            several_designs,
            rests: Mutex::default(),
            last: Mutex::default(),
        })
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

    /// Tries what names layers of the network, such as widths of single ones, before anything takes long: each value of an
    /// axis by itself. Where axes change the network, or a reduction puts others in the place of its layers, such a name is
    /// right for some points and wrong for others: that is the result of the point.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming the axis, [`SweepError::Study`] where the base has the name.
    pub fn check(&self, monitor: &dyn Monitor) -> Result<(), SweepError> {
        if self.space.varies(&["network", "reduction"]) {
            return Ok(());
        }
        if let Some(config) = self.space.whole() {
            self.check_layers(config, monitor)?;
        }
        for (idx, point) in self.space.tried() {
            self.check_layers(&self.space.config(&point)?, monitor).map_err(|error| match error {
                StudyError::Interrupted => error.into(),
                error => self.space.at_fault(&point, idx, error.to_string()),
            })?;
        }
        Ok(())
    }

    fn check_layers(&self, config: &PointConfig, monitor: &dyn Monitor) -> Result<(), StudyError> {
        let is_text = |value: &toml::Value| value.is_str();
        let names = |value: &toml::Value| value.as_array().is_some_and(|entries| entries.iter().any(is_text));
        let names_layers = config.accelerator.set.values().any(names);
        if config.reduction.iter().any(|step| step.into.is_some()) || !names_layers && config.widths.is_empty() {
            return Ok(());
        }
        let quiet = Quiet(monitor);
        let keys = Keys::of(config);
        let checked = match names_layers {
            false => self.stages.coded(&keys, config, &quiet),
            true => {
                self.stages.prepare(&keys, config, &quiet).and_then(|traced| traced.check(&self.space.design(config)?))
            }
        };
        match checked {
            Err(error) if error.is_unknown_layer() || matches!(error, StudyError::Interrupted) => Err(error),
            // What else is wrong is the result of a point.
            _ => Ok(()),
        }
    }

    /// Why a result could not be kept on disk, if one could not; no row is another for it.
    #[must_use]
    pub fn disk_fault(&self) -> Option<String> {
        self.stages.disk_fault()
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
        let rest = self.rest(&config, monitor)?;
        let design = self.space.design(&config).map_err(|error| error.to_string());
        let settings = match &design {
            Ok(design) => &design.facts().config,
            Err(_) => &config.accelerator.set,
        };
        let accelerator = self.written(&config.accelerator.model, settings);
        let hasher = accelerator.hasher();
        let named = |axis: &crate::axis::Axis, value: &Option<toml::Value>| {
            value.as_ref().map(|value| (axis.name.clone(), serde_json::to_value(value).unwrap_or_default()))
        };
        let axes: Map<String, Json> =
            self.space.axes().iter().zip(assignment).filter_map(|(axis, value)| named(axis, value)).collect();
        let [before, after] = &rest.json;
        Ok(Planned {
            id: identity(hasher.clone(), &rest.named, &rest.digests),
            keys: rest.keys.of_design(hasher),
            design,
            axes: Json::Object(axes).to_string(),
            config_json: format!("{before}{}{after}", accelerator.json()),
            rest,
        })
    }

    /// A design in the forms that a row needs. Of settings that the point before had, too, it takes the forms.
    fn written(&self, model: &str, settings: &toml::Table) -> Written {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = |idx: usize, key: &String, value: &toml::Value| {
            let known = last.settings.get(idx)?;
            (known.key == *key && known.value == *value).then(|| Arc::clone(known))
        };
        let settings: Vec<Arc<Setting>> = settings
            .iter()
            .enumerate()
            .map(|(idx, (key, value))| known(idx, key, value).unwrap_or_else(|| Arc::new(Setting::new(key, value))))
            .collect();
        let written = Written { model: model.to_owned(), settings };
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&written);
        written
    }

    /// What `config` is but for its design.
    fn rest(&self, config: &PointConfig, monitor: &dyn Monitor) -> Result<Arc<Rest>, SweepError> {
        let is_same = |rest: &Arc<Rest>| rest.config.differs_in_design_alone(config);
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = rests.iter().position(is_same) {
            rests[..=at].rotate_right(1);
            return Ok(Arc::clone(&rests[0]));
        }
        drop(rests);
        let digests = match self.stages.digests(config, monitor) {
            Ok(digests) => digests,
            // The network does not take these images: a result of each of its points.
            Err(StudyError::Input(_) | StudyError::Answers(_) | StudyError::Spiking { .. }) => Default::default(),
            Err(error) => return Err(error.into()),
        };
        let mut resolved = serde_json::to_value(config).unwrap_or_default();
        let places: &[&str] = if digests.is_empty() { &[] } else { &["network.model", "data.set"] };
        let json = around(&mut resolved, ACCELERATOR);
        let mut named = Vec::new();
        hash(&resolved, "", places, &mut named);
        let rest = Arc::new(Rest {
            config: config.clone(),
            keys: Keys::of(config),
            inputs: serde_json::to_string(&*digests).unwrap_or_default(),
            digests,
            json,
            named,
        });
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests.insert(0, Arc::clone(&rest));
        rests.truncate(KEPT);
        Ok(rest)
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
                let begun = self.stages.prepare(&planned[first].keys, &planned[first].rest.config, &Quiet(monitor));
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
                match self.stages.run(&planned.keys, &planned.rest.config, design, self.asked, &quiet) {
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
            inputs: planned.rest.inputs.clone(),
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

/// Whether points that differ in `key` have simulations of their own.
fn changes_simulation(key: &str) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    match section {
        "costs" => false,
        "accelerator" => matches!(rest, "" | "model" | "set") || rest.starts_with("set."),
        _ => true,
    }
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

/// Key of the accelerator in a resolved configuration: the first one in the order of names.
const ACCELERATOR: &str = "accelerator";

/// The JSON of an object before and after the value of `key`, which is taken out of it.
fn around(object: &mut Json, key: &str) -> [String; 2] {
    // No name has such a character in it.
    let place = format!("\u{1}{key}\u{1}");
    object[key] = place.clone().into();
    let text = object.to_string();
    if let Json::Object(map) = object {
        map.remove(key);
    }
    let place = Json::from(place).to_string();
    let (before, after) = text.split_once(&place).unwrap_or((&text, ""));
    [before.to_owned(), after.to_owned()]
}

/// A design in the forms that a row needs.
#[derive(Clone, Debug, Default)]
struct Written {
    model: String,
    settings: Vec<Arc<Setting>>,
}

/// One of its settings.
#[derive(Debug)]
struct Setting {
    key: String,
    value: toml::Value,
    /// Key and value in JSON.
    json: String,
    /// What they are hashed as.
    hashed: Vec<u8>,
}

impl Setting {
    fn new(key: &str, value: &toml::Value) -> Self {
        let json = serde_json::to_value(value).unwrap_or_default();
        let mut hashed = Vec::new();
        hash_key(key, &mut hashed);
        hash(&json, "", &[], &mut hashed);
        Self { key: key.to_owned(), value: value.clone(), json: format!("{}:{json}", Json::from(key)), hashed }
    }
}

impl Written {
    /// The accelerator of a configuration, as JSON.
    fn json(&self) -> String {
        let settings: Vec<&str> = self.settings.iter().map(|own| own.json.as_str()).collect();
        format!("{{\"model\":{},\"set\":{{{}}}}}", Json::from(self.model.as_str()), settings.join(","))
    }

    /// The beginning of a configuration's digest: up to the accelerator, which is its first key.
    fn hasher(&self) -> Sha256 {
        let mut begun = vec![b'{'];
        hash_key(ACCELERATOR, &mut begun);
        begun.push(b'{');
        hash_key("model", &mut begun);
        hash(&Json::from(self.model.as_str()), "", &[], &mut begun);
        hash_key("set", &mut begun);
        begun.push(b'{');
        let mut settings: Vec<&Setting> = self.settings.iter().map(|own| &**own).collect();
        settings.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        settings.iter().for_each(|own| begun.extend(&own.hashed));
        begun.extend(b"}}");
        Sha256::new_with_prefix(begun)
    }
}

/// A point's name: a digest of its resolved configuration and of what it reads, wherever that lies. `rest` is what the
/// configuration without its accelerator, with which `hasher` has begun, is hashed as.
fn identity(mut hasher: Sha256, rest: &[u8], digests: &[InputDigest]) -> String {
    hasher.update(&rest[1..]);
    digests.iter().for_each(|input| hasher.update(&input.sha256));
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn hash_key(key: &str, hashed: &mut Vec<u8>) {
    hashed.extend(key.len().to_le_bytes());
    hashed.extend(key.as_bytes());
}

/// What a value is hashed as, with keys in order, whatever order they were filled in, without those of `places`.
fn hash(value: &Json, at: &str, places: &[&str], hashed: &mut Vec<u8>) {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<(&String, &Json)> = map.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            hashed.push(b'{');
            for (key, value) in keys {
                if places.is_empty() {
                    hash_key(key, hashed);
                    hash(value, "", &[], hashed);
                    continue;
                }
                // Two levels are enough to tell the places.
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                if !places.contains(&path.as_str()) {
                    hash_key(key, hashed);
                    hash(value, &path, places, hashed);
                }
            }
            hashed.push(b'}');
        }
        Json::Array(values) => {
            hashed.push(b'[');
            values.iter().for_each(|value| hash(value, at, &[], hashed));
            hashed.push(b']');
        }
        Json::String(text) => {
            hashed.push(b's');
            hash_key(text, hashed);
        }
        other => {
            hashed.push(b'n');
            hashed.extend(other.to_string().as_bytes());
            hashed.push(b';');
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and configurations of points that differ in their design are those of the whole configuration.
    #[test]
    fn a_point_is_its_rest_around_its_design() {
        let mut whole = json!({
            "network": { "model": "m", "input_size": [32, 32] }, "data": { "set": "sample", "images": 2 },
            "quantization": { "weight_bits": 8, "scale": 0.1 }, "layers": {}, "reduction": [{ "prune": "l1" }],
            "accelerator": { "model": "a\"b", "set": { "z\"": [1.5, "x"], "network": { "model": true } } }, "costs": "auto",
        });
        let (text, accelerator) = (whole.to_string(), whole["accelerator"].clone());
        let digest = |path: &str| InputDigest { path: path.into(), sha256: "ab".into(), ..InputDigest::default() };
        for digests in [vec![], vec![digest("here")]] {
            let places: &[&str] = if digests.is_empty() { &[] } else { &["network.model", "data.set"] };
            let mut named = Vec::new();
            hash(&whole, "", places, &mut named);
            digests.iter().for_each(|input: &InputDigest| named.extend(input.sha256.as_bytes()));
            let literal: String = Sha256::digest(&named).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let (mut rest, mut alone) = (Vec::new(), whole.clone());
            let [before, after] = around(&mut alone, ACCELERATOR);
            hash(&alone, "", places, &mut rest);
            let settings: toml::Table = serde_json::from_value(accelerator["set"].clone()).unwrap();
            let settings = settings.iter().map(|(key, value)| Arc::new(Setting::new(key, value))).collect();
            let written = Written { model: "a\"b".to_owned(), settings };
            assert_eq!(identity(written.hasher(), &rest, &digests), literal);
            assert_eq!(serde_json::from_str::<Json>(&written.json()).unwrap(), accelerator);
            assert_eq!(
                serde_json::from_str::<Json>(&format!("{before}{}{after}", written.json())).unwrap(),
                serde_json::from_str::<Json>(&text).unwrap()
            );
        }
        assert!(around(&mut whole, ACCELERATOR)[0].len() > 2 && whole.get(ACCELERATOR).is_none());
    }
}
