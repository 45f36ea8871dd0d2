use proptest::prelude::*;

use super::*;
use crate::port::Port;

const CLIENT: &str = "192.0.2.10";
const SERVER: &str = "203.0.113.5";
const CLIENT6: &str = "2001:db8:1::10";
const SERVER6: &str = "2001:db8:ffff::5";

/// A conversation: what is found as it goes on.
struct Talk {
    ftp: Ftp,
    buffers: [[u8; LINE_MAX]; 2],
    hosts: [IpAddr; 2],
    found: Vec<Finding>,
}

impl Talk {
    fn between(client: &str, server: &str) -> Self {
        let hosts = [client, server].map(|host| host.parse().expect("an address"));
        Self { ftp: Ftp::default(), buffers: [[0; LINE_MAX]; 2], hosts, found: Vec::new() }
    }

    fn v4() -> Self {
        Self::between(CLIENT, SERVER)
    }

    fn says(&mut self, is_client: bool, data: &[u8]) {
        let side = usize::from(!is_client);
        let port = if is_client { Port::Lan } else { Port::Wan };
        let speaker = Speaker { address: self.hosts[side], side: port };
        self.ftp.take(is_client, data, &mut self.buffers[side], speaker, |found| self.found.push(found));
    }

    fn client(&mut self, line: &str) -> Vec<Finding> {
        self.says(true, format!("{line}\r\n").as_bytes());
        core::mem::take(&mut self.found)
    }

    fn server(&mut self, line: &str) -> Vec<Finding> {
        self.says(false, format!("{line}\r\n").as_bytes());
        core::mem::take(&mut self.found)
    }
}

fn open(side: Port, port: u16) -> Vec<Finding> {
    vec![Finding::Open { side, protocol: 6, port }]
}

fn refused(cause: Refusal) -> Vec<Finding> {
    vec![Finding::Refused(cause)]
}

#[test]
fn port_opens_the_port_that_it_names() {
    let mut talk = Talk::v4();
    assert_eq!(talk.client("USER anonymous"), []);
    assert_eq!(talk.client("PORT 192,0,2,10,156,64"), open(Port::Lan, 40_000));
    assert_eq!(talk.client("port  192,0,2,10,4,0 "), open(Port::Lan, 1024));
}

#[test]
fn port_opens_nothing_else() {
    let mut talk = Talk::v4();
    for third in ["192,0,2,11,156,64", "203,0,113,5,156,64", "0,0,0,0,156,64", "127,0,0,1,156,64"] {
        assert_eq!(talk.client(&format!("PORT {third}")), refused(Refusal::ThirdParty), "{third}");
    }
    assert_eq!(talk.client("PORT 192,0,2,10,3,255"), refused(Refusal::PrivilegedPort));
    for wrong in [
        "",
        "192,0,2,10,156",
        "192,0,2,10,156,",
        "192,0,2,10,156,64,1",
        "192,0,2,10,156,256",
        "192,0,2,10,0,0",
        "192.0.2.10,156,64",
        "192,0,2,10,156,64x",
        "192,0,2,10,-1,64",
        "192,0,2,10, 156,64",
        "0192,0,2,10,156,64",
        "a,b,c,d,e,f",
    ] {
        assert_eq!(talk.client(&format!("PORT {wrong}")), refused(Refusal::Malformed), "{wrong}");
    }
    assert_eq!(talk.client("PORT"), refused(Refusal::Malformed));
    assert_eq!(talk.client("PORTS 192,0,2,10,156,64"), []);
    assert_eq!(talk.client("SITE PORT 192,0,2,10,156,64"), []);
    assert_eq!(talk.server("PORT 192,0,2,10,156,64"), [], "a server has no commands");
}

