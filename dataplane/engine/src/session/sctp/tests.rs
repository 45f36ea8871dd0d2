use proptest::prelude::*;

use super::*;

/// The conversation of two ends, and what the tracker makes of it.
struct Wire {
    sides: [Side; 2],
    state: State,
    /// The tags that the ends chose, LAN first.
    tags: [u32; 2],
}

fn packet(tag: u32, chunks: u16) -> Packet<'static> {
    Packet { tag, chunks, ..Packet::default() }
}

impl Wire {
    /// The LAN side has sent its INIT.
    fn opened(tags: [u32; 2]) -> Self {
        let init = Packet { initiate_tag: tags[0], ..packet(0, chunks::INIT) };
        Self { sides: open(0, &init), state: State::CookieWait, tags }
    }

    fn established(tags: [u32; 2]) -> Self {
        let mut wire = Self::opened(tags);
        wire.answer(0);
        wire
    }

    /// What comes of a packet that arrives from side `from`.
    fn see(&mut self, from: usize, packet: &Packet<'_>) -> Outcome {
        let outcome = track(&mut self.sides, self.state, from, packet);
        if let Outcome::Accept(state) = outcome {
            self.state = state;
        }
        self.sides = self.sides.map(|side| Side::read(side.kept()));
        outcome
    }

    fn passes(&mut self, from: usize, packet: &Packet<'_>) {
        let outcome = self.see(from, packet);
        assert!(matches!(outcome, Outcome::Accept(_) | Outcome::Pass), "{outcome:?} {packet:?}");
    }

    /// Side `from` says this with the other's tag.
    fn says(&mut self, from: usize, chunks: u16) -> Outcome {
        self.see(from, &packet(self.tags[1 - from], chunks))
    }

    /// The rest of the handshake that side `from` began.
    fn answer(&mut self, from: usize) {
        let ack = Packet { initiate_tag: self.tags[1 - from], ..packet(self.tags[from], chunks::INIT_ACK) };
        self.passes(1 - from, &ack);
        self.passes(from, &packet(self.tags[1 - from], chunks::COOKIE_ECHO));
        self.passes(1 - from, &packet(self.tags[from], chunks::COOKIE_ACK));
    }
}

#[test]
fn rfc9260_5_1_the_four_way_handshake() {
    let mut wire = Wire::opened([1, 2]);
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Drop(Reason::SctpState), "data before the handshake");
    let ack = Packet { initiate_tag: 2, ..packet(1, chunks::INIT_ACK) };
    assert_eq!(wire.see(1, &ack), Outcome::Accept(State::CookieWait));
    assert_eq!(wire.says(1, chunks::COOKIE_ACK), Outcome::Drop(Reason::SctpState), "nobody sent a cookie");
    let cookie = chunks::COOKIE_ECHO | chunks::OTHER;
    assert_eq!(wire.says(0, cookie), Outcome::Accept(State::CookieEchoed));
    assert_eq!(wire.says(1, chunks::COOKIE_ACK | chunks::OTHER), Outcome::Accept(State::Established));
    assert_eq!(wire.says(0, chunks::OTHER), Outcome::Accept(State::Established));
    // The COOKIE ACK got lost behind us.
    assert_eq!(wire.says(0, cookie), Outcome::Pass);
    assert_eq!(wire.says(1, chunks::COOKIE_ACK), Outcome::Accept(State::Established));
}

#[test]
fn data_that_overtakes_the_cookie_ack_passes() {
    let mut wire = Wire::opened([1, 2]);
    wire.passes(1, &Packet { initiate_tag: 2, ..packet(1, chunks::INIT_ACK) });
    assert_eq!(wire.says(0, chunks::COOKIE_ECHO), Outcome::Accept(State::CookieEchoed));
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Accept(State::Established));
    assert_eq!(wire.says(1, chunks::COOKIE_ACK), Outcome::Accept(State::Established));
}

#[test]
fn rfc9260_5_2_1_both_sides_begin_at_once() {
    let mut wire = Wire::opened([1, 2]);
    wire.passes(1, &Packet { initiate_tag: 2, ..packet(0, chunks::INIT) });
    wire.passes(0, &Packet { initiate_tag: 1, ..packet(2, chunks::INIT_ACK) });
    wire.passes(1, &Packet { initiate_tag: 2, ..packet(1, chunks::INIT_ACK) });
    wire.passes(0, &packet(2, chunks::COOKIE_ECHO));
    wire.passes(1, &packet(1, chunks::COOKIE_ECHO));
    wire.passes(0, &packet(2, chunks::COOKIE_ACK));
    wire.passes(1, &packet(1, chunks::COOKIE_ACK));
    assert_eq!(wire.state, State::Established);
}

