//! How the points of a sweep are chosen: methods that ask for points and are told what these brought.

mod evolution;
mod grid;
mod latin_hypercube;
mod listed;
mod random;

use serde::{Deserialize, Serialize};

use crate::error::SweepError;
use crate::figure::{Constraint, Figures, Objective};
use crate::space::{Assignment, Space};

/// How points are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SearchFile")]
pub struct SearchConfig {
    /// One of [`METHODS`].
    pub method: String,
    /// Points of methods that draw; of the evolution, those of one generation.
    pub points: usize,
    /// Generations of the evolution, the first one included.
    pub generations: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// The form in a file, before its method is known to be one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SearchFile {
    method: String,
    points: usize,
    generations: usize,
    seed: u64,
}

impl Default for SearchFile {
    fn default() -> Self {
        Self { method: "grid".to_owned(), points: 64, generations: 10, seed: 1 }
    }
}

impl Default for SearchConfig {
    /// A grid; where a method draws, 64 points of seed 1, and 10 generations.
    fn default() -> Self {
        let SearchFile { method, points, generations, seed } = SearchFile::default();
        Self { method, points, generations, seed }
    }
}

impl TryFrom<SearchFile> for SearchConfig {
    type Error = String;

    fn try_from(SearchFile { method, points, generations, seed }: SearchFile) -> Result<Self, String> {
        find(&method)?;
        for (key, found) in [("points", points), ("generations", generations)] {
            if !(1..=MAX_POINTS).contains(&found) {
                return Err(format!("search.{key} is {found}, expected 1 to {MAX_POINTS}"));
            }
        }
        // TOML has no greater numbers.
        if i64::try_from(seed).is_err() {
            return Err(format!("search.seed is {seed}, expected at most {}", i64::MAX));
        }
        Ok(Self { method, points, generations, seed })
    }
}

/// The most points that a method draws.
const MAX_POINTS: usize = 10_000_000;

/// A way to choose points.
pub trait Method: Sync + std::fmt::Debug {
    /// Name in sweep files.
    fn name(&self) -> &'static str;

    /// What it does, in a line.
    fn summary(&self) -> &'static str;

    /// Whether all points are known before the first one has run, so that shards can share them out.
    fn is_planned(&self) -> bool {
        true
    }

    /// A search of `space` for these aims.
    ///
    /// # Errors
    /// [`SweepError`] if it cannot search this space.
    fn begin<'s>(
        &self,
        space: &'s Space,
        config: &SearchConfig,
        aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError>;
}

/// A search that has begun. Its points depend on the space, the settings and what it was told, and on nothing else.
pub trait Search: Send {
    /// The next points; none where it has ended.
    fn ask(&mut self) -> Vec<Assignment>;

    /// What the points of the last [`ask`](Self::ask) brought, in their order; `None` for one that failed.
    fn tell(&mut self, results: &[Option<Figures>]);

    /// Points that it will ask for in all, where it knows.
    fn n_points(&self) -> usize;
}

/// Every method, in the order of `skimp list search-methods`.
pub static METHODS: &[&dyn Method] =
    &[&grid::Grid, &listed::Listed, &random::Random, &latin_hypercube::LatinHypercube, &evolution::Evolution];

/// The method of that name.
///
/// # Errors
/// The cause, with all names.
pub fn find(name: &str) -> Result<&'static dyn Method, String> {
    METHODS.iter().find(|method| method.name() == name).copied().ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|method| method.name()).collect();
        format!("search.method is \"{name}\", expected one of: {}", names.join(", "))
    })
}

/// What a search is after.
#[derive(Clone, Debug, PartialEq)]
pub struct Aims {
    /// Figures to be made small or great.
    pub objectives: Vec<Objective>,
    /// Bounds to be kept.
    pub constraints: Vec<Constraint>,
}

impl Aims {
    /// A point's objectives, all to be made small; `None` where one of them is missing.
    #[must_use]
    pub fn costs(&self, figures: &Figures) -> Option<Vec<f64>> {
        self.objectives.iter().map(|objective| objective.cost(figures)).collect()
    }

    /// By how much a point breaks the constraints, all together; 0 where it keeps them.
    #[must_use]
    pub fn violation(&self, figures: &Figures) -> f64 {
        self.constraints.iter().filter_map(|constraint| constraint.violation(figures)).sum()
    }

    /// Why a point breaks them, for people; `None` where it keeps all.
    #[must_use]
    pub fn broken(&self, figures: &Figures) -> Option<String> {
        let broken: Vec<String> = self.constraints.iter().filter_map(|constraint| constraint.broken(figures)).collect();
        (!broken.is_empty()).then(|| broken.join("; "))
    }
}

/// Whether costs `a` are nowhere greater than `b` and somewhere less.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(a, b)| a <= b) && pairs().any(|(a, b)| a < b)
}

/// Points that are all asked for at once.
#[derive(Debug)]
struct AtOnce(Option<Vec<Assignment>>, usize);

impl AtOnce {
    fn new(points: Vec<Assignment>) -> Self {
        let n_points = points.len();
        Self(Some(points), n_points)
    }
}

impl Search for AtOnce {
    fn ask(&mut self) -> Vec<Assignment> {
        self.0.take().unwrap_or_default()
    }

    fn tell(&mut self, _results: &[Option<Figures>]) {}

    fn n_points(&self) -> usize {
        self.1
    }
}

/// Refuses a space without axes, in which there is nothing to draw.
fn need_axes(space: &Space, method: &dyn Method) -> Result<(), SweepError> {
    if !space.searched().is_empty() {
        return Ok(());
    }
    let cause = format!("search.method \"{}\" draws along axes, and there is no [[axes]] entry", method.name());
    Err(SweepError::Invalid { path: "sweep".into(), cause })
}
