use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::networks::{self, Weights};
use skimp_graph::ops;
use skimp_graph::{DType, Dim, Gemm, GraphBuilder, Op, Tensor};

use super::*;
use crate::augment::Augment;
use crate::loader::{LastBatch, LoaderConfig, Order};
use crate::{ModelOptions, policy};

const BATCH: usize = 16;

fn model(network: &str) -> Model {
    let graph = networks::build(network, Weights::Seeded(1)).unwrap();
    Model::new(&graph, &ModelOptions { batch: BATCH, ..ModelOptions::default() }).unwrap()
}

fn loader(images: std::ops::Range<usize>, order: Order) -> Loader {
    let config = LoaderConfig {
        batch: BATCH,
        seed: 1,
        order,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().unwrap(),
        input: InputSpec { channels: 1, height: 28, width: 28 },
        augment: Augment::parse(&["crop:pad=2"]).unwrap(),
    };
    Loader::new(Arc::new(Dataset::open("sample", Split::Train).unwrap()), images.collect(), config).unwrap()
}

/// A dense layer, a batch norm over one value an image, and a classifier.
fn normed() -> Model {
    let mut builder = GraphBuilder::new("normed");
    let dims = std::iter::once(Dim::Free("N".into())).chain([1, 28, 28].map(Dim::Fixed)).collect();
    let x = builder.input("x", DType::F32, dims);
    let mut constant = |name: &str, shape: &[usize], value: f32| {
        let values = (0..shape.iter().product()).map(|i: usize| value + 0.01 * (i % 7) as f32);
        builder.constant(name, Tensor::from_f32(shape.to_vec(), values.collect()))
    };
    let (w1, w2) = (constant("w1", &[4, 784], 0.0), constant("w2", &[10, 4], 0.1));
    let [scale, shift, mean, variance] = [("scale", 1.0), ("shift", 0.0), ("mean", 0.0), ("variance", 1.0)]
        .map(|(name, value)| constant(name, &[4], value));
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let y = builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[x]);
    let y = builder.node("fc1", Op::Gemm(gemm), &[y, w1]);
    let y = builder.node(
        "bn",
        Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 }),
        &[y, scale, shift, mean, variance],
    );
    let y = builder.node("fc2", Op::Gemm(gemm), &[y, w2]);
    builder.output(y);
    Model::new(&builder.build().unwrap(), &ModelOptions { batch: BATCH, ..ModelOptions::default() }).unwrap()
}

/// PyTorch's rule: "Expected more than 1 value per channel when training". Found before the first step.
#[test]
fn batch_norm_over_one_value_is_refused() {
    let with = |images: std::ops::Range<usize>, batch: usize, last_batch: LastBatch| {
        let loader_config = LoaderConfig {
            batch,
            seed: 1,
            order: Order::Shuffled,
            last_batch,
            preprocess: "sample".parse().unwrap(),
            input: InputSpec { channels: 1, height: 28, width: 28 },
            augment: Augment::default(),
        };
        let dataset = Arc::new(Dataset::open("sample", Split::Train).unwrap());
        let loader = Loader::new(dataset, images.collect(), loader_config).unwrap();
        let (mut model, mut policy) = (normed(), policy::create("fp32").unwrap());
        let made = Trainer::new(&mut model, &mut *policy, TrainerConfig { epochs: 1, ..config(None) }, loader, None);
        made.and_then(|mut trainer| trainer.run(&Unobserved).map(<[EpochRecord]>::len))
            .map_err(|error| error.to_string())
    };
    let start = "layer \"bn\": batch normalization needs more than 1 value per channel in training, ";
    for (images, batch, cause) in [
        (0..40, 1, "batches of 1 image have no more; use larger ones (--batch-size)"),
        (0..1, 16, "batches of 1 image have no more; use larger ones (--batch-size)"),
        (
            0..33,
            16,
            "the last batch of each epoch, 1 of 33 images, has no more; leave it out (--drop-last) or use another \
             --batch-size",
        ),
    ] {
        assert_eq!(with(images, batch, LastBatch::Keep), Err(format!("{start}{cause}")));
    }
    assert_eq!(with(0..33, 16, LastBatch::Drop), Ok(1));
    assert_eq!(with(0..34, 16, LastBatch::Keep), Ok(1));
    // Whoever drives the model alone is told by the forward pass; evaluation of one image is fine.
    let (mut model, mut policy) = (normed(), policy::create("int8-banner").unwrap());
    let error = model.forward(&[0.5; 784], 1, Mode::Train { step: 0, seed: 1 }, &mut *policy).unwrap_err();
    assert!(matches!(&error, TrainError::OneValue { layer, .. } if layer == "bn"), "{error}");
    assert!(model.forward(&[0.5; 784], 1, Mode::Eval, &mut *policy).is_ok());
}

