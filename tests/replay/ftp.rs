//! FTP and its data connections (RFC 959, 1123, 2428): what each mode opens, what opens nothing, and for how long.

use sekisho_engine::port::Port;
use sekisho_replay::HelperFigures;
use sekisho_tests::frames::{ACK, FIN, Packet, RST, SYN, Segment, udp};

use super::*;

/// LAN hosts may have files of servers in the WAN, and nothing else.
const FILES: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {ftp: {ports: tcp/21, helper: ftp}}
rules: [{name: files, from: lan, to: wan, service: ftp, action: allow}]
";

/// A control session, established as session 1, and its scene.
struct Control {
    scene: Scene,
    tcp: Tcp,
    client_on: Port,
}

impl Control {
    fn of(policy: &str, client: &str, server: &str) -> Self {
        let (mut scene, mut tcp) = (Scene::new(policy), Tcp::new(at(client, 40_000), at(server, 21)));
        tcp.opens(&mut scene, 1, "files");
        scene.wan(tcp.server_says(b"220 at your service\r\n")).follows(1);
        Self { scene, tcp, client_on: Port::Lan }
    }

    fn v4() -> Self {
        Self::of(FILES, LAN, WAN)
    }

    /// A line of the client's.
    fn asks(&mut self, line: &str) -> &mut Self {
        let frame = self.tcp.client_says(format!("{line}\r\n").as_bytes());
        self.scene.on(self.client_on, frame).follows(1);
        self
    }

    /// A line of the server's.
    fn replies(&mut self, line: &str) -> &mut Self {
        let frame = self.tcp.server_says(format!("{line}\r\n").as_bytes());
        self.scene.on(self.client_on.other(), frame).follows(1);
        self
    }

    /// The connection that the server opens to a port of the client's.
    fn data_from_server(&self, port: u16) -> Tcp {
        Tcp::new(SocketAddr::new(self.tcp.server.ip(), 20), SocketAddr::new(self.tcp.client.ip(), port))
    }

    /// The connection that the client opens to a port of the server's.
    fn data_from_client(&self, port: u16) -> Tcp {
        Tcp::new(SocketAddr::new(self.tcp.client.ip(), 40_001), SocketAddr::new(self.tcp.server.ip(), port))
    }

    /// A data connection that is expected opens as session `number`, and carries data both ways.
    fn carries(&mut self, number: u64, from: Port, mut data: Tcp) {
        let scene = &mut self.scene;
        scene.on(from, data.client(SYN)).is_expected(number, "files");
        scene.on(from.other(), data.server(SYN | ACK)).follows(number);
        scene.on(from, data.client(ACK)).follows(number);
        scene.on(from.other(), data.server_says(b"a list of files")).follows(number);
        scene.on(from, data.client_says(b"a file")).follows(number);
    }

    fn figures(&self) -> HelperFigures {
        self.scene.plays().summary.helpers["ftp"].clone()
    }
}

/// A command whose segment was cut up on its way.
#[test]
fn a_command_in_ip_fragments_is_read_as_one() {
    let mut control = Control::v4();
    let frame = control.tcp.client_says(b"PORT 192,0,2,10,156,64\r\n");
    let pieces = super::fragments::cut(&frame, 7, &[24, 32]);
    for at in [2, 0, 1] {
        control.scene.lan(pieces[at].clone()).follows(1);
    }
    let last = control.scene.next_frame() - 1;
    control.scene.leave_with_it(last - 2..last);
    control.replies("200 ok");
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
}

/// One control session that is followed to the end of the scene.
fn followed() -> HelperFigures {
    HelperFigures { followed: 1, following: 1, ..HelperFigures::default() }
}

#[test]
fn active_mode_lets_the_server_connect_to_the_port_that_port_names() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,156,64").replies("200 ok").asks("LIST").replies("150 here it comes");
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    // One connection for one announcement.
    let mut again = Tcp::new(at(WAN, 21_000), at(LAN, 40_000));
    control.scene.wan(again.client(SYN)).drops(Reason::DefaultDrop);
    control.asks("PORT 192,0,2,10,156,65");
    control.carries(3, Port::Wan, control.data_from_server(40_001));
    assert_eq!(control.figures(), HelperFigures { opened: 2, used: 2, ..followed() });
}

