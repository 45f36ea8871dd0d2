//! The policy and appliance files: read, checked, explained, compiled for the engine.
//!
//! A file goes through these stages, each a module: `yaml` (a tree that knows where each value stands), `shape` (keys
//! and kinds of values, by the tables in `keys`, which also make the JSON Schema), `resolve` (names and meaning),
//! then the engine's `Ruleset`. Each stage reports every fault it finds and goes on.
//!
//! Start at [`load()`] for policies and [`appliance::load`] for appliance files. Nothing here opens a socket or a
//! device: a policy is checked and explained as any user.
#![forbid(unsafe_code)]

pub mod appliance;
pub mod diagnostic;
pub mod explain;
mod feed;
mod keys;
mod load;
pub mod model;
mod ranges;
mod resolve;
pub mod schema;
mod shadow;
mod shape;
mod text;
pub mod words;
mod yaml;

pub use appliance::Appliance;
pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use load::{Loaded, POLICY_BYTES_MAX, load, load_str};
pub use model::ResolvedPolicy;
pub use text::duration::millis as duration_ms;
