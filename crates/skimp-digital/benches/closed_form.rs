//! Whole networks per second on one core: the closed forms, through the same trait as any other model.
//!
//! Baseline: SCALE-Sim 3.0.0 took 192 CPU seconds for ResNet-50 on a 256 x 256 array (weight stationary, 2 shared cores
//! of a Xeon, 22 November 2026) and did not finish VGG-16 in 499. With `SKIMP_SCALE_SIM_SECONDS` the time measured on
//! this machine is used instead.

use std::hint::black_box;

use skimp_digital::ACCELERATORS;
use skimp_sim::{Accelerator, LayerWorkload, find_model};
use skimp_testkit::{RawTimes, Times, VGG16_CONVOLUTIONS, VGG16_DENSE};
use toml::Table;

const RUNS: usize = 7;
const SCALE_SIM_SECONDS: f64 = 192.0;

fn vgg16() -> Vec<LayerWorkload> {
    let conv = |&(extent, c, k): &(usize, usize, usize)| {
        LayerWorkload::conv("c", c, extent, extent, k, 3).expect("the kernel fits")
    };
    let dense = |&(c, k): &(usize, usize)| LayerWorkload::dense("d", c, k);
    VGG16_CONVOLUTIONS.iter().map(conv).chain(VGG16_DENSE.iter().map(dense)).collect()
}

fn resnet50() -> Vec<LayerWorkload> {
    let strided = |name: &str, c, extent, k, kernel, stride| {
        let layer = LayerWorkload::conv(name, c, extent, extent, k, kernel).expect("the kernel fits");
        layer.with_shape(|shape| shape.strides = [stride, stride]).expect("the kernel fits")
    };
    let mut layers = vec![strided("conv1", 3, 224, 64, 7, 2)];
    let (mut extent, mut c) = (56, 64);
    for (stage, n_blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let k = 64 << stage;
        for block in 0..n_blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            layers.push(strided(&format!("{name}.conv1"), c, extent, k, 1, 1));
            layers.push(strided(&format!("{name}.conv2"), k, extent, k, 3, stride));
            layers.push(strided(&format!("{name}.conv3"), k, extent / stride, 4 * k, 1, 1));
            if block == 0 {
                layers.push(strided(&format!("{name}.downsample"), c, extent, 4 * k, 1, stride));
            }
            (extent, c) = (extent / stride, 4 * k);
        }
    }
    layers.push(LayerWorkload::dense("fc", c, 1000));
    layers
}

fn network(accelerator: &dyn Accelerator, layers: &[LayerWorkload]) -> u64 {
    layers.iter().map(|layer| accelerator.simulate_layer(layer, None).map_or(0, |result| result.total_cycles())).sum()
}

/// Networks of one run.
const NETWORKS: u32 = 2048;

#[allow(clippy::print_stdout, reason = "a bench prints")]
fn main() -> std::io::Result<()> {
    let mut raw = RawTimes::new("closed_form");
    let measured = std::env::var("SKIMP_SCALE_SIM_SECONDS").ok().and_then(|text| text.parse::<f64>().ok());
    let (seconds, origin) = measured.map_or((SCALE_SIM_SECONDS, "cited"), |seconds| (seconds, "given"));
    println!(
        "one thread; median and spread of {RUNS} runs of {NETWORKS} networks; SCALE-Sim: {seconds} s for ResNet-50 ({origin})"
    );
    for (shape, layers) in [("vgg16", vgg16()), ("resnet50", resnet50())] {
        for name in ["dadiannao", "systolic", "tpu-v1"] {
            let Ok(model) = find_model(ACCELERATORS, name) else { continue };
            let Ok(accelerator) = model.accelerator(&Table::new()) else { continue };
            assert!(network(&*accelerator, &layers) > 0);
            let times = Times::of(RUNS, || {
                for _ in 0..NETWORKS {
                    black_box(network(&*accelerator, &layers));
                }
            });
            raw.add(&format!("{name} {shape} x {NETWORKS}"), &times);
            let rate = f64::from(NETWORKS) / times.median();
            println!(
                "closed_form/{name}/{shape}: {rate:.0} networks/s ±{:.0} %; {:.1e} x SCALE-Sim",
                times.spread_percent(),
                rate * seconds
            );
        }
    }
    println!("raw times: {}", raw.save()?.display());
    Ok(())
}