#[test]
fn active_mode_with_eprt_over_ipv4_and_ipv6() {
    for (lan, wan, command) in [
        (LAN, WAN, "EPRT |1|192.0.2.10|40000|"),
        (LAN6, WAN6, "EPRT |2|2001:db8:1::10|40000|"),
        (LAN6, WAN6, "EPRT |2|2001:db8:1:0:0:0:0:10|40000|"),
    ] {
        let mut control = Control::of(FILES, lan, wan);
        control.asks(command);
        control.carries(2, Port::Wan, control.data_from_server(40_000));
        assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
    }
}

#[test]
fn passive_mode_lets_the_client_connect_to_the_port_that_the_reply_names() {
    for (lan, wan, command, reply) in [
        (LAN, WAN, "PASV", "227 Entering Passive Mode (203,0,113,53,156,64)."),
        (LAN, WAN, "PASV", "227 =203,0,113,53,156,64"),
        (LAN, WAN, "EPSV", "229 Entering Extended Passive Mode (|||40000|)"),
        (LAN6, WAN6, "EPSV", "229 Entering Extended Passive Mode (|||40000|)"),
        (LAN6, WAN6, "EPSV 2", "229 ok (!!!40000!)"),
    ] {
        let mut control = Control::of(FILES, lan, wan);
        let data = control.data_from_client(40_000);
        control.asks(command);
        control.scene.lan(data.clone().client(SYN)).drops(Reason::DefaultDrop);
        control.replies(reply);
        control.carries(2, Port::Lan, data);
        assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
    }
}

#[test]
fn a_server_in_the_lan_is_followed_as_well() {
    let policy = FILES.replace("from: lan, to: wan", "from: wan, to: lan");
    let (mut scene, mut tcp) = (Scene::new(&policy), Tcp::new(at(WAN, 40_000), at(LAN, 21)));
    scene.wan(tcp.client(SYN)).opens(1, "files");
    scene.lan(tcp.server(SYN | ACK)).follows(1);
    scene.wan(tcp.client(ACK)).follows(1);
    let mut control = Control { scene, tcp, client_on: Port::Wan };
    control.asks("PASV").replies("227 Entering Passive Mode (192,0,2,10,156,64).");
    control.carries(2, Port::Wan, control.data_from_client(40_000));
    control.asks("PORT 203,0,113,53,156,64");
    control.carries(3, Port::Lan, control.data_from_server(40_000));
    assert_eq!(control.figures(), HelperFigures { opened: 2, used: 2, ..followed() });
}

#[test]
fn without_a_helper_nothing_opens_though_the_port_is_that_of_ftp() {
    let mut control = Control::of(&FILES.replace(", helper: ftp", ""), LAN, WAN);
    control.asks("PORT 192,0,2,10,156,64").asks("PASV").replies("227 Passive (203,0,113,53,156,64).");
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(control.data_from_client(40_000).client(SYN)).drops(Reason::DefaultDrop);
    assert!(control.scene.plays().summary.helpers.is_empty());
}

#[test]
fn a_helper_follows_its_services_ports_whatever_they_are() {
    let policy = FILES.replace("tcp/21", "[tcp/21, tcp/2121]");
    let (mut scene, mut tcp) = (Scene::new(&policy), Tcp::new(at(LAN, 40_000), at(WAN, 2121)));
    tcp.opens(&mut scene, 1, "files");
    scene.lan(tcp.client_says(b"PORT 192,0,2,10,156,64\r\n")).follows(1);
    scene.wan(Tcp::new(at(WAN, 20), at(LAN, 40_000)).client(SYN)).is_expected(2, "files");
    scene.plays();
}

