//! SIP (RFC 3261) with the RTP and RTCP streams that its session descriptions (RFC 8866) announce.

use sekisho_engine::port::Port;
use sekisho_replay::HelperFigures;
use sekisho_tests::frames::{Packet, udp};

use super::*;

/// LAN hosts may call, over UDP and TCP.
const CALLS: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {sip: {ports: [udp/5060, tcp/5060], helper: sip}}
rules: [{name: calls, from: lan, to: wan, service: sip, action: allow}]
";

fn family(host: &str) -> &'static str {
    if ip(host).is_ipv4() { "IP4" } else { "IP6" }
}

fn sdp(host: &str, media: &str) -> String {
    let family = family(host);
    format!("v=0\r\no=a 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n{media}")
}

fn message(first: &str, body: &str) -> String {
    format!(
        "{first}\r\nVia: SIP/2.0/UDP {LAN};branch=z9hG4bK1\r\nFrom: <sip:a@example.org>;tag=1\r\n\
         To: <sip:b@example.org>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(host: &str, port: u16) -> String {
    message("INVITE sip:b@example.org SIP/2.0", &sdp(host, &format!("m=audio {port} RTP/AVP 0\r\n")))
}

fn accepts(host: &str, port: u16) -> String {
    message("SIP/2.0 200 OK", &sdp(host, &format!("m=audio {port} RTP/AVP 0\r\n")))
}

fn sip(from: &str, to: &str, text: &str) -> Packet {
    udp(at(from, 5060), at(to, 5060), text.as_bytes())
}

fn figures(scene: &Scene) -> HelperFigures {
    scene.plays().summary.helpers["sip"].clone()
}

fn followed() -> HelperFigures {
    HelperFigures { followed: 1, following: 1, ..HelperFigures::default() }
}

/// A call over UDP that does not fit a frame: the description is in the second fragment.
#[test]
fn an_invite_in_fragments_announces_its_streams() {
    for order in [[0, 1], [1, 0]] {
        let mut scene = Scene::new(CALLS);
        let padding = "\r\nX-Padding: and more of the same, as real ones have it".repeat(15);
        let text = message(
            &format!("INVITE sip:b@example.org SIP/2.0{padding}"),
            &sdp(LAN, "m=audio 6200 RTP/AVP 0\r\n"),
        );
        let whole = sip(LAN, WAN, &text);
        let pieces = super::fragments::cut(&whole, 7, &[800]);
        for at in order {
            scene.lan(pieces[at].clone()).opens(1, "calls");
        }
        scene.leave_with_it([0]);
        scene.wan(stream(at(WAN, 8000), at(LAN, 6200))).is_expected(2, "calls");
        let figures = figures(&scene);
        assert_eq!((figures.opened, figures.used), (2, 1), "a port for voice, and one for reports");
    }
}

/// A voice packet, and a report of how it arrives.
fn stream(from: SocketAddr, to: SocketAddr) -> Packet {
    udp(from, to, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xff])
}

#[test]
fn a_call_opens_rtp_and_rtcp_both_ways() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let mut scene = Scene::new(CALLS);
        scene.lan(sip(lan, wan, &invite(lan, 49_170))).opens(1, "calls");
        scene.wan(sip(wan, lan, "SIP/2.0 100 Trying\r\n\r\n")).follows(1);
        scene.lan(stream(at(lan, 49_170), at(wan, 6000))).drops(Reason::DefaultDrop);
        scene.wan(sip(wan, lan, &accepts(wan, 6000))).follows(1);
        // Each end sends from the port on which it listens: one session for both directions.
        scene.lan(stream(at(lan, 49_170), at(wan, 6000))).is_expected(2, "calls");
        scene.wan(stream(at(wan, 6000), at(lan, 49_170))).follows(2);
        scene.wan(stream(at(wan, 6001), at(lan, 49_171))).is_expected(3, "calls");
        scene.lan(stream(at(lan, 49_171), at(wan, 6001))).follows(3);
        assert_eq!(figures(&scene), HelperFigures { opened: 4, used: 2, open: 2, ..followed() });
    }
}

#[test]
fn an_end_that_sends_from_elsewhere_has_streams_of_its_own() {
    let mut scene = Scene::new(CALLS);
    scene.lan(sip(LAN, WAN, &invite(LAN, 49_170))).opens(1, "calls");
    scene.wan(sip(WAN, LAN, &accepts(WAN, 6000))).follows(1);
    scene.wan(stream(at(WAN, 7000), at(LAN, 49_170))).is_expected(2, "calls");
    scene.lan(stream(at(LAN, 50_000), at(WAN, 6000))).is_expected(3, "calls");
    scene.lan(stream(at(LAN, 50_001), at(WAN, 6000))).drops(Reason::DefaultDrop);
    assert_eq!(figures(&scene), HelperFigures { opened: 4, used: 2, open: 2, ..followed() });
}

#[test]
fn a_call_over_tcp_is_followed_whatever_its_segments_are() {
    for step in [1, 7, 100, 2000] {
        let (mut scene, mut tcp) = (Scene::new(CALLS), Tcp::new(at(LAN, 40_000), at(WAN, 5060)));
        tcp.opens(&mut scene, 1, "calls");
        for part in invite(LAN, 49_170).as_bytes().chunks(step) {
            scene.lan(tcp.client_says(part)).follows(1);
        }
        let answer = format!("SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n{}", accepts(WAN, 6000));
        for part in answer.as_bytes().chunks(step) {
            scene.wan(tcp.server_says(part)).follows(1);
        }
        scene.lan(stream(at(LAN, 49_170), at(WAN, 6000))).is_expected(2, "calls");
        scene.wan(stream(at(WAN, 6001), at(LAN, 49_171))).is_expected(3, "calls");
        assert_eq!(figures(&scene), HelperFigures { opened: 4, used: 2, open: 2, ..followed() });
    }
}

