//! Integer networks, exact integer convolution and early negative detection.
//!
//! [`IntegerExecutor`] runs a network.
//!
//! [`conv_exact`] and [`end_planes`] give, bit for bit, what [`skimp_graph::integer::end`] defines, on any machine and
//! any number of threads. Sums of 16-bit products are taken modulo 2^32 with 32 products per AVX-512 instruction (16
//! per AVX2 instruction, or portable code): once with the leading planes of the weights, once with more of them, as
//! often as the activations require. A partial sum falls from one such prefix to the next by less than 2^32, so the
//! wrapped difference tells the exact one.

mod bytes;
mod conv;
mod dots;
#[cfg(target_arch = "x86_64")]
mod dots_x86;
mod executor;
mod pack;
mod predict;
mod refine;
#[cfg(test)]
mod tests;
mod wide;

pub use executor::{IntegerExecutor, Recording};
pub use predict::predictive_end_planes;
pub use skimp_graph::integer::end::{ConvError, ConvProblem, EndPlanes};
use skimp_numerics::EndTest;

use self::dots::Isa;

/// The exact sums of a layer before its activation function, `[k, p, q]`.
///
/// # Errors
/// A [`ConvError`] if the problem is not consistent.
pub fn conv_exact(problem: &ConvProblem) -> Result<Vec<i64>, ConvError> {
    problem.validate()?;
    Ok(conv::run(problem, None, Isa::best()).sums)
}

/// The exact sums of a layer and the plane after which early negative detection stops each output.
///
/// # Errors
/// [`ConvError::SignedOperands`] if an operand may be negative, another [`ConvError`] if the problem is not
/// consistent.
///
/// # Source
/// D. Lee, S. Kang, K. Choi, "ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", ICS 2018.
/// Differs: the planes are found from exact sums of a few weight prefixes, not by adding plane after plane.
pub fn end_planes(problem: &ConvProblem, test: EndTest) -> Result<EndPlanes, ConvError> {
    problem.validate_end()?;
    Ok(conv::run(problem, Some(test), Isa::best()))
}
