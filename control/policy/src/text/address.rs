//! Addresses, prefixes and ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::diagnostic::{Fault, quoted};

/// What may stand where addresses are asked for, for the schema.
pub(crate) const PATTERN: &str = "^([A-Za-z_][A-Za-z0-9_.-]{0,63}|[0-9.]+(/[0-9]+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]+)?|[0-9A-Fa-f:.]+ *- *[0-9A-Fa-f:.]+)$";

/// The addresses of an address, a prefix or a range, host byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// IPv4.
    V4(RangeInclusive<u32>),
    /// IPv6.
    V6(RangeInclusive<u128>),
}

/// What stands where addresses are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// The name of addresses.
    Name(&'a str),
    /// The addresses themselves.
    Inline(Range),
}

/// A name, or addresses.
pub(crate) fn reference(text: &str) -> Result<Reference<'_>, Fault> {
    let begins_a_name = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if begins_a_name && !text.contains(':') {
        super::name::rule(text)?;
        return Ok(Reference::Name(text));
    }
    parse(text).map(Reference::Inline)
}

/// An address, a prefix with no host bits set, or a range.
pub(crate) fn parse(text: &str) -> Result<Range, Fault> {
    match (text.split_once('/'), text.split_once('-')) {
        (Some((address, length)), _) => prefix(text, address, length),
        (None, Some((first, last))) => range(text, first.trim(), last.trim()),
        (None, None) => match address(text)? {
            IpAddr::V4(one) => Ok(Range::V4(one.to_bits()..=one.to_bits())),
            IpAddr::V6(one) => Ok(Range::V6(one.to_bits()..=one.to_bits())),
        },
    }
}

fn address(text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_| {
        let remedy = if text.contains('%') {
            "leave out the interface after \"%\""
        } else if text.split('.').any(|part| part.len() > 1 && part.starts_with('0')) {
            "write its numbers without leading zeros"
        } else {
            "write one such as 192.0.2.1 or 2001:db8::1, a prefix such as 192.0.2.0/24, a range such as \
             192.0.2.10-192.0.2.20, or a name defined under \"addresses\""
        };
        Fault::new(format!("{} is no address", quoted(text)), remedy)
    })
}

fn prefix(text: &str, base: &str, length: &str) -> Result<Range, Fault> {
    let base = address(base)?;
    let bits_max = if base.is_ipv4() { 32 } else { 128 };
    let bits = match length.parse::<u32>() {
        Ok(bits) if bits <= bits_max && length.bytes().all(|byte| byte.is_ascii_digit()) => bits,
        _ => return Err(wrong_length(text, base, length, bits_max)),
    };
    let host_bits = |right: String| {
        let message = format!("the prefix {} has host bits set", quoted(text));
        Fault::new(message, format!("the prefix is {right}, the host is {base}"))
    };
    match base {
        IpAddr::V4(base) => {
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let base = base.to_bits();
            if base & host != 0 {
                return Err(host_bits(format!("{}/{bits}", Ipv4Addr::from_bits(base & !host))));
            }
            Ok(Range::V4(base..=base | host))
        }
        IpAddr::V6(base) => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let base = base.to_bits();
            if base & host != 0 {
                return Err(host_bits(format!("{}/{bits}", Ipv6Addr::from_bits(base & !host))));
            }
            Ok(Range::V6(base..=base | host))
        }
    }
}

fn wrong_length(text: &str, base: IpAddr, length: &str, bits_max: u32) -> Fault {
    let remedy = match (base, length.parse::<Ipv4Addr>()) {
        (IpAddr::V4(base), Ok(mask)) if mask.to_bits().leading_ones() == mask.to_bits().count_ones() => {
            format!("write the mask as a length: {base}/{}", mask.to_bits().leading_ones())
        }
        _ => format!("the length is a number from 0 to {bits_max}"),
    };
    Fault::new(format!("{} has no valid prefix length", quoted(text)), remedy)
}

fn range(text: &str, first: &str, last: &str) -> Result<Range, Fault> {
    let reversed = || {
        let message = format!("the range {} ends before it begins", quoted(text));
        Fault::new(message, format!("write {last}-{first}"))
    };
    match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Ok(Range::V4(first.to_bits()..=last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Ok(Range::V6(first.to_bits()..=last.to_bits()))
        }
        (first, last) if first.is_ipv4() == last.is_ipv4() => Err(reversed()),
        _ => {
            let message = format!("the range {} begins and ends in different families", quoted(text));
            Err(Fault::new(message, "write both ends as IPv4 or both as IPv6"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().to_bits()
    }

    #[test]
    fn addresses_prefixes_and_ranges() {
        assert_eq!(parse("192.0.2.1"), Ok(Range::V4(v4("192.0.2.1")..=v4("192.0.2.1"))));
        assert_eq!(parse("192.0.2.0/25"), Ok(Range::V4(v4("192.0.2.0")..=v4("192.0.2.127"))));
        assert_eq!(parse("0.0.0.0/0"), Ok(Range::V4(0..=u32::MAX)));
        assert_eq!(parse("::/0"), Ok(Range::V6(0..=u128::MAX)));
        assert_eq!(parse("10.0.0.1 - 10.0.0.9"), Ok(Range::V4(v4("10.0.0.1")..=v4("10.0.0.9"))));
        assert!(matches!(parse("2001:db8::/32"), Ok(Range::V6(_))));
        assert_eq!(reference("office"), Ok(Reference::Name("office")));
        assert_eq!(reference("my-net"), Ok(Reference::Name("my-net")));
        assert!(matches!(reference("fe80::1"), Ok(Reference::Inline(Range::V6(_)))));
    }

    #[test]
    fn faults_say_what_would_be_right() {
        for (text, wrong, right) in [
            ("192.0.2.1/24", "host bits set", "the prefix is 192.0.2.0/24, the host is 192.0.2.1"),
            ("2001:db8::1/64", "host bits set", "the prefix is 2001:db8::/64"),
            ("192.0.2.0/33", "no valid prefix length", "from 0 to 32"),
            ("192.0.2.0/+8", "no valid prefix length", "from 0 to 32"),
            ("192.0.2.0/255.255.255.0", "no valid prefix length", "192.0.2.0/24"),
            ("192.0.2.9-192.0.2.1", "ends before it begins", "write 192.0.2.1-192.0.2.9"),
            ("192.0.2.9-2001:db8::1", "different families", "both as IPv6"),
            ("192.0.2.256", "is no address", "write one such as"),
            ("192.0.02.1", "is no address", "leading zeros"),
            ("fe80::1%eth0", "is no address", "leave out the interface"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(wrong) && fault.remedy.contains(right), "{text}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn prefixes_hold_what_shares_their_bits(base: u32, bits in 0u32..=32, probe: u32) {
            let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
            let text = format!("{}/{bits}", Ipv4Addr::from_bits(base & mask));
            let Ok(Range::V4(range)) = parse(&text) else { panic!("{text}") };
            for probe in [probe, probe & !mask | base & mask] {
                prop_assert_eq!(range.contains(&probe), probe & mask == base & mask);
            }
            prop_assert_eq!(parse(&format!("{}/{bits}", Ipv4Addr::from_bits(base))).is_ok(), base & !mask == 0);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = reference(&text);
        }
    }
}
