//! Conversion of f32 numbers to a floating-point format.

use crate::float::kernel::{self, Params};
use crate::{CastCounts, FloatFormat, Overflow, RandomBits, Rounding, Subnormals};

/// A conversion to a [`FloatFormat`] with every rule fixed.
///
/// [`round`](Self::round) and its slice forms keep the result in f32; [`encode`](Self::encode) gives the code.
///
/// # Rounding
/// Once, from the exact f32 input. NaN stays NaN (in formats without one, [`encode`](Self::encode) gives the code of
/// negative zero, as `ml_dtypes` does). The sign of zero is kept where the format has a negative zero. Toward zero, a
/// finite number never becomes infinite.
///
/// # Examples
/// ```
/// use skimp_numerics::{FloatCast, Rounding, formats::BF16};
///
/// let cast = FloatCast::new(BF16);
/// assert_eq!(cast.round(1.0 + 1.0 / 256.0), 1.0);
/// assert_eq!(cast.encode(0.1), 0x3DCD);
/// assert_eq!(cast.with_rounding(Rounding::TowardZero).encode(0.1), 0x3DCC);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatCast {
    format: FloatFormat,
    rounding: Rounding,
    overflow: Overflow,
    subnormals: Subnormals,
    params: Params,
}

impl FloatCast {
    /// To the nearest number, ties to even; the format's own overflow rule; subnormal numbers kept.
    pub fn new(format: FloatFormat) -> Self {
        let (rounding, overflow, subnormals) = (Rounding::NearestEven, format.overflow(), Subnormals::Keep);
        Self { format, rounding, overflow, subnormals, params: Params::new(&format, rounding, overflow, subnormals) }
    }

    /// With another rounding mode. Random bits outside 1 to 24 count as the nearest of these.
    #[must_use]
    pub fn with_rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }.rebuilt()
    }

    /// With another overflow rule.
    #[must_use]
    pub fn with_overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }.rebuilt()
    }

    /// With another subnormal rule. Without effect on formats that have no subnormal numbers.
    #[must_use]
    pub fn with_subnormals(self, subnormals: Subnormals) -> Self {
        Self { subnormals, ..self }.rebuilt()
    }

    fn rebuilt(self) -> Self {
        Self { params: Params::new(&self.format, self.rounding, self.overflow, self.subnormals), ..self }
    }

    /// The format.
    pub fn format(&self) -> &FloatFormat {
        &self.format
    }

    /// The rounding mode.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// The overflow rule.
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// The subnormal rule.
    pub fn subnormals(&self) -> Subnormals {
        self.subnormals
    }

    /// The number of the format that `value` becomes; stochastic rounding with its random integer zero, which truncates.
    pub fn round(&self, value: f32) -> f32 {
        self.round_with(value, 0)
    }

    /// The number of the format that `value` becomes, given the random integer of a stochastic rounding (see
    /// [`RandomBits::draw`]). Other modes ignore it.
    pub fn round_with(&self, value: f32, random: u32) -> f32 {
        kernel::one(&self.params, value, random).value
    }

    /// The code that `value` becomes.
    pub fn encode(&self, value: f32) -> u32 {
        self.encode_with(value, 0)
    }

    /// The code that `value` becomes, given the random integer of a stochastic rounding.
    pub fn encode_with(&self, value: f32, random: u32) -> u32 {
        self.format.code_of(self.round_with(value, random))
    }

    /// Rounds every value in place.
    ///
    /// # Determinism
    /// Stochastic rounding of value `i` uses draw `i` of `random`; other modes use none.
    pub fn round_slice(&self, values: &mut [f32], random: RandomBits) -> CastCounts {
        kernel::slice(&self.params, values, random)
    }

    /// Rounds `source` into `target`, as [`round_slice`](Self::round_slice) does in place. Of slices of different lengths
    /// the common part is converted.
    pub fn round_into(&self, source: &[f32], target: &mut [f32], random: RandomBits) -> CastCounts {
        let mut counts = CastCounts::default();
        for (i, (source, target)) in source.chunks(kernel::CHUNK).zip(target.chunks_mut(kernel::CHUNK)).enumerate() {
            let n = source.len().min(target.len());
            target[..n].copy_from_slice(&source[..n]);
            counts.add(self.round_slice(&mut target[..n], random.skip((i * kernel::CHUNK) as u64)));
        }
        counts
    }
}
