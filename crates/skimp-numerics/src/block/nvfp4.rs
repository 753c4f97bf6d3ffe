//! NVFP4: blocks of 16 E2M1 elements with an E4M3 scale, and one f32 scale for the tensor.

use crate::formats::{FP4_E2M1, FP8_E4M3};
use crate::{CastCounts, FloatCast, Overflow, RandomBits, Rounding};

/// Elements of a block.
pub const NVFP4_BLOCK: usize = 16;

/// What a block's scale becomes that would be subnormal in E4M3, below 2^(−6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nvfp4SmallScale {
    /// A subnormal number, or zero (and with it the block) below 2^(−10). As in TransformerEngine.
    #[default]
    Subnormal,
    /// 2^(−6), also in a block of zeros: small blocks use the lowest elements only. As in torchao 0.18.0.
    Normal,
}

/// A conversion to NVFP4 with the scale of one tensor.
///
/// The encoding scale of the tensor is `s = min(448 · 6 / amax(tensor), largest f32)`, and 1 for a tensor of zeros (where
/// torchao 0.18.0 divides by zero and gives NaN); a block's decoding scale is `d = E4M3(min(448, amax(block) / 6 · s))`, an
/// element `E2M1(clamp(x / (d / s), ±6))`, its value `element · d / s`.
///
/// # Rounding
/// Scales to nearest even, subnormal ones as [`Nvfp4SmallScale`] says; elements as told, saturating. A block whose scale is
/// zero becomes zero.
///
/// # Source
/// NVIDIA, "Pretraining Large Language Models with NVFP4", arXiv:2509.25149, and the reference quantizer of
/// TransformerEngine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nvfp4Cast {
    encode_scale: f32,
    element: FloatCast,
    scale: FloatCast,
    small: Nvfp4SmallScale,
}

/// A block as codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvfp4Block {
    /// E4M3 code of the decoding scale.
    pub scale: u8,
    /// E2M1 codes, one a byte.
    pub elements: Vec<u8>,
}

impl Nvfp4Cast {
    /// A conversion of a tensor whose largest magnitude is given; zero and non-finite ones give the scale 1.
    pub fn new(tensor_largest: f32, rounding: Rounding) -> Self {
        let scale = (FP8_E4M3.max_finite() * FP4_E2M1.max_finite() / tensor_largest).min(f32::MAX);
        Self {
            encode_scale: if tensor_largest.is_finite() && tensor_largest > 0.0 { scale } else { 1.0 },
            element: FloatCast::new(FP4_E2M1).with_rounding(rounding).with_overflow(Overflow::Saturate),
            scale: FloatCast::new(FP8_E4M3).with_overflow(Overflow::Saturate),
            small: Nvfp4SmallScale::Subnormal,
        }
    }

    /// With another rule for small block scales.
    #[must_use]
    pub fn with_small_scales(self, small: Nvfp4SmallScale) -> Self {
        Self { small, ..self }
    }

    /// The tensor's encoding scale.
    pub fn encode_scale(&self) -> f32 {
        self.encode_scale
    }

    /// The E4M3 decoding scale of a block, and what its elements are multiplied by afterwards.
    fn scales(&self, largest: f32) -> (f32, f32) {
        if !largest.is_finite() {
            return (f32::NAN, f32::NAN);
        }
        let scale = (largest / FP4_E2M1.max_finite() * self.encode_scale).min(FP8_E4M3.max_finite());
        let least = match self.small {
            Nvfp4SmallScale::Subnormal => 0.0,
            Nvfp4SmallScale::Normal => FP8_E4M3.min_normal(),
        };
        let scale = self.scale.round(scale.max(least));
        (scale, scale / self.encode_scale)
    }

    /// What elements are multiplied by before they are rounded: finite even where the factor is subnormal.
    fn inverse(factor: f32) -> f32 {
        if factor == 0.0 { 0.0 } else { (1.0 / factor).min(f32::MAX) }
    }

    /// Scale and elements of one block.
    pub fn encode_block(&self, block: &[f32]) -> Nvfp4Block {
        let (scale, factor) = self.scales(largest(block));
        let inverse = if factor.is_nan() { 0.0 } else { Self::inverse(factor) };
        Nvfp4Block {
            scale: FloatCast::new(FP8_E4M3).encode(scale) as u8,
            elements: block.iter().map(|value| self.element.encode(value * inverse) as u8).collect(),
        }
    }

