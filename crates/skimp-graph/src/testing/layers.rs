//! Layers on top of [`GraphBuilder`].

use skimp_numerics::rng::{Draws, stream};

use crate::ops;
use crate::{AutoPad, Gemm, GraphBuilder, Op, Tensor, ValueId, Window};

/// Random parameters, with variances that keep activations near 1, from a seed.
///
/// # Determinism
/// The stream is the name of the parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights(pub(super) u64);

/// A tensor of normal numbers of the given mean and deviation.
///
/// # Determinism
/// Keyed by the seed and the name.
pub fn random_tensor(seed: u64, name: &str, shape: Vec<usize>, mean: f32, deviation: f32) -> Tensor {
    let mut draws = Draws::new(seed, stream(name));
    let n_elements = shape.iter().product();
    let elements = (0..n_elements).map(|_| mean + deviation * draws.normal() as f32).collect();
    Tensor::from_f32(shape, elements)
}

/// A square window without padding, dilation 1.
pub(super) fn square(kernel: usize, stride: usize, pad: usize) -> Window {
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

impl Weights {
    /// Adds `{name}.{part}` as a constant.
    fn constant(
        self,
        builder: &mut GraphBuilder,
        name: &str,
        part: &str,
        shape: Vec<usize>,
        [mean, deviation]: [f32; 2],
    ) -> ValueId {
        let name = format!("{name}.{part}");
        let tensor = random_tensor(self.0, &name, shape, mean, deviation);
        builder.constant(name, tensor)
    }

    /// Adds a convolution of `channels` = (inputs per group, outputs).
    pub(super) fn conv(
        self,
        builder: &mut GraphBuilder,
        name: &str,
        x: ValueId,
        channels: (usize, usize),
        conv: ConvSpec,
    ) -> ValueId {
        let (group_inputs, outputs) = channels;
        let fan_in = group_inputs * conv.window.kernel.iter().product::<usize>();
        let shape = [outputs, group_inputs].into_iter().chain(conv.window.kernel.iter().copied()).collect();
        let mut inputs = vec![x, self.constant(builder, name, "weight", shape, [0.0, (2.0 / fan_in as f32).sqrt()])];
        if conv.bias == Bias::Yes {
            inputs.push(self.constant(builder, name, "bias", vec![outputs], [0.0, 0.2]));
        }
        builder.node(name, Op::Conv(ops::Conv { window: conv.window, groups: conv.groups }), &inputs)
    }

    /// Adds a batch normalization.
    pub(super) fn batch_norm(self, builder: &mut GraphBuilder, name: &str, x: ValueId, channels: usize) -> ValueId {
        let mut inputs = vec![x];
        for (part, moments) in [("scale", [1.0, 0.2]), ("bias", [0.0, 0.2]), ("mean", [0.0, 0.2])] {
            inputs.push(self.constant(builder, name, part, vec![channels], moments));
        }
        let variance = match random_tensor(self.0, &format!("{name}.variance"), vec![channels], 1.0, 0.3).into_f32() {
            Some(elements) => elements.into_iter().map(|v| v.abs()).collect(),
            None => vec![1.0; channels],
        };
        inputs.push(builder.constant(format!("{name}.variance"), Tensor::from_f32(vec![channels], variance)));
        builder.node(name, Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 }), &inputs)
    }

    /// Adds a dense layer with a bias and a transposed weight, as PyTorch exports it.
    pub(super) fn dense(
        self,
        builder: &mut GraphBuilder,
        name: &str,
        x: ValueId,
        (inputs, outputs): (usize, usize),
    ) -> ValueId {
        let deviation = (1.0 / inputs.max(1) as f32).sqrt();
        let weight = self.constant(builder, name, "weight", vec![outputs, inputs], [0.0, deviation]);
        let bias = self.constant(builder, name, "bias", vec![outputs], [0.0, 0.2]);
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        builder.node(name, Op::Gemm(gemm), &[x, weight, bias])
    }
}

/// Whether a convolution has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    Yes,
    No,
}

/// A convolution but for its channels.
#[derive(Clone, Debug)]
pub(super) struct ConvSpec {
    pub(super) window: Window,
    pub(super) groups: usize,
    pub(super) bias: Bias,
}

impl ConvSpec {
    pub(super) fn square(kernel: usize, stride: usize, bias: Bias) -> Self {
        Self { window: square(kernel, stride, kernel / 2), groups: 1, bias }
    }
}
