//! Who proposes the next point: each lever alone and then what these predict, draws, or one lever at a time.

use std::collections::{HashMap, VecDeque};

use skimp_numerics::rng::{Draws, stream};

use super::config::Strategy;
use super::levers::{Choice, Levers};

/// What a point came to, as far as proposals depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) objective: f64,
    /// Points of top-1 that it loses, its error added.
    pub(super) loss: f64,
    pub(super) is_kept: bool,
}

/// A change of the objective that is none.
const NOTHING: f64 = 1e-3;

/// Compositions that a prediction looks at, at most.
const MAX_LOOKED_AT: usize = 200_000;

/// What one rung of a lever brings by itself: the logarithm of the objective's ratio, and points lost.
type Effect = (f64, f64);

/// Proposes points, and learns from what they came to.
pub(super) struct Proposer<'a> {
    strategy: Strategy,
    levers: &'a Levers,
    max_loss: f64,
    draws: Draws,
    /// Rungs of one lever that are still to be tried, lever by lever.
    ladders: VecDeque<(usize, VecDeque<usize>)>,
    /// From where single levers are turned.
    base: Choice,
    told: HashMap<Choice, Option<Told>>,
    best: Option<(Choice, Told)>,
    effects: Vec<Vec<Option<Effect>>>,
    /// How much more compositions lose than the sum of their levers' losses.
    factor: f64,
    n_composed: usize,
}

impl<'a> Proposer<'a> {
    /// After the start has been worked out and has come to `start`.
    pub(super) fn new(strategy: Strategy, levers: &'a Levers, max_loss: f64, seed: u64, start: Option<Told>) -> Self {
        let ladder = |lever: usize| {
            let n = levers.all[lever].n_rungs();
            let rungs: VecDeque<usize> = match strategy {
                // Long ladders every second rung: those between are predicted.
                Strategy::Guided if levers.all[lever].is_ladder && n > 6 => (2..n).step_by(2).collect(),
                _ => (1..n).collect(),
            };
            (lever, rungs)
        };
        let mut order: Vec<usize> = (0..levers.all.len()).collect();
        // Scales of weights cost nothing and help all that follows; what has to learn takes longest.
        order.sort_by_key(|&lever| match levers.all[lever].name.as_str() {
            "weight_scales" => 0,
            "filters" | "weights" => 2,
            _ => 1,
        });
        let mut told = HashMap::new();
        told.insert(levers.start(), start);
        Self {
            strategy,
            levers,
            max_loss,
            draws: Draws::new(seed, stream("optimize/proposals")),
            ladders: order.into_iter().map(ladder).collect(),
            base: levers.start(),
            told,
            best: start.filter(|told| told.is_kept).map(|told| (levers.start(), told)),
            effects: levers.all.iter().map(|lever| vec![None; lever.n_rungs()]).collect(),
            factor: 1.0,
            n_composed: 0,
        }
    }

    pub(super) fn best(&self) -> Option<&(Choice, Told)> {
        self.best.as_ref()
    }

    /// The next point and why it; `None` where there is no other.
    pub(super) fn next(&mut self) -> Option<(Choice, &'static str)> {
        match self.strategy {
            Strategy::Random => self.drawn().map(|choice| (choice, "drawn")),
            Strategy::Single => self.alone(),
            Strategy::Guided => {
                if let Some(found) = self.alone() {
                    return Some(found);
                }
                self.n_composed += 1;
                let neighbor_first = self.n_composed.is_multiple_of(3);
                let predicted = if neighbor_first { None } else { self.predicted().map(|own| (own, "predicted")) };
                predicted
                    .or_else(|| self.neighbor().map(|own| (own, "neighbor")))
                    .or_else(|| self.predicted().map(|own| (own, "predicted")))
                    .or_else(|| self.drawn().map(|own| (own, "drawn")))
            }
        }
    }

    /// What the proposed point came to; `None` where it could not run.
    pub(super) fn tell(&mut self, choice: &Choice, told: Option<Told>) {
        self.told.insert(choice.clone(), told);
        let is_better = |told: &Told| self.best.as_ref().is_none_or(|(_, best)| told.objective < best.objective);
        if let Some(told) = told.filter(|told| told.is_kept).filter(is_better) {
            self.best = Some((choice.clone(), told));
        }
        if self.strategy == Strategy::Random {
            return;
        }
        let turned: Vec<usize> = (0..choice.len()).filter(|&lever| choice[lever] != self.base[lever]).collect();
        match (turned[..].first(), self.ladders.front()) {
            (Some(&lever), Some((of, _))) if turned.len() == 1 && lever == *of => {
                self.learn(lever, choice[lever], told)
            }
            _ => {
                let is_kept = told.is_some_and(|told| told.is_kept);
                self.factor = (self.factor * if is_kept { 0.95 } else { 1.25 }).clamp(0.5, 8.0);
            }
        }
    }

