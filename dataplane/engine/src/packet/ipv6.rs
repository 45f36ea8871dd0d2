//! IPv6 (RFC 8200) and its extension headers.

use super::{Addresses, Facts, Fragment, be16, be32, icmpv6, offset, protocol, transport};
use crate::reason::Reason;

pub(super) const HEADER: usize = 40;
/// Length of the fragment header, which is no part of the whole.
pub(super) const FRAGMENT_HEADER: usize = 8;
pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const DESTINATION: u8 = 60;
const OPTION_PAD1: u8 = 0;
const OPTION_JUMBO: u8 = 0xc2;
/// RFC 6275 section 6.3.
const OPTION_HOME_ADDRESS: u8 = 0xc9;
/// Routing headers whose first address is the final destination: mobility (RFC 6275), segments (RFC 8754).
const ROUTING_MOBILITY: u8 = 2;
const ROUTING_SEGMENTS: u8 = 4;
/// Hop-by-hop, destination, routing, fragment, destination: RFC 8200 section 4.1 has no longer chain.
const CHAIN_MAX: usize = 5;

pub(super) fn parse(head: &[u8], wire_len: usize, at: usize, facts: &mut Facts) -> Result<(), Reason> {
    facts.network_at = offset(at)?;
    let fixed: &[u8; HEADER] = head.get(at..).and_then(<[u8]>::first_chunk).ok_or(Reason::IpTruncated)?;
    if fixed[0] >> 4 != 6 {
        return Err(Reason::IpBadHeader);
    }
    let address = |from: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&fixed[from..from + 16]);
        u128::from_be_bytes(bytes)
    };
    facts.addresses = Addresses::V6 { source: address(8), destination: address(24) };
    facts.protocol = fixed[6];
    facts.hop_limit = fixed[7];

    let payload_len = u16::from_be_bytes([fixed[4], fixed[5]]);
    if payload_len == 0 && fixed[6] == HOP_BY_HOP {
        return Err(Reason::Ipv6Jumbogram);
    }
    let start = at + HEADER;
    let end = start + usize::from(payload_len);
    if end > wire_len {
        return Err(Reason::IpTruncated);
    }
    if facts.hop_limit == 0 {
        return Err(Reason::IpTtlZero);
    }
    let mut chain = Chain { head, at: start, end, next: fixed[6], seen: Seen::default() };
    for _ in 0..CHAIN_MAX {
        match chain.step(facts)? {
            Step::Extension => {}
            Step::Upper => return chain.finish(start, facts),
        }
    }
    match chain.next {
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION => Err(Reason::Ipv6ExtensionHeaders),
        _ => chain.finish(start, facts),
    }
}

struct Chain<'f> {
    head: &'f [u8],
    at: usize,
    end: usize,
    next: u8,
    seen: Seen,
}

/// What came already: each once, destination options twice.
#[derive(Default)]
struct Seen {
    headers: u8,
    destination: u8,
    routing: bool,
    /// A fragment header, be it of an atomic fragment.
    fragment: bool,
    /// What follows is cut off at the end of a first fragment.
    is_cut: bool,
}

enum Step {
    Extension,
    Upper,
}

