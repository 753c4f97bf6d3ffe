//! The final judgement: network, start and result on images that nothing else has looked at.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use skimp_graph::Tensor;
use skimp_report::records::{FinalRecord, JudgementRecord};
use skimp_study::{Engine, LayersConfig, Monitor, Network, Order, StudyError, latency_ms};

use super::Run;
use super::bench::{BATCH, Judged, right_of};
use super::config::Aim;
use super::interval::wilson;
use super::levers::{Choice, Settings};
use crate::engine::Quiet;

/// Images that each of the three is judged on before it is asked whether time is left.
const AT_ONCE: usize = 2 * BATCH;

/// Says which images of a range are right.
type Answers<'r> = Box<dyn Fn(Range<usize>) -> Result<Vec<bool>, StudyError> + 'r>;

/// How a network answers.
enum Answering<'r> {
    /// Image by image.
    Each(Answers<'r>),
    /// A design changes answers, and has said how many are right.
    Known(Judged),
}

/// The float network, the start and the result on the final images, or on as many of the first of them as there is time for
/// until `until`.
pub(super) fn judged(
    run: &Run<'_>,
    network: &Network,
    best: &Choice,
    until: Option<Instant>,
    monitor: &dyn Monitor,
) -> Result<JudgementRecord, StudyError> {
    let (sets, quiet) = (run.bench.sets, Quiet(monitor));
    let (start_objective, start) = on_final(run, &run.levers.settings(&run.levers.start()), &quiet)?;
    let (objective, result) = on_final(run, &run.levers.settings(best), &quiet)?;
    let all = [Answering::Each(of_float(run, network.clone())?), start, result];
    let mut right: [Vec<bool>; 3] = Default::default();
    let is_whole = all.iter().any(|answering| matches!(answering, Answering::Known(_)));
    for first in (0..sets.n_judging).step_by(AT_ONCE) {
        // What a design says is of all images, and so is what stands beside it.
        if first > 0 && !is_whole && until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let range = first..(first + AT_ONCE).min(sets.n_judging);
        for (answering, right) in all.iter().zip(&mut right) {
            if monitor.interrupted() {
                return Err(StudyError::Interrupted);
            }
            if let Answering::Each(answers) = answering {
                right.extend(answers(range.clone())?);
            }
        }
        monitor.advance(range.len() as u64);
    }
    let [of_float, of_start, of_result] = right;
    let [_, start, result] = all;
    let float = Judged::of(of_float);
    let own = |answering: Answering<'_>, right: Vec<bool>| match answering {
        Answering::Each(_) => Judged::of(right),
        Answering::Known(judged) => judged,
    };
    let (start, result) = (own(start, of_start), own(result, of_result));
    let (interval, interval_method) = float.loss_interval(&result);
    let loss_interval = interval.map(|share| 100.0 * share);
    let record = |own: &Judged, objective: Option<f64>| FinalRecord {
        correct: own.n_right,
        top1: own.top1(),
        top1_interval: wilson(own.n_right, own.n),
        objective,
    };
    Ok(JudgementRecord {
        images: float.n,
        float: record(&float, None),
        start: record(&start, Some(start_objective)),
        result: record(&result, Some(objective)),
        loss: 100.0 * float.loss(&result).0,
        loss_interval,
        interval_method: interval_method.to_owned(),
        verdict: verdict(loss_interval, run.config.max_loss).to_owned(),
        gain: start_objective / objective,
    })
}

fn of_float<'r>(run: &Run<'r>, network: Network) -> Result<Answers<'r>, StudyError> {
    let images = &run.bench.sets.judging;
    let compiled = network.compile(Engine::Cpu, Order::Exact)?;
    Ok(Box::new(move |range| right_of(images, range, &|inputs| compiled.run(std::slice::from_ref(inputs)))))
}

/// Objective and answers of a point on the final images: what a sweep's row of it has.
fn on_final<'r>(run: &Run<'r>, settings: &Settings, monitor: &dyn Monitor) -> Result<(f64, Answering<'r>), StudyError> {
    let (config, sets) = (run.config, run.bench.sets);
    if config.aim == Aim::MeasuredLatency {
        let network = run.bench.reduced(&settings.steps, monitor)?;
        let objective = latency_ms(&network.graph, 1, config.input_size, monitor)?;
        return Ok((objective, Answering::Each(of_float(run, Network::clone(&network))?)));
    }
    let quantized = run.bench.quantized(settings, monitor)?;
    let answers = {
        let quantized = Arc::clone(&quantized);
        let run = move |inputs: &Tensor| quantized.run(std::slice::from_ref(inputs));
        Answering::Each(Box::new(move |range| right_of(&sets.judging, range, &run)))
    };
    let Some(accelerator) = &settings.accelerator else {
        return Ok((quantized.model_bytes(config.input_size)? as f64, answers));
    };
    let design = config.designs.configure(accelerator)?;
    let traced = quantized.trace(&sets.judging, config.data.images, &LayersConfig::default(), monitor)?;
    let figures = traced.simulate(std::slice::from_ref(&design), monitor)?.figures(&config.costs)?.swap_remove(0);
    let objective = if matches!(config.aim, Aim::Energy(_)) { figures.energy_mj } else { figures.cycles };
    let known = figures.accuracy.map(|accuracy| Answering::Known(Judged::of_share(accuracy.top1, sets.n_judging)));
    Ok((objective, known.unwrap_or(answers)))
}

/// Whether an interval of a loss keeps a bound.
fn verdict([low, high]: [f64; 2], bound: f64) -> &'static str {
    if high <= bound {
        "proven"
    } else if low > bound {
        "broken"
    } else {
        "not proven"
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_bound_inside_the_interval_is_not_proven() {
        assert_eq!(verdict([-0.2, 0.5], 0.5), "proven");
        assert_eq!(verdict([-0.2, 0.51], 0.5), "not proven");
        assert_eq!(verdict([0.5, 0.9], 0.5), "not proven");
        assert_eq!(verdict([0.51, 0.9], 0.5), "broken");
    }
}
