//! Sets of rules and packets as `dpdk-test-acl` reads them, to measure rte_acl on the same ones.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use sekisho_engine::policy::{AddressSetId, Ruleset};

use super::Case;

/// Writes `NAME-COUNT.rules` and `NAME-COUNT.trace`. Returns whether it did: only if every rule has at most one IPv4
/// prefix in each field and one service.
pub fn write(directory: &Path, case: &Case) -> std::io::Result<bool> {
    let (ruleset, packets) = case.make();
    let Some(rules) = rules(&ruleset) else { return Ok(false) };
    let mut trace = String::new();
    for packet in &packets {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination) else {
            return Ok(false);
        };
        let (source, destination) = (source.to_bits(), destination.to_bits());
        let _ = writeln!(trace, "{source}\t{destination}\t1024\t{}\t{}\t0", packet.selector, packet.protocol);
    }
    let name = format!("{}-{}", case.kind.name(), case.count);
    std::fs::write(directory.join(format!("{name}.rules")), rules)?;
    std::fs::write(directory.join(format!("{name}.trace")), trace)?;
    Ok(true)
}
fn rules(ruleset: &Ruleset) -> Option<String> {
    let mut text = String::new();
    for rule in &ruleset.rules {
        let source = prefix(ruleset, rule.source)?;
        let destination = prefix(ruleset, rule.destination)?;
        let service = match rule.services.as_deref() {
            None => "0 : 65535\t0x00/0x00".to_owned(),
            Some([service]) => {
                let (protocol, mask) = service.protocol.map_or((0, 0), |protocol| (protocol, 0xff));
                let (first, last) = (service.selector.start(), service.selector.end());
                format!("{first} : {last}\t{protocol:#04x}/{mask:#04x}")
            }
            Some(_) => return None,
        };
        let _ = writeln!(text, "@{source}\t{destination}\t0 : 65535\t{service}");
    }
    Some(text)
}

fn prefix(ruleset: &Ruleset, set: Option<AddressSetId>) -> Option<String> {
    let Some(set) = set else { return Some("0.0.0.0/0".to_owned()) };
    let [range] = &ruleset.address_sets[set.0 as usize].v4[..] else { return None };
    let host = range.end() - range.start();
    let is_prefix = host & host.wrapping_add(1) == 0 && range.start() & host == 0;
    is_prefix.then(|| format!("{}/{}", Ipv4Addr::from_bits(*range.start()), host.leading_zeros()))
}
