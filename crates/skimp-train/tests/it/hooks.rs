//! Masks, clamps and noise in the way of tensors and updates.

use std::collections::BTreeMap;

use rayon::ThreadPoolBuilder;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Graph, Op, Tensor, ops};
use skimp_train::optimizer::{Clamp, Mask, Optimizer, OptimizerConfig};
use skimp_train::{GaussianNoise, HookPlace, LossSum, Mode, Model, ModelOptions, Targets, WeightMask, policy};

use crate::nets::{Net, window};

const BATCH: usize = 6;

fn model(graph: &Graph) -> Model {
    let options = ModelOptions { batch: BATCH, keep: vec!["conv".to_owned()], ..ModelOptions::default() };
    Model::new(graph, &options).expect("trains")
}

/// conv of `groups` with the given weight → ReLU → dense layer of 3 classes.
fn network(weight: Tensor, groups: usize) -> Graph {
    let (mut net, x) = Net::new("masked", &[4, 6, 6]);
    let w = net.builder.constant("conv.weight", weight);
    let y = net.builder.node("conv", Op::Conv(ops::Conv { window: window(3, 1, 1), groups }), &[x, w]);
    let y = net.builder.node("relu", Op::Relu, &[y]);
    let y = net.builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let w = net.constant("dense.weight", &[8 * 36, 3], 0.0, 0.1);
    let y = net.builder.node("logits", Op::MatMul, &[y, w]);
    net.builder.output(y);
    net.builder.build().expect("valid")
}

fn images() -> Vec<f32> {
    random_tensor(3, "images", vec![BATCH, 4, 6, 6], 0.0, 1.0).into_f32().expect("f32")
}

/// `n` steps of momentum, weight decay and a limit on the gradient's norm.
fn train(model: &mut Model, optimizer: &mut Optimizer, steps: std::ops::Range<u64>) {
    let mut fp32 = policy::create("fp32").expect("registered");
    let (images, labels): (Vec<f32>, Vec<usize>) = (images(), (0..BATCH).map(|i| i % 3).collect());
    for step in steps {
        model.forward(&images, BATCH, Mode::Train { step, seed: 1 }, &mut *fp32).expect("fits");
        let targets = Targets { labels: &labels, tensors: &[] };
        model.backward(&LossSum::cross_entropy(0.0), &targets, &mut *fp32).expect("fits");
        optimizer.step(model.params_mut(), 0.05, &mut *fp32);
    }
}

fn optimizer(model: &Model) -> Optimizer {
    let mut config = OptimizerConfig { weight_decay: 1e-3, ..OptimizerConfig::default() };
    config.clip.norm = Some(2.0);
    Optimizer::new(&config, model.params()).expect("valid")
}

/// A dense convolution of 4 -> 8 channels whose mask leaves two blocks on the diagonal, and the same as two groups.
fn dense_and_grouped() -> (Tensor, Tensor, Vec<f32>) {
    let grouped = random_tensor(9, "w", vec![8, 2, 3, 3], 0.0, 0.3);
    let (mut dense, mut mask) = (vec![0.7; 8 * 4 * 9], vec![0.0; 8 * 4 * 9]);
    for (i, &w) in grouped.as_f32().expect("f32").iter().enumerate() {
        let (k, c, tap) = (i / 18, i / 9 % 2, i % 9);
        let idx = (k * 4 + (k / 4) * 2 + c) * 9 + tap;
        (dense[idx], mask[idx]) = (w, 1.0);
    }
    (Tensor::from_f32(vec![8, 4, 3, 3], dense), grouped, mask)
}