    fn base_told(&self) -> Option<Told> {
        self.told.get(&self.base).copied().flatten()
    }

    /// One lever of the base turned.
    fn alone(&mut self) -> Option<(Choice, &'static str)> {
        loop {
            let (lever, rungs) = self.ladders.front_mut()?;
            let lever = *lever;
            if let Some(rung) = rungs.pop_front() {
                let mut choice = self.base.clone();
                choice[lever] = rung;
                if !self.told.contains_key(&choice) {
                    return Some((choice, "alone"));
                }
            } else {
                self.ladders.pop_front();
            }
        }
    }

    fn learn(&mut self, lever: usize, rung: usize, told: Option<Told>) {
        let own = &self.levers.all[lever];
        let (Some(told), Some(base)) = (told, self.base_told()) else { return };
        let ratio = (told.objective / base.objective).ln();
        self.effects[lever][rung] = Some((ratio, told.loss - base.loss));
        let ladder_ends = !told.is_kept || (self.strategy == Strategy::Guided && ratio > -NOTHING);
        if own.is_ladder
            && ladder_ends
            && let Some((_, rungs)) = self.ladders.front_mut()
        {
            rungs.clear();
        }
        if self.strategy == Strategy::Guided && own.name == "weight_scales" && told.is_kept && ratio < NOTHING {
            self.base[lever] = rung;
            self.effects[lever][rung] = None;
        }
    }

    /// What a rung brings by itself; between two that were tried, what lies between.
    fn effect(&self, lever: usize, rung: usize) -> Option<Effect> {
        let effects = &self.effects[lever];
        if effects[rung].is_some() || !self.levers.all[lever].is_ladder {
            return effects[rung];
        }
        let above = (rung + 1..effects.len()).find_map(|other| Some((other, effects[other]?)))?;
        let below = (1..rung).rev().find_map(|other| Some((other, effects[other]?))).unwrap_or((0, (0.0, 0.0)));
        let share = (rung - below.0) as f64 / (above.0 - below.0) as f64;
        let between = |low: f64, high: f64| low + share * (high - low);
        Some((between(below.1.0, above.1.0), between(below.1.1, above.1.1)))
    }

    /// The composition, not tried so far, whose levers promise the least objective within the bound.
    fn predicted(&self) -> Option<Choice> {
        let base = self.base_told()?;
        let room = self.max_loss - base.loss.max(0.0);
        // Of each lever: rung, effect; those that promise something and may stand.
        let allowed: Vec<Vec<(usize, Effect)>> = (0..self.base.len())
            .map(|lever| {
                let at_base = std::iter::once((self.base[lever], (0.0, 0.0)));
                let turned = (1..self.effects[lever].len()).filter(|&rung| rung != self.base[lever]);
                let turned = turned.filter_map(|rung| Some((rung, self.effect(lever, rung)?)));
                let promising = turned.filter(|(_, (ratio, loss))| *ratio < -NOTHING && *loss <= room);
                at_base.chain(promising).collect()
            })
            .collect();
        let mut walk = Walk { proposer: self, allowed: &allowed, room, n: 0, best: None };
        walk.go(&mut self.base.clone(), 0, (0.0, 0.0));
        // What promises no more than the best has brought is no use.
        let brought = self.best.as_ref().map_or(0.0, |(_, best)| (best.objective / base.objective).ln());
        walk.best.filter(|(ratio, _)| *ratio < brought).map(|(_, choice)| choice)
    }

    /// The best point with one or two levers a rung further or back.
    fn neighbor(&mut self) -> Option<Choice> {
        let (best, _) = self.best.clone()?;
        for _ in 0..400 {
            let mut choice = best.clone();
            for _ in 0..=self.draws.below(2) {
                let lever = self.draws.below(choice.len());
                let own = &self.levers.all[lever];
                choice[lever] = match own.is_ladder {
                    true if self.draws.chance(0.6) => (choice[lever] + 1).min(own.n_rungs() - 1),
                    true => choice[lever].saturating_sub(1),
                    false => self.draws.below(own.n_rungs()),
                };
            }
            if !self.told.contains_key(&choice) {
                return Some(choice);
            }
        }
        None
    }

    fn drawn(&mut self) -> Option<Choice> {
        for _ in 0..1000 {
            let choice: Choice = self.levers.all.iter().map(|lever| self.draws.below(lever.n_rungs())).collect();
            if !self.told.contains_key(&choice) {
                return Some(choice);
            }
        }
        None
    }
}

