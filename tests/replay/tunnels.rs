//! Protocols without ports that carry others: GRE by its key, PPTP's by its calls, ESP and AH by the pair of their SPIs,
//! IP in IP by its addresses.

use sekisho_tests::frames::{Packet, icmp};

use super::*;

const GRE: u8 = 47;
const ESP: u8 = 50;
const AH: u8 = 51;

fn out(protocol: u8, payload: &[u8]) -> Packet {
    Packet::new(ip(LAN), ip(WAN), protocol, payload)
}

fn back(protocol: u8, payload: &[u8]) -> Packet {
    Packet::new(ip(WAN), ip(LAN), protocol, payload)
}

/// GRE that carries IPv4, with this key (RFC 2890).
fn keyed(key: u32) -> Vec<u8> {
    [&[0x20, 0, 8, 0][..], &key.to_be_bytes()].concat()
}

/// Enhanced GRE for a call of its receiver's (RFC 2637), with a sequence number.
fn call(number: u16) -> Vec<u8> {
    [&[0x30, 1, 0x88, 0x0b, 0, 4][..], &number.to_be_bytes(), &[0, 0, 0, 1], &[0xff, 3, 0xc0, 0x21]].concat()
}

fn esp(spi: u32) -> Vec<u8> {
    [&spi.to_be_bytes()[..], &[0, 0, 0, 1], &[7; 24]].concat()
}

fn ah(spi: u32) -> Vec<u8> {
    [&[59, 4, 0, 0][..], &spi.to_be_bytes(), &[0, 0, 0, 1], &[7; 12]].concat()
}

#[test]
fn rfc2890_gre_of_different_keys_is_different_sessions() {
    let mut scene = lan_out();
    scene.lan(out(GRE, &[0, 0, 8, 0])).opens(1, "lan-out");
    scene.lan(out(GRE, &keyed(0x0001_0002))).opens(2, "lan-out");
    scene.lan(out(GRE, &keyed(0x0002_0001))).opens(3, "lan-out");
    scene.wan(back(GRE, &keyed(0x0001_0002))).follows(2);
    scene.wan(back(GRE, &keyed(0x0002_0001))).follows(3);
    scene.wan(back(GRE, &[0, 0, 8, 0])).follows(1);
    scene.wan(back(GRE, &keyed(0x0003_0001))).drops(Reason::DefaultDrop);
    // With a checksum before the key, and a sequence number behind it.
    let full = [&[0xb0, 0, 8, 0, 0, 0, 0, 0][..], &[0, 1, 0, 2], &[0, 0, 0, 9]].concat();
    scene.wan(back(GRE, &full)).follows(2);
    scene.plays();
}

