//! One calibration, integer networks of many widths, and what each costs in accuracy.
//!
//!     cargo run -p skimp-examples --bin quantize

use skimp::{DataConfig, Network, QuantizationConfig, Silent, Split, WeightScales};

/// Images that measure accuracy.
const N_IMAGES: usize = 200;

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let of_split = |split| DataConfig { set: "sample".into(), split, ..DataConfig::default() };
    // Ranges come from training images, accuracy from others.
    let training = network.images(&of_split(Split::Train))?;
    let test = network.images(&of_split(Split::Test))?;

    // The network runs on 32 images here, and not again below.
    let calibrated = network.calibrate(&training, 32, &Silent)?;
    let float = network.accuracy(&test, N_IMAGES, &Silent)?;
    println!("32-bit floating point: {:.1} %", 100.0 * float.top1);

    for bits in [8, 6, 4, 3, 2] {
        for weight_scales in [WeightScales::PerLayer, WeightScales::PerChannel] {
            let config = QuantizationConfig {
                weight_bits: bits,
                activation_bits: bits,
                weight_scales,
                ..QuantizationConfig::default()
            };
            let quantized = calibrated.quantize(&config, &Silent)?;
            let accuracy = quantized.accuracy(&test, N_IMAGES, &Silent)?;
            println!("{bits} bits, scales {weight_scales:?}: {:.1} %", 100.0 * accuracy.top1);
        }
    }
    Ok(())
}
