//! Every precision policy on a small network and the embedded sample.

use std::sync::OnceLock;

use allocation_counter::measure;
use skimp_cpu::nhwc::{Arithmetic, ChunkedSum, ConvShape, Workspace, conv_forward};
use skimp_data::{Samples, Split};
use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Graph, Op};
use skimp_numerics::formats::{FP8_152, FP16_169};
use skimp_numerics::{FloatCast, RandomBits};
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::policy::{POLICIES, Policy, Verdict};
use skimp_train::{LossSum, Mode, Model, ModelOptions, Targets, policy};

use crate::nets::{Net, window};

const SIDE: usize = 14;
const BATCH: usize = 50;

/// Images of the sample at half their size, zero mean, and their labels.
struct Split14 {
    images: Vec<f32>,
    labels: Vec<usize>,
}

fn sample(split: Split) -> Split14 {
    let source = skimp_data::Dataset::open("sample", split).expect("embedded");
    let labels = source.labels().to_vec();
    let mut images = Vec::new();
    for i in 0..labels.len() {
        let image = source.image(i).expect("decodes");
        let Samples::U8(pixels) = &image.samples else { panic!("bytes") };
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let at = |dy: usize, dx: usize| f32::from(pixels[(2 * y + dy) * image.width + 2 * x + dx]);
            images.push((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 1020.0 - 0.3);
        }
    }
    Split14 { images, labels }
}

fn training_set() -> &'static Split14 {
    static SET: OnceLock<Split14> = OnceLock::new();
    SET.get_or_init(|| sample(Split::Train))
}

fn test_set() -> &'static Split14 {
    static SET: OnceLock<Split14> = OnceLock::new();
    SET.get_or_init(|| sample(Split::Test))
}

