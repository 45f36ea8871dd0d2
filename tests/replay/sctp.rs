//! SCTP (RFC 9260): associations by their verification tags, from INIT to SHUTDOWN COMPLETE, over one path and over many.

use sekisho_tests::frames::{chunk, icmp, udp};
use sekisho_tests::sctp::{
    Association, REFLECTED, abort, cookie_ack, cookie_echo, data, heartbeat, heartbeat_ack, shutdown,
    shutdown_ack, shutdown_complete,
};

use super::*;

/// Further addresses of the client and the server.
const LAN_SECOND: &str = "192.0.2.110";
const WAN_SECOND: &str = "203.0.113.153";

fn association() -> Association {
    Association::new(at(LAN, 7), at(WAN, 9))
}

fn opened() -> (Scene, Association) {
    let (mut scene, association) = (lan_out(), association());
    association.opens(&mut scene, 1, "lan-out");
    (scene, association)
}

#[test]
fn rfc9260_5_1_an_association_is_opened_and_carries_data() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let (mut scene, association) = (lan_out(), Association::new(at(lan, 7), at(wan, 9)));
        association.opens(&mut scene, 1, "lan-out");
        scene.lan(association.client(&data())).follows(1);
        scene.wan(association.server(&[chunk(3, 0, &[0; 12]), data()].concat())).follows(1);
        scene.wan(association.server(&heartbeat())).follows(1);
        scene.lan(association.client(&heartbeat_ack())).follows(1);
        scene.plays();
    }
}

