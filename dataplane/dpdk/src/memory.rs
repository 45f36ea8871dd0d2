//! Hugepages: what the kernel has free, and whether it would give one.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::errno::Errno;

/// Where the environment takes its memory from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// Hugepages if enough are free, else normal pages with a note.
    #[default]
    Auto,
    /// Hugepages, or the start fails.
    Required,
    /// Normal pages: for a try with virtual devices.
    Off,
}

/// The hugepages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// Size of a page, KiB.
    pub size_kib: u64,
    /// Pages that the kernel set aside.
    pub total: u64,
    /// Of these, not in use and not promised to anyone.
    pub free: u64,
}

impl PageSize {
    fn free_mib(self) -> u64 {
        self.free * self.size_kib / 1024
    }
}

/// The hugepages of all sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageSizes(Vec<PageSize>);

impl PageSizes {
    /// What the kernel has now.
    pub fn now() -> Self {
        Self::under(Path::new("/sys/kernel/mm/hugepages"))
    }

    fn under(folder: &Path) -> Self {
        let Ok(entries) = fs::read_dir(folder) else {
            return Self::default();
        };
        let mut sizes: Vec<PageSize> = entries.filter_map(|entry| page_size(&entry.ok()?.path())).collect();
        sizes.sort_by_key(|size| size.size_kib);
        Self(sizes)
    }

    /// Free memory in pages of all sizes, MiB.
    pub fn free_mib(&self) -> u64 {
        self.0.iter().map(|size| size.free_mib()).sum()
    }

    /// How many pages of 2 MB there must be in all, so that so much is free.
    pub(crate) fn to_reserve(&self, needed_mib: u32) -> u64 {
        let in_use =
            self.0.iter().find(|size| size.size_kib == 2048).map_or(0, |size| size.total - size.free);
        u64::from(needed_mib.div_ceil(2)) + in_use
    }

    /// The smallest size of which a page is free.
    fn smallest_free(&self) -> Option<PageSize> {
        self.0.iter().copied().find(|size| size.free > 0)
    }

    /// Asks the kernel for one page and gives it back: limits and permissions show here, not in the middle of a start.
    pub(crate) fn try_one(&self) -> Result<(), Errno> {
        let Some(size) = self.smallest_free() else {
            return Err(Errno::of(libc::ENOMEM));
        };
        let length = usize::try_from(size.size_kib * 1024).map_err(|_| Errno::of(libc::EINVAL))?;
        let log2 = i32::try_from(length.trailing_zeros()).map_err(|_| Errno::of(libc::EINVAL))?;
        let flags =
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | (log2 << libc::MAP_HUGE_SHIFT);
        // SAFETY: FFI; a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let page = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::last_os());
        }
        // SAFETY: FFI; exactly the mapping made above, to which nothing points.
        unsafe { libc::munmap(page, length) };
        Ok(())
    }
}

impl fmt::Display for PageSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("this kernel has no hugepages");
        }
        for (index, size) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} of {} pages of {} free", size.free, size.total, Kib(size.size_kib))?;
        }
        Ok(())
    }
}

struct Kib(u64);

impl fmt::Display for Kib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kib if kib >= 1 << 20 => write!(f, "{} GB", kib >> 20),
            kib => write!(f, "{} MB", kib >> 10),
        }
    }
}

fn page_size(folder: &Path) -> Option<PageSize> {
    let name = folder.file_name()?.to_str()?;
    let size_kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    let number =
        |file: &str| -> Option<u64> { fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok() };
    let free = number("free_hugepages")?.saturating_sub(number("resv_hugepages").unwrap_or(0));
    Some(PageSize { size_kib, total: number("nr_hugepages")?, free })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel_with(sizes: &[(&str, u64, u64, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, total, free, promised) in sizes {
            let size = folder.path().join(name);
            fs::create_dir(&size).unwrap();
            fs::write(size.join("nr_hugepages"), format!("{total}\n")).unwrap();
            fs::write(size.join("free_hugepages"), format!("{free}\n")).unwrap();
            fs::write(size.join("resv_hugepages"), format!("{promised}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn pages_of_both_sizes_count_and_promised_ones_do_not() {
        let kernel = kernel_with(&[("hugepages-1048576kB", 2, 1, 0), ("hugepages-2048kB", 512, 300, 100)]);
        let sizes = PageSizes::under(kernel.path());
        assert_eq!(sizes.free_mib(), 1024 + 400);
        assert_eq!(sizes.smallest_free().unwrap().size_kib, 2048);
        assert_eq!(sizes.to_reserve(1001), 501 + 312);
        assert_eq!(sizes.to_string(), "200 of 512 pages of 2 MB free, 1 of 2 pages of 1 GB free");
    }

    #[test]
    fn a_kernel_without_hugepages_has_none() {
        let sizes = PageSizes::under(Path::new("/nonexistent"));
        assert_eq!(sizes.free_mib(), 0);
        assert_eq!(sizes.try_one().unwrap_err().code(), libc::ENOMEM);
        assert!(sizes.to_string().contains("no hugepages"));
    }
}
