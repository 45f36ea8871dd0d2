//! Control sessions under the eyes of their helper: what is remembered of each, and what its packets lead to.

use super::expectation::{Asked, Before, Expectation, Expectations, Handle};
use super::ftp::Ftp;
use super::line::LINE_MAX;
use super::sip::Sip;
use super::stream::{Hold, MAP_WORDS, Stream, WINDOW};
use super::{Finding, Helper, HelperCounts, LIFETIME_MS, Mark, OPENINGS_MAX, Refusal, Speaker, Stop, tftp};
use crate::flow::FlowKey;
use crate::packet::{Facts, protocol, tcp_flags};
use crate::pipeline::{Arrival, Engine};
use crate::policy::RuleId;
use crate::port::Port;
use crate::session::State;
use crate::time::Instant;

/// The followed sessions of one engine: a fixed table, taken at start. What is large lies in arrays of zeros, whose pages
/// the system gives when they are first written.
#[derive(Debug)]
pub(crate) struct Followers {
    entries: Vec<Follower>,
    /// Entries that are free, the next one last.
    free: Vec<u32>,
    /// Lines under way, two an entry.
    lines: Vec<u8>,
    /// Bytes that came before their turn, two windows an entry.
    windows: Vec<u8>,
    /// Which bytes of the windows are held.
    maps: Vec<u64>,
    /// What each has opened: [`Handle`]s, [`OPENINGS_MAX`] an entry.
    openings: Vec<u64>,
}

/// A followed session.
#[derive(Clone, Debug, Default)]
struct Follower {
    /// Expectations that it has registered, some of which may be over.
    openings: usize,
    /// Its two directions, by port of arrival, LAN first.
    streams: [Stream; 2],
    talk: Talk,
}

/// What is remembered of what was said.
#[derive(Clone, Debug, Default)]
enum Talk {
    /// Each datagram stands for itself.
    #[default]
    Datagrams,
    Ftp(Ftp),
    /// By port of arrival, LAN first.
    Sip([Sip; 2]),
}

/// One entry with its parts of the arrays; what there is of both directions is by port of arrival, LAN first.
struct Entry<'f> {
    follower: &'f mut Follower,
    lines: &'f mut [[u8; LINE_MAX]],
    windows: &'f mut [[u8; WINDOW]],
    maps: &'f mut [[u64; MAP_WORDS]],
    openings: &'f mut [u64],
}

impl Followers {
    /// A table for so many sessions.
    pub(crate) fn new(followers_max: u32) -> Self {
        let count = followers_max as usize;
        Self {
            entries: vec![Follower::default(); count],
            free: (0..followers_max).rev().collect(),
            lines: vec![0; count * 2 * LINE_MAX],
            windows: vec![0; count * 2 * WINDOW],
            maps: vec![0; count * 2 * MAP_WORDS],
            openings: vec![0; count * OPENINGS_MAX],
        }
    }

    fn take(&mut self, helper: Helper, protocol: u8) -> Option<u32> {
        let number = self.free.pop()?;
        let talk = match (helper, protocol) {
            (Helper::Ftp, _) => Talk::Ftp(Ftp::default()),
            (Helper::Sip, protocol::TCP) => Talk::Sip(Default::default()),
            _ => Talk::Datagrams,
        };
        self.entries[number as usize] = Follower { talk, ..Follower::default() };
        self.maps[number as usize * 2 * MAP_WORDS..][..2 * MAP_WORDS].fill(0);
        Some(number)
    }

    fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }

    fn entry(&mut self, number: u32) -> Entry<'_> {
        let number = number as usize;
        Entry {
            follower: &mut self.entries[number],
            lines: &mut self.lines.as_chunks_mut().0[number * 2..][..2],
            windows: &mut self.windows.as_chunks_mut().0[number * 2..][..2],
            maps: &mut self.maps.as_chunks_mut().0[number * 2..][..2],
            openings: &mut self.openings[number * OPENINGS_MAX..][..OPENINGS_MAX],
        }
    }
}

/// Where what a helper finds goes.
struct Opener<'o> {
    expectations: &'o Expectations,
    /// What is counted of every helper.
    counts: &'o [HelperCounts; Helper::ALL.len()],
    openings: &'o mut [u64],
    len: &'o mut usize,
    now: Instant,
    /// An expectation of the session, its port left out.
    pattern: Expectation,
    stopped: Option<Stop>,
}

