//! Flags that several commands share, with one meaning everywhere.

use clap::{Args, ValueEnum};
use skimp::{DataConfig, FirstLayer, JudgeBy, QuantizationConfig, SplitConfig, WeightScales};

use crate::common::{Failure, Known, Preprocessing, input_size};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Split {
    Train,
    Test,
}

impl Split {
    /// As in a configuration.
    pub(crate) fn config(self) -> SplitConfig {
        match self {
            Split::Train => SplitConfig::Train,
            Split::Test => SplitConfig::Test,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Judge {
    Labels,
    Answers,
}

impl Judge {
    /// As in a configuration.
    pub(crate) fn config(self) -> JudgeBy {
        match self {
            Judge::Labels => JudgeBy::Labels,
            Judge::Answers => JudgeBy::Answers,
        }
    }
}

// How parameters of approximate accelerators are searched and judged.
#[derive(Args, Debug)]
#[command(next_help_heading = "Approximate accelerators")]
pub(crate) struct TuningOptions {
    /// Images on which a search of parameters looks at accuracy; never those that judge its result
    #[arg(long, value_name = "N")]
    pub(crate) tuning_images: Option<usize>,
    /// Take the images of a search from this part of the data set, instead of those that follow the judging ones
    #[arg(long, value_enum)]
    pub(crate) tuning_split: Option<Split>,
    /// What counts as right: the images' labels, or the exact network's own answers
    #[arg(long, value_enum)]
    pub(crate) judge_by: Option<Judge>,
}

impl TuningOptions {
    /// Puts what was given on top of `data`.
    pub(crate) fn apply(&self, data: &mut DataConfig) {
        data.tuning_images = self.tuning_images.unwrap_or(data.tuning_images);
        data.tuning_split = self.tuning_split.map(Split::config).or(data.tuning_split);
        data.judge_by = self.judge_by.map_or(data.judge_by, Judge::config);
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
    /// Part of the data set [default: test; train where ranges are set by the images]
    #[arg(long, value_enum)]
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

    /// As a configuration over `images` that set ranges, of the training split unless another one was named.
    pub(crate) fn ranges_config(&self, images: usize) -> Result<DataConfig, Failure> {
        let split = self.split.map_or(SplitConfig::Train, Split::config);
        Ok(DataConfig { split, ..self.config(images, 0)? })
    }

    /// The data set as it was named.
    pub(crate) fn set(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// As a configuration over `images` traced and `accuracy_images` evaluated images.
    pub(crate) fn config(&self, images: usize, accuracy_images: usize) -> Result<DataConfig, Failure> {
        let set = self.data.clone().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("a network needs --data NAME[:DIR] (see `skimp list datasets`)"))
        })?;
        Ok(DataConfig {
            set,
            split: self.split.map_or(SplitConfig::Test, Split::config),
            preprocess: self.preprocess.clone(),
            seed: self.seed,
            output_name: self.output_name.clone(),
            images,
            accuracy_images,
            ..DataConfig::default()
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scales {
    PerLayer,
    PerChannel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum First {
    Signed,
    Offset,
}

// Widths and calibration of the integer network.
#[derive(Args, Debug)]
#[command(next_help_heading = "Quantization (networks in QDQ form keep their own codes)")]
pub(crate) struct QuantizationOptions {
    /// Width of the weights, 2 to 16
    #[arg(long, value_name = "BITS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=16))]
    weight_bits: u32,
    /// Width of the activations, 2 to 16
    #[arg(long, value_name = "BITS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=16))]
    activation_bits: u32,
    /// One weight scale for each layer, or for each output channel
    #[arg(long, value_enum, default_value_t = Scales::PerLayer)]
    weight_scales: Scales,
    /// Range of the activations: `min-max`, or `percentile:P` with P in percent
    #[arg(long, value_name = "min-max|percentile:P", default_value = "min-max")]
    calibration: String,
    /// Images that set the range of the activations
    #[arg(long, value_name = "N", default_value_t = 16)]
    calibration_images: usize,
    /// Part of the data set that these images come from [default: `eval`: train, where there is one; else the run's own]
    #[arg(long, value_enum)]
    calibration_split: Option<Split>,
    /// Feed a signed network input as it is, or shifted to be non-negative (exact; allows END in the first layer)
    #[arg(long, value_enum, default_value_t = First::Signed)]
    first_layer: First,
}

impl QuantizationOptions {
    /// As a configuration.
    pub(crate) fn config(&self) -> QuantizationConfig {
        QuantizationConfig {
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            weight_scales: match self.weight_scales {
                Scales::PerLayer => WeightScales::PerLayer,
                Scales::PerChannel => WeightScales::PerChannel,
            },
            calibration: self.calibration.clone(),
            calibration_images: self.calibration_images,
            calibration_split: self.calibration_split.map(Split::config),
            first_layer: match self.first_layer {
                First::Signed => FirstLayer::Signed,
                First::Offset => FirstLayer::Offset,
            },
        }
    }
}
