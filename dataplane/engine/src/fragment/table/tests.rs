use proptest::prelude::*;

use super::*;
use crate::flow::{Ends, FlowKey};
use crate::packet::{self, VlanStack};

fn key(source: u32, identification: u16) -> Key {
    let flow = FlowKey {
        addresses: Ends::V4 { lan: source, wan: 1 },
        lan_port: 0,
        wan_port: identification,
        protocol: 17,
        vlan: VlanStack::UNTAGGED,
    };
    Key { flow, port: Port::Lan }
}

fn fragment(offset: u16) -> Fragment {
    Fragment { offset, more: true, identification: 0, at: 34, len: 8 }
}

/// The sum of a fragment full of this byte.
fn sum_of(byte: u8) -> Option<packet::PieceSum> {
    let frame = [byte; 8];
    let mut facts = packet::parse(&[], 8);
    facts.fault = None;
    facts.fragment = Some(Fragment { at: 0, ..fragment(8) });
    (facts.transport_at, facts.transport_len) = (0, 8);
    packet::sum_piece(&facts, [&frame[..]])
}

impl Fragments {
    /// Counts everything anew.
    fn check(&self) {
        let mut frames = 0;
        let all: Vec<_> = self.by_age.entries(ALL).collect();
        assert_eq!(all.len(), self.datagrams());
        assert!(all.len() <= DATAGRAMS_MAX);
        assert!(all.is_sorted_by_key(|at| self.datagrams[usize::from(*at)].began), "oldest first");
        let (mut per_source, mut frames_per_source) = (vec![0; DATAGRAMS_MAX], vec![0; DATAGRAMS_MAX]);
        for at in &all {
            let datagram = &self.datagrams[usize::from(*at)];
            frames += datagram.frames();
            per_source[usize::from(datagram.source)] += 1;
            frames_per_source[usize::from(datagram.source)] += datagram.frames();
            let bucket = bucket(high(self.secret.hash(&datagram.key.flow)));
            assert!(self.by_hash.entries(bucket).any(|other| other == *at), "it is found");
        }
        assert_eq!(frames, self.frames);
        assert!(frames <= FRAMES_MAX);
        for (source, (datagrams, frames)) in per_source.into_iter().zip(frames_per_source).enumerate() {
            assert!(datagrams <= DATAGRAMS_PER_SOURCE && frames <= FRAMES_PER_SOURCE);
            if datagrams > 0 {
                let source = u16::try_from(source).expect("few sources");
                assert_eq!(
                    (self.sources.datagrams(source), self.sources.frames(source)),
                    (datagrams, frames)
                );
                assert_eq!(self.by_source.entries(usize::from(source)).count(), datagrams);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Few sources or many, many datagrams of few fragments or few of many: the bounds hold, and the counts are right.
    #[test]
    fn bounds_hold_under_any_flood(
        seed: u32,
        sources in prop::sample::select(vec![1u32, 3, 40, 5000]),
        names in prop::sample::select(vec![1u32, 8, 500]),
        steps in 1000..6000u32,
    ) {
        let mut fragments = Fragments::new(HashSecret([seed.into(), 2, 3, 4]));
        let facts = packet::parse(&[], 60);
        let sums = [sum_of(0), sum_of(1)];
        let (mut random, mut held) = (seed | 1, 0);
        for step in 0..steps {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let key = key(random % sources, (random / 7 % names) as u16);
            let piece = fragment((random >> 8) as u16 % 200 * 8);
            let sum = sums[random as usize & 1];
            let carried = Carried { sum: || sum, fits: true };
            let now = Instant::from_nanos(step.into());
            let mut gone = 0;
            let mut dropped = |one: Dropped| gone += one.frames;
            let sorted = fragments.sort_in(now, (&key, &piece), &facts, &[], carried, &mut dropped);
            held += u64::from(matches!(sorted, Sorted::Held(_)));
            held -= gone;
            prop_assert_eq!(held, fragments.frames() as u64);
            if step % 64 == 0 {
                fragments.check();
            }
        }
        fragments.check();
        while fragments.datagrams() > 0 {
            fragments.drop_oldest(Reason::FragmentIncomplete, &mut |one| held -= one.frames);
        }
        prop_assert_eq!((held, fragments.frames()), (0, 0));
        fragments.check();
    }
}
