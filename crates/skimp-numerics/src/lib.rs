//! Scalar number formats, rounding, bit planes and seeded random numbers.

mod end_test;
mod fixed_multiplier;
pub mod rng;

pub use end_test::EndTest;
pub use fixed_multiplier::FixedMultiplier;
