//! sekisho, a stateful firewall appliance that stands in the wire between LAN and WAN.

fn main() {}
