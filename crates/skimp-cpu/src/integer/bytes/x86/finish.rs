//! From accumulators to codes, 16 lanes at a time.

use std::arch::x86_64::*;

use skimp_graph::integer::{AddRule, Requantizer};

use crate::integer::bytes::finish::{Finish, Join};
use crate::integer::bytes::layout::LANES;

/// Quotients beyond this saturate to any code type, zero point included.
const FAR: f32 = 1e6;

/// [`Finish`] in the order of vectors.
#[derive(Clone, Debug)]
pub(in crate::integer::bytes) struct VectorFinish {
    scaling: Scaling,
    zero_point: i32,
    min: i32,
    max: i32,
    least: i32,
    join: Option<VectorJoin>,
}

/// A finish that scales by floats, and adds in floats if it adds, with its constants at hand: what a loop over pixels has no need
/// to read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'f> {
    factors: &'f [f32],
    own: Bounds,
    sum: Option<PlainSum>,
}

/// Bounds of codes, less the zero point, and what is added for the byte.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: __m512,
    high: __m512,
    offset: __m512i,
}

/// `(own + own_offset) * own_scale + (other + other_offset) * other_scale`, over `scale`.
#[derive(Clone, Copy, Debug)]
struct PlainSum {
    own_offset: __m512,
    own_scale: __m512,
    other_offset: __m512,
    other_scale: __m512,
    scale: __m512,
    bounds: Bounds,
}

impl Bounds {
    /// `None` where a bound is no exact float.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new((min, max): (i32, i32), zero_point: i32, least: i32) -> Option<Self> {
        let [low, high] = [min, max].map(|bound| (bound - zero_point) as f32);
        (-FAR <= low && high <= FAR).then(|| Self {
            low: _mm512_set1_ps(low),
            high: _mm512_set1_ps(high),
            offset: _mm512_set1_epi32(zero_point - least),
        })
    }

    /// The bounds are whole numbers, so that it is the same to clamp before rounding.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn clamp(&self, x: __m512) -> __m512 {
        _mm512_max_ps(_mm512_min_ps(x, self.high), self.low)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn bytes(&self, x: __m512) -> __m128i {
        _mm512_cvtusepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(self.clamp(x)), self.offset))
    }
}

impl Plain<'_> {
    /// The factors from channel `first` on.
    ///
    /// # Safety
    /// The machine has AVX-512 F; 16 channels follow `first`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn factors(&self, first: usize) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(self.factors.as_ptr().add(first)) }
    }

    /// [`VectorFinish::block`] of channels with these factors.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn block(&self, factors: __m512, accumulators: __m512i, other: __m128i) -> __m128i {
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(accumulators), factors);
        let Some(sum) = &self.sum else { return self.own.bytes(scaled) };
        let own = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.own.clamp(scaled));
        let own = _mm512_mul_ps(_mm512_add_ps(own, sum.own_offset), sum.own_scale);
        let other = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(other));
        let other = _mm512_mul_ps(_mm512_add_ps(other, sum.other_offset), sum.other_scale);
        sum.bounds.bytes(_mm512_div_ps(_mm512_add_ps(own, other), sum.scale))
    }
}

/// Requantization of every channel.
#[derive(Clone, Debug)]
enum Scaling {
    Float(Vec<f32>),
    /// One rounding; right shifts, 31 included, and halves.
    Single {
        mantissas: Vec<i32>,
        shifts: Vec<i64>,
        halves: Vec<i64>,
    },
    /// Two roundings; shifts of the second one.
    Gemmlowp {
        mantissas: Vec<i32>,
        shifts: Vec<i32>,
    },
}

#[derive(Clone, Debug)]
enum Sum {
    Float {
        own: (i32, f32),
        other: (i32, f32),
        scale: f32,
        zero_point: i32,
    },
    /// Scaled operands by byte, and the scaling of the sum.
    Integer {
        own: Box<[i32; 256]>,
        other: Box<[i32; 256]>,
        scaling: Scaling,
        zero_point: i32,
    },
}

#[derive(Clone, Debug)]
struct VectorJoin {
    sum: Sum,
    own_least: i32,
    other_least: i32,
    min: i32,
    max: i32,
    least: i32,
}