/// A walk over compositions.
struct Walk<'w, 'a> {
    proposer: &'w Proposer<'a>,
    allowed: &'w [Vec<(usize, Effect)>],
    room: f64,
    n: usize,
    best: Option<(f64, Choice)>,
}

impl Walk<'_, '_> {
    fn go(&mut self, choice: &mut Choice, lever: usize, (ratio, loss): Effect) {
        if self.n >= MAX_LOOKED_AT {
            return;
        }
        let Some(rungs) = self.allowed.get(lever) else {
            self.n += 1;
            let is_better = self.best.as_ref().is_none_or(|(best, _)| ratio < *best);
            if is_better && !self.proposer.told.contains_key(choice) {
                self.best = Some((ratio, choice.clone()));
            }
            return;
        };
        let before = choice[lever];
        // Boldest first: where there are too many, those are seen.
        for &(rung, (own_ratio, own_loss)) in rungs.iter().rev() {
            let lost = loss + own_loss.max(0.0);
            if lost * self.proposer.factor <= self.room {
                choice[lever] = rung;
                self.go(choice, lever + 1, (ratio + own_ratio, lost));
            }
        }
        choice[lever] = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::config::{Aim, Budget, OptimizeConfig};
    use skimp_study::{CostsConfig, DataConfig, Designs, TrainConfig};

    fn levers() -> Levers {
        let config = OptimizeConfig {
            data: DataConfig::default(),
            input_size: None,
            aim: Aim::Energy("compend".to_owned()),
            max_loss: 1.0,
            budget: Budget::Steps(40),
            strategy: Strategy::Guided,
            calibration_images: 1,
            search_images: 1,
            final_images: 1,
            finetune: 0,
            training: TrainConfig::default(),
            vary: Vec::new(),
            costs: CostsConfig::Auto,
            designs: Designs::embedded(),
            seed: 1,
            folder: "out".into(),
        };
        Levers::new(&config).unwrap()
    }

    /// Every rung takes 8 % off and costs the more accuracy the further it goes, filters most.
    fn world(levers: &Levers, choice: &[usize]) -> Told {
        let (mut objective, mut loss) = (1.0_f64, 0.0);
        for (lever, &rung) in levers.all.iter().zip(choice).filter(|(lever, _)| lever.is_ladder) {
            let weight = if lever.name == "filters" { 0.05 } else { 0.01 };
            objective *= 0.92_f64.powi(rung as i32);
            loss += weight * (rung * rung) as f64;
        }
        Told { objective, loss, is_kept: loss <= 1.0 }
    }

    fn best_of(strategy: Strategy, n: usize) -> (f64, Vec<Choice>) {
        let levers = levers();
        let mut proposer = Proposer::new(strategy, &levers, 1.0, 7, Some(world(&levers, &levers.start())));
        let mut tried = Vec::new();
        while tried.len() < n {
            let Some((choice, _)) = proposer.next() else { break };
            assert!(!tried.contains(&choice), "{choice:?} is proposed twice");
            proposer.tell(&choice, Some(world(&levers, &choice)));
            tried.push(choice);
        }
        (proposer.best().unwrap().1.objective, tried)
    }

    #[test]
    fn a_guided_search_composes_what_single_levers_bring() {
        let [guided, random, single] =
            [Strategy::Guided, Strategy::Random, Strategy::Single].map(|own| best_of(own, 45));
        assert!(guided.0 < random.0 && guided.0 < single.0, "{} {} {}", guided.0, random.0, single.0);
        assert!(single.1.iter().all(|choice| choice.iter().filter(|rung| **rung > 0).count() == 1));
        // A ladder ends where the bound is broken: 10 rungs of filters would lose 5 points.
        let levers = levers();
        let filters = levers.all.iter().position(|lever| lever.name == "filters").unwrap();
        assert_eq!(single.1.iter().map(|choice| choice[filters]).max(), Some(5));
        assert_eq!(best_of(Strategy::Guided, 45).1, guided.1);
    }

    #[test]
    fn rungs_between_are_predicted() {
        let levers = levers();
        let start = world(&levers, &levers.start());
        let mut proposer = Proposer::new(Strategy::Guided, &levers, 1.0, 7, Some(start));
        let bits = levers.all.iter().position(|lever| lever.name == "weight_bits").unwrap();
        proposer.effects[bits][4] = Some((-0.4, 0.2));
        assert_eq!(proposer.effect(bits, 2), Some((-0.2, 0.1)));
        assert_eq!(proposer.effect(bits, 5), None);
    }
}
