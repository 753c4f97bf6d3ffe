//! `skimp eval`: accuracy of a network on a data set.

use clap::{ArgMatches, Args, ValueHint};
use skimp::{Engine, EvaluateConfig};

use crate::common::Failure;
use crate::options::{DataOptions, OrderOptions, QuantizationOptions};
use crate::settings::choice;

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of a network (see `skimp list networks`)
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    #[command(flatten)]
    data: DataOptions,
    /// Evaluate the first N images only
    #[arg(long, value_name = "N", alias = "limit")]
    images: Option<usize>,
    /// Which engine computes; `integer` quantizes a network first that is not quantized yet, `binary` packs what multiplies bits
    /// [default: integer for a quantized network (QDQ), else cpu]
    #[arg(long, value_parser = choice::<Engine>(), value_name = "ENGINE")]
    engine: Option<Engine>,
    #[command(flatten)]
    order: OrderOptions,
    #[command(flatten)]
    quantization: QuantizationOptions,
}

/// The command.
pub(crate) struct Eval;

impl super::Command for Eval {
    fn name(&self) -> &'static str {
        "eval"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Measure a network's accuracy on a data set").after_help(
                "Accuracies in JSON are fractions.\n\nExamples:\n  skimp eval sample-resnet --data sample\n  \
                 skimp eval net.onnx --data cifar10:DIR --preprocess imagenet --format json\n  \
                 skimp eval net.onnx --data cifar10:DIR --engine integer --weight-bits 8 --activation-bits 8\n  \
                 skimp eval bnn.onnx --data cifar10:DIR --engine binary",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.reads_data(arguments.data.set());
        global.reads(&arguments.model);
        global.check_output()?;
        let network = skimp::Network::open(&arguments.model)?;
        global.tells(&network);
        // External data of the network are inputs, too.
        global.check_output()?;
        let config = EvaluateConfig {
            data: arguments.data.config(0, arguments.images.unwrap_or(usize::MAX))?,
            input_size: arguments.data.input_size,
            engine: arguments.engine,
            order: arguments.order.order(),
            quantization: arguments.quantization.0,
        };
        let bars = global.bars();
        let record = skimp::evaluate(&network, &config, &bars)?;
        drop(bars);
        global.emit(&global.render(&record)?)
    }
}
