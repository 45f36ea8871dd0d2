//! SCTP associations as their ends speak them.

use std::net::{IpAddr, SocketAddr};

use crate::frames::{Packet, chunk, sctp};
use crate::scene::Scene;

/// The reflected tag of ABORT and SHUTDOWN COMPLETE (RFC 9260 section 8.5.1).
pub const REFLECTED: u8 = 1;

/// An association, and the tags that its ends chose.
#[derive(Debug, Clone)]
pub struct Association {
    /// The end that opens it.
    pub client: SocketAddr,
    /// The other.
    pub server: SocketAddr,
    /// The tag that each chose, the client's first.
    pub tags: [u32; 2],
    /// Addresses that each lists in its INIT or INIT ACK.
    pub listed: [Vec<IpAddr>; 2],
}

impl Association {
    /// One that nobody has opened yet.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self { client, server, tags: [0x00c1_1e47, 0x05e7_7e70], listed: [Vec::new(), Vec::new()] }
    }

    /// The client's INIT.
    #[must_use]
    pub fn init(&self) -> Packet {
        self.from_client(0, &self.offer(1, 0))
    }

    /// The server's answer.
    #[must_use]
    pub fn init_ack(&self) -> Packet {
        self.server(&self.offer(2, 1))
    }

    /// INIT (1) or INIT ACK (2) of a side.
    #[must_use]
    pub fn offer(&self, kind: u8, side: usize) -> Vec<u8> {
        let mut value = self.tags[side].to_be_bytes().to_vec();
        value.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
        for address in &self.listed[side] {
            match address {
                IpAddr::V4(address) => value.extend([&[0, 5, 0, 8][..], &address.octets()].concat()),
                IpAddr::V6(address) => value.extend([&[0, 6, 0, 20][..], &address.octets()].concat()),
            }
        }
        chunk(kind, 0, &value)
    }

    /// Chunks of the client's, with the server's tag.
    #[must_use]
    pub fn client(&self, chunks: &[u8]) -> Packet {
        self.from_client(self.tags[1], chunks)
    }

    /// Chunks of the server's, with the client's tag.
    #[must_use]
    pub fn server(&self, chunks: &[u8]) -> Packet {
        self.from_server(self.tags[0], chunks)
    }

    /// Chunks of the client's with any tag.
    #[must_use]
    pub fn from_client(&self, tag: u32, chunks: &[u8]) -> Packet {
        sctp(self.client, self.server, tag, chunks)
    }

    /// Chunks of the server's with any tag.
    #[must_use]
    pub fn from_server(&self, tag: u32, chunks: &[u8]) -> Packet {
        sctp(self.server, self.client, tag, chunks)
    }

    /// The same association between another pair of addresses.
    #[must_use]
    pub fn over(&self, client: IpAddr, server: IpAddr) -> Self {
        let mut other = self.clone();
        other.client.set_ip(client);
        other.server.set_ip(server);
        other
    }

    /// Opens it from the LAN, as session `number` by `rule`.
    pub fn opens(&self, scene: &mut Scene, number: u64, rule: &str) {
        scene.lan(self.init()).opens(number, rule);
        scene.wan(self.init_ack()).follows(number);
        scene.lan(self.client(&cookie_echo())).follows(number);
        scene.wan(self.server(&cookie_ack())).follows(number);
    }
}

/// DATA with a byte.
#[must_use]
pub fn data() -> Vec<u8> {
    chunk(0, 3, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, b'x'])
}

/// HEARTBEAT.
#[must_use]
pub fn heartbeat() -> Vec<u8> {
    chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4])
}

/// HEARTBEAT ACK.
#[must_use]
pub fn heartbeat_ack() -> Vec<u8> {
    chunk(5, 0, &[0, 1, 0, 8, 1, 2, 3, 4])
}

/// ABORT with these flags.
#[must_use]
pub fn abort(flags: u8) -> Vec<u8> {
    chunk(6, flags, &[])
}

/// SHUTDOWN.
#[must_use]
pub fn shutdown() -> Vec<u8> {
    chunk(7, 0, &[0, 0, 0, 1])
}

/// SHUTDOWN ACK.
#[must_use]
pub fn shutdown_ack() -> Vec<u8> {
    chunk(8, 0, &[])
}

/// SHUTDOWN COMPLETE with these flags.
#[must_use]
pub fn shutdown_complete(flags: u8) -> Vec<u8> {
    chunk(14, flags, &[])
}

/// COOKIE ECHO.
#[must_use]
pub fn cookie_echo() -> Vec<u8> {
    chunk(10, 0, b"a cookie of state")
}

/// COOKIE ACK.
#[must_use]
pub fn cookie_ack() -> Vec<u8> {
    chunk(11, 0, &[])
}
