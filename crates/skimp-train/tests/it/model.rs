//! The engine against the reference operators.

use skimp_graph::ops;
use skimp_graph::rewrite::Editor;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Dim, Executor, Graph, Op, Slice, Tensor, reference};
use skimp_train::reference::loss;
use skimp_train::{LossSum, Mode, Model, ModelOptions, Targets, TrainError, policy};

use crate::nets::Net;
use crate::{nets, oracle};

pub(crate) const STEP: Mode = Mode::Train { step: 3, seed: 7 };

pub(crate) fn images(graph: &Graph, batch: usize) -> Vec<f32> {
    let len: usize = graph.inputs()[0].dims[1..]
        .iter()
        .map(|dim| match dim {
            skimp_graph::Dim::Fixed(n) => *n,
            skimp_graph::Dim::Free(_) => panic!("fixed extents"),
        })
        .product();
    random_tensor(11, "images", vec![batch * len], 0.1, 1.0).into_f32().expect("f32")
}

/// Largest difference over the largest magnitude.
pub(crate) fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs() / most).fold(0.0, f64::max)
}

/// The logits' name: the last value before a final softmax.
pub(crate) fn logits_name(graph: &Graph) -> String {
    let output = graph.outputs()[0];
    let producer = graph.producers()[output.0].expect("a computed output");
    let node = &graph.nodes()[producer];
    let is_left_out = node.op.name() == "Softmax";
    let id = if is_left_out { node.inputs[0].expect("input") } else { output };
    graph.value(id).name.clone()
}

fn check(graph: &Graph, batch: usize, planned: usize) {
    let options = ModelOptions { batch: planned, ..ModelOptions::default() };
    check_with(graph, batch, &options);
}

fn check_with(graph: &Graph, batch: usize, options: &ModelOptions) {
    let images = images(graph, batch);
    let logits = logits_name(graph);
    let mut model = Model::new(graph, options).expect("trains");
    let classes = model.n_classes();
    let labels: Vec<usize> = (0..batch).map(|n| (n * 5 + 1) % classes).collect();
    let trace = oracle::train(graph, &images, batch, &|name, value| {
        (name == logits).then(|| loss::cross_entropy(&value.data, &labels, classes, f64::from(0.1_f32)).gradient)
    });
    let mut policy = policy::create("fp32").expect("registered");
    let before: Vec<Vec<f32>> = model.buffers().iter().map(|b| b.values.clone()).collect();
    // Twice: memory that steps share must not leak from one pass into the next.
    for _ in 0..2 {
        for (buffer, before) in model.buffers_mut().iter_mut().zip(&before) {
            buffer.values.clone_from(before);
        }
        model.forward(&images, batch, STEP, policy.as_mut()).expect("fits");
        // f32 sums of up to a few hundred terms, in another order than the f64 ones: a few hundred half-ulps.
        assert!(distance(model.logits(), &trace.values[&logits].data) < 1e-5, "logits of {}", graph.name());
        for name in &options.keep {
            let found = model.tensor(name).unwrap_or_else(|| panic!("{name} is kept"));
            assert!(distance(&found, &trace.values[name].data) < 1e-5, "{name} of {}", graph.name());
        }
        let report = model
            .backward(&LossSum::cross_entropy(0.1), &Targets { labels: &labels, tensors: &[] }, policy.as_mut())
            .expect("fits");
        let expected = loss::cross_entropy(&trace.values[&logits].data, &labels, classes, f64::from(0.1_f32)).value;
        assert!((report.total - expected).abs() < 1e-5, "loss of {}", graph.name());
        assert!(!model.params().is_empty());
        for param in model.params() {
            let gradient = trace.gradients.get(param.name()).unwrap_or_else(|| panic!("{}", param.name()));
            let found = distance(&param.graph_grad(), gradient);
            assert!(found < 3e-5, "{} of {} is off by {found}", param.name(), graph.name());
        }
        for (buffer, before) in model.buffers().iter().zip(&before) {
            let momentum = f64::from(0.1_f32);
            let moved = before.iter().zip(&trace.statistics[&buffer.name]);
            let moved: Vec<f64> = moved.map(|(&b, s)| (1.0 - momentum) * f64::from(b) + momentum * s).collect();
            assert!(distance(&buffer.values, &moved) < 1e-5, "{} of {}", buffer.name, graph.name());
        }
    }
    check_export(graph, &mut model, &images, batch);
}

