//! The generator of one queue of each side.

use crate::config::{Config, ConfigError, Family, HostileKind, Load, Order, Protocol, Side};
use crate::count::{Class, Counts};
use crate::honest::Clients;
use crate::session::{Ends, Plan, SERVER, anywhere, class_of, hash_of_addresses, is_client, mix, number_of};
use crate::steer::Entries;
use crate::template::{Kind, L4, ROOM_MIN, Seen, Template, Templates, fixed_word, read};
use crate::window::{Play, Window};

/// Sessions of [`HostileKind::Collisions`].
const COLLIDING: u32 = 65_536;
/// Numbers of new sessions begin so far apart in the shards.
const SHARD_STEP: u32 = 1 << 25;

/// How far a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its sessions are being opened.
    Opening,
    /// They are open, and the load that was asked for is on.
    Load,
}

/// A frame that was written. Its layout is C's, for devices that hand it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Made {
    /// What receive side scaling with sekisho's key computes of it.
    pub rss_hash: u32,
    /// Its length in bytes; 0 if the side had nothing to send, or the buffer was shorter than the frame.
    pub len: u16,
    /// What it carries.
    pub l4: L4,
}

/// Decides for a fixed share of turns, as evenly as can be.
#[derive(Clone, Copy, Debug)]
struct Share {
    step: u32,
    credit: u32,
}

impl Share {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1, scaled to 32 bits")]
    fn new(share: f64) -> Self {
        Self { step: (share * f64::from(u32::MAX)) as u32, credit: u32::MAX / 2 }
    }

    #[inline]
    fn turn(&mut self) -> bool {
        let (credit, over) = self.credit.overflowing_add(self.step);
        self.credit = credit;
        over
    }
}

/// What one side needs for itself.
#[derive(Clone, Debug)]
struct Sender {
    random: u64,
    turn: usize,
    next: u32,
    hostile: Share,
    misplaced: Share,
    /// The share of frames that find the device's queue full, of 2^32.
    overload: u64,
}

impl Sender {
    /// A Weyl sequence, multiplied and folded (wyrand).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded")]
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.random) * u128::from(self.random ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// Any number below `count`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "less than count")]
    fn below(&mut self, count: u32) -> u32 {
        ((u128::from(self.random()) * u128::from(count)) >> 64) as u32
    }
}

/// The generator of one queue of each side: its sessions, and what is under way.
#[derive(Clone, Debug)]
pub struct Shard {
    config: Config,
    templates: Templates,
    /// How the sessions of each queue are steered; the first of each, and the end.
    plans: Vec<Plan>,
    starts: Vec<u32>,
    queue: usize,
    window: Option<Window>,
    senders: [Sender; 2],
    phase: Phase,
    counts: Counts,
    next_new: u32,
    misplaces: bool,
    clients: Option<Box<Clients>>,
}

impl Shard {
    /// The shard of `queue`, one of [`Config::queues`].
    pub fn new(config: &Config, queue: u16) -> Result<Self, ConfigError> {
        config.check()?;
        let queues = config.queues;
        let queue = queue.min(queues - 1);
        let fixed = fixed_word(config.family);
        let entries = |at| (queues > 1).then(|| Entries::of(at, queues));
        let plans = (0..queues).map(|at| Plan { fixed, entries: entries(at) }).collect();
        let start = |at: u32| {
            // Even, so that each shard begins with the same protocol of mixed ones.
            let start = u64::from(config.sessions) * u64::from(at) / u64::from(queues);
            u32::try_from(if at == u32::from(queues) { start } else { start & !1 }).unwrap_or(u32::MAX)
        };
        let starts: Vec<u32> = (0..=u32::from(queues)).map(start).collect();
        let (first, end) = (starts[usize::from(queue)], starts[usize::from(queue) + 1]);
        let window = Window::new(Play::Opening, first.into(), end.into(), config.window, config.retry);
        let senders = Side::ALL.map(|side| Sender {
            random: u64::from(mix(u32::from(queue) << 1 | u32::from(side == Side::Wan))) << 17 | 1,
            turn: 0,
            // Both directions of a session in order lie half of all apart.
            next: if side == Side::Lan { first } else { (first + end) / 2 },
            hostile: Share::new(match config.hostile {
                Some(hostile) if hostile.from == side => 2.0 * hostile.share,
                _ => 0.0,
            }),
            misplaced: Share::new(config.misplaced),
            overload: 0,
        });
        let next_new = u32::from(queue).wrapping_mul(SHARD_STEP);
        let clients = config.honest.map(|honest| {
            let plan = Plan { fixed, entries: entries(queue) };
            Box::new(Clients::new(honest, config.family, plan, next_new, queues))
        });
        let mut shard = Self {
            config: *config,
            templates: Templates::new(config.family, config.size),
            plans,
            starts,
            queue: usize::from(queue),
            window: Some(window),
            senders,
            phase: Phase::Opening,
            counts: Counts::default(),
            next_new,
            misplaces: false,
            clients,
        };
        if first == end {
            shard.begin_load();
        }
        Ok(shard)
    }

