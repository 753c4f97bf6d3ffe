//! Ranges and encodings of activations.

use skimp_graph::integer::{CodeType, Encoding};

use super::Scheme;
use crate::RangeMethod;
use crate::ValueStatistics;
use crate::calibrate::SignedBin;

/// Linear bins of the histogram that divergences are computed on.
const ENTROPY_BINS: usize = 2048;
/// Levels on each side of zero, as in the source.
const ENTROPY_LEVELS: usize = 128;
const ENTROPY_STRIDE: usize = 8;
/// Parts of the range that the least square error is sought among.
const MSE_PARTS: usize = 80;
const MSE_LEAST: f64 = 0.2;
/// Smaller ranges count as 1: no scale is subnormal.
const LEAST_RANGE: f64 = 1e-30;

/// Where codes lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    pub(super) scheme: Scheme,
    pub(super) code_type: CodeType,
}

impl Coding {
    /// The encoding of a range, which is widened to hold 0.
    pub(super) fn encoding(&self, [low, high]: [f64; 2]) -> Encoding {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let (least, greatest) = (self.code_type.min(), self.code_type.max());
        let usable = |range: f64| if range > LEAST_RANGE { range } else { 1.0 };
        let (scale, zero_point) = match self.scheme {
            Scheme::Symmetric if low >= 0.0 => (usable(high) / 255.0, least),
            Scheme::Symmetric => (usable(high.max(-low)) / 127.0, least + 128),
            Scheme::Asymmetric => {
                let scale = usable(high - low) / 255.0;
                let zero_point = f64::from(least) - (low / scale).round_ties_even();
                (scale, zero_point.clamp(f64::from(least), f64::from(greatest)) as i32)
            }
        };
        self.code_type.encoding(scale as f32, zero_point)
    }
}

/// The range of one value.
pub(super) fn range(statistics: &ValueStatistics, method: RangeMethod, coding: Coding) -> [f64; 2] {
    let whole = [f64::from(statistics.min()).min(0.0), f64::from(statistics.max()).max(0.0)];
    match method {
        RangeMethod::MinMax => whole,
        RangeMethod::Percentile(percent) => percentiles(statistics, percent, whole),
        RangeMethod::Mse => least_squares(statistics, whole, coding),
        RangeMethod::Entropy => {
            let threshold = least_divergence(statistics, whole);
            [whole[0].max(-threshold), whole[1].min(threshold)]
        }
    }
}

fn percentiles(statistics: &ValueStatistics, percent: f64, [low, high]: [f64; 2]) -> [f64; 2] {
    let n = statistics.n_elements();
    let outside = ((1.0 - percent / 100.0) * n as f64).floor() as u64;
    let bins: Vec<_> = statistics.signed_bins().collect();
    let upper = edge(bins.iter().rev(), outside).clamp(low, high);
    let lower = edge(bins.iter(), outside).clamp(low, high);
    [lower.min(0.0), upper.max(0.0)]
}

/// The far end of the first bin that more than `outside` elements reach.
fn edge<'a>(mut bins: impl Iterator<Item = &'a SignedBin>, outside: u64) -> f64 {
    let mut n_seen = 0;
    let found = bins.find(|bin| {
        n_seen += bin.n;
        n_seen > outside
    });
    found.map_or(0.0, |bin| if bin.negative { -bin.bounds[1] } else { bin.bounds[1] })
}

