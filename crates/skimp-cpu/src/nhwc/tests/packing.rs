//! Operands in the order of the tiles, on every instruction set.

#![allow(unsafe_code, reason = "calls what is unsafe for the sake of vector instructions")]

use super::*;
use crate::nhwc::arith::{self, Arith, LANES, Task};
use crate::nhwc::pack::{pair_lanes, pair_neighbors, transpose_words};

/// Ordinary numbers, ties, and everything special.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let bits = [
        0x0000_0000_u32, // zeros
        0x8000_0000,
        0x0000_0001, // subnormals, the last of which round up to a normal number
        0x8000_8000,
        0x007F_7FFF,
        0x007F_8000,
        0x007F_FFFF,
        0x3F80_8000, // ties
        0x3F81_8000,
        0x3F80_8001,
        0x7F7F_8000, // to infinity
        0x7F80_0000,
        0xFF80_0000,
        0x7F80_0001, // NaNs
        0xFFC0_1234,
        0x7FFF_FFFF,
    ];
    let special = |i: usize| f32::from_bits(bits[(i / 3 + seed as usize) % bits.len()]);
    noise(len, seed).into_iter().enumerate().map(|(i, x)| if i % 3 == 0 { special(i) } else { x }).collect()
}

/// Nearest even, NaN quiet: the definition, without a branch on how it is computed.
fn bf16_bits(x: f32) -> u32 {
    let exact = x.to_bits();
    if x.is_nan() {
        return exact >> 16 | 0x40;
    }
    let (low, below) = (exact & 0xFFFF, exact >> 16);
    below + u32::from(low > 0x8000 || (low == 0x8000 && below % 2 == 1))
}

fn word(even: f32, odd: f32) -> u32 {
    bf16_bits(even) | bf16_bits(odd) << 16
}

enum Packing {
    Lanes,
    Neighbors,
    Transpose(usize),
}

struct Pack<'a> {
    packing: &'a Packing,
    a: &'a [f32],
    b: Option<&'a [f32]>,
    to: &'a mut [f32],
}

impl Task for Pack<'_> {
    unsafe fn run<A: Arith>(self, _: A) {
        // SAFETY: the features are the caller's; slices have the lengths that the functions ask for.
        unsafe {
            match self.packing {
                Packing::Lanes => pair_lanes::<A>(self.a, self.b, self.to),
                Packing::Neighbors => pair_neighbors::<A>(self.a, self.to),
                Packing::Transpose(len) => {
                    let rows = self.to.len() / LANES;
                    transpose_words::<A>(self.a.chunks(*len), rows, self.to, LANES);
                }
            }
        }
    }
}

fn packed(isa: Isa, arithmetic: Arithmetic, packing: &Packing, [a, b]: [&[f32]; 2], len: usize) -> Vec<u32> {
    let mut to = vec![f32::NAN; len];
    let b = (!b.is_empty()).then_some(b);
    arith::run(isa, arithmetic, Pack { packing, a, b, to: &mut to });
    to.into_iter().map(f32::to_bits).collect()
}

#[test]
fn pairs_are_rounded_alike_everywhere() {
    for isa in Isa::available() {
        for len in [1, 2, 7, 16, 17, 31, 32, 33, 64, 100] {
            let (a, b) = (numbers(len, 1), numbers(len, 2));
            let found = packed(isa, Arithmetic::Bf16, &Packing::Lanes, [&a, &b], len);
            let expected: Vec<u32> = a.iter().zip(&b).map(|(&a, &b)| word(a, b)).collect();
            assert_eq!(found, expected, "{isa:?}, {len} lanes");
            let found = packed(isa, Arithmetic::Bf16, &Packing::Lanes, [&a, &[]], len);
            let expected: Vec<u32> = a.iter().map(|&a| word(a, 0.0)).collect();
            assert_eq!(found, expected, "{isa:?}, {len} lanes of one image");
            let found = packed(isa, Arithmetic::Bf16, &Packing::Neighbors, [&a, &[]], len.div_ceil(2));
            let expected: Vec<u32> = a.chunks(2).map(|a| word(a[0], a.get(1).copied().unwrap_or(0.0))).collect();
            assert_eq!(found, expected, "{isa:?}, {len} neighbors");
        }
    }
}

#[test]
fn words_change_rows_and_columns() {
    for isa in Isa::available() {
        for (columns, rows) in [(16, 16), (16, 3), (5, 16), (1, 1), (9, 7)] {
            let expect = |word: &dyn Fn(usize, usize) -> u32| -> Vec<u32> {
                let at = |i: usize| if i % LANES < columns { word(i % LANES, i / LANES) } else { 0 };
                (0..rows * LANES).map(at).collect()
            };
            let x = numbers(columns * rows, 3);
            let found = packed(isa, Arithmetic::F32, &Packing::Transpose(rows), [&x, &[]], rows * LANES);
            assert_eq!(found, expect(&|c, r| x[c * rows + r].to_bits()), "{isa:?} {columns} x {rows}");
            // An odd number of elements: the last pair has a zero.
            let len = 2 * rows - 1;
            let x = numbers(columns * len, 4);
            let found = packed(isa, Arithmetic::Bf16, &Packing::Transpose(len), [&x, &[]], rows * LANES);
            let pair = |c: usize, r: usize| {
                word(x[c * len + 2 * r], if 2 * r + 1 < len { x[c * len + 2 * r + 1] } else { 0.0 })
            };
            assert_eq!(found, expect(&pair), "{isa:?} pairs {columns} x {rows}");
        }
    }
}

/// Rows long enough for tall tiles, whose pixels are found from one pointer, and for what is left of a row.
#[test]
fn long_rows_match_the_definition() {
    for (extent, channels, kernel, stride) in
        [([2, 37], [16, 16], 3, 1), ([3, 16], [32, 8], 1, 1), ([2, 20], [64, 40], 1, 1), ([1, 70], [16, 9], 3, 2)]
    {
        let shape = ConvShape::square(3, extent, channels, kernel, stride, kernel / 2);
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            check(&shape, arithmetic, 4).expect("the same bits");
        }
    }
}
