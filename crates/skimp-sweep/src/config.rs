//! Sweep files: what every point has, axes, points of one's own, how they are searched, objectives and constraints.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skimp_study::{AcceleratorsPlan, Designs, StudyConfig, StudyOverrides, overlay};
use toml::{Table, Value};

use crate::axis::AxisConfig;
use crate::embedded;
use crate::error::SweepError;
use crate::figure::{Constraint, Objective};
use crate::point::{PointConfig, SECTIONS};
use crate::search::SearchConfig;

/// Version of the sweep file's format.
pub const SWEEP_SCHEMA: u32 = 1;

/// Most bytes of a sweep file.
const MAX_BYTES: u64 = 64 << 20;

/// A sweep: read from TOML, unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepConfig {
    /// Format version, [`SWEEP_SCHEMA`].
    pub schema: u32,
    /// Name of the sweep (kebab-case).
    pub name: String,
    /// Heading of the report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// A study of accelerators, embedded or a file, that gives what the file itself does not: network, data, widths,
    /// layers, costs and its first accelerator. A resolved sweep has all that in its own sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<String>,
    /// Figures to be made small, or great with a minus sign.
    #[serde(default = "default_objectives")]
    pub objectives: Vec<Objective>,
    /// Bounds that a point must keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// How points are chosen.
    #[serde(default)]
    pub search: SearchConfig,
    /// The network, for all points.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub network: Table,
    /// Reductions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Value>,
    /// How reductions that learn are trained.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub training: Table,
    /// Images.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub data: Table,
    /// Widths and calibration.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub quantization: Table,
    /// Layers with widths of their own.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub widths: Table,
    /// Which layers are simulated.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub layers: Table,
    /// The design.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub accelerator: Table,
    /// What prices energies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<String>,
    /// What varies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<AxisConfig>,
    /// Points of one's own: dotted keys and their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Table>,
}

fn default_objectives() -> Vec<Objective> {
    ["latency", "energy"].iter().filter_map(|name| name.parse().ok()).collect()
}

