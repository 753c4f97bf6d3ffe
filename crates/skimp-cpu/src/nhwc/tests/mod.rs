//! The kernels against naive definitions, bit by bit.

mod layers;
mod packing;

use proptest::prelude::*;

use super::*;
use crate::kernels::{Isa, noise};

fn terms(arithmetic: Arithmetic) -> Naive {
    Naive { arithmetic, total: 0.0, sum: 0.0, n: 0, held: None }
}

/// One sum, formed term by term as the definitions say.
struct Naive {
    arithmetic: Arithmetic,
    total: f32,
    sum: f32,
    n: usize,
    held: Option<(f32, f32)>,
}

fn to_bf16(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(0x7FFF + (x.to_bits() >> 16 & 1)) & 0xFFFF_0000)
}

fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

/// Rounding by the definition of the format, through f64.
fn round_to(format: &ChunkedSum, x: f32) -> f32 {
    round_f64_to(format, f64::from(x))
}

fn round_f64_to(format: &ChunkedSum, x: f64) -> f32 {
    let largest = (2.0 - 2.0_f64.powi(-(format.mantissa_bits as i32))) * 2.0_f64.powi(format.max_exponent);
    if x == 0.0 || x.is_nan() {
        return x as f32 + 0.0;
    }
    let exponent = (x.abs().log2().floor() as i32).clamp(format.min_exponent, 1000);
    let exponent =
        if 2.0_f64.powi(exponent) > x.abs() && exponent > format.min_exponent { exponent - 1 } else { exponent };
    let quantum = 2.0_f64.powi(exponent - format.mantissa_bits as i32);
    let rounded = (x / quantum).round_ties_even() * quantum;
    match format.overflow {
        _ if rounded.abs() <= largest => rounded as f32 + 0.0,
        Overflow::Saturate => (largest as f32).copysign(x as f32),
        Overflow::Infinity => f32::INFINITY.copysign(x as f32),
    }
}

impl Naive {
    fn start(mut self, bias: f32) -> Self {
        match self.arithmetic {
            Arithmetic::Chunked(format) => self.total = round_to(&format, bias),
            _ => self.sum = bias,
        }
        self
    }

    fn add(&mut self, a: f32, b: f32) {
        match self.arithmetic {
            Arithmetic::F32 => self.sum = a.mul_add(b, self.sum),
            Arithmetic::Bf16 => match self.held.take() {
                None => self.held = Some((a, b)),
                Some((a0, b0)) => {
                    let bf = |x: f32| flush(to_bf16(x));
                    self.sum = flush(bf(a).mul_add(bf(b), flush(self.sum)));
                    self.sum = flush(bf(a0).mul_add(bf(b0), self.sum));
                }
            },
            Arithmetic::Chunked(format) => {
                // The product is exact in f64, and so is the sum for operands of the exponents of these tests.
                self.sum = if format.wide_products {
                    round_f64_to(&format, f64::from(a) * f64::from(b) + f64::from(self.sum))
                } else {
                    round_to(&format, a.mul_add(b, self.sum))
                };
                self.n += 1;
                if self.n == format.chunk {
                    self.fold(&format);
                }
            }
        }
    }

    fn fold(&mut self, format: &ChunkedSum) {
        self.total = round_to(format, self.total + self.sum);
        self.sum = 0.0;
        self.n = 0;
    }

    /// Completes a pair with zeros.
    fn end_tap(&mut self) {
        if self.held.is_some() {
            self.add(0.0, 0.0);
        }
    }

    fn finish(mut self) -> f32 {
        self.end_tap();
        if let Arithmetic::Chunked(format) = self.arithmetic {
            if self.n > 0 {
                self.fold(&format);
            }
            return self.total;
        }
        self.sum
    }
}

/// The input row or column that a tap of an output reads; none in the padding.
fn position(shape: &ConvShape, axis: usize, output: usize, tap: usize) -> Option<usize> {
    (output * shape.strides[axis] + tap * shape.dilations[axis])
        .checked_sub(shape.pads_begin[axis])
        .filter(|&at| at < [shape.h, shape.w][axis])
}

