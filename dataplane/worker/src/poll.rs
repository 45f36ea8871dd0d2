//! The loop.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration as Pause;

use arrayvec::ArrayVec;
use sekisho_engine::fragment::Shelf;
use sekisho_engine::packet::{self, DeviceChecksum};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::room::Pressure;
use sekisho_engine::session::{SessionId, SessionView};
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Engine, Glance, Outbox, Running, steer};

use crate::BURST_MAX;
use crate::io::{PacketIo, View};
use crate::query::{Answer, Order, Question, Request, Weighing};
use crate::shared::{Bundle, Handed, Handoff, PARCEL_MAX, Parcel, Switch, WorkerShared};

mod fragments;

/// Housekeeping comes at least once in so many turns; in a turn without frames it comes at once.
const HOUSEKEEPING_TURNS: u32 = 256;
/// The same while a question is at hand: a table of a million sessions is gone through in well under two seconds though
/// every turn finds frames.
const ANSWERING_TURNS: u32 = 8;
/// Timers that are looked at in one turn of housekeeping: each may be some hundred nanoseconds of waiting for memory, and no
/// burst waits long for them.
const EXPIRE_BUDGET: u32 = 32;
/// The same in a turn that found frames, if any is due: half of the time goes to timers at the most, however many sessions
/// die at once.
const EXPIRE_A_TURN: u32 = 16;
/// Slots of the session table that are looked at in one turn, for a listing.
const SCAN_BUDGET: u32 = 256;
/// The same for weighing sessions against another policy, each of which is a question to its rules.
const WEIGH_BUDGET: u32 = 128;
/// Sessions that an order ends in one turn.
const END_BUDGET: usize = 64;
/// `adaptive`: turns without a frame before the worker first sleeps.
const IDLE_TURNS: u32 = 256;
/// `adaptive`: the first and the longest sleep. A frame waits no longer than this.
const SLEEP_MIN: Pause = Pause::from_micros(20);
const SLEEP_MAX: Pause = Pause::from_micros(500);
/// A stop takes no longer than this to end the sessions in the log; the appliance is gone within a second.
const FAREWELL_MAX: Duration = Duration::from_millis(300);
/// Bursts of frames that others handed over are taken in a turn, at the most: others may pass on as much as they receive, and
/// what was received once is not to be lost on the way.
const HANDED_BURSTS: usize = 4;
/// Frames ahead of the one at hand whose headers are fetched.
const PREFETCH_AHEAD: usize = 8;
/// Frames ahead of the one at hand whose sessions' lines are asked for: as many as a core waits for at a time. With more it
/// waits for them at once, and has nothing else to do meanwhile.
const LOCATE_AHEAD: usize = 12;
/// The same of sessions that are in their other bucket of the index, whose line was asked for before.
const ELSEWHERE_AHEAD: usize = 6;
/// Frames ahead of the one at hand of which it is known by now whether they move their sessions to other states.
const ANTICIPATE_AHEAD: usize = 5;

/// What the worker does when nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollMode {
    /// Polls on: the shortest latency, a whole core.
    Busy,
    /// Sleeps, up to half a millisecond at a time.
    Adaptive,
}

/// What a worker is made with.
#[derive(Clone, Copy, Debug)]
pub struct WorkerConfig {
    /// Its number, from 0.
    pub worker: u16,
    /// What it does when nothing arrives.
    pub poll: PollMode,
}

/// A worker: made on the control thread, then moved to its own core, where it [`Worker::run`]s.
#[derive(Debug)]
pub struct Worker<Io: PacketIo> {
    config: WorkerConfig,
    io: Io,
    engine: Engine,
    outbox: Outbox,
    switch: Arc<Switch>,
    shared: Arc<WorkerShared>,
    handoff: Handoff<Io::Packet>,
    /// What goes to each worker when the batch is done, or sooner if it is a whole parcel.
    parcels: Box<[Parcel<Io::Packet>]>,
    /// Frames that wait for the rest of their datagrams.
    shelf: Shelf<Io::Packet>,
    /// The datagram at hand that is whole.
    bundle: Box<Bundle<Io::Packet>>,
    next_policy: Option<Running>,
    request: Option<AtHand>,
    glances: Box<[Glance; BURST_MAX]>,
    /// Of the frames at hand, on the wire.
    lengths: [usize; BURST_MAX],
    /// The longest of them.
    longest: usize,
    /// The places of those that leave, by the port by which they do, the lowest bit for place 0.
    leaving: [u64; 2],
    doomed: ArrayVec<SessionId, END_BUDGET>,
    /// Plain packets of the batch before that went the long way: where there are none, none are looked out for.
    judged: u32,
}

