//! The five-tuple of a session, with its VLAN tags, and its keyed hash.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::{self, Addresses, Facts, VlanStack, protocol};
use crate::port::Port;
use crate::siphash::siphash;

/// A session's key, oriented by port: both directions of a session have the same key, and a frame that arrives on
/// the wrong port has another, so it cannot belong to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The two addresses.
    pub addresses: Ends,
    /// Port on the LAN side (TCP, UDP, SCTP), or the identifier (ICMP and ICMPv6 queries), or the upper half of the
    /// number that GRE, ESP and AH have, or 0.
    pub lan_port: u16,
    /// Port on the WAN side, or the type of the query and who asked (ICMP and ICMPv6), or the lower half of that number,
    /// or 0.
    pub wan_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// VLAN tags.
    pub vlan: VlanStack,
}

/// The addresses of a key, host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// IPv4.
    V4 {
        /// On the LAN side.
        lan: u32,
        /// On the WAN side.
        wan: u32,
    },
    /// IPv6.
    V6 {
        /// On the LAN side.
        lan: u128,
        /// On the WAN side.
        wan: u128,
    },
}

/// The five-tuple as a person reads it: from whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiveTuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, or the identifier of an ICMP query, or 0.
    pub source_port: u16,
    /// Destination port, or the type of an ICMP query, or 0.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl FlowKey {
    /// The key of a packet that arrived on `port`; `None` for frames that have no addresses.
    ///
    /// ICMP queries and their replies share the query's type and the side that asked, so that an echo and a time
    /// stamp of one identifier do not meet, nor two hosts that ask each other.
    pub fn of(facts: &Facts, port: Port) -> Option<Self> {
        let (source_port, destination_port) = if facts.is_icmp() {
            let query = query_of(facts.addresses.is_v4(), facts.icmp_type());
            let asked_on = if query == facts.icmp_type() { port } else { port.other() };
            let kind = u16::from(query) | if asked_on == Port::Wan { ASKED_ON_WAN } else { 0 };
            match port {
                Port::Lan => (facts.source_port, kind),
                Port::Wan => (kind, facts.source_port),
            }
        } else {
            match facts.protocol {
                protocol::TCP | protocol::UDP | protocol::SCTP => (facts.source_port, facts.destination_port),
                // One number, which is the same seen from either side.
                protocol::GRE | protocol::ESP | protocol::AH if port == Port::Wan => {
                    (facts.destination_port, facts.source_port)
                }
                protocol::GRE | protocol::ESP | protocol::AH => (facts.source_port, facts.destination_port),
                _ => (0, 0),
            }
        };
        let from_lan = port == Port::Lan;
        let addresses = match facts.addresses {
            Addresses::None => return None,
            Addresses::V4 { source, destination } if from_lan => Ends::V4 { lan: source, wan: destination },
            Addresses::V4 { source, destination } => Ends::V4 { lan: destination, wan: source },
            Addresses::V6 { source, destination } if from_lan => Ends::V6 { lan: source, wan: destination },
            Addresses::V6 { source, destination } => Ends::V6 { lan: destination, wan: source },
        };
        let (lan_port, wan_port) =
            if from_lan { (source_port, destination_port) } else { (destination_port, source_port) };
        Some(Self { addresses, lan_port, wan_port, protocol: facts.protocol, vlan: facts.vlan })
    }

    /// The five-tuple as seen by packets that arrive on `from`.
    pub fn five_tuple(&self, from: Port) -> FiveTuple {
        let (lan, wan): (IpAddr, IpAddr) = match self.addresses {
            Ends::V4 { lan, wan } => (Ipv4Addr::from_bits(lan).into(), Ipv4Addr::from_bits(wan).into()),
            Ends::V6 { lan, wan } => (Ipv6Addr::from_bits(lan).into(), Ipv6Addr::from_bits(wan).into()),
        };
        let is_query = matches!(
            (self.protocol, self.addresses),
            (protocol::ICMP, Ends::V4 { .. }) | (protocol::ICMPV6, Ends::V6 { .. })
        );
        let (source, destination) = if from == Port::Lan { (lan, wan) } else { (wan, lan) };
        if matches!(self.protocol, protocol::GRE | protocol::ESP | protocol::AH) {
            return FiveTuple {
                source,
                destination,
                source_port: 0,
                destination_port: 0,
                protocol: self.protocol,
            };
        }
        // The identifier and the type of a query stand in the same places whoever asked.
        let (source_port, destination_port) = if from == Port::Lan || is_query {
            (self.lan_port, self.wan_port & if is_query { !ASKED_ON_WAN } else { u16::MAX })
        } else {
            (self.wan_port, self.lan_port)
        };
        FiveTuple { source, destination, source_port, destination_port, protocol: self.protocol }
    }

    /// Whether its number names one direction only, the other having one of its own: ESP, AH and enhanced GRE.
    pub(crate) const fn has_one_way_number(&self) -> bool {
        match self.protocol {
            protocol::ESP | protocol::AH => true,
            protocol::GRE => self.lan_port == packet::ENHANCED_GRE,
            _ => false,
        }
    }

    /// The same with this in the place of its ports or number.
    #[expect(clippy::cast_possible_truncation, reason = "a word is taken apart")]
    pub(crate) const fn with_numbers(self, numbers: u32) -> Self {
        Self { lan_port: (numbers >> 16) as u16, wan_port: numbers as u16, ..self }
    }

    /// The same without ports or number.
    pub(crate) const fn without_numbers(self) -> Self {
        self.with_numbers(0)
    }

    /// The two ports in one word, LAN side in the upper half.
    pub(crate) fn port_bits(&self) -> u32 {
        u32::from(self.lan_port) << 16 | u32::from(self.wan_port)
    }

    /// VLAN tags and protocol in one word.
    pub(crate) fn tag_bits(&self) -> u32 {
        self.vlan.bits() | u32::from(self.protocol) << 24
    }
}

