//! A mapping that the user gives: all numbers of a result, which name one plan, or some of them.

use std::cmp::Reverse;

use skimp_sim::LayerWorkload;

use super::blocking::{Problem, Wanted};
use super::config::Config;
use super::partition::Partition;
use super::plan::{Candidate, FACTORS, INNER, PLACE, Plan, best, candidates, searched};
use crate::models::given::{GivenMapping, Matcher};

/// What the loops run over, in their order.
const LOOPS: [&str; 3] = ["ifmaps", "ofmaps", "images"];

/// The best plan that has the numbers of `given`, or why there is none.
pub(super) fn plan(
    config: &Config,
    layer: &LayerWorkload,
    images: u64,
    layout: Option<&Partition>,
    given: &GivenMapping,
) -> Result<Plan, String> {
    let known: Vec<&str> = PLACE.iter().chain(FACTORS.iter().flatten()).chain(&INNER).copied().collect();
    given.check_names(&known)?;
    if let Some(batch) = given.number("batch").filter(|&batch| batch != images) {
        return Err(format!("the given mapping's batch {batch}: images are scheduled {images} at a time"));
    }
    let wanted = wanted(given)?;
    let place = given.only(&PLACE);
    let mut matcher = Matcher::new(&place);
    let mut candidates = candidates(config, layer, images, layout);
    candidates.retain(|candidate| matcher.accepts(&candidate.numbers(images)));
    if candidates.is_empty() {
        return Err(matcher.reason());
    }
    let found = match wanted == Wanted::default() {
        true => best(config, &candidates, images, searched(config)),
        false => best(config, &candidates, images, |_, problem, limit| wanted.best(problem, limit)),
    };
    found.ok_or_else(|| {
        let refusals = candidates.iter().map(|candidate| Refusal::of(config, candidate, &wanted));
        refusals.max_by_key(|refusal| refusal.progress).map_or_else(String::new, |furthest| furthest.reason)
    })
}

/// The part of the numbers that is the blocking's.
fn wanted(given: &GivenMapping) -> Result<Wanted, String> {
    let mut inner = [None; 2];
    for (inner, name) in inner.iter_mut().zip(INNER) {
        if let Some(number) = given.number(name) {
            let known = usize::try_from(number).ok().filter(|&known| known < LOOPS.len());
            *inner = Some(known.ok_or_else(|| {
                format!("the given mapping's {name} {number}: expected 0 (ifmaps), 1 (ofmaps) or 2 (images)")
            })?);
        }
    }
    Ok(Wanted { factors: FACTORS.map(|level| level.map(|name| given.number(name))), inner })
}

/// Why a blocking cannot be, and how far it got: loops that are covered, then registers, then the buffer, with the words
/// that are needed at least.
struct Refusal {
    progress: (usize, Reverse<u64>),
    reason: String,
}

impl Refusal {
    fn of(config: &Config, candidate: &Candidate, wanted: &Wanted) -> Self {
        let nest = candidate.nest;
        for (loop_idx, &count) in nest.counts.iter().enumerate() {
            if wanted.splits(loop_idx, count).is_empty() {
                return Refusal { progress: (loop_idx, Reverse(0)), reason: uncovered(wanted, loop_idx, count) };
            }
        }
        let problem = Problem { nest, tariff: &config.tariff };
        let (mut registers, mut buffer) = (u64::MAX, u64::MAX);
        wanted.visit(&nest.counts, &mut |factors, inner| {
            let need = problem.register_need(&factors[2]);
            registers = registers.min(need);
            if need <= nest.register_words {
                buffer = buffer.min(problem.least_buffer_need(&factors, inner));
            }
        });
        let (stage, need, what, words) = match registers > nest.register_words {
            true => (3, registers, "a register file", nest.register_words),
            false => (4, buffer, "the buffer", nest.buffer_words),
        };
        let reason = format!("the given mapping: {need} words in {what}, which holds {words}");
        Refusal { progress: (stage, Reverse(need)), reason }
    }
}

/// The factors of a loop that do not make up its `count` passes.
fn uncovered(wanted: &Wanted, loop_idx: usize, count: u64) -> String {
    let of_loop = FACTORS.iter().zip(wanted.factors).map(|(names, factors)| (names[loop_idx], factors[loop_idx]));
    let factors: Vec<(&str, u64)> = of_loop.filter_map(|(name, factor)| Some((name, factor?))).collect();
    let listed: Vec<String> = factors.iter().map(|(name, factor)| format!("{name} {factor}")).collect();
    let product = factors.iter().fold(1u64, |product, (_, factor)| product.saturating_mul(*factor));
    let product = if factors.len() > 1 { format!(" = {product}") } else { String::new() };
    let verb = if factors.len() == FACTORS.len() { "not" } else { "no divisor of" };
    let over = LOOPS[loop_idx];
    format!("the given mapping's {}{product}: {verb} the {count} passes over {over}", listed.join(" x "))
}
