//! Layers of the built-in networks.

use skimp_numerics::rng::{Draws, stream};
use skimp_shape::{Padding, WindowAxis};

use crate::ops;
use crate::{AutoPad, DType, Dim, Gemm, Graph, GraphBuilder, GraphError, Op, Tensor, ValueId, Window};

/// Most parameters of a built-in network.
const MAX_PARAMETERS: u64 = 1 << 32;

/// Where the weights of a built-in network come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All zero, which costs no memory until somebody writes. For shapes and statistics.
    Zero,
    /// Random by the [scheme of the networks](super), from this seed.
    Seeded(u64),
}

/// A value with its extents; height and width are 1 after [`Layers::flatten`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Feature {
    pub(super) value: ValueId,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A square convolution but for its channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad: usize,
    pub(super) groups: usize,
    pub(super) bias: Bias,
}

/// Whether a layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    Yes,
    No,
}

/// What follows a dense layer, which decides the deviation of its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follower {
    Rectifier,
    Nothing,
}

impl Conv {
    /// An odd kernel whose padding keeps the extents but for the stride.
    pub(super) fn same(kernel: usize, stride: usize, bias: Bias) -> Self {
        Self { kernel, stride, pad: kernel / 2, groups: 1, bias }
    }
}

/// A network under construction.
pub(super) struct Layers {
    builder: GraphBuilder,
    network: &'static str,
    weights: Weights,
    n_parameters: u64,
}

