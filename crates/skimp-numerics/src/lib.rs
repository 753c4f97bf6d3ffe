//! Scalar number formats, rounding, bit planes and seeded random numbers.

mod early_negative;
mod end_test;
mod fixed_multiplier;
mod inverted;
pub mod rng;

pub use early_negative::{EndError, EndTrace, end_planes};
pub use end_test::EndTest;
pub use fixed_multiplier::FixedMultiplier;
pub use inverted::{
    inverted_code, inverted_plane_bit, inverted_range, inverted_value, is_inverted_width, truncate_after_plane,
};