#[test]
fn rfc9260_5_2_an_init_alone_disturbs_nothing() {
    let mut wire = Wire::established([1, 2]);
    assert_eq!(wire.see(0, &Packet { initiate_tag: 9, ..packet(0, chunks::INIT) }), Outcome::Pass);
    assert_eq!(wire.says(0, chunks::OTHER), Outcome::Accept(State::Established));
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Accept(State::Established));
    // Only what answers an INIT may carry the tag that it offered.
    assert_eq!(wire.see(1, &packet(9, chunks::OTHER)), Outcome::Drop(Reason::SctpBadTag));
    assert_eq!(wire.see(1, &packet(9, chunks::SHUTDOWN)), Outcome::Drop(Reason::SctpBadTag));
    assert_eq!(wire.see(1, &packet(9, chunks::ABORT)), Outcome::Pass, "it refuses the offer");
    assert_eq!(wire.state, State::Established);
}

#[test]
fn rfc9260_5_2_4_a_restart_brings_new_tags() {
    let mut wire = Wire::established([1, 2]);
    wire.passes(0, &Packet { initiate_tag: 11, ..packet(0, chunks::INIT) });
    wire.tags = [11, 12];
    wire.answer(0);
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Accept(State::Established));
    assert_eq!(wire.see(1, &packet(1, chunks::OTHER)), Outcome::Drop(Reason::SctpBadTag), "a tag of before");
}

#[test]
fn rfc9260_8_5_1_an_abort_needs_the_right_tag() {
    for (tag, reflects, ends) in [(1, false, true), (2, true, true), (2, false, false), (1, true, false)] {
        let mut wire = Wire::established([1, 2]);
        let outcome = wire.see(1, &Packet { reflects, ..packet(tag, chunks::ABORT) });
        let expected = if ends { Outcome::Accept(State::Closed) } else { Outcome::Drop(Reason::SctpBadTag) };
        assert_eq!(outcome, expected, "tag {tag}, reflected {reflects}");
        assert_eq!(was_aborted(&wire.sides.map(Side::kept)), ends);
    }
}

#[test]
fn an_init_may_be_refused() {
    let mut wire = Wire::opened([1, 2]);
    assert_eq!(wire.see(1, &packet(1, chunks::ABORT)), Outcome::Accept(State::Closed));
    assert_eq!(wire.says(0, chunks::OTHER), Outcome::Drop(Reason::SctpBadTag));
    assert_eq!(wire.see(0, &Packet { initiate_tag: 3, ..packet(0, chunks::INIT) }), Outcome::Reopen);
}

#[test]
fn rfc9260_9_2_the_shutdown() {
    let mut wire = Wire::established([1, 2]);
    assert_eq!(wire.says(0, chunks::SHUTDOWN_COMPLETE), Outcome::Accept(State::Established), "out of turn");
    assert_eq!(wire.says(0, chunks::SHUTDOWN), Outcome::Accept(State::ShutdownSent));
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Accept(State::ShutdownSent), "what was under way");
    assert_eq!(wire.says(1, chunks::SHUTDOWN_ACK), Outcome::Accept(State::ShutdownAckSent));
    assert_eq!(wire.says(0, chunks::SHUTDOWN_COMPLETE), Outcome::Accept(State::Closed));
    assert!(!was_aborted(&wire.sides.map(Side::kept)));
    // It got lost behind us: the other side asks again, and is told with its own tag.
    assert_eq!(wire.says(1, chunks::SHUTDOWN_ACK), Outcome::Pass);
    let told = Packet { reflects: true, ..packet(1, chunks::SHUTDOWN_COMPLETE) };
    assert_eq!(wire.see(0, &told), Outcome::Pass);
    assert_eq!(wire.says(1, chunks::OTHER), Outcome::Drop(Reason::SctpState));
}

