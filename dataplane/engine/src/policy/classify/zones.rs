//! Zones as bits: a rule's source and destination zones are a mask, a packet's are one bit for each side to hold against
//! it.
//!
//! Zones that no rule tells apart are one class and share a bit. There are thousands of zones at most and a handful of
//! classes as a rule; where a side has more than [`SIDE_BITS`], several share a bit, and rules for which that loses
//! something are marked for a check ([`Allowed::exact`]).

use hashbrown::HashMap;

use super::FixedState;
use super::classes::signature;
use crate::policy::ruleset::{Rule, Ruleset, ZoneId};

/// Bits for a side.
const SIDE_BITS: u32 = 16;

/// What a rule says of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// A packet that has any of these bits does not match.
    pub(super) forbidden: u32,
    /// Whether a packet that has none does match.
    pub(super) exact: bool,
}

/// From zones to bits.
#[derive(Debug)]
pub(super) struct ZoneBits {
    from: Vec<u32>,
    to: Vec<u32>,
    /// The bits of each side.
    pub(super) sides: [u32; 2],
}

impl ZoneBits {
    /// The bits of a packet's zones.
    #[inline]
    pub(super) fn of(&self, from: Option<ZoneId>, to: Option<ZoneId>) -> u32 {
        bit_of(&self.from, from) | bit_of(&self.to, to)
    }

    /// How many bits there are, of both sides.
    pub(super) fn bits(&self) -> u32 {
        self.sides.map(u32::count_ones).iter().sum()
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.from[..]) + size_of_val(&self.to[..])
    }
}

/// Entry 0 stands for no zone, and for zones that no rule names: they match the same rules.
#[inline]
fn bit_of(bits: &[u32], zone: Option<ZoneId>) -> u32 {
    let index = zone.map_or(0, |zone| usize::from(zone.0) + 1);
    bits.get(index).or(bits.first()).copied().unwrap_or(0)
}

/// The zones of all rules as bits, and each rule's mask. Rules that name an empty list of zones are none of this
/// module's business: they match nothing.
pub(super) fn compile(ruleset: &Ruleset) -> (ZoneBits, Vec<Allowed>) {
    let from = Side::of(ruleset, |rule| rule.from.as_deref());
    let to = Side::of(ruleset, |rule| rule.to.as_deref());
    // One class needs no bit.
    let bits = |side: &Side<'_>| if side.classes > 1 { side.classes.min(SIDE_BITS) } else { 0 };
    let (from_bits, to_bits) = (bits(&from), bits(&to));
    let from = from.spread(0, from_bits);
    let to = to.spread(from_bits, to_bits);
    let mask = |bits: u32| (1_u32 << bits) - 1;
    let sides = [mask(from_bits), mask(to_bits) << from_bits];
    let allowed = from.sets.iter().zip(&to.sets).map(|(from, to)| Allowed {
        forbidden: from.forbidden | to.forbidden,
        exact: from.exact && to.exact,
    });
    let allowed = allowed.collect();
    (ZoneBits { from: from.bits, to: to.bits, sides }, allowed)
}

/// The zones of one side, cut into classes.
struct Side<'a> {
    /// By zone number plus one.
    class_of: Vec<u32>,
    classes: u32,
    /// What each rule names.
    named: Vec<Option<&'a [ZoneId]>>,
}

/// The zones of one side, as bits.
struct Spread {
    bits: Vec<u32>,
    /// By rule.
    sets: Vec<Allowed>,
}

impl<'a> Side<'a> {
    fn of(ruleset: &'a Ruleset, zones_of: fn(&Rule) -> Option<&[ZoneId]>) -> Self {
        let named: Vec<_> = ruleset.rules.iter().map(zones_of).collect();
        let mut signatures = vec![0];
        let mut seen: HashMap<&[ZoneId], (), FixedState> = HashMap::default();
        for zones in named.iter().flatten() {
            if seen.insert(zones, ()).is_some() {
                continue;
            }
            let set = u32::try_from(seen.len()).expect("at most 16 million rules");
            let mut zones = zones.to_vec();
            zones.sort_unstable();
            zones.dedup();
            for zone in zones {
                let index = usize::from(zone.0) + 1;
                if signatures.len() <= index {
                    signatures.resize(index + 1, 0);
                }
                signatures[index] ^= signature(set);
            }
        }
        let mut classes: HashMap<u128, u32, FixedState> = HashMap::default();
        let mut class_of = Vec::with_capacity(signatures.len());
        for signature in signatures {
            let next = u32::try_from(classes.len()).expect("at most 65,537 zones");
            class_of.push(*classes.entry(signature).or_insert(next));
        }
        let classes = u32::try_from(classes.len()).expect("at most 65,537 zones");
        Self { class_of, classes, named }
    }

    /// Spreads the classes over `count` bits from `first` on.
    fn spread(self, first: u32, count: u32) -> Spread {
        let bit = |class: u32| class.checked_rem(count).map_or(0, |bit| 1_u32 << (first + bit));
        let side = (0..count).fold(0, |side, class| side | bit(class));
        // How many classes share each bit.
        let mut sharing = [0_u32; 2 * SIDE_BITS as usize];
        (0..self.classes)
            .for_each(|class| sharing[bit(class).trailing_zeros() as usize % sharing.len()] += 1);
        let allow = |zones: &[ZoneId]| {
            let mut classes: Vec<_> =
                zones.iter().map(|zone| self.class_of[usize::from(zone.0) + 1]).collect();
            classes.sort_unstable();
            classes.dedup();
            let mut left = sharing;
            let mut allowed = 0;
            for class in classes {
                allowed |= bit(class);
                left[bit(class).trailing_zeros() as usize % left.len()] -= 1;
            }
            let is_whole = |at: usize| allowed >> at & 1 == 0 || left[at] == 0;
            Allowed { forbidden: side & !allowed, exact: (0..left.len()).all(is_whole) }
        };
        let everything = Allowed { forbidden: 0, exact: true };
        let mut known: HashMap<&[ZoneId], Allowed, FixedState> = HashMap::default();
        let sets = self.named.iter().map(|zones| match zones {
            None => everything,
            Some(zones) => *known.entry(zones).or_insert_with(|| allow(zones)),
        });
        let sets = sets.collect();
        Spread { bits: self.class_of.iter().map(|class| bit(*class)).collect(), sets }
    }
}
