//! Fragments: they wait for each other, are judged as one, and leave as they came, all or none.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, Packet, SYN, Segment, chunk, icmp, sctp, udp};

use super::*;

/// How long the rest may take.
const TIMEOUT_MS: u64 = 30_000;

/// The packet in fragments, cut at these places.
pub(crate) fn cut(packet: &Packet, identification: u16, cuts: &[usize]) -> Vec<Packet> {
    let len = packet.payload.len();
    let ends: Vec<usize> = [&[0], cuts, &[len]].concat();
    let piece = |from: usize, until: usize| {
        let mut piece = packet.clone();
        piece.payload = packet.payload[from..until].to_vec();
        piece.fragment(identification, u16::try_from(from).unwrap(), until < len)
    };
    ends.windows(2).map(|ends| piece(ends[0], ends[1])).collect()
}

/// The packet in fragments of so many bytes, a multiple of eight.
fn cut_every(packet: &Packet, identification: u16, bytes: usize) -> Vec<Packet> {
    let cuts: Vec<_> = (bytes..packet.payload.len()).step_by(bytes).collect();
    cut(packet, identification, &cuts)
}

/// A datagram of the LAN host's to the server's port 53, with so many bytes of data.
fn question(lan: &str, wan: &str, len: usize) -> Packet {
    udp(at(lan, 5000), at(wan, 53), &vec![7; len])
}

/// And one back.
fn answer(lan: &str, wan: &str, len: usize) -> Packet {
    udp(at(wan, 53), at(lan, 5000), &vec![8; len])
}

/// The fragments arrive and become whole with the last: all pass, for this reason, with this session.
fn pass(scene: &mut Scene, port: Port, fragments: &[Packet], reason: Reason, session: u64) {
    let first = scene.next_frame();
    for fragment in fragments {
        let expected = scene.on(port, fragment.clone()).passes(reason).of(session);
        if reason == Reason::SessionNew {
            expected.by("lan-out");
        }
    }
    let last = scene.next_frame() - 1;
    scene.leave_with_it(first..last);
}

fn opens(scene: &mut Scene, fragments: &[Packet], session: u64) {
    pass(scene, Port::Lan, fragments, Reason::SessionNew, session);
}

/// The fragments arrive, and are dropped for this reason.
fn drop_all(scene: &mut Scene, port: Port, fragments: &[Packet], reason: Reason) {
    for fragment in fragments {
        scene.on(port, fragment.clone()).drops(reason);
    }
}

/// The INIT of an association, with so many bytes of padding (RFC 4820).
fn init(lan: &str, wan: &str, padding: usize) -> Packet {
    let len = u16::try_from(4 + padding).unwrap().to_be_bytes();
    let fixed = [0, 0, 0, 7, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
    let value = [&fixed[..], &[0x80, 5], &len, &vec![3; padding]].concat();
    sctp(at(lan, 7), at(wan, 9), 0, &chunk(1, 0, &value))
}

/// Both families.
const BOTH: [(&str, &str); 2] = [(LAN, WAN), (LAN6, WAN6)];

#[test]
fn rfc791_fragments_pass_in_any_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (lan, wan) in BOTH {
        let mut scene = lan_out();
        for (number, order) in (0u16..).zip(orders) {
            let sent = cut(&question(lan, wan, 3000), number, &[1000, 2000]);
            let sent = order.map(|at| sent[at].clone());
            let back = cut(&answer(lan, wan, 2500), number, &[8, 1480]);
            let back = order.map(|at| back[at].clone());
            let reason = if number == 0 { Reason::SessionNew } else { Reason::Session };
            pass(&mut scene, Port::Lan, &sent, reason, 1);
            pass(&mut scene, Port::Wan, &back, Reason::Session, 1);
        }
        scene.plays();
    }
}