/// An evaluation equals the reference executor on the exported graph.
fn check_export(graph: &Graph, model: &mut Model, images: &[f32], batch: usize) {
    let mut policy = policy::create("fp32").expect("registered");
    model.forward(images, batch, Mode::Eval, policy.as_mut()).expect("fits");
    let exported = model.to_graph().expect("well-formed");
    let names = |graph: &Graph| graph.nodes().iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&exported), names(graph));
    let executor = reference::Reference::new(&exported);
    let shape = std::iter::once(batch).chain(model.input_shape().iter().copied()).collect();
    let logits = logits_name(graph);
    let mut expected = Vec::new();
    let mut observer = |id: skimp_graph::ValueId, tensor: &Tensor| {
        if exported.value(id).name == logits {
            expected = tensor.as_f32().expect("f32").iter().map(|&x| f64::from(x)).collect();
        }
    };
    executor.run_observed(&[Tensor::from_f32(shape, images.to_vec())], &mut observer).expect("runs");
    assert!(distance(model.logits(), &expected) < 1e-5, "exported {}", graph.name());
}

#[test]
fn residual_networks_equal_the_reference() {
    check(&nets::residual(), 5, 6);
    check(&nets::residual(), 2, 2);
}

#[test]
fn plain_networks_equal_the_reference() {
    check(&nets::plain(), 3, 4);
}

#[test]
fn mixed_networks_equal_the_reference() {
    check(&nets::mixed(), 3, 3);
}

#[test]
fn sequences_and_shared_weights_equal_the_reference() {
    check(&nets::sequence(), 3, 3);
    check(&nets::shared(), 3, 4);
}

#[test]
fn kept_values_are_readable_and_change_nothing() {
    for graph in [nets::residual(), nets::plain(), nets::mixed(), nets::sequence()] {
        let computed = graph.nodes().iter().flat_map(|node| &node.outputs);
        let mut keep: Vec<String> = computed.map(|&id| graph.value(id).name.clone()).collect();
        // A final softmax is left out unless somebody wants it.
        keep.retain(|name| name != "softmax");
        check_with(&graph, 3, &ModelOptions { batch: 3, keep, ..ModelOptions::default() });
    }
}

/// Features, logits and their softmax are outputs: whichever of the last two is asked for, losses read the logits, and
/// the gradients are those of the network that has no other output.
#[test]
fn one_of_several_outputs_is_trained() {
    let several = |n_outputs: usize| {
        let (mut net, x) = Net::new("several", &[6]);
        let features = net.dense("features", x, [8, 6]);
        let logits = net.dense("logits", features, [4, 8]);
        let share = net.op("softmax", Op::Softmax(skimp_graph::ops::Softmax { axis: 1 }), &[logits]);
        [share, features, logits].into_iter().take(n_outputs).for_each(|id| net.builder.output(id));
        net.builder.build().expect("well-formed")
    };
    let step = |graph: &Graph, output: Option<&str>| {
        let options = ModelOptions { batch: 3, output: output.map(str::to_owned), ..ModelOptions::default() };
        let mut model = Model::new(graph, &options).expect("trains");
        let mut policy = policy::create("fp32").expect("registered");
        let targets = Targets { labels: &[0, 3, 1], tensors: &[] };
        model.forward(&images(graph, 3), 3, STEP, policy.as_mut()).expect("fits");
        let loss = model.backward(&LossSum::cross_entropy(0.0), &targets, policy.as_mut()).expect("fits").total;
        let gradients: Vec<Vec<f32>> = model.params().iter().map(|p| p.grad().to_vec()).collect();
        (model.logits().to_vec(), loss, gradients)
    };
    let graph = several(3);
    let names: Vec<&str> = graph.outputs().iter().map(|&id| graph.value(id).name.as_str()).collect();
    let alone = step(&several(1), None);
    assert_eq!(alone.0.len(), 3 * 4);
    assert_eq!(step(&graph, None), alone);
    assert_eq!(step(&graph, Some(names[0])), alone);
    assert_eq!(step(&graph, Some(names[2])), alone);
    assert_eq!(step(&graph, Some(names[1])).0.len(), 3 * 8);
    let options = ModelOptions { output: Some("softmax.x".into()), ..ModelOptions::default() };
    let message = Model::new(&graph, &options).expect_err("no such output").to_string();
    assert_eq!(message, format!("output: expected one of: {}, found \"softmax.x\"", names.join(", ")));
}

