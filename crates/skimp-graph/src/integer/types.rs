//! The types of an integer network.

use std::sync::Arc;

use skimp_numerics::FixedMultiplier;

use crate::{GraphInput, Op, Pad, Slice, Tensor, ValueId, Window};

/// Integer codes of a whole batch, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTensor {
    /// Extents, batch first.
    pub shape: Vec<usize>,
    /// Codes.
    pub data: Vec<i32>,
}

/// How codes stand for real numbers: `real = code · scale`.
///
/// Codes are `0 ..= 2^bits − 1`, or `−(2^(bits−1) − 1) ..= 2^(bits−1) − 1` where `signed`: the value −2^(bits−1) is
/// never used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoding {
    /// Width, 2 to 16.
    pub bits: u32,
    /// Whether codes may be negative.
    pub signed: bool,
    /// Real value of code 1; positive and finite.
    pub scale: f64,
}

/// What a value of an integer network holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueKind {
    /// Integer codes.
    Codes(Encoding),
    /// Real numbers (f32): network inputs, outputs, and the surroundings of operators that have no integer form.
    Real,
}

/// An edge of an integer network.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerValue {
    /// Name of the value in the network it was quantized from. A value that is needed both as codes and as real
    /// numbers occurs twice under one name.
    pub name: String,
    /// What it holds.
    pub kind: ValueKind,
}

/// What happens to the accumulator of a [`MacLayer`] before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// max(acc, 0).
    Relu,
    /// Clamp of the output code.
    Clamp {
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// −1, 0 or 1.
    Sign,
}

/// How the accumulator becomes the output.
#[derive(Clone, Debug, PartialEq)]
pub enum MacOutput {
    /// Scaled, rounded and saturated to codes; one multiplier, or one per output channel.
    Codes(Vec<FixedMultiplier>),
    /// `(acc as f64 · scale) as f32`; one scale, or one per output channel. For logits and float surroundings.
    Real(Vec<f64>),
}

/// How the activations of a [`MacLayer`] lie, and its outputs with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacLayout {
    /// `[n, c, h, w]` to `[n, k, p, q]`: a convolution over two axes.
    Planes,
    /// `[n, c, w]` to `[n, k, q]`: a convolution over one axis, with h = r = p = 1.
    Line,
    /// `[.., c]` to `[.., k]`: a product of rows with a matrix, with h = w = r = s = p = q = 1. The layer's `n` is the
    /// number of rows, which is that of the images only where each image is one row.
    Rows,
}

impl MacLayout {
    /// Axes behind the channels.
    pub fn n_spatial(self) -> usize {
        match self {
            MacLayout::Planes => 2,
            MacLayout::Line => 1,
            MacLayout::Rows => 0,
        }
    }

    /// Elements of one channel of one image (or row) in a tensor of the given shape.
    pub(super) fn plane_len(self, shape: &[usize]) -> usize {
        shape[shape.len().saturating_sub(self.n_spatial())..].iter().product::<usize>().max(1)
    }
}

/// A convolution or dense layer on integers:
/// `acc[k] = bias[k] + residual + Σ (activation + input_offset) · weight`, exactly, in 64 bits.
///
/// Padding holds the activation 0, so it adds `input_offset · weight`. The offset makes the operand of a signed
/// activation non-negative; the quantizer takes `input_offset · Σ weight` off the bias, so that the sum is that of the
/// signed activation.
///
/// # Shapes
/// activation `[n, c, h, w]`, weight `[k, c / groups, r, s]`, output `[n, k, p, q]`, or fewer axes as the
/// [layout](MacLayout) says.
#[derive(Clone, Debug, PartialEq)]
pub struct MacLayer {
    /// How activations and outputs lie.
    pub layout: MacLayout,
    /// Added to every activation code before the product; 0, or the greatest code of a signed activation.
    pub input_offset: i32,
    /// Spatial window, two axes, explicit pads or `auto_pad`.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// Extents of the weight: k, c / groups, r, s.
    pub weight_shape: [usize; 4],
    /// Weight codes, row-major, symmetric: never −2^(bits−1). Cloning shares them.
    pub weight: Arc<[i32]>,
    /// Width of the weight codes.
    pub weight_bits: u32,
    /// Real value of weight code 1: one entry, or one per output channel.
    pub weight_scales: Vec<f64>,
    /// Bias at accumulator scale, one per output channel.
    pub bias: Vec<i64>,
    /// Scaling of the second input, if there is one, to accumulator scale; one entry, or one per output channel.
    pub residual: Option<Vec<FixedMultiplier>>,
    /// What happens to the accumulator.
    pub activation: Activation,
    /// How the accumulator becomes the output.
    pub output: MacOutput,
}