impl SweepConfig {
    /// An embedded sweep by name, or a file by path.
    ///
    /// # Errors
    /// [`SweepError::UnknownSweep`], [`SweepError::Invalid`] naming file, line and key, or the error of its study.
    pub fn open(sweep: &str) -> Result<Self, SweepError> {
        if let Some(text) = embedded::find(sweep) {
            return Self::parse(text, sweep, Path::new(""));
        }
        let path = Path::new(sweep);
        let text = match skimp_files::read_to_string(path, MAX_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SweepError::UnknownSweep { name: sweep.to_owned(), known: embedded::names() });
            }
            Err(source) => {
                return Err(skimp_study::StudyError::Io { path: path.to_owned(), source }.into());
            }
        };
        Self::parse(&text, sweep, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a sweep and resolves it: its study's sections and the files that it names become its own. Files lie relative
    /// to `folder`; `origin` is what messages call it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn parse(text: &str, origin: &str, folder: &Path) -> Result<Self, SweepError> {
        let invalid = |cause: String| SweepError::Invalid { path: PathBuf::from(origin), cause };
        let mut config: Self =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        if config.schema != SWEEP_SCHEMA {
            return Err(invalid(format!("schema is {}, expected {SWEEP_SCHEMA}", config.schema)));
        }
        if config.name.is_empty()
            || !config.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(invalid(format!(
                "name is \"{}\", expected lower-case letters, digits and dashes",
                config.name
            )));
        }
        if config.objectives.is_empty() {
            return Err(invalid("objectives is empty, expected at least one figure".to_owned()));
        }
        if config.title.is_empty() {
            config.title = format!("Sweep {}", config.name);
        }
        config.take_study(folder).map_err(|error| match error {
            SweepError::Invalid { cause, .. } => invalid(cause),
            other => other,
        })?;
        let mut point = config.base_point().map_err(invalid)?;
        point.accelerator.read_files(&Designs::embedded(), folder)?;
        point.costs.read_file(folder)?;
        config.set_base(&point).map_err(invalid)?;
        Ok(config)
    }

    /// Takes in what the study of the file says, below what the file itself says.
    fn take_study(&mut self, folder: &Path) -> Result<(), SweepError> {
        let Some(named) = self.study.take() else { return Ok(()) };
        let path = folder.join(&named);
        let named = if path.exists() { path.to_string_lossy().into_owned() } else { named };
        let study = StudyConfig::open(&named, &StudyOverrides::default())?;
        let Some(plan) = study.plan.get::<AcceleratorsPlan>() else {
            let cause = format!("study \"{named}\" is of kind {}, expected one of accelerators", study.plan.kind());
            return Err(SweepError::Invalid { path: PathBuf::new(), cause });
        };
        let Some(accelerator) = plan.accelerators.first() else { return Ok(()) };
        let point = PointConfig {
            network: study.header.network.clone(),
            reduction: Vec::new(),
            training: None,
            data: study.header.data.clone(),
            quantization: plan.quantization,
            widths: Default::default(),
            layers: plan.layers.clone(),
            accelerator: skimp_study::AcceleratorConfig { label: None, ..accelerator.clone() },
            costs: plan.costs.clone(),
        };
        let mut base = Table::try_from(&point)
            .map_err(|error| SweepError::Invalid { path: PathBuf::new(), cause: error.to_string() })?;
        let own = self.sections();
        if own
            .get("accelerator")
            .and_then(|own| own.get("model"))
            .is_some_and(|own| base["accelerator"].get("model") != Some(own))
        {
            base.remove("accelerator");
        }
        overlay(&mut base, own);
        self.set_sections(base);
        Ok(())
    }

    /// The sections of a point that the file has.
    fn sections(&self) -> Table {
        let tables = [
            ("network", &self.network),
            ("training", &self.training),
            ("data", &self.data),
            ("quantization", &self.quantization),
            ("widths", &self.widths),
            ("layers", &self.layers),
            ("accelerator", &self.accelerator),
        ];
        let tables = tables.into_iter().filter(|(_, table)| !table.is_empty());
        let mut all: Table = tables.map(|(name, table)| (name.to_owned(), Value::Table(table.clone()))).collect();
        all.extend(self.reduction.clone().map(|value| ("reduction".to_owned(), value)));
        all.extend(self.costs.clone().map(|value| ("costs".to_owned(), Value::String(value))));
        all
    }

    fn set_sections(&mut self, mut sections: Table) {
        let mut table = |name: &str| match sections.remove(name) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        };
        (self.network, self.training, self.data) = (table("network"), table("training"), table("data"));
        (self.quantization, self.widths, self.layers) = (table("quantization"), table("widths"), table("layers"));
        self.accelerator = table("accelerator");
        self.reduction = sections.remove("reduction");
        self.costs = sections.remove("costs").and_then(|value| value.as_str().map(str::to_owned));
    }

    /// What every point has, as a table that keys of axes change; sections that axes bring may be missing.
    #[must_use]
    pub fn base(&self) -> Table {
        let mut base = self.sections();
        for section in ["network", "data", "accelerator"] {
            base.entry(section).or_insert_with(|| Value::Table(Table::new()));
        }
        base
    }

    /// The base as a point. A section that an axis brings is empty.
    fn base_point(&self) -> Result<PointConfig, String> {
        let mut base = self.sections();
        if let Some(reduction) = base.remove("reduction") {
            crate::point::set(&mut base, "reduction", &reduction)?;
        }
        base.entry("network").or_insert_with(|| Value::Table(Table::new()));
        base.entry("data").or_insert_with(|| Value::Table(Table::new()));
        let design = base.entry("accelerator").or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(design) = design {
            design.entry("model").or_insert_with(|| Value::String(String::new()));
        }
        base.try_into().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())
    }

    fn set_base(&mut self, point: &PointConfig) -> Result<(), String> {
        let mut base = Table::try_from(point).map_err(|error| error.to_string())?;
        if point.accelerator.model.is_empty() {
            base.remove("accelerator");
        }
        debug_assert!(base.keys().all(|key| SECTIONS.contains(&key.as_str())));
        self.set_sections(base);
        Ok(())
    }

    /// The sweep as TOML, what [`parse`](Self::parse) reads back.
    ///
    /// # Errors
    /// [`SweepError::Invalid`] if it has no form in TOML.
    pub fn to_toml(&self) -> Result<String, SweepError> {
        toml::to_string(self)
            .map_err(|error| SweepError::Invalid { path: PathBuf::from(&self.name), cause: error.to_string() })
    }

    /// The sweep without its points and its search: the beginning of a file to which `[[points]]` are added, whose keys are
    /// names of its axes.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn base_toml(&self) -> Result<String, SweepError> {
        let search = SearchConfig { method: "points".to_owned(), ..self.search.clone() };
        Self { points: Vec::new(), search, ..self.clone() }.to_toml()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SweepConfig, SweepError> {
        SweepConfig::parse(text, "s.toml", Path::new(""))
    }

    #[test]
    fn a_study_gives_what_the_file_does_not() {
        let text = "schema = 1\nname = \"s\"\nstudy = \"sample\"\n[quantization]\nweight_bits = 5\n";
        let sweep = parse(text).unwrap();
        let point = sweep.base_point().unwrap();
        assert_eq!(point.network.model, "sample-resnet");
        assert_eq!((point.quantization.weight_bits, point.accelerator.model.as_str()), (5, "dadiannao"));
        assert_eq!(point.accelerator.label, None);
        let again = parse(&sweep.to_toml().unwrap()).unwrap();
        assert_eq!(again, sweep);
        let other = parse(&format!("{text}[accelerator]\nmodel = \"eyeriss\"\n")).unwrap().base_point().unwrap();
        assert_eq!((other.accelerator.model.as_str(), other.accelerator.set.len()), ("eyeriss", 0));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("schema = 2\nname = \"s\"", "s.toml: schema is 2, expected 1"),
            ("schema = 1\nname = \"S\"", "name is \"S\""),
            ("schema = 1\nname = \"s\"\nobjectives = [\"speed\"]", "\"speed\" is no figure"),
            ("schema = 1\nname = \"s\"\nobjectives = []", "objectives is empty"),
            ("schema = 1\nname = \"s\"\nconstraints = [\"area\"]", "\"area\" is no constraint"),
            ("schema = 1\nname = \"s\"\naxis = []", "unknown field `axis`"),
            ("schema = 1\nname = \"s\"\nstudy = \"low-precision-training\"", "expected one of accelerators"),
            ("schema = 1\nname = \"s\"\nstudy = \"none\"", "none"),
            ("schema = 1\nname = \"s\"\n[quantization]\nbits = 4", "unknown field `bits`"),
            ("schema = 1\nname = \"s\"\n[search]\nmethod = \"greedy\"", "\"greedy\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(message) && error.is_usage(), "{text}: {error}");
        }
        let error = SweepConfig::open("no-such-sweep").unwrap_err().to_string();
        assert!(error.contains("neither a file nor an embedded sweep \"no-such-sweep\""), "{error}");
    }
}
