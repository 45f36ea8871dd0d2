//! TCP: how connections open, and what does not fit.

use sekisho_tests::frames::{ACK, PSH, RST, SYN, Segment, tcp};

use super::*;

#[test]
fn a_handshake_opens_a_session_and_data_flows_both_ways() {
    let (mut scene, mut web) = established();
    scene.lan(web.client_says(b"GET / HTTP/1.1\r\n\r\n")).follows(1);
    scene.wan(web.server_says(&[7; 1400])).follows(1);
    scene.wan(web.server_says(&[7; 1400])).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    let played = scene.plays();
    assert_eq!(played.summary.rules[0].hits, 1, "rules are asked for the first packet alone");
}

#[test]
fn the_same_over_ipv6() {
    let (mut scene, mut web) = (lan_out(), Tcp::new(at(LAN6, 40_000), at(WAN6, 443)));
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client_says(b"hello")).follows(1);
    scene.wan(web.server_says(b"hello")).follows(1);
    scene.plays();
}

#[test]
fn what_the_wan_starts_is_refused() {
    let mut scene = lan_out();
    let mut inbound = Tcp::new(at(WAN, 40_000), at(LAN, 22));
    scene.wan(inbound.client(SYN)).drops(Reason::DefaultDrop);
    scene.wan(inbound.client(SYN | ACK)).drops(Reason::TcpNoSession);
    scene.wan(inbound.client(ACK)).drops(Reason::TcpNoSession);
    scene.wan(inbound.client(RST)).drops(Reason::TcpNoSession);
    scene.plays();
}

#[test]
fn only_a_syn_opens_a_session_from_the_lan_too() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client(SYN | ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client(RST)).drops(Reason::TcpNoSession);
    scene.lan(web.client(RST | ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client_says(b"data")).drops(Reason::TcpNoSession);
    scene.plays();
}

#[test]
fn a_frame_on_the_wrong_port_belongs_to_no_session() {
    let (mut scene, mut web) = established();
    let (from_client, from_server) = (web.client_says(b"x"), web.server_says(b"y"));
    scene.wan(from_client.clone()).drops(Reason::TcpNoSession);
    scene.lan(from_server.clone()).drops(Reason::TcpNoSession);
    scene.lan(from_client).follows(1);
    scene.wan(from_server).follows(1);
    scene.plays();
}

#[test]
fn a_syn_is_sent_again_and_again() {
    let (mut scene, mut web) = (lan_out(), web());
    let syn = web.client(SYN);
    scene.lan(syn.clone()).opens(1, "lan-out");
    scene.after_ms(1000).lan(syn.clone()).follows(1);
    scene.after_ms(3000).lan(syn).follows(1);
    let syn_ack = web.server(SYN | ACK);
    scene.wan(syn_ack.clone()).follows(1);
    scene.after_ms(1000).wan(syn_ack).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"welcome")).follows(1);
    scene.plays();
}

#[test]
fn another_attempt_may_have_another_number() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    web.next[0] = 77;
    scene.lan(web.client(SYN)).follows(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"welcome")).follows(1);
    scene.plays();
}

#[test]
fn nothing_goes_before_its_turn_in_the_handshake() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    // Before the server answered.
    let early = Segment::new(ACK, web.next[0], web.next[1]);
    scene.lan(web.from_client(&early)).drops(Reason::TcpHandshake).of(1);
    scene.lan(web.from_client(&early.clone().data(b"x"))).drops(Reason::TcpHandshake).of(1);
    scene.lan(web.client(SYN | ACK)).drops(Reason::TcpHandshake).of(1);
    web.next[0] = web.next[0].wrapping_sub(1);
    let early = Segment::new(ACK, web.next[1], web.next[0]);
    scene.wan(web.from_server(&early.data(b"x"))).drops(Reason::TcpHandshake).of(1);
    // Before the client acknowledged the server's SYN.
    scene.wan(web.server(SYN | ACK)).follows(1);
    let early = Segment::new(ACK, web.next[1], web.next[0]).data(b"220 welcome");
    scene.wan(web.from_server(&early)).drops(Reason::TcpHandshake).of(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"220 welcome")).follows(1);
    scene.plays();
}

#[test]
fn a_syn_ack_that_acknowledges_something_else_moves_nothing() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    // Its receiver resets that; here it must not pass for the answer.
    scene.wan(web.from_server(&Segment::new(SYN | ACK, 5000, 1234))).follows(1);
    scene.lan(web.from_client(&Segment::new(ACK, web.next[0], 5001))).drops(Reason::TcpHandshake).of(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

#[test]
fn both_ends_may_open_at_once() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.wan(web.server(SYN)).follows(1);
    // Each sends its SYN again with an acknowledgement (RFC 9293 section 3.5, figure 7).
    let [client, server] = web.next;
    scene.wan(web.from_server(&Segment::new(SYN | ACK, server.wrapping_sub(1), client))).follows(1);
    scene.lan(web.from_client(&Segment::new(SYN | ACK, client.wrapping_sub(1), server))).follows(1);
    scene.lan(web.client_says(b"mine")).follows(1);
    scene.wan(web.server_says(b"yours")).follows(1);
    scene.plays();
}

#[test]
fn the_server_may_split_its_answer() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.wan(web.from_server(&Segment::new(ACK, 0, web.next[0]))).follows(1);
    scene.wan(web.server(SYN)).follows(1);
    scene.lan(web.from_client(&Segment::new(ACK, web.next[0], web.next[1]))).follows(1);
    scene.wan(web.server_says(b"welcome")).follows(1);
    scene.plays();
}

