//! TCP by the clauses of RFC 9293 and of what amends it, where a middle box is easily wrong. Dialogues of the plain cases
//! are in `tcp` and `tcp_close`.

use sekisho_tests::frames::{ACK, FIN, PSH, RST, SYN, Segment, URG};

use super::*;

/// The sequence number so far above (or below) another.
fn up(number: u32, by: i64) -> u32 {
    number.wrapping_add_signed(i32::try_from(by).unwrap())
}

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment::new(flags, sequence, acknowledgement)
}

/// Section 3.5.1: the opener has crashed and opens again; the other end still holds the session, and says so.
#[test]
fn rfc9293_3_5_1_half_open_discovery_by_the_challenge() {
    let (mut scene, mut web) = established();
    let [client, server] = web.next;
    scene.lan(web.from_client(&segment(SYN, 400_000, 0))).follows(1);
    scene.wan(web.from_server(&segment(ACK, server, client))).follows(1);
    scene.lan(web.from_client(&segment(RST, client, 0))).follows(1);
    web.next = [400_000, 900_000];
    scene.after_ms(1000).lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.server(SYN | ACK)).follows(2);
    scene.lan(web.client(ACK)).follows(2);
    scene.plays();
}

/// Section 3.5.1, figure 10: the end that still holds it speaks first.
#[test]
fn rfc9293_3_5_1_half_open_discovery_by_data() {
    let (mut scene, mut web) = established();
    let [client, _] = web.next;
    scene.wan(web.server_says(b"still there?")).follows(1);
    scene.lan(web.from_client(&segment(RST, client, 0))).follows(1);
    scene.ends(1, Reason::EndReset, scene.last_ms() + 10_000);
    tick(&mut scene, 11_000);
    scene.plays();
}

/// Both ends have forgotten the session, whose end nobody saw here: a SYN/ACK that answers exactly the SYN begins another.
#[test]
fn a_session_is_reopened_when_its_end_was_missed() {
    let (mut scene, mut web) = established();
    web.next = [400_000, 900_000];
    scene.at_ms(60_000).lan(web.client(SYN)).follows(1);
    // Not that one, and not from that side.
    scene.wan(web.from_server(&segment(SYN | ACK, 900_000, 400_002))).drops(Reason::TcpState).of(1);
    scene.lan(web.from_client(&segment(SYN | ACK, 900_000, 400_001))).drops(Reason::TcpState).of(1);
    scene.wan(web.server(SYN | ACK)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.lan(web.client(ACK)).follows(2);
    scene.wan(web.server_says(b"welcome again")).follows(2);
    scene.lan(web.client(FIN | ACK)).follows(2);
    scene.plays();
}

#[test]
fn a_session_is_reopened_only_by_the_rules_in_force() {
    let (mut scene, mut web) = established();
    scene.at_ms(1000).deploys(&LAN_OUT.replace("allow", "drop"));
    web.next = [400_000, 900_000];
    scene.after_ms(1).lan(web.client(SYN)).follows(1);
    scene.wan(web.server(SYN | ACK)).drops(Reason::TcpState).of(1);
    scene.plays();
}

/// What a SYN in the midst of a session offered holds for the session that it begins.
#[test]
fn a_reopened_session_keeps_the_options_of_its_syn() {
    const SCALE: [u8; 4] = [1, 3, 3, 7];
    let (mut scene, mut web) = established();
    let syn = segment(SYN, 400_000, 0).options(&SCALE).window(65_535).data(b"fast");
    scene.lan(web.from_client(&syn)).follows(1);
    let syn_ack = segment(SYN | ACK, 900_000, 400_005).options(&SCALE);
    scene.wan(web.from_server(&syn_ack)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.from_server(&segment(ACK, 900_001, 400_005).data(b"faster"))).follows(2);
    web.next = [400_005, 900_007];
    scene.lan(web.client(ACK)).follows(2);
    let far = segment(ACK, 900_007 + 1_000_000, 400_005).data(b"x");
    scene.wan(web.from_server(&far)).follows(2);
    scene.plays();
}

/// Section 3.5, figure 8: a duplicate of an older SYN comes after the new one; either may be answered.
#[test]
fn rfc9293_3_5_an_old_duplicate_syn_does_not_break_the_handshake() {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [500_000, 700_000];
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.lan(web.from_client(&segment(SYN, 90_000, 0))).follows(1);
    // The challenge of an end that has answered the other already.
    scene.wan(web.from_server(&segment(ACK, 700_001, 500_001))).follows(1);
    scene.wan(web.server(SYN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(web.server_says(b"welcome")).follows(1);
    scene.plays();
}

#[test]
fn rfc9293_3_5_an_old_duplicate_syn_is_refused_and_the_new_one_goes_on() {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.from_client(&segment(SYN, 90_000, 0))).opens(1, "lan-out");
    scene.wan(web.from_server(&segment(SYN | ACK, 600_000, 90_001))).follows(1);
    scene.lan(web.from_client(&segment(RST, 90_001, 0))).follows(1);
    web.next = [500_000, 700_000];
    scene.lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.server(SYN | ACK)).follows(2);
    scene.lan(web.client(ACK)).follows(2);
    scene.plays();
}

/// Section 3.8.4: with and without a byte of garbage, to both ends, and each keeps the session.
#[test]
fn rfc9293_3_8_4_keepalives_pass_and_keep_the_session() {
    let (mut scene, mut web) = established();
    scene.lan(web.client_says(b"request")).follows(1);
    scene.wan(web.server_says(b"answer")).follows(1);
    let [client, server] = web.next;
    for round in 1..=4 {
        // Two hours and four minutes are the timeout.
        scene.at_ms(round * 7_000_000);
        let garbage: &[u8] = if round % 2 == 0 { b"?" } else { b"" };
        scene.lan(web.from_client(&segment(ACK, up(client, -1), server).data(garbage))).follows(1);
        scene.wan(web.from_server(&segment(ACK, server, client))).follows(1);
        scene.wan(web.from_server(&segment(ACK, up(server, -1), client).data(garbage))).follows(1);
        scene.lan(web.from_client(&segment(ACK, client, server))).follows(1);
    }
    scene.plays();
}

/// Section 3.8.6.1: the window is closed; a byte beyond it is sent again and again, and what follows has its number.
#[test]
fn rfc9293_3_8_6_1_zero_window_probes_pass() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    scene.lan(web.from_client(&segment(ACK, client, server).data(&[1; 1400]))).follows(1);
    // 8192 in all were offered, and 0 since.
    for at in (1400..8192).step_by(1400) {
        let data = vec![1; 1400.min(8192 - at)];
        let at = i64::try_from(at).unwrap();
        scene.lan(web.from_client(&segment(ACK, up(client, at), server).data(&data))).follows(1);
    }
    let edge = up(client, 8192);
    scene.wan(web.from_server(&segment(ACK, server, edge).window(0))).follows(1);
    for _ in 0..3 {
        scene.after_ms(5000).lan(web.from_client(&segment(ACK, edge, server).data(b"p"))).follows(1);
        scene.wan(web.from_server(&segment(ACK, server, edge).window(0))).follows(1);
        // The form without data.
        scene.lan(web.from_client(&segment(ACK, up(edge, -1), server))).follows(1);
        // An acknowledgement behind the probe, and no more than that.
        scene.lan(web.from_client(&segment(ACK, up(edge, 1), server))).follows(1);
    }
    let more = segment(ACK, up(edge, 1), server).data(b"more");
    scene.lan(web.from_client(&more)).drops(Reason::TcpOutOfWindow).of(1);
    scene.wan(web.from_server(&segment(ACK, server, up(edge, 1)).window(8192))).follows(1);
    scene.lan(web.from_client(&more)).follows(1);
    scene.plays();
}

