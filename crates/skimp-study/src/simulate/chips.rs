//! Accuracy of many chips of one design, and what of its loss each non-ideality makes.

use rayon::prelude::*;
use skimp_report::records::{AttributionRecord, ChipsRecord};
use skimp_sim::{Accelerator, CHIP, Configured, LayerEffect, NonIdeality};
use toml::Table;

use crate::error::StudyError;
use crate::inputs::answers::Tally;
use crate::monitor::{Monitor, step};
use crate::simulate::designs::{Design, Designs};
use crate::simulate::effects::Judge;
use crate::simulate::judging::tuning_images;
use crate::simulate::tuning::NetworkTuner;
use crate::stages::quantized::Quantized;

/// Chips that are there at once: what each of them keeps is in memory.
const AT_ONCE: usize = 16;

/// How many chips are measured, and whether their loss is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipsConfig {
    /// Chips.
    pub count: usize,
    /// Whether each non-ideality is also measured alone, and the others without it.
    pub attribution: bool,
}

/// The accuracy of the chips of `design`; `None` for a design that has no chips, or that changes nothing. What a search found
/// for the design is searched for each chip again, on the same images.
pub(crate) fn sample(
    (quantized, judge): (&Quantized, &Judge<'_>),
    designs: &Designs,
    design: &Design,
    config: ChipsConfig,
    monitor: &dyn Monitor,
) -> Result<Option<ChipsRecord>, StudyError> {
    let facts = design.facts();
    let is_approximate = design.search().is_none() && design.accelerator()?.effect().is_some();
    if !facts.config.contains_key(CHIP) || !is_approximate || judge.range.is_empty() {
        return Ok(None);
    }
    let n_traces = needed_traces(designs, design)?;
    let images = n_traces.map(|_| tuning_images(quantized, judge.images)).transpose()?;
    let tuner = images.as_ref().zip(n_traces);
    let tuner = tuner.map(|(images, n)| NetworkTuner::new(images.judge(judge), n, monitor)).transpose()?;
    let maker = Maker { designs, design, tuner };
    let parts = if config.attribution { facts.non_idealities.as_slice() } else { &[] };
    let runs = 1 + 2 * parts.len();
    monitor.stage("accuracy of chips", ((runs * config.count + 1) * judge.range.len()) as u64);
    let exact = tallies(judge, &[None], monitor)?.remove(0).accuracy().top1;
    let of = |without: &[&NonIdeality]| -> Result<Vec<f64>, StudyError> {
        let mut settings = Table::new();
        without.iter().for_each(|part| settings.extend(part.without.clone()));
        top1_of_chips(judge, &maker, (&settings, config.count), monitor)
    };
    let top1 = of(&[])?;
    let mut record = ChipsRecord::new(exact, top1);
    for (idx, part) in parts.iter().enumerate() {
        let others: Vec<&NonIdeality> =
            parts.iter().enumerate().filter(|(other, _)| *other != idx).map(|(_, part)| part).collect();
        let (alone, rest) = (mean(&of(&others)?), mean(&of(&[part])?));
        record.attribution.push(AttributionRecord {
            name: part.name.to_owned(),
            alone_points: 100.0 * (exact - alone),
            removed_points: 100.0 * (rest - record.mean),
        });
    }
    if !parts.is_empty() {
        let alone: f64 = record.attribution.iter().map(|part| part.alone_points).sum();
        record.interaction_points = Some(100.0 * (exact - record.mean) - alone);
    }
    Ok(Some(record))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Images whose operands a search of the design looks at; `None` for a design without one.
fn needed_traces(designs: &Designs, design: &Design) -> Result<Option<usize>, StudyError> {
    let configured = designs.find(&design.config().model)?.configure(&design.facts().config);
    match configured.map_err(|error| design.config().fault(error))? {
        Configured::NeedsSearch(search) => Ok(Some(search.n_traces())),
        Configured::Ready(_) => Ok(None),
    }
}

/// Makes chips of a design.
struct Maker<'a> {
    designs: &'a Designs,
    design: &'a Design,
    tuner: Option<NetworkTuner<'a>>,
}

impl Maker<'_> {
    /// The design with `settings` on top of its own.
    fn make(&self, settings: Table) -> Result<Box<dyn Accelerator>, StudyError> {
        let mut set = self.design.facts().config.clone();
        set.extend(settings);
        let model = self.designs.find(&self.design.config().model)?;
        let made = match (model.configure(&set), &self.tuner) {
            (Ok(Configured::NeedsSearch(search)), Some(tuner)) => search.search(tuner),
            (configured, _) => configured.and_then(Configured::ready),
        };
        made.map_err(|error| self.design.config().fault(error))
    }
}

/// Share of right answers of each chip from the design's own number on, with `settings` on top of the design's.
fn top1_of_chips(
    judge: &Judge<'_>,
    maker: &Maker<'_>,
    (settings, count): (&Table, usize),
    monitor: &dyn Monitor,
) -> Result<Vec<f64>, StudyError> {
    let first = maker.design.facts().config.get(CHIP).and_then(toml::Value::as_integer).unwrap_or(0);
    let chip = |number: i64| {
        let mut set = settings.clone();
        set.insert(CHIP.to_owned(), (first + number).into());
        maker.make(set)
    };
    let mut top1 = Vec::with_capacity(count);
    let numbers: Vec<i64> = (0..count as i64).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let chips = numbers.iter().map(|&number| chip(number)).collect::<Result<Vec<_>, _>>()?;
        let effects: Vec<Option<&dyn LayerEffect>> = chips.iter().map(|chip| chip.effect()).collect();
        top1.extend(tallies(judge, &effects, monitor)?.into_iter().map(|tally| tally.accuracy().top1));
    }
    Ok(top1)
}

/// Answers under each effect, effects side by side.
fn tallies(
    judge: &Judge<'_>,
    effects: &[Option<&dyn LayerEffect>],
    monitor: &dyn Monitor,
) -> Result<Vec<Tally>, StudyError> {
    let mut tallies = vec![Tally::default(); effects.len()];
    for range in judge.batches() {
        let n_images = range.len() as u64;
        let batch = judge.batch(range)?;
        let inputs = std::slice::from_ref(&batch.inputs);
        let run = |(tally, effect): (&mut Tally, &Option<&dyn LayerEffect>)| -> Result<(), StudyError> {
            let outputs = match effect {
                None => judge.executor.run(inputs)?,
                Some(effect) => judge.executor.run_with(inputs, |step| judge.hook(*effect, &batch.images, step))?,
            };
            tally.add(judge.images.answers(), &outputs, batch.n_run(), &batch.labels)
        };
        tallies.par_iter_mut().zip(effects).map(run).collect::<Result<Vec<()>, _>>()?;
        step(monitor, n_images * effects.len() as u64)?;
    }
    Ok(tallies)
}
