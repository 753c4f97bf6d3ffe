//! `skimp convert-snn`: a network of spikes out of one of rectified values.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, ValueHint};
use skimp::graph::ops::{Reset, ResetTime};
use skimp::graph::spiking::{self, Coding, Conversion, InputCoding, Join, MaxPools};
use skimp::{ConvertSnnConfig, ConvertSnnRecord, DataConfig, Network, NirReading};

use crate::common::{Failure, Global, print, render, terminal_width, through_file};
use crate::options::DataOptions;

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of an embedded network; none where --nir is read
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: Option<String>,
    #[command(flatten)]
    data: DataOptions,
    /// Time steps; of each layer with first spikes [default: 32; none for a NIR file]
    #[arg(long, value_name = "T", help_heading = "Neurons")]
    steps: Option<usize>,
    /// What tells a value: how often a neuron fires, or when it fires once
    #[arg(long, value_name = "CODING", default_value = "rate", help_heading = "Neurons",
        value_parser = one_of(&Coding::ALL, Coding::name))]
    coding: Coding,
    /// What a spike does: takes the threshold off the potential, puts it to zero, or to zero with the next step's input lost
    /// (with --delay 1) [default: subtract; none for a NIR file]
    #[arg(long, value_name = "RESET", help_heading = "Neurons",
        value_parser = one_of(&[Reset::Subtract, Reset::Zero, Reset::Clear], Reset::name))]
    reset: Option<Reset>,
    /// Steps between a spike and its reset, 0 or 1
    #[arg(long, value_name = "STEPS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1),
        help_heading = "Neurons")]
    delay: u8,
    /// Fire above the threshold only, not on it
    #[arg(long, help_heading = "Neurons")]
    strict: bool,
    /// The first potential as a share of the threshold: a half rounds to the nearest rate, 0 rounds down
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, help_heading = "Neurons")]
    initial: f32,
    /// Thresholds cut off what lies above this percentile of a rectifier's values, zeros included; 100 is the maximum
    #[arg(long, value_name = "P", default_value_t = 99.9, help_heading = "Thresholds")]
    percentile: f64,
    /// Thresholds are this share of that value
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, help_heading = "Thresholds")]
    fraction: f64,
    /// Images that set the thresholds, the first ones of the training split where there is one
    #[arg(long, value_name = "N", default_value_t = 256, help_heading = "Thresholds")]
    calibration_images: usize,
    /// Maximum pools, but for those behind a first layer, are refused, become average pools, or pool currents before the
    /// neuron; the latter two change the network
    #[arg(long, value_name = "WAY", default_value = "refuse", help_heading = "Network",
        value_parser = one_of(&MaxPools::ALL, MaxPools::name))]
    max_pools: MaxPools,
    /// The input of each step: the values themselves, or spikes with the probabilities that they are
    #[arg(long, value_name = "CODING", default_value = "direct", help_heading = "Network",
        value_parser = one_of(&InputCoding::ALL, InputCoding::name))]
    input_coding: InputCoding,
    /// Seed of random input spikes
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Network")]
    input_seed: u64,
    /// NIR file: read where there is no MODEL, else written, of the conversion or of a MODEL that spikes already
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "NIR")]
    nir: Option<PathBuf>,
    /// Length of a time step in seconds, which NIR files do not say
    #[arg(long, value_name = "SECONDS", help_heading = "NIR")]
    dt: Option<f64>,
    /// How the outputs of a NIR file's time steps become one [default: sum of spikes; mean of what does not spike]
    #[arg(long, value_name = "WAY", help_heading = "NIR", value_parser = one_of(&Join::ALL, Join::name))]
    join: Option<Join>,
    /// Write one time step in ONNX's own operators, which any runtime runs (with --steps 1)
    #[arg(long, help_heading = "Network")]
    plain: bool,
    /// Numbers of time steps whose accuracy and spikes are measured, besides --steps
    #[arg(long, value_name = "T,…", value_delimiter = ',', help_heading = "Measurement")]
    sweep: Vec<usize>,
    /// Images of the test split on which accuracy is measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Measurement")]
    accuracy_images: usize,
}

/// One of some values by its name.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(|&one| name(one));
    PossibleValuesParser::new(names).try_map(move |word| {
        all.iter().copied().find(|&one| name(one) == word).ok_or_else(|| format!("\"{word}\" is none of the words"))
    })
}

impl Arguments {
    fn config(&self) -> Result<ConvertSnnConfig, Failure> {
        let conversion = Conversion {
            steps: self.steps.unwrap_or(32),
            coding: self.coding,
            reset: self.reset.unwrap_or(Reset::Subtract),
            reset_time: self.reset_time(),
            is_strict: self.strict,
            initial: self.initial,
            max_pools: self.max_pools,
            input: self.input_coding,
            seed: self.input_seed,
        };
        Ok(ConvertSnnConfig {
            data: DataConfig { accuracy_images: self.accuracy_images, ..self.data.ranges_config()? },
            input_size: self.data.input_size,
            conversion,
            percentile: self.percentile,
            fraction: self.fraction,
            calibration_images: self.calibration_images,
            sweep: self.sweep.clone(),
            is_plain: self.plain,
        })
    }

