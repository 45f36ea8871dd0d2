//! Ports on the kernel's interfaces: a veth pair in a network namespace of the test's own, which goes with it.
//! A frame sent by one end's port is received by the other end's.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print, its helpers too")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use sekisho_dpdk::{
    Burst, Device, DeviceSpec, Eal, EalConfig, Link, Note, PacketPool, PoolConfig, Port, PortConfig, Rss,
    Started, SymmetricBy, data_room,
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
    let config = PoolConfig { size: 8191, data_room: room, ..PoolConfig::default() };
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
    if driver != "net_af_xdp" {
        // That one keeps buffers ready in the kernel.
        assert_eq!(pool.in_use(), 0);
    }
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

#[test]
fn frames_and_their_tags_pass_whole_by_pcap() {
    frames_are_whole("net_pcap");
}

#[test]
fn jumbo_frames_pass_where_the_interface_lets_them() {
    if pair(9000).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench("net_af_packet", 1, 9000);
    assert_eq!((a.port.taken().mtu, a.port.taken().notes.len()), (9000, 0), "{:?}", a.port.taken());
    let frames = [frame(&[], 0x88b5, &counted(9000)), frame(&[(0x8100, 5)], 0x88b5, &counted(9000))];
    let there: Vec<_> =
        across(&eal, &pool, &mut a, &mut b, &frames).into_iter().map(|frame| frame.1).collect();
    assert_eq!(there, frames);
}

#[test]
fn an_interface_with_a_smaller_mtu_is_told_of() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { a, .. } = bench("net_af_packet", 1, 9000);
    assert_eq!(a.port.taken().mtu, 1500);
    let note =
        a.port.taken().notes.iter().find(|note| matches!(note, Note::LowerMtu { asked: 9000, .. })).unwrap();
    assert!(note.to_string().contains("ip link set end-a mtu 9000"), "{note}");
}

#[test]
fn both_directions_of_a_flow_reach_queues_of_one_number() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench("net_af_packet", 2, 1500);
    for end in [&a, &b] {
        assert_eq!(end.port.taken().rss, Rss::Symmetric { how: SymmetricBy::Kernel });
        assert_eq!(end.rx.len(), 2);
    }
    // UDP between port 1000+n here and 53 there, and back.
    let (here, there) = ([192, 0, 2, 1], [198, 51, 100, 1]);
    let datagram = |from, to, ports: [u16; 2], number: u16| {
        let mut udp: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        udp.extend([0, 10, 0, 0]);
        udp.extend(number.to_be_bytes());
        frame(&[], 0x0800, &ipv4(from, to, 17, 0, &udp))
    };
    let forth: Vec<_> = (0..200).map(|n| datagram(here, there, [1000 + n, 53], n)).collect();
    let back: Vec<_> = (0..200).map(|n| datagram(there, here, [53, 1000 + n], n)).collect();
    let queues = |received: Vec<(usize, Vec<u8>)>| -> std::collections::BTreeMap<Vec<u8>, usize> {
        received.into_iter().map(|(queue, frame)| (frame[frame.len() - 2..].to_vec(), queue)).collect()
    };
    let forth = queues(across(&eal, &pool, &mut a, &mut b, &forth));
    let back = queues(across(&eal, &pool, &mut b, &mut a, &back));
    assert_eq!(forth.len(), 200);
    assert_eq!(forth, back);
    let first = forth.values().filter(|&&queue| queue == 0).count();
    assert!((50..150).contains(&first), "{first} of 200 flows in the first queue");
}

#[test]
fn the_link_is_that_of_the_interface() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { a, b, .. } = bench("net_af_packet", 1, 1500);
    let up = |port: &Port, up: bool| {
        let deadline = Instant::now() + Duration::from_secs(5);
        while port.link().unwrap().up != up {
            assert!(Instant::now() < deadline, "{:?}", port.link());
            std::thread::yield_now();
        }
    };
    up(&b.port, true);
    assert_eq!(b.port.link().unwrap(), Link { up: true, speed_mbps: Some(10_000), full_duplex: true });
    // The other end sees a link that is switched off here, and its return.
    a.port.set_link(false).unwrap();
    up(&b.port, false);
    up(&a.port, false);
    a.port.set_link(true).unwrap();
    up(&b.port, true);
    a.port.set_link(false).unwrap();
    drop(a);
    assert!(ip("link show end-a").contains("<BROADCAST,MULTICAST,UP"), "{}", ip("link show end-a"));
    drop(b);
}

#[test]
fn traffic_goes_on_after_the_link_was_off() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench("net_af_packet", 1, 1500);
    let mut burst = Burst::new(&eal);
    for round in 0..3 {
        b.port.set_link(false).unwrap();
        assert!(burst.push_frame(&pool, &frame(&[], 0x88b5, &counted(900))));
        a.tx[0].send(&mut burst);
        burst.clear();
        b.port.set_link(true).unwrap();

        // The kernel may deliver the frame from before late, so this one is looked for by itself.
        let wanted = frame(&[], 0x88b5, &counted(100 + round));
        assert!(burst.push_frame(&pool, &wanted));
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut arrived = false;
        while !arrived {
            assert!(Instant::now() < deadline, "round {round}");
            a.tx[0].send(&mut burst);
            let mut received = Burst::new(&eal);
            b.rx[0].receive(&mut received);
            arrived = received.packets().any(|(_, packet)| packet.data() == wanted);
        }
    }
}

#[test]
fn an_interface_that_is_down_is_brought_up() {
    if pair(1500).is_none() {
        return;
    }
    ip("link set end-a down");
    let Bench { a, .. } = bench("net_af_packet", 1, 1500);
    assert!(a.port.taken().notes.iter().any(|note| matches!(note, Note::BroughtUp { .. })));
    assert!(ip("link show end-a").contains(",UP"));
}

#[test]
fn promiscuous_mode_ends_with_the_port() {
    if pair(1500).is_none() {
        return;
    }
    let mode = || ip("-d -o link show end-a").contains("promiscuity 0");
    assert!(mode());
    let Bench { a, b, .. } = bench("net_af_packet", 1, 1500);
    assert!(a.port.taken().promiscuous && !mode());
    drop((a, b));
    assert!(mode());
    // A flag would stay after a crash.
    assert!(!ip("link show end-a").contains("PROMISC"));
}

#[test]
fn frames_and_their_tags_pass_whole_by_af_xdp() {
    frames_are_whole("net_af_xdp");
}

#[test]
fn what_a_device_of_single_segments_cannot_send_is_counted() {
    if pair(1500).is_none() {
        return;
    }
    let Bench { eal, pool, mut a, mut b } = bench("net_af_xdp", 1, 1500);
    assert!(!a.port.taken().multi_segment);
    assert!(a.port.taken().notes.iter().any(|note| matches!(note, Note::NoMultiSegment { .. })));
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&pool, &frame(&[], 0x88b5, &counted(4000))));
    assert_eq!((a.tx[0].send(&mut burst), a.tx[0].too_long(), burst.len()), (0, 1, 0));
    let good = [frame(&[], 0x88b5, &counted(1500))];
    assert_eq!(across(&eal, &pool, &mut a, &mut b, &good)[0].1, good[0]);
    assert_eq!(a.tx[0].too_long(), 1);
}