/// RFC 2428 section 2.
#[test]
fn eprt_opens_the_port_that_it_names() {
    let mut talk = Talk::v4();
    assert_eq!(talk.client("EPRT |1|192.0.2.10|40000|"), open(Port::Lan, 40_000));
    assert_eq!(talk.client("eprt !1!192.0.2.10!40000!"), open(Port::Lan, 40_000));
    let mut talk = Talk::between(CLIENT6, SERVER6);
    assert_eq!(talk.client("EPRT |2|2001:db8:1::10|40000|"), open(Port::Lan, 40_000));
    assert_eq!(talk.client("EPRT |2|2001:DB8:1:0:0::10|40000|"), open(Port::Lan, 40_000));
    assert_eq!(talk.client("EPRT |2|2001:db8:1::11|40000|"), refused(Refusal::ThirdParty));
    assert_eq!(talk.client("EPRT |1|192.0.2.10|40000|"), refused(Refusal::ThirdParty));
    assert_eq!(talk.client("EPRT |2|2001:db8:1::10|80|"), refused(Refusal::PrivilegedPort));
    for wrong in [
        "",
        "|",
        "|1|192.0.2.10|40000",
        "|2|192.0.2.10|40000|",
        "|1|2001:db8:1::10|40000|",
        "|1|192.0.2.10|65536|",
        "|1|192.0.2.10||",
        "|1||40000|",
        "|3|192.0.2.10|40000|",
        "|1|192.0.2.10|40000|x",
        "|1|192.0.2.10|40000||",
        "11119200000112.0.2.101400001",
    ] {
        assert_eq!(talk.client(&format!("EPRT {wrong}")), refused(Refusal::Malformed), "{wrong}");
    }
}

/// RFC 1123 section 4.1.2.6: the text around the numbers is anything.
#[test]
fn a_reply_227_opens_the_port_that_it_names() {
    for text in [
        "227 Entering Passive Mode (203,0,113,5,156,64).",
        "227 Entering Passive Mode (203,0,113,5,156,64)",
        "227 =203,0,113,5,156,64",
        "227 203,0,113,5,156,64 is it",
        "227 Server 7 of 9, port is at (203,0,113,5,156,64)",
        "227 1234,203,0,113,5,156,64",
    ] {
        let mut talk = Talk::v4();
        assert_eq!(talk.client("PASV"), []);
        assert_eq!(talk.server(text), open(Port::Wan, 40_000), "{text}");
        assert_eq!(talk.server(text), refused(Refusal::Unasked), "one opening for one question");
    }
}

#[test]
fn a_reply_227_opens_nothing_else() {
    let ask = |reply: &str| {
        let mut talk = Talk::v4();
        talk.client("PASV");
        talk.server(reply)
    };
    assert_eq!(ask("227 Entering Passive Mode (203,0,113,6,156,64)."), refused(Refusal::ThirdParty));
    assert_eq!(ask("227 Entering Passive Mode (192,0,2,10,156,64)."), refused(Refusal::ThirdParty));
    assert_eq!(ask("227 Entering Passive Mode (203,0,113,5,0,22)."), refused(Refusal::PrivilegedPort));
    for wrong in ["227 Entering Passive Mode", "227", "227 (203,0,113,5,156)", "227 (203,0,113,5,156,300)"] {
        assert_eq!(ask(wrong), refused(Refusal::Malformed), "{wrong}");
    }
    let long = format!("227 {}(203,0,113,5,156,64)", "x".repeat(LINE_MAX));
    assert_eq!(ask(&long), refused(Refusal::Malformed));
    for other in
        ["2270 (203,0,113,5,156,64)", "327 (203,0,113,5,156,64)", " 227 (203,0,113,5,156,64)", "227x"]
    {
        assert_eq!(ask(other), [], "{other}");
    }
    assert_eq!(Talk::v4().server("227 (203,0,113,5,156,64)"), refused(Refusal::Unasked));
    let mut talk = Talk::v4();
    talk.client("EPSV");
    assert_eq!(
        talk.server("227 (203,0,113,5,156,64)"),
        refused(Refusal::Unasked),
        "that was not the question"
    );
}

/// RFC 2428 section 3.
#[test]
fn a_reply_229_opens_the_port_that_it_names() {
    let ask = |reply: &str| {
        let mut talk = Talk::between(CLIENT6, SERVER6);
        talk.client("EPSV");
        talk.server(reply)
    };
    assert_eq!(ask("229 Entering Extended Passive Mode (|||40000|)"), open(Port::Wan, 40_000));
    assert_eq!(ask("229 Entering Extended Passive Mode (!!!40000!)."), open(Port::Wan, 40_000));
    assert_eq!(ask("229 ok (|||1023|)"), refused(Refusal::PrivilegedPort));
    for wrong in [
        "229 ok",
        "229 |||40000|",
        "229 (|2|2001:db8:ffff::5|40000|)",
        "229 (|||40000)",
        "229 (|||65536|)",
        "229 (||40000|)",
        "229 (|||40000|",
        "229 (||||)",
    ] {
        assert_eq!(ask(wrong), refused(Refusal::Malformed), "{wrong}");
    }
}

