//! Reading captures: pcap and pcapng, microseconds or nanoseconds, either byte order.
//!
//! A frame is as long as it was on the wire, even if the capture holds only its beginning (a snap length): inspection
//! looks at headers, and all of them must be in the part that is there, else the frame counts as truncated. When it is
//! forwarded, what is there of it is written.
//!
//! Time never goes back: a frame whose time stamp lies before that of a frame before it in the same file (several
//! receive queues, an adjusted clock) counts as having come when that one came. Such frames are counted.

mod error;
mod source;

use std::io::Read;

use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Linktype, OptionCode, PcapBlockOwned, PcapError};

pub use error::{CaptureError, Fault};
use source::Reader;

const NANOS_PER_SEC: u64 = 1_000_000_000;
/// No sane record is longer, and a damaged length must not fill the memory.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// The link type of a pcap header is in the lower bits; above are the length of the FCS and flags.
const LINK_TYPE_MASK: i32 = 0x03ff_ffff;
/// A packet block as pcapng had it before 2006; nothing writes it any more.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// A frame of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured, in nanoseconds since 1970; never before the frame before it.
    pub time_ns: u64,
    /// Its length on the wire.
    pub wire_len: usize,
    /// What the capture holds of it, from its destination address on.
    pub bytes: Vec<u8>,
}

/// A capture that is being read, frame by frame.
pub struct Capture<'a> {
    name: String,
    reader: Reader<'a>,
    /// Interfaces of the present section (pcapng), or the only one (pcap).
    interfaces: Vec<Interface>,
    big_endian: bool,
    packets: u64,
    latest_ns: u64,
    went_back: u64,
}

/// What a file says of one of its interfaces.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: i32,
    /// Units of its time stamps in a second.
    units_per_sec: u64,
    /// Seconds to add to its time stamps.
    offset_secs: i64,
}

/// What a record of the file is to us.
enum Record {
    Frame,
    Other,
}

impl<'a> Capture<'a> {
    /// Begins to read `input`, which is called `name` in messages.
    pub fn new(name: impl Into<String>, input: impl Read + 'a) -> Result<Self, CaptureError> {
        let name = name.into();
        match Reader::new(Box::new(input)) {
            Ok(reader) => Ok(Self {
                name,
                reader,
                interfaces: Vec::new(),
                big_endian: false,
                packets: 0,
                latest_ns: 0,
                went_back: 0,
            }),
            Err(fault) => Err(CaptureError { name, place: None, fault }),
        }
    }

    /// Frames so far whose time stamps lay before that of a frame before them.
    pub fn went_back(&self) -> u64 {
        self.went_back
    }

    /// Reads the next frame into `frame`; whether there was one.
    pub fn next_frame(&mut self, frame: &mut Frame) -> Result<bool, CaptureError> {
        loop {
            match self.record(frame) {
                Ok(None) => return Ok(false),
                Ok(Some(Record::Other)) => {}
                Ok(Some(Record::Frame)) => {
                    self.packets += 1;
                    if frame.time_ns < self.latest_ns {
                        self.went_back += 1;
                        frame.time_ns = self.latest_ns;
                    }
                    self.latest_ns = frame.time_ns;
                    return Ok(true);
                }
                Err(fault) => {
                    let place = Some((self.packets + 1, self.reader.consumed()));
                    return Err(CaptureError { name: self.name.clone(), place, fault });
                }
            }
        }
    }

    /// Reads a record; `None` at the end of the file.
    fn record(&mut self, frame: &mut Frame) -> Result<Option<Record>, Fault> {
        let Self { reader, interfaces, big_endian, .. } = self;
        let mut capacity = reader.capacity();
        loop {
            let (is_exhausted, iterator) = (reader.is_exhausted(), reader.iterator());
            match iterator.next() {
                Ok((len, record)) => {
                    let record = understand(record, interfaces, big_endian, frame)?;
                    iterator.consume(len);
                    return Ok(Some(record));
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) if !is_exhausted => {}
                Err(PcapError::BufferTooSmall) if capacity < RECORD_BYTES_MAX => {
                    capacity *= 2;
                    iterator.grow(capacity);
                }
                Err(PcapError::BufferTooSmall) => return Err(Fault::RecordTooLong),
                Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => return Err(Fault::CutShort),
                Err(_) => return Err(Fault::Damaged),
            }
            reader.set_capacity(capacity);
            reader.refill()?;
        }
    }
}

