//! Pareto fronts.

use std::cmp::Ordering;

/// What no other point beats: none costs as little in everything and less in something. Equal points are all on the front.
/// Sorted by the first cost, then by the next, then by what the point is. Costs are numbers; all points have as many.
pub fn front<T: Ord>(mut points: Vec<(Vec<f64>, T)>) -> Vec<T> {
    // Without the sign of zero, so that the total order is the one of numbers.
    points.iter_mut().flat_map(|(costs, _)| costs).for_each(|cost| *cost += 0.0);
    points.sort_by(|(a, left), (b, right)| {
        let costs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
        costs.fold(Ordering::Equal, Ordering::then).then_with(|| left.cmp(right))
    });
    let mut front: Vec<(Vec<f64>, T)> = Vec::new();
    for (own, what) in points {
        // What beats a point stands before it, or is beaten by what does. Of two costs the second one falls from point to
        // point of the front: its last point beats whatever any of them beats.
        let is_beaten = match (own.len(), front.last()) {
            (_, None) => false,
            (2, Some((last, _))) => last[1] <= own[1] && *last != own,
            (_, Some(_)) => {
                let beats = |(other, _): &&(Vec<f64>, T)| other.iter().zip(&own).all(|(a, b)| a <= b) && *other != own;
                front.iter().rev().any(|point| beats(&point))
            }
        };
        if !is_beaten {
            front.push((own, what));
        }
    }
    front.into_iter().map(|(_, what)| what).collect()
}

/// Indices of the points on the [`front`] of some columns of figures; `true` beside a column: more is better. Points without
/// one of the figures are on none.
pub(crate) fn front_of_columns(columns: &[(&[Option<f64>], bool)], is_eligible: impl Fn(usize) -> bool) -> Vec<usize> {
    let n = columns.iter().map(|(values, _)| values.len()).min().unwrap_or(0);
    let costs = |idx: usize| {
        let cost = |&(values, maximize): &(&[Option<f64>], bool)| {
            let value = values[idx].filter(|value| value.is_finite())?;
            Some(if maximize { -value } else { value })
        };
        columns.iter().map(cost).collect::<Option<Vec<f64>>>()
    };
    front((0..n).filter(|&idx| is_eligible(idx)).filter_map(|idx| Some((costs(idx)?, idx))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_figures_make_more_points_good() {
        let (x, y) = ([Some(1.0), Some(2.0), Some(3.0)], [Some(1.0), Some(2.0), Some(2.0)]);
        let z = [Some(0.0), Some(1.0), Some(1.0)];
        assert_eq!(front_of_columns(&[(&x, false), (&y, false)], |_| true), [0]);
        assert_eq!(front_of_columns(&[(&x, false), (&y, false), (&z, true)], |_| true), [0, 1]);
        assert_eq!(front_of_columns(&[(&x, false), (&y, false), (&z, true)], |idx| idx != 1), [0, 2]);
    }

    /// A third figure that is the same for all points changes nothing, but takes the other way.
    #[test]
    fn two_figures_give_what_any_number_gives() {
        let mut state = 1u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..200 {
            let n = draw(40) as usize;
            let mut values =
                || -> Vec<Option<f64>> { (0..n).map(|_| (draw(9) > 0).then(|| draw(8) as f64 - 4.0)).collect() };
            let (x, y, same) = (values(), values(), vec![Some(1.0); n]);
            for high in [false, true] {
                let two = front_of_columns(&[(&x, false), (&y, high)], |_| true);
                let three = front_of_columns(&[(&x, false), (&y, high), (&same, false)], |_| true);
                assert_eq!(two, three, "round {round}: {x:?} {y:?}");
            }
        }
    }

    #[test]
    fn ties_stay_and_gaps_go() {
        let nan = Some(f64::NAN);
        let x = [Some(1.0), Some(2.0), Some(1.0), Some(3.0), None, Some(2.0), nan, Some(-0.0), Some(0.0)];
        let y = [Some(5.0), Some(3.0), Some(5.0), Some(3.0), Some(0.0), Some(4.0), Some(0.0), Some(9.0), Some(9.0)];
        let of = |[x_high, y_high]: [bool; 2]| front_of_columns(&[(&x, x_high), (&y, y_high)], |_| true);
        assert_eq!(of([false, false]), [7, 8, 0, 2, 1]);
        assert_eq!(of([true, false]), [3]);
        assert_eq!(of([false, true]), [7, 8]);
        assert_eq!(of([true, true]), [3, 5, 0, 2, 7, 8]);
        assert!(front_of_columns(&[], |_| true).is_empty());
        assert_eq!(front_of_columns(&[(&x, false), (&y, false)], |idx| idx > 1), [7, 8, 2, 5, 3]);
    }
}
