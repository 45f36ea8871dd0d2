//! UDP: unreplied, replied, stream; questions over one five-tuple; and ports that open nothing.

use sekisho_tests::frames::udp;

use super::*;

#[test]
fn dns_over_one_five_tuple_asked_many_times() {
    let mut scene = lan_out();
    let ask = |number: u8| udp(at(LAN, 5353), at(WAN, 53), &[number, 1]);
    let answer = |number: u8| udp(at(WAN, 53), at(LAN, 5353), &[number, 0x81]);
    scene.lan(ask(0)).opens(1, "lan-out");
    // A and AAAA at once, answered in the other order; then one question a minute, which keeps the session.
    scene.lan(ask(1)).follows(1);
    scene.wan(answer(1)).follows(1);
    scene.wan(answer(0)).follows(1);
    for number in 2..100 {
        scene.after_ms(60_000).lan(ask(number)).follows(1);
        scene.after_ms(30).wan(answer(number)).follows(1);
    }
    // Answered late or twice, it is still the session's.
    scene.wan(answer(99)).follows(1);
    let end_ms = scene.last_ms() + 300_000;
    scene.ends(1, Reason::EndIdle, end_ms);
    scene.at_ms(end_ms).wan(answer(99)).drops(Reason::SessionExpired).of(1);
    scene.lan(ask(100)).opens(2, "lan-out");
    scene.plays();
}

#[test]
fn a_well_known_source_port_opens_nothing() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let mut scene = lan_out();
        for port in [20, 53, 67, 80, 123, 443, 500] {
            scene.wan(udp(at(wan, port), at(lan, 5353), b"")).drops(Reason::DefaultDrop);
            scene.wan(udp(at(wan, port), at(lan, port), b"")).drops(Reason::DefaultDrop);
            let syn = frames::tcp(at(wan, port), at(lan, 40_000), frames::SYN, 1, 0);
            scene.wan(syn).drops(Reason::DefaultDrop);
            let ack = frames::tcp(at(wan, port), at(lan, 40_000), frames::ACK, 1, 1);
            scene.wan(ack).drops(Reason::TcpNoSession);
        }
        // Nor do they open a way for the other side's answer.
        scene.lan(udp(at(lan, 5353), at(wan, 53), b"")).opens(1, "lan-out");
        scene.plays();
    }
}

#[test]
fn another_resolver_does_not_answer_for_the_one_that_was_asked() {
    let mut scene = lan_out();
    scene.lan(udp(at(LAN, 5353), at(WAN, 53), b"?")).opens(1, "lan-out");
    scene.wan(udp(at("203.0.113.54", 53), at(LAN, 5353), b"!")).drops(Reason::DefaultDrop);
    scene.wan(udp(at(WAN, 53), at(LAN, 5354), b"!")).drops(Reason::DefaultDrop);
    scene.wan(udp(at(WAN, 53), at(LAN, 5353), b"!")).follows(1);
    scene.plays();
}

#[test]
fn a_question_without_an_answer_is_forgotten_sooner_than_one_with() {
    let mut scene = lan_out();
    scene.lan(udp(at(LAN, 1), at(WAN, 53), b"?")).opens(1, "lan-out");
    scene.lan(udp(at(LAN, 2), at(WAN, 53), b"?")).opens(2, "lan-out");
    scene.wan(udp(at(WAN, 53), at(LAN, 2), b"!")).follows(2);
    scene.ends(1, Reason::EndIdle, 30_000).ends(2, Reason::EndIdle, 120_001);
    tick(&mut scene, 120_001);
    scene.plays();
}
