//! Weights that share values.

/// Rounds of k-means after which it ends, settled or not.
const MAX_ROUNDS: usize = 500;

/// Weights of a tensor that share values: a code book, and a code for each weight that is not zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared {
    /// The values, ascending; none is zero.
    pub(crate) book: Vec<f32>,
    /// For each weight the index of its value; `None` for zero.
    pub(crate) codes: Vec<Option<u16>>,
}

impl Shared {
    /// The weights.
    pub(crate) fn values(&self) -> Vec<f32> {
        self.codes.iter().map(|code| code.map_or(0.0, |code| self.book[usize::from(code)])).collect()
    }

    /// The values that weights have already, if they are at most `limit` beside zero.
    pub(crate) fn exact(weights: &[f32], limit: usize) -> Option<Self> {
        let mut keys: Vec<u32> = Vec::new();
        for weight in weights {
            if weight.to_bits() != 0
                && let Err(place) = keys.binary_search(&weight.to_bits())
            {
                if keys.len() == limit {
                    return None;
                }
                keys.insert(place, weight.to_bits());
            }
        }
        let mut book: Vec<f32> = keys.into_iter().map(f32::from_bits).collect();
        book.sort_by(f32::total_cmp);
        let code = |weight: &f32| {
            let found = book.binary_search_by(|value| value.total_cmp(weight));
            found.ok().filter(|_| weight.to_bits() != 0).map(|code| code as u16)
        };
        Some(Self { codes: weights.iter().map(code).collect(), book })
    }
}

/// Shares `k` values among the weights that are not zero: k-means from values evenly spaced between the least and the
/// greatest.
///
/// # Rounding
/// Sums in double precision, of sorted weights; values are rounded once. A mean of zero becomes the least positive
/// number, since zero means that a weight is cut.
///
/// # Source
/// Han, Mao and Dally, "Deep Compression", ICLR 2016, section 3: linear initialization.
/// Differs: values that no weight takes are dropped.
pub(crate) fn share(weights: &[f32], k: usize) -> Shared {
    let mut sorted: Vec<f32> = weights.iter().copied().filter(|weight| weight.abs() > 0.0).collect();
    sorted.sort_by(f32::total_cmp);
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        return Shared { book: Vec::new(), codes: vec![None; weights.len()] };
    };
    let (least, most) = (f64::from(least), f64::from(most));
    let mut sums = vec![0.0_f64];
    for &weight in &sorted {
        sums.push(sums[sums.len() - 1] + f64::from(weight));
    }
    let k = k.max(1);
    let step = (most - least) / (k - 1).max(1) as f64;
    let mut means: Vec<f64> = (0..k).map(|i| least + step * i as f64).collect();
    let mut ends = vec![0; k];
    for _ in 0..MAX_ROUNDS {
        let next = borders(&sorted, &means);
        let is_settled = next == ends;
        ends = next;
        let mut start = 0;
        for (mean, &end) in means.iter_mut().zip(&ends) {
            if end > start {
                *mean = (sums[end] - sums[start]) / (end - start) as f64;
            }
            start = end;
        }
        if is_settled {
            break;
        }
    }
    let mut book: Vec<f32> = Vec::with_capacity(k);
    let mut limits: Vec<f32> = Vec::with_capacity(k);
    let mut start = 0;
    for (mean, &end) in means.iter().zip(&ends) {
        if end > start {
            let value = *mean as f32;
            let value = if value.abs() > 0.0 { value } else { f32::MIN_POSITIVE };
            match book.last() {
                // Two means that round to one number.
                Some(last) if last.total_cmp(&value).is_eq() => _ = limits.pop(),
                _ => book.push(value),
            }
            limits.push(sorted[end - 1]);
        }
        start = end;
    }
    let code = |weight: &f32| {
        (weight.abs() > 0.0).then(|| limits.partition_point(|limit| limit < weight).min(book.len() - 1) as u16)
    };
    Shared { codes: weights.iter().map(code).collect(), book }
}

/// Where the weights of each mean end: each goes to the nearest, halfway to the smaller one.
fn borders(sorted: &[f32], means: &[f64]) -> Vec<usize> {
    let border = |pair: &[f64]| sorted.partition_point(|&weight| f64::from(weight) <= 0.5 * (pair[0] + pair[1]));
    means.windows(2).map(border).chain([sorted.len()]).collect()
}

/// How much smaller `n` weights of `bits` bits become as codes of `k` values: `n b / (n log2 k + k b)`.
///
/// # Source
/// Han, Mao and Dally, "Deep Compression", ICLR 2016, equation 1.
pub fn sharing_rate(n: usize, bits: usize, k: usize) -> f64 {
    let (n, bits, k) = (n as f64, bits as f64, k as f64);
    n * bits / (n * k.log2() + k * bits)
}

#[cfg(test)]
mod tests {
    use skimp_graph::testing::random_tensor;

    use super::*;

    /// The paper's example: 16 weights of 32 bits, 4 values.
    #[test]
    fn rate() {
        assert!((sharing_rate(16, 32, 4) - 3.2).abs() < 1e-12);
    }

    /// By hand: means begin at -2, 0 and 2.
    #[test]
    fn three_values() {
        let shared = share(&[2.0, 0.0, -1.0, 0.3, -2.0, 1.0, 0.5, 1.5], 3);
        // Halfway are -1 and 1: {-2, -1}, {0.3, 0.5, 1}, {1.5, 2}. Halfway between their means nothing changes.
        assert_eq!(shared.book, [-1.5, 0.6, 1.75]);
        assert_eq!(shared.codes, [2, 9, 0, 1, 0, 1, 1, 2].map(|code| (code < 9).then_some(code)));
        assert_eq!(share(&[0.0, -1.0, 1.0], 1).book, [f32::MIN_POSITIVE]);
        assert!(share(&[0.0], 4).book.is_empty());
        assert_eq!(share(&[3.0, 3.0, 0.0], 4), Shared { book: vec![3.0], codes: vec![Some(0), Some(0), None] });
    }

    /// Every weight has the nearest value, and every value is the mean of its weights.
    #[test]
    fn settled() {
        let weights = random_tensor(1, "weights", vec![5000], 0.1, 1.0).into_f32().unwrap();
        let shared = share(&weights, 32);
        assert!(shared.book.len() <= 32 && shared.book.is_sorted());
        for (weight, code) in weights.iter().zip(&shared.codes) {
            let distance = |value: &f32| (f64::from(*value) - f64::from(*weight)).abs();
            let nearest = shared.book.iter().map(distance).fold(f64::INFINITY, f64::min);
            assert!(distance(&shared.book[usize::from(code.unwrap())]) <= nearest + 1e-6);
        }
        for (idx, value) in shared.book.iter().enumerate() {
            let members: Vec<f64> = weights
                .iter()
                .zip(&shared.codes)
                .filter(|(_, code)| **code == Some(idx as u16))
                .map(|(weight, _)| f64::from(*weight))
                .collect();
            let mean = members.iter().sum::<f64>() / members.len() as f64;
            assert!((mean - f64::from(*value)).abs() < 1e-6, "{mean} {value}");
        }
        let values = shared.values();
        assert_eq!(Shared::exact(&values, 32).unwrap().values(), values);
        assert_eq!(Shared::exact(&values, shared.book.len() - 1), None);
        assert_eq!(Shared::exact(&[-0.0, 0.0, 1.0], 4).unwrap().values()[0].to_bits(), (-0.0_f32).to_bits());
    }
}
