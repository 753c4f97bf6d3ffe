//! Searches that raise one level per layer as long as the network's answers stay good enough.

use skimp_sim::{LayerEffect, LayerWorkload, SimError, Tuner};

/// Accuracy that a search has to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor(f64);

impl Floor {
    /// The exact network's accuracy less `max_loss`, a share of all images.
    pub(super) fn new(tuner: &dyn Tuner, max_loss: f64) -> Result<Floor, SimError> {
        // Accuracies are quotients of small integers: the slack is far below one image.
        Ok(Floor(tuner.accuracy(None)? - max_loss - 1e-9))
    }

    /// Whether the network keeps it under `effect`.
    pub(super) fn holds(self, tuner: &dyn Tuner, effect: &dyn LayerEffect) -> Result<bool, SimError> {
        Ok(tuner.accuracy(Some(effect))? >= self.0)
    }
}

/// Refuses what is no share.
pub(super) fn check_loss(key: &str, loss: f64) -> Result<(), SimError> {
    if (0.0..=1.0).contains(&loss) {
        return Ok(());
    }
    Err(SimError::SettingValue { key: key.into(), reason: format!("expected 0 to 1, found {loss}") })
}

/// Layers in the order of their multiply-accumulates, most first: they gain most from a level.
pub(super) fn by_work(layers: &[&LayerWorkload]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|&idx| std::cmp::Reverse(layers[idx].shape.dense_macs()));
    order
}

/// The highest common level, each layer's capped by its limit, found by bisection. `levels` hold.
pub(super) fn raise_all(
    levels: &mut [u32],
    limits: &[u32],
    mut holds: impl FnMut(&[u32]) -> Result<bool, SimError>,
) -> Result<(), SimError> {
    let base = levels.to_vec();
    let capped = |by: u32| -> Vec<u32> {
        base.iter().zip(limits).map(|(&level, &limit)| level.saturating_add(by).min(limit.max(level))).collect()
    };
    let most = base.iter().zip(limits).map(|(&level, &limit)| limit.saturating_sub(level)).max().unwrap_or(0);
    let (mut good, mut bad) = (0, most + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(&capped(middle))? { good = middle } else { bad = middle }
    }
    levels.copy_from_slice(&capped(good));
    Ok(())
}

/// Raises one layer after the other, step by step, until its next step would not hold. `levels` hold.
pub(super) fn raise_each(
    levels: &mut [u32],
    limits: &[u32],
    order: &[usize],
    mut holds: impl FnMut(&[u32]) -> Result<bool, SimError>,
) -> Result<(), SimError> {
    for &idx in order {
        while levels[idx] < limits[idx] {
            levels[idx] += 1;
            if !holds(levels)? {
                levels[idx] -= 1;
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_to_the_bound() {
        // Answers hold while the weighted sum of levels stays below a bound.
        let holds = |levels: &[u32]| Ok(levels[0] * 3 + levels[1] + levels[2] <= 20);
        let (mut levels, limits) = (vec![0; 3], [9, 5, 30]);
        raise_all(&mut levels, &limits, holds).unwrap();
        assert_eq!(levels, [4, 4, 4]);
        raise_each(&mut levels, &limits, &[0, 1, 2], holds).unwrap();
        assert_eq!(levels, [4, 4, 4]);
        let (mut levels, limits) = (vec![0; 3], [1, 5, 30]);
        raise_all(&mut levels, &limits, holds).unwrap();
        assert_eq!(levels, [1, 5, 12]);
        let mut levels = vec![0; 3];
        raise_each(&mut levels, &limits, &[2, 1, 0], holds).unwrap();
        assert_eq!(levels, [0, 0, 20]);
    }

    #[test]
    fn nothing_to_raise_asks_nothing() {
        let refuse = |_: &[u32]| panic!("asked");
        raise_all(&mut [], &[], refuse).unwrap();
        raise_all(&mut [2], &[1], refuse).unwrap();
        raise_each(&mut [2], &[2], &[0], refuse).unwrap();
    }
}
