//! The policy as workers run it: what the rules are ([`ruleset`]), how a packet finds its rule quickly
//! ([`classify`]) and slowly but surely ([`linear`], the oracle of the tests and the voice of `explain`).

pub mod classify;
mod limits;
pub mod linear;
mod names;
pub mod ruleset;
mod terms;
pub mod zones;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::flow::{FlowKey, PackedKey};
use crate::packet::{Addresses, Facts, VlanStack, protocol};
use crate::port::Port;
use crate::protect::port_scan::Detector;

pub use crate::helper::Helper;
pub use classify::Classifier;
pub use limits::{Limits, Quota};
pub use names::{RuleKey, RuleNames};
pub use ruleset::{
    Action, AddressSet, AddressSetId, FragmentMode, HijackMode, Inspection, LinkLocal, LogLevel,
    MidstreamMode, OnDeploy, OnExpiry, PortScan, Protections, Protocols, Query, Rule, RuleId, Ruleset,
    SequenceNumbers, ServiceMatch, SpoofingMode, SynFlood, SynProxyMode, TcpWindowMode, Timeouts, TimeoutsId,
    Zone, ZoneId,
};

/// A whole policy, immutable, ready for the workers.
#[derive(Debug)]
pub struct Policy {
    /// Counts up by one with each deploy; sessions remember the generation they were decided under.
    pub generation: u32,
    /// What was compiled.
    pub ruleset: Ruleset,
    /// The quick way from a packet to its rule.
    pub classifier: Classifier,
    /// The quick way from a frame's port, VLAN and address to its zone.
    pub zones: zones::ZoneTable,
    /// Keys of the rules, in rule order: the same for the same name in every generation.
    keys: Vec<RuleKey>,
    by_key: hashbrown::HashMap<RuleKey, RuleId>,
    /// Some zone's sessions are picked up in midstream; asked for every segment that no session has.
    picks_up_somewhere: bool,
    /// So many generations back sessions have had the terms that this one gives them.
    alike: u32,
    /// Some rule has sources prove that they are real.
    proves_sources: bool,
    /// Some rule does, or replaces sequence numbers.
    alters_tcp: bool,
    /// Some rule has limits; some rule meters packets.
    has_limits: bool,
    meters_packets: bool,
    /// Who is suspected of scanning; with the policies before it that suspected by the same figures.
    detector: Option<Arc<Detector>>,
}

impl Policy {
    /// Compiles `ruleset`; `names` remembers the rules' keys from one deploy to the next. This allocates and may
    /// take milliseconds: it belongs on the control thread.
    pub fn compile(generation: u32, ruleset: Ruleset, names: &mut RuleNames) -> Self {
        let classifier = Classifier::build(&ruleset);
        let zones = zones::ZoneTable::build(&ruleset);
        let keys: Vec<_> = ruleset.rules.iter().map(|rule| names.key(&rule.name)).collect();
        let by_key = keys.iter().copied().zip((0..).map(RuleId)).collect();
        let modes = ruleset.zones.iter().filter_map(|zone| zone.midstream);
        let picks_up_somewhere =
            modes.chain([ruleset.inspection.midstream]).any(|mode| mode == MidstreamMode::Pickup);
        let alters_tcp = |rule: &Rule| {
            rule.syn_proxy != SynProxyMode::Off || rule.sequence_numbers != SequenceNumbers::Keep
        };
        let alters_tcp = ruleset.rules.iter().any(alters_tcp);
        let proves_sources = ruleset.rules.iter().any(|rule| rule.syn_proxy != SynProxyMode::Off);
        let limits = || ruleset.rules.iter().filter_map(|rule| rule.limits.as_deref());
        let (has_limits, meters_packets) = (limits().next().is_some(), limits().any(Limits::meters_packets));
        let detector = ruleset.protections.port_scan.as_ref().map(|scan| Arc::new(Detector::new(scan)));
        Self {
            generation,
            ruleset,
            classifier,
            zones,
            keys,
            by_key,
            picks_up_somewhere,
            proves_sources,
            alters_tcp,
            alike: 0,
            has_limits,
            meters_packets,
            detector,
        }
    }

    /// The rule of that number.
    pub fn rule(&self, rule: RuleId) -> &Rule {
        &self.ruleset.rules[rule.0 as usize]
    }

    /// The key of a rule, or [`RuleKey::NONE`] for the default action.
    pub fn key(&self, rule: Option<RuleId>) -> RuleKey {
        rule.map_or(RuleKey::NONE, |rule| self.keys[rule.0 as usize])
    }

    /// The rule that has this key, if this policy still has it.
    pub fn by_key(&self, key: RuleKey) -> Option<RuleId> {
        self.by_key.get(&key).copied()
    }

    /// The limits of a rule, if it has any.
    #[inline]
    pub(crate) fn limits_of(&self, rule: RuleId) -> Option<Limits> {
        if self.has_limits { self.rule(rule).limits.as_deref().copied() } else { None }
    }

