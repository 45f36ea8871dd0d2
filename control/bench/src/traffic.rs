//! The traffic that workloads have in common: what of it varies, and how results name it.

use sekisho_traffic::Config;
pub use sekisho_traffic::{Family, FrameSize, HostileKind, Protocol, SESSIONS_MAX, Side};

use crate::results::Variant;
use crate::rules::sets::Version;

/// What sessions there are, and what they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Sessions at once.
    pub sessions: u32,
    /// What they speak.
    pub protocol: Protocol,
    /// The version of IP.
    pub family: Family,
    /// How long their frames are.
    pub size: FrameSize,
}

impl Traffic {
    /// Its settings, in results.
    pub fn variant(&self) -> Variant {
        let variant = Variant::default()
            .with("io", "memory")
            .with("sessions", self.sessions)
            .with("protocol", protocol_name(self.protocol))
            .with("family", version(self.family).number())
            .with("workers", 1_u32);
        match self.size {
            FrameSize::Smallest => variant.with("size", 64_u32),
            FrameSize::Imix => variant.with("size", "imix"),
        }
    }

    pub(crate) fn config(&self) -> Config {
        let Self { sessions, protocol, family, size } = *self;
        Config { sessions, protocol, family, size, ..Config::default() }
    }
}

/// `udp`, `tcp`, `mixed`.
pub const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "udp",
        Protocol::Tcp => "tcp",
        Protocol::Mixed => "mixed",
    }
}

/// The same, as rules name it.
pub const fn version(family: Family) -> Version {
    match family {
        Family::V4 => Version::V4,
        Family::V6 => Version::V6,
    }
}
