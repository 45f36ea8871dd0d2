//! What is counted: a burst as a worker meets it, from the device's queue to the device's queue; and a look-up in the
//! rules alone.

use std::hint::black_box;
use std::sync::Arc;

use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::policy::{
    Action, Classifier, Policy, Protections, Query, Rule, RuleNames, Ruleset, SpoofingMode, SynProxyMode,
    Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Running};
use sekisho_worker::shared::{Handoff, Switch, WorkerShared};
use sekisho_worker::{PollMode, Worker, WorkerConfig};

use crate::frames::{Ends, Segment, TCP_PAYLOAD};
use crate::io::{Script, ScriptIo};
use crate::sets::{self, Random, Style, Version};

/// Frames that arrive on a port in a turn.
const BURST: usize = 32;
/// Live sessions; a multiple of [`BURST`].
const SESSIONS: u16 = 2048;
/// Packets of each session and direction that are counted.
const ROUNDS: u32 = 8;
/// Sessions that begin while it is counted; a multiple of [`BURST`].
const BEGINNINGS: usize = 8192;
/// Lookups that are counted.
const LOOKUPS: usize = 8192;
const CAPACITY: u32 = 65_536;
/// A turn takes so long.
const TURN: Duration = Duration::from_nanos(10_000);

/// Makes a scene ready.
type Make = fn() -> Scene;

/// All scenes, by what each is called.
pub const SCENES: &[(&str, Make)] = &[
    ("established/udp-v4", || established_udp(Version::V4, 1, DeviceChecksum::Good)),
    ("established/udp-v6", || established_udp(Version::V6, 1, DeviceChecksum::Good)),
    ("established/tcp-v4", || established_tcp(Version::V4)),
    ("established/tcp-v6", || established_tcp(Version::V6)),
    ("unverified/udp-v4", || established_udp(Version::V4, 1, DeviceChecksum::NotChecked)),
    ("handed-over/udp-v4", || established_udp(Version::V4, 2, DeviceChecksum::Good)),
    ("setup/udp-v4/10-rules", || setup_ten(Version::V4, false)),
    ("setup/udp-v6/10-rules", || setup_ten(Version::V6, false)),
    ("setup/tcp-v4/10-rules", || setup_ten(Version::V4, true)),
    ("setup/mixed-v4/10k-rules", setup_10k),
    ("setup/udp-v4/full-table", setup_full),
    ("flood/ack-v4/10-rules", || flood(Strange::Ack)),
    ("flood/refused-v4/10-rules", || flood(Strange::Udp)),
    ("flood/refused-syn-v4/10-rules", || flood(Strange::Syn)),
    ("flood/first-fragment-v4", || flood(Strange::Fragment)),
    ("own/cookie-v4", || own(Answer::Cookie)),
    ("own/reset-v4", || own(Answer::Reset)),
    ("own/unreachable-v4", || own(Answer::Unreachable)),
    ("lookup/fw-v4/10k-rules", || lookup(Version::V4)),
    ("lookup/fw-v6/10k-rules", || lookup(Version::V6)),
];

/// A scene that is ready to run, once.
pub struct Scene {
    /// Packets or lookups.
    pub operations: u64,
    /// What is counted.
    pub run: Box<dyn FnMut()>,
    /// Looks whether what was counted is what its name says.
    pub check: Box<dyn FnOnce()>,
}

/// UDP packets of live sessions in both directions. All arrive at the first of `workers`; the
/// device says `checksum` of all.
fn established_udp(version: Version, workers: u16, checksum: DeviceChecksum) -> Scene {
    let mut random = Random(2);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|number| Ends::any(number, version, &mut random)).collect();
    let frames = |sessions: &[Ends], from| sessions.iter().map(|ends| ends.udp(from)).collect::<Vec<_>>();
    let mut script = Script::new(checksum);
    for some in sessions.chunks(BURST) {
        script.turn(frames(some, Port::Lan), frames(some, Port::Wan));
    }
    let begin = script.turns();
    for _ in 0..ROUNDS {
        shuffle(&mut sessions, &mut random);
        for some in sessions.chunks(BURST) {
            script.turn(frames(some, Port::Lan), frames(some, Port::Wan));
        }
    }
    established(script, begin, workers)
}

