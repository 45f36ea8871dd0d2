//! Large allocations on huge pages, without any being set aside.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

/// Size and alignment of a huge page: the smallest that x86-64 and aarch64 (with pages of 4 KiB) have.
const HUGE_PAGE: usize = 2 << 20;
/// What is smaller than this is the system allocator's.
const LARGE: usize = 2 * HUGE_PAGE;
/// The smallest page that there is.
const PAGE: usize = 4096;

/// An allocator that takes large blocks from the kernel, aligned to huge pages, and asks it for transparent huge pages
/// there ([madvise(2)], `MADV_HUGEPAGE`): a table of many megabytes, read at random, otherwise misses the translation
/// buffer with every line. Where the kernel has none to give these are normal pages.
///
/// Large blocks that are asked for zeroed are mapped on normal pages: whoever wants those may never touch most of them, and
/// a huge page is taken, and zeroed, as a whole.
///
/// [madvise(2)]: https://man7.org/linux/man-pages/man2/madvise.2.html
#[derive(Clone, Copy, Debug, Default)]
pub struct LargeOnHugePages;

/// Bytes of the mapping of a block; `None` if it is left to the system allocator.
fn mapped_len(layout: Layout) -> Option<usize> {
    let is_large = layout.size() >= LARGE && layout.align() <= HUGE_PAGE;
    // A layout's size is below isize::MAX, so that rounding up cannot overflow.
    is_large.then(|| layout.size().next_multiple_of(PAGE))
}

// SAFETY: blocks are either the system allocator's own, with its promises, or mappings of at least their size, aligned to
// more than their alignment, of which nobody else knows; which of the two follows from the layout alone. Nothing panics.
unsafe impl GlobalAlloc for LargeOnHugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match mapped_len(layout) {
            Some(len) => map(len),
            // SAFETY: the caller's promise, passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match mapped_len(layout) {
            Some(len) => reserve(len),
            // SAFETY: the caller's promise, passed on.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match mapped_len(layout) {
            // SAFETY: the caller gives back a block of this layout, which is a mapping of this length.
            Some(len) => unsafe { unmap(block, len) },
            // SAFETY: the caller's promise, passed on: by its layout the block is the system allocator's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }
}

/// A mapping on huge pages, where there are any; what does not fill one stays on normal pages.
fn map(len: usize) -> *mut u8 {
    let block = reserve(len);
    if !block.is_null() {
        let whole = len / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: FFI; the mapping is ours. It is advice: that it fails means that the kernel has no huge pages.
        unsafe { libc::madvise(block.cast(), whole, libc::MADV_HUGEPAGE) };
    }
    block
}

/// A mapping of zeros whose pages are taken when they are touched, aligned to a huge page; null if there is no room.
fn reserve(len: usize) -> *mut u8 {
    let Some(with_slack) = len.checked_add(HUGE_PAGE) else { return null_mut() };
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: FFI; a new mapping, wherever the kernel likes, touches no other.
    let start = unsafe { libc::mmap(null_mut(), with_slack, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return null_mut();
    }
    let start = start.cast::<u8>();
    let before = start.align_offset(HUGE_PAGE);
    let block = start.wrapping_add(before);
    // SAFETY: both ends lie within the new mapping, outside of the block.
    unsafe {
        unmap(start, before);
        unmap(block.wrapping_add(len), HUGE_PAGE - before);
    }
    block
}

/// # Safety
/// Nobody uses these pages, which are a mapping or part of one, any more.
unsafe fn unmap(start: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: FFI; the caller's promise. It fails only where the mapping cannot be split, which keeps the pages.
        unsafe { libc::munmap(start.cast(), len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_size_are_aligned_whole_and_given_back() {
        for size in [1, 4096, LARGE - 1, LARGE, LARGE + 1, 5 * HUGE_PAGE, 64 << 20] {
            for align in [1, 64, 4096, HUGE_PAGE, 2 * HUGE_PAGE] {
                let layout = Layout::from_size_align(size, align).expect("a power of two");
                // SAFETY: the size is not zero; the block is used within its bounds, and given back once with its layout.
                unsafe {
                    for block in [LargeOnHugePages.alloc(layout), LargeOnHugePages.alloc_zeroed(layout)] {
                        assert!(!block.is_null() && block.addr().is_multiple_of(align));
                        block.write(1);
                        block.add(size - 1).write(2);
                        LargeOnHugePages.dealloc(block, layout);
                    }
                    let zeroed = LargeOnHugePages.alloc_zeroed(layout);
                    assert!((0..size).step_by(4096).all(|at| zeroed.add(at).read() == 0));
                    let grown = LargeOnHugePages.realloc(zeroed, layout, size + HUGE_PAGE);
                    grown.add(size + HUGE_PAGE - 1).write(3);
                    LargeOnHugePages
                        .dealloc(grown, Layout::from_size_align(size + HUGE_PAGE, align).expect("as above"));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_null() {
        let layout = Layout::from_size_align(isize::MAX as usize - HUGE_PAGE, 1).expect("just fits");
        // SAFETY: the size is not zero, and there is no block to use.
        assert!(unsafe { LargeOnHugePages.alloc(layout) }.is_null());
    }
}
