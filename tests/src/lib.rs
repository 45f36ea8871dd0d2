//! What the tests of the whole share: the real program, the lab it stands in, and the repository as files.
//!
//! The fixtures clean up when they are dropped, on a failure too, and what a killed test left behind is removed by the
//! next one. They fail a test by panicking, with what the operator would have seen.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "fixtures of tests, where clippy does not see a test"
)]

pub mod appliance;
pub mod dialogues;
pub mod frames;
pub mod impairment;
pub mod lab;
pub mod process;
pub mod program;
pub mod repo;
pub mod scene;
pub mod sctp;
pub mod traffic;
pub mod wait;
pub mod wire;

pub use appliance::{Appliance, Settings};
pub use lab::{Behind, Lab, Namespace};
pub use process::Running;
pub use scene::{Scene, Tcp};
pub use wire::Wire;
