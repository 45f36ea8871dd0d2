//! The bytes of a capture on their way into the parser.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapError, PcapNGReader};

use super::Fault;

/// Room for some hundred frames; grows when a record is longer.
const CAPACITY: usize = 1 << 18;
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The parser of either format with its input.
pub(super) struct Reader<'a> {
    format: Format<'a>,
    capacity: usize,
    error: Rc<Cell<Option<io::Error>>>,
}

enum Format<'a> {
    Pcap(LegacyPcapReader<Source<'a>>),
    PcapNg(PcapNGReader<Source<'a>>),
}

impl<'a> Reader<'a> {
    /// Looks at the first bytes of `input` to tell its format.
    pub(super) fn new(mut input: Box<dyn Read + 'a>) -> Result<Self, Fault> {
        let mut magic = [0; 4];
        let len = fill(&mut *input, &mut magic).map_err(Fault::Read)?;
        let input = Box::new(io::Cursor::new(magic).take(len as u64).chain(input));
        let error = Rc::new(Cell::new(None));
        let source = Source { input, error: Rc::clone(&error) };
        let opened = match magic {
            SECTION_HEADER => PcapNGReader::new(CAPACITY, source).map(Format::PcapNg),
            _ => LegacyPcapReader::new(CAPACITY, source).map(Format::Pcap),
        };
        match opened {
            Ok(format) => Ok(Self { format, capacity: CAPACITY, error }),
            Err(PcapError::ReadError) => Err(read_fault(&error)),
            Err(PcapError::Incomplete(_)) if len == magic.len() => Err(Fault::CutShort),
            Err(_) => Err(Fault::NotACapture),
        }
    }

    pub(super) fn iterator(&mut self) -> &mut dyn PcapReaderIterator {
        match &mut self.format {
            Format::Pcap(reader) => reader,
            Format::PcapNg(reader) => reader,
        }
    }

    /// Bytes of the file that were dealt with.
    pub(super) fn consumed(&self) -> usize {
        match &self.format {
            Format::Pcap(reader) => reader.consumed(),
            Format::PcapNg(reader) => reader.consumed(),
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        match &self.format {
            Format::Pcap(reader) => reader.reader_exhausted(),
            Format::PcapNg(reader) => reader.reader_exhausted(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Reads on.
    pub(super) fn refill(&mut self) -> Result<(), Fault> {
        let refilled = self.iterator().refill().is_ok();
        if refilled { Ok(()) } else { Err(read_fault(&self.error)) }
    }
}

fn read_fault(error: &Cell<Option<io::Error>>) -> Fault {
    Fault::Read(error.take().unwrap_or_else(|| io::ErrorKind::Other.into()))
}

/// Fills the whole buffer as long as there is input, which the parsers count on (a pipe gives what it has), and keeps
/// the error, which the parsers forget.
struct Source<'a> {
    input: Box<dyn Read + 'a>,
    error: Rc<Cell<Option<io::Error>>>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut *self.input, buffer).inspect_err(|error| {
            self.error.set(Some(io::Error::new(error.kind(), error.to_string())));
        })
    }
}

fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match input.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
