use super::*;
use tcp_flags::{ACK, FIN, PSH, RST, SYN};

const STRICT: TcpWindowMode = TcpWindowMode::Strict;
const CLIENT: usize = 0;
const SERVER: usize = 1;

fn segment(flags: u8, sequence: u32, acknowledgement: u32, data_len: u32) -> Segment {
    let tcp = Tcp { sequence, acknowledgement, window: 10_000, flags, header_len: 20, data_len };
    Segment { tcp, options: SynOptions::default() }
}

/// A session brought to some point, spoken to in a few words.
struct Wire([Peer; 2]);

impl Wire {
    fn syn_sent() -> Self {
        Self(open(CLIENT, &segment(SYN, 100, 0, 0)))
    }

    fn syn_received() -> Self {
        let mut wire = Self::syn_sent();
        assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::Accept);
        wire
    }

    fn established() -> Self {
        let mut wire = Self::syn_received();
        assert_eq!(wire.send(CLIENT, ACK, 101, 501, 0), Outcome::Accept);
        wire
    }

    fn half_closed() -> Self {
        let mut wire = Self::established();
        assert_eq!(wire.send(CLIENT, FIN | ACK, 101, 501, 0), Outcome::Accept);
        wire
    }

    fn closing() -> Self {
        let mut wire = Self::half_closed();
        assert_eq!(wire.send(SERVER, FIN | ACK, 501, 101, 0), Outcome::Accept);
        wire
    }

    fn time_wait() -> Self {
        let mut wire = Self::closing();
        assert_eq!(wire.send(CLIENT, ACK, 102, 502, 0), Outcome::Accept);
        assert_eq!(wire.send(SERVER, ACK, 502, 102, 0), Outcome::Accept);
        wire
    }

    fn reset() -> Self {
        let mut wire = Self::established();
        assert_eq!(wire.send(CLIENT, RST, 101, 0, 0), Outcome::Accept);
        wire
    }

    fn send(
        &mut self,
        side: usize,
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
        data_len: u32,
    ) -> Outcome {
        track(&mut self.0, side, CLIENT, &segment(flags, sequence, acknowledgement, data_len), STRICT)
    }

    fn state(&self) -> State {
        state_of(&self.0)
    }
}

#[test]
fn starters_are_what_they_say() {
    assert_eq!(Wire::syn_sent().state(), State::SynSent);
    assert_eq!(Wire::syn_received().state(), State::SynReceived);
    assert_eq!(Wire::established().state(), State::Established);
    assert_eq!(Wire::half_closed().state(), State::HalfClosed);
    assert_eq!(Wire::closing().state(), State::Closing);
    assert_eq!(Wire::time_wait().state(), State::TimeWait);
    assert_eq!(Wire::reset().state(), State::Reset);
}

#[test]
fn handshake_keeps_its_order() {
    let mut wire = Wire::syn_sent();
    assert_eq!(
        wire.send(CLIENT, ACK, 101, 501, 0),
        Outcome::Drop(Reason::TcpHandshake),
        "ACK before the SYN/ACK"
    );
    assert_eq!(
        wire.send(CLIENT, ACK | PSH, 101, 501, 9),
        Outcome::Drop(Reason::TcpHandshake),
        "data before it"
    );
    assert_eq!(
        wire.send(SERVER, ACK | PSH, 500, 101, 9),
        Outcome::Drop(Reason::TcpHandshake),
        "data of a server"
    );
    assert_eq!(
        wire.send(CLIENT, FIN | ACK, 101, 501, 0),
        Outcome::Drop(Reason::TcpHandshake),
        "FIN before it"
    );
    assert_eq!(
        wire.send(CLIENT, SYN | ACK, 100, 501, 0),
        Outcome::Drop(Reason::TcpHandshake),
        "SYN/ACK of the opener"
    );
    assert_eq!(wire.state(), State::SynSent);
    let mut wire = Wire::syn_received();
    assert_eq!(
        wire.send(CLIENT, ACK, 101, 777, 0),
        Outcome::Drop(Reason::TcpHandshake),
        "acknowledges another SYN"
    );
    assert_eq!(
        wire.send(SERVER, ACK | PSH, 501, 101, 9),
        Outcome::Drop(Reason::TcpHandshake),
        "data before the ACK"
    );
    assert_eq!(wire.state(), State::SynReceived);
}

