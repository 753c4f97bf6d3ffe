//! New blocks, and new weights.

use rayon::prelude::*;
use skimp_graph::ops::{self, BatchNormalization};
use skimp_graph::{DType, Dim, Graph, GraphBuilder, GraphError, Op, Tensor, ValueId, Window};
use skimp_numerics::rng::{stream, uniform_f32};

/// Random weights of one block.
///
/// # Determinism
/// A weight depends on the seed, the block, whether it is the target or the block behind it, and its layer: the stream
/// is `recast/BLOCK/ROLE/LAYER`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) seed: u64,
    pub(super) block: usize,
    /// `target` or `next`.
    pub(super) role: &'static str,
}

impl Fresh {
    /// A weight of the bound `sqrt(6 / (fan_in + fan_out))`: uniform in `[-bound, bound)`.
    ///
    /// # Shapes
    /// `[k, c, r, s]` of a convolution, or a matrix of a dense layer, whichever way round.
    ///
    /// # Source
    /// Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    /// equation 16; fans of a convolution with its window's area, as frameworks count them.
    pub(super) fn weight(&self, layer: &str, shape: Vec<usize>) -> Tensor {
        let Self { seed, block, role } = *self;
        let area: usize = shape.iter().skip(2).product();
        let fans = shape.iter().take(2).sum::<usize>() * area;
        let bound = (6.0 / fans.max(1) as f64).sqrt();
        let stream = stream(&format!("recast/{block}/{role}/{layer}"));
        let n: usize = shape.iter().product();
        let element = |idx: usize| (bound * (2.0 * f64::from(uniform_f32(seed, stream, idx as u64)) - 1.0)) as f32;
        let elements = (0..n).into_par_iter().with_min_len(1 << 12).map(element).collect();
        Tensor::from_f32(shape, elements)
    }
}

/// A block under construction.
struct Layers<'f> {
    builder: GraphBuilder,
    /// What the names of its nodes begin with.
    prefix: String,
    fresh: &'f Fresh,
}

impl<'f> Layers<'f> {
    /// An empty block that reads `inputs` channels, and what it reads.
    fn new(prefix: &str, inputs: usize, fresh: &'f Fresh) -> (Self, ValueId) {
        let mut builder = GraphBuilder::new(prefix);
        let free = |name: &str| Dim::Free(name.to_owned());
        let x = builder.input(
            format!("{prefix}.input"),
            DType::F32,
            vec![free("N"), Dim::Fixed(inputs), free("H"), free("W")],
        );
        (Self { builder, prefix: prefix.to_owned(), fresh }, x)
    }

    fn conv(&mut self, name: &str, x: ValueId, [outputs, inputs]: [usize; 2], [kernel, stride]: [usize; 2]) -> ValueId {
        let weight = self.fresh.weight(name, vec![outputs, inputs, kernel, kernel]);
        let name = format!("{}.{name}", self.prefix);
        let weight = self.builder.constant(format!("{name}.weight"), weight);
        self.builder.node(name, conv_op(kernel, stride), &[x, weight])
    }

    fn norm(&mut self, name: &str, x: ValueId, channels: usize) -> ValueId {
        let name = format!("{}.{name}", self.prefix);
        let mut inputs = vec![x];
        inputs.extend(
            NORM.map(|(part, element)| self.builder.constant(format!("{name}.{part}"), vector(channels, element))),
        );
        self.builder.node(name, Op::BatchNormalization(BatchNormalization { epsilon: EPSILON }), &inputs)
    }

    fn node(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        self.builder.node(format!("{}.{name}", self.prefix), op, inputs)
    }

    fn finish(mut self, output: ValueId) -> Result<Graph, GraphError> {
        self.builder.output(output);
        self.builder.build()
    }
}

/// Added to the variance in new batch norms.
pub(super) const EPSILON: f32 = 1e-5;

/// What a batch norm reads behind its input, and what is in it before any training.
pub(super) const NORM: [(&str, f32); 4] = [("scale", 1.0), ("bias", 0.0), ("mean", 0.0), ("variance", 1.0)];

/// Equal numbers.
pub(super) fn vector(n: usize, element: f32) -> Tensor {
    Tensor::from_f32(vec![n], vec![element; n])
}

