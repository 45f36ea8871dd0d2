//! ICMP and ICMPv6 errors: they pass only when they speak of a packet that a live session really sent.

use super::{sctp, tcp};
use crate::flow::FlowKey;
use crate::packet::{self, Facts, protocol};
use crate::pipeline::Engine;
use crate::port::Port;

impl Engine {
    /// The slot of the session that the error arriving on `port` speaks of.
    ///
    /// The quoted packet must have gone the other way, its source must be who the error is sent to, and a TCP segment
    /// must have a sequence number that its sender may have used lately (RFC 5927 section 4.1), an SCTP packet the tag
    /// of its receiver (RFC 9260 section 10). Neither does the error refresh the session nor end it (RFC 5508 REQ-6).
    pub(crate) fn related(&self, port: Port, error: &Facts, head: &[u8]) -> Option<u32> {
        let quoted = packet::quoted(head, error)?;
        if quoted.addresses.source() != error.addresses.destination() {
            return None;
        }
        let key = FlowKey::of(&quoted, port.other())?;
        let found = self.table.find(&key, self.table.hash(&key));
        let slot = match found {
            None if key.has_one_way_number() => self.pairs.find(&self.table, &key)?,
            found => found?,
        };
        let (sender, peers) = (port.other().index(), &self.table.hot(slot).peers);
        let is_sound = match quoted.protocol {
            protocol::TCP if self.table.hot(slot).mark.is_translated() => {
                let sequence = self.table.translation(slot).own(port.other(), quoted.tcp.sequence);
                tcp::may_have_sent(peers, sender, sequence)
            }
            protocol::TCP => tcp::may_have_sent(peers, sender, quoted.tcp.sequence),
            protocol::SCTP => {
                let offered = Some(quoted.tcp.acknowledgement).filter(|tag| *tag != 0);
                sctp::may_have_sent(peers, sender, quoted.tcp.sequence, offered)
            }
            _ => true,
        };
        is_sound.then_some(slot)
    }
}
