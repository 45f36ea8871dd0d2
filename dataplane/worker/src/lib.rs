//! The poll loop of one worker core, over whatever can receive and send frames.
//!
//! A [`Worker`] owns its engine (its shard of the sessions), its queues behind the [`PacketIo`] trait, and nothing
//! else: what it shares with other threads is listed in [`shared`], with who writes and who reads it. In the loop it
//! takes no lock, makes no allocation, writes no log; a full queue or ring drops and counts, and never waits.
#![forbid(unsafe_code)]

mod io;
pub mod memory;
mod poll;
pub mod query;
pub mod shared;

pub use io::{PacketIo, Sent, View};
pub use poll::{PollMode, Worker, WorkerConfig};

/// Frames that are worked through at a time.
pub const BURST_MAX: usize = 64;
