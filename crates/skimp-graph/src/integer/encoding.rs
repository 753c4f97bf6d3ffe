//! What codes stand for, and how they are stored.

use crate::{DType, Tensor};

/// Integer codes of a whole batch, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTensor {
    /// Extents, batch first.
    pub shape: Vec<usize>,
    /// Codes.
    pub data: Vec<i32>,
}

/// How codes stand for real numbers: `real = (code − zero_point) · scale`.
///
/// Codes are `0 ..= 2^bits − 1`, or `−2^(bits−1) ..= 2^(bits−1) − 1` where `signed`; `narrow` codes leave out the least one,
/// so that the negative of every code is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoding {
    /// Width, 2 to 16.
    pub bits: u32,
    /// Whether codes may be negative.
    pub signed: bool,
    /// Whether −2^(bits−1) is never used; of no meaning for unsigned codes.
    pub narrow: bool,
    /// Real value of one step; positive and finite.
    pub scale: f64,
    /// The code of real 0, one of the codes.
    pub zero_point: i32,
}

impl Encoding {
    /// Codes with zero point 0, without the least one where `signed`.
    pub fn symmetric(bits: u32, signed: bool, scale: f64) -> Self {
        Self { bits, signed, narrow: signed, scale, zero_point: 0 }
    }

    /// Least code.
    pub fn min_code(&self) -> i32 {
        if self.signed { i32::from(self.narrow) - (1 << (self.bits - 1)) } else { 0 }
    }

    /// Greatest code.
    pub fn max_code(&self) -> i32 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The code within the limits that is nearest to `code`.
    pub fn saturate(&self, code: i64) -> i32 {
        code.clamp(i64::from(self.min_code()), i64::from(self.max_code())) as i32
    }

    /// The code of a real number.
    ///
    /// # Rounding
    /// As ONNX's `QuantizeLinear`: divided in f32, rounded half to even, saturated. NaN gives the zero point.
    #[inline]
    pub fn quantize(&self, real: f32) -> i32 {
        self.quantizer()(real)
    }

    /// [`quantize`](Self::quantize) of many numbers: what does not depend on them is worked out once.
    #[inline]
    pub fn quantizer(&self) -> impl Fn(f32) -> i32 + use<> {
        let (scale, zero_point) = (self.scale as f32, self.zero_point);
        let (min, max) = (self.min_code(), self.max_code());
        move |real| ((real / scale).round_ties_even() as i32).saturating_add(zero_point).clamp(min, max)
    }

    /// As [`quantize`](Self::quantize), divided in f64. NaN gives the zero point.
    pub fn quantize_exactly(&self, real: f64) -> i32 {
        let rounded = (real / self.scale).round_ties_even();
        let (min, max) = (f64::from(self.min_code()), f64::from(self.max_code()));
        if rounded.is_nan() {
            return self.zero_point;
        }
        (rounded + f64::from(self.zero_point)).clamp(min, max) as i32
    }

    /// The real number behind a code: `((code − zero_point) as f64 · scale) as f32`, which for a scale that is an f32 is the
    /// f32 product.
    pub fn dequantize(&self, code: i32) -> f32 {
        (f64::from(code - self.zero_point) * self.scale) as f32
    }

    /// The greatest distance of a code from the zero point.
    pub fn reach(&self) -> i32 {
        (self.max_code() - self.zero_point).max(self.zero_point - self.min_code())
    }

    /// The narrowest type that files store such codes in.
    pub fn code_type(&self) -> CodeType {
        match (self.signed, self.bits <= 8) {
            (false, true) => CodeType::U8,
            (true, true) => CodeType::I8,
            (false, false) => CodeType::U16,
            (true, false) => CodeType::I16,
        }
    }
}

/// How files store codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CodeType {
    /// 0 to 255.
    #[default]
    U8,
    /// −128 to 127.
    I8,
    /// 0 to 65,535.
    U16,
    /// −32,768 to 32,767.
    I16,
}