#[test]
fn syn_and_syn_ack_may_be_repeated() {
    let mut wire = Wire::syn_sent();
    assert_eq!(wire.send(CLIENT, SYN, 100, 0, 0), Outcome::Accept);
    let mut wire = Wire::syn_received();
    assert_eq!(wire.send(CLIENT, SYN, 100, 0, 0), Outcome::Pass);
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::Accept);
    let mut wire = Wire::established();
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::PassAnswer, "the ACK got lost behind us");
    assert_eq!(wire.send(CLIENT, ACK, 101, 501, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Established);
}

#[test]
fn stale_syn_ack_moves_nothing() {
    let mut wire = Wire::syn_sent();
    assert_eq!(wire.send(SERVER, SYN | ACK, 900, 55, 0), Outcome::Pass);
    assert_eq!(wire.state(), State::SynSent);
    assert_eq!(wire.send(CLIENT, RST, 55, 0, 0), Outcome::Pass, "the client refuses it");
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::Accept);
}

/// The answer tells which of two attempts lives.
#[test]
fn either_of_two_attempts_may_be_answered() {
    for answered in [100, 7_000] {
        let mut wire = Wire::syn_sent();
        assert_eq!(wire.send(CLIENT, SYN, 7_000, 0, 0), Outcome::Accept);
        assert_eq!(wire.send(SERVER, SYN | ACK, 500, answered + 2, 0), Outcome::Pass, "answers neither");
        assert_eq!(wire.send(SERVER, SYN | ACK, 500, answered + 1, 0), Outcome::Accept);
        assert_eq!(wire.send(CLIENT, ACK, answered + 1, 501, 0), Outcome::Accept);
        assert_eq!(wire.state(), State::Established);
        let mut wire = Wire::syn_sent();
        assert_eq!(wire.send(CLIENT, SYN, 7_000, 0, 0), Outcome::Accept);
        assert_eq!(wire.send(SERVER, RST | ACK, 0, answered + 1, 0), Outcome::Accept, "or refused");
        assert_eq!(wire.state(), State::SynSent, "the other one goes on");
        assert_eq!(wire.send(SERVER, RST | ACK, 0, answered + 1, 0), Outcome::Drop(Reason::TcpOutOfWindow));
        let other = 7_100 - answered;
        let mut refused = Wire(wire.0);
        assert_eq!(refused.send(SERVER, RST | ACK, 0, other + 1, 0), Outcome::Accept);
        assert_eq!(refused.state(), State::Reset);
        assert_eq!(wire.send(SERVER, SYN | ACK, 500, other + 1, 0), Outcome::Accept);
        assert_eq!(wire.send(CLIENT, ACK, other + 1, 501, 0), Outcome::Accept);
        assert_eq!(wire.state(), State::Established);
    }
}

/// A server that has forgotten its first SYN/ACK, or never kept it (SYN cookies), answers with another number.
#[test]
fn a_syn_ack_of_another_number_replaces_one_that_nobody_acknowledged() {
    let mut wire = Wire::syn_received();
    assert_eq!(wire.send(SERVER, SYN | ACK, 9_000, 101, 0), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, ACK, 101, 9_001, 0), Outcome::Accept);
    assert_eq!(wire.send(SERVER, ACK, 9_001, 101, 100), Outcome::Accept);
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::PassAnswer, "the first, late");
    assert_eq!(wire.state(), State::Established);
}

/// What a SYN carries may come with its second copy only: the first was lost before us, and overtaken.
#[test]
fn a_repeated_syn_may_carry_more() {
    let mut wire = Wire::syn_sent();
    let mut syn = segment(SYN, 100, 0, 50);
    syn.options.scale = Some(7);
    assert_eq!(track(&mut wire.0, CLIENT, CLIENT, &syn, STRICT), Outcome::Accept);
    let mut syn_ack = segment(SYN | ACK, 500, 151, 0);
    syn_ack.options.scale = Some(0);
    assert_eq!(track(&mut wire.0, SERVER, CLIENT, &syn_ack, STRICT), Outcome::Accept);
    assert_eq!(wire.send(SERVER, ACK, 501, 151, 1_000), Outcome::Accept, "a fast open");
    assert_eq!(wire.send(CLIENT, ACK, 151, 1_501, 0), Outcome::Accept);
    assert_eq!(wire.send(SERVER, ACK, 1_501 + 1_000_000, 151, 10), Outcome::Accept, "10,000 << 7");
}

