//! EtherTypes by name.

use crate::diagnostic::Fault;

/// Names of EtherTypes that a policy may let pass unseen.
pub(crate) const NAMES: &[(&str, u16)] = &[
    ("arp", 0x0806),
    ("rarp", 0x8035),
    ("wol", 0x0842),
    ("aarp", 0x80f3),
    ("appletalk", 0x809b),
    ("ipx", 0x8137),
    ("mac-control", 0x8808),
    ("slow-protocols", 0x8809),
    ("mpls", 0x8847),
    ("mpls-multicast", 0x8848),
    ("pppoe-discovery", 0x8863),
    ("pppoe-session", 0x8864),
    ("homeplug", 0x88e1),
    ("eapol", 0x888e),
    ("profinet", 0x8892),
    ("aoe", 0x88a2),
    ("ethercat", 0x88a4),
    ("goose", 0x88b8),
    ("sampled-values", 0x88ba),
    ("lldp", 0x88cc),
    ("sercos", 0x88cd),
    ("macsec", 0x88e5),
    ("ptp", 0x88f7),
    ("cfm", 0x8902),
    ("fcoe", 0x8906),
    ("fip", 0x8914),
    ("roce", 0x8915),
    ("hsr", 0x892f),
    ("loopback", 0x9000),
    ("batman", 0x4305),
];

/// The word for frames that have a length in place of an EtherType.
pub(crate) const LLC: &str = "llc";

/// Smaller values are lengths (IEEE 802.3).
pub(crate) const MIN: u16 = 0x0600;

/// Refuses those that are the engine's to inspect: letting them pass unseen would let everything pass.
pub(crate) fn check(number: u16) -> Result<(), Fault> {
    let (what, remedy) = match number {
        0x0800 | 0x86dd => ("of IP, which the rules decide", "leave it out, and write a rule that allows"),
        0x8100 | 0x88a8 | 0x9100 => ("of a VLAN tag, which is looked through", "name what is behind the tag"),
        _ => return Ok(()),
    };
    Err(Fault::new(format!("0x{number:04x} is the EtherType {what}"), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_allowed() {
        for (index, (name, number)) in NAMES.iter().enumerate() {
            assert!(check(*number).is_ok() && *number >= MIN, "{name}");
            assert!(NAMES[..index].iter().all(|(n, t)| n != name && t != number), "{name}");
        }
        assert!(check(0x0800).is_err());
        assert!(check(0x8100).is_err());
    }
}
