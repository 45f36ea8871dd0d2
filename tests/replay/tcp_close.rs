//! TCP: how connections end.

use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment};

use super::*;

/// Both ends have closed, and both closes are acknowledged.
fn closed() -> (Scene, Tcp) {
    let (mut scene, mut web) = established();
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    (scene, web)
}

#[test]
fn both_ends_close_and_the_session_waits_for_stragglers() {
    let (mut scene, web) = closed();
    // The last acknowledgement got lost behind us: the FIN comes again, and so does its answer.
    let [client, server] = web.next;
    scene
        .at_ms(1000)
        .wan(web.from_server(&Segment::new(FIN | ACK, server.wrapping_sub(1), client)))
        .follows(1);
    scene.lan(web.from_client(&Segment::new(ACK, client, server))).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

#[test]
fn a_half_closed_connection_still_carries_data_the_other_way() {
    let (mut scene, mut web) = established();
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    for _ in 0..5 {
        scene.after_ms(60_000).wan(web.server_says(b"more")).follows(1);
        scene.lan(web.client(ACK)).follows(1);
    }
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

#[test]
fn the_server_may_close_first_and_both_at_once() {
    let (mut scene, mut web) = established();
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();

    let (mut scene, mut web) = established();
    let client_fin = web.from_client(&Segment::new(FIN | ACK, web.next[0], web.next[1]));
    let server_fin = web.server(FIN | ACK);
    web.next[0] = web.next[0].wrapping_add(1);
    scene.lan(client_fin).follows(1);
    scene.wan(server_fin).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

#[test]
fn nothing_new_comes_after_a_fin() {
    let (mut scene, mut web) = established();
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.lan(web.client_says(b"afterthought")).drops(Reason::TcpState).of(1);
    scene.plays();
}

#[test]
fn a_new_syn_takes_over_a_five_tuple_that_waits() {
    let (mut scene, mut web) = closed();
    web.next = [1_000_000, 2_000_000];
    scene.lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.server(SYN | ACK)).follows(2);
    scene.lan(web.client(ACK)).follows(2);
    scene.wan(web.server_says(b"again")).follows(2);
    scene.plays();
}

#[test]
fn a_syn_that_the_rules_refuse_does_not_take_it_over() {
    let (mut scene, mut web) = closed();
    let syn = Segment::new(SYN, 1_000_000, 0);
    scene.at_ms(1000).wan(web.from_server(&syn)).drops(Reason::DefaultDrop);
    // What was there is there still.
    scene.lan(web.client(ACK)).follows(1);
    scene.ends(1, Reason::EndClosed, scene.last_ms() + 30_000);
    scene.at_ms(40_000).wan(stray()).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn a_reset_with_the_expected_number_ends_it() {
    let (mut scene, mut web) = established();
    scene.wan(web.server(RST)).follows(1);
    let reset_ms = scene.last_ms();
    // What was under way still arrives, and what the reset has overtaken; nothing begins.
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"overtaken")).follows(1);
    scene.wan(web.from_server(&Segment::new(SYN | ACK, 1, web.next[0]))).drops(Reason::TcpClosed).of(1);
    scene.ends(1, Reason::EndReset, reset_ms + 10_000);
    tick(&mut scene, reset_ms + 10_000);
    scene.lan(web.client(ACK)).drops(Reason::TcpNoSession);
    scene.plays();
}

#[test]
fn a_reset_that_is_only_inside_the_window_is_for_its_receiver_to_judge() {
    let (mut scene, mut web) = established();
    let inside = web.next[1].wrapping_add(100);
    scene.wan(web.from_server(&Segment::new(RST, inside, 0))).follows(1);
    // RFC 5961 section 3.2: the receiver challenges, and the connection goes on.
    scene.lan(web.client(ACK)).follows(1);
    scene.at_ms(60_000).wan(web.server_says(b"alive")).follows(1);
    scene.plays();
}

#[test]
fn a_syn_is_refused_by_a_reset() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    // RFC 9293 section 3.10.7.1: its number is 0.
    scene.wan(web.from_server(&Segment::new(RST | ACK, 0, web.next[0]))).follows(1);
    let end_ms = scene.last_ms() + 10_000;
    scene.ends(1, Reason::EndReset, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

/// The refusal got lost behind the appliance, or the port is open now: the same SYN again, or one with another number,
/// higher or lower, begins anew.
#[test]
fn a_syn_that_was_refused_may_be_tried_again() {
    for again in [1_000_000, 2_000_000, 1_000] {
        let (mut scene, mut web) = (lan_out(), web());
        web.next = [1_000_000, 5_000_000];
        scene.lan(web.client(SYN)).opens(1, "lan-out");
        scene.wan(web.from_server(&Segment::new(RST | ACK, 0, web.next[0]))).follows(1);
        web.next[0] = again;
        scene.lan(web.client(SYN)).opens(2, "lan-out");
        scene.ends_with_it(1, Reason::EndReopened);
        scene.wan(web.server(SYN | ACK)).follows(2);
        scene.lan(web.client(ACK)).follows(2);
        scene.plays();
    }
}

#[test]
fn a_reset_that_acknowledges_something_else_refuses_no_syn() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.wan(web.from_server(&Segment::new(RST | ACK, 0, 12_345))).drops(Reason::TcpOutOfWindow).of(1);
    scene.wan(web.from_server(&Segment::new(RST, 0, 0))).drops(Reason::TcpOutOfWindow).of(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

#[test]
fn a_new_connection_may_follow_a_reset_at_once() {
    let (mut scene, mut web) = established();
    scene.lan(web.client(RST)).follows(1);
    web.next = [1, 2];
    scene.lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.server(SYN | ACK)).follows(2);
    scene.plays();
}

#[test]
fn nothing_cuts_the_time_to_wait_short() {
    let (mut scene, mut web) = closed();
    let last_ms = scene.last_ms();
    // RFC 1337.
    scene.at_ms(1000).wan(web.server(RST)).follows(1);
    scene.ends(1, Reason::EndClosed, last_ms + 30_000);
    tick(&mut scene, last_ms + 30_000);
    scene.plays();
}
