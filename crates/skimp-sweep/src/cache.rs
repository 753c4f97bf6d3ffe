//! What stages made, kept within a budget of memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stages::Key;

/// Results of one stage by the key of all that they depend on. Each is made once, whoever asks first; the others wait.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    slots: Mutex<Slots<V>>,
    budget: u64,
}

#[derive(Debug)]
struct Slots<V> {
    by_key: HashMap<Key, Slot<V>>,
    /// Keys of results that are there, by when they were last used.
    by_use: BTreeMap<u64, Key>,
    bytes: u64,
    clock: u64,
    made: u64,
    found: u64,
}

/// A result, or the place of one that is being made.
type Place<V> = Arc<Mutex<Option<V>>>;

#[derive(Debug)]
struct Slot<V> {
    place: Place<V>,
    bytes: u64,
    used: u64,
}

impl<V: Clone> Cache<V> {
    /// One that keeps results of `budget` bytes together, and the last one however large it is.
    pub(crate) fn new(budget: u64) -> Self {
        let slots = Slots { by_key: HashMap::new(), by_use: BTreeMap::new(), bytes: 0, clock: 0, made: 0, found: 0 };
        Self { slots: Mutex::new(slots), budget }
    }

    /// The result of `key`, made by `make` if it is not there; `bytes` is what it takes.
    pub(crate) fn get<E>(
        &self,
        key: &Key,
        make: impl FnOnce() -> Result<V, E>,
        bytes: impl FnOnce(&V) -> u64,
    ) -> Result<V, E> {
        let place = self.place(key);
        let mut value = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).found += 1;
            return Ok(value.clone());
        }
        // Room first: what goes is not needed while the new one is made.
        self.shrink(key, self.budget / 2);
        let made = make()?;
        let bytes = bytes(&made);
        *value = Some(made.clone());
        drop(value);
        let mut guard = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = &mut *guard;
        slots.made += 1;
        if let Some(slot) = slots.by_key.get_mut(key) {
            slots.bytes += bytes;
            slot.bytes = bytes;
            slots.by_use.insert(slot.used, *key);
        }
        drop(guard);
        self.shrink(key, self.budget);
        Ok(made)
    }

    /// What `make` makes, which nobody asks for again and is not kept.
    pub(crate) fn pass<E>(&self, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let made = make()?;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).made += 1;
        Ok(made)
    }

    fn place(&self, key: &Key) -> Place<V> {
        let mut guard = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = &mut *guard;
        slots.clock += 1;
        let clock = slots.clock;
        let slot = slots.by_key.entry(*key).or_insert_with(|| Slot { place: Arc::default(), bytes: 0, used: clock });
        if slots.by_use.remove(&slot.used).is_some() {
            slots.by_use.insert(clock, *key);
        }
        slot.used = clock;
        Arc::clone(&slot.place)
    }

    /// Lets the results go that were not used for longest, until they take `budget` bytes; that of `key` stays.
    fn shrink(&self, key: &Key, budget: u64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.bytes > budget {
            let mut oldest = slots.by_use.iter().filter(|(_, other)| *other != key);
            let Some((&used, &other)) = oldest.next() else { return };
            slots.by_use.remove(&used);
            if let Some(slot) = slots.by_key.remove(&other) {
                slots.bytes -= slot.bytes;
            }
        }
    }

    /// How many results were made, and how often one that was there was taken.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        (slots.made, slots.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn results_are_made_once_and_go_in_order_of_use() {
        let cache = Cache::new(10);
        let made = AtomicU64::new(0);
        let get = |name: &str, bytes| {
            cache.get::<()>(&Key::named(name), || Ok(made.fetch_add(1, Ordering::Relaxed)), |_| bytes).unwrap()
        };
        assert_eq!([get("a", 4), get("b", 4), get("a", 4)], [0, 1, 0]);
        // No room for three: the one that was not used for longest goes.
        assert_eq!(get("c", 4), 2);
        assert_eq!(get("a", 4), 0);
        assert_eq!(get("b", 4), 3);
        // Larger than all: it is kept, alone.
        assert_eq!([get("d", 100), get("d", 100)], [4, 4]);
        assert_eq!(cache.get(&Key::named("e"), || Err("no"), |_: &u64| 1), Err("no"));
        assert_eq!(get("e", 1), 5);
        assert_eq!(cache.counts().0, 6);
        assert_eq!([cache.pass(|| Ok::<_, ()>(8)), cache.pass(|| Err(()))], [Ok(8), Err(())]);
        assert_eq!(cache.counts().0, 7);
    }

    #[test]
    fn threads_share_what_is_being_made() {
        let cache = Cache::new(100);
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let slow = || {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok::<_, ()>(made.fetch_add(1, Ordering::Relaxed))
                    };
                    assert_eq!(cache.get(&Key::named("a"), slow, |_| 1), Ok(0));
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
