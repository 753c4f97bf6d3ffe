//! `skimp simulate`: accelerators on the real operand values of a network.

use std::path::PathBuf;

use clap::{ArgMatches, Args, ValueHint};
use skimp::flags::SimulateFlags;
use skimp::{DataConfig, SimulationRecord};

use crate::common::{Failure, Format, Global, Known, costs};
use crate::options::{DataOptions, QuantizationOptions, TuningOptions};

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, the name of a network (see `skimp list networks`), or a SCALE-Sim topology (.csv: shapes only, no --data)
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    /// Accelerators, separated by commas (see `skimp list accelerators`); labels tell settings of one design apart
    #[arg(long, value_name = "[LABEL=]NAME,…", value_delimiter = ',', required = true,
        value_parser = Known(|| skimp::names("accelerators")), hide_possible_values = true)]
    accelerator: Vec<String>,
    #[command(flatten)]
    data: DataOptions,
    /// Images whose operand values drive the models
    #[arg(long, value_name = "N", default_value_t = DataConfig::default().images)]
    images: usize,
    /// Images on which approximate accelerators are judged; 0 for none
    #[arg(long, value_name = "N", default_value_t = SimulateFlags::default().accuracy_images)]
    accuracy_images: usize,
    /// Chips of designs with resistive cells that are judged on --accuracy-images, side by side: mean and 95 % interval
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    chips: Option<u32>,
    /// Also judge the chips with each non-ideality alone, and without each
    #[arg(long, requires = "chips")]
    attribution: bool,
    #[command(flatten)]
    tuning: TuningOptions,
    #[command(flatten)]
    quantization: QuantizationOptions,
    /// Cost table for the energies: `common` (one table for all), `paper` (each design by its own), a table's name or
    /// file, or `auto`: `paper` for one design, `common` for several
    #[arg(long, value_name = "COSTS", default_value_t = skimp::CostsConfig::default(), value_parser = costs(), hide_possible_values = true)]
    costs: skimp::CostsConfig,
    /// Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void
    #[arg(long, value_name = "POINTS", alias = "allowed-loss", default_value_t = SimulationRecord::default_allowed_loss_points(),
        value_parser = crate::options::points)]
    allowed_loss_points: f64,
    /// Settings of an accelerator from a file of one's own (`skimp show NAME` prints the preset), or the preset of that
    /// name; may be repeated
    #[arg(long, value_name = "ACCELERATOR=FILE|NAME")]
    preset: Vec<String>,
    /// Change a setting of an accelerator (see `skimp list settings NAME`); `costs` may be a file; may be repeated
    #[arg(long, value_name = "ACCELERATOR.KEY=VALUE")]
    set: Vec<String>,
    /// Also print the mapping of each layer (JSON always has it)
    #[arg(long)]
    mapping: bool,
    /// Also write the report, as skimp study does, into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    report: Option<PathBuf>,
    /// Write operands, exact sums and end planes of the first image as .npy files into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dump: Option<PathBuf>,
    /// Write the timeline of the first image as Chrome trace JSON, for Perfetto
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trace: Option<PathBuf>,
}

/// The command.
pub(crate) struct Simulate;

