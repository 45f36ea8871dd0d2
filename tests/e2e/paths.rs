//! Paths through the appliance with routers on both sides of it: traceroute, tracepath, and the discovery of a path's MTU.
//!
//!     near ── lan ── appliance ── wan ── far
//!
//! The ways from `lan` to `near` and from `wan` to `far` carry 1400 bytes, which only those two routers know.

use sekisho_tests::lab::{FAR, NEAR, Place};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Behind, Lab, Namespace};

use super::*;

const MTU: u32 = 1400;

struct Paths {
    appliance: Appliance,
    near: Behind,
    far: Behind,
    _lab: Lab,
}

impl Paths {
    fn up() -> Self {
        let lab = Lab::up();
        let near = Behind::new(&NEAR, &lab.lan, &lab.wan, MTU);
        let far = Behind::new(&FAR, &lab.wan, &lab.lan, MTU);
        // What the far side may begin: probes of traceroute and tracepath, and a web server behind the LAN port.
        let services = "[udp/33434-65535, icmp/echo, tcp/80]";
        let inward = format!("{{name: in, from: wan, to: lan, service: {services}, action: allow}}");
        let appliance = Appliance::start(&lab, &policy(&[LAN_OUT, &inward]));
        Self { appliance, near, far, _lab: lab }
    }

    /// Who asks, where the other is, and the routers in between as the one who asks sees them, for both directions and
    /// families.
    fn ways(&self) -> [(&Namespace, &'static str, [&'static str; 2]); 4] {
        let way = |from: &Place, to: &Place, family: usize| {
            (to.own[family], [from.router[family], to.gateway[family]])
        };
        [0, 1, 2, 3].map(|number| {
            let family = number / 2;
            if number % 2 == 0 {
                let (to, routers) = way(&NEAR, &FAR, family);
                (&self.near.host, to, routers)
            } else {
                let (to, routers) = way(&FAR, &NEAR, family);
                (&self.far.host, to, routers)
            }
        })
    }
}

/// Every router on the way and its end are named in what the program said, in that order.
fn names_the_way(said: &str, routers: [&str; 2], end: &str) {
    let mut rest = said;
    // The first line names the destination.
    rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    for hop in [routers[0], routers[1], end] {
        let found = rest.split_once(hop);
        assert!(found.is_some(), "{hop} is not named:\n{said}");
        rest = found.map_or("", |(_, rest)| rest);
    }
}

#[test]
fn traceroute_by_udp_icmp_and_tcp_names_every_router_in_both_directions() {
    let paths = Paths::up();
    for (from, to, routers) in paths.ways() {
        for method in ["--udp --port=33500", "--icmp", "--tcp --port=80"] {
            let line = format!("traceroute -n -q 2 -w 3 -m 6 {method} {to}");
            names_the_way(&from.must(&line), routers, to);
        }
    }
    assert_eq!(paths.appliance.count("icmp-error-unrelated"), 0, "every error belonged to a session");
}

#[test]
fn tracepath_finds_the_way_and_its_mtu_in_both_directions() {
    let paths = Paths::up();
    for (from, to, routers) in paths.ways() {
        let said = from.must(&format!("tracepath -n -m 6 {to}"));
        assert!(said.contains(&format!("pmtu {MTU}")), "{said}");
        names_the_way(&said, routers, to);
    }
    assert_eq!(paths.appliance.count("icmp-error-unrelated"), 0, "every error belonged to a session");
}

#[test]
fn a_large_file_crosses_a_link_of_smaller_mtu_in_both_directions() {
    let paths = Paths::up();
    for (server, client, place) in
        [(&paths.far.host, &paths.near.host, &FAR), (&paths.near.host, &paths.far.host, &NEAR)]
    {
        for address in [place.own[0].to_owned(), format!("[{}]", place.own[1])] {
            let _server = servers::http(server, &address);
            // What either learnt in the transfer before would have it ask for short segments from the start.
            for host in [server, client] {
                host.must("ip -4 route flush cache");
                host.must("ip -6 route flush cache");
            }
            let before = paths.appliance.count("icmp-error-related");
            let line =
                format!("curl -gsS --max-time 20 -o /dev/null -w %{{size_download}} http://{address}/");
            let output = client.run(&line);
            assert!(output.status.success(), "{line}: {}", text(&output.stderr));
            assert_eq!(text(&output.stdout), (1 << 20).to_string(), "{line}");
            let errors = paths.appliance.count("icmp-error-related") - before;
            assert!(errors > 0, "the server was never told that its segments are too long");
        }
    }
    assert_eq!(paths.appliance.count("icmp-error-unrelated"), 0);
    assert_eq!(paths.appliance.count("tcp-out-of-window"), 0);
}
