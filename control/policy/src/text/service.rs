//! Services: `tcp/443`, `udp/1024-65535`, `icmp/echo`, `icmpv6/128/0`, `gre`, `ip/89`, `any`.

use std::ops::RangeInclusive;

use sekisho_engine::policy::{Protocols, ServiceMatch};

use super::{icmp, protocol};
use crate::diagnostic::{Fault, nearest, quoted};

/// What may stand where a service is asked for, for the schema: a name, or a protocol with what it selects.
pub(crate) const PATTERN: &str = "^([A-Za-z_][A-Za-z0-9_.-]{0,63}|6in4|[a-z0-9]+/[0-9a-z-]+(/[0-9]+)?)$";

const WHOLE: RangeInclusive<u16> = 0..=u16::MAX;

/// What stands where a service is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// Every service.
    Any,
    /// The name of a service.
    Name(&'a str),
    /// The service itself.
    Inline(Vec<ServiceMatch>),
}

/// A name, or a service.
pub(crate) fn reference(text: &str) -> Result<Reference<'_>, Fault> {
    if text == "any" {
        return Ok(Reference::Any);
    }
    if text.contains('/') || protocol::is_reserved(text) {
        return parse(text).map(Reference::Inline);
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("{} is no service", quoted(text));
        return Err(Fault::new(message, format!("say of which protocol: tcp/{text} or udp/{text}")));
    }
    super::name::rule(text)?;
    Ok(Reference::Name(text))
}

/// A protocol and what it selects.
pub(crate) fn parse(text: &str) -> Result<Vec<ServiceMatch>, Fault> {
    let (name, selector) = match text.split_once('/') {
        Some((name, selector)) => (name, Some(selector)),
        None => (text, None),
    };
    if let Some(number) = protocol::with_ports(name) {
        let ports = selector.map_or(Ok(WHOLE), |selector| ports(text, name, selector))?;
        return Ok(vec![service(Protocols::Both, number, ports)]);
    }
    match (name, selector) {
        ("icmp" | "icmpv4" | "icmpv6", _) => icmp_types(text, name, selector),
        ("ip", Some(number)) => match number.parse::<u8>() {
            Ok(parsed) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(vec![service(Protocols::Both, parsed, WHOLE)])
            }
            _ => Err(Fault::new(
                format!("{} is no protocol number", quoted(text)),
                "write a number from 0 to 255, such as ip/89",
            )),
        },
        ("ip", None) => {
            Err(Fault::new("\"ip\" needs a protocol number", "write ip/89, or any for everything"))
        }
        _ => match (protocol::plain(name), selector) {
            (Some(number), None) => Ok(vec![service(Protocols::Both, number, WHOLE)]),
            (Some(_), Some(_)) => Err(Fault::new(
                format!("{} has ports, but {name} has none", quoted(text)),
                format!("write {name}"),
            )),
            (None, _) => Err(unknown_protocol(text, name)),
        },
    }
}

fn service(family: Protocols, protocol: u8, selector: RangeInclusive<u16>) -> ServiceMatch {
    ServiceMatch { family, protocol: Some(protocol), selector }
}

fn unknown_protocol(text: &str, name: &str) -> Fault {
    let known = protocol::WITH_PORTS.iter().chain(protocol::PLAIN).map(|(known, _)| *known);
    let remedy = match nearest(name, known.chain(["icmp", "icmpv6"])) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "write tcp/PORT, udp/PORT, sctp/PORT, icmp/NAME, or another protocol as ip/NUMBER".to_owned(),
    };
    Fault::new(format!("{} is no service: there is no protocol {}", quoted(text), quoted(name)), remedy)
}

fn ports(text: &str, name: &str, selector: &str) -> Result<RangeInclusive<u16>, Fault> {
    let wrong = |remedy: String| Fault::new(format!("{} has no valid port", quoted(text)), remedy);
    let number = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ if digits.contains(',') => Err(wrong(format!("write a list: [{name}/80, {name}/443]"))),
        _ => Err(wrong(format!("ports are numbers from 1 to 65535: {name}/443 or {name}/1024-65535"))),
    };
    let (first, last) = match selector.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(selector)?, number(selector)?),
    };
    if first > last {
        let message = format!("the range of ports in {} ends before it begins", quoted(text));
        return Err(Fault::new(message, format!("write {name}/{last}-{first}")));
    }
    Ok(first..=last)
}

/// `icmp` alone or with a name speaks of both families, with a number of IPv4; `icmpv4` and `icmpv6` of theirs.
fn icmp_types(text: &str, name: &str, selector: Option<&str>) -> Result<Vec<ServiceMatch>, Fault> {
    let (v4, v6) = (name != "icmpv6", name != "icmpv4");
    let mut services = Vec::new();
    let mut add = |family, protocol, ranges: &[RangeInclusive<u16>]| {
        services.extend(ranges.iter().map(|range| service(family, protocol, range.clone())));
    };
    let Some(selector) = selector else {
        add(Protocols::V4, protocol::ICMP, if v4 { &[WHOLE] } else { &[] });
        add(Protocols::V6, protocol::ICMPV6, if v6 { &[WHOLE] } else { &[] });
        return Ok(services);
    };
    if selector.starts_with(|first: char| first.is_ascii_digit()) {
        let range = type_and_code(text, selector)?;
        let number_of_v4 = name != "icmpv6";
        let family = if number_of_v4 { Protocols::V4 } else { Protocols::V6 };
        let protocol = if number_of_v4 { protocol::ICMP } else { protocol::ICMPV6 };
        add(family, protocol, &[range]);
        return Ok(services);
    }
    let Some(named) = icmp::find(selector) else {
        return Err(unknown_type(text, name, selector));
    };
    add(Protocols::V4, protocol::ICMP, if v4 { named.v4 } else { &[] });
    add(Protocols::V6, protocol::ICMPV6, if v6 { named.v6 } else { &[] });
    if services.is_empty() {
        let message = format!("{} matches nothing: {name} has no such type", quoted(text));
        return Err(Fault::new(message, format!("write icmp/{selector}")));
    }
    Ok(services)
}

