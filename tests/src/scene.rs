//! Dialogues through the replay: each frame with what must become of it, and every event between them.
//!
//! A scene is written down as it should go and then played. What must match is not only each verdict but everything:
//! the lines, in order and to the byte; every counter of the engine, so that one which should have stood still is seen
//! to move; the frames that leave by each port; and all that for one, two, three and four workers.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::Path;

use sekisho_engine::policy::Ruleset;
use sekisho_engine::port::Port;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::session::room::Budgets;
use sekisho_engine::time::Duration;
use sekisho_replay::capture::Frame;
use sekisho_replay::{Capture, Deploy, Job, Outputs, Summary, pcap};

use crate::frames::{ACK, FIN, Packet, SYN, Segment};

/// LAN hosts may speak to the world, the world may not start anything.
pub const LAN_OUT: &str = "\
version: 1
zones:
  lan: {port: lan}
  wan: {port: wan}
rules:
  - {name: lan-out, from: lan, to: wan, action: allow}
";

/// When captures begin: 2026, an odd number of nanoseconds.
pub const EPOCH_NS: u64 = 1_780_000_000_123_456_789;
/// From one frame to the next, if the scene does not say otherwise.
const STEP_NS: u64 = 10_000;

/// A dialogue, and what must become of it.
#[derive(Debug, Clone)]
pub struct Scene {
    ruleset: Ruleset,
    now_ns: u64,
    frames: Vec<Sent>,
    deploys: Vec<Deploy>,
    lines: Vec<Line>,
    sessions_max: u32,
    budgets: Budgets,
    started: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Sent {
    time_ns: u64,
    port: Port,
    bytes: Vec<u8>,
    wire_len: usize,
    /// When it left, if not at once.
    left_ns: Option<u64>,
    /// How it left, if not as it came.
    left_as: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Line {
    Verdict { frame: usize, reason: Reason, rule: Option<String>, session: Option<u64> },
    End { time_ns: u64, session: u64, reason: Reason },
    Send { time_ns: u64, port: Port, reason: Reason },
    Deploy { time_ns: u64, name: String },
    Block { time_ns: u64, source: IpAddr, why: &'static str, span_ns: u64 },
}

/// What came of a scene that went as it should.
#[derive(Debug)]
pub struct Played {
    /// The figures.
    pub summary: Summary,
    /// The verdict lines.
    pub lines: String,
    /// The frames that the appliance itself sent, with their ports.
    pub own: Vec<(Port, Vec<u8>)>,
}

/// The expected line of the frame that was sent last.
#[derive(Debug)]
pub struct Expected<'s> {
    scene: &'s mut Scene,
}

impl Scene {
    /// A scene under the policy of this text.
    #[must_use]
    pub fn new(policy: &str) -> Self {
        Self {
            ruleset: ruleset(policy),
            now_ns: 0,
            frames: Vec::new(),
            deploys: Vec::new(),
            lines: Vec::new(),
            sessions_max: 1000,
            budgets: Budgets::default(),
            started: None,
        }
    }

    /// With tables for so many sessions.
    #[must_use]
    pub fn sessions_max(mut self, sessions_max: u32) -> Self {
        self.sessions_max = sessions_max;
        self
    }

    /// With these budgets of the classes of sessions.
    #[must_use]
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// On an appliance that started so many milliseconds before the first frame.
    #[must_use]
    pub fn started_ms_ago(mut self, ms: u64) -> Self {
        self.started = Some(Duration::from_millis(ms));
        self
    }

    /// The time from now on, in milliseconds since the first frame.
    pub fn at_ms(&mut self, ms: u64) -> &mut Self {
        assert!(ms * 1_000_000 >= self.now_ns, "time does not go back");
        self.now_ns = ms * 1_000_000;
        self
    }

    /// Lets so many milliseconds pass.
    pub fn after_ms(&mut self, ms: u64) -> &mut Self {
        self.now_ns += ms * 1_000_000;
        self
    }

    /// The time of the last frame in milliseconds, rounded up, as timers count it.
    #[must_use]
    pub fn last_ms(&self) -> u64 {
        self.last().time_ns.div_ceil(1_000_000)
    }

    /// A frame arrives on the LAN port.
    pub fn lan(&mut self, frame: impl Into<Vec<u8>>) -> Expected<'_> {
        self.send(Port::Lan, frame.into())
    }

    /// A frame arrives on the WAN port.
    pub fn wan(&mut self, frame: impl Into<Vec<u8>>) -> Expected<'_> {
        self.send(Port::Wan, frame.into())
    }

