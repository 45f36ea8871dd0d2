//! An attacker who sees nothing: he knows the five-tuple, and invents the rest. What passes of his is what the windows
//! let pass by chance, and docs/tcp.md states it.

use super::endpoint::Dice;
use super::*;

const SPACE: f64 = 4_294_967_296.0;
const ATTEMPTS: u64 = 4_000_000;

/// An established session, idle, in which both sides offer a window of `raw << scale`.
fn session(raw: u16, scale: u8) -> [Peer; 2] {
    let with = |flags, sequence, acknowledgement| {
        let tcp = Tcp { sequence, acknowledgement, window: raw, flags, header_len: 20, data_len: 0 };
        Segment { tcp, options: SynOptions { scale: (flags & SYN != 0).then_some(scale), fast_open: false } }
    };
    let mut peers = open(CLIENT, &with(SYN, 1_000_000, 0));
    for (side, flags, sequence, acknowledgement) in [
        (SERVER, SYN | ACK, 4_000_000_000, 1_000_001),
        (CLIENT, ACK, 1_000_001, 4_000_000_001),
        (SERVER, ACK, 4_000_000_001, 1_000_001),
    ] {
        let outcome = track(&mut peers, side, CLIENT, &with(flags, sequence, acknowledgement), STRICT);
        assert_eq!(outcome, Outcome::Accept);
    }
    peers
}

/// How many of `ATTEMPTS` random segments pass, and how many move the session.
fn attack(peers: [Peer; 2], flags: u8, data_len: u32, dice: &mut Dice) -> (u64, u64) {
    let (mut passed, mut moved) = (0, 0);
    for _ in 0..ATTEMPTS {
        let numbers = dice.roll();
        let tcp = Tcp {
            sequence: numbers as u32,
            acknowledgement: (numbers >> 32) as u32,
            window: 1_000,
            flags,
            header_len: 20,
            data_len,
        };
        let mut copy = peers;
        let outcome =
            track(&mut copy, SERVER, CLIENT, &Segment { tcp, options: SynOptions::default() }, STRICT);
        passed += u64::from(!matches!(outcome, Outcome::Drop(_)));
        moved += u64::from(outcome == Outcome::Accept);
        assert!(outcome == Outcome::Accept || copy == peers, "{outcome:?} moves the session");
    }
    (passed, moved)
}

/// What is counted lies within six standard deviations of what is expected.
fn holds(what: &str, window: u32, counted: u64, share: f64) {
    let expected = share * ATTEMPTS as f64;
    let allowed = 6.0 * expected.sqrt() + 2.0;
    let is_off = (counted as f64 - expected).abs() > allowed;
    assert!(!is_off, "{what} with a window of {window}: {counted} of {ATTEMPTS}, {expected:.2} expected");
}

#[test]
fn blind_injection_has_the_odds_of_the_window() {
    let mut dice = Dice(2026);
    for (raw, scale) in [(8_192, 0), (65_535, 0), (65_535, 4), (65_535, 8)] {
        let peers = session(raw, scale);
        let window = u32::from(raw) << scale;
        // Of each number, how many of all there are will do.
        let acknowledgement = f64::from((2 * window).max(66_000) + 2) / SPACE;
        let old = f64::from(1 << 30) / SPACE;
        let inside = f64::from(2 * window) / SPACE;

        let (passed, moved) = attack(peers, ACK, 1_000, &mut dice);
        holds("data", window, passed, (old + f64::from(window + 1_000) / SPACE) * acknowledgement);
        holds("data that counts", window, moved, inside * acknowledgement);
        let (passed, moved) = attack(peers, RST, 0, &mut dice);
        holds("RST", window, passed, f64::from(window + 1) / SPACE);
        holds("RST that counts", window, moved, 1.0 / SPACE);
        let (passed, moved) = attack(peers, RST | ACK, 0, &mut dice);
        holds("RST/ACK", window, passed, f64::from(window + 1) / SPACE);
        holds("RST/ACK that counts", window, moved, acknowledgement / SPACE);
        let (passed, moved) = attack(peers, SYN, 0, &mut dice);
        assert_eq!(
            (passed, moved),
            (ATTEMPTS, 0),
            "a SYN is for its receiver to challenge, whatever its numbers"
        );
        let (passed, moved) = attack(peers, SYN | ACK, 0, &mut dice);
        holds("SYN/ACK", window, passed, old * acknowledgement);
        assert_eq!(moved, 0, "SYN/ACK");
    }
}

