//! FTP (RFC 959, 1123 section 4.1.2, 2428): the client names a port of its own with PORT or EPRT, or asks the server
//! for one with PASV or EPSV, which names it in a reply 227 or 229.

use core::net::{IpAddr, Ipv4Addr};

use super::line::{Complete, LINE_MAX, Line};
use super::{Finding, Refusal, Speaker, Stop, address, announced, announced_port, number, port_number};
use crate::packet::protocol;

/// What is remembered of a control session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ftp {
    /// Lines under way, the client's first.
    lines: [Line; 2],
    /// PASV and EPSV that no 227 and no 229 has answered yet. Clients may send several commands at once.
    passive_asked: [u8; 2],
    /// AUTH was sent (RFC 4217).
    auth_asked: bool,
    /// EPSV ALL.
    epsv_all: EpsvAll,
    /// Inside a reply of several lines: its code.
    reply: Option<u16>,
}

/// EPSV ALL: the client promises to set up data connections by EPSV alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EpsvAll {
    #[default]
    No,
    /// The next reply tells whether the server takes it.
    Asked,
    Yes,
}

const PASV: usize = 0;
const EPSV: usize = 1;

impl Ftp {
    /// Takes bytes of the client's or the server's, in order.
    pub(super) fn take(
        &mut self,
        is_client: bool,
        mut data: &[u8],
        buffer: &mut [u8; LINE_MAX],
        speaker: Speaker,
        mut find: impl FnMut(Finding),
    ) {
        while !data.is_empty() {
            let (line, rest) = self.lines[usize::from(!is_client)].take(buffer, data);
            data = rest;
            let Some(line) = line else { return };
            let found =
                if is_client { self.command(line, speaker) } else { self.line_of_reply(line, speaker) };
            if let Some(found) = found {
                find(found);
            }
        }
    }

    fn command(&mut self, line: Complete<'_>, speaker: Speaker) -> Option<Finding> {
        let (word, argument) = match line.text.iter().position(|byte| *byte == b' ') {
            Some(space) => (&line.text[..space], line.text[space..].trim_ascii()),
            None => (line.text, &[][..]),
        };
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let sets_up = is(b"PORT") || is(b"EPRT") || is(b"PASV");
        if sets_up && self.epsv_all == EpsvAll::Yes {
            return Some(Finding::Refused(Refusal::EpsvAll));
        }
        if line.is_cut {
            return sets_up.then_some(Finding::Refused(Refusal::Malformed));
        }
        if is(b"PORT") {
            let whole = six(argument).filter(|(.., rest)| rest.is_empty());
            return Some(match whole {
                Some((host, port, _)) => announced(speaker, host.into(), protocol::TCP, port),
                None => Finding::Refused(Refusal::Malformed),
            });
        }
        if is(b"EPRT") {
            return Some(match extended_port(argument) {
                Some((host, port)) => announced(speaker, host, protocol::TCP, port),
                None => Finding::Refused(Refusal::Malformed),
            });
        }
        if is(b"PASV") {
            self.passive_asked[PASV] = self.passive_asked[PASV].saturating_add(1);
        } else if is(b"EPSV") && argument.eq_ignore_ascii_case(b"ALL") {
            self.epsv_all = EpsvAll::Asked;
        } else if is(b"EPSV") {
            self.passive_asked[EPSV] = self.passive_asked[EPSV].saturating_add(1);
        } else if is(b"AUTH") {
            self.auth_asked = true;
        }
        None
    }