/// A convolution whose padding keeps the extents but for the stride.
pub(super) fn conv_op(kernel: usize, stride: usize) -> Op {
    let window = Window { strides: vec![stride; 2], ..Window::padded(&[kernel; 2], &[kernel / 2; 2]) };
    Op::Conv(ops::Conv { window, groups: 1 })
}

/// A 3x3 convolution, batch norm and rectifier.
pub(super) fn conv(prefix: &str, [inputs, outputs, stride]: [usize; 3], fresh: &Fresh) -> Result<Graph, GraphError> {
    let (mut layers, x) = Layers::new(prefix, inputs, fresh);
    let y = layers.conv("conv", x, [outputs, inputs], [3, stride]);
    let y = layers.norm("bn", y, outputs);
    let y = layers.node("relu", Op::Relu, &[y]);
    layers.finish(y)
}

/// A 1x1 convolution and batch norm, for a shortcut.
pub(super) fn projection(
    prefix: &str,
    [inputs, outputs, stride]: [usize; 3],
    fresh: &Fresh,
) -> Result<Graph, GraphError> {
    let (mut layers, x) = Layers::new(prefix, inputs, fresh);
    let y = layers.conv("shortcut", x, [outputs, inputs], [1, stride]);
    let y = layers.norm("shortcut.bn", y, outputs);
    layers.finish(y)
}

/// Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where widths or the stride ask for one.
pub(super) fn basic(prefix: &str, [inputs, outputs, stride]: [usize; 3], fresh: &Fresh) -> Result<Graph, GraphError> {
    let (mut layers, x) = Layers::new(prefix, inputs, fresh);
    let y = layers.conv("conv1", x, [outputs, inputs], [3, stride]);
    let y = layers.norm("bn1", y, outputs);
    let y = layers.node("relu1", Op::Relu, &[y]);
    let y = layers.conv("conv2", y, [outputs, outputs], [3, 1]);
    let y = layers.norm("bn2", y, outputs);
    let shortcut = if needs_projection(inputs, outputs, stride) {
        let shortcut = layers.conv("shortcut", x, [outputs, inputs], [1, stride]);
        layers.norm("shortcut.bn", shortcut, outputs)
    } else {
        x
    };
    let y = layers.node("add", Op::Add, &[y, shortcut]);
    let y = layers.node("relu2", Op::Relu, &[y]);
    layers.finish(y)
}

/// Whether a shortcut is a 1x1 convolution.
///
/// # Source
/// Yu, Kang and Choi, AAAI 2019. Differs: the release asks for equal widths only, here a stride needs one too.
pub(super) fn needs_projection(inputs: usize, outputs: usize, stride: usize) -> bool {
    inputs != outputs || stride != 1
}

/// `n_layers` layers that each append `growth` channels, with a batch norm and a rectifier behind them.
///
/// # Source
/// Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", CVPR 2017, section 3.
pub(super) fn dense(
    prefix: &str,
    [inputs, growth, n_layers]: [usize; 3],
    bottleneck: Option<usize>,
    fresh: &Fresh,
) -> Result<Graph, GraphError> {
    let (mut layers, mut x) = Layers::new(prefix, inputs, fresh);
    let mut width = inputs;
    for layer in 0..n_layers {
        let mut y = layers.norm(&format!("{layer}.bn1"), x, width);
        y = layers.node(&format!("{layer}.relu1"), Op::Relu, &[y]);
        let mut read = width;
        if let Some(narrow) = bottleneck {
            y = layers.conv(&format!("{layer}.conv1"), y, [narrow, width], [1, 1]);
            y = layers.norm(&format!("{layer}.bn2"), y, narrow);
            y = layers.node(&format!("{layer}.relu2"), Op::Relu, &[y]);
            read = narrow;
        }
        y = layers.conv(&format!("{layer}.conv2"), y, [growth, read], [3, 1]);
        x = layers.node(&format!("{layer}.concat"), Op::Concat(ops::Concat { axis: 1 }), &[x, y]);
        width += growth;
    }
    let y = layers.norm("bn", x, width);
    let y = layers.node("relu", Op::Relu, &[y]);
    layers.finish(y)
}

/// The identity.
pub(super) fn removed(prefix: &str, inputs: usize, fresh: &Fresh) -> Result<Graph, GraphError> {
    let (mut layers, x) = Layers::new(prefix, inputs, fresh);
    let y = layers.node("removed", Op::Identity, &[x]);
    layers.finish(y)
}