impl Opener<'_> {
    fn find(&mut self, finding: Finding) {
        // What stands behind the end of all that can be followed opens nothing.
        if self.stopped.is_some() {
            return;
        }
        match finding {
            Finding::Open { side, protocol, port } => {
                if let Err(refusal) = self.open(side, protocol, port) {
                    self.own_counts().refused(refusal).add(1);
                }
            }
            Finding::Refused(refusal) => self.own_counts().refused(refusal).add(1),
            Finding::Stopped(stop) => self.stopped = Some(stop),
        }
    }

    fn open(&mut self, side: Port, protocol: u8, port: u16) -> Result<(), Refusal> {
        let mut expectation = self.pattern;
        expectation.key.protocol = protocol;
        (expectation.key.lan_port, expectation.key.wan_port) = match side {
            Port::Lan => (port, 0),
            Port::Wan => (0, port),
        };
        if *self.len == self.openings.len() {
            self.forget_those_over();
        }
        let room = self.openings.get_mut(*self.len).ok_or(Refusal::SessionFull)?;
        let registered = self.expectations.register(&expectation, self.now).ok_or(Refusal::TableFull)?;
        *room = registered.handle.number();
        *self.len += 1;
        match registered.before {
            Before::Same => self.forget_those_over(),
            Before::Nothing => self.own_counts().opened.add(1),
            Before::Another(helper) => {
                self.counts[helper.index()].withdrawn.add(1);
                self.own_counts().opened.add(1);
            }
        }
        Ok(())
    }

    const fn own_counts(&self) -> &HelperCounts {
        &self.counts[self.pattern.helper.index()]
    }

    /// Leaves out what was used, has expired or was renewed under another handle.
    fn forget_those_over(&mut self) {
        let mut kept = 0;
        for at in 0..*self.len {
            if self.expectations.is_open(Handle::from_number(self.openings[at]), self.now) {
                self.openings[kept] = self.openings[at];
                kept += 1;
            }
        }
        *self.len = kept;
    }
}

impl Engine {
    /// Lets a helper follow the session in `slot`, whose first packet is at hand, if its rule's service has one.
    pub(crate) fn begin_following(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        rule: Option<RuleId>,
        is_midstream: bool,
    ) {
        let Arrival { now, port, facts, head, .. } = *arrival;
        let Some(helper) = self.running.policy.helper_of(rule, facts) else { return };
        let counts = &self.counters.helpers[helper.index()];
        if is_midstream {
            return counts.stopped(Stop::Midstream).add(1);
        }
        if !self.expectations.begin_following() {
            return counts.stopped(Stop::Full).add(1);
        }
        let Some(number) = self.followers.take(helper, facts.protocol) else {
            self.expectations.end_following();
            return counts.stopped(Stop::Full).add(1);
        };
        counts.followed.add(1);
        counts.following.add(1);
        self.table.put_beside(slot, [u64::from(number), 0]);
        let hot = self.table.hot_mut(slot);
        hot.mark = Mark::followed(helper).beside(hot.mark);
        self.heed(now, port, facts, head, slot);
    }

    /// Reads a packet of a followed session that was found to fit it.
    pub(crate) fn heed(&mut self, now: Instant, port: Port, facts: &Facts, head: &[u8], slot: u32) {
        let Some(address) = facts.addresses.source() else { return };
        let (hot, key) = (self.table.hot(slot), self.table.key(slot));
        let (helper, from) = (hot.mark.kind(), hot.from());
        let pattern = Expectation {
            key: FlowKey { lan_port: 0, wan_port: 0, ..key },
            helper,
            rule: self.table.cold(slot).rule(),
            parent: self.table.id(slot),
            asked: Asked {
                from,
                protocol: key.protocol,
                destination_port: if from == Port::Lan { key.wan_port } else { key.lan_port },
            },
            generation: self.running.policy.generation,
            expires_ms: now.as_millis() + LIFETIME_MS,
        };
        let entry = self.followers.entry(self.table.number_beside(slot));
        let Follower { openings: len, streams, talk } = entry.follower;
        let mut opener = Opener {
            expectations: &self.expectations,
            counts: &self.counters.helpers,
            openings: entry.openings,
            len,
            now,
            pattern,
            stopped: None,
        };
        let speaker = Speaker { address, side: port };
        let side = port.index();
        let (data, is_whole) = payload(facts, head);
        if facts.protocol == protocol::TCP {
            let hold = Hold { bytes: &mut entry.windows[side], map: &mut entry.maps[side] };
            let hear = |part: &[u8]| match talk {
                Talk::Ftp(ftp) => {
                    ftp.take(port == from, part, &mut entry.lines[side], speaker, |found| opener.find(found));
                }
                Talk::Sip(messages) => {
                    messages[side].take(part, &mut entry.lines[side], speaker, |found| opener.find(found));
                }
                Talk::Datagrams => {}
            };
            segment(streams, side, facts, data, hold, hear);
            let acknowledges = facts.tcp.flags & tcp_flags::ACK != 0;
            if acknowledges && streams[1 - side].has_missed(facts.tcp.acknowledgement) {
                opener.find(Finding::Stopped(Stop::Lost));
            }
        } else if helper == Helper::Tftp {
            // Only whoever opened the session asks.
            if port == from
                && let Some(found) = tftp::request(data, speaker, facts.source_port)
            {
                opener.find(found);
            }
        } else {
            Sip::datagram(data, is_whole, speaker, |found| opener.find(found));
        }
        let stopped = opener.stopped;
        if let Some(stop) = stopped {
            let counts = &self.counters.helpers[helper.index()];
            counts.stopped(stop).add(1);
            counts.following.sub(1);
            let hot = self.table.hot_mut(slot);
            hot.mark = hot.mark.stopped();
        }
    }

