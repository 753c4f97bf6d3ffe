//! `skimp train`: train a network, or go on training one.

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::{TrainConfig, TrainRun, Validation};

use crate::common::{Failure, Known, Preprocessing, input_size, print, render, terminal_width};
use crate::options::RunOptions;
use crate::settings::{Setting, SettingFlags, Settings};

#[derive(Args, Debug)]
struct Arguments {
    /// Built-in network (see `skimp list networks`), trained from scratch; or an ONNX file, trained further
    #[arg(value_name = "NETWORK|MODEL.onnx", value_hint = ValueHint::FilePath)]
    network: String,
    #[command(flatten)]
    data: TrainingData,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    place: Place,
}

// Which images, and how they reach the network.
#[derive(Args, Debug)]
#[command(next_help_heading = "Data")]
struct TrainingData {
    /// Data set: `sample`, or NAME:DIR (see `skimp list datasets`); its training split is trained on
    #[arg(long, value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: String,
    /// Preprocessing: a name, or keys (see `skimp list preprocessings`) [default: what the network names, else the data
    /// set's own]
    #[arg(long, value_name = "NAME|KEYS", value_parser = Preprocessing, hide_possible_values = true)]
    preprocess: Option<String>,
    /// Input height and width, where the network leaves them open
    #[arg(long, value_name = "N|HxW", value_parser = input_size)]
    input_size: Option<[usize; 2]>,
    /// Measure after each epoch on: the `test` split, N held-out training images, or `none`
    #[arg(long, value_name = "test|N|none", default_value = "test")]
    validation: Validation,
}

// What is minimized, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Recipe {
    #[command(flatten)]
    settings: SettingFlags<TrainConfig>,
    /// The quantizer's setting `steps`: time steps of a spiking network (snn, bsnn)
    #[arg(long, value_name = "T", requires = "quantizer")]
    steps: Option<usize>,
    /// The optimizer's setting `momentum`
    #[arg(long, value_name = "M")]
    momentum: Option<f64>,
    /// The optimizer's setting `nesterov=true`
    #[arg(long)]
    nesterov: bool,
}

// Where the run writes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Run")]
struct Place {
    #[command(flatten)]
    run: RunOptions,
    /// Logs: csv, tensorboard, or none
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "csv,tensorboard")]
    log: Vec<String>,
}

/// The command.
pub(crate) struct Train;

impl super::Command for Train {
    fn name(&self) -> &'static str {
        "train"
    }

    fn output(&self) -> &'static str {
        "File of the trained network (ONNX)"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Train a network on a data set").after_help(
                "--output names the trained network (ONNX). Checkpoints, logs, results.json and report.html lie in \
                 MODEL.train beside it; Ctrl-C writes a checkpoint before it ends the run. The result depends neither \
                 on --threads nor on how often the run was interrupted. docs/training.md explains every flag.\n\n\
                 Examples:\n  \
                 skimp train sample-resnet --data sample --epochs 5 --lr 0.05 --momentum 0.9 -o net.onnx\n  \
                 skimp train resnet20 --data cifar10:DIR --epochs 160 --batch-size 128 --lr 0.1 --schedule step:at=80/120 \
                 --weight-decay 1e-4 --augment flip --augment crop:pad=4 --resume -o resnet20.onnx\n  \
                 skimp train net.onnx --data cifar10:DIR --preprocess imagenet --epochs 2 --lr 0.001 -o tuned.onnx\n  \
                 skimp train conv4-fc2 --quantizer bnn --data cifar10:DIR --optimizer adam --lr 0.001 -o bnn.onnx\n  \
                 skimp train conv4-fc2 --quantizer bsnn --steps 4 --data cifar10:DIR --optimizer adam --lr 0.001 -o bsnn.onnx",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let output = global
            .output
            .clone()
            .filter(|path| path.as_os_str() != "-")
            .ok_or_else(|| Failure::usage(anyhow!("a trained network needs a file: give --output MODEL.onnx")))?;
        let Arguments { network, data, recipe, place } = arguments;
        global.reads(&network);
        global.reads_data(Some(&data.data));
        global.check_output()?;
        let run = TrainRun {
            output,
            folder: place.run.folder,
            resume: place.run.resume,
            checkpoint_every: place.run.checkpoint_every,
            logs: place.log,
        };
        let bars = global.bars();
        let record = skimp::train(&config(network, data, recipe), &run, &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)
    }
}

