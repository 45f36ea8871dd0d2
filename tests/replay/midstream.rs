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
