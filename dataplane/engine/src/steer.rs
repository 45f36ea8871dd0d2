//! Which worker owns a packet.
//!
//! The owner follows from the packet alone, the same for both directions of a session and for every device. It is
//! what a device computes for receive side scaling (RSS) with the symmetric key 0x6D5A repeated and the redirection
//! table [`queue_of_entry`], so that such a device delivers almost all packets to their owner by itself; the others
//! (fragments, devices without RSS) reach it over the hand-off rings. A device's own hash is never trusted.
//!
//! With a key of period 16 bits the Toeplitz function depends only on the exclusive or of all 16-bit words of its
//! input (Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", 2012), which makes it
//! a matter of a few instructions.

use crate::flow::{FlowKey, PackedKey};
use crate::packet::{self, Addresses, Facts, protocol};

/// The RSS key: 20 times 0x6D5A are the 40 bytes that devices take; a longer key continues the pattern.
pub const RSS_KEY_WORD: u16 = 0x6d5a;

/// Entries of the redirection table that make a difference: longer tables repeat them.
pub const REDIRECTION_ENTRIES: u16 = 128;

/// The queue that entry `entry` of a device's redirection table leads to, with one queue a worker.
pub const fn queue_of_entry(entry: u16, workers: u16) -> u16 {
    (entry % REDIRECTION_ENTRIES) % workers
}

/// The worker, of `workers` (1 to 128), that owns the packet with these facts; `head` as for [`packet::parse`].
///
/// Fragments go by their addresses alone, because later ones have no ports, and later ones of IPv6 may name another
/// protocol than the first (RFC 8200 section 4.5); whose the whole is, is asked again when all have come. An ICMP error
/// goes where the packet that it quotes belongs: to its session, whoever sends the error. SCTP goes by its ports alone:
/// an association has many pairs of addresses, and one owner.
pub fn owner(facts: &Facts, head: &[u8], workers: u16) -> u16 {
    if workers <= 1 {
        return 0;
    }
    let is_error = facts.fragment.is_none() && facts.is_icmp_error();
    let about = if is_error { packet::quoted(head, facts) } else { None };
    queue_of_entry(toeplitz(folded(about.as_ref().unwrap_or(facts))), workers)
}

/// The entry of the redirection table that the packets of a session meet, fragments and errors apart.
pub(crate) fn entry_of(key: &FlowKey) -> u16 {
    entry_of_packed(&PackedKey::of(key))
}

/// The same of a key in words.
#[inline]
pub(crate) fn entry_of_packed(key: &PackedKey) -> u16 {
    let ports = low(key.ports >> 16) ^ low(key.ports);
    if key.protocol() == protocol::SCTP {
        return toeplitz(ports) % REDIRECTION_ENTRIES;
    }
    let [lan, wan] = key.wide;
    let addresses = if key.is_v6 { fold_wide(lan ^ wan) } else { key.lan ^ key.wan };
    let ports = if has_ports(key.protocol()) { ports } else { 0 };
    toeplitz(low(addresses >> 16) ^ low(addresses) ^ ports) % REDIRECTION_ENTRIES
}

/// The entry that the fragments of an IPv4 datagram meet: by their addresses alone.
pub(crate) fn entry_of_fragment(key: &PackedKey) -> u16 {
    let addresses = key.lan ^ key.wan;
    toeplitz(low(addresses >> 16) ^ low(addresses)) % REDIRECTION_ENTRIES
}

const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP)
}

/// The exclusive or of the 16-bit words that a device would hash.
fn folded(facts: &Facts) -> u16 {
    let addresses = match facts.addresses {
        Addresses::None => return 0,
        Addresses::V4 { source, destination } => source ^ destination,
        Addresses::V6 { source, destination } => fold_wide(source ^ destination),
    };
    if facts.protocol == protocol::SCTP && facts.fragment.is_none() {
        return facts.source_port ^ facts.destination_port;
    }
    let ports = if has_ports(facts.protocol) && facts.fragment.is_none() {
        facts.source_port ^ facts.destination_port
    } else {
        0
    };
    low(addresses >> 16) ^ low(addresses) ^ ports
}

#[expect(clippy::cast_possible_truncation, reason = "the four words are folded into one")]
const fn fold_wide(wide: u128) -> u32 {
    (wide >> 96) as u32 ^ (wide >> 64) as u32 ^ (wide >> 32) as u32 ^ wide as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower word is what is wanted")]
const fn low(wide: u32) -> u16 {
    wide as u16
}

/// The low 16 bits of the Toeplitz hash of an input whose words fold to `word`: the key, rotated by the place of
/// each bit that is set, added without carry.
#[inline]
const fn toeplitz(word: u16) -> u16 {
    let [high, low] = word.to_be_bytes();
    // What the bits of the lower byte add is what those of the upper one do, the key turned by eight.
    TOEPLITZ[high as usize] ^ TOEPLITZ[low as usize].rotate_left(8)
}

/// What each upper byte adds to the hash.
static TOEPLITZ: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte & 0x80 >> bit != 0 {
                table[byte] ^= RSS_KEY_WORD.rotate_left(bit);
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The Toeplitz function as Microsoft's RSS specification gives it, bit by bit over the whole input.
    fn reference(input: &[u8]) -> u32 {
        let key: Vec<u8> = RSS_KEY_WORD.to_be_bytes().repeat(26);
        let mut hash = 0u32;
        for (bit, position) in (0..input.len() * 8).map(|bit| (bit, bit / 8)) {
            if input[position] & 0x80 >> (bit % 8) != 0 {
                let window = (0..32).fold(0u32, |window, next| {
                    let at = bit + next;
                    window << 1 | u32::from(key[at / 8] >> (7 - at % 8) & 1)
                });
                hash ^= window;
            }
        }
        hash
    }

    proptest! {
        #[test]
        fn agrees_with_the_toeplitz_of_a_device(source: u32, destination: u32, ports: [u16; 2]) {
            let mut input = Vec::new();
            input.extend(source.to_be_bytes());
            input.extend(destination.to_be_bytes());
            input.extend(ports[0].to_be_bytes());
            input.extend(ports[1].to_be_bytes());
            let words = source ^ destination;
            let folded = low(words >> 16) ^ low(words) ^ ports[0] ^ ports[1];
            prop_assert_eq!(u32::from(toeplitz(folded)), reference(&input) & 0xffff);
        }
    }

    #[test]
    fn every_worker_gets_its_share() {
        for workers in 1..=8 {
            let mut count = vec![0; usize::from(workers)];
            for word in 0..=u16::MAX {
                count[usize::from(queue_of_entry(toeplitz(word), workers))] += 1;
            }
            let fair = 65_536 / usize::from(workers);
            assert!(count.iter().all(|share| *share > fair / 2), "{workers} workers: {count:?}");
        }
    }
}