/// TCP segments of live sessions in both directions, each with data and an acknowledgement of what came before.
fn established_tcp(version: Version) -> Scene {
    let mut random = Random(3);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|number| Ends::any(number, version, &mut random)).collect();
    let (lan_first, wan_first) = (1_000_000_u32, 2_000_000_u32);
    let mut script = Script::new(DeviceChecksum::Good);
    for some in sessions.chunks(BURST) {
        let syn = Segment { is_syn: true, sequence: lan_first, acknowledged: None, payload: 0 };
        let answer =
            Segment { is_syn: true, sequence: wan_first, acknowledged: Some(lan_first + 1), payload: 0 };
        script.turn(
            some.iter().map(|ends| ends.tcp(Port::Lan, syn)).collect(),
            some.iter().map(|ends| ends.tcp(Port::Wan, answer)).collect(),
        );
    }
    let mut round = |number: u32, script: &mut Script| {
        let sent = number * TCP_PAYLOAD as u32;
        let (lan, wan) = (lan_first + 1 + sent, wan_first + 1 + sent);
        let payload = TCP_PAYLOAD;
        let request = Segment { is_syn: false, sequence: lan, acknowledged: Some(wan), payload };
        let acknowledged = Some(lan + TCP_PAYLOAD as u32);
        let response = Segment { is_syn: false, sequence: wan, acknowledged, payload };
        shuffle(&mut sessions, &mut random);
        for some in sessions.chunks(BURST) {
            script.turn(
                some.iter().map(|ends| ends.tcp(Port::Lan, request)).collect(),
                some.iter().map(|ends| ends.tcp(Port::Wan, response)).collect(),
            );
        }
    };
    // The first of them completes the handshake.
    round(0, &mut script);
    let begin = script.turns();
    (1..=ROUNDS).for_each(|number| round(number, &mut script));
    established(script, begin, 1)
}

/// Counts the turns of `script` from `begin` on, in which nothing but packets of live sessions arrives.
fn established(script: Script, begin: usize, workers: u16) -> Scene {
    let turns = script.turns() - begin;
    let operations = 2 * u64::from(SESSIONS) * u64::from(ROUNDS);
    let mut rig = Rig::new(workers, script, ten_rules());
    rig.play(begin);
    let before = rig.figures();
    let reading = rig.reading();
    Scene {
        operations,
        run: Box::new(move || rig.play(turns)),
        check: Box::new(move || {
            let after = reading();
            assert_eq!(after.of_sessions - before.of_sessions, operations, "packets of live sessions");
            assert_eq!(after.sent - before.sent, operations, "packets that were forwarded");
            let handed_over = after.handed_over - before.handed_over;
            assert_eq!(handed_over > operations / 3, workers > 1, "{handed_over} were handed over");
        }),
    }
}

/// First packets, against ten rules of which the last allows them.
fn setup_ten(version: Version, is_tcp: bool) -> Scene {
    let mut random = Random(4);
    let syn = Segment { is_syn: true, sequence: 7_000_000, acknowledged: None, payload: 0 };
    let frames = (0..BEGINNINGS as u16).map(|number| {
        let ends = Ends::any(number, version, &mut random);
        if is_tcp { ends.tcp(Port::Lan, syn) } else { ends.udp(Port::Lan) }
    });
    setup(frames.collect(), ten_rules())
}

/// First packets that find a table full of others which nobody answered: one of them goes for each.
fn setup_full() -> Scene {
    let mut random = Random(7);
    let mut frames = || {
        let numbers = 0..BEGINNINGS as u16;
        numbers.map(|number| Ends::any(number, Version::V4, &mut random).udp(Port::Lan)).collect::<Vec<_>>()
    };
    let mut script = Script::new(DeviceChecksum::Good);
    let (before, counted) = (frames(), frames());
    for some in before.chunks(BURST).chain(counted.chunks(BURST)) {
        script.turn(some.to_vec(), Vec::new());
    }
    let turns = BEGINNINGS / BURST;
    let mut rig = Rig::with_capacity(BEGINNINGS as u32, 1, script, ten_rules());
    rig.play(turns);
    let before = rig.figures();
    let reading = rig.reading();
    Scene {
        operations: BEGINNINGS as u64,
        run: Box::new(move || rig.play(turns)),
        check: Box::new(move || {
            let after = reading();
            assert_eq!(after.opened - before.opened, BEGINNINGS as u64, "sessions that were opened");
            assert_eq!(after.evicted - before.evicted, BEGINNINGS as u64, "sessions that made room");
        }),
    }
}

