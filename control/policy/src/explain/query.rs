//! The packet that is asked about, in the notation of the command line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sekisho_engine::flow::FlowKey;
use sekisho_engine::packet;
use sekisho_engine::policy::Ruleset;
use sekisho_engine::port::Port;

use crate::diagnostic::{Fault, quoted};
use crate::load::Loaded;
use crate::text::{icmp, protocol, vlan};
use crate::words::Word;

/// A first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainQuery {
    /// The port it arrives on.
    pub from: Port,
    /// Its outer VLAN; 0: untagged.
    pub vlan: u16,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, where the protocol has ports; the identifier of an ICMP query.
    pub source_port: u16,
    /// Destination port, or `type * 256 + code` of ICMP, or 0.
    pub selector: u16,
}

/// What is wrong with a question, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuery(Fault);

impl std::error::Error for BadQuery {}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.0.message, self.0.remedy)
    }
}

const NOTATION: &str = "write one such as: tcp 192.0.2.10:40000 203.0.113.5:443, udp [2001:db8::1]:5000 [2001:db8::2]:53, \
     icmp 192.0.2.10 203.0.113.5 echo, icmp 192.0.2.10 203.0.113.5 echo 77 (an identifier), gre 192.0.2.10 203.0.113.5";

impl ExplainQuery {
    /// Reads `words` such as `tcp 192.0.2.10:40000 203.0.113.5:443`. `from` is a port or a zone of the policy; `vlan`
    /// is that of the frame, if it is tagged.
    pub fn parse(
        loaded: &Loaded,
        from: &str,
        vlan: Option<u16>,
        words: &[impl AsRef<str>],
    ) -> Result<Self, BadQuery> {
        Self::parse_for(&loaded.ruleset, from, vlan, words)
    }

    /// The same for a policy that is compiled already.
    pub fn parse_for(
        ruleset: &Ruleset,
        from: &str,
        vlan: Option<u16>,
        words: &[impl AsRef<str>],
    ) -> Result<Self, BadQuery> {
        Self::read(ruleset, from, vlan, words).map_err(BadQuery)
    }

    /// The key under which an engine knows the session that the packet belongs to.
    pub fn key(&self) -> Option<FlowKey> {
        let frame = super::frame::frame(self);
        FlowKey::of(&packet::parse(&frame, frame.len()), self.from)
    }

    fn read(
        ruleset: &Ruleset,
        from: &str,
        vlan: Option<u16>,
        words: &[impl AsRef<str>],
    ) -> Result<Self, Fault> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let [name, source, destination, ref rest @ ..] = words[..] else {
            return Err(Fault::new("a packet has a protocol, a source and a destination", NOTATION));
        };
        let (from, vlan) = place(ruleset, from, vlan)?;
        let number = protocol_number(name)?;
        if protocol::WITH_PORTS.iter().any(|(_, with_ports)| *with_ports == number)
            && !name.starts_with("ip/")
        {
            let (source, destination) = (endpoint(name, source)?, endpoint(name, destination)?);
            same_family(source.ip(), destination.ip())?;
            nothing_more(rest)?;
            return Ok(Self {
                from,
                vlan,
                source: source.ip(),
                destination: destination.ip(),
                protocol: number,
                source_port: source.port(),
                selector: destination.port(),
            });
        }
        let (source, destination) = (address(name, source)?, address(name, destination)?);
        same_family(source, destination)?;
        let mut source_port = 0;
        let (number, selector) = match name {
            "icmp" | "icmpv4" | "icmpv6" => {
                let wants_v4 = (name != "icmp").then_some(name == "icmpv4");
                if wants_v4.is_some_and(|wants_v4| wants_v4 != source.is_ipv4()) {
                    let message = format!("{name} does not go between {source} and {destination}");
                    return Err(Fault::new(message, "write icmp for the one of their family"));
                }
                source_port = rest.get(1).copied().map_or(Ok(0), identifier)?;
                nothing_more(rest.get(2..).unwrap_or_default())?;
                let selector = icmp_selector(rest.first().copied().unwrap_or("echo"), source.is_ipv4())?;
                (if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }, selector)
            }
            _ => {
                nothing_more(rest)?;
                (number, 0)
            }
        };
        Ok(Self { from, vlan, source, destination, protocol: number, source_port, selector })
    }
}

