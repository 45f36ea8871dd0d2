//! Where a packet lies in each field: its classes, coarse for the forest and exact for checks.

use core::net::IpAddr;

use super::classes::{Partition, Value};
use super::fields::Protocol;
use super::index::Index;

/// Finds classes of addresses.
pub(super) trait AddressIndex {
    /// An address.
    type Address: Value;
    /// An address of this version; 0 in place of one of the other.
    fn address(address: IpAddr) -> Self::Address;
    /// The index of `partition`, whose classes are coarse when shifted to the right by `shift`.
    fn of(partition: &Partition<Self::Address>, shift: u32) -> Self;
    /// The coarse class of an address.
    fn class_of(&self, address: Self::Address) -> u16;
    /// The class of an address.
    fn exact_class_of(&self, address: Self::Address) -> u32;
    /// Bytes on the heap.
    fn memory_bytes(&self) -> usize;
}

/// Finds classes of IPv4 addresses.
#[derive(Debug)]
pub(super) struct Index4(Halves);

impl AddressIndex for Index4 {
    type Address = u32;

    #[inline(always)]
    fn address(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(_) => 0,
        }
    }

    fn of(partition: &Partition<u32>, shift: u32) -> Self {
        Self(Halves::of(partition, 1 << 16, false, shift))
    }

    #[inline(always)]
    fn class_of(&self, address: u32) -> u16 {
        self.0.coarse.class_of(address)
    }

    fn exact_class_of(&self, address: u32) -> u32 {
        self.0.exact_class_of(address)
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

/// Finds classes of services.
#[derive(Debug)]
pub(super) struct Services {
    protocols: Protocol,
    halves: Halves,
}

impl Services {
    pub(super) fn of(protocols: Protocol, partition: &Partition<u32>, shift: u32) -> Self {
        let halves = Halves::of(partition, protocols.classes(), true, shift);
        Self { protocols, halves }
    }

    #[inline(always)]
    pub(super) fn class_of(&self, protocol: u8, selector: u16) -> u16 {
        self.halves.coarse.class_of(self.protocols.value(protocol, selector))
    }

    pub(super) fn exact_class_of(&self, protocol: u8, selector: u16) -> u32 {
        self.halves.exact_class_of(self.protocols.value(protocol, selector))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.halves.memory_bytes()
    }
}

/// Classes of up to 32 bits from indices that find 16.
#[derive(Debug)]
struct Halves {
    coarse: Index,
    shift: u32,
    /// The bits that are shifted out of the coarse class, if there are any.
    fine: Option<Index>,
}

impl Halves {
    fn of(partition: &Partition<u32>, buckets: u32, tables: bool, shift: u32) -> Self {
        let index = |class: &dyn Fn(u32) -> u16| Index::of(partition, buckets, tables, class);
        Self {
            coarse: index(&|class| coarse(class, shift)),
            shift,
            fine: (shift > 0).then(|| index(&|class| coarse(class & ((1 << shift) - 1), 0))),
        }
    }

    fn exact_class_of(&self, value: u32) -> u32 {
        let fine = self.fine.as_ref().map_or(0, |fine| u32::from(fine.class_of(value)));
        u32::from(self.coarse.class_of(value)) << self.shift | fine
    }

    fn memory_bytes(&self) -> usize {
        self.coarse.memory_bytes() + self.fine.as_ref().map_or(0, Index::memory_bytes)
    }
}

/// The coarse class, which has 16 bits because the shift was chosen so.
#[expect(clippy::cast_possible_truncation, reason = "the shift leaves 16 bits")]
#[inline(always)]
pub(super) fn coarse(class: u32, shift: u32) -> u16 {
    (class >> shift) as u16
}
