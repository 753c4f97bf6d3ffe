//! Large allocations on large pages.

#![allow(unsafe_code, reason = "an allocator is unsafe to call and to implement")]

use std::alloc::{GlobalAlloc, Layout, System};

/// Allocations from here on ask for large pages.
const LEAST_BYTES: usize = 512 << 10;

/// Allocations of more bytes do not: where memory is in pieces, the system moves its pages about to make large ones, which for
/// hundreds of them takes longer than handing out small ones.
const MOST_BYTES: usize = 32 << 20;

/// The system's allocator, which tells Linux that memory of half a MiB to 32 MiB may lie on large pages (2 MiB; transparent huge
/// pages, which most systems give to those who ask). A page is handed out when it is first touched, and a network's weights and
/// activations are hundreds of thousands of small ones: in a process that runs a network once, that was more than half of
/// its time. Elsewhere it is the system's allocator and nothing else.
///
/// A program names it once:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: skimp_cpu::HugePages = skimp_cpu::HugePages;
/// # let weights = vec![1.0_f32; 1 << 20];
/// # assert_eq!(weights.iter().sum::<f32>(), (1 << 20) as f32);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

// SAFETY: every call goes to `System` with the caller's own arguments, and what comes back is handed on; advice changes neither
// contents nor ownership of memory.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is that of `System`.
        let start = unsafe { System.alloc(layout) };
        advise(start, layout.size());
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let start = unsafe { System.alloc_zeroed(layout) };
        advise(start, layout.size());
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(start, layout, size) };
        if size > layout.size() {
            advise(moved, size);
        }
        moved
    }
}

/// Advice on the large pages that hold `size` bytes from `start` on. Where there are none, or it is not heeded, nothing is lost.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, size: usize) {
    /// Of x86 and of most others.
    const PAGE: usize = 2 << 20;
    if !(LEAST_BYTES..=MOST_BYTES).contains(&size) || start.is_null() {
        return;
    }
    let skipped = start.addr() % PAGE;
    let length = (skipped + size).next_multiple_of(PAGE);
    // SAFETY: this advice changes no contents; of what is not mapped the system says so.
    unsafe { libc::madvise(start.wrapping_sub(skipped).cast(), length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_system_gives() {
        for size in [1, LEAST_BYTES - 1, LEAST_BYTES, (2 << 20) + 5, MOST_BYTES + 1] {
            for align in [1, 64, 4 << 20] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let longer = Layout::from_size_align(3 * size, align).unwrap();
                // SAFETY: each layout has bytes, blocks are read where they were written, and go back with their own layout.
                unsafe {
                    let plain = HugePages.alloc(layout);
                    assert!(!plain.is_null() && plain.addr().is_multiple_of(align));
                    plain.write_bytes(7, size);
                    let grown = HugePages.realloc(plain, layout, 3 * size);
                    assert!(std::slice::from_raw_parts(grown, size).iter().all(|&byte| byte == 7));
                    grown.add(size).write_bytes(9, 2 * size);
                    let shrunk = HugePages.realloc(grown, longer, size);
                    assert!(std::slice::from_raw_parts(shrunk, size).iter().all(|&byte| byte == 7));
                    let zeroed = HugePages.alloc_zeroed(layout);
                    assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|&byte| byte == 0));
                    HugePages.dealloc(zeroed, layout);
                    HugePages.dealloc(shrunk, layout);
                }
            }
        }
    }
}
