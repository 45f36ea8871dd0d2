//! What the rules ask of one IP version, as sets of three fields: source, destination, service.

use core::fmt::Debug;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use hashbrown::HashMap;

use super::FixedState;
use super::classes::{Partition, Value};
use super::index::Index;
use super::index6::Index6;
use super::width::Class;
use crate::policy::ruleset::{AddressSet, AddressSetId, Protocols, Rule, Ruleset, ServiceMatch};

/// Fields of a rule besides its zones.
pub(super) const FIELDS: usize = 3;
/// Index of the source field.
pub(super) const SOURCE: usize = 0;
/// Index of the destination field.
pub(super) const DESTINATION: usize = 1;
/// Index of the service field.
pub(super) const SERVICE: usize = 2;

/// A rule that speaks of this IP version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// Its number.
    pub(super) rule: u32,
    /// By field the set that it asks for; `None`: it asks for nothing.
    pub(super) sets: [Option<u32>; FIELDS],
}

/// Finds classes of addresses.
pub(super) trait AddressIndex<A, C> {
    /// The index of `partition`.
    fn of(partition: &Partition<A>) -> Self;
    /// The class of an address.
    fn class_of(&self, address: A) -> C;
    /// The classes of up to [`super::forest::STAGE`] addresses, each in the same place: of an index that the core's own caches do
    /// not hold.
    fn classes_of(&self, addresses: &[A], classes: &mut [C]);
    /// Bytes on the heap.
    fn memory_bytes(&self) -> usize;
}

/// The addresses of one IP version.
pub(super) trait Family: Debug {
    /// IPv4 or not.
    const IS_V4: bool;
    /// An address.
    type Address: Value + Eq;
    /// Finds their classes.
    type Index<C: Class>: AddressIndex<Self::Address, C> + Debug;
    /// All addresses.
    const ALL: RangeInclusive<Self::Address>;
    /// The part of `set` that is of this version.
    fn ranges(set: &AddressSet) -> &[RangeInclusive<Self::Address>];
    /// An address of this version; 0 in place of one of the other.
    fn address(address: IpAddr) -> Self::Address;
}

/// IPv4.
#[derive(Debug)]
pub(super) struct V4;
/// IPv6.
#[derive(Debug)]
pub(super) struct V6;

impl Family for V4 {
    const IS_V4: bool = true;
    type Address = u32;
    type Index<C: Class> = Index<C>;
    const ALL: RangeInclusive<u32> = 0..=u32::MAX;

    fn ranges(set: &AddressSet) -> &[RangeInclusive<u32>] {
        &set.v4
    }

    #[inline(always)]
    fn address(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(_) => 0,
        }
    }
}

impl Family for V6 {
    const IS_V4: bool = false;
    type Address = u128;
    type Index<C: Class> = Index6<C>;
    const ALL: RangeInclusive<u128> = 0..=u128::MAX;

    fn ranges(set: &AddressSet) -> &[RangeInclusive<u128>] {
        &set.v6
    }

    #[inline(always)]
    fn address(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(address) => address.to_bits(),
        }
    }
}

/// The rules of one IP version, and the sets they name, each once.
pub(super) struct Fields<'a, F: Family> {
    pub(super) specs: Vec<Spec>,
    pub(super) sources: Vec<&'a [RangeInclusive<F::Address>]>,
    pub(super) destinations: Vec<&'a [RangeInclusive<F::Address>]>,
    /// Ranges of `protocol class << 16 | selector`.
    pub(super) services: Vec<Box<[RangeInclusive<u32>]>>,
    pub(super) protocols: Protocol,
}

impl<'a, F: Family> Fields<'a, F> {
    /// Collects them. Rules that no packet of this version can match are left out, and so is all that follows a rule
    /// that every packet matches.
    pub(super) fn of(ruleset: &'a Ruleset) -> Self {
        let protocols = Protocol::of(ruleset);
        let mut sources = AddressSets::<F>::new(ruleset);
        let mut destinations = AddressSets::<F>::new(ruleset);
        let mut services = ServiceSets::default();
        let mut specs = Vec::with_capacity(ruleset.rules.len());
        for (number, rule) in (0..).zip(&ruleset.rules) {
            if names_no_zone(rule) {
                continue;
            }
            let (Some(source), Some(destination), Some(service)) = (
                sources.intern(rule.source),
                destinations.intern(rule.destination),
                services.intern(&protocols, rule.services.as_deref(), F::IS_V4),
            ) else {
                continue;
            };
            let sets = [source, destination, service];
            specs.push(Spec { rule: number, sets });
            if sets == [None; FIELDS] && rule.from.is_none() && rule.to.is_none() {
                break;
            }
        }
        Self {
            specs,
            sources: sources.sets,
            destinations: destinations.sets,
            services: services.sets,
            protocols,
        }
    }
}

