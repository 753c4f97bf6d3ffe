//! Intervals of shares of images, and of the difference between two networks on the same images.

/// The quantile of the normal distribution of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval of a share: `n_right` of `n` images, 95 %.
#[must_use]
pub fn wilson(n_right: u64, n: u64) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (share, n) = (n_right as f64 / n as f64, n as f64);
    let z2 = Z * Z;
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    [(center - half).max(0.0), (center + half).min(1.0)]
}

/// Two networks on the same images: how many both get right, the first alone, the second alone, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    pub(crate) both: u64,
    pub(crate) first: u64,
    pub(crate) second: u64,
    pub(crate) neither: u64,
}

impl Pairs {
    pub(crate) fn of(first: &[bool], second: &[bool]) -> Self {
        let mut pairs = Self::default();
        for own in first.iter().zip(second) {
            match own {
                (true, true) => pairs.both += 1,
                (true, false) => pairs.first += 1,
                (false, true) => pairs.second += 1,
                (false, false) => pairs.neither += 1,
            }
        }
        pairs
    }

    fn n(self) -> u64 {
        self.both + self.first + self.second + self.neither
    }

    /// The share that the second loses.
    pub(crate) fn loss(self) -> f64 {
        (self.first as f64 - self.second as f64) / (self.n() as f64).max(1.0)
    }

    /// The standard error of the loss.
    pub(crate) fn error(self) -> f64 {
        let (n, apart) = ((self.n() as f64).max(1.0), (self.first + self.second) as f64);
        ((apart / n - self.loss().powi(2)).max(0.0) / n).sqrt()
    }

    /// The 95 % interval of the loss by Newcombe's method 10: Wilson's intervals of both, squared and added under the
    /// correlation of the pairs (R. G. Newcombe, Statistics in Medicine 17, 1998).
    pub(crate) fn interval(self) -> [f64; 2] {
        let Self { both, first, second, neither } = self;
        let n = self.n();
        let [low1, high1] = wilson(both + first, n);
        let [low2, high2] = wilson(both + second, n);
        let nf = (n as f64).max(1.0);
        let (share1, share2) = ((both + first) as f64 / nf, (both + second) as f64 / nf);
        let product = [both + first, second + neither, both + second, first + neither].map(|n| n as f64);
        let scale = product.iter().product::<f64>();
        let (agree, differ) = (both as f64 * neither as f64, first as f64 * second as f64);
        let corrected = match agree - differ {
            cross if cross > nf / 2.0 => cross - nf / 2.0,
            cross if cross >= 0.0 => 0.0,
            cross => cross,
        };
        let phi = if scale > 0.0 { corrected / scale.sqrt() } else { 0.0 };
        combined(share1 - share2, [share1 - low1, high1 - share1], [share2 - low2, high2 - share2], phi)
    }
}

/// The same of networks whose answers to single images are not known: pairs that know nothing of each other (method 10 of
/// Newcombe's paper on independent proportions).
pub(crate) fn unpaired(first: (u64, u64), second: (u64, u64)) -> [f64; 2] {
    let [low1, high1] = wilson(first.0, first.1);
    let [low2, high2] = wilson(second.0, second.1);
    let share = |(right, n): (u64, u64)| right as f64 / (n as f64).max(1.0);
    let (share1, share2) = (share(first), share(second));
    combined(share1 - share2, [share1 - low1, high1 - share1], [share2 - low2, high2 - share2], 0.0)
}

fn combined(difference: f64, [below1, above1]: [f64; 2], [below2, above2]: [f64; 2], phi: f64) -> [f64; 2] {
    let root = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    [difference - root(below1, above2), difference + root(above1, below2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: [f64; 2], expected: [f64; 2], within: f64) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < within, "{found} is not {expected}");
        }
    }

    #[test]
    fn wilson_is_as_scipy_has_it() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        for (k, n, expected) in WILSON {
            near(wilson(k, n), expected, 1e-9);
        }
    }

    #[test]
    fn differences_have_intervals_of_their_own() {
        // Worked out apart from this code, from Wilson's limits in double precision.
        let pairs = Pairs { both: 1, first: 1, second: 7, neither: 12 };
        near(pairs.interval(), [-0.506_920_226_686_141, -0.025_559_124_164_859_8], 1e-9);
        let pairs = Pairs { both: 36, first: 12, second: 2, neither: 5 };
        near(pairs.interval(), [0.049_830_928_839_848, 0.311_005_122_022_037], 1e-9);
        near(unpaired((56, 70), (48, 80)), [0.052_431_472_402_367, 0.333_872_654_036_906], 1e-9);
        // Nothing is known of pairs that are not there.
        assert_eq!(
            Pairs::of(&[true, true, false], &[true, false, true]),
            Pairs { both: 1, first: 1, second: 1, neither: 0 }
        );
        let same = Pairs { both: 90, first: 0, second: 0, neither: 10 };
        let [low, high] = same.interval();
        assert!(low < 0.0 && high > 0.0 && same.loss() == 0.0 && same.error() == 0.0);
        assert!((Pairs { both: 90, first: 4, second: 2, neither: 4 }.loss() - 0.02).abs() < 1e-12);
    }

    const WILSON: [(u64, u64, [f64; 2]); 4] = [
        (9262, 10000, [0.920910479937288, 0.9311621998515471]),
        (0, 20, [0.0, 0.16112515805281938]),
        (20, 20, [0.8388748419471806, 1.0]),
        (3, 7, [0.15821985525146975, 0.7495416354723428]),
    ];
}
