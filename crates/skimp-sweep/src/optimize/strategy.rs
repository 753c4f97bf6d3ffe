//! Who proposes the next point: each lever alone and then what these predict, draws, or one lever at a time.

use std::collections::{HashMap, VecDeque};

use skimp_numerics::rng::{Draws, stream};

use super::config::Strategy;
use super::levers::{Choice, Levers};

/// What a point came to, as far as proposals depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) objective: f64,
    /// Points of top-1 that it loses, its error added; `None` where it was not judged, because it gains nothing.
    pub(super) loss: Option<f64>,
    pub(super) is_kept: bool,
}

/// A proposed point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposed {
    pub(super) choice: Choice,
    pub(super) why: &'static str,
    /// Whether its loss teaches something where its objective is no better than the best's.
    pub(super) teaches: bool,
}

/// A change of the objective that is none.
const NOTHING: f64 = 1e-3;

/// Compositions that a prediction looks at, at most.
const MAX_LOOKED_AT: usize = 200_000;

/// Compositions of levers that need no training before those that do are tried on top of the best one.
const COMPOSED_FIRST: usize = 8;

/// A rung is not drawn any more after so many points with it could not run, and none could.
const GIVEN_UP: usize = 3;

/// What one rung of a lever brings by itself: the logarithm of the objective's ratio, and points lost.
type Effect = (f64, f64);

/// The rungs of one lever that are still to be tried alone.
#[derive(Clone, Debug)]
struct Ladder {
    lever: usize,
    rungs: VecDeque<usize>,
    /// What it is turned on: the base, or the best point where it trains.
    from: Choice,
    /// Whether `from` is settled.
    is_begun: bool,
}

