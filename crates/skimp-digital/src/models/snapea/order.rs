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
        let mut by_magnitude: Vec<usize> = (0..weights.len()).filter(|&idx| weights[idx] != 0).collect();
        let magnitude = |idx: usize| weights[idx].unsigned_abs();
        by_magnitude.sort_by_key(|&idx| (magnitude(idx), idx));
        let speculation = speculated(&by_magnitude, n_speculation, &magnitude);
        let mut order = KernelOrder { speculation, ..KernelOrder::default() };
        for (idx, &weight) in weights.iter().enumerate() {
            if weight == 0 || order.speculation.contains(&idx) {
                continue;
            }
            if weight > 0 { order.positive.push(idx) } else { order.negative.push(idx) }
        }
        if negative == NegativeOrder::Magnitude {
            order.negative.sort_by_key(|&idx| (std::cmp::Reverse(magnitude(idx)), idx));
        }
        order
    }
}

fn speculated(by_magnitude: &[usize], groups: usize, magnitude: &impl Fn(usize) -> u32) -> Vec<usize> {
    let n = by_magnitude.len();
    let groups = groups.min(n);
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