    /// Frames and sessions since the start.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.retries += self.window.as_ref().map_or(0, |window| window.retries);
        counts.honest = self.clients.as_ref().map_or_else(Default::default, |clients| clients.counts);
        counts
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Sessions that are opened before the load.
    pub fn sessions(&self) -> u32 {
        self.starts[self.queue + 1] - self.starts[self.queue]
    }

    /// From now on frames may be of other shards' sessions too, as [`Config::misplaced`] says: all of them are open.
    pub fn misplace(&mut self) {
        self.misplaces = self.config.misplaced > 0.0;
    }

    /// Whether [`Shard::sink`] has to see what comes out; where not, [`Shard::sink_count`] does.
    #[inline]
    pub fn looks_at_what_comes_out(&self) -> bool {
        let is_plain = self.config.hostile.is_none() && self.clients.is_none();
        self.window.is_some() || !is_plain || self.config.load != Load::Data
    }

    /// Of the frames of `side` that are due now, `lost` found the queue of the device full and `taken` did not: those of honest
    /// clients, which are few and not among `lost`, are lost as often.
    #[inline]
    pub fn overload(&mut self, side: Side, lost: u64, taken: u64) {
        self.senders[side.index()].overload = if lost == 0 { 0 } else { (lost << 32) / (lost + taken) };
    }

    /// How many frames `side` has to send at `now`, at most `wanted`.
    #[inline]
    pub fn ready(&mut self, side: Side, now: u64, wanted: usize) -> usize {
        let protocol = self.config.protocol;
        match &mut self.window {
            Some(window) => {
                let play = window.play();
                wanted.min(window.ready(side, now, |number| is_tcp(protocol, play, number)))
            }
            None if self.config.load == Load::FirstPackets && side == Side::Wan => 0,
            None => {
                if let Some(clients) = &mut self.clients {
                    clients.turn(now);
                }
                wanted
            }
        }
    }

    /// Writes the next frame of `side` into `out`, which should have room for [`crate::FRAME_MAX`] bytes.
    #[inline]
    pub fn make(&mut self, side: Side, now: u64, out: &mut [u8]) -> Made {
        if out.len() < ROOM_MIN {
            return NOTHING;
        }
        if self.window.is_some() {
            return self.make_step(side, now, out);
        }
        if self.config.load == Load::FirstPackets {
            return self.make_first(side, out);
        }
        if let Some(made) = self.make_honest(side, out) {
            return made;
        }
        let sender = &mut self.senders[side.index()];
        if let Some(hostile) = self.config.hostile
            && sender.hostile.turn()
        {
            return self.make_hostile(hostile.kind, side, out);
        }
        self.make_data(side, out)
    }

