//! Conversations: each a five-tuple of its own, from the LAN to the WAN, on numbers that do not wrap.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, FIN, Packet, RST, SYN, Segment, URG};

/// Initial numbers of the client and of the server.
const ISN: [u32; 2] = [1_000_000, 5_000_000];
/// The next ones once the handshake is done.
const C: u32 = ISN[0] + 1;
const S: u32 = ISN[1] + 1;
const SCALE: [u8; 4] = [1, 3, 3, 7];

/// A conversation, frame by frame: where it arrives, and in words what it is.
pub(super) struct Talk {
    pub(super) name: &'static str,
    pub(super) frames: Vec<(Port, Packet, String)>,
    port: u16,
}

impl Talk {
    fn say(&mut self, side: usize, what: &str, segment: &Segment) -> &mut Self {
        let client = ([192, 0, 2, 10], self.port).into();
        let server = ([203, 0, 113, 53], 443).into();
        let (port, packet) = match side {
            0 => (Port::Lan, segment.between(client, server)),
            _ => (Port::Wan, segment.between(server, client)),
        };
        self.frames.push((port, packet, what.to_owned()));
        self
    }

    fn client(&mut self, what: &str, flags: u8, sequence: u32, acknowledgement: u32) -> &mut Self {
        self.say(0, what, &Segment::new(flags, sequence, acknowledgement))
    }

    fn server(&mut self, what: &str, flags: u8, sequence: u32, acknowledgement: u32) -> &mut Self {
        self.say(1, what, &Segment::new(flags, sequence, acknowledgement))
    }

    fn client_data(&mut self, what: &str, sequence: u32, acknowledgement: u32, len: usize) -> &mut Self {
        self.say(0, what, &Segment::new(ACK, sequence, acknowledgement).data(&vec![1; len]))
    }

    fn server_data(&mut self, what: &str, sequence: u32, acknowledgement: u32, len: usize) -> &mut Self {
        self.say(1, what, &Segment::new(ACK, sequence, acknowledgement).data(&vec![2; len]))
    }

    fn opens(&mut self) -> &mut Self {
        self.client("SYN", SYN, ISN[0], 0).server("SYN/ACK", SYN | ACK, ISN[1], C).client("ACK", ACK, C, S)
    }

    fn closes(&mut self) -> &mut Self {
        self.client("FIN", FIN | ACK, C, S).server("FIN of the server", FIN | ACK, S, C + 1).client(
            "last ACK",
            ACK,
            C + 1,
            S + 1,
        )
    }
}

/// All of them.
pub(super) fn talks() -> Vec<Talk> {
    let mut talks = Vec::new();
    for list in [opening, windows, resets, closing, strange] {
        list(&mut talks);
    }
    talks
}

fn talk<'t>(talks: &'t mut Vec<Talk>, name: &'static str) -> &'t mut Talk {
    let port = 40_000 + u16::try_from(talks.len()).expect("a few conversations");
    talks.push(Talk { name, frames: Vec::new(), port });
    talks.last_mut().expect("just pushed")
}

