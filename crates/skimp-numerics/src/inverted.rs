//! Inverted two's complement: the weight format of early negative detection.
//!
//! In a word of B bits the most significant bit counts `+2^(B−1)` and every other bit `k` counts `−2^k`, so a sum
//! that takes the bit planes from the most significant one down can only fall after the first.

/// Narrowest and widest words.
const BITS: std::ops::RangeInclusive<u32> = 2..=16;

/// Whether `bits` is a width of this format, 2 to 16.
pub fn is_inverted_width(bits: u32) -> bool {
    BITS.contains(&bits)
}

/// The range of values of a word of `bits` bits: `−(2^(bits−1) − 1) ..= 2^(bits−1)`. `None` unless `bits` is 2 to 16.
///
/// Against two's complement the one value lost is `−2^(bits−1)`, which symmetric quantization never produces.
pub fn inverted_range(bits: u32) -> Option<std::ops::RangeInclusive<i32>> {
    is_inverted_width(bits).then(|| {
        let half = 1_i32 << (bits - 1);
        -(half - 1)..=half
    })
}

/// The code of `weight`: the low `bits` bits hold the word, the rest is zero.
///
/// It is the two's complement code of `−weight`. `None` unless `bits` is 2 to 16 and `weight` is in
/// [`inverted_range`].
///
/// # Source
/// D. Lee, S. Kang, K. Choi, "ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", ICS 2018.
///
/// # Examples
/// ```
/// assert_eq!(skimp_numerics::inverted_code(-6, 4), Some(0b0110));
/// assert_eq!(skimp_numerics::inverted_code(-8, 4), None);
/// ```
pub fn inverted_code(weight: i32, bits: u32) -> Option<u16> {
    inverted_range(bits)?.contains(&weight).then(|| (-weight & low_mask(bits)) as u16)
}

/// The value of `code`: `+2^(bits−1)` for the most significant bit, `−2^k` for every other set bit `k`.
///
/// `None` unless `bits` is 2 to 16 and `code` fits in `bits` bits.
pub fn inverted_value(code: u16, bits: u32) -> Option<i32> {
    if !is_inverted_width(bits) || i32::from(code) & !low_mask(bits) != 0 {
        return None;
    }
    let msb = 1_i32 << (bits - 1);
    Some((i32::from(code) & msb) - (i32::from(code) & (msb - 1)))
}

/// The bit of `weight` in plane `plane`, where plane 1 is the most significant bit and plane `bits` the least.
///
/// `None` unless the weight has a code and `plane` is `1 ..= bits`.
pub fn inverted_plane_bit(weight: i32, bits: u32, plane: u32) -> Option<bool> {
    let code = inverted_code(weight, bits)?;
    (1..=bits).contains(&plane).then(|| (code >> (bits - plane)) & 1 == 1)
}

/// `weight` with only the bits of planes `1 ..= plane` kept: it rounds up to a multiple of `2^(bits − plane)`.
///
/// The partial sum after a plane is therefore a plain dot product with truncated weights. `None` unless the weight
/// has a code and `plane` is `1 ..= bits`.
pub fn truncate_after_plane(weight: i32, bits: u32, plane: u32) -> Option<i32> {
    inverted_code(weight, bits)?;
    (1..=bits).contains(&plane).then(|| {
        let shift = bits - plane;
        -((-weight >> shift) << shift)
    })
}

fn low_mask(bits: u32) -> i32 {
    (1_i32 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format's definition, bit by bit.
    fn value_by_definition(code: u32, bits: u32) -> i32 {
        (0..bits).filter(|k| code >> k & 1 == 1).map(|k| if k == bits - 1 { 1 << k } else { -(1 << k) }).sum()
    }

    fn twos_complement_value(code: u32, bits: u32) -> i32 {
        ((code << (32 - bits)) as i32) >> (32 - bits)
    }

    #[test]
    fn every_code_of_every_width() {
        for bits in 2..=16 {
            for code in 0..1_u32 << bits {
                let value = inverted_value(code as u16, bits).unwrap();
                assert_eq!(value, value_by_definition(code, bits), "{code:b} in {bits} bits");
                assert_eq!(value, -twos_complement_value(code, bits), "{code:b} in {bits} bits");
                assert_eq!(inverted_code(value, bits), Some(code as u16), "{value} in {bits} bits");
                assert_eq!(value > 0, code >> (bits - 1) == 1, "sign rule: {code:b} in {bits} bits");
                let range = inverted_range(bits).unwrap();
                assert!(range.contains(&value), "{value} in {bits} bits");
            }
        }
    }

    #[test]
    fn every_truncation_keeps_the_leading_planes() {
        for bits in 2..=16 {
            for weight in inverted_range(bits).unwrap() {
                let code = u32::from(inverted_code(weight, bits).unwrap());
                for plane in 1..=bits {
                    let shift = bits - plane;
                    let kept = value_by_definition(code >> shift << shift, bits);
                    assert_eq!(truncate_after_plane(weight, bits, plane), Some(kept), "{weight}, {bits}, {plane}");
                    let bit = inverted_plane_bit(weight, bits, plane).unwrap();
                    assert_eq!(bit, code >> shift & 1 == 1, "{weight}, {bits}, {plane}");
                }
                assert_eq!(truncate_after_plane(weight, bits, bits), Some(weight));
            }
        }
    }

    #[test]
    fn table_of_four_bit_words() {
        let table = [
            (0b1111, 1),
            (0b1110, 2),
            (0b1101, 3),
            (0b1100, 4),
            (0b1000, 8),
            (0b0000, 0),
            (0b0001, -1),
            (0b0010, -2),
            (0b0110, -6),
            (0b0111, -7),
        ];
        for (code, value) in table {
            assert_eq!(inverted_value(code, 4), Some(value), "{code:04b}");
            assert_eq!(inverted_code(value, 4), Some(code), "{value}");
        }
    }

    #[test]
    fn out_of_range_is_none() {
        for bits in 2..=16 {
            let half = 1 << (bits - 1);
            for weight in [-half, half + 1, i32::MIN, i32::MAX] {
                assert_eq!(inverted_code(weight, bits), None, "{weight} in {bits} bits");
                assert_eq!(truncate_after_plane(weight, bits, 1), None, "{weight} in {bits} bits");
            }
            assert_eq!(truncate_after_plane(1, bits, 0), None);
            assert_eq!(truncate_after_plane(1, bits, bits + 1), None);
            assert_eq!(inverted_plane_bit(1, bits, 0), None);
            if bits < 16 {
                assert_eq!(inverted_value(1 << bits, bits), None);
            }
        }
        for bits in [0, 1, 17, 32, 33] {
            assert_eq!(inverted_code(0, bits), None);
            assert_eq!(inverted_value(0, bits), None);
            assert_eq!(inverted_range(bits), None);
        }
    }
}
