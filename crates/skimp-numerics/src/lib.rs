//! Scalar number formats, rounding, bit planes and seeded random numbers.
//!
//! [`formats::FORMATS`] lists the formats. Conversions keep their results in f32: [`FloatCast`] for floating point,
//! [`FixedCast`] for (dynamic) fixed point, [`Affine`] and [`RangeGrid`] for scaled integers, [`MxCast`] and
//! [`Nvfp4Cast`] for blocks. [`ChunkedSum`] defines sums in few bits.

mod accumulate;
mod affine;
mod block;
mod early_negative;
mod end_test;
mod fixed;
mod fixed_multiplier;
mod float;
pub mod formats;
mod inverted;
mod negative_sums;
mod requantize;
pub mod rng;
mod rounding;

pub use accumulate::{ChunkedSum, fma_to_odd};
pub use affine::{Affine, RangeGrid, pack_int4, unpack_int4};
pub use block::{
    BlockAxis, BlockInfinity, EncodedBlock, MX_BLOCK, MxCast, MxElement, NVFP4_BLOCK, Nvfp4Block, Nvfp4Cast,
    Nvfp4SmallScale, ScaleRule, e8m0_decode, e8m0_encode,
};
pub use early_negative::{EndError, EndTrace, end_planes};
pub use end_test::EndTest;
pub use fixed::{FixedCast, FixedCounts, FixedError, FixedFormat};
pub use fixed_multiplier::FixedMultiplier;
pub use float::{FloatCast, FloatFormat, FormatError, Specials, ZeroExponent};
pub use inverted::{
    inverted_code, inverted_plane_bit, inverted_range, inverted_value, is_inverted_width, truncate_after_plane,
};
pub use negative_sums::NegativeSums;
pub use requantize::{Multiplier, Requantization, Requantizer, doubling_high_mul, rounding_shift_right};
pub use rounding::{CastCounts, MAX_RANDOM_BITS, Overflow, RandomBits, Rounding, Subnormals};
