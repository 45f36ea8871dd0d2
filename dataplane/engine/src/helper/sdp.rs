//! Session descriptions (SDP, RFC 8866) as SIP carries them: where an end awaits audio and video.

use arrayvec::ArrayVec;

use super::{Finding, Refusal, Speaker, address, announced_port, port_number};
use crate::packet::protocol;

/// Streams of one description that are opened.
const MEDIA_MAX: usize = 8;

/// A description under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Sdp {
    /// What holds for all streams that do not say otherwise.
    whole: Connection,
    media: ArrayVec<Media, MEDIA_MAX>,
    /// The lines at hand are of a stream that opens nothing.
    is_ignored: bool,
    has_too_many: bool,
}

/// Whose address a `c=` line gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Connection {
    #[default]
    Missing,
    /// The speaker's own.
    Own,
    /// 0.0.0.0 or ::, by which older agents put a call on hold.
    Nobody,
    Other,
    /// No address.
    Malformed,
}

/// A stream.
#[derive(Clone, Copy, Debug)]
struct Media {
    port: u16,
    connection: Option<Connection>,
    /// RFC 3605: the port of its RTCP, if it is not the next one, and whose address.
    rtcp: Option<(u16, Option<Connection>)>,
}

impl Sdp {
    /// Takes a line.
    pub(super) fn line(&mut self, line: &[u8], speaker: Speaker) {
        let [kind, b'=', value @ ..] = line else { return };
        match kind {
            b'c' if self.is_ignored => {}
            b'c' => {
                let connection = connection(value, speaker);
                match self.media.last_mut() {
                    Some(media) => media.connection = Some(connection),
                    None => self.whole = connection,
                }
            }
            b'm' => {
                let media = media(value);
                self.is_ignored = media.is_none_or(|media| self.media.try_push(media).is_err());
                self.has_too_many |= self.is_ignored && media.is_some();
            }
            b'a' if !self.is_ignored => {
                if let (Some(media), Some(value)) = (self.media.last_mut(), value.strip_prefix(b"rtcp:")) {
                    media.rtcp = rtcp(value, speaker);
                }
            }
            _ => {}
        }
    }

    /// The description is whole: what it opens.
    pub(super) fn finish(self, speaker: Speaker, mut find: impl FnMut(Finding)) {
        for media in &self.media {
            let connection = media.connection.unwrap_or(self.whole);
            open(connection, media.port, speaker, &mut find);
            match media.rtcp {
                Some((port, own)) => open(own.unwrap_or(connection), port, speaker, &mut find),
                // RFC 3550 section 11: RTCP has the next port.
                None if connection == Connection::Own && media.port < u16::MAX => {
                    open(connection, media.port + 1, speaker, &mut find);
                }
                None => {}
            }
        }
        if self.has_too_many {
            find(Finding::Refused(Refusal::SessionFull));
        }
    }
}

fn open(connection: Connection, port: u16, speaker: Speaker, find: &mut impl FnMut(Finding)) {
    match connection {
        Connection::Own => find(announced_port(speaker, protocol::UDP, port)),
        Connection::Nobody => {}
        Connection::Other => find(Finding::Refused(Refusal::ThirdParty)),
        Connection::Missing | Connection::Malformed => find(Finding::Refused(Refusal::Malformed)),
    }
}

/// `IN IP4 192.0.2.10`.
fn connection(value: &[u8], speaker: Speaker) -> Connection {
    let mut words = words(value);
    let (Some(b"IN"), Some(family), Some(host)) = (words.next(), words.next(), words.next()) else {
        return Connection::Malformed;
    };
    match (family, address(host)) {
        (b"IP4", Some(host)) if host.is_ipv4() => of(host, speaker),
        (b"IP6", Some(host)) if host.is_ipv6() => of(host, speaker),
        _ => Connection::Malformed,
    }
}

fn of(host: core::net::IpAddr, speaker: Speaker) -> Connection {
    match () {
        () if host == speaker.address => Connection::Own,
        () if host.is_unspecified() => Connection::Nobody,
        () => Connection::Other,
    }
}

/// `audio 49170 RTP/AVP 0 8`: a stream that is refused has port 0. Only audio and video over RTP, one pair of ports.
fn media(value: &[u8]) -> Option<Media> {
    let mut words = words(value);
    let (kind, port, transport) = (words.next()?, words.next()?, words.next()?);
    let is_rtp = transport.starts_with(b"RTP/") || transport.starts_with(b"UDP/TLS/RTP/");
    let (port, rest) = port_number(port)?;
    let is_pair = rest.is_empty() || rest == b"/1";
    let is_opened = matches!(kind, b"audio" | b"video") && is_rtp && is_pair && port != 0;
    is_opened.then_some(Media { port, connection: None, rtcp: None })
}

/// `53020`, or `53020 IN IP4 192.0.2.10`.
fn rtcp(value: &[u8], speaker: Speaker) -> Option<(u16, Option<Connection>)> {
    let (port, rest) = port_number(value)?;
    let own = rest.trim_ascii();
    Some((port, (!own.is_empty()).then(|| connection(own, speaker))))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}