#[test]
fn rfc791_64_kib_pass_in_fragments_of_every_usual_size() {
    // 45 of Ethernet's 1,500 bytes; of the least MTU of IPv6; of the 576 bytes that every host takes.
    for (lan, wan, bytes, fragments) in
        [(LAN, WAN, 1480, 45), (LAN6, WAN6, 1448, 46), (LAN6, WAN6, 1232, 54), (LAN, WAN, 552, 119)]
    {
        let mut scene = lan_out();
        let sent = cut_every(&question(lan, wan, 65_507), 7, bytes);
        assert_eq!(sent.len(), fragments);
        opens(&mut scene, &sent, 1);
        scene.plays();
    }
}

#[test]
fn datagrams_that_arrive_at_once_do_not_mix() {
    let mut scene = lan_out();
    let (one, two) = (question(LAN, WAN, 2000), answer(LAN, WAN, 2000));
    scene.lan(question(LAN, WAN, 1)).opens(1, "lan-out");
    // The same identification: of another sender, behind the other port, in a VLAN, and another of the same sender.
    let mut tagged = udp(at(LAN, 5000), at(WAN, 53), &[9; 2000]);
    tagged.tags.push((sekisho_tests::frames::VLAN, 20));
    let sets =
        [cut(&one, 7, &[1000]), cut(&two, 7, &[1000]), cut(&tagged, 7, &[1000]), cut(&one, 8, &[1000])];
    let ports = [Port::Lan, Port::Wan, Port::Lan, Port::Lan];
    let reasons = [Reason::Session, Reason::Session, Reason::SessionNew, Reason::Session];
    for part in [0, 1] {
        for at in 0..4 {
            let session = if at == 2 { 2 } else { 1 };
            let expected = scene.on(ports[at], sets[at][part].clone()).passes(reasons[at]).of(session);
            if at == 2 {
                expected.by("lan-out");
            }
            if part == 1 {
                scene.leave_with_it([1 + at]);
            }
        }
    }
    scene.plays();
}

#[test]
fn lines_behind_a_held_frame_keep_their_order_and_frames_leave_when_they_can() {
    let mut scene = lan_out();
    let fragments = cut(&question(LAN, WAN, 2000), 7, &[1000]);
    // Sessions have their numbers in the order in which they begin.
    scene.lan(fragments[0].clone()).opens(2, "lan-out");
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"meanwhile")).opens(1, "lan-out");
    scene.wan(udp(at(WAN, 2), at(LAN, 1), b"answer")).follows(1);
    scene.at_ms(20_000).lan(fragments[1].clone()).opens(2, "lan-out");
    scene.leave_with_it([0]);
    scene.plays();
}

#[test]
fn every_protocol_passes_in_fragments() {
    let long_syn = Segment::new(SYN, 100, 0).data(&[1; 600]).between(at(LAN, 40_001), at(WAN, 443));
    let ping4 = icmp(ip(LAN), ip(WAN), 8, 0, [0, 7, 0, 1], &[5; 3000]);
    let ping6 = icmp(ip(LAN6), ip(WAN6), 128, 0, [0, 7, 0, 1], &[5; 3000]);
    let packets = [
        (long_syn, 24),
        (ping4, 8),
        (ping6, 1480),
        (init(LAN, WAN, 400), 24),
        (init(LAN6, WAN6, 400), 24),
        (Packet::new(ip(LAN), ip(WAN), 47, [&[0, 0, 8, 0][..], &[0; 100]].concat()), 48),
        (Packet::new(ip(LAN), ip(WAN), 50, [&[0, 0, 1, 0, 0, 0, 0, 1][..], &[6; 100]].concat()), 48),
        (Packet::new(ip(LAN), ip(WAN), 89, vec![1; 100]), 8),
    ];
    let mut scene = lan_out();
    for (number, (packet, first)) in (1u16..).zip(packets) {
        opens(&mut scene, &cut(&packet, number, &[first]), number.into());
    }
    scene.plays();
}

