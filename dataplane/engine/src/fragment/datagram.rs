//! One datagram in the making: which bytes of it have come.

use arrayvec::ArrayVec;

use super::whole::Place;
use super::{FRAGMENTS_MAX, HEAD_MAX, Summed, Whole};
use crate::flow::{Ends, FlowKey, HashSecret};
use crate::packet::{self, Addresses, Facts, Fragment, PieceSum};
use crate::port::Port;
use crate::prefetch::prefetch;
use crate::reason::Reason;
use crate::time::Instant;

/// What fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5), and where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Source and destination stand in the places of the LAN's and the WAN's, the identification in that of the ports.
    pub(super) flow: FlowKey,
    pub(super) port: Port,
}

impl Key {
    /// The key of a fragment's datagram.
    pub(super) fn of(facts: &Facts, fragment: &Fragment, port: Port) -> Option<Self> {
        let addresses = match facts.addresses {
            Addresses::None => return None,
            Addresses::V4 { source, destination } => Ends::V4 { lan: source, wan: destination },
            Addresses::V6 { source, destination } => Ends::V6 { lan: source, wan: destination },
        };
        let [a, b, c, d] = fragment.identification.to_be_bytes();
        let flow = FlowKey {
            addresses,
            lan_port: u16::from_be_bytes([a, b]),
            wan_port: u16::from_be_bytes([c, d]),
            // Later fragments of IPv6 may give another protocol than the first, which alone counts.
            protocol: if facts.addresses.is_v4() { facts.protocol } else { 0 },
            vlan: facts.vlan,
        };
        Some(Self { flow, port })
    }

    /// Whom the datagram counts against: its source, in IPv6 the network of it, whose 64 bits one host may draw from.
    pub(super) fn source(&self) -> Self {
        let addresses = match self.flow.addresses {
            Ends::V4 { lan, .. } => Ends::V4 { lan, wan: 0 },
            Ends::V6 { lan, .. } => Ends::V6 { lan: lan >> 64 << 64, wan: 0 },
        };
        let flow = FlowKey { addresses, lan_port: 0, wan_port: 0, protocol: 0, vlan: self.flow.vlan };
        Self { flow, port: self.port }
    }

    /// The hash of [`Self::source`].
    pub(super) fn source_hash(&self, secret: &HashSecret) -> u64 {
        let wide = match self.flow.addresses {
            Ends::V4 { lan, .. } => u128::from(lan),
            Ends::V6 { lan, .. } => lan >> 64 << 64,
        };
        secret.hash_words(wide, u64::from(self.flow.vlan.bits()) << 1 | self.port.index() as u64)
    }
}

/// A fragment that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: u16,
    until: u16,
    more: bool,
    /// Where it stands in its frame.
    at: u16,
    /// Its number among those that came.
    number: u8,
    sum: Option<PieceSum>,
}

/// What a fragment is to its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It belongs there, and something is still missing.
    Held,
    /// It belongs there, and was the last that was missing.
    Whole,
    /// It is held already.
    Duplicate,
    /// It cannot be: the datagram is no good.
    Never(Reason),
}

const _: () = assert!(FRAGMENTS_MAX <= u8::MAX as usize);

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) key: Key,
    /// Its source, among the sources.
    pub(super) source: u16,
    pub(super) began: Instant,
    /// Why nothing of it passes.
    pub(super) poison: Option<Reason>,
    /// Of the first fragment, or of the one that came first.
    pub(super) facts: Facts,
    /// Bytes of the held frames on the wire.
    pub(super) wire_bytes: u32,
    /// By their place.
    pieces: ArrayVec<Piece, FRAGMENTS_MAX>,
    /// Where the last fragment ends.
    len: Option<u16>,
    /// Bytes that have come.
    covered: u32,
    /// What there is of the first fragment's frame, without padding.
    head: ArrayVec<u8, HEAD_MAX>,
}

impl Datagram {
    pub(super) fn new(key: Key, source: u16, began: Instant, facts: Facts) -> Self {
        Self {
            key,
            source,
            began,
            poison: None,
            facts,
            wire_bytes: 0,
            pieces: ArrayVec::new(),
            len: None,
            covered: 0,
            head: ArrayVec::new(),
        }
    }

    /// Becomes another, in the same place: it is large, and mostly room.
    pub(super) fn begin(&mut self, key: Key, source: u16, began: Instant, facts: Facts) {
        (self.key, self.source, self.began, self.facts) = (key, source, began, facts);
        (self.poison, self.len, self.covered, self.wire_bytes) = (None, None, 0, 0);
        self.pieces.clear();
        self.head.clear();
    }

    /// Sends for what is read and written of it when it goes and another takes its place.
    pub(super) fn prefetch(&self) {
        prefetch(&self.key);
        prefetch(&self.wire_bytes);
        prefetch(&self.facts);
        prefetch(&self.facts.wire_len);
        prefetch(&self.pieces);
        prefetch(&self.head);
    }