impl CodeType {
    /// All codes of the type.
    pub fn encoding(self, scale: f32, zero_point: i32) -> Encoding {
        let (bits, signed) = match self {
            Self::U8 => (8, false),
            Self::I8 => (8, true),
            Self::U16 => (16, false),
            Self::I16 => (16, true),
        };
        Encoding { bits, signed, narrow: false, scale: f64::from(scale), zero_point }
    }

    /// The least code.
    pub fn min(self) -> i32 {
        self.encoding(1.0, 0).min_code()
    }

    /// The greatest code.
    pub fn max(self) -> i32 {
        self.encoding(1.0, 0).max_code()
    }

    /// The element type of its tensors.
    pub fn dtype(self) -> DType {
        match self {
            Self::U8 => DType::U8,
            Self::I8 => DType::I8,
            Self::U16 => DType::U16,
            Self::I16 => DType::I16,
        }
    }

    /// The code type of an element type, if it is one.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::U8 => Some(Self::U8),
            DType::I8 => Some(Self::I8),
            DType::U16 => Some(Self::U16),
            DType::I16 => Some(Self::I16),
            _ => None,
        }
    }

    /// A tensor of codes; `None` if they do not fill the shape. Codes outside the type saturate.
    pub fn tensor(self, shape: Vec<usize>, codes: impl Iterator<Item = i32>) -> Option<Tensor> {
        let (min, max) = (self.min(), self.max());
        let saturated = codes.map(|code| code.clamp(min, max));
        match self {
            Self::U8 => Tensor::new(shape, saturated.map(|code| code as u8).collect::<Vec<u8>>().into()),
            Self::I8 => Tensor::new(shape, saturated.map(|code| code as i8).collect::<Vec<i8>>().into()),
            Self::U16 => Tensor::new(shape, saturated.map(|code| code as u16).collect::<Vec<u16>>().into()),
            Self::I16 => Tensor::new(shape, saturated.map(|code| code as i16).collect::<Vec<i16>>().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CodeType, Encoding};

    #[test]
    fn codes_have_their_limits() {
        let cases = [
            (Encoding::symmetric(8, true, 1.0), -127, 127),
            (Encoding::symmetric(2, true, 1.0), -1, 1),
            (Encoding::symmetric(16, false, 1.0), 0, 65_535),
            (CodeType::I8.encoding(1.0, 0), -128, 127),
            (CodeType::U16.encoding(1.0, 0), 0, 65_535),
            (CodeType::I16.encoding(1.0, 0), -32_768, 32_767),
        ];
        for (encoding, min, max) in cases {
            assert_eq!((encoding.min_code(), encoding.max_code()), (min, max), "{encoding:?}");
            assert_eq!([-1 << 40, 1 << 40].map(|code| encoding.saturate(code)), [min, max]);
        }
    }

    /// 0.35 / 0.1, both f32, is 3.5 in f32 and 3.49999989 in f64 (NumPy).
    #[test]
    fn rounding_is_that_of_the_division() {
        let encoding = CodeType::U8.encoding(0.1, 3);
        assert_eq!([0.35, -1.0, f32::NAN, f32::INFINITY].map(|x| encoding.quantize(x)), [7, 0, 3, 255]);
        assert_eq!(encoding.quantize_exactly(f64::from(0.35_f32)), 6);
        assert_eq!(encoding.quantize_exactly(f64::NEG_INFINITY), 0);
        assert_eq!((encoding.quantize_exactly(f64::NAN), encoding.reach()), (3, 252));
        for code in 0..=255 {
            let real = (code - 3) as f32 * 0.1_f32;
            assert_eq!(encoding.dequantize(code).to_bits(), real.to_bits());
            assert_eq!(encoding.quantize(real), code);
        }
    }

    #[test]
    fn tensors_saturate() {
        let tensor = CodeType::I8.tensor(vec![3], [-200, 5, 200].into_iter()).unwrap();
        assert_eq!(tensor.elements::<i8>(), Some(&[-128_i8, 5, 127][..]));
        assert_eq!(CodeType::U16.tensor(vec![2], [1].into_iter()), None);
    }
}
