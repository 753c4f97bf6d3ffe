//! The elitist non-dominated sorting genetic algorithm, NSGA-II, with constraints.
//!
//! # Source
//! Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on
//! Evolutionary Computation 6(2), 2002.
//! Differs: genes are shares of their axes, crossed over axis by axis (uniform crossover) rather than by simulated binary
//! crossover, and changed to the value beside, or at one time in four to any value, rather than by polynomial mutation:
//! axes of designs are lists. A child that was there before is drawn again, some times.

use std::cmp::Ordering;
use std::collections::HashSet;

use skimp_numerics::rng::{Draws, stream, uniform_f64};

use super::{Aims, Method, Search, SearchConfig, dominates, need_axes};
use crate::axis::Domain;
use crate::error::SweepError;
use crate::figure::Figures;
use crate::space::{Assignment, Space};

#[derive(Debug)]
pub(super) struct Evolution;

impl Method for Evolution {
    fn name(&self) -> &'static str {
        "evolution"
    }

    fn summary(&self) -> &'static str {
        "NSGA-II: search.generations of search.points each, towards the objectives within the constraints"
    }

    fn is_planned(&self) -> bool {
        false
    }

    fn begin<'s>(
        &self,
        space: &'s Space,
        config: &SearchConfig,
        aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError> {
        need_axes(space, self)?;
        Ok(Box::new(Population {
            space,
            config: config.clone(),
            aims: aims.clone(),
            generation: 0,
            parents: Vec::new(),
            children: Vec::new(),
            seen: HashSet::new(),
        }))
    }
}

/// How often a child that was there before is drawn again.
const REDRAWS: usize = 20;

/// One point: a share of each axis, and what it brought.
#[derive(Clone, Debug)]
struct Individual {
    genes: Vec<f64>,
    /// `None` for a point that failed or lacks an objective.
    costs: Option<Vec<f64>>,
    violation: f64,
    rank: usize,
    crowding: f64,
}

impl Individual {
    fn new(genes: Vec<f64>) -> Self {
        Self { genes, costs: None, violation: f64::INFINITY, rank: 0, crowding: 0.0 }
    }

    /// Whether it comes before `other`: within the constraints, or less outside, or nowhere worse.
    fn beats(&self, other: &Individual) -> bool {
        match (&self.costs, &other.costs) {
            (Some(_), None) => true,
            (None, _) => false,
            (Some(own), Some(costs)) => match self.violation.total_cmp(&other.violation) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal => dominates(own, costs),
            },
        }
    }
}

struct Population<'s> {
    space: &'s Space,
    config: SearchConfig,
    aims: Aims,
    generation: usize,
    parents: Vec<Individual>,
    children: Vec<Individual>,
    /// Points that were asked for, as text.
    seen: HashSet<String>,
}

impl Population<'_> {
    fn assignment(&self, genes: &[f64]) -> Assignment {
        self.space.assign(|axis, own| own.domain.at_share(genes[axis]))
    }

    /// A child of two parents that win against others.
    fn child(&self, draws: &mut Draws) -> Vec<f64> {
        let mut parent = || {
            let (a, b) = (draws.below(self.parents.len()), draws.below(self.parents.len()));
            let (own, other) = (&self.parents[a], &self.parents[b]);
            let is_better = own.rank < other.rank || own.rank == other.rank && own.crowding >= other.crowding;
            if is_better { own } else { other }
        };
        let (mother, father) = (parent(), parent());
        let mut genes: Vec<f64> = mother
            .genes
            .iter()
            .zip(&father.genes)
            .map(|(&own, &other)| if draws.chance(0.5) { own } else { other })
            .collect();
        let rate = 1.0 / genes.len() as f64;
        for (gene, axis) in genes.iter_mut().zip(self.space.searched()) {
            if draws.chance(rate) {
                let any = (draws.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                *gene = match &axis.domain {
                    _ if draws.chance(0.25) => any,
                    Domain::Values(values) => {
                        let step = if any < 0.5 { -1.0 } else { 1.0 };
                        let n = values.len() as f64;
                        (((*gene * n).floor() + 0.5 + step) / n).clamp(0.0, 1.0 - 0.5 / n)
                    }
                    Domain::Range { .. } => (*gene + 0.1 * draws.normal()).clamp(0.0, 1.0),
                };
            }
        }
        genes
    }
}

