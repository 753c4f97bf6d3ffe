//! Ways to cut what does not fit at once.

/// A number of things cut into `parts`, the largest of which has `share` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) parts: u64,
    pub(super) share: u64,
}

/// All ways to cut `total` that differ in their number of parts, with shares of at most `most`, the largest share first.
/// Each share is the least that makes so few parts: a larger one takes more room and no less time.
pub(super) fn cuts(total: u64, most: u64) -> impl Iterator<Item = Cut> {
    let cut = move |most: u64| {
        let parts = total.div_ceil(most.min(total));
        Cut { parts, share: total.div_ceil(parts) }
    };
    let first = (most > 0).then(|| cut(most));
    std::iter::successors(first, move |last| (last.share > 1).then(|| cut(last.share - 1)))
}

/// The one of [`cuts`] whose share is `share`.
pub(super) fn cut_of(total: u64, most: u64, share: u64) -> Option<Cut> {
    let parts = (1..=most.min(total)).contains(&share).then(|| total.div_ceil(share))?;
    (total.div_ceil(parts) == share).then_some(Cut { parts, share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_all_numbers_of_parts() {
        for total in 1..60 {
            for most in 0..70 {
                let found: Vec<Cut> = cuts(total, most).collect();
                let mut expected: Vec<u64> = (1..=most.min(total)).map(|share| total.div_ceil(share)).collect();
                expected.sort_unstable();
                expected.dedup();
                assert_eq!(found.iter().map(|cut| cut.parts).collect::<Vec<_>>(), expected, "{total} {most}");
                for share in 0..=most + 2 {
                    let of_share = found.iter().copied().find(|cut| cut.share == share);
                    assert_eq!(cut_of(total, most, share), of_share, "{total} {most} {share}");
                }
                for cut in found {
                    assert_eq!(cut.share, total.div_ceil(cut.parts));
                    assert_eq!(total.div_ceil(cut.share), cut.parts);
                }
            }
        }
    }
}