#[test]
fn over_tcp_a_message_without_its_length_ends_what_can_be_followed() {
    let (mut scene, mut tcp) = (Scene::new(CALLS), Tcp::new(at(LAN, 40_000), at(WAN, 5060)));
    tcp.opens(&mut scene, 1, "calls");
    let text = invite(LAN, 49_170);
    scene.lan(tcp.client_says(text.replace("Content-Length", "X-Length").as_bytes())).follows(1);
    scene.lan(tcp.client_says(text.as_bytes())).follows(1);
    scene.wan(stream(at(WAN, 6000), at(LAN, 49_170))).drops(Reason::DefaultDrop);
    let not_followed = [("lost", 1)].into();
    assert_eq!(figures(&scene), HelperFigures { following: 0, not_followed, ..followed() });
}

#[test]
fn audio_and_video_and_a_port_of_rtcps_own() {
    let media =
        "m=audio 5000 RTP/AVP 0\r\na=rtcp:5009\r\nm=video 5002 RTP/AVP 31\r\nm=image 5004 udptl t38\r\n";
    let mut scene = Scene::new(CALLS);
    let offer = message("INVITE sip:b@example.org SIP/2.0", &sdp(LAN, media));
    scene.lan(sip(LAN, WAN, &offer)).opens(1, "calls");
    for (session, port) in [(2, 5000), (3, 5009), (4, 5002), (5, 5003)] {
        scene.wan(stream(at(WAN, port), at(LAN, port))).is_expected(session, "calls");
    }
    for port in [5001, 5004, 5005] {
        scene.wan(stream(at(WAN, port), at(LAN, port))).drops(Reason::DefaultDrop);
    }
    assert_eq!(figures(&scene), HelperFigures { opened: 4, used: 4, ..followed() });
}

#[test]
fn the_address_of_another_host_opens_nothing() {
    let mut scene = Scene::new(CALLS);
    scene.lan(sip(LAN, WAN, &invite("192.0.2.11", 49_170))).opens(1, "calls");
    scene.wan(sip(WAN, LAN, &accepts("198.51.100.7", 6000))).follows(1);
    scene.wan(stream(at(WAN, 6000), at("192.0.2.11", 49_170))).drops(Reason::DefaultDrop);
    scene.wan(stream(at(WAN, 6000), at(LAN, 49_170))).drops(Reason::DefaultDrop);
    scene.lan(stream(at(LAN, 49_170), at("198.51.100.7", 6000))).drops(Reason::DefaultDrop);
    scene.lan(stream(at(LAN, 49_170), at(WAN, 6000))).drops(Reason::DefaultDrop);
    let refused = [("third-party", 2)].into();
    assert_eq!(figures(&scene), HelperFigures { refused, ..followed() });
}

#[test]
fn ports_of_services_and_bad_messages_open_nothing() {
    let mut scene = Scene::new(CALLS);
    scene.lan(sip(LAN, WAN, &invite(LAN, 1022))).opens(1, "calls");
    scene
        .lan(sip(LAN, WAN, &invite(LAN, 49_170).replace("Content-Length: ", "Content-Length: 9")))
        .follows(1);
    scene.lan(sip(LAN, WAN, &invite(LAN, 0))).follows(1);
    scene.lan(sip(LAN, WAN, "no SIP at all")).follows(1);
    scene.wan(stream(at(WAN, 6000), at(LAN, 1022))).drops(Reason::DefaultDrop);
    scene.wan(stream(at(WAN, 6000), at(LAN, 49_170))).drops(Reason::DefaultDrop);
    let refused = [("privileged-port", 2), ("malformed", 1)].into();
    assert_eq!(figures(&scene), HelperFigures { refused, ..followed() });
}

#[test]
fn a_call_from_the_other_end_of_the_same_session_is_followed_too() {
    let mut scene = Scene::new(CALLS);
    scene
        .lan(sip(LAN, WAN, "REGISTER sip:example.org SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n"))
        .opens(1, "calls");
    scene.wan(sip(WAN, LAN, &invite(WAN, 6000))).follows(1);
    scene.lan(sip(LAN, WAN, &accepts(LAN, 49_170))).follows(1);
    scene.on(Port::Wan, stream(at(WAN, 6000), at(LAN, 49_170))).is_expected(2, "calls");
    assert_eq!(figures(&scene), HelperFigures { opened: 4, used: 1, open: 3, ..followed() });
}

#[test]
fn streams_that_nobody_uses_expire_and_others_outlive_the_session_that_announced_them() {
    let mut scene = Scene::new(CALLS);
    scene.lan(sip(LAN, WAN, &invite(LAN, 49_170))).opens(1, "calls");
    scene.wan(sip(WAN, LAN, &accepts(WAN, 6000))).follows(1);
    scene.lan(stream(at(LAN, 49_170), at(WAN, 6000))).is_expected(2, "calls");
    for second in 1..=130 {
        scene.at_ms(second * 1000);
        if second == 121 {
            scene.ends(1, Reason::EndIdle, 120_001);
        }
        scene.wan(stream(at(WAN, 6000), at(LAN, 49_170))).follows(2);
    }
    scene.wan(stream(at(WAN, 6001), at(LAN, 49_171))).drops(Reason::DefaultDrop);
    let expected = HelperFigures { followed: 1, opened: 4, used: 1, expired: 3, ..HelperFigures::default() };
    assert_eq!(figures(&scene), expected);
}