#[test]
fn the_address_of_a_third_party_opens_nothing() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,11,156,64").asks("EPRT |1|203.0.113.99|40000|").asks("EPRT |2|::1|40000|");
    control.asks("PASV").replies("227 Entering Passive Mode (203,0,113,54,156,64).");
    for third in [at(WAN, 20), at("203.0.113.99", 20)] {
        control.scene.wan(Tcp::new(third, at("192.0.2.11", 40_000)).client(SYN)).drops(Reason::DefaultDrop);
    }
    control
        .scene
        .lan(Tcp::new(at(LAN, 5), at("203.0.113.54", 40_000)).client(SYN))
        .drops(Reason::DefaultDrop);
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    let refused = [("third-party", 4)].into();
    assert_eq!(control.figures(), HelperFigures { refused, ..followed() });
}

#[test]
fn the_port_of_a_service_opens_nothing() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,0,22").asks("EPRT |1|192.0.2.10|1023|");
    control.asks("EPSV").replies("229 ok (|||80|)");
    control.scene.wan(control.data_from_server(22).client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(control.data_from_client(80).client(SYN)).drops(Reason::DefaultDrop);
    let refused = [("privileged-port", 3)].into();
    assert_eq!(control.figures(), HelperFigures { refused, ..followed() });
}

#[test]
fn a_malformed_command_opens_nothing_and_is_forwarded() {
    let mut control = Control::v4();
    for line in ["PORT", "PORT 192,0,2,10,156", "PORT 192,0,2,10,156,640", "EPRT |1|192.0.2.10|", "EPRT x"] {
        control.asks(line);
    }
    control.asks("EPSV").replies("229 Entering Extended Passive Mode (40000)");
    control.asks(&format!("PORT 192,0,2,10,156,64{}", " ".repeat(600)));
    control.replies("227 nobody asked (203,0,113,53,156,64)");
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(control.data_from_client(40_000).client(SYN)).drops(Reason::DefaultDrop);
    // And the helper goes on.
    control.asks("PORT 192,0,2,10,156,64");
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    let refused = [("malformed", 7), ("unasked", 1)].into();
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, refused, ..followed() });
}

/// RFC 2428 section 4.
#[test]
fn after_epsv_all_only_epsv_opens() {
    let mut control = Control::v4();
    control.asks("EPSV ALL").replies("200 ok").asks("PORT 192,0,2,10,156,64");
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    control.asks("EPSV").replies("229 ok (|||40000|)");
    control.carries(2, Port::Lan, control.data_from_client(40_000));
    let refused = [("epsv-all", 1)].into();
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, refused, ..followed() });
}

#[test]
fn a_packet_that_does_not_fit_does_not_use_it_up() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,156,64");
    let (server, client) = (at(WAN, 20), at(LAN, 40_000));
    let scene = &mut control.scene;
    let segment = |flags| Segment::new(flags, 7, 0).between(server, client);
    for flags in [ACK, RST, SYN | ACK, FIN | ACK, RST | ACK] {
        scene.wan(segment(flags)).drops(Reason::TcpNoSession);
    }
    scene.wan(segment(SYN | FIN)).drops(Reason::TcpBadFlags);
    scene.wan(segment(SYN).options(&[131, 7, 4, 1, 2, 3, 4, 0])).drops(Reason::IpSourceRoute);
    scene.wan(segment(SYN).vlan(20)).drops(Reason::DefaultDrop);
    scene.wan(udp(server, client, b"x")).drops(Reason::DefaultDrop);
    // Another host, another port, the other side, the other direction.
    scene.wan(Tcp::new(at("203.0.113.54", 20), client).client(SYN)).drops(Reason::DefaultDrop);
    scene.wan(Tcp::new(server, at("192.0.2.11", 40_000)).client(SYN)).drops(Reason::DefaultDrop);
    scene.wan(Tcp::new(server, at(LAN, 40_001)).client(SYN)).drops(Reason::DefaultDrop);
    scene.lan(segment(SYN)).drops(Reason::DefaultDrop);
    scene.lan(Tcp::new(client, at(WAN, 40_000)).client(SYN)).drops(Reason::DefaultDrop);
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
}

