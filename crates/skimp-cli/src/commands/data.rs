//! `skimp data`: what a data set holds.

use clap::{ArgMatches, Args};
use skimp::Checked;

use crate::common::{Failure, Known};

#[derive(Args, Debug)]
struct Arguments {
    /// Data set: `sample`, or NAME:DIR (see `skimp list datasets`)
    #[arg(value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: String,
    /// Decode every image, not only a hundred of each split
    #[arg(long)]
    all: bool,
}

/// The command.
pub(crate) struct Data;

impl super::Command for Data {
    fn name(&self) -> &'static str {
        "data"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Check a data set and show what it holds").after_help(
                "Says which layout it has, how classes are numbered and what is left out. Fails where a file or a \
                     decoded image is damaged.\n\nExamples:\n  skimp data cifar10:DIR\n  skimp data imagenet:DIR --all",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let checked = if arguments.all { Checked::All } else { Checked::Sample };
        let record = skimp::describe_data(&arguments.data, checked)?;
        global.emit(&global.render(&record)?)
    }
}
