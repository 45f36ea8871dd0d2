//! TCP by the RFCs that amend RFC 9293: window scale, challenges and resets, time-wait, fast open.

use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment};

use super::*;

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment::new(flags, sequence, acknowledgement)
}

/// A connection whose numbers do not wrap, established as session 1.
fn plain() -> (Scene, Tcp) {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [1_000_000, 5_000_000];
    web.opens(&mut scene, 1, "lan-out");
    (scene, web)
}

/// Whether session 1 was ended by a reset just now, or lives on.
fn is_reset(scene: &mut Scene, is_over: bool) {
    let end_ms = scene.last_ms() + 10_000;
    if is_over {
        scene.ends(1, Reason::EndReset, end_ms);
    }
    tick(scene, end_ms);
}

/// RFC 7323 section 2.2: the window of a SYN or SYN/ACK is never scaled.
#[test]
fn rfc7323_2_2_the_window_of_a_syn_is_not_scaled() {
    const SCALE: [u8; 4] = [1, 3, 3, 10];
    let (mut scene, web) = (lan_out(), web());
    let syn = segment(SYN, 100, 0).options(&SCALE).window(4096);
    scene.lan(web.from_client(&syn)).opens(1, "lan-out");
    let syn_ack = segment(SYN | ACK, 500, 101).options(&SCALE).window(2048);
    scene.wan(web.from_server(&syn_ack)).follows(1);
    let beyond = segment(ACK, 101 + 2049, 501).data(b"x");
    scene.lan(web.from_client(&beyond)).drops(Reason::TcpOutOfWindow).of(1);
    scene.lan(web.from_client(&segment(ACK, 101 + 2048, 501).data(b"x"))).follows(1);
    // From here on it is.
    scene.wan(web.from_server(&segment(ACK, 501, 101).window(2048))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 101 + 2_000_000, 501).data(b"x"))).follows(1);
    scene.plays();
}

/// RFC 7323 section 2.2: only if both sides offer it; one that drops the option in a repeated SYN does not.
#[test]
fn rfc7323_2_2_a_scale_counts_only_if_both_offer_it() {
    const SCALE: [u8; 4] = [1, 3, 3, 7];
    for (repeated, answer, far) in [
        (&SCALE[..], &SCALE[..], Reason::Session),
        (&[], &SCALE, Reason::Session),
        (&[], &[], Reason::TcpOutOfWindow),
        (&SCALE, &[], Reason::TcpOutOfWindow),
    ] {
        let (mut scene, web) = (lan_out(), web());
        scene.lan(web.from_client(&segment(SYN, 100, 0).options(&SCALE))).opens(1, "lan-out");
        scene.after_ms(1000).lan(web.from_client(&segment(SYN, 100, 0).options(repeated))).follows(1);
        scene.wan(web.from_server(&segment(SYN | ACK, 500, 101).options(answer))).follows(1);
        scene.lan(web.from_client(&segment(ACK, 101, 501))).follows(1);
        let late = segment(ACK, 501 + 500_000, 101).data(b"x");
        scene.wan(web.from_server(&late)).verdict(far).of(1);
        scene.plays();
    }
}

/// RFC 5961 section 3.2: exact, inside, outside; from either side; with an acknowledgement and without.
#[test]
fn rfc5961_3_2_a_reset_counts_at_exactly_its_number() {
    for (above, counts, verdict) in [
        (0, true, Reason::Session),
        (1, false, Reason::Session),
        (8193, false, Reason::Session),
        (8194, false, Reason::TcpOutOfWindow),
        (-1, false, Reason::TcpOutOfWindow),
    ] {
        let (mut scene, web) = plain();
        let number = web.next[1].wrapping_add_signed(above);
        scene.wan(web.from_server(&segment(RST, number, 0))).verdict(verdict).of(1);
        is_reset(&mut scene, counts);
        scene.plays();
    }
}

/// What was sent and not acknowledged lies between the two numbers that may be expected: each of them counts.
#[test]
fn rfc5961_3_2_either_end_of_what_is_under_way_may_be_expected() {
    for (at, counts) in [(0, true), (1400, true), (700, false)] {
        let (mut scene, mut web) = plain();
        let first = web.next[1];
        scene.wan(web.server_says(&[1; 1400])).follows(1);
        scene.wan(web.from_server(&segment(RST, first + at, 0))).follows(1);
        is_reset(&mut scene, counts);
        scene.plays();
    }
}