    /// Withdraws what a control session has opened if both its ends have closed it, whether its helper still reads it or has
    /// lost it.
    pub(crate) fn withdraw_if_over(&mut self, now: Instant, slot: u32, state: State) {
        if is_over(state) && self.table.hot(slot).mark.is_followed() {
            self.withdraw_all(now, slot);
        }
    }

    /// Withdraws what a control session has opened and nobody has used.
    fn withdraw_all(&mut self, now: Instant, slot: u32) {
        let counts = &self.counters.helpers[self.table.hot(slot).mark.kind().index()];
        let entry = self.followers.entry(self.table.number_beside(slot));
        let len = core::mem::take(&mut entry.follower.openings);
        for number in &entry.openings[..len] {
            if self.expectations.withdraw(Handle::from_number(*number), now) {
                counts.withdrawn.add(1);
            }
        }
    }

    /// A control session ends, or its rule has no helper for it any more: it opens nothing from here on.
    pub(crate) fn end_following(&mut self, now: Instant, slot: u32) {
        let mark = self.table.hot(slot).mark;
        if !mark.is_followed() {
            return;
        }
        self.withdraw_all(now, slot);
        if mark.is_read() {
            self.counters.helpers[mark.kind().index()].following.sub(1);
        }
        self.followers.give_back(self.table.number_beside(slot));
        self.expectations.end_following();
        self.table.hot_mut(slot).mark = Mark::default().beside(mark);
    }
}

/// Whether both ends have closed a control session: nothing that it announced may open any more.
const fn is_over(state: State) -> bool {
    matches!(state, State::Closing | State::TimeWait | State::Reset)
}

/// A segment that arrived on the port of index `side`: what is new in it and in order goes to `hear`.
fn segment(
    streams: &mut [Stream; 2],
    side: usize,
    facts: &Facts,
    data: &[u8],
    mut hold: Hold<'_>,
    hear: impl FnMut(&[u8]),
) {
    let (tcp, stream) = (&facts.tcp, &mut streams[side]);
    let is_syn = tcp.flags & tcp_flags::SYN != 0;
    if is_syn {
        stream.begin(tcp.sequence);
    }
    if tcp.flags & tcp_flags::FIN != 0 {
        stream.end();
    }
    // The SYN counts before the data that may come with it.
    stream.take(tcp.sequence.wrapping_add(u32::from(is_syn)), data, &mut hold, hear);
}

/// What a packet of TCP or UDP carries, as far as it lies in `head`; and whether that is all of it.
fn payload<'h>(facts: &Facts, head: &'h [u8]) -> (&'h [u8], bool) {
    let at = usize::from(facts.transport_at);
    let (header_len, len) = match facts.protocol {
        protocol::TCP => (usize::from(facts.tcp.header_len), facts.transport_len as usize),
        _ => {
            // What a datagram claims was checked to be no more than there is.
            let claimed = head.get(at + 4..).and_then(|field| field.first_chunk()).copied();
            (8, claimed.map_or(0, |claimed| usize::from(u16::from_be_bytes(claimed))))
        }
    };
    let packet = head.get(at..).unwrap_or_default();
    let is_whole = packet.len() >= len;
    (packet.get(header_len..len.min(packet.len())).unwrap_or_default(), is_whole)
}
