//! Who may begin a datagram where another has to go for it.
//!
//! A first fragment costs whoever floods nothing, and the engine several times what an established packet costs it: it is
//! written down, and another is thrown out. So only so many a millisecond make room for others. What is more is dropped at
//! once, before its bytes are summed or its source is looked up, and the datagrams that wait go on waiting. Sources of
//! which datagrams became whole have places of their own, so that a flood of strangers does not shut them out.

use crate::port::Port;
use crate::time::Instant;

/// Datagrams a millisecond that make room for those of other sources behind a port.
pub(super) const FOR_STRANGERS_PER_MS: u32 = 128;
/// The same for sources that are known: more than any host's share at once.
pub(super) const FOR_KNOWN_PER_MS: u32 = 128;
/// Datagrams of a source that may begin for one that became whole.
const CREDIT: usize = super::DATAGRAMS_PER_SOURCE;
/// Sources that are known.
const KNOWN: usize = 1024;

/// A source that is known, by a part of its hash.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    tag: u32,
    credit: usize,
}

/// What has been given in this millisecond, and who is known.
#[derive(Debug)]
pub(super) struct Gate {
    millis: u64,
    /// By port: to strangers, and to those that are known.
    given: [[u32; 2]; Port::ALL.len()],
    known: Vec<Known>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { millis: 0, given: [[0; 2]; Port::ALL.len()], known: vec![Known::default(); KNOWN] }
    }

    /// Whether another datagram may go for one of the source behind `port` that hashes to `source`.
    pub(super) fn lets_in(&mut self, now: Instant, port: Port, source: u64) -> bool {
        if self.millis != now.as_millis() {
            (self.millis, self.given) = (now.as_millis(), Default::default());
        }
        if self.is_shut(now, port, source) {
            return false;
        }
        let [to_strangers, to_known] = &mut self.given[port.index()];
        if *to_strangers < FOR_STRANGERS_PER_MS {
            *to_strangers += 1;
        } else {
            *to_known += 1;
            self.known[super::bucket_of(source, KNOWN)].credit -= 1;
        }
        true
    }

    /// Whether [`Self::lets_in`] would say no, and nothing would change.
    pub(super) fn is_shut(&self, now: Instant, port: Port, source: u64) -> bool {
        let [to_strangers, to_known] = self.given[port.index()];
        let known = &self.known[super::bucket_of(source, KNOWN)];
        let is_known = known.credit > 0 && known.tag == tag(source);
        self.millis == now.as_millis()
            && to_strangers >= FOR_STRANGERS_PER_MS
            && !(is_known && to_known < FOR_KNOWN_PER_MS)
    }

    /// A datagram of the source that hashes to `source` became whole.
    pub(super) fn know(&mut self, source: u64) {
        self.known[super::bucket_of(source, KNOWN)] = Known { tag: tag(source), credit: CREDIT };
    }
}

/// What the place of a source does not tell of it.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn tag(source: u64) -> u32 {
    source as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const STRANGER: u64 = 7 << 40 | 1;
    const HOST: u64 = 9 << 50 | 2;

    fn let_in(gate: &mut Gate, now: Instant, port: Port, source: u64) -> usize {
        let mut count = 0;
        for _ in 0..1000 {
            let is_shut = gate.is_shut(now, port, source);
            let is_let_in = gate.lets_in(now, port, source);
            assert!(!is_shut || !is_let_in);
            count += usize::from(is_let_in);
        }
        assert!(gate.is_shut(now, port, source));
        count
    }

    #[test]
    fn a_millisecond_has_so_many_places_behind_each_port() {
        let (mut gate, now) = (Gate::new(), Instant::from_secs(5));
        for port in Port::ALL {
            assert_eq!(let_in(&mut gate, now, port, STRANGER), FOR_STRANGERS_PER_MS as usize);
        }
        let later = now + Duration::from_millis(1);
        assert_eq!(let_in(&mut gate, later, Port::Wan, STRANGER), FOR_STRANGERS_PER_MS as usize);
    }

    #[test]
    fn who_is_known_has_places_of_his_own_for_as_long_as_his_credit_lasts() {
        let (mut gate, now) = (Gate::new(), Instant::from_secs(5));
        gate.know(HOST);
        assert_eq!(let_in(&mut gate, now, Port::Wan, STRANGER), FOR_STRANGERS_PER_MS as usize);
        assert_eq!(let_in(&mut gate, now, Port::Wan, HOST), CREDIT);
        gate.know(HOST);
        assert_eq!(let_in(&mut gate, now, Port::Wan, HOST), CREDIT);
        gate.know(HOST);
        assert_eq!(let_in(&mut gate, now, Port::Wan, HOST), 0, "they are shared by all that are known");
        assert_eq!(let_in(&mut gate, now, Port::Wan, HOST ^ 1), 0, "another in the same place is not he");
    }
}