#[test]
fn what_belongs_to_no_association_opens_none() {
    let (mut scene, association) = (lan_out(), association());
    for chunks in [data(), cookie_echo(), cookie_ack(), shutdown(), abort(0), association.offer(2, 1)] {
        scene.lan(association.client(&chunks)).drops(Reason::SctpNoSession);
        scene.wan(association.server(&chunks)).drops(Reason::SctpNoSession);
    }
    // And the world may not start one.
    scene.wan(association.from_server(0, &association.offer(1, 1))).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn rfc9260_8_5_a_wrong_verification_tag_is_dropped() {
    let (mut scene, association) = opened();
    let [client, server] = association.tags;
    for tag in [1, client, server ^ 1, u32::MAX] {
        scene.lan(association.from_client(tag, &data())).drops(Reason::SctpBadTag).of(1);
    }
    for chunks in [data(), heartbeat(), shutdown(), shutdown_ack(), abort(0), abort(REFLECTED)] {
        scene.wan(association.from_server(0xbad, &chunks)).drops(Reason::SctpBadTag).of(1);
    }
    scene.wan(association.server(&data())).follows(1);
    scene.plays();
}

#[test]
fn rfc9260_8_5_1_tags_of_init_and_of_nothing_else_are_zero() {
    let (mut scene, association) = opened();
    scene.lan(association.from_client(5, &association.offer(1, 0))).drops(Reason::SctpBadTag);
    scene.lan(association.from_client(0, &data())).drops(Reason::SctpBadTag);
    scene.wan(association.from_server(0, &abort(0))).drops(Reason::SctpBadTag);
    let bundled = [association.offer(1, 0), data()].concat();
    scene.lan(association.from_client(0, &bundled)).drops(Reason::SctpMalformed);
    scene.plays();
}

#[test]
fn data_before_the_handshake_is_dropped() {
    let (mut scene, association) = (lan_out(), association());
    scene.lan(association.init()).opens(1, "lan-out");
    scene.wan(association.server(&data())).drops(Reason::SctpState).of(1);
    scene.wan(association.server(&cookie_ack())).drops(Reason::SctpState).of(1);
    scene.lan(association.client(&data())).drops(Reason::SctpBadTag).of(1);
    scene.wan(association.init_ack()).follows(1);
    scene.lan(association.client(&data())).drops(Reason::SctpState).of(1);
    scene.lan(association.client(&[cookie_echo(), data()].concat())).follows(1);
    scene.plays();
}

#[test]
fn rfc9260_9_2_a_shutdown_ends_it() {
    let (mut scene, association) = opened();
    scene.lan(association.client(&shutdown())).follows(1);
    scene.wan(association.server(&data())).follows(1);
    scene.wan(association.server(&shutdown_ack())).follows(1);
    scene.lan(association.client(&shutdown_complete(0))).follows(1);
    let end_ms = scene.last_ms() + 60_000;
    scene.wan(association.server(&data())).drops(Reason::SctpState).of(1);
    // The last word got lost behind us.
    scene.wan(association.server(&shutdown_ack())).follows(1);
    scene.lan(association.from_client(association.tags[0], &shutdown_complete(REFLECTED))).follows(1);
    scene.ends(1, Reason::EndShutDown, end_ms);
    tick(&mut scene, end_ms);
    scene.wan(association.server(&data())).drops(Reason::SctpNoSession);
    scene.plays();
}

#[test]
fn rfc9260_9_1_an_abort_ends_it() {
    for flags in [0, REFLECTED] {
        let (mut scene, association) = opened();
        let tag = association.tags[usize::from(flags)];
        scene.wan(association.from_server(tag, &abort(flags))).follows(1);
        let end_ms = scene.last_ms() + 60_000;
        scene.lan(association.client(&data())).drops(Reason::SctpState).of(1);
        scene.ends(1, Reason::EndAborted, end_ms);
        tick(&mut scene, end_ms);
        scene.plays();
    }
}

#[test]
fn a_new_association_takes_the_ports_of_one_that_is_closed() {
    let (mut scene, association) = opened();
    scene.lan(association.client(&abort(0))).follows(1);
    let next = Association { tags: [21, 22], ..association };
    scene.lan(next.init()).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(next.init_ack()).follows(2);
    scene.lan(next.client(&cookie_echo())).follows(2);
    scene.wan(next.server(&cookie_ack())).follows(2);
    scene.plays();
}

#[test]
fn rfc9260_5_2_a_restart_keeps_the_session_and_changes_its_tags() {
    let (mut scene, association) = opened();
    let next = Association { tags: [21, 22], ..association.clone() };
    scene.lan(next.init()).follows(1);
    // Until the cookie is acknowledged nothing has changed.
    scene.wan(association.server(&data())).follows(1);
    scene.wan(next.server(&data())).drops(Reason::SctpBadTag).of(1);
    scene.wan(next.init_ack()).follows(1);
    scene.lan(next.client(&cookie_echo())).follows(1);
    scene.wan(next.server(&cookie_ack())).follows(1);
    scene.lan(next.client(&data())).follows(1);
    scene.wan(association.server(&data())).drops(Reason::SctpBadTag).of(1);
    scene.plays();
}

#[test]
fn an_unfinished_handshake_times_out_and_an_idle_association_later() {
    let (mut scene, association) = (lan_out(), association());
    scene.lan(association.init()).opens(1, "lan-out");
    scene.ends(1, Reason::EndHandshake, 60_000);
    tick(&mut scene, 60_000);
    scene.plays();

    let (mut scene, association) = opened();
    let end_ms = scene.last_ms() + 600_000;
    tick(&mut scene, end_ms - 1);
    scene.ends(1, Reason::EndIdle, end_ms);
    tick(&mut scene, end_ms);
    scene.wan(association.server(&data())).drops(Reason::SessionExpired).of(1);
    scene.plays();
}

#[test]
fn rfc9260_10_an_error_quotes_the_tag() {
    let (mut scene, association) = (lan_out(), association());
    let error = |packet: &frames::Packet, len: usize| {
        let quote = packet.ip();
        icmp(ip("198.51.100.1"), packet.source, 3, 3, [0; 4], &quote[..len.min(quote.len())])
    };
    scene.lan(association.init()).opens(1, "lan-out");
    scene.wan(error(&association.init(), 80)).passes(Reason::Related).of(1);
    let guessed = Association { tags: [5, 6], ..association.clone() };
    scene.wan(error(&guessed.init(), 80)).drops(Reason::IcmpError);
    // Eight bytes show no tag of an INIT.
    scene.wan(error(&association.init(), 28)).drops(Reason::IcmpError);
    scene.wan(association.init_ack()).follows(1);
    scene.lan(association.client(&cookie_echo())).follows(1);
    scene.wan(association.server(&cookie_ack())).follows(1);
    scene.wan(error(&association.client(&data()), 28)).passes(Reason::Related).of(1);
    scene.wan(error(&guessed.client(&data()), 28)).drops(Reason::IcmpError);
    scene.plays();
}

/// An association of two addresses a side, opened on the first of each.
fn multihomed() -> Association {
    let mut association = association();
    association.listed = [vec![ip(LAN), ip(LAN_SECOND)], vec![ip(WAN), ip(WAN_SECOND)]];
    association
}

#[test]
fn rfc9260_6_4_listed_addresses_are_paths_of_the_association() {
    let (mut scene, association) = (lan_out(), multihomed());
    association.opens(&mut scene, 1, "lan-out");
    let second = association.over(ip(LAN_SECOND), ip(WAN_SECOND));
    scene.lan(second.client(&heartbeat())).opens(2, "lan-out");
    scene.wan(second.server(&heartbeat_ack())).follows(2);
    // The side that did not open it may be the first on a path too.
    let crossed = association.over(ip(LAN), ip(WAN_SECOND));
    scene.wan(crossed.server(&heartbeat())).opens(3, "lan-out");
    scene.lan(crossed.client(&heartbeat_ack())).follows(3);
    scene.lan(second.client(&data())).follows(2);
    scene.wan(second.from_server(0xbad, &data())).drops(Reason::SctpBadTag).of(2);
    scene.plays();
}

#[test]
fn addresses_that_nobody_listed_are_no_paths() {
    let (mut scene, association) = (lan_out(), multihomed());
    association.opens(&mut scene, 1, "lan-out");
    let strange = association.over(ip("192.0.2.77"), ip(WAN));
    scene.lan(strange.client(&heartbeat())).drops(Reason::SctpNoSession);
    scene.wan(strange.server(&heartbeat())).drops(Reason::SctpNoSession);
    let second = association.over(ip(LAN_SECOND), ip(WAN));
    // The right addresses with wrong tags, or another port.
    scene.lan(second.from_client(7, &heartbeat())).drops(Reason::SctpNoSession);
    scene.wan(second.from_server(association.tags[1], &heartbeat())).drops(Reason::SctpNoSession);
    let mut port = second.clone();
    port.client.set_port(8);
    scene.lan(port.client(&heartbeat())).drops(Reason::SctpNoSession);
    scene.lan(second.client(&heartbeat())).opens(2, "lan-out");
    scene.plays();
}

#[test]
fn a_path_is_open_only_when_the_handshake_is_done() {
    let (mut scene, association) = (lan_out(), multihomed());
    let second = association.over(ip(LAN_SECOND), ip(WAN_SECOND));
    scene.lan(association.init()).opens(1, "lan-out");
    scene.wan(association.init_ack()).follows(1);
    scene.lan(second.client(&heartbeat())).drops(Reason::SctpNoSession);
    scene.wan(second.server(&heartbeat())).drops(Reason::SctpNoSession);
    scene.lan(association.client(&cookie_echo())).follows(1);
    scene.wan(association.server(&cookie_ack())).follows(1);
    scene.wan(second.server(&heartbeat())).opens(2, "lan-out");
    scene.plays();
}

#[test]
fn a_path_is_asked_of_the_rules_as_its_opener_would_be() {
    let policy = format!(
        "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules: [{{name: r, from: lan, to: wan, destination: {WAN}, service: sctp/9, action: allow}}]\n"
    );
    let (mut scene, association) = (Scene::new(&policy), multihomed());
    association.opens(&mut scene, 1, "r");
    scene.wan(association.over(ip(LAN_SECOND), ip(WAN)).server(&heartbeat())).opens(2, "r");
    scene.wan(association.over(ip(LAN), ip(WAN_SECOND)).server(&heartbeat())).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn an_association_of_both_families_has_paths_of_both() {
    let (mut scene, mut association) = (lan_out(), association());
    association.listed = [vec![ip(LAN6)], vec![ip(WAN6)]];
    association.opens(&mut scene, 1, "lan-out");
    let wide = association.over(ip(LAN6), ip(WAN6));
    scene.wan(wide.server(&heartbeat())).opens(2, "lan-out");
    scene.lan(wide.client(&data())).follows(2);
    scene.plays();
}

#[test]
fn associations_are_by_their_ports_and_apart_from_udp() {
    let (mut scene, first) = opened();
    let second = Association { tags: [31, 32], ..Association::new(at(LAN, 8), at(WAN, 9)) };
    second.opens(&mut scene, 2, "lan-out");
    scene.wan(first.server(&data())).follows(1);
    scene.wan(second.server(&data())).follows(2);
    scene.wan(udp(at(WAN, 9), at(LAN, 7), b"")).drops(Reason::DefaultDrop);
    scene.plays();
}
