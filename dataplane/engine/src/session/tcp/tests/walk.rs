//! The walk: every state, either side, every byte of flags, every place in or out of the windows, against a table that
//! was written from the RFCs and that docs/tcp.md shows.

use super::*;
use crate::packet;

/// Segments by the flags that count for their kind; PSH, ECE and CWR never do, URG does not where it may stand.
const KINDS: [(&str, u8, u32); 7] = [
    ("SYN", SYN, 0),
    ("SYN/ACK", SYN | ACK, 0),
    ("RST", RST, 0),
    ("RST/ACK", RST | ACK, 0),
    ("ACK", ACK, 0),
    ("data", ACK, 10),
    ("FIN/ACK", FIN | ACK, 0),
];

/// A row: what becomes of each kind of segment of the opener, or of the other side. A cell has a letter for each place:
/// the number is the next one, is 5 above it (in the window), is 50,000 above it (outside); for each of them the
/// acknowledgement is right, or 5,000 too high. A: accepted, moves the session. p: passes, moves nothing. R: opens the
/// five-tuple anew. d: dropped.
type Row = (State, &'static str, [&'static str; 7], [State; 7]);

use State::{Closing, Established, HalfClosed, Reset, SynReceived, SynSent, TimeWait};

/// The state after an accepted segment with the next number and a right acknowledgement stands beside.
#[rustfmt::skip]
const TABLE: [Row; 14] = [
    (SynSent, "opener",
        ["AAAAAA", "dddddd", "AApppp", "AApppp", "dddddd", "dddddd", "dddddd"],
        [SynSent, SynSent, Reset, Reset, SynSent, SynSent, SynSent]),
    (SynSent, "other",
        ["AAAAAA", "ApApAp", "dddddd", "AdAdAd", "ApApAp", "dddddd", "dddddd"],
        [SynReceived, SynReceived, SynSent, Reset, SynSent, SynSent, SynSent]),
    (SynReceived, "opener",
        ["pppppp", "Appppp", "AApppp", "ApApAp", "AdAddd", "AdAddd", "AdAddd"],
        [SynReceived, Established, Reset, Reset, Established, Established, HalfClosed]),
    (SynReceived, "other",
        ["AApppp", "ApApAp", "AAppdd", "ApApAd", "AdAddd", "dddddd", "AdAddd"],
        [SynReceived, SynReceived, Reset, Reset, SynReceived, SynReceived, HalfClosed]),
    (Established, "opener",
        ["pppppp", "pddddd", "AAppdd", "Apppdd", "AdAddd", "AdAddd", "AdAddd"],
        [Established, Established, Reset, Reset, Established, Established, HalfClosed]),
    (Established, "other",
        ["pppppp", "pddddd", "AAppdd", "Apppdd", "AdAddd", "AdAddd", "AdAddd"],
        [Established, Established, Reset, Reset, Established, Established, HalfClosed]),
    (HalfClosed, "opener",
        ["pppppp", "pddddd", "AAAAdd", "ApApdd", "Addddd", "dddddd", "dddddd"],
        [HalfClosed, HalfClosed, Reset, Reset, HalfClosed, HalfClosed, HalfClosed]),
    (HalfClosed, "other",
        ["pppppp", "pddddd", "AAAAdd", "ApApdd", "AdAddd", "AdAddd", "AdAddd"],
        [HalfClosed, HalfClosed, Reset, Reset, HalfClosed, HalfClosed, Closing]),
    (Closing, "opener",
        ["pppppp", "pddddd", "AAAAdd", "ApApdd", "Addddd", "dddddd", "dddddd"],
        [Closing, Closing, Reset, Reset, Closing, Closing, Closing]),
    (Closing, "other",
        ["pppppp", "pddddd", "AAAAdd", "ApApdd", "Addddd", "dddddd", "dddddd"],
        [Closing, Closing, Reset, Reset, Closing, Closing, Closing]),
    (TimeWait, "opener",
        ["ppRRRR", "pddddd", "ppppdd", "ppppdd", "Addddd", "dddddd", "dddddd"],
        [TimeWait; 7]),
    (TimeWait, "other",
        ["ppRRRR", "pddddd", "ppppdd", "ppppdd", "Addddd", "dddddd", "dddddd"],
        [TimeWait; 7]),
    (Reset, "opener",
        ["ppRRRR", "pddddd", "ppppdd", "ppppdd", "pdpddd", "pdpddd", "pdpddd"],
        [Reset; 7]),
    (Reset, "other",
        ["ppRRRR", "pddddd", "ppppdd", "ppppdd", "pdpddd", "pdpddd", "pdpddd"],
        [Reset; 7]),
];