    /// The same for many at once, which costs less: each place is a buffer and what is told of its frame. How many were
    /// made; those are the first ones.
    pub fn make_all<'b>(
        &mut self,
        side: Side,
        now: u64,
        places: impl Iterator<Item = (&'b mut [u8], &'b mut Made)>,
    ) -> usize {
        let is_plain = self.window.is_none()
            && (self.config.load, self.config.order) == (Load::Data, Order::Random)
            && self.config.hostile.is_none()
            && self.clients.is_none()
            && self.templates.one_size()
            && !self.misplaces;
        match self.config.family {
            Family::V4 if is_plain => self.make_plain::<false>(side, places),
            Family::V6 if is_plain => self.make_plain::<true>(side, places),
            _ => {
                let mut count = 0;
                for (out, made) in places {
                    *made = self.make(side, now, out);
                    if made.len == 0 {
                        break;
                    }
                    count += 1;
                }
                count
            }
        }
    }

    /// Short data of any session, and nothing else: all that does not change is out of the way.
    #[inline]
    fn make_plain<'b, const V6: bool>(
        &mut self,
        side: Side,
        places: impl Iterator<Item = (&'b mut [u8], &'b mut Made)>,
    ) -> usize {
        let family = if V6 { Family::V6 } else { Family::V4 };
        let (first, end) = (self.starts[self.queue], self.starts[self.queue + 1]);
        let plan = &self.plans[self.queue];
        let templates = [false, true].map(|tcp| self.templates.data(side, tcp, 0));
        let protocol = self.config.protocol;
        let sender = &mut self.senders[side.index()];
        let mut count = 0;
        for (out, made) in places {
            if out.len() < ROOM_MIN {
                *made = NOTHING;
                break;
            }
            let mut number = first + sender.below(end - first);
            let mut tcp = protocol == Protocol::Tcp;
            if protocol == Protocol::Mixed {
                sender.turn = sender.turn.wrapping_add(1);
                number = in_turn(number, sender.turn, end);
                tcp = number & 1 == 1;
            }
            let ends = Ends::of(number, Class::Established, tcp, plan);
            let template = templates[usize::from(tcp)];
            template.write(family, side, &ends, 0, out);
            *made = made_of(template, &ends);
            count += 1;
        }
        self.counts.given[side.index()][Class::Established.index()] += count as u64;
        count
    }

    #[inline]
    fn make_data(&mut self, side: Side, out: &mut [u8]) -> Made {
        let (first, end) = (self.starts[self.queue], self.starts[self.queue + 1]);
        let sender = &mut self.senders[side.index()];
        let misplaced = self.misplaces && sender.misplaced.turn();
        let (mut number, mut queue) = match self.config.order {
            _ if misplaced => (0, self.queue),
            Order::Random => (first + sender.below(end - first), self.queue),
            Order::Sequential => {
                let number = sender.next;
                sender.next = if number + 1 == end { first } else { number + 1 };
                (number, self.queue)
            }
        };
        sender.turn = sender.turn.wrapping_add(1);
        if misplaced {
            // Any session of the other queues.
            number = sender.below(self.config.sessions - (end - first));
            number += if number >= first { end - first } else { 0 };
            queue = self.starts.partition_point(|&start| start <= number) - 1;
        }
        // In turns, which costs less than what comes as it likes.
        if self.config.protocol == Protocol::Mixed && self.config.order == Order::Random {
            number = in_turn(number, sender.turn, self.starts[queue + 1]);
        }
        let tcp = protocol_of(self.config.protocol, number.into());
        // A TCP session sends the same data over and over. If it were longer and shorter in turns, the shorter would end below
        // what was sent before: not what an established session sends, but what it repeats.
        let turn = if tcp { size_of_session(number) } else { sender.turn };
        let ends = Ends::of(number, Class::Established, tcp, &self.plans[queue]);
        let template = self.templates.data(side, tcp, turn);
        put(template, self.templates.family(), side, &ends, 0, out, &mut self.counts, Class::Established)
    }

    fn make_step(&mut self, side: Side, now: u64, out: &mut [u8]) -> Made {
        let protocol = self.config.protocol;
        let Some(window) = &mut self.window else { return NOTHING };
        let play = window.play();
        let next = window.send(side, now, |number| is_tcp(protocol, play, number));
        let Some((wide, kind)) = next else { return NOTHING };
        let class = if play == Play::Opening { Class::Established } else { Class::New };
        let number = wrapped(wide);
        let tcp = is_tcp(protocol, play, wide);
        let ends = Ends::of(number, class, tcp, &self.plans[self.queue]);
        let template = self.templates.short(kind, side);
        put(template, self.templates.family(), side, &ends, 0, out, &mut self.counts, class)
    }

    fn make_first(&mut self, side: Side, out: &mut [u8]) -> Made {
        if side == Side::Wan {
            return NOTHING;
        }
        let number = self.next_new;
        self.next_new = number.wrapping_add(1);
        let tcp = protocol_of(self.config.protocol, number.into());
        let ends = Ends::of(number, Class::New, tcp, &self.plans[self.queue]);
        let template = self.templates.short(if tcp { Kind::Syn } else { Kind::Datagram }, side);
        put(template, self.templates.family(), side, &ends, 0, out, &mut self.counts, Class::New)
    }

    /// What clients and server have to say comes first: it waits at the head of the queue.
    #[inline]
    fn make_honest(&mut self, side: Side, out: &mut [u8]) -> Option<Made> {
        let clients = self.clients.as_mut()?;
        let sender = &mut self.senders[side.index()];
        let is_lost = || sender.overload > 0 && sender.random() >> 32 < sender.overload;
        let (len, half) = clients.next(side, out, is_lost)?;
        self.counts.give(side, Class::New);
        Some(Made { rss_hash: whole_hash(half), len: u16::try_from(len).unwrap_or(0), l4: L4::Tcp })
    }

    fn make_hostile(&mut self, kind: HostileKind, side: Side, out: &mut [u8]) -> Made {
        let plan = self.plans[self.queue];
        let sender = &mut self.senders[side.index()];
        let (bits, more) = (sender.random(), sender.below(u32::MAX));
        let (kind, mut ends) = match kind {
            HostileKind::SynFlood => (Kind::Syn, Ends::random(bits, more, &plan)),
            HostileKind::Fragments => (Kind::Fragment, Ends::random(bits, more, &plan)),
            HostileKind::Collisions => {
                let number = sender.below(COLLIDING);
                (Kind::Datagram, Ends::colliding(number, &plan))
            }
            HostileKind::ServerSyns => (Kind::Syn, Ends::stranger(bits, more, true, &plan)),
            HostileKind::ServerDatagrams => (Kind::Datagram, Ends::stranger(bits, more, false, &plan)),
            HostileKind::IcmpErrors => return self.make_error(bits, more, out),
        };
        if kind == Kind::Fragment {
            ends.hash = ends.hash_without_ports(&plan);
        }
        let template = self.templates.short(kind, side);
        put(template, self.templates.family(), side, &ends, more, out, &mut self.counts, Class::Hostile)
    }

    /// An ICMP error of a random router, from 96 random bits: of an open session, or as likely of nobody's.
    fn make_error(&mut self, bits: u64, more: u32, out: &mut [u8]) -> Made {
        let plan = self.plans[self.queue];
        let (first, end) = (self.starts[self.queue], self.starts[self.queue + 1]);
        let sender = &mut self.senders[Side::Wan.index()];
        let is_of_ours = more >> 31 == 0;
        let number = first + sender.below(end - first);
        let (tcp, ends) = if is_of_ours {
            let tcp = protocol_of(self.config.protocol, number.into());
            (tcp, Ends::of(number, Class::Established, tcp, &plan))
        } else {
            (more & 1 == 1, Ends::random(bits, more, &plan))
        };
        let template = self.templates.error(tcp);
        if template.len() > out.len() {
            return NOTHING;
        }
        let router = anywhere(more);
        template.write(router, &ends, out);
        self.counts.give(Side::Wan, Class::Hostile);
        let half = hash_of_addresses(ends.lan, router, &plan);
        Made { rss_hash: whole_hash(half), len: u16::try_from(template.len()).unwrap_or(0), l4: L4::Icmp }
    }

    /// A frame came out of the device under test on `side`.
    #[inline]
    pub fn sink(&mut self, side: Side, frame: &[u8]) {
        let Some(seen) = read(self.templates.family(), side, frame) else {
            self.counts.stray += 1;
            return;
        };
        let Seen { lan, port, tcp, flags, .. } = seen;
        let Some(class) = class_of_frame(&seen) else {
            self.counts.stray += 1;
            return;
        };
        self.counts.take(side, class, 1);
        if lan == SERVER {
            if class == Class::New
                && let Some(clients) = &mut self.clients
            {
                clients.came_out(side, frame);
            }
            return;
        }
        let Some(window) = &mut self.window else { return };
        let play = window.play();
        let number = number_of(lan, port);
        match (play, class) {
            (Play::Opening, Class::Established) => {
                if !(self.starts[self.queue]..self.starts[self.queue + 1]).contains(&number) {
                    self.counts.stray += 1;
                } else if window.came_out(side, number.into(), tcp, flags) {
                    self.counts.opened += 1;
                    if window.is_done() {
                        self.begin_load();
                    }
                }
            }
            (Play::Connection, Class::New) => {
                let played = window.came_out(side, number.into(), tcp, flags);
                self.counts.connections += u64::from(played);
            }
            _ => {}
        }
    }

    /// So many frames came out on `side`, where nobody has to look at them.
    #[inline]
    pub fn sink_count(&mut self, side: Side, frames: u64) {
        self.counts.take(side, Class::Established, frames);
    }

    fn begin_load(&mut self) {
        self.phase = Phase::Load;
        self.counts.retries += self.window.as_ref().map_or(0, |window| window.retries);
        self.window = (self.config.load == Load::Connections).then(|| {
            let first = u64::from(self.next_new);
            // Far more than anybody waits for; numbers of shards that meet are of other queues.
            let end = first + (u64::from(u32::MAX) - first);
            Window::new(Play::Connection, first, end, self.config.window, self.config.retry)
        });
    }
}

