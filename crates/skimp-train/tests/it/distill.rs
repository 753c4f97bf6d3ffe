//! Steps with tensors of a second network: a student learns what a teacher answers.

use std::sync::{Arc, Mutex};

use rayon::ThreadPoolBuilder;
use skimp_data::{Batch, Dataset, InputSpec, Split};
use skimp_graph::networks::{self, Weights};
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Executor as _, Graph, Op, Tensor, ops};
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::schedule::Schedule;
use skimp_train::trainer::{Trainer, TrainerConfig, Unobserved, evaluate_with};
use skimp_train::{
    LossKind, LossSum, LossTerm, Mode, Model, ModelOptions, Target, TargetSource, Targets, Teacher, TrainError, policy,
};

use crate::nets::{Net, window};

/// conv → `feature` (a ReLU of 4 maps of 5 x 5) → dense layer of 3 classes, with `width` maps before the feature.
fn small(seed: u64, width: usize, has_softmax: bool) -> Graph {
    let (mut net, x) = Net::new("small", &[1, 10, 10]);
    net.seed = seed;
    let y = net.conv("conv", x, [width, 1], window(3, 2, 1), 1);
    let y = net.builder.node("tanh", Op::Tanh, &[y]);
    let y = net.conv("mix", y, [4, width], window(1, 1, 0), 1);
    let y = net.builder.node("feature", Op::Relu, &[y]);
    let y = net.builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let w = net.constant("dense.w", &[100, 3], 0.0, 0.2);
    let mut y = net.builder.node("logits", Op::MatMul, &[y, w]);
    if has_softmax {
        y = net.builder.node("probabilities", Op::Softmax(ops::Softmax { axis: 1 }), &[y]);
    }
    net.builder.output(y);
    net.builder.build().expect("valid")
}

fn losses() -> LossSum {
    let mut losses = LossSum::distillation(4.0, 0.7, "teacher");
    losses.terms.push(LossTerm {
        kind: LossKind::MeanSquared,
        tensor: Some("feature".to_owned()),
        factor: 0.5,
        target: Target::Tensor("hint".to_owned()),
    });
    losses
}

fn batch(n: usize) -> Batch {
    Batch {
        images: random_tensor(7, "images", vec![n, 1, 10, 10], 0.0, 1.0).into_f32().expect("f32"),
        shape: [n, 1, 10, 10],
        labels: (0..n).map(|i| i % 3).collect(),
        indices: (0..n).collect(),
    }
}