/// Found by random conversations: the second copy of a SYN that begins anew came without the data of the first, and the
/// answer acknowledged it.
#[test]
fn an_attempt_keeps_the_most_of_its_copies() {
    let with_data = Attempt::of(&segment(SYN, 7_000, 0, 300)).unwrap();
    let without = Attempt::of(&segment(SYN, 7_000, 0, 0)).unwrap();
    assert_eq!(without.after(Some(with_data)), with_data);
    assert_eq!(with_data.after(Some(without)), with_data);
    assert_eq!(without.after(None), without);
    let other = Attempt::of(&segment(SYN, 9_000, 0, 0)).unwrap();
    assert_eq!(other.after(Some(with_data)), other, "another number, another attempt");
}

/// Found by random conversations: a SYN/ACK whose number lies below those of the session in whose midst it comes was taken
/// for the one that began it, and one that began it, late as the SYN before it, for the answer to another.
#[test]
fn an_answer_is_told_from_what_began_the_session() {
    let mut wire = Wire::time_wait();
    assert_eq!(wire.send(CLIENT, SYN, 100, 0, 0), Outcome::PassAttempt);
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::PassAnswer);
    let first = Attempt::of(&segment(SYN, 100, 0, 0)).unwrap();
    assert_eq!(restart(first, SERVER, &segment(SYN | ACK, 500, 101, 0), &wire.0, [60, 60]), None);
    let (syn, below) = (0u32.wrapping_sub(90_000), 0u32.wrapping_sub(70_000));
    assert_eq!(wire.send(CLIENT, SYN, syn, 0, 0), Outcome::PassAttempt);
    assert_eq!(wire.send(SERVER, SYN | ACK, below, syn + 1, 0), Outcome::Drop(Reason::TcpState));
    let answer = segment(SYN | ACK, below, 91, 0);
    let attempt = Attempt::of(&segment(SYN, 90, 0, 0)).unwrap();
    assert_eq!(wire.send(SERVER, SYN | ACK, below, 91, 0), Outcome::PassAnswer);
    let restarted = restart(attempt, SERVER, &answer, &wire.0, [60, 60]).expect("it is the answer");
    assert_eq!(state_of(&restarted), State::SynReceived);
}

/// The acknowledgement that was overtaken while the window was full.
#[test]
fn acknowledgements_may_be_overtaken_while_the_window_is_full() {
    let wide = |sequence, acknowledgement, data_len| {
        let mut segment = segment(ACK, sequence, acknowledgement, data_len);
        segment.tcp.window = u16::MAX;
        segment
    };
    let mut wire = Wire::established();
    track(&mut wire.0, CLIENT, CLIENT, &wide(101, 501, 0), STRICT);
    let mut say = |side, segment: Segment| track(&mut wire.0, side, CLIENT, &segment, STRICT);
    assert_eq!(say(SERVER, wide(501, 101, 65_000)), Outcome::Accept);
    assert_eq!(say(CLIENT, wide(101, 65_501, 0)), Outcome::Accept);
    assert_eq!(say(SERVER, wide(65_501, 101, 65_000)), Outcome::Accept);
    assert_eq!(say(CLIENT, wide(101, 60_000, 0)), Outcome::Accept, "overtaken by the one before");
    assert_eq!(
        say(CLIENT, wide(101, 130_501u32.wrapping_sub(131_072), 0)),
        Outcome::Drop(Reason::TcpOutOfWindow)
    );
}

#[test]
fn simultaneous_open() {
    let mut wire = Wire::syn_sent();
    assert_eq!(wire.send(SERVER, SYN, 500, 0, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::SynReceived);
    assert_eq!(wire.send(CLIENT, SYN | ACK, 100, 501, 0), Outcome::Accept);
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 101, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Established);
}

