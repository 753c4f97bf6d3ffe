//! `skimp quantize`: a network in 8 bits, as plain ONNX.

use std::path::Path;

use anyhow::anyhow;
use clap::{ArgMatches, Args, ValueHint};
use skimp::{DataConfig, LayerChoices, QdqConfig, QuantizeConfig, Tabular};

use crate::common::{Failure, print, render, terminal_width, through_file};
use crate::options::DataOptions;
use crate::settings::{Setting, SettingFlags, Settings};

impl Settings for QdqConfig {
    const HEADING: &'static str = "Quantization";

    const FLAGS: &'static [Setting] = &[
        Setting::new("weight_bits", "BITS", "Width of the weights, 2 to 8; stored as int8").alias(&["weights"]),
        Setting::new("activation_bits", "BITS", "Width of the activations: 8").alias(&["activations"]),
        Setting::new(
            "activation_scheme",
            "SCHEME",
            "Zero points of the activations: fixed (least code or middle), or where the range wants them",
        )
        .alias(&["scheme"]),
        Setting::new("weight_scheme", "SCHEME", "Zero points of the weights: 0, or where the range wants them"),
        Setting::new("weight_scales", "SCALES", "One weight scale for each layer, or for each output channel"),
        Setting::new("activation_type", "TYPE", "Type of the activation codes: `uint8` or `int8`"),
        Setting::new(
            "calibration",
            "METHOD",
            "Ranges of the activations: `min-max`, `percentile:P`, `mse` or `entropy`",
        ),
        Setting::new(
            "calibration_images",
            "N",
            "Images that set the ranges, the first ones of the training split where there is one (--split takes another)",
        ),
        Setting::new(
            "requantization",
            "NAME",
            "How accumulators become codes: `float` (ONNX), `gemmlowp` (two roundings), `single` or `exact`",
        ),
        Setting::new("output_form", "FORM", "Outputs: dequantized codes, or scaled accumulators of a last layer")
            .alias(&["outputs"]),
    ];
}

#[derive(Args, Debug)]
struct Arguments {
    /// ONNX file, or the name of an embedded network
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    model: String,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    qdq: SettingFlags<QdqConfig>,
    /// Layers that stay in floating point; a `*` at the end of a name stands for any ending
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = QdqConfig::HEADING)]
    keep_float: Vec<String>,
    /// Layers whose weights have another width; a `*` at the end of a name stands for any ending
    #[arg(long, value_name = "NAME=BITS,…", value_delimiter = ',', value_parser = layer_width,
        help_heading = QdqConfig::HEADING)]
    layer_weight_bits: Vec<(String, u32)>,
    /// Images of the test split on which accuracy is measured before and after; 0 for none
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Data")]
    accuracy_images: usize,
}

/// `NAME=BITS`; the name may hold `=`, the last one counts.
fn layer_width(text: &str) -> Result<(String, u32), String> {
    let malformed = || format!("\"{text}\", expected NAME=BITS with 2 to 8 bits");
    let (name, bits) = text.rsplit_once('=').ok_or_else(malformed)?;
    let bits = bits.trim().parse().ok().filter(|bits| (2..=8).contains(bits)).ok_or_else(malformed)?;
    Ok((name.to_owned(), bits))
}

/// The command.
pub(crate) struct Quantize;

impl super::Command for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn output(&self) -> &'static str {
        "File of the quantized network (ONNX); `-` is stdout"
    }

    fn arguments(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new(self.name()).about("Quantize a network to 8 bits and write it as QDQ ONNX").after_help(
                "--output names the ONNX file; with `-` it goes to stdout and the table to stderr. Any ONNX runtime \
                 runs it; `skimp eval` computes it on codes only. The table says what each layer loses: SQNR in dB, of \
                 its sums over the first images of calibration, errors of earlier layers included.\n\nExamples:\n  \
                 skimp quantize net.onnx --data cifar10:DIR -o net8.onnx\n  \
                 skimp quantize net.onnx --data cifar10:DIR --activation-scheme symmetric --calibration entropy -o net8.onnx\n  \
                 skimp quantize net.onnx --data cifar10:DIR --keep-float conv1,fc --layer-weight-bits layer3*=4 \\\n      \
                 -o net8.onnx\n  \
                 skimp eval net8.onnx --data cifar10:DIR --engine integer",
            ),
        )
    }

    fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let (arguments, global) = super::parsed::<Arguments>(matches)?;
        let Some(output) = global.output.as_deref() else {
            return Err(Failure::usage(anyhow!("skimp quantize needs --output OUT.onnx")));
        };
        let on_stdout = global.takes_stdout(matches)?;
        let network = global.open(&arguments.model, arguments.data.set())?;
        let config = QuantizeConfig {
            data: DataConfig { accuracy_images: arguments.accuracy_images, ..arguments.data.ranges_config()? },
            input_size: arguments.data.input_size,
            qdq: arguments.qdq.0,
            choices: LayerChoices { keep_float: arguments.keep_float, layer_weight_bits: arguments.layer_weight_bits },
        };
        let bars = global.bars();
        if on_stdout {
            let quantize = |path: &Path| Ok(skimp::quantize(&network, &config, path, &bars)?);
            let record = through_file("network.onnx", quantize)?;
            drop(bars);
            global.aside(&record.to_text(None));
            return Ok(());
        }
        let record = skimp::quantize(&network, &config, output, &bars)?;
        drop(bars);
        print(&render(&record, global.format, terminal_width())?)
    }
}
