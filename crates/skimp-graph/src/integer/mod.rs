//! Integer networks: the exact arithmetic that hardware would do.
//!
//! An [`IntegerGraph`] computes on codes: `real = (code − zero_point) · scale`. Convolutions and dense layers are
//! [`MacLayer`]s with an exact accumulator; how it becomes a code again is stated ([`Requantization`]). A quantizer makes
//! such a network of n-bit codes without zero points, bias and residual input at accumulator scale, before the activation
//! function; [`lower`] reads one from a network in QDQ form, on the codes that stand in its file.
//!
//! # Source
//! Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
//! 2018, sections 2.1 to 2.4; ONNX operator specifications of `QuantizeLinear`, `DequantizeLinear` and `QLinearConv`.

mod arithmetic;
mod check;
mod encoding;
pub mod end;
mod engine;
mod mac;
mod moves;
mod nodes;
mod pool;
mod product;
mod qdq;
mod reference;
mod shapes;
mod types;

pub use arithmetic::{AddRule, mean_requantizer, product_requantizer};
pub use check::check;
pub use encoding::{CodeTensor, CodeType, Encoding};
pub use engine::{IntegerEngine, IntegerObserver, IntegerTensor, MacHook, MacObservation, MacOperands, Observation};
pub use moves::moves_codes;
pub use nodes::evaluate;
pub use pool::IntegerMeans;
pub use product::product_shape;
pub use qdq::{ROUNDING_KEY, WEIGHT_BITS_KEY, is_quantized, lower};
pub use reference::IntegerReference;
pub use shapes::node_output_shapes;
pub use skimp_numerics::{Requantization, Requantizer};
pub use types::{
    Activation, FloatOperand, IntegerGraph, IntegerNode, IntegerOp, IntegerValue, MacLayer, MacLayout, MacOutput,
    Quotient, ValueKind,
};
