//! Flags that several commands share, with one meaning everywhere.

use std::path::{Path, PathBuf};

use clap::Args;
use skimp::flags::{DataFlags, RecipeFlags, TuningFlags};
use skimp::{DataConfig, JudgeBy, Order, QuantizationConfig, ReduceRun, Split, TrainConfig};

use crate::common::{Failure, Known, Preprocessing, input_size};
use crate::settings::{Setting, SettingFlags, Settings, choice};

// How parameters of approximate accelerators are searched and judged.
#[derive(Args, Debug)]
#[command(next_help_heading = "Approximate accelerators")]
pub(crate) struct TuningOptions {
    /// Images on which a search of parameters looks at accuracy; never those that judge its result
    #[arg(long, value_name = "N")]
    pub(crate) tuning_images: Option<usize>,
    /// Take the images of a search from this part of the data set, instead of those that follow the judging ones
    #[arg(long, value_name = "SPLIT", value_parser = choice::<Split>())]
    pub(crate) tuning_split: Option<Split>,
    /// What counts as right: the images' labels, or the exact network's own answers
    #[arg(long, value_name = "RIGHT", value_parser = choice::<JudgeBy>())]
    pub(crate) judge_by: Option<JudgeBy>,
}

impl TuningOptions {
    /// As the façade has them.
    pub(crate) fn flags(&self) -> TuningFlags {
        let Self { tuning_images, tuning_split, judge_by } = *self;
        TuningFlags { tuning_images, tuning_split, judge_by }
    }
}

// In which order the f32 engine adds up.
#[derive(Args, Debug)]
pub(crate) struct OrderOptions {
    /// With the `cpu` engine: add up every sum in the order of the definition. By default 3x3 convolutions of stride 1 take
    /// fewer multiplications where that is faster (Winograd; about 10 times the rounding error, some 1e-6 of the largest value)
    #[arg(long)]
    exact_order: bool,
}

impl OrderOptions {
    /// As the façade has it.
    pub(crate) fn order(&self) -> Order {
        if self.exact_order { Order::Exact } else { Order::Free }
    }
}

// How a network is trained further.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
pub(crate) struct RecipeOptions {
    /// Train on N images, chosen in their order [default: all]
    #[arg(long, value_name = "N")]
    train_images: Option<usize>,
    /// Images of a batch
    #[arg(long, value_name = "N", default_value_t = RecipeFlags::default().batch_size)]
    batch_size: usize,
    /// Base learning rate
    #[arg(long, value_name = "RATE", default_value_t = RecipeFlags::default().learning_rate, alias = "lr")]
    learning_rate: f64,
    /// Learning rate over the run (see `skimp list schedules`)
    #[arg(long, value_name = "NAME[:KEYS]", default_value_t = RecipeFlags::default().schedule)]
    schedule: String,
    /// Update rule (see `skimp list optimizers`)
    #[arg(long, value_name = "NAME[:KEYS]", default_value_t = RecipeFlags::default().optimizer)]
    optimizer: String,
    /// Weight decay
    #[arg(long, value_name = "L", default_value_t = RecipeFlags::default().weight_decay)]
    weight_decay: f64,
    /// Random change of training images, repeatable (see `skimp list augmentations`)
    #[arg(long, value_name = "NAME[:KEY=VALUE]")]
    augment: Vec<String>,
    /// Seed of everything random in training
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    training_seed: u64,
}

impl RecipeOptions {
    /// As a configuration of a training run.
    pub(crate) fn config(self) -> TrainConfig {
        RecipeFlags {
            train_images: self.train_images,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            optimizer: self.optimizer,
            weight_decay: self.weight_decay,
            augment: self.augment,
            training_seed: self.training_seed,
        }
        .config()
    }
}

// Where a run that trains keeps what it needs to go on.
#[derive(Args, Debug)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunOptions {
    /// Go on from the last checkpoint, or start if there is none
    #[arg(long)]
    pub(crate) resume: bool,
    /// Folder of checkpoints, logs and report [default: beside the output, MODEL.train]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
    /// Write a checkpoint after every N steps, besides that at the end of each epoch
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint_every: Option<u64>,
}

