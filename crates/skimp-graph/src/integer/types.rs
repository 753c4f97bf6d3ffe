//! The types of an integer network.

use std::sync::Arc;

use skimp_numerics::{FixedMultiplier, Requantization, Requantizer};

use super::{AddRule, Encoding};
use crate::{GraphInput, Op, Pad, Slice, Tensor, ValueId, Window};

/// What a value of an integer network holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueKind {
    /// Integer codes.
    Codes(Encoding),
    /// Real numbers (f32), or what else an operator takes and gives: network inputs, outputs, and the surroundings of
    /// operators that have no integer form.
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

/// How the accumulator becomes the output; one entry, or one per output channel.
#[derive(Clone, Debug, PartialEq)]
pub enum MacOutput {
    /// Requantized, the output's zero point added, saturated to codes.
    Codes(Vec<Requantizer>),
    /// `(acc as f64 · scale) as f32`. For logits and float surroundings.
    Real(Vec<f64>),
    /// `acc as f32 · scale`, as a file in QDQ form computes it.
    RealSingle(Vec<f32>),
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
/// Padding holds the code of real 0, `zero_point`, so it adds `(zero_point + input_offset) · weight`. With the offset
/// `−zero_point` operands are distances from real 0 and padding adds nothing. Any other offset, of which
/// `(zero_point + input_offset) · Σ weight` is taken off the bias, gives the same sums: one that makes every operand
/// non-negative is what early negative detection needs.
///
/// # Shapes
/// activation `[n, c, h, w]`, weight `[k, c / groups, r, s]`, output `[n, k, p, q]`, or fewer axes as the
/// [layout](MacLayout) says.
#[derive(Clone, Debug, PartialEq)]
pub struct MacLayer {
    /// How activations and outputs lie.
    pub layout: MacLayout,
    /// The input's zero point, which padding holds.
    pub zero_point: i32,
    /// Added to every activation code before the product.
    pub input_offset: i32,
    /// Spatial window, two axes, explicit pads or `auto_pad`.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// Extents of the weight: k, c / groups, r, s.
    pub weight_shape: [usize; 4],
    /// Weight codes minus their zero points, row-major, symmetric: never −2^(bits−1). Cloning shares them.
    pub weight: Arc<[i32]>,
    /// Width of the weights; that of the codes, or one bit more where these are not symmetric.
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

/// In which precision real numbers are divided by the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotient {
    /// In f32, as ONNX's `QuantizeLinear`; NaN gives the zero point.
    Single,
    /// In f64; NaN is an error.
    Double,
}

/// Where an operand of a float operator comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOperand {
    /// The node's next input.
    Input,
    /// A constant.
    Constant(Tensor),
    /// An optional operand left out.
    Absent,
}