#[test]
fn a_segment_in_fragments_is_tracked_as_one() {
    let (mut scene, mut web) = established();
    let data = web.client_says(&[3; 2000]);
    pass(&mut scene, Port::Lan, &cut(&data, 1, &[1480]), Reason::Session, 1);
    // All of it may be acknowledged, and what follows goes on behind it.
    scene.wan(web.server(ACK)).follows(1);
    scene.lan(web.client_says(b"more")).follows(1);
    let far = web
        .from_server(&Segment::new(ACK, web.next[1].wrapping_add(90_000_000), web.next[0]).data(&[1; 200]));
    for fragment in cut(&far, 2, &[80]) {
        scene.wan(fragment).drops(Reason::TcpOutOfWindow).of(1);
    }
    scene.plays();
}

#[test]
fn an_echo_of_either_family_passes_both_ways_in_fragments() {
    for (lan, wan, echo, reply) in [(LAN, WAN, 8, 0), (LAN6, WAN6, 128, 129)] {
        let mut scene = lan_out();
        let sent = icmp(ip(lan), ip(wan), echo, 0, [0, 7, 0, 1], &[5; 8000]);
        let back = icmp(ip(wan), ip(lan), reply, 0, [0, 7, 0, 1], &[5; 8000]);
        opens(&mut scene, &cut_every(&sent, 1, 1448), 1);
        pass(&mut scene, Port::Wan, &cut_every(&back, 1, 1448), Reason::Session, 1);
        let unasked = icmp(ip(wan), ip(lan), reply, 0, [0, 8, 0, 1], &[5; 2000]);
        drop_all(&mut scene, Port::Wan, &cut_every(&unasked, 2, 1448), Reason::IcmpNoSession);
        scene.plays();
    }
}

/// RFC 1858 section 3: whoever hides the ports behind the first fragment hides nothing.
#[test]
fn rfc1858_a_tiny_first_fragment_drops_its_datagram() {
    tiny().plays();
}

fn tiny() -> Scene {
    let mut scene = lan_out();
    let hidden = [
        (Segment::new(SYN, 1, 0).data(&[1; 100]).between(at(LAN, 40_000), at(WAN, 443)), 16),
        (
            Segment::new(SYN, 1, 0).options(&[1; 12]).data(&[1; 100]).between(at(LAN, 40_000), at(WAN, 443)),
            24,
        ),
        (init(LAN, WAN, 100), 8),
    ];
    for (number, (packet, first)) in (0u16..).zip(&hidden) {
        let fragments = cut(packet, number, &[*first, 64]);
        drop_all(&mut scene, Port::Lan, &fragments, Reason::FragmentTiny);
        let backwards: Vec<_> = cut(packet, number + 100, &[*first, 64]).into_iter().rev().collect();
        drop_all(&mut scene, Port::Lan, &backwards, Reason::FragmentTiny);
    }
    scene
}

/// RFC 3128 section 4: nor who goes on within the header.
#[test]
fn rfc3128_a_fragment_within_the_tcp_header_drops_its_datagram() {
    let mut scene = lan_out();
    let syn = Segment::new(SYN, 1, 0).data(&[1; 100]).between(at(LAN, 40_000), at(WAN, 443));
    let [first, ..] = &cut(&syn, 7, &[24])[..] else { unreachable!() };
    let mut within = syn.clone();
    within.payload = vec![0; 112];
    drop_all(&mut scene, Port::Lan, &[first.clone(), within.fragment(7, 8, false)], Reason::FragmentTiny);
    scene.plays();
}

/// RFC 7112 section 5: a first fragment of IPv6 holds the whole chain of headers.
#[test]
fn rfc7112_a_first_fragment_holds_all_headers() {
    let mut scene = lan_out();
    let options = [0, 1, 4, 0, 0, 0, 0];
    let whole = question(LAN6, WAN6, 300);
    let piece = |from: usize, until: usize| {
        let mut piece = whole.clone();
        piece.payload = whole.payload[from..until].to_vec();
        piece
    };
    let with_header =
        [piece(0, 96).fragment(1, 0, true).extension(60, &options), piece(96, 308).fragment(1, 104, false)];
    opens(&mut scene, &with_header, 1);
    let without =
        [piece(0, 0).fragment(2, 0, true).extension(60, &options), piece(0, 308).fragment(2, 8, false)];
    drop_all(&mut scene, Port::Lan, &without, Reason::FragmentTiny);
    scene.plays();
}