#[test]
fn split_handshake() {
    let mut wire = Wire::syn_sent();
    assert_eq!(wire.send(SERVER, ACK, 0, 101, 0), Outcome::Accept);
    assert_eq!(wire.send(SERVER, SYN, 500, 0, 0), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, SYN | ACK, 100, 501, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Established);
    assert_eq!(wire.send(SERVER, ACK, 501, 101, 100), Outcome::Accept);
}

/// RFC 7413: data in the SYN, and data of the server before the handshake is done.
#[test]
fn fast_open() {
    let mut wire = Wire(open(CLIENT, &segment(SYN, 100, 0, 50)));
    assert_eq!(wire.send(SERVER, SYN | ACK, 500, 151, 0), Outcome::Accept);
    assert_eq!(wire.send(SERVER, ACK, 501, 151, 1_000), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, ACK, 151, 1_501, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Established);
    let mut refused = Wire(open(CLIENT, &segment(SYN, 100, 0, 50)));
    assert_eq!(
        refused.send(SERVER, SYN | ACK, 500, 101, 0),
        Outcome::Accept,
        "the SYN alone is acknowledged"
    );
    assert_eq!(refused.send(CLIENT, ACK, 101, 501, 50), Outcome::Accept, "and the data is sent again");
}

/// RFC 5961 section 4: a SYN in an established session disturbs nothing, and the challenge ACK passes.
#[test]
fn syn_in_an_established_session_is_left_to_its_receiver() {
    let mut wire = Wire::established();
    assert_eq!(wire.send(CLIENT, SYN, 40_000, 0, 0), Outcome::PassAttempt);
    assert_eq!(wire.send(SERVER, SYN, 40_000, 0, 0), Outcome::Pass);
    assert_eq!(wire.send(SERVER, ACK, 501, 101, 0), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, RST, 101, 0, 0), Outcome::Accept, "a client that was rebooted answers so");
    assert_eq!(wire.state(), State::Reset);
    assert_eq!(wire.send(CLIENT, SYN, 40_000, 0, 0), Outcome::Reopen);
}

