//! What masks and a teacher cost a training step: `fine_tuning [NETWORK] [TEACHER] [batch] [rounds]`.
//!
//! On one thread, in alternation: a plain step (forward pass, cross-entropy, gradients, SGD with momentum 0.9), the same with
//! 90 % of all weights masked, the same learning from a teacher by distillation, and the teacher's forward pass alone. Prints
//! the medians in CPU milliseconds and their ratios.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use anyhow::{Context, Result, ensure};
use skimp_data::Batch;
use skimp_graph::networks::{self, Weights};
use skimp_graph::testing::random_tensor;
use skimp_train::optimizer::{Mask, Optimizer, OptimizerConfig};
use skimp_train::{LossSum, Mode, Model, ModelOptions, TargetSource, Targets, Teacher, policy};

const WARM_UP: usize = 3;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut text = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let (network, teacher) = (text("resnet20"), text("resnet56"));
    let (batch, rounds) = (text("64").parse()?, text("20").parse()?);
    ensure!(batch > 0 && rounds > 0, "at least one image and one round");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| run(&network, &teacher, batch, rounds))
}

/// A network in training, with what a step does beside the plain one.
struct Student {
    model: Model,
    optimizer: Optimizer,
    losses: LossSum,
    teacher: Option<Teacher>,
    n_steps: u64,
}

impl Student {
    fn new(network: &str, batch: usize, teacher: Option<Teacher>) -> Result<Self> {
        let graph = networks::build(network, Weights::Seeded(1))?;
        let model = Model::new(&graph, &ModelOptions { batch, ..ModelOptions::default() })?;
        let optimizer = Optimizer::new(&OptimizerConfig::default(), model.params())?;
        let losses = match teacher {
            Some(_) => LossSum::distillation(4.0, 0.9, "teacher"),
            None => LossSum::cross_entropy(0.0),
        };
        Ok(Self { model, optimizer, losses, teacher, n_steps: 0 })
    }

    /// Masks nine of ten elements of all weights.
    fn mask(&mut self) {
        let mask_of = |param: &skimp_train::Param| {
            let is_weight = param.values().len() > 400;
            is_weight.then(|| (0..param.values().len()).map(|idx| if idx % 10 == 0 { 1.0 } else { 0.0 }).collect())
        };
        let mask = Mask { masks: self.model.params().iter().map(mask_of).collect() };
        mask.apply(self.model.params_mut());
        self.optimizer.add_hook(Box::new(mask));
    }

    fn step(&mut self, batch: &Batch) -> Result<()> {
        let mut policy = policy::create("fp32")?;
        let tensors = match &mut self.teacher {
            Some(teacher) => teacher.targets(batch)?.to_vec(),
            None => Vec::new(),
        };
        let mode = Mode::Train { step: self.n_steps, seed: 1 };
        self.model.forward(&batch.images, batch.labels.len(), mode, &mut *policy)?;
        let tensors: Vec<(&str, &[f32])> = tensors.iter().map(|(name, x)| (name.as_str(), x.as_slice())).collect();
        let targets = Targets { labels: &batch.labels, tensors: &tensors };
        self.model.backward(&self.losses, &targets, &mut *policy)?;
        policy.after_backward(self.model.params_mut());
        self.optimizer.step(self.model.params_mut(), 0.01, &mut *policy);
        self.n_steps += 1;
        Ok(())
    }
}

fn run(network: &str, teacher: &str, n_images: usize, rounds: usize) -> Result<()> {
    let frozen = || -> Result<Teacher> {
        Ok(Teacher::new(&networks::build(teacher, Weights::Seeded(2))?, &[("teacher", None)])?)
    };
    let mut plain = Student::new(network, n_images, None)?;
    let mut masked = Student::new(network, n_images, None)?;
    masked.mask();
    let mut taught = Student::new(network, n_images, Some(frozen()?))?;
    let mut alone = frozen()?;
    let [c, h, w] = plain.model.input_shape().try_into().context("a network for images")?;
    let images = random_tensor(3, "images", vec![n_images, c, h, w], 0.0, 1.0).into_f32().context("f32")?;
    let labels = (0..n_images).map(|i| i * 7 % plain.model.n_classes()).collect();
    let batch = Batch { images, shape: [n_images, c, h, w], labels, indices: (0..n_images).collect() };
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + rounds {
        let begin = cpu_seconds()?;
        plain.step(&batch)?;
        let after_plain = cpu_seconds()?;
        masked.step(&batch)?;
        let after_masked = cpu_seconds()?;
        taught.step(&batch)?;
        let after_taught = cpu_seconds()?;
        alone.targets(&batch)?;
        let end = cpu_seconds()?;
        if round >= WARM_UP {
            let found =
                [after_plain - begin, after_masked - after_plain, after_taught - after_masked, end - after_taught];
            times.iter_mut().zip(found).for_each(|(times, found)| times.push(1e3 * found));
        }
    }
    let [plain, masked, taught, alone] = times.map(median);
    println!("{network}, batch {n_images}, 1 thread, medians of {rounds} rounds, CPU ms");
    println!("plain step {plain:.2}");
    println!("masked step {masked:.2}: {:+.1} % of the plain one", 100.0 * (masked / plain - 1.0));
    println!(
        "step with teacher {teacher} {taught:.2}: {:.2} more than the plain one, the teacher's forward pass alone takes {alone:.2}",
        taught - plain
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// CPU time of this thread, in nanoseconds from `/proc/thread-self/schedstat`.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("CPU time is read from /proc")?;
    let nanoseconds: u64 = text.split_whitespace().next().context("a first field")?.parse()?;
    Ok(nanoseconds as f64 * 1e-9)
}