#[test]
fn two_connections_between_the_same_hosts_are_two_sessions() {
    let (mut scene, mut first) = established();
    let mut second = Tcp::new(at(LAN, 40_001), at(WAN, 443));
    second.opens(&mut scene, 2, "lan-out");
    scene.wan(first.server_says(b"to the first")).follows(1);
    scene.wan(second.server_says(b"to the second")).follows(2);
    scene.plays();
}

#[test]
fn a_syn_within_a_connection_is_for_its_receiver_to_challenge() {
    let (mut scene, mut web) = established();
    scene.lan(web.from_client(&Segment::new(SYN, 99, 0))).follows(1);
    // It has moved nothing: the old numbers are still right.
    scene.wan(web.server_says(b"still here")).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene
        .wan(web.from_server(&Segment::new(SYN | ACK, 4_000_000, web.next[0])))
        .drops(Reason::TcpState)
        .of(1);
    scene.plays();
}

#[test]
fn numbers_outside_the_windows_are_dropped() {
    let (mut scene, mut web) = established();
    let [client, server] = web.next;
    let far = client.wrapping_add(100_000);
    scene
        .lan(web.from_client(&Segment::new(ACK, far, server).data(b"x")))
        .drops(Reason::TcpOutOfWindow)
        .of(1);
    // The acknowledgement jumps though nothing was sent: a hijacker guesses.
    let guess = server.wrapping_add(5000);
    scene.lan(web.from_client(&Segment::new(ACK, client, guess))).drops(Reason::TcpOutOfWindow).of(1);
    scene
        .wan(web.from_server(&Segment::new(RST, server.wrapping_add(70_000), 0)))
        .drops(Reason::TcpOutOfWindow)
        .of(1);
    scene.lan(web.client_says(b"the right one")).follows(1);
    scene.plays();
}

#[test]
fn tcp_window_log_lets_pass_what_strict_drops() {
    let policy = format!("{LAN_OUT}inspection: {{tcp_window: log}}\n");
    let (mut scene, mut web) = (Scene::new(&policy), web());
    web.opens(&mut scene, 1, "lan-out");
    let far = Segment::new(ACK, web.next[0].wrapping_add(100_000), web.next[1]).data(b"x");
    scene.lan(web.from_client(&far)).verdict(Reason::Session).of(1);
    let played = scene.plays();
    assert_eq!(played.summary.suspicious, 1);
}

#[test]
fn windows_are_scaled_when_both_ends_offer_it() {
    // Maximum segment size, no operation, window scale 7.
    const SCALE: [u8; 8] = [2, 4, 5, 180, 1, 3, 3, 7];
    for (answer, far) in [(&SCALE[..], Reason::Session), (&SCALE[..4], Reason::TcpOutOfWindow)] {
        let (mut scene, mut web) = (lan_out(), web());
        let [client, server] = web.next;
        let syn = Segment::new(SYN, client, 0).options(&SCALE).window(65_535);
        scene.lan(web.from_client(&syn)).opens(1, "lan-out");
        let syn_ack = Segment::new(SYN | ACK, server, client.wrapping_add(1)).options(answer).window(65_535);
        scene.wan(web.from_server(&syn_ack)).follows(1);
        web.next = [client.wrapping_add(1), server.wrapping_add(1)];
        let ack = Segment::new(ACK, web.next[0], web.next[1]).window(8192);
        scene.lan(web.from_client(&ack)).follows(1);
        // Within 8192 << 7, far beyond 8192.
        let late = Segment::new(ACK | PSH, web.next[1].wrapping_add(500_000), web.next[0]).data(b"x");
        scene.wan(web.from_server(&late)).verdict(far).of(1);
        scene.plays();
    }
}

#[test]
fn options_of_every_length_are_taken() {
    let (mut scene, mut web) = (lan_out(), web());
    let options: Vec<u8> = [vec![2, 4, 5, 180, 4, 2, 8, 10], vec![0; 8], vec![1; 24]].concat();
    let syn = Segment::new(SYN, web.next[0], 0).options(&options);
    scene.lan(web.from_client(&syn)).opens(1, "lan-out");
    web.next[0] = web.next[0].wrapping_add(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

#[test]
fn a_fast_open_carries_data_in_its_syn() {
    let (mut scene, web) = (lan_out(), web());
    let [client, server] = web.next;
    let syn = Segment::new(SYN, client, 0).data(b"GET /");
    scene.lan(web.from_client(&syn)).opens(1, "lan-out");
    let acknowledged = client.wrapping_add(6);
    scene.wan(web.from_server(&Segment::new(SYN | ACK, server, acknowledged))).follows(1);
    // RFC 7413 section 4.2: the server may send data before its SYN is acknowledged.
    let data = Segment::new(ACK, server.wrapping_add(1), acknowledged).data(b"HTTP/1.1 200");
    scene.wan(web.from_server(&data)).follows(1);
    scene.plays();
}

#[test]
fn a_scan_with_odd_flags_finds_nothing() {
    let mut scene = lan_out();
    for flags in [0, 1, 8, 32, 1 | 8 | 32, SYN | 1, SYN | RST, 1 | RST, 0xff] {
        scene.wan(tcp(at(WAN, 40_000), at(LAN, 22), flags, 1, 0)).drops(Reason::TcpBadFlags);
    }
    scene.plays();
}