/// An operator of an integer network.
#[derive(Clone, Debug, PartialEq)]
pub enum IntegerOp {
    /// Real to codes: `clamp(round_half_even(x / scale))`, computed in f64. NaN is an error.
    Quantize,
    /// Codes to real: `(code as f64 · scale) as f32`.
    Dequantize,
    /// Convolution or dense layer. Inputs: activation, optional residual.
    Mac(Box<MacLayer>),
    /// Maximum over a window (`None`: all spatial axes, kept as 1); padding never wins. One encoding in and out.
    MaxPool(Option<Window>),
    /// Mean over a window (`None`: all spatial axes, kept as 1), rescaled to the output's encoding:
    /// `multiplier(sum)` with the multiplier of `scale_in / (count · scale_out)`. A real output is
    /// `(sum as f64 · (scale_in / count)) as f32`.
    AveragePool {
        /// Spatial window.
        window: Option<Window>,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
    /// `round((a · m_a + b · m_b) / 2^shift)`, saturated; broadcast as in ONNX.
    Add {
        /// Integer factor of a.
        factor_a: i64,
        /// Integer factor of b.
        factor_b: i64,
        /// Common right shift.
        shift: u32,
    },
    /// Rescales codes to the output's encoding and clamps them to `min ..= max` (a ReLU or Clip on its own).
    Rescale {
        /// Factor of the code.
        multiplier: FixedMultiplier,
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// −1, 0 or 1.
    Sign,
    /// All inputs have one encoding.
    Concat {
        /// Axis, may be negative.
        axis: i64,
    },
    /// Strided cut.
    Slice(Slice),
    /// Padding with code 0 (or as the mode says).
    Pad(Pad),
    /// A move of codes that only renames axes: Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, Dropout.
    Move(Op),
    /// A float operator on real values, with its constant inputs in place (`None`: the next node input).
    Float {
        /// The operator.
        op: Op,
        /// Constant inputs by position.
        constants: Vec<Option<Tensor>>,
    },
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerNode {
    /// Name of the node it was quantized from.
    pub name: String,
    /// The operator.
    pub op: IntegerOp,
    /// Inputs.
    pub inputs: Vec<ValueId>,
    /// Outputs.
    pub outputs: Vec<ValueId>,
}

/// An integer network; nodes are in a topological order.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerGraph {
    /// Name of the network.
    pub name: String,
    /// Inputs, real-valued.
    pub inputs: Vec<GraphInput>,
    /// Outputs, real-valued.
    pub outputs: Vec<ValueId>,
    /// All values.
    pub values: Vec<IntegerValue>,
    /// All nodes.
    pub nodes: Vec<IntegerNode>,
}

impl Encoding {
    /// Least code.
    pub fn min_code(&self) -> i32 {
        if self.signed { -self.max_code() } else { 0 }
    }

    /// Greatest code.
    pub fn max_code(&self) -> i32 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The code within the limits that is nearest to `code`.
    pub fn saturate(&self, code: i64) -> i32 {
        code.clamp(i64::from(self.min_code()), i64::from(self.max_code())) as i32
    }
}

impl IntegerOp {
    /// Name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            IntegerOp::Quantize => "Quantize",
            IntegerOp::Dequantize => "Dequantize",
            IntegerOp::Mac(_) => "Mac",
            IntegerOp::MaxPool(_) => "MaxPool",
            IntegerOp::AveragePool { .. } => "AveragePool",
            IntegerOp::Add { .. } => "Add",
            IntegerOp::Rescale { .. } => "Rescale",
            IntegerOp::Sign => "Sign",
            IntegerOp::Concat { .. } => "Concat",
            IntegerOp::Slice(_) => "Slice",
            IntegerOp::Pad(_) => "Pad",
            IntegerOp::Move(op) | IntegerOp::Float { op, .. } => op.name(),
        }
    }
}

impl MacLayer {
    /// Real value of weight code 1 in output channel `k`.
    pub fn weight_scale(&self, k: usize) -> f64 {
        *per_channel(&self.weight_scales, k)
    }

    /// Number of products behind one output: c / groups · r · s.
    pub fn depth(&self) -> usize {
        self.weight_shape[1..].iter().product()
    }

    /// Weight codes of output channel `k`.
    pub fn channel(&self, k: usize) -> &[i32] {
        let depth = self.depth();
        &self.weight[k * depth..(k + 1) * depth]
    }
}

/// The entry of channel `k`, in a list with one entry for all channels or one for each.
pub(crate) fn per_channel<T>(list: &[T], k: usize) -> &T {
    if list.len() == 1 { &list[0] } else { &list[k] }
}
