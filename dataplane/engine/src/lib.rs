//! The inspection engine of sekisho: frames and a clock value in, verdicts and frames out.
//!
//! It knows no device, file, socket, thread or clock, which is why the same engine runs in the appliance, under
//! `replay` and `explain`, under fuzzers and in simulations. One [`Engine`] is one worker's shard: whoever drives it
//! gathers the [`packet::Facts`] of a frame ([`packet::parse`]), asks whose it is ([`steer::owner`]), and lets the
//! owner [`Engine::inspect`] it, or [`Engine::collect`] it if it is a fragment. Between frames the driver lets time pass
//! ([`Engine::expire`]) and empties the [`Outbox`].
//!
//! What it does not do: fetch time or randomness, write logs, look at the policy file.
#![deny(unsafe_code)]

pub mod counters;
pub mod flow;
pub mod fragment;
pub mod helper;
mod look;
mod one_sided;
pub mod packet;
mod pipeline;
pub mod policy;
pub mod port;
mod prefetch;
pub mod protect;
pub mod reason;
mod record;
mod respond;
#[cfg(test)]
mod rig;
pub mod session;
mod shared;
mod siphash;
pub mod steer;
pub mod time;
mod upkeep;

pub use look::{Known, Prospect};
pub use one_sided::{Evidence, OneSidedPrefix};
pub use pipeline::{Config, Engine, Glance, Running};
pub use protect::hijack::HijackSign;
pub use protect::syn_proxy::SynProxy;
pub use record::{Ended, Event, OWN_FRAME_MAX, Outbox, OwnFrame, OwnFrames, PacketRecord, Rewrite, Verdict};
pub use shared::Shared;
