//! The error numbers of the C library and of DPDK, which has two of its own.

use std::ffi::CStr;
use std::fmt;

use sekisho_dpdk_sys as sys;

/// An error number as DPDK and the kernel return it, shown by its text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// The number itself, positive; 0 where the driver gave none.
    pub fn code(self) -> i32 {
        self.0
    }

    /// Of a number that a call returned, negated or not.
    pub(crate) fn of(code: i32) -> Self {
        Self(code.saturating_abs())
    }

    /// The calling thread's `rte_errno`.
    pub(crate) fn last_dpdk() -> Self {
        // SAFETY: FFI; reads a thread-local integer, no precondition.
        Self::of(unsafe { sys::shim_errno() })
    }

    /// The calling thread's `errno`.
    pub(crate) fn last_os() -> Self {
        Self::of(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no reason given");
        }
        // SAFETY: FFI; takes any number and returns a string, static or in a buffer of this thread.
        let text = unsafe { sys::rte_strerror(self.0) };
        // SAFETY: the string just returned ends with a zero and is only overwritten by this thread's next call.
        let text = unsafe { CStr::from_ptr(text) };
        write!(f, "{} (error {})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl std::error::Error for Errno {}

/// `Ok` for what DPDK calls success: zero, or a count.
pub(crate) fn check(code: i32) -> Result<u32, Errno> {
    // Many drivers return -1 for whatever went wrong: it is no EPERM.
    let errno = if code == -1 { Errno(0) } else { Errno::of(code) };
    u32::try_from(code).map_err(|_| errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_count_is_an_error_with_its_text() {
        assert_eq!(check(3), Ok(3));
        let errno = check(-libc::ENODEV).unwrap_err();
        assert_eq!(errno.code(), libc::ENODEV);
        assert!(errno.to_string().contains("No such device"), "{errno}");
        assert_eq!(check(-1).unwrap_err().to_string(), "no reason given");
    }
}
