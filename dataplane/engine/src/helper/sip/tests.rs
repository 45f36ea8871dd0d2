use proptest::prelude::*;

use super::super::Refusal;
use super::*;
use crate::port::Port;

fn caller() -> Speaker {
    Speaker { address: [192, 0, 2, 10].into(), side: Port::Lan }
}

fn open(port: u16) -> Finding {
    Finding::Open { side: Port::Lan, protocol: 17, port }
}

/// A message with this first line and this body.
fn message(first: &str, method: &str, body: &str) -> String {
    format!(
        "{first}\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.10>;tag=1\r\n\
         To: <sip:b@203.0.113.5>\r\nCall-ID: 1@192.0.2.10\r\nCSeq: 7 {method}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(body: &str) -> String {
    message("INVITE sip:b@203.0.113.5 SIP/2.0", "INVITE", body)
}

fn sdp(media: &str) -> String {
    format!("v=0\r\no=a 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n{media}")
}

fn datagram(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    Sip::datagram(text.as_bytes(), true, caller(), |finding| found.push(finding));
    found
}

fn stream(parts: &[&[u8]]) -> Vec<Finding> {
    let (mut sip, mut buffer, mut found) = (Sip::default(), [0; LINE_MAX], Vec::new());
    for part in parts {
        sip.take(part, &mut buffer, caller(), |finding| found.push(finding));
    }
    found
}

/// RFC 3550 section 11: RTP, and RTCP on the next port.
#[test]
fn an_offer_opens_rtp_and_rtcp_of_each_stream() {
    let body = sdp("m=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\n");
    let expected = [open(49_170), open(49_171), open(51_372), open(51_373)];
    assert_eq!(datagram(&invite(&body)), expected);
    assert_eq!(datagram(&message("SIP/2.0 200 OK", "INVITE", &body)), expected);
    assert_eq!(datagram(&message("SIP/2.0 183 Session Progress", "INVITE", &body)), expected);
    assert_eq!(datagram(&message("ACK sip:b@203.0.113.5 SIP/2.0", "ACK", &body)), expected);
    assert_eq!(stream(&[invite(&body).as_bytes()]), expected);
}

#[test]
fn other_messages_open_nothing() {
    let body = sdp("m=audio 49170 RTP/AVP 0\r\n");
    for (first, method) in [
        ("SIP/2.0 100 Trying", "INVITE"),
        ("SIP/2.0 488 Not Acceptable Here", "INVITE"),
        ("SIP/2.0 200 OK", "OPTIONS"),
        ("OPTIONS sip:b@203.0.113.5 SIP/2.0", "OPTIONS"),
        ("MESSAGE sip:b@203.0.113.5 SIP/2.0", "MESSAGE"),
    ] {
        assert_eq!(datagram(&message(first, method, &body)), [], "{first}");
    }
    let text = invite(&body).replace("application/sdp", "text/plain");
    assert_eq!(datagram(&text), []);
    assert_eq!(datagram("\r\n\r\n"), [], "a keepalive");
    assert_eq!(datagram("\0\x01\0\0!\x12\x24B"), [], "no SIP");
    assert_eq!(datagram(""), []);
}

#[test]
fn another_hosts_address_opens_nothing() {
    let refused = [Finding::Refused(Refusal::ThirdParty); 1];
    let other = sdp("m=audio 49170 RTP/AVP 0\r\n").replace("c=IN IP4 192.0.2.10", "c=IN IP4 192.0.2.11");
    assert_eq!(datagram(&invite(&other)), refused);
    let of_one = sdp("m=audio 49170 RTP/AVP 0\r\nc=IN IP4 198.51.100.7\r\nm=video 5000 RTP/AVP 31\r\n");
    assert_eq!(datagram(&invite(&of_one)), [refused[0], open(5000), open(5001)]);
    let rtcp = sdp("m=audio 49170 RTP/AVP 0\r\na=rtcp:6000 IN IP4 198.51.100.7\r\n");
    assert_eq!(datagram(&invite(&rtcp)), [open(49_170), refused[0]]);
    let v6 = sdp("m=audio 49170 RTP/AVP 0\r\n").replace("c=IN IP4 192.0.2.10", "c=IN IP6 2001:db8::1");
    assert_eq!(datagram(&invite(&v6)), refused);
}

#[test]
fn what_is_malformed_opens_nothing() {
    let refused = [Finding::Refused(Refusal::Malformed); 1];
    let body = sdp("m=audio 49170 RTP/AVP 0\r\n");
    for connection in
        ["c=IN IP4 host.example", "c=IN IP4", "c=IN IP6 192.0.2.10", "c=X IP4 192.0.2.10", "x=y"]
    {
        let text = invite(&body.replace("c=IN IP4 192.0.2.10", connection));
        assert_eq!(datagram(&text.replace("Content-Length", "X-Length")), refused, "{connection}");
    }
    let whole = invite(&body);
    let too_long = whole.replace("Content-Length: ", "Content-Length: 9");
    assert_eq!(
        datagram(&too_long),
        refused,
        "the datagram ends before the body does (RFC 3261 section 18.3)"
    );
    assert_eq!(datagram(&whole.replace("Content-Length: ", "Content-Length: x")), refused);
    assert_eq!(datagram(&whole.replace("Content-Length", "l: 3\r\nContent-Length")), refused, "two lengths");
    assert_eq!(
        datagram(&whole[..whole.find("\r\n\r\n").expect("a head")]),
        refused,
        "a head without its end"
    );
    let mut found = Vec::new();
    Sip::datagram(&whole.as_bytes()[..whole.len() - 9], false, caller(), |finding| found.push(finding));
    assert_eq!(found, [Finding::Refused(Refusal::Truncated)], "not all of it could be looked at");
}

#[test]
fn streams_that_are_refused_on_hold_or_not_rtp_open_nothing() {
    for media in [
        "m=audio 0 RTP/AVP 0\r\n",
        "m=audio 49170 TCP/MSRP *\r\n",
        "m=image 49170 udptl t38\r\n",
        "m=audio 49170/2 RTP/AVP 0\r\n",
        "m=audio x RTP/AVP 0\r\n",
        "m=audio 70000 RTP/AVP 0\r\n",
        "m=audio\r\n",
        "m=audio 49170 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n",
        "m=audio 0 RTP/AVP 0\r\na=rtcp:6000\r\n",
    ] {
        assert_eq!(datagram(&invite(&sdp(media))), [], "{media}");
    }
    let low = datagram(&invite(&sdp("m=audio 1022 RTP/AVP 0\r\n")));
    assert_eq!(low, [Finding::Refused(Refusal::PrivilegedPort); 2]);
}

/// RFC 3605.
#[test]
fn rtcp_may_have_a_port_of_its_own() {
    for line in ["a=rtcp:6000", "a=rtcp:6000 IN IP4 192.0.2.10"] {
        let body = sdp(&format!("m=audio 49170 RTP/SAVPF 0\r\n{line}\r\n"));
        assert_eq!(datagram(&invite(&body)), [open(49_170), open(6000)], "{line}");
    }
    assert_eq!(
        datagram(&invite(&sdp("m=audio 65535 RTP/AVP 0\r\n"))),
        [open(65_535)],
        "there is no next port"
    );
}

#[test]
fn more_streams_than_can_be_kept_are_counted() {
    let body = sdp(&"m=audio 5000 RTP/AVP 0\r\n".repeat(9));
    let found = datagram(&invite(&body));
    assert_eq!(found.len(), 17);
    assert_eq!(found[16], Finding::Refused(Refusal::SessionFull));
}

/// RFC 3261 section 7.3.3, 7.5 and 18.3.
#[test]
fn over_tcp_messages_follow_each_other() {
    let (first, second) =
        (invite(&sdp("m=audio 5000 RTP/AVP 0\r\n")), invite(&sdp("m=audio 6000 RTP/AVP 0")));
    let compact = second.replace("Content-Length", "l").replace("Content-Type", "c").replace('\r', "");
    let compact = compact.replace(
        "l: ",
        &format!("L : {}\nX: ", compact.split_once("\n\n").map_or(0, |(_, body)| body.len())),
    );
    let bye = "BYE sip:b@203.0.113.5 SIP/2.0\r\nCSeq: 8 BYE\r\nContent-Length: 0\r\n\r\n";
    let all = format!("\r\n\r\n{first}{bye}{compact}\r\n");
    let expected = [open(5000), open(5001), open(6000), open(6001)];
    assert_eq!(stream(&[all.as_bytes()]), expected);
    for at in 0..all.len() {
        assert_eq!(stream(&[&all.as_bytes()[..at], &all.as_bytes()[at..]]), expected, "{at}");
    }
}

#[test]
fn over_tcp_what_cannot_be_told_apart_is_not_followed() {
    let lost = [Finding::Stopped(Stop::Lost); 1];
    let whole = invite(&sdp("m=audio 5000 RTP/AVP 0\r\n"));
    assert_eq!(stream(&[whole.replace("Content-Length", "X-Length").as_bytes()])[..1], lost);
    assert_eq!(stream(&[whole.replace("Content-Length: ", "Content-Length: -").as_bytes()])[..1], lost);
    assert_eq!(stream(&[b"\x16\x03\x01\x02\x00\n"])[..1], lost, "TLS");
}

proptest! {
    #[test]
    fn any_bytes_open_no_more_than_what_their_sender_owns(
        head in 0usize..400,
        change in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..60),
        every in 1usize..50,
    ) {
        let mut bytes = invite(&sdp("m=audio 5000 RTP/AVP 0\r\nm=video 6000 RTP/AVP 31\r\n")).into_bytes();
        bytes.truncate(bytes.len() - head.min(bytes.len() - 1));
        for (at, byte) in change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(tail);
        let mut found = Vec::new();
        Sip::datagram(&bytes, true, caller(), |finding| found.push(finding));
        found.extend(stream(&bytes.chunks(every).collect::<Vec<_>>()));
        for finding in found {
            if let Finding::Open { side, protocol, port } = finding {
                prop_assert_eq!((side, protocol), (Port::Lan, 17));
                prop_assert!(port >= 1024);
            }
        }
    }
}