fn config(folder: Option<&Path>) -> TrainerConfig {
    TrainerConfig {
        epochs: 3,
        learning_rate: 0.05,
        schedule: Schedule::parse("cosine").unwrap(),
        optimizer: OptimizerConfig { weight_decay: 1e-4, ..OptimizerConfig::default() },
        losses: LossSum::cross_entropy(0.0),
        seed: 1,
        checkpoints: folder.map(|folder| CheckpointConfig {
            folder: folder.to_owned(),
            every_steps: Some(3),
            config: toml::Table::from_iter([("seed".to_owned(), 1.into())]),
        }),
    }
}

/// Asks to stop before the step of that number.
struct StopAt(AtomicU64);

impl Observer for StopAt {
    fn interrupted(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let params = model.params().iter().map(|param| (param.name().to_owned(), param.graph_values()));
    let buffers = model.buffers().iter().map(|buffer| (buffer.name.clone(), buffer.values.clone()));
    params.chain(buffers).map(|(name, values)| (name, values.iter().map(|value| value.to_bits()).collect())).collect()
}

/// Weights and history of an uninterrupted run without checkpoints: 3 epochs of 4 steps, the last of 10 images.
fn uninterrupted(network: &str) -> (Vec<(String, Vec<u32>)>, Vec<EpochRecord>) {
    let (mut model, mut policy) = (model(network), policy::create("fp32").unwrap());
    let validation = Some(loader(100..130, Order::Sequential));
    let mut trainer =
        Trainer::new(&mut model, &mut *policy, config(None), loader(0..58, Order::Shuffled), validation).unwrap();
    let history = trainer.run(&Unobserved).unwrap().to_vec();
    (bits(&model), history)
}

fn without_times(history: &[EpochRecord]) -> Vec<EpochRecord> {
    history.iter().map(|record| EpochRecord { seconds: 0.0, images_per_second: 0.0, ..record.clone() }).collect()
}

#[test]
fn a_run_learns_and_records() {
    let (_, history) = uninterrupted("lenet-300-100");
    assert_eq!(history.iter().map(|record| (record.epoch, record.step)).collect::<Vec<_>>(), [(1, 4), (2, 8), (3, 12)]);
    assert!(history[2].train_loss < 0.8 * history[0].train_loss, "{history:?}");
    assert!(history[2].train_accuracy > history[0].train_accuracy, "{history:?}");
    assert!(history.iter().all(|record| record.validation_accuracy.is_some() && record.skipped_steps == 0));
    // The last step of the cosine of 12 steps.
    let last = 0.05 * 0.5 * (1.0 + (std::f64::consts::PI * 11.0 / 12.0).cos());
    assert!((history[2].learning_rate - last).abs() < 1e-12);
}

/// Stopped before every step in turn, by request, and resumed by new objects: the same weights to the bit.
#[test]
fn an_interrupted_run_ends_with_the_same_bits() {
    for (network, stops) in [("lenet-300-100", &[0, 1, 8, 11][..]), ("sample-resnet", &[6])] {
        let (expected, history) = uninterrupted(network);
        for &stop in stops {
            let folder = tempfile::tempdir().unwrap();
            for (part, observer) in
                [&StopAt(AtomicU64::new(stop)) as &dyn Observer, &Unobserved].into_iter().enumerate()
            {
                let (mut model, mut policy) = (model(network), policy::create("fp32").unwrap());
                let validation = Some(loader(100..130, Order::Sequential));
                let training = loader(0..58, Order::Shuffled);
                let config = config(Some(folder.path()));
                let mut trainer = Trainer::new(&mut model, &mut *policy, config, training, validation).unwrap();
                if let Some(checkpoint) = Checkpoint::load(folder.path()).unwrap() {
                    trainer.resume(checkpoint).unwrap();
                    assert_eq!((part, trainer.state().step), (1, stop));
                }
                let result = trainer.run(observer).map(<[EpochRecord]>::to_vec);
                match (part, result) {
                    (0, Err(TrainError::Interrupted { checkpoint: Some(_), .. })) => {}
                    (1, Ok(found)) => {
                        assert_eq!(without_times(&found), without_times(&history), "{network} stopped at {stop}");
                        assert_eq!(bits(&model), expected, "{network} stopped at {stop}");
                    }
                    (_, other) => panic!("{network} stopped at {stop}, part {part}: {other:?}"),
                }
            }
        }
    }
}

/// The whole loop: loading, steps, reports. Ninety steps more allocate no more.
#[test]
fn steps_of_a_run_allocate_nothing() {
    // One thread: allocations are counted per thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for precision in ["fp32", "fp16", "fp8-ibm"] {
        let count = |n_images| {
            pool.install(|| {
                let (mut model, mut policy) =
                    (model("conv4-fc2:channels=1,size=28,widths=2-2-4-4-8"), policy::create(precision).unwrap());
                let (training, validation) = (loader(0..n_images, Order::Shuffled), loader(0..30, Order::Sequential));
                let config = TrainerConfig { epochs: 1, ..config(None) };
                let mut trainer = Trainer::new(&mut model, &mut *policy, config, training, Some(validation)).unwrap();
                let n_steps = trainer.n_steps();
                let run = || assert!(trainer.run(&Unobserved).is_ok());
                (n_steps, allocation_counter::measure(run).count_total)
            })
        };
        let (short, long) = (count(10 * BATCH), count(100 * BATCH));
        assert_eq!((short.0, long.0), (10, 100));
        // A channel allocates once if somebody ever waits at it.
        assert!(long.1 <= short.1 + 8, "{precision}: {} in 10 steps, {} in 100", short.1, long.1);
    }
}

