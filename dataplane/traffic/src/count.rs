//! What was given to the device under test, and what came back.

use crate::config::Side;

/// What a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The sessions that are opened first and then send data.
    Established = 0,
    /// Sessions opened under load, honest ones too.
    New = 1,
    /// Frames of somebody who means harm.
    Hostile = 2,
}

impl Class {
    /// All classes, in the order of their indices.
    pub const ALL: [Self; 3] = [Self::Established, Self::New, Self::Hostile];

    /// Its place in the arrays of [`Counts`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Frames and sessions of a shard since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames given to the device under test, by side of entry and class.
    pub given: [[u64; 3]; 2],
    /// Frames that came out of it, by side of exit and class.
    pub back: [[u64; 3]; 2],
    /// Sessions of [`Class::Established`] that are open.
    pub opened: u64,
    /// Connections of [`crate::Load::Connections`] that were played to their end.
    pub connections: u64,
    /// Packets sent again because they did not come through.
    pub retries: u64,
    /// Frames that came out and are none of this shard's.
    pub stray: u64,
    /// What became of the connections of [`crate::Honest`].
    pub honest: HonestCounts,
}

/// Connections of honest clients since the start. A connection is open when its client has what it asked the server for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HonestCounts {
    /// Those that were begun.
    pub begun: u64,
    /// Those that opened before the client sent anything again.
    pub at_once: u64,
    /// Those that opened after that, before it would have sent again for the second time.
    pub retransmitted: u64,
    /// Those that did not open by then, or were reset.
    pub failed: u64,
    /// Frames of both ends that found the queue of a device full ([`crate::Shard::overload`]).
    pub lost: u64,
}

impl Counts {
    pub(crate) fn give(&mut self, side: Side, class: Class) {
        self.given[side.index()][class.index()] += 1;
    }

    pub(crate) fn take(&mut self, side: Side, class: Class, frames: u64) {
        self.back[side.index()][class.index()] += frames;
    }
}
