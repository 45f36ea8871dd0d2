use sekisho_engine::fragment::DATAGRAMS_PER_SOURCE;
use sekisho_engine::packet::checksum::Sum;
use sekisho_engine::steer;

use super::*;

/// A UDP datagram of flow `flow` from the LAN, of `len` bytes, in fragments of 80.
fn datagram(flow: u16, identification: u16, len: usize) -> Vec<Vec<u8>> {
    let whole = {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [203, 0, 113, 1], 64)
            .udp(1024 + flow, 53)
            .write(&mut frame, &vec![9; len - 8])
            .expect("writing to memory");
        frame
    };
    let (head, payload) = whole.split_at(34);
    let pieces = payload.chunks(80).enumerate().map(|(number, piece)| {
        let mut frame = head.to_vec();
        let more = if (number + 1) * 80 < payload.len() { 0x2000 } else { 0 };
        frame[16..18].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        frame[18..20].copy_from_slice(&identification.to_be_bytes());
        frame[20..22].copy_from_slice(&(more + number as u16 * 10).to_be_bytes());
        frame[24..26].fill(0);
        let mut sum = Sum::default();
        sum.add(&frame[14..]);
        frame[24..26].copy_from_slice(&(!sum.folded()).to_be_bytes());
        frame.extend(piece);
        frame
    });
    pieces.collect()
}

fn held(rig: &Rig) -> u64 {
    let gauges: u64 = rig.shared.iter().map(|shared| shared.engine.fragments_held.get()).sum();
    let shelves: usize = rig.workers.iter().map(|worker| worker.shelf.len()).sum();
    assert_eq!(gauges, shelves as u64);
    gauges
}

#[test]
fn a_datagram_leaves_as_it_came_when_it_is_whole() {
    let mut rig = Rig::new(1, 16);
    let fragments = datagram(1, 7, 300);
    let order = [2, 0, 3, 1];
    for at in &order[..3] {
        rig.arrive(0, Port::Lan, fragments[*at].clone());
    }
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), held(&rig)), (0, 3));
    // What belongs to no datagram goes its way meanwhile.
    rig.arrive(0, Port::Lan, udp(2, Port::Lan));
    rig.arrive(0, Port::Lan, fragments[1].clone());
    rig.turn();
    assert_eq!(held(&rig), 0);
    let left: Vec<_> = order.iter().map(|at| fragments[*at].clone()).collect();
    assert_eq!(rig.workers[0].io.sent[1], [vec![udp(2, Port::Lan)], left].concat());
    assert_eq!(rig.reason(Reason::SessionNew), 5);
    let counters = &rig.shared[0].counters;
    assert_eq!(counters.received[0].packets.get(), counters.sent[1].packets.get());
}

/// Fragments meet on the worker that owns their addresses; the datagram goes to the one that owns its session.
#[test]
fn a_whole_datagram_is_handed_over_in_one_piece() {
    let mut rig = Rig::new(3, 512);
    for flow in 0..60 {
        for (number, fragment) in datagram(flow, flow, 300).into_iter().enumerate() {
            rig.arrive((usize::from(flow) + number) % 3, Port::Lan, fragment);
        }
    }
    for _ in 0..12 {
        rig.turn();
    }
    assert_eq!((rig.sent(Port::Wan), held(&rig)), (240, 0));
    for flow in 0..60 {
        rig.arrive(usize::from(flow) % 3, Port::Wan, udp(flow, Port::Wan));
    }
    for _ in 0..8 {
        rig.turn();
    }
    assert_eq!(rig.sent(Port::Lan), 60, "their sessions are where answers look for them");
    assert_eq!((rig.reason(Reason::SessionNew), rig.reason(Reason::Session)), (240, 60));
    let over: u64 = rig.shared.iter().map(|shared| shared.counters.handed_over.get()).sum();
    let into: u64 = rig.shared.iter().map(|shared| shared.counters.handed_in.get()).sum();
    assert_eq!(over, into);
    assert!(rig.shared.iter().all(|shared| shared.engine.opened.get() > 5), "every worker owns some");
    // Every bundle is back: as many datagrams pass again, many times over.
    for round in 1..20 {
        for flow in 0..60 {
            let fragments = datagram(flow, round * 60 + flow, 300);
            fragments.into_iter().for_each(|fragment| rig.arrive(0, Port::Lan, fragment));
        }
        for _ in 0..12 {
            rig.turn();
        }
    }
    assert_eq!(rig.sent(Port::Wan), 240 * 20);
}

/// A flow whose fragments meet on the first worker, and whose session the second owns.
fn flow_to_hand_over(nth: usize) -> u16 {
    let owner = |frame: &[u8]| steer::owner(&packet::parse(frame, frame.len()), frame, 2);
    let collector = owner(&datagram(0, 1, 300)[0]);
    let flows = (0..1000).filter(|flow| owner(&udp(*flow, Port::Lan)) != collector);
    flows.clone().nth(nth).expect("half of all")
}

