//! Makes the frames of numbered sessions, to measure what a firewall does with them.
//!
//! A [`Shard`] plays both ends of its sessions, on the LAN and on the WAN side of the device under test: it writes frames
//! into the caller's buffers ([`Shard::ready`], [`Shard::make`]) and is told what came out on the other side
//! ([`Shard::sink`]). Sessions are opened as hosts would open them, each next packet only after the previous one came
//! through; then both ends send for ever. Everything of a session follows from its number, so that ten million of them
//! take no more memory than ten: only those that are being opened are remembered.
//!
//! Beside that data there may be frames of somebody who means harm ([`Hostile`]), and clients of the WAN side that open
//! connections to a published server of the LAN side, at a rate of their own ([`Honest`]): how many of them get what they
//! want is what a flood is measured by.
//!
//! What it does not do: devices, clocks, threads; it is given a count of ticks and says what to send. A shard belongs to
//! one receive queue of each side, and its sessions are those that receive side scaling with sekisho's key brings there.
#![forbid(unsafe_code)]

mod config;
mod count;
mod error;
mod honest;
mod segment;
mod session;
mod shard;
mod steer;
mod template;
mod window;

pub use config::{
    Config, ConfigError, Family, FrameSize, Honest, Hostile, HostileKind, Load, Order, Protocol,
    SESSIONS_MAX, Side,
};
pub use count::{Class, Counts, HonestCounts};
pub use shard::{Made, Phase, Shard};
pub use steer::rss_hash;
pub use template::{FRAME_MAX, L4};
