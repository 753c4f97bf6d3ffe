//! Quantized networks: trained, exported as plain operators, and evaluated as the training engine does.

use std::path::Path;
use std::process::Command;

use skimp_graph::integer::{self, IntegerEngine};
use skimp_graph::spiking::{Joined, Step, Temporal, TimeLoop};
use skimp_graph::testing::random_tensor;
use skimp_graph::{Executor, Graph, Op, Tensor, binary, onnx, ops};
use skimp_numerics::rng::Draws;
use skimp_train::optimizer::{Optimizer, OptimizerConfig};
use skimp_train::quantizer::{self, QUANTIZERS, Quantizer};
use skimp_train::{
    LossKind, LossSum, LossTerm, Mode, Model, ModelOptions, ParamRole, Target, Targets, TrainError, policy, reference,
};

use crate::nets::{Net, residual, window};

const BATCH: usize = 16;

/// Two convolutions, a pool and two dense layers, in the order of float networks.
fn float() -> Graph {
    let (mut net, x) = Net::new("float", &[3, 8, 8]);
    let y = net.conv_bias("conv1", x, [6, 3], window(3, 1, 1), 1);
    let y = net.op("relu1", Op::Relu, &[y]);
    let y = net.conv("conv2", y, [8, 6], window(3, 1, 1), 1);
    let y = net.norm("bn2", y, 8);
    let y = net.op("relu2", Op::Relu, &[y]);
    let y = net.conv_bias("conv3", y, [8, 8], window(3, 1, 1), 1);
    let y = net.op("relu3", Op::Relu, &[y]);
    let y = net.op("pool", Op::MaxPool(ops::MaxPool { window: window(2, 2, 0) }), &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.dense("fc1", y, [12, 128]);
    let y = net.op("relu4", Op::Relu, &[y]);
    let y = net.dense("fc2", y, [4, 12]);
    net.finish(y)
}

fn images(seed: u64) -> Vec<f32> {
    random_tensor(seed, "images", vec![BATCH, 3, 8, 8], 0.0, 1.0).into_f32().expect("f32")
}

/// A network trained for so many steps.
fn trained(text: &str, steps: u64) -> (Quantizer, Model, f64) {
    trained_to(quantizer::create(text).expect("valid"), steps)
}

/// The same to a quantizer's form.
pub(crate) fn trained_to(quantizer: Quantizer, steps: u64) -> (Quantizer, Model, f64) {
    let prepared = quantizer.prepare(&float()).expect("a chain");
    let options = ModelOptions { batch: BATCH, ..ModelOptions::default() };
    let mut model = Model::new(&prepared, &quantizer.options(&prepared, options).expect("a chain")).expect("trains");
    let config = OptimizerConfig { rule: "adam".to_owned(), ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(&config, model.params()).expect("valid");
    if let Some(hook) = quantizer.hook(&model).expect("a chain") {
        optimizer.add_hook(hook);
    }
    let mut fp32 = policy::create("fp32").expect("registered");
    let labels: Vec<usize> = (0..BATCH).map(|i| i % 4).collect();
    let mut loss = 0.0;
    for step in 0..steps {
        let mode = Mode::Train { step, seed: 1 };
        model.forward(&images(step % 2), BATCH, mode, &mut *fp32).expect("fits");
        let targets = Targets { labels: &labels, tensors: &[] };
        loss = model.backward(&LossSum::cross_entropy(0.0), &targets, &mut *fp32).expect("fits").total;
        optimizer.step(model.params_mut(), 0.01, &mut *fp32);
    }
    (quantizer, model, loss)
}

/// Batch norms of both signs and zero, but behind the pool, where the sign stays.
fn disturb(model: &mut Model) {
    let mut draws = Draws::new(3, 4);
    for param in model.params_mut().iter_mut().filter(|param| param.role() == ParamRole::Scale) {
        let is_pooled = param.name().starts_with("conv3");
        for (idx, value) in param.values_mut().iter_mut().enumerate() {
            let random = draws.normal() as f32;
            *value = match (idx % 5, is_pooled) {
                (4, _) => 0.0,
                (_, true) => random.abs(),
                (_, false) => random,
            };
        }
    }
}

fn logits(model: &mut Model, images: &[f32]) -> Vec<f32> {
    let mut fp32 = policy::create("fp32").expect("registered");
    model.forward(images, BATCH, Mode::Eval, &mut *fp32).expect("fits");
    model.logits().to_vec()
}

/// Layers of 8, 4, 6 and 3 bits.
const MIXED: &str = "int4:layers=conv3=6/fc*=8/fc1=3";

/// Every quantizer with its own settings, and some with others.
fn texts() -> Vec<String> {
    let others = [
        "bwn:gradient=scaled,center=true,ends=real",
        "bnn:padding=0",
        "bnn:padding=1,surrogate=approx-sign,glorot=true,latent=0.5",
        "bnn:ends=real,surrogate=swish-sign,clip=0.5",
        "bnn01:padding=1",
        "xnor:ends=same,gradient=scaled",
        "snn:surrogate=atan,alpha=4",
        "bsnn:surrogate=sigmoid",
        MIXED,
    ];
    QUANTIZERS.iter().map(|entry| entry.name().to_owned()).chain(others.map(str::to_owned)).collect()
}

/// What an exported network computes, on the naive reference.
fn run(graph: &Graph, images: &[f32]) -> Vec<f32> {
    reference_run(graph, Tensor::from_f32(vec![BATCH, 3, 8, 8], images.to_vec()))
}

fn reference_run(graph: &Graph, images: Tensor) -> Vec<f32> {
    let reference = skimp_graph::reference::Reference::new(graph);
    reference.run(&[images]).expect("runs").remove(0).into_f32().expect("f32")
}

#[test]
fn exported_networks_compute_what_was_trained() {
    for text in texts().into_iter().filter(|text| !text.starts_with("int")) {
        let (quantizer, mut model, loss) = trained(&text, 30);
        assert!(loss < 1.3, "{text} learns nothing: {loss}");
        for round in 0..2 {
            let exported = quantizer.export(&model).expect("a chain");
            let file = onnx::export_bytes(&exported).expect("exports");
            let exported = onnx::import_bytes(file.into(), None, "file").expect("imports");
            for seed in 0..4 {
                let images = images(seed);
                let (found, expected) = (run(&exported, &images), logits(&mut model, &images));
                for (idx, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    // Sums of the real layers in another order; a decision turned by that would be off by far more.
                    let close = (found - expected).abs() <= 1e-4 * expected.abs().max(1.0);
                    assert!(close, "{text}, round {round}, images {seed}, {idx}: {found}, expected {expected}");
                }
            }
            disturb(&mut model);
        }
    }
}

#[test]
fn exported_networks_have_plain_thresholds() {
    for (text, n_real, values) in [
        ("bnn", 0, [-1.0, 1.0]),
        ("bnn:padding=0", 0, [-1.0, 1.0]),
        ("bsnn", 0, [-1.0, 1.0]),
        ("bnn01", 0, [-1.0, 1.0]),
        ("xnor:ends=same", 0, [-1.0, 1.0]),
        ("xnor", 2, [-1.0, 1.0]),
    ] {
        let (quantizer, mut model, _) = trained(text, 3);
        disturb(&mut model);
        let exported = quantizer.export(&model).expect("a chain");
        let layers = exported.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_)));
        let mut real = 0;
        for (idx, node) in layers.enumerate() {
            let constant = |input: usize| {
                let id = node.inputs.get(input).copied().flatten()?;
                exported.constant(id)?.as_f32()
            };
            let weight = constant(1).expect("a constant");
            let is_sign = weight.iter().all(|w| values.contains(w));
            real += usize::from(!is_sign);
            if let Some(bias) = constant(2).filter(|_| is_sign && idx > 0) {
                assert!(bias.iter().all(|b| (b.abs().fract() - 0.5).abs() < 1e-9), "{text}, {}: {bias:?}", node.name);
            }
        }
        assert_eq!(real, n_real, "{text}");
        let count = |op: &Op| exported.nodes().iter().filter(|node| node.op == *op).count();
        // The first layer, and in xnor none but it, has real sums.
        assert_eq!(count(&Op::Sign), 5, "{text}");
        let is_spiking = matches!(text, "bsnn" | "bnn01");
        assert_eq!(count(&Op::Relu), if is_spiking { 4 } else { 0 }, "{text}");
        let pads = exported.nodes().iter().filter(|node| matches!(node.op, Op::Pad(_))).count();
        assert_eq!(pads, if is_spiking || text.contains("padding=0") { 0 } else { 2 }, "{text}");
        assert!(!exported.nodes().iter().any(|node| matches!(node.op, Op::BatchNormalization(_))), "{text}");
        assert_eq!(exported.metadata(quantizer::QUANTIZER_KEY), Some(text));
        // The binary engine finds every layer but those on real numbers, and computes the same.
        let packed = binary::lower(&exported).expect("binary");
        let n_packed = packed.nodes.iter().filter(|node| matches!(node.op, binary::BinaryOp::Layer(_))).count();
        assert_eq!(n_packed, if n_real == 0 { 4 } else { 3 }, "{text}");
        let images = Tensor::from_f32(vec![BATCH, 3, 8, 8], images(7));
        let found = binary::BinaryReference::new(&packed).run(std::slice::from_ref(&images)).expect("runs").remove(0);
        assert_eq!(found.as_f32().expect("f32"), reference_run(&exported, images), "{text}");
    }
}

