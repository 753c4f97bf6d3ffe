//! A mapping that the user gives: all numbers of a result, which name one plan, or some of them.

use std::cmp::Reverse;

use skimp_sim::LayerWorkload;

use super::blocking::{Problem, Score, Wanted};
use super::config::Config;
use super::partition::Partition;
use super::plan::{Candidate, FACTORS, INNER, PLACE, Placed, Plan, best, candidates, searched};
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
    let all = |placed: &Placed| candidates(config, layer, images, layout, placed);
    let candidates = all(&placed(given.numbers()));
    if candidates.is_empty() {
        return Err(misplaced(given, |placed| all(placed).iter().map(|candidate| candidate.numbers(images)).collect()));
    }
    let found = match &candidates[..] {
        _ if wanted == Wanted::default() => best(config, &candidates, images, searched(config)),
        // Where there is one place, no bounds are needed to tell places apart.
        [only] => {
            let problem = Problem { nest: only.nest, tariff: &config.tariff };
            wanted.best(&problem, Score::WORST).map(|(_, blocking)| only.with(blocking, images))
        }
        several => best(config, several, images, |_, problem, limit| wanted.best(problem, limit)),
    };
    found.ok_or_else(|| {
        let refusals = candidates.iter().map(|candidate| Refusal::of(config, candidate, &wanted));
        refusals.max_by_key(|refusal| refusal.progress).map_or_else(String::new, |furthest| furthest.reason)
    })
}

/// The part of the numbers that is the place's.
fn placed(numbers: &[(String, u64)]) -> Placed {
    Placed(PLACE.map(|known| numbers.iter().find(|(name, _)| name == known).map(|&(_, number)| number)))
}

/// Why no candidate has the place that is given: those with fewer and fewer of its numbers are looked at, until there are
/// some.
fn misplaced(given: &GivenMapping, numbers_of: impl Fn(&Placed) -> Vec<[(&'static str, u64); 13]>) -> String {
    let place = given.only(&PLACE);
    let mut matcher = Matcher::new(&place);
    for n in (0..place.numbers().len()).rev() {
        for numbers in numbers_of(&placed(&place.numbers()[..n])) {
            matcher.accepts(&numbers);
        }
        if matcher.met_any() {
            break;
        }
    }
    matcher.reason()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{TETRIS, TETRIS_L1, plan as search};
    use super::*;
    use crate::models::given::GivenMappings;

    /// What [`plan`] must come to: of all candidates, those that have the numbers.
    fn enumerated(
        config: &Config,
        layer: &LayerWorkload,
        images: u64,
        given: &GivenMapping,
    ) -> Result<Plan, Option<String>> {
        let place = given.only(&PLACE);
        let mut matcher = Matcher::new(&place);
        let mut candidates = candidates(config, layer, images, None, &Placed::default());
        candidates.retain(|candidate| matcher.accepts(&candidate.numbers(images)));
        if candidates.is_empty() {
            return Err(Some(matcher.reason()));
        }
        let (wanted, divided) = (wanted(given).unwrap(), Wanted::default());
        let found = match wanted == Wanted::default() {
            true => best(config, &candidates, images, searched(config)),
            false => best(config, &candidates, images, |_, problem, limit| {
                let (mut limit, mut found) = (limit, None);
                divided.visit(&problem.nest.counts, &mut |factors, _| {
                    let is_own = |wanted: Option<u64>, own: u64| wanted.is_none_or(|wanted| wanted == own);
                    if !(0..3).all(|level| (0..3).all(|l| is_own(wanted.factors[level][l], factors[level][l]))) {
                        return;
                    }
                    let only = Wanted { factors: factors.map(|level| level.map(Some)), ..wanted };
                    if let Some(better) = only.best(problem, limit) {
                        limit = better.0;
                        found = Some(better);
                    }
                });
                found
            }),
        };
        found.ok_or(None)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        /// Plans of these settings and of others, whole or in part, in any order, some with a number that is wrong: the same
        /// plan, or the same reason.
        #[test]
        fn a_given_plan_is_the_one_that_enumeration_finds(
            (c, k, extent, kernel, groups) in (1usize..17, 1usize..17, 1usize..15, 1usize..6, 1usize..3),
            images in 1u64..5, alike in any::<bool>(), on_vaults in any::<bool>(), sizes in [24u32..300, 24u32..300],
            kept in any::<u32>(), first in 0usize..24, wrong in 0usize..40,
        ) {
            let shaped = LayerWorkload::conv("c", groups * c, extent, extent, groups * k, kernel.min(extent));
            let layer = shaped.unwrap().with_shape(|shape| shape.groups = groups).unwrap();
            let model = if on_vaults { &TETRIS } else { &TETRIS_L1 };
            let engine = |registers: u32| {
                let settings = format!("register_bytes = {registers}\nbuffer_bytes = {}", 40 * registers);
                model.engine(&settings.parse().unwrap()).unwrap()
            };
            let (own, other) = (engine(sizes[0]), engine(sizes[usize::from(!alike)]));
            let Ok(source) = search::plan(&other.config, &layer, images, None) else { return Ok(()) };
            let mut numbers = source.numbers();
            numbers.rotate_left(first);
            if kept % 3 == 0 {
                let mut at = 0;
                numbers.retain(|_| { at += 1; kept >> at & 1 == 1 });
            }
            match numbers.get_mut(wrong) {
                Some((name, number)) if !name.starts_with("inner") && *name != "batch" => *number += 1,
                _ => {}
            }
            let listed: Vec<String> = numbers.iter().map(|(name, number)| format!("{name}:{number}")).collect();
            let Ok(given) = GivenMappings::read(&[format!("c={}", listed.join(" "))]) else { return Ok(()) };
            let given = given.of(&layer).unwrap();
            let found = plan(&own.config, &layer, images, None, given);
            match (found, enumerated(&own.config, &layer, images, given)) {
                (Ok(found), Ok(literal)) => prop_assert_eq!(format!("{found:?}"), format!("{literal:?}")),
                (Err(found), Err(Some(literal))) => prop_assert_eq!(found, literal),
                // It lies on the vaults and does not fit: what says so did not change.
                (Err(found), Err(None)) => prop_assert!(found.starts_with("the given mapping")),
                (found, literal) => prop_assert!(false, "{found:?} {literal:?}"),
            }
            if alike && wrong >= numbers.len() {
                prop_assert!(plan(&own.config, &layer, images, None, given).is_ok());
            }
        }
    }
}
