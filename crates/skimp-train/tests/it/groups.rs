//! Convolutions of several groups under every precision policy.
//!
//! A policy must round a group as if it were a convolution of its own. Where it rounds element by element or block by
//! block, that is the oracle: slices of the image, a convolution for each, and their concatenation. Where a tensor has one
//! scale or range, the groups share it, and the oracle is the ungrouped convolution whose other weights are zero.

use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Graph, Op, Slice, Tensor};
use skimp_numerics::rng::random_u64;
use skimp_train::policy::POLICIES;
use skimp_train::{LossKind, LossSum, Model, ModelOptions, Target, Targets, policy};

use crate::model::STEP;
use crate::nets::{Net, window};

/// A grouped convolution.
#[derive(Clone, Copy, Debug)]
struct Case {
    groups: usize,
    group_c: usize,
    group_k: usize,
    kernel: usize,
    stride: usize,
    side: usize,
    batch: usize,
}

impl Case {
    /// Depthwise ones with and without multiplier among them; channels around the length of a block.
    fn draw(seed: u64) -> Self {
        let pick = |index: u64, from: &[usize]| from[random_u64(seed, 5, index) as usize % from.len()];
        let is_depthwise = pick(0, &[0, 0, 1]) == 1;
        let (groups, group_c) = if is_depthwise {
            (pick(1, &[2, 5, 16, 33]), 1)
        } else {
            (pick(1, &[2, 3, 4]), pick(2, &[2, 5, 16, 32, 40]))
        };
        Self {
            groups,
            group_c,
            group_k: if is_depthwise { pick(3, &[1, 1, 2, 3]) } else { pick(3, &[1, 3, 16, 33]) },
            kernel: pick(4, &[1, 3]),
            stride: pick(5, &[1, 1, 2]),
            side: pick(6, &[3, 5, 6]),
            batch: pick(7, &[1, 2, 3]),
        }
    }

    fn channels(&self) -> (usize, usize) {
        (self.groups * self.group_c, self.groups * self.group_k)
    }

    fn dims(&self) -> [usize; 3] {
        [self.channels().0, self.side, self.side]
    }

    fn conv(&self, groups: usize) -> Op {
        Op::Conv(ops::Conv { window: window(self.kernel, self.stride, self.kernel / 2), groups })
    }

    /// Images, and the weight `[k, c / groups, r, s]`; groups of very different magnitudes.
    fn operands(&self, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let (c, k) = self.channels();
        let step = |group: usize| [1.0, 64.0, 0.25][group % 3];
        let normal = |name: &str, n: usize| random_tensor(seed, name, vec![n], 0.0, 1.0).into_f32().expect("f32");
        let (area, taps) = (self.side * self.side, self.kernel * self.kernel);
        let mut images = normal("images", self.batch * c * area);
        for (i, value) in images.iter_mut().enumerate() {
            *value *= step(i / area % c / self.group_c + 1);
        }
        let mut weight = normal("weight", k * self.group_c * taps);
        for (i, value) in weight.iter_mut().enumerate() {
            *value *= step(i / (self.group_c * taps) / self.group_k);
        }
        // Both signs, so that a range is the same with zeros added.
        (weight[0], weight[1]) = (weight[0].abs(), -weight[1].abs());
        (images, weight)
    }

    /// The network's image plus a trainable constant of zeros, whose gradient is that of the convolution's input, summed
    /// over the batch.
    fn net(&self) -> (Net, skimp_graph::ValueId) {
        let (mut net, x) = Net::new("groups", &self.dims());
        let [c, h, w] = self.dims();
        let zeros = net.builder.constant("shift", Tensor::from_f32(vec![c, h, w], vec![0.0; c * h * w]));
        let x = net.op("add", Op::Add, &[x, zeros]);
        (net, x)
    }

    fn grouped(&self, weight: &[f32]) -> Graph {
        let (mut net, x) = self.net();
        let shape = vec![self.channels().1, self.group_c, self.kernel, self.kernel];
        let w = net.builder.constant("w", Tensor::from_f32(shape, weight.to_vec()));
        let y = net.op("conv", self.conv(self.groups), &[x, w]);
        let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        net.finish(y)
    }

