//! `skimp inspect`: what a network is made of.

use clap::{ArgMatches, Args, ValueHint};

use crate::common::{Failure, input_size};

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, the name of a network (see `skimp list networks`), or a SCALE-Sim topology (.csv)
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    /// Input height and width, where the network leaves them open
    #[arg(long, value_name = "N|HxW", value_parser = input_size)]
    input_size: Option<[usize; 2]>,
    /// Say instead what skimp can do with the network, and why not: imported, integer, trained, simulated by which designs.
    /// Nothing runs
    #[arg(long, conflicts_with_all = ["export", "topology"])]
    support: bool,
    /// Also write the network as plain ONNX to this file
    #[arg(long, value_name = "OUT.onnx")]
    export: Option<std::path::PathBuf>,
    /// Also write convolutions and dense layers as a SCALE-Sim topology to this file
    #[arg(long, value_name = "OUT.csv")]
    topology: Option<std::path::PathBuf>,
}

/// The command.
pub(crate) struct Inspect;

impl super::Command for Inspect {
    fn name(&self) -> &'static str {
        "inspect"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Show a network's layers, shapes, parameters, MACs and activation sizes")
                .after_help(
                    "Counts are for one image. 1 MAC is one multiply-accumulate. weights: convolution and dense \
                     weights only; parameters: with biases and batch-norm scale and shift.\n\nExamples:\n  \
                     skimp inspect net.onnx\n  skimp inspect vgg16.onnx --input-size 224 --format json\n  \
                     skimp inspect resnet20:classes=100\n  skimp inspect net.onnx --support",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.reads(&arguments.model);
        global.check_output()?;
        global.writes("--export", arguments.export.as_deref())?;
        global.writes("--topology", arguments.topology.as_deref())?;
        if skimp::Topology::is_named(&arguments.model) {
            if arguments.input_size.is_some()
                || arguments.support
                || arguments.export.is_some()
                || arguments.topology.is_some()
            {
                let cause = "a topology is shapes only: --input-size, --support, --export and --topology do not apply";
                return Err(Failure::usage(anyhow::anyhow!("{}: {cause}", arguments.model)));
            }
            let topology = skimp::Topology::open(std::path::Path::new(&arguments.model))?;
            return global.emit(&global.render(&skimp::inspect_topology(&topology))?);
        }
        if arguments.support {
            let record = skimp::support(&arguments.model, arguments.input_size, &skimp::Designs::embedded())?;
            return global.emit(&global.render(&record)?);
        }
        let network = match arguments.export {
            Some(_) => skimp::Network::open(&arguments.model)?,
            None => skimp::Network::open_for_counting(&arguments.model)?,
        };
        global.tells(&network);
        let record = skimp::inspect(&network, arguments.input_size)?;
        if let Some(path) = &arguments.export {
            network.export(path)?;
        }
        if let Some(path) = &arguments.topology {
            let text = skimp::export_topology(&network, arguments.input_size)?;
            skimp::write_file(path, text.as_bytes())?;
        }
        global.emit(&global.render(&record)?)
    }
}
