//! The closed set of operators.
//!
//! Operators carry everything that ONNX lets a network fix at export time (axes, pads, slice bounds) as attributes,
//! in the meaning of the newest supported opset; the importer normalizes older forms. Matches over [`Op`] have no
//! wildcard arm, so that a new operator makes the compiler list every place that must decide.

use crate::DType;

/// How a window's padding is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AutoPad {
    /// The pads stand in the window.
    #[default]
    NotSet,
    /// Output extent is `ceil(input / stride)`; an odd pad goes to the end.
    SameUpper,
    /// Output extent is `ceil(input / stride)`; an odd pad goes to the beginning.
    SameLower,
    /// No padding.
    Valid,
}

/// A sliding window over the spatial axes, one entry per axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel extents.
    pub kernel: Vec<usize>,
    /// Strides, at least 1.
    pub strides: Vec<usize>,
    /// Dilations, at least 1.
    pub dilations: Vec<usize>,
    /// Padding before the first element.
    pub pads_begin: Vec<usize>,
    /// Padding after the last element.
    pub pads_end: Vec<usize>,
    /// Whether the pads above hold or follow from the input's extents.
    pub auto_pad: AutoPad,
    /// Whether the output extent is rounded up (pooling only).
    pub ceil_mode: bool,
}

/// `Y = alpha · A' · B' + beta · C`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the addend.
    pub beta: f32,
    /// Whether A is transposed.
    pub trans_a: bool,
    /// Whether B is transposed.
    pub trans_b: bool,
}

/// What lies outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A constant value.
    Constant,
    /// Mirrored without repeating the edge.
    Reflect,
    /// The edge value.
    Edge,
    /// The tensor repeats itself.
    Wrap,
}

/// Padding of every axis; negative entries crop.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Elements before, one entry per axis.
    pub begin: Vec<i64>,
    /// Elements after, one entry per axis.
    pub end: Vec<i64>,
    /// What lies outside.
    pub mode: PadMode,
    /// The value of [`PadMode::Constant`].
    pub value: f32,
}

/// A strided cut along some axes, with ONNX's clamping and negative-index rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Axes cut, each once.
    pub axes: Vec<i64>,
    /// First index per axis.
    pub starts: Vec<i64>,
    /// End index (exclusive) per axis.
    pub ends: Vec<i64>,
    /// Step per axis, not 0.
    pub steps: Vec<i64>,
}