const NOTHING: Made = Made { rss_hash: 0, len: 0, l4: L4::Udp };

/// What a frame belongs to that came out.
#[inline]
fn class_of_frame(seen: &Seen) -> Option<Class> {
    if seen.icmp {
        return Some(Class::Hostile);
    }
    if seen.lan == SERVER {
        return Some(if is_client(seen.wan) { Class::New } else { Class::Hostile });
    }
    class_of(seen.lan)
}

/// Both halves of the hash are alike.
#[inline]
const fn whole_hash(half: u16) -> u32 {
    (half as u32) << 16 | half as u32
}

/// Which of the sizes the data of a TCP session has.
fn size_of_session(number: u32) -> usize {
    number.wrapping_mul(0x9e37_79b1) as usize >> 16
}

/// The session beside it whose turn it is, of those below `end`.
#[inline(always)]
fn in_turn(number: u32, turn: usize, end: u32) -> u32 {
    let number = number & !1 | u32::from(turn & 1 == 1);
    number - if number >= end { 2 } else { 0 }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "1,514 at the most")]
fn made_of(template: &Template, ends: &Ends) -> Made {
    Made { rss_hash: whole_hash(ends.hash), len: template.len() as u16, l4: template.l4() }
}

/// Whether that session speaks TCP.
#[inline]
fn protocol_of(protocol: Protocol, number: u64) -> bool {
    match protocol {
        Protocol::Udp => false,
        Protocol::Tcp => true,
        Protocol::Mixed => number & 1 == 1,
    }
}

#[inline]
fn is_tcp(protocol: Protocol, play: Play, number: u64) -> bool {
    play == Play::Connection || protocol_of(protocol, number)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "numbers of sessions go round at 32 bits")]
const fn wrapped(number: u64) -> u32 {
    number as u32
}

#[inline]
#[expect(clippy::too_many_arguments, reason = "parts of a shard, borrowed one by one")]
fn put(
    template: &Template,
    family: Family,
    side: Side,
    ends: &Ends,
    number: u32,
    out: &mut [u8],
    counts: &mut Counts,
    class: Class,
) -> Made {
    if template.len() > out.len() {
        return NOTHING;
    }
    template.write(family, side, ends, number, out);
    counts.give(side, class);
    made_of(template, ends)
}