impl Scaling {
    /// `None` where a factor of 1 or more needs a saturating left shift, or modes are mixed.
    fn new(requantizers: &[Requantizer]) -> Option<Self> {
        match requantizers.first()? {
            Requantizer::Float(_) => {
                let factor = |r: &Requantizer| match r {
                    Requantizer::Float(factor) => Some(*factor),
                    Requantizer::Gemmlowp(_) | Requantizer::Single(_) | Requantizer::Exact(_) => None,
                };
                requantizers.iter().map(factor).collect::<Option<_>>().map(Self::Float)
            }
            Requantizer::Single(_) => {
                let part = |r: &Requantizer| match r {
                    Requantizer::Single(m) if m.right_shift() >= 0 => {
                        let shift = i64::from(m.right_shift()) + 31;
                        Some((m.mantissa(), (shift, 1_i64 << (shift - 1))))
                    }
                    _ => None,
                };
                let parts: Vec<_> = requantizers.iter().map(part).collect::<Option<_>>()?;
                let (mantissas, (shifts, halves)) = parts.into_iter().unzip();
                Some(Self::Single { mantissas, shifts, halves })
            }
            Requantizer::Exact(_) => {
                // Products stay below 2^62, so that a shift of 63 gives 0, as any greater one does.
                let part = |r: &Requantizer| match r {
                    Requantizer::Exact(m) if m.mantissa() == 0 => Some((0, (31, 1_i64 << 30))),
                    Requantizer::Exact(m) if m.shift() >= 31 => {
                        let shift = i64::from(m.shift().min(63));
                        Some((m.mantissa() as i32, (shift, 1_i64 << (shift - 1))))
                    }
                    _ => None,
                };
                let parts: Vec<_> = requantizers.iter().map(part).collect::<Option<_>>()?;
                let (mantissas, (shifts, halves)) = parts.into_iter().unzip();
                Some(Self::Single { mantissas, shifts, halves })
            }
            Requantizer::Gemmlowp(_) => {
                let part = |r: &Requantizer| match r {
                    Requantizer::Gemmlowp(m) if m.right_shift() >= 0 => Some((m.mantissa(), m.right_shift())),
                    _ => None,
                };
                let parts: Vec<_> = requantizers.iter().map(part).collect::<Option<_>>()?;
                let (mantissas, shifts) = parts.into_iter().unzip();
                Some(Self::Gemmlowp { mantissas, shifts })
            }
        }
    }

    /// `accumulators` scaled by the factors from channel `first` on; floats beyond the code types saturate early.
    ///
    /// # Safety
    /// The machine has AVX-512 F and DQ; 16 channels follow `first`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    unsafe fn apply(&self, first: usize, accumulators: __m512i) -> __m512i {
        match self {
            Self::Float(factors) => {
                // SAFETY: the caller's promise.
                let factors = unsafe { _mm512_loadu_ps(factors.as_ptr().add(first)) };
                round(_mm512_mul_ps(_mm512_cvtepi32_ps(accumulators), factors))
            }
            Self::Single { mantissas, shifts, halves } => {
                // SAFETY: the caller's promise.
                let (mantissas, low, high, half_low, half_high) = unsafe {
                    (
                        _mm512_loadu_si512(mantissas.as_ptr().add(first).cast()),
                        _mm512_loadu_si512(shifts.as_ptr().add(first).cast()),
                        _mm512_loadu_si512(shifts.as_ptr().add(first + 8).cast()),
                        _mm512_loadu_si512(halves.as_ptr().add(first).cast()),
                        _mm512_loadu_si512(halves.as_ptr().add(first + 8).cast()),
                    )
                };
                let [a, b] = products(accumulators, mantissas);
                let a = _mm512_srav_epi64(_mm512_add_epi64(a, half_low), low);
                let b = _mm512_srav_epi64(_mm512_add_epi64(b, half_high), high);
                narrow(a, b)
            }
            Self::Gemmlowp { mantissas, shifts } => {
                // SAFETY: the caller's promise.
                let (mantissas, shifts) = unsafe {
                    (
                        _mm512_loadu_si512(mantissas.as_ptr().add(first).cast()),
                        _mm512_loadu_si512(shifts.as_ptr().add(first).cast()),
                    )
                };
                // The nudge of gemmlowp with its truncating division is a floor after adding a half.
                let half = _mm512_set1_epi64(1 << 30);
                let [a, b] = products(accumulators, mantissas);
                let a = _mm512_srai_epi64::<31>(_mm512_add_epi64(a, half));
                let b = _mm512_srai_epi64::<31>(_mm512_add_epi64(b, half));
                let x = narrow(a, b);
                let mask = _mm512_sub_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), shifts), _mm512_set1_epi32(1));
                let remainder = _mm512_and_si512(x, mask);
                let threshold = _mm512_sub_epi32(_mm512_srli_epi32::<1>(mask), _mm512_srai_epi32::<31>(x));
                let up = _mm512_cmpgt_epi32_mask(remainder, threshold);
                let shifted = _mm512_srav_epi32(x, shifts);
                _mm512_mask_add_epi32(shifted, up, shifted, _mm512_set1_epi32(1))
            }
        }
    }
}

