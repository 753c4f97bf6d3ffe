//! Small random networks with binary layers.

use skimp_numerics::rng::{Draws, stream};

use super::layers::random_tensor;
use crate::ops;
use crate::rewrite::{Edge, Editor};
use crate::{DType, Dim, Gemm, Graph, GraphBuilder, GraphError, Op, Pad, PadMode, Tensor, ValueId, Window};

/// A small random network of binary and real layers, and an input: a batch of 1 to 3 images.
///
/// It draws the forms in which binarization is written (`Sign`, `Sign(Sign(x) + 0.1)`, `Where`, comparison and `Cast`, `Relu(Sign)`),
/// batch norms of both signs, biases, factors, pools on either side of a batch norm, padding with 0, −1 and 1, residual
/// joins of real sums, and dense layers. Magnitudes are powers of two, so that the float reference does not round sums.
///
/// # Determinism
/// A pure function of the seed.
pub fn random_binary_network(seed: u64) -> (Graph, Vec<Tensor>) {
    let draws = Draws::new(seed, stream("testing/random_binary_network"));
    let builder = GraphBuilder::new(format!("binary{seed}"));
    Generator { seed, draws, builder, n: 0, is_spikes: false }.generate()
}

/// A small random spiking network of two to three layers, and an input: a batch of 1 to 3 images.
///
/// It draws neurons of every reset, with thresholds and leaks as attributes or for each channel, weights ±1 or multiples of 1/8,
/// pools on spikes and in front of neurons, biases. All numbers are multiples of 1/64, so that no engine rounds a sum in the
/// first steps.
///
/// # Determinism
/// A pure function of the seed.
pub fn random_spiking_network(seed: u64) -> (Graph, Vec<Tensor>) {
    let draws = Draws::new(seed, stream("testing/random_spiking_network"));
    let builder = GraphBuilder::new(format!("spiking{seed}"));
    Generator { seed, draws, builder, n: 0, is_spikes: true }.generate_spiking()
}

#[derive(Clone, Copy)]
struct Feature {
    value: ValueId,
    shape: [usize; 3],
}

struct Generator {
    seed: u64,
    draws: Draws,
    builder: GraphBuilder,
    n: usize,
    /// Whether activations are 0 and 1.
    is_spikes: bool,
}

impl Generator {
    fn generate(mut self) -> (Graph, Vec<Tensor>) {
        self.is_spikes = self.draws.chance(0.4);
        let batch = self.draws.between(1, 3);
        let shape = [self.draws.between(1, 70), self.draws.between(4, 9), self.draws.between(4, 9)];
        let dims = [Dim::Free("N".to_owned())].into_iter().chain(shape.map(Dim::Fixed)).collect();
        let mut x = Feature { value: self.builder.input("x", DType::F32, dims), shape };
        if self.draws.chance(0.3) {
            x = self.conv(x, false);
            x.value = self.batch_norm(x.value, x.shape[0]);
        }
        for _ in 0..self.draws.between(1, 3) {
            x = self.block(x);
        }
        let y = self.head(x);
        self.builder.output(y);
        let shape = [batch, shape[0], shape[1], shape[2]].to_vec();
        let input = random_tensor(self.seed, "x", shape, 0.0, 1.0);
        (self.builder.build().expect("the generator builds well-formed graphs"), vec![input])
    }

    fn generate_spiking(mut self) -> (Graph, Vec<Tensor>) {
        let batch = self.draws.between(1, 3);
        let shape = [self.draws.between(1, 4), self.draws.between(4, 9), self.draws.between(4, 9)];
        let dims = [Dim::Free("N".to_owned())].into_iter().chain(shape.map(Dim::Fixed)).collect();
        let mut x = Feature { value: self.builder.input("x", DType::F32, dims), shape };
        for layer in 0..self.draws.between(1, 3) {
            x = self.spiking_conv(x, layer);
            if self.draws.chance(0.2) {
                x = self.pool(x);
            }
            let [k, _, _] = x.shape;
            x.value = self.neuron(x.value, &[k, 1, 1]);
            if self.draws.chance(0.2) {
                x = self.pool(x);
            }
        }
        let mut y = self.node(Op::Flatten(ops::Flatten { axis: 1 }), &[x.value]);
        let mut width: usize = x.shape.iter().product();
        if self.draws.chance(0.5) {
            y = self.spiking_dense(y, width, 20);
            y = self.neuron(y, &[20]);
            width = 20;
        }
        let y = self.spiking_dense(y, width, 10);
        self.builder.output(y);
        let shape: Vec<usize> = [batch].into_iter().chain(shape).collect();
        let data = (0..shape.iter().product()).map(|_| self.eighths(16)).collect();
        let graph = self.builder.build().expect("the generator builds well-formed graphs");
        (graph, vec![Tensor::from_f32(shape, data)])
    }