/// Masked weights stay exactly zero with nothing in their momentum, and the others train as in the network that never had
/// the masked ones: a convolution of two groups.
#[test]
fn masked_training_is_training_without_the_weights() {
    let (dense, grouped, mask) = dense_and_grouped();
    let mut masked = model(&network(dense, 1));
    let weight = &masked.params()[0];
    assert_eq!(weight.name(), "conv.weight");
    let mask = weight.in_storage_order(&mask);
    let hook = Mask { masks: vec![Some(mask.clone()), None] };
    hook.apply(masked.params_mut());
    let mut updates = optimizer(&masked);
    updates.add_hook(Box::new(hook));
    train(&mut masked, &mut updates, 0..10);

    let start = grouped.clone();
    let mut structural = model(&network(grouped, 2));
    let mut plain = optimizer(&structural);
    train(&mut structural, &mut plain, 0..10);

    let state = updates.state(masked.params());
    let zero =
        |values: &[f32], mask: &[f32]| values.iter().zip(mask).all(|(value, &mask)| mask > 0.0 || value.to_bits() == 0);
    let graph_mask = masked.params()[0].in_graph_order(&mask);
    assert!(zero(masked.params()[0].values(), &mask) && zero(&state[0].2, &graph_mask));
    let kept = |values: Vec<f32>| -> Vec<f32> {
        values.into_iter().zip(&graph_mask).filter(|(_, mask)| **mask > 0.0).map(|(value, _)| value).collect()
    };
    let close = |a: &[f32], b: &[f32], what: &str| {
        // Ten steps of sums in another order: a few roundings of numbers below 1.
        let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(a.len() == b.len() && worst < 1e-5, "{what} differ by {worst}");
    };
    close(&kept(masked.params()[0].graph_values()), &structural.params()[0].graph_values(), "weights");
    close(masked.params()[1].values(), structural.params()[1].values(), "dense weights");
    close(&kept(state[0].2.clone()), &plain.state(structural.params())[0].2, "momentum");
    let start = start.as_f32().expect("f32");
    let moved = structural.params()[0].graph_values();
    assert!(moved.iter().zip(start).all(|(a, b)| a.to_bits() != b.to_bits()), "all kept weights were trained");
}

/// A mask that comes late takes the momentum of what it cuts.
#[test]
fn a_late_mask_leaves_no_momentum() {
    let (dense, _, mask) = dense_and_grouped();
    let mut model = model(&network(dense, 1));
    let mut updates = optimizer(&model);
    train(&mut model, &mut updates, 0..3);
    let before = updates.state(model.params())[0].2.clone();
    assert!(before.iter().zip(&mask).any(|(momentum, &mask)| mask <= 0.0 && momentum.abs() > 0.0));
    let stored = model.params()[0].in_storage_order(&mask);
    updates.add_hook(Box::new(Mask { masks: vec![Some(stored)] }));
    train(&mut model, &mut updates, 3..4);
    let after = updates.state(model.params())[0].2.clone();
    assert!(after.iter().zip(&mask).all(|(momentum, &mask)| mask > 0.0 || momentum.to_bits() == 0));
}

#[test]
fn latent_weights_stay_within_one() {
    let (dense, _, _) = dense_and_grouped();
    let mut model = model(&network(dense, 1));
    model.params_mut()[0]
        .values_mut()
        .iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w = if i % 2 == 0 { 1.0 } else { -1.0 });
    let mut updates = optimizer(&model);
    updates.add_hook(Box::new(Clamp { limits: vec![Some(1.0), None] }));
    let mut n_at_limit = 0;
    for step in 0..5 {
        train(&mut model, &mut updates, step..step + 1);
        assert!(model.params()[0].values().iter().all(|w| w.abs() <= 1.0), "step {step}");
        n_at_limit += model.params()[0].values().iter().filter(|w| w.abs() >= 1.0).count();
    }
    assert!(n_at_limit > 0 && model.params()[0].values().iter().any(|w| w.abs() < 1.0));
}

/// Weights under a mask of the forward pass count as zero and go on learning; the gradient is not masked.
#[test]
fn weights_under_a_forward_mask_learn() {
    let (dense, _, mask) = dense_and_grouped();
    let zeroed: Vec<f32> = dense.as_f32().expect("f32").iter().zip(&mask).map(|(w, m)| w * m).collect();
    let mut zeroed = model(&network(Tensor::from_f32(vec![8, 4, 3, 3], zeroed), 1));
    let mut spliced = model(&network(dense, 1));
    let stored = spliced.params()[0].in_storage_order(&mask);
    spliced.add_hook(Box::new(WeightMask { masks: BTreeMap::from([("conv".to_owned(), stored)]) }));
    let start = spliced.params()[0].graph_values();
    let mut updates = Optimizer::new(&OptimizerConfig::default(), spliced.params()).expect("valid");
    train(&mut spliced, &mut updates, 0..1);
    let mut other = Optimizer::new(&OptimizerConfig::default(), zeroed.params()).expect("valid");
    train(&mut zeroed, &mut other, 0..1);
    // One step: same outputs, same gradients, bit for bit.
    assert_eq!(spliced.tensor("conv"), zeroed.tensor("conv"));
    assert_eq!(spliced.params()[0].grad(), zeroed.params()[0].grad());
    assert_eq!(spliced.params()[1].values(), zeroed.params()[1].values());
    let moved = spliced.params()[0].graph_values();
    let under = start.iter().zip(&moved).zip(&mask).filter(|(_, mask)| **mask <= 0.0);
    let n_moved = under.clone().filter(|((a, b), _)| a.to_bits() != b.to_bits()).count();
    assert!(n_moved * 10 > under.count() * 9, "{n_moved} weights under the mask have moved");
}

