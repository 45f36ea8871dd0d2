//! ICMP and ICMPv6 errors: they pass only when they speak of a packet that a live session really sent.

use super::tcp;
use crate::flow::FlowKey;
use crate::packet::{self, Facts, protocol};
use crate::pipeline::Engine;
use crate::port::Port;

impl Engine {
    /// The slot of the session that the error arriving on `port` speaks of.
    ///
    /// The quoted packet must have gone the other way, its source must be who the error is sent to, and a TCP segment
    /// must have a sequence number that its sender may have used lately (RFC 5927 section 4.1). Neither does the
    /// error refresh the session nor end it (RFC 5508 REQ-6).
    pub(crate) fn related(&self, port: Port, error: &Facts, head: &[u8]) -> Option<u32> {
        let quoted = packet::quoted(head, error)?;
        if quoted.addresses.source() != error.addresses.destination() {
            return None;
        }
        let key = FlowKey::of(&quoted, port.other())?;
        let slot = self.table.find(&key, self.table.hash(&key))?;
        let sender = port.other().index();
        let is_sound = quoted.protocol != protocol::TCP
            || tcp::may_have_sent(&self.table.hot(slot).peers, sender, quoted.tcp.sequence);
        is_sound.then_some(slot)
    }
}
