//! OCP microscaling: blocks of 32 elements with a power of two as their scale.

use crate::float::power_of_two;
use crate::{CastCounts, FixedCast, FixedFormat, FloatCast, FloatFormat, Overflow, RandomBits, Rounding};

/// Elements of a block.
pub const MX_BLOCK: usize = 32;

/// The code of NaN among E8M0 scales.
const SCALE_NAN: u8 = 0xFF;

/// The code of the power of two `2^exponent` as an E8M0 scale; exponents below −127 clamp, above 127 give NaN.
pub const fn e8m0_encode(exponent: i32) -> u8 {
    if exponent > 127 {
        SCALE_NAN
    } else if exponent < -127 {
        0
    } else {
        (exponent + 127) as u8
    }
}

/// The number that an E8M0 code means: `2^(code − 127)`, or NaN for 0xFF. There is neither zero nor a sign.
pub const fn e8m0_decode(code: u8) -> f32 {
    if code == SCALE_NAN { f32::NAN } else { power_of_two(code as i32 - 127) }
}

/// What the elements of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MxElement {
    /// Floating-point numbers.
    Float(FloatFormat),
    /// 8-bit integers times 2^(−6), without the most negative code.
    Int8,
}

/// How a block's scale follows from the largest magnitude in it, by the names that torchao 0.18 gives them. `emax` is the
/// exponent of the largest element, `m` its mantissa bits.
///
/// # Source
/// torchao 0.18.0, `ScaleCalculationMode`; exponents equal its `to_mx` for every finite block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScaleRule {
    /// `2^(⌊log2 amax⌋ − emax)`: elements may saturate.
    ///
    /// # Source
    /// OCP Microscaling Formats (MX) Specification v1.0, 2023, section 6.3.
    #[default]
    Floor,
    /// `2^(⌊log2 r⌋ − emax)`, where `r` is `amax` rounded to `m` mantissa bits, ties away from zero: elements saturate only
    /// where they would not reach the next binade.
    Even,
    /// `2^(⌈log2 amax⌉ − emax)`: one step above [`Floor`](Self::Floor) unless `amax` is a power of two. No element saturates.
    Ceil,
    /// `2^⌈log2 (amax / largest element)⌉`: the smallest scale with which no element saturates.
    ///
    /// # Source
    /// NVIDIA TransformerEngine, the conversion to MXFP8 (the instruction `cvt.rp.satfinite.ue8m0x2.f32`).
    Rceil,
}

impl ScaleRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::Floor, Self::Even, Self::Ceil, Self::Rceil];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Even => "even",
            Self::Ceil => "ceil",
            Self::Rceil => "rceil",
        }
    }
}

/// What a block becomes that holds an infinity. NaN makes its whole block NaN in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BlockInfinity {
    /// NaN as the scale, and so NaN throughout, as in the formats' authors' library (microxcaling).
    #[default]
    Nan,
    /// The scale that the exponent of infinity gives (the largest one, 2^127, with [`ScaleRule::Rceil`]), with which infinite
    /// elements saturate and finite ones mostly vanish. The largest element times such a scale is infinite again in f32. As
    /// in torchao, and with [`ScaleRule::Rceil`] in TransformerEngine.
    Saturate,
}

/// Along which axis of a row-major matrix blocks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockAxis {
    /// Consecutive elements of a row. The last block of a row may be shorter.
    Rows,
    /// Elements of a column in consecutive rows. The last block of a column may be shorter.
    Columns,
}

/// A block as codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    /// E8M0 code of the scale.
    pub scale: u8,
    /// Codes of the elements; [`MxElement::Int8`] as two's complement bytes.
    pub elements: Vec<u8>,
}

/// A conversion to a microscaling format.
///
/// # Rounding
/// Elements are rounded once from the exact `value / scale` and saturate. A block with a NaN has the scale NaN, and all its
/// values become NaN; so does one with an infinity, unless [`BlockInfinity::Saturate`] is asked for. A block of zeros has
/// the smallest scale. A finite block never gets the scale NaN: exponents above 127 (8-bit integers only) clamp.
///
/// # Source
/// OCP Microscaling Formats (MX) Specification v1.0, 2023. Rouhani et al., "Microscaling Data Formats for Deep Learning",
/// arXiv:2310.10537. The authors' library rounds ties away from zero; here the rounding is a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MxCast {
    element: MxElement,
    rounding: Rounding,
    rule: ScaleRule,
    infinity: BlockInfinity,
    float: FloatCast,
    int: FixedCast,
}