/// RFC 5961 section 3: a reset counts only at exactly the number that is expected.
#[test]
fn inexact_reset_passes_and_counts_for_nothing() {
    let mut wire = Wire::established();
    assert_eq!(wire.send(SERVER, RST, 502, 0, 0), Outcome::Pass, "inside the window");
    assert_eq!(wire.state(), State::Established);
    assert_eq!(wire.send(CLIENT, ACK, 101, 501, 0), Outcome::Accept, "the challenge ACK");
    assert_eq!(wire.send(SERVER, RST, 90_000, 0, 0), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(SERVER, RST, 400, 0, 0), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(SERVER, RST, 501, 0, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Reset);
}

#[test]
fn reset_that_acknowledges_nothing_sent_does_not_count() {
    let mut wire = Wire::established();
    assert_eq!(wire.send(SERVER, RST | ACK, 501, 90_000, 0), Outcome::Pass);
    assert_eq!(wire.state(), State::Established);
}

#[test]
fn inexact_reset_counts_once_a_fin_was_seen() {
    let mut wire = Wire::half_closed();
    assert_eq!(wire.send(SERVER, RST, 600, 0, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Reset);
}

#[test]
fn refusal_of_a_syn_must_acknowledge_it() {
    let mut wire = Wire::syn_sent();
    assert_eq!(wire.send(SERVER, RST, 0, 0, 0), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(SERVER, RST | ACK, 0, 0, 0), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(SERVER, RST | ACK, 0, 102, 0), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(SERVER, RST | ACK, 0, 101, 0), Outcome::Accept);
    assert_eq!(wire.state(), State::Reset);
}

/// RFC 1337: no assassination of TIME_WAIT.
#[test]
fn reset_does_not_cut_time_wait_short() {
    let mut wire = Wire::time_wait();
    assert_eq!(wire.send(SERVER, RST, 502, 0, 0), Outcome::Pass);
    assert_eq!(wire.state(), State::TimeWait);
    assert_eq!(wire.send(CLIENT, SYN, 40_000, 0, 0), Outcome::Reopen);
}

#[test]
fn nothing_new_follows_a_fin() {
    let mut wire = Wire::half_closed();
    assert_eq!(wire.send(CLIENT, ACK, 102, 501, 10), Outcome::Drop(Reason::TcpState));
    assert_eq!(wire.send(SERVER, ACK, 501, 102, 1_000), Outcome::Accept, "the other side may still send");
    assert_eq!(wire.send(CLIENT, ACK, 102, 1_501, 0), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, FIN | ACK, 101, 501, 0), Outcome::Accept, "the FIN again");
    assert_eq!(wire.state(), State::HalfClosed);
}

#[test]
fn after_a_reset_only_what_was_under_way_passes() {
    let mut wire = Wire::reset();
    assert_eq!(wire.send(CLIENT, ACK, 101, 501, 10), Outcome::Pass, "overtaken by the reset");
    assert_eq!(wire.send(CLIENT, ACK, 50_000, 501, 10), Outcome::Drop(Reason::TcpOutOfWindow));
    assert_eq!(wire.send(CLIENT, SYN | ACK, 7_000, 501, 0), Outcome::Drop(Reason::TcpClosed));
    assert_eq!(wire.send(SERVER, ACK, 501, 101, 10), Outcome::Pass);
    assert_eq!(wire.send(CLIENT, RST, 101, 0, 0), Outcome::Pass, "the reset again");
    assert_eq!(wire.state(), State::Reset);
}

#[test]
fn windows_bound_data_and_acknowledgements() {
    let mut wire = Wire::established();
    assert_eq!(
        wire.send(CLIENT, ACK, 101 + 10_001, 501, 10),
        Outcome::Drop(Reason::TcpOutOfWindow),
        "past the window"
    );
    assert_eq!(
        wire.send(CLIENT, ACK, 101, 502, 10),
        Outcome::Drop(Reason::TcpOutOfWindow),
        "acknowledges unsent data"
    );
    assert_eq!(
        wire.send(CLIENT, ACK, 101, 501u32.wrapping_sub(70_000), 10),
        Outcome::Drop(Reason::TcpOutOfWindow)
    );
    assert_eq!(wire.send(CLIENT, ACK, 101, 501, 1_000), Outcome::Accept);
    assert_eq!(wire.send(CLIENT, ACK, 101, 501, 1_000), Outcome::Accept, "a retransmission");
    assert_eq!(wire.send(CLIENT, ACK, 100, 501, 0), Outcome::Accept, "a keepalive");
    assert_eq!(
        wire.send(CLIENT, ACK, 101u32.wrapping_sub(500_000), 501, 10),
        Outcome::Pass,
        "acknowledged long ago"
    );
}

#[test]
fn window_scale_counts_only_if_both_sides_offer_it() {
    let scaled = |flags, sequence, acknowledgement, scale| Segment {
        options: SynOptions { scale, fast_open: false },
        ..segment(flags, sequence, acknowledgement, 0)
    };
    for (server_scale, window) in [(Some(7), 10_000 << 7), (None, 10_000)] {
        let mut peers = open(CLIENT, &scaled(SYN, 100, 0, Some(3)));
        track(&mut peers, SERVER, CLIENT, &scaled(SYN | ACK, 500, 101, server_scale), STRICT);
        track(&mut peers, CLIENT, CLIENT, &segment(ACK, 101, 501, 0), STRICT);
        track(&mut peers, SERVER, CLIENT, &segment(ACK, 501, 101, 0), STRICT);
        let inside = track(&mut peers.clone(), CLIENT, CLIENT, &segment(ACK, 101 + window, 501, 1), STRICT);
        let outside = track(&mut peers, CLIENT, CLIENT, &segment(ACK, 102 + window, 501, 1), STRICT);
        assert_eq!((inside, outside), (Outcome::Accept, Outcome::Drop(Reason::TcpOutOfWindow)));
    }
}

#[test]
fn log_mode_passes_what_strict_mode_drops() {
    let outside = segment(ACK, 500_000, 501, 10);
    let mut wire = Wire::established();
    assert_eq!(track(&mut wire.0, CLIENT, CLIENT, &outside, TcpWindowMode::Log), Outcome::Suspect);
    let mut wire = Wire::established();
    assert_eq!(track(&mut wire.0, CLIENT, CLIENT, &outside, TcpWindowMode::Off), Outcome::Accept);
}

mod attacker;
mod conversation;
pub(crate) mod endpoint;
mod reference;
mod walk;
