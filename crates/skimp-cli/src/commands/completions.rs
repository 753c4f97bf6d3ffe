//! `skimp completions`: shell completions and the manual page, made from the command line itself.

use clap::{ArgMatches, Args, ValueEnum};
use clap_complete::Shell;

use crate::common::Failure;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    /// The manual page, in roff
    Man,
}

#[derive(Args, Debug)]
struct Arguments {
    /// Shell, or `man` for the manual page
    #[arg(value_enum)]
    what: What,
}

/// The command.
pub(crate) struct Completions;

impl super::Command for Completions {
    fn name(&self) -> &'static str {
        "completions"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Print shell completions or the manual page")
                .after_help("Example:\n  skimp completions bash > /etc/bash_completion.d/skimp"),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let mut command = super::command_line();
        let mut buffer = Vec::new();
        let shell = match arguments.what {
            What::Bash => Shell::Bash,
            What::Elvish => Shell::Elvish,
            What::Fish => Shell::Fish,
            What::Powershell => Shell::PowerShell,
            What::Zsh => Shell::Zsh,
            What::Man => {
                clap_mangen::Man::new(command).render(&mut buffer).map_err(anyhow::Error::new)?;
                return global.emit(&String::from_utf8_lossy(&buffer));
            }
        };
        clap_complete::generate(shell, &mut command, "skimp", &mut buffer);
        global.emit(&String::from_utf8_lossy(&buffer))
    }
}
