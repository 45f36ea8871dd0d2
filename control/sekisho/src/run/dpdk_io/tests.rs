//! On rings of DPDK's own: what is sent by a port arrives on it again.

use sekisho_dpdk::{Device, DeviceSpec, EalConfig, Hugepages, PoolConfig, PortConfig, Started};

use super::*;

/// An environment without hugepages; it starts once in a process, and nextest gives each test its own.
fn eal() -> Eal {
    let config = EalConfig { hugepages: Hugepages::Off, memory_mib: 96, ..EalConfig::default() };
    Eal::start(&EalConfig { file_prefix: "sekisho-test".into(), ..config }).unwrap()
}

fn pool(eal: &Eal, size: u32, data_room: u16) -> PacketPool {
    PacketPool::new(eal, &PoolConfig { size, cache: 0, data_room, socket: None }).unwrap()
}

fn ring(eal: &Eal, name: &str, pool: &PacketPool) -> Started {
    let device = Device::open(eal, &DeviceSpec::parse(name).unwrap()).unwrap();
    sekisho_dpdk::Port::configure(device, &PortConfig::default(), pool).unwrap()
}

fn side(started: Started, relayed: Option<Relay>) -> Side {
    let queue = started.tx.into_iter().next().unwrap();
    Side { arrivals: started.rx, departure: Departure::Own { queue, relayed }, frame_max: 1522 }
}

/// A worker with a ring as each of its ports.
fn worker(eal: &Eal, pool: &PacketPool) -> DpdkIo {
    let sides = ["net_ring0", "net_ring1"].map(|name| side(ring(eal, name, pool), None));
    DpdkIo::new(eal, 0, sides, pool.clone())
}

fn sent(packets: u64, bytes: u64, dropped: u64) -> Sent {
    Sent { packets, bytes, dropped }
}

