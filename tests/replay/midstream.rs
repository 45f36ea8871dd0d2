//! TCP packets of sessions that nobody saw begin: after a restart, or where the routing is asymmetric.

use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment};

use super::*;

fn pickup() -> Scene {
    Scene::new(&format!("{LAN_OUT}inspection: {{midstream: pickup}}\n"))
}

#[test]
fn a_session_under_way_is_picked_up_where_the_rules_allow_it() {
    let (mut scene, mut web) = (pickup(), web());
    scene.lan(web.client_says(b"as if nothing had happened")).opens(1, "lan-out");
    scene.wan(web.server(ACK)).follows(1);
    scene.wan(web.server_says(&[7; 1000])).follows(1);
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

#[test]
fn the_rules_decide_as_ever_and_a_reset_or_half_a_handshake_picks_up_nothing() {
    let (mut scene, mut web) = (pickup(), web());
    scene.wan(web.server_says(b"from the world")).drops(Reason::DefaultDrop);
    scene.wan(web.server(FIN | ACK)).drops(Reason::DefaultDrop);
    scene.wan(web.server(RST)).drops(Reason::TcpNoSession);
    scene.lan(web.client(RST | ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client(SYN | ACK)).drops(Reason::TcpNoSession);
    scene.plays();
}

/// RFC 9293 section 3.10.7.1: who knows nothing of the session refuses its segment with the number that this one
/// acknowledged, and without ACK.
#[test]
fn rfc9293_3_10_7_1_the_other_end_may_refuse_what_was_picked_up() {
    let (mut scene, mut web) = (pickup(), web());
    scene.lan(web.client_says(b"anybody there?")).opens(1, "lan-out");
    let number = web.next[1];
    scene
        .wan(web.from_server(&Segment::new(RST, number.wrapping_add(1), 0)))
        .drops(Reason::TcpOutOfWindow)
        .of(1);
    scene.wan(web.from_server(&Segment::new(RST, number, 0))).follows(1);
    let end_ms = scene.last_ms() + 10_000;
    scene.ends(1, Reason::EndReset, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

#[test]
fn until_the_other_end_speaks_it_is_half_open() {
    let (mut scene, mut web) = (pickup(), web());
    scene.lan(web.client_says(b"anybody there?")).opens(1, "lan-out");
    scene.at_ms(20_000).lan(web.client_says(b"anybody?")).follows(1);
    // Its own packets do not keep it alive.
    scene.ends(1, Reason::EndHandshake, 30_000);
    tick(&mut scene, 30_000);
    scene.plays();
}

/// A flood of packets that pick up sessions cannot keep itself alive: what only one side says refreshes nothing, and for
/// a session that somebody answers there is always room.
#[test]
fn a_flood_of_picked_up_sessions_makes_room_for_others() {
    let budgets = Budgets { adaptive_timeouts: false, ..Budgets::default() };
    let mut scene = pickup().sessions_max(4).budgets(budgets);
    let mut flood: Vec<Tcp> = (0..4).map(|port| Tcp::new(at(LAN, 1000 + port), at(WAN, 443))).collect();
    for (number, one) in flood.iter_mut().enumerate() {
        scene.lan(one.client_says(b"x")).opens(number as u64 + 1, "lan-out");
    }
    // However much they say, they stay half-open, the oldest first to go.
    for at_ms in [5000, 10_000, 20_000] {
        scene.at_ms(at_ms);
        for (number, one) in flood.iter_mut().enumerate() {
            scene.lan(one.client_says(&[7; 500])).follows(number as u64 + 1);
            scene.lan(one.client(ACK)).follows(number as u64 + 1);
        }
    }
    let mut real = web();
    scene.lan(real.client(SYN)).opens(5, "lan-out");
    scene.ends_with_it(1, Reason::EndEvicted);
    scene.wan(real.server(SYN | ACK)).follows(5);
    scene.lan(real.client(ACK)).follows(5);
    scene.lan(flood[0].client_says(b"again")).opens(6, "lan-out");
    scene.ends_with_it(2, Reason::EndEvicted);
    // What is left ends when it would have ended without a word more.
    scene.ends(3, Reason::EndHandshake, 30_001);
    scene.ends(4, Reason::EndHandshake, 30_001);
    tick(&mut scene, 30_001);
    scene.plays_alone();
}

/// Nor does its FIN, nor that of the other side as long as it does not fit.
#[test]
fn one_side_alone_does_not_move_a_picked_up_session() {
    let (mut scene, mut web) = (pickup(), web());
    scene.lan(web.client(FIN | ACK)).opens(1, "lan-out");
    scene.at_ms(10_000).lan(web.client(ACK)).follows(1);
    let far = frames::Segment::new(ACK, web.next[1], web.next[0].wrapping_add(1_000_000));
    scene.wan(web.from_server(&far)).drops(Reason::TcpOutOfWindow).of(1);
    scene.ends(1, Reason::EndHandshake, 30_000);
    tick(&mut scene, 30_000);
    scene.plays();
}