/// The receiver of an inexact reset challenges it; the answer is exact.
#[test]
fn rfc5961_3_2_a_challenged_reset_is_repeated_exactly() {
    let (mut scene, web) = plain();
    let [client, server] = web.next;
    scene.wan(web.from_server(&segment(RST, server + 77, 0))).follows(1);
    scene.lan(web.from_client(&segment(ACK, client, server))).follows(1);
    scene.wan(web.from_server(&segment(RST, server, 0))).follows(1);
    scene.ends(1, Reason::EndReset, scene.last_ms() + 10_000);
    tick(&mut scene, 11_000);
    scene.plays();
}

/// A reset that acknowledges 0, or anything else that was not sent, counts for nothing.
#[test]
fn a_reset_with_acknowledgement_0_does_not_count() {
    let (mut scene, mut web) = plain();
    let [client, server] = web.next;
    for acknowledgement in [0, client + 1, client - 100_000] {
        scene.wan(web.from_server(&segment(RST | ACK, server, acknowledgement))).follows(1);
    }
    scene.wan(web.server_says(b"alive")).follows(1);
    scene.wan(web.from_server(&segment(RST | ACK, web.next[1], client))).follows(1);
    is_reset(&mut scene, true);
    scene.plays();
}

/// Once a FIN was seen a reset inside the window counts: its sender has closed, and knows no better number.
#[test]
fn an_inexact_reset_counts_after_a_fin() {
    let (mut scene, mut web) = plain();
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.from_server(&segment(RST, web.next[1] + 500, 0))).follows(1);
    scene.ends(1, Reason::EndReset, scene.last_ms() + 10_000);
    tick(&mut scene, 11_000);
    scene.plays();
}

/// RFC 9293 section 3.10.7.1: a closed port answers a SYN with number 0, and must acknowledge it, and what it carried.
#[test]
fn a_syn_is_refused_with_number_0_by_what_acknowledges_it() {
    for (data, acknowledgement, counts) in
        [(&b""[..], 1001, true), (b"fast", 1005, true), (b"", 1000, false), (b"", 1002, false)]
    {
        let (mut scene, web) = (lan_out(), web());
        scene.lan(web.from_client(&segment(SYN, 1000, 0).data(data))).opens(1, "lan-out");
        let refusal = web.from_server(&segment(RST | ACK, 0, acknowledgement));
        match counts {
            true => {
                scene.wan(refusal).follows(1);
                scene.ends(1, Reason::EndReset, scene.last_ms() + 10_000);
                tick(&mut scene, 11_000);
            }
            false => {
                scene.wan(refusal).drops(Reason::TcpOutOfWindow).of(1);
            }
        }
        scene.plays();
    }
}

/// RFC 9293 section 3.10.7.2: in the midst of a handshake a reset by who answers lies in the window.
#[test]
fn a_reset_in_the_handshake_lies_in_the_window() {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [1_000_000, 5_000_000];
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.wan(web.from_server(&segment(RST, 7_000_000, 0))).drops(Reason::TcpOutOfWindow).of(1);
    // Who opens may have to refuse a SYN/ACK of another life, by that one's number.
    scene.lan(web.from_client(&segment(RST, 123_456, 0))).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"welcome")).follows(1);
    scene.plays();
}

/// RFC 5961 section 4: a SYN in an established session passes whatever its number, moves nothing, and its challenge
/// passes.
#[test]
fn rfc5961_4_a_syn_in_an_established_session_is_challenged() {
    let (mut scene, mut web) = plain();
    let [client, server] = web.next;
    for number in [client - 1, client, client + 5000, client.wrapping_add(1 << 31), 0] {
        scene.lan(web.from_client(&segment(SYN, number, 0))).follows(1);
        scene.wan(web.from_server(&segment(ACK, server, client))).follows(1);
        scene.wan(web.from_server(&segment(SYN, number, 0))).follows(1);
        scene.lan(web.from_client(&segment(ACK, client, server))).follows(1);
    }
    scene.lan(web.client_says(b"as ever")).follows(1);
    scene.wan(web.server_says(b"as ever")).follows(1);
    scene.plays();
}

/// RFC 5961 section 5: acknowledgements of what was not sent, and far too old ones.
#[test]
fn rfc5961_5_data_with_a_wrong_acknowledgement_is_dropped() {
    let (mut scene, web) = plain();
    let [client, server] = web.next;
    for (acknowledgement, verdict) in [
        (server, Reason::Session),
        (server + 1, Reason::TcpOutOfWindow),
        (server.wrapping_sub(66_001), Reason::Session),
        (server.wrapping_sub(66_002), Reason::TcpOutOfWindow),
        (server.wrapping_add(1 << 31), Reason::TcpOutOfWindow),
    ] {
        let data = segment(ACK, client, acknowledgement).data(b"injected");
        scene.lan(web.from_client(&data)).verdict(verdict).of(1);
    }
    scene.plays();
}

