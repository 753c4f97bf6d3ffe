//! What an 8-bit network is made of.

use skimp_numerics::{Requantization, Requantizer};

use super::{AddRule, MeanRule};
use crate::{DType, GraphInput, Op, Tensor, ValueId, Window};

/// How codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CodeType {
    /// 0 to 255.
    #[default]
    U8,
    /// −128 to 127.
    I8,
}

impl CodeType {
    /// The least code.
    pub fn min(self) -> i32 {
        match self {
            Self::U8 => 0,
            Self::I8 => -128,
        }
    }

    /// The greatest code.
    pub fn max(self) -> i32 {
        self.min() + 255
    }

    /// The element type of its tensors.
    pub fn dtype(self) -> DType {
        match self {
            Self::U8 => DType::U8,
            Self::I8 => DType::I8,
        }
    }

    /// The code type of an element type, if it is one of 8 bits.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::U8 => Some(Self::U8),
            DType::I8 => Some(Self::I8),
            _ => None,
        }
    }

    /// A tensor of codes. Codes outside the type saturate.
    pub fn tensor(self, shape: Vec<usize>, codes: impl Iterator<Item = i32>) -> Option<Tensor> {
        let saturated = codes.map(|code| code.clamp(self.min(), self.max()));
        match self {
            Self::U8 => Tensor::new(shape, saturated.map(|code| code as u8).collect::<Vec<u8>>().into()),
            Self::I8 => Tensor::new(shape, saturated.map(|code| code as i8).collect::<Vec<i8>>().into()),
        }
    }
}

/// What the codes of a value stand for: `real = (code − zero_point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineEncoding {
    /// How codes are stored.
    pub code_type: CodeType,
    /// Positive, finite.
    pub scale: f32,
    /// Within the code type, so that real 0 is exact.
    pub zero_point: i32,
}

impl AffineEncoding {
    /// The code of a real number.
    ///
    /// # Rounding
    /// As ONNX's `QuantizeLinear`: divided in f32, rounded half to even, saturated. NaN gives the zero point.
    pub fn quantize(&self, real: f32) -> i32 {
        let rounded = (real / self.scale).round_ties_even() as i32;
        rounded.saturating_add(self.zero_point).clamp(self.code_type.min(), self.code_type.max())
    }

    /// The real number behind a code.
    pub fn dequantize(&self, code: i32) -> f32 {
        (code - self.zero_point) as f32 * self.scale
    }
}

/// A convolution or dense layer.
///
/// # Shapes
/// Input `[n, c, h, w]`, or `[n, c]` for a dense layer; output `[n, k, p, q]` or `[n, k]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineLayer {
    /// Whether input and output have two axes.
    pub dense: bool,
    /// The window; of extent 1 for a dense layer.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// `k, c / groups, r, s`.
    pub weight_shape: [usize; 4],
    /// Weight codes minus their zero point, −255 to 255.
    pub weight: Vec<i16>,
    /// Scale of the weights: one, or one for each output channel.
    pub weight_scales: Vec<f32>,
    /// One for each output channel, in units of `scale(input) · scale(weight)`.
    pub bias: Vec<i32>,
    /// What becomes of an accumulator.
    pub output: LayerOutput,
}

/// What becomes of an accumulator.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerOutput {
    /// `clamp(requantized + zero_point, min, max)`.
    Codes {
        /// One, or one for each output channel.
        requantizers: Vec<Requantizer>,
        /// Least code: that of an activation function, or of the type.
        min: i32,
        /// Greatest code.
        max: i32,
    },
    /// `accumulator as f32 · scale`; one scale, or one for each output channel.
    Real(Vec<f32>),
}

/// What a mean runs over.
#[derive(Clone, Debug, PartialEq)]
pub enum MeanWindow {
    /// All spatial positions; whether the spatial axes stay, with extent 1.
    Global {
        /// Whether the spatial axes stay.
        keep_dims: bool,
    },
    /// A window, as of `AveragePool`.
    Window {
        /// The window.
        window: Window,
        /// Whether declared padding counts in the divisor.
        count_include_pad: bool,
    },
}

/// An operator of an 8-bit network.
#[derive(Clone, Debug, PartialEq)]
pub enum AffineOp {
    /// Real numbers to codes, as `QuantizeLinear`.
    Quantize,
    /// Codes to real numbers, as `DequantizeLinear`.
    Dequantize,
    /// A convolution or dense layer. Input: codes.
    Layer(Box<AffineLayer>),
    /// The sum of two values of one shape, or broadcast; clamped.
    Add {
        /// The arithmetic.
        rule: AddRule,
        /// Least code.
        min: i32,
        /// Greatest code.
        max: i32,
    },
    /// A mean over positions; clamped.
    Mean {
        /// What it runs over.
        window: MeanWindow,
        /// The arithmetic.
        rule: MeanRule,
        /// Least code.
        min: i32,
        /// Greatest code.
        max: i32,
    },
    /// A function of one code: the result for every code of the input's type, from the least on.
    Table(Box<[i32; 256]>),
    /// An operator that moves or picks codes (`MaxPool`, `Concat`, `Reshape`, ...), its inputs and outputs under one
    /// encoding. A constant that pads is a code.
    Move(Op),
    /// Any operator, on real numbers or whatever it takes, as the f32 reference interpreter computes it.
    Float(Op),
}

impl AffineOp {
    /// Name for errors and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quantize => "Quantize",
            Self::Dequantize => "Dequantize",
            Self::Layer(layer) if layer.dense => "Dense",
            Self::Layer(_) => "Conv",
            Self::Add { .. } => "Add",
            Self::Mean { .. } => "Mean",
            Self::Table(_) => "Table",
            Self::Move(op) | Self::Float(op) => op.name(),
        }
    }
}

/// A value of an 8-bit network.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineValue {
    /// Its name in the QDQ network.
    pub name: String,
    /// What its codes stand for; `None` for anything but codes.
    pub encoding: Option<AffineEncoding>,
    /// The elements of a constant that a float operator reads.
    pub constant: Option<Tensor>,
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineNode {
    /// Name of the node in the QDQ network.
    pub name: String,
    /// The operator.
    pub op: AffineOp,
    /// Inputs; `None` for an optional input of a float operator that is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs.
    pub outputs: Vec<ValueId>,
}

/// An 8-bit network, as [`lower`](super::lower) makes it: nodes in an order in which they can run.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineGraph {
    /// Name of the network.
    pub name: String,
    /// How accumulators become codes.
    pub rounding: Requantization,
    /// Inputs.
    pub inputs: Vec<GraphInput>,
    /// Outputs, real numbers or whatever the QDQ network puts out.
    pub outputs: Vec<ValueId>,
    /// All values.
    pub values: Vec<AffineValue>,
    /// All nodes.
    pub nodes: Vec<AffineNode>,
}

impl AffineGraph {
    /// The nodes that compute in floating point, besides conversions at inputs and outputs.
    pub fn float_nodes(&self) -> impl Iterator<Item = &AffineNode> {
        self.nodes.iter().filter(|node| matches!(node.op, AffineOp::Float(_)))
    }

    /// Number of convolutions and dense layers on codes.
    pub fn n_layers(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.op, AffineOp::Layer(_))).count()
    }
}
