//! From a session's number to its addresses, ports and sequence numbers, and back.

use crate::count::Class;
use crate::steer::{CHANGES, ENTRIES, Entries, half_hash};

/// The LAN side's addresses: 10.0.0.0/12 for established sessions, and the next of that size for each further class.
const LAN: u32 = 0x0a00_0000;
const CLASS_SHIFT: u32 = 20;
const HOST_MASK: u32 = 0xf_ffff;
/// The WAN side's addresses: 198.18.0.0/16.
const WAN: u32 = 0xc612_0000;
/// The LAN side's published server: 10.48.0.80, in no class.
pub(crate) const SERVER: u32 = LAN | 3 << CLASS_SHIFT | 80;
/// Its honest clients: 128.0.0.0/8.
const CLIENTS: u32 = 0x8000_0000;
const CLIENTS_MASK: u32 = 0xff_ffff;
/// Those who mean it harm: 64.0.0.0/2.
const STRANGERS: u32 = 0x4000_0000;
const STRANGERS_MASK: u32 = 0x3fff_ffff;
/// LAN ports begin here, and are 4,096.
const PORT_FIRST: u16 = 0x4000;
const PORT_MASK: u16 = 0xfff;

/// The two ends of a session. Addresses are the low 32 bits, in host byte order; those of IPv6 have fixed bits before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) lan: u32,
    pub(crate) wan: u32,
    pub(crate) lan_port: u16,
    pub(crate) wan_port: u16,
    /// Half of the hash that receive side scaling gives both directions.
    pub(crate) hash: u16,
    /// Where the sequence numbers begin, by side.
    pub(crate) isn: [u32; 2],
}

/// Which ends there are, and how they are steered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// What the fixed words of the addresses add to the hash.
    pub(crate) fixed: u16,
    /// Where sessions go; `None` leaves it to chance, with one queue.
    pub(crate) entries: Option<Entries>,
}

/// A bijection that spreads neighbours (the finaliser of MurmurHash3).
#[inline]
pub(crate) const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

/// The other way round.
const fn unmix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7ed1_b41d);
    x ^= x >> 13 ^ x >> 26;
    x = x.wrapping_mul(0xa5cb_9243);
    x ^ x >> 16
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower word is what is wanted")]
pub(crate) const fn low(x: u32) -> u16 {
    x as u16
}

/// What numbers begin with, so that the first session has no remarkable addresses.
const OFFSET: u32 = 0x9e37_79b9;

impl Ends {
    /// Those of session `number` of `class`.
    #[inline(always)]
    pub(crate) fn of(number: u32, class: Class, tcp: bool, plan: &Plan) -> Self {
        let x = mix(number.wrapping_add(OFFSET));
        let lan = LAN | (class as u32) << CLASS_SHIFT | x & HOST_MASK;
        let spread = x.wrapping_mul(0x9e37_79b1);
        let mut wan = WAN | spread >> 16;
        let lan_port = PORT_FIRST + low(x >> 20);
        let wan_port = if tcp { 443 } else { 53 };
        let mut hash = half_hash(fold(lan, wan, lan_port, wan_port) ^ plan.fixed);
        if let Some(entries) = &plan.entries {
            let change = usize::from(hash ^ entries.pick(spread >> 8)) % ENTRIES;
            wan ^= u32::from(CHANGES[change]);
            hash ^= half_hash(CHANGES[change]);
        }
        Self { lan, wan, lan_port, wan_port, hash, isn: [spread, spread ^ 0x5bd1_e995] }
    }

    /// Of many sessions that all have one hash, whatever the number.
    pub(crate) fn colliding(number: u32, plan: &Plan) -> Self {
        let mut ends = Self::of(number, Class::Hostile, false, plan);
        // The word that the first of all sessions has: what differs is made up for in the WAN side's address.
        let wanted = {
            let first = Self::of(0, Class::Hostile, false, plan);
            fold(first.lan, first.wan, first.lan_port, first.wan_port)
        };
        let word = fold(ends.lan, ends.wan, ends.lan_port, ends.wan_port);
        ends.wan ^= u32::from(word ^ wanted);
        ends.hash = half_hash(wanted ^ plan.fixed);
        ends
    }

