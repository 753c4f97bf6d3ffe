//! Small random convolutional networks.

use skimp_numerics::rng::{Draws, stream};

use super::layers::{Bias, ConvSpec, Weights, random_tensor};
use crate::ops;
use crate::shape::{self, TensorType};
use crate::{AutoPad, DType, Dim, Graph, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, ValueId, Window};

/// A small random convolutional network and inputs for it: a batch of 1 to 3 images of at most 17 x 17.
///
/// It draws from convolutions (grouped, depthwise, strided, dilated, unevenly padded, `auto_pad`), batch norms
/// (foldable and not), all activations, both pools (with `ceil_mode` and padding), residual joins (identity,
/// projection, and slice + channel padding), concatenations, global pools, and dense layers. Activations stay near 1.
///
/// # Determinism
/// A pure function of the seed.
pub fn random_cnn(seed: u64) -> (Graph, Vec<Tensor>) {
    Generator::new(seed, Activations::All).generate()
}

/// Like [`random_cnn`], with `Relu` and `Clip` as the only activations and no softmax.
pub fn random_relu_cnn(seed: u64) -> (Graph, Vec<Tensor>) {
    Generator::new(seed, Activations::Relu).generate()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activations {
    All,
    Relu,
}

/// A value with its shape `[n, c, h, w]`.
#[derive(Clone, Copy, Debug)]
struct Feature {
    value: ValueId,
    shape: [usize; 4],
}

struct Generator {
    seed: u64,
    draws: Draws,
    activations: Activations,
    builder: GraphBuilder,
    n_layers: usize,
}

impl Generator {
    fn new(seed: u64, activations: Activations) -> Self {
        let draws = Draws::new(seed, stream("testing/random_cnn"));
        Self { seed, draws, activations, builder: GraphBuilder::new(format!("random{seed}")), n_layers: 0 }
    }

    fn generate(mut self) -> (Graph, Vec<Tensor>) {
        let shape =
            [self.draws.between(1, 3), self.draws.between(1, 6), self.draws.between(5, 17), self.draws.between(5, 17)];
        let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(shape[1]), Dim::Fixed(shape[2]), Dim::Fixed(shape[3])];
        let mut x = Feature { value: self.builder.input("x", DType::F32, dims), shape };
        for _ in 0..self.draws.between(2, 6) {
            x = match self.draws.below(8) {
                0..=2 => self.conv_block(x),
                3 => self.pool(x),
                4 | 5 => self.residual(x),
                6 => self.branches(x),
                _ => self.pre_activation(x),
            };
        }
        let y = self.head(x);
        self.builder.output(y);
        // Sometimes an inner value is an output too, which forbids fusing over it.
        if self.draws.chance(0.2) && x.value != y && self.n_layers > 0 {
            self.builder.output(x.value);
        }
        let input = random_tensor(self.seed, "x", shape.to_vec(), 0.0, 1.0);
        (self.builder.build().expect("the generator builds well-formed graphs"), vec![input])
    }

    fn name(&mut self, kind: &str) -> String {
        self.n_layers += 1;
        format!("{kind}{}", self.n_layers)
    }

    fn weights(&self) -> Weights {
        Weights(self.seed)
    }

    /// Adds a node that maps one feature to one; `None` if the operator does not fit the shape.
    fn try_node(&mut self, op: Op, x: Feature) -> Option<Feature> {
        let shape = output_shape(&op, &[x.shape.to_vec()])?;
        let name = self.name(&op.name().to_lowercase());
        Some(Feature { value: self.builder.node(name, op, &[x.value]), shape })
    }

    /// A window with a random kernel, padded so that some output remains.
    fn window(&mut self, largest: usize) -> Window {
        let kernel = if self.draws.chance(0.7) {
            vec![self.draws.between(1, largest); 2]
        } else {
            vec![self.draws.between(1, largest), self.draws.between(1, largest)]
        };
        let stride = if self.draws.chance(0.7) { 1 } else { 2 };
        let dilation = if self.draws.chance(0.85) { 1 } else { 2 };
        let even = self.draws.chance(0.7);
        let mut pads = [0; 4];
        for (i, pad) in pads.iter_mut().enumerate() {
            let span = (kernel[i % 2] - 1) * dilation;
            *pad = if even { span / 2 } else { self.draws.between(0, span.min(kernel[i % 2].saturating_sub(1))) };
        }
        let auto_pad = match self.draws.below(10) {
            0 => AutoPad::SameUpper,
            1 => AutoPad::SameLower,
            2 => AutoPad::Valid,
            _ => AutoPad::NotSet,
        };
        if auto_pad != AutoPad::NotSet {
            pads = [0; 4];
        }
        // onnxruntime, an oracle of the tests, takes no dilation together with the two SAME forms.
        let is_same = matches!(auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let dilation = if is_same { 1 } else { dilation };
        Window {
            kernel,
            strides: vec![stride; 2],
            dilations: vec![dilation; 2],
            pads_begin: pads[..2].to_vec(),
            pads_end: pads[2..].to_vec(),
            auto_pad,
            ceil_mode: false,
        }
    }

    fn conv(&mut self, x: Feature, outputs: usize, conv: ConvSpec) -> Option<Feature> {
        let group_inputs = x.shape[1] / conv.groups;
        let op = Op::Conv(ops::Conv { window: conv.window.clone(), groups: conv.groups });
        let weight_shape = [&[outputs, group_inputs][..], &conv.window.kernel].concat();
        let shape = output_shape(&op, &[x.shape.to_vec(), weight_shape])?;
        let name = self.name("conv");
        let value = self.weights().conv(&mut self.builder, &name, x.value, (group_inputs, outputs), conv);
        Some(Feature { value, shape })
    }

    /// A convolution of stride 1 that keeps height and width.
    fn same_conv(&mut self, x: Feature, outputs: usize) -> Feature {
        let conv = ConvSpec::square([1, 3, 5][self.draws.below(3)], 1, self.bias());
        self.conv(x, outputs, conv).unwrap_or(x)
    }

    fn bias(&mut self) -> Bias {
        if self.draws.chance(0.5) { Bias::Yes } else { Bias::No }
    }

    fn batch_norm(&mut self, x: Feature) -> Feature {
        let name = self.name("bn");
        Feature { value: self.weights().batch_norm(&mut self.builder, &name, x.value, x.shape[1]), ..x }
    }

    fn activation(&mut self, x: Feature) -> Feature {
        let n_choices = if self.activations == Activations::All { 10 } else { 5 };
        let op = match self.draws.below(n_choices) {
            0..=3 => Op::Relu,
            4 => Op::Clip(ops::Clip { min: Some(0.0), max: Some(1.5) }),
            5 => Op::LeakyRelu(ops::LeakyRelu { alpha: 0.125 }),
            6 => Op::HardSwish,
            7 => Op::Sigmoid,
            8 => Op::Tanh,
            _ => {
                let name = self.name("prelu");
                let slope = random_tensor(self.seed, &name, vec![x.shape[1], 1, 1], 0.25, 0.1);
                let slope = self.builder.constant(format!("{name}.slope"), slope);
                return Feature { value: self.builder.node(name, Op::PRelu, &[x.value, slope]), ..x };
            }
        };
        self.try_node(op, x).unwrap_or(x)
    }

    fn conv_block(&mut self, x: Feature) -> Feature {
        let c = x.shape[1];
        let divisors: Vec<usize> = (1..=c).filter(|g| c.is_multiple_of(*g)).collect();
        let groups = if self.draws.chance(0.5) { 1 } else { divisors[self.draws.below(divisors.len())] };
        let outputs = groups * self.draws.between(1, (8 / groups).max(1));
        let window = self.window(if x.shape[2] > 6 { 5 } else { 3 });
        let bias = self.bias();
        let Some(mut y) = self.conv(x, outputs, ConvSpec { window, groups, bias }) else { return x };
        if self.draws.chance(0.5) {
            y = self.batch_norm(y);
        }
        if self.draws.chance(0.75) { self.activation(y) } else { y }
    }

    fn pool(&mut self, x: Feature) -> Feature {
        let mut window = self.window(3);
        window.ceil_mode = self.draws.chance(0.5);
        let op = if self.draws.chance(0.5) {
            Op::MaxPool(ops::MaxPool { window })
        } else {
            Op::AveragePool(ops::AveragePool { window, count_include_pad: self.draws.chance(0.5) })
        };
        self.try_node(op, x).unwrap_or(x)
    }

    fn residual(&mut self, x: Feature) -> Feature {
        let downsample = self.draws.chance(0.4) && x.shape[2] > 2 && x.shape[3] > 2;
        let outputs = if downsample { x.shape[1] + self.draws.between(0, 4) } else { x.shape[1] };
        let first = ConvSpec::square(3, if downsample { 2 } else { 1 }, self.bias());
        let Some(y) = self.conv(x, outputs, first) else { return x };
        let y = self.batch_norm(y);
        let y = self.activation(y);
        let y = self.same_conv(y, outputs);
        let y = if self.draws.chance(0.6) { self.batch_norm(y) } else { y };
        let shortcut = if !downsample {
            x
        } else if self.draws.chance(0.5) {
            let Some(projected) = self.conv(x, outputs, ConvSpec::square(1, 2, Bias::No)) else { return x };
            self.batch_norm(projected)
        } else {
            let Some(cut) = self.sliced_shortcut(x, outputs) else { return x };
            cut
        };
        let name = self.name("add");
        let sum = Feature { value: self.builder.node(name, Op::Add, &[y.value, shortcut.value]), ..y };
        if self.draws.chance(0.8) { self.activation(sum) } else { sum }
    }

    /// Every second row and column, and zero channels on both sides: option A of residual networks.
    fn sliced_shortcut(&mut self, x: Feature, outputs: usize) -> Option<Feature> {
        let cut = Slice { axes: vec![2, 3], starts: vec![0; 2], ends: vec![i64::MAX; 2], steps: vec![2; 2] };
        let cut = self.try_node(Op::Slice(cut), x)?;
        let more = (outputs - x.shape[1]) as i64;
        let (begin, end) = (vec![0, more / 2, 0, 0], vec![0, more - more / 2, 0, 0]);
        self.try_node(Op::Pad(Pad { begin, end, mode: PadMode::Constant, value: 0.0 }), cut)
    }

    fn branches(&mut self, x: Feature) -> Feature {
        let mut joined = Vec::new();
        let mut channels = 0;
        for _ in 0..self.draws.between(2, 3) {
            let outputs = self.draws.between(1, 4);
            let branch = self.same_conv(x, outputs);
            let branch = if self.draws.chance(0.7) { self.activation(branch) } else { branch };
            channels += branch.shape[1];
            joined.push(branch.value);
        }
        let name = self.name("concat");
        let value = self.builder.node(name, Op::Concat(ops::Concat { axis: 1 }), &joined);
        let [n, _, h, w] = x.shape;
        Feature { value, shape: [n, channels, h, w] }
    }

    fn pre_activation(&mut self, x: Feature) -> Feature {
        let y = self.batch_norm(x);
        let y = self.activation(y);
        let outputs = self.draws.between(1, 8);
        self.same_conv(y, outputs)
    }

    fn head(&mut self, x: Feature) -> ValueId {
        let classes = self.draws.between(2, 10);
        let (x, n_features) = match self.draws.below(4) {
            0 => (self.try_node(Op::GlobalMaxPool, x), x.shape[1]),
            1 => (Some(x), x.shape[1] * x.shape[2] * x.shape[3]),
            _ => (self.try_node(Op::GlobalAveragePool, x), x.shape[1]),
        };
        let x = x.expect("global pools and the identity fit every feature");
        let name = self.name("flatten");
        let mut y = self.builder.node(name, Op::Flatten(ops::Flatten { axis: 1 }), &[x.value]);
        let mut inputs = n_features;
        if self.draws.chance(0.3) {
            let hidden = self.draws.between(2, 12);
            let name = self.name("fc");
            y = self.weights().dense(&mut self.builder, &name, y, (inputs, hidden));
            let name = self.name("relu");
            y = self.builder.node(name, Op::Relu, &[y]);
            inputs = hidden;
        }
        let name = self.name("fc");
        y = self.weights().dense(&mut self.builder, &name, y, (inputs, classes));
        if self.activations == Activations::All && self.draws.chance(0.3) {
            let name = self.name("softmax");
            y = self.builder.node(name, Op::Softmax(ops::Softmax { axis: 1 }), &[y]);
        }
        y
    }
}

/// The four extents that an operator makes of inputs of the given shapes, `None` if it does not fit them.
fn output_shape(op: &Op, inputs: &[Vec<usize>]) -> Option<[usize; 4]> {
    let types: Vec<TensorType> =
        inputs.iter().map(|shape| TensorType { dtype: DType::F32, shape: shape.clone() }).collect();
    let types: Vec<Option<&TensorType>> = types.iter().map(Some).collect();
    let outputs = shape::output_shapes(op, "generated", &types).ok()?;
    <[usize; 4]>::try_from(outputs.first()?.shape.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Executor;
    use crate::reference::Reference;

    #[test]
    fn networks_run_and_shapes_agree() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..150 {
            let (graph, inputs) = if seed % 3 == 0 { random_relu_cnn(seed) } else { random_cnn(seed) };
            kinds.extend(graph.nodes().iter().map(|node| node.op.name()));
            let extents = shape::bind(&graph, inputs[0].shape()[0], None).unwrap();
            let shapes = shape::infer(&graph, &extents).unwrap();
            let mut n_seen = 0;
            let outputs = Reference::new(&graph).run_observed(&inputs, &mut |id, tensor| {
                n_seen += 1;
                assert_eq!(shapes[id], TensorType::of(tensor), "seed {seed}, value {}", graph.value(id).name);
                let most = tensor.as_f32().unwrap().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                assert!(most < 1e3, "seed {seed}, value {}: {most}", graph.value(id).name);
            });
            assert_eq!(outputs.unwrap().len(), graph.outputs().len());
            assert_eq!(n_seen, graph.nodes().iter().map(|node| node.outputs.len()).sum::<usize>());
        }
        let expected = [
            "Add",
            "AveragePool",
            "BatchNormalization",
            "Clip",
            "Concat",
            "Conv",
            "Flatten",
            "Gemm",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "HardSwish",
            "LeakyRelu",
            "MaxPool",
            "PRelu",
            "Pad",
            "Relu",
            "Sigmoid",
            "Slice",
            "Softmax",
            "Tanh",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn networks_are_a_function_of_the_seed() {
        assert_eq!(random_cnn(5), random_cnn(5));
        assert_ne!(random_cnn(5), random_cnn(6));
    }
}
