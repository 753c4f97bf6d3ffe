//! The memory that a run may take, checked before it is taken.
//!
//! A budget for the whole process, as the pool of threads is one: [`set_budget`], by default three quarters of the
//! machine ([`machine`]). Whoever is about to allocate what a file, a setting or a command line sized asks [`reserve`]
//! first, and holds the [`Reservation`] as long as the memory; [`check`] is for what does not last. Small things are not
//! counted: a budget is a bound on what input can blow up, not an account of every byte.
//!
//! ```
//! let held = skimp_memory::reserve(1 << 20, || "the activations of one image".to_owned())?;
//! let memory = vec![0_u8; 1 << 20];
//! drop((memory, held));
//! let error = skimp_memory::check(u64::MAX, || "a hostile file".to_owned()).unwrap_err();
//! assert!(error.to_string().starts_with("a hostile file needs "));
//! # Ok::<(), skimp_memory::OutOfMemory>(())
//! ```

mod machine;
mod size;

use std::sync::atomic::{AtomicU64, Ordering};

pub use machine::machine;
pub use size::{InvalidSize, Size};

/// The budget where the machine does not say what it has.
const UNKNOWN_MACHINE: u64 = 8 << 30;

/// Bytes that may be reserved; 0 until it is set or asked for.
static BUDGET: AtomicU64 = AtomicU64::new(0);

/// Bytes that are reserved.
static RESERVED: AtomicU64 = AtomicU64::new(0);

/// Something does not fit the budget. Nothing was allocated for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} needs {needed}, the memory budget is {budget}{}; give --memory if there is more, or ask for less (a smaller \
     batch, fewer images, a smaller input)",
    in_use(.reserved)
)]
pub struct OutOfMemory {
    /// What asked.
    pub what: String,
    /// What it asked for.
    pub needed: Size,
    /// What others hold.
    pub reserved: Size,
    /// What there is for all together.
    pub budget: Size,
}

fn in_use(reserved: &Size) -> String {
    if reserved.0 == 0 { String::new() } else { format!(", of which {reserved} are in use") }
}

/// Memory that is set aside until this is dropped.
#[derive(Debug, Default)]
#[must_use = "memory counts only as long as the reservation is held"]
pub struct Reservation(u64);

impl Drop for Reservation {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Sets what [`reserve`] gives out in this process.
pub fn set_budget(budget: Size) {
    BUDGET.store(budget.0.max(1), Ordering::Relaxed);
}

/// The budget in force: what was set, else three quarters of the machine, else 8 GiB.
pub fn budget() -> Size {
    match BUDGET.load(Ordering::Relaxed) {
        0 => {
            let budget = machine().map_or(UNKNOWN_MACHINE, |machine| machine.0 / 4 * 3).max(1);
            BUDGET.store(budget, Ordering::Relaxed);
            Size(budget)
        }
        set => Size(set),
    }
}

/// Sets `bytes` aside for `what`.
///
/// # Errors
/// [`OutOfMemory`] where they do not fit beside what is reserved already.
pub fn reserve(bytes: u64, what: impl FnOnce() -> String) -> Result<Reservation, OutOfMemory> {
    let budget = budget();
    let taken = RESERVED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
        reserved.checked_add(bytes).filter(|&all| all <= budget.0)
    });
    match taken {
        Ok(_) => Ok(Reservation(bytes)),
        Err(reserved) => Err(OutOfMemory { what: what(), needed: Size(bytes), reserved: Size(reserved), budget }),
    }
}

/// Whether `bytes` for `what` would fit now; nothing is set aside.
///
/// # Errors
/// As [`reserve`].
pub fn check(bytes: u64, what: impl FnOnce() -> String) -> Result<(), OutOfMemory> {
    reserve(bytes, what).map(drop)
}

/// Bytes of `n` elements of `T`, as far as they can be counted.
pub fn bytes_of<T>(n: u64) -> u64 {
    n.saturating_mul(size_of::<T>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the budget belongs to the process.
    #[test]
    fn what_is_held_counts_and_what_is_dropped_does_not() {
        assert!(budget().0 > 1 << 20, "three quarters of any machine");
        set_budget(Size(1000));
        let held = reserve(600, || "weights".to_owned()).unwrap();
        let error = reserve(500, || "a batch".to_owned()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a batch needs 500 B, the memory budget is 1000 B, of which 600 B are in use; give --memory if there is more, \
             or ask for less (a smaller batch, fewer images, a smaller input)"
        );
        check(400, String::new).unwrap();
        check(u64::MAX, String::new).unwrap_err();
        drop(held);
        check(1000, String::new).unwrap();
        assert_eq!(check(1001, || "a batch".to_owned()).unwrap_err().reserved, Size(0));
        assert_eq!(bytes_of::<f32>(u64::MAX), u64::MAX);
    }
}
