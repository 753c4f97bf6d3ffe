//! Times the integer executor on a network with random inputs:
//! `integer_evaluate MODEL.onnx BATCH BITS [H W]`.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::{error::Error, path::Path, time::Instant};

use skimp_cpu::{CpuExecutor, integer::IntegerExecutor};
use skimp_graph::{Executor, integer::IntegerEngine, onnx, shape, testing::random_tensor};
use skimp_quant::{QuantizationConfig, WeightScales, calibrate, quantize};

/// Processor seconds of this process so far, where `/proc` tells: the machine may be shared.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, batch, bits, size @ ..] = arguments.as_slice() else {
        return Err("usage: integer_evaluate MODEL.onnx BATCH BITS [H W]".into());
    };
    let size = match size {
        [h, w] => Some((h.parse()?, w.parse()?)),
        _ => None,
    };
    let graph = onnx::import(Path::new(model))?;
    let input = |n: usize| -> Result<Vec<_>, Box<dyn Error>> {
        let shapes = shape::bind(&graph, n, size)?;
        Ok(shapes.into_iter().map(|shape| random_tensor(1, "x", shape, 0.0, 1.0)).collect())
    };
    let real = CpuExecutor::new(&graph)?;
    let calibration = calibrate(&graph, &real, [input(4)?])?;
    let bits: u32 = bits.parse()?;
    let config = QuantizationConfig {
        weight_bits: bits,
        activation_bits: bits,
        weight_scales: WeightScales::PerChannel,
        ..QuantizationConfig::default()
    };
    let quantized = quantize(&graph, &config, &calibration)?;
    let executor = IntegerExecutor::new(&quantized.graph)?;
    let inputs = input(batch.parse()?)?;
    let n = inputs[0].shape()[0] as f64;
    for round in 0..3 {
        for (name, run) in [("f32", true), ("integer", false)] {
            let (start, processor) = (Instant::now(), processor_seconds());
            if run {
                real.run(&inputs)?;
            } else {
                executor.run(&inputs)?;
            }
            let seconds = start.elapsed().as_secs_f64();
            let used = processor.and_then(|from| Some(processor_seconds()? - from));
            let per_processor = used.map_or(f64::NAN, |used| n / used);
            println!("round {round}: {name} {:.1} images/s, {per_processor:.1} per processor second", n / seconds);
        }
    }
    Ok(())
}
