//! An accelerator of one's own beside embedded ones, on the embedded network: `own-accelerator [FOLDER]` prints the tables,
//! and writes the report of a study into the folder.

use std::path::Path;

use own_accelerator::ZeroSkippingArray;
use skimp::{DataConfig, Designs, Network, QuantizationConfig, Silent, SimulateConfig, Tabular, accelerator_configs};

fn main() -> anyhow::Result<()> {
    let designs = Designs::embedded().with(&ZeroSkippingArray)?;
    let names = ["zero-skipping-array", "dense=zero-skipping-array", "cnvlutin"].map(str::to_owned);
    let accelerators = accelerator_configs(&designs, &names, &[], &["dense.skip=false".to_owned()])?;
    let config = SimulateConfig {
        data: DataConfig { set: "sample".into(), images: 2, ..DataConfig::default() },
        input_size: None,
        quantization: QuantizationConfig::default(),
        layers: Default::default(),
        designs,
        accelerators,
        costs: Default::default(),
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    let text = match std::env::args().nth(1) {
        Some(folder) => {
            let record = skimp::simulate_report("sample-resnet", &config, Path::new(&folder), &Silent)?;
            skimp::study_text(&record, None)
        }
        None => skimp::simulate(&Network::open("sample-resnet")?, &config, &Silent)?.to_text(None),
    };
    // A program's output is its own matter.
    #[expect(clippy::print_stdout)]
    {
        println!("{text}");
    }
    Ok(())
}
