//! `syn_proxy` and `sequence_numbers`: connections whose source has to prove itself, from the first SYN to the last FIN.

use std::net::SocketAddr;
use std::num::NonZeroU8;

use sekisho_engine::port::Port;
use sekisho_replay::{Capture, Job};
use sekisho_tests::frames::{ACK, FIN, Packet, QINQ, RST, SYN, Segment, VLAN};
use sekisho_tests::scene::{Played, play, ruleset};

use super::*;

/// The world may speak to servers behind the LAN port, LAN hosts to the world; both as `rule` says.
fn policy(rule: &str) -> String {
    format!(
        "version: 1\nzones:\n  lan: {{port: lan}}\n  wan: {{port: wan}}\nrules:\n  \
         - {{name: publish, from: wan, to: lan, action: allow, {rule}}}\n  \
         - {{name: out, from: lan, to: wan, action: allow, {rule}}}\n"
    )
}

/// A connection of a client on either side: what it says, and the numbers that the other end has for what is said here.
struct Talk {
    scene: Scene,
    client: SocketAddr,
    server: SocketAddr,
    from: Port,
    tags: Vec<(u16, u16)>,
    rule: &'static str,
}

const FIRST: u32 = u32::MAX - 5;
const SERVER_FIRST: u32 = 7000;
/// MSS 1400, SACK permitted, scale 7.
const OFFER: [u8; 12] = [2, 4, 0x05, 0x78, 1, 1, 4, 2, 1, 3, 3, 7];

impl Talk {
    fn new(policy: &str, from: Port, [client, server]: [&str; 2], tags: &[(u16, u16)]) -> Self {
        Self {
            scene: Scene::new(policy),
            client: at(client, 40_000),
            server: at(server, 443),
            from,
            tags: tags.to_vec(),
            rule: if from == Port::Wan { "publish" } else { "out" },
        }
    }