    fn reset_time(&self) -> ResetTime {
        if self.delay == 0 { ResetTime::SameStep } else { ResetTime::NextStep }
    }

    /// What a NIR file does not say.
    fn reading(&self) -> Result<NirReading, Failure> {
        let missing = |flag: &str, what: &str| Failure::usage(anyhow!("a NIR file does not say {what}: give {flag}"));
        Ok(NirReading {
            dt: self.dt()?,
            reset: self
                .reset
                .ok_or_else(|| missing("--reset subtract or --reset zero", "what a spike takes off the potential"))?,
            reset_time: self.reset_time(),
            is_strict: true,
            steps: self.steps.ok_or_else(|| missing("--steps T", "how many time steps the network runs"))?,
            join: self.join,
        })
    }

    fn dt(&self) -> Result<f64, Failure> {
        self.dt.ok_or_else(|| {
            Failure::usage(anyhow!("a NIR file does not say how long a time step is: give --dt SECONDS"))
        })
    }
}

/// The command.
pub(crate) struct ConvertSnn;

impl super::Command for ConvertSnn {
    fn name(&self) -> &'static str {
        "convert-snn"
    }

    fn output(&self) -> &'static str {
        "File of the spiking network (ONNX); `-` is stdout"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Convert a network of rectifiers to one of spikes").after_help(
                "--output names the ONNX file: one time step, whose neurons are of the domain skimp, and the number of steps in \
                 its metadata; skimp run, eval and inspect read it. The table gives accuracy, spikes of an image and latency for \
                 each number of steps. NIR files say \
                 neither how long a time step is nor what a spike takes off the potential: --dt and --reset do.\n\nExamples:\n  \
                 skimp convert-snn net.onnx --data cifar10:DIR --steps 128 --sweep 8,16,32,64 -o snn.onnx\n  \
                 skimp convert-snn net.onnx --data cifar10:DIR --coding first-spike --steps 16 -o timed.onnx\n  \
                 skimp convert-snn net.onnx --data mnist:DIR --reset zero --percentile 100 --initial 0 -o snn.onnx\n  \
                 skimp convert-snn --nir net.nir --dt 1e-4 --reset zero --steps 50 -o snn.onnx\n  \
                 skimp convert-snn snn.onnx --nir snn.nir --dt 1e-4\n  \
                 skimp eval snn.onnx --data cifar10:DIR",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let on_stdout = global.takes_stdout(matches)?;
        let written = arguments.nir.as_deref().filter(|_| arguments.model.is_some());
        if global.output.is_none() && written.is_none() {
            return Err(Failure::usage(anyhow!(
                "skimp convert-snn needs --output OUT.onnx, or MODEL and --nir OUT.nir"
            )));
        }
        let dt = written.map(|_| arguments.dt()).transpose()?;
        let made = made(&arguments, &global)?;
        if let (Some(path), Some(dt)) = (written, dt) {
            let lost = made.network.export_nir(dt, path)?;
            let said = format!("{} does not say: {}", path.display(), lost.join("; "));
            global.aside(&format!("{said}\n"));
        }
        match global.output.as_deref() {
            Some(_) if on_stdout => {
                through_file("network.onnx", |path| Ok(made.network.export(path)?))?;
                global.aside(&made.text(&global)?);
                Ok(())
            }
            Some(path) => {
                made.network.export(path)?;
                print(&made.text(&global)?)
            }
            None => print(&made.text(&global)?),
        }
    }
}

/// A spiking network and what there is to say of it.
struct Made {
    network: Network,
    record: Option<ConvertSnnRecord>,
}

impl Made {
    fn text(&self, global: &Global) -> Result<String, Failure> {
        match &self.record {
            Some(record) => render(record, global.format, terminal_width()),
            None => render(&skimp::inspect(&self.network, None)?, global.format, terminal_width()),
        }
    }
}

fn made(arguments: &Arguments, global: &Global) -> Result<Made, Failure> {
    let Some(model) = &arguments.model else {
        let Some(nir) = &arguments.nir else {
            return Err(Failure::usage(anyhow!("skimp convert-snn needs a MODEL, or --nir FILE")));
        };
        let reading = arguments.reading()?;
        global.reads(nir);
        global.check_output()?;
        return Ok(Made { network: Network::open_nir(nir, &reading)?, record: None });
    };
    let network = global.open(model, arguments.data.set())?;
    global.writes("--nir", arguments.nir.as_deref())?;
    if arguments.nir.is_some() && spiking::neurons(&network.graph).next().is_some() {
        return Ok(Made { network, record: None });
    }
    let config = arguments.config()?;
    let bars = global.bars();
    let converted = skimp::convert_snn(&network, &config, &bars)?;
    drop(bars);
    Ok(Made { network: converted.network, record: Some(converted.record) })
}