#[test]
fn an_expectation_lives_for_a_minute() {
    for (wait_ms, comes) in [(59_999, true), (60_000, false)] {
        let mut control = Control::v4();
        control.scene.at_ms(1000);
        control.asks("PORT 192,0,2,10,156,64");
        let mut data = control.data_from_server(40_000);
        let arrives = control.scene.at_ms(1000 + wait_ms).wan(data.client(SYN));
        let expected = if comes {
            arrives.is_expected(2, "files");
            HelperFigures { opened: 1, used: 1, ..followed() }
        } else {
            arrives.drops(Reason::DefaultDrop);
            HelperFigures { opened: 1, expired: 1, ..followed() }
        };
        assert_eq!(control.figures(), expected, "{wait_ms}");
    }
}

#[test]
fn an_announcement_made_again_waits_anew() {
    let mut control = Control::v4();
    control.scene.at_ms(1000);
    control.asks("PORT 192,0,2,10,156,64");
    control.scene.at_ms(50_000);
    control.asks("PORT 192,0,2,10,156,64");
    let mut data = control.data_from_server(40_000);
    control.scene.at_ms(109_999).wan(data.client(SYN)).is_expected(2, "files");
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
}

#[test]
fn an_expectation_never_outlives_its_control_session() {
    let ended = HelperFigures { followed: 1, opened: 1, withdrawn: 1, ..HelperFigures::default() };
    // A reset, from which on nothing opens though the session is still known.
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,156,64");
    control.scene.wan(control.tcp.server(RST)).follows(1);
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    assert_eq!(control.figures(), HelperFigures { following: 1, ..ended.clone() });

    // Both ends close.
    let mut control = Control::v4();
    control.asks("PASV").replies("227 (203,0,113,53,156,64)");
    control.scene.lan(control.tcp.client(FIN | ACK)).follows(1);
    let mut data = control.data_from_client(40_000);
    control.scene.wan(control.tcp.server(FIN | ACK)).follows(1);
    control.scene.lan(data.client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(control.tcp.client(ACK)).follows(1);
    assert_eq!(control.figures(), HelperFigures { following: 1, ..ended.clone() });

    // It is idle for its timeout.
    let mut control = Control::of(&format!("{FILES}timeouts: {{tcp: {{established: 5s}}}}\n"), LAN, WAN);
    control.asks("PORT 192,0,2,10,156,64");
    let end_ms = control.scene.last_ms() + 5000;
    control.scene.ends(1, Reason::EndIdle, end_ms);
    let mut data = control.data_from_server(40_000);
    control.scene.at_ms(end_ms).wan(data.client(SYN)).drops(Reason::DefaultDrop);
    assert_eq!(control.figures(), ended);
}

#[test]
fn a_data_connection_outlives_its_control_session() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,156,64");
    let mut data = control.data_from_server(40_000);
    control.carries(2, Port::Wan, data.clone());
    control.scene.wan(control.tcp.server(RST)).follows(1);
    let end_ms = control.scene.last_ms() + 10_000;
    control.scene.ends(1, Reason::EndReset, end_ms);
    data.next = [data.next[0].wrapping_add(1 + 6), data.next[1].wrapping_add(1 + 15)];
    control.scene.at_ms(end_ms).lan(data.server_says(b"more")).follows(2);
    control.scene.plays();
}

#[test]
fn commands_may_be_split_repeated_and_out_of_order() {
    let mut control = Control::v4();
    let parts: Vec<Packet> = ["PO", "RT 192,0,2", ",10,15", "6,64\r", "\n"]
        .map(|part| control.tcp.client_says(part.as_bytes()))
        .into();
    for at in [0, 2, 0, 4, 2] {
        control.scene.lan(parts[at].clone()).follows(1);
    }
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(parts[3].clone()).follows(1);
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    control.scene.lan(parts[1].clone()).follows(1);
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    // The whole command once more, in one segment: it was heard already.
    let mut whole = control.tcp.clone();
    whole.next[0] = whole.next[0].wrapping_sub(24);
    control.scene.lan(whole.client_says(b"PORT 192,0,2,10,156,64\r\n")).follows(1);
    control.scene.wan(Tcp::new(at(WAN, 21_000), at(LAN, 40_000)).client(SYN)).drops(Reason::DefaultDrop);
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
}