const INT8: FixedFormat = match FixedFormat::new(8, 6) {
    Ok(format) => format.symmetric(),
    Err(_) => panic!("a format"),
};

/// Blocks scaled before one conversion of all of them.
const TILE: usize = 32;

impl MxCast {
    /// A conversion.
    pub fn new(element: MxElement, rounding: Rounding, rule: ScaleRule) -> Self {
        let format = match element {
            MxElement::Float(format) => format,
            MxElement::Int8 => crate::formats::FP8_E4M3,
        };
        let float = FloatCast::new(format).with_rounding(rounding).with_overflow(Overflow::Saturate);
        Self { element, rounding, rule, infinity: BlockInfinity::Nan, float, int: FixedCast::new(INT8, rounding) }
    }

    /// With another rule for blocks with an infinity.
    #[must_use]
    pub fn with_infinity(self, infinity: BlockInfinity) -> Self {
        Self { infinity, ..self }
    }

    /// What the elements are.
    pub fn element(&self) -> MxElement {
        self.element
    }

    /// The rounding mode of the elements.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Exponent, value and mantissa bits of the largest element.
    fn largest(&self) -> (i32, f32, u32) {
        match self.element {
            MxElement::Float(format) => (format.max_exponent(), format.max_finite(), format.mantissa_bits()),
            MxElement::Int8 => (0, INT8.decode(INT8.max_code()), INT8.fraction_bits() as u32),
        }
    }

    /// The exponent of the scale of a block whose largest magnitude is `largest`; `None` stands for NaN.
    pub fn scale_exponent(&self, largest: f32) -> Option<i32> {
        if largest.is_nan() || (largest.is_infinite() && self.infinity == BlockInfinity::Nan) {
            return None;
        }
        let (element_exponent, element_max, mantissa_bits) = self.largest();
        let bits = largest.to_bits() & 0x7FFF_FFFF;
        // Subnormal numbers read as 2^(−127), below which everything clamps to the smallest scale.
        let exponent_of = |bits: u32| (bits >> 23) as i32 - 127 - element_exponent;
        let floor = exponent_of(bits);
        let exponent = match self.rule {
            ScaleRule::Floor => floor,
            ScaleRule::Even if largest.is_infinite() => floor,
            ScaleRule::Even => exponent_of(bits + (1 << (22 - mantissa_bits))),
            ScaleRule::Ceil => floor + i32::from(bits & 0x7F_FFFF != 0),
            ScaleRule::Rceil if largest.is_infinite() => 127,
            ScaleRule::Rceil => {
                floor + i32::from(f64::from(largest) > f64::from(element_max) * 2.0_f64.powi(floor.max(-127)))
            }
        };
        Some(exponent.clamp(-127, 127))
    }

    /// Scale and elements of one block of at most [`MX_BLOCK`] values.
    pub fn encode_block(&self, block: &[f32]) -> EncodedBlock {
        let Some(exponent) = self.scale_exponent(largest(block)) else {
            return EncodedBlock { scale: SCALE_NAN, elements: vec![0; block.len()] };
        };
        let inverse = power_of_two(-exponent);
        let element = |value: &f32| match self.element {
            MxElement::Float(_) => self.float.encode(value * inverse) as u8,
            MxElement::Int8 => self.int.encode(value * inverse) as i8 as u8,
        };
        EncodedBlock { scale: e8m0_encode(exponent), elements: block.iter().map(element).collect() }
    }

    /// The numbers that an encoded block means.
    pub fn decode_block(&self, block: &EncodedBlock) -> Vec<f32> {
        let scale = e8m0_decode(block.scale);
        let element = |code: &u8| match self.element {
            MxElement::Float(format) => format.decode(u32::from(*code)) * scale,
            MxElement::Int8 => INT8.decode(i32::from(*code as i8)) * scale,
        };
        block.elements.iter().map(element).collect()
    }