/// Every loss of two networks has the slope along its gradient that small steps show, and equals what NumPy-like code
/// makes of both networks' answers on the reference interpreter.
#[test]
fn gradients_of_two_networks_are_slopes() {
    let (student, teacher) = (small(1, 3, false), small(2, 8, true));
    let batch = batch(6);
    let mut source = Teacher::new(&teacher, &[("teacher", None), ("hint", Some("feature"))]).expect("a teacher");
    let answers = source.targets(&batch).expect("fits").to_vec();
    let tensors: Vec<(&str, &[f32])> = answers.iter().map(|(name, t)| (name.as_str(), t.as_slice())).collect();
    let targets = Targets { labels: &batch.labels, tensors: &tensors };

    // The teacher's answers are those of the reference, softmax left out.
    let plain = small(2, 8, false);
    let images = Tensor::from_f32(batch.shape.to_vec(), batch.images.clone());
    let expected = Reference::new(&plain).run(std::slice::from_ref(&images)).expect("runs").remove(0);
    let (expected, found) = (expected.as_f32().expect("f32"), &answers[0].1);
    assert!(expected.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} for {expected:?}");
    assert_eq!(answers[1].1.len(), 6 * 100);

    let options = ModelOptions { batch: 6, keep: vec!["feature".to_owned()], ..ModelOptions::default() };
    let mut model = Model::new(&student, &options).expect("trains");
    let mut fp32 = policy::create("fp32").expect("registered");
    let mode = Mode::Train { step: 0, seed: 1 };
    let mut loss_at = |model: &mut Model| {
        model.forward_images(&batch.images, &batch.indices, mode, &mut *fp32).expect("fits");
        model.evaluate(&losses(), &targets).expect("fits").clone()
    };
    let report = loss_at(&mut model);

    // T² · KL(p ‖ q), in f64, from both networks' logits.
    let logits = Reference::new(&student).run(&[images]).expect("runs").remove(0);
    let softmax = |row: &[f32]| {
        let exp: Vec<f64> = row.iter().map(|&x| (f64::from(x) / 4.0).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|x| x / sum).collect::<Vec<f64>>()
    };
    let rows = expected.chunks(3).zip(logits.as_f32().expect("f32").chunks(3));
    let kl = rows.map(|(t, s)| softmax(t).iter().zip(softmax(s)).map(|(p, q)| p * (p / q).ln()).sum::<f64>());
    let kl = 16.0 * kl.sum::<f64>() / 6.0;
    assert!((report.terms[0] - kl).abs() < 1e-4 * kl.max(1.0), "{} for {kl}", report.terms[0]);

    let mut fp32 = policy::create("fp32").expect("registered");
    model.forward_images(&batch.images, &batch.indices, mode, &mut *fp32).expect("fits");
    model.backward(&losses(), &targets, &mut *fp32).expect("fits");
    let gradients: Vec<Vec<f32>> = model.params().iter().map(|param| param.grad().to_vec()).collect();
    for (idx, gradient) in gradients.iter().enumerate() {
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let start = model.params()[idx].values().to_vec();
        let length = 1e-2;
        let mut moved = |sign: f64| {
            let values = model.params_mut()[idx].values_mut();
            for ((value, &start), &g) in values.iter_mut().zip(&start).zip(gradient) {
                *value = start + (sign * length * f64::from(g) / norm) as f32;
            }
            loss_at(&mut model).total
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * length);
        model.params_mut()[idx].values_mut().copy_from_slice(&start);
        let name = model.params()[idx].name();
        assert!((slope / norm - 1.0).abs() < 0.01, "{name}: slope {slope}, gradient {norm}");
    }
}