/// RFC 5722, RFC 8200 section 4.5: an overlap, and all of the datagram is dropped, what came and what comes.
#[test]
fn rfc5722_an_overlap_drops_the_whole_datagram() {
    for (lan, wan) in BOTH {
        overlap(lan, wan).plays();
    }
}

fn overlap(lan: &str, wan: &str) -> Scene {
    let mut scene = lan_out();
    let whole = question(lan, wan, 992);
    let piece = |number: u16, from: usize, until: usize| {
        let mut piece = whole.clone();
        piece.payload = whole.payload[from..until].to_vec();
        piece.fragment(number, u16::try_from(from).unwrap(), until < 1000)
    };
    // Over the end of one, over the beginning, within, around, and over two.
    for (number, (from, until)) in (0u16..).zip([(320, 480), (520, 600), (408, 440), (320, 640), (240, 720)])
    {
        let fragments = [
            piece(number, 0, 200),
            piece(number, 400, 480),
            piece(number, 560, 640),
            piece(number, from, until),
            piece(number, 200, 400),
            piece(number, 480, 560),
            piece(number, 640, 1000),
        ];
        drop_all(&mut scene, Port::Lan, &fragments, Reason::FragmentOverlap);
    }
    // Remembered for as long as the rest may take, and not longer.
    scene.at_ms(TIMEOUT_MS - 1).lan(piece(0, 0, 200)).drops(Reason::FragmentOverlap);
    scene.after_ms(1);
    opens(&mut scene, &cut(&whole, 0, &[200, 400]), 1);
    scene
}

/// RFC 8200 section 4.5: an exact duplicate may be dropped alone; what only looks like one may not.
#[test]
fn rfc8200_4_5_a_duplicate_is_dropped_and_the_datagram_lives() {
    for (lan, wan) in BOTH {
        duplicate(lan, wan).plays();
    }
}

fn duplicate(lan: &str, wan: &str) -> Scene {
    let mut scene = lan_out();
    let fragments = cut(&question(lan, wan, 992), 1, &[480]);
    scene.lan(fragments[1].clone()).opens(1, "lan-out");
    scene.lan(fragments[1].clone()).drops(Reason::FragmentDuplicate);
    scene.lan(fragments[0].clone()).opens(1, "lan-out");
    scene.leave_with_it([0]);
    let mut other = cut(&question(lan, wan, 992), 2, &[480]);
    scene.lan(other[1].clone()).drops(Reason::FragmentOverlap);
    other[1].payload[100] ^= 1;
    scene.lan(other[1].clone()).drops(Reason::FragmentOverlap);
    scene.lan(other[0].clone()).drops(Reason::FragmentOverlap);
    scene
}

/// RFC 791 section 3.2: a datagram has one end.
#[test]
fn rfc791_two_ends_or_data_behind_the_end_drop_the_whole_datagram() {
    two_ends().plays();
}

fn two_ends() -> Scene {
    let mut scene = lan_out();
    let piece = |number: u16, offset: u16, len: usize, more: bool| {
        Packet::new(ip(LAN), ip(WAN), 17, vec![0; len]).fragment(number, offset, more)
    };
    let sets = [
        [piece(1, 800, 100, false), piece(1, 1600, 100, false)],
        [piece(2, 1600, 100, false), piece(2, 800, 100, false)],
        [piece(3, 800, 100, false), piece(3, 1600, 104, true)],
        [piece(4, 1600, 104, true), piece(4, 800, 100, false)],
        [piece(5, 800, 104, false), piece(5, 800, 104, true)],
    ];
    for fragments in &sets {
        drop_all(&mut scene, Port::Lan, fragments, Reason::FragmentEndConflict);
    }
    scene
}

#[test]
fn what_is_not_whole_in_time_is_dropped() {
    incomplete().plays();
}