    /// Two ends that nobody else has, from 96 random bits; steered like sessions.
    pub(crate) fn random(bits: u64, more: u32, plan: &Plan) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        let (a, b) = (bits as u32, (bits >> 32) as u32);
        let lan = LAN | (Class::Hostile as u32) << CLASS_SHIFT | a & HOST_MASK;
        let mut wan = WAN | b >> 16;
        let (lan_port, wan_port) = (low(b) | 1, low(more) | 1);
        let mut hash = half_hash(fold(lan, wan, lan_port, wan_port) ^ plan.fixed);
        if let Some(entries) = &plan.entries {
            let change = usize::from(hash ^ entries.pick(more >> 16)) % ENTRIES;
            wan ^= u32::from(CHANGES[change]);
            hash ^= half_hash(CHANGES[change]);
        }
        Self { lan, wan, lan_port, wan_port, hash, isn: [more, a] }
    }

    /// The published server and an honest client of it.
    pub(crate) fn client(number: u32, port: u16, plan: &Plan) -> Self {
        let x = mix(number.wrapping_add(OFFSET));
        Self::published(CLIENTS | x & CLIENTS_MASK, 443, port, x.rotate_left(8), plan)
    }

    /// The published server, on its port for TCP or UDP, and any of 2^30 strangers, from 96 random bits.
    pub(crate) fn stranger(bits: u64, more: u32, tcp: bool, plan: &Plan) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        let (a, b) = (bits as u32, (bits >> 32) as u32);
        let server_port = if tcp { 443 } else { 53 };
        let mut ends =
            Self::published(STRANGERS | a & STRANGERS_MASK, server_port, low(b) | 1, b >> 16, plan);
        ends.isn = [0, more];
        ends
    }

    fn published(mut wan: u32, lan_port: u16, wan_port: u16, by: u32, plan: &Plan) -> Self {
        let mut hash = half_hash(fold(SERVER, wan, lan_port, wan_port) ^ plan.fixed);
        if let Some(entries) = &plan.entries {
            let change = usize::from(hash ^ entries.pick(by)) % ENTRIES;
            wan ^= u32::from(CHANGES[change]);
            hash ^= half_hash(CHANGES[change]);
        }
        Self { lan: SERVER, wan, lan_port, wan_port, hash, isn: [0, by] }
    }

    /// Half of the hash of a packet that shows no ports.
    pub(crate) fn hash_without_ports(&self, plan: &Plan) -> u16 {
        hash_of_addresses(self.lan, self.wan, plan)
    }
}

/// Half of the hash of a packet between two addresses that shows no ports.
pub(crate) fn hash_of_addresses(lan: u32, wan: u32, plan: &Plan) -> u16 {
    half_hash(fold(lan, wan, 0, 0) ^ plan.fixed)
}

/// A random address that none of our hosts has: of a router, say.
pub(crate) const fn anywhere(random: u32) -> u32 {
    STRANGERS | random & STRANGERS_MASK
}

/// The exclusive or of the 16-bit words.
#[inline]
fn fold(lan: u32, wan: u32, lan_port: u16, wan_port: u16) -> u16 {
    let addresses = lan ^ wan;
    low(addresses) ^ low(addresses >> 16) ^ lan_port ^ wan_port
}

/// Whether that WAN address is one of an honest client of the server.
#[inline]
pub(crate) const fn is_client(wan: u32) -> bool {
    wan & !CLIENTS_MASK == CLIENTS
}

/// The class that a LAN address belongs to.
#[inline]
pub(crate) fn class_of(lan: u32) -> Option<Class> {
    if lan & 0xff00_0000 != LAN {
        return None;
    }
    Class::ALL.get((lan >> CLASS_SHIFT & 0xf) as usize).copied()
}

/// The number of the session with that LAN end; any end has one.
pub(crate) fn number_of(lan: u32, lan_port: u16) -> u32 {
    let x = u32::from(lan_port.wrapping_sub(PORT_FIRST) & PORT_MASK) << 20 | lan & HOST_MASK;
    unmix(x).wrapping_sub(OFFSET)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u32, tcp: bool, queue in 0u16..3) {
            let plan = Plan { fixed: 7, entries: Some(Entries::of(queue, 3)) };
            for class in Class::ALL {
                let ends = Ends::of(number, class, tcp, &plan);
                prop_assert_eq!(number_of(ends.lan, ends.lan_port), number);
                prop_assert_eq!(class_of(ends.lan), Some(class));
                let word = fold(ends.lan, ends.wan, ends.lan_port, ends.wan_port) ^ plan.fixed;
                prop_assert_eq!(half_hash(word), ends.hash);
                prop_assert_eq!((ends.hash & 127) % 3, queue);
            }
        }

        #[test]
        fn whoever_calls_the_server_is_steered_and_known(number: u32, bits: u64, port: u16, queue in 0u16..3) {
            let plan = Plan { fixed: 7, entries: Some(Entries::of(queue, 3)) };
            for (ends, honest) in [
                (Ends::client(number, port, &plan), true),
                (Ends::stranger(bits, number, true, &plan), false),
                (Ends::stranger(bits, number, false, &plan), false),
            ] {
                prop_assert_eq!((ends.lan, is_client(ends.wan)), (SERVER, honest));
                let word = fold(ends.lan, ends.wan, ends.lan_port, ends.wan_port) ^ plan.fixed;
                prop_assert_eq!(half_hash(word), ends.hash);
                prop_assert_eq!((ends.hash & 127) % 3, queue);
            }
            prop_assert_eq!(class_of(SERVER), None);
        }

        #[test]
        fn what_shall_collide_collides(number in 0u32..65_536) {
            let plan = Plan { fixed: 0, entries: None };
            let (first, other) = (Ends::colliding(0, &plan), Ends::colliding(number, &plan));
            prop_assert_eq!(first.hash, other.hash);
            let word = fold(other.lan, other.wan, other.lan_port, other.wan_port);
            prop_assert_eq!(half_hash(word), other.hash);
            prop_assert_eq!(number_of(other.lan, other.lan_port), number);
        }
    }
}