/// A key in words, as the session table holds it: compared and hashed without a branch. Made once for each place of a
/// burst, and written over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PackedKey {
    /// Addresses of IPv4; anything with IPv6.
    pub(crate) lan: u32,
    pub(crate) wan: u32,
    /// Ports, LAN side in the upper half.
    pub(crate) ports: u32,
    /// VLAN tags and protocol.
    pub(crate) tag: u32,
    pub(crate) is_v6: bool,
    /// The addresses of IPv6, LAN side first; anything with IPv4.
    pub(crate) wide: [u128; 2],
}

impl PackedKey {
    #[inline]
    pub(crate) fn of(key: &FlowKey) -> Self {
        let mut packed = Self { ports: key.port_bits(), tag: key.tag_bits(), ..Self::default() };
        match key.addresses {
            Ends::V4 { lan, wan } => packed.set_v4(lan, wan),
            Ends::V6 { lan, wan } => packed.set_v6(lan, wan),
        }
        packed
    }

    #[inline]
    pub(crate) fn set_v4(&mut self, lan: u32, wan: u32) {
        (self.lan, self.wan, self.is_v6) = (lan, wan, false);
    }

    #[inline]
    pub(crate) fn set_v6(&mut self, lan: u128, wan: u128) {
        (self.is_v6, self.wide) = (true, [lan, wan]);
    }

    /// IP protocol number.
    #[inline]
    pub(crate) const fn protocol(&self) -> u8 {
        (self.tag >> 24) as u8
    }

    /// The destination's port in a packet that arrives on `from`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a half is what is wanted")]
    pub(crate) const fn destination_port(&self, from: Port) -> u16 {
        match from {
            Port::Lan => self.ports as u16,
            Port::Wan => (self.ports >> 16) as u16,
        }
    }

    /// Source and destination of a packet that arrives on `port`.
    #[inline]
    pub(crate) fn addresses(&self, port: Port) -> Addresses {
        let [lan, wan] = self.wide;
        match (self.is_v6, port) {
            (false, Port::Lan) => Addresses::V4 { source: self.lan, destination: self.wan },
            (false, Port::Wan) => Addresses::V4 { source: self.wan, destination: self.lan },
            (true, Port::Lan) => Addresses::V6 { source: lan, destination: wan },
            (true, Port::Wan) => Addresses::V6 { source: wan, destination: lan },
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts of packed words are taken apart")]
    pub(crate) const fn unpacked(&self) -> FlowKey {
        let [lan, wan] = self.wide;
        let addresses =
            if self.is_v6 { Ends::V6 { lan, wan } } else { Ends::V4 { lan: self.lan, wan: self.wan } };
        FlowKey {
            addresses,
            lan_port: (self.ports >> 16) as u16,
            wan_port: self.ports as u16,
            protocol: self.protocol(),
            vlan: VlanStack::from_bits(self.tag),
        }
    }
}

/// Beside the type of an ICMP query in [`FlowKey::wan_port`]: the WAN side asked.
const ASKED_ON_WAN: u16 = 0x100;

/// The type of the query that this ICMP or ICMPv6 type asks or answers; itself for all others.
fn query_of(is_v4: bool, kind: u8) -> u8 {
    match packet::part_in_query(is_v4, kind) {
        Some(packet::Part::Reply(query)) => query,
        _ => kind,
    }
}

/// A secret that keys the hash of the session table: whoever does not know it cannot choose five-tuples that meet
/// in one bucket. The product draws it from the kernel at start; replay fixes it.
#[derive(Clone, Copy)]
pub struct HashSecret(pub [u64; 4]);

impl core::fmt::Debug for HashSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashSecret(..)")
    }
}

