//! Training kernels over channels-last images (`[n][h][w][c]`, f32).
//!
//! Convolutions are direct: a padded copy of each image lies in scratch memory, and register tiles of pixels times
//! output channels run over the taps without unfolding them. [`Arithmetic`] chooses how sums are formed; the order of
//! the terms is part of each function's definition, so that every processor, instruction set and number of threads gives
//! the same bits. Kernels run on the current rayon pool and allocate only when the [`Workspace`] has to grow.
//!
//! What these kernels do not do: change a tensor's number format (operands are f32; policies round them before), or keep
//! anything between calls.

mod aligned;
mod arith;
mod conv;
mod depthwise;
mod elementwise;
mod gather;
mod norm;
mod pack;
mod panels;
mod pool;
mod shape;
mod sparse;
#[cfg(test)]
mod tests;
mod tile;
mod weight_grad;
mod workspace;

pub use self::aligned::AlignedVec;
pub use self::arith::{Arithmetic, ChunkedSum, Overflow};
pub use self::conv::{Zeros, conv_forward, conv_input_grad, conv_input_grad_with, skips_zeros};
pub use self::elementwise::{accumulate, add, bias_grad, nchw_to_nhwc, nhwc_to_nchw, relu_backward, relu_forward};
pub use self::norm::{
    BatchNorm, NormGrads, NormTensors, Rectifier, batch_norm_backward, batch_norm_forward, batch_statistics,
};
pub use self::pool::{
    Divisor, PoolShape, average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward,
};
pub use self::shape::{ConvShape, ShapeError};
pub use self::weight_grad::conv_weight_grad;
pub use self::workspace::Workspace;
