//! What all commands share: global flags, output, failures.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum, ValueHint};
use skimp::{Monitor as _, Preprocess, Size, StudyError, SweepError, Tabular};

pub(crate) use skimp::flags::input_size;

use crate::progress::Bars;

/// A failure and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    pub(crate) exit_code: u8,
}

impl Failure {
    /// The user asked for something that cannot be.
    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self { error, exit_code: 2 }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        let exit_code = if error.is_usage() { 2 } else { 1 };
        Self { error: error.into(), exit_code }
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        let exit_code = if error.is_usage() { 2 } else { 1 };
        Self { error: error.into(), exit_code }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, exit_code: 1 }
    }
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// One document with a `schema` key.
    Json,
    /// Comma-separated values.
    Csv,
}

// Flags that every command has. A doc comment here would replace each command's own description.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Global options")]
    pub(crate) format: Format,
    /// File of the result; `-` is stdout
    #[arg(short, long, value_name = "PATH", help_heading = "Global options", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Global options")]
    pub(crate) threads: Option<usize>,
    /// Memory that the run may take, such as 8GiB; more is an error, not a crash [default: 3/4 of the machine]
    #[arg(long, value_name = "SIZE", help_heading = "Global options")]
    pub(crate) memory: Option<Size>,
    /// Write over files that the run reads, and over files in folders of results that skimp did not write
    #[arg(long, help_heading = "Global options")]
    pub(crate) force: bool,
    /// Print neither progress nor notes
    #[arg(short, long, help_heading = "Global options", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print the stages of a run even where stderr is not a terminal
    #[arg(short, long, help_heading = "Global options")]
    pub(crate) verbose: bool,
}

impl Global {
    /// The progress bars of this run.
    pub(crate) fn bars(&self) -> Bars {
        Bars::new(self.quiet, self.verbose)
    }

    /// Puts in force what holds for the whole process.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        skimp::guard_files(self.force);
        if let Some(memory) = self.memory {
            skimp::set_memory(memory);
        }
        match self.threads {
            None => Ok(()),
            Some(n) => skimp::set_threads(n).map_err(|error| {
                let exit_code = 2;
                Failure { error: anyhow::Error::new(error).context(format!("--threads {n}")), exit_code }
            }),
        }
    }

    /// Notes what a command reads, before [`check_output`](Self::check_output): network, configuration or other file.
    pub(crate) fn reads(&self, path: impl AsRef<Path>) {
        skimp::note_input(path.as_ref());
    }

    /// Tells what of a network is computed otherwise than its file says.
    pub(crate) fn tells(&self, network: &skimp::Network) {
        if let Some(text) = network.adaptation() {
            self.bars().note(&text);
        }
    }

    /// [`reads`](Self::reads) for a data set.
    pub(crate) fn reads_data(&self, spec: Option<&str>) {
        spec.iter().for_each(|spec| skimp::note_data(spec));
    }

    /// Opens a network of which a result is made. All that is read is noted first, external data of the network included,
    /// so that no result replaces it.
    pub(crate) fn open(&self, model: &str, data: Option<&str>) -> Result<skimp::Network, Failure> {
        self.reads_data(data);
        self.reads(model);
        self.check_output()?;
        let network = skimp::Network::open(model)?;
        self.tells(&network);
        self.check_output()?;
        Ok(network)
    }

    /// Checks before a long run that its result can be written to `--output`.
    pub(crate) fn check_output(&self) -> Result<(), Failure> {
        self.writes("--output", self.output.as_deref())
    }

    /// Checks before a long run that what `flag` names can be written, and replaces no input and no other result.
    pub(crate) fn writes(&self, flag: &str, path: Option<&Path>) -> Result<(), Failure> {
        match path {
            Some(path) if path.as_os_str() != "-" => skimp::claim_file(path, flag).map_err(Failure::from),
            _ => Ok(()),
        }
    }

    /// Whether --output gives stdout to a file, which then takes no table beside it.
    pub(crate) fn takes_stdout(&self, matches: &ArgMatches) -> Result<bool, Failure> {
        if self.output.as_deref().is_none_or(|path| path.as_os_str() != "-") {
            return Ok(false);
        }
        if matches.value_source("format") == Some(ValueSource::CommandLine) {
            return Err(Failure::usage(anyhow::anyhow!("--output - gives stdout to the file: leave out --format")));
        }
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--output -: stdout is a terminal; redirect it, or name a file"
            )));
        }
        Ok(true)
    }

    /// Prints a table to stderr, where stdout holds something else.
    pub(crate) fn aside(&self, text: &str) {
        if !self.quiet {
            crate::progress::aside(text);
        }
    }

    /// Columns that tables on stdout may take; `None` where they are as wide as they are: `COLUMNS` where it is set, else
    /// those of the terminal; no bound for files and pipes.
    pub(crate) fn width(&self) -> Option<usize> {
        if self.output.as_deref().is_some_and(|path| path.as_os_str() != "-") {
            return None;
        }
        terminal_width()
    }

    /// A record in the format that the user chose, for [`Self::emit`].
    pub(crate) fn render<R: Tabular>(&self, record: &R) -> Result<String, Failure> {
        render(record, self.format, self.width())
    }

    /// Writes a result to stdout or, whole or not at all, to `--output`.
    pub(crate) fn emit(&self, text: &str) -> Result<(), Failure> {
        match self.output.as_deref() {
            Some(path) if path.as_os_str() != "-" => skimp::write_file(path, text.as_bytes()).map_err(Failure::from),
            _ => print(text),
        }
    }
}

/// Lets `write` write a file, and gives its bytes to stdout.
pub(crate) fn through_file<T>(name: &str, write: impl FnOnce(&Path) -> Result<T, Failure>) -> Result<T, Failure> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = folder.path().join(name);
    let done = write(&path)?;
    print_bytes(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
    Ok(done)
}

/// Prints to stdout. A reader that went away (`| head`) is not a failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("stdout").into())
        }
        _ => Ok(()),
    }
}

/// Columns of the terminal that stdout is, or that `COLUMNS` says there are.
pub(crate) fn terminal_width() -> Option<usize> {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let terminal = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    set.or_else(terminal).filter(|&width| width > 0)
}

/// A record in the format that the user chose, tables within `width`.
pub(crate) fn render<R: Tabular>(record: &R, format: Format, width: Option<usize>) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(record.to_text(width)),
        Format::Json => json(record),
        Format::Csv => record.to_csv().map_err(Failure::from),
    }
}

/// A JSON document with its final newline.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    Ok(text)
}

/// A word for which completion knows values. Any other is for the run to judge, which names the nearest one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known(pub(crate) fn() -> Vec<&'static str>);

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// Reads `--costs`; completion knows the words and the tables.
pub(crate) fn costs() -> impl TypedValueParser<Value = skimp::CostsConfig> {
    let words = || [&["auto", "common", "paper"][..], &skimp::names("costs")].concat();
    Known(words).map(skimp::CostsConfig::from)
}

/// Reads `--preprocess`, checked while the command line is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preprocessing;

impl TypedValueParser for Preprocessing {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        let checked = |text: String| text.parse::<Preprocess>().map(|_| text).map_err(|error| error.to_string());
        StringValueParser::new().try_map(checked).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(skimp::names("preprocessings").into_iter().map(PossibleValue::new)))
    }
}