#[test]
fn rfc2637_pptp_has_a_call_for_each_direction() {
    let mut scene = lan_out();
    scene.lan(out(GRE, &call(100))).opens(1, "lan-out");
    scene.wan(back(GRE, &call(7))).follows(1);
    scene.lan(out(GRE, &call(100))).follows(1);
    scene.wan(back(GRE, &call(7))).follows(1);
    // A second call between the same hosts.
    scene.lan(out(GRE, &call(101))).opens(2, "lan-out");
    scene.wan(back(GRE, &call(8))).follows(2);
    scene.wan(back(GRE, &call(7))).follows(1);
    // It has nothing to do with GRE of a key that looks alike.
    scene.wan(back(GRE, &keyed(100))).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn enhanced_gre_without_a_key_is_malformed() {
    let mut scene = lan_out();
    scene.lan(out(GRE, &[0, 1, 0x88, 0x0b, 0, 0, 0, 0])).drops(Reason::GreMalformed);
    scene.lan(out(GRE, &[0xa0, 1, 0x88, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0])).drops(Reason::GreMalformed);
    scene.plays();
}

#[test]
fn one_number_both_ways_is_one_session() {
    for (protocol, payload) in [(GRE, call(1)), (ESP, esp(0x1000)), (AH, ah(0x1000))] {
        let mut scene = lan_out();
        scene.lan(out(protocol, &payload)).opens(1, "lan-out");
        scene.wan(back(protocol, &payload)).follows(1);
        // So another number is not its other direction; only the pair that lives vouches for it.
        let other = if protocol == GRE { call(2) } else { payload.iter().map(|byte| byte ^ 4).collect() };
        let other = if protocol == AH { ah(0x2000) } else { other };
        scene.wan(back(protocol, &other)).drops(Reason::DefaultDrop);
        scene.plays();
    }
}

#[test]
fn spis_are_paired_in_the_order_in_which_they_come() {
    for (protocol, of) in [(ESP, esp as fn(u32) -> Vec<u8>), (AH, ah as fn(u32) -> Vec<u8>)] {
        let mut scene = lan_out();
        scene.wan(back(protocol, &of(0xb1))).drops(Reason::DefaultDrop);
        scene.lan(out(protocol, &of(0xa1))).opens(1, "lan-out");
        scene.lan(out(protocol, &of(0xa2))).opens(2, "lan-out");
        scene.wan(back(protocol, &of(0xb1))).follows(1);
        scene.wan(back(protocol, &of(0xb2))).follows(2);
        scene.wan(back(protocol, &of(0xb1))).follows(1);
        scene.lan(out(protocol, &of(0xa2))).follows(2);
        scene.plays();
    }
}

#[test]
fn a_rekeying_is_a_new_pair_whoever_begins() {
    let mut scene = lan_out();
    scene.lan(out(ESP, &esp(0xa1))).opens(1, "lan-out");
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    // The side that may open uses its new SPI first.
    scene.lan(out(ESP, &esp(0xa2))).opens(2, "lan-out");
    scene.wan(back(ESP, &esp(0xb2))).follows(2);
    // The other one does: the pair that lives vouches for it.
    scene.wan(back(ESP, &esp(0xb3))).opens(3, "lan-out");
    scene.wan(back(ESP, &esp(0xb3))).follows(3);
    scene.lan(out(ESP, &esp(0xa3))).follows(3);
    scene.lan(out(ESP, &esp(0xa2))).follows(2);
    // Only within its own protocol and between its own hosts.
    scene.wan(back(AH, &ah(0xb3))).drops(Reason::DefaultDrop);
    scene.wan(Packet::new(ip("203.0.113.99"), ip(LAN), ESP, esp(0xb4))).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn a_pair_vouches_only_for_what_the_rules_still_allow() {
    let policy = |action| {
        format!(
            "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules: [{{name: r, from: lan, to: wan, service: esp, action: {action}}}]\n"
        )
    };
    let mut scene = Scene::new(&policy("allow"));
    scene.lan(out(ESP, &esp(0xa1))).opens(1, "r");
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    scene.at_ms(1).deploys(&policy("drop"));
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    scene.wan(back(ESP, &esp(0xb2))).drops(Reason::RuleDrop).by("r");
    scene.plays();
}

#[test]
fn unanswered_numbers_make_room_for_later_ones() {
    let mut scene = lan_out();
    scene.lan(out(ESP, &esp(0xa1))).opens(1, "lan-out");
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    // Four that a stranger made up in the peer's name; the fifth lets the first go.
    for (number, spi) in (2..).zip(0xc1..=0xc4) {
        scene.wan(back(ESP, &esp(spi))).opens(number, "lan-out");
    }
    scene.wan(back(ESP, &esp(0xc5))).opens(6, "lan-out");
    scene.ends_with_it(2, Reason::EndEvicted);
    scene.lan(out(ESP, &esp(0xa1))).follows(1);
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    scene.plays();
}

#[test]
fn a_pair_ends_when_it_is_idle_and_its_second_number_with_it() {
    let mut scene = lan_out();
    scene.lan(out(ESP, &esp(0xa1))).opens(1, "lan-out");
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    let end_ms = scene.last_ms() + 600_000;
    scene.ends(1, Reason::EndIdle, end_ms);
    tick(&mut scene, end_ms);
    scene.wan(back(ESP, &esp(0xb1))).drops(Reason::DefaultDrop);
    scene.lan(out(ESP, &esp(0xa2))).opens(2, "lan-out");
    scene.wan(back(ESP, &esp(0xb1))).follows(2);
    scene.plays();
}

#[test]
fn errors_find_either_direction_by_its_number() {
    let mut scene = lan_out();
    let error = |to: &str, packet: &Packet| {
        let quote = packet.ip();
        icmp(ip("198.51.100.1"), ip(to), 3, 4, [0, 0, 5, 0], &quote[..28])
    };
    scene.lan(out(ESP, &esp(0xa1))).opens(1, "lan-out");
    scene.wan(back(ESP, &esp(0xb1))).follows(1);
    scene.wan(error(LAN, &out(ESP, &esp(0xa1)))).passes(Reason::Related).of(1);
    scene.lan(error(WAN, &back(ESP, &esp(0xb1)))).passes(Reason::Related).of(1);
    scene.wan(error(LAN, &out(ESP, &esp(0xb2)))).drops(Reason::IcmpError);
    scene.lan(out(GRE, &keyed(5))).opens(2, "lan-out");
    scene.wan(error(LAN, &out(GRE, &keyed(5)))).passes(Reason::Related).of(2);
    scene.wan(error(LAN, &out(GRE, &keyed(6)))).drops(Reason::IcmpError);
    scene.lan(out(AH, &ah(0xa1))).opens(3, "lan-out");
    scene.wan(error(LAN, &out(AH, &ah(0xa1)))).passes(Reason::Related).of(3);
    scene.plays();
}

#[test]
fn ip_in_ip_is_by_its_addresses() {
    for protocol in [4, 41] {
        let mut scene = lan_out();
        scene.lan(out(protocol, &[0; 40])).opens(1, "lan-out");
        scene.wan(back(protocol, &[0; 40])).follows(1);
        let elsewhere = Packet::new(ip(WAN), ip("192.0.2.11"), protocol, [0; 40]);
        scene.wan(elsewhere).drops(Reason::DefaultDrop);
        scene.plays();
    }
}
