//! The limits of rules: sessions and new sessions of a source, of a prefix and of the rule; packets and bits of the rule.
//!
//! A session takes its parts before it gets a slot and gives them back when it ends ([`held`]); what all have taken is in one
//! table for all workers ([`table`]), so limits are exact whichever worker has the session. Sessions whose packets are metered
//! are never smooth: each of their packets goes the long way, and all others pay nothing.

mod held;
mod table;

use core::net::IpAddr;

pub(crate) use held::AllHeld;
use held::Held;
pub(crate) use table::LimitTable;
use table::{Place, Refused, TICKS_PER_SECOND};

use crate::flow::HashSecret;
use crate::helper::Asked;
use crate::packet::protocol;
use crate::pipeline::{Arrival, Engine};
use crate::policy::{Limits, Quota, RuleId, RuleKey};
use crate::port::Port;
use crate::reason::Reason;
use crate::session::State;
use crate::time::Instant;

/// What is limited of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Source,
    Prefix,
    Rule,
    Packets,
    Bits,
}

/// How many there are.
const KINDS: usize = 5;
/// Beside the kinds: an address that is known to live; not of a rule.
const LIFE: u64 = KINDS as u64;

impl Kind {
    const ALL: [Self; KINDS] = [Self::Source, Self::Prefix, Self::Rule, Self::Packets, Self::Bits];
    const METERS: [Self; 2] = [Self::Packets, Self::Bits];

    /// Why a session is refused: too many live.
    const fn too_many(self) -> Reason {
        match self {
            Self::Source => Reason::LimitSourceSessions,
            Self::Prefix => Reason::LimitPrefixSessions,
            Self::Rule | Self::Packets | Self::Bits => Reason::LimitRuleSessions,
        }
    }

    /// Why a session or a packet is refused: too many in a second.
    const fn too_fast(self) -> Reason {
        match self {
            Self::Source => Reason::LimitSourceRate,
            Self::Prefix => Reason::LimitPrefixRate,
            Self::Rule => Reason::LimitRuleRate,
            Self::Packets => Reason::LimitRulePackets,
            Self::Bits => Reason::LimitRuleBits,
        }
    }
}

/// How much of a kind there may be.
#[derive(Clone, Copy, Debug)]
struct Bound {
    live_max: u32,
    /// What is spent of a bucket, and what that holds, in ticks; 0 and 0: no bucket.
    cost: u64,
    depth: u64,
}

impl Bound {
    fn of_quota(quota: Quota) -> Option<Self> {
        if quota.sessions.is_none() && quota.new_per_second.is_none() {
            return None;
        }
        let (cost, depth) = quota.new_per_second.map_or((0, 0), |rate| tokens(u64::from(rate), 1));
        Some(Self { live_max: quota.sessions.unwrap_or(u32::MAX), cost, depth })
    }

    /// What a rule says of `kind`, for a session whose packet has so many bytes.
    fn of(limits: &Limits, kind: Kind, wire_len: u32) -> Option<Self> {
        let meter = |(cost, depth)| Self { live_max: u32::MAX, cost, depth };
        match kind {
            Kind::Source => Self::of_quota(limits.source),
            Kind::Prefix => Self::of_quota(limits.prefix),
            Kind::Rule => Self::of_quota(limits.rule),
            Kind::Packets => limits.packets_per_second.map(|rate| meter(tokens(rate, 1))),
            Kind::Bits => limits.bits_per_second.map(|rate| meter(tokens(rate, u64::from(wire_len) * 8))),
        }
    }
}

/// What so many tokens cost of a bucket that gets `rate` a second and holds as many, and its depth.
fn tokens(rate: u64, wanted: u64) -> (u64, u64) {
    let rate = rate.max(1);
    // A frame has fewer than 2^32 bits.
    let cost = wanted.saturating_mul(TICKS_PER_SECOND) / rate;
    // So many single tokens, rounded as they are: a full bucket gives exactly `rate` of them.
    let depth = if wanted == 1 { cost * rate } else { TICKS_PER_SECOND };
    (cost.min(depth), depth)
}

/// A session may begin. To be kept ([`Engine::keep`]) or given back ([`Engine::give_back`]): whether it has taken anything,
/// which waits in [`AllHeld`] meanwhile.
#[derive(Debug)]
#[must_use = "what is neither kept nor given back is lost"]
pub(crate) struct Admission(bool);

/// What a session has taken that is about to begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admitted {
    held: Held,
    /// What its first packet cost, by [`Kind`].
    spent: [u64; KINDS],
}

