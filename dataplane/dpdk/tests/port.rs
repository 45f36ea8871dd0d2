//! Ports: what is asked for, what a device takes, and what is said about the difference.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print, its helpers too")]

mod support;

use sekisho_dpdk::{Burst, Device, DeviceSpec, Note, PoolConfig, Port, PortConfig, Rss, SymmetricBy};
use support::{eal, open, pool};

fn small() -> PoolConfig {
    PoolConfig { size: 4095, ..PoolConfig::default() }
}

#[test]
fn packets_come_back_from_a_ring_whole_and_every_buffer_returns() {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { cache: 0, ..small() });
    let mut started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let (mut rx, mut tx) = (started.rx.remove(0), started.tx.remove(0));
    let (mut out, mut back) = (Burst::new(&eal), Burst::new(&eal));
    for round in 0..100u8 {
        for number in 0..32u8 {
            assert!(out.push_frame(&pool, &[round ^ number; 60]));
        }
        assert_eq!(tx.send(&mut out), 32);
        assert!(out.is_empty());
        assert_eq!(pool.in_use(), 32);
        assert_eq!(rx.receive(&mut back), 32);
        for number in 0..32u8 {
            assert_eq!(back.data(usize::from(number)), [round ^ number; 60]);
        }
        back.clear();
        assert_eq!(pool.in_use(), 0, "round {round}");
    }
    let stats = started.port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets, stats.tx_errors), (3200, 3200, 0));
    let xstats = started.port.xstats().unwrap();
    let good = xstats.iter().find(|stat| stat.name == "rx_good_packets").unwrap();
    assert_eq!(good.value, 3200);
}

#[test]
fn a_full_device_leaves_the_rest_with_its_owner() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let mut started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let mut burst = Burst::new(&eal);
    let mut sent = 0;
    while sent < 1023 {
        while burst.room() > 0 {
            assert!(burst.push_frame(&pool, &u32::try_from(sent + burst.len()).unwrap().to_be_bytes()));
        }
        sent += started.tx[0].send(&mut burst);
    }
    assert_eq!((sent, burst.len()), (1023, 1), "the ring is full");
    assert_eq!(burst.data(0), 1023u32.to_be_bytes(), "what stays is what was not taken");
    assert_eq!(started.tx[0].send(&mut burst), 0);
    assert_eq!(started.port.stats().unwrap().tx_packets, 1023);
}

#[test]
fn queues_and_packets_belong_to_their_own_port() {
    let eal = eal();
    let pool = pool(&eal, &small());
    // Opened in another order than named, as two ports of an appliance may be.
    let config = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
    let mut second = open(&eal, "net_ring1", &config, &pool);
    let mut first = open(&eal, "net_ring0", &config, &pool);
    assert_eq!((second.port.device(), first.port.device()), ("net_ring1", "net_ring0"));
    assert_ne!(first.port.id(), second.port.id());
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&pool, b"first, queue 1"));
    first.tx[1].send(&mut burst);
    assert_eq!(second.rx.iter_mut().map(|queue| queue.receive(&mut burst)).sum::<usize>(), 0);
    assert_eq!(first.rx[0].receive(&mut burst), 0);
    assert_eq!(first.rx[1].receive(&mut burst), 1);
    assert_eq!(burst.data(0), b"first, queue 1");
}

#[test]
fn the_last_user_closes_the_port() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let spec = DeviceSpec::parse("net_ring0").unwrap();
    drop((started.port, started.tx));
    assert!(Device::open(&eal, &spec).is_err(), "a queue holds it");
    drop(started.rx);
    for _ in 0..20 {
        open(&eal, "net_ring0", &PortConfig::default(), &pool);
    }
}

#[test]
fn a_device_with_settable_key_and_table_spreads_symmetrically() {
    let eal = eal();
    let pool = pool(&eal, &small());
    for (number, queues) in [2, 3, 8].into_iter().enumerate() {
        let config = PortConfig { rx_queues: queues, tx_queues: queues, ..PortConfig::default() };
        let started = open(&eal, &format!("net_null{number}"), &config, &pool);
        let taken = started.port.taken();
        assert_eq!(taken.rss, Rss::Symmetric { how: SymmetricBy::Key }, "{taken:?}");
        assert_eq!((taken.rx_queues, taken.tx_queues), (queues, queues));
        assert_eq!((started.rx.len(), started.tx.len()), (usize::from(queues), usize::from(queues)));
    }
}

#[test]
fn a_device_that_does_not_hash_says_so() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let two = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
    let started = open(&eal, "net_ring0", &two, &pool);
    let taken = started.port.taken();
    assert_eq!(taken.rss, Rss::None);
    assert!(
        taken.notes.iter().any(|note| matches!(note, Note::NoRss { queues: 2, .. })),
        "{:?}",
        taken.notes
    );
    let one = open(&eal, "net_ring1", &PortConfig::default(), &pool);
    assert!(
        !one.port.taken().notes.iter().any(|note| matches!(note, Note::NoRss { .. })),
        "one queue needs none"
    );
}

