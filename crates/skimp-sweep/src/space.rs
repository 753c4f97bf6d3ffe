//! The design space of a sweep: assignments of values to axes, and the points that they make.

use skimp_sim::SimError;
use skimp_study::{Design, Designs, StepConfig, StudyError};
use toml::{Table, Value};

use crate::axis::{Axis, Domain, assign, lookup, shown};
use crate::config::SweepConfig;
use crate::error::SweepError;
use crate::point::{self, PointConfig};

/// Values of each axis; `None` where the axis is not there.
pub type Assignment = Vec<Option<Value>>;

/// How keys of a design's settings begin.
const SETTING: &str = "accelerator.set.";

/// Values of a long axis that are tried before the sweep: these many, evenly.
const TRIED: usize = 256;

/// The axes of a sweep over its base.
#[derive(Clone, Debug)]
pub struct Space {
    base: Table,
    axes: Vec<Axis>,
    /// Axes that points are searched along; those after them are keys of points of one's own.
    n_searched: usize,
    points: Vec<Assignment>,
    designs: Designs,
    /// The base as a point, where it is one: points that differ in settings of its design alone begin with it.
    whole: Option<PointConfig>,
}

impl Space {
    /// The space of a sweep. Every value of every axis is tried by itself.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming the key that names nothing, or the value that cannot be.
    pub fn new(sweep: &SweepConfig, designs: &Designs) -> Result<Self, SweepError> {
        let mut axes = Vec::new();
        for config in &sweep.axes {
            let axis = config.check()?;
            let wrong = |cause: String| SweepError::Axis { key: axis.name.clone(), value: None, cause };
            if axes.iter().any(|other: &Axis| other.name == axis.name) {
                return Err(wrong("two axes have this name".to_owned()));
            }
            let known = |key: &String| axes.iter().any(|other: &Axis| other.keys.contains(key) || other.name == *key);
            if let Some((key, _)) =
                axis.when.iter().find(|(key, _)| !known(key) && lookup(&sweep.base(), &full_key(key)).is_none())
            {
                return Err(wrong(format!("it depends on \"{key}\", which is no key of an axis before it")));
            }
            axes.push(axis);
        }
        let n_searched = axes.len();
        for key in sweep.points.iter().flat_map(Table::keys) {
            if !axes.iter().any(|axis| axis.name == *key) {
                let domain = Domain::Values(Vec::new());
                axes.push(Axis { name: key.clone(), keys: vec![key.clone()], domain, when: Vec::new() });
            }
        }
        let of_point = |point: &Table| axes.iter().map(|axis| point.get(&axis.name).cloned()).collect();
        let points = sweep.points.iter().map(of_point).collect();
        let mut space = Self { base: sweep.base(), axes, n_searched, points, designs: designs.clone(), whole: None };
        space.whole = space.resolved(&vec![None; space.axes.len()]).ok();
        space.check()?;
        Ok(space)
    }

    /// All axes: those that are searched, and then keys that points of one's own have beside them.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The axes that points are searched along.
    #[must_use]
    pub fn searched(&self) -> &[Axis] {
        &self.axes[..self.n_searched]
    }

    /// Points of one's own.
    #[must_use]
    pub fn own_points(&self) -> &[Assignment] {
        &self.points
    }

    /// The models that names of accelerators stand for.
    #[must_use]
    pub fn designs(&self) -> &Designs {
        &self.designs
    }

    /// The values of the searched axes that `value` gives, one after another; those whose conditions do not hold are left
    /// out. The value of an axis may depend on what is set before it.
    pub fn assign(&self, mut value: impl FnMut(usize, &Axis) -> Value) -> Assignment {
        let mut config = self.base.clone();
        let mut assignment = Vec::with_capacity(self.axes.len());
        for (idx, axis) in self.searched().iter().enumerate() {
            // Drawn even where the axis is not there: what comes after does not depend on it.
            let value = value(idx, axis);
            let is_there = self.is_there(axis, &config);
            if is_there {
                // A value that does not fit has been told of before the sweep.
                let _ = self.set(&mut config, axis, &value);
            }
            assignment.push(is_there.then_some(value));
        }
        assignment.resize(self.axes.len(), None);
        assignment
    }

    /// All points of the grid, the last axis fastest.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming an axis that is a range without a count.
    pub fn grid(&self) -> Result<Vec<Assignment>, SweepError> {
        let mut all = Vec::new();
        if self.n_searched > 0 {
            self.extend_grid(&mut Vec::new(), self.base.clone(), &mut all)?;
        }
        Ok(all)
    }

