//! A datagram in fragments has the verdict that it would have in one piece, whatever it is, however it is cut, in whatever
//! order it comes, and however many workers there are.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;

use proptest::prelude::*;
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_replay::simulation::{Decision, Happening, Simulation};
use sekisho_tests::frames::{self, ACK, FIN, Packet, SYN, Segment};
use sekisho_tests::scene::ruleset;

const POLICY: &str = "\
version: 1
zones: {lan: {port: lan, networks: [192.0.2.0/24, \"2001:db8:1::/48\"]}, wan: {port: wan}}
rules:
  - {name: no-log, from: lan, to: wan, service: udp/514, action: reject}
  - {name: out, from: lan, to: wan, action: allow}
";

/// The longest header of all, in units of eight bytes: no first fragment is shorter.
const FIRST_MIN: usize = 8;

/// What is cut up.
#[derive(Clone, Debug)]
struct Datagram {
    kind: u8,
    v6: bool,
    inward: bool,
    port: u16,
    len: usize,
    /// Where a bit is turned over, if one is.
    damage: Option<usize>,
}

impl Datagram {
    fn ends(&self) -> [IpAddr; 2] {
        let ends: [IpAddr; 2] = match self.v6 {
            true => ["2001:db8:1::10".parse().unwrap(), "2001:db8:ffff::53".parse().unwrap()],
            false => [[192, 0, 2, 10].into(), [203, 0, 113, 53].into()],
        };
        if self.inward { [ends[1], ends[0]] } else { ends }
    }

    fn arrives_on(&self) -> Port {
        if self.inward { Port::Wan } else { Port::Lan }
    }

    fn packet(&self) -> Packet {
        let [source, destination] = self.ends();
        let (from, to) = (SocketAddr::new(source, 5000), SocketAddr::new(destination, self.port));
        let data = vec![0x5a; self.len];
        let segment = |flags| Segment::new(flags, 1000, 0).data(&data).between(from, to);
        let echo = if self.v6 { 128 } else { 8 };
        let mut packet = match self.kind {
            0 => segment(SYN),
            1 => segment(ACK),
            2 => segment(SYN | FIN),
            3..6 => frames::udp(from, to, &data),
            6 => frames::icmp(source, destination, echo, 0, [0, 7, 0, 1], &data),
            7 => frames::icmp(source, destination, echo + u8::from(self.v6), 0, [0, 7, 0, 1], &data),
            8 => frames::sctp(
                from,
                to,
                0,
                &frames::chunk(1, 0, &[&[0, 0, 0, 7][..], &[1; 12], &data].concat()),
            ),
            9 => Packet::new(source, destination, 47, [&[0, 0, 8, 0][..], &data].concat()),
            _ => Packet::new(source, destination, 89, data),
        };
        if let Some(at) = self.damage {
            // Not where lengths stand: what a datagram claims of itself is a test of its own.
            let from = if self.kind == 8 { 32 } else { 8 };
            let at = from + at % (packet.payload.len() - from);
            packet.payload[at] ^= 0x10;
        }
        packet
    }

    /// Its fragments, cut at these places in units of eight bytes.
    fn fragments(&self, cuts: &[usize]) -> Vec<Vec<u8>> {
        let whole = self.packet();
        let len = whole.payload.len();
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < len).collect();
        ends.extend([0, len]);
        ends.sort_unstable();
        ends.dedup();
        let piece = |from: usize, until: usize| {
            let mut piece = whole.clone();
            piece.payload = whole.payload[from..until].to_vec();
            piece.fragment(7, u16::try_from(from).unwrap(), until < len).frame()
        };
        ends.windows(2).map(|ends| piece(ends[0], ends[1])).collect()
    }
}

fn datagram() -> impl Strategy<Value = Datagram> {
    let damage = prop_oneof![3 => Just(None), 1 => any::<usize>().prop_map(Some)];
    let port = prop_oneof![Just(53), Just(514), 1..=u16::MAX];
    (0..11u8, any::<bool>(), any::<bool>(), port, 80..3000usize, damage)
        .prop_map(|(kind, v6, inward, port, len, damage)| Datagram { kind, v6, inward, port, len, damage })
}

fn simulation(workers: u8) -> Simulation {
    Simulation::new(ruleset(POLICY), NonZeroU8::new(workers).unwrap(), 64, None)
}

/// What became of each frame, in the order in which they came.
fn fates(simulation: &mut Simulation, port: Port, frames: &[Vec<u8>]) -> Vec<Decision> {
    let mut fates = vec![None; frames.len()];
    for (number, frame) in frames.iter().enumerate() {
        fates[number] = simulation.inspect(number as u64, port, frame, frame.len());
        for happening in simulation.happened() {
            if let Happening::Settled { frame, decision, .. } = happening {
                assert_eq!(fates[usize::try_from(frame).unwrap()].replace(decision), None, "one fate each");
            }
        }
    }
    fates.into_iter().map(|fate| fate.expect("nothing waits any more")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn fragments_have_the_verdict_of_the_whole(
        datagram in datagram(),
        cuts in prop::collection::vec(FIRST_MIN..400usize, 1..12),
        keys in prop::collection::vec(any::<u16>(), 16),
        workers in 1..5u8,
    ) {
        let mut whole = simulation(1);
        let port = datagram.arrives_on();
        let expected = fates(&mut whole, port, &[datagram.packet().frame()])[0];
        let mut fragments = datagram.fragments(&cuts);
        prop_assume!(fragments.len() > 1);
        let mut order: Vec<_> = (0..fragments.len()).collect();
        order.sort_by_key(|at| (keys[*at % keys.len()], *at));
        fragments = order.into_iter().map(|at| fragments[at].clone()).collect();
        let mut parts = simulation(workers);
        let found = fates(&mut parts, port, &fragments);
        prop_assert!(found.iter().all(|fate| *fate == expected), "{expected:?} {found:?}");
        prop_assert_eq!(parts.sessions_live(), whole.sessions_live());
        prop_assert_eq!(parts.count(expected.reason), fragments.len() as u64);
        let answers = |of: &Simulation| [Reason::SendReset, Reason::SendUnreachable].map(|why| of.count(why));
        prop_assert_eq!(answers(&parts), answers(&whole), "one answer");
        prop_assert_eq!(parts.held(), 0);
    }
}