fn incomplete() -> Scene {
    let mut scene = Scene::new(&format!("{LAN_OUT}timeouts: {{fragments: 5s}}\n"));
    let fragments = cut(&question(LAN, WAN, 3000), 7, &[1000, 2000]);
    scene.lan(fragments[0].clone()).drops(Reason::FragmentIncomplete);
    // Later ones do not prolong it.
    scene.at_ms(4_999).lan(fragments[1].clone()).drops(Reason::FragmentIncomplete);
    // Too late by nothing; it waits for another first one, in vain.
    scene.at_ms(5_000).lan(fragments[2].clone()).drops(Reason::FragmentIncomplete);
    scene.at_ms(20_000);
    opens(&mut scene, &fragments, 1);
    scene
}

#[test]
fn what_is_held_when_the_capture_ends_is_dropped() {
    let mut scene = lan_out();
    scene.lan(question(LAN, WAN, 1)).opens(1, "lan-out");
    drop_all(
        &mut scene,
        Port::Lan,
        &cut(&question(LAN, WAN, 3000), 7, &[1000, 2000])[..2],
        Reason::FragmentIncomplete,
    );
    scene.lan(question(LAN, WAN, 1)).follows(1);
    scene.plays();
}

/// RFC 6946: an atomic fragment has nothing to do with others of its name.
#[test]
fn rfc6946_an_atomic_fragment_never_meets_others() {
    let mut scene = lan_out();
    let fragments = cut(&question(LAN6, WAN6, 992), 7, &[480]);
    scene.lan(fragments[0].clone()).follows(1);
    scene.lan(question(LAN6, WAN6, 8).fragment(7, 0, false)).opens(1, "lan-out");
    scene.lan(fragments[1].clone()).follows(1);
    scene.leave_with_it([0]);
    scene.plays();
}

/// RFC 6980 section 5.
#[test]
fn rfc6980_neighbour_discovery_in_fragments_is_dropped() {
    neighbours().plays();
}

fn neighbours() -> Scene {
    let mut scene = lan_out();
    let ask = icmp(ip(LAN6), ip("ff02::1:ff00:53"), 135, 0, [0; 4], &[0; 200]).hop_limit(255);
    drop_all(&mut scene, Port::Lan, &cut(&ask, 1, &[80]), Reason::NeighbourFragmented);
    scene.lan(ask.clone().fragment(2, 0, false)).drops(Reason::NeighbourFragmented);
    scene.lan(ask).passes(Reason::Neighbour);
    scene
}

/// RFC 792: an error quotes a first fragment, and finds its session.
#[test]
fn rfc792_an_error_about_a_fragment_passes_with_its_session() {
    for (lan, wan, router, kind) in [(LAN, WAN, "198.51.100.1", 11), (LAN6, WAN6, "2001:db8:9::1", 3)] {
        let mut scene = lan_out();
        let fragments = cut(&question(lan, wan, 2000), 7, &[1000]);
        opens(&mut scene, &fragments, 1);
        let quote = |at: usize| {
            let quote = fragments[at].ip();
            icmp(ip(router), ip(lan), kind, 0, [0; 4], &quote[..100])
        };
        scene.wan(quote(0)).passes(Reason::Related).of(1);
        scene.wan(quote(1)).drops(Reason::IcmpError);
        // Reassembly timed out over there: such an error comes in fragments if its quote is long.
        let long = icmp(ip(router), ip(lan), kind, 1, [0; 4], &fragments[0].ip());
        pass(&mut scene, Port::Wan, &cut(&long, 9, &[480]), Reason::Related, 1);
        scene.plays();
    }
}

#[test]
fn a_rejected_datagram_is_answered_once() {
    for (lan, wan) in BOTH {
        let mut scene = Scene::new(
            "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules: [{name: no, from: any, to: any, action: reject}]\n",
        );
        let fragments = cut(&answer(lan, wan, 2000), 7, &[1000]);
        for fragment in &fragments {
            scene.wan(fragment.clone()).drops(Reason::RuleReject).by("no");
        }
        scene.answers(Port::Wan, Reason::SendUnreachable);
        let own = scene.plays().own;
        let quote = fragments[0].ip();
        // RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
        let quote = &quote[..quote.len().min(if lan == LAN { 548 } else { 1232 })];
        assert!(own[0].1.ends_with(quote), "it quotes the first fragment as it came, and no more");
    }
}