/// A question that takes more than one turn.
#[derive(Debug)]
enum AtHand {
    /// With the sessions that matched so far.
    Sessions(Request, u64),
    Weigh(Weighing),
}

impl<Io: PacketIo> Worker<Io> {
    /// A worker over these queues and this shard of the sessions.
    pub fn new(
        config: WorkerConfig,
        io: Io,
        engine: Engine,
        switch: Arc<Switch>,
        shared: Arc<WorkerShared>,
        handoff: Handoff<Io::Packet>,
    ) -> Self {
        shared.running.store(engine.running().policy.generation, Relaxed);
        Self {
            config,
            io,
            engine,
            outbox: Outbox::new(BURST_MAX, 4 * BURST_MAX),
            switch,
            shared,
            parcels: (0..handoff.workers()).map(|_| Parcel::new()).collect(),
            handoff,
            shelf: Shelf::new(),
            bundle: Box::default(),
            next_policy: None,
            request: None,
            glances: Box::new([Glance::default(); BURST_MAX]),
            lengths: [0; BURST_MAX],
            longest: 0,
            leaving: [0; 2],
            doomed: ArrayVec::new(),
            judged: 0,
        }
    }

    /// Polls until [`Switch::stop`]; then ends all sessions, so that they are in the log, and gives the queues back.
    pub fn run(mut self) -> Io {
        let (mut idle_turns, mut since_housekeeping, mut sleep) = (0u32, 0u32, SLEEP_MIN);
        let mut turn_began = self.io.now();
        while !self.switch.stop.load(Relaxed) {
            let found = self.turn(turn_began);
            since_housekeeping += 1;
            let turns_max = if self.request.is_some() { ANSWERING_TURNS } else { HOUSEKEEPING_TURNS };
            if found == 0 || since_housekeeping >= turns_max {
                since_housekeeping = 0;
                self.keep_house(turn_began);
            }
            if found > 0 {
                idle_turns = 0;
                sleep = SLEEP_MIN;
            } else if self.config.poll == PollMode::Adaptive && self.request.is_none() {
                idle_turns += 1;
                if idle_turns > IDLE_TURNS {
                    std::thread::sleep(sleep);
                    sleep = (sleep * 2).min(SLEEP_MAX);
                }
            }
            let now = self.io.now();
            self.count_turn(found, now.since(turn_began).as_nanos());
            turn_began = now;
        }
        self.end_all(turn_began);
        self.io
    }