    /// Frames that are held of it.
    pub(super) fn frames(&self) -> usize {
        self.pieces.len()
    }

    /// What the fragment is to it; nothing changes.
    pub(super) fn fit(&self, fragment: &Fragment, carried: Summed) -> Fit {
        let (from, until) = (fragment.offset, fragment.offset.saturating_add(fragment.len));
        let at = self.pieces.partition_point(|piece| piece.from < from);
        let (before, here) = (at.checked_sub(1).map(|at| &self.pieces[at]), self.pieces.get(at));
        let is_same = |here: &Piece| {
            (here.from, here.until, here.more, here.sum) == (from, until, fragment.more, carried.sum)
        };
        if here.is_some_and(is_same) {
            return Fit::Duplicate;
        }
        let ends_elsewhere = match (fragment.more, self.len) {
            (true, Some(len)) => until > len || here.is_some_and(|here| here.until == until && !here.more),
            (true, None) => false,
            (false, Some(len)) => until != len,
            (false, None) => self.pieces.last().is_some_and(|last| last.until > until),
        };
        if ends_elsewhere {
            return Fit::Never(Reason::FragmentEndConflict);
        }
        if before.is_some_and(|before| before.until > from) || here.is_some_and(|here| here.from < until) {
            return Fit::Never(Reason::FragmentOverlap);
        }
        if self.pieces.is_full() {
            return Fit::Never(Reason::FragmentTooMany);
        }
        let len = if fragment.more { self.len } else { Some(until) };
        let covered = self.covered + u32::from(fragment.len);
        if len.is_some_and(|len| u32::from(len) == covered) { Fit::Whole } else { Fit::Held }
    }

    /// Adds a fragment that fits, and for which there is room.
    pub(super) fn add(&mut self, facts: &Facts, fragment: &Fragment, head: &[u8], carried: Summed) {
        let (from, until) = (fragment.offset, fragment.offset.saturating_add(fragment.len));
        let at = self.pieces.partition_point(|piece| piece.from < from);
        let number = u8::try_from(self.pieces.len()).unwrap_or(u8::MAX);
        let piece = Piece { from, until, more: fragment.more, at: fragment.at, number, sum: carried.sum };
        if self.pieces.try_insert(at, piece).is_err() {
            return;
        }
        self.covered += u32::from(fragment.len);
        self.wire_bytes = self.wire_bytes.saturating_add(facts.wire_len);
        if !fragment.more {
            self.len = Some(until);
        }
        if from == 0 {
            self.facts = *facts;
            let end = usize::from(fragment.at) + usize::from(fragment.len);
            let kept = head.len().min(end).min(HEAD_MAX);
            self.head.clear();
            // It has room for as much.
            let _ = self.head.try_extend_from_slice(&head[..kept]);
        }
    }

    /// Nothing of it passes from now on.
    pub(super) fn poison(&mut self, reason: Reason) {
        self.poison = Some(reason);
        self.pieces.clear();
        self.covered = 0;
        self.wire_bytes = 0;
    }

    /// Writes down what it is as a whole, now that all of it is here.
    pub(super) fn tell(&self, whole: &mut Whole) {
        whole.port = self.key.port;
        whole.frames = u16::try_from(self.pieces.len()).unwrap_or(u16::MAX);
        whole.head.clear();
        whole.head.extend(self.head.iter().copied());
        whole.places.clear();
        whole.places.extend(self.pieces.iter().map(|_| Place::default()));
        for piece in &self.pieces {
            if let Some(place) = whole.places.get_mut(usize::from(piece.number)) {
                *place = Place { at: piece.at, offset: piece.from, len: piece.until - piece.from };
            }
        }
        whole.facts = self.facts;
        let facts = &mut whole.facts;
        facts.wire_len = self.wire_bytes;
        let Some(fragment) = facts.fragment.take() else { return };
        whole.at = fragment.at;
        let (len, before) = (self.len.unwrap_or(0), facts.transport_at.saturating_sub(fragment.at));
        facts.transport_len = u32::from(len.saturating_sub(before));
        facts.fault = packet::whole(&whole.head, facts, &fragment, len)
            .err()
            .or_else(|| self.verify(&whole.head, facts, before));
    }

    /// What is wrong with its checksum; `before` bytes of the first fragment come before the transport header.
    fn verify(&self, head: &[u8], facts: &Facts, before: u16) -> Option<Reason> {
        let sums = self.pieces.iter().map(|piece| {
            let less = if piece.from == 0 { before } else { 0 };
            (piece.sum, u32::from((piece.until - piece.from).saturating_sub(less)))
        });
        packet::fault_of_whole(facts, head, sums)
    }
}
