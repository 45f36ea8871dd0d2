//! What happened, as the flow log writes it: one JSON object a line.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use sekisho_api as api;
use sekisho_engine::policy::{Policy, RuleKey};
use sekisho_engine::port::Port;
use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::SessionView;
use sekisho_engine::time::Duration;
use sekisho_engine::{Event, PacketRecord};
use sekisho_worker::query::zones_of;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::run::convert;
use crate::run::names::Names;

/// A line of the flow log, before it is text: names are resolved, the rest is as the engine left it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) time: Timestamp,
    pub(crate) what: What,
    pub(crate) rule: Option<Arc<str>>,
    /// Of the source and of the destination, or of the two ends of a session, the opener's first.
    pub(crate) zones: [Option<Arc<str>>; 2],
    /// Of a late packet: the rule of the session that had ended.
    pub(crate) ended_rule: Option<Arc<str>>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    SessionStart(SessionView),
    SessionEnd(SessionView, Reason),
    Drop(PacketRecord),
    Suspect(PacketRecord),
    /// A source was put on the block list, for so long.
    Block(IpAddr, BlockCause, Duration),
}

impl Record {
    /// The record of `event`, which happened at `time` under `policy`.
    pub(crate) fn of(event: &Event, time: Timestamp, policy: &Policy, names: &Names) -> Self {
        let what = match *event {
            Event::SessionStart { session, .. } => What::SessionStart(session),
            Event::SessionEnd { session, reason, .. } => What::SessionEnd(session, reason),
            Event::Drop { packet, .. } => What::Drop(packet),
            Event::Suspect { packet } => What::Suspect(packet),
            Event::Block { source, cause, span, .. } => What::Block(source, cause, span),
        };
        let ended_rule = match &what {
            What::Drop(packet) | What::Suspect(packet) => {
                packet.ended.and_then(|ended| names.rule(ended.rule))
            }
            _ => None,
        };
        let (rule, zones) = match &what {
            What::SessionStart(session) | What::SessionEnd(session, _) => {
                (session.rule, zones_of(session, policy))
            }
            What::Drop(packet) | What::Suspect(packet) => (packet.rule, zones_of_packet(packet, policy)),
            What::Block(..) => (RuleKey::NONE, [None, None]),
        };
        Self { time, what, rule: names.rule(rule), zones: zones.map(|zone| names.zone(zone)), ended_rule }
    }
}

fn zones_of_packet(packet: &PacketRecord, policy: &Policy) -> [Option<sekisho_engine::policy::ZoneId>; 2] {
    let Some(tuple) = &packet.five_tuple else { return [None, None] };
    let vlan = packet.vlan.outer();
    [
        policy.zones.place(packet.port, vlan, tuple.source).zone(),
        policy.zones.place(packet.port.other(), vlan, tuple.destination).zone(),
    ]
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("time", &format_args!("{:.6}", self.time))?;
        match &self.what {
            What::SessionStart(session) => {
                line.serialize_entry("event", "session-start")?;
                self.session::<S>(&mut line, session)?;
            }
            What::SessionEnd(session, reason) => {
                line.serialize_entry("event", "session-end")?;
                line.serialize_entry("reason", reason.name())?;
                self.session::<S>(&mut line, session)?;
                line.serialize_entry("state", session.state.name())?;
                line.serialize_entry("duration_seconds", &convert::seconds(session.age))?;
                line.serialize_entry("idle_seconds", &convert::seconds(session.idle))?;
                for port in Port::ALL {
                    let packets = session.packets[port.index()];
                    let bytes = session.bytes[port.index()];
                    line.serialize_entry(FROM[port.index()], &api::Packets { packets, bytes })?;
                }
            }
            What::Drop(packet) => {
                line.serialize_entry("event", "drop")?;
                self.packet::<S>(&mut line, packet)?;
            }
            What::Suspect(packet) => {
                line.serialize_entry("event", "suspect")?;
                self.packet::<S>(&mut line, packet)?;
            }
            What::Block(source, cause, span) => {
                line.serialize_entry("event", "block")?;
                line.serialize_entry("reason", cause.name())?;
                line.serialize_entry("source", source)?;
                line.serialize_entry("for_seconds", &convert::seconds(*span))?;
            }
        }
        line.end()
    }
}

/// Names of the two directions, by port of arrival.
const FROM: [&str; 2] = ["from_lan", "from_wan"];

impl Record {
    fn session<S: Serializer>(
        &self,
        line: &mut S::SerializeMap,
        session: &SessionView,
    ) -> Result<(), S::Error> {
        line.serialize_entry("session", &convert::session_id(session.id))?;
        line.serialize_entry("rule", &self.rule.as_deref())?;
        if let Some(helper) = session.helper {
            line.serialize_entry("helper", helper.name())?;
        }
        if let Some(parent) = session.parent {
            line.serialize_entry("parent", &convert::session_id(parent))?;
        }
        line.serialize_entry("from", session.from.name())?;
        self.zones_and_vlans::<S>(line, &convert::vlans(session.vlan))?;
        tuple::<S>(line, &convert::five_tuple(&session.five_tuple))
    }

    fn packet<S: Serializer>(
        &self,
        line: &mut S::SerializeMap,
        packet: &PacketRecord,
    ) -> Result<(), S::Error> {
        line.serialize_entry("reason", packet.reason.name())?;
        line.serialize_entry("rule", &self.rule.as_deref())?;
        line.serialize_entry("from", packet.port.name())?;
        self.zones_and_vlans::<S>(line, &convert::vlans(packet.vlan))?;
        if let Some(session) = packet.session {
            line.serialize_entry("session", &convert::session_id(session))?;
        }
        line.serialize_entry("ethertype", &packet.ethertype)?;
        if let Some(five_tuple) = &packet.five_tuple {
            tuple::<S>(line, &convert::five_tuple(five_tuple))?;
        }
        if let Some(flags) = convert::tcp_flags_text(packet.tcp_flags) {
            line.serialize_entry("tcp_flags", &flags)?;
        }
        if let Some(ended) = &packet.ended {
            line.serialize_entry("ended", &convert::ended(ended, self.ended_rule.as_deref()))?;
        }
        line.serialize_entry("bytes", &packet.wire_len)
    }

    fn zones_and_vlans<S: Serializer>(
        &self,
        line: &mut S::SerializeMap,
        vlans: &[u16],
    ) -> Result<(), S::Error> {
        line.serialize_entry("source_zone", &self.zones[0].as_deref())?;
        line.serialize_entry("destination_zone", &self.zones[1].as_deref())?;
        line.serialize_entry("vlans", vlans)
    }
}

fn tuple<S: Serializer>(line: &mut S::SerializeMap, tuple: &api::FiveTuple) -> Result<(), S::Error> {
    line.serialize_entry("protocol", &tuple.protocol)?;
    line.serialize_entry("source", &tuple.source)?;
    line.serialize_entry("destination", &tuple.destination)?;
    let numbers = [
        ("source_port", tuple.source_port),
        ("destination_port", tuple.destination_port),
        ("icmp_type", tuple.icmp_type.map(u16::from)),
        ("icmp_id", tuple.icmp_id),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            line.serialize_entry(name, &number)?;
        }
    }
    Ok(())
}
