//! Reassembly for inspection: fragments wait until their datagram is whole, are judged as one, and leave as they came,
//! all or none.
//!
//! The engine keeps no frames. It names the datagram that a fragment belongs to, and whoever drives it keeps the frame
//! under that name, on a [`Shelf`], until the engine says what becomes of all of them. What the engine keeps of a
//! datagram is which bytes have come, the sum of them, and the head of its first fragment.
//!
//! - Two fragments never overlap, and a datagram has one end: where they do, or it has two, nothing of it passes, what
//!   came before and what comes until the timeout (RFC 5722, RFC 8200 section 4.5). A fragment that came before, byte
//!   for byte as far as its sum tells, is dropped alone.
//! - Everything is bounded: datagrams, frames, fragments of a datagram, and each source's share of them. The oldest
//!   makes room: of the source that is over its share, or of the one that holds most among those behind the port that
//!   holds most, so that whoever forges sources on one side does not starve the other. Only so many make room in a
//!   millisecond ([`gate`]).

mod datagram;
mod gate;
mod inspect;
mod lists;
mod shelf;
mod sources;
mod table;
mod whole;

use crate::packet::PieceSum;
use crate::reason::Reason;
use crate::record::Verdict;

pub use shelf::Shelf;
pub(crate) use table::Fragments;
pub use whole::{WHOLE_MAX, Whole};

/// Datagrams in progress at the most.
pub const DATAGRAMS_MAX: usize = 1024;
/// Of one source: an address, or the /64 of an IPv6 address, behind a port and in a VLAN.
pub const DATAGRAMS_PER_SOURCE: usize = 64;
/// Frames held at the most: buffers of the device that nobody else can use.
pub const FRAMES_MAX: usize = 2048;
/// Of one source.
pub const FRAMES_PER_SOURCE: usize = 512;
/// Fragments of a datagram: 64 KiB in the 576 bytes that every host takes (RFC 791) are 119.
pub const FRAGMENTS_MAX: usize = 128;
/// Bytes kept of the first fragment's frame, in which all headers must lie.
pub const HEAD_MAX: usize = 512;

/// A datagram in progress. Its number names another as soon as this one is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatagramId(u16);

impl DatagramId {
    /// Its number, below [`DATAGRAMS_MAX`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What only the keeper of a fragment's frame knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried<S> {
    /// Finds what [`crate::packet::sum_piece`] finds of it, once it is known to be kept.
    pub sum: S,
    /// Whether the port by which the frame would leave can send one so long.
    pub fits: bool,
}

/// The same when it is summed.
type Summed = Carried<Option<PieceSum>>;

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// It is dropped.
    Judged(Verdict),
    /// Its frame is kept with the others of this datagram.
    Held(DatagramId),
    /// So is this one, and the datagram is whole: it is to be taken out at once, and judged.
    Whole(DatagramId),
}

/// The frames of a datagram are dropped, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Under which they are kept.
    pub datagram: DatagramId,
    /// Why.
    pub reason: Reason,
}

/// Which of so many buckets a hash falls into.
const fn bucket_of(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