impl<'f> Chain<'f> {
    fn step(&mut self, facts: &mut Facts) -> Result<Step, Reason> {
        let first = self.seen.headers == 0;
        self.seen.headers += 1;
        match self.next {
            HOP_BY_HOP if first => self.options(facts)?,
            HOP_BY_HOP => return Err(Reason::Ipv6ExtensionHeaders),
            DESTINATION if self.seen.destination < 2 => {
                self.seen.destination += 1;
                self.options(facts)?;
            }
            ROUTING if !self.seen.routing => {
                self.seen.routing = true;
                let header = self.header(4)?;
                let (routing_type, segments_left) = (header[2], header[3]);
                if routing_type == 0 {
                    return Err(Reason::Ipv6RoutingHeader);
                }
                let at = self.at;
                let len = self.skip()?.len();
                let names_last = matches!(routing_type, ROUTING_MOBILITY | ROUTING_SEGMENTS) && len >= 24;
                if names_last && segments_left > 0 {
                    facts.final_at = offset(at + 8)?;
                }
            }
            DESTINATION | ROUTING => return Err(Reason::Ipv6ExtensionHeaders),
            FRAGMENT if self.seen.fragment => return Err(Reason::Ipv6ExtensionHeaders),
            FRAGMENT => {
                let header = self.header(FRAGMENT_HEADER)?;
                let flags = be16(header, 2).unwrap_or(0);
                let identification = be32(header, 4).unwrap_or(0);
                self.next = header[0];
                self.at += FRAGMENT_HEADER;
                self.seen.fragment = true;
                // RFC 6946: an atomic fragment is a whole datagram, and is inspected as one.
                if flags & !0b110 != 0 {
                    let (place, more) = (flags & 0xfff8, flags & 1 != 0);
                    let (at, len) = (offset(self.at)?, offset(self.end - self.at)?);
                    facts.fragment = Some(Fragment { offset: place, more, identification, at, len });
                    if place > 0 {
                        return Ok(Step::Upper);
                    }
                    self.seen.is_cut = true;
                }
            }
            _ => return Ok(Step::Upper),
        }
        Ok(Step::Extension)
    }

    fn finish(&self, start: usize, facts: &mut Facts) -> Result<(), Reason> {
        facts.protocol = self.next;
        facts.transport_at = offset(self.at)?;
        facts.transport_len = u32::try_from(self.end - self.at).map_err(|_| Reason::IpBadHeader)?;
        match facts.fragment {
            Some(fragment) => {
                let before = usize::from(fragment.at).saturating_sub(start + FRAGMENT_HEADER);
                transport::fragment(self.head, facts, before)?;
            }
            None => transport::parse(self.head, facts)?,
        }
        // RFC 6980 section 5: nobody who keeps to it answers these, nor those in an atomic fragment.
        let is_neighbourly = self.next == protocol::ICMPV6
            && (icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT).contains(&facts.icmp_type());
        if self.seen.fragment && is_neighbourly { Err(Reason::NeighbourFragmented) } else { Ok(()) }
    }

    /// The header at hand, of which at least `len` bytes are there.
    fn header(&self, len: usize) -> Result<&[u8], Reason> {
        if self.at + len > self.end {
            // RFC 7112 section 5: a first fragment holds the whole chain.
            return Err(if self.seen.is_cut { Reason::FragmentTiny } else { Reason::Ipv6ExtensionHeaders });
        }
        self.head.get(self.at..self.at + len).ok_or(Reason::Ipv6ExtensionHeaders)
    }

    /// The whole header at hand by its own length field; goes on to the next.
    fn skip(&mut self) -> Result<&'f [u8], Reason> {
        let fixed = self.header(2)?;
        let (next, len) = (fixed[0], (usize::from(fixed[1]) + 1) * 8);
        self.header(len)?;
        let from = self.at;
        self.next = next;
        self.at += len;
        self.head.get(from..from + len).ok_or(Reason::Ipv6ExtensionHeaders)
    }

    /// Hop-by-hop or destination options: lengths must add up, and no jumbo payload (RFC 2675).
    fn options(&mut self, facts: &mut Facts) -> Result<(), Reason> {
        let header = self.skip()?;
        let mut rest = &header[2..];
        while let Some((&kind, after)) = rest.split_first() {
            if kind == OPTION_PAD1 {
                rest = after;
                continue;
            }
            if kind == OPTION_JUMBO {
                return Err(Reason::Ipv6Jumbogram);
            }
            let len = usize::from(*after.first().ok_or(Reason::Ipv6ExtensionHeaders)?);
            if kind == OPTION_HOME_ADDRESS && len == 16 {
                facts.home_at = offset(self.at - after.len() + 1)?;
            }
            rest = rest.get(2 + len..).ok_or(Reason::Ipv6ExtensionHeaders)?;
        }
        Ok(())
    }
}