/// Section 3.8.6: a receiver that takes its window back does not make what is under way illegal.
#[test]
fn rfc9293_3_8_6_a_shrunk_window_leaves_what_is_under_way() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    scene.wan(web.from_server(&segment(ACK, server, client).window(100))).follows(1);
    scene.lan(web.from_client(&segment(ACK, up(client, 5000), server).data(&[1; 1000]))).follows(1);
    scene.lan(web.from_client(&segment(ACK, client, server).data(&[1; 1000]))).follows(1);
    scene.plays();
}

/// Out of order, overlapping, one byte more and one byte less: what its receiver puts together.
#[test]
fn rfc9293_3_10_7_4_segments_come_in_any_order_and_overlap() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    for (at, len) in [(3000, 1000), (1000, 1000), (500, 2600), (0, 1), (1, 1500), (0, 4000), (3999, 2)] {
        scene.lan(web.from_client(&segment(ACK, up(client, at), server).data(&vec![9; len]))).follows(1);
    }
    scene.wan(web.from_server(&segment(ACK, server, up(client, 4001)))).follows(1);
    scene.plays();
}

/// RFC 2018: the hole is filled after all that is behind it, in the order that the acknowledgements ask for.
#[test]
fn rfc2018_holes_are_filled_by_selective_retransmission() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    for at in [0, 2800, 5600] {
        scene.lan(web.from_client(&segment(ACK, up(client, at), server).data(&[1; 1400]))).follows(1);
        let mut sack = vec![1, 1, 5, 10];
        sack.extend(up(client, at).to_be_bytes());
        sack.extend(up(client, at + 1400).to_be_bytes());
        scene.wan(web.from_server(&segment(ACK, server, up(client, 1400)).options(&sack))).follows(1);
    }
    for at in [4200, 1400] {
        scene.lan(web.from_client(&segment(ACK, up(client, at), server).data(&[1; 1400]))).follows(1);
    }
    scene.wan(web.from_server(&segment(ACK, server, up(client, 7000)))).follows(1);
    scene.plays();
}

