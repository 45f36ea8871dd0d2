//! TFTP (RFC 1350): the server answers from a port of its own choosing.

use sekisho_replay::HelperFigures;
use sekisho_tests::frames::{Packet, udp};

use super::*;

const FILES: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {tftp: {ports: udp/69, helper: tftp}}
rules: [{name: files, from: lan, to: wan, service: tftp, action: allow}]
";

const READ: &[u8] = b"\0\x01file\0octet\0";
const WRITE: &[u8] = b"\0\x02file\0netascii\0blksize\x001428\0";
const DATA: &[u8] = b"\0\x03\0\x01abc";
const ACK: &[u8] = b"\0\x04\0\x01";

fn asks(lan: &str, wan: &str, request: &[u8]) -> Packet {
    udp(at(lan, 2000), at(wan, 69), request)
}

fn figures(scene: &Scene) -> HelperFigures {
    scene.plays().summary.helpers["tftp"].clone()
}

fn followed() -> HelperFigures {
    HelperFigures { followed: 1, following: 1, ..HelperFigures::default() }
}

#[test]
fn the_answer_may_come_from_any_port_of_the_server() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        for request in [READ, WRITE] {
            let mut scene = Scene::new(FILES);
            scene.lan(asks(lan, wan, request)).opens(1, "files");
            scene.wan(udp(at(wan, 3000), at(lan, 2000), DATA)).is_expected(2, "files");
            scene.lan(udp(at(lan, 2000), at(wan, 3000), ACK)).follows(2);
            scene.wan(udp(at(wan, 3000), at(lan, 2000), DATA)).follows(2);
            // One transfer for one request.
            scene.wan(udp(at(wan, 3001), at(lan, 2000), DATA)).drops(Reason::DefaultDrop);
            assert_eq!(figures(&scene), HelperFigures { opened: 1, used: 1, ..followed() });
        }
    }
}

#[test]
fn only_the_server_may_answer_and_only_to_the_port_that_asked() {
    let mut scene = Scene::new(FILES);
    scene.lan(asks(LAN, WAN, READ)).opens(1, "files");
    scene.wan(udp(at("203.0.113.54", 3000), at(LAN, 2000), DATA)).drops(Reason::DefaultDrop);
    scene.wan(udp(at(WAN, 3000), at(LAN, 2001), DATA)).drops(Reason::DefaultDrop);
    scene.lan(udp(at(LAN, 2000), at(WAN, 3000), ACK)).drops(Reason::DefaultDrop);
    scene.wan(udp(at(WAN, 3000), at(LAN, 2000), DATA)).is_expected(2, "files");
    assert_eq!(figures(&scene), HelperFigures { opened: 1, used: 1, ..followed() });
}

#[test]
fn a_request_sent_again_is_one_request_and_the_next_one_another() {
    let mut scene = Scene::new(FILES);
    scene.lan(asks(LAN, WAN, READ)).opens(1, "files");
    scene.at_ms(5000).lan(asks(LAN, WAN, READ)).follows(1);
    scene.wan(udp(at(WAN, 3000), at(LAN, 2000), DATA)).is_expected(2, "files");
    scene.lan(asks(LAN, WAN, WRITE)).follows(1);
    scene.wan(udp(at(WAN, 3001), at(LAN, 2000), ACK)).is_expected(3, "files");
    assert_eq!(figures(&scene), HelperFigures { opened: 2, used: 2, ..followed() });
}

#[test]
fn anything_but_a_request_of_the_client_opens_nothing() {
    let mut scene = Scene::new(FILES);
    scene.lan(asks(LAN, WAN, DATA)).opens(1, "files");
    scene.lan(asks(LAN, WAN, b"\0\x01file")).follows(1);
    scene.lan(asks(LAN, WAN, b"")).follows(1);
    scene.wan(udp(at(WAN, 69), at(LAN, 2000), READ)).follows(1);
    scene.wan(udp(at(WAN, 3000), at(LAN, 2000), DATA)).drops(Reason::DefaultDrop);
    scene.lan(udp(at(LAN, 2001), at(WAN, 69), b"\0\x01")).opens(2, "files");
    let refused = [("malformed", 2)].into();
    let expected = HelperFigures { followed: 2, following: 2, refused, ..HelperFigures::default() };
    assert_eq!(figures(&scene), expected);
}

#[test]
fn an_expectation_ends_with_the_session_that_asked() {
    let mut scene = Scene::new(FILES);
    scene.lan(asks(LAN, WAN, READ)).opens(1, "files");
    scene.ends(1, Reason::EndIdle, 30_000);
    scene.at_ms(30_000).wan(udp(at(WAN, 3000), at(LAN, 2000), DATA)).drops(Reason::DefaultDrop);
    let expected = HelperFigures { followed: 1, opened: 1, withdrawn: 1, ..HelperFigures::default() };
    assert_eq!(figures(&scene), expected);
}

#[test]
fn without_a_helper_the_port_alone_opens_nothing() {
    let mut scene = Scene::new(&FILES.replace(", helper: tftp", ""));
    scene.lan(asks(LAN, WAN, READ)).opens(1, "files");
    scene.wan(udp(at(WAN, 3000), at(LAN, 2000), DATA)).drops(Reason::DefaultDrop);
    assert!(scene.plays().summary.helpers.is_empty());
}