#[test]
fn one_time_step_is_the_network_of_zero_and_one() {
    let export = |text: &str| {
        let (quantizer, model, _) = trained(text, 20);
        onnx::export_bytes(&quantizer.export(&model).expect("a chain").with_metadata(quantizer::QUANTIZER_KEY, ""))
            .expect("exports")
    };
    assert!(export("bsnn") == export("bnn01:slope=1"), "the same bytes");
    assert!(export("bsnn") != export("bnn01"), "another slope trains other weights");
}

/// Networks of several time steps.
const OVER_TIME: [&str; 6] = [
    "snn:steps=4",
    "snn:steps=3,leak=0.75,reset=zero,surrogate=atan",
    "snn:steps=2,padding=1,reset=none",
    "bsnn:steps=4,delay=1",
    "bsnn:steps=3,leak=0.5,detach=true,ends=real",
    "bsnn:steps=2,reset=zero,delay=1,threshold=0.5",
];

#[test]
fn networks_of_several_steps_are_exported_as_they_were_trained() {
    for text in OVER_TIME {
        let (quantizer, mut model, loss) = trained(text, 60);
        assert!(loss < 1.3, "{text} learns nothing: {loss}");
        for round in 0..2 {
            let exported = quantizer.export(&model).expect("a chain");
            let file = onnx::export_bytes(&exported).expect("exports");
            let exported = onnx::import_bytes(file.into(), None, "file").expect("imports");
            let temporal = Temporal::of(&exported).expect("valid").expect("over time");
            assert_eq!(temporal.steps, quantizer.time.steps, "{text}");
            let watched = TimeLoop::watched(&exported, temporal, reference_engine).expect("runs");
            let (mut n_equal, mut spikes, mut seen) = (0, 0.0, 0);
            for seed in 0..4 {
                let images = images(seed);
                let input = Tensor::from_f32(vec![BATCH, 3, 8, 8], images.clone());
                let mut joined = Joined::new(temporal.join);
                let mut show = |step: Step<'_>| {
                    for tensor in step.spikes {
                        let tensor = tensor.as_f32().expect("f32");
                        spikes += tensor.iter().sum::<f32>();
                        seen += tensor.len();
                    }
                    joined.add(step.outputs)
                };
                watched.for_each_step(std::slice::from_ref(&input), &mut show).expect("runs");
                let found = joined.outputs().remove(0).into_f32().expect("f32");
                let expected = logits(&mut model, &images);
                n_equal += found
                    .chunks(4)
                    .zip(expected.chunks(4))
                    .filter(|(found, expected)| {
                        let pairs = found.iter().zip(*expected);
                        pairs
                            .into_iter()
                            .all(|(found, expected)| (found - expected).abs() <= 1e-4 * expected.abs().max(1.0))
                    })
                    .count();
            }
            // Potentials are in other units, so that one within 1e-6 of its threshold may be decided otherwise.
            assert!(n_equal >= 62, "{text}, round {round}: {n_equal} of 64 images equal");
            let rate = spikes / seen as f32;
            assert!((0.02..0.98).contains(&rate), "{text}, round {round}: rate {rate} shows little");
            disturb(&mut model);
        }
    }
}