#[test]
fn a_helper_that_missed_bytes_says_so_and_opens_nothing_from_there_on() {
    let mut control = Control::v4();
    control.asks("PORT 192,0,2,10,156,64");
    // The server has what never came by here.
    let missed = control.tcp.client_says(b"NOOP\r\n");
    control.scene.lan(control.tcp.client_says(b"TYPE I\r\n")).follows(1);
    control.scene.wan(control.tcp.server(ACK)).follows(1);
    control.scene.lan(missed).follows(1);
    control.asks("PORT 192,0,2,10,156,65");
    control.scene.wan(control.data_from_server(40_001).client(SYN)).drops(Reason::DefaultDrop);
    // What was announced before still holds.
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    let not_followed = [("lost", 1)].into();
    assert_eq!(
        control.figures(),
        HelperFigures { following: 0, opened: 1, used: 1, not_followed, ..followed() }
    );
}

/// With `tcp_window: log` such a segment passes, and nobody knows whether its receiver takes it.
#[test]
fn a_helper_believes_nothing_that_is_out_of_the_window() {
    let mut control = Control::of(&format!("{FILES}inspection: {{tcp_window: log}}\n"), LAN, WAN);
    let mut forged = control.tcp.clone();
    forged.next = [forged.next[0], forged.next[1].wrapping_add(200_000)];
    control.scene.lan(forged.client_says(b"PORT 192,0,2,10,156,65\r\n")).follows(1);
    control.scene.wan(control.data_from_server(40_001).client(SYN)).drops(Reason::DefaultDrop);
    control.asks("PORT 192,0,2,10,156,64");
    control.carries(2, Port::Wan, control.data_from_server(40_000));
    assert_eq!(control.figures(), HelperFigures { opened: 1, used: 1, ..followed() });
}

/// RFC 4217.
#[test]
fn a_session_that_goes_over_to_tls_is_not_followed_any_more() {
    let mut control = Control::v4();
    control.asks("AUTH TLS").replies("234 go ahead").asks("PORT 192,0,2,10,156,64");
    control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
    let not_followed = [("encrypted", 1)].into();
    assert_eq!(control.figures(), HelperFigures { following: 0, not_followed, ..followed() });
}

#[test]
fn a_session_that_was_picked_up_is_not_followed() {
    let policy = format!("{FILES}inspection: {{midstream: pickup}}\n");
    let (mut scene, mut tcp) = (Scene::new(&policy), Tcp::new(at(LAN, 40_000), at(WAN, 21)));
    scene.lan(tcp.client_says(b"PORT 192,0,2,10,156,64\r\n")).opens(1, "files");
    scene.wan(tcp.server_says(b"200 ok\r\n")).follows(1);
    scene.wan(Tcp::new(at(WAN, 20), at(LAN, 40_000)).client(SYN)).drops(Reason::DefaultDrop);
    let not_followed = [("midstream", 1)].into();
    let expected = HelperFigures { not_followed, ..HelperFigures::default() };
    assert_eq!(scene.plays().summary.helpers["ftp"], expected);
}

#[test]
fn the_vlan_of_the_control_session_is_that_of_its_connections() {
    let (mut scene, mut tcp) = (Scene::new(FILES), Tcp::new(at(LAN, 40_000), at(WAN, 21)));
    tcp.tags = vec![(frames::VLAN, 20)];
    tcp.opens(&mut scene, 1, "files");
    scene.lan(tcp.client_says(b"PORT 192,0,2,10,156,64\r\n")).follows(1);
    let mut data = Tcp::new(at(WAN, 20), at(LAN, 40_000));
    scene.wan(data.clone().client(SYN)).drops(Reason::DefaultDrop);
    data.tags = vec![(frames::VLAN, 20)];
    scene.wan(data.client(SYN)).is_expected(2, "files");
    scene.plays();
}

#[test]
fn an_expected_session_has_the_timeouts_of_its_rule() {
    let policy = FILES.replace("action: allow", "action: allow, timeout: {syn_sent: 7s}");
    let mut control = Control::of(&policy, LAN, WAN);
    control.asks("PORT 192,0,2,10,156,64");
    control.scene.wan(control.data_from_server(40_000).client(SYN)).is_expected(2, "files");
    let end_ms = control.scene.last_ms() + 7000;
    control.scene.ends(2, Reason::EndHandshake, end_ms);
    tick(&mut control.scene, end_ms);
    control.scene.plays();
}