/// Noise of an image is the same in any batch, at any place and on any number of threads, other at another step, and
/// has the mean and variance that were asked for.
#[test]
fn noise_belongs_to_the_image() {
    let graph = network(random_tensor(9, "w", vec![8, 4, 3, 3], 0.0, 0.3), 1);
    let place = HookPlace::Output;
    let noise = GaussianNoise { seed: 5, layers: vec!["conv".to_owned()], place, deviation: 0.25 };
    let images = images();
    let of = |indices: &[usize]| indices.iter().flat_map(|&i| images[i * 144..][..144].to_vec()).collect::<Vec<f32>>();
    let run = |indices: &[usize], mode: Mode, is_noisy: bool, n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
        pool.install(|| {
            let mut model = model(&graph);
            if is_noisy {
                model.add_hook(Box::new(noise.clone()));
            }
            let mut fp32 = policy::create("fp32").expect("registered");
            model.forward_images(&of(indices), indices, mode, &mut *fp32).expect("fits");
            model.tensor("conv").expect("kept")
        })
    };
    for mode in [Mode::Eval, Mode::Train { step: 4, seed: 1 }] {
        let all = run(&[0, 1, 2, 3, 4, 5], mode, true, 1);
        let image = |i: usize| all[i * 288..][..288].to_vec();
        assert_eq!(run(&[0, 1, 2, 3, 4, 5], mode, true, 3), all);
        assert_eq!(run(&[4, 1], mode, true, 2), [image(4), image(1)].concat());
    }
    let step = |step| Mode::Train { step, seed: 1 };
    assert_ne!(run(&[0], step(1), true, 1), run(&[0], step(2), true, 1));

    let mut differences: Vec<f64> = Vec::new();
    for s in 0..40 {
        let (noisy, clean) = (run(&[0, 1, 2, 3, 4, 5], step(s), true, 1), run(&[0, 1, 2, 3, 4, 5], step(s), false, 1));
        differences.extend(noisy.iter().zip(&clean).map(|(a, b)| f64::from(a - b)));
    }
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Four standard errors each.
    assert!(mean.abs() < 4.0 * 0.25 / n.sqrt(), "mean {mean} of {n}");
    assert!((variance / 0.0625 - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "variance {variance} of {n}");
}

/// Noise on a weight is one draw for a step, for all images and both products that read it.
#[test]
fn noise_on_a_weight_is_one_draw() {
    let graph = network(random_tensor(9, "w", vec![8, 4, 3, 3], 0.0, 0.3), 1);
    let mut model = model(&graph);
    let (layers, place) = (vec!["conv".to_owned()], HookPlace::Weight);
    model.add_hook(Box::new(GaussianNoise { seed: 5, layers, place, deviation: 0.1 }));
    let sites: Vec<&str> = model.sites().map(|site| site.name.as_str()).collect();
    assert_eq!(sites, ["conv", "relu", "flatten", "logits"]);
    let mut fp32 = policy::create("fp32").expect("registered");
    let image = images()[..144].to_vec();
    let mut run = |indices: &[usize]| {
        let batch = image.repeat(indices.len());
        model.forward_images(&batch, indices, Mode::Train { step: 3, seed: 1 }, &mut *fp32).expect("fits");
        model.tensor("conv").expect("kept")
    };
    let two = run(&[0, 9]);
    assert_eq!(two[..288], two[288..]);
    assert_eq!(run(&[7]), two[..288]);
    assert_eq!(model.take_hooks().len(), 1);
    let mut fp32 = policy::create("fp32").expect("registered");
    model.forward(&image, 1, Mode::Eval, &mut *fp32).expect("fits");
    assert_ne!(model.tensor("conv").expect("kept"), two[..288]);
}
