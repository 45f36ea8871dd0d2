//! Writes the frames of sessions to files, for senders that are no DPDK program: `traffic-frames FOLDER SESSIONS
//! udp|tcp|mixed 4|6`.
//!
//! `open-0`, `open-1` and `open-2` hold what opens the sessions, step by step (from the LAN, the WAN, the LAN side; the
//! last for TCP alone), `data-lan` and `data-wan` a frame of each session. Every frame takes as many bytes of its file
//! as `length` says, padded as Ethernet pads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use sekisho_traffic::{Config, FRAME_MAX, Family, Order, Phase, Protocol, Shard, Side};

const SYN: u8 = 0x02;

/// The files, and the length that all frames have in them.
struct Files {
    open: [BufWriter<File>; 3],
    data: [BufWriter<File>; 2],
    length: usize,
}

impl Files {
    fn new(folder: &Path, length: usize) -> io::Result<Self> {
        let file = |name: &str| Ok::<_, io::Error>(BufWriter::new(File::create(folder.join(name))?));
        std::fs::write(folder.join("length"), format!("{length}\n"))?;
        Ok(Self {
            open: [file("open-0")?, file("open-1")?, file("open-2")?],
            data: [file("data-lan")?, file("data-wan")?],
            length,
        })
    }
}

/// Which step of an opening a frame is.
fn step(family: Family, side: Side, frame: &[u8]) -> usize {
    let (protocol_at, flags_at) = if family == Family::V4 { (23, 47) } else { (20, 67) };
    let is_tcp = frame.get(protocol_at) == Some(&6);
    let begins = frame.get(flags_at).is_some_and(|flags| flags & SYN != 0);
    match side {
        Side::Wan => 1,
        Side::Lan if is_tcp && !begins => 2,
        Side::Lan => 0,
    }
}

fn write(folder: &Path, config: &Config) -> io::Result<()> {
    let mut shard = Shard::new(config, 0).map_err(io::Error::other)?;
    // The headers of the longest, and no frame is shorter than Ethernet has it.
    let length = match (config.family, config.protocol) {
        (Family::V4, _) => 60,
        (Family::V6, Protocol::Udp) => 62,
        (Family::V6, _) => 74,
    };
    let mut files = Files::new(folder, length)?;
    let mut frame = [0; FRAME_MAX];
    let put = |file: &mut BufWriter<File>, frame: &mut [u8; FRAME_MAX], len: usize| {
        frame[len..].fill(0);
        file.write_all(&frame[..files.length])
    };
    while shard.phase() == Phase::Opening {
        for side in Side::ALL {
            // One by one: what opens the last session is not followed by data of the same burst.
            for _ in 0..shard.ready(side, 0, 64) {
                if shard.phase() == Phase::Opening {
                    let len = usize::from(shard.make(side, 0, &mut frame).len);
                    shard.sink(side.other(), &frame[..len]);
                    put(&mut files.open[step(config.family, side, &frame)], &mut frame, len)?;
                }
            }
        }
    }
    for side in Side::ALL {
        for _ in 0..config.sessions {
            let len = usize::from(shard.make(side, 0, &mut frame).len);
            put(&mut files.data[side.index()], &mut frame, len)?;
        }
    }
    for file in files.open.iter_mut().chain(&mut files.data) {
        file.flush()?;
    }
    Ok(())
}

fn config(arguments: &[String]) -> Option<(&str, Config)> {
    let [folder, sessions, protocol, family] = arguments else { return None };
    let protocol = match protocol.as_str() {
        "udp" => Protocol::Udp,
        "tcp" => Protocol::Tcp,
        "mixed" => Protocol::Mixed,
        _ => return None,
    };
    let family = match family.as_str() {
        "4" => Family::V4,
        "6" => Family::V6,
        _ => return None,
    };
    let sessions = sessions.parse().ok()?;
    Some((folder, Config { sessions, protocol, family, order: Order::Sequential, ..Config::default() }))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, config)) = config(&arguments) else {
        let _ = writeln!(io::stderr(), "usage: traffic-frames FOLDER SESSIONS udp|tcp|mixed 4|6");
        return ExitCode::from(2);
    };
    match write(Path::new(folder), &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "traffic-frames: {error}");
            ExitCode::FAILURE
        }
    }
}