/// The nearest integers, ties to even; far numbers are brought near first, infinities included.
#[inline]
#[target_feature(enable = "avx512f")]
fn round(x: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(FAR)), _mm512_set1_ps(-FAR)))
}

/// 64-bit products of lanes 0 to 7 and 8 to 15.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn products(a: __m512i, b: __m512i) -> [__m512i; 2] {
    let wide = |x: __m512i| {
        [_mm512_cvtepi32_epi64(_mm512_castsi512_si256(x)), _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(x))]
    };
    let ([a_low, a_high], [b_low, b_high]) = (wide(a), wide(b));
    [_mm512_mul_epi32(a_low, b_low), _mm512_mul_epi32(a_high, b_high)]
}

/// The low halves of 16 64-bit lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn narrow(a: __m512i, b: __m512i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(a)), _mm512_cvtepi64_epi32(b))
}

impl VectorFinish {
    /// `None` where only the portable definition will do.
    pub(in crate::integer::bytes) fn new(finish: &Finish) -> Option<Self> {
        let join = match &finish.join {
            Some(join) => Some(VectorJoin::new(join, finish.least)?),
            None => None,
        };
        Some(Self {
            scaling: Scaling::new(&finish.requantizers)?,
            zero_point: finish.zero_point,
            min: finish.min,
            max: finish.max,
            least: finish.least,
            join,
        })
    }

    /// This finish in short, if it is no more than that.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn plain(&self) -> Option<Plain<'_>> {
        let Scaling::Float(factors) = &self.scaling else { return None };
        let own = Bounds::new((self.min, self.max), self.zero_point, self.least)?;
        let sum = match &self.join {
            None => None,
            Some(join) => Some(join.plain(self.zero_point)?),
        };
        Some(Plain { factors, own, sum })
    }

    /// The bytes of a block of channels.
    ///
    /// # Safety
    /// The machine has AVX-512 F, BW, DQ and VL; 16 channels follow `first`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn block(&self, first: usize, accumulators: __m512i, other: __m128i) -> __m128i {
        // SAFETY: the caller's promise.
        let scaled = unsafe { self.scaling.apply(first, accumulators) };
        let codes = clamped(scaled, self.zero_point, self.min, self.max);
        let (codes, least) = match &self.join {
            // SAFETY: the features are there.
            Some(join) => (unsafe { join.apply(codes, other) }, join.least),
            None => (codes, self.least),
        };
        _mm512_cvtusepi32_epi8(_mm512_sub_epi32(codes, _mm512_set1_epi32(least)))
    }
}

/// `clamp(x + zero_point, min, max)`, the sum saturated below by clamping first.
#[inline]
#[target_feature(enable = "avx512f")]
fn clamped(x: __m512i, zero_point: i32, min: i32, max: i32) -> __m512i {
    // The bounds taken back by the zero point are small, so that nothing overflows.
    let low = _mm512_set1_epi32(min - zero_point);
    let high = _mm512_set1_epi32(max - zero_point);
    _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(x, low), high), _mm512_set1_epi32(zero_point))
}

