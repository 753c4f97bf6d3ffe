//! `skimp sweep`: a design space, point by point, and its store.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, FromArgMatches, ValueHint};
use skimp::sweeps::{Caching, ExportFormat, Shard};
use skimp::{Size, SweepConfig, SweepRun};

use crate::common::{Failure, Format, Known, json, print, render, terminal_width};

#[derive(Args, Debug)]
struct Arguments {
    /// Sweep file, or the name of an embedded sweep (see `skimp list sweeps`)
    #[arg(value_name = "SWEEP", value_parser = Known(|| skimp::names("sweeps")), hide_possible_values = true, required = true)]
    sweep: Option<String>,
    /// Network to use instead of the sweep's: ONNX file, or the name of a network (see `skimp list networks`)
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    network: Option<String>,
    /// Data set to use instead of the sweep's
    #[arg(long, value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: Option<String>,
    /// Images whose operand values drive the models
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Images on which accuracy is measured; 0 measures none
    #[arg(long, value_name = "N")]
    accuracy_images: Option<usize>,
    /// Go on with the points that are in the folder, or start if there are none
    #[arg(long)]
    resume: bool,
    /// Run one of N equal parts of the points; `skimp sweep merge` joins them
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Memory in which networks, codes and traces are kept for the points that share them
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    cache: Size,
    /// Folder in which reduced networks, ranges and accuracies outlive the run, for this sweep and others
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ExportArguments {
    /// Folder of the sweep
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// Form of the table
    #[arg(long, value_name = "FORMAT", value_parser = export_format())]
    format: ExportFormat,
    /// File of the table
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Write over a file that the run reads
    #[arg(long)]
    force: bool,
}

fn export_format() -> impl TypedValueParser<Value = ExportFormat> {
    let names = PossibleValuesParser::new(ExportFormat::ALL.map(|(name, _)| name));
    names
        .map(|name| ExportFormat::ALL.iter().find(|(own, _)| *own == name).map_or(ExportFormat::Csv, |(_, form)| *form))
}

#[derive(Args, Debug)]
struct MergeArguments {
    /// Folders of sweeps, or of shards of one
    #[arg(value_name = "DIR", required = true, num_args = 1.., value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// Folder of the joined sweep
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: PathBuf,
}

/// The command.
pub(crate) struct Sweep;

impl super::Command for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn output(&self) -> &'static str {
        "Folder of the store, the report and the resolved sweep [default: skimp-sweep]"
    }

    fn arguments(&self) -> clap::Command {
        let export = ExportArguments::augment_args(
            clap::Command::new("export")
                .about("Write the points of a sweep as CSV or Parquet")
                .after_help("Example:\n  skimp sweep export skimp-sweep --format parquet -o points.parquet"),
        );
        let merge = MergeArguments::augment_args(
            clap::Command::new("merge")
                .about("Join the stores of a sweep's shards")
                .after_help("Example:\n  skimp sweep merge part1 part2 -o whole"),
        );
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Run every point of a design space, and keep each in a data base")
                .after_help(
                    "Writes sweep.sqlite (table points, one row a point), report.html and sweep.toml, the resolved \
                     sweep, into the folder of --output. A point that cannot run is a row with its reason. What points \
                     share runs once. After Ctrl-C or a killed process --resume runs what is missing. docs/sweeps.md \
                     explains sweep files and the data base.\n\nExamples:\n  \
                     skimp sweep sample-buffers -o out\n  \
                     skimp sweep buffers.toml --network net.onnx --data cifar10:DIR -o out --resume\n  \
                     skimp sweep buffers.toml --shard 1/4 -o part1\n  \
                     skimp sweep merge part1 part2 part3 part4 -o whole\n  \
                     skimp sweep export whole --format csv -o points.csv",
                ),
        )
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .subcommand(export)
        .subcommand(merge)
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        match matches.subcommand() {
            Some(("export", matches)) => export(&read(matches)?),
            Some(("merge", matches)) => merge(&read(matches)?),
            _ => run(matches),
        }
    }
}

fn read<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(|error| Failure::usage(anyhow!("{error}")))
}

fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    skimp::guard_files(arguments.force);
    skimp::note_input(&arguments.folder.join(skimp::sweeps::STORE_FILE));
    skimp::claim_file(&arguments.output, "--output")?;
    let n_points = skimp::sweeps::export(&arguments.folder, arguments.format, &arguments.output)?;
    print(&format!("{n_points} points: {}\n", arguments.output.display()))
}

fn merge(arguments: &MergeArguments) -> Result<(), Failure> {
    skimp::guard_files(false);
    let folders: Vec<&Path> = arguments.folders.iter().map(PathBuf::as_path).collect();
    let n_points = skimp::sweeps::merge(&folders, &arguments.output)?;
    print(&format!("{n_points} points: {}\n", arguments.output.display()))
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (arguments, global) = super::parsed::<Arguments>(matches)?;
    if global.output.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Failure::usage(anyhow!("--output -: a sweep writes a folder of files, not one to stdout")));
    }
    let sweep = arguments.sweep.unwrap_or_default();
    global.reads(&sweep);
    let mut config = SweepConfig::open(&sweep)?;
    if let Some(model) = arguments.network {
        config.network.insert("model".to_owned(), model.into());
    }
    if let Some(set) = arguments.data {
        config.data.insert("set".to_owned(), set.into());
    }
    for (key, number) in [("images", arguments.images), ("accuracy_images", arguments.accuracy_images)] {
        if let Some(number) = number {
            config.data.insert(key.to_owned(), toml::Value::Integer(number.try_into().unwrap_or(i64::MAX)));
        }
    }
    let text = |table: &toml::Table, key: &str| table.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    if let Some(model) = text(&config.network, "model") {
        global.reads(model);
    }
    global.reads_data(text(&config.data, "set").as_deref());
    let folder = global.output.clone().unwrap_or_else(|| PathBuf::from("skimp-sweep"));
    let bars = global.bars();
    let run = SweepRun {
        resume: arguments.resume,
        shard: arguments.shard,
        caching: Caching { bytes: arguments.cache.0, folder: arguments.cache_dir },
        ..SweepRun::new(&folder)
    };
    let summary = skimp::sweep(&config, &run, &bars)?;
    drop(bars);
    match global.format {
        Format::Json => print(&json(&summary)?)?,
        Format::Csv => print(&render(&summary, Format::Csv, None)?)?,
        Format::Table => print(&format!(
            "{}\nreport: {}\n",
            render(&summary, Format::Table, terminal_width())?,
            folder.join(skimp::sweeps::REPORT_FILE).display()
        ))?,
    }
    if summary.interrupted {
        let left = summary.n_points - summary.n_done;
        return Err(anyhow!("stopped with {left} points left; --resume goes on with them").into());
    }
    Ok(())
}
