//! Makes the frames of numbered sessions, to measure what a firewall does with them.
//!
//! A [`Shard`] plays both ends of its sessions, on the LAN and on the WAN side of the device under test: it writes frames
//! into the caller's buffers ([`Shard::ready`], [`Shard::make`]) and is told what came out on the other side
//! ([`Shard::sink`]). Sessions are opened as hosts would open them, each next packet only after the previous one came
//! through; then both ends send for ever. Everything of a session follows from its number, so that ten million of them
//! take no more memory than ten: only those that are being opened are remembered.
//!
//! What it does not do: devices, clocks, threads; it is given a count of ticks and says what to send. A shard belongs to
//! one receive queue of each side, and its sessions are those that receive side scaling with sekisho's key brings there.
#![forbid(unsafe_code)]

mod config;
mod count;
mod session;
mod shard;
mod steer;
mod template;
mod window;

pub use config::{
    Config, ConfigError, Family, FrameSize, Hostile, HostileKind, Load, Order, Protocol, SESSIONS_MAX, Side,
};
pub use count::{Class, Counts};
pub use shard::{Made, Phase, Shard};
pub use steer::rss_hash;
pub use template::{FRAME_MAX, L4};
