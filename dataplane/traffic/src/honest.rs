//! Honest clients of the published server, and the server: both ends as real stacks behave, with memory for a fixed
//! number of connections.
//!
//! A client takes what answers its SYN as its server, whoever that is: a SYN/ACK of the appliance with a closed window (a
//! cookie) as one of the server itself. A SYN/ACK that acknowledges something else than what it sent it resets with that
//! number and goes on waiting (RFC 9293 section 3.10.7.3), which is what a challenge asks for. The server remembers nothing:
//! all that it answers follows from what it is asked.

use std::collections::VecDeque;

use crate::config::{CLIENTS_MAX, Family, Honest, Side};
use crate::count::HonestCounts;
use crate::segment::{ACK, FIN, PSH, RST, SYN, Segment};
use crate::session::{Ends, Plan, mix};

/// Connections that are begun, sent for again or given up in one call, at the most.
const TURN_MAX: u32 = 64;
/// Frames of each side that wait, at the most. More than that no burst answers.
const DUE_MAX: usize = 8192;
/// Clients' ports begin here; with one for each place of the table.
const PORT_FIRST: u16 = 0x4000;
/// What is asked for, and what it is answered with.
const DATA: u16 = 8;
const WINDOW: u16 = 0xffff;

/// How far a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Its place is free, or it has what it wanted and all is said.
    #[default]
    Over,
    /// Its SYN is out.
    Calls,
    /// It has a SYN/ACK with a closed window, and waits for it to open.
    Waits,
    /// Its request is out.
    Asked,
}

/// A client's connection.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    began: u64,
    address: u32,
    hash: u16,
    state: State,
    /// It has sent again.
    again: bool,
    /// The number of its SYN, what it expects of the server, and the server's time.
    first: u32,
    expected: u32,
    stamp: u32,
}

/// A segment that is due, and half of its hash.
#[derive(Clone, Copy, Debug)]
struct Due {
    segment: Segment,
    hash: u16,
}

/// The honest clients of one queue, and the server.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    honest: Honest,
    family: Family,
    plan: Plan,
    /// Numbers of connections go up by one, and begin so that no two queues have the same.
    start: u32,
    places: Box<[Client]>,
    /// When the next begins; `None` until the load is on.
    next_at: Option<u64>,
    now: u64,
    /// Connections that were begun; those of them whose time to send again, and to give up, has passed.
    begun: u64,
    looked_again: u64,
    looked_last: u64,
    due: [VecDeque<Due>; 2],
    pub(crate) counts: HonestCounts,
}

impl Clients {
    /// Those of one queue of `queues`.
    pub(crate) fn new(honest: Honest, family: Family, plan: Plan, start: u32, queues: u16) -> Self {
        let honest = Honest { interval: honest.interval.saturating_mul(queues.into()), ..honest };
        Self {
            honest,
            family,
            plan,
            start,
            places: vec![Client::default(); CLIENTS_MAX].into(),
            next_at: None,
            now: 0,
            begun: 0,
            looked_again: 0,
            looked_last: 0,
            due: [(); 2].map(|()| VecDeque::with_capacity(DUE_MAX)),
            counts: HonestCounts::default(),
        }
    }

    /// Begins what is due at `now`, has clients send again that waited too long, and gives up those that wait for the
    /// second time.
    #[inline]
    pub(crate) fn turn(&mut self, now: u64) {
        self.now = now;
        let next_at = *self.next_at.get_or_insert(now);
        let first_began = |looked: u64, begun: u64, places: &[Client]| {
            (looked < begun).then(|| places[place_of(looked)].began)
        };
        let span = self.honest.retransmit;
        let waited =
            |began: Option<u64>, span: u64| began.is_some_and(|began| now.wrapping_sub(began) >= span);
        if now >= next_at
            || waited(first_began(self.looked_again, self.begun, &self.places), span)
            || waited(first_began(self.looked_last, self.begun, &self.places), 3 * span)
        {
            self.look(now, next_at);
        }
    }