    /// Rounds a row-major matrix in place, block by block.
    ///
    /// # Shapes
    /// `values`: `[rows, row_length]`; a last incomplete row counts as a row. A `row_length` of 0 changes nothing.
    ///
    /// # Determinism
    /// Stochastic rounding of value `i` of the matrix uses draw `i` of `random`, whatever the axis.
    pub fn round_matrix(
        &self,
        values: &mut [f32],
        row_length: usize,
        axis: BlockAxis,
        random: RandomBits,
    ) -> CastCounts {
        if row_length == 0 {
            return CastCounts::default();
        }
        match axis {
            BlockAxis::Rows => self.round_rows(values, row_length, random),
            BlockAxis::Columns => self.round_columns(values, row_length, random),
        }
    }

    fn round_rows(&self, values: &mut [f32], row_length: usize, random: RandomBits) -> CastCounts {
        let mut counts = CastCounts::default();
        let mut start = 0;
        while start < values.len() {
            let mut scales = [(0_usize, 0.0_f32); TILE];
            let (mut end, mut n) = (start, 0);
            while n < TILE && end < values.len() {
                let length = MX_BLOCK.min(row_length - end % row_length).min(values.len() - end);
                let block = &mut values[end..end + length];
                let (scale, inverse) = self.scale(largest(block));
                block.iter_mut().for_each(|value| *value *= inverse);
                scales[n] = (length, scale);
                end += length;
                n += 1;
            }
            counts.add(self.round_elements(&mut values[start..end], random.skip(start as u64)));
            let mut rest = &mut values[start..end];
            for &(length, scale) in &scales[..n] {
                let (block, after) = rest.split_at_mut(length);
                block.iter_mut().for_each(|value| *value *= scale);
                rest = after;
            }
            start = end;
        }
        counts
    }

    fn round_columns(&self, values: &mut [f32], row_length: usize, random: RandomBits) -> CastCounts {
        const STRIP: usize = 128;
        let mut counts = CastCounts::default();
        for (band_index, band) in values.chunks_mut(MX_BLOCK * row_length).enumerate() {
            let offset = band_index * MX_BLOCK * row_length;
            for left in (0..row_length).step_by(STRIP) {
                let width = STRIP.min(row_length - left);
                let mut bits = [0_u32; STRIP];
                for row in band.chunks(row_length) {
                    for (most, value) in bits.iter_mut().zip(row.iter().skip(left).take(width)) {
                        *most = (*most).max(value.to_bits() & 0x7FFF_FFFF);
                    }
                }
                let mut scales = [(0.0_f32, 0.0_f32); STRIP];
                for (scale, &most) in scales.iter_mut().zip(&bits[..width]) {
                    *scale = self.scale(f32::from_bits(most));
                }
                for (i, row) in band.chunks_mut(row_length).enumerate() {
                    let right = (left + width).min(row.len());
                    let Some(strip) = row.get_mut(left..right) else { continue };
                    strip.iter_mut().zip(&scales).for_each(|(value, &(_, inverse))| *value *= inverse);
                    let at = (offset + i * row_length + left) as u64;
                    counts.add(self.round_elements(strip, random.skip(at)));
                    strip.iter_mut().zip(&scales).for_each(|(value, &(scale, _))| *value *= scale);
                }
            }
        }
        counts
    }

    /// Scale and its inverse; NaN where the block has no scale.
    fn scale(&self, largest: f32) -> (f32, f32) {
        match self.scale_exponent(largest) {
            Some(exponent) => (power_of_two(exponent), power_of_two(-exponent)),
            None => (f32::NAN, f32::NAN),
        }
    }

    fn round_elements(&self, values: &mut [f32], random: RandomBits) -> CastCounts {
        match self.element {
            MxElement::Float(_) => self.float.round_slice(values, random),
            MxElement::Int8 => self.int.round_slice(values, random).cast,
        }
    }
}

