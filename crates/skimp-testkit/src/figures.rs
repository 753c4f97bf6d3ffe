//! Published figures beside ours, told apart by what a test of them shows.
//!
//! `figures.toml` lists every figure once; a test measures it and calls [`check`] with its name. `docs/published.md` is
//! written from the same list.

use std::fmt;

use toml::{Table, Value};

const FIGURES: &str = include_str!("../figures.toml");

/// How much a measured value may differ from the recorded one before the list is stale.
const MOVED: f64 = 0.01;

/// Widest tolerance of a figure that counts as reproduced.
pub const WIDEST_TOLERANCE: f64 = 0.1;

/// What a test of a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The source states the value, and ours lies within the tolerance of it.
    Reproduces,
    /// The source states an order, a sign or a range, and ours keeps it.
    Trend,
    /// Ours stands beside the source's and differs from it, for a stated reason; the test holds our own value only.
    Recorded,
}

impl Class {
    /// As in `figures.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Reproduces => "reproduces",
            Class::Trend => "trend",
            Class::Recorded => "recorded",
        }
    }
}

/// A published figure and ours.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name by which a test calls it, kebab-case.
    pub id: String,
    /// Design, method or library.
    pub design: String,
    /// What was measured, under which conditions.
    pub quantity: String,
    /// What a test of it shows.
    pub class: Class,
    /// As printed.
    pub published: String,
    /// The value that [`Class::Reproduces`] is held against.
    pub value: Option<f64>,
    /// Relative tolerance of [`Class::Reproduces`]; 0 is equality.
    pub tolerance: Option<f64>,
    /// Bounds of [`Class::Trend`], from the source.
    pub at_least: Option<f64>,
    /// The same.
    pub at_most: Option<f64>,
    /// What we found when the list was last written.
    pub ours: f64,
    /// Unit of `ours`; empty for ratios.
    pub unit: String,
    /// Authors, venue, year, place.
    pub source: String,
    /// Why the two differ; empty where they do not.
    pub gap: String,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}, published {}", self.id, self.class.name(), self.quantity, self.published)
    }
}

impl Figure {
    fn read(table: &Table) -> Figure {
        let text = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| table.get(key).and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));
        let class = match text("class").as_str() {
            "reproduces" => Class::Reproduces,
            "trend" => Class::Trend,
            "recorded" => Class::Recorded,
            other => panic!("figure {:?}: class {other:?}, expected reproduces, trend or recorded", text("id")),
        };
        Figure {
            id: text("id"),
            design: text("design"),
            quantity: text("quantity"),
            class,
            published: text("published"),
            value: number("value"),
            tolerance: number("tolerance"),
            at_least: number("at_least"),
            at_most: number("at_most"),
            ours: number("ours").unwrap_or(f64::NAN),
            unit: text("unit"),
            source: text("source"),
            gap: text("gap"),
        }
    }

    /// What is wrong with a measured value; `None` if it is what the list says.
    #[must_use]
    pub fn fault(&self, found: f64) -> Option<String> {
        let within = |expected: f64, share: f64| (found - expected).abs() <= share * expected.abs() + 1e-12;
        let kept = match self.class {
            Class::Reproduces => self.value.zip(self.tolerance).is_some_and(|(value, share)| within(value, share)),
            Class::Trend => {
                self.at_least.is_none_or(|least| found >= least) && self.at_most.is_none_or(|most| found <= most)
            }
            Class::Recorded => true,
        };
        if !kept {
            return Some(format!("{self}: found {found}, which is not what the source states"));
        }
        (!within(self.ours, MOVED)).then(|| format!("{self}: found {found}, {} is recorded: it moved", self.ours))
    }
}

/// Every figure, in the order of the list.
///
/// # Panics
/// If the list is no TOML, or of an unknown class.
#[must_use]
pub fn figures() -> Vec<Figure> {
    let list: Table = FIGURES.parse().unwrap_or_else(|error| panic!("figures.toml: {error}"));
    let figures = list.get("figure").and_then(Value::as_array).into_iter().flatten();
    figures.filter_map(Value::as_table).map(Figure::read).collect()
}

/// Holds measured values against the list, all of them before it fails.
///
/// # Panics
/// If a name is unknown, a reproduced value lies outside its tolerance, a trend is broken, or a value moved.
pub fn check(found: &[(&str, f64)]) {
    let all = figures();
    let fault = |&(id, found): &(&str, f64)| match all.iter().find(|figure| figure.id == id) {
        Some(figure) => figure.fault(found),
        None => Some(format!("{id}: found {found}, not in figures.toml")),
    };
    let faults: Vec<String> = found.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