    /// The numbers that an encoded block means.
    pub fn decode_block(&self, block: &Nvfp4Block) -> Vec<f32> {
        let factor = FP8_E4M3.decode(u32::from(block.scale)) / self.encode_scale;
        block.elements.iter().map(|&code| FP4_E2M1.decode(u32::from(code)) * factor).collect()
    }

    /// Rounds a row-major matrix in place, in blocks of `block_rows` rows and 16 columns: 1 for activations and
    /// gradients, 16 for weights, whose scales then serve their transpose too. Blocks at the right and lower edge may be
    /// smaller. NaN and infinity make their block NaN.
    ///
    /// # Shapes
    /// `values`: `[rows, row_length]`. A `row_length` or `block_rows` of 0 changes nothing.
    ///
    /// # Determinism
    /// Stochastic rounding of value `i` of the matrix uses draw `i` of `random`.
    pub fn round_matrix(
        &self,
        values: &mut [f32],
        row_length: usize,
        block_rows: usize,
        random: RandomBits,
    ) -> CastCounts {
        let mut counts = CastCounts::default();
        if row_length == 0 || block_rows == 0 {
            return counts;
        }
        for (band_index, band) in values.chunks_mut(block_rows * row_length).enumerate() {
            for left in (0..row_length).step_by(NVFP4_BLOCK) {
                let right = (left + NVFP4_BLOCK).min(row_length);
                let most = band.chunks(row_length).filter_map(|row| row.get(left..right.min(row.len())));
                let (_, factor) = self.scales(most.map(largest).fold(0.0, largest_of));
                let inverse = if factor.is_nan() { factor } else { Self::inverse(factor) };
                for (i, row) in band.chunks_mut(row_length).enumerate() {
                    let right = right.min(row.len());
                    let Some(block) = row.get_mut(left..right) else { continue };
                    let at = ((band_index * block_rows + i) * row_length + left) as u64;
                    if factor == 0.0 {
                        counts.underflow += block.iter().filter(|value| **value != 0.0).count() as u64;
                    }
                    block.iter_mut().for_each(|value| *value *= inverse);
                    counts.add(self.element.round_slice(block, random.skip(at)));
                    block.iter_mut().for_each(|value| *value *= factor);
                }
            }
        }
        counts
    }
}

fn largest(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |most, value| largest_of(most, value.abs()))
}

