//! What zeros the backward pass meets in real training, and what skipping them gains.
//!
//! `zero_gradients NETWORK cifar10:DIR [steps] [threads]` trains a built-in network (SGD with momentum 0.9, learning rate
//! 0.02, batch 64, f32) for some steps, then looks at one step of it. For each convolution with an input gradient: the
//! share of errors that are not zero; the processor time of the input gradient with zero errors multiplied and skipped;
//! the share of input gradients that the ReLU below throws away, element by element and in groups that a kernel could
//! leave out as a whole, with the time it takes to look for such groups of 16 channels. At last, whole steps with and
//! without skipping, in alternation, from the same weights.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use skimp_cpu::nhwc::{ConvShape, Workspace, conv_input_grad_with, skips_zeros};
use skimp_data::{Batch, Dataset, InputSpec, Split};
use skimp_graph::networks::{self, Weights};
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::policy::{Arithmetic, Operand, Pass, Role, Site, SiteKind};
use skimp_train::{LossSum, Mode, Model, ModelOptions, Policy, Targets, Zeros, policy};

const BATCH: usize = 64;
const LEARNING_RATE: f64 = 0.02;

/// Rounds of every comparison, in alternation.
const ROUNDS: usize = 4;

/// Runs of a kernel in a round; fewer of large layers.
const MOST_RUNS: u32 = 16;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, data, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: zero_gradients NETWORK cifar10:DIR [steps] [threads]")
    };
    let number = |idx: usize, default: usize| rest.get(idx).map_or(Ok(default), |text| text.parse());
    let (steps, threads) = (number(0, 400)?, number(1, 1)?);
    ensure!(steps > 0, "at least one step");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| run(network, data, steps as u64))
}

fn run(network: &str, data: &str, steps: u64) -> Result<()> {
    let loader = loader(data)?;
    let mut training = Training::new(network, Zeros::Auto)?;
    let mut plain = policy::create("fp32")?;
    let mut loss = 0.0;
    for step in 0..steps {
        loss = training.step(&loader.batch(step)?, step, plain.as_mut())?;
    }
    println!("{network}, {} thread(s), after {steps} steps, loss {loss:.3}", rayon::current_num_threads());
    let mut watch = Watch::default();
    let batch = loader.batch(steps)?;
    training.gradients(&batch, steps, &mut watch)?;
    layers(&watch)?;
    whole_steps(network, &training, &loader, steps)
}

fn loader(data: &str) -> Result<Loader> {
    let dataset = Dataset::open(data, Split::Train)?;
    let indices = (0..dataset.len()).collect();
    let config = LoaderConfig {
        batch: BATCH,
        seed: 1,
        order: Order::Shuffled,
        last_batch: LastBatch::Drop,
        preprocess: "imagenet".parse()?,
        input: InputSpec { channels: 3, height: 32, width: 32 },
        augment: Augment::parse(&["flip", "crop:pad=4"])?,
    };
    Ok(Loader::new(Arc::new(dataset), indices, config)?)
}

struct Training {
    model: Model,
    optimizer: Optimizer,
}

impl Training {
    fn new(network: &str, zero_errors: Zeros) -> Result<Self> {
        let graph = networks::build(network, Weights::Seeded(1))?;
        let model = Model::new(&graph, &ModelOptions { batch: BATCH, zero_errors, ..ModelOptions::default() })?;
        let optimizer = Optimizer::new(&OptimizerConfig::default(), model.params())?;
        Ok(Self { model, optimizer })
    }

    fn gradients(&mut self, batch: &Batch, step: u64, policy: &mut dyn Policy) -> Result<f64> {
        self.model.forward(&batch.images, BATCH, Mode::Train { step, seed: 1 }, policy)?;
        let targets = Targets { labels: &batch.labels, tensors: &[] };
        Ok(self.model.backward(&LossSum::cross_entropy(0.0), &targets, policy)?.total)
    }

    fn step(&mut self, batch: &Batch, step: u64, policy: &mut dyn Policy) -> Result<f64> {
        let loss = self.gradients(batch, step, policy)?;
        self.optimizer.step(self.model.params_mut(), LEARNING_RATE, policy);
        Ok(loss)
    }
}