/// An operator of an integer network. Bounds `min` and `max` are those of an activation function that the operator took
/// in, or of the output's codes.
#[derive(Clone, Debug, PartialEq)]
pub enum IntegerOp {
    /// Real to codes: `saturate(round_half_even(x / scale) + zero_point)`.
    Quantize(Quotient),
    /// Codes to real: `((code − zero_point) as f64 · scale) as f32`.
    Dequantize,
    /// Convolution or dense layer. Inputs: activation, optional residual.
    Mac(Box<MacLayer>),
    /// Maximum over a window (`None`: all spatial axes, kept as 1); padding never wins. One encoding in and out.
    MaxPool(Option<Window>),
    /// Mean over a window (`None`: all spatial axes, kept as 1): the sum of all codes, less their zero points, requantized by
    /// `scale_in / (count · scale_out)`, the zero point added, clamped. A real output is
    /// `(sum as f64 · (scale_in / count)) as f32`.
    AveragePool {
        /// Spatial window.
        window: Option<Window>,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
        /// How the sum becomes a code.
        rounding: Requantization,
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// The sum of two values, clamped; broadcast as in ONNX.
    Add {
        /// The arithmetic.
        rule: AddRule,
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// The product of two values as in ONNX's MatMul: the sum of products of codes less their zero points, exactly, then as
    /// [`Mac`](Self::Mac) makes its output of an accumulator, clamped where it is a code.
    Product {
        /// How a sum becomes the output; one entry.
        output: MacOutput,
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// Rescales codes to the output's encoding and clamps them to `min ..= max` (a ReLU or Clip on its own). Zero points are
    /// 0.
    Rescale {
        /// Factor of the code.
        multiplier: FixedMultiplier,
        /// Least output code.
        min: i32,
        /// Greatest output code.
        max: i32,
    },
    /// A function of one code, or a change of encoding: the result for every code of the input, from the least on.
    Table(Arc<[i32]>),
    /// −1, 0 or 1. The input's zero point is 0.
    Sign,
    /// All inputs have one encoding.
    Concat {
        /// Axis, may be negative.
        axis: i64,
    },
    /// Strided cut.
    Slice(Slice),
    /// Padding with a code (or as the mode says); the real value in `pad` is not looked at.
    Pad {
        /// Where and how.
        pad: Pad,
        /// The code that a constant pads with.
        code: i32,
    },
    /// A move of codes that only renames axes: Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, Dropout.
    Move(Op),
    /// Codes as elements of the type that files store them in, for an operator or a reader that wants those.
    Expose,
    /// An operator as the f32 reference interpreter computes it, on real numbers or whatever it takes.
    Float {
        /// The operator.
        op: Op,
        /// Its operands by position.
        operands: Vec<FloatOperand>,
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
    /// How accumulators become codes.
    pub rounding: Requantization,
    /// Inputs, not codes.
    pub inputs: Vec<GraphInput>,
    /// Outputs, not codes.
    pub outputs: Vec<ValueId>,
    /// All values.
    pub values: Vec<IntegerValue>,
    /// All nodes.
    pub nodes: Vec<IntegerNode>,
}

impl IntegerOp {
    /// Name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            IntegerOp::Quantize(_) => "Quantize",
            IntegerOp::Dequantize => "Dequantize",
            IntegerOp::Mac(_) => "Mac",
            IntegerOp::MaxPool(_) => "MaxPool",
            IntegerOp::AveragePool { .. } => "AveragePool",
            IntegerOp::Add { .. } => "Add",
            IntegerOp::Product { .. } => "Product",
            IntegerOp::Rescale { .. } => "Rescale",
            IntegerOp::Table(_) => "Table",
            IntegerOp::Sign => "Sign",
            IntegerOp::Concat { .. } => "Concat",
            IntegerOp::Slice(_) => "Slice",
            IntegerOp::Pad { .. } => "Pad",
            IntegerOp::Expose => "Expose",
            IntegerOp::Move(op) | IntegerOp::Float { op, .. } => op.name(),
        }
    }
}

impl MacOutput {
    /// Number of entries.
    pub fn n_scales(&self) -> usize {
        match self {
            MacOutput::Codes(requantizers) => requantizers.len(),
            MacOutput::Real(scales) => scales.len(),
            MacOutput::RealSingle(scales) => scales.len(),
        }
    }
}

impl IntegerGraph {
    /// The nodes that compute in floating point, besides conversions at inputs and outputs.
    pub fn float_nodes(&self) -> impl Iterator<Item = &IntegerNode> {
        self.nodes.iter().filter(|node| matches!(node.op, IntegerOp::Float { .. }))
    }

    /// The multiply-accumulate layers with their nodes, in order.
    pub fn layers(&self) -> impl Iterator<Item = (&IntegerNode, &MacLayer)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            IntegerOp::Mac(layer) => Some((node, &**layer)),
            _ => None,
        })
    }

    /// Names of the nodes that multiply and accumulate in integers: layers, and products of two values.
    pub fn multipliers(&self) -> impl Iterator<Item = &str> {
        let multiplies = |node: &&IntegerNode| matches!(node.op, IntegerOp::Mac(_) | IntegerOp::Product { .. });
        self.nodes.iter().filter(multiplies).map(|node| node.name.as_str())
    }

    /// The encoding of a value; `None` where it holds no codes.
    pub fn encoding(&self, id: ValueId) -> Option<Encoding> {
        match self.values.get(id.0)?.kind {
            ValueKind::Codes(encoding) => Some(encoding),
            ValueKind::Real => None,
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