    /// A multiple of 1/8 between ± `most` of them.
    fn eighths(&mut self, most: usize) -> f32 {
        (self.draws.between(0, 2 * most) as f32 - most as f32) / 8.0
    }

    fn spiking_weights(&mut self, n_filters: usize, per_filter: usize) -> Vec<f32> {
        if self.draws.chance(0.5) {
            return self.signs(n_filters, per_filter);
        }
        (0..n_filters * per_filter).map(|_| self.eighths(8)).collect()
    }

    fn spiking_conv(&mut self, x: Feature, layer: usize) -> Feature {
        let [c, h, w] = x.shape;
        let kernel = self.draws.between(1, h.min(w).min(3));
        let pad = if self.draws.chance(0.6) { kernel / 2 } else { 0 };
        let k = self.draws.between(1, 70);
        let data = if layer == 0 {
            (0..k * c * kernel * kernel).map(|_| self.eighths(8)).collect()
        } else {
            self.spiking_weights(k, c * kernel * kernel)
        };
        let weight = self.constant(vec![k, c, kernel, kernel], data);
        let mut inputs = vec![x.value, weight];
        if self.draws.chance(0.5) {
            let bias = (0..k).map(|_| self.eighths(4)).collect();
            inputs.push(self.constant(vec![k], bias));
        }
        let window = Window::padded(&[kernel; 2], &[pad; 2]);
        let value = self.node(Op::Conv(ops::Conv { window, groups: 1 }), &inputs);
        let extent = |n: usize| n + 2 * pad - kernel + 1;
        Feature { value, shape: [k, extent(h), extent(w)] }
    }

