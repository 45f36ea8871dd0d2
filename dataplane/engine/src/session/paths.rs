//! SCTP associations whose sides have more addresses than one (RFC 9260 section 6.4).
//!
//! A side lists its addresses in its INIT or INIT ACK; once the handshake is done either side may send from any of its own to
//! any of the other's, with the same ports and tags. So lists are remembered with the tags on offer, which is by what a packet
//! on another path is known. Bounded: the oldest association makes room.

use arrayvec::ArrayVec;
use hashbrown::HashTable;

use super::SessionId;
use crate::flow::{Ends, FlowKey};
use crate::packet::VlanStack;
use crate::packet::sctp::{ADDRESSES_MAX, Packet, chunks, mapped};
use crate::port::Port;

/// Associations whose lists are remembered.
const ASSOCIATIONS_MAX: usize = 1024;

/// The lists of an association.
#[derive(Clone, Debug)]
struct Listed {
    /// The session of the path on which it began.
    session: SessionId,
    /// By side, LAN first: the tag on offer; 0: none yet.
    tags: [u32; 2],
    /// Ports, LAN side in the upper half.
    ports: u32,
    vlan: VlanStack,
    /// By side, LAN first, the address of the first path among them; IPv4 mapped into IPv6.
    addresses: [ArrayVec<u128, { ADDRESSES_MAX + 1 }>; 2],
}

/// What one worker knows of such associations.
#[derive(Debug)]
pub(crate) struct Paths {
    listed: Vec<Option<Listed>>,
    /// The place that is taken next.
    next: usize,
    /// Places by ports, side and the tag of that side: two numbers in one, `place * 2 + side`.
    by_tag: HashTable<u32>,
}

impl Paths {
    /// Room for the associations of one worker.
    pub(crate) fn new() -> Self {
        Self {
            listed: vec![None; ASSOCIATIONS_MAX],
            next: 0,
            // Two tags each; filled to half at the most, as in `super::pairs`.
            by_tag: HashTable::with_capacity(3 * ASSOCIATIONS_MAX),
        }
    }

    /// Remembers what an INIT or INIT ACK that arrived on `from` lists. `hash` is that of the session table.
    pub(crate) fn learn(
        &mut self,
        hash: impl Fn(&FlowKey) -> u64 + Copy,
        session: SessionId,
        from: Port,
        key: &FlowKey,
        packet: &Packet<'_>,
    ) {
        let side = from.index();
        let own = ends_of(key);
        let others = packet.addresses().filter(|address| *address != own[side]).take(ADDRESSES_MAX);
        let mut list: ArrayVec<u128, { ADDRESSES_MAX + 1 }> = [own[side]].into_iter().collect();
        list.extend(others);
        // An INIT ACK goes with the INIT whose tag it carries.
        let (known, asked) = if packet.has(chunks::INIT_ACK) {
            (self.place(hash, key, from.other(), packet.tag), packet.tag)
        } else {
            (self.place(hash, key, from, packet.initiate_tag), 0)
        };
        let place = match known {
            Some(place) => place,
            None if list.len() == 1 => return,
            None => self.take(hash, session, key, own),
        };
        let Some(listed) = &mut self.listed[place] else { return };
        listed.session = session;
        let mut fresh: ArrayVec<(usize, u32), 2> = ArrayVec::new();
        for (side, tag) in [(side, packet.initiate_tag), (1 - side, asked)] {
            if tag != 0 && listed.tags[side] != tag {
                fresh.push((side, tag));
            }
        }
        listed.addresses[side] = list;
        for (side, tag) in fresh {
            self.index(hash, key, place, side, tag);
        }
    }

    /// The session on whose association a packet with this key and tag may come that arrives on `port`.
    pub(crate) fn find(
        &self,
        hash: impl Fn(&FlowKey) -> u64 + Copy,
        port: Port,
        key: &FlowKey,
        tag: u32,
    ) -> Option<SessionId> {
        let listed = self.listed[self.place(hash, key, port.other(), tag)?].as_ref()?;
        let ends = ends_of(key);
        let is_listed = (0..2).all(|side| listed.addresses[side].contains(&ends[side]));
        is_listed.then_some(listed.session)
    }

    fn place(&self, hash: impl Fn(&FlowKey) -> u64, key: &FlowKey, side: Port, tag: u32) -> Option<usize> {
        let found = self.by_tag.find(hash(&tag_key(key, side.index(), tag)), |entry| {
            let (place, its_side) = (*entry as usize / 2, *entry as usize % 2);
            self.listed[place].as_ref().is_some_and(|listed| {
                its_side == side.index()
                    && listed.tags[its_side] == tag
                    && listed.ports == key.port_bits()
                    && listed.vlan == key.vlan
            })
        });
        found.map(|entry| *entry as usize / 2)
    }

    /// The next place, free for an association of this key.
    fn take(
        &mut self,
        hash: impl Fn(&FlowKey) -> u64 + Copy,
        session: SessionId,
        key: &FlowKey,
        own: [u128; 2],
    ) -> usize {
        let place = self.next;
        self.next = (place + 1) % ASSOCIATIONS_MAX;
        for side in 0..2 {
            self.unindex(hash, place, side);
        }
        self.listed[place] = Some(Listed {
            session,
            tags: [0; 2],
            ports: key.port_bits(),
            vlan: key.vlan,
            addresses: own.map(|address| [address].into_iter().collect()),
        });
        place
    }

    /// Files the association under the tag of a side, in the place of the one before.
    fn index(
        &mut self,
        hash: impl Fn(&FlowKey) -> u64 + Copy,
        key: &FlowKey,
        place: usize,
        side: usize,
        tag: u32,
    ) {
        self.unindex(hash, place, side);
        let Some(listed) = &mut self.listed[place] else { return };
        listed.tags[side] = tag;
        let listed = &self.listed;
        let hash_of = |entry: &u32| {
            let (place, side) = (*entry as usize / 2, *entry as usize % 2);
            listed[place].as_ref().map_or(0, |one| hash(&one.key(side)))
        };
        let entry = u32::try_from(place * 2 + side).expect("there are few places");
        self.by_tag.insert_unique(hash(&tag_key(key, side, tag)), entry, hash_of);
    }

    fn unindex(&mut self, hash: impl Fn(&FlowKey) -> u64, place: usize, side: usize) {
        let Some(listed) = &self.listed[place] else { return };
        if listed.tags[side] == 0 {
            return;
        }
        let wanted = place * 2 + side;
        if let Ok(entry) = self.by_tag.find_entry(hash(&listed.key(side)), |entry| *entry as usize == wanted)
        {
            entry.remove();
        }
    }
}

impl Listed {
    fn key(&self, side: usize) -> FlowKey {
        let key = FlowKey {
            addresses: Ends::V4 { lan: 0, wan: 0 },
            lan_port: 0,
            wan_port: 0,
            protocol: crate::packet::protocol::SCTP,
            vlan: self.vlan,
        };
        tag_key(&key.with_numbers(self.ports), side, self.tags[side])
    }
}

/// Ports, VLAN, side and tag in the shape of a key, for the keyed hash.
fn tag_key(key: &FlowKey, side: usize, tag: u32) -> FlowKey {
    FlowKey { addresses: Ends::V4 { lan: tag, wan: if side == 0 { 0 } else { 1 } }, ..*key }
}

/// The two addresses of a key, LAN first, IPv4 mapped into IPv6.
fn ends_of(key: &FlowKey) -> [u128; 2] {
    match key.addresses {
        Ends::V4 { lan, wan } => [mapped(lan), mapped(wan)],
        Ends::V6 { lan, wan } => [lan, wan],
    }
}