    fn split(&self, weight: &[f32]) -> Graph {
        let (mut net, x) = self.net();
        let shape = [self.group_k, self.group_c, self.kernel, self.kernel];
        let parts: Vec<_> = weight
            .chunks(shape.iter().product())
            .enumerate()
            .map(|(g, weight)| {
                let (start, end) = ((g * self.group_c) as i64, ((g + 1) * self.group_c) as i64);
                let cut = Slice { axes: vec![1], starts: vec![start], ends: vec![end], steps: vec![1] };
                let part = net.op(&format!("cut{g}"), Op::Slice(cut), &[x]);
                let w = net.builder.constant(format!("w{g:03}"), Tensor::from_f32(shape.to_vec(), weight.to_vec()));
                net.op(&format!("conv{g}"), self.conv(1), &[part, w])
            })
            .collect();
        let y = net.op("concat", Op::Concat(ops::Concat { axis: 1 }), &parts);
        let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        net.finish(y)
    }

    /// The weight of the ungrouped convolution, and which of its elements are the groups'.
    fn diagonal(&self, weight: &[f32]) -> (Vec<f32>, Vec<bool>) {
        let ((c, k), taps) = (self.channels(), self.kernel * self.kernel);
        let (mut full, mut own) = (vec![0.0; k * c * taps], vec![false; k * c * taps]);
        for (i, &value) in weight.iter().enumerate() {
            let (output, rest) = (i / (self.group_c * taps), i % (self.group_c * taps));
            let at = (output * c + output / self.group_k * self.group_c) * taps + rest;
            (full[at], own[at]) = (value, true);
        }
        (full, own)
    }

    fn ungrouped(&self, weight: &[f32]) -> Graph {
        let ((c, k), (mut net, x)) = (self.channels(), self.net());
        let w = net.builder.constant("w", Tensor::from_f32(vec![k, c, self.kernel, self.kernel], weight.to_vec()));
        let y = net.op("conv", self.conv(1), &[x, w]);
        let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        net.finish(y)
    }

    /// Logits, the input's gradient and the weight's, all in the graph's order.
    fn step(&self, graph: &Graph, policy: &str, images: &[f32]) -> [Vec<f32>; 3] {
        let options = ModelOptions { batch: self.batch, ..ModelOptions::default() };
        let mut model = Model::new(graph, &options).expect("trains");
        let mut policy = policy::create(policy).expect("a policy");
        model.forward(images, self.batch, STEP, policy.as_mut()).expect("fits");
        let logits = model.logits().to_vec();
        let target = random_tensor(9, "target", vec![logits.len()], 0.0, 30.0).into_f32().expect("f32");
        let losses = LossSum::one(LossKind::MeanSquared, Target::Tensor("t".into()));
        let targets = Targets { labels: &[], tensors: &[("t", &target)] };
        model.backward(&losses, &targets, policy.as_mut()).expect("fits");
        policy.after_backward(model.params_mut());
        let mut named: Vec<(&str, Vec<f32>)> = model.params().iter().map(|p| (p.name(), p.graph_grad())).collect();
        named.sort_by_key(|(name, _)| (*name).to_owned());
        let (shifts, weights): (Vec<_>, Vec<_>) = named.into_iter().partition(|(name, _)| *name == "shift");
        let join = |parts: Vec<(&str, Vec<f32>)>| parts.into_iter().flat_map(|(_, grad)| grad).collect();
        [logits, join(shifts), join(weights)]
    }
}

/// A policy without what depends on the number of layers (first and last, random draws), how groups share scales, and how
/// far its results may lie apart: f32 sums in another order, or the steps of what is rounded after the sums.
fn settings(name: &str) -> (String, bool, f64) {
    let (switches, shares, tolerance) = match name {
        "fp32" | "mxfp8" | "mxfp6" | "mxfp4" | "bf16" => ("", false, 1e-6),
        "fp16" => (":loss-scale=64", false, 1e-3),
        "fp8-ibm" | "hfp8" => (":first=8,last=8,weight-gradient=16,update=fp32", false, 2e-3),
        "dfxp" => (":warm-up=0", true, 4e-3),
        "flexpoint" => ("", true, 2e-4),
        "int8-banner" => (":gradient-round=nearest-even,true-zero=true", true, 1e-5),
        "fp8-ocp" => ("", true, 1e-5),
        _ => panic!("{name}: say how groups share what it measures"),
    };
    (format!("{name}{switches}"), shares, tolerance)
}