#[test]
fn a_full_hand_off_ring_drops_the_whole_datagram() {
    let mut rig = Rig::new(2, 4);
    let collector = steer::owner(&packet::parse(&datagram(0, 1, 300)[0], 114), &datagram(0, 1, 300)[0], 2);
    let collector = usize::from(collector);
    for number in 0..10 {
        let fragments = datagram(flow_to_hand_over(number as usize), number, 300);
        fragments.into_iter().for_each(|fragment| rig.arrive(collector, Port::Lan, fragment));
    }
    rig.workers[collector].turn(Instant::ZERO);
    assert_eq!((rig.reason(Reason::HandoffFull), held(&rig)), (6 * 4, 0));
    rig.workers[1 - collector].turn(Instant::ZERO);
    assert_eq!((rig.sent(Port::Wan), rig.reason(Reason::SessionNew)), (4 * 4, 4 * 4));
}

/// Bundles hold no more frames on their way than the ring for single frames does.
#[test]
fn frames_that_wait_in_bundles_are_bounded() {
    let mut rig = Rig::new(2, 200);
    let collector = steer::owner(&packet::parse(&datagram(0, 1, 300)[0], 114), &datagram(0, 1, 300)[0], 2);
    let collector = usize::from(collector);
    for number in 0..5 {
        let fragments = datagram(flow_to_hand_over(number as usize), number, 5_000);
        assert_eq!(fragments.len(), 63);
        fragments.into_iter().for_each(|fragment| rig.arrive(collector, Port::Lan, fragment));
    }
    for _ in 0..20 {
        rig.workers[collector].turn(Instant::ZERO);
    }
    assert_eq!((rig.reason(Reason::HandoffFull), held(&rig)), (2 * 63, 0));
    for _ in 0..20 {
        rig.workers[1 - collector].turn(Instant::ZERO);
    }
    assert_eq!(rig.sent(Port::Wan), 3 * 63);
}

/// A fragment that is no good spoils its datagram wherever it arrives.
#[test]
fn a_malformed_fragment_goes_to_the_others() {
    let mut rig = Rig::new(2, 16);
    let fragments = datagram(1, 7, 300);
    let collector = usize::from(steer::owner(&packet::parse(&fragments[0], 114), &fragments[0], 2));
    let mut ragged = fragments[1].clone();
    ragged.pop();
    ragged[17] -= 1;
    ragged[24..26].fill(0);
    let mut sum = Sum::default();
    sum.add(&ragged[14..34]);
    ragged[24..26].copy_from_slice(&(!sum.folded()).to_be_bytes());
    rig.arrive(1 - collector, Port::Lan, ragged);
    rig.turn();
    rig.turn();
    fragments.into_iter().for_each(|fragment| rig.arrive(collector, Port::Lan, fragment));
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), held(&rig), rig.reason(Reason::FragmentMalformed)), (0, 0, 5));
}

#[test]
fn what_does_not_become_whole_is_freed_when_its_time_is_over() {
    let mut rig = Rig::new(1, 4);
    rig.arrive(0, Port::Lan, datagram(1, 7, 300)[0].clone());
    rig.turn();
    rig.workers[0].keep_house(Instant::from_secs(30));
    assert_eq!(held(&rig), 1);
    rig.workers[0].keep_house(Instant::from_secs(31));
    assert_eq!((held(&rig), rig.reason(Reason::FragmentIncomplete)), (0, 1));
}

#[test]
fn a_flood_holds_no_more_than_its_share() {
    let mut rig = Rig::new(1, 4);
    for number in 0..5000 {
        rig.arrive(0, Port::Lan, datagram(1, number, 300)[0].clone());
        rig.turn();
        assert!(held(&rig) <= DATAGRAMS_PER_SOURCE as u64);
    }
    assert_eq!(rig.reason(Reason::FragmentEvicted), 5000 - DATAGRAMS_PER_SOURCE as u64);
}

#[test]
fn a_fragment_too_long_for_the_other_port_drops_all_of_its_datagram() {
    let mut rig = Rig::new(1, 4);
    rig.workers[0].io.frame_max = 100;
    for fragment in datagram(1, 7, 300).into_iter().rev() {
        rig.arrive(0, Port::Lan, fragment);
    }
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), held(&rig), rig.reason(Reason::TooLong)), (0, 0, 4));
}

#[test]
fn a_stop_drops_what_waits_by_name() {
    let mut rig = Rig::new(1, 4);
    rig.arrive(0, Port::Lan, datagram(1, 7, 300)[0].clone());
    rig.turn();
    assert_eq!(held(&rig), 1);
    rig.switch.stop.store(true, SeqCst);
    let io = rig.workers.remove(0).run();
    assert!(io.sent.iter().all(Vec::is_empty));
    assert_eq!(rig.reason(Reason::FragmentIncomplete), 1);
    assert_eq!(rig.shared[0].engine.fragments_held.get(), 0);
}
