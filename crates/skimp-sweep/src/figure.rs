//! The figures of a point: what a sweep may minimize, maximize or bound.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A figure that points have, and a column of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Name in sweep files, and of the column.
    pub name: &'static str,
    /// Unit; empty for a share.
    pub unit: &'static str,
    /// The same with its unit, as constraints may call it.
    pub with_unit: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
}

/// Every figure, in the order of the store's columns.
pub static FIGURES: &[Figure] = &[
    Figure {
        name: "latency",
        unit: "ms",
        with_unit: "latency_ms",
        summary: "simulated time of one image, layers one after another, the mean over the images",
    },
    Figure {
        name: "energy",
        unit: "mJ",
        with_unit: "energy_mj",
        summary: "simulated energy of one image by the point's cost table, the mean over the images",
    },
    Figure {
        name: "area",
        unit: "mm2",
        with_unit: "area_mm2",
        summary: "area that the design states; none where it states none",
    },
    Figure {
        name: "top1",
        unit: "",
        with_unit: "top1_share",
        summary: "share of data.accuracy_images that the integer network classifies right, under the design's effect where it has one",
    },
    Figure {
        name: "model_bytes",
        unit: "",
        with_unit: "model_size_bytes",
        summary: "parameters: weight codes at their width, 4 bytes for each other one",
    },
    Figure {
        name: "cycles",
        unit: "",
        with_unit: "cycles_per_image",
        summary: "simulated cycles of one image, the mean over the images",
    },
    Figure {
        name: "measured_latency",
        unit: "ms",
        with_unit: "measured_latency_ms",
        summary: "median time of one image of the float network on this machine; measured only where a sweep asks for it",
    },
];

impl Figure {
    /// The figure of that name, with or without its unit, and its place among [`FIGURES`].
    ///
    /// # Errors
    /// The cause, with all names.
    pub fn find(name: &str) -> Result<(usize, &'static Figure), String> {
        let found = FIGURES.iter().enumerate().find(|(_, figure)| figure.name == name || figure.with_unit == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
            format!("\"{name}\" is no figure, expected one of: {}", names.join(", "))
        })
    }
}

/// A point's figures, by their places among [`FIGURES`]; `None` for one that was not worked out.
pub type Figures = [Option<f64>; 7];
const _: () = assert!(FIGURES.len() == 7, "as many figures as `Figures` holds");

/// A figure to be made small, or great where its name has a minus sign: `latency`, `-top1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    /// Place among [`FIGURES`].
    pub figure: usize,
    /// Whether more is better.
    pub maximize: bool,
}

impl Objective {
    /// The figure.
    #[must_use]
    pub fn figure(self) -> &'static Figure {
        &FIGURES[self.figure]
    }

    /// The figure of a point as something to be made small.
    #[must_use]
    pub fn cost(self, figures: &Figures) -> Option<f64> {
        let value = figures[self.figure].filter(|value| !value.is_nan())?;
        Some(if self.maximize { -value } else { value })
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, maximize) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        Ok(Self { figure: Figure::find(name)?.0, maximize })
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        format!("{}{}", if objective.maximize { "-" } else { "" }, objective.figure().name)
    }
}

/// A bound on a figure: `area_mm2 <= 5`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraint {
    figure: usize,
    sign: Sign,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    AtMost,
    Below,
    AtLeast,
    Above,
}

impl Sign {
    /// Longer ones first, so that `<` does not take what `<=` is.
    const ALL: [(Sign, &'static str); 4] =
        [(Sign::AtMost, "<="), (Sign::AtLeast, ">="), (Sign::Below, "<"), (Sign::Above, ">")];

    fn text(self) -> &'static str {
        Sign::ALL.iter().find(|(sign, _)| *sign == self).map_or("", |(_, text)| text)
    }
}

impl Constraint {
    /// Place of its figure among [`FIGURES`].
    #[must_use]
    pub fn figure(&self) -> usize {
        self.figure
    }