impl Layers {
    pub(super) fn new(network: &'static str, weights: Weights, [c, h, w]: [usize; 3]) -> (Self, Feature) {
        let mut builder = GraphBuilder::new(network);
        let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)];
        let value = builder.input("input", DType::F32, dims);
        (Self { builder, network, weights, n_parameters: 0 }, Feature { value, channels: c, height: h, width: w })
    }

    pub(super) fn finish(mut self, logits: Feature) -> Result<Graph, GraphError> {
        self.builder.output(logits.value);
        self.builder.build()
    }

    /// Adds a constant: normal numbers of a deviation.
    fn weight(&mut self, name: &str, shape: Vec<usize>, deviation: f64) -> Result<ValueId, GraphError> {
        let n_elements = self.count(&shape)?;
        let elements = match self.weights {
            Weights::Zero => vec![0.0; n_elements],
            Weights::Seeded(seed) => {
                let mut draws = Draws::new(seed, stream(&format!("init/{name}")));
                (0..n_elements).map(|_| (deviation * draws.normal()) as f32).collect()
            }
        };
        Ok(self.builder.constant(name, Tensor::from_f32(shape, elements)))
    }

    /// Adds a vector of equal numbers.
    fn vector(&mut self, name: String, n_elements: usize, element: f32) -> Result<ValueId, GraphError> {
        self.count(&[n_elements])?;
        Ok(self.builder.constant(name, Tensor::from_f32(vec![n_elements], vec![element; n_elements])))
    }

    fn count(&mut self, shape: &[usize]) -> Result<usize, GraphError> {
        let n_elements = shape.iter().fold(1_u64, |n, &extent| n.saturating_mul(extent as u64));
        self.n_parameters = self.n_parameters.saturating_add(n_elements);
        if self.n_parameters <= MAX_PARAMETERS {
            return Ok(shape.iter().product());
        }
        let cause = "more than 2^32 parameters".to_owned();
        Err(GraphError::NetworkSetting { network: self.network.to_owned(), cause })
    }

    /// A node whose output has the input's extents.
    pub(super) fn same(&mut self, name: &str, op: Op, x: Feature) -> Feature {
        Feature { value: self.builder.node(name, op, &[x.value]), ..x }
    }

    pub(super) fn relu(&mut self, name: &str, x: Feature) -> Feature {
        self.same(name, Op::Relu, x)
    }

    pub(super) fn dropout(&mut self, name: &str, x: Feature, ratio: f32) -> Feature {
        self.same(name, Op::Dropout(ops::Dropout { ratio }), x)
    }

    pub(super) fn conv(&mut self, name: &str, x: Feature, outputs: usize, conv: Conv) -> Result<Feature, GraphError> {
        let shape = vec![outputs, x.channels / conv.groups, conv.kernel, conv.kernel];
        let fan_out = (outputs / conv.groups * conv.kernel * conv.kernel) as f64;
        let mut inputs = vec![x.value, self.weight(&format!("{name}.weight"), shape, (2.0 / fan_out).sqrt())?];
        if conv.bias == Bias::Yes {
            inputs.push(self.vector(format!("{name}.bias"), outputs, 0.0)?);
        }
        let op = Op::Conv(ops::Conv { window: window(conv.kernel, conv.stride, conv.pad), groups: conv.groups });
        let value = self.builder.node(name, op, &inputs);
        Ok(Feature { value, channels: outputs, ..windowed(x, conv.kernel, conv.stride, conv.pad) })
    }

    pub(super) fn batch_norm(&mut self, name: &str, x: Feature, epsilon: f32) -> Result<Feature, GraphError> {
        let mut inputs = vec![x.value];
        for (part, element) in [("scale", 1.0), ("bias", 0.0), ("mean", 0.0), ("variance", 1.0)] {
            inputs.push(self.vector(format!("{name}.{part}"), x.channels, element)?);
        }
        Ok(Feature {
            value: self.builder.node(name, Op::BatchNormalization(ops::BatchNormalization { epsilon }), &inputs),
            ..x
        })
    }

    /// A convolution and its batch norm.
    pub(super) fn conv_bn(
        &mut self,
        name: &str,
        x: Feature,
        outputs: usize,
        conv: Conv,
    ) -> Result<Feature, GraphError> {
        let y = self.conv(name, x, outputs, conv)?;
        self.batch_norm(&format!("{name}.bn"), y, 1e-5)
    }

    /// A convolution, its batch norm and a rectifier.
    pub(super) fn conv_bn_relu(
        &mut self,
        name: &str,
        x: Feature,
        outputs: usize,
        conv: Conv,
    ) -> Result<Feature, GraphError> {
        let y = self.conv_bn(name, x, outputs, conv)?;
        Ok(self.relu(&format!("{name}.relu"), y))
    }

    pub(super) fn max_pool(&mut self, name: &str, x: Feature, kernel: usize, stride: usize, pad: usize) -> Feature {
        let value =
            self.builder.node(name, Op::MaxPool(ops::MaxPool { window: window(kernel, stride, pad) }), &[x.value]);
        Feature { value, ..windowed(x, kernel, stride, pad) }
    }

    pub(super) fn average_pool(&mut self, name: &str, x: Feature, kernel: usize) -> Feature {
        let op = Op::AveragePool(ops::AveragePool { window: window(kernel, kernel, 0), count_include_pad: false });
        Feature { value: self.builder.node(name, op, &[x.value]), ..windowed(x, kernel, kernel, 0) }
    }

    /// The mean of each channel, flattened.
    pub(super) fn global_average(&mut self, name: &str, x: Feature) -> Feature {
        let value = self.builder.node(name, Op::GlobalAveragePool, &[x.value]);
        self.flatten(Feature { value, height: 1, width: 1, ..x })
    }

    pub(super) fn flatten(&mut self, x: Feature) -> Feature {
        let value = self.builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[x.value]);
        let channels = x.channels.saturating_mul(x.height).saturating_mul(x.width);
        Feature { value, channels, height: 1, width: 1 }
    }

    /// A dense layer with a transposed weight, as PyTorch exports it.
    pub(super) fn dense(
        &mut self,
        name: &str,
        x: Feature,
        outputs: usize,
        bias: Bias,
        follower: Follower,
    ) -> Result<Feature, GraphError> {
        let gain = match follower {
            Follower::Rectifier => 2.0,
            Follower::Nothing => 1.0,
        };
        let deviation = (gain / x.channels.max(1) as f64).sqrt();
        let mut inputs = vec![x.value, self.weight(&format!("{name}.weight"), vec![outputs, x.channels], deviation)?];
        if bias == Bias::Yes {
            inputs.push(self.vector(format!("{name}.bias"), outputs, 0.0)?);
        }
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        Ok(Feature { value: self.builder.node(name, Op::Gemm(gemm), &inputs), channels: outputs, ..x })
    }

    pub(super) fn add(&mut self, name: &str, a: Feature, b: Feature) -> Feature {
        Feature { value: self.builder.node(name, Op::Add, &[a.value, b.value]), ..a }
    }

    /// `a` and `b`, one after the other along the channels.
    pub(super) fn concat(&mut self, name: &str, a: Feature, b: Feature) -> Feature {
        let value = self.builder.node(name, Op::Concat(ops::Concat { axis: 1 }), &[a.value, b.value]);
        Feature { value, channels: a.channels + b.channels, ..a }
    }

    /// A node whose output has other extents.
    pub(super) fn reshaping(&mut self, name: &str, op: Op, x: Feature, becomes: Feature) -> Feature {
        Feature { value: self.builder.node(name, op, &[x.value]), ..becomes }
    }
}

/// The extents after a window; 0 where it does not fit, which shape inference reports with the layer's name.
fn windowed(x: Feature, kernel: usize, stride: usize, pad: usize) -> Feature {
    let padding = Padding::Explicit { begin: pad, end: pad };
    let extent = |n: usize| WindowAxis::new(n, kernel, stride, 1, padding).map_or(0, |axis| axis.output);
    Feature { height: extent(x.height), width: extent(x.width), ..x }
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}