    /// Whether any rule has limits.
    #[inline]
    pub(crate) const fn has_limits(&self) -> bool {
        self.has_limits
    }

    /// Whether every packet of a session of `rule` is counted.
    pub(crate) fn is_metered(&self, rule: Option<RuleId>) -> bool {
        let limits = rule.filter(|_| self.meters_packets).and_then(|rule| self.rule(rule).limits.as_deref());
        limits.is_some_and(Limits::meters_packets)
    }

    /// Whether that is so of any rule.
    #[inline]
    pub(crate) const fn meters_packets(&self) -> bool {
        self.meters_packets
    }

    /// The evidence of port scans, if they are looked for.
    #[inline]
    pub(crate) fn detector(&self) -> Option<&Detector> {
        self.detector.as_deref()
    }

    /// Whether `source` is never blocked (`port_scan.allow`).
    pub fn is_never_blocked(&self, source: IpAddr) -> bool {
        let allow = self.ruleset.protections.port_scan.as_ref().and_then(|scan| scan.allow);
        allow.is_some_and(|set| self.ruleset.address_sets[set.0 as usize].contains(source))
    }

    /// The timeouts of a session that this rule allowed.
    pub fn timeouts_of(&self, rule: Option<RuleId>) -> TimeoutsId {
        rule.map_or_else(TimeoutsId::default, |rule| self.rule(rule).timeouts)
    }

    /// The helper that this rule's services give a session with that first packet.
    pub(crate) fn helper_of(&self, rule: Option<RuleId>, first: &Facts) -> Option<Helper> {
        let helpers = &self.rule(rule?).helpers;
        if helpers.is_empty() {
            return None;
        }
        find_helper(helpers, first.addresses.is_v4(), first.protocol, first.selector())
    }

    /// The helper that this rule's services give a session that was asked for so.
    pub fn helper_for(&self, rule: Option<RuleId>, query: &Query) -> Option<Helper> {
        find_helper(&self.rule(rule?).helpers, query.source.is_ipv4(), query.protocol, query.selector)
    }

    /// What the rules are asked about a first packet that arrives on `from` in the outer VLAN `vlan` (0: untagged): with
    /// the zones that its addresses lie in.
    pub fn query(&self, from: Port, vlan: u16, ends: [IpAddr; 2], protocol: u8, selector: u16) -> Query {
        let [source, destination] = ends;
        self.query_between(from, vlan, source, destination, protocol, selector)
    }

    #[inline]
    fn query_between(
        &self,
        from: Port,
        vlan: u16,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        selector: u16,
    ) -> Query {
        Query {
            from: self.zones.place(from, vlan, source).zone(),
            to: self.zones.place(from.other(), vlan, destination).zone(),
            source,
            destination,
            protocol,
            selector,
        }
    }

    /// What the rules are asked about a first packet with these facts that arrives on `from`; `None` where it has no
    /// addresses.
    pub(crate) fn query_of(&self, from: Port, facts: &Facts) -> Option<Query> {
        self.query_with(from, facts.vlan, &facts.addresses, facts.protocol, facts.selector())
    }

    /// The same about a TCP segment or UDP datagram of this key, put into `query` field by field: a copy of what was just
    /// written in parts would wait for all of them.
    #[inline(always)]
    pub(crate) fn ask_of_plain(&self, from: Port, key: &PackedKey, query: &mut Query) {
        match key.addresses(from) {
            Addresses::None => {}
            Addresses::V4 { source, destination } => {
                query.source = IpAddr::V4(Ipv4Addr::from_bits(source));
                query.destination = IpAddr::V4(Ipv4Addr::from_bits(destination));
            }
            Addresses::V6 { source, destination } => {
                query.source = IpAddr::V6(Ipv6Addr::from_bits(source));
                query.destination = IpAddr::V6(Ipv6Addr::from_bits(destination));
            }
        }
        let vlan = VlanStack::from_bits(key.tag).outer();
        query.from = self.zones.place(from, vlan, query.source).zone();
        query.to = self.zones.place(from.other(), vlan, query.destination).zone();
        query.protocol = key.protocol();
        query.selector = key.destination_port(from);
    }

    #[inline(always)]
    fn query_with(
        &self,
        from: Port,
        vlan: VlanStack,
        addresses: &Addresses,
        protocol: u8,
        selector: u16,
    ) -> Option<Query> {
        let vlan = vlan.outer();
        // Each in its own words: put together in one variable they would be read wider than they were written.
        match *addresses {
            Addresses::None => None,
            Addresses::V4 { source, destination } => Some(self.query_between(
                from,
                vlan,
                Ipv4Addr::from_bits(source).into(),
                Ipv4Addr::from_bits(destination).into(),
                protocol,
                selector,
            )),
            Addresses::V6 { source, destination } => Some(self.query_between(
                from,
                vlan,
                Ipv6Addr::from_bits(source).into(),
                Ipv6Addr::from_bits(destination).into(),
                protocol,
                selector,
            )),
        }
    }