/// One in so many, in three digits.
fn one_in(share: f64) -> String {
    let times = 1.0 / share;
    let power = times.log10().floor() as i32;
    let digits = (times / 10f64.powi(power - 2)).round();
    match power {
        0..=2 => format!("one in {times:.0}"),
        3..=5 => {
            let times = (digits * 10f64.powi(power - 2)) as u64;
            format!("one in {},{:03}", times / 1000, times % 1000)
        }
        _ => format!("one in {:.2} · 10^{power}", digits / 100.0),
    }
}

/// The figures are those of the shares that the tests here count.
#[test]
fn the_document_states_the_odds() {
    let document = include_str!("../../../../../../docs/tcp.md");
    let states = |what: &str, shares: &[f64]| {
        let line = document.lines().find(|line| line.starts_with(what)).expect("the document has it");
        let odds: Vec<_> = shares.iter().map(|share| one_in(*share)).collect();
        let mut rest = line;
        for odds in &odds {
            let (_, after) = rest.split_once(odds.as_str()).unwrap_or_else(|| panic!("{odds:?}: {line}"));
            assert!(!after.starts_with(|next: char| next.is_ascii_digit()), "{odds}: {line}");
            rest = after;
        }
    };
    let of = |window: f64| {
        let acknowledgement = (2.0 * window).max(66_000.0) / SPACE;
        let old = f64::from(1 << 30) / SPACE;
        let data = [(old + window / SPACE) * acknowledgement, 2.0 * window / SPACE * acknowledgement];
        (data, acknowledgement, old)
    };
    let window = 65_535.0;
    let (data, acknowledgement, old) = of(window);
    states("| data |", &data);
    states("| RST |", &[window / SPACE, 1.0 / SPACE]);
    states("| RST/ACK |", &[window / SPACE, acknowledgement / SPACE]);
    states("| SYN/ACK |", &[old * acknowledgement]);
    states("With a window of 16 MiB", &of(window * 256.0).0);
}

/// The two numbers of data are judged apart, so each share can be counted with the other number right.
#[test]
fn each_number_alone_has_the_odds_of_its_window() {
    let mut dice = Dice(7);
    let peers = session(65_535, 8);
    let window = 65_535u32 << 8;
    let (mut by_sequence, mut by_acknowledgement) = (0, 0);
    for _ in 0..ATTEMPTS {
        let (right, any) = ((4_000_000_001, 1_000_001), dice.roll() as u32);
        for (sequence, acknowledgement, count) in
            [(any, right.1, &mut by_sequence), (right.0, any, &mut by_acknowledgement)]
        {
            let tcp =
                Tcp { sequence, acknowledgement, window: 1_000, flags: ACK, header_len: 20, data_len: 1_000 };
            let mut copy = peers;
            let segment = Segment { tcp, options: SynOptions::default() };
            *count += u64::from(track(&mut copy, SERVER, CLIENT, &segment, STRICT) == Outcome::Accept);
        }
    }
    holds("sequence", window, by_sequence, f64::from(2 * window + 1_000) / SPACE);
    holds("acknowledgement", window, by_acknowledgement, f64::from(2 * window + 2) / SPACE);
}

/// In a handshake an outsider can do no more: nothing that lacks the right acknowledgement moves the session, but a SYN
/// (simultaneous open), and that one gives way to the true answer.
#[test]
fn a_handshake_survives_what_is_invented() {
    let mut dice = Dice(1);
    for _ in 0..200_000 {
        let mut wire = Wire::syn_sent();
        for _ in 0..4 {
            let flags = [SYN, SYN | ACK, RST, RST | ACK, ACK, ACK | PSH, FIN | ACK][dice.below(7) as usize];
            let numbers = dice.roll();
            wire.send(SERVER, flags, numbers as u32, (numbers >> 32) as u32, dice.below(3) as u32 * 700);
        }
        assert!(matches!(wire.state(), State::SynSent | State::SynReceived), "{}", wire.state());
        assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::Accept);
        assert_eq!(wire.send(CLIENT, ACK, 101, 501, 0), Outcome::Accept);
        assert_eq!(wire.send(SERVER, ACK, 501, 101, 100), Outcome::Accept);
        assert_eq!(wire.state(), State::Established);
    }
}
