//! Whole training steps: memory, threads, learning.

use allocation_counter::measure;
use rayon::ThreadPoolBuilder;
use skimp_data::{Dataset, InputSpec, Preprocess, Split};
use skimp_graph::networks::{self, Weights};
use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Graph, Op};
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::{LossKind, LossSum, LossTerm, Mode, Model, ModelOptions, Policy, Target, Targets, Zeros, policy};

use crate::nets::{self, Net, window};

/// A run on random images.
struct Run {
    model: Model,
    policy: Box<dyn Policy>,
    optimizer: Optimizer,
    images: Vec<f32>,
    labels: Vec<usize>,
    losses: LossSum,
}

impl Run {
    fn new(graph: &Graph, batch: usize) -> Self {
        Self::with_options(graph, &ModelOptions { batch, ..ModelOptions::default() })
    }

    fn with_options(graph: &Graph, options: &ModelOptions) -> Self {
        let batch = options.batch;
        let model = Model::new(graph, options).expect("trains");
        let optimizer = Optimizer::new(&OptimizerConfig::default(), model.params()).expect("valid");
        let len = batch * model.input_shape().iter().product::<usize>();
        let images = random_tensor(3, "images", vec![len], 0.0, 1.0).into_f32().expect("f32");
        let labels = (0..batch).map(|i| i % model.n_classes()).collect();
        let policy = policy::create("fp32").expect("registered");
        Self { model, policy, optimizer, images, labels, losses: LossSum::cross_entropy(0.1) }
    }

    fn step(&mut self, step: u64) {
        let policy = self.policy.as_mut();
        self.model.forward(&self.images, self.labels.len(), Mode::Train { step, seed: 1 }, policy).expect("fits");
        let targets = Targets { labels: &self.labels, tensors: &[] };
        self.model.backward(&self.losses, &targets, policy).expect("fits");
        self.optimizer.step(self.model.params_mut(), 0.05, policy);
    }
}

#[test]
fn steady_steps_allocate_nothing() {
    // One thread: allocations are counted per thread.
    let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let small = networks::build("conv4-fc2:widths=4-4-8-8-16", Weights::Seeded(1)).expect("built in");
    for graph in [nets::residual(), small] {
        let count = pool.install(|| {
            let mut run = Run::new(&graph, 5);
            run.step(0);
            run.step(1);
            measure(|| run.step(2)).count_total
        });
        assert_eq!(count, 0, "{}", graph.name());
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for graph in [nets::residual(), nets::plain()] {
        let with = |n_threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
            pool.install(|| {
                let mut run = Run::new(&graph, 6);
                (0..3).for_each(|step| run.step(step));
                let buffers = run.model.buffers().iter().map(|buffer| bits(&buffer.values));
                let params = run.model.params().iter().map(|param| bits(param.values()));
                params.chain(buffers).collect::<Vec<_>>()
            })
        };
        let one = with(1);
        for n_threads in [2, 3] {
            assert!(with(n_threads) == one, "{} on {n_threads} threads", graph.name());
        }
    }
}

/// A small network for the embedded images.
fn classifier() -> Graph {
    let (mut net, x) = Net::new("classifier", &[1, 28, 28]);
    let y = net.conv("conv1", x, [8, 1], window(5, 2, 2), 1);
    let y = net.norm("bn1", y, 8);
    let y = net.op("relu1", Op::Relu, &[y]);
    let y = net.conv("conv2", y, [16, 8], window(3, 2, 1), 1);
    let y = net.norm("bn2", y, 16);
    let y = net.op("relu2", Op::Relu, &[y]);
    let y = net.op("pool", Op::MaxPool(ops::MaxPool { window: window(2, 2, 0) }), &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.dense("fc", y, [10, 144]);
    net.finish(y)
}

#[test]
fn a_small_network_learns_the_sample() {
    let sample = Dataset::open("sample", Split::Train).expect("embedded");
    let unit = "unit".parse::<Preprocess>().expect("a preset");
    let input = InputSpec { channels: 1, height: 28, width: 28 };
    let mut model = Model::new(&classifier(), &ModelOptions { batch: 50, ..ModelOptions::default() }).expect("trains");
    let mut policy = policy::create("fp32").expect("registered");
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), model.params()).expect("valid");
    let losses = LossSum::cross_entropy(0.0);
    let mut totals = Vec::new();
    for step in 0..60 {
        // A stride that is prime to the number of images, so that classes mix.
        let indices: Vec<usize> = (0..50).map(|i| (step * 50 + i) * 1009 % sample.len()).collect();
        let batch = sample.gather(&indices, &unit, input).expect("fits");
        let mode = Mode::Train { step: step as u64, seed: 0 };
        model.forward(&batch.images, 50, mode, policy.as_mut()).expect("fits");
        let targets = Targets { labels: &batch.labels, tensors: &[] };
        totals.push(model.backward(&losses, &targets, policy.as_mut()).expect("fits").total);
        optimizer.step(model.params_mut(), 0.05, policy.as_mut());
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&totals[..5]), mean(&totals[55..]));
    // Guessing among ten equal classes costs ln 10 = 2.3.
    assert!(first > 1.5 && last < 1.3, "the loss went from {first} to {last}");
    assert_eq!(model.first_bad_layer(), None);
}

