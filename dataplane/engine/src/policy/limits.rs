//! How much may be asked of a rule.

use core::net::IpAddr;

/// Sessions of a rule that belong together: those of one source, of one prefix, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// So many live at the most, from 1.
    pub sessions: Option<u32>,
    /// So many begin in a second at the most, from 1 to [`Limits::NEW_PER_SECOND_MAX`]: a token bucket of that depth.
    pub new_per_second: Option<u32>,
}

/// The limits of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Of one source address: whoever opens the session.
    pub source: Quota,
    /// Of all source addresses of one prefix together.
    pub prefix: Quota,
    /// Leading bits of such a prefix: IPv4, 1 to 32, and IPv6, 1 to 128.
    pub prefix_bits: [u8; 2],
    /// Of the rule.
    pub rule: Quota,
    /// Packets of all sessions of the rule in a second, both ways together, from 1 to [`Limits::PACKETS_PER_SECOND_MAX`]:
    /// a token bucket of that depth.
    pub packets_per_second: Option<u64>,
    /// Bits of their frames, from the destination address to the end of the payload, from [`Limits::BITS_PER_SECOND_MIN`]
    /// to [`Limits::BITS_PER_SECOND_MAX`]: a token bucket of that depth.
    pub bits_per_second: Option<u64>,
}

impl Limits {
    /// Leading bits of a prefix if the rule does not say: a site of IPv4, and the delegation of a customer in IPv6 (RFC 6177).
    pub const PREFIX_BITS: [u8; 2] = [24, 56];
    /// The highest rate of new sessions: its tokens are 1/64 ns exact.
    pub const NEW_PER_SECOND_MAX: u32 = 10_000_000;
    /// The highest rate of packets.
    pub const PACKETS_PER_SECOND_MAX: u64 = 1_000_000_000;
    /// The lowest rate of bits: a second's worth holds the longest frame.
    pub const BITS_PER_SECOND_MIN: u64 = 100_000;
    /// The highest rate of bits.
    pub const BITS_PER_SECOND_MAX: u64 = 1_000_000_000_000;

    /// Whether every packet of the rule's sessions is counted, not only the first.
    pub const fn meters_packets(&self) -> bool {
        self.packets_per_second.is_some() || self.bits_per_second.is_some()
    }

    /// The prefix of `source`, host bits zero.
    pub fn prefix_of(&self, source: IpAddr) -> IpAddr {
        let [v4, v6] = self.prefix_bits;
        match source {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
                core::net::Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
                core::net::Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

impl Default for Limits {
    /// None at all.
    fn default() -> Self {
        Self {
            source: Quota::default(),
            prefix: Quota::default(),
            prefix_bits: Self::PREFIX_BITS,
            rule: Quota::default(),
            packets_per_second: None,
            bits_per_second: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_lose_their_host_bits() {
        let of = |bits, address: &str| {
            Limits { prefix_bits: bits, ..Limits::default() }.prefix_of(address.parse().unwrap()).to_string()
        };
        assert_eq!(of([24, 56], "203.0.113.77"), "203.0.113.0");
        assert_eq!(of([32, 128], "203.0.113.77"), "203.0.113.77");
        assert_eq!(of([1, 1], "203.0.113.77"), "128.0.0.0");
        assert_eq!(of([24, 56], "2001:db8:1:2fff::1"), "2001:db8:1:2f00::");
        assert_eq!(of([24, 128], "2001:db8::1"), "2001:db8::1");
        assert_eq!(of([24, 1], "8001:db8::1"), "8000::");
    }
}