fn type_and_code(text: &str, selector: &str) -> Result<RangeInclusive<u16>, Fault> {
    let wrong = || {
        let remedy = "write a type and if need be a code, both from 0 to 255: icmp/3 or icmp/3/4";
        Fault::new(format!("{} has no valid type", quoted(text)), remedy)
    };
    let number = |digits: &str| match digits.parse::<u8>() {
        Ok(parsed) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(u16::from(parsed)),
        _ => Err(wrong()),
    };
    match selector.split_once('/') {
        Some((kind, code)) => {
            let selector = number(kind)? << 8 | number(code)?;
            Ok(selector..=selector)
        }
        None => {
            let kind = number(selector)? << 8;
            Ok(kind..=kind | 0xff)
        }
    }
}

fn unknown_type(text: &str, protocol: &str, name: &str) -> Fault {
    let message = format!("{} is no service: ICMP has no type {}", quoted(text), quoted(name));
    if let Some((_, why)) = icmp::NOT_BY_RULE.iter().find(|(tried, _)| *tried == name) {
        return Fault::new(format!("{} is not decided by rules", quoted(text)), *why);
    }
    let remedy = match nearest(name, icmp::NAMES.iter().map(|named| named.name)) {
        Some(meant) => format!("did you mean {protocol}/{meant}?"),
        None => {
            let names: Vec<_> = icmp::NAMES.iter().map(|named| named.name).collect();
            format!("write a number, or one of {}", names.join(", "))
        }
    };
    Fault::new(message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(text: &str, is_v4: bool, protocol: u8, selector: u16) -> bool {
        parse(text).unwrap().iter().any(|one| one.matches(is_v4, protocol, selector))
    }

    #[test]
    fn ports_and_ranges() {
        assert!(matches("tcp/80", true, 6, 80) && matches("tcp/80", false, 6, 80));
        assert!(!matches("tcp/80", true, 17, 80) && !matches("tcp/80", true, 6, 81));
        assert!(matches("tcp/1024-65535", true, 6, 65535) && !matches("tcp/1024-65535", true, 6, 1023));
        assert!(matches("udp", true, 17, 1) && matches("sctp/36412", true, 132, 36412));
    }

    #[test]
    fn echo_is_the_query_of_both_families() {
        assert!(matches("icmp/echo", true, 1, 8 << 8) && matches("icmp/echo", false, 58, 128 << 8));
        assert!(!matches("icmp/echo", true, 1, 0) && !matches("icmp/echo", false, 58, 129 << 8));
        assert!(!matches("icmpv6/echo", true, 1, 8 << 8) && !matches("icmpv4/echo", false, 58, 128 << 8));
    }

    #[test]
    fn mld_is_its_four_types() {
        for kind in 0..=255u16 {
            let wanted = [130, 131, 132, 143].contains(&kind);
            assert_eq!(matches("icmp/mld", false, 58, kind << 8), wanted, "{kind}");
        }
    }

    #[test]
    fn numbers_select_type_and_code() {
        assert!(matches("icmp/3", true, 1, 3 << 8 | 4) && !matches("icmp/3", false, 58, 3 << 8));
        assert!(matches("icmp/3/4", true, 1, 3 << 8 | 4) && !matches("icmp/3/4", true, 1, 3 << 8 | 5));
        assert!(matches("icmpv6/135/0", false, 58, 135 << 8));
    }

    #[test]
    fn other_protocols_by_name_and_number() {
        assert!(
            matches("gre", true, 47, 0) && matches("ip/89", false, 89, 0) && matches("ospf", true, 89, 0)
        );
        assert_eq!(reference("any"), Ok(Reference::Any));
        assert_eq!(reference("web"), Ok(Reference::Name("web")));
        assert!(matches!(reference("esp"), Ok(Reference::Inline(_))));
    }

    #[test]
    fn faults_say_what_would_be_right() {
        for (text, right) in [
            ("tcp/0", "from 1 to 65535"),
            ("tcp/65536", "from 1 to 65535"),
            ("tcp/https", "numbers"),
            ("tcp/80,443", "[tcp/80, tcp/443]"),
            ("tcp/90-80", "tcp/80-90"),
            ("tpc/80", "did you mean tcp?"),
            ("80", "tcp/80"),
            ("gre/5", "write gre"),
            ("ip", "ip/89"),
            ("ip/256", "from 0 to 255"),
            ("icmp/ecco", "did you mean icmp/echo?"),
            ("icmp/300", "from 0 to 255"),
            ("icmp/3/", "from 0 to 255"),
            ("icmpv4/mld", "icmp/mld"),
            ("icmp/neighbour-solicitation", "passes by itself"),
            ("tcp/", "numbers from 1"),
            ("", "give it one"),
        ] {
            let fault = reference(text).unwrap_err();
            assert!(fault.remedy.contains(right), "{text}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9/,-]{0,20}|.*") {
            let _ = reference(&text);
        }
    }
}