impl Search for Population<'_> {
    fn ask(&mut self) -> Vec<Assignment> {
        if self.generation == self.config.generations {
            return Vec::new();
        }
        let n_axes = self.space.searched().len();
        let of_generation = stream("sweep/evolution").wrapping_add(self.generation as u64);
        let mut points = Vec::with_capacity(self.config.points);
        for idx in 0..self.config.points {
            let mut draws =
                Draws::new(self.config.seed, of_generation ^ (idx as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for attempt in 0..=REDRAWS {
                let genes = if self.parents.is_empty() {
                    let draw = |axis| {
                        uniform_f64(
                            self.config.seed,
                            of_generation,
                            ((idx * (REDRAWS + 1) + attempt) * n_axes + axis) as u64,
                        )
                    };
                    (0..n_axes).map(draw).collect()
                } else {
                    self.child(&mut draws)
                };
                let point = self.assignment(&genes);
                let is_new = self.seen.insert(format!("{point:?}"));
                if is_new || attempt == REDRAWS {
                    points.push(point);
                    self.children.push(Individual::new(genes));
                    break;
                }
            }
        }
        self.generation += 1;
        points
    }

    fn tell(&mut self, results: &[Option<Figures>]) {
        for (child, figures) in self.children.iter_mut().zip(results) {
            child.costs = figures.as_ref().and_then(|figures| self.aims.costs(figures));
            child.violation = figures.as_ref().map_or(f64::INFINITY, |figures| self.aims.violation(figures));
        }
        self.parents.append(&mut self.children);
        self.parents = survivors(std::mem::take(&mut self.parents), self.config.points);
    }

    fn n_points(&self) -> usize {
        self.config.points.saturating_mul(self.config.generations)
    }
}

/// The best `n` by front and, within a front, by room around them.
fn survivors(mut all: Vec<Individual>, n: usize) -> Vec<Individual> {
    let ranks = ranks(&all);
    for (individual, rank) in all.iter_mut().zip(&ranks) {
        individual.rank = *rank;
    }
    let n_ranks = ranks.iter().max().map_or(0, |last| last + 1);
    for rank in 0..n_ranks {
        let front: Vec<usize> = (0..all.len()).filter(|&idx| ranks[idx] == rank).collect();
        for (idx, room) in front.iter().zip(crowding(&all, &front)) {
            all[*idx].crowding = room;
        }
    }
    // Stable: of equal ones the older stays.
    all.sort_by(|a, b| a.rank.cmp(&b.rank).then(b.crowding.total_cmp(&a.crowding)));
    all.truncate(n);
    all
}

/// The front of each, 0 for those that none beats.
fn ranks(all: &[Individual]) -> Vec<usize> {
    let n = all.len();
    let mut beaten_by = vec![0_usize; n];
    let mut beats: Vec<Vec<usize>> = vec![Vec::new(); n];
    for a in 0..n {
        for b in (0..n).filter(|&b| b != a) {
            if all[a].beats(&all[b]) {
                beats[a].push(b);
                beaten_by[b] += 1;
            }
        }
    }
    let mut ranks = vec![0; n];
    let mut front: Vec<usize> = (0..n).filter(|&idx| beaten_by[idx] == 0).collect();
    let mut rank = 0;
    while !front.is_empty() {
        let mut next = Vec::new();
        for &idx in &front {
            ranks[idx] = rank;
            for &other in &beats[idx] {
                beaten_by[other] -= 1;
                if beaten_by[other] == 0 {
                    next.push(other);
                }
            }
        }
        next.sort_unstable();
        front = next;
        rank += 1;
    }
    ranks
}

/// The room around each of a front, as the sum over objectives of the distance between its neighbours; without bound for
/// those at the ends.
fn crowding(all: &[Individual], front: &[usize]) -> Vec<f64> {
    let mut room = vec![0.0; front.len()];
    let n_objectives = front.iter().find_map(|&idx| all[idx].costs.as_ref()).map_or(0, Vec::len);
    for objective in 0..n_objectives {
        let cost = |place: usize| all[front[place]].costs.as_ref().map_or(f64::INFINITY, |costs| costs[objective]);
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        let (Some(&first), Some(&last)) = (order.first(), order.last()) else { continue };
        let extent = cost(last) - cost(first);
        (room[first], room[last]) = (f64::INFINITY, f64::INFINITY);
        if extent.is_finite() && extent > 0.0 {
            for three in order.windows(3) {
                room[three[1]] += (cost(three[2]) - cost(three[0])) / extent;
            }
        }
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SweepConfig;
    use skimp_study::Designs;
    use std::path::Path;

    fn individual(costs: Option<[f64; 2]>, violation: f64) -> Individual {
        Individual { costs: costs.map(|costs| costs.to_vec()), violation, ..Individual::new(vec![0.0]) }
    }

    #[test]
    fn fronts_are_those_of_the_definition() {
        let all = [
            individual(Some([1.0, 4.0]), 0.0),
            individual(Some([2.0, 2.0]), 0.0),
            individual(Some([2.0, 2.0]), 0.0),
            individual(Some([3.0, 3.0]), 0.0),
            individual(Some([0.0, 0.0]), 0.5),
            individual(None, f64::INFINITY),
        ];
        assert_eq!(ranks(&all), [0, 0, 0, 1, 2, 3]);
        // Draws, compared with the definition by peeling.
        let mut draws = Draws::new(3, 4);
        let drawn: Vec<Individual> =
            (0..60).map(|_| individual(Some([draws.below(8) as f64, draws.below(8) as f64]), 0.0)).collect();
        let mut left: Vec<usize> = (0..drawn.len()).collect();
        let found = ranks(&drawn);
        for rank in 0.. {
            let (front, rest): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|&&a| !left.iter().any(|&b| drawn[b].beats(&drawn[a])));
            assert!(front.iter().all(|&idx| found[idx] == rank));
            left = rest;
            if left.is_empty() {
                break;
            }
        }
    }

    /// On a plane whose front is known the search finds nearly all of it with a fraction of the points, and more than random
    /// draws of the same number.
    #[test]
    fn the_search_finds_a_front() {
        let axes: String = ["data.seed", "data.accuracy_images", "data.tuning_images"]
            .map(|key| format!("[[axes]]\nkey = \"{key}\"\nfrom = 0\nto = 31\ncount = 32\n"))
            .concat();
        let text = |method: &str, points| {
            format!(
                "schema = 1\nname = \"s\"\nstudy = \"sample\"\n[search]\nmethod = \"{method}\"\npoints = {points}\ngenerations = 20\n{axes}"
            )
        };
        // Minimal where the third value is 0 and the others add up to 31.
        let costs = |point: &Assignment| -> Figures {
            let value = |idx: usize| point[idx].as_ref().unwrap().as_integer().unwrap() as f64;
            let (x, y, z) = (value(0), value(1), value(2));
            let off = 4.0 * z + (x + y - 31.0).abs();
            let mut figures = Figures::default();
            (figures[0], figures[1]) = (Some(x + off), Some(31.0 - x + off));
            figures
        };
        let front = |method: &str, points: usize| {
            let sweep = SweepConfig::parse(&text(method, points), "s", Path::new("")).unwrap();
            let space = Space::new(&sweep, &Designs::embedded()).unwrap();
            let aims = Aims { objectives: sweep.objectives.clone(), constraints: Vec::new() };
            let method = crate::search::find(&sweep.search.method).unwrap();
            let mut search = method.begin(&space, &sweep.search, &aims).unwrap();
            let (mut found, mut asked) = (HashSet::new(), Vec::new());
            loop {
                let points = search.ask();
                if points.is_empty() {
                    break;
                }
                let results: Vec<_> = points.iter().map(|point| Some(costs(point))).collect();
                let best =
                    results.iter().flatten().filter(|figures| (figures[0].unwrap() + figures[1].unwrap()) as i64 == 31);
                found.extend(best.map(|figures| figures[0].unwrap() as i64));
                search.tell(&results);
                asked.extend(points);
            }
            (found.len(), asked)
        };
        let (evolved, asked) = front("evolution", 40);
        let (drawn, _) = front("random", 800);
        assert_eq!(asked.len(), 800);
        assert!(evolved >= 16 && evolved > 4 * drawn, "{evolved} of 32 evolved, {drawn} drawn");
        assert_eq!(front("evolution", 40).1, asked);
    }
}
