use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crossbeam::channel;
use etherparse::PacketBuilder;
use sekisho_engine::Config;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::policy::{Action, LogLevel, Policy, Rule, RuleNames, Ruleset, Zone, ZoneId};

use super::*;
use crate::memory::MemoryIo;
use crate::query::{Filter, RuleTally, Tally};

fn policy(generation: u32, allow: bool) -> Running {
    let action = if allow { Action::Allow } else { Action::Drop };
    let rule = Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", action) };
    let ruleset = Ruleset {
        default_log: LogLevel::All,
        zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
        rules: vec![rule],
        ..Ruleset::default()
    };
    Running::new(Arc::new(Policy::compile(generation, ruleset, &mut RuleNames::default())))
}

/// A UDP packet of flow `flow`, from the LAN side or back.
fn udp(flow: u16, from: Port) -> Vec<u8> {
    let (lan, wan) = ([192, 0, 2, 1], [203, 0, 113, 1]);
    let (source, destination, ports) = match from {
        Port::Lan => (lan, wan, (1024 + flow, 53)),
        Port::Wan => (wan, lan, (53, 1024 + flow)),
    };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, &[0; 18])
        .expect("writing to memory");
    frame
}

struct Rig {
    workers: Vec<Worker<MemoryIo>>,
    switch: Arc<Switch>,
    shared: Vec<Arc<WorkerShared>>,
}

impl Rig {
    fn new(workers: u16, ring: usize) -> Self {
        let switch = Arc::new(Switch::default());
        let handoff = Handoff::new(workers, ring);
        let (mut made, mut all_shared) = (Vec::new(), Vec::new());
        for worker in 0..workers {
            let config = Config {
                worker: worker as u8,
                capacity: 1000,
                secret: HashSecret([1, 2, 3, 4]),
                report_all_sessions: false,
            };
            let engine = Engine::new(config, policy(1, true), Instant::ZERO);
            let shared = Arc::new(WorkerShared::new(engine.counters(), 1000, 64));
            all_shared.push(Arc::clone(&shared));
            let config = WorkerConfig { worker, poll: PollMode::Busy };
            let io = MemoryIo::default();
            made.push(Worker::new(config, io, engine, Arc::clone(&switch), shared, handoff.clone()));
        }
        Self { workers: made, switch, shared: all_shared }
    }

    fn turn(&mut self) {
        for worker in &mut self.workers {
            worker.turn(Instant::from_secs(1));
        }
    }

    fn arrive(&mut self, worker: usize, port: Port, frame: Vec<u8>) {
        self.workers[worker].io.arriving[port.index()].push_back(frame);
    }

    fn sent(&self, port: Port) -> usize {
        self.workers.iter().map(|worker| worker.io.sent[port.index()].len()).sum()
    }

    fn reason(&self, reason: Reason) -> u64 {
        self.shared.iter().map(|shared| shared.engine.reason(reason).get()).sum()
    }
}

#[test]
fn forwards_what_the_policy_allows_and_counts_it() {
    let mut rig = Rig::new(1, 16);
    rig.arrive(0, Port::Lan, udp(1, Port::Lan));
    rig.turn();
    rig.arrive(0, Port::Wan, udp(1, Port::Wan));
    rig.arrive(0, Port::Wan, udp(2, Port::Wan));
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), rig.sent(Port::Lan)), (1, 1));
    assert_eq!(
        (rig.reason(Reason::SessionNew), rig.reason(Reason::Session), rig.reason(Reason::DefaultDrop)),
        (1, 1, 1)
    );
    let counters = &rig.shared[0].counters;
    let len = udp(1, Port::Lan).len() as u64;
    assert_eq!((counters.received[0].packets.get(), counters.received[0].bytes.get()), (1, len));
    assert_eq!((counters.received[1].packets.get(), counters.received[1].bytes.get()), (2, 2 * len));
    assert_eq!((counters.sent[1].packets.get(), counters.sent[1].bytes.get()), (1, len));
    let dropped = std::iter::from_fn(|| rig.shared[0].events.pop())
        .filter(|event| matches!(event, sekisho_engine::Event::Drop { .. }))
        .count();
    assert_eq!(dropped, 1);
}