    fn spiking_dense(&mut self, x: ValueId, inputs: usize, outputs: usize) -> ValueId {
        let data = self.spiking_weights(outputs, inputs);
        let weight = self.constant(vec![outputs, inputs], data);
        self.node(Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }), &[x, weight])
    }

    fn neuron(&mut self, x: ValueId, channels: &[usize]) -> ValueId {
        let n: usize = channels.iter().product();
        let reset_time = match self.draws.below(4) {
            0 => ops::ResetTime::NextStep,
            _ => ops::ResetTime::SameStep,
        };
        let neuron = ops::Neuron {
            threshold: 1.0 + self.eighths(4),
            leak: if self.draws.chance(0.5) { 1.0 } else { 0.5 },
            gain: if self.draws.chance(0.8) { 1.0 } else { 0.5 },
            reset: ops::Reset::ALL[self.draws.below(ops::Reset::ALL.len())],
            reset_time,
            is_strict: self.draws.chance(0.3),
            initial: if self.draws.chance(0.7) { 0.0 } else { 0.5 },
            current_leak: if self.draws.chance(0.1) { 0.5 } else { 0.0 },
            ..ops::Neuron::default()
        };
        let mut inputs = vec![x];
        if self.draws.chance(0.4) {
            let thresholds = (0..n).map(|_| 1.0 + self.eighths(6)).collect();
            inputs.push(self.constant(channels.to_vec(), thresholds));
        }
        self.node(Op::Neuron(neuron), &inputs)
    }

    fn name(&mut self, kind: &str) -> String {
        self.n += 1;
        format!("{kind}{}", self.n)
    }

    fn constant(&mut self, shape: Vec<usize>, data: Vec<f32>) -> ValueId {
        let name = self.name("c");
        self.builder.constant(name, Tensor::from_f32(shape, data))
    }

    fn number(&mut self, x: f32) -> ValueId {
        self.constant(vec![1], vec![x])
    }

    fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = self.name(&op.name().to_lowercase());
        self.builder.node(name, op, inputs)
    }

    /// −1 or 1 (or 0 and 1), never 0 beside them.
    fn binarize(&mut self, x: ValueId) -> ValueId {
        let (low, one) = (if self.is_spikes { 0.0 } else { -1.0 }, 1.0);
        let threshold = if self.draws.chance(0.3) { 0.25 } else { 0.0 };
        match self.draws.below(4) {
            0 => {
                let signs = self.node(Op::Sign, &[x]);
                let shift = self.number(0.125);
                let shifted = self.node(Op::Add, &[signs, shift]);
                let signs = self.node(Op::Sign, &[shifted]);
                if self.is_spikes { self.node(Op::Relu, &[signs]) } else { signs }
            }
            1 => {
                let threshold = self.number(threshold);
                let fires = self.node(Op::GreaterOrEqual, &[x, threshold]);
                let (one, low) = (self.number(one), self.number(low));
                self.node(Op::Where, &[fires, one, low])
            }
            2 => {
                let threshold = self.number(threshold);
                let rests = self.node(Op::Less, &[x, threshold]);
                let (one, low) = (self.number(one), self.number(low));
                self.node(Op::Where, &[rests, low, one])
            }
            _ => {
                let threshold = self.number(threshold);
                let fires = self.node(Op::Greater, &[x, threshold]);
                let mut bits = self.node(Op::Cast(ops::Cast { to: DType::F32 }), &[fires]);
                if !self.is_spikes {
                    let (two, one) = (self.number(2.0), self.number(1.0));
                    bits = self.node(Op::Mul, &[bits, two]);
                    bits = self.node(Op::Sub, &[bits, one]);
                }
                bits
            }
        }
    }

    fn signs(&mut self, n_filters: usize, per_filter: usize) -> Vec<f32> {
        let has_magnitudes = self.draws.chance(0.3);
        let mut signs = Vec::with_capacity(n_filters * per_filter);
        for _ in 0..n_filters {
            let magnitude = if has_magnitudes { 0.25 * (1 << self.draws.below(4)) as f32 } else { 1.0 };
            signs.extend((0..per_filter).map(|_| if self.draws.chance(0.5) { magnitude } else { -magnitude }));
        }
        signs
    }

    fn conv(&mut self, mut x: Feature, is_binary: bool) -> Feature {
        let [c, h, w] = x.shape;
        let kernel = self.draws.between(1, h.min(w).min(3));
        let mut pad = if self.draws.chance(0.6) { kernel / 2 } else { 0 };
        if is_binary && pad > 0 && self.draws.chance(0.4) {
            let value = if self.draws.chance(0.5) && !self.is_spikes { -1.0 } else { 1.0 };
            let pads = vec![0, 0, pad as i64, pad as i64];
            let op = Pad { begin: pads.clone(), end: pads, mode: PadMode::Constant, value };
            x.value = self.node(Op::Pad(op), &[x.value]);
            x.shape = [c, h + 2 * pad, w + 2 * pad];
            pad = 0;
        }
        let stride = if self.draws.chance(0.8) { 1 } else { 2 };
        let window = Window { strides: vec![stride; 2], ..Window::padded(&[kernel; 2], &[pad; 2]) };
        let k = self.draws.between(1, 70);
        let data = if is_binary {
            self.signs(k, c * kernel * kernel)
        } else {
            (0..k * c * kernel * kernel).map(|_| self.draws.normal() as f32).collect()
        };
        let weight = self.constant(vec![k, c, kernel, kernel], data);
        let mut inputs = vec![x.value, weight];
        if self.draws.chance(0.5) {
            let bias = (0..k).map(|_| self.draws.between(0, 8) as f32 - 4.5).collect();
            inputs.push(self.constant(vec![k], bias));
        }
        let value = self.node(Op::Conv(ops::Conv { window, groups: 1 }), &inputs);
        let extent = |n: usize| (n + 2 * pad - kernel) / stride + 1;
        Feature { value, shape: [k, extent(x.shape[1]), extent(x.shape[2])] }
    }

    fn batch_norm(&mut self, x: ValueId, k: usize) -> ValueId {
        let mut vector = |of: &mut dyn FnMut(&mut Draws) -> f32| {
            let data = (0..k).map(|_| of(&mut self.draws)).collect();
            self.constant(vec![k], data)
        };
        let gamma = vector(&mut |draws| match draws.below(12) {
            0 => 0.0,
            _ => draws.normal() as f32,
        });
        let beta = vector(&mut |draws| draws.normal() as f32);
        let mean = vector(&mut |draws| 3.0 * draws.normal() as f32);
        let variance = vector(&mut |draws| draws.uniform(0.5, 20.0));
        let op = ops::BatchNormalization { epsilon: 1e-4 };
        self.node(Op::BatchNormalization(op), &[x, gamma, beta, mean, variance])
    }

    fn pool(&mut self, x: Feature) -> Feature {
        let [k, h, w] = x.shape;
        if h < 2 || w < 2 {
            return x;
        }
        let window = Window { strides: vec![2; 2], ..Window::padded(&[2; 2], &[0; 2]) };
        let value = self.node(Op::MaxPool(ops::MaxPool { window }), &[x.value]);
        Feature { value, shape: [k, h / 2, w / 2] }
    }

    /// Activation, layer, and what follows it.
    fn block(&mut self, x: Feature) -> Feature {
        let bits = Feature { value: self.binarize(x.value), ..x };
        let bits = if self.draws.chance(0.2) { self.pool(bits) } else { bits };
        let mut y = self.conv(bits, true);
        if self.draws.chance(0.3) {
            y = self.pool(y);
        }
        if self.draws.chance(0.8) {
            y.value = self.batch_norm(y.value, y.shape[0]);
        }
        if self.draws.chance(0.2) {
            y = self.pool(y);
        }
        if self.draws.chance(0.2) {
            y.value = self.node(Op::Clip(ops::Clip { min: Some(-2.0), max: Some(2.0) }), &[y.value]);
        }
        if y.shape == x.shape && self.draws.chance(0.5) {
            y.value = self.node(Op::Add, &[y.value, x.value]);
        }
        y
    }

    fn head(&mut self, x: Feature) -> ValueId {
        let n: usize = x.shape.iter().product();
        let hidden = self.draws.between(1, 40);
        let bits_first = self.draws.chance(0.5);
        let mut y = if bits_first { self.binarize(x.value) } else { x.value };
        y = self.node(Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        if !bits_first {
            y = self.binarize(y);
        }
        let mut width = n;
        if self.draws.chance(0.5) {
            y = self.dense(y, width, hidden);
            y = self.batch_norm(y, hidden);
            y = self.binarize(y);
            width = hidden;
        }
        let y = self.dense(y, width, 10);
        if self.draws.chance(0.5) { self.batch_norm(y, 10) } else { y }
    }

    fn dense(&mut self, x: ValueId, inputs: usize, outputs: usize) -> ValueId {
        if self.draws.chance(0.5) {
            let data = self.signs(outputs, inputs);
            let weight = self.constant(vec![outputs, inputs], data);
            let mut operands = vec![x, weight];
            if self.draws.chance(0.5) {
                let bias = (0..outputs).map(|_| self.draws.between(0, 8) as f32 - 4.0).collect();
                operands.push(self.constant(vec![outputs], bias));
            }
            self.node(Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }), &operands)
        } else {
            let data = (0..inputs * outputs).map(|_| if self.draws.chance(0.5) { 1.0 } else { -1.0 }).collect();
            let weight = self.constant(vec![inputs, outputs], data);
            self.node(Op::MatMul, &[x, weight])
        }
    }
}