#[test]
fn preprocessing_is_not_trained() {
    let model = Model::new(&nets::mixed(), &ModelOptions::default()).expect("trains");
    let names: Vec<&str> = model.params().iter().map(|p| p.name()).collect();
    assert!(!names.contains(&"image_mean"), "{names:?}");
    assert!(names.contains(&"factor") && names.contains(&"matmul.bias") && names.contains(&"slope"), "{names:?}");
}

#[test]
fn frozen_parameters_get_no_gradient() {
    let graph = nets::residual();
    let mut model = Model::new(&graph, &ModelOptions::default()).expect("trains");
    let mut policy = policy::create("fp32").expect("registered");
    let images = images(&graph, 4);
    let targets = Targets { labels: &[0, 1, 2, 3], tensors: &[] };
    let step = |model: &mut Model, policy: &mut dyn policy::Policy| {
        model.forward(&images, 4, STEP, policy).expect("fits");
        model.backward(&LossSum::cross_entropy(0.0), &targets, policy).expect("fits");
        model.params().iter().map(|p| p.grad().to_vec()).collect::<Vec<_>>()
    };
    let all = step(&mut model, policy.as_mut());
    for param in model.params_mut() {
        param.set_trainable(param.name().starts_with("fc") || param.name().starts_with("bn4"));
    }
    let some = step(&mut model, policy.as_mut());
    for ((param, all), some) in model.params().iter().zip(all).zip(some) {
        if param.is_trainable() {
            assert_eq!(all, some, "{}", param.name());
        } else {
            assert!(some.iter().all(|&g| g == 0.0) && all.iter().any(|&g| g != 0.0), "{}", param.name());
        }
    }
}

#[test]
fn wrong_calls_are_told() {
    let graph = nets::residual();
    let mut model = Model::new(&graph, &ModelOptions { batch: 2, ..ModelOptions::default() }).expect("trains");
    let mut policy = policy::create("fp32").expect("registered");
    let images = images(&graph, 3);
    let mut forward = |images: &[f32], batch| model.forward(images, batch, STEP, policy.as_mut());
    let message = |result: Result<(), TrainError>| result.expect_err("wrong").to_string();
    assert_eq!(message(forward(&images, 3)), "batch: expected 1 to 2 images, found 3");
    assert_eq!(message(forward(&[], 0)), "batch: expected 1 to 2 images, found 0");
    assert_eq!(
        message(forward(&images[1..193], 2)),
        "images: expected 2 of shape [3, 8, 8], 384 elements, found 192 elements"
    );
    let losses = LossSum::cross_entropy(0.0);
    let targets = Targets { labels: &[0], tensors: &[] };
    assert!(matches!(model.backward(&losses, &targets, policy.as_mut()), Err(TrainError::Sequence(_))));
    model.forward(&images[..192], 1, Mode::Eval, policy.as_mut()).expect("fits");
    assert!(matches!(model.backward(&losses, &targets, policy.as_mut()), Err(TrainError::Sequence(_))));
    assert!(model.evaluate(&losses, &targets).expect("fits").total > 0.0);
    model.forward(&images[..192], 1, STEP, policy.as_mut()).expect("fits");
    model.backward(&losses, &targets, policy.as_mut()).expect("fits");
    assert!(matches!(model.backward(&losses, &targets, policy.as_mut()), Err(TrainError::Sequence(_))));
}

