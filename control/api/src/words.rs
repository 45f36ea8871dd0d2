//! Words of requests and answers, each one type with one way of writing it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A word that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct WordError {
    text: String,
    wanted: &'static str,
}

impl WordError {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.to_owned(), wanted }
    }
}

/// A type that travels as the string it displays as.
macro_rules! travels_as_text {
    ($type:ident, $description:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let object = ObjectBuilder::new().schema_type(Type::String);
                object.description(Some($description)).examples([$example]).into()
            }
        }

        impl ToSchema for $type {}
    };
}

/// An address prefix: `192.0.2.0/24`, or an address by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The network address, host bits zero.
    pub address: IpAddr,
    /// Leading bits that count, at most 32 or 128.
    pub len: u8,
}

impl Prefix {
    const WANTED: &str = "an address or a prefix such as 192.0.2.0/24";

    /// The longest prefix of the address's family.
    const fn len_max(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    fn has_host_bits(self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.to_bits().checked_shl(self.len.into()).unwrap_or(0) != 0,
            IpAddr::V6(address) => address.to_bits().checked_shl(self.len.into()).unwrap_or(0) != 0,
        }
    }
}

impl FromStr for Prefix {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError::new(text, Self::WANTED);
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let len = len.map_or(Ok(Self::len_max(address)), str::parse).map_err(|_| wrong())?;
        let prefix = Self { address, len };
        if len > Self::len_max(address) {
            return Err(wrong());
        }
        if prefix.has_host_bits() {
            return Err(WordError::new(text, "a prefix: it has bits set to the right of its length"));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len == Self::len_max(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.len),
        }
    }
}

travels_as_text!(Prefix, "An address, or a prefix such as 192.0.2.0/24 or 2001:db8::/32.", "192.0.2.0/24");

/// An IP protocol, by name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    const NAMES: &[(&str, u8)] = &[
        ("icmp", 1),
        ("igmp", 2),
        ("ipip", 4),
        ("tcp", 6),
        ("egp", 8),
        ("udp", 17),
        ("dccp", 33),
        ("6in4", 41),
        ("rsvp", 46),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("eigrp", 88),
        ("ospf", 89),
        ("etherip", 97),
        ("pim", 103),
        ("ipcomp", 108),
        ("vrrp", 112),
        ("l2tp", 115),
        ("isis", 124),
        ("sctp", 132),
        ("udplite", 136),
        ("mpls-in-ip", 137),
    ];
}

impl FromStr for Protocol {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
        let number = named.or_else(|| text.parse().ok());
        number.map(Self).ok_or_else(|| WordError::new(text, "a protocol such as tcp, or its number"))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

travels_as_text!(Protocol, "An IP protocol by name (tcp, udp, icmp, icmpv6, ...), or its number.", "tcp");

/// The name of a session, 16 hexadecimal digits; no other session of the process ever has it while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

impl FromStr for SessionId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let fits = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| fits);
        number.map(Self).ok_or_else(|| WordError::new(text, "the name of a session: 16 hexadecimal digits"))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

travels_as_text!(SessionId, "The name of a session: 16 hexadecimal digits.", "000000030000002a");

/// A rule, or `-` for the default action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleName {
    /// The default action: no rule decided.
    Default,
    /// The rule of that name.
    Rule(String),
}

impl FromStr for RuleName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "" => Err(WordError::new(text, "the name of a rule, or - for the default action")),
            "-" => Ok(Self::Default),
            name => Ok(Self::Rule(name.to_owned())),
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("-"),
            Self::Rule(name) => f.write_str(name),
        }
    }
}

travels_as_text!(RuleName, "The name of a rule, or - for the default action.", "browse");

/// One of a few words.
macro_rules! word_list {
    ($(#[$doc:meta])* $type:ident, $wanted:literal, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it is written.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $type {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let found = Self::ALL.iter().copied().find(|known| known.word() == text);
                found.ok_or_else(|| WordError::new(text, $wanted))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

word_list! {
    /// A port of the appliance.
    PortName, "lan or wan", {
        /// The protected side.
        Lan = "lan",
        /// The world.
        Wan = "wan",
    }
}

word_list! {
    /// Where a session stands.
    SessionState,
    "a state: syn-sent, syn-received, established, half-closed, closing, time-wait, reset, unreplied, replied, stream, cookie-wait, cookie-echoed, shutdown-sent, shutdown-ack-sent or closed",
    {
        /// TCP: a SYN without an answer.
        SynSent = "syn-sent",
        /// TCP: SYNs from both sides, not both acknowledged.
        SynReceived = "syn-received",
        /// TCP and SCTP: the handshake is done.
        Established = "established",
        /// TCP: one side has sent its FIN.
        HalfClosed = "half-closed",
        /// TCP: both sides have sent their FIN, not both are acknowledged.
        Closing = "closing",
        /// TCP: both FINs are acknowledged.
        TimeWait = "time-wait",
        /// TCP: a reset ended it; stragglers are still known.
        Reset = "reset",
        /// Others: no answer yet.
        Unreplied = "unreplied",
        /// Others: answered.
        Replied = "replied",
        /// UDP: traffic both ways for longer than 2 s.
        Stream = "stream",
        /// SCTP: an INIT, perhaps its INIT ACK.
        CookieWait = "cookie-wait",
        /// SCTP: the cookie was sent back, and is not acknowledged.
        CookieEchoed = "cookie-echoed",
        /// SCTP: one side has sent its SHUTDOWN.
        ShutdownSent = "shutdown-sent",
        /// SCTP: the other side has acknowledged that.
        ShutdownAckSent = "shutdown-ack-sent",
        /// SCTP: shut down or aborted; stragglers are still known.
        Closed = "closed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_are_read_as_they_are_written() {
        for text in ["192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "::", "0.0.0.0/0", "::/0"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1/32".parse::<Prefix>().unwrap().to_string(), "192.0.2.1");
        for wrong in ["", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "x", "2001:db8::1/64", "1.2.3"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_told_from_each_other() {
        assert_eq!("tcp".parse(), Ok(Protocol(6)));
        assert_eq!("253".parse(), Ok(Protocol(253)));
        assert!("256".parse::<Protocol>().is_err());
        assert_eq!("-".parse(), Ok(RuleName::Default));
        assert_eq!("time-wait".parse(), Ok(SessionState::TimeWait));
        assert!("open".parse::<SessionState>().unwrap_err().to_string().contains("established"));
        assert!("+1".parse::<SessionId>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, protocol: u8) {
            prop_assert_eq!(SessionId(number).to_string().parse(), Ok(SessionId(number)));
            prop_assert_eq!(Protocol(protocol).to_string().parse(), Ok(Protocol(protocol)));
        }
    }
}
