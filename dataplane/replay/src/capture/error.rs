//! What is wrong with a capture, and where.

use std::fmt;
use std::io;

use thiserror::Error;

/// A capture that cannot be read, or not to its end.
#[derive(Debug)]
pub struct CaptureError {
    pub(super) name: String,
    /// The number of the packet that was being read, from 1, and where its record begins.
    pub(super) place: Option<(u64, usize)>,
    pub(super) fault: Fault,
}

impl CaptureError {
    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((packet, offset)) => {
                write!(f, "{}: packet {packet}, at byte {offset}: {}", self.name, self.fault)
            }
            None => write!(f, "{}: {}", self.name, self.fault),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Read(error) => Some(error),
            _ => None,
        }
    }
}

/// What can be wrong with a capture.
#[derive(Debug, Error)]
pub enum Fault {
    /// Its first bytes are those of no capture.
    #[error("this is neither pcap nor pcapng; replay reads what tcpdump and Wireshark write")]
    NotACapture,
    /// Frames of something that is no Ethernet.
    #[error("the link type is {0}, and only Ethernet (1) can be replayed; capture on an Ethernet interface")]
    LinkType(i32),
    /// The file ends within a record.
    #[error("the file ends in the middle of a record; its end is missing, or a length in it is damaged")]
    CutShort,
    /// A record makes no sense.
    #[error("the record is damaged; the capture cannot be read from here on")]
    Damaged,
    /// A record longer than any capture has.
    #[error("the record claims to be longer than 16 MiB: its length is damaged")]
    RecordTooLong,
    /// A simple packet block of pcapng.
    #[error("a simple packet block has no time stamp, and replay needs one; capture with time stamps")]
    NoTime,
    /// A packet block as pcapng had it before 2006.
    #[error("an obsolete packet block; write the capture anew with editcap or tcpdump")]
    ObsoletePacket,
    /// A packet of an interface that the file does not describe.
    #[error("the packet is of interface {0}, which the file does not describe")]
    UnknownInterface(u32),
    /// A resolution of time stamps finer than 64 bits can say.
    #[error("the resolution of time stamps (if_tsresol {0}) is impossible")]
    TimeUnit(u8),
    /// A time stamp before 1970 or after 2554.
    #[error("the time stamp lies before 1970 or after 2554")]
    TimeOutOfRange,
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
}
