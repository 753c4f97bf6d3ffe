//! Elements of 8 bits and fewer that no [`DType`](crate::DType) holds.

use skimp_numerics::{FloatFormat, formats};

use super::proto::elem;
use crate::Data;

/// How elements are coded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coded {
    /// Floats, which become f32.
    Float(FloatFormat),
    /// Integers of so many bits, which become those of 8 bits.
    Integer {
        /// 4 or 2.
        bits: u32,
        /// Whether they may be negative.
        signed: bool,
    },
}

impl Coded {
    /// The code of an ONNX element type, if it is one of these.
    pub(crate) fn of(data_type: i32) -> Option<Self> {
        Some(match data_type {
            elem::FLOAT8E4M3FN => Self::Float(formats::FP8_E4M3),
            elem::FLOAT8E5M2 => Self::Float(formats::FP8_E5M2),
            elem::FLOAT8E4M3FNUZ => Self::Float(formats::FP8_E4M3_FNUZ),
            elem::FLOAT8E5M2FNUZ => Self::Float(formats::FP8_E5M2_FNUZ),
            elem::FLOAT4E2M1 => Self::Float(formats::FP4_E2M1),
            elem::INT4 => Self::Integer { bits: 4, signed: true },
            elem::UINT4 => Self::Integer { bits: 4, signed: false },
            elem::INT2 => Self::Integer { bits: 2, signed: true },
            elem::UINT2 => Self::Integer { bits: 2, signed: false },
            _ => return None,
        })
    }

    fn bits(self) -> u32 {
        match self {
            Self::Float(format) => format.bits(),
            Self::Integer { bits, .. } => bits,
        }
    }

    /// Elements in a byte, the first in its low bits.
    pub(crate) fn per_byte(self) -> usize {
        (8 / self.bits()) as usize
    }

    /// The first `n` elements.
    pub(crate) fn unpacked(self, bytes: &[u8], n: usize) -> Data {
        let (bits, per_byte) = (self.bits(), self.per_byte() as u32);
        let mask = ((1_u16 << bits) - 1) as u8;
        let codes = bytes.iter().flat_map(|&byte| (0..per_byte).map(move |idx| byte >> (idx * bits) & mask)).take(n);
        match self {
            Self::Float(format) => codes.map(|code| format.decode(u32::from(code))).collect::<Vec<f32>>().into(),
            Self::Integer { signed: false, .. } => codes.collect::<Vec<u8>>().into(),
            Self::Integer { signed: true, .. } => {
                // The sign bit goes to the top and comes back.
                let signed = |code: u8| (code << (8 - bits)) as i8 >> (8 - bits);
                codes.map(signed).collect::<Vec<i8>>().into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_from_the_low_bits_on() {
        let int4 = Coded::of(elem::INT4).unwrap();
        assert_eq!(int4.unpacked(&[0x81, 0x07], 3), Data::from(vec![1_i8, -8, 7]));
        let uint4 = Coded::of(elem::UINT4).unwrap();
        assert_eq!(uint4.unpacked(&[0x81], 2), Data::from(vec![1_u8, 8]));
        let int2 = Coded::of(elem::INT2).unwrap();
        assert_eq!(int2.unpacked(&[0b11_10_01_00], 4), Data::from(vec![0_i8, 1, -2, -1]));
        let float4 = Coded::of(elem::FLOAT4E2M1).unwrap();
        assert_eq!(float4.unpacked(&[0xf1], 2), Data::from(vec![0.5_f32, -6.0]));
        let float8 = Coded::of(elem::FLOAT8E4M3FN).unwrap();
        assert_eq!(float8.unpacked(&[0x38, 0xfe], 2), Data::from(vec![1.0_f32, -448.0]));
        assert!(Coded::of(elem::FLOAT).is_none());
    }
}