fn reference_engine(graph: &Graph) -> Result<Box<dyn Executor>, skimp_graph::GraphError> {
    Ok(Box::new(skimp_graph::reference::Reference::new(graph)))
}

/// `trained`, of a network in which `change` has replaced operators.
fn trained_with(text: &str, change: impl Fn(Op) -> Op) -> Vec<Vec<f32>> {
    let quantizer = quantizer::create(text).expect("valid");
    let prepared = quantizer.prepare(&float()).expect("a chain");
    let mut nodes = prepared.nodes().to_vec();
    nodes.iter_mut().for_each(|node| node.op = change(node.op.clone()));
    let (inputs, outputs) = (prepared.inputs().to_vec(), prepared.outputs().to_vec());
    let prepared = Graph::new("n", inputs, outputs, prepared.values().to_vec(), nodes).expect("valid");
    let options = ModelOptions { batch: BATCH, ..ModelOptions::default() };
    let mut model = Model::new(&prepared, &quantizer.options(&prepared, options).expect("a chain")).expect("trains");
    let config = OptimizerConfig { rule: "adam".to_owned(), ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(&config, model.params()).expect("valid");
    let mut fp32 = policy::create("fp32").expect("registered");
    let labels: Vec<usize> = (0..BATCH).map(|i| i % 4).collect();
    for step in 0..10 {
        model.forward(&images(step % 2), BATCH, Mode::Train { step, seed: 1 }, &mut *fp32).expect("fits");
        let targets = Targets { labels: &labels, tensors: &[] };
        model.backward(&LossSum::cross_entropy(0.0), &targets, &mut *fp32).expect("fits");
        optimizer.step(model.params_mut(), 0.01, &mut *fp32);
    }
    model.params().iter().map(|param| param.values().to_vec()).collect()
}

#[test]
fn a_neuron_of_one_step_trains_as_the_comparison() {
    for text in ["snn", "bsnn:surrogate=atan"] {
        let comparison = trained_with(text, |op| op);
        let neuron = ops::Neuron { threshold: 0.0, ..ops::Neuron::default() };
        let neurons = trained_with(text, |op| if op == Op::Sign { Op::Neuron(neuron) } else { op });
        assert!(comparison == neurons, "{text}: the same parameters");
    }
}

#[test]
fn settings_over_time_are_checked() {
    for (text, expected) in [
        ("snn:steps=0", "steps=0: expected a number of time steps"),
        ("bsnn:leak=0.5", "expected 2 or more beside"),
        ("bsnn:steps=4,leak=1.5", "leak=1.5: expected 0 to 1"),
        ("bsnn:steps=4,reset=clear", "none, subtract or zero"),
        ("bsnn:steps=4,delay=2", "0 or 1"),
        ("bnn:steps=4", "valid are"),
    ] {
        let error = quantizer::create(text).expect_err("not valid").to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let (quantizer, model, _) = trained("snn:steps=2", 1);
    let exported = quantizer.export(&model).expect("a chain");
    // Real thresholds of the file are the file's: it trains on as it is.
    assert!(Model::new(&exported, &ModelOptions::default()).is_ok());
    let (quantizer, model, _) = trained("bsnn:steps=2", 1);
    let exported = quantizer.export(&model).expect("a chain");
    let error = Model::new(&exported, &ModelOptions::default()).expect_err("thresholds of channels").to_string();
    assert!(error.contains("training takes attributes"), "{error}");
}

#[test]
fn weights_that_learn_stay_within_their_limits() {
    let (_, model, _) = trained("bnn:clip=0.3,latent=3", 10);
    let weights = model.params().iter().filter(|param| param.role() == ParamRole::Weight);
    let max = weights.flat_map(|param| param.values()).fold(0.0_f32, |max, w| max.max(w.abs()));
    assert!((max - 0.3).abs() < 1e-6, "{max}");
    let (_, model, _) = trained("xnor:ends=same", 10);
    let conv = model.params().iter().find(|param| param.name() == "conv2.weight").expect("there");
    let weights = conv.graph_values();
    // [8, 6, 3, 3]: the mean over the 6 input channels.
    for at in (0..8).flat_map(|k| (0..9).map(move |tap| k * 54 + tap)) {
        let mean = (0..6).map(|c| weights[at + 9 * c]).sum::<f32>() / 6.0;
        assert!(mean.abs() < 1e-6, "{at}: {mean}");
    }
}

#[test]
fn other_networks_are_refused() {
    let bnn = quantizer::create("bnn").expect("registered");
    let refused = |graph: &Graph| bnn.prepare(graph).expect_err("not a chain").to_string();
    let error = refused(&residual());
    assert!(error.contains("\"relu1\" is read by 2 nodes"), "{error}");
    let (quantizer, model, _) = trained("bnn", 1);
    let error = refused(&quantizer.export(&model).expect("a chain"));
    assert!(error.contains("it is the result of quantizer bnn already"), "{error}");
    let (mut net, x) = Net::new("tanh", &[3, 8, 8]);
    let y = net.conv("conv1", x, [4, 3], window(8, 1, 0), 1);
    let y = net.op("tanh", Op::Tanh, &[y]);
    let error = refused(&net.finish(y));
    assert!(error.contains("node \"tanh\" (Tanh)"), "{error}");
    for (text, expected) in [
        ("bsnn:padding=-1", "expected 0 or 1"),
        ("bnn:surrogate=tahn", "rectangle, identity"),
        ("bnn:clip=0", "a number above 0"),
        ("xnoor", "did you mean \"xnor\""),
    ] {
        let error = quantizer::create(text).expect_err("not valid").to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = bnn.check_precision("bf16").expect_err("no such combination");
    assert!(matches!(&error, TrainError::Option { name, .. } if name == "precision"), "{error}");
}

/// Quantizers of few bits, by every method.
const CODES: [&str; 9] = [
    MIXED,
    "int2",
    "int3:activations=8",
    "int4",
    "int4:method=pact",
    "int4:method=ste,ends=same",
    "int8",
    "int8:method=pact,range=3",
    "int6:method=ste",
];

fn argmax(logits: &[f32]) -> Vec<usize> {
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("classes");
    logits.chunks(4).map(best).collect()
}

#[test]
fn codes_of_few_bits_are_exported_as_they_were_trained() {
    for text in CODES {
        let (quantizer, mut model, loss) = trained(text, 40);
        assert!(loss < 1.0, "{text} learns nothing: {loss}");
        for round in 0..2 {
            let exported = quantizer.export(&model).expect("a chain");
            let exported = onnx::import_bytes(onnx::export_bytes(&exported).expect("exports").into(), None, "file")
                .expect("imports");
            let lowered = integer::lower(&exported).expect("a QDQ network");
            assert_eq!(lowered.float_nodes().count(), 0, "{text}");
            let engine = integer::IntegerReference::new(&lowered).expect("valid");
            let (mut n_same, mut n_answers, mut n) = (0, 0, 0);
            for seed in 0..4 {
                let images = images(seed);
                let (found, expected) = (run(&exported, &images), logits(&mut model, &images));
                let largest = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
                n_same += found.iter().zip(&expected).filter(|(a, b)| (**a - **b).abs() <= 1e-4 * largest).count();
                let tensor = Tensor::from_f32(vec![BATCH, 3, 8, 8], images);
                let codes = engine.run(&[tensor]).expect("runs").remove(0).into_f32().expect("f32");
                n_answers += argmax(&codes).iter().zip(argmax(&found)).filter(|(a, b)| **a == *b).count();
                n += codes.len();
            }
            // Near-ties fall either way; in integers biases are whole accumulators, which are coarse in few bits.
            assert!(n_same * 20 >= n * 19, "{text}, round {round}: {n_same} of {n} numbers");
            let share = if text.starts_with("int8") { 0.9 } else { 0.6 };
            assert!(
                n_answers as f64 >= share * n as f64 / 4.0,
                "{text}, round {round}: {n_answers} of {} answers",
                n / 4
            );
            disturb(&mut model);
        }
    }
}

/// Each layer has the codes of its own width, and the file says so.
#[test]
fn layers_have_their_own_widths() {
    let (quantizer, model, _) = trained(MIXED, 20);
    let exported = quantizer.export(&model).expect("a chain");
    let widths = exported.metadata(integer::WEIGHT_BITS_KEY).expect("written").to_owned();
    let lowered = integer::lower(&exported).expect("a QDQ network");
    assert_eq!(lowered.float_nodes().count(), 0);
    let mut lines: Vec<&str> = widths.lines().collect();
    lines[1..].sort_unstable();
    let ends = ["3 fc1", "4 conv2", "6 conv3"];
    assert_eq!((lines[0], &lines[1..]), ("8", &ends[..]), "{widths}");
    for (name, bits) in [("conv1", 8), ("conv2", 4), ("conv3", 6), ("fc1", 3), ("fc2", 8)] {
        let form =
            quantizer.options(&model.to_graph().expect("a graph"), ModelOptions::default()).expect("a chain").weights
                [name];
        assert!(matches!(form, quantizer::WeightForm::Codes { bits: found, .. } if found == bits), "{name}: {form:?}");
    }
    let error =
        quantizer::create("int4:layers=conv9=3").expect("may be").prepare(&float()).expect_err("no layer").to_string();
    assert!(error.contains("layers: expected names of conv1, conv2") && error.contains("conv9=3"), "{error}");
    let error = quantizer::create("int4:layers=conv1=9").expect_err("too wide").to_string();
    assert!(error.contains("2 to 8 bits"), "{error}");
}

#[test]
fn steps_have_the_gradients_of_the_reference() {
    // One dense layer behind codes of images: all that there is can be worked out by hand.
    let (mut net, x) = Net::new("one", &[6]);
    let y = net.dense("fc", x, [3, 6]);
    let float = net.finish(y);
    for text in ["int4:ends=same", "int4:method=ste,ends=same", "int3:ends=same"] {
        let quantizer = quantizer::create(text).expect("valid");
        let prepared = quantizer.prepare(&float).expect("a chain");
        let keep = vec!["fc".to_owned(), "input.codes".to_owned()];
        let options = ModelOptions { batch: 5, keep, ..ModelOptions::default() };
        let mut model =
            Model::new(&prepared, &quantizer.options(&prepared, options).expect("a chain")).expect("trains");
        let images = random_tensor(5, "x", vec![5, 6], 0.0, 1.0).into_f32().expect("f32");
        let target = random_tensor(6, "t", vec![5, 3], 0.0, 1.0).into_f32().expect("f32");
        let mut fp32 = policy::create("fp32").expect("registered");
        model.forward(&images, 5, Mode::Train { step: 0, seed: 0 }, &mut *fp32).expect("fits");
        let losses = LossSum {
            terms: vec![LossTerm {
                kind: LossKind::MeanSquared,
                tensor: Some("fc".to_owned()),
                factor: 1.0,
                target: Target::Tensor("t".to_owned()),
            }],
        };
        let tensors = [("t", target.as_slice())];
        model.backward(&losses, &Targets { labels: &[], tensors: &tensors }, &mut *fp32).expect("fits");
        let (y, x) = (model.tensor("fc").expect("kept"), model.tensor("input.codes").expect("kept"));
        let dy: Vec<f64> = y.iter().zip(&target).map(|(y, t)| 2.0 * f64::from(y - t) / 15.0).collect();
        let form = quantizer.options(&prepared, ModelOptions::default()).expect("a chain").weights["fc"];
        let by_name = |name: &str| model.params().iter().find(|param| param.name() == name);
        let weight = by_name("fc.weight").expect("there");
        let (values, grad) = (weight.graph_values(), weight.in_graph_order(weight.grad()));
        for k in 0..3 {
            let w: Vec<f64> = values[6 * k..6 * k + 6].iter().map(|&w| f64::from(w)).collect();
            let of = |c: usize| (0..5).map(|n| dy[3 * n + k] * f64::from(x[6 * n + c])).sum::<f64>();
            let step = by_name("fc.step").map_or(0.0, |param| f64::from(param.values()[k]));
            let expected = reference::quantize::weight(&form, &w, step, &(0..6).map(of).collect::<Vec<_>>());
            for c in 0..6 {
                let found = f64::from(grad[6 * k + c]);
                assert!((found - expected.gradient[c]).abs() < 1e-5, "{text}: {found}, {}", expected.gradient[c]);
            }
            if let Some(param) = by_name("fc.step") {
                let found = f64::from(param.grad()[k]);
                assert!((found - expected.step_gradient).abs() < 1e-5, "{text}: {found}, {}", expected.step_gradient);
            }
        }
        // The gradient of the step of the images: through the weight that stands in the products.
        let stand_in: Vec<f64> = (0..3)
            .flat_map(|k| {
                let w: Vec<f64> = values[6 * k..6 * k + 6].iter().map(|&w| f64::from(w)).collect();
                let step = by_name("fc.step").map_or(0.0, |param| f64::from(param.values()[k]));
                reference::quantize::weight(&form, &w, step, &[0.0; 6]).values
            })
            .collect();
        let dx: Vec<f64> = (0..30).map(|i| (0..3).map(|k| dy[i / 6 * 3 + k] * stand_in[6 * k + i % 6]).sum()).collect();
        let step = by_name("input.codes.step").expect("there");
        let codes = quantizer.options(&prepared, ModelOptions::default()).expect("a chain").codes["input.codes"];
        let ends = codes.ends().map(f64::from);
        let images: Vec<f64> = images.iter().map(|&x| f64::from(x)).collect();
        let expected = reference::quantize::activation(codes.step, ends, f64::from(step.values()[0]), 6, &images, &dx);
        for (found, expected) in x.iter().zip(&expected.values) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{text}: {found}, {expected}");
        }
        let found = f64::from(step.grad()[0]);
        assert!((found - expected.step_gradient).abs() < 1e-5, "{text}: {found}, {}", expected.step_gradient);
    }
}

#[test]
fn onnxruntime_gives_the_same_answers() {
    let Some(python) = skimp_testkit::python("onnxruntime and numpy") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skimp-graph/tests/node_cases/onnxruntime_outputs.py");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(python);
    command.arg(script);
    let mut networks = Vec::new();
    for text in texts() {
        let (quantizer, mut model, _) = trained(&text, 5);
        disturb(&mut model);
        let exported = quantizer.export(&model).expect("a chain");
        let file = folder.path().join(format!("{}.onnx", networks.len()));
        onnx::export(&exported, &file).expect("exports");
        command.arg(&file).arg(file.with_extension("bin"));
        networks.push((text, exported, file));
    }
    assert!(command.status().expect("Python starts").success(), "the script fails");
    for (text, graph, file) in networks {
        let bytes = std::fs::read(file.with_extension("bin")).expect("the script wrote its file");
        let words: Vec<[u8; 4]> = bytes.as_chunks::<4>().0.to_vec();
        let numbers = |words: &[[u8; 4]]| words.iter().map(|&word| f32::from_le_bytes(word)).collect::<Vec<f32>>();
        // Rank, four extents and the images, then rank, two extents and the answers to two images.
        let images = Tensor::from_f32(vec![2, 3, 8, 8], numbers(&words[5..5 + 384]));
        let found = numbers(&words[5 + 384 + 3..]);
        let is_coded = text.starts_with("int");
        // onnxruntime joins layers on codes and rounds their biases, as integers do.
        let expected = if is_coded {
            let lowered = integer::lower(&graph).expect("a QDQ network");
            let engine = integer::IntegerReference::new(&lowered).expect("valid");
            engine.run(&[images]).expect("runs").remove(0).into_f32().expect("f32")
        } else {
            reference_run(&graph, images)
        };
        let largest = expected.iter().fold(1.0_f32, |max, x| max.max(x.abs()));
        let allowed = if is_coded { 0.02 } else { 1e-4 } * largest;
        let n_off = found.iter().zip(&expected).filter(|(a, b)| (**a - **b).abs() > allowed).count();
        // A code at a near-tie falls either way; real sums are in another order and decide the same.
        assert!(n_off <= if is_coded { 2 } else { 0 }, "{text}: {found:?}, expected {expected:?}");
    }
}
