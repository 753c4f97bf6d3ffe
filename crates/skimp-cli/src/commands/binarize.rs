//! `skimp binarize`: a binary network as a file of bits.

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};

use crate::common::{Failure, input_size, print, render, terminal_width, through_file};

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file of a network that is binary already
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    /// Input height and width, where the network leaves them open
    #[arg(long, value_name = "N|HxW", value_parser = input_size)]
    input_size: Option<[usize; 2]>,
}

/// The command.
pub(crate) struct Binarize;

impl super::Command for Binarize {
    fn name(&self) -> &'static str {
        "binarize"
    }

    fn output(&self) -> &'static str {
        "File of the packed network (say .skz); `-` is stdout"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Pack a network whose weights and activations have two values: one bit a weight")
                .after_help(
                    "Every command reads the packed file as it reads ONNX, and the network gives the same answers. Activations are \
                     recognised by what they compute, as Sign, Where(x >= 0, 1, -1), Relu(Sign(x)) or QONNX's BipolarQuant, weights \
                     by their values: +1 and -1 times one number for each filter. A network that is not binary is refused: \
                     skimp train --quantizer makes one.\n\nExamples:\n  \
                     skimp binarize bnn.onnx -o bnn.skz\n  \
                     skimp eval bnn.skz --engine binary --data cifar10:DIR",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Some(output) = global.output.as_deref() else {
            return Err(Failure::usage(anyhow!("skimp binarize needs --output OUT.skz")));
        };
        let on_stdout = global.takes_stdout(matches)?;
        global.reads(&arguments.model);
        global.check_output()?;
        let network = skimp::Network::open(&arguments.model)?;
        global.tells(&network);
        // External data of the network are inputs, too.
        global.check_output()?;
        let size = arguments.input_size;
        if on_stdout {
            let record = through_file("network.skz", |path| Ok(skimp::binarize(&network, size, path)?))?;
            global.aside(&skimp::Tabular::to_text(&record, None));
            return Ok(());
        }
        let record = skimp::binarize(&network, size, output)?;
        print(&render(&record, global.format, terminal_width())?)
    }
}