fn naive_forward(s: &ConvShape, x: &[f32], w: &[f32], bias: Option<&[f32]>, arithmetic: Arithmetic) -> Vec<f32> {
    let (p, q, cg, kg) = (s.p(), s.q(), s.group_c(), s.group_k());
    let mut y = Vec::new();
    for i in 0..s.y_len() {
        let (k, column, row, image) = (i % s.k, i / s.k % q, i / s.k / q % p, i / s.k / q / p);
        let mut sum = terms(arithmetic).start(bias.map_or(0.0, |bias| bias[k]));
        for r in 0..s.kh {
            for t in 0..s.kw {
                let at = position(s, 0, row, r).zip(position(s, 1, column, t));
                for c in 0..cg {
                    let x = at.map_or(0.0, |(h, w)| x[((image * s.h + h) * s.w + w) * s.c + k / kg * cg + c]);
                    sum.add(x, w[((r * s.kw + t) * cg + c) * s.k + k]);
                }
                sum.end_tap();
            }
        }
        y.push(sum.finish());
    }
    y
}

/// Padding adds terms that are zero; only chunk counting tells, so every tap of a phase counts.
fn naive_input_grad(s: &ConvShape, dy: &[f32], w: &[f32], arithmetic: Arithmetic) -> Vec<f32> {
    let (p, q, cg, kg) = (s.p(), s.q(), s.group_c(), s.group_k());
    let link = |axis: usize, at: usize, tap: usize| {
        let at = at as isize + s.pads_begin[axis] as isize - (tap * s.dilations[axis]) as isize;
        let stride = s.strides[axis] as isize;
        (at.rem_euclid(stride) == 0).then_some(at.div_euclid(stride))
    };
    let mut dx = Vec::new();
    for i in 0..s.x_len() {
        let (c, column, row, image) = (i % s.c, i / s.c % s.w, i / s.c / s.w % s.h, i / s.c / s.w / s.h);
        let group = c / cg;
        let mut sum = terms(arithmetic);
        for r in (0..s.kh).rev() {
            for t in (0..s.kw).rev() {
                let Some((at_row, at_column)) = link(0, row, r).zip(link(1, column, t)) else { continue };
                let inside = (0..p as isize).contains(&at_row) && (0..q as isize).contains(&at_column);
                for k in 0..kg {
                    let at = ((image * p + at_row.max(0) as usize) * q + at_column.max(0) as usize) * s.k;
                    let dy = if inside { dy[at + group * kg + k] } else { 0.0 };
                    sum.add(dy, w[((r * s.kw + t) * cg + c % cg) * s.k + group * kg + k]);
                }
                sum.end_tap();
            }
        }
        dx.push(sum.finish() + 0.0);
    }
    dx
}

fn naive_weight_grad(s: &ConvShape, x: &[f32], dy: &[f32], arithmetic: Arithmetic) -> Vec<f32> {
    let (p, q, cg, kg) = (s.p(), s.q(), s.group_c(), s.group_k());
    let sliced = s.weight_len() <= 40_000 && !matches!(arithmetic, Arithmetic::Chunked(_));
    let slice = if sliced { s.n.div_ceil(8).next_multiple_of(2) } else { s.n }.max(1);
    let mut dw = Vec::new();
    for i in 0..s.weight_len() {
        let (k, c, t, r) = (i % s.k, i / s.k % cg, i / s.k / cg % s.kw, i / s.k / cg / s.kw);
        let term = |image: usize, row: usize, column: usize| {
            let at = position(s, 0, row, r).zip(position(s, 1, column, t));
            let x = at.map_or(0.0, |(h, w)| x[((image * s.h + h) * s.w + w) * s.c + k / kg * cg + c]);
            (x, dy[((image * p + row) * q + column) * s.k + k])
        };
        let mut total: Option<f32> = None;
        for first in (0..s.n).step_by(slice) {
            let last = (first + slice).min(s.n);
            let mut sum = terms(arithmetic);
            let step = if arithmetic == Arithmetic::Bf16 { 2 } else { 1 };
            for image in (first..last).step_by(step) {
                for row in 0..p {
                    for column in 0..q {
                        for image in image..(image + step).min(last) {
                            let (x, dy) = term(image, row, column);
                            sum.add(x, dy);
                        }
                        sum.end_tap();
                    }
                }
            }
            let sum = sum.finish();
            total = Some(total.map_or(sum, |total| total + sum));
        }
        dw.push(total.unwrap_or(0.0));
    }
    dw
}

fn differences(name: &str, found: &[f32], expected: &[f32]) -> Result<(), TestCaseError> {
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        prop_assert!(same, "{name}: element {i} of {} is {a:e}, expected {b:e}", found.len());
    }
    prop_assert_eq!(found.len(), expected.len());
    Ok(())
}

