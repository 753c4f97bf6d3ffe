//! `skimp show`: a preset, a cost table or an embedded study as the file that it is.

use anyhow::anyhow;
use clap::{ArgMatches, Args};

use crate::common::{Failure, Format, Known, json};

#[derive(Args, Debug)]
struct Arguments {
    /// Accelerator, cost table or study
    #[arg(value_name = "ACCELERATOR|COSTS|STUDY", value_parser = Known(skimp::shown_names), hide_possible_values = true)]
    name: String,
    /// Which one, where several have the name
    #[arg(long, value_name = "KIND", value_parser = skimp::SHOWN.to_vec())]
    kind: Option<String>,
}

/// The command.
pub(crate) struct Show;

impl super::Command for Show {
    fn name(&self) -> &'static str {
        "show"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Print an accelerator's preset, a cost table or an embedded study")
                .after_help(
                    "Prints TOML: a file of one's own begins as a copy of it.\n\nExamples:\n  skimp show compend\n  \
                     skimp show compend-45nm -o mine.toml\n  skimp show sample -o study.toml\n  \
                     skimp show selective-gradients --kind study",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let record = skimp::show(&arguments.name, arguments.kind.as_deref())?;
        for kind in &record.also {
            global.bars().remark(&format!("a {kind} is called \"{}\", too: --kind {kind}", record.name));
        }
        match global.format {
            Format::Table => global.emit(&record.toml),
            Format::Json => global.emit(&json(&record)?),
            Format::Csv => Err(Failure::usage(anyhow!("--format csv: a TOML file is no table"))),
        }
    }
}