/// Takes from `record` what it tells: of the file, or a frame.
fn understand(
    record: PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    big_endian: &mut bool,
    frame: &mut Frame,
) -> Result<Record, Fault> {
    match record {
        PcapBlockOwned::LegacyHeader(header) => {
            let units_per_sec = if header.is_nanosecond_precision() { NANOS_PER_SEC } else { 1_000_000 };
            let link_type = header.network.0 & LINK_TYPE_MASK;
            let interface = Interface { link_type, units_per_sec, offset_secs: 0 };
            *interfaces = vec![interface];
            interface.check()?;
            return Ok(Record::Other);
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first().ok_or(Fault::Damaged)?;
            let nanos_per_unit = NANOS_PER_SEC / interface.units_per_sec;
            let nanos = u64::from(packet.ts_usec) * nanos_per_unit;
            frame.time_ns = u64::from(packet.ts_sec) * NANOS_PER_SEC + nanos;
            frame.take(packet.data, packet.origlen);
        }
        PcapBlockOwned::NG(Block::SectionHeader(section)) => {
            interfaces.clear();
            *big_endian = section.big_endian();
            return Ok(Record::Other);
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            let offset = block.options.iter().find(|option| option.code == OptionCode::IfTsoffset);
            let offset = offset.and_then(|option| option.value.first_chunk().copied()).unwrap_or([0; 8]);
            interfaces.push(Interface {
                link_type: block.linktype.0,
                units_per_sec: units_per_sec(block.if_tsresol).ok_or(Fault::TimeUnit(block.if_tsresol))?,
                offset_secs: if *big_endian {
                    i64::from_be_bytes(offset)
                } else {
                    i64::from_le_bytes(offset)
                },
            });
            return Ok(Record::Other);
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let number = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
            let interface = interfaces.get(number).ok_or(Fault::UnknownInterface(packet.if_id))?;
            interface.check()?;
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            frame.time_ns = interface.nanos(units).ok_or(Fault::TimeOutOfRange)?;
            frame.take(packet.packet_data(), packet.origlen);
        }
        PcapBlockOwned::NG(Block::SimplePacket(_)) => return Err(Fault::NoTime),
        PcapBlockOwned::NG(Block::Unknown(block)) if block.block_type == OBSOLETE_PACKET_BLOCK => {
            return Err(Fault::ObsoletePacket);
        }
        PcapBlockOwned::NG(_) => return Ok(Record::Other),
    }
    Ok(Record::Frame)
}

/// Time stamp units in a second, by the option `if_tsresol`: a power of ten, or of two if the highest bit is set.
fn units_per_sec(resolution: u8) -> Option<u64> {
    let (base, exponent): (u64, u8) =
        if resolution & 0x80 == 0 { (10, resolution) } else { (2, resolution & 0x7f) };
    base.checked_pow(u32::from(exponent))
}

impl Interface {
    fn check(&self) -> Result<(), Fault> {
        if self.link_type == Linktype::ETHERNET.0 { Ok(()) } else { Err(Fault::LinkType(self.link_type)) }
    }

    fn nanos(&self, units: u64) -> Option<u64> {
        let nanos = u128::from(units) * u128::from(NANOS_PER_SEC) / u128::from(self.units_per_sec);
        let offset = i128::from(self.offset_secs) * i128::from(NANOS_PER_SEC);
        u64::try_from(i128::try_from(nanos).ok()? + offset).ok()
    }
}

impl Frame {
    fn take(&mut self, bytes: &[u8], wire_len: u32) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        // A capture that claims less than it holds is taken at what it holds.
        self.wire_len = usize::try_from(wire_len).unwrap_or(usize::MAX).max(bytes.len());
    }
}

impl std::fmt::Debug for Capture<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture")
            .field("name", &self.name)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