#[test]
fn rfc9260_9_2_an_init_to_who_still_shuts_down_is_cleared_up() {
    let mut wire = Wire::opened([1, 2]);
    assert_eq!(wire.see(1, &packet(77, chunks::SHUTDOWN_ACK)), Outcome::Pass);
    let told = Packet { reflects: true, ..packet(77, chunks::SHUTDOWN_COMPLETE) };
    assert_eq!(wire.see(0, &told), Outcome::Pass);
    wire.answer(0);
    assert_eq!(wire.state, State::Established);
}

#[test]
fn rfc9260_10_a_quote_is_known_by_its_tag() {
    let kept = |wire: &Wire| wire.sides.map(Side::kept);
    let opened = kept(&Wire::opened([1, 2]));
    assert!(may_have_sent(&opened, 0, 0, Some(1)));
    assert!(!may_have_sent(&opened, 0, 0, Some(2)) && !may_have_sent(&opened, 0, 0, None));
    let established = kept(&Wire::established([1, 2]));
    assert!(may_have_sent(&established, 0, 2, None) && may_have_sent(&established, 1, 1, None));
    assert!(!may_have_sent(&established, 0, 1, None) && !may_have_sent(&established, 1, 3, None));
}

/// What ends of an established association do next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Says(usize),
    Restarts(usize, [u32; 2]),
    ShutsDown(usize),
    Aborts(usize),
}

fn next() -> impl Strategy<Value = Next> {
    let side = 0usize..2;
    prop_oneof![
        8 => side.clone().prop_map(Next::Says),
        2 => (side.clone(), any::<[u16; 2]>()).prop_map(|(side, [a, b])| {
            Next::Restarts(side, [1 + u32::from(a), 100_000 + u32::from(b)])
        }),
        1 => side.clone().prop_map(Next::ShutsDown),
        1 => side.prop_map(Next::Aborts),
    ]
}

/// The packets of a step, as the ends would send them.
fn packets(next: Next, tags: &mut [u32; 2]) -> Vec<(usize, Packet<'static>)> {
    match next {
        Next::Says(from) => vec![(from, packet(tags[1 - from], chunks::OTHER))],
        Next::Restarts(from, fresh) => {
            *tags = fresh;
            let (own, other) = (tags[from], tags[1 - from]);
            vec![
                (from, Packet { initiate_tag: own, ..packet(0, chunks::INIT) }),
                (1 - from, Packet { initiate_tag: other, ..packet(own, chunks::INIT_ACK) }),
                (from, packet(other, chunks::COOKIE_ECHO | chunks::OTHER)),
                (1 - from, packet(own, chunks::COOKIE_ACK)),
            ]
        }
        Next::ShutsDown(from) => vec![
            (from, packet(tags[1 - from], chunks::SHUTDOWN)),
            (1 - from, packet(tags[from], chunks::SHUTDOWN_ACK)),
            (from, packet(tags[1 - from], chunks::SHUTDOWN_COMPLETE)),
        ],
        Next::Aborts(from) => vec![(from, packet(tags[1 - from], chunks::ABORT))],
    }
}

proptest! {
    /// No packet of a legal conversation is dropped, with each sent up to three times; and nothing of who does not
    /// know the tags is let through but an INIT, which moves nothing.
    #[test]
    fn legal_packets_pass_and_guesses_do_not(
        steps in prop::collection::vec((next(), 1usize..4, any::<u32>(), 2u16..10), 0..30),
    ) {
        let mut wire = Wire::established([0xaaaa_0001, 0xbbbb_0002]);
        for (next, times, guess, kind) in steps {
            let mut tags = wire.tags;
            for (from, said) in packets(next, &mut tags) {
                for _ in 0..times {
                    let outcome = wire.see(from, &said);
                    let is_good = matches!(outcome, Outcome::Accept(_) | Outcome::Pass);
                    prop_assert!(is_good, "{outcome:?} {said:?} {:?}", wire.state);
                }
                let guess = guess | 0x4000_0000;
                let known = [wire.tags, tags].concat();
                let before = wire.sides;
                // Neither SHUTDOWN ACK nor reflected tags: those clear up, and move nothing either.
                let forged = packet(guess, 1 << kind & !chunks::SHUTDOWN_ACK | chunks::OTHER);
                if !known.contains(&guess) {
                    prop_assert!(matches!(wire.see(1 - from, &forged), Outcome::Drop(_)));
                    prop_assert_eq!(wire.sides, before);
                }
            }
            wire.tags = tags;
            if wire.state == State::Closed {
                return Ok(());
            }
            prop_assert_eq!(wire.state, State::Established);
        }
    }
}
