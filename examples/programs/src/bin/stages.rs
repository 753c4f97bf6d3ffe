//! All stages from a network to energies; what each gives is kept and used again. The README shows these lines.
//!
//!     cargo run -p skimp-examples --bin stages

use skimp::{CostsConfig, DataConfig, Design, LayersConfig, Network, QuantizationConfig, Silent, Tabular};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
    // Ranges of all values, for any widths; then the exact integer network.
    let calibrated = network.calibrate(&images, 16, &Silent)?;
    let quantized = calibrated.quantize(&QuantizationConfig::default(), &Silent)?;
    // Codes and sums of every layer, for any design; then cycles and events, for any prices.
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent)?;
    let simulated = traced.simulate(&[Design::named("dadiannao")?, Design::named("cnvlutin")?], &Silent)?;
    for costs in [CostsConfig::Paper, CostsConfig::Common] {
        let priced = simulated.price(&costs)?;
        println!("{}", priced.to_text(None));
    }
    Ok(())
}