#[test]
fn one_control_session_opens_no_more_than_its_share() {
    let mut control = Control::v4();
    for port in 0..70 {
        control.asks(&format!("PORT 192,0,2,10,156,{port}"));
    }
    control.scene.wan(control.data_from_server(39_936 + 63).client(SYN)).is_expected(2, "files");
    control.scene.wan(control.data_from_server(39_936 + 64).client(SYN)).drops(Reason::DefaultDrop);
    // One was used, so that there is room for one.
    control.asks("PORT 192,0,2,10,200,0");
    control.scene.wan(control.data_from_server(51_200).client(SYN)).is_expected(3, "files");
    let refused = [("session-full", 6)].into();
    assert_eq!(control.figures(), HelperFigures { opened: 65, used: 2, open: 63, refused, ..followed() });
}

#[test]
fn more_than_the_table_of_expectations_holds_is_refused_and_counted() {
    let mut scene = Scene::new(FILES);
    for number in 0..160u16 {
        let mut tcp = Tcp::new(at(LAN, 40_000 + number), at(WAN, 21));
        tcp.opens(&mut scene, u64::from(number) + 1, "files");
        let commands: String =
            (0..60).map(|port| format!("PORT 192,0,2,10,{},{}\r\n", 20 + number, port)).collect();
        scene.lan(tcp.client_says(commands.as_bytes())).follows(u64::from(number) + 1);
    }
    // Tables are as large as the session table, to 8192.
    let figures = scene.sessions_max(10_000).plays().summary.helpers["ftp"].clone();
    assert_eq!(figures.opened + figures.refused["table-full"], 160 * 60);
    assert!((7000..=8192).contains(&figures.opened), "{figures:?}");
    assert_eq!(figures.open, figures.opened);
}

#[test]
fn more_control_sessions_than_can_be_followed_are_forwarded_and_counted() {
    let mut scene = Scene::new(FILES).sessions_max(10_000);
    for number in 0..4098u16 {
        let mut tcp = Tcp::new(at(LAN, 10_000 + number), at(WAN, 21));
        scene.lan(tcp.client(SYN)).opens(u64::from(number) + 1, "files");
    }
    let expected = HelperFigures {
        followed: 4096,
        following: 4096,
        not_followed: [("table-full", 2)].into(),
        ..HelperFigures::default()
    };
    assert_eq!(scene.plays().summary.helpers["ftp"], expected);
}

/// A packet that finds no room does not use the expectation up. Only for one worker, since each has a table of its own.
#[test]
fn a_full_session_table_leaves_the_expectation_open() {
    let policy = FILES.replace("service: ftp", "service: [ftp, tcp/80]");
    let budgets = Budgets { adaptive_timeouts: false, ..Budgets::default() };
    let mut scene = Scene::new(&policy).sessions_max(2).budgets(budgets);
    let mut tcp = Tcp::new(at(LAN, 40_000), at(WAN, 21));
    tcp.opens(&mut scene, 1, "files");
    let mut web = Tcp::new(at(LAN, 40_001), at(WAN, 80));
    web.opens(&mut scene, 2, "files");
    scene.lan(tcp.client_says(b"PORT 192,0,2,10,156,64\r\n")).follows(1);
    let mut data = Tcp::new(at(WAN, 20), at(LAN, 40_000));
    scene.wan(data.clone().client(SYN)).drops(Reason::TableFull).by("files");
    scene.wan(web.server(RST)).follows(2);
    let end_ms = scene.last_ms() + 10_000;
    scene.ends(2, Reason::EndReset, end_ms);
    scene.at_ms(end_ms).wan(data.client(SYN)).is_expected(3, "files");
    let figures = scene.plays_alone().summary.helpers["ftp"].clone();
    assert_eq!(figures, HelperFigures { opened: 1, used: 1, ..followed() });
}

fn on_deploy(policy: &str, mode: &str) -> String {
    format!("{policy}inspection: {{sessions_on_deploy: {mode}}}\n")
}