impl Engine {
    /// Asks the limits of `rule` for a session that `source` opens. What the session in slot `over`, in whose place it
    /// comes, has taken of the same goes over to it.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        arrival: &Arrival<'_>,
        rule: Option<RuleId>,
        source: impl FnOnce() -> IpAddr,
        over: Option<u32>,
    ) -> Result<Admission, Reason> {
        match rule {
            Some(rule) if self.running.policy.has_limits() => {
                self.admit_limited(arrival, rule, source(), over).map(Admission)
            }
            _ => Ok(Admission(false)),
        }
    }

    #[inline(never)]
    fn admit_limited(
        &mut self,
        arrival: &Arrival<'_>,
        rule: RuleId,
        source: IpAddr,
        over: Option<u32>,
    ) -> Result<bool, Reason> {
        let Some(limits) = self.running.policy.limits_of(rule) else { return Ok(false) };
        let now = arrival.now;
        let key = self.running.policy.key(Some(rule));
        let before = over.map_or_else(Held::default, |slot| self.held.get(slot));
        let mut admitted = Admitted::default();
        let mut left = before;
        for kind in Kind::ALL {
            let Some(bound) = Bound::of(&limits, kind, arrival.facts.wire_len) else { continue };
            let id = self.id_of(kind, key, &limits, source);
            let inherited = before.part(kind).filter(|place| self.guards.limits.is(*place, id));
            let taken = match inherited {
                Some(place) => Ok(place),
                None => self.take(id, &bound, now, kind),
            };
            let refused = match taken {
                Ok(place) => {
                    let is_affordable =
                        bound.cost == 0 || self.guards.limits.spend(place, bound.cost, bound.depth, now);
                    if is_affordable {
                        admitted.held.set_part(kind, Some(place));
                        admitted.spent[kind as usize] = bound.cost;
                        if inherited.is_some() {
                            left.set_part(kind, None);
                        }
                        continue;
                    }
                    if inherited.is_none() {
                        self.guards.limits.give_back(place);
                    }
                    kind.too_fast()
                }
                Err(reason) => reason,
            };
            self.take_back(&admitted, &before);
            return Err(refused);
        }
        if let Some(slot) = over {
            self.held.set(slot, left);
        }
        admitted.held.set_metered_by(limits.meters_packets().then_some(rule));
        self.held.admitted = admitted;
        Ok(true)
    }

    /// Takes a part in an entry; a flood that comes too fast is found out without a write.
    fn take(&self, id: u64, bound: &Bound, now: Instant, kind: Kind) -> Result<Place, Reason> {
        let table = &self.guards.limits;
        if bound.cost > 0 && table.is_spent(id, bound.cost, bound.depth, now) {
            let is_reached = table.look(id).is_some_and(|(live, _)| live >= bound.live_max);
            return Err(if is_reached { kind.too_many() } else { kind.too_fast() });
        }
        table.take(id, bound.live_max, now).map_err(|refused| match refused {
            Refused::Reached => kind.too_many(),
            Refused::Full => Reason::LimitTableFull,
        })
    }

    /// Undoes what was taken for a session that does not begin; what it had from `before` stays where it was.
    fn take_back(&self, admitted: &Admitted, before: &Held) {
        for kind in Kind::ALL {
            let Some(place) = admitted.held.part(kind) else { continue };
            let cost = admitted.spent[kind as usize];
            if cost > 0 {
                self.guards.limits.refund(place, cost);
            }
            if before.part(kind) != Some(place) {
                self.guards.limits.give_back(place);
            }
        }
    }

    /// The session that was admitted begins in `slot`.
    #[inline]
    pub(crate) fn keep(&mut self, slot: u32, admission: Admission) {
        if admission.0 {
            self.held.set(slot, self.held.admitted.held);
        }
    }

    /// The session that was admitted does not begin after all.
    pub(crate) fn give_back(&self, admission: Admission) {
        if admission.0 {
            self.take_back(&self.held.admitted, &Held::default());
        }
    }

    /// The session in `slot` ends.
    #[inline]
    pub(crate) fn release_held(&mut self, slot: u32) {
        if !self.held.is_empty() {
            let held = self.held.get(slot);
            held.places().for_each(|place| self.guards.limits.give_back(place));
            self.held.set(slot, Held::default());
        }
    }

    /// The session in `slot` goes on under another policy, or another rule of it: it has a part in what that limits, even
    /// beyond the limit, and none in what the old one did.
    pub(crate) fn hold_anew(&mut self, now: Instant, slot: u32, rule: Option<RuleId>) {
        let before = self.held.get(slot);
        let limits = rule.and_then(|rule| Some((rule, self.running.policy.limits_of(rule)?)));
        if limits.is_none() && before.is_empty() {
            return;
        }
        let mut held = before.without_parts();
        if let Some((rule, limits)) = limits {
            let (key, source) = (self.running.policy.key(Some(rule)), self.source_of(slot));
            for kind in Kind::ALL {
                if Bound::of(&limits, kind, 0).is_some() {
                    let id = self.id_of(kind, key, &limits, source);
                    held.set_part(kind, self.guards.limits.take(id, u32::MAX, now).ok());
                }
            }
            held.set_metered_by(limits.meters_packets().then_some(rule));
        }
        for place in Kind::ALL.into_iter().filter_map(|kind| before.part(kind)) {
            self.guards.limits.give_back(place);
        }
        self.held.set(slot, held);
    }

    /// Whose session it is: the end that opened it, or that opened the control session which announced it.
    fn source_of(&self, slot: u32) -> IpAddr {
        let hot = self.table.hot(slot);
        let opener = if hot.mark.is_expected() {
            Asked::from_bits(self.table.bits_beside(slot)).from
        } else {
            hot.from()
        };
        self.table.key(slot).five_tuple(opener).source
    }

    /// Counts a packet of the session in `slot`, decided under the policy in force, against the packets and bits of its
    /// rule; what it cost, for [`Engine::unmeter`].
    #[inline]
    pub(crate) fn meter(&self, now: Instant, slot: u32, wire_len: u32) -> Result<Metered, Reason> {
        if self.held.is_empty() || !self.running.policy.meters_packets() {
            return Ok(Metered::default());
        }
        let held = self.held.get(slot);
        let mut metered = Metered::default();
        let limits = held.metered_by().and_then(|rule| self.running.policy.limits_of(rule));
        let Some(limits) = limits else { return Ok(metered) };
        for (kind, spent) in Kind::METERS.into_iter().zip(&mut metered.0) {
            let bound = Bound::of(&limits, kind, wire_len).zip(held.part(kind));
            let Some((Bound { cost, depth, .. }, place)) = bound else { continue };
            if !self.guards.limits.spend(place, cost, depth, now) {
                self.unmeter(metered);
                return Err(kind.too_fast());
            }
            *spent = Some((place, cost));
        }
        Ok(metered)
    }

    /// The packet does not count after all: it goes no further.
    pub(crate) fn unmeter(&self, metered: Metered) {
        for (place, cost) in metered.0.into_iter().flatten() {
            self.guards.limits.refund(place, cost);
        }
    }

    /// Takes note, while port scans are looked for, which ends of the TCP session in `slot` live: its state moved by a
    /// segment that arrived on `port` with so many hops left. Whoever forges the source of a SYN does not see the answer, and
    /// cannot acknowledge it; what other protocols answer proves nothing. A session that is over proves nothing any more.
    pub(crate) fn note_life(&mut self, now: Instant, slot: u32, port: Port, hops: u8) {
        let hot = self.table.hot(slot);
        if hot.protocol() != protocol::TCP {
            return;
        }
        let is_answer = port != hot.from() && hot.state == State::SynReceived;
        let is_established = matches!(hot.state, State::Established | State::HalfClosed);
        let is_over = matches!(hot.state, State::Closing | State::TimeWait | State::Reset);
        let mut held = self.held.get(slot);
        if is_over {
            for place in Port::ALL.into_iter().filter_map(|side| held.take_life(side)) {
                self.guards.limits.give_back(place);
            }
            self.held.set(slot, held);
        } else if (is_answer || is_established) && held.life(port).is_none() {
            let address = self.table.key(slot).five_tuple(port).source;
            let id = id_of_life(self.guards.secret, address);
            if let Ok(place) = self.guards.limits.take(id, u32::MAX, now) {
                self.guards.limits.write(place, u64::from(hops));
                held.set_life(port, place);
                self.held.set(slot, held);
            }
        }
    }

    fn id_of(&self, kind: Kind, rule: RuleKey, limits: &Limits, source: IpAddr) -> u64 {
        let address = match kind {
            Kind::Source => Some(source),
            Kind::Prefix => Some(limits.prefix_of(source)),
            Kind::Rule | Kind::Packets | Kind::Bits => None,
        };
        // Prefixes of other lengths are others.
        let bits = if kind == Kind::Prefix { limits.prefix_bits[usize::from(source.is_ipv6())] } else { 0 };
        let scope = u64::from(rule.number()) << 32 | u64::from(bits) << 8 | u64::from(kind as u8);
        id(self.guards.secret, scope, address)
    }
}

/// What a packet cost.
#[derive(Debug, Default)]
#[must_use = "a packet that is dropped gives back what it cost"]
pub(crate) struct Metered([Option<(Place, u64)>; 2]);

/// Whether sessions of `source` are known to live, and with which hop limit its packets come.
pub(crate) fn life_of(table: &LimitTable, secret: HashSecret, source: IpAddr) -> Option<u8> {
    let (live, hops) = table.look(id_of_life(secret, source))?;
    (live > 0).then(|| u8::try_from(hops).unwrap_or(0))
}

fn id_of_life(secret: HashSecret, address: IpAddr) -> u64 {
    id(secret, LIFE, Some(address))
}

fn id(secret: HashSecret, scope: u64, address: Option<IpAddr>) -> u64 {
    let (family, bits) = match address {
        None => (0, 0),
        Some(IpAddr::V4(address)) => (1 << 16, u128::from(address.to_bits())),
        Some(IpAddr::V6(address)) => (2 << 16, address.to_bits()),
    };
    secret.hash_words(bits, scope | family)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
mod tests;
