//! `skimp study`: the whole pipeline, with a report.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::{StudyOverrides, StudyRun};

use crate::common::{Failure, Format, Known, Preprocessing, costs, input_size, json, print, terminal_width};
use crate::options::TuningOptions;

#[derive(Args, Debug)]
struct Arguments {
    /// Study file, or the name of an embedded study (see `skimp list studies`)
    #[arg(value_name = "STUDY", default_value = "tour", value_parser = Known(|| skimp::names("studies")),
        hide_possible_values = true)]
    study: String,
    /// Network to use instead of the study's: ONNX file, or the name of a network (see `skimp list networks`)
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    network: Option<String>,
    /// Data set to use instead of the study's
    #[arg(long, value_name = "NAME[:DIR]", value_parser = Known(|| skimp::names("datasets")), hide_possible_values = true)]
    data: Option<String>,
    /// Preprocessing to use instead of the study's
    #[arg(long, value_name = "NAME|KEYS", value_parser = Preprocessing, hide_possible_values = true)]
    preprocess: Option<String>,
    /// Input height and width, where the network leaves them open
    #[arg(long, value_name = "N|HxW", value_parser = input_size)]
    input_size: Option<[usize; 2]>,
    /// Images whose operand values drive the models
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Images on which accuracy is measured; 0 measures none
    #[arg(long, value_name = "N")]
    accuracy_images: Option<usize>,
    #[command(flatten)]
    tuning: TuningOptions,
    /// Take images at random, keyed by this seed, instead of the first ones
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Cost table for the energies instead of the study's: `common`, `paper`, a table's name or file, or `auto`
    #[arg(long, value_name = "COSTS", value_parser = costs(), hide_possible_values = true)]
    costs: Option<skimp::CostsConfig>,
    /// Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void
    #[arg(long, value_name = "POINTS", alias = "allowed-loss", value_parser = crate::options::points)]
    allowed_loss_points: Option<f64>,
    /// Go on with what is kept in the folder, or start if there is nothing
    #[arg(long)]
    resume: bool,
}

/// The command.
pub(crate) struct Study;

impl super::Command for Study {
    fn name(&self) -> &'static str {
        "study"
    }

    fn output(&self) -> &'static str {
        "Folder of the report, the records and the tables [default: skimp-study]"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name())
                .about("Run a study and write a folder with report, records and tables")
                .after_help(
                    "Writes report.html, results.json, CSV files and study.toml, the resolved configuration, which \
                     reproduces the run, into the folder of --output (default: skimp-study). What is \
                     finished is kept in DIR/runs while the study goes, of trainings at least every epoch: after Ctrl-C or a \
                     killed process --resume goes on, and what is added to the study's file runs alone. docs/studies.md explains study files.\n\nExamples:\n  \
                     skimp study\n  skimp study cifar10-resnet20 --network net.onnx --data cifar10:DIR -o out\n  \
                     skimp study vgg16-imagenet --network vgg16.onnx --data imagenet:DIR --images 4\n  \
                     skimp study my-study.toml\n  skimp study low-precision-training --resume -o few-bits",
                ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.reads(&arguments.study);
        if global.output.as_deref().is_some_and(|path| path.as_os_str() == "-") {
            return Err(Failure::usage(anyhow!("--output -: a study writes a folder of files, not one to stdout")));
        }
        let mut overrides = StudyOverrides {
            model: arguments.network,
            data: arguments.data,
            preprocess: arguments.preprocess,
            input_size: arguments.input_size,
            images: arguments.images,
            accuracy_images: arguments.accuracy_images,
            seed: arguments.seed,
            ..StudyOverrides::default()
        };
        if let Some(mut costs) = arguments.costs {
            costs.read_file(std::path::Path::new(""))?;
            overrides.own.insert("costs".to_owned(), costs.to_string().into());
        }
        if let Some(points) = arguments.allowed_loss_points {
            overrides.own.insert("allowed_loss_points".to_owned(), points.into());
        }
        let mut config = skimp::StudyConfig::open(&arguments.study, &overrides)?;
        arguments.tuning.flags().apply(&mut config.header.data);
        global.reads(&config.header.network.model);
        global.reads_data(Some(&config.header.data.set));
        let folder = global.output.clone().unwrap_or_else(|| PathBuf::from("skimp-study"));
        let bars = global.bars();
        let run = StudyRun { folder: folder.clone(), resume: arguments.resume };
        let record = skimp::run_study(&config, &run, &bars)?;
        drop(bars);
        match global.format {
            Format::Json => print(&json(&record)?),
            Format::Table => print(&format!(
                "{}\nreport: {}\n",
                skimp::study_text(&record, terminal_width()),
                folder.join("report.html").display()
            )),
            Format::Csv => print(&skimp::study_csv(&record)?),
        }
    }
}
