//! The signature of a hijacked session: counted always, and with `protections.hijack: end` the end of it.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, Segment};

use super::*;

fn under(mode: &str) -> (Scene, Tcp) {
    let mut scene = Scene::new(&format!("{LAN_OUT}protections: {{hijack: {mode}}}\n"));
    let mut web = web();
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client_says(b"question")).follows(1);
    scene.wan(web.server_says(b"an answer")).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    (scene, web)
}

/// The server acknowledges so many bytes that the client never sent.
fn unsent(web: &Tcp, bytes: u32) -> sekisho_tests::frames::Packet {
    web.from_server(&Segment::new(ACK, web.next[1], web.next[0].wrapping_add(bytes)))
}

/// What the client says that knows nothing of the last bytes in its name.
fn left_behind(web: &Tcp, bytes: u32) -> sekisho_tests::frames::Packet {
    web.from_client(&Segment::new(ACK, web.next[0].wrapping_sub(bytes), web.next[1]))
}

fn is_over(scene: &mut Scene) {
    scene.ends_with_it(1, Reason::EndHijacked);
    scene.answers(Port::Lan, Reason::SendHijackReset).answers(Port::Wan, Reason::SendHijackReset);
}

fn signs(scene: &Scene, sign: &str) -> Option<u64> {
    scene.plays().summary.hijack.get(sign).copied()
}

#[test]
fn who_acknowledges_what_was_never_sent_three_times_is_ended() {
    let (mut scene, mut web) = under("end");
    for _ in 0..2 {
        scene.wan(unsent(&web, 5)).drops(Reason::TcpOutOfWindow).of(1);
        scene.lan(web.client_says(b"still here")).follows(1);
    }
    scene.wan(unsent(&web, 5)).drops(Reason::TcpHijacked).of(1);
    // The last that the client said is not acknowledged: the server may stand before it, or behind.
    scene.ends_with_it(1, Reason::EndHijacked);
    scene.answers(Port::Lan, Reason::SendHijackReset);
    scene.answers(Port::Wan, Reason::SendHijackReset).answers(Port::Wan, Reason::SendHijackReset);
    scene.lan(web.client_says(b"too late")).drops(Reason::TcpNoSession);
    assert_eq!(signs(&scene, "unsent-acknowledged"), Some(3));
}

/// A forger does not know the number that its sender sends next.
#[test]
fn guesses_end_nothing() {
    let (mut scene, mut web) = under("end");
    for guess in 1..50 {
        let number = web.next[1].wrapping_add(guess);
        let forged = web.from_server(&Segment::new(ACK, number, web.next[0].wrapping_add(5)));
        scene.wan(forged).drops(Reason::TcpOutOfWindow).of(1);
    }
    scene.lan(web.client_says(b"still here")).follows(1);
    assert_eq!(signs(&scene, "unsent-acknowledged"), None);
}

#[test]
fn far_apart_they_end_nothing() {
    let (mut scene, mut web) = under("end");
    for minute in 1..10 {
        scene.at_ms(minute * 60_000).wan(unsent(&web, 5)).drops(Reason::TcpOutOfWindow).of(1);
    }
    scene.lan(web.client_says(b"still here")).follows(1);
    assert_eq!(signs(&scene, "unsent-acknowledged"), Some(9));
}

/// Somebody on the client's side has said something in its name: neither end believes the other any more.
fn storm(scene: &mut Scene, web: &mut Tcp, rounds: u32, between_ms: u64) {
    for _ in 0..rounds {
        scene.wan(web.server(ACK)).follows(1);
        scene.lan(left_behind(web, 4)).follows(1);
        scene.after_ms(between_ms);
    }
}

#[test]
fn an_ack_storm_is_ended() {
    let (mut scene, mut web) = under("end");
    scene.lan(web.client_says(b"evil")).follows(1);
    storm(&mut scene, &mut web, 19, 20);
    scene.wan(web.server(ACK)).follows(1);
    scene.lan(left_behind(&web, 4)).drops(Reason::TcpHijacked).of(1);
    is_over(&mut scene);
    scene.wan(web.server(ACK)).drops(Reason::TcpNoSession);
    assert_eq!(signs(&scene, "ack-storm"), Some(1));
}

#[test]
fn a_storm_is_logged_or_counted_and_goes_on_where_the_policy_says_so() {
    for mode in ["log", "off"] {
        let (mut scene, mut web) = under(mode);
        scene.lan(web.client_says(b"evil")).follows(1);
        storm(&mut scene, &mut web, 30, 20);
        assert_eq!(signs(&scene, "ack-storm"), Some(1), "{mode}");
    }
}

/// Nor what a sound end may send: keepalives, and now and then an acknowledgement that was overtaken.
#[test]
fn slow_ones_and_keepalives_are_no_storm() {
    let (mut scene, mut web) = under("end");
    for _ in 0..100 {
        scene.lan(left_behind(&web, 1)).follows(1);
        scene.wan(web.server(ACK)).follows(1);
    }
    scene.lan(web.client_says(b"four")).follows(1);
    storm(&mut scene, &mut web, 60, 200);
    // With progress between them they are no storm either.
    for _ in 0..60 {
        scene.wan(web.server_says(b"progress")).follows(1);
        scene.lan(left_behind(&web, 4)).follows(1);
    }
    assert_eq!(signs(&scene, "ack-storm"), None);
}
