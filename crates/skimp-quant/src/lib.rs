//! Calibration and quantization of a graph to integers.
//!
//! [`calibrate`] runs a network on images and notes the range of every value; [`quantize`] turns the network into an
//! [`IntegerGraph`](skimp_graph::integer::IntegerGraph) whose accumulators are exact, with bias and residual inputs at
//! accumulator scale, and says for each multiply-accumulate layer whether its negative sums need not be known
//! ([`NegativeSums`]). Nothing here runs an integer network: see
//! [`IntegerReference`](skimp_graph::integer::IntegerReference) and `skimp_cpu::integer::IntegerExecutor`.

mod calibrate;
mod config;
mod emit;
mod encode;
mod error;
mod layers;
mod mac;
mod pattern;
mod qdq;
mod quantize;
mod weights;
mod widths;

pub use calibrate::{Calibration, Calibrator, Detail, ValueStatistics, calibrate};
pub use config::{FirstLayer, QuantizationConfig, RangeMethod, WeightScales};
pub use error::QuantError;
pub use layers::{LayerGeometry, layers};
pub use qdq::{
    LayerChoices, OutputForm, QdqConfig, QdqLayer, QdqNetwork, QdqValue, Scheme, quantize_qdq, quantize_qdq_with,
    read_qdq,
};
pub use quantize::{FloatNode, QuantizationReport, Quantized, QuantizedLayer, quantize, quantize_with};
pub use skimp_numerics::NegativeSums;
pub use widths::LayerWidths;
