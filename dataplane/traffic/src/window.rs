//! Sessions that are under way: each plays a script, packet by packet, as the device under test lets them through.

use std::collections::VecDeque;

use crate::config::Side;
use crate::template::Kind;

/// Slots that are looked at for a lost packet, in each call.
const LOOKS: u32 = 4;

/// One packet of a script: who sends what, and the TCP flags by which it is known when it comes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) from: Side,
    pub(crate) kind: Kind,
    flags: u8,
}

const fn step(from: Side, kind: Kind, flags: u8) -> Step {
    Step { from, kind, flags }
}

/// A request and its reply.
pub(crate) const UDP_OPENING: &[Step] =
    &[step(Side::Lan, Kind::Datagram, 0), step(Side::Wan, Kind::Datagram, 0)];
/// RFC 9293 section 3.5.
pub(crate) const TCP_OPENING: &[Step] = &[
    step(Side::Lan, Kind::Syn, 0x02),
    step(Side::Wan, Kind::SynAck, 0x12),
    step(Side::Lan, Kind::Ack, 0x10),
];
/// A whole connection in seven packets.
pub(crate) const CONNECTION: &[Step] = &[
    step(Side::Lan, Kind::Syn, 0x02),
    step(Side::Wan, Kind::SynAck, 0x12),
    step(Side::Lan, Kind::Ack, 0x10),
    step(Side::Lan, Kind::Request, 0x18),
    step(Side::Wan, Kind::AnswerFin, 0x19),
    step(Side::Lan, Kind::Fin, 0x11),
    step(Side::Wan, Kind::LastAck, 0x10),
];

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The step that is to be sent or was sent last.
    step: u8,
    /// It was sent, and did not come out yet.
    waits: bool,
    done: bool,
    sent: u64,
}

/// Which scripts the sessions play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Play {
    Opening,
    Connection,
}

impl Play {
    pub(crate) fn script(self, tcp: bool) -> &'static [Step] {
        match (self, tcp) {
            (Self::Connection, _) => CONNECTION,
            (Self::Opening, true) => TCP_OPENING,
            (Self::Opening, false) => UDP_OPENING,
        }
    }
}

/// Consecutive numbers, of which a bounded count is under way.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    play: Play,
    slots: Vec<Slot>,
    /// The lowest number that is not done.
    base: u64,
    next: u64,
    end: u64,
    due: [VecDeque<u64>; 2],
    looked: u64,
    retry: u64,
    pub(crate) retries: u64,
}

impl Window {
    /// Numbers `first` to `end`, without `end`; `room` at once.
    pub(crate) fn new(play: Play, first: u64, end: u64, room: u32, retry: u64) -> Self {
        let room = room.next_power_of_two();
        let due = [(); 2].map(|()| VecDeque::with_capacity(2 * room as usize));
        let slots = vec![Slot::default(); room as usize];
        Self { play, slots, base: first, next: first, end, due, looked: first, retry, retries: 0 }
    }

    pub(crate) fn play(&self) -> Play {
        self.play
    }

    pub(crate) fn is_done(&self) -> bool {
        self.base == self.end
    }

    #[inline]
    fn slot(&mut self, number: u64) -> &mut Slot {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "masked to the count of slots")]
        let at = number as usize & mask;
        &mut self.slots[at]
    }

    /// How many packets that side can send now.
    #[inline]
    pub(crate) fn ready(&mut self, side: Side, now: u64, tcp: impl Fn(u64) -> bool) -> usize {
        self.look_for_lost(now, tcp);
        let due = self.due[side.index()].len();
        if side == Side::Wan {
            return due;
        }
        let room = (self.base + self.slots.len() as u64).min(self.end) - self.next;
        due + usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// The next packet of that side: whose, and which. `None` if it has none now.
    #[inline]
    pub(crate) fn send(&mut self, side: Side, now: u64, tcp: impl Fn(u64) -> bool) -> Option<(u64, Kind)> {
        let number = match self.due[side.index()].pop_front() {
            Some(number) => number,
            None if side == Side::Lan && self.next < (self.base + self.slots.len() as u64).min(self.end) => {
                let number = self.next;
                self.next += 1;
                *self.slot(number) = Slot::default();
                number
            }
            None => return None,
        };
        let script = self.play.script(tcp(number));
        let slot = self.slot(number);
        slot.waits = true;
        slot.sent = now;
        let step = script.get(usize::from(slot.step))?;
        Some((number, step.kind))
    }

    /// A packet of session `number` came out on `side`, with these TCP flags. Whether it was the last of the script.
    #[inline]
    pub(crate) fn came_out(&mut self, side: Side, number: u64, tcp: bool, flags: u8) -> bool {
        if !(self.base..self.next).contains(&number) {
            return false;
        }
        let script = self.play.script(tcp);
        let slot = self.slot(number);
        let Some(step) = script.get(usize::from(slot.step)) else { return false };
        // What was sent twice may come out twice.
        if !slot.waits || slot.done || step.from == side || step.flags != flags {
            return false;
        }
        slot.waits = false;
        slot.step += 1;
        match script.get(usize::from(slot.step)) {
            Some(next) => {
                self.due[next.from.index()].push_back(number);
                false
            }
            None => {
                slot.done = true;
                while self.base < self.next && self.slot(self.base).done {
                    self.base += 1;
                }
                true
            }
        }
    }

    fn look_for_lost(&mut self, now: u64, tcp: impl Fn(u64) -> bool) {
        for _ in 0..LOOKS {
            if self.looked >= self.next || self.looked < self.base {
                self.looked = self.base;
            }
            if self.looked >= self.next {
                return;
            }
            let (number, retry) = (self.looked, self.retry);
            self.looked += 1;
            let script = self.play.script(tcp(number));
            let slot = self.slot(number);
            if slot.waits && !slot.done && now.saturating_sub(slot.sent) > retry {
                slot.waits = false;
                if let Some(step) = script.get(usize::from(slot.step)) {
                    self.due[step.from.index()].push_back(number);
                    self.retries += 1;
                }
            }
        }
    }
}
