//! Sessions whose two directions have numbers of their own: ESP and AH (the SPI), enhanced GRE (the call, RFC 2637).
//!
//! Nothing on the wire ties the two numbers together, so they are paired by the order in which they come: the first packet of
//! a number that is not known yet is the other direction of the oldest session between the two hosts that lacks
//! one. When the ends change their keys a new pair of numbers begins; whichever end uses its new number first, the pair
//! that lives already vouches for it.
//!
//! A session is in the session table under the number of the direction that was seen first; under that of the other it is found
//! here. All memory is taken at start; the maps are filled to half at the most, and so never have to move what they hold.

use arrayvec::ArrayVec;
use hashbrown::HashTable;

use super::SessionId;
use super::table::{Hot, Table};
use super::tcp;
use crate::flow::FlowKey;
use crate::port::Port;

/// Sessions between two hosts that are remembered to lack a direction. One more, and the oldest is let go.
const WAITING_MAX: usize = 4;

/// The identifiers of a session, in the place of its TCP peers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    /// The direction of the number in its key is that of packets which arrive on the WAN port.
    begun_on_wan: bool,
    /// The number of the other direction.
    second: Option<u32>,
    /// A live pair vouched for it: no rule was asked for that direction.
    pub(crate) is_vouched_for: bool,
}

impl Numbers {
    const BEGUN_ON_WAN: u32 = 1;
    const HAS_SECOND: u32 = 2;
    const VOUCHED_FOR: u32 = 4;

    fn of(hot: &Hot) -> Self {
        let [flags, second, ..] = hot.peers[0].words();
        Self {
            begun_on_wan: flags & Self::BEGUN_ON_WAN != 0,
            second: (flags & Self::HAS_SECOND != 0).then_some(second),
            is_vouched_for: flags & Self::VOUCHED_FOR != 0,
        }
    }

    fn keep(self, hot: &mut Hot) {
        let flags = if self.begun_on_wan { Self::BEGUN_ON_WAN } else { 0 }
            | if self.second.is_some() { Self::HAS_SECOND } else { 0 }
            | if self.is_vouched_for { Self::VOUCHED_FOR } else { 0 };
        hot.peers[0] = tcp::Peer::of_words([flags, self.second.unwrap_or(0), 0, 0]);
    }
}

/// The port on which the packets arrive whose number such a session has in its key.
pub(crate) fn begun_on(hot: &Hot) -> Port {
    if Numbers::of(hot).begun_on_wan { Port::Wan } else { Port::Lan }
}

/// Remembers on which port the first packet of such a session arrived, whose number it has in its key.
pub(crate) fn begin(hot: &mut Hot, port: Port, is_vouched_for: bool) {
    Numbers { begun_on_wan: port == Port::Wan, second: None, is_vouched_for }.keep(hot);
}

/// Two hosts that have such sessions with each other.
#[derive(Debug)]
struct Hosts {
    /// The key of their sessions without numbers.
    key: FlowKey,
    /// How many of their sessions live.
    sessions: u32,
    /// Those that lack a direction, oldest first; some may have ended since.
    waiting: ArrayVec<SessionId, WAITING_MAX>,
    /// The last that was paired.
    paired: Option<SessionId>,
}

/// What one worker knows of such sessions.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// Slots of sessions, by the key with their second number.
    seconds: HashTable<u32>,
    hosts: HashTable<Hosts>,
    max: usize,
}

/// There is no room to remember more.
#[derive(Debug)]
pub(crate) struct Full;

impl Pairs {
    /// Room for so many pairs of hosts, and as many paired sessions.
    pub(crate) fn new(max: u32) -> Self {
        let max = max as usize;
        Self {
            seconds: HashTable::with_capacity(max + max / 2),
            hosts: HashTable::with_capacity(max + max / 2),
            max,
        }
    }

    /// The session whose second number this key has.
    pub(crate) fn find(&self, table: &Table, key: &FlowKey) -> Option<u32> {
        let is_it = |slot: &u32| second_key(table, *slot) == Some(*key);
        self.seconds.find(table.hash(key).hash, is_it).copied()
    }

    /// Whether a session with this key could be remembered.
    pub(crate) fn has_room(&self, table: &Table, key: &FlowKey) -> bool {
        self.hosts.len() < self.max || self.of_hosts(table, key).is_some()
    }