/// Largest difference over the largest magnitude of the same group.
fn distance(found: &[f32], expected: &[f32], group_of: impl Fn(usize) -> usize, groups: usize) -> f64 {
    assert_eq!(found.len(), expected.len());
    let (mut most, mut off) = (vec![1e-30_f64; groups], vec![0.0_f64; groups]);
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let group = group_of(i);
        most[group] = most[group].max(f64::from(expected.abs()));
        off[group] = off[group].max((f64::from(found) - f64::from(expected)).abs());
    }
    off.iter().zip(&most).map(|(off, most)| off / most).fold(0.0, f64::max)
}

fn check(case: &Case, seed: u64, name: &str) -> Result<(), String> {
    let (policy, shares, tolerance) = settings(name);
    let (images, weight) = case.operands(seed);
    let found = case.step(&case.grouped(&weight), &policy, &images);
    let expected = if shares {
        let (full, own) = case.diagonal(&weight);
        let [logits, input, weight] = case.step(&case.ungrouped(&full), &policy, &images);
        [logits, input, weight.into_iter().zip(own).filter_map(|(value, own)| own.then_some(value)).collect()]
    } else {
        case.step(&case.split(&weight), &policy, &images)
    };
    let (c, k) = case.channels();
    let (area, n_weights) = (case.side * case.side, weight.len());
    let of_logits = |i: usize| i % k / case.group_k;
    let of_input = |i: usize| i / area % c / case.group_c;
    let of_weight = |i: usize| i / (n_weights / case.groups);
    // One scale for all: small groups may vanish, and what is left is measured by the whole.
    let per_group = |group: usize| if shares { 0 } else { group };
    for ((what, found), expected, group_of) in [
        (("logits", &found[0]), &expected[0], &of_logits as &dyn Fn(usize) -> usize),
        (("gradient of the input", &found[1]), &expected[1], &of_input),
        (("gradient of the weight", &found[2]), &expected[2], &of_weight),
    ] {
        let off = distance(found, expected, |i| per_group(group_of(i)), case.groups);
        if off > tolerance {
            return Err(format!("{policy}, seed {seed}, {case:?}: the {what} are off by {off:.2e}"));
        }
    }
    Ok(())
}

#[test]
fn every_policy_rounds_groups_apart() {
    let failures: Vec<String> = (0..24)
        .flat_map(|seed| POLICIES.iter().map(move |entry| (seed, entry.name())))
        .filter_map(|(seed, name)| check(&Case::draw(seed), seed, name).err())
        .collect();
    assert!(failures.is_empty(), "{} of 24 cases times policies\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_small_group_keeps_its_weights_under_mxfp4() {
    // Two groups of one output channel: weights of 1 beside weights of 64, which E2M1 holds exactly, each in its own block.
    let (mut net, x) = Net::new("two", &[64, 1, 1]);
    let signs = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let weight: Vec<f32> = (0..64).map(|i| signs(i) * if i < 32 { 1.0 } else { 64.0 }).collect();
    let w = net.builder.constant("w", Tensor::from_f32(vec![2, 32, 1, 1], weight));
    let y = net.op("conv", Op::Conv(ops::Conv { window: window(1, 1, 0), groups: 2 }), &[x, w]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let graph = net.finish(y);
    let images: Vec<f32> = (0..64).map(|i| signs(i) * 2.0).collect();
    for rule in ["floor", "even", "ceil", "rceil"] {
        let mut model = Model::new(&graph, &ModelOptions { batch: 1, ..ModelOptions::default() }).expect("trains");
        let mut policy = policy::create(&format!("mxfp4:scale={rule}")).expect("a policy");
        model.forward(&images, 1, STEP, policy.as_mut()).expect("fits");
        assert_eq!(model.logits(), [64.0, 4096.0], "{rule}");
    }
}