/// Plain f32 that keeps what convolutions see.
#[derive(Debug, Default)]
struct Watch {
    layers: Vec<Layer>,
}

/// Operands of a convolution, as matrices.
#[derive(Debug, Default)]
struct Layer {
    name: String,
    activation: Matrix,
    weight: Matrix,
    error: Matrix,
}

#[derive(Debug, Default)]
struct Matrix {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Policy for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn casts(&self, site: &Site, role: Role, pass: Pass) -> bool {
        let is_seen =
            matches!((role, pass), (Role::Activation | Role::Weight, Pass::Forward) | (Role::Error, Pass::InputGrad));
        site.kind == SiteKind::Conv && is_seen
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let idx = self.layers.iter().position(|layer| layer.name == site.name).unwrap_or_else(|| {
            self.layers.push(Layer { name: site.name.clone(), ..Layer::default() });
            self.layers.len() - 1
        });
        let layer = &mut self.layers[idx];
        let matrix = match operand.role {
            Role::Activation => &mut layer.activation,
            Role::Weight => &mut layer.weight,
            _ => &mut layer.error,
        };
        *matrix = Matrix { values: operand.values.to_vec(), rows: operand.rows, columns: operand.columns };
    }
}

impl Layer {
    /// The layer's shape, for square images and kernels with half a kernel of padding.
    fn shape(&self) -> Result<ConvShape> {
        let root = |n: usize| (n as f64).sqrt().round() as usize;
        let (c, k) = (self.activation.columns, self.error.columns);
        let (extent, outputs) = (root(self.activation.rows / BATCH), root(self.error.rows / BATCH));
        let kernel = root(self.weight.rows / c);
        let stride = extent.div_ceil(outputs.max(1));
        let shape = ConvShape::square(BATCH, [extent; 2], [c, k], kernel, stride, kernel / 2);
        let lens = [self.activation.values.len(), self.weight.values.len(), self.error.values.len()];
        ensure!(lens == [shape.x_len(), shape.weight_len(), shape.y_len()], "{}: another kind of layer", self.name);
        Ok(shape)
    }
}

/// Share of groups of `pixels` pixels and `channels` channels that are zero throughout.
fn zero_groups(x: &Matrix, pixels: usize, channels: usize) -> f64 {
    let (mut zero, mut all) = (0, 0);
    for rows in x.values.chunks(x.columns * pixels) {
        for first in (0..x.columns).step_by(channels) {
            let last = (first + channels).min(x.columns);
            let is_zero = rows.chunks(x.columns).all(|row| row[first..last].iter().all(|&x| x == 0.0));
            zero += u64::from(is_zero);
            all += 1;
        }
    }
    f64::from(u32::try_from(zero).unwrap_or(u32::MAX)) / f64::from(all)
}

/// Milliseconds of processor time of a run: of a series that is long for the steps in which the system counts, and no
/// more than the wall time of its fastest run times the number of threads.
fn milliseconds(n_runs: u32, mut run: impl FnMut()) -> f64 {
    let (cpu, mut fastest) = (cpu_nanoseconds(), f64::INFINITY);
    for _ in 0..n_runs {
        let start = Instant::now();
        run();
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
    }
    let mean = (cpu_nanoseconds() - cpu) as f64 * 1e-6 / f64::from(n_runs);
    let wall = fastest * rayon::current_num_threads() as f64;
    if mean > 0.0 { mean.min(wall) } else { wall }
}

/// Milliseconds that it takes to find the groups of 16 channels that are zero.
fn looking(x: &[f32]) -> f64 {
    let mut found = vec![false; x.len() / 16];
    let mut look = || {
        for (found, group) in found.iter_mut().zip(x.chunks_exact(16)) {
            *found = group.iter().fold(0, |bits, x| bits | x.to_bits()) == 0;
        }
        std::hint::black_box(&found);
    };
    (0..ROUNDS).fold(f64::INFINITY, |best, _| best.min(milliseconds(MOST_RUNS, &mut look)))
}

