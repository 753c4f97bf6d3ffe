//! A design of one's own, which skimp knows nothing of, beside an embedded one. Its model, with preset, costs, events and
//! findings, is the crate `examples/own-accelerator`.
//!
//!     cargo run -p skimp-examples --bin own_accelerator

use own_accelerator::ZeroSkippingArray;
use skimp::sim::toml::Table;
use skimp::{CostsConfig, DataConfig, Design, LayersConfig, Network, QuantizationConfig, Quantized, Silent};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
    let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &Silent)?;
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent)?;

    // Arrays of several sizes on the same trace: a small sweep.
    let mut designs = vec![Design::named("cnvlutin")?];
    for (rows, columns) in [(8, 8), (16, 16), (32, 32)] {
        let settings: Table = format!("rows = {rows}\ncolumns = {columns}").parse()?;
        designs.push(Design::of(&ZeroSkippingArray, &settings)?.labeled(format!("{rows} x {columns}")));
    }
    let priced = traced.simulate(&designs, &Silent)?.price(&CostsConfig::Paper)?;
    for design in &priced.record.accelerators {
        println!("{:<10} {:>9} cycles, priced by {}", design.label, design.total.cycles, design.costs);
    }

    // What the model reports of itself comes along.
    for finding in &priced.record.accelerators[1].findings {
        println!("{}: {} ({:?})", finding.key, finding.label, finding.value);
    }
    Ok(())
}
