//! Pareto fronts of two figures.

/// Indices of the points that no other beats: none is as good in both figures and better in one. Equal points are all on
/// the front. Points without one of the figures are not. From the best to the worst in `x`, then by index.
pub(super) fn pareto_front(x: &[Option<f64>], y: &[Option<f64>], maximize: [bool; 2]) -> Vec<usize> {
    let signed = |value: Option<f64>, maximize: bool| {
        let value = value.filter(|value| value.is_finite())?;
        Some(if maximize { -value } else { value } + 0.0)
    };
    let pairs = x.iter().zip(y).enumerate();
    let pair = |(idx, (&x, &y)): (usize, (&Option<f64>, &Option<f64>))| {
        Some((signed(x, maximize[0])?, signed(y, maximize[1])?, idx))
    };
    let mut points: Vec<(f64, f64, usize)> = pairs.filter_map(pair).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut front: Vec<(f64, f64, usize)> = Vec::new();
    for point in points {
        let is_beaten = front.last().is_some_and(|last| point.1 >= last.1 && (point.0, point.1) != (last.0, last.1));
        if !is_beaten {
            front.push(point);
        }
    }
    front.into_iter().map(|(_, _, idx)| idx).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_stay_and_gaps_go() {
        let nan = Some(f64::NAN);
        let x = [Some(1.0), Some(2.0), Some(1.0), Some(3.0), None, Some(2.0), nan, Some(-0.0), Some(0.0)];
        let y = [Some(5.0), Some(3.0), Some(5.0), Some(3.0), Some(0.0), Some(4.0), Some(0.0), Some(9.0), Some(9.0)];
        assert_eq!(pareto_front(&x, &y, [false, false]), [7, 8, 0, 2, 1]);
        assert_eq!(pareto_front(&x, &y, [true, false]), [3]);
        assert_eq!(pareto_front(&x, &y, [false, true]), [7, 8]);
        assert_eq!(pareto_front(&x, &y, [true, true]), [3, 5, 0, 2, 7, 8]);
        assert!(pareto_front(&[], &[], [false, false]).is_empty());
    }
}