#[test]
fn more_queues_than_the_device_has_are_cut_with_a_note() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let config = PortConfig { rx_queues: 99, tx_queues: 2, ..PortConfig::default() };
    let started = open(&eal, "net_ring0", &config, &pool);
    let has = started.port.info().rx_queues_max;
    assert_eq!((started.port.taken().rx_queues, started.rx.len()), (has, usize::from(has)));
    let cut = |note: &&Note| matches!(note, Note::FewerQueues { direction: "receive", asked: 99, .. });
    assert_eq!(started.port.taken().notes.iter().filter(cut).count(), 1);
    assert_eq!(started.port.taken().tx_queues, 2);
}

#[test]
fn promiscuous_mode_is_taken_when_asked_for() {
    let eal = eal();
    let pool = pool(&eal, &small());
    assert!(open(&eal, "net_null0", &PortConfig::default(), &pool).port.taken().promiscuous);
    let quiet = open(&eal, "net_null1", &PortConfig { promiscuous: false, ..PortConfig::default() }, &pool);
    assert!(!quiet.port.taken().promiscuous);
}

#[test]
fn the_link_is_read_and_switched() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let link = started.port.link().unwrap();
    assert!(link.up && link.full_duplex);
    assert_eq!(link.speed_mbps, Some(10_000));
    started.port.set_link(false).unwrap();
    assert!(!started.port.link().unwrap().up);
    assert_eq!(started.port.link().unwrap().speed_mbps, None, "no link, no speed");
    started.port.set_link(true).unwrap();
    assert!(started.port.link().unwrap().up);
}

#[test]
fn jumbo_frames_pass_in_segments() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let mut started = open(&eal, "net_ring0", &PortConfig { mtu: 9000, ..PortConfig::default() }, &pool);
    assert_eq!(started.port.taken().mtu, 9000);
    let frame: Vec<u8> = (0..9022u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&pool, &frame));
    assert_eq!(started.tx[0].send(&mut burst), 1);
    assert_eq!(started.rx[0].receive(&mut burst), 1);
    let packet = burst.get(0).unwrap();
    assert_eq!((packet.total_len(), packet.is_sound()), (9022, true));
    assert!(packet.segments().flatten().eq(&frame));
}

#[test]
fn a_port_moves_into_threads_with_its_queues() {
    let eal = eal();
    let pool = pool(&eal, &small());
    let mut started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let (mut rx, mut tx) = (started.rx.remove(0), started.tx.remove(0));
    drop(started);
    let count = 50_000usize;
    let sender = std::thread::spawn({
        let (eal, pool) = (eal.clone(), pool.clone());
        move || {
            let _lcore = sekisho_dpdk::Lcore::enter(&eal, None).unwrap();
            let (mut burst, mut sent) = (Burst::new(&eal), 0);
            while sent < count {
                while burst.len() < 32 && sent + burst.len() < count {
                    if !burst.push_frame(&pool, &(sent + burst.len()).to_be_bytes()) {
                        break;
                    }
                }
                sent += tx.send(&mut burst);
            }
        }
    });
    let _lcore = sekisho_dpdk::Lcore::enter(&eal, None).unwrap();
    let (mut burst, mut next) = (Burst::new(&eal), 0usize);
    while next < count {
        rx.receive(&mut burst);
        for (_, packet) in burst.packets() {
            assert_eq!(packet.data(), next.to_be_bytes(), "in order, none twice, none lost");
            next += 1;
        }
        burst.clear();
    }
    sender.join().unwrap();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_capture_file_is_a_device_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pcap");
    let eal = eal();
    let pool = pool(&eal, &small());
    let device = format!("net_pcap0,tx_pcap={},rx_pcap=/dev/null", file.display());
    // Nothing to read there: the driver refuses, and the same name can be used again.
    assert!(Device::open(&eal, &DeviceSpec::parse(&device).unwrap()).is_err());
    let device = format!("net_pcap0,tx_pcap={}", file.display());
    let device = Device::open(&eal, &DeviceSpec::parse(&device).unwrap()).unwrap();
    let mut started = Port::configure(device, &PortConfig::default(), &pool).unwrap();
    let mut burst = Burst::new(&eal);
    assert!(burst.push_frame(&pool, &[0x5a; 5000]), "in three segments");
    assert_eq!(started.tx[0].send(&mut burst), 1);
    drop(started);
    let written = std::fs::read(&file).unwrap();
    assert_eq!(written.len(), 24 + 16 + 5000);
    assert_eq!(pool.in_use(), 0);
}