/// RFC 5961 section 4.2: who gets a SYN for a session that it still holds challenges it; here nobody knows that session.
#[test]
fn rfc5961_4_2_the_challenge_of_a_forgotten_session_passes() {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [1_000_000, 5_000_000];
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.wan(web.from_server(&segment(ACK, 77_000, 88_000))).follows(1);
    scene.lan(web.from_client(&segment(RST, 88_000, 0))).follows(1);
    let again = segment(SYN, 1_000_000, 0);
    scene.after_ms(1000).lan(web.from_client(&again)).follows(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

/// A handshake closed by both ends, as session 1, on plain numbers.
fn waiting() -> (Scene, Tcp) {
    let (mut scene, mut web) = plain();
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    (scene, web)
}

/// RFC 1337: no reset cuts the time to wait short, with the right number or another, from either side.
#[test]
fn rfc1337_no_reset_cuts_the_time_to_wait_short() {
    let (mut scene, web) = waiting();
    let [client, server] = web.next;
    let end_ms = scene.last_ms() + 30_000;
    for flags in [RST, RST | ACK] {
        for above in [0, 1000] {
            scene.wan(web.from_server(&segment(flags, server + above, client))).follows(1);
            scene.lan(web.from_client(&segment(flags, client + above, server))).follows(1);
        }
    }
    scene.wan(web.from_server(&segment(RST, server + 9000, 0))).drops(Reason::TcpOutOfWindow).of(1);
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene.plays();
}

/// RFC 1122 section 4.2.2.13: a number above all that were used begins anew at once.
#[test]
fn rfc1122_4_2_2_13_a_higher_number_reopens_what_waits() {
    let (mut scene, mut web) = waiting();
    web.next = [web.next[0] + 1, web.next[1] + 250_000];
    scene.at_ms(1000).lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.server(SYN | ACK)).follows(2);
    scene.lan(web.client(ACK)).follows(2);
    scene.plays();
}

/// RFC 6191: a lower number may be taken for its time stamp, or be a late duplicate; the answer tells.
#[test]
fn rfc6191_a_lower_number_reopens_when_it_is_answered() {
    let (mut scene, mut web) = waiting();
    let [client, server] = web.next;
    // The SYN of the session itself, late, and its challenge.
    scene.lan(web.from_client(&segment(SYN, 1_000_000, 0))).follows(1);
    scene.wan(web.from_server(&segment(ACK, server, client))).follows(1);
    web.next = [500_000, 9_000_000];
    scene.at_ms(1000).lan(web.client(SYN)).follows(1);
    scene.wan(web.server(SYN | ACK)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.lan(web.client(ACK)).follows(2);
    scene.plays();
}

/// RFC 7413 section 4.2.2: the answer may acknowledge the SYN alone; the data comes again, with the SYN's number behind
/// it.
#[test]
fn rfc7413_4_2_2_data_of_a_syn_that_was_not_taken_comes_again() {
    let (mut scene, web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 1000, 0).data(b"GET /"))).opens(1, "lan-out");
    scene.after_ms(1000).lan(web.from_client(&segment(SYN, 1000, 0))).follows(1);
    scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1001))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1001, 5001).data(b"GET /"))).follows(1);
    scene.wan(web.from_server(&segment(ACK, 5001, 1006).data(b"200"))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1006, 5004))).follows(1);
    scene.plays();
}

/// The SYN without data has overtaken the one with it, and that one is answered.
#[test]
fn rfc7413_data_may_come_with_the_second_syn_only() {
    let (mut scene, web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 1000, 0))).opens(1, "lan-out");
    scene.lan(web.from_client(&segment(SYN, 1000, 0).data(b"GET /"))).follows(1);
    scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1006))).follows(1);
    scene.wan(web.from_server(&segment(ACK, 5001, 1006).data(b"200"))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1006, 5004))).follows(1);
    scene.plays();
}