impl super::Command for Simulate {
    fn name(&self) -> &'static str {
        "simulate"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Simulate accelerators on a network and real images").after_help(
                "Tables are per image; in JSON and CSV, cycles, events and energy are sums over the images.\n\nExamples:\n  \
                     skimp simulate sample-resnet --accelerator compend,dadiannao --data sample --images 4\n  \
                     skimp simulate net.onnx --accelerator compend --data cifar10:DIR --preprocess imagenet \\\n      \
                     --set compend.end=false --format json\n  \
                     skimp simulate net.onnx --accelerator on=compend,off=compend --set off.end=false --data imagenet:DIR \\\n      \
                     --report out\n  \
                     skimp simulate net.onnx --accelerator compend --data imagenet:DIR --preset compend=chip.toml \\\n      \
                     --set compend.costs=mine.toml --dump DIR\n  \
                     skimp simulate binary.onnx --accelerator bsnn-tile,xnor-rram,isaac --data mnist:DIR --chips 100 --attribution \\\n      \
                     --set bsnn-tile.on_off_ratio=20\n  \
                     skimp simulate topology.csv --accelerator systolic --set systolic.rows=8 --trace timeline.json",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        global.reads_data(arguments.data.set());
        global.reads(&arguments.model);
        let designs = skimp::Designs::embedded();
        // Before outputs are checked: presets and cost tables in files are inputs, too.
        let accelerators =
            skimp::accelerator_configs(&designs, &arguments.accelerator, &arguments.preset, &arguments.set)?;
        let mut costs = arguments.costs.clone();
        costs.read_file(std::path::Path::new(""))?;
        global.check_output()?;
        if arguments.mapping && global.format == Format::Csv {
            return Err(Failure::usage(anyhow::anyhow!(
                "--mapping: CSV is one table, of cycles and events; take JSON"
            )));
        }
        global.writes("--trace", arguments.trace.as_deref())?;
        if skimp::Topology::is_named(&arguments.model) {
            return topology(&arguments, &global, &accelerators, &costs);
        }
        let network = skimp::Network::open(&arguments.model)?;
        global.tells(&network);
        // External data of the network are inputs, too.
        global.check_output()?;
        let config = arguments.flags().config(designs)?;
        let bars = global.bars();
        if let Some(folder) = &arguments.report {
            let record = skimp::simulate_report(&arguments.model, &config, folder, &bars)?;
            drop(bars);
            return emit(&arguments, &global, &record.simulation().cloned().unwrap_or_default());
        }
        let simulation = skimp::simulate(&network, &config, &bars)?;
        drop(bars);
        emit(&arguments, &global, &simulation.record)
    }
}

impl Arguments {
    /// As the façade has them.
    fn flags(&self) -> SimulateFlags {
        SimulateFlags {
            accelerator: self.accelerator.clone(),
            data: self.data.flags(),
            images: self.images,
            accuracy_images: self.accuracy_images,
            chips: self.chips.map(|count| count as usize),
            attribution: self.attribution,
            tuning: self.tuning.flags(),
            quantization: self.quantization.0,
            costs: self.costs.clone(),
            allowed_loss_points: self.allowed_loss_points,
            preset: self.preset.clone(),
            set: self.set.clone(),
            dump: self.dump.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// Prints a simulation, with its mappings where they are wanted.
fn emit(arguments: &Arguments, global: &Global, record: &SimulationRecord) -> Result<(), Failure> {
    let mut text = global.render(record)?;
    if arguments.mapping && global.format == Format::Table {
        text = format!("{}\n{text}", skimp::mapping_text(record, global.width()));
    }
    global.emit(&text)
}

/// Shapes only: there are no images.
fn topology(
    arguments: &Arguments,
    global: &Global,
    accelerators: &[skimp::AcceleratorConfig],
    costs: &skimp::CostsConfig,
) -> Result<(), Failure> {
    if arguments.data.is_given() || arguments.dump.is_some() {
        return Err(Failure::usage(anyhow::anyhow!("a topology has no values: --data and --dump do not apply")));
    }
    if arguments.report.is_some() {
        return Err(Failure::usage(anyhow::anyhow!("--report: a topology has no network and no data to report on")));
    }
    if arguments.chips.is_some() {
        return Err(Failure::usage(anyhow::anyhow!("--chips: a topology has no images that judge chips")));
    }
    if arguments.images != 1 {
        return Err(Failure::usage(anyhow::anyhow!("--images {}: a topology runs once", arguments.images)));
    }
    let topology = skimp::Topology::open(std::path::Path::new(&arguments.model))?;
    let bars = global.bars();
    let quantization = arguments.quantization.0;
    let (designs, trace) = (skimp::Designs::embedded(), arguments.trace.as_deref());
    let simulation = skimp::simulate_topology(&topology, &quantization, &designs, accelerators, costs, trace, &bars)?;
    drop(bars);
    emit(arguments, global, &simulation.record)
}