/// An empty list of zones matches nothing, unlike none at all.
fn names_no_zone(rule: &Rule) -> bool {
    [&rule.from, &rule.to].into_iter().flatten().any(Vec::is_empty)
}

/// The address sets of one field in the order in which rules name them.
struct AddressSets<'a, F: Family> {
    ruleset: &'a Ruleset,
    number_of: Vec<Option<u32>>,
    sets: Vec<&'a [RangeInclusive<F::Address>]>,
}

impl<'a, F: Family> AddressSets<'a, F> {
    fn new(ruleset: &'a Ruleset) -> Self {
        Self { ruleset, number_of: vec![None; ruleset.address_sets.len()], sets: Vec::new() }
    }

    /// The set's number; `Some(None)` if it holds every address, `None` if it holds none.
    fn intern(&mut self, set: Option<AddressSetId>) -> Option<Option<u32>> {
        let Some(id) = set else { return Some(None) };
        let ranges = F::ranges(&self.ruleset.address_sets[id.0 as usize]);
        if ranges.is_empty() {
            return None;
        }
        if *ranges == [F::ALL] {
            return Some(None);
        }
        let next = u32::try_from(self.sets.len()).expect("at most one set a rule");
        Some(Some(*self.number_of[id.0 as usize].get_or_insert_with(|| {
            self.sets.push(ranges);
            next
        })))
    }
}

/// The sets of services in the order in which rules name them.
#[derive(Default)]
struct ServiceSets {
    number_of: HashMap<Box<[RangeInclusive<u32>]>, u32, FixedState>,
    sets: Vec<Box<[RangeInclusive<u32>]>>,
}

impl ServiceSets {
    /// The set's number; `Some(None)` if every packet is of it, `None` if none is.
    fn intern(
        &mut self,
        protocols: &Protocol,
        services: Option<&[ServiceMatch]>,
        is_v4: bool,
    ) -> Option<Option<u32>> {
        let Some(services) = services else { return Some(None) };
        let ranges = protocols.ranges(services, is_v4);
        if ranges.is_empty() {
            return None;
        }
        if ranges == [0..=protocols.last_value()] {
            return Some(None);
        }
        let ranges = ranges.into_boxed_slice();
        if let Some(known) = self.number_of.get(&ranges) {
            return Some(Some(*known));
        }
        let number = u32::try_from(self.sets.len()).expect("at most one set a rule");
        self.sets.push(ranges.clone());
        self.number_of.insert(ranges, number);
        Some(Some(number))
    }
}

/// Protocols that no service names are one class, so that "every protocol" is a few ranges and not 256.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    class_of: [u8; 256],
    /// The highest class; there is at least one.
    last: u8,
}

impl Protocol {
    fn of(ruleset: &Ruleset) -> Self {
        let mut is_named = [false; 256];
        for service in ruleset.rules.iter().filter_map(|rule| rule.services.as_ref()).flatten() {
            if let Some(protocol) = service.protocol {
                is_named[usize::from(protocol)] = true;
            }
        }
        let mut class_of = [0; 256];
        let mut classes = 0..=u8::MAX;
        // Whether a class is kept for those that are not named: not if there are none.
        let mut last = if is_named.contains(&false) { classes.next().unwrap_or(0) } else { 0 };
        for (protocol, _) in is_named.iter().enumerate().filter(|(_, is_named)| **is_named) {
            last = classes.next().unwrap_or(u8::MAX);
            class_of[protocol] = last;
        }
        Self { class_of, last }
    }

    /// How many classes there are.
    pub(super) fn classes(&self) -> u32 {
        u32::from(self.last) + 1
    }

    /// The place of a protocol and a selector on the line on which services are ranges.
    #[inline]
    pub(super) fn value(&self, protocol: u8, selector: u16) -> u32 {
        u32::from(self.class_of[usize::from(protocol)]) << 16 | u32::from(selector)
    }

    fn last_value(&self) -> u32 {
        u32::from(self.last) << 16 | 0xffff
    }

    /// `services` as sorted, disjoint, non-adjacent ranges.
    fn ranges(&self, services: &[ServiceMatch], is_v4: bool) -> Vec<RangeInclusive<u32>> {
        let mut ranges = Vec::with_capacity(services.len());
        let of_family = |service: &&ServiceMatch| match service.family {
            Protocols::Both => true,
            Protocols::V4 => is_v4,
            Protocols::V6 => !is_v4,
        };
        for service in services.iter().filter(of_family) {
            let (first, last) = (u32::from(*service.selector.start()), u32::from(*service.selector.end()));
            let classes = match service.protocol {
                Some(protocol) => self.class_of[usize::from(protocol)]..=self.class_of[usize::from(protocol)],
                None => 0..=self.last,
            };
            ranges
                .extend(classes.map(|class| u32::from(class) << 16 | first..=u32::from(class) << 16 | last));
        }
        AddressSet::new(ranges, Vec::new()).v4
    }
}
