//! `skimp report`: the HTML report of a finished study, made again.

use std::path::PathBuf;

use clap::{ArgMatches, Args, ValueHint};

use crate::common::Failure;

#[derive(Args, Debug)]
struct Arguments {
    /// The results.json of a study, or its folder; or the folder of a sweep
    #[arg(value_name = "RESULTS", value_hint = ValueHint::AnyPath)]
    results: PathBuf,
}

/// The command.
pub(crate) struct Report;

impl super::Command for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Make a study's HTML report again from its results.json").after_help(
                "The report goes to --output, or to stdout.\n\nExample:\n  \
                 skimp report skimp-study/results.json -o report.html",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.reads(&arguments.results);
        global.check_output()?;
        global.emit(&skimp::report(&arguments.results)?)
    }
}
