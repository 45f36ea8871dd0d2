//! The two ports of the appliance.

use core::fmt;

/// A port of the appliance. A frame that arrives on one leaves by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Port {
    /// The protected side.
    Lan = 0,
    /// The world.
    Wan = 1,
}

impl Port {
    /// Both ports, LAN first.
    pub const ALL: [Self; 2] = [Self::Lan, Self::Wan];

    /// The port by which a frame that arrived on this one leaves.
    pub const fn other(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }

    /// `lan` or `wan`, as policies, logs and metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// 0 for LAN, 1 for WAN: an index for arrays of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
