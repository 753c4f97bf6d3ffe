//! Training throughput of built-in networks: `throughput NETWORK [batch] [threads] [steps] [policy]`.
//!
//! One line per run: images per second of wall time and of CPU time, over whole steps (forward pass, cross-entropy,
//! gradients, SGD with momentum 0.9) on one random batch, after three steps to warm up. `benches/pytorch_train.py` sets
//! it beside PyTorch.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use skimp_graph::networks::{self, Weights};
use skimp_graph::testing::random_tensor;
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::{LossSum, Mode, Model, ModelOptions, Policy, Targets, policy};

const WARM_UP: u64 = 3;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let network = arguments.next().context("usage: throughput NETWORK [batch] [threads] [steps] [policy]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (batch, threads, steps) = (number(64)?, number(2)?, number(20)?);
    let precision = arguments.next().unwrap_or_else(|| "fp32".to_owned());
    ensure!(steps > 0, "at least one step");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| run(&network, batch, threads, steps as u64, &precision))
}

fn run(network: &str, batch: usize, threads: usize, steps: u64, precision: &str) -> Result<()> {
    let graph = networks::build(network, Weights::Seeded(1))?;
    let mut model = Model::new(&graph, &ModelOptions { batch, ..ModelOptions::default() })?;
    let mut policy = policy::create(precision)?;
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), model.params())?;
    let len = model.input_shape().iter().product::<usize>() * batch;
    let images = random_tensor(2, "images", vec![len], 0.0, 1.0).into_f32().context("f32")?;
    let labels: Vec<usize> = (0..batch).map(|i| i * 7 % model.n_classes()).collect();
    let (losses, targets) = (LossSum::cross_entropy(0.0), Targets { labels: &labels, tensors: &[] });
    let mut step = |number: u64, policy: &mut dyn Policy| -> Result<f64> {
        model.forward(&images, batch, Mode::Train { step: number, seed: 1 }, policy)?;
        let loss = model.backward(&losses, &targets, policy)?.total;
        policy.after_backward(model.params_mut());
        optimizer.step(model.params_mut(), 0.01, policy);
        Ok(loss)
    };
    for number in 0..WARM_UP {
        step(number, policy.as_mut())?;
    }
    let (wall, cpu) = (Instant::now(), cpu_seconds()?);
    let mut loss = 0.0;
    for number in 0..steps {
        loss = step(WARM_UP + number, policy.as_mut())?;
    }
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let images = (steps * batch as u64) as f64;
    println!(
        "{network} batch {batch} threads {threads} {precision}: {:.1} images/s, {:.1} images/CPU-s, loss {loss:.4}, \
         {:.2} GiB planned",
        images / wall,
        images / cpu,
        model.n_activation_bytes() as f64 / (1_u64 << 30) as f64
    );
    Ok(())
}

/// User and system time of this process, from `/proc/self/stat` (clock ticks of 10 ms, as on every common Linux).
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("CPU time is read from /proc")?;
    let (_, fields) = stat.rsplit_once(')').context("a process status has a name in parentheses")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |idx: usize| -> Result<f64> { Ok(fields.get(idx).context("fields of CPU time")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
