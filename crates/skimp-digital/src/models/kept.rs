//! What designs work out of operands under a few of their settings, kept with the operands: a sweep asks for the same again
//! and again while other settings change.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use skimp_sim::Derived;

/// Most results of one layer and image; beyond them all are forgotten.
const MOST: usize = 256;

/// Results by the settings that they depend on. What is in it never changes a result: a clone is empty, and all are equal.
pub(super) struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// The result under `key`, worked out unless it is known.
    pub(super) fn get(&self, key: K, work: impl FnOnce() -> V) -> V {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        // No lock is held meanwhile: the work may use a thread pool.
        known.unwrap_or_else(|| {
            let value = work();
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(key, value.clone());
            value
        })
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Clone for Kept<K, V> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<K, V> PartialEq for Kept<K, V> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<K, V> Eq for Kept<K, V> {}

impl<K, V> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl<K: Send + 'static, V: Send + 'static> Derived for Kept<K, V> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_worked_out_once() {
        let kept = Kept::default();
        let mut n_worked = 0;
        for key in [1, 2, 1, 2, 3] {
            let value = kept.get(key, || {
                n_worked += 1;
                10 * key
            });
            assert_eq!(value, 10 * key);
        }
        assert_eq!(n_worked, 3);
        (0..2 * MOST).for_each(|key| assert_eq!(kept.get(key, || 10 * key), 10 * key));
        assert!(kept.0.lock().unwrap().len() <= MOST);
        assert!(kept.clone().0.lock().unwrap().is_empty() && kept == kept.clone());
    }
}