fn opening(talks: &mut Vec<Talk>) {
    talk(talks, "from beginning to end")
        .opens()
        .client_data("request", C, S, 100)
        .server_data("answer", S, C + 100, 1400)
        .client("FIN", FIN | ACK, C + 100, S + 1400)
        .server("FIN of the server", FIN | ACK, S + 1400, C + 101)
        .client("last ACK", ACK, C + 101, S + 1401)
        .server("its FIN again", FIN | ACK, S + 1400, C + 101)
        .client("last ACK again", ACK, C + 101, S + 1401);
    talk(talks, "a handshake in pieces")
        .client("SYN", SYN, ISN[0], 0)
        .client("SYN again", SYN, ISN[0], 0)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .client("SYN once more", SYN, ISN[0], 0)
        .server("SYN/ACK again", SYN | ACK, ISN[1], C)
        .client("ACK", ACK, C, S)
        .server("SYN/ACK, late", SYN | ACK, ISN[1], C)
        .client("ACK of that", ACK, C, S)
        .server_data("data", S, C, 10);
    talk(talks, "a stale SYN/ACK")
        .client("SYN", SYN, ISN[0], 0)
        .server("SYN/ACK of another SYN", SYN | ACK, 77, 88)
        .client("RST of that", RST, 88, 0)
        .server("the right SYN/ACK", SYN | ACK, ISN[1], C)
        .client("ACK", ACK, C, S)
        .server_data("data", S, C, 10);
    talk(talks, "simultaneous open")
        .client("SYN", SYN, ISN[0], 0)
        .server("SYN of the server", SYN, ISN[1], 0)
        .client("SYN/ACK", SYN | ACK, ISN[0], S)
        .server("SYN/ACK of the server", SYN | ACK, ISN[1], C)
        .client_data("data", C, S, 10)
        .server_data("data of the server", S, C + 10, 10);
    talk(talks, "split handshake")
        .client("SYN", SYN, ISN[0], 0)
        .server("ACK alone", ACK, ISN[1], C)
        .server("SYN of the server", SYN, ISN[1], 0)
        .client("SYN/ACK", SYN | ACK, ISN[0], S)
        .server("ACK", ACK, S, C)
        .client_data("data", C, S, 10)
        .server_data("data of the server", S, C + 10, 10);
    talk(talks, "another SYN, answered")
        .client("SYN", SYN, ISN[0], 0)
        .client("SYN of another number", SYN, 3_000_000, 0)
        .server("SYN/ACK of that", SYN | ACK, ISN[1], 3_000_001)
        .client("ACK", ACK, 3_000_001, S)
        .server_data("data", S, 3_000_001, 10);
    talk(talks, "an older SYN in between")
        .client("SYN", SYN, ISN[0], 0)
        .client("SYN of another life", SYN, 300_000, 0)
        .server("SYN/ACK of the first", SYN | ACK, ISN[1], C)
        .client("ACK", ACK, C, S)
        .server_data("data", S, C, 10);
    talk(talks, "a second SYN/ACK of another number")
        .client("SYN", SYN, ISN[0], 0)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .client("SYN again", SYN, ISN[0], 0)
        .server("SYN/ACK of another number", SYN | ACK, 7_000_000, C)
        .client("ACK of the second", ACK, C, 7_000_001)
        .server_data("data", 7_000_001, C, 10);
    let fast = talk(talks, "fast open");
    fast.say(0, "SYN with data", &Segment::new(SYN, ISN[0], 0).data(b"GET /"));
    fast.server("SYN/ACK of all", SYN | ACK, ISN[1], C + 5)
        .server_data("data before the handshake is done", S, C + 5, 100)
        .client("ACK", ACK, C + 5, S + 100);
    let fast = talk(talks, "fast open, not taken");
    fast.say(0, "SYN with data", &Segment::new(SYN, ISN[0], 0).data(b"GET /"));
    fast.client("SYN without", SYN, ISN[0], 0)
        .server("SYN/ACK of the SYN alone", SYN | ACK, ISN[1], C)
        .client_data("data again", C, S, 5)
        .server_data("answer", S, C + 5, 10);
    let fast = talk(talks, "fast open, overtaken");
    fast.client("SYN without data", SYN, ISN[0], 0);
    fast.say(0, "SYN with data", &Segment::new(SYN, ISN[0], 0).data(b"GET /"));
    fast.server("SYN/ACK of all", SYN | ACK, ISN[1], C + 5).client("ACK", ACK, C + 5, S).server_data(
        "answer",
        S,
        C + 5,
        10,
    );
    talk(talks, "data too early")
        .client("SYN", SYN, ISN[0], 0)
        .client_data("data before the SYN/ACK", C, S, 10)
        .server_data("data without a SYN", ISN[1], C, 10)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .server_data("data before the ACK", S, C, 10)
        .client("ACK", ACK, C, S)
        .server_data("data in its time", S, C, 10);
    talk(talks, "the challenge of a forgotten session")
        .client("SYN", SYN, ISN[0], 0)
        .server("challenge ACK", ACK, 77_000, 88_000)
        .client("RST of that", RST, 88_000, 0)
        .client("SYN again", SYN, ISN[0], 0)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .client("ACK", ACK, C, S);
    talk(talks, "SYN in an established session")
        .opens()
        .client("SYN", SYN, 400_000, 0)
        .server("challenge ACK", ACK, S, C)
        .client("RST of that", RST, C, 0)
        .client("SYN again", SYN, 400_000, 0)
        .server("SYN/ACK", SYN | ACK, 9_000_000, 400_001)
        .client("ACK", ACK, 400_001, 9_000_001);
    talk(talks, "SYN of the server in an established session")
        .opens()
        .server("SYN", SYN, 400_000, 0)
        .client("challenge ACK", ACK, C, S)
        .server_data("data as ever", S, C, 10);
    talk(talks, "both ends have forgotten")
        .opens()
        .client("SYN", SYN, 400_000, 0)
        .server("SYN/ACK", SYN | ACK, 9_000_000, 400_001)
        .client("ACK", ACK, 400_001, 9_000_001)
        .server_data("data", 9_000_001, 400_001, 10);
}