/// First packets of what the 10,000 rules of a firewall speak of.
fn setup_10k() -> Scene {
    let (ruleset, queries) = sets::classbench(Style::Fw, Version::V4, 10_000, 2 * BEGINNINGS, 1);
    let syn = Segment { is_syn: true, sequence: 7_000_000, acknowledged: None, payload: 0 };
    let frames = queries.iter().filter(|query| is_of_a_session(query)).zip(1024..).map(|(query, port)| {
        let ends = Ends { addresses: [query.source, query.destination], ports: [port, query.selector] };
        if query.protocol == 6 { ends.tcp(Port::Lan, syn) } else { ends.udp(Port::Lan) }
    });
    setup(frames.take(BEGINNINGS).collect(), ruleset)
}

/// Whether it is UDP or TCP, from a host to a host.
fn is_of_a_session(query: &Query) -> bool {
    let is_host = |address: core::net::IpAddr| match address {
        core::net::IpAddr::V4(address) => matches!(address.octets()[0], 1..=126 | 128..=223),
        core::net::IpAddr::V6(_) => true,
    };
    matches!(query.protocol, 6 | 17)
        && query.selector > 0
        && is_host(query.source)
        && is_host(query.destination)
}

/// Counts how `frames` open a session each.
fn setup(frames: Vec<Vec<u8>>, ruleset: Ruleset) -> Scene {
    let operations = frames.len() as u64;
    assert_eq!(frames.len(), BEGINNINGS, "enough packets");
    let mut script = Script::new(DeviceChecksum::Good);
    // What the first packet of a process alone sees to: the processor's features are asked once.
    let other = Ends::any(u16::MAX - 10_000, Version::V4, &mut Random(5));
    script.turn(vec![other.udp(Port::Lan)], vec![other.udp(Port::Wan)]);
    let mut frames = frames.into_iter();
    while frames.len() > 0 {
        script.turn(frames.by_ref().take(BURST).collect(), Vec::new());
    }
    let turns = script.turns() - 1;
    let mut rig = Rig::new(1, script, ruleset);
    rig.play(1);
    let before = rig.figures();
    let reading = rig.reading();
    Scene {
        operations,
        run: Box::new(move || rig.play(turns)),
        check: Box::new(move || {
            let after = reading();
            assert_eq!(after.opened - before.opened, operations, "sessions that were opened");
            assert_eq!(after.sent - before.sent, operations, "packets that were forwarded");
        }),
    }
}

/// A packet of a random source that opens nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strange {
    /// An acknowledgement of what nobody said.
    Ack,
    /// UDP that the rules refuse.
    Udp,
    /// A SYN that the rules refuse.
    Syn,
    /// A first fragment, for which another one makes room.
    Fragment,
}

/// Packets of random sources that open nothing.
fn flood(kind: Strange) -> Scene {
    let mut random = Random(6);
    let ack = Segment { is_syn: false, sequence: 7_000_000, acknowledged: Some(8_000_000), payload: 0 };
    let syn = Segment { is_syn: true, sequence: 7_000_000, acknowledged: None, payload: 0 };
    let frames: Vec<_> = (0..BEGINNINGS as u16)
        .map(|number| {
            let ends = Ends::any(number, Version::V4, &mut random);
            match kind {
                Strange::Ack => ends.tcp(Port::Wan, ack),
                Strange::Udp => ends.udp(Port::Wan),
                Strange::Syn => ends.tcp(Port::Wan, syn),
                Strange::Fragment => ends.first_fragment(Port::Wan),
            }
        })
        .collect();
    let refuse = Rule { from: Some(vec![ZoneId(1)]), ..Rule::of_all("refuse", Action::Drop) };
    // As many fragments as wait at the most come before, so that each of the others finds no room.
    let warm_up: Vec<_> = match kind {
        Strange::Fragment => (0..BEGINNINGS as u16)
            .map(|number| Ends::any(number, Version::V4, &mut random).first_fragment(Port::Wan))
            .collect(),
        _ => frames[..BURST].to_vec(),
    };
    stray(&warm_up, &frames, refuse, move |figures| match kind {
        Strange::Ack => figures.no_session,
        Strange::Udp | Strange::Syn => figures.refused,
        Strange::Fragment => figures.fragments_evicted,
    })
}

