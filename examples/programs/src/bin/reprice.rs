//! One simulation under ten cost tables: energies change, nothing runs again. What if off-chip memory were cheaper?
//!
//!     cargo run -p skimp-examples --bin reprice

use skimp::digital::costs::{COMMON_COSTS, named_or_written};
use skimp::{CostTable, DataConfig, Design, LayersConfig, Network, QuantizationConfig, Quantized, Silent};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
    let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &Silent)?;
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent)?;
    let designs = [Design::named("dadiannao")?, Design::named("cnvlutin")?];
    let simulated = traced.simulate(&designs, &Silent)?;

    println!("{:>12}{:>16}{:>16}{:>10}", "DRAM, pJ/bit", "DaDianNao, uJ", "Cnvlutin, uJ", "ratio");
    let common = named_or_written(COMMON_COSTS)?;
    for step in 0..10 {
        let factor = f64::from(10 - step) / 10.0;
        let mut table = CostTable { name: format!("{COMMON_COSTS}, DRAM x {factor}"), ..common.clone() };
        for entry in table.entries.iter_mut().filter(|entry| entry.key == "dram.bit") {
            entry.value *= factor;
        }
        let priced = simulated.price_by(&table)?;
        let [dense, sparse] = [0, 1].map(|idx| 1e3 * priced.record.accelerators[idx].total.energy_mj);
        let dram = table.energy_pj("dram.bit")?;
        println!("{dram:>12.2}{dense:>16.2}{sparse:>16.2}{:>10.3}", sparse / dense);
    }
    Ok(())
}
