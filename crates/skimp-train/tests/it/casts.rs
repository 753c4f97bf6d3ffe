//! Where the engine lets a policy round.

use std::sync::{Arc, Mutex};

use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Gemm, Graph, Op, Tensor};
use skimp_train::policy::{Arithmetic, BatchNormKind, Contraction, Operand, Pass, RangeConstant, Role, Site, SiteKind};
use skimp_train::reference::{BatchNorm, Training, loss};
use skimp_train::{LossKind, LossSum, Model, ModelOptions, Policy, Target, Targets, TrainError, policy};

use crate::model::{STEP, distance, images};
use crate::nets::{self, Net, window};
use crate::oracle;

/// A call of `cast`: layer, role, pass, rows, columns, contraction.
type Call = (String, Role, Pass, usize, usize, Contraction);

/// "Rounds" by powers of two, which every later product keeps exactly.
#[derive(Debug)]
struct Doubling {
    shares: bool,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// What an operand is multiplied by.
fn factor(role: Role, pass: Pass) -> f32 {
    match (role, pass) {
        (Role::Activation, Pass::Forward) => 2.0,
        (Role::Weight, Pass::Forward) => 4.0,
        (Role::Error, Pass::InputGrad) => 8.0,
        (Role::Activation, Pass::WeightGrad) => 16.0,
        (Role::Error, Pass::WeightGrad) => 32.0,
        (Role::Weight, Pass::InputGrad) => 64.0,
        (Role::Output, _) => 0.5,
        (Role::InputGradient, _) => 0.25,
        (Role::WeightGradient, _) => 0.125,
        _ => 1.0,
    }
}

impl Policy for Doubling {
    fn name(&self) -> &'static str {
        "doubling"
    }

    fn casts(&self, site: &Site, _: Role, _: Pass) -> bool {
        site.kind == SiteKind::Conv
    }

    fn shares(&self, _: &Site, _: Role) -> bool {
        self.shares
    }

    fn cast(&mut self, site: &Site, operand: Operand<'_>) {
        let Operand { role, pass, values, rows, columns, contraction } = operand;
        assert_eq!(values.len(), rows * columns, "{} {role:?}", site.name);
        values.iter_mut().for_each(|x| *x *= factor(role, pass));
        let call = (site.name.clone(), role, pass, rows, columns, contraction);
        self.calls.lock().expect("not poisoned").push(call);
    }
}

/// Two convolutions and nothing else, with weights so small that a hinge stays in its linear part.
fn linear() -> Graph {
    let (mut net, x) = Net::new("linear", &[2, 5, 5]);
    let w1 = net.constant("w1", &[4, 2, 3, 3], 0.0, 1e-4);
    let y = net.builder.node("c1", Op::Conv(ops::Conv { window: window(3, 2, 1), groups: 1 }), &[x, w1]);
    let w2 = net.constant("w2", &[6, 2, 3, 3], 0.0, 1e-4);
    let y = net.builder.node("c2", Op::Conv(ops::Conv { window: window(3, 1, 0), groups: 2 }), &[y, w2]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    net.finish(y)
}

/// Logits and gradients of w1 and w2, bit by bit.
fn step(policy: &mut dyn Policy) -> [Vec<f32>; 3] {
    let graph = linear();
    let mut model = Model::new(&graph, &ModelOptions { batch: 3, ..ModelOptions::default() }).expect("trains");
    let images = images(&graph, 3);
    model.forward(&images, 3, STEP, policy).expect("fits");
    let logits = model.logits().to_vec();
    let losses = LossSum::one(LossKind::Hinge, Target::Labels);
    model.backward(&losses, &Targets { labels: &[0, 5, 2], tensors: &[] }, policy).expect("fits");
    let [w1, w2] = model.params() else { panic!("two parameters") };
    [logits, w1.grad().to_vec(), w2.grad().to_vec()]
}

fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    values.iter().map(|x| x * factor).collect()
}