    #[cold]
    fn look(&mut self, now: u64, mut next_at: u64) {
        let span = self.honest.retransmit;
        for _ in 0..TURN_MAX {
            if self.looked_last < self.looked_again
                && now.saturating_sub(self.places[place_of(self.looked_last)].began) >= 3 * span
            {
                self.give_up(place_of(self.looked_last));
                self.looked_last += 1;
            } else if self.looked_again < self.begun
                && now.saturating_sub(self.places[place_of(self.looked_again)].began) >= span
            {
                self.send_again(place_of(self.looked_again));
                self.looked_again += 1;
            } else if now >= next_at && self.begun - self.looked_last < CLIENTS_MAX as u64 {
                self.begin(next_at);
                next_at += self.honest.interval;
            } else {
                break;
            }
        }
        self.next_at = Some(next_at);
    }

    fn begin(&mut self, at: u64) {
        let place = place_of(self.begun);
        #[expect(clippy::cast_possible_truncation, reason = "numbers of sessions go round at 32 bits")]
        let number = self.start.wrapping_add(self.begun as u32);
        let ends = Ends::client(number, port_of(place), &self.plan);
        self.begun += 1;
        self.counts.begun += 1;
        let first = ends.isn[1];
        self.places[place] = Client {
            began: at,
            address: ends.wan,
            hash: ends.hash,
            state: State::Calls,
            first,
            ..Client::default()
        };
        self.say(place, SYN, first, 0, 0);
    }

    /// What a client does whose first packets came to nothing: it calls again, looks whether the window has opened, or asks
    /// again.
    fn send_again(&mut self, place: usize) {
        let client = &mut self.places[place];
        let (first, expected) = (client.first, client.expected);
        client.again |= client.state != State::Over;
        match client.state {
            State::Over => {}
            State::Calls => self.say(place, SYN, first, 0, 0),
            State::Waits => self.say(place, ACK, first, expected, 0),
            State::Asked => self.say(place, PSH | ACK, first.wrapping_add(1), expected, DATA),
        }
    }

    fn give_up(&mut self, place: usize) {
        if self.places[place].state != State::Over {
            self.places[place].state = State::Over;
            self.counts.failed += 1;
        }
    }

    /// The next frame of that side, and half of its hash.
    #[inline]
    pub(crate) fn next(
        &mut self,
        side: Side,
        out: &mut [u8],
        is_lost: impl FnMut() -> bool,
    ) -> Option<(usize, u16)> {
        if self.due[side.index()].is_empty() {
            return None;
        }
        self.write_next(side, out, is_lost)
    }

    #[cold]
    fn write_next(
        &mut self,
        side: Side,
        out: &mut [u8],
        mut is_lost: impl FnMut() -> bool,
    ) -> Option<(usize, u16)> {
        loop {
            let Due { segment, hash } = self.due[side.index()].pop_front()?;
            if !is_lost() {
                return Some((segment.write(self.family, side, out), hash));
            }
            self.counts.lost += 1;
        }
    }

    /// A frame of TCP between the server and one of its clients came out on `side`.
    #[cold]
    pub(crate) fn came_out(&mut self, side: Side, frame: &[u8]) {
        let Some(segment) = Segment::read(self.family, side, frame) else { return };
        match side {
            Side::Lan => self.serve(&segment),
            Side::Wan => self.hear(&segment),
        }
    }

    /// The server's answer.
    fn serve(&mut self, asked: &Segment) {
        let Segment { address, port, .. } = *asked;
        let next = asked.sequence.wrapping_add(asked.length());
        let answer = |flags, sequence, data| Segment {
            address,
            port,
            flags,
            window: WINDOW,
            sequence,
            acknowledgement: next,
            stamps: asked.stamps.map(|(time, _)| (self.time(mix(address)), time)),
            data,
        };
        let answer = if asked.has(RST) {
            return;
        } else if asked.has(SYN) {
            answer(SYN | ACK, mix(address ^ u32::from(port) << 8), 0)
        } else if asked.data > 0 {
            // After which it has no more to say.
            answer(PSH | FIN | ACK, asked.acknowledgement, DATA)
        } else if asked.has(FIN) {
            answer(ACK, asked.acknowledgement, 0)
        } else {
            return;
        };
        let hash = self.client_of(asked).map_or(0, |place| self.places[place].hash);
        self.put(Side::Lan, Due { segment: answer, hash });
    }