#[test]
fn losses_at_inner_tensors_add_up() {
    let graph = nets::residual();
    let name = graph.value(graph.nodes()[2].outputs[0]).name.clone();
    let options = ModelOptions { batch: 3, keep: vec![name.clone()], ..ModelOptions::default() };
    let mut model = Model::new(&graph, &options).expect("trains");
    let mut policy = policy::create("fp32").expect("registered");
    let images = random_tensor(3, "images", vec![3 * 192], 0.0, 1.0).into_f32().expect("f32");
    let labels = [0, 3, 1];
    let shape = model.tensor_shape(&name).expect("kept").to_vec();
    let target = random_tensor(4, "target", vec![3 * shape.iter().product::<usize>()], 0.5, 1.0).into_f32();
    let target = target.expect("f32");
    let entropy = LossSum::cross_entropy(0.0).terms.remove(0);
    let hint = LossTerm {
        kind: LossKind::MeanSquared,
        tensor: Some(name.clone()),
        factor: 0.5,
        target: Target::Tensor("hint".into()),
    };
    let mut gradients = |terms: Vec<LossTerm>| {
        let mode = Mode::Train { step: 0, seed: 0 };
        model.forward(&images, 3, mode, policy.as_mut()).expect("fits");
        let targets = Targets { labels: &labels, tensors: &[("hint", &target)] };
        let report = model.backward(&LossSum { terms }, &targets, policy.as_mut()).expect("fits").clone();
        let gradients: Vec<Vec<f32>> = model.params().iter().map(|param| param.grad().to_vec()).collect();
        (report, gradients)
    };
    let (entropy_report, entropy_grads) = gradients(vec![entropy.clone()]);
    let (hint_report, hint_grads) = gradients(vec![hint.clone()]);
    let (report, grads) = gradients(vec![entropy, hint]);
    assert!((report.total - entropy_report.total - hint_report.total).abs() < 1e-12);
    assert!((report.total - report.terms[0] - 0.5 * report.terms[1]).abs() < 1e-12);
    assert!(hint_grads[0].iter().any(|g| g.abs() > 1e-4), "the hint reaches the first layer");
    assert!(hint_grads.last().expect("parameters").iter().all(|g| g.abs() < f32::MIN_POSITIVE), "but not the last");
    for ((sum, a), b) in grads.iter().zip(&entropy_grads).zip(&hint_grads) {
        let most = sum.iter().fold(1e-3_f32, |most, g| most.max(g.abs()));
        // Backward passes are linear up to f32 rounding.
        assert!(sum.iter().zip(a).zip(b).all(|((s, a), b)| (s - a - b).abs() < 1e-5 * most));
    }
    assert_eq!(model.tensor(&name).map(|x| x.len()), Some(target.len()));
    assert_eq!(model.tensor("conv1"), None, "not kept");
}

#[test]
fn bad_layers_are_named() {
    let graph = nets::residual();
    let mut run = Run::new(&graph, 2);
    run.step(0);
    assert_eq!(run.model.first_bad_layer(), None);
    // Sums of 72 products of activations near 1 with 1e38 overflow, and everything behind them becomes NaN.
    let conv2 = run.model.params().iter().position(|param| param.name() == "conv2.weight").expect("a parameter");
    let weight = run.model.params()[conv2].values().to_vec();
    run.model.params_mut()[conv2].values_mut().fill(1e38);
    let policy = run.policy.as_mut();
    run.model.forward(&run.images, 2, Mode::Train { step: 1, seed: 1 }, policy).expect("fits");
    let targets = Targets { labels: &run.labels, tensors: &[] };
    let loss = run.model.backward(&run.losses, &targets, policy).expect("fits").total;
    assert!(loss.is_nan(), "{loss}");
    assert_eq!(run.model.first_bad_layer().as_deref(), Some("conv2"));
    run.model.params_mut()[conv2].values_mut().copy_from_slice(&weight);
    let params = run.model.params_mut();
    let conv3 = params.iter().position(|param| param.name() == "conv3.weight").expect("a parameter");
    params[conv3].values_mut()[0] = f32::NAN;
    assert_eq!(run.model.first_bad_layer().as_deref(), Some("conv3"));
}

/// The sparse kernel runs only where it is said to, so that each of the three choices is one way to the same bits.
#[test]
fn skipping_zero_errors_changes_no_bit() {
    let graph = networks::build("conv4-fc2:widths=20-32-24-40-16", Weights::Seeded(1)).expect("built in");
    let weights = [Zeros::Multiply, Zeros::Skip, Zeros::Auto].map(|zero_errors| {
        let options = ModelOptions { batch: 3, zero_errors, ..ModelOptions::default() };
        let mut run = Run::with_options(&graph, &options);
        (0..3).for_each(|step| run.step(step));
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        run.model.params().iter().map(|param| bits(param.values())).collect::<Vec<_>>()
    });
    assert!(weights[0] == weights[1], "skipping everywhere");
    assert!(weights[0] == weights[2], "skipping where it is expected to be faster");
}

#[test]
fn large_batches_fit_into_memory() {
    fn is_send<T: Send>(_: &T) {}
    let graph = networks::build("vgg-small", Weights::Zero).expect("built in");
    let model = Model::new(&graph, &ModelOptions { batch: 128, ..ModelOptions::default() }).expect("trains");
    is_send(&model);
    // Values, gradients and momentum of the parameters come on top of the activations.
    let n_params: usize = model.params().iter().map(|param| param.len()).sum();
    let n_bytes = model.n_activation_bytes() + 3 * 4 * n_params;
    assert!(n_bytes < 3 << 28, "{n_bytes} bytes, expected less than 0.75 GiB");
}