fn least_squares(statistics: &ValueStatistics, [low, high]: [f64; 2], coding: Coding) -> [f64; 2] {
    let bins: Vec<(f64, f64)> = statistics.signed_bins().map(|bin| (bin.value(), bin.n as f64)).collect();
    let error = |encoding: Encoding| {
        bins.iter().fold(0.0, |sum, &(x, n)| {
            let difference = f64::from(encoding.dequantize(encoding.quantize(x as f32))) - x;
            sum + n * difference * difference
        })
    };
    let part = |i: usize| MSE_LEAST + (1.0 - MSE_LEAST) * i as f64 / MSE_PARTS as f64;
    // From the whole range down, so that the widest of equals wins.
    let candidates = (1..=MSE_PARTS).rev().map(|i| [low * part(i), high * part(i)]);
    let best = candidates.map(|range| (error(coding.encoding(range)), range)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or([low, high], |(_, range)| range)
}

/// The magnitude beyond which elements had better saturate.
fn least_divergence(statistics: &ValueStatistics, [low, high]: [f64; 2]) -> f64 {
    let greatest = high.max(-low);
    if greatest <= LEAST_RANGE {
        return greatest;
    }
    let levels = if low < 0.0 { ENTROPY_LEVELS } else { 2 * ENTROPY_LEVELS };
    // Every value may have a level of its own: there is nothing that saturation would buy.
    if statistics.signed_bins().take(levels + 1).count() <= levels {
        return greatest;
    }
    let histogram = magnitudes(statistics, greatest);
    let best = (levels..=ENTROPY_BINS)
        .rev()
        .step_by(ENTROPY_STRIDE)
        .map(|n| (divergence(&histogram, n, levels), n))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(greatest, |(_, n)| n as f64 / ENTROPY_BINS as f64 * greatest)
}

/// Elements by magnitude in bins of one width; a bin of the calibration is spread evenly over those it overlaps.
fn magnitudes(statistics: &ValueStatistics, greatest: f64) -> Vec<f64> {
    let width = greatest / ENTROPY_BINS as f64;
    let mut histogram = vec![0.0; ENTROPY_BINS];
    for bin in statistics.signed_bins() {
        let [from, to] = bin.bounds.map(|bound| (bound / width).min(ENTROPY_BINS as f64));
        let (first, last) = (from as usize, (to as usize).min(ENTROPY_BINS - 1));
        if first >= last {
            histogram[last] += bin.n as f64;
            continue;
        }
        for (i, count) in histogram.iter_mut().enumerate().take(last + 1).skip(first) {
            let overlap = (to.min((i + 1) as f64) - from.max(i as f64)).max(0.0);
            *count += bin.n as f64 * overlap / (to - from);
        }
    }
    histogram[0] = histogram[1];
    histogram
}

/// `Σ p · ln(p / q) − Σ p + Σ q` of the first `n` bins, outliers in the last one, against the same in `levels` steps,
/// both as shares of all elements. What is cut off is missing in `q`: scaled up to a sum of 1, as in the source, it would
/// go unnoticed where all of it falls into a bin that holds most elements anyway.
fn divergence(histogram: &[f64], n: usize, levels: usize) -> f64 {
    let mut p = histogram[..n].to_vec();
    p[n - 1] += histogram[n..].iter().sum::<f64>();
    let mut q = vec![0.0; n];
    for level in 0..levels {
        let (first, end) = (level * n / levels, (level + 1) * n / levels);
        let members = || (first..end).filter(|&i| p[i] > 0.0);
        let n_members = members().count().max(1) as f64;
        let mean = histogram[first..end].iter().sum::<f64>() / n_members;
        members().for_each(|i| q[i] = mean);
    }
    let sum = p.iter().sum::<f64>();
    if sum <= 0.0 {
        return f64::INFINITY;
    }
    // Where q has nothing, a tiny share stands in, so that the divergence stays finite.
    let term = |p: f64, q: f64| p / sum * (p / sum / (q / sum).max(1e-9)).ln();
    let relative: f64 = p.iter().zip(&q).filter(|(p, _)| **p > 0.0).map(|(&p, &q)| term(p, q)).sum();
    relative - 1.0 + q.iter().sum::<f64>() / sum
}

#[cfg(test)]
mod tests {
    use skimp_graph::integer::CodeType;
    use skimp_numerics::rng::{normal, random_u64};

    use super::{Coding, range};
    use crate::RangeMethod;
    use crate::ValueStatistics;
    use crate::calibrate::Detail;
    use crate::qdq::Scheme;

    const ASYMMETRIC: Coding = Coding { scheme: Scheme::Asymmetric, code_type: CodeType::U8 };
    const SYMMETRIC: Coding = Coding { scheme: Scheme::Symmetric, code_type: CodeType::U8 };

    fn statistics(elements: &[f32]) -> ValueStatistics {
        let mut statistics = ValueStatistics::new(&[elements.len()], Detail::Histogram);
        statistics.add(elements).unwrap();
        statistics
    }

    /// A bell of 100,000 elements of standard deviation 1, by a sum of twelve even ladders, with one outlier.
    fn bell(outlier: f32) -> Vec<f32> {
        let uniform = |i: u32, j: u32| {
            let bits = (i * 12 + j).wrapping_mul(2_654_435_761) ^ (i.wrapping_mul(40_503) << 7);
            f64::from(bits.wrapping_mul(2_246_822_519) >> 8) / f64::from(1 << 24)
        };
        let sum = |i: u32| (0..12).map(|j| uniform(i, j)).sum::<f64>() - 6.0;
        (0..100_000).map(|i| sum(i) as f32).chain([outlier]).collect()
    }

    fn assert_same(got: [f64; 2], expected: [f64; 2]) {
        assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn encodings_hold_zero() {
        let cases = [
            (ASYMMETRIC, [-1.0, 3.0], 4.0 / 255.0, 64),
            (ASYMMETRIC, [0.5, 2.55], 0.01, 0),
            (ASYMMETRIC, [-2.55, -1.0], 0.01, 255),
            (ASYMMETRIC, [0.0, 0.0], 1.0 / 255.0, 0),
            (SYMMETRIC, [-1.0, 1.27], 0.01, 128),
            (SYMMETRIC, [0.0, 2.55], 0.01, 0),
        ];
        for (coding, range, scale, zero_point) in cases {
            let encoding = coding.encoding(range);
            assert_eq!((encoding.scale as f32, encoding.zero_point), (scale as f32, zero_point), "{range:?}");
            assert_eq!(encoding.dequantize(encoding.quantize(0.0)).to_bits(), 0, "{range:?}");
            let signed = Coding { code_type: CodeType::I8, ..coding }.encoding(range);
            assert_eq!((signed.scale, signed.zero_point), (encoding.scale, zero_point - 128), "{range:?}");
        }
    }

    #[test]
    fn percentiles_cut_both_tails() {
        let elements: Vec<f32> = (-1000..=3000).map(|i| i as f32).collect();
        let [low, high] = range(&statistics(&elements), RangeMethod::Percentile(99.0), ASYMMETRIC);
        // 40 of 4,001 elements lie beyond either end.
        assert!((-962.0..=-958.0).contains(&low) && (2955.0..=2966.0).contains(&high), "{low} {high}");
        let whole = range(&statistics(&elements), RangeMethod::Percentile(100.0), ASYMMETRIC);
        assert_same(whole, range(&statistics(&elements), RangeMethod::MinMax, ASYMMETRIC));
        assert_same(whole, [-1000.0, 3000.0]);
    }

    #[test]
    fn least_squares_and_entropy_cut_an_outlier() {
        let values = statistics(&bell(60.0));
        let whole = range(&values, RangeMethod::MinMax, SYMMETRIC);
        assert!(whole[1] > 59.9);
        for method in [RangeMethod::Mse, RangeMethod::Entropy] {
            let [low, high] = range(&values, method, SYMMETRIC);
            assert!(high < 50.0 && high > 2.0 && low <= -2.0, "{method}: {low} {high}");
        }
        // The least error is no worse than that of the whole range.
        let error = |bounds: [f64; 2]| {
            let encoding = SYMMETRIC.encoding(bounds);
            let of = |x: &f32| f64::from(encoding.dequantize(encoding.quantize(*x)) - x).powi(2);
            bell(60.0).iter().map(of).sum::<f64>()
        };
        assert!(error(range(&values, RangeMethod::Mse, SYMMETRIC)) < 0.9 * error(whole));
    }

    #[test]
    fn entropy_keeps_a_uniform_range() {
        let elements: Vec<f32> = (0..=50_000).map(|i| i as f32 / 50_000.0).collect();
        let [low, high] = range(&statistics(&elements), RangeMethod::Entropy, ASYMMETRIC);
        assert!(low.abs() < 1e-9 && high > 0.95, "{low} {high}");
    }

    /// Two values, half of the elements each, of which onnxruntime 1.32 keeps both (128 and 2,048 bins).
    #[test]
    fn entropy_keeps_both_of_two_values() {
        let elements: Vec<f32> = (0..512).map(|i| if i % 2 == 0 { 0.9546 } else { 0.4999 }).collect();
        for coding in [ASYMMETRIC, SYMMETRIC] {
            let [low, high] = range(&statistics(&elements), RangeMethod::Entropy, coding);
            assert!(low.abs() < 1e-9 && (high - 0.9546).abs() < 1e-6, "{low} {high}");
        }
    }

    /// However rare a value is among few, and whatever the method (but for the percentile's tails), it is not cut.
    #[test]
    fn few_distinct_values_are_all_kept() {
        for seed in 0..300_u64 {
            let draw = |index: u64| random_u64(seed, 17, index);
            let n_values = 1 + draw(0) % 6;
            let sign =
                |index: u64| if seed.is_multiple_of(3) && draw(40 + index).is_multiple_of(2) { -1.0 } else { 1.0 };
            let mut elements = Vec::new();
            for value in 0..n_values {
                let size = (draw(10 + value) % 10_000) as f32 / 10_000.0 + 1e-3;
                let n = 1 + draw(20 + value) % [2, 40, 3000][(draw(30 + value) % 3) as usize];
                elements.extend(std::iter::repeat_n(size * sign(value), n as usize));
            }
            let values = statistics(&elements);
            let whole = range(&values, RangeMethod::MinMax, ASYMMETRIC);
            assert_same(range(&values, RangeMethod::Entropy, ASYMMETRIC), whole);
            assert_same(range(&values, RangeMethod::Percentile(100.0), ASYMMETRIC), whole);
            if n_values == 1 {
                for method in [RangeMethod::Mse, RangeMethod::Percentile(99.0)] {
                    assert_same(range(&values, method, ASYMMETRIC), whole);
                }
            }
        }
    }

    /// Bells of several widths and shares, of more values than there are levels.
    #[test]
    fn entropy_cuts_no_mode_of_many_values() {
        for seed in 0..40_u64 {
            let draw = |index: u64| (random_u64(seed, 18, index) % 1000) as f64 / 1000.0;
            let n_modes = 1 + (draw(0) * 4.0) as u64;
            let mut elements = Vec::new();
            for mode in 0..n_modes {
                let (center, width) =
                    (0.1 + 0.9 * draw(10 + mode), [0.01, 0.03, 0.1][(draw(20 + mode) * 3.0) as usize]);
                let n = 500 + (draw(30 + mode) * 5000.0) as u64;
                let element = |i: u64| (center * (1.0 + width * normal(seed, mode, i))).abs() as f32;
                elements.extend((0..n).map(element));
            }
            let [_, high] = range(&statistics(&elements), RangeMethod::Entropy, ASYMMETRIC);
            let n_cut = elements.iter().filter(|x| f64::from(**x) > high * 1.004).count();
            let share = n_cut as f64 / elements.len() as f64;
            assert!(share < 0.02, "seed {seed}: {share} of the elements are beyond {high}");
        }
    }

    #[test]
    fn zeros_have_a_range() {
        let values = statistics(&[0.0, -0.0]);
        for method in [RangeMethod::MinMax, RangeMethod::Mse, RangeMethod::Entropy, RangeMethod::Percentile(99.0)] {
            assert_same(range(&values, method, ASYMMETRIC), [0.0, 0.0]);
        }
    }
}
