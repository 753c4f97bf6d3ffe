//! `skimp run`: a network on one tensor.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::Engine;

use crate::common::{Failure, through_file};

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of a network (see `skimp list networks`)
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    /// Input tensor (.npy, f32, batch first), as the network wants it: no preprocessing is done
    #[arg(long, value_name = "X.npy", value_hint = ValueHint::FilePath)]
    input: PathBuf,
    /// Which engine computes; `integer` takes networks from `skimp quantize`
    #[arg(long, default_value = "cpu", value_parser = Engine::parse, value_name = "reference|cpu|integer")]
    engine: Engine,
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
            clap::Command::new(self.name()).about("Run a network on a tensor and write its outputs").after_help(
                "--output names the .npy file of the first output. Further ones go to Y.1.npy, Y.2.npy, … beside it, \
                     and Y.names.json says which output each file holds.\n\nExample:\n  skimp run net.onnx --input x.npy --output y.npy",
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
        global.reads(&arguments.input);
        global.check_output()?;
        let network = skimp::Network::open(&arguments.model)?;
        // External data of the network are inputs, too.
        global.check_output()?;
        if on_stdout {
            let n_outputs = network.graph.outputs().len();
            if n_outputs != 1 {
                let cause = format!("--output -: the network has {n_outputs} outputs, stdout takes one; name a file");
                return Err(Failure::usage(anyhow!(cause)));
            }
            let run = |path: &Path| Ok(skimp::run_network(&network, arguments.engine, &arguments.input, path)?);
            return through_file("output.npy", run);
        }
        skimp::run_network(&network, arguments.engine, &arguments.input, output)?;
        Ok(())
    }
}
