//! Which weights go: those with the smallest scores, ties by index.

/// A mask that keeps all of `n` weights.
pub fn keep_all(n: usize) -> Vec<f32> {
    vec![1.0; n]
}

/// The magnitudes of weights.
pub fn magnitudes(weights: &[f32]) -> Vec<f32> {
    weights.iter().map(|weight| weight.abs()).collect()
}

/// A mask, 0 or 1 for each score: the `n` smallest scores are cut. Of equal ones, those of lower index go first; NaN goes
/// last.
pub fn cut_smallest(scores: &[f32], n: usize) -> Vec<f32> {
    let mut masks = cut_smallest_of_all(&[scores], n, &[0]).unwrap_or_default();
    masks.pop().unwrap_or_default()
}

/// As [`cut_smallest`], over several tensors as one; of the tensor `i` at least the `floors[i]` greatest stay. `None` if
/// that leaves fewer than `n` to cut.
pub fn cut_smallest_of_all(scores: &[&[f32]], n: usize, floors: &[usize]) -> Option<Vec<Vec<f32>>> {
    let eligible: Vec<Option<Vec<f32>>> = scores
        .iter()
        .zip(floors)
        .map(|(scores, &floor)| {
            (floor > 0).then(|| cut(&[(*scores, None)], scores.len().saturating_sub(floor)).swap_remove(0))
        })
        .collect();
    let n_eligible: usize = scores.iter().zip(floors).map(|(scores, &floor)| scores.len().saturating_sub(floor)).sum();
    if n > n_eligible {
        return None;
    }
    let parts: Vec<(&[f32], Option<&[f32]>)> =
        scores.iter().zip(&eligible).map(|(scores, eligible)| (*scores, eligible.as_deref())).collect();
    Some(cut(&parts, n))
}

/// Cuts the `n` smallest of those scores whose entry in the second list is 0, or of all where there is no list.
fn cut(parts: &[(&[f32], Option<&[f32]>)], n: usize) -> Vec<Vec<f32>> {
    let mut masks: Vec<Vec<f32>> = parts.iter().map(|(scores, _)| keep_all(scores.len())).collect();
    if n == 0 {
        return masks;
    }
    let is_eligible = |part: usize, idx: usize| parts[part].1.is_none_or(|list| list[idx] <= 0.0);
    let each =
        || parts.iter().enumerate().flat_map(|(part, (scores, _))| (0..scores.len()).map(move |idx| (part, idx)));
    let key_of = |(part, idx): (usize, usize)| key(parts[part].0[idx]);
    let mut keys: Vec<u32> = each().filter(|&(part, idx)| is_eligible(part, idx)).map(key_of).collect();
    let n = n.min(keys.len());
    let (below, &mut threshold, _) = keys.select_nth_unstable(n - 1);
    let mut n_ties = n - below.iter().filter(|&&key| key < threshold).count();
    for (part, idx) in each().filter(|&(part, idx)| is_eligible(part, idx)) {
        let key = key_of((part, idx));
        let is_tie = key == threshold && n_ties > 0;
        n_ties -= usize::from(is_tie);
        if key < threshold || is_tie {
            masks[part][idx] = 0.0;
        }
    }
    masks
}

/// An integer in the order of the numbers, NaN at the end.
fn key(score: f32) -> u32 {
    if score.is_nan() {
        return u32::MAX;
    }
    // -0 is 0.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}

/// Zeros of masks.
pub fn n_zeros<'m>(masks: impl IntoIterator<Item = &'m Vec<f32>>) -> usize {
    masks.into_iter().flatten().filter(|&&mask| mask <= 0.0).count()
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    /// Against sorting (score, tensor, index), on scores with many ties and with floors.
    #[test]
    fn as_sorting_does() {
        let mut draws = Draws::new(1, stream("select"));
        for _ in 0..200 {
            let scores: Vec<Vec<f32>> = (0..draws.between(1, 4))
                .map(|_| (0..draws.between(1, 30)).map(|_| draws.between(0, 12) as f32 - 6.0).collect())
                .collect();
            let floors: Vec<usize> = scores.iter().map(|scores| draws.below(scores.len() + 1)).collect();
            let borrowed: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
            let mut order: Vec<(usize, usize)> =
                scores.iter().enumerate().flat_map(|(t, s)| (0..s.len()).map(move |i| (t, i))).collect();
            order.sort_by(|&(t, i), &(u, j)| scores[t][i].total_cmp(&scores[u][j]).then((t, i).cmp(&(u, j))));
            let n_eligible: usize = scores.iter().zip(&floors).map(|(s, f)| s.len() - f).sum();
            let n = draws.below(n_eligible + 1);
            let mut expected: Vec<Vec<f32>> = scores.iter().map(|s| vec![1.0; s.len()]).collect();
            let mut left: Vec<usize> = scores.iter().zip(&floors).map(|(s, f)| s.len() - f).collect();
            let mut n_left = n;
            for (t, i) in order {
                if n_left > 0 && left[t] > 0 {
                    expected[t][i] = 0.0;
                    left[t] -= 1;
                    n_left -= 1;
                }
            }
            assert_eq!(cut_smallest_of_all(&borrowed, n, &floors), Some(expected), "{scores:?} {floors:?} {n}");
            assert_eq!(cut_smallest_of_all(&borrowed, n_eligible + 1, &floors), None);
        }
    }

    #[test]
    fn numbers_are_in_order() {
        let ordered = [f32::NEG_INFINITY, -1.0, -f32::MIN_POSITIVE, 0.0, 1e-40, 1.0, f32::INFINITY, f32::NAN];
        assert!(ordered.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
        assert_eq!(key(-0.0), key(0.0));
    }
}