#[test]
fn divergence_names_the_layer_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, mut policy) = (model("sample-resnet"), policy::create("fp32").unwrap());
    let config = TrainerConfig {
        learning_rate: 1e30,
        schedule: Schedule::parse("constant:warmup=1").unwrap(),
        ..config(Some(folder.path()))
    };
    let mut trainer = Trainer::new(&mut model, &mut *policy, config, loader(0..58, Order::Shuffled), None).unwrap();
    let error = trainer.run(&Unobserved).unwrap_err();
    let TrainError::Diverged { layer: Some(layer), .. } = &error else { panic!("{error:?}") };
    assert!(error.to_string().starts_with("training diverged in epoch 1 at step "), "{error}");
    assert!(!layer.is_empty());
    if let Some(checkpoint) = Checkpoint::load(folder.path()).unwrap() {
        let mut other =
            Trainer::new(&mut model, &mut *policy, super::tests::config(None), loader(0..58, Order::Shuffled), None)
                .unwrap();
        other.resume(checkpoint).unwrap();
        assert!(model.params().iter().all(|param| param.values().iter().all(|value| value.is_finite())));
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let error = |config: TrainerConfig, network: &str| {
        let (mut model, mut policy) = (model(network), policy::create("fp32").unwrap());
        Trainer::new(&mut model, &mut *policy, config, loader(0..58, Order::Shuffled), None).unwrap_err().to_string()
    };
    assert_eq!(error(TrainerConfig { epochs: 0, ..config(None) }, "lenet-5"), "epochs: expected at least 1, found 0");
    assert_eq!(
        error(TrainerConfig { learning_rate: f64::NAN, ..config(None) }, "lenet-5"),
        "learning rate: expected a number above 0, found NaN"
    );
    let labels = error(config(None), "lenet-5:classes=4");
    assert!(
        labels.starts_with("data set \"sample\", image ") && labels.contains("expected a label below 4"),
        "{labels}"
    );
}

/// The steps after the first few, from the same weights and without momentum, are those of the whole run.
#[test]
fn a_run_may_begin_late() {
    let run = |first_step: Option<u64>, model: &mut Model| {
        let mut policy = policy::create("fp32").unwrap();
        let optimizer = OptimizerConfig { rule: "sgd:momentum=0".to_owned(), ..OptimizerConfig::default() };
        let config = TrainerConfig { optimizer, ..config(None) };
        let mut trainer = Trainer::new(model, &mut *policy, config, loader(0..58, Order::Shuffled), None).unwrap();
        if let Some(step) = first_step {
            trainer.start_at(step).unwrap();
        }
        let epochs: Vec<(u64, u64)> = match first_step {
            // Stops before step 5.
            None => {
                let stopped = trainer.run(&StopAt(AtomicU64::new(5)));
                assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
                Vec::new()
            }
            Some(_) => trainer.run(&Unobserved).unwrap().iter().map(|record| (record.epoch, record.step)).collect(),
        };
        assert!(trainer.start_at(12).is_err());
        epochs
    };
    let (mut whole, mut parts) = (model("lenet-300-100"), model("lenet-300-100"));
    assert_eq!(run(Some(0), &mut whole), [(1, 4), (2, 8), (3, 12)]);
    run(None, &mut parts);
    assert_ne!(bits(&whole), bits(&parts));
    assert_eq!(run(Some(5), &mut parts), [(2, 8), (3, 12)]);
    assert_eq!(bits(&whole), bits(&parts));
}