/// Values of a few bits, some zero, so that products are exact in a narrow format.
fn coarse(len: usize, seed: u64) -> Vec<f32> {
    noise(len, seed).iter().map(|x| (x * 8.0).trunc() * if *x > 0.5 { 0.0625 } else { 2.0 }).collect()
}

fn check(shape: &ConvShape, arithmetic: Arithmetic, seed: u64) -> Result<(), TestCaseError> {
    shape.check().expect("shapes are drawn valid");
    let data = |len, stream| {
        match arithmetic {
            // Ten significant bits.
            Arithmetic::Chunked(format) if format.wide_products => {
                noise(len, seed + stream).into_iter().map(|x| round_to(&format, x)).collect()
            }
            Arithmetic::Chunked(_) => coarse(len, seed + stream),
            Arithmetic::F32 | Arithmetic::Bf16 => noise(len, seed + stream),
        }
    };
    let (x, w) = (data(shape.x_len(), 1), data(shape.weight_len(), 2));
    let (dy, bias) = (data(shape.y_len(), 3), data(shape.k, 4));
    let bias = seed.is_multiple_of(2).then_some(&bias[..]);
    let y = naive_forward(shape, &x, &w, bias, arithmetic);
    let dx = naive_input_grad(shape, &dy, &w, arithmetic);
    let dw = naive_weight_grad(shape, &x, &dy, arithmetic);
    for isa in Isa::available() {
        let mut workspace = Workspace::with_isa(isa);
        // What earlier calls left must not matter.
        workspace.packed.grow(1000);
        workspace.packed.fill(f32::NAN);
        let mut out = vec![f32::NAN; y.len()];
        conv_forward(shape, &x, &w, bias, &mut out, arithmetic, &mut workspace);
        differences(&format!("{isa:?} forward"), &out, &y)?;
        let mut out = vec![f32::NAN; dx.len()];
        conv_input_grad(shape, &dy, &w, &mut out, arithmetic, &mut workspace);
        differences(&format!("{isa:?} input gradient"), &out, &dx)?;
        let mut out = vec![f32::NAN; dw.len()];
        conv_weight_grad(shape, &x, &dy, &mut out, arithmetic, &mut workspace);
        differences(&format!("{isa:?} weight gradient"), &out, &dw)?;
    }
    Ok(())
}