/// The port and VLAN of `--from`: a port's name, or a zone's.
fn place(ruleset: &Ruleset, from: &str, vlan: Option<u16>) -> Result<(Port, u16), Fault> {
    if vlan.is_some_and(|vlan| vlan > vlan::MAX) {
        return Err(Fault::new(
            "the VLAN is out of range",
            format!("write a number from 0 to {}", vlan::MAX),
        ));
    }
    if let Some(port) = Port::find(from) {
        return Ok((port, vlan.unwrap_or(0)));
    }
    let Some(zone) = ruleset.zones.iter().find(|zone| &*zone.name == from) else {
        let message = format!("{} is neither a port nor a zone of the policy", quoted(from));
        return Err(Fault::new(message, "write lan, wan or the name of a zone"));
    };
    match (vlan, zone.vlans.as_deref()) {
        (Some(vlan), Some(vlans)) if !vlans.contains(&vlan) => {
            let message = format!("the zone {} does not have the VLAN {vlan}", quoted(from));
            Err(Fault::new(message, format!("its VLANs are {}", numbers(vlans))))
        }
        (Some(vlan), _) => Ok((zone.port, vlan)),
        (None, Some([only])) => Ok((zone.port, *only)),
        (None, Some(vlans)) if !vlans.contains(&0) => {
            let message = format!("the zone {} has several VLANs: {}", quoted(from), numbers(vlans));
            Err(Fault::new(message, "say which with --vlan"))
        }
        (None, _) => Ok((zone.port, 0)),
    }
}

/// The first few of several VLANs.
pub(super) fn numbers(vlans: &[u16]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<_> = vlans.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    if vlans.len() > SHOWN_MAX {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn protocol_number(name: &str) -> Result<u8, Fault> {
    let by_name = protocol::with_ports(name).or_else(|| protocol::plain(name));
    let by_number = || name.strip_prefix("ip/").and_then(|number| number.parse().ok());
    match name {
        "icmp" | "icmpv4" => Ok(protocol::ICMP),
        "icmpv6" => Ok(protocol::ICMPV6),
        _ => by_name
            .or_else(by_number)
            .ok_or_else(|| Fault::new(format!("{} is no protocol", quoted(name)), NOTATION)),
    }
}

fn endpoint(name: &str, text: &str) -> Result<SocketAddr, Fault> {
    match text.parse::<SocketAddr>() {
        Ok(endpoint) if endpoint.port() > 0 => Ok(endpoint),
        Ok(_) => Err(Fault::new(format!("{} has port 0", quoted(text)), "ports are numbers from 1 to 65535")),
        Err(_) => {
            let remedy = match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => format!("{name} has ports: {address}:443"),
                Ok(IpAddr::V6(address)) => format!("{name} has ports: [{address}]:443"),
                Err(_) => "write it as 192.0.2.1:443 or [2001:db8::1]:443".to_owned(),
            };
            Err(Fault::new(format!("{} is no address with a port", quoted(text)), remedy))
        }
    }
}

fn address(name: &str, text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_| {
        let remedy = match text.parse::<SocketAddr>() {
            Ok(endpoint) => format!("{name} has no ports: {}", endpoint.ip()),
            Err(_) => "write it as 192.0.2.1 or 2001:db8::1".to_owned(),
        };
        Fault::new(format!("{} is no address", quoted(text)), remedy)
    })
}

fn same_family(source: IpAddr, destination: IpAddr) -> Result<(), Fault> {
    if source.is_ipv4() == destination.is_ipv4() {
        return Ok(());
    }
    let message = format!("{source} and {destination} are of different families");
    Err(Fault::new(message, "write two IPv4 or two IPv6 addresses"))
}

fn nothing_more(rest: &[&str]) -> Result<(), Fault> {
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(Fault::new(format!("{} stands behind the packet", quoted(word)), NOTATION)),
    }
}

/// The identifier of an ICMP query.
fn identifier(text: &str) -> Result<u16, Fault> {
    text.parse().map_err(|_| {
        let message = format!("{} is no identifier of an ICMP query", quoted(text));
        Fault::new(message, "write a number from 0 to 65535, or leave it out")
    })
}

/// The type and code of a name or of numbers.
fn icmp_selector(text: &str, is_v4: bool) -> Result<u16, Fault> {
    if let Some(named) = icmp::find(text) {
        let ranges = if is_v4 { named.v4 } else { named.v6 };
        let family = if is_v4 { "ICMP" } else { "ICMPv6" };
        return ranges.first().map(|range| *range.start()).ok_or_else(|| {
            Fault::new(format!("{family} has no {text}"), "use addresses of the other family")
        });
    }
    let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
    match (kind.parse::<u8>(), code.parse::<u8>()) {
        (Ok(kind), Ok(code)) => Ok(u16::from(kind) << 8 | u16::from(code)),
        _ => {
            let names: Vec<_> = icmp::NAMES.iter().map(|named| named.name).collect();
            let remedy = format!(
                "write a type such as 8, a type and code such as 3/4, or one of {}",
                names.join(", ")
            );
            Err(Fault::new(format!("{} is no type of ICMP", quoted(text)), remedy))
        }
    }
}
