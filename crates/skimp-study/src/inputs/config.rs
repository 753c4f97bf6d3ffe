//! Settings of networks and images.
//!
//! Defaults live here and nowhere else, so the resolved configuration of a run is complete.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skimp_data::{DataError, Dataset, Split};

/// Where the network comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// An embedded network's name or the path of an ONNX file; empty where the command line has to give it.
    #[serde(default)]
    pub model: String,
    /// Input height and width, where the network leaves them open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
}

/// Images and how they reach the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `NAME[:DIR]`; empty where the command line has to give it.
    pub set: String,
    /// Images that the program holds, which are taken instead of a set that is opened; `set` is what records call them.
    #[serde(skip)]
    pub held: Option<HeldData>,
    /// Part of the set.
    pub split: Split,
    /// Preprocessing: a name, or `key=value,…`. `None`: what the network names, else the
    /// data set's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// Take images at random, keyed by this seed, instead of the first ones of the split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Images whose operand values drive the simulators.
    pub images: usize,
    /// Images on which accuracy is measured; 0 measures none.
    pub accuracy_images: usize,
    /// Images on which searches of parameters look at accuracy; never those of `accuracy_images`.
    pub tuning_images: usize,
    /// Where the images of a search come from: the first ones of another part of the set; `None`: those that follow
    /// the `accuracy_images`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning_split: Option<Split>,
    /// What counts as a right answer of an approximate accelerator.
    pub judge_by: JudgeBy,
    /// Name of the network's output that holds the answers; `None`: the one with a number for each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            set: String::new(),
            held: None,
            split: Split::Test,
            preprocess: None,
            seed: None,
            images: 1,
            accuracy_images: 0,
            tuning_images: 100,
            tuning_split: None,
            judge_by: JudgeBy::Labels,
            output_name: None,
        }
    }
}

impl DataConfig {
    /// The images of a split.
    pub(crate) fn open(&self, split: Split) -> Result<Arc<Dataset>, DataError> {
        match &self.held {
            Some(HeldData(held)) => Ok(Arc::clone(held)),
            None => Ok(Arc::new(Dataset::open(&self.set, split)?)),
        }
    }
}

/// A data set that a program holds: the same images, whichever split is asked for. A clone shares it.
#[derive(Clone, Debug)]
pub struct HeldData(Arc<Dataset>);

impl HeldData {
    /// Holds `dataset`, of [`Dataset::from_arrays`] or [`Dataset::from_source`].
    #[must_use]
    pub fn new(dataset: Dataset) -> Self {
        Self(Arc::new(dataset))
    }

    /// The data set.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.0
    }
}

/// The same one.
impl PartialEq for HeldData {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What counts as a right answer of an approximate accelerator, while it is judged or tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeBy {
    /// The images' labels.
    #[default]
    Labels,
    /// The exact integer network's own answers: for images whose labels the network does not know.
    Answers,
}

impl JudgeBy {
    /// `labels` or `answers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JudgeBy::Labels => "labels",
            JudgeBy::Answers => "answers",
        }
    }
}
