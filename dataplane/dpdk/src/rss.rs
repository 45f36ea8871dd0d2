//! Receive-side scaling: both directions of a flow to the same queue, where the device can, and checked by reading
//! back what it took.

use sekisho_dpdk_sys as sys;

use crate::errno::{Errno, check};
use crate::note::Note;

/// How received packets are spread over the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rss {
    /// Both directions of a flow reach queues of the same number, on every port spread so.
    Symmetric {
        /// By what.
        how: SymmetricBy,
    },
    /// The directions of a flow may reach different queues.
    Asymmetric,
    /// Not by the flow: one queue, or a device that does not hash.
    None,
}

/// What makes the spread symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymmetricBy {
    /// The device's own symmetric hash function.
    Function,
    /// A key of a repeated pair of bytes, which makes the plain function symmetric.
    Key,
    /// The kernel, which spreads by a symmetric hash of its own.
    Kernel,
}

/// Repeated, it gives the same hash when source and destination change places: Toeplitz shifts a window over the key,
/// and addresses and ports lie a multiple of 16 bits apart.
const KEY_PAIR: [u8; 2] = [0x6d, 0x5a];
/// The key's size where the device does not tell.
const KEY_SIZE: u8 = 40;
/// Entries after which the table of queues repeats, so that tables of different sizes agree.
const TABLE_PERIOD: u16 = 128;

/// One way to ask for the spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    rss: bool,
    symmetric: bool,
    key_size: u8,
}

impl Request {
    pub(crate) fn apply(self, conf: sys::shim_port_conf) -> sys::shim_port_conf {
        let mut key = conf.key;
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = KEY_PAIR[index % 2];
        }
        let symmetric = u8::from(self.symmetric);
        // The library takes no request for hashes in packets where nothing is spread by them.
        let offloads = if self.rss { conf.offloads } else { conf.offloads & !sys::SHIM_RX_HASH };
        sys::shim_port_conf {
            offloads,
            rss: u8::from(self.rss),
            symmetric,
            key_size: self.key_size,
            key,
            ..conf
        }
    }
}

/// What to ask for, best first, with what it would come to.
pub(crate) fn variants(raw: &sys::shim_port_info, queues: u16) -> Vec<(Request, Rss)> {
    const OFF: Request = Request { rss: false, symmetric: false, key_size: 0 };
    if queues < 2 || raw.has_rss == 0 {
        return vec![(OFF, Rss::None)];
    }
    let key_size = if raw.hash_key_size == 0 { KEY_SIZE } else { raw.hash_key_size };
    let key = Request { rss: true, symmetric: false, key_size };
    let by = |how| Rss::Symmetric { how };
    let mut variants = Vec::new();
    if raw.lists_symmetric != 0 {
        variants.push((Request { symmetric: true, ..key }, by(SymmetricBy::Function)));
    }
    variants.push((key, by(SymmetricBy::Key)));
    variants.push((Request { key_size: 0, ..key }, Rss::Asymmetric));
    variants.push((OFF, Rss::None));
    variants
}

/// After the start: sets the table of queues, asks for the symmetric function where that is done by rules, reads all
/// back, and says what it really is.
pub(crate) fn settle(
    port: u16,
    device: &str,
    raw: &sys::shim_port_info,
    driver: &str,
    configured: &Rss,
    queues: u16,
    notes: &mut Vec<Note>,
) -> Rss {
    if queues < 2 {
        return Rss::None;
    }
    let device = device.to_owned();
    if *configured == Rss::None {
        if driver == "net_af_packet" {
            return Rss::Symmetric { how: SymmetricBy::Kernel };
        }
        notes.push(Note::NoRss { device, queues, why: "the device does not hash flows" });
        return Rss::None;
    }
    match verified(port, raw, queues) {
        Ok(how) => Rss::Symmetric { how },
        Err(why) => {
            notes.push(Note::AsymmetricRss { device, why });
            Rss::Asymmetric
        }
    }
}

fn verified(port: u16, raw: &sys::shim_port_info, queues: u16) -> Result<SymmetricBy, &'static str> {
    let table = table(raw.reta_size, queues);
    if table.is_empty() {
        return Err("the device does not show its table of queues");
    }
    // A driver that cannot set its table may have a like one from the start: reading tells.
    let _ = table_set(port, &table);
    match table_get(port, raw.reta_size) {
        Ok(found) if found == table => {}
        Ok(_) => return Err("the device keeps a table of queues of its own"),
        Err(_) => return Err("the device does not show its table of queues"),
    }
    let size = if raw.hash_key_size == 0 { KEY_SIZE } else { raw.hash_key_size };
    let mut wanted: Vec<u8> = (0..usize::from(size)).map(|index| KEY_PAIR[index % 2]).collect();
    let hidden = |_| "the device does not show its key";
    let (mut key, function_symmetric) = key_get(port, size).map_err(hidden)?;
    if key != wanted {
        // Some take a key only after the start. Whether this one did shows in what it says now.
        // SAFETY: FFI; a started port and `size` bytes to read.
        unsafe { sys::shim_rss_key_set(port, wanted.as_mut_ptr(), size) };
        (key, _) = key_get(port, size).map_err(hidden)?;
    }
    // SAFETY: FFI; a started port. Rules that the device refuses change nothing.
    if function_symmetric || unsafe { sys::shim_rss_symmetric_by_flow(port) } == 0 {
        return Ok(SymmetricBy::Function);
    }
    if key == wanted { Ok(SymmetricBy::Key) } else { Err("the device keeps a key of its own") }
}

