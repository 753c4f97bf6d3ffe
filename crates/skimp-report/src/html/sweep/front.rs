//! Pareto fronts.

use std::cmp::Ordering;

/// Indices of the points that no other beats: none is as good in all figures and better in one. Equal points are all on
/// the front. Points without one of the figures are not. From the best to the worst in the first figure, then in the next.
pub(super) fn pareto_front(figures: &[(&[Option<f64>], bool)], is_eligible: impl Fn(usize) -> bool) -> Vec<usize> {
    let n = figures.iter().map(|(values, _)| values.len()).min().unwrap_or(0);
    let signed = |idx: usize| {
        let value = |&(values, maximize): &(&[Option<f64>], bool)| {
            let value = values[idx].filter(|value| value.is_finite())?;
            // Without the sign of zero, so that the total order is the one of numbers.
            Some(if maximize { -value } else { value } + 0.0)
        };
        figures.iter().map(value).collect::<Option<Vec<f64>>>()
    };
    let mut points: Vec<(Vec<f64>, usize)> =
        (0..n).filter(|&idx| is_eligible(idx)).filter_map(|idx| Some((signed(idx)?, idx))).collect();
    points.sort_by(|a, b| {
        let figures = a.0.iter().zip(&b.0).map(|(a, b)| a.total_cmp(b));
        figures.fold(Ordering::Equal, Ordering::then).then(a.1.cmp(&b.1))
    });
    // What beats a point stands before it, or is beaten by what does.
    let mut front: Vec<(Vec<f64>, usize)> = Vec::new();
    for (own, idx) in points {
        let beats = |(other, _): &&(Vec<f64>, usize)| other.iter().zip(&own).all(|(a, b)| a <= b) && *other != own;
        if front.iter().rev().find(beats).is_none() {
            front.push((own, idx));
        }
    }
    front.into_iter().map(|(_, idx)| idx).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_figures_make_more_points_good() {
        let (x, y) = ([Some(1.0), Some(2.0), Some(3.0)], [Some(1.0), Some(2.0), Some(2.0)]);
        let z = [Some(0.0), Some(1.0), Some(1.0)];
        assert_eq!(pareto_front(&[(&x, false), (&y, false)], |_| true), [0]);
        assert_eq!(pareto_front(&[(&x, false), (&y, false), (&z, true)], |_| true), [0, 1]);
        assert_eq!(pareto_front(&[(&x, false), (&y, false), (&z, true)], |idx| idx != 1), [0, 2]);
    }

    #[test]
    fn ties_stay_and_gaps_go() {
        let nan = Some(f64::NAN);
        let x = [Some(1.0), Some(2.0), Some(1.0), Some(3.0), None, Some(2.0), nan, Some(-0.0), Some(0.0)];
        let y = [Some(5.0), Some(3.0), Some(5.0), Some(3.0), Some(0.0), Some(4.0), Some(0.0), Some(9.0), Some(9.0)];
        let of = |[x_high, y_high]: [bool; 2]| pareto_front(&[(&x, x_high), (&y, y_high)], |_| true);
        assert_eq!(of([false, false]), [7, 8, 0, 2, 1]);
        assert_eq!(of([true, false]), [3]);
        assert_eq!(of([false, true]), [7, 8]);
        assert_eq!(of([true, true]), [3, 5, 0, 2, 7, 8]);
        assert!(pareto_front(&[], |_| true).is_empty());
        assert_eq!(pareto_front(&[(&x, false), (&y, false)], |idx| idx > 1), [7, 8, 2, 5, 3]);
    }
}
