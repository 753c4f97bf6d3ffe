//! `skimp man`: the manual pages, made from the command line itself.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{ArgMatches, Args, ValueHint};

use crate::common::Failure;

#[derive(Args, Debug)]
struct Arguments {
    /// Folder of the pages: skimp.1, skimp-inspect.1, …
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

/// The command.
pub(crate) struct Man;

impl super::Command for Man {
    fn name(&self) -> &'static str {
        "man"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Write a manual page for every command into a folder")
                .hide(true)
                .after_help("Example:\n  skimp man /usr/local/share/man/man1"),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        if global.output.is_some() {
            return Err(Failure::usage(anyhow!("skimp man DIR names its folder itself: --output does not apply")));
        }
        let folder = arguments.folder;
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut command = super::command_line();
        command.build();
        write(command, &folder)
    }
}

/// The page of `command` and of each of its visible subcommands.
fn write(command: clap::Command, folder: &std::path::Path) -> Result<(), Failure> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        // `help` is clap's own and has no page.
        if subcommand.get_name() != "help" {
            write(subcommand.clone(), folder)?;
        }
    }
    let page = clap_mangen::Man::new(command);
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).with_context(|| path.display().to_string())?;
    Ok(skimp::write_file(&path, &text)?)
}
