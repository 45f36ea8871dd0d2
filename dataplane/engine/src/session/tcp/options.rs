//! What a SYN negotiates by its options, as far as tracking has to know it.

/// The options of a SYN that change how a session is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SynOptions {
    /// Window scale (RFC 7323 section 2.2).
    pub(crate) scale: Option<u8>,
    /// A fast open with a cookie (RFC 7413 section 4.1.1; RFC 6994 before the option had a number of its own).
    pub(crate) fast_open: bool,
}

/// Reads the options of a SYN.
pub(super) fn syn_options(mut options: &[u8]) -> SynOptions {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    const FAST_OPEN: u8 = 34;
    const EXPERIMENT: u8 = 254;
    /// A cookie has 4 to 16 bytes.
    const COOKIE_MIN: usize = 4;
    let mut found = SynOptions::default();
    while let Some((&kind, after)) = options.split_first() {
        if kind == END {
            break;
        }
        if kind == NOP {
            options = after;
            continue;
        }
        let Some(len) = after.first().map(|len| usize::from(*len)).filter(|len| *len >= 2) else { break };
        let Some(value) = options.get(2..len) else { break };
        match (kind, value) {
            // Of several nobody knows which one counts: the widest.
            (WINDOW_SCALE, [scale]) => found.scale = found.scale.max(Some(*scale)),
            (FAST_OPEN, cookie) | (EXPERIMENT, [0xf9, 0x89, cookie @ ..]) => {
                found.fast_open |= cookie.len() >= COOKIE_MIN;
            }
            _ => {}
        }
        options = options.get(len..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(options: &[u8]) -> Option<u8> {
        syn_options(options).scale
    }

    #[test]
    fn window_scale_is_found_or_not() {
        assert_eq!(scale(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
        assert_eq!(scale(&[0, 3, 3, 7]), None, "after the end");
        assert_eq!(scale(&[3, 4, 7, 0]), None, "a wrong length");
        assert_eq!(scale(&[3]), None);
        assert_eq!(scale(&[3, 3]), None, "cut");
        assert_eq!(scale(&[2, 0, 0, 3, 3, 7]), None, "behind an option of length 0 nothing is certain");
        assert_eq!(scale(&[3, 3, 9, 3, 3, 7]), Some(9), "the widest");
    }

    #[test]
    fn a_fast_open_has_a_cookie() {
        let asks = |options: &[u8]| syn_options(options).fast_open;
        assert!(asks(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(!asks(&[34, 2]), "a request for a cookie");
        assert!(asks(&[1, 1, 254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(!asks(&[254, 12, 0xf9, 0x88, 1, 2, 3, 4, 5, 6, 7, 8]), "another experiment");
        assert!(!asks(&[34, 10, 1, 2]), "cut");
    }
}
