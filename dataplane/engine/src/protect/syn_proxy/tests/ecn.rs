//! Explicit congestion notification of connections that the appliance takes part in (RFC 3168).

use super::*;

impl Rig {
    /// A client that asks for congestion marks opens a connection of its own: the flags of the cookie that it got, and those
    /// of the SYN to the server.
    fn asks_for_ecn(&mut self) -> (u8, u8) {
        self.port += 1;
        self.own();
        let syn = Said { options: &syn_options(77), ..said(SYN | ECE | CWR, FIRST, 0) };
        assert_eq!(self.says(CLIENT, syn), Reason::SynCookie);
        let own = self.own();
        let [(CLIENT, Reason::SendCookie, cookie, options)] = &own[..] else { panic!("{own:?}") };
        let (stamp, _) = options::stamps_of(options).expect("time stamps are kept");
        let echoed = options::stamps(80, stamp);
        let ack = said(ACK, FIRST + 1, cookie.tcp.sequence.wrapping_add(1));
        assert_eq!(self.says(CLIENT, Said { options: &echoed, ..ack }), Reason::SynProven);
        let own = self.own();
        let [(SERVER, Reason::SendProxySyn, asked, options)] = &own[..] else { panic!("{own:?}") };
        assert_eq!(Offer::of(options).mss, 1460, "the exact size is beside it");
        (cookie.tcp.flags, asked.tcp.flags)
    }

    /// The server answers with these flags beside SYN and ACK, and this initial number: what the appliance says to whom.
    fn server_answers(&mut self, flags: u8, first: u32) -> Vec<(Port, u8)> {
        let theirs = Offer { mss: 1400, scale: Some(9), sack: true, stamp: Some(5000) }.written(80);
        let answer = Said { options: &theirs, ..said(SYN | ACK | flags, first, FIRST + 1) };
        assert_eq!(self.says(SERVER, answer), Reason::SynProxied);
        self.own().iter().map(|(port, _, facts, _)| (*port, facts.tcp.flags)).collect()
    }
}

const BOTH_ACKNOWLEDGED: [(Port, u8); 2] = [(SERVER, ACK), (CLIENT, ACK)];

/// RFC 3168 section 6.1.1: no end may believe in what the other did not agree to.
#[test]
fn congestion_marks_are_promised_once_the_server_has_agreed_to_them() {
    let mut rig = Rig::new(SynProxyMode::Always);
    assert_eq!(rig.asks_for_ecn(), (SYN | ACK, SYN), "nothing is known of the server");
    assert_eq!(rig.server_answers(0, 7000), BOTH_ACKNOWLEDGED);
    assert_eq!(rig.asks_for_ecn(), (SYN | ACK, SYN | ECE | CWR), "now it is asked; the client was told no");
    assert_eq!(
        rig.server_answers(ECE, 7000),
        [(SERVER, RST), (SERVER, SYN)],
        "the server must not believe in it"
    );
    assert_eq!(rig.server_answers(ECE, 7000), [], "the same answer, repeated on the way");
    rig.pass(1000);
    let again: Vec<_> = rig.own().iter().map(|(port, _, facts, _)| (*port, facts.tcp.flags)).collect();
    assert_eq!(again, [(SERVER, RST), (SERVER, SYN)], "the reset may have been lost");
    assert_eq!(rig.server_answers(0, 8000), BOTH_ACKNOWLEDGED);
    for _ in 0..2 {
        assert_eq!(rig.asks_for_ecn(), (SYN | ACK | ECE, SYN | ECE | CWR), "it is known");
        assert_eq!(rig.server_answers(ECE, 7000), BOTH_ACKNOWLEDGED);
    }
    rig.port += 1;
    let (cookie, _) = rig.cookie(&syn_options(77));
    assert_ne!(cookie, 0, "who does not ask is told nothing: `cookie` looks at the flags");
    // It has changed its mind: its client would mark packets for nobody.
    assert_eq!(rig.asks_for_ecn(), (SYN | ACK | ECE, SYN | ECE | CWR));
    assert_eq!(rig.server_answers(0, 7000), [(SERVER, RST), (CLIENT, RST | ACK)]);
    assert_eq!(rig.asks_for_ecn(), (SYN | ACK, SYN), "nobody is promised it any more, nor asks");
    assert_eq!(rig.server_answers(0, 7000), BOTH_ACKNOWLEDGED);
}

#[test]
fn a_server_without_congestion_marks_is_asked_for_them_once() {
    // The second is a server that sends back whatever flags come.
    for flags in [0, ECE | CWR] {
        let mut rig = Rig::new(SynProxyMode::Always);
        rig.asks_for_ecn();
        rig.server_answers(0, 7000);
        assert_eq!(rig.asks_for_ecn(), (SYN | ACK, SYN | ECE | CWR));
        assert_eq!(rig.server_answers(flags, 7000), BOTH_ACKNOWLEDGED);
        assert_eq!(rig.asks_for_ecn(), (SYN | ACK, SYN));
    }
}

#[test]
fn a_question_for_congestion_marks_that_is_lost_says_nothing_of_the_server() {
    let mut rig = Rig::new(SynProxyMode::Always);
    rig.asks_for_ecn();
    rig.server_answers(0, 7000);
    assert_eq!(rig.asks_for_ecn().1, SYN | ECE | CWR);
    rig.pass(1000);
    let own = rig.own();
    let [(SERVER, Reason::SendProxySyn, facts, _)] = &own[..] else { panic!("{own:?}") };
    assert_eq!(facts.tcp.flags, SYN, "a network that throws such SYNs away lets this one through");
    assert_eq!(rig.server_answers(0, 7000), BOTH_ACKNOWLEDGED);
    assert_eq!(rig.asks_for_ecn().1, SYN | ECE | CWR, "it is asked again");
}