fn config(network: String, data: TrainingData, recipe: Recipe) -> TrainConfig {
    let SettingFlags(settings) = recipe.settings;
    let mut optimizer = settings.optimizer;
    let mut quantizer = settings.quantizer;
    if let (Some(quantizer), Some(steps)) = (&mut quantizer, recipe.steps) {
        quantizer.push(if quantizer.contains(':') { ',' } else { ':' });
        quantizer.push_str(&format!("steps={steps}"));
    }
    let added = [
        recipe.momentum.map(|momentum| format!("momentum={momentum}")),
        recipe.nesterov.then(|| "nesterov=true".to_owned()),
    ];
    for setting in added.into_iter().flatten() {
        optimizer.push(if optimizer.contains(':') { ',' } else { ':' });
        optimizer.push_str(&setting);
    }
    TrainConfig {
        network,
        input_size: data.input_size,
        data: data.data,
        preprocess: data.preprocess,
        validation: data.validation,
        optimizer,
        quantizer,
        ..settings
    }
}

impl Settings for TrainConfig {
    const HEADING: &'static str = "Training";

    const FLAGS: &'static [Setting] = &[
        Setting::new("images", "N", "Train on N images, chosen by the seed [default: all]").heading("Data"),
        Setting::new(
            "validation_share",
            "SHARE",
            "Hold out this share of the training images instead, chosen by the seed [default: 0.2 where the data set has \
             one set of images for training and test, none otherwise]",
        )
        .heading("Data"),
        Setting::new("validation_images", "N", "Measure on the first N validation images only").heading("Data"),
        Setting::new(
            "augment",
            "NAME[:KEY=VALUE]",
            "Random change of training images, repeatable: flip, crop:pad=4, … (see `skimp list augmentations`)",
        )
        .heading("Data")
        .words(|| skimp::names("augmentations")),
        Setting::new(
            "output_name",
            "NAME",
            "The network's output that holds the answers [default: the one with a number for each class]",
        )
        .heading("Data"),
        Setting::new("epochs", "N", "Passes over the training images"),
        Setting::new("batch_size", "N", "Images of a batch"),
        Setting::new("drop_last", "", "Leave out the last batch of an epoch where it is smaller than the others"),
        Setting::new("learning_rate", "RATE", "Base learning rate").alias(&["lr"]),
        Setting::new(
            "schedule",
            "NAME[:KEYS]",
            "Learning rate over the run, such as cosine:warmup=2 (see `skimp list schedules`)",
        )
        .words(|| skimp::names("schedules")),
        Setting::new("optimizer", "NAME[:KEYS]", "Update rule, such as sgd:momentum=0.9 (see `skimp list optimizers`)")
            .words(|| skimp::names("optimizers")),
        Setting::new("weight_decay", "L", "Weight decay"),
        Setting::new("no_decay", "KIND,…", "Parameters that do not decay, a list of: weight, bias, scale, shift, slope, step"),
        Setting::new("clip_norm", "NORM", "Scale gradients down to this norm, all together"),
        Setting::new("clip_value", "LIMIT", "Cut each gradient to this magnitude"),
        Setting::new(
            "loss",
            "NAME[:KEYS]",
            "What is minimized: cross-entropy[:label_smoothing=S], squared-hinge, hinge",
        ),
        Setting::new("precision", "POLICY[:KEYS]", "Number formats and arithmetic (see `skimp list policies`)")
            .words(|| skimp::names("policies")),
        Setting::new(
            "quantizer",
            "NAME[:KEYS]",
            "Form of the trained network: bnn, bsnn, … (see `skimp list quantizers`) [default: as it is]",
        )
        .words(|| skimp::names("quantizers")),
        Setting::new(
            "noise",
            "DEVICE[:KEYS]",
            "Resistive cells that deviate in training, beside weights of ±1: neurosim:lrs_spread=0.3,synapse=xnor, … (see \
             `skimp list devices`)",
        )
        .words(|| skimp::names("devices")),
        Setting::new("freeze", "NAME", "Parameter that stays as it is, repeatable; a `*` at the end stands for any ending"),
        Setting::new(
            "batch_norm_momentum",
            "SHARE",
            "Share of the new batch in batch normalization's running statistics",
        ),
        Setting::new("seed", "SEED", "Seed of initial weights, order, augmentation, dropout and rounding"),
    ];
}