    /// What the rules are asked about a session with this key that the end behind `from` opens.
    pub(crate) fn query_from(&self, key: &FlowKey, from: Port) -> Query {
        let tuple = key.five_tuple(from);
        let is_icmp = matches!(
            (tuple.protocol, tuple.source.is_ipv4()),
            (protocol::ICMP, true) | (protocol::ICMPV6, false)
        );
        let selector = if is_icmp { tuple.destination_port << 8 } else { tuple.destination_port };
        let ends = [tuple.source, tuple.destination];
        self.query(from, key.vlan.outer(), ends, tuple.protocol, selector)
    }

    /// What the rules say to that, and which of them; `None`: none of them, but the default action.
    pub(crate) fn decide(&self, query: &Query) -> (Action, Option<RuleId>) {
        let rule = self.classifier.classify(query);
        (self.action_of(rule), rule)
    }

    /// What a rule does, or, without one, the default action.
    pub(crate) fn action_of(&self, rule: Option<RuleId>) -> Action {
        rule.map_or(self.ruleset.default_action, |rule| self.rule(rule).action)
    }

    /// How strictly the windows of a TCP session are held whose opener is in `zone`.
    pub fn tcp_window(&self, zone: Option<ZoneId>) -> TcpWindowMode {
        self.zone(zone).and_then(|zone| zone.tcp_window).unwrap_or(self.ruleset.inspection.tcp_window)
    }

    /// What becomes of a TCP packet from `zone` of a session that nobody saw begin.
    pub fn midstream(&self, zone: Option<ZoneId>) -> MidstreamMode {
        self.zone(zone).and_then(|zone| zone.midstream).unwrap_or(self.ruleset.inspection.midstream)
    }

    /// Whether any such packet opens a session.
    pub(crate) const fn picks_up_somewhere(&self) -> bool {
        self.picks_up_somewhere
    }

    /// Whether any rule has sources prove that they are real (`syn_proxy`).
    #[inline]
    pub(crate) const fn proves_sources(&self) -> bool {
        self.proves_sources
    }

    /// Whether any rule does, or replaces sequence numbers.
    #[inline]
    pub(crate) const fn alters_tcp(&self) -> bool {
        self.alters_tcp
    }

    /// Whether the initial sequence numbers of this rule's sessions are replaced.
    pub(crate) fn sequence_numbers(&self, rule: Option<RuleId>) -> SequenceNumbers {
        rule.map_or(SequenceNumbers::Keep, |rule| self.rule(rule).sequence_numbers)
    }

    /// How sources of this rule's connections prove that they are real.
    pub(crate) fn syn_proxy(&self, rule: Option<RuleId>) -> SynProxyMode {
        rule.map_or(SynProxyMode::Off, |rule| self.rule(rule).syn_proxy)
    }

    fn zone(&self, zone: Option<ZoneId>) -> Option<&Zone> {
        self.ruleset.zones.get(usize::from(zone?.0))
    }

    /// What becomes of sessions of this rule (or of the default action) on a deploy.
    pub fn on_deploy_of(&self, rule: Option<RuleId>) -> OnDeploy {
        let own = rule.and_then(|rule| self.rule(rule).sessions_on_deploy);
        own.unwrap_or(self.ruleset.inspection.sessions_on_deploy)
    }

    /// The timeouts of that number.
    pub fn timeouts(&self, id: TimeoutsId) -> &Timeouts {
        &self.ruleset.timeouts[usize::from(id.0)]
    }

    /// Whether drops that `rule` (or no rule) decided are logged.
    pub fn logs_drops(&self, rule: Option<RuleId>) -> bool {
        self.logs(rule, matches!(self.ruleset.default_log, LogLevel::Drops | LogLevel::All))
    }

    /// Whether start and end of sessions that `rule` (or no rule) allowed are logged.
    pub fn logs_sessions(&self, rule: Option<RuleId>) -> bool {
        self.logs(rule, matches!(self.ruleset.default_log, LogLevel::Sessions | LogLevel::All))
    }

    fn logs(&self, rule: Option<RuleId>, by_default: bool) -> bool {
        rule.and_then(|rule| self.rule(rule).log).unwrap_or(by_default)
    }
}

/// The first of `helpers` whose service has such a packet, and which can follow it.
fn find_helper(
    helpers: &[(Helper, Vec<ServiceMatch>)],
    is_v4: bool,
    protocol: u8,
    selector: u16,
) -> Option<Helper> {
    let matches = |service: &ServiceMatch| service.matches(is_v4, protocol, selector);
    let found = helpers.iter().find(|(_, services)| services.iter().any(matches));
    found.map(|(helper, _)| *helper).filter(|helper| helper.speaks(protocol))
}