#[test]
fn after_a_deploy_the_rule_of_the_new_policy_decides_whether_a_session_is_followed() {
    for mode in ["keep", "rematch"] {
        // The rule has its helper still.
        let mut control = Control::of(&on_deploy(FILES, mode), LAN, WAN);
        control.asks("PORT 192,0,2,10,156,63");
        control.scene.at_ms(10).deploys(&on_deploy(FILES, mode));
        control.asks("PORT 192,0,2,10,156,64");
        control.carries(2, Port::Wan, control.data_from_server(40_000));
        control.scene.wan(control.data_from_server(39_999).client(SYN)).is_expected(3, "files");
        assert_eq!(control.figures(), HelperFigures { opened: 2, used: 2, ..followed() });

        // It has none any more: what was announced is withdrawn with the next packet.
        let mut control = Control::of(&on_deploy(FILES, mode), LAN, WAN);
        control.asks("PORT 192,0,2,10,156,63");
        control.scene.at_ms(10).deploys(&on_deploy(&FILES.replace(", helper: ftp", ""), mode));
        control.asks("PORT 192,0,2,10,156,64");
        control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
        control.scene.wan(control.data_from_server(39_999).client(SYN)).drops(Reason::DefaultDrop);
        let expected = HelperFigures { following: 0, opened: 1, withdrawn: 1, ..followed() };
        assert_eq!(control.figures(), expected, "{mode}");

        // A session that began without a helper gets none: nobody knows what was said before.
        let mut control = Control::of(&on_deploy(&FILES.replace(", helper: ftp", ""), mode), LAN, WAN);
        control.scene.at_ms(10).deploys(&on_deploy(FILES, mode));
        control.asks("PORT 192,0,2,10,156,64");
        control.scene.wan(control.data_from_server(40_000).client(SYN)).drops(Reason::DefaultDrop);
        assert!(control.scene.plays().summary.helpers.is_empty());
    }
}

#[test]
fn what_was_announced_before_a_deploy_opens_only_if_the_new_policy_would_follow_its_control_session() {
    let without = FILES.replace(", helper: ftp", "");
    let others = FILES.replace("to: wan,", "to: wan, destination: 198.51.100.1,");
    for (mode, next, opens) in [
        ("rematch", FILES, true),
        ("rematch", &*without, false),
        ("rematch", &*others, false),
        ("keep", &*others, true),
    ] {
        let mut control = Control::of(&on_deploy(FILES, mode), LAN, WAN);
        control.asks("PORT 192,0,2,10,156,64");
        control.scene.at_ms(10).deploys(&on_deploy(next, mode));
        let arrives = control.scene.wan(Tcp::new(at(WAN, 20), at(LAN, 40_000)).client(SYN));
        if opens {
            arrives.is_expected(2, "files")
        } else {
            arrives.drops(Reason::DefaultDrop)
        };
        control.scene.plays();
    }
}

/// A data connection is decided again as its control session would be, though that may be gone.
#[test]
fn with_rematch_a_data_connection_lives_while_the_policy_would_have_its_control_session() {
    let renamed = FILES.replace("name: files", "name: transfer");
    let others = FILES.replace("to: wan,", "to: wan, destination: 198.51.100.1,");
    let without = FILES.replace(", helper: ftp", "");
    for (next, lives) in [(FILES, true), (&*renamed, true), (&*others, false), (&*without, false)] {
        let mut control = Control::of(&on_deploy(FILES, "rematch"), LAN, WAN);
        control.asks("PORT 192,0,2,10,156,64");
        let mut data = control.data_from_server(40_000);
        control.scene.wan(data.client(SYN)).is_expected(2, "files");
        control.scene.lan(data.server(SYN | ACK)).follows(2);
        control.scene.wan(data.client(ACK)).follows(2);
        control.scene.at_ms(10).deploys(&on_deploy(next, "rematch"));
        let arrives = control.scene.wan(data.client_says(b"a list"));
        if lives {
            arrives.follows(2);
            control.scene.lan(data.server(ACK)).follows(2);
        } else {
            arrives.drops(Reason::PolicyChanged).of(2);
            control.scene.ends_with_it(2, Reason::EndPolicy);
        }
        control.scene.plays();
    }
}