/// Two convolutions, one with stride, a residual one, and a dense layer; 64 and 128 wide sums.
fn network() -> Graph {
    let (mut net, x) = Net::new("small", &[1, SIDE, SIDE]);
    let y = net.conv("conv1", x, [16, 1], window(3, 1, 1), 1);
    let y = net.norm("bn1", y, 16);
    let y = net.op("relu1", Op::Relu, &[y]);
    let a = net.op("pool1", Op::MaxPool(ops::MaxPool { window: window(2, 2, 0) }), &[y]);
    let y = net.conv("conv2", a, [16, 16], window(3, 1, 1), 1);
    let y = net.norm("bn2", y, 16);
    let y = net.op("add", Op::Add, &[y, a]);
    let y = net.op("relu2", Op::Relu, &[y]);
    let y = net.conv("conv3", y, [32, 16], window(3, 2, 1), 1);
    let y = net.norm("bn3", y, 32);
    let y = net.op("relu3", Op::Relu, &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.dense("fc", y, [10, 32 * 16]);
    net.finish(y)
}

struct Run {
    model: Model,
    policy: Box<dyn Policy>,
    optimizer: Optimizer,
    losses: LossSum,
    n_skipped: usize,
}

impl Run {
    fn new(policy: &str) -> Self {
        let options = ModelOptions { batch: BATCH, ..ModelOptions::default() };
        let mut model = Model::new(&network(), &options).expect("trains");
        for param in model.params_mut() {
            // Logits near zero at first, so that the first steps do not decide.
            if param.name() == "fc.weight" {
                param.values_mut().iter_mut().for_each(|value| *value *= 0.1);
            }
        }
        let policy = policy::create(policy).expect("a policy");
        let config = OptimizerConfig { rule: "sgd:momentum=0.9".to_owned(), weight_decay: 1e-4, ..Default::default() };
        let optimizer = Optimizer::new(&config, model.params()).expect("a rule");
        Self { model, policy, optimizer, losses: LossSum::cross_entropy(0.0), n_skipped: 0 }
    }

    /// Step `step` of training, on the images of a fixed order; the loss.
    fn step(&mut self, step: u64) -> f64 {
        let set = training_set();
        let first = (step as usize * BATCH) % (set.labels.len() / BATCH * BATCH);
        let images = &set.images[first * SIDE * SIDE..(first + BATCH) * SIDE * SIDE];
        let labels = &set.labels[first..first + BATCH];
        let policy = self.policy.as_mut();
        self.model.forward(images, BATCH, Mode::Train { step, seed: 1 }, policy).expect("fits");
        let targets = Targets { labels, tensors: &[] };
        let loss = self.model.backward(&self.losses, &targets, policy).expect("fits").total;
        match policy.after_backward(self.model.params_mut()) {
            Verdict::Step => self.optimizer.step(self.model.params_mut(), 0.02, policy),
            Verdict::SkipStep => self.n_skipped += 1,
        }
        loss
    }

    fn steps(&mut self, steps: std::ops::Range<u64>) {
        for step in steps {
            self.step(step);
        }
    }

    /// Share of the first 500 test images that it gets right.
    fn accuracy(&mut self) -> f64 {
        let set = test_set();
        let mut n_correct = 0;
        for first in (0..500).step_by(BATCH) {
            let images = &set.images[first * SIDE * SIDE..(first + BATCH) * SIDE * SIDE];
            let labels = &set.labels[first..first + BATCH];
            self.model.forward(images, BATCH, Mode::Eval, self.policy.as_mut()).expect("fits");
            let targets = Targets { labels, tensors: &[] };
            n_correct += self.model.evaluate(&self.losses, &targets).expect("fits").n_correct;
        }
        n_correct as f64 / 500.0
    }

    fn bits(&self) -> Vec<u32> {
        let params = self.model.params().iter().flat_map(|param| param.values());
        let buffers = self.model.buffers().iter().flat_map(|buffer| &buffer.values);
        params.chain(buffers).map(|value| value.to_bits()).collect()
    }
}

const STEPS: u64 = 40;

#[allow(clippy::print_stderr, reason = "figures for whoever looks at the distance")]
fn trained(policy: &str) -> (f64, f64) {
    let mut run = Run::new(policy);
    let losses: Vec<f64> = (0..STEPS).map(|step| run.step(step)).collect();
    assert!(losses.iter().all(|loss| loss.is_finite()), "{policy}: {losses:?}");
    let late = losses[losses.len() - 10..].iter().sum::<f64>() / 10.0;
    let accuracy = run.accuracy();
    eprintln!("{policy}: accuracy {accuracy:.3}, loss of the last ten steps {late:.3}");
    if let Some(counts) = run.policy.counts() {
        for (class, count) in &counts.classes {
            let share = |n: u64| 100.0 * n as f64 / count.elements.max(1) as f64;
            let (over, under) = (share(count.overflows), share(count.underflows));
            eprintln!("  {class}: {over:.4} % above, {under:.4} % to zero, {:.4} % flushed", share(count.flushed));
        }
    }
    (accuracy, late)
}

#[test]
fn every_policy_trains_nearly_as_well_as_fp32() {
    let (accuracy, loss) = trained("fp32");
    assert!(accuracy > 0.7, "{accuracy}");
    for entry in POLICIES.iter().filter(|entry| entry.name() != "fp32") {
        // The sample is short: scales must be allowed to move.
        let name = if entry.name() == "dfxp" { "dfxp:interval=500,warm-up=200" } else { entry.name() };
        let (other, other_loss) = trained(name);
        // After 40 steps of noisy gradients accuracies of two runs of fp32 differ by up to 0.04; four-bit operands lose
        // more.
        let (distance, loss_distance) = if entry.name() == "mxfp4" { (0.15, 0.4) } else { (0.06, 0.15) };
        assert!(other > accuracy - distance, "{}: {other}, fp32 {accuracy}", entry.name());
        assert!(other_loss < loss + loss_distance, "{}: {other_loss}, fp32 {loss}", entry.name());
    }
}

#[test]
fn policies_give_the_same_bits_on_any_number_of_threads() {
    for entry in POLICIES {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let mut run = Run::new(entry.name());
                run.steps(0..2);
                (run.bits(), run.policy.state())
            })
        };
        assert!(run(1) == run(2), "{}", entry.name());
    }
}

