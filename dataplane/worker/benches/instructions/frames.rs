//! The frames of the scenes: 60 bytes each for IPv4, the shortest that Ethernet has without the checksum that the device
//! adds; 20 bytes more for IPv6.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};
use sekisho_engine::port::Port;

use crate::sets::{Random, Version};

/// Payload of a TCP segment that is no SYN.
pub const TCP_PAYLOAD: usize = 6;
const UDP_PAYLOAD: usize = 18;
const WINDOW: u16 = 60_000;

/// A session's addresses and ports, LAN first.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub addresses: [IpAddr; 2],
    pub ports: [u16; 2],
}

/// A TCP segment's place in the conversation.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub is_syn: bool,
    pub sequence: u32,
    pub acknowledged: Option<u32>,
    pub payload: usize,
}

impl Ends {
    /// Ends that no other `number` has.
    pub fn any(number: u16, version: Version, random: &mut Random) -> Self {
        let hosts = random.bits();
        let [lan, wan] = [hosts as u32, (hosts >> 32) as u32];
        let addresses = match version {
            Version::V4 => [0x0a00_0000 | lan >> 8, 0x5d00_0000 | wan >> 8]
                .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            Version::V6 => [(0x2001_0db8_0001_u128, lan), (0x2001_0db8_0002, wan)]
                .map(|(site, host)| IpAddr::V6(Ipv6Addr::from_bits(site << 80 | u128::from(host)))),
        };
        Self { addresses, ports: [10_000 + number, 443] }
    }

    /// A UDP datagram from the side of `from`.
    pub fn udp(&self, from: Port) -> Vec<u8> {
        let (ip, [source, destination]) = self.ip(from);
        let mut frame = Vec::new();
        ip.udp(source, destination).write(&mut frame, &[0; UDP_PAYLOAD]).expect("written to memory");
        frame
    }

    /// The first fragment, from the side of `from`, of a UDP datagram over IPv4 whose rest never comes.
    pub fn first_fragment(&self, from: Port) -> Vec<u8> {
        const IP_AT: usize = 14;
        const UDP_LEN: usize = 8 + 16;
        let mut frame = self.udp(from);
        frame.truncate(IP_AT + 20 + UDP_LEN);
        frame.resize(60, 0);
        let header = &mut frame[IP_AT..IP_AT + 20];
        header[2..4].copy_from_slice(&(20 + UDP_LEN as u16).to_be_bytes());
        header[4..6].copy_from_slice(&self.ports[0].to_be_bytes());
        header[6..8].copy_from_slice(&[0x20, 0]);
        header[10..12].copy_from_slice(&[0, 0]);
        let sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame[IP_AT + 24..IP_AT + 26].copy_from_slice(&(UDP_LEN as u16 + 1000).to_be_bytes());
        frame
    }

    /// A TCP segment from the side of `from`.
    pub fn tcp(&self, from: Port, segment: Segment) -> Vec<u8> {
        let (ip, [source, destination]) = self.ip(from);
        let mut tcp = ip.tcp(source, destination, segment.sequence, WINDOW);
        if segment.is_syn {
            tcp = tcp.syn();
        }
        if let Some(acknowledged) = segment.acknowledged {
            tcp = tcp.ack(acknowledged);
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, &[0; TCP_PAYLOAD][..segment.payload]).expect("written to memory");
        // What Ethernet fills up.
        frame.resize(frame.len().max(60), 0);
        frame
    }

    /// Headers from the side of `from`, and the ports in their order.
    fn ip(&self, from: Port) -> (PacketBuilderStep<IpHeaders>, [u16; 2]) {
        let ends = |at: Port| (self.addresses[at.index()], self.ports[at.index()]);
        let (source, destination) = (ends(from), ends(from.other()));
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = match (source.0, destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ethernet.ipv4(source.octets(), destination.octets(), 64)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ethernet.ipv6(source.octets(), destination.octets(), 64)
            }
            _ => unreachable!("ends are of one version"),
        };
        (ip, [source.1, destination.1])
    }
}
