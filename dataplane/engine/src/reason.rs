//! The closed vocabulary of reasons: why a frame was forwarded or dropped, why a session ended, why the appliance
//! sent a frame of its own. Verdicts, counters, logs and `docs/reasons.md` use the same names.

use core::fmt;

/// What a reason speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A frame that leaves by the other port.
    Forward,
    /// A frame that does not.
    Drop,
    /// The end of a session.
    End,
    /// A frame that the appliance makes itself.
    Send,
}

impl Kind {
    /// `forward`, `drop`, `end`, `send`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Drop => "drop",
            Self::End => "end",
            Self::Send => "send",
        }
    }
}

macro_rules! reasons {
    ($($variant:ident, $kind:ident, $name:literal, $text:literal;)*) => {
        /// Why. One byte; the names are part of the contract and never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $text] $variant,)*
        }

        impl Reason {
            /// Every reason, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in verdicts, logs, metrics and docs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it speaks of.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            /// What it means, in a sentence for an operator.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    // Forwarded.
    SessionNew, Forward, "session-new", "The packet opened a session: a rule (or the default action) allowed it.";
    SessionExpected, Forward, "session-expected", "The packet opened a session that a helper expected: its control session had announced it.";
    Session, Forward, "session", "The packet belongs to a live session and fits its state.";
    Neighbour, Forward, "neighbour-discovery", "ARP, or an IPv6 neighbour solicitation or advertisement with hop limit 255.";
    NonIp, Forward, "non-ip-allowed", "A frame that is not IP, of an EtherType that `inspection.non_ip` lets pass.";
    LinkLocal, Forward, "link-local-allowed", "A link-local control frame that `inspection.link_local` lets pass.";
    Related, Forward, "icmp-error-related", "An ICMP or ICMPv6 error about a packet that a live session sent.";
    Stateless, Forward, "stateless-allowed", "A message between neighbours (router advertisement, redirect, MLD, IGMP and others) that a rule allowed; it opens no session.";

    // Dropped: rules.
    RuleDrop, Drop, "rule-drop", "A rule with `action: drop` matched the first packet of a session.";
    RuleReject, Drop, "rule-reject", "A rule with `action: reject` matched; the sender was told where that is allowed.";
    DefaultDrop, Drop, "default-drop", "No rule matched, and the default action is drop.";
    DefaultReject, Drop, "default-reject", "No rule matched, and the default action is reject.";
    PolicyChanged, Drop, "policy-changed", "The session was decided again after a deploy (`rematch`), and the new policy does not allow it.";

    // Dropped: link layer.
    FrameTruncated, Drop, "frame-truncated", "The frame is shorter than its Ethernet and VLAN headers.";
    VlanStackTooDeep, Drop, "vlan-stack-too-deep", "More than two VLAN tags.";
    NonIpDenied, Drop, "non-ip-denied", "A frame that is not IP, of an EtherType that `inspection.non_ip` does not let pass.";
    LlcDenied, Drop, "llc-denied", "A frame with a length in place of an EtherType (IEEE 802.2), which neither `link_local` nor `non_ip: [llc]` lets pass.";
    LinkLocalDenied, Drop, "link-local-denied", "A frame to 01-80-C2-00-00-0x that `inspection.link_local` does not let pass.";
    ArpMalformed, Drop, "arp-malformed", "An ARP packet that is truncated, or not of Ethernet and IPv4.";

    // Dropped: network layer.
    IpTruncated, Drop, "ip-truncated", "The frame ends before the IP header, or before the length that the IP header claims.";
    IpBadHeader, Drop, "ip-bad-header", "A wrong version, header length or total length in an IP header.";
    IpBadChecksum, Drop, "ip-bad-checksum", "The checksum of the IPv4 header is wrong.";
    IpBadOptions, Drop, "ip-bad-options", "IPv4 options whose lengths do not add up.";
    IpTtlZero, Drop, "ip-ttl-zero", "A TTL or hop limit of 0: no host sends that, and no router forwards it (RFC 1122 section 3.2.1.7).";
    IpSourceRoute, Drop, "ip-source-route", "An IPv4 source route option (RFC 7126 section 4.3, 4.4).";
    Ipv6ExtensionHeaders, Drop, "ipv6-extension-headers", "An IPv6 extension header chain that is truncated, out of order, repeated or too long (RFC 8200 section 4.1).";
    Ipv6RoutingHeader, Drop, "ipv6-routing-header", "An IPv6 routing header of type 0 (RFC 5095).";
    Ipv6Jumbogram, Drop, "ipv6-jumbogram", "An IPv6 jumbogram (RFC 2675): no Ethernet carries one.";
    Fragment, Drop, "fragment", "A fragment, and the policy does not let them pass (`inspection.fragments: drop`).";
    FragmentMalformed, Drop, "fragment-malformed", "A fragment of impossible offset or length, or past 65,535 bytes; and all of its datagram.";
    FragmentTiny, Drop, "fragment-tiny", "A first fragment that does not hold all headers (RFC 1858, 3128, 7112), and all of its datagram: no host sends such, an attacker who hides ports does.";
    FragmentOverlap, Drop, "fragment-overlap", "A datagram of which fragments overlap, and all of it until `timeouts.fragments` is over (RFC 5722): no host sends such.";
    FragmentDuplicate, Drop, "fragment-duplicate", "A fragment that is held already; its datagram lives (RFC 8200 section 4.5).";
    FragmentEndConflict, Drop, "fragment-end-conflict", "A datagram with two different ends or with data behind its end, and all of it until `timeouts.fragments` is over.";
    FragmentIncomplete, Drop, "fragment-incomplete", "A datagram that did not become whole within `timeouts.fragments`, or before everything ended: fragments are lost on the way here, or take another way.";
    FragmentEvicted, Drop, "fragment-evicted", "A datagram that was not whole and made room for a newer one, of the same source or because its source held most; or a fragment for which none made room, because too many had in the same millisecond. A flood, or more loss than the appliance can wait for.";
    FragmentTooMany, Drop, "fragment-too-many", "A datagram of more than 128 fragments, and all of it: the sender uses an MTU below 576.";
    NeighbourFragmented, Drop, "neighbour-fragmented", "A neighbour or router discovery message with a fragment header (RFC 6980).";
    Land, Drop, "land", "Source and destination are the same address.";
    Spoofed, Drop, "spoofed-source", "By the zones' networks the source address cannot be where the frame came from.";
    Bogon, Drop, "bogon-source", "A source address that no host may have: unspecified, loopback, multicast, broadcast, class E, v4-mapped.";

    // Dropped: transport layer.
    TransportTruncated, Drop, "transport-truncated", "The packet ends before its TCP, UDP, ICMP, SCTP, GRE, ESP or AH header does.";
    TcpBadHeader, Drop, "tcp-bad-header", "A data offset below 20 bytes or past the end of the packet.";
    TcpBadFlags, Drop, "tcp-bad-flags", "Flags that no session can send: none, SYN+FIN, SYN+RST, FIN+RST, FIN or PSH or URG without ACK.";
    TcpBadChecksum, Drop, "tcp-bad-checksum", "The checksum of a TCP segment is wrong; its receiver would drop it unread.";
    UdpBadChecksum, Drop, "udp-bad-checksum", "The checksum of a UDP datagram is wrong.";
    UdpZeroChecksum, Drop, "udp-zero-checksum", "A UDP datagram over IPv6 without a checksum (RFC 8200 section 8.1), and not to the port of a tunnel that may go without (RFC 6935).";
    IcmpBadChecksum, Drop, "icmp-bad-checksum", "The checksum of an ICMP, ICMPv6 or IGMP message is wrong (RFC 5508 REQ-3).";
    SctpBadChecksum, Drop, "sctp-bad-checksum", "The CRC32c of an SCTP packet is wrong.";
    ChecksumPartial, Drop, "checksum-partial", "A TCP segment or UDP datagram whose checksum its sender left to a device that did not finish it: turn transmit checksum offload off on the virtual interface that it comes from.";
    GroupDestination, Drop, "group-destination", "A TCP segment or SCTP packet to a multicast or broadcast address: no session has that (RFC 1122 section 4.2.3.10).";
    PortZero, Drop, "port-zero", "Source or destination port 0.";
    UdpBadLength, Drop, "udp-bad-length", "The UDP length is below 8 or past the end of the packet.";
    SctpMalformed, Drop, "sctp-malformed", "An SCTP packet without a chunk, with a chunk of impossible length, or with chunks that cannot stand together (RFC 9260 sections 3.2 and 6.10).";
    SctpBadTag, Drop, "sctp-bad-tag", "An SCTP packet without the verification tag that its receiver chose (RFC 9260 section 8.5).";
    GreMalformed, Drop, "gre-malformed", "A GRE header of unknown version or with a source route.";
    AhMalformed, Drop, "ah-malformed", "An AH header whose length is impossible.";

    // Dropped: state.
    TcpNoSession, Drop, "tcp-no-session", "A TCP packet other than a SYN that belongs to no session.";
    TcpState, Drop, "tcp-state", "A TCP packet that does not fit the state of its session.";
    TcpHandshake, Drop, "tcp-handshake", "Data or an acknowledgement before the handshake got that far.";
    TcpOutOfWindow, Drop, "tcp-out-of-window", "A TCP packet outside the windows of its session.";
    TcpHijacked, Drop, "tcp-hijacked", "A TCP packet that gave its session away as hijacked, and `protections.hijack: end` ended that; with `log` this stands in the log alone.";
    TcpClosed, Drop, "tcp-closed", "A TCP packet other than a new SYN after the session was closed or reset.";
    SctpNoSession, Drop, "sctp-no-session", "An SCTP packet other than an INIT that belongs to no association.";
    SctpState, Drop, "sctp-state", "An SCTP packet that does not fit the state of its association.";
    SessionExpired, Drop, "session-expired", "A packet of a session that the appliance cut before: for idling, for want of room, by order or by policy. The record tells when and why.";
    IcmpNoSession, Drop, "icmp-no-session", "An ICMP or ICMPv6 reply that nobody asked for.";
    IcmpError, Drop, "icmp-error-unrelated", "An ICMP or ICMPv6 error that quotes no packet which a live session may have sent (RFC 5927).";
    IcmpBadMtu, Drop, "icmp-bad-mtu", "A fragmentation-needed or packet-too-big about a live session that tells an MTU below 68 or 1,280 bytes, which no link has (RFC 1191 section 3, RFC 8201 section 4).";
    IcmpType, Drop, "icmp-type-denied", "An ICMP or ICMPv6 message that is no error, query or message between neighbours that is known.";
    NeighbourHopLimit, Drop, "neighbour-hop-limit", "A neighbour discovery message whose hop limit is not 255: it was not sent on this link (RFC 4861 section 7.1).";

    // Dropped: answered by the appliance itself (`syn_proxy`).
    SynCookie, Drop, "syn-cookie-asked", "A SYN that was answered with a SYN cookie: whoever sent it has to prove that the address is its own.";
    SynProven, Drop, "syn-cookie-proven", "A segment that acknowledges a SYN cookie and so opened a session; the appliance now shakes hands with the server.";
    SynProxied, Drop, "syn-proxy-handshake", "A segment of a handshake that the appliance makes with the server on behalf of the client, who has proven itself.";
    SynChallenged, Drop, "syn-challenged", "The first SYN of a source that is not known: it was answered with a SYN/ACK that a real stack refuses (`syn_proxy: verify`).";
    SynVerified, Drop, "syn-verified", "The reset by which a source has shown that it is real: its SYN, sent again, passes (`syn_proxy: verify`).";

    // Dropped: limits of the appliance.
    LimitSourceSessions, Drop, "limit-source-sessions", "The rule allows the packet, but its source has as many live sessions of the rule as one may (`limits.sessions_per_source`).";
    LimitSourceRate, Drop, "limit-source-rate", "The rule allows the packet, but its source opens sessions of the rule faster than one may (`limits.new_sessions_per_second_per_source`).";
    LimitPrefixSessions, Drop, "limit-prefix-sessions", "The rule allows the packet, but the sources of its prefix have as many live sessions of the rule as they may (`limits.sessions_per_prefix`).";
    LimitPrefixRate, Drop, "limit-prefix-rate", "The rule allows the packet, but the sources of its prefix open sessions of the rule faster than they may (`limits.new_sessions_per_second_per_prefix`).";
    LimitRuleSessions, Drop, "limit-rule-sessions", "The rule allows the packet, but has as many live sessions as it may (`limits.sessions`).";
    LimitRuleRate, Drop, "limit-rule-rate", "The rule allows the packet, but its sessions begin faster than they may (`limits.new_sessions_per_second`).";
    LimitRulePackets, Drop, "limit-rule-packets", "The sessions of the rule send more packets than they may (`limits.packets_per_second`).";
    LimitRuleBits, Drop, "limit-rule-bits", "The sessions of the rule send more bits than they may (`limits.bits_per_second`).";
    LimitTableFull, Drop, "limit-table-full", "The rule has limits, and there is no room to count one more source, prefix or rule.";
    SourceBlocked, Drop, "source-blocked", "The packet belongs to no live session, and its source is on the block list: for a port scan, or by order.";
    SynProxyFull, Drop, "syn-proxy-full", "A segment that acknowledges a SYN cookie, while the appliance has as many handshakes with servers under way as it can.";
    TableFull, Drop, "session-table-full", "The session table is full, and no session that is not established could be evicted for the newcomer.";
    BudgetFull, Drop, "session-budget-full", "Established sessions hold all that they may (`sessions.established` in the appliance file): no session begins, so that handshakes under way get done.";
    PairsFull, Drop, "pairs-full", "An ESP, AH or PPTP packet, and no room to remember which numbers belong together for one more pair of hosts.";
    HandoffFull, Drop, "handoff-full", "The ring to the worker that owns the session was full.";
    TransmitFull, Drop, "transmit-full", "The transmit queue of the port was full.";
    TooLong, Drop, "frame-too-long", "The frame is longer than the port it would leave by can send.";

    // Ends of sessions.
    EndIdle, End, "idle-timeout", "No packet for as long as the timeout of its state.";
    EndHandshake, End, "handshake-timeout", "The TCP or SCTP handshake did not get finished in time.";
    EndUnanswered, End, "probe-unanswered", "Idle for its timeout, and not both ends answered when asked (`on_expiry: probe`).";
    EndClosed, End, "tcp-fin", "Both ends closed with FIN, and the time to wait for stragglers is over.";
    EndReset, End, "tcp-reset", "A reset ended it.";
    EndShutDown, End, "sctp-shutdown", "Both ends shut the SCTP association down, or one of them did and the other fell silent.";
    EndAborted, End, "sctp-abort", "An ABORT with the right verification tag ended the SCTP association.";
    EndReopened, End, "reopened", "A new SYN or INIT took its five-tuple after it was closed.";
    EndEvicted, End, "evicted-half-open", "It was half-open, or refused by a reset, or nobody had answered its packets, and it made room in a full table.";
    EndPressed, End, "adaptive-timeout", "It was half-open, or nobody had answered its packets, and it idled for longer than its timeout as shortened because the table was filling.";
    EndHijacked, End, "hijack-ended", "Its ends had lost count of each other, as when somebody speaks in the name of one (`protections.hijack: end`).";
    EndPolicy, End, "policy-ended", "A deployed policy does not allow it any more (`rematch`).";
    EndOperator, End, "operator-ended", "An operator ended it.";
    EndShutdown, End, "shutdown", "The appliance stopped.";

    // Frames of the appliance's own.
    SendReset, Send, "reject-tcp-reset", "A TCP reset that tells the sender of a rejected packet.";
    SendUnreachable, Send, "reject-icmp-prohibited", "ICMP 3/13 or ICMPv6 1/1, administratively prohibited, to the sender of a rejected packet.";
    SendExpiryReset, Send, "expiry-reset", "A TCP reset that tells an end that its idle session was cut (`on_expiry: reset`, or `probe` without an answer).";
    SendHijackReset, Send, "hijack-reset", "A TCP reset that tells an end that its session was hijacked and is over (`protections.hijack: end`).";
    SendCookie, Send, "syn-cookie", "A SYN/ACK with a SYN cookie, in place of the server's (`syn_proxy`); again where nobody acknowledged it.";
    SendProxySyn, Send, "syn-proxy-syn", "A SYN to the server on behalf of a client that has proven itself.";
    SendProxyAck, Send, "syn-proxy-ack", "An acknowledgement that ends the handshake with the server, or that opens the window of the client.";
    SendProxyReset, Send, "syn-proxy-reset", "A TCP reset to an end of a handshake that came to nothing.";
    SendChallenge, Send, "syn-challenge", "A SYN/ACK that acknowledges a wrong number, which a real stack answers with a reset (`syn_proxy: verify`).";
    SendProbe, Send, "expiry-probe", "A TCP keepalive that asks an end of an idle session whether it lives (`on_expiry: probe`).";
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its number, an index into arrays of [`Reason::COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// Whether a frame with this reason is dropped only because the appliance answers it itself: nobody was refused.
    pub const fn is_answered(self) -> bool {
        matches!(
            self,
            Self::SynCookie | Self::SynProven | Self::SynProxied | Self::SynChallenged | Self::SynVerified
        )
    }

    /// Whether a frame with this reason is dropped.
    pub const fn is_drop(self) -> bool {
        matches!(self.kind(), Kind::Drop)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_words_and_numbers_match() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::COUNT);
        for (number, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), number);
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            assert!(reason.text().ends_with('.'));
        }
    }
}