fn windows(talks: &mut Vec<Talk>) {
    talk(talks, "numbers outside the windows")
        .opens()
        .client_data("data at the edge", C + 8192, S, 10)
        .client_data("data beyond the edge", C + 8193, S, 10)
        .client_data("data far beyond", C + 1_000_000, S, 10)
        .client_data("acknowledges what was not sent", C, S + 1, 10)
        .client_data("acknowledges 66,001 below", C, S - 66_001, 10)
        .client_data("acknowledges 66,002 below", C, S - 66_002, 10)
        .client_data("the right data", C, S, 10);
    let old = talk(talks, "what was acknowledged long ago").opens();
    for at in 0..10u32 {
        old.client_data("data", C + at * 1400, S, 1400).server("ACK", ACK, S, C + at * 1400 + 1400);
    }
    old.client_data("data again, more than a window back", C, S, 1400)
        .client_data("data that was never sent there", C - 500_000, S, 10)
        .server("ACK again", ACK, S, C + 14_000);
    let full = talk(talks, "an acknowledgement overtaken in a full window");
    full.opens();
    let wide = |flags, sequence, acknowledgement, len| {
        Segment::new(flags, sequence, acknowledgement).window(65_535).data(&vec![3; len])
    };
    full.say(0, "window update", &wide(ACK, C, S, 0));
    for round in 0..2 {
        for at in 0..46u32 {
            full.say(1, "data", &wide(ACK, S + round * 64_400 + at * 1400, C, 1400));
        }
        full.say(0, "ACK of all", &wide(ACK, C, S + (round + 1) * 64_400, 0));
    }
    full.say(0, "ACK overtaken, one window back", &wide(ACK, C, S + 62_600, 0));
    full.say(0, "ACK overtaken, further back", &wide(ACK, C, S, 0));
    talk(talks, "keepalives")
        .opens()
        .client("without data", ACK, C - 1, S)
        .server("answer", ACK, S, C)
        .client_data("with a byte", C - 1, S, 1)
        .server("answer", ACK, S, C)
        .server("of the server", ACK, S - 1, C)
        .client("answer", ACK, C, S);
    let probe = talk(talks, "probes of a closed window").opens();
    for at in (0..8192).step_by(1024) {
        probe.client_data("data", C + at, S, 1024);
    }
    let closed = Segment::new(ACK, S, C + 8192).window(0);
    probe.say(1, "window closed", &closed).client_data("a byte beyond it", C + 8192, S, 1);
    probe.say(1, "window still closed", &closed).client("a number below", ACK, C + 8191, S);
    probe
        .client("ACK behind the probe", ACK, C + 8193, S)
        .server("window open", ACK, S, C + 8193)
        .client_data("data", C + 8193, S, 1024);
    for (name, answer) in [("both scale", &SCALE[..]), ("one scales", &[])] {
        let scaled = talk(talks, name);
        scaled.say(0, "SYN", &Segment::new(SYN, ISN[0], 0).options(&SCALE));
        scaled.say(1, "SYN/ACK", &Segment::new(SYN | ACK, ISN[1], C).options(answer));
        scaled.client("ACK", ACK, C, S).server_data("data far on", S + 500_000, C, 10);
    }
    talk(talks, "out of order and over each other")
        .opens()
        .client_data("third", C + 2000, S, 1000)
        .client_data("second and a half", C + 700, S, 1400)
        .client_data("first", C, S, 1000)
        .client_data("all", C, S, 1400)
        .server("ACK", ACK, S, C + 3000);
    let urgent = talk(talks, "urgent data").opens();
    urgent.say(0, "urgent", &Segment::new(URG | ACK, C, S).data(b"!"));
    urgent.server("ACK", ACK, S, C + 1);
}