/// The table of layers.
fn layers(watch: &Watch) -> Result<()> {
    println!(
        "{:24} {:>7} {:>9} {:>9} {:>5} | masked: {:>6} {:>7} {:>7} {:>7} {:>8} {:>9}",
        "input gradient", "errors", "multiply", "skip", "auto", "single", "16 ch", "32 ch", "pixel", "8 x 32", "look"
    );
    let mut workspace = Workspace::new();
    for layer in watch.layers.iter().filter(|layer| !layer.error.values.is_empty()) {
        let shape = layer.shape()?;
        let (dy, w) = (&layer.error.values, &layer.weight.values);
        let mut dx = vec![0.0; shape.x_len()];
        let n_runs = (4_000_000_000 / shape.macs()).clamp(2, u64::from(MOST_RUNS)) as u32;
        let mut times = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (best, zeros) in times.iter_mut().zip([Zeros::Multiply, Zeros::Skip]) {
                let how = (Arithmetic::F32, zeros);
                let run = || conv_input_grad_with(&shape, dy, w, &mut dx, how, &mut workspace);
                *best = best.min(milliseconds(n_runs, run));
            }
        }
        let density = dy.iter().filter(|&&x| x != 0.0).count() as f64 / dy.len() as f64;
        let x = &layer.activation;
        println!(
            "{:24} {:7.3} {:6.2} ms {:6.2} ms {:>5} | {:14.3} {:7.4} {:7.4} {:7.4} {:8.5} {:6.2} ms",
            layer.name,
            density,
            times[0],
            times[1],
            if skips_zeros(&shape, dy, Arithmetic::F32) { "skip" } else { "-" },
            zero_groups(x, 1, 1),
            zero_groups(x, 1, 16),
            zero_groups(x, 1, 32),
            zero_groups(x, 1, x.columns),
            zero_groups(x, 8, 32),
            looking(&x.values),
        );
    }
    Ok(())
}

/// Nanoseconds of processor time of all threads; 0 where the system does not tell.
fn cpu_nanoseconds() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let of_task = |path: std::path::PathBuf| {
        let counters = std::fs::read_to_string(path.join("schedstat")).ok()?;
        counters.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).sum()
}

/// Whole steps from the same weights, zero errors multiplied, chosen, and skipped wherever there is a kernel for that.
fn whole_steps(network: &str, trained: &Training, loader: &Loader, first: u64) -> Result<()> {
    const STEPS: u64 = 10;
    let choices = [("multiply", Zeros::Multiply), ("auto", Zeros::Auto), ("skip", Zeros::Skip)];
    let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    let mut runs = Vec::new();
    for (_, zeros) in choices {
        let mut training = Training::new(network, zeros)?;
        for (to, from) in training.model.params_mut().iter_mut().zip(trained.model.params()) {
            to.values_mut().copy_from_slice(from.values());
        }
        runs.push(training);
    }
    let mut plain = policy::create("fp32")?;
    for round in 0..STEPS {
        let batch = loader.batch(first + round)?;
        for (training, times) in runs.iter_mut().zip(&mut times) {
            let (wall, cpu) = (Instant::now(), cpu_nanoseconds());
            training.step(&batch, first + round, plain.as_mut())?;
            times[0].push(wall.elapsed().as_secs_f64() * 1e3);
            times[1].push((cpu_nanoseconds() - cpu) as f64 * 1e-6);
        }
        let bits = |training: &Training| -> Vec<Vec<u32>> {
            let values = training.model.params().iter().map(|param| param.values());
            values.map(|values| values.iter().map(|x| x.to_bits()).collect()).collect()
        };
        let expected = bits(&runs[0]);
        ensure!(runs.iter().all(|training| bits(training) == expected), "steps differ in round {round}");
    }
    for ((name, _), times) in choices.into_iter().zip(&mut times) {
        for times in times.iter_mut() {
            times.sort_by(f64::total_cmp);
        }
        let median = |times: &[f64]| times.get(times.len() / 2).copied().context("a round");
        println!("whole step, {name:8}: {:7.2} ms, {:7.2} CPU-ms (medians)", median(&times[0])?, median(&times[1])?);
    }
    println!("the same weights, bit by bit, after {STEPS} steps of each");
    Ok(())
}
