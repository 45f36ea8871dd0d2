//! A session table of few places: full is a normal state, with a rule.

use sekisho_engine::reason::Reason;
use sekisho_engine::session::room::Budgets;
use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment, udp};
use sekisho_tests::scene::{LAN_OUT, Scene, Tcp};

const LAN: &str = "192.0.2.10";
const WAN: &str = "203.0.113.53";

/// With the timeouts of the policy, however full the table.
const UNHURRIED: Budgets = Budgets { half_open: 50, one_way: 50, established: 100, adaptive_timeouts: false };

fn at(address: &str, port: u16) -> std::net::SocketAddr {
    format!("{address}:{port}").parse().unwrap()
}

fn connection(port: u16) -> Tcp {
    Tcp::new(at(LAN, port), at(WAN, 443))
}

/// A table of `places`, full of established connections.
fn full_of_established(places: u32) -> (Scene, Vec<Tcp>) {
    let mut scene = Scene::new(LAN_OUT).sessions_max(places).budgets(UNHURRIED);
    let mut connections = Vec::new();
    for number in 1..=places {
        let mut tcp = connection(40_000 + u16::try_from(number).unwrap());
        tcp.opens(&mut scene, u64::from(number), "lan-out");
        connections.push(tcp);
    }
    (scene, connections)
}

#[test]
fn the_oldest_half_open_session_makes_room() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(3);
    let mut established = connection(1);
    established.opens(&mut scene, 1, "lan-out");
    scene.lan(connection(2).client(SYN)).opens(2, "lan-out");
    scene.lan(udp(at(LAN, 3), at(WAN, 53), b"?")).opens(3, "lan-out");
    // The table is full: the SYN was there before the datagram.
    scene.lan(connection(4).client(SYN)).opens(4, "lan-out");
    scene.ends_with_it(2, Reason::EndEvicted);
    scene.lan(udp(at(LAN, 5), at(WAN, 53), b"?")).opens(5, "lan-out");
    scene.ends_with_it(3, Reason::EndEvicted);
    // What comes for the evicted is told so; the established one is untouched.
    scene.wan(udp(at(WAN, 53), at(LAN, 3), b"!")).drops(Reason::SessionExpired).of(3);
    scene.wan(established.server_says(b"x")).follows(1);
    scene.plays_alone();
}

/// Whatever refuses them or takes them back: who opens one after the other must not keep the places.
#[test]
fn a_session_that_was_only_refused_makes_room() {
    let mut scene = Scene::new(&format!("{LAN_OUT}inspection: {{midstream: pickup}}\n")).sessions_max(4);
    let mut established = connection(1);
    established.opens(&mut scene, 1, "lan-out");
    let mut refused = connection(2);
    scene.lan(refused.client(SYN)).opens(2, "lan-out");
    scene.wan(refused.from_server(&Segment::new(RST | ACK, 0, refused.next[0]))).follows(2);
    let mut taken_back = connection(3);
    scene.lan(taken_back.client(SYN)).opens(3, "lan-out");
    scene.lan(taken_back.client(RST)).follows(3);
    let mut picked_up = connection(4);
    scene.lan(picked_up.client_says(b"x")).opens(4, "lan-out");
    scene.wan(picked_up.from_server(&Segment::new(RST, picked_up.next[1], 0))).follows(4);
    for number in 5..9 {
        scene.lan(connection(number).client(SYN)).opens(u64::from(number), "lan-out");
        scene.ends_with_it(u64::from(number) - 3, Reason::EndEvicted);
    }
    scene.wan(established.server_says(b"x")).follows(1);
    scene.plays_alone();
}

#[test]
fn a_reset_session_that_was_answered_makes_no_room() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(1);
    let mut first = connection(1);
    first.opens(&mut scene, 1, "lan-out");
    scene.wan(first.server(RST)).follows(1);
    scene.lan(connection(2).client(SYN)).drops(Reason::TableFull).by("lan-out");
    scene.plays_alone();
}

