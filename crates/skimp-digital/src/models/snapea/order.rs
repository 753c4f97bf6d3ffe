//! The order of a kernel's weights, and the parameters of its prediction.

/// How one kernel predicts: after `n_speculation` weights it stops where the partial sum is at most `threshold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prediction {
    /// Speculation weights.
    pub(super) n_speculation: usize,
    /// Threshold at accumulator scale.
    pub(super) threshold: i64,
}

/// Order inside the negative part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NegativeOrder {
    /// Largest magnitude first; lower index first among equals.
    Magnitude,
    /// As in memory.
    Index,
    /// Largest mean product first: magnitude times the mean activation of its input channel on the image at hand. A
    /// bound of what orders fixed in advance can reach, since a real one knows other images only.
    Contribution,
    /// Largest product of each window first: a bound of any order, which no hardware can know.
    Oracle,
}

/// Positions of a kernel's weights in the order in which they are multiplied. Weights of 0 are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KernelOrder {
    /// Speculation weights, largest magnitude first; none in exact mode.
    pub(super) speculation: Vec<usize>,
    /// Other positive weights, as in memory.
    pub(super) positive: Vec<usize>,
    /// Other negative weights.
    pub(super) negative: Vec<usize>,
}

impl KernelOrder {
    /// The order for `weights` with `n_speculation` speculation weights, at most those that are not 0.
    ///
    /// The non-zero weights are sorted by magnitude (lower index first among equals), cut into `n_speculation` groups
    /// whose sizes differ by at most one, and each group gives its member of the largest magnitude, that of the lowest
    /// index among equals.
    #[must_use]
    pub(super) fn new(weights: &[i32], n_speculation: usize, negative: NegativeOrder) -> Self {
        let magnitude = |idx: usize| weights[idx].unsigned_abs();
        let speculation = speculation(weights, n_speculation);
        let mut taken = vec![false; weights.len()];
        speculation.iter().for_each(|&idx| taken[idx] = true);
        let mut order = KernelOrder { speculation, ..KernelOrder::default() };
        for (idx, &weight) in weights.iter().enumerate() {
            if weight == 0 || taken[idx] {
                continue;
            }
            if weight > 0 { order.positive.push(idx) } else { order.negative.push(idx) }
        }
        if negative != NegativeOrder::Index {
            order.negative.sort_by_key(|&idx| (std::cmp::Reverse(magnitude(idx)), idx));
        }
        order
    }

    /// Sorts the negative part by magnitude times `means` of the weights' inputs, largest first.
    pub(super) fn by_contribution(&mut self, weights: &[i32], means: &[u64]) {
        let product = |idx: usize| u128::from(weights[idx].unsigned_abs()) * u128::from(means[idx]);
        self.negative.sort_by_key(|&idx| (std::cmp::Reverse(product(idx)), idx));
    }
}

/// The speculation weights of a kernel: see [`KernelOrder::new`].
pub(super) fn speculation(weights: &[i32], n_speculation: usize) -> Vec<usize> {
    if n_speculation == 0 {
        return Vec::new();
    }
    let magnitude = |idx: usize| weights[idx].unsigned_abs();
    let mut by_magnitude: Vec<usize> = (0..weights.len()).filter(|&idx| weights[idx] != 0).collect();
    by_magnitude.sort_unstable_by_key(|&idx| (magnitude(idx), idx));
    let n = by_magnitude.len();
    let groups = n_speculation.min(n);
    let mut chosen: Vec<usize> = (0..groups)
        .filter_map(|group| {
            let members = &by_magnitude[group * n / groups..(group + 1) * n / groups];
            members.iter().copied().min_by_key(|&idx| (std::cmp::Reverse(magnitude(idx)), idx))
        })
        .collect();
    chosen.sort_by_key(|&idx| (std::cmp::Reverse(magnitude(idx)), idx));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positives_come_first_and_negatives_by_magnitude() {
        let order = KernelOrder::new(&[3, -2, 1, -4, 0], 0, NegativeOrder::Magnitude);
        assert_eq!((order.positive, order.negative), (vec![0, 2], vec![3, 1]));
        let order = KernelOrder::new(&[3, -2, 1, -4, 0], 0, NegativeOrder::Index);
        assert_eq!(order.negative, [1, 3]);
    }

    #[test]
    fn each_magnitude_group_gives_its_largest() {
        let weights = [4, -1, 2, -3, 1, -2];
        let order = KernelOrder::new(&weights, 2, NegativeOrder::Magnitude);
        // Groups {1, 1, 2} and {2, 3, 4}: the 2 of index 2, which comes first among equals, and the 4.
        assert_eq!(order.speculation, [0, 2]);
        assert_eq!((order.positive, order.negative), (vec![4], vec![3, 5, 1]));
        assert_eq!(KernelOrder::new(&weights, 99, NegativeOrder::Index).speculation.len(), 6);
    }
}
