//! `skimp run`: a network on one tensor.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::Engine;

use crate::common::Failure;

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
        "File of the first output (.npy)"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Run a network on a tensor and write its outputs").after_help(
                "--output names the .npy file; a network with several outputs writes Y.NAME.npy for each one \
                     after the first.\n\nExample:\n  skimp run net.onnx --input x.npy --output y.npy",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.apply_threads()?;
        global.check_output()?;
        let Some(output) = &global.output else {
            return Err(Failure::usage(anyhow!("skimp run needs --output Y.npy")));
        };
        let network = skimp::Network::open(&arguments.model)?;
        skimp::run_network(&network, arguments.engine, &arguments.input, output)?;
        Ok(())
    }
}