/// A cookie without data is a fast open too (RFC 7413 section 4.1.1); a request for one is not.
#[test]
fn rfc7413_4_1_1_a_cookie_lets_the_server_speak_first() {
    const COOKIE: [u8; 12] = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    const REQUEST: [u8; 4] = [34, 2, 1, 1];
    for (options, speaks) in [(&COOKIE[..], Reason::Session), (&REQUEST, Reason::TcpHandshake)] {
        let (mut scene, web) = (lan_out(), web());
        scene.lan(web.from_client(&segment(SYN, 1000, 0).options(options))).opens(1, "lan-out");
        scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1001).data(b""))).follows(1);
        let greeting = segment(ACK, 5001, 1001).data(b"220 welcome");
        scene.wan(web.from_server(&greeting)).verdict(speaks).of(1);
        scene.plays();
    }
}

/// A SYN/ACK with data, then the server's FIN, all before the client's acknowledgement.
#[test]
fn rfc7413_4_2_2_a_server_may_say_all_before_the_handshake_is_done() {
    let (mut scene, web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 1000, 0).data(b"GET /"))).opens(1, "lan-out");
    scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1006).data(b"200"))).follows(1);
    scene.wan(web.from_server(&segment(FIN | ACK, 5004, 1006).data(b"OK"))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1006, 5007))).follows(1);
    scene.lan(web.from_client(&segment(FIN | ACK, 1006, 5007))).follows(1);
    scene.wan(web.from_server(&segment(ACK, 5007, 1007))).follows(1);
    scene.ends(1, Reason::EndClosed, scene.last_ms() + 30_000);
    tick(&mut scene, 31_000);
    scene.plays();
}

/// A server that keeps no state (SYN cookies) or has lost it answers a repeated SYN with another number; the client takes
/// the answer that reaches it.
#[test]
fn a_second_syn_ack_may_have_another_number() {
    let (mut scene, web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 1000, 0))).opens(1, "lan-out");
    scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1001))).follows(1);
    scene.after_ms(1000).lan(web.from_client(&segment(SYN, 1000, 0))).follows(1);
    scene.wan(web.from_server(&segment(SYN | ACK, 900_000, 1001))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1001, 900_001))).follows(1);
    scene.wan(web.from_server(&segment(ACK, 900_001, 1001).data(b"welcome"))).follows(1);
    scene.plays();
}

/// Somebody's SYN in the name of the server proves nothing; the true answer takes its place, with its own scale.
#[test]
fn an_invented_simultaneous_open_gives_way_to_the_answer() {
    const SCALE: [u8; 4] = [1, 3, 3, 7];
    let (mut scene, web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 1000, 0).options(&SCALE))).opens(1, "lan-out");
    scene.wan(web.from_server(&segment(SYN, 31_337, 0))).follows(1);
    scene.wan(web.from_server(&segment(SYN | ACK, 5000, 1001).options(&SCALE))).follows(1);
    scene.lan(web.from_client(&segment(ACK, 1001, 5001))).follows(1);
    scene.wan(web.from_server(&segment(ACK, 5001 + 500_000, 1001).data(b"x"))).follows(1);
    scene.plays();
}

/// A half-closed session lives for its own timeout, an hour here, on the traffic of one side.
#[test]
fn a_half_closed_session_lives_long() {
    let policy = format!("{LAN_OUT}timeouts: {{tcp: {{half_closed: 1h}}}}\n");
    let (mut scene, mut web) = (Scene::new(&policy), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    for hour in 1..=10 {
        scene.at_ms(hour * 3_500_000).wan(web.server_says(&[1; 1400])).follows(1);
        scene.lan(web.client(ACK)).follows(1);
    }
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.plays();
}

/// RFC 9293 section 3.10.7.1: a closed end answers each segment that was under way, with what that one acknowledged: those
/// resets lie below the window once their FIN is acknowledged, and nobody takes them.
#[test]
fn late_resets_of_a_closed_end_pass() {
    let (mut scene, mut web) = plain();
    let [client, _] = web.next;
    scene.wan(web.server_says(b"bye")).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    let server = web.next[1];
    scene.lan(web.from_client(&segment(ACK, client + 1400, server - 4).data(&[1; 1400]))).follows(1);
    scene.lan(web.from_client(&segment(ACK, client, server).data(&[1; 1400]))).follows(1);
    scene.wan(web.from_server(&segment(RST, server - 4, 0))).follows(1);
    scene.lan(web.from_client(&segment(ACK, client, server).data(&[1; 1400]))).follows(1);
    scene.wan(web.from_server(&segment(RST, server, 0))).follows(1);
    scene.wan(web.from_server(&segment(RST, server - 4, 0))).follows(1);
    scene.wan(web.from_server(&segment(RST, server - 100_000, 0))).drops(Reason::TcpClosed).of(1);
    scene.plays();
}
