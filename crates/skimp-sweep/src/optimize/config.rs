//! What an optimization is asked for.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
pub use skimp_report::records::SearchBudget as Budget;
use skimp_study::{CostsConfig, DataConfig, Designs, TrainConfig};
use toml::Value;

use crate::error::SweepError;

/// What is made small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Simulated energy of an image on a design.
    Energy(String),
    /// Simulated cycles of an image on a design.
    Latency(String),
    /// Time of an image, measured on this machine, of the float network.
    MeasuredLatency,
    /// Bytes of parameters at their widths.
    ModelBytes,
}

impl Aim {
    /// The design, where there is one.
    #[must_use]
    pub fn design(&self) -> Option<&str> {
        match self {
            Aim::Energy(design) | Aim::Latency(design) => Some(design),
            Aim::MeasuredLatency | Aim::ModelBytes => None,
        }
    }

    /// The unit.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Aim::Energy(_) => "mJ",
            Aim::Latency(_) => "cycles",
            Aim::MeasuredLatency => "ms",
            Aim::ModelBytes => "bytes",
        }
    }

    /// The figure of sweeps that it is.
    pub(super) fn figure(&self) -> &'static str {
        match self {
            Aim::Energy(_) => "energy",
            Aim::Latency(_) => "cycles",
            Aim::MeasuredLatency => "measured_latency",
            Aim::ModelBytes => "model_bytes",
        }
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            Some(("energy", design)) if !design.is_empty() => Ok(Aim::Energy(design.to_owned())),
            Some(("latency", design)) if !design.is_empty() => Ok(Aim::Latency(design.to_owned())),
            None if text == "measured-latency" => Ok(Aim::MeasuredLatency),
            None if text == "model-bytes" => Ok(Aim::ModelBytes),
            _ => Err(format!(
                "\"{text}\" is no objective, expected energy@DESIGN, latency@DESIGN (skimp list accelerators), \
                 measured-latency or model-bytes"
            )),
        }
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aim::Energy(design) => write!(f, "energy@{design}"),
            Aim::Latency(design) => write!(f, "latency@{design}"),
            Aim::MeasuredLatency => f.write_str("measured-latency"),
            Aim::ModelBytes => f.write_str("model-bytes"),
        }
    }
}

/// Who proposes the next point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each lever alone, then compositions that these predict to be best and neighbors of the best one; levers that train on
    /// top of that.
    #[default]
    Guided,
    /// Draws: each lever on its own.
    Random,
    /// One lever at a time, the others as at the start.
    Single,
}

impl Strategy {
    /// `guided`, `random` or `single`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Guided => "guided",
            Strategy::Random => "random",
            Strategy::Single => "single",
        }
    }
}

/// What an optimization is asked for.
#[derive(Clone, Debug)]
pub struct OptimizeConfig {
    /// The data set and its preprocessing; its numbers of images that drive the models and that designs fit parameters on.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// What is made small.
    pub aim: Aim,
    /// Points of top-1 that may be lost.
    pub max_loss: f64,
    /// When the search ends.
    pub budget: Budget,
    /// Who proposes points.
    pub strategy: Strategy,
    /// Images of the training split that set ranges.
    pub calibration_images: usize,
    /// Images of the test split on which points are judged while searching, at most; never half of it and more.
    pub search_images: usize,
    /// Further images of the test split that judge the result, once, at most.
    pub final_images: usize,
    /// Passes over the training images after each pruning, and of each recast block.
    pub finetune: u64,
    /// How; its `images` are those of a pass.
    pub training: TrainConfig,
    /// Settings of the design that vary, and their values: these instead of our own choice.
    pub vary: Vec<(String, Vec<Value>)>,
    /// What prices energies.
    pub costs: CostsConfig,
    /// The models that names of accelerators stand for.
    pub designs: Designs,
    /// Seed of the sets and of all draws.
    pub seed: u64,
    /// The command that asked for it, for the report; empty where there was none.
    pub command: String,
    /// The folder of the result.
    pub folder: PathBuf,
}

impl OptimizeConfig {
    /// Checks what the types leave open.
    pub(super) fn check(&self) -> Result<(), SweepError> {
        let wrong = |setting: &'static str, cause: String| Err(SweepError::Optimize { setting, cause });
        if !(self.max_loss.is_finite() && (0.0..=100.0).contains(&self.max_loss)) {
            return wrong("max-loss", format!("{}, expected points of top-1, 0 to 100", self.max_loss));
        }
        match self.budget {
            Budget::Minutes(minutes) if !(minutes.is_finite() && minutes > 0.0) => {
                return wrong("minutes", format!("{minutes}, expected a number above 0"));
            }
            Budget::Steps(0) => return wrong("steps", "0, expected at least 1".to_owned()),
            Budget::Minutes(_) | Budget::Steps(_) => {}
        }
        for (setting, found) in [
            ("calibration-images", self.calibration_images),
            ("search-images", self.search_images),
            ("accuracy-images", self.final_images),
            ("images", self.data.images),
        ] {
            if found == 0 {
                return wrong(setting, "0, expected at least 1".to_owned());
            }
        }
        // Else every point that trains fails, one by one.
        self.training.check_settings()?;
        if !self.vary.is_empty() && self.aim.design().is_none() {
            return wrong("vary", format!("objective {} has no design whose settings could vary", self.aim));
        }
        Ok(())
    }
}