    /// The oldest session between the hosts of `key` that lacks the direction of packets which arrive on `port`.
    pub(crate) fn waiting(&self, table: &Table, key: &FlowKey, port: Port) -> Option<u32> {
        let lacks = |slot: &u32| {
            let hot = table.hot(*slot);
            // One whose directions have the same number is found under that, and has both.
            Numbers::of(hot).second.is_none() && begun_on(hot) != port && hot.state.is_half_open()
        };
        self.of_hosts(table, key)?.waiting.iter().filter_map(|id| table.slot(*id)).find(lacks)
    }

    /// The session between the hosts of `key` that was paired last, if it lives.
    pub(crate) fn paired(&self, table: &Table, key: &FlowKey) -> Option<u32> {
        table.slot(self.of_hosts(table, key)?.paired?)
    }

    /// Remembers the session in `slot`, which has just begun; returns another one that has to go for it.
    pub(crate) fn begin(&mut self, table: &Table, slot: u32) -> Result<Option<SessionId>, Full> {
        let (key, id) = (table.key(slot).without_numbers(), table.id(slot));
        let hash = table.hash(&key).hash;
        if let Some(hosts) = self.hosts.find_mut(hash, |hosts| hosts.key == key) {
            hosts.sessions += 1;
            let oldest = if hosts.waiting.is_full() { hosts.waiting.pop_at(0) } else { None };
            hosts.waiting.push(id);
            let is_let_go = |id: &SessionId| {
                table.slot(*id).is_some_and(|slot| {
                    let hot = table.hot(slot);
                    Numbers::of(hot).is_vouched_for && hot.state.is_half_open()
                })
            };
            return Ok(oldest.filter(is_let_go));
        }
        if self.hosts.len() >= self.max {
            return Err(Full);
        }
        let hosts = Hosts { key, sessions: 1, waiting: [id].into_iter().collect(), paired: None };
        self.hosts.insert_unique(hash, hosts, |hosts| table.hash(&hosts.key).hash);
        Ok(None)
    }

    /// Gives the session in `slot` the number that `key` has as its second.
    pub(crate) fn pair(&mut self, table: &mut Table, slot: u32, key: &FlowKey) -> Result<(), Full> {
        if self.seconds.len() >= self.max {
            return Err(Full);
        }
        let (hot, _) = table.both(slot);
        Numbers { second: Some(key.port_bits()), ..Numbers::of(hot) }.keep(hot);
        let (hosts_key, id) = (key.without_numbers(), table.id(slot));
        if let Some(hosts) = self.hosts.find_mut(table.hash(&hosts_key).hash, |hosts| hosts.key == hosts_key)
        {
            hosts.waiting.retain(|waiting| *waiting != id);
            hosts.paired = Some(id);
        }
        let table = &*table;
        let hash_of = |slot: &u32| second_key(table, *slot).map_or(0, |key| table.hash(&key).hash);
        self.seconds.insert_unique(table.hash(key).hash, slot, hash_of);
        Ok(())
    }

    /// Forgets the session in `slot`, which is about to end.
    pub(crate) fn end(&mut self, table: &Table, slot: u32) {
        if let Some(key) = second_key(table, slot)
            && let Ok(entry) = self.seconds.find_entry(table.hash(&key).hash, |other| *other == slot)
        {
            entry.remove();
        }
        let key = table.key(slot).without_numbers();
        if let Ok(mut entry) = self.hosts.find_entry(table.hash(&key).hash, |hosts| hosts.key == key) {
            entry.get_mut().sessions -= 1;
            if entry.get().sessions == 0 {
                entry.remove();
            }
        }
    }

    /// Second numbers that are known.
    #[cfg(test)]
    pub(crate) fn seconds(&self) -> usize {
        self.seconds.len()
    }

    /// Pairs of hosts that are known.
    #[cfg(test)]
    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn of_hosts(&self, table: &Table, key: &FlowKey) -> Option<&Hosts> {
        let key = key.without_numbers();
        self.hosts.find(table.hash(&key).hash, |hosts| hosts.key == key)
    }
}

/// The key of a session with its second number.
fn second_key(table: &Table, slot: u32) -> Option<FlowKey> {
    let second = Numbers::of(table.hot(slot)).second?;
    Some(table.key(slot).with_numbers(second))
}