/// What the appliance answers a packet with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Cookie,
    Reset,
    Unreachable,
}

/// Packets of random sources that the appliance answers itself.
fn own(answer: Answer) -> Scene {
    let mut random = Random(8);
    let syn = Segment { is_syn: true, sequence: 7_000_000, acknowledged: None, payload: 0 };
    let frames: Vec<_> = (0..BEGINNINGS as u16)
        .map(|number| {
            let ends = Ends::any(number, Version::V4, &mut random);
            match answer {
                Answer::Cookie | Answer::Reset => ends.tcp(Port::Wan, syn),
                Answer::Unreachable => ends.udp(Port::Wan),
            }
        })
        .collect();
    let from = Some(vec![ZoneId(1)]);
    let rule = match answer {
        Answer::Cookie => {
            Rule { from, syn_proxy: SynProxyMode::Always, ..Rule::of_all("shield", Action::Allow) }
        }
        Answer::Reset | Answer::Unreachable => Rule { from, ..Rule::of_all("reject", Action::Reject) },
    };
    // As many cookies as are remembered come before.
    stray(&frames, &frames, rule, |figures| figures.answered.min(figures.sent))
}

/// Counts how `frames` from the WAN end which `rule`, the tenth of eleven, decides, after those of `warm_up`; `ended` tells of
/// how many.
fn stray(
    warm_up: &[Vec<u8>],
    frames: &[Vec<u8>],
    rule: Rule,
    ended: impl Fn(&Figures) -> u64 + 'static,
) -> Scene {
    let mut script = Script::new(DeviceChecksum::Good);
    for some in warm_up.chunks(BURST).chain(frames.chunks(BURST)) {
        script.turn(Vec::new(), some.to_vec());
    }
    let mut ruleset = ten_rules();
    ruleset.rules.insert(9, rule);
    let mut rig = Rig::new(1, script, ruleset);
    rig.play(warm_up.len() / BURST);
    let before = rig.figures();
    let (reading, operations, turns) = (rig.reading(), frames.len() as u64, frames.len() / BURST);
    Scene {
        operations,
        run: Box::new(move || rig.play(turns)),
        check: Box::new(move || {
            assert_eq!(
                ended(&reading()) - ended(&before),
                operations,
                "packets that ended as the scene says"
            );
        }),
    }
}

/// Lookups in 10,000 rules of a firewall, a burst at a time.
fn lookup(version: Version) -> Scene {
    let (ruleset, queries) = sets::classbench(Style::Fw, version, 10_000, LOOKUPS, 1);
    let classifier = Classifier::build(&ruleset);
    let mut found = vec![None; queries.len()];
    classifier.classify_burst(&queries[..BURST], &mut found[..BURST]);
    Scene {
        operations: LOOKUPS as u64,
        run: Box::new(move || {
            for (queries, found) in queries.chunks(BURST).zip(found.chunks_mut(BURST)) {
                classifier.classify_burst(black_box(queries), found);
            }
            // The last rule matches everything.
            assert!(found.iter().all(Option::is_some), "every packet has its rule");
        }),
        check: Box::new(|| ()),
    }
}