/// RFC 2428 section 4.
#[test]
fn after_epsv_all_nothing_else_sets_up_connections() {
    let mut talk = Talk::v4();
    talk.client("EPSV ALL");
    talk.server("200 EPSV ALL ok");
    assert_eq!(talk.client("PORT 192,0,2,10,156,64"), refused(Refusal::EpsvAll));
    assert_eq!(talk.client("EPRT |1|192.0.2.10|40000|"), refused(Refusal::EpsvAll));
    assert_eq!(talk.client("PASV"), refused(Refusal::EpsvAll));
    assert_eq!(talk.server("227 (203,0,113,5,156,64)"), refused(Refusal::Unasked));
    talk.client("EPSV");
    assert_eq!(talk.server("229 (|||40000|)"), open(Port::Wan, 40_000));
    let mut talk = Talk::v4();
    talk.client("EPSV ALL");
    talk.server("501 what is that");
    assert_eq!(
        talk.client("PORT 192,0,2,10,156,64"),
        open(Port::Lan, 40_000),
        "the server knows no such thing"
    );
}

/// RFC 959 section 4.2: text inside a reply of several lines is no reply.
#[test]
fn text_inside_a_long_reply_opens_nothing() {
    let mut talk = Talk::v4();
    talk.client("PASV");
    assert_eq!(talk.server("213-Status of a file:"), []);
    assert_eq!(talk.server("227 Entering Passive Mode (203,0,113,5,156,64)."), []);
    assert_eq!(talk.server("213-still"), []);
    assert_eq!(talk.server("213 End."), []);
    assert_eq!(talk.server("227 Entering Passive Mode (203,0,113,5,156,65)."), open(Port::Wan, 40_001));
}

/// RFC 4217 section 4.
#[test]
fn tls_ends_what_can_be_followed() {
    let mut talk = Talk::v4();
    assert_eq!(talk.server("234 ok"), [], "nobody asked");
    talk.client("AUTH TLS");
    assert_eq!(talk.server("504 no"), []);
    assert_eq!(talk.server("234 AUTH TLS successful"), [Finding::Stopped(Stop::Encrypted)]);
}

#[test]
fn several_commands_at_once_are_each_answered() {
    let mut talk = Talk::v4();
    talk.says(true, b"TYPE I\r\nPASV\r\nSIZE x\r\nPASV\r\n");
    talk.says(false, b"200 ok\r\n227 (203,0,113,5,156,64)\r\n550 no\r\n227 (203,0,113,5,156,65)\r\n");
    assert_eq!(talk.found, [open(Port::Wan, 40_000), open(Port::Wan, 40_001)].concat());
}

fn words() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let line = prop::sample::select(vec![
        "PASV\r\n",
        "EPSV\r\n",
        "EPSV ALL\r\n",
        "AUTH TLS\r\n",
        "PORT 192,0,2,10,156,64\r\n",
        "EPRT |1|192.0.2.10|40000|\r\n",
        "EPRT |1|192.0.2.11|40000|\r\n",
        "227 Entering Passive Mode (203,0,113,5,156,64).\r\n",
        "227 Entering Passive Mode (203,0,113,6,156,64).\r\n",
        "229 Entering Extended Passive Mode (|||40000|)\r\n",
        "200-\r\n",
        "200 \r\n",
    ]);
    let said = prop_oneof![3 => line.prop_map(|line| line.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec((any::<bool>(), said), 0..40)
}

proptest! {
    /// Whatever is said, only a port of the speaker's own opens, and none of a service.
    #[test]
    fn any_bytes_open_no_more_than_what_their_sender_owns(said in words()) {
        let mut talk = Talk::v4();
        for (is_client, data) in &said {
            talk.says(*is_client, data);
            for found in talk.found.drain(..) {
                if let Finding::Open { side, protocol, port } = found {
                    prop_assert_eq!(side, if *is_client { Port::Lan } else { Port::Wan });
                    prop_assert_eq!(protocol, 6);
                    prop_assert!(port >= 1024);
                }
            }
        }
    }

    /// Where the bytes are cut makes no difference.
    #[test]
    fn cuts_make_no_difference(said in words(), every in 1usize..9) {
        let (mut whole, mut parts) = (Talk::v4(), Talk::v4());
        for (is_client, data) in &said {
            whole.says(*is_client, data);
            data.chunks(every).for_each(|part| parts.says(*is_client, part));
        }
        prop_assert_eq!(whole.found, parts.found);
    }
}
