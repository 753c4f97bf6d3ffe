//! The `skimp` command: argument parsing, progress and exit codes, and nothing else.
//!
//! Exit code 0: success; 1: the run failed; 2: the command line, a study file or a setting is wrong.

mod commands;
mod common;
mod options;
#[cfg(test)]
mod pages;
mod progress;
mod settings;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: skimp::cpu::HugePages = skimp::cpu::HugePages;

fn main() -> ExitCode {
    let matches = commands::command_line().get_matches();
    let Some((name, arguments)) = matches.subcommand() else {
        return ExitCode::from(2);
    };
    let Some(command) = commands::COMMANDS.iter().find(|command| command.name() == name) else {
        return ExitCode::from(2);
    };
    progress::watch_interrupts();
    match command.run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::complain(&failure.error);
            ExitCode::from(failure.exit_code)
        }
    }
}
