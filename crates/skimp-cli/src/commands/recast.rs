//! `skimp recast`: blocks of a network become others.

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::reduction::recast::{NewKind, parse_blocks};
use skimp::{DataConfig, RecastConfig, TrainConfig};

use crate::common::{Failure, print, render, terminal_width};
use crate::options::{DataOptions, RecipeOptions, RunOptions};

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
    lesson: Lesson,
    #[command(flatten)]
    place: RunOptions,
}

// Which blocks become what.
#[derive(Args, Debug)]
#[command(next_help_heading = "Recasting")]
struct What {
    /// Numbers of the blocks, such as 1-11 or 1,3,5; left out, the blocks are listed and nothing is written
    #[arg(long, value_name = "LIST", value_parser = Blocks::parse)]
    blocks: Option<Blocks>,
    /// What they become: conv, residual, dense, dense:growth=N, same (of another width) or removed
    #[arg(long, value_name = "TYPE", default_value = "conv")]
    into: NewKind,
    /// Factors of their widths: one for each block, or one for all [default: 1]
    #[arg(long, value_name = "R,…", value_delimiter = ',')]
    ratio: Vec<f64>,
    /// Change the structure only: the new blocks keep random weights
    #[arg(long)]
    structure_only: bool,
}

/// Block numbers.
#[derive(Clone, Debug)]
struct Blocks(Vec<usize>);

impl Blocks {
    fn parse(text: &str) -> Result<Self, String> {
        parse_blocks(text).map(Self).map_err(|error| error.to_string())
    }
}

// How new blocks learn.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Lesson {
    /// Passes over the training images for each block
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: u64,
    /// Passes over the training images after all blocks
    #[arg(long, value_name = "EPOCHS", default_value_t = 0)]
    finetune: u64,
    #[command(flatten)]
    recipe: RecipeOptions,
    /// Images of the test split on which accuracy is measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    accuracy_images: usize,
}

/// The command.
pub(crate) struct Recast;

impl super::Command for Recast {
    fn name(&self) -> &'static str {
        "recast"
    }

    fn output(&self) -> &'static str {
        "File of the recast network (ONNX)"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Turn blocks of a network into blocks of another type").after_help(
                "Each new block and the one behind it learn what the old ones answered, block after block; then the whole \
                 network is tuned on the old one's logits and the labels. What is gained is less traffic of activations, \
                 sometimes at more operations. docs/reduction.md tells more.\n\nExamples:\n  \
                 skimp recast resnet50                        # its blocks, numbered\n  \
                 skimp recast resnet50 --blocks 1-11 --into conv --structure-only -o mixed.onnx\n  \
                 skimp recast net.onnx --blocks 1-9 --into conv --data cifar10:DIR --epochs 3 --finetune 5 \
                 --optimizer adam --learning-rate 1e-3 -o plain.onnx",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Arguments { model, data, what, lesson, place } = arguments;
        let output = global.output.as_deref().filter(|path| path.as_os_str() != "-");
        let blocks = what.blocks.map(|Blocks(list)| list).unwrap_or_default();
        match (output, blocks.is_empty()) {
            (None, false) => {
                return Err(Failure::usage(anyhow!("a recast network needs a file: give --output OUT.onnx")));
            }
            (Some(_), true) => return Err(Failure::usage(anyhow!("nothing is recast: give --blocks LIST"))),
            _ => {}
        }
        if !blocks.is_empty() && what.structure_only == data.is_given() {
            return Err(Failure::usage(anyhow!(
                "new blocks learn from images: give --data NAME[:DIR], or --structure-only to leave their weights random"
            )));
        }
        let network = global.open(&model, data.set())?;
        let images = if data.is_given() {
            Some(DataConfig { accuracy_images: lesson.accuracy_images, ..data.ranges_config()? })
        } else {
            None
        };
        let config = RecastConfig {
            blocks,
            into: what.into,
            ratios: what.ratio,
            data: images,
            input_size: data.input_size,
            finetune: lesson.finetune,
            training: TrainConfig { epochs: lesson.epochs, ..lesson.recipe.config() },
        };
        let bars = global.bars();
        let record = skimp::recast(&network, &config, place.run(output), &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)
    }
}