/// A network with the signs of its weights, and for each rectifier what gives 1 from 0 on and −1 below, or 0 with `spikes`.
///
/// # Errors
/// As [`Editor::finish`](crate::rewrite::Editor::finish).
pub fn binarized(graph: &Graph, spikes: bool) -> Result<Graph, GraphError> {
    let mut editor = Editor::new(graph);
    for node in graph.nodes() {
        match node.op {
            Op::Conv(_) | Op::Gemm(_) | Op::MatMul => {
                let Some((id, weight)) = node.inputs[1].and_then(|id| Some((id, graph.constant(id)?))) else {
                    continue;
                };
                let signs = weight.as_f32().unwrap_or_default();
                let signs = signs.iter().map(|&w| if w >= 0.0 { 1.0 } else { -1.0 }).collect();
                editor.set_constant(id, Tensor::from_f32(weight.shape().to_vec(), signs))?;
            }
            Op::Relu => {
                editor.replace_op(&node.name, Op::Sign)?;
                let name = |part: &str| format!("{}.{part}", node.name);
                let half = editor.add_constant(&name("half"), Tensor::from_f32(vec![1], vec![0.5]));
                let shifted = editor.insert(Edge::Value(node.outputs[0]), &name("shifted"), Op::Add, &[Some(half)])?;
                let signs = editor.insert(Edge::Value(shifted), &name("signs"), Op::Sign, &[])?;
                if spikes {
                    editor.insert(Edge::Value(signs), &name("spikes"), Op::Relu, &[])?;
                }
            }
            _ => {}
        }
    }
    editor.finish()
}
