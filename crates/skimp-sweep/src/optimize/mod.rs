//! The composition of levers that makes a figure smallest while accuracy keeps a bound: searched on images that nothing else
//! sees, judged once on others.

mod bench;
mod config;
mod interval;
mod judgement;
mod levers;
mod sets;
mod strategy;
mod widths;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use skimp_report::records::{
    ContributionRecord, JudgementRecord, LeverRecord, NoLeverRecord, OPTIMIZE_SCHEMA, OptimizeRecord, TriedRecord,
    WidthRecord,
};
use skimp_report::{html, views, write_atomic};
use skimp_study::{DataConfig, Monitor, Network, QdqConfig, Split, StudyError};
use toml::{Table, Value};

use self::bench::{Bench, Outcome, Wanted, that_are};
pub use self::config::{Aim, Budget, OptimizeConfig, Strategy};
pub use self::interval::wilson;
use self::judgement::judged;
use self::levers::{Choice, LAYER_BITS, Levers, Settings};
use self::sets::Sets;
use self::strategy::{Proposed, Proposer, Told};
use self::widths::Ground;
use crate::config::SweepConfig;
use crate::engine::Quiet;
use crate::error::SweepError;
use crate::search::SearchConfig;

/// The reduced network, in floating point.
const NETWORK_FILE: &str = "network.onnx";
/// The same in QDQ form.
const QDQ_FILE: &str = "network.qdq.onnx";
/// A sweep of one point: the result.
const POINT_FILE: &str = "point.toml";
/// The record.
const RECORD_FILE: &str = "optimize.json";
/// Places of the images of every set.
const SETS_FILE: &str = "sets.json";
/// The report, for people.
const REPORT_FILE: &str = "report.html";
/// The same as text.
const TEXT_FILE: &str = "report.md";

/// Most bytes of a record that is read to see whose it is.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// The most of the time that judging may keep for itself.
const MOST_JUDGING: f64 = 0.9;

/// The same with what points without a lever take, where judging does not need more.
const MOST_RESERVED: f64 = 0.5;

/// What one point without a lever takes, in terms of the start's time; and later, of what such points took.
const WITHOUT: f64 = 1.5;

/// Of the time that the start took: what judging takes beside answers and simulation.
const ALLOWANCE: f64 = 0.1;

/// A part of the time that is not worth searching on for.
const SHORT: f64 = 0.02;

/// When the parts of a run end; none where it has no time.
struct Clock {
    begun: Instant,
    total: Option<Duration>,
    /// What judging the result takes, about.
    judging: Duration,
    /// The same of points without a lever.
    without: Duration,
}

impl Clock {
    fn reserved(&self, wanted: Duration, most: f64) -> Option<Instant> {
        let total = self.total?;
        let judging = self.judging.min(total.mul_f64(MOST_JUDGING));
        Some(self.begun + total - wanted.min(total.mul_f64(most)).max(judging))
    }

    fn of_search(&self) -> Option<Instant> {
        self.reserved(self.judging + self.without, MOST_RESERVED)
    }

    fn of_contributions(&self) -> Option<Instant> {
        self.reserved(self.judging, MOST_JUDGING)
    }

    /// Writing the folder takes a part, too.
    fn of_judging(&self) -> Option<Instant> {
        Some(self.begun + self.total?.mul_f64(1.0 - SHORT))
    }

    fn total_share(&self, share: f64) -> Duration {
        self.total.map_or(Duration::ZERO, |total| total.mul_f64(share))
    }
}

/// Makes the folder, and checks that what will be written there replaces nothing but an earlier optimization's.
fn claim(folder: &Path) -> Result<(), StudyError> {
    let failed = |source| StudyError::Io { path: folder.to_owned(), source };
    skimp_files::make_folder(folder).map_err(failed)?;
    // Not as an input, which may not be replaced.
    let record = folder.join(RECORD_FILE);
    let is_small = std::fs::metadata(&record).is_ok_and(|found| found.len() <= MAX_RECORD_BYTES);
    let record = if is_small { std::fs::read_to_string(&record).unwrap_or_default() } else { String::new() };
    let is_own = record.contains("\"skimp.optimize/");
    for name in [NETWORK_FILE, QDQ_FILE, POINT_FILE, RECORD_FILE, SETS_FILE, REPORT_FILE, TEXT_FILE] {
        let path = folder.join(name);
        let checked = skimp_files::claim(&path, "--output")
            .and_then(|()| skimp_files::check(&path))
            .and_then(|()| skimp_files::check_own(&path, |_| is_own));
        checked.map_err(|source| StudyError::Io { path, source })?;
    }
    Ok(())
}