#[test]
fn steady_steps_allocate_nothing() {
    // One thread: allocations are counted per thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    for name in POLICIES.iter().map(|entry| entry.name()).chain(["dfxp:warm-up=0,interval=50", "mxfp8:bf16=true"]) {
        let count = pool.install(|| {
            let mut run = Run::new(name);
            run.steps(0..2);
            measure(|| run.steps(2..4)).count_total
        });
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn a_restored_policy_goes_on_to_the_bit() {
    // Changes of scales fall before and after the interruption.
    let names = POLICIES.iter().map(|entry| match entry.name() {
        "dfxp" => "dfxp:interval=100,warm-up=100,round=stochastic",
        "fp16" => "fp16:interval=2,initial-scale=1e9",
        "fp8-ocp" => "fp8-ocp:history=3",
        name => name,
    });
    for name in names {
        let mut whole = Run::new(name);
        whole.steps(0..3);
        let mut resumed = Run::new(name);
        resumed.steps(0..3);
        let state = resumed.policy.state();
        resumed.policy = policy::create(name).expect("a policy");
        resumed.policy.restore(&state).expect("its own state");
        assert_eq!(resumed.policy.state(), state, "{name}");
        for step in 3..5 {
            let losses = (whole.step(step), resumed.step(step));
            assert_eq!(losses.0.to_bits(), losses.1.to_bits(), "{name}");
        }
        assert!(whole.bits() == resumed.bits(), "{name}");
        assert_eq!(whole.policy.state(), resumed.policy.state(), "{name}");
        assert!(resumed.policy.restore(&[("no such entry".to_owned(), vec![1.0])]).is_err(), "{name}");
    }
}

#[test]
fn overflowing_steps_are_skipped_until_the_scale_fits() {
    for round in ["nearest-even", "stochastic", "toward-zero"] {
        skips_until_the_scale_fits(round);
    }
}

fn skips_until_the_scale_fits(round: &str) {
    let mut run = Run::new(&format!("fp16:initial-scale=1e12,backoff=0.0625,round={round}"));
    let before = run.bits().len();
    assert!(before > 0 && run.policy.loss_scale() > 1e11);
    let first: Vec<u32> = run.model.params().iter().flat_map(|param| param.values()).map(|v| v.to_bits()).collect();
    run.step(0);
    let second: Vec<u32> = run.model.params().iter().flat_map(|param| param.values()).map(|v| v.to_bits()).collect();
    assert_eq!((run.n_skipped, first == second), (1, true));
    run.steps(1..12);
    assert!(run.n_skipped < 8 && run.policy.loss_scale() < 1e9, "{} skipped", run.n_skipped);
    assert!(run.bits()[..second.len()] != second[..]);
}

#[test]
fn switches_change_what_is_trained() {
    let bits = |name: &str| {
        let mut run = Run::new(name);
        run.steps(0..2);
        run.bits()
    };
    for (name, switches) in [
        ("fp8-ibm", "chunk=0 accumulate=fp32 update=nearest update=fp32 last=8 first=8 loss-scale=1"),
        ("hfp8", "code0=subnormal weight-gradient=8"),
        ("int8-banner", "range-bn=paper range-bn=off gradient-bits=8 activation-chunks=1 last=32 true-zero=true"),
        ("mxfp8", "forward=e5m2 backward=e5m2 scale=rceil round=stochastic bf16=true exempt=ends"),
        ("fp8-ocp", "scaling=none scaling=current margin=2 exempt=first"),
        ("dfxp:warm-up=0", "propagation-bits=12 update-bits=0 round=stochastic"),
        ("flexpoint", "bits=12 update=fp32"),
        ("bf16", "arithmetic=f32 round=toward-zero store=bf16"),
        ("fp16", "store=fp32 round=stochastic"),
    ] {
        let default = bits(name);
        for switch in switches.split(' ') {
            let text = format!("{name}{}{switch}", if name.contains(':') { ',' } else { ':' });
            assert!(bits(&text) != default, "{text}");
        }
    }
    // Rounding operands in a pass of its own changes nothing but the counting.
    assert!(bits("bf16:count=true") == bits("bf16"));
}

#[test]
fn chunked_sums_of_the_kernels_are_those_of_the_definition() {
    let (inputs, outputs, images) = (300, 40, 3);
    let operand = |name: &str, n: usize| {
        let mut values = random_tensor(3, name, vec![n], 0.05, 1.0).into_f32().expect("f32");
        FloatCast::new(FP8_152).round_slice(&mut values, RandomBits::default());
        values
    };
    let (x, weight) = (operand("x", images * inputs), operand("weight", inputs * outputs));
    for chunk in [1, 64, 100, usize::MAX] {
        let sum = ChunkedSum { chunk, ..ChunkedSum::FP16_169 };
        let mut y = vec![0.0; images * outputs];
        let shape = ConvShape::dense(images, inputs, outputs);
        conv_forward(&shape, &x, &weight, None, &mut y, Arithmetic::Chunked(sum), &mut Workspace::new());
        let definition = skimp_numerics::ChunkedSum::new(FloatCast::new(FP16_169), chunk);
        for (i, found) in y.iter().enumerate() {
            let column: Vec<f32> = (0..inputs).map(|k| weight[k * outputs + i % outputs]).collect();
            let expected = definition.dot(&x[i / outputs * inputs..][..inputs], &column);
            assert_eq!(found.to_bits(), expected.to_bits(), "chunks of {chunk}, output {i}");
        }
    }
}
