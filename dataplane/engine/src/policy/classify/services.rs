//! From protocol and selector to their class.

use super::classes::Partition;
use super::fields::Protocol;
use super::index::Index;
use super::width::Class;

/// Finds classes of services.
#[derive(Debug)]
pub(super) struct Services<C> {
    protocols: Protocol,
    index: Index<C>,
}

impl<C: Class> Services<C> {
    pub(super) fn of(protocols: &Protocol, partition: &Partition<u32>) -> Self {
        let index = Index::for_values(partition, protocols.classes(), true);
        Self { protocols: protocols.clone(), index }
    }

    #[inline(always)]
    pub(super) fn class_of(&self, protocol: u8, selector: u16) -> C {
        self.index.find(self.protocols.value(protocol, selector))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.index.bytes()
    }
}