#[test]
fn a_frame_moves_from_port_to_port_and_every_byte_is_counted_once() {
    let eal = eal();
    let pool = pool(&eal, 2047, 2048);
    let mut io = worker(&eal, &pool);
    assert!(io.inject(Port::Lan, &[7; 60]) && io.inject(Port::Lan, &[8; 90]));
    assert_eq!(io.send(Port::Lan), sent(2, 150, 0));
    assert_eq!(io.send(Port::Lan), Sent::default(), "told once");
    assert_eq!(io.receive(Port::Lan), 2);
    assert_eq!((io.view(0).head, io.view(1).wire_len), (&[7; 60][..], 90));
    io.forward(1 << 1, Port::Wan);
    io.release();
    assert_eq!(io.send(Port::Wan), sent(1, 90, 0));
    assert_eq!(pool.in_use(), 1, "the frame that was not forwarded is free");
    assert_eq!(io.receive(Port::Wan), 1);
    assert_eq!(io.view(0).head, [8; 90]);
    let taken = io.take(0).unwrap();
    io.release();
    io.accept(taken);
    assert_eq!(io.view(0).head, [8; 90], "a frame that was handed over is the same frame");
    io.release();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn more_than_a_burst_leaves_whole_and_a_full_queue_drops_and_counts() {
    let eal = eal();
    let pool = pool(&eal, 8191, 2048);
    let mut io = worker(&eal, &pool);
    for _ in 0..150 {
        assert!(io.inject(Port::Wan, &[1; 100]));
    }
    assert_eq!(io.send(Port::Wan), sent(150, 15_000, 0));
    for _ in 0..2_000 {
        assert!(io.inject(Port::Wan, &[1; 100]));
    }
    let Sent { packets, bytes, dropped } = io.send(Port::Wan);
    assert!(dropped > 0, "a ring holds a thousand");
    assert_eq!((packets + dropped, bytes), (2_000, packets * 100));
    assert_eq!(u64::from(pool.in_use()), 150 + packets, "what was dropped is free");
}

#[test]
fn a_worker_without_a_transmit_queue_sends_through_one_that_has_one() {
    let eal = eal();
    let pool = pool(&eal, 4095, 2048);
    let relay: Relay = Arc::new(ArrayQueue::new(4));
    let lan = side(ring(&eal, "net_ring0", &pool), Some(Arc::clone(&relay)));
    let wan = side(ring(&eal, "net_ring1", &pool), None);
    let mut owner = DpdkIo::new(&eal, 0, [lan, wan], pool.clone());
    let without =
        || Side { arrivals: Vec::new(), departure: Departure::Relayed(Arc::clone(&relay)), frame_max: 1522 };
    let mut other = DpdkIo::new(&eal, 0, [without(), without()], pool.clone());
    assert_eq!(other.receive(Port::Lan), 0);
    for _ in 0..6 {
        assert!(other.inject(Port::Lan, &[5; 64]));
    }
    assert_eq!(
        other.send(Port::Lan),
        sent(0, 0, 2),
        "the relay is full; what it holds is told by who sends it"
    );
    assert_eq!(owner.send(Port::Wan), Sent::default());
    assert_eq!(owner.send(Port::Lan), sent(4, 256, 0));
    assert_eq!(owner.receive(Port::Lan), 4);
    owner.release();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn the_engine_is_shown_enough_of_a_frame_in_pieces() {
    let eal = eal();
    let (small, large) = (pool(&eal, 255, 128), pool(&eal, 255, 2048));
    let mut started = ring(&eal, "net_ring0", &large);
    let mut queue = started.tx.remove(0);
    let frame: Vec<u8> = (0..1_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&small, &frame) && burst.push_frame(&large, &[9; 60]));
    assert!(burst.get(0).unwrap().segment_count() > 1);
    assert_eq!(queue.send(&mut burst), 2);
    let lan =
        Side { arrivals: started.rx, departure: Departure::Own { queue, relayed: None }, frame_max: 1522 };
    let wan = side(ring(&eal, "net_ring1", &large), None);
    let mut io = DpdkIo::new(&eal, 0, [lan, wan], large.clone());
    assert_eq!(io.receive(Port::Lan), 2);
    assert_eq!(io.view(0).head, [9; 60]);
    assert_eq!(io.view(1).head, frame);
    assert_eq!(io.view(1).wire_len, 1_000);
    io.release();
    assert_eq!((small.in_use(), large.in_use()), (0, 0));
}

/// A frame whose head is long enough stays in its pieces; all of them are summed.
#[test]
fn all_segments_of_a_frame_are_there_to_be_summed() {
    let eal = eal();
    let (pieces, large) = (pool(&eal, 255, 640), pool(&eal, 255, 2048));
    let mut started = ring(&eal, "net_ring0", &large);
    let mut queue = started.tx.remove(0);
    let frame: Vec<u8> = (0..1_400).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&pieces, &frame));
    assert_eq!(queue.send(&mut burst), 1);
    let lan =
        Side { arrivals: started.rx, departure: Departure::Own { queue, relayed: None }, frame_max: 1522 };
    let wan = side(ring(&eal, "net_ring1", &large), None);
    let mut io = DpdkIo::new(&eal, 0, [lan, wan], large.clone());
    assert_eq!(io.receive(Port::Lan), 1);
    assert!(io.view(0).head.len() < frame.len());
    assert_eq!(io.segments(0).next(), Some(io.view(0).head));
    assert_eq!(io.segments(0).flatten().copied().collect::<Vec<_>>(), frame);
    assert_eq!(io.view(0).checksum, DeviceChecksum::NotChecked, "a ring looks at nothing");
    io.release();
}

#[test]
fn time_begins_at_zero_and_goes_on() {
    let eal = eal();
    let pool = pool(&eal, 255, 2048);
    let zero = Clock::new(&eal).now_ns();
    let mut io = worker(&eal, &pool);
    io.zero_nanos = zero;
    let first = io.now();
    assert!(first.as_millis() < 60_000);
    assert!(io.now() >= first);
}