/// Entry i leads to queue (i mod 128) mod queues: the same on every port, whatever the size of its table.
fn table(size: u16, queues: u16) -> Vec<u16> {
    (0..size.min(u16::try_from(sys::SHIM_RETA_MAX).unwrap_or(u16::MAX)))
        .map(|entry| (entry % TABLE_PERIOD) % queues)
        .collect()
}

fn table_set(port: u16, table: &[u16]) -> Result<(), Errno> {
    let size = u16::try_from(table.len()).unwrap_or(u16::MAX);
    // SAFETY: FFI; `size` entries to read.
    check(unsafe { sys::shim_reta_set(port, table.as_ptr(), size) }).map(|_| ())
}

fn table_get(port: u16, size: u16) -> Result<Vec<u16>, Errno> {
    let mut table = vec![0; usize::from(size)];
    // SAFETY: FFI; `size` places to write.
    check(unsafe { sys::shim_reta_get(port, table.as_mut_ptr(), size) })?;
    Ok(table)
}

fn key_get(port: u16, size: u8) -> Result<(Vec<u8>, bool), Errno> {
    let mut key = vec![0; usize::from(size)];
    let mut symmetric = 0;
    // SAFETY: FFI; `size` bytes to write and a valid place.
    check(unsafe { sys::shim_rss_key_get(port, key.as_mut_ptr(), size, &raw mut symmetric) })?;
    Ok((key, symmetric != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Toeplitz as the specification of receive-side scaling has it.
    fn toeplitz(key: &[u8], data: &[u8]) -> u32 {
        let bit = |bytes: &[u8], index: usize| bytes[index / 8] >> (7 - index % 8) & 1 == 1;
        let window =
            |at: usize| (0..32).fold(0u32, |word, offset| word << 1 | u32::from(bit(key, at + offset)));
        (0..data.len() * 8).filter(|&index| bit(data, index)).fold(0, |hash, index| hash ^ window(index))
    }

    fn key() -> Vec<u8> {
        (0..usize::from(KEY_SIZE)).map(|index| KEY_PAIR[index % 2]).collect()
    }

    #[test]
    fn the_reference_agrees_with_the_published_example() {
        // From Microsoft's verification suite: 66.9.149.187:2794 to 161.142.100.80:1766.
        let published: [u8; 40] = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
            0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
            0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let data = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&published, &data), 0x51cc_c178);
    }

    /// DPDK refuses it ("Rx mq_mode without RSS but RSS_HASH offload is requested"): a NIC of one queue would not start.
    #[test]
    fn no_hash_is_asked_for_where_nothing_is_spread() {
        let nic = sys::shim_port_info { has_rss: 1, hash_key_size: 40, ..sys::shim_port_info::default() };
        let checksums = sys::SHIM_RX_CHECKSUM_IP | sys::SHIM_RX_CHECKSUM_L4;
        let base =
            sys::shim_port_conf { offloads: checksums | sys::SHIM_RX_HASH, ..sys::shim_port_conf::default() };
        for queues in [1, 2] {
            for (request, spread) in variants(&nic, queues) {
                let conf = request.apply(base);
                let hashes = conf.offloads & sys::SHIM_RX_HASH != 0;
                assert_eq!((conf.rss != 0, hashes), (spread != Rss::None, spread != Rss::None));
                assert_eq!(conf.offloads & checksums, checksums);
            }
        }
    }

    proptest! {
        #[test]
        fn the_key_gives_both_directions_one_hash(a: [u8; 16], b: [u8; 16], p: [u8; 2], q: [u8; 2], v6: bool) {
            let length = if v6 { 16 } else { 4 };
            let there = [&a[..length], &b[..length], &p, &q].concat();
            let back = [&b[..length], &a[..length], &q, &p].concat();
            prop_assert_eq!(toeplitz(&key(), &there), toeplitz(&key(), &back));
        }

        #[test]
        fn tables_of_all_sizes_agree(hash: u32, queues in 1u16..17) {
            let queue = |size: u16| table(size, queues)[(hash % u32::from(size)) as usize];
            prop_assert_eq!(queue(128), queue(512));
            prop_assert_eq!(queue(128), queue(2048));
        }
    }
}