/// What the appliance answers leaves by the port it came from, in the buffer of what it answers if there is room in that.
#[test]
fn an_answer_turns_around_in_the_buffer_of_its_question() {
    for (buffer_max, injected) in [(2048, 0), (10, 3)] {
        let mut rig = Rig::new(1, 16);
        let rules = vec![Rule::of_all("no", Action::Reject)];
        let zones = vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)];
        let ruleset = Ruleset { zones, rules, ..Ruleset::default() };
        let policy = Policy::compile(1, ruleset, &mut RuleNames::default());
        rig.workers[0].engine.set_policy(Running::new(Arc::new(policy)));
        rig.workers[0].io.buffer_max = buffer_max;
        for flow in 0..3 {
            rig.arrive(0, Port::Lan, udp(flow, Port::Lan));
        }
        rig.turn();
        let io = &rig.workers[0].io;
        assert_eq!((rig.sent(Port::Lan), rig.sent(Port::Wan), io.injected), (3, 0, injected));
        assert_eq!((rig.reason(Reason::RuleReject), rig.reason(Reason::SendUnreachable)), (3, 3));
        for (flow, frame) in (0..3).zip(&io.sent[Port::Lan.index()]) {
            let facts = packet::parse(frame, frame.len());
            assert_eq!((facts.fault, facts.icmp_type()), (None, 3));
            // The datagram that it quotes.
            assert_eq!(frame[42..], udp(flow, Port::Lan)[14..]);
        }
        let counters = &rig.shared[0].counters;
        assert_eq!((counters.sent[0].packets.get(), counters.own_frames_lost.get()), (3, 0));
    }
}

/// Whichever worker receives a frame, the session's owner inspects it, and both directions have the same owner.
#[test]
fn frames_find_their_owner_over_the_rings() {
    let mut rig = Rig::new(3, 512);
    for flow in 0..200 {
        rig.arrive(flow as usize % 3, Port::Lan, udp(flow, Port::Lan));
    }
    for _ in 0..8 {
        rig.turn();
    }
    for flow in 0..200 {
        rig.arrive((flow as usize + 1) % 3, Port::Wan, udp(flow, Port::Wan));
    }
    for _ in 0..8 {
        rig.turn();
    }
    assert_eq!((rig.sent(Port::Wan), rig.sent(Port::Lan)), (200, 200));
    assert_eq!((rig.reason(Reason::SessionNew), rig.reason(Reason::Session)), (200, 200));
    let over: u64 = rig.shared.iter().map(|shared| shared.counters.handed_over.get()).sum();
    let into: u64 = rig.shared.iter().map(|shared| shared.counters.handed_in.get()).sum();
    assert_eq!(over, into);
    assert!(over > 150, "two thirds are on the wrong worker: {over} of 400");
    assert!(rig.shared.iter().all(|shared| shared.engine.opened.get() > 20), "every worker owns some");
}

/// What a device found right is not looked at again; what it found wrong, or did not look at, is; and a wrong sum is
/// dropped where it came in.
#[test]
fn checksums_are_verified_where_the_device_did_not() {
    let mut wrong = udp(1, Port::Lan);
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    for (device, is_believed) in
        [(DeviceChecksum::NotChecked, false), (DeviceChecksum::Bad, false), (DeviceChecksum::Good, true)]
    {
        let mut rig = Rig::new(3, 64);
        for worker in 0..3 {
            rig.workers[worker].io.checksum = device;
            rig.arrive(worker, Port::Lan, wrong.clone());
            rig.arrive(worker, Port::Lan, udp(2, Port::Lan));
        }
        rig.turn();
        rig.turn();
        let dropped = if is_believed { 0 } else { 3 };
        assert_eq!(rig.reason(Reason::UdpBadChecksum), dropped, "{device:?}");
        assert_eq!(rig.sent(Port::Wan) as u64, 6 - dropped, "{device:?}");
    }
}

#[test]
fn a_full_hand_off_ring_drops_and_counts() {
    let mut rig = Rig::new(2, PARCEL_MAX);
    for flow in 0..64 {
        rig.arrive(0, Port::Lan, udp(flow, Port::Lan));
    }
    rig.workers[0].turn(Instant::ZERO);
    let (passed, dropped) = (rig.shared[0].counters.handed_over.get(), rig.reason(Reason::HandoffFull));
    assert_eq!(passed, PARCEL_MAX as u64);
    assert!(dropped > 10);
    assert_eq!(rig.sent(Port::Wan) as u64 + passed + dropped, 64);
}

