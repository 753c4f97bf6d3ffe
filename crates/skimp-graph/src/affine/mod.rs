//! 8-bit networks with zero points, computed in integers only.
//!
//! A network in QDQ form (pairs of `QuantizeLinear` and `DequantizeLinear` around float operators) says with which scale
//! and zero point every value is stored. [`lower`] recognizes it and gives an [`AffineGraph`], whose operators work on
//! codes: `real = (code − zero_point) · scale`. [`AffineReference`] interprets it, naively, and is the specification;
//! fast engines give the same bits.
//!
//! How accumulators become codes is a [`Requantization`], which travels with the network ([`ROUNDING_KEY`]).
//!
//! The other integer networks of this crate, [`crate::integer`], have no zero points, 2 to 16 bits, and exact sums of
//! residuals: they are what accelerator models run. These here are what inference engines run.
//!
//! # Source
//! Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
//! 2018, sections 2.1 to 2.4; ONNX operator specifications of `QuantizeLinear`, `DequantizeLinear` and `QLinearConv`.

mod arithmetic;
mod lower;
mod reference;
mod shapes;
#[cfg(test)]
mod tests;
mod types;

pub use arithmetic::{AddRule, MeanRule};
pub use lower::{is_quantized, lower};
pub use reference::{AffineObserver, AffineReference, evaluate, mean_axes, mean_count};
pub use skimp_numerics::{Requantization, Requantizer};
pub use types::{
    AffineEncoding, AffineGraph, AffineLayer, AffineNode, AffineOp, AffineValue, CodeType, LayerOutput, MeanWindow,
};

/// Key of a network's metadata under which the name of its [`Requantization`] stands.
pub const ROUNDING_KEY: &str = "skimp.requantization";
