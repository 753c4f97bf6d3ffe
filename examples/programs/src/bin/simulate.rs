//! Designs on the real operand values of a network, which runs once for all of them.
//!
//!     cargo run -p skimp-examples --bin simulate

use skimp::sim::toml::Table;
use skimp::{CostsConfig, DataConfig, Design, Designs, LayersConfig, Network, QuantizationConfig, Silent, Tabular};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
    let config = QuantizationConfig { weight_bits: 8, activation_bits: 8, ..QuantizationConfig::default() };
    let quantized = network.calibrate(&images, 16, &Silent)?.quantize(&config, &Silent)?;

    // Every layer's codes and exact sums on two images, kept in memory.
    let traced = quantized.trace(&images, 2, &LayersConfig::default(), &Silent)?;
    for layer in traced.statistics() {
        println!(
            "{:<24} {:>9} MACs, {:.2} of the activations are not 0",
            layer.name, layer.macs, layer.activation_density
        );
    }

    // A model by name as its preset has it, and one with settings of one's own.
    let settings: Table = "end = false".parse()?;
    let compend = Designs::embedded().find("compend")?;
    let designs = [
        Design::named("dadiannao")?,
        Design::of(compend, &settings)?.labeled("compend without END"),
        Design::of(compend, &Table::new())?,
    ];
    let simulated = traced.simulate(&designs, &Silent)?;
    for run in simulated.runs() {
        let cycles: u64 = run.results().map(|layer| layer.total_cycles()).sum();
        println!("{}: {cycles} cycles for both images", run.design().label());
    }
    println!("{}", simulated.price(&CostsConfig::Common)?.to_text(Some(110)));
    Ok(())
}
