//! Square pieces of a matrix transposed in registers.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unused_variables, reason = "vector kernels exist for x86-64")
)]
#![allow(unsafe_code, reason = "vector shuffles between pointers whose bounds are checked once per row")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use super::Isa;

/// Rows and columns of a piece.
pub(crate) const SIDE: usize = 8;

/// Transposes the matrix of `rows` rows, `from_step` elements apart, and 8 columns at the beginning of `from` into one of 8
/// rows, `to_step` elements apart, and `rows` columns.
pub(crate) fn to_rows(isa: Isa, from: &[f32], from_step: usize, to: &mut [f32], to_step: usize, rows: usize) {
    assert!(rows == 0 || (rows - 1) * from_step + SIDE <= from.len(), "all rows are there");
    assert!(rows == 0 || (SIDE - 1) * to_step + rows <= to.len(), "there is room for all columns");
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        while done + SIDE <= rows {
            // SAFETY: `detect` found AVX2, or AVX-512 F, which no processor has without it; the bounds are those asserted.
            unsafe { piece(from.as_ptr().add(done * from_step), from_step, to.as_mut_ptr().add(done), to_step) };
            done += SIDE;
        }
    }
    for row in done..rows {
        for column in 0..SIDE {
            to[column * to_step + row] = from[row * from_step + column];
        }
    }
}

/// Transposes the matrix of 8 rows, `from_step` elements apart, and `columns` columns at the beginning of `from` into one
/// of `columns` rows, `to_step` elements apart, and 8 columns.
pub(crate) fn to_columns(isa: Isa, from: &[f32], from_step: usize, to: &mut [f32], to_step: usize, columns: usize) {
    assert!(columns == 0 || (SIDE - 1) * from_step + columns <= from.len(), "all columns are there");
    assert!(columns == 0 || (columns - 1) * to_step + SIDE <= to.len(), "there is room for all rows");
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        while done + SIDE <= columns {
            // SAFETY: `detect` found AVX2, or AVX-512 F, which no processor has without it; the bounds are those asserted.
            unsafe { piece(from.as_ptr().add(done), from_step, to.as_mut_ptr().add(done * to_step), to_step) };
            done += SIDE;
        }
    }
    for column in done..columns {
        for row in 0..SIDE {
            to[column * to_step + row] = from[row * from_step + column];
        }
    }
}

/// Transposes 8 rows of 8 elements.
///
/// # Safety
/// Needs AVX2; 8 rows of 8 elements are readable at `from` and writable at `to`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn piece(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
        _mm256_unpacklo_ps,
    };
    // SAFETY: the caller's contract.
    unsafe {
        let row = |i: usize| _mm256_loadu_ps(from.add(i * from_step));
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        let (r4, r5, r6, r7) = (row(4), row(5), row(6), row(7));
        // Pairs of rows, then quadruples, in each half of a vector.
        let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
        let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
        let low = [
            _mm256_shuffle_ps::<0x44>(a0, a2),
            _mm256_shuffle_ps::<0xEE>(a0, a2),
            _mm256_shuffle_ps::<0x44>(a1, a3),
            _mm256_shuffle_ps::<0xEE>(a1, a3),
        ];
        let high = [
            _mm256_shuffle_ps::<0x44>(a4, a6),
            _mm256_shuffle_ps::<0xEE>(a4, a6),
            _mm256_shuffle_ps::<0x44>(a5, a7),
            _mm256_shuffle_ps::<0xEE>(a5, a7),
        ];
        for i in 0..4 {
            _mm256_storeu_ps(to.add(i * to_step), _mm256_permute2f128_ps::<0x20>(low[i], high[i]));
            _mm256_storeu_ps(to.add((i + 4) * to_step), _mm256_permute2f128_ps::<0x31>(low[i], high[i]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    #[test]
    fn rows_become_columns_and_back() {
        for isa in Isa::available() {
            for rows in [0, 1, 7, 8, 9, 16, 31] {
                let (from_step, to_step) = (16, rows + 3);
                let from = noise(rows.max(1) * from_step, 1);
                let mut to = vec![f32::NAN; SIDE * to_step];
                to_rows(isa, &from, from_step, &mut to, to_step, rows);
                let mut back = vec![f32::NAN; from.len()];
                to_columns(isa, &to, to_step, &mut back, from_step, rows);
                for row in 0..rows {
                    for column in 0..from_step {
                        let (at, expected) = (row * from_step + column, from[row * from_step + column]);
                        if column < SIDE {
                            assert_eq!(to[column * to_step + row].to_bits(), expected.to_bits(), "{isa:?} {rows}");
                            assert_eq!(back[at].to_bits(), expected.to_bits(), "{isa:?} {rows}");
                        } else {
                            assert!(back[at].is_nan(), "what lies beside stays");
                        }
                    }
                }
            }
        }
    }
}