#[test]
fn networks_that_do_not_fit_are_told() {
    let fail = |graph: &Graph, options: &ModelOptions| Model::new(graph, options).expect_err("wrong").to_string();
    let graph = nets::residual();
    let with_batch = |batch| ModelOptions { batch, ..ModelOptions::default() };
    assert_eq!(fail(&graph, &with_batch(0)), "batch: expected at least 1, found 0");
    let message = fail(&graph, &with_batch(usize::MAX / 1000));
    assert!(message.starts_with("training \"residual\" on batches of") && message.contains("memory"), "{message}");
    let keep = ModelOptions { keep: vec!["nothing".into()], ..ModelOptions::default() };
    assert_eq!(fail(&graph, &keep), "keep: expected names of values that the network computes, found \"nothing\"");
    let size = ModelOptions { input_size: Some(vec![3, 8, 9]), ..ModelOptions::default() };
    assert_eq!(fail(&graph, &size), "network \"residual\": axis 3 has 8 elements, given are 9");
    let (mut net, x) = Net::new("transposed", &[2, 2, 2]);
    let y = net.op("swap", Op::Transpose(ops::Transpose { perm: vec![1, 0, 2, 3] }), &[x]);
    let graph = net.finish(y);
    assert_eq!(
        fail(&graph, &ModelOptions::default()),
        "node \"swap\" (Transpose): cannot be trained: its output does not have the batch as its first axis"
    );
    // The shapes stay, the images do not.
    let (mut net, x) = Net::new("turned", &[4]);
    let turned = Slice { axes: vec![0], starts: vec![-1], ends: vec![i64::MIN], steps: vec![-1] };
    let y = net.op("turn", Op::Slice(turned), &[x]);
    let graph = net.finish(y);
    assert_eq!(
        fail(&graph, &ModelOptions::default()),
        "node \"turn\" (Slice): cannot be trained: it moves elements between the images of a batch"
    );
}

/// What exporters write where nobody asks for a batch: an input for one image, and a `Reshape` that says so.
#[test]
fn a_batch_fixed_at_one_does_not_hinder() {
    let network = |batch: Dim, first: i64| {
        let (mut net, x) = Net::new("flat", &[2, 4, 4]);
        let y = net.conv("conv", x, [3, 2], nets::window(3, 1, 1), 1);
        let y = net.op("relu", Op::Relu, &[y]);
        let y = net.op("reshape", Op::Reshape(ops::Reshape { shape: vec![first, 48], allow_zero: false }), &[y]);
        let weight = net.constant("dense.weight", &[48, 5], 0.0, 0.2);
        let y = net.op("dense", Op::MatMul, &[y, weight]);
        let graph = net.finish(y);
        let mut editor = Editor::new(&graph);
        let dims = [batch].into_iter().chain(graph.inputs()[0].dims[1..].iter().cloned()).collect();
        editor.set_input_dims(0, dims).expect("an input");
        editor.finish().expect("fits")
    };
    let (fixed, free) = (network(Dim::Fixed(1), 1), network(Dim::Free("N".to_owned()), -1));
    let images = images(&free, 6);
    let logits = [&fixed, &free].map(|graph| {
        let mut model = Model::new(graph, &ModelOptions { batch: 6, ..ModelOptions::default() }).expect("trains");
        model.forward(&images, 6, STEP, &mut *policy::create("fp32").expect("registered")).expect("fits");
        assert_eq!(model.to_graph().expect("well-formed").inputs(), graph.inputs());
        model.logits().to_vec()
    });
    assert_eq!(logits[0], logits[1]);
}