fn starter(state: State) -> Wire {
    match state {
        State::SynSent => Wire::syn_sent(),
        State::SynReceived => Wire::syn_received(),
        State::Established => Wire::established(),
        State::HalfClosed => Wire::half_closed(),
        State::Closing => Wire::closing(),
        State::TimeWait => Wire::time_wait(),
        _ => Wire::reset(),
    }
}

/// The next number of a side in a starter: the initial one for a SYN.
fn next(state: State, side: usize, is_syn: bool) -> u32 {
    let isn = [100, 500][side];
    let fins = match state {
        State::HalfClosed => [1, 0],
        State::Closing | State::TimeWait => [1, 1],
        _ => [0, 0],
    };
    if is_syn { isn } else { isn + 1 + fins[side] }
}

/// The kinds that a byte of flags may be; none where no session can send it (RFC 9293 section 3.10.7: a segment without
/// SYN, RST and ACK is dropped; FIN, PSH and URG mean nothing without ACK, but URG in a SYN is harmless; SYN, FIN and
/// RST exclude each other).
fn kinds(flags: u8) -> Vec<usize> {
    let counting = flags & !(PSH | tcp_flags::ECE | tcp_flags::CWR);
    let without_urgent = counting & !tcp_flags::URG;
    let may_be_urgent = matches!(without_urgent, SYN | ACK) || without_urgent == FIN | ACK;
    if counting != without_urgent && !may_be_urgent {
        return Vec::new();
    }
    (0..KINDS.len()).filter(|kind| KINDS[*kind].1 == without_urgent).collect()
}

#[test]
fn every_state_and_flag_is_walked() {
    let mut cells = 0;
    for flags in 0..=u8::MAX {
        let kinds = kinds(flags);
        let fault = packet::parse(&frame(flags), 60).fault;
        assert_eq!(fault == Some(Reason::TcpBadFlags), kinds.is_empty(), "flags {flags:#04x}");
        for (state, from, row, after) in TABLE {
            let side = usize::from(from == "other");
            for kind in &kinds {
                let (name, _, data_len) = KINDS[*kind];
                let is_syn = flags & SYN != 0;
                let sequence = next(state, side, is_syn);
                let acknowledgement = match next(state, 1 - side, false) {
                    // Nothing of the other side is known yet.
                    _ if state == State::SynSent && side == CLIENT => 0,
                    number => number,
                };
                let places = [(0, 0), (0, 5_000), (5, 0), (5, 5_000), (50_000, 0), (50_000, 5_000)];
                for ((above, too_high), wanted) in places.into_iter().zip(row[*kind].chars()) {
                    let mut wire = starter(state);
                    let before = wire.0;
                    let outcome =
                        wire.send(side, flags, sequence + above, acknowledgement + too_high, data_len);
                    let became = match outcome {
                        Outcome::Accept => 'A',
                        Outcome::Pass | Outcome::PassAttempt | Outcome::PassAnswer => 'p',
                        Outcome::Reopen => 'R',
                        Outcome::Drop(_) => 'd',
                        Outcome::Suspect => '?',
                    };
                    let place = format!("{state}, {from}: {name} {flags:#04x} +{above} ack +{too_high}");
                    assert_eq!(became, wanted, "{place}");
                    if (above, too_high, wanted) == (0, 0, 'A') {
                        assert_eq!(wire.state(), after[*kind], "{place}");
                    }
                    let is_still = wire.0 == before || state == State::Reset && wire.state() == state;
                    assert!(wanted == 'A' || is_still, "{place}: moved");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(
        cells,
        14 * 6 * 8 * (2 + 1 + 1 + 1 + 2 + 2 + 2),
        "each kind with PSH, ECE and CWR, and URG where it may"
    );
}

#[test]
fn the_document_shows_the_table() {
    let document = include_str!("../../../../../../docs/tcp.md");
    for (state, from, row, _) in TABLE {
        let cells: Vec<_> = row.iter().map(|cell| format!("`{cell}`")).collect();
        let line = format!("| {state} | {from} | {} |", cells.join(" | "));
        assert!(document.contains(&line), "docs/tcp.md lacks: {line}");
    }
}

/// A frame of a TCP segment with these flags and no data.
fn frame(flags: u8) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 10, 203, 0, 113, 53];
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut tcp = vec![0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    let sum = checksum(&[&ip[12..], &[0, 6, 0, 20], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip, &tcp].concat();
    frame.resize(60, 0);
    frame
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