    fn packet(&self, from_client: bool, segment: &Segment) -> Packet {
        let ends = [self.client, self.server];
        let (source, destination) = if from_client { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let mut packet = segment.between(source, destination);
        packet.tags.clone_from(&self.tags);
        packet.macs = match (self.from == Port::Lan) == from_client {
            true => [frames::MACS[1], frames::MACS[0]],
            false => [frames::MACS[0], frames::MACS[1]],
        };
        packet
    }

    /// The SYN, answered with a cookie: its number.
    fn asks_for_cookie(&mut self, options: &[u8]) -> u32 {
        let syn = self.packet(true, &Segment::new(SYN, FIRST, 0).options(options));
        self.scene.on(self.from, syn).drops(Reason::SynCookie).by(self.rule);
        self.scene.answers(self.from, Reason::SendCookie);
        let own = self.scene.clone().plays_alone().own;
        let answer = segment_of(&own.last().unwrap().1);
        assert_eq!(
            (answer.flags, answer.acknowledgement, answer.window),
            (SYN | ACK, FIRST.wrapping_add(1), 0)
        );
        answer.sequence
    }

    /// The SYN, answered with a challenge: the number of the reset that is the right answer, and the SYN.
    fn is_challenged(&mut self, options: &[u8]) -> (u32, Packet) {
        let syn = self.packet(true, &Segment::new(SYN, FIRST, 0).options(options));
        self.scene.on(self.from, syn.clone()).drops(Reason::SynChallenged).by(self.rule);
        self.scene.answers(self.from, Reason::SendChallenge);
        let challenge = segment_of(&self.scene.clone().plays_alone().own[0].1);
        assert_eq!(challenge.flags, SYN | ACK);
        (challenge.acknowledgement, syn)
    }

    /// The acknowledgement of the cookie, and the server's answer: session 1 is established.
    fn proves(&mut self, cookie: u32, options: &[u8]) {
        let ack = self.packet(true, &Segment::new(ACK, FIRST.wrapping_add(1), cookie.wrapping_add(1)));
        self.scene.on(self.from, ack).drops(Reason::SynProven).by(self.rule).of(1);
        self.scene.answers(self.from.other(), Reason::SendProxySyn);
        let answer = Segment::new(SYN | ACK, SERVER_FIRST, FIRST.wrapping_add(1)).options(options);
        self.scene.on(self.from.other(), self.packet(false, &answer)).drops(Reason::SynProxied).of(1);
        self.scene.answers(self.from.other(), Reason::SendProxyAck);
        self.scene.answers(self.from, Reason::SendProxyAck);
    }

    /// A segment of the client's with numbers as it knows them; it leaves with those of the server.
    fn client_says(&mut self, cookie: u32, segment: &Segment) {
        let mut translated = segment.clone();
        translated.acknowledgement = segment.acknowledgement.wrapping_sub(cookie).wrapping_add(SERVER_FIRST);
        let (came, leaves) = (self.packet(true, segment), self.packet(true, &translated));
        self.scene.on(self.from, came).follows(1).leaves_as(leaves);
    }

    fn server_says(&mut self, cookie: u32, segment: &Segment) {
        let mut translated = segment.clone();
        translated.sequence = segment.sequence.wrapping_sub(SERVER_FIRST).wrapping_add(cookie);
        let (came, leaves) = (self.packet(false, segment), self.packet(false, &translated));
        self.scene.on(self.from.other(), came).follows(1).leaves_as(leaves);
    }

    fn plays(&self) -> Played {
        self.scene.plays()
    }
}

/// Scenes with every reason that is given here.
pub(super) fn vocabulary() -> Vec<Scene> {
    let mut whole = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = whole.asks_for_cookie(&[]);
    whole.proves(cookie, &[]);
    let mut verified = Talk::new(&policy("syn_proxy: verify"), Port::Wan, V4, &[]);
    let (number, syn) = verified.is_challenged(&[]);
    let reset = verified.packet(true, &Segment::new(RST, number, 0));
    verified.scene.wan(reset).drops(Reason::SynVerified);
    verified.scene.wan(syn).opens(1, "publish");
    vec![whole.scene, verified.scene, full()]
}

/// One handshake is under way where there is room for one; its server is silent.
fn full() -> Scene {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    talk.scene = Scene::new(&policy("syn_proxy: always")).sessions_max(1);
    let cookie = talk.asks_for_cookie(&[]);
    let ack = talk.packet(true, &Segment::new(ACK, FIRST.wrapping_add(1), cookie.wrapping_add(1)));
    talk.scene.wan(ack).drops(Reason::SynProven).by("publish").of(1);
    talk.scene.answers(Port::Lan, Reason::SendProxySyn);
    talk.client.set_port(40_001);
    let cookie = talk.asks_for_cookie(&[]);
    let ack = talk.packet(true, &Segment::new(ACK, FIRST.wrapping_add(1), cookie.wrapping_add(1)));
    talk.scene.wan(ack).drops(Reason::SynProxyFull).by("publish");
    let begun_ms = 1;
    // The newest cookie, of which there is room for one, was answered in vain.
    for at_ms in [1000, 3000, 7000, 15_000] {
        talk.scene.sends(Port::Lan, Reason::SendProxySyn, begun_ms + at_ms);
        if at_ms <= 7000 {
            talk.scene.sends(Port::Wan, Reason::SendCookie, begun_ms + at_ms);
        }
    }
    talk.scene.ends(1, Reason::EndHandshake, begun_ms + 30_000);
    talk.scene.sends(Port::Wan, Reason::SendProxyReset, begun_ms + 30_000);
    let next = talk.packet(true, &Segment::new(SYN, FIRST, 0));
    talk.scene.at_ms(begun_ms + 30_000).wan(next).drops(Reason::SynCookie).by("publish");
    talk.scene.answers(Port::Wan, Reason::SendCookie);
    talk.scene
}

#[test]
fn handshakes_with_servers_are_bounded() {
    full().plays_alone();
}

/// The TCP segment in a frame of the appliance's own, whose checksums are right.
fn segment_of(frame: &[u8]) -> Segment {
    let mut facts = sekisho_engine::packet::parse(frame, frame.len());
    sekisho_engine::packet::verify(&mut facts, sekisho_engine::packet::DeviceChecksum::NotChecked, [frame]);
    assert_eq!(facts.fault, None);
    let options = usize::from(facts.transport_at) + 20;
    let tcp = facts.tcp;
    Segment::new(tcp.flags, tcp.sequence, tcp.acknowledgement)
        .window(tcp.window)
        .options(&frame[options..options + usize::from(tcp.header_len) - 20])
}

const V4: [&str; 2] = [WAN, LAN];
const V6: [&str; 2] = [WAN6, LAN6];

/// Where the client is, the ends, and the tags.
type Wire = (Port, [&'static str; 2], Vec<(u16, u16)>);

/// Client and server on either side, both families, no tag, one and two.
fn wires() -> Vec<Wire> {
    let mut wires = Vec::new();
    for tags in [vec![], vec![(VLAN, 20)], vec![(QINQ, 30), (VLAN, 20)]] {
        for [outside, inside] in [V4, V6] {
            wires.push((Port::Wan, [outside, inside], tags.clone()));
            wires.push((Port::Lan, [inside, outside], tags.clone()));
        }
    }
    wires
}

#[test]
fn a_connection_by_cookie_from_its_syn_to_its_end() {
    for (from, ends, tags) in wires() {
        let mut talk = Talk::new(&policy("syn_proxy: always"), from, ends, &tags);
        let cookie = talk.asks_for_cookie(&OFFER);
        talk.proves(cookie, &OFFER);
        let (client, server) = (FIRST.wrapping_add(1), SERVER_FIRST + 1);
        let heard = cookie.wrapping_add(1);
        talk.client_says(cookie, &Segment::new(ACK, client, heard).data(b"GET"));
        talk.server_says(cookie, &Segment::new(ACK, server, client.wrapping_add(3)).data(b"200 OK"));
        talk.server_says(cookie, &Segment::new(ACK | FIN, server + 6, client.wrapping_add(3)));
        talk.client_says(cookie, &Segment::new(ACK | FIN, client.wrapping_add(3), heard.wrapping_add(7)));
        talk.server_says(cookie, &Segment::new(ACK, server + 7, client.wrapping_add(4)));
        let own = talk.plays().own;
        let [_, (to_server, syn), (_, ack), (to_client, opened)] = &own[..] else { panic!("{own:?}") };
        assert_eq!((*to_server, *to_client), (from.other(), from));
        // Each looks as if the other end had sent it.
        assert_eq!(
            syn[..12 + 4 * tags.len()],
            talk.packet(true, &Segment::new(SYN, 0, 0)).frame()[..12 + 4 * tags.len()]
        );
        assert_eq!(opened[..12], talk.packet(false, &Segment::new(ACK, 0, 0)).frame()[..12]);
        let (syn, ack, opened) = (segment_of(syn), segment_of(ack), segment_of(opened));
        assert_eq!((syn.flags, syn.sequence, &syn.options[..]), (SYN, FIRST, &OFFER[..]));
        assert_eq!((ack.sequence, ack.acknowledgement), (client, server));
        assert_eq!((opened.sequence, opened.acknowledgement, opened.window), (heard, client, 64));
    }
}

#[test]
fn data_before_the_server_has_answered_waits_for_the_client_to_send_it_again() {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = talk.asks_for_cookie(&[]);
    // The acknowledgement alone was lost: the data proves.
    let data = Segment::new(ACK, FIRST.wrapping_add(1), cookie.wrapping_add(1)).data(b"GET");
    let came = talk.packet(true, &data);
    talk.scene.wan(came.clone()).drops(Reason::SynProven).by("publish").of(1);
    talk.scene.answers(Port::Lan, Reason::SendProxySyn);
    talk.scene.wan(came).drops(Reason::SynProxied).of(1);
    let answer = talk.packet(false, &Segment::new(SYN | ACK, SERVER_FIRST, FIRST.wrapping_add(1)));
    talk.scene.lan(answer).drops(Reason::SynProxied).of(1);
    talk.scene.answers(Port::Lan, Reason::SendProxyAck).answers(Port::Wan, Reason::SendProxyAck);
    talk.client_says(cookie, &data);
    talk.plays();
}

#[test]
fn a_cookie_is_sent_again_for_a_client_that_waits_and_whose_acknowledgement_was_lost() {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = talk.asks_for_cookie(&[]);
    talk.scene.sends(Port::Wan, Reason::SendCookie, 1000);
    talk.scene.at_ms(1001);
    talk.proves(cookie, &[]);
    talk.scene.at_ms(4000);
    talk.server_says(cookie, &Segment::new(ACK, SERVER_FIRST + 1, FIRST.wrapping_add(1)).data(b"220"));
    let own = talk.plays().own;
    assert_eq!(own[0], own[1], "the same frame");
}

#[test]
fn a_server_that_refuses_and_one_that_is_silent_are_told_to_the_client() {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = talk.asks_for_cookie(&[]);
    let ack = talk.packet(true, &Segment::new(ACK, FIRST.wrapping_add(1), cookie.wrapping_add(1)));
    talk.scene.wan(ack.clone()).drops(Reason::SynProven).by("publish").of(1);
    talk.scene.answers(Port::Lan, Reason::SendProxySyn);
    let mut silent = talk.scene.clone();
    let refusal = Segment::new(RST | ACK, 0, FIRST.wrapping_add(1));
    let (came, leaves) = (
        talk.packet(false, &refusal),
        talk.packet(false, &Segment { sequence: cookie.wrapping_add(1), ..refusal }),
    );
    talk.scene.lan(came).follows(1).leaves_as(leaves);
    talk.plays();

    let begun_ms = silent.last_ms();
    for after_ms in [1000, 3000, 7000, 15_000] {
        silent.sends(Port::Lan, Reason::SendProxySyn, begun_ms + after_ms);
    }
    silent.ends(1, Reason::EndHandshake, begun_ms + 30_000);
    silent.sends(Port::Wan, Reason::SendProxyReset, begun_ms + 30_000);
    silent.at_ms(begun_ms + 30_001).wan(ack).drops(Reason::SynProven).by("publish").of(2);
    silent.answers(Port::Lan, Reason::SendProxySyn);
    let own = silent.plays().own;
    let reset = segment_of(&own[own.len() - 2].1);
    assert_eq!((reset.flags, reset.sequence), (RST | ACK, cookie.wrapping_add(1)));
}

#[test]
fn stray_acknowledgements_open_nothing() {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = talk.asks_for_cookie(&[]);
    for (sequence, acknowledgement) in
        [(1, 1), (FIRST.wrapping_add(1), cookie), (FIRST.wrapping_add(9), cookie.wrapping_add(1))]
    {
        let stray = talk.packet(true, &Segment::new(ACK, sequence, acknowledgement));
        talk.scene.wan(stray).drops(Reason::TcpNoSession);
    }
    talk.plays();
}

#[test]
fn auto_remembers_sessions_until_its_figures_are_passed() {
    let flooded = format!("{}protections: {{syn_flood: {{rate: 3}}}}\n", policy("syn_proxy: auto"));
    let mut scene = Scene::new(&flooded);
    let syn = |port: u16, server: &str| Segment::new(SYN, 1, 0).between(at(WAN, port), at(server, 443));
    for number in 1..=3u16 {
        scene.wan(syn(number, LAN)).opens(u64::from(number), "publish");
    }
    for number in 4..=6 {
        scene.wan(syn(number, LAN)).drops(Reason::SynCookie).by("publish");
        scene.answers(Port::Wan, Reason::SendCookie);
    }
    // Another destination is not flooded, and sessions that are there go on.
    scene.wan(syn(7, "192.0.2.11")).opens(4, "publish");
    let answer = Segment::new(SYN | ACK, 500, 2).between(at(LAN, 443), at(WAN, 1));
    scene.lan(answer).follows(1);
    for after_ms in [1001, 3001, 7001] {
        for _ in 4..=6 {
            scene.sends(Port::Wan, Reason::SendCookie, after_ms);
        }
    }
    // Ten seconds after the flood it is as before.
    scene.at_ms(11_000).wan(syn(8, LAN)).opens(5, "publish");
    scene.plays();
}

#[test]
fn verify_lets_a_real_stack_through_untouched() {
    for (from, ends, tags) in wires() {
        let mut talk = Talk::new(&policy("syn_proxy: verify"), from, ends, &tags);
        // An option that nobody knows passes.
        let (number, syn) = talk.is_challenged(&[30, 4, 1, 2, 2, 4, 5, 0xb4]);
        let reset = |number| Segment::new(RST, number, 0);
        let wrong = talk.packet(true, &reset(number ^ 1));
        talk.scene.on(from, wrong).drops(Reason::TcpNoSession);
        let right = talk.packet(true, &reset(number));
        talk.scene.on(from, right).drops(Reason::SynVerified);
        let rule = talk.rule;
        talk.scene.at_ms(1000).on(from, syn).opens(1, rule);
        let answer = talk.packet(false, &Segment::new(SYN | ACK, SERVER_FIRST, FIRST.wrapping_add(1)));
        talk.scene.on(from.other(), answer).follows(1);
        let mut other =
            Segment::new(SYN, 5, 0).between(SocketAddr::new(talk.client.ip(), 41_000), talk.server);
        other.tags.clone_from(&tags);
        talk.scene.on(from, other).opens(2, rule);
        talk.plays();
    }
}

#[test]
fn numbers_are_replaced_and_the_ends_do_not_notice() {
    for (from, ends, tags) in wires() {
        let mut talk = Talk::new(&policy("sequence_numbers: randomise"), from, ends, &tags);
        let syn = talk.packet(true, &Segment::new(SYN, FIRST, 0));
        let rule = talk.rule;
        talk.scene.on(from, syn).opens(1, rule);
        let answer = talk.packet(false, &Segment::new(SYN | ACK, SERVER_FIRST, FIRST.wrapping_add(1)));
        // What the client hears is told by the replay; from there on it must stay so.
        let mut probe = talk.scene.clone();
        probe.on(from.other(), answer).follows(1);
        let heard = left_by(&probe, from).pop().map(|frame| segment_of(&frame).sequence).unwrap();
        assert_ne!(heard, SERVER_FIRST);
        talk.server_says(heard, &Segment::new(SYN | ACK, SERVER_FIRST, FIRST.wrapping_add(1)));
        talk.client_says(heard, &Segment::new(ACK, FIRST.wrapping_add(1), heard.wrapping_add(1)));
        let sack = [1, 1, 5, 10];
        let edges = |first: u32| {
            [first.wrapping_add(100).to_be_bytes(), first.wrapping_add(200).to_be_bytes()].concat()
        };
        let says = |first: u32, acknowledgement| {
            Segment::new(ACK, FIRST.wrapping_add(1), acknowledgement)
                .options(&[&sack[..], &edges(first)].concat())
        };
        let came = talk.packet(true, &says(heard, heard.wrapping_add(1)));
        let leaves = talk.packet(true, &says(SERVER_FIRST, SERVER_FIRST + 1));
        talk.scene.on(from, came).follows(1).leaves_as(leaves);
        talk.plays();
    }
}

/// What leaves by `port`, whatever was expected.
fn left_by(scene: &Scene, port: Port) -> Vec<Vec<u8>> {
    let captures = Port::ALL.map(|port| scene.capture(port));
    let output = play(Job {
        ruleset: scene.policy(),
        captures: captures.each_ref().map(|capture| Some(Capture::new("capture", &capture[..]).unwrap())),
        deploys: Vec::new(),
        workers: NonZeroU8::MIN,
        sessions_max: 1000,
        budgets: sekisho_engine::session::room::Budgets::default(),
        started: None,
    });
    sekisho_tests::scene::read(&output.captures[port.index()]).into_iter().map(|frame| frame.bytes).collect()
}

/// A segment in fragments is translated when all have come: the one that has the header changes.
#[test]
fn a_translated_segment_may_come_in_fragments() {
    let mut talk = Talk::new(&policy("syn_proxy: always"), Port::Wan, V4, &[]);
    let cookie = talk.asks_for_cookie(&[]);
    talk.proves(cookie, &[]);
    let data: Vec<u8> = (0..=255u8).cycle().take(600).collect();
    let segment = Segment::new(ACK, SERVER_FIRST + 1, FIRST.wrapping_add(1)).data(&data);
    let translated = Segment { sequence: cookie.wrapping_add(1), ..segment.clone() };
    let pieces = |segment: &Segment| -> Vec<Packet> {
        let whole = talk.packet(false, segment);
        let piece = |from: usize, to: usize, more| {
            let offset = u16::try_from(from).unwrap();
            Packet { payload: whole.payload[from..to].to_vec(), ..whole.clone() }.fragment(9, offset, more)
        };
        vec![piece(400, 620, false), piece(0, 400, true)]
    };
    let (came, leaves) = (pieces(&segment), pieces(&translated));
    let first = talk.scene.next_frame();
    for (came, leaves) in came.into_iter().zip(leaves) {
        talk.scene.lan(came).follows(1).leaves_as(leaves);
    }
    talk.scene.leave_with_it([first]);
    talk.plays();
}

/// More cookies in a second than are remembered: the same are sent again for any number of workers.
#[test]
fn a_flood_comes_out_the_same_for_any_number_of_workers() {
    let flood = format!(
        "{}protections: {{syn_flood: {{half_open: 50, rate: 200}}}}\n",
        policy("syn_proxy: auto, sequence_numbers: randomise")
    );
    let mut scene = Scene::new(&flood);
    let mut number = 1u32;
    for _ in 0..18_000 {
        number = number.wrapping_mul(0x9e37_79b9).wrapping_add(7);
        let [a, b, c, d] = number.to_be_bytes();
        let source = SocketAddr::from(([11, a, b, c], 1024 + u16::from(d)));
        let server = SocketAddr::from(([192, 0, 2, d % 3], 443));
        // What becomes of each is told by the first run.
        scene.wan(Segment::new(SYN, number, 0).between(source, server)).drops(Reason::SynCookie);
    }
    scene.at_ms(8000).wan(Segment::new(SYN, 1, 0).between(at(WAN, 9), at(LAN, 443))).drops(Reason::SynCookie);
    let captures = Port::ALL.map(|port| scene.capture(port));
    let output = |workers| {
        play(Job {
            ruleset: ruleset(&flood),
            captures: captures.each_ref().map(|capture| Some(Capture::new("capture", &capture[..]).unwrap())),
            deploys: Vec::new(),
            workers: NonZeroU8::new(workers).unwrap(),
            sessions_max: 20_000,
            budgets: sekisho_engine::session::room::Budgets::default(),
            started: None,
        })
    };
    let one = output(1);
    let count = |name: &str| one.summary.reasons.get(name).copied().unwrap_or(0);
    let asked = count("syn-cookie-asked");
    assert!(asked > 17_000, "{:?}", one.summary.reasons);
    assert_eq!(count("syn-cookie"), asked + 3 * 16_384, "the newest are sent three times more");
    for workers in [2, 3, 7] {
        let many = output(workers);
        assert!(many.lines == one.lines, "{workers} workers");
        assert!(many == one, "{workers} workers");
    }
}