    /// What a client makes of a segment.
    fn hear(&mut self, segment: &Segment) {
        let Some(place) = self.client_of(segment) else { return };
        let client = &mut self.places[place];
        let next = client.first.wrapping_add(1);
        if client.state == State::Over {
            return;
        }
        let is_answer = segment.acknowledgement == next;
        if segment.has(RST) {
            let counts = if client.state == State::Calls {
                segment.has(ACK) && is_answer
            } else {
                segment.sequence == client.expected
            };
            if counts {
                self.give_up(place);
            }
        } else if segment.has(SYN | ACK) {
            if !is_answer {
                if client.state == State::Calls {
                    self.reset(place, segment.acknowledgement);
                }
                return;
            }
            if client.state == State::Calls {
                client.expected = segment.sequence.wrapping_add(1);
                client.stamp = segment.stamps.map_or(0, |(time, _)| time);
                client.state = State::Waits;
            }
            let expected = client.expected;
            self.say(place, ACK, next, expected, 0);
            self.ask_if_open(place, segment);
        } else if segment.has(ACK) && is_answer && client.state != State::Calls {
            client.stamp = segment.stamps.map_or(0, |(time, _)| time);
            self.ask_if_open(place, segment);
        } else if segment.has(ACK) && client.state == State::Asked && segment.sequence == client.expected {
            self.take(place, segment);
        }
    }

    /// Sends the request as soon as the server's window is open.
    fn ask_if_open(&mut self, place: usize, segment: &Segment) {
        let client = &mut self.places[place];
        if client.state == State::Waits && segment.window > 0 {
            client.state = State::Asked;
            let (next, expected) = (client.first.wrapping_add(1), client.expected);
            self.say(place, PSH | ACK, next, expected, DATA);
        }
    }

    /// What the client asked for is there: it closes.
    fn take(&mut self, place: usize, segment: &Segment) {
        let client = &mut self.places[place];
        let next = client.first.wrapping_add(1 + u32::from(DATA));
        if segment.data == 0 || segment.acknowledgement != next {
            return;
        }
        client.stamp = segment.stamps.map_or(0, |(time, _)| time);
        client.state = State::Over;
        let count = if client.again { &mut self.counts.retransmitted } else { &mut self.counts.at_once };
        *count += 1;
        let heard = segment.sequence.wrapping_add(segment.length());
        self.say(place, FIN | ACK, next, heard, 0);
    }

    /// The connection that a segment is of, if that is remembered.
    fn client_of(&self, segment: &Segment) -> Option<usize> {
        let place = usize::from(segment.port.checked_sub(PORT_FIRST)?);
        (self.places.get(place)?.address == segment.address).then_some(place)
    }

    fn reset(&mut self, place: usize, number: u32) {
        let Client { address, hash, .. } = self.places[place];
        let segment =
            Segment { address, port: port_of(place), flags: RST, sequence: number, ..Segment::default() };
        self.put(Side::Wan, Due { segment, hash });
    }

    fn say(&mut self, place: usize, flags: u8, sequence: u32, acknowledgement: u32, data: u16) {
        let Client { address, hash, stamp, .. } = self.places[place];
        let stamps = Some((self.time(address), stamp));
        let port = port_of(place);
        let segment =
            Segment { address, port, flags, window: WINDOW, sequence, acknowledgement, stamps, data };
        self.put(Side::Wan, Due { segment, hash });
    }

    /// A host's clock of time stamps: milliseconds, from some moment of its own.
    #[expect(clippy::cast_possible_truncation, reason = "RFC 7323: it goes round")]
    fn time(&self, host: u32) -> u32 {
        ((self.now / (self.honest.retransmit / 1000)) as u32).wrapping_add(host)
    }

    fn put(&mut self, side: Side, due: Due) {
        let list = &mut self.due[side.index()];
        if list.len() < DUE_MAX {
            list.push_back(due);
        } else {
            self.counts.lost += 1;
        }
    }
}

/// Where a connection is remembered.
#[expect(clippy::cast_possible_truncation, reason = "less than the places there are")]
const fn place_of(number: u64) -> usize {
    (number % CLIENTS_MAX as u64) as usize
}

/// The client's port, by which its place is found again.
#[expect(clippy::cast_possible_truncation, reason = "the places are 2^14")]
const fn port_of(place: usize) -> u16 {
    PORT_FIRST + place as u16
}