/// The largest magnitude; NaN counts as the largest.
fn largest(block: &[f32]) -> f32 {
    f32::from_bits(block.iter().fold(0, |most, value| most.max(value.to_bits() & 0x7FFF_FFFF)))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use crate::formats::{FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_E4M3, FP8_E5M2};

    const BLOCK: [f32; 8] = [0.0, 0.1, -0.25, 0.3, 0.7, -1.1, 2.9, 3.9];

    fn cast(element: MxElement, rule: ScaleRule) -> MxCast {
        MxCast::new(element, Rounding::NearestEven, rule)
    }

    fn round(cast: &MxCast, block: &[f32]) -> Vec<f32> {
        let mut values = block.to_vec();
        cast.round_matrix(&mut values, block.len(), BlockAxis::Rows, RandomBits::default());
        values
    }

    #[test]
    fn mxfp4_block_vectors() {
        let mut block = BLOCK.to_vec();
        block.resize(MX_BLOCK, 0.0);
        let cases = [
            (ScaleRule::Floor, 0x7E, [0.0, 0.0, -0.25, 0.25, 0.75, -1.0, 3.0, 3.0]),
            // 3.9 rounds to 4 with one mantissa bit.
            (ScaleRule::Even, 0x7F, [0.0, 0.0, -0.0, 0.5, 0.5, -1.0, 3.0, 4.0]),
            (ScaleRule::Ceil, 0x7F, [0.0, 0.0, -0.0, 0.5, 0.5, -1.0, 3.0, 4.0]),
            (ScaleRule::Rceil, 0x7F, [0.0, 0.0, -0.0, 0.5, 0.5, -1.0, 3.0, 4.0]),
        ];
        for (rule, scale, expected) in cases {
            let cast = cast(MxElement::Float(FP4_E2M1), rule);
            let encoded = cast.encode_block(&block);
            assert_eq!(encoded.scale, scale, "{rule:?}");
            let decoded = cast.decode_block(&encoded);
            assert_eq!(decoded[..8].iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected.map(f32::to_bits));
            assert_eq!(round(&cast, &block), decoded);
        }
    }

    #[test]
    fn scale_exponent_vectors() {
        // Largest magnitude, and the exponents of floor, even, ceil and rceil.
        let cases = [
            (448.0, [0, 0, 1, 0]),
            (449.0, [0, 0, 1, 1]),
            (480.0, [0, 0, 1, 1]),
            (495.0, [0, 0, 1, 1]),
            (496.0, [0, 1, 1, 1]),
            (511.0, [0, 1, 1, 1]),
            (512.0, [1, 1, 1, 1]),
            (1.0, [-8, -8, -8, -8]),
            (1.1, [-8, -8, -7, -8]),
            (1.75, [-8, -8, -7, -8]),
            (1.76, [-8, -8, -7, -7]),
            (1.9375, [-8, -7, -7, -7]),
            (f32::MAX, [119, 120, 120, 120]),
            (2.0_f32.powi(-118), [-126; 4]),
            (2.0_f32.powi(-130), [-127; 4]),
            (0.0, [-127; 4]),
        ];
        for (amax, exponents) in cases {
            for (rule, expected) in ScaleRule::ALL.into_iter().zip(exponents) {
                let found = cast(MxElement::Float(FP8_E4M3), rule).scale_exponent(amax);
                assert_eq!(found, Some(expected), "{amax} {}", rule.name());
            }
        }
        // No finite block gets the scale NaN, not even one of integers.
        for rule in ScaleRule::ALL {
            assert_eq!(cast(MxElement::Int8, rule).scale_exponent(f32::MAX), Some(127), "{rule:?}");
        }
        assert_eq!(cast(MxElement::Int8, ScaleRule::Floor).scale_exponent(f32::INFINITY), None);
        assert_eq!([e8m0_encode(0), e8m0_encode(-200), e8m0_encode(127), e8m0_encode(128)], [0x7F, 0, 0xFE, 0xFF]);
        for code in 0..=254 {
            assert_eq!(f64::from(e8m0_decode(code)), 2.0_f64.powi(i32::from(code) - 127));
        }
        assert!(e8m0_decode(0xFF).is_nan());
    }

    #[test]
    fn mxint8_vectors() {
        let cast = cast(MxElement::Int8, ScaleRule::Floor);
        for (amax, scale, code) in [(1.0, 127, 64), (1.99, 127, 127), (0.7, 126, 90)] {
            let encoded = cast.encode_block(&[amax, 0.0]);
            assert_eq!((encoded.scale, encoded.elements[0]), (scale, code), "{amax}");
        }
        assert_eq!(round(&cast, &[-1.999, 0.25]), [-127.0 / 64.0, 0.25]);
    }

    #[test]
    fn rules_that_round_up_never_saturate() {
        for element in [FP8_E4M3, FP8_E5M2, FP6_E2M3, FP6_E3M2, FP4_E2M1].map(MxElement::Float) {
            let [floor, even, ceil, rceil] = ScaleRule::ALL.map(|rule| cast(element, rule));
            for i in 0..2000_u32 {
                let value = f32::from_bits(0x3F00_0000 + i * 0x3001);
                for cast in [ceil, rceil] {
                    let counts = cast.round_matrix(&mut [value], 1, BlockAxis::Rows, RandomBits::default());
                    assert_eq!(counts.overflow, 0, "{element:?} {value}");
                }
                // Floor is the lowest, ceil the highest, and no scale below rceil's keeps all elements.
                let [floor, even, ceil, rceil] = [floor, even, ceil, rceil].map(|cast| cast.scale_exponent(value));
                assert!(floor <= even && floor <= rceil && even <= ceil && rceil <= ceil, "{element:?} {value}");
                let MxElement::Float(format) = element else { continue };
                let below = 2.0_f64.powi(rceil.expect("finite") - 1) * f64::from(format.max_finite());
                assert!(f64::from(value) > below, "{element:?} {value}");
            }
        }
    }

    #[test]
    fn columns_are_the_rows_of_the_transpose() {
        let (rows, columns) = (75, 137);
        let random = |i: usize| (crate::rng::normal(1, 2, i as u64) * 3.0) as f32;
        let matrix: Vec<f32> = (0..rows * columns).map(random).collect();
        for element in [MxElement::Float(FP6_E3M2), MxElement::Float(FP4_E2M1), MxElement::Int8] {
            let cast = cast(element, ScaleRule::Floor);
            let mut by_column = matrix.clone();
            let counts = cast.round_matrix(&mut by_column, columns, BlockAxis::Columns, RandomBits::default());
            let mut transposed: Vec<f32> = (0..columns * rows).map(|i| matrix[i % rows * columns + i / rows]).collect();
            let same = cast.round_matrix(&mut transposed, rows, BlockAxis::Rows, RandomBits::default());
            assert_eq!(counts, same);
            for (i, value) in transposed.iter().enumerate() {
                assert_eq!(value.to_bits(), by_column[i % rows * columns + i / rows].to_bits());
            }
            // Blocks decode to the same numbers.
            for (row, rounded) in matrix.chunks(columns).zip({
                let mut by_row = matrix.clone();
                cast.round_matrix(&mut by_row, columns, BlockAxis::Rows, RandomBits::default());
                by_row.chunks(columns).map(<[f32]>::to_vec).collect::<Vec<_>>()
            }) {
                let decoded: Vec<f32> =
                    row.chunks(MX_BLOCK).flat_map(|block| cast.decode_block(&cast.encode_block(block))).collect();
                assert_eq!(decoded, rounded);
            }
        }
    }

    #[test]
    fn special_blocks() {
        let cast = cast(MxElement::Float(FP8_E4M3), ScaleRule::Floor);
        assert!(round(&cast, &[1.0, f32::INFINITY]).iter().all(|v| v.is_nan()));
        assert!(round(&cast, &[1.0, f32::NAN]).iter().all(|v| v.is_nan()));
        // NaN is NaN for all; an infinity may keep to itself: what is 2^120 times as small rounds as ever.
        let saturating = cast.with_infinity(BlockInfinity::Saturate);
        assert!(round(&saturating, &[1.0, f32::NAN]).iter().all(|v| v.is_nan()));
        let found = round(&saturating, &[1.0, f32::NEG_INFINITY, 2.0_f32.powi(121)]);
        assert_eq!(found, [0.0, f32::NEG_INFINITY, 2.0_f32.powi(121)]);
        for (rule, code) in ScaleRule::ALL.into_iter().zip([247, 247, 247, 254]) {
            let cast = MxCast::new(MxElement::Float(FP8_E4M3), Rounding::NearestEven, rule);
            let block = cast.with_infinity(BlockInfinity::Saturate).encode_block(&[1.0, f32::INFINITY]);
            assert_eq!((block.scale, block.elements), (code, vec![0, 0x7E]), "{rule:?}");
        }
        assert_eq!(round(&cast, &[0.0; 5]), [0.0; 5]);
        assert_eq!(cast.encode_block(&[0.0; 5]).scale, 0);
        assert_eq!(round(&cast, &[f32::MAX, 1.0]), [1.75 * 2.0_f32.powi(127), 0.0]);
        assert_eq!(cast.round_matrix(&mut [1.0], 0, BlockAxis::Rows, RandomBits::default()), CastCounts::default());
    }
}
