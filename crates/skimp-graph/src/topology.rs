//! The order in which nodes can run.

use std::collections::BTreeSet;

/// The nodes in a topological order that keeps the given order where possible (Kahn, lowest index first).
///
/// `readers[i]` are the nodes that read from node `i`, once per use.
///
/// # Errors
/// The index of a node that waits for a cycle.
pub(crate) fn order(readers: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    let mut n_missing = vec![0_usize; readers.len()];
    for &reader in readers.iter().flatten() {
        n_missing[reader] += 1;
    }
    let mut ready: BTreeSet<usize> = (0..readers.len()).filter(|&i| n_missing[i] == 0).collect();
    let mut order = Vec::with_capacity(readers.len());
    while let Some(idx) = ready.pop_first() {
        order.push(idx);
        for &reader in &readers[idx] {
            n_missing[reader] -= 1;
            if n_missing[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    match n_missing.iter().position(|&n| n > 0) {
        Some(in_cycle) => Err(in_cycle),
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_where_it_is_one() {
        // 0 → 2, 1 → 2: in order already. 2 → 0 → 1: turned.
        assert_eq!(order(&[vec![2], vec![2], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![1, 1], vec![], vec![0]]), Ok(vec![2, 0, 1]));
        assert_eq!(order(&[vec![1], vec![1]]), Err(1));
        assert_eq!(order(&[]), Ok(vec![]));
    }
}