/// The larger of two magnitudes; NaN and infinity as NaN.
fn largest_of(a: f32, b: f32) -> f32 {
    let larger = if a > b || a.is_nan() { a } else { b };
    if larger.is_infinite() { f32::NAN } else { larger }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    const BLOCK: [f32; 8] = [0.0, 0.1, -0.25, 0.3, 0.7, -1.1, 2.9, 3.9];

    #[test]
    fn block_vectors() {
        let mut block = BLOCK.to_vec();
        block.resize(NVFP4_BLOCK, 0.0);
        let third = 1.0 / 3.0;
        let cases = [
            (8.0, 336.0, 0x76, 224.0 / 336.0, [0.0, 0.0, -third, third, 2.0 * third, -1.0, 8.0 * third, 4.0]),
            (3.9, 689.2308, 0x7E, 0.65, [0.0, 0.0, -0.325, 0.325, 0.65, -0.975, 2.6, 3.9]),
        ];
        for (largest, encode_scale, code, factor, expected) in cases {
            let cast = Nvfp4Cast::new(largest, Rounding::NearestEven);
            assert!((cast.encode_scale() / encode_scale - 1.0).abs() < 1e-6);
            let encoded = cast.encode_block(&block);
            assert_eq!(encoded.scale, code, "{largest}");
            let decoded = cast.decode_block(&encoded);
            for (got, want) in decoded.iter().zip(expected) {
                // The decoding scale is a rounded f32 quotient.
                assert!((got - want).abs() <= 4e-7 * want.abs(), "{largest}: {got}, expected {want}");
            }
            assert!((cast.scales(3.9).1 - factor).abs() < 1e-7);
            let mut rounded = block.clone();
            cast.round_matrix(&mut rounded, NVFP4_BLOCK, 1, RandomBits::default());
            assert_eq!(rounded, decoded);
        }
    }

    #[test]
    fn square_blocks_share_a_scale() {
        let mut matrix = vec![0.0; 32 * 20];
        matrix[0] = 6.0;
        matrix[15 * 20 + 15] = 0.26;
        matrix[16 * 20] = 0.26;
        matrix[19] = 0.26;
        let cast = Nvfp4Cast::new(6.0, Rounding::NearestEven);
        cast.round_matrix(&mut matrix, 20, 16, RandomBits::default());
        assert_eq!((matrix[0], matrix[15 * 20 + 15]), (6.0, 0.5));
        // Blocks of their own: within one unit of the E4M3 scale.
        for i in [16 * 20, 19] {
            assert!((matrix[i] / 0.26 - 1.0).abs() < 0.0625, "{}", matrix[i]);
        }
    }

    #[test]
    fn special_blocks() {
        let cast = Nvfp4Cast::new(0.0, Rounding::NearestEven);
        assert_eq!(cast.encode_scale(), 1.0);
        let mut values = [0.0; 4];
        cast.round_matrix(&mut values, 4, 1, RandomBits::default());
        assert_eq!(values, [0.0; 4]);
        let mut values = [1e-30, 2e-30];
        let counts = cast.round_matrix(&mut values, 2, 1, RandomBits::default());
        assert_eq!(values, [0.0; 2]);
        assert_eq!((counts.total, counts.underflow), (2, 2));
        let mut values = [1.0, f32::INFINITY];
        cast.round_matrix(&mut values, 2, 1, RandomBits::default());
        assert!(values.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn small_block_scales() {
        use Nvfp4SmallScale::{Normal, Subnormal};
        // The tensor's largest magnitude makes its scale 1. Largest of a block, rule, code of its scale, the block.
        let p = |exponent: i32| 2.0_f32.powi(exponent);
        let cases = [
            (6.0 * p(-6), Subnormal, 0x08, [6.0 * p(-6), -3.0 * p(-6)]),
            (6.0 * p(-6), Normal, 0x08, [6.0 * p(-6), -3.0 * p(-6)]),
            // Subnormal scales: 5 · 2^(−9) is one, 2^(−9) the least, half of it a tie to zero.
            (30.0 * p(-9), Subnormal, 0x05, [30.0 * p(-9), -15.0 * p(-9)]),
            (30.0 * p(-9), Normal, 0x08, [32.0 * p(-9), -16.0 * p(-9)]),
            (6.0 * p(-9), Subnormal, 0x01, [6.0 * p(-9), -3.0 * p(-9)]),
            (6.0 * p(-9), Normal, 0x08, [8.0 * p(-9), -4.0 * p(-9)]),
            (6.0 * p(-10), Subnormal, 0x00, [0.0, 0.0]),
            (6.0 * p(-10), Normal, 0x08, [4.0 * p(-9), -0.0]),
            (0.0, Subnormal, 0x00, [0.0, 0.0]),
            (0.0, Normal, 0x08, [0.0, 0.0]),
        ];
        for (largest, rule, code, expected) in cases {
            let cast = Nvfp4Cast::new(2688.0, Rounding::NearestEven).with_small_scales(rule);
            assert_eq!(cast.encode_scale(), 1.0);
            let mut values = [largest, -largest / 2.0];
            assert_eq!(cast.encode_block(&values).scale, code, "{largest:e} {rule:?}");
            assert_eq!(cast.decode_block(&cast.encode_block(&values)), expected, "{largest:e} {rule:?}");
            cast.round_matrix(&mut values, 2, 1, RandomBits::default());
            assert_eq!(values, expected, "{largest:e} {rule:?}");
        }
    }

    #[test]
    fn tiny_tensors_stay_finite() {
        for tensor in [0.0, 1e-45, 1e-40, 1e-38, 1e-36, 1e-30, f32::MAX] {
            for rule in [Nvfp4SmallScale::Subnormal, Nvfp4SmallScale::Normal] {
                let cast = Nvfp4Cast::new(tensor, Rounding::NearestEven).with_small_scales(rule);
                for block in [1.0, 0.3, 1e-3, 1e-7, 0.0] {
                    let mut values = [0.0, tensor * block, -tensor * block, 0.0];
                    let decoded = cast.decode_block(&cast.encode_block(&values));
                    cast.round_matrix(&mut values, 4, 1, RandomBits::default());
                    assert!(values.iter().all(|value| value.is_finite()), "{tensor:e} {block} {rule:?}: {values:?}");
                    assert_eq!(values[..], decoded);
                    assert_eq!((values[0], values[3]), (0.0, 0.0));
                }
            }
        }
        // Small tensors keep their largest element, as exactly as a block's scale can say.
        let mut values = [1e-36_f32, 5e-37];
        Nvfp4Cast::new(1e-36, Rounding::NearestEven).round_matrix(&mut values, 2, 1, RandomBits::default());
        assert!((values[0] / 1e-36 - 1.0).abs() < 0.0625 && (values[1] / 5e-37 - 1.0).abs() < 0.0625, "{values:?}");
    }
}
