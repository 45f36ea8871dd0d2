//! Writing captures: pcap with nanoseconds, Ethernet, as tcpdump and Wireshark read it.

use std::io::{self, Write};

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: (u16, u16) = (2, 4);
/// What tcpdump takes for no limit.
const SNAP_LENGTH: u32 = 262_144;
const LINK_TYPE_ETHERNET: u32 = 1;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A capture that is being written.
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins a capture.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&MAGIC_NANOSECONDS.to_le_bytes());
        header[4..6].copy_from_slice(&VERSION.0.to_le_bytes());
        header[6..8].copy_from_slice(&VERSION.1.to_le_bytes());
        header[16..20].copy_from_slice(&SNAP_LENGTH.to_le_bytes());
        header[20..].copy_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Adds a frame of `wire_len` bytes, of which `bytes` are there, captured `time_ns` nanoseconds after 1970.
    pub fn write(&mut self, time_ns: u64, bytes: &[u8], wire_len: usize) -> io::Result<()> {
        let too_large =
            || io::Error::new(io::ErrorKind::InvalidData, "a time or length that pcap cannot hold");
        let secs = u32::try_from(time_ns / NANOS_PER_SEC).map_err(|_| too_large())?;
        let nanos = u32::try_from(time_ns % NANOS_PER_SEC).map_err(|_| too_large())?;
        let len = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        let wire_len = u32::try_from(wire_len).map_err(|_| too_large())?;
        let mut header = [0; 16];
        for (field, value) in header.chunks_exact_mut(4).zip([secs, nanos, len, wire_len]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(bytes)
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}
