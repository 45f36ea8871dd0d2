//! IPv4 (RFC 791).

use super::{Addresses, Facts, Fragment, be16, offset, transport};
use crate::reason::Reason;

pub(super) const HEADER_MIN: usize = 20;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;

pub(super) fn parse(head: &[u8], wire_len: usize, at: usize, facts: &mut Facts) -> Result<(), Reason> {
    facts.network_at = offset(at)?;
    let fixed: &[u8; HEADER_MIN] = head.get(at..).and_then(<[u8]>::first_chunk).ok_or(Reason::IpTruncated)?;
    if fixed[0] >> 4 != 4 {
        return Err(Reason::IpBadHeader);
    }
    facts.addresses = Addresses::V4 {
        source: u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]),
        destination: u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]),
    };
    facts.protocol = fixed[9];
    facts.hop_limit = fixed[8];

    let header_len = usize::from(fixed[0] & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if header_len < HEADER_MIN || total_len < header_len {
        return Err(Reason::IpBadHeader);
    }
    if at + total_len > wire_len {
        return Err(Reason::IpTruncated);
    }
    let header = head.get(at..at + header_len).ok_or(Reason::IpTruncated)?;
    if !checksum_holds(fixed, &header[HEADER_MIN..]) {
        return Err(Reason::IpBadChecksum);
    }
    if facts.hop_limit == 0 {
        return Err(Reason::IpTtlZero);
    }
    if header_len > HEADER_MIN {
        options(&header[HEADER_MIN..])?;
    }

    facts.transport_at = offset(at + header_len)?;
    facts.transport_len = u32::from(u16::from_be_bytes([fixed[2], fixed[3]])) - u32::from(fixed[0] & 0xf) * 4;
    let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
    let (more, fragment_offset) = (flags & 0x2000 != 0, (flags & 0x1fff) * 8);
    if more || fragment_offset != 0 {
        facts.fragment = Some(Fragment {
            offset: fragment_offset,
            more,
            identification: u32::from(be16(fixed, 4).unwrap_or(0)),
            at: facts.transport_at,
            len: offset(total_len - header_len)?,
        });
        return transport::fragment(head, facts, header_len);
    }
    transport::parse(head, facts)
}

/// Whether the checksum of a header without options holds.
#[inline]
pub(super) fn fixed_holds(fixed: &[u8; HEADER_MIN]) -> bool {
    checksum_holds(fixed, &[])
}

/// RFC 1071: the sum over a correct header is all ones, in whatever order of bytes it is made (section 2 (B)).
#[inline]
fn checksum_holds(fixed: &[u8; HEADER_MIN], options: &[u8]) -> bool {
    let word = |bytes: &[u8; 4]| u64::from(u32::from_ne_bytes(*bytes));
    let (fixed, options) = (fixed.as_chunks::<4>().0, options.as_chunks::<4>().0);
    let mut sum = fixed.iter().map(word).sum::<u64>() + options.iter().map(word).sum::<u64>();
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    // Fifteen words at the most: below 2^32 + 15 now, so that what is more than all ones after two steps more is no such sum.
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum == 0xffff
}

/// Walks the options; refuses source routes (RFC 7126 sections 4.3 and 4.4).
fn options(mut rest: &[u8]) -> Result<(), Reason> {
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            OPTION_END => return Ok(()),
            OPTION_NOP => rest = after,
            OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE => return Err(Reason::IpSourceRoute),
            _ => {
                let len = usize::from(*after.first().ok_or(Reason::IpBadOptions)?);
                if len < 2 {
                    return Err(Reason::IpBadOptions);
                }
                rest = rest.get(len..).ok_or(Reason::IpBadOptions)?;
            }
        }
    }
    Ok(())
}