/// The published form of the loss on one image: teacher [2, 1, 0.1], student [1, 1, 1].
///
/// Expected values: the formula in f64 (Hinton et al. 2014), to five digits.
#[test]
fn soft_targets_by_the_formula() {
    let (mut net, x) = Net::new("three", &[3]);
    let w = net.builder.constant("w", Tensor::from_f32(vec![3, 3], vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    let y = net.builder.node("y", Op::MatMul, &[x, w]);
    net.builder.output(y);
    let graph = net.builder.build().expect("valid");
    let options = ModelOptions { batch: 1, keep: vec!["y".to_owned()], ..ModelOptions::default() };
    let mut model = Model::new(&graph, &options).expect("trains");
    let mut fp32 = policy::create("fp32").expect("registered");
    for (temperature, loss, gradient) in [
        (1.0, 0.251_874, [-0.32567, 0.09090, 0.23477]),
        (2.0, 0.289_473, [-0.33671, 0.05809, 0.27862]),
        (4.0, 0.299_355, [-0.33286, 0.03570, 0.29715]),
        (20.0, 0.301_442, [-0.32487, 0.01611, 0.30875]),
    ] {
        model.forward(&[1.0; 3], 1, Mode::Train { step: 0, seed: 0 }, &mut *fp32).expect("fits");
        let losses = LossSum::distillation(temperature, 1.0, "teacher");
        let targets = Targets { labels: &[0], tensors: &[("teacher", &[2.0, 1.0, 0.1])] };
        let found = model.backward(&losses, &targets, &mut *fp32).expect("fits").total;
        assert!((found - loss).abs() < 1e-5, "T = {temperature}: {found}");
        // The weight's gradient is the image (all ones) times that of the logits.
        let weight = model.params()[0].graph_grad();
        assert!(weight[..3].iter().zip(gradient).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5), "{weight:?}");
    }
}

fn loader(images: std::ops::Range<usize>, order: Order, augment: &[&str]) -> Loader {
    let config = LoaderConfig {
        batch: 16,
        seed: 1,
        order,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().expect("known"),
        input: InputSpec { channels: 1, height: 28, width: 28 },
        augment: Augment::parse(augment).expect("known"),
    };
    let dataset = Arc::new(Dataset::open("sample", Split::Train).expect("embedded"));
    Loader::new(dataset, images.collect(), config).expect("fits")
}

/// Hands a teacher's answers on and keeps the batches that it was asked about.
#[derive(Debug)]
struct Witness {
    teacher: Teacher,
    seen: Arc<Mutex<Vec<Batch>>>,
}

impl TargetSource for Witness {
    fn targets(&mut self, batch: &Batch) -> Result<&[(String, Vec<f32>)], TrainError> {
        self.seen.lock().expect("not poisoned").push(batch.clone());
        self.teacher.targets(batch)
    }
}

/// Three epochs of a LeNet-5 under the embedded network's soft targets; its weights, and the loss against the teacher on
/// images that neither of both saw in this run.
fn student(n_threads: usize, seen: &Arc<Mutex<Vec<Batch>>>) -> (Vec<Vec<u32>>, f64, f64) {
    let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
    pool.install(|| {
        let trained = networks::build("sample-resnet", Weights::Zero).expect("built in");
        let teacher = || Teacher::new(&trained, &[("teacher", None)]).expect("a teacher");
        let graph = networks::build("lenet-5", Weights::Seeded(1)).expect("built in");
        let mut model = Model::new(&graph, &ModelOptions { batch: 16, ..ModelOptions::default() }).expect("trains");
        let mut fp32 = policy::create("fp32").expect("registered");
        let losses = LossSum::distillation(4.0, 1.0, "teacher");
        let unseen = loader(400..500, Order::Sequential, &[]);
        let measure = |model: &mut Model| {
            let mut teacher = teacher();
            let mut fp32 = policy::create("fp32").expect("registered");
            evaluate_with(model, &mut *fp32, &unseen, &losses, Some(&mut teacher)).expect("fits").loss
        };
        let before = measure(&mut model);
        let config = TrainerConfig {
            epochs: 3,
            learning_rate: 0.05,
            schedule: Schedule::parse("cosine").expect("known"),
            optimizer: OptimizerConfig::default(),
            losses: losses.clone(),
            seed: 1,
            checkpoints: None,
        };
        let training = loader(0..200, Order::Shuffled, &["crop:pad=2", "flip"]);
        let mut trainer = Trainer::new(&mut model, &mut *fp32, config, training, None).expect("valid");
        trainer.set_targets(Box::new(Witness { teacher: teacher(), seen: seen.clone() }));
        trainer.run(&Unobserved).expect("trains");
        let after = measure(&mut model);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
        (model.params().iter().map(|param| bits(param.values())).collect(), before, after)
    })
}

#[test]
fn a_student_learns_its_teacher_alike_on_any_thread_count() {
    let seen = Arc::default();
    let (weights, before, after) = student(1, &seen);
    assert!(after < 0.7 * before, "the loss against the teacher went from {before} to {after}");
    for n_threads in [2, 3] {
        assert_eq!(student(n_threads, &Arc::default()).0, weights, "{n_threads} threads");
    }
    // The teacher saw the augmented batches of the loader, in order.
    let seen = seen.lock().expect("not poisoned");
    let training = loader(0..200, Order::Shuffled, &["crop:pad=2", "flip"]);
    assert_eq!(seen.len() as u64, 3 * training.steps_per_epoch());
    for (step, batch) in seen.iter().enumerate() {
        assert_eq!(*batch, training.batch(step as u64).expect("reads"), "step {step}");
    }
}

#[test]
fn teachers_that_do_not_fit_are_told() {
    let graph = small(1, 3, false);
    let error = Teacher::new(&graph, &[("hint", Some("features"))]).expect_err("no such value").to_string();
    assert!(error.contains("it has no value \"features\""), "{error}");
    let mut wrong = Teacher::new(&graph, &[("teacher", None)]).expect("a teacher");
    let batch = Batch { images: vec![0.0; 27], shape: [1, 3, 3, 3], labels: vec![0], indices: vec![0] };
    assert!(wrong.targets(&batch).is_err());
}
