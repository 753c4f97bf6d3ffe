//! `skimp distill`: a student learns from a teacher.

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::{DataConfig, DistillConfig, DistillValues, TrainConfig};

use crate::common::{Failure, print, render, terminal_width};
use crate::options::{DataOptions, RecipeOptions, RunOptions};

#[derive(Args, Debug)]
struct Arguments {
    /// The student: a built-in network (see `skimp list networks`), trained from scratch; or an ONNX file, trained further
    #[arg(value_name = "STUDENT", value_hint = ValueHint::FilePath)]
    student: String,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    lesson: Lesson,
    #[command(flatten)]
    place: RunOptions,
}

// What the student learns, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Lesson {
    /// The teacher: an ONNX file, or the name of an embedded network
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    teacher: String,
    /// Temperature of both softmaxes
    #[arg(long, value_name = "T", default_value_t = 4.0)]
    temperature: f32,
    /// Share of the teacher's term in the loss; the rest is cross-entropy with the labels
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    alpha: f32,
    /// First let layers of the student learn a value of the teacher, by names of values or nodes; `auto`: the ends of the
    /// middle stages
    #[arg(long, value_name = "STUDENT=TEACHER|auto")]
    hint: Option<DistillValues>,
    /// Passes over the training images for the hint [default: --epochs]
    #[arg(long, value_name = "N", requires = "hint")]
    hint_epochs: Option<u64>,
    /// Let attention maps of the student learn from those of the teacher, too; `auto`: at the ends of all stages
    #[arg(long, value_name = "STUDENT=TEACHER,…|auto")]
    attention: Option<DistillValues>,
    /// Factor of each attention term in the loss
    #[arg(long, value_name = "FACTOR", default_value_t = 1000.0)]
    beta: f32,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: u64,
    #[command(flatten)]
    recipe: RecipeOptions,
    /// Images of the test split on which accuracy and loss are measured before and after; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    accuracy_images: usize,
}

/// The command.
pub(crate) struct Distill;

impl super::Command for Distill {
    fn name(&self) -> &'static str {
        "distill"
    }

    fn output(&self) -> &'static str {
        "File of the trained student (ONNX)"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Train a network on the answers of another one").after_help(
                "The loss is alpha T² KL(teacher || student) at the temperature plus (1 - alpha) times the cross-entropy \
                 with the labels, summed over classes, a mean over images. The teacher answers in inference form for the \
                 same augmented images and does not change. --attention adds the difference of attention maps inside of both \
                 networks, --hint trains the first layers before all that. docs/reduction.md tells more.\n\nExamples:\n  \
                 skimp distill smaller.onnx --teacher net.onnx --data cifar10:DIR --epochs 5 -o taught.onnx\n  \
                 skimp distill resnet20 --teacher resnet56.onnx --data cifar10:DIR --epochs 60 --temperature 4 --alpha 0.9 \
                 --learning-rate 0.1 --augment flip --augment crop:pad=4 -o taught.onnx\n  \
                 skimp distill resnet20 --teacher resnet56.onnx --data cifar10:DIR --attention auto --alpha 0 --epochs 60 -o taught.onnx\n  \
                 skimp distill small.onnx --teacher net.onnx --data cifar10:DIR --hint relu3=relu9 --hint-epochs 5 -o taught.onnx",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Arguments { student, data, lesson, place } = arguments;
        let output = global
            .output
            .clone()
            .filter(|path| path.as_os_str() != "-")
            .ok_or_else(|| Failure::usage(anyhow!("a trained network needs a file: give --output MODEL.onnx")))?;
        global.reads_data(data.set());
        global.reads(&student);
        global.reads(&lesson.teacher);
        global.check_output()?;
        let training = TrainConfig { epochs: lesson.epochs, ..lesson.recipe.config() };
        let student = skimp::Network::open_for_training(&student, training.seed)?;
        let teacher = skimp::Network::open(&lesson.teacher)?;
        global.tells(&teacher);
        // External data of the networks are inputs, too.
        global.check_output()?;
        let config = DistillConfig {
            temperature: lesson.temperature,
            alpha: lesson.alpha,
            hint: lesson.hint,
            hint_epochs: lesson.hint_epochs,
            attention: lesson.attention,
            beta: lesson.beta,
            data: DataConfig { accuracy_images: lesson.accuracy_images, ..data.ranges_config()? },
            input_size: data.input_size,
            training,
        };
        let bars = global.bars();
        let record = skimp::distill(&student, &teacher, &config, place.run(Some(&output)), &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)
    }
}