#[test]
fn operands_and_results_are_cast_where_they_should() {
    let mut fp32 = policy::create("fp32").expect("registered");
    let [logits, w1, w2] = step(fp32.as_mut());
    for shares in [true, false] {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let found = step(&mut Doubling { shares, calls: Arc::clone(&calls) });
        // Each forward pass: activation, weight, output. The backward passes take what is shared or their own copies.
        let forward = 2.0 * 4.0 * 0.5;
        let (a, e_weight, w_input) = if shares { (2.0, 8.0, 4.0) } else { (16.0, 32.0, 64.0) };
        // The first layer has no input gradient, so its error is cast for the weight gradient in any case.
        let input_grad = 8.0 * w_input * 0.25;
        let expected = [
            scaled(&logits, forward * forward),
            scaled(&w1, a * 32.0 * 0.125 * input_grad),
            scaled(&w2, forward * a * e_weight * 0.125),
        ];
        assert_eq!(found, expected, "shares: {shares}");
        let calls = calls.lock().expect("not poisoned");
        let of = |name: &str, role: Role, pass: Pass| {
            let mut found = calls.iter().filter(|call| (call.0.as_str(), call.1, call.2) == (name, role, pass));
            let call = found.next().map(|call| (call.3, call.4, call.5));
            assert!(found.next().is_none(), "{name} {role:?} {pass:?} is cast once");
            call
        };
        let rows = |run| Contraction::Rows { run };
        let columns = |run| Contraction::Columns { run };
        let cases = [
            (of("c1", Role::Activation, Pass::Forward), Some((75, 2, columns(2)))),
            (of("c1", Role::Weight, Pass::Forward), Some((18, 4, rows(2)))),
            (of("c1", Role::Output, Pass::Forward), Some((27, 4, Contraction::None))),
            (of("c2", Role::Activation, Pass::Forward), Some((27, 4, columns(2)))),
            (of("c2", Role::Weight, Pass::Forward), Some((18, 6, rows(2)))),
            (of("c2", Role::Error, Pass::InputGrad), Some((3, 6, columns(3)))),
            (of("c2", Role::InputGradient, Pass::InputGrad), Some((27, 4, Contraction::None))),
            (of("c1", Role::Error, Pass::WeightGrad), Some((27, 4, rows(27)))),
            (of("c1", Role::WeightGradient, Pass::WeightGrad), Some((18, 4, Contraction::None))),
            (of("c1", Role::Error, Pass::InputGrad), None),
            (of("c2", Role::Weight, Pass::InputGrad), (!shares).then_some((18, 6, columns(3)))),
            (of("c2", Role::Activation, Pass::WeightGrad), (!shares).then_some((27, 4, rows(27)))),
            (of("c2", Role::Error, Pass::WeightGrad), (!shares).then_some((3, 6, rows(3)))),
        ];
        for (idx, (found, expected)) in cases.into_iter().enumerate() {
            assert_eq!(found, expected, "case {idx}, shares: {shares}");
        }
    }
}

/// Nothing but another batch norm or arithmetic.
#[derive(Debug)]
struct Other {
    batch_norm: BatchNormKind,
    arithmetic: Arithmetic,
}

impl Policy for Other {
    fn name(&self) -> &'static str {
        "other"
    }

    fn batch_norm(&self) -> BatchNormKind {
        self.batch_norm
    }

    fn arithmetic(&self, _: &Site, _: Pass) -> Arithmetic {
        self.arithmetic
    }
}

