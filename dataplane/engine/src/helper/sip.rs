//! SIP (RFC 3261) over UDP and TCP: requests and responses, and in their bodies the session descriptions that say where
//! an end awaits its RTP and RTCP.
//!
//! A message is read line by line, so that none needs to be kept whole. Over TCP messages follow each other, told
//! apart by Content-Length (section 18.3), without which nothing more can be followed.

use super::line::{LINE_MAX, Line};
use super::sdp::Sdp;
use super::{Finding, Refusal, Speaker, Stop, number};

/// The end of a message that is not whole yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Sip {
    line: Line,
    part: Part,
    /// Of a response: its status.
    status: Option<u16>,
    /// A method that carries an offer or an answer.
    has_offer: bool,
    is_sdp: bool,
    length: Length,
    /// Bytes of the body that are still to come.
    remaining: u32,
    sdp: Sdp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Start,
    Headers,
    Body,
}

/// Content-Length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Missing,
    Bytes(u32),
    /// No number, or two that differ.
    Malformed,
}

impl Sip {
    /// Reads a datagram, which is one message or none.
    pub(super) fn datagram(data: &[u8], is_whole: bool, speaker: Speaker, mut find: impl FnMut(Finding)) {
        let (mut message, mut buffer, mut rest) = (Self::default(), [0; LINE_MAX], data);
        while message.part != Part::Body {
            if rest.is_empty() {
                // Keepalives and what is not SIP end here; a head without its end announces nothing either.
                if message.has_offer && message.is_sdp && message.part == Part::Headers {
                    let cause = if is_whole { Refusal::Malformed } else { Refusal::Truncated };
                    find(Finding::Refused(cause));
                }
                return;
            }
            let (line, after) = message.line.take(&mut buffer, rest);
            rest = after;
            if let Some(line) = line
                && message.head(line.text, line.is_cut).is_err()
            {
                return;
            }
        }
        if !message.is_opening() {
            return;
        }
        let len = match message.length {
            Length::Missing => rest.len(),
            Length::Bytes(len) if len as usize <= rest.len() => len as usize,
            Length::Bytes(_) if !is_whole => return find(Finding::Refused(Refusal::Truncated)),
            Length::Bytes(_) | Length::Malformed => return find(Finding::Refused(Refusal::Malformed)),
        };
        message.body(&rest[..len], &mut buffer, speaker);
        message.finish(&buffer, speaker, find);
    }

    /// Takes bytes of a TCP session, in order.
    pub(super) fn take(
        &mut self,
        mut data: &[u8],
        buffer: &mut [u8; LINE_MAX],
        speaker: Speaker,
        mut find: impl FnMut(Finding),
    ) {
        while !data.is_empty() {
            if self.part == Part::Body {
                let len = data.len().min(self.remaining as usize);
                let (body, rest) = data.split_at(len);
                data = rest;
                if self.is_opening() {
                    self.body(body, buffer, speaker);
                }
                self.remaining -= u32::try_from(len).unwrap_or(self.remaining);
            } else {
                let (line, rest) = self.line.take(buffer, data);
                data = rest;
                let Some(line) = line else { return };
                let read = self.head(line.text, line.is_cut);
                let length = match self.length {
                    Length::Bytes(length) => Some(length),
                    _ => None,
                };
                if read.is_err() || self.part == Part::Body && length.is_none() {
                    return find(Finding::Stopped(Stop::Lost));
                }
                self.remaining = length.unwrap_or(0);
            }
            if self.part == Part::Body && self.remaining == 0 {
                core::mem::take(self).finish(buffer, speaker, &mut find);
            }
        }
    }

    /// A line of the head. It fails where this is not SIP.
    fn head(&mut self, line: &[u8], is_cut: bool) -> Result<(), NotSip> {
        match self.part {
            // Section 7.5: empty lines before a message are to be ignored.
            Part::Start if line.is_empty() => {}
            Part::Start => {
                self.status = status(line, is_cut)?;
                self.part = Part::Headers;
            }
            Part::Headers if line.is_empty() => self.part = Part::Body,
            // A header that goes on; none that counts here needs to.
            Part::Headers if line.starts_with(b" ") || line.starts_with(b"\t") => {}
            Part::Headers => self.header(line),
            Part::Body => {}
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        let is =
            |long: &[u8], short: &[u8]| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
        if is(b"Content-Length", b"l") {
            let length = match number(value, 9) {
                Some((length, b"")) => Length::Bytes(length),
                _ => Length::Malformed,
            };
            let is_same = self.length == Length::Missing || self.length == length;
            self.length = if is_same { length } else { Length::Malformed };
        } else if is(b"Content-Type", b"c") {
            let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
            self.is_sdp = kind.trim_ascii().eq_ignore_ascii_case(b"application/sdp");
        } else if is(b"CSeq", b"CSeq") {
            let method = value.rsplit(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
            self.has_offer = matches!(method, b"INVITE" | b"ACK" | b"PRACK" | b"UPDATE");
        }
    }

    /// Whether its body says where streams are awaited: an offer or an answer (RFC 3264) of a request, or of a response
    /// that rings or accepts.
    fn is_opening(&self) -> bool {
        let is_agreed = self.status.is_none_or(|status| (180..300).contains(&status));
        self.has_offer && self.is_sdp && is_agreed
    }

    fn body(&mut self, mut data: &[u8], buffer: &mut [u8; LINE_MAX], speaker: Speaker) {
        while !data.is_empty() {
            let (line, rest) = self.line.take(buffer, data);
            data = rest;
            if let Some(line) = line {
                self.sdp.line(line.text, speaker);
            }
        }
    }

    /// The message is whole.
    fn finish(mut self, buffer: &[u8; LINE_MAX], speaker: Speaker, find: impl FnMut(Finding)) {
        if self.is_opening() {
            // The last line may lack its end.
            let last = self.line.finish(buffer);
            self.sdp.line(last.text, speaker);
            self.sdp.finish(speaker, find);
        }
    }
}

/// What was read is not SIP.
#[derive(Debug)]
struct NotSip;

/// The first line of a message: of a response its status, `None` of a request. Of a line that was cut the end, where a
/// request names the version, cannot be told.
fn status(line: &[u8], is_cut: bool) -> Result<Option<u16>, NotSip> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let (status, _) = number(rest, 3).ok_or(NotSip)?;
        return u16::try_from(status).map(Some).map_err(|_| NotSip);
    }
    let is_method = line.first().is_some_and(u8::is_ascii_uppercase);
    if is_method && (is_cut || line.ends_with(b" SIP/2.0")) { Ok(None) } else { Err(NotSip) }
}

#[cfg(test)]
mod tests;