    fn extend_grid(&self, begun: &mut Assignment, config: Table, all: &mut Vec<Assignment>) -> Result<(), SweepError> {
        let Some(axis) = self.searched().get(begun.len()) else {
            let mut point = begun.clone();
            point.resize(self.axes.len(), None);
            all.push(point);
            return Ok(());
        };
        let Domain::Values(values) = &axis.domain else {
            let cause = "a grid needs its values, or a count; other methods draw from a range".to_owned();
            return Err(SweepError::Axis { key: axis.name.clone(), value: None, cause });
        };
        if !self.is_there(axis, &config) {
            begun.push(None);
            self.extend_grid(begun, config, all)?;
            begun.pop();
            return Ok(());
        }
        for value in values {
            let mut config = config.clone();
            self.set(&mut config, axis, value)?;
            begun.push(Some(value.clone()));
            self.extend_grid(begun, config, all)?;
            begun.pop();
        }
        Ok(())
    }

    fn is_there(&self, axis: &Axis, config: &Table) -> bool {
        axis.when.iter().all(|(key, values)| {
            let own = self.axes.iter().find(|other| other.name == *key).map_or(key, |other| &other.keys[0]);
            lookup(config, &full_key(own)).is_some_and(|value| values.contains(value))
        })
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the space")]
    fn set(&self, config: &mut Table, axis: &Axis, value: &Value) -> Result<(), SweepError> {
        for key in &axis.keys {
            point::set(config, key, value).map_err(|cause| SweepError::Axis {
                key: key.clone(),
                value: Some(shown(value)),
                cause,
            })?;
        }
        Ok(())
    }

    /// The configuration of a point. Designs are chosen before their settings, whatever the order of the axes.
    ///
    /// # Errors
    /// [`SweepError::Axis`] naming a key or a value.
    pub fn config(&self, assignment: &Assignment) -> Result<PointConfig, SweepError> {
        let setting = |axis: &Axis| match &axis.keys[..] {
            [key] => key.strip_prefix(SETTING).map(str::to_owned),
            _ => None,
        };
        if let Some(whole) = &self.whole {
            let set =
                self.axes.iter().zip(assignment).filter_map(|(axis, value)| Some((setting(axis), value.as_ref()?)));
            let set: Option<Vec<(String, &Value)>> = set.map(|(key, value)| Some((key?, value))).collect();
            if let Some(set) = set {
                let mut config = whole.clone();
                for (key, value) in set {
                    assign(&mut config.accelerator.set, &key, value.clone()).map_err(|cause| SweepError::Axis {
                        key: key.clone(),
                        value: Some(shown(value)),
                        cause,
                    })?;
                }
                return Ok(config);
            }
        }
        self.resolved(assignment)
    }

    fn resolved(&self, assignment: &Assignment) -> Result<PointConfig, SweepError> {
        let mut table = self.base.clone();
        if let Some(reduction) = table.remove("reduction") {
            point::set(&mut table, "reduction", &reduction).map_err(|cause| SweepError::Axis {
                key: "reduction".to_owned(),
                value: None,
                cause,
            })?;
        }
        let is_setting = |axis: &Axis| axis.keys.iter().any(|key| key.starts_with("accelerator.set"));
        for settings in [false, true] {
            for (axis, value) in self.axes.iter().zip(assignment).filter(|(axis, _)| is_setting(axis) == settings) {
                if let Some(value) = value {
                    self.set(&mut table, axis, value)?;
                }
            }
        }
        table.try_into().map_err(|error: toml::de::Error| {
            let key =
                self.axes.iter().zip(assignment).find(|(_, value)| value.is_some()).map(|(axis, _)| axis.name.clone());
            SweepError::Axis { key: key.unwrap_or_default(), value: None, cause: error.message().to_owned() }
        })
    }

    /// The design of a point.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming the model or the setting.
    pub fn design(&self, config: &PointConfig) -> Result<Design, StudyError> {
        self.designs.configure(&config.accelerator)
    }

    /// Tries every value by itself, and every point of one's own.
    fn check(&self) -> Result<(), SweepError> {
        self.tried().into_iter().try_for_each(|(idx, point)| self.try_point(&point, idx))
    }

    /// Points that try one thing each: every value of every axis by itself, the conditions of the axis given, and every point
    /// of one's own; with the axis that is at fault where such a point cannot be.
    pub(crate) fn tried(&self) -> Vec<(usize, Assignment)> {
        let mut tried = Vec::new();
        for (idx, axis) in self.searched().iter().enumerate() {
            let values: Vec<Value> = match &axis.domain {
                Domain::Values(values) => {
                    let step = values.len().div_ceil(TRIED).max(1);
                    values.iter().step_by(step).cloned().collect()
                }
                range => vec![range.at_share(0.0), range.at_share(1.0)],
            };
            for value in values {
                let mut alone: Assignment = vec![None; self.axes.len()];
                for (before, other) in self.axes[..idx].iter().enumerate() {
                    let asked = axis.when.iter().find(|(key, _)| other.keys.contains(key) || other.name == *key);
                    alone[before] = match (asked, &other.domain) {
                        (Some((_, values)), _) => values.first().cloned(),
                        // What the base lacks an axis brings.
                        (None, domain) if is_design(other) && self.lacks_design() => Some(domain.at_share(0.0)),
                        _ => None,
                    };
                }
                alone[idx] = Some(value);
                tried.push((idx, alone));
            }
        }
        let own = self.points.iter().filter_map(|point| Some((point.iter().position(Option::is_some)?, point.clone())));
        tried.extend(own);
        for (idx, point) in &mut tried {
            // Axes after this one may bring what the base lacks.
            for (later, axis) in self.searched().iter().enumerate().skip(*idx + 1) {
                if point[later].is_none() && axis.when.is_empty() && is_design(axis) && self.lacks_design() {
                    point[later] = Some(axis.domain.at_share(0.0));
                }
            }
        }
        tried
    }

    /// The base as a point, where it is one.
    pub(crate) fn whole(&self) -> Option<&PointConfig> {
        self.whole.as_ref()
    }

    /// Whether an axis sets a key that begins with one of `beginnings`.
    pub(crate) fn varies(&self, beginnings: &[&str]) -> bool {
        let mut keys = self.axes.iter().flat_map(|axis| &axis.keys);
        keys.any(|key| beginnings.iter().any(|beginning| full_key(key).starts_with(beginning)))
    }

    fn lacks_design(&self) -> bool {
        lookup(&self.base, "accelerator.model").is_none()
    }

    /// What is wrong with a point that tries axis `idx`.
    pub(crate) fn at_fault(&self, assignment: &Assignment, idx: usize, cause: String) -> SweepError {
        let value = assignment[idx].as_ref().map(shown);
        SweepError::Axis { key: self.axes[idx].name.clone(), value, cause }
    }

    /// Checks a point that tries axis `idx`.
    fn try_point(&self, assignment: &Assignment, idx: usize) -> Result<(), SweepError> {
        let at = |cause: String| self.at_fault(assignment, idx, cause);
        let config = self.config(assignment).map_err(|error| match error {
            SweepError::Axis { cause, .. } => at(cause),
            other => other,
        })?;
        config.quantization.check().map_err(|error| at(error.to_string()))?;
        config.widths.check_range().map_err(|error| at(error.to_string()))?;
        config.reduction.iter().try_for_each(StepConfig::check).map_err(at)?;
        config.costs.check().map_err(|error| at(error.to_string()))?;
        if config.data.images == 0 {
            return Err(at("0 images, expected at least 1 whose operand values drive the models".to_owned()));
        }
        if config.accelerator.model.is_empty() {
            return Err(at("there is no accelerator: give [accelerator] model, or an axis of it".to_owned()));
        }
        self.design(&config).map(drop).map_err(|error| at(self.hint(&error)))
    }

    /// A design's error, with the way out where a setting is another design's.
    fn hint(&self, error: &StudyError) -> String {
        let several = self.axes.iter().any(is_design);
        match error {
            StudyError::Sim(SimError::UnknownSetting { .. }) if several => {
                format!("{error}; an axis of one design's setting needs when = {{ accelerator = \"NAME\" }}")
            }
            error => error.to_string(),
        }
    }
}

fn is_design(axis: &Axis) -> bool {
    axis.keys.iter().any(|key| full_key(key) == "accelerator.model")
}

/// A key, written out where it stands for one key of a section.
fn full_key(key: &str) -> String {
    point::SHORT
        .iter()
        .find(|(section, _)| *section == key)
        .map_or_else(|| key.to_owned(), |(section, inner)| format!("{section}.{inner}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn space(axes: &str) -> Result<Space, SweepError> {
        let text = format!("schema = 1\nname = \"s\"\nstudy = \"sample\"\n[accelerator]\nmodel = \"compend\"\n{axes}");
        Space::new(&SweepConfig::parse(&text, "s.toml", Path::new("")).unwrap(), &Designs::embedded())
    }

    const TWO: &str = "[[axes]]\nkey = \"accelerator\"\nvalues = [\"compend\", \"eyeriss\"]\n\
        [[axes]]\nkey = \"accelerator.set.pu_rows\"\nvalues = [1, 2, 3]\nwhen = { accelerator = \"compend\" }\n\
        [[axes]]\nkey = [\"quantization.weight_bits\", \"quantization.activation_bits\"]\nname = \"bits\"\nvalues = [8, 16]\n";

    #[test]
    fn a_grid_has_an_axis_only_where_it_is_there() {
        let space = space(TWO).unwrap();
        let grid = space.grid().unwrap();
        assert_eq!(grid.len(), 2 * 3 + 2);
        let last = space.config(&grid[7]).unwrap();
        assert_eq!((last.accelerator.model.as_str(), last.accelerator.set.len()), ("eyeriss", 0));
        assert_eq!((last.quantization.weight_bits, last.quantization.activation_bits), (16, 16));
        let first = space.config(&grid[0]).unwrap();
        assert_eq!(first.accelerator.set["pu_rows"], Value::Integer(1));
        // A drawn point keeps the same rules.
        let drawn = space.assign(|_, axis| axis.domain.at_share(1.0));
        assert_eq!(drawn, grid[7]);
    }

    #[test]
    fn the_short_way_to_a_point_is_the_long_one() {
        let settings = "[[axes]]\nkey = \"accelerator.set.pu_rows\"\nvalues = [1, 2]\n\
            [[axes]]\nkey = \"accelerator.set.end\"\nvalues = [true, false]\n";
        let space = space(settings).unwrap();
        for point in space.grid().unwrap() {
            assert_eq!(space.config(&point).unwrap(), space.resolved(&point).unwrap());
        }
    }

    #[test]
    fn axes_that_name_nothing_are_refused() {
        for (axes, message) in [
            ("[[axes]]\nkey = \"accelerator.set.pe_rows\"\nvalues = [1]", "axis \"accelerator.set.pe_rows\" = 1"),
            ("[[axes]]\nkey = \"accelerator.set.pu_rows\"\nvalues = [1, 0]", "axis \"accelerator.set.pu_rows\" = 0"),
            ("[[axes]]\nkey = \"accelerator\"\nvalues = [\"compent\"]", "did you mean \"compend\""),
            ("[[axes]]\nkey = \"quantization.bits\"\nvalues = [4]", "unknown field `bits`"),
            (
                "[[axes]]\nkey = \"quantization.weight_bits\"\nvalues = [4, 40]",
                "axis \"quantization.weight_bits\" = 40",
            ),
            (
                "[[axes]]\nkey = \"widths.weight_bits.conv1\"\nvalues = [4, 40]",
                "axis \"widths.weight_bits.conv1\" = 40: ",
            ),
            ("[[axes]]\nkey = \"speed\"\nvalues = [4]", "no such key"),
            (
                "[[axes]]\nkey = \"reduction\"\nvalues = [\"none\", \"hugo:x=1\"]",
                "axis \"reduction\" = hugo:x=1: prune is",
            ),
            ("[[axes]]\nkey = \"costs\"\nvalues = [\"common\", \"nope\"]", "axis \"costs\" = nope: "),
            ("[[axes]]\nkey = \"data.images\"\nvalues = [0, 1]", "axis \"data.images\" = 0: 0 images"),
            ("[[axes]]\nkey = \"data.seed\"\nvalues = [4]\nwhen = { bits = 3 }", "depends on \"bits\""),
            (
                "[[axes]]\nkey = \"data.seed\"\nvalues = [4]\n[[axes]]\nkey = \"data.seed\"\nvalues = [5]",
                "two axes have this name",
            ),
            (
                "[[axes]]\nkey = \"accelerator\"\nvalues = [\"eyeriss\"]\n[[points]]\naccelerator = \"eyeriss\"\n\"accelerator.set.pu_rows\" = 2",
                "needs when",
            ),
        ] {
            let error = space(axes).unwrap_err();
            assert!(error.to_string().contains(message) && error.is_usage(), "{axes}: {error}");
        }
        let error = space("[[axes]]\nkey = \"data.seed\"\nfrom = 1\nto = 4").unwrap().grid().unwrap_err().to_string();
        assert!(error.contains("a grid needs its values"), "{error}");
    }

    #[test]
    fn points_of_ones_own_bring_keys() {
        let space =
            space("[[points]]\n\"accelerator.set.pu_rows\" = 2\n[[points]]\naccelerator = \"eyeriss\"\n").unwrap();
        assert!(space.grid().unwrap().is_empty() && space.axes().len() == 2);
        let models: Vec<String> =
            space.own_points().iter().map(|point| space.config(point).unwrap().accelerator.model).collect();
        assert_eq!(models, ["compend", "eyeriss"]);
    }
}
