//! Every command, one file each.

mod binarize;
mod completions;
mod convert_snn;
mod data;
mod distill;
mod eval;
mod inspect;
mod list;
mod man;
mod optimize;
mod prune;
mod quantize;
mod recast;
mod report;
mod run;
mod show;
mod simulate;
mod study;
mod sweep;
mod train;

use clap::{ArgMatches, Args, FromArgMatches};

use crate::common::{Failure, Global};

/// A verb of the command line.
pub(crate) trait Command: Sync {
    /// The verb.
    fn name(&self) -> &'static str;
    /// Its arguments and help.
    fn arguments(&self) -> clap::Command;
    /// What --output means, a help text.
    fn output(&self) -> &'static str {
        "File of the result; `-` is stdout, the default"
    }
    /// Does it.
    fn run(&self, matches: &ArgMatches) -> Result<(), Failure>;
}

/// Every verb, in the order of `skimp --help`.
pub(crate) static COMMANDS: &[&dyn Command] = &[
    &study::Study,
    &sweep::Sweep,
    &optimize::Optimize,
    &inspect::Inspect,
    &run::Run,
    &eval::Eval,
    &prune::Prune,
    &distill::Distill,
    &recast::Recast,
    &quantize::Quantize,
    &binarize::Binarize,
    &convert_snn::ConvertSnn,
    &train::Train,
    &simulate::Simulate,
    &report::Report,
    &data::Data,
    &list::List,
    &show::Show,
    &completions::Completions,
    &man::Man,
];

/// The whole command line, made from the registry.
pub(crate) fn command_line() -> clap::Command {
    clap::Command::new("skimp")
        .version(env!("CARGO_PKG_VERSION"))
        .about("See what a neural network could save, bit by bit, and what it costs in accuracy")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(COMMANDS.iter().map(|command| {
            Global::augment_args(command.arguments()).mut_arg("output", |arg| arg.help(command.output()))
        }))
        .after_help(
            "Examples:\n  skimp study                                  # the embedded study, report in skimp-study/\n  \
             skimp inspect net.onnx\n  \
             skimp eval net.onnx --data cifar10:DIR --preprocess imagenet\n  \
             skimp simulate net.onnx --accelerator compend,dadiannao --data cifar10:DIR --images 4\n\n\
             Results go to stdout; progress and notes to stderr. Exit code 0: success, 1: failed, 2: wrong usage.",
        )
}

/// The parsed arguments of one command; the global ones are in force.
pub(crate) fn parsed<A: FromArgMatches>(matches: &ArgMatches) -> Result<(A, Global), Failure> {
    let read = |error: clap::Error| Failure::usage(anyhow::anyhow!("{error}"));
    let global = Global::from_arg_matches(matches).map_err(read)?;
    global.begin()?;
    Ok((A::from_arg_matches(matches).map_err(read)?, global))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{COMMANDS, command_line};

    #[test]
    fn the_command_line_is_consistent() {
        command_line().debug_assert();
    }

    /// Words of a shell: white space between them, none quoted in our examples.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let joined = help.replace("\\\n", " ");
        let commands = joined.lines().map(str::trim).filter(|line| line.starts_with("skimp "));
        commands
            .map(|line| line.split(" # ").next().unwrap_or(line).split(" > ").next().unwrap_or(line))
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn examples_of_every_help_are_accepted() {
        let mut whole = command_line();
        let mut n_examples = 0;
        let pages = COMMANDS.iter().map(|command| command.arguments().get_after_help().map(ToString::to_string));
        let pages: Vec<_> = pages.chain([whole.get_after_help().map(ToString::to_string)]).flatten().collect();
        for page in &pages {
            for words in examples(page) {
                n_examples += 1;
                if let Err(error) = whole.try_get_matches_from_mut(&words) {
                    panic!("{}: {error}", words.join(" "));
                }
            }
        }
        assert!(n_examples > COMMANDS.len(), "{n_examples} examples");
    }

    #[test]
    fn verbs_are_unique_and_show_examples() {
        let names: BTreeSet<_> = COMMANDS.iter().map(|command| command.name()).collect();
        assert_eq!(names.len(), COMMANDS.len());
        let mut descriptions = BTreeSet::new();
        for command in command_line().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(
                !about.is_empty() && descriptions.insert(about),
                "{}: no description of its own",
                command.get_name()
            );
        }
        for command in COMMANDS {
            let mut arguments = command.arguments();
            assert_eq!(arguments.get_name(), command.name());
            assert!(arguments.render_long_help().to_string().contains("skimp "), "{}: no example", command.name());
        }
    }
}
