//! `skimp optimize`: the composition of levers that makes a figure smallest within a bound on accuracy.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::sweeps::optimize::{Aim, Budget, OptimizeConfig, Strategy};
use skimp::{CostsConfig, DataConfig, Designs};

use crate::common::{Failure, costs, print, render, terminal_width};
use crate::options::{DataOptions, RecipeOptions, points};
use crate::settings::choice;

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of an embedded or built-in network
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    aims: Aims,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    sets: SetOptions,
    #[command(flatten)]
    tuning: Tuning,
}

// What is asked for.
#[derive(Args, Debug)]
#[command(next_help_heading = "Aims")]
struct Aims {
    /// What is made small: energy@DESIGN, latency@DESIGN (cycles), measured-latency (here) or model-bytes
    #[arg(long, value_name = "WHAT[@DESIGN]")]
    objective: Aim,
    /// Points of top-1 that may be lost against the float network
    #[arg(long, value_name = "POINTS", value_parser = points, allow_negative_numbers = true)]
    max_loss: f64,
    /// What prices energies (see `skimp list costs`)
    #[arg(long, value_name = "TABLE", value_parser = costs(), default_value = "auto")]
    costs: CostsConfig,
}

// How it is searched.
#[derive(Args, Debug)]
#[command(next_help_heading = "Search")]
struct Search {
    /// Wall-clock time of the whole run, the final judgement included
    #[arg(long, value_name = "MINUTES", default_value_t = 20.0, conflicts_with = "steps")]
    minutes: f64,
    /// Try N points instead, whatever time they take: the same result on any machine
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Who proposes points: `guided`, or to compare with it `random` or `single` (one lever at a time)
    #[arg(long, value_name = "STRATEGY", value_parser = choice::<Strategy>(), default_value = "guided")]
    strategy: Strategy,
    /// A setting of the design and its further values, repeatable; these instead of skimp's own choice
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = vary)]
    vary: Vec<(String, Vec<toml::Value>)>,
}

// Three disjoint sets of images.
#[derive(Args, Debug)]
#[command(next_help_heading = "Images")]
struct SetOptions {
    /// Images of the training split that set ranges
    #[arg(long, value_name = "N", default_value_t = 64)]
    calibration_images: usize,
    /// Images of the test split on which points are judged while searching, at most: half of it, if it is small
    #[arg(long, value_name = "N", default_value_t = 2000)]
    search_images: usize,
    /// Images of the test split that judge the result, once, at most
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    accuracy_images: usize,
    /// Images whose operand values drive the design's model
    #[arg(long, value_name = "N", default_value_t = 1)]
    images: usize,
}

// How pruned networks are trained further.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Tuning {
    /// Passes over the training images after each pruning, and of each recast block
    #[arg(long, value_name = "EPOCHS", default_value_t = 1)]
    finetune: u64,
    #[command(flatten)]
    recipe: RecipeOptions,
}

/// `KEY=VALUE,…`, values as TOML has them; a bare word is a text.
fn vary(text: &str) -> Result<(String, Vec<toml::Value>), String> {
    let (key, values) = text.split_once('=').ok_or_else(|| format!("\"{text}\", expected KEY=VALUE,…"))?;
    let value = |own: &str| skimp::flags::setting(&format!("value={own}")).map(|(_, value)| value);
    Ok((key.trim().to_owned(), values.split(',').map(value).collect::<Result<_, _>>()?))
}

/// The command as a shell takes it.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-./:=,@%+".contains(c));
    let quoted = |(at, word): (usize, String)| match (at, plain(&word)) {
        // Wherever the program lies.
        (0, _) => "skimp".to_owned(),
        (_, true) => word,
        (_, false) => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.enumerate().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The command.
pub(crate) struct Optimize;

impl super::Command for Optimize {
    fn name(&self) -> &'static str {
        "optimize"
    }

    fn output(&self) -> &'static str {
        "Folder of network, configuration and report [default: skimp-optimize]"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Search what to prune, to quantize and to set for the least energy, time or size within a loss of accuracy")
                .after_help(
                    "Composes recasting of residual blocks, filter pruning and zero weights (all with --finetune passes of \
                     training), widths of weights and activations for all layers or for each, weight scales, calibration, and switches and shapes of the design. Points are judged \
                     on images of the test split; the result once on the other images of that split, with intervals: a bound inside the interval of the loss is \"not proven\". Writes network.onnx, \
                     network.qdq.onnx where QDQ form has the widths, point.toml (skimp sweep repeats the result), \
                     optimize.json, sets.json, report.html and report.md. docs/optimize.md explains them.\n\nExamples:\n  \
                     skimp optimize net.onnx --data cifar10:DIR --max-loss 0.5 --objective energy@compend --minutes 20 -o out\n  \
                     skimp optimize sample-resnet --data sample --max-loss 1 --objective latency@systolic --steps 30 -o out\n  \
                     skimp optimize net.onnx --data cifar10:DIR --max-loss 0.5 --objective energy@compend --vary pu_rows=3,18 -o out",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Arguments { model, data, aims, search, sets, tuning } = arguments;
        if global.output.as_deref().is_some_and(|path| path.as_os_str() == "-") {
            return Err(Failure::usage(anyhow!(
                "--output -: an optimization writes a folder of files, not one to stdout"
            )));
        }
        let flags = data.flags();
        if flags.split.is_some() {
            return Err(Failure::usage(anyhow!("--split: an optimization takes images of both splits: leave it out")));
        }
        global.reads_data(data.set());
        global.reads(&model);
        let network = skimp::Network::open(&model)?;
        global.tells(&network);
        let folder = global.output.clone().unwrap_or_else(|| PathBuf::from("skimp-optimize"));
        let seed = flags.seed.unwrap_or(1);
        let images = data.config(sets.images, 0)?;
        let recipe = tuning.recipe.config();
        let config = OptimizeConfig {
            input_size: flags.input_size,
            data: DataConfig { seed: None, ..images },
            aim: aims.objective,
            max_loss: aims.max_loss,
            budget: search.steps.map_or(Budget::Minutes(search.minutes), Budget::Steps),
            strategy: search.strategy,
            calibration_images: sets.calibration_images,
            search_images: sets.search_images,
            final_images: sets.accuracy_images,
            finetune: tuning.finetune,
            training: recipe,
            vary: search.vary,
            costs: aims.costs,
            designs: Designs::embedded(),
            seed,
            command: command_line(std::env::args()),
            folder: folder.clone(),
        };
        let bars = global.bars();
        let record = skimp::sweeps::optimize(&model, &network, &config, &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)?;
        if record.interrupted {
            return Err(
                anyhow!("stopped: the best so far is in {}, not judged on the final images", folder.display()).into()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::command_line;

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let words = ["/usr/bin/skimp", "optimize", "a b.onnx", "--vary", "x=1,2", "it's", ""].map(str::to_owned);
        assert_eq!(command_line(words.into_iter()), "skimp optimize 'a b.onnx' --vary x=1,2 'it'\\''s' ''");
    }
}