impl RunOptions {
    /// A run that writes its network to `output`, with checkpoints in the folder that was named or beside the output.
    pub(crate) fn run(self, output: Option<&Path>) -> ReduceRun {
        let folder = self.folder.or_else(|| output.map(skimp::training::trainer::folder_beside));
        let folder = folder.filter(|_| output.is_some());
        let (resume, checkpoint_every) = (self.resume, self.checkpoint_every);
        ReduceRun { output: output.map(Path::to_owned), folder, resume, checkpoint_every }
    }
}

/// Points of accuracy: finite, at least 0.
pub(crate) fn points(text: &str) -> Result<f64, String> {
    let points: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if points.is_finite() && points >= 0.0 { Ok(points) } else { Err("expected a number of at least 0".to_owned()) }
}

// Which images, and how they reach the network.
#[derive(Args, Debug)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataOptions {
    /// Data set: `sample`, or NAME:DIR (see `skimp list datasets`)
    #[arg(long, value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: Option<String>,
    /// Part of the data set [default: test; `quantize`: train]
    #[arg(long, value_name = "SPLIT", value_parser = choice::<Split>())]
    split: Option<Split>,
    /// Preprocessing: a name, or keys like mean=0.5,std=0.25,order=bgr (see `skimp list preprocessings`) [default: what
    /// the network names, else the data set's own]
    #[arg(long, value_name = "NAME|KEYS", value_parser = Preprocessing, hide_possible_values = true)]
    preprocess: Option<String>,
    /// Input height and width, where the network leaves them open
    #[arg(long, value_name = "N|HxW", value_parser = input_size)]
    pub(crate) input_size: Option<[usize; 2]>,
    /// Take images at random, keyed by this seed, instead of the first ones
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The network's output that holds the answers [default: the one with a number for each class]
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
}

impl DataOptions {
    /// Whether a data set was named.
    pub(crate) fn is_given(&self) -> bool {
        self.data.is_some()
    }

    /// The data set as it was named.
    pub(crate) fn set(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// As the façade has them.
    pub(crate) fn flags(&self) -> DataFlags {
        DataFlags {
            data: self.data.clone(),
            held: None,
            split: self.split,
            preprocess: self.preprocess.clone(),
            input_size: self.input_size,
            seed: self.seed,
            output_name: self.output_name.clone(),
        }
    }

    /// As a configuration of images that set ranges, of the training split unless another one was named.
    pub(crate) fn ranges_config(&self) -> Result<DataConfig, Failure> {
        Ok(self.flags().ranges_config(0)?)
    }

    /// As a configuration over `images` traced and `accuracy_images` evaluated images.
    pub(crate) fn config(&self, images: usize, accuracy_images: usize) -> Result<DataConfig, Failure> {
        Ok(self.flags().config(images, accuracy_images)?)
    }
}

impl Settings for QuantizationConfig {
    const HEADING: &'static str = "Quantization (networks in QDQ form keep their own codes)";

    const FLAGS: &'static [Setting] = &[
        Setting::new("weight_bits", "BITS", "Width of the weights, 2 to 16"),
        Setting::new("activation_bits", "BITS", "Width of the activations, 2 to 16"),
        Setting::new("weight_scales", "SCALES", "One weight scale for each layer, or for each output channel"),
        Setting::new(
            "calibration",
            "min-max|percentile:P",
            "Range of the activations: `min-max`, or `percentile:P` with P in percent",
        ),
        Setting::new("calibration_images", "N", "Images that set the range of the activations"),
        Setting::new(
            "calibration_split",
            "SPLIT",
            "Part of the data set that these images come from [default: `eval`: train, where there is one; else the run's own]",
        ),
        Setting::new(
            "first_layer",
            "FORM",
            "Feed a signed network input as it is, or shifted to be non-negative (exact; allows END in the first layer)",
        ),
    ];
}

/// Widths and calibration of the integer network.
pub(crate) type QuantizationOptions = SettingFlags<QuantizationConfig>;