#[test]
fn a_full_transmit_queue_drops_and_counts() {
    let mut rig = Rig::new(1, 4);
    rig.workers[0].io.send_max = 10;
    for flow in 0..30 {
        rig.arrive(0, Port::Lan, udp(flow, Port::Lan));
    }
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), rig.reason(Reason::TransmitFull)), (10, 20));
}

mod fragments;

#[test]
fn a_frame_too_long_for_the_other_port_is_dropped_by_name() {
    let mut rig = Rig::new(1, 4);
    rig.workers[0].io.frame_max = 50;
    rig.arrive(0, Port::Lan, udp(1, Port::Lan));
    rig.turn();
    assert_eq!((rig.sent(Port::Wan), rig.reason(Reason::TooLong)), (0, 1));
}

#[test]
fn all_workers_switch_when_told_and_none_before() {
    let mut rig = Rig::new(2, 16);
    for shared in &rig.shared {
        shared.policies.push(policy(2, false)).expect("there is room for one");
    }
    rig.workers[0].keep_house(Instant::ZERO);
    rig.turn();
    let generations =
        |rig: &Rig| [0, 1].map(|w| (rig.shared[w].prepared.load(SeqCst), rig.shared[w].running.load(SeqCst)));
    assert_eq!(generations(&rig), [(2, 1), (0, 1)], "one has it at hand, none runs it");
    rig.workers[1].keep_house(Instant::ZERO);
    rig.switch.generation.store(2, SeqCst);
    rig.turn();
    assert_eq!(generations(&rig), [(2, 2), (2, 2)]);
    for shared in &rig.shared {
        assert_eq!(shared.retired.pop().map(|old| old.policy.generation), Some(1), "the old one comes back");
    }
    rig.arrive(0, Port::Lan, udp(1, Port::Lan));
    rig.turn();
    rig.turn();
    assert_eq!(rig.reason(Reason::RuleDrop), 1);
}

fn ask(rig: &mut Rig, filter: Filter, order: Order, cursor: u32, room: usize) -> Answer {
    let (answer, answers) = channel::bounded(1);
    let request = Request { filter, order, cursor, page: Vec::with_capacity(room), answer };
    rig.shared[0].requests.push(Question::Sessions(request)).expect("there is room");
    for _ in 0..1000 {
        rig.workers[0].keep_house(Instant::from_secs(2));
        if let Ok(answer) = answers.try_recv() {
            return answer;
        }
    }
    panic!("no answer");
}

#[test]
fn sessions_are_listed_page_by_page_counted_and_ended() {
    let mut rig = Rig::new(1, 16);
    for flow in 0..700 {
        rig.arrive(0, Port::Lan, udp(flow, Port::Lan));
    }
    for _ in 0..20 {
        rig.turn();
        while rig.shared[0].events.pop().is_some() {}
    }
    let (mut seen, mut cursor) = (Vec::new(), Some(0));
    while let Some(from) = cursor {
        let answer = ask(&mut rig, Filter::default(), Order::List, from, 100);
        assert!(answer.page.len() <= 100);
        seen.extend(answer.page.iter().map(|session| session.five_tuple.source_port));
        cursor = answer.next;
    }
    seen.sort_unstable();
    assert_eq!(seen, (1024..1724).collect::<Vec<_>>(), "each exactly once");

    let one = Filter { port: Some(1030), ..Filter::default() };
    assert_eq!(ask(&mut rig, one.clone(), Order::Count, 0, 0).matched, 1);
    assert_eq!(ask(&mut rig, one.clone(), Order::End(Reason::EndOperator), 0, 10).page.len(), 1);
    assert_eq!(ask(&mut rig, one, Order::Count, 0, 0).matched, 0);
    assert_eq!(rig.reason(Reason::EndOperator), 1);
    assert_eq!(ask(&mut rig, Filter::default(), Order::Count, 0, 0).matched, 699);
}

#[test]
fn stops_when_told_and_ends_its_sessions_for_the_log() {
    let mut rig = Rig::new(1, 16);
    rig.arrive(0, Port::Lan, udp(1, Port::Lan));
    let worker = rig.workers.remove(0);
    let (switch, shared) = (Arc::clone(&rig.switch), Arc::clone(&rig.shared[0]));
    let thread = thread::spawn(move || worker.run());
    while shared.engine.opened.get() == 0 {
        thread::yield_now();
    }
    switch.stop.store(true, SeqCst);
    let io = thread.join().expect("the loop ends");
    assert_eq!(io.sent[1].len(), 1);
    assert_eq!(shared.engine.reason(Reason::EndShutdown).get(), 1);
}