    /// A frame arrives on `port`.
    pub fn on(&mut self, port: Port, frame: impl Into<Vec<u8>>) -> Expected<'_> {
        self.send(port, frame.into())
    }

    /// A frame of `wire_len` bytes arrives on `port`, of which the capture holds only the first.
    pub fn cut(&mut self, port: Port, bytes: &[u8], wire_len: usize) -> Expected<'_> {
        let expected = self.send(port, bytes.to_vec());
        let last = expected.scene.frames.last_mut().expect("just sent");
        last.wire_len = wire_len;
        expected
    }

    fn send(&mut self, port: Port, bytes: Vec<u8>) -> Expected<'_> {
        let wire_len = bytes.len();
        self.frames.push(Sent { time_ns: self.now_ns, port, bytes, wire_len, left_ns: None, left_as: None });
        self.now_ns += STEP_NS;
        Expected { scene: self }
    }

    /// A session ends, at this millisecond.
    pub fn ends(&mut self, session: u64, reason: Reason, at_ms: u64) -> &mut Self {
        assert_eq!(reason.kind(), Kind::End);
        self.lines.push(Line::End { time_ns: at_ms * 1_000_000, session, reason });
        self
    }

    /// A session ends because of the frame that was sent last.
    pub fn ends_with_it(&mut self, session: u64, reason: Reason) -> &mut Self {
        let time_ns = self.last().time_ns;
        self.lines.push(Line::End { time_ns, session, reason });
        self
    }

    /// The appliance answers the frame that was sent last.
    pub fn answers(&mut self, port: Port, reason: Reason) -> &mut Self {
        assert_eq!(reason.kind(), Kind::Send);
        let time_ns = self.last().time_ns;
        self.lines.push(Line::Send { time_ns, port, reason });
        self
    }

    /// The source of the frame that was sent last is put on the block list for so many milliseconds.
    pub fn blocks(&mut self, source: IpAddr, why: &'static str, ms: u64) -> &mut Self {
        let time_ns = self.last().time_ns;
        self.lines.push(Line::Block { time_ns, source, why, span_ns: ms * 1_000_000 });
        self
    }

    /// The appliance sends a frame of its own by `port`, at this millisecond.
    pub fn sends(&mut self, port: Port, reason: Reason, at_ms: u64) -> &mut Self {
        assert_eq!(reason.kind(), Kind::Send);
        self.lines.push(Line::Send { time_ns: at_ms * 1_000_000, port, reason });
        self
    }

    /// These frames were held, and left with the one that was sent last.
    pub fn leave_with_it(&mut self, frames: impl IntoIterator<Item = usize>) -> &mut Self {
        let left_ns = self.last().time_ns;
        frames.into_iter().for_each(|frame| self.frames[frame].left_ns = Some(left_ns));
        self
    }

    /// The number that the next frame has.
    #[must_use]
    pub fn next_frame(&self) -> usize {
        self.frames.len()
    }

    /// A policy is deployed now.
    pub fn deploys(&mut self, policy: &str) -> &mut Self {
        let name = format!("{}.yaml", self.deploys.len());
        let (time_ns, at) = (self.now_ns, Duration::from_nanos(self.now_ns));
        self.deploys.push(Deploy { at, name: name.clone(), ruleset: ruleset(policy) });
        self.lines.push(Line::Deploy { time_ns, name });
        self
    }

    fn last(&self) -> &Sent {
        self.frames.last().expect("a frame was sent")
    }

    /// Plays the scene, and holds it to what was written down.
    ///
    /// # Panics
    ///
    /// When it goes otherwise.
    #[track_caller]
    pub fn plays(&self) -> Played {
        let (first, own) = self.play_and_hold();
        for workers in 2..=4 {
            let again = self.play(workers);
            assert!(again.lines == first.lines, "{workers} workers:\n{}", beside(&first.lines, &again.lines));
            assert!(again.captures == first.captures, "{workers} workers send otherwise");
            assert_eq!(again.summary, first.summary, "{workers} workers count otherwise");
        }
        Played { summary: first.summary, lines: first.lines, own }
    }

    /// The same for one worker alone: where a table is full, which each worker has for itself.
    ///
    /// # Panics
    ///
    /// When it goes otherwise.
    #[track_caller]
    pub fn plays_alone(&self) -> Played {
        let (first, own) = self.play_and_hold();
        Played { summary: first.summary, lines: first.lines, own }
    }

    #[track_caller]
    fn play_and_hold(&self) -> (Output, Vec<(Port, Vec<u8>)>) {
        assert_eq!(self.frames.first().map_or(0, |sent| sent.time_ns), 0, "a scene begins at zero");
        let first = self.play(1);
        let expected = self.expected_lines();
        assert!(first.lines == expected, "the scene went otherwise:\n{}", beside(&expected, &first.lines));
        self.hold_counters(&first.summary);
        let own = self.hold_outputs(&first.captures);
        (first, own)
    }

    fn play(&self, workers: u8) -> Output {
        let captures = Port::ALL.map(|port| self.capture(port));
        let job = Job {
            ruleset: self.ruleset.clone(),
            captures: [0, 1].map(|side| Some(Capture::new("capture", &captures[side][..]).unwrap())),
            deploys: self.deploys.clone(),
            workers: NonZeroU8::new(workers).unwrap(),
            sessions_max: self.sessions_max,
            budgets: self.budgets,
            started: self.started,
        };
        play(job)
    }

    /// The policy at its start.
    #[must_use]
    pub fn policy(&self) -> Ruleset {
        self.ruleset.clone()
    }

    /// The capture of what arrives on `port`.
    #[must_use]
    pub fn capture(&self, port: Port) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = pcap::Writer::new(&mut file).unwrap();
        for sent in self.frames.iter().filter(|sent| sent.port == port) {
            writer.write(EPOCH_NS + sent.time_ns, &sent.bytes, sent.wire_len).unwrap();
        }
        file
    }

    /// The lines as the contract has them.
    #[must_use]
    pub fn expected_lines(&self) -> String {
        let mut text = String::new();
        let seconds = |time_ns: u64| format!("{}.{:09}", time_ns / 1_000_000_000, time_ns % 1_000_000_000);
        for line in &self.lines {
            match line {
                Line::Verdict { frame, reason, rule, session } => {
                    let Sent { time_ns, port, .. } = &self.frames[*frame];
                    let verdict = reason.kind().name();
                    let _ = write!(text, r#"{{"index":{frame},"time":{},"#, seconds(*time_ns));
                    let _ = write!(text, r#""port":"{port}","verdict":"{verdict}","reason":"{reason}""#);
                    let _ = rule.as_ref().map(|rule| write!(text, r#","rule":"{rule}""#));
                    let _ = session.map(|session| write!(text, r#","session":{session}"#));
                    text.push('}');
                }
                Line::End { time_ns, session, reason } => {
                    let time = seconds(*time_ns);
                    let _ = write!(text, r#"{{"event":"session-end","time":{time},"#);
                    let _ = write!(text, r#""session":{session},"reason":"{reason}"}}"#);
                }
                Line::Send { time_ns, port, reason } => {
                    let time = seconds(*time_ns);
                    let _ = write!(text, r#"{{"event":"send","time":{time},"port":"{port}","#);
                    let _ = write!(text, r#""reason":"{reason}"}}"#);
                }
                Line::Deploy { time_ns, name } => {
                    let time = seconds(*time_ns);
                    let _ = write!(text, r#"{{"event":"deploy","time":{time},"policy":"{name}"}}"#);
                }
                Line::Block { time_ns, source, why, span_ns } => {
                    let (time, until) = (seconds(*time_ns), seconds(time_ns + span_ns));
                    let _ = write!(text, r#"{{"event":"block","time":{time},"source":"{source}","#);
                    let _ = write!(text, r#""reason":"{why}","until":{until}}}"#);
                }
            }
            text.push('\n');
        }
        text
    }

    /// Every counter is what the lines come to, and no other moved.
    fn hold_counters(&self, summary: &Summary) {
        let mut reasons = std::collections::BTreeMap::new();
        for line in &self.lines {
            let reason = match line {
                Line::Verdict { reason, .. } | Line::End { reason, .. } | Line::Send { reason, .. } => reason,
                Line::Deploy { .. } | Line::Block { .. } => continue,
            };
            *reasons.entry(reason.name()).or_insert(0) += 1;
        }
        assert_eq!(
            summary.reasons, reasons,
            "a counter moved that should have stood still, or the other way round"
        );
        let of = |wanted: Kind| {
            let is_wanted = |(name, _): &(&&str, _)| Reason::from_name(name).unwrap().kind() == wanted;
            reasons.iter().filter(is_wanted).map(|(_, count)| count).sum::<u64>()
        };
        // A datagram in fragments opens its session with all of them.
        let begun: std::collections::BTreeSet<_> = self.lines.iter().filter_map(opened).collect();
        let begun = begun.len() as u64;
        assert_eq!(summary.frames, self.frames.len() as u64);
        assert_eq!((summary.forwarded, summary.dropped), (of(Kind::Forward), of(Kind::Drop)));
        assert_eq!(summary.sent, of(Kind::Send));
        assert_eq!((summary.sessions_begun, summary.sessions_live), (begun, begun - of(Kind::End)));
        assert_eq!(summary.deploys, self.deploys.len());
        let blocks = self.lines.iter().filter(|line| matches!(line, Line::Block { .. })).count();
        assert_eq!(summary.blocked, blocks as u64);
    }

    /// What left by each port is what was forwarded, unchanged, in order and at its time, and the appliance's own
    /// frames in their places. Returns those.
    fn hold_outputs(&self, captures: &[Vec<u8>; 2]) -> Vec<(Port, Vec<u8>)> {
        let mut own = Vec::new();
        let mut left = captures.each_ref().map(|capture| read(capture).into_iter());
        // Frames that were held leave later than their lines stand; what leaves at one time does so in order.
        let mut lines: Vec<_> =
            self.lines.iter().filter_map(|line| Some((self.leaves_ns(line)?, line))).collect();
        lines.sort_by_key(|(time_ns, _)| *time_ns);
        for (time_ns, line) in lines {
            let time_ns = EPOCH_NS + time_ns;
            match line {
                Line::Verdict { frame, .. } => {
                    let Sent { port, bytes, wire_len, left_as, .. } = self.frames[*frame].clone();
                    let bytes = left_as.unwrap_or(bytes);
                    let expected = Frame { time_ns, wire_len, bytes };
                    assert_eq!(left[port.other().index()].next(), Some(expected), "frame {frame}");
                }
                Line::Send { port, reason, .. } => {
                    let frame = left[port.index()].next().expect("the frame that the line speaks of");
                    assert_eq!(frame.time_ns, time_ns, "{reason}");
                    own.push((*port, frame.bytes));
                }
                Line::End { .. } | Line::Deploy { .. } | Line::Block { .. } => {}
            }
        }
        assert!(left.iter_mut().all(|left| left.next().is_none()), "more frames left than were forwarded");
        own
    }

    /// When the frame leaves that the line speaks of, if one does.
    fn leaves_ns(&self, line: &Line) -> Option<u64> {
        match line {
            Line::Verdict { frame, reason, .. } if !reason.is_drop() => {
                let sent = &self.frames[*frame];
                Some(sent.left_ns.unwrap_or(sent.time_ns))
            }
            Line::Send { time_ns, .. } => Some(*time_ns),
            _ => None,
        }
    }
}

/// The session that the line says was opened.
fn opened(line: &Line) -> Option<u64> {
    match line {
        Line::Verdict { reason, session, .. } => session
            .filter(|_| matches!(reason, Reason::SessionNew | Reason::SessionExpected | Reason::SynProven)),
        _ => None,
    }
}

impl Expected<'_> {
    /// It is forwarded, for this reason.
    pub fn passes(self, reason: Reason) -> Self {
        assert_eq!(reason.kind(), Kind::Forward);
        self.verdict(reason)
    }

    /// It is dropped, for this reason.
    pub fn drops(self, reason: Reason) -> Self {
        assert_eq!(reason.kind(), Kind::Drop);
        self.verdict(reason)
    }

    /// It is forwarded or dropped, for this reason.
    pub fn verdict(self, reason: Reason) -> Self {
        let frame = self.scene.frames.len() - 1;
        self.scene.lines.push(Line::Verdict { frame, reason, rule: None, session: None });
        self
    }

    /// This rule decided.
    pub fn by(self, name: &str) -> Self {
        if let Some(Line::Verdict { rule, .. }) = self.scene.lines.last_mut() {
            *rule = Some(name.to_owned());
        }
        self
    }

    /// It belongs to this session.
    pub fn of(self, number: u64) -> Self {
        if let Some(Line::Verdict { session, .. }) = self.scene.lines.last_mut() {
            *session = Some(number);
        }
        self
    }

    /// It opens this session, by this rule.
    pub fn opens(self, session: u64, rule: &str) -> Self {
        self.passes(Reason::SessionNew).by(rule).of(session)
    }

    /// It was expected, and opens this session under the rule of its control session.
    pub fn is_expected(self, session: u64, rule: &str) -> Self {
        self.passes(Reason::SessionExpected).by(rule).of(session)
    }

    /// It leaves as this frame, not as it came.
    pub fn leaves_as(self, frame: impl Into<Vec<u8>>) -> Self {
        let last = self.scene.frames.last_mut().expect("just sent");
        last.left_as = Some(frame.into());
        assert_eq!(
            last.left_as.as_ref().map(Vec::len),
            Some(last.bytes.len()),
            "no frame changes its length"
        );
        self
    }

    /// It belongs to this session and passes.
    pub fn follows(self, session: u64) -> Self {
        self.passes(Reason::Session).of(session)
    }
}

/// What a replay wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// The figures.
    pub summary: Summary,
    /// The verdict lines.
    pub lines: String,
    /// What left by each port, LAN first.
    pub captures: [Vec<u8>; 2],
}

/// Replays `job`, and keeps all that it writes.
#[must_use]
pub fn play(job: Job<'_>) -> Output {
    let (mut lines, mut lan, mut wan) = (Vec::new(), Vec::new(), Vec::new());
    let outputs = Outputs {
        verdicts: Some(Box::new(&mut lines)),
        lan: Some(Box::new(&mut lan)),
        wan: Some(Box::new(&mut wan)),
    };
    let summary = sekisho_replay::run(job, outputs).unwrap();
    Output { summary, lines: String::from_utf8(lines).unwrap(), captures: [lan, wan] }
}

/// The ruleset of a policy's text.
///
/// # Panics
///
/// When the policy is wrong.
#[must_use]
#[track_caller]
pub fn ruleset(policy: &str) -> Ruleset {
    match sekisho_policy::load_str("policy.yaml", policy, Path::new("")) {
        Ok(loaded) => loaded.ruleset,
        Err(faults) => panic!("{faults}\n{policy}"),
    }
}

/// The frames of a capture.
#[must_use]
pub fn read(capture: &[u8]) -> Vec<Frame> {
    let mut capture = Capture::new("capture", capture).unwrap();
    let (mut frames, mut frame) = (Vec::new(), Frame::default());
    while capture.next_frame(&mut frame).unwrap() {
        frames.push(frame.clone());
    }
    frames
}

/// Two texts line by line, with a mark where they differ.
fn beside(expected: &str, actual: &str) -> String {
    let (mut expected, mut actual, mut text) = (expected.lines(), actual.lines(), String::new());
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return text,
            (Some(a), Some(b)) if a == b => text.extend(["  ", a, "\n"]),
            (a, b) => {
                text.extend(["- ", a.unwrap_or("(nothing more)"), "\n"]);
                text.extend(["+ ", b.unwrap_or("(nothing more)"), "\n"]);
            }
        }
    }
}

/// A TCP connection as its two ends speak it: sequence numbers follow from what each has sent.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// The end that opens it.
    pub client: SocketAddr,
    /// The other.
    pub server: SocketAddr,
    /// The next sequence number of each, the client's first.
    pub next: [u32; 2],
    /// Tags of its frames.
    pub tags: Vec<(u16, u16)>,
}

impl Tcp {
    /// A connection that nobody has opened yet. Both ends begin just below zero, so that numbers wrap.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self { client, server, next: [u32::MAX - 5, u32::MAX - 9], tags: Vec::new() }
    }

    /// A segment of the client's with its next number.
    pub fn client(&mut self, flags: u8) -> Packet {
        self.say(0, flags, b"")
    }

    /// A segment of the server's with its next number.
    pub fn server(&mut self, flags: u8) -> Packet {
        self.say(1, flags, b"")
    }

    /// Data of the client's.
    pub fn client_says(&mut self, data: &[u8]) -> Packet {
        self.say(0, ACK, data)
    }

    /// Data of the server's.
    pub fn server_says(&mut self, data: &[u8]) -> Packet {
        self.say(1, ACK, data)
    }

    fn say(&mut self, side: usize, flags: u8, data: &[u8]) -> Packet {
        let acknowledgement = if flags & ACK == 0 { 0 } else { self.next[1 - side] };
        let segment = Segment::new(flags, self.next[side], acknowledgement).data(data);
        let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next[side] = self.next[side].wrapping_add(u32::try_from(data.len()).unwrap() + counted);
        self.of(side, &segment)
    }

    /// Any segment of the client's.
    #[must_use]
    pub fn from_client(&self, segment: &Segment) -> Packet {
        self.of(0, segment)
    }

    /// Any segment of the server's.
    #[must_use]
    pub fn from_server(&self, segment: &Segment) -> Packet {
        self.of(1, segment)
    }

    fn of(&self, side: usize, segment: &Segment) -> Packet {
        let ends = [self.client, self.server];
        let mut packet = segment.between(ends[side], ends[1 - side]);
        packet.tags.clone_from(&self.tags);
        packet
    }

    /// Opens it from the LAN, as session `number` by `rule`.
    pub fn opens(&mut self, scene: &mut Scene, number: u64, rule: &str) {
        scene.lan(self.client(SYN)).opens(number, rule);
        scene.wan(self.server(SYN | ACK)).follows(number);
        scene.lan(self.client(ACK)).follows(number);
    }
}
