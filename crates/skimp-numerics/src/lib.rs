//! Scalar number formats, rounding, bit planes and seeded random numbers.

mod fixed_multiplier;

pub use fixed_multiplier::FixedMultiplier;