/// Nine rules for services that nobody asks for, and one that allows all.
fn ten_rules() -> Ruleset {
    let service = |port: u16| sekisho_engine::policy::ServiceMatch {
        family: sekisho_engine::policy::Protocols::Both,
        protocol: Some(6),
        selector: port..=port,
    };
    let mut rules: Vec<_> = (1..10)
        .map(|number| Rule { services: Some(vec![service(number)]), ..sets::rule(usize::from(number)) })
        .collect();
    rules.push(Rule::of_all("rest", Action::Allow));
    sets::ruleset(Vec::new(), rules)
}

fn shuffle(sessions: &mut [Ends], random: &mut Random) {
    for last in (1..sessions.len()).rev() {
        sessions.swap(last, random.below(last as u64 + 1) as usize);
    }
}

/// Workers, the first of which plays a script.
struct Rig {
    workers: Vec<Worker<ScriptIo>>,
    shared: Vec<Arc<WorkerShared>>,
    now: Instant,
}

/// What a rig has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    of_sessions: u64,
    opened: u64,
    no_session: u64,
    refused: u64,
    answered: u64,
    evicted: u64,
    fragments_evicted: u64,
    sent: u64,
    handed_over: u64,
}

impl Rig {
    fn new(workers: u16, script: Script, ruleset: Ruleset) -> Self {
        Self::with_capacity(CAPACITY, workers, script, ruleset)
    }

    fn with_capacity(capacity: u32, workers: u16, script: Script, ruleset: Ruleset) -> Self {
        let ruleset = Ruleset {
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            protections: Protections { spoofing: SpoofingMode::Drop, ..Ruleset::default().protections },
            ..ruleset
        };
        let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
        let switch = Arc::new(Switch::default());
        let handoff = Handoff::new(workers, 4 * BURST);
        let now = Instant::from_secs(1);
        let mut scripts = Some(script);
        let (workers, shared) = (0..workers)
            .map(|worker| {
                let config = Config {
                    worker: worker as u8,
                    capacity,
                    secret: HashSecret([1, 2, 3, 4]),
                    report_all_sessions: false,
                };
                let engine = Engine::new(config, Running::new(Arc::clone(&policy)), now);
                let shared = Arc::new(WorkerShared::new(engine.counters(), capacity, 64));
                let io = ScriptIo::new(scripts.take().unwrap_or(Script::new(DeviceChecksum::Good)));
                let config = WorkerConfig { worker, poll: PollMode::Busy };
                let worker = Worker::new(
                    config,
                    io,
                    engine,
                    Arc::clone(&switch),
                    Arc::clone(&shared),
                    handoff.clone(),
                );
                (worker, shared)
            })
            .unzip();
        Self { workers, shared, now }
    }

    fn play(&mut self, turns: usize) {
        for _ in 0..turns {
            self.now += TURN;
            for worker in &mut self.workers {
                worker.turn(self.now);
            }
        }
    }

    fn figures(&self) -> Figures {
        figures(&self.shared)
    }

    /// Reads the figures when the rig is elsewhere.
    fn reading(&self) -> impl FnOnce() -> Figures + use<> {
        let shared = self.shared.clone();
        move || figures(&shared)
    }
}

fn figures(shared: &[Arc<WorkerShared>]) -> Figures {
    let sum = |of: fn(&WorkerShared) -> u64| shared.iter().map(|shared| of(shared)).sum();
    Figures {
        of_sessions: sum(|shared| shared.engine.reason(Reason::Session).get()),
        opened: sum(|shared| shared.engine.reason(Reason::SessionNew).get()),
        no_session: sum(|shared| shared.engine.reason(Reason::TcpNoSession).get()),
        refused: sum(|shared| shared.engine.reason(Reason::RuleDrop).get()),
        answered: sum(|shared| {
            let of = |reason| shared.engine.reason(reason).get();
            of(Reason::SynCookie) + of(Reason::RuleReject)
        }),
        evicted: sum(|shared| shared.engine.reason(Reason::EndEvicted).get()),
        fragments_evicted: sum(|shared| shared.engine.reason(Reason::FragmentEvicted).get()),
        sent: sum(|shared| shared.counters.sent.iter().map(|sent| sent.packets.get()).sum()),
        handed_over: sum(|shared| shared.counters.handed_over.get()),
    }
}