    /// By how much a point breaks it, relative to the bound; `None` where it keeps it. A figure that is not there breaks it
    /// beyond measure.
    #[must_use]
    pub fn violation(&self, figures: &Figures) -> Option<f64> {
        let Some(value) = figures[self.figure].filter(|value| !value.is_nan()) else { return Some(f64::INFINITY) };
        let is_kept = match self.sign {
            Sign::AtMost => value <= self.bound,
            Sign::Below => value < self.bound,
            Sign::AtLeast => value >= self.bound,
            Sign::Above => value > self.bound,
        };
        // A bound of 0 has no part of itself.
        let scale = if self.bound == 0.0 { 1.0 } else { self.bound.abs() };
        (!is_kept).then(|| ((value - self.bound).abs() / scale).max(f64::MIN_POSITIVE))
    }

    /// Why a point breaks it, for people; `None` where it keeps it.
    #[must_use]
    pub fn broken(&self, figures: &Figures) -> Option<String> {
        self.violation(figures)?;
        let figure = &FIGURES[self.figure];
        Some(match figures[self.figure] {
            Some(value) => {
                format!("{} is {value} {}, the sweep wants {}", figure.name, figure.unit, String::from(*self))
            }
            None => format!("it has no {}, the sweep wants {}", figure.name, String::from(*self)),
        })
    }
}

impl FromStr for Constraint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("\"{text}\" is no constraint, expected one such as \"area_mm2 <= 5\"");
        let found = Sign::ALL.iter().find_map(|&(sign, sign_text)| Some((sign, text.split_once(sign_text)?)));
        let (sign, (name, bound)) = found.ok_or_else(expected)?;
        let bound: f64 = bound.trim().parse().map_err(|_| expected())?;
        if !bound.is_finite() {
            return Err(expected());
        }
        Ok(Self { figure: Figure::find(name.trim())?.0, sign, bound })
    }
}

impl TryFrom<String> for Constraint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        format!("{} {} {}", FIGURES[constraint.figure].with_unit, constraint.sign.text(), constraint.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_and_constraints_read_back() {
        for text in ["latency", "-top1", "model_bytes"] {
            assert_eq!(String::from(text.parse::<Objective>().unwrap()), text);
        }
        assert_eq!("energy_mj".parse::<Objective>().unwrap(), "energy".parse().unwrap());
        let error = "-speed".parse::<Objective>().unwrap_err();
        assert!(error.contains("\"speed\"") && error.contains("measured_latency"), "{error}");
        for (text, shown) in [("area<=5", "area_mm2 <= 5"), ("top1 > 0.9", "top1_share > 0.9")] {
            assert_eq!(String::from(text.parse::<Constraint>().unwrap()), shown);
            assert_eq!(shown.parse::<Constraint>(), text.parse());
        }
        for text in ["area", "area <= x", "area <= inf", "weight <= 3", "area = 3"] {
            text.parse::<Constraint>().unwrap_err();
        }
    }

    #[test]
    fn constraints_judge_figures() {
        let figures: Figures = [Some(2.0), Some(0.5), None, Some(0.9), None, None, None];
        let violation = |text: &str| text.parse::<Constraint>().unwrap().violation(&figures);
        assert_eq!(violation("latency <= 2"), None);
        assert_eq!(violation("latency >= 2"), None);
        assert!(violation("latency < 2").is_some() && violation("latency > 2").is_some());
        assert_eq!(violation("latency <= 1"), Some(1.0));
        assert_eq!(violation("energy <= 0"), Some(0.5));
        assert_eq!(violation("area <= 5"), Some(f64::INFINITY));
        let broken = "latency <= 1".parse::<Constraint>().unwrap().broken(&figures).unwrap();
        assert_eq!(broken, "latency is 2 ms, the sweep wants latency_ms <= 1");
        assert_eq!("-top1".parse::<Objective>().unwrap().cost(&figures), Some(-0.9));
    }
}