impl VectorJoin {
    fn new(join: &Join, own_least: i32) -> Option<Self> {
        let order = |pair: [usize; 2]| if join.is_first { pair } else { [pair[1], pair[0]] };
        let [own, other] = order([0, 1]);
        let sum = match &join.rule {
            AddRule::Exact { .. } => return None,
            AddRule::Float { operands, output } => {
                // Outside, a product or sum may overflow, and NaN would need care.
                let usable = |scale: f64| (1e-30..1e30).contains(&scale);
                if ![operands[0].scale, operands[1].scale, output.scale].into_iter().all(usable) {
                    return None;
                }
                let part = |i: usize| (operands[i].zero_point, operands[i].scale as f32);
                let (scale, zero_point) = (output.scale as f32, output.zero_point);
                Sum::Float { own: part(own), other: part(other), scale, zero_point }
            }
            AddRule::Integer { zero_points, operands, sum, zero_point } => {
                let table = |i: usize, least: i32| {
                    let scaled = |byte: i32| operands[i].apply(i64::from(byte + least - zero_points[i]) << 20) as i32;
                    let mut table = Box::new([0; 256]);
                    (0..256).zip(table.iter_mut()).for_each(|(byte, entry)| *entry = scaled(byte));
                    table
                };
                Sum::Integer {
                    own: table(own, own_least),
                    other: table(other, join.other_least),
                    scaling: Scaling::new(&[*sum; LANES])?,
                    zero_point: *zero_point,
                }
            }
        };
        let &Join { other_least, min, max, least, .. } = join;
        Some(Self { sum, own_least, other_least, min, max, least })
    }

    /// This sum behind codes less their zero point, in short, if it is in floats.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn plain(&self, code_zero: i32) -> Option<PlainSum> {
        let Sum::Float { own, other, scale, zero_point } = &self.sum else { return None };
        let [own_offset, other_offset] = [code_zero - own.0, self.other_least - other.0].map(|offset| offset as f32);
        // Sums with codes are exact.
        let is_near = |offset: f32| offset.abs() <= FAR;
        (is_near(own_offset) && is_near(other_offset)).then_some(())?;
        Some(PlainSum {
            own_offset: _mm512_set1_ps(own_offset),
            own_scale: _mm512_set1_ps(own.1),
            other_offset: _mm512_set1_ps(other_offset),
            other_scale: _mm512_set1_ps(other.1),
            scale: _mm512_set1_ps(*scale),
            bounds: Bounds::new((self.min, self.max), *zero_point, self.least)?,
        })
    }

    /// The codes of the sum of a layer's codes and another operand's bytes.
    ///
    /// # Safety
    /// The machine has AVX-512 F and DQ.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    unsafe fn apply(&self, codes: __m512i, other: __m128i) -> __m512i {
        let others = _mm512_cvtepu8_epi32(other);
        match &self.sum {
            Sum::Float { own, other, scale, zero_point } => {
                let real = |codes: __m512i, zero: i32, scale: f32| {
                    let centered = _mm512_sub_epi32(codes, _mm512_set1_epi32(zero));
                    _mm512_mul_ps(_mm512_cvtepi32_ps(centered), _mm512_set1_ps(scale))
                };
                let sum = _mm512_add_ps(real(codes, own.0, own.1), real(others, other.0 - self.other_least, other.1));
                clamped(round(_mm512_div_ps(sum, _mm512_set1_ps(*scale))), *zero_point, self.min, self.max)
            }
            Sum::Integer { own, other, scaling, zero_point } => {
                let bytes = _mm512_sub_epi32(codes, _mm512_set1_epi32(self.own_least));
                // SAFETY: bytes are below 256, the tables' length.
                let (a, b) = unsafe {
                    (
                        _mm512_i32gather_epi32::<4>(bytes, own.as_ptr().cast()),
                        _mm512_i32gather_epi32::<4>(others, other.as_ptr().cast()),
                    )
                };
                // SAFETY: the scaling has 16 equal channels.
                let scaled = unsafe { scaling.apply(0, _mm512_add_epi32(a, b)) };
                clamped(scaled, *zero_point, self.min, self.max)
            }
        }
    }
}
