//! UDP, ICMP queries and every other protocol: nothing to hold them to but who spoke first and who answered.

use super::State;
use crate::packet::protocol;
use crate::time::Duration;

/// The state after a packet; `from_responder`: it came from the side that did not open the session.
pub(crate) fn track(state: State, protocol: u8, from_responder: bool, age: Duration) -> State {
    match state {
        State::Unreplied if from_responder => State::Replied,
        State::Replied if protocol == protocol::UDP && age > State::STREAM_AFTER => State::Stream,
        _ => state,
    }
}
