//! Two whole training steps against PyTorch (`tests/data/train_step_golden.py`).

use std::collections::BTreeMap;

use skimp_graph::ops;
use skimp_graph::{DType, Dim, Gemm, Graph, GraphBuilder, Op, Tensor, ValueId};
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::{LossSum, Mode, Model, ModelOptions, Targets, policy};

use crate::nets::window;

const BATCH: usize = 4;
const CLASSES: usize = 5;

/// The formula of the script: exact in f32 for scales that are powers of two.
fn numbers(salt: usize, n: usize, scale: f64) -> Vec<f32> {
    (0..n)
        .map(|i| (((i * i * 7 + i * 13 + salt * 29) % 211) as f64 - 105.0) / 128.0 * scale)
        .map(|x| x as f32)
        .collect()
}

/// The parameters in the order of the script.
const PARAMETERS: [(&str, &[usize]); 13] = [
    ("conv1.weight", &[8, 3, 3, 3]),
    ("bn1.weight", &[8]),
    ("bn1.bias", &[8]),
    ("conv2.weight", &[8, 8, 3, 3]),
    ("bn2.weight", &[8]),
    ("bn2.bias", &[8]),
    ("depthwise.weight", &[8, 1, 3, 3]),
    ("depthwise.bias", &[8]),
    ("conv3.weight", &[16, 8, 3, 3]),
    ("bn3.weight", &[16]),
    ("bn3.bias", &[16]),
    ("fc.weight", &[CLASSES, 16]),
    ("fc.bias", &[CLASSES]),
];

struct Net {
    builder: GraphBuilder,
    constants: BTreeMap<String, ValueId>,
}

impl Net {
    fn new() -> (Self, ValueId) {
        let mut builder = GraphBuilder::new("golden");
        let dims = [Dim::Free("N".into()), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)];
        let x = builder.input("x", DType::F32, dims.to_vec());
        let mut constants = BTreeMap::new();
        for (salt, (name, shape)) in PARAMETERS.into_iter().enumerate() {
            let mut values = numbers(salt, shape.iter().product(), 0.5);
            if name.starts_with("bn") && name.ends_with("weight") {
                values.iter_mut().for_each(|x| *x += 1.0);
            }
            let tensor = Tensor::from_f32(shape.to_vec(), values);
            constants.insert(name.to_owned(), builder.constant(name, tensor));
        }
        for (name, c) in [("bn1", 8), ("bn2", 8), ("bn3", 16)] {
            for (part, value) in [("running_mean", 0.0), ("running_var", 1.0)] {
                let name = format!("{name}.{part}");
                let tensor = Tensor::from_f32(vec![c], vec![value; c]);
                constants.insert(name.clone(), builder.constant(name, tensor));
            }
        }
        (Self { builder, constants }, x)
    }

    fn layer(&mut self, name: &str, op: Op, x: ValueId, parts: &[&str]) -> ValueId {
        let parts = parts.iter().map(|part| self.constants[&format!("{name}.{part}")]);
        let inputs: Vec<ValueId> = std::iter::once(x).chain(parts).collect();
        self.builder.node(name, op, &inputs)
    }

    fn norm(&mut self, name: &str, x: ValueId) -> ValueId {
        let parts = ["weight", "bias", "running_mean", "running_var"];
        self.layer(name, Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 }), x, &parts)
    }
}

fn graph() -> Graph {
    let (mut net, x) = Net::new();
    let conv = |stride, groups| Op::Conv(ops::Conv { window: window(3, stride, 1), groups });
    let y = net.layer("conv1", conv(1, 1), x, &["weight"]);
    let y = net.norm("bn1", y);
    let a = net.builder.node("relu1", Op::Relu, &[y]);
    let y = net.layer("conv2", conv(1, 1), a, &["weight"]);
    let y = net.norm("bn2", y);
    let y = net.builder.node("add", Op::Add, &[y, a]);
    let y = net.builder.node("relu2", Op::Relu, &[y]);
    let y = net.builder.node("pool1", Op::MaxPool(ops::MaxPool { window: window(3, 2, 1) }), &[y]);
    let y = net.layer("depthwise", conv(1, 8), y, &["weight", "bias"]);
    let y = net.builder.node("relu3", Op::Relu, &[y]);
    let y = net.layer("conv3", conv(2, 1), y, &["weight"]);
    let y = net.norm("bn3", y);
    let y = net.builder.node("relu4", Op::Relu, &[y]);
    let pool = Op::AveragePool(ops::AveragePool { window: window(2, 2, 0), count_include_pad: true });
    let y = net.builder.node("pool2", pool, &[y]);
    let y = net.builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let y = net.layer("fc", Op::Gemm(gemm), y, &["weight", "bias"]);
    net.builder.output(y);
    net.builder.build().expect("well-formed")
}

fn golden() -> BTreeMap<&'static str, Vec<f32>> {
    let line = |line: &'static str| {
        let (name, values) = line.split_once(' ').expect("a name and numbers");
        (name, values.split(' ').map(|x| x.parse().expect("a number")).collect())
    };
    include_str!("../data/train_step_golden.txt").lines().map(line).collect()
}

#[test]
fn two_training_steps_equal_pytorch() {
    let golden = golden();
    // Both sides compute in f32 with their own orders of sums (up to 256 terms each way, then batch norms that divide by
    // deviations); the second step starts from what the first one left.
    let check = |name: &str, found: &[f32], tolerance: f32| {
        let expected = &golden[name];
        assert_eq!(found.len(), expected.len(), "{name}");
        let most = expected.iter().fold(1e-2_f32, |most, x| most.max(x.abs()));
        let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs() / most).fold(0.0, f32::max);
        assert!(off < tolerance, "{name} is off by {off}");
    };
    let mut model = Model::new(&graph(), &ModelOptions { batch: BATCH, ..ModelOptions::default() }).expect("trains");
    let mut policy = policy::create("fp32").expect("registered");
    let config = OptimizerConfig { rule: "sgd:momentum=0.9".into(), weight_decay: 0.01, ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(&config, model.params()).expect("valid");
    for step in 0..2 {
        let images = numbers(100 + step, BATCH * 3 * 64, 1.0);
        let labels: Vec<usize> = (0..BATCH).map(|i| (step + 2 * i) % CLASSES).collect();
        let mode = Mode::Train { step: step as u64, seed: 0 };
        model.forward(&images, BATCH, mode, policy.as_mut()).expect("fits");
        let tolerance = [1e-5, 1e-4][step];
        check(&format!("{step}.logits"), model.logits(), tolerance);
        let targets = Targets { labels: &labels, tensors: &[] };
        let loss = model.backward(&LossSum::cross_entropy(0.1), &targets, policy.as_mut()).expect("fits").total;
        check(&format!("{step}.loss"), &[loss as f32], tolerance);
        for param in model.params() {
            check(&format!("{step}.grad.{}", param.name()), &param.graph_grad(), tolerance);
        }
        optimizer.step(model.params_mut(), 0.1, policy.as_mut());
    }
    assert_eq!(model.params().len(), PARAMETERS.len());
    for param in model.params() {
        check(&format!("end.{}", param.name()), &param.graph_values(), 1e-4);
    }
    for buffer in model.buffers() {
        check(&format!("end.{}", buffer.name), &buffer.values, 1e-4);
    }
}