#[test]
fn established_sessions_never_make_room_for_a_newcomer() {
    let (mut scene, mut connections) = full_of_established(4);
    for port in 1..20 {
        scene.lan(connection(port).client(SYN)).drops(Reason::TableFull).by("lan-out");
        scene.lan(udp(at(LAN, port), at(WAN, 53), b"?")).drops(Reason::TableFull).by("lan-out");
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        scene.wan(connection.server_says(b"alive")).follows(number as u64 + 1);
    }
    assert!(scene.plays_alone().summary.table_was_full);
}

/// Who floods with datagrams that nobody answers takes no handshake's place, and the other way round.
#[test]
fn a_flood_of_one_class_takes_from_itself() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(10);
    for port in 1..=5 {
        scene.lan(connection(port).client(SYN)).opens(port.into(), "lan-out");
    }
    for port in 1..=40u16 {
        scene.lan(udp(at(LAN, port), at(WAN, 53), b"?")).opens(u64::from(port) + 5, "lan-out");
        if port > 5 {
            scene.ends_with_it(u64::from(port), Reason::EndEvicted);
        }
    }
    // The handshakes are all there.
    for port in 1..=5 {
        let mut tcp = connection(port);
        tcp.client(SYN);
        scene.wan(tcp.server(SYN | ACK)).follows(port.into());
    }
    scene.plays_alone();
}

/// What is free is lent to whoever needs it, and given back when the others come.
#[test]
fn a_class_alone_has_all_the_table_and_gives_it_back() {
    let budgets = Budgets { half_open: 20, one_way: 80, ..Budgets::default() };
    let mut scene = Scene::new(LAN_OUT).sessions_max(10).budgets(budgets);
    for port in 1..=10 {
        scene.lan(connection(port).client(SYN)).opens(port.into(), "lan-out");
    }
    // Eight datagrams take eight places of the ten handshakes; the ninth takes that of a datagram.
    for port in 1..=8u16 {
        scene.lan(udp(at(LAN, port), at(WAN, 53), b"?")).opens(u64::from(port) + 10, "lan-out");
        scene.ends_with_it(port.into(), Reason::EndEvicted);
    }
    scene.lan(udp(at(LAN, 9), at(WAN, 53), b"?")).opens(19, "lan-out");
    scene.ends_with_it(11, Reason::EndEvicted);
    scene.plays_alone();
}

/// Or newcomers would throw each other out, and no handshake ever come to its end.
#[test]
fn what_established_sessions_may_not_have_is_for_handshakes_under_way() {
    let budgets = Budgets { established: 75, ..Budgets::default() };
    let mut scene = Scene::new(LAN_OUT).sessions_max(4).budgets(budgets);
    for port in 1..=2 {
        connection(port).opens(&mut scene, port.into(), "lan-out");
    }
    let mut under_way = [connection(3), connection(4)];
    for (tcp, number) in under_way.iter_mut().zip(3..) {
        scene.lan(tcp.client(SYN)).opens(number, "lan-out");
    }
    let [first, second] = &mut under_way;
    scene.wan(first.server(SYN | ACK)).follows(3);
    scene.lan(first.client(ACK)).follows(3);
    for port in 5..20 {
        scene.lan(connection(port).client(SYN)).drops(Reason::BudgetFull).by("lan-out");
    }
    scene.wan(second.server(SYN | ACK)).follows(4);
    scene.lan(second.client(ACK)).follows(4);
    scene.lan(connection(20).client(SYN)).drops(Reason::TableFull).by("lan-out");
    scene.plays_alone();
}

/// The emptier the table, the longer they are waited for; what is established has its timeout.
#[test]
fn timeouts_of_what_is_not_established_shorten_as_the_table_fills() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(20);
    let mut established = connection(1);
    established.opens(&mut scene, 1, "lan-out");
    for port in 2..=20u16 {
        scene.lan(udp(at(LAN, port), at(WAN, 53), b"?")).opens(port.into(), "lan-out");
    }
    // Those that began when 19, 16 to 18, 12 to 15 places were taken; and those before, after all of 30 s.
    scene.ends(20, Reason::EndPressed, 3_751);
    for session in 17..=19 {
        scene.ends(session, Reason::EndPressed, 7_501);
    }
    for session in 13..=16 {
        scene.ends(session, Reason::EndPressed, 15_001);
    }
    for session in 2..=12 {
        scene.ends(session, Reason::EndIdle, 30_001);
    }
    scene.at_ms(40_000).wan(established.server_says(b"x")).follows(1);
    scene.plays();
}