/// Proposes points, and learns from what they came to.
pub(super) struct Proposer<'a> {
    strategy: Strategy,
    levers: &'a Levers,
    max_loss: f64,
    draws: Draws,
    ladders: VecDeque<Ladder>,
    /// Those of levers that train, later.
    late: VecDeque<Ladder>,
    /// From where single levers are turned.
    base: Choice,
    told: HashMap<Choice, Option<Told>>,
    best: Option<(Choice, Told)>,
    effects: Vec<Vec<Option<Effect>>>,
    /// Of each rung, points with it that ran, and that could not.
    runs: Vec<Vec<[usize; 2]>>,
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
                Strategy::Guided if levers.all[lever].is_ladder && !levers.all[lever].is_trained && n > 6 => {
                    (2..n).step_by(2).collect()
                }
                _ => (1..n).collect(),
            };
            Ladder { lever, rungs, from: levers.start(), is_begun: false }
        };
        let mut order: Vec<usize> = (0..levers.all.len()).collect();
        // Scales of weights cost nothing and help all that follows; what has to learn takes longest.
        order.sort_by_key(|&lever| match &levers.all[lever] {
            own if own.name == "weight_scales" => 0,
            own if own.is_trained => 2,
            _ => 1,
        });
        let is_late = |lever: &usize| strategy == Strategy::Guided && levers.all[*lever].is_trained;
        let (late, early): (Vec<usize>, Vec<usize>) = order.into_iter().partition(is_late);
        let mut told = HashMap::new();
        told.insert(levers.start(), start);
        Self {
            strategy,
            levers,
            max_loss,
            draws: Draws::new(seed, stream("optimize/proposals")),
            ladders: early.into_iter().map(ladder).collect(),
            late: late.into_iter().map(ladder).collect(),
            base: levers.start(),
            told,
            best: start.filter(|told| told.is_kept).map(|told| (levers.start(), told)),
            effects: levers.all.iter().map(|lever| vec![None; lever.n_rungs()]).collect(),
            runs: levers.all.iter().map(|lever| vec![[0; 2]; lever.n_rungs()]).collect(),
            factor: 1.0,
            n_composed: 0,
        }
    }

    pub(super) fn best(&self) -> Option<&(Choice, Told)> {
        self.best.as_ref()
    }

    /// The next point; `None` where there is no other.
    pub(super) fn next(&mut self) -> Option<Proposed> {
        let found = |choice: Choice, why| Proposed { choice, why, teaches: false };
        match self.strategy {
            Strategy::Random => self.drawn().map(|choice| found(choice, "drawn")),
            Strategy::Single => self.alone().map(|choice| found(choice, "alone")),
            Strategy::Guided => {
                if let Some(choice) = self.alone() {
                    return Some(Proposed { choice, why: "alone", teaches: true });
                }
                if self.n_composed >= COMPOSED_FIRST
                    && let Some(ladder) = self.late.pop_front()
                {
                    self.ladders.push_back(ladder);
                    if let Some(choice) = self.alone() {
                        return Some(found(choice, "on top"));
                    }
                }
                self.n_composed += 1;
                let composed = match self.n_composed.is_multiple_of(2) {
                    true => self.neighbor().map(|own| found(own, "neighbor")),
                    false => self.predicted().map(|own| found(own, "predicted")),
                };
                composed
                    .or_else(|| self.neighbor().map(|own| found(own, "neighbor")))
                    .or_else(|| self.predicted().map(|own| found(own, "predicted")))
                    .or_else(|| self.near().map(|own| found(own, "near")))
                    .or_else(|| self.drawn().map(|own| found(own, "drawn")))
            }
        }
    }

    /// What the proposed point came to; `None` where it could not run.
    pub(super) fn tell(&mut self, choice: &Choice, told: Option<Told>) {
        self.told.insert(choice.clone(), told);
        for (runs, &rung) in self.runs.iter_mut().zip(choice) {
            runs[rung][usize::from(told.is_none())] += 1;
        }
        let is_better = |told: &Told| self.best.as_ref().is_none_or(|(_, best)| told.objective < best.objective);
        if let Some(told) = told.filter(|told| told.is_kept).filter(is_better) {
            self.best = Some((choice.clone(), told));
        }
        if self.strategy == Strategy::Random {
            return;
        }
        if let Some(Ladder { lever, from, .. }) = self.ladders.front() {
            let turned: Vec<usize> = (0..choice.len()).filter(|&lever| choice[lever] != from[lever]).collect();
            if turned == [*lever] {
                return self.learn(*lever, choice[*lever], told);
            }
        }
        if let Some(Told { loss: Some(_), is_kept, .. }) = told {
            self.factor = (self.factor * if is_kept { 0.95 } else { 1.25 }).clamp(0.5, 8.0);
        }
    }

    fn told_of(&self, choice: &Choice) -> Option<Told> {
        self.told.get(choice).copied().flatten()
    }

    /// One lever of what its ladder stands on turned.
    fn alone(&mut self) -> Option<Choice> {
        loop {
            let best = self.best.as_ref().map(|(best, _)| best.clone());
            let is_late = |own: &Ladder| self.strategy == Strategy::Guided && self.levers.all[own.lever].is_trained;
            let (base, levers) = (&self.base, self.levers);
            let late = self.ladders.front().is_some_and(is_late);
            let ladder = self.ladders.front_mut()?;
            if !late {
                ladder.from.clone_from(base);
            } else if !ladder.is_begun {
                ladder.from = best.unwrap_or_else(|| base.clone());
                ladder.is_begun = true;
            }
            if let Some(rung) = ladder.rungs.pop_front() {
                let mut choice = ladder.from.clone();
                choice[ladder.lever] = rung;
                let choice = levers.canonical(choice);
                if !self.told.contains_key(&choice) {
                    return Some(choice);
                }
            } else {
                self.ladders.pop_front();
            }
        }
    }

    fn learn(&mut self, lever: usize, rung: usize, told: Option<Told>) {
        let own = &self.levers.all[lever];
        let from = self.ladders.front().map_or_else(|| self.base.clone(), |ladder| ladder.from.clone());
        let (Some(told), Some(from)) = (told, self.told_of(&from)) else { return };
        // Not judged: it gains less than what is known, and the next rung may gain more.
        let (Some(loss), Some(before)) = (told.loss, from.loss) else { return };
        let ratio = (told.objective / from.objective).ln();
        self.effects[lever][rung] = Some((ratio, loss - before));
        let ladder_ends = !told.is_kept || (self.strategy == Strategy::Guided && ratio > -NOTHING);
        if own.is_ladder
            && ladder_ends
            && let Some(ladder) = self.ladders.front_mut()
        {
            ladder.rungs.clear();
        }
        if self.strategy == Strategy::Guided && own.name == "weight_scales" && told.is_kept && ratio < NOTHING {
            self.base[lever] = rung;
            self.effects[lever][rung] = None;
        }
    }

    /// What a rung brings by itself; between two that were tried, what lies between.
    fn effect(&self, lever: usize, rung: usize) -> Option<Effect> {
        if rung == self.base[lever] {
            return Some((0.0, 0.0));
        }
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
        let base = self.told_of(&self.base)?;
        let room = self.max_loss - base.loss?.max(0.0);
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

    /// The best point with one or two levers turned, which promises most: what it has come to is known, and effects say what
    /// changes.
    fn neighbor(&self) -> Option<Choice> {
        let (best, told) = self.best.as_ref()?;
        let room = self.max_loss - told.loss?;
        let changes: Vec<(usize, usize, Effect)> = (0..best.len())
            .flat_map(|lever| (0..self.levers.all[lever].n_rungs()).map(move |rung| (lever, rung)))
            .filter(|&(lever, rung)| rung != best[lever])
            .filter_map(|(lever, rung)| {
                let (now, then) = (self.effect(lever, best[lever])?, self.effect(lever, rung)?);
                Some((lever, rung, (then.0 - now.0, then.1 - now.1)))
            })
            .collect();
        let mut found: Option<(f64, Choice)> = None;
        let mut look = |turned: &[(usize, usize, Effect)]| {
            let ratio: f64 = turned.iter().map(|(.., effect)| effect.0).sum();
            let loss: f64 = turned.iter().map(|(.., effect)| effect.1).sum();
            if ratio > -NOTHING || loss > room || found.as_ref().is_some_and(|(least, _)| *least <= ratio) {
                return;
            }
            let mut choice = best.clone();
            turned.iter().for_each(|&(lever, rung, _)| choice[lever] = rung);
            if self.levers.canonical(choice.clone()) == choice && !self.told.contains_key(&choice) {
                found = Some((ratio, choice));
            }
        };
        for (idx, first) in changes.iter().enumerate() {
            look(&[*first]);
            changes[idx + 1..].iter().filter(|second| second.0 != first.0).for_each(|second| look(&[*first, *second]));
        }
        found.map(|(_, choice)| choice)
    }

    /// The choice without rungs with which nothing could run; a lever's first rung is where it is not turned.
    fn that_runs(&self, mut choice: Choice) -> Choice {
        for (runs, rung) in self.runs.iter().zip(&mut choice) {
            let [ran, failed] = runs[*rung];
            if ran == 0 && failed >= GIVEN_UP {
                *rung = 0;
            }
        }
        self.levers.canonical(choice)
    }

    /// The best point with one or two levers a rung further or back, drawn.
    fn near(&mut self) -> Option<Choice> {
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
            let choice = self.that_runs(choice);
            if !self.told.contains_key(&choice) {
                return Some(choice);
            }
        }
        None
    }

    fn drawn(&mut self) -> Option<Choice> {
        for _ in 0..1000 {
            let choice: Choice = self.levers.all.iter().map(|lever| self.draws.below(lever.n_rungs())).collect();
            let choice = self.that_runs(choice);
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
            let is_whole = || self.proposer.levers.canonical(choice.clone()) == *choice;
            if is_better && !self.proposer.told.contains_key(choice) && is_whole() {
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
            command: String::new(),
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
        Told { objective, loss: Some(loss), is_kept: loss <= 1.0 }
    }

    fn best_of(strategy: Strategy, n: usize) -> (f64, Vec<Choice>) {
        let levers = levers();
        let mut proposer = Proposer::new(strategy, &levers, 1.0, 7, Some(world(&levers, &levers.start())));
        let mut tried = Vec::new();
        while tried.len() < n {
            let Some(Proposed { choice, .. }) = proposer.next() else { break };
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
        assert!(guided.0 <= random.0 && guided.0 < single.0, "{} {} {}", guided.0, random.0, single.0);
        assert!(single.1.iter().all(|choice| choice.iter().filter(|rung| **rung > 0).count() == 1));
        // A ladder ends where the bound is broken: 10 rungs of filters would lose 5 points.
        let levers = levers();
        let filters = levers.all.iter().position(|lever| lever.name == "filters").unwrap();
        assert_eq!(single.1.iter().map(|choice| choice[filters]).max(), Some(5));
        assert_eq!(best_of(Strategy::Guided, 45).1, guided.1);
    }

    #[test]
    fn what_never_runs_is_given_up() {
        let levers = levers();
        let filters = levers.all.iter().position(|lever| lever.name == "filters").unwrap();
        let mut proposer = Proposer::new(Strategy::Random, &levers, 1.0, 7, Some(world(&levers, &levers.start())));
        let mut failed = vec![0; levers.all[filters].n_rungs()];
        for _ in 0..300 {
            let Some(Proposed { choice, .. }) = proposer.next() else { break };
            let told = (choice[filters] == 0).then(|| world(&levers, &choice));
            failed[choice[filters]] += usize::from(told.is_none());
            proposer.tell(&choice, told);
        }
        assert!(failed.iter().all(|n| *n <= GIVEN_UP) && failed.contains(&GIVEN_UP), "{failed:?}");
    }

    #[test]
    fn what_trains_comes_last_and_on_top_of_the_best() {
        let levers = levers();
        let is_trained = |choice: &Choice| levers.all.iter().zip(choice).any(|(own, &rung)| own.is_trained && rung > 0);
        let (_, tried) = best_of(Strategy::Guided, 60);
        let first = tried.iter().position(is_trained).unwrap();
        let n_alone = tried.iter().filter(|choice| choice.iter().filter(|rung| **rung > 0).count() == 1).count();
        assert!(first >= COMPOSED_FIRST && n_alone < first, "{first} {n_alone}");
        assert!(tried[first].iter().filter(|rung| **rung > 0).count() > 2, "{:?}", tried[first]);
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
