//! What was taken instead of what was asked for: not errors, but lines that belong into the caller's log.

use crate::errno::Errno;

/// A difference between what was asked for and what there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Note {
    /// `Hugepages::Auto` found too few.
    #[error(
        "no hugepages are used: {needed_mib} MiB are needed and {free_mib} MiB are free; normal pages are slower \
         and serve virtual devices only"
    )]
    WithoutHugepages {
        /// Asked for, MiB.
        needed_mib: u32,
        /// Free in all sizes, MiB.
        free_mib: u64,
    },
    /// `Hugepages::Auto` found enough, but the kernel would not give one.
    #[error("no hugepages are used: the kernel refused one although they are free")]
    HugepagesRefused(#[source] Errno),
    /// The device has fewer queues than were asked for.
    #[error("{device}: {taken} {direction} queues instead of {asked}: the device has no more")]
    FewerQueues {
        /// The device.
        device: String,
        /// "receive" or "transmit".
        direction: &'static str,
        /// Asked for.
        asked: u16,
        /// Taken.
        taken: u16,
    },
    /// The device refused promiscuous mode, or has none to switch.
    #[error("{device}: promiscuous mode is not available: it sees what the device passes on")]
    NotPromiscuous {
        /// The device.
        device: String,
        /// What it said.
        #[source]
        source: Errno,
    },
    /// Received packets are not spread over the queues by a hash of the flow.
    #[error("{device}: no receive-side scaling over {queues} queues: {why}")]
    NoRss {
        /// The device.
        device: String,
        /// Its receive queues.
        queues: u16,
        /// The reason.
        why: &'static str,
    },
    /// The two directions of a flow may reach different queues.
    #[error("{device}: receive-side scaling is not symmetric: {why}")]
    AsymmetricRss {
        /// The device.
        device: String,
        /// The reason.
        why: &'static str,
    },
    /// Frames above this size do not pass.
    #[error("{device}: the MTU is {taken}, not {asked}: {why}")]
    LowerMtu {
        /// The device.
        device: String,
        /// Asked for.
        asked: u16,
        /// Taken.
        taken: u16,
        /// The reason and the remedy.
        why: String,
    },
    /// Full-sized frames with two VLAN tags may be too long for the device.
    #[error(
        "{device}: no room beyond the MTU for two VLAN tags: full-sized tagged frames may be dropped by it"
    )]
    NoTagRoom {
        /// The device.
        device: String,
    },
    /// The device sends no chains of segments.
    #[error(
        "{device}: sends packets of one buffer only: those of several are joined, or dropped where they do not fit one"
    )]
    NoMultiSegment {
        /// The device.
        device: String,
    },
    /// The kernel's interface behind the device was down.
    #[error("{device}: the interface {interface} was down and has been brought up")]
    BroughtUp {
        /// The device.
        device: String,
        /// The interface.
        interface: String,
    },
}