/// The acknowledgements were lost behind the appliance: what was acknowledged long ago comes again, from far below the
/// window, and passes; what was never sent there does not.
#[test]
fn retransmission_of_what_was_acknowledged_long_ago_passes() {
    let (mut scene, mut web) = established();
    let [first, server] = web.next;
    for _ in 0..100 {
        scene.lan(web.client_says(&[5; 1400])).follows(1);
        scene.wan(web.server(ACK)).follows(1);
    }
    let again = segment(ACK, first, server).data(&[5; 1400]);
    scene.lan(web.from_client(&again)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    // With an acknowledgement of what was not sent it passes no more than anything else.
    let bad = segment(ACK, first, up(server, 1)).data(&[5; 1400]);
    scene.lan(web.from_client(&bad)).drops(Reason::TcpOutOfWindow).of(1);
    scene.plays();
}

/// An acknowledgement that another has overtaken while the window was full, down to two windows below what was sent.
#[test]
fn rfc5961_5_2_acknowledgements_may_be_overtaken() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    let wide = |sequence, acknowledgement, data: &[u8]| {
        segment(ACK, sequence, acknowledgement).window(65_535).data(data)
    };
    scene.lan(web.from_client(&wide(client, server, b""))).follows(1);
    let mut sent = server;
    for _ in 0..2 {
        for _ in 0..46 {
            scene.wan(web.from_server(&wide(sent, client, &[7; 1400]))).follows(1);
            sent = up(sent, 1400);
        }
        scene.lan(web.from_client(&wide(client, sent, b""))).follows(1);
    }
    scene.lan(web.from_client(&wide(client, server, b""))).follows(1);
    scene.lan(web.from_client(&wide(client, up(sent, -131_072), b""))).drops(Reason::TcpOutOfWindow).of(1);
    scene.plays();
}

/// RFC 6093: urgent data is data; the pointer is for the ends.
#[test]
fn rfc6093_urgent_data_passes() {
    let (mut scene, web) = established();
    let [client, server] = web.next;
    scene.lan(web.from_client(&segment(URG | PSH | ACK, client, server).data(b"!"))).follows(1);
    scene.lan(web.from_client(&segment(URG | ACK, up(client, 1), server))).follows(1);
    scene.lan(web.from_client(&segment(URG | FIN | ACK, up(client, 1), server).data(b"!"))).follows(1);
    scene.plays();
}

/// Section 3.4: wherever the numbers wrap, in the handshake, in data, at the FIN, and where their difference does.
#[test]
fn rfc9293_3_4_numbers_wrap_everywhere() {
    for base in [0u32, 1 << 31] {
        for before in 0..12 {
            let (mut scene, mut web) = (lan_out(), web());
            web.next = [base.wrapping_sub(before), base.wrapping_sub(11 - before)];
            web.opens(&mut scene, 1, "lan-out");
            scene.lan(web.client_says(b"four")).follows(1);
            scene.wan(web.server_says(b"and five")).follows(1);
            scene.lan(web.client(FIN | ACK)).follows(1);
            scene.wan(web.server(FIN | ACK)).follows(1);
            scene.lan(web.client(ACK)).follows(1);
            let end_ms = scene.last_ms() + 30_000;
            scene.ends(1, Reason::EndClosed, end_ms);
            tick(&mut scene, end_ms);
            scene.plays();
        }
    }
}

/// The same, and the other end has nobody for it any more: the refusal passes, and the old session is over.
#[test]
fn a_new_attempt_may_be_refused_where_the_end_was_missed() {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [1_000_000, 5_000_000];
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.from_client(&segment(SYN, 400_000, 0))).follows(1);
    scene.wan(web.from_server(&segment(RST | ACK, 0, 400_002))).drops(Reason::TcpOutOfWindow).of(1);
    scene.wan(web.from_server(&segment(RST | ACK, 0, 400_001))).follows(1);
    scene.ends(1, Reason::EndReset, scene.last_ms() + 10_000);
    tick(&mut scene, 11_000);
    scene.plays();
}

/// A late duplicate of the SYN does not reopen a session that was reset, but a SYN with a lower number may: the answer
/// tells.
#[test]
fn after_a_reset_a_lower_number_reopens_when_it_is_answered() {
    let (mut scene, mut web) = (lan_out(), web());
    web.next = [1_000_000, 5_000_000];
    web.opens(&mut scene, 1, "lan-out");
    scene.wan(web.server(RST)).follows(1);
    scene.lan(web.from_client(&segment(SYN, 1_000_000, 0))).follows(1);
    let [client, server] = web.next;
    scene.lan(web.from_client(&segment(ACK, client, server))).follows(1);
    web.next = [500_000, 9_000_000];
    scene.lan(web.client(SYN)).follows(1);
    scene.wan(web.server(SYN | ACK)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.lan(web.client(ACK)).follows(2);
    scene.wan(web.server_says(b"again")).follows(2);
    scene.plays();
}
