//! `skimp prune`: fewer channels, or more zeros.

use std::path::Path;

use anyhow::anyhow;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueHint};
use skimp::{PruneConfig, PruneScope, PruneTarget, ReduceRun, Tabular};

use crate::common::{Failure, Known, print, render, terminal_width, through_file};
use crate::options::{DataOptions, RecipeOptions, RunOptions};
use crate::settings::choice;

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of an embedded or built-in network
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    place: RunOptions,
    #[command(flatten)]
    measures: Measures,
}

// What goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pruning")]
struct What {
    /// How channels or weights are ranked (see `skimp list methods`)
    #[arg(long, value_name = "NAME", value_parser = Known(|| skimp::names("methods")), hide_possible_values = true)]
    method: String,
    /// What remains, as a fraction: channels=, macs=, params=, activations=, latency= (measured here), cycles@DESIGN=,
    /// energy@DESIGN= (see `skimp list accelerators`); or how much becomes zero: sparsity=0.9
    #[arg(long, value_name = "WHAT=FRACTION", required_unless_present = "sensitivity")]
    target: Option<PruneTarget>,
    /// Compare the channels of each group (uniform), or of the whole network (global)
    #[arg(long, value_name = "SCOPE", value_parser = choice::<PruneScope>(), default_value = "uniform")]
    scope: PruneScope,
    /// Layers that keep their channels or weights; a `*` at the end of a name stands for any ending
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    keep: Vec<String>,
    /// Kept channels go to the nearest multiple of this, ties up, never to none
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    round_to: u16,
    /// Let channels go that statistics run over (layer and group normalization, softmax): removed is not masked there
    #[arg(long)]
    inexact: bool,
    /// A setting of the method, repeatable (`skimp list methods --format json` names them)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = skimp::flags::setting)]
    settings: Vec<(String, toml::Value)>,
    /// Measure instead how accuracy falls where one layer alone is pruned to fractions that remain, without training;
    /// --output names an HTML page [fractions where none are given: 0.9 to 0.1]
    #[arg(long, value_name = "F,…", value_delimiter = ',', num_args = 0.., require_equals = true, conflicts_with_all = ["target", "dry_run"])]
    sensitivity: Option<Vec<f64>>,
    /// Show the plan and its effect, write nothing
    #[arg(long)]
    dry_run: bool,
}

// How the network is trained: by methods that train, and after all.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Tuning {
    /// Measure the statistics of batch normalization again on N training images after pruning
    #[arg(long, value_name = "N", default_value_t = 0)]
    batch_norm_images: usize,
    /// Passes over the training images after pruning
    #[arg(long, value_name = "EPOCHS", default_value_t = 0)]
    finetune: u64,
    #[command(flatten)]
    recipe: RecipeOptions,
}

// What is measured before and after.
#[derive(Args, Debug)]
#[command(next_help_heading = "Measurements")]
struct Measures {
    /// Images of the test split on which accuracy is measured before and after; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    accuracy_images: usize,
    /// Measure the time of a batch of N images before and after, in alternation, on --threads
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    latency: Option<u16>,
}

/// Fractions at which sensitivity is measured where none are given.
const FRACTIONS: [f64; 9] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];

/// The command.
pub(crate) struct Prune;

impl super::Command for Prune {
    fn name(&self) -> &'static str {
        "prune"
    }

    fn output(&self) -> &'static str {
        "File of the pruned network: ONNX, or with coded weights (.skz); `-` is stdout; with --sensitivity a page (HTML)"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Remove channels of a network, or set weights to zero").after_help(
                "Channels are removed for real, in every layer that makes or reads them: the result is plain ONNX, \
                 smaller and faster everywhere. Layers that depend on each other lose the same channels; a layer that \
                 can lose none is listed with the reason. Weights become zero in place: shapes stay as they are, and \
                 skimp leaves zeros out of layers in which that is faster. The table shows the network before and after; docs/reduction.md explains every column.\n\n\
                 Examples:\n  \
                 skimp prune net.onnx --method l1 --target channels=0.5 -o smaller.onnx\n  \
                 skimp prune net.onnx --method l1 --target macs=0.5 --scope global --keep conv1 --latency --dry-run\n  \
                 skimp prune net.onnx --method l1 --target latency=0.6 -o faster.onnx\n  \
                 skimp prune net.onnx --method l1 --target cycles@systolic=0.5 -o leaner.onnx\n  \
                 skimp prune net.onnx --method apoz --target channels=0.7 --data cifar10:DIR --finetune 2 --resume -o smaller.onnx\n  \
                 skimp prune net.onnx --method deep-compression --target sparsity=0.8 -o small.skz\n  \
                 skimp prune net.onnx --method l1 --sensitivity --data cifar10:DIR -o sensitivity.html\n  \
                 skimp prune resnet50 --method fpgm --target channels=0.5 -o half.onnx --format json",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Arguments { model, data, what, tuning, place, measures } = arguments;
        let output = match (global.output.as_deref(), what.dry_run) {
            (None, false) if what.sensitivity.is_none() => {
                return Err(Failure::usage(anyhow!(
                    "skimp prune needs --output OUT.onnx, or --dry-run to write nothing"
                )));
            }
            (Some(_), true) => return Err(Failure::usage(anyhow!("--dry-run writes nothing: leave out --output"))),
            (output, _) => output,
        };
        let on_stdout = global.takes_stdout(matches)?;
        let network = global.open(&model, data.set())?;
        let images = if data.is_given() {
            Some(skimp::DataConfig { accuracy_images: measures.accuracy_images, ..data.ranges_config()? })
        } else {
            None
        };
        // Nothing is pruned to this target where sensitivity is measured.
        let target = what.target.unwrap_or(PruneTarget::Channels(1.0));
        let is_fine = what.sensitivity.is_some() && matches.value_source("round_to") == Some(ValueSource::DefaultValue);
        let config = PruneConfig {
            method: what.method,
            target,
            scope: what.scope,
            keep: what.keep,
            round_to: if is_fine { 1 } else { usize::from(what.round_to) },
            inexact: what.inexact,
            settings: what.settings.into_iter().collect(),
            data: images,
            input_size: data.input_size,
            batch_norm_images: tuning.batch_norm_images,
            finetune: tuning.finetune,
            training: tuning.recipe.config(),
            latency_batch: measures.latency.map(usize::from),
        };
        let bars = global.bars();
        if let Some(kept) = what.sensitivity {
            let kept = if kept.is_empty() { FRACTIONS.to_vec() } else { kept };
            if on_stdout {
                return Err(Failure::usage(anyhow!("the page of --sensitivity needs a file: give --output PAGE.html")));
            }
            let record = skimp::sensitivity(&network, &config, &kept, output, &bars)?;
            drop(bars);
            return print(&render(&record, global.format, terminal_width())?);
        }
        if on_stdout {
            // What is beside a temporary file is lost with it.
            let folder = place.folder.clone();
            let run = |path: &Path| ReduceRun { folder, ..place.run(Some(path)) };
            let prune = |path: &Path| Ok(skimp::prune(&network, &config, run(path), &bars)?);
            let record = through_file("network.onnx", prune)?;
            drop(bars);
            global.aside(&record.to_text(None));
            return Ok(());
        }
        let record = skimp::prune(&network, &config, place.run(output), &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)
    }
}