impl HashSecret {
    /// 64 well-mixed bits of `key`.
    ///
    /// Folded 64 by 64 to 128 bit multiplications with secret operands, as in the wyhash family: a few cycles, and
    /// every bit of the result depends on every bit of the key and the secret. This is no cryptographic function;
    /// its values never leave the process, which is what an attack on it would need.
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hash_packed(&PackedKey::of(key))
    }

    /// The same of a key in words.
    #[inline]
    pub(crate) fn hash_packed(&self, key: &PackedKey) -> u64 {
        let [a, b, c, d] = self.0;
        let tail = u64::from(key.ports) << 32 | u64::from(key.tag);
        if !key.is_v6 {
            let ends = u64::from(key.lan) << 32 | u64::from(key.wan);
            return fold(fold(ends ^ a, tail ^ b) ^ c, tail.rotate_left(29) ^ d);
        }
        let [lan, wan] = key.wide.map(halves);
        let first = fold(lan.0 ^ a, lan.1 ^ b);
        let second = fold(wan.0 ^ c, wan.1 ^ d);
        fold(first ^ tail ^ c, second.rotate_left(32) ^ tail.rotate_left(29) ^ a)
    }

    /// 64 well-mixed bits of an address, or anything else of that size, and a word beside it.
    pub(crate) fn hash_words(&self, wide: u128, word: u64) -> u64 {
        let [a, b, c, d] = self.0;
        let (high, low) = halves(wide);
        let mixed = fold(fold(high ^ a, low ^ b) ^ word ^ c, word.rotate_left(29) ^ d);
        // Even a poor secret spreads few addresses over all bits.
        fold(mixed ^ b, 0x9e37_79b9_7f4a_7c15)
    }
}

/// What the addresses of a session's two ends are told apart by, in 64 bits: IPv4 addresses themselves; of IPv6 a hash from a
/// universal family, so that a packet of an established session need not read 32 bytes more.
///
/// For any two pairs of addresses, whoever chose them, as long as he does not know the keys, the odds of the same hash are at
/// most 2^-63: 2^-64 that the sums of NH meet (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", 1999), and 2^-64 that
/// multiply-shift brings two different sums together (Dietzfelbinger, 1996, for vectors). Who tries ten million packets a
/// second, meets a session in some 30,000 years, and that only if each try has that session's ports, and its place in the index.
#[derive(Clone, Copy)]
pub(crate) struct EndsHash {
    added: [u64; 4],
    spread: [u128; 3],
}

impl core::fmt::Debug for EndsHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EndsHash(..)")
    }
}

impl EndsHash {
    /// With keys that follow from a secret, and that nobody learns from what else the secret is used for.
    pub(crate) fn new(secret: &HashSecret) -> Self {
        let [a, b, c, d] = secret.0;
        let key = |number: u64| siphash([a, b], &[c, d, number]);
        let wide = |number| u128::from(key(number)) << 64 | u128::from(key(number + 1));
        Self { added: [0, 1, 2, 3].map(key), spread: [4, 6, 8].map(wide) }
    }

    /// Of the addresses of this key.
    #[inline]
    pub(crate) fn ends(&self, key: &PackedKey) -> u64 {
        if key.is_v6 { self.of_wide(&key.wide) } else { u64::from(key.lan) << 32 | u64::from(key.wan) }
    }

    #[inline(never)]
    fn of_wide(&self, ends: &[u128; 2]) -> u64 {
        let [a, b, c, d] = self.added;
        let [lan, wan] = ends.map(halves);
        let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
        let sum = product(lan.0.wrapping_add(a), lan.1.wrapping_add(b))
            .wrapping_add(product(wan.0.wrapping_add(c), wan.1.wrapping_add(d)));
        let (high, low) = halves(sum);
        let [first, second, third] = self.spread;
        let spread = first.wrapping_mul(u128::from(high)).wrapping_add(second.wrapping_mul(u128::from(low)));
        halves(spread.wrapping_add(third)).0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
const fn halves(wide: u128) -> (u64, u64) {
    ((wide >> 64) as u64, wide as u64)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let (high, low) = halves(u128::from(a) * u128::from(b));
    high ^ low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Addresses as an attacker would choose them, alike but for a bit or two, or of the ends exchanged.
        #[test]
        fn addresses_that_differ_are_told_apart(
            secret in any::<[u64; 4]>(),
            lan in any::<u128>(),
            wan in any::<u128>(),
            bits in prop::array::uniform2(0..256u32),
        ) {
            let hash = EndsHash::new(&HashSecret(secret));
            let of = |lan, wan| {
                let mut key = PackedKey::default();
                key.set_v6(lan, wan);
                hash.ends(&key)
            };
            let flipped = |number: u32, (lan, wan): (u128, u128)| match number {
                0..128 => (lan ^ 1 << number, wan),
                _ => (lan, wan ^ 1 << (number - 128)),
            };
            let once = flipped(bits[0], (lan, wan));
            prop_assert_eq!(of(lan, wan), of(lan, wan));
            prop_assert_ne!(of(lan, wan), of(once.0, once.1));
            if bits[0] != bits[1] {
                let twice = flipped(bits[1], once);
                prop_assert_ne!(of(lan, wan), of(twice.0, twice.1));
            }
            if lan != wan {
                prop_assert_ne!(of(lan, wan), of(wan, lan));
            }
        }
    }
}
