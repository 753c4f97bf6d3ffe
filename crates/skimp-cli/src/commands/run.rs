//! `skimp run`: a network on tensors.

use std::path::Path;

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::Engine;

use crate::common::{Failure, through_file};
use crate::options::OrderOptions;
use crate::settings::choice;

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of a network (see `skimp list networks`)
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    /// Input tensor (.npy, batch first), as the network wants it: no preprocessing is done. NAME=X.npy where the network
    /// has several inputs, once for each; none where it has no input
    #[arg(long, value_name = "[NAME=]X.npy", value_hint = ValueHint::FilePath)]
    input: Vec<String>,
    /// Names of the outputs to write, in this order [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    outputs: Vec<String>,
    /// Which engine computes; `integer` takes networks from `skimp quantize`
    #[arg(long, default_value = "cpu", value_parser = choice::<Engine>(), value_name = "ENGINE")]
    engine: Engine,
    #[command(flatten)]
    order: OrderOptions,
}

/// The command.
pub(crate) struct Run;

impl super::Command for Run {
    fn name(&self) -> &'static str {
        "run"
    }

    fn output(&self) -> &'static str {
        "File of the first output (.npy); `-` is stdout"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Run a network on tensors and write its outputs").after_help(
                "--output names the .npy file of the first output. Further ones go to Y.1.npy, Y.2.npy, … beside it, \
                     and Y.names.json says which output each file holds.\n\nExamples:\n  skimp run net.onnx --input x.npy --output y.npy\n  \
                     skimp run rnn.onnx --input x=x.npy --input h0=h.npy --outputs y,hn --output y.npy",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Some(output) = &global.output else {
            return Err(Failure::usage(anyhow!("skimp run needs --output Y.npy")));
        };
        let on_stdout = global.takes_stdout(matches)?;
        global.reads(&arguments.model);
        global.check_output()?;
        let network = skimp::open_for_run(&arguments.model, &arguments.input)?;
        global.tells(&network);
        let inputs = skimp::input_files(&network, &arguments.input)?;
        inputs.iter().for_each(|file| global.reads(file));
        // External data of the network are inputs, too.
        global.check_output()?;
        let n_outputs = skimp::n_chosen_outputs(&network, &arguments.outputs)?;
        let config = skimp::RunConfig {
            engine: arguments.engine,
            order: arguments.order.order(),
            inputs,
            outputs: arguments.outputs,
        };
        if on_stdout {
            if n_outputs != 1 {
                let cause = format!(
                    "--output -: the network has {n_outputs} outputs, stdout takes one; name it with --outputs, or a file"
                );
                return Err(Failure::usage(anyhow!(cause)));
            }
            let run = |path: &Path| Ok(skimp::run_network(&network, &config, path)?);
            return through_file("output.npy", run);
        }
        skimp::run_network(&network, &config, output)?;
        Ok(())
    }
}
