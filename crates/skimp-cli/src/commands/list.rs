//! `skimp list`: what is registered.

use clap::{ArgMatches, Args};

use crate::common::{Failure, render};

#[derive(Args, Debug)]
struct Arguments {
    /// What to list
    #[arg(value_name = "WHAT", value_parser = skimp::LISTS.to_vec())]
    what: String,
}

/// The command.
pub(crate) struct List;

impl super::Command for List {
    fn name(&self) -> &'static str {
        "list"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("List accelerators, data sets, preprocessings, networks, studies, operators or number formats")
                .after_help("Examples:\n  skimp list accelerators\n  skimp list datasets --format json"),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let record = skimp::list(&arguments.what)?;
        global.emit(&render(&record, global.format)?)
    }
}