/// A monitor that stops at a time, too.
struct Bounded<'m> {
    monitor: &'m dyn Monitor,
    until: Option<Instant>,
}

impl Bounded<'_> {
    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

impl Monitor for Bounded<'_> {
    fn stage(&self, name: &str, n_steps: u64) {
        self.monitor.stage(name, n_steps);
    }

    fn advance(&self, n: u64) {
        self.monitor.advance(n);
    }

    fn status(&self, text: &str) {
        self.monitor.status(text);
    }

    fn note(&self, text: &str) {
        self.monitor.note(text);
    }

    fn interrupted(&self) -> bool {
        self.monitor.interrupted() || self.is_late()
    }
}

/// A run, so far.
struct Run<'a> {
    config: &'a OptimizeConfig,
    levers: &'a Levers,
    bench: Bench<'a>,
    path: Vec<TriedRecord>,
    best: Option<(Choice, f64)>,
}

impl Run<'_> {
    /// Works a point out as far as it is wanted and notes it.
    fn point(
        &mut self,
        choice: &Choice,
        why: &'static str,
        wanted: Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Told>, StudyError> {
        let is_new = !self.bench.knows(choice);
        let outcome = self.bench.run(self.levers, choice, wanted, monitor)?;
        let told = outcome.as_ref().ok().map(|outcome| self.told(outcome));
        let is_best = told.is_some_and(|told| {
            told.is_kept && self.best.as_ref().is_none_or(|(_, objective)| told.objective < *objective)
        });
        if let Some(told) = told.filter(|_| is_best) {
            self.best = Some((choice.clone(), told.objective));
        }
        if is_new {
            let status = match told {
                None => "failed",
                Some(_) if is_best => "best",
                Some(Told { loss: None, .. }) => "no gain",
                Some(told) if told.is_kept => "kept",
                Some(_) => "lossy",
            };
            let judged = outcome.as_ref().ok().and_then(|outcome| outcome.judged.as_ref());
            let loss = judged.map(|judged| self.bench.float.loss(judged));
            let turned = self.levers.all.iter().zip(choice).filter(|(_, rung)| **rung > 0);
            self.path.push(TriedRecord {
                why: why.to_owned(),
                turned: turned.map(|(lever, &rung)| (lever.name.clone(), lever.value(rung).to_owned())).collect(),
                status: status.to_owned(),
                objective: outcome.as_ref().ok().map(|outcome| outcome.objective),
                loss: loss.map(|(loss, _)| 100.0 * loss),
                loss_error: loss.map(|(_, error)| 100.0 * error),
                images: judged.map_or(0, |judged| judged.n),
                reason: outcome.err(),
            });
        }
        Ok(told)
    }

    /// A point is kept where its loss and a standard error of it, or half the bound where that is less, are within the bound:
    /// what only seems to lose little does not win.
    fn told(&self, outcome: &Outcome) -> Told {
        let loss = outcome.judged.as_ref().map(|judged| {
            let (loss, error) = self.bench.float.loss(judged);
            100.0 * loss + (100.0 * error).min(self.config.max_loss / 2.0)
        });
        let is_kept = loss.is_some_and(|loss| loss <= self.config.max_loss);
        Told { objective: outcome.objective, loss, is_kept }
    }

    /// What is worth working out of a proposal.
    fn wanted(&self, proposed: &Proposed) -> Wanted {
        match &self.best {
            Some((_, objective)) if !proposed.teaches => Wanted::Below(*objective),
            _ => Wanted::All,
        }
    }

    /// The best without one lever after the other; a better point found so is the best from then on.
    fn contributions(
        &mut self,
        proposer: &mut Proposer<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<ContributionRecord>, StudyError> {
        loop {
            let Some((best, objective)) = self.best.clone() else { return Ok(Vec::new()) };
            let mut all = Vec::new();
            for lever in (0..best.len()).filter(|&lever| best[lever] > 0) {
                let mut without = best.clone();
                without[lever] = 0;
                let told = match monitor.interrupted() && !self.bench.knows(&without) {
                    true => None,
                    false => match self.point(&without, "without", Wanted::All, monitor) {
                        Err(StudyError::Interrupted) => None,
                        other => {
                            let told = other?;
                            proposer.tell(&without, told);
                            told
                        }
                    },
                };
                let loss = match told {
                    Some(_) => self.bench.run(self.levers, &without, Wanted::All, monitor)?.ok(),
                    None => None,
                };
                let loss = loss.and_then(|own| own.judged).map(|own| self.bench.float.loss(&own).0);
                all.push(ContributionRecord {
                    lever: self.levers.all[lever].name.clone(),
                    value: self.levers.all[lever].value(best[lever]).to_owned(),
                    objective_without: told.map(|told| told.objective),
                    times: told.map(|told| told.objective / objective),
                    loss_without: loss.map(|loss| 100.0 * loss),
                });
            }
            if self.best.as_ref().is_none_or(|(now, _)| *now == best) {
                return Ok(all);
            }
        }
    }
}

/// The most of the time that goes into how much each layer's widths matter.
const MOST_SENSITIVITY: f64 = 0.2;

/// Adds plans of widths for single layers; the reason where there are none.
fn add_plans(
    levers: &mut Levers,
    bench: &Bench<'_>,
    until: Option<Instant>,
    monitor: &dyn Monitor,
) -> Result<Option<String>, StudyError> {
    let (config, start) = (bench.config, levers.settings(&levers.start()));
    if config.aim == Aim::MeasuredLatency {
        return Ok(Some("the float network is what is measured".to_owned()));
    }
    let calibrated = bench.calibrated(&[], &Quiet(monitor))?;
    let ground = Ground {
        config,
        sets: bench.sets,
        calibrated: &calibrated,
        quantization: start.quantization,
        accelerator: start.accelerator.as_ref(),
    };
    let bounded = Bounded { monitor, until };
    match bench.timed(|spent| &mut spent.sensitivity, || ground.plans(&Quiet(&bounded))) {
        Ok(Ok(plans)) if plans.is_empty() => Ok(Some("no layer can do with fewer bits".to_owned())),
        Ok(Ok(plans)) => {
            levers.add_plans(plans);
            Ok(None)
        }
        Ok(Err(reason)) => Ok(Some(reason)),
        Err(StudyError::Interrupted) if !monitor.interrupted() => {
            Ok(Some("measuring how much each layer's widths matter takes too large a part of the time".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Searches the composition of levers that makes the objective smallest within the bound, judges it once on the final
/// images, and writes network, configuration, record and report into the folder of `config`. `model` is what the network
/// was opened as. Where the user stops it, the best so far is written, and not judged.
///
/// # Errors
/// [`SweepError::Optimize`] naming a setting that cannot be, otherwise the error of what failed.
pub fn optimize(
    model: &str,
    network: &Network,
    config: &OptimizeConfig,
    monitor: &dyn Monitor,
) -> Result<OptimizeRecord, SweepError> {
    let begun = Instant::now();
    config.check()?;
    let network = network.any_batch();
    let sets = Sets::open(config, &network.graph)?;
    let (mut levers, mut left_out) = Levers::of(config, &network, &Quiet(monitor))?;
    claim(&config.folder)?;
    let total = match config.budget {
        Budget::Minutes(minutes) => Some(Duration::from_secs_f64(60.0 * minutes)),
        Budget::Steps(_) => None,
    };
    monitor.stage("judging the start", 1);
    let float_begun = Instant::now();
    let bench = Bench::new(config, &sets, network.clone(), &Quiet(monitor))?;
    let float_time = float_begun.elapsed();
    monitor.stage("measuring how much each layer's widths matter", 1);
    let until = total.map(|total| Instant::now() + total.mul_f64(MOST_SENSITIVITY));
    left_out.extend(add_plans(&mut levers, &bench, until, monitor)?.map(|reason| (LAYER_BITS.to_owned(), reason)));
    let mut run = Run { config, levers: &levers, bench, path: Vec::new(), best: None };
    let start_begun = Instant::now();
    let start = run.point(&levers.start(), "start", Wanted::All, monitor)?;
    if start.is_none() {
        let cause = run.path.pop().and_then(|own| own.reason).unwrap_or_default();
        return Err(SweepError::Optimize { setting: "objective", cause: format!("the start cannot run: {cause}") });
    }
    let mut clock = Clock { begun, total, judging: Duration::ZERO, without: Duration::ZERO };
    if total.is_some() {
        // Of the start, what is to be done again on more images; its codes are there.
        let (n, of, spent) = (sets.n_judging as f64, sets.n_search as f64, run.bench.spent());
        let again = Duration::from_secs_f64(spent.simulating) + start_begun.elapsed().mul_f64(ALLOWANCE);
        let judged = Duration::from_secs_f64((spent.judging - float_time.as_secs_f64()).max(0.0)).mul_f64(n / of);
        clock.judging = float_time.mul_f64(n / of) + (judged + again) * 2;
        clock.without = (start_begun.elapsed() * levers.all.len() as u32).mul_f64(WITHOUT);
    }
    let mut proposer = Proposer::new(config.strategy, &levers, config.max_loss, config.seed, start);
    let (contributions, all_tried) = loop {
        let all_tried = search(&mut run, &mut proposer, start, &Bounded { monitor, until: clock.of_search() })?;
        if monitor.interrupted() {
            break (Vec::new(), false);
        }
        let since = Instant::now();
        let contributions = run.contributions(&mut proposer, &Bounded { monitor, until: clock.of_contributions() })?;
        // What they took is less than was kept for them: the search has the rest.
        clock.without = since.elapsed().mul_f64(WITHOUT);
        if all_tried || clock.of_search().is_none_or(|until| Instant::now() + clock.total_share(SHORT) >= until) {
            break (contributions, all_tried);
        }
    };
    // Without one that keeps the bound the start is what there is.
    let best = run.best.clone().map_or_else(|| levers.start(), |(best, _)| best);
    let interrupted = monitor.interrupted();
    let judgement = match interrupted {
        true => None,
        false => {
            monitor.stage("judging on the final images", sets.n_judging as u64);
            let until = clock.of_judging();
            match run.bench.timed(|spent| &mut spent.last, || judged(&run, &network, &best, until, monitor)) {
                Err(StudyError::Interrupted) => None,
                other => Some(other?),
            }
        }
    };
    let mut record = OptimizeRecord {
        schema: OPTIMIZE_SCHEMA.to_owned(),
        skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: config.command.clone(),
        model: network.input_digest(),
        data: config.data.set.clone(),
        sets: sets.records.clone(),
        objective: config.aim.to_string(),
        unit: config.aim.unit().to_owned(),
        max_loss: config.max_loss,
        strategy: config.strategy.name().to_owned(),
        seed: config.seed,
        budget: config.budget,
        interrupted: judgement.is_none(),
        seconds: 0.0,
        spent: run.bench.spent(),
        search_top1: run.bench.float.top1(),
        levers: levers.all.iter().map(|own| LeverRecord { name: own.name.clone(), values: own.values() }).collect(),
        left_out: left_out.into_iter().map(|(name, reason)| NoLeverRecord { name, reason }).collect(),
        values: levers.all.iter().zip(&best).map(|(own, &rung)| own.value(rung).to_owned()).collect(),
        improvements: run.path.iter().filter(|own| own.status == "best").count().saturating_sub(1),
        path: std::mem::take(&mut run.path),
        widths: Vec::new(),
        contributions,
        judgement,
        files: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(images) = record.judgement.as_ref().map(|own| own.images as usize).filter(|&n| n < sets.n_judging) {
        let of = sets.n_judging;
        record.notes.push(format!("time was left for {images} of {of} final images, the first ones of a drawn order"));
    }
    if all_tried && total.is_some() {
        record.notes.push("the search ended before its time: nothing was left to try".to_owned());
    }
    write(model, &run, &best, &mut record, begun, monitor)?;
    Ok(record)
}

/// Works out what is proposed, and says whether nothing else is.
fn search(
    run: &mut Run<'_>,
    proposer: &mut Proposer<'_>,
    start: Option<Told>,
    monitor: &Bounded<'_>,
) -> Result<bool, SweepError> {
    let config = run.config;
    let n_steps = match config.budget {
        Budget::Steps(n) => n,
        Budget::Minutes(_) => usize::MAX,
    };
    // Of a budget of time the number of points is not known.
    monitor.stage("searching", if n_steps == usize::MAX { 0 } else { n_steps as u64 });
    while run.path.len() < n_steps && !monitor.interrupted() {
        let Some(proposed) = proposer.next() else { return Ok(true) };
        let wanted = run.wanted(&proposed);
        let told = match run.point(&proposed.choice, proposed.why, wanted, monitor) {
            Err(StudyError::Interrupted) => break,
            other => other?,
        };
        proposer.tell(&proposed.choice, told);
        monitor.advance(1);
        let start = start.map_or(1.0, |start| start.objective);
        let best = proposer.best().map_or(start, |(_, best)| best.objective);
        monitor.status(&format!("{} points, {:.2} times less {}", run.path.len(), start / best, config.aim.figure()));
    }
    Ok(run.path.len() >= n_steps)
}

/// Writes the folder, each file whole or not at all.
fn write(
    model: &str,
    run: &Run<'_>,
    best: &Choice,
    record: &mut OptimizeRecord,
    begun: Instant,
    monitor: &dyn Monitor,
) -> Result<(), SweepError> {
    let (folder, settings) = (&run.config.folder, run.levers.settings(best));
    // What is worked out is not worked out again, and the user has asked to stop at most once.
    let kept = Kept(Mutex::new(monitor));
    let network = run.bench.reduced(&settings.steps, &kept)?;
    network.export(&folder.join(NETWORK_FILE))?;
    record.files.push(NETWORK_FILE.to_owned());
    // An earlier result's would not be this one's.
    let _ = std::fs::remove_file(folder.join(QDQ_FILE));
    if !settings.steps.is_empty() {
        let steps: Vec<String> = settings
            .steps
            .iter()
            .map(|step| {
                let part = |text: &Option<String>| text.clone().unwrap_or_default();
                let what = match &step.blocks {
                    Some(block) => format!("block {block} into {}", part(&step.into)),
                    None => format!("{} {}", part(&step.prune), part(&step.target)),
                };
                format!("{what} and {} passes of training", step.finetune.max(step.epochs.unwrap_or(0)))
            })
            .collect();
        let note =
            format!("{NETWORK_FILE} is {model} after {}, on the training images of {SETS_FILE}", steps.join(", "));
        record.notes.push(note);
    }
    let quantization = settings.quantization;
    let widths = that_are(&settings.widths, &network);
    if !widths.is_empty() {
        let quantized = run.bench.quantized(&settings, &kept)?;
        let layers = quantized.layers().iter().zip(quantized.graph().layers());
        record.widths = layers
            .map(|(layer, (_, own))| WidthRecord {
                layer: layer.name.clone(),
                weight_bits: own.weight_bits,
                activation_bits: layer.input.bits,
            })
            .collect();
    }
    let is_eight = widths.activation_bits.values().all(|&bits| bits == 8) && quantization.activation_bits == 8;
    match run.config.aim {
        Aim::MeasuredLatency => record.notes.push("the network is measured in floating point".to_owned()),
        _ if quantization.weight_bits <= 8 && is_eight => {
            let calibrated =
                network.calibrate(&run.bench.sets.calibration, run.config.calibration_images, &Quiet(&kept))?;
            let qdq = QdqConfig {
                weight_bits: quantization.weight_bits,
                weight_scales: quantization.weight_scales,
                calibration: quantization.calibration,
                calibration_images: quantization.calibration_images,
                ..QdqConfig::default()
            };
            let layer_weight_bits = widths.weight_bits.iter().map(|(name, bits)| (name.clone(), *bits)).collect();
            let choices = skimp_study::LayerChoices { layer_weight_bits, ..Default::default() };
            calibrated.to_qdq(&qdq, &choices)?.export(&folder.join(QDQ_FILE))?;
            record.files.push(QDQ_FILE.to_owned());
            record.notes.push(format!(
                "{QDQ_FILE} has these widths, and zero points of its own: it is not the network that was judged"
            ));
        }
        _ => record.notes.push(format!(
            "no file in QDQ form: it has weights of 2 to 8 and activations of 8 bits, the result {} and {}",
            quantization.weight_bits, quantization.activation_bits
        )),
    }
    let point = point(run, &Settings { widths, ..settings }, &folder.join(NETWORK_FILE), record.judgement.as_ref())?;
    let text = |name: &str, text: String| write_atomic(&folder.join(name), text.as_bytes()).map_err(StudyError::from);
    text(POINT_FILE, point)?;
    let sets: serde_json::Map<String, serde_json::Value> = record
        .sets
        .iter()
        .map(|set| (set.name.clone(), json!({ "split": set.split, "indices": set.indices })))
        .collect();
    text(SETS_FILE, serde_json::Value::Object(sets).to_string())?;
    record.files.extend([POINT_FILE, SETS_FILE, RECORD_FILE, REPORT_FILE, TEXT_FILE].map(str::to_owned));
    record.seconds = begun.elapsed().as_secs_f64();
    let pretty = serde_json::to_string_pretty(record).unwrap_or_default();
    text(RECORD_FILE, pretty + "\n")?;
    text(REPORT_FILE, html::render_optimize(record))?;
    text(TEXT_FILE, views::optimize_text(record))?;
    Ok(())
}

/// A monitor that is not stopped by an interruption that has been heeded already.
struct Kept<'m>(Mutex<&'m dyn Monitor>);

impl Monitor for Kept<'_> {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}

    fn note(&self, text: &str) {
        if let Ok(monitor) = self.0.lock() {
            monitor.note(text);
        }
    }
}

/// The path from wherever it is read.
fn anywhere(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The same of a data set's places, `NAME:PLACE[,PLACE or SETTING]`.
fn anywhere_data(set: &str) -> String {
    let Some((name, places)) = set.split_once(':') else { return set.to_owned() };
    let of = |part: &str| match !part.is_empty() && Path::new(part).exists() {
        true => anywhere(Path::new(part)).display().to_string(),
        false => part.to_owned(),
    };
    format!("{name}:{}", places.split(',').map(of).collect::<Vec<_>>().join(","))
}

/// The result as a sweep of one point, whose row is what the judgement says.
fn point(
    run: &Run<'_>,
    settings: &Settings,
    network: &Path,
    judgement: Option<&JudgementRecord>,
) -> Result<String, SweepError> {
    let config = run.config;
    let table = |value: Result<Table, toml::ser::Error>| {
        value.map_err(|error| SweepError::Optimize { setting: "output", cause: error.to_string() })
    };
    let data = DataConfig {
        set: anywhere_data(&config.data.set),
        split: Split::Test,
        seed: Some(config.seed),
        accuracy_images: judgement.map_or(run.bench.sets.n_judging, |own| own.images as usize),
        ..config.data.clone()
    };
    let mut of_network = Table::new();
    of_network.insert("model".to_owned(), Value::String(anywhere(network).to_string_lossy().into_owned()));
    if let Some(size) = config.input_size {
        let extents = size.map(|extent| Value::Integer(i64::try_from(extent).unwrap_or(i64::MAX)));
        of_network.insert("input_size".to_owned(), Value::Array(extents.to_vec()));
    }
    let accelerator = match &settings.accelerator {
        Some(accelerator) => table(Table::try_from(accelerator))?,
        // A point has a design, whatever its objective is.
        None => [("model".to_owned(), Value::String("dadiannao".to_owned()))].into_iter().collect(),
    };
    let bits = Value::Integer(i64::from(settings.quantization.weight_bits));
    let objectives = [config.aim.figure(), "-top1"].into_iter().filter_map(|name| name.parse().ok()).collect();
    let sweep = SweepConfig {
        schema: crate::config::SWEEP_SCHEMA,
        name: "optimized".to_owned(),
        title: format!("{} within {} points", config.aim, config.max_loss),
        summary: String::new(),
        study: None,
        objectives,
        constraints: Vec::new(),
        search: SearchConfig { method: "points".to_owned(), ..SearchConfig::default() },
        network: of_network,
        reduction: None,
        training: Table::new(),
        data: table(Table::try_from(&data))?,
        quantization: table(Table::try_from(settings.quantization))?,
        widths: table(Table::try_from(&settings.widths))?,
        layers: Table::new(),
        accelerator,
        costs: Some(String::from(config.costs.clone())),
        axes: Vec::new(),
        points: vec![[("quantization.weight_bits".to_owned(), bits)].into_iter().collect()],
    };
    sweep.to_toml()
}

#[cfg(test)]
mod tests {
    use super::anywhere_data;

    #[test]
    fn a_data_set_is_found_from_anywhere() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(anywhere_data("cifar10:src"), format!("cifar10:{}", here.join("src").display()));
        let [sources, benches] = ["src", "benches"].map(|part| here.join(part).display().to_string());
        assert_eq!(anywhere_data("imagenet:src,classes=folders"), format!("imagenet:{sources},classes=folders"));
        assert_eq!(anywhere_data("npy:src,benches"), format!("npy:{sources},{benches}"));
        for unchanged in ["sample", "cifar10:/no/such", "npy:x.npy,y.npy"] {
            assert_eq!(anywhere_data(unchanged), unchanged);
        }
    }
}
