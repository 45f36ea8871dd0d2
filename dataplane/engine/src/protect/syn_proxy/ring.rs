//! The newest cookies, to be sent again where nobody acknowledged them.
//!
//! The weakness of SYN cookies is the lost acknowledgement of a client that waits for the server to speak first: the
//! client believes in a connection of which nobody knows. Its SYN/ACK, sent again, makes it acknowledge again. Each engine
//! keeps the frames that it sent; all number them together, so that what is kept are the newest of all of them, however
//! many engines there are. Those of services whose clients are known to speak first are not here: their data proves as well.

use super::SynProxy;
use crate::port::Port;
use crate::record::OwnFrame;
use crate::time::Instant;

/// Cookies that are remembered at the most, of all engines together.
pub(super) const COOKIES_MAX: usize = 16_384;
/// A SYN/ACK: Ethernet with two tags, IPv6, TCP with the options of an offer.
const FRAME_MAX: usize = 14 + 8 + 40 + 20 + 24;
/// A SYN/ACK is sent again so long after it was sent first.
const AGAIN_MS: [u64; 3] = [1000, 3000, 7000];

/// The cookies of one engine.
#[derive(Debug)]
pub(super) struct Ring {
    cookies: Vec<Sent>,
    room: usize,
    /// Cookies that were ever put here; the next one's place is this number modulo the room.
    put: u64,
    /// For each time that they are sent again, the number of the next one.
    next: [u64; AGAIN_MS.len()],
}

/// A SYN/ACK that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    sent_ms: u64,
    /// Its number among those of all engines.
    number: u64,
    /// The port by which it left.
    pub(super) port: Port,
    len: u8,
    bytes: [u8; FRAME_MAX],
}

impl Sent {
    /// The frame.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Ring {
    /// A ring for so many cookies.
    pub(super) fn new(room: usize) -> Self {
        Self { cookies: Vec::with_capacity(room), room, put: 0, next: [0; AGAIN_MS.len()] }
    }

    /// Remembers a SYN/ACK, whose number among those of all engines is `number`.
    pub(super) fn put(&mut self, now: Instant, number: u64, frame: &OwnFrame) {
        let place = self.place(self.put);
        if place == self.cookies.len() {
            self.cookies.push(Sent { sent_ms: 0, number: 0, port: Port::Lan, len: 0, bytes: [0; FRAME_MAX] });
        }
        let Some(sent) = self.cookies.get_mut(place) else { return };
        let bytes = frame.bytes();
        let (Some(room), Ok(len)) = (sent.bytes.get_mut(..bytes.len()), u8::try_from(bytes.len())) else {
            return;
        };
        room.copy_from_slice(bytes);
        (sent.sent_ms, sent.number, sent.port, sent.len) = (now.as_millis_up(), number, frame.port, len);
        self.put += 1;
        let oldest = self.put.saturating_sub(self.room as u64);
        self.next = self.next.map(|next| next.max(oldest));
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.room as u64).unwrap_or(0)
    }

    /// When the next one may be due, in milliseconds.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let due = self.next.iter().zip(AGAIN_MS).filter(|(next, _)| **next < self.put);
        due.map(|(next, again)| self.cookies[self.place(*next)].sent_ms + again).min()
    }

    /// Takes the next one that is due, to be sent again; `None` inside: it is one of the newest no more.
    pub(super) fn pop(&mut self, now: Instant, shared: &SynProxy) -> Option<Option<Sent>> {
        let at = |(index, next): (usize, &u64)| {
            (*next < self.put).then(|| (self.cookies[self.place(*next)].sent_ms + AGAIN_MS[index], index))
        };
        let (due_ms, index) = self.next.iter().enumerate().filter_map(at).min()?;
        if due_ms > now.as_millis() {
            return None;
        }
        let sent = self.cookies[self.place(self.next[index])];
        self.next[index] += 1;
        let is_newest = sent.number + shared.cookies_max as u64 > shared.cookies_sent();
        Some(is_newest.then_some(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::HashSecret;
    use crate::reason::Reason;
    use crate::record::Outbox;
    use crate::time::Duration;

    fn frame(number: u8) -> OwnFrame {
        let mut out = Outbox::new(1, 0);
        let written = out.frame(|frame| {
            frame.begin(Port::Wan, Reason::SendCookie);
            frame.put(&[number; 60])
        });
        written.expect("it fits").clone()
    }

    #[test]
    fn cookies_are_sent_again_in_their_turn() {
        let shared = SynProxy::new(64, HashSecret([1, 2, 3, 4]));
        let (mut ring, start) = (Ring::new(64), Instant::from_secs(5));
        let after = |millis| start + Duration::from_millis(millis);
        for number in 0..2u8 {
            ring.put(after(u64::from(number) * 100), shared.count_cookie(), &frame(number));
        }
        let mut sent = Vec::new();
        while let Some(next) = ring.next_ms() {
            let now = Instant::from_millis(next);
            assert!(ring.pop(now - Duration::from_millis(1), &shared).is_none(), "not too early");
            let frame = ring.pop(now, &shared).flatten().expect("it is due");
            sent.push((now.since(start).as_millis(), frame.bytes()[0]));
        }
        assert_eq!(sent, [(1000, 0), (1100, 1), (3000, 0), (3100, 1), (7000, 0), (7100, 1)]);
    }

    #[test]
    fn only_the_newest_of_all_engines_are_sent_again() {
        let shared = SynProxy::new(8, HashSecret([1, 2, 3, 4]));
        let start = Instant::from_secs(5);
        let mut rings = [Ring::new(8), Ring::new(8)];
        for number in 0..20u8 {
            rings[usize::from(number % 3 / 2)].put(start, shared.count_cookie(), &frame(number));
        }
        let now = Instant::from_secs(6);
        let mut sent = Vec::new();
        for ring in &mut rings {
            while let Some(frame) = ring.pop(now, &shared) {
                sent.extend(frame.map(|frame| frame.bytes()[0]));
            }
        }
        sent.sort_unstable();
        assert_eq!(sent, (12..20).collect::<Vec<_>>());
    }
}