/// A closed session waits for stragglers, and for less time when its place is needed.
#[test]
fn what_is_over_goes_sooner_as_the_table_fills() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(2);
    let mut closing = connection(1);
    closing.opens(&mut scene, 1, "lan-out");
    connection(2).opens(&mut scene, 2, "lan-out");
    scene.lan(closing.client(FIN | ACK)).follows(1);
    scene.wan(closing.server(FIN | ACK)).follows(1);
    scene.lan(closing.client(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000 / 8;
    scene.ends(1, Reason::EndClosed, end_ms);
    scene.at_ms(end_ms).lan(connection(7).client(SYN)).opens(3, "lan-out");
    scene.plays();
}

#[test]
fn timeouts_stay_what_they_are_where_the_operator_says_so() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(2).budgets(UNHURRIED);
    for port in 1..=2u16 {
        scene.lan(udp(at(LAN, port), at(WAN, 53), b"?")).opens(port.into(), "lan-out");
    }
    scene.ends(1, Reason::EndIdle, 30_000).ends(2, Reason::EndIdle, 30_001);
    scene.at_ms(30_001).lan(udp(at(LAN, 3), at(WAN, 53), b"?")).opens(3, "lan-out");
    scene.plays_alone();
}

#[test]
fn a_session_that_was_answered_is_not_half_open() {
    let mut scene = Scene::new(LAN_OUT).sessions_max(1);
    scene.lan(udp(at(LAN, 1), at(WAN, 53), b"?")).opens(1, "lan-out");
    scene.wan(udp(at(WAN, 53), at(LAN, 1), b"!")).follows(1);
    scene.lan(udp(at(LAN, 2), at(WAN, 53), b"?")).drops(Reason::TableFull).by("lan-out");
    scene.plays_alone();
}

#[test]
fn a_place_is_free_when_its_session_ended() {
    let (mut scene, mut connections) = full_of_established(2);
    let first = &mut connections[0];
    scene.lan(first.client(FIN | ACK)).follows(1);
    scene.wan(first.server(FIN | ACK)).follows(1);
    scene.lan(first.client(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    // Closed, but its place is taken until the time to wait is over.
    scene.lan(connection(7).client(SYN)).drops(Reason::TableFull).by("lan-out");
    scene.ends(1, Reason::EndClosed, end_ms);
    scene.at_ms(end_ms).lan(connection(7).client(SYN)).opens(3, "lan-out");
    scene.lan(connection(8).client(SYN)).opens(4, "lan-out");
    scene.ends_with_it(3, Reason::EndEvicted);
    scene.plays_alone();
}

#[test]
fn a_new_connection_on_a_closed_five_tuple_needs_no_other_place() {
    let (mut scene, mut connections) = full_of_established(1);
    let only = &mut connections[0];
    scene.lan(only.client(FIN | ACK)).follows(1);
    scene.wan(only.server(FIN | ACK)).follows(1);
    scene.lan(only.client(ACK)).follows(1);
    only.next = [77, 99];
    scene.lan(only.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(only.server(SYN | ACK)).follows(2);
    scene.plays_alone();
}

#[test]
fn a_flood_of_syns_leaves_the_established_alone() {
    let (mut scene, mut connections) = full_of_established(8);
    scene = scene.sessions_max(16);
    let mut number = 8;
    for port in 0..200u16 {
        number += 1;
        scene.lan(connection(1000 + port).client(SYN)).opens(number, "lan-out");
        if number > 16 {
            scene.ends_with_it(number - 8, Reason::EndEvicted);
        }
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        scene.lan(connection.client_says(b"still here")).follows(number as u64 + 1);
    }
    scene.plays_alone();
}
