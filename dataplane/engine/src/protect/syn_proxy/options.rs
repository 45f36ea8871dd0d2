//! What a SYN offers by its options (RFC 9293 section 3.2, RFC 7323, RFC 2018), read and written.

use arrayvec::ArrayVec;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
pub(super) const SACK: u8 = 5;
pub(super) const TIMESTAMPS: u8 = 8;

/// Of a SYN without the option (RFC 9293 section 3.7.1): 576 and 1,280 bytes less headers.
pub(super) const MSS_DEFAULT_V4: u16 = 536;
pub(super) const MSS_DEFAULT_V6: u16 = 1220;
/// RFC 7323 section 2.3.
const SCALE_MAX: u8 = 14;
/// Room for the options of a SYN.
pub(super) const OPTIONS_MAX: usize = 40;

pub(super) type Options = ArrayVec<u8, OPTIONS_MAX>;

/// What a SYN or SYN/ACK offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Maximum segment size; 0 if it does not say.
    pub(super) mss: u16,
    /// Window scale.
    pub(super) scale: Option<u8>,
    /// Selective acknowledgements.
    pub(super) sack: bool,
    /// Time stamps: its value.
    pub(super) stamp: Option<u32>,
}

impl Offer {
    /// Reads the options of a SYN or SYN/ACK.
    pub(super) fn of(options: &[u8]) -> Self {
        let mut offer = Self::default();
        each(options, |kind, _, value| match (kind, value) {
            (MSS, [high, low]) => offer.mss = u16::from_be_bytes([*high, *low]),
            (SCALE, [scale]) => offer.scale = Some((*scale).min(SCALE_MAX)),
            (SACK_PERMITTED, []) => offer.sack = true,
            (TIMESTAMPS, [a, b, c, d, ..]) if value.len() == 8 => {
                offer.stamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
            _ => {}
        });
        offer
    }

    /// The same as options of a SYN that echoes `echo`, in a whole number of 32-bit words.
    pub(super) fn written(&self, echo: u32) -> Options {
        let mut options = Options::new();
        // All of them have room.
        let mut put = |bytes: &[u8]| options.extend(bytes.iter().copied());
        let [high, low] = self.mss.to_be_bytes();
        put(&[MSS, 4, high, low]);
        if self.sack {
            put(&[NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(scale) = self.scale {
            put(&[NOP, SCALE, 3, scale]);
        }
        if let Some(stamp) = self.stamp {
            put(&stamps(stamp, echo));
        }
        options
    }
}

/// The option with time stamps, in a whole number of 32-bit words.
pub(super) fn stamps(value: u32, echo: u32) -> [u8; 12] {
    let [a, b, c, d] = value.to_be_bytes();
    let [e, f, g, h] = echo.to_be_bytes();
    [NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h]
}

/// The time stamps of a segment: its own, and the one that it echoes.
pub(super) fn stamps_of(options: &[u8]) -> Option<(u32, u32)> {
    let mut found = None;
    each(options, |kind, _, value| {
        if let (TIMESTAMPS, [a, b, c, d, e, f, g, h]) = (kind, value) {
            found = Some((u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h])));
        }
    });
    found
}

/// Calls `each` with every option: its kind, where its value begins, and its value. Behind one of impossible length nothing
/// is certain.
pub(super) fn each(options: &[u8], mut each: impl FnMut(u8, usize, &[u8])) {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match kind {
            END => return,
            NOP => at += 1,
            _ => {
                let Some(len) = options.get(at + 1).map(|len| usize::from(*len)).filter(|len| *len >= 2)
                else {
                    return;
                };
                let Some(value) = options.get(at + 2..at + len) else { return };
                each(kind, at + 2, value);
                at += len;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(mss: u16, scale in prop::option::of(0..15u8), sack: bool, stamp: Option<u32>, echo: u32) {
            let offer = Offer { mss, scale, sack, stamp };
            let options = offer.written(echo);
            prop_assert_eq!(Offer::of(&options), offer);
            prop_assert_eq!(options.len() % 4, 0);
            prop_assert_eq!(stamps_of(&options), stamp.map(|stamp| (stamp, echo)));
        }

        #[test]
        fn any_bytes_are_read_without_harm(options in prop::collection::vec(any::<u8>(), 0..40)) {
            Offer::of(&options);
            stamps_of(&options);
        }
    }
}