/// An operator. Inputs are listed in the variant's doc, in the order of ONNX.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Inputs: x `[n, c, ..]`, weight `[k, c / groups, ..]`, optional bias `[k]`. The window's kernel repeats the weight's.
    Conv {
        /// Spatial window.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// Inputs: a, b, optional c (broadcast to the product).
    Gemm(Gemm),
    /// Inputs: a, b, with NumPy's matmul rules.
    MatMul,
    /// Inputs: x, scale, bias, mean, variance; inference form.
    BatchNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// max(x, 0).
    Relu,
    /// x if x ≥ 0, else alpha · x.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// Inputs: x, slope (broadcast one way).
    PRelu,
    /// min(max(x, min), max).
    Clip {
        /// Lower bound, if any.
        min: Option<f32>,
        /// Upper bound, if any.
        max: Option<f32>,
    },
    /// 1 / (1 + exp(−x)).
    Sigmoid,
    /// max(0, min(1, alpha · x + beta)).
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// x · max(0, min(1, x / 6 + 1 / 2)).
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// −1, 0 or 1. (ONNX: sign(0) = 0. Binarization's sign(0) = +1 is another function.)
    Sign,
    /// Softmax along one axis (opset 13 form).
    Softmax {
        /// Axis, may be negative.
        axis: i64,
    },
    /// Elementwise sum, broadcast.
    Add,
    /// Elementwise difference, broadcast.
    Sub,
    /// Elementwise product, broadcast.
    Mul,
    /// Elementwise quotient, broadcast; integers truncate toward zero.
    Div,
    /// Inputs: one or more.
    Concat {
        /// Axis, may be negative.
        axis: i64,
    },
    /// One input, one output per size.
    Split {
        /// Axis, may be negative.
        axis: i64,
        /// Extent of each output.
        sizes: Vec<usize>,
    },
    /// Strided cut.
    Slice(Slice),
    /// Padding.
    Pad(Pad),
    /// Maximum over a window; padding never wins.
    MaxPool(Window),
    /// Mean over a window.
    AveragePool {
        /// Spatial window.
        window: Window,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
    /// Mean over all spatial axes, kept as 1.
    GlobalAveragePool,
    /// Maximum over all spatial axes, kept as 1.
    GlobalMaxPool,
    /// Mean over axes (all where empty).
    ReduceMean {
        /// Axes, may be negative.
        axes: Vec<i64>,
        /// Whether reduced axes stay as 1.
        keep_dims: bool,
    },
    /// To two axes.
    Flatten {
        /// First axis of the second output axis.
        axis: i64,
    },
    /// New shape; −1 is inferred, 0 copies the input's extent at its position unless `allow_zero`, and −2 − a copies that
    /// of the input's axis a (which ONNX says by a calculation with `Shape`).
    Reshape {
        /// Target.
        shape: Vec<i64>,
        /// Whether 0 means an extent of 0.
        allow_zero: bool,
    },
    /// Permutation of axes.
    Transpose {
        /// Source axis of each output axis.
        perm: Vec<usize>,
    },
    /// Drops axes of extent 1 (all where empty).
    Squeeze {
        /// Axes, may be negative.
        axes: Vec<i64>,
    },
    /// Inserts axes of extent 1.
    Unsqueeze {
        /// Axes of the output, may be negative.
        axes: Vec<i64>,
    },
    /// Local response normalization across channels.
    Lrn {
        /// Channels in the window.
        size: usize,
        /// Factor.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Addend.
        bias: f32,
    },
    /// Identity at inference. In training each element is set to zero with probability `ratio`, and the others are
    /// divided by `1 − ratio`.
    Dropout {
        /// Share of elements dropped, in `[0, 1)`.
        ratio: f32,
    },
    /// Identity.
    Identity,
    /// Conversion to another element type.
    Cast {
        /// Target type.
        to: DType,
    },
    /// Inputs: x, scale, optional zero point (gives the output type; u8 without it). Rounds half to even, saturates.
    QuantizeLinear {
        /// Axis of a per-axis scale.
        axis: i64,
    },
    /// Inputs: x, scale, optional zero point.
    DequantizeLinear {
        /// Axis of a per-axis scale.
        axis: i64,
    },
}

impl Op {
    /// Operator name as in ONNX.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv { .. } => "Conv",
            Op::Gemm(_) => "Gemm",
            Op::MatMul => "MatMul",
            Op::BatchNormalization { .. } => "BatchNormalization",
            Op::Relu => "Relu",
            Op::LeakyRelu { .. } => "LeakyRelu",
            Op::PRelu => "PRelu",
            Op::Clip { .. } => "Clip",
            Op::Sigmoid => "Sigmoid",
            Op::HardSigmoid { .. } => "HardSigmoid",
            Op::HardSwish => "HardSwish",
            Op::Tanh => "Tanh",
            Op::Sign => "Sign",
            Op::Softmax { .. } => "Softmax",
            Op::Add => "Add",
            Op::Sub => "Sub",
            Op::Mul => "Mul",
            Op::Div => "Div",
            Op::Concat { .. } => "Concat",
            Op::Split { .. } => "Split",
            Op::Slice(_) => "Slice",
            Op::Pad(_) => "Pad",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool { .. } => "AveragePool",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::GlobalMaxPool => "GlobalMaxPool",
            Op::ReduceMean { .. } => "ReduceMean",
            Op::Flatten { .. } => "Flatten",
            Op::Reshape { .. } => "Reshape",
            Op::Transpose { .. } => "Transpose",
            Op::Squeeze { .. } => "Squeeze",
            Op::Unsqueeze { .. } => "Unsqueeze",
            Op::Lrn { .. } => "LRN",
            Op::Dropout { .. } => "Dropout",
            Op::Identity => "Identity",
            Op::Cast { .. } => "Cast",
            Op::QuantizeLinear { .. } => "QuantizeLinear",
            Op::DequantizeLinear { .. } => "DequantizeLinear",
        }
    }
}