    /// One turn: a burst from each port, a few from the hand-off rings. Returns the frames found.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.follow_switch();
        let mut found = 0;
        for port in Port::ALL {
            let received = self.io.receive(port);
            if received > 0 {
                found += received;
                self.batch(now, received, |_| port, true);
            }
        }
        if self.handoff.workers() > 1 {
            for _ in 0..HANDED_BURSTS {
                let handed = self.take_handed(now);
                found += handed;
                // There was room for another parcel, and none.
                if handed <= BURST_MAX - PARCEL_MAX {
                    break;
                }
            }
            found += self.take_bundles(now);
        }
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.engine.expire(now, EXPIRE_A_TURN, &mut self.outbox);
            self.empty_outbox();
        }
        found
    }

    /// Frames that others received and this worker owns.
    fn take_handed(&mut self, now: Instant) -> usize {
        let mut ports = ArrayVec::<Port, BURST_MAX>::new();
        while ports.remaining_capacity() >= PARCEL_MAX
            && let Some(parcel) = self.handoff.take(self.config.worker)
        {
            for Handed { port, packet } in parcel {
                ports.push(port);
                self.io.accept(packet);
            }
        }
        if !ports.is_empty() {
            self.shared.counters.handed_in.add(ports.len() as u64);
            self.batch(now, ports.len(), |place| ports[place], false);
        }
        ports.len()
    }

    /// Works through the frames at hand: a glance at all, then each to its owner or to the engine, then one send a port.
    fn batch(&mut self, now: Instant, len: usize, port_of: impl Fn(usize) -> Port, from_device: bool) {
        let len = len.min(BURST_MAX);
        self.shared.counters.bursts.add(1);
        self.engine.begin_burst();
        let bytes = self.glance(len, &port_of, from_device);
        if from_device {
            self.shared.counters.received[port_of(0).index()].add(len as u64, bytes);
        }
        // By bits the packets whose sessions may be in their other bucket.
        let mut elsewhere = 0_u64;
        for (place, glance) in self.glances[..len.min(LOCATE_AHEAD)].iter_mut().enumerate() {
            elsewhere |= u64::from(self.engine.locate(glance)) << place;
        }
        for (place, glance) in self.glances[..len.min(ELSEWHERE_AHEAD)].iter_mut().enumerate() {
            if elsewhere >> place & 1 != 0 {
                self.engine.locate_elsewhere(glance);
            }
        }
        let workers = self.handoff.workers();
        let (mut passed, mut strangers) = (0, 0_u64);
        let anticipates = self.judged > 0;
        self.judged = 0;
        for place in 0..len {
            let ahead = place + LOCATE_AHEAD;
            if ahead < len {
                elsewhere |= u64::from(self.engine.locate(&mut self.glances[ahead])) << ahead;
            }
            if elsewhere >> place & (1 << ELSEWHERE_AHEAD) != 0 {
                self.engine.locate_elsewhere(&mut self.glances[place + ELSEWHERE_AHEAD]);
            }
            if anticipates && let Some(glance) = self.glances[..len].get(place + ANTICIPATE_AHEAD) {
                self.engine.anticipate(glance);
            }
            let port = port_of(place);
            let glance = &self.glances[place];
            let is_forward = if !glance.is_plain() {
                if glance.is_fragment() && self.turns_away(now, place, port, from_device) {
                    continue;
                }
                if strangers != 0 {
                    self.judge_strangers(now, std::mem::take(&mut strangers), &port_of);
                }
                let is_forward = self.judge(now, place, port, from_device);
                self.follow_outbox(place, is_forward);
                is_forward
            } else if !glance.is_sought() {
                self.hand_over(place, port, glance.owner(workers));
                continue;
            } else if self.engine.pass(now, port, glance) {
                passed += 1;
                true
            } else if glance.is_stranger() {
                strangers |= 1 << place;
                continue;
            } else {
                self.judged += 1;
                let head = self.io.view(place).head;
                let verdict = self.engine.inspect_plain(now, port, glance, head, &mut self.outbox);
                self.follow_outbox(place, verdict.is_forward());
                verdict.is_forward()
            };
            self.leaving[port.other().index()] |= u64::from(is_forward) << place;
        }
        self.engine.count_passed(passed);
        if strangers != 0 {
            self.judge_strangers(now, strangers, &port_of);
        }
        if workers > 1 {
            self.pass_parcels();
        }
        self.let_leave();
        self.io.release();
        self.empty_outbox();
        for port in Port::ALL {
            self.flush(port);
        }
    }

    /// What the engine left to be done about the frame at hand: mostly nothing.
    #[inline(always)]
    fn follow_outbox(&mut self, place: usize, is_forward: bool) {
        if self.outbox.rewrite.is_some() || !self.outbox.frames.is_empty() {
            self.rewrite_or_answer(place, is_forward);
        }
    }

    /// Plain packets of no session, after all others: which session a packet is of that has one does not depend on them.
    #[inline(never)]
    fn judge_strangers(&mut self, now: Instant, strangers: u64, port_of: &impl Fn(usize) -> Port) {
        self.judged += strangers.count_ones();
        self.engine.ask_for(now, &mut self.glances[..], strangers, port_of);
        let mut left = strangers;
        loop {
            left = self.engine.refuse_run(now, &self.glances[..], left, &mut self.outbox);
            if left == 0 {
                break;
            }
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let (port, glance) = (port_of(place), &self.glances[place]);
            let head = self.io.view(place).head;
            let verdict = self.engine.inspect_stranger(now, port, glance, head, &mut self.outbox);
            self.follow_outbox(place, verdict.is_forward());
            self.leaving[port.other().index()] |= u64::from(verdict.is_forward()) << place;
        }
    }

    /// Changes the frame at hand as the engine says, which it says of a frame that leaves. One that does not leaves its buffer to
    /// a frame of the appliance's own, if just one waits: an answer turns around where it stands.
    #[inline(never)]
    fn rewrite_or_answer(&mut self, place: usize, is_forward: bool) {
        if let Some(rewrite) = &self.outbox.rewrite {
            rewrite.apply(self.io.head_mut(place));
            self.outbox.rewrite = None;
        }
        if !is_forward
            && let [frame] = &self.outbox.frames[..]
            && self.io.replace(place, frame.bytes())
        {
            self.leaving[frame.port.index()] |= 1 << place;
            self.lengths[place] = frame.bytes().len();
            self.outbox.frames.clear();
        }
    }

    /// Queues the frames of the batch that may leave so far, but those that are longer than their port can send.
    fn let_leave(&mut self) {
        for port in Port::ALL {
            let mut places = std::mem::take(&mut self.leaving[port.index()]);
            if self.longest > self.io.frame_max(port) {
                places &= !self.too_long_for(port, places);
            }
            if places != 0 {
                self.io.forward(places, port);
            }
        }
    }

    /// Those of `places` whose frames a port cannot send. Counts them.
    #[cold]
    fn too_long_for(&self, port: Port, places: u64) -> u64 {
        let frame_max = self.io.frame_max(port);
        let longer = (0..).zip(self.lengths).filter(|(_, len)| *len > frame_max);
        let longer = longer.fold(0_u64, |longer, (place, _)| longer | 1 << place) & places;
        self.shared.engine.reason(Reason::TooLong).add(longer.count_ones().into());
        longer
    }

    /// A glance at all frames; returns how many bytes they are. What another worker owns it looks for itself.
    fn glance(&mut self, len: usize, port_of: &impl Fn(usize) -> Port, from_device: bool) -> u64 {
        let workers = self.handoff.workers();
        let is_shared = from_device && workers > 1;
        for place in 0..len.min(PREFETCH_AHEAD) {
            self.io.prefetch(place);
        }
        let (mut bytes, mut longest) = (0, 0);
        for place in 0..len {
            if place + PREFETCH_AHEAD < len {
                self.io.prefetch(place + PREFETCH_AHEAD);
            }
            let View { head, wire_len, checksum } = self.io.view(place);
            // What another worker handed over was summed there.
            let checksum = if from_device { checksum } else { DeviceChecksum::Good };
            bytes += wire_len as u64;
            longest = longest.max(wire_len);
            self.lengths[place] = wire_len;
            let glance = &mut self.glances[place];
            if glance.read(port_of(place), head, wire_len, checksum)
                && (!is_shared || glance.owner(workers) == self.config.worker)
            {
                self.engine.seek(glance);
            }
        }
        self.longest = longest;
        bytes
    }

    /// All facts of a frame, and what follows from them; whether it leaves.
    #[inline(never)]
    fn judge(&mut self, now: Instant, place: usize, port: Port, from_device: bool) -> bool {
        let View { head, wire_len, checksum } = self.io.view(place);
        let mut facts = packet::parse(head, wire_len);
        if from_device {
            packet::verify(&mut facts, checksum, self.io.segments(place));
        }
        let workers = self.handoff.workers();
        // What is malformed belongs to no session, and is dropped where it came in. A fragment spoils its datagram.
        let is_ownerless = facts.fault.is_some() && facts.fragment.is_none();
        if from_device && workers > 1 && !is_ownerless {
            let owner = steer::owner(&facts, head, workers);
            if owner != self.config.worker {
                self.hand_over(place, port, owner);
                return false;
            }
        }
        if facts.fragment.is_some() {
            self.collect(now, place, port, &facts);
            return false;
        }
        self.engine.inspect(now, port, &facts, head, &mut self.outbox).is_forward()
    }

    /// Puts a frame among those that go to `owner`.
    #[inline(never)]
    fn hand_over(&mut self, place: usize, port: Port, owner: u16) {
        let Some(packet) = self.io.take(place) else { return };
        let parcel = &mut self.parcels[usize::from(owner)];
        parcel.push(Handed { port, packet });
        if parcel.is_full() {
            self.pass_parcel(owner);
        }
    }

    #[inline(never)]
    fn pass_parcels(&mut self) {
        for owner in 0..self.handoff.workers() {
            if !self.parcels[usize::from(owner)].is_empty() {
                self.pass_parcel(owner);
            }
        }
    }

    fn pass_parcel(&mut self, owner: u16) {
        let parcel = self.parcels[usize::from(owner)].take();
        let frames = parcel.len() as u64;
        match self.handoff.pass(owner, parcel) {
            Ok(()) => self.shared.counters.handed_over.add(frames),
            Err(_) => self.shared.engine.reason(Reason::HandoffFull).add(frames),
        }
    }

    /// Frames of the engine's own join those that leave; events go to control; frames that waited in vain are freed.
    fn empty_outbox(&mut self) {
        self.drop_released();
        let counters = &self.shared.counters;
        for frame in self.outbox.frames.iter() {
            if !self.io.inject(frame.port, frame.bytes()) {
                counters.own_frames_lost.add(1);
            }
        }
        self.outbox.frames.clear();
        for event in self.outbox.events.drain(..) {
            if self.shared.events.push(event).is_err() {
                counters.events_lost.add(1);
            }
        }
        counters.own_frames_lost.add(core::mem::take(&mut self.outbox.frames_lost));
        let untold = core::mem::take(&mut self.outbox.drops_untold);
        counters.events_lost.add(core::mem::take(&mut self.outbox.events_lost) + untold);
    }

    fn flush(&mut self, port: Port) {
        let sent = self.io.send(port);
        self.shared.counters.sent[port.index()].add(sent.packets, sent.bytes);
        if sent.dropped > 0 {
            self.shared.engine.reason(Reason::TransmitFull).add(sent.dropped);
        }
    }

    /// Switches to the policy at hand once all workers have it at hand.
    fn follow_switch(&mut self) {
        let wanted = self.switch.generation.load(Acquire);
        let is_at_hand = self.next_policy.as_ref().is_some_and(|next| next.policy.generation == wanted);
        if is_at_hand && let Some(next) = self.next_policy.take() {
            let old = self.engine.set_policy(next);
            self.shared.running.store(wanted, Release);
            // Control takes the old one back before it sends the next, so there is room.
            let _ = self.shared.retired.push(old);
        }
    }

    /// What does not belong to a frame: the next policy, timers, questions.
    pub fn keep_house(&mut self, now: Instant) {
        self.shared.heartbeat.fetch_add(1, Relaxed);
        if let Some(next) = self.shared.policies.pop() {
            self.shared.prepared.store(next.policy.generation, Release);
            // One that was never switched to, because another worker did not take it, goes back as well.
            if let Some(unused) = self.next_policy.replace(next) {
                let _ = self.shared.retired.push(unused);
            }
        }
        self.engine.set_pressure(Pressure::of_level(self.switch.pressure.load(Relaxed)));
        self.engine.expire(now, EXPIRE_BUDGET, &mut self.outbox);
        self.empty_outbox();
        if self.request.is_none()
            && let Some(question) = self.shared.requests.pop()
        {
            self.request = self.begin(now, question);
        }
        if let Some(at_hand) = self.request.take() {
            self.request = match at_hand {
                AtHand::Sessions(request, matched) => self.answer(now, request, matched),
                AtHand::Weigh(weighing) => self.weigh(now, weighing),
            };
            self.empty_outbox();
        }
        for port in Port::ALL {
            self.flush(port);
        }
    }

    /// Answers a question at once, if it is a short one. Whoever asked may have gone.
    fn begin(&self, now: Instant, question: Question) -> Option<AtHand> {
        match question {
            Question::Sessions(request) => return Some(AtHand::Sessions(request, 0)),
            Question::Weigh(weighing) => return Some(AtHand::Weigh(weighing)),
            Question::Look(look) => {
                let _ = look.answer.try_send(self.engine.look(now, &look.key));
            }
            Question::OneSided(mut list) => {
                let room = list.prefixes.capacity() - list.prefixes.len();
                let known = self.engine.one_sided().take(room);
                list.prefixes.extend(known.map(|prefix| (*prefix, now.since(prefix.last))));
                let _ = list.answer.try_send(list.prefixes);
            }
        }
        None
    }

    /// A few sessions more, weighed against another policy.
    fn weigh(&self, now: Instant, mut weighing: Weighing) -> Option<AtHand> {
        let Weighing { candidate, cursor, tally, .. } = &mut weighing;
        let next = self.engine.weigh(now, candidate, *cursor, WEIGH_BUDGET, |session, prospect| {
            tally.count(session, prospect);
        });
        match next {
            Some(next) => {
                weighing.cursor = next;
                Some(AtHand::Weigh(weighing))
            }
            None => {
                let answer = weighing.answer.clone();
                let _ = answer.try_send(weighing);
                None
            }
        }
    }

    /// A few slots more of the question at hand.
    fn answer(&mut self, now: Instant, mut request: Request, mut matched: u64) -> Option<AtHand> {
        let policy = Arc::clone(&self.engine.running().policy);
        let room = request.page.capacity().saturating_sub(request.page.len());
        let budget = match request.order {
            Order::List => SCAN_BUDGET.min(u32::try_from(room).unwrap_or(u32::MAX)),
            Order::Count => SCAN_BUDGET,
            Order::End(_) => u32::try_from(END_BUDGET).unwrap_or(u32::MAX),
        };
        let (filter, page, doomed, order) =
            (&request.filter, &mut request.page, &mut self.doomed, request.order);
        let each = |session: &SessionView| {
            if !filter.matches(session, &policy) {
                return;
            }
            matched += 1;
            if order != Order::Count && page.len() < page.capacity() {
                page.push(*session);
            }
            if matches!(order, Order::End(_)) {
                doomed.push(session.id);
            }
        };
        let next = match filter.id {
            Some(id) => {
                self.engine.session(now, id).iter().for_each(each);
                None
            }
            None => self.engine.scan(now, request.cursor, budget, each),
        };
        if let Order::End(reason) = order {
            for id in self.doomed.drain(..) {
                self.engine.end_session(now, id, reason, &mut self.outbox);
            }
        }
        let is_full = order == Order::List && request.page.len() == request.page.capacity();
        match next {
            Some(cursor) if !is_full => {
                request.cursor = cursor;
                Some(AtHand::Sessions(request, matched))
            }
            next => {
                let answer = Answer { worker: self.config.worker, page: request.page, matched, next };
                // Whoever asked may have gone.
                let _ = request.answer.try_send(answer);
                None
            }
        }
    }

    fn count_turn(&self, found: usize, nanos: u64) {
        let counters = &self.shared.counters;
        counters.turns.add(1);
        counters.total_nanos.add(nanos);
        if found > 0 {
            counters.busy_turns.add(1);
            counters.busy_nanos.add(nanos);
        }
    }

    /// Drops what waits to become whole, and ends every session for the log, as far as control still takes the events and
    /// time allows.
    fn end_all(&mut self, now: Instant) {
        self.engine.end_fragments(now, &mut self.outbox);
        self.empty_outbox();
        let mut cursor = Some(0);
        while let Some(from) = cursor
            && self.io.now().since(now) < FAREWELL_MAX
        {
            let doomed = &mut self.doomed;
            cursor = self.engine.scan(now, from, u32::try_from(END_BUDGET).unwrap_or(u32::MAX), |session| {
                doomed.push(session.id);
            });
            for id in self.doomed.drain(..) {
                self.engine.end_session(now, id, Reason::EndShutdown, &mut self.outbox);
            }
            self.empty_outbox();
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
