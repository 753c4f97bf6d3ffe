//! What a network is: inputs, outputs, layers, weights and multiply-accumulates.
//!
//!     cargo run -p skimp-examples --bin inspect [MODEL.onnx | NAME]

use skimp::{Network, Tabular, inspect};

fn main() -> anyhow::Result<()> {
    // A file, an embedded network such as "sample-resnet", or a built-in one such as "resnet20".
    let model = std::env::args().nth(1).unwrap_or_else(|| "sample-resnet".to_owned());
    let network = Network::open(&model)?;
    println!("{}: {} -> {}", network.name, network.input_names().join(", "), network.output_names().join(", "));

    // Extents of the input, where the network leaves them open, would be the second argument.
    let record = inspect(&network, None)?;
    let heaviest = record.layers.iter().max_by_key(|layer| layer.macs);
    if let Some(layer) = heaviest {
        let share = 100.0 * layer.macs as f64 / record.total.macs as f64;
        println!("{} takes the most work: {} of {} MACs ({share:.1} %)", layer.name, layer.macs, record.total.macs);
    }

    // Any record can be printed as the tables of the command line, or written as JSON.
    println!("{}", record.to_text(Some(110)));
    Ok(())
}