fn resets(talks: &mut Vec<Talk>) {
    talk(talks, "an exact reset")
        .opens()
        .server("RST", RST, S, 0)
        .client("what was under way", ACK, C, S)
        .server_data("from the grave", S, C, 10)
        .server("RST again", RST, S, 0)
        .client("SYN of a new life", SYN, 2_000_000, 0)
        .server("SYN/ACK", SYN | ACK, 8_000_000, 2_000_001);
    talk(talks, "inexact resets")
        .opens()
        .server("RST inside the window", RST, S + 100, 0)
        .client("challenge ACK", ACK, C, S)
        .server("RST outside", RST, S + 100_000, 0)
        .server("RST below", RST, S - 1, 0)
        .server("RST/ACK inside", RST | ACK, S + 100, C)
        .server_data("alive", S, C, 10)
        .client("ACK", ACK, C, S + 10)
        .server("RST at last", RST, S + 10, 0);
    talk(talks, "resets that acknowledge nothing")
        .opens()
        .server("RST/ACK with acknowledgement 0", RST | ACK, S, 0)
        .server("RST/ACK of what was not sent", RST | ACK, S, C + 5000)
        .server_data("alive", S, C, 10);
    talk(talks, "a reset after a FIN")
        .opens()
        .client("FIN", FIN | ACK, C, S)
        .server("RST inside the window", RST, S + 100, 0)
        .server_data("from the grave", S, C + 1, 10);
    talk(talks, "a SYN refused")
        .client("SYN", SYN, ISN[0], 0)
        .server("RST without ACK", RST, 0, 0)
        .server("RST/ACK of something else", RST | ACK, 0, C + 1)
        .server("RST/ACK", RST | ACK, 0, C)
        .client("SYN again", SYN, ISN[0], 0)
        .server("SYN/ACK after all", SYN | ACK, ISN[1], C);
    talk(talks, "resets in the handshake")
        .client("SYN", SYN, ISN[0], 0)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .server("RST outside the window", RST, 7_000_000, 0)
        .client("ACK", ACK, C, S)
        .server_data("alive", S, C, 10);
}

fn closing(talks: &mut Vec<Talk>) {
    talk(talks, "half-closed")
        .opens()
        .client("FIN", FIN | ACK, C, S)
        .server("ACK", ACK, S, C + 1)
        .client_data("data after the FIN", C + 1, S, 10)
        .server_data("data of the other side", S, C + 1, 1000)
        .client("ACK", ACK, C + 1, S + 1000)
        .server("FIN of the server", FIN | ACK, S + 1000, C + 1)
        .client("last ACK", ACK, C + 1, S + 1001);
    talk(talks, "simultaneous close")
        .opens()
        .client("FIN", FIN | ACK, C, S)
        .server("FIN of the server", FIN | ACK, S, C)
        .client("ACK", ACK, C + 1, S + 1)
        .server("ACK of the server", ACK, S + 1, C + 1);
    talk(talks, "a reset while it waits")
        .opens()
        .closes()
        .server("RST", RST, S + 1, 0)
        .server("its FIN again", FIN | ACK, S, C + 1)
        .client("last ACK again", ACK, C + 1, S + 1);
    talk(talks, "a new connection on what waits")
        .opens()
        .closes()
        .client("SYN above", SYN, 2_000_000, 0)
        .server("SYN/ACK", SYN | ACK, 8_000_000, 2_000_001)
        .client("ACK", ACK, 2_000_001, 8_000_001)
        .server_data("data", 8_000_001, 2_000_001, 10);
    talk(talks, "a lower number on what waits")
        .opens()
        .closes()
        .client("its own SYN, late", SYN, ISN[0], 0)
        .server("challenge ACK", ACK, S + 1, C + 1)
        .client("SYN below", SYN, 500_000, 0)
        .server("SYN/ACK", SYN | ACK, 8_000_000, 500_001)
        .client("ACK", ACK, 500_001, 8_000_001)
        .server_data("data", 8_000_001, 500_001, 10);
    talk(talks, "a SYN of the server on what waits").opens().closes().server("SYN", SYN, 9_000_000, 0);
}

fn strange(talks: &mut Vec<Talk>) {
    talk(talks, "nobody saw it begin")
        .client("ACK", ACK, C, S)
        .client_data("data", C, S, 10)
        .client("SYN/ACK", SYN | ACK, C, S)
        .client("RST", RST, C, 0)
        .client("FIN", FIN | ACK, C, S);
    talk(talks, "the world starts")
        .server("SYN", SYN, ISN[1], 0)
        .server("SYN/ACK", SYN | ACK, ISN[1], C)
        .server("ACK", ACK, S, C)
        .server("RST", RST, S, 0);
    talk(talks, "flags that nobody sends")
        .opens()
        .client("none", 0, C, S)
        .client("FIN without ACK", FIN, C, S)
        .client("SYN and FIN", SYN | FIN, C, S)
        .client("SYN and RST", SYN | RST, C, S)
        .client("FIN, PSH and URG", FIN | 8 | URG, C, S)
        .client("all", 0x3f, C, S)
        .client_data("data as ever", C, S, 10);
}
