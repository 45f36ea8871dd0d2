//! Asymmetric routing: TCP of which only one direction comes through here is recognised for what it is.

use sekisho_tests::frames::{ACK, FIN, PSH, RST, SYN};

use super::*;

/// What gave it away in this scene, which goes as it was written down for any number of workers.
fn evidence(scene: &Scene) -> Vec<(&'static str, u64)> {
    scene.plays().summary.one_sided.into_iter().collect()
}

#[test]
fn a_syn_ack_without_its_syn() {
    let (mut scene, mut web) = (lan_out(), web());
    let _elsewhere = web.client(SYN);
    scene.wan(web.server(SYN | ACK)).drops(Reason::TcpNoSession);
    let again = web.from_server(&frames::Segment::new(SYN | ACK, web.next[1].wrapping_sub(1), web.next[0]));
    scene.at_ms(1000).wan(again).drops(Reason::TcpNoSession);
    assert_eq!(evidence(&scene), [("syn-ack-without-syn", 2)]);
}

#[test]
fn packets_of_a_connection_whose_syn_took_another_way() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client(ACK | PSH)).drops(Reason::TcpNoSession);
    scene.lan(web.client(ACK | FIN)).drops(Reason::TcpNoSession);
    // A reset without a session says nothing: both ends send them to strangers.
    scene.lan(web.client(RST)).drops(Reason::TcpNoSession);
    scene.lan(web.client(RST | ACK)).drops(Reason::TcpNoSession);
    assert_eq!(evidence(&scene), [("packet-without-session", 3)]);
}

#[test]
fn the_end_of_a_handshake_whose_syn_ack_took_another_way() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    let _elsewhere = web.server(SYN | ACK);
    scene.lan(web.client(ACK)).drops(Reason::TcpHandshake).of(1);
    scene.lan(web.client_says(b"a question")).drops(Reason::TcpHandshake).of(1);
    assert_eq!(evidence(&scene), [("handshake-half-seen", 2)]);
}

#[test]
fn a_session_picked_up_whose_other_end_is_never_heard() {
    let mut scene = Scene::new(&format!("{LAN_OUT}inspection: {{midstream: pickup}}\n"));
    let (mut one_sided, mut whole, mut single) =
        (web(), Tcp::new(at(LAN, 40_001), at(WAN, 443)), Tcp::new(at(LAN, 40_002), at(WAN, 443)));
    scene.lan(one_sided.client_says(b"x")).opens(1, "lan-out");
    scene.lan(one_sided.client_says(b"y")).follows(1);
    scene.lan(whole.client_says(b"x")).opens(2, "lan-out");
    scene.wan(whole.server(ACK)).follows(2);
    scene.lan(single.client_says(b"x")).opens(3, "lan-out");
    scene.ends(1, Reason::EndHandshake, 30_000);
    scene.ends(3, Reason::EndHandshake, 30_001);
    tick(&mut scene, 30_001);
    assert_eq!(evidence(&scene), [("one-sided-session", 1)]);
}

#[test]
fn ordinary_connections_give_nothing_away() {
    let (mut scene, mut web) = established();
    scene.lan(web.client_says(b"question")).follows(1);
    scene.wan(web.server_says(b"answer")).follows(1);
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    // Nobody answers.
    scene.lan(Tcp::new(at(LAN, 40_001), at(WAN, 80)).client(SYN)).opens(2, "lan-out");
    // A late packet of a session that was cut is no stranger's.
    let (cut, mut late) = (scene.last_ms(), Tcp::new(at(LAN, 40_002), at(WAN, 443)));
    late.opens(&mut scene, 3, "lan-out");
    scene.ends(1, Reason::EndClosed, cut + 30_000);
    scene.ends(2, Reason::EndHandshake, cut + 30_000);
    scene.ends(3, Reason::EndIdle, cut + 7_440_000);
    scene.at_ms(cut + 7_440_001).lan(late.client(ACK)).drops(Reason::SessionExpired).of(3);
    assert_eq!(evidence(&scene), []);
}
