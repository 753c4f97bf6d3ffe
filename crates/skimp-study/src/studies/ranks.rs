//! Orders and fronts of figures.

/// Spearman's rank correlation of the pairs that have both figures, and how many these are; equal figures share a rank.
/// `None` for fewer than three pairs, or where all figures of one side are equal.
pub(crate) fn rank_correlation(a: &[Option<f64>], b: &[Option<f64>]) -> Option<(f64, usize)> {
    let pairs: Vec<(f64, f64)> = a.iter().zip(b).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    let n = pairs.len();
    if n < 3 {
        return None;
    }
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let (a, b) = (ranks(&a), ranks(&b));
    let mean = (n as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| (product(&a, &b) / spread, n))
}

/// Ranks from 1 on, the mean of theirs for equal figures.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| other.total_cmp(value).is_eq()).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// Which points no other one beats: none costs as little and is worth as much, and better in one of both.
pub(crate) fn front(points: &[Option<(f64, f64)>]) -> Vec<bool> {
    let beats = |other: (f64, f64), own: (f64, f64)| other.0 <= own.0 && other.1 >= own.1 && other != own;
    let is_best = |own: (f64, f64)| !points.iter().flatten().any(|&other| beats(other, own));
    points.iter().map(|point| point.is_some_and(is_best)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn what_is_beaten_lies_behind_the_front() {
        let points = [(4.0, 90.0), (2.0, 88.0), (3.0, 88.0), (2.0, 87.0), (1.0, 70.0), (5.0, 90.0)];
        let mut points: Vec<_> = points.into_iter().map(Some).collect();
        points.push(None);
        assert_eq!(front(&points), [true, true, false, false, true, false, false]);
        // Equals do not beat each other.
        assert_eq!(front(&[Some((1.0, 1.0)), Some((1.0, 1.0))]), [true, true]);
    }

    #[test]
    fn orders_agree_or_do_not() {
        let near = |found: Option<(f64, usize)>, rho: f64, n: usize| {
            found.is_some_and(|own| (own.0 - rho).abs() < 1e-12 && own.1 == n)
        };
        assert!(near(rank_correlation(&some(&[1.0, 2.0, 9.0]), &some(&[3.0, 4.0, 5.0])), 1.0, 3));
        assert!(near(rank_correlation(&some(&[1.0, 2.0, 9.0]), &some(&[5.0, 4.0, 3.0])), -1.0, 3));
        // 1 - 6 · (0 + 1 + 1 + 0) / (4 · 15).
        assert!(near(rank_correlation(&some(&[1.0, 2.0, 3.0, 4.0]), &some(&[1.0, 3.0, 2.0, 4.0])), 0.8, 4));
        // Equal ones: ranks 1.5, 1.5, 3 and 1, 2, 3.
        assert!(near(rank_correlation(&some(&[1.0, 1.0, 2.0]), &some(&[1.0, 2.0, 3.0])), 0.75_f64.sqrt(), 3));
        let gaps = [Some(1.0), None, Some(2.0), Some(3.0)];
        assert!(near(rank_correlation(&gaps, &some(&[1.0, 0.0, 2.0, 3.0])), 1.0, 3));
        assert_eq!(rank_correlation(&some(&[1.0, 2.0]), &some(&[1.0, 2.0])), None);
        assert_eq!(rank_correlation(&some(&[1.0, 1.0, 1.0]), &some(&[1.0, 2.0, 3.0])), None);
    }
}
