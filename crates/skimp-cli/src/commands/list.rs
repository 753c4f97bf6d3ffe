//! `skimp list`: what is registered.

use anyhow::anyhow;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args};

use crate::common::{Failure, Known};

/// The list that is of one accelerator.
const SETTINGS: &str = "settings";

#[derive(Args, Debug)]
struct Arguments {
    /// What to list
    #[arg(value_name = "WHAT", value_parser = what())]
    what: String,
    /// Accelerator whose settings are listed
    #[arg(value_name = "ACCELERATOR", value_parser = Known(|| skimp::names("accelerators")), hide_possible_values = true)]
    accelerator: Option<String>,
}

fn what() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(skimp::lists().into_iter().chain([SETTINGS]))
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
                .about("List what is registered, or the settings of an accelerator")
                .after_help(
                    "Settings come from the accelerator's preset, which `skimp show ACCELERATOR` prints; change them \
                     with --set ACCELERATOR.KEY=VALUE.\n\nExamples:\n  skimp list accelerators\n  \
                     skimp list settings compend\n  skimp list datasets --format json",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        match (arguments.what.as_str(), arguments.accelerator) {
            (SETTINGS, Some(accelerator)) => global.emit(&global.render(&skimp::settings(&accelerator)?)?),
            (SETTINGS, None) => Err(Failure::usage(anyhow!(
                "whose settings? skimp list settings ACCELERATOR, one of: {}",
                skimp::names("accelerators").join(", ")
            ))),
            (what, None) => global.emit(&global.render(&skimp::list(what)?)?),
            (what, Some(name)) => Err(Failure::usage(anyhow!("\"{name}\": skimp list {what} takes no further name"))),
        }
    }
}