fn put(rig: &mut Rig, question: Question) {
    rig.shared[0].requests.push(question).expect("there is room");
}

fn weighed(rig: &mut Rig, candidate: &Running, samples_max: usize) -> Tally {
    let (answer, answers) = channel::bounded(1);
    let tally = Tally::new(2, samples_max, 3);
    put(
        rig,
        Question::Weigh(Weighing { candidate: Arc::clone(&candidate.policy), cursor: 0, tally, answer }),
    );
    for turns in 0..1000 {
        rig.workers[0].keep_house(Instant::from_secs(2));
        if let Ok(weighing) = answers.try_recv() {
            assert!(turns >= 5, "700 sessions take more than one turn");
            return weighing.tally;
        }
    }
    panic!("no answer");
}

#[test]
fn sessions_are_weighed_against_another_policy_and_nothing_changes() {
    let mut rig = Rig::new(1, 16);
    for flow in 0..700 {
        rig.arrive(0, Port::Lan, udp(flow, Port::Lan));
    }
    for _ in 0..20 {
        rig.turn();
    }
    let same = weighed(&mut rig, &policy(2, true), 10);
    assert_eq!((same.sessions, same.rules[1], same.samples.len()), (700, RuleTally::default(), 0));
    let closed = weighed(&mut rig, &policy(2, false), 10);
    assert_eq!((closed.sessions, closed.rules[1].outlives, closed.rules[1].ends), (700, 700, 0));
    assert_eq!(closed.samples.len(), 3, "no more of one rule");
    assert_eq!(weighed(&mut rig, &policy(2, false), 2).samples.len(), 2, "no more than there is room for");
    assert_eq!(rig.shared[0].engine.sessions_live(), 700);
    assert_eq!(rig.workers[0].engine.running().policy.generation, 1);
}

#[test]
fn a_five_tuple_is_looked_up_in_one_turn() {
    let mut rig = Rig::new(1, 16);
    rig.arrive(0, Port::Lan, udp(1, Port::Lan));
    rig.turn();
    let mut look = |flow: u16, at_secs| {
        let (answer, answers) = channel::bounded(1);
        let frame = udp(flow, Port::Wan);
        let facts = packet::parse(&frame, frame.len());
        let key = sekisho_engine::flow::FlowKey::of(&facts, Port::Wan).expect("it has ends");
        put(&mut rig, Question::Look(crate::query::Look { key, answer }));
        rig.workers[0].keep_house(Instant::from_secs(at_secs));
        answers.try_recv().expect("an answer in one turn")
    };
    let live = look(1, 2);
    assert_eq!(live.session.map(|session| session.five_tuple.source_port), Some(1025));
    assert_eq!((live.ended, look(2, 2)), (None, Default::default()));
    let late = look(1, 60);
    let ended = late.ended.expect("it was cut").1;
    assert_eq!((late.session, ended.reason, ended.timeout), (None, Reason::EndIdle, Duration::from_secs(30)));
}

#[test]
fn prefixes_of_one_sided_traffic_are_listed_with_their_age() {
    let mut rig = Rig::new(1, 16);
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([203, 0, 113, 9], [192, 0, 2, 1], 64);
    builder.tcp(443, 1025, 7, 1000).syn().ack(9).write(&mut frame, &[]).expect("writing to memory");
    rig.arrive(0, Port::Wan, frame);
    rig.turn();
    let (answer, answers) = channel::bounded(1);
    let prefixes = Vec::with_capacity(Engine::ONE_SIDED_MAX);
    put(&mut rig, Question::OneSided(crate::query::OneSidedList { prefixes, answer }));
    rig.workers[0].keep_house(Instant::from_secs(5));
    let prefixes = answers.try_recv().expect("an answer in one turn");
    let [(prefix, age)] = prefixes[..] else { panic!("{prefixes:?}") };
    assert_eq!(
        (prefix.address.to_string().as_str(), prefix.len, prefix.port),
        ("203.0.113.0", 24, Port::Wan)
    );
    assert_eq!((prefix.total(), age), (1, Duration::from_secs(4)));
}
