//! Ports on the kernel's interfaces: a veth pair in a network namespace of the test's own, which goes with it.
//! A frame sent by one end's port is received by the other end's.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use sekisho_dpdk::{
    Burst, Device, DeviceSpec, Eal, EalConfig, PacketPool, PoolConfig, Port, PortConfig, Started, data_room,
};

/// A namespace with the pair `end-a` and `end-b`, both up; `None`, said loudly, for users who may not make one.
fn pair(mtu: u16) -> Option<()> {
    // SAFETY: FFI; moves this thread into a namespace of its own. EAL starts from this thread and follows.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        let error = std::io::Error::last_os_error();
        // SAFETY: FFI; no precondition.
        assert!(unsafe { libc::geteuid() } != 0, "root may make a network namespace: {error}");
        println!("SKIPPED: a network namespace needs root: {error}");
        return None;
    }
    ip(&format!("link add end-a mtu {mtu} type veth peer name end-b mtu {mtu}"));
    for end in ["end-a", "end-b"] {
        // No router solicitations and the like between the frames of the test.
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1").ok();
        ip(&format!("link set {end} up"));
    }
    Some(())
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Bench {
    eal: Eal,
    pool: PacketPool,
    a: Started,
    b: Started,
}

fn bench(driver: &str, queues: u16, mtu: u16) -> Bench {
    let spec = |number, interface| {
        let text = format!("{driver}{number},iface={interface}");
        DeviceSpec::parse(&text).unwrap().prepared_for(queues, mtu)
    };
    let specs = [spec(0, "end-a"), spec(1, "end-b")];
    let room = specs.iter().map(data_room).max().unwrap();
    let config = PoolConfig { size: 4095, data_room: room, ..PoolConfig::default() };
    let memory_mib = config.memory_mib() + 32;
    let eal = Eal::start(&EalConfig { memory_mib, ..support::config() }).unwrap();
    let pool = support::pool(&eal, &config);
    let config = PortConfig { rx_queues: queues, tx_queues: queues, mtu, ..PortConfig::default() };
    let open = |spec| Port::configure(Device::open(&eal, spec).unwrap(), &config, &pool).unwrap();
    let (a, b) = (open(&specs[0]), open(&specs[1]));
    Bench { eal, pool, a, b }
}

/// Sends frames from one port and returns what the other receives, with its queue, until all came or nothing more
/// does.
fn across(
    eal: &Eal,
    pool: &PacketPool,
    from: &mut Started,
    to: &mut Started,
    frames: &[Vec<u8>],
) -> Vec<(usize, Vec<u8>)> {
    let (mut out, mut back) = (Burst::new(eal), Burst::new(eal));
    let mut received = Vec::new();
    let mut frames_left = frames.iter();
    let mut deadline = Instant::now() + Duration::from_secs(2);
    while received.len() < frames.len() && Instant::now() < deadline {
        for frame in frames_left.by_ref().take(16) {
            assert!(out.push_frame(pool, frame));
        }
        from.tx[0].send(&mut out);
        for (queue, rx) in to.rx.iter_mut().enumerate() {
            if rx.receive(&mut back) > 0 {
                deadline = Instant::now() + Duration::from_secs(2);
            }
            for (_, packet) in back.packets() {
                received.push((queue, packet.segments().flatten().copied().collect()));
            }
            back.clear();
        }
    }
    received
}

fn frame(tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    // For a station that is neither end: only a promiscuous port receives it.
    let mut frame = vec![2, 0, 0, 0, 0, 0xee, 2, 0, 0, 0, 0, 0xdd];
    for (protocol, tag) in tags {
        frame.extend(protocol.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

fn counted(length: usize) -> Vec<u8> {
    (0..length).map(|index| index.to_le_bytes()[0]).collect()
}

/// An IPv4 packet; `fragment` is flags and offset.
fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0x12, 0x34]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    let sum =
        header.chunks(2).fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, payload.to_vec()].concat()
}

fn frames_are_whole(driver: &str) {
    // Four bytes more than the payload, because the kernel only allows for one tag.
    if pair(1504).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench(driver, 1, 1500);
    let frames = vec![
        frame(&[], 0x88b5, &counted(46)),
        frame(&[], 0x88b5, &counted(1500)),
        frame(&[(0x8100, 0x2064)], 0x88b5, &counted(1500)),
        frame(&[(0x8100, 100), (0x8100, 200)], 0x88b5, &counted(1500)),
        frame(&[(0x8100, 0)], 0x88b5, &counted(46)),
    ];
    for _ in 0..50 {
        let there: Vec<_> =
            across(&eal, &pool, &mut a, &mut b, &frames).into_iter().map(|frame| frame.1).collect();
        assert_eq!(there, frames);
        let back: Vec<_> =
            across(&eal, &pool, &mut b, &mut a, &frames).into_iter().map(|frame| frame.1).collect();
        assert_eq!(back, frames);
    }
    assert_eq!(a.port.stats().unwrap().tx_packets, 250);
    assert_eq!(a.port.stats().unwrap().rx_packets, 250);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn frames_and_their_tags_pass_whole_by_af_packet() {
    frames_are_whole("net_af_packet");
}

#[test]
fn fragments_arrive_as_they_were_sent() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench("net_af_packet", 1, 1500);
    let data = counted(3000);
    let part = |from: usize, to: usize, more: u16| {
        let offset = u16::try_from(from / 8).unwrap();
        frame(&[], 0x0800, &ipv4([192, 0, 2, 1], [198, 51, 100, 1], 17, more << 13 | offset, &data[from..to]))
    };
    let frames = [part(0, 1480, 1), part(1480, 2960, 1), part(2960, 3000, 0)];
    let there: Vec<_> =
        across(&eal, &pool, &mut a, &mut b, &frames).into_iter().map(|frame| frame.1).collect();
    assert_eq!(
        there.iter().map(Vec::len).collect::<Vec<_>>(),
        frames.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert_eq!(there, frames);
}
