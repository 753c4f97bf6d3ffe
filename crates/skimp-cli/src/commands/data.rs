//! `skimp data`: what a data set holds.

use clap::{ArgMatches, Args};

use crate::common::{Failure, Known};

#[derive(Args, Debug)]
struct Arguments {
    /// Data set: `sample`, or NAME:DIR (see `skimp list datasets`)
    #[arg(value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: String,
}

/// The command.
pub(crate) struct Data;

impl super::Command for Data {
    fn name(&self) -> &'static str {
        "data"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Check a data set and show what it holds")
                .after_help("Example:\n  skimp data cifar10:DIR"),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let record = skimp::describe_data(&arguments.data)?;
        global.emit(&global.render(&record)?)
    }
}
