//! Which queue a session reaches, and how to choose it.
//!
//! Sekisho sets a device's RSS key to 0x6D5A repeated. The Toeplitz hash then depends only on the exclusive or of the
//! 16-bit words of addresses and ports, is linear in it, and its two halves are alike. So a few bits of an address
//! can be chosen to bring a session to any entry of the redirection table.

/// The RSS key of sekisho, repeated.
const KEY: u16 = 0x6d5a;
/// Entries of the redirection table that make a difference.
pub(crate) const ENTRIES: usize = 128;

/// The hash that a device with sekisho's key gives packets whose 16-bit words of addresses and ports fold to `word`.
pub const fn rss_hash(word: u16) -> u32 {
    let half = toeplitz(word) as u32;
    half << 16 | half
}

const fn toeplitz(word: u16) -> u16 {
    let (mut hash, mut bit) = (0, 0);
    while bit < 16 {
        if word & 0x8000 >> bit != 0 {
            hash ^= KEY.rotate_left(bit);
        }
        bit += 1;
    }
    hash
}

/// Hash values by byte: two look-ups instead of sixteen steps.
const fn table(shift: u32) -> [u16; 256] {
    let (mut table, mut byte) = ([0; 256], 0u16);
    while byte < 256 {
        table[byte as usize] = toeplitz(byte << shift);
        byte += 1;
    }
    table
}

static LOW: [u16; 256] = table(0);
static HIGH: [u16; 256] = table(8);

/// As [`rss_hash`], half of it.
#[inline]
pub(crate) fn half_hash(word: u16) -> u16 {
    LOW[usize::from(word & 0xff)] ^ HIGH[usize::from(word >> 8)]
}

/// What to add (without carry) to a 16-bit word so that the low seven bits of the hash change by the index.
pub(crate) static CHANGES: [u16; ENTRIES] = changes();

/// Gaussian elimination over the single bits of a word: seven of them reach all changes of the low seven bits.
const fn changes() -> [u16; ENTRIES] {
    // rows[i]: a word whose hash has, of the low seven bits, bit i set and no lower one that is a pivot.
    let mut changes = [0u16; ENTRIES];
    let mut reached = [false; ENTRIES];
    reached[0] = true;
    let mut bit = 0;
    while bit < 16 {
        let effect = (toeplitz(1 << bit) & 127) as usize;
        if !reached[effect] {
            // Everything reached so far, with and without this bit.
            let mut old = [false; ENTRIES];
            let mut at = 0;
            while at < ENTRIES {
                old[at] = reached[at];
                at += 1;
            }
            at = 0;
            while at < ENTRIES {
                if old[at] {
                    reached[at ^ effect] = true;
                    changes[at ^ effect] = changes[at] | 1 << bit;
                }
                at += 1;
            }
        }
        bit += 1;
    }
    changes
}

/// The entries that lead to one queue, repeated to fill the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries([u8; ENTRIES]);

impl Entries {
    /// Those of `queue`, of `queues` (1 to 128): entry e leads to queue e mod `queues`.
    pub(crate) fn of(queue: u16, queues: u16) -> Self {
        let (first, step) = (usize::from(queue), usize::from(queues.max(1)));
        let mut list = (first..ENTRIES).step_by(step).filter_map(|entry| u8::try_from(entry).ok()).cycle();
        Self(core::array::from_fn(|_| list.next().unwrap_or(0)))
    }

    #[inline]
    pub(crate) fn pick(&self, by: u32) -> u16 {
        u16::from(self.0[by as usize % ENTRIES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_reached_from_everywhere() {
        for word in (0..=u16::MAX).step_by(97) {
            for (change, bits) in CHANGES.iter().enumerate() {
                let moved = word ^ bits;
                let difference = toeplitz(word) ^ toeplitz(moved);
                assert_eq!(usize::from(difference & 127), change);
            }
        }
    }

    #[test]
    fn tables_and_steps_agree() {
        for word in 0..=u16::MAX {
            assert_eq!(half_hash(word), toeplitz(word));
        }
    }

    #[test]
    fn entries_lead_to_their_queue() {
        for queues in 1..=5u16 {
            for queue in 0..queues {
                let entries = Entries::of(queue, queues);
                assert!((0..128).all(|by| entries.pick(by) % queues == queue));
            }
        }
    }
}