prop_compose! {
    fn shapes()(
        (n, h, w) in (1_usize..20, 1_usize..10, 1_usize..10),
        (kh, kw) in (1_usize..5, 1_usize..5),
        strides in prop::array::uniform2(1_usize..4),
        dilations in prop::array::uniform2(1_usize..3),
        pads_begin in prop::array::uniform2(0_usize..4),
        pads_end in prop::array::uniform2(0_usize..4),
        (groups, cg, kg) in prop_oneof![
            4 => (Just(1_usize), 1_usize..40, 1_usize..70),
            2 => (2_usize..4, 1_usize..9, 1_usize..20),
            2 => (2_usize..36, Just(1), Just(1)),
        ],
    ) -> ConvShape {
        // No larger than the naive definition can afford.
        let n = (2000 / (h * w * cg * groups)).clamp(1, n);
        let (c, k) = (cg * groups, kg * groups);
        let mut shape = ConvShape { n, h, w, c, k, kh, kw, strides, dilations, pads_begin, pads_end, groups };
        while let Err(ShapeError::Window { .. }) = shape.check() {
            shape.pads_end = shape.pads_end.map(|pad| pad + 1);
        }
        shape
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn f32_sums_match_the_definition(shape in shapes(), seed in 0_u64..1000) {
        check(&shape, Arithmetic::F32, seed)?;
    }

    #[test]
    fn skipping_zero_errors_changes_no_bit(shape in shapes(), seed in 0_u64..1000, density in 0.0_f32..1.0) {
        let shape = if shape.groups == 1 { shape } else { ConvShape { groups: 1, ..shape } };
        let keeps = noise(shape.y_len(), seed + 7);
        let errors = noise(shape.y_len(), seed + 3).into_iter().zip(keeps);
        let dy: Vec<f32> = errors.map(|(dy, keep)| if (keep + 1.0) / 2.0 < density { dy } else { dy * 0.0 }).collect();
        let w = noise(shape.weight_len(), seed + 2);
        let dx = naive_input_grad(&shape, &dy, &w, Arithmetic::F32);
        for isa in Isa::available() {
            for zeros in [Zeros::Auto, Zeros::Multiply, Zeros::Skip] {
                let mut out = vec![f32::NAN; dx.len()];
                let how = (Arithmetic::F32, zeros);
                conv_input_grad_with(&shape, &dy, &w, &mut out, how, &mut Workspace::with_isa(isa));
                differences(&format!("{isa:?} {zeros:?}"), &out, &dx)?;
            }
        }
    }

    #[test]
    fn bf16_sums_match_the_definition(shape in shapes(), seed in 0_u64..1000) {
        check(&shape, Arithmetic::Bf16, seed)?;
    }

    #[test]
    fn wide_products_are_rounded_once(shape in shapes(), seed in 0_u64..1000, chunk in 1_usize..80) {
        let sum = ChunkedSum { chunk, wide_products: true, ..ChunkedSum::FP16_169 };
        check(&shape, Arithmetic::Chunked(sum), seed)?;
    }

    #[test]
    fn chunked_sums_match_the_definition(shape in shapes(), seed in 0_u64..1000, chunk in 1_usize..80) {
        let overflow = if seed % 3 == 0 { Overflow::Infinity } else { Overflow::Saturate };
        let sum = ChunkedSum { chunk, overflow, ..ChunkedSum::FP16_169 };
        check(&shape, Arithmetic::Chunked(sum), seed)?;
        // So narrow that most sums overflow.
        let sum = ChunkedSum { mantissa_bits: 3, min_exponent: -2, max_exponent: 2, ..sum };
        check(&shape, Arithmetic::Chunked(sum), seed)?;
    }
}

/// Weights that are packed where they are used: dense layers, a convolution in groups, lanes that fill no vector.
#[test]
fn streamed_weights_change_no_bit() {
    let grouped = ConvShape { groups: 2, ..ConvShape::square(1, [3, 2], [130, 140], 3, 1, 1) };
    for shape in [ConvShape::dense(5, 301, 530), ConvShape::dense(2, 700, 190), grouped] {
        for (arithmetic, seed) in [
            (Arithmetic::F32, 0),
            (Arithmetic::Bf16, 1),
            (Arithmetic::Chunked(ChunkedSum { chunk: 50, ..ChunkedSum::FP16_169 }), 2),
        ] {
            check(&shape, arithmetic, seed).expect("the same bits");
        }
        let mut workspace = Workspace::new();
        let (x, w, mut y) = (vec![1.0; shape.x_len()], vec![1.0; shape.weight_len()], vec![0.0; shape.y_len()]);
        conv_forward(&shape, &x, &w, None, &mut y, Arithmetic::F32, &mut workspace);
        assert_eq!(workspace.packed.len(), 0, "{shape:?} is streamed");
    }
}

/// Channels that fill several panels, and weights that take several passes.
#[test]
fn wide_layers_skip_zero_errors_in_passes() {
    for (channels, kernel, stride) in [([130, 256], 3, 1), ([48, 200], 3, 2), ([100, 384], 1, 1), ([64, 40], 5, 1)] {
        let shape = ConvShape::square(2, [4, 5], channels, kernel, stride, kernel / 2);
        let dy: Vec<f32> = noise(shape.y_len(), 1).into_iter().map(|x| if x > 0.5 { x } else { 0.0 }).collect();
        let w = noise(shape.weight_len(), 2);
        let dx = naive_input_grad(&shape, &dy, &w, Arithmetic::F32);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; dx.len()];
            let how = (Arithmetic::F32, Zeros::Skip);
            conv_input_grad_with(&shape, &dy, &w, &mut out, how, &mut Workspace::with_isa(isa));
            differences(&format!("{isa:?} {channels:?}"), &out, &dx).expect("the same bits");
        }
    }
}

#[test]
fn zero_errors_are_skipped_where_they_are_many() {
    let shape = ConvShape::square(2, [8, 8], [64, 64], 3, 1, 1);
    let errors = |density: f32| -> Vec<f32> {
        noise(shape.y_len(), 5).into_iter().map(|x| if (x + 1.0) / 2.0 < density { x } else { 0.0 }).collect()
    };
    let skips = |shape: &ConvShape, density: f32| sparse::pays(shape, Isa::detect(), Arithmetic::F32, &errors(density));
    assert_eq!(skips(&shape, 0.1), Isa::detect() != Isa::Portable);
    assert!(!skips(&shape, 0.9));
    assert!(!skips(&ConvShape { groups: 2, ..shape }, 0.1));
    assert!(!sparse::pays(&ConvShape::dense(64, 512, 512), Isa::detect(), Arithmetic::F32, &[0.0; 512 * 64]));
    assert!(!sparse::pays(&shape, Isa::detect(), Arithmetic::Bf16, &errors(0.1)));
}
