//! UDP, ICMP queries and every other protocol: nothing to hold them to but who spoke first and who answered.

use super::table::Hot;
use super::{State, tcp};
use crate::packet::protocol;
use crate::time::{Duration, Instant};
use crate::upkeep::stamp;

/// The state after a packet; `from_responder`: it came from the side that did not open the session.
pub(crate) fn track(hot: &Hot, now: Instant, from_responder: bool) -> State {
    match hot.state {
        State::Unreplied if from_responder => State::Replied,
        State::Replied if hot.protocol() == protocol::UDP && is_of_age(hot, now) => State::Stream,
        state => state,
    }
}

/// A UDP session begins: remembered where TCP has its tracking, at hand for every packet.
pub(crate) fn begin(hot: &mut Hot, now: Instant) {
    hot.peers[0] = tcp::Peer::of_words([stamp(now), 0, 0, 0]);
}

/// Whether a UDP session is old enough to be a stream.
#[inline]
pub(crate) fn is_of_age(hot: &Hot, now: Instant) -> bool {
    let [began_ms, ..] = hot.peers[0].words();
    Duration::from_millis(u64::from(stamp(now).wrapping_sub(began_ms))) > State::STREAM_AFTER
}