#[test]
fn range_batch_norm_equals_the_reference() {
    let graph = nets::residual();
    let (batch, labels) = (4, [1, 0, 3, 2]);
    let images = images(&graph, batch);
    let kind = BatchNormKind::Range { n_chunks: 4, constant: RangeConstant::Code };
    let mut policy = Other { batch_norm: kind, arithmetic: Arithmetic::F32 };
    let training = Training { batch_norm: BatchNorm::Batch(kind), ..Training::default() };
    let trace = oracle::run(&graph, &images, batch, &training, &|name, value| {
        (name == "fc").then(|| loss::cross_entropy(&value.data, &labels, 5, 0.0).gradient)
    });
    let mut model = Model::new(&graph, &ModelOptions { batch, ..ModelOptions::default() }).expect("trains");
    model.forward(&images, batch, STEP, &mut policy).expect("fits");
    // As for the standard batch norm, though the reference rounds each operator's result.
    assert!(distance(model.logits(), &trace.values["fc"].data) < 1e-5);
    let targets = Targets { labels: &labels, tensors: &[] };
    model.backward(&LossSum::cross_entropy(0.0), &targets, &mut policy).expect("fits");
    for param in model.params() {
        let off = distance(&param.graph_grad(), &trace.gradients[param.name()]);
        assert!(off < 5e-5, "{} is off by {off}", param.name());
    }
    for buffer in model.buffers() {
        let before = if buffer.name.ends_with("variance") { 1.5 } else { 0.0 };
        assert!(buffer.values.iter().any(|x| (x - before).abs() > 1e-3), "{} moves", buffer.name);
    }
}

#[test]
fn precision_of_slow_layers_is_refused() {
    let (mut net, x) = Net::new("volume", &[2, 3, 3, 3]);
    let w = net.constant("w", &[2, 2, 1, 1, 1], 0.0, 1.0);
    let window = skimp_graph::Window {
        kernel: vec![1; 3],
        strides: vec![1; 3],
        dilations: vec![1; 3],
        pads_begin: vec![0; 3],
        pads_end: vec![0; 3],
        ..window(1, 1, 0)
    };
    let y = net.builder.node("conv", Op::Conv(ops::Conv { window, groups: 1 }), &[x, w]);
    let graph = net.finish(y);
    let mut model = Model::new(&graph, &ModelOptions { batch: 1, ..ModelOptions::default() }).expect("trains");
    let images = random_tensor(1, "images", vec![54], 0.0, 1.0).into_f32().expect("f32");
    let mut fp32 = policy::create("fp32").expect("registered");
    model.forward(&images, 1, STEP, fp32.as_mut()).expect("fits");
    let mut bf16 = Other { batch_norm: BatchNormKind::Standard, arithmetic: Arithmetic::Bf16 };
    let error = model.forward(&images, 1, STEP, &mut bf16).expect_err("not emulated");
    assert!(matches!(&error, TrainError::Untrainable { node, .. } if node == "conv"), "{error}");
}

/// Two dense layers that read the flattened image, with weights of one, and the sum of what they give.
fn two_readers() -> Graph {
    let (mut net, x) = Net::new("readers", &[1, 1, 1]);
    let x = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[x]);
    let [a, b] = ["a", "b"].map(|name| {
        let one = net.builder.constant(format!("{name}.weight"), Tensor::from_f32(vec![1, 1], vec![1.0]));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        net.builder.node(name, Op::Gemm(gemm), &[x, one])
    });
    let y = net.op("add", Op::Add, &[a, b]);
    net.finish(y)
}

#[test]
fn images_are_rounded_once_by_whatever_reads_them() {
    let next = 1.0 + 1.0 / 512.0;
    // Just above the middle of 1 and 1.25: in 16 bits it would be the middle, and then 1.
    let above = 1.125 + 1.0 / 2048.0;
    for (policy, image, expected) in [
        ("fp8-ibm:last=8", next, 2.0 * next),
        ("fp8-ibm:first=8,last=8", next, 2.0),
        ("fp8-ibm:first=8,last=8", above, 2.5),
        ("hfp8:first=8,last=8", above, 2.25),
        ("mxfp4:exempt=first", above, 2.0 * above),
    ] {
        let mut model =
            Model::new(&two_readers(), &ModelOptions { batch: 1, ..ModelOptions::default() }).expect("trains");
        let mut chosen = policy::create(policy).expect("a policy");
        model.forward(&[image], 1, STEP, chosen.as_mut()).expect("fits");
        assert_eq!(model.logits(), [expected], "{policy} {image}");
    }
}