#[test]
fn the_rules_see_the_ports_of_the_whole() {
    let mut scene = Scene::new(
        "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules:\n  - {name: no-dns, from: lan, to: wan, service: udp/53, action: drop}\n  - {name: lan-out, from: lan, to: wan, action: allow}\n",
    );
    for (lan, wan) in BOTH {
        for fragment in cut(&question(lan, wan, 2000), 7, &[1000]) {
            scene.lan(fragment).drops(Reason::RuleDrop).by("no-dns");
        }
    }
    opens(&mut scene, &cut(&udp(at(LAN, 1), at(WAN, 54), &[0; 2000]), 8, &[1000]), 1);
    // From outside nothing is let in by its later fragments.
    drop_all(&mut scene, Port::Wan, &cut(&answer(LAN, WAN, 2000), 9, &[1000]), Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn a_spoofed_fragment_is_dropped_alone() {
    let mut scene = Scene::new(
        "version: 1\nzones: {lan: {port: lan, networks: [192.0.2.0/24]}, wan: {port: wan}}\nrules: [{name: lan-out, from: lan, to: wan, action: allow}]\nprotections: {bogons: drop}\n",
    );
    let fragments = cut(&question(LAN, WAN, 2000), 7, &[1000]);
    let foreign = |source: &str| cut(&udp(at(source, 5000), at(WAN, 53), &[0; 2000]), 7, &[1000]);
    scene.lan(fragments[0].clone()).opens(1, "lan-out");
    drop_all(&mut scene, Port::Lan, &foreign("10.0.0.1"), Reason::Spoofed);
    drop_all(&mut scene, Port::Lan, &foreign("127.0.0.1"), Reason::Bogon);
    drop_all(&mut scene, Port::Lan, &foreign(WAN), Reason::Land);
    scene.lan(fragments[1].clone()).opens(1, "lan-out");
    scene.leave_with_it([0]);
    scene.plays();
}

#[test]
fn a_datagram_is_judged_by_the_policy_in_force_when_it_is_whole() {
    let policy = |action: &str, more: &str| {
        format!(
            "version: 1\nzones: {{lan: {{port: lan{more}}}, wan: {{port: wan}}}}\nrules: [{{name: lan-out, from: lan, to: wan, action: {action}}}]\n"
        )
    };
    let fragments = cut(&question(LAN, WAN, 2000), 7, &[1000]);
    let mut scene = Scene::new(&policy("drop", ""));
    scene.lan(fragments[0].clone()).opens(1, "lan-out");
    scene.at_ms(1).deploys(&policy("allow", ""));
    scene.lan(fragments[1].clone()).opens(1, "lan-out");
    scene.leave_with_it([0]);
    let again = cut(&udp(at(LAN, 6000), at(WAN, 53), &[0; 2000]), 8, &[1000]);
    scene.lan(again[0].clone()).drops(Reason::FragmentIncomplete);
    scene.at_ms(2).deploys(&policy("allow", ", networks: [192.0.2.128/25]"));
    scene.lan(again[1].clone()).drops(Reason::Spoofed);
    scene.plays();
}

#[test]
fn a_policy_that_drops_fragments_drops_those_that_wait() {
    let mut scene = lan_out();
    drop_all(&mut scene, Port::Lan, &cut(&question(LAN, WAN, 3000), 7, &[1000, 2000])[..2], Reason::Fragment);
    scene.at_ms(1).deploys(&format!("{LAN_OUT}inspection: {{fragments: drop}}\n"));
    scene.lan(question(LAN, WAN, 1)).opens(1, "lan-out");
    drop_all(&mut scene, Port::Lan, &cut(&question(LAN, WAN, 3000), 7, &[1000, 2000]), Reason::Fragment);
    scene.plays();
}

/// RFC 768, RFC 9293, RFC 792, RFC 4443: a checksum is of the whole.
#[test]
fn a_wrong_checksum_of_the_whole_drops_it() {
    checksums().plays();
}

fn checksums() -> Scene {
    let mut scene = lan_out();
    let segment = |lan, wan| Segment::new(SYN, 1, 0).data(&[1; 900]).between(at(lan, 40_000), at(wan, 443));
    let packets = [
        (segment(LAN, WAN), Reason::TcpBadChecksum),
        (segment(LAN6, WAN6), Reason::TcpBadChecksum),
        (question(LAN, WAN, 900), Reason::UdpBadChecksum),
        (question(LAN6, WAN6, 901), Reason::UdpBadChecksum),
        (icmp(ip(LAN), ip(WAN), 8, 0, [0; 4], &[0; 900]), Reason::IcmpBadChecksum),
        (icmp(ip(LAN6), ip(WAN6), 128, 0, [0; 4], &[0; 901]), Reason::IcmpBadChecksum),
        (init(LAN, WAN, 900), Reason::SctpBadChecksum),
        (init(LAN6, WAN6, 900), Reason::SctpBadChecksum),
    ];
    for (number, (mut packet, reason)) in (0u16..).zip(packets) {
        packet.payload[700] ^= 0x10;
        drop_all(&mut scene, Port::Lan, &cut(&packet, number, &[80, 480]), reason);
    }
    scene
}

/// What a capture does not hold cannot be summed up.
#[test]
fn a_capture_of_heads_is_judged_without_checksums() {
    let mut scene = lan_out();
    let mut packet = question(LAN, WAN, 2000);
    packet.payload[1500] ^= 1;
    for fragment in cut(&packet, 7, &[1000]) {
        let frame = fragment.frame();
        scene.cut(Port::Lan, &frame[..64], frame.len()).opens(1, "lan-out");
    }
    scene.leave_with_it([0]);
    scene.plays();
}

#[test]
fn a_length_that_the_whole_does_not_have_is_a_fault_of_the_whole() {
    let mut scene = lan_out();
    let mut packet = question(LAN, WAN, 900);
    packet.payload[4..6].copy_from_slice(&5000u16.to_be_bytes());
    drop_all(&mut scene, Port::Lan, &cut(&packet, 7, &[480]), Reason::UdpBadLength);
    scene.plays();
}

/// The oldest of a source make room for its own, and nobody else notices.
#[test]
fn a_flood_of_first_fragments_evicts_its_own() {
    flood().plays();
}

fn flood() -> Scene {
    let mut scene = lan_out();
    let own = cut(&question(LAN, WAN, 2000), 7, &[1000]);
    scene.lan(own[0].clone()).opens(1, "lan-out");
    let first =
        |number: u16| cut(&udp(at("192.0.2.99", 1), at(WAN, 2), &[0; 400]), number, &[80]).swap_remove(0);
    for number in 0..300 {
        let reason = if number < 300 - 64 { Reason::FragmentEvicted } else { Reason::FragmentIncomplete };
        scene.lan(first(number)).drops(reason);
    }
    scene.lan(own[1].clone()).opens(1, "lan-out");
    scene.leave_with_it([0]);
    scene
}

fn too_many() -> Scene {
    let mut scene = lan_out();
    for at in 0..=128u16 {
        let piece = Packet::new(ip(LAN), ip(WAN), 17, [0; 8]).fragment(7, 80 + 8 * at, true);
        scene.lan(piece).drops(Reason::FragmentTooMany);
    }
    scene
}

#[test]
fn more_fragments_than_anybody_sends_are_dropped() {
    too_many().plays();
}

/// Scenes in which every reason of fragments is given.
pub(crate) fn vocabulary() -> Vec<Scene> {
    vec![
        tiny(),
        overlap(LAN, WAN),
        duplicate(LAN, WAN),
        two_ends(),
        incomplete(),
        neighbours(),
        checksums(),
        flood(),
        too_many(),
    ]
}