    /// RFC 959 section 4.2: a reply of several lines ends with its code and a space; what stands between is text, even
    /// where it looks like another reply.
    fn line_of_reply(&mut self, line: Complete<'_>, speaker: Speaker) -> Option<Finding> {
        let code = match line.text {
            [a, b, c, ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return None,
        };
        let (sign, text) = match &line.text[3..] {
            [] => (b' ', &[][..]),
            [sign, text @ ..] => (*sign, text),
        };
        match (self.reply, sign) {
            (Some(open), b' ') if open == code => self.reply = None,
            (Some(_), _) => return None,
            (None, b'-') => {
                self.reply = Some(code);
                return None;
            }
            (None, b' ') => {}
            (None, _) => return None,
        }
        self.reply(code, text, line.is_cut, speaker)
    }

    fn reply(&mut self, code: u16, text: &[u8], is_cut: bool, speaker: Speaker) -> Option<Finding> {
        if self.epsv_all == EpsvAll::Asked && code >= 200 {
            self.epsv_all = if code < 300 { EpsvAll::Yes } else { EpsvAll::No };
        }
        let asked = match code {
            227 => PASV,
            229 => EPSV,
            234 if self.auth_asked => return Some(Finding::Stopped(Stop::Encrypted)),
            _ => return None,
        };
        if self.passive_asked[asked] == 0 {
            return Some(Finding::Refused(Refusal::Unasked));
        }
        self.passive_asked[asked] -= 1;
        let malformed = Finding::Refused(Refusal::Malformed);
        if is_cut {
            return Some(malformed);
        }
        Some(if asked == PASV {
            find_six(text)
                .map_or(malformed, |(host, port)| announced(speaker, host.into(), protocol::TCP, port))
        } else {
            extended_passive(text).map_or(malformed, |port| announced_port(speaker, protocol::TCP, port))
        })
    }
}

/// `h1,h2,h3,h4,p1,p2` at the beginning of `text`, and what follows.
fn six(text: &[u8]) -> Option<(Ipv4Addr, u16, &[u8])> {
    let (mut values, mut rest) = ([0u8; 6], text);
    for (place, value) in values.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        let (number, after) = number(rest, 3)?;
        *value = u8::try_from(number).ok()?;
        rest = after;
    }
    let [a, b, c, d, high, low] = values;
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]), rest))
}

/// RFC 1123 section 4.1.2.6: the text around the six numbers is anything, so they are looked for.
fn find_six(text: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let begins = |at: &usize| {
        text[*at].is_ascii_digit() && !at.checked_sub(1).is_some_and(|before| text[before].is_ascii_digit())
    };
    (0..text.len()).filter(begins).find_map(|at| six(&text[at..])).map(|(host, port, _)| (host, port))
}

/// RFC 2428 section 2: `|1|192.0.2.10|50000|`, with any delimiter; 1 is IPv4, 2 is IPv6.
fn extended_port(argument: &[u8]) -> Option<(IpAddr, u16)> {
    let (delimiter, rest) = delimited(argument)?;
    let mut fields = rest.split(|byte| *byte == delimiter);
    let (family, host, port) = (fields.next()?, address(fields.next()?)?, fields.next()?);
    // Behind the last delimiter there is nothing.
    if fields.next()? != b"" || fields.next().is_some() {
        return None;
    }
    let is_family = matches!((family, host), (b"1", IpAddr::V4(_)) | (b"2", IpAddr::V6(_)));
    let port = port_number(port).filter(|(_, rest)| rest.is_empty())?.0;
    is_family.then_some((host, port))
}

/// RFC 2428 section 3: `(|||50000|)` somewhere in the text, with any delimiter, and only the port is given.
fn extended_passive(text: &[u8]) -> Option<u16> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let (delimiter, rest) = delimited(&text[open + 1..])?;
    let rest = rest.strip_prefix(&[delimiter, delimiter])?;
    let (port, rest) = port_number(rest)?;
    rest.starts_with(&[delimiter, b')']).then_some(port)
}

/// The delimiter (33 to 126, and here no digit) and what follows it.
fn delimited(text: &[u8]) -> Option<(u8, &[u8])> {
    let (delimiter, rest) = text.split_first()?;
    (delimiter.is_ascii_graphic() && !delimiter.is_ascii_digit()).then_some((*delimiter, rest))
}

#[cfg(test)]
mod tests;
